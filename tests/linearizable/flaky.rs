//! A journal that fails now and then, while it is let: it is full, or nobody knows whether a batch was written, and it is gone for a while.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tornello_actors::journal::file::FileJournal;
use tornello_actors::journal::{Batch, Head, Journal, JournalError, StreamId};

use super::Dice;

/// When it fails: outlives the journal of a server that is started again.
pub struct Faults {
    dice: Mutex<Dice>,
    pub may_fail: AtomicBool,
    /// How often it failed.
    pub failed: AtomicU64,
    /// How often it will still say that it is not back.
    pub away: AtomicU64,
}

impl Faults {
    pub fn new(dice: Dice) -> Self {
        Self { dice: Mutex::new(dice), may_fail: AtomicBool::new(false), failed: AtomicU64::new(0), away: AtomicU64::new(0) }
    }

    fn below(&self, n: u64) -> u64 {
        self.dice.lock().unwrap().below(n)
    }

    /// A journal that fails so.
    pub fn over(self: Arc<Self>, journal: FileJournal) -> Arc<dyn Journal> {
        Arc::new(Flaky { journal, faults: self, written: Mutex::default() })
    }
}

struct Flaky {
    journal: FileJournal,
    faults: Arc<Faults>,
    /// A batch that was written, as will be found when the journal is back.
    written: Mutex<Option<Batch>>,
}

fn lost() -> JournalError {
    JournalError::Unreachable("input/output error".into())
}

impl Flaky {
    async fn append(&self, batch: &Batch) -> Result<(), JournalError> {
        let fate = if self.faults.may_fail.load(Ordering::SeqCst) { self.faults.below(100) } else { 100 };
        if fate < 8 {
            self.faults.failed.fetch_add(1, Ordering::SeqCst);
            self.faults.away.store(self.faults.below(6), Ordering::SeqCst);
        }
        match fate {
            0..4 => Err(JournalError::Full("no space left on device".into())),
            4..6 => Err(lost()),
            // Whoever reads sees it at once, though nobody has said that it is written.
            6 => self.journal.append(batch).await.and_then(|()| Err(lost())),
            7 => {
                *self.written.lock().unwrap() = Some(batch.clone());
                Err(lost())
            }
            _ => self.journal.append(batch).await,
        }
    }

    async fn recover(&self) -> Result<Head, JournalError> {
        let away = self.faults.away.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |away| away.checked_sub(1));
        if away.is_ok() {
            return Err(lost());
        }
        let written = self.written.lock().unwrap().take();
        if let Some(batch) = written {
            self.journal.append(&batch).await?;
        }
        self.journal.recover().await
    }
}

impl Journal for Flaky {
    fn append<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), JournalError>> {
        self.append(batch).boxed()
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, JournalError>> {
        self.journal.head()
    }

    fn batches(&self, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>> {
        self.journal.batches(after, limit)
    }

    fn batches_of(&self, stream: StreamId, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>> {
        self.journal.batches_of(stream, after, limit)
    }

    fn batch_with(&self, stream: StreamId, seq: u64) -> BoxFuture<'_, Result<Option<Batch>, JournalError>> {
        self.journal.batch_with(stream, seq)
    }

    fn cut_last(&self, number: u64) -> BoxFuture<'_, Result<(), JournalError>> {
        self.journal.cut_last(number)
    }

    fn recover(&self) -> BoxFuture<'_, Result<Head, JournalError>> {
        self.recover().boxed()
    }
}
