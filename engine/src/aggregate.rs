//! The contract of the core: what every stream of truth can do, so that one shell gives all of them a mailbox, a journal and a clock.

use std::fmt;

use crate::envelope::Envelope;
use crate::past::Past;
use crate::recall::Recall;
use crate::record::Record;
use crate::time::Timestamp;

/// A unit of truth: the owner of one stream of records.
pub trait Aggregate: Clone + Send + Sync + Unpin + 'static {
    /// What can be asked.
    type Command: fmt::Debug + Send + 'static;
    /// What can happen.
    type Event: fmt::Debug + Clone + Send + Sync + 'static;
    /// Why not.
    type Refusal: fmt::Debug + Clone + Send + 'static;

    /// What it keeps of its records, whatever they are about.
    fn past(&self) -> &Past;

    /// Whether a command was seen before, by its key. Asked before [`Aggregate::decide`].
    fn recall(&self, envelope: &Envelope) -> Recall {
        self.past().recall(envelope)
    }

    /// What happens if this command comes now, or why not. All rules are here.
    fn decide(&self, now: Timestamp, command: &Self::Command) -> Result<Vec<Self::Event>, Self::Refusal>;

    /// As [`Aggregate::decide`], with the rules about those whom the envelope names: what the shell asks. Most aggregates have none.
    fn decide_for(&self, now: Timestamp, envelope: &Envelope, command: &Self::Command) -> Result<Vec<Self::Event>, Self::Refusal> {
        let _ = envelope;
        self.decide(now, command)
    }

    /// What has to happen because its time has come; empty if nothing is due. Most aggregates have no deadlines; those that have say this and
    /// [`Aggregate::wake_at`].
    fn due(&self, now: Timestamp) -> Vec<Self::Event> {
        let _ = now;
        Vec::new()
    }

    /// The record that a decision becomes: the next of this stream.
    fn record(&self, now: Timestamp, envelope: Option<Envelope>, events: Vec<Self::Event>) -> Record<Self::Event> {
        self.past().next(now, envelope, events)
    }

    /// Takes in what happened: no rule, no failure.
    fn apply(&mut self, record: &Record<Self::Event>);

    /// The state with these records taken in, one after the other.
    #[must_use]
    fn after<'a>(mut self, records: impl IntoIterator<Item = &'a Record<Self::Event>>) -> Self {
        records.into_iter().for_each(|record| self.apply(record));
        self
    }

    /// Whether the state is sound, in O(1): asked before a record may be written.
    fn check(&self) -> Result<(), Broken>;

    /// When [`Aggregate::due`] next has something to say, if ever.
    fn wake_at(&self) -> Option<Timestamp> {
        None
    }

    /// Number of the last record; 0 before the first.
    fn seq(&self) -> u64 {
        self.past().seq()
    }
}

/// An invariant that does not hold: the state must not be written, the stream must be rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invariant {invariant} is broken: {what}")]
pub struct Broken {
    /// Its number, as in the aggregate's documentation.
    pub invariant: &'static str,
    /// What was seen.
    pub what: &'static str,
}
