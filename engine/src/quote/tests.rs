//! Given what was done, when this is asked, then this happens. Below, random commands and a driver that is cut off anywhere; what a visit costs is in `costs`.

mod costs;

use proptest::prelude::*;

use super::pricing::fee_code;
use super::*;
use crate::envelope::{Digest, Envelope};
use crate::ids::{MuseumId, RouteId, SlotId};
use crate::institution::Institution;
use crate::money::Cents;
use crate::slot::{self, Line, people};
use crate::tariff::Proof;

const MUSEUM: MuseumId = MuseumId(7);
const MIN: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

fn code(text: &str) -> Code {
    text.parse().unwrap()
}

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Monday 1 June 2026, 10:00 in Rome, the eve of a holiday; and seconds after.
fn at(s: i64) -> Timestamp {
    instant("2026-06-01T08:00:00Z").plus_seconds(s)
}

/// Slots of Friday 19 June 2026, from 10:00 in Rome on, one each half an hour.
fn slot(n: i64) -> SlotId {
    SlotId::new(MUSEUM, RouteId(1), instant("2026-06-19T08:00:00Z").plus_seconds(n * 30 * MIN))
}

/// Wednesday 17 June 2026 in Rome begins: the second working day before the visit.
const PAY_BY: &str = "2026-06-16T22:00:00Z";

fn line(category: &str, count: u16, price: i64) -> Line {
    Line { category: code(category), count, price_cents: Cents::new(price), proof: Proof::None }
}

fn asked(slots: i64, members: Vec<Line>, escorts: u16) -> Asked {
    Asked { slots: (0..slots).map(slot).collect(), members, escorts, extras: Vec::new() }
}

fn adults(count: u16) -> Asked {
    asked(i64::from(count.div_ceil(25)), vec![line("full", count, 1_200)], 0)
}

/// What a visit costs where slots take any party.
fn price(policy: &GroupPolicy, kind: Kind, asked: &Asked, fee_free_left: u32) -> Result<Offer, Refusal> {
    pricing::price(policy, kind, asked, fee_free_left, 2_000)
}

fn rules() -> Rules {
    let policy = GroupPolicy { signature_days: 7, payment_working_days: 2, desk_for: vec![Kind::School], ..GroupPolicy::default() };
    Rules { policy, revision: 3, patron: None, fee_free_left: 0, party_max: 30, closes_at: slot(0).start().plus_seconds(-HOUR) }
}

fn about(kind: Kind, account: Option<&str>) -> About {
    let institution = Institution { fiscal_code: "80185250588".parse().ok(), ..Institution::default() };
    About { museum: MUSEUM, kind, contact: None, institution, account: account.map(code) }
}

fn draft(kind: Kind, asked: Asked) -> Command {
    Command::Draft { about: about(kind, Some("tours")), asked, rules: Box::new(rules()) }
}

fn holds(attempt: u64, parts: i64) -> Vec<HoldId> {
    (0..parts).map(|n| HoldId::new(slot(n), attempt * 100 + n as u64)).collect()
}

fn send(attempt: u64) -> Command {
    Command::Send { owner: None, rules: Box::new(rules()), holds: holds(attempt, 1) }
}

fn revise(asked: Asked, attempt: u64) -> Command {
    let holds = holds(attempt, asked.slots.len() as i64);
    Command::Revise { owner: None, asked, rules: Box::new(rules()), holds }
}

const fn optioned(attempt: u32) -> Command {
    Command::NoteOptioned { attempt }
}

const fn released(attempt: u32) -> Command {
    Command::NoteOptionsReleased { attempt }
}

fn no_places(attempt: u32) -> Command {
    let why = slot::Refusal::NotEnoughPlaces { asked: 20, available: 3, limited_by: slot::LimitedBy::Capacity };
    Command::NoteOptionsRefused { attempt, part: 0, why }
}

const fn accept(revision: u32, settle: Settle) -> Command {
    Command::Accept { owner: None, revision, settle, creditor: 1, by_office: false }
}

const fn refuse() -> Command {
    Command::Refuse { owner: None }
}

const fn cancel() -> Command {
    Command::Cancel { owner: None, cause: CancelCause::Group }
}

const PAYMENT: PaymentId = PaymentId::new(1, 42);
const OTHER: PaymentId = PaymentId::new(1, 44);
const ATTACH: Command = Command::AttachPayment { payment: PAYMENT };
const DETACH: Command = Command::DetachPayment { payment: PAYMENT };
const PAID: Command = Command::MarkPaid { payment: Some(PAYMENT) };
const NOTHING_DUE: Command = Command::MarkPaid { payment: None };

fn ticketed(attempt: u64) -> Command {
    Command::MarkTicketed { sales: holds(attempt, 1), missing: Vec::new() }
}

fn unsettled() -> Command {
    Command::NoteSettlementRefused { why: code("credit_limit") }
}

struct World {
    quote: Quote,
    records: Vec<Record<Event>>,
}

impl World {
    fn new() -> Self {
        Self { quote: Quote::new(QuoteId(5)), records: Vec::new() }
    }

    /// Does one command as the shell does: ends what is due, decides, applies, checks everything.
    fn ask(&mut self, s: i64, command: &Command) -> Result<Event, Refusal> {
        self.wake(s);
        let mut events = self.quote.decide(at(s), command)?;
        let key = Digest(self.records.len() as u128);
        let envelope = Envelope { who: KeyId(3), key, body: key, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() };
        self.put(s, Some(envelope), events.clone());
        Ok(events.remove(0))
    }

    fn wake(&mut self, s: i64) {
        while self.quote.wake_at().is_some_and(|due| due <= at(s)) {
            let events = self.quote.due(at(s));
            assert!(!events.is_empty(), "the quote was woken for nothing");
            self.put(s, None, events);
        }
    }

    fn put(&mut self, s: i64, envelope: Option<Envelope>, events: Vec<Event>) {
        let before = self.quote.last_at();
        let record = self.quote.record(at(s), envelope, events);
        assert!(record.at >= before, "QU-7: the time of a record went backwards");
        self.quote.apply(&record);
        self.records.push(record);
        assert_eq!(self.quote.recount(), Ok(()), "QU-1, QU-2, QU-3, QU-4, QU-5, QU-6 after {:?}", self.records.last());
        assert_eq!(Quote::replay(QuoteId(5), self.records.iter()), self.quote, "QU-7: replay equals live");
    }
}

fn given(done: &[Command]) -> World {
    let mut world = World::new();
    for command in done {
        let answer = world.ask(0, command);
        assert!(answer.is_ok(), "given {command:?}: {answer:?}");
    }
    world
}

fn drafted() -> Vec<Command> {
    vec![draft(Kind::TourOperator, adults(20))]
}

fn sent() -> Vec<Command> {
    [drafted(), vec![send(1), optioned(1)]].concat()
}

fn accepted(settle: Settle) -> Vec<Command> {
    [sent(), vec![accept(1, settle)]].concat()
}

fn payable() -> Vec<Command> {
    [accepted(Settle::Notice), vec![ATTACH]].concat()
}

#[test]
fn what_is_refused_in_which_state() {
    let state = |status| Refusal::WrongState { state: status };
    let after = |mut before: Vec<Command>, then: &[Command]| {
        before.extend_from_slice(then);
        before
    };
    let someone_else = |mut command: Command| {
        match &mut command {
            Command::Revise { owner, .. } | Command::Send { owner, .. } | Command::Accept { owner, .. } => *owner = Some(code("others")),
            Command::Refuse { owner } | Command::Cancel { owner, .. } => *owner = Some(code("others")),
            _ => {}
        }
        command
    };
    let free = || asked(1, vec![line("school-pupil", 20, 0)], 0);
    let free_sent = || vec![draft(Kind::School, free()), send(1), optioned(1)];
    let elsewhere = |mut command: Command| {
        if let Command::Send { holds, .. } = &mut command {
            *holds = vec![HoldId::new(slot(1), 5)];
        }
        command
    };
    let cases: Vec<(Vec<Command>, Command, Refusal)> = vec![
        (vec![], send(1), Refusal::UnknownQuote),
        (vec![], refuse(), Refusal::UnknownQuote),
        (vec![], Command::Confirm, Refusal::UnknownQuote),
        (vec![], optioned(1), Refusal::UnknownQuote),
        (drafted(), draft(Kind::School, free()), Refusal::AlreadyDrafted),
        (drafted(), someone_else(send(1)), Refusal::UnknownQuote),
        (sent(), someone_else(accept(1, Settle::Notice)), Refusal::UnknownQuote),
        (sent(), someone_else(revise(adults(20), 2)), Refusal::UnknownQuote),
        (sent(), someone_else(refuse()), Refusal::UnknownQuote),
        (sent(), someone_else(cancel()), Refusal::UnknownQuote),
        (drafted(), accept(1, Settle::Notice), state(Status::Draft)),
        (drafted(), elsewhere(send(1)), Refusal::BadOptions),
        (drafted(), optioned(1), Refusal::NotExpected),
        (after(drafted(), &[send(1)]), send(2), Refusal::OptionsUnderWay),
        (after(drafted(), &[send(1)]), revise(adults(20), 2), Refusal::OptionsUnderWay),
        (after(drafted(), &[send(1)]), optioned(2), Refusal::NotExpected),
        (after(drafted(), &[send(1), no_places(1)]), optioned(1), Refusal::NotExpected),
        // The options of the attempt that failed are still being given back: its ids are used.
        (after(drafted(), &[send(1), no_places(1)]), send(1), Refusal::BadOptions),
        (sent(), send(2), state(Status::Sent)),
        (sent(), accept(2, Settle::Notice), Refusal::OtherRevision { revision: 1 }),
        (sent(), accept(1, Settle::Desk), Refusal::SettleNotAllowed),
        (sent(), Command::Confirm, state(Status::Sent)),
        (sent(), Command::Reopen, state(Status::Sent)),
        (sent(), ATTACH, Refusal::NotExpected),
        (sent(), PAID, Refusal::NotExpected),
        // A payment for an earlier revision pays for no other. What is on the way ends first.
        (after(payable(), &[DETACH, revise(adults(15), 2)]), PAID, Refusal::OptionsUnderWay),
        (after(payable(), &[DETACH, revise(adults(15), 2), no_places(2)]), PAID, Refusal::OptionsUnderWay),
        (after(payable(), &[DETACH, revise(adults(15), 2), optioned(2)]), PAID, Refusal::OtherRevision { revision: 2 }),
        (after(payable(), &[DETACH, revise(adults(15), 2), optioned(2), released(1)]), PAID, Refusal::OtherRevision { revision: 2 }),
        (after(payable(), &[DETACH, accept(1, Settle::Notice)]), PAID, Refusal::SettlementUnderWay),
        (sent(), released(1), Refusal::NotExpected),
        (after(sent(), &[revise(adults(15), 2)]), accept(1, Settle::Notice), Refusal::OptionsUnderWay),
        (accepted(Settle::Notice), revise(adults(15), 2), Refusal::SettlementUnderWay),
        (accepted(Settle::Notice), cancel(), Refusal::SettlementUnderWay),
        (accepted(Settle::Notice), Command::Reopen, Refusal::SettlementUnderWay),
        (accepted(Settle::Notice), NOTHING_DUE, Refusal::NotExpected),
        (accepted(Settle::Notice), Command::Confirm, Refusal::NothingToConfirm),
        (accepted(Settle::OnAccount), ATTACH, Refusal::NotExpected),
        (payable(), revise(adults(15), 2), Refusal::PaymentUnderWay),
        (payable(), accept(1, Settle::Notice), state(Status::Accepted)),
        (payable(), Command::MarkPaid { payment: Some(PaymentId::new(1, 43)) }, Refusal::NotExpected),
        (payable(), ticketed(1), Refusal::NotExpected),
        (after(payable(), &[Command::Reopen]), accept(1, Settle::Notice), Refusal::PaymentUnderWay),
        (after(payable(), &[PAID]), PAID, Refusal::NotExpected),
        (after(payable(), &[PAID]), cancel(), state(Status::Paid)),
        (after(payable(), &[PAID]), Command::MarkTicketed { sales: vec![], missing: vec![] }, Refusal::NotExpected),
        (after(payable(), &[PAID, ticketed(1)]), cancel(), state(Status::Ticketed)),
        (after(payable(), &[PAID, ticketed(1)]), revise(adults(15), 2), state(Status::Ticketed)),
        (after(free_sent(), &[accept(1, Settle::Notice)]), ATTACH, Refusal::NotExpected),
        (after(sent(), &[refuse()]), accept(1, Settle::Notice), state(Status::Refused)),
        (after(sent(), &[cancel()]), refuse(), state(Status::Cancelled)),
        (sent(), Command::Cancel { owner: None, cause: CancelCause::NoPlaces }, Refusal::NotExpected),
    ];
    for (before, command, refusal) in cases {
        let mut world = given(&before);
        assert_eq!(world.ask(1, &command), Err(refusal), "{command:?} after {before:?}");
    }
}

/// What is left after each step: status, revision, what is to be done.
#[test]
fn a_quote_goes_from_draft_to_tickets() {
    use Status::{Accepted, Cancelled, Draft, Lapsed, Paid, Refused, Sent, Ticketed};
    let school = || asked(1, vec![line("school-pupil", 20, 0)], 2);
    let missing = Command::MarkTicketed { sales: vec![], missing: vec![0] };
    type Step = (i64, Command, Status, u32, Option<Work>);
    let begin = || -> Vec<Step> {
        vec![
            (0, draft(Kind::TourOperator, adults(20)), Draft, 1, None),
            (0, send(1), Draft, 1, Some(Work::TakeOptions(1))),
            (0, optioned(1), Sent, 1, None),
        ]
    };
    let pay = || -> Vec<Step> { vec![(HOUR, accept(1, Settle::Notice), Accepted, 1, Some(Work::Settle)), (HOUR, ATTACH, Accepted, 1, None)] };
    let histories: Vec<(&str, Vec<Step>, Vec<Step>)> = vec![
        ("paid by a notice", [begin(), pay()].concat(), vec![(DAY, PAID, Paid, 1, None), (DAY, ticketed(1), Ticketed, 1, None)]),
        (
            "on account",
            begin(),
            vec![
                (HOUR, accept(1, Settle::OnAccount), Accepted, 1, Some(Work::Settle)),
                (HOUR, NOTHING_DUE, Paid, 1, Some(Work::IssueTickets)),
                (HOUR, ticketed(1), Ticketed, 1, None),
            ],
        ),
        (
            "on account beyond the limit, then by a notice",
            begin(),
            vec![
                (HOUR, accept(1, Settle::OnAccount), Accepted, 1, Some(Work::Settle)),
                (HOUR, unsettled(), Sent, 1, None),
                (HOUR, accept(1, Settle::Notice), Accepted, 1, Some(Work::Settle)),
            ],
        ),
        (
            "a school that pays nothing",
            vec![],
            vec![
                (0, draft(Kind::School, school()), Draft, 1, None),
                (0, send(1), Draft, 1, Some(Work::TakeOptions(1))),
                (0, optioned(1), Sent, 1, None),
                (HOUR, accept(1, Settle::Notice), Accepted, 1, Some(Work::Settle)),
                (HOUR, NOTHING_DUE, Paid, 1, Some(Work::IssueTickets)),
                (HOUR, ticketed(1), Ticketed, 1, None),
            ],
        ),
        (
            "refused options leave a draft, which is changed and sent again",
            vec![],
            vec![
                (0, draft(Kind::TourOperator, adults(20)), Draft, 1, None),
                (0, send(1), Draft, 1, Some(Work::TakeOptions(1))),
                (0, no_places(1), Draft, 1, Some(Work::GiveBack(1))),
                (0, revise(adults(18), 9), Draft, 1, Some(Work::GiveBack(1))),
                (0, released(1), Draft, 1, None),
                (0, send(2), Draft, 1, Some(Work::TakeOptions(2))),
                (0, optioned(2), Sent, 1, None),
            ],
        ),
        (
            "a revision takes its options first and needs a new acceptance",
            [begin(), pay()].concat(),
            vec![
                (DAY, Command::Reopen, Sent, 1, Some(Work::EndPayment(PAYMENT))),
                (DAY, DETACH, Sent, 1, None),
                (DAY, revise(adults(22), 2), Sent, 1, Some(Work::TakeOptions(2))),
                (DAY, optioned(2), Sent, 2, Some(Work::GiveBack(1))),
                // Its option was grown, or is yet to shrink: it is due as it stands only when that is done.
                (DAY, accept(2, Settle::Checkout), Accepted, 2, Some(Work::GiveBack(1))),
                (DAY, released(1), Accepted, 2, Some(Work::Settle)),
            ],
        ),
        (
            "a revision without places leaves what was in force",
            begin(),
            vec![
                (DAY, revise(adults(22), 2), Sent, 1, Some(Work::TakeOptions(2))),
                (DAY, no_places(2), Sent, 1, Some(Work::GiveBack(2))),
                (DAY, released(2), Sent, 1, None),
                (DAY, accept(1, Settle::Notice), Accepted, 1, Some(Work::Settle)),
            ],
        ),
        (
            "money that arrives wins over another payment that was begun since, which is ended",
            [begin(), pay()].concat(),
            vec![
                (DAY, DETACH, Sent, 1, None),
                (DAY, accept(1, Settle::Checkout), Accepted, 1, Some(Work::Settle)),
                (DAY, Command::AttachPayment { payment: OTHER }, Accepted, 1, None),
                (DAY, PAID, Paid, 1, Some(Work::EndPayment(OTHER))),
                (DAY, Command::DetachPayment { payment: OTHER }, Paid, 1, None),
                (DAY, ticketed(1), Ticketed, 1, None),
            ],
        ),
        (
            "what is taken back while a revision is under way gives back all",
            begin(),
            vec![
                (DAY, revise(adults(22), 2), Sent, 1, Some(Work::TakeOptions(2))),
                (DAY, cancel(), Cancelled, 1, Some(Work::GiveBack(1))),
                (DAY, released(1), Cancelled, 1, Some(Work::GiveBack(2))),
                (DAY, released(2), Cancelled, 1, None),
            ],
        ),
        ("not wanted", begin(), vec![(DAY, refuse(), Refused, 1, Some(Work::GiveBack(1)))]),
        (
            "a payment that is over leaves it as sent",
            [begin(), pay()].concat(),
            vec![(DAY, DETACH, Sent, 1, None), (DAY, accept(1, Settle::Checkout), Accepted, 1, Some(Work::Settle))],
        ),
        (
            "money that arrives wins, also on a payment that was thought to be over",
            [begin(), pay()].concat(),
            vec![(DAY, DETACH, Sent, 1, None), (DAY, PAID, Paid, 1, None), (DAY, ticketed(1), Ticketed, 1, None)],
        ),
        (
            "money that arrives wins over a cancellation",
            [begin(), pay()].concat(),
            vec![(DAY, cancel(), Cancelled, 1, Some(Work::EndPayment(PAYMENT))), (DAY, PAID, Paid, 1, None), (DAY, ticketed(1), Ticketed, 1, None)],
        ),
        (
            "paid, and the places are gone",
            [begin(), pay()].concat(),
            vec![(DAY, PAID, Paid, 1, None), (DAY, missing, Cancelled, 1, Some(Work::GiveBack(1)))],
        ),
        (
            "money that arrives wins over a lapse",
            [begin(), pay()].concat(),
            vec![(16 * DAY, PAID, Paid, 1, None), (16 * DAY, ticketed(1), Ticketed, 1, None)],
        ),
        ("nobody signs", begin(), vec![(11 * DAY, cancel(), Lapsed, 1, Some(Work::GiveBack(1))), (11 * DAY, released(1), Lapsed, 1, None)]),
    ];
    for (name, before, then) in histories {
        let mut world = World::new();
        for (s, command, status, revision, work) in before.into_iter().chain(then) {
            let answer = world.ask(s, &command);
            let lapsed = status == Lapsed && answer == Err(Refusal::WrongState { state: status });
            assert!(answer.is_ok() || lapsed, "{name}: {command:?}: {answer:?}");
            assert_eq!((world.quote.status(), world.quote.revision(), world.quote.work()), (status, revision, work), "{name}: after {command:?}");
        }
    }
}

#[test]
fn deadlines_lapse_and_reminders_come_by_themselves() {
    let due = |world: &mut World, s: i64| {
        let before = world.records.len();
        world.wake(s);
        world.records[before..].iter().flat_map(|record| record.events.clone()).collect::<Vec<_>>()
    };
    let sign = instant("2026-06-11T22:00:00Z");
    let (pay, until) = (instant(PAY_BY), |time: Timestamp, s: i64| (time.micros_since(at(0)) / 1_000_000) + s);
    let reminded = |deadline, at| vec![Event::Reminded(Reminded { deadline, at })];
    let lapsed = |deadline| vec![Event::Lapsed(Lapsed { deadline })];
    // The form: seven working days after 1 June, the whole of the last one; reminded three days before.
    // A draft that nobody sends: until the visit, or thirty days.
    let mut world = given(&drafted());
    assert_eq!(due(&mut world, until(slot(0).start(), -1)), []);
    assert_eq!(due(&mut world, until(slot(0).start(), 0)), lapsed(Deadline::Sending));
    assert_eq!((world.quote.status(), world.quote.wake_at(), world.quote.work()), (Status::Lapsed, None, None));
    let mut world = given(&[drafted(), vec![send(1)]].concat());
    assert_eq!((world.quote.wake_at(), due(&mut world, until(slot(0).start(), DAY))), (None, vec![]), "not while it is being sent");
    let mut world = given(&sent());
    let conditions = *world.quote.conditions().unwrap();
    assert_eq!((conditions.sign_by, conditions.pay_by, conditions.desk_by), (sign, pay, None));
    assert_eq!(due(&mut world, until(sign, -3 * DAY - 1)), []);
    assert_eq!(due(&mut world, until(sign, -3 * DAY)), reminded(Deadline::Signature, sign));
    assert_eq!(due(&mut world, until(sign, -1)), [], "once");
    assert_eq!(due(&mut world, until(sign, 0)), lapsed(Deadline::Signature));
    assert_eq!((world.quote.wake_at(), world.quote.work()), (None, Some(Work::GiveBack(1))));
    // The payment, with some grace if it was begun.
    let mut world = given(&payable());
    assert_eq!(due(&mut world, until(pay, -1)), reminded(Deadline::Payment, pay));
    assert_eq!(due(&mut world, until(pay, PAYMENT_GRACE_S - 1)), []);
    assert_eq!(due(&mut world, until(pay, PAYMENT_GRACE_S)), lapsed(Deadline::Payment));
    assert_eq!(world.quote.work(), Some(Work::EndPayment(PAYMENT)), "before its places are given back");
    // While it is being settled nothing lapses under the shell's hands.
    let mut world = given(&accepted(Settle::Notice));
    assert_eq!((world.quote.wake_at(), due(&mut world, until(pay, DAY))), (None, vec![]));
    // Accepted when the time of the reminder was past already: none comes, only the end.
    let mut world = given(&sent());
    world.ask(until(sign, -DAY), &accept(1, Settle::Notice)).unwrap();
    world.ask(until(sign, -DAY), &ATTACH).unwrap();
    assert_eq!(world.quote.wake_at(), Some(pay.plus_seconds(-3 * DAY)), "it comes yet");
    let strict = |rules: Rules| Rules { policy: GroupPolicy { reminder_days: 10, ..rules.policy }, ..rules };
    let sent_so = Command::Send { owner: None, rules: Box::new(strict(rules())), holds: holds(1, 1) };
    let mut world = given(&[draft(Kind::Other, adults(20)), sent_so, optioned(1)]);
    assert_eq!(world.quote.wake_at(), Some(sign.plus_seconds(-10 * DAY)), "ten days and some hours are left");
    world.ask(until(sign, -DAY), &accept(1, Settle::Notice)).unwrap();
    world.ask(until(sign, -DAY), &ATTACH).unwrap();
    assert_eq!(world.quote.wake_at(), Some(pay.plus_seconds(PAYMENT_GRACE_S)), "not at once after the acceptance");
    // At the desk: a school pays until sales of the slot end.
    let school = asked(1, vec![line("school-pupil", 20, 100)], 2);
    let mut world = given(&[draft(Kind::School, school), send(1), optioned(1), accept(1, Settle::Desk), ATTACH]);
    let closes = rules().closes_at;
    assert_eq!(world.quote.conditions().unwrap().desk_by, Some(closes));
    assert_eq!(due(&mut world, until(pay, DAY)), reminded(Deadline::Payment, closes));
    assert_eq!(due(&mut world, until(closes, PAYMENT_GRACE_S)), lapsed(Deadline::Payment));
}

/// A school that a desk serves may sign until sales of its slot end, long after notices have to be paid.
#[test]
fn who_accepts_on_account_late_waits_for_the_office_and_does_not_lapse_at_once() {
    let policy = GroupPolicy { signature_days: 30, confirmation: true, ..rules().policy };
    let sent_so = Command::Send { owner: None, rules: Box::new(Rules { policy, ..rules() }), holds: holds(1, 1) };
    let school = asked(1, vec![line("school-pupil", 20, 100)], 2);
    let mut world = given(&[draft(Kind::School, school), sent_so, optioned(1)]);
    let (closes, late) = (rules().closes_at, instant(PAY_BY).micros_since(at(0)) / 1_000_000 + HOUR);
    let accept = Command::Accept { owner: Some(code("tours")), revision: 1, settle: Settle::OnAccount, creditor: 1, by_office: false };
    world.ask(late, &accept).unwrap();
    assert_eq!((world.quote.status(), world.quote.deadline()), (Status::Accepted, Some((Deadline::Payment, closes))));
    world.ask(late + HOUR, &Command::Confirm).unwrap();
    assert_eq!((world.quote.status(), world.quote.work()), (Status::Accepted, Some(Work::Settle)));
}

#[test]
fn a_doubtful_quote_is_reminded_from_half_of_its_time_on_and_no_more_often() {
    let sign = instant("2026-06-11T22:00:00Z");
    let half = sign.micros_since(at(0)) / 2_000_000;
    let remind = |lapse_permille| Command::RemindEarly { lapse_permille };
    let reminded = |deadline, at| Ok(Event::Reminded(Reminded { deadline, at }));
    let mut world = given(&sent());
    assert_eq!(world.quote.early_reminder_from(), Some(at(half)));
    assert_eq!(world.ask(half - 1, &remind(999)), Err(Refusal::NotExpected), "half of its time has not gone by");
    assert_eq!(world.ask(half, &remind(DOUBTFUL_PERMILLE)), Err(Refusal::NotExpected), "as likely as not is not doubtful");
    assert_eq!(world.ask(half, &remind(DOUBTFUL_PERMILLE + 1)), reminded(Deadline::Signature, sign));
    assert_eq!(world.ask(half + 1, &remind(999)), Err(Refusal::NotExpected), "once");
    assert_eq!((world.quote.early_reminder_from(), world.quote.wake_at()), (None, Some(sign)), "the policy's own comes no more");
    // The next deadline has a reminder of its own.
    world.ask(half + 1, &accept(1, Settle::Notice)).unwrap();
    assert_eq!(world.ask(half + 1, &remind(999)), Err(Refusal::NotExpected), "not while it is being settled");
    world.ask(half + 1, &ATTACH).unwrap();
    let (pay, accepted) = (instant(PAY_BY), at(half + 1));
    let later = half + 1 + pay.micros_since(accepted) / 2_000_000 + 1;
    assert_eq!(world.ask(later, &remind(999)), reminded(Deadline::Payment, pay));
    assert_eq!(world.quote.wake_at(), Some(pay.plus_seconds(PAYMENT_GRACE_S)));
    // Where the policy reminds in the first half of the time, it is never earlier; a draft, and who is never reminded, is not.
    let with = |reminder_days| {
        let rules = Rules { policy: GroupPolicy { reminder_days, ..rules().policy }, ..rules() };
        let mut world =
            given(&[draft(Kind::Other, adults(20)), Command::Send { owner: None, rules: Box::new(rules), holds: holds(1, 1) }, optioned(1)]);
        (world.quote.early_reminder_from(), world.ask(half, &remind(999)))
    };
    for reminder_days in [0, 10, 30] {
        assert_eq!(with(reminder_days), (None, Err(Refusal::NotExpected)), "{reminder_days}");
    }
    let mut drafted = given(&drafted());
    assert_eq!((drafted.ask(1, &remind(999)), drafted.quote.early_reminder_from()), (Err(Refusal::NotExpected), None));
    assert_eq!(World::new().ask(1, &remind(999)), Err(Refusal::UnknownQuote));
    // Who does not sign all the same lapses with the deadline.
    let mut silent = given(&sent());
    silent.ask(half, &remind(999)).unwrap();
    silent.wake(half * 2 + 2);
    assert_eq!(silent.quote.status(), Status::Lapsed);
}

#[test]
fn what_is_accepted_waits_for_the_office_where_the_museum_asks_for_it() {
    let strict = |command: Command| match command {
        Command::Send { owner, mut rules, holds } => {
            rules.policy.confirmation = true;
            Command::Send { owner, rules, holds }
        }
        other => other,
    };
    let sent = || [drafted(), vec![strict(send(1)), optioned(1)]].concat();
    let mut world = given(&sent());
    world.ask(1, &accept(1, Settle::Notice)).unwrap();
    assert_eq!((world.quote.status(), world.quote.work()), (Status::Accepted, None));
    let pay = (instant(PAY_BY).micros_since(at(0)) / 1_000_000, Event::Lapsed(Lapsed { deadline: Deadline::Payment }));
    assert_eq!(world.quote.lapses_at(), Some((Deadline::Payment, instant(PAY_BY))));
    // It may be revised meanwhile, and what is confirmed is what stands.
    world.ask(2, &revise(adults(15), 2)).unwrap();
    assert_eq!(world.ask(2, &Command::Confirm), Err(Refusal::OptionsUnderWay));
    world.ask(2, &no_places(2)).unwrap();
    world.ask(3, &Command::Confirm).unwrap();
    assert_eq!(world.quote.work(), Some(Work::GiveBack(2)));
    world.ask(3, &released(2)).unwrap();
    assert_eq!(world.quote.work(), Some(Work::Settle));
    let mut world = given(&sent());
    world.ask(1, &accept(1, Settle::Notice)).unwrap();
    world.wake(pay.0);
    assert_eq!(world.records.last().unwrap().events, [pay.1]);
    let mut world = given(&sent());
    world.ask(1, &Command::Accept { owner: None, revision: 1, settle: Settle::Notice, creditor: 1, by_office: true }).unwrap();
    assert_eq!(world.quote.work(), Some(Work::Settle));
}

#[test]
fn it_is_never_sent_or_accepted_too_late() {
    let pay = instant(PAY_BY);
    let late = pay.micros_since(at(0)) / 1_000_000;
    let mut world = given(&drafted());
    assert_eq!(world.ask(late, &send(1)), Err(Refusal::TooLate { pay_by: pay }));
    let mut world = given(&drafted());
    assert!(world.ask(late - 1, &send(1)).is_ok());
    assert!(world.ask(late - 1, &optioned(1)).is_ok());
    let sign_by = world.quote.conditions().unwrap().sign_by;
    assert_eq!(sign_by, pay, "the form is not asked back later than the money");
    // A school that pays at the desk may still be sent.
    let school = || draft(Kind::School, asked(1, vec![line("school-pupil", 20, 100)], 0));
    let mut world = given(&[school()]);
    assert!(world.ask(late, &send(1)).is_ok());
    assert!(world.ask(late, &optioned(1)).is_ok());
    assert_eq!(world.ask(late, &accept(1, Settle::Notice)), Err(Refusal::TooLate { pay_by: pay }));
    assert!(world.ask(late, &accept(1, Settle::Desk)).is_ok());
    // What costs nothing waits for no money.
    let mut world = given(&[draft(Kind::Company, asked(1, vec![line("under-18", 20, 0)], 0))]);
    assert!(world.ask(late, &send(1)).is_ok());
}

#[test]
fn a_broken_state_is_told() {
    let mut offer = price(&rules().policy, Kind::Other, &adults(20), 0).unwrap();
    let drafted = |offer: &Offer| Event::Drafted(Drafted { about: about(Kind::Other, None), offer: offer.clone() });
    let good = drafted(&offer);
    offer.total_cents = Cents::new(1);
    let world = given(&sent());
    let Some(Event::OptionsAsked(asked)) = world.records[1].events.first() else { panic!("the second record asks for options") };
    let again = Event::OptionsAsked(OptionsAsked { attempt: 2, revision: 2, ..asked.clone() });
    let accepted = Event::Accepted(Accepted { revision: 2, acceptance: 1, settle: Settle::Notice, creditor: 1, confirmed: false });
    let paid = Event::Paid(Paid { payment: None });
    let optioned = |attempt| Event::Optioned(Optioned { attempt });
    let asked = Event::OptionsAsked(asked.clone());
    for (events, expected) in [
        (vec![drafted(&offer)], "QU-1"),
        (vec![good.clone(), optioned(1)], "QU-2"),
        (vec![good.clone(), asked.clone(), optioned(1), paid.clone(), paid], "QU-3"),
        (vec![good.clone(), asked.clone(), optioned(1), accepted], "QU-5"),
        (vec![good, asked, again], "QU-2"),
    ] {
        let mut quote = Quote::new(QuoteId(5));
        quote.apply(&quote.record(at(0), None, events));
        assert_eq!(quote.check().map_err(|broken| broken.invariant), Err(expected));
    }
    // What no event can do: a deadline lost, an option twice.
    let mut lost = given(&sent()).quote;
    lost.conditions = None;
    assert_eq!(lost.check().map_err(|broken| broken.invariant), Err("QU-4"));
    let mut twice = given(&sent()).quote;
    let options = twice.options.get_mut(&1).unwrap();
    options.asked.holds.push(options.asked.holds[0]);
    assert_eq!(twice.recount().map_err(|broken| broken.invariant), Err("QU-6"));
}

#[test]
fn codes_are_stable_and_different() {
    let refusals = [
        Refusal::AlreadyDrafted,
        Refusal::UnknownQuote,
        Refusal::WrongState { state: Status::Draft },
        Refusal::OptionsUnderWay,
        Refusal::SettlementUnderWay,
        Refusal::PaymentUnderWay,
        Refusal::OtherRevision { revision: 1 },
        Refusal::NotExpected,
        Refusal::NothingToConfirm,
        Refusal::BadLines,
        Refusal::BadExtras,
        Refusal::ExtraTwice { extra: fee_code() },
        Refusal::BadSlots,
        Refusal::BadOptions,
        Refusal::SettleNotAllowed,
        Refusal::GroupTooSmall { min: 1 },
        Refusal::TooManyEscorts { free: 1 },
        Refusal::EscortCategory { category: fee_code() },
        Refusal::WrongNumberOfSlots { parts: 1 },
        Refusal::TooLate { pay_by: at(0) },
    ];
    let codes: BTreeSet<_> = refusals.map(Refusal::code).into_iter().collect();
    assert_eq!(codes.len(), refusals.len());
    assert_eq!(Refusal::WrongState { state: Status::Draft }.to_string(), "the quote is draft: that cannot be done to it");
}

/// Anything that may be asked, most of it at the wrong moment.
fn commands() -> impl Strategy<Value = Command> {
    let attempt = 1_u32..4;
    let settle = prop_oneof![Just(Settle::Notice), Just(Settle::Checkout), Just(Settle::Desk), Just(Settle::OnAccount)];
    prop_oneof![
        3 => (10_u16..25, 0_u64..1_000).prop_map(|(count, attempt)| revise(adults(count), 10 + attempt)),
        3 => (0_u64..1_000).prop_map(|attempt| send(10 + attempt)),
        8 => attempt.clone().prop_map(optioned),
        3 => attempt.clone().prop_map(no_places),
        4 => attempt.prop_map(released),
        8 => (1_u32..4, settle, any::<bool>())
            .prop_map(|(revision, settle, by_office)| Command::Accept { owner: None, revision, settle, creditor: 1, by_office }),
        1 => Just(refuse()),
        1 => Just(cancel()),
        2 => Just(Command::Reopen),
        2 => Just(Command::Confirm),
        6 => Just(ATTACH),
        2 => Just(DETACH),
        2 => Just(unsettled()),
        2 => Just(PAID),
        2 => Just(NOTHING_DUE),
        2 => Just(ticketed(1)),
        1 => Just(Command::MarkTicketed { sales: vec![], missing: vec![0] }),
        2 => prop_oneof![Just(CancelCause::Group), Just(CancelCause::Museum)].prop_map(|cause| Command::NoteTicketsCancelled { cause }),
        1 => Just(Command::Cancel { owner: None, cause: CancelCause::Museum }),
        1 => Just(Command::NoteUnwound),
        2 => (0_u16..1_000).prop_map(|lapse_permille| Command::RemindEarly { lapse_permille }),
    ]
}

/// What has tickets is taken back by the museum, whole; or it follows its tickets, when none of them stands any more.
#[test]
fn what_has_tickets_is_called_off() {
    use Status::{Cancelled, Ticketed};
    let museum = Command::Cancel { owner: None, cause: CancelCause::Museum };
    let gone = |cause| Command::NoteTicketsCancelled { cause };
    let with_tickets = || {
        let mut world = given(&sent());
        for command in [accept(1, Settle::Notice), ATTACH, PAID] {
            world.ask(1, &command).unwrap();
        }
        assert_eq!(world.ask(1, &museum), Err(Refusal::WrongState { state: Status::Paid }), "its tickets come first");
        assert_eq!(world.ask(1, &gone(CancelCause::Museum)), Err(Refusal::NotExpected));
        world.ask(1, &ticketed(1)).unwrap();
        world
    };
    for (command, work) in [(museum.clone(), Some(Work::Unwind)), (gone(CancelCause::Museum), Some(Work::Unwind)), (gone(CancelCause::Group), None)] {
        let mut world = with_tickets();
        assert_eq!(world.ask(2, &cancel()), Err(Refusal::WrongState { state: Ticketed }), "a group cancels its tickets");
        assert_eq!(world.ask(2, &gone(CancelCause::NoPlaces)), Err(Refusal::NotExpected));
        assert_eq!(world.ask(2, &Command::NoteUnwound), Err(Refusal::NotExpected));
        let foreign = Command::Cancel { owner: Some(code("others")), cause: CancelCause::Museum };
        assert_eq!(world.ask(2, &foreign), Err(Refusal::UnknownQuote));
        assert!(matches!(world.ask(2, &command), Ok(Event::CalledOff(_))), "{command:?}");
        assert_eq!((world.quote.status(), world.quote.work()), (Cancelled, work), "{command:?}");
        assert!(matches!(world.quote.stage(), Stage::CalledOff { sales, .. } if *sales == holds(1, 1)));
        // What the group is said to have done may be the museum's doing after all; that is never taken back.
        let is_the_groups = work.is_none();
        if is_the_groups {
            assert_eq!(world.ask(3, &Command::NoteUnwound), Err(Refusal::NotExpected));
            assert_eq!(world.ask(3, &museum), Ok(Event::CalledOff(CalledOff { cause: CancelCause::Museum })));
            assert_eq!((world.quote.status(), world.quote.work()), (Cancelled, Some(Work::Unwind)));
            assert!(matches!(world.quote.stage(), Stage::CalledOff { sales, .. } if *sales == holds(1, 1)));
        }
        assert_eq!(world.ask(3, &museum), Err(Refusal::WrongState { state: Cancelled }));
        for cause in [CancelCause::Museum, CancelCause::Group] {
            assert_eq!(world.ask(3, &gone(cause)), Err(Refusal::NotExpected));
        }
        assert!(world.ask(3, &Command::NoteUnwound).is_ok());
        assert_eq!((world.quote.status(), world.quote.work(), world.quote.wake_at()), (Cancelled, None, None));
        assert_eq!(world.quote.recount(), Ok(()));
        // Money that comes twice buys no new tickets.
        assert_eq!(world.ask(4, &PAID), Err(Refusal::NotExpected));
    }
}

/// A part that stays in its slot keeps its option; one that goes elsewhere, or is new, has one of its own.
#[test]
fn a_revision_keeps_the_options_of_parts_that_stay() {
    let mut world = given(&sent());
    let Ok(Event::OptionsAsked(first)) = world.ask(1, &revise(adults(30), 2)) else { panic!("options are asked for") };
    assert_eq!(first.holds, [holds(1, 1)[0], holds(2, 2)[1]]);
    world.ask(1, &no_places(2)).unwrap();
    let kept = world.quote.stays_for(holds(1, 1)[0]).unwrap().to_vec();
    assert_eq!((people(&kept), world.quote.stays_for(holds(2, 2)[1])), (20, None));
    world.ask(1, &released(2)).unwrap();
    let Ok(Event::OptionsAsked(second)) = world.ask(1, &revise(adults(18), 3)) else { panic!("options are asked for") };
    assert_eq!(second.holds, holds(1, 1));
    world.ask(1, &optioned(3)).unwrap();
    assert_eq!(world.quote.stays_for(holds(1, 1)[0]).map(people), Some(18));
    world.ask(2, &cancel()).unwrap();
    assert_eq!(world.quote.stays_for(holds(1, 1)[0]), None);
}

/// What a slot keeps that does not answer waits, and nothing else does: money for the revision in force is welcome meanwhile.
#[test]
fn what_cannot_be_given_back_keeps_nothing_else() {
    let mut world = given(&[sent(), vec![revise(adults(30), 2), optioned(2)]].concat());
    let beside = |world: &World, attempts: &[u32]| world.quote.work_beside(&attempts.iter().copied().collect());
    assert_eq!((world.quote.work(), beside(&world, &[1])), (Some(Work::GiveBack(1)), None));
    world.ask(1, &revise(adults(20), 3)).unwrap();
    assert_eq!((world.quote.work(), beside(&world, &[1])), (Some(Work::GiveBack(1)), Some(Work::TakeOptions(3))));
    let of_first = holds(1, 1)[0];
    assert!(world.quote.is_taking(of_first) && world.quote.stays_for(of_first).is_some(), "it is fitted when that has come to its end");
    assert!(!world.quote.waits_for(3, &BTreeSet::from([1])), "it has that option itself");
    let sent_again = given(&[drafted(), vec![send(1), no_places(1), send(2)]].concat()).quote;
    assert!(sent_again.waits_for(2, &BTreeSet::from([1])) && !sent_again.waits_for(2, &BTreeSet::new()), "the places are its own");
    world.ask(1, &no_places(3)).unwrap();
    assert!(!world.quote.is_taking(of_first));
    assert_eq!((beside(&world, &[1]), beside(&world, &[1, 3])), (Some(Work::GiveBack(3)), None));
    world.ask(1, &released(3)).unwrap();
    world.ask(2, &accept(2, Settle::Notice)).unwrap();
    assert_eq!((world.quote.work(), beside(&world, &[1])), (Some(Work::GiveBack(1)), Some(Work::Settle)));
    world.ask(2, &ATTACH).unwrap();
    assert_eq!(world.quote.welcomes(PAYMENT), Ok(()));
    assert!(world.ask(3, &PAID).is_ok());
    assert_eq!((world.quote.status(), world.quote.work()), (Status::Paid, Some(Work::GiveBack(1))));
    assert_eq!([PAYMENT, OTHER].map(|payment| world.quote.welcomes(payment)), [Ok(()), Err(Refusal::NotExpected)]);
}

proptest! {
    /// QU-1 to QU-7 whatever is asked, also when clocks go back; a state survives its bytes; and if the driver does what is to be done, there is an end to it.
    #[test]
    fn invariants_hold_whatever_is_asked(steps in prop::collection::vec((commands(), 0_i64..3 * DAY), 0..40), free: bool, places in any::<[bool; 16]>()) {
        let price = if free { 0 } else { 1_200 };
        let mut world = given(&[draft(Kind::School, asked(1, vec![line("full", 20, price)], 0))]);
        let mut s = 0;
        for (command, pause) in steps {
            s += pause / 4;
            let _ = world.ask(s - pause % HOUR, &command);
        }
        let bytes = postcard::to_allocvec(&world.quote).unwrap();
        prop_assert_eq!(&postcard::from_bytes::<Quote>(&bytes).unwrap(), &world.quote);
        for has_places in places {
            let Some(work) = world.quote.work() else { break };
            let note = match work {
                Work::EndPayment(_) => DETACH,
                Work::Settle if world.quote.is_free() => NOTHING_DUE,
                Work::Settle => unsettled(),
                Work::IssueTickets => Command::MarkTicketed { sales: holds(1, 1), missing: vec![] },
                Work::Unwind => Command::NoteUnwound,
                Work::TakeOptions(attempt) if has_places => optioned(attempt),
                Work::TakeOptions(attempt) => no_places(attempt),
                Work::GiveBack(attempt) => released(attempt),
            };
            let answer = world.ask(s, &note);
            prop_assert!(answer.is_ok(), "{:?} for {:?}: {:?}", note, work, answer);
        }
        prop_assert_eq!(world.quote.work(), None, "there is an end to the work");
    }
}
