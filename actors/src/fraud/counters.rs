//! The counters of all parties, in shards that the scorers write and requests read, without a mailbox in between. A reader sees all parties as of one position of
//! the journal: the last batch of which every shard has heard.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use tokio::sync::Notify;
use tornello_models::fraud::signals::{Known, Sight, SignalEvent, Store, Taking};

/// How many shards there are. Part of the saved state.
pub const SHARDS: usize = 64;
/// How often a reader tries again when a batch has overtaken it.
const TRIES: usize = 32;

/// The counters.
#[derive(Debug)]
pub struct Counters {
    shards: Box<[RwLock<Store>]>,
    position: AtomicU64,
    moved: Notify,
}

/// In which shard a party is counted.
#[must_use]
pub const fn shard_of(taking: &Taking) -> usize {
    // Pseudonyms are keyed hashes and spread by themselves; numbers of keys are small and differ in their last bits.
    ((taking.id ^ (taking.id >> 64)) as u64 % SHARDS as u64) as usize
}

impl Counters {
    /// Of about so many parties.
    #[must_use]
    pub fn new(parties: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::new(Store::new(parties.div_ceil(SHARDS)))).collect(),
            position: AtomicU64::new(0),
            moved: Notify::new(),
        }
    }

    /// The last batch that all shards have heard of.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    /// All shards have heard of that batch.
    pub fn publish(&self, position: u64) {
        self.position.store(position, Ordering::Release);
        self.moved.notify_waiters();
    }

    /// Ends when all shards have heard of that batch.
    pub async fn heard(&self, position: u64) {
        loop {
            let moved = self.moved.notified();
            if self.position() >= position {
                return;
            }
            moved.await;
        }
    }

    /// Takes what a batch says of the parties of one shard.
    pub fn fold(&self, shard: usize, position: u64, signals: &[SignalEvent]) {
        let mut forgotten = None;
        let mut store = None;
        for signal in signals {
            for (i, taking) in signal.counts_for().enumerate() {
                let before = &signal.parties[..i.min(signal.parties.len())];
                if shard_of(&taking) != shard || before.contains(&taking) {
                    continue;
                }
                // Nothing is locked for a batch that says nothing of this shard.
                let store = store.get_or_insert_with(|| {
                    let mut store = self.shards[shard].write();
                    forgotten = Some(store.begin(position));
                    store
                });
                let generation = before.iter().filter(|other| other.role == taking.role).count();
                store.take((taking.role, taking.id), generation, signal);
            }
        }
        drop(store);
        // Freed when nobody waits for the shard.
        drop(forgotten);
    }

    /// Everything that is known of those for whom a signal counts, as of one position; none if batches overtook the reader again and again.
    #[must_use]
    pub fn known(&self, signal: &SignalEvent) -> Option<(u64, Known)> {
        for _ in 0..TRIES {
            let position = self.position();
            if let Some(known) = self.known_at(signal, position) {
                return Some((position, known));
            }
            std::hint::spin_loop();
        }
        None
    }

    fn known_at(&self, signal: &SignalEvent, position: u64) -> Option<Known> {
        let mut known = Known::default();
        for (i, taking) in signal.counts_for().enumerate() {
            if signal.parties[..i.min(signal.parties.len())].contains(&taking) {
                continue;
            }
            match self.shards[shard_of(&taking)].read().sight((taking.role, taking.id), position) {
                Sight::Known(state) => known.add(taking.role, state),
                Sight::Unknown => {}
                Sight::Moved => return None,
            }
        }
        Some(known)
    }

    /// How many parties are known.
    #[must_use]
    pub fn parties(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Copies of all shards, when nothing is being taken in.
    #[must_use]
    pub fn stores(&self) -> Vec<Store> {
        self.shards.iter().map(|shard| shard.read().clone()).collect()
    }

    /// Puts saved shards in place; false if they are not as many.
    pub fn restore(&self, position: u64, stores: Vec<Store>) -> bool {
        if stores.len() != SHARDS {
            return false;
        }
        for (shard, store) in self.shards.iter().zip(stores) {
            *shard.write() = store;
        }
        self.publish(position);
        true
    }
}
