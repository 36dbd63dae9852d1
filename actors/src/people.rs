//! Contacts of people, apart from the journal, which knows them only as a [`PersonId`]. Each contact is encrypted under a key of its own; the keys are in a
//! second file, wrapped under the master key. Erasing someone overwrites their key and their contact: no file yields either afterwards, and a backup of
//! `people.db` alone never did. Who was erased on request is listed in a third file, kept with the journal: when copies of both databases are put back, whoever they
//! bring back is erased again before anything is read.
//!
//! Here is the store. What a contact is stands in `contact.rs`, in which alphabet a name is in `script.rs`, how a contact is sealed in `sealing.rs`, the list of who was
//! erased in `erasures.rs`; `pseudonym.rs` makes the pseudonyms that commands carry, from the same master key.
//!
//! Nothing here knows what a contact is for, nor the time: callers pass it in. The reasons for the unusual settings of SQLite are beside `SCHEMA`.

mod contact;
mod erasures;
mod pseudonym;
mod script;
mod sealing;

pub use contact::{Contact, ContactError, ContactForm, Payee};
pub use pseudonym::{Month, OVERLAP_S, Pseudonymiser, named_until};
pub use script::MixedScripts;
pub use sealing::MasterKey;
pub(crate) use sealing::Sealer;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chacha20poly1305::XChaCha20Poly1305;
use parking_lot::Mutex;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use tokio::sync::{OwnedMutexGuard, oneshot};
use tornello_engine::ids::{MuseumId, PersonId};
use tornello_engine::recall::REMEMBERED_S;
use tornello_engine::time::{DAY_S, MICROS_PER_S, Timestamp};
use zeroize::Zeroizing;

use self::contact::{read, written};
use self::sealing::{SEALED_BYTES, WRAPPED_BYTES, cipher, random, seal, unseal};
use crate::secret_file::{self, SecretFileError};

const WAITING_MAX: usize = 4_096;
/// How long after the visit a contact is kept, for refunds and questions; then it is erased, unless money is owed to them or contested
/// ([`Node::erase_due`](crate::node::Node::erase_due)). 90 days, in seconds.
pub const RETENTION_S: i64 = 90 * DAY_S;
const BATCH_MAX: usize = 256;

/// Why a contact cannot be stored, read or erased.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PeopleError {
    /// The master key's file, or a database file, could not be made or read.
    #[error("cannot open the store of people")]
    File(#[source] Arc<SecretFileError>),
    /// SQLite takes names of files in UTF-8 only.
    #[error("cannot keep people in {}: the name of the folder must be UTF-8", .0.display())]
    FolderName(PathBuf),
    /// The master key's file has another length.
    #[error("{} holds {found} bytes where a master key has 32; put the right file back: without it no contact can be read", path.display())]
    MasterKeyLength {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: usize,
    },
    /// The folder's keys were wrapped under another master key.
    #[error(
        "the keys of people were wrapped under another master key; put the right master.key back, or, if there is no copy of it any more, move people.db and people-keys.db away: \
        nobody can read them without it"
    )]
    WrongMasterKey,
    /// The operating system gave no random bytes.
    #[error("cannot encrypt a contact: the operating system gives no random bytes")]
    Random,
    /// A database failed.
    #[error("cannot {attempted}")]
    Store {
        /// What was attempted.
        attempted: &'static str,
        /// The cause.
        source: Arc<sqlx::Error>,
    },
    /// The list of who was erased cannot be read or added to.
    #[error("cannot {attempted} {}", path.display())]
    Erasures {
        /// What was attempted.
        attempted: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// The person was erased.
    #[error("person {0} was erased: nothing can be stored under that id again")]
    Erased(PersonId),
    /// The person was stored so long ago that this is no repeat of that.
    #[error("person {0} was stored more than a day ago, for something else")]
    Settled(PersonId),
    /// What is stored is not what was written.
    #[error("cannot read the contact of person {person}: {what}")]
    Damaged {
        /// Whose contact.
        person: PersonId,
        /// What is wrong.
        what: &'static str,
    },
    /// Too many writes are waiting; nothing was done.
    #[error("cannot store the contact: too many are waiting")]
    Busy,
    /// The write was cut short by the end of the process; it may have happened.
    #[error("cannot tell whether the contact was stored or erased")]
    OutcomeUnknown,
}

impl PeopleError {
    /// Whether the same call may succeed later; all calls may be repeated without harm.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Store { .. } | Self::Erasures { .. } | Self::Busy | Self::OutcomeUnknown | Self::Random)
    }
}

fn store(attempted: &'static str) -> impl FnOnce(sqlx::Error) -> PeopleError {
    move |source| PeopleError::Store { attempted, source: Arc::new(source) }
}

/// Whether [`People::erase`] found anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// There was a contact, and now there is none. False if the person was unknown or erased before.
    pub was_there: bool,
}

/// The store of contacts. Cloning it is cheap and gives the same store.
#[derive(Clone)]
pub struct People {
    inner: Arc<Inner>,
}

struct Inner {
    /// One connection: whoever holds it is the only writer.
    pool: SqlitePool,
    wrapping: XChaCha20Poly1305,
    /// Where it is listed who was erased on request.
    erasures: PathBuf,
    waiting: Mutex<VecDeque<Waiting>>,
    /// Who is listed there and was not erased after all, as the databases could not be written to: the next start erases them.
    listed: Mutex<HashSet<PersonId>>,
    /// Under whose ids somebody is being named.
    turns: Mutex<HashMap<PersonId, Arc<tokio::sync::Mutex<()>>>>,
}

/// The turn of one who names somebody under an id, until it is dropped; see [`People::turn`].
#[derive(Debug)]
pub struct Turn {
    people: People,
    person: PersonId,
    /// None while it is waited for.
    held: Option<OwnedMutexGuard<()>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.held = None;
        let mut turns = self.people.inner.turns.lock();
        // Whoever waits for it has it too.
        if turns.get(&self.person).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(&self.person);
        }
    }
}

struct Waiting {
    job: Job,
    answer: oneshot::Sender<Result<Done, PeopleError>>,
}

enum Job {
    Put { person: PersonId, wrapped: Vec<u8>, sealed: Vec<u8>, now: Timestamp, erase_after: Option<Timestamp> },
    Erase { person: PersonId, now: Timestamp, also_unknown: bool },
    Keep { person: PersonId, until: Timestamp },
}

enum Done {
    Put,
    Kept,
    Erased(Erased),
    /// Nobody was known under the id, and nobody can be from now on.
    Buried,
    Refused(PersonId),
    Settled(PersonId),
}

impl fmt::Debug for People {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("People(..)")
    }
}

/// What makes erasure true on disk:
///
/// * Secrets stand alone in rows of one size, numbered upwards, that are never deleted nor resized: SQLite then overwrites them where they are. Were they
///   rows of any size that come and go, a page split could copy one to a second page and leave the first copy in a gap that `secure_delete` does not clear
///   (tried: up to 5 of 1,000 rows were still in the file after they had been deleted).
/// * `secure_delete` clears everything else that is freed.
/// * `journal_mode=TRUNCATE`, `synchronous=FULL`: the old page is in the rollback journal only until the commit, which cuts it to nothing and flushes that.
///   A write-ahead log would keep old and new pages until it happens to wrap around; DELETE does not flush the removal, so a power loss after the answer
///   could bring the key back; PERSIST leaves the old pages in the file.
/// * Both files are one connection's, so a transaction over both is all or nothing, which a write-ahead log cannot promise either.
///
/// What the disk itself keeps of freed or remapped blocks is out of reach from here: it is ciphertext, or a key wrapped under the master key.
const SCHEMA: [&str; 5] = [
    "CREATE TABLE IF NOT EXISTS main.vault (row INTEGER PRIMARY KEY, sealed BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS main.vacant (row INTEGER PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS main.people (person BLOB PRIMARY KEY, row INTEGER, created_at INTEGER NOT NULL, erase_after INTEGER, erased_at INTEGER) \
     WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS main.people_due ON people (erase_after) WHERE erase_after IS NOT NULL",
    // A destroyed key stays as a row of zeros: the tombstone that a restored copy of people.db cannot undo. Row 1 tells a wrong master key.
    "CREATE TABLE IF NOT EXISTS keys.person_keys (row INTEGER PRIMARY KEY, person BLOB NOT NULL UNIQUE, wrapped BLOB NOT NULL)",
];

/// Of some people, those of whom nothing is left, and under whose ids nobody can be stored. Whoever was ever erased stands there, also by date: of all of them nobody asks.
const GONE: &str = "SELECT people.person FROM json_each(?2) CROSS JOIN people ON people.person = unhex(value) \
                    LEFT JOIN keys.person_keys AS k ON k.person = people.person \
                    WHERE erased_at IS NOT NULL AND coalesce(k.wrapped = zeroblob(?1), TRUE)";
/// People who were erased, as either database says.
const ERASED: &str = "SELECT person FROM people WHERE erased_at IS NOT NULL UNION SELECT person FROM keys.person_keys WHERE wrapped = zeroblob(?)";

/// Stands for the master key itself where keys are kept; real ids are random.
const MASTER_CHECK: PersonId = PersonId(u128::MAX);

/// Joins the file of the keys to a connection to the contacts.
async fn attach(connection: &mut SqliteConnection, keys: &str) -> Result<(), sqlx::Error> {
    sqlx::query("ATTACH DATABASE ? AS keys").bind(keys).execute(&mut *connection).await?;
    for pragma in ["PRAGMA keys.journal_mode = TRUNCATE", "PRAGMA keys.synchronous = FULL", "PRAGMA keys.secure_delete = ON"] {
        sqlx::query(pragma).execute(&mut *connection).await?;
    }
    Ok(())
}

impl People {
    /// Opens `people.db` and `people-keys.db` in `folder`, which must exist, and makes them if there are none. Whoever `erased.log` beside them lists, and these have all
    /// the same, as they were put back from an older copy, is erased again, as of `now`, before this returns. Other processes may have them open too, as a server has beside the
    /// command line.
    ///
    /// # Errors
    /// If the master key is not the one that the keys were wrapped under, or the disk fails.
    pub async fn open(folder: &Path, master: MasterKey, now: Timestamp) -> Result<Self, PeopleError> {
        let (contacts, keys) = (folder.join("people.db"), folder.join("people-keys.db"));
        let attached: Arc<str> = keys.to_str().ok_or_else(|| PeopleError::FolderName(folder.to_owned()))?.into();
        for path in [&contacts, &keys] {
            secret_file::ensure_usable(path).map_err(|error| PeopleError::File(Arc::new(error)))?;
        }
        let options = SqliteConnectOptions::new()
            .filename(&contacts)
            .journal_mode(SqliteJournalMode::Truncate)
            .synchronous(SqliteSynchronous::Full)
            .pragma("secure_delete", "ON")
            .pragma("temp_store", "MEMORY");
        // Once without the pool, which tries what fails again for half a minute and then says only that it took too long.
        let mut tried = SqliteConnection::connect_with(&options).await.map_err(store("open the store of people"))?;
        attach(&mut tried, &attached).await.map_err(store("open the store of people"))?;
        tried.close().await.map_err(store("open the store of people"))?;
        let pool = crate::sqlite::pool()
            .max_connections(1)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                let attached = Arc::clone(&attached);
                Box::pin(async move { attach(connection, &attached).await })
            })
            .connect_with(options)
            .await
            .map_err(store("open the store of people"))?;
        let wrapping = cipher(&master.derive(b"tornello: wrap the keys of people, 1"));
        let erasures = folder.join(erasures::FILE);
        let (waiting, listed, turns) = Default::default();
        let people = Self { inner: Arc::new(Inner { pool, wrapping, erasures, waiting, listed, turns }) };
        people.prepare().await?;
        people.erase_again(now).await?;
        Ok(people)
    }

    /// Removes what a kill has left beside the databases of commits over both. Only for whoever has the folder alone, and the store open: a transaction over both has ended then,
    /// by which what a kill had cut short of the one before was undone. What another process is just committing must not be taken for that.
    pub(crate) fn remove_leftovers(folder: &Path) {
        let (contacts, keys) = (folder.join("people.db"), folder.join("people-keys.db"));
        if let Err(error) = crate::sqlite::remove_leftovers(&[&contacts, &keys]) {
            tracing::warn!(%error, "what a kill has left beside the contacts is not removed: it does no harm");
        }
    }

    /// Erases whoever an older copy of the databases brought back. Where there is no list yet, whoever is known to be erased is listed.
    async fn erase_again(&self, now: Timestamp) -> Result<(), PeopleError> {
        let mut returned = self.erase_returned(now).await?;
        match self.inner.with_list(erasures::read).await? {
            Some(listed) => {
                for batch in listed.chunks(BATCH_MAX) {
                    let gone = self.gone(batch).await?;
                    let there: Vec<PersonId> = batch.iter().copied().filter(|person| *person != MASTER_CHECK && !gone.contains(person)).collect();
                    if there.is_empty() {
                        continue;
                    }
                    let mut tx = self.inner.pool.begin_with("BEGIN IMMEDIATE").await.map_err(store("erase people again"))?;
                    for person in there {
                        returned += u64::from(bury(&mut tx, person, now).await.map_err(store("erase people again"))?.was_there);
                    }
                    tx.commit().await.map_err(store("erase people again"))?;
                }
            }
            None => {
                let has_people: bool =
                    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM people)").fetch_one(&self.inner.pool).await.map_err(store("look for people"))?;
                if has_people {
                    tracing::warn!(
                        "there was no {} beside the contacts: if they were put back from a backup, put the newest list back too",
                        erasures::FILE
                    );
                }
                let erased: Vec<PersonId> = self.erased().await?.into_iter().collect();
                self.inner.with_list(move |path| erasures::create(path, &erased)).await?;
            }
        }
        if returned > 0 {
            tracing::warn!(returned, "an older copy of the contacts was put back with people who had been erased: they are erased again");
        }
        Ok(())
    }

    /// Whoever of some people is gone.
    async fn gone(&self, people: &[PersonId]) -> Result<HashSet<PersonId>, PeopleError> {
        let asked = sqlx::query_scalar(GONE).bind(WRAPPED_BYTES as i64).bind(in_hex(people));
        let gone: Vec<Vec<u8>> = asked.fetch_all(&self.inner.pool).await.map_err(store("look for erased people"))?;
        Ok(ids(&gone))
    }

    /// Whoever was erased, as either database says.
    async fn erased(&self) -> Result<HashSet<PersonId>, PeopleError> {
        let asked = sqlx::query_scalar(ERASED).bind(WRAPPED_BYTES as i64);
        let erased: Vec<Vec<u8>> = asked.fetch_all(&self.inner.pool).await.map_err(store("look for erased people"))?;
        Ok(ids(&erased))
    }

    async fn prepare(&self) -> Result<(), PeopleError> {
        let mut tx = self.inner.pool.begin_with("BEGIN IMMEDIATE").await.map_err(store("prepare the store of people"))?;
        for statement in SCHEMA {
            sqlx::query(statement).execute(&mut *tx).await.map_err(store("prepare the store of people"))?;
        }
        let check: Option<Vec<u8>> = sqlx::query_scalar("SELECT wrapped FROM keys.person_keys WHERE row = 1")
            .fetch_optional(&mut *tx)
            .await
            .map_err(store("check the master key"))?;
        match check {
            Some(check) => drop(unseal(&self.inner.wrapping, MASTER_CHECK, &check).ok_or(PeopleError::WrongMasterKey)?),
            None => {
                sqlx::query("INSERT INTO keys.person_keys (row, person, wrapped) VALUES (1, ?, ?)")
                    .bind(blob(MASTER_CHECK))
                    .bind(seal(&self.inner.wrapping, MASTER_CHECK, &[0; 32])?)
                    .execute(&mut *tx)
                    .await
                    .map_err(store("record the master key"))?;
            }
        }
        tx.commit().await.map_err(store("prepare the store of people"))
    }

    /// Stores a contact, in the place of an earlier one if there is one, under a new key; durable when it returns. Of its date and an earlier
    /// one's the later stands, and no date is later than any: what is repeated must not take back what [`People::keep_until`] has given.
    /// Calls that arrive together share one flush of the disk. An earlier one of more than a day ago stands as it is: idempotency keys are forgotten after a day, so
    /// whoever comes later under the same key is somebody else.
    ///
    /// # Errors
    /// [`PeopleError::Erased`] if the person was erased, or is to be at the next start, [`PeopleError::Settled`] if there is an earlier one of more than a day ago; `Busy`, or the disk.
    pub async fn put(&self, person: PersonId, contact: &Contact, now: Timestamp, erase_after: Option<Timestamp>) -> Result<(), PeopleError> {
        let key: Zeroizing<[u8; 32]> = Zeroizing::new(random()?);
        let wrapped = seal(&self.inner.wrapping, person, &*key)?;
        let sealed = seal(&cipher(&key), person, &*written(person, contact)?)?;
        match self.write(Job::Put { person, wrapped, sealed, now, erase_after }).await? {
            Done::Refused(person) => Err(PeopleError::Erased(person)),
            Done::Settled(person) => Err(PeopleError::Settled(person)),
            Done::Put | Done::Kept | Done::Erased(_) | Done::Buried => Ok(()),
        }
    }

    /// Waits until nobody else has the turn of this id. Who stores somebody for what may yet be refused has it until that is answered, and the person erased if it was refused:
    /// whoever comes with the same would else be told that the contact is stored, and be done with it right before it is erased.
    pub async fn turn(&self, person: PersonId) -> Turn {
        let turn = Arc::clone(self.inner.turns.lock().entry(person).or_default());
        let mut waiting = Turn { people: self.clone(), person, held: None };
        waiting.held = Some(turn.lock_owned().await);
        waiting
    }

    /// The contact of a person; none if unknown or erased.
    ///
    /// # Errors
    /// If what is stored was changed, its key is missing, or the disk fails.
    pub async fn get(&self, person: PersonId) -> Result<Option<Contact>, PeopleError> {
        let found: Option<(Vec<u8>, Option<Vec<u8>>)> = sqlx::query_as(
            "SELECT sealed, wrapped FROM people JOIN vault ON vault.row = people.row LEFT JOIN keys.person_keys AS k ON k.person = people.person \
             WHERE people.person = ? AND erased_at IS NULL",
        )
        .bind(blob(person))
        .fetch_optional(&self.inner.pool)
        .await
        .map_err(store("read a contact"))?;
        let damaged = |what| PeopleError::Damaged { person, what };
        let Some((sealed, wrapped)) = found else { return Ok(None) };
        let wrapped = wrapped.ok_or_else(|| damaged("its key is missing; put people-keys.db back"))?;
        if wrapped.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let key = unseal(&self.inner.wrapping, person, &wrapped).ok_or_else(|| damaged("its key was changed on disk"))?;
        let key: &[u8; 32] = key.as_slice().try_into().map_err(|_| damaged("its key has another length"))?;
        let plain = unseal(&cipher(key), person, &sealed).ok_or_else(|| damaged("it was changed on disk"))?;
        read(&plain).ok_or_else(|| damaged("it was written by another version")).map(Some)
    }

    /// Destroys a person's key and contact, for good: the id cannot be used again, and copies of the databases that are put back bring nobody back. Doing it twice does
    /// no harm.
    ///
    /// # Errors
    /// `Busy`, or the disk; the person is then to be erased again.
    pub async fn erase(&self, person: PersonId, now: Timestamp) -> Result<Erased, PeopleError> {
        self.erase_known(person, now, false).await
    }

    /// As [`Self::erase`], for whoever asks to be erased: also if nobody is known under the id, as these databases may be older than they, and newer ones may be put back later.
    ///
    /// # Errors
    /// `Busy`, or the disk; the person is then to be erased again.
    pub async fn erase_on_request(&self, person: PersonId, now: Timestamp) -> Result<Erased, PeopleError> {
        self.erase_known(person, now, true).await
    }

    async fn erase_known(&self, person: PersonId, now: Timestamp, also_unknown: bool) -> Result<Erased, PeopleError> {
        match self.write(Job::Erase { person, now, also_unknown }).await? {
            Done::Erased(erased) => Ok(erased),
            Done::Put | Done::Kept | Done::Buried | Done::Refused(_) | Done::Settled(_) => Ok(Erased { was_there: false }),
        }
    }

    /// Sees to it that a contact is not erased by its date before `until`. A later date, a contact without one and one that was erased stay as they are.
    ///
    /// # Errors
    /// `Busy`, or the disk.
    pub async fn keep_until(&self, person: PersonId, until: Timestamp) -> Result<(), PeopleError> {
        self.write(Job::Keep { person, until }).await.map(drop)
    }

    /// Erases everyone whose `erase_after` has come; returns how many. [`Node::erase_due`](crate::node::Node::erase_due) keeps those before who are owed money.
    ///
    /// # Errors
    /// If the disk fails; those already erased stay erased.
    pub async fn erase_due(&self, now: Timestamp) -> Result<u64, PeopleError> {
        let due = "SELECT person FROM people WHERE erase_after IS NOT NULL AND erase_after <= ? ORDER BY erase_after LIMIT ?";
        self.erase_found(due, now.as_micros(), now).await
    }

    /// Whether the date of anybody has come.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn is_any_due(&self, now: Timestamp) -> Result<bool, PeopleError> {
        let due = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM people WHERE erase_after <= ?)").bind(now.as_micros());
        due.fetch_one(&self.inner.pool).await.map_err(store("look for people to erase"))
    }

    /// Gives those of some people whose date has come until another one. All others stay as they are, also whoever was erased.
    ///
    /// # Errors
    /// If the disk fails; some may have the other date by then.
    pub async fn postpone_due(&self, people: &[PersonId], now: Timestamp, until: Timestamp) -> Result<(), PeopleError> {
        for some in people.chunks(BATCH_MAX) {
            let postpone = "UPDATE people SET erase_after = ? WHERE erased_at IS NULL AND erase_after <= ? \
                            AND person IN (SELECT unhex(value) FROM json_each(?))";
            sqlx::query(postpone)
                .bind(until.as_micros())
                .bind(now.as_micros())
                .bind(in_hex(some))
                .execute(&self.inner.pool)
                .await
                .map_err(store("keep people who are due"))?;
        }
        Ok(())
    }

    /// As [`Self::postpone_due`], of everybody at some museums, by their ids ([`id_at`]).
    ///
    /// # Errors
    /// If the disk fails; some may have the other date by then.
    pub async fn postpone_due_at(&self, museums: &BTreeSet<MuseumId>, now: Timestamp, until: Timestamp) -> Result<(), PeopleError> {
        for museum in museums {
            let postpone = "UPDATE people SET erase_after = ? WHERE erased_at IS NULL AND erase_after <= ? AND substr(person, 1, 2) = ?";
            sqlx::query(postpone)
                .bind(until.as_micros())
                .bind(now.as_micros())
                .bind(museum.0.to_be_bytes().to_vec())
                .execute(&self.inner.pool)
                .await
                .map_err(store("keep people who are due"))?;
        }
        Ok(())
    }

    /// Erases again whoever an older copy of `people.db` brought back: contacts whose key was destroyed. [`People::open`] does it first.
    ///
    /// # Errors
    /// If the disk fails; those already erased stay erased.
    pub async fn erase_returned(&self, now: Timestamp) -> Result<u64, PeopleError> {
        let returned = "SELECT people.person FROM people JOIN keys.person_keys AS k ON k.person = people.person \
                        WHERE erased_at IS NULL AND k.wrapped = zeroblob(?) LIMIT ?";
        self.erase_found(returned, WRAPPED_BYTES as i64, now).await
    }

    async fn erase_found(&self, select: &'static str, argument: i64, now: Timestamp) -> Result<u64, PeopleError> {
        let mut count = 0;
        loop {
            let mut tx = self.inner.pool.begin_with("BEGIN IMMEDIATE").await.map_err(store("erase people"))?;
            let found: Vec<Vec<u8>> = sqlx::query_scalar(select)
                .bind(argument)
                .bind(BATCH_MAX as i64)
                .fetch_all(&mut *tx)
                .await
                .map_err(store("look for people to erase"))?;
            for person in found.iter().filter_map(|bytes| bytes.as_slice().try_into().ok()) {
                let person = PersonId(u128::from_be_bytes(person));
                erase(&mut tx, person, now).await.map_err(store("erase people"))?;
                count += 1;
            }
            tx.commit().await.map_err(store("erase people"))?;
            if found.len() < BATCH_MAX {
                return Ok(count);
            }
        }
    }

    /// Waits for writes in progress and closes the files.
    pub async fn close(&self) {
        self.inner.pool.close().await;
    }

    /// Queues a job and sees that someone commits it: whoever gets the connection first takes every job that waits. The work runs in a task of its own, so a
    /// caller that goes away cannot break up the batch of the others.
    async fn write(&self, job: Job) -> Result<Done, PeopleError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = self.inner.waiting.lock();
            if waiting.len() >= WAITING_MAX {
                return Err(PeopleError::Busy);
            }
            waiting.push_back(Waiting { job, answer });
        }
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move { inner.commit_waiting().await });
        answered.await.unwrap_or(Err(PeopleError::OutcomeUnknown))
    }
}

impl Inner {
    /// Works on the list of erased people, where it may block.
    async fn with_list<T: Send + 'static>(&self, work: impl FnOnce(&Path) -> Result<T, PeopleError> + Send + 'static) -> Result<T, PeopleError> {
        let path = self.erasures.clone();
        tokio::task::spawn_blocking(move || work(&path)).await.unwrap_or(Err(PeopleError::OutcomeUnknown))
    }

    /// Who is to be stored by a job and is listed as erased: whoever was stored now would be gone with the next start.
    fn puts_listed(&self, job: &Job) -> Option<PersonId> {
        let Job::Put { person, .. } = job else { return None };
        self.listed.lock().contains(person).then_some(*person)
    }

    /// They are, as they are listed.
    fn are_erased(&self, people: &[PersonId]) {
        let mut listed = self.listed.lock();
        for person in people {
            listed.remove(person);
        }
    }

    async fn commit_waiting(&self) {
        let begun = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(store("begin to write contacts"));
        let batch: Vec<Waiting> = {
            let mut waiting = self.waiting.lock();
            let count = waiting.len().min(BATCH_MAX);
            waiting.drain(..count).collect()
        };
        let (jobs, answers): (Vec<Job>, Vec<_>) = batch.into_iter().map(|waiting| (waiting.job, waiting.answer)).unzip();
        if jobs.is_empty() {
            return;
        }
        let outcome = async {
            let mut tx = begun?;
            let (mut done, mut erased) = (Vec::with_capacity(jobs.len()), Vec::new());
            for job in jobs {
                let asked = if let Job::Erase { person, .. } = job { Some(person) } else { None };
                let one = match self.puts_listed(&job) {
                    Some(person) => Done::Refused(person),
                    None => job.perform(&mut tx).await.map_err(store("write contacts"))?,
                };
                if matches!(one, Done::Erased(Erased { was_there: true }) | Done::Buried) {
                    erased.extend(asked);
                }
                done.push(one);
            }
            // Listed first: who is listed and was not erased after all is erased at the next start, but who is not listed could come back.
            if !erased.is_empty() {
                let listed = erased.clone();
                self.listed.lock().extend(listed.iter().copied());
                self.with_list(move |path| erasures::append(path, &listed)).await?;
            }
            tx.commit().await.map_err(store("commit contacts"))?;
            self.are_erased(&erased);
            Ok(done)
        };
        match outcome.await {
            Ok(done) => answers.into_iter().zip(done).for_each(|(answer, done)| drop(answer.send(Ok(done)))),
            Err(error) => {
                let error: PeopleError = error;
                answers.into_iter().for_each(|answer| drop(answer.send(Err(error.clone()))));
            }
        }
    }
}

impl Job {
    async fn perform(self, connection: &mut SqliteConnection) -> sqlx::Result<Done> {
        match self {
            Self::Put { person, wrapped, sealed, now, erase_after } => put(connection, person, wrapped, sealed, now, erase_after).await,
            Self::Erase { person, now, also_unknown } => {
                let erased = erase(connection, person, now).await?;
                let is_buried = also_unknown && !erased.was_there && entomb(connection, person, now).await?;
                Ok(if is_buried { Done::Buried } else { Done::Erased(erased) })
            }
            Self::Keep { person, until } => {
                let keep = "UPDATE people SET erase_after = max(erase_after, ?) WHERE person = ? AND erased_at IS NULL AND erase_after IS NOT NULL";
                sqlx::query(keep).bind(until.as_micros()).bind(blob(person)).execute(connection).await?;
                Ok(Done::Kept)
            }
        }
    }
}

async fn put(
    connection: &mut SqliteConnection,
    person: PersonId,
    wrapped: Vec<u8>,
    sealed: Vec<u8>,
    now: Timestamp,
    erase_after: Option<Timestamp>,
) -> sqlx::Result<Done> {
    let known: Option<(Option<i64>, bool, i64)> = sqlx::query_as("SELECT row, erased_at IS NOT NULL, created_at FROM people WHERE person = ?")
        .bind(blob(person))
        .fetch_optional(&mut *connection)
        .await?;
    let destroyed: Option<bool> = sqlx::query_scalar("SELECT wrapped = zeroblob(?) FROM keys.person_keys WHERE person = ?")
        .bind(WRAPPED_BYTES as i64)
        .bind(blob(person))
        .fetch_optional(&mut *connection)
        .await?;
    if destroyed == Some(true) || matches!(known, Some((_, true, _))) || person == MASTER_CHECK {
        return Ok(Done::Refused(person));
    }
    if known.is_some_and(|(.., created_at)| now.micros_since(Timestamp::from_micros(created_at)) > REMEMBERED_S * MICROS_PER_S) {
        return Ok(Done::Settled(person));
    }
    let keep_key = match destroyed {
        Some(_) => "UPDATE keys.person_keys SET wrapped = ? WHERE person = ?",
        None => "INSERT INTO keys.person_keys (wrapped, person) VALUES (?, ?)",
    };
    sqlx::query(keep_key).bind(wrapped).bind(blob(person)).execute(&mut *connection).await?;
    let own = known.and_then(|(row, ..)| row);
    let row = match own {
        Some(row) => Some(row),
        None => {
            sqlx::query_scalar("DELETE FROM vacant WHERE row = (SELECT min(row) FROM vacant) RETURNING row").fetch_optional(&mut *connection).await?
        }
    };
    let row = match row {
        Some(row) => {
            sqlx::query("UPDATE vault SET sealed = ? WHERE row = ?").bind(sealed).bind(row).execute(&mut *connection).await?;
            row
        }
        None => sqlx::query("INSERT INTO vault (sealed) VALUES (?)").bind(sealed).execute(&mut *connection).await?.last_insert_rowid(),
    };
    sqlx::query(
        "INSERT INTO people (person, row, created_at, erase_after) VALUES (?, ?, ?, ?) \
         ON CONFLICT (person) DO UPDATE SET row = excluded.row, erase_after = max(people.erase_after, excluded.erase_after)",
    )
    .bind(blob(person))
    .bind(row)
    .bind(now.as_micros())
    .bind(erase_after.map(Timestamp::as_micros))
    .execute(&mut *connection)
    .await?;
    Ok(Done::Put)
}

async fn erase(connection: &mut SqliteConnection, person: PersonId, now: Timestamp) -> sqlx::Result<Erased> {
    if person == MASTER_CHECK {
        return Ok(Erased { was_there: false });
    }
    let key = sqlx::query("UPDATE keys.person_keys SET wrapped = zeroblob(?) WHERE person = ? AND wrapped <> zeroblob(?)")
        .bind(WRAPPED_BYTES as i64)
        .bind(blob(person))
        .bind(WRAPPED_BYTES as i64)
        .execute(&mut *connection)
        .await?;
    let row: Option<Option<i64>> =
        sqlx::query_scalar("SELECT row FROM people WHERE person = ?").bind(blob(person)).fetch_optional(&mut *connection).await?;
    let row = row.flatten();
    if let Some(row) = row {
        sqlx::query("UPDATE vault SET sealed = zeroblob(?) WHERE row = ?").bind(SEALED_BYTES as i64).bind(row).execute(&mut *connection).await?;
        sqlx::query("INSERT INTO vacant (row) VALUES (?)").bind(row).execute(&mut *connection).await?;
    }
    let was_there = row.is_some() || key.rows_affected() > 0;
    if was_there {
        sqlx::query(
            "INSERT INTO people (person, created_at, erased_at) VALUES (?1, ?2, ?2) \
             ON CONFLICT (person) DO UPDATE SET row = NULL, erase_after = NULL, erased_at = excluded.erased_at",
        )
        .bind(blob(person))
        .bind(now.as_micros())
        .execute(&mut *connection)
        .await?;
    }
    Ok(Erased { was_there })
}

/// Erases somebody who was erased before, also if nobody is known under the id: a copy from before they were stored must not let them be stored again.
async fn bury(connection: &mut SqliteConnection, person: PersonId, now: Timestamp) -> sqlx::Result<Erased> {
    let erased = erase(connection, person, now).await?;
    if !erased.was_there {
        entomb(connection, person, now).await?;
    }
    Ok(erased)
}

/// Lets nobody be stored under an id under which nobody is known; answers whether that is new.
async fn entomb(connection: &mut SqliteConnection, person: PersonId, now: Timestamp) -> sqlx::Result<bool> {
    if person == MASTER_CHECK {
        return Ok(false);
    }
    let buried = sqlx::query("INSERT INTO people (person, created_at, erased_at) VALUES (?1, ?2, ?2) ON CONFLICT (person) DO NOTHING")
        .bind(blob(person))
        .bind(now.as_micros())
        .execute(connection)
        .await?;
    Ok(buried.rows_affected() > 0)
}

/// The id of somebody at a museum: its first 16 bits are the museum's, whose staff alone may see the contact, and the others are of what is `opaque`.
#[must_use]
pub fn id_at(museum: MuseumId, opaque: u128) -> PersonId {
    PersonId(u128::from(museum.0) << 112 | opaque >> 16)
}

/// At which museum somebody is known.
#[must_use]
pub const fn museum_of(person: PersonId) -> MuseumId {
    MuseumId((person.get() >> 112) as u16)
}

fn blob(person: PersonId) -> Vec<u8> {
    person.get().to_be_bytes().to_vec()
}

/// People as a query takes many of them: a list of JSON, each as its number in hexadecimal digits.
fn in_hex(people: &[PersonId]) -> String {
    let written: Vec<String> = people.iter().map(|person| format!("{:032x}", person.get())).collect();
    serde_json::to_string(&written).unwrap_or_default()
}

fn ids(found: &[Vec<u8>]) -> HashSet<PersonId> {
    found.iter().filter_map(|bytes| bytes.as_slice().try_into().ok()).map(|bytes| PersonId(u128::from_be_bytes(bytes))).collect()
}

#[cfg(test)]
mod tests;
