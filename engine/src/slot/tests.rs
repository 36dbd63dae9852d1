//! Given what was done, when this is asked, then this happens: one table per command. Below, random commands against a naive model (`model`).

mod buyers;
mod model;
mod payments;
mod scans;
mod waiting;

use super::*;
use crate::envelope::Digest;
use crate::grant::Grant;
use crate::ids::{Code, KeyId, MuseumId, PersonId, RouteId};
use crate::tariff::Proof;

pub(super) const S: i64 = 1;
pub(super) const MIN: i64 = 60;
pub(super) const HOUR: i64 = 3600;
pub(super) const DAY: i64 = 24 * HOUR;
/// The slot of the tests starts here and lasts half an hour; all times below are seconds relative to it.
pub(super) const START: i64 = 1_780_000_020;
const MUSEUM: MuseumId = MuseumId(7);

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
        holders: vec![(0, PersonId(4))],
        refund_percent: 50,
        buyer: None,
    }
}

fn arrive(n: u64, lines: &[Line], via: Channel) -> Command {
    Command::Arrive { arrived: Box::new(arrived(n, lines)), via }
}

fn rename(n: u64, tickets: &[u16], holder: u128) -> Command {
    Command::Rename { sale: id(n), owner: None, tickets: tickets.to_vec(), holder: Some(PersonId(holder)) }
}

fn observe(inside: u32, sd: u32, measured: i64) -> Command {
    Command::Observe { source: code("door"), inside, sd, measured_at: at(measured), ceiling: Some(100), grant: None }
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
    assert_eq!(slot.recount(), Ok(()), "SL-1, SL-2, SL-3, SL-5, SL-6, SL-8, SL-9, SL-10 after {:?}", records.last());
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
    let cheap = Line { price_cents: Cents::new(-1), ..full(1) };
    given(&[]).refuses(-DAY, hold(1, Channel::Web, &[cheap]), Refusal::BadLines);
    given(&[]).refuses(-DAY, hold(1, Channel::Web, &[full(1), free(0)]), Refusal::PartyEmpty);
    given(&[]).refuses(-DAY, web(1, 11), Refusal::PartyTooLarge { max: 10 });
    given(&[(-DAY, web(1, 1))]).refuses(-DAY, web(1, 1), Refusal::IdTaken);
    let elsewhere = HoldId::new(SlotId::new(MUSEUM, RouteId(2), at(0)), 1);
    given(&[]).refuses(-DAY, Command::Hold { hold: elsewhere, channel: Channel::Web, lines: vec![full(1)] }, Refusal::IdTaken);
    given(&[]).refuses(-91 * DAY, web(1, 1), Refusal::SaleNotOpen { opens_at: at(-90 * DAY) });
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
    let sold = |held, channel, lines: &[Line], settlement| {
        Ok(Event::Sold(Sold { sale: id(1), held, channel, lines: lines.to_vec(), settlement, contact: None }))
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
fn admits_and_exits() {
    let sold = [(-DAY, direct(1, &[full(1), free(1)], desk()))];
    let admitted = |ticket, entry, category: &str, proof| {
        Ok(Event::Admitted(Admitted { ticket: id(1).ticket(ticket), gate: code("north"), entry, category: code(category), proof, scanned_at: None }))
    };
    given(&sold).then(-15 * MIN, admit(1, 0), admitted(0, 1, "full", Proof::None));
    given(&sold).then(45 * MIN, admit(1, 1), admitted(1, 1, "free", Proof::Age));
    given(&sold).refuses(-15 * MIN - 1, admit(1, 0), Refusal::TooEarly { opens_at: at(-15 * MIN) });
    given(&sold).refuses(45 * MIN + 1, admit(1, 0), Refusal::TooLate { closed_at: at(45 * MIN) });
    given(&sold).refuses(0, admit(1, 2), Refusal::UnknownTicket);
    given(&sold).refuses(0, admit(2, 0), Refusal::UnknownTicket);
    let elsewhere = Command::Admit { ticket: id(1).ticket(0), issue: Some(1), gate: code("north"), museum: MuseumId(8) };
    given(&sold).refuses(0, elsewhere, Refusal::WrongMuseum);
    let old = Command::Admit { ticket: id(1).ticket(0), issue: Some(2), gate: code("north"), museum: MUSEUM };
    given(&sold).refuses(0, old, Refusal::CodeOutdated { issue: 1 });
    let mut once = given(&sold);
    assert!(once.ask(0, &admit(1, 0)).is_ok());
    assert_eq!(once.ask(5, &admit(1, 0)), Err(Refusal::TicketInside { since: at(0) }));
    assert!(once.ask(10, &exit(1, 0)).is_ok());
    assert_eq!(once.ask(11, &exit(1, 0)), Err(Refusal::NotInside));
    assert_eq!((once.slot.places().admitted, once.slot.places().inside), (1, 0));
    assert_eq!(once.ask(20, &admit(1, 0)).map(|events| events.len()), Ok(1));
    assert!(once.ask(30, &exit(1, 0)).is_ok());
    once.refuses(40, admit(1, 0), Refusal::TicketUsed { at: at(0) });
    let mut last_moment = given(&sold);
    assert!(last_moment.ask(0, &admit(1, 0)).is_ok() && last_moment.ask(10, &exit(1, 0)).is_ok());
    assert!(last_moment.ask(7200, &admit(1, 0)).is_ok());
    let mut late = given(&sold);
    assert!(late.ask(0, &admit(1, 0)).is_ok() && late.ask(10, &exit(1, 0)).is_ok());
    late.refuses(7201, admit(1, 0), Refusal::TicketUsed { at: at(0) });
    let mut gone = given(&sold);
    assert!(gone.ask(-DAY, &cancel(1, &[0])).is_ok());
    gone.refuses(0, admit(1, 0), Refusal::TicketCancelled);
    given(&sold).refuses(0, exit(1, 0), Refusal::NotInside);
    given(&sold).refuses(0, Command::Exit { ticket: id(1).ticket(0), gate: code("north"), museum: MuseumId(8) }, Refusal::WrongMuseum);
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

#[test]
fn scans_of_gates_without_a_network_are_merged_with_their_own_times() {
    let sold = [(-DAY, direct(1, &[full(1), free(1)], desk()))];
    let admitted = |entry, s| {
        Ok(Event::Admitted(Admitted {
            ticket: id(1).ticket(0),
            gate: code("pda"),
            entry,
            category: code("full"),
            proof: Proof::None,
            scanned_at: Some(at(s)),
        }))
    };
    let out = |s| merge(scan(1, 0, "pda", Direction::Out, s));
    // By the time of the scan, not by today's.
    given(&sold).then(DAY, merge_in("pda", -15 * MIN), admitted(1, -15 * MIN));
    let mut visit = given(&sold);
    assert_eq!(visit.ask(DAY, &merge_in("pda", 0)).map(|events| events.len()), Ok(1));
    let state = |world: &World| world.slot.ticket_of(id(1).ticket(0)).unwrap().1.state;
    assert_eq!(state(&visit), TicketState::Inside { first_at: at(0), since: at(0), entries: 1 });
    assert!(visit.ask(DAY, &out(MIN)).is_ok());
    assert_eq!(state(&visit), TicketState::Outside { first_at: at(0), left_at: at(MIN), entries: 1 });
    let unseen = |s| {
        let found = JudgedScan { scan: scan(1, 0, "pda", Direction::Out, s), before: None, judged: Judged::LeftUnseen };
        move |state| Ok(vec![Event::ScansJudged(ScansJudged { ticket: found.scan.ticket, scans: vec![found], state, used: false })])
    };
    let left = state(&visit);
    assert_eq!(visit.ask(DAY, &out(2 * MIN)), unseen(2 * MIN)(left));
    assert_eq!(state(&visit), left);
    for known in [merge_in("pda", 0), out(MIN)] {
        assert_eq!(visit.ask(6 * DAY, &known), Err(Refusal::ScanKnown), "sent again");
    }
    visit.then(DAY, merge_in("pda", 90 * MIN), admitted(2, 90 * MIN));
    // The clock of a gate may be a minute ahead; nobody is inside before it is so late.
    let mut ahead = given(&sold);
    assert!(ahead.ask(0, &merge_in("pda", 60)).is_ok());
    assert_eq!(state(&ahead), TicketState::Inside { first_at: at(0), since: at(0), entries: 1 });
    assert!(ahead.ask(1, &exit(1, 0)).is_ok());
    given(&sold).refuses(0, merge_in("pda", 61), Refusal::ScanInFuture);
    given(&sold).then(7 * DAY, merge_in("pda", 0), admitted(1, 0));
    given(&sold).refuses(7 * DAY + 1, merge_in("pda", 0), Refusal::ScanTooOld);
    given(&sold).refuses(0, merge(scan(1, 2, "pda", Direction::In, 0)), Refusal::UnknownTicket);
    given(&sold).refuses(0, merge(scan(2, 0, "pda", Direction::In, 0)), Refusal::UnknownTicket);
    let elsewhere = Command::Merge { scan: scan(1, 0, "pda", Direction::In, 0), issue: None, museum: MuseumId(8) };
    given(&sold).refuses(0, elsewhere, Refusal::WrongMuseum);
    // An exit that comes in before the admission is kept, and counts when the admission comes in.
    let mut late = given(&sold);
    assert_eq!(late.ask(DAY, &out(MIN)), unseen(MIN)(TicketState::Valid));
    assert_eq!((late.slot.places().admitted, late.slot.places().inside), (0, 0));
    assert_eq!(late.ask(DAY, &out(MIN)), Err(Refusal::ScanKnown));
    let outside = TicketState::Outside { first_at: at(0), left_at: at(MIN), entries: 1 };
    let scans = vec![
        JudgedScan { scan: scan(1, 0, "pda", Direction::In, 0), before: None, judged: Judged::Passed },
        JudgedScan { scan: scan(1, 0, "pda", Direction::Out, MIN), before: Some(Judged::LeftUnseen), judged: Judged::Passed },
    ];
    late.then(DAY, merge_in("pda", 0), Ok(Event::ScansJudged(ScansJudged { ticket: id(1).ticket(0), scans, state: outside, used: true })));
    // Nobody leaves on a ticket that is good for nobody, and a gate gone mad fills no memory.
    let mut gone = given(&sold);
    assert!(gone.ask(-HOUR, &cancel(1, &[0])).is_ok());
    gone.refuses(0, out(0), Refusal::NotInside);
    let mut mad = given(&sold);
    for s in 0..100 {
        assert!(mad.ask(HOUR, &out(s)).is_ok());
    }
    mad.refuses(HOUR, out(100), Refusal::NotInside);
}

/// What all scans of a world come to, and what has become of its tickets and counters.
fn came_to(world: &World) -> (Vec<(Scan, ConflictReason)>, Vec<Ticket>, Places) {
    let conflicts = world.slot.conflicts().map(|(scan, reason)| (*scan, reason)).collect();
    (conflicts, world.slot.sale_of(id(1)).unwrap().tickets.clone(), *world.slot.places())
}

/// Every order of `count` things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![vec![]];
    }
    let longer = |order: Vec<usize>| (0..=order.len()).map(move |place| [&order[..place], &[count - 1], &order[place..]].concat());
    orders(count - 1).into_iter().flat_map(longer).collect()
}

#[test]
fn it_does_not_matter_which_gate_sends_its_scans_first() {
    let (go_in, go_out) = (Direction::In, Direction::Out);
    let of = |gate: &'static str, passages: &[(Direction, i64)]| -> Vec<Scan> {
        passages.iter().map(|&(direction, minute)| scan(1, 0, gate, direction, minute * MIN)).collect()
    };
    let inside = |first, since, entries| TicketState::Inside { first_at: at(first * MIN), since: at(since * MIN), entries };
    let outside = |first, left, entries| TicketState::Outside { first_at: at(first * MIN), left_at: at(left * MIN), entries };
    let sold = (-DAY, direct(1, &[full(2)], desk()));
    let online = vec![(20 * MIN, admit(1, 0)), (25 * MIN, exit(1, 0))];
    let blocked = vec![(-HOUR, Command::Block { sale: id(1), tickets: vec![0], reason: code("review") })];
    let inside_twice = vec![ConflictReason::TicketInside];
    // What was done before, the batches, the reasons of the conflicts in the order of the scans, and the ticket.
    let cases = vec![
        (
            "one comes back, and left by another gate",
            vec![],
            vec![of("a", &[(go_in, 0), (go_in, 40)]), of("b", &[(go_out, 30)])],
            vec![],
            inside(0, 40, 2),
        ),
        ("two on one ticket", vec![], vec![of("a", &[(go_in, 1)]), of("b", &[(go_in, 2)])], inside_twice.clone(), inside(1, 1, 1)),
        (
            "three gates, each of which sees a part",
            vec![],
            vec![of("a", &[(go_in, 0)]), of("b", &[(go_out, 10), (go_in, 12)]), of("c", &[(go_out, 20)])],
            vec![],
            outside(0, 20, 2),
        ),
        (
            "more often than they may",
            vec![],
            vec![of("a", &[(go_in, 0), (go_in, 10), (go_in, 20)]), of("b", &[(go_out, 5), (go_out, 15)])],
            vec![ConflictReason::TicketUsed],
            outside(0, 15, 2),
        ),
        (
            "what a gate that asked saw is certain",
            online.clone(),
            vec![of("a", &[(go_in, 0)]), of("b", &[(go_out, 10)]), of("c", &[(go_in, 30)])],
            vec![ConflictReason::TicketUsed],
            outside(0, 25, 2),
        ),
        (
            "nobody is in twice beside it",
            online,
            vec![of("a", &[(go_in, 0)]), of("b", &[(go_in, 22)])],
            [&inside_twice[..], &inside_twice].concat(),
            outside(20, 25, 1),
        ),
        (
            "a blocked ticket is used by the first",
            blocked,
            vec![of("a", &[(go_in, 3)]), of("b", &[(go_in, 2)])],
            vec![ConflictReason::TicketBlocked; 2],
            inside(2, 2, 1),
        ),
        (
            "before the gate opens",
            vec![],
            vec![of("a", &[(go_in, -20)]), of("b", &[(go_in, -18)])],
            vec![ConflictReason::TooEarly, ConflictReason::TicketInside],
            inside(-20, -20, 1),
        ),
    ];
    for (what, before, batches, reasons, state) in cases {
        let seen = (50 * MIN, observe(50, 0, 40 * MIN));
        let start = given(&[vec![sold.clone()], before, vec![seen]].concat());
        let mut first = None;
        for order in orders(batches.len()) {
            let mut world = start.clone();
            for scan in order.iter().flat_map(|batch| &batches[*batch]) {
                assert!(world.ask(HOUR, &merge(*scan)).is_ok(), "{what}: {scan:?} in {order:?}");
            }
            // A repeat, as a gate that heard no answer sends it, changes nothing.
            for scan in batches.iter().flatten() {
                assert_eq!(world.ask(HOUR, &merge(*scan)), Err(Refusal::ScanKnown));
            }
            let came = came_to(&world);
            assert_eq!(came.0.iter().map(|(_, reason)| *reason).collect::<Vec<_>>(), reasons, "{what} in {order:?}");
            assert_eq!(came.1[0].state, state, "{what} in {order:?}");
            assert_eq!(first.get_or_insert(came.clone()), &came, "{what} in {order:?}");
            assert_eq!(Slot::replay(&world.records).as_ref(), Some(&world.slot), "SL-4");
        }
    }
}

#[test]
fn a_conflict_that_was_none_is_withdrawn() {
    let mut world = given(&[(-DAY, direct(1, &[full(1)], desk()))]);
    let [first, second, left] =
        [scan(1, 0, "a", Direction::In, 0), scan(1, 0, "a", Direction::In, 40 * MIN), scan(1, 0, "b", Direction::Out, 30 * MIN)];
    assert!(world.ask(HOUR, &merge(first)).is_ok());
    assert!(world.ask(HOUR, &merge(second)).is_ok());
    assert_eq!(world.slot.conflicts().collect::<Vec<_>>(), [(&second, ConflictReason::TicketInside)]);
    let events = world.ask(HOUR, &merge(left)).unwrap();
    let scans = vec![
        JudgedScan { scan: left, before: None, judged: Judged::Passed },
        JudgedScan { scan: second, before: Some(Judged::Conflict { reason: ConflictReason::TicketInside }), judged: Judged::Passed },
    ];
    let state = TicketState::Inside { first_at: at(0), since: at(40 * MIN), entries: 2 };
    assert_eq!(events, [Event::ScansJudged(ScansJudged { ticket: left.ticket, scans, state, used: false })]);
    assert_eq!((judged(&events, &second), judged(&events, &first)), (Some(Judged::Passed), None));
    let places = world.slot.places();
    assert_eq!((places.admitted, places.inside, places.conflicts), (1, 1, 0));
}

#[test]
fn a_scan_that_cannot_stand_is_a_conflict_and_counts_nobody_twice() {
    use ConflictReason as R;
    let sold = (-DAY, direct(1, &[full(2)], desk()));
    let cancelled = (-HOUR, cancel(1, &[0]));
    let blocked = (-HOUR, Command::Block { sale: id(1), tickets: vec![0], reason: code("review") });
    let (entered, left) = ((0, admit(1, 0)), (10 * MIN, exit(1, 0)));
    let old = Command::Merge { scan: scan(1, 0, "pda", Direction::In, 0), issue: Some(0), museum: MUSEUM };
    let visited = vec![entered.clone(), left.clone()];
    let twice = vec![entered.clone(), left, (11 * MIN, admit(1, 0)), (12 * MIN, exit(1, 0))];
    // What was done before, what comes in, what speaks against it, how many are admitted and inside then.
    let cases = [
        (vec![entered], merge_in("pda", 5), R::TicketInside, 1, 1),
        (vec![(0, merge_in("pda-2", -5))], merge_in("pda", 5), R::TicketInside, 1, 1),
        (visited.clone(), merge_in("pda", 5), R::TicketInside, 1, 0),
        (visited, merge_in("pda", -5), R::TicketInside, 1, 0),
        (twice, merge_in("pda", 13 * MIN), R::TicketUsed, 1, 0),
        (vec![cancelled], merge_in("pda", 0), R::TicketCancelled, 0, 0),
        (vec![], old, R::CodeOutdated, 0, 0),
        // The ticket had not been used: it is now.
        (vec![blocked], merge_in("pda", 0), R::TicketBlocked, 1, 1),
        (vec![], merge_in("pda", -15 * MIN - 1), R::TooEarly, 1, 1),
        (vec![], merge_in("pda", 45 * MIN + 1), R::TooLate, 1, 1),
    ];
    for (done, asked, reason, admitted, inside) in cases {
        let mut world = given(&[vec![sold.clone()], done.clone()].concat());
        let Command::Merge { scan, .. } = asked else { unreachable!("only scans come in") };
        let events = world.ask(DAY, &asked).unwrap();
        let conflict = AdmissionConflict { ticket: scan.ticket, gate: scan.gate, scanned_at: scan.scanned_at, reason };
        assert_eq!(events.last(), Some(&Event::AdmissionConflict(conflict)), "{asked:?}");
        let places = world.slot.places();
        assert_eq!((places.admitted, places.inside, places.conflicts), (admitted, inside, 1), "{asked:?} after {done:?}");
        assert_eq!(world.slot.conflicts().collect::<Vec<_>>(), [(&scan, reason)]);
        world.refuses(DAY, asked, Refusal::ScanKnown);
    }
}

#[test]
fn a_gate_gone_mad_fills_no_memory() {
    let mut world = given(&[(-DAY, direct(1, &[full(1)], desk())), (-HOUR, cancel(1, &[]))]);
    let again = |n: i64| {
        let scanned_at = Timestamp::from_micros(at(0).as_micros() + n);
        merge(Scan { scanned_at, ..scan(1, 0, "pda", Direction::In, 0) })
    };
    for n in 0..10_000 {
        let record = world.slot.record(at(DAY), None, world.slot.decide(at(DAY), &again(n)).unwrap());
        world.slot.apply(&record);
    }
    assert_eq!((world.slot.recount(), world.slot.places().conflicts), (Ok(()), 10_000));
    assert_eq!(world.slot.decide(at(DAY), &again(10_000)), Err(Refusal::TooManyConflicts));
    assert_eq!(world.slot.decide(at(DAY), &again(0)), Err(Refusal::ScanKnown));
}

#[test]
fn who_came_in_before_a_reading_was_counted_by_it() {
    let world = |s| given(&[(-DAY, direct(1, &[full(2)], desk())), (MIN, observe(50, 0, MIN)), (2 * MIN, merge_in("pda", s))]);
    assert_eq!(world(0).slot.places().people_upper(at(2 * MIN)), Some(50));
    assert_eq!(world(90).slot.places().people_upper(at(2 * MIN)), Some(51));
    let mut left = world(0);
    assert!(left.ask(2 * MIN, &merge(scan(1, 0, "pda", Direction::Out, 30))).is_ok());
    assert_eq!(left.slot.places().people_upper(at(2 * MIN)), Some(50));
    let mut leaves = world(0);
    assert!(leaves.ask(2 * MIN, &merge(scan(1, 0, "pda", Direction::Out, 90))).is_ok());
    assert_eq!(leaves.slot.places().people_upper(at(2 * MIN)), Some(49));
}

#[test]
fn blocks_and_unblocks() {
    let sold = [(-DAY, direct(1, &[full(3)], desk()))];
    let block = |tickets: &[u16]| Command::Block { sale: id(1), tickets: tickets.to_vec(), reason: code("chargeback") };
    let unblock = |tickets: &[u16]| Command::Unblock { sale: id(1), tickets: tickets.to_vec() };
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
fn a_cut_below_what_is_taken_is_accepted_and_never_sold_into() {
    let mut world = given(&[(-DAY, direct(1, &[full(10)], desk())), (-DAY, Command::SetCapacity { capacity: 6 })]);
    assert_eq!((world.slot.places().over(at(-DAY)), world.left(-DAY, Channel::Web)), (4, 0));
    let short = |available| Refusal::NotEnoughPlaces { asked: 1, available, limited_by: LimitedBy::Capacity };
    assert_eq!(world.ask(-DAY, &hold(2, Channel::Web, &[full(1)])), Err(short(0)));
    assert!(world.ask(-DAY, &cancel(1, &[0, 1, 2, 3])).is_ok());
    assert_eq!(world.slot.places().over(at(-DAY)), 0);
    assert_eq!(world.ask(-DAY, &hold(2, Channel::Web, &[full(1)])), Err(short(0)));
    assert!(world.ask(-DAY, &cancel(1, &[4])).is_ok());
    assert!(world.ask(-DAY, &hold(2, Channel::Web, &[full(1)])).is_ok());
    assert!(world.ask(-DAY, &Command::SetCapacity { capacity: 0 }).is_ok());
    assert!(world.ask(-DAY, &Command::SetCapacity { capacity: 30 }).is_ok());
    assert_eq!(world.left(-DAY, Channel::Web), 24);
}

fn sell_beyond(beyond: u32, ceiling: Option<u32>) -> Command {
    Command::SellBeyond { beyond, ceiling, turn_away_ppm: 10_000 * beyond }
}

fn beyond_set(beyond: u32, asked: u32) -> Event {
    Event::BeyondSet(BeyondSet { beyond, turn_away_ppm: 10_000 * asked })
}

#[test]
fn what_is_sold_beyond_the_places_stays_and_no_more_of_it_is_sold_than_was_said() {
    let web = |n, count| hold(n, Channel::Web, &[full(count)]);
    given(&[]).then(-DAY, sell_beyond(3, None), Ok(beyond_set(3, 3)));
    given(&[]).then(-DAY, sell_beyond(9, Some(24)), Ok(beyond_set(4, 9)));
    given(&[]).refuses(-DAY, sell_beyond(0, None), Refusal::BeyondStands { beyond: 0 });
    given(&[]).refuses(-DAY, sell_beyond(5, Some(19)), Refusal::BeyondStands { beyond: 0 });
    given(&[(-DAY, sell_beyond(3, None))]).refuses(-DAY, sell_beyond(3, None), Refusal::BeyondStands { beyond: 3 });
    given(&[]).refuses(30 * MIN, sell_beyond(3, None), Refusal::SlotOver { ended_at: at(30 * MIN) });
    let mut world = given(&[(-DAY, web(1, 10)), (-DAY, web(2, 10)), (-DAY, sell_beyond(3, None))]);
    let places = world.slot.places();
    assert_eq!((places.capacity, places.beyond(), places.for_sale(), places.over(at(-DAY))), (20, 3, 23, 0));
    assert_eq!(world.left(-DAY, Channel::BoxOffice), 3);
    assert!(world.ask(-DAY, &web(3, 2)).is_ok());
    let short = Refusal::NotEnoughPlaces { asked: 2, available: 1, limited_by: LimitedBy::Capacity };
    assert_eq!(world.ask(-DAY, &web(4, 2)), Err(short));
    // Taken back: what is taken stays, the rest is for sale no more, and what is given back neither.
    assert_eq!(world.ask(-DAY, &sell_beyond(0, None)), Ok(vec![beyond_set(2, 0)]));
    assert_eq!((world.left(-DAY, Channel::Web), world.slot.places().over(at(-DAY))), (0, 0));
    assert_eq!(world.ask(-DAY, &sell_beyond(1, None)), Err(Refusal::BeyondStands { beyond: 2 }));
    assert!(world.ask(-DAY, &Command::Release { hold: id(3), owner: None }).is_ok());
    assert_eq!(world.ask(-DAY, &sell_beyond(0, None)), Ok(vec![beyond_set(0, 0)]));
    assert_eq!(world.left(-DAY, Channel::Web), 0);
    // A slot that is closed sells nothing, whatever is said, and goes on as before when it is opened again.
    let mut closed = given(&[(-DAY, sell_beyond(3, None)), (-DAY, Command::Close { reason: code("strike") })]);
    assert_eq!(closed.left(-DAY, Channel::Web), 0);
    assert!(closed.ask(-DAY, &Command::Reopen).is_ok());
    assert_eq!(closed.left(-DAY, Channel::Web), 23);
    // Who waits is served from what is sold beyond.
    let mut waits = given(&[(-DAY, web(1, 10)), (-DAY, web(2, 10))]);
    let wait = Command::Wait { entry: id(3), who: KeyId(1), channel: Channel::Web, lines: vec![full(2)] };
    assert!(waits.ask(-DAY, &wait).is_ok());
    assert!(waits.ask(-DAY, &sell_beyond(2, None)).is_ok());
    assert!(waits.slot.due(at(-DAY)).iter().any(|event| matches!(event, Event::Offered(offered) if offered.entry == id(3))));
}

#[test]
fn only_the_public_is_sold_to_beyond_the_places_and_shares_are_kept() {
    let shares = Command::SetQuotas { quotas: quotas(&[(Channel::Group, 5, None, 3_600)]) };
    let web = |n, count| hold(n, Channel::Web, &[full(count)]);
    let mut world = given(&[(-DAY, shares), (-DAY, web(1, 10)), (-DAY, web(2, 5)), (-DAY, sell_beyond(3, None))]);
    let left =
        |world: &World, time| [Channel::Web, Channel::Kiosk, Channel::BoxOffice, Channel::Group, Channel::Reseller].map(|c| world.left(time, c));
    assert_eq!(left(&world, -DAY), [3, 3, 3, 5, 0]);
    assert!(world.ask(-DAY, &web(3, 3)).is_ok());
    assert_eq!(left(&world, -DAY), [0, 0, 0, 5, 0], "what was reserved for the group is there, though 18 of 20 places are taken");
    // As long as it is reserved, what was sold beyond the places is needed.
    assert_eq!(world.ask(-DAY, &sell_beyond(0, None)), Err(Refusal::BeyondStands { beyond: 3 }));
    assert!(world.ask(-DAY, &hold(4, Channel::Group, &[full(4)])).is_ok());
    assert_eq!(left(&world, -DAY), [0, 0, 0, 1, 0]);
    let short = Refusal::NotEnoughPlaces { asked: 2, available: 1, limited_by: LimitedBy::Capacity };
    assert_eq!(world.ask(-DAY, &hold(5, Channel::Group, &[full(2)])), Err(short));
    // Where nothing is reserved the others have the places, and the public what is beyond them as well.
    let mut late = given(&[(-2 * HOUR, sell_beyond(3, None)), (-20 * MIN, web(1, 10)), (-20 * MIN, web(2, 9))]);
    assert_eq!(left(&late, -20 * MIN), [4, 4, 4, 1, 1]);
    assert!(late.ask(-20 * MIN, &web(3, 1)).is_ok());
    assert_eq!(left(&late, -20 * MIN), [3, 3, 3, 0, 0]);
}

#[test]
fn places_that_staff_set_and_people_inside_come_before_what_is_sold_beyond() {
    let mut world = given(&[(-DAY, sell_beyond(3, None)), (-DAY, direct(1, &[full(10)], desk())), (-DAY, direct(2, &[full(10)], desk()))]);
    assert!(world.ask(-DAY, &direct(3, &[full(2)], desk())).is_ok());
    assert!(world.ask(-DAY, &Command::SetCapacity { capacity: 21 }).is_ok());
    assert_eq!((world.slot.places().beyond, world.slot.places().over(at(-DAY)), world.left(-DAY, Channel::Web)), (None, 1, 0));
    for beyond in [0, 4] {
        assert_eq!(world.ask(-DAY, &sell_beyond(beyond, None)), Err(Refusal::PlacesByHand));
    }
    // 100 may be inside and 90 are: ten more may come in, whatever is for sale.
    let mut capped = given(&[(-DAY, sell_beyond(3, None)), (0, observe(90, 0, 0))]);
    assert_eq!((capped.left(0, Channel::BoxOffice), capped.slot.places().sellable(at(0))), (10, 10));
    assert!(capped.ask(0, &direct(1, &[full(10)], desk())).is_ok());
    let full_house = Refusal::NotEnoughPlaces { asked: 1, available: 0, limited_by: LimitedBy::LiveCap };
    assert_eq!(capped.ask(0, &direct(2, &[full(1)], desk())), Err(full_house));
    let mut two = given(&[(-DAY, sell_beyond(3, None)), (-DAY, direct(1, &[full(1)], desk())), (0, observe(79, 0, 0))]);
    assert_eq!(two.left(0, Channel::BoxOffice), 20);
    assert!(two.ask(0, &sell_beyond(0, None)).is_ok());
    assert_eq!(two.left(0, Channel::BoxOffice), 19);
}

#[test]
fn closing_and_reopening_may_be_said_twice() {
    let mut world = given(&[(-DAY, Command::Close { reason: code("strike") })]);
    assert!(world.ask(-DAY, &Command::Close { reason: code("storm") }).is_ok());
    assert_eq!(world.slot.places().closed, Some(code("storm")));
    assert_eq!(world.left(-DAY, Channel::Web), 0);
    assert_eq!(world.ask(-DAY, &Command::Reopen), Ok(vec![Event::Reopened(Reopened {})]));
    assert_eq!(world.ask(-DAY, &Command::Reopen), Ok(vec![Event::Reopened(Reopened {})]));
    assert_eq!(world.left(-DAY, Channel::Web), 20);
}

#[test]
fn quotas_keep_places_until_their_release() {
    let shares = quotas(&[(Channel::Group, 8, None, 86_400), (Channel::Reseller, 4, Some(6), 3600)]);
    let set = (-3 * DAY, Command::SetQuotas { quotas: shares });
    let world = given(std::slice::from_ref(&set));
    for (time, web, group, reseller) in [(-2 * DAY, 8, 16, 6), (-DAY, 16, 16, 6), (-HOUR, 20, 20, 20)] {
        let left = (world.left(time, Channel::Web), world.left(time, Channel::Group), world.left(time, Channel::Reseller));
        assert_eq!(left, (web, group, reseller), "at {time}");
    }
    let web = |n, count| hold(n, Channel::Web, &[full(count)]);
    let mut full_web = given(&[set.clone(), (-2 * DAY, web(1, 8))]);
    let others = Refusal::NotEnoughPlaces { asked: 1, available: 0, limited_by: LimitedBy::OtherQuotas };
    assert_eq!(full_web.ask(-2 * DAY, &web(2, 1)), Err(others));
    assert!(full_web.ask(-2 * DAY, &hold(3, Channel::Group, &[full(8)])).is_ok());
    assert!(full_web.ask(-2 * DAY, &hold(4, Channel::Reseller, &[full(4)])).is_ok());
    let own = Refusal::NotEnoughPlaces { asked: 7, available: 6, limited_by: LimitedBy::OwnLimit };
    given(std::slice::from_ref(&set)).refuses(-2 * DAY, hold(1, Channel::Reseller, &[full(7)]), own);
    // A group that takes more than its share takes it from the common places only.
    let mut group = given(&[set, (-2 * DAY, hold(1, Channel::Group, &[full(10)]))]);
    assert_eq!((group.left(-2 * DAY, Channel::Web), group.left(-2 * DAY, Channel::Group)), (6, 6));
    assert!(group.ask(-2 * DAY, &Command::Release { hold: id(1), owner: None }).is_ok());
    assert_eq!(group.left(-2 * DAY, Channel::Web), 8);
    let greedy = Command::SetQuotas { quotas: quotas(&[(Channel::Group, 20, None, 0), (Channel::Web, u32::MAX, None, 0)]) };
    given(&[]).refuses(-DAY, greedy, Refusal::QuotasTooLarge { reserved: u32::MAX, capacity: 20 });
    // Shares that a cut made larger than the slot leave nothing to others, and harm nobody.
    let shares = Command::SetQuotas { quotas: quotas(&[(Channel::Group, 50, None, 0)]) };
    let mut greedy = given_capacity(50, &[(-3 * DAY, shares), (-3 * DAY, Command::SetCapacity { capacity: 20 })]);
    assert_eq!((greedy.left(-DAY, Channel::Web), greedy.left(-DAY, Channel::Group)), (0, 20));
    assert!(greedy.ask(-DAY, &hold(1, Channel::Group, &[full(10)])).is_ok());
}

#[test]
fn people_inside_limit_what_may_be_sold_and_who_may_enter() {
    // 100 may be inside; at the slot's start 84 are, give or take 3: 10 places are left for who is not in yet.
    let world = given(&[(-DAY, direct(1, &[full(6)], desk())), (0, observe(84, 3, 0))]);
    assert_eq!(world.left(0, Channel::BoxOffice), 4);
    let capped = Refusal::NotEnoughPlaces { asked: 5, available: 4, limited_by: LimitedBy::LiveCap };
    world.refuses(0, direct(2, &[full(5)], desk()), capped);
    // Somebody let in after the reading changes nothing: the place was counted.
    let mut entered = given(&[(-DAY, direct(1, &[full(6)], desk())), (0, observe(84, 3, 0)), (1, admit(1, 0))]);
    assert_eq!(entered.left(2, Channel::BoxOffice), 4);
    assert_eq!(entered.slot.places().people_upper(at(2)), Some(91));
    // A new reading after it: one more inside, one fewer still to come.
    assert!(entered.ask(3, &observe(85, 3, 3)).is_ok());
    assert_eq!(entered.left(3, Channel::BoxOffice), 4);
    // Old words are not believed: the plan counts again.
    assert_eq!(entered.left(3 + 900, Channel::BoxOffice), 14);
    // A full building: the ticket stays good, the visitor waits.
    let mut full_house = given(&[(-DAY, direct(1, &[full(2)], desk())), (0, observe(90, 5, 0))]);
    assert_eq!(full_house.ask(1, &admit(1, 0)), Err(Refusal::Wait { inside: 100, ceiling: 100 }));
    assert!(full_house.ask(60, &observe(88, 5, 60)).is_ok());
    assert!(full_house.ask(61, &admit(1, 0)).is_ok());
    assert!(full_house.ask(62, &admit(1, 1)).is_ok());
    // An excess by sensors is shown and never sold into.
    let over = given(&[(-DAY, direct(1, &[full(10)], desk())), (0, observe(95, 2, 0))]);
    assert_eq!((over.slot.places().over(at(0)), over.left(0, Channel::BoxOffice)), (9, 0));
    // Before the start, those who will have left by then do not count: 45 of 90 minutes ahead, half of them.
    let ahead = given(&[(-45 * MIN, observe(180, 0, -45 * MIN))]);
    assert_eq!(ahead.left(-45 * MIN, Channel::BoxOffice), 10);
    let far = given(&[(-90 * MIN, observe(180, 0, -90 * MIN))]);
    assert_eq!(far.left(-90 * MIN, Channel::BoxOffice), 20);
    given(&[(0, observe(5, 0, 0))]).refuses(1, observe(5, 0, -1), Refusal::ReadingOutOfOrder);
    // The museum's ceiling of today counts, whatever it was when the slot was opened.
    let lowered = Command::Observe { source: code("door"), inside: 4, sd: 0, measured_at: at(0), ceiling: Some(5), grant: None };
    let mut narrow = given(&[(-DAY, direct(1, &[full(2)], desk())), (0, lowered)]);
    assert_eq!(narrow.left(0, Channel::BoxOffice), 0);
    assert!(narrow.ask(1, &admit(1, 0)).is_ok());
    assert_eq!(narrow.ask(2, &admit(1, 1)), Err(Refusal::Wait { inside: 5, ceiling: 5 }));
    let unlimited = Command::Observe { source: code("door"), inside: 9_000, sd: 0, measured_at: at(0), ceiling: None, grant: None };
    assert_eq!(given(&[(0, unlimited)]).left(0, Channel::BoxOffice), 20);
    // Of the room the slot has what it is granted, beyond those who were in when that was said; never more than all of it.
    for (admitted, share, left) in [(1, 4, 2), (0, 4, 1), (1, 0, 0), (1, 40, 8)] {
        let granted = Command::Observe {
            source: code("door"),
            inside: 90,
            sd: 0,
            measured_at: at(2),
            ceiling: Some(100),
            grant: Some(Grant { admitted, share }),
        };
        let world = given(&[(-DAY, direct(1, &[full(3)], desk())), (1, admit(1, 0)), (2, granted)]);
        assert_eq!(world.left(2, Channel::BoxOffice), left, "{share} beyond {admitted}");
    }
    given(&[]).refuses(0, observe(5, 0, 61), Refusal::ReadingInFuture);
    given(&[]).refuses(0, observe(5, 0, -900), Refusal::ReadingStale);
    given(&[]).then(
        0,
        observe(u32::MAX, u32::MAX, -S),
        Ok(Event::Observed(Observed {
            source: code("door"),
            inside: u32::MAX,
            sd: u32::MAX,
            measured_at: at(-S),
            ceiling: Some(100),
            share: None,
            sellable: Some(0),
            until: at(899),
        })),
    );
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
    let oversold = Sold { sale: id(2), held: false, channel: Channel::Web, lines: vec![full(11)], settlement: desk(), contact: None };
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

#[test]
fn a_move_begins_for_tickets_that_stand_and_is_finished_or_undone() {
    let sold = [(-3 * DAY, direct(1, &[full(3), free(1)], desk()))];
    let begun = |tickets: &[u16], lines: &[Line], refund_percent| {
        let (tickets, lines) = (tickets.to_vec(), lines.to_vec());
        Ok(Event::MoveBegun(MoveBegun { sale: id(1), arrival: there(9), tickets, lines, via: Channel::Web, refund_percent }))
    };
    let ask = |change: &dyn Fn(&mut Command)| {
        let mut command = begin_move(1, &[], 9);
        change(&mut command);
        command
    };
    given(&sold).then(-2 * DAY, begin_move(1, &[], 9), begun(&[0, 1, 2, 3], &[full(3), free(1)], 100));
    given(&sold).then(-DAY, begin_move(1, &[3, 1, 3], 9), begun(&[1, 3], &[full(1), free(1)], 100));
    given(&sold).then(-HOUR, begin_move(1, &[0], 9), begun(&[0], &[full(1)], 50));
    given(&sold).then(0, begin_move(1, &[0], 9), begun(&[0], &[full(1)], 0));
    given(&sold).refuses(30 * MIN, begin_move(1, &[], 9), Refusal::SlotOver { ended_at: at(30 * MIN) });
    let to = |slot: SlotId| {
        move |command: &mut Command| {
            if let Command::BeginMove { arrival, .. } = command {
                *arrival = HoldId::new(slot, 9);
            }
        }
    };
    given(&sold).refuses(-DAY, ask(&to(id(0).slot())), Refusal::SameSlot);
    given(&sold).refuses(-DAY, ask(&to(SlotId::new(MuseumId(8), RouteId(1), at(HOUR)))), Refusal::OtherMuseum);
    given(&sold).refuses(-DAY, begin_move(2, &[], 9), Refusal::UnknownSale);
    let by = |who| {
        move |command: &mut Command| {
            if let Command::BeginMove { owner, .. } = command {
                *owner = Some(KeyId(who));
            }
        }
    };
    given(&sold).refuses(-DAY, ask(&by(2)), Refusal::UnknownSale);
    given(&sold).then(-2 * DAY, ask(&by(1)), begun(&[0, 1, 2, 3], &[full(3), free(1)], 100));
    given(&sold).refuses(-DAY, begin_move(1, &[4], 9), Refusal::UnknownTicket);
    let at_prices = |new: Vec<(Code, Cents)>| {
        move |command: &mut Command| {
            if let Command::BeginMove { prices, .. } = command {
                prices.clone_from(&new);
            }
        }
    };
    given(&sold).refuses(-DAY, ask(&at_prices(vec![(code("full"), Cents::new(1601))])), Refusal::NotSoldThere { category: code("free") });
    let dearer = vec![(code("free"), Cents::ZERO), (code("full"), Cents::new(1700))];
    given(&sold).refuses(-DAY, ask(&at_prices(dearer)), Refusal::PriceDiffers { paid_cents: Cents::new(4803), price_cents: Cents::new(5100) });

    // Tickets that do not stand stay where they are.
    let mut used = given(&sold);
    assert!(used.ask(0, &admit(1, 0)).is_ok());
    assert_eq!(used.ask(1, &begin_move(1, &[0, 1], 9)), Err(Refusal::TicketUsed { at: at(0) }));
    used.then(1, begin_move(1, &[], 9), begun(&[1, 2, 3], &[full(2), free(1)], 0));
    let mut gone = given(&sold);
    assert!(gone.ask(-2 * DAY, &cancel(1, &[0])).is_ok());
    assert_eq!(gone.ask(-2 * DAY, &begin_move(1, &[0], 9)), Err(Refusal::TicketCancelled));
    assert!(gone.ask(-2 * DAY, &Command::Block { sale: id(1), tickets: vec![1], reason: code("review") }).is_ok());
    gone.refuses(-2 * DAY, begin_move(1, &[], 9), Refusal::TicketBlocked { reason: code("review") });

    // On their way they are good nowhere, and nothing else is done to them.
    let on_the_way = [sold[0].clone(), (-2 * DAY, begin_move(1, &[0, 2], 9))];
    for (what, command) in [
        ("admit", admit(1, 0)),
        ("cancel", cancel(1, &[2])),
        ("cancel all", cancel(1, &[])),
        ("block", Command::Block { sale: id(1), tickets: vec![0], reason: code("review") }),
        ("block all", Command::Block { sale: id(1), tickets: vec![], reason: code("review") }),
        ("rename", rename(1, &[0], 1)),
        ("move again", begin_move(1, &[0], 10)),
        ("move all", begin_move(1, &[], 10)),
    ] {
        assert_eq!(given(&on_the_way).ask(-10 * MIN, &command), Err(Refusal::TicketMoving), "{what}");
    }
    given(&on_the_way).refuses(0, exit(1, 0), Refusal::NotInside);
    // A gate without a network did not know: it let somebody in. Of a ticket that has gone that is a conflict, and one that stays is used by it.
    let conflict = |reason| Event::AdmissionConflict(AdmissionConflict { ticket: id(1).ticket(0), gate: code("pda"), scanned_at: at(0), reason });
    given(&on_the_way).refuses(MIN, merge_in("pda", 0), Refusal::TicketMoving);
    let mut stays = given(&on_the_way);
    assert_eq!(stays.ask(MIN, &merge_in("pda", 0)), Err(Refusal::TicketMoving));
    assert!(stays.ask(MIN, &Command::UndoMove { arrival: there(9), why: Refusal::UnknownSlot }).is_ok());
    assert!(stays.ask(2 * MIN, &merge_in("pda", 0)).is_ok(), "it is sent again");
    assert_eq!(stays.ask(3 * MIN, &admit(1, 0)), Err(Refusal::TicketInside { since: at(0) }), "nobody else gets in on it");
    let mut elsewhere = given(&on_the_way);
    assert!(elsewhere.ask(-DAY, &finish_move(9)).is_ok());
    assert_eq!(elsewhere.ask(MIN, &merge_in("pda", 0)), Ok(vec![conflict(ConflictReason::TicketMoved)]));
    assert_eq!(elsewhere.slot.places().admitted, 0);
    given(&on_the_way).refuses(-DAY, begin_move(1, &[1], 9), Refusal::IdTaken);
    let mut world = given(&on_the_way);
    assert!(world.ask(0, &admit(1, 1)).is_ok(), "the others stand");
    assert_eq!((world.slot.moving(), world.left(0, Channel::BoxOffice)), (1, 16), "the places are kept until it is known");
    assert_eq!(world.slot.fate_of_move(id(1), there(9)), Some(MoveFate::UnderWay));

    // Finished: the places are free, the money has gone with the tickets, the old tickets name the new ones.
    let out = MovedOut { sale: id(1), arrival: there(9), tickets: vec![0, 2], carried_cents: Cents::new(3202) };
    assert_eq!(world.ask(0, &finish_move(9)), Ok(vec![Event::MovedOut(out)]));
    assert_eq!((world.slot.moving(), world.left(0, Channel::BoxOffice)), (0, 18));
    assert_eq!(world.slot.money(), (Cents::new(1601), Cents::ZERO));
    assert_eq!(world.slot.fate_of_move(id(1), there(9)), Some(MoveFate::Done));
    let moved = |number| Refusal::TicketMoved { to: Some(there(9).ticket(number)) };
    for (command, number) in [(admit(1, 0), 0), (cancel(1, &[2]), 1), (rename(1, &[2], 1), 1), (begin_move(1, &[0], 10), 0)] {
        assert_eq!(world.ask(0, &command), Err(moved(number)), "{command:?}");
    }
    assert_eq!(world.ask(0, &Command::Block { sale: id(1), tickets: vec![2], reason: code("review") }), Err(moved(1)));
    for command in [finish_move(9), undo_move(9)] {
        assert_eq!(world.ask(0, &command), Err(Refusal::NotMoving));
    }
    assert!(world.ask(0, &cancel(1, &[])).is_ok());
    world.refuses(0, cancel(1, &[]), Refusal::TicketUsed { at: at(0) });

    // Undone: all as before, and why.
    let mut undone = given(&on_the_way);
    let back = MoveUndone { sale: id(1), arrival: there(9), tickets: vec![0, 2], why: Refusal::UnknownSlot };
    assert_eq!(undone.ask(-DAY, &undo_move(9)), Ok(vec![Event::MoveUndone(back)]));
    assert_eq!(undone.slot.fate_of_move(id(1), there(9)), Some(MoveFate::Undone(Refusal::UnknownSlot)));
    assert_eq!(undone.ask(-DAY, &finish_move(9)), Err(Refusal::NotMoving));
    assert_eq!(undone.ask(-DAY, &begin_move(1, &[0], 9)), Err(Refusal::IdTaken), "the steps of the first move are remembered by this id");
    assert!(undone.ask(-DAY, &begin_move(1, &[0], 10)).is_ok() && undone.ask(-DAY, &undo_move(10)).is_ok());
    assert_eq!((undone.slot.money(), undone.left(-DAY, Channel::Web)), ((Cents::new(4803), Cents::ZERO), 16));
    undone.then(
        0,
        admit(1, 0),
        Ok(Event::Admitted(Admitted {
            ticket: id(1).ticket(0),
            gate: code("north"),
            entry: 1,
            category: code("full"),
            proof: Proof::None,
            scanned_at: None,
        })),
    );
    given(&[]).refuses(-DAY, finish_move(9), Refusal::NotMoving);
    given(&[]).refuses(-DAY, undo_move(9), Refusal::NotMoving);
}

#[test]
fn tickets_arrive_under_the_usual_rules() {
    let web = |n, count| arrive(n, &[full(count)], Channel::Web);
    given(&[]).then(-DAY, web(1, 2), Ok(Event::Arrived(arrived(1, &[full(2)]))));
    given(&[]).refuses(-DAY, web(1, 11), Refusal::PartyTooLarge { max: 10 });
    given(&[(-DAY, web(1, 1))]).refuses(-DAY, web(1, 1), Refusal::IdTaken);
    given(&[(-DAY, web(1, 1)), (-DAY, Command::Close { reason: code("strike") })]).refuses(-DAY, web(1, 11), Refusal::IdTaken);
    given(&[(-DAY, Command::Close { reason: code("strike") })]).refuses(-DAY, web(1, 1), Refusal::SlotClosed { reason: code("strike") });
    given(&[]).refuses(-10 * MIN, web(1, 1), Refusal::SaleOver { closed_at: at(-10 * MIN) });
    // Who comes too late for the web is helped at the desk, and stays a visitor of the web.
    given(&[]).then(0, arrive(1, &[full(1)], Channel::BoxOffice), Ok(Event::Arrived(arrived(1, &[full(1)]))));
    given(&[]).refuses(30 * MIN, arrive(1, &[full(1)], Channel::BoxOffice), Refusal::SlotOver { ended_at: at(30 * MIN) });
    let full_house = [(-2 * DAY, direct(2, &[full(10)], desk())), (-2 * DAY, direct(3, &[full(9)], desk()))];
    given(&full_house).refuses(-DAY, web(1, 2), Refusal::NotEnoughPlaces { asked: 2, available: 1, limited_by: LimitedBy::Capacity });

    let mut world = given(&[(-3 * DAY, web(1, 2))]);
    let sale = world.slot.sale_of(id(1)).unwrap();
    assert_eq!(
        (sale.who, sale.channel, sale.contact, sale.settlement.clone()),
        (KeyId(5), Channel::Web, Some(PersonId(3)), Settlement::Moved { from: there(1) })
    );
    assert_eq!((world.slot.money(), world.slot.places().sold), ((Cents::new(3202), Cents::ZERO), [2, 0, 0, 0, 0]));
    // A move does not buy back a refund that was lost: here, half.
    let cancelled = |tickets: &[u16], refund, cause| {
        Ok(vec![Event::Cancelled(Cancelled { sale: id(1), tickets: tickets.to_vec(), refund_cents: Cents::new(refund), cause })])
    };
    assert_eq!(world.ask(-3 * DAY, &cancel(1, &[0])), cancelled(&[0], 800, CancelCause::Visitor));
    let by_museum = Command::Cancel { sale: id(1), owner: None, tickets: vec![], cause: CancelCause::Museum };
    assert_eq!(world.ask(0, &by_museum), cancelled(&[1], 1601, CancelCause::Museum));
    // Nobody settles a sale like that.
    let moved = Settlement::Moved { from: there(1) };
    given(&[]).refuses(-DAY, direct(1, &[full(1)], moved), Refusal::SettlementNotAllowed { channel: Channel::BoxOffice });
}

#[test]
fn a_ticket_that_moves_on_takes_its_name_and_its_refund_along() {
    let mut world = given(&[(-3 * DAY, direct(1, &[full(3)], desk())), (-3 * DAY, rename(1, &[1], 7)), (-HOUR, begin_move(1, &[1, 2], 9))]);
    let begun = world.slot.begun(there(9)).unwrap().clone();
    assert_eq!(world.slot.moves_under_way().collect::<Vec<_>>(), [there(9)]);
    let Some(Command::Arrive { arrived, via }) = world.slot.arrival(&begun) else { panic!("it is under way") };
    assert_eq!((arrived.sale, arrived.from, arrived.who, arrived.channel, via), (there(9), id(1), KeyId(1), Channel::BoxOffice, Channel::Web));
    assert_eq!((arrived.lines, arrived.holders, arrived.refund_percent), (vec![full(2)], vec![(0, PersonId(7))], 50));
    assert!(world.ask(-HOUR, &finish_move(9)).is_ok());
    assert!(world.slot.sale_of(id(1)).unwrap().holders.is_empty());
    assert_eq!(world.slot.begun(there(9)), None);
    // Once more from a slot to which they had moved: never more than the least of all.
    let again = given(&[(-3 * DAY, arrive(1, &[full(1)], Channel::Web))]).ask(-2 * DAY, &begin_move(1, &[], 9)).unwrap();
    assert!(matches!(&again[..], [Event::MoveBegun(begun)] if begun.refund_percent == 50), "{again:?}");
}

#[test]
fn renames() {
    let sold = [(-DAY, direct(1, &[full(10)], desk())), (-DAY, direct(2, &[full(10)], desk()))];
    let renamed = |tickets: &[(u16, u16)], holder, replaced: &[u128]| {
        let replaced = replaced.iter().copied().map(PersonId).collect();
        Ok(Event::Renamed(Renamed { sale: id(1), tickets: tickets.to_vec(), holder: Some(PersonId(holder)), replaced }))
    };
    // In a full slot, after sales have ended, until it is over.
    given(&sold).then(-DAY, rename(1, &[3], 7), renamed(&[(3, 2)], 7, &[]));
    given(&sold).then(30 * MIN - 1, rename(1, &[3, 1, 3], 7), renamed(&[(1, 2), (3, 2)], 7, &[]));
    given(&sold).refuses(30 * MIN, rename(1, &[3], 7), Refusal::SlotOver { ended_at: at(30 * MIN) });
    given(&sold).refuses(0, rename(3, &[3], 7), Refusal::UnknownSale);
    given(&sold).refuses(0, rename(1, &[10], 7), Refusal::UnknownTicket);
    let by_another = Command::Rename { sale: id(1), owner: Some(KeyId(2)), tickets: vec![0], holder: None };
    given(&sold).refuses(0, by_another, Refusal::UnknownSale);
    let mut world = given(&sold);
    assert!(world.ask(-HOUR, &rename(1, &[0, 1], 7)).is_ok());
    assert_eq!(world.slot.places().taken(), 20);
    // The old code is refused, the new one is not; a name goes when no ticket has it any more.
    assert_eq!(world.ask(0, &admit(1, 0)), Err(Refusal::CodeOutdated { issue: 2 }));
    assert_eq!(world.ask(0, &rename(1, &[0], 8)).unwrap(), [renamed(&[(0, 3)], 8, &[]).unwrap()]);
    assert_eq!(world.ask(0, &rename(1, &[0, 1], 7)).unwrap(), [renamed(&[(0, 4), (1, 3)], 7, &[8]).unwrap()]);
    let nobody = Command::Rename { sale: id(1), owner: None, tickets: vec![0, 1], holder: None };
    let cleared = Renamed { sale: id(1), tickets: vec![(0, 5), (1, 4)], holder: None, replaced: vec![PersonId(7)] };
    assert_eq!(world.ask(0, &nobody).unwrap(), [Event::Renamed(cleared)]);
    let shown = |issue| Command::Admit { ticket: id(1).ticket(0), issue: Some(issue), gate: code("north"), museum: MUSEUM };
    assert_eq!(world.ask(0, &shown(4)), Err(Refusal::CodeOutdated { issue: 5 }));
    assert!(world.ask(0, &shown(5)).is_ok());
    assert_eq!(world.ask(1, &rename(1, &[0], 8)), Err(Refusal::TicketUsed { at: at(0) }));
    assert!(world.ask(1, &Command::Block { sale: id(1), tickets: vec![1], reason: code("review") }).is_ok());
    assert_eq!(world.ask(1, &rename(1, &[1], 8)), Err(Refusal::TicketBlocked { reason: code("review") }));
    assert!(world.ask(1, &cancel(1, &[2])).is_ok());
    world.refuses(1, rename(1, &[2], 8), Refusal::TicketCancelled);
    // Numbers of issues end, and do not begin anew.
    let mut last = given(&sold);
    let record =
        last.slot.record(at(-DAY), None, vec![Event::Renamed(Renamed { sale: id(1), tickets: vec![(0, u16::MAX)], holder: None, replaced: vec![] })]);
    last.slot.apply(&record);
    assert_eq!(last.ask(-DAY, &rename(1, &[0], 7)), Err(Refusal::IssuesUsedUp));
    assert!(last.ask(-DAY, &rename(1, &[1], 7)).is_ok());
}
