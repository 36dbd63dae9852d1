//! What a caller is told when something does not work: `application/problem+json` (RFC 9457) with a stable `code`. The one place where failures become
//! statuses; details of the inside stay in the log.

mod fraud;
mod payments;
mod planning;
mod quotes;
mod table;

pub use quotes::of_code;
pub use table::{Known, all};

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tornello_actors::failure::{Failure, why};
use tornello_actors::keys::Role;
use tornello_actors::people::{ContactError, PeopleError};
use tornello_actors::sensors::Rejected;
use tornello_actors::views::ViewsError;
use tornello_engine::museum;
use tornello_engine::slot;
use tornello_engine::tariff::PriceError;
use tornello_engine::ticket::CodeError;

use crate::auth::Scope;
use crate::misread;
use crate::print::PrintError;

/// Why something does not work, as a caller may see it.
#[derive(Debug, Clone)]
pub struct Problem(Box<Body>);

/// A problem, as published. Beside these members it carries the data of its code, such as `available` or `opens_at`.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct Body {
    /// Where the code is explained.
    #[serde(rename = "type")]
    #[schema(examples("/docs/problems#not_enough_places"))]
    kind: String,
    /// The status once more.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// A stable code to match on.
    #[schema(examples("not_enough_places"))]
    code: &'static str,
    /// For people: what is the matter.
    title: String,
    /// For people: what to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    /// The data of the code.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    data: Data,
    #[serde(skip)]
    retry_after_s: Option<u32>,
}

/// The data of a problem, by name; one of them may be JSON that was written for somebody else before.
#[derive(Debug, Clone, Default)]
struct Data {
    values: Map<String, Value>,
    written: Option<(&'static str, Arc<RawValue>)>,
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        self.values.iter().try_for_each(|(name, value)| members.serialize_entry(name, value))?;
        self.written.iter().try_for_each(|(name, json)| members.serialize_entry(name, json.as_ref()))?;
        members.end()
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.0.status, self.0.code, self.0.title)
    }
}

impl Problem {
    /// A problem with a stable code. It says what to do as the page of all problems has it, until it says something of its own: see [`Problem::detail`].
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, title: impl Into<String>) -> Self {
        let kind = format!("/docs/problems#{code}");
        let (title, detail) = (title.into(), table::what_to_do(code).to_owned());
        Self(Box::new(Body { kind, status: status.as_u16(), code, title, detail, data: Data::default(), retry_after_s: None }))
    }

    /// Says what to do.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// Adds a datum.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.0.data.values.insert(name.to_owned(), json!(value));
        self
    }

    /// Adds a datum that is JSON already.
    #[must_use]
    pub fn with_written(mut self, name: &'static str, json: Arc<RawValue>) -> Self {
        self.0.data.written = Some((name, json));
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// All that a caller sees of it.
    #[must_use]
    pub const fn body(&self) -> &Body {
        &self.0
    }

    /// For people: what is the matter.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.0.title
    }

    /// As it is published, inside another answer.
    #[must_use]
    pub fn into_body(self) -> Body {
        *self.0
    }

    /// Something in the request cannot be read.
    #[must_use]
    pub fn malformed(what: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", what)
    }

    /// Something in the request can be read but not be done.
    #[must_use]
    pub fn invalid(what: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", what)
    }

    /// JSON that cannot be read, or can be and says something else than expected.
    #[must_use]
    pub fn of_json(error: &serde_json::Error) -> Self {
        let told = misread::json(&error.to_string());
        if error.is_data() { Self::invalid(told) } else { Self::malformed(told) }
    }

    /// A body of another type than asked for.
    #[must_use]
    pub fn unsupported(what: &str) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", what)
    }

    /// A body that was not there in time.
    #[must_use]
    pub fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "the body did not come in time")
    }

    /// More than can be done at once.
    #[must_use]
    pub fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too much to do: nothing was changed").retry_after(1)
    }

    /// A body beyond the limit.
    #[must_use]
    pub fn too_large(limit_bytes: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body is too large").with("limit_bytes", limit_bytes)
    }

    /// No key, or none that is good.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "an API key is needed")
            .detail("Send `Authorization: Bearer tn_...`. `reason` says what is wrong with the key that was sent. `tornello keys create` makes keys.")
    }

    /// A good key whose role does not have the scope.
    #[must_use]
    pub fn forbidden(scope: Scope) -> Self {
        let roles: Vec<_> = scope.roles().map(Role::as_str).collect();
        Self::new(StatusCode::FORBIDDEN, "forbidden", "this key may not do that").with("scope", scope.name()).with("roles", roles)
    }

    /// Nothing there, or nothing for this caller.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such thing here")
    }

    /// The inside failed; what it was stands in the log.
    #[must_use]
    pub fn unavailable(what: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", what).retry_after(1)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(seconds) = self.0.retry_after_s {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if self.0.status == StatusCode::UNAUTHORIZED.as_u16() {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        let mut response = response.json(&self.0);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

/// What each refusal is to HTTP: the thing is not there (404), the state of things is against it (409), the request itself cannot be (422). A full house
/// at the gate is a state of things.
fn refusal_status(refusal: &slot::Refusal) -> StatusCode {
    use slot::Refusal as R;
    match refusal {
        R::UnknownHold | R::UnknownSale | R::UnknownTicket | R::UnknownEntry | R::UnknownSlot | R::NotOwed => StatusCode::NOT_FOUND,
        R::HoldReleased | R::HoldExpired { .. } | R::EntryEnded { .. } => StatusCode::GONE,
        R::BadLines
        | R::PartyEmpty
        | R::PartyTooLarge { .. }
        | R::SettlementMismatch { .. }
        | R::SettlementNotAllowed { .. }
        | R::QuotasTooLarge { .. }
        | R::BuyerMissing => StatusCode::UNPROCESSABLE_ENTITY,
        R::ReadingInFuture | R::ReadingStale | R::ScanInFuture | R::ScanTooOld | R::SameSlot | R::OtherMuseum | R::UntilPast => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        R::IdTaken
        | R::HoldSold
        | R::SlotClosed { .. }
        | R::SaleNotOpen { .. }
        | R::SaleOver { .. }
        | R::SlotOver { .. }
        | R::AlreadyExtended
        | R::TicketCancelled
        | R::TicketUsed { .. }
        | R::NotBlocked
        | R::NotEnoughPlaces { .. }
        | R::WrongMuseum
        | R::CodeOutdated { .. }
        | R::TicketBlocked { .. }
        | R::TicketUnderReview { .. }
        | R::NotUnderReview
        | R::ReviewTooLate
        | R::TooManyForBuyer { .. }
        | R::TooManyOpenHolds { .. }
        | R::TooManyForDay { .. }
        | R::HoldRenewed { .. }
        | R::TicketInside { .. }
        | R::TooEarly { .. }
        | R::TooLate { .. }
        | R::NotInside
        | R::ReadingOutOfOrder
        | R::Wait { .. }
        | R::ScanKnown
        | R::TooManyConflicts
        | R::PlacesAvailable { .. }
        | R::WaitingListFull { .. }
        | R::TooManyWaiting { .. }
        | R::NotSoldThere { .. }
        | R::PriceDiffers { .. }
        | R::TicketMoving
        | R::TicketMoved { .. }
        | R::NotMoving
        | R::IssuesUsedUp
        | R::HoldKept { .. }
        | R::HoldQuoted { .. }
        | R::PlacesByHand
        | R::BeyondStands { .. }
        | R::NotClosed
        | R::NothingToPayBack => StatusCode::CONFLICT,
    }
}

/// What a visitor or clerk is told.
fn refusal_title(refusal: &slot::Refusal) -> &'static str {
    use slot::Refusal as R;
    match refusal {
        R::BadLines => "name 1 to 16 different categories, each once",
        R::PartyEmpty => "nobody is in the party",
        R::PartyTooLarge { .. } => "the party is too large for one booking",
        R::IdTaken => "this booking exists already",
        R::UnknownHold => "there is no such hold",
        R::HoldSold => "the hold has become a sale",
        R::HoldReleased => "the hold was given back",
        R::HoldExpired { .. } => "the hold has expired",
        R::UnknownSale => "there is no such sale",
        R::UnknownTicket => "there is no such ticket",
        R::SlotClosed { .. } => "the slot is closed for sale",
        R::SaleNotOpen { .. } => "sales have not begun",
        R::SaleOver { .. } => "sales have ended",
        R::SlotOver { .. } => "the slot is over",
        R::AlreadyExtended => "a hold can be extended once only",
        R::TicketCancelled => "the ticket was cancelled",
        R::TicketUsed { .. } => "the ticket has been used",
        R::NotBlocked => "none of these tickets is blocked",
        R::SettlementMismatch { .. } => "the settlement does not fit what is due",
        R::SettlementNotAllowed { .. } => "this channel cannot settle like that",
        R::NotEnoughPlaces { .. } => "there are not enough places",
        R::QuotasTooLarge { .. } => "the quotas reserve more places than there are",
        R::WrongMuseum => "the ticket is for another museum",
        R::CodeOutdated { .. } => "the code is outdated: a newer one was issued",
        R::TicketBlocked { .. } => "the ticket is blocked",
        R::TicketInside { .. } => "the ticket's holder is inside already",
        R::TooEarly { .. } => "too early",
        R::TooLate { .. } => "too late",
        R::NotInside => "the ticket's holder is not inside",
        R::Wait { .. } => "the building is full: wait, the ticket stays good",
        R::ReadingInFuture => "the reading is from the future: check the sensor's clock",
        R::ReadingOutOfOrder => "a newer reading is known",
        R::ReadingStale => "the reading is too old",
        R::ScanKnown => "the scan is known",
        R::ScanInFuture => "the scan is from the future: check the gate's clock",
        R::ScanTooOld => "the scan is more than 7 days old",
        R::TooManyConflicts => "the slot keeps as many conflicts as it can",
        R::PlacesAvailable { .. } => "nobody has to wait: there are places",
        R::WaitingListFull { .. } => "the waiting list is full",
        R::TooManyWaiting { .. } => "as many parties of this caller wait as may",
        R::UnknownEntry => "there is no such entry of the waiting list",
        R::EntryEnded { .. } => "the entry of the waiting list has ended",
        R::SameSlot => "the tickets are for that slot already",
        R::OtherMuseum => "tickets do not move to another museum",
        R::UnknownSlot => "there is no such slot to move to",
        R::NotSoldThere { .. } => "the other slot does not sell this category",
        R::PriceDiffers { .. } => "the tickets cost something else in the other slot",
        R::TicketMoving => "the ticket is on its way to another slot",
        R::TicketMoved { .. } => "the ticket was moved to another slot",
        R::NotMoving => "nothing is on its way under that id",
        R::IssuesUsedUp => "the ticket was issued anew too often",
        R::UntilPast => "that time is over",
        R::HoldKept { .. } => "a payment is under way for this hold",
        R::TicketUnderReview { .. } => "the sale is being looked at",
        R::NotUnderReview => "the sale is not being looked at",
        R::ReviewTooLate => "the gate opens too soon for a review",
        R::TooManyForBuyer { .. } => "one buyer may not have so many places of a slot",
        R::TooManyOpenHolds { .. } => "one buyer may not have so many open holds",
        R::TooManyForDay { .. } => "one buyer may not have so many places of a museum on one day",
        R::NotOwed => "nobody has to be told of that",
        R::HoldQuoted { .. } => "the hold is an option of a quote",
        R::PlacesByHand => "staff set the places of this slot by hand",
        R::BeyondStands { .. } => "so many places are sold beyond the slot's own already",
        R::NotClosed => "the slot is not closed",
        R::NothingToPayBack => "nothing is left to pay back of what is cancelled",
        R::BuyerMissing => "this museum keeps places over the web for somebody only",
        R::HoldRenewed { .. } => "places that were held and not bought are for others first",
    }
}

/// What they can do about it.
fn refusal_detail(refusal: &slot::Refusal) -> &'static str {
    use slot::Refusal as R;
    match refusal {
        R::BadLines => {
            "Prices come from the tariff: give categories and counts only. What is made smaller, a hold or an entry, has no more people of a category than before."
        }
        R::PartyEmpty => "Count at least one person in each line.",
        R::PartyTooLarge { .. } => "Split the party: `max` people at a time, or ask the group office.",
        R::IdTaken => "Repeat with the same Idempotency-Key.",
        R::UnknownHold | R::UnknownSale | R::UnknownTicket | R::UnknownEntry => "Check the id; it may belong to another caller.",
        R::HoldSold => "Read the sale of the same id.",
        R::HoldReleased | R::HoldExpired { .. } => "Hold places again.",
        R::SlotClosed { .. } => "`reason` says why; what was sold can be cancelled with a full refund. Choose another slot.",
        R::SaleNotOpen { .. } => "Come back at `opens_at`.",
        R::SaleOver { .. } => "The desks on site may still sell. Choose another slot.",
        R::SlotOver { .. } => "Choose another slot.",
        R::AlreadyExtended => "Confirm the hold, or hold places again when it has ended.",
        R::TicketCancelled => "Sell a new ticket.",
        R::TicketUsed { .. } => "It was let in at `at`; a used ticket is neither let in again nor paid back.",
        R::NotBlocked => "Nothing has to be done.",
        R::SettlementMismatch { .. } => {
            "`due_cents` is due: settle `free` if that is 0. If not, settle at the desk or on account, or, as a web shop, begin a payment: POST /v1/payments."
        }
        R::SettlementNotAllowed { .. } => {
            "Desks and kiosks settle at the desk, resellers and groups on their account; whatever else is due is paid by a payment: POST /v1/payments. So is what the group office takes at a \
            desk, by one with the gateway `desk`."
        }
        R::NotEnoughPlaces { .. } => {
            "`available` places are left for this channel, and `limited_by` says what keeps back more: the slot's `capacity`, `other_quotas` of other channels, the channel's \
            `own_limit`, or `live_cap`, the people inside. `alternatives` names the nearest slots with enough; or POST the lines to `waiting_list`, if it is there."
        }
        R::QuotasTooLarge { .. } => "Reserve at most `capacity` places in all.",
        R::WrongMuseum => "Send the visitor to the museum on the ticket.",
        R::CodeOutdated { .. } => "Ask for the newest code: issue `issue` counts.",
        R::TicketBlocked { .. } => {
            "Send the visitor to the desk: `reason` says why. What the verdict of a fraud case blocks (`fraud`) is lifted by undoing the verdict; the museum can cancel it."
        }
        R::TicketInside { .. } => "Somebody was let in with it at `since`: send the visitor to the desk.",
        R::TooEarly { .. } => "Let the visitor come back at `opens_at`.",
        R::TooLate { .. } => "The gate closed for this slot at `closed_at`: send the visitor to the desk.",
        R::NotInside => "Count the exit without a ticket.",
        R::Wait { .. } => "Let in the next when somebody leaves.",
        R::ReadingInFuture => "Set the sensor's clock.",
        R::ReadingOutOfOrder | R::ReadingStale => "Nothing has to be done: newer readings count.",
        R::ScanKnown => "Nothing has to be done: it was taken in before.",
        R::ScanInFuture => "Set the gate's clock. Its scans can be sent when their time has come.",
        R::ScanTooOld => "Keep it for the record: it is not counted any more.",
        R::TooManyConflicts => "Look at those that there are: something is wrong with the gate.",
        R::PlacesAvailable { .. } => "Hold them: `available` places are left for this channel.",
        R::WaitingListFull { .. } => "`max` parties wait already. Choose another slot.",
        R::TooManyWaiting { .. } => "`max` parties wait already that joined with this key; the rest of the list is for others. Choose another slot.",
        R::EntryEnded { .. } => "`how` says how: an entry that was `taken` is a sale of the same id. Join again, or choose another slot.",
        R::SameSlot => "Choose another slot.",
        R::OtherMuseum => "Choose a slot of the same museum, or cancel and book anew.",
        R::UnknownSlot => "Look for slots in the museum's availability.",
        R::NotSoldThere { .. } => "Move the other tickets without those of `category`, or cancel and book anew.",
        R::PriceDiffers { .. } => "`paid_cents` was paid and `price_cents` would be due: cancel and book anew.",
        R::TicketMoving => "Ask again in a moment: it will stand here or there.",
        R::TicketMoved { .. } => "`to` is the ticket that counts now: read it for its slot and its code.",
        R::NotMoving | R::NotOwed => "Nothing has to be done.",
        R::IssuesUsedUp => "Cancel the ticket and sell a new one.",
        R::UntilPast => "Name a later time.",
        R::TicketUnderReview { .. } => {
            "It is valid by itself at `until`, before the visit, or sooner; at the gate, send the visitor to the desk, which may move it to another slot."
        }
        R::NotUnderReview => "Nothing has to be done.",
        R::ReviewTooLate => "Block the tickets if they must let nobody in.",
        R::TooManyForBuyer { .. } => "`has` are in the buyer's holds and tickets, and `max` may be: choose another slot, or ask the group office.",
        R::TooManyOpenHolds { .. } => "Pay for one of the `max` open holds at this museum, give it back, or leave a waiting list.",
        R::TooManyForDay { .. } => {
            "`has` are in the buyer's holds, waiting lists and tickets of that day, and `max` may be: choose another day, or ask the group office."
        }
        R::HoldKept { .. } => "Let `payment` be paid, at a desk too: it makes the sale by itself. Or cancel it first.",
        R::HoldQuoted { .. } => "It becomes tickets, or is given back, with its `quote`: accept, revise or cancel that.",
        R::PlacesByHand => "Set them by hand again.",
        R::BeyondStands { .. } | R::NotClosed => "Nothing has to be done.",
        R::NothingToPayBack => "All that is cancelled of the sale is paid back in full. Tickets that stand are cancelled without `corrects`.",
        R::BuyerMissing => {
            "Name who buys in `parties`, as `buyer`, or the browser, as `device`, when places are asked for: asking at the checkout is too late. Tickets that were bought without are moved here at a desk."
        }
        R::HoldRenewed { .. } => {
            "This buyer or device has just held places of this slot, which has few left, and not bought them. Ask again in `wait_s` seconds, at `again_at`, or choose another slot at once. What they still hold here can be bought."
        }
    }
}

impl From<slot::Refusal> for Problem {
    fn from(refusal: slot::Refusal) -> Self {
        let mut problem = Self::new(refusal_status(&refusal), refusal.code(), refusal_title(&refusal)).detail(refusal_detail(&refusal));
        problem.0.data.values = data_of(&refusal);
        if let slot::Refusal::HoldRenewed { wait_s, .. } = refusal { problem.retry_after(wait_s) } else { problem }
    }
}

/// What a refusal carries: one with data is written as {"code": {data}}.
fn data_of(refusal: &impl Serialize) -> Map<String, Value> {
    let written = serde_json::to_value(refusal).ok();
    let Some(Value::Object(written)) = written else { return Map::new() };
    match written.into_iter().next() {
        Some((_, Value::Object(data))) => data.into_iter().map(|(name, value)| readable(name, value)).collect(),
        _ => Map::new(),
    }
}

/// Instants inside refusals are written as RFC 3339.
fn readable(name: String, value: Value) -> (String, Value) {
    let is_instant = name.ends_with("_at") || ["at", "since", "until", "valid_until", "pay_by"].contains(&name.as_str());
    match value.as_i64().filter(|_| is_instant) {
        Some(micros) => (name, json!(tornello_engine::time::Timestamp::from_micros(micros).to_string())),
        None => (name, value),
    }
}

impl From<Rejected> for Problem {
    fn from(rejected: Rejected) -> Self {
        let status = match rejected {
            Rejected::UnknownMuseum => StatusCode::NOT_FOUND,
            Rejected::OutOfOrder => StatusCode::CONFLICT,
            Rejected::InFuture | Rejected::Old | Rejected::TooManySensors => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::new(status, rejected.code(), rejected.to_string())
    }
}

impl From<museum::Refusal> for Problem {
    fn from(refusal: museum::Refusal) -> Self {
        let status = match refusal {
            museum::Refusal::NotRegistered => StatusCode::NOT_FOUND,
            museum::Refusal::AlreadyRegistered | museum::Refusal::TooManyVersions | museum::Refusal::TooManyDays => StatusCode::CONFLICT,
            museum::Refusal::PreconditionFailed { .. } => StatusCode::PRECONDITION_FAILED,
            museum::Refusal::InvalidProfile
            | museum::Refusal::ValidFromPast { .. }
            | museum::Refusal::DayOver { .. }
            | museum::Refusal::InvalidPlan(_)
            | museum::Refusal::InvalidTariff(_)
            | museum::Refusal::InvalidCeiling
            | museum::Refusal::InvalidRoom(_)
            | museum::Refusal::InvalidGroupPolicy(_) => StatusCode::UNPROCESSABLE_ENTITY,
            museum::Refusal::RoomExists | museum::Refusal::TooManyRooms | museum::Refusal::RoomOverlaps { .. } => StatusCode::CONFLICT,
            museum::Refusal::UnknownRoom => StatusCode::NOT_FOUND,
        };
        let problem = Self::new(status, refusal.code(), refusal.to_string());
        match refusal {
            museum::Refusal::PreconditionFailed { revision } => problem.with("revision", revision),
            museum::Refusal::RoomOverlaps { room } => problem.with("room", room),
            _ => problem,
        }
    }
}

impl<R: Into<Self>> From<Failure<R>> for Problem {
    fn from(failure: Failure<R>) -> Self {
        match failure {
            Failure::Refused(refusal) => refusal.into(),
            Failure::KeyReused => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", "this Idempotency-Key was used for another request")
                    .detail("Use a new key for a new request; repeat a request with its own key and body.")
            }
            Failure::UnknownSlot(_) => Self::not_found(),
            Failure::Busy => Self::busy(),
            Failure::Journal(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "journal_unavailable", "nothing can be written now: nothing was changed").retry_after(2)
            }
            Failure::Gateway(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "gateway_unavailable", "the payment gateway cannot be asked now: ask again").retry_after(5)
            }
            Failure::OutcomeUnknown => Self::new(StatusCode::SERVICE_UNAVAILABLE, "outcome_unknown", "whether this was done is not known")
                .detail("Repeat the request with the same Idempotency-Key: it is done at most once.")
                .retry_after(1),
            Failure::OutOfOrder(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "out_of_order", "this slot is out of order until an operator looks at it").retry_after(60)
            }
        }
    }
}

impl From<CodeError> for Problem {
    fn from(error: CodeError) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.code(), error.to_string())
    }
}

impl From<ContactError> for Problem {
    fn from(error: ContactError) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_contact", error.to_string())
    }
}

impl From<PeopleError> for Problem {
    fn from(error: PeopleError) -> Self {
        tracing::error!(error = %why(&error), "contacts cannot be reached");
        Self::unavailable("contacts cannot be reached now")
    }
}

impl From<ViewsError> for Problem {
    fn from(error: ViewsError) -> Self {
        tracing::error!(%error, "the lists cannot be read");
        match error {
            ViewsError::Behind { .. } => Self::unavailable("the lists do not show all that has happened yet").retry_after(5),
            ViewsError::Store(_) | ViewsError::Damaged(_) | ViewsError::Journal(_) => Self::unavailable("the lists cannot be read now"),
        }
    }
}

impl From<PrintError> for Problem {
    fn from(error: PrintError) -> Self {
        tracing::error!(%error, "a ticket cannot be printed");
        Self::unavailable("the ticket cannot be printed now")
    }
}

impl From<PriceError> for Problem {
    fn from(error: PriceError) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.code(), error.to_string())
    }
}
