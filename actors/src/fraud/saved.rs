//! What the scorers know, in one file that can be deleted at any time: it is heard again from the journal then. Written beside and renamed, so that there is
//! always a whole one; with a checksum, and for one list of features only.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tornello_models::fraud::signals::{Store, feature_hash};

use super::fold::Fold;
use crate::secret_file;

/// Raised whenever what is saved changes its form, or what is heard of the same journal.
pub(super) const FORMAT: u32 = 15;
const MAGIC: &[u8; 8] = b"tornello";
/// By how much the thread that writes yields to others, as `nice` counts it.
const PATIENCE: i32 = 10;

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
pub struct Saving {
    /// Up to which batch.
    pub position: u64,
    /// That batch's hash.
    pub hash: [u8; 32],
    /// Who began what, and rows.
    pub fold: Fold,
    /// The counters.
    pub stores: Vec<Store>,
}

/// The file.
#[derive(Debug, Clone)]
pub struct SavedFile {
    path: PathBuf,
    /// Held while it is being written.
    writing: Arc<Mutex<()>>,
}

impl SavedFile {
    /// In the data folder.
    #[must_use]
    pub fn in_folder(data: &Path) -> Self {
        Self { path: data.join("scorers.state"), writing: Arc::default() }
    }

    /// What it says; none if there is none, or it cannot be used.
    #[must_use]
    pub fn read(&self) -> Option<State> {
        let bytes = std::fs::read(&self.path).ok()?;
        let state = Self::parse(&bytes);
        if state.is_none() {
            tracing::warn!(file = %self.path.display(), "what the scorers knew cannot be read; it is heard again from the journal");
        }
        state
    }

    /// The batch up to which it was heard, and that batch's hash; none if there is no such file, or it cannot be used.
    #[must_use]
    pub fn position(&self) -> Option<(u64, [u8; 32])> {
        let bytes = std::fs::read(&self.path).ok()?;
        // The first fields of what is saved: the rest is large.
        postcard::take_from_bytes(Self::body(&bytes)?).ok().map(|(position, _)| position)
    }

    /// Forgets what it says, for good: a machine that ended would bring back what no journal holds any more, and the next start would be refused for it.
    pub fn forget(&self) -> io::Result<()> {
        Ok(secret_file::remove(&self.path)?)
    }

    /// Removes what a write that was killed left beside it: hundreds of megabytes, which would be there until the next write. Nobody may be writing.
    pub fn tidy(&self) {
        if let Err(error) = secret_file::remove_unfinished(&self.path) {
            tracing::warn!(error = %io::Error::from(error), "what a kill left of what the scorers know is not removed");
        }
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

    /// Whether it is being written.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.writing.try_lock().is_err()
    }

    /// Ends when it is not being written any more.
    pub async fn written(&self) {
        drop(self.writing.lock().await);
    }

    /// Begins to write it anew, on a thread of its own that yields to others: what is saved is large, and the scorers count meanwhile. Nothing comes of it while the one
    /// before is still being written. That thread makes `state` as well.
    pub fn begin(&self, state: impl FnOnce() -> Saving + Send + 'static) -> io::Result<()> {
        self.begin_with(move |path| write(path, &state()))
    }

    fn begin_with(&self, write: impl FnOnce(&Path) -> io::Result<()> + Send + 'static) -> io::Result<()> {
        let Ok(turn) = Arc::clone(&self.writing).try_lock_owned() else { return Ok(()) };
        let path = self.path.clone();
        let work = move || {
            if let Err(error) = rustix::process::nice(PATIENCE) {
                tracing::debug!(%error, "whoever saves what the scorers know cannot be made to wait for others");
            }
            // Only an optimisation of the next start.
            if let Err(error) = write(&path) {
                tracing::warn!(%error, "what the scorers know was not saved");
            }
            drop(turn);
        };
        std::thread::Builder::new().name("scorers-save".into()).spawn(work).map(drop)
    }
}

fn write(path: &Path, state: &Saving) -> io::Result<()> {
    let body = postcard::to_allocvec(state).map_err(io::Error::other)?;
    secret_file::replace_with(path, |file| {
        file.write_all(MAGIC)?;
        file.write_all(&FORMAT.to_le_bytes())?;
        file.write_all(&feature_hash().to_le_bytes())?;
        file.write_all(&crc32c::crc32c(&body).to_le_bytes())?;
        file.write_all(&body)
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn nobody_waits_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = SavedFile::in_folder(folder.path());
        let (go_on, wait) = mpsc::channel();
        let (told, tell) = mpsc::channel();
        // Who writes is told to go on only after whoever began it has gone on.
        file.begin_with(move |_| {
            let _ = told.send(wait.recv_timeout(Duration::from_secs(60)).is_ok());
            Ok(())
        })
        .unwrap();
        assert!(file.is_writing() && file.clone().is_writing());
        let saving = |position| Saving { position, hash: [3; 32], fold: Fold::default(), stores: Vec::new() };
        file.begin(move || saving(1)).unwrap();
        go_on.send(()).unwrap();
        file.written().await;
        assert_eq!(tell.recv(), Ok(true), "it was waited for");
        assert!(file.read().is_none(), "one is written at a time");
        file.begin(move || saving(2)).unwrap();
        file.written().await;
        assert!(!file.is_writing());
        assert_eq!((file.position(), file.read().map(|state| state.position)), (Some((2, [3; 32])), Some(2)));
    }
}
