//! P2: attendance per month, 1 to 12 months ahead. Sites with 36 months and more before the test, the twelve largest; the last 48 months of each up to February
//! 2020 (those of a test file of its own, if these are fewer) are forecast from origins every three months. A month without a figure stays without one.

use std::collections::BTreeMap;

use anyhow::ensure;
use tornello_datasets::museum_visits::{self, Month, Museum};
use tornello_models::demand::{floors, months};
use tornello_models::score::{Outcome, Score};

use crate::Inputs;
use crate::progress::Progress;
use crate::report::{Aim, Comparison, Report};
use crate::source::Source;

/// The last month before the pandemic closed museums: what came then no model of seasons can know.
const LAST: Month = Month::new(2020, 2);
const MONTHS_BEFORE: usize = 36;
const TEST_MONTHS: i32 = 48;
const ORIGIN_EVERY: i32 = 3;
const STEPS: usize = 12;
const SERIES_MAX: usize = 12;
const SEASON: usize = 12;
const MODELS: [&str; 6] =
    ["mean of the three below (champion)", "Theta", "Holt-Winters", "median of 3 years", "seasonal naive", "last year x growth"];

/// Runs the protocol.
pub fn evaluate(inputs: &Inputs, progress: Progress) -> anyhow::Result<Report> {
    let mut report = Report::new("P2: attendance per month, 1 to 12 months ahead");
    let source = Source::open(inputs.data.as_deref(), museum_visits::FILE, museum_visits::EMBEDDED)?;
    let (mut museums, rows) = museum_visits::monthly(&source.name, source.text())?;
    report.data.push((source.name.clone(), source.sha256(), rows));
    let mut tested: Option<BTreeMap<String, Month>> = None;
    // A file that begins after the pandemic's first month means what it has.
    let begins_later = |museums: &[Museum]| museums.iter().filter_map(|museum| museum.months.keys().next()).all(|month| *month > LAST);
    let mut end = if begins_later(&museums) { Month(i32::MAX) } else { LAST };
    if let Some(path) = &inputs.test_data {
        let source = Source::read(path)?;
        let (test, rows) = museum_visits::monthly(&source.name, source.text())?;
        report.data.push((source.name.clone(), source.sha256(), rows));
        if begins_later(&test) {
            end = Month(i32::MAX);
        }
        let begins = |museum: &Museum| museum.months.keys().next().map(|first| (museum.id.clone(), *first));
        tested = Some(test.iter().filter(|museum| !museum.group).filter_map(begins).collect());
        for museum in test {
            match museums.iter_mut().find(|known| known.id == museum.id && known.group == museum.group) {
                Some(known) => known.months.extend(museum.months),
                None => museums.push(museum),
            }
        }
    }
    museums.retain(|museum| !museum.group && tested.as_ref().is_none_or(|tested| tested.contains_key(&museum.id)));
    ensure!(!museums.is_empty(), "the file has no row of level site that is to be judged");
    let newest = |museum: &Museum| museum.months.range(..=end).next_back().map(|(month, _)| *month);
    // What was before a test file is there to learn from, and not to be judged by.
    let test_from = |museum: &Museum| tested.as_ref().and_then(|tested| tested.get(&museum.id)).map_or(i32::MIN, |first| first.0 - 1);
    let first_origin = |museum: &Museum| {
        let newest = newest(museum)?;
        let origin = Month((newest.0 - TEST_MONTHS).max(test_from(museum)));
        (origin < newest).then_some(origin)
    };
    let before = |museum: &Museum| first_origin(museum).map_or(0, |origin| museum.months.range(..=origin).count());
    museums.retain(|museum| before(museum) >= MONTHS_BEFORE);
    let left_out = if end == LAST { format!(" (what came after {LAST} is not looked at)") } else { String::new() };
    ensure!(
        !museums.is_empty(),
        "no site has {MONTHS_BEFORE} months before the {TEST_MONTHS} that are forecast{left_out}: this protocol has nothing to judge"
    );
    let size = |museum: &Museum| museum.months.range(..=end).map(|(_, visits)| visits).sum::<f64>() / museum.months.range(..=end).count() as f64;
    museums.sort_by(|a, b| size(b).total_cmp(&size(a)));
    museums.truncate(SERIES_MAX);

    let stage = progress.stage("months", museums.len() as u64);
    let mut scores = vec![[Score::default(); STEPS]; MODELS.len()];
    let mut of_site = Vec::new();
    for museum in &museums {
        let mut site = [Score::default(); 2];
        let (Some(first_origin), Some(last)) = (first_origin(museum), newest(museum)) else { continue };
        for origin in (first_origin.0..last.0).step_by(ORIGIN_EVERY as usize).map(Month) {
            let forecasts = forecasts(&series(museum, origin));
            for step in 0..STEPS {
                let month = Month(origin.0 + step as i32 + 1);
                let Some(actual) = museum.months.get(&month).filter(|_| month <= last) else { continue };
                for (forecast, score) in forecasts.iter().zip(&mut scores) {
                    score[step].take(point(*actual, forecast[step]));
                }
                site[0].take(point(*actual, forecasts[0][step]));
                site[1].take(point(*actual, forecasts[4][step]));
            }
        }
        of_site.push((museum.id.clone(), site.iter().map(Score::wape).collect()));
        stage.step();
    }
    let figures = |scores: &[Score; STEPS]| {
        let mut all = Score::default();
        scores.iter().for_each(|score| all.add(score));
        vec![all.wape(), scores[0].wape(), all.bias()]
    };
    let champion = figures(&scores[0]);
    report.metric("wape", champion[0], "of visits", Some(Aim::AtMost(0.142)));
    report.metric("wape_h1", champion[1], "of visits", None);
    report.metric("bias", champion[2], "of visits", None);
    report.notes.push(format!("{} sites, the last {TEST_MONTHS} months of each{left_out}, origins every {ORIGIN_EVERY} months", museums.len()));
    report.comparisons.push(Comparison {
        title: "Over 1 to 12 months ahead".to_owned(),
        key: "models",
        figures: ["wape", "wape_h1", "bias"].map(str::to_owned).to_vec(),
        rows: MODELS.iter().map(|name| (*name).to_owned()).zip(scores.iter().map(figures)).collect(),
    });
    report.comparisons.push(Comparison {
        title: "WAPE per site, beside the seasonal naive".to_owned(),
        key: "sites",
        figures: ["wape", "naive_wape"].map(str::to_owned).to_vec(),
        rows: of_site,
    });
    Ok(report)
}

const fn point(actual: f64, median: f64) -> Outcome {
    Outcome { actual, low: median, median, high: median }
}

/// The months of a museum up to an origin; NaN where there is no figure.
fn series(museum: &Museum, origin: Month) -> Vec<f64> {
    let first = museum.months.keys().min().copied().unwrap_or(origin);
    (first.0..=origin.0).map(|month| museum.months.get(&Month(month)).copied().unwrap_or(f64::NAN)).collect()
}

fn forecasts(series: &[f64]) -> Vec<Vec<f64>> {
    let members = months::members(series, STEPS);
    let floors = [floors::seasonal_naive(series, SEASON, STEPS), floors::last_season_grown(series, SEASON, 12, STEPS)];
    std::iter::once(months::forecast(series, STEPS)).chain(members).chain(floors).collect()
}
