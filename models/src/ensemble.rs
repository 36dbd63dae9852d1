//! Boosted trees with one output as a part of a model that is kept: written as the bytes of the boosting library, asked with `f64` rows, without an allocation.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ModelError;
use crate::boost::{self, Boosted};
use crate::feature_list::FEATURES_MAX;

/// Fitted trees and the bytes they are kept as.
#[derive(Clone)]
pub struct Ensemble {
    trees: Arc<dyn Boosted>,
    bytes: Arc<[u8]>,
}

impl Ensemble {
    /// Takes fitted trees; refused when they answer with more than one number or want more columns than a feature list has.
    pub fn new(trees: Box<dyn Boosted>) -> Result<Self, ModelError> {
        let bytes = trees.to_bytes()?.into();
        Self::checked(trees, bytes)
    }

    fn checked(trees: Box<dyn Boosted>, bytes: Arc<[u8]>) -> Result<Self, ModelError> {
        if trees.outputs() != 1 || trees.columns() > FEATURES_MAX {
            return Err(ModelError::BadArtifact { problem: "trees of one output and at most 128 columns were expected".to_owned() });
        }
        Ok(Self { trees: trees.into(), bytes })
    }

    /// How many columns a row has.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.trees.columns()
    }

    /// The answer for a row.
    pub fn predict(&self, row: &[f64]) -> Result<f64, ModelError> {
        let mut out = [0.0];
        self.trees.predict_into(&narrow(row)[..self.columns()], &mut out)?;
        Ok(f64::from(out[0]))
    }

    /// The answer for a row of the width that the trees take.
    pub fn predict_narrow(&self, row: &[f32]) -> Result<f64, ModelError> {
        let mut out = [0.0];
        self.trees.predict_into(row, &mut out)?;
        Ok(f64::from(out[0]))
    }

    /// What each column moves the score before its link on its ways through the trees: see [`Boosted::explain_path`].
    pub fn explain_path(&self, row: &[f64], parts: &mut [f64]) -> Result<(), ModelError> {
        self.trees.explain_path(&narrow(row)[..self.columns()], 0, parts).map(drop)
    }

    /// What each column adds (SHAP), and last the level they start from. Slow.
    pub fn explain(&self, row: &[f64]) -> Result<Vec<f64>, ModelError> {
        let narrow: Vec<f32> = row.iter().map(|&x| x as f32).collect();
        Ok(self.trees.explain(&narrow, 0)?.into_iter().map(f64::from).collect())
    }
}

/// A row as the trees take it; what it lacks is missing.
fn narrow(row: &[f64]) -> [f32; FEATURES_MAX] {
    let mut narrow = [f32::NAN; FEATURES_MAX];
    for (slot, &x) in narrow.iter_mut().zip(row) {
        *slot = x as f32;
    }
    narrow
}

impl PartialEq for Ensemble {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl fmt::Debug for Ensemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ensemble({} columns, {} bytes)", self.columns(), self.bytes.len())
    }
}

impl Serialize for Ensemble {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.bytes.as_ref().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Ensemble {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        let trees = boost::load(&bytes).map_err(serde::de::Error::custom)?;
        Self::checked(trees, bytes.into()).map_err(serde::de::Error::custom)
    }
}
