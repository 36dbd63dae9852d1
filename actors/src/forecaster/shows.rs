//! Who of those that have booked comes: booking by booking where a model of them serves, else at the rate of the days that were counted; told for each slot, with the
//! places that will be left for whoever comes without a ticket. Where a museum allows itself a risk, also how many more than the places may be sold, and how likely
//! anybody is turned away then; by default none, as capacity is fire safety. `beyond` sells them where the museum says so.
//!
//! That risk must hold when the slot begins, whatever happens until then. So nobody counts as lost who may give a ticket back: the place is sold again. Only who
//! stands to the end and does not come makes room, and then each sale is within the risk and nothing that follows it, but another sale, raises it.

use std::collections::HashMap;

use parking_lot::Mutex;
use tornello_engine::attendance::Attendance;
use tornello_engine::ids::SlotId;
use tornello_engine::planning::Policy;
use tornello_models::cancellation::overbooking::{self, Overbooking};
use tornello_models::cancellation::shows::{Party, Shows, distribution, fit_phi};

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

/// The share that does not come is taken at the lower end of a 95% bound where more than the places are sold.
const Z_CAREFUL: f64 = 1.645;
/// Nothing is sold beyond the places before so many slots were counted: as many as it takes to know how much they differ.
const SLOTS_MIN: usize = 30;

/// The slot and the thousandths of people who will come where bookings are known one by one, the places, the most beyond them, and the risk that is allowed.
type Asked = (Option<(SlotId, u64)>, (u32, u32), u16);
/// Places, people who are sold to, and thousandths of people who will come.
type Sold = (u32, u32, u64);

/// Which share of people with a ticket comes, and by how much more slots differ than single people would.
#[derive(Debug)]
pub struct Rate {
    lost: f64,
    /// The same at the careful end of what is known.
    sure: f64,
    /// Of how many slots that is known.
    slots: usize,
    phi: f64,
    /// How many more may be sold and with what risk, by places and what is allowed: slots of a museum are mostly alike, but for those whose bookings are known.
    beyond: Mutex<HashMap<Asked, (u32, f64)>>,
    /// How likely anybody is turned away from a slot, as it was asked last.
    risks: Mutex<HashMap<SlotId, (Sold, f64)>>,
}

impl Rate {
    /// Of the slots that were counted, where gates scanned at all.
    pub fn of(attendance: &Attendance) -> Self {
        let counted = || attendance.details().values().flat_map(|detail| &detail.slots).filter(|slot| slot.admitted > 0 && slot.sold > 0);
        let (sold, came) = counted().fold((0.0, 0.0), |sum, slot| (sum.0 + f64::from(slot.sold), sum.1 + f64::from(slot.admitted.min(slot.sold))));
        let lost = 1.0 - (came + USUAL_WEIGHS * USUAL) / (sold + USUAL_WEIGHS);
        let pairs: Vec<(Shows, f64)> =
            counted().map(|slot| (Shows::of(&singles(slot.sold, lost), 1.0), f64::from(slot.admitted.min(slot.sold)))).collect();
        let phi = fit_phi(&pairs);
        let sure = (lost - Z_CAREFUL * (phi * lost * (1.0 - lost) / (sold + USUAL_WEIGHS)).sqrt()).max(0.0);
        Self { lost, sure, slots: pairs.len(), phi, beyond: Mutex::default(), risks: Mutex::default() }
    }

    /// The share of people with a ticket that does not come.
    pub const fn lost(&self) -> f64 {
        self.lost
    }

    /// The same at the careful end of what is known: at least so many do not come.
    pub const fn sure(&self) -> f64 {
        self.sure
    }

    /// How many of so many people come.
    pub fn mean(&self, booked: u32) -> f64 {
        f64::from(booked) * (1.0 - self.lost)
    }

    /// Tells of a slot who of those that have booked comes, and what follows; `known` are its parties with a factor on their variance, where somebody looked at them,
    /// and `standing` the same if all of them stand until it begins. Never more are sold than may be inside, where the museum has a ceiling.
    pub fn tell(&self, slot: &mut SlotForecast, policy: &Policy, ceiling: Option<u32>, known: Option<(Vec<Party>, f64)>, standing: Option<&[Party]>) {
        slot.by_booking = known.is_some();
        let (parties, phi) = known.unwrap_or_else(|| (singles(slot.booked, self.lost), self.phi));
        let shows = Shows::of(&parties, phi);
        let sd = shows.variance.sqrt();
        slot.shows = (shows.mean, sd);
        let upper = (shows.mean + Z_UPPER * sd).min(f64::from(slot.booked));
        // Both are whole numbers of people below the capacity.
        slot.walk_in = (f64::from(slot.capacity) - upper).max(0.0).floor() as u32;
        (slot.oversell, slot.turn_away) = self.oversell(slot, policy, ceiling.unwrap_or(u32::MAX), standing, phi);
    }

    /// The probability that more people come by a slot than it has places, if so many are sold to: they one by one with a factor on their variance, where they are
    /// known.
    pub fn risk(&self, slot: SlotId, places: u32, people: u32, standing: Option<(Vec<Party>, f64)>) -> f64 {
        let come = standing.as_ref().map_or(0, |(parties, _)| come(parties));
        let of = (places, people, come);
        if let Some((known, risk)) = self.risks.lock().get(&slot)
            && *known == of
        {
            return *risk;
        }
        let (parties, phi) = standing.unwrap_or_else(|| (singles(people, self.sure), self.phi));
        // More than can be added up: the careful answer.
        let risk = distribution(&parties, phi).map_or(1.0, |come| come.iter().skip(places as usize + 1).sum::<f64>().min(1.0));
        self.risks.lock().insert(slot, (of, risk));
        risk
    }

    /// How many more than the places may be sold of a slot that is nearly full, and the probability that anybody is turned away then.
    fn oversell(&self, slot: &SlotForecast, policy: &Policy, ceiling: u32, standing: Option<&[Party]>, phi: f64) -> (u32, f64) {
        let (capacity, permille) = (slot.capacity, policy.turn_away_permille);
        if permille == 0 || self.slots < SLOTS_MIN || !(1..=PLACES_MAX).contains(&capacity) || f64::from(slot.booked) < 0.9 * f64::from(capacity) {
            return (0, 0.0);
        }
        let most = (f64::from(capacity) * BEYOND_MAX).floor() as u32;
        let most = most.min(ceiling.saturating_sub(capacity));
        let of = (standing.map(|parties| (slot.slot, come(parties))), (capacity, most), permille);
        if let Some(known) = self.beyond.lock().get(&of) {
            return *known;
        }
        let beyond = self.most_beyond(capacity, most, f64::from(permille) / 1_000.0, standing.unwrap_or_default(), phi);
        self.beyond.lock().insert(of, beyond);
        beyond
    }

    /// The most that each one more is within the risk: as the risk only grows with them, the end is found by halving. Who has not booked yet is as others are.
    fn most_beyond(&self, capacity: u32, people_max: u32, turn_away_max: f64, sold: &[Party], phi: f64) -> (u32, f64) {
        let allowed = Overbooking::Within { turn_away_max, people_max, empty_cents: EMPTY_CENTS, turned_away_cents: TURNED_AWAY_CENTS };
        let next = Party { people: 1, lost: self.sure };
        let people: u32 = sold.iter().map(|party| party.people).sum();
        let may = |more: u32| {
            let mut sold = sold.to_vec();
            sold.extend(singles((capacity + more - 1).saturating_sub(people), self.sure));
            overbooking::decide(allowed, capacity, &sold, next, phi).ok().filter(|decision| decision.accepted).map(|decision| decision.turn_away)
        };
        let (mut low, mut high, mut risk) = (0, people_max, 0.0);
        while low < high {
            let middle = (low + high).div_ceil(2);
            match may(middle) {
                Some(turn_away) => (low, risk) = (middle, turn_away),
                None => high = middle - 1,
            }
        }
        (low, risk)
    }
}

/// People one by one: who booked together is not known here, and phi has it.
fn singles(people: u32, lost: f64) -> Vec<Party> {
    vec![Party { people: 1, lost }; people as usize]
}

/// Thousandths of people who come of these; at most 20,000 people, so that nothing wraps.
fn come(parties: &[Party]) -> u64 {
    (Shows::of(parties, 1.0).mean * 1_000.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use tornello_engine::ids::{MuseumId, RouteId};
    use tornello_engine::time::Timestamp;

    fn slot(booked: u32, capacity: u32) -> SlotForecast {
        let start = Timestamp::from_seconds(1_781_078_400);
        SlotForecast::blank(SlotId::new(MuseumId(1), RouteId(1), start), start.plus_seconds(3_600), booked, capacity)
    }

    fn risks(permille: u16) -> Policy {
        Policy { turn_away_permille: permille, ..Policy::default() }
    }

    /// As if so many slots had been counted.
    fn counted(slots: usize, lost: f64) -> Rate {
        Rate { lost, sure: lost, slots, phi: 1.0, beyond: Mutex::default(), risks: Mutex::default() }
    }

    #[test]
    fn nothing_is_sold_beyond_the_places_before_enough_was_counted() {
        let none = Rate::of(&Attendance::new(MuseumId(1)));
        assert!((none.mean(100) - 92.0).abs() < 1e-9);
        assert!(none.sure() < none.lost() && none.sure() > 0.0);
        for (rate, expected) in [(none, false), (counted(SLOTS_MIN - 1, 0.08), false), (counted(SLOTS_MIN, 0.08), true)] {
            let mut full = slot(100, 100);
            rate.tell(&mut full, &risks(50), None, None, None);
            assert_eq!(full.oversell > 0, expected, "{rate:?}");
        }
    }

    #[test]
    fn nothing_is_sold_beyond_the_places_unless_the_museum_allows_the_risk() {
        let rate = counted(SLOTS_MIN, 0.08);
        let told = |booked, permille| {
            let mut slot = slot(booked, 100);
            rate.tell(&mut slot, &risks(permille), None, None, None);
            slot
        };
        assert_eq!((told(100, 0).oversell, told(50, 50).oversell), (0, 0));
        let (careful, bold) = (told(100, 5), told(100, 50));
        assert!(careful.oversell <= bold.oversell && bold.oversell > 0 && bold.oversell <= 15, "{careful:?} {bold:?}");
        assert!(careful.walk_in >= 2 && careful.walk_in <= 8, "some of a hundred stay away: {careful:?}");
        assert_eq!(told(0, 0).walk_in, 100);
    }

    #[test]
    fn known_bookings_count_and_nobody_is_sold_beyond_the_ceiling() {
        let rate = counted(SLOTS_MIN, 0.08);
        let told = |lost: f64, ceiling: Option<u32>| {
            let mut slot = slot(100, 100);
            let parties = vec![Party { people: 2, lost }; 50];
            rate.tell(&mut slot, &risks(50), ceiling, Some((parties.clone(), 1.0)), Some(&parties));
            slot
        };
        let (sure, unsure) = (told(0.01, None), told(0.3, None));
        assert!(sure.by_booking && (sure.shows.0 - 99.0).abs() < 1e-9 && (unsure.shows.0 - 70.0).abs() < 1e-9);
        assert!(sure.walk_in < unsure.walk_in && sure.oversell < unsure.oversell, "{sure:?} {unsure:?}");
        assert_eq!((told(0.3, Some(100)).oversell, told(0.3, Some(60)).oversell), (0, 0));
        assert!(told(0.3, Some(103)).oversell <= 3);
    }

    /// A place that is given back is sold again: who may still do that makes no room, only who stands to the end and does not come.
    #[test]
    fn who_may_give_a_ticket_back_makes_no_room() {
        let rate = counted(SLOTS_MIN, 0.0);
        let mut full = slot(100, 100);
        let parties = |lost| vec![Party { people: 1, lost }; 100];
        rate.tell(&mut full, &risks(50), None, Some((parties(0.4), 1.0)), Some(&parties(0.0)));
        assert_eq!((full.oversell, full.turn_away, full.walk_in > 0), (0, 0.0, true), "{full:?}");
    }

    #[test]
    fn the_risk_of_what_is_sold_is_that_of_more_people_than_places() {
        let rate = counted(SLOTS_MIN, 0.5);
        let id = slot(0, 2).slot;
        assert_eq!((rate.risk(id, 2, 2, None), rate.risk(id, 2, 0, None)), (0.0, 0.0));
        assert!((rate.risk(id, 2, 3, None) - 0.125).abs() < 1e-12);
        assert!((rate.risk(id, 2, 3, None) - 0.125).abs() < 1e-12, "asked again");
        let pair = vec![Party { people: 2, lost: 0.5 }, Party { people: 1, lost: 0.0 }];
        assert!((rate.risk(id, 2, 3, Some((pair, 1.0))) - 0.5).abs() < 1e-12);
        assert!((rate.risk(id, 2, 30_000, None) - 1.0).abs() < 1e-12, "more than can be added up");
    }

    /// Slots sold as far as the rule says, and people who come or stay away by chance: nobody is turned away more often than the museum allows.
    #[test]
    fn nobody_is_turned_away_more_often_than_allowed() {
        let rate = counted(SLOTS_MIN, 0.08);
        let mut chance = tornello_models::fraud::chance::Chance::new(7);
        for permille in [5_u16, 20, 50] {
            let mut full = slot(100, 100);
            rate.tell(&mut full, &risks(permille), None, None, None);
            assert!(full.turn_away > 0.0 && full.turn_away <= f64::from(permille) / 1_000.0, "{full:?}");
            let turned_away = (0..20_000).filter(|_| (0..100 + full.oversell).filter(|_| chance.unit() >= 0.08).count() > 100).count();
            let most = f64::from(permille) / 1_000.0;
            assert!(turned_away as f64 / 20_000.0 <= most + 3.0 * (most / 20_000.0).sqrt(), "{turned_away} of 20000 at {permille}");
        }
    }
}
