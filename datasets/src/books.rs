//! Bookings as a booking curve needs them: made when, for when, and whether and when they were given back. Of the columns of [`crate::hotel`] only these.

use std::io::Read;

use jiff::civil::Date;

use crate::LoadError;
use crate::rows::{self, Row};

/// One booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Booking {
    /// The day on which it was made.
    pub made: Date,
    /// The day of the visit.
    pub visit: Date,
    /// The day on which it was cancelled.
    pub cancelled: Option<Date>,
    /// Whether the guests came.
    pub kept: bool,
}

/// The bookings of a file.
pub fn bookings(file: &str, text: impl Read) -> Result<Vec<Booking>, LoadError> {
    let mut bookings = Vec::new();
    let each = |row: &Row<'_>| {
        let (made, visit) = (row.date(0)?, row.date(1)?);
        if made > visit {
            return Err(row.wrong(0, format!("{made} is after the arrival on {visit}")));
        }
        let (cancelled, kept) = match row.text(2) {
            "Check-Out" => (None, true),
            // Of others nobody asks when it was known.
            "Canceled" => (Some(row.date(3)?), false),
            "No-Show" => (None, false),
            other => return Err(row.wrong(2, format!("{other:?} is none of Check-Out, Canceled, No-Show"))),
        };
        bookings.push(Booking { made, visit, cancelled, kept });
        Ok(())
    };
    rows::read(file, text, &["booking_date", "arrival_date", "reservation_status", "reservation_status_date"], each)?;
    Ok(bookings)
}

#[cfg(test)]
mod tests {
    use flate2::read::GzDecoder;

    use super::*;
    use crate::hotel;

    #[test]
    fn the_shipped_bookings_are_those_of_the_hotel() {
        let bookings = bookings(hotel::FILE, GzDecoder::new(hotel::EMBEDDED)).expect("the shipped file");
        let kept = bookings.iter().filter(|booking| booking.kept).count();
        let cancelled = bookings.iter().filter(|booking| booking.cancelled.is_some()).count();
        assert_eq!((bookings.len(), kept, cancelled), (40_060, 28_938, 10_831));
    }

    #[test]
    fn only_a_cancelled_booking_has_to_say_when() {
        let header = "booking_date,arrival_date,reservation_status,reservation_status_date\n";
        assert_eq!(bookings("t.csv", format!("{header}2026-01-01,2026-01-02,Check-Out,\n").as_bytes()).expect("a booking").len(), 1);
        assert!(bookings("t.csv", format!("{header}2026-01-01,2026-01-02,Canceled,\n").as_bytes()).is_err());
    }

    #[test]
    fn a_booking_after_the_visit_is_refused() {
        let text = "booking_date,arrival_date,reservation_status,reservation_status_date\n2026-01-02,2026-01-01,Check-Out,2026-01-01\n";
        assert!(bookings("t.csv", text.as_bytes()).is_err());
    }
}
