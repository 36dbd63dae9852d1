//! What the models need of a museum: its attendance as numbered days, what its days are, what stands on its books. All of it as known at the end of yesterday, but
//! for the books of now.

use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::{Date, date};
use tornello_engine::attendance::{Attendance, Look, Provenance};
use tornello_engine::calendar;
use tornello_engine::museum::Museum;
use tornello_models::outlook::{Books, DayKind, History};

use super::AHEAD_DAYS;
use crate::museums::Known;
use crate::node::Node;
use crate::sensors::building_day;

/// No more of the past is looked at than so many days.
const PAST_DAYS: i32 = 1_130;
/// Days of a museum that say something of how full museums are.
const MONTH: usize = 28;
/// So many days of the same kind must have been looked at for the books to say something.
const LOOKED_AT: usize = 3;

/// The number of a day since 1970-01-01.
#[must_use]
pub fn number(day: Date) -> i32 {
    day.since(date(1970, 1, 1)).map_or(0, |span| span.get_days())
}

/// A museum's history up to yesterday, and its days to come.
#[must_use]
pub fn history(known: &Known, attendance: &Attendance, today: Date, fill: f64) -> History {
    let museum = &known.museum;
    let oldest = today.saturating_sub(PAST_DAYS.days());
    let first = attendance.days().range(oldest..today).next().map_or(today, |(date, _)| *date);
    let past = || first.series(1.day()).take_while(|date| *date < today);
    let people = |date: &Date| attendance.days().get(date).map(|day| f64::from(day.people));
    let ahead = today.series(1.day()).take(AHEAD_DAYS as usize + 1);
    let days = past().map(|date| (date, people(&date) == Some(0.0))).chain(ahead.map(|date| (date, false)));
    let kinds: Vec<DayKind> = days.map(|(date, was_empty)| kind(museum, date, was_empty)).collect();
    // Nobody on a closed day, or on one that was called off, says nothing of open ones.
    let was_shut = |date: Date, kind: &DayKind| kind.closed || was_called_off(attendance, date);
    let visitors = past().zip(&kinds).map(|(date, kind)| people(&date).filter(|people| *people > 0.0 || !was_shut(date, kind))).collect();
    // Of the fullest day of a week, as `fill` is: from the first day on that the plan opens, which need not be this one or the next.
    let places = |date: Date| known.day(date).iter().fold(0_u32, |sum, slot| sum.saturating_add(slot.capacity));
    let to_come = today.series(1.day()).take(AHEAD_DAYS as usize + 1).map(places);
    let most = to_come.skip_while(|places| *places == 0).take(7).max().unwrap_or(0);
    History { first: number(first), visitors, kinds, prior: fill * f64::from(most.max(1)) }
}

/// Whether a day was called off, though the plan opens it: nobody is counted only then, as a day on which nobody looked is not counted at all.
pub fn was_called_off(attendance: &Attendance, date: Date) -> bool {
    attendance.days().get(&date).is_some_and(|day| day.people == 0 && day.provenance == Provenance::Counted)
}

/// What a day is. Before there was a plan, a day without anybody was a closed one.
pub fn kind(museum: &Museum, date: Date, was_empty: bool) -> DayKind {
    let closed = match museum.plan_on(date) {
        Some((_, plan)) => plan.routes.iter().all(|route| route.sessions_on(date).is_empty()),
        None => was_empty,
    };
    let patron = museum.profile().and_then(|profile| profile.patron).is_some_and(|patron| patron.falls_on(date));
    let holiday = calendar::holiday(date).is_some() || calendar::is_easter(date) || patron;
    let free = museum.tariff_on(date).map_or_else(|| calendar::first_sunday_of_month(date), |(_, tariff)| tariff.free_days.on(date).is_some());
    DayKind { closed, holiday, free }
}

/// What stands on the books for a day, and what days of the same kind had as early.
#[must_use]
pub fn books(history: &History, looks: impl Fn(Date) -> Vec<Look>, day: i32, booked: u32) -> Option<Books> {
    let origin = history.last();
    let ahead = f64::from(day - origin);
    let mut sums = (0.0, 0.0, 0_usize);
    for other in history.alike(day, origin) {
        let date = date(1970, 1, 1).saturating_add(other.days());
        let looks = looks(date);
        // The looks before and after this lead, between which the books are thought to have grown evenly.
        let sooner = looks.iter().filter(|look| f64::from(look.ahead) <= ahead).max_by_key(|look| look.ahead);
        let earlier = looks.iter().filter(|look| f64::from(look.ahead) >= ahead).min_by_key(|look| look.ahead);
        let then = match (sooner, earlier) {
            (Some(sooner), Some(earlier)) if sooner.ahead < earlier.ahead => {
                let share = (f64::from(earlier.ahead) - ahead) / f64::from(earlier.ahead - sooner.ahead);
                share * f64::from(sooner.booked) + (1.0 - share) * f64::from(earlier.booked)
            }
            (Some(look), _) | (None, Some(look)) => f64::from(look.booked),
            (None, None) => continue,
        };
        let came = usize::try_from(other - history.first).ok().and_then(|place| history.visitors.get(place)).copied().flatten();
        sums = (sums.0 + then, sums.1 + came.unwrap_or(0.0), sums.2 + 1);
    }
    let count = sums.2 as f64;
    let usual = (sums.2 >= LOOKED_AT).then(|| (sums.0 / count, sums.1 / count));
    (booked > 0 || usual.is_some()).then_some(Books { booked: f64::from(booked), usual })
}

/// Visitors of an open day for each place, over all museums that were counted for a month.
#[must_use]
pub fn fill(node: &Node, all: &[Arc<Known>]) -> Option<f64> {
    let today = building_day(node.now());
    let (mut ratios, mut count) = (0.0, 0.0);
    for known in all {
        let attendance = node.attended().get(known.museum.id());
        let last: Vec<f64> = attendance.days().values().rev().filter(|day| day.people > 0).take(MONTH).map(|day| f64::from(day.people)).collect();
        let places = (0..7).map(|ahead: i32| known.day(today.saturating_add(ahead.days())).iter().map(|slot| slot.capacity).sum::<u32>()).max();
        if let Some(places) = places.filter(|places| *places > 0 && last.len() == MONTH) {
            ratios += last.iter().sum::<f64>() / MONTH as f64 / f64::from(places);
            count += 1.0;
        }
    }
    (count > 0.0).then(|| (ratios / count).clamp(0.01, 1.0))
}
