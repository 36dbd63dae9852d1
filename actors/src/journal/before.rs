//! What events and envelopes looked like before they looked as they do now: old journals are read for ever. `wire` says which version is which.

use jiff::civil::Date;
use serde::Deserialize;
#[cfg(test)]
use serde::Serialize;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Assessment, Digest, Envelope, Outcome, Party};
use tornello_engine::ids::{Code, HoldId, KeyId, OrderId, PersonId, RouteId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::plan::{Exception, OpeningPlan, Route, Session};
use tornello_engine::slot::{Arrived, Limits, Line, Opened, Opening, Policy, Quota, Reentry, Refund};
use tornello_engine::text::Text;
use tornello_engine::time::Timestamp;
use tornello_engine::{museum, till};

/// An envelope before assessments said what is to be done.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
struct Envelope1 {
    who: KeyId,
    key: Digest,
    body: Digest,
    parties: Vec<Party>,
    assessment: Option<Box<Assessment1>>,
    order: Option<OrderId>,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
struct Assessment1 {
    model: Code,
    rules_version: u32,
    position: u64,
    features: Digest,
    score: u8,
    reasons: Vec<Code>,
}

/// Reads an envelope of version 1 from the front.
pub(super) fn envelope_1(bytes: &[u8]) -> Option<(Option<Envelope>, &[u8])> {
    let (envelope, rest) = postcard::take_from_bytes::<Option<Envelope1>>(bytes).ok()?;
    let assessment = |before: Assessment1| {
        let Assessment1 { model, rules_version, position, features, score, reasons } = before;
        // When it was assessed was not written: it was never said of any command either.
        let at = Timestamp::from_micros(0);
        Assessment { model, rules_version, at, position, features, score, reasons, outcome: Outcome::Allow, rules: Vec::new() }
    };
    let envelope = envelope.map(|before| {
        let Envelope1 { who, key, body, parties, assessment: assessed, order } = before;
        Envelope { who, key, body, parties, assessment: assessed.map(|assessed| Box::new(assessment(*assessed))), order }
    });
    Some((envelope, rest))
}

/// [`Policy`] before it limited what a buyer may have.
#[derive(Deserialize)]
struct Policy1 {
    sale_opens_s: u32,
    sale_closes_s: u32,
    hold_ttl_s: u32,
    hold_extend_s: u32,
    party_max: u16,
    admit_early_s: u32,
    admit_late_s: u32,
    reentry: Reentry,
    refund: Refund,
    ceiling: Option<u32>,
    dwell_s: u32,
    stale_after_s: u32,
}

impl From<Policy1> for Policy {
    fn from(before: Policy1) -> Self {
        Self {
            sale_opens_s: before.sale_opens_s,
            sale_closes_s: before.sale_closes_s,
            hold_ttl_s: before.hold_ttl_s,
            hold_extend_s: before.hold_extend_s,
            party_max: before.party_max,
            admit_early_s: before.admit_early_s,
            admit_late_s: before.admit_late_s,
            reentry: before.reentry,
            refund: before.refund,
            ceiling: before.ceiling,
            dwell_s: before.dwell_s,
            stale_after_s: before.stale_after_s,
            limits: Limits::NONE,
        }
    }
}

/// [`Opened`] under the older policy.
#[derive(Deserialize)]
pub(super) struct Opened1 {
    slot: SlotId,
    revision: u32,
    end: Timestamp,
    capacity: u32,
    quotas: [Quota; Channel::COUNT],
    policy: Policy1,
}

impl From<Opened1> for Opened {
    fn from(before: Opened1) -> Self {
        let Opened1 { slot, revision, end, capacity, quotas, policy } = before;
        Self { opening: Opening { slot, revision, end, capacity, quotas, policy: policy.into() } }
    }
}

#[derive(Deserialize)]
struct Route1 {
    id: RouteId,
    code: Code,
    name: Text,
    week: [Vec<Session>; 7],
    exceptions: Vec<Exception>,
    policy: Policy1,
}

/// [`museum::PlanSet`] under the older policy.
#[derive(Deserialize)]
pub(super) struct PlanSet1 {
    revision: u32,
    valid_from: Date,
    routes: Vec<Route1>,
}

impl From<PlanSet1> for museum::PlanSet {
    fn from(before: PlanSet1) -> Self {
        let route = |before: Route1| {
            let Route1 { id, code, name, week, exceptions, policy } = before;
            Route { id, code, name, week, exceptions, policy: policy.into() }
        };
        let PlanSet1 { revision, valid_from, routes } = before;
        Self { revision, valid_from, plan: OpeningPlan { routes: routes.into_iter().map(route).collect() } }
    }
}

/// [`Arrived`] before it said who buys.
#[derive(Deserialize)]
pub(super) struct Arrived1 {
    sale: HoldId,
    from: HoldId,
    who: KeyId,
    order: Option<OrderId>,
    channel: Channel,
    lines: Vec<Line>,
    contact: Option<PersonId>,
    holders: Vec<(u16, PersonId)>,
    refund_percent: u8,
}

impl From<Arrived1> for Arrived {
    fn from(before: Arrived1) -> Self {
        let Arrived1 { sale, from, who, order, channel, lines, contact, holders, refund_percent } = before;
        Self { sale, from, who, order, channel, lines, contact, holders, refund_percent, buyer: None }
    }
}

/// [`till::Closed`] before it said how far sales were summed.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct TillClosed1 {
    pub(super) counted_cents: Cents,
    pub(super) taken_cents: Cents,
    pub(super) expected_cents: Cents,
    pub(super) difference_cents: Cents,
}

impl From<TillClosed1> for till::Closed {
    fn from(before: TillClosed1) -> Self {
        let TillClosed1 { counted_cents, taken_cents, expected_cents, difference_cents } = before;
        Self { counted_cents, taken_cents, expected_cents, difference_cents, summed_to: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_that_did_not_say_what_is_to_be_done_is_still_read() {
        let (model, features, reasons) = ("forest-1".parse().unwrap(), Digest(3), vec!["people".parse().unwrap()]);
        let assessed = Assessment1 { model, rules_version: 2, position: 7, features, score: 40, reasons: reasons.clone() };
        let (key, body) = (Digest(8), Digest(9));
        let before = Envelope1 { who: KeyId(5), key, body, parties: vec![], assessment: Some(Box::new(assessed)), order: None };
        let bytes = [postcard::to_allocvec(&Some(before)).unwrap(), vec![1, 2]].concat();
        let (envelope, rest) = envelope_1(&bytes).unwrap();
        let (at, outcome, rules) = (Timestamp::from_micros(0), Outcome::Allow, Vec::new());
        let assessment = Assessment { model, rules_version: 2, at, position: 7, features, score: 40, reasons, outcome, rules };
        let expected = Envelope { who: KeyId(5), key, body, parties: vec![], assessment: Some(Box::new(assessment)), order: None };
        assert_eq!((envelope, rest), (Some(expected), &[1, 2][..]));
    }
}
