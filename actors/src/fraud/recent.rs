//! A map that remembers what was put in last, in bounded memory: for what is put in beyond that, the oldest goes, one at a time, so that nobody ever waits for many
//! to go at once. What it holds follows from the order of calls alone.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tornello_engine::spread::Folding;

/// The map.
#[derive(Debug, Clone)]
pub struct Recent<K, V> {
    count: usize,
    /// What stands under each key, and the turn in which it was put in.
    known: HashMap<K, (u64, V), Folding>,
    /// The keys by turn; none where the key was taken out or put in again since.
    turns: VecDeque<Option<K>>,
    /// The turn that `turns` begins with.
    first: u64,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    /// Of `count` things at most: the last ones, and fewer only where some were put in again or taken out.
    pub fn new(count: usize) -> Self {
        Self { count: count.max(1), known: HashMap::default(), turns: VecDeque::new(), first: 0 }
    }

    /// Puts something in.
    pub fn put(&mut self, key: K, value: V) {
        if self.turns.len() >= self.count {
            if let Some(Some(oldest)) = self.turns.pop_front() {
                self.known.remove(&oldest);
            }
            self.first += 1;
        }
        let turn = self.first + self.turns.len() as u64;
        match self.known.entry(key) {
            Entry::Occupied(mut entry) => {
                let (before, _) = entry.insert((turn, value));
                self.turns[(before - self.first) as usize] = None;
            }
            Entry::Vacant(entry) => {
                entry.insert((turn, value));
            }
        }
        self.turns.push_back(Some(key));
    }

    /// What stands under a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.known.get(key).map(|(_, value)| value)
    }

    /// Takes something out.
    pub fn take(&mut self, key: &K) -> Option<V> {
        let (turn, value) = self.known.remove(key)?;
        self.turns[(turn - self.first) as usize] = None;
        Some(value)
    }

    /// How many things are remembered.
    pub fn count(&self) -> usize {
        self.known.len()
    }
}

#[derive(Serialize, Deserialize)]
struct Saved<K, V> {
    count: usize,
    /// By turn; none: nothing any more.
    turns: Vec<Option<(K, V)>>,
}

/// By turn, so that the same content is the same bytes.
impl<K: Copy + Eq + Hash + Serialize, V: Clone + Serialize> Serialize for Recent<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let turns = self.turns.iter().map(|key| key.and_then(|key| self.get(&key).map(|value| (key, value.clone())))).collect();
        Saved { count: self.count, turns }.serialize(serializer)
    }
}

impl<'de, K: Copy + Eq + Hash + Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Recent<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Saved { count, turns } = Saved::deserialize(deserializer)?;
        let mut recent = Self::new(count);
        for turn in turns {
            match turn {
                Some((key, value)) => recent.put(key, value),
                None => recent.turns.push_back(None),
            }
        }
        Ok(recent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_remembered_and_memory_is_bounded() {
        let mut recent = Recent::new(10);
        for i in 0..100_u32 {
            recent.put(i, i * 2);
            assert!(recent.count() <= 10 && recent.turns.len() <= 10);
        }
        assert_eq!((recent.get(&99), recent.get(&90), recent.get(&89)), (Some(&198), Some(&180), None));
        assert_eq!((recent.take(&99), recent.take(&99)), (Some(198), None));
        let bytes = postcard::to_allocvec(&recent).expect("saved");
        let again: Recent<u32, u32> = postcard::from_bytes(&bytes).expect("restored");
        assert_eq!(postcard::to_allocvec(&again).expect("saved"), bytes);
    }

    #[test]
    fn what_is_put_in_again_is_young_again_and_read_back_it_goes_on_alike() {
        let mut recent = Recent::new(4);
        let mut turns = 0;
        for key in [1, 2, 3, 1, 4, 5, 1, 6, 2, 7] {
            turns += 1;
            recent.put(key, turns);
            if turns == 6 {
                recent.take(&4);
            }
            let bytes = postcard::to_allocvec(&recent).expect("saved");
            recent = postcard::from_bytes(&bytes).expect("restored");
        }
        assert_eq!([1, 2, 3, 4, 5, 6, 7].map(|key| recent.get(&key).copied()), [Some(7), Some(9), None, None, None, Some(8), Some(10)]);
    }
}
