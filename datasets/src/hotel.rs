//! Real bookings of a resort hotel, one row at a time: when each was made, for when, for how many, through whom, and what became of it.
//!
//! The file knows days, not hours; [`crate::replay_mapping`] says what stands in for them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use jiff::civil::Date;
use serde::{Deserialize, Deserializer};

use crate::LoadError;

/// The name of the shipped file.
pub const FILE: &str = "hotel_bookings/bookings_resort.csv.gz";
/// The shipped file, gzipped.
pub const EMBEDDED: &[u8] = include_bytes!("../data/hotel_bookings/bookings_resort.csv.gz");

/// A booking as the hotel recorded it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Booking {
    /// The row of the file, counted from 1 below the header: the booking's name in reports.
    #[serde(skip)]
    pub row: u64,
    /// The day on which it was made.
    pub booking_date: Date,
    /// Days from the booking to the arrival.
    #[serde(rename = "lead_time")]
    pub lead_days: u32,
    /// The day of arrival.
    pub arrival_date: Date,
    /// What became of it.
    #[serde(rename = "reservation_status")]
    pub status: Status,
    /// The day on which that was known: the day of departure, of the cancellation, or (but for one row) of the missed arrival.
    #[serde(rename = "reservation_status_date")]
    pub status_date: Date,
    /// Adults of the party.
    pub adults: u16,
    /// Children of the party.
    pub children: u16,
    /// Babies of the party.
    pub babies: u16,
    /// The market that it came from.
    pub market_segment: MarketSegment,
    /// Who brought it.
    pub distribution_channel: DistributionChannel,
    /// What kind of contract it is.
    pub customer_type: CustomerType,
    /// The number of the travel agency, if any.
    pub agent: Option<u32>,
    /// The number of the company that pays, if any.
    pub company: Option<u32>,
    /// Average daily rate in cents; one is negative.
    #[serde(rename = "adr", deserialize_with = "cents")]
    pub daily_rate_cents: i64,
}

impl Booking {
    /// Everybody of the party.
    #[must_use]
    pub fn people(&self) -> u32 {
        u32::from(self.adults) + u32::from(self.children) + u32::from(self.babies)
    }
}

/// What became of a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Status {
    /// The guests came and left.
    #[serde(rename = "Check-Out")]
    CheckOut,
    /// It was cancelled.
    Canceled,
    /// Nobody came.
    #[serde(rename = "No-Show")]
    NoShow,
}

/// Who brought a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum DistributionChannel {
    /// The guests themselves.
    Direct,
    /// A company for its people.
    Corporate,
    /// A travel agency or tour operator.
    #[serde(rename = "TA/TO")]
    TravelAgency,
    /// A global distribution system (none in this hotel's file).
    #[serde(rename = "GDS")]
    Gds,
    /// Not recorded.
    Undefined,
}

/// The market that a booking came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[allow(missing_docs, reason = "the words of the source say all that is known of them")]
pub enum MarketSegment {
    Direct,
    Corporate,
    Groups,
    Complementary,
    Aviation,
    Undefined,
    #[serde(rename = "Online TA")]
    OnlineAgency,
    #[serde(rename = "Offline TA/TO")]
    OfflineAgency,
}

/// What kind of contract a booking is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum CustomerType {
    /// A single booking.
    Transient,
    /// A single booking that belongs to others.
    #[serde(rename = "Transient-Party")]
    TransientParty,
    /// Under an allotment or another contract.
    Contract,
    /// A group.
    Group,
}

/// The bookings that the product ships: 40,060 rows in the order of their booking day.
#[must_use]
pub fn embedded() -> Bookings {
    Bookings::new(FILE, Box::new(GzDecoder::new(EMBEDDED)))
}

/// Bookings from a gzipped file of the same columns.
pub fn open(path: &Path) -> Result<Bookings, LoadError> {
    let file = path.display().to_string();
    match File::open(path) {
        Ok(opened) => Ok(Bookings::new(&file, Box::new(GzDecoder::new(opened)))),
        Err(source) => Err(LoadError::Open { file, source }),
    }
}

/// A stream of bookings; the first error ends it.
pub struct Bookings {
    file: String,
    rows: csv::DeserializeRecordsIntoIter<Box<dyn Read + Send>, Booking>,
    row: u64,
    failed: bool,
}

impl Bookings {
    /// Bookings from uncompressed text; `file` is the name used in errors.
    #[must_use]
    pub fn new(file: &str, text: Box<dyn Read + Send>) -> Self {
        Self { file: file.to_owned(), rows: csv::Reader::from_reader(text).into_deserialize(), row: 0, failed: false }
    }

    fn check(&self, booking: Booking) -> Result<Booking, LoadError> {
        let days = (booking.arrival_date - booking.booking_date).get_days();
        if i64::from(days) != i64::from(booking.lead_days) {
            let problem = format!("is {} days, the dates say {days}", booking.lead_days);
            return Err(LoadError::invalid(&self.file, self.row, "lead_time", problem));
        }
        Ok(booking)
    }
}

impl Iterator for Bookings {
    type Item = Result<Booking, LoadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let parsed = self.rows.next()?;
        self.row += 1;
        let booking = parsed
            .map_err(|source| LoadError::Unreadable { file: self.file.clone(), row: self.row, source })
            .and_then(|booking| self.check(Booking { row: self.row, ..booking }));
        self.failed = booking.is_err();
        Some(booking)
    }
}

/// Euros with a point and any number of decimals, of which the third and later must be zero.
fn cents<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_cents(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not an amount in euro")))
}

fn parse_cents(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
    let numeric = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !numeric(whole) || !numeric(decimals) || decimals.bytes().skip(2).any(|b| b != b'0') {
        return None;
    }
    let decimal = |place: usize| decimals.as_bytes().get(place).map_or(0, |digit| i64::from(digit - b'0'));
    whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(decimal(0) * 10 + decimal(1)).map(|cents| sign * cents)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use jiff::civil::date;

    use super::*;

    const HEADER: &str = "booking_date,lead_time,arrival_date,reservation_status,reservation_status_date,adults,children,babies,market_segment,\
                          distribution_channel,customer_type,agent,company,adr\n";

    fn read(rows: &str) -> Vec<Result<Booking, LoadError>> {
        Bookings::new("test.csv", Box::new(std::io::Cursor::new(format!("{HEADER}{rows}")))).collect()
    }

    #[test]
    fn the_shipped_file_has_the_counts_of_its_article() {
        let bookings: Vec<Booking> = embedded().map(Result::unwrap).collect();
        let count = |status| bookings.iter().filter(|b| b.status == status).count();
        assert_eq!((bookings.len(), count(Status::CheckOut), count(Status::Canceled), count(Status::NoShow)), (40_060, 28_938, 10_831, 291));
        assert_eq!(bookings.iter().filter(|b| b.people() == 0).count(), 13);
        assert_eq!(bookings.iter().map(Booking::people).max(), Some(55));
        assert_eq!(bookings.iter().map(|b| b.lead_days).max(), Some(737));
        assert_eq!(bookings.iter().map(|b| b.booking_date).min(), Some(date(2013, 6, 24)));
        assert!(bookings.iter().all(|b| (date(2015, 7, 1)..=date(2017, 8, 31)).contains(&b.arrival_date)));
        assert!(bookings.is_sorted_by_key(|b| b.booking_date), "the replay needs no sort of its own to stream them");
        assert!(bookings.iter().zip(1..).all(|(b, row)| b.row == row));
        assert_eq!(bookings.iter().map(|b| b.daily_rate_cents).min(), Some(-638));
    }

    #[test]
    fn a_gzipped_file_is_read_like_the_embedded_one_and_a_missing_one_is_named() {
        let path = std::env::temp_dir().join(format!("tornello-hotel-{}.csv.gz", std::process::id()));
        File::create(&path).unwrap().write_all(EMBEDDED).unwrap();
        let same = open(&path).unwrap().map(Result::unwrap).eq(embedded().map(Result::unwrap));
        std::fs::remove_file(&path).unwrap();
        assert!(same);
        assert!(open(&path).err().unwrap().to_string().contains("tornello-hotel"));
    }

    #[test]
    fn a_bad_row_is_named_and_ends_the_stream() {
        let good = "2016-01-01,2,2016-01-03,Check-Out,2016-01-05,2,0,0,Direct,Direct,Transient,,,80.5\n";
        assert_eq!(read(good)[0].as_ref().unwrap().daily_rate_cents, 8_050);
        for (from, to, expected) in [
            (",2,2016", ",3,2016", "row 2: lead_time is 3 days, the dates say 2"),
            ("Check-Out", "Vanished", "row 2: not readable"),
            ("2016-01-03", "2016-02-30", "row 2: not readable"),
            (",2,0,0,", ",-2,0,0,", "row 2: not readable"),
            ("80.5", "80.555", "row 2: not readable"),
            (",,,", ",,", "row 2: not readable"),
        ] {
            let rows = read(&format!("{good}{}{good}", good.replacen(from, to, 1)));
            assert_eq!(rows.len(), 2, "nothing is read after the error");
            let error = rows[1].as_ref().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let cut = &EMBEDDED[..EMBEDDED.len() / 2];
        assert!(Bookings::new("cut", Box::new(GzDecoder::new(cut))).last().unwrap().is_err(), "half an archive is an error, not a short file");
    }

    #[test]
    fn amounts_are_read_without_floats() {
        for (text, cents) in
            [("0.0", 0), ("508.0", 50_800), ("80.5", 8_050), ("80.55", 8_055), ("80.550", 8_055), ("-6.38", -638), ("-0.05", -5), ("7", 700)]
        {
            assert_eq!(parse_cents(text), Some(cents), "{text}");
        }
        for text in ["", "-", ".5", "5.", "1e3", "1,5", "1.555", "+1", "99999999999999999999"] {
            assert_eq!(parse_cents(text), None, "{text}");
        }
    }
}
