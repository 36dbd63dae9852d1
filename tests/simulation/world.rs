//! One run: a node on the simulated disk and clock, callers, faults, and the auditor after every step.
//!
//! The node has threads of its own, and still the same seed is the same history. A round begins with an append that stands still; while it does, the run sends
//! commands one at a time and waits until the slot's owner has taken each one, so that everything queues in the order of the run. Then the appends go one by one,
//! each to its fate. What is left over (callers whose owner has stopped) is finished one caller at a time. Only the clock's own waking of slots, at the very end
//! of a run, is left to the threads.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::sync::mpsc;
use tornello_actors::clock::Clock;
use tornello_actors::failure::Failure;
use tornello_actors::journal::writer::{Health, Limits};
use tornello_actors::journal::{Head, Journal};
use tornello_actors::moves;
use tornello_actors::node::{Node, Running};
use tornello_actors::owner::Answer;
use tornello_actors::verify::verify;
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{HoldId, MuseumId, RouteId, SlotId};
use tornello_engine::museum::{self, Museum, Profile};
use tornello_engine::plan::{OpeningPlan, Route, Session};
use tornello_engine::slot::{Admitted, Command, Event, Exited, Policy, Reentry, Refund, Refusal, Slot, Standing, WaitingEnd};
use tornello_engine::text::Text;
use tornello_engine::time::Timestamp;

use super::auditor::{Auditor, Outcome};
use super::callers::{self, Callers, code};
use super::dice::Dice;
use super::disk::{Appending, Disk, Doing, Mount, Remains, Verdict};
use super::naive::{Fate, Naive, Stage, Turn};
use super::time::{Machine, SimulatedClock};
use super::{PANIC, rule};

const HOUR_S: i64 = 3_600;
const ROUNDS: u64 = 12;
/// The museums whose slots are sold; the last one only plugs the journal and stands as a fence.
const MUSEUMS: [MuseumId; 3] = [MuseumId(1), MuseumId(2), MuseumId(9)];
const PLUG: MuseumId = MUSEUMS[2];
/// When runs begin: an ordinary day, the days on which the clocks change, the day before a leap day.
const STARTS: [&str; 4] = ["2026-06-10T07:20:00Z", "2026-03-28T23:20:00Z", "2026-10-24T23:20:00Z", "2028-02-28T22:20:00Z"];
/// Nothing takes so long, so whoever waits longer waits for ever.
const HANGS: Duration = Duration::from_secs(20);

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
    /// How many lines and which journal there were when the node was left to itself.
    pub decided: (usize, Head),
    pub counts: Counts,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub sent: u64,
    pub done: u64,
    pub batches: u64,
    pub crashes: u64,
    pub faults: u64,
    pub panics: u64,
    pub compared: u64,
    pub waited: u64,
    pub offered: u64,
    pub offers_taken: u64,
    pub late_scans: u64,
    pub conflicts: u64,
    pub renamed: u64,
    pub moved: u64,
    pub moves_undone: u64,
    pub prolonged: u64,
    pub amended: u64,
    pub handed_over: u64,
    pub beyond: u64,
}

impl Counts {
    pub const fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.done += other.done;
        self.batches += other.batches;
        self.crashes += other.crashes;
        self.faults += other.faults;
        self.panics += other.panics;
        self.compared += other.compared;
        self.waited += other.waited;
        self.offered += other.offered;
        self.offers_taken += other.offers_taken;
        self.late_scans += other.late_scans;
        self.conflicts += other.conflicts;
        self.renamed += other.renamed;
        self.moved += other.moved;
        self.moves_undone += other.moves_undone;
        self.prolonged += other.prolonged;
        self.amended += other.amended;
        self.handed_over += other.handed_over;
        self.beyond += other.beyond;
    }
}

/// Runs a seed; what went wrong comes with the history so far.
pub async fn run(seed: u64) -> Result<History, (String, Vec<String>)> {
    let mut world = World::new(seed).await;
    let ended = world.run().await;
    match ended {
        Ok(decided) => Ok(History { lines: world.lines, decided, counts: world.counts }),
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
    machine: Arc<Machine>,
    disk: Arc<Disk>,
    limits: Limits,
    policy: Policy,
    /// The hour in which the run began.
    began: Timestamp,
    life: Life,
    slots: Vec<SlotId>,
    fence: SlotId,
    auditor: Auditor,
    callers: Callers,
    pending: Vec<Pending>,
    /// Sendings that will be repeated.
    late: Vec<usize>,
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
        let limits = Limits { queue: dice.pick(&[6, 16, 1_024]), batch: dice.pick(&[1, 2, 3, 8, 1_024]) };
        let policy = policy(&mut dice);
        let life = Life::start(&machine, &disk, limits).await;
        let fence = SlotId::new(PLUG, RouteId(1), hour_of(start, 30));
        let mut world = Self {
            dice,
            machine,
            disk,
            limits,
            policy,
            began: hour_of(start, 0),
            life,
            slots: Vec::new(),
            fence,
            auditor: Auditor::default(),
            callers: Callers::default(),
            pending: Vec::new(),
            late: Vec::new(),
            down: BTreeSet::new(),
            lines: Vec::new(),
            counts: Counts::default(),
        };
        world.line(format_args!("seed {seed} from {start}, {limits:?}, {policy:?}"));
        world.choose_slots();
        world
    }

    async fn run(&mut self) -> Result<(usize, Head), String> {
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
            Ok(decided) => Ok(decided),
            Err(Halt::Wrong(wrong)) => Err(wrong),
            Err(Halt::Crashed) => Err("a crash that was not drawn".into()),
        }
    }

    /// The slots of now, of the next hours and of tomorrow, as far as they are not known yet.
    fn choose_slots(&mut self) {
        let now = self.now();
        for (museum, hours) in [(0, 0), (1, 0), (0, 1), (1, 24)] {
            let slot = SlotId::new(MUSEUMS[museum], RouteId(1), hour_of(now, hours));
            // Before the first day there is no plan.
            if slot.start() >= self.began && !self.slots.contains(&slot) {
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
            let midnight = jiff::civil::time(0, 0, 0, 0);
            let session =
                Session { opens: midnight, closes: midnight, slot_minutes: 60, last_entry: jiff::civil::time(23, 0, 0, 0), capacity, quotas };
            let week = std::array::from_fn(|_| vec![session.clone()]);
            let name = Text::new("Percorso", "Route");
            let route = Route { id: RouteId(1), code: code("main"), name, week, exceptions: Vec::new(), policy: self.policy };
            let profile = Profile {
                slug: code(&format!("museum-{}", museum.0)),
                name: "Museo".into(),
                city: "Parma".into(),
                region: "Emilia-Romagna".into(),
                latitude_microdeg: 44_655_000,
                longitude_microdeg: 10_275_000,
                patron: None,
            };
            let plan = OpeningPlan { routes: vec![route] };
            for command in [museum::Command::Register { profile }, museum::Command::SetPlan { valid_from, plan }] {
                let asked = self.ask_museum(museum, command);
                let answer = self.drive(asked, false).await?;
                rule(answer.is_ok(), "a museum does not open").map_err(|wrong| format!("{wrong}: {answer:?}"))?;
                self.auditor.museum_answered(museum, answer);
            }
        }
        Ok(())
    }

    async fn round(&mut self) -> Result<(), Halt> {
        self.disk.outage.store(self.dice.chance(4), Ordering::SeqCst);
        self.disk.unreadable.store(self.dice.chance(3), Ordering::SeqCst);
        if self.node().health() == Health::Stopped || self.dice.chance(5) {
            return self.stop_or_crash().await;
        }
        self.jump_without_being_followed()?;
        self.down.clear();
        for slot in self.all_slots() {
            if self.look_at(slot, true, |_| ()).await?.is_err() {
                self.down.insert(slot);
            }
        }
        self.plug().await?;
        for _ in 0..6 + self.dice.below(14) {
            self.act().await?;
        }
        self.finish().await?;
        for _ in 0..self.dice.below(3) {
            self.drive_a_move().await?;
        }
        self.compare().await
    }

    /// The flow of a move goes on, or begins: to its end, or until whoever drives it goes away. What callers ask between its steps comes in other rounds. It is driven
    /// while nothing else is on its way, since it goes to and fro between owners on threads of their own.
    async fn drive_a_move(&mut self) -> Result<(), Halt> {
        self.end_due(true).await?;
        let patience = self.dice.weighted(&[(1, 0), (3, 1), (2, 2), (6, usize::MAX)]);
        let begun = |naive: &Naive| naive.moves.iter().filter(|(_, moved)| moved.stage == Stage::Begun).map(|(id, _)| *id).collect::<Vec<_>>();
        let under_way: Vec<(SlotId, HoldId)> =
            self.auditor.slots.iter().flat_map(|(slot, naive)| begun(naive).into_iter().map(|arrival| (*slot, arrival))).collect();
        let node = Arc::clone(self.node());
        if !under_way.is_empty() && self.dice.chance(60) {
            let (source, arrival) = self.dice.pick(&under_way);
            self.line(format_args!("the move to {arrival} goes on, for {patience} batches"));
            let advanced = self.drive_for(async move { moves::advance(&node, source, arrival).await }.boxed_local(), true, patience).await?;
            return match advanced {
                None => self.finish().await,
                Some(Err(failure)) => {
                    self.line(format_args!("it does not: {failure}"));
                    Ok(())
                }
                Some(Ok(())) => {
                    self.audit()?;
                    let stage = self.auditor.slots[&source].moves[&arrival].stage;
                    Ok(rule(stage != Stage::Begun, "a move is under way that was driven to its end")?)
                }
            };
        }
        let slot = self.slots[self.slots.len() - 1 - self.dice.index(4)];
        let (now, envelope) = (self.now(), callers::envelope(&mut self.dice));
        let command = self.callers.ask_to_move(&mut self.dice, &self.slots, slot, envelope.who, now, self.auditor.slots.get(&slot));
        let Command::BeginMove { arrival, .. } = command else { return Ok(()) };
        self.line(format_args!("{} moves from slot {slot}, for {patience} batches: {command:?}", envelope.who.0));
        let sending = self.auditor.sent(slot, envelope.clone(), command.clone(), now);
        // What comes back is not the answer to this one command.
        self.auditor.sendings[sending].outcome = Outcome::Unknown;
        let flow = async move { moves::move_tickets(&node, slot, envelope, command).await };
        let Some(moved) = self.drive_for(flow.boxed_local(), true, patience).await? else { return self.finish().await };
        self.line(format_args!("it is answered {:?}", moved.as_ref().map(|moved| moved.id).map_err(ToString::to_string)));
        self.audit()?;
        let stage = self.auditor.slots.get(&slot).and_then(|naive| naive.moves.get(&arrival)).map(|moved| moved.stage);
        match moved {
            Ok(moved) => rule((moved.id, Some(Stage::Done)) == (arrival, stage), "a move is acknowledged that was not made")?,
            Err(Failure::Refused(_)) => rule(matches!(stage, None | Some(Stage::Undone)), "a move is refused that was made, or is under way")?,
            Err(_) => {}
        }
        Ok(())
    }

    /// An append that stands still, if the journal writes at all.
    async fn plug(&mut self) -> Result<(), Halt> {
        // No jump of the clock takes a run so far.
        let valid_from = calendar::local_day(self.began.plus_seconds(60 * 24 * HOUR_S));
        let ceiling = Some(1 + self.dice.below(100) as u32);
        let mut asked = self.ask_museum(PLUG, museum::Command::SetCeiling { valid_from, ceiling });
        let node = Arc::clone(self.node());
        loop {
            let seen = within(async {
                tokio::select! { biased; answer = &mut asked => Err(answer), Some(doing) = self.life.doing.recv() => Ok(doing) }
            });
            match seen.await? {
                Ok(Doing::Appending(appending)) => {
                    self.life.standing = Some(appending);
                    // Nobody waits for this answer any more.
                    return Ok(());
                }
                Ok(Doing::Recovering) => {}
                Err(answer) => {
                    let broken = node.health() != Health::Writing || self.disk.unreadable.load(Ordering::SeqCst);
                    self.auditor.museum_answered(PLUG, answer.clone());
                    return Ok(rule(broken, "a sound journal does not write").map_err(|wrong| format!("{wrong}: {answer:?}"))?);
                }
            }
        }
    }

    async fn act(&mut self) -> Result<(), Halt> {
        match self.dice.below(100) {
            0..8 => {
                if self.life.standing.is_none() {
                    // Nothing that becomes due could be ended now.
                    return Ok(());
                }
                let seconds = self.dice.weighted(&[(40, 1), (30, 45), (20, 400), (8, 1_000), (2, HOUR_S)]);
                let seconds = self.dice.within(0, seconds);
                self.pass(seconds);
                Ok(())
            }
            8..12 => self.wake().await,
            12..14 => self.panic_in_an_owner().await,
            14..17 => self.pile_up().await,
            17..19 => {
                self.stop_waiting();
                Ok(())
            }
            19..20 => {
                self.line(format_args!("the node is killed"));
                self.crash()
            }
            _ => {
                let (slot, envelope, command) = self.request();
                self.send(slot, envelope, command).await
            }
        }
    }

    /// A new command, or one that was sent before: by a caller who was not answered, by one who is impatient, or under a key that says something else now.
    fn request(&mut self) -> (SlotId, Envelope, Command) {
        if !self.late.is_empty() && self.dice.chance(40) {
            let late = self.dice.index(self.late.len());
            let late = self.late.swap_remove(late);
            return self.repeat(late);
        }
        let sent = self.auditor.sendings.len();
        let slot = self.slots[self.slots.len() - 1 - self.dice.index(4)];
        let now = self.now();
        let mut envelope = callers::envelope(&mut self.dice);
        if sent > 0 && self.dice.chance(12) {
            let back = self.dice.index(sent.min(30));
            return self.repeat(sent - 1 - back);
        }
        let mut slot = slot;
        if sent > 0 && self.dice.chance(4) {
            let known = &self.auditor.sendings[sent - 1 - self.dice.index(sent.min(30))];
            slot = known.slot;
            envelope = Envelope { body: envelope.body, ..known.envelope.clone() };
        }
        let command = self.callers.ask(&mut self.dice, &self.slots, slot, envelope.who, now, self.auditor.slots.get(&slot));
        (slot, envelope, command)
    }

    fn repeat(&mut self, sending: usize) -> (SlotId, Envelope, Command) {
        let known = &self.auditor.sendings[sending];
        let (slot, envelope, command) = (known.slot, known.envelope.clone(), known.command.clone());
        let command = self.callers.again(&mut self.dice, slot, envelope.who, &command);
        (slot, envelope, command)
    }

    /// Sends a command; when this returns its owner has taken it, or it waits for an owner.
    async fn send(&mut self, slot: SlotId, envelope: Envelope, command: Command) -> Result<(), Halt> {
        if self.life.standing.is_none() {
            self.end_due(true).await?;
            self.put_into_mailbox(slot, envelope, command);
            return self.finish_pending().await;
        }
        self.put_into_mailbox(slot, envelope, command);
        if !self.down.contains(&slot) {
            self.wait_for_owner(slot).await?;
            self.taken();
        }
        Ok(())
    }

    fn put_into_mailbox(&mut self, slot: SlotId, envelope: Envelope, command: Command) {
        let sending = self.auditor.sent(slot, envelope.clone(), command.clone(), self.now());
        self.counts.sent += 1;
        self.line(format_args!("{sending}: {} asks slot {slot}, key {:08x}: {command:?}", envelope.who.0, (envelope.key.0 >> 96) as u32));
        let node = Arc::clone(self.node());
        let mut answer = async move { node.slot(slot, envelope, command).await }.boxed_local();
        // The first poll puts it into the mailbox. Who finds no owner would make one, and whoever comes next would wait for that: so it waits until its turn comes.
        if !self.down.contains(&slot)
            && let Some(known) = (&mut answer).now_or_never()
        {
            answer = std::future::ready(known).boxed_local();
        }
        self.pending.push(Pending { sending, answer, taken: false });
    }

    /// All that healthy owners were sent, they have taken.
    fn taken(&mut self) {
        for pending in &mut self.pending {
            pending.taken |= !self.down.contains(&self.auditor.sendings[pending.sending].slot);
        }
    }

    /// Ends when a slot's owner has taken all that it was sent.
    async fn wait_for_owner(&mut self, slot: SlotId) -> Result<(), Halt> {
        let (reached, mut signal) = mpsc::unbounded_channel();
        let (token, node) = (Token(reached), Arc::clone(self.node()));
        let mut look = async move { node.look(slot, move |_| token.look()).await }.boxed_local();
        reaches(&mut look, &mut signal).await
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
        let Some(appending) = self.life.standing.take() else { return Ok(()) };
        let verdict = match if faults { self.dice.below(100) } else { 99 } {
            0..4 => Verdict::Full,
            4..5 => Verdict::Conflict,
            5..9 => Verdict::Lost,
            9..13 => Verdict::AnswerLost,
            13 => Verdict::FlushFailed { written: self.dice.chance(50) },
            14..16 => {
                self.life.standing = Some(appending);
                self.line(format_args!("the node is killed in an append"));
                return self.crash();
            }
            _ => Verdict::Written,
        };
        let (number, spans) = (appending.batch.number, appending.batch.spans.clone());
        let mut batch = format!("batch {number} {verdict:?}:");
        for span in spans {
            let _ = write!(batch, " {} {}..={}", span.stream, span.first, span.last);
        }
        self.line(format_args!("{batch}"));
        self.counts.batches += 1;
        self.counts.faults += u64::from(verdict != Verdict::Written);
        // What the writer did before is over.
        while self.life.doing.try_recv().is_ok() {}
        appending.end(verdict);
        let node = Arc::clone(self.node());
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
            if pending.taken
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

    fn stop_waiting(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let index = self.dice.index(self.pending.len());
        let pending = self.pending.remove(index);
        self.line(format_args!("{}: its caller stops waiting", pending.sending));
        self.auditor.sendings[pending.sending].outcome = Outcome::Unknown;
        self.late.push(pending.sending);
    }

    /// The clock wakes a slot whose deadline has come, while the journal stands still. (Of several, the threads would decide which one writes first.)
    async fn wake(&mut self) -> Result<(), Halt> {
        let due = self.node().board().due(self.now());
        let [slot] = due[..] else { return Ok(()) };
        if self.life.standing.is_none() || self.down.contains(&slot) {
            return Ok(());
        }
        self.line(format_args!("slot {slot} is woken"));
        rule(self.node().wake_due().now_or_never().is_some(), "a wake waits for an owner that is there")?;
        self.wait_for_owner(slot).await
    }

    /// Asks each slot whose deadline has come for something that is not there: it ends what is due before it refuses.
    /// That may be several records: they queue while the journal stands still, or the threads would decide which of them are one batch.
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

    /// Makes an owner wait, and its thread with it, until what this answers is dropped.
    async fn hold_up(&self, slot: SlotId) -> Result<std::sync::mpsc::Sender<()>, Halt> {
        let (go_on, gate) = gate();
        let (reached, mut signal) = mpsc::unbounded_channel();
        let (token, node) = (Token(reached.clone()), Arc::clone(self.node()));
        let held = move |_: &Slot| {
            token.look();
            let _ = reached.send(());
            gate.pass();
        };
        // If the queue was full, nothing waits.
        reaches(&mut async move { node.look(slot, held).await }.boxed_local(), &mut signal).await?;
        Ok(go_on)
    }

    /// A handler panics. Whoever looked finds the next owner, or has stopped waiting.
    async fn panic_in_an_owner(&mut self) -> Result<(), Halt> {
        let slot = self.dice.pick(&self.slots);
        if self.life.standing.is_none() || self.down.contains(&slot) || self.down.contains(&self.fence) {
            return Ok(());
        }
        self.line(format_args!("a handler of slot {slot} panics"));
        self.counts.panics += 1;
        let (panicked, node) = (Arc::new(AtomicBool::new(false)), Arc::clone(self.node()));
        let (reached, mut signal) = mpsc::unbounded_channel();
        let (token, once, (go_on, gate)) = (Token(reached), Arc::clone(&panicked), gate());
        let mut look = async move {
            let panics = move |_: &Slot| {
                token.look();
                gate.pass();
                assert!(once.swap(true, Ordering::SeqCst), "{PANIC}");
            };
            node.look(slot, panics).await
        }
        .boxed_local();
        // Not before the one who looks waits for it: else it would ask for the next owner at once, or not, as the threads have it.
        let seen_at_once = (&mut look).now_or_never().is_some();
        drop(go_on);
        if !seen_at_once {
            within(signal.recv()).await?;
        }
        if !panicked.load(Ordering::SeqCst) {
            // The queue was full.
            return Ok(());
        }
        // The fence's owner lives on the same thread: when it has been reached the other one is gone.
        self.wait_for_owner(self.fence).await?;
        self.down.insert(slot);
        if self.dice.chance(50) {
            // It sees its owner gone, and asks for the next one, which ends the right of the old one to write.
            self.line(format_args!("who looked asks for the next owner"));
            rule((&mut look).now_or_never().is_none(), "an owner is made while the journal stands still")?;
        }
        Ok(())
    }

    /// An owner is slow, and its mailbox fills; some of its callers are too late when it goes on.
    async fn pile_up(&mut self) -> Result<(), Halt> {
        let slot = self.slots[self.slots.len() - 1 - self.dice.index(4)];
        if self.down.contains(&slot) || self.life.standing.is_none() {
            return Ok(());
        }
        let go_on = self.hold_up(slot).await?;
        self.line(format_args!("slot {slot} is slow"));
        let mut requests: Vec<_> = (0..2 + self.dice.below(4)).map(|_| self.request()).filter(|(other, ..)| *other == slot).collect();
        if let Some(twice) = requests.first().cloned() {
            requests.push(twice);
        }
        self.dice.shuffle(&mut requests);
        for (slot, envelope, command) in requests {
            self.put_into_mailbox(slot, envelope, command);
            if self.dice.chance(20) {
                let seconds = self.dice.within(1, 15);
                self.pass(seconds);
            }
        }
        drop(go_on);
        self.wait_for_owner(slot).await?;
        self.taken();
        Ok(())
    }

    fn pass(&mut self, seconds: i64) {
        self.life.clock.pass(seconds);
        self.line(format_args!("{seconds} s pass: {}", self.now()));
    }

    /// Somebody sets the wall clock of the machine, and perhaps sets it right again: a running node reports it and does not follow.
    fn jump_without_being_followed(&mut self) -> Result<(), Halt> {
        if !self.dice.chance(10) {
            return Ok(());
        }
        let before = self.now();
        let jump_s = self.jump();
        self.life.apart_s += jump_s;
        rule(self.now() == before, "the clock follows a jump")?;
        rule(self.life.clock.pass(1) == (self.life.apart_s != 0), "a jump of the wall clock is not reported, or one that was undone is")?;
        let passed_us = self.now().micros_since(before);
        rule((999_000..=1_001_000).contains(&passed_us), "the clock follows a jump after a second")?;
        Ok(())
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
        self.audit()
    }

    /// The node dies at once: all that is left of it is on the disk.
    fn crash(&mut self) -> Result<(), Halt> {
        self.counts.crashes += 1;
        let on_its_way = self.life.standing.take();
        let remains = self.dice.pick(&[Remains::Nothing, Remains::All, Remains::Damaged, Remains::Short]);
        self.line(format_args!("of the batch on its way remains {:?}", on_its_way.is_some().then_some(remains)));
        self.disk.crash(on_its_way.as_ref().map(|appending| (appending.batch.clone(), remains)));
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
            // Its threads end now; the disk does not hear them any more.
            dead.stop().await;
        }
        if self.dice.chance(30) {
            self.jump();
        }
        self.disk.outage.store(false, Ordering::SeqCst);
        self.disk.unreadable.store(false, Ordering::SeqCst);
        let (before, known) = (self.disk.length(), self.auditor.read());
        self.life = Life::start(&self.machine, &self.disk, self.limits).await;
        let cut = self.node().started().cut;
        self.line(format_args!("the node starts at {}, cut: {cut:?}", self.now()));
        rule(self.disk.length() >= known && self.disk.length() + usize::from(cut.is_some()) == before, "a start cuts off what was acknowledged")?;
        self.auditor.step(&self.disk.since(known))?;
        self.choose_slots();
        Ok(())
    }

    fn all_slots(&self) -> Vec<SlotId> {
        self.slots.iter().copied().chain([self.fence]).collect()
    }

    /// At rest, everything that can be asked of the node is what the auditor's lists say: state, counters, board.
    async fn compare(&mut self) -> Result<(), Halt> {
        if self.disk.unreadable.load(Ordering::SeqCst) || self.disk.outage.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.end_due(false).await?;
        if self.node().health() != Health::Writing {
            return Ok(());
        }
        self.counts.compared += 1;
        self.auditor.moves_add_up()?;
        for slot in self.slots.clone() {
            let listed = self.auditor.slots.get(&slot).map(standings);
            let look = move |slot: &Slot| {
                let is_listed = listed.as_ref().is_none_or(|listed| listed(slot));
                (postcard::to_allocvec(slot), slot.recount(), slot.money(), is_listed)
            };
            let seen = self.look_at(slot, false, look).await?;
            let Ok((Ok(state), sound, money, is_listed)) = seen else {
                // A slot that was rebuilt too often is out of order for one caller.
                continue;
            };
            rule(sound.is_ok(), "a recount differs").map_err(|wrong| format!("{wrong}: {sound:?}"))?;
            let (now, head) = (self.now(), self.node().board().head(slot));
            let Some(naive) = self.auditor.slots.get(&slot) else {
                rule(head.is_none(), "the board shows a slot that nobody wrote to")?;
                continue;
            };
            let replayed = Slot::replay(&naive.records).and_then(|slot| postcard::to_allocvec(&slot).ok());
            rule(replayed.as_ref() == Some(&state), "the live state is not the replayed one (SL-4)")?;
            rule(naive.money() == (money.0.get(), money.1.get()), "the cents do not add up (SL-6)")?;
            let head = head.ok_or_else(|| "the board does not show a slot".to_owned())?;
            rule(head.seq == naive.records.len() as u64, "the board shows another record than the last")?;
            rule(is_listed, "the waiting list is another one than the auditor's (SL-9)")?;
            let late = naive.holds.values().find(|hold| hold.fate == Fate::Live && hold.expires_at <= now);
            rule(late.is_none(), "a hold neither ends nor lives (SL-8)")?;
            rule(head.moving as usize == naive.moving(), "the board shows other moves under way than there are")?;
            rule(head.owing as usize == naive.owed.len(), "the board shows that another number of refunds is owed (SL-10)")?;
            same_places(&head.places, naive, now)?;
        }
        Ok(())
    }

    /// The end: the clock goes on and wakes what is due by itself; the journal is verified, and a last start finds the same.
    async fn end(&mut self) -> Result<(usize, Head), Halt> {
        self.disk.outage.store(false, Ordering::SeqCst);
        self.disk.unreadable.store(false, Ordering::SeqCst);
        if self.node().health() != Health::Writing {
            self.stop().await?;
            self.restart().await?;
        }
        self.compare().await?;
        if self.dice.chance(50) {
            self.end_due(false).await?;
            let node = Arc::clone(self.node());
            let left = self.drive(async move { moves::resume(&node).await }.boxed_local(), false).await?;
            self.line(format_args!("moves are resumed, {left} are left"));
        }
        let decided = (self.lines.len(), self.node().head());
        self.life.clock.let_wake();
        // Moves that were left under way go on by themselves, before anybody would wait too long for an answer.
        let node = Arc::clone(self.node());
        self.drive(async move { until(|| node.board().moving().is_empty()).await }.boxed_local(), false).await??;
        // The wall clock may have been set back by days.
        let last = self.auditor.slots.values().flat_map(Naive::live).map(|(_, hold)| hold.expires_at).max();
        self.pass(last.map_or(0, |last| last.micros_since(self.now()) / 1_000_000) + 1);
        let node = Arc::clone(self.node());
        self.drive(async move { until(|| node.board().due(node.now()).is_empty()).await }.boxed_local(), false).await??;
        // New ones are the offers that those became.
        let now = self.now();
        let late = self.auditor.slots.values().flat_map(Naive::live).filter(|(_, hold)| hold.expires_at <= now).count();
        rule(late == 0, "holds live after their time, though the clock goes on (SL-8)")?;
        // Sales end, and nobody waits any longer.
        let ends = self.auditor.slots.values().map(|naive| naive.opening.end).max();
        self.pass(ends.map_or(0, |end| end.micros_since(self.now()) / 1_000_000).max(0) + 1);
        let node = Arc::clone(self.node());
        self.drive(async move { until(|| node.board().next_wake().is_none()).await }.boxed_local(), false).await??;
        let left = self.auditor.slots.values().map(|naive| naive.live().count() + naive.waiting().count()).sum::<usize>();
        rule(left == 0, "somebody waits or holds when all is over")?;
        rule(self.auditor.moves_add_up()? == 0, "a move is under way when all is over")?;
        self.stop().await?;
        let (mount, _) = self.disk.mount();
        let verified = verify(mount.as_ref(), false, |_| {}).await.map_err(|error| error.to_string())?;
        let mut sums = [(0, 0); 2];
        for (slot, naive) in &self.auditor.slots {
            let (paid, refunded) = naive.money();
            let of = &mut sums[usize::from(slot.museum() == MUSEUMS[1])];
            *of = (of.0 + paid, of.1 + refunded);
        }
        for (museum, sums) in MUSEUMS.iter().zip(sums) {
            let verified = verified.museums.get(museum).map(|sums| (sums.paid_cents.get(), sums.refunded_cents.get()));
            rule(verified == Some(sums), "the verified sums are not those of the lists")?;
        }
        self.restart().await?;
        self.compare().await?;
        self.stop().await?;
        self.count();
        Ok(decided)
    }

    /// Counts what has happened to slots.
    fn count(&mut self) {
        let counts = &mut self.counts;
        for naive in self.auditor.slots.values() {
            for event in naive.records.iter().flat_map(|record| &record.events) {
                match event {
                    Event::Waited(_) => counts.waited += 1,
                    Event::Offered(_) => counts.offered += 1,
                    Event::Sold(sold) if naive.entries.iter().any(|entry| entry.id == sold.sale) => counts.offers_taken += 1,
                    Event::Admitted(Admitted { scanned_at: Some(_), .. }) | Event::Exited(Exited { scanned_at: Some(_), .. }) => {
                        counts.late_scans += 1;
                    }
                    Event::AdmissionConflict(_) => counts.conflicts += 1,
                    Event::Renamed(_) => counts.renamed += 1,
                    Event::MovedOut(_) => counts.moved += 1,
                    Event::MoveUndone(_) => counts.moves_undone += 1,
                    Event::Prolonged(_) => counts.prolonged += 1,
                    Event::Amended(_) => counts.amended += 1,
                    Event::HandedOver(_) => counts.handed_over += 1,
                    Event::BeyondSet(_) => counts.beyond += 1,
                    _ => {}
                }
            }
        }
    }

    fn ask_museum(&mut self, museum: MuseumId, command: museum::Command) -> LocalBoxFuture<'static, Answer<Museum>> {
        let (node, envelope) = (Arc::clone(self.node()), callers::envelope(&mut self.dice));
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
    async fn start(machine: &Arc<Machine>, disk: &Arc<Disk>, limits: Limits) -> Self {
        let (mount, doing): (Arc<Mount>, _) = disk.mount();
        let clock = SimulatedClock::start(machine);
        let running = Node::start_undriven_on(mount as Arc<dyn Journal>, Arc::clone(&clock) as _, limits).await.expect("a simulated node starts");
        // What the node does by itself as it begins, it does now.
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        Self { running: Some(running), clock, doing, standing: None, apart_s: 0 }
    }
}

fn same_places(places: &tornello_engine::slot::Places, naive: &Naive, now: Timestamp) -> Result<(), String> {
    for channel in Channel::ALL {
        let index = channel.index();
        let of_naive = (naive.held_by(channel), naive.sold_by(channel), naive.room(now, channel));
        let shown = (places.held[index], places.sold[index], places.available(channel, now).0);
        rule(shown == of_naive, "the board shows other places than there are").map_err(|wrong| format!("{wrong}: {shown:?}, not {of_naive:?}"))?;
    }
    rule(places.conflicts == naive.conflicts, "the board shows other conflicts than there are")?;
    rule((places.admitted, places.inside) == (naive.admitted(), naive.inside()), "the board shows other visitors than there are")
}

/// Says of a slot whether its waiting list is that of the auditor: who waits in which order, and how everybody else has ended.
fn standings(naive: &Naive) -> impl Fn(&Slot) -> bool + Clone + Send + use<> {
    let waiting: Vec<(u64, HoldId)> = (1..).zip(&naive.entries).filter(|(_, entry)| entry.turn == Turn::Waiting).map(|(n, e)| (n, e.id)).collect();
    let stands: Vec<(HoldId, Option<WaitingEnd>)> = naive
        .entries
        .iter()
        .filter_map(|entry| {
            let end = match entry.turn {
                Turn::Waiting => return None,
                Turn::Left => Some(WaitingEnd::Left),
                Turn::InVain => Some(WaitingEnd::SalesEnded),
                Turn::Offered => match naive.holds[&entry.id].fate {
                    Fate::Live => None,
                    Fate::Sold => Some(WaitingEnd::Taken),
                    Fate::Released => Some(WaitingEnd::Declined),
                    Fate::Expired => Some(WaitingEnd::Lapsed),
                },
            };
            Some((entry.id, end))
        })
        .collect();
    move |slot| {
        let told = |(entry, end): &(HoldId, Option<WaitingEnd>)| match (slot.standing_of(*entry), end) {
            (Some(Standing::Offered(_)), None) => true,
            (Some(Standing::Ended(ended)), Some(end)) => ended.how == *end,
            // An end is forgotten after a day.
            (None, Some(_)) => true,
            _ => false,
        };
        slot.waiting().map(|party| (party.number, party.entry)).eq(waiting.iter().copied()) && stands.iter().all(told)
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
        refund: Refund { full_until_s: 7_200, part_percent: dice.pick(&[0, 50, 33]), part_until_s: dice.pick(&[600, 3_600]) },
        ..Policy::default()
    }
}

/// The hour in which an instant lies, or one so many hours later.
const fn hour_of(at: Timestamp, later: i64) -> Timestamp {
    Timestamp::from_seconds((at.as_seconds().div_euclid(HOUR_S) + later) * HOUR_S)
}

/// Goes into a look, and says so when the owner has done with its copy: it has looked, or panicked, or found the queue full.
#[derive(Clone)]
struct Token(mpsc::UnboundedSender<()>);

impl Token {
    /// Keeps the token in the look.
    const fn look(&self) {}
}

impl Drop for Token {
    fn drop(&mut self) {
        // Without a receiver nobody waits any more.
        let _ = self.0.send(());
    }
}

/// Where an owner waits until the run goes on.
#[derive(Clone)]
struct Gate(Arc<Mutex<std::sync::mpsc::Receiver<()>>>);

fn gate() -> (std::sync::mpsc::Sender<()>, Gate) {
    let (go_on, wait) = std::sync::mpsc::channel();
    (go_on, Gate(Arc::new(Mutex::new(wait))))
}

impl Gate {
    /// Ends when the other end is dropped.
    fn pass(&self) {
        let _ = self.0.lock().map(|wait| wait.recv());
    }
}

/// Sends a look and waits for its signal. What becomes of the look then is not touched: it would ask for the next owner if this one has stopped meanwhile.
async fn reaches<T>(look: &mut LocalBoxFuture<'static, T>, signal: &mut mpsc::UnboundedReceiver<()>) -> Result<(), Halt> {
    if look.now_or_never().is_none() {
        within(signal.recv()).await?;
    }
    Ok(())
}

async fn within<T>(future: impl Future<Output = T>) -> Result<T, Halt> {
    tokio::time::timeout(HANGS, future).await.map_err(|_| Halt::Wrong("the node hangs".into()))
}

/// Ends when another thread has come so far.
async fn until(reached: impl Fn() -> bool) -> Result<(), Halt> {
    within(async {
        while !reached() {
            std::thread::yield_now();
            tokio::task::yield_now().await;
        }
    })
    .await
}
