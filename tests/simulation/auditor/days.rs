//! What museums say of their days, and what their slots do because of it. A slot is closed or reopened with its day only after that was said, and as it was said. When all slots have heard
//! it, and when all is over, each slot of a day that is called off is closed, and none of a day that takes place after all is closed for its reason: but for what somebody has done by
//! hand since.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use tornello_actors::days::{DaySlot, Outcome as Became};
use tornello_actors::digest::digest;
use tornello_engine::calendar;
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{Code, KeyId, MuseumId, SlotId};
use tornello_engine::museum::{self, DayCalledOff, DayWord};
use tornello_engine::record::Record;
use tornello_engine::slot::Event;
use tornello_engine::time::Timestamp;

use super::super::naive::Naive;
use super::super::rule;
use super::{Auditor, is_written_as};

/// Of which museum somebody asked that something be said of a day, and what.
pub type AskedOfDay = (MuseumId, Envelope, DayWord);

/// What was said of a day.
struct Word {
    word: DayWord,
    /// By whom, under which key.
    by: (KeyId, Digest),
    /// The key of the step that each slot takes.
    step: Digest,
    /// How many records of slots had been written.
    since: u64,
    /// Whether the day was over when something was said of it or another one: then nobody need know it any more.
    is_past: bool,
    is_heard: bool,
    /// The slots that were over when all others had heard it: they need not know it, whatever the clock says later.
    over: BTreeSet<SlotId>,
}

#[derive(Default)]
pub(super) struct Days {
    asked: Vec<AskedOfDay>,
    /// By the record of the museum.
    said: BTreeMap<(MuseumId, u64), Word>,
    /// Which slots have done what was said.
    done: BTreeSet<(SlotId, u64)>,
    /// The record by which a slot was last closed or reopened by itself, of all records of slots.
    by_hand: BTreeMap<SlotId, u64>,
    records: u64,
}

impl Days {
    fn of(&self, museum: MuseumId) -> impl DoubleEndedIterator<Item = (u64, &Word)> {
        self.said.range((museum, 0)..=(museum, u64::MAX)).map(|((_, seq), word)| (*seq, word))
    }

    /// Whether nothing else was said of it since, for this slot.
    fn stands(&self, slot: SlotId, seq: u64, said: &Word) -> bool {
        let takes_back = |later: &Word| match (said.word, later.word) {
            (DayWord::Off(_), DayWord::On(_)) => day_of(later.word) == day_of(said.word),
            (DayWord::On(_), DayWord::Off(off)) => day_of(later.word) == day_of(said.word) && concerns(&off, slot),
            _ => false,
        };
        !said.is_past && !self.of(slot.museum()).any(|(later, word)| later > seq && takes_back(word))
    }
}

impl Auditor {
    /// Somebody asks that something be said of a day.
    pub fn asks_of_day(&mut self, asked: AskedOfDay) {
        self.days.asked.push(asked);
    }

    /// All that was asked to be said of days, in order.
    pub fn asked_of_days(&self) -> &[AskedOfDay] {
        &self.days.asked
    }

    /// The days that are called off, and not taken up again.
    pub fn days_off(&self) -> Vec<(MuseumId, DayCalledOff)> {
        let taken_up = |museum: MuseumId, seq: u64, said: &Word| {
            let takes_up = |word: &Word| matches!(word.word, DayWord::On(_)) && day_of(word.word) == day_of(said.word);
            self.days.of(museum).any(|(later, word)| later > seq && takes_up(word))
        };
        let mut off = Vec::new();
        for ((museum, seq), said) in &self.days.said {
            if let DayWord::Off(called_off) = said.word
                && !said.is_past
                && !taken_up(*museum, *seq, said)
            {
                off.push((*museum, called_off));
            }
        }
        off
    }

    /// The days of which something was said that not all of their slots have heard.
    pub fn untold_days(&self) -> BTreeSet<(MuseumId, Date)> {
        self.days.said.iter().filter(|(_, said)| !said.is_heard).map(|((museum, _), said)| (*museum, day_of(said.word).0)).collect()
    }

    /// How often days were called off, and taken up, and how often slots did something because of it.
    pub fn said_of_days(&self) -> (u64, u64, u64) {
        let off = self.days.said.values().filter(|said| matches!(said.word, DayWord::Off(_))).count() as u64;
        (off, self.days.said.len() as u64 - off, self.days.done.len() as u64)
    }

    pub(super) fn take_museum(&mut self, museum: MuseumId, record: &Record<museum::Event>) -> Result<(), String> {
        for event in &record.events {
            let word = match event {
                museum::Event::DayCalledOff(off) => DayWord::Off(*off),
                museum::Event::DayTakenUp(up) => DayWord::On(*up),
                museum::Event::DayHeard(heard) => {
                    let is_over = |naive: &Naive| naive.now(record.at) >= naive.opening.end;
                    let over = self.slots.iter().filter(|(slot, naive)| slot.museum() == museum && is_over(naive)).map(|(slot, _)| *slot);
                    let said = self.days.said.get_mut(&(museum, heard.seq)).ok_or("slots have heard something that nobody said")?;
                    said.is_heard = true;
                    said.over.extend(over);
                    self.has_come_to_be(museum, heard.seq, record.at)?;
                    continue;
                }
                _ => continue,
            };
            let envelope = record.envelope.as_ref().ok_or("nobody says something of a day")?;
            let is_it = |asked: &AskedOfDay| asked.0 == museum && is_written_as(&asked.1, envelope) && asked.2 == word;
            rule(self.days.asked.iter().any(is_it), "something is said of a day that nobody asked for")?;
            let step = digest(&[b"day", &museum.0.to_be_bytes(), &record.seq.to_be_bytes()]);
            let (by, since) = ((envelope.who, envelope.key), self.days.records);
            self.days.said.insert((museum, record.seq), Word { word, by, step, since, is_past: false, is_heard: false, over: BTreeSet::new() });
            let eve = calendar::local_day(record.at).yesterday().map_err(|error| error.to_string())?;
            for (_, said) in self.days.said.iter_mut().filter(|((of, _), _)| *of == museum) {
                said.is_past |= day_of(said.word).0 < eve;
            }
        }
        Ok(())
    }

    /// The reason of a day with which a slot is closed or reopened by this record, if it is: as it was said.
    pub(super) fn step_of_day(&mut self, slot: SlotId, record: &Record<Event>) -> Result<Option<Code>, String> {
        self.days.records += 1;
        let is_its_step = |said: &Word| record.envelope.as_ref().is_some_and(|by| (by.who, by.key) == (said.by.0, said.step));
        let of_day = |said: &Word| day_of(said.word).0 == calendar::local_day(slot.start());
        let calls_off = |said: &Word, reason: Code| match said.word {
            DayWord::Off(off) => of_day(said) && off.reason == reason && concerns(&off, slot),
            DayWord::On(_) => false,
        };
        let was_off_for = |reason: Code| self.days.of(slot.museum()).any(|(_, said)| calls_off(said, reason));
        let step = self.days.of(slot.museum()).find(|(_, said)| is_its_step(said));
        if let Some((seq, said)) = step {
            let reason = day_of(said.word).1;
            let last = record.events.iter().rfind(|event| !matches!(event, Event::OfferRenewed(_)));
            let is_so = match (said.word, last) {
                (DayWord::Off(_), Some(Event::Closed(closed))) => calls_off(said, closed.reason),
                // It was called off for something else as well.
                (DayWord::On(_), Some(Event::Closed(closed))) => of_day(said) && closed.reason != reason && was_off_for(closed.reason),
                (DayWord::On(_), Some(Event::Reopened(_))) => of_day(said),
                _ => false,
            };
            rule(is_so, "a slot does something else than was said of its day")?;
            self.days.done.insert((slot, seq));
            return Ok(Some(reason));
        }
        let mut own = record.events.as_slice();
        if let [Event::Opened(_), Event::Closed(closed), rest @ ..] = own
            && !rest.is_empty()
        {
            rule(was_off_for(closed.reason), "a slot opens closed whose day was never called off for that")?;
            own = rest;
        }
        if own.iter().any(|event| matches!(event, Event::Closed(_) | Event::Reopened(_))) {
            self.days.by_hand.insert(slot, self.days.records);
        }
        Ok(None)
    }

    /// Whoever had something said of a day is told the truth: it is written down, and so is what was done by slots.
    pub fn day_was_told(&self, museum: MuseumId, by: &Envelope, told: &[DaySlot]) -> Result<(), String> {
        let said = self.days.of(museum).rfind(|(_, said)| said.by == (by.who, by.key));
        let (seq, _) = said.ok_or("what was acknowledged was not said of a day")?;
        for slot in told {
            let has_done = self.days.done.contains(&(slot.slot, seq));
            // What one did is told as it was then; of any other it is told how it is now. To one that nobody wrote to its museum says it.
            let is_so = match (&slot.outcome, self.slots.get(&slot.slot).filter(|_| !has_done)) {
                (Became::Done, _) => has_done,
                (Became::StaysClosed(reason), Some(naive)) => naive.closed == Some(*reason),
                (Became::StaysOpen, Some(naive)) => naive.closed.is_none(),
                (Became::StaysClosed(_) | Became::StaysOpen | Became::Over | Became::Failed(_), _) => true,
            };
            rule(is_so, "somebody is told something else of a slot of a day than became of it").map_err(|wrong| format!("{wrong}: {slot:?}"))?;
        }
        Ok(())
    }

    /// Slots have heard what was said of their day, but those that are over by then.
    fn has_come_to_be(&self, museum: MuseumId, seq: u64, at: Timestamp) -> Result<(), String> {
        let said = self.days.said.get(&(museum, seq)).ok_or("nobody has said that")?;
        let (date, reason) = day_of(said.word);
        for (slot, naive) in self.slots.iter().filter(|(slot, _)| slot.museum() == museum && calendar::local_day(slot.start()) == date) {
            let is_by_hand = self.days.by_hand.get(slot).is_some_and(|last| *last > said.since);
            let is_over = naive.now(at) >= naive.opening.end || said.over.contains(slot);
            if is_by_hand || is_over || !self.days.stands(*slot, seq, said) {
                continue;
            }
            let is_so = match said.word {
                DayWord::Off(off) => naive.closed.is_some() || !concerns(&off, *slot),
                DayWord::On(_) => naive.closed != Some(reason),
            };
            rule(is_so, "a slot of a day that is called off is open, or one of a day that takes place is closed for its reason")
                .map_err(|wrong| format!("{wrong}: slot {slot}, closed {:?}, after {:?}", naive.closed, said.word))?;
        }
        Ok(())
    }

    /// All that was said of days has come to be.
    pub fn days_have_come_to_be(&self, at: Timestamp) -> Result<(), String> {
        self.days.said.keys().try_for_each(|(museum, seq)| self.has_come_to_be(*museum, *seq, at))
    }
}

/// The day of which something is said, and why it does not take place.
const fn day_of(word: DayWord) -> (Date, Code) {
    match word {
        DayWord::Off(off) => (off.date, off.reason),
        DayWord::On(up) => (up.date, up.reason),
    }
}

fn concerns(off: &DayCalledOff, slot: SlotId) -> bool {
    off.from.is_none_or(|from| from <= slot.start())
}
