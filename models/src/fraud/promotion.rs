//! Whether a challenger may replace the champion: only on evidence. Both have scored the same labelled events; the challenger must find more fraud within the
//! alert budget and be no less precise, and be so in nine of ten redraws of the evidence (paired bootstrap). A person still has to approve it.

use serde::{Deserialize, Serialize};

use super::chance::Chance;

/// The fewest confirmed frauds that count as evidence.
pub const LABELS_MIN: usize = 50;
const REDRAWS: usize = 1_000;
const CONFIDENCE: f64 = 0.90;

/// An event of which the truth is known, and which of the models would have had it looked at: each by a line of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marked {
    /// Whether the champion would have.
    pub champion: bool,
    /// Whether the challenger would have.
    pub challenger: bool,
    /// Whether it was fraud.
    pub fraud: bool,
}

/// What two models would have had looked at of the same events, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Confirmed frauds among the events.
    pub frauds: u64,
    /// What the champion would have had looked at.
    pub champion_alerts: u64,
    /// How much of that was fraud.
    pub champion_hits: u64,
    /// What the challenger would have had looked at.
    pub challenger_alerts: u64,
    /// How much of that was fraud.
    pub challenger_hits: u64,
}

/// What the evidence says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Confirmed frauds among the events.
    pub frauds: usize,
    /// What was counted: shares that are rounded do not tell apart what lies closer together.
    pub tally: Tally,
    /// The share of all frauds, from 0 to 1, that the champion would have had looked at within the budget.
    pub champion_recall: f64,
    /// The share that the challenger would have.
    pub challenger_recall: f64,
    /// The share of frauds, from 0 to 1, among all that the champion would have had looked at within the budget.
    pub champion_precision: f64,
    /// The share among all that the challenger would have.
    pub challenger_precision: f64,
    /// The share of redraws, from 0 to 1, in which the challenger found more and was no less precise.
    pub confidence: f64,
}

/// What follows of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "decision")]
pub enum Promotion {
    /// It may be proposed to the approver.
    Deserved(Evidence),
    /// It is not shown to be better.
    NotShown(Evidence),
    /// There are too few confirmed frauds to say anything.
    TooFewLabels {
        /// How many there are.
        frauds: usize,
    },
}

/// Weighs the evidence. Each model's line was drawn elsewhere, on all events, of most of which nobody knows the truth. What is better, the caller says: more found, and no less
/// precise.
#[must_use]
pub fn weigh(marks: &[Marked], seed: u64, is_better: fn(&Tally) -> bool) -> Promotion {
    let frauds = marks.iter().filter(|event| event.fraud).count();
    if frauds < LABELS_MIN {
        return Promotion::TooFewLabels { frauds };
    }
    // Lines are drawn once: what is redrawn is the events, each with both verdicts, so that luck strikes both alike.
    let whole = Tally::of(marks.iter().copied());
    let mut chance = Chance::new(seed);
    let won = (0..REDRAWS).filter(|_| is_better(&Tally::of((0..marks.len()).map(|_| marks[chance.below(marks.len())])))).count();
    let evidence = Evidence {
        frauds,
        tally: whole,
        champion_recall: share(whole.champion_hits, whole.frauds),
        challenger_recall: share(whole.challenger_hits, whole.frauds),
        champion_precision: share(whole.champion_hits, whole.champion_alerts),
        challenger_precision: share(whole.challenger_hits, whole.challenger_alerts),
        confidence: won as f64 / REDRAWS as f64,
    };
    if is_better(&whole) && evidence.confidence >= CONFIDENCE { Promotion::Deserved(evidence) } else { Promotion::NotShown(evidence) }
}

impl Tally {
    fn of(marks: impl Iterator<Item = Marked>) -> Self {
        marks.fold(Self::default(), |mut tally, Marked { fraud, champion, challenger }| {
            tally.frauds += u64::from(fraud);
            tally.champion_alerts += u64::from(champion);
            tally.champion_hits += u64::from(fraud && champion);
            tally.challenger_alerts += u64::from(challenger);
            tally.challenger_hits += u64::from(fraud && challenger);
            tally
        })
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weigh(marks: &[Marked], seed: u64) -> Promotion {
        super::weigh(marks, seed, |tally| {
            let Tally { champion_alerts, champion_hits, challenger_alerts, challenger_hits, .. } = *tally;
            challenger_hits > champion_hits && challenger_hits * champion_alerts >= champion_hits * challenger_alerts
        })
    }

    /// Events of which the models find these shares of the frauds, each beside alerts about the same twenty honest buyers.
    fn events(frauds: usize, champion: usize, challenger: usize) -> Vec<Marked> {
        let fraud = (0..frauds).map(|i| Marked { champion: i % 100 < champion, challenger: i % 100 < challenger, fraud: true });
        let honest = (0..2_000).map(|i| Marked { champion: i < 20, challenger: i < 20, fraud: false });
        fraud.chain(honest).collect()
    }

    #[test]
    fn a_clear_winner_deserves_it_and_nobody_else_does() {
        assert!(matches!(weigh(&events(200, 50, 80), 1), Promotion::Deserved(evidence) if evidence.confidence > 0.99));
        assert!(matches!(weigh(&events(200, 80, 50), 1), Promotion::NotShown(_)));
        assert!(matches!(weigh(&events(200, 60, 60), 1), Promotion::NotShown(_)), "the same is not better");
        assert!(matches!(weigh(&events(100, 60, 61), 1), Promotion::NotShown(evidence) if evidence.confidence < 0.9), "one more is luck");
    }

    #[test]
    fn figures_are_shares_and_what_alarms_at_everything_is_no_better() {
        let marks = |fraud: bool, champion: bool, challenger: bool, count: usize| vec![Marked { champion, challenger, fraud }; count];
        let better =
            [marks(true, true, true, 40), marks(true, false, true, 40), marks(false, true, true, 20), marks(false, false, false, 60)].concat();
        let Promotion::Deserved(evidence) = weigh(&better, 1) else { panic!("more is found, and no less of it is fraud") };
        assert_eq!((evidence.frauds, evidence.champion_recall, evidence.challenger_recall), (80, 0.5, 1.0));
        // What finds all by alarming at everything is no better.
        let alarmed = [marks(true, true, true, 40), marks(true, false, true, 10), marks(false, false, true, 60)].concat();
        assert!(matches!(weigh(&alarmed, 1), Promotion::NotShown(_)));
        assert_eq!(weigh(&better[..49], 1), Promotion::TooFewLabels { frauds: 49 });
    }

    #[test]
    fn no_evidence_no_promotion() {
        assert_eq!(weigh(&events(49, 0, 100), 1), Promotion::TooFewLabels { frauds: 49 });
        assert_eq!(weigh(&[], 1), Promotion::TooFewLabels { frauds: 0 });
        // Who alarms at nothing finds nothing.
        let silent: Vec<Marked> = events(100, 50, 100).into_iter().map(|event| Marked { challenger: false, ..event }).collect();
        assert!(matches!(weigh(&silent, 1), Promotion::NotShown(_)));
    }
}
