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
    /// The scorer that acts without labels, by the shape of training.
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

/// Runs all scorers.
pub fn run(train: &Labelled, test: &Labelled, progress: Progress) -> anyhow::Result<Race> {
    anyhow::ensure!(train.features == test.features, "the columns of the two files differ: {:?} and {:?}", train.features, test.features);
    let stage = progress.stage("scorers", 8);
    let (fitted_on, judged_on) = (rows(train)?, rows(test)?);
    let preparation = Preparation::fit(&fitted_on, Treatment::default())?;
    let (fitted_on, judged_on) = (preparation.prepare_all(&fitted_on)?, preparation.prepare_all(&judged_on)?);
    let shape = Shape::of(&fitted_on);
    let mut standings = Vec::new();
    let histograms = Histograms::fit(&fitted_on);
    standings.push(Standing::of("histograms (floor)", &judged_on.iter().map(|row| histograms.score(row)).collect::<Vec<_>>(), test));
    stage.step();
    for method in Unsupervised::ALL {
        let scorer = Scorer::fit(method, &fitted_on, Treatment::default(), SEED).with_context(|| format!("fitting {}", method.name()))?;
        let scores: Vec<f64> = judged_on.iter().map(|row| scorer.score(row.iter().copied()).score).collect();
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
    Ok(Race { shape, chosen: shape.scorer(), standings })
}
