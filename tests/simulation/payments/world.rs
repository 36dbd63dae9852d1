//! One run: a node on the simulated disk and clock, flows that begin at any time and end or are given up at any step, and the books after every step.

mod acts;
mod counts;
mod flows;
mod groups;
mod rest;
mod tills;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tornello_actors::accounts;
use tornello_actors::clock::Clock;
use tornello_actors::failure::Failure;
use tornello_actors::journal::writer::{Health, Limits};
use tornello_actors::journal::{Journal, StreamId};
use tornello_actors::moves;
use tornello_actors::node::{Node, Running};
use tornello_actors::owner::Answer;
use tornello_actors::payments::{self, Request, Step};
use tornello_actors::quotes;
use tornello_engine::account;
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{Code, HoldId, KeyId, MuseumId, OrderId, PaymentId, PersonId, RouteId, SlotId, TillId, VoucherId};
use tornello_engine::ledger::{self, Account};
use tornello_engine::money::Cents;
use tornello_engine::museum;
use tornello_engine::payment::{self, Extra, Gateway, PaidBackBy, Payment, Receipt, Reported, Source};
use tornello_engine::recall::REMEMBERED_S;
use tornello_engine::slot::{CancelCause, Command, DeskMethod, Line, Policy, Refund, Settlement, Slot};
use tornello_engine::tariff::Proof;
use tornello_engine::till;
use tornello_engine::time::Timestamp;
use tornello_engine::voucher::{self, Voucher};

use super::CREDITOR;
use super::books::Books;
use super::books::due::{Due, Over, Went};
use super::outside::{Connection, Outside, Position};
use crate::callers::code;
use crate::dice::Dice;
use crate::disk::{self, Appending, Disk, Doing, Mount, Remains, Verdict};
use crate::naive::Fate;
use crate::opening::opening;
use crate::rule;
use crate::time::{Machine, SimulatedClock};

const HOUR_S: i64 = 3_600;
const MUSEUM: MuseumId = MuseumId(1);
/// Its records keep the journal standing still.
const PLUG: MuseumId = MuseumId(9);
/// How often a run lets the others go on before it goes on itself.
const TURNS: u64 = 20;
/// How many flows are under way at once.
const FLOWS: usize = 8;
/// More steps than anything takes.
const STEPS_MAX: u32 = 5_000;
/// The vouchers of a run.
const VOUCHERS: [u64; 2] = [1, 2];

/// What a run did.
pub struct History {
    pub lines: Vec<String>,
    pub counts: Counts,
}

/// How often each thing happened.
#[derive(Debug, Default, Clone)]
pub struct Counts(BTreeMap<&'static str, u64>);

/// What must happen in a hundred seeds.
const MUST: [&str; 66] = [
    "amended behind its back",
    "answers lost outside",
    "batches",
    "begun",
    "caller gone",
    "cancelled",
    "tickets cancelled",
    "contested again",
    "expired and paid",
    "crash",
    "crash in an append",
    "desk",
    "disputed",
    "taken back by a bank",
    "paid back by a bank",
    "double payment",
    "duplicate",
    "excess",
    "expired",
    "extras",
    "extras back",
    "executed after a stand-in",
    "failed at the gateway",
    "faults",
    "free",
    "get",
    "get refused",
    "given back by a flow",
    "holds",
    "late receipt",
    "moved",
    "of an order",
    "paid",
    "paid after the end",
    "paid back by till",
    "paid back by transfer",
    "paid back of a desk",
    "paid back to a voucher",
    "payee",
    "quiet",
    "quotes",
    "quotes called off",
    "quotes over",
    "quotes paid by a payment",
    "quotes paid without",
    "quotes revised",
    "quotes with tickets",
    "receipt by a report",
    "refund asked for again",
    "repeated begin",
    "restarts",
    "returned",
    "revoked before it came",
    "sold anew",
    "sold on account",
    "stand-in",
    "taken back by a flow",
    "tills closed",
    "tills opened",
    "tills opened again",
    "too small",
    "two items",
    "unfulfilled",
    "verify",
    "voucher pays",
    "waits again by a flow",
];

impl Counts {
    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    pub fn seldom(&self) -> Vec<(&'static str, u64)> {
        MUST.iter().map(|what| (*what, self.0.get(what).copied().unwrap_or(0))).collect()
    }

    fn count(&mut self, what: &'static str, times: u64) {
        if times > 0 {
            *self.0.entry(what).or_default() += times;
        }
    }
}

/// Runs a seed; what went wrong comes with the history so far.
pub async fn run(seed: u64) -> Result<History, (String, Vec<String>)> {
    let mut world = World::new(seed).await;
    match world.run().await {
        Ok(()) => Ok(History { lines: world.lines, counts: world.counts }),
        Err(wrong) => Err((wrong, world.lines)),
    }
}

/// How a flow ended.
enum Outcome {
    Slot(Answer<Slot>),
    Begun(usize, Step<PaymentId>),
    Received(usize, Step<()>),
    Verified(PaymentId, Result<Result<payment::Payable, payment::Refusal>, Failure<payment::Refusal>>),
    Got(Step<()>),
    Cancelled(Step<()>),
    Resumed(usize),
    Payment(Answer<Payment>),
    Voucher(Answer<Voucher>),
    Moved(bool),
    Till(Result<TillId, Failure<till::Refusal>>),
    Done,
}

/// Something that somebody waits for.
struct Flow {
    number: u64,
    handle: JoinHandle<Outcome>,
    of: Of,
}

/// Whose flow it is.
#[derive(Clone, Copy)]
enum Of {
    Wish(usize),
    Others,
}

/// A payment that somebody asks for, again and again with the same key.
struct Wish {
    envelope: Envelope,
    request: Request,
    /// Sendings of which nobody knows what became of them.
    open: u32,
    answered: Option<PaymentId>,
}

/// Money that somebody has paid: its receipt is sent until it is taken.
struct Money {
    payment: PaymentId,
    receipt: Receipt,
    taken: bool,
    /// The house has said that it cannot be.
    refused: bool,
}

/// One life of the node.
struct Life {
    running: Running,
    clock: Arc<SimulatedClock>,
    doing: mpsc::UnboundedReceiver<Doing>,
    /// The append that stands still: always one, but while it meets its fate.
    standing: Option<Appending>,
    /// Whether another plug waits behind it.
    plugged: bool,
    alive: Arc<AtomicBool>,
    /// How many tasks the node has by itself.
    tasks: usize,
}

struct World {
    dice: Dice,
    /// What reporting flows say, in a world in which some are issued.
    banks: Option<Dice>,
    machine: Arc<Machine>,
    disk: Arc<Disk>,
    policy: Policy,
    capacity: u32,
    /// The hour in which the run began.
    began: Timestamp,
    life: Option<Life>,
    outside: Arc<Outside>,
    slots: Vec<SlotId>,
    flows: Vec<Flow>,
    flow: u64,
    /// How many tasks there are that are not the node's.
    others: usize,
    wishes: Vec<Wish>,
    moneys: Vec<Money>,
    /// Those who asked to open a till, and with which float.
    openings: Vec<(Envelope, Code, Cents)>,
    /// What `resume` said last.
    left: Option<usize>,
    books: Books,
    lines: Vec<String>,
    counts: Counts,
}

impl World {
    async fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x7061_796d_656e_7473);
        let start: Timestamp =
            dice.pick(&["2026-06-10T07:20:00Z", "2026-10-24T21:20:00Z", "2026-03-28T21:20:00Z"]).parse().expect("the starts are instants");
        let start = start.plus_seconds(dice.within(0, HOUR_S));
        let refund = Refund { full_until_s: 7_200, part_percent: dice.pick(&[0, 50, 33]), part_until_s: 600 };
        let policy = Policy { sale_closes_s: dice.pick(&[0, 600]), hold_ttl_s: dice.pick(&[300, 900]), party_max: 5, refund, ..Policy::default() };
        let capacity = 4 + dice.below(12) as u32;
        let outside = Outside::new(dice.next());
        let mut world = Self {
            dice,
            banks: (seed % 2 == 1).then(|| Dice::new(seed ^ 0x666c_6f77_7320)),
            machine: Machine::new(start),
            disk: Arc::default(),
            policy,
            capacity,
            began: hour_of(start, 0),
            life: None,
            outside,
            slots: Vec::new(),
            flows: Vec::new(),
            flow: 0,
            others: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
            wishes: Vec::new(),
            moneys: Vec::new(),
            openings: Vec::new(),
            left: None,
            books: Books::default(),
            lines: Vec::new(),
            counts: Counts::default(),
        };
        world.line(format_args!("seed {seed} from {start}, {capacity} places, {policy:?}"));
        world
    }

    async fn run(&mut self) -> Result<(), String> {
        self.start(true).await?;
        self.choose_slots();
        self.open_account();
        for number in VOUCHERS {
            let (voucher, envelope) = (VoucherId(number), self.envelope());
            let amount_cents = Cents::new(self.dice.pick(&[1_000, 5_000, 20_000]));
            let command = voucher::Command::Issue { amount_cents, valid_until: self.now().plus_seconds(40 * HOUR_S), museum: None };
            self.voucher(voucher, envelope, command);
        }
        self.settle(false).await?;
        for round in 1..=2 {
            self.line(format_args!("-- round {round}, {}", self.now()));
            self.outside.troubled.store(true, Ordering::SeqCst);
            for _ in 0..24 + self.dice.below(24) {
                self.act().await?;
            }
            self.come_to_rest().await?;
        }
        self.end().await?;
        self.count_events();
        self.count_groups();
        Ok(())
    }

    // The node.

    /// A new life of the node on the same disk.
    async fn start(&mut self, first: bool) -> Result<(), String> {
        let (mount, doing): (Arc<Mount>, _) = self.disk.mount();
        let clock = SimulatedClock::start(&self.machine);
        let limits = Limits { queue: 1_024, batch: 1, pace: Duration::ZERO };
        let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let running =
            Node::start_on_one_thread(mount as Arc<dyn Journal>, Arc::clone(&clock) as _, limits, true).await.map_err(|error| error.to_string())?;
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks() - before;
        let alive = Arc::new(AtomicBool::new(true));
        running.node().connect(Arc::new(Connection { outside: Arc::clone(&self.outside), alive: Arc::clone(&alive) }));
        let (node, mut doing) = (Arc::clone(running.node()), doing);
        if first {
            for museum in [MUSEUM, PLUG] {
                for command in self.opening(museum) {
                    let envelope = self.envelope();
                    let node = Arc::clone(&node);
                    let asked = tokio::task::spawn_local(async move { node.museum(museum, envelope, command).await.map(drop) });
                    while !asked.is_finished() {
                        if let Ok(Doing::Appending(appending)) = doing.try_recv() {
                            appending.end(Verdict::Written);
                        }
                        tokio::task::yield_now().await;
                    }
                    rule(matches!(asked.await, Ok(Ok(()))), "a museum does not open")?;
                }
            }
        }
        let command = self.plug();
        drop(tokio::task::spawn_local(async move { node.museum(PLUG, command.0, command.1).await.map(drop) }));
        let standing = loop {
            if let Ok(Doing::Appending(appending)) = doing.try_recv() {
                break appending;
            }
            tokio::task::yield_now().await;
        };
        let tasks = before + tasks;
        self.life = Some(Life { running, clock, doing, standing: Some(standing), plugged: false, alive, tasks });
        self.audit()
    }

    fn opening(&self, museum: MuseumId) -> [museum::Command; 3] {
        let valid_from = calendar::local_day(self.began);
        let [register, plan] = opening(museum, valid_from, self.capacity, Default::default(), self.policy);
        [register, plan, museum::Command::SetGroupPolicy { valid_from, policy: Box::new(groups::policy()) }]
    }

    fn plug(&mut self) -> (Envelope, museum::Command) {
        let valid_from = calendar::local_day(self.began.plus_seconds(400 * 24 * HOUR_S));
        let ceiling = Some(1 + self.dice.below(1_000_000) as u32);
        (self.envelope(), museum::Command::SetCeiling { valid_from, ceiling })
    }

    fn life(&self) -> &Life {
        self.life.as_ref().expect("the node lives between its start and its end")
    }

    fn node(&self) -> Arc<Node> {
        Arc::clone(self.life().running.node())
    }

    fn now(&self) -> Timestamp {
        self.life().clock.now()
    }

    /// Everybody goes on as far as they come while the journal stands still.
    async fn others_go_on(&mut self, turns: u64) {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }

    /// The append that stands still meets its fate, and the next one stands.
    async fn advance(&mut self, faults: bool) -> Result<(), String> {
        let is_plug = self.stands_plug();
        let verdict = match if faults && !is_plug { self.dice.below(100) } else { 99 } {
            0..3 => Verdict::Full,
            3..4 => Verdict::Conflict,
            4..8 => Verdict::Lost,
            8..12 => Verdict::AnswerLost,
            12 => Verdict::FlushFailed { written: self.dice.chance(50) },
            13..15 => {
                self.line(format_args!("the node is killed in an append"));
                self.counts.count("crash in an append", 1);
                return self.crash().await;
            }
            _ => Verdict::Written,
        };
        if !self.life().plugged {
            let ((envelope, command), node) = (self.plug(), self.node());
            drop(tokio::task::spawn_local(async move { node.museum(PLUG, envelope, command).await.map(drop) }));
            self.others_go_on(8).await;
        }
        let standing = self.life.as_mut().and_then(|life| life.standing.take()).ok_or("no append stands still")?;
        if !is_plug {
            let mut line = format!("{} {verdict:?}:", disk::name(&standing.batch));
            for span in &standing.batch.spans {
                let _ = write!(line, " {} {}..={}", span.stream, span.first, span.last);
            }
            self.line(format_args!("{line}"));
            self.counts.count("batches", 1);
            self.counts.count("faults", u64::from(verdict != Verdict::Written));
        }
        standing.end(verdict);
        let life = self.life.as_mut().ok_or("no life")?;
        if matches!(verdict, Verdict::FlushFailed { .. }) {
            turns_until(|| (life.running.node().health() == Health::Stopped).then_some(())).await?;
            self.line(format_args!("the disk has failed"));
            return self.crash().await;
        }
        let doing = &mut life.doing;
        life.standing = Some(turns_until(|| if let Ok(Doing::Appending(appending)) = doing.try_recv() { Some(appending) } else { None }).await?);
        let is_plug = self.stands_plug();
        if let Some(life) = &mut self.life {
            // Whatever stands now, behind a record of others the plug still waits.
            life.plugged = !is_plug;
        }
        let turns = if self.dice.chance(85) { TURNS } else { self.dice.below(TURNS) };
        self.others_go_on(turns).await;
        self.hear().await?;
        self.audit()
    }

    fn stands_plug(&self) -> bool {
        let standing = self.life().standing.as_ref().and_then(|standing| standing.batch.spans.first());
        standing.is_some_and(|span| span.stream == StreamId::Museum(PLUG))
    }

    fn audit(&mut self) -> Result<(), String> {
        let new = self.disk.since(self.books.batches);
        self.books.step(&new)
    }

    /// The node dies, and another one starts on what is on the disk.
    async fn crash(&mut self) -> Result<(), String> {
        let Some(life) = self.life.take() else { return Err("no life".into()) };
        self.counts.count("crash", 1);
        life.alive.store(false, Ordering::SeqCst);
        let remains = self.dice.pick(&[Remains::Nothing, Remains::All, Remains::All, Remains::Damaged, Remains::Short]);
        let is_open = life.running.node().health() == Health::Writing;
        self.line(format_args!("the node dies; of the batch on its way remains {:?}", is_open.then_some(remains)));
        self.disk.crash(life.standing.as_ref().filter(|_| is_open).map(|standing| (standing.batch.clone(), remains)));
        for flow in std::mem::take(&mut self.flows) {
            self.give_up(flow);
        }
        self.outside.go_on();
        let Life { running, doing, standing, .. } = life;
        drop((standing, doing));
        running.stop().await;
        // Who drove a payment for nobody hears that it is over.
        for _ in 0..1_000 {
            if tokio::runtime::Handle::current().metrics().num_alive_tasks() == self.others {
                break;
            }
            tokio::task::yield_now().await;
        }
        if self.dice.chance(20) {
            self.machine.jump(self.dice.pick(&[-30, 90, 1_900, 30 * HOUR_S]));
        }
        self.disk.unreadable.store(false, Ordering::SeqCst);
        let (before, known) = (self.disk.length(), self.books.batches);
        self.start(false).await?;
        let cut = self.node().started().cut;
        self.counts.count("restarts", 1);
        self.line(format_args!("the node starts at {}, cut: {cut:?}", self.now()));
        rule(self.disk.length() >= known && self.disk.length() + usize::from(cut.is_some()) == before, "a start cuts off what was acknowledged")?;
        self.choose_slots();
        Ok(())
    }

    /// Nobody waits for it any more.
    fn give_up(&mut self, flow: Flow) {
        flow.handle.abort();
        match flow.of {
            Of::Wish(wish) => self.wishes[wish].open += 1,
            Of::Others => {}
        }
    }

    /// What has ended is looked at.
    async fn hear(&mut self) -> Result<(), String> {
        let mut at = 0;
        while at < self.flows.len() {
            if !self.flows[at].handle.is_finished() {
                at += 1;
                continue;
            }
            let flow = self.flows.remove(at);
            let outcome = flow.handle.await.map_err(|error| format!("a flow does not end well: {error}"))?;
            // What is said is on the disk.
            self.audit()?;
            let said = self.ended(outcome)?;
            self.line(format_args!("{}: {said}", flow.number));
        }
        Ok(())
    }

    fn ended(&mut self, outcome: Outcome) -> Result<String, String> {
        let short = |failure: &dyn std::fmt::Debug| format!("{failure:?}");
        Ok(match outcome {
            Outcome::Slot(answer) => answer.map_or_else(|failure| short(&failure), |record| format!("record {}", record.seq)),
            Outcome::Payment(answer) => answer.map_or_else(|failure| short(&failure), |record| format!("record {}", record.seq)),
            Outcome::Voucher(answer) => answer.map_or_else(|failure| short(&failure), |record| format!("record {}", record.seq)),
            Outcome::Begun(wish, begun) => {
                let wish = &mut self.wishes[wish];
                let written = |id: PaymentId| self.books.payments.get(&id).is_some_and(|due| due.key == (wish.envelope.who, wish.envelope.key));
                match &begun {
                    Ok(id) => {
                        rule(written(*id), "a payment is said to be begun that is not written down")?;
                        // A key is remembered for a day.
                        let opened_at = |id: PaymentId| self.books.payments[&id].records[0].at;
                        let is_forgotten = |before: PaymentId| opened_at(*id) >= opened_at(before).plus_seconds(REMEMBERED_S);
                        rule(wish.answered.is_none_or(|before| before == *id || is_forgotten(before)), "the same wish is two payments")?;
                        let holds: Vec<HoldId> = self.books.payments[id].opened.items.iter().map(|item| item.hold).collect();
                        rule(holds == wish.request.holds, "a payment is for something else than was asked")?;
                        wish.answered = Some(*id);
                    }
                    Err(Failure::Refused(_)) if wish.open == 0 && wish.answered.is_none() => {
                        let any = self.books.payments.values().any(|due| due.key == (wish.envelope.who, wish.envelope.key));
                        rule(!any, "a payment was refused and is written down")?;
                    }
                    Err(Failure::Refused(_)) => {}
                    Err(failure) => {
                        rule(is_passing(failure), "a payment cannot be begun for no reason").map_err(|wrong| format!("{wrong}: {failure:?}"))?;
                        wish.open += 1;
                    }
                }
                short(&begun)
            }
            Outcome::Received(money, said) => {
                let money = &mut self.moneys[money];
                let known =
                    self.books.payments.get(&money.payment).map_or(0, |due| due.came.iter().filter(|came| came.id == money.receipt.id).count());
                match &said {
                    Ok(()) => {
                        rule(known == 1, "a receipt is said to be taken that is not written down")?;
                        // Sent twice at once it may be answered twice with the one record that it became.
                        money.taken = true;
                    }
                    Err(Failure::Refused(payments::Refusal::Payment(payment::Refusal::ReceiptDuplicate))) => {
                        rule(known == 1, "a receipt is said to be known that is not")?;
                        self.counts.count("duplicate", 1);
                        money.taken = true;
                    }
                    Err(Failure::Refused(payments::Refusal::Payment(payment::Refusal::SourceNotAllowed))) => money.refused = true,
                    Err(Failure::Refused(why)) => return Err(format!("money is refused: {why:?}")),
                    Err(failure) => rule(is_passing(failure), "money is refused").map_err(|wrong| format!("{wrong}: {failure:?}"))?,
                }
                short(&said)
            }
            Outcome::Verified(id, said) => {
                if let Ok(Ok(payable)) = &said {
                    let due = self.books.payments.get(&id).ok_or("something can be paid that is not written down")?;
                    rule(payable.amount_cents == due.opened.amount_cents, "another sum can be paid than is due")?;
                    self.counts.count("verify", 1);
                }
                short(&said)
            }
            Outcome::Got(said) => {
                self.counts.count(if said.is_ok() { "get" } else { "get refused" }, 1);
                short(&said)
            }
            Outcome::Cancelled(said) => short(&said),
            Outcome::Resumed(left) => {
                self.left = Some(left);
                format!("{left} are left")
            }
            Outcome::Moved(done) => {
                self.counts.count("moved", u64::from(done));
                format!("moved: {done}")
            }
            Outcome::Till(said) => {
                if let Ok(till) = &said {
                    rule(self.books.drawers.contains_key(till), "a till is said to be opened that is not")?;
                }
                short(&said)
            }
            Outcome::Done => "done".into(),
        })
    }

    fn begin_flow(&mut self, of: Of, what: std::fmt::Arguments<'_>, flow: impl Future<Output = Outcome> + 'static) {
        self.flow += 1;
        let number = self.flow;
        self.line(format_args!("{number} at {}: {what}", self.now()));
        self.flows.push(Flow { number, handle: tokio::task::spawn_local(flow), of });
    }

    fn slot(&mut self, slot: SlotId, envelope: Envelope, command: Command) {
        let node = self.node();
        self.begin_flow(Of::Others, format_args!("slot {slot}: {command:?}"), {
            let command = command.clone();
            async move { Outcome::Slot(node.slot(slot, envelope, command).await) }
        });
    }

    fn payment(&mut self, id: PaymentId, command: payment::Command) {
        let (node, envelope) = (self.node(), self.envelope());
        self.begin_flow(Of::Others, format_args!("payment {id}: {command:?}"), {
            let command = command.clone();
            async move { Outcome::Payment(node.payment(id, envelope, command).await) }
        });
    }

    fn voucher(&mut self, id: VoucherId, envelope: Envelope, command: voucher::Command) {
        let node = self.node();
        self.begin_flow(Of::Others, format_args!("voucher {id}: {command:?}"), {
            let command = command.clone();
            async move { Outcome::Voucher(node.voucher(id, envelope, command).await) }
        });
    }

    fn resume(&mut self) {
        self.left = None;
        let node = self.node();
        self.begin_flow(Of::Others, format_args!("what is left is resumed"), async move {
            let left = payments::resume(&node).await + quotes::resume(&node).await + accounts::resume(&node).await;
            Outcome::Resumed(left)
        });
    }

    fn resume_moves(&mut self) {
        let node = self.node();
        self.begin_flow(Of::Others, format_args!("moves are resumed"), async move {
            moves::resume(&node).await;
            Outcome::Done
        });
    }

    fn wake(&mut self) {
        let node = self.node();
        self.begin_flow(Of::Others, format_args!("what is due is woken"), async move {
            node.wake_due().await;
            Outcome::Done
        });
    }

    // What happens.

    async fn act(&mut self) -> Result<(), String> {
        self.flow_comes();
        match self.dice.weighted(&ACTS) {
            Act::Hold => self.hold(),
            Act::Fill => self.fill(),
            Act::Begin => self.begin(),
            Act::BeginAgain => self.begin_again(),
            Act::Verify => self.verify(),
            Act::Get => self.get(),
            Act::Pay => self.pay(),
            Act::Desk => self.desk(),
            Act::Resend => self.resend(),
            Act::Cancel => self.cancel(),
            Act::CancelTickets => self.cancel_tickets(),
            Act::Move => self.move_tickets(),
            Act::TouchHold => self.touch_hold(),
            Act::Refund => self.refund(),
            Act::Dispute => self.dispute(),
            Act::Group => self.group(),
            Act::Till => self.till(),
            Act::Resume => self.resume(),
            Act::Drive => self.drive(),
            Act::Wake => self.wake(),
            Act::ResumeMoves => self.resume_moves(),
            Act::Pass => {
                let seconds = self.dice.weighted(&[(40, 60), (30, 600), (20, 2_000), (8, 5_000), (2, 26 * HOUR_S)]);
                let seconds = self.dice.within(0, seconds);
                self.life().clock.pass(seconds);
                self.line(format_args!("{seconds} s pass"));
                self.choose_slots();
            }
            Act::Tidy => {
                let node = self.node();
                self.begin_flow(Of::Others, format_args!("who is idle retires"), async move {
                    node.tidy().await;
                    Outcome::Done
                });
            }
            Act::GoOn => self.outside.go_on(),
            Act::GiveUp => {
                if !self.flows.is_empty() {
                    let index = self.dice.index(self.flows.len());
                    let flow = self.flows.remove(index);
                    self.line(format_args!("{}: nobody waits for it any more", flow.number));
                    self.counts.count("caller gone", 1);
                    self.give_up(flow);
                }
            }
            Act::Unreadable => {
                let unreadable = self.dice.chance(30);
                self.disk.unreadable.store(unreadable, Ordering::SeqCst);
            }
            Act::Crash => {
                self.line(format_args!("the node is killed"));
                self.crash().await?;
            }
        }
        let turns = if self.dice.chance(80) { TURNS } else { self.dice.below(TURNS) };
        self.others_go_on(turns).await;
        self.hear().await?;
        let steps = self.dice.weighted(&[(30, 0), (30, 3), (25, 10), (15, 40)]);
        for _ in 0..steps {
            if self.flows.is_empty() && self.is_idle() {
                break;
            }
            if self.dice.chance(20) {
                self.outside.go_on();
            }
            self.advance(true).await?;
        }
        if self.flows.len() > FLOWS || self.dice.chance(10) {
            self.settle(true).await?;
        }
        Ok(())
    }

    fn envelope(&mut self) -> Envelope {
        let mut digest = || Digest(u128::from(self.dice.next()) << 64 | u128::from(self.dice.next()));
        let (key, body) = (digest(), digest());
        Envelope { who: KeyId(1 + self.dice.below(2)), key, body, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.lines.push(line.to_string());
    }
}

/// What can happen next.
#[derive(Clone, Copy)]
enum Act {
    Hold,
    Fill,
    Begin,
    BeginAgain,
    Verify,
    Get,
    Pay,
    Desk,
    Resend,
    Cancel,
    CancelTickets,
    Move,
    TouchHold,
    Refund,
    Dispute,
    Group,
    Till,
    Resume,
    Drive,
    Wake,
    ResumeMoves,
    Pass,
    Tidy,
    GoOn,
    GiveUp,
    Unreadable,
    Crash,
}

const ACTS: [(u64, Act); 27] = [
    (22, Act::Hold),
    (4, Act::Fill),
    (24, Act::Begin),
    (4, Act::BeginAgain),
    (5, Act::Verify),
    (14, Act::Get),
    (18, Act::Pay),
    (3, Act::Desk),
    (6, Act::Resend),
    (4, Act::Cancel),
    (8, Act::CancelTickets),
    (9, Act::Move),
    (6, Act::TouchHold),
    (16, Act::Refund),
    (4, Act::Dispute),
    (30, Act::Group),
    (8, Act::Till),
    (4, Act::Resume),
    (3, Act::Drive),
    (4, Act::Wake),
    (2, Act::ResumeMoves),
    (9, Act::Pass),
    (2, Act::Tidy),
    (2, Act::GoOn),
    (5, Act::GiveUp),
    (2, Act::Unreadable),
    (1, Act::Crash),
];

/// A payment, the later the likelier, that is such a one.
fn recent(books: &Books, dice: &mut Dice, fits: impl Fn(&Due) -> bool) -> Option<PaymentId> {
    let mut known: Vec<(Timestamp, PaymentId)> =
        books.payments.iter().filter(|(_, due)| fits(due)).map(|(id, due)| (due.records[0].at, *id)).collect();
    known.sort_unstable();
    let recent = known.len().min(5);
    (recent > 0).then(|| known[known.len() - 1 - dice.index(recent)].1)
}

fn post(balances: &mut BTreeMap<Account, i64>, lines: Vec<ledger::Line>) -> Result<(), String> {
    rule(lines.iter().map(|line| line.amount_cents.get()).sum::<i64>() == 0, "a record posts something that does not balance")?;
    lines.iter().for_each(|line| *balances.entry(line.account).or_default() += line.amount_cents.get());
    Ok(())
}

/// Whether the same may be done later.
fn is_passing<R>(failure: &Failure<R>) -> bool {
    failure.is_retryable() || matches!(failure, Failure::OutOfOrder(why) if why.ends_with("stops again and again"))
}

fn desk_settlement() -> Settlement {
    Settlement::Desk { till: code("desk-1"), method: DeskMethod::Card, reference: "R-1".into() }
}

/// The hour in which an instant lies, or one so many hours later.
const fn hour_of(at: Timestamp, later: i64) -> Timestamp {
    Timestamp::from_seconds((at.as_seconds().div_euclid(HOUR_S) + later) * HOUR_S)
}

/// Lets the writer go on, and everybody else, until it has come so far.
async fn turns_until<T>(mut seen: impl FnMut() -> Option<T>) -> Result<T, String> {
    for _ in 0..STEPS_MAX {
        if let Some(seen) = seen() {
            return Ok(seen);
        }
        tokio::task::yield_now().await;
    }
    Err("the journal's writer hangs".into())
}
