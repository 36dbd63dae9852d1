//! Who was erased because somebody asked for it: a file of ids, one a line, only ever appended to, and flushed before the erasure is answered. It is kept with the
//! journal and not with the databases of people, so that an older copy of these brings nobody back. An id alone is no personal data.
//!
//! Blocks on the disk. Several processes may append: a line is written at once, and begins anew whatever stands before it.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use tornello_engine::ids::PersonId;

use super::PeopleError;
use crate::signing::secret_file;

/// The name of the file, beside the journal.
pub(super) const FILE: &str = "erased.log";

fn failed(attempted: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PeopleError {
    move |source| PeopleError::Erasures { attempted, path: path.to_owned(), source: Arc::new(source) }
}

/// Whoever is listed; none if there is no list.
pub(super) fn read(path: &Path) -> Result<Option<Vec<PersonId>>, PeopleError> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(failed("read", path))?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().filter(|line| !line.is_empty());
    let mut listed = Vec::new();
    for line in lines {
        match line.parse() {
            Ok(person) => listed.push(person),
            // Cut short by the end of the machine, and so before anybody was told that somebody is erased.
            Err(_) => tracing::warn!(file = %path.display(), "a line in the list of erased people cannot be read and is passed over"),
        }
    }
    Ok(Some(listed))
}

/// Makes the list, whole or not at all.
pub(super) fn create(path: &Path, erased: &[PersonId]) -> Result<(), PeopleError> {
    secret_file::replace(path, lines(erased).as_bytes()).map_err(|error| PeopleError::File(Arc::new(error)))
}

/// Adds people, durably.
pub(super) fn append(path: &Path, erased: &[PersonId]) -> Result<(), PeopleError> {
    secret_file::ensure_private(path).map_err(|error| PeopleError::File(Arc::new(error)))?;
    let mut file = OpenOptions::new().append(true).open(path).map_err(failed("open", path))?;
    file.write_all(lines(erased).as_bytes()).map_err(failed("write to", path))?;
    file.sync_data().map_err(failed("flush", path))
}

/// An empty line stands first, so that what an earlier write left unfinished spoils none of these.
fn lines(erased: &[PersonId]) -> String {
    erased.iter().fold("\n".to_owned(), |text, person| text + &person.to_string() + "\n")
}
