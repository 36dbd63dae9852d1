//! Read models in one SQLite file: sales and tickets to list and search, the heads of all slots for a quick start, snapshots of slots. A projection of the
//! journal: delete the file and it is built again. Nothing here is ever the truth.

pub mod bookings;
mod boot;
pub mod fraud;
pub mod payments;
pub mod quotes;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqliteRow, SqliteSynchronous};
use tokio::sync::{mpsc, oneshot, watch};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::channel::Channel;
use tornello_engine::ids::{Code, HoldId, MuseumId, QuoteId, SlotId};
use tornello_engine::record::Record;
use tornello_engine::slot::{self, Event, Line, Settlement, Slot};
use tornello_engine::time::Timestamp;

use self::boot::Stamp;
use crate::board::{Board, SlotHead};
use crate::clock::Stopwatch;
use crate::journal::wire;
use crate::journal::{Batch, Head, Journal, JournalError, StreamId, batches_after};
use crate::streams::corrupt;

/// Raised whenever a table, a head or a snapshot changes its form: an older file is thrown away and built again.
const FORMAT: i64 = 17;
/// How many batches one round takes in; a full one has about a megabyte.
const ROUND: u32 = 16;
/// How many snapshots wait to be written; more are left out, which costs a longer replay and nothing else.
const SNAPSHOTS_WAITING: usize = 1_024;
/// While the journal grows, the lists rest so many times as long as their last round took: a rush of sales has the processor to itself, and the lists follow it.
const REST: u32 = 9;
/// The longest such rest.
const REST_MAX: Duration = Duration::from_secs(2);
/// By how much the thread that follows the journal yields to others, as `nice` counts it.
const PATIENCE: i32 = 10;
/// How often the heads are saved.
const HEADS_EVERY: Duration = Duration::from_secs(2);

const SCHEMA: &str = "
    DROP TABLE IF EXISTS position; DROP TABLE IF EXISTS head; DROP TABLE IF EXISTS snapshot; DROP TABLE IF EXISTS sale; DROP TABLE IF EXISTS ticket;
    CREATE TABLE position (name TEXT PRIMARY KEY, batch INTEGER NOT NULL, hash BLOB NOT NULL) STRICT;
    INSERT INTO position VALUES ('rows', 0, zeroblob(32)), ('heads', 0, zeroblob(32));
    CREATE TABLE head (slot TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE snapshot (stream BLOB PRIMARY KEY, seq INTEGER NOT NULL, crc INTEGER NOT NULL, state BLOB NOT NULL) STRICT;
    CREATE TABLE sale (
        sale TEXT PRIMARY KEY, slot TEXT NOT NULL, museum INTEGER NOT NULL, starts INTEGER NOT NULL, sold_at INTEGER NOT NULL, channel TEXT NOT NULL,
        who TEXT NOT NULL, settlement TEXT NOT NULL, reference TEXT NOT NULL, account TEXT NOT NULL, people INTEGER NOT NULL, total_cents INTEGER NOT NULL,
        refunded_cents INTEGER NOT NULL, cancelled INTEGER NOT NULL, admitted INTEGER NOT NULL, carried_cents INTEGER NOT NULL, moved INTEGER NOT NULL,
        quote TEXT NOT NULL, origin TEXT NOT NULL -- the sale as which its tickets were bought: itself, or one from which they have moved
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sale_by_museum ON sale (museum, sold_at, sale);
    CREATE INDEX sale_by_slot ON sale (slot, sale);
    CREATE INDEX sale_by_start ON sale (starts, sale);
    CREATE INDEX sale_by_reference ON sale (reference, sale) WHERE reference <> '';
    CREATE TABLE ticket (
        ticket TEXT PRIMARY KEY, sale TEXT NOT NULL, slot TEXT NOT NULL, category TEXT NOT NULL, state TEXT NOT NULL, blocked INTEGER NOT NULL,
        changed_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX ticket_by_slot ON ticket (slot, ticket);";

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
    stamp: Stamp,
}

/// Snapshots of slots: a shorter replay, never the truth.
#[derive(Debug, Clone)]
pub struct Snapshots {
    pool: SqlitePool,
    waiting: mpsc::Sender<(StreamId, Slot)>,
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

impl Views {
    /// Opens the read models; a file of another format is emptied.
    pub async fn open(path: &Path) -> Result<Self, ViewsError> {
        let stamp = Stamp::of(path);
        if stamp.begin().map_err(sqlx::Error::Io)? {
            tracing::warn!(file = %path.display(), "the machine ended without a stop in good order: the read models are built again from the journal");
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
        let views = Self { pool, rows, rows_sender: Arc::new(rows_sender), stamp };
        if version != FORMAT {
            views.clear().await?;
        }
        views.rows_sender.send_replace(views.position("rows").await?.0);
        Ok(views)
    }

    /// Throws everything away, to be built again from the journal.
    pub async fn clear(&self) -> Result<(), ViewsError> {
        sqlx::raw_sql(payments::SCHEMA).execute(&self.pool).await?;
        sqlx::raw_sql(quotes::SCHEMA).execute(&self.pool).await?;
        sqlx::raw_sql(fraud::SCHEMA).execute(&self.pool).await?;
        sqlx::raw_sql(SCHEMA).execute(&self.pool).await?;
        // Last: a file that was not emptied to the end is emptied again.
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA user_version = {FORMAT}"))).execute(&self.pool).await?;
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

    async fn position(&self, name: &str) -> Result<(u64, Vec<u8>), ViewsError> {
        let row = sqlx::query("SELECT batch, hash FROM position WHERE name = ?").bind(name).fetch_one(&self.pool).await?;
        Ok((row.try_get::<i64, _>(0)?.unsigned_abs(), row.try_get(1)?))
    }

    /// The batches up to which lists and heads were built, with their hashes: a journal that does not hold them is another one.
    pub async fn positions(&self) -> Result<[(u64, Vec<u8>); 2], ViewsError> {
        Ok([self.position("rows").await?, self.position("heads").await?])
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

    /// Waits until the lists show everything up to that batch, however long it takes.
    pub async fn reach(&self, batch: u64) {
        let mut rows = self.rows.clone();
        let _ = rows.wait_for(|rows| *rows >= batch).await;
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
        const QUERY: &str =
            "SELECT sale.sale, sale.slot, sale.sold_at, sale.channel, sale.who, sale.settlement, sale.reference, sale.account, sale.people,
                sale.total_cents, sale.refunded_cents, sale.cancelled, sale.admitted, sale.carried_cents, sale.moved, coalesce(bought.quote, '')
            FROM sale LEFT JOIN sale AS bought ON bought.sale = sale.origin LEFT JOIN quote ON quote.quote = bought.quote
            WHERE (?1 IS NULL OR sale.museum IN (SELECT value FROM json_each(?1))) AND (?2 IS NULL OR sale.slot = ?2)
            AND (?3 IS NULL OR sale.reference = ?3)
            AND (?4 IS NULL OR sale.who = ?4 OR quote.account = ?7 OR (bought.settlement = 'on_account' AND bought.account = ?7))
            AND sale.sale > ?5 ORDER BY sale.sale LIMIT ?6";
        let museums = filter.museums.as_ref().map(json);
        let rows = sqlx::query(QUERY)
            .bind(museums)
            .bind(filter.slot.map(|slot| slot.to_string()))
            .bind(filter.reference.clone())
            .bind(filter.who.clone())
            .bind(filter.after.map(|after| after.to_string()).unwrap_or_default())
            .bind(i64::from(limit))
            .bind(filter.account.map(|account| account.to_string()))
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
            FROM ticket WHERE slot = ? AND ticket > ? ORDER BY ticket LIMIT ?";
        let rows = sqlx::query(QUERY).bind(slot.to_string()).bind(after).bind(i64::from(limit)).fetch_all(&self.pool).await?;
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

    /// The place of snapshots in this file, and the task that writes them.
    pub fn snapshots(&self) -> (Snapshots, impl Future<Output = ()> + Send + 'static) {
        let (waiting, mut arriving) = mpsc::channel::<(StreamId, Slot)>(SNAPSHOTS_WAITING);
        let pool = self.pool.clone();
        let writing = async move {
            while let Some((stream, slot)) = arriving.recv().await {
                if let Err(error) = save_snapshot(&pool, stream, &slot).await {
                    tracing::warn!(%error, %stream, "a snapshot was not saved");
                }
            }
        };
        (Snapshots { pool: self.pool.clone(), waiting }, writing)
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
            let options = views.pool.connect_options().as_ref().clone();
            let pool = crate::sqlite::pool().max_connections(1).connect_lazy_with(options);
            let views = Self { pool, ..views };
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
                        tokio::time::sleep((begun.elapsed() * REST).min(REST_MAX)).await;
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

    /// Takes in some batches, if there are any up to `end`.
    async fn take_in(&self, journal: &dyn Journal, end: u64) -> Result<(), ViewsError> {
        let position = self.as_of_batch();
        if position >= end {
            return Ok(());
        }
        let batches = batches_after(journal, position, ROUND).await?;
        let mut rows = Rows::default();
        for batch in &batches {
            rows.read(batch)?;
        }
        if let Some(last) = batches.last() {
            rows.write(&self.pool, last).await?;
            self.rows_sender.send_replace(last.number);
        }
        Ok(())
    }
}

async fn move_on(connection: &mut SqliteConnection, name: &str, batch: u64, hash: &[u8; 32]) -> Result<(), sqlx::Error> {
    let update = sqlx::query("UPDATE position SET batch = ?, hash = ? WHERE name = ?").bind(stored(batch)).bind(&hash[..]).bind(name);
    update.execute(connection).await.map(drop)
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

async fn save_snapshot(pool: &SqlitePool, stream: StreamId, slot: &Slot) -> Result<(), sqlx::Error> {
    let Ok(state) = postcard::to_allocvec(slot) else { return Ok(()) };
    sqlx::query(
        "INSERT INTO snapshot (stream, seq, crc, state) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (stream) DO UPDATE SET seq = ?2, crc = ?3, state = ?4",
    )
    .bind(stream.to_bytes())
    .bind(stored(slot.seq()))
    .bind(i64::from(crc32c::crc32c(&state)))
    .bind(state)
    .execute(pool)
    .await?;
    Ok(())
}

impl Snapshots {
    /// Queues a snapshot; when too many wait it is left out.
    pub fn save(&self, stream: StreamId, slot: Slot) {
        let _ = self.waiting.try_send((stream, slot));
    }

    /// The snapshot of a slot, if there is a sound one.
    pub async fn load(&self, stream: StreamId) -> Option<Slot> {
        let row = sqlx::query("SELECT crc, state FROM snapshot WHERE stream = ?").bind(stream.to_bytes()).fetch_optional(&self.pool).await.ok()??;
        let (crc, state): (i64, Vec<u8>) = (row.try_get(0).ok()?, row.try_get(1).ok()?);
        if crc != i64::from(crc32c::crc32c(&state)) {
            tracing::warn!(%stream, "a snapshot is damaged; the stream is replayed from the journal");
            return None;
        }
        postcard::from_bytes(&state).ok()
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
    async fn write(&self, pool: &SqlitePool, last: &Batch) -> Result<(), sqlx::Error> {
        const SALES: &str = "INSERT INTO sale
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9,
                value ->> 10, value ->> 11, 0, 0, 0, 0, 0, '',
                coalesce((SELECT bought.origin FROM sale AS bought WHERE bought.sale = value ->> 12), value ->> 12) FROM json_each(?)";
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
    use super::*;

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
