//! What a node is rebuilt from when it starts, and why it may not start: the data folder is in use, the journal damaged, the clock wrong.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tornello_engine::time::{DAY_S, MICROS_PER_S, Timestamp};

use crate::codes::CodesError;
use crate::fraud::SavedFile;
use crate::journal::{self, Batch, Head, Journal, JournalError};
use crate::keys::KeysError;
use crate::people::PeopleError;
use crate::secret_file;
use crate::signing::{SigningError, SigningKeys};
use crate::sqlite::{is_damaged, is_misfit};
use crate::start::{self, Boards, Checked, JUMP_S, Memory};
use crate::streams::Streams;
use crate::views::{Views, ViewsError};

/// A wall clock this far behind the journal's last record is wrong.
pub(super) const BEHIND_S: i64 = 60;
/// A wall clock this far ahead of it may be wrong.
pub(super) const AHEAD_S: i64 = 366 * DAY_S;
/// By one that was ahead by more than [`JUMP_S`] nothing is erased by its date for so long.
const DOUBTED_S: i64 = DAY_S;
/// What stands in a data folder only if its keys were made before: each start makes these first, and flushes them.
const AFTER_KEYS: [&str; 3] = ["people-keys.db", "views.db", "scorers.state"];

/// Why an installation does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error("the data folder {folder} cannot be used")]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process uses it.
    #[error("another process uses the data folder {0}: stop it first, or choose another folder with --data")]
    InUse(PathBuf),
    /// The journal has lost batches that were answered: something was built from them once they were on the disk.
    #[error(
        "the journal does not hold {} that {built} was built from: what they held was answered, and is lost. Put a backup of the journal in its place that \
        has them, or start with --accept-loss to go on without them for good",
        batches(*first, *last)
    )]
    Lost {
        /// The first.
        first: u64,
        /// The last that is known of.
        last: u64,
        /// What knows of them: a file of the data folder.
        built: &'static str,
    },
    /// Keys are missing that what the folder holds depends on: a start would make others, and what was lost would be noticed at the gates.
    #[error(
        "the data folder {folder} was in use before, and lacks {}: put what is missing back from the backup and start again. If there is no copy of it any more, start \
        with --new-keys, once, to make new keys and go on without for good",
        lacking(files)
    )]
    NoKeys {
        /// Which.
        folder: PathBuf,
        /// What is missing.
        files: Vec<KeyFile>,
    },
    /// The journal is damaged or cannot be read.
    #[error("the journal does not allow a start: {0}: `tornello verify` tells more; put a backup in its place")]
    Journal(JournalError),
    /// The journal was written by a newer program.
    #[error("{0}: start that program, or a newer one")]
    Newer(JournalError),
    /// The read models cannot be used.
    #[error("{0}: if the disk is in order, delete views.db, views.db-wal and views.db-shm in the data folder; they are built again from the journal")]
    Views(#[from] ViewsError),
    /// Keys cannot be read.
    #[error(transparent)]
    Keys(KeysError),
    /// Contacts cannot be read.
    #[error(transparent)]
    People(PeopleError),
    /// A file that cannot be built again is not what was written to it.
    #[error("{file} is damaged: put {remedy}")]
    Damaged {
        /// Which.
        file: &'static str,
        /// What can be done.
        remedy: &'static str,
        /// What was seen.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file that cannot be built again has other tables than this program makes: whether another version wrote it or it is damaged, nobody can tell from here.
    #[error(
        "{file} does not have the tables that this program makes there: start the version that wrote it; if that is this one, it is damaged: put {remedy}"
    )]
    Misfit {
        /// Which.
        file: &'static str,
        /// What can be done if it is damaged.
        remedy: &'static str,
        /// What was seen.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
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
        match error {
            JournalError::Newer { .. } => Self::Newer(error),
            error => Self::Journal(error),
        }
    }
}

impl From<KeysError> for StartError {
    fn from(error: KeysError) -> Self {
        const FILE: &str = "keys.db";
        const REMEDY: &str =
            "it back from the backup, with its -wal if there is one; without a copy, move it away and make new API keys with `tornello keys create`";
        match error {
            KeysError::Store { ref source, .. } if is_damaged(source) => Self::Damaged { file: FILE, remedy: REMEDY, source: error.into() },
            KeysError::Store { ref source, .. } if is_misfit(source) => Self::Misfit { file: FILE, remedy: REMEDY, source: error.into() },
            error => Self::Keys(error),
        }
    }
}

impl From<PeopleError> for StartError {
    fn from(error: PeopleError) -> Self {
        const FILE: &str = "people.db or people-keys.db";
        const REMEDY: &str = "both back from the backup, with their -wal if there are any; without a copy, move both away: the contacts are gone then, and nothing else";
        match error {
            PeopleError::Store { ref source, .. } if is_damaged(source) => Self::Damaged { file: FILE, remedy: REMEDY, source: error.into() },
            PeopleError::Store { ref source, .. } if is_misfit(source) => Self::Misfit { file: FILE, remedy: REMEDY, source: error.into() },
            error => Self::People(error),
        }
    }
}

fn batches(first: u64, last: u64) -> String {
    if first == last { format!("batch {first}") } else { format!("batches {first} to {last}") }
}

/// A file of keys in a data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFile {
    /// What signs ticket codes.
    Signing,
    /// What contacts are encrypted with in the end, and what pseudonyms follow from.
    Master,
}

impl KeyFile {
    const ALL: [Self; 2] = [Self::Signing, Self::Master];

    /// Its name within the folder.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signing => "signing.keys",
            Self::Master => "master.key",
        }
    }

    /// Where it is.
    pub(super) fn of(self, data: &Path) -> PathBuf {
        data.join(self.name())
    }

    /// What is so without it.
    const fn loss(self) -> &'static str {
        match self {
            Self::Signing => "the code of no ticket that was sold before is good at a gate",
            Self::Master => "no contact can be read, and buyers, devices and cards go by other pseudonyms than before",
        }
    }
}

fn lacking(files: &[KeyFile]) -> String {
    let lacking: Vec<String> = files.iter().map(|file| format!("{}, without which {}", file.name(), file.loss())).collect();
    lacking.join("; and ")
}

/// Refuses a folder that was in use before and lacks keys, because what it holds depends on the keys that it had; unless that was accepted. Answers whether the folder was in
/// use. No key may be made before this has looked.
pub(super) async fn check_keys(data: &Path, journal: &dyn Journal, accept: bool) -> Result<bool, StartError> {
    let was_used = journal.head().await?.number > 0 || AFTER_KEYS.iter().any(|name| data.join(name).exists());
    let files: Vec<KeyFile> = KeyFile::ALL.into_iter().filter(|file| !file.of(data).exists()).collect();
    if !was_used || files.is_empty() {
        return Ok(was_used);
    }
    let lacks = StartError::NoKeys { folder: data.to_owned(), files };
    if !accept {
        return Err(lacks);
    }
    tracing::error!(%lacks, "this was accepted: new keys are made");
    Ok(was_used)
}

/// Says so if the keys that sign tickets were made when the journal had begun: a journal was put into a folder that had been started without it. No reason to refuse,
/// as the clock of a new machine may have been set back before anything was written. Answers whether there was something to say.
pub(super) async fn doubt_keys(keys: &SigningKeys, journal: &dyn Journal) -> bool {
    // Those that were made in the place of lost ones are numbered otherwise.
    let Some(first) = keys.seeds().next().filter(|oldest| oldest.id == SigningKeys::FIRST) else { return false };
    // One that cannot be read is told of by the check.
    let Ok(batches) = journal.batches(0, 1).await else { return false };
    if let Some(batch) = batches.first()
        && first.created_at > batch.at
    {
        tracing::warn!(
            made = %first.created_at,
            begun = %batch.at,
            "signing.keys was made after the journal had begun: if this journal is a backup that was put back, put the signing.keys and master.key that belong to it back \
            too, or the code of no ticket that was sold before is good at a gate"
        );
        return true;
    }
    false
}

/// What a data folder holds that was built from the journal. All of it takes in only what was flushed, and whatever of it a machine's end may have torn is gone
/// before it is asked: so a batch that it knows was answered, and a journal without that batch has lost it.
pub(super) struct Built<'a> {
    /// The data folder.
    pub(super) folder: &'a Path,
    /// The read models.
    pub(super) views: &'a Views,
    /// Whether to go on without batches that the journal has lost.
    pub(super) accept_loss: bool,
}

/// The last batch that something was built from.
struct Reach {
    built: &'static str,
    batch: u64,
    hash: Vec<u8>,
}

impl Built<'_> {
    fn scorers(&self) -> SavedFile {
        SavedFile::in_folder(self.folder)
    }

    /// How far all of it reaches; the furthest last.
    async fn reaches(&self) -> Result<Vec<Reach>, ViewsError> {
        let views = self.views.positions().await?.into_iter().map(|(batch, hash)| Reach { built: "views.db", batch, hash });
        let scorers = self.scorers().position().map(|(batch, hash)| Reach { built: "scorers.state", batch, hash: hash.to_vec() });
        let mut reaches: Vec<Reach> = views.chain(scorers).filter(|reach| reach.batch > 0).collect();
        reaches.sort_by_key(|reach| reach.batch);
        Ok(reaches)
    }
}

impl Reach {
    /// Its batch is not in a journal that is sound up to `end`.
    fn lost(&self, end: u64) -> StartError {
        // A journal that goes on further has another batch there.
        let first = if end < self.batch { end + 1 } else { self.batch };
        StartError::Lost { first, last: self.batch, built: self.built }
    }
}

/// Checks the journal and builds everything in memory from it. A journal that does not hold what read models or scorers were built from has lost it: it allows
/// no start, unless that was accepted; they are thrown away then, and built again.
pub(super) async fn rebuild(
    journal: &dyn Journal,
    built: Option<Built<'_>>,
    streams: &Streams,
    boards: Boards<'_>,
    now: Timestamp,
    mut progress: impl FnMut(u64),
) -> Result<Checked, StartError> {
    let mut cut = None;
    loop {
        let (complete, heads) = match &built {
            Some(built) => built.views.heads().await?,
            None => (0, Vec::new()),
        };
        let mut missing = match &built {
            Some(built) => built.reaches().await?,
            None => Vec::new(),
        };
        let accepted = built.as_ref().is_some_and(|built| built.accept_loss);
        // What was flushed is not cut off: a backup may be mended with what is left of it. And what is cut off, no list, head or snapshot knows of.
        let flushed = missing.last().map_or(0, |reach| reach.batch);
        let furthest = missing.last().map(|reach| (reach.batch, reach.built));
        let mut memory = Memory::at(now);
        let take_in = |batch: &Batch| {
            missing.retain(|reach| reach.batch != batch.number || reach.hash[..] != batch.hash());
            memory.take_in(batch, complete)
        };
        let checked = match start::check(journal, Some(if accepted { 0 } else { flushed }), take_in, &mut progress).await {
            Ok(checked) => checked,
            Err(error) => return Err(damaged(journal, error, furthest.filter(|_| !accepted)).await),
        };
        cut = cut.or(checked.cut);
        if let (Some(built), Some(reach)) = (&built, missing.last()) {
            let lost = reach.lost(checked.head.number);
            if !accepted {
                return Err(lost);
            }
            tracing::error!(%lost, "this was accepted: all lists, and what scorers know, are built again from what is left");
            built.scorers().forget().map_err(|source| StartError::Folder { folder: built.folder.to_owned(), source })?;
            built.views.clear().await?;
            continue;
        }
        memory.restore(heads, streams, boards).await?;
        return Ok(Checked { cut, ..checked });
    }
}

/// Why a journal whose check failed allows no start. One that is damaged where it ends, in a batch that was flushed, has lost what `furthest` was built from.
async fn damaged(journal: &dyn Journal, error: JournalError, furthest: Option<(u64, &'static str)>) -> StartError {
    if let JournalError::Corrupt { batch, .. } = error
        && let Some((last, built)) = furthest
        && (1..=last).contains(&batch)
        && journal.head().await.is_ok_and(|head| head.number == batch)
    {
        return StartError::Lost { first: batch, last, built };
    }
    error.into()
}

/// Refuses a wall clock that does not fit the journal's last record, unless it was accepted.
pub(super) fn check_clock(head: &Head, wall: Timestamp, accept: bool) -> Result<(), StartError> {
    let apart_us = wall.micros_since(head.at);
    if head.number == 0 || accept || (-BEHIND_S * 1_000_000..=AHEAD_S * 1_000_000).contains(&apart_us) {
        return Ok(());
    }
    Err(StartError::Clock { wall, last: head.at })
}

/// From when on whatever has a date is erased whose time is over. A wall clock that is far ahead of the journal's last record is believed up to a year, as of a house that was closed; but
/// if it is wrong all else can be mended, and what is erased is gone. So whoever reads the log has a day to set it right. Another start meanwhile takes nothing of that: by then the last
/// records are of the same clock, and those before them show how far it was ahead.
pub(super) fn erases_from(started: &Checked, wall: Timestamp, accept: bool) -> Timestamp {
    let Head { number, at: last, .. } = started.head;
    let is_ahead = number > 0 && wall.micros_since(last) > JUMP_S * MICROS_PER_S;
    let doubted = if is_ahead { Some(wall) } else { started.jumped_at };
    let Some(from) = doubted.map(|since| since.plus_seconds(DOUBTED_S)).filter(|from| !accept && *from > wall) else { return wall };
    tracing::warn!(
        %wall, %last, %from,
        "the wall clock is days ahead of what the journal had a day ago: in case it is wrong, nothing is erased by its date before then"
    );
    from
}

/// A data folder that is this process's alone, until this is dropped.
#[derive(Debug)]
pub struct FolderLock {
    /// None where no file can be made: there the journal's alone is taken.
    _folder: Option<File>,
    /// Whoever reads that the folder is in use may remove the file above, as left over: then two would write over each other in the journal.
    _journal: File,
}

/// Takes the data folder for this process alone, until what is returned is dropped; what [`Node::start`](super::Node::start) does first.
pub fn lock(data: &Path) -> Result<FolderLock, StartError> {
    // What the journal holds is for its owner alone, and it may be made here.
    let mut private = OpenOptions::new();
    private.write(true).create(true).truncate(false).mode(0o600);
    Ok(FolderLock { _folder: Some(take(data, "lock", &private)?), _journal: take(data, journal::file::FILE, &private)? })
}

/// As [`lock`], for whoever only reads what is there: a snapshot, or a backup on a disk that takes no writes, will do.
pub fn lock_to_read(data: &Path) -> Result<FolderLock, StartError> {
    match lock(data) {
        Err(StartError::Folder { source, .. }) if source.kind() == ErrorKind::ReadOnlyFilesystem => {
            Ok(FolderLock { _folder: None, _journal: take(data, journal::file::FILE, OpenOptions::new().read(true))? })
        }
        taken => taken,
    }
}

fn take(data: &Path, name: &str, options: &OpenOptions) -> Result<File, StartError> {
    let folder = |source| StartError::Folder { folder: data.to_owned(), source };
    let file = secret_file::open_or_make(&data.join(name), options).map_err(|error| folder(error.into()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse(data.to_owned())),
        Err(TryLockError::Error(error)) => Err(folder(error)),
    }
}
