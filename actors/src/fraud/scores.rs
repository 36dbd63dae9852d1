//! The scores that a model gave in the last days, by channel: its lines are drawn from them. It knows no threads and no files.
//!
//! Analysts read of somebody once a day, whatever else the same one does on that day. So the budget counts parties and days, and a line goes through the greatest score of each
//! party on each day. Somebody who does a thousand things takes one place of the budget. Who has many names takes many, but one day takes only so much more than its share: the
//! line does not rise for weeks because of one day of throwaway names.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use tornello_models::fraud::budget::{Budget, Cut, WINDOW_DAYS};
use tornello_models::fraud::signals::Taking;

use super::fold::{DAY_US, Row};
use super::judge::Acting;

/// The scores of so many parties and days are kept of a channel; of more, those of half of them, a quarter and so on. Of a new day all
/// are kept as long as there is room, so that a flood of names leaves nothing behind when it is forgotten.
const SCORES_MAX: usize = 65_536;
/// So many times its even share of the places above a line may a day take.
const SHARES_MAX: f64 = 2.0;
/// What is shorter counts as so long, in days: who knows a minute knows nothing of a day.
const DAYS_MIN: f64 = 1.0 / 24.0;

/// The scores that one model gave, in the order of the channels.
#[derive(Debug, Default)]
pub(super) struct Windows {
    /// The id of that model.
    of: Option<String>,
    channels: [PartyDays<1>; 5],
}

impl Windows {
    /// What a model says of some rows.
    pub(super) fn of(acting: Option<&Acting>, rows: &[Row]) -> Self {
        let mut windows = Self { of: acting.map(|acting| acting.id.clone()), channels: Default::default() };
        if let Some(acting) = acting {
            rows.iter().for_each(|row| windows.push(row, acting.score(&row.features)));
        }
        windows
    }

    /// Whether they are the scores of this model.
    pub(super) fn are_of(&self, acting: Option<&Acting>) -> bool {
        self.of.as_deref() == acting.map(|acting| acting.id.as_str())
    }

    /// What opens no case takes no place of those that analysts have for cases.
    pub(super) fn push(&mut self, row: &Row, score: f64) {
        if let Some(party) = row.read_of {
            self.channels[row.outlet as usize].push(row.at_us, party, [score]);
        }
    }

    /// The lines of a day, through the days before it: those of yesterday are moved, if there are any. Forgets what is too old.
    pub(super) fn cuts(&mut self, today: i64, yesterday: Option<&[Cut; 5]>, budgets: &[Budget; 5]) -> [Cut; 5] {
        std::array::from_fn(|i| {
            self.channels[i].forget_before(today.saturating_sub(i64::from(WINDOW_DAYS)));
            self.channels[i].cut(0, Some(today), yesterday.map(|cuts| cuts[i]), budgets[i])
        })
    }
}

/// The greatest score that each of some models gave each party on each day, of some of the parties and days when they are many.
#[derive(Debug, Default)]
pub(super) struct PartyDays<const MODELS: usize> {
    days: BTreeMap<i64, Day<MODELS>>,
    /// How many scores are kept, of all days.
    kept: usize,
}

#[derive(Debug)]
struct Day<const MODELS: usize> {
    first_us: i64,
    last_us: i64,
    /// How often its scores were halved.
    halved: u32,
    greatest: HashMap<Taking, [f64; MODELS]>,
}

impl<const MODELS: usize> PartyDays<MODELS> {
    /// What the models said of something that a party did.
    pub(super) fn push(&mut self, at_us: i64, party: Taking, said: [f64; MODELS]) {
        let number = at_us.div_euclid(DAY_US);
        let day = self.days.entry(number).or_insert_with(|| Day { first_us: at_us, last_us: at_us, halved: 0, greatest: HashMap::new() });
        (day.first_us, day.last_us) = (day.first_us.min(at_us), day.last_us.max(at_us));
        // Kept are all scores of a party on a day, or none: otherwise who does much would be kept sooner or later.
        if !is_kept(party, number, day.halved) {
            return;
        }
        match day.greatest.entry(party) {
            Entry::Occupied(mut known) => {
                for (known, said) in known.get_mut().iter_mut().zip(said) {
                    *known = known.max(said);
                }
            }
            Entry::Vacant(place) => {
                place.insert(said);
                self.kept += 1;
            }
        }
        if self.kept > SCORES_MAX {
            self.halve();
        }
    }

    /// Days that began since the others were halved are first halved as often: lines are drawn through no more of them. When there is none, all are.
    fn halve(&mut self) {
        let most = self.days.values().map(|day| day.halved).max().unwrap_or(0);
        let lags = self.days.values().any(|day| day.halved < most);
        let halved = if lags { most } else { most + 1 };
        for (number, day) in &mut self.days {
            if day.halved < halved {
                day.halved = halved;
                day.greatest.retain(|party, _| is_kept(*party, *number, halved));
            }
        }
        self.count();
    }

    fn forget_before(&mut self, day: i64) {
        self.days = self.days.split_off(&day);
        self.count();
    }

    fn count(&mut self) {
        self.kept = self.days.values().map(|day| day.greatest.len()).sum();
    }

    /// The line of one of the models, by its place. Before a day: through the days before it, as long as there is a whole one, so that it is the same whenever on that day
    /// it is asked for; otherwise through all that there is.
    pub(super) fn cut(&self, model: usize, today: Option<i64>, yesterday: Option<Cut>, budget: Budget) -> Cut {
        let Some(first_us) = self.days.values().map(|day| day.first_us).min() else { return Cut::update(yesterday, &[], 1, budget) };
        let begins_us = |day: i64| day.saturating_mul(DAY_US);
        let before = today.filter(|today| begins_us(*today).saturating_sub(first_us) >= DAY_US);
        let drawn: Vec<(i64, &Day<MODELS>)> = self.days.range(..before.unwrap_or(i64::MAX)).map(|(number, day)| (*number, day)).collect();
        let last_us = before.map_or_else(|| drawn.iter().map(|(_, day)| day.last_us).max().unwrap_or(first_us), begins_us);
        let days = (last_us.saturating_sub(first_us) as f64 / DAY_US as f64).max(DAYS_MIN);
        // A score stands for equally many on all days: of those that were halved less often than others, some are left out.
        let halved = drawn.iter().map(|(_, day)| day.halved).max().unwrap_or(0);
        let every = 1_u32 << halved.min(31);
        let places = (SHARES_MAX * f64::from(budget.alerts_per_day) * days / (drawn.len() as f64 * f64::from(every))).ceil() as usize;
        let mut scores = Vec::with_capacity(self.kept);
        for (number, day) in drawn {
            let from = scores.len();
            let kept = day.greatest.iter().filter(|(party, _)| is_kept(**party, number, halved));
            scores.extend(kept.map(|(_, said)| said[model]).filter(|score| score.is_finite()));
            let of_day = &mut scores[from..];
            if of_day.len() > places {
                of_day.sort_unstable_by(|a, b| b.total_cmp(a));
                // They count among those who act, and take no place.
                of_day[places..].fill(0.0);
            }
        }
        Cut::update_thinned(yesterday, &scores, every, days, budget)
    }
}

/// Whether the scores of a party on a day are among those that are kept: of half of them, of a quarter and so on, evenly over parties and days, and always of the same.
const fn is_kept(party: Taking, day: i64, halved: u32) -> bool {
    let Taking { role, id } = party;
    let mut bits = id as u64 ^ (id >> 64) as u64 ^ (role as u64) << 56 ^ (day.unsigned_abs() << 40);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)).trailing_zeros() >= halved
}

#[cfg(test)]
mod tests {
    use tornello_models::fraud::signals::{Outlet, Role};

    use super::*;

    const BUDGET: Budget = Budget { alerts_per_day: 20 };
    /// One score is so much above the next.
    const STEP: f64 = 1e-4;

    fn party(id: usize) -> Taking {
        Taking { role: Role::Device, id: id as u128 }
    }

    /// On each of some days 500 parties, the same ones each day, with scores of 1 to 500 steps.
    fn usual(days: i64) -> PartyDays<1> {
        let mut scores = PartyDays::default();
        (0..days).for_each(|day| usual_on(day, &mut scores));
        scores
    }

    fn usual_on(day: i64, scores: &mut PartyDays<1>) {
        for i in 0..500 {
            scores.push(day * DAY_US + i as i64 * 150_000_000, party(i), [(i + 1) as f64 * STEP]);
        }
    }

    /// So many names that nobody has had before, within a second.
    fn flood(day: i64, names: usize, scores: &mut PartyDays<1>) {
        for i in 0..names {
            scores.push(day * DAY_US + i as i64, party(10_000 + i), [0.9]);
        }
    }

    fn line(scores: &PartyDays<1>, today: i64) -> f64 {
        scores.cut(0, Some(today), None, BUDGET).score
    }

    #[test]
    fn the_budget_counts_parties_and_days() {
        // 19 of 500 parties a day, the twentieth of the budget being for chance, and the next is one of them: those above 482 steps.
        let scores = usual(14);
        assert!((line(&scores, 14) - 482.0 * STEP).abs() < 1e-12, "{}", line(&scores, 14));
    }

    #[test]
    fn one_party_with_a_thousand_events_takes_one_place_of_the_budget() {
        let (mut scores, mut once) = (usual(1), usual(1));
        for i in 0..1_000 {
            scores.push(600_000_000 + i, party(900), [0.9 + i as f64 * 1e-5]);
        }
        once.push(600_000_000, party(900), [0.9]);
        // It has the first of 19 places, so the line is one step higher than without it.
        assert!((line(&scores, 1) - 483.0 * STEP).abs() < 1e-12, "{}", line(&scores, 1));
        assert_eq!(line(&scores, 1), line(&once, 1));
    }

    #[test]
    fn a_day_of_throwaway_names_does_not_blind_the_days_after_it() {
        let (calm, mut flooded) = (usual(14), usual(14));
        for i in 0..20_000 {
            flooded.push(13 * DAY_US + i as i64, party(10_000 + i), [0.9 + i as f64 * 1e-6]);
        }
        let (before, after) = (line(&calm, 14), line(&flooded, 14));
        // They have 40 of the 266 places of 14 days, and not all of them.
        assert!((before - 482.0 * STEP).abs() < 1e-12 && (after - 483.0 * STEP).abs() < 1e-12, "{before} {after}");
    }

    #[test]
    fn the_lines_of_a_day_are_the_same_whenever_they_are_drawn() {
        let live = usual(5);
        let mut later = usual(5);
        for i in 0..400 {
            later.push(5 * DAY_US + i as i64 * 1_000, party(i), [0.8 + i as f64 * STEP]);
        }
        assert_eq!(live.cut(0, Some(5), None, BUDGET), later.cut(0, Some(5), None, BUDGET));
        assert!(line(&later, 6) > line(&live, 6), "the next day they count");
        // On the first day there is nothing before it.
        let first = usual(1);
        assert!(line(&first, 0) < 1.0);
    }

    #[test]
    fn many_parties_are_thinned_and_keep_the_budget() {
        let mut scores = PartyDays::default();
        let count = 4 * SCORES_MAX;
        for i in 0..count {
            // Even over parties, and everybody comes twice: the second time with the greater score.
            let score = ((i * 7_919) % count) as f64 / count as f64;
            for (part, of) in [(0, score / 2.0), (1, score)] {
                scores.push(part * DAY_US / 2 + i as i64 * 100_000, party(i), [of]);
            }
        }
        assert!(scores.kept <= SCORES_MAX && scores.days[&0].halved >= 2, "{} {}", scores.kept, scores.days[&0].halved);
        let cut = scores.cut(0, Some(1), None, Budget { alerts_per_day: 800 });
        // 262,144 parties in a day: 760 reads are 0.29%. About 190 or fewer of them are among those that are kept, so the line is not exact.
        assert!((1.0 - cut.score - 760.0 / count as f64).abs() < 1e-3, "{}", cut.score);
    }

    #[test]
    fn a_flood_of_names_leaves_nothing_when_its_day_is_forgotten() {
        let (mut calm, mut flooded) = (usual(15), PartyDays::default());
        flood(0, 3 * SCORES_MAX, &mut flooded);
        (1..15).for_each(|day| usual_on(day, &mut flooded));
        let halved = |scores: &PartyDays<1>| scores.days.values().map(|day| day.halved).collect::<Vec<_>>();
        assert_eq!((halved(&flooded), flooded.kept <= SCORES_MAX), ([&[2][..], &[0; 14]].concat(), true));
        // As long as its day counts, each score stands for as many as one of that day does.
        let (with, without) = (line(&flooded, 15), line(&calm, 15));
        assert!((with - without).abs() < 20.0 * STEP, "{with} {without}");
        for scores in [&mut calm, &mut flooded] {
            scores.forget_before(1);
        }
        assert_eq!((flooded.kept, flooded.cut(0, Some(15), None, BUDGET)), (calm.kept, calm.cut(0, Some(15), None, BUDGET)));
    }

    #[test]
    fn what_was_halved_less_often_is_halved_first() {
        let mut scores = PartyDays::default();
        flood(0, 3 * SCORES_MAX, &mut scores);
        flood(1, SCORES_MAX / 2, &mut scores);
        assert_eq!((scores.days[&0].halved, scores.days[&1].halved, scores.kept <= SCORES_MAX), (2, 2, true));
        flood(1, 3 * SCORES_MAX, &mut scores);
        assert_eq!((scores.days[&0].halved, scores.days[&1].halved, scores.kept <= SCORES_MAX), (3, 3, true));
    }

    #[test]
    fn what_is_too_old_is_forgotten_and_what_opens_no_case_takes_no_place() {
        let row = |day: i64, read_of: Option<Taking>| Row { at_us: day * DAY_US, subject: 0, outlet: Outlet::Web, read_of, features: Vec::new() };
        let mut windows = Windows::default();
        for id in 0..100 {
            windows.push(&row(0, Some(party(id))), 0.9);
            windows.push(&row(20, Some(party(id))), id as f64 * STEP);
            windows.push(&row(20, None), 0.9);
        }
        let [web, kiosk, ..] = windows.cuts(21, None, &[BUDGET; 5]);
        assert!((web.score - 81.0 * STEP).abs() < 1e-12, "{web:?}");
        assert!(kiosk.score == 1.0 && windows.channels[0].kept == 100);
    }
}
