//! Makes a fraud model of a labelled table: fits the scorer that may act and the others that stand in its shadow, and seals each with a card.
//!
//! With at least 50 confirmed frauds the model that learns from labels is the champion, calibrated on the newest fifth of the rows; without them the scorer that
//! the shape of the rows chooses. The figures on a card come from a race inside the data: the first half trains, the second judges.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use tornello_datasets::labelled::{self, Labelled};
use tornello_models::artifact::{Artifact, CARD_FILE, Card, Kind, MODEL_FILE, Metric, Particulars, TrainingData};
use tornello_models::feature_list::FeatureList;
use tornello_models::fraud::preparation::{Preparation, Treatment};
use tornello_models::fraud::promotion::LABELS_MIN;
use tornello_models::fraud::rows::Rows;
use tornello_models::fraud::scorer::Scorer;
use tornello_models::fraud::select::{Shape, Unsupervised};
use tornello_models::fraud::supervised::Supervised;

use crate::progress::Progress;
use crate::race::{self, BLEND, Race, SEED};
use crate::source::Source;

/// The newest part of the rows, kept back to calibrate probabilities.
const CALIBRATION_SHARE: f64 = 0.2;
/// The rows of each kind that a fit needs before its scores say what those of another mean.
const OLDER_MIN: usize = 10;

/// The fitted models, the one that may act first.
pub struct Trained {
    /// Each with the name of its folder.
    pub models: Vec<(String, Artifact)>,
}

impl Trained {
    /// Writes each model into a folder of its own under `out`: `champion` and the shadows by their method. A shadow of a training before that this one does not have goes: it
    /// would stand beside a champion that it was never compared with.
    pub fn write(&self, out: &Path) -> anyhow::Result<()> {
        for (name, artifact) in &self.models {
            let folder = out.join(name);
            std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
            for (file, bytes) in [(MODEL_FILE, artifact.model.as_slice()), (CARD_FILE, artifact.card.as_bytes())] {
                let path = folder.join(file);
                std::fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
            }
        }
        let stale = Unsupervised::ALL.map(shadow).into_iter().filter(|shadow| self.models.iter().all(|(name, _)| name != shadow));
        stale.map(|name| out.join(name)).filter(|folder| folder.is_dir()).try_for_each(|folder| clear(&folder))
    }

    /// The one that may act.
    pub fn champion(&self) -> anyhow::Result<&Artifact> {
        Ok(&self.models.first().context("a training makes at least one model")?.1)
    }

    /// Its card.
    pub fn card(&self) -> anyhow::Result<Card> {
        Ok(self.champion()?.card()?)
    }
}

/// The folder of a scorer that does not act.
fn shadow(method: Unsupervised) -> String {
    format!("shadow-{}", method.name())
}

/// Takes a model away; its folder too, unless somebody keeps something else in it.
fn clear(folder: &Path) -> anyhow::Result<()> {
    for path in [MODEL_FILE, CARD_FILE].map(|file| folder.join(file)) {
        if path.exists() {
            std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    let is_empty = || Ok::<_, std::io::Error>(std::fs::read_dir(folder)?.next().is_none());
    let removing = || format!("removing {}", folder.display());
    if is_empty().with_context(removing)? { std::fs::remove_dir(folder).with_context(removing) } else { Ok(()) }
}

/// A card for people to read.
#[must_use]
pub fn show(card: &Card) -> String {
    let Particulars { method, created, code_revision, data, seed, settings, metrics, .. } = &card.particulars;
    let mut text = format!("model {} ({method}, code {code_revision}, {created})\n", card.id);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  fitted on {}: {} rows, {}, sha256 {}, seed {seed}", data.name, data.rows, data.period, data.sha256);
    let names: Vec<&str> = card.features.iter().map(|feature| feature.name.as_str()).collect();
    let _ = writeln!(text, "  {} features: {}", names.len(), names.join(", "));
    for (name, value) in settings {
        let _ = writeln!(text, "  {name}: {value}");
    }
    for metric in metrics {
        let _ = writeln!(text, "  {}: {:.4} ({})", metric.name, metric.value, metric.protocol);
    }
    text
}

/// Trains on a file (or on the payments that ship). The cards bear the time of the data and no clock's, so that the same data give the same cards to the byte.
pub fn train(data: Option<&Path>, progress: Progress) -> anyhow::Result<Trained> {
    let source = Source::open(data, labelled::PAYMENTS_FILE, labelled::PAYMENTS)?;
    let table = labelled::read(&source.name, source.text())?.by_time();
    let half: Vec<usize> = (0..table.len()).collect();
    let (first, second) = half.split_at(table.len() / 2);
    let judged = table.select(second);
    // Half of a small table may be too little for what all of it is enough for.
    let enough = first.len() > table.features.len();
    let is_measure = judged.positives() > 0 && judged.positives() < judged.len();
    let race = if enough && is_measure { Some(race::run(&table.select(first), &judged, progress)?) } else { None };
    let features = FeatureList::new(table.features.iter().map(|name| (name.clone(), "as in the data")))?;
    let particulars = |method: &str, entrant: &str, settings: &[(&str, String)]| Particulars {
        kind: Kind::Fraud,
        method: method.to_owned(),
        created: created(&table),
        code_revision: env!("CARGO_PKG_VERSION").to_owned(),
        data: TrainingData {
            name: source.name.rsplit('/').next().unwrap_or_default().to_owned(),
            sha256: source.sha256(),
            rows: table.len() as u64,
            period: period(&table),
        },
        seed: SEED,
        settings: settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        metrics: metrics(race.as_ref(), entrant),
        parent: None,
        approver: None,
    };
    let rows = race::rows(&table)?;
    let shape = Shape::of(&rows);
    let stage = progress.stage("models", 4);
    let mut models = Vec::new();
    if table.positives() >= LABELS_MIN && table.positives() < table.len() {
        let settings = [("labels", table.positives().to_string()), ("members", "logistic, probability forest, boosted trees".to_owned())];
        let champion = labelled_champion(&rows, &table.labels, &table.weights)?;
        models.push(("champion".to_owned(), Artifact::seal(&champion, &features, particulars("blend", BLEND, &settings))?));
    }
    stage.step();
    let acting = models.is_empty().then(|| shape.scorer());
    for method in Unsupervised::ALL {
        let scorer = Scorer::fit(method, &rows, Treatment::default(), SEED)?;
        let settings = [("smooth_columns", format!("{} of {}", shape.smooth, shape.columns))];
        let artifact = Artifact::seal(&scorer, &features, particulars(method.name(), method.name(), &settings))?;
        if acting == Some(method) {
            models.insert(0, ("champion".to_owned(), artifact));
        } else {
            models.push((shadow(method), artifact));
        }
        stage.step();
    }
    Ok(Trained { models })
}

/// Learns from all rows; the curve from score to probability is that of a fit on the older rows, taken on the newer ones, which that fit did not see. There a row
/// counts as often as it stands for: a file that has all frauds and few of the others does not say how frequent fraud is. With fewer than [`OLDER_MIN`] older rows of
/// a kind what their fit says means nothing for that on all rows, and the scores stand alone.
fn labelled_champion(rows: &Rows, labels: &[bool], weights: &[f64]) -> anyhow::Result<Scorer> {
    let preparation = Preparation::fit(rows, Treatment::default())?;
    let prepared = preparation.prepare_all(rows)?;
    let cut = rows.len() - (rows.len() as f64 * CALIBRATION_SHARE) as usize;
    let (older, newer) = (prepared.slice(0, cut), prepared.slice(cut, rows.len()));
    let whole = Supervised::fit(&prepared, labels, SEED)?;
    let frauds = labels[..cut].iter().filter(|&&label| label).count();
    let early = if frauds.min(cut - frauds) < OLDER_MIN { None } else { Supervised::fit(&older, &labels[..cut], SEED).ok() };
    let Some(early) = early else {
        let seen: Vec<f64> = prepared.iter().map(|row| whole.log_odds(row)).collect();
        return Ok(Scorer::supervised(preparation, whole, &seen)?);
    };
    let unseen: Vec<f64> = newer.iter().map(|row| early.log_odds(row)).collect();
    let mut scorer = Scorer::supervised(preparation, whole, &unseen)?;
    scorer.calibrate_weighted(&unseen, &labels[cut..], Some(&weights[cut..]))?;
    Ok(scorer)
}

fn metrics(race: Option<&Race>, entrant: &str) -> Vec<Metric> {
    let Some(standing) = race.and_then(|race| race.standing(entrant)) else { return Vec::new() };
    let figures = [("weighted_aucpr", standing.weighted_aucpr), ("aucpr", standing.aucpr), ("auc", standing.auc), ("recall", standing.recall)];
    figures.map(|(name, value)| Metric { protocol: "halves in order of time".to_owned(), name: name.to_owned(), value }).to_vec()
}

/// When the last of the data came: what was made of them is as old as they are.
fn created(table: &Labelled) -> String {
    match table.times_s.as_deref() {
        Some([.., last]) => format!("after second {last} of the data"),
        _ => "not stated".to_owned(),
    }
}

fn period(table: &Labelled) -> String {
    match table.times_s.as_deref() {
        Some([first, .., last]) => format!("second {first} to second {last}"),
        _ => "not stated".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tornello_models::fraud::chance::Chance;

    use super::*;

    #[test]
    fn a_small_table_makes_a_model_without_figures() {
        let mut text = "a,b,c,d,e,f,g,h,i,j,k,l,label\n".to_owned();
        let mut chance = Chance::new(6);
        for row in 0..20 {
            for _ in 0..12 {
                let _ = write!(text, "{:.3},", chance.normal());
            }
            let _ = writeln!(text, "{}", u8::from(row == 15));
        }
        let path = std::env::temp_dir().join(format!("tornello-train-small-{}.csv", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let card = train(Some(&path), Progress::Hidden).unwrap().card().unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!((card.particulars.method.as_str(), card.particulars.data.rows, card.particulars.metrics.len()), ("robust_covariance", 20, 0));
    }

    fn file(name: &str, frauds: usize) -> std::path::PathBuf {
        let mut chance = Chance::new(3);
        let mut text = "time_s,amount,age,speed,label\n".to_owned();
        for row in 0..3_000 {
            let fraud = row % (3_000 / frauds) == 1;
            let shift = if fraud { 4.0 } else { 0.0 };
            let _ = writeln!(text, "{row},{:.4},{:.4},{:.4},{}", chance.normal() + shift, chance.normal(), chance.normal(), u8::from(fraud));
        }
        let path = std::env::temp_dir().join(format!("tornello-train-{name}-{}.csv", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn labels_make_the_champion_and_the_same_data_the_same_bytes() {
        let path = file("labels", 150);
        let (first, second) = (train(Some(&path), Progress::Hidden).unwrap(), train(Some(&path), Progress::Hidden).unwrap());
        let names: Vec<&str> = first.models.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["champion", "shadow-robust_covariance", "shadow-isolation_forest", "shadow-tails"]);
        for ((name, one), (_, other)) in first.models.iter().zip(&second.models) {
            assert_eq!(one.model, other.model, "{name}");
            assert_eq!((&one.card, one.card().unwrap().particulars.created), (&other.card, "after second 2999 of the data".to_owned()), "{name}");
        }
        let card = first.card().unwrap();
        assert_eq!((card.particulars.method.as_str(), card.particulars.data.rows), ("blend", 3_000));
        assert!(card.particulars.metrics.iter().any(|metric| metric.name == "weighted_aucpr" && metric.value > 0.9), "{card:?}");
        let features = FeatureList::new(["amount", "age", "speed"].map(|name| (name, "as in the data"))).unwrap();
        let champion = first.models[0].1.open::<Scorer>(Kind::Fraud, &features).unwrap().check().unwrap();
        let (fraud, honest) = (champion.score([4.5, 0.0, 0.0].into_iter()), champion.score([0.0; 3].into_iter()));
        assert!(fraud.probability > honest.probability && fraud.score > honest.score);
        let out = std::env::temp_dir().join(format!("tornello-train-out-{}", std::process::id()));
        first.write(&out).unwrap();
        let written = std::fs::read(out.join("champion").join(MODEL_FILE)).unwrap();
        let card = std::fs::read_to_string(out.join("champion").join(CARD_FILE)).unwrap();
        std::fs::remove_dir_all(&out).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!((written, card), (first.models[0].1.model.clone(), first.models[0].1.card.clone()));
    }

    #[test]
    fn rows_of_one_kind_measure_nothing() {
        let mut chance = Chance::new(5);
        let mut text = "a,b,label\n".to_owned();
        for row in 0..400 {
            let _ = writeln!(text, "{:.3},{:.3},{}", chance.normal(), chance.normal(), u8::from(row >= 150));
        }
        let path = std::env::temp_dir().join(format!("tornello-train-kinds-{}.csv", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let card = train(Some(&path), Progress::Hidden).unwrap().card().unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!((card.particulars.method.as_str(), card.particulars.metrics), ("blend", Vec::new()), "the second half is all fraud");
    }

    /// The shipped payments have all frauds and an eleventh of the others.
    #[test]
    fn a_probability_is_that_of_what_the_rows_stand_for() {
        let mut chance = Chance::new(4);
        let mut drawn = |fraud: bool| [chance.normal() + if fraud { 1.0 } else { 0.0 }, chance.normal(), chance.normal()];
        let labels: Vec<bool> = (0..2_000).map(|row| row % 10 == 3).collect();
        let rows = Rows::new(3, labels.iter().flat_map(|&fraud| drawn(fraud)).collect()).unwrap();
        let weights: Vec<f64> = labels.iter().map(|&fraud| if fraud { 1.0 } else { 20.0 }).collect();
        let champion = labelled_champion(&rows, &labels, &weights).unwrap();
        let (mut said, mut all) = (0.0, 0.0);
        for row in 0..2_000 {
            let (fraud, weight) = if row % 10 == 3 { (true, 1.0) } else { (false, 20.0) };
            said += weight * champion.score(drawn(fraud).into_iter()).probability.unwrap();
            all += weight;
        }
        let (said, is) = (said / all, 0.1 / (0.1 + 0.9 * 20.0));
        assert!(said > is / 3.0 && said < is * 3.0, "{said} is said of what is fraud in {is}");
        // Too few frauds are old enough to learn from: nothing is said.
        let late: Vec<bool> = (0..2_000).map(|row| row == 7 || row >= 1_900).collect();
        let champion = labelled_champion(&rows, &late, &weights).unwrap();
        assert_eq!((champion.is_calibrated(), champion.score([0.0; 3].into_iter()).probability), (false, None));
    }

    #[test]
    fn without_labels_the_shape_makes_the_champion() {
        let path = file("few", 20);
        let trained = train(Some(&path), Progress::Hidden).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(trained.card().unwrap().particulars.method, "tails");
        assert_eq!(trained.models.len(), 3);
        // Where a training stood that had this one in its shadow nothing of that is left but what somebody put there.
        let out = std::env::temp_dir().join(format!("tornello-train-over-{}", std::process::id()));
        let stale = out.join("shadow-tails");
        for kept in [false, true] {
            std::fs::create_dir_all(&stale).unwrap();
            for file in [MODEL_FILE, CARD_FILE].into_iter().chain(kept.then_some("notes.txt")) {
                std::fs::write(stale.join(file), "of before").unwrap();
            }
            trained.write(&out).unwrap();
            assert_eq!([MODEL_FILE, CARD_FILE, "notes.txt"].map(|file| stale.join(file).exists()), [false, false, kept]);
            assert_eq!(stale.exists(), kept);
        }
        for (name, artifact) in &trained.models {
            assert_eq!(std::fs::read(out.join(name).join(MODEL_FILE)).unwrap(), artifact.model, "{name}");
        }
        std::fs::remove_dir_all(&out).unwrap();
    }
}
