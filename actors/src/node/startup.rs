//! What a node is rebuilt from when it starts, and why it may not start: the data folder is in use, the journal damaged, the clock wrong.

use std::path::{Path, PathBuf};

use tornello_engine::time::Timestamp;

use crate::codes::CodesError;
use crate::journal::{Batch, Head, Journal, JournalError};
use crate::keys::KeysError;
use crate::people::PeopleError;
use crate::signing::SigningError;
use crate::start::{self, Boards, Checked, Memory};
use crate::streams::Streams;
use crate::views::{Views, ViewsError};

/// A wall clock this far behind the journal's last record is wrong.
pub(super) const BEHIND_S: i64 = 60;
/// A wall clock this far ahead of it may be wrong.
pub(super) const AHEAD_S: i64 = 366 * 86_400;

/// Why an installation does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error("the data folder {folder} cannot be used: {source}")]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process uses it.
    #[error("another process uses the data folder {0}: stop it first, or choose another folder with --data")]
    InUse(PathBuf),
    /// The journal is damaged or cannot be read.
    #[error("the journal does not allow a start: {0}: `tornello verify` tells more; put a backup in its place")]
    Journal(JournalError),
    /// The read models cannot be used.
    #[error(transparent)]
    Views(#[from] ViewsError),
    /// Keys cannot be read.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Contacts cannot be read.
    #[error(transparent)]
    People(#[from] PeopleError),
    /// Signing keys cannot be read.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// Signing keys cannot be used.
    #[error(transparent)]
    Codes(#[from] CodesError),
    /// The wall clock and the journal disagree.
    #[error("the wall clock says {wall}, the journal's last record is of {last}: set the clock, or start with --accept-clock if it is right")]
    Clock {
        /// The wall clock.
        wall: Timestamp,
        /// The journal.
        last: Timestamp,
    },
    /// A thread cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}

impl From<JournalError> for StartError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

/// Checks the journal and builds everything in memory from it. Read models that were built from another journal, or from batches that this one no longer has,
/// are thrown away and built again.
pub(super) async fn rebuild(
    journal: &dyn Journal,
    views: Option<&Views>,
    streams: &Streams,
    boards: Boards<'_>,
    mut progress: impl FnMut(u64),
) -> Result<Checked, StartError> {
    let mut cut = None;
    loop {
        let (complete, heads) = match views {
            Some(views) => views.heads().await?,
            None => (0, Vec::new()),
        };
        let mut built_from: Vec<(u64, Vec<u8>)> = match views {
            Some(views) => views.positions().await?.into_iter().filter(|(batch, _)| *batch > 0).collect(),
            None => Vec::new(),
        };
        let mut memory = Memory::default();
        let take_in = |batch: &Batch| {
            built_from.retain(|(number, hash)| *number != batch.number || hash[..] != batch.hash());
            memory.take_in(batch, complete)
        };
        let checked = start::check(journal, true, take_in, &mut progress).await?;
        cut = cut.or(checked.cut);
        // A head or snapshot may know more than its position says, so after a cut none is trusted.
        if let Some(views) = views.filter(|_| checked.cut.is_some() || !built_from.is_empty()) {
            tracing::warn!("the read models do not belong to this journal; they are built again");
            views.clear().await?;
            continue;
        }
        for (slot, head) in heads {
            boards.slots.restore(slot, head);
        }
        memory.restore(streams, boards).await?;
        return Ok(Checked { cut, ..checked });
    }
}

/// Refuses a wall clock that does not fit the journal's last record, unless it was accepted.
pub(super) fn check_clock(head: &Head, wall: Timestamp, accept: bool) -> Result<(), StartError> {
    let apart_us = wall.micros_since(head.at);
    if head.number == 0 || accept || (-BEHIND_S * 1_000_000..=AHEAD_S * 1_000_000).contains(&apart_us) {
        return Ok(());
    }
    Err(StartError::Clock { wall, last: head.at })
}

/// Takes the data folder for this process alone, until the returned file is dropped; what [`Node::start`](super::Node::start) does first.
pub fn lock(data: &Path) -> Result<std::fs::File, StartError> {
    let folder = |source| StartError::Folder { folder: data.to_owned(), source };
    let file = std::fs::File::create(data.join("lock")).map_err(folder)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StartError::InUse(data.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(folder(error)),
    }
}
