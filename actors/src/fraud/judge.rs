//! The models: which acts and which only watches, where each channel's line is, and how they are made. Requests take the acting one from here without waiting;
//! everything slow is done on a thread of its own that yields to the others.
//!
//! As long as nobody has put a trained model to work, the node fits one of its own on what it has heard, and anew each day: it needs no labels, and its seed is the
//! day, so that the same journal gives the same model. A model that somebody put to work stays; what the node fits then only watches.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tornello_engine::envelope::Digest;
use tornello_engine::ids::Code;
use tornello_engine::time::Timestamp;
use tornello_models::ModelError;
use tornello_models::artifact::{Artifact, Kind, Particulars, TrainingData, decode_with};
use tornello_models::feature_list::FeatureList;
use tornello_models::fraud::behaviours::Plan;
use tornello_models::fraud::budget::{Alert, Budget, Cut};
use tornello_models::fraud::drift::Reference;
use tornello_models::fraud::preparation::Treatment;
use tornello_models::fraud::rows::Rows;
use tornello_models::fraud::scorer::{Scored, Scorer};
use tornello_models::fraud::signals::{FEATURES, N, Outlet, WEIGHTS, behaviours, groups};

use super::agreement::{Agreement, Compared};
use super::fold::{DAY_US, Fold, ROWS, Row};
use super::lately::{Drifted, Lately};
use super::pace::{Fault, Pace, answer, is_number, look};
use super::scores::Windows;
use super::shadows::{Fitted, Known, Raced, Shadows};
use super::shelf::{OWN_METHOD, Shelf};
use crate::clock::Stopwatch;

/// From so many events on the node fits a model of its own.
pub const ROWS_MIN: u64 = 2_000;
/// When there is no room for that among the tasks, it is tried again after so many more events: the rows are copied for each try.
const FIT_AGAIN: u64 = 1_000;
/// How many batches wait for the models that watch; what more of them say goes without.
const WAITING: usize = 256;
/// By how much the thread yields to others, as `nice` counts it.
const PATIENCE: i32 = 10;

/// A model that the node fitted acts for so many days after the last that it was fitted on: another one follows each day, and where none does, fits fail.
const OWN_DAYS_MAX: i64 = 7;

/// With what the name of a model begins that the node fitted by itself, and of one that somebody put into the folder without registering it; then comes so much of its id.
const OWN: &str = "own";
const TRAINED: &str = "model";
const SHORT: usize = 12;

/// Why a model that was at work cannot be asked any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unkept {
    /// It is not there.
    Gone,
    /// What is there is another one, or cannot be read.
    Other,
}

/// A model at work.
#[derive(Debug)]
pub struct Acting {
    /// Its name in assessments: how it was made, and the beginning of its id.
    pub code: Code,
    /// Its id.
    pub id: String,
    /// Whether the node fitted it by itself.
    pub own: bool,
    /// Whether the registry of models said that it is to be at work: when it does not any more, it goes.
    pub registered: bool,
    scorer: Arc<Scorer>,
    /// What there was when it was made, if it says that.
    pub(super) reference: Option<Arc<Reference>>,
    /// Where each channel's line is, in the order of [`Outlet::ALL`].
    pub cuts: [Cut; 5],
}

impl Acting {
    /// A model of these bytes, whose id that is, as it is when it is put to work. However quick it is.
    pub(super) fn opened(bytes: &[u8], id: &str, own: bool) -> Result<Self, ModelError> {
        let (scorer, reference): (Scorer, Option<Reference>) = decode_with(bytes, Kind::Fraud, &feature_list()?)?;
        let scorer = scorer.check()?;
        let reference = reference.map(Reference::check).transpose()?.map(Arc::new);
        if scorer.columns() != N {
            return Err(ModelError::OtherFeatures);
        }
        let short: String = id.chars().take(SHORT).collect();
        let code = format!("{}-{short}", if own { OWN } else { TRAINED }).parse().map_err(|_| ModelError::OtherFeatures)?;
        // Without scores there is no line yet: it watches until there are some.
        let cuts = [Cut { score: 1.0, random: 0.0 }; 5];
        Ok(Self { code, id: id.to_owned(), own, registered: false, scorer: Arc::new(scorer), reference, cuts })
    }

    /// The model that goes by this name in assessments, as a shelf has it: `registered` is the checksum by which the registry has one of that name.
    pub(super) fn kept(shelf: &Shelf, name: Code, registered: Option<Digest>) -> Result<Self, Unkept> {
        if let Some(checksum) = registered {
            let artifact = shelf.read(name.as_str()).map_err(|_| Unkept::Gone)?;
            let id = artifact.card().map_err(|_| Unkept::Other)?.id;
            if u128::from_str_radix(&id, 16).ok() != Some(checksum.0) {
                return Err(Unkept::Other);
            }
            let acting = Self::opened(&artifact.model, &id, false).map_err(|_| Unkept::Other)?;
            return Ok(Self { code: name, registered: true, ..acting });
        }
        let (how, short) = name.as_str().split_once('-').filter(|(how, _)| [OWN, TRAINED].contains(how)).ok_or(Unkept::Gone)?;
        let id = shelf.begins_with(short).ok_or(Unkept::Gone)?;
        let artifact = shelf.read(&id).map_err(|_| Unkept::Gone)?;
        if artifact.card().map_err(|_| Unkept::Other)?.id != id {
            return Err(Unkept::Other);
        }
        Self::opened(&artifact.model, &id, how == OWN).map_err(|_| Unkept::Other)
    }

    /// What it says of some features; nothing if it panics: then it is as if there were no model.
    #[must_use]
    pub fn asked(&self, features: &[f32]) -> Option<Scored> {
        answer(|| self.scorer.score(features.iter().map(|value| f64::from(*value))))
    }

    /// Whether the node fitted it too long ago to act at an instant, in UTC microseconds. How long one that somebody put to work stays there is theirs to say.
    #[must_use]
    pub fn is_outdated(&self, at_us: i64) -> bool {
        self.own && self.reference.as_ref().is_some_and(|reference| at_us.saturating_sub(reference.until_us()) > OWN_DAYS_MAX * DAY_US)
    }

    /// What it says of some features, without reasons: for where nobody reads them, as they take most of the time.
    fn rated(&self, features: &[f32]) -> Option<Scored> {
        answer(|| self.scorer.rate(features.iter().map(|value| f64::from(*value))))
    }

    /// What it says of some features, 0 to 1; no number where it does not say one.
    pub(super) fn score(&self, features: &[f32]) -> f64 {
        self.rated(features).map_or(f64::NAN, |said| said.score)
    }

    /// Whether it would have an event of a channel looked at of which it said this; none as long as it has no line there.
    pub(super) fn raises(&self, outlet: Outlet, said: Option<&Scored>) -> Option<bool> {
        let cut = self.cuts[outlet as usize];
        // Which are looked at by chance says nothing of a model.
        let raised = |said: &Scored| matches!(cut.decide(said.score, said.suspect_inputs, u64::MAX), Some(Alert::AboveCut | Alert::SuspectInput));
        (cut.score < 1.0).then(|| said.is_some_and(raised))
    }

    fn with_cuts(&self, cuts: [Cut; 5]) -> Self {
        let (scorer, reference) = (Arc::clone(&self.scorer), self.reference.clone());
        Self { code: self.code, id: self.id.clone(), own: self.own, registered: self.registered, scorer, reference, cuts }
    }
}

/// As what a model works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Post {
    /// It acts.
    Champion,
    /// It watches.
    Challenger,
}

/// Both posts, in the order in which their models are kept here.
const POSTS: [Post; 2] = [Post::Champion, Post::Challenger];

enum Task {
    /// What one batch said.
    Score(Vec<Row>),
    Fit {
        rows: Vec<Row>,
        day: i64,
    },
    /// What was heard before the start: the lines of the model that acts follow from these, and later those of whichever is put to work.
    Lines(Vec<Row>),
    /// Answers when all tasks before are done.
    Settle(tokio::sync::oneshot::Sender<()>),
}

/// So many of the last events are kept for the lines of a new model.
const RECENT: usize = 2_048;

/// The models.
pub struct Judge {
    champion: RwLock<Option<Arc<Acting>>>,
    challenger: RwLock<Option<Arc<Acting>>>,
    /// Held by whoever changes which models are at work, files and all, so that those who ask wait for a pointer only.
    changing: Mutex<()>,
    tasks: mpsc::SyncSender<Task>,
    /// The last events: what a model that is put to work takes its first lines from.
    recent: Mutex<VecDeque<Row>>,
    /// What the acting model was fed lately.
    lately: Mutex<Lately>,
    /// How the watching model and the acting one agree.
    compared: Mutex<Compared>,
    /// Those that never act, and what they said.
    shadows: Mutex<Shadows>,
    budgets: [Budget; 5],
    /// A model that takes longer for a score is none.
    score_max: Duration,
    /// Registered models that were at fault at work: not put there again before a restart.
    faulty: Mutex<BTreeSet<Code>>,
    shelf: Option<Shelf>,
    fitted_day: AtomicI64,
    /// From so many events on one is fitted.
    fit_from: AtomicU64,
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
    /// With the model that acted last, if it is on the shelf. `budgets` are the alerts a day of each channel, `score_max` how long a score may take.
    pub fn start(budgets: [Budget; 5], score_max: Duration, shelf: Option<Shelf>) -> std::io::Result<Arc<Self>> {
        let (tasks, given) = mpsc::sync_channel(WAITING);
        let judge = Arc::new(Self {
            champion: RwLock::default(),
            challenger: RwLock::default(),
            changing: Mutex::default(),
            tasks,
            recent: Mutex::default(),
            lately: Mutex::default(),
            compared: Mutex::default(),
            shadows: Mutex::default(),
            budgets,
            score_max,
            faulty: Mutex::default(),
            shelf,
            fitted_day: AtomicI64::new(i64::MIN),
            fit_from: AtomicU64::new(ROWS_MIN),
            live: AtomicBool::new(false),
            skipped: AtomicU64::new(0),
        });
        // Where the last one was set aside the next is fitted a day later, as it would be without a restart.
        if let Some((_, day)) = judge.shelf.as_ref().and_then(|shelf| shelf.aside().pop()) {
            judge.fitted_day.store(day, Ordering::Release);
        }
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
        let acting = Acting::opened(bytes, id, own)?;
        match look(&acting.scorer).fault_before(self.score_max) {
            Some(fault) => Err(ModelError::BadArtifact { problem: fault.to_string() }),
            None => Ok(acting),
        }
    }

    /// The acting model, if there is one.
    #[must_use]
    pub fn champion(&self) -> Option<Arc<Acting>> {
        self.at(Post::Champion)
    }

    /// The watching model, if there is one.
    #[must_use]
    pub fn challenger(&self) -> Option<Arc<Acting>> {
        self.at(Post::Challenger)
    }

    fn at(&self, post: Post) -> Option<Arc<Acting>> {
        self.place(post).read().clone()
    }

    /// How far what the acting model is fed is from what it was made of; none if none acts, or it does not say of what it was made.
    #[must_use]
    pub fn drifted(&self, now: Timestamp) -> Option<Drifted> {
        let champion = self.champion()?;
        self.lately.lock().found(&champion, now)
    }

    /// How the watching model and the acting one agree; none if there are not both, or nothing was compared yet.
    #[must_use]
    pub fn agreement(&self) -> Option<Agreement> {
        let (champion, challenger) = (self.champion()?, self.challenger()?);
        self.compared.lock().told([&champion, &challenger])
    }

    /// How the three scorers that never act fare beside the model that does, by what is `known` of sales by now; none as long as there is nothing to compare. It takes some
    /// milliseconds: not on a thread that answers.
    #[must_use]
    pub fn raced(&self, known: &HashMap<u128, Known>) -> Option<Raced> {
        let copied = self.shadows.lock().copied()?;
        Some(copied.raced(known, &self.budgets))
    }

    /// Fits the three that never act for a day, if they are not fitted yet.
    fn fit_shadows(&self, rows: &[Row], day: i64) {
        if self.shadows.lock().are_of(day) {
            return;
        }
        // Nobody waits for it: those before are asked until it is done.
        match Fitted::of(rows, day) {
            Ok(Some(fitted)) => self.shadows.lock().follow(fitted),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the scorers in the shadow could not be fitted; those before watch on, if there were any"),
        }
    }

    /// Puts a registered model to work from the shelf, under the name that it is registered by. One whose bytes are not those that were registered is refused.
    pub fn put_to_work(&self, name: Code, checksum: Digest, post: Post) -> Result<(), ModelError> {
        let at_fault = || ModelError::BadArtifact { problem: "it was set aside at work, as too slow or because it says no number".to_owned() };
        if self.is_faulty(name) {
            return Err(at_fault());
        }
        let (acting, _) = self.found(name, checksum)?;
        // Lines follow from the last scores: until there are some, rules act alone.
        let recent = Vec::from(self.recent.lock().clone());
        let acting = self.with_lines(&acting, &recent);
        let _changing = self.changing.lock();
        // It may have been set aside from the other post meanwhile.
        if self.is_faulty(name) {
            return Err(at_fault());
        }
        self.put(acting, post, None);
        Ok(())
    }

    /// Whether a model stands on the shelf under this name that could be put to work, with these bytes and this card: for whoever registers one.
    pub fn try_out(&self, name: Code, checksum: Digest, card: Digest) -> Result<(), ModelError> {
        let (_, artifact) = self.found(name, checksum)?;
        if crate::digest::digest_of_bytes(artifact.card.as_bytes()) != card {
            return Err(ModelError::BadArtifact { problem: "its card is not the one that is registered".to_owned() });
        }
        Ok(())
    }

    fn found(&self, name: Code, checksum: Digest) -> Result<(Acting, Artifact), ModelError> {
        let bad = |problem: String| ModelError::BadArtifact { problem };
        let shelf = self.shelf.as_ref().ok_or_else(|| bad("there is no folder of models".to_owned()))?;
        let artifact = shelf.read(name.as_str()).map_err(|error| bad(format!("models/fraud/{name} cannot be read in the data folder: {error}")))?;
        let id = artifact.card()?.id;
        if u128::from_str_radix(&id, 16).ok() != Some(checksum.0) {
            return Err(bad("its bytes are not those that are registered".to_owned()));
        }
        let acting = Acting { code: name, registered: true, ..self.opened(&artifact.model, &id, false)? };
        Ok((acting, artifact))
    }

    /// Whether a registered model took too long for a score at work, or said no number: it is not put there again before a restart.
    #[must_use]
    pub fn is_faulty(&self, name: Code) -> bool {
        self.faulty.lock().contains(&name)
    }

    /// Takes a model from work that is at fault, if it is still there: rules act alone, until the node fits one of its own the next day, or another one is put to work. One
    /// that the node fitted stays aside for good; one that is registered is somebody's to retire, and is tried again after a restart.
    fn set_aside(&self, faulty: &Arc<Acting>, post: Post, fault: Fault) {
        let _changing = self.changing.lock();
        // Its lines may have been drawn anew meanwhile: it is the same model.
        if self.place(post).read().as_ref().is_none_or(|acting| !Arc::ptr_eq(&acting.scorer, &faulty.scorer)) {
            return;
        }
        // It is known to be at fault before its place is empty: whoever finds that empty does not put it there again.
        if faulty.registered {
            self.faulty.lock().insert(faulty.code);
        }
        *self.place(post).write() = None;
        tracing::error!(model = %faulty.code, ?post, %fault, "a fraud model was set aside");
        if let Some(shelf) = self.shelf.as_ref().filter(|_| !faulty.registered)
            && let Err(error) = shelf.set_aside(&faulty.id, self.fitted_day.load(Ordering::Acquire))
        {
            tracing::error!(%error, model = %faulty.code, "that a fraud model was set aside was not noted: after a restart it will be at work again");
        }
    }

    /// Takes the model of a post from work that the registry put there and does not name any more; says whether there was one. What the node fits by itself follows.
    pub fn dismiss(&self, post: Post) -> bool {
        let _changing = self.changing.lock();
        let place = self.place(post);
        let Some(acting) = place.read().clone().filter(|acting| acting.registered) else { return false };
        *place.write() = None;
        if post == Post::Champion {
            if let Some(Err(error)) = self.shelf.as_ref().map(|shelf| shelf.forget(&acting.id)) {
                tracing::error!(%error, model = %acting.code, "a model was taken from work and is still noted as acting");
            }
            self.fitted_day.store(i64::MIN, Ordering::Release);
        }
        tracing::info!(model = %acting.code, ?post, "a fraud model was taken from work");
        true
    }

    const fn place(&self, post: Post) -> &RwLock<Option<Arc<Acting>>> {
        match post {
            Post::Champion => &self.champion,
            Post::Challenger => &self.challenger,
        }
    }

    /// Whoever calls holds `changing`.
    fn put(&self, acting: Acting, post: Post, artifact: Option<&Artifact>) -> Code {
        let acting = Arc::new(acting);
        let code = acting.code;
        if let (Some(shelf), Some(artifact)) = (&self.shelf, artifact) {
            let kept =
                shelf.keep(&acting.id, artifact).and_then(|()| if post == Post::Champion { shelf.act(&acting.id, acting.own) } else { Ok(()) });
            if let Err(error) = kept {
                tracing::error!(%error, model = %code, "a model is at work and was not saved: after a restart another one will be");
            }
        }
        *self.place(post).write() = Some(acting);
        tracing::info!(model = %code, ?post, "a fraud model was put to work");
        code
    }

    fn with_lines(&self, acting: &Acting, rows: &[Row]) -> Acting {
        let today = rows.last().map_or(0, Row::day);
        acting.with_cuts(Windows::of(Some(acting), rows).cuts(today, None, &self.budgets))
    }

    /// What was heard before is known again: from now on events are live.
    pub fn begin(&self, fold: &Fold) {
        if self.live.swap(true, Ordering::AcqRel) {
            return;
        }
        let _ = self.tasks.try_send(Task::Lines(fold.rows().cloned().collect()));
        let day = fold.rows().last().map_or(0, Row::day);
        if self.champion().is_some() {
            self.fitted_day.store(day, Ordering::Release);
        } else if self.fitted_day.load(Ordering::Acquire) != day {
            self.fitted_day.store(i64::MIN, Ordering::Release);
            if fold.seen() >= ROWS_MIN {
                self.fit(fold, day);
            }
        }
    }

    /// A batch was heard. Models score what it says when they have the time; what they have no time for is counted.
    pub fn hear(&self, rows: Vec<Row>, fold: &Fold) {
        let Some(last) = rows.last() else { return };
        if !self.live.load(Ordering::Acquire) {
            return;
        }
        let day = last.day();
        if fold.seen() >= self.fit_from.load(Ordering::Acquire) && day > self.fitted_day.load(Ordering::Acquire) {
            self.fit(fold, day);
        }
        let count = rows.len() as u64;
        if self.tasks.try_send(Task::Score(rows)).is_err() {
            self.skipped.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn fit(&self, fold: &Fold, day: i64) {
        if self.tasks.try_send(Task::Fit { rows: fold.rows().cloned().collect(), day }).is_ok() {
            self.fitted_day.store(day, Ordering::Release);
        } else {
            self.fit_from.store(fold.seen() + FIT_AGAIN, Ordering::Release);
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

    /// How many alerts a day analysts read, in the order of [`Outlet::ALL`].
    #[must_use]
    pub const fn budgets(&self) -> &[Budget; 5] {
        &self.budgets
    }

    /// How many events went without the models that watch.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// The model of a post, and its scores: those of another model are no measure for it.
    fn measured(&self, post: Post, windows: &mut Windows) -> Option<Arc<Acting>> {
        let acting = self.at(post);
        if !windows.are_of(acting.as_deref()) {
            let recent = Vec::from(self.recent.lock().clone());
            *windows = self.begun(post, acting.as_deref(), &recent);
        }
        acting
    }

    /// What there is to know of a model that has a post from now on, of some rows.
    fn begun(&self, post: Post, acting: Option<&Acting>, rows: &[Row]) -> Windows {
        if post == Post::Champion {
            let lately = Lately::of(acting, rows);
            *self.lately.lock() = lately;
        }
        Windows::of(acting, rows)
    }

    /// What the models of both posts say of a row: it shows whether they are quick enough, where their lines are, and how far they agree. Which of them is right is worked
    /// out from the journal when it is asked for.
    fn score(&self, row: Row, models: &[Option<Arc<Acting>>; 2], windows: &mut [Windows; 2], paces: &mut [Pace; 2]) {
        let mut said: [Option<Scored>; 2] = [None; 2];
        let places = said.iter_mut().zip(windows.iter_mut()).zip(paces.iter_mut());
        for ((post, acting), ((said, windows), pace)) in POSTS.into_iter().zip(models).zip(places) {
            let Some(acting) = acting else { continue };
            // How long it takes is how long a sale would wait: with reasons.
            let timed = pace.is_timed(&acting.id).then(Stopwatch::start);
            *said = if timed.is_some() { acting.asked(&row.features) } else { acting.rated(&row.features) };
            let looked = pace.take(&acting.id, timed.map(|watch| watch.elapsed()), is_number(said.as_ref()));
            if let Some(fault) = looked.and_then(|looked| looked.fault(self.score_max)) {
                self.set_aside(acting, post, fault);
            }
            windows.push(&row, said.map_or(f64::NAN, |said| said.score));
        }
        if let [Some(champion), Some(challenger)] = models {
            self.compared.lock().take(&row, [champion, challenger], &said);
        }
        let ([champion, _], [acts, _]) = (models, &said);
        self.shadows.lock().take(&row, champion.as_deref(), acts.as_ref());
        self.lately.lock().take(&row);
        let mut recent = self.recent.lock();
        if recent.len() >= RECENT {
            recent.pop_front();
        }
        recent.push_back(row);
    }

    /// Asks those that never act about what was heard of the day that runs before the start, and the model that acts as well.
    fn watch_again<'a>(&self, rows: impl Iterator<Item = &'a Row>) {
        let champion = self.champion();
        for row in rows {
            let said = champion.as_ref().and_then(|acting| acting.rated(&row.features));
            self.shadows.lock().take(row, champion.as_deref(), said.as_ref());
        }
    }

    /// Draws the lines of the model of a post, unless another one has it meanwhile. They are sorted out while nobody waits.
    fn draw(&self, read: &Arc<Acting>, post: Post, cuts: [Cut; 5]) {
        let drawn = Arc::new(read.with_cuts(cuts));
        let mut place = self.place(post).write();
        if place.as_ref().is_some_and(|acting| Arc::ptr_eq(acting, read)) {
            *place = Some(drawn);
        }
    }

    /// Fits a model on the last [`ROWS`] of some events, draws its lines through all of them, and puts it to work.
    fn fit_own(&self, rows: &[Row], day: i64) -> Result<(), ModelError> {
        let features = feature_list()?;
        let before = self.champion();
        let learned = &rows[rows.len().saturating_sub(ROWS)..];
        let values: Vec<f64> = learned.iter().flat_map(|row| &row.features).map(|value| f64::from(*value)).collect();
        let table = Rows::new(N, values)?;
        // The features are logarithms already, and their far ends are what is looked for.
        let treatment = Treatment { logarithm: false, clip: false };
        let seed = day.unsigned_abs();
        let scorer = Scorer::fit_behaviours(&table, treatment, Plan { groups: &behaviours(), weights: &WEIGHTS })?.explained_by(&groups())?;
        let at = |row: Option<&Row>| row.map_or(0, |row| row.at_us);
        let particulars = Particulars {
            kind: Kind::Fraud,
            method: OWN_METHOD.to_owned(),
            created: Timestamp::from_micros(at(learned.last())).to_string(),
            code_revision: env!("CARGO_PKG_VERSION").to_owned(),
            data: TrainingData {
                name: "journal".to_owned(),
                sha256: String::new(),
                rows: learned.len() as u64,
                period: format!("{} to {} (microseconds, UTC)", at(learned.first()), at(learned.last())),
            },
            seed,
            settings: Vec::new(),
            metrics: Vec::new(),
            parent: before.as_ref().map(|acting| acting.id.clone()),
            approver: None,
        };
        let reference = Reference::fit(learned.iter().map(Row::fed))?;
        let artifact = Artifact::seal(&(&scorer, &reference), &features, particulars)?;
        let id = artifact.card()?.id;
        if self.shelf.as_ref().is_some_and(|shelf| shelf.is_aside(&id)) {
            tracing::warn!(model = id, "the model that the node fitted was set aside before: rules go on, with the model before if there was one");
            return Ok(());
        }
        let acting = self.opened(&artifact.model, &id, true)?;
        let acting = self.with_lines(&acting, rows);
        let post = if before.as_ref().is_none_or(|champion| champion.own) { Post::Champion } else { Post::Challenger };
        let _changing = self.changing.lock();
        let id_of = |acting: Option<&Arc<Acting>>| acting.map(|acting| acting.id.clone());
        let is_other = id_of(self.champion().as_ref()) != id_of(before.as_ref());
        if is_other || post == Post::Challenger && self.challenger().is_some_and(|challenger| challenger.registered) {
            tracing::info!(model = %acting.code, "the model that the node fitted is not used: somebody has put another one to work");
            return Ok(());
        }
        self.put(acting, post, Some(&artifact));
        // One of its own that watched beside a model which has gone would watch for ever: what follows it acts.
        if post == Post::Champion && self.challenger().is_some_and(|challenger| challenger.own) {
            *self.place(Post::Challenger).write() = None;
        }
        let at_work: Vec<String> = POSTS.into_iter().filter_map(|post| self.at(post)).map(|acting| acting.id.clone()).collect();
        let at_work: Vec<&str> = at_work.iter().map(String::as_str).collect();
        if let Some(Err(error)) = self.shelf.as_ref().map(|shelf| shelf.prune(&at_work)) {
            tracing::warn!(%error, "older models of the node's own were not removed");
        }
        Ok(())
    }
}

/// The thread of the models: ends when nobody has the judge any more.
fn work(judge: &Weak<Judge>, tasks: &mpsc::Receiver<Task>) {
    if let Err(error) = rustix::process::nice(PATIENCE) {
        tracing::warn!(%error, "the fraud models cannot be made to wait for others");
    }
    let mut windows = <[Windows; 2]>::default();
    let mut paces = <[Pace; 2]>::default();
    let mut day = i64::MIN;
    while let Ok(task) = tasks.recv() {
        let Some(judge) = judge.upgrade() else { return };
        match task {
            Task::Score(rows) => {
                for row in rows {
                    let [acts, watches] = &mut windows;
                    let models = [judge.measured(Post::Champion, acts), judge.measured(Post::Challenger, watches)];
                    let today = row.day();
                    if today > day {
                        let has_begun = day != i64::MIN;
                        for ((post, acting), windows) in POSTS.into_iter().zip(&models).zip(&mut windows) {
                            if let Some(acting) = acting.as_ref().filter(|_| has_begun) {
                                judge.draw(acting, post, windows.cuts(today, Some(&acting.cuts), &judge.budgets));
                            }
                        }
                        day = today;
                    }
                    judge.score(row, &models, &mut windows, &mut paces);
                }
            }
            Task::Fit { rows, day: fitted } => {
                if let Err(error) = judge.fit_own(&rows, fitted) {
                    tracing::error!(%error, "no fraud model could be fitted; rules go on, with the model before if there was one");
                }
                judge.fit_shadows(&rows, fitted);
                for (post, windows) in POSTS.into_iter().zip(&mut windows) {
                    let acting = judge.at(post);
                    if !windows.are_of(acting.as_deref()) {
                        *windows = judge.begun(post, acting.as_deref(), &rows);
                        if post == Post::Champion {
                            // It came with its lines.
                            day = fitted;
                        }
                    }
                }
            }
            Task::Lines(rows) => {
                judge.recent.lock().extend(rows.iter().rev().take(RECENT).rev().cloned());
                day = rows.last().map_or(i64::MIN, Row::day);
                for (post, windows) in POSTS.into_iter().zip(&mut windows) {
                    let acting = judge.at(post);
                    *windows = judge.begun(post, acting.as_deref(), &rows);
                    if let Some(acting) = acting {
                        judge.draw(&acting, post, windows.cuts(day, None, &judge.budgets));
                    }
                }
                if rows.len() as u64 >= ROWS_MIN {
                    judge.fit_shadows(&rows, day);
                    judge.watch_again(rows.iter().filter(|row| row.day() == day));
                }
            }
            Task::Settle(done) => drop(done.send(())),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
