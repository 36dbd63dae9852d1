//! Reads streams back from the journal: the state of a stream (of slots and accounts from a snapshot, if there is one, and the records after it), and single
//! records for repeated keys. A slot begins as its museum says; every other stream begins empty.
//!
//! A stream's batches hold many others' records and may be more than memory holds: [`visit`] reads them by pages and keeps nothing but what its caller keeps.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
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
use tornello_engine::slot::{self, Observed, Slot};
use tornello_engine::till::{self, Till};
use tornello_engine::voucher::{self, Voucher};

use crate::board::Board;
use crate::failure::Failure;
use crate::journal::wire::{self, Wire, WireError};
use crate::journal::writer::Lease;
use crate::journal::{Batch, Journal, JournalError, StreamId};
use crate::museums::{Known, Museums};
use crate::owner::{Answer, ReadBack, SNAPSHOT_FROM};
use crate::registry::Source;
use crate::views::{Snapshot, Snapshots};

/// How many of a stream's batches are in memory at once; a full one has about a megabyte.
const PAGE: u32 = 16;
/// Among how many of its last records the last reading that a slot was told is looked for first.
const LOOK_BACK: u64 = 64;
/// How long a snapshot may take to come; without it all of the stream is read.
const SNAPSHOT_WITHIN: Duration = Duration::from_secs(1);

/// Shows `each` the records of a stream after the one numbered `after`, in order, until it breaks off.
///
/// # Errors
/// Those of the journal, and of `each`; [`JournalError::Corrupt`] if a record is damaged or missing, [`JournalError::Newer`] if it is not known.
pub async fn visit<E: Wire>(
    journal: &dyn Journal,
    stream: StreamId,
    mut after: u64,
    mut each: impl FnMut(Record<E>) -> Result<ControlFlow<()>, JournalError>,
) -> Result<(), JournalError> {
    loop {
        let batches = journal.batches_of(stream, after, PAGE).await?;
        if batches.is_empty() || take_page(&batches, stream, &mut after, &mut each)?.is_break() {
            return Ok(());
        }
    }
}

/// As [`visit`] from the first record on, for what is long and is asked for beside everything else: each page is read out and taken in on a thread apart, with what the
/// caller keeps. Answers with that.
///
/// # Errors
/// As of [`visit`]; [`JournalError::Unreachable`] if there is no thread any more.
pub async fn visit_apart<E: Wire + 'static, S: Send + 'static>(
    journal: &dyn Journal,
    stream: StreamId,
    mut kept: S,
    each: impl Fn(&mut S, Record<E>) -> Result<ControlFlow<()>, JournalError> + Clone + Send + 'static,
) -> Result<S, JournalError> {
    let mut after = 0;
    loop {
        let batches = journal.batches_of(stream, after, PAGE).await?;
        if batches.is_empty() {
            return Ok(kept);
        }
        let each = each.clone();
        let take = move || -> Result<(S, Option<u64>), JournalError> {
            let flow = take_page(&batches, stream, &mut after, &mut |record| each(&mut kept, record))?;
            Ok((kept, flow.is_continue().then_some(after)))
        };
        let taken = tokio::task::spawn_blocking(take).await.unwrap_or_else(|error| Err(JournalError::Unreachable(error.to_string())));
        let (so_far, last) = taken?;
        kept = so_far;
        match last {
            Some(last) => after = last,
            None => return Ok(kept),
        }
    }
}

/// Shows `each` the records of a stream in a page of its batches, after the one numbered `after`, which is moved on with them.
fn take_page<E: Wire>(
    batches: &[Batch],
    stream: StreamId,
    after: &mut u64,
    each: &mut impl FnMut(Record<E>) -> Result<ControlFlow<()>, JournalError>,
) -> Result<ControlFlow<()>, JournalError> {
    for batch in batches {
        let before = *after;
        for record in own(batch, stream, before) {
            let record = record?;
            *after = record.seq;
            if each(record)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        if *after == before {
            let what = format!("the index names records of {stream} after record {before}, and none is inside");
            return Err(JournalError::Corrupt { batch: batch.number, what });
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// All records of a stream, in order: for those that stay short.
///
/// # Errors
/// As of [`visit`].
pub async fn all_of<E: Wire>(journal: &dyn Journal, stream: StreamId) -> Result<Vec<Record<E>>, JournalError> {
    let mut records = Vec::new();
    let keep = |record: Record<E>| -> Result<ControlFlow<()>, JournalError> {
        records.push(record);
        Ok(ControlFlow::Continue(()))
    };
    visit(journal, stream, 0, keep).await?;
    Ok(records)
}

/// Record `seq` of a stream, from 1; none if there is none.
///
/// # Errors
/// Those of the journal; [`JournalError::Corrupt`] if it is damaged or missing, [`JournalError::Newer`] if it is not known.
pub async fn record_of<E: Wire>(journal: &dyn Journal, stream: StreamId, seq: u64) -> Result<Option<Record<E>>, JournalError> {
    let Some(batch) = journal.batch_with(stream, seq).await? else { return Ok(None) };
    own(&batch, stream, seq.saturating_sub(1)).next().transpose()
}

/// The records of one stream in a batch, from `after` on.
fn own<E: Wire>(batch: &Batch, stream: StreamId, after: u64) -> impl Iterator<Item = Result<Record<E>, JournalError>> {
    let mut last = after;
    wire::frames(&batch.records).filter_map(move |frame| {
        let frame = match frame {
            Ok(frame) if frame.stream == stream && frame.seq > after => frame,
            Ok(_) => return None,
            Err(error) => return Some(Err(corrupt(batch, &error))),
        };
        if frame.seq != last + 1 {
            let what = format!("{stream} goes on with record {} after record {last}: the index of the journal is damaged", frame.seq);
            return Some(Err(JournalError::Corrupt { batch: batch.number, what }));
        }
        last = frame.seq;
        Some(frame.record().map_err(|error| corrupt(batch, &error)))
    })
}

/// A batch whose records cannot be read.
#[must_use]
pub fn corrupt(batch: &Batch, error: &WireError) -> JournalError {
    let (batch, what) = (batch.number, error.to_string());
    match error {
        WireError::Unknown { .. } => JournalError::Newer { batch, what },
        WireError::Malformed(_) | WireError::Checksum(_) => JournalError::Corrupt { batch, what },
    }
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
        let mut slot = self.snapshot_of::<Slot>(stream).await;
        let after = slot.as_ref().map_or(0, Aggregate::seq);
        let apply = |record: Record<slot::Event>| -> Result<ControlFlow<()>, JournalError> {
            match &mut slot {
                Some(slot) => slot.apply(&record),
                None => slot = Slot::replay([&record]),
            }
            Ok(ControlFlow::Continue(()))
        };
        visit(self.journal.as_ref(), stream, after, apply).await?;
        if let Some(slot) = &slot {
            self.keep_long(stream, slot, after);
        }
        Ok(slot)
    }

    /// The last reading that a slot was told, as it stands among its records up to that number: from there it is looked for backwards.
    pub async fn last_observed(&self, id: SlotId, last: u64) -> Result<Option<Observed>, JournalError> {
        let (mut last, mut length) = (last, LOOK_BACK);
        while last > 0 {
            let after = last.saturating_sub(length);
            let mut found = None;
            let look = |record: Record<slot::Event>| -> Result<ControlFlow<()>, JournalError> {
                if record.seq > last {
                    return Ok(ControlFlow::Break(()));
                }
                for event in record.events {
                    if let slot::Event::Observed(observed) = event {
                        found = Some(observed);
                    }
                }
                Ok(ControlFlow::Continue(()))
            };
            visit(self.journal.as_ref(), StreamId::Slot(id), after, look).await?;
            if found.is_some() {
                return Ok(found);
            }
            (last, length) = (after, length.saturating_mul(8));
        }
        Ok(None)
    }

    /// A stream that begins empty, after its last record on the disk.
    async fn blank<A: Blank>(&self, stream: StreamId, blank: A) -> Result<A, JournalError>
    where
        A::Event: Wire,
    {
        let mut state = if A::GROWS { self.snapshot_of::<A>(stream).await.unwrap_or(blank) } else { blank };
        let after = state.seq();
        let apply = |record: Record<A::Event>| -> Result<ControlFlow<()>, JournalError> {
            state.apply(&record);
            Ok(ControlFlow::Continue(()))
        };
        visit(self.journal.as_ref(), stream, after, apply).await?;
        self.keep_long(stream, &state, after);
        Ok(state)
    }

    /// One that is not there at once is no short cut: a disk that stalls may keep a file from being read that others write.
    async fn snapshot_of<A: Aggregate + DeserializeOwned>(&self, stream: StreamId) -> Option<A> {
        tokio::time::timeout(SNAPSHOT_WITHIN, self.snapshots.as_ref()?.load(stream)).await.ok()?
    }

    /// Makes a snapshot of what took long to read, or whoever reads it next would begin where this one did.
    fn keep_long<A: Planned>(&self, stream: StreamId, state: &A, after: u64) {
        if state.seq() - after >= SNAPSHOT_FROM
            && let Some(snapshot) = self.take_snapshot(stream, state)
        {
            snapshot.keep();
        }
    }

    /// A snapshot of what is worth one, unless another of the same stream is being written.
    fn take_snapshot<A: Planned>(&self, stream: StreamId, state: &A) -> Option<Snapshot> {
        self.snapshots.as_ref().filter(|_| state.is_kept())?.take(stream, state)
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
}

/// What a stream is made of before anything was written to it, and whether it is read back from a snapshot afterwards.
pub trait Planned: Aggregate + Serialize + DeserializeOwned {
    /// Whether the museums' plans still say the same of it.
    fn is_current(&self, museums: &Museums) -> bool;
    /// Whether snapshots of it are kept.
    fn is_kept(&self) -> bool;
}

impl Planned for Slot {
    fn is_current(&self, museums: &Museums) -> bool {
        let is_as_planned = |known: Arc<Known>| {
            let (opening, closed) = (known.museum.opening(self.id()), known.museum.called_off(self.id().start()));
            opening.as_ref() == Some(self.opening()) && closed == self.places().closed
        };
        self.is_opened() || museums.get(self.id().museum()).is_some_and(is_as_planned)
    }

    fn is_kept(&self) -> bool {
        self.is_opened()
    }
}

/// A stream that is empty before its first record, whatever any plan says.
pub trait Blank: Aggregate + Serialize + DeserializeOwned {
    /// Whether an owner is made for whoever asks: only where there are few such streams at most.
    const FOR_ANYBODY: bool = false;
    /// Whether such a stream grows for years, so that snapshots of it are kept. Whoever changes the form of one that does raises the format of the read models.
    const GROWS: bool = false;
    /// What a caller is told of one that does not exist.
    const UNKNOWN: Self::Refusal;
    /// The empty one of that name; none if it is the name of another kind.
    fn blank(stream: StreamId) -> Option<Self>;
    /// The full count of everything, after a replay.
    fn recount(&self) -> Result<(), Broken>;
}

/// What differs between streams that begin empty.
macro_rules! blank {
    ($aggregate:ident, $kind:ident, $unknown:expr $(, $flag:ident)?) => {
        impl Blank for $aggregate {
            $(const $flag: bool = true;)?
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

blank!(Museum, Museum, museum::Refusal::NotRegistered, FOR_ANYBODY);
blank!(Payment, Payment, payment::Refusal::UnknownPayment);
blank!(Voucher, Voucher, voucher::Refusal::UnknownVoucher);
blank!(Order, Order, order::Refusal::UnknownOrder);
blank!(Quote, Quote, quote::Refusal::UnknownQuote);
blank!(Till, Till, till::Refusal::NotOpen);
blank!(Account, Account, account::Refusal::UnknownAccount, GROWS);
blank!(Case, Case, case::Refusal::UnknownCase);
blank!(Models, Models, model_registry::Refusal::UnknownModel, FOR_ANYBODY);
blank!(Attempts, Attempts, attempts::Refusal::BadAttempt, FOR_ANYBODY);

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
blank!(Attendance, Attendance, attendance::Refusal::BadImport, FOR_ANYBODY);
blank!(Planning, Planning, planning::Refusal::UnknownDecision, FOR_ANYBODY);

impl<A: Blank> Planned for A {
    fn is_current(&self, _: &Museums) -> bool {
        true
    }

    fn is_kept(&self) -> bool {
        A::GROWS
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
            let found = match record_of(this.journal.as_ref(), stream, seq).await {
                Ok(Some(record)) => Ok(record),
                Ok(None) => Err(Failure::OutcomeUnknown),
                Err(error) => Err(read_failed(&error)),
            };
            let _ = answer.send(found);
        });
    }

    fn snapshot(&self, stream: StreamId, state: &A) -> Option<Snapshot> {
        self.take_snapshot(stream, state)
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
                Ok(None) => self.museums.planned(id).ok_or(Failure::UnknownSlot(id)),
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

    fn retired(&self, stream: StreamId, state: &Slot) {
        if let Some(snapshot) = self.take_snapshot(stream, state) {
            snapshot.keep();
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

    fn retired(&self, stream: StreamId, state: &A) {
        if let Some(snapshot) = self.take_snapshot(stream, state) {
            snapshot.keep();
        }
    }
}
