//! The forecaster: fitted on all sites, asked for one. It is what a service holds in memory and what an artifact contains.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize, Serializer};

use super::bands::{Band, Correction, Miss};
use super::champion::{self, Settings};
use super::cold_start::ColdStart;
use super::day::Day;
use super::features::{self, Lookback, Theme};
use super::history::Site;
use crate::ModelError;
use crate::boost::{self, Boosted};
use crate::score::{Outcome, Score};

/// The farthest day ahead that any forecaster may be asked for: columns of last year would lie after the origin beyond.
pub const HORIZON_MAX: u16 = 300;
/// The newest days, which the trees that measure the bands have not seen.
pub const HELD_OUT_DAYS: i32 = 84;
/// Every so many days of them is an origin: the errors of neighbouring origins are much the same.
const HELD_OUT_STEP: usize = 3;
/// In so many parts, three weeks each, they are judged: each by the bands that the others correct, as a band holds whatever has corrected it.
const HELD_OUT_PARTS: i32 = 4;

/// What was added up may be off by so much of a level: floats have no more places.
const EXPLAINED: f32 = 5e-5;

/// The forecast of one day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DayForecast {
    /// The day.
    pub day: Day,
    /// How many days after the origin it is.
    pub horizon: u16,
    /// Visitors: the median and the bands. On a planned closure, zero.
    pub band: Band,
    /// What answered.
    pub by: Answered,
}

/// What answers for a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    /// The site is closed that day, as planned.
    Closure,
    /// The boosted trees.
    Trees,
    /// What is known of sites that are hardly known.
    ColdStart,
}

/// What moved a forecast: visitors more or fewer than an average day of an average site of this level has.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// What it was.
    pub theme: Theme,
    /// By how many visitors it moved the median; below zero it lowers.
    pub visitors: f64,
}

/// Why a forecast is what it is: base and reasons add up to the median, unless that was below zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// Visitors of an average day of an average site of this level.
    pub base: f64,
    /// What moved it from there, the largest first.
    pub reasons: Vec<Reason>,
}

/// How good the forecasts of a site were on the newest days, which neither the trees that were measured nor their bands had seen, beside two floors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// The site's code.
    pub site: u32,
    /// Where the bucket of horizons stands: 1, 2 to 7, 8 to 14, beyond.
    pub bucket: u8,
    /// The champion.
    pub champion: Score,
    /// The last same weekday again.
    pub naive: Score,
    /// The median of the last eight same weekdays.
    pub median: Score,
}

/// All that is kept of a fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Stored {
    settings: Settings,
    fitted_on: Day,
    books: bool,
    trees: Option<Vec<u8>>,
    correction: Correction,
    cold_start: ColdStart,
    quality: Vec<Quality>,
}

/// A fitted forecaster. Plain data: it becomes bytes by serde, may be shared between threads and swapped while others read.
#[derive(Deserialize)]
#[serde(try_from = "Stored")]
pub struct Forecaster {
    stored: Stored,
    trees: Option<Box<dyn Boosted>>,
}

impl Serialize for Forecaster {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.stored.serialize(serializer)
    }
}

impl TryFrom<Stored> for Forecaster {
    type Error = ModelError;
    fn try_from(stored: Stored) -> Result<Self, ModelError> {
        let trees = stored.trees.as_deref().map(boost::load).transpose()?;
        if trees.as_ref().is_some_and(|trees| trees.columns() != features::columns(stored.books).len() || trees.outputs() != champion::LEVELS.len()) {
            return Err(ModelError::BadArtifact { problem: "its trees are of another shape than the base table".to_owned() });
        }
        Ok(Self { stored, trees })
    }
}

impl Forecaster {
    /// Fits on what is over at `origin` at every site; what lies after it is never read. Where there is too little for trees, the cold start answers for all.
    /// `progress` hears of each boosting round of the two fits: of the trees that serve, and of those that measure the bands.
    pub fn fit(sites: &[Site], origin: Day, settings: &Settings, progress: &mut (dyn FnMut(u32) + Send)) -> Result<Self, ModelError> {
        Self::fit_after(sites, origin, settings, &[], progress)
    }

    /// As [`Self::fit`], for who has older fits on these very sites at hand, with nothing changed in what they knew: where one of them was made in the same way
    /// 84 days before, its trees are those that would be grown to measure the bands. The same comes out for half the work.
    pub fn fit_after(
        sites: &[Site],
        origin: Day,
        settings: &Settings,
        older: &[Self],
        progress: &mut (dyn FnMut(u32) + Send),
    ) -> Result<Self, ModelError> {
        if settings.horizon_max == 0 || settings.horizon_max > HORIZON_MAX {
            return Err(ModelError::BadInput { problem: format!("a forecast reaches 1 to {HORIZON_MAX} days ahead, not {}", settings.horizon_max) });
        }
        if !(0.5..=0.99).contains(&settings.share_80) {
            return Err(ModelError::BadInput { problem: format!("an 80% band is not fitted to hold {} of the days", settings.share_80) });
        }
        for site in sites {
            let sound = |value: &f32| value.is_nan() || (value.is_finite() && *value >= 0.0);
            if let Some(place) = site.attendance.iter().position(|value| !sound(value)) {
                let (year, month, day) = site.first.plus(place as i32).date();
                let problem = format!("{}, {year}-{month:02}-{day:02}: {} visitors cannot be", site.name, site.attendance[place]);
                return Err(ModelError::BadInput { problem });
            }
        }
        let lookbacks: Vec<Lookback<'_>> = sites.iter().map(Lookback::new).collect();
        let books = sites.iter().any(|site| !site.books.is_empty());
        let cold_start = ColdStart::fit(&lookbacks, origin)?;
        let mut stored = Stored {
            settings: settings.deciding(),
            fitted_on: origin,
            books,
            trees: None,
            correction: Correction::NONE,
            cold_start,
            quality: Vec::new(),
        };
        if !champion::can_fit(&lookbacks, origin, settings) {
            return Ok(Self { stored, trees: None });
        }
        let trees = champion::fit(&lookbacks, origin, books, settings, progress)?;
        stored.trees = Some(trees.to_bytes()?);
        let before = origin.plus(-HELD_OUT_DAYS);
        if champion::can_fit(&lookbacks, before, settings) {
            let fitted;
            let unseeing = match older.iter().find_map(|older| older.trees_of(before, books, settings)) {
                Some(trees) => trees,
                None => {
                    fitted = champion::fit(&lookbacks, before, books, settings, progress)?;
                    &*fitted
                }
            };
            let misses = misses(&lookbacks, unseeing, before, origin, books, settings)?;
            let all: Vec<Miss> = misses.iter().map(|held| held.miss).collect();
            stored.correction = Correction::of(&all, settings.share_80, 0.95);
            stored.quality = quality(&misses, settings.share_80);
        }
        Ok(Self { stored, trees: Some(trees) })
    }

    /// The trees, if these are what a fit on that day with these settings grows from the same sites. The share that the bands are to hold is none of theirs.
    fn trees_of(&self, origin: Day, books: bool, settings: &Settings) -> Option<&dyn Boosted> {
        let Stored { settings: own, fitted_on, books: own_books, .. } = &self.stored;
        let same = own.deciding() == Settings { share_80: own.share_80, ..settings.deciding() };
        self.trees.as_deref().filter(|_| same && *fitted_on == origin && *own_books == books)
    }

    /// The last day that was known at the fit.
    #[must_use]
    pub const fn fitted_on(&self) -> Day {
        self.stored.fitted_on
    }

    /// The farthest day ahead that it was fitted for.
    #[must_use]
    pub const fn horizon_max(&self) -> u16 {
        self.stored.settings.horizon_max
    }

    /// The share of held-out days that its 80% bands were fitted to hold.
    #[must_use]
    pub const fn share_80(&self) -> f64 {
        self.stored.settings.share_80
    }

    /// Whether there was enough for trees: without them the cold start answers for all.
    #[must_use]
    pub const fn has_trees(&self) -> bool {
        self.trees.is_some()
    }

    /// The columns that the trees are fed, in order.
    #[must_use]
    pub fn columns(&self) -> &'static [features::Column] {
        features::columns(self.stored.books)
    }

    /// Forecasts the days from `horizons.start()` to `horizons.end()` after the origin: a serving call, well below a millisecond. The site's history, calendar
    /// and books are those known now; what it has after the origin is not read. The site need not have been in the fit.
    ///
    /// # Errors
    /// `BadInput` for the day of the origin itself, and for days farther ahead than those that the model was fitted for.
    pub fn forecast(&self, site: &Site, origin: Day, horizons: RangeInclusive<u16>) -> Result<Vec<DayForecast>, ModelError> {
        let reach = self.stored.settings.horizon_max;
        if *horizons.start() == 0 || *horizons.end() > reach {
            return Err(ModelError::BadInput { problem: format!("this model was fitted for 1 to {reach} days ahead") });
        }
        let lookback = Lookback::new(site);
        horizons.map(|horizon| self.day(&lookback, origin, horizon)).collect()
    }

    /// The forecast of one day, for callers that keep the [`Lookback`].
    pub fn day(&self, lookback: &Lookback<'_>, origin: Day, horizon: u16) -> Result<DayForecast, ModelError> {
        let (day, site) = (origin.plus(i32::from(horizon)), lookback.site());
        if site.calendar.flags(day).closed {
            return Ok(DayForecast { day, horizon, band: Band::CLOSED, by: Answered::Closure });
        }
        let quantiles = match self.serving(lookback, origin) {
            Some(trees) => champion::quantiles(trees, lookback, origin, horizon, self.stored.books)?,
            None => None,
        };
        Ok(match quantiles {
            Some(quantiles) => DayForecast { day, horizon, band: self.stored.correction.band(quantiles, horizon), by: Answered::Trees },
            None => DayForecast { day, horizon, band: self.stored.cold_start.forecast(site, origin, day), by: Answered::ColdStart },
        })
    }

    /// Why a forecast is what it is: what each theme added to the median. None where the trees do not answer. A hundred times as dear as the forecast itself: made
    /// when somebody asks.
    pub fn why(&self, site: &Site, origin: Day, horizon: u16) -> Result<Option<Why>, ModelError> {
        let lookback = Lookback::new(site);
        let Some(trees) = self.serving(&lookback, origin) else { return Ok(None) };
        if site.calendar.flags(origin.plus(i32::from(horizon))).closed {
            return Ok(None);
        }
        let mut row = Vec::new();
        lookback.row(origin, horizon, self.stored.books, &mut row);
        let mut quantiles = [0.0_f32; champion::LEVELS.len()];
        trees.predict_into(&row, &mut quantiles)?;
        let miss = |parts: &[f32]| (parts.iter().sum::<f32>() - quantiles[1]).abs();
        let mut parts = trees.explain(&row, 1)?;
        // Quantiles come out in order: where they crossed, it is one of the others that stands in the middle.
        for output in [0, 2] {
            if miss(&parts) > EXPLAINED {
                let others = trees.explain(&row, output)?;
                if miss(&others) < miss(&parts) {
                    parts = others;
                }
            }
        }
        let level = f64::from(lookback.level(origin));
        // Last stands where the trees start from.
        let base = parts.last().map_or(0.0, |part| f64::from(*part)) * level;
        let mut reasons: Vec<Reason> = Vec::new();
        for (column, part) in self.columns().iter().zip(parts) {
            let visitors = f64::from(part) * level;
            match reasons.iter_mut().find(|reason| reason.theme == column.theme) {
                Some(reason) => reason.visitors += visitors,
                None => reasons.push(Reason { theme: column.theme, visitors }),
            }
        }
        reasons.sort_by(|a, b| b.visitors.abs().total_cmp(&a.visitors.abs()));
        Ok(Some(Why { base, reasons }))
    }

    /// How good it was, per site and bucket of horizons, when the bands were last measured. Sites that the trees do not serve have no line.
    #[must_use]
    pub fn quality(&self) -> &[Quality] {
        &self.stored.quality
    }

    /// The trees, if they answer for a site: it has had its first weeks, and they were not all closed.
    fn serving(&self, lookback: &Lookback<'_>, origin: Day) -> Option<&dyn Boosted> {
        self.trees.as_deref().filter(|_| lookback.days(origin) >= champion::DAYS_MIN && !lookback.level(origin).is_nan())
    }
}

/// A forecast of a held-out day.
struct Held {
    site: u32,
    /// In which of the parts the day is.
    part: i32,
    miss: Miss,
    naive: f64,
    median: f64,
}

/// The forecasts of the days after `before` up to `origin`, by trees that have seen nothing after `before`.
fn misses(
    lookbacks: &[Lookback<'_>],
    trees: &dyn Boosted,
    before: Day,
    origin: Day,
    books: bool,
    settings: &Settings,
) -> Result<Vec<Held>, ModelError> {
    let mut misses = Vec::new();
    for lookback in lookbacks {
        for from in (before.0..origin.0).step_by(HELD_OUT_STEP).map(Day).filter(|from| lookback.days(*from) >= champion::DAYS_MIN) {
            for horizon in 1..=settings.horizon_max {
                let day = from.plus(i32::from(horizon));
                let actual = f64::from(lookback.value(day));
                if day > origin || actual.is_nan() {
                    continue;
                }
                if let Some(quantiles) = champion::quantiles(trees, lookback, from, horizon, books)? {
                    let (naive, median) = lookback.floors(from, horizon);
                    let part = (day.since(before) - 1) * HELD_OUT_PARTS / HELD_OUT_DAYS;
                    misses.push(Held { site: lookback.site().code, part, miss: Miss { horizon, quantiles, actual }, naive, median });
                }
            }
        }
    }
    Ok(misses)
}

fn quality(misses: &[Held], share_80: f64) -> Vec<Quality> {
    let by_others = |part: i32| {
        let others: Vec<Miss> = misses.iter().filter(|held| held.part != part).map(|held| held.miss).collect();
        (part, Correction::of(&others, share_80, 0.95))
    };
    let corrections: BTreeMap<i32, Correction> = (0..HELD_OUT_PARTS).map(by_others).collect();
    let mut quality: BTreeMap<(u32, u8), Quality> = BTreeMap::new();
    for held in misses {
        let Miss { horizon, quantiles, actual } = held.miss;
        let correction = corrections.get(&held.part).unwrap_or(&Correction::NONE);
        let (site, bucket) = (held.site, super::bands::bucket(horizon) as u8);
        let none = Score::default();
        let line = quality.entry((site, bucket)).or_insert(Quality { site, bucket, champion: none, naive: none, median: none });
        let band = correction.band(quantiles, horizon);
        line.champion.take(Outcome { actual, low: band.low_80, median: band.median, high: band.high_80 });
        let point = |median: f64| Outcome { actual, low: median, median, high: median };
        line.naive.take(point(held.naive));
        line.median.take(point(held.median));
    }
    quality.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demand::{Calendar, DayFlags};

    /// Shares of covered days would be those that the bands were fitted to, whatever comes.
    #[test]
    fn no_day_corrects_the_band_by_which_it_is_judged() {
        let held = |part: i32| {
            // In the newest three weeks ten times as many come as ever.
            let actual = if part == 3 { 1_000.0 } else { 100.0 };
            Held { site: 1, part, miss: Miss { horizon: 5, quantiles: [90.0, 100.0, 110.0], actual }, naive: 100.0, median: 100.0 }
        };
        let misses: Vec<Held> = (0..400).map(|number| held(number / 100)).collect();
        let lines = quality(&misses, 0.8);
        assert_eq!((lines.len(), lines[0].champion.count, lines[0].champion.coverage()), (1, 400, 0.75));
    }

    /// Base and reasons are the forecast: with nothing else could it be told why it is what it is.
    #[test]
    fn base_and_reasons_add_up_to_the_median() {
        let first = Day::of(2026, 1, 5);
        let origin = first.plus(199);
        let site = |code: u32| {
            let visitors = |day: i32| (60.0 + 40.0 * code as f32) * if day % 7 >= 5 { 2.0 } else { 1.0 } + (day * 13 % 17) as f32;
            let calendar = Calendar::of(first, origin.plus(60), |day| DayFlags { closed: day == origin.plus(9), ..DayFlags::default() });
            let attendance = (0..200).map(visitors).collect();
            Site { name: format!("site {code}"), region: String::new(), code, first, attendance, calendar, books: Vec::new() }
        };
        let sites = [site(1), site(2)];
        let forecaster = Forecaster::fit(&sites, origin, &Settings::default(), &mut |_| {}).unwrap();
        for site in &sites {
            for horizon in [1, 5, 8, 30] {
                let why = forecaster.why(site, origin, horizon).unwrap().unwrap();
                let median = forecaster.forecast(site, origin, horizon..=horizon).unwrap()[0].band.median;
                let sum = why.base + why.reasons.iter().map(|reason| reason.visitors).sum::<f64>();
                assert!(why.base > 0.0 && (sum - median).abs() < 0.001 * median, "{horizon} days ahead of {}: {sum} is not {median}", site.name);
            }
            assert_eq!(forecaster.why(site, origin, 9).unwrap(), None, "it is closed");
        }
    }
}
