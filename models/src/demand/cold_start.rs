//! The new and the tiny: sites without enough days for the trees. A Poisson regression on the calendar says how a day stands to a usual one; the profile of the
//! sites that are most alike says how its weekday does; what the site itself has shown counts with weight n / (n + 56) of n days.
//!
//! It knows no level beforehand: a site without a single day is given the median level of its kind, with a band that says how little that is.

use linfa::traits::{Fit, Predict};
use linfa::{Dataset, DatasetBase};
use linfa_clustering::{KMeans, KMeansInit};
use linfa_linear::{Link, TweedieRegressor};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use super::bands::Band;
use super::day::Day;
use super::features::Lookback;
use super::history::{Calendar, Site};
use crate::{ModelError, quantile};

/// Own days that weigh as much as everything else together.
const OWN_DAYS: f64 = 56.0;
/// Days without which a site's profile is not learned from.
const PROFILE_DAYS: u32 = 182;
/// Sites of a kind, so that a profile is more than one site's habit.
const SITES_PER_KIND: usize = 5;
const KINDS_MAX: usize = 4;
/// Rows of the regression: more cost seconds and tell it nothing new.
const ROWS_MAX: usize = 2_000;
/// Columns of the regression: holiday, near one, bridge, free, school break, event, two harmonics.
const COLUMNS: usize = 10;
/// Levels of the band ends and the median in what days were, over what was expected.
const ENDS: [f64; 4] = [0.025, 0.1, 0.9, 0.975];

/// Sites that are alike: how weekdays stand to the mean, and how large they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kind {
    weekdays: [f64; 7],
    level: f64,
    sites: u32,
}

/// What is known of sites that are not known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColdStart {
    kinds: Vec<Kind>,
    /// Weights of the Poisson regression and, last, its intercept; empty where there was too little to fit.
    calendar: Vec<f64>,
    /// Attendance over forecast at [`ENDS`].
    spread: [f64; 4],
}

impl ColdStart {
    /// What is known where no other site is: days are alike, and anything may come.
    #[must_use]
    pub fn unknown() -> Self {
        Self { kinds: vec![Kind { weekdays: [1.0; 7], level: 1.0, sites: 0 }], calendar: Vec::new(), spread: [0.2, 0.4, 1.8, 2.6] }
    }

    /// Learns from the sites with half a year and more, of what is over at the origin.
    pub fn fit(lookbacks: &[Lookback<'_>], origin: Day) -> Result<Self, ModelError> {
        let grown: Vec<&Lookback<'_>> = lookbacks.iter().filter(|lookback| lookback.days(newest(lookback, origin)) >= PROFILE_DAYS).collect();
        if grown.is_empty() {
            return Ok(Self::unknown());
        }
        let profiles: Vec<[f64; 8]> = grown.iter().map(|lookback| profile(lookback, newest(lookback, origin))).collect();
        let kinds = kinds(&profiles)?;
        let mut known = Self { kinds, ..Self::unknown() };
        let (rows, ratios) = calendar_rows(&grown, &profiles, origin);
        known.calendar = regression(&rows, &ratios)?;
        let mut against: Vec<f64> = rows.chunks(COLUMNS).zip(&ratios).map(|(row, ratio)| ratio / known.effect_of(row).max(0.05)).collect();
        if against.len() >= 100 {
            known.spread = ENDS.map(|level| quantile::of_sample(&mut against, level));
        }
        Ok(known)
    }

    /// The forecast of a day from whatever the site has shown by the origin.
    #[must_use]
    pub fn forecast(&self, site: &Site, origin: Day, day: Day) -> Band {
        let own: Vec<(Day, f64)> = own_days(site, origin);
        let kind = self.kind_of(&own, &site.calendar);
        let expected = |day: Day| (kind.weekdays[usize::from(day.weekday())] * self.effect(&site.calendar, day)).max(0.02);
        let shown: f64 = own.iter().map(|(_, visitors)| visitors).sum();
        let usual: f64 = own.iter().map(|(day, _)| expected(*day)).sum();
        let level = if own.is_empty() { kind.level } else { shown / usual };
        let like_others = level * expected(day);
        // What the site itself has shown on this weekday, for an ordinary day, moved to what this day is.
        let same: Vec<&(Day, f64)> = own.iter().filter(|(own, _)| own.weekday() == day.weekday()).collect();
        let own_weekday =
            same.iter().map(|(own, visitors)| visitors / self.effect(&site.calendar, *own).max(0.05)).sum::<f64>() / same.len().max(1) as f64;
        let weight = if same.is_empty() { 0.0 } else { own.len() as f64 / (own.len() as f64 + OWN_DAYS) };
        let median = weight * own_weekday * self.effect(&site.calendar, day) + (1.0 - weight) * like_others;
        // A level from few days is itself unsure: the band is wider by one over the root of the days.
        let wider = 1.0 + 1.0 / (own.len() as f64 + 0.25).sqrt();
        // Counts scatter by their root, whatever the model says.
        let noise = median.max(0.25).sqrt();
        let low = |spread: f64, sds: f64| (median - ((1.0 - spread) * wider * median).max(sds * noise)).max(0.0);
        let high = |spread: f64, sds: f64| median + ((spread - 1.0) * wider * median).max(sds * noise);
        let [low_95, low_80, high_80, high_95] = self.spread;
        Band { median, low_80: low(low_80, 1.282), high_80: high(high_80, 1.282), low_95: low(low_95, 1.96), high_95: high(high_95, 1.96) }
    }

    /// How a day stands to an ordinary one, by the calendar.
    fn effect(&self, calendar: &Calendar, day: Day) -> f64 {
        self.effect_of(&calendar_row(calendar, day))
    }

    fn effect_of(&self, row: &[f64]) -> f64 {
        let Some((intercept, weights)) = self.calendar.split_last() else { return 1.0 };
        (intercept + weights.iter().zip(row).map(|(weight, value)| weight * value).sum::<f64>()).clamp(-3.0, 3.0).exp()
    }

    /// The kind whose weekdays are nearest to those that the site has shown; without a full week, that of most sites.
    fn kind_of(&self, own: &[(Day, f64)], calendar: &Calendar) -> &Kind {
        let ordinary: Vec<&(Day, f64)> = own.iter().filter(|(day, _)| !calendar.flags(*day).holiday).collect();
        let mean = ordinary.iter().map(|(_, visitors)| visitors).sum::<f64>() / ordinary.len().max(1) as f64;
        let far = |kind: &Kind| -> f64 {
            ordinary.iter().map(|(day, visitors)| (visitors / mean - kind.weekdays[usize::from(day.weekday())]).powi(2)).sum()
        };
        let nearest = if ordinary.len() >= 7 && mean > 0.0 {
            self.kinds.iter().min_by(|a, b| far(a).total_cmp(&far(b)))
        } else {
            self.kinds.iter().max_by_key(|kind| kind.sites)
        };
        nearest.unwrap_or(&self.kinds[0])
    }
}

fn newest(lookback: &Lookback<'_>, origin: Day) -> Day {
    lookback.site().last().min(origin)
}

/// The days of a site that are over at the origin, with their visitors; closed and uncounted days left out.
fn own_days(site: &Site, origin: Day) -> Vec<(Day, f64)> {
    let days = (site.first.0..=site.last().min(origin).0).map(Day);
    let open = days.filter(|day| !site.calendar.flags(*day).closed).map(|day| (day, f64::from(site.visitors(day))));
    let mut open: Vec<(Day, f64)> = open.filter(|(_, visitors)| !visitors.is_nan()).collect();
    // The newest year says enough.
    open.split_off(open.len().saturating_sub(365))
}

/// A site's weekdays over its mean, and the logarithm of its mean.
fn profile(lookback: &Lookback<'_>, last: Day) -> [f64; 8] {
    let days = (last.0 - 363..=last.0).map(Day);
    let (mut sums, mut counts) = ([0.0; 7], [0.0; 7]);
    for day in days {
        let value = lookback.value(day);
        if !value.is_nan() {
            sums[usize::from(day.weekday())] += f64::from(value);
            counts[usize::from(day.weekday())] += 1.0;
        }
    }
    let mean = (sums.iter().sum::<f64>() / counts.iter().sum::<f64>().max(1.0)).max(1e-9);
    std::array::from_fn(|place| match place {
        7 => mean.ln_1p(),
        // A weekday on which the site is never open stands at the mean; its closure is a matter of the calendar.
        weekday if counts[weekday] > 0.0 => sums[weekday] / counts[weekday] / mean,
        _ => 1.0,
    })
}

/// Sites sorted into kinds by their weekdays, with k-means.
fn kinds(profiles: &[[f64; 8]]) -> Result<Vec<Kind>, ModelError> {
    let count = (profiles.len() / SITES_PER_KIND).clamp(1, KINDS_MAX);
    let points = Array2::from_shape_fn((profiles.len(), 7), |(site, weekday)| profiles[site][weekday]);
    // The first centres are sites evenly spread in the order of their weekend, so that nothing is left to chance.
    let mut by_weekend: Vec<usize> = (0..profiles.len()).collect();
    by_weekend.sort_by(|a, b| (profiles[*a][5] + profiles[*a][6]).total_cmp(&(profiles[*b][5] + profiles[*b][6])));
    let centres = Array2::from_shape_fn((count, 7), |(kind, weekday)| profiles[by_weekend[(2 * kind + 1) * profiles.len() / (2 * count)]][weekday]);
    let clusters = KMeans::params(count)
        .init_method(KMeansInit::Precomputed(centres))
        .n_runs(1)
        .max_n_iterations(100)
        .tolerance(1e-6)
        .fit(&DatasetBase::from(points.clone()))
        .map_err(|error| ModelError::BadInput { problem: format!("sites could not be sorted into kinds: {error}") })?;
    let of_site: Array1<usize> = clusters.predict(&points);
    let kind = |wanted: usize| {
        let members: Vec<&[f64; 8]> = profiles.iter().zip(&of_site).filter(|(_, kind)| **kind == wanted).map(|(profile, _)| profile).collect();
        let mut levels: Vec<f64> = members.iter().map(|profile| profile[7].exp_m1()).collect();
        let weekdays = std::array::from_fn(|weekday| members.iter().map(|profile| profile[weekday]).sum::<f64>() / members.len().max(1) as f64);
        (!members.is_empty()).then(|| Kind { weekdays, level: quantile::of_sample(&mut levels, 0.5), sites: members.len() as u32 })
    };
    Ok((0..count).filter_map(kind).collect())
}

fn calendar_row(calendar: &Calendar, day: Day) -> [f64; COLUMNS] {
    let flags = calendar.flags(day);
    let near = !flags.holiday && (calendar.flags(day.plus(-1)).holiday || calendar.flags(day.plus(1)).holiday);
    let angle = f64::from(day.share_of_year()) * std::f64::consts::TAU;
    let flag = |flag: bool| f64::from(u8::from(flag));
    [
        flag(flags.holiday),
        flag(near),
        flag(flags.bridge),
        flag(flags.free),
        flag(flags.school_break),
        flag(flags.event),
        angle.sin(),
        angle.cos(),
        (2.0 * angle).sin(),
        (2.0 * angle).cos(),
    ]
}

/// Days of the grown sites: the calendar's columns, and attendance over what site and weekday usually have.
fn calendar_rows(grown: &[&Lookback<'_>], profiles: &[[f64; 8]], origin: Day) -> (Vec<f64>, Vec<f64>) {
    let (mut rows, mut ratios) = (Vec::new(), Vec::new());
    let days = 2 * 364;
    let step = (grown.len() * days).div_ceil(ROWS_MAX).max(1);
    for (lookback, profile) in grown.iter().zip(profiles) {
        let last = newest(lookback, origin);
        // The step is made coprime to the week, so that all weekdays are seen.
        let step = if step.is_multiple_of(7) { step + 1 } else { step };
        for day in (last.0 - days as i32 + 1..=last.0).step_by(step).map(Day) {
            let value = f64::from(lookback.value(day));
            let usual = profile[7].exp_m1() * profile[usize::from(day.weekday())];
            if !value.is_nan() && usual > 0.0 {
                rows.extend(calendar_row(&lookback.site().calendar, day));
                ratios.push((value / usual).min(20.0));
            }
        }
    }
    (rows, ratios)
}

/// The Poisson regression of the ratios; empty where there are too few.
fn regression(rows: &[f64], ratios: &[f64]) -> Result<Vec<f64>, ModelError> {
    if ratios.len() < 20 * COLUMNS || ratios.iter().sum::<f64>() <= 0.0 {
        return Ok(Vec::new());
    }
    let bad = |error: &dyn std::fmt::Display| ModelError::BadInput { problem: format!("the calendar's effect could not be fitted: {error}") };
    let table = Array2::from_shape_vec((ratios.len(), COLUMNS), rows.to_vec()).map_err(|error| bad(&error))?;
    let data = Dataset::new(table, Array1::from(ratios.to_vec()));
    let fitted = TweedieRegressor::params().power(1.0).link(Link::Log).alpha(0.001).max_iter(60).tol(1e-5).fit(&data).map_err(|error| bad(&error))?;
    Ok(fitted.coef.iter().copied().chain([fitted.intercept]).collect())
}
