//! Gradient boosted trees: the one trait that the rest of us sees, and the one place that knows the crate behind it.
//!
//! The crate (hessboost, pinned to one version) is young. So nothing of it shows in a signature here, a golden test holds fixed rows to fixed scores, and a
//! way back exists: whatever else can predict rows, explain them and become bytes may stand behind [`Boosted`]. [`Average`] is a second kind already. Trees
//! grow leaf by leaf with Newton leaves; the same table, recipe and seed give the same bytes on any number of threads.
//!
//! It knows nothing of demand or fraud: columns in, scores out. `demand` and `fraud` build the tables.

use std::ops::ControlFlow;

use hessboost::config::{GrowPolicy, TrainingParams, TreeMethod};
use hessboost::data::{DMatrix, FeatureType, ViewCuts};
use hessboost::model::{BoostedModel, Iterations, ModelFormat};
use hessboost::objective::{Objective, Quantiles, RegLoss};
use hessboost::training::Trainer;
use hessboost::tree::RegTree;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::feature_list::FEATURES_MAX;

/// A fitted ensemble of trees.
pub trait Boosted: Send + Sync {
    /// How many columns a row has.
    fn columns(&self) -> usize;

    /// How many numbers one row is answered with: one for each quantile, else one.
    fn outputs(&self) -> usize;

    /// Predicts one row (missing values are NaN) without allocating. Quantiles come out in order and never cross; a log-loss score is a probability, a Poisson
    /// score a mean.
    fn predict_into(&self, row: &[f32], out: &mut [f32]) -> Result<(), ModelError>;

    /// What each column added to one output of a row, in column order, and last the level from which they start (exact SHAP). They add up to the score before
    /// its link: the log-odds for log loss, the logarithm for Poisson. It costs a hundred times what a prediction costs.
    fn explain(&self, row: &[f32], output: usize) -> Result<Vec<f32>, ModelError>;

    /// What each column moved one output of a row along its ways through the trees (as A. Saabas interprets forests, 2014): from what a node's leaves answer on
    /// average to what those of the next node do. Answers the level from which they start; both add up to the score before its link. Nothing is allocated, and it
    /// costs a few times what a prediction costs. Unlike [`Self::explain`] it looks at the cuts that were made alone, and gives less to those near the roots.
    fn explain_path(&self, row: &[f32], output: usize, parts: &mut [f64]) -> Result<f64, ModelError>;

    /// The bytes from which [`load`] makes the same ensemble.
    fn to_bytes(&self) -> Result<Vec<u8>, ModelError>;
}

/// What the trees are to minimise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Loss {
    /// Pinball loss at each of these quantiles, one output for each.
    Quantiles(Vec<f64>),
    /// Log loss of labels 0 and 1.
    Log,
    /// Poisson deviance of counts.
    Poisson,
    /// Squared error.
    Squared,
}

/// How to fit: everything that decides what comes out, but for the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// What to minimise.
    pub loss: Loss,
    /// Boosting rounds: one tree for each output and round.
    pub rounds: u32,
    /// The share of a tree's answer that is added.
    pub eta: f64,
    /// The most leaves of a tree.
    pub max_leaves: u32,
    /// The least sum of second derivatives in a leaf. It is no count of rows: with quantile loss keep it at 1.
    pub min_child_weight: f64,
    /// The share of columns that a tree may use.
    pub column_share: f64,
    /// The share of rows that a tree sees.
    pub row_share: f64,
    /// The L2 penalty on leaves.
    pub l2: f64,
    /// Bins that a column is cut into.
    pub bins: u32,
    /// The seed of all drawing.
    pub seed: u64,
    /// Threads to fit on; the result does not depend on it.
    pub threads: u32,
}

impl Recipe {
    /// A recipe for a loss with the settings that served best in our races: 130 rounds of 31 leaves.
    #[must_use]
    pub const fn new(loss: Loss) -> Self {
        Self {
            loss,
            rounds: 130,
            eta: 0.12,
            max_leaves: 31,
            min_child_weight: 1.0,
            column_share: 0.7,
            row_share: 0.8,
            l2: 1.0,
            bins: 127,
            seed: 7,
            threads: 1,
        }
    }
}

/// What to learn from: rows of columns with a target each.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// The columns' names, in order.
    pub columns: Vec<String>,
    /// The places of the columns whose values are codes of categories (0, 1, 2, ...) and no quantities.
    pub categorical: Vec<usize>,
    /// The values, row after row; NaN where one is missing.
    pub values: Vec<f32>,
    /// One target for each row.
    pub targets: Vec<f32>,
    /// One weight for each row, or none at all: then all weigh the same.
    pub weights: Vec<f32>,
}

impl Table {
    /// How many rows there are.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.targets.len()
    }

    /// The table as the fit wants it. The bins of its columns are made once and serve every fit on it or on a part of it.
    pub fn prepare(self) -> Result<Prepared, ModelError> {
        let (rows, columns) = (self.rows(), self.columns.len());
        if rows == 0 || columns == 0 {
            return Err(ModelError::BadInput { problem: format!("a table of {rows} rows and {columns} columns teaches nothing") });
        }
        if self.values.len() != rows * columns {
            return Err(ModelError::BadInput { problem: format!("{} values are not {rows} rows of {columns} columns", self.values.len()) });
        }
        if let Some(place) = self.values.iter().position(|value| value.is_infinite()) {
            let column = &self.columns[place % columns];
            return Err(ModelError::BadInput { problem: format!("row {}, column {column}: infinite", place / columns + 1) });
        }
        if let Some(row) = self.targets.iter().position(|target| !target.is_finite()) {
            return Err(ModelError::BadInput { problem: format!("row {}: the target is no number", row + 1) });
        }
        let types: Vec<FeatureType> =
            (0..columns).map(|column| if self.categorical.contains(&column) { FeatureType::Categorical } else { FeatureType::Numerical }).collect();
        let mut matrix =
            DMatrix::from_dense_vec(self.values, rows, columns).and_then(|matrix| matrix.with_labels(&self.targets)).map_err(boosting)?;
        if !self.categorical.is_empty() {
            matrix = matrix.with_feature_types(&types).map_err(boosting)?;
        }
        if !self.weights.is_empty() {
            matrix = matrix.with_weights(&self.weights).map_err(boosting)?;
        }
        Ok(Prepared { matrix })
    }
}

/// A table made ready: its bins are made once, for every fit on it.
pub struct Prepared {
    matrix: DMatrix,
}

impl Prepared {
    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.matrix.n_rows()
    }

    /// Some of the rows, with the bins of all. Only where the values of the other rows may be known (their bins show the spread of the columns, no target).
    pub fn only(&self, rows: &[usize]) -> Result<Self, ModelError> {
        let matrix = self.matrix.select_rows_with_cuts(rows, ViewCuts::Source).map_err(boosting)?;
        Ok(Self { matrix })
    }
}

/// Fits an ensemble; `progress` hears of every round, counted from 1.
pub fn fit(table: &Prepared, recipe: &Recipe, progress: &mut (dyn FnMut(u32) + Send)) -> Result<Box<dyn Boosted>, ModelError> {
    let objective = match &recipe.loss {
        Loss::Quantiles(levels) => Objective::Quantile(Quantiles::new(levels.iter().copied()).map_err(boosting)?),
        Loss::Log => Objective::BinaryLogistic(RegLoss::default()),
        Loss::Poisson => Objective::Poisson,
        Loss::Squared => Objective::SquaredError(RegLoss::default()),
    };
    let settings = TrainingParams::builder()
        .objective(objective)
        .tree_method(TreeMethod::Hist)
        .grow_policy(GrowPolicy::LossGuide)
        .unlimited_depth()
        .max_leaves(recipe.max_leaves as usize)
        .eta(recipe.eta)
        .min_child_weight(recipe.min_child_weight)
        .colsample_bytree(recipe.column_share)
        .subsample(recipe.row_share)
        .lambda(recipe.l2)
        .max_bin(recipe.bins as usize)
        .seed(recipe.seed)
        .nthread(recipe.threads as usize)
        .build()
        .map_err(boosting)?;
    let mut done = 0;
    let trained = Trainer::new(&settings, &table.matrix, recipe.rounds as usize)
        .on_round(|_| {
            done += 1;
            progress(done);
            ControlFlow::Continue(())
        })
        .train()
        .map_err(boosting)?;
    Ok(Box::new(Trees::new(trained.model)))
}

/// The ensemble that [`Boosted::to_bytes`] wrote.
pub fn load(bytes: &[u8]) -> Result<Box<dyn Boosted>, ModelError> {
    if let Some(parts) = bytes.strip_prefix(AVERAGE) {
        return Average::read(parts).map(|average| Box::new(average) as Box<dyn Boosted>);
    }
    let model = BoostedModel::decode(bytes, ModelFormat::Binary).map_err(|error| ModelError::BadArtifact { problem: error.to_string() })?;
    Ok(Box::new(Trees::new(model)))
}

struct Trees {
    model: BoostedModel,
    /// Of each node of each tree what its leaves answer on average, by how much they have seen.
    means: Vec<Vec<f64>>,
}

impl Trees {
    fn new(model: BoostedModel) -> Self {
        let means = model.trees().iter().map(means).collect();
        Self { model, means }
    }
}

/// Of each node of a tree the mean of the leaves under it, by how much they have seen.
fn means(tree: &RegTree) -> Vec<f64> {
    let mut means = vec![0.0; tree.num_nodes()];
    let mut downwards: Vec<usize> = (0..tree.num_nodes().min(1)).collect();
    let mut seen = 0;
    while let Some(node) = downwards.get(seen).map(|id| tree.node(*id)) {
        seen += 1;
        if !node.is_leaf() {
            downwards.extend([node.left as usize, node.right as usize]);
        }
    }
    for id in downwards.into_iter().rev() {
        let node = tree.node(id);
        means[id] = if node.is_leaf() {
            f64::from(node.leaf_value)
        } else {
            let [(left, of_left), (right, of_right)] =
                [node.left as usize, node.right as usize].map(|child| (means[child], f64::from(tree.node(child).sum_hess)));
            if of_left + of_right > 0.0 { (left * of_left + right * of_right) / (of_left + of_right) } else { f64::midpoint(left, right) }
        };
    }
    means
}

/// To which of its children a node sends a row.
fn next(tree: &RegTree, id: usize, row: &[f32]) -> usize {
    let node = tree.node(id);
    let x = row.get(node.split_feature as usize).copied().unwrap_or(f32::NAN);
    let left = match node.is_categorical {
        _ if x.is_nan() => node.default_left,
        true => tree.split_categories(id).contains(&(x as u32)),
        false => x < node.split_cond,
    };
    (if left { node.left } else { node.right }) as usize
}

impl Boosted for Trees {
    fn columns(&self) -> usize {
        self.model.n_features()
    }

    fn outputs(&self) -> usize {
        self.model.prediction_width()
    }

    fn predict_into(&self, row: &[f32], out: &mut [f32]) -> Result<(), ModelError> {
        self.model.predict_row_into(row, Iterations::Best, out).map_err(boosting)
    }

    fn explain(&self, row: &[f32], output: usize) -> Result<Vec<f32>, ModelError> {
        let matrix = DMatrix::from_dense(row, 1, row.len()).map_err(boosting)?;
        let parts = self.model.predict_contribs(&matrix, Iterations::Best).map_err(boosting)?;
        let part = parts.get(0, output).ok_or_else(|| no_output(output))?;
        Ok(part.to_vec())
    }

    fn explain_path(&self, row: &[f32], output: usize, parts: &mut [f64]) -> Result<f64, ModelError> {
        let base = self.model.base_scores().get(output).ok_or_else(|| no_output(output))?;
        let trees = self.model.trees().iter().zip(&self.means).zip(self.model.tree_outputs());
        parts.fill(0.0);
        let mut level = f64::from(*base);
        for ((tree, means), _) in trees.filter(|(_, outputs)| outputs.contains(&output)) {
            let mut id = 0;
            level += means[id];
            while !tree.node(id).is_leaf() {
                let below = next(tree, id, row);
                if let Some(part) = parts.get_mut(tree.node(id).split_feature as usize) {
                    *part += means[below] - means[id];
                }
                id = below;
            }
        }
        Ok(level)
    }

    fn to_bytes(&self) -> Result<Vec<u8>, ModelError> {
        self.model.encode(ModelFormat::Binary).map_err(boosting)
    }
}

/// Several ensembles that answer as one, by the mean of their answers: steadier than each, at the cost of all.
pub struct Average {
    members: Vec<Box<dyn Boosted>>,
}

const AVERAGE: &[u8] = b"TORNAVG1";

impl Average {
    /// The mean of ensembles with the same columns and outputs.
    pub fn new(members: Vec<Box<dyn Boosted>>) -> Result<Self, ModelError> {
        let Some(first) = members.first() else { return Err(ModelError::BadInput { problem: "an average of nothing".to_owned() }) };
        if first.outputs() > OUTPUTS_MAX || members.iter().any(|member| (member.columns(), member.outputs()) != (first.columns(), first.outputs())) {
            return Err(ModelError::BadInput { problem: format!("an average needs members of one shape, with at most {OUTPUTS_MAX} outputs") });
        }
        Ok(Self { members })
    }

    fn read(mut parts: &[u8]) -> Result<Self, ModelError> {
        let broken = || ModelError::BadArtifact { problem: "an average of ensembles is cut short".to_owned() };
        let mut members = Vec::new();
        while !parts.is_empty() {
            let (length, rest) = parts.split_first_chunk::<8>().ok_or_else(broken)?;
            let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| broken())?;
            let (member, rest) = rest.split_at_checked(length).ok_or_else(broken)?;
            // Averages do not nest, so a hostile file cannot recurse.
            if member.starts_with(AVERAGE) {
                return Err(broken());
            }
            members.push(load(member)?);
            parts = rest;
        }
        Self::new(members)
    }
}

/// The most outputs of an averaged ensemble.
const OUTPUTS_MAX: usize = 16;

impl Boosted for Average {
    fn columns(&self) -> usize {
        self.members[0].columns()
    }

    fn outputs(&self) -> usize {
        self.members[0].outputs()
    }

    fn predict_into(&self, row: &[f32], out: &mut [f32]) -> Result<(), ModelError> {
        if out.len() != self.outputs() {
            return Err(ModelError::BadInput { problem: format!("{} outputs were asked of {}", out.len(), self.outputs()) });
        }
        let mut one = [0.0; OUTPUTS_MAX];
        out.fill(0.0);
        for member in &self.members {
            member.predict_into(row, &mut one[..out.len()])?;
            out.iter_mut().zip(one).for_each(|(sum, value)| *sum += value);
        }
        out.iter_mut().for_each(|sum| *sum /= self.members.len() as f32);
        Ok(())
    }

    fn explain(&self, row: &[f32], output: usize) -> Result<Vec<f32>, ModelError> {
        let mut sums = vec![0.0; self.columns() + 1];
        for member in &self.members {
            let parts = member.explain(row, output)?;
            sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
        }
        sums.iter_mut().for_each(|sum| *sum /= self.members.len() as f32);
        Ok(sums)
    }

    fn explain_path(&self, row: &[f32], output: usize, parts: &mut [f64]) -> Result<f64, ModelError> {
        let (mut one, members) = ([0.0; FEATURES_MAX], self.members.len() as f64);
        let one = one.get_mut(..parts.len()).ok_or(ModelError::OtherFeatures)?;
        parts.fill(0.0);
        let mut level = 0.0;
        for member in &self.members {
            level += member.explain_path(row, output, one)? / members;
            parts.iter_mut().zip(&*one).for_each(|(sum, part)| *sum += part / members);
        }
        Ok(level)
    }

    fn to_bytes(&self) -> Result<Vec<u8>, ModelError> {
        let mut bytes = AVERAGE.to_vec();
        for member in &self.members {
            let part = member.to_bytes()?;
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    }
}

fn no_output(output: usize) -> ModelError {
    ModelError::BadInput { problem: format!("there is no output {output}") }
}

fn boosting(error: hessboost::error::HessboostError) -> ModelError {
    ModelError::Boosting { problem: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 600 rows of three columns: a slope, noise with a hole in every seventh row, a category that matters.
    fn table() -> Table {
        let mut table = Table { columns: ["slope", "noise", "kind"].map(str::to_owned).to_vec(), categorical: vec![2], ..Table::default() };
        let mut state = 0x9e37_79b9_u32;
        for row in 0_u16..600 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 8) as f32 / 16_777_216.0;
            let (slope, kind) = (f32::from(row % 100) / 100.0, f32::from(row % 5));
            table.values.extend([slope, if row % 7 == 0 { f32::NAN } else { noise }, kind]);
            table.targets.push(2.0 * slope + if row % 5 == 3 { 1.0 } else { 0.0 } + 0.2 * noise);
            table.weights.push(1.0 + f32::from(row % 3));
        }
        table
    }

    fn recipe(loss: Loss, threads: u32) -> Recipe {
        Recipe { rounds: 30, threads, ..Recipe::new(loss) }
    }

    fn quantiles() -> Loss {
        Loss::Quantiles(vec![0.1, 0.5, 0.9])
    }

    fn fitted(loss: Loss, threads: u32) -> Box<dyn Boosted> {
        fit(&table().prepare().expect("a sound table"), &recipe(loss, threads), &mut |_| ()).expect("a fit")
    }

    const ROWS: [[f32; 3]; 3] = [[0.1, 0.5, 0.0], [0.9, f32::NAN, 3.0], [0.5, 0.2, 4.0]];

    fn scores(model: &dyn Boosted) -> Vec<f32> {
        let predict = |row: &[f32; 3]| {
            let mut out = vec![0.0; model.outputs()];
            model.predict_into(row, &mut out).expect("a prediction");
            out
        };
        ROWS.iter().flat_map(predict).collect()
    }

    #[test]
    fn fixed_rows_have_fixed_scores() {
        let golden: [(Loss, &[f32]); 3] = [(quantiles(), &GOLDEN_QUANTILES), (Loss::Squared, &GOLDEN_SQUARED), (Loss::Poisson, &GOLDEN_POISSON)];
        let found = golden.clone().map(|(loss, _)| scores(&*fitted(loss, 1)));
        let near = |found: &[f32], golden: &[f32]| found.len() == golden.len() && found.iter().zip(golden).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(found.iter().zip(&golden).all(|(found, (_, golden))| near(found, golden)), "{found:?} is not {golden:?}");
    }

    const GOLDEN_QUANTILES: [f32; 9] = [0.31177366, 0.32583308, 1.3726884, 1.3050247, 2.3909202, 2.539971, 0.7319886, 1.1487187, 1.6822448];
    const GOLDEN_SQUARED: [f32; 3] = [0.4190866, 2.5556657, 1.28621];
    const GOLDEN_POISSON: [f32; 3] = [0.63276076, 2.2977605, 1.2516713];

    #[test]
    fn the_same_fit_has_the_same_bytes_on_one_thread_and_on_two() {
        let bytes = fitted(quantiles(), 1).to_bytes().expect("bytes");
        assert_eq!(bytes, fitted(quantiles(), 1).to_bytes().expect("bytes"));
        assert_eq!(bytes, fitted(quantiles(), 2).to_bytes().expect("bytes"));
    }

    #[test]
    fn what_was_written_is_read() {
        let average = Average::new(vec![fitted(quantiles(), 1), fitted(quantiles(), 2)]).expect("two of one shape");
        for model in [fitted(quantiles(), 1), fitted(Loss::Squared, 1), Box::new(average)] {
            let read = load(&model.to_bytes().expect("bytes")).expect("what was written");
            assert_eq!(scores(&*model), scores(&*read));
        }
        for broken in [&b""[..], b"TORNAVG1\x01", b"TORNAVG1", b"HBM\0garbage"] {
            assert!(load(broken).is_err(), "{broken:?} was read");
        }
    }

    #[test]
    fn quantiles_do_not_cross_and_reasons_add_up() {
        let model = fitted(quantiles(), 1);
        for (row, score) in ROWS.iter().zip(scores(&*model).chunks(3)) {
            assert!(score.is_sorted(), "{score:?}");
            let sum: f32 = model.explain(row, 1).expect("reasons").iter().sum();
            assert!((sum - score[1]).abs() < 1e-3, "{sum} is not {}", score[1]);
        }
        assert!(model.explain(&ROWS[0], 3).is_err());
    }

    #[test]
    fn what_columns_move_on_the_way_adds_up_and_is_of_those_that_matter() {
        let (squared, average) = (fitted(Loss::Squared, 1), Average::new(vec![fitted(Loss::Squared, 1), fitted(Loss::Squared, 2)]).expect("two"));
        for model in [&*squared, &average, &*fitted(quantiles(), 1)] {
            for output in 0..model.outputs() {
                for (row, score) in ROWS.iter().zip(scores(model).chunks(model.outputs())) {
                    let mut parts = [7.0; 3];
                    let level = model.explain_path(row, output, &mut parts).expect("reasons");
                    let sum = level + parts.iter().sum::<f64>();
                    assert!((sum - f64::from(score[output])).abs() < 1e-3, "{sum} is not {}", score[output]);
                }
            }
            let mut parts = [0.0; 3];
            assert!(model.explain_path(&ROWS[0], 3, &mut parts).is_err());
            // Half of what there is of both, and of the category that matters.
            model.explain_path(&[0.99, f32::NAN, 3.0], 0, &mut parts).expect("reasons");
            assert!(parts[0] > 0.4 && parts[2] > 0.3 && parts[1].abs() < 0.1, "{parts:?}");
        }
    }

    #[test]
    fn what_cannot_be_learned_from_is_refused() {
        let broken: [fn(&mut Table); 5] = [
            |table| table.targets.clear(),
            |table| table.values.truncate(10),
            |table| table.values[4] = f32::INFINITY,
            |table| table.targets[3] = f32::NAN,
            |table| table.weights.truncate(1),
        ];
        for breaking in broken {
            let mut table = table();
            breaking(&mut table);
            assert!(table.prepare().is_err());
        }
        let model = fitted(quantiles(), 1);
        let mut out = [0.0; 3];
        assert!(model.predict_into(&[1.0], &mut out).is_err());
        assert!(model.predict_into(&[f32::INFINITY, 0.0, 0.0], &mut out).is_err());
        assert!(model.predict_into(&ROWS[0], &mut out[..1]).is_err());
    }
}
