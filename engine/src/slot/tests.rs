//! Given what was done, when this is asked, then this happens: one table per command. Here are the words of all tables, and holds and sales; the other commands are below, by
//! what they are about, and random commands against a naive model (`model`).

mod buyers;
mod capacity;
mod gates;
mod model;
mod moves;
mod payments;
mod rest;
mod scans;
mod waiting;

use proptest::prelude::ProptestConfig;

use super::*;
use crate::envelope::Digest;
use crate::ids::{Code, KeyId, MuseumId, OrderId, PersonId, RouteId};
use crate::recall::Recall;
use crate::tariff::Proof;

pub(super) const S: i64 = 1;
pub(super) const MIN: i64 = 60;
pub(super) const HOUR: i64 = 3600;
pub(super) const DAY: i64 = 24 * HOUR;
/// The slot of the tests starts here and lasts half an hour; all times below are seconds relative to it.
pub(super) const START: i64 = 1_780_000_020;
const MUSEUM: MuseumId = MuseumId(7);

/// So many cases, or as many more as `PROPTEST_CASES` asks for.
pub(super) fn at_least(cases: u32) -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.max(cases), failure_persistence: None, ..usual }
}

pub(super) fn code(text: &str) -> Code {
    text.parse().unwrap()
}

pub(super) fn at(s: i64) -> Timestamp {
    Timestamp::from_seconds(START + s)
}

pub(super) fn id(n: u64) -> HoldId {
    HoldId::new(SlotId::new(MUSEUM, RouteId(1), at(0)), n)
}

pub(super) fn opening(capacity: u32) -> Opening {
    let policy = Policy {
        reentry: Reentry { times_max: 1, within_s: 7200 },
        ceiling: Some(100),
        party_max: 10,
        sale_closes_s: 600,
        refund: Refund { full_until_s: 86_400, part_percent: 50, part_until_s: 3600 },
        ..Policy::default()
    };
    Opening { slot: id(0).slot(), revision: 3, end: at(30 * MIN), capacity, quotas: [Quota::default(); 5], policy }
}

pub(super) fn full(count: u16) -> Line {
    Line { category: code("full"), count, price_cents: Cents::new(1601), proof: Proof::None }
}

pub(super) fn free(count: u16) -> Line {
    Line { category: code("free"), count, price_cents: Cents::ZERO, proof: Proof::Age }
}

pub(super) fn hold(n: u64, channel: Channel, lines: &[Line]) -> Command {
    Command::Hold { hold: id(n), channel, lines: lines.to_vec() }
}

pub(super) fn desk() -> Settlement {
    Settlement::Desk { till: code("desk-1"), method: DeskMethod::Cash, reference: "R1".into() }
}

fn account() -> Settlement {
    Settlement::OnAccount { account: code("tours") }
}

fn sell(n: u64, settlement: Settlement) -> Command {
    Command::Sell { hold: id(n), owner: None, settlement, contact: None }
}

pub(super) fn direct(n: u64, lines: &[Line], settlement: Settlement) -> Command {
    Command::SellDirect { sale: id(n), channel: Channel::BoxOffice, lines: lines.to_vec(), settlement, contact: None }
}

fn cancel(n: u64, tickets: &[u16]) -> Command {
    Command::Cancel { sale: id(n), owner: None, tickets: tickets.to_vec(), cause: CancelCause::Visitor }
}

pub(super) fn admit(n: u64, ticket: u16) -> Command {
    Command::Admit { ticket: id(n).ticket(ticket), issue: Some(1), gate: code("north"), museum: MUSEUM }
}

fn exit(n: u64, ticket: u16) -> Command {
    Command::Exit { ticket: id(n).ticket(ticket), gate: code("north"), museum: MUSEUM }
}

/// A sale of another slot of the museum, an hour later.
fn there(n: u64) -> HoldId {
    HoldId::new(SlotId::new(MUSEUM, RouteId(1), at(HOUR)), n)
}

fn begin_move(n: u64, tickets: &[u16], arrival: u64) -> Command {
    let prices = vec![(code("free"), Cents::ZERO), (code("full"), Cents::new(1601))];
    Command::BeginMove { sale: id(n), owner: None, tickets: tickets.to_vec(), arrival: there(arrival), via: Channel::Web, prices }
}

fn finish_move(arrival: u64) -> Command {
    Command::FinishMove { arrival: there(arrival) }
}

fn undo_move(arrival: u64) -> Command {
    Command::UndoMove { arrival: there(arrival), why: Refusal::UnknownSlot }
}

/// What of another slot arrives in this one, as a sale of the web shop.
fn arrived(n: u64, lines: &[Line]) -> Arrived {
    Arrived {
        sale: id(n),
        from: there(n),
        who: KeyId(5),
        order: None,
        channel: Channel::Web,
        lines: lines.to_vec(),
        contact: Some(PersonId(3)),
        holders: Vec::new(),
        refund_percent: 50,
        buyer: None,
    }
}

fn arrive(n: u64, lines: &[Line], via: Channel) -> Command {
    Command::Arrive { arrived: Box::new(arrived(n, lines)), via, asks_review: false, review_until: None, named: false }
}

fn rename(n: u64, tickets: &[u16], holder: u128) -> Command {
    Command::Rename { sale: id(n), owner: None, tickets: tickets.to_vec(), holder: Some(PersonId(holder)) }
}

fn scan(n: u64, ticket: u16, gate: &str, direction: Direction, s: i64) -> Scan {
    Scan { ticket: id(n).ticket(ticket), scanned_at: at(s), gate: code(gate), direction }
}

fn merge(scan: Scan) -> Command {
    Command::Merge { scan, issue: Some(1), museum: MUSEUM }
}

fn merge_in(gate: &str, s: i64) -> Command {
    merge(scan(1, 0, gate, Direction::In, s))
}

fn observe(inside: u32, sd: u32, measured: i64) -> Command {
    Command::Observe { source: code("door"), inside, sd, measured_at: at(measured), ceiling: Some(100), grant: None, words: Words::default() }
}

fn quotas(entries: &[(Channel, u32, Option<u32>, u32)]) -> [Quota; 5] {
    let mut quotas = [Quota::default(); 5];
    for (channel, reserved, limit, release_s) in entries {
        quotas[channel.index()] = Quota { reserved: *reserved, limit: *limit, release_s: *release_s };
    }
    quotas
}

pub(super) fn envelope(who: u64, key: u128, body: u128) -> Envelope {
    Envelope { who: KeyId(who), key: Digest(key), body: Digest(body), parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() }
}

/// Does one command as the shell does: ends what is due, decides, applies, checks everything.
pub(super) fn step(
    slot: &mut Slot,
    records: &mut Vec<Record<Event>>,
    now: Timestamp,
    by: Option<Envelope>,
    command: &Command,
) -> Result<Vec<Event>, Refusal> {
    end_due(slot, records, now);
    let events = slot.decide(now, command)?;
    if !events.is_empty() {
        put(slot, records, now, by, events.clone());
    }
    Ok(events)
}

/// Ends and offers what is due, as the shell does.
fn end_due(slot: &mut Slot, records: &mut Vec<Record<Event>>, now: Timestamp) {
    while slot.wake_at().is_some_and(|due| due <= now) {
        let events = slot.due(now);
        assert!(!events.is_empty(), "the slot was woken for nothing");
        put(slot, records, now, None, events);
    }
}

fn put(slot: &mut Slot, records: &mut Vec<Record<Event>>, now: Timestamp, by: Option<Envelope>, events: Vec<Event>) {
    let before = slot.last_at();
    let record = slot.record(now, by, events);
    assert!(record.at >= before, "SL-7: the time of a record went backwards");
    slot.apply(&record);
    records.push(record);
    assert_eq!(slot.recount(), Ok(()), "SL-1, SL-2, SL-3, SL-5, SL-6, SL-8, SL-9, SL-10, SL-13 after {:?}", records.last());
}

#[derive(Clone)]
struct World {
    slot: Slot,
    records: Vec<Record<Event>>,
    next_key: u128,
}

/// A slot of 20 places where these commands were done, each of which must succeed.
fn given(done: &[(i64, Command)]) -> World {
    given_capacity(20, done)
}

fn given_capacity(capacity: u32, done: &[(i64, Command)]) -> World {
    let mut world = World { slot: Slot::planned(opening(capacity)), records: Vec::new(), next_key: 0 };
    for (time, command) in done {
        let events = world.ask(*time, command);
        assert!(events.is_ok(), "given {command:?} at {time}: {events:?}");
    }
    world
}

impl World {
    fn ask(&mut self, time: i64, command: &Command) -> Result<Vec<Event>, Refusal> {
        self.next_key += 1;
        step(&mut self.slot, &mut self.records, at(time), Some(envelope(1, self.next_key, 0)), command)
    }

    /// Then: the last event, or the refusal.
    fn then(mut self, time: i64, command: Command, expected: Result<Event, Refusal>) {
        let answer = self.ask(time, &command).map(|mut events| events.pop().expect("something happens"));
        assert_eq!(answer, expected, "{command:?} at {time}");
        assert_eq!(Slot::replay(&self.records).unwrap_or_else(|| Slot::planned(self.slot.opening().clone())), self.slot, "SL-4: replay equals live");
    }

    fn refuses(self, time: i64, command: Command, refusal: Refusal) {
        self.then(time, command, Err(refusal));
    }

    fn left(&self, time: i64, channel: Channel) -> u32 {
        self.slot.places().available(channel, at(time)).0
    }
}

fn held(n: u64, channel: Channel, lines: &[Line], expires: i64) -> Event {
    Event::Held(Held { hold: id(n), channel, lines: lines.to_vec(), expires_at: at(expires) })
}

#[test]
fn holds() {
    let web = |n, count| hold(n, Channel::Web, &[full(count)]);
    given(&[]).then(-DAY, web(1, 2), Ok(held(1, Channel::Web, &[full(2)], -DAY + 900)));
    given(&[]).then(-15 * MIN, web(1, 2), Ok(held(1, Channel::Web, &[full(2)], -10 * MIN)));
    given(&[(-DAY, web(1, 10)), (-DAY, web(2, 9))]).then(-DAY, web(3, 1), Ok(held(3, Channel::Web, &[full(1)], -DAY + 900)));
    let short = Refusal::NotEnoughPlaces { asked: 2, available: 1, limited_by: LimitedBy::Capacity };
    given(&[(-DAY, web(1, 10)), (-DAY, web(2, 9))]).refuses(-DAY, web(3, 2), short);
    given(&[]).refuses(-DAY, hold(1, Channel::Web, &[]), Refusal::BadLines);
    given(&[]).refuses(-DAY, hold(1, Channel::Web, &[full(1), full(2)]), Refusal::BadLines);
    let at_price = |cents| Line { price_cents: Cents::new(cents), ..full(1) };
    for cents in [-1, 1_000_001] {
        given(&[]).refuses(-DAY, hold(1, Channel::Web, &[at_price(cents)]), Refusal::BadLines);
    }
    let dearest = [at_price(1_000_000)];
    given(&[]).then(-DAY, hold(1, Channel::Web, &dearest), Ok(held(1, Channel::Web, &dearest, -DAY + 900)));
    let lines: Vec<Line> = (0..17).map(|n| Line { category: code(&format!("category-{n}")), ..full(1) }).collect();
    given(&[]).refuses(-DAY, hold(1, Channel::Web, &lines), Refusal::BadLines);
    given(&[]).refuses(-DAY, hold(1, Channel::Web, &lines[..16]), Refusal::PartyTooLarge { max: 10 });
    given(&[]).refuses(-DAY, hold(1, Channel::Web, &[full(1), free(0)]), Refusal::PartyEmpty);
    given(&[]).refuses(-DAY, web(1, 11), Refusal::PartyTooLarge { max: 10 });
    given(&[(-DAY, web(1, 1))]).refuses(-DAY, web(1, 1), Refusal::IdTaken);
    let elsewhere = HoldId::new(SlotId::new(MUSEUM, RouteId(2), at(0)), 1);
    given(&[]).refuses(-DAY, Command::Hold { hold: elsewhere, channel: Channel::Web, lines: vec![full(1)] }, Refusal::IdTaken);
    given(&[]).refuses(-90 * DAY - 1, web(1, 1), Refusal::SaleNotOpen { opens_at: at(-90 * DAY) });
    given(&[]).then(-90 * DAY, web(1, 1), Ok(held(1, Channel::Web, &[full(1)], -90 * DAY + 900)));
    given(&[]).refuses(-10 * MIN, web(1, 1), Refusal::SaleOver { closed_at: at(-10 * MIN) });
    given(&[]).refuses(30 * MIN, web(1, 1), Refusal::SlotOver { ended_at: at(30 * MIN) });
    let late = hold(1, Channel::BoxOffice, &[full(1)]);
    given(&[]).then(29 * MIN, late, Ok(held(1, Channel::BoxOffice, &[full(1)], 30 * MIN)));
    given(&[(-DAY, Command::Close { reason: code("strike") })]).refuses(-DAY, web(1, 1), Refusal::SlotClosed { reason: code("strike") });
}

#[test]
fn the_first_event_opens_the_slot_as_planned() {
    let mut world = given(&[]);
    let events = world.ask(-DAY, &hold(1, Channel::Web, &[full(1)])).unwrap();
    assert!(matches!(&events[..], [Event::Opened(opened), Event::Held(_)] if opened.opening == opening(20)));
    let events = world.ask(-DAY, &hold(2, Channel::Web, &[full(1)])).unwrap();
    assert!(matches!(&events[..], [Event::Held(_)]));
}

#[test]
fn extends() {
    let taken = [(-DAY, hold(1, Channel::Web, &[full(2)]))];
    let extend = |owner| Command::Extend { hold: id(1), owner };
    let extended = Event::Extended(Extended { hold: id(1), expires_at: at(-DAY + 1500) });
    given(&taken).then(-DAY + 899, extend(None), Ok(extended));
    given(&taken).refuses(-DAY + 900, extend(None), Refusal::HoldExpired { at: at(-DAY + 900) });
    given(&taken).refuses(-DAY, extend(Some(KeyId(2))), Refusal::UnknownHold);
    given(&[]).refuses(-DAY, extend(None), Refusal::UnknownHold);
    let mut twice = given(&taken);
    assert!(twice.ask(-DAY, &extend(Some(KeyId(1)))).is_ok());
    twice.refuses(-DAY, extend(None), Refusal::AlreadyExtended);
}

#[test]
fn a_hold_keeps_fewer_places_at_the_prices_that_it_has() {
    let taken = [(-DAY, hold(1, Channel::Web, &[full(4), free(2)])), (-DAY, hold(2, Channel::Web, &[full(10)]))];
    let of = |owner, counts: &[(&str, u16)]| {
        let counts = counts.iter().map(|(category, count)| (code(category), *count)).collect();
        Command::Shrink { hold: id(1), counts, owner, over: None }
    };
    let shrink = |counts: &[(&str, u16)]| of(Some(KeyId(1)), counts);
    let amended = |lines: &[Line]| Ok(Event::Amended(Amended { hold: id(1), lines: lines.to_vec() }));
    given(&taken).then(-DAY, shrink(&[("full", 3), ("free", 2)]), amended(&[full(3), free(2)]));
    given(&taken).then(-DAY, shrink(&[("free", 1)]), amended(&[free(1)]));
    given(&taken).then(-DAY, of(None, &[("free", 2), ("full", 4)]), amended(&[full(4), free(2)]));
    let mut world = given(&taken);
    assert!(world.ask(-DAY, &shrink(&[("full", 3)])).is_ok());
    assert_eq!((world.left(-DAY, Channel::Web), world.slot.hold_of(id(1)).map(|hold| hold.expires_at)), (7, Some(at(-DAY + 900))));
    // What was given back is gone, also for who asks by what was held before.
    assert_eq!(world.ask(-DAY, &shrink(&[("full", 4)])), Err(Refusal::BadLines));
    for counts in [&[][..], &[("full", 5)], &[("full", 2), ("full", 2)], &[("full", 2), ("child", 1)]] {
        given(&taken).refuses(-DAY, shrink(counts), Refusal::BadLines);
    }
    given(&taken).refuses(-DAY, shrink(&[("full", 1), ("free", 0)]), Refusal::PartyEmpty);
    given(&taken).refuses(-DAY, of(Some(KeyId(2)), &[("full", 1)]), Refusal::UnknownHold);
    given(&taken).refuses(-DAY + 900, shrink(&[("full", 1)]), Refusal::HoldExpired { at: at(-DAY + 900) });
    // A closed slot takes back, as it does whole holds.
    let mut closed = given(&taken);
    assert!(closed.ask(-DAY, &Command::Close { reason: code("strike") }).is_ok());
    closed.then(-DAY, shrink(&[("full", 1)]), amended(&[full(1)]));
    // What is being paid for stays as it is, until whoever knows says that the payment is over.
    let payment = crate::ids::PaymentId::new(1, 7);
    let mut paying = given(&taken);
    assert!(paying.ask(-DAY, &Command::Bind { hold: id(1), payment, over: None }).is_ok());
    assert_eq!(paying.ask(-DAY, &shrink(&[("full", 1)])), Err(Refusal::HoldKept { payment }));
    let over = Command::Shrink { hold: id(1), counts: vec![(code("full"), 1)], owner: Some(KeyId(1)), over: Some(payment) };
    paying.then(-DAY, over, amended(&[full(1)]));
}

#[test]
fn release_and_expire_give_the_places_back_once() {
    let taken = [(-DAY, hold(1, Channel::Web, &[full(5)])), (-DAY + 10, hold(2, Channel::Web, &[full(3)]))];
    let release = Command::Release { hold: id(1), owner: Some(KeyId(1)) };
    let mut world = given(&taken);
    assert_eq!((world.left(-DAY, Channel::Web), world.slot.wake_at()), (12, Some(at(-DAY + 900))));
    assert!(world.ask(-DAY + 20, &release).is_ok());
    assert_eq!((world.left(-DAY, Channel::Web), world.slot.wake_at()), (17, Some(at(-DAY + 910))));
    assert_eq!(world.ask(-DAY + 21, &release), Err(Refusal::HoldReleased));
    assert_eq!(world.ask(-DAY + 910, &sell(2, Settlement::Free)), Err(Refusal::HoldExpired { at: at(-DAY + 910) }));
    assert_eq!((world.left(-DAY, Channel::Web), world.slot.wake_at()), (20, None));
    given(&taken).refuses(-DAY, Command::Release { hold: id(1), owner: Some(KeyId(9)) }, Refusal::UnknownHold);
    // To somebody else it stays unknown, however it ended.
    for hold in [1, 2] {
        assert_eq!(world.ask(-DAY + 912, &Command::Release { hold: id(hold), owner: Some(KeyId(9)) }), Err(Refusal::UnknownHold));
    }
    world.refuses(-DAY + 913, sell(1, Settlement::Free), Refusal::HoldReleased);
}

#[test]
fn a_hold_is_read_as_what_it_has_become() {
    let (mine, other) = (Some(KeyId(1)), Some(KeyId(9)));
    let mut world =
        given(&[(-DAY, hold(1, Channel::Web, &[full(5)])), (-DAY, hold(2, Channel::Web, &[free(1)])), (-DAY, hold(3, Channel::Web, &[full(1)]))]);
    let read = |world: &World, now, owner| [1, 2, 3].map(|n| world.slot.held(at(now), id(n), owner).map(|hold| hold.lines.len()));
    assert_eq!(read(&world, -DAY, mine), [Ok(1), Ok(1), Ok(1)]);
    assert_eq!(read(&world, -DAY, None), [Ok(1), Ok(1), Ok(1)]);
    assert_eq!(read(&world, -DAY, other), [Err(Refusal::UnknownHold), Err(Refusal::UnknownHold), Err(Refusal::UnknownHold)]);
    assert!(world.ask(-DAY, &Command::Release { hold: id(1), owner: mine }).is_ok());
    assert!(world.ask(-DAY, &sell(2, Settlement::Free)).is_ok());
    let became = [Err(Refusal::HoldReleased), Err(Refusal::HoldSold), Err(Refusal::HoldExpired { at: at(-DAY + 900) })];
    // Before anybody has noted that the third is over, and long after.
    assert_eq!(read(&world, -DAY + 900, mine), became);
    assert!(world.ask(-DAY + 1_000, &Command::Reopen).is_ok());
    assert_eq!(read(&world, -DAY + 1_000, mine), became);
    assert_eq!(read(&world, -DAY + 1_000, None), became);
    assert_eq!(read(&world, -DAY + 1_000, other), [Err(Refusal::UnknownHold), Err(Refusal::UnknownHold), Err(Refusal::UnknownHold)]);
}

#[test]
fn a_hold_that_is_due_is_gone_even_if_nobody_noted_it() {
    let world = given(&[(-DAY, hold(1, Channel::Reseller, &[full(5)]))]);
    let refusal = Refusal::HoldExpired { at: at(-DAY + 900) };
    assert_eq!(world.slot.decide(at(-DAY + 900), &sell(1, account())), Err(refusal));
    assert!(world.slot.decide(at(-DAY + 899), &sell(1, account())).is_ok());
}

#[test]
fn a_clock_that_jumps_back_neither_revives_nor_rewrites() {
    let mut world = given(&[(-DAY, hold(1, Channel::Reseller, &[full(5)])), (-DAY + 950, hold(2, Channel::Web, &[full(1)]))]);
    // Told is when its time was over; that was noted later.
    assert_eq!(world.ask(-2 * DAY, &sell(1, account())), Err(Refusal::HoldExpired { at: at(-DAY + 900) }));
    assert!(world.ask(-2 * DAY, &Command::Release { hold: id(2), owner: None }).is_ok());
    assert_eq!(world.slot.last_at(), at(-DAY + 950));
}

#[test]
fn sells() {
    let sold = |held: bool, channel, lines: &[Line], settlement| {
        let held_by = held.then_some(KeyId(1));
        Ok(Event::Sold(Sold { sale: id(1), held, channel, lines: lines.to_vec(), settlement, contact: None, held_by }))
    };
    let reseller = [(-DAY, hold(1, Channel::Reseller, &[full(2), free(1)]))];
    let web_free = [(-DAY, hold(1, Channel::Web, &[free(2)]))];
    given(&reseller).then(-DAY + 60, sell(1, account()), sold(true, Channel::Reseller, &[full(2), free(1)], account()));
    given(&web_free).then(-DAY + 60, sell(1, Settlement::Free), sold(true, Channel::Web, &[free(2)], Settlement::Free));
    given(&reseller).refuses(-DAY + 60, sell(1, Settlement::Free), Refusal::SettlementMismatch { due_cents: Cents::new(3202) });
    given(&web_free).refuses(-DAY + 60, sell(1, account()), Refusal::SettlementMismatch { due_cents: Cents::ZERO });
    given(&reseller).refuses(-DAY + 60, sell(1, desk()), Refusal::SettlementNotAllowed { channel: Channel::Reseller });
    let kiosk = [(-DAY, hold(1, Channel::Kiosk, &[full(1)]))];
    given(&kiosk).refuses(-DAY + 60, sell(1, account()), Refusal::SettlementNotAllowed { channel: Channel::Kiosk });
    given(&kiosk).then(-DAY + 60, sell(1, desk()), sold(true, Channel::Kiosk, &[full(1)], desk()));
    given(&[]).refuses(-DAY, sell(1, desk()), Refusal::UnknownHold);
    let other = Command::Sell { hold: id(1), owner: Some(KeyId(5)), settlement: account(), contact: None };
    given(&reseller).refuses(-DAY, other.clone(), Refusal::UnknownHold);
    let mut twice = given(&reseller);
    assert!(twice.ask(-DAY, &sell(1, account())).is_ok());
    assert_eq!(twice.ask(-DAY, &other), Err(Refusal::UnknownHold));
    twice.refuses(-DAY, sell(1, account()), Refusal::HoldSold);
    let mut closed = given(&reseller);
    assert!(closed.ask(-DAY, &Command::Close { reason: code("strike") }).is_ok());
    closed.refuses(-DAY, sell(1, account()), Refusal::SlotClosed { reason: code("strike") });
    given(&[]).then(25 * MIN, direct(1, &[full(2)], desk()), sold(false, Channel::BoxOffice, &[full(2)], desk()));
    given(&[(-DAY, direct(1, &[full(2)], desk()))]).refuses(-DAY, direct(1, &[full(2)], desk()), Refusal::IdTaken);
    given(&[]).refuses(25 * MIN, direct(1, &[full(2)], Settlement::Free), Refusal::SettlementMismatch { due_cents: Cents::new(3202) });
    let short = Refusal::NotEnoughPlaces { asked: 6, available: 5, limited_by: LimitedBy::Capacity };
    given_capacity(5, &[]).refuses(0, direct(1, &[full(6)], desk()), short);
}

#[test]
fn what_belongs_to_an_order_stays_in_it() {
    let (mut slot, mut records) = (Slot::planned(opening(20)), Vec::new());
    let mut ask = |order: Option<u128>, command: Command| {
        let by = Envelope { order: order.map(OrderId), ..envelope(1, records.len() as u128, 0) };
        step(&mut slot, &mut records, at(-DAY), Some(by), &command).unwrap();
    };
    ask(Some(7), hold(1, Channel::Web, &[free(1)]));
    ask(None, sell(1, Settlement::Free));
    ask(None, hold(2, Channel::Web, &[free(10)]));
    ask(None, hold(3, Channel::Web, &[free(9)]));
    ask(Some(8), Command::Wait { entry: id(4), who: KeyId(1), channel: Channel::Web, lines: vec![free(1)] });
    ask(None, Command::Release { hold: id(2), owner: None });
    ask(None, begin_move(1, &[], 9));
    assert_eq!(slot.sale_of(id(1)).and_then(|sale| sale.order), Some(OrderId(7)), "whoever confirms it");
    assert_eq!(slot.hold_of(id(4)).and_then(|hold| hold.order), Some(OrderId(8)), "what was waited for");
    let arrival = slot.begun(there(9)).and_then(|begun| slot.arrival(begun));
    let Some(Command::Arrive { arrived, .. }) = arrival else { panic!("it is under way") };
    assert_eq!(arrived.order, Some(OrderId(7)), "wherever its tickets go");
}

#[test]
fn a_full_slot_still_sells_what_it_holds() {
    let holds = [(-DAY, hold(1, Channel::Reseller, &[full(10)])), (-DAY, hold(2, Channel::Reseller, &[full(10)]))];
    let mut world = given(&holds);
    assert!(world.ask(-DAY, &Command::SetCapacity { capacity: 10 }).is_ok());
    assert!(world.ask(-DAY, &sell(1, account())).is_ok());
    assert!(world.ask(-DAY, &sell(2, account())).is_ok());
    assert_eq!(world.slot.places().over(at(-DAY)), 10);
}

#[test]
fn cancels() {
    let sold = [(-3 * DAY, direct(1, &[full(3), free(1)], desk()))];
    let cancelled = |tickets: &[u16], cents| {
        Ok(Event::Cancelled(Cancelled { sale: id(1), tickets: tickets.to_vec(), refund_cents: Cents::new(cents), cause: CancelCause::Visitor }))
    };
    given(&sold).then(-2 * DAY, cancel(1, &[]), cancelled(&[0, 1, 2, 3], 4803));
    given(&sold).then(-DAY, cancel(1, &[3, 0, 0]), cancelled(&[0, 3], 1601));
    given(&sold).then(-DAY + 1, cancel(1, &[1, 2]), cancelled(&[1, 2], 1600));
    given(&sold).then(-HOUR + 1, cancel(1, &[1]), cancelled(&[1], 0));
    given(&sold).refuses(30 * MIN, cancel(1, &[]), Refusal::SlotOver { ended_at: at(30 * MIN) });
    given(&sold).refuses(-DAY, cancel(1, &[4]), Refusal::UnknownTicket);
    given(&sold).refuses(-DAY, cancel(2, &[]), Refusal::UnknownSale);
    let other = Command::Cancel { sale: id(1), owner: Some(KeyId(2)), tickets: vec![], cause: CancelCause::Visitor };
    given(&sold).refuses(-DAY, other, Refusal::UnknownSale);
    let museum = Command::Cancel { sale: id(1), owner: None, tickets: vec![], cause: CancelCause::Museum };
    let all = Cancelled { sale: id(1), tickets: vec![0, 1, 2, 3], refund_cents: Cents::new(4803), cause: CancelCause::Museum };
    given(&sold).then(DAY, museum, Ok(Event::Cancelled(all)));
    let mut closed = given(&sold);
    assert!(closed.ask(-HOUR, &Command::Close { reason: code("strike") }).is_ok());
    closed.then(-60, cancel(1, &[]), cancelled(&[0, 1, 2, 3], 4803));
    let mut part = given(&sold);
    assert!(part.ask(-2 * DAY, &cancel(1, &[0])).is_ok());
    assert_eq!(part.left(-2 * DAY, Channel::Web), 17);
    assert_eq!(part.ask(-2 * DAY, &cancel(1, &[0])), Err(Refusal::TicketCancelled));
    assert_eq!(part.slot.money(), (Cents::new(4803), Cents::new(1601)));
    part.then(-2 * DAY, cancel(1, &[]), cancelled(&[1, 2, 3], 3202));
    let mut used = given(&sold);
    assert!(used.ask(0, &admit(1, 0)).is_ok());
    assert_eq!(used.ask(1, &cancel(1, &[0, 1])), Err(Refusal::TicketUsed { at: at(0) }));
    assert!(used.ask(1, &cancel(1, &[1])).is_ok());
    assert!(used.ask(1, &cancel(1, &[])).is_ok());
    used.refuses(1, cancel(1, &[]), Refusal::TicketUsed { at: at(0) });
    let mut gone = given(&sold);
    assert!(gone.ask(-2 * DAY, &cancel(1, &[])).is_ok());
    gone.refuses(-2 * DAY, cancel(1, &[]), Refusal::TicketCancelled);
}

#[test]
fn blocks_and_unblocks() {
    let sold = [(-DAY, direct(1, &[full(3)], desk()))];
    let block = |tickets: &[u16]| Command::Block { sale: id(1), tickets: tickets.to_vec(), reason: code("chargeback") };
    let unblock = |tickets: &[u16]| Command::Unblock { sale: id(1), tickets: tickets.to_vec(), reason: None, keeps: None };
    let mut world = given(&sold);
    assert!(world.ask(-HOUR, &block(&[1])).is_ok());
    assert_eq!(world.ask(0, &admit(1, 1)), Err(Refusal::TicketBlocked { reason: code("chargeback") }));
    assert!(world.ask(0, &admit(1, 0)).is_ok());
    assert_eq!(world.ask(0, &unblock(&[0])), Err(Refusal::NotBlocked));
    assert_eq!(world.ask(0, &unblock(&[])), Ok(vec![Event::Unblocked(Unblocked { sale: id(1), tickets: vec![1] })]));
    assert!(world.ask(0, &admit(1, 1)).is_ok());
    given(&[]).refuses(0, block(&[]), Refusal::UnknownSale);
    given(&[]).refuses(0, unblock(&[]), Refusal::UnknownSale);
    given(&sold).refuses(0, block(&[7]), Refusal::UnknownTicket);
    let mut gone = given(&sold);
    assert!(gone.ask(-DAY, &cancel(1, &[0])).is_ok());
    assert_eq!(gone.ask(-HOUR, &block(&[0])), Err(Refusal::TicketCancelled));
    gone.then(-HOUR, block(&[]), Ok(Event::Blocked(Blocked { sale: id(1), tickets: vec![1, 2], reason: code("chargeback") })));
}

#[test]
fn what_a_verdict_blocks_stands_beside_what_staff_block() {
    let sold = [(-DAY, direct(1, &[full(2)], desk()))];
    let block = |reason: &str, tickets: &[u16]| Command::Block { sale: id(1), tickets: tickets.to_vec(), reason: code(reason) };
    let unblock = |reason: Option<&str>, keeps: Option<&str>| Command::Unblock {
        sale: id(1),
        tickets: vec![],
        reason: reason.map(code),
        keeps: keeps.map(code),
    };
    let lifted = |reason: &str, tickets: &[u16]| Event::BlockLifted(BlockLifted { sale: id(1), tickets: tickets.to_vec(), reason: code(reason) });
    let free = |tickets: &[u16]| Event::Unblocked(Unblocked { sale: id(1), tickets: tickets.to_vec() });
    let says = |world: &World, number: usize| world.slot.sale_of(id(1)).unwrap().tickets[number].blocked.map(|reason| reason.to_string());
    // Whichever comes first, the gate says fraud, and neither is lost with the other.
    for order in [["lost", FRAUD], [FRAUD, "lost"]] {
        let mut world = given(&sold);
        for reason in order {
            assert!(world.ask(-HOUR, &block(reason, &[0])).is_ok());
        }
        assert!(world.ask(-HOUR, &block("torn", &[1])).is_ok());
        assert_eq!(world.ask(-10 * MIN, &admit(1, 0)), Err(Refusal::TicketBlocked { reason: code(FRAUD) }));
        assert_eq!(world.ask(-10 * MIN, &unblock(None, Some(FRAUD))), Ok(vec![free(&[1]), lifted("lost", &[0])]));
        assert_eq!((says(&world, 0).as_deref(), says(&world, 1)), (Some(FRAUD), None), "staff lift what staff said");
        let kept = Err(Refusal::TicketBlocked { reason: code(FRAUD) });
        assert_eq!(world.ask(-10 * MIN, &unblock(None, Some(FRAUD))), kept);
        assert_eq!(world.ask(-10 * MIN, &unblock(Some(FRAUD), Some(FRAUD))), kept);
        assert_eq!(world.ask(-10 * MIN, &unblock(Some("lost"), Some(FRAUD))), Err(Refusal::NotBlocked));
        assert_eq!(world.ask(-10 * MIN, &unblock(Some(FRAUD), None)), Ok(vec![free(&[0])]));
    }
    // The verdict is taken back: what staff said is what is left.
    let mut world = given(&sold);
    for reason in ["lost", FRAUD, "stolen"] {
        assert!(world.ask(-HOUR, &block(reason, &[0])).is_ok());
    }
    assert_eq!(world.ask(-HOUR, &unblock(Some(FRAUD), None)), Ok(vec![lifted(FRAUD, &[0])]));
    assert_eq!(says(&world, 0).as_deref(), Some("stolen"), "the last word of staff");
    assert_eq!(world.ask(-HOUR, &unblock(None, None)), Ok(vec![free(&[0])]));
    // As journals have it that are older than the second reason: all is lifted.
    for reason in [FRAUD, "lost"] {
        assert!(world.ask(-HOUR, &block(reason, &[0])).is_ok());
    }
    assert_eq!(world.ask(-HOUR, &unblock(None, None)), Ok(vec![free(&[0])]));
    assert_eq!(says(&world, 0), None);
}

#[test]
fn what_somebody_suspects_pays_no_visitor_back() {
    let sold = [(-3 * DAY, direct(1, &[full(3)], desk()))];
    let museum = Command::Cancel { sale: id(1), owner: None, tickets: vec![], cause: CancelCause::Museum };
    let mut blocked = given(&sold);
    assert!(blocked.ask(-2 * DAY, &Command::Block { sale: id(1), tickets: vec![1], reason: code(FRAUD) }).is_ok());
    for tickets in [&[][..], &[1], &[0, 1]] {
        assert_eq!(blocked.ask(-2 * DAY, &cancel(1, tickets)), Err(Refusal::TicketBlocked { reason: code(FRAUD) }));
    }
    assert!(blocked.ask(-2 * DAY, &cancel(1, &[0])).is_ok(), "of the others nobody says anything");
    assert!(blocked.ask(-2 * DAY, &museum).is_ok(), "the museum knows what it does");
    let mut reviewed = given(&sold);
    assert!(reviewed.ask(-2 * DAY, &Command::Review { sale: id(1) }).is_ok());
    let until = at(-45 * MIN);
    assert_eq!(reviewed.ask(-2 * DAY, &cancel(1, &[])), Err(Refusal::TicketUnderReview { until }));
    let back = Cancelled { sale: id(1), tickets: vec![0], refund_cents: Cents::ZERO, cause: CancelCause::Visitor };
    reviewed.then(-45 * MIN, cancel(1, &[0]), Ok(Event::Cancelled(back)));
    let mut shut = given(&sold);
    assert!(shut.ask(-2 * DAY, &Command::Review { sale: id(1) }).is_ok());
    assert!(shut.ask(-2 * DAY, &museum).is_ok());
}

#[test]
fn a_key_finds_its_first_answer_and_no_other_body() {
    let mut slot = Slot::planned(opening(20));
    let mut records = Vec::new();
    let first = envelope(1, 77, 1);
    assert_eq!(slot.recall(&first), Recall::New);
    step(&mut slot, &mut records, at(-DAY), Some(first.clone()), &hold(1, Channel::Web, &[full(1)])).unwrap();
    for slot in [&slot, &Slot::replay(&records).unwrap()] {
        assert_eq!(slot.recall(&first), Recall::Done { seq: 1 });
        assert_eq!(slot.recall(&envelope(1, 77, 2)), Recall::OtherBody);
        assert_eq!(slot.recall(&envelope(2, 77, 2)), Recall::New);
    }
    // A refusal is not kept under its key: it is decided anew.
    let refused = envelope(1, 78, 1);
    assert!(step(&mut slot, &mut records, at(-DAY), Some(refused.clone()), &direct(2, &[full(21)], desk())).is_err());
    assert_eq!(slot.recall(&refused), Recall::New);
}

#[test]
fn check_sees_what_a_wrong_event_would_do() {
    let corrupt = |events: Vec<Event>| {
        let mut world = given(&[(-DAY, direct(1, &[full(10)], desk()))]);
        let record = world.slot.record(at(-DAY), None, events);
        world.slot.apply(&record);
        world.slot.check().map_err(|broken| broken.invariant)
    };
    let oversold = Sold { sale: id(2), held: false, channel: Channel::Web, lines: vec![full(11)], settlement: desk(), contact: None, held_by: None };
    assert_eq!(corrupt(vec![Event::Sold(oversold.clone())]), Err("SL-1"));
    // Also when the record that oversells is the slot's first.
    let mut fresh = Slot::planned(opening(10));
    let first = fresh.record(at(-DAY), None, vec![Event::Opened(Opened { opening: opening(10) }), Event::Sold(oversold)]);
    fresh.apply(&first);
    assert_eq!(fresh.check().map_err(|broken| broken.invariant), Err("SL-1"));
    let mut stolen = given(&[(-DAY, Command::SetQuotas { quotas: quotas(&[(Channel::Group, 15, None, 0)]) })]);
    let record = stolen.slot.record(at(-DAY), None, vec![held(3, Channel::Web, &[full(6)], 0)]);
    stolen.slot.apply(&record);
    assert_eq!(stolen.slot.check().map_err(|broken| broken.invariant), Err("SL-1"));
    let twice = vec![held(3, Channel::Web, &[full(1)], 0), held(3, Channel::Web, &[full(1)], 5)];
    assert_eq!(corrupt(twice), Err("SL-8"));
    // What staff left too much is gone, and does not come again.
    let cut = [(-DAY, direct(1, &[full(10)], desk())), (-DAY, Command::SetCapacity { capacity: 6 }), (-DAY, cancel(1, &[0, 1, 2, 3]))];
    let mut again = given(&cut);
    let record = again.slot.record(at(-DAY), None, vec![held(3, Channel::Web, &[full(1)], 0)]);
    again.slot.apply(&record);
    assert_eq!(again.slot.check().map_err(|broken| broken.invariant), Err("SL-1"));
    let counted = |change: fn(&mut Places)| {
        let mut slot = Slot::planned(opening(10));
        change(&mut slot.places);
        slot.check().map_err(|broken| broken.invariant)
    };
    assert_eq!(counted(|places| places.inside = 1), Err("SL-3"));
    assert_eq!(counted(|places| places.resting = 1), Err("SL-13"));
}

#[test]
fn a_snapshot_gives_the_same_state_and_the_same_bytes() {
    let done = [
        (-DAY, hold(1, Channel::Web, &[full(2)])),
        (-DAY, hold(2, Channel::Web, &[free(1)])),
        (-DAY, hold(3, Channel::Web, &[full(2)])),
        (-DAY, Command::Release { hold: id(3), owner: None }),
        (-DAY, direct(4, &[full(2), free(2)], desk())),
        (-DAY, sell(2, Settlement::Free)),
        (-DAY, rename(4, &[1], 7)),
        (-DAY, begin_move(4, &[0], 8)),
        (-DAY, undo_move(8)),
        (-DAY, begin_move(4, &[1], 9)),
        (-DAY, begin_move(4, &[0, 2], 10)),
        (-DAY, finish_move(10)),
        (-DAY, arrive(5, &[full(1)], Channel::Web)),
    ];
    let world = given(&done);
    let bytes = postcard::to_allocvec(&world.slot).unwrap();
    let back: Slot = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(back, world.slot);
    assert_eq!(back.recount(), Ok(()));
    assert_eq!(postcard::to_allocvec(&back).unwrap(), bytes);
    assert_eq!(back.wake_at(), world.slot.wake_at());
}
