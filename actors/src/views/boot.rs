//! Whether the read models' file can be believed. It is written without a flush, so that the journal never waits on the disk behind lists that can be built again. When the
//! process ends, nothing is lost by that; when the machine ends, any part of the file may be unwritten. So a stamp beside it says in which boot of the machine it was written
//! last, that it was flushed at the end, or that it is damaged.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::log;
use crate::secret_file;

/// Linux says it anew at each boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Where nothing says it: only what was flushed is believed.
const UNKNOWN: &str = "unknown";
const FLUSHED: &str = "flushed";
/// It was found to be damaged while it was open.
const DAMAGED: &str = "damaged";

/// The stamp of a file of read models.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    views: PathBuf,
    boot: String,
}

impl Stamp {
    /// Of this file, in this boot of the machine.
    pub(super) fn of(views: &Path) -> Self {
        let boot = std::fs::read_to_string(BOOT_ID).map_or_else(|_| UNKNOWN.to_owned(), |id| id.trim().to_owned());
        Self { views: views.to_owned(), boot }
    }

    /// Whether the file cannot be believed, and why.
    pub(super) fn doubt(&self) -> io::Result<Option<&'static str>> {
        let why = match std::fs::read(self.file()) {
            Ok(stamp) if stamp == DAMAGED.as_bytes() => Some("views.db was damaged"),
            Ok(stamp) if stamp != FLUSHED.as_bytes() && (stamp != self.boot.as_bytes() || self.boot == UNKNOWN) => {
                Some("the machine ended without a stop in good order")
            }
            Ok(_) => None,
            // Written by a version that flushed, or not at all yet.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(match why {
            None if !log::is_whole(&self.beside("-wal"))? => Some("views.db-wal is damaged"),
            why => why,
        })
    }

    /// Before the file is opened: removes what may be torn or damaged, and notes that it is written from now on. Says why something was removed.
    pub(super) fn begin(&self) -> io::Result<Option<&'static str>> {
        let why = self.doubt()?;
        if why.is_some() {
            self.remove()?;
        }
        self.write(&self.boot)?;
        Ok(why)
    }

    /// Removes the file, with what SQLite keeps beside it.
    pub(super) fn remove(&self) -> io::Result<()> {
        for end in ["", "-wal", "-shm"] {
            match std::fs::remove_file(self.beside(end)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// The file that it is of.
    pub(super) fn views(&self) -> &Path {
        &self.views
    }

    /// Notes that the file is damaged: whoever opens it next removes it.
    pub(super) fn distrust(&self) -> io::Result<()> {
        if self.is_distrusted() { Ok(()) } else { self.write(DAMAGED) }
    }

    fn is_distrusted(&self) -> bool {
        std::fs::read(self.file()).is_ok_and(|stamp| stamp == DAMAGED.as_bytes())
    }

    /// After the file was closed: flushes it, and notes that.
    pub(super) fn end(&self) -> io::Result<()> {
        if self.is_distrusted() {
            return Ok(());
        }
        File::open(&self.views)?.sync_all()?;
        // What could not be moved from here into the file when that was closed, as on a full disk, counts as much.
        match File::open(self.beside("-wal")) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            log => log?.sync_all()?,
        }
        self.write(FLUSHED)
    }

    /// What SQLite keeps beside the file, by how its name ends.
    pub(super) fn beside(&self, end: &str) -> PathBuf {
        let mut name = self.views.clone().into_os_string();
        name.push(end);
        name.into()
    }

    fn file(&self) -> PathBuf {
        self.views.with_extension("boot")
    }

    fn write(&self, stamp: &str) -> io::Result<()> {
        Ok(secret_file::replace(&self.file(), stamp.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_another_boot_are_believed_only_if_they_were_flushed() {
        let folder = tempfile::tempdir().unwrap();
        let views = folder.path().join("views.db");
        let stamp = |boot: &str| Stamp { views: views.clone(), boot: boot.to_owned() };
        std::fs::write(&views, "by a version that flushed").unwrap();
        assert!(stamp("one").begin().unwrap().is_none() && views.exists());
        assert!(stamp("one").begin().unwrap().is_none() && views.exists(), "the process ended, the machine went on");
        std::fs::write(folder.path().join("views.db-wal"), "").unwrap();
        assert!(stamp("two").begin().unwrap().is_some() && !views.exists() && !folder.path().join("views.db-wal").exists());
        std::fs::write(&views, "built again").unwrap();
        stamp("two").end().unwrap();
        assert!(stamp("three").begin().unwrap().is_none() && views.exists());
        stamp(UNKNOWN).end().unwrap();
        assert!(stamp(UNKNOWN).begin().unwrap().is_none() && views.exists());
        assert!(stamp(UNKNOWN).begin().unwrap().is_some() && !views.exists(), "nothing says that the machine went on");
    }

    #[test]
    fn lists_that_were_found_damaged_are_not_believed_again_however_they_end() {
        let folder = tempfile::tempdir().unwrap();
        let views = folder.path().join("views.db");
        let stamp = Stamp { views: views.clone(), boot: "one".to_owned() };
        assert!(stamp.begin().unwrap().is_none());
        std::fs::write(&views, "damaged").unwrap();
        stamp.distrust().unwrap();
        stamp.end().unwrap();
        assert!(stamp.begin().unwrap().is_some() && !views.exists());
        assert!(stamp.begin().unwrap().is_none(), "it is made anew once");
    }
}
