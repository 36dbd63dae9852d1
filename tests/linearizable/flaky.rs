//! A journal that fails now and then, while it is let: it is full, or nobody knows whether a batch was written, and it is gone for a while.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tornello_actors::journal::file::FileJournal;
use tornello_actors::journal::{Batch, Head, Journal, JournalError, StreamId};

use super::Dice;

pub struct Flaky {
    journal: FileJournal,
    dice: Mutex<Dice>,
    pub fails: AtomicBool,
    /// How often it failed.
    pub failed: AtomicU64,
    /// How often it will still say that it is not back.
    away: AtomicU64,
}

impl Flaky {
    pub fn new(journal: FileJournal, dice: Dice) -> Self {
        Self { journal, dice: Mutex::new(dice), fails: AtomicBool::new(false), failed: AtomicU64::new(0), away: AtomicU64::new(0) }
    }

    fn below(&self, n: u64) -> u64 {
        self.dice.lock().unwrap().below(n)
    }

    async fn append(&self, batch: &Batch) -> Result<(), JournalError> {
        let fate = if self.fails.load(Ordering::SeqCst) { self.below(100) } else { 100 };
        if fate < 8 {
            self.failed.fetch_add(1, Ordering::SeqCst);
            self.away.store(self.below(6), Ordering::SeqCst);
        }
        let lost = || JournalError::Unreachable("input/output error".into());
        match fate {
            0..4 => Err(JournalError::Full("no space left on device".into())),
            4..6 => Err(lost()),
            6..8 => self.journal.append(batch).await.and_then(|()| Err(lost())),
            _ => self.journal.append(batch).await,
        }
    }

    async fn recover(&self) -> Result<Head, JournalError> {
        let away = self.away.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |away| away.checked_sub(1));
        if away.is_ok() { Err(JournalError::Unreachable("input/output error".into())) } else { self.journal.recover().await }
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
