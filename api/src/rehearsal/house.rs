//! Gives the intents of the world to a real node as commands. Nobody decides here: whether there are places, whether a hold lives, whether a ticket lets in, is what the
//! node says. The bank is the world's own: whether a card works is known to the world alone.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tornello_actors::clock::ManualClock;
use tornello_actors::digest::digest;
use tornello_actors::failure::Failure;
use tornello_actors::fraud::SignalKind;
use tornello_actors::fraud::{Said, SignalEvent, signal_of, signal_of_count};
use tornello_actors::node::{Node, Passage};
use tornello_actors::payments::{self, Cart, Gateway, GatewayError};
use tornello_actors::tills;
use tornello_datasets::fraud_world::{self as world, Action, Happened, Intent, Method, Parties, PartyKind, VENUES};
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{self, Envelope, Outcome, Party};
use tornello_engine::ids::{Code, HoldId, KeyId, MuseumId, PaymentId, SlotId, TillId};
use tornello_engine::money::Cents;
use tornello_engine::payment::{Opened, Receipt, Source, Stage};
use tornello_engine::slot::{CancelCause, Command, DeskMethod, Direction, Line, Refusal, Scan, Settlement};
use tornello_engine::tariff::Tariff;
use tornello_engine::till;
use tornello_engine::time::Timestamp;
use tornello_training::fraud_world::{Live, Verdict};

use super::ROUTE;
use super::queue::{Cause, Queue};

/// The creditor of all payments.
const CREDITOR: u16 = 1;
/// How long a payment may take at most, in seconds.
const PAYS_WITHIN_S: i64 = 600;
/// The cash in a drawer in the morning.
const FLOAT: Cents = Cents::new(20_000);
/// All holds have ended so long after the last was taken, in seconds.
const HOLDS_END_S: i64 = 3_600;
/// How often something is woken that is still due.
const WAKES_MAX: u32 = 1_000;
/// The key of the web shop; those of other channels are made of who acts.
const WEB_KEY: KeyId = KeyId(1);

/// The bank of the world: every position may be paid there.
pub(super) struct Bank;

impl Gateway for Bank {
    fn publish<'a>(&'a self, _: PaymentId, _: &'a Opened) -> BoxFuture<'a, Result<(), GatewayError>> {
        async { Ok(()) }.boxed()
    }

    fn withdraw(&self, _: PaymentId) -> BoxFuture<'_, Result<(), GatewayError>> {
        async { Ok(()) }.boxed()
    }

    fn paid_elsewhere<'a>(&'a self, _: PaymentId, _: &'a Receipt) -> BoxFuture<'a, Result<(), GatewayError>> {
        async { Ok(()) }.boxed()
    }

    fn checkout<'a>(&'a self, _: &'a Cart) -> BoxFuture<'a, Result<String, GatewayError>> {
        async { Ok(String::new()) }.boxed()
    }
}

/// How many intents came to what, by action.
pub type Tally = BTreeMap<(&'static str, &'static str), u64>;

/// The node, and what the world's numbers stand for in it.
pub struct House<'a> {
    node: &'a Arc<Node>,
    clock: &'a ManualClock,
    tariffs: Vec<Tariff>,
    names: Names,
    /// Holds and sales, by the intent that began them.
    holds: HashMap<u64, Held>,
    tills: HashMap<u64, (TillId, Code, MuseumId)>,
    tally: Tally,
    live: Live,
    /// The intents because of which analysts may have something to read, and by what they would know it.
    causes: Vec<(u64, Cause)>,
    /// The intents that a proof is made for, in their order, by who asked: each is given again under another number.
    proving: HashMap<Parties, VecDeque<u64>>,
}

/// What an intent has held or bought.
struct Held {
    hold: HoldId,
    channel: Channel,
    lines: Vec<Line>,
    parties: Parties,
}

/// An intent as it is given, and what keeps it from being given.
struct Assessed {
    is_blocked: bool,
    /// Whether a proof is due first, also where it is looked at besides.
    proof_due: bool,
    envelope: Envelope,
}

impl Assessed {
    /// Nothing keeps it.
    const fn passing(envelope: Envelope) -> Self {
        Self { is_blocked: false, proof_due: false, envelope }
    }
}

struct Names {
    full: Code,
    reduced: Code,
    free: Code,
    pupil: Code,
    account: Code,
    totem: Code,
    withdrawn: Code,
}

impl<'a> House<'a> {
    /// A node with the museums of the world.
    pub(super) fn new(node: &'a Arc<Node>, clock: &'a ManualClock, live: Live) -> Result<Self, String> {
        let code = |text: &str| text.parse::<Code>().map_err(|error| error.to_string());
        let today = calendar::local_day(node.now());
        let tariff = |number| node.museums().get(MuseumId(number)).and_then(|known| Some(known.museum.tariff_on(today)?.1.clone()));
        let tariffs = VENUES.iter().map(|venue| tariff(venue.number).ok_or_else(|| "a museum has no tariff".to_owned())).collect::<Result<_, _>>()?;
        let names = Names {
            full: code("full")?,
            reduced: code("eu-18-25")?,
            free: code("under-18")?,
            pupil: code("school-pupil")?,
            account: code("rehearsal")?,
            totem: code("totem")?,
            withdrawn: code("declined")?,
        };
        Ok(Self {
            node,
            clock,
            tariffs,
            names,
            holds: HashMap::new(),
            tills: HashMap::new(),
            tally: Tally::new(),
            live,
            causes: Vec::new(),
            proving: HashMap::new(),
        })
    }

    /// What came of it, what the node's scorer said, and what analysts have to read of it. Holds that are still there end first, each at its time.
    pub(super) async fn finish(mut self) -> Result<(Tally, Live), String> {
        self.pass_time(self.node.now().plus_seconds(HOLDS_END_S)).await;
        let queue = Queue::of(self.node.journal().as_ref(), self.node.head().number).await?;
        let read = self.causes.iter().filter(|(_, cause)| queue.has(*cause)).map(|(intent, _)| *intent).collect();
        self.live.has_read(read, queue.to_string());
        Ok((self.tally, self.live))
    }

    /// Does what is asked when its time has come. An error is neither yes nor no: the rehearsal cannot go on.
    pub(super) async fn play(&mut self, intent: &Intent) -> Result<Happened, String> {
        self.pass_time(Timestamp::from_micros(intent.at_us)).await;
        if !matches!(intent.action, Action::Enter { .. } | Action::Merge { .. } | Action::Release { .. } | Action::OpenTill { .. }) {
            // Whoever acts is assessed by all that happened before: seconds of the world are enough for counters to hear of it, and here they pass in no time.
            self.node.scoring().counters().heard(self.node.head().number).await;
        }
        // What is given again after a proof was noted when it was first asked for.
        let proven = if intent.checked { self.proving.get_mut(&intent.parties).and_then(VecDeque::pop_front) } else { None };
        let happened = match self.assess(intent, proven.unwrap_or(intent.number))? {
            Assessed { is_blocked: true, .. } => Happened::Blocked,
            Assessed { proof_due: true, .. } if !intent.checked => {
                self.proving.entry(intent.parties).or_default().push_back(intent.number);
                Happened::SteppedUp
            }
            Assessed { envelope, .. } => self.give(intent, envelope).await?,
        };
        if happened == Happened::Done && matches!(intent.action, Action::Refund { .. } | Action::Void { .. }) {
            // Its money is handed over before the clock moves on: the node's own time for that passes in no time here.
            payments::resume(self.node).await;
        }
        if let Action::Enter { sale, .. } | Action::Merge { sale, .. } = intent.action
            && let Some(held) = self.holds.get(&sale)
        {
            self.live.note_gate(intent, held.parties, happened == Happened::Done && matches!(intent.action, Action::Enter { .. }));
            self.causes.push((intent.number, Cause::Gate(held.hold, world::day_of(intent.at_us))));
        }
        let what = match happened {
            Happened::Done => "done",
            Happened::Declined => "declined",
            Happened::Refused(world::Refusal::Full) => "full",
            Happened::Refused(world::Refusal::NotOnSale) => "not_on_sale",
            Happened::Refused(world::Refusal::Gone) => "gone",
            Happened::Refused(world::Refusal::Other) => "refused",
            Happened::Blocked => "blocked",
            Happened::SteppedUp => "stepped_up",
        };
        *self.tally.entry((name(&intent.action), what)).or_default() += 1;
        Ok(happened)
    }

    /// Everything that is due until then happens at its time.
    async fn pass_time(&self, until: Timestamp) {
        let (mut last, mut again) = (Timestamp::MIN, 0);
        loop {
            let due = self.node.board().next_wake().into_iter().chain(self.node.payments().next_wake()).min();
            let Some(due) = due.filter(|due| *due <= until) else { break };
            again = if due == last { again + 1 } else { 0 };
            // Many may be due at one time; something that stays due for ever must not stop the world.
            if again > WAKES_MAX {
                break;
            }
            last = due;
            self.clock.set(due.max(self.node.now()));
            self.node.wake_due().await;
        }
        self.clock.set(until);
    }

    /// What the node's scorer says of an intent before it is given, with the envelope that says so; what nobody is asked about passes. It was, or is,
    /// `noted` under that number.
    fn assess(&mut self, intent: &Intent, noted: u64) -> Result<Assessed, String> {
        let envelope = self.envelope(intent);
        let (kind, number) = match intent.action {
            Action::Hold { slot, party } | Action::Buy { slot, party, .. } => {
                let held = Held {
                    hold: hold_id(intent.number, slot),
                    channel: channel(intent.channel),
                    lines: self.lines(intent, slot, party)?,
                    parties: intent.parties,
                };
                self.holds.insert(intent.number, held);
                let bought = matches!(intent.action, Action::Buy { .. });
                (if bought { SignalKind::Sold { held: false } } else { SignalKind::Held }, intent.number)
            }
            Action::Pay { hold, .. } => (SignalKind::PaymentBegun, hold),
            Action::Refund { sale } => (SignalKind::Refunded, sale),
            Action::Void { sale } => (SignalKind::Voided, sale),
            Action::CloseTill { till, difference_cents } => return Ok(self.assess_count((intent, noted), envelope, till, difference_cents)),
            _ => return Ok(Assessed::passing(envelope)),
        };
        let Some(held) = self.holds.get(&number) else { return Ok(Assessed::passing(envelope)) };
        let signal = signal_of(Timestamp::from_micros(intent.at_us), kind, held.channel, held.hold, &held.lines, &envelope);
        let returns = matches!(intent.action, Action::Refund { .. } | Action::Void { .. });
        let cause = if returns { Cause::Return(held.hold) } else { Cause::Places(held.hold) };
        Ok(self.assessed((intent, noted), envelope, &signal, cause))
    }

    /// What the node's scorer says of a count of cash: whatever it is, it is noted. Here whoever opened a session closes it.
    fn assess_count(&mut self, (intent, noted): (&Intent, u64), envelope: Envelope, till: u64, difference_cents: i64) -> Assessed {
        let Some(&(session, _, museum)) = self.tills.get(&till) else { return Assessed::passing(envelope) };
        let signal = signal_of_count(Timestamp::from_micros(intent.at_us), museum, Cents::new(difference_cents), &envelope, None);
        Assessed::passing(self.assessed((intent, noted), envelope, &signal, Cause::Count(session)).envelope)
    }

    fn assessed(&mut self, (intent, noted): (&Intent, u64), mut envelope: Envelope, signal: &SignalEvent, cause: Cause) -> Assessed {
        let Said { assessment, proof_due } = self.node.scoring().say(signal);
        let verdict = match assessment.outcome {
            Outcome::Allow => Verdict::Allow,
            Outcome::StepUp => Verdict::StepUp,
            Outcome::Review => Verdict::Review,
            Outcome::Block => Verdict::Block,
        };
        if verdict == Verdict::Review {
            self.causes.push((noted, cause));
        }
        if !intent.checked {
            let with_model = assessment.model.as_str() != "none";
            self.live.note(intent, (verdict, proof_due), !assessment.rules.is_empty(), with_model, assessment.reasons.iter().map(Code::as_str));
        }
        envelope.assessment = Some(Box::new(assessment));
        Assessed { is_blocked: verdict == Verdict::Block, proof_due, envelope }
    }

    async fn give(&mut self, intent: &Intent, envelope: Envelope) -> Result<Happened, String> {
        match intent.action {
            Action::Hold { .. } => match self.holds.get(&intent.number) {
                Some(Held { hold, channel, lines, .. }) => {
                    let command = Command::Hold { hold: *hold, channel: *channel, lines: lines.clone() };
                    self.slot(envelope, hold.slot(), command).await
                }
                None => Ok(Happened::Refused(world::Refusal::Other)),
            },
            Action::Buy { accepted: false, .. } => Ok(Happened::Declined),
            Action::Buy { method, till, .. } => {
                let Some(Held { hold, channel, lines, .. }) = self.holds.get(&intent.number) else {
                    return Ok(Happened::Refused(world::Refusal::Other));
                };
                let till = till.and_then(|till| self.tills.get(&till)).map_or(self.names.totem, |(_, till, _)| *till);
                let method = if method == Method::Cash { DeskMethod::Cash } else { DeskMethod::Card };
                let settlement = if tornello_engine::slot::total(lines).is_zero() {
                    Settlement::Free
                } else {
                    Settlement::Desk { till, method, reference: format!("intent-{}", intent.number) }
                };
                let command = Command::SellDirect { sale: *hold, channel: *channel, lines: lines.clone(), settlement, contact: None };
                self.slot(envelope, hold.slot(), command).await
            }
            Action::Pay { hold, accepted } => match self.hold(hold) {
                Some(hold) if intent.channel == world::Channel::Web => self.pay(intent, envelope, hold, accepted).await,
                Some(hold) => self.confirm(envelope, hold).await,
                None => Ok(Happened::Refused(world::Refusal::Gone)),
            },
            Action::Release { hold } => match self.hold(hold) {
                Some(hold) => self.slot(envelope, hold.slot(), Command::Release { hold, owner: None }).await,
                None => Ok(Happened::Refused(world::Refusal::Gone)),
            },
            Action::Refund { sale } => self.cancel(envelope, sale, CancelCause::Visitor).await,
            Action::Void { sale } => self.cancel(envelope, sale, CancelCause::Museum).await,
            Action::Enter { sale, ticket, gate } => self.enter(envelope, sale, ticket, gate).await,
            Action::Merge { sale, ticket, gate, scanned_us } => {
                let Some(sale) = self.hold(sale) else { return Ok(Happened::Refused(world::Refusal::Gone)) };
                let (ticket, gate) = (sale.ticket(ticket), gate_code(gate)?);
                let scan = Scan { ticket, scanned_at: Timestamp::from_micros(scanned_us), gate, direction: Direction::In };
                self.slot(envelope, sale.slot(), Command::Merge { scan, issue: None, museum: ticket.slot().museum() }).await
            }
            Action::OpenTill { venue } => {
                let till: Code =
                    format!("desk-{:x}", acting_number(&intent.parties) & 0xffff_ffff).parse().map_err(|_| "the code of a till".to_owned())?;
                match tills::open(self.node, envelope, MuseumId(venue), till, FLOAT).await {
                    Ok(id) => {
                        self.tills.insert(intent.number, (id, till, MuseumId(venue)));
                        Ok(Happened::Done)
                    }
                    Err(Failure::Refused(_)) => Ok(Happened::Refused(world::Refusal::Other)),
                    Err(failure) => Err(failure.to_string()),
                }
            }
            Action::CloseTill { till, difference_cents } => {
                let Some((id, ..)) = self.tills.remove(&till) else { return Ok(Happened::Refused(world::Refusal::Gone)) };
                // What sales brought in is summed by the views of an installation with files; the count is made to differ by what the world says.
                let counted_cents = FLOAT.plus(Cents::new(difference_cents)).max(Cents::ZERO);
                let command = till::Command::Close { counted_cents, taken_cents: Cents::ZERO, summed_to: self.node.head().number };
                match self.node.till(id, envelope, command).await {
                    Ok(_) => Ok(Happened::Done),
                    Err(Failure::Refused(_)) => Ok(Happened::Refused(world::Refusal::Other)),
                    Err(failure) => Err(failure.to_string()),
                }
            }
        }
    }

    fn hold(&self, number: u64) -> Option<HoldId> {
        self.holds.get(&number).map(|held| held.hold)
    }

    async fn slot(&self, envelope: Envelope, slot: SlotId, command: Command) -> Result<Happened, String> {
        match self.node.slot(slot, envelope, command).await {
            Ok(_) => Ok(Happened::Done),
            Err(Failure::Refused(refusal)) => Ok(Happened::Refused(of(&refusal))),
            Err(failure) => Err(failure.to_string()),
        }
    }

    /// A payment at the bank, as the web shop makes it.
    async fn pay(&self, intent: &Intent, envelope: Envelope, hold: HoldId, accepted: bool) -> Result<Happened, String> {
        let (node, now) = (self.node, Timestamp::from_micros(intent.at_us));
        let due = node.look(hold.slot(), move |slot| slot.hold_of(hold).map(|held| tornello_engine::slot::total(&held.lines))).await;
        match due.map_err(|failure| failure.to_string())? {
            None => return Ok(Happened::Refused(world::Refusal::Gone)),
            Some(due) if due.is_zero() => {
                let command = Command::Sell { hold, owner: None, settlement: Settlement::Free, contact: None };
                return self.slot(envelope, hold.slot(), command).await;
            }
            Some(_) => {}
        }
        let request = payments::Request {
            creditor: CREDITOR,
            order: None,
            quote: None,
            holds: vec![hold],
            owner: None,
            channel: Channel::Web,
            extras: Vec::new(),
            payer: None,
            museum: hold.slot().museum(),
            subject: "Biglietti / Tickets".to_owned(),
            gateway: tornello_engine::payment::Gateway::Checkout,
            due_at: now.plus_seconds(PAYS_WITHIN_S),
        };
        let id = match payments::begin(node, envelope, request).await {
            Ok(id) => id,
            Err(Failure::Refused(_)) => return Ok(Happened::Refused(world::Refusal::Gone)),
            Err(failure) => return Err(format!("{failure:?}")),
        };
        if !accepted {
            let key = self.keyed(intent, 2);
            payments::cancel(node, id, key, None, self.names.withdrawn).await.map_err(|failure| format!("{failure:?}"))?;
            return Ok(Happened::Declined);
        }
        let amount_cents =
            node.look_payment(id, |payment| payment.opened().map(|opened| opened.amount_cents)).await.map_err(|failure| failure.to_string())?;
        let receipt = Receipt {
            id: format!("receipt-{}", intent.number),
            source: Source::Node,
            amount_cents: amount_cents.unwrap_or(Cents::ZERO),
            paid_at: now,
            psp: String::new(),
            channel: String::new(),
            method: String::new(),
            stand_in: false,
            fee_cents: None,
        };
        payments::receive(node, id, receipt).await.map_err(|failure| format!("{failure:?}"))?;
        payments::drive(node, id).await.map_err(|failure| format!("{failure:?}"))?;
        let paid = node.look_payment(id, |payment| matches!(payment.stage(), Stage::Paid { .. })).await.map_err(|failure| failure.to_string())?;
        Ok(if paid { Happened::Done } else { Happened::Refused(world::Refusal::Gone) })
    }

    /// What needs no money at once: free, or to be invoiced.
    async fn confirm(&self, envelope: Envelope, hold: HoldId) -> Result<Happened, String> {
        let due = self.node.look(hold.slot(), move |slot| slot.hold_of(hold).map(|held| tornello_engine::slot::total(&held.lines))).await;
        let settlement = match due.map_err(|failure| failure.to_string())? {
            None => return Ok(Happened::Refused(world::Refusal::Gone)),
            Some(due) if due.is_zero() => Settlement::Free,
            Some(_) => Settlement::OnAccount { account: self.names.account },
        };
        self.slot(envelope, hold.slot(), Command::Sell { hold, owner: None, settlement, contact: None }).await
    }

    async fn cancel(&self, envelope: Envelope, sale: u64, cause: CancelCause) -> Result<Happened, String> {
        match self.hold(sale) {
            Some(sale) => self.slot(envelope, sale.slot(), Command::Cancel { sale, owner: None, tickets: Vec::new(), cause }).await,
            None => Ok(Happened::Refused(world::Refusal::Gone)),
        }
    }

    async fn enter(&self, envelope: Envelope, sale: u64, ticket: u16, gate: u8) -> Result<Happened, String> {
        let Some(sale) = self.hold(sale) else { return Ok(Happened::Refused(world::Refusal::Gone)) };
        let ticket = sale.ticket(ticket);
        let passage = Passage { ticket, issue: None, gate: gate_code(gate)?, museum: ticket.slot().museum(), direction: Direction::In };
        match self.node.pass(envelope, passage).await {
            Ok(_) => Ok(Happened::Done),
            Err(Failure::Refused(refusal)) => {
                // Who acts next is assessed by what is known of this, however fast the world goes by.
                self.node.note_refusals().await;
                Ok(Happened::Refused(of(&refusal)))
            }
            Err(failure) => Err(failure.to_string()),
        }
    }

    /// The party at the prices of the museum's tariff.
    fn lines(&self, intent: &Intent, slot: world::Slot, party: world::Party) -> Result<Vec<Line>, String> {
        let tariff = self.tariffs.get(usize::from(slot.venue).wrapping_sub(1)).ok_or("a museum that is not in the world")?;
        let day = calendar::local_day(Timestamp::from_seconds(slot.start_s));
        let free = if intent.channel == world::Channel::Group { self.names.pupil } else { self.names.free };
        let line = |(category, count): (Code, u16)| {
            let price = tariff.quote(day, channel(intent.channel), category).map_err(|error| error.to_string())?;
            Ok(Line { category, count, price_cents: price.total(), proof: price.proof })
        };
        let people = [(self.names.full, party.full), (self.names.reduced, party.reduced), (free, party.free)];
        people.into_iter().filter(|(_, count)| *count > 0).map(line).collect()
    }

    fn envelope(&self, intent: &Intent) -> Envelope {
        self.keyed(intent, 1)
    }

    /// An envelope whose key follows from the intent and a step of it.
    fn keyed(&self, intent: &Intent, step: u8) -> Envelope {
        let key = digest(&[b"rehearsal", &intent.number.to_be_bytes(), &[step]]);
        let who = match intent.channel {
            world::Channel::Web => WEB_KEY,
            // A desk, a totem, an account has a key of its own.
            _ => KeyId(acting_number(&intent.parties).max(2)),
        };
        let held = match intent.action {
            Action::Pay { hold: number, .. } | Action::Refund { sale: number } | Action::Void { sale: number } => self.holds.get(&number),
            _ => None,
        };
        // A shop that has somebody's basket open names them with whatever they do next.
        let named = held.map_or(intent.parties, |held| intent.parties.or(held.parties));
        Envelope { who, key, body: key, parties: parties(&named), assessment: None, order: None, formerly: Vec::new() }
    }
}

/// Who takes part, as pseudonyms.
fn parties(parties: &Parties) -> Vec<Party> {
    let kind = |kind| match kind {
        PartyKind::Buyer => envelope::PartyKind::Buyer,
        PartyKind::Device => envelope::PartyKind::Device,
        PartyKind::Card => envelope::PartyKind::Card,
        PartyKind::Account => envelope::PartyKind::Account,
        PartyKind::Network => envelope::PartyKind::Network,
        PartyKind::Kiosk => envelope::PartyKind::Kiosk,
        PartyKind::Operator => envelope::PartyKind::Operator,
        PartyKind::Group => envelope::PartyKind::Group,
    };
    let party = |(named, number): (PartyKind, u64)| Party { kind: kind(named), pseudonym: digest(&[&[named as u8], &number.to_be_bytes()]) };
    parties.known().map(party).collect()
}

fn acting_number(parties: &Parties) -> u64 {
    let acting = [parties.operator, parties.kiosk, parties.account, parties.group].into_iter().flatten().next();
    acting.unwrap_or(WEB_KEY.0)
}

fn gate_code(gate: u8) -> Result<Code, String> {
    format!("gate-{gate}").parse().map_err(|_| "the code of a gate".to_owned())
}

/// The hold's id: its random bits are a digest of the intent's number.
fn hold_id(number: u64, slot: world::Slot) -> HoldId {
    let id = SlotId::new(MuseumId(slot.venue), ROUTE, Timestamp::from_seconds(slot.start_s));
    HoldId::new(id, digest(&[b"hold", &number.to_be_bytes()]).0 as u64)
}

const fn channel(channel: world::Channel) -> Channel {
    match channel {
        world::Channel::Web => Channel::Web,
        world::Channel::Kiosk => Channel::Kiosk,
        world::Channel::BoxOffice => Channel::BoxOffice,
        world::Channel::Group => Channel::Group,
        world::Channel::Reseller => Channel::Reseller,
    }
}

/// What an agent understands of a refusal.
const fn of(refusal: &Refusal) -> world::Refusal {
    match refusal {
        Refusal::NotEnoughPlaces { .. } => world::Refusal::Full,
        Refusal::SaleNotOpen { .. } | Refusal::SaleOver { .. } | Refusal::SlotClosed { .. } => world::Refusal::NotOnSale,
        Refusal::UnknownHold
        | Refusal::HoldSold
        | Refusal::HoldReleased
        | Refusal::HoldExpired { .. }
        | Refusal::UnknownSale
        | Refusal::UnknownTicket
        | Refusal::TicketCancelled
        | Refusal::TicketUsed { .. }
        | Refusal::TicketInside { .. }
        | Refusal::TooEarly { .. }
        | Refusal::TooLate { .. } => world::Refusal::Gone,
        _ => world::Refusal::Other,
    }
}

const fn name(action: &Action) -> &'static str {
    match action {
        Action::Hold { .. } => "hold",
        Action::Pay { .. } => "pay",
        Action::Release { .. } => "release",
        Action::Buy { .. } => "buy",
        Action::Refund { .. } => "refund",
        Action::Void { .. } => "void",
        Action::Enter { .. } => "enter",
        Action::Merge { .. } => "merge",
        Action::OpenTill { .. } => "open_till",
        Action::CloseTill { .. } => "close_till",
    }
}
