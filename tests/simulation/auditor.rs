//! The auditor: reads the journal's bytes for itself after every step and holds them against what callers were told. It believes nobody: what was acknowledged is
//! in the journal exactly once as it was answered, what was refused is not, and of what nobody knows there is at most one. What was asked for is held against what happened in
//! `asked`, what buyers have over all slots of a museum in `buyers`, who is in a building in `buildings`, what follows from verdicts in `cases`, and from what is said of days in `days`.

mod asked;
mod buildings;
mod buyers;
mod cases;
mod days;
mod gates;
mod refused;

use std::collections::{BTreeMap, BTreeSet};

use tornello_actors::digest::digest;
use tornello_actors::failure::Failure;
use tornello_actors::journal::wire::frames;
use tornello_actors::journal::{Batch, Head, StreamId};
use tornello_actors::node::Passage;
use tornello_actors::owner::Answer;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{CaseId, HoldId, KeyId, MuseumId, SlotId};
use tornello_engine::museum::{self, Museum};
use tornello_engine::record::Record;
use tornello_engine::slot::{Command, Direction, Event, Keeper, Scan, Slot};
use tornello_engine::time::Timestamp;

use self::asked::did;
use self::buildings::Filling;
pub use self::buildings::Shared;
use self::buyers::buyers_of;
pub use self::cases::Card;
use self::cases::{Last, Said};
pub use self::days::AskedOfDay;
use self::days::Days;
pub use self::gates::Asking;
use self::gates::Doubts;
use super::naive::{Asked, Naive, moves_add_up};
use super::rule;

/// What became of one sending of a command.
#[allow(clippy::large_enum_variant, reason = "most sendings are answered, and are kept to the end of the run")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// On its way.
    Pending,
    /// Nobody can tell the caller: it stopped waiting, or the node died.
    Unknown,
    /// A gate was told what is to be written.
    Told,
    Answered(Answer<Slot>),
}

impl Outcome {
    /// Whether it may have been carried out without the caller knowing.
    const fn is_open(&self) -> bool {
        matches!(self, Self::Pending | Self::Unknown | Self::Told | Self::Answered(Err(Failure::OutcomeUnknown)))
    }
}

/// What a gate was told while the journal did not write.
pub struct Told {
    pub envelope: Envelope,
    pub passage: Passage,
    record: Record<Event>,
}

impl Told {
    pub const fn scan(&self) -> Scan {
        self.passage.scan(self.record.at)
    }

    /// Whether it is on the disk: as the scan that it is, or as what the gate asked for, if that was asked again and came first.
    fn is_written(&self, naive: &Naive) -> bool {
        let Passage { ticket, direction, .. } = self.passage;
        let is_it = |event: &Event| match event {
            Event::Admitted(admitted) => (admitted.ticket, Direction::In) == (ticket, direction),
            Event::Exited(exited) => (exited.ticket, Direction::Out) == (ticket, direction),
            _ => false,
        };
        let asked = naive.keys.get(&(self.envelope.who, self.envelope.key)).into_iter().flatten();
        naive.scans.contains(&self.scan())
            || asked.filter_map(|seq| naive.records.get(*seq as usize - 1)).any(|record| record.events.iter().any(is_it))
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

impl Sending {
    /// Whether a gate was told what a record merges, and has not heard so yet: another one with the same ticket, in the same instant, may have it merged before that.
    fn is_merged(&self, record: &Record<Event>) -> bool {
        let Command::Admit { ticket, gate, .. } = self.command else { return false };
        let of_it = Scan { ticket, scanned_at: record.at, gate, direction: Direction::In };
        matches!(self.outcome, Outcome::Pending) && scan_of(&record.events) == Some(of_it)
    }
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
    /// What gates were told and is not written, oldest first.
    pub told: BTreeMap<SlotId, Vec<Told>>,
    doubts: Doubts,
    /// The last reading that a museum shares its room out by.
    pub shared: Option<Shared>,
    /// How many parts of a room grew by it.
    pub raised: u64,
    /// The building of which a reading came last, and how full it was when somebody last came in by asking a gate: of which slot, by which record.
    filling: Option<Filling>,
    entered: Option<(SlotId, u64, Filling)>,
    /// What gates were told since that reading and is not written: it counts there.
    told_since: BTreeSet<Scan>,
    /// Of when the last batch is that a node had to find, if somebody passed a gate by it.
    doubted_at: Option<Timestamp>,
    /// When the last record of the node before was written, and how many commands had been sent when it was last known what has become of all of them.
    died_at: Option<Timestamp>,
    known_from: usize,
    /// The slots that were to give up some of the room by the last reading, and have not written that down.
    uncut: BTreeSet<SlotId>,
    /// What each slot of the museum had promised when its room was last shared out.
    promised: BTreeMap<SlotId, u32>,
    /// How many there were in all.
    pub lost_cuts: u64,
    /// Each slot as its records say.
    replayed: BTreeMap<SlotId, Slot>,
    /// States of owners, encoded, that are to be held against their records when these are on the disk.
    seen: BTreeMap<(SlotId, u64), Vec<u8>>,
    /// How many were.
    pub held_against: u64,
    /// What analysts say of sales.
    pub cases: BTreeMap<CaseId, Card>,
    last: Last,
    pub said: Said,
    days: Days,
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
                        let record: Record<museum::Event> = frame.record().map_err(|error| error.to_string())?;
                        self.take_museum(museum, &record).map_err(|wrong| format!("museum {}: {wrong}: {record:?}", museum.0))?;
                        self.museums.entry(museum).or_default().push(record);
                    }
                    StreamId::Case(case) => {
                        let record = frame.record().map_err(|error| error.to_string())?;
                        self.take_case(case, &record).map_err(|wrong| format!("case {case}: {wrong}: {record:?}"))?;
                    }
                    other => return Err(format!("nobody has asked for {other}")),
                }
            }
        }
        self.callers_were_told_the_truth()
    }

    /// An owner's state after a record, which need not be on the disk yet.
    pub fn saw(&mut self, slot: SlotId, seq: u64, state: Vec<u8>) -> Result<(), String> {
        if seq == 0 {
            return Ok(());
        }
        self.seen.insert((slot, seq), state);
        self.hold_against(slot)
    }

    /// Of records on their way nobody knows any more whether they will be written.
    pub fn unsee(&mut self) {
        self.seen.clear();
    }

    /// Nothing is on its way, and all slots were seen: whatever nobody knew is known.
    pub const fn rests(&mut self) {
        self.known_from = self.sendings.len();
    }

    fn hold_against(&mut self, slot: SlotId) -> Result<(), String> {
        let Some(replayed) = self.replayed.get(&slot) else { return Ok(()) };
        let Some(state) = self.seen.remove(&(slot, replayed.seq())) else { return Ok(()) };
        self.held_against += 1;
        rule(postcard::to_allocvec(replayed).ok() == Some(state), "the live state is not that of its records (SL-4)")
            .map_err(|wrong| format!("slot {slot}, record {}: {wrong}", replayed.seq()))
    }

    /// What a gate was answered. What is not on the disk, it was told because the journal does not write.
    pub fn passed(&mut self, sending: usize, passage: Passage, answer: Answer<Slot>, asking: Asking) -> Result<(), String> {
        let (slot, envelope) = (passage.ticket.slot(), self.sendings[sending].envelope.clone());
        self.gate_was_answered((envelope.who, envelope.key), passage.ticket, answer.as_ref().err(), asking)
            .map_err(|wrong| format!("{wrong}: {passage:?} is answered {answer:?}, {asking:?}"))?;
        let is_written = |record: &Record<Event>| {
            let naive = self.slots.get(&slot)?;
            naive.records.get(usize::try_from(record.seq).ok()?.checked_sub(1)?).filter(|kept| is_same(record, kept))
        };
        let Ok(record) = &answer else {
            self.sendings[sending].outcome = Outcome::Answered(answer);
            return Ok(());
        };
        if is_written(record).is_some() {
            // Who repeats what was done without asking at a gate is not let in by one.
            let is_repeat =
                |sent: &Sending| sent.slot == slot && sent.envelope.key == envelope.key && matches!(sent.outcome, Outcome::Answered(Ok(_)));
            let entered = self.entered.filter(|(of, seq, _)| (*of, *seq) == (slot, record.seq) && !self.sendings[..sending].iter().any(is_repeat));
            if let Some((_, _, filling)) = entered {
                self.building_holds(sending, slot, record, filling)?;
            }
            self.sendings[sending].outcome = Outcome::Answered(answer);
            return Ok(());
        }
        let is_merged = |naive: &Naive| {
            let of_it = |kept: &Record<Event>| kept.envelope.as_ref().is_some_and(|written| is_written_as(&envelope, written));
            naive.records.iter().any(|kept| of_it(kept) && self.sendings[sending].is_merged(kept))
        };
        if self.slots.get(&slot).is_some_and(is_merged) {
            self.sendings[sending].outcome = Outcome::Told;
            return Ok(());
        }
        let wrong = |wrong: String| format!("{wrong}: a gate was told {record:?} of {passage:?}");
        let is_new = self.tell(slot, &envelope, passage, record).map_err(wrong)?;
        self.sendings[sending].outcome = Outcome::Told;
        if is_new { self.fill_unwritten(sending, record, passage.scan(record.at)) } else { Ok(()) }
    }

    /// Answers whether it was not told before.
    fn tell(&mut self, slot: SlotId, envelope: &Envelope, passage: Passage, record: &Record<Event>) -> Result<bool, String> {
        rule(self.slots.contains_key(&slot), "somebody passes in a slot that nobody wrote to")?;
        if let Some(before) =
            self.told.get(&slot).into_iter().flatten().find(|told| (told.envelope.who, told.envelope.key) == (envelope.who, envelope.key))
        {
            rule(before.envelope.body == envelope.body, "a gate is told something under a key of something else")?;
            return rule(before.record == *record, "a gate is told something else than before under one key").map(|()| false);
        }
        rule(record.envelope.as_ref() == Some(envelope), "a gate is told what somebody else asked for")?;
        rule(scan_of(&record.events) == Some(passage.scan(record.at)), "a gate is told of another scan than it asked for")?;
        let is_in_doubt = self.is_in_doubt(passage.ticket, (envelope.who, envelope.key));
        rule(!is_in_doubt, "a ticket passes of which nobody knows whether it did")?;
        let (mut then, _) = self.as_told(slot).ok_or("a slot that is not there")?;
        then.foretell(record, &shown(passage.issue))?;
        // Who alone was in doubt has passed, under one key: whoever comes with the ticket now comes after that.
        self.is_told_after_all(passage.ticket);
        self.told.entry(slot).or_default().push(Told { envelope: envelope.clone(), passage, record: record.clone() });
        Ok(true)
    }

    /// The journal writes, and all forked slots are online again: nothing that gates were told is lost. Answers how many scans were written.
    pub fn all_is_merged(&mut self) -> Result<usize, String> {
        self.nobody_doubts();
        self.untell();
        let mut merged = 0;
        for (slot, told) in std::mem::take(&mut self.told) {
            let naive = self.slots.get(&slot).ok_or("a gate was told of a slot that nobody wrote to")?;
            for told in told {
                let is_written = told.is_written(naive);
                // Who was let in is; who left may be known to have left by another scan.
                rule(is_written || told.passage.direction == Direction::Out && !naive.is_inside(told.passage.ticket), "what a gate was told is lost")
                    .map_err(|wrong| format!("{wrong}: {:?}", told.scan()))?;
                merged += usize::from(is_written);
            }
        }
        Ok(merged)
    }

    /// The node is gone, and what gates were told and is not written with it: they have it.
    pub fn lost(&mut self) -> Vec<Told> {
        self.nobody_doubts();
        self.shared = None;
        (self.filling, self.told_since) = (None, BTreeSet::new());
        (self.died_at, self.known_from) = (self.head.map(|head| head.at), self.sendings.len());
        self.unsee();
        let told = std::mem::take(&mut self.told).into_iter();
        told.flat_map(|(slot, told)| told.into_iter().map(move |told| (slot, told)))
            .filter(|(slot, told)| self.slots.get(slot).is_none_or(|naive| !told.is_written(naive)))
            .map(|(_, told)| told)
            .collect()
    }

    /// What gates were told, if this is that: the journal writes again.
    fn is_told(&self, slot: SlotId, record: &Record<Event>) -> Option<&Told> {
        let (envelope, scan) = (record.envelope.as_ref()?, scan_of(&record.events)?);
        let again = |told: &Told| {
            // Something else came under the key of it meanwhile.
            let key = digest(&[b"unrecorded", &told.envelope.key.0.to_be_bytes(), &told.record.at.as_micros().to_be_bytes()]);
            Envelope { key, ..told.envelope.clone() }
        };
        self.told
            .get(&slot)?
            .iter()
            .find(|told| told.scan() == scan && (is_written_as(&told.envelope, envelope) || is_written_as(&again(told), envelope)))
    }

    fn take(&mut self, slot: SlotId, record: Record<Event>) -> Result<(), String> {
        let of_flow = record.envelope.as_ref().is_some_and(|envelope| envelope.who == KeyId::SYSTEM);
        let via = if of_flow { self.step_of_move(&record).map_err(|wrong| format!("{wrong}: {record:?}"))? } else { None };
        let let_in = self.takes_share(slot, &record).map_err(|wrong| format!("slot {slot}: {wrong}: {record:?}"))?;
        let told_before = self.is_told(slot, &record).map(|told| told.passage.issue);
        let with_day = self.step_of_day(slot, &record).map_err(|wrong| format!("slot {slot}: {wrong}: {record:?}"))?;
        if let std::collections::btree_map::Entry::Vacant(new) = self.slots.entry(slot) {
            new.insert(Naive::open(slot, &record)?);
        }
        let naive = &self.slots[&slot];
        if let Some(via) = via {
            naive.on_sale(record.at, via)?;
        }
        let arrived = record.events.iter().find_map(|event| if let Event::Arrived(arrived) = event { Some(arrived) } else { None });
        let source = arrived.and_then(|arrived| Some((arrived.sale, self.slots.get(&arrived.from.slot())?)));
        let along = source.map(|(arrival, source)| source.reviewed_since(arrival)).unwrap_or_default();
        let suspected = source.is_some_and(|(arrival, source)| source.moves.get(&arrival).is_some_and(|moved| moved.suspected));
        let mut told = Asked { along, suspected, ..Asked::default() };
        if let Some(let_in) = let_in {
            told.let_in = let_in;
        } else if with_day.is_some() {
            told.with_day = with_day;
        } else if let Some(envelope) = record.envelope.as_ref().filter(|_| !of_flow) {
            let last = naive.records.last().map_or(Timestamp::MIN, |last| last.at);
            let sendings = self.by_key.get(&(slot, envelope.who, envelope.key)).map(Vec::as_slice).unwrap_or_default();
            let asked = sendings.iter().map(|index| &self.sendings[*index]).find(|sending| {
                let is_it = did(&sending.command, &record.events) || sending.is_merged(&record);
                is_written_as(&sending.envelope, envelope) && sending.at.max(last) == record.at && is_it
            });
            let unasked = || format!("something happened that nobody asked for, or not when it was asked: {record:?}");
            if let (None, Some(issue)) = (asked, told_before) {
                told.shown = issue;
            }
            let asked = if told_before.is_some() && asked.is_none() { None } else { Some(asked.ok_or_else(unasked)?) };
            told.buyers = asked.map(|asked| buyers_of(&asked.envelope)).unwrap_or_default();
            match asked.map_or(Command::Reopen, |asked| asked.command.clone()) {
                Command::Admit { issue, .. } | Command::Merge { issue, .. } => told.shown = issue,
                Command::HoldFor { until, cause, .. } | Command::Prolong { until, cause, .. } => told.until = Some((until, cause)),
                // As long as it lives anyway.
                Command::Bind { payment, over, .. } => (told.until, told.over) = (Some((record.at, Keeper::Payment(payment))), over),
                Command::SellPaid { keeper, .. } => told.over = keeper,
                Command::SellBeyond { beyond, ceiling, .. } => told.beyond = Some((beyond, ceiling)),
                Command::CloseWithDay { reason } | Command::ReopenWithDay { reason, .. } => told.with_day = Some(reason),
                Command::Observe { grant: Some(grant), .. } => told.let_in = grant.admitted,
                Command::Release { owner, .. }
                | Command::LeaveWaiting { owner, .. }
                | Command::Amend { owner, .. }
                | Command::BeginMove { owner, .. } => told.by_staff = owner.is_none(),
                Command::Shrink { owner, over, .. } | Command::WaitForFewer { owner, over, .. } => {
                    (told.by_staff, told.over, told.gives_back) = (owner.is_none(), over, true);
                }
                _ => {}
            }
        }
        let allowed = self.day_allows(slot, &record, &told.buyers).and_then(|()| self.museum_allows(slot, &record, &told.buyers));
        allowed.map_err(|wrong| format!("slot {slot}: {wrong}: {record:?}"))?;
        let now = self.shared.map_or(record.at, |shared| shared.now);
        let before = (naive.in_force(now), naive.may_come(now));
        match self.replayed.get_mut(&slot) {
            Some(replayed) => replayed.apply(&record),
            None => drop(Slot::replay([&record]).map(|replayed| self.replayed.insert(slot, replayed))),
        }
        self.fill(slot, &record);
        self.note_suspects(&record, !of_flow);
        let naive = self.slots.get_mut(&slot).ok_or("a slot that is not there")?;
        naive.take(record, told).map_err(|wrong| format!("slot {slot}: {wrong}"))?;
        if let_in.is_some() {
            self.there_is_room(slot, before)?;
        }
        self.hold_against(slot)
    }

    /// A step of a move, whose other half is in another slot: tickets arrive as they left, leave for good when they have arrived, and come back when they have not; or one that
    /// follows from a verdict. Answers through whose channel they arrive.
    fn step_of_move(&self, record: &Record<Event>) -> Result<Option<Channel>, String> {
        let has_arrived = |arrival: HoldId| self.slots.get(&arrival.slot()).is_some_and(|naive| naive.sales.contains_key(&arrival));
        // What arrives with names has them on codes of its own, by the same record, and then the review under which it was, which the naive slot knows.
        let reviewed = |event: &&Event| matches!(event, Event::ReviewOpened(_));
        let events = || record.events.iter().rev().skip_while(reviewed);
        let named = events().map_while(|event| if let Event::Renamed(renamed) = event { Some(renamed) } else { None });
        let named: Vec<_> = named.collect();
        match events().nth(named.len()) {
            Some(Event::Arrived(arrived)) => {
                let source = self.slots.get(&arrived.from.slot()).ok_or("tickets arrive from nowhere")?;
                rule(source.departs(arrived.sale).as_ref() == Some(arrived), "tickets arrive that did not leave so")?;
                let mut names: Vec<_> =
                    named.iter().flat_map(|renamed| renamed.tickets.iter().map(move |(number, _)| (*number, renamed.holder))).collect();
                names.sort_unstable();
                rule(names.into_iter().eq(arrived.holders.iter().map(|(number, person)| (*number, Some(*person)))), "other names than came along")?;
                rule(named.iter().all(|renamed| renamed.sale == arrived.sale), "something else is renamed than what arrives")?;
                Ok(Some(source.moves[&arrived.sale].begun.via))
            }
            Some(Event::MovedOut(moved)) if named.is_empty() => {
                rule(has_arrived(moved.arrival), "tickets are gone that have not arrived").map(|()| None)
            }
            Some(Event::MoveUndone(undone)) if named.is_empty() => {
                rule(!has_arrived(undone.arrival), "tickets stand again that have arrived").map(|()| None)
            }
            // What is done to tickets because of a verdict.
            _ if self.follows(record) => Ok(None),
            _ => Err("something happened that nobody asked for".into()),
        }
    }

    /// Nobody has two tickets that stand, or none, because of a move; answers how many moves are under way.
    pub fn moves_add_up(&self) -> Result<usize, String> {
        moves_add_up(&self.slots)
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
                        rule(kept.is_some_and(|kept| is_same(record, kept)), "what was acknowledged is not in the journal")
                            .map_err(|wrong| told(&wrong))?;
                        rule(written.contains(&record.seq), "the answer is that of another key").map_err(|wrong| told(&wrong))?;
                        let body = record.envelope.as_ref().map(|envelope| envelope.body);
                        rule(body == Some(sending.envelope.body), "the answer is that of another body").map_err(|wrong| told(&wrong))?;
                    }
                    Outcome::Answered(Err(Failure::OutOfOrder(why))) => {
                        rule(why.ends_with("stops again and again"), "an invariant broke").map_err(|wrong| told(&wrong))?;
                    }
                    Outcome::Answered(Err(Failure::UnknownSlot(_))) => return Err(told("a planned slot is not known")),
                    Outcome::Answered(Err(_)) | Outcome::Pending | Outcome::Unknown | Outcome::Told => {}
                }
            }
            for seq in written {
                let record = &naive.ok_or("a key of no slot")?.records[*seq as usize - 1];
                let answered = sendings().any(|sending| matches!(&sending.outcome, Outcome::Answered(Ok(answer)) if answer.seq == *seq));
                let open = sendings().any(|sending| {
                    sending.outcome.is_open() && record.envelope.as_ref().is_some_and(|envelope| is_written_as(&sending.envelope, envelope))
                });
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

/// Earlier pseudonyms are written nowhere.
fn is_written_as(asked: &Envelope, written: &Envelope) -> bool {
    written.formerly.is_empty() && Envelope { formerly: Vec::new(), ..asked.clone() } == *written
}

fn is_same(answered: &Record<Event>, written: &Record<Event>) -> bool {
    let is_asked = match (&answered.envelope, &written.envelope) {
        (Some(answered), Some(written)) => is_written_as(answered, written),
        (answered, written) => answered == written,
    };
    is_asked && (answered.seq, answered.at, &answered.events) == (written.seq, written.at, &written.events)
}

fn shown(issue: Option<u16>) -> Asked {
    Asked { shown: issue, ..Asked::default() }
}

/// The scan that came in late, if that is one.
fn scan_of(events: &[Event]) -> Option<Scan> {
    Some(match events.last()? {
        Event::Admitted(admitted) => {
            Scan { ticket: admitted.ticket, scanned_at: admitted.scanned_at?, gate: admitted.gate, direction: Direction::In }
        }
        Event::AdmissionConflict(conflict) => {
            Scan { ticket: conflict.ticket, scanned_at: conflict.scanned_at, gate: conflict.gate, direction: Direction::In }
        }
        Event::Exited(exited) => Scan { ticket: exited.ticket, scanned_at: exited.scanned_at?, gate: exited.gate, direction: Direction::Out },
        Event::ScansJudged(judged) => judged.scans.iter().find(|found| found.before.is_none())?.scan,
        _ => return None,
    })
}
