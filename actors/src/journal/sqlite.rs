//! The journal in one SQLite file: a row for each batch, and an index of the streams that it touches. WAL with `synchronous=FULL`, so that a commit is on the
//! disk before anybody is answered. The unique key of (stream, first record) is the fence that makes a second owner of a stream harmless.
//!
//! A batch is one statement: each statement costs a trip to SQLite's thread, which measured dearer than the flush. So the batch brings its index entries as a
//! JSON array, and a trigger files them.

use std::path::Path;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use tokio::sync::Mutex;
use tornello_engine::time::Timestamp;

use super::{Batch, Head, Journal, JournalError, Span, StreamId};

const FORMAT: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS batch (
        number INTEGER PRIMARY KEY,
        previous BLOB NOT NULL,
        hash BLOB NOT NULL,
        at INTEGER NOT NULL,
        spans TEXT NOT NULL,
        records BLOB NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS span (
        stream BLOB NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        batch INTEGER NOT NULL,
        PRIMARY KEY (stream, first)
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER IF NOT EXISTS file_spans AFTER INSERT ON batch BEGIN
        INSERT INTO span (stream, first, last, batch)
        SELECT unhex(value ->> 0), value ->> 1, value ->> 2, NEW.number FROM json_each(NEW.spans);
    END;
    PRAGMA user_version = 1;";

/// SQLite as a journal.
#[derive(Debug)]
pub struct SqliteJournal {
    options: SqliteConnectOptions,
    /// The one connection that writes; none after a failure, until [`Journal::recover`] opens a new one.
    writer: Mutex<Option<SqliteConnection>>,
    readers: SqlitePool,
}

impl SqliteJournal {
    /// Opens the journal, or makes a new one. Run inside a tokio runtime.
    pub async fn open(path: &Path) -> Result<Self, JournalError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5))
            .statement_cache_capacity(32);
        let mut writer = connect(&options).await?;
        let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut writer).await.map_err(unreachable)?;
        match version {
            0 => {
                sqlx::raw_sql(SCHEMA).execute(&mut writer).await.map_err(unreachable)?;
            }
            FORMAT => {}
            other => return Err(JournalError::Unreachable(format!("{} has format {other}; this program reads format {FORMAT}", path.display()))),
        }
        let readers = SqlitePoolOptions::new().max_connections(4).connect_lazy_with(options.clone().read_only(true).create_if_missing(false));
        Ok(Self { options, writer: Mutex::new(Some(writer)), readers })
    }

    /// Closes all connections, so that the write-ahead log is folded into the file.
    pub async fn close(&self) {
        self.readers.close().await;
        if let Some(writer) = self.writer.lock().await.take() {
            let _ = sqlx::Connection::close(writer).await;
        }
    }

    /// How the writing connection keeps its word: its journal mode and its level of `synchronous`.
    pub async fn durability(&self) -> (String, i64) {
        let mut slot = self.writer.lock().await;
        let Some(writer) = slot.as_mut() else { return Default::default() };
        let mode = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *writer).await.unwrap_or_default();
        (mode, sqlx::query_scalar("PRAGMA synchronous").fetch_one(writer).await.unwrap_or_default())
    }

    /// Which stream of the batch has its first record written already.
    async fn taken(&self, batch: &Batch) -> Option<StreamId> {
        for span in &batch.spans {
            let query = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM span WHERE stream = ? AND first = ?");
            if query.bind(span.stream.to_bytes()).bind(as_stored(span.first)).fetch_one(&self.readers).await.is_ok_and(|found| found > 0) {
                return Some(span.stream);
            }
        }
        None
    }

    async fn select(&self, query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>) -> Result<Vec<Batch>, JournalError> {
        let rows = query.fetch_all(&self.readers).await.map_err(unreachable)?;
        rows.iter().map(read_batch).collect()
    }
}

async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, JournalError> {
    sqlx::ConnectOptions::connect(options).await.map_err(unreachable)
}

#[allow(clippy::needless_pass_by_value, reason = "it is the shape that map_err wants")]
fn unreachable(error: sqlx::Error) -> JournalError {
    match error.as_database_error().and_then(|error| error.code()).as_deref() {
        // SQLITE_FULL; SQLITE_IOERR_FSYNC and SQLITE_IOERR_DIR_FSYNC.
        Some("13") => JournalError::Full(error.to_string()),
        Some("1034" | "1290") => JournalError::FlushFailed(error.to_string()),
        _ => JournalError::Unreachable(error.to_string()),
    }
}

/// SQLite's integers are signed; records and batches are numbered far below that.
fn as_stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The index of a batch: `[["stream in hex", first, last], ...]`.
fn spans_json(spans: &[Span]) -> String {
    let hex = |stream: StreamId| stream.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let entries: Vec<(String, u64, u64)> = spans.iter().map(|span| (hex(span.stream), span.first, span.last)).collect();
    // Text and numbers in memory can always be written.
    serde_json::to_string(&entries).unwrap_or_default()
}

fn read_spans(text: &str) -> Option<Vec<Span>> {
    let entries: Vec<(String, u64, u64)> = serde_json::from_str(text).ok()?;
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let span = |(hex, first, last): (String, u64, u64)| {
        let bytes: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(byte).collect();
        Some(Span { stream: StreamId::from_bytes(&bytes?)?, first, last })
    };
    entries.into_iter().map(span).collect()
}

/// A stored batch, with its hash compared to the stored one, so that any changed byte is found.
fn read_batch(row: &SqliteRow) -> Result<Batch, JournalError> {
    let number: i64 = row.try_get(0).map_err(unreachable)?;
    let batch = number.unsigned_abs();
    let corrupt = |what: &str| JournalError::Corrupt { batch, what: what.to_owned() };
    let column = |_| corrupt("a column has another type");
    let fixed = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).map_err(|_| corrupt("a hash has another length"));
    let previous = fixed(row.try_get(1).map_err(column)?)?;
    let hash = fixed(row.try_get(2).map_err(column)?)?;
    let at = Timestamp::from_micros(row.try_get(3).map_err(column)?);
    let spans = read_spans(row.try_get(4).map_err(column)?).ok_or_else(|| corrupt("its index cannot be read"))?;
    let records: Vec<u8> = row.try_get(5).map_err(column)?;
    let read = Batch { number: batch, previous, at, records, spans };
    if read.hash() == hash { Ok(read) } else { Err(corrupt("its hash is not the stored one")) }
}

impl Journal for SqliteJournal {
    fn append<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            let mut slot = self.writer.lock().await;
            let writer = slot.as_mut().ok_or_else(|| JournalError::Unreachable("a write failed before; not recovered yet".into()))?;
            let insert = sqlx::query("INSERT INTO batch (number, previous, hash, at, spans, records) VALUES (?, ?, ?, ?, ?, ?)")
                .bind(as_stored(batch.number))
                .bind(&batch.previous[..])
                .bind(batch.hash().to_vec())
                .bind(batch.at.as_micros())
                .bind(spans_json(&batch.spans))
                .bind(&batch.records[..]);
            let Err(error) = insert.execute(writer).await else { return Ok(()) };
            // After a failed write the connection is not used again: what the kernel did with its pages is unknown.
            *slot = None;
            drop(slot);
            if error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
                && let Some(stream) = self.taken(batch).await
            {
                return Err(JournalError::Conflict(stream));
            }
            Err(unreachable(error))
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, JournalError>> {
        Box::pin(async move {
            let query = sqlx::query("SELECT number, hash, at FROM batch ORDER BY number DESC LIMIT 1");
            let Some(row) = query.fetch_optional(&self.readers).await.map_err(unreachable)? else { return Ok(Head::EMPTY) };
            let number = row.try_get::<i64, _>(0).map_err(unreachable)?.unsigned_abs();
            let hash = row.try_get::<Vec<u8>, _>(1).map_err(unreachable)?;
            let hash = hash.try_into().map_err(|_| JournalError::Corrupt { batch: number, what: "its hash has another length".into() })?;
            Ok(Head { number, hash, at: Timestamp::from_micros(row.try_get(2).map_err(unreachable)?) })
        })
    }

    fn batches(&self, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>> {
        const QUERY: &str = "SELECT number, previous, hash, at, spans, records FROM batch WHERE number > ? ORDER BY number LIMIT ?";
        Box::pin(self.select(sqlx::query(QUERY).bind(as_stored(after)).bind(i64::from(limit))))
    }

    fn batches_of(&self, stream: StreamId, after: u64) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>> {
        const QUERY: &str = "SELECT b.number, b.previous, b.hash, b.at, b.spans, b.records FROM span s JOIN batch b ON b.number = s.batch
             WHERE s.stream = ? AND s.last > ? ORDER BY s.first";
        Box::pin(self.select(sqlx::query(QUERY).bind(stream.to_bytes()).bind(as_stored(after))))
    }

    fn batch_with(&self, stream: StreamId, seq: u64) -> BoxFuture<'_, Result<Option<Batch>, JournalError>> {
        const QUERY: &str = "SELECT b.number, b.previous, b.hash, b.at, b.spans, b.records FROM span s JOIN batch b ON b.number = s.batch
             WHERE s.stream = ? AND s.first <= ? AND s.last >= ?";
        let query = sqlx::query(QUERY).bind(stream.to_bytes()).bind(as_stored(seq)).bind(as_stored(seq));
        Box::pin(async move { Ok(self.select(query).await?.pop()) })
    }

    fn indexed(&self) -> BoxFuture<'_, Result<(u64, u64), JournalError>> {
        Box::pin(async move {
            let query = sqlx::query("SELECT count(*), coalesce(sum(last - first + 1), 0) FROM span");
            let row = query.fetch_one(&self.readers).await.map_err(unreachable)?;
            let figure = |index| row.try_get::<i64, _>(index).map(i64::unsigned_abs).map_err(unreachable);
            Ok((figure(0)?, figure(1)?))
        })
    }

    fn reindex(&self) -> BoxFuture<'_, Result<(), JournalError>> {
        const FILE: &str = "INSERT INTO span (stream, first, last, batch)
            SELECT unhex(value ->> 0), value ->> 1, value ->> 2, number FROM batch, json_each(batch.spans)";
        Box::pin(async move {
            let mut slot = self.writer.lock().await;
            let writer = slot.as_mut().ok_or_else(|| JournalError::Unreachable("a write failed before; not recovered yet".into()))?;
            let mut tx = sqlx::Connection::begin(writer).await.map_err(unreachable)?;
            sqlx::query("DELETE FROM span").execute(&mut *tx).await.map_err(unreachable)?;
            sqlx::query(FILE).execute(&mut *tx).await.map_err(unreachable)?;
            tx.commit().await.map_err(unreachable)
        })
    }

    fn cut_last(&self, number: u64) -> BoxFuture<'_, Result<(), JournalError>> {
        const CUT: &str = "DELETE FROM batch WHERE number = (SELECT max(number) FROM batch) AND number = ?";
        Box::pin(async move {
            let mut slot = self.writer.lock().await;
            let writer = slot.as_mut().ok_or_else(|| JournalError::Unreachable("a write failed before; not recovered yet".into()))?;
            let mut tx = sqlx::Connection::begin(writer).await.map_err(unreachable)?;
            let cut = sqlx::query(CUT).bind(as_stored(number)).execute(&mut *tx).await.map_err(unreachable)?;
            if cut.rows_affected() == 1 {
                sqlx::query("DELETE FROM span WHERE batch = ?").bind(as_stored(number)).execute(&mut *tx).await.map_err(unreachable)?;
            }
            tx.commit().await.map_err(unreachable)
        })
    }

    fn recover(&self) -> BoxFuture<'_, Result<Head, JournalError>> {
        Box::pin(async move {
            let mut writer = self.writer.lock().await;
            if writer.is_none() {
                *writer = Some(connect(&self.options).await?);
            }
            drop(writer);
            self.head().await
        })
    }
}
