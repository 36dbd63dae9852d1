//! Finds the owner of a stream, or makes one: state rebuilt from snapshot and journal, one starter at a time, a new one when the old one has stopped. Retires
//! owners that nobody asks for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Arbiter, Context, Handler};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, oneshot};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::envelope::Envelope;
use tornello_engine::time::Timestamp;

use crate::clock::Clock;
use crate::failure::Failure;
use crate::journal::StreamId;
use crate::journal::wire::Wire;
use crate::journal::writer::{Lease, Queue};
use crate::owner::{Answer, Ask, Look, MayRetire, Owner, ReadBack, Seen, Tell, Wake, settled};

/// How long a caller waits for an answer.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
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
    /// Takes the state of a retired owner, to start from it next time.
    fn retired(&self, stream: StreamId, state: A);
}

/// The owners of all streams of one kind.
pub struct Registry<A: Aggregate, T: Tell<A>>
where
    A::Event: Wire,
{
    owners: Mutex<HashMap<StreamId, Cell<A, T>>>,
    rebuilds: Mutex<HashMap<StreamId, (u32, Timestamp)>>,
    arbiters: Arc<[Arbiter]>,
    queue: Queue,
    clock: Arc<dyn Clock>,
    source: Arc<dyn Source<A>>,
    tell: Arc<T>,
    read: Arc<dyn ReadBack<A>>,
}

/// An owner that is in memory, or being made by one caller while others wait.
type Cell<A, T> = Arc<OnceCell<Started<A, T>>>;

struct Started<A: Aggregate, T: Tell<A>>
where
    A::Event: Wire,
{
    owner: Addr<Owner<A, T>>,
    lease: Arc<Lease>,
}

impl<A: Aggregate, T: Tell<A>> Registry<A, T>
where
    A::Event: Wire,
    A::Command: Clone,
{
    /// An empty registry; owners run on `arbiters`, spread by stream.
    pub fn new(
        arbiters: Arc<[Arbiter]>,
        queue: Queue,
        clock: Arc<dyn Clock>,
        source: Arc<dyn Source<A>>,
        tell: Arc<T>,
        read: Arc<dyn ReadBack<A>>,
    ) -> Self {
        Self { owners: Mutex::default(), rebuilds: Mutex::default(), arbiters, queue, clock, source, tell, read }
    }

    /// Gives a command and waits until what it did is on the disk. If the owner stops meanwhile, the command is given once more to its successor, which knows
    /// by the key whether it was done.
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
        let deadline = at.plus_seconds(ANSWER_WITHIN.as_secs().cast_signed());
        let first = self.started(stream).map(|owner| give(&owner, at, deadline, &envelope, &command)).transpose()?;
        Ok(async move {
            let mut waiting = first;
            for _ in 0..2 {
                let answer = match waiting.take() {
                    Some(answer) => answer,
                    None => {
                        let owner = self.owner(stream).await?;
                        give(&owner, at, deadline, &envelope, &command)?
                    }
                };
                match tokio::time::timeout(ANSWER_WITHIN, answer).await {
                    Ok(Ok(answer)) => return answer,
                    Ok(Err(_)) => self.forget_stopped(stream)?,
                    Err(_) => return Err(Failure::OutcomeUnknown),
                }
            }
            Err(Failure::OutcomeUnknown)
        })
    }

    /// Looks at a stream's state, and answers when all that was seen is on the disk.
    pub async fn look<R: Send + 'static>(&self, stream: StreamId, look: impl Fn(&A) -> R + Clone + Send + 'static) -> Result<R, Failure<A::Refusal>> {
        for _ in 0..2 {
            let owner = self.owner(stream).await?;
            let (answer, seen) = oneshot::channel();
            let look = look.clone();
            let message = Look(Box::new(move |Seen { state, queue, lease }: Seen<'_, A>| {
                let result = look(state);
                settled(state, queue, lease, move |stands| {
                    if stands {
                        let _ = answer.send(result);
                    }
                });
            }));
            match owner.try_send(message) {
                Ok(()) | Err(actix::dev::SendError::Closed(_)) => {}
                Err(actix::dev::SendError::Full(_)) => return Err(Failure::Busy),
            }
            match tokio::time::timeout(ANSWER_WITHIN, seen).await {
                Ok(Ok(result)) => return Ok(result),
                Ok(Err(_)) => self.forget_stopped(stream)?,
                Err(_) => return Err(Failure::Busy),
            }
        }
        Err(Failure::Busy)
    }

    /// Tells a stream's owner that a deadline has come.
    pub async fn wake(&self, stream: StreamId, now: Timestamp) -> Result<(), Failure<A::Refusal>> {
        let owner = self.owner(stream).await?;
        match owner.try_send(Wake(now)) {
            Ok(()) => Ok(()),
            Err(actix::dev::SendError::Full(_)) => Err(Failure::Busy),
            Err(actix::dev::SendError::Closed(_)) => {
                self.forget_stopped(stream)?;
                Err(Failure::Busy)
            }
        }
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
        let started: Vec<_> = self.owners.lock().iter().filter_map(|(stream, cell)| Some((*stream, cell.get()?.owner.clone()))).collect();
        let mut retired = 0;
        for (stream, owner) in started {
            let (answer, idle) = oneshot::channel();
            if owner.try_send(MayRetire(answer)).is_err() {
                continue;
            }
            if let Ok(Some(state)) = idle.await {
                self.owners.lock().remove(&stream);
                self.source.retired(stream, state);
                retired += 1;
            }
        }
        retired
    }

    /// The owner, if it is in memory.
    fn started(&self, stream: StreamId) -> Option<Addr<Owner<A, T>>> {
        let owners = self.owners.lock();
        let started = owners.get(&stream)?.get()?;
        (started.owner.connected() && !started.lease.has_ended()).then(|| started.owner.clone())
    }

    async fn owner(&self, stream: StreamId) -> Result<Addr<Owner<A, T>>, Failure<A::Refusal>> {
        if let Some(owner) = self.started(stream) {
            return Ok(owner);
        }
        if !self.source.exists(stream).await? {
            return Err(self.source.unknown(stream));
        }
        self.drop_stopped(stream);
        let cell = Arc::clone(self.owners.lock().entry(stream).or_default());
        let started = cell.get_or_try_init(|| self.start(stream)).await;
        if started.is_err() {
            let mut owners = self.owners.lock();
            if owners.get(&stream).is_some_and(|known| Arc::ptr_eq(known, &cell) && known.get().is_none()) {
                owners.remove(&stream);
            }
        }
        started.map(|started| started.owner.clone())
    }

    /// A new owner: first the barrier, so that everything queued for the stream is settled, then the state as it is on the disk.
    async fn start(&self, stream: StreamId) -> Result<Started<A, T>, Failure<A::Refusal>> {
        let lease = self.queue.lease(stream).await.ok_or(Failure::Journal("the journal's writer has stopped".into()))?;
        let state = self.source.load(stream).await?;
        lease.rebuilt(state.seq());
        let owner =
            Owner::new(state, Arc::clone(&lease), self.queue.clone(), Arc::clone(&self.tell), Arc::clone(&self.read), Arc::clone(&self.clock));
        let arbiter = &self.arbiters[spread(stream) % self.arbiters.len()];
        let owner = Owner::start_in_arbiter(&arbiter.handle(), |_| owner);
        Ok(Started { owner, lease })
    }

    fn drop_stopped(&self, stream: StreamId) {
        let mut owners = self.owners.lock();
        let stopped = |started: &Started<A, T>| !started.owner.connected() || started.lease.has_ended();
        if owners.get(&stream).and_then(|cell| cell.get()).is_some_and(stopped) {
            owners.remove(&stream);
        }
    }

    /// Forgets an owner that has stopped, so that the next caller makes a new one; refuses if that happens again and again.
    fn forget_stopped(&self, stream: StreamId) -> Result<(), Failure<A::Refusal>> {
        {
            let owners = self.owners.lock();
            if let Some(started) = owners.get(&stream).and_then(|cell| cell.get()) {
                // Whatever ended it, nothing more is written by it.
                started.lease.end();
            }
        }
        self.drop_stopped(stream);
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

fn give<A: Aggregate, T: Tell<A>>(
    owner: &Addr<Owner<A, T>>,
    at: Timestamp,
    deadline: Timestamp,
    envelope: &Envelope,
    command: &A::Command,
) -> Result<oneshot::Receiver<Answer<A>>, Failure<A::Refusal>>
where
    A::Event: Wire,
    A::Command: Clone,
    Owner<A, T>: Handler<Ask<A>> + Actor<Context = Context<Owner<A, T>>>,
    Context<Owner<A, T>>: ToEnvelope<Owner<A, T>, Ask<A>>,
{
    let (answer, waiting) = oneshot::channel();
    match owner.try_send(Ask { at, deadline, envelope: envelope.clone(), command: command.clone(), answer }) {
        // A closed mailbox drops the answer's sender: the caller sees it and asks the successor.
        Ok(()) | Err(actix::dev::SendError::Closed(_)) => Ok(waiting),
        Err(actix::dev::SendError::Full(_)) => Err(Failure::Busy),
    }
}

fn spread(stream: StreamId) -> usize {
    match stream {
        StreamId::Museum(museum) => usize::from(museum.0),
        StreamId::Slot(slot) => (slot.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize,
    }
}
