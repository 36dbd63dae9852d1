//! Wakes what is due: slots, payments, quotes and fraud cases whose deadline has come, several at once. What cannot be woken is let alone for longer and longer: a
//! stream whose place on the disk went bad is not read again with every turn, and keeps no other from its deadline.

use futures_util::StreamExt;
use tornello_engine::time::Timestamp;

use super::Node;
use crate::journal::StreamId;
use crate::pauses::Pauses;

/// How many streams are woken at once, of all kinds: more than are read back at once of one, see [`crate::registry`].
const WOKEN: usize = 64;

impl Node {
    /// Wakes every slot, payment, quote and case whose deadline has come, now: what the clock does by itself, for tests and replays that set it.
    pub async fn wake_due(&self) {
        let now = self.clock.now();
        self.wake_all(self.due(now), now).await;
    }

    /// As [`Node::wake_due`], but for those that could not be woken a while ago. Answers whether anything is due.
    pub(super) async fn wake_due_again(&self, pauses: &mut Pauses<StreamId>) -> bool {
        let now = self.clock.now();
        let due = self.due(now);
        let is_any_due = !due.is_empty();
        for (stream, is_woken) in self.wake_all(pauses.due(due, now), now).await {
            pauses.note(stream, now, is_woken);
        }
        is_any_due
    }

    fn due(&self, now: Timestamp) -> Vec<StreamId> {
        let slots = self.board.due(now).into_iter().map(StreamId::Slot);
        let payments = self.payments.due(now).into_iter().map(StreamId::Payment);
        let quotes = self.quotes.due(now).into_iter().map(StreamId::Quote);
        let cases = self.cases.due(now).into_iter().map(StreamId::Case);
        slots.chain(payments).chain(quotes).chain(cases).collect()
    }

    /// Wakes these, and answers which of them could be.
    async fn wake_all(&self, streams: Vec<StreamId>, now: Timestamp) -> Vec<(StreamId, bool)> {
        let wake = |stream| async move { (stream, self.wake(stream, now).await) };
        futures_util::stream::iter(streams).map(wake).buffer_unordered(WOKEN).collect().await
    }

    async fn wake(&self, stream: StreamId, now: Timestamp) -> bool {
        let woken = match stream {
            StreamId::Slot(_) => self.slots.wake(stream, now).await.map_err(|failure| failure.to_string()),
            StreamId::Payment(_) => self.payment_owners.wake(stream, now).await.map_err(|failure| failure.to_string()),
            StreamId::Quote(_) => self.quote_owners.wake(stream, now).await.map_err(|failure| failure.to_string()),
            StreamId::Case(_) => self.case_owners.wake(stream, now).await.map_err(|failure| failure.to_string()),
            _ => Ok(()),
        };
        if let Err(failure) = &woken {
            tracing::warn!(%stream, %failure, "what is due could not be woken");
        }
        woken.is_ok()
    }
}
