//! Months ahead, for plan and budget: days that are forecast day by day as these say, the days beyond as their month has usually gone, on the days that the plan opens.

use std::collections::BTreeMap;

use jiff::ToSpan;
use jiff::civil::Date;
use tornello_engine::attendance::Attendance;
use tornello_models::demand::months::{self, Expected, Spread};

use super::{AHEAD_DAYS, Forecaster, sites};
use crate::attended::has_called_off;
use crate::museums::Known;
use crate::node::Node;
use crate::sensors::building_day;

/// How many months are forecast at most, this one among them.
pub const MONTHS_MAX: usize = 18;
/// A past month counts if so large a share of its open days was counted.
const COUNTED: f64 = 0.8;
/// No more of the past is looked at.
const PAST_MONTHS: i32 = 120;

/// The forecast of a month.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MonthForecast {
    /// Its first day.
    pub month: Date,
    /// How many will come: those who have come already are in it, and for open days that are over and were not counted what such a day usually has.
    pub expected: Expected,
    /// How many have come so far.
    pub came: u32,
    /// Days on which it is open, by the plan, or was: none that was called off.
    pub open_days: u32,
    /// How many came in the same month of the year before; none: it was not counted whole.
    pub year_before: Option<u32>,
}

impl Forecaster {
    /// This month and those after it, [`MONTHS_MAX`] at most.
    #[must_use]
    pub fn months(&self, node: &Node, known: &Known, count: usize) -> Vec<MonthForecast> {
        let attendance = node.attended().get(known.museum.id());
        let today = building_day(node.now());
        let days: BTreeMap<Date, (f64, bool)> =
            self.days(node, known, today, AHEAD_DAYS).into_iter().map(|day| (day.date, (day.outlook.mid, day.capacity > 0))).collect();
        // Of a museum without any plan it is only known that it was open when somebody came.
        let has_plan = known.museum.plan_on(Date::MAX).is_some();
        let this = today.first_of_month();
        let oldest = this.saturating_sub(PAST_MONTHS.months());
        let first = attendance.days().range(oldest..this).next().map_or(this, |(date, _)| date.first_of_month());
        let past: Vec<(Date, f64)> =
            first.series(1.month()).take_while(|month| *month < this).map(|month| (month, each_day(known, &attendance, month))).collect();
        let series: Vec<f64> = past[begin(&attendance, &past)..].iter().map(|(_, each)| *each).collect();
        let (count, spread) = (count.min(MONTHS_MAX), Spread::of(&series));
        // Where no month was counted whole, the days that are forecast say what a day is like.
        let mids = || days.values().map(|(mid, _)| *mid).filter(|mid| *mid > 0.0);
        let usual = mids().sum::<f64>() / mids().count().max(1) as f64;
        let far = if series.iter().any(|each| each.is_finite()) { months::forecast(&series, count) } else { vec![usual; count] };
        let month = |(ahead, each): (usize, f64)| {
            let month = this.saturating_add(i32::try_from(ahead).unwrap_or(0).months());
            let all = || month.series(1.day()).take_while(move |date| date.month() == month.month());
            let came = came_in(&attendance, month);
            let is_open = |date: &Date| match days.get(date) {
                Some((_, is_open)) => *is_open,
                // Until the night counts it, nothing but what was said of a day tells that it did not take place.
                None if has_plan => {
                    !sites::kind(&known.museum, *date, false).closed && !has_called_off(known, *date) && !sites::was_called_off(&attendance, *date)
                }
                None => attendance.days().get(date).is_some_and(|day| day.people > 0),
            };
            // Who came on a day that nobody counted is not known, but somebody did.
            let is_known = |date: &Date| *date < today && attendance.days().contains_key(date);
            let to_come = all().filter(|date| !is_known(date) && is_open(date)).map(|date| days.get(&date).map_or(each, |(mid, _)| *mid)).sum();
            let year_before = month.saturating_sub(1.year());
            let then = each_day(known, &attendance, year_before);
            MonthForecast {
                month,
                expected: spread.around(to_come, ahead + 1).and_came(f64::from(came)),
                came,
                open_days: all().filter(is_open).count() as u32,
                year_before: then.is_finite().then(|| came_in(&attendance, year_before)),
            }
        };
        far.into_iter().enumerate().map(month).collect()
    }
}

fn came_in(attendance: &Attendance, month: Date) -> u32 {
    attendance.days().range(month..=month.last_of_month()).map(|(_, day)| day.people).fold(0, u32::saturating_add)
}

/// Where the series of past months begins: at the first that was counted whole, or at the one before, if that was counted in part. A day that somebody told of years
/// before would make months without a figure of all between, and forecasts and bands of what nobody counted.
fn begin(attendance: &Attendance, past: &[(Date, f64)]) -> usize {
    let whole = past.iter().position(|(_, each)| each.is_finite()).unwrap_or(0);
    let is_begun =
        |place: &usize| past.get(*place).is_some_and(|(month, _)| attendance.days().range(*month..=month.last_of_month()).next().is_some());
    whole.checked_sub(1).filter(is_begun).unwrap_or(whole)
}

/// How many came on an open day of a past month, on average; no number where too few of its days were counted.
fn each_day(known: &Known, attendance: &Attendance, month: Date) -> f64 {
    let (mut people, mut counted, mut open) = (0.0, 0.0, 0.0);
    for date in month.series(1.day()).take_while(|date| date.month() == month.month()) {
        let count = attendance.days().get(&date).map(|day| f64::from(day.people));
        let is_shut = sites::kind(&known.museum, date, count == Some(0.0)).closed || sites::was_called_off(attendance, date);
        if is_shut && count.unwrap_or(0.0) <= 0.0 {
            continue;
        }
        open += 1.0;
        people += count.unwrap_or(0.0);
        counted += f64::from(u8::from(count.is_some()));
    }
    if open > 0.0 && counted >= COUNTED * open { people / counted } else { f64::NAN }
}
