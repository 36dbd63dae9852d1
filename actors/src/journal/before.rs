//! What events and envelopes looked like before they looked as they do now: old journals are read for ever. `wire` says which version is which.

use jiff::civil::Date;
use serde::Deserialize;
#[cfg(test)]
use serde::Serialize;
use tornello_engine::attempts::{Attempt, Ending, Figures};
use tornello_engine::case::{self, Origin, Subject};
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Assessment, Digest, Envelope, Outcome, Party};
use tornello_engine::ids::{AttemptId, Code, HoldId, KeyId, MuseumId, OrderId, PersonId, RouteId, SlotId};
use tornello_engine::model_registry::{Evidence, Promoted};
use tornello_engine::money::Cents;
use tornello_engine::plan::{Exception, OpeningPlan, Route, Session};
use tornello_engine::planning::policy::{Exhibition, Span};
use tornello_engine::slot::{Arrived, Limits, Line, Observed, Opened, Opening, Policy, Quota, Reentry, Refund, Settlement, Sold, Words};
use tornello_engine::text::Text;
use tornello_engine::time::Timestamp;
use tornello_engine::{museum, planning, till};

/// An envelope with assessments of then.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
struct EnvelopeUnder<A> {
    who: KeyId,
    key: Digest,
    body: Digest,
    parties: Vec<Party>,
    assessment: Option<Box<A>>,
    order: Option<OrderId>,
}

/// Before they said what is to be done: version 1 of envelopes.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct Assessment1 {
    model: Code,
    rules_version: u32,
    position: u64,
    features: Digest,
    score: u8,
    reasons: Vec<Code>,
}

impl From<Assessment1> for Assessment {
    fn from(before: Assessment1) -> Self {
        let Assessment1 { model, rules_version, position, features, score, reasons } = before;
        // When it was assessed was not written: it was never said of any command either.
        let at = Timestamp::from_micros(0);
        let (outcome, rules, probability_ppm, basis) = (Outcome::Allow, Vec::new(), None, None);
        Self { model, rules_version, at, position, features, score, reasons, outcome, rules, probability_ppm, basis }
    }
}

/// Before they said how likely fraud is: version 2.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct Assessment2 {
    model: Code,
    rules_version: u32,
    at: Timestamp,
    position: u64,
    features: Digest,
    score: u8,
    reasons: Vec<Code>,
    outcome: Outcome,
    rules: Vec<Code>,
}

impl From<Assessment2> for Assessment {
    fn from(before: Assessment2) -> Self {
        let Assessment2 { model, rules_version, at, position, features, score, reasons, outcome, rules } = before;
        Self { model, rules_version, at, position, features, score, reasons, outcome, rules, probability_ppm: None, basis: None }
    }
}

/// Before they said what they rest on: version 3.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct Assessment3 {
    model: Code,
    rules_version: u32,
    at: Timestamp,
    position: u64,
    features: Digest,
    score: u8,
    reasons: Vec<Code>,
    outcome: Outcome,
    rules: Vec<Code>,
    probability_ppm: Option<u32>,
}

impl From<Assessment3> for Assessment {
    fn from(before: Assessment3) -> Self {
        let Assessment3 { model, rules_version, at, position, features, score, reasons, outcome, rules, probability_ppm } = before;
        Self { model, rules_version, at, position, features, score, reasons, outcome, rules, probability_ppm, basis: None }
    }
}

/// Reads an envelope with assessments of then from the front.
pub(super) fn envelope_under<'a, A>(bytes: &'a [u8]) -> Option<(Option<Envelope>, &'a [u8])>
where
    A: Deserialize<'a>,
    Assessment: From<A>,
{
    let (envelope, rest) = postcard::take_from_bytes::<Option<EnvelopeUnder<A>>>(bytes).ok()?;
    let envelope = envelope.map(|before| {
        let EnvelopeUnder { who, key, body, parties, assessment, order } = before;
        let assessment = assessment.map(|assessed| Box::new(Assessment::from(*assessed)));
        Envelope { who, key, body, parties, assessment, order, formerly: Vec::new() }
    });
    Some((envelope, rest))
}

/// [`case::Opened`] with assessments of then.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct CaseOpenedUnder<A> {
    subject: Subject,
    origin: Origin,
    assessment: Option<A>,
    slot: Option<SlotId>,
    museum: MuseumId,
    channel: Channel,
    amount_cents: Cents,
    parties: Vec<Party>,
    due_at: Timestamp,
    lapses_at: Timestamp,
}

/// [`case::Opened`] before assessments said how likely fraud is.
pub(super) type CaseOpened1 = CaseOpenedUnder<Assessment2>;
/// [`case::Opened`] before assessments said what they rest on.
pub(super) type CaseOpened2 = CaseOpenedUnder<Assessment3>;

impl<A> From<CaseOpenedUnder<A>> for case::Opened
where
    Assessment: From<A>,
{
    fn from(before: CaseOpenedUnder<A>) -> Self {
        let CaseOpenedUnder { subject, origin, assessment, slot, museum, channel, amount_cents, parties, due_at, lapses_at } = before;
        let assessment = assessment.map(Assessment::from);
        Self { subject, origin, assessment, slot, museum, channel, amount_cents, parties, due_at, lapses_at }
    }
}

/// [`Attempt`] before it was noted what had been assessed, with assessments of then.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct AttemptUnder<A> {
    id: AttemptId,
    at: Timestamp,
    channel: Channel,
    museum: MuseumId,
    slot: Option<SlotId>,
    people: u32,
    amount_cents: Cents,
    parties: Vec<Party>,
    assessment: Option<A>,
    ending: Ending,
}

/// [`Attempt`] before assessments said how likely fraud is.
pub(super) type Attempt1 = AttemptUnder<Assessment2>;
/// [`Attempt`] before it was noted what had been assessed.
pub(super) type Attempt2 = AttemptUnder<Assessment3>;

impl<A> From<AttemptUnder<A>> for Attempt
where
    Assessment: From<A>,
{
    fn from(before: AttemptUnder<A>) -> Self {
        let AttemptUnder { id, at, channel, museum, slot, people, amount_cents, parties, assessment, ending } = before;
        let (assessment, figures) = (assessment.map(Assessment::from), None);
        Self { id, at, channel, museum, slot, people, amount_cents, parties, assessment, ending, figures }
    }
}

/// [`Attempt`] before assessments said what they rest on.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct Attempt3 {
    id: AttemptId,
    at: Timestamp,
    channel: Channel,
    museum: MuseumId,
    slot: Option<SlotId>,
    people: u32,
    amount_cents: Cents,
    parties: Vec<Party>,
    assessment: Option<Assessment3>,
    ending: Ending,
    figures: Option<Box<Figures>>,
}

impl From<Attempt3> for Attempt {
    fn from(before: Attempt3) -> Self {
        let Attempt3 { id, at, channel, museum, slot, people, amount_cents, parties, assessment, ending, figures } = before;
        let assessment = assessment.map(Assessment::from);
        Self { id, at, channel, museum, slot, people, amount_cents, parties, assessment, ending, figures }
    }
}

/// [`Promoted`] when evidence was what somebody wrote.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct Promoted1 {
    artifact: Code,
    evidence: Evidence1,
    approver: KeyId,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
struct Evidence1 {
    labels: u32,
    recall_milli: u16,
    recall_before_milli: u16,
    precision_milli: u16,
    precision_before_milli: u16,
    report: Digest,
}

impl From<Promoted1> for Promoted {
    fn from(before: Promoted1) -> Self {
        let Promoted1 { artifact, evidence, approver } = before;
        let Evidence1 { labels, recall_milli, recall_before_milli, precision_milli, precision_before_milli, report } = evidence;
        let (confidence_milli, window) = (None, None);
        let evidence =
            Evidence { labels, recall_milli, recall_before_milli, precision_milli, precision_before_milli, report, confidence_milli, window };
        Self { artifact, evidence, overridden: None, approver }
    }
}

/// [`Promoted`] before evidence said over what it was worked out.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct Promoted2 {
    artifact: Code,
    evidence: Evidence2,
    overridden: Option<Code>,
    approver: KeyId,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
struct Evidence2 {
    labels: u32,
    recall_milli: u16,
    recall_before_milli: u16,
    precision_milli: u16,
    precision_before_milli: u16,
    report: Digest,
    confidence_milli: Option<u16>,
}

impl From<Promoted2> for Promoted {
    fn from(before: Promoted2) -> Self {
        let Promoted2 { artifact, evidence, overridden, approver } = before;
        let Evidence2 { labels, recall_milli, recall_before_milli, precision_milli, precision_before_milli, report, confidence_milli } = evidence;
        let window = None;
        let evidence =
            Evidence { labels, recall_milli, recall_before_milli, precision_milli, precision_before_milli, report, confidence_milli, window };
        Self { artifact, evidence, overridden, approver }
    }
}

/// [`Policy`] before it limited what a buyer may have.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Clone, Copy, Serialize))]
pub(super) struct Policy1 {
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

/// [`Policy`] with older limits: the one before there were any, then these.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Clone, Copy, Serialize))]
pub(super) struct PolicyUnder<L> {
    older: Policy1,
    limits: L,
}

pub(super) type Policy2 = PolicyUnder<Limits2>;
pub(super) type Policy3 = PolicyUnder<Limits3>;

/// [`Limits`] before they said whether somebody has to be named.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Clone, Copy, Serialize))]
pub(super) struct Limits2 {
    tickets_max: Option<u16>,
    holds_max: Option<u16>,
    day_max: Option<u16>,
    review_s: u32,
}

impl From<Limits2> for Limits {
    fn from(before: Limits2) -> Self {
        let Limits2 { tickets_max, holds_max, day_max, review_s } = before;
        Self { tickets_max, holds_max, day_max, review_s, ..Self::NONE }
    }
}

/// [`Limits`] before they said how long places rest.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Clone, Copy, Serialize))]
pub(super) struct Limits3 {
    older: Limits2,
    buyer_required: bool,
}

impl From<Limits3> for Limits {
    fn from(before: Limits3) -> Self {
        Self { buyer_required: before.buyer_required, ..before.older.into() }
    }
}

impl<L: Into<Limits>> From<PolicyUnder<L>> for Policy {
    fn from(before: PolicyUnder<L>) -> Self {
        Self { limits: before.limits.into(), ..before.older.into() }
    }
}

/// [`Opened`] under an older policy.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct OpenedUnder<P> {
    slot: SlotId,
    revision: u32,
    end: Timestamp,
    capacity: u32,
    quotas: [Quota; Channel::COUNT],
    policy: P,
}

pub(super) type Opened1 = OpenedUnder<Policy1>;
pub(super) type Opened2 = OpenedUnder<Policy2>;
pub(super) type Opened3 = OpenedUnder<Policy3>;

impl<P: Into<Policy>> From<OpenedUnder<P>> for Opened {
    fn from(before: OpenedUnder<P>) -> Self {
        let OpenedUnder { slot, revision, end, capacity, quotas, policy } = before;
        Self { opening: Opening { slot, revision, end, capacity, quotas, policy: policy.into() } }
    }
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
struct RouteUnder<P> {
    id: RouteId,
    code: Code,
    name: Text,
    week: [Vec<Session>; 7],
    exceptions: Vec<Exception>,
    policy: P,
}

/// [`museum::PlanSet`] under an older policy.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct PlanSetUnder<P> {
    revision: u32,
    valid_from: Date,
    routes: Vec<RouteUnder<P>>,
}

pub(super) type PlanSet1 = PlanSetUnder<Policy1>;
pub(super) type PlanSet2 = PlanSetUnder<Policy2>;
pub(super) type PlanSet3 = PlanSetUnder<Policy3>;

impl<P: Into<Policy>> From<PlanSetUnder<P>> for museum::PlanSet {
    fn from(before: PlanSetUnder<P>) -> Self {
        let route = |before: RouteUnder<P>| {
            let RouteUnder { id, code, name, week, exceptions, policy } = before;
            Route { id, code, name, week, exceptions, policy: policy.into() }
        };
        let PlanSetUnder { revision, valid_from, routes } = before;
        Self { revision, valid_from, plan: OpeningPlan { routes: routes.into_iter().map(route).collect() } }
    }
}

/// [`Sold`] before it said whose hold it was.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct Sold1 {
    sale: HoldId,
    held: bool,
    channel: Channel,
    lines: Vec<Line>,
    settlement: Settlement,
    contact: Option<PersonId>,
}

impl From<Sold1> for Sold {
    fn from(before: Sold1) -> Self {
        let Sold1 { sale, held, channel, lines, settlement, contact } = before;
        Self { sale, held, channel, lines, settlement, contact, held_by: None }
    }
}

/// [`Observed`] before it said of what people inside were counted.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct Observed1 {
    source: Code,
    inside: u32,
    sd: u32,
    measured_at: Timestamp,
    ceiling: Option<u32>,
    share: Option<u32>,
    sellable: Option<u32>,
    until: Timestamp,
}

impl From<Observed1> for Observed {
    fn from(before: Observed1) -> Self {
        let Observed1 { source, inside, sd, measured_at, ceiling, share, sellable, until } = before;
        Self { source, inside, sd, measured_at, ceiling, share, sellable, until, words: Words::default() }
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

/// [`planning::Policy`] before slots could be sold beyond their places by itself.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
struct PlanningPolicy1 {
    desk_percent: u8,
    party_tenths: u16,
    service_s: u16,
    wait_s: u16,
    late_percent: u8,
    gate_per_minute: u16,
    peak_percent: u8,
    rooms: u16,
    people_per_guard: u16,
    hour_cents: [Cents; 3],
    gated_percent: Option<u8>,
    price_elasticity_permille: i16,
    turn_away_permille: u16,
    school_breaks: Vec<Span>,
    exhibitions: Vec<Exhibition>,
}

impl From<PlanningPolicy1> for planning::Policy {
    fn from(before: PlanningPolicy1) -> Self {
        Self {
            desk_percent: before.desk_percent,
            party_tenths: before.party_tenths,
            service_s: before.service_s,
            wait_s: before.wait_s,
            late_percent: before.late_percent,
            gate_per_minute: before.gate_per_minute,
            peak_percent: before.peak_percent,
            rooms: before.rooms,
            people_per_guard: before.people_per_guard,
            hour_cents: before.hour_cents,
            gated_percent: before.gated_percent,
            price_elasticity_permille: before.price_elasticity_permille,
            turn_away_permille: before.turn_away_permille,
            school_breaks: before.school_breaks,
            exhibitions: before.exhibitions,
            // Nobody had said that the places are not fire safety.
            sell_beyond_places: false,
        }
    }
}

/// [`planning::PolicySet`] of the older policy.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct PolicySet1 {
    revision: u32,
    valid_from: Date,
    policy: PlanningPolicy1,
}

impl From<PolicySet1> for planning::PolicySet {
    fn from(before: PolicySet1) -> Self {
        let PolicySet1 { revision, valid_from, policy } = before;
        Self { revision, valid_from, policy: policy.into() }
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
        let before = EnvelopeUnder { who: KeyId(5), key, body, parties: vec![], assessment: Some(Box::new(assessed)), order: None };
        let bytes = [postcard::to_allocvec(&Some(before)).unwrap(), vec![1, 2]].concat();
        let (envelope, rest) = envelope_under::<Assessment1>(&bytes).unwrap();
        let (at, outcome, rules) = (Timestamp::from_micros(0), Outcome::Allow, Vec::new());
        let (probability_ppm, basis) = (None, None);
        let assessment =
            Assessment { model, rules_version: 2, at, position: 7, features, score: 40, reasons, outcome, rules, probability_ppm, basis };
        let expected =
            Envelope { who: KeyId(5), key, body, parties: vec![], assessment: Some(Box::new(assessment)), order: None, formerly: Vec::new() };
        assert_eq!((envelope, rest), (Some(expected), &[1, 2][..]));
    }

    #[test]
    fn what_was_sold_before_it_was_noted_whose_hold_it_was_is_still_read() {
        use crate::journal::wire::Wire;
        use tornello_engine::slot::Event;

        let (sale, channel, settlement) = (HoldId::new(SlotId::from_raw(7), 1), Channel::Web, Settlement::Free);
        let before = Sold1 { sale, held: true, channel, lines: Vec::new(), settlement: settlement.clone(), contact: Some(PersonId(4)) };
        let bytes = postcard::to_allocvec(&before).unwrap();
        let sold = |held_by| {
            let (settlement, contact) = (settlement.clone(), Some(PersonId(4)));
            Event::Sold(Sold { sale, held: true, channel, lines: Vec::new(), settlement, contact, held_by })
        };
        assert_eq!((Event::read(6, 1, &bytes), Event::read(6, 2, &bytes)), (Some(sold(None)), None));
        let (now, mut written) = (sold(Some(KeyId(5))), Vec::new());
        now.write(&mut written);
        assert_eq!((now.tag(), Event::read(6, 2, &written)), ((6, 2), Some(now)));
    }

    #[test]
    fn a_reading_that_did_not_say_of_what_people_were_counted_is_still_read() {
        use crate::journal::wire::Wire;
        use tornello_engine::slot::Event;

        let (source, measured_at, until): (Code, _, _) = ("door".parse().unwrap(), Timestamp::from_micros(11), Timestamp::from_micros(12));
        let (inside, sd, ceiling, share, sellable) = (9, 3, Some(30), None, Some(12));
        let bytes = postcard::to_allocvec(&Observed1 { source, inside, sd, measured_at, ceiling, share, sellable, until }).unwrap();
        let observed = |words| Event::Observed(Observed { source, inside, sd, measured_at, ceiling, share, sellable, until, words });
        assert_eq!((Event::read(16, 1, &bytes), Event::read(16, 2, &bytes)), (Some(observed(Words::default())), None));
        let (now, mut written) = (observed(Words { counted: vec![(source, measured_at)], measured: Some(measured_at) }), Vec::new());
        now.write(&mut written);
        assert_eq!((now.tag(), Event::read(16, 2, &written)), ((16, 2), Some(now)));
    }

    /// An assessment as it was, and as it is read.
    fn assessed() -> (Assessment2, Assessment) {
        let (model, features, at) = ("forest-1".parse().unwrap(), Digest(3), Timestamp::from_micros(11));
        let (reasons, rules): (Vec<Code>, Vec<Code>) = (vec!["people".parse().unwrap()], vec!["hoarding".parse().unwrap()]);
        let outcome = Outcome::Review;
        let (before, said) = ((reasons.clone(), rules.clone()), (reasons, rules));
        (
            Assessment2 { model, rules_version: 2, at, position: 7, features, score: 40, reasons: before.0, outcome, rules: before.1 },
            Assessment {
                model,
                rules_version: 2,
                at,
                position: 7,
                features,
                score: 40,
                reasons: said.0,
                outcome,
                rules: said.1,
                probability_ppm: None,
                basis: None,
            },
        )
    }

    #[test]
    fn what_did_not_say_how_likely_fraud_is_is_still_read() {
        use crate::journal::wire::Wire;
        let (key, body, parties) = (Digest(8), Digest(9), Vec::new());
        let ((before, said), expected) = (assessed(), Some(assessed().1));
        let envelope = EnvelopeUnder { who: KeyId(5), key, body, parties: vec![], assessment: Some(Box::new(before)), order: None };
        let bytes = [postcard::to_allocvec(&Some(envelope)).unwrap(), vec![1, 2]].concat();
        let envelope = Envelope { who: KeyId(5), key, body, parties: vec![], assessment: Some(Box::new(said)), order: None, formerly: Vec::new() };
        assert_eq!(envelope_under::<Assessment2>(&bytes), Some((Some(envelope), &[1, 2][..])));

        let (at, museum, channel, amount_cents) = (Timestamp::from_micros(12), MuseumId(3), Channel::Web, Cents::new(2_400));
        let (subject, origin, slot) = (Subject::Attempt(AttemptId::new(20_000, 5)), Origin::Appeal, None);
        let (due_at, lapses_at) = (at, at);
        let before = CaseOpened1 {
            subject,
            origin,
            assessment: Some(assessed().0),
            slot,
            museum,
            channel,
            amount_cents,
            parties: parties.clone(),
            due_at,
            lapses_at,
        };
        let opened = case::Event::read(1, 1, &postcard::to_allocvec(&before).unwrap());
        let said = case::Opened {
            subject,
            origin,
            assessment: expected.clone(),
            slot,
            museum,
            channel,
            amount_cents,
            parties: parties.clone(),
            due_at,
            lapses_at,
        };
        assert_eq!(opened, Some(case::Event::Opened(said)));

        let (id, people, ending, assessment) = (AttemptId::new(20_000, 5), 2, Ending::Blocked, Some(assessed().0));
        let before = Attempt1 { id, at, channel, museum, slot, people, amount_cents, parties: parties.clone(), assessment, ending };
        let noted = tornello_engine::attempts::Event::read(1, 1, &postcard::to_allocvec(&before).unwrap());
        let said = Attempt { id, at, channel, museum, slot, people, amount_cents, parties, assessment: expected, ending, figures: None };
        assert_eq!(noted, Some(tornello_engine::attempts::Event::Noted(said)));
    }

    #[test]
    fn what_did_not_say_what_it_rests_on_is_still_read_and_what_says_it_is_written_with_it() {
        use crate::journal::wire::{self, Wire};
        use tornello_engine::attempts::{self, Aim};
        use tornello_engine::envelope::Basis;
        use tornello_engine::record::Record;

        let before = || {
            let (_, Assessment { model, rules_version, at, position, features, score, reasons, outcome, rules, .. }) = assessed();
            Assessment3 { model, rules_version, at, position, features, score, reasons, outcome, rules, probability_ppm: Some(70_000) }
        };
        let expected = Assessment { probability_ppm: Some(70_000), ..assessed().1 };
        let (key, body) = (Digest(8), Digest(9));
        let envelope = EnvelopeUnder { who: KeyId(5), key, body, parties: vec![], assessment: Some(Box::new(before())), order: None };
        let bytes = [postcard::to_allocvec(&Some(envelope)).unwrap(), vec![1, 2]].concat();
        let said = |assessment: &Assessment| {
            let assessment = Some(Box::new(assessment.clone()));
            Envelope { who: KeyId(5), key, body, parties: vec![], assessment, order: None, formerly: Vec::new() }
        };
        assert_eq!(envelope_under::<Assessment3>(&bytes), Some((Some(said(&expected)), &[1, 2][..])));

        let (at, museum, channel, amount_cents, slot) = (Timestamp::from_micros(12), MuseumId(3), Channel::Web, Cents::new(2_400), None);
        let (id, parties) = (AttemptId::new(20_000, 5), || vec![Party { kind: tornello_engine::envelope::PartyKind::Buyer, pseudonym: Digest(1) }]);
        let (subject, origin) = (Subject::Attempt(id), Origin::Appeal);
        let opened = CaseOpened2 {
            subject,
            origin,
            assessment: Some(before()),
            slot,
            museum,
            channel,
            amount_cents,
            parties: parties(),
            due_at: at,
            lapses_at: at,
        };
        let of_case = |assessment| {
            let (due_at, lapses_at) = (at, at);
            case::Opened { subject, origin, assessment, slot, museum, channel, amount_cents, parties: parties(), due_at, lapses_at }
        };
        let read = case::Event::read(1, 2, &postcard::to_allocvec(&opened).unwrap());
        assert_eq!(read, Some(case::Event::Opened(of_case(Some(expected.clone())))));

        let (people, ending) = (2, Ending::Blocked);
        let hold = HoldId::new(SlotId::from_raw(7), 1);
        let figures = || Some(Box::new(Figures { aim: Aim::Hold, hold, people, cheap: 0, cents: amount_cents, list_cents: amount_cents }));
        let of_attempt = |assessment: &Assessment, figures| {
            let (parties, assessment) = (parties(), Some(assessment.clone()));
            Attempt { id, at, channel, museum, slot, people, amount_cents, parties, assessment, ending, figures }
        };
        let assessment = || Some(before());
        let old = Attempt2 { id, at, channel, museum, slot, people, amount_cents, parties: parties(), assessment: assessment(), ending };
        let read = attempts::Event::read(1, 2, &postcard::to_allocvec(&old).unwrap());
        assert_eq!(read, Some(attempts::Event::Noted(of_attempt(&expected, None))));
        let (of_it, assessment) = (figures(), assessment());
        let old = Attempt3 { id, at, channel, museum, slot, people, amount_cents, parties: parties(), assessment, ending, figures: of_it };
        let read = attempts::Event::read(1, 3, &postcard::to_allocvec(&old).unwrap());
        assert_eq!(read, Some(attempts::Event::Noted(of_attempt(&expected, figures()))));

        // As it is written now: envelope, case and attempt.
        let basis = Basis { edition: 70_000, line: Some(0.875_f64.to_le_bytes()), spared: vec!["velocity".parse().unwrap()] };
        let now = Assessment { basis: Some(Box::new(basis)), ..expected };
        let noted = attempts::Event::Noted(of_attempt(&now, figures()));
        let record = Record { seq: 1, at, envelope: Some(said(&now)), events: vec![noted.clone()] };
        let mut bytes = Vec::new();
        wire::encode(crate::journal::StreamId::Attempts(20_000), &record, &mut bytes);
        let frame = wire::frames(&bytes).next().unwrap().unwrap();
        assert_eq!((noted.tag(), frame.record::<attempts::Event>()), ((1, 4), Ok(record)));
        let opened = case::Event::Opened(of_case(Some(now)));
        let mut bytes = Vec::new();
        opened.write(&mut bytes);
        assert_eq!((opened.tag(), case::Event::read(1, 3, &bytes)), ((1, 3), Some(opened)));
    }

    #[test]
    fn a_policy_of_the_time_before_slots_were_sold_beyond_their_places_is_still_read_and_sells_none() {
        use crate::journal::wire::Wire;
        let (from, to) = (jiff::civil::date(2026, 12, 24), jiff::civil::date(2027, 1, 6));
        let (school_breaks, exhibitions) = (vec![Span { from, to }], vec![Exhibition { from, to, name: "Bronzi".to_owned() }]);
        let hour_cents = [2_100, 1_900, 1_800].map(Cents::new);
        let policy = PlanningPolicy1 {
            desk_percent: 35,
            party_tenths: 21,
            service_s: 80,
            wait_s: 240,
            late_percent: 5,
            gate_per_minute: 9,
            peak_percent: 30,
            rooms: 12,
            people_per_guard: 100,
            hour_cents,
            gated_percent: Some(92),
            price_elasticity_permille: -250,
            turn_away_permille: 20,
            school_breaks: school_breaks.clone(),
            exhibitions: exhibitions.clone(),
        };
        let bytes = postcard::to_allocvec(&PolicySet1 { revision: 3, valid_from: from, policy }).unwrap();
        let policy = planning::Policy {
            desk_percent: 35,
            party_tenths: 21,
            service_s: 80,
            wait_s: 240,
            late_percent: 5,
            gate_per_minute: 9,
            peak_percent: 30,
            rooms: 12,
            people_per_guard: 100,
            hour_cents,
            gated_percent: Some(92),
            price_elasticity_permille: -250,
            turn_away_permille: 20,
            school_breaks,
            exhibitions,
            sell_beyond_places: false,
        };
        let expected = planning::Event::PolicySet(planning::PolicySet { revision: 3, valid_from: from, policy });
        assert_eq!(planning::Event::read(1, 1, &bytes), Some(expected.clone()));
        let mut now = Vec::new();
        expected.write(&mut now);
        assert_eq!((expected.tag(), planning::Event::read(1, 2, &now)), ((1, 2), Some(expected)));
        assert_eq!(planning::Event::read(1, 2, &bytes), None);
    }

    #[test]
    fn policies_of_the_time_before_buyers_were_limited_or_had_to_be_named_or_places_rested_are_still_read() {
        use crate::journal::wire::Wire;
        use tornello_engine::slot;
        let (slot, end, quotas) = (SlotId::new(MuseumId(3), RouteId(1), Timestamp::from_seconds(1_780_300_800)), Timestamp::MAX, Default::default());
        let policy = Policy::default();
        let older = Policy1 {
            sale_opens_s: policy.sale_opens_s,
            sale_closes_s: 60,
            hold_ttl_s: policy.hold_ttl_s,
            hold_extend_s: policy.hold_extend_s,
            party_max: 9,
            admit_early_s: policy.admit_early_s,
            admit_late_s: policy.admit_late_s,
            reentry: policy.reentry,
            refund: policy.refund,
            ceiling: policy.ceiling,
            dwell_s: policy.dwell_s,
            stale_after_s: 77,
        };
        let limits = Limits2 { tickets_max: Some(4), holds_max: None, day_max: Some(8), review_s: 99 };
        let newer = Policy2 { older, limits };
        let named = Policy3 { older, limits: Limits3 { older: limits, buyer_required: true } };
        let first = Policy { sale_closes_s: 60, party_max: 9, stale_after_s: 77, ..policy };
        let second = Policy { limits: Limits { tickets_max: Some(4), day_max: Some(8), review_s: 99, ..Limits::NONE }, ..first };
        let third = Policy { limits: Limits { buyer_required: true, ..second.limits }, ..second };
        let opened = |policy| slot::Event::Opened(Opened { opening: Opening { slot, revision: 2, end, capacity: 20, quotas, policy } });
        let bytes = [
            postcard::to_allocvec(&OpenedUnder { slot, revision: 2, end, capacity: 20, quotas, policy: older }).unwrap(),
            postcard::to_allocvec(&OpenedUnder { slot, revision: 2, end, capacity: 20, quotas, policy: newer }).unwrap(),
            postcard::to_allocvec(&OpenedUnder { slot, revision: 2, end, capacity: 20, quotas, policy: named }).unwrap(),
        ];
        for (version, bytes, policy) in [(1, &bytes[0], first), (2, &bytes[1], second), (3, &bytes[2], third)] {
            assert_eq!(slot::Event::read(1, version, bytes), Some(opened(policy)), "version {version}");
            assert_eq!(slot::Event::read(1, 4, bytes), None, "it says too little for one of today");
        }
        let resting = opened(Policy { limits: Limits { rest_max_s: 60, ..third.limits }, ..third });
        let mut now = Vec::new();
        resting.write(&mut now);
        assert_eq!((resting.tag(), slot::Event::read(1, 4, &now)), ((1, 4), Some(resting)));

        let (code, name): (Code, _) = ("main".parse().unwrap(), Text::new("Percorso", "Route"));
        let valid_from = jiff::civil::date(2026, 12, 1);
        let under = |name: Text| (RouteId(1), code, name, <[Vec<Session>; 7]>::default(), Vec::<Exception>::new());
        let plan = |policy| {
            let (id, code, name, week, exceptions) = under(name.clone());
            let routes = vec![Route { id, code, name, week, exceptions, policy }];
            museum::Event::PlanSet(museum::PlanSet { revision: 5, valid_from, plan: OpeningPlan { routes } })
        };
        let (id, code, text, week, exceptions) = under(name.clone());
        let routes = vec![RouteUnder { id, code, name: text, week, exceptions, policy: older }];
        let bytes = postcard::to_allocvec(&PlanSetUnder { revision: 5, valid_from, routes }).unwrap();
        assert_eq!(museum::Event::read(2, 1, &bytes), Some(plan(first)));
        let (id, code, text, week, exceptions) = under(name.clone());
        let routes = vec![RouteUnder { id, code, name: text, week, exceptions, policy: newer }];
        let bytes = postcard::to_allocvec(&PlanSetUnder { revision: 5, valid_from, routes }).unwrap();
        assert_eq!(museum::Event::read(2, 2, &bytes), Some(plan(second)));
        let (id, code, text, week, exceptions) = under(name.clone());
        let routes = vec![RouteUnder { id, code, name: text, week, exceptions, policy: named }];
        let bytes = postcard::to_allocvec(&PlanSetUnder { revision: 5, valid_from, routes }).unwrap();
        assert_eq!(museum::Event::read(2, 3, &bytes), Some(plan(third)));
        assert_eq!(museum::Event::read(2, 4, &bytes), None);
    }

    #[test]
    fn a_promotion_by_evidence_that_somebody_wrote_or_that_said_no_window_is_still_read() {
        use crate::journal::wire::Wire;
        use tornello_engine::model_registry::{self, Window};
        let (labels, recall_milli, recall_before_milli, precision_milli, precision_before_milli, report) = (60, 800, 700, 500, 490, Digest(4));
        let (artifact, approver): (Code, _) = ("forest-1".parse().unwrap(), KeyId(2));
        let evidence = Evidence1 { labels, recall_milli, recall_before_milli, precision_milli, precision_before_milli, report };
        let bytes = postcard::to_allocvec(&Promoted1 { artifact, evidence, approver }).unwrap();
        let (confidence_milli, window) = (None, None);
        let evidence =
            Evidence { labels, recall_milli, recall_before_milli, precision_milli, precision_before_milli, report, confidence_milli, window };
        let expected = model_registry::Event::Promoted(Promoted { artifact, evidence, overridden: None, approver });
        assert_eq!(model_registry::Event::read(3, 1, &bytes), Some(expected));

        // What was worked out, before it said over what.
        let (confidence_milli, overridden): (_, Option<Code>) = (Some(930), Some("night-shift".parse().unwrap()));
        let before = Evidence2 { labels, recall_milli, recall_before_milli, precision_milli, precision_before_milli, report, confidence_milli };
        let bytes = postcard::to_allocvec(&Promoted2 { artifact, evidence: before, overridden, approver }).unwrap();
        let evidence = Evidence { confidence_milli, ..evidence };
        let expected = model_registry::Event::Promoted(Promoted { artifact, evidence, overridden, approver });
        assert_eq!(model_registry::Event::read(3, 2, &bytes), Some(expected));

        // As it is written now.
        let window = Some(Window { from: Timestamp::from_micros(-5), to: Timestamp::from_micros(7) });
        let now = model_registry::Event::Promoted(Promoted { artifact, evidence: Evidence { window, ..evidence }, overridden, approver });
        let mut bytes = Vec::new();
        now.write(&mut bytes);
        assert_eq!((now.tag(), model_registry::Event::read(3, 3, &bytes)), ((3, 3), Some(now)));
    }
}
