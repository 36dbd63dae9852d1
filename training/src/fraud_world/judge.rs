//! Judges a way of scoring on a history: day by day, channel by channel, with a budget of all channels together. A review is opened for whoever acts (a browser, a card at
//! a totem, an operator, an account) at most once a day; what the same one does later that day joins it and costs nothing more. The cut of a day follows from the days
//! before it ([`Cut`]), as it does live; nothing of the day itself is known when it begins.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use tornello_datasets::fraud_world::{Attack, Nature, Variant};
use tornello_models::fraud::budget::{Alert, Budget, Cut, WINDOW_DAYS, share_out};
use tornello_models::fraud::explain::{Cause, REASONS, Reason};
use tornello_models::fraud::rules::Action as RuleAction;
use tornello_models::fraud::signals::FEATURES;

use super::causes::is_cause;
use super::run::{Acting, History, Queue, Scored};

/// The share of what is scored that analysts can read.
pub const REVIEW_SHARE: f64 = 0.01;

/// What a model says of one thing that was scored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Said {
    /// 0 to 1.
    pub score: f64,
    /// The share of what the model was fitted on that is less strange, 0 to 1.
    pub percentile: f64,
    /// Why, as the score itself says: what a node shows.
    pub reasons: [Reason; REASONS],
    /// Why, worked out exactly, if it was: no node does that.
    pub examined: Option<[Reason; REASONS]>,
    /// Inputs that were not sound.
    pub suspect_inputs: u32,
}

impl Said {
    /// The reasons that a report goes by: the exact ones, if they were worked out.
    fn why(&self) -> &[Reason; REASONS] {
        self.examined.as_ref().unwrap_or(&self.reasons)
    }
}

/// Why somebody was looked at, or stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A rule refused what they wanted.
    Blocked,
    /// A rule asked for a review.
    Rule,
    /// The model did.
    Model,
    /// Chance did.
    Chance,
}

/// A case: one who acts, on one day.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The scored thing that opened it, by its place in the history.
    pub at: usize,
    /// Of all that joined it that day the one with the highest score: what this report takes the reasons of. A node shows those of what opened the case, and these beside them.
    pub worst: usize,
    /// Why.
    pub why: Why,
}

/// The cases of some days.
#[derive(Debug, Default)]
pub struct Cases {
    /// By who and when.
    pub cases: HashMap<(Acting, i64), Case>,
    /// Reviews of each queue; what a rule refused is no review.
    pub reviews: BTreeMap<Queue, u64>,
    /// What was scored in each queue, admissions included.
    pub actions: BTreeMap<Queue, u64>,
}

/// Of what a share is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Of what is scored, admissions included.
    Scored,
    /// Of those of whom something is scored, each counted once a day, as they are read.
    Parties,
}

/// Opens the cases of days `from..to`. `said` is what the model says of each scored thing; none: no model acts there. At most `share` of what is scored is read.
pub fn open(history: &History, all: &[Option<Said>], from: i64, to: i64, share: f64) -> Cases {
    open_of(history, all, from, to, (share, Of::Scored))
}

/// As [`open`], where a share of one or the other is read.
pub fn open_of(history: &History, all: &[Option<Said>], from: i64, to: i64, share: (f64, Of)) -> Cases {
    let mut cases = Cases::default();
    let counts = Counts::of(history);
    // The greatest score of everybody on each day: what the cut is drawn through, as one is read once a day.
    let mut greatest: BTreeMap<(Queue, i64), HashMap<Acting, f64>> = BTreeMap::new();
    for (scored, said) in history.scored.iter().zip(all) {
        if let (Some(acting), Some(said)) = (scored.acting, said) {
            let score = greatest.entry((scored.queue, scored.day())).or_default().entry(acting).or_default();
            *score = score.max(said.score);
        }
    }
    let mut cuts: BTreeMap<Queue, Cut> = BTreeMap::new();
    let mut today = i64::MIN;
    for (at, (scored, said)) in history.scored.iter().zip(all).enumerate() {
        let day = scored.day();
        if day < from || day >= to {
            continue;
        }
        if day != today {
            today = day;
            let days = window(day);
            let seen = days.clone().count() as u32;
            for (queue, budget) in Queue::ALL.into_iter().zip(counts.budgets(day, share)) {
                let scores: Vec<f64> = days.clone().filter_map(|day| greatest.get(&(queue, day))).flat_map(HashMap::values).copied().collect();
                let cut = Cut::update(cuts.get(&queue).copied(), &scores, seen, budget);
                cuts.insert(queue, cut);
            }
        }
        let Some(acting) = scored.acting else { continue };
        let known = cases.cases.contains_key(&(acting, day));
        if let (Some(case), Some(now)) = (cases.cases.get_mut(&(acting, day)), said) {
            let before = all[case.worst].map_or(f64::MIN, |said| said.score);
            if now.score > before {
                case.worst = at;
            }
        }
        let why = match scored.fired.action {
            Some(RuleAction::Block) => Some(Why::Blocked),
            Some(RuleAction::Review) => Some(Why::Rule),
            _ => match (said, cuts.get(&scored.queue)) {
                (Some(said), Some(cut)) => {
                    // Chance falls on people, not on each of their clicks.
                    let draw = if known { u64::MAX } else { draw(acting, day) };
                    cut.decide(said.score, said.suspect_inputs, draw).map(|alert| if alert == Alert::Random { Why::Chance } else { Why::Model })
                }
                _ => None,
            },
        };
        if let Some(why) = why.filter(|_| !known) {
            cases.cases.insert((acting, day), Case { at, worst: at, why });
            if why != Why::Blocked {
                *cases.reviews.entry(scored.queue).or_default() += 1;
            }
        }
    }
    for ((queue, day), count) in counts.scored {
        if (from..to).contains(&day) {
            *cases.actions.entry(queue).or_default() += count;
        }
    }
    cases
}

/// How many acted, each counted once on each of the days `from..to`: what reviews are a share of, as somebody is read once a day whatever they do.
pub fn party_days(history: &History, from: i64, to: i64) -> u64 {
    let acted = history.scored.iter().filter_map(|scored| Some((scored.acting?, scored.day())));
    acted.filter(|(_, day)| (from..to).contains(day)).collect::<HashSet<_>>().len() as u64
}

/// How many, by queue and day.
type ByDay = BTreeMap<(Queue, i64), u64>;

/// What the budgets of a day follow from.
pub struct Counts {
    /// What was scored, admissions included.
    scored: ByDay,
    /// Who acted, each counted once a day.
    parties: ByDay,
    /// Those of whom a rule wants somebody to read, each counted once a day.
    ruled: ByDay,
}

impl Counts {
    /// Those of all days of a history.
    pub fn of(history: &History) -> Self {
        let mut scored = ByDay::new();
        for one in &history.scored {
            *scored.entry((one.queue, one.day())).or_default() += 1;
        }
        for (day, count) in (0..).zip(&history.admissions) {
            *scored.entry((Queue::Gate, day)).or_default() += count;
        }
        let parties = parties_by_day(history.scored.iter());
        let ruled = parties_by_day(history.scored.iter().filter(|scored| scored.fired.action == Some(RuleAction::Review)));
        Self { scored, parties, ruled }
    }

    /// Of how many analysts read because of the model on a day, queue by queue: by what the days before it brought. The share is one of all queues together, and what rules
    /// want read is read first; the rest is shared out as [`share_out`] says.
    pub fn budgets(&self, day: i64, (share, of): (f64, Of)) -> [Budget; Queue::ALL.len()] {
        let days = window(day);
        let seen = days.clone().count() as u32;
        let by_queue = |counts: &ByDay| Queue::ALL.map(|queue| days.clone().filter_map(|day| counts.get(&(queue, day))).sum::<u64>());
        let counted = by_queue(match of {
            Of::Scored => &self.scored,
            Of::Parties => &self.parties,
        });
        let (all, ruled) = (counted.iter().sum::<u64>(), by_queue(&self.ruled).iter().sum::<u64>());
        let alerts_per_day = ((all as f64 * share - ruled as f64) / f64::from(seen.max(1))).round() as u32;
        share_out(alerts_per_day, counted, by_queue(&self.parties), seen)
    }
}

/// The days that the lines of a day follow from.
fn window(day: i64) -> Range<i64> {
    (day - i64::from(WINDOW_DAYS)).max(0)..day
}

fn parties_by_day<'a>(scored: impl Iterator<Item = &'a Scored>) -> ByDay {
    let acted: HashSet<(Queue, i64, Acting)> = scored.filter_map(|scored| Some((scored.queue, scored.day(), scored.acting?))).collect();
    let mut parties = ByDay::new();
    for (queue, day, _) in acted {
        *parties.entry((queue, day)).or_default() += 1;
    }
    parties
}

/// Even over people and days, and always the same.
fn draw((role, id): Acting, day: i64) -> u64 {
    let mut bits = id as u64 ^ (id >> 64) as u64 ^ (role as u64) << 56 ^ (day.unsigned_abs() << 40);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// How an attack fared.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Fared {
    /// Days on which somebody, under one identity, did harm.
    pub identity_days: u32,
    /// Of them those on which a review was opened for that identity, or a rule refused it.
    pub caught: u32,
    /// Of those, where a rule refused.
    pub blocked: u32,
    /// Identity-days on which a rule, or the model, asked for one more check: a cost to whoever acts, and no catch.
    pub checked: u32,
    /// Identity-days that were caught, or checked, or both.
    pub noticed: u32,
    /// Attackers, whatever identities they use.
    pub attackers: u32,
    /// Of them those of whom at least one identity was caught.
    pub found: u32,
    /// Minutes from an attacker's first harm to the first catch, of the found ones: the median.
    pub minutes_to_detection: f64,
    /// Cases that the model opened.
    pub explained: u32,
    /// Of them those of whose three reasons, at the highest score of the day, one agrees with how the attack works.
    pub agreed: u32,
    /// Of them those where one of the reasons that a node shows does: the score's own, of what opened the case or of the highest score of the day.
    pub shown_agreed: u32,
    /// How often each feature was among the reasons of these cases.
    pub reasons: BTreeMap<&'static str, u32>,
}

impl Fared {
    /// The part of identity-days that was caught.
    #[must_use]
    pub fn recall(&self) -> f64 {
        f64::from(self.caught) / f64::from(self.identity_days.max(1))
    }

    /// The part of identity-days on which one more check was asked for.
    #[must_use]
    pub fn checked_share(&self) -> f64 {
        f64::from(self.checked) / f64::from(self.identity_days.max(1))
    }

    /// The part of identity-days that did not pass as usual: caught, or asked for one more check.
    #[must_use]
    pub fn noticed_share(&self) -> f64 {
        f64::from(self.noticed) / f64::from(self.identity_days.max(1))
    }

    /// Two groups together; the median is that of the larger.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let mut reasons = self.reasons.clone();
        for (reason, count) in &other.reasons {
            *reasons.entry(reason).or_default() += count;
        }
        let minutes = if self.found >= other.found { self.minutes_to_detection } else { other.minutes_to_detection };
        Self {
            identity_days: self.identity_days + other.identity_days,
            caught: self.caught + other.caught,
            blocked: self.blocked + other.blocked,
            checked: self.checked + other.checked,
            noticed: self.noticed + other.noticed,
            attackers: self.attackers + other.attackers,
            found: self.found + other.found,
            minutes_to_detection: minutes,
            explained: self.explained + other.explained,
            agreed: self.agreed + other.agreed,
            shown_agreed: self.shown_agreed + other.shown_agreed,
            reasons,
        }
    }
}

/// How each attack fared on days `from..to`.
pub fn fared(history: &History, said_of: &[Option<Said>], cases: &Cases, from: i64, to: i64) -> BTreeMap<(Attack, Variant), Fared> {
    let mut harmed: HashMap<(Acting, i64), (Attack, Variant)> = HashMap::new();
    let stepped_up: HashSet<u64> = history.stepped_up.iter().copied().collect();
    let mut checked: HashSet<(Acting, i64)> = HashSet::new();
    let mut first: HashMap<u32, (i64, Option<i64>)> = HashMap::new();
    for scored in &history.scored {
        let (Some(acting), Some(deed)) = (scored.acting, history.truth.deed(scored.intent)) else { continue };
        let Some(Nature::Attacker(attack, variant)) = history.truth.nature(deed.agent) else { continue };
        let day = scored.day();
        if !(from..to).contains(&day) {
            continue;
        }
        if stepped_up.contains(&scored.intent) {
            checked.insert((acting, day));
        }
        if deed.harmful {
            harmed.insert((acting, day), (attack, variant));
            first.entry(deed.agent).or_insert((scored.at_s(), None));
        }
        if let (Some(case), Some(times)) = (cases.cases.get(&(acting, day)), first.get_mut(&deed.agent)) {
            // A case may come before the first harm.
            let at_s = history.scored[case.at].at_s().max(times.0);
            times.1 = Some(times.1.map_or(at_s, |earlier| earlier.min(at_s)));
        }
    }
    let mut fared: BTreeMap<(Attack, Variant), Fared> = BTreeMap::new();
    for (who, kind) in &harmed {
        let one = fared.entry(*kind).or_default();
        one.identity_days += 1;
        one.checked += u32::from(checked.contains(who));
        one.noticed += u32::from(checked.contains(who) || cases.cases.contains_key(who));
        let Some(case) = cases.cases.get(who) else { continue };
        one.caught += 1;
        one.blocked += u32::from(case.why == Why::Blocked);
        if case.why == Why::Model
            && let Some(said) = &said_of[case.worst]
        {
            one.explained += 1;
            for reason in said.why().iter().filter_map(named) {
                *one.reasons.entry(reason).or_default() += 1;
            }
            one.agreed += u32::from(agrees(kind.0, said.why()));
            one.shown_agreed += u32::from(shown_agrees(kind.0, case, said_of));
        }
    }
    let mut minutes: BTreeMap<(Attack, Variant), Vec<i64>> = BTreeMap::new();
    for (agent, (harm_s, caught_s)) in first {
        let Some(kind) = history.truth.nature(agent).and_then(Nature::attack) else { continue };
        let one = fared.entry(kind).or_default();
        one.attackers += 1;
        if let Some(caught_s) = caught_s {
            one.found += 1;
            minutes.entry(kind).or_default().push((caught_s - harm_s) / 60);
        }
    }
    for (kind, mut minutes) in minutes {
        minutes.sort_unstable();
        if let Some(one) = fared.get_mut(&kind) {
            one.minutes_to_detection = minutes[minutes.len() / 2] as f64;
        }
    }
    fared
}

/// Whether one of some reasons says what an attack is about.
fn agrees(attack: Attack, reasons: &[Reason; REASONS]) -> bool {
    reasons.iter().filter_map(named).any(|name| is_cause(attack, name))
}

/// Whether one of the reasons that a node shows of a case does: the score's own, of what opened the case or of the highest score of its day.
fn shown_agrees(attack: Attack, case: &Case, said_of: &[Option<Said>]) -> bool {
    [case.at, case.worst].into_iter().any(|at| said_of[at].is_some_and(|said| agrees(attack, &said.reasons)))
}

/// The feature that a reason points to.
fn named(reason: &Reason) -> Option<&'static str> {
    match reason.cause {
        Cause::Feature(feature) => FEATURES.get(usize::from(feature)).map(|(name, _)| *name),
        _ => None,
    }
}

/// The first reasons of the cases that the model opened on the honest, the most frequent first.
pub fn suspicions(history: &History, said: &[Option<Said>], cases: &Cases) -> Vec<(&'static str, u32)> {
    let mut counts: BTreeMap<&'static str, u32> = BTreeMap::new();
    for case in cases.cases.values().filter(|case| case.why == Why::Model) {
        let nature = history.truth.deed(history.scored[case.at].intent).and_then(|deed| history.truth.nature(deed.agent));
        let first = said[case.worst].and_then(|said| named(&said.why()[0]));
        if let (Some(Nature::Honest(_)), Some(first)) = (nature, first) {
            *counts.entry(first).or_default() += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    counts
}

/// How the honest fared.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Honest {
    /// Those who did something that is scored.
    pub buyers: u32,
    /// Of them those whom a rule refused at least once.
    pub blocked: u32,
    /// Of them those who had to pass one more check.
    pub stepped_up: u32,
    /// Reviews of cases that are theirs.
    pub reviews: u32,
}

/// How the honest fared on days `from..to`, and by persona.
pub fn honest(history: &History, cases: &Cases, from: i64, to: i64) -> (Honest, BTreeMap<&'static str, Honest>) {
    let blocked: HashSet<u64> = history.blocked.iter().copied().collect();
    let stepped: HashSet<u64> = history.stepped_up.iter().copied().collect();
    let mut agents: HashMap<u32, (bool, bool)> = HashMap::new();
    for scored in history.scored.iter().filter(|scored| (from..to).contains(&scored.day())) {
        if let Some(deed) = history.truth.deed(scored.intent) {
            let agent = agents.entry(deed.agent).or_default();
            agent.0 |= blocked.contains(&scored.intent);
            agent.1 |= stepped.contains(&scored.intent);
        }
    }
    let mut by_persona: BTreeMap<&'static str, Honest> = BTreeMap::new();
    let persona = |agent| match history.truth.nature(agent) {
        Some(Nature::Honest(persona)) => Some(persona.name()),
        _ => None,
    };
    for (agent, (blocked, stepped_up)) in agents {
        if let Some(name) = persona(agent) {
            let one = by_persona.entry(name).or_default();
            one.buyers += 1;
            one.blocked += u32::from(blocked);
            one.stepped_up += u32::from(stepped_up);
        }
    }
    for case in cases.cases.values().filter(|case| case.why != Why::Blocked) {
        if let Some(name) = history.truth.deed(history.scored[case.at].intent).and_then(|deed| persona(deed.agent)) {
            by_persona.entry(name).or_default().reviews += 1;
        }
    }
    let all = by_persona.values().fold(Honest::default(), |all, one| Honest {
        buyers: all.buyers + one.buyers,
        blocked: all.blocked + one.blocked,
        stepped_up: all.stepped_up + one.stepped_up,
        reviews: all.reviews + one.reviews,
    });
    (all, by_persona)
}

#[cfg(test)]
mod tests {
    use tornello_datasets::fraud_world::{BEGINS_S, Truth};
    use tornello_models::fraud::rules::Fired;
    use tornello_models::fraud::signals::{N, Outlet, Role};

    use super::*;

    fn nothing_of(days: u16) -> History {
        History {
            scored: Vec::new(),
            admissions: vec![0; days.into()],
            days: days.into(),
            truth: Truth::default(),
            blocked: Vec::new(),
            stepped_up: Vec::new(),
            intents: 0,
        }
    }

    fn push(history: &mut History, queue: Queue, (day, party, what): (i64, u128, i64), fired: Fired) {
        history.scored.push(Scored {
            intent: history.scored.len() as u64,
            at_us: (BEGINS_S + day * 86_400 + what) * 1_000_000,
            queue,
            acting: Some((Role::Device, party)),
            parties: Vec::new(),
            slot: 0,
            features: [0.0; N],
            fired,
            charged: false,
        });
    }

    #[test]
    fn what_gates_cannot_use_of_their_part_is_read_elsewhere_and_rules_come_first() {
        let (web, desk) = (Queue::Outlet(Outlet::Web), Queue::Outlet(Outlet::BoxOffice));
        let budgets = |rules: &[Fired], share| {
            let mut history = nothing_of(20);
            for day in 0..20 {
                // Nine in ten of those who act do so on the web, where four things happen for each at a desk; gates let thousands in and notice two of them.
                (0..90).for_each(|party| (0..10).for_each(|what| push(&mut history, web, (day, party, what), Fired::default())));
                (0..10).for_each(|party| (0..20).for_each(|what| push(&mut history, desk, (day, 1_000 + party, what), Fired::default())));
                rules.iter().zip(2_000..).for_each(|(fired, party)| push(&mut history, Queue::Gate, (day, party, 0), *fired));
            }
            history.admissions = vec![3_898; 20];
            let of = Counts::of(&history).budgets(18, share).map(|budget| budget.alerts_per_day);
            (of[0], of[2], of[5], of.iter().sum::<u32>())
        };
        // A hundredth of 900, 200 and 3,900 is 9, 2 and 39; 37 of the 39 go to the 81 and 8 of whom nobody would read.
        let none = Fired::default();
        assert_eq!(budgets(&[none; 2], (0.01, Of::Scored)), (9 + 34, 2 + 3, 2, 50));
        let mut review = none;
        review.action = Some(RuleAction::Review);
        assert_eq!(budgets(&[review; 2], (0.01, Of::Scored)).3, 48, "two are read because of rules");
        // Of those who act, as many as there are: nothing is left over.
        assert_eq!(budgets(&[none; 2], (0.5, Of::Parties)), (45, 5, 1, 51));
    }

    #[test]
    fn a_share_of_those_who_act_is_not_one_of_all_that_they_do() {
        // A hundred on each day, who do ten things each; each day a little stranger than the day before.
        let (days, parties) = (21, 100_u128);
        let (mut history, mut said) = (nothing_of(21), Vec::new());
        for (day, party, what) in (0..days).flat_map(|day| (0..parties).flat_map(move |party| (0..10_i64).map(move |what| (day, party, what)))) {
            push(&mut history, Queue::Outlet(Outlet::Web), (day, party, what), Fired::default());
            said.push(Some(Said { score: (party as f64 + 0.01 * day as f64) / 1_000.0, ..Said::default() }));
        }
        assert_eq!((party_days(&history, 14, 21), party_days(&history, 0, 1)), (700, 100));
        let read = |of| open_of(&history, &said, 14, 21, (0.01, of)).reviews.values().sum::<u64>();
        // Of a thousand things a day ten are one in a hundred; of a hundred who do them it is one.
        let (of_scored, of_parties) = (read(Of::Scored), read(Of::Parties));
        assert!((50..=80).contains(&of_scored) && (4..=14).contains(&of_parties), "{of_scored} and {of_parties}");
        assert_eq!(open(&history, &said, 14, 21, 0.01).reviews.values().sum::<u64>(), of_scored);
    }

    #[test]
    fn what_is_shown_of_a_case_is_what_the_score_says_of_its_beginning_and_of_its_worst() {
        let reasons = |name: &str| -> [Reason; REASONS] {
            let feature = FEATURES.iter().position(|(known, _)| *known == name).unwrap() as u16;
            std::array::from_fn(|place| Reason { cause: if place == 1 { Cause::Feature(feature) } else { Cause::None }, ..Reason::default() })
        };
        let said = |name: &str| Said { reasons: reasons(name), ..Said::default() };
        let (cause, other) = (said("person_failed_1h"), said("operator_voids_1h"));
        let case = Case { at: 0, worst: 2, why: Why::Model };
        for (of, expected) in [
            ([Some(cause), Some(other), Some(other)], true),
            ([Some(other), Some(other), Some(cause)], true),
            ([None, Some(other), Some(cause)], true),
            ([Some(other), Some(cause), Some(other)], false),
            ([None, Some(cause), None], false),
        ] {
            assert_eq!(shown_agrees(Attack::CardTesting, &case, &of), expected);
        }
        // What was worked out exactly goes into the report, and no node shows it.
        let examined = Said { examined: Some(cause.reasons), ..other };
        assert!(agrees(Attack::CardTesting, examined.why()) && !shown_agrees(Attack::CardTesting, &case, &[Some(examined); 3]));
        // Groups of attacks add up.
        let one = Fared { explained: 3, agreed: 2, shown_agreed: 1, ..Fared::default() };
        let both = one.with(&Fared { explained: 1, shown_agreed: 1, ..Fared::default() });
        assert_eq!((both.explained, both.agreed, both.shown_agreed), (4, 2, 2));
    }
}
