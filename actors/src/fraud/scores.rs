//! The scores of the last days, by channel: what the lines of the model are drawn from that gave them. It knows no threads and no files.

use std::collections::VecDeque;

use tornello_models::fraud::budget::{Budget, Cut, WINDOW_DAYS};

use super::fold::Row;
use super::judge::Acting;

/// So many scores of a channel are kept for its line; of more, every second, fourth and so on.
const SCORES_MAX: usize = 65_536;
const DAY_US: i64 = 86_400_000_000;

/// The scores that one model gave, in the order of the channels.
#[derive(Debug, Default)]
pub(super) struct Windows {
    /// The id of that model.
    of: Option<String>,
    scores: [Scores; 5],
}

impl Windows {
    /// What a model says of some rows.
    pub(super) fn of(acting: Option<&Acting>, rows: &[Row]) -> Self {
        let mut windows = Self { of: acting.map(|acting| acting.id.clone()), scores: Default::default() };
        if let Some(acting) = acting {
            rows.iter().for_each(|row| windows.push(row, acting.score(&row.features)));
        }
        windows
    }

    /// Whether they are the scores of this model.
    pub(super) fn are_of(&self, acting: Option<&Acting>) -> bool {
        self.of.as_deref() == acting.map(|acting| acting.id.as_str())
    }

    pub(super) fn push(&mut self, row: &Row, score: f64) {
        self.scores[row.outlet as usize].push(row.at_us, score);
    }

    /// The lines: those of yesterday are moved, if there are any.
    pub(super) fn cuts(&mut self, yesterday: Option<&[Cut; 5]>, budgets: &[Budget; 5]) -> [Cut; 5] {
        std::array::from_fn(|i| self.scores[i].cut(yesterday.map(|cuts| cuts[i]), budgets[i]))
    }
}

/// What came in a channel, thinned when it is much.
#[derive(Debug)]
pub(super) struct Thinned<T> {
    /// What is kept, in order.
    pub(super) kept: VecDeque<T>,
    /// Every how-manieth is kept.
    pub(super) every: u32,
    count: u64,
}

impl<T> Default for Thinned<T> {
    fn default() -> Self {
        Self { kept: VecDeque::new(), every: 1, count: 0 }
    }
}

impl<T> Thinned<T> {
    pub(super) fn push(&mut self, value: T) {
        self.count += 1;
        if !self.count.is_multiple_of(u64::from(self.every)) {
            return;
        }
        if self.kept.len() >= SCORES_MAX {
            let mut odd = false;
            self.kept.retain(|_| {
                odd = !odd;
                odd
            });
            self.every *= 2;
        }
        self.kept.push_back(value);
    }
}

/// The scores of one channel in the last days, with when they were given.
#[derive(Debug, Default)]
struct Scores(Thinned<(i64, f32)>);

impl Scores {
    fn push(&mut self, at_us: i64, score: f64) {
        self.0.push((at_us, score as f32));
    }

    fn cut(&mut self, yesterday: Option<Cut>, budget: Budget) -> Cut {
        let Thinned { kept, every, .. } = &mut self.0;
        let Some((last, _)) = kept.back().copied() else { return Cut::update(yesterday, &[], 1, budget) };
        let from = last - i64::from(WINDOW_DAYS) * DAY_US;
        while kept.front().is_some_and(|(at, _)| *at < from) {
            kept.pop_front();
        }
        let first = kept.front().map_or(last, |(at, _)| *at);
        let days = ((last - first) as u64).div_ceil(DAY_US as u64).clamp(1, u64::from(WINDOW_DAYS)) as u32;
        let scores: Vec<f64> = kept.iter().map(|(_, score)| f64::from(*score)).collect();
        Cut::update_thinned(yesterday, &scores, *every, days, budget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinned_scores_keep_the_budget() {
        let mut scores = Scores::default();
        let count = 4 * SCORES_MAX;
        for i in 0..count {
            scores.push(i as i64 * 100_000, ((i * 7_919) % count) as f64 / count as f64);
        }
        assert!(scores.0.kept.len() <= SCORES_MAX && scores.0.every >= 4);
        let cut = scores.cut(None, Budget { alerts_per_day: 800 });
        // 262,144 events in less than a day: 760 alerts are 0.29%.
        assert!((1.0 - cut.score - 760.0 / count as f64).abs() < 3e-4, "{}", cut.score);
    }
}
