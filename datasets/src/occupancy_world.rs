//! A simulated site to judge estimates of people inside on, because no shipped data knows who really was inside. Everything here is invented and seeded; the
//! rates of errors are those that makers of door counters state, rounded to their worse end.
//!
//! The site is open from nine to seven. People come in two waves; a quarter of them only looks in. The counter of entries misses 4% of people, that of exits 7%,
//! each counts 1% who are not there, and on one day in fifteen that of entries is dead. Nine in ten pass a gate, which misses nobody.

use crate::chance::Chance;

/// The first minute of the day at which people come.
pub const OPENS_MIN: u32 = 540;
/// Nobody comes in after it.
pub const LAST_ENTRY_MIN: u32 = 1_080;
/// All have left by then.
pub const CLOSES_MIN: u32 = 1_140;
/// Visitors of an average day.
const VISITORS: f64 = 1_500.0;
/// By how much days differ: one standard deviation on the scale of logarithms.
const DAYS_SD: f64 = 0.35;
const MISSED_IN: f64 = 0.04;
const MISSED_OUT: f64 = 0.07;
const PHANTOMS: f64 = 0.01;
const DEAD_DAYS: f64 = 1.0 / 15.0;
/// Share of visitors who pass a gate: small children, staff and guides do not.
pub const GATED: f64 = 0.9;
/// Share of visitors who only look in, and for how long on average, in minutes.
const BRIEF: f64 = 0.25;
const BRIEF_MIN: f64 = 20.0;
/// The others stay a sum of four exponential spans of this mean, in minutes.
const SPAN_MIN: f64 = 22.0;

/// What is counted in one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Minute {
    /// People counted in.
    pub entered: u32,
    /// People counted out.
    pub left: u32,
    /// People let in by gates.
    pub scanned: u32,
    /// People really inside at its end. Never shown to an estimate.
    pub inside: u32,
}

/// Makes one day after the other.
#[derive(Debug, Clone)]
pub struct World {
    chance: Chance,
}

impl World {
    /// The same seed is the same site.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { chance: Chance::new(seed) }
    }

    /// The next day, minute by minute from midnight.
    pub fn day(&mut self) -> Vec<Minute> {
        let chance = &mut self.chance;
        let visitors = VISITORS * (DAYS_SD * chance.normal() - DAYS_SD * DAYS_SD / 2.0).exp();
        let dead = chance.happens(DEAD_DAYS);
        let mut day = vec![Minute::default(); 1_440];
        let mut inside = vec![0_i64; 1_441];
        for _ in 0..visitors.round() as u32 {
            let middle = if chance.happens(0.55) { 660.0 } else { 900.0 };
            let came = (middle + 75.0 * chance.normal()).clamp(f64::from(OPENS_MIN), f64::from(LAST_ENTRY_MIN) - 1.0);
            let stays = if chance.happens(BRIEF) { chance.span(BRIEF_MIN) } else { (0..4).map(|_| chance.span(SPAN_MIN)).sum() };
            let goes = (came + stays).min(f64::from(CLOSES_MIN) - 1.0 - 10.0 * chance.share());
            let (came, goes) = (came as usize, goes as usize);
            let goes = goes.max(came);
            inside[came] += 1;
            inside[goes] -= 1;
            let counted = |chance: &mut Chance, missed: f64| u32::from(!chance.happens(missed)) + u32::from(chance.happens(PHANTOMS));
            if !dead {
                day[came].entered += counted(chance, MISSED_IN);
            }
            day[goes].left += counted(chance, MISSED_OUT);
            day[came].scanned += u32::from(chance.happens(GATED));
        }
        let mut people = 0;
        for (minute, change) in day.iter_mut().zip(inside) {
            people += change;
            minute.inside = u32::try_from(people).unwrap_or(0);
        }
        day
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_site_and_nobody_is_left_inside_at_night() {
        let (mut one, mut other) = (World::new(7), World::new(7));
        for _ in 0..3 {
            let day = one.day();
            assert_eq!(day, other.day());
            assert!(day[..OPENS_MIN as usize].iter().chain(&day[CLOSES_MIN as usize..]).all(|minute| *minute == Minute::default()));
        }
        assert_ne!(World::new(8).day(), World::new(7).day());
    }

    #[test]
    fn counters_err_as_they_are_said_to() {
        let mut world = World::new(3);
        let days: Vec<Vec<Minute>> = (0..200).map(|_| world.day()).collect();
        let sum = |day: &[Minute], of: fn(&Minute) -> u32| day.iter().map(|minute| f64::from(of(minute))).sum::<f64>();
        let dead = days.iter().filter(|day| sum(day, |minute| minute.entered) == 0.0).count();
        assert!((6..=22).contains(&dead), "{dead} of 200");
        let alive: Vec<Minute> = days.iter().filter(|day| sum(day, |minute| minute.entered) > 0.0).flatten().copied().collect();
        let (entered, left, scanned) = (sum(&alive, |m| m.entered), sum(&alive, |m| m.left), sum(&alive, |m| m.scanned));
        let came = scanned / GATED;
        assert!((entered / came - 0.97).abs() < 0.01 && (left / came - 0.94).abs() < 0.01, "{entered} {left} {came}");
    }
}
