//! Gates online. As everywhere, what a slot decides is written before it is said. While the journal does not write, as on a full disk or one that stalls, it is said first:
//! nobody stands before a closed gate because of a disk.
//!
//! Then a slot is forked. The fork is the slot as it stands on the disk, with what gates were told since on top. So the same code says the same as online, and nobody is
//! let in twice. What was told waits in memory, up to a bound, as scans like those of a gate without a network. As soon as the journal writes again they are merged
//! ([`slot::Command::Merge`]) under their own keys and times, before anything else of that slot is decided for a gate. A crash before that loses them: so the gate is told
//! to keep each scan and to send it in as well, which does no harm if it is known.
//!
//! A fork is made only when nothing for a gate of that slot is on its way through the journal, and it is gone before anything is again. So of two requests for one ticket one
//! decides first, wherever that is. A caller who was told that an outcome is unknown is told so until the journal knows.
//!
//! A disk that stalls is not waited for, though what is on its way through the journal then may be written at any time. If one request alone is on its way with a ticket, the
//! fork answers it, under the key of that request: so it is written once, also when it is sent again. Unless the fork would refuse it: the slot may have let them pass a moment
//! before, and that be written, so the outcome is unknown until the journal knows. So it is if several have asked for one ticket at once. The scan that the gate was told to keep is
//! known then, though another record stands for it ([`Node::merge_kept`]): it says since when nobody else had asked with the ticket, so also a process that knows the journal alone
//! finds that record.
//!
//! The ceiling of a building holds over all slots together, forked or not: people are counted before they may be told to come in ([`Buildings`](crate::buildings::Buildings)).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Mutex, Notify, RwLock};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{Code, KeyId, MuseumId, SlotId, TicketId};
use tornello_engine::recall::Recall;
use tornello_engine::record::Record;
use tornello_engine::slot::verdict::Room;
use tornello_engine::slot::{self, Command, Direction, Refusal, Scan, Slot};
use tornello_engine::time::Timestamp;

use super::Node;
use crate::buildings::Seat;
use crate::digest::digest;
use crate::failure::Failure;
use crate::fraud::recent::Recent;
use crate::journal::StreamId;
use crate::journal::writer::Health;
use crate::owner::Answer;
use crate::streams::{read_failed, record_of};

/// The most scans that wait to be written: hours of a whole country's, in a few dozen MiB.
pub(super) const SCANS_MAX: usize = 100_000;
/// The most slots that are forked at once: each is as large in memory as one in use.
const FORKS_MAX: usize = 1_024;
/// How many scans of a slot are on their way to the disk at once.
const MERGED_AT_ONCE: usize = 256;
/// How often a journal that comes and goes is asked before the gate is.
const ATTEMPTS: usize = 3;
/// How soon scans are merged again that could not be merged yet.
const MERGE_AGAIN: Duration = Duration::from_secs(1);
/// How long is waited for what is on its way to a slot's end, before other slots have their turn.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);

/// A ticket at a gate, whose holder goes in or out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage {
    /// Which ticket.
    pub ticket: TicketId,
    /// The issue number on the code that was shown; none: the gate typed the ticket's id.
    pub issue: Option<u16>,
    /// Which gate.
    pub gate: Code,
    /// The museum where the gate stands.
    pub museum: MuseumId,
    /// In or out.
    pub direction: Direction,
}

impl Passage {
    /// As the scan that it is at a time.
    #[must_use]
    pub const fn scan(&self, at: Timestamp) -> Scan {
        Scan { ticket: self.ticket, scanned_at: at, gate: self.gate, direction: self.direction }
    }

    const fn command(&self, room: Option<Room>) -> Command {
        let Self { ticket, issue, gate, museum, direction } = *self;
        match (direction, room) {
            (Direction::In, Some(room)) => Command::AdmitWithin { ticket, issue, gate, museum, room },
            (Direction::In, None) => Command::Admit { ticket, issue, gate, museum },
            (Direction::Out, _) => Command::Exit { ticket, gate, museum },
        }
    }

    pub(super) const fn merge(&self, at: Timestamp) -> Command {
        Command::Merge { scan: self.scan(at), issue: self.issue, museum: self.museum }
    }
}

/// The forks of all slots that have one.
#[derive(Debug, Default)]
pub(super) struct Gates {
    /// Read while something for a gate is on its way through the journal. In the order of slots, in which they are merged.
    pub(super) forks: RwLock<BTreeMap<SlotId, Arc<Mutex<Fork>>>>,
    /// How many scans wait in all forks.
    pub(super) waiting: AtomicUsize,
    /// The tickets of which nobody knows whether they were let in or out, until the journal writes again.
    doubtful: parking_lot::Mutex<HashMap<TicketId, Doubt>>,
    /// How many doubts there have been.
    doubts: AtomicU64,
    /// The requests with a ticket that are on their way through the journal.
    on_way: parking_lot::Mutex<HashMap<TicketId, Requests>>,
    /// What gates were told to keep of requests that were on their way.
    kept: parking_lot::Mutex<KeptScans>,
    /// There is something to merge, or to forget.
    changed: Notify,
}

/// Scans, the last ones.
#[derive(Debug)]
struct KeptScans(Recent<Scan, KeptScan>);

/// What is known of a scan that a gate was told to keep.
#[derive(Debug, Clone, Copy)]
struct KeptScan {
    /// When its request came.
    asked_at: Timestamp,
    /// Whether that is known to be written instead of it.
    is_written: bool,
}

impl Default for KeptScans {
    fn default() -> Self {
        Self(Recent::new(SCANS_MAX))
    }
}

/// Who asked, under which key.
type Request = (KeyId, Digest);

/// Nobody knows what became of the requests with a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Doubt {
    /// The one request that may be told, if there is one.
    only: Option<Request>,
    /// When that came.
    since: Timestamp,
    /// The number of the doubt that came last: when that one ends, so do those before.
    number: u64,
}

/// Those with one ticket that are on their way at once.
#[derive(Debug)]
struct Requests {
    count: usize,
    first: Request,
    /// When that came.
    since: Timestamp,
    /// Whether all of them are the first, sent again: by a gate that does not wait so long.
    are_one: bool,
}

/// A request with a ticket that is on its way through the journal, until it is dropped: with an answer, or with a doubt.
struct OnWay<'a> {
    gates: &'a Gates,
    ticket: TicketId,
    request: Request,
    /// When it came first.
    since: Timestamp,
    is_answered: bool,
}

impl Gates {
    fn set_out(&self, ticket: TicketId, request: Request, now: Timestamp) -> OnWay<'_> {
        let mut on_way = self.on_way.lock();
        let requests = on_way.entry(ticket).or_insert(Requests { count: 0, first: request, since: now, are_one: true });
        requests.count += 1;
        requests.are_one &= requests.first == request;
        let since = if requests.are_one { requests.since } else { now };
        OnWay { gates: self, ticket, request, since, is_answered: false }
    }

    /// Whether all is known of a ticket depends on what the journal will say it holds. One request may be told, if it is the only one with that ticket.
    fn doubt(&self, ticket: TicketId, only: Option<Request>, since: Timestamp) {
        let number = self.doubts.fetch_add(1, Ordering::Relaxed);
        let mut doubtful = self.doubtful.lock();
        let doubt = doubtful.entry(ticket).or_insert(Doubt { only, since, number });
        *doubt = Doubt { only: only.filter(|only| doubt.only == Some(*only)), since: doubt.since.min(since), number };
        drop(doubtful);
        self.changed.notify_one();
    }

    /// Whether something that was asked with a ticket may be done already, without anybody having been told.
    fn is_in_doubt(&self, ticket: TicketId) -> bool {
        self.doubtful.lock().contains_key(&ticket)
    }

    /// The one request that might be told was, if this is one: whoever comes with the ticket now comes after it. Answers whether it was. What its gate keeps is then remembered.
    fn told(&self, ticket: TicketId, request: Request, scan: Scan) -> bool {
        let mut doubtful = self.doubtful.lock();
        let Some(Doubt { since: asked_at, .. }) = doubtful.get(&ticket).filter(|doubt| doubt.only == Some(request)).copied() else { return false };
        doubtful.remove(&ticket);
        self.kept.lock().0.put(scan, KeptScan { asked_at, is_written: false });
        true
    }
}

impl OnWay<'_> {
    /// What became of it is known.
    fn answered(mut self) {
        self.is_answered = true;
    }
}

/// Whoever asked may have gone away, or waits for a disk that stalls no more: what was asked goes on without them, and the same request may be told if no other one is on its way.
impl Drop for OnWay<'_> {
    fn drop(&mut self) {
        let mut is_alone = false;
        {
            let mut on_way = self.gates.on_way.lock();
            if let Some(requests) = on_way.get_mut(&self.ticket) {
                is_alone = requests.count == 1 || requests.are_one;
                requests.count -= 1;
                if requests.count == 0 {
                    on_way.remove(&self.ticket);
                }
            }
        }
        if !self.is_answered {
            self.gates.doubt(self.ticket, is_alone.then_some(self.request), self.since);
        }
    }
}

/// A slot while the journal does not write.
#[derive(Debug, Default)]
pub(super) struct Fork {
    /// The slot with all that was told; none before the first look.
    state: Option<Slot>,
    /// The end of the journal when it was read.
    head: u64,
    /// What was told and is not written, oldest first.
    told: VecDeque<Told>,
    /// The slot is online again: look for its next fork, if any.
    is_over: bool,
}

/// What a gate was told.
#[derive(Debug)]
struct Told {
    envelope: Envelope,
    passage: Passage,
    /// As it would have been written.
    record: Record<slot::Event>,
}

impl Told {
    /// By whom, under a key that nobody else has used: something else came under the first one.
    fn under_another_key(&self) -> Envelope {
        let key = digest(&[b"unrecorded", &self.envelope.key.0.to_be_bytes(), &self.record.at.as_micros().to_be_bytes()]);
        Envelope { key, ..self.envelope.clone() }
    }
}

impl Node {
    /// Lets a ticket's holder in or out. What happened is on the disk when this answers, unless its event has a `scanned_at`: then the journal did not write, and it
    /// will be merged when it does. A repeat of the key is answered the same.
    pub async fn pass(&self, envelope: Envelope, passage: Passage) -> Answer<Slot> {
        let asked = (envelope.who, envelope.key);
        let answer = self.decide_passage(envelope, passage).await;
        self.refusals.hear(self.clock.now(), asked, &passage, &answer);
        answer
    }

    async fn decide_passage(&self, envelope: Envelope, passage: Passage) -> Answer<Slot> {
        let slot = passage.ticket.slot();
        let mut last = Failure::Busy;
        for _ in 0..ATTEMPTS {
            let forks = self.gates.forks.read().await;
            let fork = match forks.get(&slot).cloned() {
                Some(fork) => {
                    drop(forks);
                    fork
                }
                None if self.health() == Health::Writing => {
                    let on_way = self.gates.set_out(passage.ticket, (envelope.who, envelope.key), self.clock.now());
                    let seat = self.seat(&passage);
                    let command = passage.command(seat.as_ref().map(Seat::room));
                    let Some(answer) = self.slot_unless_stalled(slot, envelope.clone(), command).await else {
                        // It is on its way all the same.
                        last = Failure::OutcomeUnknown;
                        continue;
                    };
                    on_way.answered();
                    // Who is in doubt is so before anybody can end that.
                    match answer {
                        Err(Failure::OutcomeUnknown) => drop(seat),
                        _ => answered(seat),
                    }
                    match answer {
                        // Nothing has changed. `Busy` is also said to who was refused because of something that was lost then.
                        Err(failure @ Failure::Journal(_)) => last = failure,
                        Err(Failure::Busy) if self.health() != Health::Writing => {}
                        Err(Failure::OutcomeUnknown) => {
                            self.gates.doubt(passage.ticket, None, self.clock.now());
                            return Err(Failure::OutcomeUnknown);
                        }
                        answer => return answer,
                    }
                    continue;
                }
                None => {
                    drop(forks);
                    match self.fork(slot).await {
                        Err(_) if self.gates.is_in_doubt(passage.ticket) => return Err(Failure::OutcomeUnknown),
                        fork => fork?,
                    }
                }
            };
            if let Some(answer) = self.pass_unwritten(slot, &fork, &envelope, passage).await {
                return answer;
            }
        }
        Err(last)
    }

    /// Room in the building for whoever wants in, as far as anybody knows how full it is.
    fn seat(&self, passage: &Passage) -> Option<Seat<'_>> {
        if passage.direction == Direction::Out {
            return None;
        }
        let (slot, now) = (passage.ticket.slot(), self.clock.now());
        let occupancy = self.sensors.occupancy(slot.museum())?;
        let ceiling = self.museums.get(slot.museum())?.museum.ceiling_on(calendar::local_day(now))?;
        // Also of a slot that has left the board: people may come back by it.
        let believed_s = i64::from(self.policy_of(slot)?.stale_after_s);
        let is_believed = now < occupancy.at.plus_seconds(believed_s);
        is_believed.then(|| self.buildings.seat(passage.ticket, (occupancy.at, occupancy.inside), ceiling))
    }

    /// How many scans wait to be written.
    #[must_use]
    pub fn unrecorded(&self) -> usize {
        self.gates.waiting.load(Ordering::Relaxed)
    }

    /// As [`Node::slot`], but waits for no disk that stalls; none if it does: what was asked may be done yet.
    async fn slot_unless_stalled(&self, slot: SlotId, envelope: Envelope, command: Command) -> Option<Answer<Slot>> {
        let mut health = self.health.clone();
        let stalls = async {
            // Without a writer there is an answer at once.
            if health.wait_for(|health| *health == Health::Stalled).await.is_err() {
                pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            answer = self.slot(slot, envelope, command) => Some(answer),
            () = stalls => None,
        }
    }

    /// Ends the doubts about tickets whose requests have come to their end: what was on its way is on the disk, or never will be.
    async fn end_doubts(&self) {
        let doubtful = self.gates.doubtful.lock().clone();
        let slots: BTreeSet<SlotId> = doubtful.keys().map(|ticket| ticket.slot()).collect();
        for slot in slots {
            // A look comes behind what was asked before it, and is answered when all of that is on the disk.
            let settled = self.look(slot, |_| ());
            let settled = matches!(tokio::time::timeout(SETTLED_WITHIN, settled).await, Ok(Ok(()) | Err(Failure::UnknownSlot(_))));
            if settled {
                // Another request with the same ticket may have come behind the look, and its caller have gone away since.
                let is_over = |ticket: &TicketId, doubt: &Doubt| ticket.slot() == slot && doubtful.get(ticket) == Some(doubt);
                let over: Vec<TicketId> =
                    self.gates.doubtful.lock().extract_if(|ticket, doubt| is_over(ticket, doubt)).map(|(ticket, _)| ticket).collect();
                over.into_iter().for_each(|ticket| self.buildings.forget(ticket));
            }
        }
    }

    /// The fork of a slot, made if there is none.
    async fn fork(&self, slot: SlotId) -> Result<Arc<Mutex<Fork>>, Failure<Refusal>> {
        // Now nothing for any gate is on its way, and what comes will see the fork.
        let mut forks = self.gates.forks.write().await;
        if forks.len() >= FORKS_MAX {
            forks.retain(|_, fork| {
                let Ok(mut fork) = fork.try_lock() else { return true };
                fork.is_over = fork.told.is_empty();
                !fork.is_over
            });
        }
        if forks.len() >= FORKS_MAX && !forks.contains_key(&slot) {
            return Err(Failure::Journal("as many slots as can have scans that wait".into()));
        }
        let fork = Arc::clone(forks.entry(slot).or_default());
        self.gates.changed.notify_one();
        Ok(fork)
    }

    /// Decides on a fork; none if the slot is online again.
    async fn pass_unwritten(&self, slot: SlotId, fork: &Mutex<Fork>, envelope: &Envelope, passage: Passage) -> Option<Answer<Slot>> {
        let mut fork = fork.lock().await;
        if fork.is_over || self.end_fork(slot, &mut fork).await {
            return None;
        }
        let is_in_doubt = self.gates.is_in_doubt(passage.ticket);
        let answer = self.tell(slot, &mut fork, envelope, passage).await;
        if answer.is_ok() {
            self.gates.changed.notify_one();
        }
        Some(match answer {
            // A moment before, by another reading or just within its time, the slot itself may have said yes.
            Err(Failure::Refused(_) | Failure::Busy | Failure::Journal(_)) if is_in_doubt => Err(Failure::OutcomeUnknown),
            answer => answer,
        })
    }

    async fn tell(&self, slot: SlotId, fork: &mut Fork, envelope: &Envelope, passage: Passage) -> Answer<Slot> {
        let asked = (envelope.who, envelope.key);
        if let Some(told) = fork.told.iter().find(|told| (told.envelope.who, told.envelope.key) == asked) {
            if told.envelope.body != envelope.body {
                return Err(Failure::KeyReused);
            }
            self.gates.told(passage.ticket, asked, told.passage.scan(told.record.at));
            return Ok(told.record.clone());
        }
        if self.gates.doubtful.lock().get(&passage.ticket).is_some_and(|doubt| doubt.only != Some(asked)) {
            return Err(Failure::OutcomeUnknown);
        }
        let state = self.up_to_date(slot, fork).await?;
        match state.recall(envelope) {
            Recall::New => {}
            Recall::OtherBody => return Err(Failure::KeyReused),
            // It is on the disk, where the slot would find it too, behind what it has on its way.
            Recall::Done { seq } => {
                let found = record_of(self.journal.as_ref(), StreamId::Slot(slot), seq).await.map_err(|error| read_failed::<Refusal>(&error))?;
                return found.ok_or(Failure::OutcomeUnknown);
            }
        }
        let now = self.clock.now();
        let seat = self.seat(&passage);
        if let Err(refusal) = state.decide(now, &passage.command(seat.as_ref().map(Seat::room))) {
            answered(seat);
            return Err(Failure::Refused(refusal));
        }
        if self.gates.waiting.fetch_add(1, Ordering::Relaxed) >= SCANS_MAX {
            self.gates.waiting.fetch_sub(1, Ordering::Relaxed);
            answered(seat);
            return Err(Failure::Journal("as many scans wait as can be kept".into()));
        }
        let at = now.max(state.last_at());
        let followed = follow(state, envelope, passage, at);
        if let Ok(record) = &followed {
            self.buildings.told(passage.scan(record.at));
        }
        answered(seat);
        match followed {
            Ok(record) => {
                fork.told.push_back(Told { envelope: envelope.clone(), passage, record: record.clone() });
                if self.gates.told(passage.ticket, asked, passage.scan(record.at)) {
                    self.buildings.forget(passage.ticket);
                }
                Ok(record)
            }
            Err(failure) => {
                self.gates.waiting.fetch_sub(1, Ordering::Relaxed);
                fork.state = None;
                Err(failure)
            }
        }
    }

    /// The state of a fork, read again if the journal has grown.
    async fn up_to_date<'a>(&self, slot: SlotId, fork: &'a mut Fork) -> Result<&'a mut Slot, Failure<Refusal>> {
        for _ in 0..ATTEMPTS {
            let head = self.head().number;
            if fork.state.is_some() && fork.head == head {
                break;
            }
            fork.state = None;
            let mut state = self.slots.on_disk(StreamId::Slot(slot)).await?;
            // Nothing was written meanwhile: this is what is on the disk now.
            if self.head().number == head {
                fork.told.iter().for_each(|told| foresee(&mut state, told));
                (fork.state, fork.head) = (Some(state), head);
            }
        }
        fork.state.as_mut().ok_or(Failure::Busy)
    }

    /// Merges what a slot's gates were told, and puts it online again; false if that cannot be done yet.
    async fn end_fork(&self, slot: SlotId, fork: &mut Fork) -> bool {
        if self.health() != Health::Writing || !self.merge(slot, fork).await {
            return false;
        }
        self.gates.forks.write().await.remove(&slot);
        fork.is_over = true;
        true
    }

    /// Merges in rounds of different tickets: the scans of one ticket follow each other.
    async fn merge(&self, slot: SlotId, fork: &mut Fork) -> bool {
        while !fork.told.is_empty() {
            let mut tickets = HashSet::new();
            let round = fork.told.iter().take(MERGED_AT_ONCE).take_while(|told| tickets.insert(told.passage.ticket)).count();
            let merged = join_all(fork.told.iter().take(round).map(|told| self.merge_one(slot, told))).await;
            let round: Vec<Told> = fork.told.drain(..round).collect();
            for (told, is_merged) in round.into_iter().zip(&merged).rev() {
                if *is_merged {
                    self.buildings.written(&told.passage.scan(told.record.at));
                } else {
                    fork.told.push_front(told);
                }
            }
            let done = merged.iter().filter(|merged| **merged).count();
            self.gates.waiting.fetch_sub(done, Ordering::Relaxed);
            if done < merged.len() {
                return false;
            }
        }
        true
    }

    /// When the request came of a scan that its gate was told to keep, if that was on its way then, and may be written instead of it: since then nobody else had asked with the
    /// ticket.
    #[must_use]
    pub fn asked_at(&self, scan: &Scan) -> Option<Timestamp> {
        self.gates.kept.lock().0.get(scan).map(|kept| kept.asked_at)
    }

    /// Gives a slot a scan that a gate sends in, as it kept it. One that the gate was told to keep while its request was on its way is known if that is written, and is to be sent
    /// again as long as nobody knows whether it will be: else one visitor would stand against themselves. What is not remembered, as after a restart, the journal says, where the
    /// gate says when the request came ([`Node::asked_at`]).
    pub async fn merge_kept(&self, envelope: Envelope, scan: Scan, asked_at: Option<Timestamp>, command: Command) -> Answer<Slot> {
        let is_written = self.gates.kept.lock().0.get(&scan).map(|kept| kept.is_written);
        let slot = scan.ticket.slot();
        let is_known = match (is_written, asked_at) {
            (Some(false), _) => return Err(Failure::OutcomeUnknown),
            (Some(true), _) => true,
            (None, Some(since)) => self.look(slot, move |slot| slot.saw(&scan, since)).await?,
            (None, None) => false,
        };
        if is_known { Err(Failure::Refused(Refusal::ScanKnown)) } else { self.slot(slot, envelope, command).await }
    }

    /// Whether a scan needs to wait no longer: it is written, or never can be.
    async fn merge_one(&self, slot: SlotId, told: &Told) -> bool {
        let scan = told.passage.scan(told.record.at);
        let Some(is_written_otherwise) = self.merge_told(slot, told).await else { return false };
        let mut kept = self.gates.kept.lock();
        if is_written_otherwise {
            let asked_at = kept.0.get(&scan).map_or(scan.scanned_at, |kept| kept.asked_at);
            kept.0.put(scan, KeptScan { asked_at, is_written: true });
        } else {
            let _ = kept.0.take(&scan);
        }
        true
    }

    /// Merges a scan; answers whether the request that it is of was written instead of it, none if that is not known yet.
    async fn merge_told(&self, slot: SlotId, told: &Told) -> Option<bool> {
        let Told { envelope, passage, record } = told;
        let command = passage.merge(record.at);
        let mut answer = self.slot_unless_stalled(slot, envelope.clone(), command.clone()).await?;
        if answer == Err(Failure::KeyReused) {
            // Something else came under this key meanwhile. It was told, so it is written.
            answer = self.slot_unless_stalled(slot, told.under_another_key(), command).await?;
        }
        let ticket = passage.ticket;
        match answer {
            Ok(written) => {
                let judged = slot::judged(&written.events, &passage.scan(record.at));
                if judged.and_then(slot::Judged::conflict).is_some() {
                    tracing::warn!(%slot, %ticket, "somebody was let in while the journal did not write, and should not have been");
                }
                Some(judged.is_none())
            }
            Err(Failure::Refused(Refusal::ScanKnown)) => Some(false),
            Err(Failure::Refused(Refusal::TicketMoving | Refusal::ScanInFuture)) => None,
            Err(failure @ (Failure::Refused(_) | Failure::UnknownSlot(_) | Failure::KeyReused)) => {
                tracing::error!(%slot, %ticket, %failure, "what a gate was told while the journal did not write cannot be merged");
                Some(false)
            }
            Err(Failure::Busy | Failure::Journal(_) | Failure::Gateway(_) | Failure::OutcomeUnknown | Failure::OutOfOrder(_)) => None,
        }
    }

    /// Merges what gates were told while the journal did not write, and puts all forked slots online again; false if not all could be. The node does so by itself; this is
    /// for whoever sets its clock.
    pub async fn end_forks(&self) -> bool {
        if self.health() == Health::Writing {
            self.end_doubts().await;
        }
        let forks: Vec<_> = self.gates.forks.read().await.iter().map(|(slot, fork)| (*slot, Arc::clone(fork))).collect();
        let mut all = self.gates.doubtful.lock().is_empty();
        for (slot, fork) in forks {
            let mut fork = fork.lock().await;
            all &= fork.is_over || self.end_fork(slot, &mut fork).await;
        }
        all
    }

    /// Merges what gates were told as soon as the journal writes again. Runs until dropped, or the writer ends.
    pub(super) async fn keep_merging(&self) {
        let mut health = self.health.clone();
        loop {
            self.gates.changed.notified().await;
            loop {
                if health.wait_for(|health| *health == Health::Writing).await.is_err() {
                    return;
                }
                // Whoever wakes the sleepers of a simulated clock decides what is written before it.
                self.clock.sleep_until(self.clock.now()).await;
                if self.end_forks().await {
                    break;
                }
                tokio::time::sleep(MERGE_AGAIN).await;
            }
        }
    }
}

/// What became of whoever had room is known.
fn answered(seat: Option<Seat<'_>>) {
    if let Some(seat) = seat {
        seat.answered();
    }
}

/// Takes in what a gate was told as it will be merged, whatever it comes to by now: what is told next follows from that. A request that was written meanwhile is known, and is no
/// second passage.
fn foresee(state: &mut Slot, told: &Told) {
    let envelope = match state.recall(&told.envelope) {
        Recall::New => told.envelope.clone(),
        Recall::OtherBody => told.under_another_key(),
        Recall::Done { .. } => return,
    };
    let at = told.record.at;
    // What is known, or can be no more, comes out when it is merged.
    if let Ok(events) = state.decide(at, &told.passage.merge(at)) {
        let record = state.record(at, Some(envelope), events);
        state.apply(&record);
    }
}

/// Takes a passage in as the scan that will be merged; answers its record. Among all that is known of its ticket in that instant it may come to something else than at a gate
/// that knows what came before and no more: then nobody passes. Whoever comes back by one gate in the instant in which they came, as every one is for a slot that is ahead of a clock that
/// was set back, passes in the next one: two scans that are the same are one.
fn follow(state: &mut Slot, envelope: &Envelope, passage: Passage, mut at: Timestamp) -> Answer<Slot> {
    let events = loop {
        match state.decide(at, &passage.merge(at)) {
            Err(Refusal::ScanKnown) => at = Timestamp::from_micros(at.as_micros() + 1),
            decided => break decided.map_err(Failure::Refused)?,
        }
    };
    if !slot::judged(&events, &passage.scan(at)).is_some_and(slot::Judged::passed) {
        return Err(match passage.direction {
            Direction::In => Failure::Refused(Refusal::TicketInside { since: at }),
            Direction::Out => Failure::Refused(Refusal::NotInside),
        });
    }
    let record = state.record(at, Some(envelope.clone()), events);
    state.apply(&record);
    state.check().map_err(|broken| Failure::OutOfOrder(broken.to_string()))?;
    Ok(record)
}

#[cfg(test)]
impl Gates {
    pub(super) async fn make_fork(&self, slot: SlotId) -> Arc<Mutex<Fork>> {
        Arc::clone(self.forks.write().await.entry(slot).or_default())
    }
}
