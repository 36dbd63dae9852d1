//! The keys that sign ticket codes: a few Ed25519 seeds in one private file of the data folder. The newest signs; the older ones stay, so that gates go on
//! accepting the codes that they signed. A rotation is a new file put in place at once, so a crash leaves either the old file or the new one. Keys that were forgotten, as others
//! know them, are listed beside the journal by their public halves: an older copy of the file brings none of them back.
//!
//! What a code says, and how it is checked, is the business of `engine::ticket`; this file knows bytes and dates. How any secret is kept on disk stands in
//! [`secret_file`]. Everything here blocks briefly on the disk: it is for start-up and for rare commands.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rand::TryRng;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tornello_engine::time::Timestamp;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::failure::why;
use crate::gone;
use crate::hex::Hex;
use crate::secret_file::{self, SecretFileError};

const HEADER: &[u8] = b"tornello signing keys 1\n";
const CHECKSUM_BYTES: usize = 32;
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The name of the list of keys that were forgotten, beside the journal.
const FORGOTTEN: &str = "forgotten.log";

/// Why the signing keys cannot be had or changed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The file could not be read or written.
    #[error("cannot keep the ticket signing keys")]
    File(#[from] SecretFileError),
    /// The file is not what was written: nothing of it is used.
    #[error("{} is damaged ({what}); put a good copy back, since codes signed with a lost key cannot be verified any more", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file was there and is gone.
    #[error("{} is gone since it was loaded; put it back before rotating", .0.display())]
    Gone(PathBuf),
    /// The operating system gave no random bytes.
    #[error("cannot draw a new signing key: the operating system gives no random bytes")]
    Random,
    /// The current key cannot be forgotten.
    #[error("signing key {0} is the current one; rotate before forgetting it")]
    Current(u32),
    /// The list of forgotten keys cannot be read or added to.
    #[error("cannot {attempted} {}", path.display())]
    List {
        /// What was attempted.
        attempted: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The current key of what was put in place was forgotten: it is an older copy.
    #[error(
        "signing key {0}, which signs in this copy of the keys, was forgotten since; the next start signs with a new one, or run `tornello signing list`"
    )]
    Forgotten(u32),
}

/// One Ed25519 key of the installation. The seed is secret and never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SigningKey {
    /// The number that ticket codes carry.
    #[zeroize(skip)]
    pub id: u32,
    /// The secret half.
    pub seed: [u8; 32],
    /// When it was drawn.
    #[zeroize(skip)]
    pub created_at: Timestamp,
    /// When a newer key took its place; none for the current key.
    #[zeroize(skip)]
    pub retired_at: Option<Timestamp>,
}

impl SigningKey {
    /// The public half, which gates keep.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        ed25519_dalek::SigningKey::from_bytes(&self.seed).verifying_key().to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, seed: _, created_at, retired_at } = self;
        f.debug_struct("SigningKey").field("id", id).field("created_at", created_at).field("retired_at", retired_at).finish_non_exhaustive()
    }
}

/// All the signing keys of the installation, oldest first; there is always a current one, the last.
#[derive(Debug, Clone)]
pub struct SigningKeys {
    path: PathBuf,
    older: Vec<SigningKey>,
    current: SigningKey,
    /// Of the file that they were read from.
    stamp: Stamp,
}

/// When a file was put in place and how long it is: what changes whenever another process rotates or forgets a key. None if there is none.
type Stamp = Option<(SystemTime, u64)>;

fn stamp_of(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

impl SigningKeys {
    /// The number of the first key of a new installation.
    pub const FIRST: u32 = 1;

    /// Reads the keys in `path`; if there is no such file, draws a first key and writes it.
    ///
    /// # Errors
    /// If the file is damaged, readable by others, or the disk fails. A damaged file is never replaced.
    pub fn load_or_create(path: impl Into<PathBuf>, now: Timestamp) -> Result<Self, SigningError> {
        Self::load_or_draw(path.into(), Self::FIRST, now)
    }

    /// As [`SigningKeys::load_or_create`], in the place of keys that are lost: the number of the new one is that of the second in which it is drawn, which none of them
    /// had. Tickets that were signed with these are then said to have an unknown key, and not to be forged.
    ///
    /// # Errors
    /// As of [`SigningKeys::load_or_create`].
    pub fn load_or_replace(path: impl Into<PathBuf>, now: Timestamp) -> Result<Self, SigningError> {
        Self::load_or_draw(path.into(), number_at(now), now)
    }

    fn load_or_draw(path: PathBuf, first: u32, now: Timestamp) -> Result<Self, SigningError> {
        let _lock = secret_file::lock(&path)?;
        if let Some(mut keys) = Self::load(&path)? {
            let read = keys.older.len();
            if keys.drop_forgotten()? {
                let (forgotten, id) = (keys.current.id, number_at(now).max(keys.current.id.saturating_add(1)));
                tracing::warn!(forgotten, id, "the ticket signing keys are an older copy, whose current key was forgotten since: a new one signs");
                keys.current = draw(id, now)?;
                keys.save()?;
            } else if keys.older.len() < read
                && let Err(error) = keys.save()
            {
                // They are not used here. But whoever has read them before, as a server that runs, hears of it by another file alone.
                tracing::warn!(error = %why(&error), "keys that were forgotten are still in the file of the ticket signing keys: a server that runs may go on with them");
            }
            return Ok(keys);
        }
        let mut keys = Self { older: Vec::new(), current: draw(first, now)?, path, stamp: None };
        keys.save()?;
        Ok(keys)
    }

    /// The key that signs: its number and its seed.
    #[must_use]
    pub fn current(&self) -> (u32, [u8; 32]) {
        (self.current.id, self.current.seed)
    }

    /// Every key with its dates, oldest first.
    pub fn seeds(&self) -> impl Iterator<Item = &SigningKey> {
        self.older.iter().chain(std::iter::once(&self.current))
    }

    /// The public half of every key, oldest first: what a gate needs to verify codes offline.
    #[must_use]
    pub fn public_keys(&self) -> Vec<(u32, [u8; 32])> {
        self.seeds().map(|key| (key.id, key.public_key())).collect()
    }

    /// Draws a new current key and keeps the others for verification; returns its number. What another process wrote meanwhile is kept.
    ///
    /// # Errors
    /// If the file cannot be read back or replaced; the keys in use then stay as they were.
    pub fn rotate(&mut self, now: Timestamp) -> Result<u32, SigningError> {
        self.change(|keys| {
            let id = keys.current.id.checked_add(1).ok_or(SigningError::Damaged { path: keys.path.clone(), what: "the key numbers are used up" })?;
            let mut retired = std::mem::replace(&mut keys.current, draw(id, now)?);
            retired.retired_at = Some(now.max(retired.created_at));
            keys.older.push(retired);
            Ok(id)
        })
    }

    /// Removes an older key, for one that leaked or whose codes are all past; codes that it signed stop verifying, also when an older copy of the file is put back. False if
    /// there is no such key.
    ///
    /// # Errors
    /// If it is the current key, or the file, or the list of forgotten keys, cannot be read back or written.
    pub fn forget(&mut self, id: u32) -> Result<bool, SigningError> {
        self.change(|keys| {
            if keys.current.id == id {
                return Err(SigningError::Current(id));
            }
            let Some(place) = keys.older.iter().position(|key| key.id == id) else { return Ok(false) };
            // Listed first: what is listed and was not removed after all is not used, but what is not listed could come back.
            let list = keys.path.with_file_name(FORGOTTEN);
            let public = Hex(keys.older[place].public_key());
            gone::append(&list, &[public]).map_err(|source| SigningError::List { attempted: "add to", path: list, source })?;
            keys.older.remove(place);
            Ok(true)
        })
    }

    /// Drops the keys that were forgotten, and have come back with an older copy of the file; answers whether the current one, which stays, is one of them.
    fn drop_forgotten(&mut self) -> Result<bool, SigningError> {
        let list = self.path.with_file_name(FORGOTTEN);
        let listed = gone::read::<Hex<[u8; 32]>>(&list).map_err(|source| SigningError::List { attempted: "read", path: list, source })?;
        let forgotten: HashSet<Hex<[u8; 32]>> = listed.unwrap_or_default().into_iter().collect();
        if forgotten.is_empty() {
            return Ok(false);
        }
        let is_forgotten = |key: &SigningKey| forgotten.contains(&Hex(key.public_key()));
        self.older.retain(|key| !is_forgotten(key));
        Ok(is_forgotten(&self.current))
    }

    /// Whether the file is still the one that these were read from, as far as its date and length say.
    #[must_use]
    pub fn are_current(&self) -> bool {
        stamp_of(&self.path) == self.stamp
    }

    /// Reads the file again, to take up what another process wrote; true if anything changed.
    ///
    /// # Errors
    /// If the file is gone, damaged or unreadable; the keys in use then stay as they were.
    pub fn reload(&mut self) -> Result<bool, SigningError> {
        let found = self.load_again()?;
        let changed = !found.seeds().eq(self.seeds());
        *self = found;
        Ok(changed)
    }

    /// Changes what is in the file, not what was once read from it, so that two processes cannot lose each other's key.
    fn change<T>(&mut self, change: impl FnOnce(&mut Self) -> Result<T, SigningError>) -> Result<T, SigningError> {
        let _lock = secret_file::lock(&self.path)?;
        let mut keys = self.load_again()?;
        let done = change(&mut keys)?;
        keys.save()?;
        *self = keys;
        Ok(done)
    }

    /// What is in the file by now.
    fn load_again(&self) -> Result<Self, SigningError> {
        let mut found = Self::load(&self.path)?.ok_or_else(|| SigningError::Gone(self.path.clone()))?;
        if found.drop_forgotten()? { Err(SigningError::Forgotten(found.current.id)) } else { Ok(found) }
    }

    fn load(path: &Path) -> Result<Option<Self>, SigningError> {
        // Asked before it is read: one that takes its place in between is found to be another one.
        let stamp = stamp_of(path);
        let Some(bytes) = secret_file::read(path, FILE_BYTES_MAX)? else { return Ok(None) };
        let damaged = |what| SigningError::Damaged { path: path.to_owned(), what };
        let body = bytes.strip_prefix(HEADER).ok_or_else(|| damaged("not a file of signing keys of a known version"))?;
        let (body, checksum) = body.split_last_chunk::<CHECKSUM_BYTES>().ok_or_else(|| damaged("cut off"))?;
        if Sha256::digest(body).as_slice() != checksum {
            return Err(damaged("the checksum does not fit"));
        }
        let stored: Vec<Stored> = postcard::from_bytes(body).map_err(|_| damaged("not readable"))?;
        let mut older: Vec<SigningKey> = stored.iter().map(Stored::key).collect();
        let current = older.pop().ok_or_else(|| damaged("no key in it"))?;
        let sound = current.retired_at.is_none() && older.iter().all(|key| key.retired_at.is_some() && key.id < current.id);
        if !sound || !older.is_sorted_by(|a, b| a.id < b.id) {
            return Err(damaged("the keys are not in order"));
        }
        Ok(Some(Self { path: path.to_owned(), older, current, stamp }))
    }

    /// Only for who has locked the file.
    fn save(&mut self) -> Result<(), SigningError> {
        let stored: Vec<Stored> = self.seeds().map(Stored::of).collect();
        let body =
            postcard::to_stdvec(&stored).map_err(|_| SigningError::Damaged { path: self.path.clone(), what: "the keys cannot be written down" })?;
        let body = Zeroizing::new(body);
        let bytes = Zeroizing::new([HEADER, &body, Sha256::digest(&*body).as_slice()].concat());
        secret_file::replace(&self.path, &bytes)?;
        self.stamp = stamp_of(&self.path);
        Ok(())
    }
}

/// The number of a key that is drawn in the place of others, which none of these has: that of its second. A clock that says nothing of use still leaves room to rotate.
fn number_at(now: Timestamp) -> u32 {
    u32::try_from(now.as_seconds()).unwrap_or(u32::MAX / 2).max(SigningKeys::FIRST + 1)
}

fn draw(id: u32, now: Timestamp) -> Result<SigningKey, SigningError> {
    let mut key = SigningKey { id, seed: [0; 32], created_at: now, retired_at: None };
    SysRng.try_fill_bytes(&mut key.seed).map_err(|_| SigningError::Random)?;
    Ok(key)
}

/// The written form, apart from [`SigningKey`]: its fields are never reordered.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Stored {
    id: u32,
    seed: [u8; 32],
    created_at: i64,
    retired_at: Option<i64>,
}

impl Stored {
    fn of(key: &SigningKey) -> Self {
        Self { id: key.id, seed: key.seed, created_at: key.created_at.as_micros(), retired_at: key.retired_at.map(Timestamp::as_micros) }
    }

    fn key(&self) -> SigningKey {
        SigningKey {
            id: self.id,
            seed: self.seed,
            created_at: Timestamp::from_micros(self.created_at),
            retired_at: self.retired_at.map(Timestamp::from_micros),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, Verifier, VerifyingKey};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn fresh() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.keys");
        (folder, path)
    }

    fn sign(keys: &SigningKeys, text: &[u8]) -> (u32, ed25519_dalek::Signature) {
        let (id, seed) = keys.current();
        (id, ed25519_dalek::SigningKey::from_bytes(&seed).sign(text))
    }

    fn verifies(keys: &SigningKeys, text: &[u8], (id, signature): (u32, ed25519_dalek::Signature)) -> bool {
        let public = keys.public_keys().into_iter().find(|(known, _)| *known == id);
        public.is_some_and(|(_, key)| VerifyingKey::from_bytes(&key).unwrap().verify(text, &signature).is_ok())
    }

    #[test]
    fn a_rotation_drill_keeps_old_codes_good() {
        let (_folder, path) = fresh();
        let mut keys = SigningKeys::load_or_create(&path, at(1)).unwrap();
        let first = sign(&keys, b"ticket");
        assert_eq!(keys.rotate(at(10)).unwrap(), 2);
        let second = sign(&keys, b"ticket");
        assert_eq!((first.0, second.0), (1, 2));

        let mut keys = SigningKeys::load_or_create(&path, at(99)).unwrap();
        assert_eq!(keys.current().0, 2);
        assert!(verifies(&keys, b"ticket", first) && verifies(&keys, b"ticket", second));
        assert!(!verifies(&keys, b"another", first) && !verifies(&keys, b"ticket", (2, first.1)));
        let dates: Vec<_> = keys.seeds().map(|key| (key.id, key.created_at, key.retired_at)).collect();
        assert_eq!(dates, [(1, at(1), Some(at(10))), (2, at(10), None)]);

        assert!(matches!(keys.forget(2), Err(SigningError::Current(2))));
        assert!(keys.forget(1).unwrap() && !keys.forget(1).unwrap());
        assert!(!verifies(&keys, b"ticket", first) && verifies(&keys, b"ticket", second));
        assert_eq!(keys.rotate(at(5)).unwrap(), 3, "a forgotten number is not used again");
        assert_eq!(keys.seeds().next().unwrap().retired_at, Some(at(10)), "a clock that went back retires no key before its birth");
    }

    #[test]
    fn an_older_copy_of_the_file_brings_back_no_key_that_was_forgotten() {
        let (_folder, path) = fresh();
        let mut keys = SigningKeys::load_or_create(&path, at(1)).unwrap();
        let first = sign(&keys, b"ticket");
        keys.rotate(at(2)).unwrap();
        let (second, older) = (sign(&keys, b"ticket"), std::fs::read(&path).unwrap());
        keys.rotate(at(3)).unwrap();
        assert!(keys.forget(1).unwrap() && !keys.forget(1).unwrap());
        secret_file::replace(&path, &older).unwrap();
        let mut back = SigningKeys::load_or_create(&path, at(4)).unwrap();
        assert!(!verifies(&back, b"ticket", first) && verifies(&back, b"ticket", second));
        assert_eq!(back.current().0, 2, "it was not forgotten");

        // The key that signs in the copy is the one that others know.
        back.rotate(at(5)).unwrap();
        assert!(back.forget(2).unwrap());
        let signs = back.current();
        secret_file::replace(&path, &older).unwrap();
        assert!(matches!(back.reload(), Err(SigningError::Forgotten(2))));
        assert!(matches!(back.rotate(at(6)), Err(SigningError::Forgotten(2))));
        assert_eq!(back.current(), signs, "a running server goes on with what it has");
        for now in [1_700_000_000, 1_700_000_100] {
            let started = SigningKeys::load_or_create(&path, at(now)).unwrap();
            assert_eq!(started.current().0, 1_700_000_000, "it is drawn once");
            assert!(!verifies(&started, b"ticket", first) && !verifies(&started, b"ticket", second));
        }
    }

    /// As when the disk was full once the key was listed: whoever looks then is told that it is gone, and so it is.
    #[test]
    fn a_key_that_was_listed_as_forgotten_and_not_removed_is_removed_by_whoever_looks() {
        let (folder, path) = fresh();
        let mut server = SigningKeys::load_or_create(&path, at(1)).unwrap();
        let first = sign(&server, b"ticket");
        server.rotate(at(2)).unwrap();
        let public = server.seeds().next().map(|key| Hex(key.public_key())).unwrap();
        gone::append(&folder.path().join(FORGOTTEN), &[public]).unwrap();
        assert!(server.are_current() && verifies(&server, b"ticket", first));
        assert_eq!(SigningKeys::load_or_create(&path, at(3)).unwrap().public_keys().len(), 1);
        assert!(!server.are_current() && server.reload().unwrap());
        assert!(!verifies(&server, b"ticket", first));
    }

    #[test]
    fn no_key_is_forgotten_that_cannot_be_listed() {
        let (folder, path) = fresh();
        let mut keys = SigningKeys::load_or_create(&path, at(1)).unwrap();
        let first = sign(&keys, b"ticket");
        keys.rotate(at(2)).unwrap();
        let list = folder.path().join(FORGOTTEN);
        std::fs::create_dir(&list).unwrap();
        assert!(matches!(keys.forget(1), Err(SigningError::List { .. })));
        std::fs::remove_dir(&list).unwrap();
        assert!(verifies(&SigningKeys::load_or_create(&path, at(3)).unwrap(), b"ticket", first), "nothing was done");
    }

    #[test]
    fn a_key_in_the_place_of_lost_ones_has_a_number_of_its_own() {
        let (_folder, path) = fresh();
        let mut lost = SigningKeys::load_or_create(&path, at(1_700_000_000)).unwrap();
        for day in 1..=3 {
            lost.rotate(at(1_700_000_000 + day * 86_400)).unwrap();
        }
        let sold = sign(&lost, b"ticket");
        let replaced = SigningKeys::load_or_replace(&path, at(1_800_000_000)).unwrap();
        assert_eq!(replaced.current(), lost.current(), "what is there is read");
        for (now, number) in [(at(1_800_000_000), 1_800_000_000), (at(0), 2), (Timestamp::MIN, u32::MAX / 2), (Timestamp::MAX, u32::MAX / 2)] {
            std::fs::remove_file(&path).unwrap();
            let mut replaced = SigningKeys::load_or_replace(&path, now).unwrap();
            assert_eq!(replaced.current().0, number);
            assert!(!verifies(&replaced, b"ticket", sold));
            assert_eq!(replaced.rotate(now).unwrap(), number + 1);
        }
    }

    #[test]
    fn two_processes_do_not_lose_each_others_key() {
        let (_folder, path) = fresh();
        let mut server = SigningKeys::load_or_create(&path, at(1)).unwrap();
        let mut operator = SigningKeys::load_or_create(&path, at(1)).unwrap();
        assert_eq!(server.current(), operator.current());
        operator.rotate(at(2)).unwrap();
        assert!(server.reload().unwrap() && !server.reload().unwrap());
        operator.rotate(at(3)).unwrap();
        assert_eq!(server.rotate(at(4)).unwrap(), 4);
        assert_eq!(server.public_keys().len(), 4);
    }

    #[test]
    fn a_file_left_by_a_crash_is_not_taken_for_the_keys() {
        let (folder, path) = fresh();
        let mut keys = SigningKeys::load_or_create(&path, at(1)).unwrap();
        let before = std::fs::read(&path).unwrap();
        std::fs::write(folder.path().join("signing.keys.new"), b"half writ").unwrap();
        assert_eq!(SigningKeys::load_or_create(&path, at(2)).unwrap().current(), keys.current());
        assert_eq!(std::fs::read(&path).unwrap(), before);
        keys.rotate(at(3)).unwrap();
        let mut names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["signing.keys", "signing.keys.lock"]);
    }

    #[test]
    fn a_failed_rotation_changes_nothing() {
        let (folder, path) = fresh();
        let mut keys = SigningKeys::load_or_create(&path, at(1)).unwrap();
        let before = keys.current();
        std::fs::create_dir(folder.path().join("signing.keys.new")).unwrap();
        assert!(matches!(keys.rotate(at(2)), Err(SigningError::File(_))));
        assert_eq!(keys.current(), before);
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(keys.rotate(at(2)), Err(SigningError::Gone(_))));
        assert!(!path.exists());
    }

    #[test]
    fn any_changed_or_missing_byte_is_a_clear_error() {
        let (_folder, path) = fresh();
        SigningKeys::load_or_create(&path, at(1)).unwrap().rotate(at(2)).unwrap();
        let good = std::fs::read(&path).unwrap();
        for i in 0..good.len() {
            let mut bad = good.clone();
            bad[i] ^= 1;
            secret_file::replace(&path, &bad).unwrap();
            let error = SigningKeys::load_or_create(&path, at(3)).unwrap_err();
            assert!(matches!(error, SigningError::Damaged { .. }), "byte {i}: {error}");
            assert!(error.to_string().contains("signing.keys is damaged"), "{error}");
        }
        for length in 0..good.len() {
            secret_file::replace(&path, &good[..length]).unwrap();
            assert!(matches!(SigningKeys::load_or_create(&path, at(3)), Err(SigningError::Damaged { .. })), "{length} bytes");
        }
        assert_eq!(std::fs::read(&path).unwrap().len(), good.len() - 1, "a damaged file is left for the operator");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, path) = fresh();
        let mut keys = SigningKeys::load_or_create(&path, at(1)).unwrap();
        keys.rotate(at(2)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o644, 0o620] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = SigningKeys::load_or_create(&path, at(3)).unwrap_err();
            assert!(matches!(error, SigningError::File(SecretFileError::Exposed { mode: found, .. }) if found == mode), "{error}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        assert!(SigningKeys::load_or_create(&path, at(3)).is_ok());
    }

    #[test]
    fn a_seed_is_never_printed() {
        let (_folder, path) = fresh();
        let keys = SigningKeys::load_or_create(&path, at(1)).unwrap();
        let printed = format!("{keys:?}");
        assert!(printed.contains("id: 1") && !printed.contains("seed"), "{printed}");
    }
}
