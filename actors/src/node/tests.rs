//! A whole node on a manual clock: what callers are promised when things go well, and when the journal fails, stalls, lies or is damaged. Gates while the journal
//! does not write, moves between slots, payments and quotes have files of their own.

mod bookings;
mod cases;
mod fraud;
mod gates;
mod golden;
mod learning;
mod limits;
mod moves;
mod payments;
mod quotes;
mod rooms;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::Digest;
use tornello_engine::grant::Grant;
use tornello_engine::ids::{Code, HoldId, RouteId};
use tornello_engine::money::Cents;
use tornello_engine::plan::{OpeningPlan, Route, Session};
use tornello_engine::slot::{Command, DeskMethod, Event, Line, Policy, Refusal, Settlement};
use tornello_engine::tariff::{Proof, Tariff};
use tornello_engine::text::Text;

use super::*;
use crate::clock::ManualClock;
use crate::journal::Batch;
use crate::sensors::Measured;
use crate::views::SaleFilter;

const MUSEUM: MuseumId = MuseumId(1);
const NOW: &str = "2026-06-10T08:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A slot of the day after, of 20 places.
fn tomorrow() -> SlotId {
    SlotId::new(MUSEUM, RouteId(1), "2026-06-11T08:00:00Z".parse().unwrap())
}

fn by(key: u128) -> Envelope {
    Envelope { who: KeyId(7), key: Digest(key), body: Digest(key), parties: Vec::new(), assessment: None, order: None }
}

fn code(text: &str) -> Code {
    text.parse().unwrap()
}

fn lines(count: u16) -> Vec<Line> {
    vec![Line { category: code("full"), count, price_cents: Cents::new(1_200), proof: Proof::None }]
}

fn hold(n: u64, count: u16) -> Command {
    Command::Hold { hold: HoldId::new(tomorrow(), n), channel: Channel::Web, lines: lines(count) }
}

fn sell(n: u64, count: u16) -> Command {
    let settlement = Settlement::Desk { till: code("desk-1"), method: DeskMethod::Card, reference: format!("R-{n}") };
    Command::SellDirect { sale: HoldId::new(tomorrow(), n), channel: Channel::BoxOffice, lines: lines(count), settlement, contact: None }
}

fn plan() -> OpeningPlan {
    let at = |hour| jiff::civil::time(hour, 0, 0, 0);
    let session = Session { opens: at(9), closes: at(18), slot_minutes: 60, last_entry: at(17), capacity: 20, quotas: Default::default() };
    let week = std::array::from_fn(|_| vec![session.clone()]);
    let route =
        Route { id: RouteId(1), code: code("main"), name: Text::new("Percorso", "Route"), week, exceptions: Vec::new(), policy: Policy::default() };
    OpeningPlan { routes: vec![route] }
}

async fn open_museum(node: &Node) {
    let profile = museum::Profile {
        slug: code("torre"),
        name: "Museo della Torre".into(),
        city: "Torrechiara".into(),
        region: "Emilia-Romagna".into(),
        latitude_microdeg: 44_655_000,
        longitude_microdeg: 10_275_000,
        patron: None,
    };
    let valid_from = calendar::local_day(now());
    let commands = [
        museum::Command::Register { profile },
        museum::Command::SetPlan { valid_from, plan: plan() },
        museum::Command::SetTariff { valid_from, tariff: Tariff::state_museum(Cents::new(1_200)) },
        museum::Command::SetCeiling { valid_from, ceiling: Some(30) },
    ];
    for (key, command) in (1_000..).zip(commands) {
        node.museum(MUSEUM, by(key), command).await.unwrap();
    }
}

struct House {
    running: Running,
    clock: Arc<ManualClock>,
}

impl House {
    async fn on(journal: Arc<dyn Journal>) -> Self {
        let clock = Arc::new(ManualClock::new(now()));
        let running = Node::start_on(journal, Arc::clone(&clock) as _, Limits::default()).await.unwrap();
        Self { running, clock }
    }

    async fn new() -> Self {
        let house = Self::on(Arc::new(MemoryJournal::default())).await;
        open_museum(house.node()).await;
        house
    }

    async fn in_folder(folder: &TempDir) -> Result<Self, StartError> {
        Self::in_folder_at(folder, now()).await
    }

    async fn in_folder_at(folder: &TempDir, at: Timestamp) -> Result<Self, StartError> {
        let clock = Arc::new(ManualClock::new(at));
        let running = Node::start(&Settings::new(folder.path()), Arc::clone(&clock) as _, |_| {}).await?;
        if running.node().museums().all().is_empty() {
            open_museum(running.node()).await;
        }
        Ok(Self { running, clock })
    }

    fn node(&self) -> &Arc<Node> {
        self.running.node()
    }

    async fn ask(&self, key: u128, command: Command) -> Answer<Slot> {
        self.node().slot(tomorrow(), by(key), command).await
    }

    fn taken(&self) -> u32 {
        self.node().board().head(tomorrow()).map_or(0, |head| head.places.taken())
    }
}

#[actix_rt::test]
async fn of_many_callers_as_many_are_served_as_there_are_places() {
    let house = House::new().await;
    let answers = join_all((0..100).map(|n| house.ask(u128::from(n), hold(n, 1)))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 20);
    let short = |answer: &&Answer<Slot>| matches!(answer, Err(Failure::Refused(Refusal::NotEnoughPlaces { available: 0, .. })));
    assert_eq!(answers.iter().filter(short).count(), 80);
    assert_eq!(house.taken(), 20);
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_repeated_key_gives_the_first_answer_also_after_a_restart() {
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::default());
    let house = House::on(Arc::clone(&journal)).await;
    open_museum(house.node()).await;
    let first = house.ask(1, hold(1, 2)).await.unwrap();
    house.ask(2, Command::Release { hold: HoldId::new(tomorrow(), 1), owner: None }).await.unwrap();
    assert_eq!(house.ask(1, hold(99, 2)).await, Ok(first.clone()), "the answer is of then, whatever became of the hold");
    let other = Envelope { body: Digest(5), ..by(1) };
    assert_eq!(house.node().slot(tomorrow(), other.clone(), hold(98, 2)).await, Err(Failure::KeyReused));
    house.running.stop().await;
    let again = House::on(journal).await;
    assert_eq!(again.ask(1, hold(97, 2)).await, Ok(first));
    assert_eq!(again.node().slot(tomorrow(), other, hold(96, 2)).await, Err(Failure::KeyReused));
    again.running.stop().await;
}

#[actix_rt::test]
async fn two_of_one_key_at_once_are_done_once() {
    let house = House::new().await;
    let answers = join_all((0..10).map(|n| house.ask(1, hold(n, 2)))).await;
    let first = answers[0].clone().unwrap();
    assert!(answers.iter().all(|answer| answer.as_ref() == Ok(&first)), "{answers:?}");
    assert_eq!(house.taken(), 2);
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_hold_expires_on_time_though_its_owner_is_not_in_memory() {
    let house = House::new().await;
    house.ask(1, hold(1, 5)).await.unwrap();
    for _ in 0..2 {
        house.node().slots.retire_idle().await;
    }
    assert_eq!((house.node().owners(), house.taken()), (0, 5));
    let mut changes = house.node().board().watch();
    house.clock.set(now().plus_seconds(900));
    let change = tokio::time::timeout(Duration::from_secs(5), changes.recv()).await.expect("the clock wakes the slot").unwrap();
    assert_eq!((change.slot, change.head.places.taken(), change.head.wake_at), (tomorrow(), 0, None));
    house.running.stop().await;
}

fn wait(n: u64, count: u16) -> Command {
    Command::Wait { entry: HoldId::new(tomorrow(), n), who: KeyId(7), channel: Channel::Web, lines: lines(count) }
}

/// The board's first change after which the slot has as many places taken, and parties waiting.
async fn until(changes: &mut tokio::sync::broadcast::Receiver<crate::board::Change>, taken: u32, waiting: u32) {
    loop {
        let change = tokio::time::timeout(Duration::from_secs(5), changes.recv()).await.expect("the clock wakes the slot").unwrap();
        if (change.head.places.taken(), change.head.waiting) == (taken, waiting) {
            return;
        }
    }
}

#[actix_rt::test]
async fn who_waits_is_served_by_the_clock_though_the_slot_is_not_in_memory() {
    let house = House::new().await;
    house.ask(1, hold(1, 20)).await.unwrap();
    house.ask(2, wait(2, 5)).await.unwrap();
    house.ask(3, wait(3, 16)).await.unwrap();
    for _ in 0..2 {
        house.node().slots.retire_idle().await;
    }
    assert_eq!((house.node().owners(), house.taken()), (0, 20));
    let mut changes = house.node().board().watch();
    house.clock.set(now().plus_seconds(900));
    // The hold expires, and in the same moment the first in order has an offer; the second needs more than is left.
    until(&mut changes, 5, 1).await;
    let offer = house.node().look(tomorrow(), |slot| slot.hold_of(HoldId::new(tomorrow(), 2)).map(|hold| hold.expires_at)).await.unwrap();
    assert_eq!(offer, Some(now().plus_seconds(1_800)));
    // Nobody asks, and the offer lapses: the next is served.
    house.clock.set(now().plus_seconds(1_800));
    until(&mut changes, 16, 0).await;
    house.running.stop().await;
}

#[actix_rt::test]
async fn an_offer_that_was_due_when_the_house_stopped_is_made_when_it_starts() {
    let journal = Arc::new(MemoryJournal::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    house.ask(1, hold(1, 20)).await.unwrap();
    house.ask(2, wait(2, 5)).await.unwrap();
    let mut changes = house.node().board().watch();
    let released = house.ask(3, Command::Release { hold: HoldId::new(tomorrow(), 1), owner: None }).await.unwrap();
    until(&mut changes, 5, 0).await;
    house.running.stop().await;
    // The same journal, up to the release.
    let cut = Arc::new(MemoryJournal::default());
    for batch in journal.batches(0, u32::MAX).await.unwrap() {
        let later = batch.spans.iter().any(|span| span.stream == StreamId::Slot(tomorrow()) && span.last > released.seq);
        if later {
            break;
        }
        cut.append(&batch).await.unwrap();
    }
    let again = House::on(cut).await;
    let mut changes = again.node().board().watch();
    if again.taken() != 5 {
        until(&mut changes, 5, 0).await;
    }
    let short = Refusal::NotEnoughPlaces { asked: 16, available: 15, limited_by: slot::LimitedBy::Capacity };
    assert_eq!(again.ask(4, hold(4, 16)).await, Err(Failure::Refused(short)), "nobody comes before who waits");
    assert_eq!(again.node().look(tomorrow(), |slot| slot.places().taken()).await, Ok(5));
    again.running.stop().await;
}

#[actix_rt::test]
async fn of_many_who_wait_as_many_have_an_offer_as_there_are_places() {
    let house = House::new().await;
    house.ask(1, hold(1, 20)).await.unwrap();
    let joined = join_all((100..150).map(|n| house.ask(u128::from(n), wait(n, 3)))).await;
    assert!(joined.iter().all(Result::is_ok), "{joined:?}");
    // Others try to come in between.
    let release = house.ask(2, Command::Release { hold: HoldId::new(tomorrow(), 1), owner: None });
    let (released, others) = tokio::join!(release, join_all((200..250).map(|n| house.ask(u128::from(n), hold(n, 3)))));
    assert!(released.is_ok() && others.iter().all(Result::is_err), "{others:?}");
    let (first, offers) =
        house.node().look(tomorrow(), |slot| (slot.waiting().next().map(|party| party.number), slot.holds().count())).await.unwrap();
    assert_eq!((first, offers, house.taken()), (Some(7), 6, 18));
    house.running.stop().await;
}

#[actix_rt::test]
async fn slots_that_nobody_planned_do_not_exist_and_leave_nothing_behind() {
    let house = House::new().await;
    let midnight = SlotId::new(MUSEUM, RouteId(1), "2026-06-11T00:00:00Z".parse().unwrap());
    let answer = house.node().slot(midnight, by(1), hold(1, 1)).await;
    assert_eq!(answer, Err(Failure::UnknownSlot(midnight)));
    assert_eq!(house.node().owners(), 0);
    // A refused command opens no slot.
    assert!(house.ask(2, hold(1, 21)).await.is_err());
    assert_eq!(house.node().board().head(tomorrow()), None);
    house.running.stop().await;
}

/// What the next append does instead of succeeding.
#[derive(Debug, Clone)]
enum Fault {
    /// Nothing is written, and everybody knows.
    Full,
    /// Nothing is written, but nobody knows.
    Lost,
    /// It is written, but nobody knows.
    Written,
    /// The disk did not flush.
    Flush,
    /// None: this one succeeds.
    Pass,
}

#[derive(Default)]
struct Faulty {
    inner: MemoryJournal,
    faults: Mutex<VecDeque<Fault>>,
    /// Nothing can be written, until this is false.
    full: AtomicBool,
    /// Nobody can say where the journal ends, until this is false.
    unreachable: AtomicBool,
    /// How many appends have begun.
    appends: AtomicUsize,
    /// While this is held, appends wait.
    stall: tokio::sync::Mutex<()>,
}

impl Journal for Faulty {
    fn append<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            self.appends.fetch_add(1, Ordering::Relaxed);
            let _stalled = self.stall.lock().await;
            let fault = if self.full.load(Ordering::Relaxed) { Some(Fault::Full) } else { self.faults.lock().pop_front() };
            match fault {
                None | Some(Fault::Pass) => self.inner.append(batch).await,
                Some(Fault::Full) => Err(JournalError::Full("no space left on device".into())),
                Some(Fault::Lost) => Err(JournalError::Unreachable("input/output error".into())),
                Some(Fault::Flush) => Err(JournalError::FlushFailed("input/output error".into())),
                Some(Fault::Written) => {
                    self.inner.append(batch).await?;
                    Err(JournalError::Unreachable("input/output error".into()))
                }
            }
        })
    }
    fn head(&self) -> BoxFuture<'_, Result<Head, JournalError>> {
        self.inner.head()
    }
    fn batches(&self, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>> {
        self.inner.batches(after, limit)
    }
    fn batches_of(&self, stream: StreamId, after: u64) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>> {
        self.inner.batches_of(stream, after)
    }
    fn batch_with(&self, stream: StreamId, seq: u64) -> BoxFuture<'_, Result<Option<Batch>, JournalError>> {
        self.inner.batch_with(stream, seq)
    }
    fn cut_last(&self, number: u64) -> BoxFuture<'_, Result<(), JournalError>> {
        self.inner.cut_last(number)
    }
    fn recover(&self) -> BoxFuture<'_, Result<Head, JournalError>> {
        if self.full.load(Ordering::Relaxed) || self.unreachable.load(Ordering::Relaxed) {
            return Box::pin(async { Err(JournalError::Full("no space left on device".into())) });
        }
        self.inner.recover()
    }
}

#[actix_rt::test]
async fn a_failed_append_is_told_honestly_and_the_slot_goes_on_from_the_journal() {
    let cases = [
        (Fault::Full, Failure::Journal("no room on the disk for the journal: no space left on device".into()), 2),
        (Fault::Lost, Failure::OutcomeUnknown, 2),
        (Fault::Written, Failure::OutcomeUnknown, 5),
    ];
    for (fault, told, taken_after) in cases {
        let journal = Arc::new(Faulty::default());
        let house = House::on(Arc::clone(&journal) as _).await;
        open_museum(house.node()).await;
        house.ask(1, hold(1, 2)).await.unwrap();
        journal.faults.lock().push_back(fault.clone());
        assert_eq!(house.ask(2, hold(2, 3)).await, Err(told), "{fault:?}");
        // The next caller finds a slot that knows what is on the disk, no more and no less.
        house.ask(3, hold(3, 1)).await.unwrap();
        assert_eq!(house.taken(), taken_after + 1, "{fault:?}");
        // The same key again: done once in all.
        house.ask(2, hold(22, 3)).await.unwrap();
        assert_eq!(house.taken(), 6, "{fault:?}");
        let replayed = start::check(journal.as_ref(), false, |_| Ok(()), |_| {}).await.unwrap();
        assert_eq!(replayed.head, house.node().head(), "{fault:?}");
        house.running.stop().await;
    }
}

#[actix_rt::test]
async fn after_a_flush_that_failed_nothing_is_written_until_a_restart() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    house.ask(1, hold(1, 2)).await.unwrap();
    let before = house.node().head();
    journal.faults.lock().push_back(Fault::Flush);
    assert_eq!(house.ask(2, hold(2, 3)).await, Err(Failure::OutcomeUnknown));
    assert!(matches!(house.ask(3, hold(3, 1)).await, Err(Failure::Journal(_))));
    assert_eq!((house.node().head(), house.taken(), house.node().health()), (before, 2, Health::Stopped));
    house.running.stop().await;
    let again = House::on(journal).await;
    again.ask(2, hold(22, 3)).await.unwrap();
    assert_eq!(again.taken(), 5);
    again.running.stop().await;
}

#[actix_rt::test]
async fn what_was_queued_behind_a_failed_record_of_the_same_slot_fails_too() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    house.ask(1, hold(1, 1)).await.unwrap();
    let stall = journal.stall.lock().await;
    journal.faults.lock().push_back(Fault::Lost);
    let waiting: Vec<_> = (2..8).map(|n| house.ask(n, hold(n as u64, 1))).collect();
    let (answers, ()) = tokio::join!(join_all(waiting), async {
        // All are in the mailbox; let the writer meet them.
        tokio::task::yield_now().await;
        drop(stall);
    });
    // Each caller was either told that its outcome is open, or was served anew by the rebuilt slot: the counters tell which, and nobody was counted twice.
    let served = answers.iter().filter(|answer| answer.is_ok()).count() as u32;
    assert!(answers.iter().any(|answer| answer == &Err(Failure::OutcomeUnknown)), "{answers:?}");
    house.ask(9, hold(9, 1)).await.unwrap();
    assert_eq!(house.taken(), served + 2);
    house.running.stop().await;
}

#[actix_rt::test]
async fn when_the_queue_is_full_callers_are_told_so_and_nothing_changes() {
    let journal = Arc::new(Faulty::default());
    let clock = Arc::new(ManualClock::new(now()));
    let limits = Limits { queue: 4, batch: 2 };
    let running = Node::start_on(Arc::clone(&journal) as _, clock, limits).await.unwrap();
    open_museum(running.node()).await;
    let node = running.node();
    node.slot(tomorrow(), by(0), hold(1_000, 1)).await.unwrap();
    let stall = journal.stall.lock().await;
    let asked = (1..=15).map(|n| node.slot(tomorrow(), by(n), hold(n as u64, 1)));
    let release = async {
        // The writer holds at most one batch, the queue four more: somebody is told `Busy` while the disk stands still.
        let mut taken = node.board().watch();
        tokio::task::yield_now().await;
        drop(stall);
        let _ = tokio::time::timeout(Duration::from_secs(5), taken.recv()).await;
    };
    let (answers, ()) = tokio::join!(join_all(asked), release);
    let done = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(answers.iter().all(|answer| answer.is_ok() || answer == &Err(Failure::Busy)), "{answers:?}");
    assert_eq!(node.board().head(tomorrow()).map(|head| head.places.taken()), Some(done as u32 + 1));
    running.stop().await;
}

#[actix_rt::test]
async fn a_panic_ends_one_owner_and_the_next_caller_finds_it_rebuilt() {
    let house = House::new().await;
    house.ask(1, hold(1, 2)).await.unwrap();
    let looked: Result<(), _> = house.node().look(tomorrow(), |_| panic!("a fault in a handler")).await;
    assert!(looked.is_err());
    assert_eq!(house.node().look(tomorrow(), |slot| slot.places().taken()).await, Ok(2));
    house.ask(2, hold(2, 2)).await.unwrap();
    assert_eq!(house.taken(), 4);
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_reading_limits_the_running_slot_and_is_written_down() {
    let house = House::new().await;
    let running = SlotId::new(MUSEUM, RouteId(1), now());
    let reading = Reading { museum: MUSEUM, sensor: code("door"), at: now(), measured: Measured::Inside { people: 22, sd: Some(2) } };
    let occupancy = house.node().read(reading, KeyId(3)).await.unwrap().unwrap();
    assert_eq!((occupancy.inside.people, occupancy.inside.sd), (22, 2));
    let head = house.node().board().head(running).expect("the running slot was told");
    assert_eq!(head.places.available(Channel::BoxOffice, now()).0, 4);
    assert_eq!(house.node().read(reading, KeyId(3)).await, Err(Rejected::OutOfOrder));
    assert_eq!(house.node().read(Reading { museum: MuseumId(9), ..reading }, KeyId(3)).await, Err(Rejected::UnknownMuseum));
    house.running.stop().await;
}

#[actix_rt::test]
async fn everything_is_there_after_a_restart_with_and_without_the_read_models() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, hold(1, 2)).await.unwrap();
    house.ask(2, sell(2, 3)).await.unwrap();
    house.ask(3, sell(3, 1)).await.unwrap();
    let digest = |slot: &Slot| postcard::to_allocvec(slot).unwrap();
    let (state, head) = (house.node().look(tomorrow(), digest).await.unwrap(), house.node().board().head(tomorrow()));
    let views = house.node().files().unwrap().views.clone();
    views.reach(house.node().head().number).await;
    let sales = views.sales(&SaleFilter::default(), 10).await.unwrap();
    assert_eq!(
        sales.iter().map(|sale| (sale.people, sale.total_cents, sale.reference.as_str())).collect::<Vec<_>>(),
        [(3, 3_600, "R-2"), (1, 1_200, "R-3")]
    );
    house.running.stop().await;
    for drop_views in [false, true] {
        if drop_views {
            std::fs::remove_file(folder.path().join("views.db")).unwrap();
        }
        let house = House::in_folder(&folder).await.unwrap();
        assert_eq!(house.node().board().head(tomorrow()), head, "views dropped: {drop_views}");
        assert_eq!(house.node().look(tomorrow(), digest).await.unwrap(), state);
        let views = house.node().files().unwrap().views.clone();
        views.reach(house.node().head().number).await;
        assert_eq!(views.sales(&SaleFilter::default(), 10).await.unwrap(), sales);
        let by_reference = SaleFilter { reference: Some("R-3".into()), ..SaleFilter::default() };
        assert_eq!(views.sales(&by_reference, 10).await.unwrap(), sales[1..]);
        assert_eq!(views.tickets(tomorrow(), "", 10).await.unwrap().len(), 4);
        house.running.stop().await;
    }
}

#[actix_rt::test]
async fn a_snapshot_is_used_and_a_damaged_one_is_not() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    house.running.stop().await;
    let views = Views::open(&folder.path().join("views.db")).await.unwrap();
    let (snapshots, _) = views.snapshots();
    assert_eq!(snapshots.load(StreamId::Slot(tomorrow())).await.map(|slot| slot.seq()), Some(1));
    views.close().await;
    change(&folder, "views.db", "UPDATE snapshot SET state = zeroblob(length(state))").await;
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(2, sell(2, 1)).await.unwrap();
    assert_eq!(house.taken(), 4);
    house.running.stop().await;
}

#[actix_rt::test]
async fn the_lists_follow_what_becomes_of_tickets() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let sale = HoldId::new(tomorrow(), 1);
    let gate = code("north");
    let admit = Command::Admit { ticket: sale.ticket(0), issue: None, gate, museum: MUSEUM };
    let steps = [
        (now(), sell(1, 3), ["valid", "valid", "valid"]),
        (now(), Command::Cancel { sale, owner: None, tickets: vec![2], cause: slot::CancelCause::Visitor }, ["valid", "valid", "cancelled"]),
        (tomorrow().start(), admit, ["inside", "valid", "cancelled"]),
        (tomorrow().start(), Command::Block { sale, tickets: vec![], reason: code("review") }, ["blocked", "blocked", "cancelled"]),
        (tomorrow().start(), Command::Unblock { sale, tickets: vec![] }, ["inside", "valid", "cancelled"]),
        (tomorrow().start(), Command::Exit { ticket: sale.ticket(0), gate, museum: MUSEUM }, ["outside", "valid", "cancelled"]),
    ];
    let views = house.node().files().unwrap().views.clone();
    for (key, (at, command, expected)) in (1..).zip(steps) {
        house.clock.set(at);
        house.ask(key, command.clone()).await.unwrap();
        views.reach(house.node().head().number).await;
        let states: Vec<String> = views.tickets(tomorrow(), "", 10).await.unwrap().into_iter().map(|ticket| ticket.state).collect();
        assert_eq!(states, expected, "after {command:?}");
    }
    let row = views.sales(&SaleFilter { slot: Some(tomorrow()), ..SaleFilter::default() }, 10).await.unwrap().remove(0);
    assert_eq!((row.people, row.cancelled, row.admitted, row.refunded_cents), (3, 1, 1, 600));
    // What a payment settled is listed with the payment.
    let (id, channel) = (PaymentId::new(2, 5), Channel::Kiosk);
    let (sale, settlement) = (HoldId::new(tomorrow(), 9), Settlement::Payment { id });
    house.ask(90, Command::SellDirect { sale, channel, lines: lines(1), settlement, contact: None }).await.unwrap();
    views.reach(house.node().head().number).await;
    let rows =
        views.sales(&SaleFilter { slot: Some(tomorrow()), after: Some(HoldId::new(tomorrow(), 1)), ..SaleFilter::default() }, 10).await.unwrap();
    assert_eq!(rows.iter().map(|row| (row.settlement.as_str(), row.account.clone())).collect::<Vec<_>>(), [("payment", id.to_string())]);
    house.running.stop().await;
}

async fn change(folder: &TempDir, file: &str, sql: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join(file));
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[actix_rt::test]
async fn a_torn_tail_is_cut_and_damage_before_it_stops_the_start() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    house.ask(2, sell(2, 2)).await.unwrap();
    let last = house.node().head().number;
    house.running.stop().await;
    // The last batch is torn: what it held is gone, and said so; the rest is there.
    let journal = folder.path().join(file::FILE);
    let places = begins(&journal);
    let file = std::fs::OpenOptions::new().write(true).open(&journal).unwrap();
    file.set_len(places[places.len() - 1] + 150).unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    assert_eq!((house.node().started().cut, house.node().head().number, house.taken()), (Some(last), last - 1, 3));
    house.ask(3, sell(3, 1)).await.unwrap();
    house.running.stop().await;
    // Damage in the middle, of any part, names the batch and starts nothing.
    let sound = std::fs::read(&journal).unwrap();
    let (second, third) = (places[1] as usize, places[2] as usize);
    let damages: [(&str, Vec<u8>, &str); 5] = [
        ("a record", changed(&sound, third - 1), "batch 2 of the journal is damaged: its hash is not the stored one"),
        ("the previous hash", changed(&sound, second + 30), "batch 2 of the journal is damaged: its header cannot be read"),
        ("the length", changed(&sound, second + 92), "batch 2 of the journal is damaged: its header cannot be read"),
        ("the first byte", changed(&sound, 0), "batch 1 of the journal is damaged: its header cannot be read"),
        ("a whole batch", [&sound[..second], &sound[third..]].concat(), "batch 2 of the journal is damaged: it does not follow the one before"),
    ];
    for (what, bytes, told) in damages {
        std::fs::write(&journal, bytes).unwrap();
        let refused = House::in_folder(&folder).await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains(told), "{what}: {refused}");
    }
    // What stands behind the end is no batch and hides none.
    let mut littered = sound.clone();
    *littered.last_mut().unwrap() = 7;
    std::fs::write(&journal, littered).unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    assert_eq!((house.node().started().cut, house.taken()), (Some(house.node().head().number + 1), 4));
    house.running.stop().await;
}

/// Where the batches of a journal begin.
fn begins(journal: &Path) -> Vec<u64> {
    let bytes = std::fs::read(journal).unwrap();
    bytes.windows(8).enumerate().filter(|(_, seen)| *seen == b"\xfftrnlo\x01\n").map(|(place, _)| place as u64).collect()
}

fn changed(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0x10;
    bytes
}

#[actix_rt::test]
async fn one_process_at_a_time_and_a_clock_that_fits_the_journal() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    assert!(matches!(House::in_folder(&folder).await.err(), Some(StartError::InUse(_))));
    house.running.stop().await;
    for apart_s in [-BEHIND_S - 1, AHEAD_S + 1] {
        let clock = || Arc::new(ManualClock::new(now().plus_seconds(apart_s)));
        let mut settings = Settings::new(folder.path());
        assert!(matches!(Node::start(&settings, clock(), |_| {}).await.err(), Some(StartError::Clock { .. })), "{apart_s}");
        settings.accept_clock = true;
        Node::start(&settings, clock(), |_| {}).await.unwrap().stop().await;
    }
}

#[actix_rt::test]
async fn when_an_owner_stops_all_who_waited_for_it_are_served_by_the_next() {
    let house = House::new().await;
    house.ask(1, hold(1, 1)).await.unwrap();
    let stopped: Result<(), _> = house.node().look(tomorrow(), |_| panic!("a fault in a handler")).await;
    assert!(stopped.is_err(), "a fault that stays is told");
    let node = house.node();
    let panic_once = Arc::new(AtomicBool::new(true));
    let fault = node.look(tomorrow(), move |_| assert!(!panic_once.swap(false, Ordering::Relaxed), "once"));
    let (fault, answers) = tokio::join!(fault, join_all((2..17).map(|n| house.ask(n, hold(n as u64, 1)))));
    assert!(fault.is_ok() && answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(house.taken(), 16);
    house.running.stop().await;
}

#[actix_rt::test]
async fn who_asks_while_an_owner_is_retired_is_served_by_the_next() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    let node = house.node();
    // The house itself retires owners when it starts: once, so the second round is this test's own.
    let mut retired = 0;
    for round in 1..4 {
        house.ask(u128::from(round), hold(round, 1)).await.unwrap();
        node.slots.retire_idle().await;
        // The writer has its hands full, so that nothing more is written before the owner has gone.
        let (stall, before) = (journal.stall.lock().await, journal.appends.load(Ordering::Relaxed));
        let meanwhile = async {
            while journal.appends.load(Ordering::Relaxed) == before {
                tokio::task::yield_now().await;
            }
            let retire = async {
                let retired = node.slots.retire_idle().await;
                drop(stall);
                retired
            };
            tokio::join!(retire, house.ask(u128::from(10 + round), hold(10 + round, 2)))
        };
        let ceiling = museum::Command::SetCeiling { valid_from: calendar::local_day(now()), ceiling: Some(40) };
        let (busy, (found, asked)) = tokio::join!(node.museum(MUSEUM, by(u128::from(5_000 + round)), ceiling), meanwhile);
        assert!(busy.is_ok() && asked.is_ok(), "{busy:?}, {asked:?}");
        assert_eq!(house.taken(), 3 * round as u32);
        retired += found;
    }
    assert!(retired > 0, "an owner was retired while somebody asked");
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_disk_that_stays_full_puts_no_slot_out_of_order() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    house.ask(1, hold(1, 1)).await.unwrap();
    journal.faults.lock().extend(vec![Fault::Full; 500]);
    for round in 0..20 {
        let answers = join_all((0..10).map(|n| house.ask(10 + round * 10 + n, hold(n as u64 + 10, 1)))).await;
        assert!(answers.iter().all(|answer| matches!(answer, Err(Failure::Journal(_)))), "{answers:?}");
        assert_eq!(house.node().look(tomorrow(), |slot| slot.places().taken()).await, Ok(1), "what was written can be read");
    }
    journal.faults.lock().clear();
    house.ask(2, hold(2, 2)).await.unwrap();
    assert_eq!(house.taken(), 3);
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_full_queue_hurts_nobody_who_is_in_it() {
    let journal = Arc::new(Faulty::default());
    let clock = Arc::new(ManualClock::new(now()));
    let running = Node::start_on(Arc::clone(&journal) as _, clock, Limits { queue: 4, batch: 2 }).await.unwrap();
    open_museum(running.node()).await;
    let node = running.node();
    node.slot(tomorrow(), by(0), hold(1_000, 1)).await.unwrap();
    let stall = journal.stall.lock().await;
    let holds = join_all((1..=5).map(|n| node.slot(tomorrow(), by(n), hold(n as u64, 1))));
    let repeats = join_all((0..5).map(|_| node.slot(tomorrow(), by(0), hold(1_000, 1))));
    let looks = join_all((0..5).map(|_| node.look(tomorrow(), |slot| slot.places().taken())));
    let release = async {
        tokio::task::yield_now().await;
        drop(stall);
    };
    let (holds, repeats, looks, ()) = tokio::join!(holds, repeats, looks, release);
    assert!(holds.iter().chain(&repeats).all(|answer| matches!(answer, Ok(_) | Err(Failure::Busy))), "{holds:?} {repeats:?}");
    assert!(looks.iter().all(|look| matches!(look, Ok(_) | Err(Failure::Busy))), "{looks:?}");
    let done = 1 + holds.iter().filter(|answer| answer.is_ok()).count() as u32;
    assert_eq!(node.board().head(tomorrow()).map(|head| head.places.taken()), Some(done));
    running.stop().await;
}

#[actix_rt::test]
async fn a_slot_that_nobody_has_touched_follows_the_plan_as_it_changes() {
    let house = House::new().await;
    // Somebody is refused: the slot is in memory, as planned then.
    assert!(house.ask(1, hold(1, 21)).await.is_err());
    let mut smaller = plan();
    smaller.routes[0].week.iter_mut().flatten().for_each(|session| session.capacity = 5);
    let valid_from = calendar::local_day(now());
    house.node().museum(MUSEUM, by(2_000), museum::Command::SetPlan { valid_from, plan: smaller }).await.unwrap();
    assert_eq!(house.node().look(tomorrow(), |slot| slot.places().capacity).await, Ok(5), "also who only looks sees the plan in force");
    assert!(matches!(house.ask(2, hold(2, 10)).await, Err(Failure::Refused(Refusal::NotEnoughPlaces { available: 5, .. }))));
    // One that was sold from keeps the plan under which it was.
    house.ask(3, hold(3, 2)).await.unwrap();
    house.node().museum(MUSEUM, by(2_001), museum::Command::SetPlan { valid_from, plan: plan() }).await.unwrap();
    assert!(house.ask(4, hold(4, 4)).await.is_err());
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_batch_that_was_written_though_its_append_failed_is_told_to_the_house() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    journal.faults.lock().push_back(Fault::Written);
    assert_eq!(house.ask(1, hold(1, 3)).await, Err(Failure::OutcomeUnknown));
    assert_eq!(house.ask(1, hold(2, 3)).await.map(|record| record.seq), Ok(1));
    assert_eq!((house.taken(), house.node().board().next_wake()), (3, Some(now().plus_seconds(900))));
    house.running.stop().await;
}

#[actix_rt::test]
async fn doors_add_up_and_todays_ceiling_reaches_slots_that_were_opened_before() {
    let house = House::new().await;
    let running = SlotId::new(MUSEUM, RouteId(1), now());
    let entries = |sensor: &str, at_s: i64, people| {
        let at = now().plus_seconds(at_s);
        Reading { museum: MUSEUM, sensor: code(sensor), at, measured: Measured::Entries { people } }
    };
    for (sensor, at_s, people, inside) in [("north", 0, 10, 10), ("south", 0, 7, 17), ("south", 5, 1, 18), ("north", 5, 2, 20)] {
        let occupancy = house.node().read(entries(sensor, at_s, people), KeyId(3)).await.unwrap().unwrap();
        assert_eq!(occupancy.inside.people, inside, "{sensor} at {at_s}");
    }
    assert_eq!(house.node().read(entries("north", 5, 2), KeyId(3)).await, Err(Rejected::OutOfOrder));
    let live = house.node().board().head(running).and_then(|head| head.places.live).expect("the running slot was told");
    assert_eq!((live.people, live.ceiling), (20, Some(30)));
    let valid_from = calendar::local_day(now());
    house.node().museum(MUSEUM, by(2_000), museum::Command::SetCeiling { valid_from, ceiling: Some(12) }).await.unwrap();
    house.node().read(entries("north", 10, 1), KeyId(3)).await.unwrap();
    let head = house.node().board().head(running).unwrap();
    assert_eq!((head.places.live.and_then(|live| live.ceiling), head.places.available(Channel::BoxOffice, now()).0), (Some(12), 0));
    let old = Reading { museum: MUSEUM, sensor: code("camera"), at: now().plus_seconds(-60), measured: Measured::Inside { people: 1, sd: None } };
    assert_eq!(house.node().read(old, KeyId(3)).await, Err(Rejected::OutOfOrder), "an older word of another sensor does not count");
    house.running.stop().await;
}

/// Journals of older programs, as bytes. They are never written again: a program that cannot read them to the same state has lost a museum's past. The hash of
/// the state is another one when the state has become richer.
#[actix_rt::test]
async fn the_golden_journals_replay_to_their_states() {
    for (name, golden) in [("golden-1", include_str!("../testdata/golden-1.txt")), ("golden-2", include_str!("../testdata/golden-2.txt"))] {
        replays(name, golden).await;
    }
}

async fn replays(name: &str, golden: &str) {
    let (expected, journal) = read_golden(golden).await;
    let house = House::on(journal).await;
    assert_eq!(state_hash(house.node()).await, expected, "the state after {name} is another one");
    house.running.stop().await;
}

/// A golden journal, and the hash of the state that it comes to.
async fn read_golden(golden: &str) -> (String, Arc<MemoryJournal>) {
    let journal = Arc::new(MemoryJournal::default());
    let mut head = Head::EMPTY;
    let mut lines = golden.lines().filter(|line| !line.starts_with('#'));
    let expected = lines.next().expect("the state's hash stands first").to_owned();
    for line in lines {
        let (at, records) = line.split_once(' ').unwrap();
        let records: Vec<u8> = (0..records.len()).step_by(2).map(|i| u8::from_str_radix(&records[i..i + 2], 16).unwrap()).collect();
        let mut spans: Vec<crate::journal::Span> = Vec::new();
        for frame in crate::journal::wire::frames(&records) {
            let frame = frame.unwrap();
            match spans.iter_mut().find(|span| span.stream == frame.stream) {
                Some(span) => span.last = frame.seq,
                None => spans.push(crate::journal::Span { stream: frame.stream, first: frame.seq, last: frame.seq }),
            }
        }
        let batch = Batch { number: head.number + 1, previous: head.hash, at: Timestamp::from_micros(at.parse().unwrap()), records, spans };
        journal.append(&batch).await.unwrap();
        head = Head { number: batch.number, hash: batch.hash(), at: batch.at };
    }
    (expected, journal)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 of the slot's and the museum's state.
async fn state_hash(node: &Node) -> String {
    use sha2::{Digest as _, Sha256};
    let slot = node.look(tomorrow(), |slot| postcard::to_allocvec(slot).unwrap()).await.unwrap();
    let museum = postcard::to_allocvec(&node.museums().get(MUSEUM).unwrap().museum).unwrap();
    hex(&Sha256::new().chain_update(slot).chain_update(museum).finalize())
}

/// Every kind of event of a slot and of a museum, through a node.
async fn every_event() -> Arc<MemoryJournal> {
    let journal = Arc::new(MemoryJournal::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    let id = |n| HoldId::new(tomorrow(), n);
    let quotas = [Some(4), None, None, Some(6), None].map(|limit| slot::Quota { reserved: 2, limit, release_s: 3_600 });
    let account = Settlement::OnAccount { account: code("tours") };
    let reseller = Command::Hold { hold: id(5), channel: Channel::Reseller, lines: lines(2) };
    let gate = |n| (id(n).ticket(0), code("north"));
    let start = tomorrow().start();
    let merge = |gate: &str, s, direction| {
        let scan = slot::Scan { ticket: id(5).ticket(0), scanned_at: start.plus_seconds(s), gate: code(gate), direction };
        Command::Merge { scan, issue: Some(1), museum: MUSEUM }
    };
    let (payment, quote) = (PaymentId::new(1, 99), slot::Keeper::Quote(QuoteId(4)));
    let grant = Some(Grant { admitted: 0, share: 12 });
    let observed = Command::Observe { source: code("door"), inside: 9, sd: 3, measured_at: start, ceiling: Some(30), grant };
    let script = [
        (now(), hold(1, 2)),
        (now(), Command::Extend { hold: id(1), owner: None }),
        (now(), hold(2, 1)),
        (now(), Command::Release { hold: id(2), owner: None }),
        (now(), Command::HoldFor { hold: id(11), channel: Channel::Web, lines: lines(2), until: now().plus_seconds(1_800), cause: quote }),
        (now(), Command::Amend { hold: id(11), lines: lines(3), owner: None }),
        (now(), Command::Prolong { hold: id(11), until: now().plus_seconds(3_600), cause: slot::Keeper::Payment(payment) }),
        (now(), Command::Sell { hold: id(11), owner: None, settlement: Settlement::Payment { id: payment }, contact: None }),
        (now(), Command::Cancel { sale: id(11), owner: None, tickets: vec![0, 1], cause: slot::CancelCause::Museum }),
        (now(), Command::Cancel { sale: id(11), owner: None, tickets: vec![2], cause: slot::CancelCause::Museum }),
        (now().plus_seconds(3_000), sell(3, 3)),
        (now().plus_seconds(3_000), Command::Cancel { sale: id(3), owner: None, tickets: vec![1], cause: slot::CancelCause::Visitor }),
        (now().plus_seconds(3_000), Command::Block { sale: id(3), tickets: vec![0], reason: code("review") }),
        (now().plus_seconds(3_000), Command::Unblock { sale: id(3), tickets: vec![] }),
        (now().plus_seconds(3_000), Command::Review { sale: id(3) }),
        (now().plus_seconds(3_000), Command::EndReview { sale: id(3), cleared: true }),
        (now().plus_seconds(3_000), Command::SetCapacity { capacity: 25 }),
        (now().plus_seconds(3_000), hold(6, 21)),
        (now().plus_seconds(3_000), wait(7, 4)),
        (now().plus_seconds(3_000), wait(8, 5)),
        (now().plus_seconds(3_000), wait(9, 24)),
        (now().plus_seconds(3_000), Command::LeaveWaiting { entry: id(8), owner: None }),
        (now().plus_seconds(3_000), Command::Release { hold: id(6), owner: None }),
        (now().plus_seconds(3_000), Command::SetQuotas { quotas }),
        (now().plus_seconds(3_000), Command::Close { reason: code("strike") }),
        (now().plus_seconds(3_000), Command::Reopen),
        (now().plus_seconds(3_000), reseller),
        (
            now().plus_seconds(3_000),
            Command::Sell { hold: id(5), owner: None, settlement: account, contact: Some(tornello_engine::ids::PersonId(9)) },
        ),
        (start, observed),
        (start, Command::Admit { ticket: gate(3).0, issue: Some(1), gate: gate(3).1, museum: MUSEUM }),
        (start, Command::Exit { ticket: gate(3).0, gate: gate(3).1, museum: MUSEUM }),
    ];
    let scanned = [merge("pda-1", 60, slot::Direction::In), merge("pda-2", 90, slot::Direction::In), merge("pda-1", 120, slot::Direction::Out)];
    // A sale of the slot before, whose tickets move here while they can.
    let before = SlotId::new(MUSEUM, RouteId(1), start.plus_seconds(-3_600));
    let desk = Settlement::Desk { till: code("desk-1"), method: DeskMethod::Cash, reference: "R-6".into() };
    let other = Command::SellDirect { sale: HoldId::new(before, 6), channel: Channel::BoxOffice, lines: lines(2), settlement: desk, contact: None };
    house.node().slot(before, by(98), other).await.unwrap();
    let begin_move = |sale, arrival| {
        let prices = vec![(code("full"), Cents::new(1_200))];
        Command::BeginMove { sale, owner: None, tickets: vec![], arrival, via: Channel::BoxOffice, prices }
    };
    house.node().slot(before, by(99), begin_move(HoldId::new(before, 6), id(10))).await.unwrap();
    crate::moves::advance(house.node(), before, id(10)).await.unwrap();
    for (key, (at, command)) in (1..).zip(script) {
        house.clock.set(at);
        house.ask(key, command).await.unwrap();
    }
    // Some move on to the next slot, some would go where nothing is sold yet.
    let at_hours = |hours: i64| SlotId::new(MUSEUM, RouteId(1), start.plus_seconds(hours * 3_600));
    let flows = [(id(10), HoldId::new(at_hours(1), 7)), (id(3), HoldId::new(at_hours(24 * 200), 8))];
    for (key, (sale, arrival)) in (100..).zip(flows) {
        house.ask(key, begin_move(sale, arrival)).await.unwrap();
        crate::moves::advance(house.node(), sale.slot(), arrival).await.unwrap();
    }
    // The payment is told of one of its refunds; the other is still owed.
    let first = house.node().look(tomorrow(), |slot| slot.owed().map(|(sale, seq, _)| (sale, seq)).next()).await.unwrap();
    let (sale, seq) = first.unwrap();
    house.ask(104, Command::HandedOver { sale, seq }).await.unwrap();
    house.ask(103, Command::Rename { sale: id(5), owner: None, tickets: vec![1], holder: Some(tornello_engine::ids::PersonId(10)) }).await.unwrap();
    house.clock.set(start.plus_seconds(3_600));
    for (key, command) in (110..).zip(scanned) {
        house.ask(key, command).await.unwrap();
    }
    house.running.stop().await;
    journal
}

/// Also writes the lines of a golden file where `TORNELLO_GOLDEN` names one: before a release the layout may change, and its journal with it.
#[actix_rt::test]
async fn the_golden_journal_holds_every_kind_of_event() {
    let journal = every_event().await;
    let batches = journal.batches(0, u32::MAX).await.unwrap();
    let mut live = std::collections::BTreeSet::new();
    for batch in &batches {
        for frame in crate::journal::wire::frames(&batch.records).map(Result::unwrap) {
            if let StreamId::Slot(_) = frame.stream {
                let record = frame.record::<Event>().unwrap();
                live.extend(record.events.iter().map(|event| crate::journal::wire::Wire::tag(event).0));
            }
        }
    }
    assert_eq!(live.into_iter().collect::<Vec<_>>(), (1..=31).collect::<Vec<u16>>());
    if let Some(path) = std::env::var_os("TORNELLO_GOLDEN") {
        let house = House::on(journal).await;
        let mut lines = vec![state_hash(house.node()).await];
        lines.extend(batches.iter().map(|batch| format!("{} {}", batch.at.as_micros(), hex(&batch.records))));
        house.running.stop().await;
        std::fs::write(path, lines.join("\n") + "\n").unwrap();
    }
}

/// Two routes whose slots run at the same hours, in a building for 100 people.
async fn open_two_routes(node: &Node) {
    open_museum(node).await;
    let mut plan = plan();
    let second = Route { id: RouteId(2), code: code("tower"), ..plan.routes[0].clone() };
    plan.routes.push(second);
    let valid_from = calendar::local_day(now());
    node.museum(MUSEUM, by(3_000), museum::Command::SetPlan { valid_from, plan }).await.unwrap();
    node.museum(MUSEUM, by(3_001), museum::Command::SetCeiling { valid_from, ceiling: Some(100) }).await.unwrap();
}

/// The slots of both routes that run now.
fn both() -> [SlotId; 2] {
    [1, 2].map(|route| SlotId::new(MUSEUM, RouteId(route), now()))
}

fn sell_in(slot: SlotId, n: u64, count: u16) -> Command {
    let settlement = Settlement::Desk { till: code("desk-1"), method: DeskMethod::Card, reference: format!("R-{n}") };
    Command::SellDirect { sale: HoldId::new(slot, n), channel: Channel::BoxOffice, lines: lines(count), settlement, contact: None }
}

async fn people(node: &Node, at_s: i64, people: u32) {
    let reading = Reading { museum: MUSEUM, sensor: code("door"), at: now().plus_seconds(at_s), measured: Measured::Inside { people, sd: Some(0) } };
    node.read(reading, KeyId(3)).await.unwrap();
}

/// What the running slots may still sell.
fn left(node: &Node) -> [u32; 2] {
    both().map(|slot| node.board().head(slot).map_or(20, |head| head.places.available(Channel::BoxOffice, now()).0))
}

#[actix_rt::test]
async fn two_routes_that_run_at_once_share_the_room_and_readings_do_not_race_with_sales() {
    let house = House::on(Arc::new(MemoryJournal::default())).await;
    let node = house.node();
    open_two_routes(node).await;
    people(node, 0, 90).await;
    assert_eq!(left(node), [5, 5]);
    let seqs = || both().map(|slot| node.board().head(slot).map(|head| head.seq));
    let before = seqs();
    people(node, 1, 90).await;
    assert_eq!(seqs(), before, "nothing has changed, nothing is written");
    let sales = join_all((0..60_u64).map(|n| {
        let slot = both()[n as usize % 2];
        node.slot(slot, by(u128::from(n)), sell_in(slot, n, 1))
    }));
    let readings = async {
        for i in 2..20 {
            people(node, i, 90 + i as u32 % 4).await;
        }
    };
    let (sold, ()) = futures_util::future::join(sales, readings).await;
    let sold = sold.iter().filter(|answer| answer.is_ok()).count();
    assert!(sold <= 10, "{sold} were sold, for 10 people there is room");
    people(node, 30, 90).await;
    let more = join_all((100..160_u64).map(|n| {
        let slot = both()[n as usize % 2];
        node.slot(slot, by(u128::from(n)), sell_in(slot, n, 1))
    }));
    let more = more.await.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!((sold + more, left(node)), (10, [0, 0]), "all the room is used, and no more");
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_cut_is_on_the_disk_before_another_slots_raise() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_two_routes(house.node()).await;
    let [first, second] = both();
    house.node().slot(second, by(1), Command::Close { reason: code("strike") }).await.unwrap();
    people(house.node(), 0, 90).await;
    assert_eq!(left(house.node()), [10, 0], "who is closed needs no room");
    house.node().slot(second, by(2), Command::Reopen).await.unwrap();
    assert_eq!(left(house.node()), [10, 0], "what is granted stays until the next reading");
    // The journal takes nothing: the first slot keeps its ten, so the second one gets none.
    journal.faults.lock().extend(vec![Fault::Full; 50]);
    people(house.node(), 1, 90).await;
    journal.faults.lock().clear();
    assert_eq!(left(house.node()), [10, 0]);
    house.running.stop().await;
    // What is in force stands in the journal.
    let house = House::on(Arc::clone(&journal) as _).await;
    assert_eq!(left(house.node()), [10, 0]);
    people(house.node(), 2, 90).await;
    assert_eq!(left(house.node()), [5, 5]);
    house.running.stop().await;
    // In no prefix of the journal may both together sell more than ten, from the first grants on.
    let (mut in_force, mut sums) = (HashMap::new(), Vec::new());
    for batch in journal.batches(0, u32::MAX).await.unwrap() {
        for frame in crate::journal::wire::frames(&batch.records).map(Result::unwrap) {
            let StreamId::Slot(slot) = frame.stream else { continue };
            for event in frame.record::<Event>().unwrap().events {
                if let Event::Observed(observed) = event
                    && [first, second].contains(&slot)
                {
                    in_force.insert(slot, observed.share.unwrap());
                    sums.push((batch.number, in_force.values().sum::<u32>()));
                }
            }
        }
    }
    assert!(sums.iter().all(|(_, sum)| *sum <= 10), "{sums:?}");
    assert!(sums[sums.len() - 2].0 < sums[sums.len() - 1].0, "the cut and the raise stand in different batches: {sums:?}");
}
