//! People who pass a sensor in the street, hour by hour: what daily forecasts are judged on, with sensors in the place of museums.
//!
//! A missing row is a missing reading, and so is a row without a count. Days are those of the wall clock there; the publisher has folded the hours of clock changes into each day.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;
use jiff::civil::Date;

use crate::LoadError;
use crate::rows::{self, Row};

/// The name of the shipped file.
pub const FILE: &str = "pedestrian_melbourne/counts_hourly.csv.gz";
/// The shipped file, gzipped: 16 sensors in Melbourne, 2012-01-01 to 2014-06-30.
pub const EMBEDDED: &[u8] = include_bytes!("../data/pedestrian_melbourne/counts_hourly.csv.gz");

/// The people of each day at one sensor; a day without a reading has no entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Sensor {
    /// Its id in the file.
    pub id: String,
    /// People in the hours of the day that were read.
    pub days: BTreeMap<Date, f64>,
}

/// The sensors of the shipped file.
pub fn embedded() -> Result<Vec<Sensor>, LoadError> {
    daily(FILE, GzDecoder::new(EMBEDDED)).map(|(sensors, _)| sensors)
}

/// Sums of the days, sensors in the order of their ids (by number where all are numbers), and how many rows there were.
pub fn daily(file: &str, text: impl Read) -> Result<(Vec<Sensor>, u64), LoadError> {
    let mut sensors: BTreeMap<(Option<u64>, String), BTreeMap<Date, f64>> = BTreeMap::new();
    let each = |row: &Row<'_>| {
        let id = row.text(0);
        if id.is_empty() {
            return Err(row.wrong(0, "is empty"));
        }
        let hour: u8 = row.value(2, "an hour")?;
        if hour > 23 {
            return Err(row.wrong(2, format!("{hour} is not an hour of a day")));
        }
        let date = row.date(1)?;
        if let Some(people) = row.count_if_any(3)? {
            *sensors.entry((id.parse().ok(), id.to_owned())).or_default().entry(date).or_default() += people;
        }
        Ok(())
    };
    let rows = rows::read(file, text, &["sensor_id", "date", "hour", "count"], each)?;
    Ok((sensors.into_iter().map(|((_, id), days)| Sensor { id, days }).collect(), rows))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn the_shipped_file_is_what_its_readme_says() {
        let (sensors, rows) = daily(FILE, GzDecoder::new(EMBEDDED)).expect("the shipped file");
        assert_eq!((sensors.len(), rows), (16, 238_819));
        assert_eq!(sensors[0].id, "2");
        let days = sensors.iter().flat_map(|sensor| sensor.days.keys().copied());
        assert_eq!((days.clone().min(), days.max()), (Some(date(2012, 1, 1)), Some(date(2014, 6, 30))));
    }

    #[test]
    fn hours_add_up_to_days_and_a_missing_day_stays_missing() {
        let text = "sensor_id,date,hour,count\n10,2026-10-25,1,3\n9,2026-10-25,2,4\n10,2026-10-25,2,5\n10,2026-10-26,0,\n8,2026-10-26,0,NA\n10,2026-10-27,0,1\n";
        let (sensors, rows) = daily("t.csv", text.as_bytes()).expect("six rows");
        assert_eq!(rows, 6);
        assert_eq!(sensors.iter().map(|sensor| sensor.id.as_str()).collect::<Vec<_>>(), ["9", "10"]);
        assert_eq!(sensors[1].days, BTreeMap::from([(date(2026, 10, 25), 8.0), (date(2026, 10, 27), 1.0)]));
        assert!(daily("t.csv", "sensor_id,date,hour,count\n1,2026-01-01,24,1\n".as_bytes()).is_err());
    }
}
