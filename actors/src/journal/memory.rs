//! A journal in memory: for tests, and for the replay when nothing is to be kept. It follows the same contract as the others.

use std::collections::HashMap;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;

use super::{Batch, Head, Journal, JournalError, StreamId};

/// Batches in a list, with an index by stream.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    stored: Mutex<Stored>,
}

#[derive(Debug, Default)]
struct Stored {
    batches: Vec<Batch>,
    /// For each stream: (first, last, index of the batch), ascending.
    spans: HashMap<StreamId, Vec<(u64, u64, usize)>>,
}

impl Stored {
    fn head(&self) -> Head {
        self.batches.last().map_or(Head::EMPTY, |batch| Head { number: batch.number, hash: batch.hash(), at: batch.at })
    }

    fn append(&mut self, batch: &Batch) -> Result<(), JournalError> {
        let head = self.head();
        if (batch.number, batch.previous) != (head.number + 1, head.hash) {
            return Err(JournalError::Unreachable(format!("batch {} does not follow batch {}", batch.number, head.number)));
        }
        for span in &batch.spans {
            if self.spans.get(&span.stream).is_some_and(|spans| spans.last().is_some_and(|(_, last, _)| span.first <= *last)) {
                return Err(JournalError::Conflict(span.stream));
            }
        }
        for span in &batch.spans {
            self.spans.entry(span.stream).or_default().push((span.first, span.last, self.batches.len()));
        }
        self.batches.push(batch.clone());
        Ok(())
    }

    fn of(&self, stream: StreamId, limit: usize, wanted: impl Fn(u64, u64) -> bool) -> Vec<Batch> {
        let spans = self.spans.get(&stream).map(Vec::as_slice).unwrap_or_default();
        spans.iter().filter(|(first, last, _)| wanted(*first, *last)).take(limit).map(|(.., index)| self.batches[*index].clone()).collect()
    }
}

impl Journal for MemoryJournal {
    fn append<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), JournalError>> {
        ready(self.stored.lock().append(batch)).boxed()
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, JournalError>> {
        ready(Ok(self.stored.lock().head())).boxed()
    }

    fn batches(&self, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>> {
        let skip = usize::try_from(after).unwrap_or(usize::MAX);
        ready(Ok(self.stored.lock().batches.iter().skip(skip).take(limit as usize).cloned().collect())).boxed()
    }

    fn batches_of(&self, stream: StreamId, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>> {
        ready(Ok(self.stored.lock().of(stream, limit as usize, |_, last| last > after))).boxed()
    }

    fn batch_with(&self, stream: StreamId, seq: u64) -> BoxFuture<'_, Result<Option<Batch>, JournalError>> {
        ready(Ok(self.stored.lock().of(stream, 1, |first, last| (first..=last).contains(&seq)).pop())).boxed()
    }

    fn cut_last(&self, number: u64) -> BoxFuture<'_, Result<(), JournalError>> {
        let mut stored = self.stored.lock();
        if stored.batches.last().is_some_and(|batch| batch.number == number) {
            stored.batches.pop();
            let batches = stored.batches.len();
            stored.spans.values_mut().for_each(|spans| spans.retain(|(.., index)| *index < batches));
        }
        ready(Ok(())).boxed()
    }

    fn recover(&self) -> BoxFuture<'_, Result<Head, JournalError>> {
        self.head()
    }
}
