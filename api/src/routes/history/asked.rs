//! What a slot may be asked about a moment: a query becomes the command that it stands for, whole, with the prices of that time and whoever would have bought.

use std::sync::Arc;

use serde::Deserialize;
use tornello_actors::node::Node;
use tornello_engine::account::Account;
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{Code, HoldId, KeyId, PaymentId, PersonId, SlotId, TicketId};
use tornello_engine::money::Cents;
use tornello_engine::museum::Museum;
use tornello_engine::slot::{CancelCause, Command, DeskMethod, Direction, FRAUD, Keeper, Line, Scan, Settlement, Slot, total};
use tornello_engine::tariff::Proof;
use tornello_engine::time::Timestamp;

use crate::auth::Caller;
use crate::problem::Problem;
use crate::request::{named_then, random};
use crate::routes::holds::{LineForm, price_of};
use crate::routes::sales::account_of;
use crate::routes::{files, instant_of, within};

/// The most people of a party that is asked about.
const PEOPLE_MAX: u32 = 1_000;

/// What a slot may be asked about a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// To keep places.
    Hold,
    /// To prolong a hold.
    Extend,
    /// To give a hold back.
    Release,
    /// To keep fewer places of a hold, or to wait for fewer.
    Shrink,
    /// To make a hold a sale.
    Confirm,
    /// To sell at once.
    Sell,
    /// To cancel a sale.
    Cancel,
    /// To let a ticket in.
    Admit,
    /// To let a ticket out.
    Exit,
    /// To join the waiting list.
    Wait,
    /// To leave it.
    Leave,
    /// To move tickets to another slot.
    Move,
    /// To issue codes anew for another holder.
    Rename,
    /// To keep tickets from the gate.
    Block,
    /// To lift a block.
    Unblock,
    /// To take in what a gate without a network has done.
    Scan,
}

/// How something would be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaidBy {
    /// Nothing is due.
    Free,
    /// At a desk or kiosk.
    Desk,
    /// On an account.
    OnAccount,
    /// By a payment.
    Payment,
}

/// Who asks, as far as it is said.
#[derive(Debug)]
pub(super) struct Asker {
    /// The key that is named; none: one with desk rights, which may touch all.
    pub(super) key: Option<KeyId>,
    /// Whose key it is; none where none is named, or none of that number is good for the museum.
    pub(super) caller: Option<Caller>,
    /// The account of an operator's key as it was then, for what was agreed.
    pub(super) account: Option<Account>,
    /// Whether the sale that is asked about is one of that account: it was charged with it, or the sale was made for its quote.
    is_of_account: bool,
}

impl Asker {
    /// Who asks by the key that a query names. Roles and museums of keys never change; a key of another museum is none here.
    pub(super) async fn of(node: &Node, query: &HistoryQuery, slot: &Slot, at: Timestamp) -> Result<Self, Problem> {
        let known = match query.key {
            Some(key) => files(node)?.keys.get(key).filter(|key| key.museums.allows(slot.id().museum())),
            None => None,
        };
        let caller = known.map(|key| Caller(Arc::new(key)));
        let (mut account, mut is_of_account) = (None, false);
        if let Some(own) = caller.as_ref().and_then(Caller::account_of_operator) {
            account = Some(node.account_then(own, at).await?);
            // Of tickets that have moved, and of what a payment paid, the sale itself does not say it. It never becomes another one's.
            if let Some(sale) = query.sale.filter(|sale| slot.sale_of(*sale).is_some()) {
                is_of_account = account_of(node, sale).await? == Some(own);
            }
        }
        Ok(Self { key: query.key, caller, account, is_of_account })
    }

    /// Whose hold or entry it must be.
    fn owner(&self) -> Option<KeyId> {
        self.caller.as_ref().map_or(self.key, Caller::owner)
    }

    /// Whose sale it must be: an operator's are all that its account was charged with, or that were made for its quotes.
    fn owner_of_sale(&self) -> Option<KeyId> {
        if self.is_of_account { None } else { self.owner() }
    }

    /// Through which channel: the one that is named, or that of the key, which has no other.
    fn channel(&self, named: Option<Channel>) -> Result<Option<Channel>, Problem> {
        match (named, self.caller.as_ref().map(Caller::channel)) {
            (Some(named), Some(own)) if named != own => {
                Err(Problem::invalid(format!("channel: that key sells through {}: leave one of the two out", own.name())))
            }
            (named, own) => Ok(named.or(own)),
        }
    }
}

/// Which moment, how many records, and what is asked of the slot as it was then.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// The moment (RFC 3339), not in the future; absent: now.
    #[param(value_type = Option<String>, format = DateTime, example = "2027-01-15T16:42:10Z")]
    pub(super) at: Option<String>,
    /// Where the page before said to go on: at the records before this one.
    pub(super) cursor: Option<u64>,
    /// How many records at most: 50 if not said.
    #[param(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<u32>,
    /// What to decide on the state of that moment: `hold`, `sell` or `wait` (with `channel`, or a `key` that has one, and `people` or `lines`), `extend`, `release` or `confirm` (with `hold`), `shrink` (with `hold` or `entry`, and `lines`),
    /// `leave` (with `entry`), `cancel`, `rename`, `block` or `unblock` (with `sale`, and `tickets` if not all), `move` (with `sale` and `to`), `admit` or `exit` (with
    /// `ticket`), `scan` (with `ticket`, `direction` and `scanned_at`).
    #[param(
        value_type = Option<String>,
        pattern = "^(hold|extend|release|shrink|confirm|sell|cancel|admit|exit|wait|leave|move|rename|block|unblock|scan)$",
        example = "hold"
    )]
    pub(super) command: Option<Asked>,
    /// Through which channel: that of `key` if absent; of a `move`, that of whoever moves the tickets: the sale's own if neither is given.
    #[param(value_type = Option<String>, pattern = "^(web|kiosk|box_office|group|reseller)$", example = "web")]
    channel: Option<Channel>,
    /// How many people.
    #[param(minimum = 1, maximum = 1000, example = 3)]
    people: Option<u16>,
    /// Their category, priced by the tariff as it was at that moment, or as was agreed then with the account of an operator's `key`; absent: any, free of charge.
    #[param(value_type = Option<String>, max_length = 23)]
    category: Option<Code>,
    /// Several categories, each with how many people, instead of `people` and `category`; of a `shrink`, what is kept.
    #[param(max_length = 512, example = "full:2,under-18:1")]
    lines: Option<String>,
    /// The buyer, as the channel names them (its `value` in `parties`): what they had then in this slot counts, and where the museum limits what one buyer has of a day, or
    /// how many open holds, also what they had in other slots. Where the museum wants somebody named (`buyer_required`) and
    /// nobody is, that is the answer. Better in the header `Buyer`: proxies and browsers keep addresses that are asked for.
    #[param(max_length = 256)]
    buyer: Option<String>,
    /// The device at which the buyer sat, as the channel names it: whoever let places go from it holds none there for a while (`hold_renewed`), by whichever name. Better in
    /// the header `Device`, as with the buyer.
    #[param(max_length = 256)]
    device: Option<String>,
    /// Which hold.
    #[param(value_type = Option<String>, max_length = 26)]
    hold: Option<HoldId>,
    /// Which entry of the waiting list.
    #[param(value_type = Option<String>, max_length = 26)]
    entry: Option<HoldId>,
    /// Which sale.
    #[param(value_type = Option<String>, max_length = 26)]
    sale: Option<HoldId>,
    /// Which of its tickets, by their numbers; absent: all that the command can mean.
    #[param(max_length = 512, example = "0,2")]
    tickets: Option<String>,
    /// Why it is cancelled: `visitor` if absent.
    #[param(value_type = Option<String>, pattern = "^(visitor|museum)$")]
    cause: Option<CancelCause>,
    /// How a sale is paid; absent: as its channel does, by the payment that keeps the hold, or by nothing where nothing is due.
    #[param(value_type = Option<String>, pattern = "^(free|desk|on_account|payment)$")]
    settlement: Option<PaidBy>,
    /// Whether a name is to stand on every ticket that a `sell` or `confirm` makes, as proof where one more is asked for (`holder`); the name itself is not asked about.
    #[serde(default)]
    named: bool,
    /// On which account, where it is settled on one; absent: that of `key`, or any.
    #[param(value_type = Option<String>, max_length = 23)]
    account: Option<Code>,
    /// Which payment; absent: the one that keeps the hold, or any.
    #[param(value_type = Option<String>, max_length = 13)]
    payment: Option<PaymentId>,
    /// To which slot tickets move.
    #[param(value_type = Option<String>, max_length = 13)]
    to: Option<SlotId>,
    /// Why tickets are blocked, in one word.
    #[param(value_type = Option<String>, max_length = 23)]
    reason: Option<Code>,
    /// Which ticket.
    #[param(value_type = Option<String>, max_length = 26)]
    ticket: Option<TicketId>,
    /// The issue number on the code that was shown; absent: the ticket's id was typed.
    issue: Option<u16>,
    /// At which gate.
    #[param(value_type = Option<String>, max_length = 23)]
    gate: Option<Code>,
    /// Which way a scan went.
    #[param(value_type = Option<String>, pattern = "^(in|out)$")]
    direction: Option<Direction>,
    /// When it was made, by the gate's clock (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    scanned_at: Option<String>,
    /// The key that asks, by the number that records name it with: whether it might, its channel, its own holds, sales and entries; absent: one with desk rights, which may
    /// touch all.
    #[param(value_type = Option<String>, max_length = 13)]
    key: Option<KeyId>,
}

impl HistoryQuery {
    /// Whatever is wrong with it, whichever slot it is asked of.
    pub(super) fn validate(&self) -> Result<(), Problem> {
        self.people.map_or(Ok(()), |people| within("people", people.into(), PEOPLE_MAX))
    }

    /// Takes the buyer and the device whom headers name: what stands in a query is kept by whoever keeps logs.
    pub(super) fn name(&mut self, buyer: Option<String>, device: Option<String>) -> Result<(), Problem> {
        for (name, header, named, in_query) in [("buyer", "Buyer", buyer, &mut self.buyer), ("device", "Device", device, &mut self.device)] {
            if named.is_some() && in_query.is_some() {
                return Err(Problem::invalid(format!("{name}: name it in the header `{header}` or in the query, not in both")));
            }
            *in_query = in_query.take().or(named);
        }
        Ok(())
    }

    /// Under which envelope the command comes: of the buyer at their device, by the pseudonyms of that time.
    pub(super) fn envelope(&self, node: &Node, at: Timestamp) -> Result<Envelope, Problem> {
        let (parties, formerly) = named_then(node, self.buyer.as_deref(), self.device.as_deref(), at)?;
        // A key that nothing has: what is asked is no repeat.
        let key = Digest(u128::from(random()) << 64 | u128::from(random()));
        Ok(Envelope { who: self.who(), key, body: key, parties, assessment: None, order: None, formerly })
    }

    fn who(&self) -> KeyId {
        self.key.unwrap_or(KeyId::SYSTEM)
    }

    /// Whether the people who would come are priced, by the categories that they are of.
    pub(super) const fn is_priced(&self) -> bool {
        self.lines.is_some() || self.category.is_some()
    }

    /// On which account it would be settled, if one is named or follows from the key.
    pub(super) fn charged(&self, asker: &Asker) -> Option<Code> {
        self.account.or_else(|| asker.caller.as_ref()?.0.account)
    }

    /// The command that is asked about, if one is. `museum` is the museum as it was then.
    pub(super) fn command(&self, museum: &Museum, slot: &Slot, asker: &Asker) -> Result<Option<(Asked, Command)>, Problem> {
        let Some(asked) = self.command else { return Ok(None) };
        let id = slot.id();
        let owner = asker.owner();
        let holder = self.named.then(|| PersonId(random().into()));
        let command = match asked {
            Asked::Hold => {
                let (channel, lines) = self.party(museum, id, asker)?;
                Command::Hold { hold: HoldId::new(id, random()), channel, lines }
            }
            Asked::Wait => {
                let (channel, lines) = self.party(museum, id, asker)?;
                Command::Wait { entry: HoldId::new(id, random()), who: self.who(), channel, lines }
            }
            Asked::Sell => {
                let (channel, lines) = self.party(museum, id, asker)?;
                let settlement = self.settled(channel, &lines, None, asker)?;
                Command::SellDirect { sale: HoldId::new(id, random()), channel, lines, settlement, contact: None }.named(holder)
            }
            Asked::Extend => Command::Extend { hold: self.hold_of(id)?, owner },
            Asked::Release => Command::Release { hold: self.hold_of(id)?, owner },
            Asked::Shrink => {
                let counts = forms(self.lines.as_deref().ok_or_else(|| needs("lines"))?)?;
                let counts = counts.into_iter().map(|line| (line.category, line.count)).collect();
                if self.hold.is_none() && self.entry.is_some() {
                    Command::WaitForFewer { entry: of_slot(id, self.entry, "entry")?, counts, owner, over: None }
                } else {
                    Command::Shrink { hold: self.hold_of(id)?, counts, owner, over: None }
                }
            }
            Asked::Leave => Command::LeaveWaiting { entry: of_slot(id, self.entry, "entry")?, owner },
            Asked::Confirm => {
                let hold = self.hold_of(id)?;
                let settlement = match slot.hold_of(hold) {
                    Some(hold) => self.settled(hold.channel, &hold.lines, hold.kept_for, asker)?,
                    // Whatever it would be paid with: there is nothing to pay for.
                    None => Settlement::Free,
                };
                Command::Sell { hold, owner, settlement, contact: None }.named(holder)
            }
            Asked::Cancel => {
                let sale = self.sale_of(id)?;
                let (owner, cause) = (asker.owner_of_sale(), self.cause.unwrap_or(CancelCause::Visitor));
                Command::Cancel { sale, owner, tickets: self.numbers()?, cause }
            }
            Asked::Rename => {
                let sale = self.sale_of(id)?;
                let owner = asker.owner_of_sale();
                Command::Rename { sale, owner, tickets: self.numbers()?, holder: Some(PersonId(random().into())) }
            }
            Asked::Block => {
                let reason = named(self.reason, "reason")?;
                if reason.as_str() == FRAUD {
                    return Err(Problem::invalid("reason: `fraud` is what the verdict of a fraud case says; another word is expected"));
                }
                Command::Block { sale: self.sale_of(id)?, tickets: self.numbers()?, reason }
            }
            // What a verdict blocks is lifted with the verdict.
            Asked::Unblock => {
                let (sale, tickets, keeps) = (self.sale_of(id)?, self.numbers()?, FRAUD.parse().ok());
                Command::Unblock { sale, tickets, reason: self.reason, keeps }
            }
            Asked::Move => self.moved(museum, slot, asker)?,
            Asked::Admit => Command::Admit { ticket: self.ticket_of(id)?, issue: self.issue, gate: named(self.gate, "gate")?, museum: id.museum() },
            Asked::Exit => Command::Exit { ticket: self.ticket_of(id)?, gate: named(self.gate, "gate")?, museum: id.museum() },
            Asked::Scan => {
                let scan = Scan {
                    ticket: self.ticket_of(id)?,
                    scanned_at: instant_of("scanned_at", self.scanned_at.as_deref())?.ok_or_else(|| needs("scanned_at"))?,
                    gate: named(self.gate, "gate")?,
                    direction: self.direction.ok_or_else(|| needs("direction"))?,
                };
                Command::Merge { scan, issue: self.issue, museum: id.museum() }
            }
        };
        Ok(Some((asked, command)))
    }

    /// Tickets that go to another slot, at what they cost there.
    fn moved(&self, museum: &Museum, slot: &Slot, asker: &Asker) -> Result<Command, Problem> {
        let (sale, to) = (self.sale_of(slot.id())?, self.to.ok_or_else(|| needs("to"))?);
        let found = slot.sale_of(sale);
        let channel = found.map_or(Channel::BoxOffice, |sale| sale.channel);
        let price = |line: &Line| Some((line.category, price_of(museum, to, channel, line.category).ok()?.0));
        let prices = found.map_or_else(Vec::new, |sale| sale.lines.iter().filter_map(price).collect());
        let (arrival, via) = (HoldId::new(to, random()), asker.channel(self.channel)?.unwrap_or(channel));
        // As when it is asked for: only staff name nobody.
        let owner = asker.owner_of_sale().or_else(|| asker.owner().and(found.map(|sale| sale.who)));
        Ok(Command::BeginMove { sale, owner, tickets: self.numbers()?, arrival, via, prices })
    }

    /// Who would come, through which channel.
    fn party(&self, museum: &Museum, slot: SlotId, asker: &Asker) -> Result<(Channel, Vec<Line>), Problem> {
        let channel = asker.channel(self.channel)?.ok_or_else(|| needs("channel"))?;
        // What was not sold then costs nothing here: that it is refused is for the step to say that prices it.
        let line = |LineForm { category, count }: LineForm| {
            let (price_cents, proof) = price_of(museum, slot, channel, category).unwrap_or((Cents::ZERO, Proof::None));
            Line { category, count, price_cents, proof }
        };
        let by_tariff: Vec<Line> = match (&self.lines, self.people, self.category) {
            (Some(lines), None, None) => forms(lines)?.into_iter().map(line).collect(),
            (None, Some(count), Some(category)) => vec![line(LineForm { category, count })],
            (None, Some(count), None) => vec![Line { category: named(None, "any")?, count, price_cents: Cents::ZERO, proof: Proof::None }],
            (Some(_), ..) => return Err(Problem::invalid("give either `lines`, or `people` and their `category`")),
            (None, None, _) => return Err(needs("people, or lines")),
        };
        let agreed = asker.account.as_ref().map(|account| account.priced(slot.museum(), calendar::local_day(slot.start()), &by_tariff));
        Ok((channel, agreed.unwrap_or(by_tariff)))
    }

    /// How what is due is settled: as it is said, or as the channel does.
    fn settled(&self, channel: Channel, lines: &[Line], kept_for: Option<Keeper>, asker: &Asker) -> Result<Settlement, Problem> {
        let keeps = if let Some(Keeper::Payment(payment)) = kept_for { Some(payment) } else { None };
        let usual = || match channel {
            _ if total(lines).is_zero() => PaidBy::Free,
            _ if keeps.is_some() || self.payment.is_some() => PaidBy::Payment,
            Channel::BoxOffice | Channel::Kiosk => PaidBy::Desk,
            // What is due over the web is paid by a payment, which sells the hold when it has its money.
            Channel::Web => PaidBy::Payment,
            Channel::Group | Channel::Reseller => PaidBy::OnAccount,
        };
        Ok(match self.settlement.unwrap_or_else(usual) {
            PaidBy::Free => Settlement::Free,
            PaidBy::Desk => Settlement::Desk { till: named(None, "till")?, method: DeskMethod::Card, reference: String::new() },
            PaidBy::OnAccount => Settlement::OnAccount { account: named(self.charged(asker), "account")? },
            PaidBy::Payment => Settlement::Payment { id: self.payment.or(keeps).unwrap_or_else(|| PaymentId::new(0, random())) },
        })
    }

    fn hold_of(&self, slot: SlotId) -> Result<HoldId, Problem> {
        of_slot(slot, self.hold, "hold")
    }

    fn sale_of(&self, slot: SlotId) -> Result<HoldId, Problem> {
        of_slot(slot, self.sale, "sale")
    }

    fn ticket_of(&self, slot: SlotId) -> Result<TicketId, Problem> {
        let ticket = self.ticket.ok_or_else(|| needs("ticket"))?;
        if ticket.slot() == slot { Ok(ticket) } else { Err(elsewhere()) }
    }

    /// The numbers of tickets, ascending, each once.
    fn numbers(&self) -> Result<Vec<u16>, Problem> {
        let Some(text) = &self.tickets else { return Ok(Vec::new()) };
        let unread = |_| Problem::malformed("tickets: numbers with commas between them, as 0,2, are expected");
        let mut numbers = text.split(',').map(str::parse).collect::<Result<Vec<u16>, _>>().map_err(unread)?;
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }
}

/// Categories with their people.
fn forms(text: &str) -> Result<Vec<LineForm>, Problem> {
    let unread = || Problem::malformed("lines: categories with people, as full:2,under-18:1, are expected");
    let form = |part: &str| {
        let (category, count) = part.split_once(':').ok_or_else(unread)?;
        Ok(LineForm { category: category.parse().map_err(|_| unread())?, count: count.parse().map_err(|_| unread())? })
    };
    text.split(',').map(form).collect()
}

fn needs(what: &str) -> Problem {
    Problem::invalid(format!("this command needs {what}"))
}

fn elsewhere() -> Problem {
    Problem::invalid("what is named belongs to another slot")
}

fn of_slot(slot: SlotId, id: Option<HoldId>, what: &str) -> Result<HoldId, Problem> {
    let id = id.ok_or_else(|| needs(what))?;
    if id.slot() == slot { Ok(id) } else { Err(elsewhere()) }
}

/// What was named, or a name that stands for any, where a command needs one and the decision does not.
fn named(given: Option<Code>, any: &str) -> Result<Code, Problem> {
    given.map_or_else(|| any.parse().map_err(|_| Problem::unavailable("the command cannot be made")), Ok)
}
