//! What the scorers know, in one file that can be deleted at any time: it is heard again from the journal then. Written beside and renamed, so that there is
//! always a whole one; with a checksum, and for one list of features only.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tornello_models::fraud::signals::{Store, feature_hash};

use super::fold::Fold;
use crate::signing::secret_file;

/// Raised whenever what is saved changes its form, or what is heard of the same journal.
const FORMAT: u32 = 10;
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

    /// The batch up to which it was heard, and that batch's hash; none if there is no such file, or it cannot be used.
    #[must_use]
    pub fn position(&self) -> Option<(u64, [u8; 32])> {
        let bytes = std::fs::read(&self.0).ok()?;
        // The first fields of what is saved: the rest is large.
        postcard::take_from_bytes(Self::body(&bytes)?).ok().map(|(position, _)| position)
    }

    /// Forgets what it says, for good: a machine that ended would bring back what no journal holds any more, and the next start would be refused for it.
    pub fn forget(&self) -> std::io::Result<()> {
        Ok(secret_file::remove(&self.0)?)
    }

    fn parse(bytes: &[u8]) -> Option<State> {
        postcard::from_bytes(Self::body(bytes)?).ok()
    }

    fn body(bytes: &[u8]) -> Option<&[u8]> {
        let rest = bytes.strip_prefix(MAGIC.as_slice())?;
        let (format, rest) = rest.split_first_chunk::<4>()?;
        let (hash, rest) = rest.split_first_chunk::<8>()?;
        let (crc, body) = rest.split_first_chunk::<4>()?;
        let fits =
            u32::from_le_bytes(*format) == FORMAT && u64::from_le_bytes(*hash) == feature_hash() && u32::from_le_bytes(*crc) == crc32c::crc32c(body);
        fits.then_some(body)
    }

    /// Writes it anew.
    pub fn write(&self, state: &Saving<'_>) -> std::io::Result<()> {
        let body = postcard::to_allocvec(state).map_err(std::io::Error::other)?;
        secret_file::replace_with(&self.0, |file| {
            file.write_all(MAGIC)?;
            file.write_all(&FORMAT.to_le_bytes())?;
            file.write_all(&feature_hash().to_le_bytes())?;
            file.write_all(&crc32c::crc32c(&body).to_le_bytes())?;
            file.write_all(&body)
        })?;
        Ok(())
    }
}
