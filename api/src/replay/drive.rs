//! Gives the commands of a replay in the order of its events, many on the way at once, so that commits are shared as they would be at a busy hour.
//!
//! Order: a slot's owner is in memory before the first command is sent, so every command is in its mailbox when the next one is given. Time: each command
//! carries the time of its event; the node's clock follows the oldest command that has no answer yet, because a deadline is measured on that clock and
//! years pass here in seconds. Paced against the wall clock nothing changes but the waiting.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use jiff::civil::Date;
use tornello_actors::clock::{Clock, ManualClock, RealClock};
use tornello_actors::digest::digest;
use tornello_actors::failure::Failure;
use tornello_actors::node::Node;
use tornello_actors::owner::Answer;
use tornello_actors::sensors::{Measured, Reading};
use tornello_datasets::replay_mapping::{self as mapping, Event, EventKind, Replay, SEED, Visit};
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{Code, HoldId, KeyId, SlotId};
use tornello_engine::slot::{CancelCause, Command, DeskMethod, Line, Settlement, Slot};
use tornello_engine::tariff::Tariff;
use tornello_engine::time::{DAY_S, Timestamp};

use super::acks::Acks;
use super::tally::{COUNT, Fate, Tally};
use super::{ROUTE, ReplayError, museum_id};

/// How many commands may be without an answer.
const ON_THE_WAY_MAX: usize = 512;
/// How many events ahead owners are woken.
const AHEAD: usize = 1_024;
/// How many owners are woken at once.
const WAKING: usize = 64;
/// How often, by the event clock, owners that have nothing to do are retired and past slots forgotten.
const TIDY_EVERY_S: i64 = 60 * DAY_S;
/// How often a paced clock moves when nothing happens.
const TICK: Duration = Duration::from_millis(200);
/// The key of the first channel; those of the others follow. They are no keys of any caller.
const WHO: u64 = 1;

/// How fast time passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Seconds of the replay in one second.
    pub speed: f64,
    /// From this day on, in Rome; what is before passes at full speed.
    pub from: Option<Date>,
}

/// How far the replay is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Visits that have asked.
    pub asked: u64,
    /// The event clock.
    pub at: Timestamp,
}

/// What was played.
#[derive(Debug)]
pub struct Played {
    /// What the actors answered.
    pub tally: Tally,
    /// How many commands and readings were given.
    pub commands: u64,
    /// How long it took, in microseconds.
    pub elapsed_us: i64,
}

/// Plays everything; ends when the last answer has come.
pub async fn play(
    node: &Node,
    clock: &ManualClock,
    replay: &Replay,
    pace: Option<Pace>,
    acks: Acks,
    progress: impl FnMut(Progress),
) -> Result<Played, ReplayError> {
    let wall = Arc::new(RealClock::start());
    let started = wall.now();
    let mut driver = Driver::new(node, clock, replay, acks)?;
    let mut pacing = pace.map(|pace| Pacing { pace, wall: Arc::clone(&wall), begun: None });
    driver.run(&mut pacing, progress).await?;
    driver.tally.finish(replay);
    Ok(Played { tally: driver.tally, commands: driver.commands, elapsed_us: wall.now().micros_since(started) })
}

struct Driver<'a> {
    node: &'a Node,
    clock: &'a ManualClock,
    replay: &'a Replay,
    names: Names,
    tariffs: [Tariff; COUNT],
    on_the_way: VecDeque<OnTheWay<'a>>,
    tally: Tally,
    acks: Acks,
    commands: u64,
}

/// A command without an answer.
struct OnTheWay<'a> {
    at: Timestamp,
    visit: usize,
    step: Step,
    answer: BoxFuture<'a, Answer<Slot>>,
}

/// What is asked for a visit. The numbers are part of idempotency keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Hold = 1,
    Sell = 2,
    SellDirect = 3,
    Cancel = 4,
    Admit = 5,
}

/// The codes that are the same for everyone.
struct Names {
    full: Code,
    under_18: Code,
    till: Code,
    gate: Code,
    door: Code,
}

impl Names {
    fn new() -> Option<Self> {
        let code = |text: &str| text.parse().ok();
        Some(Self { full: code("full")?, under_18: code("under-18")?, till: code("till-1")?, gate: code("gate-1")?, door: code("door-calit2")? })
    }
}

/// The wall clock and the event clock side by side.
struct Pacing {
    pace: Pace,
    wall: Arc<RealClock>,
    /// Wall and event time at the first paced event.
    begun: Option<(Timestamp, Timestamp)>,
}

impl Pacing {
    /// How long until `at`; none if that time is not paced.
    fn until(&mut self, at: Timestamp) -> Option<Duration> {
        if self.begun.is_none() && self.pace.from.is_some_and(|from| calendar::local_day(at) < from) {
            return None;
        }
        let (wall, event) = *self.begun.get_or_insert((self.wall.now(), at));
        let due_us = at.micros_since(event) as f64 / self.pace.speed;
        let left_us = due_us - self.wall.now().micros_since(wall) as f64;
        Some(Duration::from_micros(left_us.max(0.0) as u64))
    }

    /// What time it is on the event clock.
    fn now(&self) -> Option<Timestamp> {
        let (wall, event) = self.begun?;
        let passed_us = self.wall.now().micros_since(wall) as f64 * self.pace.speed;
        Some(Timestamp::from_micros(event.as_micros().saturating_add(passed_us as i64)))
    }
}

impl<'a> Driver<'a> {
    fn new(node: &'a Node, clock: &'a ManualClock, replay: &'a Replay, acks: Acks) -> Result<Self, ReplayError> {
        let missing = |what: &str| ReplayError::Museum { slug: mapping::MUSEUMS[0].slug, what: what.to_owned() };
        let today = calendar::local_day(node.now());
        let tariff = |index| Some(node.museums().get(museum_id(index))?.museum.tariff_on(today)?.1.clone());
        let tariffs: Option<Vec<Tariff>> = (0..COUNT).map(tariff).collect();
        let tariffs = tariffs.and_then(|tariffs| tariffs.try_into().ok()).ok_or_else(|| missing("a museum has no tariff"))?;
        let names = Names::new().ok_or_else(|| missing("a code"))?;
        Ok(Self { node, clock, replay, names, tariffs, on_the_way: VecDeque::new(), tally: Tally::new(replay), acks, commands: 0 })
    }

    async fn run(&mut self, pacing: &mut Option<Pacing>, mut progress: impl FnMut(Progress)) -> Result<(), ReplayError> {
        let mut asked = 0;
        let mut tidied_s = self.replay.events.first().map_or(0, |event| event.at_s);
        for events in self.replay.events.chunks(if pacing.is_some() { 1 } else { AHEAD }) {
            let at_s = events.first().map_or(tidied_s, |event| event.at_s);
            if let Some(pacing) = pacing {
                self.wait(pacing, Timestamp::from_seconds(at_s)).await?;
            }
            if at_s - tidied_s >= TIDY_EVERY_S {
                tidied_s = at_s;
                self.settle_all().await?;
                self.node.tidy().await;
            }
            self.wake(events).await?;
            for event in events {
                self.play(event).await?;
                asked += u64::from(matches!(event.kind, EventKind::Book(_)));
            }
            progress(Progress { asked, at: events.last().map_or(Timestamp::MIN, |event| Timestamp::from_seconds(event.at_s)) });
        }
        self.settle_all().await?;
        self.acks.flush().map_err(ReplayError::Acks)
    }

    /// Waits for the wall clock, and moves the event clock meanwhile.
    async fn wait(&mut self, pacing: &mut Pacing, at: Timestamp) -> Result<(), ReplayError> {
        while let Some(left) = pacing.until(at).filter(|left| !left.is_zero()) {
            self.settle_all().await?;
            self.acks.flush().map_err(ReplayError::Acks)?;
            tokio::time::sleep(left.min(TICK)).await;
            if let Some(now) = pacing.now() {
                self.clock.set(now.min(at));
            }
        }
        Ok(())
    }

    /// Brings the owners of the slots of these events into memory.
    async fn wake(&self, events: &[Event]) -> Result<(), ReplayError> {
        let visits = events.iter().filter_map(|event| match event.kind {
            EventKind::Book(visit) | EventKind::Cancel(visit) | EventKind::Arrive(visit) => Some(visit),
            EventKind::DoorCount { .. } => None,
        });
        let mut seen = HashSet::new();
        let visits = visits.filter(|visit| self.tally.fate(*visit) != Fate::Refused && seen.insert(self.slot(*visit)));
        let waking = visits.map(|visit| async move {
            let looked = self.node.look(self.slot(visit), |_| ()).await;
            looked.map_err(|failure| self.failed(visit, failure))
        });
        let mut waking = stream::iter(waking).buffer_unordered(WAKING);
        while let Some(woken) = waking.next().await {
            woken?;
        }
        Ok(())
    }

    async fn play(&mut self, event: &Event) -> Result<(), ReplayError> {
        let at = Timestamp::from_seconds(event.at_s);
        match event.kind {
            EventKind::Book(index) => {
                let visit = &self.replay.visits[index];
                self.tally.asked(visit);
                for (step, command) in self.book(index, visit)? {
                    self.send(at, index, step, 0, command).await?;
                }
            }
            EventKind::Cancel(index) if self.has_tickets(index).await? => {
                let command = Command::Cancel { sale: self.sale(index), owner: None, tickets: Vec::new(), cause: CancelCause::Visitor };
                self.send(at, index, Step::Cancel, 0, command).await?;
            }
            EventKind::Arrive(index) if self.has_tickets(index).await? => {
                let people = self.replay.visits[index].party.people() as u16;
                for number in 0..people {
                    let (ticket, museum) = (self.sale(index).ticket(number), museum_id(self.replay.visits[index].museum));
                    let command = Command::Admit { ticket, issue: None, gate: self.names.gate, museum };
                    self.send(at, index, Step::Admit, number, command).await?;
                }
            }
            EventKind::Cancel(_) | EventKind::Arrive(_) => {}
            EventKind::DoorCount { museum, entries } => {
                // The reading is taken by the node's clock, so nothing earlier may be on the way.
                self.settle_all().await?;
                self.clock.set(at);
                let reading = Reading { museum: museum_id(museum), sensor: self.names.door, at, measured: Measured::Entries { people: entries } };
                self.commands += 1;
                match self.node.read(reading, KeyId(WHO)).await {
                    Ok(occupancy) => occupancy.iter().for_each(|occupancy| self.tally.counted(museum, occupancy.inside.people)),
                    Err(rejected) => *self.tally.unexpected.entry(rejected.code()).or_default() += 1,
                }
            }
        }
        Ok(())
    }

    /// Whether a visit got its places; waits for the answer if it has none yet.
    async fn has_tickets(&mut self, visit: usize) -> Result<bool, ReplayError> {
        while self.tally.fate(visit) == Fate::Unknown && !self.on_the_way.is_empty() {
            self.settle().await?;
        }
        Ok(self.tally.fate(visit) == Fate::Sold)
    }

    async fn send(&mut self, at: Timestamp, visit: usize, step: Step, number: u16, command: Command) -> Result<(), ReplayError> {
        while self.on_the_way.len() >= ON_THE_WAY_MAX {
            self.settle().await?;
        }
        if self.on_the_way.is_empty() {
            self.clock.set(at);
        }
        let row = self.replay.visits[visit].row;
        let key = digest(&[b"replay", &row.to_be_bytes(), &[step as u8], &number.to_be_bytes()]);
        let who = KeyId(WHO + channel(&self.replay.visits[visit]).index() as u64);
        let envelope = Envelope { who, key, body: key, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() };
        let answer = self.node.send_slot(self.slot(visit), at, envelope, command).map_err(|failure| self.failed(visit, failure))?;
        self.on_the_way.push_back(OnTheWay { at, visit, step, answer: answer.boxed() });
        self.commands += 1;
        Ok(())
    }

    async fn settle_all(&mut self) -> Result<(), ReplayError> {
        while !self.on_the_way.is_empty() {
            self.settle().await?;
        }
        Ok(())
    }

    /// Takes in the answer of the oldest command on the way.
    async fn settle(&mut self) -> Result<(), ReplayError> {
        let Some(OnTheWay { visit: index, step, mut answer, .. }) = self.on_the_way.pop_front() else { return Ok(()) };
        let answer = match (&mut answer).now_or_never() {
            Some(answer) => answer,
            // The answers of the last commit are all taken in: what they promised must be known before the next one.
            None => {
                self.acks.flush().map_err(ReplayError::Acks)?;
                answer.await
            }
        };
        let visit = &self.replay.visits[index];
        match (answer, step) {
            (Ok(record), _) => {
                self.tally.done(index, visit.museum, &record);
                for event in &record.events {
                    self.acknowledge(event).map_err(ReplayError::Acks)?;
                }
            }
            // The hold was refused, and counted then; the sale that follows it finds none.
            (Err(Failure::Refused(_)), Step::Sell) if self.tally.fate(index) == Fate::Refused => {}
            (Err(Failure::Refused(refusal)), Step::Hold | Step::Sell | Step::SellDirect) => self.tally.refused(index, visit, &refusal),
            (Err(Failure::Refused(refusal)), Step::Cancel | Step::Admit) => self.tally.unexpected(&refusal),
            (Err(failure), _) => return Err(self.failed(index, failure)),
        }
        if let Some(oldest) = self.on_the_way.front() {
            self.clock.set(oldest.at);
        }
        Ok(())
    }

    fn acknowledge(&mut self, event: &tornello_engine::slot::Event) -> std::io::Result<()> {
        use tornello_engine::slot::Event as Done;
        match event {
            Done::Sold(sold) => self.acks.note("sold", sold.sale),
            Done::Cancelled(cancelled) => self.acks.note("cancelled", cancelled.sale),
            Done::Admitted(admitted) => self.acks.note("admitted", admitted.ticket),
            _ => Ok(()),
        }
    }

    /// The desk sells at once; who pays on account holds places and confirms them.
    fn book(&self, index: usize, visit: &Visit) -> Result<Vec<(Step, Command)>, ReplayError> {
        let (channel, sale) = (channel(visit), self.sale(index));
        let lines = self.lines(visit, channel)?;
        let due = tornello_engine::slot::total(&lines);
        let settlement = match &visit.settlement {
            _ if due.is_zero() => Settlement::Free,
            mapping::Settlement::Desk => {
                Settlement::Desk { till: self.names.till, method: DeskMethod::Card, reference: format!("row-{}", visit.row) }
            }
            mapping::Settlement::OnAccount(account) => {
                Settlement::OnAccount { account: account.parse().map_err(|error| bad(visit, format!("{account}: {error}")))? }
            }
        };
        let contact = None;
        Ok(match visit.settlement {
            mapping::Settlement::Desk => vec![(Step::SellDirect, Command::SellDirect { sale, channel, lines, settlement, contact })],
            mapping::Settlement::OnAccount(_) => {
                let owner = Some(KeyId(WHO + channel.index() as u64));
                vec![
                    (Step::Hold, Command::Hold { hold: sale, channel, lines }),
                    (Step::Sell, Command::Sell { hold: sale, owner, settlement, contact }),
                ]
            }
        })
    }

    /// The party at the prices of the museum's tariff.
    fn lines(&self, visit: &Visit, channel: Channel) -> Result<Vec<Line>, ReplayError> {
        let people = [(self.names.full, visit.party.full), (self.names.under_18, visit.party.under_18)];
        let line = |(category, count): (Code, u32)| {
            let price = self.tariffs[visit.museum].quote(visit.slot.date, channel, category).map_err(|error| bad(visit, error.to_string()))?;
            let count = u16::try_from(count).map_err(|error| bad(visit, error.to_string()))?;
            Ok(Line { category, count, price_cents: price.total(), proof: price.proof })
        };
        people.into_iter().filter(|(_, count)| *count > 0).map(line).collect()
    }

    fn slot(&self, visit: usize) -> SlotId {
        let visit = &self.replay.visits[visit];
        SlotId::new(museum_id(visit.museum), ROUTE, Timestamp::from_seconds(visit.slot.start_s))
    }

    /// The sale's id: its random bits are a hash of the seed and the row, so that every replay of a file makes the same ids.
    fn sale(&self, visit: usize) -> HoldId {
        let random = digest(&[b"sale", &SEED.to_be_bytes(), &self.replay.visits[visit].row.to_be_bytes()]);
        HoldId::new(self.slot(visit), random.0 as u64)
    }

    fn failed(&self, visit: usize, failure: Failure<tornello_engine::slot::Refusal>) -> ReplayError {
        ReplayError::Failed { row: self.replay.visits[visit].row, failure }
    }
}

fn bad(visit: &Visit, what: String) -> ReplayError {
    ReplayError::Museum { slug: mapping::MUSEUMS[visit.museum].slug, what: format!("row {}: {what}", visit.row) }
}

const fn channel(visit: &Visit) -> Channel {
    match visit.channel {
        mapping::Channel::BoxOffice => Channel::BoxOffice,
        mapping::Channel::Group => Channel::Group,
        mapping::Channel::Reseller => Channel::Reseller,
    }
}
