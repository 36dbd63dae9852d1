//! What a slot was at some moment, what led there, and what it would have said to a command: how staff explain a decision of yesterday. Read from the journal,
//! past the slot's mailbox; nothing is changed.

use actix_web::{HttpResponse, get, web};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tornello_actors::history::{Page, Past};
use tornello_actors::node::Node;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::channel::Channel;
use tornello_engine::ids::{Code, HoldId, KeyId, SlotId, TicketId};
use tornello_engine::money::Cents;
use tornello_engine::record::Record;
use tornello_engine::slot::{
    CancelCause, Command, DeskMethod, Event, LimitedBy, Line, Refusal, STEPS, STEPS_AT_GATE, Settlement, Slot, people as people_of, sale_ends_at,
    total,
};
use tornello_engine::tariff::Proof;
use tornello_engine::time::Timestamp;

use crate::auth::{Caller, Scope};
use crate::problem::{Body, Problem};
use crate::request::random;
use crate::routes::holds::{LineForm, by_tariff};
use crate::routes::slots::LiveView;
use crate::routes::{PAGE, instant_of, within};
use crate::words::{ChannelWord, LimitedByWord};

/// The most records of one answer.
const RECORDS_MAX: u32 = 1_000;
/// The most people of a party that is asked about.
const PEOPLE_MAX: u32 = 1_000;
/// The most live holds that are listed; all are counted.
const HOLDS_MAX: usize = 1_000;

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
}

/// Which moment, how many records, and what is asked of the slot as it was then.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// The moment (RFC 3339), not in the future; absent: now.
    #[param(value_type = Option<String>, format = DateTime, example = "2027-01-15T16:42:10Z")]
    at: Option<String>,
    /// Where the page before said to go on: at the records before this one.
    cursor: Option<u64>,
    /// How many records at most: 50 if not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// What to decide on the state of that moment: `hold` or `sell` (with `channel` and `people`), `extend`, `release` or `confirm` (with `hold`), `cancel` (with
    /// `sale`), `admit` or `exit` (with `ticket`).
    #[param(value_type = Option<String>, pattern = "^(hold|extend|release|confirm|sell|cancel|admit|exit)$", example = "hold")]
    command: Option<Asked>,
    /// Through which channel.
    #[param(value_type = Option<String>, pattern = "^(web|kiosk|box_office|group|reseller)$", example = "web")]
    channel: Option<Channel>,
    /// How many people.
    #[param(minimum = 1, maximum = 1000, example = 3)]
    people: Option<u16>,
    /// Their category, priced by the tariff of today; absent: any, free of charge.
    #[param(value_type = Option<String>, max_length = 23)]
    category: Option<Code>,
    /// Which hold.
    #[param(value_type = Option<String>, max_length = 26)]
    hold: Option<HoldId>,
    /// Which sale.
    #[param(value_type = Option<String>, max_length = 26)]
    sale: Option<HoldId>,
    /// Which ticket.
    #[param(value_type = Option<String>, max_length = 26)]
    ticket: Option<TicketId>,
    /// The key that asks for its own hold or sale; absent: one with desk rights, which may touch all.
    #[param(value_type = Option<String>, max_length = 13)]
    key: Option<KeyId>,
}

/// What one channel had and might have.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PastChannel {
    /// The channel.
    #[schema(value_type = ChannelWord)]
    channel: Channel,
    /// Places in live holds.
    held: u32,
    /// Places sold and not cancelled.
    sold: u32,
    /// Places reserved for it.
    reserved: u32,
    /// The most that it might take before the release.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
    /// When its quota ended (RFC 3339, UTC).
    #[schema(format = DateTime)]
    release_at: String,
    /// How many places it might take.
    available: u32,
    /// What held back the rest: `capacity`, `other_quotas`, `own_limit` or `live_cap`.
    #[schema(value_type = LimitedByWord)]
    limited_by: LimitedBy,
}

/// A hold that was alive.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PastHold {
    /// Its id.
    #[schema(max_length = 26)]
    hold: String,
    /// Through which channel.
    #[schema(value_type = ChannelWord)]
    channel: Channel,
    /// For how many people.
    people: u32,
    /// Since when (RFC 3339, UTC).
    #[schema(format = DateTime)]
    held_at: String,
    /// When it would end by itself (RFC 3339, UTC).
    #[schema(format = DateTime)]
    expires_at: String,
}

/// A slot as it was.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PastView {
    /// Whether anything had been written to it; if not, it is shown as it was planned.
    opened: bool,
    /// When it ends (RFC 3339, UTC).
    #[schema(format = DateTime)]
    ends_at: String,
    /// Why it was closed for sale, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 23)]
    closed_reason: Option<Code>,
    /// Its places.
    capacity: u32,
    /// How many more than these were for sale, to the public only.
    beyond: u32,
    /// How many of them might be taken.
    sellable: u32,
    /// Places in live holds.
    held: u32,
    /// Places sold and not cancelled.
    sold: u32,
    /// Places taken beyond those that might be.
    over: u32,
    /// Tickets let in at least once.
    admitted: u32,
    /// Tickets whose holders were inside.
    inside: u32,
    /// How many sales there were, cancelled ones included.
    sales: u64,
    /// How many holds were alive.
    live_holds: u64,
    /// The live holds in the order of their ends, the first 1,000.
    #[schema(max_items = 1000)]
    holds: Vec<PastHold>,
    /// The channels.
    #[schema(max_items = 5)]
    channels: Vec<PastChannel>,
    /// What sensors had said last; absent if nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<LiveView>,
}

/// Something that happened.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct EventView {
    /// What.
    #[schema(max_length = 32, examples("held"))]
    kind: String,
    /// The data of its kind.
    #[schema(value_type = Object)]
    fields: Value,
}

/// What one command did, or what came by itself.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RecordView {
    /// Its number in the slot, from 1.
    #[schema(minimum = 1)]
    seq: u64,
    /// When (RFC 3339, UTC).
    #[schema(format = DateTime)]
    at: String,
    /// The id of the key that gave the command; absent: its time had come.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 13)]
    key: Option<String>,
    /// What happened, in order.
    #[schema(min_items = 1)]
    events: Vec<EventView>,
}

/// Which rule refuses.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct BrokenRuleView {
    /// Its place in the order of the checks, from 1.
    #[schema(minimum = 1)]
    step: u64,
    /// How many there are.
    steps: u64,
    /// For people: what was checked there, and what was found.
    #[schema(max_length = 500)]
    sentence: String,
}

/// What the slot would have said.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct DecisionView {
    /// `accepted` or `refused`.
    #[schema(max_length = 8, examples("refused"))]
    outcome: &'static str,
    /// What would have happened, if accepted; ids are examples.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<EventView>,
    /// What the caller would have been told, if refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Body>,
    /// By which rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<BrokenRuleView>,
}

/// A slot at some moment.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct HistoryView {
    /// The slot.
    #[schema(max_length = 13)]
    slot: String,
    /// The moment (RFC 3339, UTC).
    #[schema(format = DateTime)]
    at: String,
    /// Number of the last record of that moment; 0 if there was none.
    seq: u64,
    /// How it was.
    state: PastView,
    /// The records that led there, the newest last.
    #[schema(max_items = 1000)]
    records: Vec<RecordView>,
    /// Where to go on to earlier records; none if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<u64>,
    /// What the slot would have said to `command`.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<DecisionView>,
}

impl PastView {
    fn new(slot: &Slot, at: Timestamp) -> Self {
        let (places, opening) = (slot.places(), slot.opening());
        let channel = |channel: Channel| {
            let (i, (available, limited_by)) = (channel.index(), places.available(channel, at));
            PastChannel {
                channel,
                held: places.held[i],
                sold: places.sold[i],
                reserved: places.quotas[i].reserved,
                limit: places.quotas[i].limit,
                release_at: places.release_at(channel).to_string(),
                available: if at < sale_ends_at(slot.id(), opening.end, &opening.policy, channel) { available } else { 0 },
                limited_by,
            }
        };
        let mut holds: Vec<_> = slot.holds().collect();
        holds.sort_unstable_by_key(|(id, hold)| (hold.expires_at, **id));
        Self {
            opened: slot.is_opened(),
            ends_at: opening.end.to_string(),
            closed_reason: places.closed,
            capacity: places.capacity,
            beyond: places.beyond(),
            sellable: places.sellable(at),
            held: places.held.iter().sum(),
            sold: places.sold.iter().sum(),
            over: places.over(at),
            admitted: places.admitted,
            inside: places.inside,
            sales: slot.sales().count() as u64,
            live_holds: holds.len() as u64,
            holds: holds
                .into_iter()
                .take(HOLDS_MAX)
                .map(|(id, hold)| PastHold {
                    hold: id.to_string(),
                    channel: hold.channel,
                    people: people_of(&hold.lines),
                    held_at: hold.held_at.to_string(),
                    expires_at: hold.expires_at.to_string(),
                })
                .collect(),
            channels: Channel::ALL.map(channel).into(),
            live: places.live.as_ref().map(|live| LiveView::new(live, at)),
        }
    }
}

impl From<&Event> for EventView {
    fn from(event: &Event) -> Self {
        // An event is written as {"kind": {fields}}.
        match serde_json::to_value(event) {
            Ok(Value::Object(written)) => {
                let (kind, fields) = written.into_iter().next().unwrap_or_default();
                Self { kind, fields: readable(fields) }
            }
            _ => Self { kind: String::new(), fields: Value::Null },
        }
    }
}

/// The journal's words for people: instants as RFC 3339, channels' shares with their channel.
fn readable(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(members.into_iter().map(|(name, value)| member(name, value)).collect::<Map<_, _>>()),
        Value::Array(items) => Value::Array(items.into_iter().map(readable).collect()),
        other => other,
    }
}

fn member(name: String, value: Value) -> (String, Value) {
    let is_instant = name.ends_with("_at") || ["at", "since", "until", "start", "end"].contains(&name.as_str());
    let value = match value {
        Value::Number(number) if is_instant && number.is_i64() => Timestamp::from_micros(number.as_i64().unwrap_or_default()).to_string().into(),
        Value::Array(shares) if name == "quotas" && shares.len() == Channel::COUNT => shares
            .into_iter()
            .zip(Channel::ALL)
            .map(|(mut share, channel)| {
                if let Some(share) = share.as_object_mut() {
                    share.insert("channel".to_owned(), channel.name().into());
                }
                share
            })
            .collect(),
        other => readable(other),
    };
    (name, value)
}

impl From<&Record<Event>> for RecordView {
    fn from(record: &Record<Event>) -> Self {
        Self {
            seq: record.seq,
            at: record.at.to_string(),
            key: record.envelope.as_ref().map(|envelope| envelope.who.to_string()),
            events: record.events.iter().map(EventView::from).collect(),
        }
    }
}

impl BrokenRuleView {
    fn new(asked: Asked, refusal: &Refusal, problem: &Problem) -> Self {
        let code = refusal.code();
        let (found, (checked, steps)) = match asked {
            Asked::Admit | Asked::Exit => {
                (STEPS_AT_GATE.iter().position(|step| *step == code), ("what the gate checks".to_owned(), STEPS_AT_GATE.len()))
            }
            _ => {
                let found = STEPS.iter().position(|(_, codes)| codes.contains(&code));
                (found, (found.map_or("", |step| STEPS[step].0).to_owned(), STEPS.len()))
            }
        };
        let step = found.map_or(steps, |step| step + 1);
        let held_back = match refusal {
            Refusal::NotEnoughPlaces { asked, available, limited_by } => {
                format!(" ({available} left for {asked} people: {})", held_back(*limited_by))
            }
            _ => String::new(),
        };
        let sentence = format!("Step {step} of {steps}, {checked}: {}{held_back}.", problem.title());
        Self { step: step as u64, steps: steps as u64, sentence }
    }
}

fn held_back(limited_by: LimitedBy) -> &'static str {
    match limited_by {
        LimitedBy::Capacity => "all places are taken",
        LimitedBy::OtherQuotas => "the rest is kept for other channels until their release",
        LimitedBy::OwnLimit => "this channel has reached its own limit",
        LimitedBy::LiveCap => "too many people are inside the building",
    }
}

impl HistoryQuery {
    /// The command that is asked about, if one is.
    fn command(&self, node: &Node, slot: &Slot) -> Result<Option<(Asked, Command)>, Problem> {
        let Some(asked) = self.command else { return Ok(None) };
        let id = slot.id();
        let needs = |what: &str| Problem::invalid(format!("this command needs {what}"));
        let of_here = |other: SlotId| if other == id { Ok(()) } else { Err(Problem::invalid("what is named belongs to another slot")) };
        let hold = || self.hold.ok_or_else(|| needs("hold")).and_then(|hold| of_here(hold.slot()).map(|()| hold));
        let ticket = || self.ticket.ok_or_else(|| needs("ticket")).and_then(|ticket| of_here(ticket.slot()).map(|()| ticket));
        let party = || {
            let (channel, count) = (self.channel.ok_or_else(|| needs("channel"))?, self.people.ok_or_else(|| needs("people"))?);
            let any = |category| vec![Line { category, count, price_cents: Cents::ZERO, proof: Proof::None }];
            let lines = match self.category {
                Some(category) => by_tariff(node, id, channel, &[LineForm { category, count }])?,
                None => any(named("any")?),
            };
            Ok::<_, Problem>((channel, lines))
        };
        let (owner, museum) = (self.key, id.museum());
        let command = match asked {
            Asked::Hold => {
                let (channel, lines) = party()?;
                Command::Hold { hold: HoldId::new(id, random()), channel, lines }
            }
            Asked::Sell => {
                let (channel, lines) = party()?;
                let settlement = fitting(channel, &lines)?;
                Command::SellDirect { sale: HoldId::new(id, random()), channel, lines, settlement, contact: None }
            }
            Asked::Extend => Command::Extend { hold: hold()?, owner },
            Asked::Release => Command::Release { hold: hold()?, owner },
            Asked::Confirm => {
                let hold = hold()?;
                let settlement = slot.hold_of(hold).map_or(Ok(Settlement::Free), |hold| fitting(hold.channel, &hold.lines))?;
                Command::Sell { hold, owner, settlement, contact: None }
            }
            Asked::Cancel => {
                let sale = self.sale.ok_or_else(|| needs("sale"))?;
                of_here(sale.slot())?;
                Command::Cancel { sale, owner, tickets: Vec::new(), cause: CancelCause::Visitor }
            }
            Asked::Admit => Command::Admit { ticket: ticket()?, issue: None, gate: named("gate")?, museum },
            Asked::Exit => Command::Exit { ticket: ticket()?, gate: named("gate")?, museum },
        };
        Ok(Some((asked, command)))
    }
}

/// The settlement that a channel would use for what is due; one that may not settle it at all is told so by the slot.
fn fitting(channel: Channel, lines: &[Line]) -> Result<Settlement, Problem> {
    Ok(match channel {
        _ if total(lines).is_zero() => Settlement::Free,
        Channel::BoxOffice | Channel::Kiosk => Settlement::Desk { till: named("till")?, method: DeskMethod::Card, reference: String::new() },
        Channel::Web | Channel::Group | Channel::Reseller => Settlement::OnAccount { account: named("account")? },
    })
}

/// A name that stands for any, where a command needs one and the decision does not.
fn named(name: &str) -> Result<Code, Problem> {
    name.parse().map_err(|_| Problem::unavailable("the command cannot be made"))
}

fn decided(slot: &Slot, at: Timestamp, asked: Asked, command: &Command) -> DecisionView {
    match slot.decide(at, command) {
        Ok(events) => DecisionView { outcome: "accepted", events: events.iter().map(EventView::from).collect(), problem: None, rule: None },
        Err(refusal) => {
            let problem = Problem::from(refusal.clone());
            let rule = Some(BrokenRuleView::new(asked, &refusal, &problem));
            DecisionView { outcome: "refused", events: Vec::new(), problem: Some(problem.into_body()), rule }
        }
    }
}

/// Explain a slot at some moment.
///
/// How it was, the records that led there, and with `command` what it would have said to that command, with the rule if it refuses. Nothing is changed. Records
/// are those on the disk; before the first one the slot is shown as that one opened it.
#[utoipa::path(
    tag = "Slots", operation_id = "get_slot_history", security(("key" = ["manage"])),
    params(("slot" = String, Path, description = "The slot", max_length = 13, example = "0009000102r4e"), HistoryQuery),
    responses((status = 200, description = "The slot at that moment", body = HistoryView), crate::openapi::Problems),
)]
#[get("/slots/{slot}/history")]
pub async fn get(node: web::Data<Node>, caller: Caller, slot: web::Path<SlotId>, query: web::Query<HistoryQuery>) -> Result<HttpResponse, Problem> {
    let id = slot.into_inner();
    caller.may_at(Scope::Manage, id.museum())?;
    let now = node.now();
    let at = instant_of("at", query.at.as_deref())?.unwrap_or(now);
    if at > now {
        return Err(Problem::invalid("at: the future has no history"));
    }
    let limit = query.limit.unwrap_or(PAGE);
    within("limit", limit, RECORDS_MAX)?;
    query.people.map_or(Ok(()), |people| within("people", people.into(), PEOPLE_MAX))?;
    let Past { slot, seq, records, more } = node.history(id, at, Page { before: query.cursor, limit: limit as usize }).await?;
    let decision = query.command(&node, &slot)?.map(|(asked, command)| decided(&slot, at, asked, &command));
    Ok(HttpResponse::Ok().json(HistoryView {
        slot: id.to_string(),
        at: at.to_string(),
        seq,
        state: PastView::new(&slot, at),
        next_cursor: records.first().filter(|_| more).map(|record| record.seq),
        records: records.iter().map(RecordView::from).collect(),
        decision,
    }))
}
