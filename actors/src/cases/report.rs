//! How well fraud is found, and whom that hurts: worked out of the cases of a while. What nobody suspected is known from those that were picked at random, each of which stands
//! for as many as there were for each of them.

use std::collections::BTreeMap;

use serde::Serialize;
use tornello_engine::time::Timestamp;

use crate::views::fraud::CaseRow;

/// The least share of a band in a comparison of distributions: an empty one would make any difference endless.
const SHARE_MIN: f64 = 1e-4;

/// The figures of some cases. Shares are 0 to 1, and none where nothing is known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// How many cases.
    pub cases: u32,
    /// How many of them were picked at random.
    pub picked: u32,
    /// How many have a verdict.
    pub decided: u32,
    /// How many lapsed without one.
    pub lapsed: u32,
    /// How many a day, without those picked.
    pub alerts_per_day: f64,
    /// Of those that were suspected and are known by now, how many were fraud.
    pub precision: Option<f64>,
    /// Of all fraud, as far as the picked ones tell, how much was suspected.
    pub recall: Option<f64>,
    /// The area under precision over recall, by score, weighted likewise.
    pub pr_auc: Option<f64>,
    /// What was at stake in blocked fraud, in cents.
    pub saved_cents: i64,
    /// How many were blocked and known to be honest in the end.
    pub good_hurt: u32,
    /// Of those with a verdict, how many had it in time.
    pub in_time: Option<f64>,
    /// Half of the verdicts took no longer, in seconds.
    pub median_s: Option<i64>,
}

/// Works the figures out. `days` is how long the cases were gathered; each picked one stands for `weight` things that nobody suspected.
#[must_use]
pub fn figures<'a>(rows: impl IntoIterator<Item = &'a CaseRow>, days: f64, weight: f64) -> Figures {
    let rows: Vec<&CaseRow> = rows.into_iter().collect();
    let count = |which: &dyn Fn(&CaseRow) -> bool| rows.iter().filter(|row| which(row)).count() as u32;
    let is_picked = |row: &CaseRow| row.origin == "picked";
    let suspected = |label: &'static str| count(&|row| !is_picked(row) && row.label == label);
    let (found, honest) = (f64::from(suspected("fraud")), f64::from(suspected("legit")));
    let missed = f64::from(count(&|row| is_picked(row) && row.label == "fraud")) * weight;
    let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
    let mut took: Vec<i64> = rows.iter().filter_map(|row| Some(row.decided_at?.micros_since(row.opened_at) / 1_000_000)).collect();
    took.sort_unstable();
    let decided = took.len() as u32;
    let in_time = count(&|row| row.decided_at.is_some_and(|at| at <= row.due_at));
    Figures {
        cases: rows.len() as u32,
        picked: count(&is_picked),
        decided,
        lapsed: count(&|row| row.state == "lapsed"),
        alerts_per_day: f64::from(count(&|row| !is_picked(row))) / days.max(1.0),
        precision: share(found, found + honest),
        recall: share(found, found + missed),
        pr_auc: pr_auc(&rows, weight),
        saved_cents: rows.iter().filter(|row| row.blocked && row.verdict == "fraud").map(|row| row.amount_cents).sum(),
        good_hurt: count(&|row| row.blocked && row.label == "legit"),
        in_time: share(f64::from(in_time), f64::from(decided)),
        median_s: took.get(took.len() / 2).copied(),
    }
}

/// The mean of the precision at each fraud found, going down the scores; equal scores are taken together.
fn pr_auc(rows: &[&CaseRow], weight: f64) -> Option<f64> {
    let mut by_score: BTreeMap<u8, (f64, f64)> = BTreeMap::new();
    for row in rows {
        let (Some(score), "fraud" | "legit") = (row.score, row.label.as_str()) else { continue };
        let weight = if row.origin == "picked" { weight } else { 1.0 };
        let (fraud, all) = by_score.entry(score).or_default();
        *all += weight;
        *fraud += if row.label == "fraud" { weight } else { 0.0 };
    }
    let total: f64 = by_score.values().map(|(fraud, _)| fraud).sum();
    let (mut fraud, mut all, mut area) = (0.0, 0.0, 0.0);
    for (more, together) in by_score.values().rev() {
        fraud += more;
        all += together;
        area += more / total * (fraud / all);
    }
    (total > 0.0).then_some(area)
}

/// How far two distributions over the same bands are apart: the sum of (a - e) ln(a / e). Above 0.1 is to be looked at, above 0.25 means that they are not the same; none
/// where one of them is empty.
#[must_use]
pub fn psi(expected: &[u64; 10], actual: &[u64; 10]) -> Option<f64> {
    let (e_sum, a_sum) = (expected.iter().sum::<u64>() as f64, actual.iter().sum::<u64>() as f64);
    if e_sum == 0.0 || a_sum == 0.0 {
        return None;
    }
    let share = |count: &u64, sum: f64| (*count as f64 / sum).max(SHARE_MIN);
    Some(expected.iter().zip(actual).map(|(e, a)| (share(e, e_sum), share(a, a_sum))).map(|(e, a)| (a - e) * (a / e).ln()).sum())
}

/// From when to when scores are compared with those before: the last seven days, and the twenty-eight before these.
#[must_use]
pub const fn drift_windows(now: Timestamp) -> [(Timestamp, Timestamp); 2] {
    let (week, before) = (now.plus_seconds(-7 * 86_400), now.plus_seconds(-35 * 86_400));
    [(before, week), (week, now)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use tornello_engine::ids::{CaseId, MuseumId};

    fn row(origin: &str, score: u8, label: &str, blocked: bool, took_h: Option<i64>) -> CaseRow {
        let at = |h: i64| Timestamp::from_seconds(1_780_000_000 + h * 3_600);
        CaseRow {
            case: CaseId(1),
            subject: String::new(),
            origin: origin.to_owned(),
            museum: MuseumId(1),
            channel: "web".to_owned(),
            amount_cents: 1_000,
            score: Some(score),
            probability_ppm: None,
            model: String::new(),
            loss: 0,
            opened_at: at(0),
            due_at: at(24),
            lapses_at: at(72),
            state: if took_h.is_some() { "decided" } else { "lapsed" }.to_owned(),
            assignee: String::new(),
            verdict: if took_h.is_some() { label } else { "" }.to_owned(),
            reason: String::new(),
            decided_by: String::new(),
            decided_at: took_h.map(at),
            appealed_at: None,
            blocked,
            label: label.to_owned(),
        }
    }

    #[test]
    fn what_was_missed_is_known_from_what_was_picked() {
        let rows = [
            row("review", 90, "fraud", true, Some(1)),
            row("review", 80, "fraud", true, Some(2)),
            row("review", 70, "legit", true, Some(30)),
            row("review", 60, "", false, None),
            row("picked", 5, "legit", false, Some(3)),
        ];
        let known = figures(&rows, 2.0, 20.0);
        assert_eq!((known.cases, known.picked, known.decided, known.lapsed), (5, 1, 4, 1));
        assert_eq!((known.precision, known.recall, known.alerts_per_day), (Some(2.0 / 3.0), Some(1.0), 2.0));
        assert_eq!((known.saved_cents, known.good_hurt, known.in_time, known.median_s), (2_000, 1, Some(0.75), Some(3 * 3_600)));
        assert_eq!(known.pr_auc, Some(1.0));
        // One picked fraud stands for twenty.
        let missed = [rows.to_vec(), vec![row("picked", 4, "fraud", false, Some(3))]].concat();
        assert_eq!(figures(&missed, 2.0, 20.0).recall, Some(2.0 / 22.0));
        let none = figures(&[], 2.0, 20.0);
        assert_eq!((none.precision, none.recall, none.pr_auc, none.in_time, none.median_s), (None, None, None, None, None));
    }

    #[test]
    fn distributions_that_are_alike_are_not_apart() {
        let (flat, shifted) = ([10; 10], [0, 0, 0, 0, 0, 20, 20, 20, 20, 20]);
        assert_eq!(psi(&flat, &flat), Some(0.0));
        assert!(psi(&flat, &shifted).is_some_and(|apart| apart > 0.25));
        assert_eq!(psi(&flat, &[0; 10]), None);
    }
}
