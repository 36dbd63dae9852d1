//! Shares the room in a building out among its slots, after each reading, when another ceiling or plan is set and before a slot reopens in which places are held, one of these
//! at a time. First the slots whose part shrinks write that down, and only then those whose part grows, or the one that reopens. So the parts in force never add up to more than
//! the room, whatever fails in between. A restart misses nothing: what is in force stands in the slots' heads.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::ToSpan;
use parking_lot::Mutex;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::envelope::Envelope;
use tornello_engine::grant::{self, Claim, Grant};
use tornello_engine::ids::{MuseumId, SlotId};
use tornello_engine::recall::Recall;
use tornello_engine::slot::{Command, Places, Policy, Refusal, Slot, Words};
use tornello_engine::time::{MICROS_PER_S, Timestamp};

use super::Node;
use crate::board::{Board, SlotHead};
use crate::digest::digest;
use crate::failure::Failure;
use crate::journal::StreamId;
use crate::museums::Known;
use crate::owner::Kept;
use crate::registry::ANSWER_WITHIN;
use crate::sensors::Occupancy;

/// What the slots of a museum were told last; none: nobody has heard whether a slot was told.
type ToldLast = HashMap<SlotId, Option<Told>>;

/// The turn of a museum: whoever holds it is the one allocator, and knows what the slots were told last.
type Turn = Arc<tokio::sync::Mutex<ToldLast>>;

/// What slots are told: people inside, and of what they were counted.
type Estimate = (Occupancy, Words);

/// The turns of all museums.
#[derive(Debug)]
pub(super) struct Grants {
    turns: Mutex<HashMap<MuseumId, Turn>>,
    /// Whether others make room for a slot that reopens.
    make_room: bool,
}

impl Grants {
    pub(super) fn new(make_room: bool) -> Self {
        Self { turns: Mutex::default(), make_room }
    }

    fn turn(&self, museum: MuseumId) -> Turn {
        Arc::clone(self.turns.lock().entry(museum).or_default())
    }
}

/// What a slot was told last.
#[derive(Debug, Clone, Copy)]
struct Told {
    at: Timestamp,
    upper: u32,
    ceiling: u32,
    size: u32,
}

/// A slot that concerns the building now.
#[derive(Debug, Clone, Copy)]
struct Standing {
    slot: SlotId,
    /// Number of its last record; 0 if there is none.
    seq: u64,
    end: Timestamp,
    policy: Policy,
    /// As last committed when the reading came. `admitted` of this moment is what all parts of this reading are counted from.
    places: Places,
    room: u32,
    /// Whether it is just about to be reopened: it counts as open.
    reopens: bool,
}

impl Standing {
    /// The places for sale, if it is: a change of them is a reason to share out anew.
    fn size(&self) -> u32 {
        if self.places.closed.is_some() { 0 } else { self.places.for_sale() }
    }

    fn claim(&self, now: Timestamp) -> Claim {
        let (promised, sells) = (promised(&self.places), now < self.end);
        Claim {
            room: self.room,
            promised: promised.saturating_sub(self.places.admitted),
            left: if sells { self.size().saturating_sub(promised) } else { 0 },
            sells,
        }
    }

    /// Whether it takes a reading of that time: its policy still believes it, and it is not over, or somebody may come late by it. Its gate goes by its last word, and would
    /// keep them out of a building that has room by now.
    fn hears(&self, measured_at: Timestamp, now: Timestamp) -> bool {
        let may_come = now < self.end || self.places.taken() > 0;
        may_come && measured_at.plus_seconds(i64::from(self.policy.stale_after_s)) > now
    }

    /// How many people may come in by it as things are on the board, counted from the same moment as its part.
    fn has(&self, board: &Board, now: Timestamp) -> u32 {
        let mut places = board.head(self.slot).map_or(self.places, |head| head.places);
        if self.reopens {
            places.closed = None;
        }
        let most = if now < self.end { in_force(&places, now).unwrap_or(places.for_sale()) } else { 0 };
        most.max(promised(&places)).saturating_sub(self.places.admitted)
    }
}

/// The places of a slot by which somebody may come: those that are taken. While it is closed nobody can buy what is held there, as an offer to whoever waited, which does not run out:
/// then it is what is sold, and the rest is promised again when it reopens.
fn promised(places: &Places) -> u32 {
    if places.closed.is_some() { places.sold.iter().fold(0, |sum: u32, sold| sum.saturating_add(*sold)) } else { places.taken() }
}

/// The most places that a slot may take by the last reading; none: its plan counts.
fn in_force(places: &Places, now: Timestamp) -> Option<u32> {
    places.live_at(now).and_then(|live| live.sellable)
}

impl Node {
    /// Shares the room of a museum out by its newest reading, if that reading or another ceiling changes enough, or what the slots were told last is getting old. A caller that
    /// comes while another one shares out waits, and finds it done; but no longer than anybody waits for an answer. What reopens a slot has the turn as long as nobody knows what became
    /// of it, and sensors and gates go on meanwhile: the next reading does it.
    pub(super) async fn share_out(&self, museum: MuseumId) {
        let turn = self.grants.turn(museum);
        let Ok(mut told) = tokio::time::timeout(ANSWER_WITHIN, turn.lock()).await else { return };
        self.share(&mut told, museum, None).await;
    }

    /// Whether a command reopens a slot in which places are held, which others may have been given meanwhile.
    pub(super) fn asks_for_room(&self, slot: SlotId, command: &Command) -> bool {
        let closed_for = match command {
            Command::Reopen => None,
            Command::ReopenWithDay { reason, still: None } | Command::ReopenAsPlanned { reason, .. } => Some(*reason),
            _ => return false,
        };
        let is_it = |places: &Places| places.closed.is_some_and(|reason| closed_for.is_none_or(|of_day| of_day == reason));
        self.grants.make_room && self.board.head(slot).is_some_and(|head| is_it(&head.places) && head.places.taken() > promised(&head.places))
    }

    /// Has the others give up what is held in a closed slot, before a command reopens it and all of that can be bought. Answers with the turn, to be kept until the slot has answered:
    /// whoever shares out before that finds it closed.
    ///
    /// # Errors
    /// `Busy` if one of the others may have it still, and why the slot cannot be asked.
    pub(super) async fn make_room(&self, slot: SlotId, envelope: &Envelope, command: &Command) -> Result<Kept, Failure<Refusal>> {
        let turn = self.grants.turn(slot.museum());
        let mut told = tokio::time::timeout(ANSWER_WITHIN, turn.lock_owned()).await.map_err(|_| Failure::Busy)?;
        // A repeat is answered as before, though it may have been closed again since, and one that is over stays closed: nobody has less for that.
        let (by, asked, now) = (envelope.clone(), command.clone(), self.clock.now());
        let reopens = move |slot: &Slot| slot.recall(&by) == Recall::New && slot.decide(now, &asked).is_ok();
        if !self.look(slot, reopens).await? {
            return Ok(Kept::default());
        }
        if self.share(&mut told, slot.museum(), Some(slot)).await { Ok(Kept::new(told)) } else { Err(Failure::Busy) }
    }

    /// Shares the room of a museum out, if it is time to, or a closed slot `reopens`, which counts as open from now on. False if it
    /// does, and somebody who was to have less for it may have as much as before.
    async fn share(&self, told: &mut ToldLast, museum: MuseumId, reopens: Option<SlotId>) -> bool {
        // Whoever brought a reading may have gone away while the slots were told: what was sent to them is done before anything else is shared out.
        let mut unheard: Vec<SlotId> = told.iter().filter(|(_, told)| told.is_none()).map(|(slot, _)| *slot).collect();
        unheard.sort_unstable();
        // All at once: while the disk stalls each is waited for, and whoever comes next with a reading waits for all of them.
        let settled = join_all(unheard.into_iter().map(|slot| async move { (slot, self.look(slot, |_| ()).await.is_ok()) })).await;
        for (slot, _) in settled.into_iter().filter(|(_, is_settled)| *is_settled) {
            told.remove(&slot);
        }
        let (Some(known), Some(estimate)) = (self.museums.get(museum), self.sensors.to_tell(museum)) else { return true };
        let occupancy = estimate.0;
        let now = self.clock.now();
        let today = calendar::local_day(now);
        let Some(ceiling) = known.museum.ceiling_on(today) else {
            told.clear();
            // By a clock that was set back it may be a day before the first ceiling: what slots have heard stands then.
            if known.museum.has_no_ceiling_on(today) {
                self.lift(&estimate, now).await;
            }
            return true;
        };
        // Before it is asked who has come in: whoever does so from here on counts as inside and as still to come, and not as neither.
        let heads = self.board.heads_of(museum);
        let measured = occupancy.inside.people.saturating_add(occupancy.inside.sd.saturating_mul(2));
        // Whom gates have let in since it was measured counts as let in by now, and no slot promises a place to them any more: there is less room by them. Who has left since
        // the next reading tells.
        let came = u32::try_from(self.buildings.since(museum, (occupancy.at, occupancy.inside)).max(0)).unwrap_or(u32::MAX);
        let upper = measured.saturating_add(came);
        let mut standings = standings(&known, heads, now, ceiling, upper);
        let reopening = standings.iter_mut().find(|standing| Some(standing.slot) == reopens);
        let is_reopened = reopening.is_some();
        if let Some(standing) = reopening {
            (standing.places.closed, standing.reopens) = (None, true);
        }
        // A gate by whose last word nobody else fits in hears of the first who leave.
        let keeps_out = |standing: &Standing| measured < ceiling && standing.places.people_upper(now).is_some_and(|people| people >= ceiling);
        let is_news = |standing: &Standing| {
            told.get(&standing.slot).copied().flatten().is_none_or(|told| {
                upper.abs_diff(told.upper) >= (ceiling / 100).max(1)
                    || (told.ceiling, told.size) != (ceiling, standing.size())
                    || now.micros_since(told.at) >= i64::from(standing.policy.stale_after_s) * MICROS_PER_S / 3
            })
        };
        let due = |standing: &Standing| standing.hears(occupancy.at, now) && (keeps_out(standing) || is_news(standing));
        if !is_reopened && !standings.iter().any(due) {
            return true;
        }
        told.retain(|slot, _| standings.iter().any(|standing| standing.slot == *slot));

        let shares = grant::parts(&standings.iter().map(|standing| standing.claim(now)).collect::<Vec<_>>());
        let heard = || standings.iter().enumerate().filter(|(_, standing)| standing.hears(occupancy.at, now));
        let part = |i: usize, share: u32| Grant { admitted: standings[i].places.admitted, share };
        let grows = |i: usize| in_force(&standings[i].places, now).is_some_and(|before| part(i, shares[i]).places() > before);

        // Until they have answered nobody knows what they have heard.
        told.extend(heard().map(|(_, standing)| (standing.slot, None)));
        let cuts: Vec<_> = heard().filter(|(i, _)| !grows(*i)).map(|(i, _)| (i, part(i, shares[i]))).collect();
        let written = self.tell_all(&standings, cuts, &estimate, ceiling).await;
        let cut_is_lost = |&(i, written): &(usize, bool)| {
            // One that is over sells nothing, whatever it has heard.
            !written && now < standings[i].end && in_force(&standings[i].places, now) != Some(part(i, shares[i]).places())
        };
        let all_cut = !written.iter().any(cut_is_lost);
        let mut outcomes = written;
        if all_cut {
            // What was sold meanwhile under an older part is sold: the raises get what is there now. Of what a slot has promised beyond that nothing is sold again when it ends.
            let mut has: Vec<_> = standings.iter().map(|standing| (standing.room, standing.has(&self.board, now))).collect();
            let mut raises = Vec::new();
            for (i, _) in heard().filter(|(i, _)| grows(*i)) {
                let share = shares[i].min(grant::spare(&has, i));
                has[i].1 = share.max(has[i].1);
                raises.push((i, part(i, share)));
            }
            outcomes.extend(self.tell_all(&standings, raises, &estimate, ceiling).await);
        }
        // Who has not heard it is told of the next reading, whatever that says.
        for (i, standing) in heard() {
            if outcomes.contains(&(i, true)) {
                told.insert(standing.slot, Some(Told { at: now, upper, ceiling, size: standing.size() }));
            }
        }
        all_cut || !is_reopened
    }

    /// Tells some slots at once; answers for each whether it has written that down.
    async fn tell_all(&self, standings: &[Standing], parts: Vec<(usize, Grant)>, estimate: &Estimate, ceiling: u32) -> Vec<(usize, bool)> {
        let tell = |(i, part): (usize, Grant)| async move {
            let Standing { slot, seq, .. } = standings[i];
            (i, self.tell_one((slot, seq), estimate, Some((ceiling, part))).await)
        };
        join_all(parts.into_iter().map(tell)).await
    }

    /// Where a museum has no ceiling any more, what its slots were told under one limits nothing from now on.
    async fn lift(&self, estimate: &Estimate, now: Timestamp) {
        let heads = self.board.heads_of(estimate.0.museum).into_iter();
        let limited = heads.filter(|(_, head)| head.places.live_at(now).is_some_and(|live| live.ceiling.is_some()));
        join_all(limited.map(|(slot, head)| self.tell_one((slot, head.seq), estimate, None))).await;
    }

    /// Tells one slot, of which so many records are known, a reading, with its part of the room under a ceiling, if there is one; answers whether it has written that down.
    async fn tell_one(&self, (slot, seq): (SlotId, u64), estimate: &Estimate, limit: Option<(u32, Grant)>) -> bool {
        let (envelope, command) = told((slot, seq), estimate, limit);
        // Nobody's places are asked for, and nothing is reopened.
        let answer = self.slots.ask(StreamId::Slot(slot), envelope, command).await;
        if let Err(failure) = &answer {
            tracing::debug!(%slot, %failure, "a slot did not take a reading");
        }
        answer.is_ok()
    }
}

/// The slots that people inside now concern, in the order of their starts: those that run, those that begin before everybody has left, and those that are over
/// but still let late visitors in; as planned, or as they were opened.
fn standings(known: &Known, heads: Vec<(SlotId, SlotHead)>, now: Timestamp, ceiling: u32, upper: u32) -> Vec<Standing> {
    let today = calendar::local_day(now);
    let mut slots = BTreeMap::new();
    for date in [today.saturating_sub(1.day()), today, today.saturating_add(1.day())] {
        for opening in known.day(date).iter().filter(|opening| now < opening.end) {
            slots.insert((opening.slot.start(), opening.slot), (0, opening.end, opening.policy, known.places(opening)));
        }
    }
    slots.extend(heads.into_iter().map(|(slot, head)| ((slot.start(), slot), (head.seq, head.end, head.policy, head.places))));
    let standing = |((start, slot), (seq, end, policy, places)): ((Timestamp, SlotId), (u64, Timestamp, Policy, Places))| {
        let concerns = now <= end.plus_seconds(i64::from(policy.admit_late_s)) && start < now.plus_seconds(i64::from(policy.dwell_s));
        let room = grant::room(ceiling, upper, start.micros_since(now), policy.dwell_s)?;
        concerns.then_some(Standing { slot, seq, end, policy, places, room, reopens: false })
    };
    slots.into_iter().filter_map(standing).collect()
}

/// What a slot is told of one reading: its part of the room, or none where nothing limits it. The key also follows from the slot's last record: if a ceiling is set to and fro
/// the slot may be told the same again, and that is no repeat.
fn told((slot, seq): (SlotId, u64), (occupancy, words): &Estimate, limit: Option<(u32, Grant)>) -> (Envelope, Command) {
    let Occupancy { inside, at, sensor, who, .. } = *occupancy;
    let of_part = limit.map_or_else(Vec::new, |(ceiling, part)| vec![ceiling, part.admitted, part.share]);
    let numbers: Vec<u8> = [inside.people, inside.sd].into_iter().chain(of_part).flat_map(u32::to_be_bytes).collect();
    let (at_us, slot, seq) = (at.as_micros().to_be_bytes(), slot.get().to_be_bytes(), seq.to_be_bytes());
    let key = digest(&[b"reading", sensor.as_str().as_bytes(), &at_us, &numbers, &slot, &seq]);
    let envelope = Envelope { who, key, body: key, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() };
    let (ceiling, grant) = limit.unzip();
    let words = words.clone();
    let command = Command::Observe { source: sensor, inside: inside.people, sd: inside.sd, measured_at: at, ceiling, grant, words };
    (envelope, command)
}
