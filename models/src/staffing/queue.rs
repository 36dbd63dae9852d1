//! Waiting lines: Erlang's formulae for so many desks with one line before them (arrivals at random, service times exponential).
//!
//! Source: A. K. Erlang, "Solution of some problems in the theory of probabilities of significance in automatic telephone exchanges" (1917); the recursion of the
//! loss formula is exact and never overflows.

use serde::{Deserialize, Serialize};

/// No desk has more than so many places to serve.
pub const DESKS_MAX: u32 = 200;

/// Parties that come to desks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Parties in an hour.
    pub arrivals_per_hour: f64,
    /// How long one is served, in seconds.
    pub service_s: f64,
}

impl Line {
    /// The offered load: how many desks would be busy if nobody ever waited.
    #[must_use]
    pub fn load(&self) -> f64 {
        let load = self.arrivals_per_hour / 3_600.0 * self.service_s;
        if load.is_finite() { load.max(0.0) } else { 0.0 }
    }

    /// The probability that a party finds all of `desks` busy (Erlang C); 1 where they cannot keep up.
    #[must_use]
    pub fn waits(&self, desks: u32) -> f64 {
        let load = self.load();
        if f64::from(desks) <= load {
            return if load > 0.0 { 1.0 } else { 0.0 };
        }
        let blocked = (1..=desks).fold(1.0, |blocked, desk| load * blocked / (f64::from(desk) + load * blocked));
        blocked / (1.0 - (1.0 - blocked) * load / f64::from(desks))
    }

    /// The probability to wait longer than `seconds`.
    #[must_use]
    pub fn waits_longer(&self, desks: u32, seconds: f64) -> f64 {
        let spare = f64::from(desks) - self.load();
        if spare <= 0.0 { self.waits(desks) } else { self.waits(desks) * (-spare * seconds.max(0.0) / self.service_s.max(1e-9)).exp() }
    }

    /// The mean wait in seconds; none where the line grows without end.
    #[must_use]
    pub fn mean_wait_s(&self, desks: u32) -> Option<f64> {
        let spare = f64::from(desks) - self.load();
        if self.load() == 0.0 { Some(0.0) } else { (spare > 0.0).then(|| self.waits(desks) * self.service_s / spare) }
    }

    /// The fewest desks at which at most a share `late` of parties waits longer than `seconds`; at most [`DESKS_MAX`].
    #[must_use]
    pub fn desks(&self, seconds: f64, late: f64) -> u32 {
        if self.load() == 0.0 {
            return 0;
        }
        let least = (self.load().floor() as u32).saturating_add(1).min(DESKS_MAX);
        (least..DESKS_MAX).find(|desks| self.waits_longer(*desks, seconds) <= late).unwrap_or(DESKS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(load: f64) -> Line {
        Line { arrivals_per_hour: load * 60.0, service_s: 60.0 }
    }

    /// One desk is the M/M/1 line, two have a closed form; the others stand in tables of Erlang C.
    #[test]
    fn the_textbook_cases() {
        let cases =
            [(0.5, 1, 0.5), (0.9, 1, 0.9), (1.0, 2, 1.0 / 3.0), (1.5, 2, 9.0 / 14.0), (2.0, 3, 4.0 / 9.0), (4.0, 5, 0.554_113), (8.0, 10, 0.409_180)];
        for (load, desks, expected) in cases {
            assert!((line(load).waits(desks) - expected).abs() < 1e-5, "{load} erlang, {desks} desks: {}", line(load).waits(desks));
        }
        // 40 calls an hour of 3 minutes at 3 agents: 2 erlang, C = 4/9; longer than a minute: 4/9 e^(-1/3).
        let calls = Line { arrivals_per_hour: 40.0, service_s: 180.0 };
        assert!((calls.waits_longer(3, 60.0) - 4.0 / 9.0 * (-1.0_f64 / 3.0).exp()).abs() < 1e-12);
        assert!((calls.mean_wait_s(3).unwrap() - 80.0).abs() < 1e-9);
    }

    #[test]
    fn the_fewest_desks_that_keep_the_promise() {
        let hour = Line { arrivals_per_hour: 120.0, service_s: 90.0 };
        let desks = hour.desks(300.0, 0.1);
        assert_eq!(desks, 4, "3 erlang need more than 3");
        assert!(hour.waits_longer(desks, 300.0) <= 0.1 && hour.waits_longer(desks - 1, 300.0) > 0.1);
        assert_eq!(Line { arrivals_per_hour: 0.0, service_s: 90.0 }.desks(300.0, 0.1), 0);
        assert_eq!(Line { arrivals_per_hour: 1e12, service_s: 90.0 }.desks(300.0, 0.1), DESKS_MAX);
        assert_eq!(Line { arrivals_per_hour: f64::NAN, service_s: 90.0 }.desks(300.0, 0.1), 0);
        assert_eq!((line(3.0).mean_wait_s(3), line(3.0).waits(3)), (None, 1.0), "desks that are all busy all the time never catch up");
    }
}
