//! The counters of all parties, in shards that the scorers write and requests read, without a mailbox in between. A reader sees all parties as of one position of
//! the journal: the last batch of which every shard has heard.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use tokio::sync::Notify;
use tornello_models::fraud::signals::{Known, PartyKey, Sight, SignalEvent, State, Store, keys};

/// How many shards there are. Part of the saved state.
pub const SHARDS: usize = 64;
/// How often a reader tries again at once when a batch has overtaken it, and how often after that when others have had their turn.
const TRIES: usize = 32;
const TRIES_LATER: usize = 8;

/// The counters.
#[derive(Debug)]
pub struct Counters {
    shards: Box<[RwLock<Store>]>,
    position: AtomicU64,
    moved: Notify,
}

/// In which shard a party is counted.
#[must_use]
pub const fn shard_of(id: u128) -> usize {
    // Pseudonyms are keyed hashes and spread by themselves; numbers of keys are small and differ in their last bits.
    ((id ^ (id >> 64)) as u64 % SHARDS as u64) as usize
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

    /// Takes in what a batch says of the parties in some of the shards. Nobody else may write to these shards meanwhile. Readers wait for a moment only, because what becomes of
    /// a party is worked out beside the shard, and then put there.
    pub fn fold(&self, mine: impl Fn(usize) -> bool, position: u64, signals: &[SignalEvent]) {
        let of_one = |signal| keys(signal).map(move |(key, generation)| (shard_of(key.1), key, generation, signal));
        let mut all: Vec<_> = signals.iter().flat_map(of_one).filter(|(shard, ..)| mine(*shard)).collect();
        all.sort_by_key(|(shard, ..)| *shard);
        let mut states: Vec<(PartyKey, State)> = Vec::new();
        for of_shard in all.chunk_by(|(shard, ..), (other, ..)| shard == other) {
            let shard = &self.shards[of_shard[0].0];
            let forgotten = shard.write().begin(position);
            for (_, key, generation, signal) in of_shard {
                let place = states.iter().position(|(known, _)| known == key).unwrap_or_else(|| {
                    states.push((*key, shard.read().newest(*key).cloned().unwrap_or_else(|| State::new(key.0, signal.at_us))));
                    states.len() - 1
                });
                states[place].1.take(signal, key.0, *generation);
            }
            let mut store = shard.write();
            states.drain(..).for_each(|(key, state)| store.put(key, state));
            drop(store);
            // Freed when nobody waits for the shard.
            drop(forgotten);
        }
    }

    /// Takes in all that a batch says: for whoever hears the journal alone.
    pub fn hear(&self, position: u64, signals: &[SignalEvent]) {
        self.fold(|_| true, position, signals);
        self.publish(position);
    }

    /// Everything that is known of those for whom a signal counts, as of one position; none if batches overtook the reader again and again.
    #[must_use]
    pub fn known(&self, signal: &SignalEvent) -> Option<(u64, Known)> {
        for tries in 0..TRIES + TRIES_LATER {
            let position = self.position();
            if let Some(known) = self.known_at(signal, position) {
                return Some((position, known));
            }
            if tries < TRIES { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        None
    }

    fn known_at(&self, signal: &SignalEvent, position: u64) -> Option<Known> {
        let mut known = Known::of(signal.parties.len() + 2);
        for (key, generation) in keys(signal) {
            match self.shards[shard_of(key.1)].read().sight(key, position) {
                Sight::Known(state) => known.add(key.0, generation, state),
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

    /// Copies of all shards, when nothing is being taken in. What is known of parties is shared with them, and goes on counting beside them.
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

/// Copies of all shards, made one at a time between batches, so that nobody waits for more than one of them. A shard that was copied goes on meanwhile: what is heard until
/// the last one is copied is kept, and taken in by the copies afterwards. Then all of them are as of the last of these batches.
#[derive(Debug, Default)]
pub struct Copies {
    /// As of which batch, and the shard, in their order.
    shards: Vec<(u64, Store)>,
    /// What batches said since the first was copied.
    since: Vec<(u64, Arc<Vec<SignalEvent>>)>,
}

impl Copies {
    /// The counters have taken in a batch: told of each, in order.
    pub fn heard(&mut self, position: u64, signals: &Arc<Vec<SignalEvent>>) {
        if !self.shards.is_empty() && !signals.is_empty() {
            self.since.push((position, Arc::clone(signals)));
        }
    }

    /// Copies the next shard, if there is one, when nothing is being taken in; answers whether all are copied.
    pub fn copy_next(&mut self, counters: &Counters) -> bool {
        if let Some(shard) = counters.shards.get(self.shards.len()) {
            let copy = shard.read().clone();
            self.shards.push((counters.position(), copy));
        }
        self.shards.len() == counters.shards.len()
    }

    /// All shards as of the last batch that was heard: takes as long as taking in what came meanwhile.
    #[must_use]
    pub fn into_stores(self) -> Vec<Store> {
        let (positions, stores): (Vec<u64>, Vec<Store>) = self.shards.into_iter().unzip();
        let copies = Counters { shards: stores.into_iter().map(RwLock::new).collect(), position: AtomicU64::new(0), moved: Notify::new() };
        for (position, signals) in &self.since {
            copies.fold(|shard| positions.get(shard).is_some_and(|copied_at| copied_at < position), *position, signals);
        }
        copies.shards.into_iter().map(RwLock::into_inner).collect()
    }
}

#[cfg(test)]
mod tests {
    use tornello_models::fraud::signals::{Outlet, Role, SignalKind, Taking, features};

    use super::*;

    fn held(buyer: u128) -> SignalEvent {
        let mut signal = SignalEvent::new(1_000_000, SignalKind::Held, Outlet::Web, 1);
        signal.parties = vec![Taking { role: Role::Buyer, id: buyer }];
        signal.people = 2;
        signal
    }

    #[test]
    fn while_a_shard_forgets_nobody_is_a_stranger() {
        // As small as can be: every batch makes a shard forget whom the one before made old.
        let counters = Counters::new(1);
        counters.hear(1, &[held(7)]);
        for batch in 2..=5 {
            let (at, before) = counters.known(&held(7)).expect("all has been heard");
            counters.fold(|_| true, batch, &[held(7), held(8)]);
            let (meanwhile, known) = counters.known(&held(7)).expect("what is being heard is not seen yet, and hides nothing");
            assert_eq!((meanwhile, features(&known, &held(7))), (at, features(&before, &held(7))), "batch {batch}");
            counters.publish(batch);
            let (_, after) = counters.known(&held(7)).expect("all has been heard");
            assert_ne!(features(&after, &held(7)), features(&before, &held(7)), "batch {batch}");
        }
        // Only two batches that nobody was told of leave a reader with nothing.
        counters.fold(|_| true, 6, &[held(7)]);
        counters.fold(|_| true, 7, &[held(7)]);
        assert!(counters.known(&held(7)).is_none());
    }

    #[test]
    fn copied_one_by_one_while_batches_are_heard_the_shards_are_all_as_of_the_last_of_them() {
        // So small that shards forget meanwhile.
        let counters = Counters::new(4 * SHARDS);
        let signals = |batch: u128| Arc::new((0..5).map(|n| held((batch * 7 + n) % 300)).collect::<Vec<_>>());
        (1..=200).for_each(|batch| counters.hear(batch, &signals(batch.into())));
        let (mut copies, mut batch) = (Copies::default(), 200);
        loop {
            batch += 1;
            let signals = signals(batch.into());
            counters.hear(batch, &signals);
            copies.heard(batch, &signals);
            if copies.copy_next(&counters) {
                break;
            }
        }
        assert_eq!(batch, 200 + SHARDS as u64, "one for each batch");
        let bytes = |stores: Vec<Store>| stores.iter().map(|store| postcard::to_allocvec(store).unwrap()).collect::<Vec<_>>();
        assert_eq!(bytes(copies.into_stores()), bytes(counters.stores()));
    }
}
