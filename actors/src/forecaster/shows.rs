//! Who of those that have booked comes: learned from the days that were counted, told for each slot, with the places that will be left for whoever comes without a
//! ticket. Where a museum allows itself a risk, also how many more than the places may be sold; by default none, as capacity is fire safety.

use std::collections::HashMap;

use parking_lot::Mutex;
use tornello_engine::attendance::Attendance;
use tornello_engine::planning::Policy;
use tornello_models::cancellation::overbooking::{self, Overbooking};
use tornello_models::cancellation::shows::{Party, Shows, fit_phi};

use super::SlotForecast;

/// Before anything was counted: of a hundred people with a ticket so many come, and that weighs as much as so many counted ones.
const USUAL: f64 = 0.92;
const USUAL_WEIGHS: f64 = 200.0;
/// No slot is sold beyond its places by more than this share of them, whatever the model says.
const BEYOND_MAX: f64 = 0.15;
/// Larger slots are not sold beyond their places: what might come would take too long to add up.
const PLACES_MAX: u32 = 1_000;
/// What an empty place and a visitor turned away cost, in cents, where nobody says: assumptions, on the careful side.
const EMPTY_CENTS: u32 = 1_000;
const TURNED_AWAY_CENTS: u32 = 10_000;
/// People to the upper end of a 97.5% bound.
const Z_UPPER: f64 = 1.96;

/// Which share of people with a ticket comes, and by how much more slots differ than single people would.
#[derive(Debug)]
pub struct Rate {
    lost: f64,
    phi: f64,
    /// How many more may be sold, by places and risk: slots of a museum are mostly alike.
    beyond: Mutex<HashMap<(u32, u16), u32>>,
}

impl Rate {
    /// Of the slots that were counted, where gates scanned at all.
    pub fn of(attendance: &Attendance) -> Self {
        let counted = || attendance.details().values().flat_map(|detail| &detail.slots).filter(|slot| slot.admitted > 0 && slot.sold > 0);
        let (sold, came) = counted().fold((0.0, 0.0), |sum, slot| (sum.0 + f64::from(slot.sold), sum.1 + f64::from(slot.admitted.min(slot.sold))));
        let lost = 1.0 - (came + USUAL_WEIGHS * USUAL) / (sold + USUAL_WEIGHS);
        let pairs: Vec<(Shows, f64)> =
            counted().map(|slot| (Shows::of(&singles(slot.sold, lost), 1.0), f64::from(slot.admitted.min(slot.sold)))).collect();
        Self { lost, phi: fit_phi(&pairs), beyond: Mutex::default() }
    }

    /// How many of so many people come.
    pub fn mean(&self, booked: u32) -> f64 {
        f64::from(booked) * (1.0 - self.lost)
    }

    /// Tells of a slot who of those that have booked comes, and what follows.
    pub fn tell(&self, slot: &mut SlotForecast, policy: &Policy) {
        let shows = Shows::of(&singles(slot.booked, self.lost), self.phi);
        let sd = shows.variance.sqrt();
        slot.shows = (shows.mean, sd);
        let upper = (shows.mean + Z_UPPER * sd).min(f64::from(slot.booked));
        // Both are whole numbers of people below the capacity.
        slot.walk_in = (f64::from(slot.capacity) - upper).max(0.0).floor() as u32;
        slot.oversell = self.oversell(slot, policy);
    }

    /// How many more than the places may be sold of a slot that is nearly full.
    fn oversell(&self, slot: &SlotForecast, policy: &Policy) -> u32 {
        let (capacity, permille) = (slot.capacity, policy.turn_away_permille);
        if permille == 0 || !(1..=PLACES_MAX).contains(&capacity) || f64::from(slot.booked) < 0.9 * f64::from(capacity) {
            return 0;
        }
        if let Some(known) = self.beyond.lock().get(&(capacity, permille)) {
            return *known;
        }
        let beyond = self.most_beyond(capacity, f64::from(permille) / 1_000.0);
        self.beyond.lock().insert((capacity, permille), beyond);
        beyond
    }

    /// The most that each one more is within the risk: as the risk only grows with them, the end is found by halving.
    fn most_beyond(&self, capacity: u32, turn_away_max: f64) -> u32 {
        let people_max = (f64::from(capacity) * BEYOND_MAX).floor() as u32;
        let allowed = Overbooking::Within { turn_away_max, people_max, empty_cents: EMPTY_CENTS, turned_away_cents: TURNED_AWAY_CENTS };
        let next = Party { people: 1, lost: self.lost };
        let may = |more: u32| {
            let sold = singles(capacity + more - 1, self.lost);
            overbooking::decide(allowed, capacity, &sold, next, self.phi).is_ok_and(|decision| decision.accepted)
        };
        let (mut low, mut high) = (0, people_max);
        while low < high {
            let middle = (low + high).div_ceil(2);
            if may(middle) { low = middle } else { high = middle - 1 }
        }
        low
    }
}

/// People one by one: who booked together is not known here, and phi has it.
fn singles(people: u32, lost: f64) -> Vec<Party> {
    vec![Party { people: 1, lost }; people as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use tornello_engine::ids::{MuseumId, RouteId, SlotId};
    use tornello_engine::time::Timestamp;

    fn slot(booked: u32, capacity: u32) -> SlotForecast {
        let start = Timestamp::from_seconds(1_781_078_400);
        let (slot, none) = (SlotId::new(MuseumId(1), RouteId(1), start), (0.0, 0.0));
        SlotForecast {
            slot,
            end: start.plus_seconds(3_600),
            mid: 0.0,
            band_80: none,
            band_95: none,
            booked,
            capacity,
            shows: none,
            walk_in: 0,
            oversell: 0,
        }
    }

    #[test]
    fn nothing_is_sold_beyond_the_places_unless_the_museum_allows_the_risk() {
        let rate = Rate::of(&Attendance::new(MuseumId(1)));
        assert!((rate.mean(100) - 92.0).abs() < 1e-9);
        let told = |booked, permille| {
            let mut slot = slot(booked, 100);
            rate.tell(&mut slot, &Policy { turn_away_permille: permille, ..Policy::default() });
            slot
        };
        assert_eq!((told(100, 0).oversell, told(50, 50).oversell), (0, 0));
        let (careful, bold) = (told(100, 5), told(100, 50));
        assert!(careful.oversell <= bold.oversell && bold.oversell > 0 && bold.oversell <= 15, "{careful:?} {bold:?}");
        assert!(careful.walk_in >= 2 && careful.walk_in <= 8, "some of a hundred stay away: {careful:?}");
        assert_eq!(told(0, 0).walk_in, 100);
    }

    /// Slots sold as far as the rule says, and people who come or stay away by chance: nobody is turned away more often than the museum allows.
    #[test]
    fn nobody_is_turned_away_more_often_than_allowed() {
        let rate = Rate { lost: 0.08, phi: 1.0, beyond: Mutex::default() };
        let mut chance = tornello_models::fraud::chance::Chance::new(7);
        for permille in [5_u16, 20, 50] {
            let mut full = slot(100, 100);
            rate.tell(&mut full, &Policy { turn_away_permille: permille, ..Policy::default() });
            let turned_away = (0..20_000).filter(|_| (0..100 + full.oversell).filter(|_| chance.unit() >= 0.08).count() > 100).count();
            let most = f64::from(permille) / 1_000.0;
            assert!(turned_away as f64 / 20_000.0 <= most + 3.0 * (most / 20_000.0).sqrt(), "{turned_away} of 20000 at {permille}");
        }
    }
}
