//! Those who buy places beforehand: on the web, through the group office or a reseller. Every rate is invented; the sentence says what made it plausible.

use super::super::Newcomer;
use super::super::buyer::{Buyer, Cart, Purchase, Visit};
use super::super::dice::Dice;
use super::super::intent::{Channel, Parties, Party};
use super::super::town::{DAY_S, SECOND_US, SOUGHT_OPENS_DAYS, Slot, VENUES, some_slot, some_venue};
use super::super::truth::Persona;
use super::{HOTELS, MEMBERS_PER_BUYER, People, day_us, newcomer};

/// Carts that are left: shops report two thirds; a cart here is a hold, which people make when they are nearly sure.
const LEAVES_CART: f64 = 0.22;
/// Of those, how many come back the same day.
const COMES_BACK: f64 = 0.35;
/// Holds that are given back with a click.
const GIVES_BACK: f64 = 0.03;
/// Payments that the bank refuses once: issuers decline a few in a hundred, mostly for a mistyped code.
const DECLINED_ONCE: f64 = 0.05;
/// And that it refuses twice.
const DECLINED_TWICE: f64 = 0.007;
/// Sales that are given back by their buyers: plans change.
const REFUNDS: f64 = 0.035;
/// Sales whose people do not come.
const NO_SHOWS: f64 = 0.05;
/// Parties of which a ticket is scanned twice at the gate, by mistake.
const SCANNED_TWICE: f64 = 0.004;
/// How long people think before they pay, in seconds, on average.
const THINKS_S: i64 = 150;
/// How far ahead people book, in days, on average.
const LEAD_DAYS: i64 = 6;
/// How far ahead tourists book: with the journey.
const TOURIST_LEAD_DAYS: i64 = 15;
/// Nobody plans further ahead than sales are open.
const LEAD_DAYS_MAX: i64 = 40;
/// Fans who try two times of day at once.
const TWO_TABS: f64 = 0.2;
/// How soon after an opening a fan clicks, in seconds, on average: within minutes.
const FAN_AFTER_S: i64 = 100;
/// School visits that are called off: classes fall ill, buses do not come.
const SCHOOL_CANCELS: f64 = 0.08;
/// Places that a reseller's customers do not take after all.
const RESELLER_GIVES_BACK: f64 = 0.1;
/// When people are awake, in seconds after midnight UTC, hour by hour from 5: morning coffee, lunch, and evenings on the sofa.
const AWAKE: [u32; 18] = [1, 3, 5, 7, 8, 8, 8, 9, 8, 7, 7, 7, 8, 9, 10, 10, 8, 3];

/// Somebody who buys on the web on a day.
pub(super) fn web(persona: Persona, people: &People, day: i64, scale: f64, dice: &mut Dice) -> Newcomer {
    let at_us = day_us(day) + (5 * 3_600 + dice.weighted(&AWAKE) as i64 * 3_600 + dice.between(0, 3_599)) * SECOND_US;
    let somebody = people.somebody(dice);
    let purchases = match persona {
        Persona::Tourist => tourist(people, somebody, at_us, day, dice),
        Persona::Member => {
            let members = ((scale * MEMBERS_PER_BUYER) as i64).max(1);
            let member = people.member(dice.between(0, members - 1).unsigned_abs());
            let party = if dice.chance(0.4) { Party { reduced: 1, ..Party::default() } } else { Party { full: 1, free: 1, ..Party::default() } };
            vec![one(member, at_us, ahead(day, LEAD_DAYS / 2, dice), party, dice)]
        }
        Persona::LastMinute => {
            let party = Party { full: dice.between(1, 3) as u16, ..Party::default() };
            // Today, the next slot that one can still reach.
            let now_s = at_us / SECOND_US;
            let slot = some_slot(some_venue(dice), day, dice);
            let slot = if slot.start_s > now_s + 900 { slot } else { Slot { start_s: slot.start_s + DAY_S, ..slot } };
            vec![Purchase { thinks_s: dice.wait(60), ..one(somebody, at_us, slot, party, dice) }]
        }
        Persona::Family => {
            let party = Party { full: 2, free: [1, 2, 3][dice.weighted(&[45, 42, 13])], reduced: u16::from(dice.chance(0.1)) };
            vec![one(somebody, at_us, weekend(ahead(day, LEAD_DAYS, dice), dice), party, dice)]
        }
        Persona::Friends => {
            let (many, young) = (dice.between(5, 10) as u16, dice.chance(0.3));
            let party = if young { Party { reduced: many, ..Party::default() } } else { Party { full: many, ..Party::default() } };
            let party = Party { free: dice.between(0, 2) as u16, ..party };
            vec![one(somebody, at_us, ahead(day, LEAD_DAYS, dice), party, dice)]
        }
        _ => {
            let young = dice.chance(0.2);
            let size = [1, 2, 3, 4][dice.weighted(&[22, 58, 8, 12])];
            let party = if young { Party { reduced: size, ..Party::default() } } else { Party { full: size, ..Party::default() } };
            vec![one(somebody, at_us, ahead(day, LEAD_DAYS, dice), party, dice)]
        }
    };
    newcomer(at_us, persona, Box::new(Buyer::new(purchases)))
}

/// A slot some days ahead.
fn ahead(day: i64, mean_days: i64, dice: &mut Dice) -> Slot {
    let venue = some_venue(dice);
    let most = if venue.sought { SOUGHT_OPENS_DAYS - 1 } else { LEAD_DAYS_MAX };
    let lead = dice.wait(mean_days).min(most);
    some_slot(venue, day + lead, dice)
}

/// Half of the families move it to the weekend after, if that is on sale.
fn weekend(slot: Slot, dice: &mut Dice) -> Slot {
    let to_saturday = (5 - slot.day().rem_euclid(7)).max(0);
    let moved = Slot { start_s: slot.start_s + to_saturday * DAY_S, ..slot };
    if dice.chance(0.5) && !slot.venue().sought { moved } else { slot }
}

/// A purchase as people make them.
fn one(parties: Parties, at_us: i64, slot: Slot, party: Party, dice: &mut Dice) -> Purchase {
    let cart = if dice.chance(LEAVES_CART) {
        Cart::Left { back_s: dice.chance(COMES_BACK).then(|| dice.between(1_200, 6 * 3_600)) }
    } else if dice.chance(GIVES_BACK) {
        Cart::Released
    } else {
        Cart::Pays
    };
    let declines = if dice.chance(DECLINED_TWICE) { 2 } else { u8::from(dice.chance(DECLINED_ONCE)) };
    let visit = if dice.chance(NO_SHOWS) {
        Visit::NoShow
    } else if dice.chance(SCANNED_TWICE) {
        Visit::ScannedTwice
    } else {
        Visit::Comes
    };
    let left_s = slot.start_s - at_us / SECOND_US;
    let refund_at_us = (dice.chance(REFUNDS) && left_s > DAY_S).then(|| at_us + dice.between(3_600, left_s - 3_600) * SECOND_US);
    Purchase {
        at_us,
        channel: Channel::Web,
        parties,
        slot,
        party,
        thinks_s: 20 + dice.wait(THINKS_S).min(700),
        tries: dice.between(1, 4) as u8,
        declines,
        cart,
        second_tab: false,
        refund_at_us,
        visit,
        harmful: false,
        refund_harmful: false,
        changes_skin: false,
    }
}

/// Several museums within a few days, bought in one evening from the hotel or from home, one after the other.
fn tourist(people: &People, somebody: Parties, at_us: i64, day: i64, dice: &mut Dice) -> Vec<Purchase> {
    let mut somebody = somebody;
    let there = dice.chance(0.4);
    if there {
        somebody.network = Some(people.hotel(dice.between(0, HOTELS - 1).unsigned_abs()));
    }
    let first = day + if there { dice.between(0, 2) + 1 } else { dice.wait(TOURIST_LEAD_DAYS).min(LEAD_DAYS_MAX - 6) };
    let party = Party { full: [1, 2, 3, 4, 5][dice.weighted(&[15, 55, 12, 14, 4])], ..Party::default() };
    let mut at_us = at_us;
    (0..dice.between(2, 5))
        .map(|index| {
            at_us += dice.between(120, 900) * SECOND_US;
            let venue = some_venue(dice);
            let on = (first + index / 2).min(day + if venue.sought { SOUGHT_OPENS_DAYS - 1 } else { LEAD_DAYS_MAX });
            one(somebody, at_us, some_slot(venue, on, dice), party, dice)
        })
        .collect()
}

/// A hotel's desk: one computer and network, another guest's address and card each time.
pub(super) fn concierge(people: &People, day: i64, dice: &mut Dice) -> Newcomer {
    let hotel = dice.between(0, HOTELS / 5 - 1).unsigned_abs();
    let (device, network) = (Some(people.hotel(1_000 + hotel)), Some(people.hotel(hotel)));
    let begins_us = day_us(day) + dice.between(6 * 3_600, 8 * 3_600) * SECOND_US;
    let mut at_us = begins_us;
    let purchases = (0..dice.between(4, 10))
        .map(|_| {
            at_us += dice.wait(2_400) * SECOND_US;
            let parties = Parties { buyer: Some(dice.next()), card: Some(dice.next()), device, network, ..Parties::default() };
            let slot = some_slot(some_venue(dice), day + dice.between(1, 3), dice);
            let party = Party { full: dice.between(1, 4) as u16, ..Party::default() };
            Purchase { cart: Cart::Pays, ..one(parties, at_us, slot, party, dice) }
        })
        .collect();
    newcomer(begins_us, Persona::Concierge, Box::new(Buyer::new(purchases)))
}

/// Those who wait for the sought-after slots that open on this day, if those are at a weekend.
pub(super) fn fans(people: &People, day: i64, per_opening: f64, dice: &mut Dice) -> Vec<Newcomer> {
    let opening = day + SOUGHT_OPENS_DAYS;
    if opening.rem_euclid(7) < 5 {
        return Vec::new();
    }
    let mut fans = Vec::new();
    for venue in VENUES.iter().filter(|venue| venue.sought) {
        for index in 1..7 {
            let slot = Slot::of(venue.number, opening, index);
            for _ in 0..dice.count(per_opening) {
                let at_us = (slot.opens_s() + dice.wait(FAN_AFTER_S)) * SECOND_US;
                let party = Party { full: [1, 2, 3, 4, 6, 8][dice.weighted(&[10, 55, 10, 15, 6, 4])], ..Party::default() };
                let tabs = dice.chance(TWO_TABS);
                let purchase =
                    Purchase { second_tab: tabs, tries: 4, thinks_s: 20 + dice.wait(60), ..one(people.somebody(dice), at_us, slot, party, dice) };
                fans.push(newcomer(at_us, Persona::Fan, Box::new(Buyer::new(vec![purchase]))));
            }
        }
    }
    fans
}

/// A school: one or two classes, all free, weeks ahead, by the group office.
pub(super) fn school(people: &People, day: i64, dice: &mut Dice) -> Newcomer {
    let at_us = day_us(day) + dice.between(6 * 3_600, 13 * 3_600) * SECOND_US;
    let group = Some(people.known(10, dice.between(0, 400).unsigned_abs()));
    let classes = dice.between(1, 2);
    let venue = some_venue(dice);
    let on = day + dice.between(4, SOUGHT_OPENS_DAYS - 1);
    // Mornings of working days.
    let on = on - (on.rem_euclid(7) - 4).max(0);
    let purchases = (0..classes)
        .map(|class| {
            let slot = Slot::of(venue.number, on, dice.between(0, 3));
            let party = Party { full: 0, reduced: 0, free: dice.between(16, 28) as u16 + 2 };
            let parties = Parties { group, ..Parties::default() };
            let called_off = dice.chance(SCHOOL_CANCELS).then(|| at_us + dice.between(DAY_S, (on - day - 1).max(2) * DAY_S) * SECOND_US);
            Purchase {
                channel: Channel::Group,
                cart: Cart::Pays,
                refund_at_us: called_off,
                declines: 0,
                tries: 3,
                ..one(parties, at_us + class * 240 * SECOND_US, slot, party, dice)
            }
        })
        .collect();
    newcomer(at_us, Persona::School, Box::new(Buyer::new(purchases)))
}

/// A day of a reseller on a contract: its customers' wishes as they come, over all sites, on its account.
pub(super) fn reseller(people: &People, number: u64, day: i64, thousands: f64, dice: &mut Dice) -> Newcomer {
    let parties = Parties { account: Some(people.reseller(number)), ..Parties::default() };
    let orders = dice.count(12.0 * thousands);
    let begins_us = day_us(day);
    let purchases = (0..orders)
        .map(|_| {
            let at_us = begins_us + dice.between(5 * 3_600, 20 * 3_600) * SECOND_US;
            let party = Party { full: [1, 2, 3, 4, 6][dice.weighted(&[15, 50, 10, 15, 10])], ..Party::default() };
            let cart = if dice.chance(RESELLER_GIVES_BACK) { Cart::Released } else { Cart::Pays };
            let slot = ahead(day, TOURIST_LEAD_DAYS, dice);
            Purchase { channel: Channel::Reseller, cart, declines: 0, ..one(parties, at_us, slot, party, dice) }
        })
        .collect();
    newcomer(begins_us, Persona::Reseller, Box::new(Buyer::new(purchases)))
}
