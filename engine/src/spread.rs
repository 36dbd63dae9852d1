//! Collections that grow a little at a time. A hash table that doubles moves everything it holds at once, and everybody waits meanwhile: with 100,000 sales of one slot
//! that is a tenth of a second. Here a part is moved at each step (linear hashing, Litwin 1980; a queue in pieces).

use std::collections::{HashMap, VecDeque, hash_map};
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use crate::envelope::Digest;
use crate::ids::{HoldId, KeyId};

/// How many entries a bucket holds on average before the next one is split, and how long a piece of a queue is.
const PIECE: usize = 512;

/// A key whose bits choose its bucket. They need only be spread: within the bucket the key is hashed. Keys that share them cost what they would in one large map.
pub trait Spreads {
    /// Bits that differ from key to key, the lowest first.
    fn bits(&self) -> u64;
}

/// Bits 16 to 63 of an id of a hold are random. The upper half of them: within the bucket the lower half finds the place.
impl Spreads for HoldId {
    fn bits(&self) -> u64 {
        (self.get() >> 40) as u64
    }
}

/// A digest's bits are as good as random.
impl Spreads for Digest {
    fn bits(&self) -> u64 {
        self.0 as u64
    }
}

impl Spreads for (KeyId, Digest) {
    fn bits(&self) -> u64 {
        self.1.bits()
    }
}

/// Hashes keys that are digests or numbers: each word is multiplied into the rest with a secret of this map, so that nobody can choose keys that meet, and at a
/// fifth of what the usual hash costs.
#[derive(Debug, Clone, Copy)]
pub struct Folding {
    secrets: [u64; 2],
}

impl Default for Folding {
    fn default() -> Self {
        let random = RandomState::new();
        Self { secrets: [random.hash_one(0), random.hash_one(1)] }
    }
}

impl BuildHasher for Folding {
    type Hasher = FoldingHasher;

    fn build_hasher(&self) -> FoldingHasher {
        FoldingHasher { hash: self.secrets[0], secret: self.secrets[1] }
    }
}

/// The hash so far.
#[derive(Debug, Clone, Copy)]
pub struct FoldingHasher {
    hash: u64,
    secret: u64,
}

impl FoldingHasher {
    const fn fold(a: u64, b: u64) -> u64 {
        let product = a as u128 * b as u128;
        product as u64 ^ (product >> 64) as u64
    }
}

impl Hasher for FoldingHasher {
    fn finish(&self) -> u64 {
        self.hash
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }
    fn write_u64(&mut self, word: u64) {
        self.hash = Self::fold(self.hash ^ word, self.secret);
    }
    fn write_u128(&mut self, words: u128) {
        self.hash = Self::fold(self.hash ^ words as u64, self.secret ^ (words >> 64) as u64);
    }
}

/// A hash map of many small ones.
#[derive(Clone)]
pub struct Spread<K, V, S = Folding> {
    /// As many as it takes, one more after every `PIECE` entries.
    buckets: Vec<HashMap<K, V, S>>,
    hasher: S,
    len: usize,
}

impl<K, V, S: Default> Default for Spread<K, V, S> {
    fn default() -> Self {
        Self { buckets: Vec::new(), hasher: S::default(), len: 0 }
    }
}

impl<K: Eq + Hash + Spreads, V, S: BuildHasher + Clone> Spread<K, V, S> {
    /// The bucket of a key: as many of its bits as count all buckets, or one bit less if that one does not exist yet.
    fn bucket(&self, key: &K) -> usize {
        let bits = key.bits() as usize;
        let all = self.buckets.len().next_power_of_two();
        let found = bits & (all - 1);
        if found < self.buckets.len() { found } else { found & (all / 2 - 1) }
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        if self.len == 0 { None } else { self.buckets[self.bucket(key)].get(key) }
    }

    /// The value of a key, to change.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if self.len == 0 {
            return None;
        }
        let bucket = self.bucket(key);
        self.buckets[bucket].get_mut(key)
    }

    /// Whether a key is there.
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Puts a value in its place; answers the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.len >= self.buckets.len() * PIECE {
            self.split();
        }
        let bucket = self.bucket(&key);
        let before = self.buckets[bucket].insert(key, value);
        self.len += usize::from(before.is_none());
        before
    }

    /// Puts a value in its place if there is none; answers whether there was none.
    pub fn insert_new(&mut self, key: K, value: V) -> bool {
        if self.len >= self.buckets.len() * PIECE {
            self.split();
        }
        let bucket = self.bucket(&key);
        let hash_map::Entry::Vacant(place) = self.buckets[bucket].entry(key) else { return false };
        place.insert(value);
        self.len += 1;
        true
    }

    /// Changes the value of a key, or the one that stands for none; what becomes that is not kept.
    pub fn update(&mut self, key: K, change: impl FnOnce(&mut V))
    where
        V: Default + PartialEq,
    {
        let none = V::default();
        if let Some(value) = self.get_mut(&key) {
            change(value);
            if *value == none {
                self.remove(&key);
            }
            return;
        }
        let mut value = V::default();
        change(&mut value);
        if value != none {
            self.insert(key, value);
        }
    }

    /// Takes a value out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        if self.len == 0 {
            return None;
        }
        let bucket = self.bucket(key);
        let removed = self.buckets[bucket].remove(key);
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// One bucket more: some entries of the one that stood for it so far move over.
    fn split(&mut self) {
        let new = self.buckets.len();
        let room = if new == 0 { 0 } else { PIECE };
        self.buckets.push(HashMap::with_capacity_and_hasher(room, self.hasher.clone()));
        if new == 0 {
            return;
        }
        let all = self.buckets.len().next_power_of_two();
        let (before, after) = self.buckets.split_at_mut(new);
        let (old, new) = (&mut before[new & (all / 2 - 1)], new);
        after[0].extend(old.extract_if(|key, _| key.bits() as usize & (all - 1) == new));
    }
}

impl<K, V, S> Spread<K, V, S> {
    /// How many entries there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.buckets.iter().flatten()
    }

    /// All keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.buckets.iter().flat_map(HashMap::keys)
    }

    /// All values, in no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.buckets.iter().flat_map(HashMap::values)
    }
}

impl<'a, K, V, S> IntoIterator for &'a Spread<K, V, S> {
    type Item = (&'a K, &'a V);
    type IntoIter =
        std::iter::FlatMap<std::slice::Iter<'a, HashMap<K, V, S>>, hash_map::Iter<'a, K, V>, fn(&'a HashMap<K, V, S>) -> hash_map::Iter<'a, K, V>>;

    fn into_iter(self) -> Self::IntoIter {
        self.buckets.iter().flat_map(HashMap::iter)
    }
}

impl<K: Eq + Hash + Spreads, V, S: BuildHasher + Clone + Default> FromIterator<(K, V)> for Spread<K, V, S> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut spread = Self::default();
        for (key, value) in entries {
            spread.insert(key, value);
        }
        spread
    }
}

impl<K: Eq + Hash + Spreads, V: PartialEq, S: BuildHasher + Clone> PartialEq for Spread<K, V, S> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<K: Eq + Hash + Spreads, V: Eq, S: BuildHasher + Clone> Eq for Spread<K, V, S> {}

impl<K: fmt::Debug, V: fmt::Debug, S> fmt::Debug for Spread<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// A queue in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue<T> {
    /// All but the last are full.
    pieces: VecDeque<Vec<T>>,
    /// How many at the begin of the first piece have left.
    gone: usize,
    len: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { pieces: VecDeque::new(), gone: 0, len: 0 }
    }
}

impl<T> Queue<T> {
    /// How many wait.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The one that waits at this place, from 0.
    pub fn get(&self, index: usize) -> Option<&T> {
        let index = self.gone.checked_add(index)?;
        self.pieces.get(index / PIECE)?.get(index % PIECE)
    }

    /// The one that waits longest.
    pub fn front(&self) -> Option<&T> {
        self.get(0)
    }

    /// Puts one at the end.
    pub fn push_back(&mut self, value: T) {
        match self.pieces.back_mut().filter(|last| last.len() < PIECE) {
            Some(last) => last.push(value),
            None => {
                // The first piece grows as it is needed: most queues are short.
                let mut piece = Vec::with_capacity(if self.pieces.is_empty() { 1 } else { PIECE });
                piece.push(value);
                self.pieces.push_back(piece);
            }
        }
        self.len += 1;
    }

    /// Lets the one that waits longest go.
    pub fn drop_front(&mut self) {
        if self.len == 0 {
            return;
        }
        self.gone += 1;
        self.len -= 1;
        if self.gone == PIECE || self.len == 0 {
            self.pieces.pop_front();
            self.gone = 0;
        }
    }

    /// All that wait, the one that waits longest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces.iter().flatten().skip(self.gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Spreads for u16 {
        fn bits(&self) -> u64 {
            u64::from(*self)
        }
    }

    impl Spreads for u64 {
        fn bits(&self) -> u64 {
            *self
        }
    }

    #[test]
    fn what_becomes_nothing_is_not_kept() {
        let mut spread = Spread::<u64, u32>::default();
        spread.update(7, |count| *count += 2);
        spread.update(8, |_| {});
        spread.update(7, |count| *count += 1);
        assert_eq!((spread.get(&7), spread.get(&8), spread.len()), (Some(&3), None, 1));
        spread.update(7, |count| *count = 0);
        assert!(spread.get(&7).is_none() && spread.is_empty());
    }

    proptest! {
        #[test]
        fn a_spread_is_a_map(steps in prop::collection::vec((any::<u16>(), 0..3_u8), 0..6_000)) {
            let (mut spread, mut map) = (Spread::<u16, usize>::default(), HashMap::new());
            for (i, (key, what)) in steps.into_iter().enumerate() {
                match what {
                    0 => prop_assert_eq!(spread.remove(&key), map.remove(&key)),
                    1 => prop_assert_eq!(spread.insert_new(key, i), *map.entry(key).or_insert(i) == i),
                    _ => prop_assert_eq!(spread.insert(key, i), map.insert(key, i)),
                }
                prop_assert_eq!(spread.get(&key), map.get(&key));
                prop_assert_eq!(spread.len(), map.len());
            }
            prop_assert!(map.iter().all(|(key, value)| spread.get(key) == Some(value)));
            prop_assert_eq!(spread.iter().count(), map.len());
            prop_assert_eq!(spread.clone(), map.iter().map(|(key, value)| (*key, *value)).collect::<Spread<_, _>>());
        }

        #[test]
        fn a_queue_is_a_queue(steps in prop::collection::vec((1..900_usize, 0..900_usize), 0..12)) {
            let (mut queue, mut plain) = (Queue::default(), VecDeque::new());
            for (arriving, leaving) in steps {
                for i in 0..arriving {
                    queue.push_back(i);
                    plain.push_back(i);
                }
                for _ in 0..leaving {
                    queue.drop_front();
                    plain.pop_front();
                }
                prop_assert!(queue.iter().eq(plain.iter()));
                prop_assert_eq!((queue.len(), queue.front()), (plain.len(), plain.front()));
                prop_assert_eq!(queue.get(plain.len() / 2), plain.get(plain.len() / 2));
                prop_assert_eq!(queue.get(plain.len()), None);
            }
        }
    }

    #[test]
    fn no_step_moves_much() {
        let mut spread = Spread::<u64, u64>::default();
        for key in 0..100_000 {
            spread.insert(key, key);
        }
        let largest = spread.buckets.iter().map(HashMap::len).max();
        assert!(largest.is_some_and(|largest| largest < 3 * PIECE), "{largest:?}");
        assert!((spread.len() / PIECE..=spread.len() / PIECE + 1).contains(&spread.buckets.len()));
    }
}
