//! Who was erased because somebody asked for it: a list of ids that is kept with the journal and not with the databases of people, so that an older copy of these brings nobody
//! back. An id alone is no personal data. How such a list is kept stands in `gone.rs`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tornello_engine::ids::PersonId;

use super::PeopleError;
use crate::gone;

/// The name of the file, beside the journal.
pub(super) const FILE: &str = "erased.log";

fn failed(attempted: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PeopleError {
    move |source| PeopleError::Erasures { attempted, path: path.to_owned(), source: Arc::new(source) }
}

/// Whoever is listed; none if there is no list.
pub(super) fn read(path: &Path) -> Result<Option<Vec<PersonId>>, PeopleError> {
    gone::read(path).map_err(failed("read", path))
}

/// Makes the list, whole or not at all.
pub(super) fn create(path: &Path, erased: &[PersonId]) -> Result<(), PeopleError> {
    gone::create(path, erased).map_err(failed("make", path))
}

/// Adds people, durably.
pub(super) fn append(path: &Path, erased: &[PersonId]) -> Result<(), PeopleError> {
    gone::append(path, erased).map_err(failed("add to", path))
}
