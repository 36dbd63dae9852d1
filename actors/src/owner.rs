//! The shell around one stream: an actor that owns an aggregate, gives it commands one at a time and queues what it decides. Plumbing only.
//!
//! A command goes: permit, decide, apply and check, append, answer, tell. The mailbox is never held while the disk works: the caller's answer travels with the
//! record and is given by the writer when the record is on the disk. There is no roll-back: when an append fails or an invariant breaks, the lease ends, the
//! actor stops, and the registry builds a new one from the journal.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use actix::{Actor, ActorContext, Context, Handler, Message};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::envelope::Envelope;
use tornello_engine::recall::Recall;
use tornello_engine::record::Record;
use tornello_engine::time::Timestamp;

use crate::clock::Clock;
use crate::failure::Failure;
use crate::journal::StreamId;
use crate::journal::wire::{self, Wire};
use crate::journal::writer::{Lease, Lost, Pending, Permit, Queue};
use crate::registry::ANSWER_WITHIN;
use crate::views::Snapshot;

/// How many commands and looks wait in one mailbox before callers are told `Busy`. The places are counted by the registry: actix bounds a mailbox for each copy
/// of its address, and for those alone who wait until they may send.
pub const MAILBOX: usize = 8_192;
/// After so many records, and whenever there are twice as many, a snapshot of a stream is made while its owner lives. Without that a busy stream, which is never idle before a
/// crash, would be read back from its first record. The distance doubles because a snapshot writes down all of the state: at a fixed distance snapshots would cost a busy slot more
/// than its sales do. Beyond [`SNAPSHOT_TO`] there is none: callers would wait for it longer than reading that much back takes.
pub const SNAPSHOT_FROM: u64 = 512;
const SNAPSHOT_TO: u64 = 8_192;
/// The most records of due deadlines that one command ends before it is decided.
const DUE_RECORDS_MAX: usize = 64;

/// What the rest of the house wants to know of a stream's commits; called by the writer, in order.
pub trait Tell<A: Aggregate>: Send + Sync + 'static {
    /// What is kept of the state at that record.
    type View: Send;
    /// Looks at the state right after the record was applied.
    fn view(&self, state: &A) -> Self::View;
    /// The record is on the disk, in that batch.
    fn committed(&self, stream: &Lease, record: &Record<A::Event>, view: Self::View, batch: u64);
    /// The stream was read back from the disk: what was published of it before may be older.
    fn rebuilt(&self, stream: &Lease, state: &A);
}

/// Tells nobody: of these streams nothing is kept at hand.
#[derive(Debug)]
pub struct Silent;

impl<A: Aggregate> Tell<A> for Silent {
    type View = ();
    fn view(&self, _: &A) {}
    fn committed(&self, _: &Lease, _: &Record<A::Event>, (): (), _: u64) {}
    fn rebuilt(&self, _: &Lease, _: &A) {}
}

/// What a caller gets: the record that the command became, now or the first time it was given.
pub type Answer<A> = Result<Record<<A as Aggregate>::Event>, Failure<<A as Aggregate>::Refusal>>;

/// What was set aside for a command, if anything was: let go when the command has come to its end, also if its caller went away before. Whoever gives it to the next owner if this
/// one stops holds it as well, and hears of that end later than the counters do: so it goes when somebody says so, and at the latest with the last who holds it.
#[derive(Clone, Default)]
pub struct Kept(Option<Arc<Mutex<Option<SetAside>>>>);

type SetAside = Box<dyn Any + Send>;

impl Kept {
    /// Keeps this.
    pub fn new(aside: impl Any + Send) -> Self {
        let aside: SetAside = Box::new(aside);
        Self(Some(Arc::new(Mutex::new(Some(aside)))))
    }

    /// Keeps a turn, for what one alone may do at a time, until that has come to its end; none if the turn is not to be had as long as anybody waits for an answer.
    pub async fn turn(of: &Arc<tokio::sync::Mutex<()>>) -> Option<Self> {
        tokio::time::timeout(ANSWER_WITHIN, Arc::clone(of).lock_owned()).await.ok().map(Self::new)
    }

    /// Lets it go, whoever else holds it.
    pub fn end(&self) {
        let aside = self.0.as_ref().and_then(|kept| kept.lock().take());
        drop(aside);
    }
}

impl<T: Any + Send> From<Option<T>> for Kept {
    fn from(aside: Option<T>) -> Self {
        aside.map_or_else(Self::default, Self::new)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

/// A command with its caller waiting.
pub struct Ask<A: Aggregate> {
    /// When it was given.
    pub at: Timestamp,
    /// After this nobody waits for the answer any more: it is not decided.
    pub deadline: Timestamp,
    /// By whom, under which key.
    pub envelope: Envelope,
    /// What is asked.
    pub command: A::Command,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Answer<A>>,
    /// Its place in the mailbox, free again when the command is decided.
    pub place: OwnedSemaphorePermit,
    /// What it keeps.
    pub kept: Kept,
}

impl<A: Aggregate> Message for Ask<A> {
    type Result = ();
}

/// A look at the state, with its place in the mailbox.
pub struct Look<A>(pub Looking<A>, pub OwnedSemaphorePermit);

/// What a look does with what it sees.
pub type Looking<A> = Box<dyn FnOnce(Seen<'_, A>) + Send>;

impl<A> Message for Look<A> {
    type Result = ();
}

/// What a look sees.
pub struct Seen<'a, A> {
    /// The state, with everything that was asked before.
    pub state: &'a A,
    /// Where to wait until it is true.
    pub queue: &'a Queue,
    /// Under which lease.
    pub lease: &'a Arc<Lease>,
}

/// Ends what is due. Sent by the registry when a deadline has come.
pub struct Wake(pub Timestamp);

impl Message for Wake {
    type Result = ();
}

/// Retires the owner if nothing of its stream is on its way to the disk and nobody has asked since the last time. Answers with its state if it retires. Whoever asks
/// afterwards gets a new owner.
pub struct Retire<A>(pub oneshot::Sender<Option<A>>);

impl<A> Message for Retire<A> {
    type Result = ();
}

/// The owner of one stream.
pub struct Owner<A: Aggregate, T: Tell<A>> {
    state: A,
    lease: Arc<Lease>,
    queue: Queue,
    tell: Arc<T>,
    read: Arc<dyn ReadBack<A>>,
    clock: Arc<dyn Clock>,
    used: bool,
}

/// Reads a record that was written before, for the repeat of a key.
pub trait ReadBack<A: Aggregate>: Send + Sync + 'static {
    /// Finds record `seq` of the lease's stream and answers with it.
    fn read_back(&self, lease: &Arc<Lease>, seq: u64, answer: oneshot::Sender<Answer<A>>);
    /// Whether the state still follows from what it was made of: a slot that nobody has written to is made of a plan, which may have changed since.
    fn is_current(&self, state: &A) -> bool;
    /// A snapshot of the state, to be kept when its last record is on the disk. None if streams of this kind have no snapshots, or one of this stream is being written.
    fn snapshot(&self, stream: StreamId, state: &A) -> Option<Snapshot>;
}

impl<A: Aggregate, T: Tell<A>> fmt::Debug for Owner<A, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "owner of {}", self.lease.stream)
    }
}

impl<A: Aggregate, T: Tell<A>> Owner<A, T>
where
    A::Event: Wire,
{
    /// Takes over a stream whose state has been rebuilt up to the last record.
    pub fn new(state: A, lease: Arc<Lease>, queue: Queue, tell: Arc<T>, read: Arc<dyn ReadBack<A>>, clock: Arc<dyn Clock>) -> Self {
        Self { state, lease, queue, tell, read, clock, used: true }
    }

    /// Decides, applies, checks and queues one command. The answer goes to the caller from here (a refusal) or from the writer (what happened).
    fn ask(&mut self, ask: Ask<A>) -> Result<(), Stop> {
        let Ask { at, deadline, envelope, command, answer, place: _place, kept } = ask;
        // What was kept goes before the answer: whoever hears that may ask for more at once.
        let refuse = |answer: oneshot::Sender<Answer<A>>, kept: &Kept, failure| {
            kept.end();
            drop(answer.send(Err(failure)));
        };
        if self.clock.now() > deadline {
            refuse(answer, &kept, Failure::Busy);
            return Ok(());
        }
        match self.state.recall(&envelope) {
            Recall::New => {}
            Recall::OtherBody => {
                refuse(answer, &kept, Failure::KeyReused);
                return Ok(());
            }
            Recall::Done { seq } => {
                kept.end();
                self.repeat(seq, answer);
                return Ok(());
            }
        }
        if !self.end_due(at)? {
            refuse(answer, &kept, Failure::Busy);
            return Ok(());
        }
        let events = match self.state.decide_for(at, &envelope, &command) {
            Ok(events) => events,
            Err(refusal) => {
                kept.end();
                self.refuse(refusal, answer);
                return Ok(());
            }
        };
        self.append(at, Some(envelope), events, Some(answer), kept)
    }

    /// Ends what is due at `now`; false if there is no room in the queue.
    fn end_due(&mut self, now: Timestamp) -> Result<bool, Stop> {
        for _ in 0..DUE_RECORDS_MAX {
            if self.state.wake_at().is_none_or(|due| due > now) {
                return Ok(true);
            }
            if self.queue.permit().is_none() {
                return Ok(false);
            }
            let events = self.state.due(now);
            if events.is_empty() {
                return Ok(true);
            }
            self.append(now, None, events, None, Kept::default())?;
        }
        Ok(false)
    }

    fn append(
        &mut self,
        now: Timestamp,
        envelope: Option<Envelope>,
        events: Vec<A::Event>,
        answer: Option<oneshot::Sender<Answer<A>>>,
        kept: Kept,
    ) -> Result<(), Stop> {
        let Some(permit) = self.queue.permit() else {
            kept.end();
            if let Some(answer) = answer {
                let _ = answer.send(Err(Failure::Busy));
            }
            return Ok(());
        };
        let record = self.state.record(now, envelope, events);
        self.state.apply(&record);
        if let Err(broken) = self.state.check() {
            tracing::error!(stream = %self.lease.stream, seq = record.seq, %broken, "an invariant broke; nothing was written, the stream is rebuilt");
            kept.end();
            if let Some(answer) = answer {
                let _ = answer.send(Err(Failure::OutOfOrder(broken.to_string())));
            }
            return Err(Stop);
        }
        let view = self.tell.view(&self.state);
        let is_due = (SNAPSHOT_FROM..=SNAPSHOT_TO).contains(&record.seq) && record.seq.is_power_of_two();
        let snapshot = if is_due { self.read.snapshot(self.lease.stream, &self.state) } else { None };
        permit.write(Box::new(Append {
            lease: Arc::clone(&self.lease),
            record,
            view: Some(view),
            tell: Arc::clone(&self.tell),
            answer,
            kept,
            snapshot,
        }));
        Ok(())
    }

    /// Answers with a refusal once everything that it follows from is on the disk. Earlier the counters would not show it yet, and it might never come true: the next
    /// caller could then get what this one was refused.
    fn refuse(&self, refusal: A::Refusal, answer: oneshot::Sender<Answer<A>>) {
        let Some(settling) = Settling::of(&self.state, &self.queue, &self.lease) else {
            let _ = answer.send(Err(Failure::Busy));
            return;
        };
        settling.then(&self.lease, move |stands| {
            let _ = answer.send(Err(if stands { Failure::Refused(refusal) } else { Failure::Busy }));
        });
    }

    /// Answers a repeated key with the record that the command became the first time, once it is on the disk.
    fn repeat(&self, seq: u64, answer: oneshot::Sender<Answer<A>>) {
        let Some(settling) = Settling::of(&self.state, &self.queue, &self.lease) else {
            let _ = answer.send(Err(Failure::Busy));
            return;
        };
        let (read, lease) = (Arc::clone(&self.read), Arc::clone(&self.lease));
        settling.then(&self.lease, move |stands| {
            if stands {
                read.read_back(&lease, seq, answer);
            } else {
                drop(answer.send(Err(Failure::OutcomeUnknown)));
            }
        });
    }

    fn run(&mut self, ctx: &mut Context<Self>, what: impl FnOnce(&mut Self) -> Result<(), Stop>) {
        self.used = true;
        // Whoever asked an owner that stops here asks the next one: the answer's sender is dropped with the message.
        if self.lease.has_ended() || !self.read.is_current(&self.state) {
            self.lease.end();
            ctx.stop();
        } else if what(self).is_err() {
            self.lease.end_faulty();
            ctx.stop();
        }
    }
}

/// The way to wait until a whole state is on the disk.
pub struct Settling<'a>(Option<Permit<'a>>);

impl<'a> Settling<'a> {
    /// Ready at once if all of the state is on the disk, or with a place in the writer's queue; none if the queue is full.
    pub fn of<A: Aggregate>(state: &A, queue: &'a Queue, lease: &Lease) -> Option<Self> {
        if state.seq() <= lease.committed() { Some(Self(None)) } else { queue.permit().map(|permit| Self(Some(permit))) }
    }

    /// Runs `then` at once, or when all is settled; with whether the lease still stands.
    pub fn then(self, lease: &Arc<Lease>, then: impl FnOnce(bool) + Send + 'static) {
        match self.0 {
            None => then(!lease.has_ended()),
            Some(permit) => permit.settle(lease, then),
        }
    }
}

/// The actor must stop: its state is not to be trusted.
struct Stop;

impl<A: Aggregate, T: Tell<A>> Actor for Owner<A, T>
where
    A::Event: Wire,
{
    type Context = Context<Self>;
}

impl<A: Aggregate, T: Tell<A>> Handler<Ask<A>> for Owner<A, T>
where
    A::Event: Wire,
{
    type Result = ();

    fn handle(&mut self, ask: Ask<A>, ctx: &mut Self::Context) {
        self.run(ctx, |owner| owner.ask(ask));
    }
}

impl<A: Aggregate, T: Tell<A>> Handler<Look<A>> for Owner<A, T>
where
    A::Event: Wire,
{
    type Result = ();

    fn handle(&mut self, look: Look<A>, ctx: &mut Self::Context) {
        self.run(ctx, |owner| {
            (look.0)(Seen { state: &owner.state, queue: &owner.queue, lease: &owner.lease });
            Ok(())
        });
    }
}

impl<A: Aggregate, T: Tell<A>> Handler<Wake> for Owner<A, T>
where
    A::Event: Wire,
{
    type Result = ();

    fn handle(&mut self, wake: Wake, ctx: &mut Self::Context) {
        self.run(ctx, |owner| owner.end_due(wake.0).map(drop));
    }
}

impl<A: Aggregate, T: Tell<A>> Handler<Retire<A>> for Owner<A, T>
where
    A::Event: Wire,
{
    type Result = ();

    fn handle(&mut self, retire: Retire<A>, ctx: &mut Self::Context) {
        let idle = !std::mem::take(&mut self.used) && self.state.seq() <= self.lease.committed();
        if idle {
            // Here and not by whoever asked: what is decided between the answer and that would be lost.
            self.lease.end();
            ctx.stop();
        }
        let _ = retire.0.send(idle.then(|| self.state.clone()));
    }
}

/// A record on its way to the disk.
struct Append<A: Aggregate, T: Tell<A>> {
    lease: Arc<Lease>,
    record: Record<A::Event>,
    view: Option<T::View>,
    tell: Arc<T>,
    answer: Option<oneshot::Sender<Answer<A>>>,
    kept: Kept,
    /// The state at this record.
    snapshot: Option<Snapshot>,
}

impl<A: Aggregate, T: Tell<A>> Pending for Append<A, T>
where
    A::Event: Wire,
{
    fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    fn seq(&self) -> u64 {
        self.record.seq
    }

    fn encode(&self, out: &mut Vec<u8>) {
        wire::encode(self.lease.stream, &self.record, out);
    }

    fn tell(&mut self, batch: u64) {
        if let Some(view) = self.view.take() {
            self.tell.committed(&self.lease, &self.record, view, batch);
        }
        // What was set aside for it counts as written from now on, and not twice.
        self.kept.end();
    }

    fn answer(self: Box<Self>) {
        let Self { record, answer, snapshot, .. } = *self;
        if let Some(answer) = answer {
            let _ = answer.send(Ok(record));
        }
        // Not before: a snapshot that knows more than the journal would be believed.
        if let Some(snapshot) = snapshot {
            snapshot.keep();
        }
    }

    fn lost(&mut self, lost: Lost) {
        // What may have been written keeps it until it is known.
        if lost != Lost::Unknown {
            self.kept.end();
        }
        if let Some(answer) = self.answer.take() {
            let _ = answer.send(Err(match lost {
                Lost::NotWritten(why) => Failure::Journal(why),
                Lost::Unknown => Failure::OutcomeUnknown,
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tornello_engine::account::{self, Account};
    use tornello_engine::ids::AccountId;

    use super::*;
    use crate::clock::ManualClock;
    use crate::journal::memory::MemoryJournal;
    use crate::journal::writer::{self, Limits};
    use crate::journal::{Head, Journal, StreamId};
    use crate::views::Views;

    /// Keeps up to which record the owner knew its stream to be written, when the house was told.
    struct Watched(AtomicU64);

    impl Tell<Account> for Watched {
        type View = ();
        fn view(&self, _: &Account) {}
        fn committed(&self, stream: &Lease, _: &Record<account::Event>, (): (), _: u64) {
            self.0.store(stream.committed(), Ordering::SeqCst);
        }
        fn rebuilt(&self, _: &Lease, _: &Account) {}
    }

    #[tokio::test]
    async fn an_owner_says_nothing_that_follows_from_a_record_before_the_house_was_told_of_it() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1)));
        let (queue, _) = writer::start(Arc::new(MemoryJournal::default()), Head::EMPTY, clock, Limits::default(), None).unwrap();
        let (lease, state) = (queue.lease(StreamId::Account(AccountId(1))).await.unwrap(), Account::new(AccountId(1)));
        let record = state.record(Timestamp::from_seconds(1), None, vec![account::Event::Suspended(account::Suspended {})]);
        let (answer, answered) = oneshot::channel();
        let (tell, leased) = (Arc::new(Watched(AtomicU64::new(u64::MAX))), Arc::clone(&lease));
        let (view, kept) = (Some(()), Kept::default());
        let append = Append { lease: leased, record, view, tell: Arc::clone(&tell), answer: Some(answer), kept, snapshot: None };
        queue.permit().unwrap().write(Box::new(append));
        answered.await.unwrap().unwrap();
        assert_eq!((tell.0.load(Ordering::SeqCst), lease.committed()), (0, 1));
    }

    #[tokio::test]
    async fn a_snapshot_is_kept_only_of_what_is_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1)));
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::default());
        let (queue, _) = writer::start(Arc::clone(&journal), Head::EMPTY, clock, Limits::default(), None).unwrap();
        for (id, is_written) in [(AccountId(1), true), (AccountId(2), false)] {
            let views = Views::open(&folder.path().join("views.db")).await.unwrap();
            let (snapshots, writer) = views.snapshots();
            let stream = StreamId::Account(id);
            let (lease, mut state) = (queue.lease(stream).await.unwrap(), Account::new(id));
            let record = state.record(Timestamp::from_seconds(1), None, vec![account::Event::Suspended(account::Suspended {})]);
            state.apply(&record);
            let (snapshot, tell) = (snapshots.take(stream, &state), Arc::new(Silent));
            let mut append: Box<Append<Account, Silent>> =
                Box::new(Append { lease, record, view: Some(()), tell, answer: None, kept: Kept::default(), snapshot });
            append.tell(1);
            if is_written {
                append.answer();
            } else {
                append.lost(Lost::Unknown);
                drop(append);
            }
            drop(snapshots);
            writer.run(Arc::clone(&journal)).await;
            let found = views.snapshots().0.load::<Account>(stream).await;
            assert_eq!(found, is_written.then_some(state));
            views.close().await;
        }
    }
}
