//! When things of one kind next want waking, earliest first: what a board keeps so that somebody sleeps until the first of all, and is woken when that is another.

use std::collections::BTreeSet;

use tornello_engine::time::Timestamp;

/// What has become of the first deadline of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    /// It is as it was.
    Same,
    /// There is an earlier one: whoever sleeps until the first must wake.
    Earlier,
    /// It is gone, and the next one is later, if there is one: whoever sleeps until it finds that nothing is due.
    Gone,
}

/// The deadlines of things of one kind, at most one of each.
#[derive(Debug)]
pub(crate) struct Deadlines<K>(BTreeSet<(Timestamp, K)>);

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<K: Copy + Ord> Deadlines<K> {
    /// Puts a thing's deadline in the place of the one that it had; answers what that makes of the first of all.
    pub(crate) fn replace(&mut self, key: K, before: Option<Timestamp>, after: Option<Timestamp>) -> First {
        if before == after {
            return First::Same;
        }
        let first = self.0.first().copied();
        if let Some(at) = before {
            self.0.remove(&(at, key));
        }
        if let Some(at) = after {
            self.0.insert((at, key));
        }
        match (first, self.0.first()) {
            (first, now) if first.as_ref() == now => First::Same,
            (Some(first), now) if now.is_none_or(|now| *now > first) => First::Gone,
            _ => First::Earlier,
        }
    }

    /// The first of all.
    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }

    /// The things whose deadline has come, earliest first.
    pub(crate) fn due(&self, now: Timestamp) -> Vec<K> {
        self.0.iter().take_while(|(at, _)| *at <= now).map(|(_, key)| *key).collect()
    }

    /// How many things have one.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_sleeps_until_the_first_hears_when_it_is_another() {
        let (mut deadlines, at) = (Deadlines::default(), Timestamp::from_seconds);
        let steps = [
            (1, None, Some(50), First::Earlier),
            (2, None, Some(60), First::Same),
            (2, Some(60), Some(60), First::Same),
            (2, Some(60), Some(40), First::Earlier),
            (1, Some(50), Some(70), First::Same),
            (2, Some(40), None, First::Gone),
            (3, None, None, First::Same),
            (1, Some(70), None, First::Gone),
            (1, None, Some(70), First::Earlier),
        ];
        for (key, before, after, first) in steps {
            assert_eq!(deadlines.replace(key, before.map(at), after.map(at)), first, "{key}: {before:?}, {after:?}");
        }
        assert_eq!(deadlines.replace(4, None, Some(at(65))), First::Earlier);
        assert_eq!((deadlines.first(), deadlines.count()), (Some(at(65)), 2));
        assert_eq!((deadlines.due(at(64)), deadlines.due(at(69)), deadlines.due(at(70))), (vec![], vec![4], vec![4, 1]));
    }
}
