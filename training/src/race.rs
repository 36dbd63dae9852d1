//! All scorers of fraud beside each other, fitted on one labelled table and judged on another: floors, the three that need no labels and, where training has
//! labels enough, those that learn from them. The protocols say which rows those are.

use anyhow::Context;
use tornello_datasets::labelled::Labelled;
use tornello_models::discrimination::{auc, aucpr, outcomes, recall_in};
use tornello_models::fraud::preparation::{Preparation, Treatment};
use tornello_models::fraud::promotion::LABELS_MIN;
use tornello_models::fraud::rows::Rows;
use tornello_models::fraud::scorer::Scorer;
use tornello_models::fraud::select::{Shape, Unsupervised};
use tornello_models::fraud::supervised::{Shares, Supervised};

use crate::histograms::Histograms;
use crate::progress::Progress;
use crate::report::Comparison;

/// The seed of all that is drawn in the protocols of fraud.
pub const SEED: u64 = 7;
/// The share of events that analysts look at.
pub const ALERT_SHARE: f64 = 0.005;

/// How one scorer did.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Area under precision over recall, rows weighted as the data says.
    pub weighted_aucpr: f64,
    /// The same with every row counted once.
    pub aucpr: f64,
    /// Area under the ROC curve.
    pub auc: f64,
    /// The share of frauds among the alerts that analysts can look at, rows weighted.
    pub recall: f64,
}

impl Standing {
    fn of(name: &str, scores: &[f64], test: &Labelled) -> Self {
        let weighted = outcomes(scores, &test.labels, Some(&test.weights));
        let plain = outcomes(scores, &test.labels, None);
        Self {
            name: name.to_owned(),
            weighted_aucpr: aucpr(&weighted),
            aucpr: aucpr(&plain),
            auc: auc(&weighted),
            recall: recall_in(&weighted, ALERT_SHARE),
        }
    }
}

/// How all did.
#[derive(Debug, Clone)]
pub struct Race {
    /// What the choice without labels rested on.
    pub shape: Shape,
    /// The scorer that acts without labels, by the shape of training; another one where there are too few rows for that.
    pub chosen: Unsupervised,
    /// Everyone's standing, floors first.
    pub standings: Vec<Standing>,
}

/// The name of the mean of the three models that learn from labels.
pub const BLEND: &str = "blend of the three";

impl Race {
    /// The standing of a scorer, if it ran.
    #[must_use]
    pub fn standing(&self, name: &str) -> Option<&Standing> {
        self.standings.iter().find(|standing| standing.name == name)
    }

    /// The table of all.
    #[must_use]
    pub fn comparison(&self) -> Comparison {
        let figures = ["weighted_aucpr", "aucpr", "auc", "recall"].map(str::to_owned).to_vec();
        let row = |standing: &Standing| (standing.name.clone(), vec![standing.weighted_aucpr, standing.aucpr, standing.auc, standing.recall]);
        let rows = self.standings.iter().map(row).collect();
        Comparison { title: "Scorers (recall: in the 0.5% of events with the highest scores)".to_owned(), key: "models", figures, rows }
    }
}

/// The rows of a table, for a fit.
pub fn rows(table: &Labelled) -> anyhow::Result<Rows> {
    Ok(Rows::new(table.features.len(), table.values.clone())?)
}

/// The rows of training and of what is judged as models see them, by what training says.
fn prepared(fed: &Rows, test: &Labelled) -> anyhow::Result<(Rows, Rows)> {
    let preparation = Preparation::fit(fed, Treatment::default())?;
    Ok((preparation.prepare_all(fed)?, preparation.prepare_all(&rows(test)?)?))
}

/// Runs all scorers.
pub fn run(train: &Labelled, test: &Labelled, progress: Progress) -> anyhow::Result<Race> {
    anyhow::ensure!(train.features == test.features, "the columns of the two files differ: {:?} and {:?}", train.features, test.features);
    let stage = progress.stage("scorers", 8);
    let fed = rows(train)?;
    let shape = Shape::of(&fed);
    let (fitted_on, judged_on) = prepared(&fed, test)?;
    let mut standings = Vec::new();
    let histograms = Histograms::fit(&fitted_on);
    standings.push(Standing::of("histograms (floor)", &judged_on.iter().map(|row| histograms.score(row)).collect::<Vec<_>>(), test));
    stage.step();
    // Of no more rows than columns there is no covariance: then the scorer acts that takes nothing for granted.
    let has_covariance = fed.len() > fed.columns();
    let chosen = match shape.scorer() {
        Unsupervised::RobustCovariance if !has_covariance => Unsupervised::IsolationForest,
        chosen => chosen,
    };
    for method in Unsupervised::ALL.into_iter().filter(|method| has_covariance || *method != Unsupervised::RobustCovariance) {
        // As they are fed: it is for a scorer to say what it makes of what is missing.
        let scorer = Scorer::fit(method, &fed, Treatment::default(), SEED).with_context(|| format!("fitting {}", method.name()))?;
        let judged = test.values.chunks_exact(fed.columns());
        let scores: Vec<f64> = judged.map(|row| scorer.rate(row.iter().copied()).score).collect();
        standings.push(Standing::of(method.name(), &scores, test));
        stage.step();
    }
    if train.positives() >= LABELS_MIN && train.positives() < train.len() {
        let model = Supervised::fit(&fitted_on, &train.labels, SEED).context("fitting with labels")?;
        let entrants =
            [("logistic", Shares::LOGISTIC), ("probability forest", Shares::FOREST), ("boosted trees", Shares::BOOSTED), (BLEND, Shares::BLEND)];
        for (name, shares) in entrants {
            let one = model.with_shares(shares);
            standings.push(Standing::of(name, &judged_on.iter().map(|row| one.log_odds(row)).collect::<Vec<_>>(), test));
            stage.step();
        }
    }
    Ok(Race { shape, chosen, standings })
}

#[cfg(test)]
mod tests {
    use tornello_models::fraud::chance::Chance;

    use super::*;

    /// Rows of which one in twenty is far out in one column.
    pub(crate) fn made_up(seed: u64, columns: usize, count: usize) -> Labelled {
        let mut chance = Chance::new(seed);
        let mut table = Labelled { features: (0..columns).map(|column| format!("x{column}")).collect(), ..Labelled::default() };
        for row in 0..count {
            let positive = row % 20 == 7;
            table.values.extend((0..columns).map(|column| chance.normal() + if positive && column == 1 { 5.0 } else { 0.0 }));
            table.labels.push(positive);
            table.weights.push(1.0);
        }
        table
    }

    #[test]
    fn labels_help_and_without_them_the_shape_chooses() {
        let (train, test) = (made_up(1, 12, 2_000), made_up(2, 12, 2_000));
        let race = run(&train, &test, Progress::Hidden).unwrap();
        assert_eq!(race.chosen, Unsupervised::RobustCovariance);
        let area = |name: &str| race.standing(name).unwrap().aucpr;
        assert!(area(BLEND) > 0.95 && area("robust_covariance") > 0.4, "{:?}", race.standings);
        assert_eq!(race.standings.len(), 8);
    }

    #[test]
    fn too_few_labels_and_few_columns() {
        let mut train = made_up(1, 3, 2_000);
        train.labels.iter_mut().skip(900).for_each(|label| *label = false);
        let race = run(&train, &made_up(2, 3, 1_000), Progress::Hidden).unwrap();
        assert_eq!((race.chosen, race.standing(BLEND)), (Unsupervised::Tails, None));
        assert!(run(&train, &made_up(2, 4, 1_000), Progress::Hidden).unwrap_err().to_string().contains("columns of the two files differ"));
    }

    #[test]
    fn with_no_more_rows_than_columns_what_can_be_fitted_is_judged() {
        let test = made_up(2, 12, 400);
        let race = run(&made_up(1, 12, 12), &test, Progress::Hidden).unwrap();
        assert_eq!((race.shape.columns, race.chosen, race.standing("robust_covariance")), (12, Unsupervised::IsolationForest, None));
        assert!(race.standing(race.chosen.name()).is_some() && race.standings.len() == 3, "{:?}", race.standings);
        assert_eq!(run(&made_up(1, 12, 13), &test, Progress::Hidden).unwrap().standings.len(), 4);
    }

    #[test]
    fn values_that_are_missing_choose_no_other_scorer() {
        let (mut train, test) = (made_up(1, 12, 1_000), made_up(2, 12, 500));
        train.labels.fill(false);
        train.values.iter_mut().step_by(7).for_each(|value| *value = f64::NAN);
        let race = run(&train, &test, Progress::Hidden).unwrap();
        assert_eq!(race.chosen, Unsupervised::RobustCovariance, "{:?}", race.shape);
    }

    #[test]
    fn no_test_row_changes_what_is_fitted() {
        let train = made_up(1, 12, 1_000);
        let mut test = made_up(2, 12, 1_000);
        let before = run(&train, &test, Progress::Hidden).unwrap();
        // Rows that nobody has ever seen, added at the end, leave the order of the others as it was.
        test.values.extend([1e9; 12]);
        test.labels.push(true);
        test.weights.push(1e-9);
        let after = run(&train, &test, Progress::Hidden).unwrap();
        assert_eq!(before.chosen, after.chosen);
        for (before, after) in before.standings.iter().zip(&after.standings) {
            assert!((before.weighted_aucpr - after.weighted_aucpr).abs() < 1e-6, "{}", before.name);
        }
    }
}
