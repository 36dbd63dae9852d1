//! What rules would have done: the journal is heard again from its beginning, and for everything that was asked for since a moment the rules are asked with what was
//! known then. Nothing changes by it; it takes as long as reading the journal does, on a thread that answers nobody, and one trial at a time.

use std::collections::BTreeMap;

use tornello_engine::slot;
use tornello_engine::time::Timestamp;
use tornello_models::fraud::rules::{Action, RuleSet};
use tornello_models::fraud::signals::{SignalKind, features};

use super::counters::Counters;
use super::fold::is_asked;
use super::hearing::Hearing;
use crate::journal::wire::{self, WireError};
use crate::journal::{Batch, Journal, JournalError, StreamId, batches_after};
use crate::streams::corrupt;

/// How many batches are read at once.
const ROUND: u32 = 64;
/// Of so many that would have been stopped it is found out what became of them; more are counted.
const FOLLOWED_MAX: usize = 100_000;

/// What would have been.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trial {
    /// How many commands were asked about.
    pub asked: u64,
    /// For how many of them one more proof would have been asked for, also where they would have been looked at besides.
    pub step_up: u64,
    /// How many would have been looked at.
    pub review: u64,
    /// How many would have been refused.
    pub block: u64,
    /// How many holds and sales that is.
    pub stopped: u64,
    /// How many of these were bought, and nobody has spoken against them since: no ticket was blocked or shown twice.
    pub good: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    bought: bool,
    bad: bool,
}

/// Asks rules about everything since `from`, as if they had been in force.
pub async fn try_rules(journal: &dyn Journal, rules: &RuleSet, from: Timestamp, parties: usize) -> Result<Trial, JournalError> {
    let (hearing, counters) = (Hearing::default(), Counters::new(parties));
    let mut trying = Trying { hearing, counters, rules: rules.clone(), from, trial: Trial::default(), fates: BTreeMap::new() };
    let end = journal.head().await?.number;
    while trying.counters.position() < end {
        let batches = batches_after(journal, trying.counters.position(), ROUND).await?;
        let taken = tokio::task::spawn_blocking(move || {
            batches.iter().try_for_each(|batch| trying.take(batch).map_err(|error| corrupt(batch, &error)))?;
            Ok::<_, JournalError>(trying)
        });
        trying = taken.await.map_err(|error| JournalError::Unreachable(error.to_string()))??;
    }
    let Trying { mut trial, fates, .. } = trying;
    trial.stopped = fates.len() as u64;
    trial.good = fates.values().filter(|fate| fate.bought && !fate.bad).count() as u64;
    Ok(trial)
}

struct Trying {
    hearing: Hearing,
    counters: Counters,
    rules: RuleSet,
    from: Timestamp,
    trial: Trial,
    /// What became of what would have been stopped.
    fates: BTreeMap<u128, Fate>,
}

impl Trying {
    fn take(&mut self, batch: &Batch) -> Result<(), WireError> {
        let heard = self.hearing.take(batch)?;
        for (signal, subject) in &heard {
            if signal.at_us >= self.from.as_micros() && is_asked(signal.kind) {
                self.trial.asked += 1;
                let known = self.counters.known(signal).map(|(_, known)| known).unwrap_or_default();
                let fired = self.rules.ask(&features(&known, signal), signal.outlet, signal.museum);
                self.trial.step_up += u64::from(fired.needs_proof());
                match fired.action {
                    Some(Action::Review) => self.trial.review += 1,
                    Some(Action::Block) => {
                        self.trial.block += 1;
                        if self.fates.len() < FOLLOWED_MAX {
                            self.fates.entry(*subject).or_default();
                        }
                    }
                    Some(Action::StepUp) | None => {}
                }
            }
            if let Some(fate) = self.fates.get_mut(subject) {
                match signal.kind {
                    SignalKind::Sold { .. } => fate.bought = true,
                    SignalKind::AdmittedTwice { .. } | SignalKind::Conflict => fate.bad = true,
                    _ => {}
                }
            }
        }
        for frame in wire::frames(&batch.records) {
            let frame = frame?;
            if matches!(frame.stream, StreamId::Slot(_)) && !self.fates.is_empty() {
                for event in frame.record::<slot::Event>()?.events {
                    if let slot::Event::Blocked(blocked) = event
                        && let Some(fate) = self.fates.get_mut(&blocked.sale.get())
                    {
                        fate.bad = true;
                    }
                }
            }
        }
        let signals: Vec<_> = heard.into_iter().map(|(signal, _)| signal).collect();
        self.counters.hear(batch.number, &signals);
        Ok(())
    }
}
