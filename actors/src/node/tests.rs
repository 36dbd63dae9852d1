//! A whole node on a manual clock: what callers are promised when things go well. What it does when the journal fails, stalls, lies or is damaged, and each flow, have files
//! of their own; here is the house that they share, with a journal that can fail.

mod again;
mod beyond;
mod bookings;
mod cases;
mod days;
mod faults;
mod folder;
mod fraud;
mod gates;
mod golden;
mod golden_slots;
mod learning;
mod limits;
mod moves;
mod nights;
mod owners;
mod parties;
mod payments;
mod quotes;
mod readings;
mod rests;
mod rooms;
mod streams;
mod waiting;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use tempfile::TempDir;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope, Party, PartyKind};
use tornello_engine::ids::{Code, HoldId, MuseumId, RouteId};
use tornello_engine::money::Cents;
use tornello_engine::museum;
use tornello_engine::plan::{OpeningPlan, Route, Session};
use tornello_engine::slot::{Command, DeskMethod, Event, Line, Policy, Refusal, Settlement};
use tornello_engine::tariff::{Proof, Tariff};
use tornello_engine::text::Text;

use super::*;
use crate::clock::ManualClock;
use crate::failure::Failure;
use crate::journal::{Batch, JournalError};
use crate::owner::Answer;

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
    Envelope { who: KeyId(7), key: Digest(key), body: Digest(key), parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() }
}

fn code(text: &str) -> Code {
    text.parse().unwrap()
}

fn lines(count: u16) -> Vec<Line> {
    vec![Line { category: code("full"), count, price_cents: Cents::new(1_200), proof: Proof::None }]
}

fn free(count: u16) -> Vec<Line> {
    vec![Line { category: code("full"), count, price_cents: Cents::ZERO, proof: Proof::None }]
}

fn party(kind: PartyKind, pseudonym: u128) -> Party {
    Party { kind, pseudonym: Digest(pseudonym) }
}

fn hold(n: u64, count: u16) -> Command {
    Command::Hold { hold: HoldId::new(tomorrow(), n), channel: Channel::Web, lines: lines(count) }
}

/// What a web buyer is to pay for so many places in each of some holds, by a notice that can be begun for a quarter of an hour.
fn bill(holds: &[(HoldId, u16)], at: Timestamp) -> tornello_engine::payment::Opened {
    use tornello_engine::payment::{Gateway, Item, Opened};
    let item = |&(hold, count): &(HoldId, u16)| Item { hold, lines: lines(count), amount_cents: Cents::new(1_200).times(u32::from(count)) };
    let items: Vec<Item> = holds.iter().map(item).collect();
    Opened {
        who: by(0).who,
        order: None,
        quote: None,
        channel: Channel::Web,
        amount_cents: items.iter().map(|item| item.amount_cents).sum(),
        items,
        extras: Vec::new(),
        payer: None,
        museum: MUSEUM,
        subject: "Biglietti".to_owned(),
        gateway: Gateway::Notice,
        due_at: at.plus_seconds(900),
    }
}

fn pay(holds: &[(HoldId, u16)], at: Timestamp) -> tornello_engine::payment::Command {
    tornello_engine::payment::Command::Open { opened: Box::new(bill(holds, at)) }
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

    /// Waits until the scorers have heard all that is written.
    async fn heard(&self) {
        self.node().scoring().counters().heard(self.node().head().number).await;
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

/// What the next append does instead of succeeding.
#[derive(Debug, Clone)]
enum Fault {
    /// Nothing is written, and everybody knows.
    Full,
    /// Nothing is written, but nobody knows.
    Lost,
    /// It is written, but nobody knows.
    Written,
    /// As `Written`, and nobody reads it before the journal is back.
    Late,
    /// The disk did not flush.
    Flush,
    /// None: this one succeeds.
    Pass,
}

#[derive(Default)]
struct Faulty {
    inner: MemoryJournal,
    faults: Mutex<VecDeque<Fault>>,
    /// What was written, as is seen when the journal is back.
    late: Mutex<Option<Batch>>,
    /// Nothing can be written, until this is false.
    full: AtomicBool,
    /// Nobody can say where the journal ends, until this is false.
    unreachable: AtomicBool,
    /// So many streams that are read back next cannot be read.
    unreadable: AtomicUsize,
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
                Some(Fault::Late) => {
                    *self.late.lock() = Some(batch.clone());
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
    fn batches_of(&self, stream: StreamId, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>> {
        let fails = self.unreadable.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if fails {
            return Box::pin(async { Err(JournalError::Unreachable("input/output error".into())) });
        }
        self.inner.batches_of(stream, after, limit)
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
        Box::pin(async {
            let late = self.late.lock().take();
            if let Some(batch) = late {
                self.inner.append(&batch).await?;
            }
            self.inner.recover().await
        })
    }
}

/// Lets others go on until it is so.
async fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

/// Lets others go on for so many turns.
async fn let_go_on(turns: usize) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

/// Begins something while the disk stands still, and goes away when the first of it is to be written.
async fn go_away<T: std::fmt::Debug>(journal: &Faulty, going: impl Future<Output = T>) {
    let begun = journal.appends.load(Ordering::Relaxed);
    tokio::select! {
        biased;
        answer = going => panic!("the disk stands still: {answer:?}"),
        () = wait_until(|| journal.appends.load(Ordering::Relaxed) > begun) => {}
    }
}

/// Whoever comes next waits, though there is time enough to find all of it, if they may look.
async fn waits<T: std::fmt::Debug>(next: impl Future<Output = T>, why: &str) {
    tokio::select! {
        biased;
        answer = next => panic!("{why}: {answer:?}"),
        () = let_go_on(1_000) => {}
    }
}

fn sell_in(slot: SlotId, n: u64, count: u16) -> Command {
    let settlement = Settlement::Desk { till: code("desk-1"), method: DeskMethod::Card, reference: format!("R-{n}") };
    Command::SellDirect { sale: HoldId::new(slot, n), channel: Channel::BoxOffice, lines: lines(count), settlement, contact: None }
}
