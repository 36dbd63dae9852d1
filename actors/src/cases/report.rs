//! How well fraud is found, and whom that hurts: worked out of the cases of a while. What was suspected has a case of origin `review`, and no other one was found. What nobody
//! suspected is known from those that were picked at random and looked at, each of which something is known stands for as many as there were for each of these; and from banks
//! that took money back: what one tells of was missed, and is one. What gates met twice stands in a line of its own: nobody can tell of the others of its kind. What rules refused is
//! known from appeals, which are made by those who think that they are honest, and from those that were picked at random among all.

use std::collections::BTreeMap;

use serde::Serialize;
use tornello_engine::case::Subject;
use tornello_engine::time::{DAY_S, MICROS_PER_S, Timestamp};
use tornello_models::fraud::drift::EVENTS_MIN;

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
    /// How many a day were suspected.
    pub alerts_per_day: f64,
    /// Of those that were suspected and are known by now, how many were fraud.
    pub precision: Option<f64>,
    /// Of all fraud, as far as the picked ones and banks tell, how much was suspected; none where neither tells anything.
    pub recall: Option<f64>,
    /// The area under precision over recall, by score, weighted likewise.
    pub pr_auc: Option<f64>,
    /// How many frauds nobody suspected before a bank took the money back.
    pub charged_back: u32,
    /// How many nobody suspected before a gate met their tickets twice.
    pub met_twice: u32,
    /// How many of these were fraud, as far as is known.
    pub met_twice_fraud: u32,
    /// What sales had cost that were blocked as fraud, less what was paid back of it or is to be, in cents. Of an attempt nobody has paid anything, whatever it asked for; and
    /// what a bank says of a sale is that it was none, or that the money is gone.
    pub saved_cents: i64,
    /// How many were blocked, or refused by a rule, and known to be honest in the end.
    pub good_hurt: u32,
    /// Of how many that were blocked or refused it is known by now what they were: what `good_hurt` is to be held against.
    pub hurt_known: u32,
    /// Of the attempts that rules refused, that chance picked and of which it is known what they were, how many were honest: what share of all that is refused that is, whoever
    /// appeals.
    pub refused_good: Option<f64>,
    /// Of those with a verdict that nobody beside analysts tells of, how many had it in time.
    pub in_time: Option<f64>,
    /// Half of these took no longer, in seconds: of what was appealed, from the appeal on.
    pub median_s: Option<i64>,
}

/// For how many things that nobody suspected each picked one stands of which it is known what it was, by channel: chance picks from each by itself.
pub type Weights = BTreeMap<String, f64>;

/// The weights, from how many there were in each channel that nobody suspected, and of how many picked ones it is known what they were. One that nobody looked at says nothing:
/// counted with them it would be as if it were honest.
#[must_use]
pub fn weights(unsuspected: &BTreeMap<String, u32>, known: &BTreeMap<String, u32>) -> Weights {
    let weight = |(channel, known): (&String, &u32)| {
        let all = unsuspected.get(channel).copied().unwrap_or(0).max(*known);
        (channel.clone(), f64::from(all) / f64::from((*known).max(1)))
    };
    known.iter().map(weight).collect()
}

fn is_picked(row: &CaseRow) -> bool {
    row.origin == "picked"
}

/// Whether a rule or a model held it for analysts: what was found, rightly or not.
fn is_suspected(row: &CaseRow) -> bool {
    row.origin == "review"
}

/// Whether nobody suspected it until a bank took the money back.
fn is_charged_back(row: &CaseRow) -> bool {
    row.origin == "chargeback"
}

/// Whether nobody suspected it until a gate met its tickets twice.
fn is_met_twice(row: &CaseRow) -> bool {
    row.origin == "conflict"
}

/// Whether rules refused it, so that it came to nothing.
fn is_refused(row: &CaseRow) -> bool {
    matches!(row.subject.parse(), Ok(Subject::Attempt(_)))
}

/// Whether a verdict keeps tickets of fraud from the gate that somebody has paid for, as far as is known: no bank has said anything since.
fn is_saved(row: &CaseRow) -> bool {
    row.blocked && !is_refused(row) && (row.label.as_str(), row.label_by.as_str()) == ("fraud", "verdict")
}

fn weight_of(row: &CaseRow, weights: &Weights) -> f64 {
    weights.get(&row.channel).copied().unwrap_or(1.0)
}

/// For how many things that nobody suspected a case stands; none if it is about another one. Of what was refused chance picks at another rate, and it was found already.
fn unsuspected(row: &CaseRow, weights: &Weights) -> Option<f64> {
    match row.origin.as_str() {
        "picked" if !is_refused(row) => Some(weight_of(row, weights)),
        "chargeback" => Some(1.0),
        _ => None,
    }
}

/// Works the figures out. `days` is how long the cases were gathered; `weights` for how many things that nobody suspected each picked one stands.
#[must_use]
pub fn figures<'a>(rows: impl IntoIterator<Item = &'a CaseRow>, days: f64, weights: &Weights) -> Figures {
    let rows: Vec<&CaseRow> = rows.into_iter().collect();
    let count = |which: &dyn Fn(&CaseRow) -> bool| rows.iter().filter(|row| which(row)).count() as u32;
    let suspected = |label: &'static str| count(&|row| is_suspected(row) && row.label == label);
    let (found, honest) = (f64::from(suspected("fraud")), f64::from(suspected("legit")));
    let known: Vec<(&CaseRow, f64)> =
        rows.iter().filter_map(|row| Some((*row, unsuspected(row, weights)?))).filter(|(row, _)| !row.label.is_empty()).collect();
    let missed: f64 = known.iter().filter(|(row, _)| row.label == "fraud").map(|(_, weight)| weight).sum();
    let refused_picked = |label: &'static str| count(&|row| is_picked(row) && is_refused(row) && row.label == label);
    let refused_good = f64::from(refused_picked("legit"));
    let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
    let read = |row: &&&CaseRow| !is_charged_back(row) && !is_met_twice(row);
    let took = rows.iter().filter(read).filter_map(|row| Some(row.took_us? / MICROS_PER_S));
    let mut took: Vec<i64> = took.collect();
    took.sort_unstable();
    let in_time = rows.iter().filter(read).filter(|row| row.in_time == Some(true)).count() as f64;
    Figures {
        cases: rows.len() as u32,
        picked: count(&|row| is_picked(row)),
        decided: count(&|row| row.decided_at.is_some()),
        lapsed: count(&|row| row.state == "lapsed"),
        alerts_per_day: f64::from(count(&is_suspected)) / days.max(1.0),
        precision: share(found, found + honest),
        recall: share(found, found + missed).filter(|_| !known.is_empty()),
        pr_auc: pr_auc(&rows, weights),
        charged_back: count(&|row| is_charged_back(row) && row.label == "fraud"),
        met_twice: count(&is_met_twice),
        met_twice_fraud: count(&|row| is_met_twice(row) && row.label == "fraud"),
        saved_cents: rows.iter().filter(|row| is_saved(row)).map(|row| (row.amount_cents - row.refunded_cents).max(0)).sum(),
        good_hurt: count(&|row| row.blocked && row.label == "legit"),
        hurt_known: count(&|row| row.blocked && !row.label.is_empty()),
        refused_good: share(refused_good, refused_good + f64::from(refused_picked("fraud"))),
        in_time: share(in_time, took.len() as f64),
        median_s: took.get(took.len() / 2).copied(),
    }
}

/// The mean of the precision at each fraud found, going down the scores; equal scores are taken together.
fn pr_auc(rows: &[&CaseRow], weights: &Weights) -> Option<f64> {
    let mut by_score: BTreeMap<u8, (f64, f64)> = BTreeMap::new();
    for row in rows {
        let (Some(score), "fraud" | "legit") = (row.score, row.label.as_str()) else { continue };
        let weight = if is_suspected(row) { Some(1.0) } else { unsuspected(row, weights) };
        let Some(weight) = weight else { continue };
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
/// where one of them is of fewer than [`EVENTS_MIN`]: of little chance alone makes more than that.
#[must_use]
pub fn psi(expected: &[u64; 10], actual: &[u64; 10]) -> Option<f64> {
    let (e_sum, a_sum) = (expected.iter().sum::<u64>() as f64, actual.iter().sum::<u64>() as f64);
    if e_sum.min(a_sum) < EVENTS_MIN as f64 {
        return None;
    }
    let share = |count: &u64, sum: f64| (*count as f64 / sum).max(SHARE_MIN);
    Some(expected.iter().zip(actual).map(|(e, a)| (share(e, e_sum), share(a, a_sum))).map(|(e, a)| (a - e) * (a / e).ln()).sum())
}

/// From when to when scores are compared with those before: the last seven days, and the twenty-eight before these.
#[must_use]
pub const fn drift_windows(now: Timestamp) -> [(Timestamp, Timestamp); 2] {
    let (week, before) = (now.plus_seconds(-7 * DAY_S), now.plus_seconds(-35 * DAY_S));
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
            refunded_cents: 0,
            score: Some(score),
            probability_ppm: None,
            model: String::new(),
            loss: 0,
            urgency: 0,
            appeals: false,
            opened_at: at(0),
            due_at: at(24),
            lapses_at: at(72),
            state: if took_h.is_some() { "decided" } else { "lapsed" }.to_owned(),
            assignee: String::new(),
            verdict: if took_h.is_some() { label } else { "" }.to_owned(),
            reason: String::new(),
            decided_by: String::new(),
            decided_at: took_h.map(at),
            took_us: took_h.map(|h| h * 3_600 * MICROS_PER_S),
            in_time: took_h.map(|h| h <= 24),
            appealed_at: None,
            blocked,
            label: label.to_owned(),
            label_by: if label.is_empty() { "" } else { "verdict" }.to_owned(),
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
        let weights = Weights::from([("web".to_owned(), 20.0)]);
        let known = figures(&rows, 2.0, &weights);
        assert_eq!((known.cases, known.picked, known.decided, known.lapsed), (5, 1, 4, 1));
        assert_eq!((known.precision, known.recall, known.alerts_per_day), (Some(2.0 / 3.0), Some(1.0), 2.0));
        assert_eq!((known.saved_cents, known.good_hurt, known.in_time, known.median_s), (2_000, 1, Some(0.75), Some(3 * 3_600)));
        assert_eq!((known.hurt_known, known.refused_good), (3, None));
        assert_eq!(known.pr_auc, Some(1.0));
        // One picked fraud stands for twenty.
        let missed = [rows.to_vec(), vec![row("picked", 4, "fraud", false, Some(3))]].concat();
        assert_eq!(figures(&missed, 2.0, &weights).recall, Some(2.0 / 22.0));
        // Each channel by itself: where chance picks often, each stands for less.
        let elsewhere = CaseRow { channel: "reseller".to_owned(), ..row("picked", 4, "fraud", false, Some(3)) };
        let both = Weights::from([("web".to_owned(), 20.0), ("reseller".to_owned(), 3.0)]);
        assert_eq!(figures(&[missed, vec![elsewhere]].concat(), 2.0, &both).recall, Some(2.0 / 25.0));
        let none = figures(&[], 2.0, &weights);
        assert_eq!((none.precision, none.recall, none.pr_auc, none.in_time, none.median_s), (None, None, None, None, None));
    }

    /// Of forty that were picked, thirty lapsed unread: the ten stand for all that nobody suspected, not for a quarter of it.
    #[test]
    fn one_that_nobody_looked_at_says_nothing() {
        let count = |channels: &[(&str, u32)]| channels.iter().map(|(channel, count)| ((*channel).to_owned(), *count)).collect();
        let weights = weights(&count(&[("web", 800), ("kiosk", 3), ("reseller", 40)]), &count(&[("web", 10), ("kiosk", 5)]));
        assert_eq!(weights, Weights::from([("web".to_owned(), 80.0), ("kiosk".to_owned(), 1.0)]));
    }

    #[test]
    fn an_honest_buyer_whom_a_rule_refused_is_one_who_was_hurt() {
        let refused = |origin: &str, label: &str| {
            let subject = tornello_engine::ids::AttemptId::new(20_000, 7).to_string();
            CaseRow { subject, ..row(origin, 100, label, true, Some(1)) }
        };
        let rows = [
            refused("appeal", "legit"),
            refused("appeal", "fraud"),
            refused("picked", "legit"),
            refused("picked", "fraud"),
            refused("picked", "fraud"),
            refused("picked", "fraud"),
            refused("picked", ""),
        ];
        let known = figures(&rows, 2.0, &Weights::from([("web".to_owned(), 20.0)]));
        assert_eq!((known.good_hurt, known.hurt_known, known.refused_good), (2, 6, Some(0.25)));
        // None of them was suspected, nor is any among what nobody suspected: a rule refused them, and some of them appealed.
        assert_eq!((known.precision, known.recall, known.pr_auc, known.picked, known.alerts_per_day), (None, None, None, 5, 0.0));
    }

    /// Nobody suspected any of them: a bank told of four, and a gate met the tickets of two more.
    #[test]
    fn what_others_tell_of_was_not_found() {
        let told = [
            vec![row("chargeback", 5, "fraud", false, None); 4],
            vec![row("conflict", 5, "fraud", false, None), row("conflict", 5, "", false, Some(2))],
        ];
        let weights = Weights::from([("web".to_owned(), 20.0)]);
        let known = figures(&told.concat(), 2.0, &weights);
        assert_eq!((known.precision, known.recall, known.alerts_per_day), (None, Some(0.0), 0.0));
        assert_eq!((known.charged_back, known.met_twice, known.met_twice_fraud), (4, 2, 1));
        assert_eq!((known.decided, known.in_time, known.median_s), (1, None, None));
        // One was suspected, and four were not, which all had the lowest score: each of five is as likely as any among those.
        let found = figures(
            &[told.concat(), vec![row("review", 90, "fraud", true, Some(1)), row("review", 90, "legit", true, Some(1))]].concat(),
            2.0,
            &weights,
        );
        assert_eq!((found.precision, found.recall), (Some(0.5), Some(0.2)));
        assert_eq!(found.pr_auc, Some(0.2 * 0.5 + 0.8 * (5.0 / 6.0)));
        // The bank was wrong: that one was no fraud.
        let settled = figures(&[row("chargeback", 5, "legit", false, None), row("review", 90, "fraud", true, Some(1))], 2.0, &weights);
        assert_eq!((settled.recall, settled.charged_back), (Some(1.0), 0));
        // Of what nobody suspected nothing is known.
        assert_eq!(figures(&[row("review", 90, "fraud", true, Some(1))], 2.0, &weights).recall, None);
    }

    #[test]
    fn what_was_paid_back_is_not_saved() {
        let back = |refunded_cents| CaseRow { refunded_cents, ..row("review", 90, "fraud", true, Some(1)) };
        assert_eq!(figures(&[back(0), back(400), back(1_000), back(3_600)], 2.0, &Weights::new()).saved_cents, 1_600);
    }

    #[test]
    fn what_nobody_paid_or_a_bank_speaks_of_is_not_saved() {
        let blocked = row("review", 90, "fraud", true, Some(1));
        let by = |label: &str, label_by: &str| CaseRow { label: label.to_owned(), label_by: label_by.to_owned(), ..blocked.clone() };
        let attempt = CaseRow { subject: tornello_engine::ids::AttemptId::new(20_000, 7).to_string(), ..row("appeal", 100, "fraud", true, Some(1)) };
        // The verdict stands in each of them. Where the bank was wrong an honest buyer was blocked; where it was right it has the money.
        let rows = [by("legit", "dispute"), by("fraud", "chargeback"), by("fraud", "dispute"), attempt];
        let known = figures(&rows, 2.0, &Weights::new());
        assert_eq!((known.saved_cents, known.good_hurt, known.hurt_known), (0, 1, 4));
        assert_eq!(figures(&[rows.to_vec(), vec![blocked]].concat(), 2.0, &Weights::new()).saved_cents, 1_000);
    }

    #[test]
    fn distributions_that_are_alike_are_not_apart() {
        let (flat, shifted) = ([50; 10], [0, 0, 0, 0, 0, 100, 100, 100, 100, 100]);
        assert_eq!(psi(&flat, &flat), Some(0.0));
        assert!(psi(&flat, &shifted).is_some_and(|apart| apart > 0.25));
        assert_eq!(psi(&flat, &[0; 10]), None);
        // Twelve scores are never like others.
        let few = [3, 0, 1, 2, 0, 0, 1, 0, 4, 1];
        assert_eq!((psi(&flat, &few), psi(&few, &flat), psi(&flat, &[49, 50, 50, 50, 50, 50, 50, 50, 50, 50])), (None, None, None));
    }
}
