//! Every problem there is, for the page that explains them: one of each refusal, turned into a problem as for a caller, and those that `api` itself gives. A test
//! reads the sources and holds this table against them.

use tornello_engine::channel::Channel;
use tornello_engine::ids::{Code, MuseumId, PaymentId, QuoteId, TicketId};
use tornello_engine::money::Cents;
use tornello_engine::slot::{self, LimitedBy};
use tornello_engine::time::Timestamp;
use tornello_engine::{order, payment, till, voucher};

use super::Problem;

/// A problem that may occur.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The stable code.
    pub code: &'static str,
    /// The status.
    pub status: u16,
    /// What is the matter.
    pub title: String,
    /// What to do; never empty.
    pub detail: String,
}

/// Problems that do not come from a refusal, or whose text there names a case.
const OTHERS: [(&str, u16, &str, &str); 66] = [
    ("malformed", 400, "something in the request cannot be read", "The title says what; it is a fault in the program that asks."),
    (
        "idempotency_key_missing",
        400,
        "the header Idempotency-Key is needed",
        "Choose a new random value for each request, and the same when you repeat one.",
    ),
    ("unauthorized", 401, "an API key is needed", "Send the key as a bearer token. `reason` says what is wrong with the one sent."),
    ("forbidden", 403, "this key may not do that", "`scope` names what the key's role lacks, `roles` who has it."),
    (
        "blocked_by_rule",
        403,
        "a rule against misuse does not allow this",
        "Nothing was changed. `rules` says which, in Italian and English. If this is a mistake, appeal with the code in `appeal`, if there is one.",
    ),
    (
        "step_up_required",
        403,
        "one more proof is needed before this can be done",
        "Find text so that the SHA-256 of `challenge:text` begins with `bits` zero bits, and repeat the request with `challenge:text` in Step-Up-Proof; \
         or give a `holder`, whose name stands on all tickets, where `ways` says so.",
    ),
    (
        "named_as_proof",
        403,
        "the name on this ticket was a proof: a shop does not change it",
        "Nothing was changed. Ask the museum: a key of a desk may, where somebody sees who asks.",
    ),
    (
        "waiting_room",
        403,
        "places of this slot are held through its waiting room",
        "Join the room named by `room`, wait for the turn, and send its `admission`, good for three holds, entries of waiting lists or moves, in Waiting-Room-Admission, with the same buyer or device.",
    ),
    ("bad_waiting_room_token", 422, "the token is not of this waiting room", "Join the room, and send the `token` of the answer as it is."),
    ("waiting_room_exists", 409, "there is a waiting room of that name", "Withdraw it first, or choose another name."),
    (
        "waiting_room_overlaps",
        409,
        "places of some of these slots are held through another waiting room",
        "`room` names it: withdraw it first, wait until it has closed, or announce this one for other slots. Whom one lets through the other would keep out.",
    ),
    ("too_many_waiting_rooms", 409, "16 waiting rooms of this museum have not closed", "Withdraw one of them."),
    ("unknown_waiting_room", 404, "there is no such waiting room", "It was withdrawn, or has another name."),
    ("invalid_waiting_room", 422, "the waiting room cannot be used", "The title says why."),
    ("not_found", 404, "there is no such thing here", "Or it belongs to a museum that this key is not good for."),
    ("method_not_allowed", 405, "this cannot be done to that", "`allow` names what can."),
    ("body_too_slow", 408, "the body did not come in time", "Without a key it has to be there within 15 seconds."),
    ("unknown_museum", 404, "there is no such museum", "GET /v1/museums lists those that there are."),
    ("not_registered", 404, "the museum is not registered", "Register it first."),
    ("slug_taken", 409, "another museum has this slug", "`number` is that museum. Choose another slug."),
    ("already_registered", 409, "the museum is registered already", "Change it instead: PUT /v1/museums/{museum}, and its plan and tariff there."),
    ("too_many_days", 409, "400 days of this museum, or parts of days, are called off", "Reopen one of them first."),
    ("too_many_versions", 409, "400 versions of this kind wait for their day", "Replace one of them: set another with the same day."),
    (
        "precondition_failed",
        412,
        "another revision is in force on that day",
        "Read it again, and change what you have read. `revision` is the one in force.",
    ),
    ("body_too_large", 413, "the body is too large", "`limit_bytes` is the most. What a batch says was accepted stays accepted."),
    ("unsupported_media_type", 415, "the body has another type than expected", "The title says which: name it in Content-Type."),
    ("invalid", 422, "something can be read but not be done", "The title says what."),
    (
        "invalid_profile",
        422,
        "the profile cannot be shown, or is not on earth",
        "Give name, city and region of 1 to 200 characters, latitude and longitude.",
    ),
    ("invalid_contact", 422, "the contact cannot be used", "The title says which member, and why."),
    (
        "holder_unprintable",
        422,
        "a ticket cannot show this name",
        "Write it in Latin, Greek or Cyrillic letters, as in the lower lines of the passport. `member` is the name, `characters` what is not shown.",
    ),
    (
        "holder_mixed_alphabets",
        422,
        "a word of this name mixes alphabets",
        "Letters of two alphabets can look the same: write each word in one, as the document has it. `member` is the name, `letter` what is of another alphabet.",
    ),
    ("day_over", 422, "the day that is to be called off is over", "The title says which day is today. Look at the year."),
    ("valid_from_past", 422, "the past cannot be changed", "Let a version hold from today, as it is in Rome, at the earliest."),
    ("invalid_plan", 422, "the plan cannot be followed", "The title says where and why."),
    ("invalid_tariff", 422, "the tariff cannot be used", "The title says where and why."),
    (
        "invalid_group_policy",
        422,
        "the rules for groups cannot be used: sizes, escorts, fees, extras or deadlines are out of range",
        "Correct what the detail names.",
    ),
    ("invalid_ceiling", 422, "the ceiling is nobody, or more than any building holds", "Let it be 1 to 1000000 people, or none."),
    ("unknown_category", 422, "the tariff of that day has no such category", "Read the museum's tariff."),
    ("not_a_code", 422, "what was scanned is not a ticket code", "Scan again, or type the ticket's id (over HTTP as `ticket`)."),
    ("unknown_version", 422, "a ticket code of a newer version", "Update the gate."),
    ("unknown_key", 422, "a ticket code signed with an unknown key", "Fetch the ticket keys again; else it is not one of ours."),
    ("bad_signature", 422, "a ticket code whose signature is wrong", "It is damaged or forged."),
    ("key_not_valid", 422, "a ticket code whose key does not sign tickets of that time", "It is forged, or the gate's keys are old."),
    ("unknown_proof", 422, "a ticket code that asks for an unknown document", "Update the gate."),
    ("group_only", 422, "only the group office books this category", "Ask the group office for a quote, or choose another category."),
    ("no_booking_on_free_day", 422, "nothing can be booked on that day: entry is free", "Tickets are given on site."),
    (
        "idempotency_key_reused",
        422,
        "this Idempotency-Key was used for another request",
        "Use a new key for a new request; repeat a request with its own key and body.",
    ),
    ("reading_in_future", 422, "the reading is from the future", "Check the sensor's clock."),
    ("too_many_sensors", 422, "more sensors of this museum have counted entries lately than a building has doors", "Use one name for each door."),
    ("reading_stale", 422, "the reading is too old to say anything about now", "Nothing has to be done: newer readings count."),
    ("reading_out_of_order", 409, "a reading of this instant or a later one is known", "Nothing has to be done."),
    ("too_many_requests", 429, "too many requests", "Wait as long as Retry-After says."),
    ("unavailable", 503, "not now", "Repeat after Retry-After, with the same Idempotency-Key."),
    ("busy", 503, "too much to do: nothing was changed", "Repeat after Retry-After, with the same Idempotency-Key."),
    ("journal_unavailable", 503, "nothing can be written now: nothing was changed", "Repeat after Retry-After, with the same Idempotency-Key."),
    ("outcome_unknown", 503, "whether this was done is not known", "Repeat with the same Idempotency-Key: it is done at most once."),
    (
        "out_of_order",
        503,
        "this slot is out of order until an operator looks at it",
        "Tell whoever runs the server: the log says why. Choose another slot meanwhile.",
    ),
    ("gateway_unavailable", 503, "the payment gateway cannot be asked now", "What stands, stands: ask again."),
    ("gateway_off", 409, "money does not come on that way here", "Pay on another way."),
    (
        "checkout_refused",
        409,
        "the payment pages do not take this notice",
        "`reason` says why. Pay the notice on another way, or cancel the payment.",
    ),
    (
        "nothing_to_export",
        409,
        "no refund can go to the bank",
        "Name the accounts first: PUT /v1/refunds/{refund}/payee. `skipped` have one that is erased, or in a name that banks do not take.",
    ),
    (
        "payee_missing",
        409,
        "it is not known to which account the refund goes",
        "`refund` is the one. Name the account: PUT /v1/refunds/{refund}/payee.",
    ),
    (
        "extra_not_priced",
        422,
        "the extra has no price, or one that is not yours to set",
        "Name an extra of the museum's rules for groups without a price; others are for the office to price.",
    ),
    (
        "no_slots_for_group",
        409,
        "not enough slots have the places from that time on",
        "The group goes round in `parts` parts: choose another time or day, or name the slots.",
    ),
    (
        "settlement_refused",
        409,
        "the quote could not be settled like that",
        "`reason` says why. The quote stands as it was sent: accept it with another way to pay.",
    ),
    ("wait", 409, "the building is full", "Wait for people to leave: the ticket stays good."),
];

/// What to do about a problem that does not come from a refusal; empty: it does.
pub(super) fn what_to_do(code: &str) -> &'static str {
    OTHERS.iter().find(|known| known.0 == code).map_or("", |known| known.3)
}

/// One of each refusal of a slot.
fn refusals() -> Vec<slot::Refusal> {
    use slot::Refusal as R;
    let (at, word) = (Timestamp::from_seconds(0), "reason".parse::<Code>());
    let mut all = vec![
        R::BadLines,
        R::PartyEmpty,
        R::PartyTooLarge { max: 0 },
        R::IdTaken,
        R::UnknownHold,
        R::HoldSold,
        R::HoldReleased,
        R::HoldExpired { at },
        R::UnknownSale,
        R::UnknownTicket,
        R::SaleNotOpen { opens_at: at },
        R::SaleOver { closed_at: at },
        R::SlotOver { ended_at: at },
        R::AlreadyExtended,
        R::TicketCancelled,
        R::TicketUsed { at },
        R::NotBlocked,
        R::SettlementMismatch { due_cents: Cents::ZERO },
        R::SettlementNotAllowed { channel: Channel::Web },
        R::NotEnoughPlaces { asked: 0, available: 0, limited_by: LimitedBy::Capacity },
        R::QuotasTooLarge { reserved: 0, capacity: 0 },
        R::WrongMuseum,
        R::CodeOutdated { issue: 0 },
        R::TicketInside { since: at },
        R::TooEarly { opens_at: at },
        R::TooLate { closed_at: at },
        R::NotInside,
        R::ScanKnown,
        R::ScanInFuture,
        R::ScanTooOld,
        R::TooManyConflicts,
        R::PlacesAvailable { available: 0 },
        R::WaitingListFull { max: 0 },
        R::TooManyWaiting { max: 0 },
        R::UnknownEntry,
        R::EntryEnded { how: slot::WaitingEnd::Left, at },
        R::SameSlot,
        R::OtherMuseum,
        R::UnknownSlot,
        R::PriceDiffers { paid_cents: Cents::ZERO, price_cents: Cents::ZERO },
        R::TicketMoving,
        R::TicketMoved { to: Some(TicketId::from_raw(0)) },
        R::NotMoving,
        R::IssuesUsedUp,
        R::UntilPast,
        R::HoldKept { payment: PaymentId::from_raw(0) },
        R::NotOwed,
        R::TicketUnderReview { until: at },
        R::NotUnderReview,
        R::ReviewTooLate,
        R::TooManyForBuyer { max: 0, has: 0 },
        R::TooManyOpenHolds { max: 0 },
        R::TooManyForDay { max: 0, has: 0 },
        R::HoldQuoted { quote: QuoteId(0) },
        R::PlacesByHand,
        R::BeyondStands { beyond: 0 },
        R::BuyerMissing,
        R::HoldRenewed { again_at: at, wait_s: 60 },
        R::NotClosed,
        R::NothingToPayBack,
    ];
    let of_word = |word: &Code| [R::SlotClosed { reason: *word }, R::TicketBlocked { reason: *word }, R::NotSoldThere { category: *word }];
    all.extend(word.iter().flat_map(of_word));
    all
}

/// One of each refusal of payments, vouchers and orders.
fn refusals_of_money() -> Vec<Problem> {
    use {order::Refusal as O, payment::Refusal as P, till::Refusal as T, voucher::Refusal as V};
    let (at, cents, id) = (Timestamp::from_seconds(0), Cents::ZERO, PaymentId::from_raw(0));
    let payments = [
        P::BadItems,
        P::BadSubject,
        P::GatewayMismatch { due_cents: cents },
        P::BadReceipt,
        P::BadReference,
        P::IdTaken,
        P::UnknownPayment,
        P::UnknownItem,
        P::UnknownRefund,
        P::UnknownSale,
        P::ReceiptDuplicate,
        P::RefundKnown { refund: 0 },
        P::ReportKnown,
        P::ItemEnded,
        P::AlreadyPaid,
        P::PaymentCancelled,
        P::PaymentExpired { due_at: at },
        P::NotPublished,
        P::NotPaid,
        P::NotClosing,
        P::SourceNotAllowed,
        P::RefundNotOpen,
        P::RefundNotSent,
        P::RefundTooLarge { left_cents: cents },
        P::DisputeOpen,
        P::NoDispute,
        P::RefundContested,
        P::RefundNotContested,
        P::UnknownReceipt,
        P::TakenTooLarge { left_cents: cents },
    ];
    let failed = "reason".parse().map(|reason| P::PaymentFailed { reason });
    let vouchers = [
        V::BadAmount,
        V::IdTaken,
        V::UnknownVoucher,
        V::AlreadyRedeemed,
        V::AlreadyRestored,
        V::NotRedeemed { left_cents: cents },
        V::OtherMuseum { museum: MuseumId(0) },
        V::VoucherExpired { valid_until: at },
        V::BalanceTooLow { balance_cents: cents },
    ];
    let orders = [
        O::TooManyItems { max: 0 },
        O::UnknownOrder,
        O::UnknownPayment,
        O::PaymentOver,
        O::PaymentUnderWay { payment: id },
        O::TooManyPayments { max: 0 },
    ];
    let tills = [T::AlreadyOpen, T::NotOpen, T::Closed { at }, T::BadAmount, T::TooManyMoves];
    let payments = payments.into_iter().chain(failed).map(Problem::from).chain(tills.map(Problem::from));
    payments.chain(vouchers.map(Problem::from)).chain(orders.map(Problem::from)).collect()
}

/// One of each refusal, as the problem that it becomes.
fn refused() -> impl Iterator<Item = Problem> {
    let slots = refusals().into_iter().map(Problem::from);
    let others = [refusals_of_money(), super::quotes::one_of_each(), super::fraud::one_of_each(), super::planning::one_of_each()];
    slots.chain(others.into_iter().flatten())
}

/// All problems, by code. Where several things say no with the same code, the first one explains it.
#[must_use]
pub fn all() -> Vec<Known> {
    let other =
        |(code, status, title, detail): (&'static str, u16, &str, &str)| Known { code, status, title: title.to_owned(), detail: detail.to_owned() };
    let known = |problem: Problem| Known { code: problem.0.code, status: problem.0.status, title: problem.0.title, detail: problem.0.detail };
    let mut all: Vec<Known> = OTHERS.into_iter().map(other).collect();
    all.extend(refused().map(known));
    all.sort_by_key(|problem| problem.code);
    all.dedup_by_key(|problem| problem.code);
    all
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use super::*;
    use tornello_actors::failure::Failure;
    use tornello_actors::sensors::Rejected;
    use tornello_engine::ids::SlotId;
    use tornello_engine::tariff::PriceError;

    /// Every text of code form that follows `before` within a few characters.
    fn codes<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
        let after = text.split(before).skip(1).filter_map(|rest| rest.split_once('"').filter(|(gap, _)| gap.len() < 60)?.1.split_once('"'));
        after
            .map(|(code, _)| code)
            .filter(|code| !code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'))
            .collect()
    }

    fn sources(folder: &Path, texts: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, texts);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("table.rs") {
                texts.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn every_code_is_in_the_table_and_no_other() {
        let mut texts = Vec::new();
        sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut texts);
        let mut expected: BTreeSet<&str> = texts.iter().flat_map(|text| [codes(text, "Problem::new("), codes(text, "Self::new(")].concat()).collect();
        for text in [
            include_str!("../../../engine/src/slot/refusal.rs"),
            include_str!("../../../engine/src/payment/refusal.rs"),
            include_str!("../../../engine/src/voucher.rs"),
            include_str!("../../../engine/src/order.rs"),
            include_str!("../../../engine/src/quote/refusal.rs"),
            include_str!("../../../engine/src/account.rs"),
            include_str!("../../../engine/src/till.rs"),
            include_str!("../../../engine/src/case/mod.rs"),
            include_str!("../../../engine/src/fraud_rules.rs"),
            include_str!("../../../engine/src/model_registry.rs"),
            include_str!("../../../engine/src/museum.rs"),
            include_str!("../../../engine/src/tariff.rs"),
            include_str!("../../../engine/src/ticket.rs"),
            include_str!("../../../engine/src/planning/mod.rs"),
            include_str!("../../../engine/src/attendance.rs"),
            include_str!("../../../actors/src/sensors.rs"),
        ] {
            let (_, after) = text.split_once("fn code(").unwrap();
            let body = after.split_once("\n    }\n").unwrap().0;
            expected.extend(codes(body, "=>"));
        }
        let all = all();
        let found: BTreeSet<&str> = all.iter().map(|problem| problem.code).collect();
        assert_eq!(found, expected);
        let statuses: BTreeMap<&str, u16> =
            refusals_of_money().iter().chain(&super::super::quotes::one_of_each()).map(|problem| (problem.0.code, problem.0.status)).collect();
        for Known { code, status, .. } in &all {
            assert!(statuses.get(code).is_none_or(|other| other == status), "{code} has two statuses");
        }
    }

    #[test]
    fn every_problem_says_what_to_do_in_the_table_and_where_it_is_met() {
        let silent = |problem: &Problem| (problem.0.detail.len() < 10).then_some(problem.0.code);
        assert_eq!(refused().filter_map(|problem| silent(&problem)).collect::<Vec<_>>(), Vec::<&str>::new());
        assert_eq!(all().iter().filter(|known| known.detail.len() < 10).map(|known| known.code).collect::<Vec<_>>(), Vec::<&str>::new());
        let met: [Problem; 6] = [
            Problem::unsupported("send the body as application/json"),
            Failure::<slot::Refusal>::OutOfOrder(String::new()).into(),
            Rejected::UnknownMuseum.into(),
            Rejected::Old.into(),
            PriceError::GroupOnly { category: "group".parse().unwrap() }.into(),
            tornello_engine::museum::Refusal::AlreadyRegistered.into(),
        ];
        assert_eq!(met.iter().filter_map(silent).collect::<Vec<_>>(), Vec::<&str>::new());
        // One of each is made with some instant or other: no reader takes it for one that was.
        let dated =
            all().into_iter().filter(|known| ["1970-", "0000-"].iter().any(|part| format!("{} {}", known.title, known.detail).contains(part)));
        assert_eq!(dated.map(|known| known.code).collect::<Vec<_>>(), Vec::<&str>::new());
    }

    #[test]
    fn no_datum_has_the_name_of_a_member_that_all_problems_have() {
        for Problem(body) in refused() {
            for name in ["type", "status", "code", "title", "detail"] {
                assert!(!body.data.values.contains_key(name), "{} says {name} twice", body.code);
            }
        }
    }

    #[test]
    fn an_instant_beside_a_problem_is_written_as_everywhere() {
        let at: Timestamp = "2026-11-23T13:15:00Z".parse().unwrap();
        let told: [(Problem, &str); 11] = [
            (slot::Refusal::HoldExpired { at }.into(), "at"),
            (slot::Refusal::SaleNotOpen { opens_at: at }.into(), "opens_at"),
            (slot::Refusal::SaleOver { closed_at: at }.into(), "closed_at"),
            (slot::Refusal::SlotOver { ended_at: at }.into(), "ended_at"),
            (slot::Refusal::TicketInside { since: at }.into(), "since"),
            (slot::Refusal::TicketUnderReview { until: at }.into(), "until"),
            (slot::Refusal::HoldRenewed { again_at: at, wait_s: 60 }.into(), "again_at"),
            (payment::Refusal::PaymentExpired { due_at: at }.into(), "due_at"),
            (voucher::Refusal::VoucherExpired { valid_until: at }.into(), "valid_until"),
            (till::Refusal::Closed { at }.into(), "at"),
            (tornello_engine::quote::Refusal::TooLate { pay_by: at }.into(), "pay_by"),
        ];
        for (Problem(body), name) in told {
            assert_eq!(body.data.values.get(name), Some(&serde_json::json!("2026-11-23T13:15:00Z")), "{}", body.code);
        }
    }

    #[test]
    fn the_table_says_what_callers_get() {
        let word = "x".parse().unwrap();
        let told: Vec<Problem> = vec![
            Problem::malformed(""),
            Problem::invalid(""),
            Problem::unsupported(""),
            Problem::too_large(0),
            Problem::too_slow(),
            Problem::unauthorized(),
            Problem::forbidden(crate::auth::Scope::Read),
            Problem::not_found(),
            Problem::unavailable(""),
            Failure::<slot::Refusal>::KeyReused.into(),
            Failure::<slot::Refusal>::UnknownSlot(SlotId::from_raw(0)).into(),
            Failure::<slot::Refusal>::Busy.into(),
            Failure::<slot::Refusal>::Journal(String::new()).into(),
            Failure::<slot::Refusal>::Gateway(String::new()).into(),
            Failure::<slot::Refusal>::OutcomeUnknown.into(),
            Failure::<slot::Refusal>::OutOfOrder(String::new()).into(),
            Rejected::UnknownMuseum.into(),
            Rejected::InFuture.into(),
            Rejected::Old.into(),
            Rejected::OutOfOrder.into(),
            PriceError::UnknownCategory { category: word }.into(),
            PriceError::GroupOnly { category: word }.into(),
            tornello_engine::museum::Refusal::InvalidCeiling.into(),
            tornello_engine::museum::Refusal::InvalidGroupPolicy(tornello_engine::quote::policy::PolicyError::Sizes).into(),
            tornello_engine::museum::Refusal::RoomExists.into(),
            tornello_engine::museum::Refusal::TooManyRooms.into(),
            tornello_engine::museum::Refusal::RoomOverlaps { room: word }.into(),
            tornello_engine::museum::Refusal::UnknownRoom.into(),
            tornello_engine::museum::Refusal::NotRegistered.into(),
            tornello_engine::museum::Refusal::AlreadyRegistered.into(),
            tornello_engine::museum::Refusal::TooManyVersions.into(),
            tornello_engine::museum::Refusal::TooManyDays.into(),
            tornello_engine::museum::Refusal::DayOver { today: jiff::civil::Date::ZERO }.into(),
            tornello_engine::museum::Refusal::InvalidProfile.into(),
            slot::Refusal::ReadingInFuture.into(),
            slot::Refusal::ReadingOutOfOrder.into(),
            slot::Refusal::ReadingStale.into(),
            slot::Refusal::Wait { inside: 0, ceiling: 0 }.into(),
        ];
        let all: BTreeMap<&str, u16> = all().into_iter().map(|problem| (problem.code, problem.status)).collect();
        for problem in told {
            // A slot says of its own readings what the intake says of those at the door, with the same code.
            assert_eq!(all.get(problem.0.code), Some(&problem.0.status), "{problem}");
        }
    }
}
