//! The simulated journal. Every append stands still until the run says what becomes of it, so that the run decides what is gathered meanwhile.
//! What is on the disk survives the node; a dead node's handle writes nothing more.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tokio::sync::{mpsc, oneshot};
use tornello_actors::hex::Hex;
use tornello_actors::journal::{Batch, Head, Journal, JournalError, StreamId};

/// What becomes of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Written,
    /// There is no room, and everybody knows.
    Full,
    /// Another owner was faster, and everybody knows.
    Conflict,
    /// Nothing is written, but nobody knows.
    Lost,
    /// It is written, but the answer is lost.
    AnswerLost,
    /// As that, and whoever reads before the store is asked where it ends does not find it.
    FoundLater,
    /// The flush fails; whether the batch is on the disk turns out at the next start.
    FlushFailed {
        written: bool,
    },
}

impl Verdict {
    const fn writes(self) -> bool {
        matches!(self, Self::Written | Self::AnswerLost | Self::FlushFailed { written: true })
    }

    /// Whether nothing of it is on the disk, and never will be.
    pub const fn is_gone(self) -> bool {
        matches!(self, Self::Full | Self::Conflict | Self::Lost | Self::FlushFailed { written: false })
    }
}

/// What a crash leaves of a batch that was on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remains {
    Nothing,
    All,
    /// Its stored hash does not fit.
    Damaged,
    /// Its end is missing.
    Short,
}

/// What the writer does, as the run sees it.
pub enum Doing {
    /// It appends, and waits.
    Appending(Appending),
    /// It asks where the journal ends.
    Recovering,
}

pub struct Appending {
    pub batch: Batch,
    verdict: oneshot::Sender<Verdict>,
}

impl Appending {
    pub fn end(self, verdict: Verdict) {
        // Without a receiver the writer is gone, which the run notices.
        let _ = self.verdict.send(verdict);
    }
}

#[derive(Default)]
pub struct Disk {
    batches: Mutex<Vec<Batch>>,
    /// How many batches there were when the node of each life died.
    died_with: Mutex<Vec<usize>>,
    /// Whether the last batch's stored hash does not fit.
    damaged: AtomicBool,
    /// What is on the disk, and is found when the store is asked where it ends, or at the next start.
    unfound: Mutex<Option<Batch>>,
    /// The streams of which something was.
    found: Mutex<Vec<StreamId>>,
    /// How often the node has died.
    life: AtomicU64,
    /// Whether the store cannot be recovered now.
    pub outage: AtomicBool,
    /// Whether streams cannot be read now.
    pub unreadable: AtomicBool,
}

impl Disk {
    /// The journal as the node of this life sees it, and what its writer does.
    pub fn mount(self: &Arc<Self>) -> (Arc<Mount>, mpsc::UnboundedReceiver<Doing>) {
        self.mount_for(u64::MAX)
    }

    /// As [`Disk::mount`], for a node that dies before it has asked so many times for something: then nothing is answered any more.
    pub fn mount_for(self: &Arc<Self>, asked_max: u64) -> (Arc<Mount>, mpsc::UnboundedReceiver<Doing>) {
        let (doing, seen) = mpsc::unbounded_channel();
        let life = self.life.load(Ordering::SeqCst);
        (Arc::new(Mount { disk: Arc::clone(self), life, doing, asked_max, asked: AtomicU64::new(0) }), seen)
    }

    /// The node dies.
    pub fn crash(&self, on_its_way: Option<(Batch, Remains)>) {
        let mut batches = self.lock();
        self.died_with.lock().expect("nobody panics with the disk in hand").push(batches.len());
        self.life.fetch_add(1, Ordering::SeqCst);
        batches.extend(self.take_unfound());
        let Some((mut batch, remains)) = on_its_way else { return };
        match remains {
            Remains::Nothing => return,
            Remains::All => {}
            Remains::Damaged => self.damaged.store(true, Ordering::SeqCst),
            Remains::Short => batch.records.truncate(batch.records.len() - 1 - batch.records.len() / 3),
        }
        batches.push(batch);
    }

    fn take_unfound(&self) -> Option<Batch> {
        self.unfound.lock().expect("nobody panics with the disk in hand").take()
    }

    /// Whether something is on the disk that nobody has found.
    pub fn is_to_find(&self) -> bool {
        self.unfound.lock().expect("nobody panics with the disk in hand").is_some()
    }

    /// Whoever looks where the journal ends finds what was written last.
    pub fn find(&self) {
        if let Some(found) = self.take_unfound() {
            self.found.lock().expect("nobody panics with the disk in hand").extend(found.spans.iter().map(|span| span.stream));
            self.lock().push(found);
        }
    }

    /// The streams of which something was found since the last time.
    pub fn take_found(&self) -> Vec<StreamId> {
        std::mem::take(&mut *self.found.lock().expect("nobody panics with the disk in hand"))
    }

    pub fn length(&self) -> usize {
        self.lock().len()
    }

    /// What the last batch is known by, and with it all before.
    pub fn end(&self) -> String {
        self.lock().last().map_or_else(String::new, name)
    }

    /// The batches from this index on.
    pub fn since(&self, index: usize) -> Vec<Batch> {
        self.lock()[index..].to_vec()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Batch>> {
        self.batches.lock().expect("nobody panics with the disk in hand")
    }

    fn head(&self) -> Head {
        head_of(&self.lock())
    }
}

/// What a batch is known by: no other one has this name, nor one after others.
pub fn name(batch: &Batch) -> String {
    format!("batch {} {}", batch.number, Hex(&batch.hash()[..4]))
}

fn head_of(batches: &[Batch]) -> Head {
    batches.last().map_or(Head::EMPTY, |batch| Head { number: batch.number, hash: batch.hash(), at: batch.at })
}

/// The journal of one life of the node.
pub struct Mount {
    disk: Arc<Disk>,
    life: u64,
    doing: mpsc::UnboundedSender<Doing>,
    asked_max: u64,
    asked: AtomicU64,
}

impl Mount {
    fn is_dead(&self) -> bool {
        self.disk.life.load(Ordering::SeqCst) != self.life
    }

    /// What there is for this life: of what came after its end a dead node knows nothing.
    fn known<'a>(&self, batches: &'a [Batch]) -> &'a [Batch] {
        let died_with = self.disk.died_with.lock().expect("nobody panics with the disk in hand");
        let end = usize::try_from(self.life).ok().and_then(|life| died_with.get(life).copied());
        &batches[..end.map_or(batches.len(), |end| end.min(batches.len()))]
    }

    fn of(&self, stream: StreamId, limit: usize, wanted: impl Fn(u64, u64) -> bool) -> Result<Vec<Batch>, JournalError> {
        self.ends()?;
        if self.disk.unreadable.load(Ordering::SeqCst) {
            return Err(JournalError::Unreachable("input/output error".into()));
        }
        let holds = |batch: &&Batch| batch.spans.iter().any(|span| span.stream == stream && wanted(span.first, span.last));
        Ok(self.known(&self.disk.lock()).iter().filter(holds).take(limit).cloned().collect())
    }

    /// Whether it has come to its end in its start.
    fn ends(&self) -> Result<(), JournalError> {
        let goes_on = self.asked.fetch_add(1, Ordering::SeqCst) < self.asked_max;
        if goes_on { Ok(()) } else { Err(JournalError::Unreachable("the node is dead".into())) }
    }

    async fn append(&self, batch: &Batch) -> Result<(), JournalError> {
        let lost = || JournalError::Unreachable("input/output error".into());
        if self.is_dead() {
            return Err(lost());
        }
        let (verdict, decided) = oneshot::channel();
        let _ = self.doing.send(Doing::Appending(Appending { batch: batch.clone(), verdict }));
        let verdict = decided.await.map_err(|_| lost())?;
        if self.is_dead() {
            return Err(lost());
        }
        if verdict.writes() {
            let head = self.disk.head();
            assert_eq!((batch.number, batch.previous), (head.number + 1, head.hash), "a batch does not follow the one before");
            self.disk.lock().push(batch.clone());
        } else if verdict == Verdict::FoundLater {
            *self.disk.unfound.lock().expect("nobody panics with the disk in hand") = Some(batch.clone());
        }
        match verdict {
            Verdict::Written => Ok(()),
            Verdict::Full => Err(JournalError::Full("no space left on device".into())),
            Verdict::Conflict => Err(JournalError::Conflict(batch.spans[0].stream)),
            Verdict::Lost | Verdict::AnswerLost | Verdict::FoundLater => Err(lost()),
            Verdict::FlushFailed { .. } => Err(JournalError::FlushFailed("input/output error".into())),
        }
    }
}

impl Journal for Mount {
    fn append<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), JournalError>> {
        self.append(batch).boxed()
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, JournalError>> {
        ready(self.ends().map(|()| head_of(self.known(&self.disk.lock())))).boxed()
    }

    fn batches(&self, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>> {
        if let Err(error) = self.ends() {
            return ready(Err(error)).boxed();
        }
        let on_disk = self.disk.lock();
        let batches = self.known(&on_disk);
        let skip = usize::try_from(after).unwrap_or(usize::MAX);
        let mut some: Vec<Batch> = batches.iter().skip(skip).take(limit as usize).cloned().collect();
        let damaged = self.disk.damaged.load(Ordering::SeqCst) && some.last().map(|batch| batch.number) == batches.last().map(|batch| batch.number);
        if damaged && let Some(batch) = some.pop().filter(|_| some.is_empty()) {
            return ready(Err(JournalError::Corrupt { batch: batch.number, what: "its hash does not fit".into() })).boxed();
        }
        ready(Ok(some)).boxed()
    }

    fn batches_of(&self, stream: StreamId, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>> {
        ready(self.of(stream, limit as usize, |_, last| last > after)).boxed()
    }

    fn batch_with(&self, stream: StreamId, seq: u64) -> BoxFuture<'_, Result<Option<Batch>, JournalError>> {
        let with = self.of(stream, 1, |first, last| (first..=last).contains(&seq));
        ready(with.map(|mut batches| batches.pop())).boxed()
    }

    fn cut_last(&self, number: u64) -> BoxFuture<'_, Result<(), JournalError>> {
        if let Err(error) = self.ends() {
            return ready(Err(error)).boxed();
        }
        let mut batches = self.disk.lock();
        assert_eq!(batches.pop().map(|batch| batch.number), Some(number), "another batch than the last one is cut off");
        self.disk.damaged.store(false, Ordering::SeqCst);
        ready(Ok(())).boxed()
    }

    fn recover(&self) -> BoxFuture<'_, Result<Head, JournalError>> {
        let _ = self.doing.send(Doing::Recovering);
        let reachable = !self.is_dead() && !self.disk.outage.load(Ordering::SeqCst);
        if reachable {
            self.disk.find();
        }
        ready(if reachable { Ok(self.disk.head()) } else { Err(JournalError::Unreachable("input/output error".into())) }).boxed()
    }
}
