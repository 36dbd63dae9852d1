//! Read models in one SQLite file: sales and tickets to list and search, the heads of all slots for a quick start, snapshots of streams. A projection of the
//! journal: delete the file and it is built again. Nothing here is ever the truth.

pub mod bookings;
mod boot;
pub mod fraud;
pub mod payments;
pub mod quotes;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqliteRow, SqliteSynchronous};
use tokio::sync::{mpsc, oneshot, watch};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::channel::Channel;
use tornello_engine::ids::{Code, HoldId, MuseumId, QuoteId, SlotId, TicketId};
use tornello_engine::record::Record;
use tornello_engine::slot::{self, Event, Line, Settlement};
use tornello_engine::time::Timestamp;

use self::boot::Stamp;
use crate::board::{Board, SlotHead};
use crate::clock::Stopwatch;
use crate::journal::wire;
use crate::journal::{Batch, Head, Journal, JournalError, StreamId, batches_after};
use crate::signing::secret_file;
use crate::streams::corrupt;

/// Raised whenever a table, a head or a snapshot changes its form: an older file is thrown away and built again.
const FORMAT: i64 = 18;
/// How many batches are read at once; a full one has about a megabyte.
const READ: u32 = 16;
/// After how many records a round writes what it has taken in: small batches share a round, or the lists would cost as much for each as for a full one.
const ROUND_RECORDS: u64 = 4_096;
/// How many snapshots wait to be written; more are left out, which costs a longer replay and nothing else.
const SNAPSHOTS_WAITING: usize = 1_024;
/// While the journal grows, the lists rest so many times as long as their last round took: a rush of sales has the processor to itself, and the lists follow it.
const REST: u32 = 9;
/// The longest such rest.
const REST_MAX: Duration = Duration::from_secs(2);
/// The more batches the lists are behind, the shorter they rest; so many, and not at all.
const FAR_BEHIND: u32 = 4_096;
/// By how much the thread that follows the journal yields to others, as `nice` counts it.
const PATIENCE: i32 = 10;
/// What the connection that builds the lists may keep in memory, in KiB: in SQLite's own 2 MiB a round has no room, and each page is written and read back several
/// times before the round ends.
const BUILDER_CACHE_KIB: i32 = 65_536;
/// After how many pages SQLite works its log into the file: in each of its own 1,000 few pages are changed twice.
const BUILDER_LOG_PAGES: u32 = 16_384;
/// How often the heads are saved.
const HEADS_EVERY: Duration = Duration::from_secs(2);

const SCHEMA: &str = "
    DROP TABLE IF EXISTS position; DROP TABLE IF EXISTS head; DROP TABLE IF EXISTS snapshot; DROP TABLE IF EXISTS sale; DROP TABLE IF EXISTS ticket;
    CREATE TABLE position (name TEXT PRIMARY KEY, batch INTEGER NOT NULL, hash BLOB NOT NULL) STRICT;
    INSERT INTO position VALUES ('rows', 0, zeroblob(32)), ('heads', 0, zeroblob(32)), ('snapshots', 0, zeroblob(32));
    CREATE TABLE head (slot TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE snapshot (stream BLOB PRIMARY KEY, seq INTEGER NOT NULL, crc INTEGER NOT NULL, state BLOB NOT NULL) STRICT;
    CREATE TABLE sale (
        sale TEXT PRIMARY KEY, slot TEXT NOT NULL, museum INTEGER NOT NULL, starts INTEGER NOT NULL, sold_at INTEGER NOT NULL, channel TEXT NOT NULL,
        who TEXT NOT NULL, settlement TEXT NOT NULL, reference TEXT NOT NULL, account TEXT NOT NULL, people INTEGER NOT NULL, total_cents INTEGER NOT NULL,
        refunded_cents INTEGER NOT NULL, cancelled INTEGER NOT NULL, admitted INTEGER NOT NULL, carried_cents INTEGER NOT NULL, moved INTEGER NOT NULL,
        quote TEXT NOT NULL, origin TEXT NOT NULL -- the sale as which its tickets were bought: itself, or one from which they have moved
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sale_by_museum ON sale (museum, sold_at, sale);
    CREATE INDEX sale_by_start ON sale (starts, sale);
    CREATE INDEX sale_by_reference ON sale (reference, sale) WHERE reference <> '';
    CREATE TABLE ticket (
        ticket TEXT PRIMARY KEY, sale TEXT NOT NULL, slot TEXT NOT NULL, category TEXT NOT NULL, state TEXT NOT NULL, blocked INTEGER NOT NULL,
        changed_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;";

/// What can go wrong with the read models.
#[derive(Debug, thiserror::Error)]
pub enum ViewsError {
    /// The file cannot be read or written.
    #[error("the read models cannot be reached: {0}")]
    Store(#[from] sqlx::Error),
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

/// How long somebody who asks is kept waiting for the lists.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);

/// The read models.
#[derive(Debug, Clone)]
pub struct Views {
    pool: SqlitePool,
    rows: watch::Receiver<u64>,
    rows_sender: Arc<watch::Sender<u64>>,
    /// How many wait for the lists to get somewhere.
    waiting: Arc<watch::Sender<usize>>,
    stamp: Stamp,
}

/// Snapshots of streams: a shorter replay, never the truth.
#[derive(Debug, Clone)]
pub struct Snapshots {
    pool: SqlitePool,
    /// The streams of which one is on its way.
    under_way: Arc<Mutex<HashSet<StreamId>>>,
    waiting: mpsc::Sender<Snapshot>,
}

/// A snapshot on its way; if it is dropped, it is left out.
#[derive(Debug)]
pub struct Snapshot {
    turn: Turn,
    /// Number of its last record.
    seq: u64,
    /// The state after it, encoded.
    state: Vec<u8>,
    waiting: mpsc::Sender<Self>,
}

/// The one turn of a stream, until it is dropped.
#[derive(Debug)]
struct Turn {
    stream: StreamId,
    under_way: Arc<Mutex<HashSet<StreamId>>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.under_way.lock().remove(&self.stream);
    }
}

/// Writes snapshots, one after the other.
#[derive(Debug)]
pub struct SnapshotWriter {
    pool: SqlitePool,
    arriving: mpsc::Receiver<Snapshot>,
}

/// A sale in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SaleRow {
    /// Its id.
    pub sale: HoldId,
    /// Its slot.
    pub slot: SlotId,
    /// When it was sold.
    pub sold_at: Timestamp,
    /// Through which channel.
    pub channel: String,
    /// Which key sold it.
    pub who: String,
    /// `free`, `desk`, `on_account`, `moved` or `payment`.
    pub settlement: String,
    /// The desk's reference; empty if none.
    pub reference: String,
    /// The account, till or payment; empty if none.
    pub account: String,
    /// For how many people.
    pub people: u32,
    /// What it cost.
    pub total_cents: i64,
    /// What was paid back.
    pub refunded_cents: i64,
    /// How many of its tickets are cancelled.
    pub cancelled: u32,
    /// How many of its tickets were let in.
    pub admitted: u32,
    /// What of it stands in other slots, because tickets have moved there.
    pub carried_cents: i64,
    /// How many of its tickets have moved to other slots.
    pub moved: u32,
    /// The quote that it, or the sale from which its tickets have moved, was made for; empty if none.
    pub quote: String,
}

/// A ticket in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TicketRow {
    /// Its id.
    pub ticket: String,
    /// Its sale.
    pub sale: String,
    /// Its category.
    pub category: String,
    /// `valid`, `blocked`, `inside`, `outside`, `cancelled`, `moving` or `moved`.
    pub state: String,
    /// When that began.
    pub changed_at: Timestamp,
}

/// Which sales to list; all conditions hold together.
#[derive(Debug, Clone, Default)]
pub struct SaleFilter {
    /// Only of these museums; none: of all.
    pub museums: Option<Vec<MuseumId>>,
    /// Only of this slot.
    pub slot: Option<SlotId>,
    /// Only with this desk reference.
    pub reference: Option<String>,
    /// Only by this key.
    pub who: Option<String>,
    /// Beside those of that key also those that this account was charged with, or that were made for its quotes.
    pub account: Option<Code>,
    /// Only after this sale, in the order of ids.
    pub after: Option<HoldId>,
}

impl SaleFilter {
    /// The query of [`Views::sales`]: only conditions that are asked for stand in it, so that each finds its index.
    fn query(&self) -> String {
        let mut conditions = String::from("sale.sale > ?5 AND sale.sale BETWEEN ?6 AND ?7");
        let mut and = |asked: bool, condition: &str| {
            if asked {
                conditions.push_str(" AND ");
                conditions.push_str(condition);
            }
        };
        // The plus keeps it from the index by museum, whose rows would have to be sorted; the ids are in the order that is asked for.
        and(self.museums.is_some(), "+sale.museum IN (SELECT value FROM json_each(?1))");
        and(self.reference.is_some(), "sale.reference = ?2");
        // The index has none that is empty, and is only used where that is said.
        and(self.reference.as_ref().is_some_and(|reference| !reference.is_empty()), "sale.reference <> ''");
        and(self.who.is_some(), "(sale.who = ?3 OR quote.account = ?4 OR (bought.settlement = 'on_account' AND bought.account = ?4))");
        format!(
            "SELECT sale.sale, sale.slot, sale.sold_at, sale.channel, sale.who, sale.settlement, sale.reference, sale.account, sale.people,
                sale.total_cents, sale.refunded_cents, sale.cancelled, sale.admitted, sale.carried_cents, sale.moved, coalesce(bought.quote, '')
            FROM sale LEFT JOIN sale AS bought ON bought.sale = sale.origin LEFT JOIN quote ON quote.quote = bought.quote
            WHERE {conditions} ORDER BY sale.sale LIMIT ?8"
        )
    }

    /// Between which two the ids of these sales are: they begin with the museum's, and with the slot's.
    fn ids(&self) -> (String, String) {
        let all = (String::new(), AFTER_ALL_IDS.to_owned());
        let museums = self.museums.as_deref().and_then(|museums| Some((museums.iter().min()?, museums.iter().max()?)));
        match (self.slot, museums) {
            (Some(slot), _) => ids_of(slot),
            (None, Some((first, last))) => {
                let of = |museum: &MuseumId, rest: u64| ids_of(SlotId::from_raw(u64::from(museum.0) << 48 | rest));
                (of(first, 0).0, of(last, u64::MAX >> 16).1)
            }
            (None, None) => all,
        }
    }
}

impl Views {
    /// Opens the read models; a file of another format is emptied.
    pub async fn open(path: &Path) -> Result<Self, ViewsError> {
        let stamp = Stamp::of(path);
        if stamp.begin().map_err(sqlx::Error::Io)? {
            tracing::warn!(file = %path.display(), "the machine ended without a stop in good order: the read models are built again from the journal");
        }
        // SQLite makes what it keeps beside the file as private as the file.
        secret_file::ensure_private(path).map_err(|error| sqlx::Error::Io(error.into()))?;
        for end in ["-wal", "-shm"] {
            let mut beside = path.as_os_str().to_owned();
            beside.push(end);
            secret_file::tighten(beside.as_ref());
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Off)
            .busy_timeout(Duration::from_secs(10));
        let pool = crate::sqlite::pool().max_connections(4).connect_with(options).await?;
        let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&pool).await?;
        let (rows_sender, rows) = watch::channel(0);
        let views = Self { pool, rows, rows_sender: Arc::new(rows_sender), waiting: Arc::new(watch::Sender::new(0)), stamp };
        if version != FORMAT {
            views.clear().await?;
        }
        views.rows_sender.send_replace(views.position("rows").await?.0);
        Ok(views)
    }

    /// Throws everything away, to be built again from the journal: all or nothing, as lists that were half emptied would pass for lists that are complete.
    pub async fn clear(&self) -> Result<(), ViewsError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for schema in [payments::SCHEMA, quotes::SCHEMA, fraud::SCHEMA, SCHEMA] {
            sqlx::raw_sql(schema).execute(&mut *tx).await?;
        }
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA user_version = {FORMAT}"))).execute(&mut *tx).await?;
        tx.commit().await?;
        self.rows_sender.send_replace(0);
        Ok(())
    }

    /// Closes the file, flushed.
    pub async fn close(&self) {
        self.pool.close().await;
        let stamp = self.stamp.clone();
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || stamp.end()).await {
            tracing::warn!(%error, "the read models were not flushed; they are built again if the machine ends now");
        }
    }

    /// Closes the file while somebody may still write to it: nothing says that all of it is on the disk.
    pub async fn leave(&self) {
        self.pool.close().await;
    }

    async fn position(&self, name: &str) -> Result<(u64, Vec<u8>), ViewsError> {
        let row = sqlx::query("SELECT batch, hash FROM position WHERE name = ?").bind(name).fetch_one(&self.pool).await?;
        Ok((row.try_get::<i64, _>(0)?.unsigned_abs(), row.try_get(1)?))
    }

    /// The batches up to which lists, heads and snapshots were built, with their hashes: a journal that does not hold them is another one.
    pub async fn positions(&self) -> Result<[(u64, Vec<u8>); 3], ViewsError> {
        Ok([self.position("rows").await?, self.position("heads").await?, self.position("snapshots").await?])
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

    /// Waits until the lists show everything up to that batch, however long it takes. They do not rest meanwhile.
    pub async fn reach(&self, batch: u64) {
        let mut rows = self.rows.clone();
        if *rows.borrow_and_update() >= batch {
            return;
        }
        let _waits = Waits::begin(Arc::clone(&self.waiting));
        let _ = rows.wait_for(|rows| *rows >= batch).await;
    }

    /// Rests until somebody waits for the lists, but not longer than `most`.
    async fn rest(&self, most: Duration) {
        let mut waiting = self.waiting.subscribe();
        let _ = tokio::time::timeout(most, waiting.wait_for(|waiting| *waiting > 0)).await;
    }

    /// The saved heads of all slots, with the batch up to which they are complete.
    pub async fn heads(&self) -> Result<(u64, Vec<(SlotId, SlotHead)>), ViewsError> {
        let rows = sqlx::query("SELECT slot, data FROM head").fetch_all(&self.pool).await?;
        let read = |row: &SqliteRow| {
            let slot = row.try_get::<String, _>(0).ok()?.parse().ok()?;
            Some((slot, postcard::from_bytes(&row.try_get::<Vec<u8>, _>(1).ok()?).ok()?))
        };
        match rows.iter().map(read).collect::<Option<Vec<_>>>() {
            Some(heads) => Ok((self.position("heads").await?.0, heads)),
            // A head that cannot be read: build all of them again.
            None => Ok((0, Vec::new())),
        }
    }

    /// Saves heads that are complete up to the batch at `end`.
    pub async fn save_heads(&self, heads: &[(SlotId, SlotHead)], end: &Head) -> Result<(), ViewsError> {
        let mut tx = self.pool.begin().await?;
        for (slot, head) in heads {
            let Ok(data) = postcard::to_allocvec(head) else { continue };
            sqlx::query("INSERT INTO head (slot, data) VALUES (?, ?) ON CONFLICT (slot) DO UPDATE SET data = excluded.data")
                .bind(slot.to_string())
                .bind(data)
                .execute(&mut *tx)
                .await?;
        }
        move_on(&mut tx, "heads", end.number, &end.hash).await?;
        Ok(tx.commit().await?)
    }

    /// Sales in the order of their ids, at most `limit`.
    pub async fn sales(&self, filter: &SaleFilter, limit: u32) -> Result<Vec<SaleRow>, ViewsError> {
        let (first, last) = filter.ids();
        let rows = sqlx::query(sqlx::AssertSqlSafe(filter.query()))
            .bind(filter.museums.as_ref().map(json))
            .bind(filter.reference.clone())
            .bind(filter.who.clone())
            .bind(filter.account.map(|account| account.to_string()))
            .bind(filter.after.map(|after| after.to_string()).unwrap_or_default())
            .bind(first)
            .bind(last)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| sale_row(row).map_err(ViewsError::Store)).collect()
    }

    /// The operator's account that was charged with a sale, or whose quote it was made for: of tickets that have moved, where they were bought.
    pub async fn account_of(&self, sale: HoldId) -> Result<Option<Code>, ViewsError> {
        const QUERY: &str = "SELECT CASE bought.settlement WHEN 'on_account' THEN bought.account ELSE coalesce(quote.account, '') END
            FROM sale JOIN sale AS bought ON bought.sale = sale.origin LEFT JOIN quote ON quote.quote = bought.quote WHERE sale.sale = ?";
        let found: Option<String> = sqlx::query_scalar(QUERY).bind(sale.to_string()).fetch_optional(&self.pool).await?;
        Ok(found.and_then(|code| code.parse().ok()))
    }

    /// The quote that a sale, or the one from which its tickets have moved, was made for.
    pub async fn quote_of(&self, sale: HoldId) -> Result<Option<QuoteId>, ViewsError> {
        const QUERY: &str = "SELECT bought.quote FROM sale JOIN sale AS bought ON bought.sale = sale.origin WHERE sale.sale = ?";
        let found: Option<String> = sqlx::query_scalar(QUERY).bind(sale.to_string()).fetch_optional(&self.pool).await?;
        Ok(found.and_then(|quote| quote.parse().ok()))
    }

    /// The tickets of a slot in the order of their ids, after `after`, at most `limit`.
    pub async fn tickets(&self, slot: SlotId, after: &str, limit: u32) -> Result<Vec<TicketRow>, ViewsError> {
        const QUERY: &str = "SELECT ticket, sale, category, CASE WHEN blocked AND state <> 'cancelled' THEN 'blocked' ELSE state END, changed_at
            FROM ticket WHERE ticket BETWEEN ? AND ? AND ticket > ? ORDER BY ticket LIMIT ?";
        let (first, last) = ids_of(slot);
        let rows = sqlx::query(QUERY).bind(first).bind(last).bind(after).bind(i64::from(limit)).fetch_all(&self.pool).await?;
        let read = |row: &SqliteRow| {
            Ok(TicketRow {
                ticket: row.try_get(0)?,
                sale: row.try_get(1)?,
                category: row.try_get(2)?,
                state: row.try_get(3)?,
                changed_at: Timestamp::from_micros(row.try_get(4)?),
            })
        };
        rows.iter().map(read).collect()
    }

    /// The place of snapshots in this file, and who writes them.
    #[must_use]
    pub fn snapshots(&self) -> (Snapshots, SnapshotWriter) {
        let (waiting, arriving) = mpsc::channel(SNAPSHOTS_WAITING);
        (Snapshots { pool: self.pool.clone(), under_way: Arc::default(), waiting }, SnapshotWriter { pool: self.pool.clone(), arriving })
    }

    /// Follows the journal on a thread of its own, which has to wait when those that answer callers want the processor. Answers when it has ended, see
    /// [`Views::follow`].
    pub fn follow_apart(
        &self,
        journal: Arc<dyn Journal>,
        board: Arc<Board>,
        committed: watch::Receiver<Head>,
    ) -> std::io::Result<oneshot::Receiver<()>> {
        let (views, (done, ended)) = (self.clone(), oneshot::channel());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let follow = async move {
            // A connection works on a thread that is started by who opens it, and waits like it: so none of the shared ones.
            let views = views.builder();
            views.follow(journal, board, committed).await;
            views.pool.close().await;
            let _ = done.send(());
        };
        let run = move || {
            if let Err(error) = rustix::process::nice(PATIENCE) {
                tracing::warn!(%error, "the read models cannot be made to wait for others");
            }
            runtime.block_on(follow);
        };
        std::thread::Builder::new().name("views".into()).spawn(run)?;
        Ok(ended)
    }

    /// The same lists by a connection of its own, which is good at writing much.
    fn builder(&self) -> Self {
        let options = self.pool.connect_options().as_ref().clone();
        let options = options.pragma("cache_size", (-BUILDER_CACHE_KIB).to_string()).pragma("wal_autocheckpoint", BUILDER_LOG_PAGES.to_string());
        Self { pool: crate::sqlite::pool().max_connections(1).connect_lazy_with(options), ..self.clone() }
    }

    /// Follows the journal: takes in every batch, and saves the heads now and then. Ends when the journal's writer has ended and all is taken in.
    pub async fn follow(&self, journal: Arc<dyn Journal>, board: Arc<Board>, mut committed: watch::Receiver<Head>) {
        let mut since_saved: Option<Stopwatch> = None;
        loop {
            // Asked before where the end is: what was written until the writer ended is taken in.
            let ended = committed.has_changed().is_err();
            let end = *committed.borrow_and_update();
            // The heads first: they need no reading of the journal, and a start without them reads all of it.
            if ended || since_saved.as_ref().is_none_or(|since| since.elapsed() >= HEADS_EVERY) {
                let heads = board.take_unsaved();
                if let Err(error) = self.save_heads(&heads, &end).await {
                    tracing::error!(%error, "the heads of the slots were not saved");
                    heads.iter().for_each(|(slot, _)| board.not_saved(*slot));
                }
                since_saved = Some(Stopwatch::start());
            }
            let begun = Stopwatch::start();
            match self.take_in(journal.as_ref(), end.number).await {
                Ok(()) if self.as_of_batch() < end.number => {
                    if committed.has_changed().is_ok_and(|changed| changed) {
                        let behind = committed.borrow().number.saturating_sub(self.as_of_batch());
                        self.rest(rest_after(begun.elapsed(), behind)).await;
                    }
                    continue;
                }
                Ok(()) => {}
                Err(error) => {
                    tracing::error!(%error, "the read models fall behind");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            if ended {
                return;
            }
            // Heads that were published after the last commit was seen are saved when nothing happens too.
            let _ = tokio::time::timeout(HEADS_EVERY, committed.changed()).await;
        }
    }

    /// Builds the lists up to the batch numbered `end`, which must be in the journal: for who follows it no further. Heads are left to the node that starts next.
    pub async fn build(&self, journal: &dyn Journal, end: u64) -> Result<(), ViewsError> {
        let builder = self.builder();
        let mut built = Ok(());
        while built.is_ok() && self.as_of_batch() < end {
            built = builder.take_in(journal, end).await;
        }
        builder.pool.close().await;
        built
    }

    /// Takes in some batches, if there are any up to `end`.
    async fn take_in(&self, journal: &dyn Journal, end: u64) -> Result<(), ViewsError> {
        let (mut rows, mut records, mut last) = (Rows::default(), 0, None);
        let mut position = self.as_of_batch();
        while position < end && records < ROUND_RECORDS {
            let mut batches = match batches_after(journal, position, READ).await {
                Ok(batches) => batches,
                // What was read before is taken in.
                Err(_) if last.is_some() => break,
                Err(error) => return Err(error.into()),
            };
            for batch in &batches {
                rows.read(batch)?;
                records += batch.spans.iter().map(|span| span.last - span.first + 1).sum::<u64>();
                position = batch.number;
            }
            last = batches.pop();
        }
        if let Some(last) = last {
            rows.write(&self.pool, &last).await?;
            self.rows_sender.send_replace(last.number);
        }
        Ok(())
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

/// How long the lists rest after a round that took so long, so many batches behind the journal.
fn rest_after(took: Duration, behind: u64) -> Duration {
    let near = u64::from(FAR_BEHIND).saturating_sub(behind) as u32;
    (took * REST).min(REST_MAX) * near / FAR_BEHIND
}

async fn move_on(connection: &mut SqliteConnection, name: &str, batch: u64, hash: &[u8; 32]) -> Result<(), sqlx::Error> {
    let update = sqlx::query("UPDATE position SET batch = ?, hash = ? WHERE name = ?").bind(stored(batch)).bind(&hash[..]).bind(name);
    update.execute(connection).await.map(drop)
}

/// Greater than any id.
const AFTER_ALL_IDS: &str = "~";

/// Between which two the ids of all sales and tickets of a slot are: they begin with the slot's.
fn ids_of(slot: SlotId) -> (String, String) {
    let first = HoldId::new(slot, 0);
    (first.to_string(), TicketId::from_raw(first.get() | u128::from(u64::MAX)).to_string())
}

fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn sale_row(row: &SqliteRow) -> Result<SaleRow, sqlx::Error> {
    let id = |index| row.try_get::<String, _>(index);
    let bad = |error: tornello_engine::ids::BadId| sqlx::Error::Decode(error.into());
    Ok(SaleRow {
        sale: id(0)?.parse().map_err(bad)?,
        slot: id(1)?.parse().map_err(bad)?,
        sold_at: Timestamp::from_micros(row.try_get(2)?),
        channel: row.try_get(3)?,
        who: row.try_get(4)?,
        settlement: row.try_get(5)?,
        reference: row.try_get(6)?,
        account: row.try_get(7)?,
        people: row.try_get(8)?,
        total_cents: row.try_get(9)?,
        refunded_cents: row.try_get(10)?,
        cancelled: row.try_get(11)?,
        admitted: row.try_get(12)?,
        carried_cents: row.try_get(13)?,
        moved: row.try_get(14)?,
        quote: row.try_get(15)?,
    })
}

impl SnapshotWriter {
    /// Writes what comes, until nobody is left who may make a snapshot. `committed` is the end of the journal: every snapshot is of what stands before it.
    pub async fn run(self, committed: watch::Receiver<Head>) {
        let Self { pool, mut arriving } = self;
        while let Some(snapshot) = arriving.recv().await {
            let end = *committed.borrow();
            if let Err(error) = save_snapshot(&pool, &snapshot, &end).await {
                tracing::warn!(%error, stream = %snapshot.turn.stream, "a snapshot was not saved");
            }
        }
    }
}

/// The snapshot and the end of its journal in one transaction: another journal is told by it.
async fn save_snapshot(pool: &SqlitePool, snapshot: &Snapshot, end: &Head) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(
        "INSERT INTO snapshot (stream, seq, crc, state) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (stream) DO UPDATE SET seq = ?2, crc = ?3, state = ?4",
    )
    .bind(snapshot.turn.stream.to_bytes())
    .bind(stored(snapshot.seq))
    .bind(i64::from(crc32c::crc32c(&snapshot.state)))
    .bind(snapshot.state.as_slice())
    .execute(&mut *tx)
    .await?;
    move_on(&mut tx, "snapshots", end.number, &end.hash).await?;
    tx.commit().await
}

impl Snapshot {
    /// Hands it to who writes it; when too many wait it is left out. Only for a state whose last record is on the disk.
    pub fn keep(self) {
        let waiting = self.waiting.clone();
        let _ = waiting.try_send(self);
    }
}

impl Snapshots {
    /// Makes a snapshot of a state; none if another of the same stream is on its way.
    #[must_use]
    pub fn take<A: Aggregate + Serialize>(&self, stream: StreamId, state: &A) -> Option<Snapshot> {
        if !self.under_way.lock().insert(stream) {
            return None;
        }
        let turn = Turn { stream, under_way: Arc::clone(&self.under_way) };
        let (seq, state) = (state.seq(), postcard::to_allocvec(state).ok()?);
        Some(Snapshot { turn, seq, state, waiting: self.waiting.clone() })
    }

    /// The snapshot of a stream, if there is a sound one.
    pub async fn load<A: Aggregate + DeserializeOwned>(&self, stream: StreamId) -> Option<A> {
        let query = sqlx::query("SELECT seq, crc, state FROM snapshot WHERE stream = ?").bind(stream.to_bytes());
        let row = query.fetch_optional(&self.pool).await.ok()??;
        let (seq, crc, state): (i64, i64, Vec<u8>) = (row.try_get(0).ok()?, row.try_get(1).ok()?, row.try_get(2).ok()?);
        let sound = (crc == i64::from(crc32c::crc32c(&state))).then(|| postcard::from_bytes::<A>(&state).ok()).flatten();
        let sound = sound.filter(|state| stored(state.seq()) == seq);
        if sound.is_none() {
            tracing::warn!(%stream, "a snapshot is damaged; the stream is replayed from the journal");
        }
        sound
    }
}

/// What some batches change in the lists, gathered so that each table needs one statement.
#[derive(Debug, Default)]
struct Rows {
    sales: Vec<serde_json::Value>,
    /// As which sale tickets were bought that have arrived from another slot.
    origins: HashMap<HoldId, HoldId>,
    tickets: Vec<serde_json::Value>,
    /// (sale, refunded, cancelled, admitted, carried, moved) to add.
    changes: Vec<serde_json::Value>,
    /// (ticket, state, time).
    states: Vec<serde_json::Value>,
    /// (ticket, whether it is blocked, time).
    blocks: Vec<serde_json::Value>,
    payments: payments::Rows,
    quotes: quotes::Rows,
    fraud: fraud::Rows,
}

impl Rows {
    fn read(&mut self, batch: &Batch) -> Result<(), JournalError> {
        self.payments.begin(batch.number);
        for frame in wire::frames(&batch.records) {
            let frame = frame.map_err(|error| corrupt(batch, &error))?;
            match frame.stream {
                StreamId::Slot(_) => {
                    let record = frame.record::<Event>().map_err(|error| corrupt(batch, &error))?;
                    record.events.iter().for_each(|event| self.event(&record, event));
                    self.fraud.slot(&record);
                }
                StreamId::Payment(payment) => {
                    let record = frame.record().map_err(|error| corrupt(batch, &error))?;
                    self.payments.read(payment, &record);
                    self.fraud.payment(payment, &record);
                }
                StreamId::Case(case) => self.fraud.case(case, &frame.record().map_err(|error| corrupt(batch, &error))?),
                StreamId::Attempts(_) => self.fraud.attempts(&frame.record().map_err(|error| corrupt(batch, &error))?),
                StreamId::Quote(quote) => self.quotes.quote(quote, &frame.record().map_err(|error| corrupt(batch, &error))?),
                StreamId::Account(account) => self.quotes.account(account, &frame.record().map_err(|error| corrupt(batch, &error))?),
                StreamId::Till(till) => {
                    let record = frame.record().map_err(|error| corrupt(batch, &error))?;
                    self.payments.read_till(till, &record);
                    self.fraud.till(till, &record);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn event(&mut self, record: &Record<Event>, event: &Event) {
        use serde_json::json;
        let at = record.at.as_micros();
        let happened = |scanned_at: Option<Timestamp>| scanned_at.map_or(at, |scanned_at| scanned_at.as_micros().min(at));
        match event {
            Event::Sold(sold) => {
                let (settlement, reference, account) = match &sold.settlement {
                    Settlement::Free => ("free", String::new(), String::new()),
                    Settlement::Desk { till, reference, .. } => ("desk", reference.clone(), till.to_string()),
                    Settlement::OnAccount { account } => ("on_account", String::new(), account.to_string()),
                    Settlement::Moved { .. } => ("moved", String::new(), String::new()),
                    Settlement::Quoted { account, .. } => ("on_account", String::new(), account.to_string()),
                    Settlement::Payment { id } => ("payment", String::new(), id.to_string()),
                };
                if let Settlement::Desk { till, method, reference } = &sold.settlement {
                    self.payments.sold_at_desk(sold.sale.slot().museum(), at, (till, *method, reference), slot::total(&sold.lines).get());
                }
                let who = record.envelope.as_ref().map(|envelope| envelope.who.to_string()).unwrap_or_default();
                self.sale((sold.sale, sold.sale, sold.channel, &sold.lines), [&who, settlement, &reference, &account], at);
            }
            Event::Arrived(arrived) => {
                let origin = self.origins.get(&arrived.from).copied().unwrap_or(arrived.from);
                self.origins.insert(arrived.sale, origin);
                self.sale((arrived.sale, origin, arrived.channel, &arrived.lines), [&arrived.who.to_string(), "moved", "", ""], at);
            }
            Event::MoveBegun(begun) => self.turn(begun.sale, &begun.tickets, "moving", at),
            Event::MovedOut(moved) => {
                self.changes.push(json!([moved.sale.to_string(), 0, 0, 0, moved.carried_cents.get(), moved.tickets.len()]));
                self.turn(moved.sale, &moved.tickets, "moved", at);
            }
            Event::MoveUndone(undone) => self.turn(undone.sale, &undone.tickets, "valid", at),
            Event::Cancelled(cancelled) => {
                self.changes.push(json!([cancelled.sale.to_string(), cancelled.refund_cents.get(), cancelled.tickets.len(), 0, 0, 0]));
                self.turn(cancelled.sale, &cancelled.tickets, "cancelled", at);
            }
            Event::Blocked(blocked) => self.block(blocked.sale, &blocked.tickets, true, at),
            Event::Unblocked(unblocked) => self.block(unblocked.sale, &unblocked.tickets, false, at),
            Event::Admitted(admitted) => {
                self.changes.push(json!([admitted.ticket.sale().to_string(), 0, 0, u32::from(admitted.entry == 1), 0, 0]));
                self.states.push(json!([admitted.ticket.to_string(), "inside", happened(admitted.scanned_at)]));
            }
            Event::Exited(exited) => self.states.push(json!([exited.ticket.to_string(), "outside", happened(exited.scanned_at)])),
            Event::Opened(_)
            | Event::Held(_)
            | Event::Extended(_)
            | Event::Released(_)
            | Event::Expired(_)
            | Event::CapacitySet(_)
            | Event::QuotasSet(_)
            | Event::Closed(_)
            | Event::Reopened(_)
            | Event::Observed(_)
            | Event::AdmissionConflict(_)
            | Event::Waited(_)
            | Event::WaitingLeft(_)
            | Event::Offered(_)
            | Event::WaitingEnded(_)
            | Event::Renamed(_)
            | Event::Prolonged(_)
            | Event::Amended(_)
            | Event::HandedOver(_)
            | Event::ReviewOpened(_)
            | Event::ReviewEnded(_)
            | Event::BeyondSet(_) => {}
        }
    }

    /// A new sale with its tickets, that from which they have moved, and the words for who sold it, how it was paid, under which reference, on which account or till.
    fn sale(
        &mut self,
        (sale, origin, channel, lines): (HoldId, HoldId, Channel, &[Line]),
        [who, settlement, reference, account]: [&str; 4],
        at: i64,
    ) {
        use serde_json::json;
        let (people, total, slot) = (slot::people(lines), slot::total(lines).get(), sale.slot());
        let (id, slot_id, museum, starts) = (sale.to_string(), slot.to_string(), slot.museum().0, slot.start().as_micros());
        for number in 0..people as u16 {
            let category = slot::line_of(lines, number).map(|line| line.category.to_string()).unwrap_or_default();
            self.tickets.push(json!([sale.ticket(number).to_string(), id, slot_id, category, at]));
        }
        let origin = origin.to_string();
        self.sales.push(json!([id, slot_id, museum, starts, at, channel.name(), who, settlement, reference, account, people, total, origin]));
    }

    fn turn(&mut self, sale: HoldId, tickets: &[u16], state: &str, at: i64) {
        self.states.extend(tickets.iter().map(|&number| serde_json::json!([sale.ticket(number).to_string(), state, at])));
    }

    fn block(&mut self, sale: HoldId, tickets: &[u16], blocked: bool, at: i64) {
        self.blocks.extend(tickets.iter().map(|&number| serde_json::json!([sale.ticket(number).to_string(), u8::from(blocked), at])));
    }

    /// Everything and the new position in one transaction, so that nothing is taken in twice.
    async fn write(mut self, pool: &SqlitePool, last: &Batch) -> Result<(), sqlx::Error> {
        const SALES: &str = "INSERT INTO sale
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9,
                value ->> 10, value ->> 11, 0, 0, 0, 0, 0, '', CASE WHEN value ->> 12 = value ->> 0 THEN value ->> 0
                ELSE coalesce((SELECT bought.origin FROM sale AS bought WHERE bought.sale = value ->> 12), value ->> 12) END FROM json_each(?)";
        const TICKETS: &str = "INSERT INTO ticket
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, 'valid', 0, value ->> 4 FROM json_each(?)";
        const CHANGES: &str = "UPDATE sale SET refunded_cents = sale.refunded_cents + change.refunded, cancelled = sale.cancelled + change.cancelled,
            admitted = sale.admitted + change.admitted, carried_cents = sale.carried_cents + change.carried, moved = sale.moved + change.moved
            FROM (SELECT value ->> 0 AS of, sum(value ->> 1) AS refunded, sum(value ->> 2) AS cancelled, sum(value ->> 3) AS admitted,
                    sum(value ->> 4) AS carried, sum(value ->> 5) AS moved FROM json_each(?) GROUP BY 1) AS change WHERE sale.sale = change.of";
        // Of several changes of one ticket the last one counts: SQLite takes the bare columns from the row that has the maximum.
        const STATES: &str = "UPDATE ticket SET state = change.state, changed_at = change.at
            FROM (SELECT value ->> 0 AS of, value ->> 1 AS state, value ->> 2 AS at, max(key) FROM json_each(?) GROUP BY 1) AS change
            WHERE ticket.ticket = change.of";
        const BLOCKS: &str = "UPDATE ticket SET blocked = change.blocked, changed_at = change.at
            FROM (SELECT value ->> 0 AS of, value ->> 1 AS blocked, value ->> 2 AS at, max(key) FROM json_each(?) GROUP BY 1) AS change
            WHERE ticket.ticket = change.of";
        // In the order of their keys: neighbours share a page.
        for rows in [&mut self.sales, &mut self.tickets] {
            rows.sort_unstable_by(|one, other| one[0].as_str().cmp(&other[0].as_str()));
        }
        let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
        for (query, rows) in
            [(SALES, &self.sales), (TICKETS, &self.tickets), (CHANGES, &self.changes), (STATES, &self.states), (BLOCKS, &self.blocks)]
        {
            if !rows.is_empty() {
                sqlx::query(query).bind(json(rows)).execute(&mut *tx).await?;
            }
        }
        self.payments.write(&mut tx).await?;
        self.quotes.write(&mut tx).await?;
        self.fraud.write(&mut tx).await?;
        move_on(&mut tx, "rows", last.number, &last.hash()).await?;
        tx.commit().await
    }
}

#[cfg(test)]
mod tests {
    use tornello_engine::account::Account;
    use tornello_engine::ids::AccountId;

    use super::*;
    use crate::journal::Span;
    use crate::journal::memory::MemoryJournal;

    #[tokio::test]
    async fn bookings_of_some_days_are_found_without_looking_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let steps =
            sqlx::query("EXPLAIN QUERY PLAN SELECT people FROM sale WHERE starts >= 1 AND starts < 2 ORDER BY starts DESC, sale DESC LIMIT 3");
        let steps: Vec<String> = steps.fetch_all(&views.pool).await.unwrap().iter().map(|row| row.get("detail")).collect();
        assert!(steps.len() == 1 && steps[0].contains("sale_by_start"), "{steps:?}");
        views.close().await;
    }

    #[tokio::test]
    async fn sales_are_found_without_looking_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let cases = [
            (SaleFilter::default(), "SEARCH sale USING PRIMARY KEY (sale>? AND sale<?)"),
            (SaleFilter { museums: Some(vec![MuseumId(3)]), ..SaleFilter::default() }, "SEARCH sale USING PRIMARY KEY (sale>? AND sale<?)"),
            (
                SaleFilter { reference: Some("R-1".into()), ..SaleFilter::default() },
                "SEARCH sale USING INDEX sale_by_reference (reference=? AND sale>? AND sale<?)",
            ),
        ];
        for (filter, expected) in cases {
            let steps = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", filter.query()))).fetch_all(&views.pool).await.unwrap();
            let steps: Vec<String> = steps.iter().map(|row| row.get("detail")).collect();
            assert!(steps[0].starts_with(expected) && !steps.iter().any(|step| step.contains("ORDER BY")), "{filter:?}: {steps:?}");
        }
        views.close().await;
    }

    #[test]
    fn the_ids_of_a_slot_and_of_a_museum_are_neighbours() {
        let slot = SlotId::new(MuseumId(3), tornello_engine::ids::RouteId(2), Timestamp::from_seconds(1_800_000_000));
        let sale = HoldId::new(slot, 0xffff_ffff_ffff);
        let inside = |(first, last): (String, String), id: String| first <= id && id <= last;
        let of_slot = || SaleFilter { slot: Some(slot), ..SaleFilter::default() }.ids();
        let of_museums =
            |museums: &[u16]| SaleFilter { museums: Some(museums.iter().map(|&id| MuseumId(id)).collect()), ..SaleFilter::default() }.ids();
        assert!(inside(of_slot(), sale.to_string()) && inside(of_slot(), sale.ticket(u16::MAX).to_string()));
        let next = SlotId::from_raw(slot.get() + 1);
        assert!(!inside(of_slot(), HoldId::new(next, 0).to_string()));
        assert!(inside(of_museums(&[3]), sale.to_string()) && inside(of_museums(&[9, 1]), sale.to_string()));
        assert!(!inside(of_museums(&[2]), sale.to_string()) && !inside(of_museums(&[4]), sale.to_string()));
    }

    #[tokio::test]
    async fn lists_are_emptied_all_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        // A view is no table, so that emptying fails halfway.
        let set = "UPDATE position SET batch = 9; INSERT INTO refused VALUES ('sale', 1, 'ticket', 'reason', 1, 'gate');
            ALTER TABLE ticket RENAME TO old; CREATE VIEW ticket AS SELECT 1";
        sqlx::raw_sql(set).execute(&views.pool).await.unwrap();
        assert!(views.clear().await.is_err());
        let refused: i64 = sqlx::query_scalar("SELECT count(*) FROM refused").fetch_one(&views.pool).await.unwrap();
        assert_eq!((refused, views.position("rows").await.unwrap().0), (1, 9));
        sqlx::raw_sql("DROP VIEW ticket; DROP TABLE old").execute(&views.pool).await.unwrap();
        views.clear().await.unwrap();
        let refused: i64 = sqlx::query_scalar("SELECT count(*) FROM refused").fetch_one(&views.pool).await.unwrap();
        assert_eq!((refused, views.position("rows").await.unwrap().0), (0, 0));
        views.close().await;
    }

    /// Batches in which nothing is that the lists show, each of one record.
    async fn small_batches(count: u64) -> (MemoryJournal, Head) {
        let (journal, mut head) = (MemoryJournal::default(), Head::EMPTY);
        let stream = StreamId::Museum(MuseumId(1));
        for number in 1..=count {
            let spans = vec![Span { stream, first: number, last: number }];
            let batch = Batch { number, previous: head.hash, at: Timestamp::from_seconds(1), records: Vec::new(), spans };
            journal.append(&batch).await.unwrap();
            head = Head { number, hash: batch.hash(), at: batch.at };
        }
        (journal, head)
    }

    #[tokio::test]
    async fn small_batches_share_a_round_and_a_round_ends() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let (journal, head) = small_batches(ROUND_RECORDS + 1_000).await;
        views.take_in(&journal, 500).await.unwrap();
        assert!((500..500 + u64::from(READ)).contains(&views.as_of_batch()), "{}", views.as_of_batch());
        let begun = views.as_of_batch();
        views.take_in(&journal, head.number).await.unwrap();
        let taken_in = views.as_of_batch() - begun;
        assert!((ROUND_RECORDS - u64::from(READ)..ROUND_RECORDS + u64::from(READ)).contains(&taken_in), "{taken_in}");
        views.close().await;
    }

    #[tokio::test]
    async fn what_stands_before_a_batch_that_cannot_be_read_is_taken_in() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let (journal, head) = small_batches(40).await;
        // The journal says that it goes on, and does not.
        views.take_in(&journal, head.number + 1).await.unwrap();
        assert_eq!(views.as_of_batch(), 40);
        assert!(views.take_in(&journal, head.number + 1).await.is_err());
        views.close().await;
    }

    #[test]
    fn the_lists_rest_while_they_are_near_and_less_the_further_they_are_behind() {
        let ms = Duration::from_millis;
        let cases = [
            (ms(10), 0, ms(90)),
            (ms(10), u64::from(FAR_BEHIND) / 2, ms(45)),
            (ms(10), u64::from(FAR_BEHIND), Duration::ZERO),
            (ms(10), u64::MAX, Duration::ZERO),
            (ms(5_000), 0, REST_MAX),
        ];
        for (took, behind, rest) in cases {
            assert_eq!(rest_after(took, behind), rest, "{took:?}, {behind} behind");
        }
    }

    #[tokio::test]
    async fn the_lists_do_not_rest_while_somebody_waits_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let hour = Duration::from_secs(3_600);
        let work = async {
            views.rest(hour).await;
            // Who came while they rested is still there: they do not even begin to.
            views.rest(hour).await;
            views.rows_sender.send_replace(5);
        };
        let both = async { tokio::join!(work, views.reach(5)) };
        tokio::time::timeout(Duration::from_secs(5), both).await.expect("whoever waits ends the rest");
        assert!(tokio::time::timeout(Duration::ZERO, views.rest(hour)).await.is_err(), "nobody waits any more");
        views.close().await;
    }

    #[tokio::test]
    async fn of_a_stream_one_snapshot_at_a_time_is_on_its_way() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let (snapshots, writer) = views.snapshots();
        let (first, second) = (Account::new(AccountId(1)), Account::new(AccountId(2)));
        let [of_first, of_second] = [&first, &second].map(|account| StreamId::Account(account.id()));
        let snapshot = snapshots.take(of_first, &first).unwrap();
        assert!(snapshots.take(of_first, &first).is_none() && snapshots.take(of_second, &second).is_some());
        drop(snapshot);
        snapshots.take(of_first, &first).unwrap().keep();
        assert!(snapshots.take(of_first, &first).is_none(), "it waits to be written");
        let under_way = Arc::clone(&snapshots.under_way);
        drop(snapshots);
        // It ends when nobody is left who could make one.
        writer.run(watch::channel(Head { number: 7, ..Head::EMPTY }).1).await;
        assert!(under_way.lock().is_empty());
        let (snapshots, _) = views.snapshots();
        assert_eq!((snapshots.load::<Account>(of_first).await, snapshots.load::<Account>(of_second).await), (Some(first), None));
        assert_eq!(views.position("snapshots").await.unwrap().0, 7);
        views.close().await;
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
}
