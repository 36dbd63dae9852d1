//! One run: a node on the simulated disk and clock, flows that begin at any time and end or are given up at any step, and the books after every step.

mod acts;
mod counts;
mod flows;
mod groups;
mod life;
mod rest;
mod tills;
mod under_way;

pub use counts::Counts;
use under_way::{Flow, Of, Outcome};

use std::collections::{BTreeMap, BTreeSet};
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

/// Runs a seed; what went wrong comes with the history so far.
pub async fn run(seed: u64) -> Result<History, (String, Vec<String>)> {
    let mut world = World::new(seed).await;
    match world.run().await {
        Ok(()) => Ok(History { lines: world.lines, counts: world.counts }),
        Err(wrong) => Err((wrong, world.lines)),
    }
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

fn desk_settlement() -> Settlement {
    Settlement::Desk { till: code("desk-1"), method: DeskMethod::Card, reference: "R-1".into() }
}

/// The hour in which an instant lies, or one so many hours later.
const fn hour_of(at: Timestamp, later: i64) -> Timestamp {
    Timestamp::from_seconds((at.as_seconds().div_euclid(HOUR_S) + later) * HOUR_S)
}
