//! The auditor: reads the journal's bytes for itself after every step and holds them against what callers were told. It believes nobody: what was acknowledged is
//! in the journal exactly once as it was answered, what was refused is not, and of what nobody knows there is at most one.

use std::collections::{BTreeMap, BTreeSet};

use tornello_actors::digest::digest;
use tornello_actors::failure::Failure;
use tornello_actors::journal::wire::frames;
use tornello_actors::journal::{Batch, Head, StreamId};
use tornello_actors::node::Passage;
use tornello_actors::owner::Answer;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope, PartyKind};
use tornello_engine::ids::{Code, HoldId, KeyId, MuseumId, SlotId, TicketId};
use tornello_engine::museum::{self, Museum};
use tornello_engine::record::Record;
use tornello_engine::slot::{Command, Direction, Event, JudgedScan, Keeper, Line, Refusal, Scan, Slot};
use tornello_engine::time::Timestamp;

use super::naive::{Asked, DAY_S, Naive, counts, moves_add_up};
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

/// A reading that a museum shares its room out by.
#[derive(Debug, Clone, Copy)]
pub struct Shared {
    pub museum: MuseumId,
    pub sensor: Code,
    pub who: KeyId,
    pub inside: u32,
    pub sd: u32,
    pub measured_at: Timestamp,
    pub ceiling: u32,
    /// When it came.
    pub now: Timestamp,
}

/// A building by the last reading of it, in plain counting: as long as all is known of who passed a gate.
#[derive(Debug, Clone, Copy)]
struct Filling {
    museum: MuseumId,
    /// The most people who may be inside by the reading, and those who came less those who left since.
    people: i64,
    /// The first of these.
    read: i64,
    ceiling: i64,
    measured_at: Timestamp,
    /// Whether the node knows just as much: it had to find nothing by itself since.
    is_exact: bool,
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
    /// What gates were told and is not written, oldest first.
    pub told: BTreeMap<SlotId, Vec<Told>>,
    /// Tickets of which nobody knows whether they were let in or out, until the journal writes.
    doubtful: BTreeSet<TicketId>,
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
    /// How many there were in all.
    pub lost_cuts: u64,
    /// Each slot as its records say.
    replayed: BTreeMap<SlotId, Slot>,
    /// States of owners, encoded, that are to be held against their records when these are on the disk.
    seen: BTreeMap<(SlotId, u64), Vec<u8>>,
    /// How many were.
    pub held_against: u64,
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

    /// A batch is written, and the node is to find it. Who passed a gate by it counts there from the time of its records on, and of scans it cannot tell which a reading had
    /// counted.
    pub fn doubts(&mut self, batch: &Batch) -> Result<(), String> {
        let (mut passes, mut last): (Vec<(Scan, i64, bool)>, Option<Timestamp>) = (Vec::new(), None);
        for frame in frames(&batch.records) {
            let frame = frame.map_err(|error| error.to_string())?;
            if matches!(frame.stream, StreamId::Slot(_)) {
                let record: Record<Event> = frame.record().map_err(|error| error.to_string())?;
                passes.extend(record.events.iter().flat_map(|event| who_passed(event, record.at)));
                last = last.max(Some(record.at));
            }
        }
        if passes.is_empty() {
            return Ok(());
        }
        self.doubted_at = self.doubted_at.max(last);
        let of_scans = passes.iter().any(|(.., is_scan)| *is_scan);
        self.filling = self.filling.filter(|_| !of_scans).map(|filling| Filling { is_exact: false, ..filling });
        Ok(())
    }

    /// A museum shares its room out by a reading.
    pub fn shares(&mut self, shared: Shared) {
        self.uncut.clear();
        self.shared = Some(shared);
    }

    /// Nothing is on its way, and all slots were seen: whatever nobody knew is known.
    pub const fn rests(&mut self) {
        self.known_from = self.sendings.len();
    }

    /// A batch is lost. A slot that was to give up some of the room by it has that still, and no other one is given it.
    pub fn not_written(&mut self, batch: &Batch) -> Result<(), String> {
        let Some(shared) = self.shared else { return Ok(()) };
        for frame in frames(&batch.records) {
            let frame = frame.map_err(|error| error.to_string())?;
            let StreamId::Slot(slot) = frame.stream else { continue };
            let record: Record<Event> = frame.record().map_err(|error| error.to_string())?;
            let of_reading = slot.museum() == shared.museum && record.envelope.as_ref().is_some_and(|envelope| envelope.who == shared.who);
            let Some(Event::Observed(observed)) = record.events.last().filter(|_| of_reading) else { continue };
            let Some(share) = observed.share else { continue };
            let naive = self.slots.get(&slot);
            let (has, part) = (naive.and_then(|naive| naive.in_force(shared.now)), naive.map_or(0, Naive::admitted) + share);
            if has.is_none_or(|has| part < has) {
                self.lost_cuts += u64::from(self.uncut.insert(slot));
            }
        }
        Ok(())
    }

    fn hold_against(&mut self, slot: SlotId) -> Result<(), String> {
        let Some(replayed) = self.replayed.get(&slot) else { return Ok(()) };
        let Some(state) = self.seen.remove(&(slot, replayed.seq())) else { return Ok(()) };
        self.held_against += 1;
        rule(postcard::to_allocvec(replayed).ok() == Some(state), "the live state is not that of its records (SL-4)")
            .map_err(|wrong| format!("slot {slot}, record {}: {wrong}", replayed.seq()))
    }

    /// What a gate was answered. What is not on the disk, it was told because the journal does not write.
    pub fn passed(&mut self, sending: usize, passage: Passage, answer: Answer<Slot>, writes: bool) -> Result<(), String> {
        let (slot, envelope) = (passage.ticket.slot(), self.sendings[sending].envelope.clone());
        if writes {
            self.doubtful.clear();
        } else if answer == Err(Failure::OutcomeUnknown) {
            self.doubtful.insert(passage.ticket);
        }
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
        let wrong = |wrong: String| format!("{wrong}: a gate was told {record:?} of {passage:?}");
        let is_new = self.tell(slot, &envelope, passage, record).map_err(wrong)?;
        self.sendings[sending].outcome = Outcome::Told;
        if is_new { self.fill_unwritten(sending, record, passage.scan(record.at)) } else { Ok(()) }
    }

    /// Answers whether it was not told before.
    fn tell(&mut self, slot: SlotId, envelope: &Envelope, passage: Passage, record: &Record<Event>) -> Result<bool, String> {
        let naive = self.slots.get(&slot).ok_or("somebody passes in a slot that nobody wrote to")?;
        let told = self.told.entry(slot).or_default();
        if let Some(before) = told.iter().find(|told| (told.envelope.who, told.envelope.key) == (envelope.who, envelope.key)) {
            rule(before.envelope.body == envelope.body, "a gate is told something under a key of something else")?;
            return rule(before.record == *record, "a gate is told something else than before under one key").map(|()| false);
        }
        rule(record.envelope.as_ref() == Some(envelope), "a gate is told what somebody else asked for")?;
        rule(scan_of(&record.events) == Some(passage.scan(record.at)), "a gate is told of another scan than it asked for")?;
        rule(!self.doubtful.contains(&passage.ticket), "a ticket passes of which nobody knows whether it did")?;
        let mut then = naive.clone();
        for told in &*told {
            // What is written already, or can be no more, is no part of it. All else is, as what it comes to by now: somebody may have asked the slot itself meanwhile.
            let mut with = then.clone();
            if with.await_scan(told.record.at, told.scan(), told.passage.issue).is_ok() {
                then = with;
            }
        }
        then.foretell(record, &shown(passage.issue))?;
        told.push(Told { envelope: envelope.clone(), passage, record: record.clone() });
        Ok(true)
    }

    /// Who is let pass while the journal does not write is in the building, or out, from now on.
    fn fill_unwritten(&mut self, sending: usize, record: &Record<Event>, scan: Scan) -> Result<(), String> {
        let slot = scan.ticket.slot();
        let Some(filling) = self.filling.as_mut().filter(|filling| filling.museum == slot.museum()) else { return Ok(()) };
        filling.people += one(scan.direction);
        self.told_since.insert(scan);
        let filling = *filling;
        if scan.direction == Direction::In { self.building_holds(sending, slot, record, filling) } else { Ok(()) }
    }

    /// The journal writes, and all forked slots are online again: nothing that gates were told is lost. Answers how many scans were written.
    pub fn all_is_merged(&mut self) -> Result<usize, String> {
        self.doubtful.clear();
        // What has not come to be written never will be.
        for scan in std::mem::take(&mut self.told_since) {
            if let Some(filling) = &mut self.filling {
                filling.people -= one(scan.direction);
            }
        }
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

    /// A reading was taken in: who had passed when it was measured is in it. If all slots of its museum were seen before, the node has found by then what it had to find.
    pub fn heard(&mut self, are_all_seen: bool) {
        (self.filling, self.told_since) = (None, BTreeSet::new());
        let Some(Shared { museum, inside, sd, measured_at, ceiling, .. }) = self.shared else { return };
        if self.died_at.is_some_and(|died_at| measured_at < died_at) {
            return;
        }
        let read = i64::from(inside + 2 * sd);
        let mut people = read;
        for naive in self.slots.iter().filter(|(slot, _)| slot.museum() == museum).map(|(_, naive)| naive) {
            let Some(passed) = naive.passed_since(measured_at) else { return };
            people += passed;
        }
        for (slot, told) in self.told.iter().filter(|(slot, _)| slot.museum() == museum) {
            let Some(naive) = self.slots.get(slot) else { return };
            let waits = told.iter().filter(|told| told.record.at > measured_at && !told.is_written(naive)).map(Told::scan);
            self.told_since.extend(waits);
        }
        people += self.told_since.iter().map(|scan| one(scan.direction)).sum::<i64>();
        let is_exact = are_all_seen && self.doubted_at <= Some(measured_at);
        self.filling = Some(Filling { museum, people, read, ceiling: i64::from(ceiling), measured_at, is_exact });
    }

    /// Who passes the gates of one slot is in the building for those of all others. A scan counts if it was made since the reading, or told since.
    fn fill(&mut self, slot: SlotId, record: &Record<Event>) {
        let Some(mut filling) = self.filling.filter(|filling| filling.museum == slot.museum()) else { return };
        let mut is_entry = false;
        for (scan, times, is_scan) in record.events.iter().flat_map(|event| who_passed(event, record.at)) {
            if is_scan && scan.scanned_at > record.at {
                // By which time it counts nobody says.
                self.filling = None;
                return;
            }
            let is_it = |told: &&Scan| {
                let same = (told.ticket, told.direction, told.gate) == (scan.ticket, scan.direction, scan.gate);
                same && (!is_scan || told.scanned_at == scan.scanned_at)
            };
            let told = self.told_since.iter().find(is_it).copied();
            if let Some(told) = told {
                self.told_since.remove(&told);
                filling.people -= one(told.direction);
            }
            if !is_scan || told.is_some() || scan.scanned_at > filling.measured_at {
                filling.people += times * one(scan.direction);
            }
            is_entry |= !is_scan && scan.direction == Direction::In;
        }
        // Of passages of another day a node forgets some.
        filling.is_exact &= record.at < filling.measured_at.plus_seconds(DAY_S / 2);
        self.filling = Some(filling);
        if is_entry {
            self.entered = Some((slot, record.seq, filling));
        }
    }

    /// At rest a node counts for a building just those who came since it was measured, less those who left, by whichever gates and in whatever order that became known.
    pub fn building_counts(&self, museum: MuseumId, measured_at: Timestamp, said: i64) -> Result<(), String> {
        let is_it = |filling: &Filling| filling.is_exact && (filling.museum, filling.measured_at) == (museum, measured_at);
        let Some(filling) = self.filling.filter(is_it).filter(|_| self.told_since.is_empty()) else { return Ok(()) };
        rule(said == filling.people - filling.read, "others are counted in a building than have passed since it was measured")
            .map_err(|wrong| format!("{wrong}: {said} by {filling:?}"))
    }

    /// Nobody who asks a gate comes in beyond the ceiling, whichever slots let people in at once.
    fn building_holds(&self, sending: usize, slot: SlotId, record: &Record<Event>, filling: Filling) -> Result<(), String> {
        let stale_after_s = self.slots.get(&slot).map_or(0, |naive| naive.opening.policy.stale_after_s);
        let is_fresh = record.at < filling.measured_at.plus_seconds(stale_after_s.into());
        // Of what nobody knows whether it was done the node may know less, or more.
        let passes = |command: &Command| matches!(command, Command::Admit { .. } | Command::Exit { .. } | Command::Merge { .. });
        let is_open = |sending: &Sending| passes(&sending.command) && sending.outcome.is_open() && sending.outcome != Outcome::Told;
        let is_known = self.sendings.get(self.known_from..sending).is_some_and(|sent| !sent.iter().any(is_open));
        rule(!is_fresh || !is_known || filling.people <= filling.ceiling, "a full building lets somebody in by another slot")
            .map_err(|wrong| format!("{wrong}: {filling:?} after {record:?}"))
    }

    /// The node is gone, and what gates were told and is not written with it: they have it.
    pub fn lost(&mut self) -> Vec<Told> {
        self.doubtful.clear();
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

    /// A slot takes its part of the room in a building: by a reading that came, and so that with what all others have there is room for it.
    fn takes_share(&self, slot: SlotId, record: &Record<Event>) -> Result<Option<u32>, String> {
        let (Some(shared), [.., Event::Observed(observed)]) = (self.shared, &record.events[..]) else { return Ok(None) };
        if record.envelope.as_ref().is_none_or(|envelope| envelope.who != shared.who) || slot.museum() != shared.museum {
            return Ok(None);
        }
        let of_reading = (observed.source, observed.inside, observed.sd, observed.measured_at, observed.ceiling)
            == (shared.sensor, shared.inside, shared.sd, shared.measured_at, Some(shared.ceiling));
        rule(of_reading && observed.share.is_some(), "a slot is told of another reading than came")?;
        Ok(Some(self.slots.get(&slot).map_or(0, Naive::admitted)))
    }

    /// What all slots of a building may still let in fits in. `before` is what this one could before.
    fn there_is_room(&mut self, slot: SlotId, before: (Option<u32>, u32)) -> Result<(), String> {
        let Some(shared) = self.shared else { return Ok(()) };
        let (now, naive) = (shared.now, &self.slots[&slot]);
        let grew = before.0.is_some_and(|before| naive.in_force(now).is_some_and(|after| after > before)) && naive.may_come(now) > before.1;
        if !grew {
            return Ok(());
        }
        self.raised += 1;
        // One that is over sells nothing, whatever it has heard.
        let sells = |other: &&SlotId| self.slots.get(*other).is_none_or(|naive| now < naive.opening.end);
        let uncut: Vec<SlotId> = self.uncut.iter().filter(sells).copied().collect();
        rule(uncut.is_empty(), "a slot is given room that another one was to give up, which is not written")
            .map_err(|wrong| format!("slot {slot}: {wrong}: {uncut:?}"))?;
        let upper = i64::from(shared.inside + 2 * shared.sd);
        let mut may_come = 0;
        let mut of_museum: Vec<_> = self.slots.iter().filter(|(other, _)| other.museum() == shared.museum).collect();
        of_museum.sort_by_key(|(other, _)| (other.start(), **other));
        for (other, naive) in of_museum {
            let policy = naive.opening.policy;
            let (dwell_us, wait_us) = (i64::from(policy.dwell_s) * 1_000_000, other.start().micros_since(now).max(0));
            let is_over = now > naive.opening.end.plus_seconds(policy.admit_late_s.into());
            if is_over || (wait_us > 0 && wait_us >= dwell_us) {
                continue;
            }
            may_come += i64::from(naive.may_come(now));
            if (other.start(), *other) >= (slot.start(), slot) {
                let room = (i64::from(shared.ceiling) - staying(upper, wait_us, dwell_us)).max(0);
                rule(may_come <= room, "a slot is given room that others have still")
                    .map_err(|wrong| format!("slot {slot}: {wrong}: {may_come} may come until {other}, and there is room for {room}"))?;
            }
        }
        Ok(())
    }

    /// A reading was taken in, all slots that it concerns have written it down, `planned` among them, and nothing failed: all the room that it leaves is given to some slot.
    pub fn all_room_is_given(&self, planned: &[SlotId]) -> Result<(), String> {
        let (Some(shared), Some(filling)) = (self.shared, self.filling.filter(|filling| filling.is_exact)) else { return Ok(()) };
        if planned.iter().any(|slot| !self.slots.contains_key(slot)) || (filling.museum, filling.measured_at) != (shared.museum, shared.measured_at) {
            return Ok(());
        }
        // Whom gates let in since it was measured there is less room by.
        let (now, upper) = (shared.now, filling.people.max(filling.read));
        let mut of_museum: Vec<_> = self.slots.iter().filter(|(slot, _)| slot.museum() == shared.museum).collect();
        of_museum.sort_by_key(|(slot, _)| (slot.start(), **slot));
        let (mut concerned, mut may_come) = (Vec::new(), 0);
        for (slot, naive) in of_museum {
            let policy = naive.opening.policy;
            let (dwell_us, wait_us) = (i64::from(policy.dwell_s) * 1_000_000, slot.start().micros_since(now).max(0));
            let is_over = now > naive.opening.end.plus_seconds(policy.admit_late_s.into());
            if is_over || (wait_us > 0 && wait_us >= dwell_us) {
                continue;
            }
            let sells = now < naive.opening.end;
            let is_last = naive.records.last().is_some_and(|last| last.at == now);
            if (sells || naive.taken() > 0) && !(is_last && naive.has_share_of(shared.measured_at)) {
                return Ok(());
            }
            may_come += i64::from(naive.may_come(now));
            let room = (i64::from(shared.ceiling) - staying(upper, wait_us, dwell_us)).max(0);
            concerned.push((*slot, sells, room - may_come));
        }
        for (place, (slot, sells, _)) in concerned.iter().enumerate() {
            let is_full = concerned[place..].iter().any(|(.., left)| *left <= 0);
            rule(!sells || is_full, "room is left that no slot was given").map_err(|wrong| format!("{wrong}, as slot {slot}: {concerned:?}"))?;
        }
        Ok(())
    }

    /// A buyer gets no more for one day of a museum, over all its slots, than anybody may have.
    fn day_allows(&self, slot: SlotId, record: &Record<Event>, named: &[Digest]) -> Result<(), String> {
        let Some(naive) = self.slots.get(&slot) else { return Ok(()) };
        let Some(max) = naive.opening.policy.limits.day_max else { return Ok(()) };
        for event in &record.events {
            if matches!(event, Event::Arrived(arrived) if is_same_day(arrived.from.slot(), slot)) {
                continue;
            }
            let Some((buyers, more)) = naive.asks_of_day(event, named) else { continue };
            let has = self.has_of_day(slot, &buyers);
            rule(has + more <= u32::from(max), "a buyer has more of a day than anybody may").map_err(|wrong| format!("{wrong}: {has} and {more}"))?;
        }
        Ok(())
    }

    /// What a buyer has of a museum's day, over all its slots.
    pub fn has_of_day(&self, slot: SlotId, buyers: &[Digest]) -> u32 {
        let of_day = || self.slots.iter().filter(|(other, _)| is_same_day(**other, slot)).map(|(_, naive)| naive);
        buyers.iter().flat_map(|buyer| of_day().map(|naive| naive.people_of_day(*buyer))).sum()
    }

    /// How many holds of a buyer are open at a museum, over all its slots.
    pub fn open_at(&self, museum: MuseumId, buyers: &[Digest]) -> u32 {
        self.open_among(|slot| slot.museum() == museum, buyers)
    }

    fn open_among(&self, counts: impl Fn(SlotId) -> bool, buyers: &[Digest]) -> u32 {
        let counted = || self.slots.iter().filter(|(slot, _)| counts(**slot)).map(|(_, naive)| naive);
        buyers.iter().flat_map(|buyer| counted().map(|naive| naive.open_of(*buyer))).sum()
    }

    /// A buyer opens no more holds at a museum than anybody may have open.
    fn museum_allows(&self, slot: SlotId, record: &Record<Event>, named: &[Digest]) -> Result<(), String> {
        let Some(naive) = self.slots.get(&slot) else { return Ok(()) };
        let Some(max) = naive.opening.policy.limits.holds_max else { return Ok(()) };
        if named.is_empty() || !record.events.iter().any(Naive::opens) {
            return Ok(());
        }
        // A node that starts, or a day that begins, forgets days that are over: whatever was held for them has run out, though nobody may have written that down yet.
        let today = calendar::local_day(self.head.map_or(record.at, |head| head.at.max(record.at)));
        let of_museum = |other: SlotId| other.museum() == slot.museum() && calendar::local_day(other.start()) >= today;
        let open = self.open_among(of_museum, named);
        rule(open < u32::from(max), "a buyer has more holds open at a museum than anybody may").map_err(|wrong| format!("{wrong}: {open}"))
    }

    /// Somebody who asked while nothing else was on its way is refused for what buyers have only if they have it.
    pub fn is_limited(&self, sending: usize) -> Result<(), String> {
        let sending = &self.sendings[sending];
        let Sending { slot, envelope, command, outcome, .. } = sending;
        // Whoever amends a hold may not be its buyer.
        let (Outcome::Answered(Err(Failure::Refused(refusal))), false) = (outcome, matches!(command, Command::Amend { .. })) else { return Ok(()) };
        let buyers = buyers_of(envelope);
        let here = self.slots.get(slot).map_or((0, 0), |naive| naive.all_of(&buyers));
        let is_so = match refusal {
            Refusal::TooManyForDay { has, .. } => is_over(*slot, sending.at) || *has == self.has_of_day(*slot, &buyers),
            Refusal::TooManyForBuyer { has, .. } => *has == here.0,
            Refusal::HoldRenewed { again_at, .. } => {
                self.slots.get(slot).and_then(|naive| naive.barred_until(&buyers)).is_some_and(|until| until == *again_at && sending.at < until)
            }
            Refusal::TooManyOpenHolds { max } => here.1.max(self.open_at(slot.museum(), &buyers)) >= u32::from(*max),
            _ => true,
        };
        rule(is_so, "a buyer is refused for more than they have").map_err(|wrong| format!("{wrong}: {command:?} is answered {refusal:?}"))
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

    /// Whoever is refused at a gate, while all is written and nothing was on its way, may not pass: but for the room in the building.
    pub fn may_not_pass(&mut self, sending: usize, passage: Passage, now: Timestamp) -> Result<(), String> {
        let slot = passage.ticket.slot();
        let Outcome::Answered(Err(Failure::Refused(refusal))) = &self.sendings[sending].outcome else { return Ok(()) };
        let is_told = self.told.get(&slot).is_some_and(|told| !told.is_empty());
        let (is_full, wrong) = (matches!(refusal, Refusal::Wait { .. }), format!("{passage:?} is answered {refusal:?}"));
        let Some(naive) = self.slots.get_mut(&slot).filter(|_| !is_told && !is_full) else { return Ok(()) };
        let at = naive.records.last().map_or(now, |last| last.at.max(now));
        let may = match passage.direction {
            Direction::In => matches!(naive.against(passage.ticket, at, passage.issue), Ok(None)),
            Direction::Out => naive.is_inside(passage.ticket),
        };
        rule(!may, "somebody is kept out, or in, who may pass").map_err(|kept| format!("{kept}: {wrong}"))
    }

    /// What is counted of a buyer on the day of a slot, and how many holds of theirs are open at its museum.
    pub fn counted_of(&self, slot: SlotId, buyer: Digest) -> (u32, u32) {
        (self.has_of_day(slot, &[buyer]), self.open_at(slot.museum(), &[buyer]))
    }

    /// Somebody asked alone while the journal did not write: refused for no less than they have on the disk, whoever has read that; and if all that is there was read before, for
    /// that and for what may be written, at most.
    pub fn is_limited_though_unsure(&self, sending: usize, before: (u32, u32), is_read: bool) -> Result<(), String> {
        let Sending { slot, envelope, command, at, outcome } = &self.sendings[sending];
        let Outcome::Answered(Err(Failure::Refused(refusal))) = outcome else { return Ok(()) };
        let buyers = buyers_of(envelope);
        let after = (self.has_of_day(*slot, &buyers), self.open_at(slot.museum(), &buyers));
        let may_be =
            self.sendings[self.known_from.min(sending)..sending].iter().filter(|sent| sent.slot.museum() == slot.museum() && sent.outcome.is_open());
        let may_be = may_be.filter(|sent| buyers_of(&sent.envelope).iter().any(|buyer| buyers.contains(buyer))).map(|sent| asks(&sent.command));
        let (people, holds) = may_be.fold((0, 0), |sum, asked| (sum.0 + asked.0, sum.1 + asked.1));
        let is_so = match refusal {
            Refusal::TooManyForDay { .. } if is_over(*slot, *at) => true,
            Refusal::TooManyForDay { has, .. } => {
                let (least, most) = (before.0.min(after.0), before.0.max(after.0) + people);
                *has >= least && (!is_read || *has <= most)
            }
            Refusal::TooManyOpenHolds { max } => !is_read || before.1.max(after.1) + holds >= u32::from(*max),
            _ => true,
        };
        rule(is_so, "a buyer is refused for more than they have, or may have, or for less than they have")
            .map_err(|wrong| format!("{wrong}: {command:?} is answered {refusal:?}: {before:?}, {after:?}, and {people} in {holds}"))
    }

    fn take(&mut self, slot: SlotId, record: Record<Event>) -> Result<(), String> {
        let of_flow = record.envelope.as_ref().is_some_and(|envelope| envelope.who == KeyId::SYSTEM);
        let via = if of_flow { self.step_of_move(&record).map_err(|wrong| format!("{wrong}: {record:?}"))? } else { None };
        let let_in = self.takes_share(slot, &record).map_err(|wrong| format!("slot {slot}: {wrong}: {record:?}"))?;
        let told_before = self.is_told(slot, &record).map(|told| told.passage.issue);
        if let std::collections::btree_map::Entry::Vacant(new) = self.slots.entry(slot) {
            new.insert(Naive::open(slot, &record)?);
        }
        let naive = &self.slots[&slot];
        if let Some(via) = via {
            naive.on_sale(record.at, via)?;
        }
        let mut told = Asked::default();
        if let Some(let_in) = let_in {
            told.let_in = let_in;
        } else if let Some(envelope) = record.envelope.as_ref().filter(|_| !of_flow) {
            let last = naive.records.last().map_or(Timestamp::MIN, |last| last.at);
            let sendings = self.by_key.get(&(slot, envelope.who, envelope.key)).map(Vec::as_slice).unwrap_or_default();
            let asked = sendings.iter().map(|index| &self.sendings[*index]).find(|sending| {
                is_written_as(&sending.envelope, envelope) && sending.at.max(last) == record.at && did(&sending.command, &record.events)
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
                Command::Observe { grant: Some(grant), .. } => told.let_in = grant.admitted,
                Command::Release { owner, .. } | Command::LeaveWaiting { owner, .. } | Command::Amend { owner, .. } => {
                    told.by_staff = owner.is_none();
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
        let naive = self.slots.get_mut(&slot).ok_or("a slot that is not there")?;
        naive.take(record, told).map_err(|wrong| format!("slot {slot}: {wrong}"))?;
        if let_in.is_some() {
            self.there_is_room(slot, before)?;
        }
        self.hold_against(slot)
    }

    /// A step of a move, whose other half is in another slot: tickets arrive as they left, leave for good when they have arrived, and come back when they have not.
    /// Answers through whose channel they arrive.
    fn step_of_move(&self, record: &Record<Event>) -> Result<Option<Channel>, String> {
        let has_arrived = |arrival: HoldId| self.slots.get(&arrival.slot()).is_some_and(|naive| naive.sales.contains_key(&arrival));
        // What arrives with names has them on codes of its own, by the same record.
        let named = record.events.iter().rev().map_while(|event| if let Event::Renamed(renamed) = event { Some(renamed) } else { None });
        let named: Vec<_> = named.collect();
        match record.events.iter().rev().nth(named.len()) {
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

/// How many of those who are inside now will be still after a while.
const fn staying(upper: i64, wait_us: i64, dwell_us: i64) -> i64 {
    if wait_us == 0 { upper } else { (upper * (dwell_us - wait_us) + dwell_us - 1) / dwell_us }
}

/// Who passed a gate by an event, and how many times more than was known; with whether a scan tells of it. One that stands against the rest passes none.
fn who_passed(event: &Event, at: Timestamp) -> Vec<(Scan, i64, bool)> {
    let scan = |ticket, gate, scanned_at: Option<Timestamp>, direction| Scan { ticket, scanned_at: scanned_at.unwrap_or(at), gate, direction };
    let times = |found: &JudgedScan| i64::from(counts(found.judged)) - i64::from(found.before.is_some_and(counts));
    match event {
        Event::Admitted(admitted) => {
            vec![(scan(admitted.ticket, admitted.gate, admitted.scanned_at, Direction::In), 1, admitted.scanned_at.is_some())]
        }
        Event::Exited(exited) => vec![(scan(exited.ticket, exited.gate, exited.scanned_at, Direction::Out), 1, exited.scanned_at.is_some())],
        Event::AdmissionConflict(conflict) => {
            vec![(scan(conflict.ticket, conflict.gate, Some(conflict.scanned_at), Direction::In), 0, true)]
        }
        Event::ScansJudged(judged) => judged.scans.iter().map(|found| (found.scan, times(found), true)).collect(),
        _ => Vec::new(),
    }
}

/// One person in, or one less.
const fn one(direction: Direction) -> i64 {
    match direction {
        Direction::In => 1,
        Direction::Out => -1,
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

fn is_same_day(slot: SlotId, other: SlotId) -> bool {
    other.museum() == slot.museum() && calendar::local_day(other.start()) == calendar::local_day(slot.start())
}

/// Whether the day of a slot is over: then a node may have forgotten what buyers have of it.
fn is_over(slot: SlotId, at: Timestamp) -> bool {
    calendar::local_day(slot.start()) < calendar::local_day(at)
}

/// By which pseudonyms the one who asks is known.
fn buyers_of(envelope: &Envelope) -> Vec<Digest> {
    let named = envelope.parties.iter().filter(|party| party.kind == PartyKind::Buyer).map(|party| party.pseudonym);
    BTreeSet::from_iter(named.chain(envelope.formerly.iter().copied())).into_iter().collect()
}

/// For how many people a command asks, and how many holds it opens.
fn asks(command: &Command) -> (u32, u32) {
    let people = |lines: &[Line]| lines.iter().map(|line| u32::from(line.count)).sum::<u32>();
    match command {
        Command::Hold { lines, .. } | Command::HoldFor { lines, .. } | Command::Wait { lines, .. } => (people(lines), 1),
        Command::SellDirect { lines, .. } => (people(lines), 0),
        _ => (0, 0),
    }
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

/// Whether these events lift blocks of these tickets, and none that was to stay.
fn lifted((sale, tickets): (HoldId, &[u16]), (reason, keeps): (Option<Code>, Option<Code>), events: &[Event]) -> bool {
    let is_asked = |event: &Event| match event {
        Event::Unblocked(unblocked) => sale == unblocked.sale && named(tickets, &unblocked.tickets),
        Event::BlockLifted(lifted) => {
            let meant = reason.is_none_or(|reason| reason == lifted.reason) && keeps != Some(lifted.reason);
            meant && sale == lifted.sale && named(tickets, &lifted.tickets)
        }
        _ => false,
    };
    !events.is_empty() && events.iter().all(is_asked)
}

/// Whether these events are what a command asks for, by kind and by name.
fn did(command: &Command, events: &[Event]) -> bool {
    // Of several tickets each may be blocked for something else.
    if let Command::Unblock { sale, tickets, reason, keeps } = command {
        return lifted((*sale, tickets.as_slice()), (*reason, *keeps), events);
    }
    // What rests with it, and for how long, the naive slot knows.
    let rests = |event: &&Event| matches!(event, Event::RestDrawn(_) | Event::Rested(_) | Event::Freed(_));
    let events: Vec<Event> = events.iter().filter(|event| !rests(event)).cloned().collect();
    let event = match events.as_slice() {
        // What is held for something is kept for it in the same breath.
        [event @ Event::Held(_), Event::Prolonged(_)] | [Event::Opened(_), event @ Event::Held(_), Event::Prolonged(_)] => event,
        [event] | [Event::Opened(_), event] | [Event::Admitted(_), event @ Event::AdmissionConflict(_)] => event,
        _ => return false,
    };
    match (command.unnamed(), event) {
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
