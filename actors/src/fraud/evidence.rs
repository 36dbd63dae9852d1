//! What speaks for a model that challenges: what it and the model that acts say of everything in a window, held against what is known by now. Each model has its own line, for as
//! many alerts as analysts can read. It is drawn as it is live: through parties and days, without what is asked for a proof instead. The cases that have a label are compared, each
//! once, by whether the one or the other would have had it looked at.
//!
//! Both models have scored these events live; features and scores follow from the journal and the models alone, so they are worked out again from there, and a restart
//! loses none. A label of honesty counts at once here, unlike in what is learned: whichever model it wrongs, it wrongs both.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tornello_engine::case::Subject;
use tornello_engine::ids::CaseId;
use tornello_engine::model_registry::{Counts, Window};
use tornello_engine::time::Timestamp;
use tornello_models::fraud::budget::Budget;
pub use tornello_models::fraud::promotion::Promotion;
use tornello_models::fraud::promotion::{Marked, Tally, weigh};

use super::judge::Acting;
use super::labels::{Asked, Labelled, Listen, hear_again, labels};
use super::scores::PartyDays;
use crate::journal::{Journal, JournalError};

/// The seed of the redraws.
const SEED: u64 = 7;

/// What two models said of one event, 0 to 1: the one that acts, and the one that challenges.
pub type Said = [f64; 2];

/// What came of a comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The id of the model that acts.
    pub champion: String,
    /// The id of the one that challenges.
    pub challenger: String,
    /// Over what.
    pub window: Window,
    /// The journal's batch up to which it was looked.
    pub position: u64,
    /// How many events both scored.
    pub events: u64,
    /// How many cases with a label are among them.
    pub cases: u64,
    /// What follows.
    pub promotion: Promotion,
}

impl Comparison {
    /// What was counted, by which the registry decides; none where too few cases are known.
    #[must_use]
    pub const fn counts(&self) -> Option<Counts> {
        match &self.promotion {
            Promotion::Deserved(found) | Promotion::NotShown(found) => Some(counts(&found.tally)),
            Promotion::TooFewLabels { .. } => None,
        }
    }
}

const fn counts(tally: &Tally) -> Counts {
    let Tally { frauds: _, champion_alerts, champion_hits, challenger_alerts, challenger_hits } = *tally;
    Counts { raised: challenger_alerts, found: challenger_hits, raised_before: champion_alerts, found_before: champion_hits }
}

/// Which model is better the registry says, here as when it decides: what is shown to be deserved is not refused then.
fn is_better(tally: &Tally) -> bool {
    counts(tally).is_better()
}

/// Compares two models on everything in a window, up to a batch, by the labels that cases have there. `budgets` are the alerts a day of each channel.
pub async fn compare(
    journal: &dyn Journal,
    [champion, challenger]: [Arc<Acting>; 2],
    budgets: [Budget; 5],
    window: Window,
    end: u64,
    parties: usize,
) -> Result<Comparison, JournalError> {
    let labels = labels(journal, end, Timestamp::MAX, |_| true).await?;
    let ids = [champion.id.clone(), challenger.id.clone()];
    let scored = Scored { models: [champion, challenger], window, events: 0, channels: Default::default(), cases: BTreeMap::new() };
    let scored = hear_again(journal, labels, end, parties, scored).await?;
    let [champion, challenger] = ids;
    let (events, cases) = (scored.events, scored.cases.len() as u64);
    let marks = scored.marks(&budgets);
    Ok(Comparison { champion, challenger, window, position: end, events, cases, promotion: weigh(&marks, SEED, is_better) })
}

struct Scored {
    models: [Arc<Acting>; 2],
    window: Window,
    events: u64,
    channels: [PartyDays<2>; 5],
    /// Of each case with a label what analysts would have read of it, and whether it was fraud.
    cases: BTreeMap<CaseId, (Vec<(usize, Said)>, bool)>,
}

impl Listen for Scored {
    fn done(&mut self, asked: &Asked<'_>) {
        let Some(said) = self.said(asked) else { return };
        self.events += 1;
        if let Some(party) = asked.read_of() {
            self.channels[asked.signal.outlet as usize].push(asked.signal.at_us, party, said);
        }
    }

    fn known(&mut self, asked: &Asked<'_>, _: Subject, labelled: &Labelled) {
        let Some(said) = self.said(asked) else { return };
        let (read, _) = self.cases.entry(labelled.case).or_insert_with(|| (Vec::new(), labelled.is_fraud()));
        if asked.read_of().is_some() {
            read.push((asked.signal.outlet as usize, said));
        }
    }
}

impl Scored {
    /// What both models say; none of what is not in the window.
    fn said(&self, asked: &Asked<'_>) -> Option<Said> {
        let score = |acting: &Arc<Acting>| acting.score(asked.features);
        self.window.has(Timestamp::from_micros(asked.signal.at_us)).then(|| self.models.each_ref().map(score))
    }

    fn marks(self, budgets: &[Budget; 5]) -> Vec<Marked> {
        let lines = |(channel, budget): (&PartyDays<2>, &Budget)| [0, 1].map(|model| channel.cut(model, None, None, *budget).score);
        let lines: Vec<[f64; 2]> = self.channels.iter().zip(budgets).map(lines).collect();
        let marked = |(read, fraud): (Vec<(usize, Said)>, bool)| {
            let above = |model: usize| read.iter().any(|(outlet, said)| said[model] > lines[*outlet][model]);
            Marked { champion: above(0), challenger: above(1), fraud }
        };
        self.cases.into_values().map(marked).collect()
    }
}

#[cfg(test)]
mod tests {
    use tornello_engine::aggregate::Aggregate;
    use tornello_engine::envelope::Digest;
    use tornello_engine::ids::KeyId;
    use tornello_engine::model_registry::{Command, Evidence, LABELS_MIN, ModelKind, Models, Refusal};

    use super::*;

    /// What the registry says to a comparison of these marks: shares as they are recorded, and the counts.
    fn decided(marks: &[Marked]) -> (Promotion, [u16; 2], Result<(), Refusal>) {
        let promotion = weigh(marks, SEED, is_better);
        let (Promotion::Deserved(found) | Promotion::NotShown(found)) = promotion else { panic!("{promotion:?}") };
        let milli = |share: f64| (share * 1_000.0).round() as u16;
        let evidence = Evidence {
            labels: LABELS_MIN.max(found.frauds as u32),
            recall_milli: milli(found.challenger_recall),
            recall_before_milli: milli(found.champion_recall),
            precision_milli: milli(found.challenger_precision),
            precision_before_milli: milli(found.champion_precision),
            report: Digest(1),
            confidence_milli: Some(milli(found.confidence)),
            window: None,
        };
        let (artifact, mut models) = ("forest-1".parse().unwrap(), Models::new(ModelKind::Fraud));
        let now = Timestamp::from_seconds(1);
        let registered = models.decide(now, &Command::Register { artifact, checksum: Digest(1), card: Digest(2), by: KeyId(1) }).unwrap();
        let record = models.record(now, None, registered);
        models.apply(&record);
        let window = Window { from: now, to: now };
        let (champion, challenger) = ("old".to_owned(), "new".to_owned());
        let compared = Comparison { champion, challenger, window, position: 1, events: 1, cases: marks.len() as u64, promotion };
        let promote = Command::Promote { artifact, evidence: Some(evidence), counts: compared.counts(), overridden: None, approver: KeyId(2) };
        (promotion, [evidence.recall_milli, evidence.recall_before_milli], models.decide(now, &promote).map(|_| ()))
    }

    #[test]
    fn what_is_deserved_is_not_refused_also_where_thousandths_are_the_same() {
        let marks = |champion: bool, challenger: bool, fraud: bool, count: usize| vec![Marked { champion, challenger, fraud }; count];
        // Of 8,000 frauds three more: in 95 of 100 redraws one of them is there.
        let more = [marks(true, true, true, 4_000), marks(false, true, true, 3), marks(false, false, true, 3_997)].concat();
        let (promotion, recalls, decided_on) = decided(&more);
        assert!(matches!(promotion, Promotion::Deserved(_)), "{promotion:?}");
        assert_eq!((recalls, decided_on), ([500, 500], Ok(())));
        // And what is not deserved is refused.
        let alarmed = [more, marks(false, true, false, 3)].concat();
        let (promotion, _, decided_on) = decided(&alarmed);
        assert!(matches!(promotion, Promotion::NotShown(_)), "{promotion:?}");
        assert_eq!(decided_on, Err(Refusal::NotBetter));
    }
}
