//! What is said of a command once its features are known: what the rules ask for, what a model says by its line, and what follows from both. It looks at no counter, clock, file
//! or journal. So from the same features the same follows: live, and when [`super::again`] works it out once more.

use tornello_engine::envelope::{Assessment, Basis, Outcome};
use tornello_engine::ids::Code;
use tornello_engine::time::Timestamp;
use tornello_models::fraud::budget::{Alert, Cut};
use tornello_models::fraud::explain::{Cause, Direction, Reason};
use tornello_models::fraud::rules::{Action, Comparison, Fired, HARD_DEFAULTS_VERSION, hard_defaults};
use tornello_models::fraud::scorer::Scored;
use tornello_models::fraud::signals::{FEATURES, FeatureVector, Outlet, SignalEvent, SignalKind, feature_hash};

use super::judge::Acting;
use super::{Rules, fold, saved};
use crate::digest::digest;

/// The model's name in an assessment that none took part in.
pub(super) const NO_MODEL: &str = "none";
/// The reason of an assessment for which the counters could not be read.
pub const UNREAD: &str = "counters_unread";
/// So many reasons are given.
const REASONS: usize = 3;
/// Raised whenever other reasons are given of what a model says.
const REASONING: u32 = 1;

/// The number of the reckoning by which features and rules follow from a journal: another one for another list of features, other rules that hold by themselves, other reasons of
/// what a model says, or where the same journal is heard otherwise. What was said by another one cannot be said again.
pub(super) fn edition() -> u32 {
    let versions = [HARD_DEFAULTS_VERSION, saved::FORMAT, REASONING].map(u32::to_le_bytes);
    digest(&[b"edition", &feature_hash().to_le_bytes(), versions.as_flattened()]).0 as u32
}

/// What is said of a command before it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What is written down with it.
    pub assessment: Assessment,
    /// Whether one more proof is due first: also beside a review, which is of what is sold and keeps no machine out. Of what is refused none is.
    pub proof_due: bool,
}

impl Said {
    /// What is said when the counters could not be read. It must not look as if nothing were known of somebody: the record says that counters were unread, and over the web a
    /// proof of work is asked for.
    #[must_use]
    pub(super) fn unread(mut self, outlet: Outlet) -> Self {
        if let Ok(unread) = UNREAD.parse() {
            self.assessment.reasons.insert(0, unread);
            self.assessment.reasons.truncate(REASONS);
        }
        if outlet == Outlet::Web && self.assessment.outcome != Outcome::Block {
            self.proof_due = true;
            self.assessment.outcome = self.assessment.outcome.max(Outcome::StepUp);
        }
        self
    }
}

/// Turns what is said of a hold into what is said of an option of a quote. An option is always taken, so what a rule would refuse is looked at. A model's word alone is a score
/// and no more, because an agency that keeps much is nothing unusual.
pub(crate) fn of_option(assessment: &mut Assessment) {
    if assessment.rules.is_empty() {
        assessment.outcome = Outcome::Allow;
    } else if assessment.outcome == Outcome::Block {
        assessment.outcome = Outcome::Review;
    }
}

/// Whether no rule refuses it, whoever has put it in force: what it asks to be refused is looked at.
pub(super) const fn is_never_refused(signal: &SignalEvent) -> bool {
    match signal.kind {
        SignalKind::TillClosed { .. } => true,
        SignalKind::Voided => !matches!(signal.outlet, Outlet::BoxOffice),
        _ => false,
    }
}

/// What a model says of a command.
#[derive(Debug)]
pub(super) struct Judged {
    model: Code,
    /// What its score was held against.
    line: f64,
    score: u8,
    reasons: Vec<Code>,
    outcome: Outcome,
    probability_ppm: Option<u32>,
    /// Whether it was fed, or said, what is no sound figure.
    pub(super) suspect: bool,
}

impl Judged {
    /// What a model says, by a line of 0 to 1; nothing if it breaks.
    pub(super) fn by(acting: &Acting, signal: &SignalEvent, features: &FeatureVector, line: f64) -> Option<Self> {
        let scored = acting.asked(features)?;
        // Which are looked at by chance is decided when they are sold, not here.
        let alert = Cut { score: line, random: 0.0 }.decide(scored.score, scored.suspect_inputs, u64::MAX);
        let outcome = match alert {
            // Only rules may refuse. Somebody who only waits for places over the web proves that they are no machine; what is held or sold is looked at, and stands meanwhile.
            Some(Alert::AboveCut | Alert::SuspectInput) if fold::is_proven(signal) => Outcome::StepUp,
            Some(Alert::AboveCut | Alert::SuspectInput) => Outcome::Review,
            Some(Alert::Random) | None => Outcome::Allow,
        };
        let reasons = reasons_of(&scored, signal);
        let score = if scored.percentile.is_finite() { (scored.percentile * 100.0).clamp(0.0, 100.0) as u8 } else { 100 };
        let probability_ppm = scored.probability.map(|probability| (probability.clamp(0.0, 1.0) * 1e6).round() as u32);
        let suspect = scored.suspect_inputs > 0 || !scored.score.is_finite();
        Some(Self { model: acting.code, line, score, reasons, outcome, probability_ppm, suspect })
    }
}

/// The reasons of what a model says, of those whose words say what it found.
fn reasons_of(scored: &Scored, signal: &SignalEvent) -> Vec<Code> {
    let code = |reason: &Reason| match reason.cause {
        Cause::None => None,
        Cause::Feature(place) => {
            let (name, _) = FEATURES.get(usize::from(place))?;
            if is_worded(name, reason.direction, signal) { name.parse().ok() } else { None }
        }
        Cause::SuspectInput(_) => "suspect_input".parse().ok(),
    };
    scored.reasons.iter().filter_map(code).collect()
}

/// Whether the words for a feature say what speaks against somebody: they speak of much of it, but of how long somebody is known, and since when nothing was seen of them, of
/// little; of an amount of much, and of nothing; of prices and times before the visit as unusual, which they are either way.
fn is_worded(name: &str, direction: Direction, signal: &SignalEvent) -> bool {
    let is_free =
        signal.cents == 0 && matches!(signal.kind, SignalKind::Held | SignalKind::Waited | SignalKind::Sold { .. } | SignalKind::PaymentBegun);
    match (name, direction) {
        ("price_ratio" | "lead_s", _) => true,
        ("person_since_s" | "person_known_s", direction) => direction == Direction::Low,
        ("cents", Direction::Low) => is_free,
        (_, direction) => direction == Direction::High,
    }
}

/// What was found out of a command when something is to be said of it.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// The command.
    pub(super) signal: &'a SignalEvent,
    /// Its features.
    pub(super) features: &'a FeatureVector,
    /// As of which batch of the journal.
    pub(super) position: u64,
    /// The rules that hold.
    pub(super) rules: &'a Rules,
    /// What a model says, if one takes part.
    pub(super) judged: Option<Judged>,
}

impl Found<'_> {
    /// Which rules fire.
    pub(super) fn fired(&self) -> Fired {
        self.rules.set.ask(self.features, self.signal.outlet, self.signal.museum)
    }

    /// Whether a command that rules refuse is done all the same, and looked at.
    ///
    /// Cash is counted whatever it comes to. What was sold elsewhere than at a desk the museum takes back as it likes: why it closes is none of its buyers' doing. What a visitor
    /// gives back, or a desk takes back of its own sales, is refused only by rules that somebody has put in force: the built-in ones are about taking places, and who gives places
    /// back leaves them to others.
    fn is_done_anyway(&self, fired: Fired, spared: &[Code]) -> bool {
        if fired.action != Some(Action::Block) {
            return false;
        }
        if is_never_refused(self.signal) {
            return true;
        }
        if !matches!(self.signal.kind, SignalKind::Refunded | SignalKind::Voided) {
            return false;
        }
        let built_in = hard_defaults();
        let rules = fired.places().filter_map(|place| self.rules.set.rules().nth(place)).filter(|rule| rule.action == Action::Block);
        let mut refuse = rules.filter(|rule| spared.iter().all(|name| name.as_str() != rule.name));
        refuse.all(|rule| built_in.contains(rule))
    }

    /// What is said, of rules that fired of which `spared` are to refuse nothing. `no_model` is what stands for a model where none takes part.
    pub(super) fn said(self, fired: Fired, spared: Vec<Code>, no_model: Code, edition: u32) -> Said {
        let is_done_anyway = self.is_done_anyway(fired, &spared);
        let Self { signal, features, position, rules, judged } = self;
        let fired = if spared.is_empty() { fired } else { rules.set.spare(fired, |name| spared.iter().any(|rule| rule.as_str() == name)) };
        let names: Vec<Code> = fired.places().filter_map(|place| rules.set.rules().nth(place)?.name.parse().ok()).collect();
        let floor = match fired.action {
            None => 0,
            Some(Action::StepUp) => 60,
            Some(Action::Review) => 70,
            Some(Action::Block) => 100,
        };
        let line = judged.as_ref().map(|judged| judged.line.to_le_bytes());
        let (model, score, mut reasons, by_model, probability_ppm) = match judged {
            Some(Judged { model, score, reasons, outcome, probability_ppm, .. }) => (model, score, reasons, outcome, probability_ppm),
            None => (no_model, 0, Vec::new(), Outcome::Allow, None),
        };
        if reasons.is_empty() {
            // Without a model the reasons are what the rules asked for much of: words for a reason speak of much, and what has to be little only says where a rule holds.
            let asked = fired.places().filter_map(|place| rules.set.rules().nth(place)).flat_map(|rule| &rule.conditions);
            let much = asked.filter(|condition| condition.comparison == Comparison::AtLeast);
            reasons = much.filter_map(|condition| condition.feature.parse().ok()).take(REASONS).collect();
        }
        let (outcome, proof_due) = of_both(fired, by_model);
        let outcome = if is_done_anyway { outcome.min(Outcome::Review) } else { outcome };
        let assessment = Assessment {
            model,
            rules_version: rules.version,
            at: Timestamp::from_micros(signal.at_us),
            position,
            features: fold::digest_of(features),
            score: score.max(floor),
            reasons,
            outcome,
            rules: names,
            probability_ppm,
            basis: Some(Box::new(Basis { edition, line, spared })),
        };
        Said { assessment, proof_due }
    }
}

/// What follows from what rules and the model ask for: the outcome that is written down, which is the greater of both, and whether a proof is due. A review is greater than a
/// step-up, but does not replace it: both apply.
fn of_both(fired: Fired, by_model: Outcome) -> (Outcome, bool) {
    let by_rules = match fired.action {
        None => Outcome::Allow,
        Some(Action::StepUp) => Outcome::StepUp,
        Some(Action::Review) => Outcome::Review,
        Some(Action::Block) => Outcome::Block,
    };
    let outcome = by_rules.max(by_model);
    (outcome, outcome != Outcome::Block && (fired.needs_proof() || by_model == Outcome::StepUp))
}

#[cfg(test)]
mod tests {
    use tornello_models::fraud::rules::{Rule, RuleSet, is_logarithm};
    use tornello_models::fraud::signals::{N, index_of};

    use super::*;

    fn features(counted: &[(&str, f32)]) -> FeatureVector {
        let mut features = [0.0; N];
        for (name, count) in counted {
            let at = index_of(name).expect(name);
            features[at] = if is_logarithm(at) { count.ln_1p() } else { *count };
        }
        features
    }

    #[test]
    fn without_a_model_the_reasons_are_what_there_is_much_of() {
        let rules = Rules { version: 0, set: RuleSet::hard_defaults() };
        let said = |outlet: Outlet, counted: &[(&str, f32)]| {
            let (signal, features) = (SignalEvent::new(0, SignalKind::Held, outlet, 1), features(counted));
            let found = Found { signal: &signal, features: &features, position: 1, rules: &rules, judged: None };
            let fired = found.fired();
            let Assessment { rules, reasons, .. } = found.said(fired, Vec::new(), NO_MODEL.parse().unwrap(), edition()).assessment;
            [rules, reasons].map(|names| names.iter().map(Code::to_string).collect::<Vec<_>>())
        };
        // Nobody is in a count of cash, which is no large party.
        assert_eq!(said(Outlet::BoxOffice, &[("operator_gap_7d", 30_000.0)]), [vec!["desk-gap"], vec!["operator_gap_7d"]]);
        let free = [("cents", 0.0), ("cheap_share", 1.0), ("people", 8.0)];
        assert_eq!(said(Outlet::Web, &free), [vec!["price-zero"], vec!["cheap_share", "people"]]);
    }

    /// A model that has learned may find that it speaks against somebody to have bought nothing before: that they have bought much is no word for it.
    #[test]
    fn a_reason_is_told_where_its_words_say_what_the_model_found() {
        let told = |kind: SignalKind, cents: i64, reasons: [(&str, Direction); 3]| {
            let reasons =
                reasons.map(|(name, direction)| Reason { cause: Cause::Feature(index_of(name).expect(name) as u16), direction, share: 0.3 });
            let scored = Scored { score: 0.9, percentile: 0.9, probability: None, reasons, suspect_inputs: 0 };
            let signal = SignalEvent { cents, ..SignalEvent::new(0, kind, Outlet::Web, 1) };
            reasons_of(&scored, &signal).iter().map(Code::to_string).collect::<Vec<_>>()
        };
        let (much, little, hold) = (Direction::High, Direction::Low, SignalKind::Held);
        assert_eq!(told(hold, 1_200, [("person_unsold_1h", much), ("person_sales_7d", little), ("people", little)]), ["person_unsold_1h"]);
        assert_eq!(told(hold, 1_200, [("person_known_s", little), ("person_since_s", much), ("lead_s", little)]), ["person_known_s", "lead_s"]);
        assert_eq!(told(hold, 1_200, [("price_ratio", little), ("cents", little), ("night", little)]), ["price_ratio"]);
        assert_eq!(told(hold, 0, [("cents", little), ("cheap_share", much), ("anonymous", much)]), ["cents", "cheap_share", "anonymous"]);
        // What comes back is worth something, whatever is known of it before it is decided.
        assert_eq!(told(SignalKind::Refunded, 0, [("cents", little), ("person_refunds_7d", much), ("person_known_s", much)]), ["person_refunds_7d"]);
        let suspect = Reason { cause: Cause::SuspectInput(3), direction: little, share: 0.0 };
        let scored = Scored { score: 0.9, percentile: 0.9, probability: None, reasons: [suspect; 3], suspect_inputs: 1 };
        assert_eq!(reasons_of(&scored, &SignalEvent::new(0, hold, Outlet::Web, 1)).len(), 3, "what cannot be is told either way");
    }

    #[test]
    fn what_goes_back_is_refused_only_by_rules_that_somebody_has_put_in_force() {
        let own = Rule { name: "own".into(), outlets: Vec::new(), ..hard_defaults().remove(0) };
        let said = |own: &[Rule], kind: SignalKind, outlet: Outlet, spared: &[&str]| {
            let set = RuleSet::new([hard_defaults(), own.to_vec()].concat()).unwrap();
            let (rules, features) = (Rules { version: 1, set }, features(&[("person_holds_1m", 10.0), ("cents", 1_200.0)]));
            let signal = SignalEvent::new(0, kind, outlet, 1);
            let found = Found { signal: &signal, features: &features, position: 1, rules: &rules, judged: None };
            let (fired, spared) = (found.fired(), spared.iter().map(|name| name.parse().unwrap()).collect());
            let Said { assessment, proof_due } = found.said(fired, spared, NO_MODEL.parse().unwrap(), edition());
            assert!(!proof_due, "one more proof helps nobody here");
            assessment.outcome
        };
        let (web, desk) = (Outlet::Web, Outlet::BoxOffice);
        let cash = SignalKind::TillClosed { difference_cents: 1 };
        assert_eq!(said(&[], SignalKind::Held, web, &[]), Outcome::Block);
        // `velocity` fires, which is about holds.
        assert_eq!([SignalKind::Refunded, SignalKind::Voided].map(|kind| said(&[], kind, web, &[])), [Outcome::Review; 2]);
        let own = [own];
        assert_eq!(said(&own, SignalKind::Refunded, web, &[]), Outcome::Block);
        assert_eq!(said(&own, SignalKind::Refunded, web, &["own"]), Outcome::Review, "what is spared refuses nothing");
        assert_eq!(said(&own, SignalKind::Voided, web, &[]), Outcome::Review, "the museum knows what it does");
        assert_eq!(said(&own, SignalKind::Voided, desk, &[]), Outcome::Block, "a clerk who takes back and back is stopped by whoever says so");
        assert_eq!(said(&own, cash, desk, &[]), Outcome::Review);
    }

    #[test]
    fn a_review_does_not_stand_for_a_proof_whoever_asks_for_which() {
        let rules = RuleSet::hard_defaults();
        let come = |counted: &[(&str, f32)], by_model: Outcome| {
            let features = features(&[&[("cents", 1_200.0)][..], counted].concat());
            of_both(rules.ask(&features, Outlet::Web, 1), by_model)
        };
        let (unsold, share) = (("person_unsold_1h", 5.0), ("person_unsold_share_1d", 0.9));
        let (free, all, many) = (("cents", 0.0), ("cheap_share", 1.0), ("people", 8.0));
        let failed = ("person_failed_1h", 6.0);
        assert_eq!(come(&[], Outcome::Allow), (Outcome::Allow, false));
        assert_eq!(come(&[unsold, share], Outcome::Allow), (Outcome::StepUp, true));
        assert_eq!(come(&[unsold, share, free, all, many], Outcome::Allow), (Outcome::Review, true), "a hoarder asks for eight free tickets");
        assert_eq!(come(&[failed], Outcome::Review), (Outcome::Review, true), "the model looks at whoever tries cards");
        assert_eq!(come(&[free, all, many], Outcome::StepUp), (Outcome::Review, true), "the model asks whoever waits");
        assert_eq!(come(&[free, all, many], Outcome::Review), (Outcome::Review, false));
        assert_eq!(come(&[("person_holds_1m", 10.0), unsold, share], Outcome::StepUp), (Outcome::Block, false), "what is refused needs no proof");
    }
}
