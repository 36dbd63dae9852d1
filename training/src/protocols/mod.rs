//! The protocols by which models are judged, one file each. A protocol says what is predicted from what, on which days, by which figures; the same code runs on
//! the shipped data and on any file with the same columns.

pub mod fraud;
pub mod p1;
pub mod p2;
pub mod p3;
pub mod p4;
pub mod p5;
pub mod p6;

use jiff::civil::Date;
use tornello_models::demand::Day;

/// A hundred years: of days that lie farther apart a date is mistyped, and those in between would take for ever.
pub(crate) const DATES_MAX: usize = 36_525;

/// A date as a day of the models.
pub(crate) fn day(date: Date) -> anyhow::Result<Day> {
    Ok(Day::of(date.year().into(), u8::try_from(date.month())?, u8::try_from(date.day())?))
}
