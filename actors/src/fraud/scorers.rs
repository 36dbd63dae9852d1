//! The scorers: actors that write the counters, each for its own shards, and whoever follows the journal for them. A batch is given to all of them, and only when
//! each has taken it in does it count as seen; requests read the counters meanwhile and never ask an actor.
//!
//! The follower is fed by a tap on the journal's writer. What the tap has no room for, and all that was written before, it reads from the journal. It saves what
//! it knows now and then, copied shard by shard between batches and written on another thread, and at the end; without that file it begins with the first batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::{Actor, Addr, Context, Handler, Message};
use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot, watch};
use tornello_engine::ids::HoldId;
use tornello_models::fraud::signals::{SignalEvent, Taking, keys};

use super::counters::{Copies, Counters, shard_of};
use super::fold::Fold;
use super::judge::Judge;
use super::saved::{self, SavedFile};
use super::{Held, Holds, Scoring};
use crate::clock::Stopwatch;
use crate::journal::{Batch, Head, Journal, JournalError, batches_after};
use crate::streams::corrupt;

/// How many scorers there are.
const SCORERS: usize = 4;
/// How many batches wait for the scorers, a megabyte each at most; more are read from the journal later.
pub const TAPPED: usize = 64;
/// So many may wait for an answer to where a hold came from; others do without.
pub const ASKED: usize = 1_024;
/// How many batches are read from the journal at once.
const ROUND: u32 = 64;
/// So many batches, and so long, after it was saved last, the state is saved again: that writes up to some hundred megabytes, and the journal's flushes wait behind them.
/// After a crash what came since is heard again, in a fraction of the time in which it came.
const SAVE_EVERY: u64 = 50_000;
const SAVE_REST: Duration = Duration::from_secs(600);
/// In a rush who follows the journal pauses so long before it looks for more: what came meanwhile is heard in one go, as each go costs several threads their turn. What rules read is
/// older by that.
const PAUSE: Duration = Duration::from_millis(2);
/// It is a rush when so many batches came, each within a pause of the one before on average, or so many in one pause.
const RUSH: u32 = 16;
const RUSH_GOES_ON: u32 = 2;
/// When more batches than that are on the disk and not heard, or none of them is heard for so many seconds, what is known is too old for a model: rules act alone.
pub const LAG_BATCHES_MAX: u64 = 2_000;
const LAG_S_MAX: u64 = 10;

/// A scorer: writes the counters of its shards.
#[derive(Debug)]
struct Scorer {
    number: usize,
    counters: Arc<Counters>,
}

impl Actor for Scorer {
    type Context = Context<Self>;
}

/// What a batch said.
#[derive(Clone)]
struct Hear {
    position: u64,
    signals: Arc<Vec<SignalEvent>>,
}

impl Message for Hear {
    type Result = ();
}

impl Handler<Hear> for Scorer {
    type Result = ();

    fn handle(&mut self, hear: Hear, _: &mut Self::Context) {
        self.counters.fold(|shard| shard % SCORERS == self.number, hear.position, &hear.signals);
    }
}

/// How the scorers are, for whoever looks from outside.
#[derive(Debug)]
pub struct Progress {
    /// The batch up to which the journal was written when they began.
    goal: AtomicU64,
    /// How often the tap had no room.
    pub(super) missed: AtomicU64,
    /// The last batch that is on the disk, as far as the tap was told.
    committed: AtomicU64,
    /// The last batch that was heard since the start.
    heard: AtomicU64,
    /// Since when the next batch that is not heard yet has waited, in milliseconds of the watch.
    waits_since_ms: AtomicU64,
    watch: Stopwatch,
}

impl Default for Progress {
    fn default() -> Self {
        let zero = AtomicU64::default;
        Self { goal: zero(), missed: zero(), committed: zero(), heard: zero(), waits_since_ms: zero(), watch: Stopwatch::start() }
    }
}

impl Progress {
    /// Whether all that was written before the start has been heard.
    pub fn is_caught_up(&self, counters: &Counters) -> bool {
        counters.position() >= self.goal.load(Ordering::Acquire)
    }

    /// Whether what they know is too old for a model to act on it.
    pub fn is_behind(&self, counters: &Counters) -> bool {
        let lag = self.committed.load(Ordering::Acquire).saturating_sub(counters.position());
        let waited = || self.watch.elapsed().saturating_sub(Duration::from_millis(self.waits_since_ms.load(Ordering::Acquire)));
        lag > 0 && is_too_far(lag, waited())
    }

    fn waits_from_now(&self) {
        let now_ms = self.watch.elapsed().as_millis() as u64;
        self.waits_since_ms.store(now_ms, Ordering::Release);
    }

    /// A batch is on the disk.
    fn wrote(&self, number: u64) {
        let before = self.committed.load(Ordering::Acquire);
        if before <= self.heard.load(Ordering::Acquire) {
            self.waits_from_now();
        }
        self.committed.fetch_max(number, Ordering::AcqRel);
    }

    /// A batch was heard: the next one waits from now on, if there is one.
    fn heard(&self, number: u64) {
        self.waits_from_now();
        self.heard.store(number, Ordering::Release);
    }
}

/// Whether so many batches that are not heard, or so long a wait for the next of them, are too much.
const fn is_too_far(lag: u64, waited: Duration) -> bool {
    lag > LAG_BATCHES_MAX || waited.as_secs() >= LAG_S_MAX
}

/// A batch with its hash, which the writer knows.
pub type Tapped = (Batch, [u8; 32]);

/// The end of the tap that the writer holds.
#[derive(Debug, Clone)]
pub struct Tap {
    batches: mpsc::Sender<Tapped>,
    progress: Arc<Progress>,
}

impl Tap {
    /// A batch is on the disk. Never waits: what there is no room for is read from the journal.
    pub fn committed(&self, batch: Batch, hash: [u8; 32]) {
        self.progress.wrote(batch.number);
        if self.batches.try_send((batch, hash)).is_err() {
            self.progress.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A tap and its other end.
pub fn tap(progress: Arc<Progress>) -> (Tap, mpsc::Receiver<Tapped>) {
    let (batches, tapped) = mpsc::channel(TAPPED);
    (Tap { batches, progress }, tapped)
}

/// Somebody asks who took part in a hold, an entry or a sale.
#[derive(Debug)]
pub struct Asking {
    /// In which.
    pub hold: HoldId,
    /// The answer; none: it is not remembered.
    pub answer: oneshot::Sender<Option<Vec<Taking>>>,
}

/// When batches come in a rush. Whoever asks for one thing after the other, each when the one before is counted, is not made to wait by it for long.
#[derive(Debug)]
struct Rush {
    heard: u32,
    since: Stopwatch,
    goes_on: bool,
}

impl Rush {
    fn none() -> Self {
        Self { heard: 0, since: Stopwatch::start(), goes_on: false }
    }

    /// All that there was is heard: whether to pause.
    fn pauses(&mut self) -> bool {
        let is_rush = if self.goes_on { self.heard >= RUSH_GOES_ON } else { self.heard >= RUSH && self.since.elapsed() < PAUSE * RUSH };
        if is_rush || self.goes_on || self.since.elapsed() >= PAUSE * RUSH {
            *self = Self { goes_on: is_rush, ..Self::none() };
        }
        is_rush
    }
}

/// Follows the journal for the scorers.
pub struct Follower {
    journal: Arc<dyn Journal>,
    counters: Arc<Counters>,
    progress: Arc<Progress>,
    judge: Arc<Judge>,
    held: Holds,
    fold: Fold,
    hash: [u8; 32],
    scorers: Vec<Addr<Scorer>>,
    /// Whether it pauses in a rush: on a thread that is its own, so that what others do there does not go by the machine's time.
    pauses: bool,
    asked: mpsc::Receiver<Asking>,
    /// Where the state is saved; none: nowhere.
    file: Option<SavedFile>,
    saved_at: u64,
    since_saved: Stopwatch,
    /// What is being copied, to be saved.
    copying: Option<Copies>,
}

impl Follower {
    /// Starts the scorers. `head` is where the journal ends now; the state is saved in `file`, and `asked` is answered.
    pub fn new(journal: Arc<dyn Journal>, scoring: &Scoring, (file, asked): (Option<SavedFile>, mpsc::Receiver<Asking>), head: Head) -> Self {
        let (counters, progress) = (Arc::clone(&scoring.counters), Arc::clone(&scoring.progress));
        progress.goal.store(head.number, Ordering::Release);
        let scorers = (0..SCORERS)
            .map(|number| {
                let counters = Arc::clone(&counters);
                Scorer::start_in_arbiter(&scoring.thread(number), move |_| Scorer { number, counters })
            })
            .collect();
        let (judge, held) = (Arc::clone(&scoring.judge), Arc::clone(&scoring.held));
        let (fold, since_saved, pauses) = (Fold::default(), Stopwatch::start(), !scoring.threads.is_empty());
        let hash = [0; 32];
        Self { journal, counters, progress, judge, held, fold, hash, scorers, pauses, asked, file, saved_at: 0, since_saved, copying: None }
    }

    /// Follows until the writer has ended and all is heard; then saves what is known.
    pub async fn run(mut self, mut tapped: mpsc::Receiver<Tapped>, mut committed: watch::Receiver<Head>) {
        self.restore().await;
        self.begin();
        let mut rush = Rush::none();
        loop {
            let heard = match tapped.try_recv() {
                Ok(batch) => {
                    rush.heard += 1;
                    self.tapped(batch).await
                }
                Err(mpsc::error::TryRecvError::Disconnected) => break,
                Err(mpsc::error::TryRecvError::Empty) if self.pauses && rush.pauses() => {
                    tokio::time::sleep(PAUSE).await;
                    Ok(())
                }
                Err(mpsc::error::TryRecvError::Empty) => {
                    let end = committed.borrow_and_update().number;
                    if end > self.counters.position() {
                        self.read_up_to(end).await
                    } else {
                        tokio::select! {
                            biased;
                            batch = tapped.recv() => match batch {
                                Some(batch) => {
                                    rush.heard += 1;
                                    self.tapped(batch).await
                                }
                                None => break,
                            },
                            Some(asking) = self.asked.recv() => {
                                self.answer(asking);
                                Ok(())
                            }
                            _ = committed.changed() => Ok(()),
                        }
                    }
                }
            };
            if let Err(error) = heard {
                tracing::error!(%error, "the scorers cannot follow the journal; rules see older counters until they can");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            if self.counters.position() >= self.saved_at + SAVE_EVERY && self.since_saved.elapsed() >= SAVE_REST {
                self.begin_to_save();
            }
        }
        let end = committed.borrow().number;
        if let Err(error) = self.read_up_to(end).await {
            tracing::error!(%error, "the scorers have not heard the end of the journal");
        }
        self.save_last().await;
    }

    async fn restore(&mut self) {
        let Some(saved) = self.file.as_ref().and_then(SavedFile::read) else { return };
        let belongs = match self.journal.batches(saved.position.saturating_sub(1), 1).await {
            Ok(batches) => batches.first().is_some_and(|batch| batch.number == saved.position && batch.hash() == saved.hash),
            Err(_) => false,
        };
        let saved::State { position, hash, fold, stores } = saved;
        if !belongs || !self.counters.restore(position, stores) {
            tracing::warn!("what the scorers knew does not belong to this journal; it is heard again from its beginning");
            return;
        }
        (self.fold, self.hash, self.saved_at) = (fold, hash, position);
    }

    /// When all that was written before the start is heard, models act again.
    fn begin(&self) {
        if self.progress.is_caught_up(&self.counters) {
            self.judge.begin(&self.fold);
        }
    }

    async fn tapped(&mut self, (batch, hash): Tapped) -> Result<(), JournalError> {
        let next = self.counters.position() + 1;
        if batch.number < next {
            return Ok(());
        }
        if batch.number > next {
            self.read_up_to(batch.number - 1).await?;
        }
        if batch.number == self.counters.position() + 1 { self.hear(&batch, hash).await } else { Ok(()) }
    }

    async fn read_up_to(&mut self, end: u64) -> Result<(), JournalError> {
        while self.counters.position() < end {
            for batch in &batches_after(&*self.journal, self.counters.position(), ROUND).await? {
                self.hear(batch, batch.hash()).await?;
            }
        }
        Ok(())
    }

    async fn hear(&mut self, batch: &Batch, hash: [u8; 32]) -> Result<(), JournalError> {
        let heard = self.fold.hear(&self.counters, batch).map_err(|error| corrupt(batch, &error))?;
        // Only those are asked who have something to write.
        let concerned = |number: &usize| heard.signals.iter().flat_map(keys).any(|((_, id), _)| shard_of(id) % SCORERS == *number);
        let asked: Vec<_> = (0..SCORERS).filter(concerned).collect();
        let signals = Arc::new(heard.signals);
        let hear = Hear { position: batch.number, signals: Arc::clone(&signals) };
        for failed in join_all(asked.iter().map(|number| self.scorers[*number].send(hear.clone()))).await.into_iter().filter_map(Result::err) {
            tracing::error!(%failed, batch = batch.number, "a scorer has ended");
        }
        self.hash = hash;
        self.bought(heard.bought);
        // Before the position is told: whoever waits for it, and then for the models, waits for what they make of this batch. Models that begin with it have it from the fold.
        self.judge.hear(heard.rows, &self.fold);
        self.counters.publish(batch.number);
        self.progress.heard(batch.number);
        self.begin();
        self.copy_more(batch.number, &signals);
        // Whoever asks waits for one batch at most, however many there are to read.
        while let Ok(asking) = self.asked.try_recv() {
            self.answer(asking);
        }
        Ok(())
    }

    fn answer(&self, Asking { hold, answer }: Asking) {
        // Whoever has not waited does not hear it.
        let _ = answer.send(self.fold.hearing.parties_of(hold).map(<[Taking]>::to_vec));
    }

    /// What becomes of a sale later is assessed as of all who took part in it, as it is heard: also of who was named with its payment, or when it was confirmed.
    fn bought(&self, bought: Vec<(u128, Vec<Taking>)>) {
        if bought.is_empty() {
            return;
        }
        let mut held = self.held.lock();
        for (sale, parties) in bought {
            if let Some(known) = held.take(&sale) {
                held.put(sale, Arc::new(Held { channel: known.channel, lines: known.lines.clone(), parties }));
            }
        }
    }

    /// Begins to copy what is known, unless that is under way, or what was copied before is still being written. What is heard next waits for one shard and no more, and in
    /// the end for what is remembered beside the counters, of which there is only so much, however many parties there are.
    fn begin_to_save(&mut self) {
        if self.copying.is_none() && self.file.as_ref().is_some_and(|file| !file.is_writing()) {
            self.copying = Some(Copies::default());
        }
    }

    /// After a batch: copies one more shard, if that is under way, and begins to write when it was the last.
    fn copy_more(&mut self, position: u64, signals: &Arc<Vec<SignalEvent>>) {
        let Some(mut copies) = self.copying.take() else { return };
        copies.heard(position, signals);
        if copies.copy_next(&self.counters) {
            self.save(copies);
        } else {
            self.copying = Some(copies);
        }
    }

    /// Begins to write what is known, unless what was known before is still being written.
    fn save(&mut self, copies: Copies) {
        let position = self.counters.position();
        let Some(file) = self.file.as_ref().filter(|file| position > self.saved_at && !file.is_writing()) else { return };
        let (hash, fold) = (self.hash, self.fold.clone());
        // Not tried again at once either way: it is only an optimisation of the next start.
        self.saved_at = position;
        self.since_saved = Stopwatch::start();
        if let Err(error) = file.begin(move || saved::Saving { position, hash, fold, stores: copies.into_stores() }) {
            tracing::warn!(%error, "what the scorers know was not saved");
        }
    }

    /// Saves what is known in the end, and waits for that. What was being copied is copied anew, as nothing is heard any more.
    async fn save_last(&mut self) {
        let Some(file) = self.file.clone() else { return };
        file.written().await;
        self.copying = None;
        if self.counters.position() > self.saved_at {
            let mut copies = Copies::default();
            while !copies.copy_next(&self.counters) {}
            self.save(copies);
            file.written().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tornello_engine::time::Timestamp;
    use tornello_models::fraud::signals::{Outlet, Role, SignalKind, Taking};

    use super::super::counters::SHARDS;
    use super::super::judge::Post;
    use super::super::judge::tests::model;
    use super::super::{NO_MODEL, Scoring, Sizes, Stale};
    use super::*;
    use crate::journal::memory::MemoryJournal;

    #[test]
    fn in_a_rush_batches_are_heard_together_until_no_more_come_than_one_by_one() {
        let mut rush = Rush::none();
        let mut comes = |batches: u32| {
            rush.heard += batches;
            rush.pauses()
        };
        let one_by_one: Vec<bool> = (0..RUSH).map(|_| comes(1)).collect();
        assert_eq!(one_by_one.iter().position(|pauses| *pauses), Some(RUSH as usize - 1));
        assert!(comes(RUSH_GOES_ON) && comes(7), "more came in a pause");
        assert!(!comes(1), "one in a pause, which its caller has waited for");
        assert!(!comes(RUSH - 1) && comes(1), "counted from there");
        assert!(!comes(0), "nobody came");
    }

    #[test]
    fn who_is_too_far_behind_in_batches_or_in_time_is_behind() {
        let s = Duration::from_secs;
        let told = [(1, s(0)), (LAG_BATCHES_MAX, s(LAG_S_MAX - 1)), (LAG_BATCHES_MAX + 1, s(0)), (1, s(LAG_S_MAX))];
        assert_eq!(told.map(|(lag, waited)| is_too_far(lag, waited)), [false, false, true, true]);
    }

    #[actix_rt::test]
    async fn what_is_known_is_saved_as_of_the_batch_after_which_the_last_shard_was_copied() {
        let folder = tempfile::tempdir().unwrap();
        let (file, journal) = (SavedFile::in_folder(folder.path()), Arc::new(MemoryJournal::default()));
        let prepared = Scoring::prepare(Sizes::default(), None, Arc::default(), true).unwrap();
        let scoring = Arc::clone(&prepared.scoring);
        let (_asking, asked) = mpsc::channel(1);
        let mut follower = Follower::new(journal, &scoring, (Some(file.clone()), asked), Head::EMPTY);
        let hear = async |number: u64, follower: &mut Follower| {
            let batch = Batch { number, previous: [0; 32], at: Timestamp::from_seconds(1), records: Vec::new(), spans: Vec::new() };
            follower.hear(&batch, [number as u8; 32]).await.unwrap();
        };
        hear(1, &mut follower).await;
        follower.begin_to_save();
        for number in 2..=SHARDS as u64 {
            hear(number, &mut follower).await;
            assert!(follower.copying.is_some() && !file.is_writing() && follower.saved_at == 0, "batch {number}: one shard after each");
            follower.begin_to_save();
        }
        let last = SHARDS as u64 + 1;
        hear(last, &mut follower).await;
        assert!(follower.copying.is_none() && follower.saved_at == last);
        file.written().await;
        let state = file.read().expect("it was written");
        assert_eq!((state.position, state.hash, state.stores.len()), (last, [last as u8; 32], SHARDS));
        // A stop in between writes the end.
        follower.begin_to_save();
        hear(last + 1, &mut follower).await;
        follower.save_last().await;
        assert_eq!(file.position(), Some((last + 1, [last as u8 + 1; 32])));
        scoring.stop();
    }

    #[actix_rt::test]
    async fn while_the_scorers_are_behind_rules_act_alone() {
        let prepared = Scoring::prepare(Sizes { score_us_max: 1_000_000, ..Sizes::default() }, None, Arc::default(), true).unwrap();
        let (scoring, tap) = (Arc::clone(&prepared.scoring), prepared.tap());
        let acting = scoring.judge().install(&model(0, 8.0), Post::Champion).unwrap();
        let mut signal = SignalEvent::new(1_000_000, SignalKind::Sold { held: true }, Outlet::Web, 1);
        signal.parties = vec![Taking { role: Role::Buyer, id: 7 }];
        let now = Timestamp::from_seconds(1);
        let told = || (scoring.assess(&signal).model.to_string(), scoring.stale(now));
        assert_eq!(told(), (acting.to_string(), None));
        let batch = |number| Batch { number, previous: [0; 32], at: now, records: Vec::new(), spans: Vec::new() };
        (1..=LAG_BATCHES_MAX).for_each(|number| tap(batch(number), [0; 32]));
        assert_eq!(told(), (acting.to_string(), None), "they may be a little late");
        tap(batch(LAG_BATCHES_MAX + 1), [0; 32]);
        assert_eq!(told(), (NO_MODEL.to_owned(), Some(Stale::Behind)));
        scoring.counters().publish(LAG_BATCHES_MAX + 1);
        assert_eq!(told(), (acting.to_string(), None));
        scoring.stop();
    }
}
