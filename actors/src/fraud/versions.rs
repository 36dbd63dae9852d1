//! What a rule said before: each form of it that was in force, from when on and until when, as the journal has it. What holds by itself changes with the program, and is not there.

use std::ops::ControlFlow;

use tornello_engine::aggregate::Aggregate;
use tornello_engine::fraud_rules::{Event, Rules, Written};
use tornello_engine::ids::Code;
use tornello_engine::record::Record;
use tornello_engine::time::Timestamp;

use crate::journal::{Journal, JournalError, StreamId};
use crate::streams::visit_apart;

/// A form of a rule that is or was in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// What it said, who stood for it, and since when.
    pub written: Written,
    /// Until when, and the number of the rules from then on; none of what is in force.
    pub until: Option<(Timestamp, u32)>,
}

/// The forms of a rule that were in force, in the order in which they were.
///
/// # Errors
/// Those of the journal.
pub async fn versions(journal: &dyn Journal, name: Code) -> Result<Vec<Version>, JournalError> {
    let take = move |(rules, versions): &mut (Rules, Vec<Version>), record: Record<Event>| {
        rules.apply(&record);
        if record.events.iter().any(|event| changes(event, name)) {
            // Of what was a draft alone nothing was in force.
            if let Some(last) = versions.last_mut().filter(|last| last.until.is_none()) {
                last.until = Some((record.at, rules.version()));
            }
            let written = rules.active().find(|written| written.rule.name == name);
            versions.extend(written.cloned().map(|written| Version { written, until: None }));
        }
        Ok(ControlFlow::Continue(()))
    };
    let (_, versions) = visit_apart(journal, StreamId::Rules, (Rules::default(), Vec::new()), take).await?;
    Ok(versions)
}

/// Whether another form of the rule is in force after it, or none.
fn changes(event: &Event, name: Code) -> bool {
    match event {
        Event::Activated(activated) => activated.name == name,
        Event::Retired(retired) => retired.name == name,
        Event::Drafted(_) => false,
    }
}
