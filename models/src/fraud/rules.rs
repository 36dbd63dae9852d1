//! Rules over features: named sentences that a person wrote, and that may refuse, where a model may only ask for a second look. A set of rules is compiled once and
//! asked for every command.
//!
//! Thresholds are written in the unit of the feature as people count it: "5 payments", not `ln(1 + 5)`. A rule that names a feature that does not exist, or a
//! threshold that is no number, is not compiled: it is never passed over in silence. Which rules hold is kept in the journal by `actors`, which maps them to these.

use serde::{Deserialize, Serialize};

use super::decay::ln_1p;
use super::signals::{FEATURES, FeatureVector, Outlet, VALUE_MAX, index_of};

/// The most rules of one set.
pub const RULES_MAX: usize = 128;
/// No rule asks for more of what is counted: of seconds that is thirty years, of cents ten million euros.
const COUNTED_MAX: f64 = 1e9;
/// How the units of different ones name their windows.
const DISTINCT: [&str; 2] = [", 10 to 20 ", ", 1 to 2 "];
/// No more different ones are told apart: a sketch of 128 bits says 128 ln 128 of any crowd.
const DISTINCT_MAX: f64 = 621.0;
/// A price that is more of the full one is told as that.
const PRICE_RATIO_MAX: f64 = 4.0;

/// What follows when a rule fires, from the weakest to the strongest. A review does not stand for a step-up: where both are asked for, both apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The buyer has to do something more first.
    StepUp,
    /// The sale stands, and somebody looks at it.
    Review,
    /// It is refused.
    Block,
}

/// How a feature is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// The feature is at least the threshold.
    AtLeast,
    /// The feature is at most the threshold.
    AtMost,
}

/// One part of a rule's condition; all parts must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// A feature, by its name.
    pub feature: String,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what, as people count it.
    pub threshold: f64,
}

/// A rule, in plain data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name: unique in its set.
    pub name: String,
    /// What must hold, all of it; never empty.
    pub conditions: Vec<Condition>,
    /// Only through these channels; none named: through all.
    pub outlets: Vec<Outlet>,
    /// Only at these museums; none named: at all.
    pub museums: Vec<u16>,
    /// What follows.
    pub action: Action,
    /// What is the matter, in Italian, for whoever is refused.
    pub it: String,
    /// The same in English.
    pub en: String,
}

/// Why rules cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    /// A feature that does not exist.
    #[error("rule {rule} asks for the feature {feature}, which does not exist")]
    UnknownFeature {
        /// Which rule.
        rule: String,
        /// Which feature.
        feature: String,
    },
    /// A threshold that nothing can be compared with.
    #[error("rule {0} has a threshold that is not a number from 0 on")]
    BadThreshold(String),
    /// A threshold that the feature never reaches: the condition would never hold, or always.
    #[error("rule {rule} asks whether {feature} reaches what it never does: give a threshold_milli of 0 to {most_milli}")]
    OutOfReach {
        /// Which rule.
        rule: String,
        /// Which feature.
        feature: String,
        /// The most that makes sense, in thousandths.
        most_milli: i64,
    },
    /// It would fire always.
    #[error("rule {0} has no condition")]
    NoCondition(String),
    /// Two of one name.
    #[error("two rules are called {0}")]
    SameName(String),
    /// More than [`RULES_MAX`].
    #[error("a set has at most {RULES_MAX} rules")]
    TooMany,
}

#[derive(Debug, Clone)]
struct Part {
    feature: usize,
    comparison: Comparison,
    threshold: f32,
}

/// Rules that can be asked.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    rules: Vec<(Rule, Vec<Part>)>,
}

/// Which rules fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fired {
    bits: u128,
    /// The strongest of what follows; none: no rule fired.
    pub action: Option<Action>,
    /// Whether one of them asks the buyer for something more.
    asks_proof: bool,
}

impl Fired {
    /// Whether the buyer has to do something more first: also where another rule asks for a look, which comes after the sale and keeps no machine out. What is refused
    /// needs no proof.
    #[must_use]
    pub fn needs_proof(self) -> bool {
        self.asks_proof && self.action != Some(Action::Block)
    }

    /// The places of the rules that fired, in the order of the set.
    pub fn places(self) -> impl Iterator<Item = usize> {
        (0..RULES_MAX).filter(move |place| self.bits >> place & 1 == 1)
    }
}

/// Whether a feature is kept as a logarithm, by its unit.
#[must_use]
pub fn is_logarithm(feature: usize) -> bool {
    FEATURES.get(feature).is_some_and(|(_, unit)| unit.starts_with("ln "))
}

/// A feature's value as people count it: "5 holds" and not `ln(1 + 5)`.
#[must_use]
pub fn as_counted(feature: usize, value: f32) -> f64 {
    if is_logarithm(feature) { f64::from(value).exp_m1() } else { f64::from(value) }
}

/// The largest threshold of a feature that makes sense, as people count it: what it can be at most, and of what is counted without end no more than anybody does.
#[must_use]
pub fn most(feature: usize) -> f64 {
    match FEATURES.get(feature) {
        Some((_, unit)) if unit.starts_with("ln ") && DISTINCT.iter().any(|window| unit.contains(window)) => DISTINCT_MAX,
        Some((_, unit)) if unit.starts_with("ln ") => COUNTED_MAX,
        Some(("price_ratio", _)) => PRICE_RATIO_MAX,
        // Products of logarithms, of which only the guard of all features says how large they are.
        Some((name, unit)) if unit.starts_with("root of ") || *name == "people_slot_1h" => f64::from(VALUE_MAX),
        // Shares, flags, and hours of twelve.
        _ => 1.0,
    }
}

/// Whether each threshold of a rule is one that its feature can reach: for whoever writes a rule. Those that hold already are asked as they are.
///
/// # Errors
/// [`BadRule::OutOfReach`] of the first that is not.
pub fn within_reach(rule: &Rule) -> Result<(), BadRule> {
    for condition in &rule.conditions {
        let Some(feature) = index_of(&condition.feature) else { continue };
        let most = most(feature);
        if condition.threshold > most {
            let (rule, feature) = (rule.name.clone(), condition.feature.clone());
            return Err(BadRule::OutOfReach { rule, feature, most_milli: (most * 1_000.0) as i64 });
        }
    }
    Ok(())
}

impl RuleSet {
    /// Compiles rules.
    pub fn new(rules: Vec<Rule>) -> Result<Self, BadRule> {
        if rules.len() > RULES_MAX {
            return Err(BadRule::TooMany);
        }
        let mut compiled: Vec<(Rule, Vec<Part>)> = Vec::with_capacity(rules.len());
        for rule in rules {
            if compiled.iter().any(|(other, _)| other.name == rule.name) {
                return Err(BadRule::SameName(rule.name));
            }
            if rule.conditions.is_empty() {
                return Err(BadRule::NoCondition(rule.name));
            }
            let part = |condition: &Condition| {
                let unknown = || BadRule::UnknownFeature { rule: rule.name.clone(), feature: condition.feature.clone() };
                let feature = index_of(&condition.feature).ok_or_else(unknown)?;
                if !condition.threshold.is_finite() || condition.threshold < 0.0 {
                    return Err(BadRule::BadThreshold(rule.name.clone()));
                }
                let threshold = condition.threshold as f32;
                Ok(Part { feature, comparison: condition.comparison, threshold: if is_logarithm(feature) { ln_1p(threshold) } else { threshold } })
            };
            let parts = rule.conditions.iter().map(part).collect::<Result<_, _>>()?;
            compiled.push((rule, parts));
        }
        Ok(Self { rules: compiled })
    }

    /// The rules of an installation to which nobody has said anything else.
    #[must_use]
    pub fn hard_defaults() -> Self {
        // They are written here and tested to compile; without them there would be no rule at all.
        Self::new(hard_defaults()).unwrap_or_default()
    }

    /// The rules, in order.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = &Rule> {
        self.rules.iter().map(|(rule, _)| rule)
    }

    /// Which rules fire on these features. A value that is no number meets every condition: what cannot be judged is not let through in silence.
    #[must_use]
    pub fn ask(&self, features: &FeatureVector, outlet: Outlet, museum: u16) -> Fired {
        let mut fired = Fired::default();
        for (place, (rule, parts)) in self.rules.iter().enumerate() {
            let concerns = (rule.outlets.is_empty() || rule.outlets.contains(&outlet)) && (rule.museums.is_empty() || rule.museums.contains(&museum));
            let holds = |part: &Part| {
                let value = features[part.feature];
                // Decayed counts of things that have just happened are a hair below the whole number that a person wrote.
                let slack = part.threshold.abs() * 1e-3;
                match part.comparison {
                    _ if value.is_nan() => true,
                    Comparison::AtLeast => value >= part.threshold - slack,
                    Comparison::AtMost => value <= part.threshold + slack,
                }
            };
            if concerns && parts.iter().all(holds) {
                fired.bits |= 1 << place;
                fired.action = fired.action.max(Some(rule.action));
                fired.asks_proof |= rule.action == Action::StepUp;
            }
        }
        fired
    }

    /// What follows of rules that fired where some of them are to refuse nothing, as their names say: only of these that would refuse. All of them have fired all the same.
    #[must_use]
    pub fn spare(&self, fired: Fired, spared: impl Fn(&str) -> bool) -> Fired {
        let acts = |rule: &&Rule| rule.action != Action::Block || !spared(&rule.name);
        let action = fired.places().filter_map(|place| self.rules.get(place)).map(|(rule, _)| rule).filter(acts).map(|rule| rule.action).max();
        Fired { action, ..fired }
    }
}

fn at_least(feature: &str, threshold: f64) -> Condition {
    Condition { feature: feature.to_owned(), comparison: Comparison::AtLeast, threshold }
}

fn at_most(feature: &str, threshold: f64) -> Condition {
    Condition { feature: feature.to_owned(), comparison: Comparison::AtMost, threshold }
}

/// The number of the rules below: raised whenever one of them changes.
pub const HARD_DEFAULTS_VERSION: u32 = 3;

/// The rules that hold as long as nobody has put others of their names in force. Each is well beyond what families, schools and people who change their minds do. Most
/// concern those who come by themselves over the web, where nobody sees them, and these alone refuse; what resellers and desks do is looked at afterwards. A desk is looked
/// at when its cash is counted, which takes no places, so that no visitor waits for that.
#[must_use]
pub fn hard_defaults() -> Vec<Rule> {
    let rule = |outlets: &[Outlet], name: &str, conditions: Vec<Condition>, action: Action, (it, en): (&str, &str)| Rule {
        name: name.to_owned(),
        conditions,
        outlets: outlets.to_vec(),
        museums: Vec::new(),
        action,
        it: it.to_owned(),
        en: en.to_owned(),
    };
    let web = |name: &str, conditions: Vec<Condition>, action: Action, it: &str, en: &str| rule(&[Outlet::Web], name, conditions, action, (it, en));
    // Only of a large party: nearly all that a reseller holds and sells goes on as if the rule were not there.
    let reseller = |name: &str, condition: Condition, it: &str, en: &str| {
        rule(&[Outlet::Reseller], name, vec![condition, at_least("people", 20.0)], Action::Review, (it, en))
    };
    // Nobody is in a count of cash, and it costs nothing; the signal of a payment names no people either.
    let count = |name: &str, conditions: Vec<Condition>, it: &str, en: &str| {
        let conditions = [vec![at_most("people", 0.0), at_most("cents", 0.0)], conditions].concat();
        rule(&[Outlet::BoxOffice], name, conditions, Action::Review, (it, en))
    };
    vec![
        web(
            "velocity",
            vec![at_least("person_holds_1m", 10.0)],
            Action::Block,
            "Troppe prenotazioni in un minuto.",
            "Too many places were asked for within a minute.",
        ),
        web(
            "hoarding",
            vec![at_least("person_unsold_1h", 12.0), at_least("person_unsold_share_1d", 0.8)],
            Action::Block,
            "Troppe prenotazioni lasciate scadere senza acquisto.",
            "Too many places were held and not bought.",
        ),
        web(
            "unsold-holds",
            vec![at_least("person_unsold_1h", 5.0), at_least("person_unsold_share_1d", 0.7)],
            Action::StepUp,
            "Diverse prenotazioni lasciate scadere senza acquisto.",
            "Several holds were not bought.",
        ),
        web(
            "card-testing",
            vec![at_least("person_failed_1h", 5.0), at_least("device_cards_1h", 3.0)],
            Action::Block,
            "Troppi pagamenti non riusciti con carte diverse.",
            "Too many payments failed, with several cards.",
        ),
        web(
            "failed-payments",
            vec![at_least("person_failed_1h", 6.0)],
            Action::StepUp,
            "Troppi pagamenti non riusciti.",
            "Too many payments failed.",
        ),
        web(
            "unnamed",
            vec![at_least("anonymous", 1.0), at_least("network_holds_10m", 30.0)],
            Action::StepUp,
            "Molte prenotazioni dalla stessa rete senza indicare chi acquista.",
            "Many holds from one network that do not say who buys.",
        ),
        rule(
            &[Outlet::Web, Outlet::Reseller],
            "double-scan",
            vec![at_least("person_twice_7d", 2.0)],
            Action::Review,
            ("Biglietti presentati più volte ai varchi.", "Tickets were shown more than once at the gates."),
        ),
        web(
            "price-zero",
            // What goes back costs nothing either, and is no free ticket.
            vec![at_most("cents", 0.0), at_least("cheap_share", 1.0), at_least("people", 8.0)],
            Action::Review,
            "Molti biglietti gratuiti in un solo acquisto.",
            "Many free tickets at once.",
        ),
        reseller(
            "reseller-hoarding",
            at_least("account_unsold_1d", 200.0),
            "Molte prenotazioni del rivenditore lasciate senza acquisto.",
            "Many holds of the reseller were not bought.",
        ),
        reseller(
            "reseller-velocity",
            at_least("account_holds_1h", 600.0),
            "Moltissime prenotazioni del rivenditore in un'ora.",
            "Very many holds of the reseller within an hour.",
        ),
        count("desk-gap", vec![at_least("operator_gap_7d", 20_000.0)], "Cassa lontana dal dovuto.", "The cash is far from what is due."),
        count(
            "desk-voids",
            vec![at_least("operator_voids_1d", 30.0), at_least("operator_void_share_1d", 0.25)],
            "Molti biglietti annullati alla cassa.",
            "Many tickets were taken back at the desk.",
        ),
        count(
            "desk-late-voids",
            vec![at_least("operator_late_voids_7d", 30.0)],
            "Molti biglietti annullati poco prima della conta.",
            "Many tickets were taken back shortly before the count.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fraud::signals::{Known, N, Role, SignalEvent, SignalKind, Store, Taking, features};

    /// What is counted, which rules fire, and what follows.
    type Case<'a> = (&'a [(&'a str, f32)], &'a [&'a str], Option<Action>);

    #[test]
    fn a_rule_that_is_spared_refuses_nothing_and_the_others_act_as_before() {
        let set = RuleSet::hard_defaults();
        let fired = set.ask(&vector(&[("person_holds_1m", 20.0), ("person_unsold_1h", 20.0), ("person_unsold_share_1d", 1.0)]), Outlet::Web, 1);
        assert_eq!(fired.action, Some(Action::Block));
        let spared = |names: &[&str]| set.spare(fired, |name| names.contains(&name));
        assert_eq!(spared(&["velocity"]).action, Some(Action::Block), "hoarding refuses by itself");
        let both = spared(&["velocity", "hoarding", "unsold-holds"]);
        assert_eq!((both.action, both.places().count()), (Some(Action::StepUp), 3), "what asks for a proof asks for it all the same");
        assert!(both.needs_proof() && !fired.needs_proof());
        assert_eq!(spared(&[]), fired);
    }

    fn vector(values: &[(&str, f32)]) -> FeatureVector {
        let mut features = [0.0; N];
        features[index_of("cents").expect("known")] = 1.0;
        for (name, value) in values {
            let at = index_of(name).expect(name);
            features[at] = if is_logarithm(at) && value.is_finite() { ln_1p(*value) } else { *value };
        }
        features
    }

    fn names(set: &RuleSet, fired: Fired) -> Vec<String> {
        fired.places().map(|place| set.rules[place].0.name.clone()).collect()
    }

    #[test]
    fn each_default_fires_at_its_threshold_and_not_below() {
        let set = RuleSet::hard_defaults();
        assert_eq!(set.rules().len(), 13);
        let cases: [Case<'_>; 14] = [
            (&[], &[], None),
            (&[("person_holds_1m", 9.0)], &[], None),
            (&[("person_holds_1m", 10.0)], &["velocity"], Some(Action::Block)),
            (&[("person_unsold_1h", 12.0), ("person_unsold_share_1d", 0.5)], &[], None),
            (&[("person_unsold_1h", 5.0), ("person_unsold_share_1d", 0.75)], &["unsold-holds"], Some(Action::StepUp)),
            (&[("person_unsold_1h", 12.0), ("person_unsold_share_1d", 0.9)], &["hoarding", "unsold-holds"], Some(Action::Block)),
            (&[("person_failed_1h", 5.0), ("device_cards_1h", 2.0)], &[], None),
            (&[("person_failed_1h", 5.0), ("device_cards_1h", 3.0)], &["card-testing"], Some(Action::Block)),
            (&[("person_failed_1h", 6.0)], &["failed-payments"], Some(Action::StepUp)),
            (&[("person_twice_7d", 2.0)], &["double-scan"], Some(Action::Review)),
            (&[("anonymous", 1.0), ("network_holds_10m", 29.0)], &[], None),
            (&[("anonymous", 0.0), ("network_holds_10m", 300.0)], &[], None),
            (&[("anonymous", 1.0), ("network_holds_10m", 30.0)], &["unnamed"], Some(Action::StepUp)),
            (&[("cents", 0.0), ("cheap_share", 1.0), ("people", 8.0)], &["price-zero"], Some(Action::Review)),
        ];
        for (values, expected, action) in cases {
            let fired = set.ask(&vector(values), Outlet::Web, 1);
            assert_eq!((names(&set, fired), fired.action), (expected.iter().map(|name| (*name).to_owned()).collect(), action), "{values:?}");
            assert_eq!(set.ask(&vector(values), Outlet::BoxOffice, 1).action, None, "people at desks are seen");
        }
    }

    #[test]
    fn what_resellers_and_desks_do_is_looked_at_and_never_refused() {
        let set = RuleSet::hard_defaults();
        let cases: [(Outlet, Case<'_>); 15] = [
            (Outlet::Reseller, (&[("account_unsold_1d", 190.0), ("people", 30.0)], &[], None)),
            (Outlet::Reseller, (&[("account_unsold_1d", 900.0), ("people", 19.0)], &[], None)),
            (Outlet::Reseller, (&[("account_unsold_1d", 200.0), ("people", 20.0)], &["reseller-hoarding"], Some(Action::Review))),
            (Outlet::Reseller, (&[("account_holds_1h", 590.0), ("people", 30.0)], &[], None)),
            (Outlet::Reseller, (&[("account_holds_1h", 600.0), ("people", 20.0)], &["reseller-velocity"], Some(Action::Review))),
            (Outlet::Reseller, (&[("person_twice_7d", 2.0)], &["double-scan"], Some(Action::Review))),
            (Outlet::BoxOffice, (&[("cents", 0.0), ("operator_gap_7d", 19_000.0)], &[], None)),
            (Outlet::BoxOffice, (&[("cents", 0.0), ("operator_gap_7d", 20_000.0)], &["desk-gap"], Some(Action::Review))),
            (Outlet::BoxOffice, (&[("cents", 0.0), ("operator_voids_1d", 30.0), ("operator_void_share_1d", 0.2)], &[], None)),
            (
                Outlet::BoxOffice,
                (&[("cents", 0.0), ("operator_voids_1d", 30.0), ("operator_void_share_1d", 0.25)], &["desk-voids"], Some(Action::Review)),
            ),
            (Outlet::BoxOffice, (&[("cents", 0.0), ("operator_late_voids_7d", 29.0)], &[], None)),
            (Outlet::BoxOffice, (&[("cents", 0.0), ("operator_late_voids_7d", 30.0)], &["desk-late-voids"], Some(Action::Review))),
            // Whoever buys at the desk, or gives tickets back there, does not wait for that.
            (Outlet::BoxOffice, (&[("cents", 0.0), ("operator_gap_7d", 90_000.0), ("operator_late_voids_7d", 90.0), ("people", 2.0)], &[], None)),
            // A payment that begins at the desk names no people.
            (Outlet::BoxOffice, (&[("operator_gap_7d", 90_000.0), ("cents", 1_200.0)], &[], None)),
            (Outlet::Kiosk, (&[("operator_voids_1d", 90.0), ("operator_void_share_1d", 1.0)], &[], None)),
        ];
        for (outlet, (values, expected, action)) in cases {
            let fired = set.ask(&vector(values), outlet, 1);
            let expected: Vec<String> = expected.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!((names(&set, fired), fired.action), (expected, action), "{values:?}");
        }
    }

    #[test]
    fn tickets_that_go_back_are_no_free_ones() {
        let set = RuleSet::hard_defaults();
        let asked = |kind: SignalKind, cheap: u32| {
            let event = SignalEvent { people: 8, cheap, ..SignalEvent::new(0, kind, Outlet::Web, 1) };
            names(&set, set.ask(&features(&Known::default(), &event), Outlet::Web, 1))
        };
        for kind in [SignalKind::Held, SignalKind::Sold { held: true }, SignalKind::Waited] {
            assert_eq!(asked(kind, 8), ["price-zero"], "{kind:?}");
        }
        // Neither those of a visitor, nor those of a museum that closes.
        for kind in [SignalKind::Refunded, SignalKind::Voided] {
            assert!(asked(kind, 0).is_empty(), "{kind:?}: {:?}", asked(kind, 0));
        }
    }

    #[test]
    fn a_look_that_one_rule_asks_for_is_not_the_proof_that_another_does() {
        let set = RuleSet::hard_defaults();
        let unsold = [("person_unsold_1h", 5.0), ("person_unsold_share_1d", 0.9)];
        let free = [("cents", 0.0), ("cheap_share", 1.0), ("people", 8.0)];
        let refused = [("person_holds_1m", 10.0)];
        let asked = |values: &[(&str, f32)]| {
            let fired = set.ask(&vector(values), Outlet::Web, 1);
            (fired.action, fired.needs_proof())
        };
        assert_eq!(asked(&unsold), (Some(Action::StepUp), true));
        assert_eq!(asked(&free), (Some(Action::Review), false));
        assert_eq!(asked(&[&unsold[..], &free].concat()), (Some(Action::Review), true));
        assert_eq!(asked(&[&unsold[..], &refused].concat()), (Some(Action::Block), false));
        assert_eq!(asked(&[]), (None, false));
    }

    #[test]
    fn a_threshold_is_one_that_its_feature_can_reach() {
        assert!(hard_defaults().iter().all(|rule| within_reach(rule).is_ok()));
        let with = |feature: &str, threshold: f64| {
            let rule = Rule { conditions: vec![at_least("people", 3.0), at_least(feature, threshold)], ..hard_defaults().remove(0) };
            within_reach(&rule).map_err(|error| if let BadRule::OutOfReach { most_milli, .. } = error { most_milli } else { -1 })
        };
        for (feature, most_milli) in [
            ("person_holds_1m", 1_000_000_000_000),
            ("cents", 1_000_000_000_000),
            ("device_cards_1d", 621_000),
            ("device_other_cards_1d", 621_000),
            ("person_slots_1h", 621_000),
            ("person_slots_10m", 621_000),
            ("network_cards_10m", 621_000),
            ("network_failed_10m", 1_000_000_000_000),
            ("person_unsold_share_1d", 1_000),
            ("slot_unsold_share_1d", 1_000),
            ("cheap_share", 1_000),
            ("night", 1_000),
            ("anonymous", 1_000),
            ("price_ratio", 4_000),
            ("person_failed_slot_1h", 32_000),
            ("person_large_before_7d", 32_000),
            ("people_slot_1h", 32_000),
        ] {
            let most = most_milli as f64 / 1_000.0;
            assert_eq!((with(feature, most), with(feature, most * 1.001)), (Ok(()), Err(most_milli)), "{feature}");
        }
        // A feature that does not exist is told when rules are compiled.
        assert_eq!(with("shoe_size", 1e15), Ok(()));
    }

    /// What is no count and can be more than one is named one by one above.
    #[test]
    fn no_feature_is_more_than_is_thought() {
        let nothing = SignalEvent::new(0, SignalKind::Held, Outlet::Web, 1);
        let event = SignalEvent { people: 1_000, cheap: 1_000, cents: 1_000_000, list_cents: 1, ..nothing };
        let values = features(&Known::default(), &event);
        for (feature, value) in values.into_iter().enumerate() {
            assert!(as_counted(feature, value) <= most(feature) * 1.001, "{}: {value}", FEATURES[feature].0);
        }
    }

    #[test]
    fn a_rule_concerns_its_channel_and_museum_only() {
        let rule = Rule { museums: vec![3], outlets: Vec::new(), ..RuleSet::hard_defaults().rules().next().cloned().expect("one") };
        let set = RuleSet::new(vec![rule]).expect("compiles");
        let features = vector(&[("person_holds_1m", 99.0)]);
        for (outlet, museum, fires) in [(Outlet::Web, 3, true), (Outlet::Kiosk, 3, true), (Outlet::Web, 4, false)] {
            assert_eq!(set.ask(&features, outlet, museum).action.is_some(), fires);
        }
    }

    #[test]
    fn a_rule_may_say_that_somebody_goes_through_many_slots_within_minutes() {
        let rule = Rule { name: "many-slots".into(), conditions: vec![at_least("person_slots_10m", 4.0)], ..hard_defaults().remove(0) };
        let set = RuleSet::new(vec![rule]).expect("compiles");
        let held = |minute: i64, slot: u64| {
            let mut event = SignalEvent::new(minute * 60_000_000, SignalKind::Held, Outlet::Web, 1);
            event.slot = slot;
            event.parties.push(Taking { role: Role::Device, id: 7 });
            event
        };
        let mut store = Store::new(100);
        let mut fires = |event: &SignalEvent| {
            let fired = set.ask(&store.features(event), event.outlet, event.museum).action.is_some();
            store.fold(event);
            fired
        };
        // Slot after slot, then the same one again and again: the others are forgotten ten to twenty minutes later.
        let asked = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 4), (14, 4), (20, 4), (31, 4)];
        assert_eq!(asked.map(|(minute, slot)| fires(&held(minute, slot))), [false, false, false, false, true, true, false, false]);
    }

    #[test]
    fn what_cannot_be_compared_is_never_passed_over() {
        let good = Rule {
            name: "a".into(),
            conditions: vec![at_least("people", 3.0)],
            outlets: Vec::new(),
            museums: Vec::new(),
            action: Action::Review,
            it: String::new(),
            en: String::new(),
        };
        let with = |change: &dyn Fn(&mut Rule)| {
            let mut rule = good.clone();
            change(&mut rule);
            RuleSet::new(vec![rule]).map(drop)
        };
        assert_eq!(with(&|_| {}), Ok(()));
        assert!(matches!(with(&|rule| rule.conditions[0].feature = "shoe_size".into()), Err(BadRule::UnknownFeature { .. })));
        for threshold in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(with(&|rule| rule.conditions[0].threshold = threshold), Err(BadRule::BadThreshold("a".into())));
        }
        assert_eq!(with(&|rule| rule.conditions.clear()), Err(BadRule::NoCondition("a".into())));
        assert_eq!(RuleSet::new(vec![good.clone(), good.clone()]).map(drop), Err(BadRule::SameName("a".into())));
        let many = (0..=RULES_MAX).map(|i| Rule { name: i.to_string(), ..good.clone() }).collect();
        assert_eq!(RuleSet::new(many).map(drop), Err(BadRule::TooMany));
        let set = RuleSet::new(vec![good]).expect("compiles");
        assert_eq!(set.ask(&vector(&[("people", f32::NAN)]), Outlet::Web, 1).action, Some(Action::Review));
        assert!((as_counted(index_of("people").expect("known"), ln_1p(5.0)) - 5.0).abs() < 1e-4);
    }
}
