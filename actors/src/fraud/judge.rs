//! The models: which acts and which only watches, where each channel's line is, and how they are made. Requests take the acting one from here without waiting;
//! everything slow is done on a thread of its own that yields to the others.
//!
//! As long as nobody has put a trained model to work, the node fits one of its own on what it has heard, and anew each day: it needs no labels, and its seed is the
//! day, so that the same journal gives the same model. A model that somebody put to work stays; what the node fits then only watches.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak, mpsc};

use parking_lot::{Mutex, RwLock};
use tornello_engine::envelope::Digest;
use tornello_engine::ids::Code;
use tornello_models::ModelError;
use tornello_models::artifact::{Artifact, Kind, Particulars, TrainingData, decode};
use tornello_models::feature_list::FeatureList;
use tornello_models::fraud::budget::{Budget, Cut, WINDOW_DAYS};
use tornello_models::fraud::preparation::{Preparation, Treatment};
use tornello_models::fraud::rows::Rows;
use tornello_models::fraud::scorer::Scorer;
use tornello_models::fraud::select::{Shape, Unsupervised};
use tornello_models::fraud::signals::{FEATURES, N, Outlet};

use super::fold::{Fold, Row};
use super::shelf::Shelf;

/// From so many events on the node fits a model of its own.
pub const ROWS_MIN: u64 = 2_000;
/// How many events wait for the models that watch; more go without.
const WAITING: usize = 8_192;
/// So many scores of a channel are kept for its line; of more, every second, fourth and so on.
const SCORES_MAX: usize = 65_536;
const DAY_US: i64 = 86_400_000_000;
/// By how much the thread yields to others, as `nice` counts it.
const PATIENCE: i32 = 10;

/// A model at work.
#[derive(Debug)]
pub struct Acting {
    /// Its name in assessments: how it was made, and the beginning of its id.
    pub code: Code,
    /// Its id.
    pub id: String,
    /// Whether the node fitted it by itself.
    pub own: bool,
    scorer: Arc<Scorer>,
    /// Where each channel's line is, in the order of [`Outlet::ALL`].
    pub cuts: [Cut; 5],
}

impl Acting {
    /// The model itself.
    #[must_use]
    pub fn scorer(&self) -> &Scorer {
        &self.scorer
    }

    fn with_cuts(&self, cuts: [Cut; 5]) -> Self {
        Self { code: self.code, id: self.id.clone(), own: self.own, scorer: Arc::clone(&self.scorer), cuts }
    }
}

/// What one model, or two, said of an event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// When the event was, in UTC microseconds.
    pub at_us: i64,
    /// Which hold, sale or payment it is about: verdicts are about these too.
    pub subject: u128,
    /// Through which channel.
    pub outlet: Outlet,
    /// The acting model's score, 0 to 1.
    pub champion: Option<f32>,
    /// The watching model's score, 0 to 1.
    pub challenger: Option<f32>,
}

/// As what a model works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Post {
    /// It acts.
    Champion,
    /// It watches.
    Challenger,
}

enum Task {
    Score(Row),
    Fit {
        rows: Vec<Row>,
        day: i64,
    },
    /// The model that acted last acts again: its lines follow from these.
    Lines(Vec<Row>),
    /// Answers when all tasks before are done.
    Settle(tokio::sync::oneshot::Sender<()>),
}

/// So many of the last events at least are kept for the lines of a new model.
const RECENT: usize = 2_048;
/// How many of the last pairs are kept.
const PAIRS: usize = 16_384;

/// The models.
pub struct Judge {
    champion: RwLock<Option<Arc<Acting>>>,
    challenger: RwLock<Option<Arc<Acting>>>,
    tasks: mpsc::SyncSender<Task>,
    pairs: Mutex<VecDeque<Pair>>,
    /// The last events: what a model that is put to work takes its first lines from.
    recent: Mutex<Vec<Row>>,
    budgets: [Budget; 5],
    shelf: Option<Shelf>,
    fitted_day: AtomicI64,
    live: AtomicBool,
    skipped: AtomicU64,
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge").field("champion", &self.champion).field("challenger", &self.challenger).finish_non_exhaustive()
    }
}

/// The features, as models name them.
pub fn feature_list() -> Result<FeatureList, ModelError> {
    FeatureList::new(FEATURES)
}

impl Judge {
    /// With the model that acted last, if it is on the shelf. `budgets` are the alerts a day of each channel.
    pub fn start(budgets: [Budget; 5], shelf: Option<Shelf>) -> std::io::Result<Arc<Self>> {
        let (tasks, given) = mpsc::sync_channel(WAITING);
        let judge = Arc::new(Self {
            champion: RwLock::default(),
            challenger: RwLock::default(),
            tasks,
            pairs: Mutex::default(),
            recent: Mutex::default(),
            budgets,
            shelf,
            fitted_day: AtomicI64::new(i64::MIN),
            live: AtomicBool::new(false),
            skipped: AtomicU64::new(0),
        });
        if let Some((id, own, bytes)) = judge.shelf.as_ref().and_then(Shelf::acting) {
            match judge.opened(&bytes, &id, own) {
                Ok(acting) => *judge.champion.write() = Some(Arc::new(acting)),
                Err(error) => tracing::error!(%error, model = id, "the model that acted last cannot be used; rules act alone"),
            }
        }
        let weak = Arc::downgrade(&judge);
        std::thread::Builder::new().name("judge".into()).spawn(move || work(&weak, &given))?;
        Ok(judge)
    }

    fn opened(&self, bytes: &[u8], id: &str, own: bool) -> Result<Acting, ModelError> {
        let scorer: Scorer = decode(bytes, Kind::Fraud, &feature_list()?)?;
        let scorer = scorer.check()?;
        if scorer.columns() != N {
            return Err(ModelError::OtherFeatures);
        }
        let short: String = id.chars().take(12).collect();
        let code = format!("{}-{short}", if own { "own" } else { "model" }).parse().map_err(|_| ModelError::OtherFeatures)?;
        // Without scores there is no line yet: it watches until there are some.
        Ok(Acting { code, id: id.to_owned(), own, scorer: Arc::new(scorer), cuts: [Cut { score: 1.0, random: 0.0 }; 5] })
    }

    /// The acting model, if there is one.
    #[must_use]
    pub fn champion(&self) -> Option<Arc<Acting>> {
        self.champion.read().clone()
    }

    /// The watching model, if there is one.
    #[must_use]
    pub fn challenger(&self) -> Option<Arc<Acting>> {
        self.challenger.read().clone()
    }

    /// Puts a trained model to work, between two events: whoever is scoring just now ends with the model that it began with. Its lines follow from the scores that
    /// it gives to what was heard last.
    pub fn install(&self, artifact: &Artifact, post: Post, recent: &[Row]) -> Result<Code, ModelError> {
        let card = artifact.card()?;
        let acting = self.opened(&artifact.model, &card.id, false)?;
        Ok(self.put(acting, post, recent, Some(artifact)))
    }

    /// Puts a registered model to work from the shelf, under the name that it is registered by. One whose bytes are not those that were registered is refused.
    pub fn put_to_work(&self, name: Code, checksum: Digest, post: Post) -> Result<(), ModelError> {
        let bad = |problem: String| ModelError::BadArtifact { problem };
        let shelf = self.shelf.as_ref().ok_or_else(|| bad("there is no folder of models".to_owned()))?;
        let artifact = shelf.read(name.as_str()).map_err(|error| bad(format!("it cannot be read: {error}")))?;
        let id = artifact.card()?.id;
        if u128::from_str_radix(&id, 16).ok() != Some(checksum.0) {
            return Err(bad("its bytes are not those that were registered".to_owned()));
        }
        let acting = Acting { code: name, ..self.opened(&artifact.model, &id, false)? };
        // Lines follow from the next scores: until there are some, rules act alone.
        self.put(acting, post, &self.recent.lock(), None);
        Ok(())
    }

    fn put(&self, acting: Acting, post: Post, recent: &[Row], artifact: Option<&Artifact>) -> Code {
        let cuts = self.cuts(&acting, recent);
        let acting = Arc::new(acting.with_cuts(cuts));
        let code = acting.code;
        if let (Some(shelf), Some(artifact)) = (&self.shelf, artifact) {
            let kept =
                shelf.keep(&acting.id, artifact).and_then(|()| if post == Post::Champion { shelf.act(&acting.id, acting.own) } else { Ok(()) });
            if let Err(error) = kept {
                tracing::error!(%error, model = %code, "a model is at work and was not saved: after a restart another one will be");
            }
        }
        match post {
            Post::Champion => *self.champion.write() = Some(acting),
            Post::Challenger => *self.challenger.write() = Some(acting),
        }
        tracing::info!(model = %code, ?post, "a fraud model was put to work");
        code
    }

    fn cuts(&self, acting: &Acting, recent: &[Row]) -> [Cut; 5] {
        let mut windows: [Scores; 5] = Default::default();
        for row in recent {
            windows[row.outlet as usize].push(row.at_us, acting.scorer.score(row.features.iter().map(|value| f64::from(*value))).score);
        }
        std::array::from_fn(|i| windows[i].cut(None, self.budgets[i]))
    }

    /// What was heard before is known again: from now on events are live.
    pub fn begin(&self, fold: &Fold) {
        if self.live.swap(true, Ordering::AcqRel) {
            return;
        }
        if self.champion().is_some() {
            let _ = self.tasks.try_send(Task::Lines(fold.rows().cloned().collect()));
        }
        let day = fold.rows().last().map_or(0, |row| row.at_us.div_euclid(DAY_US));
        if self.champion().is_none() && fold.seen() >= ROWS_MIN {
            self.fit(fold, day);
        } else {
            self.fitted_day.store(if self.champion().is_some() { day } else { i64::MIN }, Ordering::Release);
        }
    }

    /// An event was heard. Models score it when they have the time; what they have no time for is counted.
    pub fn hear(&self, row: Row, fold: &Fold) {
        if !self.live.load(Ordering::Acquire) {
            return;
        }
        let day = row.at_us.div_euclid(DAY_US);
        if fold.seen() >= ROWS_MIN && day > self.fitted_day.load(Ordering::Acquire) {
            self.fit(fold, day);
        }
        if self.tasks.try_send(Task::Score(row)).is_err() {
            self.skipped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn fit(&self, fold: &Fold, day: i64) {
        if self.tasks.try_send(Task::Fit { rows: fold.rows().cloned().collect(), day }).is_ok() {
            self.fitted_day.store(day, Ordering::Release);
        }
    }

    /// Answers when everything that was given to the models is done: for replays and tests.
    pub async fn settled(&self) {
        let (done, settled) = tokio::sync::oneshot::channel();
        let mut task = Task::Settle(done);
        // The queue may be full: it is asked again as it empties.
        while let Err(mpsc::TrySendError::Full(again)) = self.tasks.try_send(task) {
            task = again;
            tokio::task::yield_now().await;
        }
        let _ = settled.await;
    }

    /// The last scores of both models.
    #[must_use]
    pub fn pairs(&self) -> Vec<Pair> {
        self.pairs.lock().iter().copied().collect()
    }

    /// How many events went without the models that watch.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    fn score(&self, row: &Row, windows: &mut [Scores; 5]) {
        let by = |acting: &Option<Arc<Acting>>| {
            acting.as_ref().map(|acting| acting.scorer.score(row.features.iter().map(|value| f64::from(*value))).score)
        };
        let (champion, challenger) = (by(&self.champion()), by(&self.challenger()));
        if let Some(score) = champion {
            windows[row.outlet as usize].push(row.at_us, score);
        }
        let mut recent = self.recent.lock();
        if recent.len() >= 2 * RECENT {
            recent.drain(..RECENT);
        }
        recent.push(row.clone());
        drop(recent);
        let mut pairs = self.pairs.lock();
        if pairs.len() >= PAIRS {
            pairs.pop_front();
        }
        pairs.push_back(Pair {
            at_us: row.at_us,
            subject: row.subject,
            outlet: row.outlet,
            champion: champion.map(|score| score as f32),
            challenger: challenger.map(|score| score as f32),
        });
    }

    /// The lines of a new day.
    fn move_cuts(&self, windows: &mut [Scores; 5]) {
        let mut champion = self.champion.write();
        if let Some(acting) = champion.as_ref() {
            let cuts = std::array::from_fn(|i| windows[i].cut(Some(acting.cuts[i]), self.budgets[i]));
            *champion = Some(Arc::new(acting.with_cuts(cuts)));
        }
    }

    fn fit_own(&self, rows: &[Row], day: i64) -> Result<(), ModelError> {
        let features = feature_list()?;
        let values: Vec<f64> = rows.iter().flat_map(|row| &row.features).map(|value| f64::from(*value)).collect();
        let table = Rows::new(N, values)?;
        // The features are logarithms already, and their far ends are what is looked for.
        let treatment = Treatment { logarithm: false, clip: false };
        let shape = Shape::of(&Preparation::fit(&table, treatment)?.prepare_all(&table)?);
        // Where there is no cloud, counting how rare each value is finds the far ends that are looked for here, for half of what a forest costs each command.
        let method = match shape.scorer() {
            Unsupervised::RobustCovariance => Unsupervised::RobustCovariance,
            Unsupervised::IsolationForest | Unsupervised::Tails => Unsupervised::Tails,
        };
        let seed = day.unsigned_abs();
        let scorer = Scorer::fit(method, &table, treatment, seed)?;
        let at = |row: Option<&Row>| row.map_or(0, |row| row.at_us);
        let particulars = Particulars {
            kind: Kind::Fraud,
            method: method.name().to_owned(),
            created: tornello_engine::time::Timestamp::from_micros(at(rows.last())).to_string(),
            code_revision: env!("CARGO_PKG_VERSION").to_owned(),
            data: TrainingData {
                name: "journal".to_owned(),
                sha256: String::new(),
                rows: rows.len() as u64,
                period: format!("{} to {} (microseconds, UTC)", at(rows.first()), at(rows.last())),
            },
            seed,
            settings: Vec::new(),
            metrics: Vec::new(),
            parent: self.champion().map(|acting| acting.id.clone()),
            approver: None,
        };
        let artifact = Artifact::seal(&scorer, &features, particulars)?;
        let id = artifact.card()?.id;
        let acting = self.opened(&artifact.model, &id, true)?;
        let post = if self.champion().is_none_or(|champion| champion.own) { Post::Champion } else { Post::Challenger };
        self.put(acting, post, rows, Some(&artifact));
        Ok(())
    }
}

/// The thread of the models: ends when nobody has the judge any more.
fn work(judge: &Weak<Judge>, tasks: &mpsc::Receiver<Task>) {
    if let Err(error) = rustix::process::nice(PATIENCE) {
        tracing::warn!(%error, "the fraud models cannot be made to wait for others");
    }
    let mut windows: [Scores; 5] = Default::default();
    let mut day = i64::MIN;
    while let Ok(task) = tasks.recv() {
        let Some(judge) = judge.upgrade() else { return };
        match task {
            Task::Score(row) => {
                let today = row.at_us.div_euclid(DAY_US);
                if today > day {
                    if day != i64::MIN {
                        judge.move_cuts(&mut windows);
                    }
                    day = today;
                }
                judge.score(&row, &mut windows);
            }
            Task::Fit { rows, day } => {
                let before = judge.champion().map(|acting| acting.id.clone());
                if let Err(error) = judge.fit_own(&rows, day) {
                    tracing::error!(%error, "no fraud model could be fitted; rules go on, with the model before if there was one");
                }
                if judge.champion().map(|acting| acting.id.clone()) != before {
                    // Scores of another model are no measure for this one.
                    windows = Default::default();
                    if let Some(acting) = judge.champion() {
                        rows.iter().for_each(|row| windows[row.outlet as usize].push(row.at_us, score_of(&acting, row)));
                    }
                }
            }
            Task::Lines(rows) => {
                judge.recent.lock().extend(rows.iter().rev().take(RECENT).rev().cloned());
                if let Some(acting) = judge.champion() {
                    rows.iter().for_each(|row| windows[row.outlet as usize].push(row.at_us, score_of(&acting, row)));
                    *judge.champion.write() = Some(Arc::new(acting.with_cuts(judge.cuts(&acting, &rows))));
                }
            }
            Task::Settle(done) => drop(done.send(())),
        }
    }
}

fn score_of(acting: &Acting, row: &Row) -> f64 {
    acting.scorer.score(row.features.iter().map(|value| f64::from(*value))).score
}

/// The scores of one channel in the last days, thinned when they are many.
#[derive(Debug)]
struct Scores {
    scores: VecDeque<(i64, f32)>,
    /// Every how-manieth is kept.
    every: u32,
    count: u64,
}

impl Default for Scores {
    fn default() -> Self {
        Self { scores: VecDeque::new(), every: 1, count: 0 }
    }
}

impl Scores {
    fn push(&mut self, at_us: i64, score: f64) {
        self.count += 1;
        if !self.count.is_multiple_of(u64::from(self.every)) {
            return;
        }
        if self.scores.len() >= SCORES_MAX {
            let mut odd = false;
            self.scores.retain(|_| {
                odd = !odd;
                odd
            });
            self.every *= 2;
        }
        self.scores.push_back((at_us, score as f32));
    }

    fn cut(&mut self, yesterday: Option<Cut>, budget: Budget) -> Cut {
        let Some((last, _)) = self.scores.back().copied() else { return Cut::update(yesterday, &[], 1, budget) };
        let from = last - i64::from(WINDOW_DAYS) * DAY_US;
        while self.scores.front().is_some_and(|(at, _)| *at < from) {
            self.scores.pop_front();
        }
        let first = self.scores.front().map_or(last, |(at, _)| *at);
        let days = ((last - first) as u64).div_ceil(DAY_US as u64).clamp(1, u64::from(WINDOW_DAYS)) as u32;
        let scores: Vec<f64> = self.scores.iter().map(|(_, score)| f64::from(*score)).collect();
        // Where only some scores are kept, their part of the budget counts.
        Cut::update(yesterday, &scores, days, Budget { alerts_per_day: (budget.alerts_per_day / self.every).max(1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinned_scores_keep_the_budget() {
        let mut scores = Scores::default();
        let count = 4 * SCORES_MAX;
        for i in 0..count {
            scores.push(i as i64 * 100_000, ((i * 7_919) % count) as f64 / count as f64);
        }
        assert!(scores.scores.len() <= SCORES_MAX && scores.every >= 4);
        let cut = scores.cut(None, Budget { alerts_per_day: 800 });
        // 262,144 events in less than a day: 760 alerts are 0.29%.
        assert!((1.0 - cut.score - 760.0 / count as f64).abs() < 3e-4, "{}", cut.score);
    }
}
