//! Forecasts that add up: slots to the day, days of sites to the region. Bottom-up where only the parts are forecast; where totals are forecast apart, MinT with
//! variances only (Wickramasuriya, Athanasopoulos, Hyndman 2019): y = S (S' W^-1 S)^-1 S' W^-1 y^, each forecast weighing by how little it errs.

use crate::ModelError;
use crate::ridge;

/// A tree of sums in rows: each forecast is the sum of some parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    parts: usize,
    /// For each forecast, the parts that it sums.
    members: Vec<Vec<usize>>,
}

impl Sums {
    /// Forecasts of `parts` parts themselves, and of totals over some of them. The order is: the parts, then the totals.
    pub fn new(parts: usize, totals: &[Vec<usize>]) -> Result<Self, ModelError> {
        if parts == 0 || totals.iter().flatten().any(|part| *part >= parts) {
            return Err(ModelError::BadInput { problem: format!("totals must be over some of the {parts} parts") });
        }
        Ok(Self { parts, members: (0..parts).map(|part| vec![part]).chain(totals.iter().cloned()).collect() })
    }

    /// The totals of parts, in order.
    #[must_use]
    pub fn totals(&self, parts: &[f64]) -> Vec<f64> {
        self.members[self.parts..].iter().map(|members| members.iter().map(|part| parts[*part]).sum()).collect()
    }

    /// Parts whose totals agree with them, nearest to all the forecasts by their error variances; none below zero. `forecasts` and `variances` hold the parts,
    /// then the totals. A part whose forecast is zero with no variance (it is closed) stays zero.
    pub fn reconcile(&self, forecasts: &[f64], variances: &[f64]) -> Result<Vec<f64>, ModelError> {
        if forecasts.len() != self.members.len() || variances.len() != self.members.len() {
            return Err(ModelError::BadInput { problem: format!("{} forecasts and variances are needed", self.members.len()) });
        }
        if !forecasts.iter().chain(variances).all(|value| value.is_finite()) || variances.iter().any(|variance| *variance < 0.0) {
            return Err(ModelError::BadInput { problem: "forecasts and variances must be numbers, and no variance below zero".to_owned() });
        }
        let n = self.parts;
        let closed = |part: usize| forecasts[part] == 0.0 && variances[part] == 0.0;
        let floor = variances.iter().copied().fold(0.0, f64::max).max(1.0) * 1e-9;
        let (mut normal, mut right) = (vec![0.0; n * n], vec![0.0; n]);
        for (members, (forecast, variance)) in self.members.iter().zip(forecasts.iter().zip(variances)) {
            let weight = 1.0 / variance.max(floor);
            for a in members.iter().filter(|part| !closed(**part)) {
                right[*a] += weight * forecast;
                members.iter().filter(|part| !closed(**part)).for_each(|b| normal[a * n + b] += weight);
            }
        }
        (0..n).filter(|part| closed(*part)).for_each(|part| normal[part * n + part] = 1.0);
        let parts = ridge::solve(&mut normal, &right)?;
        Ok(parts.into_iter().map(|part| part.max(0.0)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_total_meet_by_their_variances() {
        let sums = Sums::new(2, &[vec![0, 1]]).expect("a total of two parts");
        // The parts say 10 and 20, the total 36 with the same variance: the 6 that are missing are shared by three.
        let parts = sums.reconcile(&[10.0, 20.0, 36.0], &[1.0, 1.0, 1.0]).expect("a solution");
        assert!((parts[0] - 12.0).abs() < 1e-9 && (parts[1] - 22.0).abs() < 1e-9, "{parts:?}");
        assert!((sums.totals(&parts)[0] - 34.0).abs() < 1e-9);
        // A total that is sure has its way; a sure part keeps to itself.
        let parts = sums.reconcile(&[10.0, 20.0, 36.0], &[0.0, 4.0, 0.0]).expect("a solution");
        assert!((parts[0] - 10.0).abs() < 1e-3 && (parts[1] - 26.0).abs() < 1e-3, "{parts:?}");
    }

    #[test]
    fn closed_parts_stay_closed_and_nonsense_is_refused() {
        let sums = Sums::new(3, &[vec![0, 1, 2]]).expect("a total of three parts");
        let parts = sums.reconcile(&[0.0, 20.0, 10.0, 60.0], &[0.0, 1.0, 1.0, 1.0]).expect("a solution");
        assert_eq!(parts[0], 0.0);
        assert!((parts[1] - 30.0).abs() < 1e-9 && (parts[2] - 20.0).abs() < 1e-9, "{parts:?}");
        assert!(sums.reconcile(&[0.0; 3], &[1.0; 3]).is_err());
        assert!(sums.reconcile(&[0.0, 1.0, f64::NAN, 1.0], &[1.0; 4]).is_err());
        assert!(Sums::new(1, &[vec![1]]).is_err());
    }
}
