//! Lists of what is gone for good: one entry a line, only ever appended to, and flushed before anybody is told. They are kept with the journal and not with the databases that they
//! speak of, so that an older copy of one of these brings nothing back.
//!
//! Blocks on the disk. Several processes may append: a line is written at once, and begins anew whatever stands before it.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

use crate::secret_file;

/// Whatever is listed; none if there is no list.
pub(crate) fn read<T: FromStr>(path: &Path) -> io::Result<Option<Vec<T>>> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut listed = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.parse::<T>() {
            Ok(entry) => listed.push(entry),
            // Cut short by the end of the machine, and so before anybody was told.
            Err(_) => tracing::warn!(file = %path.display(), "a line in the list of what is gone for good cannot be read and is passed over"),
        }
    }
    Ok(Some(listed))
}

/// Makes the list, whole or not at all.
pub(crate) fn create<T: Display>(path: &Path, gone: &[T]) -> io::Result<()> {
    Ok(secret_file::replace(path, lines(gone).as_bytes())?)
}

/// Adds entries, durably; makes the list if there is none.
pub(crate) fn append<T: Display>(path: &Path, gone: &[T]) -> io::Result<()> {
    secret_file::ensure_private(path)?;
    let mut file = OpenOptions::new().append(true).open(path)?;
    file.write_all(lines(gone).as_bytes())?;
    file.sync_data()
}

/// An empty line stands first, so that what an earlier write left unfinished spoils none of these.
fn lines<T: Display>(gone: &[T]) -> String {
    gone.iter().fold("\n".to_owned(), |text, entry| text + &entry.to_string() + "\n")
}
