//! Whom rules let pass that had refused them, at hand for whoever is about to be refused once more: asked only then, from memory. It follows from the verdicts in the
//! journal, and can be rebuilt from it.

use std::collections::HashMap;

use parking_lot::RwLock;
use tornello_engine::case::Pass;
use tornello_engine::ids::{CaseId, Code};
use tornello_engine::time::Timestamp;
use tornello_models::fraud::signals::Taking;

use crate::fraud::hearing::role;

/// The passes of all cases. There are as many as verdicts of a week that found somebody honest who had been refused.
#[derive(Debug, Default)]
pub struct Passes(RwLock<HashMap<CaseId, Pass>>);

impl Passes {
    /// Puts what follows from a case in the place of what followed from it before.
    pub(crate) fn put(&self, case: CaseId, pass: Option<Pass>) {
        let mut passes = self.0.write();
        match pass {
            Some(pass) => drop(passes.insert(case, pass)),
            None => drop(passes.remove(&case)),
        }
    }

    /// Forgets those whose time is over.
    pub(crate) fn forget(&self, now: Timestamp) {
        self.0.write().retain(|_, pass| pass.until > now);
    }

    /// The rules that refuse none of these at an instant.
    #[must_use]
    pub fn spared(&self, parties: &[Taking], now: Timestamp) -> Vec<Code> {
        let is_one = |pass: &Pass| pass.parties.iter().any(|party| parties.contains(&Taking { role: role(party.kind), id: { party.pseudonym.0 } }));
        let passes = self.0.read();
        passes.values().filter(|pass| now < pass.until && is_one(pass)).flat_map(|pass| pass.rules.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tornello_engine::envelope::{Digest, Party, PartyKind};
    use tornello_models::fraud::signals::Role;

    #[test]
    fn a_pass_is_for_whoever_was_refused_for_those_rules_and_until_it_ends() {
        let (passes, now) = (Passes::default(), Timestamp::from_seconds(1_000));
        let party = |kind, n| Party { kind, pseudonym: Digest(n) };
        let rules: Vec<Code> = vec!["velocity".parse().unwrap()];
        let pass = Pass { parties: vec![party(PartyKind::Buyer, 7), party(PartyKind::Device, 8)], rules: rules.clone(), until: now.plus_seconds(10) };
        passes.put(CaseId(1), Some(pass));
        let of = |role, id, s| passes.spared(&[Taking { role: Role::Network, id: 1 }, Taking { role, id }], now.plus_seconds(s));
        assert_eq!((of(Role::Buyer, 7, 0), of(Role::Device, 8, 9)), (rules.clone(), rules));
        for (role, id, s) in [(Role::Buyer, 8, 0), (Role::Device, 7, 0), (Role::Card, 7, 0), (Role::Buyer, 7, 10)] {
            assert!(of(role, id, s).is_empty(), "{role:?} {id} after {s} s");
        }
        passes.forget(now.plus_seconds(9));
        assert_eq!(of(Role::Buyer, 7, 0).len(), 1);
        passes.put(CaseId(1), None);
        assert!(of(Role::Buyer, 7, 0).is_empty(), "the verdict was taken back");
    }
}
