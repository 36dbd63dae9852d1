//! The scorer that acts live: features in their order -> how strange, how it compares, why. One row of sound numbers costs microseconds and no allocation; nothing that is fed
//! makes it panic, and what is not a sound number is replaced, counted and named as the first reason.

use serde::{Deserialize, Serialize};

use super::behaviours::{Behaviours, Plan};
use super::calibration::Isotonic;
use super::covariance::RobustCovariance;
use super::explain::{Cause, GROUPS_MAX, REASONS, Reason, top};
use super::isolation::IsolationForest;
use super::preparation::{Preparation, Suspects, Treatment, whole};
use super::relations::Relations;
use super::rows::Rows;
use super::select::Unsupervised;
use super::supervised::Supervised;
use super::tails::{Ladder, Tails};
use crate::ModelError;
use crate::feature_list::FEATURES_MAX;
use crate::logistic::probability;

/// A scorer of more trees, or of more nodes in all of them, is not loaded: it could be neither held nor asked in the time of a sale.
const TREES_MAX: usize = 2_000;
const NODES_MAX: usize = 2_000_000;

/// The labelled rows from which a probability can be calibrated.
pub const CALIBRATION_LABELS_MIN: usize = 100;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Method {
    Covariance(RobustCovariance),
    Isolation(IsolationForest),
    Tails(Tails),
    Supervised(Supervised),
    Behaviours(Behaviours),
    // The order is that of the bytes: what is new comes last.
    Relations(Relations),
}

/// A fitted scorer. Its serde form is the body of an artifact of kind `fraud`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scorer {
    preparation: Preparation,
    method: Method,
    /// The raw scores of training.
    ladder: Ladder,
    calibration: Option<Isotonic>,
    /// In which group each column gives reasons; empty: each is one.
    groups: Vec<u8>,
}

/// What a scorer says of a row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// 0 to 1, rising with what the method measures: what rows are compared and cut by.
    pub score: f64,
    /// The share of training rows that are less strange, 0 to 1: what people are shown.
    pub percentile: f32,
    /// The probability of fraud, where labels allowed to calibrate one.
    pub probability: Option<f64>,
    /// Why, the weightiest first.
    pub reasons: [Reason; REASONS],
    /// How many features were missing, not finite or absurd.
    pub suspect_inputs: u32,
}

impl Scorer {
    /// Fits a scorer that needs no labels.
    pub fn fit(method: Unsupervised, rows: &Rows, treatment: Treatment, seed: u64) -> Result<Self, ModelError> {
        let preparation = Preparation::fit(rows, treatment)?;
        let prepared = preparation.prepare_all(rows)?;
        let method = match method {
            Unsupervised::RobustCovariance => {
                let whole = whole(rows).map(|whole| prepared.select(&whole));
                let learned = whole.as_ref().unwrap_or(&prepared);
                match Relations::fit(learned)? {
                    Some(relations) => Method::Relations(relations),
                    None => Method::Covariance(RobustCovariance::fit(learned)?),
                }
            }
            Unsupervised::IsolationForest => Method::Isolation(IsolationForest::fit(&prepared, seed)?),
            Unsupervised::Tails => Method::Tails(Tails::fit(&prepared)?),
        };
        let ladder = method.ladder(&preparation, rows)?;
        Ok(Self { preparation, method, ladder, calibration: None, groups: Vec::new() })
    }

    /// Fits a scorer of behaviours, which needs no labels but to know which columns speak of the same: see [`super::behaviours`].
    pub fn fit_behaviours(rows: &Rows, treatment: Treatment, plan: Plan<'_>) -> Result<Self, ModelError> {
        let preparation = Preparation::fit(rows, treatment)?;
        let prepared = preparation.prepare_all(rows)?;
        let method = Method::Behaviours(Behaviours::fit(&prepared, plan)?);
        let ladder = method.ladder(&preparation, rows)?;
        Self { preparation, method, ladder, calibration: None, groups: plan.groups.to_vec() }.check()
    }

    /// The same scorer, whose reasons are of different groups each: what columns of one group add is added up first. `groups` has one for each column.
    pub fn explained_by(self, groups: &[u8]) -> Result<Self, ModelError> {
        if groups.len() != self.columns() || groups.iter().any(|&group| usize::from(group) >= GROUPS_MAX) {
            return Err(ModelError::BadShape { what: "a group below 32 for each column" });
        }
        Ok(Self { groups: groups.to_vec(), ..self })
    }

    /// Puts a model that was fitted with labels to work. `preparation` is what its rows were prepared with, `raw` its scores of rows that it was not fitted on.
    pub fn supervised(preparation: Preparation, model: Supervised, raw: &[f64]) -> Result<Self, ModelError> {
        if model.columns() != preparation.columns() {
            return Err(ModelError::OtherFeatures);
        }
        Ok(Self { preparation, method: Method::Supervised(model), ladder: Ladder::fit(raw.iter().copied())?, calibration: None, groups: Vec::new() })
    }

    /// Calibrates a probability on raw scores of labelled rows that the model was not fitted on. Fewer than [`CALIBRATION_LABELS_MIN`] rows, or rows of one
    /// kind, change nothing.
    pub fn calibrate(&mut self, raw: &[f64], labels: &[bool]) -> Result<(), ModelError> {
        self.calibrate_weighted(raw, labels, None)
    }

    /// As [`Self::calibrate`], on rows that stand for several each, as these weights say.
    pub fn calibrate_weighted(&mut self, raw: &[f64], labels: &[bool], weights: Option<&[f64]>) -> Result<(), ModelError> {
        let positives = labels.iter().filter(|&&label| label).count();
        if labels.len() < CALIBRATION_LABELS_MIN || positives == 0 || positives == labels.len() {
            return Ok(());
        }
        self.calibration = Some(Isotonic::fit_weighted(raw, labels, weights)?);
        Ok(())
    }

    /// Whether it says how likely fraud is, as labels have taught it.
    #[must_use]
    pub const fn is_calibrated(&self) -> bool {
        self.calibration.is_some()
    }

    /// How many features it is fed.
    #[must_use]
    pub const fn columns(&self) -> usize {
        self.preparation.columns()
    }

    /// Scores a row as it is fed, in the order of the feature list.
    #[must_use]
    pub fn score(&self, row: impl Iterator<Item = f64>) -> Scored {
        let mut prepared = [0.0; FEATURES_MAX];
        let mut parts = [0.0; FEATURES_MAX];
        let columns = self.columns();
        let suspects = self.preparation.prepare(row, &mut prepared[..columns]);
        let (row, parts) = (&prepared[..columns], &mut parts[..columns]);
        let raw = self.method.explain(row, suspects, parts);
        // A replaced value is not why a row is strange.
        for (column, part) in parts.iter_mut().enumerate() {
            if suspects.contains(column) {
                *part = 0.0;
            }
        }
        let mut reasons = top(parts, &self.groups, |column| self.method.is_above(column, row[column]));
        if let Some(column) = suspects.first() {
            reasons.rotate_right(1);
            reasons[0] = Reason { cause: Cause::SuspectInput(column as u16), ..Reason::default() };
        }
        self.scored(raw, reasons, suspects.count())
    }

    /// As [`Self::score`], but for the reasons, which are none: a few times quicker, for where nobody reads them.
    #[must_use]
    pub fn rate(&self, row: impl Iterator<Item = f64>) -> Scored {
        let mut prepared = [0.0; FEATURES_MAX];
        let columns = self.columns();
        let suspects = self.preparation.prepare(row, &mut prepared[..columns]);
        self.scored(self.method.raw(&prepared[..columns], suspects), [Reason::default(); REASONS], suspects.count())
    }

    fn scored(&self, raw: f64, reasons: [Reason; REASONS], suspect_inputs: u32) -> Scored {
        let probability = self.calibration.as_ref().map(|curve| curve.probability(raw));
        Scored { score: self.method.unit(raw), percentile: self.ladder.place(raw) as f32, probability, reasons, suspect_inputs }
    }

    /// The exact reasons of a row, SHAP for boosted trees: a hundred times slower than [`Self::score`], for when somebody looks at the case.
    pub fn examine(&self, row: impl Iterator<Item = f64>) -> Result<[Reason; REASONS], ModelError> {
        let mut prepared = [0.0; FEATURES_MAX];
        let columns = self.columns();
        let suspects = self.preparation.prepare(row, &mut prepared[..columns]);
        let row = &prepared[..columns];
        let mut parts = vec![0.0; columns];
        match &self.method {
            Method::Supervised(model) => model.examine(row, &mut parts)?,
            other => {
                other.explain(row, suspects, &mut parts);
            }
        }
        for (column, part) in parts.iter_mut().enumerate() {
            if suspects.contains(column) {
                *part = 0.0;
            }
        }
        Ok(top(&parts, &self.groups, |column| self.method.is_above(column, row[column])))
    }

    /// Whether what was decoded from bytes can be asked without a panic: every artifact is checked once, when it is loaded.
    pub fn check(mut self) -> Result<Self, ModelError> {
        let columns = self.columns();
        let sound = columns > 0
            && columns <= FEATURES_MAX
            && self.preparation.is_sound()
            && self.ladder.is_sound()
            && self.calibration.as_ref().is_none_or(Isotonic::is_sound)
            && self.method.is_small()
            && (self.groups.is_empty() || self.groups.len() == columns)
            && self.groups.iter().all(|&group| usize::from(group) < GROUPS_MAX)
            && match &self.method {
                Method::Covariance(model) => model.is_sound(columns),
                Method::Isolation(model) => model.is_sound(columns),
                Method::Tails(model) => model.is_sound(columns),
                Method::Supervised(model) => model.is_sound(columns),
                Method::Behaviours(model) => model.is_sound(columns),
                Method::Relations(model) => model.is_sound(columns),
            };
        if !sound {
            return Err(ModelError::BadArtifact { problem: "its parts do not fit together".to_owned() });
        }
        self.ladder.settle();
        match &mut self.method {
            Method::Tails(tails) => tails.settle(),
            Method::Behaviours(behaviours) => behaviours.settle(),
            Method::Covariance(_) | Method::Isolation(_) | Method::Supervised(_) | Method::Relations(_) => {}
        }
        Ok(self)
    }
}

impl Method {
    fn is_small(&self) -> bool {
        let (trees, nodes) = match self {
            Self::Covariance(_) | Self::Tails(_) | Self::Behaviours(_) | Self::Relations(_) => (0, 0),
            Self::Isolation(model) => model.size(),
            Self::Supervised(model) => model.size(),
        };
        trees <= TREES_MAX && nodes <= NODES_MAX
    }

    /// The raw scores of training, as it is fed.
    fn ladder(&self, preparation: &Preparation, rows: &Rows) -> Result<Ladder, ModelError> {
        let mut prepared = [0.0; FEATURES_MAX];
        let prepared = &mut prepared[..preparation.columns()];
        Ladder::fit(rows.iter().map(|row| {
            let missing = preparation.prepare(row.iter().copied(), prepared);
            self.raw(prepared, missing)
        }))
    }

    /// The raw score of a prepared row. Where columns are held against each other what is missing counts as on average; elsewhere its median says nothing.
    fn raw(&self, row: &[f64], missing: Suspects) -> f64 {
        match self {
            Self::Covariance(model) => model.distance_without(row, missing),
            Self::Isolation(model) => model.score(row),
            Self::Tails(model) => model.score(row),
            Self::Supervised(model) => model.log_odds(row),
            Self::Behaviours(model) => model.score(row),
            Self::Relations(model) => model.distance(row, missing),
        }
    }

    fn explain(&self, row: &[f64], missing: Suspects, parts: &mut [f64]) -> f64 {
        match self {
            Self::Covariance(model) => model.explain_without(row, missing, parts),
            Self::Isolation(model) => model.explain(row, parts),
            Self::Tails(model) => model.explain(row, parts),
            Self::Supervised(model) => model.explain(row, parts),
            Self::Behaviours(model) => model.explain(row, parts),
            Self::Relations(model) => model.explain(row, missing, parts),
        }
    }

    fn is_above(&self, column: usize, x: f64) -> bool {
        match self {
            Self::Covariance(model) => model.is_above(column, x),
            Self::Isolation(model) => model.is_above(column, x),
            Self::Tails(model) => model.is_above(column, x),
            Self::Supervised(model) => model.is_above(column, x),
            Self::Behaviours(model) => model.is_above(column, x),
            Self::Relations(model) => model.is_above(column, x),
        }
    }

    /// The raw score between 0 and 1, in the same order. A distance or a sum of logarithms has no upper end, so it is folded in; log odds become what they are
    /// odds of.
    fn unit(&self, raw: f64) -> f64 {
        match self {
            Self::Covariance(_) | Self::Relations(_) | Self::Tails(_) => raw / (raw + 100.0),
            Self::Behaviours(_) => raw / (raw + 10.0),
            Self::Isolation(_) => raw,
            Self::Supervised(_) => probability(raw),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{Artifact, Kind, Particulars, TrainingData};
    use crate::feature_list::FeatureList;
    use crate::fraud::chance::Chance;
    use crate::fraud::explain::Direction;

    const COLUMNS: usize = 12;

    /// Columns that hang together by pairs, with a spread of their own.
    fn usual(chance: &mut Chance) -> Vec<f64> {
        let mut row = Vec::new();
        for pair in 0..COLUMNS / 2 {
            let x = chance.normal();
            row.extend([10.0 * pair as f64 + x, 0.5 * x + chance.normal()]);
        }
        row
    }

    fn training() -> Rows {
        let mut chance = Chance::new(21);
        Rows::new(COLUMNS, (0..4_000).flat_map(|_| usual(&mut chance)).collect()).unwrap()
    }

    /// A twentieth of the rows is fraud: one column of three is far too high.
    fn labelled() -> (Rows, Vec<bool>) {
        let mut chance = Chance::new(22);
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for i in 0..4_000 {
            let mut row = usual(&mut chance);
            labels.push(i % 20 == 0);
            if i % 20 == 0 {
                row[1 + 4 * (i / 20 % 3)] += 6.0;
            }
            values.extend(row);
        }
        (Rows::new(COLUMNS, values).unwrap(), labels)
    }

    fn supervised() -> Scorer {
        let (rows, labels) = labelled();
        let preparation = Preparation::fit(&rows, Treatment::default()).unwrap();
        let prepared = preparation.prepare_all(&rows).unwrap();
        let model = Supervised::fit(&prepared, &labels, 3).unwrap();
        let raw: Vec<f64> = prepared.iter().map(|row| model.log_odds(row)).collect();
        let mut scorer = Scorer::supervised(preparation, model, &raw).unwrap();
        scorer.calibrate(&raw, &labels).unwrap();
        scorer
    }

    fn all() -> Vec<(&'static str, Scorer)> {
        let rows = training();
        let unsupervised = Unsupervised::ALL.map(|method| (method.name(), Scorer::fit(method, &rows, Treatment::default(), 5).unwrap()));
        unsupervised.into_iter().chain([("supervised", supervised())]).collect()
    }

    #[test]
    fn reasons_name_the_planted_cause() {
        for (name, scorer) in all() {
            let mut chance = Chance::new(23);
            let (mut first, mut among, rows) = (0, 0, 600);
            for i in 0..rows {
                // What labels taught is planted where they taught it.
                let column = if name == "supervised" { 1 + 4 * (i % 3) } else { i % COLUMNS };
                let down = name != "supervised" && i % 2 == 1;
                let mut row = usual(&mut chance);
                row[column] += if down { -7.0 } else { 7.0 };
                let reasons = scorer.score(row.into_iter()).reasons;
                let direction = if down { Direction::Low } else { Direction::High };
                let hit = |reason: &Reason| reason.cause == Cause::Feature(column as u16) && reason.direction == direction;
                first += usize::from(hit(&reasons[0]));
                among += usize::from(reasons.iter().any(hit));
            }
            assert!(among * 100 >= 97 * rows && first * 100 >= 90 * rows, "{name}: {first} first, {among} among three, of {rows}");
        }
    }

    #[test]
    fn a_rate_is_a_score_without_reasons() {
        for (name, scorer) in all() {
            let mut chance = Chance::new(25);
            for i in 0..200 {
                let mut row = usual(&mut chance);
                row[i % COLUMNS] *= if i % 3 == 0 { f64::NAN } else { 3.0 };
                let (scored, rated) = (scorer.score(row.iter().copied()), scorer.rate(row.iter().copied()));
                let apart = [
                    rated.score - scored.score,
                    f64::from(rated.percentile - scored.percentile),
                    rated.probability.unwrap_or(0.0) - scored.probability.unwrap_or(0.0),
                ];
                assert!(apart.iter().all(|apart| apart.abs() < 1e-3), "{name}: {scored:?}, {rated:?}");
                assert_eq!((rated.suspect_inputs, rated.reasons), (scored.suspect_inputs, Default::default()), "{name}");
            }
        }
    }

    #[test]
    fn hostile_input_never_panics_nor_passes_silently() {
        let values = [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MAX,
            f64::MIN,
            1e300,
            -1e13,
            1e12,
            f64::MIN_POSITIVE,
            5e-324,
            -0.0,
            f64::from(u32::MAX),
            u64::MAX as f64,
        ];
        for (name, scorer) in all() {
            let mut chance = Chance::new(24);
            for (i, value) in values.into_iter().enumerate() {
                for column in 0..COLUMNS {
                    let mut row = usual(&mut chance);
                    row[column] = value;
                    let scored = scorer.score(row.into_iter());
                    assert!((0.0..=1.0).contains(&scored.score) && (0.0..=1.0).contains(&scored.percentile), "{name}, {value}: {scored:?}");
                    assert!(scored.probability.is_none_or(|p| (0.0..=1.0).contains(&p)));
                    let suspect = value.is_nan() || value.abs() > 1e12;
                    assert_eq!(scored.suspect_inputs, u32::from(suspect), "{name}, value {i}: {value}");
                    assert_eq!(scored.reasons[0].cause == Cause::SuspectInput(column as u16), suspect, "{name}, {value}: {scored:?}");
                }
            }
            for length in [0, 1, COLUMNS - 1, COLUMNS + 5, 500] {
                let scored = scorer.score(std::iter::repeat_n(0.0, length));
                assert_eq!(scored.suspect_inputs as usize, COLUMNS.saturating_sub(length), "{name}: {length} values");
            }
            let garbage = (0..2_000).map(|_| f64::from_bits(chance.bits()));
            let rows: Vec<f64> = garbage.collect();
            assert!(rows.chunks(COLUMNS).all(|row| scorer.score(row.iter().copied()).score.is_finite()), "{name}");
        }
    }

    #[test]
    fn a_huge_count_is_strange_to_the_unsupervised() {
        for (name, scorer) in all().into_iter().take(3) {
            let mut row = usual(&mut Chance::new(25));
            let before = scorer.score(row.iter().copied());
            row[4] = 4e9;
            let after = scorer.score(row.iter().copied());
            assert!(after.score > before.score && after.percentile > before.percentile, "{name}: {before:?} {after:?}");
            assert_eq!(after.reasons[0].cause, Cause::Feature(4), "{name}");
        }
    }

    #[test]
    fn the_same_rows_and_seed_are_the_same_bytes_and_score_alike_when_loaded() {
        let features = FeatureList::new((0..COLUMNS).map(|column| (format!("f{column}"), "1"))).unwrap();
        let particulars = || Particulars {
            kind: Kind::Fraud,
            method: String::new(),
            created: String::new(),
            code_revision: String::new(),
            data: TrainingData { name: String::new(), sha256: String::new(), rows: 0, period: String::new() },
            seed: 5,
            settings: Vec::new(),
            metrics: Vec::new(),
            parent: None,
            approver: None,
        };
        for ((name, one), (_, other)) in all().into_iter().zip(all()) {
            let sealed = Artifact::seal(&one, &features, particulars()).unwrap();
            assert_eq!(sealed.model, Artifact::seal(&other, &features, particulars()).unwrap().model, "{name}");
            let loaded = sealed.open::<Scorer>(Kind::Fraud, &features).unwrap().check().unwrap();
            let mut chance = Chance::new(26);
            for _ in 0..50 {
                let row = usual(&mut chance);
                assert_eq!(loaded.score(row.iter().copied()), one.score(row.iter().copied()), "{name}");
            }
        }
    }

    #[test]
    fn where_rows_obey_an_equation_whoever_breaks_it_is_strangest_also_when_loaded() {
        let mut chance = Chance::new(28);
        let tied = |chance: &mut Chance, broken: f64| {
            let mut row = usual(chance);
            row[11] = row[0] - row[2] + broken;
            row
        };
        let rows = (0..3_000).flat_map(|i| tied(&mut chance, if i % 100 == 7 { 3.0 } else { 0.0 })).collect();
        let scorer = Scorer::fit(Unsupervised::RobustCovariance, &Rows::new(COLUMNS, rows).unwrap(), Treatment::default(), 5).unwrap();
        assert!(matches!(scorer.method, Method::Relations(_)));
        let loaded: Scorer = postcard::from_bytes(&postcard::to_allocvec(&scorer).unwrap()).unwrap();
        let loaded = loaded.check().unwrap();
        let mut far = tied(&mut chance, 0.0);
        far[4] += 9.0;
        let broken = scorer.score(tied(&mut chance, -0.5).into_iter());
        assert!(broken.score > scorer.score(far.into_iter()).score, "half a deviation off the equation is stranger than nine from the mean");
        for value in [f64::NAN, f64::NEG_INFINITY, 1e12, -1e12, f64::MAX, 0.0] {
            let mut row = tied(&mut chance, 0.0);
            row[3] = value;
            let scored = loaded.score(row.iter().copied());
            assert!((0.0..=1.0).contains(&scored.score) && (0.0..=1.0).contains(&scored.percentile), "{value}: {scored:?}");
            assert_eq!((scored, scored.suspect_inputs), (scorer.score(row.iter().copied()), u32::from(value.is_nan() || value.abs() > 1e12)));
        }
    }

    /// The median of a column broke whatever the column is tied to: a few values missing anywhere, and whoever lacked one stood among all that is sought.
    #[test]
    fn whoever_lacks_a_value_breaks_no_equation_by_that() {
        let mut chance = Chance::new(29);
        let tied = |chance: &mut Chance, broken: f64| {
            let mut row = usual(chance);
            row[11] = row[0] - row[2] + broken;
            row
        };
        let mut values = Vec::new();
        for i in 0..4_000 {
            let mut row = tied(&mut chance, if i % 100 == 7 { 3.0 } else { 0.0 });
            // Of one row in five something is missing; of none that breaks the equation.
            if i % 5 == 3 {
                row[i / 5 % COLUMNS] = f64::NAN;
            }
            values.extend(row);
        }
        let scorer = Scorer::fit(Unsupervised::RobustCovariance, &Rows::new(COLUMNS, values).unwrap(), Treatment::default(), 5).unwrap();
        assert!(matches!(scorer.method, Method::Relations(_)));
        let broken = scorer.score(tied(&mut chance, 0.5).into_iter()).score;
        for i in 0..240 {
            let mut row = tied(&mut chance, 0.0);
            row[i % COLUMNS] = f64::NAN;
            let scored = scorer.score(row.into_iter());
            assert!(scored.score < broken && scored.suspect_inputs == 1, "without column {}: {scored:?}, broken {broken}", i % COLUMNS);
        }
        // Of the columns that are there one is enough to say that something is strange.
        let (mut far, mut near) = (tied(&mut chance, 0.0), tied(&mut chance, 0.0));
        (far[2], far[4], near[2]) = (f64::NAN, far[4] + 9.0, f64::NAN);
        assert!(scorer.score(far.into_iter()).score > scorer.score(near.into_iter()).score);
    }

    #[test]
    fn a_row_of_which_little_is_there_is_as_strange_as_that_little() {
        let scorer = Scorer::fit(Unsupervised::RobustCovariance, &training(), Treatment::default(), 5).unwrap();
        let of_one = |x: f64| scorer.score((0..COLUMNS).map(|column| if column == 4 { x } else { f64::NAN }));
        let [middling, strange] = [20.0, 23.6].map(|x| of_one(x).percentile);
        assert!((0.2..0.8).contains(&middling), "{middling}");
        assert!(strange > 0.9, "{strange}");
        assert!((0.2..0.8).contains(&scorer.score(std::iter::empty()).percentile), "nothing is there");
    }

    /// Learned of whole rows alone, whatever they have in common was an equation that all others broke.
    #[test]
    fn rows_of_which_a_value_cannot_be_are_no_stranger_for_that() {
        let mut chance = Chance::new(31);
        let of_kind = |chance: &mut Chance, is_other: bool| {
            let mut row = usual(chance);
            row[10] = f64::from(u8::from(is_other));
            row[11] = if is_other { f64::NAN } else { row[11] };
            row
        };
        let rows = (0..4_000).flat_map(|i| of_kind(&mut chance, i % 3 == 0)).collect();
        let scorer = Scorer::fit(Unsupervised::RobustCovariance, &Rows::new(COLUMNS, rows).unwrap(), Treatment::default(), 5).unwrap();
        let mut far = of_kind(&mut chance, false);
        far[4] += 9.0;
        let far = scorer.score(far.into_iter()).score;
        for _ in 0..100 {
            let scored = scorer.score(of_kind(&mut chance, true).into_iter());
            assert!(scored.score < far, "{scored:?}, far {far}");
        }
    }

    #[test]
    fn probabilities_rise_with_the_score_and_examining_agrees() {
        let scorer = supervised();
        let mut chance = Chance::new(27);
        let mut scored: Vec<Scored> = (0..500)
            .map(|i| {
                let mut row = usual(&mut chance);
                row[5] += f64::from(i % 7);
                scorer.score(row.into_iter())
            })
            .collect();
        scored.sort_by(|a, b| a.score.total_cmp(&b.score));
        assert!(scored.is_sorted_by_key(|scored| scored.probability));
        let mut row = usual(&mut chance);
        row[5] += 7.0;
        assert_eq!(scorer.examine(row.into_iter()).unwrap()[0].cause, Cause::Feature(5));
    }
}
