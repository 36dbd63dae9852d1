//! What would be if: the same forecast and the same lines under another capacity, other hours, another price or another staff.
//!
//! Each slot has a demand without limit, of which the slot takes what fits; a share of those who find it full come to a neighbouring slot, the rest is refused. A
//! price works by a stated elasticity: it is an assumption of whoever asks, never something that was learned here. What people wait follows from the desks.

use serde::{Deserialize, Serialize};

use crate::occupancy::stay::upper_tail;
use crate::staffing::queue::Line;

/// A slot as it is forecast, without any limit of places.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// When it begins, in minutes of its day.
    pub begins_min: u32,
    /// Its length in minutes.
    pub minutes: u32,
    /// How many want to come.
    pub demand: f64,
    /// One standard deviation of that.
    pub sd: f64,
    /// Its places.
    pub capacity: f64,
}

/// What is assumed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Assumptions {
    /// Percent of demand that one percent of price costs: below zero.
    pub price_elasticity: f64,
    /// Share of those who find a slot full that take the one beside it.
    pub shifts: f64,
    /// Share of a day's demand that one percent more hours brings, in percent: 0 only spreads it, 1 brings as much as the hours grow.
    pub hours_elasticity: f64,
    /// Share of visitors who pay.
    pub paying: f64,
}

/// What is changed; 1 and none leave things as they are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Places, as a factor.
    pub capacity: f64,
    /// Price, as a factor.
    pub price: f64,
    /// Minutes added before the first slot (below zero: taken away).
    pub opens_earlier_min: i32,
    /// Minutes added after the last slot (below zero: taken away).
    pub closes_later_min: i32,
}

impl Change {
    /// As it is.
    pub const NONE: Self = Self { capacity: 1.0, price: 1.0, opens_earlier_min: 0, closes_later_min: 0 };
}

/// The desks, and what a visitor pays.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Desks {
    /// How many are open.
    pub open: u32,
    /// Share of visitors who buy there.
    pub share: f64,
    /// People in a party.
    pub party: f64,
    /// How long one party is served, in seconds.
    pub service_s: f64,
    /// What a paying visitor pays on average, in cents, before any change.
    pub price_cents: i64,
}

/// What is to be expected of a day.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Visitors who want to come.
    pub demand: f64,
    /// Visitors who have a place.
    pub sold: f64,
    /// Visitors who find none.
    pub refused: f64,
    /// The mean wait at the desks in the busiest slot, in seconds; none: the line grows for as long as the slot lasts.
    pub busiest_wait_s: Option<f64>,
    /// Share of parties in the busiest slot that wait longer than five minutes.
    pub busiest_late: f64,
    /// What visitors pay, in cents.
    pub revenue_cents: i64,
}

/// The mean of what fits of a normal demand: E min(D, c) = m - E (D - c)+, with the normal loss function.
#[must_use]
pub fn fits(demand: f64, sd: f64, capacity: f64) -> f64 {
    if sd <= 1e-9 {
        return demand.min(capacity).max(0.0);
    }
    let z = (capacity - demand) / sd;
    let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    (demand - sd * (density - z * upper_tail(z))).clamp(0.0, capacity.max(0.0))
}

/// What is to be expected of a day under a change.
#[must_use]
pub fn outcome(slots: &[Slot], change: &Change, assumptions: &Assumptions, desks: &Desks) -> Outcome {
    let slots = changed(slots, change, assumptions);
    let mut sold: Vec<f64> = slots.iter().map(|slot| fits(slot.demand, slot.sd, slot.capacity)).collect();
    let mut full: Vec<f64> = slots.iter().zip(&sold).map(|(slot, sold)| (slot.demand - sold).max(0.0)).collect();
    for (i, full) in full.iter_mut().enumerate() {
        let (mut willing, beside) = (*full * assumptions.shifts.clamp(0.0, 1.0), [i.wrapping_sub(1), i + 1]);
        for j in beside.into_iter().filter(|j| *j < slots.len()) {
            let taken = willing.min((slots[j].capacity - sold[j]).max(0.0));
            sold[j] += taken;
            *full -= taken;
            willing -= taken;
        }
    }
    let lines = slots.iter().zip(&sold).map(|(slot, sold)| Line {
        arrivals_per_hour: sold * desks.share / desks.party.max(1.0) * 60.0 / f64::from(slot.minutes.max(1)),
        service_s: desks.service_s,
    });
    let busiest = lines.max_by(|one, other| one.arrivals_per_hour.total_cmp(&other.arrivals_per_hour));
    let visitors: f64 = sold.iter().sum();
    let price = desks.price_cents as f64 * change.price;
    Outcome {
        demand: slots.iter().map(|slot| slot.demand).sum(),
        sold: visitors,
        refused: full.iter().sum(),
        busiest_wait_s: busiest.map_or(Some(0.0), |line| line.mean_wait_s(desks.open)),
        busiest_late: busiest.map_or(0.0, |line| line.waits_longer(desks.open, 300.0)),
        revenue_cents: (visitors * assumptions.paying.clamp(0.0, 1.0) * price).round() as i64,
    }
}

/// The slots under a change: new ones look like the one that was first or last, and the day's demand spreads over all.
fn changed(slots: &[Slot], change: &Change, assumptions: &Assumptions) -> Vec<Slot> {
    let (Some(first), Some(last)) = (slots.first(), slots.last()) else { return Vec::new() };
    let length = f64::from(first.minutes.max(1));
    let more = |minutes: i32| (f64::from(minutes) / length).round() as i64;
    let (earlier, later) = (more(change.opens_earlier_min), more(change.closes_later_min));
    let away = |count: i64| usize::try_from(-count).unwrap_or(0);
    let kept = slots.iter().skip(away(earlier)).take(slots.len().saturating_sub(away(earlier)).saturating_sub(away(later)));
    let new = |slot: &Slot, count: i64| std::iter::repeat_n(*slot, usize::try_from(count).unwrap_or(0).min(48));
    let mut after: Vec<Slot> = new(first, earlier).chain(kept.copied()).chain(new(last, later)).collect();
    let minutes = |slots: &[Slot]| slots.iter().map(|slot| f64::from(slot.minutes)).sum::<f64>();
    let (before, now) = (minutes(slots), minutes(&after));
    let (wanted, shown): (f64, f64) = (slots.iter().map(|slot| slot.demand).sum(), after.iter().map(|slot| slot.demand).sum());
    if before <= 0.0 || now <= 0.0 || shown <= 0.0 {
        after.iter_mut().for_each(|slot| slot.capacity *= change.capacity.max(0.0));
        return after;
    }
    let by_hours = (now / before).powf(assumptions.hours_elasticity);
    let by_price = change.price.max(0.01).powf(assumptions.price_elasticity);
    let factor = wanted / shown * by_hours * by_price;
    for slot in &mut after {
        slot.demand *= factor;
        slot.sd *= factor;
        slot.capacity *= change.capacity.max(0.0);
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSUMED: Assumptions = Assumptions { price_elasticity: -0.3, shifts: 0.5, hours_elasticity: 0.2, paying: 0.8 };
    const DESKS: Desks = Desks { open: 3, share: 0.5, party: 2.0, service_s: 90.0, price_cents: 1_200 };

    fn day() -> Vec<Slot> {
        [40.0, 90.0, 140.0, 80.0]
            .iter()
            .zip(0..)
            .map(|(&demand, i)| Slot { begins_min: 540 + 60 * i, minutes: 60, demand, sd: 10.0, capacity: 100.0 })
            .collect()
    }

    fn with(change: Change) -> Outcome {
        outcome(&day(), &change, &ASSUMED, &DESKS)
    }

    #[test]
    fn what_fits_is_never_more_than_either() {
        assert!((fits(100.0, 10.0, 100.0) - (100.0 - 10.0 * 0.398_942_3)).abs() < 1e-4, "the loss at the mean is phi(0) sd");
        assert_eq!((fits(50.0, 0.0, 80.0), fits(90.0, 0.0, 80.0), fits(1e6, 1.0, 80.0)), (50.0, 80.0, 80.0));
        assert!((fits(50.0, 5.0, 1e6) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn everybody_who_wants_to_come_is_sold_a_place_or_refused() {
        for change in [Change::NONE, Change { capacity: 0.5, ..Change::NONE }, Change { opens_earlier_min: 60, price: 1.2, ..Change::NONE }] {
            let after = with(change);
            assert!((after.demand - after.sold - after.refused).abs() < 1e-6, "{after:?}");
        }
    }

    #[test]
    fn each_change_works_in_its_own_direction() {
        let now = with(Change::NONE);
        assert!((now.demand - 350.0).abs() < 1e-9 && now.refused > 10.0 && now.refused < 30.0, "{now:?}");
        let larger = with(Change { capacity: 2.0, ..Change::NONE });
        assert!(larger.refused < 0.1 && larger.sold > now.sold && larger.revenue_cents > now.revenue_cents);
        let dearer = with(Change { price: 1.1, ..Change::NONE });
        assert!(dearer.demand < now.demand && dearer.demand > 0.96 * now.demand);
        let longer = with(Change { closes_later_min: 60, ..Change::NONE });
        assert!(longer.demand > now.demand && longer.refused < now.refused);
        let shorter = with(Change { closes_later_min: -120, ..Change::NONE });
        assert!(shorter.refused > now.refused);
        let fewer = outcome(&day(), &Change::NONE, &ASSUMED, &Desks { open: 1, ..DESKS });
        assert!(fewer.busiest_late > now.busiest_late);
        assert_eq!(outcome(&day(), &Change::NONE, &ASSUMED, &Desks { open: 0, ..DESKS }).busiest_wait_s, None);
    }

    #[test]
    fn a_closed_day_has_nothing() {
        assert_eq!(outcome(&[], &Change::NONE, &ASSUMED, &DESKS), Outcome { busiest_wait_s: Some(0.0), ..Outcome::default() });
        let gone = with(Change { closes_later_min: -6_000, ..Change::NONE });
        assert_eq!((gone.sold, gone.demand), (0.0, 0.0));
    }
}
