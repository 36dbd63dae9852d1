//! The protocols by which models are judged, one file each. A protocol says what is predicted from what, on which days, by which figures; the same code runs on
//! the shipped data and on any file with the same columns.

pub mod fraud;
pub mod p1;
pub mod p2;
pub mod p3;
pub mod p4;
pub mod p5;
pub mod p6;

use std::collections::HashSet;
use std::hash::Hash;

use jiff::civil::Date;
use tornello_models::demand::Day;

use crate::report::Report;

/// A hundred years: of days that lie farther apart a date is mistyped, and those in between would take for ever.
pub(crate) const DATES_MAX: usize = 36_525;

/// A date as a day of the models.
pub(crate) fn day(date: Date) -> anyhow::Result<Day> {
    Ok(Day::of(date.year().into(), u8::try_from(date.month())?, u8::try_from(date.day())?))
}

/// The rows to learn from that are not in the file to be judged by as well, where some are and most are not: none of these teaches its own label. Where most are,
/// both are the same data on purpose, and nothing is left out. Either is noted. `learned` and `judged` say what a row is, all but its label.
pub(crate) fn apart<K: Eq + Hash>(learned: impl Iterator<Item = K>, judged: impl Iterator<Item = K>, report: &mut Report) -> Option<Vec<usize>> {
    let judged: HashSet<K> = judged.collect();
    let (mut left, mut shared) = (Vec::new(), 0);
    for (row, key) in learned.enumerate() {
        if judged.contains(&key) {
            shared += 1;
        } else {
            left.push(row);
        }
    }
    if shared == 0 {
        return None;
    }
    if left.len() < shared {
        report.notes.push(format!("{shared} of the rows to learn from are to be judged on as well: the figures flatter"));
        return None;
    }
    report.notes.push(format!("{shared} rows are in both files: they are judged, and not learned from"));
    Some(left)
}

/// A number as a part of what a row is: none is like none, and zero has no sign.
pub(crate) fn key(number: f64) -> u64 {
    if number.is_nan() { f64::NAN.to_bits() } else { (number + 0.0).to_bits() }
}
