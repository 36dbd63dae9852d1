//! Whether the read models' file can be believed. It is written without a flush, so that the journal never waits on the disk behind lists that can be built again: a
//! process that ends loses nothing by that, but a machine that ends may leave any part of it unwritten. A stamp beside it says in which boot of the machine it was
//! written last, or that it was flushed at the end.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::signing::secret_file;

/// Linux says it anew at each boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Where nothing says it: only what was flushed is believed.
const UNKNOWN: &str = "unknown";
const FLUSHED: &str = "flushed";

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

    /// Before the file is opened: removes what may be torn, and notes that it is written from now on. Says whether something was removed.
    pub(super) fn begin(&self) -> io::Result<bool> {
        let torn = match std::fs::read_to_string(self.file()) {
            Ok(stamp) => stamp != FLUSHED && (stamp != self.boot || self.boot == UNKNOWN),
            // Written by a version that flushed, or not at all yet.
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if torn {
            for end in ["", "-wal", "-shm"] {
                match std::fs::remove_file(self.beside(end)) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        self.write(&self.boot)?;
        Ok(torn)
    }

    /// After the file was closed: flushes it, and notes that.
    pub(super) fn end(&self) -> io::Result<()> {
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
        assert!(!stamp("one").begin().unwrap() && views.exists());
        assert!(!stamp("one").begin().unwrap() && views.exists(), "the process ended, the machine went on");
        std::fs::write(folder.path().join("views.db-wal"), "").unwrap();
        assert!(stamp("two").begin().unwrap() && !views.exists() && !folder.path().join("views.db-wal").exists());
        std::fs::write(&views, "built again").unwrap();
        stamp("two").end().unwrap();
        assert!(!stamp("three").begin().unwrap() && views.exists());
        stamp(UNKNOWN).end().unwrap();
        assert!(!stamp(UNKNOWN).begin().unwrap() && views.exists());
        assert!(stamp(UNKNOWN).begin().unwrap() && !views.exists(), "nothing says that the machine went on");
    }
}
