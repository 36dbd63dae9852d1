//! A slot as it was at some moment, and the records that led there, read from the journal; and other streams as they were. Neither their owner nor a snapshot is asked: what is on the
//! disk is the truth of every moment. Memory holds the slot and one page of records, however long the history is; they are read out and applied on threads apart, as
//! whoever asks runs slots and gates as well.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use tornello_engine::aggregate::Aggregate;
use tornello_engine::ids::SlotId;
use tornello_engine::record::Record;
use tornello_engine::slot::{Event, Slot};
use tornello_engine::time::Timestamp;

use crate::journal::wire::Wire;
use crate::journal::{Journal, JournalError, StreamId};
use crate::streams::visit_apart;

/// Which of the records that led to a moment are wanted: the last ones.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Only records before this one; none: up to the moment.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// A slot at some moment.
#[derive(Debug, Clone)]
pub struct Past {
    /// As it was, with what was due by then ended; as planned if nothing had been written.
    pub slot: Slot,
    /// Number of the last record of that moment; 0 if there was none.
    pub seq: u64,
    /// The records that were asked for, in order.
    pub records: Vec<Record<Event>>,
    /// Whether there are earlier ones.
    pub more: bool,
}

impl Past {
    /// A slot that nobody had written to.
    #[must_use]
    pub fn planned(slot: Slot) -> Self {
        Self { slot, seq: 0, records: Vec::new(), more: false }
    }
}

/// The slot at `at`, records of that very instant included; before its first record, as that record opened it. None if nothing was ever written to it.
pub async fn of_slot(journal: &dyn Journal, id: SlotId, at: Timestamp, page: Page) -> Result<Option<Past>, JournalError> {
    let mut past = replayed(journal, id, move |record| record.at > at, page).await?;
    if let Some(past) = &mut past {
        end_due(&mut past.slot, at);
    }
    Ok(past)
}

/// The slot right after one of its records. None if nothing was ever written to it.
pub async fn after(journal: &dyn Journal, id: SlotId, seq: u64) -> Result<Option<Slot>, JournalError> {
    let none = Page { before: Some(0), limit: 0 };
    Ok(replayed(journal, id, move |record| record.seq > seq, none).await?.map(|past| past.slot))
}

/// A stream that is `empty` before its first record, at `at`, records of that very instant included. Empty if nothing was written to it by then.
pub async fn of_stream<A: Aggregate>(journal: &dyn Journal, stream: StreamId, empty: A, at: Timestamp) -> Result<A, JournalError>
where
    A::Event: Wire,
{
    let take = move |state: &mut A, record: Record<A::Event>| -> Result<ControlFlow<()>, JournalError> {
        if record.at > at {
            return Ok(ControlFlow::Break(()));
        }
        state.apply(&record);
        Ok(ControlFlow::Continue(()))
    };
    let mut state = visit_apart(journal, stream, empty, take).await?;
    end_due(&mut state, at);
    Ok(state)
}

/// A stream that is `empty` before its first record, right after the record numbered `seq` and what `goes_on` from that: as whoever asked for it was told.
pub async fn of_step<A: Aggregate>(
    journal: &dyn Journal,
    stream: StreamId,
    empty: A,
    seq: u64,
    goes_on: impl Fn(&A, &Record<A::Event>) -> bool + Clone + Send + 'static,
) -> Result<A, JournalError>
where
    A::Event: Wire,
{
    let take = move |state: &mut A, record: Record<A::Event>| -> Result<ControlFlow<()>, JournalError> {
        if record.seq > seq && !goes_on(state, &record) {
            return Ok(ControlFlow::Break(()));
        }
        state.apply(&record);
        Ok(ControlFlow::Continue(()))
    };
    visit_apart(journal, stream, empty, take).await
}

/// The slot before the first record that `is_beyond` the wanted moment, which is applied no more.
async fn replayed(
    journal: &dyn Journal,
    id: SlotId,
    is_beyond: impl Fn(&Record<Event>) -> bool + Clone + Send + 'static,
    page: Page,
) -> Result<Option<Past>, JournalError> {
    let take = move |(past, kept): &mut (Option<Past>, VecDeque<Record<Event>>), record: Record<Event>| -> Result<ControlFlow<()>, JournalError> {
        let past = match past {
            Some(past) => past,
            none => none.insert(opened(id, &record)?),
        };
        if is_beyond(&record) {
            return Ok(ControlFlow::Break(()));
        }
        past.slot.apply(&record);
        past.seq = record.seq;
        if page.before.is_none_or(|before| record.seq < before) {
            if kept.len() == page.limit {
                kept.pop_front();
                past.more = true;
            }
            kept.push_back(record);
        }
        Ok(ControlFlow::Continue(()))
    };
    let (mut past, kept) = visit_apart(journal, StreamId::Slot(id), (None, VecDeque::new()), take).await?;
    if let Some(past) = &mut past {
        past.records = kept.into();
    }
    Ok(past)
}

fn opened(id: SlotId, first: &Record<Event>) -> Result<Past, JournalError> {
    match first.events.first() {
        Some(Event::Opened(opened)) => Ok(Past::planned(Slot::planned(opened.opening.clone()))),
        _ => Err(JournalError::Corrupt { batch: 0, what: format!("the first record of slot {id} does not open it") }),
    }
}

/// Ends what was due, as the owner does before it decides anything: its records may have been written a little later.
pub(crate) fn end_due<A: Aggregate>(state: &mut A, at: Timestamp) {
    while state.wake_at().is_some_and(|due| due <= at) {
        let events = state.due(at);
        if events.is_empty() {
            return;
        }
        let record = state.record(at, None, events);
        state.apply(&record);
    }
}
