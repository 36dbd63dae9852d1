//! API keys: who may call, in which role, for which museums. A key's text is shown once, when it is made; the database keeps its SHA-256 only, which is
//! enough since the text is 260 random bits. [`Keys::authenticate`] works on a copy in memory and never waits for the disk. What a key is stands in
//! `key.rs`, how its text is drawn and read in `text.rs`.
//!
//! The command line may revoke a key while the server runs: the server calls [`Keys::refresh`] every half second, and that copies the table again when it
//! has changed. What changes stands in SQLite's log first, and is moved into the file at once: whoever copies the file alone has all of it. Secrets that let nobody in any more are
//! listed beside it as well (`spent.rs`): when an older copy of the file is put back, they are revoked again before anybody is let in. What a role may do is decided in `api`;
//! this file only says who calls.

mod key;
mod spent;
mod text;

pub use key::{BadMuseums, BadRole, Key, Museums, NewKey, Role};
pub use text::ApiKey;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::RwLock;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqliteRow, SqliteSynchronous};
use sqlx::{Row, Sqlite, Transaction};
use subtle::ConstantTimeEq;
use tornello_engine::ids::{KeyId, MuseumId};
use tornello_engine::time::Timestamp;

use self::spent::Spent;
use self::text::{draw, draw_for, hash, id_of};
use crate::failure::why;
use crate::gone;
use crate::secret_file::{self, SecretFileError};
use crate::sqlite;

const NAME_CHARACTERS_MAX: usize = 100;

/// Why keys cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The database file could not be made.
    #[error("cannot open the keys")]
    File(#[source] SecretFileError),
    /// The database failed.
    #[error("cannot {attempted}")]
    Store {
        /// What was attempted.
        attempted: &'static str,
        /// The cause.
        source: sqlx::Error,
    },
    /// The list of secrets that let nobody in any more cannot be read or added to.
    #[error("cannot {attempted} {}", path.display())]
    List {
        /// What was attempted.
        attempted: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A name that nobody could tell from another.
    #[error("name: 1 to {NAME_CHARACTERS_MAX} characters are expected, no control characters")]
    Name,
    /// A key that would open nothing.
    #[error("museums: at least one is expected, or all")]
    NoMuseum,
    /// A key that would never have been good.
    #[error("expires_at: an instant after now is expected")]
    ExpiresInThePast,
    /// No key has that id.
    #[error("no key {0}")]
    NoSuchKey(KeyId),
    /// The operating system gave no random bytes.
    #[error("cannot draw a key: the operating system gives no random bytes")]
    Random,
}

impl NewKey {
    /// Whether such a key makes sense: to be asked before anything is made for it. [`Keys::create`] asks too.
    ///
    /// # Errors
    /// If it does not.
    pub fn check(&self, now: Timestamp) -> Result<(), KeysError> {
        let name = self.name.trim();
        if !(1..=NAME_CHARACTERS_MAX).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            return Err(KeysError::Name);
        }
        if self.museums == Museums::Only(Vec::new()) {
            return Err(KeysError::NoMuseum);
        }
        if self.expires_at.is_some_and(|expiry| expiry <= now) {
            return Err(KeysError::ExpiresInThePast);
        }
        Ok(())
    }
}

fn store(attempted: &'static str) -> impl FnOnce(sqlx::Error) -> KeysError {
    move |source| KeysError::Store { attempted, source }
}

/// Why a caller is not let in. Only who holds the right secret learns that a key was revoked or has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Denied {
    /// Not the text of a key at all.
    #[error("not an API key: tn_, 13 characters, _ and 52 characters are expected")]
    Malformed,
    /// No key has this id, or the secret is another.
    #[error("unknown API key")]
    Unknown,
    /// The key was revoked.
    #[error("this API key was revoked")]
    Revoked,
    /// The key's time is over.
    #[error("this API key has expired")]
    Expired,
}

impl Denied {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Malformed, Self::Unknown, Self::Revoked, Self::Expired];

    /// The published code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "key_malformed",
            Self::Unknown => "key_unknown",
            Self::Revoked => "key_revoked",
            Self::Expired => "key_expired",
        }
    }
}

/// The keys of the installation: the table on disk, and a copy of it in memory that answers.
pub struct Keys {
    path: PathBuf,
    /// One connection: whoever holds it is the only one who writes, or who puts a new copy in place.
    pool: SqlitePool,
    known: RwLock<Known>,
}

/// The table as it was at one revision.
#[derive(Default)]
struct Known {
    revision: i64,
    entries: HashMap<KeyId, Entry>,
}

#[derive(Clone)]
struct Entry {
    key: Arc<Key>,
    hash: [u8; 32],
    used: Arc<Used>,
}

/// When a key was last used, in memory: handed on from copy to copy.
struct Used {
    at: AtomicI64,
    flushed: AtomicI64,
}

const NEVER: i64 = i64::MIN;

impl Used {
    fn new(stored: Option<Timestamp>) -> Self {
        let stored = stored.map_or(NEVER, Timestamp::as_micros);
        Self { at: AtomicI64::new(stored), flushed: AtomicI64::new(stored) }
    }

    fn at(&self) -> Option<Timestamp> {
        Some(self.at.load(Ordering::Relaxed)).filter(|&at| at != NEVER).map(Timestamp::from_micros)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("path", &self.path).finish_non_exhaustive()
    }
}

const SCHEMA: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS keys (id INTEGER PRIMARY KEY, hash BLOB NOT NULL, name TEXT NOT NULL, role TEXT NOT NULL, museums TEXT NOT NULL, \
     account TEXT, created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER, last_used_at INTEGER)",
    // Counts what matters to `authenticate`, so that writing down uses makes nobody copy the table.
    "CREATE TABLE IF NOT EXISTS revision (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO revision (one, number) VALUES (1, 1)",
    // For whoever makes a key beside a running server, or without one: which museums there are stands in the journal, which is not read for that.
    "CREATE TABLE IF NOT EXISTS museums (number INTEGER PRIMARY KEY)",
];

impl Keys {
    /// Opens the database of keys in `path`, which is made if there is none, and copies it to memory. Whatever secrets `revoked.log` beside it lists are revoked again if they
    /// are good in it, as it was put back from an older copy.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, KeysError> {
        let path = path.into();
        secret_file::ensure_usable(&path).map_err(KeysError::File)?;
        let pool = sqlite::pool().max_connections(1).test_before_acquire(false).connect_with(options(&path)).await.map_err(store("open the keys"))?;
        let keys = Self { path, pool, known: RwLock::default() };
        let mut tx = keys.pool.begin_with("BEGIN IMMEDIATE").await.map_err(store("prepare the keys"))?;
        for statement in SCHEMA {
            sqlx::query(statement).execute(&mut *tx).await.map_err(store("prepare the keys"))?;
        }
        tx.commit().await.map_err(store("prepare the keys"))?;
        // It is small, and cannot be built again.
        sqlite::check(&keys.pool, sqlite::ALL).await.map_err(store("read all of the keys"))?;
        keys.revoke_again().await?;
        keys.move_in().await;
        keys.refresh().await?;
        Ok(keys)
    }

    /// Revokes again what an older copy of the file brought back, and lists what is revoked in it and not listed yet.
    async fn revoke_again(&self) -> Result<(), KeysError> {
        let listed = self.with_list("read", gone::read::<Spent>).await?;
        let is_new = listed.is_none();
        let listed = listed.unwrap_or_default();
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(store("revoke keys again"))?;
        let rows = sqlx::query("SELECT hash, revoked_at FROM keys").fetch_all(&mut *tx).await.map_err(store("look for revoked keys"))?;
        let kept: HashMap<[u8; 32], Option<Timestamp>> = rows.iter().filter_map(secret).collect();
        let mut returned = 0;
        for Spent { hash, since } in listed.iter().filter(|spent| kept.get(&spent.hash) == Some(&None)) {
            let revoke = sqlx::query("UPDATE keys SET revoked_at = ? WHERE hash = ? AND revoked_at IS NULL");
            let revoke = revoke.bind(since.as_micros()).bind(hash.to_vec());
            returned += revoke.execute(&mut *tx).await.map_err(store("revoke keys again"))?.rows_affected();
        }
        if returned > 0 {
            count_up(&mut tx).await.map_err(store("revoke keys again"))?;
        }
        tx.commit().await.map_err(store("revoke keys again"))?;
        if returned > 0 {
            tracing::warn!(returned, "an older copy of keys.db was put back with secrets that let nobody in any more: their keys are revoked again");
        }
        if is_new && !kept.is_empty() {
            tracing::warn!("there was no {} beside keys.db: if that was put back from a backup, put the newest list back too", spent::FILE);
        }
        let known: HashSet<[u8; 32]> = listed.iter().map(|spent| spent.hash).collect();
        let revoked = kept.into_iter().filter_map(|(hash, revoked_at)| Some(Spent { hash, since: revoked_at? }));
        let unlisted: Vec<Spent> = revoked.filter(|spent| !known.contains(&spent.hash)).collect();
        // It can be made up for at the next start: on a full disk keys are good all the same.
        if (is_new || !unlisted.is_empty())
            && let Err(error) = self.with_list("add to", move |path| gone::append(path, &unlisted)).await
        {
            tracing::warn!(error = %why(&error), "not all secrets that let nobody in any more are listed: an older copy of keys.db would bring them back");
        }
        Ok(())
    }

    /// Makes a key, good at once. The text is nowhere else: who loses it needs another key.
    ///
    /// # Errors
    /// If what is asked makes no sense, or the disk fails.
    pub async fn create(&self, new: NewKey, now: Timestamp) -> Result<(ApiKey, Key), KeysError> {
        new.check(now)?;
        let NewKey { name, role, museums, account, expires_at } = new;
        let name = name.trim().to_owned();
        let (id, text) = draw()?;
        let key = Key { id, name, role, museums: museums.sorted(), account, created_at: now, expires_at, revoked_at: None, last_used_at: None };
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(store("store a key"))?;
        sqlx::query("INSERT INTO keys (id, hash, name, role, museums, account, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
            .bind(key.id.get().cast_signed())
            .bind(hash(text.expose()).to_vec())
            .bind(key.name.clone())
            .bind(key.role.as_str())
            .bind(key.museums.to_string())
            .bind(key.account.map(|account| account.to_string()))
            .bind(now.as_micros())
            .bind(expires_at.map(Timestamp::as_micros))
            .execute(&mut *tx)
            .await
            .map_err(store("store a key"))?;
        self.take_up(tx, "store a key").await?;
        Ok((text, key))
    }

    /// Writes down that these museums are registered, for [`Keys::museums`]. One that is noted stays so: no museum goes.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn note_museums(&self, museums: &[MuseumId]) -> Result<(), KeysError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(store("note museums"))?;
        for museum in museums {
            let insert = sqlx::query("INSERT OR IGNORE INTO museums (number) VALUES (?)").bind(i64::from(museum.0));
            insert.execute(&mut *tx).await.map_err(store("note museums"))?;
        }
        tx.commit().await.map_err(store("note museums"))
    }

    /// The museums that are known to be registered, by number: those that there were when a server last started here, and what it registered since. None where none has.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn museums(&self) -> Result<Vec<MuseumId>, KeysError> {
        let numbers: Vec<i64> =
            sqlx::query_scalar("SELECT number FROM museums ORDER BY number").fetch_all(&self.pool).await.map_err(store("look for museums"))?;
        Ok(numbers.into_iter().filter_map(|number| u16::try_from(number).ok()).map(MuseumId).collect())
    }

    /// Revokes a key, here at once and in other processes at their next [`refresh`](Self::refresh). A key revoked before keeps its first date.
    ///
    /// # Errors
    /// If there is no such key, or the disk fails.
    pub async fn revoke(&self, id: KeyId, now: Timestamp) -> Result<Key, KeysError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(store("revoke a key"))?;
        self.list_spent(&mut tx, id, now).await?;
        let found = sqlx::query("UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?")
            .bind(now.as_micros())
            .bind(id.get().cast_signed())
            .execute(&mut *tx)
            .await
            .map_err(store("revoke a key"))?;
        if found.rows_affected() == 0 {
            return Err(KeysError::NoSuchKey(id));
        }
        self.take_up(tx, "revoke a key").await?;
        self.get(id).ok_or(KeysError::NoSuchKey(id))
    }

    /// Gives a key another secret, in the place of the one that it has, which opens nothing from then on: here at once, and in other processes at their next
    /// [`refresh`](Self::refresh). It stays the same key: what was held, sold and asked with it is its own. One that was revoked is good again, by the new secret. Without a new
    /// date it expires when it would have.
    ///
    /// # Errors
    /// If there is no such key, its time is over and no other is named, or the disk fails.
    pub async fn renew(&self, id: KeyId, expires_at: Option<Timestamp>, now: Timestamp) -> Result<(ApiKey, Key), KeysError> {
        let text = draw_for(id)?;
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(store("renew a key"))?;
        let before: Option<Option<i64>> = sqlx::query_scalar("SELECT expires_at FROM keys WHERE id = ?")
            .bind(id.get().cast_signed())
            .fetch_optional(&mut *tx)
            .await
            .map_err(store("renew a key"))?;
        let expires_at = expires_at.map(Timestamp::as_micros).or(before.ok_or(KeysError::NoSuchKey(id))?);
        if expires_at.is_some_and(|expiry| expiry <= now.as_micros()) {
            return Err(KeysError::ExpiresInThePast);
        }
        self.list_spent(&mut tx, id, now).await?;
        sqlx::query("UPDATE keys SET hash = ?, expires_at = ?, revoked_at = NULL WHERE id = ?")
            .bind(hash(text.expose()).to_vec())
            .bind(expires_at)
            .bind(id.get().cast_signed())
            .execute(&mut *tx)
            .await
            .map_err(store("renew a key"))?;
        self.take_up(tx, "renew a key").await?;
        let key = self.get(id).ok_or(KeysError::NoSuchKey(id))?;
        Ok((text, key))
    }

    /// Lists the secret that a key has as one that lets nobody in any more, before the change that makes it so: what is listed and was not revoked after all is at the next
    /// start, but what is not listed could come back. That of a key which is revoked already is listed once more: it could not be, if the disk was full when it should have been.
    async fn list_spent(&self, change: &mut SqliteConnection, id: KeyId, now: Timestamp) -> Result<(), KeysError> {
        let kept = sqlx::query("SELECT hash, revoked_at FROM keys WHERE id = ?").bind(id.get().cast_signed());
        let kept = kept.fetch_optional(change).await.map_err(store("look for a key"))?;
        let Some((hash, revoked_at)) = kept.as_ref().and_then(secret) else { return Ok(()) };
        let spent = Spent { hash, since: revoked_at.unwrap_or(now) };
        self.with_list("add to", move |path| gone::append(path, &[spent])).await
    }

    /// Works on the list of secrets that let nobody in any more, where it may block.
    async fn with_list<T: Send + 'static>(
        &self,
        attempted: &'static str,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, KeysError> {
        let path = self.path.with_file_name(spent::FILE);
        let list = path.clone();
        let done = tokio::task::spawn_blocking(move || work(&list)).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|source| KeysError::List { attempted, path, source })
    }

    /// Ends a change of the keys: here it holds at once, and other processes see that there is one.
    async fn take_up(&self, mut change: Transaction<'_, Sqlite>, what: &'static str) -> Result<(), KeysError> {
        count_up(&mut change).await.map_err(store(what))?;
        change.commit().await.map_err(store(what))?;
        self.move_in().await;
        self.refresh().await.map(drop)
    }

    /// Moves what was written from SQLite's log into the file, which it does by itself only when that is long: in a copy of the file alone a key would be missing, or one that
    /// was revoked be good. It is on the disk already, so a failure changes nothing.
    async fn move_in(&self) {
        if let Err(error) = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&self.pool).await {
            tracing::warn!(%error, "what was changed of the API keys stands in keys.db-wal alone: a copy of keys.db without it does not have it");
        }
    }

    /// Every key, revoked and expired ones too, oldest first; as of the last copy of the table.
    #[must_use]
    pub fn list(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.known.read().entries.values().map(Entry::as_used).collect();
        keys.sort_by_key(|key| (key.created_at, key.id));
        keys
    }

    /// The key of this number, also a revoked or expired one; as of the last copy of the table.
    #[must_use]
    pub fn get(&self, id: KeyId) -> Option<Key> {
        self.known.read().entries.get(&id).map(Entry::as_used)
    }

    /// What is kept of the secret of a key; as of the last copy of the table. It is another one when the secret was exchanged: whoever came by the one before is not let in any
    /// more.
    #[must_use]
    pub fn fingerprint(&self, id: KeyId) -> Option<[u8; 32]> {
        self.known.read().entries.get(&id).map(|entry| entry.hash)
    }

    /// Why whoever came by a secret of a key, of which that is kept, would not be let in any more: for those who stay long. As of the last copy of the table, without a word about
    /// its use.
    #[must_use]
    pub fn denied(&self, id: KeyId, fingerprint: Option<[u8; 32]>, now: Timestamp) -> Option<Denied> {
        let known = self.known.read();
        match known.entries.get(&id) {
            Some(entry) if entry.key.revoked_at.is_some() => Some(Denied::Revoked),
            Some(entry) if !entry.key.is_good(now) => Some(Denied::Expired),
            Some(entry) if Some(entry.hash) == fingerprint => None,
            // By a secret that is not the key's any more nobody is let in.
            Some(_) | None => Some(Denied::Unknown),
        }
    }

    /// Who holds the key with this text. Works in memory, does the same for a wrong secret as for an unknown id, and notes that the key was used.
    ///
    /// # Errors
    /// The reason why the caller is not let in.
    pub fn authenticate(&self, text: &str, now: Timestamp) -> Result<Arc<Key>, Denied> {
        let id = id_of(text).ok_or(Denied::Malformed)?;
        let given = hash(text);
        let known = self.known.read();
        let entry = known.entries.get(&id);
        let kept = entry.map_or(&[0; 32], |entry| &entry.hash);
        let same = bool::from(kept.ct_eq(&given));
        let entry = entry.filter(|_| same).ok_or(Denied::Unknown)?;
        // Whatever the date says: the clock of the one who revoked may run ahead of ours.
        if entry.key.revoked_at.is_some() {
            return Err(Denied::Revoked);
        }
        if entry.key.expires_at.is_some_and(|expiry| now >= expiry) {
            return Err(Denied::Expired);
        }
        entry.used.at.fetch_max(now.as_micros(), Ordering::Relaxed);
        Ok(Arc::clone(&entry.key))
    }

    /// Copies the table again if any process has made or revoked a key; true if so. If it fails, the copy at hand goes on answering: call again soon.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn refresh(&self) -> Result<bool, KeysError> {
        // Everything in one transaction: the revision is that of the rows, and nobody puts an older copy in place of a newer one.
        let mut tx = self.pool.begin().await.map_err(store("look for changed keys"))?;
        let revision: i64 = sqlx::query_scalar("SELECT number FROM revision").fetch_one(&mut *tx).await.map_err(store("look for changed keys"))?;
        if revision == self.known.read().revision {
            return Ok(false);
        }
        let rows = sqlx::query("SELECT * FROM keys").fetch_all(&mut *tx).await.map_err(store("copy the keys"))?;
        let mut entries: HashMap<KeyId, Entry> = rows.iter().filter_map(entry).map(|entry| (entry.key.id, entry)).collect();
        let mut known = self.known.write();
        for (id, entry) in &mut entries {
            if let Some(before) = known.entries.get(id) {
                entry.used = Arc::clone(&before.used);
            }
        }
        *known = Known { revision, entries };
        drop(known);
        Ok(true)
    }

    /// Writes down when keys were last used, those that were since the last call; returns how many. To be called now and then, and before the end.
    ///
    /// # Errors
    /// If the disk fails; the next call tries again.
    pub async fn flush_last_used(&self) -> Result<usize, KeysError> {
        let changed: Vec<(KeyId, Arc<Used>, i64)> = {
            let known = self.known.read();
            let uses = known.entries.iter().map(|(id, entry)| (*id, Arc::clone(&entry.used), entry.used.at.load(Ordering::Relaxed)));
            uses.filter(|(_, used, at)| *at > used.flushed.load(Ordering::Relaxed)).collect()
        };
        if changed.is_empty() {
            return Ok(0);
        }
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(store("write down uses of keys"))?;
        for (id, _, at) in &changed {
            sqlx::query("UPDATE keys SET last_used_at = max(coalesce(last_used_at, ?1), ?1) WHERE id = ?2")
                .bind(at)
                .bind(id.get().cast_signed())
                .execute(&mut *tx)
                .await
                .map_err(store("write down uses of keys"))?;
        }
        tx.commit().await.map_err(store("write down uses of keys"))?;
        for (_, used, at) in &changed {
            used.flushed.fetch_max(*at, Ordering::Relaxed);
        }
        Ok(changed.len())
    }

    /// Closes the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl Entry {
    fn as_used(&self) -> Key {
        Key { last_used_at: self.used.at(), ..Key::clone(&self.key) }
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full)
}

async fn count_up(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query("UPDATE revision SET number = number + 1").execute(connection).await.map(drop)
}

/// What is kept of the secret in a row, and when it was revoked; none if that cannot be understood, which lets nobody in.
fn secret(row: &SqliteRow) -> Option<([u8; 32], Option<Timestamp>)> {
    let hash: [u8; 32] = row.try_get::<&[u8], _>("hash").ok()?.try_into().ok()?;
    let revoked_at = row.try_get::<Option<i64>, _>("revoked_at").ok()?;
    Some((hash, revoked_at.map(Timestamp::from_micros)))
}

/// A row as an entry. One that cannot be understood, say a role of a later version, lets nobody in: better one key lost than every revocation unseen.
fn entry(row: &SqliteRow) -> Option<Entry> {
    let understood = || -> Result<Entry, Box<dyn std::error::Error>> {
        let instant = |column| row.try_get::<Option<i64>, _>(column).map(|instant| instant.map(Timestamp::from_micros));
        let key = Key {
            id: KeyId(row.try_get::<i64, _>("id")?.cast_unsigned()),
            name: row.try_get("name")?,
            role: row.try_get::<&str, _>("role")?.parse()?,
            museums: row.try_get::<&str, _>("museums")?.parse()?,
            account: row.try_get::<Option<&str>, _>("account")?.map(str::parse).transpose()?,
            created_at: Timestamp::from_micros(row.try_get("created_at")?),
            expires_at: instant("expires_at")?,
            revoked_at: instant("revoked_at")?,
            last_used_at: instant("last_used_at")?,
        };
        let used = Arc::new(Used::new(key.last_used_at));
        Ok(Entry { hash: row.try_get::<&[u8], _>("hash")?.try_into()?, used, key: Arc::new(key) })
    };
    let id = row.try_get::<i64, _>("id").unwrap_or_default().cast_unsigned();
    understood().inspect_err(|error| tracing::error!(key = id, %error, "a stored key is not understood and lets nobody in")).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tornello_engine::ids::Code;

    use super::text::TEXT_CHARACTERS;
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    fn new_key() -> NewKey {
        NewKey {
            name: "Totem at the south entrance".to_owned(),
            role: Role::Kiosk,
            museums: Museums::Only(vec![MuseumId(17), MuseumId(3), MuseumId(17)]),
            account: None,
            expires_at: None,
        }
    }

    async fn fresh() -> (tempfile::TempDir, Keys) {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path().join("keys.db")).await.unwrap();
        (folder, keys)
    }

    /// The same text with one character of the secret changed.
    fn spoilt(text: &str) -> String {
        let last = if text.ends_with('0') { "1" } else { "0" };
        format!("{}{last}", &text[..text.len() - 1])
    }

    #[tokio::test]
    async fn a_key_opens_what_it_was_made_for() {
        let (folder, keys) = fresh().await;
        let account: Code = "tour-1".parse().unwrap();
        let (text, made) =
            keys.create(NewKey { role: Role::Reseller, account: Some(account), name: " Tours ".to_owned(), ..new_key() }, at(0)).await.unwrap();
        assert_eq!((text.expose().len(), made.name.as_str()), (TEXT_CHARACTERS, "Tours"));
        for keys in [&keys, &Keys::open(folder.path().join("keys.db")).await.unwrap()] {
            let key = keys.authenticate(text.expose(), at(1)).unwrap();
            assert_eq!(*key, made);
            assert_eq!((key.role, key.account), (Role::Reseller, Some(account)));
            assert!(key.museums.allows(MuseumId(3)) && key.museums.allows(MuseumId(17)) && !key.museums.allows(MuseumId(4)));
        }
        assert!(Museums::All.allows(MuseumId(4)));
    }

    #[tokio::test]
    async fn who_is_not_let_in_learns_no_more_than_is_due() {
        let (_folder, keys) = fresh().await;
        let (text, key) = keys.create(NewKey { expires_at: Some(at(100)), ..new_key() }, at(0)).await.unwrap();
        let (other, _) = keys.create(new_key(), at(0)).await.unwrap();
        let text = text.expose();
        let crossed = format!("{}{}", &text[..17], &other.expose()[17..]);
        let ask = |text: &str, now| keys.authenticate(text, now).map(|key| key.id);

        assert_eq!(ask(text, at(99)), Ok(key.id));
        assert_eq!(ask(text, Timestamp::from_micros(at(100).as_micros() - 1)), Ok(key.id));
        assert_eq!(ask(text, at(100)), Err(Denied::Expired), "the instant itself is past it");
        assert_eq!(ask(&spoilt(text), at(100)), Err(Denied::Unknown), "expiry is told only to the holder");
        assert_eq!(ask(&crossed, at(1)), Err(Denied::Unknown));
        assert_eq!(ask(&text.replace(&key.id.to_string(), "0000000000001"), at(1)), Err(Denied::Unknown));
        keys.revoke(key.id, at(1)).await.unwrap();
        assert_eq!(ask(text, at(0)), Err(Denied::Revoked), "even where the clock is behind");
        assert_eq!(ask(&spoilt(text), at(2)), Err(Denied::Unknown));
        for malformed in ["", "tn_", "tn__", &text[1..], &text[..68], &format!("{text}0"), &text.to_uppercase(), &text.replace('_', "-"), "Bearer x"]
        {
            assert_eq!(ask(malformed, at(1)), Err(Denied::Malformed), "{malformed}");
        }
        let codes: BTreeSet<_> = Denied::ALL.map(Denied::code).into();
        assert_eq!(codes, ["key_expired", "key_malformed", "key_revoked", "key_unknown"].into());
    }

    #[tokio::test]
    async fn museums_that_are_noted_are_known_to_whoever_makes_keys() {
        let (folder, server) = fresh().await;
        assert!(server.museums().await.unwrap().is_empty());
        server.note_museums(&[MuseumId(17), MuseumId(3)]).await.unwrap();
        server.note_museums(&[MuseumId(3), MuseumId(4)]).await.unwrap();
        let operator = Keys::open(folder.path().join("keys.db")).await.unwrap();
        assert_eq!(operator.museums().await.unwrap(), [MuseumId(3), MuseumId(4), MuseumId(17)]);
        assert!(!server.refresh().await.unwrap(), "a museum is no reason to copy the table");
    }

    #[tokio::test]
    async fn another_process_sees_a_revocation_at_its_next_refresh() {
        let (folder, server) = fresh().await;
        let operator = Keys::open(folder.path().join("keys.db")).await.unwrap();
        let (text, key) = operator.create(new_key(), at(0)).await.unwrap();
        assert_eq!(server.authenticate(text.expose(), at(1)), Err(Denied::Unknown));
        assert!(server.refresh().await.unwrap() && !server.refresh().await.unwrap());
        assert!(server.authenticate(text.expose(), at(2)).is_ok());

        assert_eq!(operator.revoke(key.id, at(3)).await.unwrap().revoked_at, Some(at(3)));
        assert_eq!(operator.revoke(key.id, at(4)).await.unwrap().revoked_at, Some(at(3)));
        assert!(server.refresh().await.unwrap());
        assert_eq!(server.authenticate(text.expose(), at(5)), Err(Denied::Revoked));
        assert_eq!(server.list()[0].last_used_at, Some(at(2)), "uses outlive a new copy, and a refusal is no use");
        assert!(matches!(operator.revoke(KeyId(5), at(3)).await, Err(KeysError::NoSuchKey(KeyId(5)))));
    }

    #[tokio::test]
    async fn a_key_whose_secret_is_exchanged_is_the_same_key() {
        let (folder, server) = fresh().await;
        let operator = Keys::open(folder.path().join("keys.db")).await.unwrap();
        let (leaked, key) = server.create(NewKey { expires_at: Some(at(100)), ..new_key() }, at(0)).await.unwrap();
        let fingerprint = server.fingerprint(key.id);
        server.revoke(key.id, at(1)).await.unwrap();
        let (text, renewed) = operator.renew(key.id, None, at(2)).await.unwrap();
        assert!(server.refresh().await.unwrap());
        assert_eq!(server.authenticate(text.expose(), at(3)).map(|key| key.id), Ok(key.id));
        assert_eq!(server.authenticate(leaked.expose(), at(3)), Err(Denied::Unknown));
        assert_eq!(renewed, Key { revoked_at: None, ..key.clone() });
        assert!(fingerprint.is_some() && server.fingerprint(key.id) != fingerprint);
        assert!(matches!(operator.renew(key.id, None, at(100)).await, Err(KeysError::ExpiresInThePast)));
        assert_eq!(operator.renew(key.id, Some(at(200)), at(100)).await.unwrap().1.expires_at, Some(at(200)));
        assert!(matches!(operator.renew(KeyId(5), None, at(2)).await, Err(KeysError::NoSuchKey(KeyId(5)))));
    }

    #[tokio::test]
    async fn uses_are_written_down_in_one_go() {
        let (folder, keys) = fresh().await;
        let (first, _) = keys.create(new_key(), at(0)).await.unwrap();
        let (second, _) = keys.create(new_key(), at(1)).await.unwrap();
        for seconds in [5, 9, 7] {
            keys.authenticate(first.expose(), at(seconds)).unwrap();
        }
        assert_eq!(keys.flush_last_used().await.unwrap(), 1);
        assert_eq!(keys.flush_last_used().await.unwrap(), 0);
        assert!(!keys.refresh().await.unwrap(), "a use is no reason to copy the table");
        keys.authenticate(second.expose(), at(10)).unwrap();
        keys.authenticate(first.expose(), at(8)).unwrap();
        assert_eq!(keys.flush_last_used().await.unwrap(), 1);
        let again = Keys::open(folder.path().join("keys.db")).await.unwrap();
        assert_eq!(again.list().iter().map(|key| key.last_used_at).collect::<Vec<_>>(), [Some(at(9)), Some(at(10))]);
    }

    #[tokio::test]
    async fn no_file_and_no_print_shows_the_secret() {
        let (folder, keys) = fresh().await;
        let (text, key) = keys.create(new_key(), at(0)).await.unwrap();
        let secret = &text.expose()[17..];
        let files: Vec<u8> = std::fs::read_dir(folder.path()).unwrap().flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
        let found = |part: &[u8]| files.windows(part.len()).any(|window| window == part);
        assert!(found(&hash(text.expose())) && found(b"Totem"));
        for part in secret.as_bytes().chunks_exact(13) {
            assert!(!found(part));
        }
        let printed = format!("{text:?} {key:?} {keys:?}");
        assert!(printed.contains(&key.id.to_string()) && !printed.contains(&secret[..8]), "{printed}");
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&keys.path).unwrap().permissions()) & 0o777, 0o600);
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_not_made() {
        let (_folder, keys) = fresh().await;
        for name in ["", "  ", "a\nb", &"x".repeat(101)] {
            assert!(matches!(keys.create(NewKey { name: name.to_owned(), ..new_key() }, at(0)).await, Err(KeysError::Name)), "{name}");
        }
        assert!(matches!(keys.create(NewKey { museums: Museums::Only(Vec::new()), ..new_key() }, at(0)).await, Err(KeysError::NoMuseum)));
        assert!(matches!(keys.create(NewKey { expires_at: Some(at(0)), ..new_key() }, at(0)).await, Err(KeysError::ExpiresInThePast)));
        assert!(keys.list().is_empty());
    }

    #[tokio::test]
    async fn a_copy_of_the_file_alone_has_every_key_and_knows_which_are_revoked() {
        let (folder, server) = fresh().await;
        let path = folder.path().join("keys.db");
        let operator = Keys::open(&path).await.unwrap();
        let (good, _) = operator.create(new_key(), at(0)).await.unwrap();
        let (leaked, key) = server.create(new_key(), at(0)).await.unwrap();
        operator.revoke(key.id, at(1)).await.unwrap();
        // Both have it open yet.
        let copies = tempfile::tempdir().unwrap();
        let copy = copies.path().join("keys.db");
        std::fs::copy(&path, &copy).unwrap();
        let restored = Keys::open(copy).await.unwrap();
        assert_eq!(restored.authenticate(good.expose(), at(2)).map(|key| key.revoked_at), Ok(None));
        assert_eq!(restored.authenticate(leaked.expose(), at(2)), Err(Denied::Revoked));
        operator.close().await;
        server.close().await;
    }

    /// Puts a copy in the place of a file that nobody has open.
    fn put_back(copy: &Path, path: &Path) {
        for end in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(path.with_file_name(format!("keys.db{end}")));
        }
        std::fs::copy(copy, path).unwrap();
    }

    #[tokio::test]
    async fn an_older_copy_of_the_file_lets_nobody_in_by_a_secret_that_was_revoked_or_exchanged() {
        let (folder, keys) = fresh().await;
        let (path, copies) = (folder.path().join("keys.db"), tempfile::tempdir().unwrap());
        let (good, _) = keys.create(new_key(), at(0)).await.unwrap();
        let (leaked, revoked) = keys.create(new_key(), at(0)).await.unwrap();
        let (known, exchanged) = keys.create(new_key(), at(0)).await.unwrap();
        let copy = copies.path().join("keys.db");
        std::fs::copy(&path, &copy).unwrap();
        keys.revoke(revoked.id, at(1)).await.unwrap();
        let (fresh, _) = keys.renew(exchanged.id, None, at(2)).await.unwrap();
        keys.close().await;
        put_back(&copy, &path);

        let restored = Keys::open(&path).await.unwrap();
        let ask = |text: &ApiKey| restored.authenticate(text.expose(), at(3)).map(|key| key.id);
        assert!(ask(&good).is_ok());
        assert_eq!((ask(&leaked), ask(&known), ask(&fresh)), (Err(Denied::Revoked), Err(Denied::Revoked), Err(Denied::Unknown)));
        assert_eq!(restored.get(revoked.id).and_then(|key| key.revoked_at), Some(at(1)), "since it was revoked first");
        // Whoever needs the key has another secret, as ever; that is good after a start too.
        let (again, _) = restored.renew(exchanged.id, None, at(4)).await.unwrap();
        restored.close().await;
        let restarted = Keys::open(&path).await.unwrap();
        assert_eq!(restarted.authenticate(again.expose(), at(5)).map(|key| key.id), Ok(exchanged.id));
        assert_eq!(restarted.authenticate(known.expose(), at(5)), Err(Denied::Unknown));
    }

    /// A key that was revoked at 1 and whose secret no list has, with a copy of the file from before, which stands beside it.
    async fn revoked_unlisted() -> (tempfile::TempDir, Keys, ApiKey, KeyId, PathBuf) {
        let (folder, keys) = fresh().await;
        let copy = folder.path().join("keys.before");
        let (leaked, key) = keys.create(new_key(), at(0)).await.unwrap();
        std::fs::copy(folder.path().join("keys.db"), &copy).unwrap();
        keys.revoke(key.id, at(1)).await.unwrap();
        std::fs::remove_file(folder.path().join(spent::FILE)).unwrap();
        (folder, keys, leaked, key.id, copy)
    }

    #[tokio::test]
    async fn what_was_revoked_before_there_was_a_list_is_listed_when_there_is() {
        let (folder, keys, leaked, _, copy) = revoked_unlisted().await;
        let path = folder.path().join("keys.db");
        keys.close().await;
        Keys::open(&path).await.unwrap().close().await;
        put_back(&copy, &path);
        assert_eq!(Keys::open(&path).await.unwrap().authenticate(leaked.expose(), at(2)), Err(Denied::Revoked));
    }

    /// As when a key was revoked by a version without the list, and that could not be made at the start, as the disk was full.
    #[tokio::test]
    async fn a_secret_that_was_revoked_and_not_listed_is_listed_before_another_takes_its_place() {
        let (folder, keys, leaked, key, copy) = revoked_unlisted().await;
        let path = folder.path().join("keys.db");
        keys.renew(key, None, at(2)).await.unwrap();
        keys.close().await;
        put_back(&copy, &path);
        let restored = Keys::open(&path).await.unwrap();
        assert_eq!(restored.authenticate(leaked.expose(), at(3)), Err(Denied::Revoked));
        assert_eq!(restored.get(key).and_then(|key| key.revoked_at), Some(at(1)), "since it was revoked first");
    }

    #[tokio::test]
    async fn nobody_is_told_that_a_key_is_revoked_whose_secret_could_not_be_listed() {
        let (folder, keys) = fresh().await;
        let list = folder.path().join(spent::FILE);
        let (text, key) = keys.create(new_key(), at(0)).await.unwrap();
        std::fs::remove_file(&list).unwrap();
        std::fs::create_dir(&list).unwrap();
        assert!(matches!(keys.revoke(key.id, at(1)).await, Err(KeysError::List { .. })));
        assert!(matches!(keys.renew(key.id, None, at(1)).await, Err(KeysError::List { .. })));
        assert!(keys.authenticate(text.expose(), at(2)).is_ok(), "nothing was done");
        std::fs::remove_dir(&list).unwrap();
        assert_eq!(keys.revoke(key.id, at(3)).await.unwrap().revoked_at, Some(at(3)));
        let listed = gone::read::<Spent>(&list).unwrap().unwrap();
        assert_eq!(listed, [Spent { hash: hash(text.expose()), since: at(3) }]);
    }

    #[test]
    fn a_line_of_the_list_is_read_back_and_none_that_was_cut_short() {
        let spent = Spent { hash: [0xa7; 32], since: at(7) };
        let line = spent.to_string();
        assert_eq!(line.parse(), Ok(spent));
        for bad in (0..line.len()).map(|length| line[..length].to_owned()).chain([format!("{line}0"), line.replace(' ', "")]) {
            assert!(bad.parse::<Spent>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_row_of_a_later_version_lets_nobody_in_and_hinders_nobody() {
        let (folder, keys) = fresh().await;
        let (odd, odd_key) = keys.create(new_key(), at(0)).await.unwrap();
        let (good, _) = keys.create(new_key(), at(0)).await.unwrap();
        sqlx::query("UPDATE keys SET role = 'astronaut' WHERE id = ?").bind(odd_key.id.get().cast_signed()).execute(&keys.pool).await.unwrap();
        let again = Keys::open(folder.path().join("keys.db")).await.unwrap();
        assert_eq!(again.authenticate(odd.expose(), at(1)), Err(Denied::Unknown));
        assert!(again.authenticate(good.expose(), at(1)).is_ok());
    }
}
