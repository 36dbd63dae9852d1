//! Civil days as numbers, so that features need no calendar library. A day is a day, whether the clock on the wall gave it 23, 24 or 25 hours.

use serde::{Deserialize, Serialize};

/// A civil day of the Gregorian calendar, as days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(pub i32);

impl Day {
    /// The day of a date. The algorithm counts in years that begin in March, so that leap days stand at the end (after Howard Hinnant's `days_from_civil`).
    #[must_use]
    pub const fn of(year: i32, month: u8, day: u8) -> Self {
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month_from_march = (month as i32 + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + day as i32 - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Self(era * 146_097 + day_of_era - 719_468)
    }

    /// Year, month and day of the month.
    #[must_use]
    pub const fn date(self) -> (i32, u8, u8) {
        let shifted = self.0 + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u8;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u8;
        let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
        (year, month, day)
    }

    /// The weekday, 0 for Monday to 6 for Sunday.
    #[must_use]
    pub const fn weekday(self) -> u8 {
        // 1970-01-01 was a Thursday.
        (self.0 + 3).rem_euclid(7) as u8
    }

    /// How far the year has gone at the start of this day, from 0 to below 1.
    #[must_use]
    pub fn share_of_year(self) -> f32 {
        let (year, ..) = self.date();
        let (start, end) = (Self::of(year, 1, 1).0, Self::of(year + 1, 1, 1).0);
        (self.0 - start) as f32 / (end - start) as f32
    }

    /// So many days later, or earlier when negative.
    #[must_use]
    pub const fn plus(self, days: i32) -> Self {
        Self(self.0 + days)
    }

    /// Days from another day to this one.
    #[must_use]
    pub const fn since(self, other: Self) -> i32 {
        self.0 - other.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_agree_over_eight_hundred_years() {
        assert_eq!((Day::of(1970, 1, 1), Day::of(2000, 3, 1)), (Day(0), Day(11_017)));
        assert_eq!((Day::of(2026, 10, 4).weekday(), Day::of(1969, 12, 31).weekday()), (6, 2));
        for number in -150_000..150_000 {
            let (year, month, day) = Day(number).date();
            assert_eq!(Day::of(year, month, day), Day(number));
        }
        assert_eq!(Day::of(2024, 2, 29).date(), (2024, 2, 29));
        assert_eq!(Day::of(2024, 7, 1).share_of_year(), 182.0 / 366.0);
    }
}
