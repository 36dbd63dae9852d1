//! What is known of every slot without asking it: the counters that the writer publishes after each commit, the wake index of the whole house, and the feed
//! of changes for those who watch. All of it can be rebuilt from the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, broadcast};
use tornello_engine::ids::{MuseumId, RouteId, SlotId};
use tornello_engine::slot::{Places, Policy, Slot};
use tornello_engine::time::Timestamp;

use crate::deadlines::{Deadlines, First};

/// What is published of a slot: its state right after the last record on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotHead {
    /// Number of the record.
    pub seq: u64,
    /// Its time.
    pub at: Timestamp,
    /// When the slot ends.
    pub end: Timestamp,
    /// The policy under which it was opened.
    pub policy: Policy,
    /// Its places, counted.
    pub places: Places,
    /// When it next has something to do.
    pub wake_at: Option<Timestamp>,
    /// How many parties wait for places.
    pub waiting: u32,
    /// How many moves to other slots are under way: somebody has to see to it that they end.
    pub moving: u32,
    /// How many refunds payments have to be told of: somebody has to see to it that they are.
    pub owing: u32,
}

impl SlotHead {
    /// The head of a slot as it is.
    #[must_use]
    pub fn of(slot: &Slot) -> Self {
        use tornello_engine::aggregate::Aggregate;
        let opening = slot.opening();
        Self {
            seq: slot.seq(),
            at: slot.last_at(),
            end: opening.end,
            policy: opening.policy,
            places: *slot.places(),
            wake_at: slot.wake_at(),
            waiting: slot.waiting().len() as u32,
            moving: slot.moving(),
            owing: slot.owing(),
        }
    }
}

/// A slot has changed.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// Which.
    pub slot: SlotId,
    /// To what.
    pub head: SlotHead,
}

const SHARDS: usize = 64;
/// How many changes a slow watcher may be behind before it loses some and is told so.
const FEED: usize = 4_096;

/// The counters of all slots that have been written to.
#[derive(Debug)]
pub struct Board {
    /// By museum, so that a range of days of one museum is one range of one map.
    shards: [RwLock<BTreeMap<SlotId, SlotHead>>; SHARDS],
    /// How often each shard has changed.
    changes: [AtomicU64; SHARDS],
    deadlines: Mutex<Deadlines<SlotId>>,
    sooner: Notify,
    /// Slots that tickets are leaving.
    moving: Mutex<BTreeSet<SlotId>>,
    /// Slots that owe payments word of a refund.
    owing: Mutex<BTreeSet<SlotId>>,
    /// Slots that changed since they were last saved.
    unsaved: Mutex<BTreeSet<SlotId>>,
    feed: broadcast::Sender<Change>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            changes: std::array::from_fn(|_| AtomicU64::new(0)),
            deadlines: Mutex::default(),
            sooner: Notify::new(),
            moving: Mutex::default(),
            owing: Mutex::default(),
            unsaved: Mutex::default(),
            feed: broadcast::channel(FEED).0,
        }
    }
}

impl Board {
    fn shard(&self, museum: MuseumId) -> &RwLock<BTreeMap<SlotId, SlotHead>> {
        &self.shards[usize::from(museum.0) % SHARDS]
    }

    /// A number that has grown whenever a head of this museum has changed: what was worked out of its heads holds as long as the number does.
    #[must_use]
    pub fn changes(&self, museum: MuseumId) -> u64 {
        self.changes[usize::from(museum.0) % SHARDS].load(Ordering::Acquire)
    }

    /// Publishes a slot's new head. Called in the order of commits.
    pub fn publish(&self, slot: SlotId, head: SlotHead) {
        self.restore(slot, head);
        self.unsaved.lock().insert(slot);
        if self.feed.receiver_count() > 0 {
            let _ = self.feed.send(Change { slot, head });
        }
    }

    /// Puts a head in its place without telling anybody, as at start. A head that is older than the known one changes nothing.
    pub fn restore(&self, slot: SlotId, head: SlotHead) {
        let before = {
            let mut shard = self.shard(slot.museum()).write();
            if shard.get(&slot).is_some_and(|known| known.seq > head.seq) {
                return;
            }
            let before = shard.insert(slot, head);
            self.changes[usize::from(slot.museum().0) % SHARDS].fetch_add(1, Ordering::Release);
            before
        };
        if before.map_or(0, |before| before.moving) != head.moving {
            list(&self.moving, slot, head.moving > 0);
        }
        if before.map_or(0, |before| before.owing) != head.owing {
            list(&self.owing, slot, head.owing > 0);
        }
        let woke_at = before.and_then(|before| before.wake_at);
        // Most changes leave the deadline as it is, and need not wait for those of other slots.
        let first = if woke_at == head.wake_at { First::Same } else { self.deadlines.lock().replace(slot, woke_at, head.wake_at) };
        // A hold that is sold before its time is up is often the first of all: whoever sleeps until then need not be woken for each of them, but for one that was due.
        if first == First::Earlier || first == First::Gone && woke_at.is_some_and(|at| at <= head.at) {
            self.sooner.notify_one();
        }
    }

    /// The head of a slot, if it has been written to.
    #[must_use]
    pub fn head(&self, slot: SlotId) -> Option<SlotHead> {
        self.shard(slot.museum()).read().get(&slot).copied()
    }

    /// The heads of one route that start from `from` up to and including `to`, in order.
    #[must_use]
    pub fn heads(&self, museum: MuseumId, route: RouteId, from: Timestamp, to: Timestamp) -> Vec<(SlotId, SlotHead)> {
        let range = SlotId::new(museum, route, from)..=SlotId::new(museum, route, to);
        self.shard(museum).read().range(range).map(|(slot, head)| (*slot, *head)).collect()
    }

    /// The heads of all routes of a museum, also of those that it has no more, that start from `from` up to and including `to`: in order of route and start.
    #[must_use]
    pub fn heads_between(&self, museum: MuseumId, from: Timestamp, to: Timestamp) -> Vec<(SlotId, SlotHead)> {
        let shard = self.shard(museum).read();
        let last = SlotId::new(museum, RouteId(u16::MAX), Timestamp::MAX);
        let (mut heads, mut first) = (Vec::new(), SlotId::new(museum, RouteId(0), Timestamp::MIN));
        // From route to route: what a museum has sold of a year is not walked through for a day.
        while let Some((slot, _)) = shard.range(first..=last).next() {
            let route = slot.route();
            let range = SlotId::new(museum, route, from)..=SlotId::new(museum, route, to);
            heads.extend(shard.range(range).map(|(slot, head)| (*slot, *head)));
            let Some(next) = route.0.checked_add(1) else { break };
            first = SlotId::new(museum, RouteId(next), Timestamp::MIN);
        }
        heads
    }

    /// All heads of a museum, in order of route and start.
    #[must_use]
    pub fn heads_of(&self, museum: MuseumId) -> Vec<(SlotId, SlotHead)> {
        let first = SlotId::new(museum, RouteId(0), Timestamp::MIN);
        let last = SlotId::new(museum, RouteId(u16::MAX), Timestamp::MAX);
        self.shard(museum).read().range(first..=last).map(|(slot, head)| (*slot, *head)).collect()
    }

    /// How many slots have been written to and are not forgotten.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Whether no slot is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Follows the changes from now on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Change> {
        self.feed.subscribe()
    }

    /// The next deadline of any slot.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.deadlines.lock().first()
    }

    /// The slots whose deadline has come, earliest first.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<SlotId> {
        self.deadlines.lock().due(now)
    }

    /// The slots that tickets are leaving: moves under way that have not ended yet.
    #[must_use]
    pub fn moving(&self) -> Vec<SlotId> {
        self.moving.lock().iter().copied().collect()
    }

    /// The slots that owe payments word of a refund.
    #[must_use]
    pub fn owing(&self) -> Vec<SlotId> {
        self.owing.lock().iter().copied().collect()
    }

    /// Ends when the next deadline has changed.
    pub async fn sooner(&self) {
        self.sooner.notified().await;
    }

    /// The slots that changed since this was last asked, with their heads.
    #[must_use]
    pub fn take_unsaved(&self) -> Vec<(SlotId, SlotHead)> {
        let slots = std::mem::take(&mut *self.unsaved.lock());
        slots.into_iter().filter_map(|slot| Some((slot, self.head(slot)?))).collect()
    }

    /// Notes that a slot's head could not be saved.
    pub fn not_saved(&self, slot: SlotId) {
        self.unsaved.lock().insert(slot);
    }

    /// Notes that no head is saved any more: what they were saved in is gone.
    pub fn none_saved(&self) {
        let known: Vec<SlotId> = self.shards.iter().flat_map(|shard| shard.read().keys().copied().collect::<Vec<_>>()).collect();
        self.unsaved.lock().extend(known);
    }

    /// Forgets slots that ended before `before` and have nothing left to do. They are found in the journal when somebody asks for them.
    pub fn forget(&self, before: Timestamp) -> usize {
        // What is not saved yet stays, or an older head would be all that a restart finds.
        let unsaved = self.unsaved.lock();
        let mut forgotten = 0;
        for (shard, changes) in self.shards.iter().zip(&self.changes) {
            let mut shard = shard.write();
            let known = shard.len();
            shard.retain(|slot, head| head.end >= before || head.wake_at.is_some() || head.moving > 0 || head.owing > 0 || unsaved.contains(slot));
            if shard.len() < known {
                changes.fetch_add(1, Ordering::Release);
            }
            forgotten += known - shard.len();
        }
        forgotten
    }
}

fn list(slots: &Mutex<BTreeSet<SlotId>>, slot: SlotId, is_one: bool) {
    let mut slots = slots.lock();
    if is_one {
        slots.insert(slot);
    } else {
        slots.remove(&slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(museum: u16, route: u16, minute: i64) -> SlotId {
        SlotId::new(MuseumId(museum), RouteId(route), Timestamp::from_seconds(minute * 60))
    }

    fn head(seq: u64, wake_s: Option<i64>) -> SlotHead {
        SlotHead {
            seq,
            at: Timestamp::from_seconds(0),
            end: Timestamp::from_seconds(1_000),
            policy: Policy::default(),
            places: Places::untouched(Timestamp::from_seconds(0), 5, Default::default()),
            wake_at: wake_s.map(Timestamp::from_seconds),
            waiting: 0,
            moving: 0,
            owing: 0,
        }
    }

    #[test]
    fn the_wake_index_follows_the_heads() {
        let board = Board::default();
        let before = (board.changes(MuseumId(1)), board.changes(MuseumId(2)));
        board.publish(slot(1, 1, 1), head(1, Some(50)));
        board.publish(slot(1, 1, 2), head(1, Some(30)));
        assert!(board.changes(MuseumId(1)) > before.0 && board.changes(MuseumId(2)) == before.1);
        assert_eq!(board.next_wake(), Some(Timestamp::from_seconds(30)));
        assert_eq!(board.due(Timestamp::from_seconds(49)), [slot(1, 1, 2)]);
        board.publish(slot(1, 1, 2), head(2, None));
        assert_eq!(board.due(Timestamp::from_seconds(50)), [slot(1, 1, 1)]);
        board.publish(slot(1, 1, 1), head(2, Some(80)));
        assert_eq!(board.due(Timestamp::from_seconds(79)), []);
    }

    #[test]
    fn slots_that_tickets_are_leaving_are_known_and_not_forgotten() {
        let board = Board::default();
        board.publish(slot(1, 1, 1), SlotHead { moving: 2, ..head(1, None) });
        board.restore(slot(1, 1, 2), SlotHead { moving: 1, ..head(1, None) });
        board.publish(slot(1, 1, 3), head(1, None));
        assert_eq!(board.moving(), [slot(1, 1, 1), slot(1, 1, 2)]);
        drop(board.take_unsaved());
        assert_eq!((board.forget(Timestamp::from_seconds(1_001)), board.len()), (1, 2));
        board.publish(slot(1, 1, 1), SlotHead { moving: 1, ..head(2, None) });
        board.publish(slot(1, 1, 2), head(2, None));
        assert_eq!(board.moving(), [slot(1, 1, 1)]);
    }

    #[test]
    fn slots_that_owe_payments_a_word_are_known_and_not_forgotten() {
        let board = Board::default();
        board.publish(slot(1, 1, 1), SlotHead { owing: 1, ..head(1, None) });
        board.restore(slot(1, 1, 2), SlotHead { owing: 2, moving: 1, ..head(1, None) });
        board.publish(slot(1, 1, 3), head(1, None));
        assert_eq!((board.owing(), board.moving()), (vec![slot(1, 1, 1), slot(1, 1, 2)], vec![slot(1, 1, 2)]));
        drop(board.take_unsaved());
        assert_eq!((board.forget(Timestamp::from_seconds(1_001)), board.len()), (1, 2));
        board.publish(slot(1, 1, 1), head(2, None));
        board.publish(slot(1, 1, 2), SlotHead { owing: 1, ..head(2, None) });
        assert_eq!((board.owing(), board.moving()), (vec![slot(1, 1, 2)], vec![]));
    }

    #[test]
    fn a_range_of_one_museum_and_route_and_nothing_else() {
        let board = Board::default();
        for (museum, route, minute) in [(1, 1, 5), (1, 1, 6), (1, 2, 5), (65, 1, 5), (1, 1, 7)] {
            board.publish(slot(museum, route, minute), head(1, None));
        }
        let found = board.heads(MuseumId(1), RouteId(1), Timestamp::from_seconds(300), Timestamp::from_seconds(360));
        assert_eq!(found.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [slot(1, 1, 5), slot(1, 1, 6)]);
        assert_eq!(board.heads_of(MuseumId(1)).len(), 4);
        assert_eq!(board.take_unsaved().len(), 5);
        assert_eq!(board.take_unsaved().len(), 0);
        board.none_saved();
        assert_eq!(board.take_unsaved().len(), 5);
        board.publish(slot(1, 1, 9), head(1, Some(5_000)));
        board.publish(slot(1, 1, 8), head(1, None));
        assert_eq!(board.forget(Timestamp::from_seconds(1_001)), 5, "a head that is not saved stays");
        assert_eq!(board.take_unsaved().len(), 2);
        assert_eq!(board.forget(Timestamp::from_seconds(1_001)), 1);
        assert_eq!(board.len(), 1);
    }

    #[test]
    fn a_watcher_sees_changes_in_order() {
        let board = Board::default();
        let mut watcher = board.watch();
        board.publish(slot(1, 1, 1), head(1, None));
        board.publish(slot(1, 1, 1), head(2, None));
        assert_eq!(watcher.try_recv().map(|change| change.head.seq).ok(), Some(1));
        assert_eq!(watcher.try_recv().map(|change| change.head.seq).ok(), Some(2));
    }
}
