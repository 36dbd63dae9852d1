//! What would be if: the same forecast and the same lines under another capacity, other hours, another price or another staff.
//!
//! Each slot has a demand without limit, of which the slot takes what fits; a share of those who find it full come to a neighbouring slot, the rest is refused, and so
//! is whoever wanted to come when doors are shut now. A price works by a stated elasticity: it is an assumption of whoever asks, never something that was learned
//! here. What people wait follows from the desks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::occupancy::stay::upper_tail;
use crate::staffing::queue::Line;

const MINUTES_PER_DAY: i64 = 1_440;

/// A slot as it is forecast, without any limit of places. Those of one route do not overlap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// Which route it is of.
    pub route: u32,
    /// When it begins, in minutes of its day by the clock; those of the night after it count on.
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
    /// Percent of demand that one percent of price costs: below zero. Where entry is free as it is, no price does anything.
    pub price_elasticity: f64,
    /// A price below this share of today's does to demand what this one does, above 0: an elasticity says nothing of no price at all.
    pub price_least: f64,
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
    /// Minutes added before the first slot of each route (below zero: taken away).
    pub opens_earlier_min: i32,
    /// Minutes added after the last slot of each route (below zero: taken away).
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
    /// Visitors who want to come at that price, with those who would when doors are shut by the change: shorter hours, or none, make nobody want less.
    pub demand: f64,
    /// Visitors who have a place.
    pub sold: f64,
    /// Visitors who find no place, or shut doors.
    pub refused: f64,
    /// The mean wait at the desks when most come, in seconds; none: the line grows for as long as the slot lasts.
    pub busiest_wait_s: Option<f64>,
    /// Share of parties that then wait longer than five minutes.
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

/// What is to be expected of a day under a change. Every route opens and closes by its own clock, and whoever finds a slot full takes one of the same route.
#[must_use]
pub fn outcome(slots: &[Slot], change: &Change, assumptions: &Assumptions, desks: &Desks) -> Outcome {
    let (slots, shut_out) = changed(slots, change, assumptions, by_price(change, assumptions, desks));
    let mut sold: Vec<f64> = slots.iter().map(|slot| fits(slot.demand, slot.sd, slot.capacity)).collect();
    let mut full: Vec<f64> = slots.iter().zip(&sold).map(|(slot, sold)| (slot.demand - sold).max(0.0)).collect();
    for (i, full) in full.iter_mut().enumerate() {
        let (mut willing, beside) = (*full * assumptions.shifts.clamp(0.0, 1.0), [i.wrapping_sub(1), i + 1]);
        for j in beside.into_iter().filter(|j| slots.get(*j).is_some_and(|other| other.route == slots[i].route)) {
            let taken = willing.min((slots[j].capacity - sold[j]).max(0.0));
            sold[j] += taken;
            *full -= taken;
            willing -= taken;
        }
    }
    let busiest = Line { arrivals_per_hour: busiest_per_hour(&slots, &sold, desks), service_s: desks.service_s };
    let visitors = total(sold.iter().copied());
    let price = desks.price_cents as f64 * change.price;
    Outcome {
        demand: total(slots.iter().map(|slot| slot.demand)) + shut_out,
        sold: visitors,
        refused: total(full.iter().copied()) + shut_out,
        busiest_wait_s: busiest.mean_wait_s(desks.open),
        busiest_late: busiest.waits_longer(desks.open, 300.0),
        revenue_cents: (visitors * assumptions.paying.clamp(0.0, 1.0) * price).round() as i64,
    }
}

/// A sum that is 0 where there is nothing to add up: that of floats is -0 then.
fn total(values: impl Iterator<Item = f64>) -> f64 {
    values.sum::<f64>() + 0.0
}

/// What a price does to demand, as a factor: where entry is free, nothing.
fn by_price(change: &Change, assumptions: &Assumptions, desks: &Desks) -> f64 {
    if desks.price_cents <= 0 {
        return 1.0;
    }
    change.price.max(assumptions.price_least).max(f64::EPSILON).powf(assumptions.price_elasticity)
}

/// Parties an hour at the desks when most come, over all routes that run then.
fn busiest_per_hour(slots: &[Slot], sold: &[f64], desks: &Desks) -> f64 {
    let ends = |(slot, sold): (&Slot, &f64)| {
        let minutes = slot.minutes.max(1);
        let rate = sold * desks.share / desks.party.max(1.0) * 60.0 / f64::from(minutes);
        [(slot.begins_min, rate), (slot.begins_min.saturating_add(minutes), -rate)]
    };
    let mut ends: Vec<(u32, f64)> = slots.iter().zip(sold).flat_map(ends).collect();
    // Who leaves off makes room before the next begins.
    ends.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
    let (mut rate, mut most) = (0.0_f64, 0.0_f64);
    for (_, change) in ends {
        rate += change;
        most = most.max(rate);
    }
    most
}

/// The slots under a change, and how many wanted to come when doors are shut now. On each route the demand spreads over the slots that are left or new.
fn changed(slots: &[Slot], change: &Change, assumptions: &Assumptions, by_price: f64) -> (Vec<Slot>, f64) {
    let mut routes: BTreeMap<u32, Vec<Slot>> = BTreeMap::new();
    slots.iter().for_each(|slot| routes.entry(slot.route).or_default().push(*slot));
    let (mut after, mut shut_out) = (Vec::new(), 0.0);
    for mut route in routes.into_values() {
        route.sort_by_key(|slot| slot.begins_min);
        let open = reopened(&route, change);
        let demand = |slots: &[Slot]| total(slots.iter().map(|slot| slot.demand));
        let minutes = |slots: &[Slot]| total(slots.iter().map(|slot| f64::from(slot.minutes.max(1))));
        let (wanted, shown) = (demand(&route) * by_price, demand(&open));
        let come = if shown > 0.0 { wanted * (minutes(&open) / minutes(&route)).powf(assumptions.hours_elasticity) } else { 0.0 };
        shut_out += (wanted - come).max(0.0);
        let factor = if shown > 0.0 { come / shown } else { 0.0 };
        after.extend(open.into_iter().map(|slot| Slot {
            demand: slot.demand * factor,
            sd: slot.sd * factor,
            capacity: slot.capacity * change.capacity.max(0.0),
            ..slot
        }));
    }
    (after, shut_out)
}

/// The slots of a route in the order of their begins, by its own opening and closing under a change: new ones look like the one that was first or last. What is cut is
/// counted in minutes, and a slot of which a part is left has that part of its places. No route is open for more than a day, or from the evening before.
fn reopened(route: &[Slot], change: &Change) -> Vec<Slot> {
    let end = |slot: &Slot| i64::from(slot.begins_min) + i64::from(slot.minutes.max(1));
    let (Some(first), Some(last)) = (route.first(), route.iter().max_by_key(|slot| end(slot))) else { return Vec::new() };
    let (opens, closes) = (i64::from(first.begins_min), end(last));
    let room = (MINUTES_PER_DAY - (closes - opens)).max(0);
    let (earlier, later) = (i64::from(change.opens_earlier_min), i64::from(change.closes_later_min));
    let earlier = earlier.min(opens).min(room - later.min(0));
    let later = later.min(room - earlier);
    let (from, to) = (opens - earlier, closes + later);
    let kept = route.iter().filter_map(|slot| part(slot, i64::from(slot.begins_min).max(from), end(slot).min(to)));
    like(first, from, opens.min(to)).chain(kept).chain(like(last, closes.max(from), to)).collect()
}

/// A slot from one minute to another, with as large a part of what it has; none: nothing is left of it.
fn part(slot: &Slot, from: i64, to: i64) -> Option<Slot> {
    let minutes = u32::try_from(to - from).ok().filter(|minutes| *minutes > 0)?;
    let share = f64::from(minutes) / f64::from(slot.minutes.max(1));
    let begins_min = u32::try_from(from).ok()?;
    Some(Slot { begins_min, minutes, demand: slot.demand * share, sd: slot.sd * share, capacity: slot.capacity * share, ..*slot })
}

/// Slots like one, from one minute to another: the last of them may be shorter.
fn like(slot: &Slot, from: i64, to: i64) -> impl Iterator<Item = Slot> {
    let (slot, length) = (*slot, i64::from(slot.minutes.max(1)));
    (0..)
        .map(move |place| from + place * length)
        .take_while(move |begin| *begin < to)
        .filter_map(move |begin| part(&slot, begin, (begin + length).min(to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSUMED: Assumptions = Assumptions { price_elasticity: -0.3, price_least: 0.01, shifts: 0.5, hours_elasticity: 0.2, paying: 0.8 };
    const DESKS: Desks = Desks { open: 3, share: 0.5, party: 2.0, service_s: 90.0, price_cents: 1_200 };

    fn day() -> Vec<Slot> {
        [40.0, 90.0, 140.0, 80.0]
            .iter()
            .zip(0..)
            .map(|(&demand, i)| Slot { route: 1, begins_min: 540 + 60 * i, minutes: 60, demand, sd: 10.0, capacity: 100.0 })
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
    fn a_closed_day_has_nothing_and_who_finds_doors_shut_is_refused_as_who_finds_no_place() {
        let closed = outcome(&[], &Change::NONE, &ASSUMED, &DESKS);
        assert_eq!(closed, Outcome { busiest_wait_s: Some(0.0), ..Outcome::default() });
        assert!([closed.demand, closed.sold, closed.refused].iter().all(|figure| figure.is_sign_positive()), "{closed:?}");
        for change in [
            Change { closes_later_min: -6_000, ..Change::NONE },
            Change { opens_earlier_min: -720, closes_later_min: -720, ..Change::NONE },
            Change { capacity: 0.0, ..Change::NONE },
        ] {
            let gone = with(change);
            assert_eq!((gone.sold, gone.revenue_cents), (0.0, 0), "{change:?}");
            assert!((gone.demand - 350.0).abs() < 1e-9 && (gone.refused - 350.0).abs() < 1e-9, "{change:?}: {gone:?}");
        }
    }

    /// A route from ten to seven with slots of half an hour, and one around the clock with slots of an hour.
    fn two_routes() -> Vec<Slot> {
        let slot = |route, begins_min, minutes| Slot { route, begins_min, minutes, demand: f64::from(minutes), sd: 0.0, capacity: 100.0 };
        (0..18).map(|place| slot(1, 600 + 30 * place, 30)).chain((0..24).map(|hour| slot(2, 60 * hour, 60))).collect()
    }

    #[test]
    fn each_route_is_cut_and_extended_by_its_own_clock() {
        let of = |earlier: i32, later: i32| {
            let change = Change { opens_earlier_min: earlier, closes_later_min: later, ..Change::NONE };
            let (slots, shut_out) = changed(&two_routes(), &change, &Assumptions { hours_elasticity: 1.0, ..ASSUMED }, 1.0);
            let span = |route| {
                let own = || slots.iter().filter(move |slot| slot.route == route);
                let minutes: u32 = own().map(|slot| slot.minutes).sum();
                (own().map(|slot| slot.begins_min).min(), own().map(|slot| slot.begins_min + slot.minutes).max(), minutes)
            };
            let demand: f64 = slots.iter().map(|slot| slot.demand).sum();
            (span(1), span(2), demand, shut_out)
        };
        assert_eq!(of(0, 0), ((Some(600), Some(1_140), 540), (Some(0), Some(1_440), 1_440), 1_980.0, 0.0));
        assert_eq!(of(-720, -720), ((None, None, 0), (None, None, 0), 0.0, 1_980.0));
        // What runs around the clock cannot open for longer, and of the others it is the closing that moves.
        let (one, two, demand, shut_out) = of(0, 60);
        assert_eq!((one, two, shut_out), ((Some(600), Some(1_200), 600), (Some(0), Some(1_440), 1_440), 0.0));
        assert!((demand - 2_040.0).abs() < 1e-9, "{demand}");
        // As many minutes for both, whatever their slots; and of a slot a part may be left.
        let (one, two, demand, shut_out) = of(-45, -60);
        assert_eq!((one, two), ((Some(645), Some(1_080), 435), (Some(45), Some(1_380), 1_335)));
        assert!((demand - 1_770.0).abs() < 1e-9 && (shut_out - 210.0).abs() < 1e-9, "{demand} {shut_out}");
        // Nor does any open the evening before, or for more than a day.
        let (one, two, ..) = of(720, 720);
        assert_eq!((one, two), ((Some(0), Some(1_440), 1_440), (Some(0), Some(1_440), 1_440)));
        assert_eq!(of(i32::MAX, i32::MIN).0, (None, None, 0));
        assert_eq!(of(-60, 60).1, (Some(60), Some(1_500), 1_440), "a route may be open later instead");
    }

    #[test]
    fn a_part_of_a_slot_has_that_part_of_its_places_and_desks_serve_all_routes_at_once() {
        let change = Change { opens_earlier_min: 15, closes_later_min: -15, ..Change::NONE };
        let (slots, _) = changed(&two_routes(), &change, &ASSUMED, 1.0);
        let ends: Vec<(u32, f64)> = slots.iter().filter(|slot| slot.route == 1).map(|slot| (slot.minutes, slot.capacity)).collect();
        assert_eq!((ends.first(), ends.last(), ends.len()), (Some(&(15, 50.0)), Some(&(15, 50.0)), 19));
        let sold: Vec<f64> = two_routes().iter().map(|slot| slot.demand).collect();
        let desks = Desks { share: 1.0, party: 1.0, ..DESKS };
        assert!((busiest_per_hour(&two_routes(), &sold, &desks) - 120.0).abs() < 1e-9, "a visitor a minute on either route");
    }

    #[test]
    fn a_price_moves_nobody_where_entry_is_free_and_none_at_all_is_the_least_that_is_assumed() {
        let free = Desks { price_cents: 0, ..DESKS };
        let of = |price, desks: &Desks| outcome(&day(), &Change { price, ..Change::NONE }, &ASSUMED, desks);
        for price in [0.0, 0.5, 2.0] {
            assert_eq!(of(price, &free), outcome(&day(), &Change::NONE, &ASSUMED, &free), "{price}");
        }
        assert!(of(2.0, &DESKS).demand < 350.0);
        let (none, least) = (of(0.0, &DESKS), of(0.01, &DESKS));
        assert!((none.demand - least.demand).abs() < 1e-9 && (none.demand - 350.0 * 0.01_f64.powf(-0.3)).abs() < 1e-6 && none.revenue_cents == 0);
        let dear = Assumptions { price_least: 0.5, ..ASSUMED };
        assert!((outcome(&day(), &Change { price: 0.0, ..Change::NONE }, &dear, &DESKS).demand - 350.0 * 0.5_f64.powf(-0.3)).abs() < 1e-6);
    }
}
