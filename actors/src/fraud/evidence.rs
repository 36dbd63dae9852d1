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
use tornello_engine::model_registry::Window;
use tornello_engine::time::Timestamp;
use tornello_models::fraud::budget::Budget;
pub use tornello_models::fraud::promotion::Promotion;
use tornello_models::fraud::promotion::{Marked, weigh};

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
    Ok(Comparison { champion, challenger, window, position: end, events, cases, promotion: weigh(&marks, SEED) })
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
