//! Read models in one SQLite file: sales and tickets to list and search, the heads of all slots for a quick start, snapshots of streams. A projection of the
//! journal: delete the file and it is built again. Nothing here is ever the truth.
//!
//! Here is the file itself, how far it is, and how one waits for it. `follow.rs` follows the journal and takes in what it says, at the pace of `pace.rs`; what that changes in each list, and
//! what each list answers, stands in `sales.rs`, `payments.rs`, `quotes.rs` and `fraud.rs`; `rows.rs` brings many rows into a table; `bookings.rs` shows bookings to the models of who comes. `snapshots.rs`
//! keeps states of streams, `boot.rs` says whether the file can be believed, and `log.rs` whether the log that SQLite keeps beside it can; `store.rs` is the file for those
//! who ask of it, and how another takes its place when one of them finds it damaged; `compare.rs` holds the lists against the journal.

pub mod bookings;
mod boot;
pub mod compare;
mod follow;
pub mod fraud;
mod log;
mod pace;
pub mod payments;
pub mod quotes;
mod rows;
mod sales;
mod snapshots;
mod store;

pub use sales::{SaleFilter, SaleRow, TicketRow};
pub use snapshots::{Snapshot, SnapshotWriter, Snapshots};

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, Sqlite};
use tokio::sync::watch;
use tornello_engine::ids::{HoldId, SlotId, TicketId};

use self::boot::Stamp;
use self::pace::Pace;
use self::store::Store;
use crate::board::SlotHead;
use crate::journal::{Head, Journal, JournalError};
use crate::secret_file;
use crate::sqlite;

/// Raised whenever a table, a head or a snapshot changes its form, or what is listed of the same journal: an older file is thrown away and built again.
const FORMAT: i64 = 38;

const SCHEMA: &str = "
    DROP TABLE IF EXISTS position; DROP TABLE IF EXISTS head; DROP TABLE IF EXISTS snapshot;
    CREATE TABLE position (name TEXT PRIMARY KEY, batch INTEGER NOT NULL, hash BLOB NOT NULL, crc INTEGER NOT NULL) STRICT;
    CREATE TABLE head (slot TEXT PRIMARY KEY, crc INTEGER NOT NULL, data BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE snapshot (stream BLOB PRIMARY KEY, seq INTEGER NOT NULL, crc INTEGER NOT NULL, state BLOB NOT NULL) STRICT;";

/// What SQLite says of a file before anything of ours is asked of it: that it does not understand, it says of the file.
fn unreadable(error: sqlx::Error) -> ViewsError {
    if sqlite::is_misfit(&error) { ViewsError::Damaged(error.to_string()) } else { ViewsError::Store(error) }
}

/// What can go wrong with the read models.
#[derive(Debug, thiserror::Error)]
pub enum ViewsError {
    /// The file cannot be read or written.
    #[error("the read models cannot be reached: {0}")]
    Store(#[from] sqlx::Error),
    /// What the file says is not what was written to it.
    #[error("the read models are damaged: {0}")]
    Damaged(String),
    /// The journal that they are built from cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// They do not follow the journal fast enough, or not at all.
    #[error("the read models stand at batch {at}, and {wanted} is wanted")]
    Behind {
        /// How far they are.
        at: u64,
        /// How far they should be.
        wanted: u64,
    },
}

impl ViewsError {
    /// Whether it is the file that is at fault: another one is built from the journal.
    fn is_damage(&self) -> bool {
        match self {
            Self::Store(error) => sqlite::is_damaged(error) || sqlite::is_read_only(error),
            Self::Damaged(_) => true,
            Self::Journal(_) | Self::Behind { .. } => false,
        }
    }
}

/// All tables of the file.
const SCHEMAS: [&str; 5] = [payments::SCHEMA, quotes::SCHEMA, fraud::SCHEMA, sales::SCHEMA, SCHEMA];

/// How far something was built, one row each.
const POSITIONS: [&str; 3] = ["rows", "heads", "known"];

/// How many connections those share who ask.
const READERS: u32 = 4;
/// How many are there for snapshots: one for who writes them, which may wait for the lists, and others for whoever reads a stream back.
const SNAPSHOT_CONNECTIONS: u32 = 3;
/// After how many pages SQLite works its log into the file. Its own default is 1,000: that soon hardly any page has been changed twice, so hardly any write is saved. All
/// connections that write use this number, because each works in what any of them has written, by its own number and at its own commit.
const LOG_PAGES: u32 = 16_384;
/// How long somebody who asks is kept waiting for the lists.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);
/// How long the node's own work waits for them: longer than they ever fall behind in a rush.
const COME_TO_MAX: Duration = Duration::from_secs(60);

/// The read models.
#[derive(Debug, Clone)]
pub struct Views {
    store: Store,
    rows: watch::Receiver<u64>,
    rows_sender: Arc<watch::Sender<u64>>,
    /// How many wait for the lists to get somewhere.
    waiting: Arc<watch::Sender<usize>>,
    /// At which they are built.
    pace: Pace,
}

impl Views {
    /// Opens the read models; a file of another format is emptied, and one that is damaged is made anew.
    pub async fn open(path: &Path) -> Result<Self, ViewsError> {
        let stamp = Stamp::of(path);
        if let Some(why) = stamp.begin().map_err(sqlx::Error::Io)? {
            tracing::warn!(file = %path.display(), "{why}: the read models are built again from the journal");
        }
        match Self::open_file(path, &stamp).await {
            Err(error) if error.is_damage() => {
                tracing::warn!(%error, file = %path.display(), "the read models are damaged: they are built again from the journal");
                stamp.remove().map_err(sqlx::Error::Io)?;
                Self::open_file(path, &stamp).await
            }
            opened => opened,
        }
    }

    async fn open_file(path: &Path, stamp: &Stamp) -> Result<Self, ViewsError> {
        // SQLite makes what it keeps beside the file as private as the file.
        secret_file::ensure_private(path).map_err(|error| sqlx::Error::Io(error.into()))?;
        for end in ["-wal", "-shm"] {
            secret_file::tighten(&stamp.beside(end));
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Off)
            .pragma("wal_autocheckpoint", LOG_PAGES.to_string())
            .busy_timeout(Duration::from_secs(10));
        // What SQLite says to its own first words, before anything of ours is asked, is said of the file.
        let pool = sqlite::pool().max_connections(READERS).connect_with(options).await.map_err(unreadable)?;
        let (rows_sender, rows) = watch::channel(0);
        let waiting = Arc::new(watch::Sender::new(0));
        let pace = Pace::new(Arc::clone(&waiting));
        let views = Self { store: Store::new(pool, stamp.clone()), rows, rows_sender: Arc::new(rows_sender), waiting, pace };
        match views.make_ready().await {
            Ok(()) => Ok(views),
            Err(error) => {
                // Whoever tries again finds nothing open.
                views.leave().await;
                Err(error)
            }
        }
    }

    /// Empties a file of another format, but for how far it was built: that is all that knows of what the journal has lost since. Looks whether what a start believes of it can be
    /// read.
    async fn make_ready(&self) -> Result<(), ViewsError> {
        let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&self.pool()).await.map_err(unreadable)?;
        if version == FORMAT {
            self.check_form().await?;
        } else {
            let known = self.furthest().await;
            self.empty(known).await?;
        }
        let [(rows, _), ..] = self.positions().await?;
        sqlite::check(&self.pool(), sqlite::HEADS).await?;
        self.rows_sender.send_replace(rows);
        Ok(())
    }

    /// The furthest batch, with its hash, up to which anything in a file of another format was built; none if it does not say so in a way that is understood.
    async fn furthest(&self) -> Option<(i64, Vec<u8>)> {
        let rows = sqlx::query("SELECT name, batch, hash, crc FROM position").fetch_all(&self.pool()).await.ok()?;
        let read = |row: &SqliteRow| -> Option<(i64, Vec<u8>)> {
            let (name, batch, hash, crc): (String, i64, Vec<u8>, i64) =
                (row.try_get(0).ok()?, row.try_get(1).ok()?, row.try_get(2).ok()?, row.try_get(3).ok()?);
            (batch > 0 && crc == position_crc(&name, batch, &hash)).then_some((batch, hash))
        };
        rows.iter().filter_map(read).max_by_key(|(batch, _)| *batch)
    }

    /// Looks whether the tables are as this program makes them; of a table that is not, SQLite only says that a query is wrong. Uses a connection of its own, because one
    /// that has read the tables before would answer from memory.
    async fn check_form(&self) -> Result<(), ViewsError> {
        let mut made = SqliteConnectOptions::new().in_memory(true).connect().await?;
        for schema in SCHEMAS {
            sqlx::raw_sql(schema).execute(&mut made).await?;
        }
        let expected = sqlite::form(&mut made).await?;
        made.close().await?;
        let mut connection = self.pool().connect_options().as_ref().clone().connect().await.map_err(unreadable)?;
        let form = sqlite::form(&mut connection).await.map_err(unreadable);
        connection.close().await?;
        // What an older version had beside these does no harm.
        let form = form?;
        let is_there = |made| form.contains(made);
        if expected.iter().all(is_there) { Ok(()) } else { Err(ViewsError::Damaged("its tables are not as they were made".to_owned())) }
    }

    /// The connections of those who ask.
    fn pool(&self) -> SqlitePool {
        self.store.pool()
    }

    /// Turns an error that a reader of the lists has met into ours, and takes note of it if it speaks against the file.
    fn noted(&self, error: sqlx::Error) -> ViewsError {
        self.store.noted(error.into())
    }

    /// What a query finds, row by row as it is read. An error on the way is taken note of if it speaks against the file.
    async fn found<T>(
        &self,
        query: Query<'_, Sqlite, SqliteArguments>,
        read: impl Fn(&SqliteRow) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, ViewsError> {
        let rows = query.fetch_all(&self.pool()).await.map_err(|error| self.noted(error))?;
        rows.iter().map(|row| read(row).map_err(|error| self.noted(error))).collect()
    }

    /// Throws everything away, to be built again from the journal. All or nothing: lists that are half empty would pass for complete ones.
    pub async fn clear(&self) -> Result<(), ViewsError> {
        self.empty(None).await
    }

    /// As [`Views::clear`], of a file that was built up to a batch that is `known`: a journal without that has lost it, though nothing here shows it any more.
    async fn empty(&self, known: Option<(i64, Vec<u8>)>) -> Result<(), ViewsError> {
        let nothing = (0, vec![0; 32]);
        let known = known.unwrap_or_else(|| nothing.clone());
        let mut tx = self.store.writer().begin_with("BEGIN IMMEDIATE").await?;
        for schema in SCHEMAS {
            sqlx::raw_sql(schema).execute(&mut *tx).await?;
        }
        for name in POSITIONS {
            let (batch, hash) = if name == "known" { &known } else { &nothing };
            sqlx::query("INSERT INTO position (name, batch, hash, crc) VALUES (?, ?, ?, ?)")
                .bind(name)
                .bind(*batch)
                .bind(hash.as_slice())
                .bind(position_crc(name, *batch, hash))
                .execute(&mut *tx)
                .await?;
        }
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA user_version = {FORMAT}"))).execute(&mut *tx).await?;
        tx.commit().await?;
        self.rows_sender.send_replace(0);
        Ok(())
    }

    /// Closes the file, flushed.
    pub async fn close(&self) {
        self.leave().await;
        let stamp = self.store.stamp().clone();
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || stamp.end()).await {
            tracing::warn!(%error, "the read models were not flushed; they are built again if the machine ends now");
        }
    }

    /// Closes the file while somebody may still write to it, so without the mark that all of it is on the disk.
    pub async fn leave(&self) {
        self.pool().close().await;
        self.store.snapshots().close().await;
    }

    async fn position(&self, name: &str) -> Result<(u64, Vec<u8>), ViewsError> {
        let row = sqlx::query("SELECT batch, hash, crc FROM position WHERE name = ?").bind(name).fetch_one(&self.pool()).await?;
        let (batch, hash, crc): (i64, Vec<u8>, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if crc == position_crc(name, batch, &hash) {
            Ok((batch.unsigned_abs(), hash))
        } else {
            Err(ViewsError::Damaged(format!("how far the {name} reach is not what was written")))
        }
    }

    /// Three batches, with their hashes: the one up to which the lists were built, the one up to which the heads are complete, and the last one that any head or snapshot
    /// may know of. A journal that does not hold them is another one.
    pub async fn positions(&self) -> Result<[(u64, Vec<u8>); 3], ViewsError> {
        Ok([self.position("rows").await?, self.position("heads").await?, self.position("known").await?])
    }

    /// The last batch whose sales and tickets are in the lists.
    #[must_use]
    pub fn as_of_batch(&self) -> u64 {
        *self.rows.borrow()
    }

    /// Waits until the lists show everything up to that batch, but not for long.
    ///
    /// # Errors
    /// [`ViewsError::Behind`] if they do not get there: ask again.
    pub async fn catch_up(&self, batch: u64) -> Result<(), ViewsError> {
        self.reach_within(CATCH_UP_MAX, batch).await
    }

    async fn reach_within(&self, most: Duration, batch: u64) -> Result<(), ViewsError> {
        let late = tokio::time::timeout(most, self.reach(batch)).await;
        late.map_err(|_| ViewsError::Behind { at: self.as_of_batch(), wanted: batch })
    }

    /// Waits until the lists show everything up to that batch, without hurrying them: they go on resting as they would. It is for work that nobody waits for, which comes
    /// again and again and would otherwise keep them from resting at all.
    ///
    /// # Errors
    /// [`ViewsError::Behind`] if they do not get there in a minute: try again later.
    pub async fn come_to(&self, batch: u64) -> Result<(), ViewsError> {
        let mut rows = self.rows.clone();
        let there = tokio::time::timeout(COME_TO_MAX, rows.wait_for(|rows| *rows >= batch)).await;
        there.map(drop).map_err(|_| ViewsError::Behind { at: self.as_of_batch(), wanted: batch })
    }

    /// Waits until the lists show everything up to that batch, however long it takes. They do not rest meanwhile.
    pub async fn reach(&self, batch: u64) {
        let mut rows = self.rows.clone();
        if *rows.borrow_and_update() >= batch {
            return;
        }
        let _waits = Waits::begin(Arc::clone(&self.waiting));
        let _ = rows.wait_for(|rows| *rows >= batch).await;
    }

    /// The saved heads of all slots, with the batch up to which they are complete. None at all if one of them is damaged: then all are built again.
    pub async fn heads(&self) -> Result<(u64, Vec<(SlotId, SlotHead)>), ViewsError> {
        let (complete, _) = self.position("heads").await?;
        let rows = sqlx::query("SELECT slot, crc, data FROM head").fetch_all(&self.pool()).await?;
        let read = |row: &SqliteRow| {
            let (slot, crc, data): (String, i64, Vec<u8>) = (row.try_get(0).ok()?, row.try_get(1).ok()?, row.try_get(2).ok()?);
            let sound = crc == crc_of(&[slot.as_bytes(), &data]);
            let (slot, head): (SlotId, SlotHead) = (slot.parse().ok()?, postcard::from_bytes(&data).ok()?);
            sound.then_some((slot, head))
        };
        match rows.iter().map(read).collect::<Option<Vec<_>>>() {
            // Before anything is complete no head is.
            Some(heads) if complete > 0 => Ok((complete, heads)),
            Some(_) => Ok((0, Vec::new())),
            None => {
                tracing::warn!("a saved head is damaged: the heads of all slots are built again from the journal");
                Ok((0, Vec::new()))
            }
        }
    }

    /// Saves heads that are complete up to the batch at `end`. Some may already know of later batches, up to the end of `journal`, because slots hear of a batch before `end`
    /// moves on.
    pub async fn save_heads(&self, heads: &[(SlotId, SlotHead)], end: &Head, journal: &dyn Journal) -> Result<(), ViewsError> {
        let known = journal.head().await?;
        let mut tx = self.store.writer().begin().await?;
        for (slot, head) in heads {
            let Ok(data) = postcard::to_allocvec(head) else { continue };
            let slot = slot.to_string();
            let crc = crc_of(&[slot.as_bytes(), &data]);
            sqlx::query("INSERT INTO head (slot, crc, data) VALUES (?1, ?2, ?3) ON CONFLICT (slot) DO UPDATE SET crc = ?2, data = ?3")
                .bind(slot)
                .bind(crc)
                .bind(data)
                .execute(&mut *tx)
                .await?;
        }
        move_on(&mut tx, "heads", end.number, &end.hash).await?;
        know(&mut tx, &known).await?;
        Ok(tx.commit().await?)
    }
}

/// Somebody who waits for the lists, until it is dropped.
struct Waits(Arc<watch::Sender<usize>>);

impl Waits {
    fn begin(waiting: Arc<watch::Sender<usize>>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(waiting)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

async fn move_on(connection: &mut SqliteConnection, name: &str, batch: u64, hash: &[u8; 32]) -> Result<(), sqlx::Error> {
    let update = sqlx::query("UPDATE position SET batch = ?, hash = ?, crc = ? WHERE name = ?");
    let crc = position_crc(name, stored(batch), hash);
    update.bind(stored(batch)).bind(&hash[..]).bind(crc).bind(name).execute(connection).await.map(drop)
}

/// Greater than any id.
const AFTER_ALL_IDS: &str = "~";

/// Between which two the ids of all sales and tickets of a slot are: they begin with the slot's.
fn ids_of(slot: SlotId) -> (String, String) {
    let first = HoldId::new(slot, 0);
    (first.to_string(), TicketId::from_raw(first.get() | u128::from(u64::MAX)).to_string())
}

/// Notes that heads or snapshots may know of everything up to that batch. Two write it, so it never goes back.
async fn know(connection: &mut SqliteConnection, last: &Head) -> Result<(), sqlx::Error> {
    let update = sqlx::query("UPDATE position SET batch = ?1, hash = ?2, crc = ?3 WHERE name = 'known' AND batch < ?1");
    let crc = position_crc("known", stored(last.number), &last.hash);
    update.bind(stored(last.number)).bind(&last.hash[..]).bind(crc).execute(connection).await.map(drop)
}

/// The checksum over some parts of a row, one after the other.
fn crc_of(parts: &[&[u8]]) -> i64 {
    i64::from(parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part)))
}

/// The checksum over a row that says how far something was built.
pub(crate) fn position_crc(name: &str, batch: i64, hash: &[u8]) -> i64 {
    crc_of(&[name.as_bytes(), &batch.to_le_bytes(), hash])
}

fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lists_are_emptied_all_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        // A view is no table, so that emptying fails halfway.
        let mut connection = views.pool().acquire().await.unwrap();
        move_on(&mut connection, "rows", 9, &[9; 32]).await.unwrap();
        drop(connection);
        let set = "INSERT INTO refused VALUES ('sale', 1, 'ticket', 'reason', 1, 'gate');
            ALTER TABLE ticket RENAME TO old; CREATE VIEW ticket AS SELECT 1";
        sqlx::raw_sql(set).execute(&views.pool()).await.unwrap();
        assert!(views.clear().await.is_err());
        let refused: i64 = sqlx::query_scalar("SELECT count(*) FROM refused").fetch_one(&views.pool()).await.unwrap();
        assert_eq!((refused, views.position("rows").await.unwrap().0), (1, 9));
        sqlx::raw_sql("DROP VIEW ticket; DROP TABLE old").execute(&views.pool()).await.unwrap();
        views.clear().await.unwrap();
        let refused: i64 = sqlx::query_scalar("SELECT count(*) FROM refused").fetch_one(&views.pool()).await.unwrap();
        assert_eq!((refused, views.position("rows").await.unwrap().0), (0, 0));
        views.close().await;
    }

    #[tokio::test]
    async fn a_file_of_another_format_is_emptied_and_says_how_far_it_was_built() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("views.db");
        let views = Views::open(&path).await.unwrap();
        let mut connection = views.pool().acquire().await.unwrap();
        for (name, batch) in [("rows", 7), ("heads", 9), ("known", 8)] {
            move_on(&mut connection, name, batch, &[batch as u8; 32]).await.unwrap();
        }
        drop(connection);
        let nothing = (0, vec![0; 32]);
        for set in ["PRAGMA user_version = 1", "PRAGMA user_version = 2"] {
            sqlx::raw_sql(set).execute(&views.pool()).await.unwrap();
            views.make_ready().await.unwrap();
            assert_eq!(views.positions().await.unwrap(), [nothing.clone(), nothing.clone(), (9, vec![9; 32])], "{set}");
        }
        views.close().await;
        let again = Views::open(&path).await.unwrap();
        assert_eq!((again.as_of_batch(), again.positions().await.unwrap()[2].0), (0, 9), "also when it is of this format by then");
        again.clear().await.unwrap();
        assert_eq!(again.positions().await.unwrap(), [nothing.clone(), nothing.clone(), nothing]);
        again.close().await;
    }

    #[tokio::test]
    async fn a_file_that_was_found_damaged_is_made_anew_when_it_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("views.db");
        let errors = [ViewsError::Behind { at: 1, wanted: 2 }, ViewsError::Store(sqlx::Error::RowNotFound)];
        for (error, left) in errors.into_iter().zip([9, 0]) {
            let views = Views::open(&path).await.unwrap();
            let mut connection = views.pool().acquire().await.unwrap();
            move_on(&mut connection, "rows", 9, &[9; 32]).await.unwrap();
            drop(connection);
            views.store.noted(error);
            views.close().await;
            let again = Views::open(&path).await.unwrap();
            assert_eq!(again.as_of_batch(), left, "left {left}");
            again.close().await;
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_lists_that_stand_still() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        views.rows_sender.send_replace(3);
        views.catch_up(3).await.unwrap();
        let behind = views.reach_within(Duration::ZERO, 4).await.unwrap_err();
        assert!(matches!(behind, ViewsError::Behind { at: 3, wanted: 4 }), "{behind}");
        views.close().await;
    }

    #[tokio::test]
    async fn a_file_whose_tables_are_not_as_they_were_made_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("views.db");
        // As one flipped bit leaves the text by which a table was made: `gate` becomes `gape`.
        const FLIPPED: &str = "PRAGMA writable_schema = ON;
            UPDATE sqlite_schema SET sql = replace(sql, 'gate TEXT', 'gape TEXT') WHERE name = 'ticket'";
        for (sql, left) in [("UPDATE position SET batch = batch", 9), (FLIPPED, 0)] {
            let views = Views::open(&path).await.unwrap();
            let mut connection = views.pool().acquire().await.unwrap();
            move_on(&mut connection, "rows", 9, &[9; 32]).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut *connection).await.unwrap();
            drop(connection);
            views.close().await;
            let again = Views::open(&path).await.unwrap();
            assert_eq!(again.as_of_batch(), left, "{sql}");
            again.close().await;
        }
    }
}
