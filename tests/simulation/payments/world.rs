//! One run: a node on the simulated disk and clock, flows that begin at any time and end or are given up at any step, and the books after every step.

mod groups;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
use tornello_engine::ids::{HoldId, KeyId, MuseumId, OrderId, PaymentId, PersonId, RouteId, SlotId, VoucherId};
use tornello_engine::ledger::{self, Account};
use tornello_engine::money::Cents;
use tornello_engine::museum::{self, Profile};
use tornello_engine::payment::{self, Extra, Gateway, PaidBackBy, Payment, Receipt, Reported, Source};
use tornello_engine::plan::{OpeningPlan, Route, Session};
use tornello_engine::slot::{CancelCause, Command, DeskMethod, Line, Policy, Refund, Settlement, Slot};
use tornello_engine::tariff::Proof;
use tornello_engine::text::Text;
use tornello_engine::time::Timestamp;
use tornello_engine::voucher::{self, Voucher};

use super::CREDITOR;
use super::books::{Books, Over, Went};
use super::outside::{Connection, Outside, Position};
use crate::callers::code;
use crate::dice::Dice;
use crate::disk::{Appending, Disk, Doing, Mount, Remains, Verdict};
use crate::naive::Fate;
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
const MUST: [&str; 54] = [
    "amended behind its back",
    "answers lost outside",
    "batches",
    "begun",
    "caller gone",
    "cancelled",
    "tickets cancelled",
    "expired and paid",
    "crash",
    "crash in an append",
    "desk",
    "disputed",
    "double payment",
    "duplicate",
    "excess",
    "expired",
    "extras",
    "extras back",
    "failed at the gateway",
    "faults",
    "free",
    "get",
    "get refused",
    "holds",
    "late receipt",
    "money that a quote does not want",
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
    "quotes over",
    "quotes paid by a payment",
    "quotes paid without",
    "quotes revised",
    "quotes with tickets",
    "receipt by a report",
    "repeated begin",
    "restarts",
    "returned",
    "sold anew",
    "sold on account",
    "stand-in",
    "too small",
    "two items",
    "unfulfilled",
    "verify",
    "voucher pays",
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
        // Every job of the writer is a turn of its own, so that nothing depends on how quick its thread is.
        let limits = Limits { queue: 1_024, batch: 1 };
        let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let running = Node::start_on(mount as Arc<dyn Journal>, Arc::clone(&clock) as _, limits).await.map_err(|error| error.to_string())?;
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks() - before;
        // Owners on this thread: nothing happens while it does something else.
        running.node().lend(actix_rt::Arbiter::current());
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
        let midnight = jiff::civil::time(0, 0, 0, 0);
        let last_entry = jiff::civil::time(23, 0, 0, 0);
        let session =
            Session { opens: midnight, closes: midnight, slot_minutes: 60, last_entry, capacity: self.capacity, quotas: Default::default() };
        let week = std::array::from_fn(|_| vec![session.clone()]);
        let route =
            Route { id: RouteId(1), code: code("main"), name: Text::new("Percorso", "Route"), week, exceptions: Vec::new(), policy: self.policy };
        let profile = Profile {
            slug: code(&format!("museum-{}", museum.0)),
            name: "Museo".into(),
            city: "Parma".into(),
            region: "Emilia-Romagna".into(),
            latitude_microdeg: 44_655_000,
            longitude_microdeg: 10_275_000,
            patron: None,
        };
        let valid_from = calendar::local_day(self.began);
        [
            museum::Command::Register { profile },
            museum::Command::SetPlan { valid_from, plan: OpeningPlan { routes: vec![route] } },
            museum::Command::SetGroupPolicy { valid_from, policy: Box::new(groups::policy()) },
        ]
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
            let mut line = format!("batch {} {verdict:?}:", standing.batch.number);
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
            spin(|| (life.running.node().health() == Health::Stopped).then_some(()))?;
            self.line(format_args!("the disk has failed"));
            return self.crash().await;
        }
        let doing = &mut life.doing;
        life.standing = Some(spin(|| if let Ok(Doing::Appending(appending)) = doing.try_recv() { Some(appending) } else { None })?);
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
                        rule(wish.answered.is_none_or(|before| before == *id), "the same wish is two payments")?;
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
        Envelope { who: KeyId(1 + self.dice.below(2)), key, body, parties: Vec::new(), assessment: None, order: None }
    }

    /// The slots that are sold now: soon, tomorrow, in some days.
    fn choose_slots(&mut self) {
        let now = self.now();
        self.slots = [2, 3, 27, 80].iter().map(|hours| SlotId::new(MUSEUM, RouteId(1), hour_of(now, *hours))).collect();
        let known = self.books.slots.keys().copied().filter(|slot| slot.start() > now);
        let mut known: Vec<SlotId> = known.collect();
        known.truncate(4);
        if known.len() >= 3 {
            self.slots = known;
        }
    }

    fn some_lines(&mut self) -> Vec<Line> {
        let line = |category: &str, count: &[u16], prices: &[i64], dice: &mut Dice| Line {
            category: code(category),
            count: dice.pick(count),
            price_cents: Cents::new(dice.pick(prices)),
            proof: Proof::None,
        };
        let mut lines = vec![line("full", &[1, 1, 2, 3], &[1_200, 1_200, 1_201, 1_201, 0], &mut self.dice)];
        if self.dice.chance(25) {
            lines.push(line("reduced", &[1], &[0, 333], &mut self.dice));
        }
        lines
    }

    fn hold(&mut self) {
        let (slot, lines, envelope) = (self.dice.pick(&self.slots), self.some_lines(), self.envelope());
        let hold = HoldId::new(slot, self.dice.next());
        self.slot(slot, envelope, Command::Hold { hold, channel: Channel::Web, lines });
    }

    /// Others buy at the desk, so that late money finds nothing.
    fn fill(&mut self) {
        let (slot, envelope) = (self.dice.pick(&self.slots), self.envelope());
        let lines = vec![Line { category: code("full"), count: 1 + self.dice.below(5) as u16, price_cents: Cents::new(1_200), proof: Proof::None }];
        let settlement = desk_settlement();
        let sale = HoldId::new(slot, self.dice.next());
        self.slot(slot, envelope, Command::SellDirect { sale, channel: Channel::BoxOffice, lines, settlement, contact: None });
    }

    /// Holds that live, newest last.
    /// What buyers hold, and for whom.
    fn live(&self) -> Vec<(HoldId, KeyId)> {
        let mut all = self.all_live();
        all.retain(|(_, who)| *who != KeyId::SYSTEM);
        all
    }

    /// With what the system holds for quotes.
    fn all_live(&self) -> Vec<(HoldId, KeyId)> {
        let live = |naive: &crate::naive::Naive| naive.live().map(|(id, hold)| (*id, hold.who)).collect::<Vec<_>>();
        self.slots.iter().filter_map(|slot| self.books.slots.get(slot)).flat_map(live).collect()
    }

    fn begin(&mut self) {
        let mut holds: Vec<(HoldId, KeyId)> = self.live();
        self.dice.shuffle(&mut holds);
        let Some(&(_, who)) = holds.first() else { return self.hold() };
        let count = self.dice.weighted(&[(6, 1), (3, 2), (1, 3)]);
        let mut holds: Vec<HoldId> = holds.iter().filter(|(_, of)| *of == who).map(|(hold, _)| *hold).take(count).collect();
        let due = holds.iter().any(|hold| {
            let held = self.books.slots.get(&hold.slot()).and_then(|naive| naive.holds.get(hold));
            held.is_some_and(|held| held.lines.iter().any(|line| line.price_cents > Cents::ZERO))
        });
        let extra = |count, cents| Extra { code: code("booking"), count, price_cents: Cents::new(cents) };
        let extras = if self.dice.chance(20) { vec![extra(1 + self.dice.below(2) as u16, 150)] } else { Vec::new() };
        if !extras.is_empty() && self.dice.chance(10) {
            holds.clear();
        }
        let voucher = VoucherId(self.dice.pick(&VOUCHERS));
        let gateway = match (due && !holds.is_empty()) || !extras.is_empty() {
            true => self.dice.weighted(&[(8, Gateway::Notice), (4, Gateway::Checkout), (2, Gateway::Desk), (3, Gateway::Voucher { voucher })]),
            false => Gateway::Free,
        };
        let due_at = self.now().plus_seconds(self.dice.pick(&[600, 1_800, 3_600, 90_000]));
        let envelope = Envelope { who, ..self.envelope() };
        let request = Request {
            creditor: CREDITOR,
            order: self.dice.chance(40).then(|| OrderId(u128::from(who.0) * 10 + u128::from(self.dice.below(2)))),
            quote: None,
            holds,
            owner: Some(if self.dice.chance(96) { who } else { KeyId(7) }),
            channel: Channel::Web,
            extras,
            payer: self.dice.chance(50).then_some(PersonId(4)),
            museum: MUSEUM,
            subject: "Biglietti".to_owned(),
            gateway,
            due_at,
        };
        self.wishes.push(Wish { envelope, request, open: 0, answered: None });
        self.wish(self.wishes.len() - 1);
    }

    fn begin_again(&mut self) {
        if !self.wishes.is_empty() {
            let back = self.dice.index(self.wishes.len().min(6));
            self.counts.count("repeated begin", 1);
            self.wish(self.wishes.len() - 1 - back);
        }
    }

    fn wish(&mut self, index: usize) {
        let is_asked = self.flows.iter().any(|flow| matches!(flow.of, Of::Wish(of) if of == index));
        self.wishes[index].open += u32::from(is_asked);
        let (node, wish) = (self.node(), &self.wishes[index]);
        let (envelope, request) = (wish.envelope.clone(), wish.request.clone());
        self.begin_flow(Of::Wish(index), format_args!("begin {request:?}"), {
            let request = request.clone();
            async move { Outcome::Begun(index, payments::begin(&node, envelope, request).await) }
        });
    }

    /// A payment, the later the likelier, that is such a one.
    fn some_payment(&mut self, fits: impl Fn(&super::books::Due) -> bool) -> Option<PaymentId> {
        let mut known: Vec<(Timestamp, PaymentId)> =
            self.books.payments.iter().filter(|(_, due)| fits(due)).map(|(id, due)| (due.records[0].at, *id)).collect();
        known.sort_unstable();
        let recent = known.len().min(5);
        (recent > 0).then(|| known[known.len() - 1 - self.dice.index(recent)].1)
    }

    fn verify(&mut self) {
        let Some(id) = self.some_payment(|_| true) else { return };
        let (node, now) = (self.node(), self.now());
        self.begin_flow(Of::Others, format_args!("verify {id}"), async move {
            Outcome::Verified(id, node.look_payment(id, move |payment| payment.payable(now)).await)
        });
    }

    fn get(&mut self) {
        let any = self.dice.chance(20);
        let Some(id) = self.some_payment(|due| any || (due.is_open() && due.published)) else { return };
        let (node, until) = (self.node(), self.now().plus_seconds(self.dice.pick(&[600, 1_800, 1_800, 10_000])));
        self.books.tokens.entry(id).or_default().insert(until);
        self.begin_flow(Of::Others, format_args!("get {id} until {until}"), async move {
            let verified = node
                .look_payment(id, {
                    let now = node.now();
                    move |payment| payment.payable(now).map(drop)
                })
                .await;
            match verified {
                Ok(Ok(())) => Outcome::Got(payments::activate(&node, id, until).await),
                Ok(Err(why)) => Outcome::Got(Err(Failure::Refused(payments::Refusal::Payment(why)))),
                Err(failure) => Outcome::Got(Err(failure.map(payments::Refusal::Payment))),
            }
        });
    }

    /// Somebody pays: mostly what is due once, in time or late; now and then twice, too much, too little, while the station is away, or told by a report.
    fn pay(&mut self) {
        let sensible = self.dice.chance(75);
        let Some(id) = self.some_payment(|due| due.opened.gateway.is_position() && (!sensible || !due.is_paid())) else { return };
        let due = &self.books.payments[&id];
        let (cents, over) = (due.opened.amount_cents.get(), due.over.is_some());
        let cents = self.dice.weighted(&[(86, cents), (5, cents + 77), (5, (cents - 100).max(1)), (2, 1)]);
        self.counts.count("late receipt", u64::from(over));
        let source = if self.dice.chance(92) { Source::Node } else { Source::Report };
        let stand_in = self.dice.chance(8);
        let id_of = format!("t{:032x}", self.dice.next());
        let mut receipt = self.receipt(id_of, source, cents);
        receipt.stand_in = stand_in;
        self.moneys.push(Money { payment: id, receipt, taken: false, refused: false });
        self.send(self.moneys.len() - 1);
        if self.dice.chance(15) {
            // The node sends it again before it hears anything.
            self.send(self.moneys.len() - 1);
        }
    }

    fn desk(&mut self) {
        let Some(id) = self.some_payment(|due| due.opened.gateway != Gateway::Free && !due.is_paid()) else { return };
        let cents = self.books.payments[&id].opened.amount_cents.get();
        let reference = format!("R-{}", self.dice.below(1_000));
        let source = Source::Desk { till: code("desk-1"), method: DeskMethod::Cash, reference };
        let id_of = format!("d{:032x}", self.dice.next());
        let receipt = self.receipt(id_of, source, cents);
        self.moneys.push(Money { payment: id, receipt, taken: false, refused: false });
        self.send(self.moneys.len() - 1);
    }

    fn receipt(&self, id: String, source: Source, cents: i64) -> Receipt {
        let text = String::new;
        let (amount_cents, paid_at) = (Cents::new(cents), self.now());
        Receipt { id, source, amount_cents, paid_at, psp: text(), channel: text(), method: text(), stand_in: false, fee_cents: None }
    }

    fn resend(&mut self) {
        if !self.moneys.is_empty() {
            let back = self.dice.index(self.moneys.len().min(6));
            self.send(self.moneys.len() - 1 - back);
        }
    }

    fn send(&mut self, index: usize) {
        let (node, money) = (self.node(), &self.moneys[index]);
        let (id, receipt) = (money.payment, money.receipt.clone());
        self.begin_flow(Of::Others, format_args!("receipt for {id}: {receipt:?}"), {
            let receipt = receipt.clone();
            async move { Outcome::Received(index, payments::receive(&node, id, receipt).await) }
        });
    }

    fn cancel(&mut self) {
        let any = self.dice.chance(20);
        let Some(id) = self.some_payment(|due| any || due.is_open()) else { return };
        let (node, envelope, owner) = (self.node(), self.envelope(), self.books.payments[&id].opened.who);
        let owner = self.dice.chance(60).then_some(owner);
        self.begin_flow(Of::Others, format_args!("payment {id} is cancelled"), async move {
            Outcome::Cancelled(payments::cancel(&node, id, envelope, owner, code("buyer")).await)
        });
    }

    fn some_sale(&mut self) -> Option<HoldId> {
        let sales = self.books.of_payments();
        if sales.is_empty() || self.dice.chance(10) {
            let all: Vec<HoldId> = self.books.slots.values().flat_map(|naive| naive.sales.keys().copied()).collect();
            return (!all.is_empty()).then(|| self.dice.pick(&all));
        }
        Some(self.dice.pick(&sales))
    }

    fn cancel_tickets(&mut self) {
        let Some(sale) = self.some_sale() else { return };
        let cause = if self.dice.chance(60) { CancelCause::Museum } else { CancelCause::Visitor };
        let tickets = if self.dice.chance(50) { Vec::new() } else { vec![self.dice.below(2) as u16] };
        let envelope = self.envelope();
        self.slot(sale.slot(), envelope, Command::Cancel { sale, owner: None, tickets, cause });
    }

    fn move_tickets(&mut self) {
        let Some(sale) = self.some_sale() else { return };
        let to = self.dice.pick(&self.slots);
        let arrival = HoldId::new(to, self.dice.next());
        let prices = [("full", 1_200), ("full", 1_201), ("full", 0)];
        let full = self.dice.pick(&prices);
        let prices = vec![(code(full.0), Cents::new(full.1)), (code("reduced"), Cents::new(self.dice.pick(&[0, 333])))];
        let tickets = if self.dice.chance(50) { Vec::new() } else { vec![0] };
        let command = Command::BeginMove { sale, owner: None, tickets, arrival, via: Channel::BoxOffice, prices };
        let (node, envelope) = (self.node(), self.envelope());
        self.begin_flow(Of::Others, format_args!("move {command:?}"), {
            let command = command.clone();
            async move { Outcome::Moved(moves::move_tickets(&node, sale.slot(), envelope, command).await.is_ok()) }
        });
    }

    /// Behind a payment's back: a hold is given back, prolonged or changed.
    fn touch_hold(&mut self) {
        let holds = self.all_live();
        if holds.is_empty() {
            return;
        }
        let (hold, who) = self.dice.pick(&holds);
        // Nobody is the system but the flows of quotes.
        let who = if who == KeyId::SYSTEM { KeyId(1) } else { who };
        let envelope = Envelope { who, ..self.envelope() };
        let command = match self.dice.below(4) {
            0 => Command::Extend { hold, owner: Some(who) },
            1 => Command::Amend { hold, lines: self.some_lines(), owner: Some(who) },
            owner => {
                let (node, owner) = (self.node(), (owner == 2).then_some(who));
                self.begin_flow(Of::Others, format_args!("give {hold} back, {owner:?}"), async move {
                    Outcome::Slot(payments::release(&node, hold, envelope, owner).await)
                });
                return;
            }
        };
        self.slot(hold.slot(), envelope, command);
    }

    fn refund(&mut self) {
        let Some(id) = self.some_payment(|due| !due.back.is_empty()) else { return };
        let due = &self.books.payments[&id];
        let refund = self.dice.below(due.back.len() as u64) as u32;
        let went = due.back[refund as usize].went;
        let executed_on = calendar::local_day(self.now());
        let by_till = PaidBackBy::Till { till: code("desk-1"), method: DeskMethod::Cash };
        let by = if went == Went::Sent || self.dice.chance(60) { PaidBackBy::Transfer } else { by_till };
        let batch = code(&format!("batch-{}", self.dice.below(100)));
        let command = match self.dice.below(if went == Went::Open { 10 } else { 14 }) {
            0..2 => payment::Command::SetPayee { refund, person: PersonId(5) },
            2..6 => payment::Command::ExportRefund { refund, batch },
            6..10 => payment::Command::ConfirmRefund { refund, by, reference: "CRO-1".to_owned(), executed_on },
            _ => payment::Command::ReturnRefund { refund, why: code("account-closed") },
        };
        self.payment(id, command);
    }

    fn dispute(&mut self) {
        let Some(id) = self.some_payment(|due| !due.came.is_empty()) else { return };
        let due = &self.books.payments[&id];
        let reported =
            Reported { flow: "2026-06-11PSP-1".to_owned(), iur: due.came[0].id.clone(), index: 1, amount_cents: due.came[0].amount_cents, code: 0 };
        let command = match self.dice.below(4) {
            0 => payment::Command::ResolveDispute { upheld: true },
            1..3 => payment::Command::Dispute { reason: code("fraud"), reference: "C-1".to_owned() },
            _ => payment::Command::Report { reported },
        };
        self.payment(id, command);
    }

    fn drive(&mut self) {
        let Some(id) = self.some_payment(|_| true) else { return };
        let node = self.node();
        self.begin_flow(Of::Others, format_args!("payment {id} is driven"), async move {
            let _ = payments::drive(&node, id).await;
            Outcome::Done
        });
    }

    // Rest.

    /// Whether the node does nothing by itself and nothing is on its way to the journal.
    fn is_idle(&self) -> bool {
        tokio::runtime::Handle::current().metrics().num_alive_tasks() <= self.life().tasks && self.stands_plug() && !self.life().plugged
    }

    /// Everything that was begun ends.
    async fn settle(&mut self, faults: bool) -> Result<(), String> {
        self.disk.unreadable.store(false, Ordering::SeqCst);
        let mut idle = 0;
        for _ in 0..STEPS_MAX {
            self.outside.go_on();
            self.others_go_on(TURNS).await;
            self.hear().await?;
            idle = if self.flows.is_empty() && self.is_idle() { idle + 1 } else { 0 };
            if idle > 1 {
                return Ok(());
            }
            self.advance(faults).await?;
        }
        Err(format!("the node hangs; {} flows are under way", self.flows.len()))
    }

    /// Nothing fails any more; payers' receipts arrive, flows are resumed until nobody has anything to do; then everything must add up.
    async fn come_to_rest(&mut self) -> Result<(), String> {
        self.settle(true).await?;
        self.outside.troubled.store(false, Ordering::SeqCst);
        self.settle(false).await?;
        for try_number in 0..12 {
            let unsent: Vec<usize> = (0..self.moneys.len()).filter(|&index| !self.moneys[index].taken && !self.moneys[index].refused).collect();
            for index in &unsent {
                self.send(*index);
                self.settle(false).await?;
            }
            self.wake();
            self.settle(false).await?;
            self.resume_moves();
            self.settle(false).await?;
            self.resume();
            self.settle(false).await?;
            let node = self.node();
            let owing = node.board().owing().len() + node.board().moving().len() + node.payments().working().len();
            let owing = owing + node.quotes().working().len() + node.accounts().awaiting().len();
            if unsent.is_empty() && self.left == Some(0) && owing == 0 {
                self.counts.count("quiet", 1);
                return self.adds_up().await;
            }
            if try_number > 2 {
                // Who has stopped again and again is rebuilt a minute later.
                self.life().clock.pass(61);
            }
        }
        Err(format!("the node does not come to rest: {:?} are left, working: {:?}", self.left, self.node().payments().working()))
    }

    async fn adds_up(&mut self) -> Result<(), String> {
        self.audit()?;
        self.books.at_rest()?;
        let node = self.node();
        let mut balances: BTreeMap<Account, i64> = BTreeMap::new();
        let ids: Vec<PaymentId> = self.books.payments.keys().copied().collect();
        for id in ids {
            let look = move |payment: &Payment| (postcard::to_allocvec(payment).unwrap_or_default(), payment.recount(), *payment.money());
            let (bytes, sound, money) = self.look(async { node.look_payment(id, look).await.map_err(|failure| failure.to_string()) }).await?;
            let due = &self.books.payments[&id];
            let replayed = Payment::replay(id, &due.records);
            let of = |wrong: &str| format!("{wrong}: payment {id}");
            rule(postcard::to_allocvec(&replayed).ok().as_ref() == Some(&bytes), "the live state is not the replayed one (PY-6)")
                .map_err(|wrong| of(&wrong))?;
            rule(sound.is_ok(), "a recount differs").map_err(|wrong| format!("{wrong}: {sound:?}"))?;
            let sums = due.sums()?;
            let [came, waits, tickets, extras, owed, gone] =
                [money.received, money.unallotted, money.tickets, money.extras, money.owed, money.paid_back].map(Cents::get);
            rule(
                (sums.came, sums.waits, sums.tickets, sums.extras, sums.owed, sums.gone) == (came, waits, tickets, extras, owed, gone),
                "the payment says that its money is elsewhere",
            )
            .map_err(|wrong| of(&wrong))?;
            for record in &due.records {
                post(&mut balances, ledger::of_payment(&replayed, record))?;
            }
            let (head, position) = (node.payments().head(id), self.outside.position(id));
            let tasks = due.tasks().count() as u32;
            rule(head.is_none_or(|head| !head.has_work && head.owed == tasks), "the list of payments says something else than there is")
                .map_err(|wrong| of(&wrong))?;
            rule(head.is_some() || (tasks == 0 && !due.is_open()), "a payment that is not finished is not listed").map_err(|wrong| of(&wrong))?;
            if due.opened.gateway.is_position() {
                rule(!due.is_open() || !due.published || position == Some(Position::Payable), "what can be paid is not known at the gateway")
                    .map_err(|wrong| of(&wrong))?;
                let refused = due.closed.as_ref().is_some_and(|closed| closed.refused.is_some());
                rule(!due.is_withdrawn() || refused || position != Some(Position::Payable), "what is over can still be paid at the gateway")
                    .map_err(|wrong| of(&wrong))?;
                rule(!due.is_withdrawn() || due.closed.is_some(), "nobody told the gateway of the end").map_err(|wrong| of(&wrong))?;
            }
        }
        let slots: Vec<SlotId> = self.books.slots.keys().copied().collect();
        for id in slots {
            let look = move |slot: &Slot| (postcard::to_allocvec(slot).unwrap_or_default(), slot.recount());
            let (bytes, sound) = self.look(async { node.look(id, look).await.map_err(|failure| failure.to_string()) }).await?;
            let naive = &self.books.slots[&id];
            let replayed = Slot::replay(&naive.records).ok_or("a slot is never opened")?;
            rule(postcard::to_allocvec(&replayed).ok().as_ref() == Some(&bytes), "the live state is not the replayed one (SL-4)")?;
            rule(sound.is_ok(), "a recount differs").map_err(|wrong| format!("{wrong}: {sound:?}"))?;
            for record in &naive.records {
                post(&mut balances, ledger::of_slot(id, record))?;
            }
            let taken = Channel::ALL.iter().map(|channel| naive.held_by(*channel) + naive.sold_by(*channel)).sum::<u32>();
            rule(taken <= self.capacity, "more is sold than there are places (SL-1)")?;
        }
        for (id, records) in &self.books.accounts {
            let replayed = account::Account::replay(*id, records);
            rule(replayed.recount().is_ok() && replayed.awaited().next().is_none(), "an account does not add up (AC-1, AC-2)")?;
            for record in records {
                post(&mut balances, ledger::of_account(&replayed, record))?;
            }
        }
        let vouchers: Vec<VoucherId> = self.books.vouchers.keys().copied().collect();
        for id in vouchers {
            let look = |voucher: &Voucher| (postcard::to_allocvec(voucher).unwrap_or_default(), voucher.balance().get());
            let (bytes, balance) = self.look(async { node.look_voucher(id, look).await.map_err(|failure| failure.to_string()) }).await?;
            let purse = &self.books.vouchers[&id];
            let replayed = Voucher::replay(id, &purse.records);
            rule(postcard::to_allocvec(&replayed).ok().as_ref() == Some(&bytes), "the live state is not the replayed one (VO-3)")?;
            rule(balance == purse.left, "a voucher is worth something else than was left on it")?;
        }
        self.accounts_add_up(&balances)?;
        // Everybody who has paid is in the books, once.
        for money in self.moneys.iter().filter(|money| !money.refused) {
            let known = self.books.payments.get(&money.payment).map_or(0, |due| due.came.iter().filter(|came| **came == money.receipt).count());
            rule(known == 1, "money that somebody paid is not in the books just once").map_err(|wrong| format!("{wrong}: {:?}", money.receipt))?;
        }
        Ok(())
    }

    /// The accounts of the double entry come to what the books say.
    fn accounts_add_up(&self, balances: &BTreeMap<Account, i64>) -> Result<(), String> {
        let of = |account: Account| balances.get(&account).copied().unwrap_or(0);
        rule(balances.values().sum::<i64>() == 0, "the double entry does not balance")?;
        let mut sums = super::books::Sums::default();
        let mut treasury = 0;
        for due in self.books.payments.values() {
            let page = due.sums()?;
            sums.extras += page.extras;
            sums.waits += page.waits;
            sums.owed += page.owed;
            treasury +=
                due.came.iter().filter(|came| matches!(came.source, Source::Node | Source::Report)).map(|came| came.amount_cents.get()).sum::<i64>();
            treasury -= due.back.iter().filter(|back| back.went == Went::Gone(PaidBackBy::Transfer)).map(|back| back.cents).sum::<i64>();
        }
        rule(of(Account::Treasury) == treasury, "the treasury is not what came less what went back")?;
        rule(of(Account::Unallotted) == -sums.waits, "something is not allotted")?;
        let of_quotes = |event: &account::Event| match event {
            account::Event::Charged(charged) => charged.extras_cents.get(),
            account::Event::TakenBack(taken) => -taken.extras_cents.get(),
            _ => 0,
        };
        let charged: i64 = self.books.accounts.values().flatten().flat_map(|record| &record.events).map(of_quotes).sum();
        rule(of(Account::Extras { museum: MUSEUM }) == -(sums.extras + charged), "extras took something else")?;
        rule(of(Account::Transit) == 0, "money is on its way for ever").map_err(|wrong| format!("{wrong}: {balances:?}"))?;
        rule(of(Account::Refunds) == -sums.owed, "something else is owed")?;
        let tickets: i64 = self.books.slots.values().map(|naive| naive.money()).map(|(paid, refunded)| paid - refunded).sum();
        rule(of(Account::Tickets { museum: MUSEUM }) == -tickets, "tickets took something else")
            .map_err(|wrong| format!("{wrong}: {balances:?}, {tickets}"))
    }

    /// A look at something, with nothing else under way.
    async fn look<T: 'static>(&mut self, look: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        let mut look = std::pin::pin!(look);
        for _ in 0..STEPS_MAX {
            for _ in 0..TURNS {
                if let Some(seen) = (&mut look).now_or_never() {
                    return seen;
                }
                tokio::task::yield_now().await;
            }
            self.advance(false).await?;
        }
        Err("a look hangs".into())
    }

    /// The end: the node is left to itself while time passes, and does everything that is left; the next one finds the same.
    async fn end(&mut self) -> Result<(), String> {
        self.act().await?;
        self.settle(true).await?;
        self.outside.troubled.store(false, Ordering::SeqCst);
        self.settle(false).await?;
        self.life().clock.let_wake();
        for _ in 0..400 {
            self.life().clock.pass(1);
            self.others_go_on(TURNS).await;
            self.advance(false).await?;
            let node = self.node();
            let groups = node.quotes().working().is_empty() && node.accounts().awaiting().is_empty();
            if groups && node.payments().working().is_empty() && node.board().owing().is_empty() && node.board().moving().is_empty() {
                break;
            }
        }
        let working = self.node().payments().working();
        rule(working.is_empty(), "the node does not finish what is left by itself").map_err(|wrong| format!("{wrong}: {working:?}"))?;
        let working = self.node().quotes().working();
        rule(working.is_empty(), "the node does not finish a quote by itself").map_err(|wrong| format!("{wrong}: {working:?}"))?;
        self.come_to_rest().await?;
        // Whatever can expire has expired.
        self.life().clock.pass(30 * HOUR_S);
        self.come_to_rest().await?;
        let open = self.books.payments.values().filter(|due| due.is_open()).count();
        rule(open == 0, "a payment is open though its time is over")?;
        self.line(format_args!("the node is killed at the end"));
        self.crash().await?;
        self.settle(false).await?;
        self.come_to_rest().await?;
        let Some(life) = self.life.take() else { return Ok(()) };
        self.disk.crash(None);
        life.alive.store(false, Ordering::SeqCst);
        let Life { running, doing, standing, .. } = life;
        drop((standing, doing));
        running.stop().await;
        Ok(())
    }

    /// Counts what has happened, as the journal says.
    fn count_events(&mut self) {
        use tornello_engine::payment::{Event, RefundReason};
        let counts = &mut self.counts;
        let mut orders = BTreeSet::new();
        for due in self.books.payments.values() {
            counts.count("begun", 1);
            counts.count("two items", u64::from(due.opened.items.len() > 1));
            counts.count("extras", u64::from(!due.opened.extras.is_empty()));
            counts.count("free", u64::from(due.opened.gateway == Gateway::Free));
            counts.count("of an order", u64::from(due.opened.order.is_some_and(|order| orders.insert(order))));
            counts.count("expired and paid", u64::from(due.over == Some(Over::Expired) && due.is_paid()));
            let mut over = false;
            for event in due.records.iter().flat_map(|record| &record.events) {
                match event {
                    Event::PublishFailed(_) => counts.count("failed at the gateway", 1),
                    Event::Received(received) => {
                        counts.count("paid", u64::from(received.pays));
                        counts.count("paid after the end", u64::from(received.pays && over));
                        counts.count("stand-in", u64::from(received.receipt.stand_in));
                        counts.count("receipt by a report", u64::from(received.receipt.source == Source::Report));
                        counts.count("desk", u64::from(matches!(received.receipt.source, Source::Desk { .. })));
                        counts.count("voucher pays", u64::from(matches!(received.receipt.source, Source::Voucher { .. })));
                    }
                    Event::Fulfilled(fulfilled) => {
                        counts.count("sold anew", u64::from(due.opened.items[usize::from(fulfilled.item)].hold != fulfilled.sale));
                    }
                    Event::Unfulfilled(_) => counts.count("unfulfilled", 1),
                    Event::RefundOpened(opened) => match opened.why {
                        RefundReason::AmountTooSmall => counts.count("too small", 1),
                        RefundReason::Excess => counts.count("excess", 1),
                        RefundReason::DoublePayment => counts.count("double payment", 1),
                        RefundReason::Extras => counts.count("extras back", 1),
                        RefundReason::Cancelled { .. } => {
                            counts.count("tickets cancelled", 1);
                        }
                        RefundReason::Unfulfilled { .. } => {}
                    },
                    Event::RefundConfirmed(_) if due.came.iter().any(|came| matches!(came.source, Source::Sale { .. })) => {
                        counts.count("paid back of a desk", 1);
                    }
                    Event::RefundConfirmed(confirmed) => match confirmed.by {
                        PaidBackBy::Transfer => counts.count("paid back by transfer", 1),
                        PaidBackBy::Till { .. } => counts.count("paid back by till", 1),
                        PaidBackBy::Voucher { .. } => counts.count("paid back to a voucher", 1),
                    },
                    Event::RefundReturned(_) => counts.count("returned", 1),
                    Event::PayeeSet(_) => counts.count("payee", 1),
                    Event::Cancelled(_) => {
                        over = true;
                        counts.count("cancelled", 1);
                    }
                    Event::Expired(_) => {
                        over = true;
                        counts.count("expired", 1);
                    }
                    Event::Disputed(_) => counts.count("disputed", 1),
                    _ => {}
                }
            }
        }
        for naive in self.books.slots.values() {
            counts.count("holds", naive.holds.len() as u64);
            counts.count("hold released", naive.holds.values().filter(|hold| hold.fate == Fate::Released).count() as u64);
            let amended =
                naive.records.iter().flat_map(|record| &record.events).filter(|event| matches!(event, tornello_engine::slot::Event::Amended(_)));
            counts.count("amended behind its back", amended.count() as u64);
        }
        counts.count("answers lost outside", self.outside.counts().1);
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

const ACTS: [(u64, Act); 26] = [
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
    (2, Act::Dispute),
    (30, Act::Group),
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

/// Waits for the writer's thread, while nothing happens on this one.
fn spin<T>(mut seen: impl FnMut() -> Option<T>) -> Result<T, String> {
    for _ in 0..20_000_000_u64 {
        if let Some(seen) = seen() {
            return Ok(seen);
        }
        std::thread::yield_now();
    }
    Err("the journal's writer hangs".into())
}
