//! Snapshots of streams: states after so many records, so that a stream is read back without all of its records. Who keeps a stream makes them, one writer puts
//! them on the disk; one that is lost or damaged costs a longer replay and nothing else.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqlitePool;
use tokio::sync::mpsc;
use tornello_engine::aggregate::Aggregate;

use super::{Store, Views, ViewsError, crc_of, know, stored};
use crate::journal::{Journal, StreamId};

/// How many snapshots wait to be written; more are left out, which costs a longer replay and nothing else.
const SNAPSHOTS_WAITING: usize = 1_024;

/// Snapshots of streams: a shorter replay, never the truth.
#[derive(Debug, Clone)]
pub struct Snapshots {
    store: Store,
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
    store: Store,
    arriving: mpsc::Receiver<Snapshot>,
}

impl Views {
    /// The place of snapshots in this file, and who writes them.
    #[must_use]
    pub fn snapshots(&self) -> (Snapshots, SnapshotWriter) {
        let (waiting, arriving) = mpsc::channel(SNAPSHOTS_WAITING);
        (Snapshots { store: self.store.clone(), under_way: Arc::default(), waiting }, SnapshotWriter { store: self.store.clone(), arriving })
    }
}

impl SnapshotWriter {
    /// Writes what comes, until nobody is left who may make a snapshot. `journal` is where all that they know stands.
    pub async fn run(self, journal: Arc<dyn Journal>) {
        let Self { store, mut arriving } = self;
        while let Some(snapshot) = arriving.recv().await {
            if let Err(error) = save_snapshot(&store.snapshots(), &snapshot, journal.as_ref()).await {
                let error = store.noted(error);
                tracing::warn!(%error, stream = %snapshot.turn.stream, "a snapshot was not saved");
            }
        }
    }
}

/// The snapshot and the end of its journal in one transaction: another journal is told by it. The end as the journal itself has it: a stream may be retired, or read back,
/// before the writer has told everybody of its last batch.
async fn save_snapshot(pool: &SqlitePool, snapshot: &Snapshot, journal: &dyn Journal) -> Result<(), ViewsError> {
    let known = journal.head().await?;
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(
        "INSERT INTO snapshot (stream, seq, crc, state) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (stream) DO UPDATE SET seq = ?2, crc = ?3, state = ?4",
    )
    .bind(snapshot.turn.stream.to_bytes())
    .bind(stored(snapshot.seq))
    .bind(crc_of(&[&snapshot.turn.stream.to_bytes(), &snapshot.state]))
    .bind(snapshot.state.as_slice())
    .execute(&mut *tx)
    .await?;
    know(&mut tx, &known).await?;
    Ok(tx.commit().await?)
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
        let row = query.fetch_optional(&self.store.snapshots()).await.map_err(|error| self.store.noted(error.into())).ok()??;
        let (seq, crc, state): (i64, i64, Vec<u8>) = (row.try_get(0).ok()?, row.try_get(1).ok()?, row.try_get(2).ok()?);
        let sound = (crc == crc_of(&[&stream.to_bytes(), &state])).then(|| postcard::from_bytes::<A>(&state).ok()).flatten();
        let sound = sound.filter(|state| stored(state.seq()) == seq);
        if sound.is_none() {
            tracing::warn!(%stream, "a snapshot is damaged; the stream is replayed from the journal");
        }
        sound
    }
}

#[cfg(test)]
mod tests {
    use tornello_engine::account::Account;
    use tornello_engine::ids::AccountId;

    use super::super::READERS;
    use super::super::follow::tests::small_batches;
    use super::*;

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
        writer.run(Arc::new(small_batches(7).await.0)).await;
        assert!(under_way.lock().is_empty());
        let (snapshots, _) = views.snapshots();
        assert_eq!((snapshots.load::<Account>(of_first).await, snapshots.load::<Account>(of_second).await), (Some(first), None));
        assert_eq!(views.position("known").await.unwrap().0, 7);
        views.close().await;
    }

    #[tokio::test]
    async fn whoever_reads_a_stream_back_waits_behind_nobody_who_asks_for_a_list() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let mut asking = Vec::new();
        for _ in 0..READERS {
            asking.push(views.pool().acquire().await.unwrap());
        }
        let account = Account::new(AccountId(1));
        let stream = StreamId::Account(account.id());
        let (snapshots, writer) = views.snapshots();
        snapshots.take(stream, &account).unwrap().keep();
        drop(snapshots);
        writer.run(Arc::new(small_batches(7).await.0)).await;
        let (snapshots, _) = views.snapshots();
        assert_eq!(snapshots.load::<Account>(stream).await, Some(account));
        drop(asking);
        views.close().await;
    }
}
