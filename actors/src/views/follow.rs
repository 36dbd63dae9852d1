//! How the read models follow the journal: in rounds, on a thread that has to wait for those that answer callers, and resting while nobody waits for the lists. What
//! some batches change is gathered first and written in one transaction with how far that goes.

use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqlitePool;
use tokio::sync::{oneshot, watch};
use tornello_engine::time::Timestamp;

use super::store::Doubt;
use super::{Views, ViewsError, fraud, move_on, payments, quotes, sales};
use crate::board::Board;
use crate::clock::Stopwatch;
use crate::journal::wire;
use crate::journal::{Batch, Head, Journal, JournalError, StreamId, batches_after};
use crate::streams::corrupt;

/// How many batches are read at once; a full one has about a megabyte.
const READ: u32 = 16;
/// After how many records a round writes what it has taken in: small batches share a round, or the lists would cost as much for each as for a full one.
const ROUND_RECORDS: u64 = 32_768;
/// While the journal grows, the lists rest so many times as long as their last round took: a rush of sales has the processor to itself, and the lists follow it.
const REST: u32 = 9;
/// The longest such rest.
const REST_MAX: Duration = Duration::from_secs(2);
/// The longer ago what they have not taken in was written, the shorter the lists rest; so long, and not at all. By time and not by batches: of quick batches, which are small,
/// thousands come in a second, and the lists would never rest just when everybody else has most to do.
const FAR_BEHIND: Duration = Duration::from_secs(20);
/// By how much the thread that follows the journal yields to others, as `nice` counts it.
const PATIENCE: i32 = 10;
/// What the connection that builds the lists may keep in memory, in KiB: in SQLite's own 2 MiB a round has no room, and each page is written and read back several
/// times before the round ends.
const BUILDER_CACHE_KIB: i32 = 65_536;
/// How long a file that took the place of a damaged one is left alone.
const RENEW_REST: Duration = Duration::from_secs(3_600);
/// How often the heads are saved.
const HEADS_EVERY: Duration = Duration::from_secs(2);

impl Views {
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
            views.store.writer().close().await;
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
        let options = self.pool().connect_options().as_ref().clone();
        let options = options.pragma("cache_size", (-BUILDER_CACHE_KIB).to_string());
        Self { store: self.store.written_by(options, self.pace.clone()), ..self.clone() }
    }

    /// Follows the journal: takes in every batch, and saves the heads now and then. Ends when the journal's writer has ended and all is taken in. A file that somebody finds to
    /// be damaged is replaced, and built again from the first batch; not more often than once an hour, as a disk that spoils whatever is written would have it built for ever, and it is left
    /// to the next start then.
    pub async fn follow(&self, journal: Arc<dyn Journal>, board: Arc<Board>, mut committed: watch::Receiver<Head>) {
        let (mut since_saved, mut since_renewed): (Option<Stopwatch>, Option<Stopwatch>) = (None, None);
        let mut doubts = self.store.doubts();
        loop {
            // Asked before where the end is: what was written until the writer ended is taken in.
            let ended = committed.has_changed().is_err();
            let end = *committed.borrow_and_update();
            if ended {
                // Who stops the node waits for this.
                self.pace.no_rush();
            }
            let may_renew = !ended && since_renewed.as_ref().is_none_or(|since| since.elapsed() >= RENEW_REST);
            let doubt = *doubts.borrow_and_update();
            if may_renew && self.is_damaged(doubt).await {
                match self.renew().await {
                    Ok(()) => {
                        tracing::warn!("another views.db is in the place of the damaged one: the lists are built again from the journal");
                        board.none_saved();
                        (since_saved, since_renewed) = (None, Some(Stopwatch::start()));
                    }
                    Err(error) => {
                        tracing::error!(%error, "no other views.db can be put in the place of the damaged one yet");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        continue;
                    }
                }
            }
            // The heads first: they need no reading of the journal, and a start without them reads all of it.
            if ended || since_saved.as_ref().is_none_or(|since| since.elapsed() >= HEADS_EVERY) {
                let heads = board.take_unsaved();
                if let Err(error) = self.save_heads(&heads, &end, journal.as_ref()).await {
                    let error = self.store.noted(error);
                    tracing::error!(%error, "the heads of the slots were not saved");
                    heads.iter().for_each(|(slot, _)| board.not_saved(*slot));
                }
                since_saved = Some(Stopwatch::start());
            }
            let begun = Stopwatch::start();
            match self.take_in(journal.as_ref(), end.number).await {
                Ok(taken_in) => {
                    let is_behind = self.as_of_batch() < end.number;
                    // Also when all is taken in that there was when the round began: in a rush rounds would follow each other without a pause, each of a few batches.
                    if committed.has_changed().is_ok_and(|changed| changed) {
                        let now = committed.borrow().at;
                        let behind_us = taken_in.map_or(0, |then| now.as_micros().saturating_sub(then.as_micros()));
                        let near = nearness(Duration::from_micros(behind_us.max(0).unsigned_abs()));
                        self.pace.rush(near);
                        self.rest(rest_after(begun.elapsed(), near)).await;
                    } else {
                        self.pace.no_rush();
                    }
                    if is_behind {
                        continue;
                    }
                }
                Err(error) => {
                    let error = self.store.noted(error);
                    tracing::error!(%error, "the read models fall behind");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            if ended {
                return;
            }
            // Heads that were published after the last commit was seen are saved when nothing happens too.
            let news = async {
                tokio::select! {
                    _ = committed.changed() => {}
                    _ = doubts.changed() => {}
                }
            };
            let _ = tokio::time::timeout(HEADS_EVERY, news).await;
        }
    }

    /// Whether the file is damaged. If a query did not fit its tables, that is looked at first: it may be the query that is wrong, and then the file is left alone.
    async fn is_damaged(&self, doubt: Doubt) -> bool {
        if doubt != Doubt::Misfit {
            return doubt == Doubt::Damage;
        }
        match self.check_form().await {
            Ok(()) => {
                tracing::error!("a query of the lists is wrong: their tables are as they were made");
                self.store.trust();
                false
            }
            Err(error) => {
                let error = self.store.noted(error);
                tracing::error!(%error, "a query did not fit the tables of the lists");
                error.is_damage()
            }
        }
    }

    /// Puts another file in the place of a damaged one, to be built from the first batch on.
    async fn renew(&self) -> Result<(), ViewsError> {
        // Whoever waits for the lists waits for the other ones.
        self.rows_sender.send_replace(0);
        self.store.replace().await?;
        self.clear().await?;
        self.store.begin_anew();
        Ok(())
    }

    /// Builds the lists up to the batch numbered `end`, which must be in the journal: for who follows it no further. Heads are left to the node that starts next.
    pub async fn build(&self, journal: &dyn Journal, end: u64) -> Result<(), ViewsError> {
        let builder = self.builder();
        let mut built = Ok(());
        while built.is_ok() && self.as_of_batch() < end {
            built = builder.take_in(journal, end).await.map(drop);
        }
        builder.store.writer().close().await;
        built
    }

    /// As [`Views::build`], and not a batch more: for who compares.
    pub(super) async fn build_just(&self, journal: &dyn Journal, end: u64) -> Result<(), ViewsError> {
        while self.as_of_batch() < end {
            self.take_in_up_to(journal, end, end).await?;
        }
        Ok(())
    }

    /// Takes in some batches, if there are any up to `end`; answers when the last of them was written.
    async fn take_in(&self, journal: &dyn Journal, end: u64) -> Result<Option<Timestamp>, ViewsError> {
        self.take_in_up_to(journal, end, u64::MAX).await
    }

    /// As [`Views::take_in`], and none after `most`.
    async fn take_in_up_to(&self, journal: &dyn Journal, end: u64, most: u64) -> Result<Option<Timestamp>, ViewsError> {
        let (mut rows, mut records, mut last) = (Rows::default(), 0, None);
        let mut position = self.as_of_batch();
        let mut turns = self.pace.turns();
        while position < end && records < ROUND_RECORDS {
            if let Some(pause) = turns.pause_due() {
                self.rest(pause).await;
                turns.begin();
            }
            let read = READ.min(u32::try_from(most - position).unwrap_or(READ));
            let mut batches = match batches_after(journal, position, read).await {
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
        if let Some(last) = &last {
            rows.look_up(journal).await?;
            rows.write(&self.store.writer(), last).await?;
            self.rows_sender.send_replace(last.number);
        }
        Ok(last.map(|last| last.at))
    }

    /// Rests until somebody waits for the lists, but not longer than `most`.
    async fn rest(&self, most: Duration) {
        let mut waiting = self.waiting.subscribe();
        let _ = tokio::time::timeout(most, waiting.wait_for(|waiting| *waiting > 0)).await;
    }
}

/// How near the end of the journal the lists are that are so far behind it: from 0 (far behind) to 1.
fn nearness(behind: Duration) -> f64 {
    FAR_BEHIND.saturating_sub(behind).div_duration_f64(FAR_BEHIND)
}

/// How long the lists rest after a round that took so long, so near the end of the journal.
fn rest_after(took: Duration, near: f64) -> Duration {
    (took * REST).min(REST_MAX).mul_f64(near)
}

/// What some batches change in the lists, gathered so that each table needs one statement.
#[derive(Debug, Default)]
pub(super) struct Rows {
    sales: sales::Rows,
    payments: payments::Rows,
    quotes: quotes::Rows,
    fraud: fraud::Rows,
}

impl Rows {
    pub(super) fn read(&mut self, batch: &Batch) -> Result<(), JournalError> {
        self.payments.begin(batch.number);
        for frame in wire::frames(&batch.records) {
            let frame = frame.map_err(|error| corrupt(batch, &error))?;
            match frame.stream {
                StreamId::Slot(_) => {
                    let record = frame.record().map_err(|error| corrupt(batch, &error))?;
                    self.sales.slot(&record, &mut self.payments);
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

    /// Looks up in the journal what stands in other batches and not in the lists.
    async fn look_up(&mut self, journal: &dyn Journal) -> Result<(), JournalError> {
        self.fraud.find_sales(journal).await
    }

    /// Everything and the new position in one transaction, so that nothing is taken in twice.
    pub(super) async fn write(self, pool: &SqlitePool, last: &Batch) -> Result<(), sqlx::Error> {
        let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
        // Asked before tickets move on: where somebody was when a gate refused them.
        let elsewhere = self.fraud.elsewhere(&mut tx).await?;
        // Before the sales that are made of them, which bear the reference of the desk that took the money.
        self.payments.write(&mut tx).await?;
        self.sales.write(&mut tx).await?;
        self.quotes.write(&mut tx).await?;
        self.fraud.write(&mut tx, &elsewhere).await?;
        move_on(&mut tx, "rows", last.number, &last.hash()).await?;
        tx.commit().await
    }
}

#[cfg(test)]
pub(super) mod tests {
    use futures_util::future::BoxFuture;
    use tornello_engine::account::Account;
    use tornello_engine::ids::{AccountId, MuseumId};

    use super::*;
    use crate::journal::Span;
    use crate::journal::memory::MemoryJournal;
    use crate::views::SaleFilter;

    /// Batches in which nothing is that the lists show, each of one record.
    pub(in crate::views) async fn small_batches(count: u64) -> (MemoryJournal, Head) {
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
    async fn sqlite_works_its_log_in_by_one_number_whoever_writes() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let builder = views.builder();
        for pool in [&views.pool(), &builder.store.writer()] {
            let pages: i64 = sqlx::query_scalar("PRAGMA wal_autocheckpoint").fetch_one(pool).await.unwrap();
            assert_eq!(pages, i64::from(crate::views::LOG_PAGES));
        }
        builder.store.writer().close().await;
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
            (ms(10), Duration::ZERO, ms(90)),
            (ms(10), FAR_BEHIND / 2, ms(45)),
            (ms(10), FAR_BEHIND, Duration::ZERO),
            (ms(10), Duration::MAX, Duration::ZERO),
            (ms(5_000), Duration::ZERO, REST_MAX),
        ];
        for (took, behind, rest) in cases {
            assert_eq!(rest_after(took, nearness(behind)), rest, "{took:?}, {behind:?} behind");
        }
    }

    /// A journal to which somebody has written whenever it is read.
    struct Growing {
        inner: MemoryJournal,
        committed: watch::Sender<Head>,
        end: Head,
    }

    impl Journal for Growing {
        fn append<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), JournalError>> {
            self.inner.append(batch)
        }
        fn head(&self) -> BoxFuture<'_, Result<Head, JournalError>> {
            self.inner.head()
        }
        fn batches(&self, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>> {
            self.committed.send_replace(self.end);
            self.inner.batches(after, limit)
        }
        fn batches_of(&self, stream: StreamId, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>> {
            self.inner.batches_of(stream, after, limit)
        }
        fn batch_with(&self, stream: StreamId, seq: u64) -> BoxFuture<'_, Result<Option<Batch>, JournalError>> {
            self.inner.batch_with(stream, seq)
        }
        fn cut_last(&self, number: u64) -> BoxFuture<'_, Result<(), JournalError>> {
            self.inner.cut_last(number)
        }
        fn recover(&self) -> BoxFuture<'_, Result<Head, JournalError>> {
            self.inner.recover()
        }
    }

    #[tokio::test]
    async fn the_lists_rest_while_the_journal_grows_also_when_they_have_all_that_there_was() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let (inner, end) = small_batches(5).await;
        let third = inner.batches(2, 1).await.unwrap().remove(0);
        let (committed, heard) = watch::channel(Head { number: 3, hash: third.hash(), at: third.at });
        let journal = Arc::new(Growing { inner, committed, end });
        let rest = async {
            // Only who rests listens to whether somebody waits.
            while views.waiting.receiver_count() == 0 {
                tokio::task::yield_now().await;
            }
            views.as_of_batch()
        };
        let rested_at = tokio::time::timeout(Duration::from_secs(5), async {
            // In this order, so that no rest is too short to be seen.
            tokio::select! {
                biased;
                () = views.follow(journal, Arc::default(), heard) => None,
                at = rest => Some(at),
            }
        });
        assert_eq!(rested_at.await.expect("they rest"), Some(5));
        views.close().await;
    }

    /// A row that no journal wrote, and how many of these there are.
    const STRANGER: &str = "INSERT INTO refused VALUES ('sale', 1, 'ticket', 'reason', 1, 'gate')";
    const STRANGERS: &str = "SELECT count(*) FROM refused";

    #[tokio::test]
    async fn a_file_that_a_reader_finds_damaged_is_built_again_while_the_node_runs() {
        use std::os::unix::fs::FileExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("views.db");
        let views = Views::open(&path).await.unwrap();
        let (journal, head) = small_batches(5).await;
        let (committed, heard) = watch::channel(head);
        let sales = async || views.sales(&SaleFilter::default(), 10).await;
        let reader = async {
            views.reach(5).await;
            sqlx::query(STRANGER).execute(&views.pool()).await.unwrap();
            let root: i64 = sqlx::query_scalar("SELECT rootpage FROM sqlite_schema WHERE name = 'sale'").fetch_one(&views.pool()).await.unwrap();
            let page: i64 = sqlx::query_scalar("PRAGMA page_size").fetch_one(&views.pool()).await.unwrap();
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_all(&views.pool()).await.unwrap();
            // The table of sales is gone from the disk. Connections that have read it answer from memory, so a new one is asked.
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all_at(&vec![0; page as usize], ((root - 1) * page) as u64).unwrap();
            let mut held = Vec::new();
            while let Some(connection) = views.pool().try_acquire() {
                held.push(connection);
            }
            let error = sales().await.unwrap_err();
            assert!(error.is_damage(), "{error}");
            drop(held);
            views.store.doubts().wait_for(|doubt| *doubt == Doubt::None).await.unwrap();
            views.reach(5).await;
            let strangers: i64 = sqlx::query_scalar(STRANGERS).fetch_one(&views.pool()).await.unwrap();
            assert_eq!((sales().await.unwrap(), strangers), (vec![], 0), "it is another file");
            drop(committed);
        };
        let both = async { tokio::join!(views.follow(Arc::new(journal), Arc::default(), heard), reader) };
        tokio::time::timeout(Duration::from_secs(60), both).await.expect("it is built again");
        views.close().await;
        let again = Views::open(&path).await.unwrap();
        assert_eq!(again.as_of_batch(), 5, "and believed at the next start");
        again.close().await;
    }

    #[tokio::test]
    async fn a_query_that_is_wrong_costs_no_file_and_tables_that_are_not_as_they_were_made_do() {
        const FLIPPED: &str = "PRAGMA writable_schema = ON;
            UPDATE sqlite_schema SET sql = replace(sql, 'gate TEXT', 'gape TEXT') WHERE name = 'ticket'";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("views.db");
        let views = Views::open(&path).await.unwrap();
        let doubt = || *views.store.doubts().borrow();
        let misfit = async || {
            let error = sqlx::query("SELECT gape FROM sale").execute(&views.pool()).await.map_err(|error| views.noted(error)).unwrap_err();
            assert!(!error.is_damage() && doubt() == Doubt::Misfit, "{error}");
            let is_damaged = views.is_damaged(doubt()).await;
            (is_damaged, doubt())
        };
        assert_eq!(misfit().await, (false, Doubt::None));
        sqlx::raw_sql(FLIPPED).execute(&views.pool()).await.unwrap();
        assert_eq!(misfit().await, (true, Doubt::Damage));
        views.close().await;
        assert_eq!(std::fs::read_to_string(folder.path().join("views.boot")).unwrap(), "damaged", "the next start does not believe it");
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
        // The node's own work waits as long as it takes them to come there.
        let ends = async {
            assert!(tokio::time::timeout(Duration::ZERO, views.rest(hour)).await.is_err(), "they rest all the same");
            views.rows_sender.send_replace(6);
        };
        tokio::join!(views.come_to(6), ends).0.unwrap();
        views.close().await;
    }

    #[tokio::test]
    async fn what_is_saved_says_how_far_its_journal_went() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let (journal, head) = small_batches(7).await;
        let known = async || views.positions().await.unwrap().map(|(batch, _)| batch);
        // The writer has told everybody of five batches only, but slots may have been told of more.
        let fifth = journal.batches(4, 1).await.unwrap().remove(0);
        let end = Head { number: 5, hash: fifth.hash(), at: fifth.at };
        views.save_heads(&[], &end, &journal).await.unwrap();
        assert_eq!(known().await, [0, 5, 7]);
        assert_eq!(views.position("known").await.unwrap().1, head.hash);
        // A snapshot that took its time takes nothing of that away.
        let (snapshots, writer) = views.snapshots();
        let account = Account::new(AccountId(1));
        snapshots.take(StreamId::Account(account.id()), &account).unwrap().keep();
        drop(snapshots);
        writer.run(Arc::new(small_batches(6).await.0)).await;
        assert_eq!(known().await, [0, 5, 7]);
        views.close().await;
    }
}
