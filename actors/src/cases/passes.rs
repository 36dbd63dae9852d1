//! Whom rules let pass that had refused them, at hand for whoever is about to be refused once more: asked only then, from memory. It follows from the verdicts in the
//! journal, and can be rebuilt from it.

use std::collections::HashMap;
use std::iter::once;

use parking_lot::RwLock;
use tornello_engine::case::{Case, Pass, Subject};
use tornello_engine::ids::{AttemptId, CaseId, Code};
use tornello_engine::time::{DAY_S, Timestamp};
use tornello_models::fraud::signals::Taking;

use crate::fraud::hearing::role;
use crate::people::named_until;

/// Whom a case lets pass, and until when: no longer than whoever was refused can be told by the pseudonyms that are known of them, which change each month.
#[must_use]
pub fn pass_of(case: &Case) -> Option<Pass> {
    let pass = case.pass()?;
    let Subject::Attempt(first) = case.opened()?.subject else { return None };
    let refused = once(first).chain(case.joined().iter().filter(|joined| joined.is_same).map(|joined| joined.attempt));
    let known_until = refused.map(|attempt: AttemptId| named_until(Timestamp::from_seconds(i64::from(attempt.day()) * DAY_S))).max()?;
    Some(Pass { until: pass.until.min(known_until), ..pass })
}

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
    use tornello_engine::aggregate::Aggregate;
    use tornello_engine::attempts::day_of;
    use tornello_engine::case::{Decided, Event, Joined, Opened, Origin, Verdict};
    use tornello_engine::channel::Channel;
    use tornello_engine::envelope::{Assessment, Digest, Outcome, Party, PartyKind};
    use tornello_engine::ids::{KeyId, MuseumId};
    use tornello_engine::money::Cents;
    use tornello_engine::record::Record;
    use tornello_models::fraud::signals::Role;

    /// An attempt was refused late in November, appealed, and found honest in December.
    #[test]
    fn a_pass_ends_when_nobody_can_tell_any_more_whose_it_is() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (refused_at, said_at) = (at("2026-11-28T10:00:00Z"), at("2026-12-07T10:00:00Z"));
        let buyer = Party { kind: PartyKind::Buyer, pseudonym: Digest(7) };
        let rules: Vec<Code> = vec!["velocity".parse().unwrap()];
        let assessment = Assessment {
            model: "none".parse().unwrap(),
            rules_version: 0,
            at: refused_at,
            position: 0,
            features: Digest(0),
            score: 100,
            reasons: Vec::new(),
            outcome: Outcome::Block,
            rules: rules.clone(),
            probability_ppm: None,
            basis: None,
        };
        let opened = Opened {
            subject: Subject::Attempt(AttemptId::new(day_of(refused_at), 1)),
            origin: Origin::Appeal,
            assessment: Some(assessment),
            slot: None,
            museum: MuseumId(3),
            channel: Channel::Web,
            amount_cents: Cents::new(1_200),
            parties: vec![buyer],
            due_at: said_at,
            lapses_at: said_at,
        };
        let until = |joined: &[Joined]| {
            let mut case = Case::new(CaseId(1));
            let mut events = vec![Event::Opened(opened.clone())];
            events.extend(joined.iter().cloned().map(Event::Joined));
            events.push(Event::Decided(Decided { verdict: Verdict::Legit, reason: "family".parse().unwrap(), by: KeyId(4) }));
            case.apply(&Record { seq: 1, at: said_at, envelope: None, events });
            pass_of(&case).map(|pass| pass.until)
        };
        // A week would be until the 14th; by then a buyer of November has another name.
        assert_eq!(until(&[]), Some(at("2026-12-09T00:00:00Z")));
        let joined_at = |text: &str, is_same| {
            let attempt = AttemptId::new(day_of(at(text)), 2);
            Joined { attempt, is_same, parties: vec![buyer], rules: rules.clone(), due_at: said_at }
        };
        assert_eq!(until(&[joined_at("2026-12-06T10:00:00Z", true)]), Some(at("2026-12-14T10:00:00Z")), "they were refused again, by their new name");
        assert_eq!(until(&[joined_at("2026-12-06T10:00:00Z", false)]), Some(at("2026-12-09T00:00:00Z")), "somebody else was");
    }

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
