//! What the scorers know, in one file that can be deleted at any time: it is heard again from the journal then. Written beside and renamed, so that there is
//! always a whole one; with a checksum, and for one list of features only.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tornello_models::fraud::signals::{Store, feature_hash};

use super::fold::Fold;

/// Raised whenever what is saved changes its form, or what is heard of the same journal.
const FORMAT: u32 = 5;
const MAGIC: &[u8; 8] = b"tornello";

/// What is read back.
#[derive(Deserialize)]
pub struct State {
    /// Up to which batch.
    pub position: u64,
    /// That batch's hash.
    pub hash: [u8; 32],
    /// Who began what, and rows.
    pub fold: Fold,
    /// The counters.
    pub stores: Vec<Store>,
}

/// What is written.
#[derive(Serialize)]
pub struct Saving<'a> {
    /// Up to which batch.
    pub position: u64,
    /// That batch's hash.
    pub hash: [u8; 32],
    /// Who began what, and rows.
    pub fold: &'a Fold,
    /// The counters.
    pub stores: Vec<Store>,
}

/// The file.
#[derive(Debug, Clone)]
pub struct SavedFile(PathBuf);

impl SavedFile {
    /// In the data folder.
    #[must_use]
    pub fn in_folder(data: &Path) -> Self {
        Self(data.join("scorers.state"))
    }

    /// What it says; none if there is none, or it cannot be used.
    #[must_use]
    pub fn read(&self) -> Option<State> {
        let bytes = std::fs::read(&self.0).ok()?;
        let state = Self::parse(&bytes);
        if state.is_none() {
            tracing::warn!(file = %self.0.display(), "what the scorers knew cannot be read; it is heard again from the journal");
        }
        state
    }

    fn parse(bytes: &[u8]) -> Option<State> {
        let rest = bytes.strip_prefix(MAGIC.as_slice())?;
        let (format, rest) = rest.split_first_chunk::<4>()?;
        let (hash, rest) = rest.split_first_chunk::<8>()?;
        let (crc, body) = rest.split_first_chunk::<4>()?;
        let fits =
            u32::from_le_bytes(*format) == FORMAT && u64::from_le_bytes(*hash) == feature_hash() && u32::from_le_bytes(*crc) == crc32c::crc32c(body);
        fits.then(|| postcard::from_bytes(body).ok()).flatten()
    }

    /// Writes it anew.
    pub fn write(&self, state: &Saving<'_>) -> std::io::Result<()> {
        let body = postcard::to_allocvec(state).map_err(std::io::Error::other)?;
        let beside = self.0.with_extension("state.new");
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(MAGIC)?;
        file.write_all(&FORMAT.to_le_bytes())?;
        file.write_all(&feature_hash().to_le_bytes())?;
        file.write_all(&crc32c::crc32c(&body).to_le_bytes())?;
        file.write_all(&body)?;
        file.sync_data()?;
        std::fs::rename(&beside, &self.0)
    }
}
