//! Finds the owner of a stream, or makes one: state rebuilt from snapshot and journal, one starter at a time, a new one when the old one has stopped. Retires
//! owners that nobody asks for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, oneshot};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::envelope::Envelope;
use tornello_engine::time::Timestamp;

use crate::clock::Clock;
use crate::failure::Failure;
use crate::journal::StreamId;
use crate::journal::wire::Wire;
use crate::journal::writer::{Lease, Queue};
use crate::owner::{Answer, Ask, Kept, Look, MAILBOX, Owner, ReadBack, Retire, Seen, Settling, Tell, Wake};
use crate::threads::Threads;

/// How long a caller waits for an answer.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How many owners in turn a caller asks, if each stops, before it is turned away.
const ATTEMPTS: usize = 3;
/// How many streams are read back at once.
const STARTING: usize = 8;
/// How many owners are asked at once whether they are idle, and how long each has to say so.
const RETIRING: usize = 64;
const RETIRED_WITHIN: Duration = Duration::from_secs(1);
/// How often a stream is rebuilt in a row before it is out of order.
const REBUILDS_MAX: u32 = 5;
/// After so long without a failure, the count of rebuilds starts again.
const REBUILDS_FORGOTTEN_S: i64 = 60;

/// Where the state of a stream comes from.
pub trait Source<A: Aggregate>: Send + Sync + 'static {
    /// Whether there may be such a stream: asked before anything is made for it.
    fn exists(&self, stream: StreamId) -> BoxFuture<'_, Result<bool, Failure<A::Refusal>>>;
    /// The state after the last record on the disk.
    fn load(&self, stream: StreamId) -> BoxFuture<'_, Result<A, Failure<A::Refusal>>>;
    /// What a caller is told of a stream that does not exist.
    fn unknown(&self, stream: StreamId) -> Failure<A::Refusal>;
    /// Looks at the state of a retired owner, to start from it next time.
    fn retired(&self, stream: StreamId, state: &A);
}

/// What the registries of all kinds of streams share.
pub struct Shared<S> {
    /// What owners run on, spread by stream.
    pub threads: Arc<Threads>,
    /// Where they put their records.
    pub queue: Queue,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where streams are read back from.
    pub streams: Arc<S>,
}

impl<S> Shared<S> {
    /// An empty registry, whose owners tell what becomes of their streams.
    pub fn registry<A: Aggregate, T: Tell<A>>(&self, tell: &Arc<T>) -> Registry<A, T>
    where
        A::Event: Wire,
        S: Source<A> + ReadBack<A>,
    {
        let (threads, queue, clock) = (Arc::clone(&self.threads), self.queue.clone(), Arc::clone(&self.clock));
        let (source, tell, read) = (Arc::clone(&self.streams), Arc::clone(tell), Arc::clone(&self.streams));
        let (starting, reading) = (Semaphore::new(STARTING), Semaphore::new(STARTING));
        Registry { owners: Mutex::default(), rebuilds: Mutex::default(), starting, reading, threads, queue, clock, source, tell, read }
    }
}

/// The owners of all streams of one kind.
pub struct Registry<A: Aggregate, T: Tell<A>>
where
    A::Event: Wire,
{
    owners: Mutex<HashMap<StreamId, Cell<A, T>>>,
    rebuilds: Mutex<HashMap<StreamId, (u32, Timestamp)>>,
    starting: Semaphore,
    /// As many permits again for callers that only look at what is on the disk, so that they do not wait behind starts, which wait for the journal.
    reading: Semaphore,
    threads: Arc<Threads>,
    queue: Queue,
    clock: Arc<dyn Clock>,
    source: Arc<dyn Source<A>>,
    tell: Arc<T>,
    read: Arc<dyn ReadBack<A>>,
}

/// An owner that is in memory, or being made by one caller while others wait.
type Cell<A, T> = Arc<OnceCell<Arc<Started<A, T>>>>;

/// An owner that is in memory. Whoever asks it shares this: a copy of an actor's address costs more than the question.
struct Started<A: Aggregate, T: Tell<A>>
where
    A::Event: Wire,
{
    owner: Addr<Owner<A, T>>,
    lease: Arc<Lease>,
    /// The places in its mailbox.
    places: Arc<Semaphore>,
}

/// The place of an owner that is being made, as one of those has it who wait there. While anybody does, the next try is made in it, and none beside: two owners of one stream would
/// each publish what they have read. If none was made it goes with the last of them, also if that one only went away.
struct Making<'a, A: Aggregate, T: Tell<A>>
where
    A::Event: Wire,
{
    owners: &'a Mutex<HashMap<StreamId, Cell<A, T>>>,
    stream: StreamId,
    cell: Cell<A, T>,
}

impl<A: Aggregate, T: Tell<A>> Drop for Making<'_, A, T>
where
    A::Event: Wire,
{
    fn drop(&mut self) {
        let mut owners = self.owners.lock();
        // It is taken and let go while the registry is locked: so the last who waits has it alone, beside the registry.
        let cell = std::mem::take(&mut self.cell);
        let is_empty = owners.get(&self.stream).is_some_and(|known| Arc::ptr_eq(known, &cell) && known.get().is_none());
        if is_empty && Arc::strong_count(&cell) == 2 {
            owners.remove(&self.stream);
        }
    }
}

impl<A: Aggregate, T: Tell<A>> Started<A, T>
where
    A::Event: Wire,
{
    fn has_stopped(&self) -> bool {
        !self.owner.connected() || self.lease.has_ended()
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, Failure<A::Refusal>> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| Failure::Busy)
    }

    /// Puts a command into the mailbox. If the owner has stopped the answer's sender is dropped with it, and the caller asks its successor.
    fn give(&self, at: Timestamp, envelope: &Envelope, command: &A::Command, kept: &Kept) -> Result<oneshot::Receiver<Answer<A>>, Failure<A::Refusal>>
    where
        A::Command: Clone,
    {
        let (answer, waiting) = oneshot::channel();
        let (deadline, place) = (at.plus_seconds(ANSWER_WITHIN.as_secs().cast_signed()), self.place()?);
        self.owner.do_send(Ask { at, deadline, envelope: envelope.clone(), command: command.clone(), answer, place, kept: kept.clone() });
        Ok(waiting)
    }
}

impl<A: Aggregate, T: Tell<A>> Registry<A, T>
where
    A::Event: Wire,
    A::Command: Clone,
{
    /// Gives a command and waits until what it did is on the disk. If the owner stops meanwhile, the command is given to its successor, which knows by the
    /// key whether it was done.
    pub async fn ask(&self, stream: StreamId, envelope: Envelope, command: A::Command) -> Answer<A> {
        self.send(stream, self.clock.now(), envelope, command)?.await
    }

    /// As [`Registry::ask`], in two steps for a caller that gives many commands in order: the command is in its owner's mailbox when this returns.
    #[allow(clippy::type_complexity, reason = "it is a future with its failure")]
    pub fn send(
        &self,
        stream: StreamId,
        at: Timestamp,
        envelope: Envelope,
        command: A::Command,
    ) -> Result<impl Future<Output = Answer<A>> + '_, Failure<A::Refusal>> {
        self.send_keeping(stream, at, envelope, command, Kept::default())
    }

    /// As [`Registry::send`]. `kept` is held until the command has come to its end, even if the caller does not wait for that; and no longer, even if the caller has yet to hear it.
    #[allow(clippy::type_complexity, reason = "it is a future with its failure")]
    pub fn send_keeping(
        &self,
        stream: StreamId,
        at: Timestamp,
        envelope: Envelope,
        command: A::Command,
        kept: Kept,
    ) -> Result<impl Future<Output = Answer<A>> + '_, Failure<A::Refusal>> {
        let first = match self.started(stream) {
            Some(started) => Some((started.give(at, &envelope, &command, &kept)?, started)),
            None => None,
        };
        Ok(async move {
            let mut waiting = first;
            for _ in 0..ATTEMPTS {
                let (answer, started) = match waiting.take() {
                    Some(waiting) => waiting,
                    None => {
                        let started = self.owner(stream).await?;
                        (started.give(at, &envelope, &command, &kept)?, started)
                    }
                };
                match tokio::time::timeout(ANSWER_WITHIN, answer).await {
                    Ok(Ok(answer)) => return answer,
                    Ok(Err(_)) => self.forget_stopped(&started)?,
                    Err(_) => return Err(Failure::OutcomeUnknown),
                }
            }
            // Whoever drops a command with its answer has not decided it: what was decided is answered by the writer.
            Err(Failure::Journal("the stream's owner was replaced again and again".into()))
        })
    }

    /// Looks at a stream's state, and answers when all that was seen is on the disk.
    pub async fn look<R: Send + 'static>(&self, stream: StreamId, look: impl Fn(&A) -> R + Clone + Send + 'static) -> Result<R, Failure<A::Refusal>> {
        for _ in 0..ATTEMPTS {
            let started = self.owner(stream).await?;
            let (answer, seen) = oneshot::channel();
            let look = look.clone();
            let looking = Box::new(move |Seen { state, queue, lease }: Seen<'_, A>| match Settling::of(state, queue, lease) {
                None => drop(answer.send(Err(Failure::Busy))),
                Some(settling) => {
                    let result = look(state);
                    settling.then(lease, move |stands| {
                        if stands {
                            let _ = answer.send(Ok(result));
                        }
                    });
                }
            });
            started.owner.do_send(Look(looking, started.place()?));
            match tokio::time::timeout(ANSWER_WITHIN, seen).await {
                Ok(Ok(result)) => return result,
                Ok(Err(_)) => self.forget_stopped(&started)?,
                Err(_) => return Err(Failure::Busy),
            }
        }
        Err(Failure::Busy)
    }

    /// The state after a stream's last record on the disk, whatever its owner has on the way.
    pub async fn on_disk(&self, stream: StreamId) -> Result<A, Failure<A::Refusal>> {
        if !self.source.exists(stream).await? {
            return Err(self.source.unknown(stream));
        }
        let _turn = self.reading.acquire().await;
        self.source.load(stream).await
    }

    /// Tells a stream's owner that a deadline has come. The wake index is the one caller, and asks again.
    pub async fn wake(&self, stream: StreamId, now: Timestamp) -> Result<(), Failure<A::Refusal>> {
        self.owner(stream).await?.owner.do_send(Wake(now));
        Ok(())
    }

    /// How many owners are in memory.
    pub fn len(&self) -> usize {
        self.owners.lock().len()
    }

    /// Whether no owner is in memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Retires the owners that nobody has asked since the last call, keeping their states as snapshots. Answers how many.
    pub async fn retire_idle(&self) -> usize {
        let mut started: Vec<_> = self.owners.lock().iter().filter_map(|(stream, cell)| Some((*stream, cell.get()?.clone()))).collect();
        started.sort_unstable_by_key(|(stream, _)| *stream);
        // So few at once that their states do not fill the memory a second time.
        let retiring = stream::iter(started).map(|(stream, started)| self.retire(stream, started)).buffer_unordered(RETIRING);
        let retired: Vec<bool> = retiring.collect().await;
        retired.into_iter().filter(|retired| *retired).count()
    }

    /// Retires one, if it is idle. One whose mailbox is so full that it does not answer is not.
    async fn retire(&self, stream: StreamId, started: Arc<Started<A, T>>) -> bool {
        let (answer, idle) = oneshot::channel();
        started.owner.do_send(Retire(answer));
        let idle = tokio::time::timeout(RETIRED_WITHIN, idle).await;
        self.drop_stopped(stream);
        match idle {
            Ok(Ok(Some(state))) => {
                self.source.retired(stream, &state);
                true
            }
            _ => false,
        }
    }

    /// The owner, if it is in memory.
    fn started(&self, stream: StreamId) -> Option<Arc<Started<A, T>>> {
        let owners = self.owners.lock();
        owners.get(&stream)?.get().filter(|started| !started.has_stopped()).cloned()
    }

    /// The owner. One that is not in memory is made in a future of its own, so that whoever waits for an answer has no room in theirs for what making it takes.
    async fn owner(&self, stream: StreamId) -> Result<Arc<Started<A, T>>, Failure<A::Refusal>> {
        match self.started(stream) {
            Some(started) => Ok(started),
            None => Box::pin(self.made(stream)).await,
        }
    }

    /// The owner of a stream that had none just now.
    async fn made(&self, stream: StreamId) -> Result<Arc<Started<A, T>>, Failure<A::Refusal>> {
        if !self.source.exists(stream).await? {
            return Err(self.source.unknown(stream));
        }
        self.drop_stopped(stream);
        let making = Making { owners: &self.owners, stream, cell: Arc::clone(self.owners.lock().entry(stream).or_default()) };
        let started = making.cell.get_or_try_init(|| self.start(stream)).await;
        started.cloned()
    }

    /// A new owner: first the barrier, so that everything queued for the stream is settled, then the state as it is on the disk.
    async fn start(&self, stream: StreamId) -> Result<Arc<Started<A, T>>, Failure<A::Refusal>> {
        // Many streams at once would read many batches at once.
        let _turn = self.starting.acquire().await;
        let lease = self.queue.lease(stream).await.ok_or(Failure::Journal("the journal's writer has stopped".into()))?;
        let state = self.source.load(stream).await?;
        lease.rebuilt(state.seq());
        self.tell.rebuilt(&lease, &state);
        let owner =
            Owner::new(state, Arc::clone(&lease), self.queue.clone(), Arc::clone(&self.tell), Arc::clone(&self.read), Arc::clone(&self.clock));
        let owner = Owner::start_in_arbiter(&self.threads.pick(spread(stream)), |_| owner);
        Ok(Arc::new(Started { owner, lease, places: Arc::new(Semaphore::new(MAILBOX)) }))
    }

    fn drop_stopped(&self, stream: StreamId) {
        let mut owners = self.owners.lock();
        if owners.get(&stream).and_then(|cell| cell.get()).is_some_and(|started| started.has_stopped()) {
            owners.remove(&stream);
        }
    }

    /// Forgets an owner that has stopped, so that the next caller makes a new one. Refuses if the stream stops its owners again and again by a fault of its own. A stop
    /// counts once, however many callers waited for the owner.
    fn forget_stopped(&self, stopped: &Started<A, T>) -> Result<(), Failure<A::Refusal>> {
        // A panic leaves the lease as it is. Any other end is the house's doing: a full disk puts no stream out of order.
        let is_faulty = !stopped.lease.has_ended() || stopped.lease.is_faulty();
        // Whatever ended it, nothing more is written by it.
        stopped.lease.end();
        let stream = stopped.lease.stream;
        {
            let mut owners = self.owners.lock();
            let registered = owners.get(&stream).and_then(|cell| cell.get());
            if !registered.is_some_and(|registered| Arc::ptr_eq(&registered.lease, &stopped.lease)) {
                return Ok(());
            }
            owners.remove(&stream);
        }
        if !is_faulty || stopped.lease.committed() == 0 {
            // Nothing was ever written: it is made anew of the plan.
            return Ok(());
        }
        let now = self.clock.now();
        let mut rebuilds = self.rebuilds.lock();
        rebuilds.retain(|_, (_, last)| now.micros_since(*last) < REBUILDS_FORGOTTEN_S * 1_000_000);
        let (count, last) = rebuilds.entry(stream).or_insert((0, now));
        *count += 1;
        *last = now;
        tracing::warn!(%stream, rebuilds = *count, "the owner of a stream has stopped; it is rebuilt from the journal");
        if *count > REBUILDS_MAX { Err(Failure::OutOfOrder(format!("{stream} stops again and again"))) } else { Ok(()) }
    }
}

fn spread(stream: StreamId) -> usize {
    match stream {
        StreamId::Museum(museum) | StreamId::Attendance(museum) | StreamId::Planning(museum) => usize::from(museum.0),
        StreamId::Slot(slot) => mix(slot.get()),
        StreamId::Payment(payment) => mix(payment.get()),
        StreamId::Quote(quote) => mix(quote.get()),
        StreamId::Till(till) => mix(till.get()),
        StreamId::Account(account) => mix(account.get()),
        StreamId::Case(case) => mix(case.get()),
        StreamId::Rules => 0,
        StreamId::Models(kind) => kind as usize,
        StreamId::Attempts(day) => usize::from(day),
        StreamId::Voucher(voucher) => mix(voucher.get()),
        StreamId::Order(order) => mix(order.get() as u64 ^ (order.get() >> 64) as u64),
    }
}

const fn mix(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize
}
