//! The value below which a share of some numbers lies, interpolated between neighbours. NaN of no number.

/// Of sorted numbers, at a level between 0 and 1.
#[must_use]
pub fn of_sorted(sorted: &[f64], level: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = level.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    // Written so that equal neighbours, even infinite ones, give themselves.
    if sorted[below] == sorted[above] { sorted[below] } else { sorted[below] + place.fract() * (sorted[above] - sorted[below]) }
}

/// Of a sample, which is sorted in place.
#[must_use]
pub fn of_sample(sample: &mut [f64], level: f64) -> f64 {
    sample.sort_by(f64::total_cmp);
    of_sorted(sample, level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lies_between_neighbours_and_equal_ones_give_themselves() {
        assert_eq!(of_sample(&mut [3.0, 1.0, 2.0], 0.25), 1.5);
        assert_eq!(of_sorted(&[1.0, f64::INFINITY, f64::INFINITY], 0.75), f64::INFINITY);
        assert!(of_sorted(&[], 0.5).is_nan());
    }
}
