//! From what the journal's streams say is in force to what scorers ask: rules and models. A rule that cannot be asked is left out and reported; a model that cannot
//! be read leaves the one before at work.

use std::sync::Arc;

use tornello_engine::channel::Channel;
use tornello_engine::fraud_rules::{self, Op, Rule as WrittenRule};
use tornello_engine::ids::Code;
use tornello_engine::model_registry::{Model, ModelKind, Registered};
use tornello_engine::text::Text;
pub use tornello_models::fraud::rules::HARD_DEFAULTS_VERSION as BUILT_IN_VERSION;
use tornello_models::fraud::rules::{Action, BadRule, Comparison, Condition, Rule, RuleSet, hard_defaults, within_reach};

use super::hearing::outlet;
use super::judge::{Acting, Post};
use super::{Rules, Scoring};
use crate::defences::Defences;

/// Thresholds are written in thousandths.
const MILLI: f64 = 1_000.0;

/// A rule as scorers ask it.
#[must_use]
pub fn rule_of(written: &WrittenRule) -> Rule {
    let condition = |condition: &fraud_rules::Condition| Condition {
        feature: condition.feature.to_string(),
        comparison: match condition.op {
            Op::AtLeast => Comparison::AtLeast,
            Op::AtMost => Comparison::AtMost,
        },
        threshold: condition.threshold_milli as f64 / MILLI,
    };
    Rule {
        name: written.name.to_string(),
        conditions: written.when.iter().map(condition).collect(),
        outlets: written.channels.iter().map(|channel: &Channel| outlet(*channel)).collect(),
        museums: written.museums.iter().map(|museum| museum.0).collect(),
        action: match written.action {
            fraud_rules::Action::StepUp => Action::StepUp,
            fraud_rules::Action::Review => Action::Review,
            fraud_rules::Action::Block => Action::Block,
        },
        it: written.sentence.it.clone(),
        en: written.sentence.en.clone(),
    }
}

/// The rules that hold by themselves, as they would be written.
#[must_use]
pub fn built_in() -> Vec<WrittenRule> {
    hard_defaults().iter().filter_map(written).collect()
}

fn written(rule: &Rule) -> Option<WrittenRule> {
    let condition = |condition: &Condition| {
        Some(fraud_rules::Condition {
            feature: condition.feature.parse().ok()?,
            op: match condition.comparison {
                Comparison::AtLeast => Op::AtLeast,
                Comparison::AtMost => Op::AtMost,
            },
            threshold_milli: (condition.threshold * MILLI).round() as i64,
        })
    };
    Some(WrittenRule {
        name: rule.name.parse().ok()?,
        when: rule.conditions.iter().map(condition).collect::<Option<_>>()?,
        channels: Channel::ALL.into_iter().filter(|channel| rule.outlets.contains(&outlet(*channel))).collect(),
        museums: rule.museums.iter().map(|museum| tornello_engine::ids::MuseumId(*museum)).collect(),
        action: match rule.action {
            Action::StepUp => fraud_rules::Action::StepUp,
            Action::Review => fraud_rules::Action::Review,
            Action::Block => fraud_rules::Action::Block,
        },
        sentence: Text { it: rule.it.clone(), en: rule.en.clone() },
    })
}

/// A rule alone, as it may be in force already.
fn rule_set(written: &WrittenRule) -> Result<RuleSet, BadRule> {
    RuleSet::new(vec![rule_of(written)])
}

/// A rule alone, for whoever drafts or tries one: it can be asked, and its thresholds are such as their features can reach.
///
/// # Errors
/// Why it would be in force and do nothing, or act on everything.
pub fn draft_of(written: &WrittenRule) -> Result<RuleSet, BadRule> {
    within_reach(&rule_of(written))?;
    rule_set(written)
}

/// The rules in force, and the hard defaults whose names none of them has.
#[must_use]
pub fn rules_of(rules: &fraud_rules::Rules) -> Rules {
    let mut asked: Vec<Rule> = Vec::new();
    for written in rules.active() {
        match rule_set(&written.rule) {
            Ok(_) => asked.push(rule_of(&written.rule)),
            Err(error) => tracing::error!(rule = %written.rule.name, %error, "a rule that is in force cannot be asked and is left out"),
        }
    }
    let named = |name: &str| rules.active().any(|written| written.rule.name.as_str() == name);
    asked.extend(hard_defaults().into_iter().filter(|rule| !named(&rule.name)));
    let set = RuleSet::new(asked).unwrap_or_else(|error| {
        tracing::error!(%error, "the rules in force cannot be asked together; the hard defaults hold");
        RuleSet::hard_defaults()
    });
    Rules { version: rules.version(), set }
}

impl Scoring {
    /// Asks from now on the rules that are in force, and answers whether others were asked before. What was in force before those that are asked by now changes nothing.
    pub fn follow(&self, rules: &fraud_rules::Rules) -> bool {
        if rules.version() <= self.rules().version {
            return false;
        }
        let newer = rules_of(rules);
        let mut asked = self.rules.write();
        let differ = newer.version > asked.version;
        if differ {
            *asked = Arc::new(newer);
        }
        differ
    }

    /// The models that the registry says are to be at work: who acts, who challenges.
    #[must_use]
    pub fn wanted_models(&self, defences: &Defences) -> [Option<Code>; 2] {
        let models = defences.models(ModelKind::Fraud);
        [models.champion(), models.challengers().next()].map(|model| model.map(|model| model.registered.artifact))
    }

    /// Whether the registry says that other models are to be at work. One that was at fault there is not asked for again.
    #[must_use]
    pub fn has_other_models(&self, defences: &Defences) -> bool {
        let (models, judge) = (defences.models(ModelKind::Fraud), self.judge());
        let differs = |model: Option<&Model>, acting: Option<&Acting>| match (model, acting) {
            (Some(model), acting) => {
                let name = model.registered.artifact;
                Some(name) != acting.map(|acting| acting.code) && !judge.is_faulty(name)
            }
            (None, acting) => acting.is_some_and(|acting| acting.registered),
        };
        differs(models.champion(), judge.champion().as_deref()) || differs(models.challengers().next(), judge.challenger().as_deref())
    }

    /// Puts the models to work that the registry says, if they are not, and takes those from work that it does not name any more. Reads files: not on a thread that
    /// answers.
    pub fn follow_models(&self, defences: &Defences) {
        let models = defences.models(ModelKind::Fraud);
        let judge = self.judge();
        let put = |model: Option<&Model>, acting: Option<Code>, post: Post| {
            let Some(Registered { artifact, checksum, .. }) = model.map(|model| &model.registered) else {
                judge.dismiss(post);
                return;
            };
            if Some(*artifact) == acting || judge.is_faulty(*artifact) {
                return;
            }
            if let Err(error) = judge.put_to_work(*artifact, *checksum, post) {
                tracing::error!(%error, model = %artifact, ?post, "a registered fraud model cannot be put to work; what was at work goes on");
            }
        };
        put(models.champion(), judge.champion().map(|acting| acting.code), Post::Champion);
        put(models.challengers().next(), judge.challenger().map(|acting| acting.code), Post::Challenger);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_force_with_a_threshold_out_of_reach_is_asked_as_before_and_drafted_no_more() {
        let mut rule = built_in().remove(0);
        assert!(draft_of(&rule).is_ok());
        rule.when[0].threshold_milli = 10_i64.pow(18);
        assert!(matches!(draft_of(&rule), Err(BadRule::OutOfReach { .. })));
        assert!(rule_set(&rule).is_ok());
    }

    #[test]
    fn what_holds_by_itself_can_be_written_and_is_the_same_when_it_is_asked() {
        let asked: Vec<Rule> = built_in().iter().map(rule_of).collect();
        assert_eq!(asked, hard_defaults());
    }
}
