//! Chance with a seed: the same seed draws the same numbers on every machine. Not for secrets.

/// A generator of pseudo-random numbers (xorshift64*, Marsaglia and Vigna).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// A generator for this seed; any seed will do.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // One round of splitmix64 spreads small seeds; xorshift cannot leave zero.
        let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        Self(if x == 0 { 1 } else { x })
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number from 0 up to `end`, which is left out; 0 for an `end` of 0.
    pub const fn below(&mut self, end: usize) -> usize {
        ((self.bits() as u128 * end as u128) >> 64) as usize
    }

    /// A number from 0 up to 1, which is left out.
    pub const fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number of the standard normal distribution (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// The first `count` of a shuffle of `0..end`.
    pub fn choose(&mut self, count: usize, end: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..end).collect();
        for place in 0..count.min(end) {
            let other = place + self.below(end - place);
            all.swap(place, other);
        }
        all.truncate(count);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_even_and_repeat() {
        let mut chance = Chance::new(0);
        let mut counts = [0; 10];
        for _ in 0..10_000 {
            counts[chance.below(10)] += 1;
        }
        assert!(counts.iter().all(|&n| (900..1100).contains(&n)), "{counts:?}");
        assert_eq!(Chance::new(9).choose(5, 100), Chance::new(9).choose(5, 100));
        assert_ne!(Chance::new(9).choose(5, 100), Chance::new(10).choose(5, 100));
        let mut all = Chance::new(1).choose(50, 50);
        all.sort_unstable();
        assert!(all.into_iter().eq(0..50));
    }
}
