//! A museum's day that is called off, or takes place after all: each of its slots is asked by itself, under the key of the one request. What stopped half way is gone on with by
//! whoever repeats that: a slot that has answered answers as it did, the others are asked then. What a slot says is its own rule.

use futures_util::future::join_all;
use jiff::civil::Date;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{Code, SlotId};
use tornello_engine::recall::Recall;
use tornello_engine::slot::{Command, Refusal, Slot, Unused};
use tornello_engine::time::Timestamp;

use crate::availability::{self, SlotAvailability};
use crate::failure::Failure;
use crate::museums::Known;
use crate::node::Node;

/// How many slots are asked at once: a day of many routes leaves room in the writer's queue for those who buy.
const AT_ONCE: usize = 16;

/// One slot of the day, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaySlot {
    /// Which.
    pub slot: SlotId,
    /// When it ends.
    pub end: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
    /// Who has places there; none if it is over, or could not be asked.
    pub stands: Option<Stands>,
}

/// What became of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, now or when this was asked before.
    Done,
    /// It was closed already, or is closed for another reason than the one that is taken back.
    StaysClosed(Code),
    /// It was not closed.
    StaysOpen,
    /// It is over.
    Over,
    /// It was not done, or nobody knows: it is to be asked again, with the same key.
    Failed(Failure<Refusal>),
}

/// Who has places of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stands {
    /// What is sold and was not used.
    pub unused: Unused,
    /// Places in live holds.
    pub held: u32,
    /// How many parties wait.
    pub waiting: u32,
}

impl Stands {
    fn of(slot: &Slot) -> Self {
        Self { unused: slot.unused(), held: slot.places().held.iter().sum(), waiting: slot.waiting().len() as u32 }
    }
}

/// Closes the slots that start on a day in Rome, or from some moment of it on, and are not closed; those of an older plan, too. In the order of their starts.
///
/// # Errors
/// The key came with another request before: then nothing is done. What becomes of each slot is said of it.
pub async fn close(
    node: &Node,
    known: &Known,
    date: Date,
    from: Option<Timestamp>,
    by: &Envelope,
    reason: Code,
) -> Result<Vec<DaySlot>, Failure<Refusal>> {
    let mut slots = slots_of(node, known, date);
    slots.retain(|seen| from.is_none_or(|from| seen.slot.start() >= from));
    each(node, &slots, by, &Command::CloseWithDay { reason }).await
}

/// Reopens the slots of a day that are closed for that reason. One that nobody has written to is closed for none, and is left out.
///
/// # Errors
/// As of [`close`].
pub async fn reopen(node: &Node, known: &Known, date: Date, by: &Envelope, reason: Code) -> Result<Vec<DaySlot>, Failure<Refusal>> {
    let mut slots = slots_of(node, known, date);
    slots.retain(|seen| seen.changed_at.is_some());
    each(node, &slots, by, &Command::ReopenWithDay { reason }).await
}

fn slots_of(node: &Node, known: &Known, date: Date) -> Vec<SlotAvailability> {
    availability::starting_on(known, node.board(), date, date, None, Channel::Web, node.now())
}

async fn each(node: &Node, slots: &[SlotAvailability], by: &Envelope, command: &Command) -> Result<Vec<DaySlot>, Failure<Refusal>> {
    // Before anything is done: half a day must not be closed by a request that is refused.
    let written: Vec<&SlotAvailability> = slots.iter().filter(|seen| seen.changed_at.is_some()).collect();
    for some in written.chunks(AT_ONCE) {
        if join_all(some.iter().map(|seen| is_of_another(node, seen.slot, by.clone()))).await.contains(&true) {
            return Err(Failure::KeyReused);
        }
    }
    let mut told = Vec::with_capacity(slots.len());
    for some in slots.chunks(AT_ONCE) {
        told.extend(join_all(some.iter().map(|seen| one(node, seen, by.clone(), command.clone()))).await);
    }
    Ok(told)
}

/// Whether a slot knows the key of another request. One that cannot be looked at says so when it is asked.
async fn is_of_another(node: &Node, slot: SlotId, by: Envelope) -> bool {
    node.look(slot, move |slot: &Slot| slot.recall(&by) == Recall::OtherBody).await.unwrap_or(false)
}

async fn one(node: &Node, seen: &SlotAvailability, by: Envelope, command: Command) -> DaySlot {
    let slot = seen.slot;
    let (outcome, stands) = match node.slot_and_after(slot, by, command, Stands::of).await {
        Ok((_, Some(stands))) => (Outcome::Done, Some(stands)),
        // A repeat is told what was so then.
        Ok((record, None)) => match node.slot_after(slot, record.seq).await {
            Ok(then) => (Outcome::Done, Some(Stands::of(&then))),
            Err(_) => (Outcome::Failed(Failure::OutcomeUnknown), None),
        },
        Err(Failure::Refused(Refusal::SlotOver { .. })) => (Outcome::Over, None),
        Err(Failure::Refused(Refusal::SlotClosed { reason })) => as_it_is(node, slot, Outcome::StaysClosed(reason)).await,
        Err(Failure::Refused(Refusal::NotClosed)) => as_it_is(node, slot, Outcome::StaysOpen).await,
        Err(failure) => (Outcome::Failed(failure), None),
    };
    DaySlot { slot, end: seen.end, outcome, stands }
}

/// A slot to which nothing was done.
async fn as_it_is(node: &Node, slot: SlotId, outcome: Outcome) -> (Outcome, Option<Stands>) {
    match node.look(slot, Stands::of).await {
        Ok(stands) => (outcome, Some(stands)),
        Err(failure) => (Outcome::Failed(failure), None),
    }
}
