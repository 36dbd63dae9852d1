//! One running installation: journal, owners, read models and clocks put together, and where each of them is found. `api` knows nothing below this.
//!
//! What callers give to streams is in `commands`, what the node does by itself in `house`, why it may not start in `startup`; `gates` and `grants` are what it adds
//! to the slots.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use actix::ArbiterHandle;
use tokio::sync::{Semaphore, oneshot, watch};
use tornello_engine::account::Account;
use tornello_engine::attempts::Attempts;
use tornello_engine::attendance::Attendance;
use tornello_engine::case::Case;
use tornello_engine::channel::Channel;
use tornello_engine::fraud_rules::Rules;
use tornello_engine::ids::{KeyId, SlotId};
use tornello_engine::model_registry::Models;
use tornello_engine::museum::Museum;
use tornello_engine::order::Order;
use tornello_engine::payment::Payment;
use tornello_engine::planning::Planning;
use tornello_engine::quote::Quote;
use tornello_engine::record::Record;
use tornello_engine::slot::{self, Slot};
use tornello_engine::till::Till;
use tornello_engine::time::{DAY_S, Timestamp};
use tornello_engine::voucher::Voucher;

use crate::accounts::Accounts;
use crate::attended::Attended;
use crate::availability::{Near, Nearby};
use crate::board::{Board, SlotHead};
use crate::buildings::{Buildings, Found};
use crate::cases::appeals::AppealCodes;
use crate::cases::board::Cases;
use crate::clock::Clock;
use crate::codes::Codes;
use crate::days::Telling;
use crate::defences::{Defences, RulesTell};
use crate::forecaster::Forecaster;
use crate::fraud::{SavedFile, Scoring, Sizes};
use crate::journal::file::{self, FileJournal};
use crate::journal::memory::MemoryJournal;
use crate::journal::writer::{self, Health, Lease, Limits, StallWatch};
use crate::journal::{Head, Journal, StreamId};
use crate::keys::Keys;
use crate::limits::DayLimits;
use crate::moves::Driving;
use crate::museums::Museums;
use crate::owner::{Silent, Tell};
use crate::payments::{Gateway, Paying, Payments};
use crate::people::{MasterKey, People, Pseudonymiser};
use crate::plans::Plans;
use crate::quotes::{Quotes, Quoting};
use crate::registry::{Registry, Shared};
use crate::rooms::Rooms;
use crate::secret_file;
use crate::sensors::{Beside, Occupancy, Reading, Rejected, Sensors};
use crate::signing::SigningKeys;
use crate::start::{Boards, Checked};
use crate::streams::{Creating, Streams};
use crate::threads::Threads;
use crate::tills::Tills;
use crate::views::Views;
use gates::Gates;
pub use gates::Passage;
use grants::Grants;
use house::Creditors;
pub use house::{ErasureError, keep_time, keep_watch};
use refusals::Refusals;
use startup::{Built, check_clock, check_keys, doubt_keys, erases_from, rebuild};
pub use startup::{FolderLock, KeyFile, StartError, lock, lock_to_read};

/// Slots that ended so long ago leave the board, in seconds.
pub const FORGET_AFTER_S: i64 = 3 * DAY_S;
/// How many slots are replayed to an earlier moment at once: each is as large in memory as when it is in use. Of other streams as many are read from their beginning.
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
    /// Starts even if the journal has lost batches that the read models or the scorers were built from, and builds these again without them.
    pub accept_loss: bool,
    /// Starts even if keys are missing from a folder that was in use before, and makes new ones.
    pub new_keys: bool,
    /// How the scorers of fraud are set up.
    pub scoring: Sizes,
    /// Whether the node drives what goes on by itself: flows of money and reviews go on, scorers hear what happens, refusals at gates are noted, slots make room for one that reopens. Moves
    /// always go on. A replay,
    /// whose years are minutes, leaves all that to whoever opens its folder next: it would come at other times in each run.
    pub drives: bool,
    /// Whether owners, scorers and the journal's writer take turns on the thread that starts the node. It is for a simulation, in which a seed decides what comes after what.
    pub on_one_thread: bool,
}

impl Settings {
    /// The usual settings for a data folder.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            arbiters: 1,
            limits: Limits::default(),
            accept_clock: false,
            accept_loss: false,
            new_keys: false,
            scoring: Sizes::default(),
            drives: true,
            on_one_thread: false,
        }
    }
}

/// Publishes what slots have become.
#[derive(Debug)]
pub struct SlotTell(Arc<Board>, Arc<DayLimits>, Arc<Buildings>);

impl Tell<Slot> for SlotTell {
    type View = SlotHead;

    fn view(&self, state: &Slot) -> SlotHead {
        SlotHead::of(state)
    }

    fn committed(&self, stream: &Lease, record: &Record<slot::Event>, view: SlotHead, _: u64) {
        if let StreamId::Slot(slot) = stream.stream {
            let (limits, passes) = (DayLimits::concerns(&view.policy.limits), Buildings::concerns(record));
            // Whoever read the stream back with this record has counted it.
            if (limits || passes) && self.0.head(slot).is_none_or(|known| known.seq < record.seq) {
                self.1.take(&view.policy.limits, record);
                if passes {
                    self.2.take(slot.museum(), record);
                }
            }
            self.0.publish(slot, view);
        }
    }

    fn rebuilt(&self, stream: &Lease, state: &Slot) {
        let StreamId::Slot(slot) = stream.stream else { return };
        let (before, head) = (self.0.head(slot), SlotHead::of(state));
        if !state.is_opened() || before == Some(head) || before.is_some_and(|before| before.seq > head.seq) {
            return;
        }
        if let Some(before) = before {
            let people = head.places.inside.cast_signed() - before.places.inside.cast_signed();
            self.2.correct(slot, Found { known_at: before.at, at: head.at, people }, |from| state.crossings(from));
        }
        self.0.publish(slot, head);
        // Behind the head: a record that is told of meanwhile is counted before, and replaced by this, or seen to be in it.
        self.1.put(state);
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
    rules_owner: Registry<Rules, RulesTell>,
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
    creditors: Creditors,
    sensors: Sensors,
    buildings: Arc<Buildings>,
    grants: Grants,
    gates: Gates,
    refusals: Refusals,
    scoring: Arc<Scoring>,
    rooms: Rooms,
    nearby: Nearby,
    driving: Driving,
    telling: Telling,
    threads: Arc<Threads>,
    committed: watch::Receiver<Head>,
    health: watch::Receiver<Health>,
    stalls: StallWatch,
    journal: Arc<dyn Journal>,
    histories: Semaphore,
    started: Checked,
    /// What is to be erased by its date is erased from then on.
    erases_from: Timestamp,
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
    /// Writes and reads the codes of appeals of which nothing else is kept.
    pub appeals: AppealCodes,
    /// Signs and verifies ticket codes.
    pub codes: Codes,
}

/// What is left to do when a node stops.
pub struct Running {
    node: Arc<Node>,
    writer: Writing,
    /// The tasks that end by themselves when the journal's queue and the owners are gone: the snapshots, the scorers.
    ending: Vec<tokio::task::JoinHandle<()>>,
    /// The read models.
    views: Option<Views>,
    /// Says when the read models have taken in all of the journal, and nobody writes to them any more.
    listed: Option<oneshot::Receiver<()>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    /// Keeps the data folder from other processes for as long as anything may be written in it.
    lock: Option<FolderLock>,
}

/// The journal's writer, while it runs.
enum Writing {
    Apart(std::thread::JoinHandle<()>),
    Here(tokio::task::JoinHandle<()>),
}

impl Writing {
    /// Starts it behind what is in the journal; answers with where records are put.
    fn start(
        journal: Arc<dyn Journal>,
        head: Head,
        clock: Arc<dyn Clock>,
        settings: &Settings,
        tap: Option<writer::Tap>,
    ) -> Result<(writer::Queue, Self), StartError> {
        if settings.on_one_thread {
            let (queue, writer) = writer::prepare(journal, head, clock, settings.limits, tap);
            return Ok((queue, Self::Here(tokio::spawn(writer))));
        }
        let (queue, thread) = writer::start(journal, head, clock, settings.limits, tap).map_err(StartError::Thread)?;
        Ok((queue, Self::Apart(thread)))
    }
}

/// Passes on what became of a start, and closes the lists if it failed, so that whoever tries again finds nothing open. What the lists know of lost batches must outlive the
/// machine, so they are closed flushed: then they are believed after its next boot too. Not once there are threads, as somebody may still write.
async fn closing(started: Result<Running, StartError>, views: &Views) -> Result<Running, StartError> {
    match &started {
        Ok(_) => {}
        Err(StartError::Thread(_)) => views.leave().await,
        Err(_) => views.close().await,
    }
    started
}

impl Node {
    /// Starts on a data folder. Call inside an actix system.
    pub async fn start(settings: &Settings, clock: Arc<dyn Clock>, progress: impl FnMut(u64)) -> Result<Running, StartError> {
        Self::start_over(settings, clock, progress, |journal| Arc::new(journal) as Arc<dyn Journal>).await
    }

    /// As [`Node::start`], but the node uses the journal that `between` makes of the file's: for tests with a journal that fails.
    pub async fn start_over(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        progress: impl FnMut(u64),
        between: impl FnOnce(FileJournal) -> Arc<dyn Journal>,
    ) -> Result<Running, StartError> {
        let data = &settings.data;
        secret_file::make_folder(data).map_err(|error| StartError::Folder { folder: data.clone(), source: error.into() })?;
        let lock = lock(data)?;
        // Before anything else is written: on a full disk it is the room for that.
        SavedFile::in_folder(data).tidy();
        let journal = FileJournal::open(&data.join(file::FILE)).await?;
        journal.settle().await?;
        let journal = between(journal);
        let was_used = check_keys(data, &*journal, settings.new_keys).await?;
        // First of all that is made: what depends on them is never there without them.
        let master = MasterKey::load_or_create(&KeyFile::Master.of(data))?;
        let signing = KeyFile::Signing.of(data);
        let signing = if was_used { SigningKeys::load_or_replace(signing, clock.now())? } else { SigningKeys::load_or_create(signing, clock.now())? };
        doubt_keys(&signing, &*journal).await;
        let codes = Codes::new(signing, clock.now())?;
        let keys = Keys::open(data.join("keys.db")).await?;
        let (pseudonymiser, appeals) = (Pseudonymiser::new(&master), AppealCodes::new(&master));
        let people = People::open(data, master, clock.now()).await?;
        People::remove_leftovers(data);
        // Last: from here on they may count as torn when the machine ends.
        let views = Views::open(&data.join("views.db")).await?;
        let files = Files { views: views.clone(), keys, people, pseudonymiser, appeals, codes };
        let running = closing(Self::assemble(journal, Some(views.clone()), Some(files), settings, clock, progress).await, &views).await?;
        Ok(Running { lock: Some(lock), ..running })
    }

    /// Starts with a journal in memory and no files: for tests and rehearsals.
    pub async fn start_in_memory(clock: Arc<dyn Clock>, limits: Limits) -> Result<Running, StartError> {
        Self::start_on(Arc::new(MemoryJournal::default()), clock, limits).await
    }

    /// As [`Node::start_in_memory`], with scorers of these sizes: for a simulated world that is larger or smaller than an installation.
    pub async fn start_in_memory_sized(clock: Arc<dyn Clock>, limits: Limits, scoring: Sizes) -> Result<Running, StartError> {
        let settings = Settings { limits, accept_clock: true, scoring, ..Settings::new("") };
        Self::assemble(Arc::new(MemoryJournal::default()), None, None, &settings, clock, |_| {}).await
    }

    /// Starts on any journal, without files.
    pub async fn start_on(journal: Arc<dyn Journal>, clock: Arc<dyn Clock>, limits: Limits) -> Result<Running, StartError> {
        let settings = Settings { limits, accept_clock: true, ..Settings::new("") };
        Self::assemble(journal, None, None, &settings, clock, |_| {}).await
    }

    /// As [`Node::start_on`], on the caller's thread. Unless `drives` is set flows of money do not go on by themselves: the caller drives them.
    pub async fn start_on_one_thread(journal: Arc<dyn Journal>, clock: Arc<dyn Clock>, limits: Limits, drives: bool) -> Result<Running, StartError> {
        let settings = Settings { limits, accept_clock: true, drives, on_one_thread: true, ..Settings::new("") };
        Self::assemble(journal, None, None, &settings, clock, |_| {}).await
    }

    /// As [`Node::start_on_one_thread`] without `drives`, with read models in a folder, where heads and snapshots are saved.
    pub async fn start_on_one_thread_in(
        folder: PathBuf,
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        limits: Limits,
    ) -> Result<Running, StartError> {
        let settings = Settings { limits, accept_clock: true, drives: false, on_one_thread: true, ..Settings::new(folder) };
        let views = Views::open(&settings.data.join("views.db")).await?;
        closing(Self::assemble(journal, Some(views.clone()), None, &settings, clock, |_| {}).await, &views).await
    }

    async fn assemble(
        journal: Arc<dyn Journal>,
        views: Option<Views>,
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
        let built = views.as_ref().map(|views| Built { folder: &settings.data, views, accept_loss: settings.accept_loss });
        let started = rebuild(journal.as_ref(), built, &streams, boards, clock.now(), progress).await?;
        check_clock(&started.head, clock.now(), settings.accept_clock)?;
        let erases_from = erases_from(&started, clock.now(), settings.accept_clock);
        board.forget(clock.now().plus_seconds(-FORGET_AFTER_S));
        quotes.forget(clock.now().plus_seconds(-FORGET_AFTER_S));
        cases.passes().forget(clock.now());
        let sensors = Sensors::default();
        sensors.restore(&board, &museums, &streams, clock.now()).await?;
        let buildings = Arc::new(Buildings::default());
        buildings.restore(&board, &museums);

        let data = files.is_some().then_some(settings.data.as_path());
        let scoring = Scoring::prepare(settings.scoring, data, Arc::clone(cases.passes()), !settings.on_one_thread);
        let scoring = scoring.map_err(StartError::Thread)?;
        let tap = settings.drives.then(|| scoring.tap());
        let (queue, writer) = Writing::start(Arc::clone(&journal), started.head, Arc::clone(&clock), settings, tap)?;
        let (committed, health, stalls) = (queue.committed(), queue.health(), queue.stall_watch());
        scoring.scoring.follow(&defences.rules());
        let (scoring, scored) = match settings.drives {
            true => scoring.follow(Arc::clone(&journal), started.head, committed.clone()),
            false => (scoring.scoring, oneshot::channel().1),
        };
        let threads = Arc::new(if settings.on_one_thread { Threads::none() } else { Threads::start(settings.arbiters) });
        let shared = Shared { threads, queue, clock, streams: Arc::new(streams) };

        let mut ending: Vec<_> = writing.map(|writing| tokio::spawn(writing.run(Arc::clone(&journal)))).into_iter().collect();
        ending.push(tokio::spawn(async move { drop(scored.await) }));
        let listed = views.as_ref().map(|views| views.follow_apart(Arc::clone(&journal), Arc::clone(&board), committed.clone()));
        let listed = listed.transpose().map_err(StartError::Thread)?;
        let silent = Arc::new(Silent);
        let node = Arc::new(Self {
            slots: shared.registry(&Arc::new(SlotTell(Arc::clone(&board), Arc::clone(&day_limits), Arc::clone(&buildings)))),
            museum_owners: shared.registry(&museums),
            payment_owners: shared.registry(&payments),
            voucher_owners: shared.registry(&silent),
            order_owners: shared.registry(&silent),
            quote_owners: shared.registry(&quotes),
            till_owners: shared.registry(&tills),
            account_owners: shared.registry(&accounts),
            case_owners: shared.registry(&cases),
            rules_owner: shared.registry(&Arc::new(RulesTell::new(&defences, &scoring))),
            model_owners: shared.registry(&defences),
            attempt_owners: shared.registry(&silent),
            attendance_owners: shared.registry(&attended),
            planning_owners: shared.registry(&plans),
            clock: shared.clock,
            board,
            museums,
            cases,
            defences,
            day_limits,
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
            creditors: Creditors::default(),
            sensors,
            buildings,
            grants: Grants::new(settings.drives),
            gates: Gates::default(),
            refusals: Refusals::new(settings.drives),
            scoring,
            rooms: Rooms::default(),
            nearby: Nearby::default(),
            driving: Driving::default(),
            telling: Telling::default(),
            threads: shared.threads,
            committed,
            health,
            stalls,
            journal,
            histories: Semaphore::new(HISTORIES),
            started,
            erases_from,
            files,
        });
        let tasks = Self::go_on(&node, settings.drives);
        Ok(Running { node, writer, ending, views, listed, tasks, lock: None })
    }

    /// Lends a thread to the owners, see [`Threads`].
    pub fn lend(&self, thread: ArbiterHandle) {
        self.threads.lend(thread);
    }

    /// What buyers have by day.
    pub(crate) const fn day_limits(&self) -> &Arc<DayLimits> {
        &self.day_limits
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

    /// Takes a reading in. Answers with the estimate once the slots that it concerns have written down what follows for them; with none if the reading says nothing of
    /// the building. A slot that refuses a reading keeps its last one.
    pub async fn read(&self, reading: Reading, who: KeyId) -> Result<Option<Occupancy>, Rejected> {
        let occupancy = self.sensors.take(reading, who, self.clock.now(), self.beside())?;
        if let Some(occupancy) = occupancy {
            self.buildings.hear(reading.museum, (occupancy.at, occupancy.inside));
            self.share_out(reading.museum).await;
        }
        Ok(occupancy)
    }

    /// Lets a minute pass in all museums where people inside or around are followed, so that whom gates let in counts even if no sensor speaks.
    pub async fn pass_minute(&self) {
        self.sensors.note_admitted(self.clock.now(), self.beside());
        for museum in self.sensors.followed() {
            if let Some(occupancy) = self.sensors.pass(museum, self.clock.now(), self.beside()) {
                self.buildings.hear(museum, (occupancy.at, occupancy.inside));
                self.share_out(museum).await;
            }
        }
    }

    /// What estimates of people inside are made with beside readings.
    #[must_use]
    pub fn beside(&self) -> Beside<'_> {
        Beside { museums: &self.museums, board: &self.board, buildings: &self.buildings, attended: &self.attended, plans: &self.plans }
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether what is to be erased by its date may be: not on the first day after a start by a clock that may be wrong.
    #[must_use]
    pub fn erases_by_date(&self) -> bool {
        self.now() >= self.erases_from
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

    /// Who tells slots what was said of their days.
    pub(crate) const fn telling(&self) -> &Telling {
        &self.telling
    }

    /// The estimates of people inside.
    #[must_use]
    pub const fn sensors(&self) -> &Sensors {
        &self.sensors
    }

    /// How many have come in by the gates of a museum since an estimate, less those who have left.
    #[must_use]
    pub fn passed_since(&self, occupancy: &Occupancy) -> i64 {
        self.buildings.since(occupancy.museum, (occupancy.at, occupancy.inside))
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
}

mod commands;
mod gates;
mod grants;
mod house;
mod refusals;
mod startup;
#[cfg(test)]
mod tests;
mod wakes;
