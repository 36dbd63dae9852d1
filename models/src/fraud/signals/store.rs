//! The states of many parties in bounded memory. The ones that were not heard of for longest are forgotten, by generations: when the young ones fill their half,
//! the old half goes and the young become the old; whoever is heard of again is young again. All of it follows from the order of events alone.
//!
//! Beside the newest state of a party its state before the batch that is being taken in is kept, until the next batch begins, and so is what that batch made the
//! store forget: readers see whole batches, never a part of one, and nobody waits.

use std::collections::{HashMap, hash_map};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::features::{FeatureVector, Known, features};
use super::state::State;
use super::{Role, SignalEvent};

/// Whose state.
pub type PartyKey = (Role, u128);

/// What can be said of a party as of a position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sight<'a> {
    /// Nothing is known of it.
    Unknown,
    /// Its state.
    Known(&'a State),
    /// The store is too far ahead of that position to say: ask again at a later one.
    Moved,
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    /// The batch that changed it last.
    at: u64,
    state: State,
    /// Before that batch, while it may be asked for.
    before: Option<(u64, State)>,
}

impl Entry {
    /// What a batch has made of it. The state before that batch is kept; those in between, which nobody was shown, are not.
    fn put(&mut self, position: u64, state: State) {
        let before = std::mem::replace(&mut self.state, state);
        if self.at < position {
            self.before = Some((self.at, before));
            self.at = position;
        }
    }
}

/// The states by whose they are.
type Entries = HashMap<PartyKey, Entry, BuildHasherDefault<Folded>>;

/// The hash of a key so far. Pseudonyms are keyed hashes, and all else has a number that nobody chooses: so that none can be made to meet, and to multiply and fold is enough.
#[derive(Debug, Clone, Copy, Default)]
struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }
    fn write_u64(&mut self, word: u64) {
        // 2^64 divided by the golden ratio.
        let product = u128::from(self.0 ^ word) * 0x9e37_79b9_7f4a_7c15;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
    fn write_u128(&mut self, words: u128) {
        self.write_u64(words as u64);
        self.write_u64((words >> 64) as u64);
    }
    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }
}

/// The states of many parties.
#[derive(Debug, Clone)]
pub struct Store {
    half: usize,
    young: Entries,
    old: Entries,
    /// What the last batch made the store forget, for readers of the one before it; none: nothing, or it is not known any more.
    gone: Option<Arc<Entries>>,
    /// Whose states changed in the last batch.
    touched: Vec<PartyKey>,
    position: u64,
    /// The batch in which parties were last forgotten.
    forgot_at: u64,
}

/// What is read back of a store.
#[derive(Deserialize)]
struct Saved {
    half: usize,
    position: u64,
    forgot_at: u64,
    young: Vec<(PartyKey, u64, State)>,
    old: Vec<(PartyKey, u64, State)>,
}

/// What is saved of a store.
#[derive(Serialize)]
struct Saving<'a> {
    half: usize,
    position: u64,
    forgot_at: u64,
    young: Vec<(PartyKey, u64, &'a State)>,
    old: Vec<(PartyKey, u64, &'a State)>,
}

impl Store {
    /// Of at most about `parties` parties, and not fewer than half as many of those that were heard of last. From a batch that forgets to the one that follows it half as
    /// many more are in memory.
    #[must_use]
    pub fn new(parties: usize) -> Self {
        let (young, old) = (Entries::default(), Entries::default());
        Self { half: parties.div_ceil(2).max(1), young, old, gone: None, touched: Vec::new(), position: 0, forgot_at: 0 }
    }

    /// The last batch that was begun.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// How many parties are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A batch begins: what was kept for readers of the one before the last goes. Answers what the last one forgot, so that it can be freed where nobody waits.
    pub fn begin(&mut self, position: u64) -> Forgotten {
        for key in self.touched.drain(..) {
            if let Some(entry) = self.young.get_mut(&key) {
                entry.before = None;
            }
        }
        self.position = position;
        let forgotten = Forgotten(self.gone.take());
        if self.young.len() >= self.half {
            self.forgot_at = position;
            // Whoever reads as of the batch before finds there whom this one forgets: else all who are counted here would be strangers until it is heard.
            self.gone = Some(Arc::new(std::mem::replace(&mut self.old, std::mem::take(&mut self.young))));
        }
        forgotten
    }

    /// What is known of a party, as of all that was taken in.
    #[must_use]
    pub fn newest(&self, key: PartyKey) -> Option<&State> {
        self.young.get(&key).or_else(|| self.old.get(&key)).map(|entry| &entry.state)
    }

    /// What the batch that was begun has made of a party.
    pub fn put(&mut self, key: PartyKey, state: State) {
        if let Some(entry) = self.old.remove(&key) {
            self.young.insert(key, entry);
        }
        match self.young.entry(key) {
            hash_map::Entry::Vacant(place) => {
                place.insert(Entry { at: self.position, state, before: None });
            }
            hash_map::Entry::Occupied(place) => place.into_mut().put(self.position, state),
        }
        self.touched.push(key);
    }

    /// Takes an event in for all of its parties.
    pub fn fold(&mut self, event: &SignalEvent) {
        for (key, generation) in keys(event) {
            let mut state = self.newest(key).cloned().unwrap_or_else(|| State::new(key.0, event.at_us));
            state.take(event, key.0, generation);
            self.put(key, state);
        }
    }

    /// What is known of a party after the batch `position`.
    #[must_use]
    pub fn sight(&self, key: PartyKey, position: u64) -> Sight<'_> {
        if position.saturating_add(1) < self.position {
            return Sight::Moved;
        }
        if position < self.forgot_at {
            match self.gone.as_ref().map(|gone| gone.get(&key)) {
                None => return Sight::Moved,
                // Whoever is heard of again begins anew: what was known before that is here.
                Some(Some(entry)) => return Sight::Known(&entry.state),
                Some(None) => {}
            }
        }
        match self.young.get(&key).or_else(|| self.old.get(&key)) {
            None => Sight::Unknown,
            Some(entry) if entry.at <= position => Sight::Known(&entry.state),
            Some(Entry { before: Some(before), .. }) => Sight::Known(&before.1),
            Some(_) => Sight::Unknown,
        }
    }

    /// The features of a command that is about to be decided, as of all that was taken in.
    #[must_use]
    pub fn features(&self, event: &SignalEvent) -> FeatureVector {
        let mut known = Known::of(event.parties.len() + 2);
        for (key, generation) in keys(event) {
            if let Some(state) = self.newest(key) {
                known.add(key.0, generation, state);
            }
        }
        features(&known, event)
    }
}

/// What is known, in an order of its own.
fn listed(map: &Entries) -> Vec<(PartyKey, u64, &State)> {
    let mut list: Vec<_> = map.iter().map(|(key, entry)| (*key, entry.at, &entry.state)).collect();
    list.sort_unstable_by_key(|(key, ..)| *key);
    list
}

/// Everything but what readers of earlier batches need: the same states are the same bytes, whatever became of them in memory.
impl Serialize for Store {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { half, position, forgot_at, .. } = *self;
        Saving { half, position, forgot_at, young: listed(&self.young), old: listed(&self.old) }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Store {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Saved { half, position, forgot_at, young, old } = Saved::deserialize(deserializer)?;
        let map = |list: Vec<(PartyKey, u64, State)>| list.into_iter().map(|(key, at, state)| (key, Entry { at, state, before: None })).collect();
        Ok(Self { half: half.max(1), young: map(young), old: map(old), gone: None, touched: Vec::new(), position, forgot_at })
    }
}

/// Parties that a store has forgotten: half as many of them are freed as a store may hold, which takes a moment.
#[derive(Debug)]
pub struct Forgotten(Option<Arc<Entries>>);

impl Forgotten {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |forgotten| forgotten.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// For whom an event counts, each once, with the generation of its pseudonym.
pub fn keys(event: &SignalEvent) -> impl Iterator<Item = (PartyKey, usize)> + '_ {
    event.counts_for().enumerate().filter_map(|(i, taking)| {
        let before = &event.parties[..i.min(event.parties.len())];
        if before.contains(&taking) {
            return None;
        }
        Some(((taking.role, taking.id), before.iter().filter(|other| other.role == taking.role).count()))
    })
}
