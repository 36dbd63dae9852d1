//! Hotel bookings as a cancellation model learns from them: everything that the file says of a booking and was known when it was made, and what became of it.
//!
//! [`crate::hotel`] reads the same file for the replay, with money in cents and closed lists of words. This loader takes the file of any hotel with these
//! columns: words stay words, because another hotel has other agents, meals and segments.

use std::io::Read;

use jiff::civil::Date;

use crate::{LoadError, rows};

const ARRIVAL_WEEKDAY: &str = "arrival_weekday";

/// Words of a booking that stand for kinds, in the order of [`Reservation::words`].
pub const WORDS: [&str; 11] = [
    "meal",
    "country",
    "market_segment",
    "distribution_channel",
    "reserved_room_type",
    "deposit_type",
    "customer_type",
    "agent",
    "company",
    "is_repeated_guest",
    ARRIVAL_WEEKDAY,
];

/// Numbers of a booking, in the order of [`Reservation::numbers`].
pub const NUMBERS: [&str; 10] = [
    "lead_time",
    "stays_in_weekend_nights",
    "stays_in_week_nights",
    "adults",
    "children",
    "babies",
    "previous_cancellations",
    "previous_bookings_not_canceled",
    "adr",
    "total_of_special_requests",
];

/// What became of a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// The guests came.
    Kept,
    /// It was cancelled.
    Cancelled,
    /// Nobody came, and nobody said so.
    NoShow,
}

/// A booking and its fate.
#[derive(Debug, Clone, PartialEq)]
pub struct Reservation {
    /// The day on which it was made.
    pub booked: Date,
    /// The day of arrival.
    pub arrival: Date,
    /// What became of it.
    pub fate: Fate,
    /// The words named in [`WORDS`]; empty where the file has nothing.
    pub words: [String; WORDS.len()],
    /// The numbers named in [`NUMBERS`]; NaN where the file has nothing.
    pub numbers: [f64; NUMBERS.len()],
}

/// Bookings from text, in the order of the file; `file` is the name used in errors.
pub fn read(file: &str, text: impl Read) -> Result<Vec<Reservation>, LoadError> {
    // The weekday is not in the file: it follows from the arrival.
    let written = WORDS.iter().copied().filter(|word| *word != ARRIVAL_WEEKDAY);
    let columns: Vec<&'static str> = ["booking_date", "arrival_date", "reservation_status"].into_iter().chain(written).chain(NUMBERS).collect();
    let mut reservations = Vec::new();
    rows::read(file, text, &columns, |row| {
        let (booked, arrival) = (row.date(0)?, row.date(1)?);
        let fate = match row.text(2) {
            "Check-Out" => Fate::Kept,
            "Canceled" => Fate::Cancelled,
            "No-Show" => Fate::NoShow,
            other => return Err(row.wrong(2, format!("{other:?} is none of Check-Out, Canceled, No-Show"))),
        };
        if booked > arrival {
            return Err(row.wrong(0, format!("{booked} is after the arrival")));
        }
        let mut reservation = Reservation { booked, arrival, fate, words: Default::default(), numbers: [f64::NAN; NUMBERS.len()] };
        for (place, word) in reservation.words.iter_mut().enumerate() {
            *word =
                if WORDS[place] == ARRIVAL_WEEKDAY { arrival.weekday().to_monday_one_offset().to_string() } else { row.text(3 + place).to_owned() };
        }
        for (place, number) in reservation.numbers.iter_mut().enumerate() {
            let column = 3 + WORDS.len() - 1 + place;
            *number = row.number_if_any(column)?.unwrap_or(f64::NAN);
        }
        reservations.push(reservation);
        Ok(())
    })?;
    Ok(reservations)
}

#[cfg(test)]
mod tests {
    use flate2::read::GzDecoder;

    use super::*;
    use crate::hotel;

    #[test]
    fn the_resort_is_read_whole() {
        let rows = read(hotel::FILE, GzDecoder::new(hotel::EMBEDDED)).unwrap();
        let count = |fate| rows.iter().filter(|row| row.fate == fate).count();
        assert_eq!((rows.len(), count(Fate::Kept), count(Fate::Cancelled), count(Fate::NoShow)), (40_060, 28_938, 10_831, 291));
        assert_eq!(rows[0].words, ["BB", "PRT", "Direct", "Direct", "C", "No Deposit", "Transient", "", "", "0", "3"]);
        assert_eq!(rows[0].numbers, [737.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn what_is_wrong_is_named_and_what_is_missing_is_nan() {
        let header = format!("booking_date,arrival_date,reservation_status,{},{}", WORDS[..10].join(","), NUMBERS.join(","));
        let good = "2016-01-01,2016-01-03,Check-Out,BB,ITA,Direct,Direct,A,No Deposit,Transient,,,0,2,0,2,2,,0,0,0,80.5,1";
        let rows = read("t", format!("{header}\n{good}\n").as_bytes()).unwrap();
        assert!(rows[0].numbers[4].is_nan() && (rows[0].numbers[8] - 80.5).abs() < 1e-12);
        assert_eq!(rows[0].words[10], "7", "a Sunday");
        for (from, to, expected) in [
            ("2016-01-03", "2016-02-30", "line 2, column arrival_date: \"2016-02-30\" is not a date"),
            ("Check-Out", "Gone", "line 2, column reservation_status: \"Gone\" is none of"),
            ("80.5", "dear", "line 2, column adr: \"dear\" is not a number"),
            ("2016-01-01", "2016-01-04", "line 2, column booking_date: 2016-01-04 is after the arrival"),
            (",80.5,1", ",80.5", "line 2: not a row of the table"),
        ] {
            let error = read("t.csv", format!("{header}\n{}\n", good.replacen(from, to, 1)).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = read("t.csv", &b"booking_date,arrival_date\n"[..]).unwrap_err().to_string();
        assert!(error.contains("no column reservation_status"), "{error}");
    }
}
