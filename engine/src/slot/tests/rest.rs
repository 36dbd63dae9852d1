//! What was held over the web in a scarce slot and not bought rests, and whoever held it waits (SL-13).

use proptest::prelude::*;

use super::*;
use crate::envelope::{Party, PartyKind};
use crate::ids::PaymentId;

const NOW: i64 = -DAY;
/// Drawn so, places rest half a minute and a millisecond.
const HALF: u32 = 1 << 31;

/// A slot in which places rest a minute at most.
fn resting(capacity: u32) -> Slot {
    let mut opening = opening(capacity);
    opening.policy.limits.rest_max_s = 60;
    Slot::planned(opening)
}

fn later(ms: i64) -> Timestamp {
    Timestamp::from_micros(at(NOW).as_micros() + ms * 1_000)
}

/// Somebody asks, as a buyer, at a device; 0 stands for nobody.
fn by(key: u128, buyer: u128, device: u128) -> Envelope {
    let party = |kind, n| (n > 0).then_some(Party { kind, pseudonym: Digest(n) });
    let parties = [party(PartyKind::Buyer, buyer), party(PartyKind::Device, device)].into_iter().flatten().collect();
    Envelope { parties, ..envelope(1, key, key) }
}

fn web(n: u64, people: u16) -> Command {
    hold(n, Channel::Web, &[full(people)])
}

fn release(n: u64) -> Command {
    Command::Release { hold: id(n), owner: Some(KeyId(1)) }
}

fn amend(n: u64, people: u16) -> Command {
    Command::Amend { hold: id(n), lines: vec![full(people)], owner: Some(KeyId(1)) }
}

fn wait(n: u64, people: u16) -> Command {
    Command::Wait { entry: id(n), who: KeyId(1), channel: Channel::Web, lines: vec![full(people)] }
}

fn paid(payment: u64) -> Settlement {
    Settlement::Payment { id: PaymentId::new(1, payment) }
}

fn bought_anew(n: u64, people: u16, settlement: Settlement) -> Command {
    Command::SellDirect { sale: id(n), channel: Channel::Web, lines: vec![full(people)], settlement, contact: None }
}

struct House {
    slot: Slot,
    records: Vec<Record<Event>>,
}

impl House {
    fn of(slot: Slot) -> Self {
        Self { slot, records: Vec::new() }
    }

    /// Asks as the shell does.
    fn ask_at(&mut self, now: Timestamp, envelope: Envelope, command: &Command) -> Result<Vec<Event>, Refusal> {
        end_due(&mut self.slot, &mut self.records, now);
        let events = self.slot.decide_for(now, &envelope, command)?;
        put(&mut self.slot, &mut self.records, now, Some(envelope), events.clone());
        Ok(events.into_iter().filter(|event| !matches!(event, Event::Opened(_))).collect())
    }

    fn ask(&mut self, ms: i64, envelope: Envelope, command: &Command) -> Result<Vec<Event>, Refusal> {
        self.ask_at(later(ms), envelope, command)
    }

    fn does(&mut self, ms: i64, envelope: Envelope, command: &Command) -> Vec<Event> {
        let key = self.records.len() as u128;
        let events = self.ask(ms, Envelope { key: Digest(key), ..envelope }, command).unwrap();
        self.is_sound();
        events
    }

    /// Whether a replay and a snapshot give the same state.
    fn is_sound(&self) {
        let bytes = postcard::to_allocvec(&self.slot).unwrap();
        assert_eq!(postcard::from_bytes::<Slot>(&bytes).as_ref(), Ok(&self.slot), "a snapshot is of another state");
        assert_eq!(Slot::replay(&self.records).as_ref(), Some(&self.slot), "SL-4: replay equals live");
    }

    /// Lets the clock come to that time; what is due then.
    fn pass(&mut self, ms: i64) -> Vec<Event> {
        let before = self.records.len();
        end_due(&mut self.slot, &mut self.records, later(ms));
        self.records[before..].iter().flat_map(|record| record.events.clone()).collect()
    }

    /// How many places the web has left, and how many rest.
    fn places(&self) -> (u32, u32) {
        let places = self.slot.places();
        (places.available(Channel::Web, self.slot.last_at()).0, places.resting)
    }

    /// Hold 1 of 5 people, of buyer 7 at device 8, with a half minute drawn; hold 2 of 10 and a sale of 3 at the desk: 2 of 20 places are left.
    fn scarce() -> Self {
        let mut house = Self::of(resting(20));
        house.does(0, by(1, 7, 8), &web(1, 5).drawn(HALF));
        house.does(0, by(2, 9, 0), &web(2, 10).drawn(0));
        house.does(0, by(3, 0, 0), &direct(3, &[full(3)], desk()));
        assert_eq!(house.places(), (2, 0));
        house
    }
}

fn rested(n: u64, places: u32, ms: i64, barred_ms: Option<i64>) -> Event {
    Event::Rested(Rested { hold: id(n), places, until: later(ms), barred_until: barred_ms.map(later) })
}

fn freed(n: u64, ms: i64) -> Event {
    Event::Freed(Freed { hold: id(n), until: later(ms) })
}

fn released(n: u64) -> Event {
    Event::Released(Released { hold: id(n) })
}

#[test]
fn what_was_not_bought_comes_back_at_the_moment_that_was_drawn() {
    let mut house = House::scarce();
    assert_eq!(house.slot.hold_of(id(1)).and_then(|hold| hold.rest_ms), Some(30_001));
    assert_eq!(house.does(1_000, by(4, 7, 8), &release(1)), [rested(1, 5, 31_001, Some(61_000)), released(1)]);
    assert_eq!((house.places(), house.slot.places().taken()), ((2, 5), 18), "they count as taken");
    assert_eq!(house.slot.wake_at(), Some(later(31_001)));
    // Nobody has them, at a desk neither.
    let at_desk = hold(4, Channel::BoxOffice, &[full(3)]);
    assert!(matches!(house.ask(2_000, by(5, 0, 0), &at_desk), Err(Refusal::NotEnoughPlaces { available: 2, .. })));
    assert_eq!(house.pass(31_000), []);
    assert_eq!(house.pass(31_001), [freed(1, 31_001)]);
    assert_eq!(house.places(), (7, 0));
    assert!(house.ask(31_001, by(6, 0, 0), &at_desk).is_ok());
}

#[test]
fn what_runs_out_rests_as_well_and_of_a_whole_house_each_hold_as_long_as_was_drawn_for_it() {
    let mut house = House::of(resting(20));
    for (n, draw) in [(1, Some(HALF)), (2, Some(0)), (3, Some(u32::MAX)), (4, None)] {
        let command = draw.map_or(web(n, 5), |draw| web(n, 5).drawn(draw));
        house.does(0, by(0, u128::from(n), 0), &command);
    }
    let lapses = 900_000;
    let expired = |n| Event::Expired(Expired { hold: id(n) });
    let events = house.pass(lapses);
    let rest = |n, ms| [rested(n, 5, lapses + ms, Some(lapses + 60_000)), expired(n)];
    assert_eq!(events, [rest(1, 30_001), rest(2, 1), rest(3, 60_000), rest(4, 60_000)].concat(), "who drew none rests the longest");
    assert_eq!(house.places(), (0, 20));
    assert_eq!(house.pass(lapses + 1), [freed(2, lapses + 1)]);
    assert_eq!(house.pass(lapses + 60_000), [freed(1, lapses + 30_001), freed(3, lapses + 60_000), freed(4, lapses + 60_000)]);
    assert_eq!(house.places(), (20, 0));
}

#[test]
fn what_has_rested_meanwhile_is_left_for_what_runs_out_after_it() {
    let mut house = House::scarce();
    house.does(1_000, by(4, 7, 8), &release(1));
    // Nobody woke the slot when the 5 places came free: 7 of 20 are left by the time that the others run out.
    assert_eq!(house.pass(900_000), [freed(1, 31_001), Event::Expired(Expired { hold: id(2) })]);
    assert_eq!(house.places(), (17, 0));
    assert!(house.ask(900_000, by(5, 9, 0), &web(5, 10)).is_ok(), "who let nothing scarce go may hold again");
}

#[test]
fn nothing_rests_where_places_are_left_nor_of_staff_other_channels_sales_and_slots_that_do_not_say_so() {
    // 4 of 20 are left, a fifth: who gives back 6 finds them at once, and may hold again.
    let mut house = House::of(resting(20));
    house.does(0, by(1, 7, 0), &web(1, 6).drawn(HALF));
    house.does(0, by(2, 9, 0), &web(2, 10).drawn(HALF));
    assert_eq!(house.does(0, by(3, 7, 0), &release(1)), [released(1)]);
    assert!(house.ask(0, by(4, 7, 0), &web(4, 10)).is_ok());
    // Staff give back what somebody at their desk waits for.
    let mut house = House::scarce();
    assert_eq!(house.does(0, by(4, 0, 0), &Command::Release { hold: id(1), owner: None }), [released(1)]);
    // What is held at a desk is seen by staff.
    let mut house = House::scarce();
    house.does(0, by(4, 0, 0), &hold(4, Channel::BoxOffice, &[full(2)]).drawn(HALF));
    assert_eq!(house.slot.hold_of(id(4)).and_then(|hold| hold.rest_ms), None);
    assert_eq!(house.does(0, by(5, 0, 0), &release(4)), [released(4)]);
    // A sale.
    let mut house = House::scarce();
    let sold = house.does(0, by(4, 7, 8), &sell(1, paid(1)));
    assert!(matches!(sold[..], [Event::Sold(_)]), "{sold:?}");
    // Sales of the web are over: who is at the desk has the places.
    let mut house = House::of(resting(5));
    house.ask_at(at(-20 * MIN), by(1, 7, 0), &web(1, 5).drawn(HALF)).unwrap();
    end_due(&mut house.slot, &mut house.records, at(-10 * MIN));
    assert_eq!(house.places(), (5, 0));
    // They do not outlast these sales either.
    let mut house = House::of(resting(5));
    house.ask_at(at(-20 * MIN), by(1, 7, 0), &web(1, 5).drawn(HALF)).unwrap();
    house.ask_at(at(-10 * MIN - 5), by(2, 7, 0), &release(1)).unwrap();
    assert_eq!(house.slot.wake_at(), Some(at(-10 * MIN)));
    // A slot that is closed, and one that lets nothing rest.
    let mut house = House::scarce();
    house.does(0, by(4, 0, 0), &Command::Close { reason: code("strike") });
    assert_eq!(house.does(0, by(5, 7, 8), &release(1)), [released(1)]);
    let mut house = House::of(Slot::planned(opening(5)));
    assert_eq!(house.does(0, by(1, 7, 0), &web(1, 5).drawn(HALF)).len(), 1, "nothing is drawn");
    assert_eq!(house.does(0, by(2, 7, 0), &release(1)), [released(1)]);
    assert!(house.ask(0, by(3, 7, 0), &web(3, 5)).is_ok());
}

#[test]
fn a_share_is_scarce_where_less_than_a_fifth_of_it_is_left() {
    // 10 of 100 places are for the web, by its own quota or by what is kept for groups: 2 left of them are not few, 1 is.
    for of_web in [(Channel::Web, 0, Some(10), 0), (Channel::Group, 90, None, 0)] {
        for (others, rests) in [(7, false), (8, true)] {
            let mut house = House::of(resting(100));
            house.does(0, by(1, 0, 0), &Command::SetQuotas { quotas: quotas(&[of_web]) });
            house.does(0, by(2, 0, 0), &web(1, 1).drawn(HALF));
            house.does(0, by(3, 0, 0), &web(2, others).drawn(HALF));
            house.does(0, by(4, 0, 0), &release(1));
            assert_eq!(house.places(), if rests { (1, 1) } else { (3, 0) }, "{of_web:?} {others}");
        }
    }
}

#[test]
fn whoever_let_places_go_holds_none_there_before_all_others_might_have() {
    let mut house = House::scarce();
    house.does(1_000, by(4, 7, 8), &release(1));
    let renewed = |wait_s| Err(Refusal::HoldRenewed { again_at: later(61_000), wait_s });
    for (ms, wait_s) in [(1_000, 60), (1_001, 60), (31_001, 30), (60_999, 1)] {
        for who in [by(5, 7, 0), by(6, 0, 8), by(7, 5, 8), by(8, 7, 6), Envelope { formerly: vec![Digest(7)], ..by(9, 5, 0) }] {
            assert_eq!(house.ask(ms, who, &web(9, 1).drawn(0)), renewed(wait_s), "after {ms} ms");
        }
    }
    // When the places are free is not told by that: the answer was the same before.
    assert_eq!(house.places(), (7, 0));
    assert_eq!(house.ask(60_999, by(12, 7, 0), &amend(1, 6)), Err(Refusal::HoldReleased));
    // Others may, also before, and at a desk somebody sees who asks.
    assert!(house.ask(60_999, by(10, 5, 6), &web(10, 1)).is_ok());
    assert!(house.ask(60_999, by(11, 7, 8), &hold(11, Channel::BoxOffice, &[full(1)])).is_ok());
    assert!(house.ask(61_000, by(13, 7, 8), &web(13, 1)).is_ok());
    // Who has another hold has no more of it; who buys at once keeps nothing from others; who waits would be the first.
    let mut house = House::scarce();
    house.does(0, by(4, 7, 0), &web(4, 1).drawn(0));
    house.does(0, by(5, 7, 8), &release(1));
    assert_eq!(house.ask(0, by(6, 7, 0), &amend(4, 2)), Err(Refusal::HoldRenewed { again_at: later(60_000), wait_s: 60 }));
    assert_eq!(house.ask(0, by(7, 0, 0), &amend(4, 2)), Err(Refusal::HoldRenewed { again_at: later(60_000), wait_s: 60 }));
    assert_eq!(house.ask(0, by(8, 7, 0), &wait(8, 4)), Err(Refusal::HoldRenewed { again_at: later(60_000), wait_s: 60 }));
    assert!(house.ask(0, by(9, 7, 8), &bought_anew(9, 1, paid(9))).is_ok());
}

#[test]
fn whoever_waits_is_the_first_to_have_what_has_rested() {
    let mut house = House::scarce();
    house.does(0, by(4, 5, 0), &wait(4, 4).drawn(HALF));
    house.does(1_000, by(5, 7, 8), &release(1));
    let offers = house.pass(31_001);
    assert!(matches!(&offers[..], [Event::Freed(_), Event::Offered(offered)] if offered.entry == id(4)), "{offers:?}");
    // What is offered and not taken rests as well.
    assert_eq!(house.places(), (3, 0));
    house.does(32_000, by(6, 5, 0), &web(6, 3));
    assert!(house.ask(32_000, by(7, 5, 0), &Command::LeaveWaiting { entry: id(4), owner: Some(KeyId(1)) }).is_ok());
    assert_eq!((house.places(), house.slot.wake_at()), ((0, 4), Some(later(62_001))));
}

#[test]
fn a_hold_that_is_made_smaller_lives_no_longer_and_what_it_loses_rests_the_longest() {
    let mut house = House::scarce();
    let until = house.slot.hold_of(id(1)).map(|hold| hold.expires_at);
    let events = house.does(1_000, by(4, 7, 8), &amend(1, 2));
    assert!(matches!(&events[..], [first, Event::Amended(_)] if *first == rested(1, 3, 61_000, None)), "{events:?}");
    assert_eq!((house.places(), house.slot.hold_of(id(1)).map(|hold| hold.expires_at)), ((2, 3), until));
    // Twice in one instant.
    house.does(1_000, by(5, 7, 8), &amend(1, 1));
    assert_eq!(house.places(), (2, 4));
    // It was no end: more may be asked for, of what is free.
    assert!(house.ask(1_000, by(6, 7, 8), &amend(1, 3)).is_ok());
    assert_eq!((house.pass(61_000), house.places()), (vec![freed(1, 61_000)], (4, 0)));
}

#[test]
fn who_gives_some_places_of_a_hold_back_keeps_the_others_and_holds_no_more_for_a_while() {
    let mut house = House::scarce();
    let shrink = |owner| Command::Shrink { hold: id(1), counts: vec![(code("full"), 4)], owner, over: None };
    let undrawn = house.slot.decide(later(1_000), &shrink(Some(KeyId(1))));
    assert!(matches!(&undrawn, Ok(events) if events[0] == rested(1, 1, 61_000, Some(61_000))), "{undrawn:?}");
    let events = house.does(1_000, by(4, 7, 8), &shrink(Some(KeyId(1))).drawn(HALF));
    assert!(matches!(&events[..], [first, Event::Amended(_)] if *first == rested(1, 1, 31_001, Some(61_000))), "{events:?}");
    assert_eq!(house.places(), (2, 1));
    let renewed = Refusal::HoldRenewed { again_at: later(61_000), wait_s: 60 };
    for (buyer, device) in [(7, 0), (0, 8)] {
        assert_eq!(house.ask(1_000, by(5, buyer, device), &web(5, 1)), Err(renewed.clone()), "buyer {buyer}, device {device}");
    }
    // The hold lives on, and is bought as it would have been.
    house.does(2_000, by(6, 7, 8), &Command::Sell { hold: id(1), owner: Some(KeyId(1)), settlement: paid(1), contact: None });
    assert_eq!((house.pass(31_001), house.places()), (vec![freed(1, 31_001)], (3, 0)));
    // Staff who give some back have somebody before them who takes these.
    let mut house = House::scarce();
    assert!(matches!(&house.does(1_000, by(4, 0, 0), &shrink(None).drawn(HALF))[..], [Event::Amended(_)]));
    assert_eq!(house.places(), (3, 0));
}

#[test]
fn late_money_finds_the_places_that_it_was_for() {
    let bind = |n| Command::Bind { hold: id(n), payment: PaymentId::new(1, n), over: None };
    let mut house = House::scarce();
    house.does(0, by(4, 0, 0), &bind(1));
    house.does(0, by(5, 0, 0), &web(5, 2).drawn(u32::MAX));
    house.does(0, by(6, 0, 0), &bind(2));
    house.pass(900_000);
    assert_eq!(house.places(), (0, 17));
    // Of somebody else's it has none.
    assert!(matches!(house.ask(900_000, by(7, 0, 0), &bought_anew(7, 1, paid(9))), Err(Refusal::NotEnoughPlaces { available: 0, .. })));
    let sold = house.does(900_000, by(8, 7, 8), &bought_anew(8, 5, paid(1)));
    assert!(matches!(&sold[..], [Event::Sold(_), last] if *last == freed(1, 930_001)), "{sold:?}");
    assert_eq!(house.places(), (0, 12));
    // Also where more is taken than there is.
    house.does(900_000, by(9, 0, 0), &Command::SetCapacity { capacity: 12 });
    assert!(house.ask(900_000, by(10, 0, 0), &bought_anew(10, 10, paid(2))).is_ok());
    assert_eq!((house.places().1, house.slot.places().over(later(900_000))), (2, 8));
}

#[test]
fn each_sale_of_late_money_finds_what_its_own_hold_had() {
    let bind = |n| Command::Bind { hold: id(n), payment: PaymentId::new(1, 1), over: None };
    let mut house = House::of(resting(20));
    house.does(0, by(1, 7, 8), &web(1, 2).drawn(0));
    house.does(0, by(2, 7, 8), &web(2, 5).drawn(HALF));
    house.does(0, by(3, 0, 0), &direct(3, &[full(10)], desk()));
    house.does(0, by(4, 0, 0), &direct(4, &[full(3)], desk()));
    house.does(0, by(5, 0, 0), &bind(1));
    house.does(0, by(6, 0, 0), &bind(2));
    house.pass(900_000);
    assert_eq!(house.places(), (0, 7));
    // The 2 are free first, and still are not for the 5, nor for anybody else meanwhile.
    let sold = house.does(900_000, by(7, 0, 0), &bought_anew(5, 5, paid(1)));
    assert!(matches!(&sold[..], [Event::Sold(_), last] if *last == freed(2, 930_001)), "{sold:?}");
    assert_eq!(house.places(), (0, 2));
    let sold = house.does(900_000, by(8, 0, 0), &bought_anew(6, 2, paid(1)));
    assert!(matches!(&sold[..], [Event::Sold(_), last] if *last == freed(1, 900_001)), "{sold:?}");
    assert_eq!((house.places(), house.slot.wake_at()), ((0, 0), None));
}

#[test]
fn whoever_let_places_go_keeps_and_buys_what_they_hold_beside_them() {
    let mut house = House::scarce();
    house.does(0, by(4, 7, 8), &web(4, 2).drawn(0));
    house.does(0, by(5, 7, 8), &release(1));
    // A payment that came to nothing is no reason to hold anew: the next one has the same places.
    let payment = |n| PaymentId::new(1, n);
    house.does(1_000, by(6, 7, 8), &Command::Extend { hold: id(4), owner: Some(KeyId(1)) });
    house.does(1_000, by(7, 7, 8), &Command::Bind { hold: id(4), payment: payment(1), over: None });
    house.does(2_000, by(8, 7, 8), &Command::Bind { hold: id(4), payment: payment(2), over: Some(payment(1)) });
    let sold = house.does(3_000, by(9, 7, 8), &sell(4, paid(2)));
    assert!(matches!(sold[..], [Event::Sold(_)]), "{sold:?}");
}

/// What the property below asks.
#[derive(Debug, Clone)]
enum Ask {
    Hold { who: u128, people: u16, draw: Option<u32> },
    Wait { who: u128, people: u16, draw: u32 },
    Desk { people: u16 },
    Release { party: usize, staff: bool },
    Amend { party: usize, people: u16 },
    Bind { party: usize },
    Pay { party: usize },
    Late { party: usize },
    Capacity(u32),
    Quota { desk: u32, web: Option<u32> },
}

fn asks() -> impl Strategy<Value = (i64, Ask)> {
    let later_ms = prop_oneof![4 => 0..2_000_i64, 3 => 2_000..70_000_i64, 1 => 70_000..1_000_000_i64];
    let (who, people, party) = (|| 0..4_u128, || 1..7_u16, || 0..25_usize);
    let ask = prop_oneof![
        8 => (who(), people(), prop::option::weighted(0.9, any::<u32>())).prop_map(|(who, people, draw)| Ask::Hold { who, people, draw }),
        3 => (who(), people(), any::<u32>()).prop_map(|(who, people, draw)| Ask::Wait { who, people, draw }),
        2 => people().prop_map(|people| Ask::Desk { people }),
        5 => (party(), prop::bool::weighted(0.2)).prop_map(|(party, staff)| Ask::Release { party, staff }),
        4 => (party(), people()).prop_map(|(party, people)| Ask::Amend { party, people }),
        2 => party().prop_map(|party| Ask::Bind { party }),
        2 => party().prop_map(|party| Ask::Pay { party }),
        2 => party().prop_map(|party| Ask::Late { party }),
        1 => (5..25_u32).prop_map(Ask::Capacity),
        1 => (0..4_u32, prop::option::of(4..20_u32)).prop_map(|(desk, web)| Ask::Quota { desk, web }),
    ];
    (later_ms, ask)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Waits,
    Held { until: i64 },
    Sold,
    Gone,
}

#[derive(Debug, Clone, Copy)]
struct Guest {
    n: u64,
    who: u128,
    people: u16,
    rest_ms: i64,
    fate: Fate,
    paying: bool,
    web: bool,
}

/// The same as a list of guests, and of places that nobody has yet.
#[derive(Default)]
struct Plain {
    now: i64,
    capacity: u32,
    desk: u32,
    web: Option<u32>,
    guests: Vec<Guest>,
    /// Until when, how many, and of which guest's payment.
    rests: Vec<(i64, u32, Option<u64>)>,
    barred: Vec<(u128, i64)>,
}

impl Plain {
    fn taken(&self, web: bool) -> i64 {
        let has = |guest: &&Guest| guest.web == web && matches!(guest.fate, Fate::Held { .. } | Fate::Sold);
        let rests: i64 = if web { self.rests.iter().map(|(_, places, _)| i64::from(*places)).sum() } else { 0 };
        self.guests.iter().filter(has).map(|guest| i64::from(guest.people)).sum::<i64>() + rests
    }

    fn room(&self, web: bool) -> i64 {
        let all = i64::from(self.capacity) - self.taken(true) - self.taken(false);
        let kept = if web { (i64::from(self.desk) - self.taken(false)).max(0) } else { 0 };
        let own = self.web.filter(|_| web).map_or(i64::MAX, |limit| i64::from(limit) - self.taken(true));
        (all - kept).min(own).max(0)
    }

    /// How many places the web might have in all.
    fn most(&self) -> i64 {
        i64::from(self.capacity.saturating_sub(self.desk).min(self.web.unwrap_or(u32::MAX)))
    }

    /// Places that a guest loses rest, if fewer are left than a fifth.
    fn loses(&mut self, guest: Guest, places: u32, ends: bool) -> bool {
        if !guest.web || self.room(true) * 5 >= self.most() {
            return false;
        }
        let rest_ms = if ends { guest.rest_ms } else { 60_000 };
        self.rests.push((self.now + rest_ms, places, guest.paying.then_some(guest.n)));
        if ends && guest.who > 0 {
            self.barred.push((guest.who, self.now + 60_000));
        }
        true
    }

    fn end_due(&mut self, now: i64) {
        self.now = now;
        self.rests.retain(|(until, ..)| *until > now);
        let mut due: Vec<usize> = (0..self.guests.len()).filter(|i| matches!(self.guests[*i].fate, Fate::Held { until } if until <= now)).collect();
        due.sort_by_key(|i| match self.guests[*i].fate {
            Fate::Held { until } => (until, id(self.guests[*i].n)),
            _ => unreachable!(),
        });
        for i in due {
            let guest = self.guests[i];
            self.loses(guest, guest.people.into(), true);
            self.guests[i].fate = Fate::Gone;
        }
        for i in 0..self.guests.len() {
            if self.guests[i].fate == Fate::Waits && i64::from(self.guests[i].people) <= self.room(true) {
                self.guests[i].fate = Fate::Held { until: now + 900_000 };
            }
        }
    }

    fn is_barred(&self, who: u128) -> bool {
        who > 0 && self.barred.iter().any(|(barred, until)| *barred == who && self.now < *until)
    }

    /// Whether it is granted; who asks has the number `n`.
    fn answer(&mut self, n: u64, ask: &Ask) -> bool {
        let live = |guest: &Guest| matches!(guest.fate, Fate::Held { .. });
        let rest_of = |draw: Option<u32>| draw.map_or(60_000, |draw| 1 + ((u64::from(draw) * 60_000) >> 32) as i64);
        let until = self.now + 900_000;
        match *ask {
            Ask::Hold { who, people, draw } => {
                let granted = i64::from(people) <= self.room(true) && !self.is_barred(who);
                let guest = Guest { n, who, people, rest_ms: rest_of(draw), fate: Fate::Held { until }, paying: false, web: true };
                self.guests.extend(granted.then_some(guest));
                granted
            }
            Ask::Wait { who, people, draw } => {
                let granted = i64::from(people) > self.room(true) && i64::from(people) <= self.most() && !self.is_barred(who);
                let guest = Guest { n, who, people, rest_ms: rest_of(Some(draw)), fate: Fate::Waits, paying: false, web: true };
                self.guests.extend(granted.then_some(guest));
                granted
            }
            Ask::Desk { people } => {
                let granted = i64::from(people) <= self.room(false);
                self.guests.extend(granted.then_some(Guest { n, who: 0, people, rest_ms: 0, fate: Fate::Sold, paying: false, web: false }));
                granted
            }
            Ask::Release { party, staff } => {
                let Some(guest) = self.guests.get(party).copied().filter(|guest| live(guest) && !guest.paying) else { return false };
                if !staff {
                    self.loses(guest, guest.people.into(), true);
                }
                self.guests[party].fate = Fate::Gone;
                true
            }
            Ask::Amend { party, people } => {
                let Some(guest) = self.guests.get(party).copied().filter(|guest| live(guest) && !guest.paying) else { return false };
                let more = i64::from(people) - i64::from(guest.people);
                if more > self.room(true) || (more > 0 && self.is_barred(guest.who)) {
                    return false;
                }
                if more < 0 {
                    self.loses(guest, (-more) as u32, false);
                }
                self.guests[party].people = people;
                true
            }
            Ask::Bind { party } => {
                let Some(guest) = self.guests.get_mut(party).filter(|guest| live(guest)) else { return false };
                guest.paying = true;
                true
            }
            Ask::Pay { party } => {
                let Some(guest) = self.guests.get_mut(party).filter(|guest| live(guest)) else { return false };
                guest.fate = Fate::Sold;
                true
            }
            Ask::Late { party } => {
                let Some(guest) = self.guests.get(party).copied().filter(|guest| guest.web) else { return false };
                self.rests.sort_unstable();
                let mut own = 0;
                let mut kept = Vec::new();
                for rest in self.rests.clone() {
                    if rest.2 == Some(guest.n) && own < u32::from(guest.people) { own += rest.1 } else { kept.push(rest) }
                }
                if i64::from(guest.people) - i64::from(own) > self.room(true) {
                    return false;
                }
                self.rests = kept;
                self.guests.push(Guest { n, fate: Fate::Sold, paying: false, ..guest });
                true
            }
            Ask::Capacity(capacity) => {
                self.capacity = capacity;
                true
            }
            Ask::Quota { desk, web } => {
                (self.desk, self.web) = (desk, web);
                true
            }
        }
    }

    fn command(&self, n: u64, ask: &Ask) -> (u128, Command) {
        let guest = |party: usize| self.guests.get(party).copied();
        let number = |party| guest(party).map_or(9_999, |guest| guest.n);
        let whose = |party| guest(party).map_or(0, |guest| guest.who);
        match *ask {
            Ask::Hold { who, people, draw } => (who, draw.map_or(web(n, people), |draw| web(n, people).drawn(draw))),
            Ask::Wait { who, people, draw } => (who, wait(n, people).drawn(draw)),
            Ask::Desk { people } => (0, direct(n, &[full(people)], desk())),
            Ask::Release { party, staff } => (0, Command::Release { hold: id(number(party)), owner: (!staff).then_some(KeyId(1)) }),
            Ask::Amend { party, people } => (whose(party), amend(number(party), people)),
            Ask::Bind { party } => (0, Command::Bind { hold: id(number(party)), payment: PaymentId::new(1, number(party)), over: None }),
            Ask::Pay { party } => (0, sell(number(party), paid(number(party)))),
            Ask::Late { party } => {
                let people = guest(party).filter(|guest| guest.web).map_or(999, |guest| guest.people);
                (whose(party), bought_anew(n, people, paid(number(party))))
            }
            Ask::Capacity(capacity) => (0, Command::SetCapacity { capacity }),
            Ask::Quota { desk, web } => (0, Command::SetQuotas { quotas: quotas(&[(Channel::BoxOffice, desk, None, 0), (Channel::Web, 0, web, 0)]) }),
        }
    }
}

proptest! {
    #![proptest_config(at_least(300))]
    /// The slot and a plain list of guests grant the same and count the same places, whatever is held, let go, paid late and changed.
    #[test]
    fn the_slot_lets_rest_what_a_plain_list_does(script in prop::collection::vec(asks(), 1..80)) {
        let mut house = House::of(resting(20));
        let mut plain = Plain { capacity: 20, ..Plain::default() };
        let mut ms = 0;
        for (n, (later_ms, ask)) in (1..).zip(&script) {
            ms += later_ms;
            plain.end_due(ms);
            let (who, command) = plain.command(n, ask);
            let answer = house.ask(ms, by(u128::from(n), who, 0), &command);
            let granted = plain.answer(n, ask);
            prop_assert_eq!(answer.is_ok(), granted, "{:?} at {}: {:?}", ask, ms, answer);
            let places = house.slot.places();
            let rests: u32 = plain.rests.iter().map(|(_, places, _)| places).sum();
            prop_assert_eq!((i64::from(places.taken()), places.resting), (plain.taken(true) + plain.taken(false), rests), "after {:?} at {}", ask, ms);
            prop_assert_eq!(i64::from(places.available(Channel::Web, later(ms)).0), plain.room(true));
            let next = plain.rests.iter().map(|(until, ..)| *until).min();
            prop_assert!(next.is_none_or(|next| house.slot.wake_at().is_some_and(|wake_at| wake_at <= later(next))));
        }
        if house.slot.is_opened() {
            house.is_sound();
        }
    }
}
