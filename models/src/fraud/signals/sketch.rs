//! How many different things were seen lately, in a few bytes: a bitmap in which each thing sets one bit (linear counting), for this window of time and the one
//! before. The count is exact for one or two, good to some per cent up to the number of bits, and stays there however many more there are.

use serde::{Deserialize, Serialize};

use super::super::decay::ln;

/// Spreads the bits of an id, so that neighbours set bits far apart (the finaliser of SplitMix64).
pub(super) const fn spread(id: u128) -> u64 {
    let mut x = (id as u64) ^ ((id >> 64) as u64).rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// What was seen in two windows of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Sketch {
    now: u128,
    before: u128,
}

impl Sketch {
    /// The window has moved on by `windows`.
    pub const fn turn(&mut self, windows: i64) {
        if windows == 1 {
            self.before = self.now;
            self.now = 0;
        } else if windows > 1 {
            self.before = 0;
            self.now = 0;
        }
    }

    /// Something was seen.
    pub const fn see(&mut self, id: u128) {
        self.now |= 1 << (spread(id) & 127);
    }

    /// How many different things were seen in the last one to two windows, if `windows` have gone by since the last turn.
    pub fn count(&self, windows: i64) -> f32 {
        estimate(self.bits(windows))
    }

    /// How many of them are not this one.
    pub fn count_others(&self, windows: i64, id: u128) -> f32 {
        let this = 1 << (spread(id) & 127);
        estimate(self.bits(windows) | this) - estimate(this)
    }

    const fn bits(&self, windows: i64) -> u128 {
        match windows {
            ..=0 => self.now | self.before,
            1 => self.now,
            _ => 0,
        }
    }
}

/// How many different things were seen, by how many bits nobody has set.
static ESTIMATES: [f32; 129] = {
    let (mut estimates, mut zeros) = ([0.0; 129], 0);
    while zeros < 128 {
        let unset = if zeros == 0 { 1 } else { zeros };
        estimates[zeros] = (-128.0 * ln(unset as f64 / 128.0)) as f32;
        zeros += 1;
    }
    estimates
};

fn estimate(bits: u128) -> f32 {
    ESTIMATES[bits.count_zeros() as usize]
}
