//! A museum's day that is called off, or takes place after all: a flow over the museum and the slots of the day. Its journal is the museum: what is said there of the day holds from
//! then on, and closes each slot to which nobody has written. The others are told, each by a step with a key that follows from the flow, so that a step is taken once however often it is
//! asked; what a slot says is its own rule. When all have heard it the museum notes that (`DayHeard`). What was cut off, by a crash or a disk that was full, is found in the museums and
//! gone on with; until the next crash it is known besides which slots need no telling.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use jiff::civil::Date;
use tokio::sync::Mutex;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{Code, MuseumId, SlotId};
use tornello_engine::museum::{self, DayCalledOff, DayTakenUp, DayWord, Unheard};
use tornello_engine::slot::{Command, Refusal, Slot, Unused};
use tornello_engine::time::Timestamp;

use crate::availability::{self, Asked, SlotAvailability};
use crate::digest::digest;
use crate::failure::Failure;
use crate::museums::Known;
use crate::node::Node;
use crate::pauses::{Pauses, keep_resuming};
use crate::registry::ANSWER_WITHIN;

/// How many slots are asked at once: a day of many routes leaves room in the writer's queue for those who buy.
const AT_ONCE: usize = 16;
/// How many museums may have their days called off at once without waiting for each other by chance.
const LOCKS: usize = 64;

/// Sees to it that of a museum's days one thing is told at a time: what is told must not be taken back meanwhile.
#[derive(Debug)]
pub struct Telling {
    turns: [Mutex<()>; LOCKS],
    /// By the museum and the record that says it: the slots that have heard what others have not. They are not told again: what staff have done with them since stands.
    heard: parking_lot::Mutex<BTreeMap<(MuseumId, u64), BTreeSet<SlotId>>>,
}

impl Default for Telling {
    fn default() -> Self {
        Self { turns: std::array::from_fn(|_| Mutex::default()), heard: parking_lot::Mutex::default() }
    }
}

impl Telling {
    /// Whoever has this says something of the museum's days, and tells it.
    fn of(&self, museum: MuseumId) -> &Mutex<()> {
        &self.turns[usize::from(museum.0) % LOCKS]
    }

    /// The slots that have heard something.
    fn heard(&self, museum: MuseumId, seq: u64) -> BTreeSet<SlotId> {
        self.heard.lock().get(&(museum, seq)).cloned().unwrap_or_default()
    }

    /// Some slots have heard it.
    fn note(&self, museum: MuseumId, seq: u64, slots: impl Iterator<Item = SlotId>) {
        self.heard.lock().entry((museum, seq)).or_default().extend(slots);
    }

    /// All have, and that is noted.
    fn end(&self, museum: MuseumId, seq: u64) {
        self.heard.lock().remove(&(museum, seq));
    }

    /// Forgets the slots of what all have heard by now: nobody may have known whether that was noted.
    fn forget_heard(&self, is_unheard: impl Fn(MuseumId, u64) -> bool) {
        self.heard.lock().retain(|(museum, seq), _| is_unheard(*museum, *seq));
    }

    /// Of how much that was said some slots are known to have heard it, and others have not.
    #[cfg(test)]
    pub(crate) fn half_heard(&self) -> usize {
        self.heard.lock().len()
    }
}

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
    /// It was not done yet, or nobody knows: it goes on by itself.
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

/// Closes the slots that start on a day in Rome, or from some moment of it on, and are not closed; those of an older plan, too. In the order of their starts. Slots that a later plan
/// adds are closed from the beginning.
///
/// # Errors
/// The museum's refusal, or whatever keeps it from saying so: nothing is done then, or it goes on by itself. What becomes of each slot is said of it.
pub async fn close(
    node: &Node,
    known: &Known,
    date: Date,
    from: Option<Timestamp>,
    by: &Envelope,
    reason: Code,
) -> Result<Vec<DaySlot>, Failure<museum::Refusal>> {
    say(node, known.museum.id(), by, DayWord::Off(DayCalledOff { date, from, reason })).await
}

/// Reopens the slots of a day that are closed for that reason, but those that the plan has no more and of which nobody has anything. What the plan has and nobody has anything of is as it is
/// planned by now. One that nobody has written to is closed for none, and is left out.
///
/// # Errors
/// As of [`close`].
pub async fn reopen(node: &Node, known: &Known, date: Date, by: &Envelope, reason: Code) -> Result<Vec<DaySlot>, Failure<museum::Refusal>> {
    say(node, known.museum.id(), by, DayWord::On(DayTakenUp { date, reason })).await
}

/// Has the museum say something of a day, and its slots hear it. A repeat is told what became of it the first time.
async fn say(node: &Node, museum: MuseumId, by: &Envelope, word: DayWord) -> Result<Vec<DaySlot>, Failure<museum::Refusal>> {
    let waits = tokio::time::timeout(ANSWER_WITHIN, node.telling().of(museum).lock());
    let _turn = waits.await.map_err(|_| Failure::Busy)?;
    let record = node.museum(museum, by.clone(), museum::Command::SayOfDay { word }).await?;
    Ok(tell(node, museum, Unheard { seq: record.seq, who: by.who, word }, false).await)
}

/// Tells the slots of a day what was said of it, unless all have heard it, and answers what has become of each; of those that `are_left` alone, if nobody waits for the answer. A slot of which
/// something else was said since is told nothing.
async fn tell(node: &Node, museum: MuseumId, said: Unheard, are_left: bool) -> Vec<DaySlot> {
    let Some(known) = node.museums().get(museum) else { return Vec::new() };
    let is_unheard = known.museum.unheard().iter().any(|unheard| unheard.seq == said.seq);
    let holds = |start: Timestamp| match said.word {
        DayWord::Off(off) => known.museum.is_called_off_for(start, off.reason),
        DayWord::On(up) => !known.museum.is_called_off_for(start, up.reason),
    };
    // It was written to because its day was called off, and for nothing else that still counts: it is not sold beside what a later plan has in its place.
    let is_gone = |seen: &SlotAvailability| {
        let is_empty = || seen.places.taken() == 0 && node.board().head(seen.slot).is_none_or(|head| head.waiting == 0);
        matches!(said.word, DayWord::On(_)) && known.museum.opening(seen.slot).is_none() && is_empty()
    };
    let heard = node.telling().heard(museum, said.seq);
    let mut slots = slots_of(node, &known, &said.word);
    slots.retain(|seen| !(are_left && heard.contains(&seen.slot)));
    let mut told = Vec::with_capacity(slots.len());
    for some in slots.chunks(AT_ONCE) {
        let hears = |seen: &SlotAvailability| {
            let start = seen.slot.start();
            let is_due = is_unheard && holds(start) && !heard.contains(&seen.slot) && !is_gone(seen);
            one(node, *seen, said, known.museum.called_off(start), is_due)
        };
        told.extend(join_all(some.iter().map(hears)).await);
    }
    // Of one that is over by now nobody has to hear anything.
    let is_left = |slot: &&DaySlot| matches!(slot.outcome, Outcome::Failed(_)) && node.now() < slot.end;
    if is_unheard && told.iter().any(|slot| is_left(&slot)) {
        node.telling().note(museum, said.seq, told.iter().filter(|slot| !is_left(slot)).map(|slot| slot.slot));
    } else if is_unheard {
        let key = digest(&[b"day heard", &museum.0.to_be_bytes(), &said.seq.to_be_bytes()]);
        match node.museum(museum, Envelope::by_system(key), museum::Command::DayHeard { seq: said.seq }).await {
            Ok(_) => node.telling().end(museum, said.seq),
            Err(failure) => {
                tracing::warn!(museum = museum.0, %failure, "all slots have heard what was said of a day, and that is not noted yet");
                node.telling().note(museum, said.seq, told.iter().map(|slot| slot.slot));
            }
        }
    }
    if let DayWord::On(_) = said.word {
        let is_untouched = |slot: &DaySlot| slots.iter().any(|seen| seen.slot == slot.slot && seen.changed_at.is_none());
        told.retain(|slot| !(is_untouched(slot) && matches!(slot.outcome, Outcome::StaysOpen | Outcome::Over)));
    }
    told
}

/// The slots that it concerns, by start. Of those that take place after all also the ones to which nobody had written a moment ago: somebody may just do so.
fn slots_of(node: &Node, known: &Known, word: &DayWord) -> Vec<SlotAvailability> {
    let (date, off) = match word {
        DayWord::Off(off) => (off.date, Some(off)),
        DayWord::On(up) => (up.date, None),
    };
    let asked = Asked { from: date, to: date, route: None, channel: Channel::Web, now: node.now() };
    let mut slots = availability::starting_on(known, node.board(), asked);
    slots.retain(|seen| off.is_none_or(|off| off.concerns(seen.slot.start())));
    slots
}

/// Tells one slot, if that `is_due` or it was told before: then it answers as it did. What does not take place for this reason any more may not do so for another: then it stays closed,
/// and for that.
async fn one(node: &Node, seen: SlotAvailability, said: Unheard, called_off: Option<Code>, is_due: bool) -> DaySlot {
    let (slot, end) = (seen.slot, seen.end);
    let key = digest(&[b"day", &slot.museum().0.to_be_bytes(), &said.seq.to_be_bytes()]);
    let by = Envelope { who: said.who, ..Envelope::by_system(key) };
    let command = match said.word {
        DayWord::Off(off) => Command::CloseWithDay { reason: off.reason },
        DayWord::On(up) => match node.museums().opening(slot).filter(|_| called_off.is_none()) {
            Some(opening) => Command::ReopenAsPlanned { reason: up.reason, opening: Box::new(opening) },
            None => Command::ReopenWithDay { reason: up.reason, still: called_off },
        },
    };
    let is_asked = if is_due { Ok(true) } else { node.knows(slot, &by).await };
    let (outcome, stands) = match is_asked {
        Ok(true) => ask(node, &seen, by, command, said.word).await,
        Ok(false) => as_it_is(node, &seen).await,
        Err(failure) => (Outcome::Failed(failure), None),
    };
    // It may have been planned anew, or be when it hears of it.
    let end = node.board().head(slot).map_or(end, |head| head.end);
    let longest = || node.museums().opening(slot).map_or(end, |opening| opening.end.max(end));
    let end = if matches!(outcome, Outcome::Failed(_)) { longest() } else { end };
    DaySlot { slot, end, outcome, stands }
}

async fn ask(node: &Node, seen: &SlotAvailability, by: Envelope, command: Command, word: DayWord) -> (Outcome, Option<Stands>) {
    let look = |slot: &Slot| (slot.places().closed, Stands::of(slot));
    let told = |(closed, stands): (Option<Code>, Stands)| match (word, closed) {
        (DayWord::On(_), Some(other)) => (Outcome::StaysClosed(other), Some(stands)),
        (DayWord::On(_), None) | (DayWord::Off(_), _) => (Outcome::Done, Some(stands)),
    };
    match node.slot_and_after(seen.slot, by, command, look).await {
        Ok((_, Some(after))) => told(after),
        // A repeat is told what was so then.
        Ok((record, None)) => match node.slot_after(seen.slot, record.seq).await {
            Ok(then) => told(look(&then)),
            Err(_) => (Outcome::Failed(Failure::OutcomeUnknown), None),
        },
        Err(Failure::Refused(Refusal::SlotOver { .. })) => (Outcome::Over, None),
        Err(Failure::Refused(Refusal::SlotClosed { .. } | Refusal::NotClosed)) => as_it_is(node, seen).await,
        Err(failure) => (Outcome::Failed(failure), None),
    }
}

/// A slot to which nothing was done.
async fn as_it_is(node: &Node, seen: &SlotAvailability) -> (Outcome, Option<Stands>) {
    match node.look(seen.slot, |slot: &Slot| (slot.places().closed, Stands::of(slot))).await {
        Ok(_) if node.now() >= seen.end => (Outcome::Over, None),
        Ok((Some(reason), stands)) => (Outcome::StaysClosed(reason), Some(stands)),
        Ok((None, stands)) => (Outcome::StaysOpen, Some(stands)),
        Err(failure) => (Outcome::Failed(failure), None),
    }
}

/// Tells everything that was said of days and not heard by all of their slots; answers how much is still left to tell.
pub async fn resume(node: &Node) -> usize {
    resume_due(node, &mut Pauses::default()).await
}

/// Tells it in the museums whose turn it is.
async fn resume_due(node: &Node, pauses: &mut Pauses<MuseumId>) -> usize {
    let is_unheard = |museum: MuseumId, seq: u64| {
        let known = node.museums().get(museum);
        known.is_some_and(|known| known.museum.unheard().iter().any(|said| said.seq == seq))
    };
    node.telling().forget_heard(is_unheard);
    let all = node.museums().all();
    let waiting = all.iter().filter(|known| !known.museum.unheard().is_empty()).map(|known| known.museum.id()).collect();
    let mut left = 0;
    for museum in pauses.due(waiting, node.now()) {
        let unheard = resume_of(node, museum).await;
        pauses.note(museum, node.now(), unheard == 0);
        left += unheard;
    }
    left
}

/// Tells what was said of a museum's days, in order; answers how much is still left to tell.
async fn resume_of(node: &Node, museum: MuseumId) -> usize {
    let _turn = node.telling().of(museum).lock().await;
    let unheard = || node.museums().get(museum).map(|known| known.museum.unheard().to_vec()).unwrap_or_default();
    for said in unheard() {
        tell(node, museum, said, true).await;
    }
    let left = unheard().len();
    if left > 0 {
        tracing::warn!(museum = museum.0, left, "slots have not heard yet what was said of their day");
    }
    left
}

/// Resumes what was left to tell, at once and then again and again; of a museum less often while it does not help. Runs until dropped.
pub(crate) async fn keep_telling(node: &Node) {
    keep_resuming::<Pauses<MuseumId>>(node, |node, pauses| Box::pin(resume_due(node, pauses))).await;
}
