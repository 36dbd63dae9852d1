//! Forecasts for plan and budget, month by month: the mean of three plain methods that err in different ways. Series of months are too short for trees.

use super::floors;

const SEASON: usize = 12;
/// Years whose median month is taken: one year with a closed wing or a famous exhibition does not decide.
const YEARS: usize = 3;

/// The mean of Theta, damped seasonal Holt-Winters and the median of the same month of three years, 1 to `steps` months ahead. NaN in the series is a month without a figure.
#[must_use]
pub fn forecast(series: &[f64], steps: usize) -> Vec<f64> {
    let parts = members(series, steps);
    (0..steps).map(|step| parts.iter().map(|part| part[step]).sum::<f64>() / parts.len() as f64).collect()
}

/// The methods whose mean is taken.
#[must_use]
pub fn members(series: &[f64], steps: usize) -> [Vec<f64>; 3] {
    [floors::theta(series, SEASON, steps), floors::holt_winters(series, SEASON, steps), floors::seasonal_median(series, SEASON, YEARS, steps)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_the_origin_is_not_in_the_series() {
        let series: Vec<f64> = (0..60).map(|month| 100.0 + f64::from(month % 12)).collect();
        let forecast = forecast(&series, 12);
        assert!(forecast.iter().enumerate().all(|(step, value)| (value - 100.0 - step as f64).abs() < 1.0), "{forecast:?}");
    }
}
