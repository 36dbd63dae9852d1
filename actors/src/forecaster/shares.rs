//! How a day's visitors spread over its slots: as on the last counted days of the same part of the week on which these were open, and as the places are where little
//! was counted; never beyond a slot's places, and never fewer than are booked, unless it is called off.

use std::collections::HashMap;

use jiff::civil::{Date, Weekday};
use tornello_engine::attendance::{Attendance, SlotCount};
use tornello_engine::ids::RouteId;
use tornello_models::outlook::Outlook;

use super::{SlotForecast, minute_of_day};

/// The places weigh as much as so many counted visitors.
const PLACES_WEIGH: f64 = 40.0;
/// By how much wider than the day's a slot's band is: people choose their hour by chance.
const SPREAD: f64 = 1.5;
/// Of those who have booked nearly all come.
const SHOWS: f64 = 0.92;
const Z_80: f64 = 1.281_552;
const Z_95: f64 = 1.959_964;

/// Splits a day over its slots. What does not fit is taken off the day as well: nobody comes who cannot have a ticket. The plan
/// of the day holds `since` some other one.
pub fn split(outlook: &mut Outlook, slots: &mut [SlotForecast], attendance: &Attendance, date: Date, since: Option<Date>) {
    let room: f64 = slots.iter().map(most).sum();
    let cap = |value: f64| value.min(room);
    outlook.mid = cap(outlook.mid);
    outlook.band_80 = (cap(outlook.band_80.0), cap(outlook.band_80.1));
    outlook.band_95 = (cap(outlook.band_95.0), cap(outlook.band_95.1));
    let weights = weights(slots, attendance, date, since);
    let mids = fill(outlook.mid, slots, &weights);
    let relative = |end: f64| if outlook.mid > 0.0 { (end - outlook.mid) / outlook.mid } else { 0.0 };
    let ends = [(outlook.band_80, Z_80), (outlook.band_95, Z_95)].map(|((low, high), z)| (relative(low), relative(high), z));
    for (slot, mid) in slots.iter_mut().zip(mids) {
        let most = most(slot);
        let end = |day: f64, z: f64| ((day * mid).powi(2) + SPREAD * z * z * mid).sqrt();
        let [band_80, band_95] = ends.map(|(low, high, z)| ((mid - end(low, z)).max(0.0), (mid + end(high, z)).min(most)));
        (slot.mid, slot.band_80, slot.band_95) = (mid, band_80, band_95);
    }
}

/// Puts who came in the place of what was thought of slots that are over, and takes the difference off the day: what is still to come stays, and so does its share of
/// the day's bands.
pub fn count(outlook: &mut Outlook, slots: &mut [SlotForecast]) {
    let thought: f64 = slots.iter().map(|slot| slot.mid).sum();
    let (mut came_sum, mut to_come) = (0.0, 0.0);
    let mut any = false;
    for slot in slots {
        let Some(came) = slot.came.map(f64::from) else {
            to_come += slot.mid;
            continue;
        };
        (slot.mid, slot.band_80, slot.band_95, slot.shows) = (came, (came, came), (came, came), (came, 0.0));
        came_sum += came;
        any = true;
    }
    if !any {
        return;
    }
    let mid = outlook.mid;
    let left = if thought > 0.0 { to_come / thought } else { 0.0 };
    let end = |end: f64| (came_sum + to_come + left * (end - mid)).max(came_sum);
    outlook.band_80 = (end(outlook.band_80.0), end(outlook.band_80.1));
    outlook.band_95 = (end(outlook.band_95.0), end(outlook.band_95.1));
    outlook.mid = came_sum + to_come;
}

/// The most who come by a slot: more than it has places have booked where places were taken away since.
fn most(slot: &SlotForecast) -> f64 {
    f64::from(slot.capacity.max(slot.awaited()))
}

/// What each slot usually has of a day: of those on which it was open, as far as that is known. A museum that opens in the evening has counted none of it yet.
fn weights(slots: &[SlotForecast], attendance: &Attendance, date: Date, since: Option<Date>) -> Vec<f64> {
    let is_weekend = |date: Date| matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday);
    let is_alike = |day: Date, slots: usize| slots > 0 && is_weekend(day) == is_weekend(date);
    let days: Vec<(Date, &[SlotCount])> = attendance
        .details()
        .iter()
        .filter(|(day, detail)| is_alike(**day, detail.slots.len()))
        .map(|(day, detail)| (*day, detail.slots.as_slice()))
        .collect();
    // How many came by each, and the first day on which anybody did.
    let mut counted: HashMap<(RouteId, u16), (f64, Date)> = HashMap::new();
    let mut sum = 0.0;
    for (day, slots) in &days {
        for slot in *slots {
            let came = f64::from(if slot.admitted > 0 { slot.admitted } else { slot.sold });
            counted.entry((slot.route, slot.from_min)).or_insert((0.0, *day)).0 += came;
            sum += came;
        }
    }
    // So many days have as many visitors as the places weigh.
    let weigh = if sum > 0.0 { PLACES_WEIGH * days.len() as f64 / sum } else { 1.0 };
    let places: f64 = slots.iter().map(|slot| f64::from(slot.capacity)).sum::<f64>().max(1.0);
    let share = |slot: &SlotForecast| {
        let own = counted.get(&(slot.slot.route(), minute_of_day(slot.slot.start())));
        let first = own.map(|(_, first)| *first).into_iter().chain(since).min();
        let open = days.iter().filter(|(day, _)| first.is_none_or(|first| first <= *day)).count();
        (own.map_or(0.0, |(came, _)| *came) + PLACES_WEIGH * f64::from(slot.capacity) / places) / (open as f64 + weigh)
    };
    slots.iter().map(|slot| if slot.capacity == 0 { 0.0 } else { share(slot) }).collect()
}

/// Deals a day out by weight, each slot between those who have booked and its places; what one cannot take the others get.
fn fill(day: f64, slots: &[SlotForecast], weights: &[f64]) -> Vec<f64> {
    let least: Vec<f64> = slots.iter().map(|slot| (SHOWS * f64::from(slot.awaited())).min(day)).collect();
    let most: Vec<f64> = slots.iter().map(most).collect();
    let booked: f64 = least.iter().sum();
    if booked >= day {
        // More have booked than are thought to come: all of them are a little less.
        let factor = if booked > 0.0 { day / booked } else { 0.0 };
        return least.iter().map(|people| people * factor).collect();
    }
    // The level at which weight times level, held between both ends, adds up to the day: found by halving, as it only grows.
    let at =
        |level: f64| weights.iter().zip(least.iter().zip(&most)).map(move |(weight, (least, most))| (weight * level).clamp(*least, most.max(*least)));
    let (mut low, mut high) = (0.0, day.max(1.0));
    while at(high).sum::<f64>() < day && high < 1e12 {
        high *= 2.0;
    }
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if at(middle).sum::<f64>() < day { low = middle } else { high = middle }
    }
    at(high).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use tornello_engine::ids::{MuseumId, SlotId};
    use tornello_engine::time::Timestamp;
    use tornello_models::outlook::Reasons;

    fn slots(of: &[(u32, u32)]) -> Vec<SlotForecast> {
        let slot = |(hour, (booked, capacity)): (i64, &(u32, u32))| {
            let start = Timestamp::from_seconds(1_781_078_400 + hour * 3_600);
            SlotForecast::blank(SlotId::new(MuseumId(1), RouteId(1), start), start.plus_seconds(3_600), *booked, *capacity)
        };
        (0..).zip(of).map(slot).collect()
    }

    fn outlook(mid: f64) -> Outlook {
        let reasons = Reasons { level: mid, kind: 1.0, season: 1.0, books: 1.0 };
        Outlook { mid, band_80: (0.8 * mid, 1.3 * mid), band_95: (0.6 * mid, 1.6 * mid), reasons }
    }

    #[test]
    fn slots_that_are_over_have_who_came_and_the_others_what_they_had() {
        let attendance = Attendance::new(MuseumId(1));
        let split = |came: [Option<u32>; 3]| {
            let (mut outlook, mut slots) = (outlook(90.0), slots(&[(4, 50), (0, 50), (0, 50)]));
            slots.iter_mut().zip(came).for_each(|(slot, came)| slot.came = came);
            split(&mut outlook, &mut slots, &attendance, date(2026, 6, 10), None);
            count(&mut outlook, &mut slots);
            (outlook, slots)
        };
        let (whole, before) = split([None; 3]);
        assert!((whole.mid - 90.0).abs() < 1e-6 && (whole.band_80.1 - 117.0).abs() < 1e-6, "{whole:?}");
        let (day, slots) = split([Some(4), Some(0), None]);
        assert_eq!((slots[0].mid, slots[0].band_95, slots[1].mid, slots[1].band_80), (4.0, (4.0, 4.0), 0.0, (0.0, 0.0)));
        assert_eq!((slots[2], slots[0].shows), (before[2], (4.0, 0.0)), "what is to come stays");
        assert!((day.mid - 34.0).abs() < 1e-6, "{day:?}");
        // A third of the day is left, and of its doubt: 27 above and 18 below.
        assert!((day.band_80.1 - 43.0).abs() < 1e-6 && (day.band_80.0 - 28.0).abs() < 1e-6 && day.band_95.0 >= 4.0, "{day:?}");
        let (over, _) = split([Some(4), Some(0), Some(7)]);
        assert_eq!((over.mid, over.band_80, over.band_95), (11.0, (11.0, 11.0), (11.0, 11.0)));
    }

    #[test]
    fn slots_add_up_to_the_day_within_their_places_and_books() {
        let attendance = Attendance::new(MuseumId(1));
        let cases: [(f64, &[(u32, u32)]); 6] = [
            (100.0, &[(0, 50), (0, 50), (0, 100)]),
            (180.0, &[(0, 50), (0, 50), (0, 100)]),
            (400.0, &[(10, 50), (0, 50), (0, 100)]),
            (60.0, &[(50, 50), (0, 50), (0, 0)]),
            (20.0, &[(50, 50), (0, 50)]),
            (0.0, &[]),
        ];
        for (day, of) in cases {
            let (mut outlook, mut slots) = (outlook(day), slots(of));
            split(&mut outlook, &mut slots, &attendance, date(2026, 6, 10), None);
            let sum: f64 = slots.iter().map(|slot| slot.mid).sum();
            assert!((sum - outlook.mid).abs() < 1e-6, "{day}: {sum} {}", outlook.mid);
            for slot in &slots {
                assert!(slot.mid <= f64::from(slot.capacity.max(slot.booked)) + 1e-9, "{slot:?}");
                assert!(slot.band_95.0 <= slot.band_80.0 && slot.band_80.0 <= slot.mid && slot.band_80.1 <= slot.band_95.1, "{slot:?}");
                assert!(slot.capacity > 0 || slot.booked > 0 || slot.mid == 0.0, "who is closed has nobody");
            }
        }
    }
}
