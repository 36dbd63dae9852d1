//! The museums that a fresh installation opens with: real state museums (name, place, patron saint's day are facts) with invented opening plans and
//! prices, whose columns say so in their names. `data/museums.csv` is the place to add one; a row that makes no sense is refused by name.

use jiff::civil::{Date, Time, Weekday};
use serde::Deserialize;

use crate::LoadError;

const FILE: &str = "museums.csv";
const EMBEDDED: &str = include_str!("../data/museums.csv");
/// The longest slug, in bytes: that of a code in addresses and ids.
const SLUG_MAX: usize = 23;

/// A state museum and the plan invented for it. Every day that is not the closing day has the same hours; a slot starts every `slot_minutes` from `open`
/// and the last one ends at `close`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Museum {
    /// Its number, from 1, in the order of the file.
    pub number: u16,
    /// Its name in addresses: at most 23 lower-case letters, digits and hyphens.
    pub slug: String,
    /// Its Italian name.
    pub name: String,
    /// The municipality.
    pub city: String,
    /// The province's two letters.
    pub province: String,
    /// The region.
    pub region: String,
    /// Degrees north, in ten-thousandths.
    pub latitude_e4: i32,
    /// Degrees east, in ten-thousandths.
    pub longitude_e4: i32,
    /// The day of the city's patron saint.
    pub patron_day: MonthDay,
    /// Invented: the routes sold apart, as slugs; each has its own slots of the same capacity.
    pub routes: Vec<String>,
    /// Invented: when the doors open.
    pub open: Time,
    /// Invented: when the last slot ends.
    pub close: Time,
    /// Invented: the weekly closing day.
    pub closed_weekday: Option<Weekday>,
    /// Invented: minutes of a slot.
    pub slot_minutes: u16,
    /// Invented: places of a slot.
    pub capacity: u32,
    /// Invented: the price of a full ticket.
    pub full_price_cents: i64,
    /// Invented: the most people inside at once.
    pub ceiling: u32,
}

impl Museum {
    /// How many slots a route has on an open day.
    #[must_use]
    pub fn slots_per_day(&self) -> u32 {
        u32::from(minutes(self.close) - minutes(self.open)) / u32::from(self.slot_minutes)
    }
}

/// A day of every year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonthDay {
    /// 1 to 12.
    pub month: i8,
    /// 1 to 31, as the month allows in a leap year.
    pub day: i8,
}

/// The museums that the product ships.
pub fn load() -> Result<Vec<Museum>, LoadError> {
    read(EMBEDDED)
}

/// Reads museums from text with the columns of `data/museums.csv`.
pub fn read(text: &str) -> Result<Vec<Museum>, LoadError> {
    let mut museums: Vec<Museum> = Vec::new();
    for (row, parsed) in (1..).zip(csv::Reader::from_reader(text.as_bytes()).deserialize::<Row>()) {
        let raw = parsed.map_err(|source| LoadError::Unreadable { file: FILE.to_owned(), row, source })?;
        let invalid = |(column, problem): Problem| LoadError::invalid(FILE, row, column, problem);
        let museum = raw.parse().map_err(invalid)?;
        if u64::from(museum.number) != row {
            return Err(invalid(("number", format!("is {}, rows are numbered from 1 without a gap", museum.number))));
        }
        if museums.iter().any(|other| other.slug == museum.slug) {
            return Err(invalid(("slug", format!("{:?} is taken", museum.slug))));
        }
        museums.push(museum);
    }
    Ok(museums)
}

type Problem = (&'static str, String);

#[derive(Deserialize)]
struct Row {
    number: u16,
    slug: String,
    name: String,
    city: String,
    province: String,
    region: String,
    latitude: String,
    longitude: String,
    patron_day: String,
    invented_routes: String,
    invented_open: String,
    invented_close: String,
    invented_closed_weekday: String,
    invented_slot_minutes: u16,
    invented_capacity: u32,
    invented_full_price_cents: i64,
    invented_ceiling: u32,
}

impl Row {
    fn parse(self) -> Result<Museum, Problem> {
        let museum = Museum {
            number: self.number,
            latitude_e4: degrees_e4(&self.latitude, 35..48).ok_or_else(|| bad("latitude", &self.latitude))?,
            longitude_e4: degrees_e4(&self.longitude, 6..19).ok_or_else(|| bad("longitude", &self.longitude))?,
            patron_day: month_day(&self.patron_day).ok_or_else(|| bad("patron_day", &self.patron_day))?,
            routes: self.invented_routes.split('|').map(str::to_owned).collect(),
            open: time(&self.invented_open).ok_or_else(|| bad("invented_open", &self.invented_open))?,
            close: time(&self.invented_close).ok_or_else(|| bad("invented_close", &self.invented_close))?,
            closed_weekday: weekday(&self.invented_closed_weekday).ok_or_else(|| bad("invented_closed_weekday", &self.invented_closed_weekday))?,
            slot_minutes: self.invented_slot_minutes,
            capacity: self.invented_capacity,
            full_price_cents: self.invented_full_price_cents,
            ceiling: self.invented_ceiling,
            slug: self.slug,
            name: self.name,
            city: self.city,
            province: self.province,
            region: self.region,
        };
        museum.check().map(|()| museum)
    }
}

impl Museum {
    fn check(&self) -> Result<(), Problem> {
        for (column, text) in [("name", &self.name), ("city", &self.city), ("region", &self.region)] {
            if text.trim().is_empty() {
                return Err(bad(column, text));
            }
        }
        if !is_slug(&self.slug) {
            return Err(bad("slug", &self.slug));
        }
        if self.province.len() != 2 || !self.province.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(bad("province", &self.province));
        }
        let repeated = |at: usize| self.routes[..at].contains(&self.routes[at]);
        if let Some(at) = (0..self.routes.len()).find(|&at| !is_slug(&self.routes[at]) || repeated(at)) {
            return Err(bad("invented_routes", &self.routes[at]));
        }
        if self.close <= self.open {
            return Err(("invented_close", format!("{} is not after {}", self.close, self.open)));
        }
        if self.slot_minutes == 0 || !(minutes(self.close) - minutes(self.open)).is_multiple_of(self.slot_minutes) {
            return Err(("invented_slot_minutes", format!("{} does not divide the opening hours", self.slot_minutes)));
        }
        if self.capacity == 0 {
            return Err(("invented_capacity", "is zero".to_owned()));
        }
        if self.full_price_cents < 0 {
            return Err(("invented_full_price_cents", "is negative".to_owned()));
        }
        if self.ceiling < self.capacity {
            return Err(("invented_ceiling", format!("{} is below the places of one slot, {}", self.ceiling, self.capacity)));
        }
        Ok(())
    }
}

fn bad(column: &'static str, text: &str) -> Problem {
    (column, format!("{text:?} is not understood"))
}

fn is_slug(text: &str) -> bool {
    text.len() <= SLUG_MAX && text.split('-').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

fn minutes(time: Time) -> u16 {
    u16::from(time.hour().unsigned_abs()) * 60 + u16::from(time.minute().unsigned_abs())
}

/// `HH:MM`.
fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':').filter(|_| text.len() == 5)?;
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

/// `MM-DD`; the leap year 2024 allows 29 February.
fn month_day(text: &str) -> Option<MonthDay> {
    let (month, day) = text.split_once('-').filter(|_| text.len() == 5)?;
    let date = Date::new(2024, month.parse().ok()?, day.parse().ok()?).ok()?;
    Some(MonthDay { month: date.month(), day: date.day() })
}

/// Three letters of an English weekday, or nothing at all.
fn weekday(text: &str) -> Option<Option<Weekday>> {
    Some(match text {
        "" => None,
        "mon" => Some(Weekday::Monday),
        "tue" => Some(Weekday::Tuesday),
        "wed" => Some(Weekday::Wednesday),
        "thu" => Some(Weekday::Thursday),
        "fri" => Some(Weekday::Friday),
        "sat" => Some(Weekday::Saturday),
        "sun" => Some(Weekday::Sunday),
        _ => return None,
    })
}

/// Degrees with exactly four decimals, within Italy.
fn degrees_e4(text: &str, within: std::ops::Range<i32>) -> Option<i32> {
    let (whole, decimals) = text.split_once('.')?;
    let numeric = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if decimals.len() != 4 || !numeric(whole) || !numeric(decimals) {
        return None;
    }
    let degrees = whole.parse().ok().filter(|degrees| within.contains(degrees))?;
    Some(degrees * 10_000 + decimals.parse::<i32>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_museums_are_twenty_five_and_sound() {
        let museums = load().unwrap();
        assert_eq!(museums.len(), 25);
        let uffizi = museums.iter().find(|m| m.slug == "gallerie-uffizi").unwrap();
        assert_eq!((uffizi.name.as_str(), uffizi.city.as_str(), uffizi.province.as_str()), ("Gallerie degli Uffizi", "Firenze", "FI"));
        assert_eq!((uffizi.latitude_e4, uffizi.longitude_e4, uffizi.patron_day), (437_687, 112_556, MonthDay { month: 6, day: 24 }));
        assert_eq!((uffizi.routes.len(), uffizi.closed_weekday, uffizi.slots_per_day()), (2, Some(Weekday::Monday), 41));
        for (a, b) in museums.iter().flat_map(|a| museums.iter().map(move |b| (a, b))).filter(|(a, b)| a.city == b.city) {
            assert_eq!((a.patron_day, &a.province, &a.region), (b.patron_day, &b.province, &b.region), "{} and {} share a city", a.slug, b.slug);
        }
    }

    #[test]
    fn a_bad_row_is_named_with_its_column() {
        for (from, to, expected) in [
            ("2,parco-pompei", "3,parco-pompei", "row 2: number is 3"),
            ("2,parco-pompei", "2,parco-colosseo", "row 2: slug \"parco-colosseo\" is taken"),
            ("2,parco-pompei", "2,Parco Pompei", "row 2: slug"),
            ("2,parco-pompei", "2,parco-archeologico-di-pompei", "row 2: slug"),
            ("2,parco-pompei", "two,parco-pompei", "row 2: not readable"),
            (",Pompei,NA,", ",,NA,", "row 2: city"),
            (",Pompei,NA,", ",Pompei,na,", "row 2: province"),
            ("40.7497", "40.75", "row 2: latitude"),
            ("40.7497", "60.7497", "row 2: latitude"),
            ("14.4869", "-4.4869", "row 2: longitude"),
            ("05-08", "02-30", "row 2: patron_day"),
            ("area-archeologica,09:00", "area|area,09:00", "row 2: invented_routes"),
            ("09:00,19:00,,30,900", "9:00,19:00,,30,900", "row 2: invented_open"),
            ("09:00,19:00,,30,900", "19:00,09:00,,30,900", "row 2: invented_close 09:00:00 is not after 19:00:00"),
            ("09:00,19:00,,30,900", "09:00,19:00,lunedi,30,900", "row 2: invented_closed_weekday"),
            ("09:00,19:00,,30,900", "09:00,19:00,,33,900", "row 2: invented_slot_minutes"),
            ("09:00,19:00,,30,900", "09:00,19:00,,0,900", "row 2: invented_slot_minutes"),
            ("30,900,1800,9000", "30,0,1800,9000", "row 2: invented_capacity"),
            ("30,900,1800,9000", "30,900,-1,9000", "row 2: invented_full_price_cents"),
            ("30,900,1800,9000", "30,900,1800,899", "row 2: invented_ceiling"),
        ] {
            assert!(EMBEDDED.contains(from), "{from}");
            let error = read(&EMBEDDED.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(expected), "{from} -> {to}: {error}");
        }
    }
}
