//! Reads streams back from the journal: the state of a stream (of a slot from its snapshot, if there is one, and the records after it), and single records
//! for repeated keys. A slot begins as its museum's plan says; every other stream begins empty.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tornello_engine::account::{self, Account};
use tornello_engine::aggregate::{Aggregate, Broken};
use tornello_engine::attempts::{self, Attempts};
use tornello_engine::attendance::{self, Attendance};
use tornello_engine::case::{self, Case};
use tornello_engine::fraud_rules::{self, Rules};
use tornello_engine::ids::{CaseId, PaymentId, QuoteId, SlotId};
use tornello_engine::model_registry::{self, Models};
use tornello_engine::museum::{self, Museum};
use tornello_engine::order::{self, Order};
use tornello_engine::payment::{self, Payment};
use tornello_engine::planning::{self, Planning};
use tornello_engine::quote::{self, Quote};
use tornello_engine::record::Record;
use tornello_engine::slot::{self, Slot};
use tornello_engine::till::{self, Till};
use tornello_engine::voucher::{self, Voucher};

use crate::board::Board;
use crate::failure::Failure;
use crate::journal::wire::{self, Wire, WireError};
use crate::journal::writer::Lease;
use crate::journal::{Batch, Journal, JournalError, StreamId};
use crate::museums::Museums;
use crate::owner::{Answer, ReadBack};
use crate::registry::Source;
use crate::views::Snapshots;

/// The records of one stream in some batches, from `after` on.
pub fn records<E: Wire>(batches: &[Batch], stream: StreamId, after: u64) -> Result<Vec<Record<E>>, JournalError> {
    let mut records: Vec<Record<E>> = Vec::new();
    for batch in batches {
        for frame in wire::frames(&batch.records) {
            let frame = frame.map_err(|error| corrupt(batch, &error))?;
            if frame.stream == stream && frame.seq > after {
                let last = records.last().map_or(after, |record| record.seq);
                if frame.seq != last + 1 {
                    let what = format!("{stream} goes on with record {} after record {last}: the index of the journal is damaged", frame.seq);
                    return Err(JournalError::Corrupt { batch: batch.number, what });
                }
                records.push(frame.record().map_err(|error| corrupt(batch, &error))?);
            }
        }
    }
    Ok(records)
}

/// A batch whose records cannot be read.
#[must_use]
pub fn corrupt(batch: &Batch, error: &WireError) -> JournalError {
    JournalError::Corrupt { batch: batch.number, what: error.to_string() }
}

/// Streams, read back.
#[derive(Clone)]
pub struct Streams {
    journal: Arc<dyn Journal>,
    snapshots: Option<Snapshots>,
    museums: Arc<Museums>,
    board: Arc<Board>,
    creating: Arc<Creating>,
    runtime: tokio::runtime::Handle,
}

/// The streams that somebody is just writing the first record of: others that are not in the journal do not exist, and nothing is made for whoever asks for them.
#[derive(Debug, Default)]
pub struct Creating(Mutex<HashMap<StreamId, usize>>);

impl Creating {
    /// Lets a stream be made while the answer lives.
    #[must_use]
    pub fn begin(self: &Arc<Self>, stream: StreamId) -> Created {
        *self.0.lock().entry(stream).or_insert(0) += 1;
        Created(Arc::clone(self), stream)
    }
}

/// A stream may be made.
#[derive(Debug)]
pub struct Created(Arc<Creating>, StreamId);

impl Drop for Created {
    fn drop(&mut self) {
        let mut creating = self.0.0.lock();
        if let Some(count) = creating.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                creating.remove(&self.1);
            }
        }
    }
}

impl Streams {
    /// Over a journal; reads for repeated keys run on `runtime`.
    pub fn new(
        journal: Arc<dyn Journal>,
        snapshots: Option<Snapshots>,
        museums: Arc<Museums>,
        board: Arc<Board>,
        creating: Arc<Creating>,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        Self { journal, snapshots, museums, board, creating, runtime }
    }

    /// A slot after its last record on the disk; none if it has never been written to.
    pub async fn slot(&self, id: SlotId) -> Result<Option<Slot>, JournalError> {
        let stream = StreamId::Slot(id);
        let snapshot = match &self.snapshots {
            Some(snapshots) => snapshots.load(stream).await,
            None => None,
        };
        let after = snapshot.as_ref().map_or(0, Aggregate::seq);
        let batches = self.journal.batches_of(stream, after).await?;
        let records = records::<slot::Event>(&batches, stream, after)?;
        match snapshot {
            Some(mut slot) => {
                records.iter().for_each(|record| slot.apply(record));
                Ok(Some(slot))
            }
            None => Ok(Slot::replay(&records)),
        }
    }

    /// A stream that begins empty, after its last record on the disk.
    async fn blank<A: Blank>(&self, stream: StreamId, mut state: A) -> Result<A, JournalError>
    where
        A::Event: Wire,
    {
        let batches = self.journal.batches_of(stream, 0).await?;
        records::<A::Event>(&batches, stream, 0)?.iter().for_each(|record| state.apply(record));
        Ok(state)
    }

    /// A payment after its last record on the disk.
    pub async fn payment(&self, id: PaymentId) -> Result<Payment, JournalError> {
        self.blank(StreamId::Payment(id), Payment::new(id)).await
    }

    /// A quote after its last record on the disk.
    pub async fn quote(&self, id: QuoteId) -> Result<Quote, JournalError> {
        self.blank(StreamId::Quote(id), Quote::new(id)).await
    }

    /// A case after its last record on the disk.
    pub async fn case(&self, id: CaseId) -> Result<Case, JournalError> {
        self.blank(StreamId::Case(id), Case::new(id)).await
    }

    async fn record<E: Wire>(&self, stream: StreamId, seq: u64) -> Result<Option<Record<E>>, JournalError> {
        let Some(batch) = self.journal.batch_with(stream, seq).await? else { return Ok(None) };
        Ok(records(std::slice::from_ref(&batch), stream, seq - 1)?.into_iter().find(|record| record.seq == seq))
    }
}

/// What a stream is made of before anything was written to it.
pub trait Planned: Aggregate {
    /// Whether the museums' plans still say the same of it.
    fn is_current(&self, museums: &Museums) -> bool;
}

impl Planned for Slot {
    fn is_current(&self, museums: &Museums) -> bool {
        self.is_opened() || museums.opening(self.id()).as_ref() == Some(self.opening())
    }
}

/// A stream that is empty before its first record, whatever any plan says.
pub trait Blank: Aggregate {
    /// Whether an owner is made for whoever asks: only where there are few such streams at most.
    const FOR_ANYBODY: bool = false;
    /// What a caller is told of one that does not exist.
    const UNKNOWN: Self::Refusal;
    /// The empty one of that name; none if it is the name of another kind.
    fn blank(stream: StreamId) -> Option<Self>;
    /// The full count of everything, after a replay.
    fn recount(&self) -> Result<(), Broken>;
}

/// What differs between streams that begin empty.
macro_rules! blank {
    ($aggregate:ident, $kind:ident, $unknown:expr $(, $for_anybody:literal)?) => {
        impl Blank for $aggregate {
            $(const FOR_ANYBODY: bool = $for_anybody;)?
            const UNKNOWN: Self::Refusal = $unknown;

            fn blank(stream: StreamId) -> Option<Self> {
                if let StreamId::$kind(id) = stream { Some(Self::new(id)) } else { None }
            }

            fn recount(&self) -> Result<(), Broken> {
                self.recount()
            }
        }
    };
}

blank!(Museum, Museum, museum::Refusal::NotRegistered, true);
blank!(Payment, Payment, payment::Refusal::UnknownPayment);
blank!(Voucher, Voucher, voucher::Refusal::UnknownVoucher);
blank!(Order, Order, order::Refusal::UnknownOrder);
blank!(Quote, Quote, quote::Refusal::UnknownQuote);
blank!(Till, Till, till::Refusal::NotOpen);
blank!(Account, Account, account::Refusal::UnknownAccount);
blank!(Case, Case, case::Refusal::UnknownCase);
blank!(Models, Models, model_registry::Refusal::UnknownModel, true);
blank!(Attempts, Attempts, attempts::Refusal::BadAttempt, true);

impl Blank for Rules {
    const FOR_ANYBODY: bool = true;
    const UNKNOWN: Self::Refusal = fraud_rules::Refusal::UnknownRule;

    fn blank(stream: StreamId) -> Option<Self> {
        (stream == StreamId::Rules).then(Self::default)
    }

    fn recount(&self) -> Result<(), Broken> {
        self.recount()
    }
}
// Whoever asks for these names a museum that is known.
blank!(Attendance, Attendance, attendance::Refusal::BadImport, true);
blank!(Planning, Planning, planning::Refusal::UnknownDecision, true);

impl<A: Blank> Planned for A {
    fn is_current(&self, _: &Museums) -> bool {
        true
    }
}

/// A stream that cannot be read, as its caller is told.
pub fn read_failed<R>(error: &JournalError) -> Failure<R> {
    tracing::error!(%error, "a stream cannot be read");
    Failure::Journal(error.to_string())
}

impl<A: Planned> ReadBack<A> for Streams
where
    A::Event: Wire,
{
    fn is_current(&self, state: &A) -> bool {
        state.is_current(&self.museums)
    }

    fn read_back(&self, lease: &Arc<Lease>, seq: u64, answer: oneshot::Sender<Answer<A>>) {
        let (this, stream) = (self.clone(), lease.stream);
        self.runtime.spawn(async move {
            let found = match this.record(stream, seq).await {
                Ok(Some(record)) => Ok(record),
                Ok(None) => Err(Failure::OutcomeUnknown),
                Err(error) => Err(read_failed(&error)),
            };
            let _ = answer.send(found);
        });
    }
}

impl Source<Slot> for Streams {
    fn exists(&self, stream: StreamId) -> BoxFuture<'_, Result<bool, Failure<slot::Refusal>>> {
        Box::pin(async move {
            let StreamId::Slot(id) = stream else { return Ok(false) };
            if self.board.head(id).is_some() || self.museums.opening(id).is_some() {
                return Ok(true);
            }
            self.journal.batch_with(stream, 1).await.map(|batch| batch.is_some()).map_err(|error| read_failed(&error))
        })
    }

    fn load(&self, stream: StreamId) -> BoxFuture<'_, Result<Slot, Failure<slot::Refusal>>> {
        Box::pin(async move {
            let StreamId::Slot(id) = stream else { return Err(Source::<Slot>::unknown(self, stream)) };
            match self.slot(id).await {
                Ok(Some(slot)) => {
                    let known = self.board.head(id).map_or(0, |head| head.seq);
                    if slot.seq() < known {
                        let what = format!("slot {id} ends at record {}, but record {known} is known", slot.seq());
                        return Err(read_failed(&JournalError::Corrupt { batch: 0, what }));
                    }
                    slot.recount().map_err(|broken| Failure::OutOfOrder(broken.to_string()))?;
                    Ok(slot)
                }
                Ok(None) => self.museums.opening(id).map(Slot::planned).ok_or(Failure::UnknownSlot(id)),
                Err(error) => Err(read_failed(&error)),
            }
        })
    }

    fn unknown(&self, stream: StreamId) -> Failure<slot::Refusal> {
        match stream {
            StreamId::Slot(id) => Failure::UnknownSlot(id),
            _ => Failure::OutOfOrder("not a slot".into()),
        }
    }

    fn retired(&self, stream: StreamId, state: Slot) {
        if let Some(snapshots) = self.snapshots.as_ref().filter(|_| state.is_opened()) {
            snapshots.save(stream, state);
        }
    }
}

impl<A: Blank> Source<A> for Streams
where
    A::Event: Wire,
{
    fn exists(&self, stream: StreamId) -> BoxFuture<'_, Result<bool, Failure<A::Refusal>>> {
        Box::pin(async move {
            if A::blank(stream).is_none() {
                return Ok(false);
            }
            if A::FOR_ANYBODY || self.creating.0.lock().contains_key(&stream) {
                return Ok(true);
            }
            self.journal.batch_with(stream, 1).await.map(|batch| batch.is_some()).map_err(|error| read_failed(&error))
        })
    }

    fn load(&self, stream: StreamId) -> BoxFuture<'_, Result<A, Failure<A::Refusal>>> {
        Box::pin(async move {
            let blank = A::blank(stream).ok_or_else(|| Source::<A>::unknown(self, stream))?;
            let state = self.blank(stream, blank).await.map_err(|error| read_failed(&error))?;
            state.recount().map_err(|broken| Failure::OutOfOrder(broken.to_string()))?;
            Ok(state)
        })
    }

    fn unknown(&self, _: StreamId) -> Failure<A::Refusal> {
        Failure::Refused(A::UNKNOWN)
    }

    fn retired(&self, _: StreamId, _: A) {}
}
