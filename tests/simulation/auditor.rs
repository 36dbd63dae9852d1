//! The auditor: reads the journal's bytes for itself after every step and holds them against what callers were told. It believes nobody: what was acknowledged is
//! in the journal exactly once as it was answered, what was refused is not, and of what nobody knows there is at most one.

use std::collections::BTreeMap;

use tornello_actors::failure::Failure;
use tornello_actors::journal::wire::frames;
use tornello_actors::journal::{Batch, Head, StreamId};
use tornello_actors::owner::Answer;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{HoldId, KeyId, MuseumId, SlotId};
use tornello_engine::museum::{self, Museum};
use tornello_engine::record::Record;
use tornello_engine::slot::{Command, Direction, Event, Keeper, Line, Scan, Slot};
use tornello_engine::time::Timestamp;

use super::naive::{Asked, Naive, Stage};
use super::rule;

/// What became of one sending of a command.
#[allow(clippy::large_enum_variant, reason = "most sendings are answered, and are kept to the end of the run")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// On its way.
    Pending,
    /// Nobody can tell the caller: it stopped waiting, or the node died.
    Unknown,
    Answered(Answer<Slot>),
}

impl Outcome {
    /// Whether it may have been carried out without the caller knowing.
    const fn is_open(&self) -> bool {
        matches!(self, Self::Pending | Self::Unknown | Self::Answered(Err(Failure::OutcomeUnknown)))
    }
}

/// One sending of a command. Another one with the same key asks for the same.
pub struct Sending {
    pub slot: SlotId,
    pub envelope: Envelope,
    pub command: Command,
    pub at: Timestamp,
    pub outcome: Outcome,
}

#[derive(Default)]
pub struct Auditor {
    pub sendings: Vec<Sending>,
    /// The sendings of each key.
    by_key: BTreeMap<(SlotId, KeyId, Digest), Vec<usize>>,
    read: usize,
    head: Option<Head>,
    pub slots: BTreeMap<SlotId, Naive>,
    museums: BTreeMap<MuseumId, Vec<Record<museum::Event>>>,
    acknowledged: Vec<(MuseumId, Record<museum::Event>)>,
}

impl Auditor {
    pub fn sent(&mut self, slot: SlotId, envelope: Envelope, command: Command, at: Timestamp) -> usize {
        self.by_key.entry((slot, envelope.who, envelope.key)).or_default().push(self.sendings.len());
        self.sendings.push(Sending { slot, envelope, command, at, outcome: Outcome::Pending });
        self.sendings.len() - 1
    }

    pub fn museum_answered(&mut self, museum: MuseumId, answer: Answer<Museum>) {
        self.acknowledged.extend(answer.ok().map(|record| (museum, record)));
    }

    /// How many batches were read.
    pub const fn read(&self) -> usize {
        self.read
    }

    /// Reads the batches that are new and checks everything.
    pub fn step(&mut self, new: &[Batch]) -> Result<(), String> {
        for batch in new {
            let head = self.head.unwrap_or(Head::EMPTY);
            rule((batch.number, batch.previous) == (head.number + 1, head.hash) && batch.at >= head.at, "the chain of batches is broken")?;
            self.head = Some(Head { number: batch.number, hash: batch.hash(), at: batch.at });
            self.read += 1;
            for frame in frames(&batch.records) {
                let frame = frame.map_err(|error| error.to_string())?;
                match frame.stream {
                    StreamId::Slot(slot) => self.take(slot, frame.record().map_err(|error| error.to_string())?)?,
                    StreamId::Museum(museum) => {
                        self.museums.entry(museum).or_default().push(frame.record().map_err(|error| error.to_string())?);
                    }
                    other => return Err(format!("nobody has asked for {other}")),
                }
            }
        }
        self.callers_were_told_the_truth()
    }

    fn take(&mut self, slot: SlotId, record: Record<Event>) -> Result<(), String> {
        let of_flow = record.envelope.as_ref().is_some_and(|envelope| envelope.who == KeyId::SYSTEM);
        let via = if of_flow { self.step_of_move(&record).map_err(|wrong| format!("{wrong}: {record:?}"))? } else { None };
        let naive = match self.slots.entry(slot) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => new.insert(Naive::open(slot, &record)?),
        };
        if let Some(via) = via {
            naive.on_sale(record.at, via)?;
        }
        let mut told = Asked::default();
        if let Some(envelope) = record.envelope.as_ref().filter(|_| !of_flow) {
            let last = naive.records.last().map_or(Timestamp::MIN, |last| last.at);
            let sendings = self.by_key.get(&(slot, envelope.who, envelope.key)).map(Vec::as_slice).unwrap_or_default();
            let asked = sendings
                .iter()
                .map(|index| &self.sendings[*index])
                .find(|sending| sending.envelope == *envelope && sending.at.max(last) == record.at && did(&sending.command, &record.events));
            let unasked = || format!("something happened that nobody asked for, or not when it was asked: {record:?}");
            match asked.ok_or_else(unasked)?.command {
                Command::Admit { issue, .. } | Command::Merge { issue, .. } => told.shown = issue,
                Command::HoldFor { until, cause, .. } | Command::Prolong { until, cause, .. } => told.until = Some((until, cause)),
                // As long as it lives anyway.
                Command::Bind { payment, over, .. } => (told.until, told.over) = (Some((record.at, Keeper::Payment(payment))), over),
                Command::SellPaid { keeper, .. } => told.over = keeper,
                Command::SellBeyond { beyond, ceiling, .. } => told.beyond = Some((beyond, ceiling)),
                _ => {}
            }
        }
        naive.take(record, told).map_err(|wrong| format!("slot {slot}: {wrong}"))
    }

    /// A step of a move, whose other half is in another slot: tickets arrive as they left, leave for good when they have arrived, and come back when they have not.
    /// Answers through whose channel they arrive.
    fn step_of_move(&self, record: &Record<Event>) -> Result<Option<Channel>, String> {
        let has_arrived = |arrival: HoldId| self.slots.get(&arrival.slot()).is_some_and(|naive| naive.sales.contains_key(&arrival));
        match record.events.last() {
            Some(Event::Arrived(arrived)) => {
                let source = self.slots.get(&arrived.from.slot()).ok_or("tickets arrive from nowhere")?;
                rule(source.departs(arrived.sale).as_ref() == Some(arrived), "tickets arrive that did not leave so")?;
                Ok(Some(source.moves[&arrived.sale].begun.via))
            }
            Some(Event::MovedOut(moved)) => rule(has_arrived(moved.arrival), "tickets are gone that have not arrived").map(|()| None),
            Some(Event::MoveUndone(undone)) => rule(!has_arrived(undone.arrival), "tickets stand again that have arrived").map(|()| None),
            _ => Err("something happened that nobody asked for".into()),
        }
    }

    /// Nobody has two tickets that stand, or none, because of a move; answers how many moves are under way.
    pub fn moves_add_up(&self) -> Result<usize, String> {
        let moves = || self.slots.values().flat_map(|naive| &naive.moves);
        for (arrival, moved) in moves() {
            let there = self.slots.get(&arrival.slot()).and_then(|naive| naive.sales.get(arrival)).map(|sale| sale.tickets.len());
            let adds_up = match moved.stage {
                Stage::Begun => true,
                Stage::Done => there == Some(moved.begun.tickets.len()),
                Stage::Undone => there.is_none(),
            };
            rule(adds_up, "a move is neither done nor undone").map_err(|wrong| format!("{wrong}: {:?}", moved.begun))?;
        }
        Ok(self.slots.values().map(Naive::moving).sum())
    }

    fn callers_were_told_the_truth(&self) -> Result<(), String> {
        for ((slot, who, key), indices) in &self.by_key {
            let naive = self.slots.get(slot);
            let written = naive.and_then(|naive| naive.keys.get(&(*who, *key))).map(Vec::as_slice).unwrap_or_default();
            let sendings = || indices.iter().map(|index| &self.sendings[*index]);
            for sending in sendings() {
                let told = |wrong: &str| format!("{wrong}: {:?} to slot {slot} was answered {:?}", sending.command, sending.outcome);
                match &sending.outcome {
                    Outcome::Answered(Ok(record)) => {
                        let kept = naive.and_then(|naive| naive.records.get(usize::try_from(record.seq).ok()?.checked_sub(1)?));
                        rule(kept == Some(record), "what was acknowledged is not in the journal").map_err(|wrong| told(&wrong))?;
                        rule(written.contains(&record.seq), "the answer is that of another key").map_err(|wrong| told(&wrong))?;
                        let body = record.envelope.as_ref().map(|envelope| envelope.body);
                        rule(body == Some(sending.envelope.body), "the answer is that of another body").map_err(|wrong| told(&wrong))?;
                    }
                    Outcome::Answered(Err(Failure::OutOfOrder(why))) => {
                        rule(why.ends_with("stops again and again"), "an invariant broke").map_err(|wrong| told(&wrong))?;
                    }
                    Outcome::Answered(Err(Failure::UnknownSlot(_))) => return Err(told("a planned slot is not known")),
                    Outcome::Answered(Err(_)) | Outcome::Pending | Outcome::Unknown => {}
                }
            }
            for seq in written {
                let record = &naive.ok_or("a key of no slot")?.records[*seq as usize - 1];
                let answered = sendings().any(|sending| matches!(&sending.outcome, Outcome::Answered(Ok(answer)) if answer.seq == *seq));
                let open = sendings().any(|sending| sending.outcome.is_open() && Some(&sending.envelope) == record.envelope.as_ref());
                rule(answered || open, "what callers were told was not done is in the journal").map_err(|wrong| format!("{wrong}: {record:?}"))?;
            }
        }
        for (museum, record) in &self.acknowledged {
            let kept = self.museums.get(museum).and_then(|records| records.get(usize::try_from(record.seq).ok()? - 1));
            rule(kept == Some(record), "what a museum was told is not in the journal")?;
        }
        Ok(())
    }
}

/// Whether these events are what a command asks for, by kind and by name.
fn did(command: &Command, events: &[Event]) -> bool {
    let event = match events {
        // What is held for something is kept for it in the same breath.
        [event @ Event::Held(_), Event::Prolonged(_)] | [Event::Opened(_), event @ Event::Held(_), Event::Prolonged(_)] => event,
        [event] | [Event::Opened(_), event] | [Event::Admitted(_), event @ Event::AdmissionConflict(_)] => event,
        _ => return false,
    };
    match (command, event) {
        (Command::Hold { hold, channel, lines }, Event::Held(held)) => (hold, channel, lines) == (&held.hold, &held.channel, &held.lines),
        (Command::Extend { hold, .. }, Event::Extended(extended)) => *hold == extended.hold,
        (Command::HoldFor { hold, channel, lines, .. }, Event::Held(held)) => (hold, channel, lines) == (&held.hold, &held.channel, &held.lines),
        (Command::Prolong { hold, cause, .. }, Event::Prolonged(prolonged)) => (hold, cause) == (&prolonged.hold, &prolonged.cause),
        (Command::Bind { hold, payment, .. }, Event::Prolonged(prolonged)) => (*hold, Keeper::Payment(*payment)) == (prolonged.hold, prolonged.cause),
        (Command::Amend { hold, lines, .. }, Event::Amended(amended)) => (hold, lines) == (&amended.hold, &amended.lines),
        (Command::HandedOver { sale, seq }, Event::HandedOver(handed)) => (sale, seq) == (&handed.sale, &handed.seq),
        (Command::Release { hold, .. }, Event::Released(released)) => *hold == released.hold,
        (Command::Sell { hold, settlement, contact, .. }, Event::Sold(sold)) => {
            sold.held && (hold, settlement, contact) == (&sold.sale, &sold.settlement, &sold.contact)
        }
        (Command::SellPaid { hold, lines, settlement, contact, .. }, Event::Sold(sold)) => {
            sold.held && (hold, lines, settlement, contact) == (&sold.sale, &sold.lines, &sold.settlement, &sold.contact)
        }
        (Command::SellDirect { sale, channel, lines, settlement, contact }, Event::Sold(sold)) => {
            !sold.held && (sale, channel, lines, settlement, contact) == (&sold.sale, &sold.channel, &sold.lines, &sold.settlement, &sold.contact)
        }
        (Command::Cancel { sale, tickets, cause, .. }, Event::Cancelled(cancelled)) => {
            (sale, cause) == (&cancelled.sale, &cancelled.cause) && named(tickets, &cancelled.tickets)
        }
        (Command::Block { sale, tickets, reason }, Event::Blocked(blocked)) => {
            (sale, reason) == (&blocked.sale, &blocked.reason) && named(tickets, &blocked.tickets)
        }
        (Command::Unblock { sale, tickets }, Event::Unblocked(unblocked)) => *sale == unblocked.sale && named(tickets, &unblocked.tickets),
        (Command::Review { sale }, Event::ReviewOpened(opened)) => *sale == opened.sale,
        (Command::EndReview { sale, cleared }, Event::ReviewEnded(ended)) => (*sale, *cleared) == (ended.sale, ended.cleared),
        (Command::Admit { ticket, gate, .. }, Event::Admitted(admitted)) => {
            (ticket, gate, None) == (&admitted.ticket, &admitted.gate, admitted.scanned_at)
        }
        (Command::Exit { ticket, gate, .. }, Event::Exited(exited)) => (ticket, gate, None) == (&exited.ticket, &exited.gate, exited.scanned_at),
        (Command::SetCapacity { capacity }, Event::CapacitySet(set)) => *capacity == set.capacity,
        // How many it is, the naive slot knows.
        (Command::SellBeyond { turn_away_ppm, .. }, Event::BeyondSet(set)) => *turn_away_ppm == set.turn_away_ppm,
        (Command::SetQuotas { quotas }, Event::QuotasSet(set)) => *quotas == set.quotas,
        (Command::Close { reason }, Event::Closed(closed)) => *reason == closed.reason,
        (Command::Reopen, Event::Reopened(_)) => true,
        (Command::Observe { source, inside, sd, measured_at, ceiling, .. }, Event::Observed(observed)) => {
            (source, inside, sd, measured_at, ceiling) == (&observed.source, &observed.inside, &observed.sd, &observed.measured_at, &observed.ceiling)
        }
        (Command::Wait { entry, channel, lines, .. }, Event::Waited(waited)) => {
            (entry, channel, lines) == (&waited.entry, &waited.channel, &waited.lines)
        }
        (Command::LeaveWaiting { entry, .. }, Event::WaitingLeft(left)) => *entry == left.entry,
        // An offer is given back.
        (Command::LeaveWaiting { entry, .. }, Event::Released(released)) => *entry == released.hold,
        (Command::Merge { scan, .. }, Event::Admitted(admitted)) => admitted
            .scanned_at
            .is_some_and(|scanned_at| *scan == Scan { ticket: admitted.ticket, scanned_at, gate: admitted.gate, direction: Direction::In }),
        (Command::Merge { scan, .. }, Event::AdmissionConflict(conflict)) => {
            let of_conflict = Scan { ticket: conflict.ticket, scanned_at: conflict.scanned_at, gate: conflict.gate, direction: Direction::In };
            *scan == of_conflict
        }
        (Command::Merge { scan, .. }, Event::Exited(exited)) => exited
            .scanned_at
            .is_some_and(|scanned_at| *scan == Scan { ticket: exited.ticket, scanned_at, gate: exited.gate, direction: Direction::Out }),
        // What it comes to, and what others do, the naive slot knows.
        (Command::Merge { scan, .. }, Event::ScansJudged(judged)) => judged.scans.iter().any(|found| found.scan == *scan && found.before.is_none()),
        (Command::Rename { sale, tickets, holder, .. }, Event::Renamed(renamed)) => {
            let numbers: Vec<u16> = renamed.tickets.iter().map(|(number, _)| *number).collect();
            (sale, holder) == (&renamed.sale, &renamed.holder) && named(tickets, &numbers)
        }
        (Command::BeginMove { sale, tickets, arrival, via, prices, .. }, Event::MoveBegun(begun)) => {
            let costs =
                |line: &Line| prices.iter().find(|(category, _)| *category == line.category).map(|(_, price)| price.get() * i64::from(line.count));
            let there: Option<i64> = begun.lines.iter().map(costs).sum();
            let paid = begun.lines.iter().map(|line| line.price_cents.get() * i64::from(line.count)).sum();
            (sale, arrival, via) == (&begun.sale, &begun.arrival, &begun.via) && named(tickets, &begun.tickets) && there == Some(paid)
        }
        // A new kind of command is held against its event here.
        _ => false,
    }
}

/// Whether just the tickets that were named, if any were, are those that changed.
fn named(asked: &[u16], changed: &[u16]) -> bool {
    asked.is_empty() || changed.iter().all(|number| asked.contains(number))
}
