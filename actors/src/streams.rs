//! Reads streams back from the journal: the state of a slot or museum (from its snapshot, if there is one, and the records after it), and single records for
//! repeated keys.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::ids::{MuseumId, SlotId};
use tornello_engine::museum::{self, Museum};
use tornello_engine::record::Record;
use tornello_engine::slot::{self, Slot};

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
    runtime: tokio::runtime::Handle,
}

impl Streams {
    /// Over a journal; reads for repeated keys run on `runtime`.
    pub fn new(
        journal: Arc<dyn Journal>,
        snapshots: Option<Snapshots>,
        museums: Arc<Museums>,
        board: Arc<Board>,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        Self { journal, snapshots, museums, board, runtime }
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

    /// A museum after its last record on the disk.
    pub async fn museum(&self, id: MuseumId) -> Result<Museum, JournalError> {
        let stream = StreamId::Museum(id);
        let batches = self.journal.batches_of(stream, 0).await?;
        Ok(Museum::replay(id, &records::<museum::Event>(&batches, stream, 0)?))
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

impl Planned for Museum {
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
            StreamId::Museum(_) => Failure::OutOfOrder("not a slot".into()),
        }
    }

    fn retired(&self, stream: StreamId, state: Slot) {
        if let Some(snapshots) = self.snapshots.as_ref().filter(|_| state.is_opened()) {
            snapshots.save(stream, state);
        }
    }
}

impl Source<Museum> for Streams {
    fn exists(&self, stream: StreamId) -> BoxFuture<'_, Result<bool, Failure<museum::Refusal>>> {
        Box::pin(async move { Ok(matches!(stream, StreamId::Museum(_))) })
    }

    fn load(&self, stream: StreamId) -> BoxFuture<'_, Result<Museum, Failure<museum::Refusal>>> {
        Box::pin(async move {
            let StreamId::Museum(id) = stream else { return Err(Source::<Museum>::unknown(self, stream)) };
            self.museum(id).await.map_err(|error| read_failed(&error))
        })
    }

    fn unknown(&self, _: StreamId) -> Failure<museum::Refusal> {
        Failure::Refused(museum::Refusal::NotRegistered)
    }

    fn retired(&self, _: StreamId, _: Museum) {}
}
