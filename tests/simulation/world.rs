//! One run: a node on the simulated disk and clock, callers, faults, and the auditor after every step.
//!
//! The node's owners and its journal's writer run on the thread of the run, by turns, so the same seed is the same history. A round begins with an append that stands
//! still; while it does, the run sends commands one at a time and waits until the slot's owner has taken each one, so that everything queues in the order of the run.
//! Then the appends go one by one, each to its fate. What is left over (callers whose owner has stopped) is finished one caller at a time.

mod acts;
mod appends;
mod cases;
mod counts;
mod days;
mod gates;
mod life;
mod readings;
mod rest;
mod signals;

pub use counts::Counts;
pub use rest::sums_of;
use signals::{Token, reaches, until, within};

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tornello_actors::clock::Clock;
use tornello_actors::failure::Failure;
use tornello_actors::journal::writer::{Health, Limits};
use tornello_actors::journal::{Journal, StreamId};
use tornello_actors::node::{Node, Passage, Running, StartError};
use tornello_actors::owner::Answer;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{HoldId, MuseumId, RouteId, SlotId};
use tornello_engine::museum::{self, Museum};
use tornello_engine::slot::{Command, Direction, Limits as BuyerLimits, Policy, Reentry, Refund, Refusal, Scan, Slot};
use tornello_engine::time::Timestamp;

use super::auditor::{Auditor, Card, Outcome};
use super::callers::{self, Callers};
use super::dice::Dice;
use super::disk::{self, Appending, Disk, Doing, Mount, Remains, Verdict};
use super::naive::Naive;
use super::opening::opening;
use super::rule;
use super::time::{Machine, SimulatedClock};

const HOUR_S: i64 = 3_600;
const ROUNDS: u64 = 12;
/// In so many seeds of a hundred the node keeps read models: heads and snapshots, from which it starts.
const WITH_FOLDER_PERCENT: u64 = 20;
/// Of so many owners that take something one's state is held against its records.
const LOOKS_PER_STATE: u64 = 2;
/// The museums whose slots are sold; the last one only plugs the journal and stands as a fence.
const MUSEUMS: [MuseumId; 3] = [MuseumId(1), MuseumId(2), MuseumId(9)];
const PLUG: MuseumId = MUSEUMS[2];
/// When runs begin: an ordinary day, the days on which the clocks change, the day before a leap day.
const STARTS: [&str; 4] = ["2026-06-10T07:20:00Z", "2026-03-28T23:20:00Z", "2026-10-24T23:20:00Z", "2028-02-28T22:20:00Z"];

/// Why a step ends early.
enum Halt {
    /// The node died, as it was meant to.
    Crashed,
    Wrong(String),
}

impl From<String> for Halt {
    fn from(wrong: String) -> Self {
        Self::Wrong(wrong)
    }
}

/// What a run did.
pub struct History {
    pub lines: Vec<String>,
    pub counts: Counts,
}

/// Runs a seed; what went wrong comes with the history so far.
pub async fn run(seed: u64) -> Result<History, (String, Vec<String>)> {
    let mut world = World::new(seed).await;
    let ended = world.run().await;
    match ended {
        Ok(()) => Ok(History { lines: world.lines, counts: world.counts }),
        Err(wrong) => Err((wrong, world.lines)),
    }
}

/// A command on its way.
struct Pending {
    sending: usize,
    answer: LocalBoxFuture<'static, Answer<Slot>>,
    /// Whether its owner has taken it, so that looking for the answer sets nothing going.
    taken: bool,
}

/// One life of the node.
struct Life {
    /// None when it has ended.
    running: Option<Running>,
    clock: Arc<SimulatedClock>,
    doing: mpsc::UnboundedReceiver<Doing>,
    /// The append that stands still.
    standing: Option<Appending>,
    /// How far the wall clock has been set away since the start.
    apart_s: i64,
}

struct World {
    dice: Dice,
    /// What analysts do, in a world in which there are some.
    analysts: Option<Dice>,
    /// What is said of museums' days, in a world in which some are called off.
    director: Option<Dice>,
    machine: Arc<Machine>,
    disk: Arc<Disk>,
    limits: Limits,
    policy: Policy,
    /// The hour in which the run began.
    began: Timestamp,
    /// Whether time stands still, between commands, just when something changes by the clock alone: in one world of two.
    stops_at_moments: bool,
    life: Life,
    slots: Vec<SlotId>,
    fence: SlotId,
    auditor: Auditor,
    callers: Callers,
    pending: Vec<Pending>,
    /// Sendings that will be repeated.
    late: Vec<usize>,
    /// Passages that gates have asked for.
    passages: Vec<(Envelope, Passage)>,
    /// Scans that gates were told to keep, of which a dead node knew nothing any more; with the issue that was shown.
    kept: Vec<(Scan, Option<u16>)>,
    /// The most people in each building.
    ceilings: [u32; 2],
    /// The read models, if the node has any.
    folder: Option<TempDir>,
    /// As an earlier node left them.
    left: Option<TempDir>,
    /// Whether the last batch on the disk may be torn.
    torn: bool,
    /// How many owners were looked at.
    looks: u64,
    /// Slots whose owner is not in memory in this round.
    down: BTreeSet<SlotId>,
    lines: Vec<String>,
    counts: Counts,
}

impl World {
    async fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let start: Timestamp = dice.pick(&STARTS).parse().expect("the starts are instants");
        let start = start.plus_seconds(dice.within(0, HOUR_S));
        let (machine, disk) = (Machine::new(start), Arc::<Disk>::default());
        let limits = Limits { queue: dice.pick(&[6, 16, 1_024]), batch: dice.pick(&[1, 1, 1, 2, 3, 8, 1_024]), pace: Duration::ZERO };
        let mut policy = policy(&mut dice);
        // In half of all worlds places rest that were held and not bought, as is not drawn: what else happens in a world is known by its seed.
        policy.limits.rest_max_s = [0, 0, 60, 600][(seed % 4) as usize];
        let folder = dice.chance(WITH_FOLDER_PERCENT).then(|| tempfile::tempdir().expect("there is room for a folder"));
        let ceilings = [(); 2].map(|()| 4 + dice.below(14) as u32);
        let director = (seed % 5 == 2 && folder.is_none()).then(|| Dice::new(seed ^ 0x6469_7265_6374_6f72));
        let life = Life::start(&machine, disk.mount(), folder.as_ref(), limits).await.expect("a simulated node starts");
        let fence = SlotId::new(PLUG, RouteId(1), hour_of(start, 30));
        let mut world = Self {
            dice,
            analysts: (seed % 3 == 1).then(|| Dice::new(seed ^ 0x616e_616c_7973_7473)),
            director,
            machine,
            disk,
            limits,
            policy,
            began: hour_of(start, 0),
            stops_at_moments: seed / 4 % 2 == 1,
            life,
            slots: Vec::new(),
            fence,
            auditor: Auditor::default(),
            callers: Callers::default(),
            pending: Vec::new(),
            late: Vec::new(),
            passages: Vec::new(),
            kept: Vec::new(),
            ceilings,
            folder,
            left: None,
            torn: false,
            looks: 0,
            down: BTreeSet::new(),
            lines: Vec::new(),
            counts: Counts::default(),
        };
        world.line(format_args!("seed {seed} from {start}, {limits:?}, {policy:?}"));
        world.choose_slots();
        world
    }

    async fn run(&mut self) -> Result<(), String> {
        match self.open_museums().await {
            Ok(()) => {}
            Err(Halt::Wrong(wrong)) => return Err(wrong),
            Err(Halt::Crashed) => return Err("a crash that was not drawn".into()),
        }
        for round in 1..=ROUNDS {
            self.line(format_args!("-- round {round}, {}, journal {:?}", self.now(), self.node().health()));
            match self.round().await {
                Ok(()) => {}
                Err(Halt::Crashed) => self.restart().await?,
                Err(Halt::Wrong(wrong)) => return Err(wrong),
            }
        }
        match self.end().await {
            Ok(()) => Ok(()),
            Err(Halt::Wrong(wrong)) => Err(wrong),
            Err(Halt::Crashed) => Err("a crash that was not drawn".into()),
        }
    }

    /// The slots of now, of the next hours and of tomorrow: what is asked is asked of these.
    fn choose_slots(&mut self) {
        let now = self.now();
        for (museum, hours) in [(0, 0), (1, 0), (0, 1), (1, 24)] {
            let slot = SlotId::new(MUSEUMS[museum], RouteId(1), hour_of(now, hours));
            // Before the first day there is no plan.
            if slot.start() >= self.began {
                self.slots.retain(|known| *known != slot);
                self.slots.push(slot);
            }
        }
    }

    async fn open_museums(&mut self) -> Result<(), Halt> {
        let valid_from = calendar::local_day(self.now());
        for museum in MUSEUMS {
            let capacity = 2 + self.dice.below(7) as u32;
            let quotas = callers::quotas(&mut self.dice, capacity);
            let quotas = quotas.map(|mut quota| {
                quota.limit = quota.limit.map(|limit| limit.max(quota.reserved));
                quota
            });
            let ceiling = MUSEUMS.iter().zip(self.ceilings).find(|(of, _)| **of == museum).map(|(_, ceiling)| ceiling);
            let room = ceiling.map(|ceiling| museum::Command::SetCeiling { valid_from, ceiling: Some(ceiling) });
            for command in opening(museum, valid_from, capacity, quotas, self.policy).into_iter().chain(room) {
                let asked = self.ask_museum(museum, command);
                let answer = self.drive(asked, false).await?;
                rule(answer.is_ok(), "a museum does not open").map_err(|wrong| format!("{wrong}: {answer:?}"))?;
                self.auditor.museum_answered(museum, answer);
            }
        }
        Ok(())
    }

    async fn round(&mut self) -> Result<(), Halt> {
        let is_out = self.dice.chance(4);
        if is_out {
            self.disk.outage.store(true, Ordering::SeqCst);
        }
        self.disk.unreadable.store(self.dice.chance(3), Ordering::SeqCst);
        if self.node().health() == Health::Stopped || self.dice.chance(5) {
            self.disk.outage.store(is_out, Ordering::SeqCst);
            return self.stop_or_crash().await;
        }
        self.jump_without_being_followed()?;
        self.down.clear();
        for slot in self.all_slots() {
            if self.look_at(slot, true, |_| ()).await?.is_err() {
                self.down.insert(slot);
            }
        }
        // Not before: a disk that is back is found by whoever writes next, or by the writer within a second, and no clock of the machine is to decide which of them.
        self.disk.outage.store(is_out, Ordering::SeqCst);
        self.plug().await?;
        for _ in 0..6 + self.dice.below(14) {
            self.act().await?;
        }
        self.finish().await?;
        for _ in 0..self.dice.below(5) {
            let (slot, envelope, command) = self.request();
            self.send(slot, envelope, command).await?;
        }
        for _ in 0..self.dice.below(3) {
            self.drive_a_move().await?;
        }
        self.drive_cases().await?;
        self.drive_days().await?;
        if self.dice.chance(15) {
            self.ask_while_unsure().await?;
        }
        if self.dice.chance(15) {
            self.ask_before_it_is_heard().await?;
        }
        if self.dice.chance(20) {
            self.drive_two_passages().await?;
        }
        if self.dice.chance(30) {
            self.drive_gates().await?;
        }
        for _ in 0..self.dice.below(3) {
            self.drive_a_reading().await?;
        }
        if self.dice.chance(15) {
            let node = Arc::clone(self.node());
            self.drive(async move { node.tidy().await }.boxed_local(), false).await?;
        }
        self.compare().await
    }

    /// Lets everything that is queued be written, then finishes what is left, one caller at a time.
    async fn finish(&mut self) -> Result<(), Halt> {
        if self.life.standing.is_some() {
            self.release(true).await?;
        }
        for slot in self.all_slots() {
            // A look is settled behind everything that was queued before it.
            if let Err(failure) = self.look_at(slot, true, |_| ()).await? {
                self.line(format_args!("slot {slot} cannot be seen: {failure}"));
            }
        }
        self.end_due(true).await?;
        self.finish_pending().await
    }

    async fn finish_pending(&mut self) -> Result<(), Halt> {
        while !self.pending.is_empty() {
            if !self.pending[0].taken {
                // What the one before left to be done is not done together with what this one asks.
                self.end_due(true).await?;
            }
            let Pending { sending, answer, taken } = self.pending.remove(0);
            if !taken {
                self.auditor.sendings[sending].at = self.now();
            }
            let answer = match self.drive(answer, true).await {
                Ok(answer) => answer,
                Err(halt) => {
                    if matches!(self.auditor.sendings[sending].outcome, Outcome::Pending) {
                        self.auditor.sendings[sending].outcome = Outcome::Unknown;
                    }
                    return Err(halt);
                }
            };
            let short = match &answer {
                Ok(record) => format!("done as record {} at {}", record.seq, record.at),
                Err(failure) => failure.to_string(),
            };
            self.line(format_args!("{sending}: {short}"));
            self.counts.done += u64::from(answer.is_ok());
            if answer.as_ref().is_err_and(Failure::is_retryable) && self.dice.chance(70) {
                self.late.push(sending);
            }
            self.auditor.sendings[sending].outcome = Outcome::Answered(answer);
            self.audit()?;
        }
        Ok(())
    }

    /// Asks each slot whose deadline has come for something that is not there: it ends what is due before it refuses.
    /// That may be several records: they queue while the journal stands still.
    async fn end_due(&mut self, faults: bool) -> Result<(), Halt> {
        for slot in self.node().board().due(self.now()) {
            let is_up = self.look_at(slot, faults, |_| ()).await?.is_ok();
            if is_up && self.life.standing.is_none() && self.node().health() == Health::Writing {
                self.disk.unreadable.store(false, Ordering::SeqCst);
                self.plug().await?;
            }
            let (node, envelope) = (Arc::clone(self.node()), callers::envelope(&mut self.dice));
            let command = Command::Release { hold: HoldId::new(slot, 0), owner: None };
            let mut asked = async move { node.slot(slot, envelope, command).await }.boxed_local();
            let at_once = (&mut asked).now_or_never();
            if is_up && at_once.is_none() && self.life.standing.is_some() {
                self.wait_for_owner(slot).await?;
            }
            let answer = match at_once {
                Some(answer) => answer,
                None => self.drive(asked, faults).await?,
            };
            rule(answer.is_err(), "what was never held is released")?;
            let _ = self.look_at(slot, faults, |_| ()).await?;
        }
        Ok(())
    }

    fn pass(&mut self, seconds: i64) {
        self.life.clock.pass(seconds);
        self.line(format_args!("{seconds} s pass: {}", self.now()));
    }

    /// As many seconds as are to pass; or fewer, until something changes by the clock alone.
    fn until_a_moment(&self, seconds: i64) -> i64 {
        let seconds_to = |moment: Timestamp| Some(moment.micros_since(self.now())).filter(|us| us % 1_000_000 == 0).map(|us| us / 1_000_000);
        let moments = self.auditor.slots.values().flat_map(Naive::moments).filter_map(seconds_to);
        let next = moments.filter(|to| self.stops_at_moments && (1..seconds).contains(to)).min();
        next.unwrap_or(seconds)
    }

    fn jump(&mut self) -> i64 {
        let jump_s = self.dice.pick(&[HOUR_S, -HOUR_S, 24 * HOUR_S, -24 * HOUR_S]);
        self.machine.jump(jump_s);
        self.line(format_args!("the wall clock jumps by {jump_s} s"));
        jump_s
    }

    fn all_slots(&self) -> Vec<SlotId> {
        self.slots.iter().copied().chain([self.fence]).collect()
    }

    fn ask_museum(&mut self, museum: MuseumId, command: museum::Command) -> LocalBoxFuture<'static, Answer<Museum>> {
        // Nobody buys a plan.
        let envelope = Envelope { parties: Vec::new(), formerly: Vec::new(), ..callers::envelope(&mut self.dice) };
        let node = Arc::clone(self.node());
        async move { node.museum(museum, envelope, command).await }.boxed_local()
    }

    fn node(&self) -> &Arc<Node> {
        self.life.running.as_ref().expect("the node lives between its start and its end").node()
    }

    fn now(&self) -> Timestamp {
        self.life.clock.now()
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.lines.push(line.to_string());
    }
}

fn policy(dice: &mut Dice) -> Policy {
    Policy {
        sale_closes_s: dice.pick(&[0, 600]),
        hold_ttl_s: dice.pick(&[60, 300, 900]),
        hold_extend_s: dice.pick(&[120, 600]),
        party_max: 5,
        admit_early_s: dice.pick(&[900, 7_200]),
        reentry: Reentry { times_max: dice.pick(&[0, 0, 1, 3]), within_s: dice.pick(&[600, 7_200]) },
        limits: BuyerLimits {
            tickets_max: dice.pick(&[None, Some(4), Some(6)]),
            holds_max: dice.pick(&[None, Some(1), Some(2)]),
            day_max: dice.pick(&[None, Some(5), Some(8)]),
            ..BuyerLimits::NONE
        },
        refund: Refund { full_until_s: 7_200, part_percent: dice.pick(&[0, 50, 33]), part_until_s: dice.pick(&[600, 3_600]) },
        ..Policy::default()
    }
}

/// The hour in which an instant lies, or one so many hours later.
const fn hour_of(at: Timestamp, later: i64) -> Timestamp {
    Timestamp::from_seconds((at.as_seconds().div_euclid(HOUR_S) + later) * HOUR_S)
}
