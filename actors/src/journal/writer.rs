//! The one writer: collects the records of all streams, writes them in one batch with one flush, and answers when they are on the disk. While a batch is
//! flushed the next one gathers. It owns the order of things: a stream's records are written in the order in which they were queued, and once one of them
//! fails, every later one of the same lease fails too.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tornello_engine::time::Timestamp;

use super::{Batch, Head, Journal, JournalError, Span, StreamId};
use crate::clock::{Clock, Stopwatch};

/// Is given each batch that is on the disk, with its hash. It must not wait.
pub type Tap = Box<dyn Fn(Batch, [u8; 32]) + Send>;

/// How soon a store that failed is asked again when there is nothing to write.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A write, flush included, that takes so long is not waited for at gates: the disk stalls.
pub const STALLED_AFTER_US: i64 = 1_000_000;
/// Nothing is being written.
const NOTHING_BEGUN: i64 = i64::MAX;

/// The right of one incarnation of a stream's owner to write. A new one ends the old.
#[derive(Debug)]
pub struct Lease {
    /// Which stream.
    pub stream: StreamId,
    ended: AtomicBool,
    faulty: AtomicBool,
    committed: AtomicU64,
}

impl Lease {
    /// Whether nothing more can be written under this lease: an append failed, or there is a newer owner.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Ends the lease: what is queued under it will not be written.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Ends the lease because its owner has found a fault in itself.
    pub fn end_faulty(&self) {
        self.faulty.store(true, Ordering::Release);
        self.end();
    }

    /// Whether its owner has found a fault in itself.
    #[must_use]
    pub fn is_faulty(&self) -> bool {
        self.faulty.load(Ordering::Acquire)
    }

    /// Notes the last record on the disk, as found when the stream was rebuilt under this lease.
    pub fn rebuilt(&self, seq: u64) {
        self.committed.fetch_max(seq, Ordering::Release);
    }

    /// Number of the last record known to be on the disk.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Acquire)
    }
}

/// Why a queued record was not written, or not knowably.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// Surely not written.
    NotWritten(String),
    /// Nobody knows.
    Unknown,
}

/// A record on its way to the disk, with what to do afterwards.
pub trait Pending: Send {
    /// Under whose right.
    fn lease(&self) -> &Arc<Lease>;
    /// The record's number.
    fn seq(&self) -> u64;
    /// Appends the framed record.
    fn encode(&self, out: &mut Vec<u8>);
    /// It is on the disk, in that batch: tell the house. All of a batch are told before anybody is answered.
    fn tell(&mut self, batch: u64);
    /// It is on the disk, and everybody knows: answer.
    fn answer(self: Box<Self>);
    /// It is not, or nobody knows: answer that. If it is found to be on the disk after all, the house is told later.
    fn lost(&mut self, lost: Lost);
}

enum Job {
    Write(Box<dyn Pending>),
    /// Runs when everything queued before is settled; with whether the lease still stands.
    Settle(Arc<Lease>, Box<dyn FnOnce(bool) + Send>),
    /// A new owner of a stream: ends the old lease.
    Lease(StreamId, oneshot::Sender<Arc<Lease>>),
}

/// How the writer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// What is queued is written.
    Writing,
    /// What is queued is to be written, but the disk takes longer than anybody wants to wait. Nothing is lost, and nobody knows when it goes on.
    Stalled,
    /// The last append failed; the store is asked again at the next one, and once a second.
    Recovering,
    /// A flush failed: nothing is written until a restart.
    Stopped,
}

/// Notices that the disk stalls: the writer waits for it, and cannot. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StallWatch {
    /// Since when a batch is being written, in microseconds.
    begun_us: Arc<AtomicI64>,
    /// Gone with the writer.
    health: Weak<watch::Sender<Health>>,
}

impl StallWatch {
    /// Says so if what is being written has taken too long by now. The writer takes that back when it is written.
    pub fn look(&self, now: Timestamp) {
        let Some(health) = self.health.upgrade() else { return };
        let stalls = health.send_if_modified(|health| {
            // Asked here: the writer notes that it is done before it looks whether it is said to stall.
            let stalls = *health == Health::Writing && now.as_micros().saturating_sub(self.begun_us.load(Ordering::Acquire)) >= STALLED_AFTER_US;
            if stalls {
                *health = Health::Stalled;
            }
            stalls
        });
        if stalls {
            tracing::error!("the disk of the journal stalls: a write takes longer than a second; gates go on by themselves meanwhile");
        }
    }
}

/// Where the owners of streams queue their records. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queue {
    jobs: mpsc::Sender<Job>,
    committed: watch::Receiver<Head>,
    health: watch::Receiver<Health>,
    stalls: StallWatch,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

/// Room for one record, taken before anything is decided, so that nothing ever has to be taken back.
#[derive(Debug)]
pub struct Permit<'a>(mpsc::Permit<'a, Job>);

impl Permit<'_> {
    /// Queues the record.
    pub fn write(self, pending: Box<dyn Pending>) {
        self.0.send(Job::Write(pending));
    }

    /// Runs `then` when everything queued so far is settled, with whether the lease still stands.
    pub fn settle(self, lease: &Arc<Lease>, then: impl FnOnce(bool) + Send + 'static) {
        self.0.send(Job::Settle(Arc::clone(lease), Box::new(then)));
    }
}

impl Queue {
    /// Room for one record; none if the queue is full or the writer has stopped.
    #[must_use]
    pub fn permit(&self) -> Option<Permit<'_>> {
        self.jobs.try_reserve().ok().map(Permit)
    }

    /// Becomes the owner of a stream: everything queued for it before is settled when this answers. None if the writer has stopped.
    pub async fn lease(&self, stream: StreamId) -> Option<Arc<Lease>> {
        let (answer, lease) = oneshot::channel();
        self.jobs.send(Job::Lease(stream, answer)).await.ok()?;
        lease.await.ok()
    }

    /// How the writer is, as it changes.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// What notices that the disk stalls, if somebody looks.
    #[must_use]
    pub fn stall_watch(&self) -> StallWatch {
        self.stalls.clone()
    }

    /// Follows the end of the journal: changes after each commit.
    #[must_use]
    pub fn committed(&self) -> watch::Receiver<Head> {
        self.committed.clone()
    }
}

/// How large batches get.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most records that wait; more callers are told `Busy`.
    pub queue: usize,
    /// The most records in one batch.
    pub batch: usize,
    /// In a rush a batch is begun no sooner than this after the one before was.
    pub pace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue: 16_384, batch: 4_096, pace: PACE }
    }
}

/// A flush costs the processor as much as several sales do. In a rush, when the processors are what is short, waiting a little longer for more records takes nobody's time: whoever
/// asks next could not be served sooner. What it is worth is in `benches/README.md`.
const PACE: Duration = Duration::from_micros(500);
/// It is a rush when the batch before was of so many records at least. With fewer there is next to nothing to gather, and whoever asks alone pays for the wait.
const RUSH: usize = 3;

/// Starts the writer on a thread of its own, which ends when all queues are dropped and what was queued is settled.
/// `tap` is told before anybody is answered.
pub fn start(
    journal: Arc<dyn Journal>,
    head: Head,
    clock: Arc<dyn Clock>,
    limits: Limits,
    tap: Option<Tap>,
) -> std::io::Result<(Queue, std::thread::JoinHandle<()>)> {
    let (queue, writer) = prepare(journal, head, clock, limits, tap);
    // It waits for its queue and for time, not for sockets: without these waking it costs less.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let thread = std::thread::Builder::new().name("journal".into()).spawn(move || runtime.block_on(writer))?;
    Ok((queue, thread))
}

/// The writer before it runs, for whoever says on which thread it does: its queue, and what is to be run, as [`start`] does.
pub fn prepare(
    journal: Arc<dyn Journal>,
    head: Head,
    clock: Arc<dyn Clock>,
    limits: Limits,
    tap: Option<Tap>,
) -> (Queue, impl Future<Output = ()> + Send + 'static) {
    let (sender, jobs) = mpsc::channel(limits.queue);
    let (committed, follow) = watch::channel(head);
    let (health, feel) = watch::channel(Health::Writing);
    let (health, begun_us) = (Arc::new(health), Arc::new(AtomicI64::new(NOTHING_BEGUN)));
    let stalls = StallWatch { begun_us: Arc::clone(&begun_us), health: Arc::downgrade(&health) };
    let writer = Writer { journal, clock, head, health, begun_us, doubtful: None, committed, leases: HashMap::new(), leases_swept: 1024, tap };
    (Queue { jobs: sender, committed: follow, health: feel, stalls }, writer.run(jobs, limits))
}

struct Writer {
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    head: Head,
    health: Arc<watch::Sender<Health>>,
    /// Since when a batch is being written, for whoever looks.
    begun_us: Arc<AtomicI64>,
    /// A batch of which nobody knows whether it was written, with its records: if it was, the house has not been told.
    doubtful: Option<(Head, Vec<Box<dyn Pending>>)>,
    committed: watch::Sender<Head>,
    leases: HashMap<StreamId, Weak<Lease>>,
    leases_swept: usize,
    tap: Option<Tap>,
}

impl Writer {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>, limits: Limits) {
        let batch_max = limits.batch;
        let mut gathered = Vec::with_capacity(batch_max);
        let (mut since_begun, mut written) = (Stopwatch::start(), 0);
        loop {
            let gather = jobs.recv_many(&mut gathered, batch_max);
            let count = if *self.health.borrow() == Health::Recovering {
                // Nobody may ask for anything until the store is said to be back: whoever spreads the load sends nothing here.
                let Ok(count) = tokio::time::timeout(ASK_AGAIN, gather).await else {
                    self.recover().await;
                    continue;
                };
                count
            } else {
                gather.await
            };
            if count == 0 {
                return;
            }
            if written >= RUSH {
                // Whatever else runs on this thread waits too.
                std::thread::sleep(limits.pace.saturating_sub(since_begun.elapsed()));
                while gathered.len() < batch_max
                    && let Ok(job) = jobs.try_recv()
                {
                    gathered.push(job);
                }
            }
            since_begun = Stopwatch::start();
            let mut records = Vec::with_capacity(gathered.len());
            let mut after = Vec::new();
            for job in gathered.drain(..) {
                match job {
                    Job::Write(pending) => records.push(pending),
                    other => after.push(other),
                }
            }
            written = records.len();
            // What is asked for after a commit waits for all records of this round, which include those queued before it.
            self.write(records).await;
            for job in after {
                self.answer(job);
            }
        }
    }

    fn answer(&mut self, job: Job) {
        match job {
            Job::Settle(lease, then) => then(!lease.has_ended()),
            Job::Lease(stream, answer) => {
                let lease = Arc::new(Lease { stream, ended: AtomicBool::new(false), faulty: AtomicBool::new(false), committed: AtomicU64::new(0) });
                if let Some(old) = self.leases.insert(stream, Arc::downgrade(&lease)).and_then(|old| old.upgrade()) {
                    old.end();
                }
                if self.leases.len() > self.leases_swept {
                    self.leases.retain(|_, lease| lease.strong_count() > 0);
                    self.leases_swept = 1024 + 2 * self.leases.len();
                }
                // Nobody waits any more: the lease is dropped with the answer.
                let _ = answer.send(lease);
            }
            Job::Write(mut pending) => pending.lost(Lost::NotWritten("queued out of order".into())),
        }
    }

    async fn write(&mut self, mut records: Vec<Box<dyn Pending>>) {
        if records.is_empty() {
            return;
        }
        let health = *self.health.borrow();
        match health {
            Health::Writing | Health::Stalled => {}
            Health::Recovering if self.recover().await => {}
            Health::Recovering => return lose(&mut records, &Lost::NotWritten("the store has not come back".into())),
            Health::Stopped => return lose(&mut records, &Lost::NotWritten("the disk failed: check it, then restart the program".into())),
        }
        let (mut live, mut late): (Vec<_>, Vec<_>) = records.drain(..).partition(|pending| !pending.lease().has_ended());
        lose(&mut late, &Lost::NotWritten("the stream has a newer owner".into()));
        if live.is_empty() {
            return;
        }
        let batch = self.gather(&live);
        let head = Head { number: batch.number, hash: batch.hash(), at: batch.at };
        self.begun_us.store(self.clock.now().as_micros(), Ordering::Release);
        let appended = self.journal.append_hashed(&batch, head.hash).await;
        self.begun_us.store(NOTHING_BEGUN, Ordering::Release);
        match appended {
            Ok(()) => {
                self.head = head;
                for pending in &mut live {
                    // In this order: what follows from a record is said as soon as its owner knows it to be written, and whoever hears that looks at the counters next.
                    pending.tell(batch.number);
                    pending.lease().committed.store(pending.seq(), Ordering::Release);
                }
                if let Some(tap) = &self.tap {
                    tap(batch, self.head.hash);
                }
                self.committed.send_replace(self.head);
                self.goes_on();
                for pending in live {
                    pending.answer();
                }
            }
            Err(error) => self.failed(error, head, live).await,
        }
    }

    /// The disk did not stall for good.
    fn goes_on(&self) {
        let stalled = self.health.send_if_modified(|health| {
            let stalled = *health == Health::Stalled;
            if stalled {
                *health = Health::Writing;
            }
            stalled
        });
        if stalled {
            tracing::warn!("the disk of the journal writes again");
        }
    }

    fn gather(&self, records: &[Box<dyn Pending>]) -> Batch {
        let mut bytes = Vec::with_capacity(records.len() * 256);
        let mut spans: Vec<Span> = Vec::new();
        let mut index: HashMap<StreamId, usize> = HashMap::new();
        for pending in records {
            pending.encode(&mut bytes);
            let stream = pending.lease().stream;
            // In a rush most are of the slot that the one before is of.
            let at = match spans.last() {
                Some(last) if last.stream == stream => spans.len() - 1,
                _ => *index.entry(stream).or_insert_with(|| {
                    spans.push(Span { stream, first: pending.seq(), last: pending.seq() });
                    spans.len() - 1
                }),
            };
            assert!(pending.seq() == spans[at].last || pending.seq() == spans[at].last + 1, "records of {stream} are queued with a gap");
            spans[at].last = pending.seq();
        }
        let at = self.clock.now().max(self.head.at);
        Batch { number: self.head.number + 1, previous: self.head.hash, at, records: bytes, spans }
    }

    async fn failed(&mut self, error: JournalError, head: Head, mut records: Vec<Box<dyn Pending>>) {
        tracing::error!(%error, records = records.len(), "a batch was not written; its streams will be rebuilt from the journal");
        let lost = match &error {
            JournalError::Full(_) | JournalError::Conflict(_) => Lost::NotWritten(error.to_string()),
            JournalError::Unreachable(_) | JournalError::FlushFailed(_) | JournalError::Corrupt { .. } | JournalError::Newer { .. } => Lost::Unknown,
        };
        let stopped = matches!(error, JournalError::FlushFailed(_));
        self.health.send_replace(if stopped { Health::Stopped } else { Health::Recovering });
        lose(&mut records, &lost);
        // Where the disk failed it is not known before the next start: what such records keep from others would be kept for good.
        if lost == Lost::Unknown && !stopped {
            self.doubtful = Some((head, records));
        }
        if !stopped {
            self.recover().await;
        }
    }

    /// Asks the store where it ends now: the failed batch may be in it after all.
    async fn recover(&mut self) -> bool {
        match self.journal.recover().await {
            Ok(head) => {
                self.head = head;
                if let Some((_, records)) = self.doubtful.take().filter(|(doubtful, _)| *doubtful == head) {
                    tracing::warn!(batch = head.number, "a batch was written although its append failed");
                    // Who became owner meanwhile may have read the stream back without it. Before anybody is told: nobody who has seen the counters hears less of an owner.
                    for pending in &records {
                        let owned = self.leases.get(&pending.lease().stream).and_then(Weak::upgrade);
                        if let Some(lease) = owned.filter(|lease| lease.committed() < pending.seq()) {
                            lease.end();
                        }
                    }
                    for mut pending in records {
                        pending.tell(head.number);
                    }
                }
                self.health.send_replace(Health::Writing);
                self.committed.send_replace(head);
                true
            }
            Err(error) => {
                tracing::error!(%error, "the store cannot be recovered yet");
                false
            }
        }
    }
}

fn lose(records: &mut [Box<dyn Pending>], lost: &Lost) {
    for pending in records {
        pending.lease().end();
        pending.lost(lost.clone());
    }
}
