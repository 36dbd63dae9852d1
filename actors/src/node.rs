//! One running installation: journal, owners, read models and clocks put together, with what callers may ask of them. `api` knows nothing below this.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::ArbiterHandle;
use tokio::sync::{Semaphore, watch};
use tornello_engine::account::{self, Account};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::attempts::{self, Attempts};
use tornello_engine::attendance::{self, Attendance};
use tornello_engine::case::{self, Case};
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Envelope, Party};
use tornello_engine::fraud_rules::{self, Rules};
use tornello_engine::ids::{AccountId, AttemptId, CaseId, Code, KeyId, MuseumId, OrderId, PaymentId, QuoteId, SlotId, TillId, VoucherId};
use tornello_engine::model_registry::{self, ModelKind, Models};
use tornello_engine::museum::{self, Museum};
use tornello_engine::order::{self, Order};
use tornello_engine::payment::{self, Payment};
use tornello_engine::planning::{self, Planning};
use tornello_engine::quote::{self, Quote};
use tornello_engine::recall::Recall;
use tornello_engine::record::Record;
use tornello_engine::slot::{self, Slot};
use tornello_engine::till::{self, Till};
use tornello_engine::time::Timestamp;
use tornello_engine::voucher::{self, Voucher};

use crate::accounts::{self, Accounts};
use crate::attended::Attended;
use crate::availability::{Near, Nearby};
use crate::board::{Board, SlotHead};
use crate::cases;
use crate::cases::board::Cases;
use crate::clock::{Clock, RealClock};
use crate::codes::{Codes, CodesError};
use crate::defences::Defences;
use crate::digest::digest;
use crate::failure::Failure;
use crate::forecaster::Forecaster;
use crate::fraud::{Scoring, Sizes};
use crate::history::{self, Page, Past};
use crate::journal::file::{self, FileJournal};
use crate::journal::memory::MemoryJournal;
use crate::journal::writer::{self, Health, Lease, Limits};
use crate::journal::{Batch, Head, Journal, JournalError, StreamId};
use crate::keys::{Keys, KeysError};
use crate::limits::{self, Aside, DayLimits};
use crate::moves::{self, Driving};
use crate::museums::Museums;
use crate::owner::{Answer, Silent, Tell};
use crate::payments::{self, Gateway, Paying, Payments};
use crate::people::{MasterKey, People, PeopleError, Pseudonymiser};
use crate::plans::Plans;
use crate::quotes::{self, Quotes, Quoting};
use crate::registry::Registry;
use crate::rooms::Rooms;
use crate::sensors::{Beside, Occupancy, Reading, Rejected, Sensors};
use crate::signing::{SigningError, SigningKeys};
use crate::start::{self, Boards, Checked, Memory};
use crate::streams::{Creating, Streams, read_failed};
use crate::threads::Threads;
use crate::tills::Tills;
use crate::views::{Views, ViewsError};
use gates::Gates;
pub use gates::Passage;
use grants::Grants;

/// A wall clock this far behind the journal's last record is wrong.
const BEHIND_S: i64 = 60;
/// A wall clock this far ahead of it may be wrong.
const AHEAD_S: i64 = 366 * 86_400;
/// Owners that nobody asked for so long are retired.
const RETIRE_EVERY: Duration = Duration::from_secs(60);
/// Slots that ended so long ago leave the board.
const FORGET_AFTER_S: i64 = 3 * 86_400;
/// How long a stop waits for what was asked.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// How soon slots are woken again whose deadline still stands, when the journal writes and when it does not.
const WAKE_AGAIN: Duration = Duration::from_millis(50);
const WAKE_AGAIN_BROKEN: Duration = Duration::from_secs(1);
/// A wall clock that has moved by so much since it was last reported has jumped again.
const TOLD_AGAIN_US: i64 = 1_000_000;
const KEYS_EVERY: Duration = Duration::from_millis(500);
/// For how many looks after registered models could not be put to work the same are let be: a minute.
const MODELS_AGAIN: u32 = 120;
/// How many slots are replayed to an earlier moment at once: each is as large in memory as when it is in use.
const HISTORIES: usize = 2;

/// Where things are kept and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data folder.
    pub data: PathBuf,
    /// How many threads of their own owners have, see [`Threads`].
    pub arbiters: usize,
    /// How large batches and queues get.
    pub limits: Limits,
    /// Starts even if the wall clock is far from the journal's last record.
    pub accept_clock: bool,
    /// How the scorers of fraud are set up.
    pub scoring: Sizes,
    /// Whether flows of money, and reviews, go on by themselves, and scorers hear what happens; moves always go on. A replay, whose years are minutes, leaves them to whoever opens its folder next:
    /// they would go on at other times in each run.
    pub drives: bool,
}

impl Settings {
    /// The usual settings for a data folder.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self { data: data.into(), arbiters: 1, limits: Limits::default(), accept_clock: false, scoring: Sizes::default(), drives: true }
    }
}

/// Why an installation does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error("the data folder {folder} cannot be used: {source}")]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process uses it.
    #[error("another process uses the data folder {0}: stop it first, or choose another folder with --data")]
    InUse(PathBuf),
    /// The journal is damaged or cannot be read.
    #[error("the journal does not allow a start: {0}: `tornello verify` tells more; put a backup in its place")]
    Journal(JournalError),
    /// The read models cannot be used.
    #[error(transparent)]
    Views(#[from] ViewsError),
    /// Keys cannot be read.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Contacts cannot be read.
    #[error(transparent)]
    People(#[from] PeopleError),
    /// Signing keys cannot be read.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// Signing keys cannot be used.
    #[error(transparent)]
    Codes(#[from] CodesError),
    /// The wall clock and the journal disagree.
    #[error("the wall clock says {wall}, the journal's last record is of {last}: set the clock, or start with --accept-clock if it is right")]
    Clock {
        /// The wall clock.
        wall: Timestamp,
        /// The journal.
        last: Timestamp,
    },
    /// A thread cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}

impl From<JournalError> for StartError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

/// Publishes what slots have become.
#[derive(Debug)]
pub struct SlotTell(Arc<Board>, Arc<DayLimits>);

impl Tell<Slot> for SlotTell {
    type View = SlotHead;

    fn view(&self, state: &Slot) -> SlotHead {
        SlotHead::of(state)
    }

    fn committed(&self, stream: &Lease, record: &Record<slot::Event>, view: SlotHead, _: u64) {
        if let StreamId::Slot(slot) = stream.stream {
            self.1.take(&view.policy.limits, record);
            self.0.publish(slot, view);
        }
    }

    fn rebuilt(&self, stream: &Lease, state: &Slot) {
        if let StreamId::Slot(slot) = stream.stream
            && state.is_opened()
            && self.0.head(slot) != Some(SlotHead::of(state))
        {
            self.1.put(state);
            self.0.publish(slot, SlotHead::of(state));
        }
    }
}

/// A running installation.
pub struct Node {
    clock: Arc<dyn Clock>,
    board: Arc<Board>,
    museums: Arc<Museums>,
    slots: Registry<Slot, SlotTell>,
    museum_owners: Registry<Museum, Museums>,
    payment_owners: Registry<Payment, Payments>,
    voucher_owners: Registry<Voucher, Silent>,
    order_owners: Registry<Order, Silent>,
    quote_owners: Registry<Quote, Quotes>,
    till_owners: Registry<Till, Tills>,
    account_owners: Registry<Account, Accounts>,
    case_owners: Registry<Case, Cases>,
    rules_owner: Registry<Rules, Defences>,
    model_owners: Registry<Models, Defences>,
    attempt_owners: Registry<Attempts, Silent>,
    attendance_owners: Registry<Attendance, Attended>,
    planning_owners: Registry<Planning, Plans>,
    cases: Arc<Cases>,
    defences: Arc<Defences>,
    day_limits: Arc<DayLimits>,
    attended: Arc<Attended>,
    plans: Arc<Plans>,
    forecaster: Forecaster,
    payments: Arc<Payments>,
    quotes: Arc<Quotes>,
    tills: Arc<Tills>,
    accounts: Arc<Accounts>,
    quoting: Quoting,
    creating: Arc<Creating>,
    gateway: OnceLock<Arc<dyn Gateway>>,
    paying: Paying,
    sensors: Sensors,
    grants: Grants,
    gates: Gates,
    scoring: Arc<Scoring>,
    rooms: Rooms,
    nearby: Nearby,
    driving: Driving,
    threads: Arc<Threads>,
    committed: watch::Receiver<Head>,
    health: watch::Receiver<Health>,
    journal: Arc<dyn Journal>,
    histories: Semaphore,
    started: Checked,
    /// What a data folder holds beside the journal; none in memory.
    files: Option<Files>,
}

/// What a data folder holds beside the journal.
pub struct Files {
    /// Read models.
    pub views: Views,
    /// API keys.
    pub keys: Keys,
    /// Contacts.
    pub people: People,
    /// Makes pseudonyms of what channels know of parties.
    pub pseudonymiser: Pseudonymiser,
    /// Signs and verifies ticket codes.
    pub codes: Codes,
    _lock: std::fs::File,
}

/// What is left to do when a node stops.
pub struct Running {
    node: Arc<Node>,
    writer: std::thread::JoinHandle<()>,
    /// The tasks that end by themselves when the journal's queue and the owners are gone: the read models, the snapshots.
    ending: Vec<tokio::task::JoinHandle<()>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Node {
    /// Starts on a data folder. Call inside an actix system.
    pub async fn start(settings: &Settings, clock: Arc<dyn Clock>, progress: impl FnMut(u64)) -> Result<Running, StartError> {
        let data = &settings.data;
        let folder = |source| StartError::Folder { folder: data.clone(), source };
        std::fs::create_dir_all(data).map_err(folder)?;
        let lock = lock(data)?;
        let journal = Arc::new(FileJournal::open(&data.join(file::FILE)).await?);
        journal.settle().await?;
        let views = Views::open(&data.join("views.db")).await?;
        let keys = Keys::open(data.join("keys.db")).await?;
        let master = MasterKey::load_or_create(&data.join("master.key"))?;
        let pseudonymiser = Pseudonymiser::new(&master);
        let people = People::open(data, master, clock.now()).await?;
        let codes = Codes::new(SigningKeys::load_or_create(data.join("signing.keys"), clock.now())?, clock.now())?;
        let files = Files { views, keys, people, pseudonymiser, codes, _lock: lock };
        Self::assemble(journal, Some(files), settings, clock, progress).await
    }

    /// Starts with a journal in memory and no files: for tests and rehearsals.
    pub async fn start_in_memory(clock: Arc<dyn Clock>, limits: Limits) -> Result<Running, StartError> {
        Self::start_on(Arc::new(MemoryJournal::default()), clock, limits).await
    }

    /// As [`Node::start_in_memory`], with scorers of these sizes: for a world of another size than an installation.
    pub async fn start_in_memory_sized(clock: Arc<dyn Clock>, limits: Limits, scoring: Sizes) -> Result<Running, StartError> {
        let settings = Settings { limits, accept_clock: true, scoring, ..Settings::new("") };
        Self::assemble(Arc::new(MemoryJournal::default()), None, &settings, clock, |_| {}).await
    }

    /// Starts on any journal, without files.
    pub async fn start_on(journal: Arc<dyn Journal>, clock: Arc<dyn Clock>, limits: Limits) -> Result<Running, StartError> {
        let settings = Settings { limits, accept_clock: true, ..Settings::new("") };
        Self::assemble(journal, None, &settings, clock, |_| {}).await
    }

    /// As [`Node::start_on`], with nobody who drives flows of money: they wait for whoever calls for them.
    pub async fn start_undriven_on(journal: Arc<dyn Journal>, clock: Arc<dyn Clock>, limits: Limits) -> Result<Running, StartError> {
        let settings = Settings { limits, accept_clock: true, drives: false, ..Settings::new("") };
        Self::assemble(journal, None, &settings, clock, |_| {}).await
    }

    async fn assemble(
        journal: Arc<dyn Journal>,
        files: Option<Files>,
        settings: &Settings,
        clock: Arc<dyn Clock>,
        progress: impl FnMut(u64),
    ) -> Result<Running, StartError> {
        let (board, museums, payments) = (Arc::new(Board::default()), Arc::new(Museums::default()), Arc::new(Payments::default()));
        let (quotes, tills, creating) = (Arc::new(Quotes::default()), Arc::new(Tills::default()), Arc::new(Creating::default()));
        let day_limits = Arc::new(DayLimits::default());
        let (cases, defences) = (Arc::new(Cases::default()), Arc::new(Defences::default()));
        let accounts = Arc::new(Accounts::default());
        let (attended, plans) = (Arc::new(Attended::default()), Arc::new(Plans::default()));
        let views = files.as_ref().map(|files| files.views.clone());
        let (snapshots, writing) = views.as_ref().map(Views::snapshots).unzip();
        let runtime = tokio::runtime::Handle::current();
        let streams = Streams::new(Arc::clone(&journal), snapshots, Arc::clone(&museums), Arc::clone(&board), Arc::clone(&creating), runtime);
        let boards = Boards {
            slots: &board,
            day_limits: &day_limits,
            museums: &museums,
            payments: &payments,
            quotes: &quotes,
            tills: &tills,
            accounts: &accounts,
            cases: &cases,
            defences: &defences,
            attended: &attended,
            plans: &plans,
        };
        let started = rebuild(journal.as_ref(), views.as_ref(), &streams, boards, clock.now(), progress).await?;
        check_clock(&started.head, clock.now(), settings.accept_clock)?;
        board.forget(clock.now().plus_seconds(-FORGET_AFTER_S));
        quotes.forget(clock.now().plus_seconds(-FORGET_AFTER_S));
        let sensors = Sensors::default();
        sensors.restore(&board, &museums);

        let scoring = Scoring::prepare(settings.scoring, files.is_some().then_some(settings.data.as_path())).map_err(StartError::Thread)?;
        let tap = settings.drives.then(|| scoring.tap());
        let (queue, thread) =
            writer::start(Arc::clone(&journal), started.head, Arc::clone(&clock), settings.limits, tap).map_err(StartError::Thread)?;
        let (committed, health) = (queue.committed(), queue.health());
        scoring.scoring.follow(&defences);
        let (scoring, scored) = match settings.drives {
            true => scoring.follow(Arc::clone(&journal), started.head, committed.clone()),
            false => (scoring.scoring, tokio::sync::oneshot::channel().1),
        };
        let threads = Arc::new(Threads::start(settings.arbiters));
        let streams = Arc::new(streams);
        let parts = || (Arc::clone(&threads), queue.clone(), Arc::clone(&clock));
        let (run_on, jobs, time) = parts();
        let slots = Registry::new(
            run_on,
            jobs,
            time,
            Arc::clone(&streams) as _,
            Arc::new(SlotTell(Arc::clone(&board), Arc::clone(&day_limits))),
            Arc::clone(&streams) as _,
        );
        let (run_on, jobs, time) = parts();
        let museum_owners = Registry::new(run_on, jobs, time, Arc::clone(&streams) as _, Arc::clone(&museums), Arc::clone(&streams) as _);
        let (run_on, jobs, time) = parts();
        let payment_owners = Registry::new(run_on, jobs, time, Arc::clone(&streams) as _, Arc::clone(&payments), Arc::clone(&streams) as _);
        let (run_on, jobs, time) = parts();
        let voucher_owners = Registry::new(run_on, jobs, time, Arc::clone(&streams) as _, Arc::new(Silent), Arc::clone(&streams) as _);
        let (run_on, jobs, time) = parts();
        let order_owners = Registry::new(run_on, jobs, time, Arc::clone(&streams) as _, Arc::new(Silent), Arc::clone(&streams) as _);
        let (run_on, jobs, time) = parts();
        let quote_owners = Registry::new(run_on, jobs, time, Arc::clone(&streams) as _, Arc::clone(&quotes), Arc::clone(&streams) as _);
        let (run_on, jobs, time) = parts();
        let till_owners = Registry::new(run_on, jobs, time, Arc::clone(&streams) as _, Arc::clone(&tills), Arc::clone(&streams) as _);
        let (run_on, jobs, time) = parts();
        let account_owners = Registry::new(run_on, jobs, time, Arc::clone(&streams) as _, Arc::clone(&accounts), Arc::clone(&streams) as _);
        let (run_on, jobs, time) = parts();
        let case_owners = Registry::new(run_on, jobs, time, Arc::clone(&streams) as _, Arc::clone(&cases), Arc::clone(&streams) as _);
        let (run_on, jobs, time) = parts();
        let rules_owner = Registry::new(run_on, jobs, time, Arc::clone(&streams) as _, Arc::clone(&defences), Arc::clone(&streams) as _);
        let (run_on, jobs, time) = parts();
        let model_owners = Registry::new(run_on, jobs, time, Arc::clone(&streams) as _, Arc::clone(&defences), Arc::clone(&streams) as _);
        let (run_on, jobs, time) = parts();
        let attempt_owners = Registry::new(run_on, jobs, time, Arc::clone(&streams) as _, Arc::new(Silent), Arc::clone(&streams) as _);
        let (run_on, jobs, time) = parts();
        let attendance_owners = Registry::new(run_on, jobs, time, Arc::clone(&streams) as _, Arc::clone(&attended), Arc::clone(&streams) as _);
        let (run_on, jobs, time) = parts();
        let planning_owners = Registry::new(run_on, jobs, time, Arc::clone(&streams) as _, Arc::clone(&plans), streams as _);
        drop(queue);

        let mut ending: Vec<_> = writing.map(tokio::spawn).into_iter().collect();
        ending.push(tokio::spawn(async move { drop(scored.await) }));
        if let Some(views) = views {
            let ended = views.follow_apart(Arc::clone(&journal), Arc::clone(&board), committed.clone()).map_err(StartError::Thread)?;
            ending.push(tokio::spawn(async move { drop(ended.await) }));
        }
        let node = Arc::new(Self {
            clock,
            board,
            museums,
            slots,
            museum_owners,
            payment_owners,
            voucher_owners,
            order_owners,
            quote_owners,
            till_owners,
            account_owners,
            case_owners,
            rules_owner,
            model_owners,
            attempt_owners,
            cases,
            defences,
            day_limits,
            attendance_owners,
            planning_owners,
            attended,
            plans,
            forecaster: Forecaster::kept_in(files.is_some().then(|| settings.data.join("forecaster.model"))),
            payments,
            quotes,
            tills,
            accounts,
            quoting: Quoting::default(),
            creating,
            gateway: OnceLock::new(),
            paying: Paying::default(),
            sensors,
            grants: Grants::default(),
            gates: Gates::default(),
            scoring,
            rooms: Rooms::default(),
            nearby: Nearby::default(),
            driving: Driving::default(),
            threads,
            committed,
            health,
            journal,
            histories: Semaphore::new(HISTORIES),
            started,
            files,
        });
        let mut tasks = vec![tokio::spawn(Self::keep_deadlines(Arc::clone(&node))), tokio::spawn(Self::keep_house(Arc::clone(&node)))];
        let moving = Arc::clone(&node);
        tasks.push(tokio::spawn(async move { moves::keep_moving(&moving).await }));
        if settings.drives {
            let paying = Arc::clone(&node);
            tasks.push(tokio::spawn(async move { payments::keep_paying(&paying).await }));
            let quoting = Arc::clone(&node);
            tasks.push(tokio::spawn(async move { quotes::keep_quoting(&quoting).await }));
            let charging = Arc::clone(&node);
            tasks.push(tokio::spawn(async move { accounts::keep_charging(&charging).await }));
            let looking = Arc::clone(&node);
            tasks.push(tokio::spawn(async move { cases::keep_looking(&looking).await }));
        }
        let merging = Arc::clone(&node);
        tasks.push(tokio::spawn(async move { merging.keep_merging().await }));
        Ok(Running { node, writer: thread, ending, tasks })
    }

    /// Lends a thread to the owners, see [`Threads`].
    pub fn lend(&self, thread: ArbiterHandle) {
        self.threads.lend(thread);
    }

    /// Gives a command to a slot; answers when what it did is on the disk.
    pub async fn slot(&self, slot: SlotId, envelope: Envelope, command: slot::Command) -> Answer<Slot> {
        let _aside = self.set_aside(slot, &envelope, &command).await?;
        self.slots.ask(StreamId::Slot(slot), envelope, command).await
    }

    /// Sets aside what a command asks for its buyer on the slot's day, until the slot has answered; a repeat is answered as before, whatever the buyer has by now.
    pub(crate) async fn set_aside(
        &self,
        slot: SlotId,
        envelope: &Envelope,
        command: &slot::Command,
    ) -> Result<Option<Aside>, Failure<slot::Refusal>> {
        // Whose tickets move is told by what arrives.
        if envelope.buyer().is_none() && !matches!(command, slot::Command::Arrive { .. }) {
            return Ok(None);
        }
        let policy = self.board.head(slot).map(|head| head.policy).or_else(|| self.museums.opening(slot).map(|opening| opening.policy));
        let Some(policy) = policy else { return Ok(None) };
        match self.day_limits.set_aside(slot, &policy.limits, envelope, command) {
            Ok(aside) => Ok(aside),
            Err(_) if self.knows(slot, envelope).await? => Ok(None),
            Err(refusal) => Err(Failure::Refused(refusal)),
        }
    }

    /// What buyers have by day.
    pub(crate) const fn day_limits(&self) -> &Arc<DayLimits> {
        &self.day_limits
    }

    /// As [`Node::slot`], for a caller that gives many commands in order: the command is queued when this returns, if the slot is in memory.
    pub fn send_slot(
        &self,
        slot: SlotId,
        at: Timestamp,
        envelope: Envelope,
        command: slot::Command,
    ) -> Result<impl Future<Output = Answer<Slot>> + '_, Failure<slot::Refusal>> {
        self.slots.send(StreamId::Slot(slot), at, envelope, command)
    }

    /// Looks at a slot; answers when all that was seen is on the disk.
    pub async fn look<R: Send + 'static>(
        &self,
        slot: SlotId,
        look: impl Fn(&Slot) -> R + Clone + Send + 'static,
    ) -> Result<R, Failure<slot::Refusal>> {
        self.slots.look(StreamId::Slot(slot), look).await
    }

    /// Whether a slot has seen a command by its key: its repeat is answered from what was written, whatever it says now.
    pub async fn knows(&self, slot: SlotId, envelope: &Envelope) -> Result<bool, Failure<slot::Refusal>> {
        let envelope = envelope.clone();
        self.look(slot, move |slot| slot.recall(&envelope) != Recall::New).await
    }

    /// Whether a slot would do a command now, without doing it; of one that was done it would say the same again.
    pub async fn rehearse(&self, slot: SlotId, envelope: &Envelope, command: &slot::Command) -> Result<(), Failure<slot::Refusal>> {
        let (envelope, command, now) = (envelope.clone(), command.clone(), self.clock.now());
        let decide = move |slot: &Slot| match slot.recall(&envelope) {
            Recall::New => slot.decide_for(now, &envelope, &command).map(drop).map_err(Failure::Refused),
            Recall::Done { .. } => Ok(()),
            Recall::OtherBody => Err(Failure::KeyReused),
        };
        self.look(slot, decide).await?
    }

    /// A slot as it was at a moment, with a page of the records that led there. It is read from the journal; the slot itself is not asked.
    pub async fn history(&self, slot: SlotId, at: Timestamp, page: Page) -> Result<Past, Failure<slot::Refusal>> {
        let _turn = self.histories.acquire().await;
        match history::of_slot(self.journal.as_ref(), slot, at, page).await {
            Ok(Some(past)) => Ok(past),
            Ok(None) => self.museums.opening(slot).map(Past::planned).ok_or(Failure::UnknownSlot(slot)),
            Err(error) => Err(read_failed(&error)),
        }
    }

    /// Gives a command to a museum.
    pub async fn museum(&self, museum: MuseumId, envelope: Envelope, command: museum::Command) -> Answer<Museum> {
        self.museum_owners.ask(StreamId::Museum(museum), envelope, command).await
    }

    /// Gives a command to a payment.
    pub async fn payment(&self, payment: PaymentId, envelope: Envelope, command: payment::Command) -> Answer<Payment> {
        let stream = StreamId::Payment(payment);
        let _creating = matches!(command, payment::Command::Open { .. } | payment::Command::TakeOver { .. }).then(|| self.creating.begin(stream));
        self.payment_owners.ask(stream, envelope, command).await
    }

    /// Looks at a payment; answers when all that was seen is on the disk.
    pub async fn look_payment<R: Send + 'static>(
        &self,
        payment: PaymentId,
        look: impl Fn(&Payment) -> R + Clone + Send + 'static,
    ) -> Result<R, Failure<payment::Refusal>> {
        self.payment_owners.look(StreamId::Payment(payment), look).await
    }

    /// Gives a command to a voucher.
    pub async fn voucher(&self, voucher: VoucherId, envelope: Envelope, command: voucher::Command) -> Answer<Voucher> {
        let stream = StreamId::Voucher(voucher);
        let _creating = matches!(command, voucher::Command::Issue { .. }).then(|| self.creating.begin(stream));
        self.voucher_owners.ask(stream, envelope, command).await
    }

    /// Looks at a voucher; answers when all that was seen is on the disk.
    pub async fn look_voucher<R: Send + 'static>(
        &self,
        voucher: VoucherId,
        look: impl Fn(&Voucher) -> R + Clone + Send + 'static,
    ) -> Result<R, Failure<voucher::Refusal>> {
        self.voucher_owners.look(StreamId::Voucher(voucher), look).await
    }

    /// Gives a command to an order.
    pub async fn order(&self, order: OrderId, envelope: Envelope, command: order::Command) -> Answer<Order> {
        let stream = StreamId::Order(order);
        let _creating = matches!(command, order::Command::BeginPayment { .. }).then(|| self.creating.begin(stream));
        self.order_owners.ask(stream, envelope, command).await
    }

    /// Looks at an order; answers when all that was seen is on the disk.
    pub async fn look_order<R: Send + 'static>(
        &self,
        order: OrderId,
        look: impl Fn(&Order) -> R + Clone + Send + 'static,
    ) -> Result<R, Failure<order::Refusal>> {
        self.order_owners.look(StreamId::Order(order), look).await
    }

    /// Gives a command to a quote.
    pub async fn quote(&self, quote: QuoteId, envelope: Envelope, command: quote::Command) -> Answer<Quote> {
        let stream = StreamId::Quote(quote);
        let _creating = matches!(command, quote::Command::Draft { .. }).then(|| self.creating.begin(stream));
        self.quote_owners.ask(stream, envelope, command).await
    }

    /// Looks at a quote; answers when all that was seen is on the disk.
    pub async fn look_quote<R: Send + 'static>(
        &self,
        quote: QuoteId,
        look: impl Fn(&Quote) -> R + Clone + Send + 'static,
    ) -> Result<R, Failure<quote::Refusal>> {
        self.quote_owners.look(StreamId::Quote(quote), look).await
    }

    /// Gives a command to a till session. Open one with [`crate::tills::open`], which sees to it that a desk has one at a time.
    pub async fn till(&self, till: TillId, envelope: Envelope, command: till::Command) -> Answer<Till> {
        let stream = StreamId::Till(till);
        let _creating = matches!(command, till::Command::Open { .. }).then(|| self.creating.begin(stream));
        self.till_owners.ask(stream, envelope, command).await
    }

    /// Looks at a till session; answers when all that was seen is on the disk.
    pub async fn look_till<R: Send + 'static>(
        &self,
        till: TillId,
        look: impl Fn(&Till) -> R + Clone + Send + 'static,
    ) -> Result<R, Failure<till::Refusal>> {
        self.till_owners.look(StreamId::Till(till), look).await
    }

    /// The account with a code.
    #[must_use]
    pub fn account_id(code: Code) -> AccountId {
        AccountId(digest(&[b"account", code.as_str().as_bytes()]).0 as u64)
    }

    /// Gives a command to an operator's account.
    pub async fn account(&self, code: Code, envelope: Envelope, command: account::Command) -> Answer<Account> {
        let stream = StreamId::Account(Self::account_id(code));
        let _creating = matches!(command, account::Command::Open { .. }).then(|| self.creating.begin(stream));
        self.account_owners.ask(stream, envelope, command).await
    }

    /// Looks at an operator's account; answers when all that was seen is on the disk.
    pub async fn look_account<R: Send + 'static>(
        &self,
        code: Code,
        look: impl Fn(&Account) -> R + Clone + Send + 'static,
    ) -> Result<R, Failure<account::Refusal>> {
        self.account_owners.look(StreamId::Account(Self::account_id(code)), look).await
    }

    /// Gives a command to a fraud case.
    pub async fn case(&self, case: CaseId, envelope: Envelope, command: case::Command) -> Answer<Case> {
        let stream = StreamId::Case(case);
        let _creating = matches!(command, case::Command::Open(_)).then(|| self.creating.begin(stream));
        self.case_owners.ask(stream, envelope, command).await
    }

    /// Looks at a fraud case; answers when all that was seen is on the disk.
    pub async fn look_case<R: Send + 'static>(
        &self,
        case: CaseId,
        look: impl Fn(&Case) -> R + Clone + Send + 'static,
    ) -> Result<R, Failure<case::Refusal>> {
        self.case_owners.look(StreamId::Case(case), look).await
    }

    /// Gives a command to the rules that are asked before any model.
    pub async fn rules(&self, envelope: Envelope, command: fraud_rules::Command) -> Answer<Rules> {
        let answer = self.rules_owner.ask(StreamId::Rules, envelope, command).await;
        self.scoring.follow(&self.defences);
        answer
    }

    /// Gives a command to the models of a kind.
    pub async fn models(&self, kind: ModelKind, envelope: Envelope, command: model_registry::Command) -> Answer<Models> {
        self.model_owners.ask(StreamId::Models(kind), envelope, command).await
    }

    /// Puts the fraud models to work that the registry says, now: what the node does by itself every half second. Answers whether nothing is left
    /// to do: they are at work, or were too slow there.
    pub async fn follow_models(&self) -> bool {
        if !self.scoring.has_other_models(&self.defences) {
            return true;
        }
        let (scoring, defences) = (Arc::clone(&self.scoring), Arc::clone(&self.defences));
        if tokio::task::spawn_blocking(move || scoring.follow_models(&defences)).await.is_err() {
            tracing::error!("the fraud models were not looked at");
        }
        !self.scoring.has_other_models(&self.defences)
    }

    /// Keeps an attempt that was blocked or given up, in the stream of its day.
    pub async fn attempt(&self, envelope: Envelope, attempt: attempts::Attempt) -> Answer<Attempts> {
        let stream = StreamId::Attempts(attempt.id.day());
        self.attempt_owners.ask(stream, envelope, attempts::Command::Note(Box::new(attempt))).await
    }

    /// Counts attempts of a party of whom as many are kept as may be.
    pub async fn count_attempts(&self, day: u16, envelope: Envelope, acting: Option<Party>, more: u32) -> Answer<Attempts> {
        self.attempt_owners.ask(StreamId::Attempts(day), envelope, attempts::Command::Count { acting, more }).await
    }

    /// Looks at the attempts of a day; answers when all that was seen is on the disk.
    pub async fn look_attempts<R: Send + 'static>(
        &self,
        day: u16,
        look: impl Fn(&Attempts) -> R + Clone + Send + 'static,
    ) -> Result<R, Failure<attempts::Refusal>> {
        self.attempt_owners.look(StreamId::Attempts(day), look).await
    }

    /// A new name for an attempt of now, hard to guess.
    #[must_use]
    pub fn new_attempt(&self, random: u64) -> AttemptId {
        AttemptId::new(attempts::day_of(self.clock.now()), random)
    }

    /// The fraud cases about which something is to be done.
    #[must_use]
    pub fn cases(&self) -> &Cases {
        &self.cases
    }

    /// The rules that are in force, and the models that score.
    #[must_use]
    pub fn defences(&self) -> &Defences {
        &self.defences
    }

    /// Gives a command to the attendance of a museum that is known.
    pub async fn attendance(&self, museum: MuseumId, envelope: Envelope, command: attendance::Command) -> Answer<Attendance> {
        self.attendance_owners.ask(StreamId::Attendance(museum), envelope, command).await
    }

    /// Gives a command to the planning of a museum that is known.
    pub async fn planning(&self, museum: MuseumId, envelope: Envelope, command: planning::Command) -> Answer<Planning> {
        self.planning_owners.ask(StreamId::Planning(museum), envelope, command).await
    }

    /// The attendance of all museums.
    #[must_use]
    pub fn attended(&self) -> &Attended {
        &self.attended
    }

    /// The forecasts of all museums.
    #[must_use]
    pub const fn forecaster(&self) -> &Forecaster {
        &self.forecaster
    }

    /// The planning of all museums.
    #[must_use]
    pub fn plans(&self) -> &Plans {
        &self.plans
    }

    /// The quotes that are open, or whose visit is to come.
    #[must_use]
    pub fn quotes(&self) -> &Quotes {
        &self.quotes
    }

    /// The till sessions that are open.
    #[must_use]
    pub fn tills(&self) -> &Tills {
        &self.tills
    }

    /// The accounts with sales of which it is not known yet whether they were made.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Who drives quotes.
    pub(crate) const fn quoting(&self) -> &Quoting {
        &self.quoting
    }

    /// The payments that are not finished.
    #[must_use]
    pub fn payments(&self) -> &Payments {
        &self.payments
    }

    /// Connects the gateway that knows positions at pagoPA, once; false if there is one.
    pub fn connect(&self, gateway: Arc<dyn Gateway>) -> bool {
        self.gateway.set(gateway).is_ok()
    }

    /// The gateway that knows positions at pagoPA, if it is connected.
    #[must_use]
    pub fn gateway(&self) -> Option<&Arc<dyn Gateway>> {
        self.gateway.get()
    }

    /// Who drives payments.
    pub(crate) const fn paying(&self) -> &Paying {
        &self.paying
    }

    /// What is said of commands before they are given.
    #[must_use]
    pub const fn scoring(&self) -> &Arc<Scoring> {
        &self.scoring
    }

    /// Who has come to waiting rooms.
    pub(crate) const fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// Takes a reading in; answers the estimate when the slots that it concerns have written down what follows for them, and none if it says nothing of the
    /// building. A slot that refuses a reading keeps its last one.
    pub async fn read(&self, reading: Reading, who: KeyId) -> Result<Option<Occupancy>, Rejected> {
        let occupancy = self.sensors.take(reading, who, self.clock.now(), self.beside())?;
        if occupancy.is_some() {
            self.share_out(reading.museum).await;
        }
        Ok(occupancy)
    }

    /// Lets a minute pass where people inside or around are followed: what gates let in counts though no sensor says so.
    pub async fn pass_minute(&self) {
        self.sensors.note_admitted(self.clock.now(), self.beside());
        for museum in self.sensors.followed() {
            if self.sensors.pass(museum, self.clock.now(), self.beside()).is_some() {
                self.share_out(museum).await;
            }
        }
    }

    /// What estimates of people inside are made with beside readings.
    #[must_use]
    pub fn beside(&self) -> Beside<'_> {
        Beside { museums: &self.museums, board: &self.board, attended: &self.attended, plans: &self.plans }
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Ends when [`Node::now`] has reached `at`.
    pub async fn sleep_until(&self, at: Timestamp) {
        self.clock.sleep_until(at).await;
    }

    /// By how many microseconds the machine's wall clock is ahead of [`Node::now`]: it has jumped if that is more than moments.
    #[must_use]
    pub fn wall_ahead_us(&self) -> i64 {
        self.clock.wall_ahead_us()
    }

    /// Where else there are places, nearest first; see [`Nearby`].
    #[must_use]
    pub fn near(&self, slot: SlotId, channel: Channel) -> Arc<[Near]> {
        let Some(known) = self.museums.get(slot.museum()) else { return Arc::default() };
        self.nearby.of(&known, &self.board, slot, channel, self.clock.now())
    }

    /// The counters of all slots.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// All museums.
    #[must_use]
    pub fn museums(&self) -> &Museums {
        &self.museums
    }

    /// Who drives moves between slots.
    pub(crate) const fn driving(&self) -> &Driving {
        &self.driving
    }

    /// The estimates of people inside.
    #[must_use]
    pub const fn sensors(&self) -> &Sensors {
        &self.sensors
    }

    /// What the data folder holds beside the journal; none in memory.
    #[must_use]
    pub const fn files(&self) -> Option<&Files> {
        self.files.as_ref()
    }

    /// The end of the journal.
    #[must_use]
    pub fn head(&self) -> Head {
        *self.committed.borrow()
    }

    /// How the journal's writer is.
    #[must_use]
    pub fn health(&self) -> Health {
        // Without its sender the writer's thread is gone.
        if self.health.has_changed().is_err() { Health::Stopped } else { *self.health.borrow() }
    }

    /// What the check at start found.
    #[must_use]
    pub const fn started(&self) -> &Checked {
        &self.started
    }

    /// How many slots have an owner in memory.
    #[must_use]
    pub fn owners(&self) -> usize {
        self.slots.len()
    }

    /// The journal itself, to read.
    #[must_use]
    pub fn journal(&self) -> &Arc<dyn Journal> {
        &self.journal
    }

    /// Wakes every slot, payment, quote and case whose deadline has come, now: what the clock does by itself, for tests and replays that set it.
    pub async fn wake_due(&self) {
        let now = self.clock.now();
        for slot in self.board.due(now) {
            if let Err(failure) = self.slots.wake(StreamId::Slot(slot), now).await {
                tracing::warn!(%slot, %failure, "a slot could not be woken");
            }
        }
        for payment in self.payments.due(now) {
            if let Err(failure) = self.payment_owners.wake(StreamId::Payment(payment), now).await {
                tracing::warn!(%payment, %failure, "a payment could not be woken");
            }
        }
        for quote in self.quotes.due(now) {
            if let Err(failure) = self.quote_owners.wake(StreamId::Quote(quote), now).await {
                tracing::warn!(%quote, %failure, "a quote could not be woken");
            }
        }
        for case in self.cases.due(now) {
            if let Err(failure) = self.case_owners.wake(StreamId::Case(case), now).await {
                tracing::warn!(%case, %failure, "a fraud case could not be woken");
            }
        }
    }

    /// Retires the owners that nobody has asked since the last time, and takes slots that ended days ago off the board: what the node does by itself once a
    /// minute, for replays whose years are minutes.
    pub async fn tidy(&self) {
        self.slots.retire_idle().await;
        self.museum_owners.retire_idle().await;
        self.payment_owners.retire_idle().await;
        self.voucher_owners.retire_idle().await;
        self.order_owners.retire_idle().await;
        self.quote_owners.retire_idle().await;
        self.till_owners.retire_idle().await;
        self.account_owners.retire_idle().await;
        self.case_owners.retire_idle().await;
        self.rules_owner.retire_idle().await;
        self.model_owners.retire_idle().await;
        self.attempt_owners.retire_idle().await;
        self.attendance_owners.retire_idle().await;
        self.planning_owners.retire_idle().await;
        self.board.forget(self.clock.now().plus_seconds(-FORGET_AFTER_S));
        self.quotes.forget(self.clock.now().plus_seconds(-FORGET_AFTER_S));
        self.tidy_rooms();
        limits::forget(self);
    }

    /// Ends when the next deadline of anything has changed.
    async fn sooner(&self) {
        tokio::select! {
            () = self.board.sooner() => {}
            () = self.payments.sooner() => {}
            () = self.quotes.sooner() => {}
            () = self.cases.sooner() => {}
        }
    }

    async fn keep_deadlines(node: Arc<Self>) {
        loop {
            let beside = [node.payments.next_wake(), node.quotes.next_wake(), node.cases.next_wake()];
            let next = node.board.next_wake().into_iter().chain(beside.into_iter().flatten()).min();
            tokio::select! {
                () = node.sooner() => {}
                () = async { match next { Some(at) => node.clock.sleep_until(at).await, None => std::future::pending().await } } => {
                    node.wake_due().await;
                    // What was woken is off the index when its record is on the disk; a slot that cannot write is asked again soon, not at once.
                    let again = if node.health() == Health::Writing { WAKE_AGAIN } else { WAKE_AGAIN_BROKEN };
                    let _ = tokio::time::timeout(again, node.sooner()).await;
                }
            }
        }
    }

    async fn keep_house(node: Arc<Self>) {
        let (mut look, mut retire) = (tokio::time::interval(KEYS_EVERY), tokio::time::interval(RETIRE_EVERY));
        // Models that could not be put to work, and for how many looks they are let be: they are not on the shelf yet, or damaged.
        let mut unusable: Option<([Option<Code>; 2], u32)> = None;
        loop {
            let retire_now = tokio::select! {
                _ = look.tick() => false,
                _ = retire.tick() => true,
            };
            let wanted = node.scoring.wanted_models(&node.defences);
            unusable = match unusable {
                Some((models, looks)) if models == wanted && looks > 0 => Some((models, looks - 1)),
                _ => (!node.follow_models().await).then_some((wanted, MODELS_AGAIN)),
            };
            if let Some(files) = &node.files {
                if let Err(error) = files.keys.refresh().await {
                    tracing::error!(%error, "the API keys cannot be read again");
                }
                if let Err(error) = files.codes.refresh(node.clock.now()) {
                    tracing::error!(%error, "the keys that sign tickets cannot be read again");
                }
            }
            if retire_now {
                node.tidy().await;
                if let Some(files) = &node.files {
                    if let Err(error) = files.keys.flush_last_used().await {
                        tracing::warn!(%error, "when keys were last used was not saved");
                    }
                    if let Err(error) = files.people.erase_due(node.clock.now()).await {
                        tracing::error!(%error, "contacts that are due were not erased");
                    }
                }
            }
        }
    }
}

impl Running {
    /// The node.
    #[must_use]
    pub const fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Stops: what was asked is finished and on the disk, snapshots and heads are saved. Callers must have stopped asking. The node itself goes when its last
    /// holder drops it.
    pub async fn stop(self) {
        let Self { node, writer, ending, tasks } = self;
        if node.health() == Health::Writing {
            node.end_forks().await;
        }
        if node.unrecorded() > 0 {
            tracing::error!(
                scans = node.unrecorded(),
                "what gates were told while the journal did not write is not written: the gates have it, and must send it in"
            );
        }
        // The first call notes who is idle, the second retires them; commands on their way are settled in between by the journal.
        for _ in 0..2 {
            node.slots.retire_idle().await;
        }
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        for task in tasks {
            let _ = task.await;
        }
        let (views, committed) = (node.files.as_ref().map(|files| files.views.clone()), node.committed.clone());
        if let Some(files) = &node.files {
            let _ = files.keys.flush_last_used().await;
            files.people.close().await;
            files.keys.close().await;
        }
        drop(committed);
        // Owners and registries hold the journal's queue: with the last of them the writer ends, after what was queued.
        let (threads, scoring) = (Arc::clone(&node.threads), Arc::clone(&node.scoring));
        drop(node);
        let ended = tokio::task::spawn_blocking(move || writer.join().is_ok());
        if !matches!(tokio::time::timeout(STOP_WITHIN, ended).await, Ok(Ok(true))) {
            tracing::error!("the journal's writer did not end in time, or ended badly");
        }
        threads.stop();
        for task in ending {
            let _ = tokio::time::timeout(STOP_WITHIN, task).await;
        }
        scoring.stop();
        if let Some(views) = views {
            views.close().await;
        }
    }
}

/// Checks the journal and builds everything in memory from it. Read models that were built from another journal, or from batches that this one no longer has,
/// are thrown away and built again.
async fn rebuild(
    journal: &dyn Journal,
    views: Option<&Views>,
    streams: &Streams,
    boards: Boards<'_>,
    now: Timestamp,
    mut progress: impl FnMut(u64),
) -> Result<Checked, StartError> {
    let mut cut = None;
    loop {
        let (complete, heads) = match views {
            Some(views) => views.heads().await?,
            None => (0, Vec::new()),
        };
        let mut built_from: Vec<(u64, Vec<u8>)> = match views {
            Some(views) => views.positions().await?.into_iter().filter(|(batch, _)| *batch > 0).collect(),
            None => Vec::new(),
        };
        let mut memory = Memory::at(now);
        let take_in = |batch: &Batch| {
            built_from.retain(|(number, hash)| *number != batch.number || hash[..] != batch.hash());
            memory.take_in(batch, complete)
        };
        let checked = start::check(journal, true, take_in, &mut progress).await?;
        cut = cut.or(checked.cut);
        // A head or snapshot may know more than its position says, so after a cut none is trusted.
        if let Some(views) = views.filter(|_| checked.cut.is_some() || !built_from.is_empty()) {
            tracing::warn!("the read models do not belong to this journal; they are built again");
            views.clear().await?;
            continue;
        }
        for (slot, head) in heads {
            boards.slots.restore(slot, head);
        }
        memory.restore(streams, boards).await?;
        return Ok(Checked { cut, ..checked });
    }
}

fn check_clock(head: &Head, wall: Timestamp, accept: bool) -> Result<(), StartError> {
    let apart_us = wall.micros_since(head.at);
    if head.number == 0 || accept || (-BEHIND_S * 1_000_000..=AHEAD_S * 1_000_000).contains(&apart_us) {
        return Ok(());
    }
    Err(StartError::Clock { wall, last: head.at })
}

/// Takes the data folder for this process alone, until the returned file is dropped; what [`Node::start`] does first.
pub fn lock(data: &Path) -> Result<std::fs::File, StartError> {
    let folder = |source| StartError::Folder { folder: data.to_owned(), source };
    let file = std::fs::File::create(data.join("lock")).map_err(folder)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StartError::InUse(data.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(folder(error)),
    }
}

/// Slews the real clock once a second and reports jumps of the wall clock. Runs until dropped.
pub async fn keep_time(clock: Arc<RealClock>) {
    let mut told_us = 0;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let apart_us = clock.slew().unwrap_or(0);
        // Each jump once, and the last one back too.
        if (apart_us - told_us).abs() > TOLD_AGAIN_US {
            told_us = apart_us;
            if apart_us == 0 {
                tracing::info!("the wall clock is right again");
            } else {
                tracing::error!(apart_us, "the wall clock has jumped; it is not followed: set it right, or restart to take it over");
            }
        }
    }
}

mod gates;
mod grants;
#[cfg(test)]
mod tests;
