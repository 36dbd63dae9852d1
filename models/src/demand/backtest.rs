//! Judged on the past: at each of some origins everything is forecast as it would have been then, by the champion and by every floor, and compared with what came.
//!
//! The floors get their bands from how far they were off at earlier origins, as they would in practice. Who may replace whom is decided here too.

use std::collections::BTreeMap;

use super::bands::bucket;
use super::day::Day;
use super::features::Lookback;
use super::floors;
use super::forecaster::{Answered, DayForecast, Forecaster};
use super::history::Site;
use crate::ModelError;
use crate::quantile;
use crate::score::{Outcome, Score};

/// The floors, in the order of [`Line::floors`].
pub const FLOORS: [&str; 4] = ["seasonal naive", "median of 8 weekdays", "Holt-Winters", "Theta"];
/// Days of history that the smoothing floors look at: older ones weigh nothing in them.
const FLOOR_DAYS: usize = 730;
const WEEK: usize = 7;
/// Earlier origins that the floors' bands are learned at.
const WARM_UP: i32 = 6;
/// Errors without which a floor has no band.
const ERRORS_MIN: usize = 20;

/// How one site was forecast at one horizon, over all origins.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The site's code.
    pub site: u32,
    /// How many days ahead.
    pub horizon: u16,
    /// The champion.
    pub champion: Score,
    /// The floors.
    pub floors: [Score; FLOORS.len()],
}

/// A forecast of a site from an origin, for 1 and more days ahead.
pub type Forecasting<'a> = dyn FnMut(&Lookback<'_>, Day) -> Result<Vec<DayForecast>, ModelError> + 'a;

/// Forecasts every site at every origin for 1 to `horizon_max` days ahead and compares. `forecast` is asked once for each origin and site, in the order of origins,
/// and must not look beyond the origin; days without attendance, and closed ones, are not compared.
pub fn backtest(sites: &[Site], origins: &[Day], horizon_max: u16, forecast: &mut Forecasting<'_>) -> Result<Vec<Line>, ModelError> {
    let mut lines: BTreeMap<(u32, u16), Line> = BTreeMap::new();
    let lookbacks: Vec<Lookback<'_>> = sites.iter().map(Lookback::new).collect();
    let mut bands: Vec<FloorBands> = vec![FloorBands::default(); sites.len()];
    let step = origins.windows(2).map(|pair| pair[1].since(pair[0])).min().unwrap_or(14).max(1);
    if let Some(first) = origins.first() {
        for (lookback, bands) in lookbacks.iter().zip(&mut bands) {
            for back in (1..=WARM_UP).rev() {
                bands.make(lookback, first.plus(-step * back), horizon_max);
            }
        }
    }
    for origin in origins {
        for (lookback, bands) in lookbacks.iter().zip(&mut bands) {
            bands.mature(lookback, *origin);
            let made = bands.make(lookback, *origin, horizon_max);
            for day in forecast(lookback, *origin)? {
                let actual = f64::from(lookback.value(day.day));
                if actual.is_nan() || day.by == Answered::Closure {
                    continue;
                }
                let key = (lookback.site().code, day.horizon);
                let line = lines.entry(key).or_insert_with(|| Line {
                    site: key.0,
                    horizon: key.1,
                    champion: Score::default(),
                    floors: [Score::default(); 4],
                });
                line.champion.take(Outcome { actual, low: day.band.low_80, median: day.band.median, high: day.band.high_80 });
                for (floor, score) in line.floors.iter_mut().enumerate() {
                    let median = made[floor][usize::from(day.horizon) - 1];
                    let (low, high) = bands.band(floor, day.horizon);
                    score.take(Outcome { actual, low: (median * low).min(median), median, high: (median * high).max(median) });
                }
            }
        }
    }
    Ok(lines.into_values().collect())
}

/// What the floors said of one site, and how what came stood to it.
#[derive(Debug, Clone, Default)]
struct FloorBands {
    /// Forecasts whose days may not be over: the origin and, per floor, the days ahead.
    made: Vec<(Day, [Vec<f64>; FLOORS.len()])>,
    /// Attendance over forecast, per floor and bucket of horizons.
    ratios: BTreeMap<(usize, usize), Vec<f64>>,
}

impl FloorBands {
    fn make(&mut self, lookback: &Lookback<'_>, origin: Day, horizon_max: u16) -> [Vec<f64>; FLOORS.len()] {
        let steps = usize::from(horizon_max);
        let first = lookback.site().first.max(origin.plus(1 - FLOOR_DAYS as i32));
        let series: Vec<f64> = (first.0..=origin.0).map(|day| f64::from(lookback.value(Day(day)))).collect();
        let made = [
            floors::seasonal_naive(&series, WEEK, steps),
            floors::seasonal_median(&series, WEEK, 8, steps),
            floors::holt_winters(&series, WEEK, steps),
            floors::theta(&series, WEEK, steps),
        ];
        self.made.push((origin, made.clone()));
        made
    }

    /// Moves forecasts whose days are over by `origin` into the ratios.
    fn mature(&mut self, lookback: &Lookback<'_>, origin: Day) {
        let over = |made: &(Day, [Vec<f64>; FLOORS.len()])| made.0.plus(made.1[0].len() as i32) <= origin;
        let (done, open): (Vec<_>, Vec<_>) = std::mem::take(&mut self.made).into_iter().partition(over);
        self.made = open;
        for (from, floors) in done {
            for (floor, forecast) in floors.iter().enumerate() {
                for (step, value) in forecast.iter().enumerate() {
                    let horizon = step as u16 + 1;
                    let actual = f64::from(lookback.value(from.plus(i32::from(horizon))));
                    if !actual.is_nan() && *value > 0.0 {
                        self.ratios.entry((floor, bucket(horizon))).or_default().push((actual / value).min(10.0));
                    }
                }
            }
        }
    }

    fn band(&self, floor: usize, horizon: u16) -> (f64, f64) {
        let of_bucket = self.ratios.get(&(floor, bucket(horizon))).filter(|ratios| ratios.len() >= ERRORS_MIN);
        let mut ratios: Vec<f64> = match of_bucket {
            Some(ratios) => ratios.clone(),
            None => self.ratios.iter().filter(|((of, _), _)| *of == floor).flat_map(|(_, ratios)| ratios.iter().copied()).collect(),
        };
        if ratios.len() < ERRORS_MIN { (0.5, 1.5) } else { (quantile::of_sample(&mut ratios, 0.1), quantile::of_sample(&mut ratios, 0.9)) }
    }
}

/// How some models and the two plainest floors did on the same days of one region.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The models, in the order in which they were asked.
    pub models: Vec<Score>,
    /// The last same weekday again.
    pub naive: Score,
    /// The median of the last eight same weekdays.
    pub median: Score,
}

impl Trial {
    /// Nothing judged yet, of so many models.
    #[must_use]
    pub fn of(models: usize) -> Self {
        Self { models: vec![Score::default(); models], naive: Score::default(), median: Score::default() }
    }

    /// Adds what was judged elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.models.iter_mut().zip(&other.models).for_each(|(sum, score)| sum.add(score));
        self.naive.add(&other.naive);
        self.median.add(&other.median);
    }
}

/// Judges models on the days after `from` up to `to`, region by region: at every `every`-th day from `from` on each forecasts what of these days all can reach. A
/// model that was fitted on some of them has an advantage: whoever asks must know.
pub fn trial(sites: &[Site], models: &[&Forecaster], from: Day, to: Day, every: usize) -> Result<BTreeMap<String, Trial>, ModelError> {
    let reach = models.iter().map(|model| model.horizon_max()).min().unwrap_or(0);
    let mut regions: BTreeMap<String, Trial> = BTreeMap::new();
    for site in sites {
        let lookback = Lookback::new(site);
        let sum = regions.entry(site.region.clone()).or_insert_with(|| Trial::of(models.len()));
        for origin in (from.0..to.0).step_by(every.max(1)).map(Day) {
            for horizon in 1..=reach.min(u16::try_from(to.since(origin)).unwrap_or(u16::MAX)) {
                let day = origin.plus(i32::from(horizon));
                let actual = f64::from(lookback.value(day));
                if actual.is_nan() {
                    continue;
                }
                for (model, score) in models.iter().zip(&mut sum.models) {
                    let band = model.day(&lookback, origin, horizon)?.band;
                    score.take(Outcome { actual, low: band.low_80, median: band.median, high: band.high_80 });
                }
                let (naive, median) = lookback.floors(origin, horizon);
                let point = |median: f64| Outcome { actual, low: median, median, high: median };
                // Where a site has nothing to repeat a floor says nothing, and costs it nothing.
                [(&mut sum.naive, naive), (&mut sum.median, median)]
                    .into_iter()
                    .filter(|(_, said)| said.is_finite())
                    .for_each(|(sum, said)| sum.take(point(said)));
            }
        }
    }
    Ok(regions)
}

/// How two models did on the same days of one region: the mean pinball loss over mean attendance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contest {
    /// The champion's.
    pub champion: Score,
    /// The challenger's.
    pub challenger: Score,
}

/// By how much a challenger must be better over all, as a share of the champion's scaled pinball loss.
const BETTER: f64 = 0.01;
/// By how much it may be worse in a region.
const WORSE: f64 = 0.03;
/// Outcomes without which nothing is proven.
pub const OUTCOMES_MIN: u64 = 200;

/// Whether a challenger takes over: it wins by more than 1% of the scaled pinball loss over all and is worse by more than 3% in no region. Without evidence, no.
#[must_use]
pub fn promotes(regions: &[Contest]) -> bool {
    let (mut champion, mut challenger) = (Score::default(), Score::default());
    for region in regions {
        champion.add(&region.champion);
        challenger.add(&region.challenger);
    }
    let same_days = regions.iter().all(|region| region.champion.count == region.challenger.count);
    let wins = challenger.sql() < (1.0 - BETTER) * champion.sql();
    let hurts = |region: &Contest| region.challenger.sql() > (1.0 + WORSE) * region.champion.sql();
    same_days && champion.count >= OUTCOMES_MIN && wins && !regions.iter().any(hurts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(miss: f64, count: u32) -> Score {
        Score::of((0..count).map(|_| Outcome { actual: 100.0, low: 90.0, median: 100.0 + miss, high: 120.0 + miss }).collect::<Vec<_>>().iter())
    }

    #[test]
    fn a_challenger_needs_evidence_and_must_hurt_no_region() {
        let contest = |champion: f64, challenger: f64, count| Contest { champion: score(champion, count), challenger: score(challenger, count) };
        assert!(promotes(&[contest(10.0, 9.0, 300), contest(10.0, 10.1, 300)]));
        assert!(!promotes(&[contest(10.0, 10.0, 300)]), "a draw");
        assert!(!promotes(&[contest(10.0, 5.0, 20)]), "too few days");
        assert!(!promotes(&[contest(10.0, 5.0, 300), contest(10.0, 12.0, 300)]), "a region is hurt");
        assert!(!promotes(&[]), "nothing");
        assert!(!promotes(&[Contest { champion: score(10.0, 300), challenger: score(1.0, 290) }]), "other days");
    }
}
