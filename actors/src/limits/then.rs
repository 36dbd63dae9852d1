//! What a buyer had over several slots at a moment that is over, so that a refusal of then can be explained: counted anew from the slots as the journal has them, by the
//! rules that are asked now. What was on its way in that very moment is kept nowhere, and not counted.

use std::sync::Arc;

use tornello_engine::calendar;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::SlotId;
use tornello_engine::slot::{Command, Refusal, Slot, is_limited};
use tornello_engine::time::Timestamp;

use super::{DayLimits, limits_over_slots};
use crate::board::SlotHead;
use crate::failure::Failure;
use crate::history::Page;
use crate::node::{FORGET_AFTER_S, Node};

/// How many other slots are read back at most to count what one buyer had.
const SLOTS_MAX: usize = 128;

/// What the limits over several slots would have said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// Nothing: the slot had none, or they do not limit what is asked.
    NotLimited,
    /// There are limits, and nobody is named as the buyer.
    NobodyNamed,
    /// There was room for it.
    Passed,
    /// There was none.
    Refused(Refusal),
    /// Slots that count ended so long ago that they are not at hand any more.
    TooLongAgo,
    /// More slots count than are read back for one question.
    TooMany {
        /// How many.
        slots: usize,
        /// How many are read back.
        max: usize,
    },
}

/// What the limits over several slots would have said to a command for a slot, which is given as it was at that moment.
///
/// # Errors
/// If the journal cannot be read.
pub async fn said(node: &Node, slot: &Slot, at: Timestamp, envelope: &Envelope, command: &Command) -> Result<Then, Failure<Refusal>> {
    let limits = slot.opening().policy.limits;
    if !limits_over_slots(&limits) {
        return Ok(Then::NotLimited);
    }
    // Whose tickets move is told by what arrives.
    if envelope.buyer().is_none() && !matches!(command, Command::Arrive { .. }) {
        return Ok(if asks_for_a_buyer(slot, command) { Then::NobodyNamed } else { Then::NotLimited });
    }
    let days = Arc::new(DayLimits::default());
    days.put(slot);
    // With what the slot itself knows it is told whether the command asks for anything that is limited.
    if matches!(days.set_aside(slot.id(), &limits, envelope, command), Ok(None)) {
        return Ok(Then::NotLimited);
    }
    let day = calendar::local_day(slot.id().start());
    let (by_day, by_holds) = (limits.day_max.is_some(), limits.holds_max.is_some());
    let at_hand_from = node.now().plus_seconds(-FORGET_AFTER_S);
    let day_begins = calendar::instant(day.at(0, 0, 0, 0));
    if (by_day && day_begins <= at_hand_from) || (by_holds && at <= at_hand_from) {
        return Ok(Then::TooLongAgo);
    }
    let counts = |id: SlotId, head: &SlotHead| {
        let theirs = head.policy.limits;
        let of_day = by_day && theirs.day_max.is_some() && calendar::local_day(id.start()) == day;
        id != slot.id() && (of_day || (by_holds && theirs.holds_max.is_some() && head.end > at))
    };
    let heads = node.board().heads_of(slot.id().museum());
    let others: Vec<SlotId> = heads.into_iter().filter(|(id, head)| counts(*id, head)).map(|(id, _)| id).collect();
    if others.len() > SLOTS_MAX {
        return Ok(Then::TooMany { slots: others.len(), max: SLOTS_MAX });
    }
    for other in others {
        let past = node.history(other, at, Page { before: Some(0), limit: 0 }).await?;
        days.put(&past.slot);
    }
    Ok(match days.set_aside(slot.id(), &limits, envelope, command) {
        Ok(_) => Then::Passed,
        Err(refusal) => Then::Refused(refusal),
    })
}

/// Whether a command asks for places through a channel in which buyers are limited, so that it would be held against what its buyer has, if one were named.
fn asks_for_a_buyer(slot: &Slot, command: &Command) -> bool {
    match command.unnamed() {
        Command::Hold { channel, .. } | Command::Wait { channel, .. } | Command::SellDirect { channel, .. } => is_limited(*channel),
        Command::Sell { hold, .. } | Command::SellPaid { hold, .. } => {
            slot.hold_of(*hold).is_some_and(|hold| hold.buyer.is_none() && is_limited(hold.channel))
        }
        _ => false,
    }
}
