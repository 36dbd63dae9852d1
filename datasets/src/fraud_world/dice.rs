//! Chance in the world: a small generator (SplitMix64, Steele, Lea and Flood 2014) that every agent has of its own, so that no agent's draws depend on another's
//! and the same seed always gives the same world.

/// A generator of draws.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// The dice of one agent, or of one purpose, of the world of a seed.
    pub(super) fn of(seed: u64, purpose: u64) -> Self {
        let mut dice = Self(seed ^ mixed(purpose.wrapping_add(0x5851_f42d_4c95_7f2d)));
        dice.next();
        dice
    }

    /// 64 random bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number from 0 to 1, without 1.
    pub(super) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A whole number between both bounds, which may come up too.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = high.saturating_sub(low).max(0).unsigned_abs().saturating_add(1);
        low.saturating_add((self.next() % span).cast_signed())
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// The index of one of these weights.
    pub(super) fn weighted(&mut self, weights: &[u32]) -> usize {
        let mut left = self.next() % weights.iter().map(|weight| u64::from(*weight)).sum::<u64>().max(1);
        for (index, weight) in weights.iter().enumerate() {
            if left < u64::from(*weight) {
                return index;
            }
            left -= u64::from(*weight);
        }
        0
    }

    /// A waiting time with this mean, at least 1: exponential.
    pub(super) fn wait(&mut self, mean: i64) -> i64 {
        ((-(1.0 - self.fraction()).ln() * mean as f64) as i64).max(1)
    }

    /// How many of something happen whose mean is this: Poisson, and for large means the normal law that it comes to.
    pub(super) fn count(&mut self, mean: f64) -> u32 {
        if mean > 60.0 {
            let normal = (0..12).map(|_| self.fraction()).sum::<f64>() - 6.0;
            return (mean + normal * mean.sqrt()).round().max(0.0) as u32;
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.fraction(), 0);
        while product > limit {
            product *= self.fraction();
            count += 1;
        }
        count
    }
}

/// The finaliser of SplitMix64.
pub(super) const fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_means_that_are_asked_for() {
        let mut dice = Dice::of(7, 1);
        let mean = |draws: Vec<f64>| draws.iter().sum::<f64>() / draws.len() as f64;
        for asked in [0.3, 4.0, 200.0] {
            let got = mean((0..20_000).map(|_| f64::from(dice.count(asked))).collect());
            assert!((got - asked).abs() < 0.03 * asked.max(1.0), "{got} for {asked}");
        }
        assert!((mean((0..20_000).map(|_| dice.wait(600) as f64).collect()) - 600.0).abs() < 20.0);
        assert!((mean((0..20_000).map(|_| dice.weighted(&[1, 0, 3]) as f64).collect()) - 1.5).abs() < 0.03);
        assert!((0..1_000).all(|_| (3..=5).contains(&dice.between(3, 5))));
    }
}
