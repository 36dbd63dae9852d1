//! The folder of fraud models: each in a folder named by its id, as `training` writes them, a note which of them acts, and one of those that were at fault at work. Of those
//! that the node fits by itself, one each day, the last ones are kept.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tornello_engine::time::Timestamp;
use tornello_models::artifact::{Artifact, CARD_FILE, Card, MODEL_BYTES_MAX, MODEL_FILE};

use crate::secret_file;

const ACTING: &str = "acting";
/// The note of models that were set aside. It begins like the other one, so that no model's folder has its name.
const ASIDE: &str = "acting.aside";
/// So many of them are noted, the last ones.
const ASIDE_MAX: usize = 16;
/// How a model is made that the node fits by itself, as its card says.
pub const OWN_METHOD: &str = "behaviours";
/// So many of these are kept, the last ones, beside those at work: for longer than it takes until the last word on a case counts (30 days), what they said can be looked at
/// again.
const OWN_MAX: usize = 35;
/// The length of a model's id.
const ID_LENGTH: usize = 32;

/// The folder.
#[derive(Debug, Clone)]
pub struct Shelf(PathBuf);

impl Shelf {
    /// In the data folder.
    #[must_use]
    pub fn in_folder(data: &Path) -> Self {
        Self(data.join("models").join("fraud"))
    }

    /// Where a model stands, or would.
    #[must_use]
    pub fn place(&self, id: &str) -> PathBuf {
        self.0.join(id)
    }

    /// Whether a model can stand in the folder under this name: it leads nowhere else, and is none that the folder uses itself (`acting`, and what is written beside it).
    #[must_use]
    pub fn takes(id: &str) -> bool {
        id.starts_with(|first: char| first.is_ascii_alphanumeric())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
            && id.split('.').next() != Some(ACTING)
    }

    /// Keeps a model.
    pub fn keep(&self, id: &str, artifact: &Artifact) -> io::Result<()> {
        if !Self::takes(id) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let folder = self.0.join(id);
        secret_file::make_folder_within(&self.0)?;
        secret_file::make_folder_within(&folder)?;
        write(&folder.join(MODEL_FILE), &artifact.model)?;
        write(&folder.join(CARD_FILE), artifact.card.as_bytes())
    }

    /// Notes which model acts, and whether the node fitted it by itself.
    pub fn act(&self, id: &str, own: bool) -> io::Result<()> {
        secret_file::make_folder(&self.0)?;
        write(&self.0.join(ACTING), format!("{id} {}\n", if own { "own" } else { "trained" }).as_bytes())
    }

    /// Drops the note which model acts, if it names this one.
    pub fn forget(&self, id: &str) -> io::Result<()> {
        match self.noted() {
            Some((acting, _)) if acting == id => std::fs::remove_file(self.0.join(ACTING)),
            _ => Ok(()),
        }
    }

    /// Notes that a model which nobody registered was at fault at work, on that day of the events that it was asked about: it does not act again after a restart.
    pub fn set_aside(&self, id: &str, day: i64) -> io::Result<()> {
        let mut aside = self.aside();
        aside.retain(|(other, _)| other != id);
        aside.push((id.to_owned(), day));
        let last = &aside[aside.len().saturating_sub(ASIDE_MAX)..];
        let lines: Vec<String> = last.iter().map(|(id, day)| format!("{id} {day}\n")).collect();
        secret_file::make_folder(&self.0)?;
        // Before it is forgotten: a crash in between leaves a note of it as acting that counts for nothing.
        write(&self.0.join(ASIDE), lines.concat().as_bytes())?;
        self.forget(id)
    }

    /// The models that were set aside, and on which days, the last one last. None where nobody can read the note.
    #[must_use]
    pub fn aside(&self) -> Vec<(String, i64)> {
        let text = std::fs::read_to_string(self.0.join(ASIDE)).unwrap_or_default();
        text.lines().filter_map(|line| line.split_once(' ')).filter_map(|(id, day)| Some((id.to_owned(), day.parse().ok()?))).collect()
    }

    /// Whether a model was set aside.
    #[must_use]
    pub fn is_aside(&self, id: &str) -> bool {
        self.aside().iter().any(|(aside, _)| aside == id)
    }

    /// The model that is noted as acting, and whether the node fitted it.
    fn noted(&self) -> Option<(String, bool)> {
        let note = std::fs::read_to_string(self.0.join(ACTING)).ok()?;
        let (id, how) = note.trim().split_once(' ')?;
        Self::takes(id).then(|| (id.to_owned(), how == "own"))
    }

    /// The model that acts: its id, whether the node fitted it, its bytes; none if none does, or it is gone, or was set aside.
    #[must_use]
    pub fn acting(&self) -> Option<(String, bool, Vec<u8>)> {
        let (id, own) = self.noted().filter(|(id, _)| !self.is_aside(id))?;
        let bytes = small(&self.0.join(&id).join(MODEL_FILE)).ok()?;
        Some((id, own, bytes))
    }

    /// Removes what the node fitted by itself, but for the last [`OWN_MAX`] and `at_work`, by their ids; answers how many that were. Whatever somebody put there under a name
    /// stays: it may be registered, on trial, or what a promotion rests on.
    pub fn prune(&self, at_work: &[&str]) -> io::Result<usize> {
        let mut own = Vec::new();
        for entry in std::fs::read_dir(&self.0)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if is_id(&name) && entry.file_type()?.is_dir() {
                match self.made_at(&name) {
                    Some(at) => own.push((at, name)),
                    // A crash in between leaves an empty folder; of any other nobody here knows what it is.
                    None => drop(std::fs::remove_dir(entry.path())),
                }
            }
        }
        own.sort();
        let noted = self.noted().map(|(id, _)| id);
        let is_kept = |id: &str| at_work.contains(&id) || noted.as_deref() == Some(id);
        let old = &own[..own.len().saturating_sub(OWN_MAX)];
        let mut removed = 0;
        for (_, id) in old.iter().filter(|(_, id)| !is_kept(id)) {
            let folder = self.0.join(id);
            // The card last, so that what a crash leaves is known for what it is.
            for file in [MODEL_FILE, CARD_FILE] {
                match std::fs::remove_file(folder.join(file)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            std::fs::remove_dir_all(&folder)?;
            removed += 1;
        }
        Ok(removed)
    }

    /// When a model was made that the node fitted by itself, as its card says; none of any other, or of what has no card.
    fn made_at(&self, id: &str) -> Option<Timestamp> {
        let card: Card = serde_json::from_slice(&small(&self.0.join(id).join(CARD_FILE)).ok()?).ok()?;
        (card.id == id && card.particulars.method == OWN_METHOD).then(|| card.particulars.created.parse().ok())?
    }

    /// The id of the model whose id begins like that; none if none does, or more than one.
    #[must_use]
    pub fn begins_with(&self, beginning: &str) -> Option<String> {
        let names = std::fs::read_dir(&self.0).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut found = names.filter(|name| is_id(name) && name.starts_with(beginning));
        let id = found.next()?;
        found.next().is_none().then_some(id)
    }

    /// A model by its id, or by the name that it is registered by.
    pub fn read(&self, id: &str) -> io::Result<Artifact> {
        if !Self::takes(id) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        let folder = self.0.join(id);
        let card = String::from_utf8(small(&folder.join(CARD_FILE))?).map_err(io::Error::other)?;
        Ok(Artifact { model: small(&folder.join(MODEL_FILE))?, card })
    }
}

/// Whether that is the id of a model: names that people give are shorter.
fn is_id(name: &str) -> bool {
    name.len() == ID_LENGTH && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The bytes of a file that is no larger than a model may be: a larger one is not taken into memory.
fn small(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MODEL_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MODEL_BYTES_MAX { Err(io::Error::other(format!("it is larger than {MODEL_BYTES_MAX} bytes"))) } else { Ok(bytes) }
}

/// A model that the journal says is at work is on the disk, also after the machine ends.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    Ok(secret_file::replace(path, bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_model_stands_where_the_folder_keeps_its_own_notes_or_outside_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::in_folder(folder.path());
        let artifact = Artifact { model: vec![1], card: "{}".to_owned() };
        for name in ["acting", "acting.new", "acting.2", "", ".", "..", "../acting", "a/b", "-a"] {
            assert!(!Shelf::takes(name), "{name}");
            assert!(shelf.keep(name, &artifact).is_err() && shelf.read(name).is_err(), "{name}");
        }
        for name in ["acting-1", "verdicts-1", "0123abcd", "v1.2"] {
            shelf.keep(name, &artifact).unwrap();
            shelf.act(name, false).unwrap();
            assert_eq!(shelf.acting(), Some((name.to_owned(), false, vec![1])));
        }
    }

    #[test]
    fn what_was_set_aside_acts_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::in_folder(folder.path());
        let artifact = Artifact { model: vec![1], card: "{}".to_owned() };
        assert!(shelf.aside().is_empty());
        for name in ["one", "two"] {
            shelf.keep(name, &artifact).unwrap();
        }
        shelf.act("one", true).unwrap();
        shelf.set_aside("two", 7).unwrap();
        assert_eq!(shelf.acting(), Some(("one".to_owned(), true, vec![1])), "another one acts on");
        shelf.set_aside("one", 8).unwrap();
        assert!(shelf.acting().is_none() && !shelf.place(ACTING).exists());
        // As a crash leaves it that comes before the note of it is gone.
        shelf.act("one", true).unwrap();
        assert!(shelf.acting().is_none() && shelf.is_aside("one") && !shelf.is_aside("three"));
        for day in 9..9 + ASIDE_MAX as i64 {
            shelf.set_aside("two", day).unwrap();
            shelf.set_aside(&format!("m{day}"), day).unwrap();
        }
        assert_eq!((shelf.aside().len(), shelf.aside().last().map(|(_, day)| *day)), (ASIDE_MAX, Some(8 + ASIDE_MAX as i64)));
        assert!(shelf.is_aside("two") && !shelf.is_aside("one"), "the last ones are noted, each once");
    }

    #[test]
    fn of_what_the_node_fits_by_itself_the_last_ones_are_kept_and_what_is_at_work_and_all_that_has_a_name() {
        use tornello_models::artifact::{Kind, Particulars, TrainingData};
        use tornello_models::feature_list::FeatureList;

        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::in_folder(folder.path());
        let features = FeatureList::new([("a", "1")]).unwrap();
        let made = |day: i64, method: &str| {
            let particulars = Particulars {
                kind: Kind::Fraud,
                method: method.to_owned(),
                created: Timestamp::from_seconds(day * 86_400).to_string(),
                code_revision: String::new(),
                data: TrainingData { name: String::new(), sha256: String::new(), rows: 0, period: String::new() },
                seed: 0,
                settings: Vec::new(),
                metrics: Vec::new(),
                parent: None,
                approver: None,
            };
            Artifact::seal(&day, &features, particulars).unwrap()
        };
        let mut ids = Vec::new();
        for day in 0..OWN_MAX as i64 + 5 {
            let artifact = made(day, OWN_METHOD);
            ids.push(artifact.card().unwrap().id);
            shelf.keep(&ids[ids.len() - 1], &artifact).unwrap();
        }
        let trained = made(1_000, "blend");
        let trained_id = trained.card().unwrap().id;
        for name in ["verdicts-1", trained_id.as_str()] {
            shelf.keep(name, &trained).unwrap();
        }
        // As a crash leaves it, in between and at the end.
        std::fs::remove_file(shelf.place(&ids[0]).join(MODEL_FILE)).unwrap();
        let (left, other) = ("f".repeat(ID_LENGTH), "e".repeat(ID_LENGTH));
        std::fs::create_dir(shelf.place(&left)).unwrap();
        std::fs::create_dir_all(shelf.place(&other).join("notes")).unwrap();
        shelf.act(&ids[1], true).unwrap();
        assert_eq!(shelf.prune(&[&ids[2]]).unwrap(), 3);
        let stands = |id: &str| shelf.place(id).exists();
        assert_eq!([0, 1, 2, 3, 4, 5].map(|n| stands(&ids[n])), [false, true, true, false, false, true]);
        assert!(ids[5..].iter().all(|id| shelf.read(id).is_ok()) && shelf.acting().is_some());
        assert!(stands("verdicts-1") && stands(&trained_id) && stands(&other) && !stands(&left));
        assert_eq!(shelf.prune(&[&ids[2]]).unwrap(), 0);
        // By as much of an id as the name of a model at work has of it.
        assert_eq!(shelf.begins_with(&ids[10][..12]).as_deref(), Some(ids[10].as_str()));
        assert_eq!([shelf.begins_with(""), shelf.begins_with("verdicts-1"), shelf.begins_with(&ids[0][..12])], [None, None, None]);
    }

    /// That it is flushed cannot be seen from here; that it is written as whatever is flushed can: beside its place, for its owner alone, over what a crash left there.
    #[cfg(unix)]
    #[test]
    fn what_is_kept_is_put_in_place_as_secrets_are() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::in_folder(folder.path());
        let artifact = Artifact { model: vec![1], card: "{}".to_owned() };
        std::fs::create_dir_all(shelf.place("one")).unwrap();
        std::fs::write(shelf.place("one").join(format!("{MODEL_FILE}.new")), "half writ").unwrap();
        shelf.keep("one", &artifact).unwrap();
        shelf.act("one", true).unwrap();
        let mut names: Vec<_> =
            std::fs::read_dir(shelf.place("one")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let mut expected = [MODEL_FILE, CARD_FILE].map(str::to_owned);
        expected.sort();
        assert_eq!(names, expected);
        for path in [shelf.place("one").join(MODEL_FILE), shelf.place("one").join(CARD_FILE), shelf.place(ACTING)] {
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
    }
}
