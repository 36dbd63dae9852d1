//! The honest: who comes on a day, in which numbers, and the pools of identities that they share, as people share networks. They give a scorer every excuse that real
//! visitors give: many cards behind one totem, a hotel that buys for its guests, a school whose tickets are all free, fans who click as fast as a bot for a minute.

mod crowd;
mod visitors;

use super::attack::Thief;
use super::desk::Desk;
use super::dice::Dice;
use super::intent::Parties;
use super::town::{BEGINS_S, DAY_S, SECOND_US, VENUES, WEEKDAYS};
use super::truth::{Attack, Nature, Persona};
use super::{Agent, Newcomer};

/// Of the web's buyers, how many per thousand are which persona: families and couples are most of Italian museums' visitors, tourists a fifth, the others the rest.
/// Parties of five and more are one in twenty: many a bot takes as many places, and they are no bots.
const WEB: [(Persona, u32); 6] = [
    (Persona::Family, 260),
    (Persona::Couple, 345),
    (Persona::Friends, 45),
    (Persona::Tourist, 190),
    (Persona::Member, 70),
    (Persona::LastMinute, 90),
];
/// Fans who wait for an opening, per opening of a sought-after slot at the weekend and per thousand web buyers a day: a slot's places go in its first hours.
const FANS: f64 = 3.5;
/// Hotels that buy for their guests, per thousand web buyers a day: a few large ones.
const CONCIERGES: f64 = 3.0;
/// School visits a day, per thousand web buyers: spring is the season of school trips.
const SCHOOLS: f64 = 8.0;
/// Resellers on a contract.
const RESELLERS: u64 = 5;
/// Parties that a totem serves on a mean day, with a thousand web buyers: one every ten minutes or so.
const KIOSK_PARTIES: f64 = 45.0;
/// Totems: the larger sites have one.
const KIOSKS: u64 = 6;
/// Parties that one desk serves on a mean day, with a thousand web buyers.
const DESK_PARTIES: f64 = 40.0;
/// Desks of a site.
pub(super) const DESKS_PER_VENUE: u64 = 2;
/// Members with a card of the museums, per web buyer a day: each comes every few weeks.
const MEMBERS_PER_BUYER: f64 = 0.8;
/// Blocks of addresses behind which mobile telephones are: operators put thousands behind one.
const MOBILE_BLOCKS: i64 = 60;
/// How many browse by mobile network rather than from a house of their own.
const MOBILE: f64 = 0.4;
/// Hotels whose guests share a network.
const HOTELS: i64 = 50;

/// Those who might come.
pub(super) struct People {
    seed: u64,
    /// Who of those at the desks steals, and when.
    thieves: Vec<Thief>,
}

impl People {
    pub(super) const fn new(seed: u64, thieves: Vec<Thief>) -> Self {
        Self { seed, thieves }
    }

    /// Who makes up their mind on a day. `scale` is how many buyers a mean day has on the web.
    pub(super) fn arrive(&self, seed: u64, day: i64, scale: f64) -> Vec<Newcomer> {
        let mut dice = Dice::of(seed, 0x00da_1000 + day.unsigned_abs());
        let weekday = WEEKDAYS[day.rem_euclid(7) as usize];
        let thousands = scale / 1_000.0;
        let mut newcomers = Vec::new();
        for _ in 0..dice.count(scale) {
            let persona = WEB[dice.weighted(&WEB.map(|(_, weight)| weight))].0;
            newcomers.push(visitors::web(persona, self, day, scale, &mut dice));
        }
        for _ in 0..dice.count(CONCIERGES * thousands) {
            newcomers.push(visitors::concierge(self, day, &mut dice));
        }
        newcomers.extend(visitors::fans(self, day, FANS * thousands, &mut dice));
        if day.rem_euclid(7) < 5 {
            for _ in 0..dice.count(SCHOOLS * thousands) {
                newcomers.push(visitors::school(self, day, &mut dice));
            }
        }
        for reseller in 0..RESELLERS {
            newcomers.push(visitors::reseller(self, reseller, day, thousands, &mut dice));
        }
        for kiosk in 0..KIOSKS {
            let parties = dice.count(KIOSK_PARTIES * thousands * weekday);
            newcomers.push(crowd::kiosk(self, kiosk, day, parties, &mut dice));
        }
        for venue in &VENUES {
            for desk in 0..DESKS_PER_VENUE {
                let parties = dice.count(DESK_PARTIES * thousands * weekday);
                let operator = self.operator(venue.number, desk);
                let thief = self.thieves.iter().find(|thief| (thief.venue, thief.desk) == (venue.number, desk) && thief.days.contains(&day));
                newcomers.push(match thief {
                    None => newcomer(day_us(day), Persona::Desk, Box::new(Desk::honest(venue.number, operator, day, parties))),
                    Some(thief) => Newcomer {
                        at_us: day_us(day),
                        nature: Nature::Attacker(Attack::OperatorTheft, thief.variant),
                        agent: Box::new(Desk::dishonest(venue.number, operator, day, parties, thief.theft())),
                    },
                });
            }
        }
        newcomers
    }

    /// The number of somebody, or something, that is always the same.
    fn known(&self, kind: u64, number: u64) -> u64 {
        Dice::of(self.seed, kind << 32 | number).next()
    }

    /// One who serves at a desk of a site.
    pub(super) fn operator(&self, venue: u16, desk: u64) -> u64 {
        self.known(1, u64::from(venue) << 8 | desk)
    }

    fn kiosk(&self, number: u64) -> u64 {
        self.known(2, number)
    }

    fn reseller(&self, number: u64) -> u64 {
        self.known(3, number)
    }

    fn hotel(&self, number: u64) -> u64 {
        self.known(4, number)
    }

    /// A block of addresses that a mobile operator puts many behind. Attackers use them too.
    pub(super) fn mobile(&self, dice: &mut Dice) -> u64 {
        self.known(5, dice.between(0, MOBILE_BLOCKS - 1).unsigned_abs())
    }

    fn member(&self, number: u64) -> Parties {
        let part = |kind| Some(self.known(kind, number));
        Parties { buyer: part(6), device: part(7), card: part(8), network: part(9), ..Parties::default() }
    }

    /// Somebody new at home or on the way.
    fn somebody(&self, dice: &mut Dice) -> Parties {
        let network = if dice.chance(MOBILE) { self.mobile(dice) } else { dice.next() };
        Parties { buyer: Some(dice.next()), device: Some(dice.next()), card: Some(dice.next()), network: Some(network), ..Parties::default() }
    }
}

fn newcomer(at_us: i64, persona: Persona, agent: Box<dyn Agent>) -> Newcomer {
    Newcomer { at_us, nature: Nature::Honest(persona), agent }
}

/// When a day begins.
const fn day_us(day: i64) -> i64 {
    (BEGINS_S + day * DAY_S) * SECOND_US
}
