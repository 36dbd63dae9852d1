//! Fraud cases: opened for what wants to be looked at, and driven until what follows from their verdicts is done. The rules of a case are in `engine::case`; here is what
//! concerns a case and its sale.
//!
//! A verdict about a sale follows its tickets to whichever slots they have moved, or move to while it is given. One about an option of a quote waits until that is bought or gone.
//!
//! What wants a case is found in the lists, which follow the journal: a sale under review, a suspected hold that was not bought, a return or a count of cash that looks wrong,
//! a sale, return or refused attempt picked at random, a sale whose payer's bank took the money back, one that a gate met twice (with a network or without). A case's id
//! follows from what it is about, and each step's key from the case, so whatever a crash leaves is done once by whoever finds it.

pub mod appeals;
pub mod board;
pub mod passes;
pub mod report;

use tornello_engine::aggregate::Aggregate;
use tornello_engine::attempts::Attempt;
use tornello_engine::case::{Action, Command, Known, Label, LabelSource, Opened, Origin, Refusal, Status, Subject, Verdict};
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope, Party, PartyKind};
use tornello_engine::ids::{AttemptId, CaseId, Code, HoldId};
use tornello_engine::money::Cents;
use tornello_engine::record::Record;
use tornello_engine::slot;
use tornello_engine::time::{DAY_S, Timestamp};
use tornello_models::fraud::budget::Budget;

use crate::digest::digest;
use crate::failure::Failure;
use crate::fraud::hearing::outlet;
use crate::moves;
use crate::node::Node;
use crate::views::fraud::{ByHour, Drawn, PICKED_ONE_IN, Wanting, stays_picked};
use crate::views::{Views, ViewsError};

/// Within which time somebody should look at a case, in seconds: a day; of one under review sooner, if its time is over sooner.
const DUE_S: i64 = DAY_S;
/// When a case without a review lapses, in seconds after it was opened: two weeks.
const LAPSES_S: i64 = 14 * DAY_S;
/// Of how many hours that are over chance may pick: more than the last one, as a sale is in the lists under the time of its hold, if that was not long before, and a node may have
/// stood still.
const PICKED_BACK_H: i64 = 24;
/// What part of all that analysts can read is picked by chance, in percent: the line of a model leaves as much.
const PICKED_PERCENT: u64 = 5;
/// In how many hours, its own the last, is counted from how many chance picks at something.
const VOLUME_H: i64 = 24;
/// For how long what gates said of a sale is taken back in its case where scans that are sent in later show that nobody was in twice, in seconds: 30 days.
const GATES_LATE_S: i64 = 30 * DAY_S;
/// An hour, in seconds.
const HOUR_S: i64 = 3_600;
/// How many wants are seen to in one round.
const ROUND: u32 = 200;
/// How soon is looked for what wants a case, and how long at most between two tries.
const LOOK_EVERY_S: i64 = 1;
const LOOK_EVERY_MAX_S: i64 = 60;

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// The lists cannot be read.
    #[error(transparent)]
    Views(#[from] ViewsError),
    /// A case does not answer.
    #[error("case {0} does not answer: {1}")]
    Case(CaseId, String),
}

/// The case about a thing: there is one, whoever opens it.
#[must_use]
pub fn case_of(subject: Subject) -> CaseId {
    let bytes = match subject {
        Subject::Sale(sale) => digest(&[b"case of sale", &sale.get().to_be_bytes()]),
        Subject::Attempt(attempt) => digest(&[b"case of attempt", &attempt.get().to_be_bytes()]),
        Subject::Return { sale, seq } => digest(&[b"case of return", &sale.get().to_be_bytes(), &seq.to_be_bytes()]),
        Subject::Till(till) => digest(&[b"case of till", &till.0.to_be_bytes()]),
        Subject::Hold(hold) => digest(&[b"case of hold", &hold.get().to_be_bytes()]),
    };
    CaseId(bytes.0 as u64)
}

/// An envelope of a step that the system takes by itself: its key follows from the case and the step.
fn envelope(case: CaseId, step: &[u8], number: u64) -> Envelope {
    Envelope::by_system(digest(&[b"case", &case.get().to_be_bytes(), step, &number.to_be_bytes()]))
}

/// The envelope of a step with tickets of a sale: a verdict is followed by one for each sale that they have become, and by another one when others are found there.
pub(crate) fn step_at(case: CaseId, step: &[u8], number: u64, sale: HoldId, tickets: &[u16]) -> Envelope {
    let (case, number, sale) = (case.get().to_be_bytes(), number.to_be_bytes(), sale.get().to_be_bytes());
    let tickets: Vec<u8> = tickets.iter().flat_map(|ticket| ticket.to_be_bytes()).collect();
    Envelope::by_system(digest(&[b"case at", &case, step, &number, &sale, &tickets]))
}

/// Opens a case about something, if there is none.
async fn open_about(node: &Node, wanting: &Wanting, origin: Origin) -> Result<CaseId, RoundError> {
    let (subject, now) = (wanting.subject, node.now());
    let id = case_of(subject);
    let failed = |failure: Failure<slot::Refusal>| RoundError::Case(id, failure.to_string());
    let mut lapses_at = wanting.review_until.filter(|until| *until > now).unwrap_or(now.plus_seconds(LAPSES_S));
    // What an option becomes is under review as well, whenever it is bought: somebody is to see that.
    if let (Subject::Sale(sale), None) = (subject, wanting.review_until)
        && wanting.channel == Channel::Group.name()
    {
        lapses_at = option_of(node, sale).await.map_err(failed)?.map_or(lapses_at, |until| until.max(lapses_at));
    }
    let mut due_at = now.plus_seconds(DUE_S).min(lapses_at);
    // They may have moved before there was a case, to where their review ends sooner.
    if let (Subject::Sale(sale), Some(_)) = (subject, wanting.review_until) {
        let reviews = reviews_along(node, sale).await.map_err(failed)?;
        let there = reviews.into_iter().filter(|(moved, until)| *moved != sale && *until > now).map(|(_, until)| until).min();
        due_at = there.map_or(due_at, |until| until.min(due_at));
    }
    let slot = match subject {
        Subject::Sale(sale) | Subject::Return { sale, .. } | Subject::Hold(sale) => Some(sale.slot()),
        Subject::Attempt(_) | Subject::Till(_) => None,
    };
    let opened = Opened {
        subject,
        origin,
        assessment: wanting.assessment.clone(),
        slot,
        museum: wanting.museum,
        channel: Channel::ALL.into_iter().find(|channel| channel.name() == wanting.channel).unwrap_or(Channel::Web),
        amount_cents: Cents::new(wanting.amount_cents.max(0)),
        parties: parties_of(node, &subject.to_string()).await?,
        due_at,
        lapses_at,
    };
    match node.case(id, envelope(id, b"open", 0), Command::Open(Box::new(opened))).await {
        Ok(_) | Err(Failure::Refused(Refusal::CaseExists) | Failure::KeyReused) => Ok(id),
        Err(failure) => Err(RoundError::Case(id, failure.to_string())),
    }
}

/// Until when what is kept for a sale could be looked at if it were bought under review, as an option of a quote that a case is about; none if nothing is kept.
async fn option_of(node: &Node, sale: HoldId) -> Result<Option<Timestamp>, Failure<slot::Refusal>> {
    let until = |slot: &slot::Slot| slot::verdict::Window::of(slot.opening()).opens_at.plus_seconds(-slot::REVIEW_ENDS_BEFORE_S);
    match node.look(sale.slot(), move |slot| slot.hold_of(sale).map(|_| until(slot))).await {
        Err(Failure::UnknownSlot(_)) => Ok(None),
        found => found,
    }
}

/// Until when tickets of a sale are under review; none if they are not, and were not.
async fn reviewed_until(node: &Node, sale: HoldId) -> Result<Option<Timestamp>, Failure<slot::Refusal>> {
    let until = move |slot: &slot::Slot| slot.sale_of(sale).and_then(|sale| sale.tickets.iter().filter_map(|ticket| ticket.review_until).max());
    node.look(sale.slot(), until).await
}

/// As [`reviewed_until`], of a sale and of all that its tickets have become, one after the other: those that are or were under review.
async fn reviews_along(node: &Node, sale: HoldId) -> Result<Vec<(HoldId, Timestamp)>, Failure<slot::Refusal>> {
    let mut reviews = Vec::new();
    for found in moves::trail(node, sale).await?.0 {
        reviews.extend(reviewed_until(node, found).await?.map(|until| (found, until)));
    }
    Ok(reviews)
}

/// Has somebody look sooner at what has arrived under review where that ends sooner than where it left. What has no case yet is due so when one is opened.
///
/// # Errors
/// If a case or a slot does not answer.
pub(crate) async fn hasten(node: &Node, arrival: HoldId) -> Result<(), Failure<slot::Refusal>> {
    let Some(due_at) = reviewed_until(node, arrival).await? else { return Ok(()) };
    for sale in moves::trail_back(node, arrival).await? {
        let id = case_of(Subject::Sale(sale));
        let step = step_at(id, b"hasten", due_at.as_micros().cast_unsigned(), arrival, &[]);
        match node.case(id, step, Command::Hasten { due_at }).await {
            // It is due by then, somebody has looked, or there is no case.
            Ok(_) | Err(Failure::Refused(_)) => {}
            Err(failure) => return Err(failure.map(|_| slot::Refusal::UnknownSale)),
        }
    }
    Ok(())
}

async fn parties_of(node: &Node, subject: &str) -> Result<Vec<Party>, ViewsError> {
    const KINDS: [PartyKind; 8] = [
        PartyKind::Buyer,
        PartyKind::Device,
        PartyKind::Card,
        PartyKind::Account,
        PartyKind::Network,
        PartyKind::Kiosk,
        PartyKind::Operator,
        PartyKind::Group,
    ];
    let Some(files) = node.files() else { return Ok(Vec::new()) };
    let read = |(kind, pseudonym): (String, String)| {
        let kind = KINDS.into_iter().find(|known| known.name() == kind)?;
        Some(Party { kind, pseudonym: Digest(u128::from_str_radix(&pseudonym, 16).ok()?) })
    };
    Ok(files.views.parties_of(subject).await?.into_iter().filter_map(read).collect())
}

/// An attempt that was blocked, as it is kept; none if none is.
async fn attempt_of(node: &Node, id: AttemptId) -> Option<Attempt> {
    node.look_attempts(id.day(), move |attempts| attempts.get(id).cloned()).await.ok().flatten()
}

/// Opens a case about an attempt that was blocked, if there is none.
async fn open_attempt(node: &Node, attempt: Attempt, origin: Origin) -> Result<CaseId, Failure<Refusal>> {
    let Attempt { id, channel, museum, slot, amount_cents, parties, assessment, .. } = attempt;
    let (subject, now) = (Subject::Attempt(id), node.now());
    let id = case_of(subject);
    let (due_at, lapses_at) = (now.plus_seconds(DUE_S), now.plus_seconds(LAPSES_S));
    let opened = Opened { subject, origin, assessment, slot, museum, channel, amount_cents, parties, due_at, lapses_at };
    match node.case(id, envelope(id, b"open", 0), Command::Open(Box::new(opened))).await {
        Ok(_) | Err(Failure::Refused(Refusal::CaseExists) | Failure::KeyReused) => Ok(id),
        Err(failure) => Err(failure),
    }
}

/// Opens a case about what chance has picked: a sale or a return that nobody suspects, or an attempt that was blocked.
async fn open_picked(node: &Node, subject: Subject) -> Result<(), RoundError> {
    let Some(files) = node.files() else { return Ok(()) };
    if let Subject::Attempt(attempt) = subject {
        let Some(found) = attempt_of(node, attempt).await else { return Ok(()) };
        let failed = |failure: Failure<Refusal>| RoundError::Case(case_of(subject), failure.to_string());
        return open_attempt(node, found, Origin::Picked).await.map(drop).map_err(failed);
    }
    let Some(wanting) = files.views.assessed_for_case(subject).await? else { return Ok(()) };
    open_about(node, &wanting, Origin::Picked).await.map(drop)
}

/// Gives a verdict, and sees to what follows from it. What cannot be done now is done later, by itself. Answers the number of the record that says it, also to a repeat.
///
/// # Errors
/// The refusal of the case.
pub async fn decide(node: &Node, case: CaseId, envelope: Envelope, verdict: Verdict, reason: Code) -> Result<u64, Failure<Refusal>> {
    let by = envelope.who;
    let record = node.case(case, envelope, Command::Decide { verdict, reason, by }).await?;
    act_or_leave(node, case).await;
    Ok(record.seq)
}

/// Takes a verdict back, and what followed from it as far as it still can be. Answers the number of the record that says it, also to a repeat.
///
/// # Errors
/// The refusal of the case.
pub async fn undo(node: &Node, case: CaseId, envelope: Envelope) -> Result<u64, Failure<Refusal>> {
    let record = node.case(case, envelope, Command::Undo).await?;
    act_or_leave(node, case).await;
    Ok(record.seq)
}

async fn act_or_leave(node: &Node, case: CaseId) {
    if let Err(error) = act(node, case).await {
        tracing::warn!(%case, %error, "what follows from a verdict is done later");
    }
}

/// Does to a case's sale what waits to be done, and notes what came of it. For requests and for the driver alike; one that has nothing to do stays as it is.
async fn act(node: &Node, id: CaseId) -> Result<(), RoundError> {
    let failed = |failure: &dyn std::fmt::Display| RoundError::Case(id, failure.to_string());
    let _acting = node.cases().acting().await;
    let look = |case: &tornello_engine::case::Case| case.pending().zip(case.sale()).map(|(action, sale)| (action, sale, case.seq()));
    let Some((action, sale, seq)) = node.look_case(id, look).await.map_err(|failure| failed(&failure))? else { return Ok(()) };
    // There are no tickets yet: it is done when they are made, or nothing is left to make them of.
    if option_of(node, sale).await.map_err(|failure| failed(&failure))?.is_some() {
        node.cases().rest(id, seq);
        return Ok(());
    }
    let done = match action {
        Action::Block => block(node, id, sale, seq).await,
        Action::Unblock => unblock(node, id, sale, seq).await,
        Action::Review => review(node, id, sale, seq).await,
        Action::Clear => clear(node, id, sale, seq).await,
    };
    let done = done.map_err(|failure| failed(&failure))?;
    if action == Action::Review && done {
        renew(node, id, sale, seq).await?;
    }
    match node.case(id, envelope(id, b"act", seq), Command::Act { action, done }).await {
        // Somebody else was faster.
        Ok(_) | Err(Failure::Refused(Refusal::NothingToDo)) => Ok(()),
        Err(failure) => Err(failed(&failure)),
    }
}

type Told = Result<bool, Failure<slot::Refusal>>;

/// Whether a slot did it; that it says no is an answer too.
fn told(answer: Result<Record<slot::Event>, Failure<slot::Refusal>>) -> Told {
    match answer {
        Ok(_) => Ok(true),
        Err(Failure::Refused(_) | Failure::UnknownSlot(_)) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// The tickets of a sale that pass a test.
async fn tickets(node: &Node, sale: HoldId, which: fn(&slot::Ticket) -> bool) -> Result<Vec<u16>, Failure<slot::Refusal>> {
    let numbers = move |slot: &slot::Slot| {
        let tickets = slot.sale_of(sale).map(|sale| sale.tickets.as_slice()).unwrap_or_default();
        (0_u16..).zip(tickets).filter(|(_, ticket)| which(ticket)).map(|(number, _)| number).collect::<Vec<_>>()
    };
    node.look(sale.slot(), numbers).await
}

fn is_ours(ticket: &slot::Ticket) -> bool {
    ticket.blocked.is_some_and(|reason| reason.as_str() == slot::FRAUD)
}

fn stands(ticket: &slot::Ticket) -> bool {
    ticket.state == slot::TicketState::Valid && ticket.blocked.is_none()
}

/// Whatever staff block it for: that is lifted by staff, and what a verdict says is not.
fn is_to_block(ticket: &slot::Ticket) -> bool {
    ticket.state == slot::TicketState::Valid && !is_ours(ticket)
}

/// How many tickets of a sale a verdict blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked {
    /// Tickets that the verdict blocks.
    pub blocked: u32,
    /// All tickets that were not cancelled, used or not.
    pub of: u32,
}

/// How many tickets of a sale a verdict blocks, wherever they have moved.
///
/// # Errors
/// If a slot does not answer.
pub async fn blocked_of(node: &Node, sale: HoldId) -> Result<Blocked, Failure<slot::Refusal>> {
    let mut found = Blocked { blocked: 0, of: 0 };
    for sale in moves::trail(node, sale).await?.0 {
        let counts = |ticket: &slot::Ticket| !matches!(ticket.state, slot::TicketState::Cancelled | slot::TicketState::Moved);
        found.of += tickets(node, sale, counts).await?.len() as u32;
        found.blocked += tickets(node, sale, |ticket| is_ours(ticket) && ticket.state != slot::TicketState::Cancelled).await?.len() as u32;
    }
    Ok(found)
}

/// Blocks the tickets of a sale, wherever they have moved; answers whether any is blocked. What is on its way to another slot stands nowhere now: then all that can be done
/// is done, and the rest when it has arrived.
async fn block(node: &Node, id: CaseId, sale: HoldId, seq: u64) -> Told {
    let Ok(reason) = slot::FRAUD.parse() else { return Ok(false) };
    let (trail, _) = moves::trail(node, sale).await?;
    let mut is_blocked = false;
    for &sale in &trail {
        let standing = tickets(node, sale, is_to_block).await?;
        if !standing.is_empty() {
            let step = step_at(id, b"block", seq, sale, &standing);
            told(node.slot(sale.slot(), step, slot::Command::Block { sale, tickets: standing, reason }).await)?;
        }
        is_blocked |= !tickets(node, sale, is_ours).await?.is_empty();
    }
    // What is blocked moves no more: if nothing has begun to meanwhile, nothing got away.
    unless_moved(node, sale, trail, is_blocked).await
}

/// What came of it, if the tickets still stand where they stood when it began and none is on its way; else it is done once more. What moves takes along what it was under when
/// it left, or when it was looked at to arrive.
async fn unless_moved(node: &Node, sale: HoldId, trail: Vec<HoldId>, done: bool) -> Told {
    if moves::trail(node, sale).await? == (trail, false) { Ok(done) } else { Err(Failure::Busy) }
}

/// Lifts what a verdict blocked, wherever the tickets have moved; what staff blocked for another reason stays, and what another case that says fraud blocked as well.
async fn unblock(node: &Node, id: CaseId, sale: HoldId, seq: u64) -> Told {
    let Ok(reason) = slot::FRAUD.parse() else { return Ok(false) };
    let (trail, _) = moves::trail(node, sale).await?;
    let mut done = false;
    for sale in trail {
        let (step, blocked) = (step_at(id, b"unblock", seq, sale, &[]), tickets(node, sale, is_ours).await?);
        if blocked.is_empty() {
            // Whoever lifted it may have been cut off before that was noted.
            done |= node.knows(sale.slot(), &step).await?;
            continue;
        }
        if fraud_said_beside(node, sale, Some(id)).await?.is_some() {
            continue;
        }
        done |= told(node.slot(sale.slot(), step, slot::Command::Unblock { sale, tickets: blocked, reason: Some(reason), keeps: None }).await)?;
    }
    Ok(done)
}

/// The case that says fraud of a sale, or of one that its tickets were of before, if one does: what they are blocked for, and what is to be appealed.
///
/// # Errors
/// If a case or a slot does not answer.
pub async fn fraud_said_of(node: &Node, sale: HoldId) -> Result<Option<CaseId>, Failure<slot::Refusal>> {
    fraud_said_beside(node, sale, None).await
}

/// As [`fraud_said_of`], by another case than this one.
async fn fraud_said_beside(node: &Node, sale: HoldId, but: Option<CaseId>) -> Result<Option<CaseId>, Failure<slot::Refusal>> {
    for sale in moves::trail_back(node, sale).await? {
        let says = |case: &tornello_engine::case::Case| case.verdict().is_some_and(|standing| standing.decided.verdict == Verdict::Fraud);
        let case = case_of(Subject::Sale(sale));
        match node.look_case(case, says).await {
            Ok(true) if Some(case) != but => return Ok(Some(case)),
            Ok(_) | Err(Failure::Refused(_)) => {}
            Err(failure) => return Err(failure.map(|_| slot::Refusal::UnknownSale)),
        }
    }
    Ok(None)
}

/// Begins the review of a sale anew, and of what of it stands in other slots. No verdict stands then: what an earlier one blocked is lifted, as it may have been undone, and
/// followed by the one that is undone now, before anybody could lift it.
async fn review(node: &Node, id: CaseId, sale: HoldId, seq: u64) -> Told {
    unblock(node, id, sale, seq).await?;
    let (trail, _) = moves::trail(node, sale).await?;
    let mut done = false;
    for &found in &trail {
        if found == sale || !tickets(node, found, stands).await?.is_empty() {
            let step = step_at(id, b"review", seq, found, &[]);
            done |= told(node.slot(found.slot(), step, slot::Command::Review { sale: found }).await)?;
        }
    }
    unless_moved(node, sale, trail, done).await
}

/// Keeps a case open as long as the review of its sale that has begun anew: it would end with the first one, and tickets would wait with nobody to see it. And somebody is to look
/// before any of it is over, or the tickets would be good by then.
async fn renew(node: &Node, id: CaseId, sale: HoldId, seq: u64) -> Result<(), RoundError> {
    let failed = |failure: &dyn std::fmt::Display| RoundError::Case(id, failure.to_string());
    let (now, reviews) = (node.now(), reviews_along(node, sale).await.map_err(|failure| failed(&failure))?);
    let ends = || reviews.iter().map(|(_, until)| *until).filter(move |until| *until > now);
    let (Some(due_at), Some(lapses_at)) = (ends().min(), ends().max()) else { return Ok(()) };
    for (step, command) in [(&b"renew"[..], Command::Renew { lapses_at }), (&b"hasten"[..], Command::Hasten { due_at })] {
        match node.case(id, envelope(id, step, seq), command).await {
            // The case lasts longer, or is due sooner.
            Ok(_) | Err(Failure::Refused(Refusal::NothingToDo)) => {}
            Err(failure) => return Err(failed(&failure)),
        }
    }
    Ok(())
}

/// Whether somebody is still to look at tickets of a sale for something else than the case of `decided`: at how they have moved since, or before that, or at what was bought.
async fn is_to_be_looked_at(node: &Node, sale: HoldId, decided: HoldId) -> Result<bool, Failure<slot::Refusal>> {
    for other in moves::trail_back(node, sale).await?.into_iter().filter(|other| *other != decided) {
        let is_open = |case: &tornello_engine::case::Case| {
            case.status() == Some(Status::Open) && case.opened().is_some_and(|opened| opened.origin == Origin::Review)
        };
        match node.look_case(case_of(Subject::Sale(other)), is_open).await {
            Ok(true) => return Ok(true),
            // The lists have not come to it yet: it has a case when they have.
            Err(Failure::Refused(_)) if moves::was_suspected(node, other).await? => return Ok(true),
            Ok(false) | Err(Failure::Refused(_)) => {}
            Err(failure) => return Err(failure.map(|_| slot::Refusal::UnknownSale)),
        }
    }
    Ok(false)
}

/// Makes tickets good, wherever they have moved, and those that are on their way when they have arrived: their review may have gone along before it ended here. What is to be
/// looked at for another case as well, of how it moved or of what was bought, waits for that one, which ends it.
async fn clear(node: &Node, id: CaseId, sale: HoldId, seq: u64) -> Told {
    let mut done = unblock(node, id, sale, seq).await?;
    let (trail, _) = moves::trail(node, sale).await?;
    for &found in &trail {
        if !is_to_be_looked_at(node, found, sale).await? {
            let step = step_at(id, b"clear", seq, found, &[]);
            done |= told(node.slot(found.slot(), step, slot::Command::EndReview { sale: found, cleared: true }).await)?;
        }
    }
    unless_moved(node, sale, trail, done).await
}

/// Opens what wants a case, labels what something speaks against, and does what waits to be done; answers how much of it waits on, as a case does not answer now. One that does not
/// keeps no other one waiting.
///
/// # Errors
/// If the lists cannot be read; the cases that do not answer are in the log and tried again.
pub async fn resume(node: &Node) -> Result<usize, ViewsError> {
    let mut left = 0;
    let mut note = |case: Result<(), RoundError>| {
        if let Err(error) = case {
            tracing::warn!(%error, "a fraud case waits");
            left += 1;
        }
    };
    for case in node.cases().working() {
        note(act(node, case).await);
    }
    let Some(files) = node.files() else { return Ok(left) };
    for wanting in files.views.wanting_cases(ROUND).await? {
        let origin = if wanting.is_met { Origin::Conflict } else { Origin::Review };
        note(open_about(node, &wanting, origin).await.map(drop));
    }
    let hour = hour_of(node.now());
    if node.cases().may_pick(hour, node.head().number, files.views.as_of_batch()) {
        for subject in picked_before(&files.views, node.scoring().judge().budgets(), hour).await? {
            note(open_picked(node, subject).await);
        }
        node.cases().has_picked(hour);
    }
    if may_tell(node, &files.views) {
        for (sale, known) in files.views.fraud_signs(ROUND).await? {
            // They may have begun to be built again meanwhile.
            if may_tell(node, &files.views) {
                note(label(node, sale, known).await);
            }
        }
        let at = node.now();
        for sale in files.views.gates_unsaid(at.plus_seconds(-GATES_LATE_S), ROUND).await? {
            if may_tell(node, &files.views) {
                note(label(node, sale, Known { label: Label::Withdrawn, source: LabelSource::GateRefusal, at }).await);
            }
        }
    }
    Ok(left)
}

/// See [`board::Cases::may_tell`].
fn may_tell(node: &Node, views: &Views) -> bool {
    node.cases().may_tell(node.head().number, views.as_of_batch())
}

/// The hour of an instant: of UTC, counted from 1970.
const fn hour_of(at: Timestamp) -> i64 {
    at.as_seconds().div_euclid(HOUR_S)
}

/// How many things chance picks in 24 hours, in thousandths: of what nobody suspected, and of what rules refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PickedADay {
    unsuspected_milli: u64,
    refused_milli: u64,
}

impl PickedADay {
    /// Of a channel whose analysts read so many parties a day: chance has its part of that. What was refused has half of it at most, so that whoever floods the shop with
    /// what is refused hides nothing else, and no more than the usual pick of so many; the rest is for what nobody suspected.
    fn of(budget: Budget, refused: u64) -> Self {
        let all_milli = u64::from(budget.alerts_per_day) * 1_000 * PICKED_PERCENT / 100;
        let refused_milli = (refused.saturating_mul(1_000) / PICKED_ONE_IN).min(all_milli / 2);
        Self { unsuspected_milli: all_milli - refused_milli, refused_milli }
    }
}

/// What chance picks of the hours before `hour`, as far as it has no case, channel by channel. An hour is picked from when it is over: then all of it has the same chance,
/// whenever in the hour it came, and what came since takes no place from it. What comes into the lists later makes a volume larger, never smaller, so that nothing is picked at
/// last that was not at first.
async fn picked_before(views: &Views, budgets: &[Budget; 5], hour: i64) -> Result<Vec<Subject>, ViewsError> {
    let begin = |hour: i64| Timestamp::from_seconds(hour.saturating_mul(HOUR_S));
    let first = hour - PICKED_BACK_H;
    let drawn = views.picked_at_random(begin(first), begin(hour)).await?;
    if drawn.is_empty() {
        return Ok(Vec::new());
    }
    let (from, to) = (begin(first - VOLUME_H + 1), begin(hour));
    let (unsuspected, refused) = (views.unsuspected_by_hour(from, to).await?, views.refused_by_hour(from, to).await?);
    let stays = |drawn: &&Drawn| {
        let own = hour_of(drawn.at);
        let of_channel = |hours: &ByHour| -> u64 {
            let range = (drawn.channel.clone(), own - VOLUME_H + 1)..=(drawn.channel.clone(), own);
            hours.range(range).map(|(_, count)| u64::from(*count)).sum()
        };
        // Of a channel that nobody knows there is no budget.
        let Some(channel) = Channel::ALL.into_iter().find(|channel| channel.name() == drawn.channel) else { return false };
        let refused = of_channel(&refused);
        let a_day = PickedADay::of(budgets[outlet(channel) as usize], refused);
        match drawn.subject {
            Subject::Attempt(_) => stays_picked(drawn.subject, refused, a_day.refused_milli),
            _ => stays_picked(drawn.subject, of_channel(&unsuspected), a_day.unsuspected_milli),
        }
    };
    Ok(drawn.iter().filter(stays).map(|drawn| drawn.subject).collect())
}

/// Tells the case of a sale what a bank or a gate said of it last, and opens one if there is none.
pub(crate) async fn label(node: &Node, sale: HoldId, known: Known) -> Result<(), RoundError> {
    let (id, Known { label, source, .. }) = (case_of(Subject::Sale(sale)), known);
    if matches!(node.look_case(id, |_| ()).await, Err(Failure::Refused(Refusal::UnknownCase))) {
        // Nothing was told that could be taken back.
        if label == Label::Withdrawn {
            return Ok(());
        }
        let Some(files) = node.files() else { return Ok(()) };
        let Some(wanting) = files.views.sale_for_case(sale).await? else { return Ok(()) };
        let origin = match source {
            LabelSource::Chargeback | LabelSource::Dispute => Origin::Chargeback,
            LabelSource::Verdict | LabelSource::GateRefusal => Origin::Conflict,
        };
        open_about(node, &wanting, origin).await?;
    }
    let seq = node.look_case(id, |case| case.seq()).await.map_err(|failure| RoundError::Case(id, failure.to_string()))?;
    match node.case(id, envelope(id, source.name().as_bytes(), seq), Command::Label { label, source }).await {
        Ok(_) | Err(Failure::Refused(Refusal::LabelKnown | Refusal::TooManyLabels)) => Ok(()),
        Err(failure) => Err(RoundError::Case(id, failure.to_string())),
    }
}

/// Looks for what is to be done, at once and then again whenever the lists have grown or an hour is over, and as long as something waits on; less often while the lists cannot be
/// read. Runs until dropped.
pub(crate) async fn keep_looking(node: &Node) {
    let (mut pause_s, mut seen, mut next): (i64, u64, Timestamp) = (LOOK_EVERY_S, u64::MAX, node.now());
    loop {
        tokio::select! {
            biased;
            () = node.clock().sleep_until(next) => {}
            () = node.cases().work() => {}
        }
        let stands_at = node.files().map_or(0, |files| files.views.as_of_batch());
        let is_over = node.files().is_some() && node.cases().is_to_pick(hour_of(node.now()));
        if stands_at != seen || is_over || node.cases().has_work() {
            let left = resume(node).await;
            if let Err(error) = &left {
                tracing::warn!(%error, "what wants a fraud case cannot be looked for now");
            }
            // What waits on is looked for again also where nothing is written meanwhile, as on a quiet night.
            (pause_s, seen) = match left {
                Ok(0) => (LOOK_EVERY_S, stands_at),
                Ok(_) => (LOOK_EVERY_S, u64::MAX),
                Err(_) => ((pause_s * 2).min(LOOK_EVERY_MAX_S), u64::MAX),
            };
        }
        next = node.now().plus_seconds(pause_s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_has_a_twentieth_of_what_analysts_can_read_and_a_flood_of_refusals_half_of_that_at_most() {
        let of = |alerts_per_day, refused| {
            let PickedADay { unsuspected_milli, refused_milli } = PickedADay::of(Budget { alerts_per_day }, refused);
            (unsuspected_milli, refused_milli)
        };
        assert_eq!(of(50, 0), (2_500, 0), "two and a half a day");
        assert_eq!(of(50, 10), (2_000, 500), "one in twenty");
        assert_eq!(of(50, 20_000), (1_250, 1_250));
        assert_eq!(of(50, u64::MAX), (1_250, 1_250));
        assert_eq!(of(10, 0), (500, 0), "every other day");
        assert_eq!(of(0, 20_000), (0, 0));
    }
}
