//! Where the agents go: the sites, their slots, places and prices, and when sales open. Invented; what the driver sets up in its museums is read from here, so that
//! both know the same. A day is a day of UTC; all sites open from 07:00 to 17:00, which is 9 to 19 o'clock in Rome while the world lasts.

use super::dice::Dice;

/// Seconds of a day.
pub const DAY_S: i64 = 86_400;
/// Microseconds of a second.
pub(super) const SECOND_US: i64 = 1_000_000;
/// When the world begins: Monday, 5 April 2027, 00:00 UTC. From here to the end of October no clock changes in Rome.
pub const BEGINS_S: i64 = 1_806_883_200;
/// The longest world, in days: until the clocks change.
pub const DAYS_MAX: u16 = 200;
/// When the first slot of a day starts, in seconds after midnight.
pub const FIRST_SLOT_S: i64 = 7 * 3_600;
/// How long a slot is.
pub const SLOT_S: i64 = 3_600;
/// How many slots a day has.
pub const SLOTS_PER_DAY: i64 = 10;
/// How long before its start a slot of a usual site is on sale: longer than anybody here plans ahead.
pub const SALE_OPENS_DAYS: i64 = 45;
/// How long before its start a slot of a sought-after site is on sale: short, as the sites do that fight bots, so that every slot has its opening.
pub const SOUGHT_OPENS_DAYS: i64 = 14;
/// How long a hold lives: the engine's usual time.
pub const HOLD_S: i64 = 900;
/// The largest party of one hold: a school class with its teachers.
pub const PARTY_MAX: u16 = 50;
/// The reduced price: 2 euros since 2019.
pub const REDUCED_CENTS: i64 = 200;

/// A site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Venue {
    /// Its number, from 1.
    pub number: u16,
    /// Places of a slot.
    pub capacity: u32,
    /// The price of a full ticket.
    pub full_cents: i64,
    /// How many of all visits come here, relative to the others.
    pub weight: u32,
    /// Whether its slots are worth more than they cost: those are what bots come for.
    pub sought: bool,
    /// How many gates it has.
    pub gates: u8,
}

/// The sites: three that everybody wants to see, nine as there are many. Capacities are such that the three sell out their weekends and the others do not.
pub const VENUES: [Venue; 12] = [
    Venue { number: 1, capacity: 90, full_cents: 1_800, weight: 26, sought: true, gates: 4 },
    Venue { number: 2, capacity: 75, full_cents: 2_500, weight: 20, sought: true, gates: 4 },
    Venue { number: 3, capacity: 40, full_cents: 1_500, weight: 12, sought: true, gates: 2 },
    Venue { number: 4, capacity: 90, full_cents: 1_200, weight: 9, sought: false, gates: 3 },
    Venue { number: 5, capacity: 80, full_cents: 1_600, weight: 8, sought: false, gates: 2 },
    Venue { number: 6, capacity: 60, full_cents: 1_000, weight: 6, sought: false, gates: 2 },
    Venue { number: 7, capacity: 60, full_cents: 1_000, weight: 5, sought: false, gates: 2 },
    Venue { number: 8, capacity: 50, full_cents: 800, weight: 4, sought: false, gates: 2 },
    Venue { number: 9, capacity: 50, full_cents: 700, weight: 3, sought: false, gates: 2 },
    Venue { number: 10, capacity: 40, full_cents: 600, weight: 3, sought: false, gates: 1 },
    Venue { number: 11, capacity: 40, full_cents: 600, weight: 2, sought: false, gates: 1 },
    Venue { number: 12, capacity: 30, full_cents: 500, weight: 2, sought: false, gates: 1 },
];

/// How many of a day's visits come to each slot, relative to the others: late morning most of all.
const HOURS: [u32; SLOTS_PER_DAY as usize] = [8, 13, 15, 12, 9, 9, 12, 11, 7, 4];
/// How many visits a weekday has, relative to the others, from Monday: weekends count double, Mondays are weak.
pub(super) const WEEKDAYS: [f64; 7] = [0.6, 0.8, 0.85, 0.85, 1.0, 1.6, 1.3];

/// A slot of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The site's number.
    pub venue: u16,
    /// When it starts.
    pub start_s: i64,
}

impl Slot {
    /// The slot of a site with this place in a day of the world, both from 0.
    #[must_use]
    pub const fn of(venue: u16, day: i64, index: i64) -> Self {
        Self { venue, start_s: BEGINS_S + day * DAY_S + FIRST_SLOT_S + index * SLOT_S }
    }

    /// Its site.
    #[must_use]
    pub fn venue(&self) -> &'static Venue {
        &VENUES[usize::from(self.venue.clamp(1, VENUES.len() as u16)) - 1]
    }

    /// When its sale opens.
    #[must_use]
    pub fn opens_s(&self) -> i64 {
        self.start_s - DAY_S * if self.venue().sought { SOUGHT_OPENS_DAYS } else { SALE_OPENS_DAYS }
    }

    /// Which day of the world it is on.
    #[must_use]
    pub const fn day(&self) -> i64 {
        (self.start_s - BEGINS_S).div_euclid(DAY_S)
    }

    /// The slot of the same site so many slots later that day, or earlier, around the day's end.
    pub(super) const fn beside(&self, by: i64) -> Self {
        let index = ((self.start_s - BEGINS_S).rem_euclid(DAY_S) - FIRST_SLOT_S) / SLOT_S;
        Self::of(self.venue, self.day(), (index + by).rem_euclid(SLOTS_PER_DAY))
    }
}

/// The day of the world at a time, from 0.
#[must_use]
pub const fn day_of(at_us: i64) -> i64 {
    (at_us / SECOND_US - BEGINS_S).div_euclid(DAY_S)
}

/// A site, drawn by how many go there.
pub(super) fn some_venue(dice: &mut Dice) -> &'static Venue {
    &VENUES[dice.weighted(&VENUES.map(|venue| venue.weight))]
}

/// A sought-after site.
pub(super) fn sought_venue(dice: &mut Dice) -> &'static Venue {
    &VENUES[dice.weighted(&VENUES.map(|venue| if venue.sought { venue.weight } else { 0 }))]
}

/// A slot of a site on a day, drawn by how many come at which hour.
pub(super) fn some_slot(venue: &Venue, day: i64, dice: &mut Dice) -> Slot {
    Slot::of(venue.number, day, dice.weighted(&HOURS) as i64)
}
