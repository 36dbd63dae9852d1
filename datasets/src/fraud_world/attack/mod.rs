//! The attackers: how many campaigns of each kind a world has, when they begin, and who of those at the desks steals. Attacks on ticket shops are described in
//! decisions of competition authorities and in reports of payment schemes; the numbers are invented, and small, as most buyers are honest: all attackers together are
//! well under one in a hundred of those who buy.

mod hoarder;
mod market;
mod tester;

use super::desk::Theft;
use super::dice::Dice;
use super::honest::{DESKS_PER_VENUE, People};
use super::town::{BEGINS_S, DAY_S, FIRST_SLOT_S, SECOND_US, SLOT_S, SOUGHT_OPENS_DAYS, Slot, VENUES, sought_venue};
use super::truth::{Attack, Nature, Variant};
use super::{Newcomer, Settings};

/// Campaigns a week of each attack with [`BUYERS`] buyers a day, plain and adaptive: those that need little come often. Theft at desks is counted in thieves.
const WEEKLY: [(Attack, [f64; 2]); 6] = [
    (Attack::Hoarding, [2.0, 1.0]),
    (Attack::Scalping, [2.5, 1.5]),
    (Attack::Reselling, [1.5, 1.0]),
    (Attack::CardTesting, [2.0, 1.0]),
    (Attack::RefundAbuse, [1.5, 1.0]),
    (Attack::GateSharing, [3.0, 2.0]),
];
/// The buyers a day for which [`WEEKLY`] counts.
const BUYERS: f64 = 1_200.0;
/// Fewest campaigns of a kind, so that a small world has them all, in the part to learn from and in the part to be judged on.
const CAMPAIGNS_MIN: f64 = 2.0;
/// Days that a campaign may last; it begins so long before the end of the world.
const LASTS_DAYS: [(Attack, i64); 6] = [
    (Attack::Hoarding, 1),
    (Attack::Scalping, 3),
    (Attack::Reselling, 4),
    (Attack::CardTesting, 2),
    (Attack::RefundAbuse, 12),
    (Attack::GateSharing, 8),
];
/// Thieves among those at the desks, plain and adaptive, however many buyers there are.
const THIEVES: [u64; 2] = [2, 1];
/// Days on which a thief steals: not every day, so as not to be noticed.
const STEALS: f64 = 0.3;

/// All campaigns.
pub(super) fn campaigns(settings: Settings, people: &People) -> Vec<Newcomer> {
    let mut campaigns = Vec::new();
    for ((attack, weekly), (_, lasts)) in WEEKLY.into_iter().zip(LASTS_DAYS) {
        for (variant, weekly) in Variant::ALL.into_iter().zip(weekly) {
            let purpose = 0xa77a_0000 + ((attack as u64) << 8) + variant as u64;
            let mut dice = Dice::of(settings.seed, purpose);
            let weeks = f64::from(settings.days) / 7.0;
            let count = (weekly * weeks * f64::from(settings.buyers_per_day) / BUYERS).round().max(CAMPAIGNS_MIN);
            let room = (f64::from(settings.days) - lasts as f64).max(1.0);
            for number in 0..count as u32 {
                let day = ((f64::from(number) + dice.fraction()) / count * room) as i64;
                let (at_us, agent) = match attack {
                    Attack::Hoarding => hoarder::campaign(variant, day, people, &mut dice),
                    Attack::CardTesting => tester::campaign(variant, day, people, &mut dice),
                    _ => market::campaign(attack, variant, day, people, &mut dice),
                };
                campaigns.push(Newcomer { at_us, nature: Nature::Attacker(attack, variant), agent });
            }
        }
    }
    campaigns
}

/// One at a desk who steals.
pub(super) struct Thief {
    pub(super) venue: u16,
    pub(super) desk: u64,
    pub(super) days: Vec<i64>,
    pub(super) variant: Variant,
}

impl Thief {
    pub(super) const fn theft(&self) -> Theft {
        match self.variant {
            Variant::Plain => Theft::AtTheEnd,
            Variant::Adaptive => Theft::Spread,
        }
    }
}

/// Who steals, and when.
pub(super) fn thieves(settings: Settings) -> Vec<Thief> {
    let mut dice = Dice::of(settings.seed, 0xa77a_ffff);
    let mut thieves: Vec<Thief> = Vec::new();
    for (variant, count) in Variant::ALL.into_iter().zip(THIEVES) {
        for _ in 0..count {
            // At the larger sites, where a drawer holds enough; no two at one desk.
            let (venue, desk) = loop {
                let place = (dice.between(1, VENUES.len() as i64 / 2) as u16, dice.between(0, DESKS_PER_VENUE as i64 - 1).unsigned_abs());
                if thieves.iter().all(|thief| (thief.venue, thief.desk) != place) {
                    break place;
                }
            };
            let days = (0..i64::from(settings.days)).filter(|_| dice.chance(STEALS)).collect();
            thieves.push(Thief { venue, desk, days, variant });
        }
    }
    thieves
}

/// The first day from this one on at which sought-after slots of a weekend open.
fn opening_day(day: i64) -> i64 {
    (day..day + 7).find(|day| (day + SOUGHT_OPENS_DAYS).rem_euclid(7) >= 5).unwrap_or(day)
}

/// Some sought-after slots that open on a day, in the order in which they open.
fn opening_slots(day: i64, count: usize, dice: &mut Dice) -> Vec<Slot> {
    let venue = sought_venue(dice);
    let first = dice.between(0, 3);
    (0..count as i64).map(|index| Slot::of(venue.number, day + SOUGHT_OPENS_DAYS, (first + index).rem_euclid(10))).collect::<Vec<_>>()
}

/// A time on a day of the world.
const fn time_us(day: i64, after_s: i64) -> i64 {
    (BEGINS_S + day * DAY_S + after_s) * SECOND_US
}

/// When the first slots open.
const OPENING_S: i64 = FIRST_SLOT_S;
/// How far apart they open.
const OPENING_STEP_S: i64 = SLOT_S;
