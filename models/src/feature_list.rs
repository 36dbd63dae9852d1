//! What a model is fed: its features by name and unit, in their order. The order is part of the model, so the list has a hash that an artifact carries and that
//! whoever feeds the model must match. Nothing here knows what a feature means.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ModelError;

/// The most features of one model: a row then fits a fixed piece of stack and a set of its columns fits 128 bits.
pub const FEATURES_MAX: usize = 128;

/// One number that a model is fed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// Its name, as reasons and model cards show it.
    pub name: String,
    /// Its unit: `eur`, `s`, `1`, `log(1+n)`.
    pub unit: String,
}

/// Features in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureList(Vec<Feature>);

impl FeatureList {
    /// A list of names and units. Refused when it is empty, longer than [`FEATURES_MAX`], or has a name twice.
    pub fn new<N: Into<String>, U: Into<String>>(features: impl IntoIterator<Item = (N, U)>) -> Result<Self, ModelError> {
        let list: Vec<Feature> = features.into_iter().map(|(name, unit)| Feature { name: name.into(), unit: unit.into() }).collect();
        if list.is_empty() || list.len() > FEATURES_MAX {
            return Err(ModelError::BadShape { what: "a list of 1 to 128 features" });
        }
        let mut names: Vec<&str> = list.iter().map(|feature| feature.name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(ModelError::BadShape { what: "a list without a feature twice" });
        }
        Ok(Self(list))
    }

    /// How many features.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: an empty list is refused.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The features in their order.
    #[must_use]
    pub fn features(&self) -> &[Feature] {
        &self.0
    }

    /// The name of the feature in this place, if there is one.
    #[must_use]
    pub fn name(&self, place: usize) -> Option<&str> {
        self.0.get(place).map(|feature| feature.name.as_str())
    }

    /// SHA-256 over names and units with their lengths, so that no two lists run into each other.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for text in self.0.iter().flat_map(|feature| [&feature.name, &feature.unit]) {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_sees_order_names_and_units() {
        let hash = |features: &[(&str, &str)]| FeatureList::new(features.iter().copied()).unwrap().hash();
        let base = hash(&[("a", "eur"), ("b", "s")]);
        assert_eq!(base, hash(&[("a", "eur"), ("b", "s")]));
        for other in [&[("b", "s"), ("a", "eur")][..], &[("a", "eur"), ("b", "h")], &[("ae", "ur"), ("b", "s")], &[("a", "eur")]] {
            assert_ne!(base, hash(other), "{other:?}");
        }
    }

    #[test]
    fn a_list_is_neither_empty_nor_endless_nor_double() {
        assert!(FeatureList::new(Vec::<(String, String)>::new()).is_err());
        assert!(FeatureList::new((0..=FEATURES_MAX).map(|i| (format!("f{i}"), "1"))).is_err());
        assert!(FeatureList::new((0..FEATURES_MAX).map(|i| (format!("f{i}"), "1"))).is_ok());
        assert!(FeatureList::new([("a", "1"), ("b", "1"), ("a", "s")]).is_err());
    }
}
