//! Makes a fraud model of what a node has found out: the features of what was assessed, with what analysts, banks and gates said of it since. The model is fed what a
//! node feeds its own, so it can act there.
//!
//! Nothing newer helps to judge what is older: the cases are cut into quarters in order of time, each quarter but the first is scored by a model of what had happened and
//! was known when it began, and these scores, which no model was fitted on, teach what a score means as a probability. The figures on the card are those of the newest
//! quarter, by a curve that was taken from the quarters before. Cases that are too new for honesty to be known of them are in no quarter: nearly all that is known of
//! them is fraud. The model that is made learns from them all the same.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};
pub use tornello_models::artifact::Artifact;
use tornello_models::artifact::{Kind, Metric, Particulars, TrainingData, hexadecimal};
use tornello_models::discrimination::{Outcome, auc, aucpr, brier, outcomes};
use tornello_models::feature_list::FeatureList;
use tornello_models::fraud::calibration::Isotonic;
use tornello_models::fraud::drift::Reference;
use tornello_models::fraud::preparation::{Preparation, Treatment};
use tornello_models::fraud::promotion::LABELS_MIN;
use tornello_models::fraud::rows::Rows;
use tornello_models::fraud::scorer::{CALIBRATION_LABELS_MIN, Scorer};
use tornello_models::fraud::signals::{FEATURES, N, groups};
use tornello_models::fraud::supervised::Supervised;

use crate::race::SEED;

/// Into how many parts the cases are cut, in order of time.
const PARTS: usize = 4;
/// What judges: the figures' protocol.
const PROTOCOL: &str = "newest quarter of the cases that are old enough";
/// The part of cases that are too new to judge by.
const TOO_NEW: usize = PARTS;
/// A quarter is scored by a model of the time before it only if that had so many rows of each kind.
const BEFORE_MIN: usize = 10;

/// Something that was asked for, and what became known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The number of its case; a case may have several.
    pub case: u64,
    /// When it was asked for, in UTC microseconds.
    pub at_us: i64,
    /// The features, in the order of the node's list.
    pub features: Vec<f32>,
    /// Whether it was fraud.
    pub fraud: bool,
    /// From when on a model may learn that, in UTC microseconds.
    pub known_at_us: i64,
    /// Whether its case is old enough that honesty could be known of it as well: only such cases say how frequent fraud is.
    pub settled: bool,
}

/// What there is to learn.
#[derive(Debug, Clone, Default)]
pub struct Lessons {
    /// Of what the truth is known.
    pub labelled: Vec<Example>,
    /// Features of what usually happens, whatever the truth: what scores are compared with.
    pub usual: Vec<Vec<f32>>,
    /// The same by channel, for what is fed later to be held against; it goes with the model.
    pub reference: Option<Reference>,
    /// What else stands on the card, by name.
    pub about: Vec<(String, String)>,
}

/// Fits the model that learns, calibrates it, and seals it with its card. The same lessons give the same bytes; `created` stands on the card only.
pub fn train(lessons: &Lessons, created: &str) -> anyhow::Result<Artifact> {
    let mut examples: Vec<&Example> = lessons.labelled.iter().collect();
    ensure!(examples.iter().all(|example| example.features.len() == N), "rows of {N} features are expected");
    examples.sort_by_key(|example| (example.at_us, example.case));
    // A case stands where its first event does.
    let mut first: BTreeMap<u64, (usize, &Example)> = BTreeMap::new();
    for (place, example) in examples.iter().enumerate() {
        first.entry(example.case).or_insert((place, *example));
    }
    let frauds = first.values().filter(|(_, example)| example.fraud).count();
    let honest = first.len() - frauds;
    ensure!(
        frauds >= LABELS_MIN && honest >= LABELS_MIN,
        "{LABELS_MIN} cases of fraud and {LABELS_MIN} of honest buyers are needed to learn from; there are {frauds} and {honest}"
    );
    let settled = first.iter().filter(|(_, (_, example))| example.settled);
    let mut order: Vec<(usize, u64)> = settled.map(|(case, (place, _))| (*place, *case)).collect();
    order.sort_unstable();
    let part_of: BTreeMap<u64, usize> = order.iter().enumerate().map(|(rank, (_, case))| (*case, rank * PARTS / order.len())).collect();
    let parts: Vec<usize> = examples.iter().map(|example| part_of.get(&example.case).copied().unwrap_or(TOO_NEW)).collect();
    let labels: Vec<bool> = examples.iter().map(|example| example.fraud).collect();

    let usual = if lessons.usual.is_empty() { examples.iter().map(|example| &example.features).collect() } else { lessons.usual.iter().collect() };
    let usual = table(usual)?;
    // The features are logarithms already, and their far ends are what is looked for.
    let preparation = Preparation::fit(&usual, Treatment { logarithm: false, clip: false })?;
    let rows = preparation.prepare_all(&table(examples.iter().map(|example| &example.features).collect())?)?;
    let unseen = unseen(&rows, &examples, &parts);
    let metrics = judged(&unseen, &labels, &parts);

    let model = Supervised::fit(&rows, &labels, SEED).context("fitting on all that is known")?;
    let raw: Vec<f64> = preparation.prepare_all(&usual)?.iter().map(|row| model.log_odds(row)).collect();
    let mut scorer = Scorer::supervised(preparation, model, &raw)?.explained_by(&groups())?;
    let (scores, truths): (Vec<f64>, Vec<bool>) = unseen.iter().zip(&labels).filter_map(|(raw, label)| Some((((*raw)?), *label))).unzip();
    scorer.calibrate(&scores, &truths)?;

    let mut settings: Vec<(String, String)> = vec![
        ("members".to_owned(), "logistic, probability forest, boosted trees".to_owned()),
        ("cases".to_owned(), format!("{frauds} of fraud, {honest} of honest buyers")),
        ("cases_too_new_to_judge_by".to_owned(), (first.len() - order.len()).to_string()),
        ("says_probability".to_owned(), if scorer.is_calibrated() { format!("yes, by {} rows", scores.len()) } else { too_few(scores.len()) }),
    ];
    settings.extend(lessons.about.iter().cloned());
    let at = |example: Option<&&Example>| example.map_or(0, |example| example.at_us);
    let particulars = Particulars {
        kind: Kind::Fraud,
        method: "blend".to_owned(),
        created: created.to_owned(),
        code_revision: env!("CARGO_PKG_VERSION").to_owned(),
        data: TrainingData {
            name: "labelled cases of a journal".to_owned(),
            sha256: digest(&examples),
            rows: examples.len() as u64,
            period: format!("{} to {} (microseconds, UTC)", at(examples.first()), at(examples.last())),
        },
        seed: SEED,
        settings,
        metrics,
        parent: None,
        approver: None,
    };
    let features = FeatureList::new(FEATURES)?;
    Ok(match &lessons.reference {
        Some(reference) => Artifact::seal(&(&scorer, reference), &features, particulars)?,
        None => Artifact::seal(&scorer, &features, particulars)?,
    })
}

fn too_few(rows: usize) -> String {
    format!("no: {rows} rows of both kinds that no model was fitted on, and {CALIBRATION_LABELS_MIN} are needed")
}

fn table(rows: Vec<&Vec<f32>>) -> anyhow::Result<Rows> {
    ensure!(rows.iter().all(|row| row.len() == N), "rows of {N} features are expected");
    Ok(Rows::new(N, rows.into_iter().flatten().map(|value| f64::from(*value)).collect())?)
}

/// The log odds of each row by a model of what had happened and was known when its part began; none in the first part, of what is too new, and where too little was
/// known.
fn unseen(rows: &Rows, examples: &[&Example], parts: &[usize]) -> Vec<Option<f64>> {
    let mut unseen = vec![None; examples.len()];
    for part in 1..PARTS {
        let of_part = examples.iter().zip(parts).filter(|(_, of)| **of == part);
        let Some(begins) = of_part.map(|(example, _)| example.at_us).min() else { continue };
        let was_known = |row: usize| parts[row] < part && examples[row].at_us < begins && examples[row].known_at_us <= begins;
        let before: Vec<usize> = (0..examples.len()).filter(|&row| was_known(row)).collect();
        let known: Vec<bool> = before.iter().map(|&row| examples[row].fraud).collect();
        let frauds = known.iter().filter(|fraud| **fraud).count();
        if frauds < BEFORE_MIN || known.len() - frauds < BEFORE_MIN {
            continue;
        }
        let Ok(model) = Supervised::fit(&rows.select(&before), &known, SEED) else { continue };
        for row in (0..examples.len()).filter(|&row| parts[row] == part) {
            unseen[row] = Some(model.log_odds(rows.row(row)));
        }
    }
    unseen
}

/// The figures of the newest part.
fn judged(unseen: &[Option<f64>], labels: &[bool], parts: &[usize]) -> Vec<Metric> {
    let of = |wanted: &dyn Fn(usize) -> bool| -> (Vec<f64>, Vec<bool>) {
        (0..labels.len()).filter(|&row| wanted(parts[row])).filter_map(|row| Some((unseen[row]?, labels[row]))).unzip()
    };
    let (newest, truths) = of(&|part| part == PARTS - 1);
    let both = |truths: &[bool]| truths.contains(&true) && truths.contains(&false);
    if !both(&truths) {
        return Vec::new();
    }
    let metric = |name: &str, value: f64| Metric { protocol: PROTOCOL.to_owned(), name: name.to_owned(), value };
    let ranked = outcomes(&newest, &truths, None);
    let share = |truths: &[bool]| truths.iter().filter(|truth| **truth).count() as f64 / truths.len() as f64;
    let mut metrics = vec![metric("auc", auc(&ranked)), metric("aucpr", aucpr(&ranked)), metric("share_of_fraud", share(&truths))];
    let (scores, earlier) = of(&|part| part < PARTS - 1);
    if let Ok(curve) = Isotonic::fit(&scores, &earlier)
        && both(&earlier)
    {
        let said: Vec<f64> = newest.iter().map(|score| curve.probability(*score)).collect();
        let constant = vec![share(&earlier); truths.len()];
        let against = |said: &[f64]| -> Vec<Outcome> { outcomes(said, &truths, None) };
        metrics.push(metric("mean_probability", said.iter().sum::<f64>() / said.len() as f64));
        metrics.push(metric("brier", brier(&against(&said))));
        metrics.push(metric("brier_of_always_the_same", brier(&against(&constant))));
    }
    metrics
}

/// SHA-256 over what was learned, in hexadecimal digits.
fn digest(examples: &[&Example]) -> String {
    let mut hash = Sha256::new();
    for example in examples {
        hash.update(example.case.to_le_bytes());
        hash.update(example.at_us.to_le_bytes());
        hash.update(example.known_at_us.to_le_bytes());
        hash.update([u8::from(example.fraud), u8::from(example.settled)]);
        example.features.iter().for_each(|value| hash.update(value.to_bits().to_le_bytes()));
    }
    hexadecimal(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use tornello_models::artifact::decode_with;
    use tornello_models::fraud::chance::Chance;
    use tornello_models::fraud::drift::Fed;
    use tornello_models::fraud::signals::Outlet;

    use super::*;

    /// Cases of two rows each, of which every third is fraud: high in two features, as far as chance lets it be.
    fn lessons(cases: u64) -> Lessons {
        let mut chance = Chance::new(11);
        let mut lessons = Lessons::default();
        for case in 0..cases {
            let fraud = case % 3 == 0;
            for event in 0..2 {
                let shift = if fraud { 1.5 } else { 0.0 };
                let features = (0..N).map(|column| (1.5 + chance.normal() * 0.5 + if column < 2 { shift } else { 0.0 }).max(0.0) as f32).collect();
                let at_us = (case * 10 + event) as i64 * 1_000_000;
                lessons.labelled.push(Example { case, at_us, features, fraud, known_at_us: at_us + 1_000_000, settled: true });
            }
        }
        lessons.usual = (0..500).map(|_| (0..N).map(|_| (1.5 + chance.normal() * 0.5).max(0.0) as f32).collect()).collect();
        lessons
    }

    fn figure(artifact: &Artifact, name: &str) -> f64 {
        let metrics = artifact.card().unwrap().particulars.metrics;
        metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("{name}: {metrics:?}")).value
    }

    #[test]
    fn what_is_learned_is_calibrated_and_the_same_each_time() {
        let lessons = lessons(400);
        let (first, mut shuffled) = (train(&lessons, "now").unwrap(), lessons.clone());
        shuffled.labelled.reverse();
        let again = train(&shuffled, "later").unwrap();
        assert_eq!(first.model, again.model);
        assert_eq!(first.card().unwrap().particulars.data, again.card().unwrap().particulars.data);
        assert!(figure(&first, "auc") > 0.95 && figure(&first, "aucpr") > 0.9, "{}", first.card);
        assert!(figure(&first, "brier") < 0.5 * figure(&first, "brier_of_always_the_same"), "{}", first.card);
        assert!((figure(&first, "mean_probability") - figure(&first, "share_of_fraud")).abs() < 0.1, "{}", first.card);
        let scorer: Scorer = first.open(Kind::Fraud, &FeatureList::new(FEATURES).unwrap()).unwrap();
        let scorer = scorer.check().unwrap();
        let said = |high: f64| scorer.score((0..N).map(|column| if column < 2 { high } else { 1.5 })).probability.unwrap();
        assert!(said(1.5) < 0.1 && said(3.5) > 0.9, "{} {}", said(1.5), said(3.5));
    }

    #[test]
    fn what_was_usual_goes_with_the_model() {
        let alone = lessons(240);
        let fed = alone.usual.iter().map(|features| Fed { at_us: 7, outlet: Outlet::Web, features });
        let reference = Reference::fit(fed).unwrap();
        let sealed = train(&Lessons { reference: Some(reference.clone()), ..alone.clone() }, "now").unwrap();
        let features = FeatureList::new(FEATURES).unwrap();
        let (scorer, read): (Scorer, Option<Reference>) = decode_with(&sealed.model, Kind::Fraud, &features).unwrap();
        assert_eq!(read, Some(reference));
        assert_eq!(train(&alone, "now").unwrap().open::<Scorer>(Kind::Fraud, &features), Ok(scorer), "it learns the same");
    }

    /// The scores that no model was fitted on, of some examples in four parts.
    fn unseen_of(labelled: &[Example]) -> Vec<Option<f64>> {
        let examples: Vec<&Example> = labelled.iter().collect();
        let parts: Vec<usize> = (0..examples.len()).map(|row| row * PARTS / examples.len()).collect();
        unseen(&table(examples.iter().map(|example| &example.features).collect()).unwrap(), &examples, &parts)
    }

    #[test]
    fn what_became_known_later_changes_nothing_that_was_judged_before() {
        let mut labelled = lessons(120).labelled;
        let as_it_was = unseen_of(&labelled);
        assert_eq!(as_it_was.iter().filter(|score| score.is_some()).count(), 180, "all but the first quarter");
        // Of a case of the first quarter the opposite is said: in time, it counts in each later quarter; too late, in none.
        let turned = |labelled: &mut Vec<Example>, known_at_us: i64| {
            for example in labelled.iter_mut().filter(|example| example.case == 7) {
                (example.fraud, example.known_at_us) = (true, known_at_us);
            }
        };
        turned(&mut labelled, 90_000_000);
        assert_ne!(unseen_of(&labelled), as_it_was);
        turned(&mut labelled, i64::MAX);
        let said_late = unseen_of(&labelled);
        for example in labelled.iter_mut().filter(|example| example.case == 7) {
            example.fraud = false;
        }
        assert_eq!(unseen_of(&labelled), said_late);
        // Where nothing was known in time, nothing is scored.
        labelled.iter_mut().for_each(|example| example.known_at_us = i64::MAX);
        assert!(unseen_of(&labelled).iter().all(Option::is_none));
    }

    #[test]
    fn cases_of_which_only_fraud_can_be_known_yet_are_learned_and_measure_nothing() {
        let lessons = lessons(240);
        let last = lessons.labelled.last().unwrap().at_us;
        let mut with_new = lessons.clone();
        for case in 0..60_u64 {
            let at_us = last + 1 + case as i64;
            let like = lessons.labelled[0].clone();
            with_new.labelled.push(Example { case: 1_000 + case, at_us, known_at_us: at_us, fraud: true, settled: false, ..like });
        }
        let (old, new) = (train(&lessons, "now").unwrap(), train(&with_new, "now").unwrap());
        let metrics = |artifact: &Artifact| artifact.card().unwrap().particulars.metrics;
        assert_eq!(metrics(&old), metrics(&new));
        assert_ne!(old.model, new.model, "they are learned");
        let settings = new.card().unwrap().particulars.settings;
        assert!(settings.contains(&("cases_too_new_to_judge_by".to_owned(), "60".to_owned())), "{settings:?}");
        // Counted among the others they would have made fraud seem more frequent than it is.
        with_new.labelled.iter_mut().for_each(|example| example.settled = true);
        assert_ne!(metrics(&train(&with_new, "now").unwrap()), metrics(&old));
    }

    #[test]
    fn too_little_is_not_learned_from() {
        let told = train(&lessons(120), "now").unwrap_err().to_string();
        assert_eq!(told, "50 cases of fraud and 50 of honest buyers are needed to learn from; there are 40 and 80");
        let mut narrow = lessons(400);
        narrow.labelled[7].features.pop();
        assert!(train(&narrow, "now").is_err());
    }
}
