//! The base table: one row for a site, an origin and a horizon, every column known at the origin. Attendance is divided by the level, the mean of the last 28
//! days on which the site was open; so small sites teach large ones.
//!
//! [`Lookback`] keeps sums over a site's past so that a row costs a few dozen look-ups; it never reads a day after the origin that it is asked about.

use super::day::Day;
use super::history::{DayFlags, Site};

/// A column of the base table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its unit: `levels` are multiples of the level.
    pub unit: &'static str,
    /// What it tells of, in reasons.
    pub theme: Theme,
}

/// What a column tells of: reasons are summed up by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    /// Weekday, season.
    Calendar,
    /// Holidays, bridges, free days, school holidays, events.
    Holidays,
    /// The attendance of the last days and weeks.
    LastWeeks,
    /// The attendance of the same days in earlier years.
    LastYear,
    /// How large the site is, and which.
    Level,
    /// How far ahead the day is.
    Horizon,
    /// What is on the books.
    Books,
}

const fn column(name: &'static str, unit: &'static str, theme: Theme) -> Column {
    Column { name, unit, theme }
}

/// The columns, in order. The last [`BOOKS`] are there only where a site has books.
pub const COLUMNS: [Column; 41] = [
    column("horizon", "days", Theme::Horizon),
    column("site", "code", Theme::Level),
    column("level", "log(1 + visitors)", Theme::Level),
    column("weekday", "0 to 6", Theme::Calendar),
    column("month", "1 to 12", Theme::Calendar),
    column("day_of_month", "1 to 31", Theme::Calendar),
    column("year_sin_1", "", Theme::Calendar),
    column("year_cos_1", "", Theme::Calendar),
    column("year_sin_2", "", Theme::Calendar),
    column("year_cos_2", "", Theme::Calendar),
    column("holiday", "0 or 1", Theme::Holidays),
    column("near_holiday", "0 to 4", Theme::Holidays),
    column("bridge", "0 or 1", Theme::Holidays),
    column("free", "0 or 1", Theme::Holidays),
    column("school_break", "0 or 1", Theme::Holidays),
    column("event", "0 or 1", Theme::Holidays),
    column("holiday_effect", "ratio", Theme::Holidays),
    column("origin_weekday", "0 to 6", Theme::Calendar),
    column("origin_near_holiday", "0 to 4", Theme::Holidays),
    column("last_day", "levels", Theme::LastWeeks),
    column("last_day_but_one", "levels", Theme::LastWeeks),
    column("mean_7", "levels", Theme::LastWeeks),
    column("mean_91", "levels", Theme::LastWeeks),
    column("weekday_last", "levels", Theme::LastWeeks),
    column("weekday_last_but_one", "levels", Theme::LastWeeks),
    column("weekday_mean_4", "levels", Theme::LastWeeks),
    column("weekday_median_8", "levels", Theme::LastWeeks),
    column("weekday_sd_8", "levels", Theme::LastWeeks),
    column("year_back", "levels", Theme::LastYear),
    column("two_years_back", "levels", Theme::LastYear),
    column("year_back_mean_7", "levels", Theme::LastYear),
    column("year_back_week_against_its_level", "levels then", Theme::LastYear),
    column("year_back_day_against_its_level", "levels then", Theme::LastYear),
    column("year_back_trend", "levels then", Theme::LastYear),
    column("booked", "levels", Theme::Books),
    column("booked_log", "", Theme::Books),
    column("booked_usually", "levels", Theme::Books),
    column("came_usually", "levels", Theme::Books),
    column("pickup_added", "levels", Theme::Books),
    column("pickup_multiplied", "levels", Theme::Books),
    column("booked_share_of_level", "ratio", Theme::Books),
];

/// How many of the last columns speak of books.
pub const BOOKS: usize = 7;

/// The columns with or without those of the books.
#[must_use]
pub fn columns(books: bool) -> &'static [Column] {
    if books { &COLUMNS } else { &COLUMNS[..COLUMNS.len() - BOOKS] }
}

/// Days of the level.
const LEVEL_DAYS: usize = 28;
/// How far back the level looks for days on which the site was open.
const LEVEL_REACH: usize = 119;

/// What a weekday did in its last eight weeks, seen from one of its days.
#[derive(Debug, Clone, Copy)]
struct Weekday {
    before: f32,
    mean_4: f32,
    median_8: f32,
    sd_8: f32,
}

/// A site's past, ready to be asked from any origin.
pub struct Lookback<'a> {
    site: &'a Site,
    /// Attendance of days on which the site was open and counted; NaN otherwise.
    open: Vec<f32>,
    /// Sums and counts of `open` before each place.
    sums: Vec<(f64, u32)>,
    levels: Vec<f32>,
    weekdays: Vec<Weekday>,
    /// Sum and count, before each place, of what holidays drew against their usual weekday.
    holidays: Vec<(f64, u32)>,
}

impl<'a> Lookback<'a> {
    /// Reads a site's past.
    #[must_use]
    pub fn new(site: &'a Site) -> Self {
        let day = |place: usize| site.first.plus(place as i32);
        let open: Vec<f32> =
            (0..site.attendance.len()).map(|place| if site.calendar.flags(day(place)).closed { f32::NAN } else { site.attendance[place] }).collect();
        let mut sums = vec![(0.0, 0)];
        let mut levels = Vec::with_capacity(open.len());
        for (place, value) in open.iter().enumerate() {
            let (sum, count) = sums[place];
            sums.push(if value.is_nan() { (sum, count) } else { (sum + f64::from(*value), count + 1) });
            levels.push(level(&open[..=place]));
        }
        let weekdays: Vec<Weekday> = (0..open.len()).map(|place| weekday(&open, place)).collect();
        let mut holidays = vec![(0.0, 0)];
        for (place, value) in open.iter().enumerate() {
            let (sum, count) = holidays[place];
            let usual = place.checked_sub(7).map_or(f32::NAN, |before| weekdays[before].median_8);
            let counts = site.calendar.flags(day(place)).holiday && usual > 0.0 && !value.is_nan();
            holidays.push(if counts { (sum + f64::from((value / usual).min(5.0)), count + 1) } else { (sum, count) });
        }
        Self { site, open, sums, levels, weekdays, holidays }
    }

    /// The site.
    #[must_use]
    pub const fn site(&self) -> &'a Site {
        self.site
    }

    fn place(&self, day: Day) -> Option<usize> {
        usize::try_from(day.since(self.site.first)).ok().filter(|place| *place < self.open.len())
    }

    /// Attendance of a day on which the site was open; NaN otherwise.
    #[must_use]
    pub fn value(&self, day: Day) -> f32 {
        self.place(day).map_or(f32::NAN, |place| self.open[place])
    }

    /// The mean of the days from `first` to `last`, of those on which the site was open.
    fn mean(&self, first: Day, last: Day) -> f32 {
        let clamp = |day: Day| usize::try_from(day.since(self.site.first)).unwrap_or(0).min(self.open.len());
        let ((sum_before, before), (sum, count)) = (self.sums[clamp(first)], self.sums[clamp(last.plus(1))]);
        if count > before { ((sum - sum_before) / f64::from(count - before)) as f32 } else { f32::NAN }
    }

    /// The level at an origin: the mean of the last 28 open days up to it, at least 1 visitor. NaN before the first.
    #[must_use]
    pub fn level(&self, origin: Day) -> f32 {
        self.newest(origin).map_or(f32::NAN, |place| self.levels[place])
    }

    /// The place of the newest day that is over at an origin; none where the site's history ends more than four weeks before it.
    fn newest(&self, origin: Day) -> Option<usize> {
        let last = self.site.last();
        self.place(origin.min(last)).filter(|_| origin.since(last) <= LEVEL_DAYS as i32)
    }

    /// How many days with attendance there are up to an origin.
    #[must_use]
    pub fn days(&self, origin: Day) -> u32 {
        self.newest(origin).map_or(0, |place| self.sums[place + 1].1)
    }

    /// Two floors of a day: the last same weekday again, and the median of the last eight. The level where none is known.
    #[must_use]
    pub fn floors(&self, origin: Day, horizon: u16) -> (f64, f64) {
        let same = origin.plus(i32::from(horizon) - 7 * ((i32::from(horizon) + 6) / 7));
        let or_level = |value: f32| f64::from(if value.is_nan() { self.level(origin) } else { value });
        (or_level(self.value(same)), or_level(self.place(same).map_or(f32::NAN, |place| self.weekdays[place].median_8)))
    }

    /// Adds the row of an origin and a horizon to `row`. NaN stands for what is not known. The level must be a number there.
    pub fn row(&self, origin: Day, horizon: u16, books: bool, row: &mut Vec<f32>) {
        let day = origin.plus(i32::from(horizon));
        let level = self.level(origin);
        let flags = self.site.calendar.flags(day);
        let (_, month, day_of_month) = day.date();
        let angle = day.share_of_year() * std::f32::consts::TAU;
        // The newest day of the same weekday that is over at the origin.
        let same = day.plus(-7 * ((i32::from(horizon) + 6) / 7));
        let same_weekday = self.place(same).map(|place| self.weekdays[place]);
        let over_level = |value: f32| value / level;
        let of_weekday = |get: fn(&Weekday) -> f32| same_weekday.as_ref().map_or(f32::NAN, |weekday| over_level(get(weekday)));
        // A year and more back lies before every origin: horizons end long before 364 days.
        let year_back = day.plus(-364);
        let level_then = self.level(origin.plus(-364));
        let week_then = self.mean(year_back.plus(-3), year_back.plus(3));
        let like = self.like_day_of_last_year(day).unwrap_or(year_back);
        let holidays = self.newest(origin).map_or((0.0, 0), |place| self.holidays[place + 1]);
        row.extend([
            f32::from(horizon),
            self.site.code as f32,
            level.ln_1p(),
            f32::from(day.weekday()),
            f32::from(month),
            f32::from(day_of_month),
            angle.sin(),
            angle.cos(),
            (2.0 * angle).sin(),
            (2.0 * angle).cos(),
            f32::from(u8::from(flags.holiday)),
            f32::from(self.near_holiday(day)),
            f32::from(u8::from(flags.bridge)),
            f32::from(u8::from(flags.free)),
            f32::from(u8::from(flags.school_break)),
            f32::from(u8::from(flags.event)),
            if flags.holiday && holidays.1 > 0 { (holidays.0 / f64::from(holidays.1)) as f32 } else { f32::NAN },
            f32::from(origin.weekday()),
            f32::from(self.near_holiday(origin)),
            over_level(self.value(origin)),
            over_level(self.value(origin.plus(-1))),
            over_level(self.mean(origin.plus(-6), origin)),
            over_level(self.mean(origin.plus(-90), origin)),
            over_level(self.value(same)),
            of_weekday(|weekday| weekday.before),
            of_weekday(|weekday| weekday.mean_4),
            of_weekday(|weekday| weekday.median_8),
            of_weekday(|weekday| weekday.sd_8),
            over_level(self.value(year_back)),
            over_level(self.value(day.plus(-728))),
            over_level(week_then),
            week_then / level_then,
            self.value(like) / level_then,
            self.mean(year_back.plus(-13), year_back.plus(14)) / level_then,
        ]);
        if books {
            self.books(origin, horizon, day, same, level, row);
        }
    }

    /// The columns of the books: what is booked, what was booked as long before the last eight same weekdays, and what came of that.
    fn books(&self, origin: Day, horizon: u16, day: Day, same: Day, level: f32, row: &mut Vec<f32>) {
        let booked = self.site.booked(day, horizon);
        let (mut booked_sum, mut came_sum, mut count) = (0.0, 0.0, 0.0);
        for weeks in 0..8 {
            let before = same.plus(-7 * weeks);
            debug_assert!(before <= origin, "only days that are over may be looked at");
            let (came, seen) = (self.value(before), self.site.booked(before, horizon));
            if !came.is_nan() && !seen.is_nan() {
                booked_sum += seen;
                came_sum += came;
                count += 1.0;
            }
        }
        // 0/0 where there was nothing to compare with: not known.
        let (usually, came) = (booked_sum / count, came_sum / count);
        let mean_7 = self.mean(origin.plus(-6), origin);
        row.extend([
            booked / level,
            booked.ln_1p() - level.ln_1p(),
            usually / level,
            came / level,
            (booked + came - usually) / level,
            booked * came / usually.max(1.0) / level,
            booked / mean_7.max(1.0),
        ]);
    }

    /// 4 on a holiday, 3 to 1 one to three days from one, else 0.
    fn near_holiday(&self, day: Day) -> u8 {
        let holiday = |day: Day| self.site.calendar.flags(day).holiday;
        (0..=3_u8)
            .find(|distance| holiday(day.plus(i32::from(*distance))) || holiday(day.plus(-i32::from(*distance))))
            .map_or(0, |distance| 4 - distance)
    }

    /// For a holiday or a day next to one, the day of last year that lies the same way to the same holiday: of the same date or, for feasts that move, of the
    /// same weekday in the five weeks around.
    fn like_day_of_last_year(&self, day: Day) -> Option<Day> {
        let flags = |day: Day| -> DayFlags { self.site.calendar.flags(day) };
        let offset = [0, 1, -1, 2, -2].into_iter().find(|offset| flags(day.plus(-offset)).holiday)?;
        let holiday = day.plus(-offset);
        let (year, month, day_of_month) = holiday.date();
        let same_date = Day::of(year - 1, month, day_of_month);
        let around = (0..=5).flat_map(|weeks| [-7 * weeks, 7 * weeks]).map(|days| holiday.plus(-364 + days));
        let like = std::iter::once(same_date).chain(around).find(|candidate| flags(*candidate).holiday)?;
        Some(like.plus(offset))
    }
}

/// The mean of the last 28 open days, at least 1; NaN where there is none.
fn level(open: &[f32]) -> f32 {
    let recent = open.iter().rev().take(LEVEL_REACH).filter(|value| !value.is_nan()).take(LEVEL_DAYS);
    let (sum, count) = recent.fold((0.0, 0.0), |(sum, count), value| (sum + f64::from(*value), count + 1.0));
    if count > 0.0 { ((sum / count) as f32).max(1.0) } else { f32::NAN }
}

fn weekday(open: &[f32], place: usize) -> Weekday {
    let mut known = [0.0_f32; 8];
    let mut count = 0;
    let mut before = f32::NAN;
    let mut mean_4 = f32::NAN;
    for weeks in 0..8 {
        let Some(value) = place.checked_sub(7 * weeks).map(|place| open[place]) else { break };
        if weeks == 1 {
            before = value;
        }
        if !value.is_nan() {
            known[count] = value;
            count += 1;
        }
        if weeks == 3 || (weeks < 3 && place < 7 * (weeks + 1)) {
            mean_4 = known[..count].iter().sum::<f32>() / count as f32;
        }
    }
    let known = &mut known[..count];
    if known.is_empty() {
        return Weekday { before, mean_4: f32::NAN, median_8: f32::NAN, sd_8: f32::NAN };
    }
    let mean = known.iter().sum::<f32>() / count as f32;
    let sd_8 = (known.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / count as f32).sqrt();
    known.sort_by(f32::total_cmp);
    let median_8 = (known[(count - 1) / 2] + known[count / 2]) / 2.0;
    Weekday { before, mean_4, median_8, sd_8 }
}
