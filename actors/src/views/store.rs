//! The file of the read models, for its readers and its one writer. Whichever of them meets damage takes note of it twice: on the disk, so that the next start makes another
//! file, and here, so that the thread that follows the journal puts another one in its place at once. Meanwhile readers are refused, or answered from what is built again so far,
//! as after a start without a file.

use std::sync::Arc;

use parking_lot::RwLock;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tokio::sync::watch;

use super::boot::Stamp;
use super::pace::{Pace, STEPS};
use super::{READERS, SNAPSHOT_CONNECTIONS, ViewsError};
use crate::secret_file;
use crate::sqlite;

/// What is thought of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doubt {
    /// Nothing speaks against it.
    None,
    /// A query did not fit its tables: whether these are as they were made is to be looked at, as it may be the query that is wrong.
    Misfit,
    /// It is damaged.
    Damage,
}

/// The file, as whoever asks of it has it.
#[derive(Debug, Clone)]
pub(super) struct Store {
    /// Of those who ask.
    pool: Arc<RwLock<SqlitePool>>,
    /// Of snapshots.
    snapshots: Arc<RwLock<SqlitePool>>,
    /// Of the one who writes, if it has its own.
    own: Option<Own>,
    stamp: Stamp,
    doubt: Arc<watch::Sender<Doubt>>,
}

/// The connection of one who writes, and at which pace it works.
#[derive(Debug, Clone)]
struct Own {
    pool: Arc<RwLock<SqlitePool>>,
    pace: Pace,
}

impl Store {
    pub(super) fn new(pool: SqlitePool, stamp: Stamp) -> Self {
        let snapshots = Arc::new(RwLock::new(of_snapshots(&pool)));
        Self { pool: Arc::new(RwLock::new(pool)), snapshots, own: None, stamp, doubt: Arc::new(watch::Sender::new(Doubt::None)) }
    }

    /// The same file for one who writes at this pace, with a connection of these options.
    pub(super) fn written_by(&self, options: SqliteConnectOptions, pace: Pace) -> Self {
        let pool = Arc::new(RwLock::new(alone(options, pace.clone())));
        Self { own: Some(Own { pool, pace }), ..self.clone() }
    }

    /// The connections of those who ask.
    pub(super) fn pool(&self) -> SqlitePool {
        self.pool.read().clone()
    }

    /// The connections of those who write and read snapshots.
    pub(super) fn snapshots(&self) -> SqlitePool {
        self.snapshots.read().clone()
    }

    /// The connection of the one who writes.
    pub(super) fn writer(&self) -> SqlitePool {
        self.own.as_ref().map_or_else(|| self.pool(), |own| own.pool.read().clone())
    }

    pub(super) const fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// What is thought of the file, from now on.
    pub(super) fn doubts(&self) -> watch::Receiver<Doubt> {
        self.doubt.subscribe()
    }

    /// Takes note of an error if it speaks against the file; answers the error.
    pub(super) fn noted(&self, error: ViewsError) -> ViewsError {
        let is = |kind: fn(&sqlx::Error) -> bool| matches!(&error, ViewsError::Store(error) if kind(error));
        if is(sqlite::is_read_only) {
            // A file that says so may be damaged; but a disk that is to be read only now leaves no room for another one.
            self.distrust();
        } else if error.is_damage() {
            if self.think(Doubt::Damage) {
                self.distrust();
            }
        } else if is(sqlite::is_misfit) {
            self.think(Doubt::Misfit);
        }
        error
    }

    /// The query was wrong, and not the file.
    pub(super) fn trust(&self) {
        self.doubt.send_if_modified(|doubt| {
            let is_misfit = *doubt == Doubt::Misfit;
            if is_misfit {
                *doubt = Doubt::None;
            }
            is_misfit
        });
    }

    /// Notes beside the file that it is damaged: another one takes its place, at the next start at the latest.
    fn distrust(&self) {
        match self.stamp.distrust() {
            Ok(()) => tracing::error!("views.db is damaged: it is built again from the journal"),
            Err(error) => {
                tracing::error!(%error, "views.db may be damaged, which cannot be noted: run `tornello views rebuild` when the disk is in order");
            }
        }
    }

    /// Thinks no better of the file than that; answers whether that is news.
    fn think(&self, least: Doubt) -> bool {
        self.doubt.send_if_modified(|doubt| {
            let is_news = *doubt < least;
            *doubt = (*doubt).max(least);
            is_news
        })
    }

    /// Puts an empty file, without tables, in the place of this one. Waits until nobody reads any more; readers that come meanwhile are refused. Readers open their connections
    /// themselves, because a connection works on a thread that yields to others as much as the one that opened it.
    ///
    /// # Errors
    /// Those of the disk; nothing can be asked then until it is tried again.
    pub(super) async fn replace(&self) -> Result<(), ViewsError> {
        let (readers, snapshots, writer) = (self.pool(), self.snapshots(), self.writer());
        readers.close().await;
        snapshots.close().await;
        writer.close().await;
        self.stamp.remove().map_err(sqlx::Error::Io)?;
        self.stamp.begin().map_err(sqlx::Error::Io)?;
        secret_file::ensure_private(self.stamp.views()).map_err(|error| sqlx::Error::Io(error.into()))?;
        let options = |pool: &SqlitePool| pool.connect_options().as_ref().clone();
        if let Some(own) = &self.own {
            *own.pool.write() = alone(options(&writer), own.pace.clone());
        }
        *self.snapshots.write() = of_snapshots(&readers);
        *self.pool.write() = sqlite::pool().max_connections(READERS).connect_lazy_with(options(&readers));
        Ok(())
    }

    /// The file is another one, with all its tables.
    pub(super) fn begin_anew(&self) {
        self.doubt.send_replace(Doubt::None);
    }
}

/// A pool for snapshots of the file that those of `readers` ask of. Whoever reads a stream back, as a slot at whose gate somebody stands, waits behind nobody who asks for a list.
fn of_snapshots(readers: &SqlitePool) -> SqlitePool {
    sqlite::pool().max_connections(SNAPSHOT_CONNECTIONS).connect_lazy_with(readers.connect_options().as_ref().clone())
}

/// A pool of one connection, which is opened when it is needed, and works at this pace.
fn alone(options: SqliteConnectOptions, pace: Pace) -> SqlitePool {
    let paced = sqlite::pool().max_connections(1).after_connect(move |connection, _| {
        let mut turns = pace.turns();
        Box::pin(async move {
            connection.lock_handle().await?.set_progress_handler(STEPS, move || turns.go_on());
            Ok(())
        })
    });
    paced.connect_lazy_with(options)
}
