//! Opening plans as callers write them: hours by the day of the week, exceptions, quotas by channel. What makes a plan sound is known to `engine::plan`.

use actix_web::middleware::Compress;
use actix_web::{HttpRequest, HttpResponse, get, put, web};
use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};
use tornello_actors::node::Node;
use tornello_engine::channel::Channel;
use tornello_engine::ids::{Code, RouteId};
use tornello_engine::museum::{Command, Event, PlanSet};
use tornello_engine::plan::{Exception, OpeningPlan, Route, Session};
use tornello_engine::slot::{Limits, Policy, Quota, Reentry, Refund};
use tornello_engine::text::Text;

use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Large, envelope};
use crate::routes::museum_of;
use crate::routes::revisions::{On, in_force, newly_set, none_holds, only_if};
use crate::words::ChannelWord;

/// A short text in two languages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TextForm {
    /// In Italian.
    #[schema(max_length = 200, examples("Percorso di visita"))]
    pub it: String,
    /// In English.
    #[schema(max_length = 200, examples("Main route"))]
    pub en: String,
}

impl From<TextForm> for Text {
    fn from(form: TextForm) -> Self {
        Self { it: form.it, en: form.en }
    }
}

impl From<&Text> for TextForm {
    fn from(text: &Text) -> Self {
        Self { it: text.it.clone(), en: text.en.clone() }
    }
}

/// A time of the day in Rome, as `09:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct ClockTime(#[serde(deserialize_with = "crate::strict::time")] Time);

impl ClockTime {
    /// The time of the day.
    #[must_use]
    pub const fn time(self) -> Time {
        self.0
    }
}

impl Serialize for ClockTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:02}:{:02}", self.0.hour(), self.0.minute()))
    }
}

/// A channel's share of a slot, until its release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuotaForm {
    /// `web`, `kiosk`, `box_office`, `group` or `reseller`; each at most once.
    #[schema(value_type = ChannelWord)]
    pub channel: Channel,
    /// Places kept for this channel: no other channel may take them before the release.
    #[serde(default)]
    #[schema(maximum = 100_000, examples(5))]
    pub reserved: u32,
    /// The most that this channel may take before the release; absent: all that others have not reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100_000, examples(10))]
    pub limit: Option<u32>,
    /// Seconds before the slot's start at which the quota ends and what is unsold returns to all.
    #[serde(default)]
    #[schema(maximum = 31_536_000, examples(86_400))]
    pub release_s: u32,
}

/// Quotas in the engine's order; channels that are not named have none.
pub fn quotas(forms: &[QuotaForm]) -> Result<[Quota; Channel::COUNT], Problem> {
    const MOST: u32 = 100_000;
    const RELEASE_MAX_S: u32 = 31_536_000;
    let mut quotas = [Quota::default(); Channel::COUNT];
    for (i, form) in forms.iter().enumerate() {
        if forms[..i].iter().any(|other| other.channel == form.channel) {
            return Err(Problem::invalid(format!("channel {} stands twice", form.channel)));
        }
        if form.reserved > MOST || form.limit.is_some_and(|limit| limit > MOST || limit < form.reserved) {
            return Err(Problem::invalid("let reserved be at most 100000, and limit at least reserved"));
        }
        if form.release_s > RELEASE_MAX_S {
            return Err(Problem::invalid("let release_s be at most 31536000: a year before the start"));
        }
        quotas[form.channel.index()] = Quota { reserved: form.reserved, limit: form.limit, release_s: form.release_s };
    }
    Ok(quotas)
}

/// Quotas for people: those that say something.
#[must_use]
pub fn quota_forms(quotas: &[Quota; Channel::COUNT]) -> Vec<QuotaForm> {
    let form = |channel: Channel| {
        let Quota { reserved, limit, release_s } = quotas[channel.index()];
        QuotaForm { channel, reserved, limit, release_s }
    };
    Channel::ALL.into_iter().filter(|channel| quotas[channel.index()] != Quota::default()).map(form).collect()
}

/// A time of opening without a break, in civil time in Rome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionForm {
    /// When it opens.
    #[schema(value_type = String, max_length = 8, examples("09:00"))]
    pub opens: ClockTime,
    /// When it closes; at or before `opens`: on the next day.
    #[schema(value_type = String, max_length = 8, examples("19:00"))]
    pub closes: ClockTime,
    /// Length of a slot in minutes.
    #[schema(minimum = 5, maximum = 1440, examples(60))]
    pub slot_minutes: u16,
    /// The last slot starts at or before this time.
    #[schema(value_type = String, max_length = 8, examples("18:00"))]
    pub last_entry: ClockTime,
    /// Places of each slot.
    #[schema(minimum = 1, maximum = 100_000, examples(20))]
    pub capacity: u32,
    /// The channels' shares; channels that are not named have none.
    #[serde(default)]
    #[schema(max_items = 5)]
    pub quotas: Vec<QuotaForm>,
}

/// The sessions of each day of the week; a day without sessions is a closing day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WeekForm {
    /// Monday's.
    #[schema(max_items = 24)]
    pub monday: Vec<SessionForm>,
    /// Tuesday's.
    #[schema(max_items = 24)]
    pub tuesday: Vec<SessionForm>,
    /// Wednesday's.
    #[schema(max_items = 24)]
    pub wednesday: Vec<SessionForm>,
    /// Thursday's.
    #[schema(max_items = 24)]
    pub thursday: Vec<SessionForm>,
    /// Friday's.
    #[schema(max_items = 24)]
    pub friday: Vec<SessionForm>,
    /// Saturday's.
    #[schema(max_items = 24)]
    pub saturday: Vec<SessionForm>,
    /// Sunday's.
    #[schema(max_items = 24)]
    pub sunday: Vec<SessionForm>,
}

/// A date that is not as its day of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExceptionForm {
    /// The date in Rome.
    #[serde(deserialize_with = "crate::strict::day")]
    #[schema(value_type = String, format = Date, examples("2026-12-25"))]
    pub date: Date,
    /// They replace those of the day of the week; none: closed.
    #[serde(default)]
    #[schema(max_items = 24)]
    pub sessions: Vec<SessionForm>,
    /// Why, for visitors and staff.
    #[schema(max_length = 200, examples("Natale"))]
    pub reason: String,
}

/// How slots are sold and entered. All times are seconds; what is not given has the usual value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyForm {
    /// How long before the start sales open.
    #[schema(default = 7_776_000)]
    pub sale_opens_s: u32,
    /// How long before the start sales of channels other than the box office and the kiosk close.
    #[schema(default = 0)]
    pub sale_closes_s: u32,
    /// How long a hold lives.
    #[schema(minimum = 1, default = 900)]
    pub hold_ttl_s: u32,
    /// By how much the one extension of a hold prolongs it.
    #[schema(default = 600)]
    pub hold_extend_s: u32,
    /// The largest party of one hold.
    #[schema(minimum = 1, default = 30)]
    pub party_max: u16,
    /// How long before the start the gate lets a ticket in.
    #[schema(default = 900)]
    pub admit_early_s: u32,
    /// How long after the end the gate still lets a ticket in.
    #[schema(default = 900)]
    pub admit_late_s: u32,
    /// How many times who left may come back on the same ticket.
    #[schema(default = 0)]
    pub reentry_times_max: u8,
    /// For how long after the first admission.
    #[schema(default = 0)]
    pub reentry_within_s: u32,
    /// Until how long before the start a visitor who cancels gets everything back.
    #[schema(default = 172_800)]
    pub refund_full_until_s: u32,
    /// Whole percent paid back after that.
    #[schema(maximum = 100, default = 50)]
    pub refund_part_percent: u8,
    /// Until how long before the start that part is paid back.
    #[schema(default = 86_400)]
    pub refund_part_until_s: u32,
    /// How long a visitor stays, on average.
    #[schema(default = 5_400)]
    pub dwell_s: u32,
    /// A sensor's word older than this is not believed.
    #[schema(default = 900)]
    pub stale_after_s: u32,
    /// The most people whom one buyer of the web shop, a kiosk or a reseller may have in holds and tickets of one slot; none: no limit. Buyers are known by the party
    /// `buyer` of requests, an e-mail address in any case and with or without spaces; who is not named is not limited: see `buyer_required`.
    #[schema(minimum = 1)]
    pub buyer_tickets_max: Option<u16>,
    /// The most open holds of one buyer at the museum, with entries of waiting lists, over the slots that were opened under such a limit; none: no limit.
    #[schema(minimum = 1)]
    pub buyer_holds_max: Option<u16>,
    /// The most people whom one buyer may have in holds, waiting lists and tickets of the museum on one day, over the slots that were opened under such a limit; none: no
    /// limit.
    #[schema(minimum = 1)]
    pub buyer_day_max: Option<u16>,
    /// Whether web shops keep places, join waiting lists and sell at once only for somebody: for a party `buyer` or `device`, else `buyer_missing`. Without it whoever names
    /// nobody has no limit, and is told apart by the network alone.
    #[schema(default = false)]
    pub buyer_required: bool,
    /// How long places rest at most that were held over the web and not bought, if less than a fifth of those for the web were left when the hold ended. They come back at a
    /// moment that is drawn by lot and told to nobody. For as long as this, the buyer and the device that held them may hold no places there again and join no waiting list
    /// (`hold_renewed`). 0: they are free at once.
    #[schema(minimum = 0, maximum = 3_600, default = 0)]
    pub rest_max_s: u32,
    /// For how long tickets of a suspicious sale are kept from the gate at most while somebody looks; never into the visit.
    #[schema(default = 259_200)]
    pub review_s: u32,
}

impl Default for PolicyForm {
    fn default() -> Self {
        Self::from(&Policy::default())
    }
}

impl From<&Policy> for PolicyForm {
    fn from(policy: &Policy) -> Self {
        Self {
            sale_opens_s: policy.sale_opens_s,
            sale_closes_s: policy.sale_closes_s,
            hold_ttl_s: policy.hold_ttl_s,
            hold_extend_s: policy.hold_extend_s,
            party_max: policy.party_max,
            admit_early_s: policy.admit_early_s,
            admit_late_s: policy.admit_late_s,
            reentry_times_max: policy.reentry.times_max,
            reentry_within_s: policy.reentry.within_s,
            refund_full_until_s: policy.refund.full_until_s,
            refund_part_percent: policy.refund.part_percent,
            refund_part_until_s: policy.refund.part_until_s,
            dwell_s: policy.dwell_s,
            stale_after_s: policy.stale_after_s,
            buyer_tickets_max: policy.limits.tickets_max,
            buyer_holds_max: policy.limits.holds_max,
            buyer_day_max: policy.limits.day_max,
            buyer_required: policy.limits.buyer_required,
            rest_max_s: policy.limits.rest_max_s,
            review_s: policy.limits.review_s,
        }
    }
}

impl From<PolicyForm> for Policy {
    fn from(form: PolicyForm) -> Self {
        Self {
            sale_opens_s: form.sale_opens_s,
            sale_closes_s: form.sale_closes_s,
            hold_ttl_s: form.hold_ttl_s,
            hold_extend_s: form.hold_extend_s,
            party_max: form.party_max,
            admit_early_s: form.admit_early_s,
            admit_late_s: form.admit_late_s,
            reentry: Reentry { times_max: form.reentry_times_max, within_s: form.reentry_within_s },
            refund: Refund { full_until_s: form.refund_full_until_s, part_percent: form.refund_part_percent, part_until_s: form.refund_part_until_s },
            ceiling: None,
            dwell_s: form.dwell_s,
            stale_after_s: form.stale_after_s,
            limits: Limits {
                tickets_max: form.buyer_tickets_max,
                holds_max: form.buyer_holds_max,
                day_max: form.buyer_day_max,
                review_s: form.review_s,
                buyer_required: form.buyer_required,
                rest_max_s: form.rest_max_s,
            },
        }
    }
}

/// One kind of visit with slots of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteForm {
    /// Its number, part of the ids of its slots: the same number is the same route in all plans of a museum.
    #[schema(examples(1))]
    pub number: u16,
    /// Its short name in the API.
    #[schema(value_type = String, max_length = 23, examples("main"))]
    pub code: Code,
    /// Its name for visitors.
    pub name: TextForm,
    /// The sessions of each day of the week.
    pub week: WeekForm,
    /// Dates that are not as their day of the week.
    #[serde(default)]
    #[schema(max_items = 1000)]
    pub exceptions: Vec<ExceptionForm>,
    /// How its slots are sold and entered.
    #[serde(default)]
    pub policy: PolicyForm,
}

/// When a museum is open, on each of its routes. No route, or no session on any: it is closed, for which the form asks to say `closed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanBody {
    /// The routes.
    #[schema(max_items = 16)]
    pub routes: Vec<RouteForm>,
}

fn sessions(forms: &[SessionForm]) -> Result<Vec<Session>, Problem> {
    let session = |form: &SessionForm| {
        let SessionForm { opens, closes, slot_minutes, last_entry, capacity, .. } = *form;
        let quotas = quotas(&form.quotas)?;
        Ok(Session { opens: opens.0, closes: closes.0, slot_minutes, last_entry: last_entry.0, capacity, quotas })
    };
    forms.iter().map(session).collect()
}

fn session_forms(sessions: &[Session]) -> Vec<SessionForm> {
    let form = |session: &Session| SessionForm {
        opens: ClockTime(session.opens),
        closes: ClockTime(session.closes),
        slot_minutes: session.slot_minutes,
        last_entry: ClockTime(session.last_entry),
        capacity: session.capacity,
        quotas: quota_forms(&session.quotas),
    };
    sessions.iter().map(form).collect()
}

impl TryFrom<PlanBody> for OpeningPlan {
    type Error = Problem;

    fn try_from(body: PlanBody) -> Result<Self, Problem> {
        let exception = |form: ExceptionForm| Ok(Exception { date: form.date, sessions: sessions(&form.sessions)?, reason: form.reason });
        let route = |form: RouteForm| {
            let WeekForm { monday, tuesday, wednesday, thursday, friday, saturday, sunday } = &form.week;
            Ok(Route {
                id: RouteId(form.number),
                code: form.code,
                name: form.name.into(),
                week: [
                    sessions(monday)?,
                    sessions(tuesday)?,
                    sessions(wednesday)?,
                    sessions(thursday)?,
                    sessions(friday)?,
                    sessions(saturday)?,
                    sessions(sunday)?,
                ],
                exceptions: form.exceptions.into_iter().map(exception).collect::<Result<_, Problem>>()?,
                policy: form.policy.into(),
            })
        };
        Ok(Self { routes: body.routes.into_iter().map(route).collect::<Result<_, Problem>>()? })
    }
}

impl From<&OpeningPlan> for PlanBody {
    fn from(plan: &OpeningPlan) -> Self {
        let exception = |exception: &Exception| ExceptionForm {
            date: exception.date,
            sessions: session_forms(&exception.sessions),
            reason: exception.reason.clone(),
        };
        let route = |route: &Route| {
            let [monday, tuesday, wednesday, thursday, friday, saturday, sunday] = route.week.each_ref().map(|day| session_forms(day));
            RouteForm {
                number: route.id.0,
                code: route.code,
                name: TextForm::from(&route.name),
                week: WeekForm { monday, tuesday, wednesday, thursday, friday, saturday, sunday },
                exceptions: route.exceptions.iter().map(exception).collect(),
                policy: PolicyForm::from(&route.policy),
            }
        };
        Self { routes: plan.routes.iter().map(route).collect() }
    }
}

/// A plan with the day from which it is to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanForm {
    /// The first day in Rome, today at the earliest.
    #[serde(deserialize_with = "crate::strict::day")]
    #[schema(value_type = String, format = Date, examples("2027-01-01"))]
    pub valid_from: Date,
    /// The plan.
    pub plan: PlanBody,
    /// Whether the museum is to be shut from that day on. Only with a plan by which nothing ever opens, and that is taken with this word alone. To close some days give
    /// the routes `exceptions` without sessions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
}

/// A plan in force.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PlanView {
    /// Counts the museum's plans from 1.
    revision: u32,
    /// The first day in Rome.
    #[schema(value_type = String, format = Date)]
    valid_from: Date,
    /// The plan.
    plan: PlanBody,
}

/// Read the opening plan.
///
/// The one in force on a day. `ETag` is its revision.
#[utoipa::path(
    tag = "Museums", operation_id = "get_plan", security(("key" = ["read"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"), On,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` that you have")),
    responses((status = 200, description = "The plan", body = PlanView, headers(("ETag" = String, description = "The revision"),
        ("Cache-Control" = String, description = "`private, no-cache`: keep it, and ask with `If-None-Match` whether it still holds"))),
        (status = 304, description = "You have it"), crate::openapi::Problems),
)]
#[get("/museums/{museum}/plan", wrap = "Compress::default()")]
pub async fn get_plan(
    node: web::Data<Node>,
    caller: Caller,
    museum: web::Path<String>,
    on: web::Query<On>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Read, &museum)?;
    let date = on.day(&node);
    let found = known.museum.plan_on(date).zip(known.museum.plan_since(date));
    let ((revision, plan), valid_from) = found.ok_or_else(none_holds)?;
    Ok(in_force(&request, revision, PlanView { revision, valid_from, plan: PlanBody::from(plan) }))
}

/// Asserts that whoever shuts a museum says so: an empty plan is mostly a slip, and every slot from its day on goes with it.
fn said_so(plan: &OpeningPlan, valid_from: Date, closed: bool) -> Result<(), Problem> {
    match (plan.ever_opens(valid_from), closed) {
        (true, false) | (false, true) => Ok(()),
        (false, false) => Err(Problem::invalid(format!("plan: nothing ever opens by it, which would shut the museum from {valid_from} on")).detail(
            "To close some days, give the routes `exceptions` of these dates without sessions. To shut the museum until a later plan, say \"closed\": true beside the plan.",
        )),
        (true, true) => Err(Problem::invalid("closed: by this plan the museum opens").detail("Leave `closed` out, or give a plan without sessions.")),
    }
}

/// Set the opening plan.
///
/// It holds from a day on, until a plan with a later day; one with the same day is replaced. Slots that were touched keep the plan under which they were.
/// With `If-Match` it is set only if that revision is in force on the first day. A plan by which nothing ever opens shuts the museum: it is taken with `"closed": true` only.
#[utoipa::path(
    tag = "Museums", operation_id = "set_plan", security(("key" = ["manage"])),
    request_body(content = PlanForm, example = json!({"valid_from": "2027-01-01", "plan": {"routes": [{
        "number": 1, "code": "main", "name": {"it": "Percorso di visita", "en": "Main route"},
        "week": {
            "tuesday": [{"opens": "09:00", "closes": "19:00", "slot_minutes": 60, "last_entry": "18:00", "capacity": 20,
                "quotas": [{"channel": "group", "reserved": 5, "release_s": 86400}]}],
            "saturday": [{"opens": "09:00", "closes": "22:00", "slot_minutes": 30, "last_entry": "21:00", "capacity": 15}]
        },
        "exceptions": [{"date": "2027-12-25", "sessions": [], "reason": "Natale"}],
        "policy": {"party_max": 25, "reentry_times_max": 1, "reentry_within_s": 7200}
    }]}})),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"),
        ("Idempotency-Key" = String, Header, description = "A new value for each request"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what you change")),
    responses((status = 200, description = "The plan is set", body = PlanView, headers(("ETag" = String, description = "The revision"))),
        (status = 412, description = "Another revision is in force", body = crate::problem::Body, content_type = "application/problem+json"),
        crate::openapi::Problems),
)]
#[put("/museums/{museum}/plan")]
pub async fn set_plan(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    museum: web::Path<String>,
    request: HttpRequest,
    form: Large<PlanForm>,
) -> Result<HttpResponse, Problem> {
    let id = museum_of(&node, &caller, Scope::Manage, &museum)?.museum.id();
    let envelope = envelope(&node, &caller, &key, &["plan"], &form.0, &[], None)?;
    let PlanForm { valid_from, plan, closed } = form.0;
    let plan = OpeningPlan::try_from(plan)?;
    said_so(&plan, valid_from, closed)?;
    let record = node.museum(id, envelope, only_if(&request, Command::SetPlan { valid_from, plan })?).await?;
    newly_set(&record.events, |event| {
        let &Event::PlanSet(PlanSet { revision, valid_from, ref plan }) = event else { return None };
        Some((revision, PlanView { revision, valid_from, plan: PlanBody::from(plan) }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_taken_up_to_what_the_contract_says_and_no_further() {
        let form = |reserved, limit, release_s| QuotaForm { channel: Channel::Web, reserved, limit, release_s };
        for (form, taken) in [
            (form(100_000, Some(100_000), 31_536_000), true),
            (form(100_001, None, 0), false),
            (form(0, Some(100_001), 0), false),
            (form(0, None, 31_536_001), false),
            (form(5, Some(5), 0), true),
            (form(5, Some(4), 0), false),
        ] {
            let read = quotas(&[form]).map(|quotas| quota_forms(&quotas)).map_err(|problem| problem.code());
            assert_eq!(read, if taken { Ok(vec![form]) } else { Err("invalid") });
        }
        assert!(quotas(&[form(1, None, 0), form(2, None, 0)]).is_err(), "a channel stands twice");
    }
}
