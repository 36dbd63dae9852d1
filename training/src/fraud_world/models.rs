//! The models that are judged: each of the unsupervised scorers on its own, and what can be learned from the verdicts that reviews have brought. One model for each
//! queue, as what happens at a desk has little in common with what happens on the web; a queue with too little to learn from is read by one that was fitted on everything.

use std::collections::{BTreeMap, HashMap, HashSet};

use tornello_datasets::fraud_world::{Attack, Nature};
use tornello_models::ModelError;
use tornello_models::fraud::behaviours::Plan;
use tornello_models::fraud::preparation::{Preparation, Treatment};
use tornello_models::fraud::rows::Rows;
use tornello_models::fraud::scorer::Scorer;
use tornello_models::fraud::select::Unsupervised;
use tornello_models::fraud::signals::{N, WEIGHTS, behaviours, groups};
use tornello_models::fraud::supervised::Supervised;

use super::judge::{Cases, Said, Why};
use super::run::{Acting, History, Queue, Scored};

/// Rows of a queue below which it gets no model of its own.
pub const ROWS_MIN: usize = 2_000;
/// The most rows that one is fitted on, evenly picked: more make it slower and no better.
const ROWS_MAX: usize = 40_000;
/// Labels of fraud below which nothing is learned from labels, as for a promotion.
const LABELS_MIN: usize = 50;
/// Verdicts that are wrong: analysts err.
const VERDICT_WRONG: f64 = 0.03;
/// What nobody has complained about for so long is taken as honest.
const LEGIT_AFTER_DAYS: i64 = 30;
/// When the owner of a stolen card has seen it on the statement, in days.
const CHARGEBACK_DAYS: (u64, u64) = (8, 25);
/// Signals are logarithms already; their far tails are noise.
const TREATMENT: Treatment = Treatment { logarithm: false, clip: true };

/// A way to score without labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// One that knows nothing of what columns mean.
    Blind(Unsupervised),
    /// By behaviours: what a node fits by itself.
    Behaviours,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Blind(Unsupervised::RobustCovariance), Self::Blind(Unsupervised::IsolationForest), Self::Blind(Unsupervised::Tails), Self::Behaviours];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blind(method) => method.name(),
            Self::Behaviours => "behaviours",
        }
    }

    fn fit(self, rows: &Rows, seed: u64) -> Result<Scorer, ModelError> {
        match self {
            Self::Blind(method) => Scorer::fit(method, rows, TREATMENT, seed)?.explained_by(&groups()),
            // Far ends are what is looked for.
            Self::Behaviours => {
                Scorer::fit_behaviours(rows, Treatment { clip: false, ..TREATMENT }, Plan { groups: &behaviours(), weights: &WEIGHTS })
            }
        }
    }
}

/// The models of all queues.
pub type Models = BTreeMap<Queue, Scorer>;

/// Fits an unsupervised scorer for each queue on the days `from..to`.
pub fn unsupervised(history: &History, way: Way, from: i64, to: i64, seed: u64) -> Result<Models, ModelError> {
    let all: Vec<&Scored> = history.scored.iter().filter(|scored| (from..to).contains(&scored.day())).collect();
    let common = way.fit(&table(&all)?, seed)?;
    let mut models = Models::new();
    for queue in Queue::ALL {
        let rows: Vec<&Scored> = all.iter().filter(|scored| scored.queue == queue).copied().collect();
        let own = rows.len() >= ROWS_MIN;
        models.insert(queue, if own { way.fit(&table(&rows)?, seed)? } else { common.clone() });
    }
    Ok(models)
}

/// What the models say of everything.
pub fn say(history: &History, models: &Models) -> Vec<Option<Said>> {
    let say = |scored: &Scored| {
        let scorer = models.get(&scored.queue)?;
        let said = scorer.score(scored.features.iter().map(|value| f64::from(*value)));
        Some(Said {
            score: said.score,
            percentile: said.percentile.into(),
            reasons: said.reasons,
            examined: None,
            suspect_inputs: said.suspect_inputs,
        })
    };
    history.scored.iter().map(say).collect()
}

/// Works the reasons of cases out exactly, at the highest score of their day. A node does not: it shows the reasons that the score itself gives, of what opened the case and of
/// the highest score of the day. How often these name the cause is counted apart ([`super::Fared::shown_agreed`]).
pub fn examine(history: &History, models: &Models, cases: &Cases, said: &mut [Option<Said>]) -> Result<(), ModelError> {
    for case in cases.cases.values().filter(|case| case.why == Why::Model) {
        let scored = &history.scored[case.worst];
        if let (Some(scorer), Some(said)) = (models.get(&scored.queue), &mut said[case.worst]) {
            said.examined = Some(scorer.examine(scored.features.iter().map(|value| f64::from(*value)))?);
        }
    }
    Ok(())
}

/// What several models say together: the mean of how rare each finds it, as minus the logarithm of the share that is stranger, with the reasons of the one that
/// finds it rarest. No one of them is best on every attack, and this needs no label to choose.
pub fn together(each: &[Vec<Option<Said>>]) -> Vec<Option<Said>> {
    /// The least share that a sample of some ten thousand can tell from none.
    const LEAST: f64 = 1e-4;
    let rarity = |said: &Said| -(1.0 - said.percentile + LEAST).ln();
    let all = each.first().map_or(0, Vec::len);
    let one = |at: usize| {
        let said: Vec<Said> = each.iter().filter_map(|each| each[at]).collect();
        let rarest = said.iter().copied().max_by(|a, b| rarity(a).total_cmp(&rarity(b)))?;
        let mean = said.iter().map(rarity).sum::<f64>() / said.len() as f64;
        Some(Said { score: mean / (mean + 1.0), ..rarest })
    };
    (0..all).map(one).collect()
}

fn table(rows: &[&Scored]) -> Result<Rows, ModelError> {
    let step = rows.len().div_ceil(ROWS_MAX).max(1);
    let values = rows.iter().step_by(step).flat_map(|scored| scored.features.iter().map(|value| f64::from(*value))).collect();
    Rows::new(N, values)
}

/// What is known by the day `day` of what was scored before: true for fraud.
///
/// A verdict counts for all that the one it is about did on that day. A card that was stolen comes back as a chargeback. What is older than [`LEGIT_AFTER_DAYS`] and
/// was not called fraud counts as honest, which is wrong for every attacker that nobody noticed.
pub fn labels(history: &History, cases: &Cases, day: i64, seed: u64) -> Vec<Option<bool>> {
    let mut verdicts: HashMap<(Acting, i64), bool> = HashMap::new();
    for (who, case) in &cases.cases {
        let is_fraud = history
            .truth
            .deed(history.scored[case.at].intent)
            .is_some_and(|deed| matches!(history.truth.nature(deed.agent), Some(Nature::Attacker(..))));
        // What a rule refuses is not read by anybody; those who appeal are few.
        if case.why != Why::Blocked {
            let errs = unit(seed ^ history.scored[case.at].intent) < VERDICT_WRONG;
            verdicts.insert(*who, is_fraud != errs);
        }
    }
    let disputed: HashSet<u64> = history
        .scored
        .iter()
        .filter(|scored| scored.charged)
        .filter(|scored| {
            let deed = history.truth.deed(scored.intent);
            let stolen = matches!(deed.and_then(|deed| history.truth.nature(deed.agent)), Some(Nature::Attacker(Attack::CardTesting, _)));
            let (least, most) = CHARGEBACK_DAYS;
            let after = least + mixed(seed ^ scored.intent) % (most - least + 1);
            stolen && scored.day() + after.cast_signed() < day
        })
        .map(|scored| scored.intent)
        .collect();
    let label = |scored: &Scored| {
        if scored.day() >= day {
            return None;
        }
        if disputed.contains(&scored.intent) {
            return Some(true);
        }
        let verdict = scored.acting.and_then(|acting| verdicts.get(&(acting, scored.day()))).copied();
        verdict.or_else(|| (scored.day() + LEGIT_AFTER_DAYS < day).then_some(false))
    };
    history.scored.iter().map(label).collect()
}

/// Fits what can be learned from labels for each queue that has enough; the others keep what they have. Answers with how many labels of fraud, by queue.
pub fn supervised(history: &History, labels: &[Option<bool>], fallback: &Models, seed: u64) -> Result<(Models, BTreeMap<Queue, usize>), ModelError> {
    let (mut models, mut counts) = (fallback.clone(), BTreeMap::new());
    for queue in Queue::ALL {
        let known: Vec<(&Scored, bool)> = history
            .scored
            .iter()
            .zip(labels)
            .filter(|(scored, _)| scored.queue == queue)
            .filter_map(|(scored, label)| label.map(|label| (scored, label)))
            .collect();
        let frauds = known.iter().filter(|(_, label)| *label).count();
        counts.insert(queue, frauds);
        if frauds < LABELS_MIN || known.len() < ROWS_MIN || frauds == known.len() {
            continue;
        }
        // The honest are many: as many as make the table full, evenly picked.
        let step = (known.len() - frauds).div_ceil(ROWS_MAX).max(1);
        let mut honest = 0;
        let picked: Vec<&(&Scored, bool)> = known
            .iter()
            .filter(|(_, label)| {
                honest += usize::from(!label);
                *label || honest % step == 0
            })
            .collect();
        let rows: Vec<&Scored> = picked.iter().map(|(scored, _)| *scored).collect();
        let flags: Vec<bool> = picked.iter().map(|(_, label)| *label).collect();
        let values = rows.iter().flat_map(|scored| scored.features.iter().map(|value| f64::from(*value))).collect();
        let table = Rows::new(N, values)?;
        let preparation = Preparation::fit(&table, TREATMENT)?;
        let prepared = preparation.prepare_all(&table)?;
        let model = Supervised::fit(&prepared, &flags, seed)?;
        let raw: Vec<f64> = prepared.iter().map(|row| model.log_odds(row)).collect();
        models.insert(queue, Scorer::supervised(preparation, model, &raw)?.explained_by(&groups())?);
    }
    Ok((models, counts))
}

const fn mixed(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

fn unit(bits: u64) -> f64 {
    (mixed(bits) >> 11) as f64 / (1_u64 << 53) as f64
}
