//! Moves of tickets to another slot: a flow over two streams, each of whose steps is a command with a key that follows from the flow. Its journal is the slot that
//! the tickets leave; the rules of the steps are in `engine::slot`.
//!
//! `BeginMove` there, `Arrive` in the other slot, then `FinishMove`; `UndoMove` only when the other slot has said no. While its outcome is unknown the second
//! step is asked again, never undone: it might have been written. A flow that was cut off, by a crash or a caller who went away, is found by the count of moves
//! under way that every slot's head carries, and goes on from what is written.
//!
//! What was suspected when it was asked for, or was under review where it left, is under review where it has arrived, by the record with which it arrives; what concerns a sale
//! concerns all that its tickets have become ([`trail`]).

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use tokio::sync::Mutex;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::envelope::{Assessment, Digest, Envelope};
use tornello_engine::ids::{HoldId, PersonId, SlotId};
use tornello_engine::recall::Recall;
use tornello_engine::record::Record;
use tornello_engine::slot::verdict::Window;
use tornello_engine::slot::{Command, Event, Line, MoveBegun, MoveFate, Refusal, Sale, Settlement, Slot};

use crate::cases;
use crate::digest::digest;
use crate::failure::Failure;
use crate::fraud::recent::Recent;
use crate::journal::StreamId;
use crate::node::Node;
use crate::pauses::{Pauses, keep_resuming};
use crate::people::RETENTION_S;
use crate::streams::{visit, visit_apart};

/// How many moves may be driven at once without waiting for each other by chance.
const LOCKS: usize = 256;
/// Of so many moves it is remembered whom those named who asked for them: many more than are under way at once.
const NAMED: usize = 4_096;

/// Sees to it that one caller drives a move at a time. Two might hear different answers of the other slot (no, then yes, when a place has become free in
/// between), and one would undo what the other has finished.
#[derive(Debug)]
pub struct Driving {
    turns: [Mutex<()>; LOCKS],
    /// The pseudonyms of the buyers whom those named who asked for moves. They are written nowhere, so whoever drives a move on after a crash does not know them.
    named: parking_lot::Mutex<Recent<HoldId, Vec<Digest>>>,
}

impl Default for Driving {
    fn default() -> Self {
        Self { turns: std::array::from_fn(|_| Mutex::default()), named: parking_lot::Mutex::new(Recent::new(NAMED)) }
    }
}

impl Driving {
    /// Whoever has this drives the move.
    pub(crate) fn of(&self, arrival: HoldId) -> &Mutex<()> {
        &self.turns[(arrival.get() >> 16) as usize % LOCKS]
    }

    fn note(&self, arrival: HoldId, named: &[Digest]) {
        if !named.is_empty() {
            self.named.lock().put(arrival, named.to_vec());
        }
    }

    fn named(&self, arrival: HoldId) -> Vec<Digest> {
        self.named.lock().get(&arrival).cloned().unwrap_or_default()
    }

    fn forget(&self, arrival: HoldId) {
        drop(self.named.lock().take(&arrival));
    }
}

/// Tickets that have moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The new sale's id.
    pub id: HoldId,
    /// The new sale.
    pub sale: Sale,
}

/// Moves tickets to another slot, all or nothing. `command` must be [`Command::BeginMove`], with a fresh id for the arrival; `envelope` is the caller's own. A
/// repeat is answered with what became of the move that was begun the first time.
///
/// # Errors
/// The refusal of either slot; nothing is left of the move then. `OutcomeUnknown` if the move has begun and its end is not known yet: it goes on by itself.
pub async fn move_tickets(node: &Node, source: SlotId, envelope: Envelope, command: Command) -> Result<Moved, Failure<Refusal>> {
    rehearse(node, source, &envelope, &command).await?;
    let named: Vec<Digest> = envelope.buyers().collect();
    // Before it begins: from then on others may drive it, and whoever asked may go away.
    if let Command::BeginMove { arrival, .. } = &command {
        node.driving().note(*arrival, &named);
    }
    let record = node.slot(source, envelope, command).await?;
    let begun = begun_by(&record.events).ok_or(Failure::OutcomeUnknown)?;
    // A repeat goes on with the move that was begun the first time.
    node.driving().note(begun.arrival, &named);
    // From here on something was written, whatever fails: only the end of the flow is an answer.
    let unknown = |failure: Failure<Refusal>| {
        tracing::warn!(sale = %begun.sale, arrival = %begun.arrival, %failure, "a move is under way and will be resumed");
        Failure::OutcomeUnknown
    };
    advance(node, source, begun.arrival).await.map_err(unknown)?;
    let (sale, arrival) = (begun.sale, begun.arrival);
    match node.look(source, move |slot| slot.fate_of_move(sale, arrival)).await.map_err(unknown)? {
        Some(MoveFate::Undone(why)) => Err(Failure::Refused(why)),
        Some(MoveFate::Done) => {
            let found = node.look(arrival.slot(), move |slot| slot.sale_of(arrival).cloned()).await.map_err(unknown)?;
            found.map(|sale| Moved { id: arrival, sale }).ok_or(Failure::OutcomeUnknown)
        }
        Some(MoveFate::UnderWay) | None => Err(Failure::OutcomeUnknown),
    }
}

/// What a move would take along, at the prices that were paid; none if it was begun before.
///
/// # Errors
/// The refusal of the slot that the tickets would leave.
pub async fn would_take(node: &Node, source: SlotId, envelope: &Envelope, command: &Command) -> Result<Option<Vec<Line>>, Failure<Refusal>> {
    let (envelope, command, now) = (envelope.clone(), command.clone(), node.now());
    let begin = move |slot: &Slot| match slot.recall(&envelope) {
        Recall::New => slot.decide_for(now, &envelope, &command).map(|events| begun_by(&events).map(|begun| begun.lines.clone())),
        Recall::Done { .. } | Recall::OtherBody => Ok(None),
    };
    node.look(source, begin).await?.map_err(Failure::Refused)
}

/// A sale, and all that its tickets have become in other slots, one after the other; with whether some are on their way now.
///
/// # Errors
/// If a slot does not answer.
pub async fn trail(node: &Node, sale: HoldId) -> Result<(Vec<HoldId>, bool), Failure<Refusal>> {
    let (mut trail, mut at, mut under_way) = (vec![sale], 0, false);
    while let Some(&sale) = trail.get(at) {
        let moves = move |slot: &Slot| {
            let moves = slot.sale_of(sale).map(|sale| sale.moves.as_slice()).unwrap_or_default();
            moves.iter().map(|found| (found.begun.arrival, found.is_done())).collect::<Vec<_>>()
        };
        for (arrival, is_done) in node.look(sale.slot(), moves).await? {
            if is_done {
                trail.push(arrival);
            }
            under_way |= !is_done;
        }
        at += 1;
    }
    Ok((trail, under_way))
}

/// A sale, and those that its tickets were of before they moved, one after the other.
///
/// # Errors
/// If a slot does not answer.
pub async fn trail_back(node: &Node, sale: HoldId) -> Result<Vec<HoldId>, Failure<Refusal>> {
    let (mut trail, mut next) = (Vec::new(), Some(sale));
    while let Some(sale) = next {
        trail.push(sale);
        next = moved_from(node, sale).await?;
    }
    Ok(trail)
}

/// The sale that the tickets of one came from when they moved; none if they have not.
async fn moved_from(node: &Node, sale: HoldId) -> Result<Option<HoldId>, Failure<Refusal>> {
    let from = move |slot: &Slot| match slot.sale_of(sale)?.settlement {
        Settlement::Moved { from } => Some(from),
        _ => None,
    };
    match node.look(sale.slot(), from).await {
        Err(Failure::UnknownSlot(_)) => Ok(None),
        found => found,
    }
}

/// Whether tickets have come from another slot by a move that was suspected when it was asked for: the slot that they left keeps that no longer than the move lasts, and its journal does.
///
/// # Errors
/// If a slot does not answer, or the journal cannot be read.
pub async fn was_suspected(node: &Node, arrival: HoldId) -> Result<bool, Failure<Refusal>> {
    let Some(from) = moved_from(node, arrival).await? else { return Ok(false) };
    let mut is_suspected = false;
    let look = |record: Record<Event>| {
        if begun_by(&record.events).is_none_or(|begun| begun.arrival != arrival) {
            return Ok(ControlFlow::Continue(()));
        }
        is_suspected = record.envelope.as_ref().is_some_and(Envelope::asks_review);
        Ok(ControlFlow::Break(()))
    };
    let read = visit(node.journal().as_ref(), StreamId::Slot(from.slot()), 0, look).await;
    read.map(|()| is_suspected).map_err(|error| Failure::Journal(error.to_string()))
}

/// What was said of a sale when it was made; none if nothing was, or its tickets came from another slot. The lists have of a hold and its sale what was said more severely.
///
/// # Errors
/// If the journal cannot be read.
pub async fn said_when_sold(node: &Node, sale: HoldId) -> Result<Option<Box<Assessment>>, Failure<Refusal>> {
    let look = move |said: &mut Option<Box<Assessment>>, record: Record<Event>| {
        if !record.events.iter().any(|event| matches!(event, Event::Sold(sold) if sold.sale == sale)) {
            return Ok(ControlFlow::Continue(()));
        }
        *said = record.envelope.and_then(|envelope| envelope.assessment);
        Ok(ControlFlow::Break(()))
    };
    let read = visit_apart(node.journal().as_ref(), StreamId::Slot(sale.slot()), None, look).await;
    read.map_err(|error| Failure::Journal(error.to_string()))
}

/// Whose names tickets bear of a sale, of those that its tickets were of before they moved, and of all that these have become: tickets take their names along.
///
/// # Errors
/// If a slot does not answer.
pub async fn named_along(node: &Node, sale: HoldId) -> Result<BTreeSet<PersonId>, Failure<Refusal>> {
    let (mut named, mut seen) = (BTreeSet::new(), BTreeSet::new());
    // The first of all is asked first, as nothing arrives before it has left.
    let mut next = trail_back(node, sale).await?;
    while let Some(sale) = next.pop() {
        if !seen.insert(sale) {
            continue;
        }
        // Both in one look: tickets that are on their way are named here until they have arrived.
        let look = move |slot: &Slot| {
            let sale = slot.sale_of(sale)?;
            let arrived = sale.moves.iter().filter(|found| found.is_done()).map(|found| found.begun.arrival);
            Some((sale.names().map(|(_, person)| person).collect::<Vec<_>>(), arrived.collect::<Vec<_>>()))
        };
        let found = match node.look(sale.slot(), look).await {
            Err(Failure::UnknownSlot(_)) => None,
            found => found?,
        };
        let (people, arrived) = found.unwrap_or_default();
        named.extend(people);
        next.extend(arrived);
    }
    Ok(named)
}

/// Whether both slots would say yes now, so that a move that cannot be is refused before anything is written. A repeat is not asked again.
async fn rehearse(node: &Node, source: SlotId, envelope: &Envelope, command: &Command) -> Result<(), Failure<Refusal>> {
    let arriving = Envelope { formerly: envelope.buyers().collect(), ..Envelope::by_system(envelope.key) };
    let (envelope, command, now) = (envelope.clone(), command.clone(), node.now());
    let begin = move |slot: &Slot| match slot.recall(&envelope) {
        Recall::New => {
            slot.decide_for(now, &envelope, &command).map(|events| begun_by(&events).and_then(|begun| Some((begun.arrival, slot.arrival(begun)?))))
        }
        Recall::Done { .. } | Recall::OtherBody => Ok(None),
    };
    let Some((arrival, arrive)) = node.look(source, begin).await?.map_err(Failure::Refused)? else { return Ok(()) };
    match node.look(arrival.slot(), move |slot| slot.decide_for(now, &arriving, &arrive).map(drop)).await {
        Ok(decided) => decided.map_err(Failure::Refused),
        Err(Failure::UnknownSlot(_)) => Err(Failure::Refused(Refusal::UnknownSlot)),
        Err(failure) => Err(failure),
    }
}

fn begun_by(events: &[Event]) -> Option<&MoveBegun> {
    events.iter().find_map(|event| if let Event::MoveBegun(begun) = event { Some(begun) } else { None })
}

/// Drives a move to its end, from wherever it stands; one that has ended stays as it is. For requests and for the resumer alike: what the buyer has in the other slot counts by
/// all pseudonyms of those whom the one named who asked for it. They go along with the step and are not written down with it.
///
/// # Errors
/// Whatever keeps a step from being taken or its outcome from being known. Nothing is lost: the move stands where it stood, or a step further.
pub async fn advance(node: &Node, source: SlotId, arrival: HoldId) -> Result<(), Failure<Refusal>> {
    let driving = node.driving();
    let _turn = driving.of(arrival).lock().await;
    let arrive = move |slot: &Slot| slot.begun(arrival).and_then(|begun| Some((begun.sale, slot.arrival(begun)?)));
    let Some((sale, arrive)) = node.look(source, arrive).await? else {
        driving.forget(arrival);
        return Ok(());
    };
    let step = |name: &str| envelope(sale, arrival, name);
    let arriving = Envelope { formerly: driving.named(arrival), ..step("arrive") };
    let refused = match node.slot(arrival.slot(), arriving, shown_there(node, arrive)).await {
        Ok(_) => None,
        // The key of this step is forgotten after a day: the sale itself says then whether it was taken, whatever a new one would be refused for.
        Err(Failure::Refused(_)) if has_arrived(node, sale, arrival).await? => None,
        Err(Failure::Refused(why)) => Some(why),
        Err(Failure::UnknownSlot(_)) => Some(Refusal::UnknownSlot),
        Err(unknown) => return Err(unknown),
    };
    let last = match refused {
        None => {
            keep_people(node, arrival).await?;
            cases::hasten(node, arrival).await?;
            node.slot(source, step("finish"), Command::FinishMove { arrival }).await
        }
        Some(why) => node.slot(source, step("undo"), Command::UndoMove { arrival, why }).await,
    };
    last.map(|_: Record<Event>| driving.forget(arrival))
}

/// What is to arrive, with what the gate has to look at there: by the tariff of that day, as with what is sold for it. On a day of free entry nobody shows anything; who moves
/// away from it does.
fn shown_there(node: &Node, mut arrive: Command) -> Command {
    if let Command::Arrive { arrived, .. } = &mut arrive {
        let (slot, channel) = (arrived.sale.slot(), arrived.channel);
        let (known, day) = (node.museums().get(slot.museum()), calendar::local_day(slot.start()));
        let tariff = known.as_ref().and_then(|known| known.museum.tariff_on(day));
        for line in &mut arrived.lines {
            if let Some(Ok(price)) = tariff.map(|(_, tariff)| tariff.quote(day, channel, line.category)) {
                line.proof = price.proof;
            }
        }
    }
    arrive
}

async fn has_arrived(node: &Node, sale: HoldId, arrival: HoldId) -> Result<bool, Failure<Refusal>> {
    let is_it = move |slot: &Slot| slot.sale_of(arrival).is_some_and(|found| found.settlement == Settlement::Moved { from: sale });
    node.look(arrival.slot(), is_it).await
}

/// Contact and names go with the tickets, so they are kept as long as those of the other slot, by when these let in for the last time.
async fn keep_people(node: &Node, arrival: HoldId) -> Result<(), Failure<Refusal>> {
    let Some(files) = node.files() else { return Ok(()) };
    let known = move |slot: &Slot| {
        let sale = slot.sale_of(arrival)?;
        Some((Window::of(slot.opening()).over_at(), sale.contact.into_iter().chain(sale.holders.values().copied()).collect::<Vec<_>>()))
    };
    let Some((over_at, people)) = node.look(arrival.slot(), known).await? else { return Ok(()) };
    for person in people {
        files.people.keep_until(person, over_at.plus_seconds(RETENTION_S)).await.map_err(|error| Failure::Journal(error.to_string()))?;
    }
    Ok(())
}

/// The envelope of a step: its key follows from the flow, so that a step is taken once however often it is asked.
fn envelope(sale: HoldId, arrival: HoldId, step: &str) -> Envelope {
    Envelope::by_system(digest(&[b"move", &sale.get().to_be_bytes(), &arrival.get().to_be_bytes(), step.as_bytes()]))
}

/// Drives every move that is under way, wherever it was left; answers how many are still under way, because a slot does not answer now.
pub async fn resume(node: &Node) -> usize {
    resume_due(node, &mut Pauses::default()).await
}

/// Drives those that leave a slot whose turn it is.
async fn resume_due(node: &Node, pauses: &mut Pauses<SlotId>) -> usize {
    let mut left = 0;
    for source in pauses.due(node.board().moving(), node.now()) {
        let under_way = resume_from(node, source).await;
        pauses.note(source, node.now(), under_way == 0);
        left += under_way;
    }
    left
}

/// Drives every move under way from a slot; answers how many still are.
async fn resume_from(node: &Node, source: SlotId) -> usize {
    let arrivals = match node.look(source, |slot| slot.moves_under_way().collect::<Vec<_>>()).await {
        Ok(arrivals) => arrivals,
        Err(failure) => {
            tracing::warn!(slot = %source, %failure, "the moves of a slot cannot be resumed now");
            return 1;
        }
    };
    let mut left = 0;
    for arrival in arrivals {
        if let Err(failure) = advance(node, source, arrival).await {
            tracing::warn!(slot = %source, %arrival, %failure, "a move cannot be resumed now");
            left += 1;
        }
    }
    left
}

/// Resumes what was left under way, at once and then again and again; the moves of a slot less often while it does not help. Runs until dropped.
pub(crate) async fn keep_moving(node: &Node) {
    keep_resuming::<Pauses<SlotId>>(node, |node, pauses| Box::pin(resume_due(node, pauses))).await;
}
