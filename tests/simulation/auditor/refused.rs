//! Why somebody is refused who asked while nothing else was on its way: it is so what they are told.

use tornello_actors::failure::Failure;
use tornello_engine::slot::{Command, Direction, Refusal};

use super::super::rule;
use super::{Auditor, Outcome, Sending};

impl Auditor {
    /// Somebody is refused only for what is so, by the lists.
    pub fn is_refused_for_what_is_so(&mut self, sending: usize) -> Result<(), String> {
        let Sending { slot, command, at, outcome, .. } = &self.sendings[sending];
        let (Outcome::Answered(Err(Failure::Refused(refusal))), Some(naive)) = (outcome, self.slots.get_mut(slot)) else { return Ok(()) };
        let (at, command) = (naive.now(*at), command.unnamed());
        let of_gate = match command {
            Command::Admit { ticket, issue, .. } => Some(naive.against_passing((Direction::In, *ticket), at, *issue)),
            Command::Exit { ticket, .. } => Some(naive.against_passing((Direction::Out, *ticket), at, None)),
            _ => None,
        };
        let is_so = match (of_gate, refusal) {
            (Some(against), Refusal::Wait { inside, ceiling }) => {
                against.is_none() && inside >= ceiling && naive.people_upper(at) == Some((*inside, *ceiling))
            }
            (Some(against), refusal) => against == Some(refusal.code()),
            // What is not taken in of a scan is looked at apart.
            (None, _) if matches!(command, Command::Merge { .. }) => true,
            (None, refusal) => naive.is_so(at, command, refusal),
        };
        rule(is_so, "somebody is refused for what is not so").map_err(|wrong| format!("{wrong}: {command:?} is answered {refusal:?} at {at}"))
    }

    /// Somebody asked while nothing failed: what was done under their key before is answered once more, whatever else has changed; and nobody hears of trouble that there is not.
    pub fn hears_what_was_done(&self, sending: usize) -> Result<(), String> {
        let Sending { slot, envelope, command, outcome, .. } = &self.sendings[sending];
        let Outcome::Answered(answer) = outcome else { return Ok(()) };
        let done = self.slots.get(slot).and_then(|naive| naive.remembered(envelope));
        let is_so = match (done.and_then(|done| Some((done.seq, done.envelope.as_ref()?.body))), answer) {
            (_, Err(Failure::OutOfOrder(_))) => true,
            (Some((seq, body)), Ok(record)) => record.seq == seq && body == envelope.body,
            (Some((_, body)), Err(failure)) => *failure == Failure::KeyReused && body != envelope.body,
            (None, Ok(_)) => false,
            (None, Err(failure)) => matches!(failure, Failure::Refused(_)),
        };
        rule(is_so, "what was done under a key is answered otherwise, or somebody hears of trouble that there is not")
            .map_err(|wrong| format!("{wrong}: {command:?} to slot {slot} is answered {answer:?}, and was done as {done:?}"))
    }

    /// Somebody who asked while nothing else was on its way is refused places only where there are none, and is told of as many as there are.
    pub fn has_no_room(&self, sending: usize) -> Result<(), String> {
        let Sending { slot, command, at, outcome, .. } = &self.sendings[sending];
        let (Outcome::Answered(Err(Failure::Refused(refusal))), Some(naive)) = (outcome, self.slots.get(slot)) else { return Ok(()) };
        let (Command::Hold { channel, .. } | Command::HoldFor { channel, .. } | Command::SellDirect { channel, .. } | Command::Wait { channel, .. }) =
            command.unnamed()
        else {
            return Ok(());
        };
        let at = naive.records.last().map_or(*at, |last| last.at.max(*at));
        let is_so = match refusal {
            Refusal::NotEnoughPlaces { available, .. } | Refusal::PlacesAvailable { available } => naive.room(at, *channel) == *available,
            Refusal::SlotClosed { .. } | Refusal::SaleNotOpen { .. } | Refusal::SaleOver { .. } | Refusal::SlotOver { .. } => {
                naive.on_sale(at, *channel).is_err()
            }
            _ => true,
        };
        rule(is_so, "somebody is refused places that there are, or is told of others")
            .map_err(|wrong| format!("{wrong}: {command:?} is answered {refusal:?}, and there are {}", naive.room(at, *channel)))
    }

    /// A scan that came while nothing else was on its way is refused only for what keeps it from being taken in: what stands against it is a conflict, which is noted.
    pub fn may_not_be_noted(&mut self, sending: usize) -> Result<(), String> {
        let Sending { slot, command, at, outcome, .. } = &self.sendings[sending];
        let (Outcome::Answered(Err(Failure::Refused(refusal))), Command::Merge { scan, issue, .. }) = (outcome, command) else { return Ok(()) };
        let Some(naive) = self.slots.get_mut(slot) else { return Ok(()) };
        let at = naive.records.last().map_or(*at, |last| last.at.max(*at));
        let against = naive.against_scan(at, *scan, *issue);
        rule(against == Some(refusal.code()), "a scan is not taken in, for no reason or another one")
            .map_err(|wrong| format!("{wrong}: {scan:?} is answered {refusal:?}, and not {against:?}"))
    }
}
