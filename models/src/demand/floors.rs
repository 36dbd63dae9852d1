//! The floors: forecasts that need no fit over many sites. A champion that does not beat them is not worth its keep, and where it cannot serve, they do.
//!
//! Series are plain numbers, one for each day or month, NaN where one is missing; the last is the origin. Forecasts are for 1 to `steps` ahead.

/// The last season again.
#[must_use]
pub fn seasonal_naive(series: &[f64], season: usize, steps: usize) -> Vec<f64> {
    (0..steps).map(|step| same_season(series, season, step).next().unwrap_or_else(|| mean_of_last(series, season))).collect()
}

/// The median of the last so many values of the same season place.
#[must_use]
pub fn seasonal_median(series: &[f64], season: usize, values: usize, steps: usize) -> Vec<f64> {
    let of_step = |step| {
        let mut known: Vec<f64> = same_season(series, season, step).take(values).collect();
        if known.is_empty() { mean_of_last(series, season) } else { crate::quantile::of_sample(&mut known, 0.5) }
    };
    (0..steps).map(of_step).collect()
}

/// The known values of the same season place as a step ahead, newest first.
fn same_season(series: &[f64], season: usize, step: usize) -> impl Iterator<Item = f64> {
    let season = season.max(1);
    (1..)
        .map_while(move |seasons| (series.len() + step).checked_sub(seasons * season))
        .filter_map(move |place| series.get(place).copied())
        .filter(|value| !value.is_nan())
}

fn mean_of_last(series: &[f64], count: usize) -> f64 {
    let known: Vec<f64> = series.iter().rev().filter(|value| !value.is_nan()).take(count.max(1)).copied().collect();
    if known.is_empty() { 0.0 } else { known.iter().sum::<f64>() / known.len() as f64 }
}

/// Last year's value times how the last `recent` values stand against theirs a season ago; growth is kept between a half and double.
#[must_use]
pub fn last_season_grown(series: &[f64], season: usize, recent: usize, steps: usize) -> Vec<f64> {
    let pairs = (0..recent).filter_map(|back| {
        let place = series.len().checked_sub(back + 1)?;
        Some((series[place], series[place.checked_sub(season)?])).filter(|(now, then)| !now.is_nan() && !then.is_nan())
    });
    let (now, then) = pairs.fold((0.0, 0.0), |(now, then), pair| (now + pair.0, then + pair.1));
    let growth = if then > 0.0 { (now / then).clamp(0.5, 2.0) } else { 1.0 };
    seasonal_naive(series, season, steps).into_iter().map(|value| value * growth).collect()
}

/// Seasonal indices by classical decomposition: each place's mean ratio to the centred moving mean, scaled to a mean of one. None without two full seasons.
fn indices(series: &[f64], season: usize) -> Option<Vec<f64>> {
    if series.len() < 2 * season || season < 2 {
        return None;
    }
    let half = season / 2;
    let mut ratios = vec![Vec::new(); season];
    for place in half..series.len() - half {
        // With an even season the two ends count half each, so that the mean is centred.
        let (mut sum, mut weight) = (0.0, 0.0);
        for (near, value) in series.iter().enumerate().take(place + half + 1).skip(place - half) {
            let share = if season.is_multiple_of(2) && (near + half == place || near == place + half) { 0.5 } else { 1.0 };
            if !value.is_nan() {
                sum += share * value;
                weight += share;
            }
        }
        if weight > 0.0 && sum > 0.0 && !series[place].is_nan() {
            ratios[place % season].push(series[place] * weight / sum);
        }
    }
    if ratios.iter().any(Vec::is_empty) {
        return None;
    }
    let means: Vec<f64> = ratios.iter().map(|of_place| of_place.iter().sum::<f64>() / of_place.len() as f64).collect();
    let mean = means.iter().sum::<f64>() / season as f64;
    (mean > 0.0).then(|| means.iter().map(|index| index / mean).collect())
}

/// The Theta method (Assimakopoulos and Nikolopoulos 2000) on the series without its season: half the linear trend, half simple exponential smoothing, with the
/// drift that follows; then the season again. Falls back on the seasonal naive forecast where there are not two seasons.
#[must_use]
pub fn theta(series: &[f64], season: usize, steps: usize) -> Vec<f64> {
    let Some(indices) = indices(series, season) else { return seasonal_naive(series, season, steps) };
    let index = |place: usize| indices[place % season].max(0.05);
    let mut level = f64::NAN;
    let plain: Vec<f64> = series
        .iter()
        .enumerate()
        .map(|(place, value)| {
            // A hole repeats what was there before it.
            level = if value.is_nan() { level } else { value / index(place) };
            level
        })
        .collect();
    let known: Vec<f64> = plain.iter().copied().filter(|value| !value.is_nan()).collect();
    let n = known.len() as f64;
    let (mean_t, mean_y) = ((n - 1.0) / 2.0, known.iter().sum::<f64>() / n);
    let (mut cross, mut square) = (0.0, 0.0);
    for (t, value) in known.iter().enumerate() {
        cross += (t as f64 - mean_t) * (value - mean_y);
        square += (t as f64 - mean_t).powi(2);
    }
    let slope = if square > 0.0 { cross / square } else { 0.0 };
    let smooth = |alpha: f64| {
        let (mut level, mut error) = (known[0], 0.0);
        for value in &known[1..] {
            error += (value - level).powi(2);
            level += alpha * (value - level);
        }
        (level, error)
    };
    let alpha = (1..=19).map(|step| 0.05 * f64::from(step)).min_by(|a, b| smooth(*a).1.total_cmp(&smooth(*b).1)).unwrap_or(0.5);
    let (level, _) = smooth(alpha);
    let drift = |step: f64| slope / 2.0 * (step + (1.0 - (1.0 - alpha).powf(n)) / alpha);
    (0..steps).map(|step| ((level + drift(step as f64)) * index(series.len() + step)).max(0.0)).collect()
}

/// Damped additive trend, multiplicative season (Holt and Winters, Gardner and McKenzie 1985); smoothing weights are chosen on a grid by the squared errors one
/// step ahead. Falls back on the seasonal naive forecast where there are not two seasons.
#[must_use]
pub fn holt_winters(series: &[f64], season: usize, steps: usize) -> Vec<f64> {
    let Some(start) = indices(series, season) else { return seasonal_naive(series, season, steps) };
    let mut best = (f64::INFINITY, Vec::new());
    for alpha in [0.05, 0.1, 0.2, 0.35, 0.5] {
        for beta in [0.0, 0.02, 0.1] {
            for gamma in [0.02, 0.1, 0.25] {
                for phi in [0.85, 0.95] {
                    let (error, forecast) = smoothed(series, season, &start, [alpha, beta, gamma, phi], steps);
                    if error < best.0 {
                        best = (error, forecast);
                    }
                }
            }
        }
    }
    if best.1.is_empty() { seasonal_naive(series, season, steps) } else { best.1 }
}

/// One pass of the smoothing: the sum of squared errors and the forecast at the end.
fn smoothed(series: &[f64], season: usize, start: &[f64], [alpha, beta, gamma, phi]: [f64; 4], steps: usize) -> (f64, Vec<f64>) {
    let mut indices = start.to_vec();
    let first = series.iter().take(season).filter(|value| !value.is_nan()).copied().collect::<Vec<_>>();
    let mut level = if first.is_empty() { 0.0 } else { first.iter().sum::<f64>() / first.len() as f64 };
    let (mut trend, mut error) = (0.0, 0.0);
    for (place, value) in series.iter().enumerate() {
        let before = level + phi * trend;
        let index = indices[place % season].max(0.05);
        if value.is_nan() {
            (level, trend) = (before, phi * trend);
            continue;
        }
        if place >= season {
            error += (value - before * index).powi(2);
        }
        let next = alpha * value / index + (1.0 - alpha) * before;
        trend = beta * (next - level) + (1.0 - beta) * phi * trend;
        level = next;
        if level > 0.0 {
            indices[place % season] = (gamma * value / level + (1.0 - gamma) * index).clamp(0.0, 20.0);
        }
    }
    let mut damped = 0.0;
    let mut power = 1.0;
    let forecast = (0..steps)
        .map(|step| {
            power *= phi;
            damped += power;
            ((level + damped * trend) * indices[(series.len() + step) % season]).max(0.0)
        })
        .collect();
    (error, forecast)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three years of months: a season of twelve around 100, growing by one a month.
    fn months() -> Vec<f64> {
        (0..36).map(|month| (100.0 + f64::from(month)) * (1.0 + 0.3 * (f64::from(month % 12) / 12.0 * std::f64::consts::TAU).sin())).collect()
    }

    #[test]
    fn a_plain_season_is_continued() {
        let series: Vec<f64> = (0..70).map(|day| f64::from(10 * (day % 7 + 1))).collect();
        for forecast in [
            seasonal_naive(&series, 7, 9),
            seasonal_median(&series, 7, 8, 9),
            theta(&series, 7, 9),
            holt_winters(&series, 7, 9),
            last_season_grown(&series, 7, 7, 9),
        ] {
            assert_eq!(forecast.len(), 9);
            for (step, value) in forecast.iter().enumerate() {
                assert!((value - series[step % 7]).abs() < 1e-6, "step {step}: {value}");
            }
        }
    }

    #[test]
    fn growth_is_followed() {
        let series = months();
        let truth = (36..48).map(|month| (100.0 + f64::from(month)) * (1.0 + 0.3 * (f64::from(month % 12) / 12.0 * std::f64::consts::TAU).sin()));
        for (name, forecast) in
            [("theta", theta(&series, 12, 12)), ("grown", last_season_grown(&series, 12, 12, 12)), ("holt", holt_winters(&series, 12, 12))]
        {
            let wrong: f64 = forecast.iter().zip(truth.clone()).map(|(forecast, truth)| (forecast - truth).abs()).sum();
            assert!(wrong / truth.clone().sum::<f64>() < 0.06, "{name}: {forecast:?}");
        }
    }

    #[test]
    fn holes_constants_and_nothing_are_taken() {
        let holes: Vec<f64> = (0..60).map(|day| if day % 5 == 0 { f64::NAN } else { 50.0 }).collect();
        for series in [&holes[..], &[][..], &[0.0; 60][..], &[5.0][..], &[f64::NAN; 30][..]] {
            for forecast in [
                seasonal_naive(series, 7, 3),
                seasonal_median(series, 7, 8, 3),
                theta(series, 7, 3),
                holt_winters(series, 7, 3),
                last_season_grown(series, 7, 28, 3),
            ] {
                assert!(forecast.len() == 3 && forecast.iter().all(|value| value.is_finite() && *value >= 0.0), "{series:?}: {forecast:?}");
            }
        }
        assert!(theta(&holes, 7, 3).iter().all(|value| (value - 50.0).abs() < 1e-9));
    }
}
