//! How good forecasts are: the figures that reports and promotions speak of. Definitions follow Hyndman and Koehler (2006) and, for the bands, the pinball loss.

use serde::{Deserialize, Serialize};

/// One forecast with what came: all four in one unit, as visitors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// What came.
    pub actual: f64,
    /// The 10% quantile.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// The 90% quantile.
    pub high: f64,
}

/// Sums over outcomes, from which all figures follow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// How many outcomes.
    pub count: u64,
    actual: f64,
    absolute: f64,
    error: f64,
    pinball: f64,
    covered: u64,
    width: f64,
}

impl Score {
    /// The sums over some outcomes.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let mut score = Self::default();
        outcomes.into_iter().for_each(|outcome| score.take(*outcome));
        score
    }

    /// Adds an outcome.
    pub fn take(&mut self, outcome: Outcome) {
        let Outcome { actual, low, median, high } = outcome;
        self.count += 1;
        self.actual += actual;
        self.absolute += (actual - median).abs();
        self.error += median - actual;
        self.pinball += (pinball(actual, low, 0.1) + pinball(actual, median, 0.5) + pinball(actual, high, 0.9)) / 3.0;
        self.covered += u64::from((low..=high).contains(&actual));
        self.width += high - low;
    }

    /// Adds the outcomes of another score.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.actual += other.actual;
        self.absolute += other.absolute;
        self.error += other.error;
        self.pinball += other.pinball;
        self.covered += other.covered;
        self.width += other.width;
    }

    /// Absolute errors over what came: WAPE. Not a number where nobody came.
    #[must_use]
    pub fn wape(&self) -> f64 {
        self.absolute / self.actual
    }

    /// Mean absolute error, in visitors.
    #[must_use]
    pub fn mae(&self) -> f64 {
        self.absolute / self.count as f64
    }

    /// Forecast less what came, over what came: above zero forecasts too many.
    #[must_use]
    pub fn bias(&self) -> f64 {
        self.error / self.actual
    }

    /// Mean pinball loss at .1, .5 and .9 over mean attendance: the scaled quantile loss.
    #[must_use]
    pub fn sql(&self) -> f64 {
        self.pinball / self.actual
    }

    /// The share of outcomes inside the 80% band.
    #[must_use]
    pub fn coverage(&self) -> f64 {
        self.covered as f64 / self.count as f64
    }

    /// The mean width of the 80% band over mean attendance.
    #[must_use]
    pub fn width(&self) -> f64 {
        self.width / self.actual
    }
}

/// The pinball loss of a quantile forecast.
#[must_use]
pub fn pinball(actual: f64, forecast: f64, level: f64) -> f64 {
    if actual >= forecast { level * (actual - forecast) } else { (1.0 - level) * (forecast - actual) }
}

/// The mean absolute error of the seasonal naive forecast inside a series: what MASE divides by. None where nothing repeats.
#[must_use]
pub fn naive_error(series: &[f64], season: usize) -> Option<f64> {
    let pairs = series.iter().skip(season).zip(series).filter(|(now, before)| now.is_finite() && before.is_finite());
    let (sum, count) = pairs.fold((0.0, 0_u32), |(sum, count), (now, before)| (sum + (now - before).abs(), count + 1));
    (count > 0 && sum > 0.0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_small_case_by_hand() {
        let outcomes = [
            Outcome { actual: 100.0, low: 80.0, median: 90.0, high: 120.0 },
            Outcome { actual: 100.0, low: 105.0, median: 110.0, high: 130.0 },
            Outcome { actual: 0.0, low: 0.0, median: 0.0, high: 0.0 },
        ];
        let score = Score::of(&outcomes);
        assert!((score.wape() - 0.1).abs() < 1e-12);
        assert_eq!((score.bias(), score.coverage(), score.width()), (0.0, 2.0 / 3.0, 65.0 / 200.0));
        // (2 + 5 + 2) / 3 and (4.5 + 5 + 3) / 3, over 200.
        assert!((score.sql() - (3.0 + 12.5 / 3.0) / 200.0).abs() < 1e-12);
        let mut twice = score;
        twice.add(&score);
        assert_eq!((twice.wape(), twice.count), (score.wape(), 6));
    }

    #[test]
    fn naive_errors_skip_holes() {
        assert_eq!(naive_error(&[1.0, 2.0, 3.0, f64::NAN, 5.0], 2), Some(2.0));
        assert_eq!(naive_error(&[1.0, 1.0, 1.0], 1), None);
    }
}
