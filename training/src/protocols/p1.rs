//! P1: attendance per site and day, 1 to 28 days ahead. The last 182 days (those of a test file of its own, if these are fewer) are forecast from origins every 14
//! days, the first the day before; everything is learned from days that are over at the origin. Sensors in a street stand for sites; a day without a reading counts
//! as zero, as the protocol says.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use jiff::civil::Date;
use tornello_datasets::holidays::{self, Holidays};
use tornello_datasets::pedestrians::{self, Sensor};
use tornello_models::demand::backtest::{self, FLOORS, Line};
use tornello_models::demand::forecaster::HELD_OUT_DAYS;
use tornello_models::demand::{Calendar, Day, DayFlags, Forecaster, Settings, Site, bands};
use tornello_models::score::{Score, naive_error};

use super::{DATES_MAX, day};
use crate::Inputs;
use crate::progress::Progress;
use crate::report::{Aim, Comparison, Report, cpu_time};
use crate::source::Source;

/// The shipped file and its name.
pub(crate) use pedestrians::{EMBEDDED, FILE};

/// Days of the test.
const TEST_DAYS: i32 = 182;
const ORIGIN_EVERY: i32 = 14;
const HORIZON_MAX: u16 = 28;
/// Days before the first origin that a series needs.
const DAYS_BEFORE: usize = 400;
/// The most series, largest first.
const SERIES_MAX: usize = 12;
/// Origins between two fits: the trees are fitted afresh every 28 days.
const REFIT_EVERY: usize = 2;
/// At least one in so many of the newest days must have a reading somewhere.
const READ_MIN: usize = 10;
/// Whose holidays hold where nothing else is said.
const HOLIDAYS: &str = "AU-VIC";

/// Runs the protocol with the settings of the product, but for a reach of 28 days.
pub fn evaluate(inputs: &Inputs, progress: Progress) -> anyhow::Result<Report> {
    evaluate_with(inputs, &Settings { horizon_max: HORIZON_MAX, ..Settings::default() }, progress)
}

/// Runs the protocol with settings that are to be tried.
pub fn evaluate_with(inputs: &Inputs, settings: &Settings, progress: Progress) -> anyhow::Result<Report> {
    let mut report = Report::new("P1: attendance per day, 1 to 28 days ahead");
    let (sites, origins) = read(inputs, &mut report)?;
    let refit_on: Vec<Day> = origins.iter().step_by(REFIT_EVERY).copied().collect();
    let known = refit_on.iter().filter(|day| refit_on.contains(&day.plus(-HELD_OUT_DAYS))).count();
    let stage = progress.stage("fitting", u64::from(settings.recipe.rounds) * (2 * refit_on.len() - known) as u64);
    let before = cpu_time();
    let mut champion_time = std::time::Duration::ZERO;
    let mut settings = settings.clone();
    // The fits so far: the trees of one measure the bands of another that follows 84 days later.
    let mut fitted: Vec<Forecaster> = Vec::new();
    // What was served since the last fit and is over by the next: whether the band held.
    let mut served: Vec<(Day, bool)> = Vec::new();
    let lines = backtest::backtest(&sites, &origins, HORIZON_MAX, &mut |lookback, origin| {
        let started = cpu_time();
        if refit_on.contains(&origin) && fitted.last().is_none_or(|fitted| fitted.fitted_on() != origin) {
            let (over, open): (Vec<_>, Vec<_>) = served.drain(..).partition(|(day, _)| *day <= origin);
            served = open;
            let held = over.iter().filter(|(_, held)| *held).count() as u64;
            settings.share_80 = bands::next_share(settings.share_80, held, over.len() as u64);
            let fit = Forecaster::fit_after(&sites, origin, &settings, &fitted, &mut |_| stage.step())?;
            fitted.push(fit);
        }
        let Some(forecaster) = fitted.last() else { return Ok(Vec::new()) };
        let forecasts = (1..=HORIZON_MAX).map(|horizon| forecaster.day(lookback, origin, horizon)).collect::<Result<Vec<_>, _>>()?;
        for day in &forecasts {
            // Kept with its day, and looked at only when that day is over.
            let came = f64::from(lookback.value(day.day));
            if !came.is_nan() {
                served.push((day.day, (day.band.low_80..=day.band.high_80).contains(&came)));
            }
        }
        champion_time += cpu_time() - started;
        Ok(forecasts)
    })?;
    let floors_time = cpu_time() - before - champion_time;
    figures(&mut report, &lines, &sites, &origins);
    report.metric("cpu_champion_s", champion_time.as_secs_f64(), "seconds of processor time", Some(Aim::AtMost(20.0)));
    report.metric("cpu_floors_s", floors_time.as_secs_f64(), "seconds of processor time", None);
    Ok(report)
}

/// The series that qualify, and the origins.
fn read(inputs: &Inputs, report: &mut Report) -> anyhow::Result<(Vec<Site>, Vec<Day>)> {
    let source = Source::open(inputs.data.as_deref(), FILE, EMBEDDED)?;
    let (mut sensors, rows) = pedestrians::daily(&source.name, source.text())?;
    report.data.push((source.name.clone(), source.sha256(), rows));
    let mut tested: Option<Vec<String>> = None;
    let mut test_from: Option<Date> = None;
    if let Some(path) = &inputs.test_data {
        let source = Source::read(path)?;
        let (test, rows) = pedestrians::daily(&source.name, source.text())?;
        report.data.push((source.name.clone(), source.sha256(), rows));
        tested = Some(test.iter().map(|sensor| sensor.id.clone()).collect());
        test_from = test.iter().filter_map(|sensor| sensor.days.keys().min()).min().copied();
        merge(&mut sensors, test);
    }
    let region = inputs.holidays.as_deref().unwrap_or(HOLIDAYS);
    let known = known_holidays(region)?;
    let is_tested = |sensor: &Sensor| tested.as_ref().is_none_or(|tested| tested.contains(&sensor.id));
    let last =
        sensors.iter().filter(|sensor| is_tested(sensor)).filter_map(|sensor| sensor.days.keys().max()).max().context("the file has no day")?;
    let (newest, last) = (*last, day(*last)?);
    // What was before a test file is there to learn from, and not to be judged by.
    let window = test_from.map(day).transpose()?.map_or(TEST_DAYS, |from| TEST_DAYS.min(last.since(from) + 1));
    let first_origin = last.plus(-window);
    let origins: Vec<Day> = (0..window).step_by(ORIGIN_EVERY as usize).map(|days| first_origin.plus(days)).collect();
    let mut series = Vec::new();
    for sensor in sensors.iter().filter(|sensor| is_tested(sensor)) {
        let before = sensor.days.iter().map(|(date, people)| Ok((day(*date)?, *people))).collect::<anyhow::Result<Vec<_>>>()?;
        let before: Vec<f64> = before.into_iter().filter(|(day, _)| *day <= first_origin).map(|(_, people)| people).collect();
        if before.len() >= DAYS_BEFORE {
            series.push((before.iter().sum::<f64>() / before.len() as f64, sensor));
        }
    }
    ensure!(!series.is_empty(), "no series has {DAYS_BEFORE} days before the first origin: this protocol has nothing to judge");
    ensure_read(sensors.iter().filter(|sensor| is_tested(sensor)), newest, window)?;
    series.sort_by(|a, b| b.0.total_cmp(&a.0));
    series.truncate(SERIES_MAX);
    report.notes.extend(unknown_years(region, &known, &sensors));
    // Codes in the order of the file, not of size, so that they do not depend on what is tested.
    series.sort_by_key(|(_, sensor)| sensors.iter().position(|other| other.id == sensor.id));
    let sites = series.iter().enumerate().map(|(code, (_, sensor))| site(code as u32, sensor, last, &known)).collect::<anyhow::Result<Vec<_>>>()?;
    report.notes.push(format!(
        "{} series, {} origins, holidays of {region}; trees fitted afresh every {} days",
        sites.len(),
        origins.len(),
        ORIGIN_EVERY * REFIT_EVERY as i32
    ));
    Ok((sites, origins))
}

/// The holidays of a region that the shipped table knows.
fn known_holidays(region: &str) -> anyhow::Result<Holidays> {
    let known = holidays::of(region)?;
    let regions = || holidays::regions().map(|regions| regions.into_iter().collect::<Vec<_>>().join(", ")).unwrap_or_default();
    ensure!(known.iter().next().is_some(), "no holidays are known of {region}; known are {}", regions());
    Ok(known)
}

/// Says of which years of the data no holidays are known, if there are any.
fn unknown_years(region: &str, known: &Holidays, sensors: &[Sensor]) -> Option<String> {
    let years: BTreeSet<i16> = sensors.iter().flat_map(|sensor| sensor.days.keys().map(|date| date.year())).collect();
    let lacking: Vec<String> = years.difference(&known.years()).map(ToString::to_string).collect();
    (!lacking.is_empty()).then(|| format!("no holidays of {region} are known for {}: all days of these years count as ordinary", lacking.join(", ")))
}

/// All series of a file as sites, and how many rows it has: what the forecaster is fitted on outside the protocol.
pub(crate) fn all_sites(source: &Source, region: &str, notes: &mut Vec<String>) -> anyhow::Result<(Vec<Site>, u64)> {
    let (sensors, rows) = pedestrians::daily(&source.name, source.text())?;
    let known = known_holidays(region)?;
    notes.extend(unknown_years(region, &known, &sensors));
    let last = sensors.iter().filter_map(|sensor| sensor.days.keys().max()).max().context("the file has no day")?;
    ensure_read(sensors.iter(), *last, TEST_DAYS)?;
    let last = day(*last)?;
    let sites = sensors.iter().enumerate().map(|(code, sensor)| site(code as u32, sensor, last, &known)).collect::<anyhow::Result<_>>()?;
    Ok((sites, rows))
}

/// Refuses data of which a date must be wrong: a day without a reading counts as zero, and up to a mistyped one there may be years of them, to be learned and judged.
fn ensure_read<'a>(sensors: impl Iterator<Item = &'a Sensor>, newest: Date, window: i32) -> anyhow::Result<()> {
    let (mut oldest, mut read) = (newest, BTreeSet::new());
    let last = day(newest)?;
    for date in sensors.flat_map(|sensor| sensor.days.keys()) {
        oldest = oldest.min(*date);
        if last.since(day(*date)?) < window {
            read.insert(*date);
        }
    }
    let dates = last.since(day(oldest)?) + 1;
    ensure!(dates as usize <= DATES_MAX, "days from {oldest} to {newest}: a date must be wrong");
    let window = window.min(dates);
    ensure!(
        read.len() * READ_MIN >= window as usize,
        "of the {window} days up to {newest} only {} have a reading anywhere: a date must be wrong",
        read.len()
    );
    Ok(())
}

/// Adds the days of a test file; where both have a day, the test file says what it was.
fn merge(sensors: &mut Vec<Sensor>, test: Vec<Sensor>) {
    for sensor in test {
        match sensors.iter_mut().find(|known| known.id == sensor.id) {
            Some(known) => known.days.extend(sensor.days),
            None => sensors.push(sensor),
        }
    }
}

/// A sensor as a site: days without a reading are zero between its first day and the last of the file.
fn site(code: u32, sensor: &Sensor, last: Day, known: &Holidays) -> anyhow::Result<Site> {
    let first = day(*sensor.days.keys().min().context("a sensor without a day")?)?;
    let mut attendance = vec![0.0; usize::try_from(last.since(first) + 1)?];
    for (date, people) in &sensor.days {
        if let Some(value) = usize::try_from(day(*date)?.since(first)).ok().and_then(|place| attendance.get_mut(place)) {
            *value = *people as f32;
        }
    }
    let calendar = Calendar::of(first.plus(-370), last.plus(60), |day| {
        let (year, month, day) = day.date();
        let date = Date::new(year as i16, month as i8, day as i8);
        DayFlags { holiday: date.is_ok_and(|date| known.contains(date)), ..DayFlags::default() }
    });
    Ok(Site { name: sensor.id.clone(), region: String::new(), code, first, attendance, calendar, books: Vec::new() })
}

fn figures(report: &mut Report, lines: &[Line], sites: &[Site], origins: &[Day]) {
    let sum = |of: &dyn Fn(&Line) -> Option<Score>| {
        lines.iter().filter_map(of).fold(Score::default(), |mut sum, score| {
            sum.add(&score);
            sum
        })
    };
    let of_model = |model: usize, line: &Line| if model == 0 { line.champion } else { line.floors[model - 1] };
    let mase = |model: usize| {
        let of_site = |site: &Site| {
            let before =
                site.attendance.iter().take((origins[0].since(site.first) + 1).max(0) as usize).map(|value| f64::from(*value)).collect::<Vec<_>>();
            let score = sum(&|line| (line.site == site.code).then(|| of_model(model, line)));
            naive_error(&before, 7).map(|naive| score.mae() / naive)
        };
        let scaled: Vec<f64> = sites.iter().filter_map(of_site).collect();
        scaled.iter().sum::<f64>() / scaled.len() as f64
    };
    let row = |model: usize| {
        let all = sum(&|line| Some(of_model(model, line)));
        let at = |horizon: u16| sum(&|line| (line.horizon == horizon).then(|| of_model(model, line))).wape();
        vec![all.wape(), all.sql(), all.coverage(), at(1), at(7), at(28), mase(model), all.bias(), all.width()]
    };
    let champion = row(0);
    report.metric("wape", champion[0], "of attendance", Some(Aim::AtMost(0.104)));
    report.metric("sql", champion[1], "of attendance", Some(Aim::AtMost(0.036)));
    report.metric("coverage80", champion[2], "of days", Some(Aim::Between(0.77, 0.83)));
    for (name, value) in ["wape_h1", "wape_h7", "wape_h28", "mase", "bias", "width80"].into_iter().zip(&champion[3..]) {
        report.metric(name, *value, if name == "mase" { "of the naive error" } else { "of attendance" }, None);
    }
    let names = std::iter::once("quantile trees (champion)").chain(FLOORS);
    report.comparisons.push(Comparison {
        title: "Over 1 to 28 days ahead, beside the floors".to_owned(),
        key: "models",
        figures: ["wape", "sql", "coverage80", "wape_h1", "wape_h7", "wape_h28", "mase", "bias", "width80"].map(str::to_owned).to_vec(),
        rows: names.enumerate().map(|(model, name)| (name.to_owned(), row(model))).collect(),
    });
    report.comparisons.push(Comparison {
        title: "WAPE and coverage per site, beside the median of 8 weekdays".to_owned(),
        key: "sites",
        figures: ["wape", "coverage80", "median_wape"].map(str::to_owned).to_vec(),
        rows: sites
            .iter()
            .map(|site| {
                let of = |model: usize| sum(&|line| (line.site == site.code).then(|| of_model(model, line)));
                (site.name.clone(), vec![of(0).wape(), of(0).coverage(), of(2).wape()])
            })
            .collect(),
    });
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn file(name: &str, first: Date, days: i64) -> std::path::PathBuf {
        let mut text = "sensor_id,date,hour,count\n".to_owned();
        for number in 0..days {
            let _ = writeln!(text, "7,{},12,{}", first + jiff::Span::new().days(number), 100 + number % 7);
        }
        let path = std::env::temp_dir().join(format!("tornello-p1-{name}-{}.csv", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn a_short_test_file_is_all_that_is_judged() {
        let first = jiff::civil::date(2012, 3, 1);
        let paths = [file("data", first, 700), file("test", first + jiff::Span::new().days(700), 60)];
        let origins = |data: usize, test: Option<usize>| {
            let inputs = Inputs { data: Some(paths[data].clone()), test_data: test.map(|test| paths[test].clone()), holidays: None };
            let (sites, origins) = read(&inputs, &mut Report::new("P1")).unwrap();
            (sites[0].attendance.len(), origins.len(), origins[0].since(sites[0].first))
        };
        // The day before the window, counted from the first: of 700 days and 182 of them, of 760 and 60 of them.
        assert_eq!((origins(0, None), origins(0, Some(1))), ((700, 13, 517), (760, 5, 699)));
        for path in paths {
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn years_without_holidays_are_told() {
        let known = known_holidays("AU-VIC").unwrap();
        let sensors = |years: &[i16]| {
            let days = years.iter().map(|year| (jiff::civil::date(*year, 7, 1), 5.0)).collect();
            [Sensor { id: "7".to_owned(), days }]
        };
        assert_eq!(unknown_years("AU-VIC", &known, &sensors(&[2011, 2012, 2019])), None);
        let told = unknown_years("AU-VIC", &known, &sensors(&[2040, 2003, 2014, 2002])).unwrap();
        assert!(told.contains("known for 2002, 2003, 2040:"), "{told}");
    }
}
