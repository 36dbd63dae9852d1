//! Buildings: who is in one by its last reading and by the gates of all its slots since, and how the room that is left is shared out among these.

use std::collections::BTreeSet;

use tornello_actors::journal::wire::frames;
use tornello_actors::journal::{Batch, StreamId};
use tornello_engine::ids::{Code, KeyId, MuseumId, SlotId};
use tornello_engine::record::Record;
use tornello_engine::slot::{Command, Direction, Event, JudgedScan, Scan};
use tornello_engine::time::Timestamp;

use super::super::naive::{DAY_S, Naive, counts};
use super::super::rule;
use super::{Auditor, Outcome, Sending, Told};

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
pub(super) struct Filling {
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

impl Auditor {
    /// A museum shares its room out by a reading.
    pub fn shares(&mut self, shared: Shared) {
        self.uncut.clear();
        self.shared = Some(shared);
        let of_museum = self.slots.iter().filter(|(slot, _)| slot.museum() == shared.museum);
        self.promised = of_museum.map(|(slot, naive)| (*slot, naive.promised())).collect();
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

    /// A batch is written, and the node is to find it. Until it has, it may count others; and what a gate was told that is found may count twice, until it is merged.
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
        let is_known = !of_scans || self.told_since.is_empty();
        self.filling = self.filling.filter(|_| is_known).map(|filling| Filling { is_exact: false, ..filling });
        Ok(())
    }

    /// All that gates were told is merged: what has not come to be written never will be.
    pub(super) fn untell(&mut self) {
        for scan in std::mem::take(&mut self.told_since) {
            if let Some(filling) = &mut self.filling {
                filling.people -= one(scan.direction);
            }
        }
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
            // Of scans that it has found, and not taken in by itself, a node does not know which were made by a clock that was ahead.
            if self.died_at.max(self.doubted_at).is_some_and(|found_at| naive.overtakes(found_at, measured_at)) {
                return;
            }
            people += naive.passed_since(measured_at);
        }
        let mut counts_twice = false;
        for (slot, told) in self.told.iter().filter(|(slot, _)| slot.museum() == museum) {
            let Some(naive) = self.slots.get(slot) else { return };
            let since = || told.iter().filter(|told| told.record.at > measured_at);
            self.told_since.extend(since().filter(|told| !told.is_written(naive)).map(Told::scan));
            // What somebody has asked the slot itself as well counts twice, until it is merged.
            counts_twice |= since().any(|told| told.is_written(naive) && !naive.scans.contains(&told.scan()));
        }
        people += self.told_since.iter().map(|scan| one(scan.direction)).sum::<i64>();
        let is_exact = are_all_seen && self.doubted_at <= Some(measured_at) && !counts_twice;
        self.filling = Some(Filling { museum, people, read, ceiling: i64::from(ceiling), measured_at, is_exact });
    }

    /// Who passes the gates of one slot is in the building for those of all others. A scan counts if it was made since the reading, or told since.
    pub(super) fn fill(&mut self, slot: SlotId, record: &Record<Event>) {
        let Some(mut filling) = self.filling.filter(|filling| filling.museum == slot.museum()) else { return };
        let mut is_entry = false;
        for (scan, times, is_scan) in record.events.iter().flat_map(|event| who_passed(event, record.at)) {
            // By a clock that was ahead it counts when it came in.
            let known_at = self.slots.get(&slot).filter(|_| is_scan).and_then(|naive| naive.counts_at(scan));
            let counts_at = known_at.unwrap_or(scan.scanned_at.min(record.at));
            let is_overtaken = counts_at <= filling.measured_at && scan.scanned_at > filling.measured_at;
            if known_at.is_some_and(|at| Some(at) <= self.doubted_at) && is_overtaken {
                // That it was, a node does not know that has found it.
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
            if !is_scan || told.is_some() || counts_at > filling.measured_at {
                filling.people += times * one(scan.direction);
            }
            is_entry |= !is_scan && scan.direction == Direction::In;
        }
        // Of passages of a day before a node forgets some.
        filling.is_exact &= record.at <= filling.measured_at.plus_seconds(DAY_S);
        self.filling = Some(filling);
        if is_entry {
            self.entered = Some((slot, record.seq, filling));
        }
    }

    /// Who is let pass while the journal does not write is in the building, or out, from now on.
    pub(super) fn fill_unwritten(&mut self, sending: usize, record: &Record<Event>, scan: Scan) -> Result<(), String> {
        let slot = scan.ticket.slot();
        let Some(filling) = self.filling.as_mut().filter(|filling| filling.museum == slot.museum()) else { return Ok(()) };
        filling.people += one(scan.direction);
        self.told_since.insert(scan);
        let filling = *filling;
        if scan.direction == Direction::In { self.building_holds(sending, slot, record, filling) } else { Ok(()) }
    }

    /// At rest a node counts for a building just those who came since it was measured, less those who left, by whichever gates and in whatever order that became known.
    pub fn building_counts(&self, museum: MuseumId, measured_at: Timestamp, said: i64) -> Result<(), String> {
        let is_it = |filling: &Filling| filling.is_exact && (filling.museum, filling.measured_at) == (museum, measured_at);
        let Some(filling) = self.filling.filter(is_it).filter(|_| self.told_since.is_empty()) else { return Ok(()) };
        rule(said == filling.people - filling.read, "others are counted in a building than have passed since it was measured")
            .map_err(|wrong| format!("{wrong}: {said} by {filling:?}"))
    }

    /// Nobody who asks a gate comes in beyond the ceiling, whichever slots let people in at once.
    pub(super) fn building_holds(&self, sending: usize, slot: SlotId, record: &Record<Event>, filling: Filling) -> Result<(), String> {
        let stale_after_s = self.slots.get(&slot).map_or(0, |naive| naive.opening.policy.stale_after_s);
        let is_fresh = record.at < filling.measured_at.plus_seconds(stale_after_s.into());
        // Of what nobody knows whether it was done the node may know less, or more.
        let passes = |command: &Command| matches!(command, Command::Admit { .. } | Command::Exit { .. } | Command::Merge { .. });
        let is_there = |sending: &Sending| sending.slot.museum() == slot.museum() && passes(&sending.command);
        let is_open = |sending: &Sending| is_there(sending) && sending.outcome.is_open() && sending.outcome != Outcome::Told;
        let is_known = self.sendings.get(self.known_from..sending).is_some_and(|sent| !sent.iter().any(is_open));
        rule(!is_fresh || !is_known || filling.people <= filling.ceiling, "a full building lets somebody in by another slot")
            .map_err(|wrong| format!("{wrong}: {filling:?} after {record:?}"))
    }

    /// Whoever has to wait for the room in a building hears of as many people as came in by it, with those of whom nobody knows, of whom there are `others` at most. Of a building of
    /// which something else was read last, or not all was found, nobody knows how many the node counts.
    pub(super) fn building_is_full(
        &self,
        (museum, stale_after_s): (MuseumId, i64),
        now: Timestamp,
        (inside, ceiling): (u32, u32),
        others: usize,
    ) -> Result<(), String> {
        let Some(filling) = self.filling.filter(|filling| filling.is_exact && filling.museum == museum) else { return Ok(()) };
        let (least, said) = (filling.people.max(0), i64::from(inside));
        let is_so = (least..=least + others as i64).contains(&said) && i64::from(ceiling) == filling.ceiling && inside >= ceiling;
        rule(is_so && now < filling.measured_at.plus_seconds(stale_after_s), "somebody is to wait though there is room in the building")
            .map_err(|wrong| format!("{wrong}: {filling:?}"))
    }

    /// A slot takes its part of the room in a building: by a reading that came, and so that with what all others have there is room for it.
    pub(super) fn takes_share(&self, slot: SlotId, record: &Record<Event>) -> Result<Option<u32>, String> {
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
    pub(super) fn there_is_room(&mut self, slot: SlotId, before: (Option<u32>, u32)) -> Result<(), String> {
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
            // Of what was promised beyond the room nothing is given to anybody else when it ends meanwhile.
            let promised = self.promised.get(slot).copied().unwrap_or(0);
            may_come += i64::from(naive.may_come(now).max(promised));
            let room = (i64::from(shared.ceiling) - staying(upper, wait_us, dwell_us)).max(0);
            concerned.push((*slot, sells, room - may_come));
        }
        for (place, (slot, sells, _)) in concerned.iter().enumerate() {
            let is_full = concerned[place..].iter().any(|(.., left)| *left <= 0);
            rule(!sells || is_full, "room is left that no slot was given").map_err(|wrong| format!("{wrong}, as slot {slot}: {concerned:?}"))?;
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
