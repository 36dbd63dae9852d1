//! A map that remembers what was put in or asked for last, in bounded memory: two generations, of which the older goes when the younger is full. What it holds
//! follows from the order of calls alone.

use std::collections::HashMap;
use std::hash::Hash;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The map.
#[derive(Debug, Clone)]
pub struct Recent<K, V> {
    half: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// Of `count` things at most, and not fewer than half as many of the last ones.
    pub fn new(count: usize) -> Self {
        Self { half: count.div_ceil(2).max(1), young: HashMap::new(), old: HashMap::new() }
    }

    /// Puts something in.
    pub fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    /// What stands under a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Takes something out.
    pub fn take(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    /// How many things are remembered.
    pub fn count(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[derive(Serialize, Deserialize)]
struct Saved<K, V> {
    half: usize,
    young: Vec<(K, V)>,
    old: Vec<(K, V)>,
}

/// Sorted, so that the same content is the same bytes.
impl<K: Copy + Ord + Serialize, V: Clone + Serialize> Serialize for Recent<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let list = |map: &HashMap<K, V>| {
            let mut list: Vec<_> = map.iter().map(|(key, value)| (*key, value.clone())).collect();
            list.sort_unstable_by_key(|(key, _)| *key);
            list
        };
        Saved { half: self.half, young: list(&self.young), old: list(&self.old) }.serialize(serializer)
    }
}

impl<'de, K: Eq + Hash + Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Recent<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Saved { half, young, old } = Saved::deserialize(deserializer)?;
        Ok(Self { half: half.max(1), young: young.into_iter().collect(), old: old.into_iter().collect() })
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
            assert!(recent.count() <= 10);
        }
        assert_eq!((recent.get(&99), recent.get(&95), recent.get(&3)), (Some(&198), Some(&190), None));
        assert_eq!((recent.take(&99), recent.take(&99)), (Some(198), None));
        let bytes = postcard::to_allocvec(&recent).expect("saved");
        let again: Recent<u32, u32> = postcard::from_bytes(&bytes).expect("restored");
        assert_eq!(postcard::to_allocvec(&again).expect("saved"), bytes);
    }
}
