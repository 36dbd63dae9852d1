//! Where the line is drawn: analysts can read so many alerts a day, so the cut follows the scores of the last days, channel by channel, and never jumps.
//!
//! Of `n` scores that were seen `k` are above the cut, and so is the next one with a chance of `(k + 1) / (n + 1)`, wherever it comes in their order: so much of the
//! budget is counted for it, not `k / n`. Where many come that is the same. Where few do, it keeps to the budget, and there is no cut before so many have come that one
//! alert is due among them.
//!
//! Below the cut a few are picked by chance: if only what the model suspects were looked at, its verdicts would teach it nothing but itself.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

/// Days of scores that the cut is taken from.
pub const WINDOW_DAYS: u32 = 14;
/// The most by which the cut moves in a day, as a part of its odds.
const MOVE_MAX: f64 = 0.10;
/// The part of all alerts that is picked by chance from below the cut.
const RANDOM_SHARE: f64 = 0.05;

/// How many alerts a day the analysts of a channel can read. What is an alert (an event, or somebody on a day, whatever they do) is for whoever brings the scores: one
/// score each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Alerts a day, those picked by chance included.
    pub alerts_per_day: u32,
}

/// Shares out what the analysts of all channels together can read in a day, in whole alerts. Each channel is due its part by what happens there. Where fewer act than that, as at
/// gates that thousands pass and a few are noticed at, the rest of it would lie unused, as somebody is read once a day whatever they do: it is shared out by how many act in
/// each channel of whom nobody would read yet, so that whoever is left has the same chance of it wherever they act.
///
/// `events` and `parties` are what happened in the channels in some days, and how many acted, each counted once a day. What comes out is `alerts_per_day` together, if
/// anybody acts.
#[must_use]
pub fn share_out<const CHANNELS: usize>(alerts_per_day: u32, events: [u64; CHANNELS], parties: [u64; CHANNELS], days: u32) -> [Budget; CHANNELS] {
    let due = in_proportion(alerts_per_day, events);
    let days = u64::from(days.max(1));
    // As many as act on a usual day, and the one who makes it a whole number.
    let used: [u32; CHANNELS] = std::array::from_fn(|i| u32::try_from(parties[i].div_ceil(days)).map_or(due[i], |act| due[i].min(act)));
    let unread: [u64; CHANNELS] = std::array::from_fn(|i| parties[i].saturating_sub(u64::from(used[i]) * days));
    let more = in_proportion(alerts_per_day - used.iter().sum::<u32>(), unread);
    std::array::from_fn(|i| Budget { alerts_per_day: used[i] + more[i] })
}

/// Whole parts of a number: first what each is due in full, then one each where most of one is left over, the earlier one first where it is the same. None of anything where
/// there is nothing to go by.
fn in_proportion<const PARTS: usize>(number: u32, weights: [u64; PARTS]) -> [u32; PARTS] {
    let all: u128 = weights.iter().copied().map(u128::from).sum();
    if all == 0 {
        return [0; PARTS];
    }
    let due = weights.map(|weight| u128::from(number) * u128::from(weight));
    let mut parts = due.map(|due| (due / all) as u32);
    let mut places: [usize; PARTS] = std::array::from_fn(|place| place);
    places.sort_by_key(|place| Reverse(due[*place] % all));
    let left = number - parts.iter().sum::<u32>();
    for place in places.into_iter().take(left as usize) {
        parts[place] += 1;
    }
    parts
}

/// The line of a channel: scores from 0 to 1, alerts above it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cut {
    /// A score above this is an alert.
    pub score: f64,
    /// The chance, from 0 to 1, with which a row below is picked all the same.
    pub random: f64,
}

impl Cut {
    /// The cut for today: of `n` scores of the last days, N of them a day on average, the one that `k` are above, for the greatest `k` with
    /// `(k + 1) / (n + 1) <= 0.95 B / N`; moved from yesterday's by at most a tenth of its odds `s/(1-s)`. For a score that is a rank, that is a tenth more or fewer
    /// alerts. Without scores yesterday's stays, or there are no alerts by the model; as long as there is no such `k` it is 1, which nothing is above, and where all who
    /// come can be read it is 0. From either end it moves at once.
    #[must_use]
    pub fn update(yesterday: Option<Self>, scores: &[f64], days: u32, budget: Budget) -> Self {
        Self::update_thinned(yesterday, scores, 1, f64::from(days), budget)
    }

    /// As [`Cut::update`], of any time in days, where each score stands for `every` of them: there are more than are known, and the budget is for all.
    #[must_use]
    pub fn update_thinned(yesterday: Option<Self>, scores: &[f64], every: u32, days: f64, budget: Budget) -> Self {
        let mut sorted: Vec<f64> = scores.iter().copied().filter(|score| score.is_finite()).collect();
        if sorted.is_empty() || days <= 0.0 {
            return yesterday.unwrap_or(Self { score: 1.0, random: 0.0 });
        }
        sorted.sort_by(f64::total_cmp);
        let per_day = sorted.len() as f64 * f64::from(every) / days;
        let budget = f64::from(budget.alerts_per_day);
        let share = (budget * (1.0 - RANDOM_SHARE) / per_day).min(1.0);
        // Those above the cut, and the next one.
        let places = (share * (sorted.len() + 1) as f64).floor() as usize;
        // The greatest score that may not be an alert: equal scores stay below together, so that ties cannot exceed the budget.
        let wished = match places {
            0 => 1.0,
            _ if places > sorted.len() => 0.0,
            _ => sorted[sorted.len() - places],
        };
        // At 1 and at 0 nothing was told apart, and moving that by a tenth of its odds a day would leave it there for months.
        let score = yesterday.filter(|cut| 0.0 < cut.score && cut.score < 1.0).map_or(wished, |yesterday| limited(yesterday.score, wished));
        let below = (per_day * (1.0 - share)).max(1.0);
        Self { score, random: (budget * RANDOM_SHARE / below).min(1.0) }
    }

    /// Whether a row is looked at, and why. `draw` is a number that is even over rows and the same whenever the row is asked about: bits of a keyed hash of
    /// its id. A row with suspect input is always looked at: it must not pass as usual.
    #[must_use]
    pub fn decide(&self, score: f64, suspect_inputs: u32, draw: u64) -> Option<Alert> {
        if suspect_inputs > 0 || !score.is_finite() {
            Some(Alert::SuspectInput)
        } else if score > self.score {
            Some(Alert::AboveCut)
        } else if (draw >> 11) as f64 / ((1_u64 << 53) as f64) < self.random {
            Some(Alert::Random)
        } else {
            None
        }
    }
}

/// Why a row is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alert {
    /// Its score is above the cut.
    AboveCut,
    /// What was fed to the model was not sound.
    SuspectInput,
    /// Chance picked it.
    Random,
}

fn limited(from: f64, to: f64) -> f64 {
    let odds = |score: f64| {
        let score = score.clamp(1e-9, 1.0 - 1e-9);
        score / (1.0 - score)
    };
    let (low, high) = (odds(from) * (1.0 - MOVE_MAX), odds(from) * (1.0 + MOVE_MAX));
    let moved = odds(to).clamp(low, high);
    moved / (1.0 + moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn even(count: u32) -> Vec<f64> {
        (0..count).map(|i| f64::from(i) / f64::from(count)).collect()
    }

    #[test]
    fn the_budget_is_kept_and_a_twentieth_is_chance() {
        let scores = even(14_000);
        let cut = Cut::update(None, &scores, WINDOW_DAYS, Budget { alerts_per_day: 20 });
        let above = scores.iter().filter(|&&score| cut.decide(score, 0, u64::MAX) == Some(Alert::AboveCut)).count();
        assert_eq!(above, 19 * 14 - 1, "and one for the next");
        assert!((cut.random * 981.0 - 1.0).abs() < 1e-9, "one a day of the 981 below");
        assert_eq!(cut.decide(0.1, 0, 0), Some(Alert::Random));
        assert_eq!(cut.decide(0.1, 0, u64::MAX), None);
        assert_eq!(cut.decide(0.1, 1, u64::MAX), Some(Alert::SuspectInput));
        assert_eq!(cut.decide(f64::NAN, 0, u64::MAX), Some(Alert::SuspectInput));
    }

    #[test]
    fn where_few_come_the_next_one_is_counted_too() {
        // Of ten a day 0.95 are read, the rest is for chance.
        let one_a_day = Budget { alerts_per_day: 1 };
        let above = |count: u32, days: u32| {
            let cut = Cut::update(None, &even(count), days, one_a_day);
            even(count).iter().filter(|&&score| score > cut.score).count()
        };
        assert_eq!(above(140, 14), 12, "13 of 141, the next among them");
        assert_eq!((above(20, 1), Cut::update(None, &even(20), 1, one_a_day).score), (0, 1.0), "0.95 of 21 are none yet");
        assert_eq!((above(40, 2), Cut::update(None, &even(40), 2, one_a_day).score), (0, 39.0 / 40.0), "who comes next with more than all is read");
        // Drawn again and again from a few, the line is passed as often as the budget says.
        let (mut bits, mut passed) = (7_u64, 0);
        let mut next = || {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (bits >> 11) as f64 / (1_u64 << 53) as f64
        };
        for _ in 0..10_000 {
            let few: Vec<f64> = (0..30).map(|_| next()).collect();
            passed += u32::from(next() > Cut::update(None, &few, 3, one_a_day).score);
        }
        // 0.095 of 31 is 2.9: two places, of 31.
        assert!((f64::from(passed) / 10_000.0 - 2.0 / 31.0).abs() < 0.01, "{passed}");
        assert_eq!(Cut::update(None, &even(140), 14, Budget { alerts_per_day: 0 }).score, 1.0, "nobody reads");
    }

    #[test]
    fn what_a_channel_has_no_use_for_is_read_elsewhere_and_no_alert_is_lost() {
        let shares =
            |alerts_per_day, events: [u64; 4], parties: [u64; 4]| share_out(alerts_per_day, events, parties, 10).map(|share| share.alerts_per_day);
        // Everywhere more act than are read: by what happens there.
        assert_eq!(shares(100, [800, 150, 50, 0], [1_000, 1_000, 1_000, 0]), [80, 15, 5, 0]);
        // At the last one two act on a day: 48 of its 50 go to those who are left, nine in ten of whom are at the first.
        assert_eq!(shares(100, [400, 100, 0, 500], [9_400, 1_100, 0, 20]), [40 + 43, 10 + 5, 0, 2]);
        // One and a half a day are two.
        assert_eq!(shares(100, [400, 100, 0, 500], [9_400, 1_100, 0, 15]), [40 + 43, 10 + 5, 0, 2]);
        assert_eq!(shares(100, [1, 0, 0, 99], [30, 20, 0, 10]), [50, 49, 0, 1], "more than there are: all are read");
        assert_eq!(shares(50, [1, 1, 1, 1], [0; 4]), [0; 4], "nobody acts");
        assert_eq!(shares(50, [0; 4], [10, 30, 0, 0]), [13, 37, 0, 0], "as far as it is known, nothing happens: by who acts");
        assert_eq!(shares(0, [5; 4], [5; 4]), [0; 4]);
        for alerts_per_day in 0..200 {
            assert_eq!(shares(alerts_per_day, [432, 33, 119, 461], [15_400, 3_300, 240, 16]).iter().sum::<u32>(), alerts_per_day);
        }
        assert_eq!(share_out(u32::MAX, [u64::MAX; 2], [u64::MAX; 2], 0).map(|share| share.alerts_per_day), [u32::MAX / 2 + 1, u32::MAX / 2]);
    }

    #[test]
    fn parts_are_whole_and_come_to_the_number() {
        assert_eq!(in_proportion(10, [87, 7, 6, 0]), [9, 1, 0, 0], "8.7, 0.7 and 0.6: those of which most is left over");
        assert_eq!(in_proportion(2, [1, 1, 1, 1]), [1, 1, 0, 0], "the same of each: the first");
        assert_eq!(in_proportion(2, [0, 0]), [0, 0]);
    }

    #[test]
    fn a_flood_of_high_scores_moves_the_cut_by_a_tenth_a_day() {
        let budget = Budget { alerts_per_day: 10 };
        let calm = Cut::update(None, &even(14_000), WINDOW_DAYS, budget);
        let flood = vec![0.9999; 14_000];
        let odds = |cut: Cut| cut.score / (1.0 - cut.score);
        let mut cut = calm;
        for day in 1..=5 {
            let next = Cut::update(Some(cut), &flood, WINDOW_DAYS, budget);
            assert!((odds(next) / odds(cut) - 1.1).abs() < 1e-6, "day {day}");
            cut = next;
        }
        let down = Cut::update(Some(calm), &vec![0.0001; 14_000], WINDOW_DAYS, budget);
        assert!((odds(down) / odds(calm) - 0.9).abs() < 1e-6);
    }

    #[test]
    fn a_line_that_was_never_drawn_is_drawn_at_once() {
        let budget = Budget { alerts_per_day: 20 };
        let scores = even(14_000);
        let none_yet = Cut::update(None, &[], WINDOW_DAYS, budget);
        assert_eq!(Cut::update(Some(none_yet), &scores, WINDOW_DAYS, budget), Cut::update(None, &scores, WINDOW_DAYS, budget));
    }

    #[test]
    fn where_all_were_read_the_line_is_drawn_as_soon_as_more_come_than_can_be() {
        let budget = Budget { alerts_per_day: 20 };
        let (few, many) = (even(140), even(14_000));
        let all = Cut::update(None, &few, WINDOW_DAYS, budget);
        assert_eq!(all.score, 0.0, "ten a day are fewer than can be read");
        assert_eq!(Cut::update(Some(all), &few, WINDOW_DAYS, budget), all, "it stays as long as few come");
        assert_eq!(Cut::update(Some(all), &many, WINDOW_DAYS, budget), Cut::update(None, &many, WINDOW_DAYS, budget));
    }

    #[test]
    fn ties_and_emptiness_do_not_flood_the_analysts() {
        let budget = Budget { alerts_per_day: 5 };
        let cut = Cut::update(None, &vec![0.7; 1_400], WINDOW_DAYS, budget);
        assert_eq!(cut.decide(0.7, 0, u64::MAX), None, "all alike: none stands out");
        let none = Cut::update(None, &[], WINDOW_DAYS, budget);
        assert_eq!(none.decide(0.999_999, 0, 0), None);
        let all = Cut::update(None, &even(14), WINDOW_DAYS, Budget { alerts_per_day: 50 });
        assert_eq!(all.decide(0.5, 0, u64::MAX), Some(Alert::AboveCut));
    }

    #[test]
    fn thinned_scores_draw_the_line_of_all_also_where_the_budget_is_smaller_than_what_one_stands_for() {
        let all = even(14_000);
        let thinned: Vec<f64> = all.iter().copied().step_by(4).collect();
        for alerts_per_day in [2, 3, 30, 31] {
            let budget = Budget { alerts_per_day };
            let (whole, thin) =
                (Cut::update(None, &all, WINDOW_DAYS, budget), Cut::update_thinned(None, &thinned, 4, f64::from(WINDOW_DAYS), budget));
            // One kept score is four events of 14,000.
            assert!((whole.score - thin.score).abs() < 4.5 / 14_000.0, "{alerts_per_day}: {whole:?} {thin:?}");
            assert!((whole.random - thin.random).abs() < 1e-12, "{alerts_per_day}: {whole:?} {thin:?}");
        }
    }
}
