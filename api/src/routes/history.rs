//! What a slot was at some moment, what led there, and what it would have said to a command: how staff explain a decision of yesterday. Read from the journal,
//! past the slot's mailbox; nothing is changed. What can be asked is in `asked`, what is asked before a slot is in `before`.

mod asked;
mod before;

use actix_web::http::header::HeaderValue;
use actix_web::{HttpRequest, HttpResponse, get, web};
use serde::Serialize;
use serde_json::{Map, Value};
use tornello_actors::failure::Failure;
use tornello_actors::history::{Page, Past};
use tornello_actors::node::Node;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{Code, SlotId};
use tornello_engine::museum::Museum;
use tornello_engine::record::Record;
use tornello_engine::slot::{
    Command, Event, LimitedBy, Refusal, STEPS, STEPS_AT_GATE, STEPS_OF_SCANS, Slot, Waiting, people as people_of, sale_ends_at, sale_opens_at,
};
use tornello_engine::time::Timestamp;

use crate::auth::{Caller, Scope};
use crate::problem::{Body, Problem};
use crate::routes::slots::LiveView;
use crate::routes::waiting::OvertakingView;
use crate::routes::{PAGE, instant_of, within};
use crate::words::{ChannelWord, LimitedByWord};
use asked::{Asked, Asker, HistoryQuery};
use before::{Before, Kept, StepBefore, StepBeforeView};

/// The most records of one answer.
const RECORDS_MAX: u32 = 1_000;
/// The most live holds that are listed; all are counted.
const HOLDS_MAX: usize = 1_000;

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

/// A party that waited.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PastWaiting {
    /// Its entry.
    #[schema(max_length = 26)]
    entry: String,
    /// The how-manieth to join the list: the order in which parties were served, each as soon as it fitted wholly.
    number: u64,
    /// Through which channel.
    #[schema(value_type = ChannelWord)]
    channel: Channel,
    /// How many people.
    people: u32,
    /// The id of the key that joined for them.
    #[schema(max_length = 13)]
    key: String,
    /// Since when (RFC 3339, UTC).
    #[schema(format = DateTime)]
    since: String,
    /// How many parties that joined later had been served while it waited.
    overtaken: u32,
    /// The last of them to join, at most 20, each with what was free for this party then.
    #[schema(max_items = 20)]
    overtaken_by: Vec<OvertakingView>,
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
    /// Places that were held over the web and not bought, and are not free yet: they count as taken.
    resting: u32,
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
    /// Those who waited, in the order of joining.
    #[schema(max_items = 1000)]
    waiting: Vec<PastWaiting>,
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

/// What would have been said.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct DecisionView {
    /// What the slot says, if it is asked: `accepted` or `refused`.
    #[schema(max_length = 8, examples("refused"))]
    outcome: &'static str,
    /// What would have happened, if accepted; ids are examples.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<EventView>,
    /// What the caller would have been told by the slot, if refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Body>,
    /// By which rule of the slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<BrokenRuleView>,
    /// What is asked before the slot is, each step of it in order: whether it would have let the request pass.
    #[schema(max_items = 13)]
    asked_before: Vec<StepBeforeView>,
    /// The first of these steps that refuses: then the slot was not asked, whatever it would have said. Absent if none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_before: Option<StepBefore>,
    /// The steps that are not decided here: any of them may have refused all the same.
    #[schema(max_items = 13)]
    not_decided: Vec<StepBefore>,
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
    /// What would have been said to `command`: by the slot, and before it is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<DecisionView>,
}

impl PastWaiting {
    fn new(slot: &Slot, party: &Waiting) -> Self {
        let (overtaken, overtaken_by) = OvertakingView::of(slot, party.entry);
        Self {
            entry: party.entry.to_string(),
            number: party.number,
            channel: party.channel,
            people: party.people(),
            key: party.who.to_string(),
            since: party.since.to_string(),
            overtaken,
            overtaken_by,
        }
    }
}

impl PastView {
    fn new(slot: &Slot, at: Timestamp) -> Self {
        let (places, opening) = (slot.places(), slot.opening());
        let channel = |channel: Channel| {
            let (i, (available, limited_by)) = (channel.index(), places.available(channel, at));
            let sold = sale_opens_at(slot.id(), &opening.policy)..sale_ends_at(slot.id(), opening.end, &opening.policy, channel);
            PastChannel {
                channel,
                held: places.held[i],
                sold: places.sold[i],
                reserved: places.quotas[i].reserved,
                limit: places.quotas[i].limit,
                release_at: places.release_at(channel).to_string(),
                available: if sold.contains(&at) { available } else { 0 },
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
            resting: places.resting,
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
            waiting: slot.waiting().map(|party| PastWaiting::new(slot, party)).collect(),
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
    let is_instant = name.ends_with("_at") || name.ends_with("_until") || ["at", "since", "until", "start", "end"].contains(&name.as_str());
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
        let found_in = |steps: &[&str]| steps.iter().position(|step| *step == code);
        let (found, (checked, steps)) = match asked {
            Asked::Admit | Asked::Exit => (found_in(&STEPS_AT_GATE), ("what the gate checks".to_owned(), STEPS_AT_GATE.len())),
            Asked::Scan => (found_in(&STEPS_OF_SCANS), ("what is checked of a scan that comes in later".to_owned(), STEPS_OF_SCANS.len())),
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

/// What is asked of the slot, under which envelope, and of a move the other slot as it was then; none: there was no such slot.
struct Question {
    asked: Asked,
    envelope: Envelope,
    command: Command,
    there: Option<Slot>,
    before: Vec<StepBeforeView>,
}

impl Question {
    /// What is asked, if anything is, with all that is asked before the slot is. The museum's prices are those of that time, and so is the other slot of a move.
    async fn of(node: &Node, query: &HistoryQuery, museum: &Museum, slot: &Slot, at: Timestamp) -> Result<Option<Self>, Problem> {
        if query.command.is_none() {
            return Ok(None);
        }
        let asker = Asker::of(node, query, slot, at).await?;
        let Some((asked, command)) = query.command(museum, slot, &asker)? else { return Ok(None) };
        let kept = Kept::of(node, &command, slot, at).await?;
        let command = match kept {
            Some(kept) => kept.given(command, slot),
            None => command,
        };
        let there = match &command {
            Command::BeginMove { arrival, .. } if arrival.slot() != slot.id() && arrival.slot().museum() == museum.id() => {
                match node.history(arrival.slot(), at, Page { before: Some(0), limit: 0 }).await {
                    Ok(past) if past.slot.is_opened() => Some(past.slot),
                    Ok(_) | Err(Failure::UnknownSlot(_)) => museum.planned(arrival.slot()),
                    Err(failure) => return Err(failure.into()),
                }
            }
            _ => None,
        };
        let envelope = query.envelope(node, at)?;
        let before = Before {
            node,
            at,
            museum,
            slot,
            there: there.as_ref(),
            asked,
            command: &command,
            envelope: &envelope,
            asker: &asker,
            is_priced: query.is_priced(),
            account: query.charged(&asker),
            kept,
        };
        let before = before.steps().await?;
        Ok(Some(Self { asked, envelope, command, there, before }))
    }

    /// What the slot would have said; of a move, what the other one would have said where this one would have let the tickets go.
    fn decide(&self, slot: &Slot, at: Timestamp) -> Result<Vec<Event>, Refusal> {
        let events = slot.decide_for(at, &self.envelope, &self.command)?;
        let begun = events.iter().find_map(|event| if let Event::MoveBegun(begun) = event { Some(begun) } else { None });
        if let Some(arrive) = begun.and_then(|begun| slot.arrival(begun)) {
            self.there.as_ref().ok_or(Refusal::UnknownSlot)?.decide_for(at, &self.envelope, &arrive)?;
        }
        Ok(events)
    }

    fn decided(self, slot: &Slot, at: Timestamp) -> DecisionView {
        let (outcome, events, refusal) = match self.decide(slot, at) {
            Ok(events) => ("accepted", events.iter().map(EventView::from).collect(), None),
            Err(refusal) => ("refused", Vec::new(), Some(refusal)),
        };
        let refused = refusal.map(|refusal| {
            let problem = Problem::from(refusal.clone());
            (BrokenRuleView::new(self.asked, &refusal, &problem), problem.into_body())
        });
        let (rule, problem) = refused.unzip();
        DecisionView {
            outcome,
            events,
            problem,
            rule,
            refused_before: StepBeforeView::refused(&self.before),
            not_decided: StepBeforeView::not_decided(&self.before),
            asked_before: self.before,
        }
    }
}

/// Whom a header names.
fn named_by(request: &HttpRequest, header: &str) -> Result<Option<String>, Problem> {
    let text = |value: &HeaderValue| std::str::from_utf8(value.as_bytes()).map(str::to_owned);
    let named = request.headers().get(header).map(text).transpose();
    named.map_err(|_| Problem::malformed(format!("{header}: text in UTF-8 is expected")))
}

/// Explain a slot at some moment.
///
/// How the slot was, who waited and who had been served before them, and the records that led there. With `command` also what the slot would have said to just that command, and the rule if it
/// refuses: for that buyer at that device, on that issue of the code, at the prices of that time, settled like that. The command is taken for a new request, no repeat. Nothing is changed.
///
/// `asked_before` says of each step that comes before the slot whether it would have let the request pass: the key, waiting rooms, prices, the account, what the buyer had in other slots, the museum's
/// plan. A category that the tariff of then did not sell there is refused by the step `prices`; the slot is asked as if it cost nothing. `not_decided` names what cannot be told for the past: whether
/// there was room for the request, whom a waiting room had let through, what the rules against fraud said, how full the building was by the gates of all slots.
///
/// Records are those on the disk. Before the first one the slot is shown as the plan of that time has it, or, if that plan has it not, as it was planned later.
#[utoipa::path(
    tag = "Slots", operation_id = "get_slot_history", security(("key" = ["manage"])),
    params(("slot" = String, Path, description = "The slot", max_length = 13, example = "0009000102r4e"),
        ("Buyer" = Option<String>, Header, description = "The buyer, as `buyer` in the query names them, where no log keeps it", max_length = 256),
        ("Device" = Option<String>, Header, description = "The device, as `device` in the query names it, where no log keeps it", max_length = 256), HistoryQuery),
    responses((status = 200, description = "The slot at that moment", body = HistoryView), crate::openapi::Problems),
)]
#[get("/slots/{slot}/history")]
pub async fn get(
    node: web::Data<Node>,
    caller: Caller,
    slot: web::Path<SlotId>,
    query: web::Query<HistoryQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (id, mut query) = (slot.into_inner(), query.into_inner());
    caller.may_at(Scope::Manage, id.museum())?;
    query.name(named_by(&request, "Buyer")?, named_by(&request, "Device")?)?;
    let now = node.now();
    let at = instant_of("at", query.at.as_deref())?.unwrap_or(now);
    if at > now {
        return Err(Problem::invalid("at: the future has no history"));
    }
    let limit = query.limit.unwrap_or(PAGE);
    within("limit", limit, RECORDS_MAX)?;
    query.validate()?;
    let found = match node.history(id, at, Page { before: query.cursor, limit: limit as usize }).await {
        Ok(past) => Some(past),
        Err(Failure::UnknownSlot(_)) => None,
        Err(failure) => return Err(failure.into()),
    };
    let is_written = found.as_ref().is_some_and(|past| past.slot.is_opened());
    let museum = if is_written && query.command.is_none() { None } else { Some(node.museum_then(id.museum(), at).await?) };
    // What nobody had written to was as the museum of that time says.
    let planned = museum.as_ref().filter(|_| !is_written).and_then(|museum| museum.planned(id)).map(Past::planned);
    let Past { slot, seq, records, more } = planned.or(found).ok_or(Failure::<Refusal>::UnknownSlot(id))?;
    let question = match &museum {
        Some(museum) => Question::of(&node, &query, museum, &slot, at).await?,
        None => None,
    };
    // A thousand records and holds are much to write down for a thread that answers others as well.
    let view = move || HistoryView {
        slot: id.to_string(),
        at: at.to_string(),
        seq,
        state: PastView::new(&slot, at),
        next_cursor: records.first().filter(|_| more).map(|record| record.seq),
        records: records.iter().map(RecordView::from).collect(),
        decision: question.map(|question| question.decided(&slot, at)),
    };
    let view = web::block(view).await.map_err(|_| Problem::unavailable("the history could not be written down"))?;
    Ok(HttpResponse::Ok().json(view))
}
