//! A fitted model as it is kept: `model.bin` (little-endian, versioned, with a checksum) and `card.json` (what it is, what it was fitted on, how good it was).
//! Bytes in, bytes out: reading and writing files is for `training` and `actors`.
//!
//! The id of a model is the beginning of the SHA-256 of its `model.bin`, so the same data and seed give the same id whenever it was fitted; `created` stands in
//! the card only. A model that expects other features than it will be fed is refused before it is decoded.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ModelError;
use crate::feature_list::{Feature, FeatureList};

/// A larger [`MODEL_FILE`] is not read, in bytes.
pub const MODEL_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The name of the binary part in a model's directory.
pub const MODEL_FILE: &str = "model.bin";
/// The name of the readable part in a model's directory.
pub const CARD_FILE: &str = "card.json";

const MAGIC: [u8; 4] = *b"TORN";
/// Raised whenever the layout below or the encoding of a body changes.
const LAYOUT: u16 = 2;
/// Magic, layout, kind, feature hash, length of the body.
const HEAD: usize = 4 + 2 + 2 + 32 + 8;
const SUM: usize = 32;

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Scores sales.
    Fraud,
    /// Says how likely a booking is to be cancelled or not to show.
    Cancellation,
    /// Forecasts attendance.
    Demand,
}

impl Kind {
    /// Numbers are kept for ever and never used again.
    const fn number(self) -> u16 {
        match self {
            Self::Fraud => 1,
            Self::Cancellation => 2,
            Self::Demand => 3,
        }
    }
}

/// The data that a model was fitted on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingData {
    /// Its name: a file's name without its folder, or the name of a set.
    pub name: String,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// How many rows were used.
    pub rows: u64,
    /// From when to when, as the data states it.
    pub period: String,
}

/// A figure of the backtest and the protocol that it was taken by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// The protocol: `P5`.
    pub protocol: String,
    /// What was measured: `weighted_aucpr`.
    pub name: String,
    /// The figure.
    pub value: f64,
}

/// What is said of a model before it is sealed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Particulars {
    /// What it is for.
    pub kind: Kind,
    /// The method: `robust_covariance`, `blend`.
    pub method: String,
    /// When it was fitted, as the caller's clock said (RFC 3339), or the time of what it was fitted on. Not part of the identity.
    pub created: String,
    /// The version of the code that fitted it.
    pub code_revision: String,
    /// The data that it was fitted on.
    pub data: TrainingData,
    /// The seed of everything drawn by chance.
    pub seed: u64,
    /// Settings of the method, by name.
    pub settings: Vec<(String, String)>,
    /// Figures of the backtest.
    pub metrics: Vec<Metric>,
    /// The id of the model that it was made to replace.
    pub parent: Option<String>,
    /// Who let it act.
    pub approver: Option<String>,
}

/// The model card: the particulars and what sealing adds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The first 128 bits of the checksum, in hexadecimal.
    pub id: String,
    /// SHA-256 of `model.bin`, in hexadecimal.
    pub sha256: String,
    /// What the model must be fed, in this order.
    pub features: Vec<Feature>,
    /// SHA-256 of that list, in hexadecimal.
    pub feature_hash: String,
    /// The rest.
    #[serde(flatten)]
    pub particulars: Particulars,
}

/// A model as two files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The bytes of [`MODEL_FILE`].
    pub model: Vec<u8>,
    /// The text of [`CARD_FILE`].
    pub card: String,
}

impl Artifact {
    /// Seals a fitted model. The body is encoded by its serde form, field after field, integers and floats little-endian.
    pub fn seal<M: Serialize>(body: &M, features: &FeatureList, particulars: Particulars) -> Result<Self, ModelError> {
        let body = postcard::to_allocvec(body).map_err(|error| bad(format!("the model cannot be encoded: {error}")))?;
        let feature_hash = features.hash();
        let mut model = Vec::with_capacity(HEAD + body.len() + SUM);
        model.extend_from_slice(&MAGIC);
        model.extend_from_slice(&LAYOUT.to_le_bytes());
        model.extend_from_slice(&particulars.kind.number().to_le_bytes());
        model.extend_from_slice(&feature_hash);
        model.extend_from_slice(&(body.len() as u64).to_le_bytes());
        model.extend_from_slice(&body);
        let sum: [u8; SUM] = Sha256::digest(&model).into();
        model.extend_from_slice(&sum);
        let sha256 = hexadecimal(&Sha256::digest(&model));
        let card = Card {
            id: sha256[..32].to_owned(),
            sha256,
            features: features.features().to_vec(),
            feature_hash: hexadecimal(&feature_hash),
            particulars,
        };
        let mut card = serde_json::to_string_pretty(&card).map_err(|error| bad(format!("the card cannot be written: {error}")))?;
        card.push('\n');
        Ok(Self { model, card })
    }

    /// The card, checked against the model's bytes: a card of another model is refused.
    pub fn card(&self) -> Result<Card, ModelError> {
        let card: Card = serde_json::from_str(&self.card).map_err(|error| bad(format!("the card is not readable: {error}")))?;
        if card.sha256 != hexadecimal(&Sha256::digest(&self.model)) || card.id != card.sha256[..32] {
            return Err(bad("the card belongs to another model"));
        }
        Ok(card)
    }

    /// Opens a model that will be fed with `features`. Refused in this order: not a model, another layout, broken bytes, another kind, other features.
    pub fn open<M: DeserializeOwned>(&self, kind: Kind, features: &FeatureList) -> Result<M, ModelError> {
        decode(&self.model, kind, features)
    }
}

/// Opens the bytes of [`MODEL_FILE`] alone, as [`Artifact::open`] does.
pub fn decode<M: DeserializeOwned>(model: &[u8], kind: Kind, features: &FeatureList) -> Result<M, ModelError> {
    match first(body(model, kind, features)?)? {
        (decoded, []) => Ok(decoded),
        _ => Err(bad("bytes are left over")),
    }
}

/// As [`decode`], of a model behind which something more may stand; none where it was sealed alone. A pair is sealed as its first and its second.
pub fn decode_with<M: DeserializeOwned, R: DeserializeOwned>(model: &[u8], kind: Kind, features: &FeatureList) -> Result<(M, Option<R>), ModelError> {
    let (decoded, rest) = first(body(model, kind, features)?)?;
    if rest.is_empty() {
        return Ok((decoded, None));
    }
    match first(rest)? {
        (more, []) => Ok((decoded, Some(more))),
        _ => Err(bad("bytes are left over")),
    }
}

fn first<M: DeserializeOwned>(bytes: &[u8]) -> Result<(M, &[u8]), ModelError> {
    postcard::take_from_bytes(bytes).map_err(|_| bad("the model cannot be decoded"))
}

/// The body of sound bytes of a model.
fn body<'a>(model: &'a [u8], kind: Kind, features: &FeatureList) -> Result<&'a [u8], ModelError> {
    let broken = |problem: &str| Err(bad(problem));
    if model.len() as u64 > MODEL_BYTES_MAX {
        return broken("it is larger than any model may be");
    }
    if model.len() < HEAD + SUM || model[..4] != MAGIC {
        return broken("not a model file");
    }
    if model[4..6] != LAYOUT.to_le_bytes() {
        return broken("a layout of another version: train it anew with this one");
    }
    let (sealed, sum) = model.split_at(model.len() - SUM);
    if Sha256::digest(sealed)[..] != *sum {
        return broken("the checksum does not match");
    }
    if sealed[6..8] != kind.number().to_le_bytes() {
        return broken("a model of another kind");
    }
    if sealed[8..40] != features.hash() {
        return Err(ModelError::OtherFeatures);
    }
    let body = &sealed[HEAD..];
    if sealed[40..HEAD] != (body.len() as u64).to_le_bytes() {
        return broken("the length does not match");
    }
    Ok(body)
}

fn bad(problem: impl Into<String>) -> ModelError {
    ModelError::BadArtifact { problem: problem.into() }
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features() -> FeatureList {
        FeatureList::new([("amount", "eur"), ("age", "s")]).unwrap()
    }

    fn particulars(created: &str) -> Particulars {
        Particulars {
            kind: Kind::Fraud,
            method: "test".to_owned(),
            created: created.to_owned(),
            code_revision: "0".to_owned(),
            data: TrainingData { name: "d".to_owned(), sha256: "0".to_owned(), rows: 3, period: "2016".to_owned() },
            seed: 7,
            settings: vec![("trees".to_owned(), "300".to_owned())],
            metrics: vec![Metric { protocol: "P5".to_owned(), name: "weighted_aucpr".to_owned(), value: 0.7351 }],
            parent: None,
            approver: None,
        }
    }

    fn sealed(created: &str) -> Artifact {
        Artifact::seal(&vec![1.5_f64, -2.0, 1e-300], &features(), particulars(created)).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_and_the_time_is_no_part_of_the_identity() {
        let (first, later) = (sealed("2026-11-26T00:00:00Z"), sealed("2027-01-01T00:00:00Z"));
        assert_eq!(first.model, later.model);
        assert_eq!(first.card().unwrap().id, later.card().unwrap().id);
        assert_ne!(first.card, later.card);
        assert_eq!(first.open::<Vec<f64>>(Kind::Fraud, &features()).unwrap(), [1.5, -2.0, 1e-300]);
        assert_eq!(first.card().unwrap().particulars, particulars("2026-11-26T00:00:00Z"));
    }

    #[test]
    fn what_stands_behind_a_model_is_read_with_it_and_may_be_missing() {
        let with = Artifact::seal(&(vec![1.5_f64], &[7_u16, 8]), &features(), particulars("")).unwrap();
        let read = |artifact: &Artifact| decode_with::<Vec<f64>, [u16; 2]>(&artifact.model, Kind::Fraud, &features());
        assert_eq!(read(&with), Ok((vec![1.5], Some([7, 8]))));
        assert_eq!(with.open::<Vec<f64>>(Kind::Fraud, &features()), Err(bad("bytes are left over")));
        assert_eq!(read(&sealed("")), Ok((vec![1.5, -2.0, 1e-300], None)), "as models were sealed before");
        let more = Artifact::seal(&(vec![1.5_f64], &[7_u16, 8, 9]), &features(), particulars("")).unwrap();
        assert_eq!(read(&more), Err(bad("bytes are left over")));
        let half = Artifact::seal(&(vec![1.5_f64], &[7_u16]), &features(), particulars("")).unwrap();
        assert_eq!(read(&half), Err(bad("the model cannot be decoded")));
    }

    #[test]
    fn every_changed_bit_is_found() {
        let good = sealed("");
        for place in 0..good.model.len() {
            let mut bad = good.clone();
            bad.model[place] ^= 1;
            assert!(bad.open::<Vec<f64>>(Kind::Fraud, &features()).is_err(), "byte {place}");
            assert!(bad.card().is_err());
        }
        for length in 0..good.model.len() {
            assert!(decode::<Vec<f64>>(&good.model[..length], Kind::Fraud, &features()).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn another_layout_is_said_to_be_one_whatever_else_is_wrong() {
        let mut old = sealed("");
        old.model[4..6].copy_from_slice(&(LAYOUT - 1).to_le_bytes());
        let refused = Err(bad("a layout of another version: train it anew with this one"));
        assert_eq!(old.open::<Vec<f64>>(Kind::Fraud, &features()), refused);
        assert_eq!(old.open::<Vec<f64>>(Kind::Demand, &features()), refused);
    }

    #[test]
    fn another_kind_or_other_features_are_refused() {
        let good = sealed("");
        assert_eq!(good.open::<Vec<f64>>(Kind::Demand, &features()), Err(bad("a model of another kind")));
        let swapped = FeatureList::new([("age", "s"), ("amount", "eur")]).unwrap();
        assert_eq!(good.open::<Vec<f64>>(Kind::Fraud, &swapped), Err(ModelError::OtherFeatures));
    }
}
