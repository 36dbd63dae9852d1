//! Counters that forget: a value halves every half-life, `v <- v * 2^(-dt / half-life) + x`, in O(1) and without a table of events. The powers and logarithms are
//! computed here with plain IEEE operations and not by the platform's library, whose last digit differs from machine to machine.

use serde::{Deserialize, Serialize};

/// Half-lives in microseconds: 1 minute, 10 minutes, 1 hour, 1 day, 7 days.
pub const HALF_LIVES_US: [i64; 5] = [60_000_000, 600_000_000, 3_600_000_000, 86_400_000_000, 604_800_000_000];
/// Half-lives of so many counts are kept.
pub const SPANS: usize = HALF_LIVES_US.len();
/// No counter grows beyond: a hostile count stays a large number and never becomes infinite.
pub const COUNT_MAX: f32 = 1.0e12;

/// One of the half-lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Span {
    /// One minute.
    Minute = 0,
    /// Ten minutes.
    TenMinutes = 1,
    /// One hour.
    Hour = 2,
    /// One day.
    Day = 3,
    /// Seven days.
    Week = 4,
}

/// 1/n!, from n = 0: divisions are slow, and these never change.
const TAYLOR: [f64; 12] = {
    let (mut terms, mut n) = ([1.0; 12], 1);
    while n < terms.len() {
        terms[n] = terms[n - 1] / n as f64;
        n += 1;
    }
    terms
};
/// 1/(2n + 1), from n = 0.
const ODD: [f64; 9] = {
    let (mut terms, mut n) = ([1.0; 9], 0);
    while n < terms.len() {
        terms[n] = 1.0 / (2 * n + 1) as f64;
        n += 1;
    }
    terms
};

/// The polynomial with these coefficients, the constant one first.
const fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    let (mut sum, mut n) = (0.0, coefficients.len());
    while n > 0 {
        n -= 1;
        sum = sum * x + coefficients[n];
    }
    sum
}

/// `2^-x` for `x >= 0`, to about 1e-7. Taylor series of `e^(-f ln 2)` on the fraction, the whole part straight into the exponent.
#[must_use]
pub fn half_power(x: f64) -> f32 {
    if x.is_nan() || x >= 126.0 {
        return 0.0;
    }
    if x <= 0.0 {
        return 1.0;
    }
    let whole = x as u32;
    let y = -(x - f64::from(whole)) * std::f64::consts::LN_2;
    (polynomial(&TAYLOR, y) * f64::from(f32::from_bits((127 - whole) << 23))) as f32
}

/// The natural logarithm of `1 + x`; 0 for what is negative or no number. By `ln m = 2 atanh((m-1)/(m+1))` with the mantissa between 0.7 and 1.4.
#[must_use]
pub fn ln_1p(x: f32) -> f32 {
    if x.is_nan() || x <= 0.0 {
        return 0.0;
    }
    ln(1.0 + f64::from(x.min(COUNT_MAX))) as f32
}

/// The natural logarithm of a finite positive number.
pub(crate) const fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i32 - 1023;
    let mut mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | (1023 << 52));
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    // |z| < 0.1716: the ninth term is below 1e-15.
    2.0 * z * polynomial(&ODD, z * z) + exponent as f64 * std::f64::consts::LN_2
}

/// By which factors counters shrink in `dt_us` microseconds, for each half-life. Time that goes back shrinks nothing.
#[must_use]
pub fn factors(dt_us: i64) -> [f32; SPANS] {
    if dt_us <= 0 {
        return [1.0; SPANS];
    }
    HALF_LIVES_US.map(|half_life| half_power(dt_us as f64 / half_life as f64))
}

/// By which factor counters of one half-life shrink: as [`factors`] says, for whoever keeps only some of them.
#[must_use]
pub fn factor(dt_us: i64, span: Span) -> f32 {
    if dt_us <= 0 { 1.0 } else { half_power(dt_us as f64 / HALF_LIVES_US[span as usize] as f64) }
}

/// One thing counted, over all half-lives. Whoever owns it knows when it was last brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Tally(pub [f32; SPANS]);

impl Tally {
    /// Lets time pass.
    pub fn fade(&mut self, factors: &[f32; SPANS]) {
        for (value, factor) in self.0.iter_mut().zip(factors) {
            *value *= factor;
        }
    }

    /// Counts `x` more; what is no number counts nothing.
    pub fn add(&mut self, x: f32) {
        if x > 0.0 {
            for value in &mut self.0 {
                *value = (*value + x).min(COUNT_MAX);
            }
        }
    }

    /// Takes one back that was counted earlier, of which as much is left as these factors say; nothing is ever less than none.
    pub fn take_back(&mut self, left: &[f32; SPANS]) {
        for (value, left) in self.0.iter_mut().zip(left) {
            *value = (*value - left).max(0.0);
        }
    }

    /// What is counted with that half-life, as of the last update.
    #[must_use]
    pub const fn over(&self, span: Span) -> f32 {
        self.0[span as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_and_logarithms_are_right_to_the_last_digits_of_an_f32() {
        for i in 0..4_000 {
            let x = f64::from(i) * 0.03;
            assert!((f64::from(half_power(x)) - (-x).exp2()).abs() <= (-x).exp2() * 3e-7, "2^-{x}");
            let y = x * x * x;
            assert!((f64::from(ln_1p(y as f32)) - f64::from(y as f32).ln_1p()).abs() <= 1e-6 * (1.0 + y.ln_1p()), "ln(1 + {y})");
        }
        assert_eq!((half_power(0.0), half_power(1.0), half_power(10.0)), (1.0, 0.5, 1.0 / 1024.0));
        assert_eq!((half_power(f64::NAN), half_power(f64::INFINITY), half_power(-3.0)), (0.0, 0.0, 1.0));
        assert_eq!((ln_1p(f32::NAN), ln_1p(-5.0)), (0.0, 0.0));
        assert!(ln_1p(f32::INFINITY) < 28.0);
    }

    #[test]
    fn a_count_halves_with_each_half_life_and_never_becomes_infinite() {
        let mut tally = Tally::default();
        tally.add(8.0);
        tally.fade(&factors(HALF_LIVES_US[2]));
        assert!((tally.over(Span::Hour) - 4.0).abs() < 1e-5);
        assert!(tally.over(Span::Minute) < 1e-10 && tally.over(Span::Week) > 7.9);
        tally.add(f32::INFINITY);
        tally.add(f32::NAN);
        tally.add(-3.0);
        tally.add(f32::MAX);
        assert_eq!(tally.0, [COUNT_MAX; SPANS]);
        assert_eq!(factors(-1), [1.0; SPANS]);
        let spans = [Span::Minute, Span::TenMinutes, Span::Hour, Span::Day, Span::Week];
        for dt_us in [i64::MIN, -1, 0, 1, 59_999_999, HALF_LIVES_US[3], i64::MAX] {
            assert_eq!(spans.map(|span| factor(dt_us, span).to_bits()), factors(dt_us).map(f32::to_bits), "{dt_us}");
        }
    }
}
