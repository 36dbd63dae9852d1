//! Fraud, live: what is said of a command before it is given. [`Scoring::assess`] reads the counters of those who take part, asks the rules and the acting model,
//! and says what is to be done: no mailbox, no lock that is held for long, no disk. Selling never waits for any of it: if a model is missing or counters are behind, rules
//! act alone.
//!
//! - From the journal to an answer: [`hearing`] turns the journal into signals, [`scorers`] write the [`counters`] in the order of commits, [`judge`] keeps the models, and
//!   [`Said`] is what follows from features.
//! - To say it again: [`fold`] is the part of all this that follows from the journal alone, so [`again`] can work out once more what was said;
//!   [`versions`] tells what rules said before.
//! - Beside the work: [`lately`] compares what the acting model is fed with what it was made of, [`agreement`] compares what it says with what the challenger says, and
//!   [`shadows`] has three scorers that never act.

pub mod again;
pub mod agreement;
pub(crate) mod bank;
pub mod challenge;
pub mod counters;
pub mod evidence;
pub mod fold;
pub mod hearing;
pub mod in_force;
pub mod judge;
pub mod labels;
pub mod lately;
mod pace;
pub mod recent;
mod said;
mod saved;
pub mod scorers;
mod scores;
pub mod shadows;
pub mod shelf;
pub mod trial;
pub mod versions;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::{Arbiter, ArbiterHandle};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Assessment, Digest, Envelope, Party};
use tornello_engine::ids::{Code, HoldId, KeyId, MuseumId, PaymentId};
use tornello_engine::money::Cents;
use tornello_engine::slot::Line;
use tornello_engine::time::Timestamp;
use tornello_models::fraud::budget::Budget;
use tornello_models::fraud::rules::{Action, Fired, RuleSet};
pub use tornello_models::fraud::signals::{FEATURES, Outlet, SignalEvent, SignalKind, Taking};
use tornello_models::fraud::signals::{FeatureVector, Known, Role, features};

use self::challenge::Challenges;
use self::counters::Counters;
use self::judge::{Acting, Judge};
use self::recent::Recent;
pub(crate) use self::said::of_option;
use self::said::{Found, Judged, NO_MODEL};
pub use self::said::{Said, UNREAD};
pub(crate) use self::saved::SavedFile;
use self::scorers::{Asking, Follower, Progress, Tap, Tapped};
use self::shelf::Shelf;
use crate::cases::passes::Passes;
use crate::journal::{Head, Journal, writer};

/// For how many parties attempts beyond those that are kept are counted in memory, before their number is written down.
const BEYOND: usize = 4_096;
/// How many such attempts of one party are written down at once.
const BEYOND_AT_ONCE: u32 = 100;
/// For how many holds the places are remembered, because they are assessed again when they are bought.
const HOLDS: usize = 65_536;
/// How long to wait at most for an answer of the thread that follows the journal, when it is asked who took part in a hold. It answers between two batches.
const ASKED_FOR: Duration = Duration::from_millis(250);

/// The most microseconds that a score may take: ten times the aim. No model of a sound size comes near it, on any machine that sells.
const SCORE_US_MAX: u32 = 250;

/// How the scorers are set up.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// About so many parties are counted at once.
    pub parties: usize,
    /// How many parties analysts can read of each day because of the model, by channel in their order.
    pub alerts_per_day: [u32; 5],
    /// The most microseconds for a score: a model that takes longer does not act.
    pub score_us_max: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { parties: 131_072, alerts_per_day: [50, 10, 10, 10, 20], score_us_max: SCORE_US_MAX }
    }
}

/// Rules with what is to be known of them beside their conditions.
#[derive(Debug, Default)]
pub struct Rules {
    /// Their version; 0: the hard defaults, that nobody has changed.
    pub version: u32,
    /// The rules.
    pub set: RuleSet,
}

impl Rules {
    /// What is the matter when a rule fires, in Italian and English; empty if there is no such rule.
    #[must_use]
    pub fn sentence(&self, name: &str) -> (String, String) {
        self.set.rules().find(|rule| rule.name == name).map(|rule| (rule.it.clone(), rule.en.clone())).unwrap_or_default()
    }
}

/// How the scorers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The last batch that they have heard.
    pub position: u64,
    /// Whether all that was written before the start has been heard: before, rules act alone, on older counters.
    pub caught_up: bool,
    /// How many parties are counted.
    pub parties: usize,
    /// The acting model, if there is one.
    pub champion: Option<Code>,
    /// The watching model, if there is one.
    pub challenger: Option<Code>,
    /// The version of the rules; 0: the hard defaults.
    pub rules_version: u32,
    /// How many commands were assessed.
    pub assessed: u64,
    /// Of them those that no model took part in.
    pub without_model: u64,
    /// Of them those of which counters could not be read, because batches overtook the reader.
    pub unread: u64,
    /// Of them those with figures that cannot be.
    pub suspect: u64,
    /// How often batches had to be read from the journal, because the tap had no room.
    pub missed: u64,
    /// How many events went without the models that watch.
    pub skipped: u64,
}

#[derive(Debug, Default)]
struct Counts {
    assessed: AtomicU64,
    without_model: AtomicU64,
    unread: AtomicU64,
    suspect: AtomicU64,
}

/// Why a model does not act although there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    /// The scorers are too far behind the journal: what they know of a party may be long over.
    Behind,
    /// The node fitted it too long ago: no later one could be fitted.
    OldModel,
}

impl Stale {
    /// Its name in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Behind => "behind",
            Self::OldModel => "old_model",
        }
    }
}

/// Fraud, live.
#[derive(Debug)]
pub struct Scoring {
    counters: Arc<Counters>,
    progress: Arc<Progress>,
    judge: Arc<Judge>,
    rules: RwLock<Arc<Rules>>,
    counts: Counts,
    held: Holds,
    paid: Mutex<Recent<u64, Box<Assessment>>>,
    challenges: Challenges,
    /// Whom rules let pass that had refused them.
    passes: Arc<Passes>,
    /// Attempts beyond those that are kept, not yet counted in the journal.
    beyond: Mutex<Recent<Option<Party>, u32>>,
    threads: Vec<Arbiter>,
    trials: Semaphore,
    no_model: Code,
    /// By which reckoning, see [`said::edition`].
    edition: u32,
    /// Asks whoever follows the journal where a hold came from.
    asking: mpsc::Sender<Asking>,
}

/// The last holds, by their numbers.
pub(crate) type Holds = Arc<Mutex<Recent<u128, Arc<Held>>>>;

/// What is remembered of a hold, and of the sale that it becomes.
#[derive(Debug)]
pub struct Held {
    /// Through which channel.
    pub channel: Channel,
    /// Its places.
    pub lines: Vec<Line>,
    /// Who took part.
    pub parties: Vec<Taking>,
}

impl Held {
    /// What a slot itself knows of a hold, for when nothing is remembered: of those who took part only the buyer, if the channel named one.
    #[must_use]
    pub fn in_slot(channel: Channel, lines: Vec<Line>, buyer: Option<Digest>) -> Self {
        Self { channel, lines, parties: buyer.map(|buyer| Taking { role: Role::Buyer, id: { buyer.0 } }).into_iter().collect() }
    }

    /// Whether a buyer was named.
    #[must_use]
    pub fn names_buyer(&self) -> bool {
        self.parties.iter().any(|taking| taking.role == Role::Buyer)
    }
}

/// Before the journal's writer starts: the tap for it, and what follows it.
pub struct Prepared {
    /// Fraud, live.
    pub scoring: Arc<Scoring>,
    tap: Tap,
    tapped: mpsc::Receiver<Tapped>,
    asked: mpsc::Receiver<Asking>,
    file: Option<SavedFile>,
}

impl Scoring {
    /// Sets up the scorers; `data` is the folder for what they save, none in memory; `passes` whom rules are not to refuse; `apart` whether they have threads
    /// of their own, or run on the one that follows. Call inside an actix system.
    pub fn prepare(sizes: Sizes, data: Option<&Path>, passes: Arc<Passes>, apart: bool) -> std::io::Result<Prepared> {
        let budgets = sizes.alerts_per_day.map(|alerts_per_day| Budget { alerts_per_day });
        let judge = Judge::start(budgets, Duration::from_micros(sizes.score_us_max.into()), data.map(Shelf::in_folder))?;
        let progress = Arc::new(Progress::default());
        let (tap, tapped) = scorers::tap(Arc::clone(&progress));
        let (asking, asked) = mpsc::channel(scorers::ASKED);
        // A thread apart, so that a slot never waits for a scorer; more of them where there are processors to spare.
        let threads = std::thread::available_parallelism().map_or(1, |count| (count.get() / 8).clamp(1, 4));
        let scoring = Self {
            counters: Arc::new(Counters::new(sizes.parties)),
            progress,
            judge,
            rules: RwLock::new(Arc::new(Rules { version: 0, set: RuleSet::hard_defaults() })),
            counts: Counts::default(),
            held: Arc::new(Mutex::new(Recent::new(HOLDS))),
            paid: Mutex::new(Recent::new(HOLDS)),
            challenges: Challenges::new()?,
            passes,
            beyond: Mutex::new(Recent::new(BEYOND)),
            threads: (0..if apart { threads } else { 0 }).map(|_| Arbiter::new()).collect(),
            trials: Semaphore::new(1),
            no_model: NO_MODEL.parse().map_err(std::io::Error::other)?,
            edition: said::edition(),
            asking,
        };
        Ok(Prepared { scoring: Arc::new(scoring), tap, tapped, asked, file: data.map(SavedFile::in_folder) })
    }

    /// As [`Scoring::say`], for whoever needs only what is written down.
    #[must_use]
    pub fn assess(&self, signal: &SignalEvent) -> Assessment {
        self.say(signal).assessment
    }

    /// Reads the counters of those who take part in a command, asks rules and model, and says what is to be done.
    #[must_use]
    pub fn say(&self, signal: &SignalEvent) -> Said {
        self.counts.assessed.fetch_add(1, Ordering::Relaxed);
        let Some((position, known)) = self.counters.known(signal) else { return self.unread(signal) };
        let features = features(&known, signal);
        let judged = if fold::is_judged(signal) && self.progress.is_caught_up(&self.counters) { self.judged(signal, &features) } else { None };
        // Held meanwhile: rules change some times a year, and a copy of the pointer is one more count in which all threads count up and down.
        let rules = self.rules.read();
        let found = Found { signal, features: &features, position, rules: &rules, judged };
        let fired = found.fired();
        self.said(found, fired)
    }

    /// Which of the rules that fired are to refuse nothing here, because they refused one of these parties before, who was then found honest. Only refusals ask this, so nobody
    /// else waits for it.
    fn spared(&self, signal: &SignalEvent, rules: &Rules, fired: Fired) -> Vec<Code> {
        if fired.action != Some(Action::Block) {
            return Vec::new();
        }
        let passed = self.passes.spared(&signal.parties, Timestamp::from_micros(signal.at_us));
        let refuses = fired.places().filter_map(|place| rules.set.rules().nth(place)).filter(|rule| rule.action == Action::Block);
        refuses.filter_map(|rule| rule.name.parse::<Code>().ok()).filter(|name| passed.contains(name)).collect()
    }

    /// What the acting model says; nothing if it does not act, because it is too old or the scorers are too far behind.
    fn judged(&self, signal: &SignalEvent, features: &FeatureVector) -> Option<Judged> {
        let acting = self.judge.champion().filter(|acting| self.staleness(acting, signal.at_us).is_none())?;
        // A model that breaks is none: rules act alone.
        let judged = Judged::by(&acting, signal, features, acting.cuts[signal.outlet as usize].score);
        if judged.as_ref().is_none_or(|judged| judged.suspect) {
            self.counts.suspect.fetch_add(1, Ordering::Relaxed);
        }
        judged
    }

    /// What is said where the counters could not be read, as batches overtook the reader again and again.
    fn unread(&self, signal: &SignalEvent) -> Said {
        self.counts.unread.fetch_add(1, Ordering::Relaxed);
        let features = features(&Known::default(), signal);
        let rules = Arc::clone(&self.rules.read());
        let found = Found { signal, features: &features, position: self.counters.position(), rules: &rules, judged: None };
        let fired = found.fired();
        self.said(found, fired).unread(signal.outlet)
    }

    fn said(&self, found: Found<'_>, fired: Fired) -> Said {
        if found.judged.is_none() {
            self.counts.without_model.fetch_add(1, Ordering::Relaxed);
        }
        let spared = self.spared(found.signal, found.rules, fired);
        found.said(fired, spared, self.no_model, self.edition)
    }

    /// Remembers a hold, or a sale that tickets have moved to: when something becomes of it its places need not be asked for.
    pub fn remember(&self, hold: HoldId, channel: Channel, lines: &[Line], parties: Vec<Taking>) {
        let mut held = self.held.lock();
        // A request that is repeated says nothing new, and would forget who was named when it was bought.
        if held.get(&hold.get()).is_none() {
            held.put(hold.get(), Arc::new(Held { channel, lines: lines.to_vec(), parties }));
        }
    }

    /// Forgets a hold that is about to change; answers what was remembered of it.
    pub(crate) fn forget(&self, hold: HoldId) -> Option<Arc<Held>> {
        self.held.lock().take(&hold.get())
    }

    /// What is remembered of a hold.
    #[must_use]
    pub fn held(&self, hold: HoldId) -> Option<Arc<Held>> {
        self.held.lock().get(&hold.get()).cloned()
    }

    /// What a slot knows of a hold, with all who took part as far as the thread that follows the journal remembers them. It is for holds that are not remembered here, as after a
    /// restart, or when too many others came in between.
    pub async fn recalled(&self, hold: HoldId, mut in_slot: Held) -> Held {
        if let Some(mut parties) = self.parties_of(hold).await {
            hearing::join(&mut parties, in_slot.parties);
            in_slot.parties = parties;
        }
        in_slot
    }

    /// Who took part in a hold, an entry or a sale, as the journal says; none if it is not remembered there either, or nobody answers in time.
    async fn parties_of(&self, hold: HoldId) -> Option<Vec<Taking>> {
        let (answer, answered) = oneshot::channel();
        self.asking.try_send(Asking { hold, answer }).ok()?;
        tokio::time::timeout(ASKED_FOR, answered).await.ok()?.ok()?
    }

    /// Remembers what was said of a payment: its sales are made later, and carry it.
    pub fn remember_payment(&self, payment: PaymentId, assessment: &Assessment) {
        self.paid.lock().put(payment.get(), Box::new(assessment.clone()));
    }

    /// What was said of a payment, if it is remembered.
    #[must_use]
    pub fn of_payment(&self, payment: PaymentId) -> Option<Box<Assessment>> {
        self.paid.lock().get(&payment.get()).cloned()
    }

    /// The rules that hold.
    #[must_use]
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read())
    }

    /// Counts an attempt of a party beyond those that are kept. Answers with how many are to be written down now, if it is time. Those that were not written down are forgotten
    /// with the process: they would cost a flush each, and change nothing.
    #[must_use]
    pub fn beyond(&self, acting: Option<Party>) -> Option<u32> {
        let mut beyond = self.beyond.lock();
        let count = beyond.take(&acting).unwrap_or(0) + 1;
        if count >= BEYOND_AT_ONCE {
            return Some(count);
        }
        beyond.put(acting, count);
        None
    }

    /// The puzzles that are given as a step-up.
    #[must_use]
    pub const fn challenges(&self) -> &Challenges {
        &self.challenges
    }

    /// Held by whoever tries a rule: a trial reads the whole journal, so there is one at a time.
    #[must_use]
    pub const fn trials(&self) -> &Semaphore {
        &self.trials
    }

    /// The models.
    #[must_use]
    pub const fn judge(&self) -> &Arc<Judge> {
        &self.judge
    }

    /// The counters.
    #[must_use]
    pub const fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// How the scorers are.
    #[must_use]
    pub fn state(&self) -> State {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        State {
            position: self.counters.position(),
            caught_up: self.progress.is_caught_up(&self.counters),
            parties: self.counters.parties(),
            champion: self.judge.champion().map(|acting| acting.code),
            challenger: self.judge.challenger().map(|acting| acting.code),
            rules_version: self.rules.read().version,
            assessed: count(&self.counts.assessed),
            without_model: count(&self.counts.without_model),
            unread: count(&self.counts.unread),
            suspect: count(&self.counts.suspect),
            missed: count(&self.progress.missed),
            skipped: self.judge.skipped(),
        }
    }

    fn staleness(&self, acting: &Acting, at_us: i64) -> Option<Stale> {
        if self.progress.is_behind(&self.counters) { Some(Stale::Behind) } else { acting.is_outdated(at_us).then_some(Stale::OldModel) }
    }

    /// Why rules act alone although there is a model; none if it acts, or there is none.
    #[must_use]
    pub fn stale(&self, now: Timestamp) -> Option<Stale> {
        let acting = self.judge.champion()?;
        self.staleness(&acting, now.as_micros())
    }

    fn thread(&self, number: usize) -> ArbiterHandle {
        self.threads.get(number % self.threads.len().max(1)).map_or_else(Arbiter::current, Arbiter::handle)
    }

    /// Ends the scorers' threads.
    pub fn stop(&self) {
        for thread in &self.threads {
            thread.stop();
        }
    }
}

impl Prepared {
    /// What the journal's writer is to tell of each batch.
    #[must_use]
    pub fn tap(&self) -> writer::Tap {
        let tap = self.tap.clone();
        Box::new(move |batch, hash| tap.committed(batch, hash))
    }

    /// Begins to follow the journal, which ends at `head` now. The answer comes when the writer has ended, all is heard, and it is saved.
    pub fn follow(self, journal: Arc<dyn Journal>, head: Head, committed: watch::Receiver<Head>) -> (Arc<Scoring>, oneshot::Receiver<()>) {
        let Self { scoring, tap: _, tapped, asked, file } = self;
        let (done, ended) = oneshot::channel();
        let follower = Follower::new(journal, &scoring, (file, asked), head);
        scoring.thread(0).spawn(async move {
            follower.run(tapped, committed).await;
            let _ = done.send(());
        });
        (scoring, ended)
    }
}

/// The signal of a command for places.
#[must_use]
pub fn signal_of(at: Timestamp, kind: SignalKind, channel: Channel, hold: HoldId, lines: &[Line], envelope: &Envelope) -> SignalEvent {
    hearing::places(at, kind, channel, hold.slot(), lines, envelope)
}

/// The signal of a command that makes a sale of a hold: also of whoever held the places, whoever the command names.
#[must_use]
pub fn signal_of_held(at: Timestamp, kind: SignalKind, hold: HoldId, held: &Held, envelope: &Envelope) -> SignalEvent {
    let mut signal = signal_of(at, kind, held.channel, hold, &held.lines, envelope);
    hearing::join(&mut signal.parties, held.parties.iter().copied());
    signal
}

/// The signal of tickets that are given back or taken back. What comes of it in money is not known before it is decided.
#[must_use]
pub fn signal_of_return(
    at: Timestamp,
    kind: SignalKind,
    channel: Channel,
    sale: HoldId,
    people: u32,
    envelope: &Envelope,
    held: Option<&Held>,
) -> SignalEvent {
    let outlet = hearing::outlet(held.map_or(channel, |held| held.channel));
    let mut signal = SignalEvent::new(at.as_micros(), kind, outlet, sale.slot().museum().0);
    signal.slot = sale.slot().get();
    signal.people = people;
    signal.parties = hearing::parties(envelope, hearing::outlet(channel));
    if let Some(held) = held {
        hearing::join(&mut signal.parties, hearing::but_operators(&held.parties));
    }
    signal
}

/// The signal of tickets that are moved to another slot: places are taken there and sold at once. Taking part are whoever moves them, whose channel counts, and whoever had
/// them. `arrival` is the sale that they become; `held` is what is remembered of the sale that they come from.
#[must_use]
pub fn signal_of_move(at: Timestamp, via: Channel, arrival: HoldId, lines: &[Line], envelope: &Envelope, held: Option<&Held>) -> SignalEvent {
    let mut signal = signal_of(at, SignalKind::Sold { held: true }, via, arrival, lines, envelope);
    if let Some(held) = held {
        hearing::join(&mut signal.parties, hearing::but_operators(&held.parties));
    }
    signal
}

/// The signal of a count of cash, as it is found in the journal later: also of who opened the session.
#[must_use]
pub fn signal_of_count(at: Timestamp, museum: MuseumId, difference_cents: Cents, envelope: &Envelope, opener: Option<KeyId>) -> SignalEvent {
    hearing::count(at, museum, difference_cents, envelope.who, opener)
}

/// The signal of a payment that begins, as it is found in the journal later: also of whoever held the places of any of its holds.
#[must_use]
pub fn signal_of_payment(
    at: Timestamp,
    channel: Channel,
    museum: MuseumId,
    amount_cents: i64,
    envelope: &Envelope,
    first: HoldId,
    held: &[Arc<Held>],
) -> SignalEvent {
    let mut signal = hearing::payment(at, channel, museum, amount_cents, Some(first), envelope);
    for held in held {
        hearing::join(&mut signal.parties, held.parties.iter().copied());
    }
    signal
}
