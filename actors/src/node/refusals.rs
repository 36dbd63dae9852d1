//! What gates with a network refuse, as far as it hints at a copied or forged ticket: it changes nothing in the slot, so it is noted among the attempts of its day, and
//! whoever hears the journal takes it for the same signal as a conflict of a gate without a network.
//!
//! A gate is answered first, and never waits for this nor fails by it: a refusal is put aside in memory, up to a bound, and written down by a task of its own, one at a
//! time, when the journal writes. Of one ticket, reason and day only a few steps are put aside ([`attempts::is_step`]), and the first at another gate than it came in by, so
//! a flood of scans costs a counter. What a stop or a full queue loses is a hint, and shows in a later step.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tornello_engine::attempts::{self, Refused};
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{Code, KeyId, MuseumId, TicketId};
use tornello_engine::slot::{self, ConflictReason, Direction, Slot};
use tornello_engine::time::{MICROS_PER_S, Timestamp};

use super::{Node, Passage};
use crate::digest::digest;
use crate::failure::Failure;
use crate::fraud::hearing::{APART_S, ELSEWHERE_S};
use crate::fraud::recent::Recent;
use crate::journal::StreamId;
use crate::journal::writer::Health;
use crate::owner::Answer;

/// The most refusals that wait to be noted.
const WAITING_MAX: usize = 4_096;
/// Of so many tickets it is remembered where they were let in last, and how many times they were refused.
const TICKETS: usize = 65_536;
/// Of so many gates forged codes are counted apart; of others they are not counted.
const GATES_MAX: usize = 1_024;
/// A gate that reads a ticket again so soon after it has let it in has read it twice, in seconds: that is no second visitor.
const READ_TWICE_S: i64 = 60;
/// How soon is tried again what could not be noted.
const AGAIN: Duration = Duration::from_secs(1);

/// What gates have refused, and what of it waits to be noted.
#[derive(Debug)]
pub(super) struct Refusals {
    /// Whether anybody notes them.
    are_noted: bool,
    /// The gate that let a ticket in last.
    admitted: Mutex<Recent<TicketId, Code>>,
    times: Mutex<Recent<(TicketId, ConflictReason), Times>>,
    waiting: Mutex<VecDeque<Refused>>,
    /// Who notes them: one at a time.
    turn: tokio::sync::Mutex<()>,
    changed: Notify,
    /// How many were not noted because too many waited.
    lost: AtomicU64,
    forged: Mutex<BTreeMap<(MuseumId, Code), u64>>,
}

/// How many times a ticket was refused on a day.
#[derive(Debug, Clone, Copy)]
struct Times {
    day: u16,
    times: u32,
    /// Whether it was at another gate than the one it came in by, not long before.
    elsewhere: bool,
    /// The last request: its repeat is no other scan.
    asked: (KeyId, Digest),
}

impl Refusals {
    pub(super) fn new(are_noted: bool) -> Self {
        Self {
            are_noted,
            admitted: Mutex::new(Recent::new(TICKETS)),
            times: Mutex::new(Recent::new(TICKETS)),
            waiting: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            lost: AtomicU64::new(0),
            forged: Mutex::default(),
        }
    }

    /// Hears what a gate is about to be told.
    pub(super) fn hear(&self, now: Timestamp, asked: (KeyId, Digest), passage: &Passage, answer: &Answer<Slot>) {
        if !self.are_noted || passage.direction != Direction::In {
            return;
        }
        match answer {
            Ok(_) => self.admitted.lock().put(passage.ticket, passage.gate),
            Err(Failure::Refused(refusal)) => self.refused(now, asked, passage, refusal),
            Err(_) => {}
        }
    }

    fn refused(&self, now: Timestamp, asked: (KeyId, Digest), passage: &Passage, refusal: &slot::Refusal) {
        let Passage { ticket, gate, .. } = *passage;
        let Some(reason) = attempts::hint_of(refusal, ticket, passage.issue.is_some(), now) else { return };
        let within = |seconds: i64| matches!(refusal, slot::Refusal::TicketInside { since } if now.micros_since(*since) < seconds * MICROS_PER_S);
        let admitted = self.admitted.lock().get(&ticket).copied();
        if within(READ_TWICE_S) && admitted == Some(gate) {
            return;
        }
        let is_other = admitted.is_some_and(|other| other != gate);
        let (apart, elsewhere) = (within(APART_S) && is_other, within(ELSEWHERE_S) && is_other);
        let Some((times, is_first)) = self.count(attempts::day_of(now), asked, (ticket, reason), elsewhere) else { return };
        // Whoever was refused where they came in before that must not hide it.
        if attempts::is_step(times) || is_first && times < attempts::TIMES_MAX {
            self.put_aside(Refused { ticket, reason, gate, at: now, times, apart });
        }
    }

    /// The how-manieth time that is, and whether it is the first one elsewhere; none if it is the last request again.
    fn count(&self, day: u16, asked: (KeyId, Digest), place: (TicketId, ConflictReason), elsewhere: bool) -> Option<(u32, bool)> {
        let mut counted = self.times.lock();
        let before = counted.get(&place).copied().filter(|before| before.day == day);
        if before.is_some_and(|before| before.asked == asked) {
            return None;
        }
        let (times, was_elsewhere) = before.map_or((0, false), |before| (before.times, before.elsewhere));
        let times = times.saturating_add(1);
        counted.put(place, Times { day, times, elsewhere: was_elsewhere || elsewhere, asked });
        Some((times, elsewhere && !was_elsewhere))
    }

    fn put_aside(&self, refused: Refused) {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= WAITING_MAX {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.push_back(refused);
        drop(waiting);
        self.changed.notify_one();
    }

    fn first(&self) -> Option<Refused> {
        self.waiting.lock().front().copied()
    }
}

impl Node {
    /// Notes the refusals at gates that wait for it; false if not all can be noted now. The node does so by itself; this is for whoever wants to see them.
    pub async fn note_refusals(&self) -> bool {
        let _turn = self.refusals.turn.lock().await;
        while let Some(refused) = self.refusals.first() {
            if self.health() != Health::Writing || !self.note_refusal(refused).await {
                return false;
            }
            self.refusals.waiting.lock().pop_front();
        }
        true
    }

    /// Whether a refusal needs to wait no longer: it is noted, or never will be.
    async fn note_refusal(&self, refused: Refused) -> bool {
        let Refused { ticket, reason, at, times, .. } = refused;
        let day = attempts::day_of(at);
        let key = digest(&[b"refused", &ticket.get().to_be_bytes(), reason.code().as_bytes(), &day.to_be_bytes(), &times.to_be_bytes()]);
        let is_step = attempts::is_step(times);
        let command = if is_step { attempts::Command::Refuse(refused) } else { attempts::Command::RefuseElsewhere(refused) };
        match self.attempt_owners.ask(StreamId::Attempts(day), Envelope::by_system(key), command).await {
            Ok(_) => true,
            Err(failure) if failure.is_retryable() => false,
            Err(failure) => {
                // It is known from before a restart, or as many are kept as may be.
                tracing::debug!(%ticket, %failure, "the refusal of a ticket was not noted");
                true
            }
        }
    }

    /// Notes what gates refuse when the journal writes. Runs until dropped, or the writer ends.
    pub(super) async fn keep_noting(&self) {
        let mut health = self.health.clone();
        loop {
            self.refusals.changed.notified().await;
            loop {
                if health.wait_for(|health| *health == Health::Writing).await.is_err() {
                    return;
                }
                if self.note_refusals().await {
                    break;
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// How many refusals at gates wait to be noted, and how many were not noted because too many waited.
    #[must_use]
    pub fn unnoted(&self) -> (usize, u64) {
        (self.refusals.waiting.lock().len(), self.refusals.lost.load(Ordering::Relaxed))
    }

    /// Counts a code at a gate that nobody here has signed: there is no ticket that it could be noted of.
    pub fn count_forged(&self, museum: MuseumId, gate: Code) {
        let mut forged = self.refusals.forged.lock();
        if forged.len() < GATES_MAX || forged.contains_key(&(museum, gate)) {
            *forged.entry((museum, gate)).or_default() += 1;
        }
    }

    /// How many codes were shown at each gate, since the start, that nobody here has signed.
    #[must_use]
    pub fn forged(&self) -> Vec<(MuseumId, Code, u64)> {
        self.refusals.forged.lock().iter().map(|((museum, gate), count)| (*museum, *gate, *count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use tornello_engine::ids::{HoldId, RouteId, SlotId};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_780_000_000);

    fn passage(n: u64, gate: &str) -> Passage {
        let slot = SlotId::new(MuseumId(1), RouteId(1), NOW);
        Passage { ticket: HoldId::new(slot, n).ticket(0), issue: Some(1), gate: gate.parse().unwrap(), museum: MuseumId(1), direction: Direction::In }
    }

    fn refused(refusals: &Refusals, key: u128, passage: &Passage, at: Timestamp) {
        let answer = Err(Failure::Refused(slot::Refusal::TicketInside { since: NOW }));
        refusals.hear(at, (KeyId(1), Digest(key)), passage, &answer);
    }

    fn waiting(refusals: &Refusals) -> Vec<u32> {
        refusals.waiting.lock().iter().map(|refused| refused.times).collect()
    }

    #[test]
    fn however_many_are_refused_only_so_many_wait() {
        let refusals = Refusals::new(true);
        for n in 0..WAITING_MAX as u64 + 10 {
            refused(&refusals, u128::from(n), &passage(n, "south"), NOW);
        }
        assert_eq!((waiting(&refusals).len(), refusals.lost.load(Ordering::Relaxed)), (WAITING_MAX, 10));
        let unheard = Refusals::new(false);
        refused(&unheard, 1, &passage(1, "south"), NOW);
        assert_eq!(waiting(&unheard), [0_u32; 0]);
    }

    #[test]
    fn a_flood_of_one_ticket_is_a_handful_a_day_and_a_repeat_is_no_scan() {
        let refusals = Refusals::new(true);
        for _ in 0..10 {
            refused(&refusals, 1, &passage(1, "south"), NOW);
        }
        assert_eq!(waiting(&refusals), [1]);
        for n in 0..100_000 {
            refused(&refusals, 2 + n, &passage(1, "south"), NOW);
        }
        assert_eq!(waiting(&refusals), [1, 4, 16, 64, 256]);
        refused(&refusals, 7, &passage(1, "south"), NOW.plus_seconds(86_400));
        assert_eq!(waiting(&refusals), [1, 4, 16, 64, 256, 1], "another day");
    }

    #[test]
    fn a_gate_that_reads_a_ticket_twice_has_met_nobody_else() {
        let refusals = Refusals::new(true);
        let admitted = tornello_engine::record::Record { seq: 1, at: NOW, envelope: None, events: Vec::new() };
        refusals.hear(NOW, (KeyId(1), Digest(1)), &passage(1, "north"), &Ok(admitted));
        refused(&refusals, 2, &passage(1, "north"), NOW.plus_seconds(READ_TWICE_S - 1));
        assert_eq!(waiting(&refusals), [0_u32; 0]);
        refused(&refusals, 3, &passage(1, "south"), NOW.plus_seconds(5));
        assert_eq!(waiting(&refusals), [1], "nobody is at two gates");
        refused(&refusals, 4, &passage(2, "north"), NOW.plus_seconds(5));
        refused(&refusals, 5, &passage(1, "north"), NOW.plus_seconds(READ_TWICE_S));
        assert_eq!(waiting(&refusals), [1, 1], "the second of a ticket is no step");
        refused(&refusals, 6, &Passage { direction: Direction::Out, ..passage(3, "south") }, NOW);
        assert_eq!(waiting(&refusals).len(), 2, "who goes out shares nothing");
    }

    /// A copy is tried where its holder went in, and then at another gate: that is the second refusal, of which nothing was noted.
    #[test]
    fn who_is_refused_where_somebody_went_in_and_then_elsewhere_is_noted_there_once() {
        let noted = |elsewhere_after_s: i64| {
            let refusals = Refusals::new(true);
            let admitted = tornello_engine::record::Record { seq: 1, at: NOW, envelope: None, events: Vec::new() };
            refusals.hear(NOW, (KeyId(1), Digest(1)), &passage(1, "north"), &Ok(admitted));
            let (first, then) = (NOW.plus_seconds(90), NOW.plus_seconds(elsewhere_after_s));
            for (key, gate, at) in [(2, "north", first), (3, "south", then), (3, "south", then), (4, "south", then), (5, "north", then)] {
                refused(&refusals, key, &passage(1, gate), at);
            }
            let waiting = refusals.waiting.lock();
            waiting.iter().map(|refused| (refused.times, refused.gate.as_str().to_owned(), refused.apart)).collect::<Vec<_>>()
        };
        let of = |times: u32, gate: &str, apart: bool| (times, gate.to_owned(), apart);
        assert_eq!(noted(120), [of(1, "north", false), of(2, "south", true), of(4, "north", false)]);
        assert_eq!(noted(ELSEWHERE_S - 1), [of(1, "north", false), of(2, "south", false), of(4, "north", false)], "it is read of, and no sign");
        assert_eq!(noted(ELSEWHERE_S), [of(1, "north", false), of(4, "north", false)], "who comes back from outside is likelier");
    }
}
