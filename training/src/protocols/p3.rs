//! P3: how many bookings of a day will be kept, from those on the books 1, 7 and 28 days before. The last quarter of the dates is forecast; whatever is learned is
//! learned from dates that are over at the origin, afresh every 28 days.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use jiff::civil::Date;
use tornello_datasets::books::{self, Booking};
use tornello_datasets::hotel;
use tornello_models::demand::day::Day;
use tornello_models::demand::pickup::{Curve, Pickup};

use super::{DATES_MAX, day};
use crate::Inputs;
use crate::progress::Progress;
use crate::report::{Aim, Comparison, Report};
use crate::source::Source;

const HORIZONS: [u16; 3] = [1, 7, 28];
const AIMS: [f64; 3] = [0.061, 0.116, 0.168];
const REFIT_DAYS: usize = 28;
const MODELS: [&str; 5] = ["seasonal naive", "on the books", "additive", "multiplicative", "ridge"];

/// Runs the protocol.
pub fn evaluate(inputs: &Inputs, progress: Progress) -> anyhow::Result<Report> {
    let mut report = Report::new("P3: bookings kept of those on the books");
    let mut bookings: Vec<Booking> = Vec::new();
    let mut test_from = None;
    let sources = std::iter::once(Source::open(inputs.data.as_deref(), hotel::FILE, hotel::EMBEDDED))
        .chain(inputs.test_data.as_deref().map(Source::read))
        .collect::<anyhow::Result<Vec<_>>>()?;
    for (place, source) in sources.iter().enumerate() {
        let read = books::bookings(&source.name, source.text()).with_context(|| format!("reading the bookings of {}", source.name))?;
        report.data.push((source.name.clone(), source.sha256(), read.len() as u64));
        if place == 1 {
            test_from = read.iter().map(|booking| booking.visit).min();
            // What came on a day is counted once: where both files have it, the test file says.
            let tested: BTreeSet<Date> = read.iter().map(|booking| booking.visit).collect();
            let before = bookings.len();
            bookings.retain(|booking| !tested.contains(&booking.visit));
            if bookings.len() < before {
                report.notes.push(format!(
                    "{} bookings of {} are for days that {} has too, and left out",
                    before - bookings.len(),
                    sources[0].name,
                    source.name
                ));
            }
        }
        bookings.extend(read);
    }
    let visits = bookings.iter().map(|booking| booking.visit);
    let (first, last) = (visits.clone().min().context("no bookings")?, visits.max().context("no bookings")?);
    let dates = (day(last)?.since(day(first)?) + 1) as usize;
    let names = || sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>().join(" and ");
    ensure!(dates <= DATES_MAX, "{}: arrivals from {first} to {last}: a date must be wrong", names());
    // The cut of the protocol, or the first day of a test file of its own.
    let cut = match test_from {
        Some(from) => usize::try_from(day(from)?.since(day(first)?))?,
        None => dates * 3 / 4,
    };
    ensure!(
        cut >= 120 && cut < dates,
        "{dates} days of arrivals, of which {cut} to learn from, are too few for this protocol: it needs 120 before those it tests"
    );

    let stage = progress.stage("booking curves", HORIZONS.len() as u64);
    let mut wape = vec![Vec::new(); MODELS.len()];
    for horizon in HORIZONS {
        let curve = curve(&bookings, day(first)?, dates, horizon);
        let errors = errors(&curve, cut)?;
        errors.iter().zip(&mut wape).for_each(|(error, wape)| wape.push(*error));
        stage.step();
    }
    for ((horizon, aim), value) in HORIZONS.into_iter().zip(AIMS).zip(&wape[MODELS.len() - 1]) {
        report.metric(&format!("wape_h{horizon}"), *value, "of kept bookings", Some(Aim::AtMost(aim)));
    }
    report
        .notes
        .push(format!("the last {} of {dates} days of arrival are forecast; the ridge is fitted afresh every {REFIT_DAYS} days", dates - cut));
    report.comparisons.push(Comparison {
        title: "WAPE by days before arrival, beside the floors".to_owned(),
        key: "models",
        figures: HORIZONS.map(|horizon| format!("wape_h{horizon}")).to_vec(),
        rows: MODELS.iter().map(|name| (*name).to_owned()).zip(wape).collect(),
    });
    Ok(report)
}

/// The WAPE of each model over the days from `cut` on.
fn errors(curve: &Curve, cut: usize) -> anyhow::Result<[f64; MODELS.len()]> {
    let (mut wrong, mut came_sum) = ([0.0; MODELS.len()], 0.0);
    let mut pickup = None;
    for place in cut..curve.came.len() {
        let target = curve.first.plus(place as i32);
        if (place - cut).is_multiple_of(REFIT_DAYS) {
            pickup = Some(Pickup::fit(std::slice::from_ref(curve), target.plus(-i32::from(curve.horizon)))?);
        }
        let pickup = pickup.as_ref().context("the first day of the test fits")?;
        let came = curve.came[place];
        let forecasts = [curve.naive(target), curve.booked(target), curve.added(target), curve.multiplied(target), pickup.forecast(curve, target)];
        for (wrong, forecast) in wrong.iter_mut().zip(forecasts) {
            *wrong += (forecast.context("a day of the test has a past")? - came).abs();
        }
        came_sum += came;
    }
    Ok(wrong.map(|wrong| wrong / came_sum))
}

/// What came of each day, and what was on the books `horizon` days before.
fn curve(bookings: &[Booking], first: Day, dates: usize, horizon: u16) -> Curve {
    let mut curve = Curve { horizon, first, came: vec![0.0; dates], booked: vec![0.0; dates] };
    let mut days = BTreeMap::new();
    let mut number = |date: Date| *days.entry(date).or_insert_with(|| day(date).unwrap_or(first));
    for booking in bookings {
        let (made, visit, cancelled) = (number(booking.made), number(booking.visit), booking.cancelled.map(&mut number));
        let place = visit.since(first) as usize;
        let look = visit.plus(-i32::from(horizon));
        if booking.kept {
            curve.came[place] += 1.0;
        }
        if made <= look && cancelled.is_none_or(|cancelled| cancelled > look) {
            curve.booked[place] += 1.0;
        }
    }
    curve
}
