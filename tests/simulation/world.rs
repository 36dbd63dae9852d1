//! One run: a node on the simulated disk and clock, callers, faults, and the auditor after every step.
//!
//! The node's owners and its journal's writer run on the thread of the run, by turns, so the same seed is the same history. A round begins with an append that stands
//! still; while it does, the run sends commands one at a time and waits until the slot's owner has taken each one, so that everything queues in the order of the run.
//! Then the appends go one by one, each to its fate. What is left over (callers whose owner has stopped) is finished one caller at a time.

mod acts;
mod cases;
mod counts;
mod gates;
mod readings;
mod rest;
mod signals;

pub use counts::Counts;
pub use rest::sums_of;
use signals::{Token, reaches, until, within};

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
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
        let life = Life::start(&machine, disk.mount(), folder.as_ref(), limits).await.expect("a simulated node starts");
        let fence = SlotId::new(PLUG, RouteId(1), hour_of(start, 30));
        let mut world = Self {
            dice,
            analysts: (seed % 3 == 1).then(|| Dice::new(seed ^ 0x616e_616c_7973_7473)),
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

    /// An append that stands still, if the journal writes at all.
    async fn plug(&mut self) -> Result<(), Halt> {
        // No jump of the clock takes a run so far.
        let valid_from = calendar::local_day(self.began.plus_seconds(60 * 24 * HOUR_S));
        let ceiling = Some(1 + self.dice.below(100) as u32);
        let mut asked = self.ask_museum(PLUG, museum::Command::SetCeiling { valid_from, ceiling });
        let node = Arc::clone(self.node());
        let mut was_away = node.health() != Health::Writing;
        loop {
            let seen = within(async {
                tokio::select! { biased; answer = &mut asked => Err(answer), Some(doing) = self.life.doing.recv() => Ok(doing) }
            });
            match seen.await? {
                Ok(Doing::Appending(appending)) => {
                    self.life.standing = Some(appending);
                    // Who has read a stream without what was found is not its owner any more.
                    let found = self.disk.take_found().into_iter();
                    self.down.extend(found.filter_map(|stream| if let StreamId::Slot(slot) = stream { Some(slot) } else { None }));
                    // Nobody waits for this answer any more.
                    return Ok(());
                }
                Ok(Doing::Recovering) => {}
                // Its owner had read the museum without what was found as the journal came back.
                Err(Err(Failure::Journal(_))) if was_away && node.health() == Health::Writing => {
                    was_away = false;
                    asked = self.ask_museum(PLUG, museum::Command::SetCeiling { valid_from, ceiling });
                }
                Err(answer) => {
                    let broken = node.health() != Health::Writing || self.disk.unreadable.load(Ordering::SeqCst);
                    self.auditor.museum_answered(PLUG, answer.clone());
                    return Ok(rule(broken, "a sound journal does not write").map_err(|wrong| format!("{wrong}: {answer:?}"))?);
                }
            }
        }
    }

    /// Ends when a slot's owner has taken all that it was sent.
    async fn wait_for_owner(&mut self, slot: SlotId) -> Result<(), Halt> {
        let (reached, mut signal) = mpsc::unbounded_channel();
        let (token, node) = (Token(reached), Arc::clone(self.node()));
        self.looks += 1;
        // While the journal does not write, an owner may have read less than is on the disk: what it decides then is never written.
        let is_wanted = self.looks.is_multiple_of(LOOKS_PER_STATE) && self.node().health() == Health::Writing;
        let state = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&state);
        let see = move |slot: &Slot| {
            if is_wanted && let Ok(mut seen) = seen.lock() {
                *seen = postcard::to_allocvec(slot).ok().map(|state| (slot.seq(), state));
            }
            token.look();
        };
        let mut look = async move { node.look(slot, see).await }.boxed_local();
        reaches(&mut look, &mut signal).await?;
        drop(look);
        if let Some((seq, state)) = state.lock().ok().and_then(|mut state| state.take()) {
            self.auditor.saw(slot, seq, state)?;
        }
        Ok(())
    }

    /// A look, driven to its end.
    async fn look_at<R: Send + 'static>(
        &mut self,
        slot: SlotId,
        faults: bool,
        look: impl Fn(&Slot) -> R + Clone + Send + 'static,
    ) -> Result<Result<R, Failure<Refusal>>, Halt> {
        let node = Arc::clone(self.node());
        self.drive(async move { node.look(slot, look).await }.boxed_local(), faults).await
    }

    /// Waits for one thing alone, while appends meet their fate.
    async fn drive<T>(&mut self, future: LocalBoxFuture<'static, T>, faults: bool) -> Result<T, Halt> {
        self.drive_for(future, faults, usize::MAX).await.and_then(|done| done.ok_or_else(|| Halt::Wrong("nobody waits so long".into())))
    }

    /// The same, while no more than so many batches of it are written; then nobody waits for it any more, and the next append stands still.
    async fn drive_for<T>(&mut self, mut future: LocalBoxFuture<'static, T>, faults: bool, mut patience: usize) -> Result<Option<T>, Halt> {
        loop {
            if self.life.standing.is_some() {
                self.release(faults).await?;
            }
            let seen = within(async {
                tokio::select! { biased; done = &mut future => Err(done), Some(doing) = self.life.doing.recv() => Ok(doing) }
            });
            match seen.await? {
                Err(done) => return Ok(Some(done)),
                Ok(Doing::Appending(appending)) => {
                    self.life.standing = Some(appending);
                    if patience == 0 {
                        return Ok(None);
                    }
                    patience -= 1;
                }
                Ok(Doing::Recovering) => {}
            }
        }
    }

    /// The append that stands still meets its fate.
    async fn release(&mut self, faults: bool) -> Result<(), Halt> {
        self.hear_answers()?;
        if self.life.standing.is_none() {
            return Ok(());
        }
        let verdict = match if faults { self.dice.below(100) } else { 99 } {
            0..4 => Verdict::Full,
            4..5 => Verdict::Conflict,
            5..9 => Verdict::Lost,
            9..12 => Verdict::AnswerLost,
            12 => Verdict::FoundLater,
            13 => Verdict::FlushFailed { written: self.dice.chance(50) },
            14..16 => {
                self.line(format_args!("the node is killed in an append"));
                return self.crash();
            }
            _ => Verdict::Written,
        };
        self.decide(verdict).await
    }

    /// The append that stands still ends like that.
    async fn decide(&mut self, verdict: Verdict) -> Result<(), Halt> {
        let Some(appending) = self.life.standing.take() else { return Ok(()) };
        let (number, spans) = (appending.batch.number, appending.batch.spans.clone());
        let mut batch = format!("{} {verdict:?}:", disk::name(&appending.batch));
        for span in &spans {
            let _ = write!(batch, " {} {}..={}", span.stream, span.first, span.last);
        }
        self.line(format_args!("{batch}"));
        self.counts.batches += 1;
        self.counts.faults += u64::from(verdict != Verdict::Written);
        if verdict != Verdict::Written {
            self.auditor.unsee();
            if verdict.is_gone() {
                self.auditor.not_written(&appending.batch)?;
            } else {
                self.auditor.doubts(&appending.batch)?;
            }
            // Who waits for an owner that stops now would make the next one, and whoever comes next would wait for that: so it waits until its turn comes.
            if self.disk.outage.load(Ordering::SeqCst) || matches!(verdict, Verdict::FlushFailed { .. }) {
                self.down.extend(self.all_slots());
            }
            self.down.extend(spans.iter().filter_map(|span| if let StreamId::Slot(slot) = span.stream { Some(slot) } else { None }));
        }
        // What the writer did before is over.
        while self.life.doing.try_recv().is_ok() {}
        appending.end(verdict);
        // One that is about to stop is not ours to ask any more; what it wrote is found on the disk.
        let Some(node) = self.life.running.as_ref().map(|running| Arc::clone(running.node())) else { return Ok(()) };
        match verdict {
            Verdict::Written => until(|| node.head().number >= number).await?,
            Verdict::FlushFailed { .. } => until(|| node.health() == Health::Stopped).await?,
            _ => {
                rule(
                    matches!(within(self.life.doing.recv()).await?, Some(Doing::Recovering)),
                    "a failed append is not followed by a look at the store",
                )?;
                if !self.disk.outage.load(Ordering::SeqCst) {
                    until(|| node.health() == Health::Writing).await?;
                }
            }
        }
        self.audit()
    }

    fn audit(&mut self) -> Result<(), Halt> {
        let read = self.auditor.read();
        Ok(self.auditor.step(&self.disk.since(read))?)
    }

    /// Takes the answers that are there, and has each one checked at once: what is acknowledged must be on the disk by then.
    fn hear_answers(&mut self) -> Result<(), Halt> {
        for index in 0..self.pending.len() {
            let pending = &mut self.pending[index];
            // Who has asked once more, and was found to be known, asks its owner for the answer: one that is gone would be made anew.
            if pending.taken
                && !self.down.contains(&self.auditor.sendings[pending.sending].slot)
                && let Some(answer) = (&mut pending.answer).now_or_never()
            {
                let sending = pending.sending;
                pending.answer = std::future::ready(answer.clone()).boxed_local();
                self.auditor.sendings[sending].outcome = Outcome::Answered(answer);
            }
        }
        self.audit()
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

    async fn stop_or_crash(&mut self) -> Result<(), Halt> {
        if self.dice.chance(50) {
            self.line(format_args!("the node is killed at rest"));
            return self.crash();
        }
        self.line(format_args!("the node stops and starts"));
        self.disk.unreadable.store(false, Ordering::SeqCst);
        self.stop().await?;
        Ok(self.restart().await?)
    }

    async fn stop(&mut self) -> Result<(), Halt> {
        let running = self.life.running.take().ok_or_else(|| "the node is stopped twice".to_owned())?;
        self.drive(running.stop().boxed_local(), false).await?;
        self.disk.find();
        self.leave_read_models(false)?;
        self.audit()
    }

    /// What a node that has ended left beside the journal, as the next one finds it: of one that was killed now and then what one before it left, as what it saved after
    /// it was killed was never saved.
    fn leave_read_models(&mut self, killed: bool) -> Result<(), String> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let failed = |error: std::io::Error| format!("the read models cannot be copied: {error}");
        match self.left.take() {
            Some(left) if killed && self.dice.chance(60) => {
                copy_files(left.path(), folder.path()).map_err(failed)?;
                self.left = Some(left);
                self.counts.behind += 1;
                self.line(format_args!("it left no read models, but those of one before"));
            }
            _ => {
                let left = tempfile::tempdir().map_err(failed)?;
                copy_files(folder.path(), left.path()).map_err(failed)?;
                self.left = Some(left);
            }
        }
        Ok(())
    }

    /// The node dies at once: all that is left of it is on the disk.
    fn crash(&mut self) -> Result<(), Halt> {
        self.counts.crashes += 1;
        let on_its_way = self.life.standing.take();
        let remains = self.dice.pick(&[Remains::Nothing, Remains::All, Remains::Damaged, Remains::Short]);
        self.line(format_args!("of the batch on its way remains {:?}", on_its_way.is_some().then_some(remains)));
        self.disk.crash(on_its_way.as_ref().map(|appending| (appending.batch.clone(), remains)));
        self.torn |= on_its_way.is_some() && matches!(remains, Remains::Damaged | Remains::Short);
        drop(on_its_way);
        for pending in std::mem::take(&mut self.pending) {
            let sending = &mut self.auditor.sendings[pending.sending];
            if sending.outcome == Outcome::Pending {
                sending.outcome = Outcome::Unknown;
            }
            if self.dice.chance(70) {
                self.late.push(pending.sending);
            }
        }
        Err(Halt::Crashed)
    }

    /// The next life, by the wall clock of the machine, which may have been set meanwhile.
    async fn restart(&mut self) -> Result<(), String> {
        if let Some(dead) = self.life.running.take() {
            // It ends now; the disk does not hear it any more.
            dead.stop().await;
            self.leave_read_models(true)?;
        }
        if self.dice.chance(30) {
            self.jump();
        }
        self.disk.outage.store(false, Ordering::SeqCst);
        self.disk.unreadable.store(false, Ordering::SeqCst);
        self.disk.find();
        let (before, known) = (self.disk.length(), self.auditor.read());
        while self.dice.chance(25) {
            // It dies in its start, wherever that is.
            let asked_max = self.dice.below(6);
            let started = Life::start(&self.machine, self.disk.mount_for(asked_max), self.folder.as_ref(), self.limits).await;
            self.disk.crash(None);
            match started {
                Err(died) => self.line(format_args!("the node dies in its start: {died}")),
                Ok(Life { running, .. }) => {
                    self.line(format_args!("the node dies right after its start"));
                    if let Some(dead) = running {
                        dead.stop().await;
                    }
                }
            }
            self.counts.died_in_start += 1;
        }
        let started = Life::start(&self.machine, self.disk.mount(), self.folder.as_ref(), self.limits).await;
        self.life = started.map_err(|error| format!("a node does not start: {error}"))?;
        let cut = self.node().started().cut;
        self.line(format_args!("the node starts at {}, cut: {cut:?}", self.now()));
        let gone = before - self.disk.length();
        rule(self.disk.length() >= known && gone <= usize::from(self.torn), "a start cuts off what was acknowledged")?;
        rule(cut.is_none() || gone == 1, "a start says that it has cut off what is there")?;
        self.torn = false;
        self.auditor.step(&self.disk.since(known))?;
        self.shows_what_it_ended_with()?;
        // What the dead node was about is over.
        let told = self.auditor.lost();
        self.counts.told_and_lost += told.len() as u64;
        self.kept.extend(told.iter().map(|told| (told.scan(), told.passage.issue)));
        self.choose_slots();
        Ok(())
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

impl Life {
    async fn start(
        machine: &Arc<Machine>,
        (mount, doing): (Arc<Mount>, mpsc::UnboundedReceiver<Doing>),
        folder: Option<&TempDir>,
        limits: Limits,
    ) -> Result<Self, StartError> {
        let clock = SimulatedClock::start(machine);
        let (journal, time): (Arc<dyn Journal>, Arc<dyn Clock>) = (mount, Arc::clone(&clock) as _);
        let running = match folder {
            None => Node::start_on_one_thread(journal, time, limits, false).await?,
            Some(folder) => Node::start_on_one_thread_in(folder.path().to_owned(), journal, time, limits).await?,
        };
        // What the node does by itself as it begins, it does now.
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        Ok(Self { running: Some(running), clock, doing, standing: None, apart_s: 0 })
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

/// Makes the files of a folder those of another one.
fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    for file in std::fs::read_dir(to)? {
        std::fs::remove_file(file?.path())?;
    }
    for file in std::fs::read_dir(from)? {
        let file = file?;
        std::fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}

/// The hour in which an instant lies, or one so many hours later.
const fn hour_of(at: Timestamp, later: i64) -> Timestamp {
    Timestamp::from_seconds((at.as_seconds().div_euclid(HOUR_S) + later) * HOUR_S)
}
