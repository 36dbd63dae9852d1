//! Those who really buy: scalpers at an opening, resellers without a contract, those who live off the refund policy, and those who let two in on one ticket. They are
//! buyers like others ([`super::super::buyer`]), with more purchases in mind and other plans for the tickets.

use super::super::Agent;
use super::super::buyer::{Buyer, Cart, Purchase, Visit};
use super::super::dice::Dice;
use super::super::honest::People;
use super::super::intent::{Channel, Parties, Party};
use super::super::town::{DAY_S, SECOND_US, SOUGHT_OPENS_DAYS, Slot, VENUES, Venue, some_slot, sought_venue};
use super::super::truth::{Attack, Variant};
use super::{opening_day, opening_slots, time_us};

/// How many one buys in one go: what a shop allows, or a little less so as not to be noticed.
const MOST: (i64, i64) = (7, 10);
const MODEST: (i64, i64) = (3, 6);
/// Before the last moment of a full refund: two days before the visit, by the usual policy.
const FULL_REFUND_S: i64 = 2 * DAY_S;
/// Purchases that a refund abuser gives back, plain and adaptive: what was not sold on.
const GIVEN_BACK: [f64; 2] = [0.8, 0.5];

pub(super) fn campaign(attack: Attack, variant: Variant, day: i64, people: &People, dice: &mut Dice) -> (i64, Box<dyn Agent>) {
    let mut purchases = match attack {
        Attack::Scalping => scalper(variant, opening_day(day), people, dice),
        Attack::Reselling => reseller(variant, day, people, dice),
        Attack::RefundAbuse => refunder(variant, day, people, dice),
        _ => sharer(variant, day, people, dice),
    };
    purchases.sort_by_key(|purchase| purchase.at_us);
    let at_us = purchases.first().map_or(0, |purchase| purchase.at_us);
    (at_us, Box::new(Buyer::new(purchases)))
}

/// Some identities at home, or on rented networks.
fn identities(count: i64, variant: Variant, people: &People, dice: &mut Dice) -> Vec<Parties> {
    let home = dice.next();
    (0..count)
        .map(|_| {
            let network = match variant {
                Variant::Plain => home,
                Variant::Adaptive if dice.chance(0.5) => people.mobile(dice),
                Variant::Adaptive => dice.next(),
            };
            Parties { buyer: Some(dice.next()), device: Some(dice.next()), card: Some(dice.next()), network: Some(network), ..Parties::default() }
        })
        .collect()
}

fn some_of<T: Copy>(items: &[T], dice: &mut Dice) -> T {
    items[dice.between(0, items.len() as i64 - 1) as usize]
}

fn purchase(parties: Parties, at_us: i64, slot: Slot, people: (i64, i64), thinks_s: i64, dice: &mut Dice) -> Purchase {
    Purchase {
        at_us,
        channel: Channel::Web,
        parties,
        slot,
        party: Party { full: dice.between(people.0, people.1) as u16, ..Party::default() },
        thinks_s,
        tries: 4,
        declines: u8::from(dice.chance(0.05)),
        cart: Cart::Pays,
        second_tab: false,
        refund_at_us: None,
        visit: Visit::Comes,
        harmful: true,
        refund_harmful: false,
        changes_skin: false,
    }
}

/// At an opening: many purchases in minutes, each with another card and address, from a few browsers; or each from another browser, spread over hours and days.
fn scalper(variant: Variant, day: i64, people: &People, dice: &mut Dice) -> Vec<Purchase> {
    let plain = variant == Variant::Plain;
    let devices = identities(if plain { 2 } else { 14 }, variant, people, dice);
    let cards: Vec<u64> = (0..dice.between(4, 6)).map(|_| dice.next()).collect();
    let mut purchases = Vec::new();
    for round in 0..if plain { 1 } else { 2 } {
        let slots = opening_slots(opening_day(day + round), 6, dice);
        let many = if plain { dice.between(8, 14) } else { dice.between(5, 8) };
        for index in 0..many {
            let slot = slots[index as usize % slots.len()];
            let after_s = if plain { dice.between(1, 240) } else { dice.between(20, 2_400) };
            let machine = if plain { some_of(&devices, dice) } else { devices[(round * 7 + index) as usize % devices.len()] };
            let buyer = if plain { Some(dice.next()) } else { machine.buyer };
            let parties = Parties { buyer, card: Some(some_of(&cards, dice)), ..machine };
            let thinks_s = if plain { dice.between(6, 18) } else { dice.between(35, 140) };
            let size = if plain { (4, 8) } else { (4, 6) };
            let one = purchase(parties, (slot.opens_s() + after_s) * SECOND_US, slot, size, thinks_s, dice);
            purchases.push(Purchase { changes_skin: !plain, ..one });
        }
    }
    purchases
}

/// Over days: as many places of as many slots as one may have, each for customers to be found; or the same through three people, over more days.
fn reseller(variant: Variant, day: i64, people: &People, dice: &mut Dice) -> Vec<Purchase> {
    let plain = variant == Variant::Plain;
    let who = identities(if plain { 1 } else { 3 }, variant, people, dice);
    let (many, days, size) = if plain { (dice.between(12, 25), 3, MOST) } else { (dice.between(14, 22), 10, MODEST) };
    (0..many)
        .map(|_| {
            let on = day + dice.between(0, days - 1);
            let at_us = time_us(on, dice.between(6 * 3_600, 21 * 3_600));
            let venue = if dice.chance(0.7) { sought_venue(dice) } else { &VENUES[3] };
            let slot = some_slot(venue, on + dice.between(4, SOUGHT_OPENS_DAYS - 1), dice);
            let thinks_s = dice.between(30, 120);
            Purchase { changes_skin: !plain, ..purchase(some_of(&who, dice), at_us, slot, size, thinks_s, dice) }
        })
        .collect()
}

/// Over a week: many places far ahead, most of them given back in the last hours in which that costs nothing, too late for others to plan with.
fn refunder(variant: Variant, day: i64, people: &People, dice: &mut Dice) -> Vec<Purchase> {
    let plain = variant == Variant::Plain;
    let who = identities(if plain { 1 } else { 2 }, variant, people, dice);
    let (many, days, size) = if plain { (dice.between(9, 14), 5, (4, 8)) } else { (dice.between(8, 12), 7, MODEST) };
    (0..many)
        .map(|_| {
            let on = day + dice.between(0, days - 1);
            let at_us = time_us(on, dice.between(6 * 3_600, 21 * 3_600));
            let slot = some_slot(sought_venue(dice), on + dice.between(4, 9), dice);
            let thinks_s = dice.between(40, 200);
            let one = purchase(some_of(&who, dice), at_us, slot, size, thinks_s, dice);
            let back = dice.chance(GIVEN_BACK[usize::from(!plain)]);
            let last_us = (slot.start_s - FULL_REFUND_S - dice.between(300, 4 * 3_600)) * SECOND_US;
            let refund_at_us = back.then_some(last_us);
            Purchase { harmful: false, refund_at_us, refund_harmful: true, ..one }
        })
        .collect()
}

/// A few visits, on each of which others come in on the same tickets: at another gate while the first are inside, or at a gate that has no network.
fn sharer(variant: Variant, day: i64, people: &People, dice: &mut Dice) -> Vec<Purchase> {
    let plain = variant == Variant::Plain;
    let who = identities(if plain { 1 } else { 3 }, variant, people, dice);
    let gated: Vec<&Venue> = VENUES.iter().filter(|venue| venue.gates > 1).collect();
    (0..dice.between(2, 4))
        .map(|_| {
            let on = day + dice.between(0, 3);
            let at_us = time_us(on, dice.between(6 * 3_600, 20 * 3_600));
            let slot = some_slot(some_of(&gated, dice), on + dice.between(1, 4), dice);
            let thinks_s = dice.between(40, 200);
            let one = purchase(some_of(&who, dice), at_us, slot, if plain { (3, 6) } else { (2, 3) }, thinks_s, dice);
            let offline = dice.chance(0.35);
            let after_s = match (offline, plain) {
                (true, _) => dice.between(2 * 3_600, 5 * 3_600),
                (false, true) => dice.between(90, 900),
                (false, false) => dice.between(900, 2_700),
            };
            let tickets = if plain { one.party.people() } else { 1 };
            Purchase { harmful: false, visit: Visit::Shared { tickets, after_s, offline }, ..one }
        })
        .collect()
}
