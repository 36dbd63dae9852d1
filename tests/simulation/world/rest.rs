//! What must hold at rest, and at the end of a run.

use std::collections::BTreeMap;

use tornello_actors::board::SlotHead;
use tornello_actors::moves;
use tornello_actors::node::FORGET_AFTER_S;
use tornello_actors::sensors::Occupancy;
use tornello_actors::verify::verify;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Party, PartyKind};
use tornello_engine::ids::{KeyId, TicketId};
use tornello_engine::money::Cents;
use tornello_engine::slot::{FRAUD, Places, Sale, Standing, Ticket, WaitingEnd};

use super::*;
use crate::callers::BUYERS;
use crate::naive::{DAY_S, Fate, Naive, Read, Suspected, Turn};

impl World {
    /// At rest, everything that can be asked of the node is what the auditor's lists say: state, counters, board.
    pub(super) async fn compare(&mut self) -> Result<(), Halt> {
        if self.disk.unreadable.load(Ordering::SeqCst) || self.disk.outage.load(Ordering::SeqCst) {
            return Ok(());
        }
        if self.node().health() == Health::Writing {
            // What is due in a slot whose answer was lost the board knows once somebody has read it back.
            for slot in self.slots.clone() {
                let _ = self.look_at(slot, false, |_| ()).await?;
            }
        }
        self.end_due(false).await?;
        if self.node().health() != Health::Writing {
            return Ok(());
        }
        self.counts.compared += 1;
        self.auditor.moves_add_up()?;
        let mut are_all_seen = true;
        for slot in self.slots.clone() {
            let listed = self.auditor.slots.get(&slot).map(standings);
            let look = move |slot: &Slot| {
                let is_listed = listed.as_ref().is_none_or(|listed| listed(slot));
                let had = BUYERS.map(|buyer| (slot.had(buyer).people, slot.had(buyer).holds));
                let contested: Vec<_> = slot.conflicts().map(|(scan, reason)| (*scan, reason)).collect();
                (postcard::to_allocvec(slot), slot.recount(), slot.money(), (is_listed, had, contested, sums_of(slot), suspected_of(slot)))
            };
            let seen = self.look_at(slot, false, look).await?;
            let Ok((Ok(state), sound, money, (is_listed, had, contested, sums, suspected))) = seen else {
                // A slot that was rebuilt too often is out of order for one caller.
                are_all_seen = false;
                continue;
            };
            rule(sound.is_ok(), "a recount differs").map_err(|wrong| format!("{wrong}: {sound:?}"))?;
            let (now, head) = (self.now(), self.node().board().head(slot));
            let Some(naive) = self.auditor.slots.get(&slot) else {
                rule(head.is_none(), "the board shows a slot that nobody wrote to")?;
                continue;
            };
            let replayed = Slot::replay(&naive.records).and_then(|slot| postcard::to_allocvec(&slot).ok());
            rule(replayed.as_ref() == Some(&state), "the live state is not the replayed one (SL-4)")?;
            rule(naive.money() == (money.0.get(), money.1.get()), "the cents do not add up (SL-6)")?;
            rule(naive.sums() == sums, "of some sale something else was paid back, told or carried away, or may be paid back (SL-6, SL-10)")
                .map_err(|wrong| format!("{wrong}: {sums:?}, not {:?}", naive.sums()))?;
            rule(naive.suspected() == suspected, "a ticket is blocked, or looked at, otherwise than was said")
                .map_err(|wrong| format!("{wrong}: {suspected:?}, not {:?}", naive.suspected()))?;
            let Some(head) = head else {
                // Also the last record may say how late it was, if the clock was set back since.
                let latest = naive.records.last().map_or(now, |record| record.at.max(now));
                rule(naive.opening.end < latest.plus_seconds(-FORGET_AFTER_S), "the board does not show a slot")?;
                continue;
            };
            rule(head.seq == naive.records.len() as u64, "the board shows another record than the last")?;
            rule(BUYERS.map(|buyer| naive.had(buyer)) == had, "buyers have something else than is counted (SL-11)")?;
            rule(naive.contested() == contested, "other scans are listed as conflicts than stand against what was seen")
                .map_err(|wrong| format!("{wrong}: {contested:?}, not {:?}", naive.contested()))?;
            rule(is_listed, "the waiting list is another one than the auditor's (SL-9)")?;
            let late = naive.live().find(|(id, hold)| naive.ends_at(**id, hold) <= now);
            rule(late.is_none(), "a hold neither ends nor lives (SL-8)")?;
            rule(!naive.keeps_waiting(now), "somebody waits though there are places for them, or sales have ended (SL-9)")?;
            rule(naive.next_freed().is_none_or(|until| now < until), "places neither rest nor are free (SL-13)")?;
            same_head(&head, naive, now)?;
        }
        if are_all_seen {
            self.auditor.rests();
            for museum in &MUSEUMS[..2] {
                let Some(occupancy) = self.node().sensors().occupancy(*museum) else { continue };
                self.auditor.building_counts(*museum, occupancy.at, self.node().passed_since(&occupancy))?;
            }
            self.buyers_have_what_is_counted().await?;
        }
        Ok(())
    }

    /// Whoever asks for more people than anybody may have of a day is told how many they have: of each day one buyer, each time the next, and nothing comes of it.
    async fn buyers_have_what_is_counted(&mut self) -> Result<(), Halt> {
        if self.policy.limits.day_max.is_none() {
            return Ok(());
        }
        let today = calendar::local_day(self.now());
        // A node may have forgotten days that are over.
        let to_come = self.slots.iter().filter(|slot| self.auditor.slots.contains_key(slot) && calendar::local_day(slot.start()) >= today);
        let days: BTreeMap<_, SlotId> = to_come.map(|slot| ((slot.museum(), calendar::local_day(slot.start())), *slot)).collect();
        let buyer = BUYERS[(self.counts.compared % BUYERS.len() as u64) as usize];
        for slot in days.into_values() {
            let parties = vec![Party { kind: PartyKind::Buyer, pseudonym: buyer }];
            let (who, key) = (KeyId(1), Digest(1));
            let envelope = Envelope { who, key, body: key, parties, assessment: None, order: None, formerly: Vec::new() };
            let node = Arc::clone(self.node());
            let asked = async move { node.slot(slot, envelope, callers::too_many(slot)).await }.boxed_local();
            let answer = self.drive(asked, false).await?;
            let counted = self.auditor.has_of_day(slot, &[buyer]);
            let is_so = match &answer {
                Err(Failure::Refused(Refusal::TooManyForDay { has, .. })) => *has == counted,
                // Whether it is a repeat could not be seen.
                Err(failure) => failure.is_retryable() || matches!(failure, Failure::OutOfOrder(_)),
                Ok(_) => false,
            };
            rule(is_so, "a buyer has something else of a day than is counted")
                .map_err(|wrong| format!("{wrong}: {counted} on the day of slot {slot}, and {answer:?}"))?;
        }
        Ok(())
    }

    /// What a node shows when it has started, before anybody asks for a slot, is what the lists say.
    pub(super) fn shows_what_it_ended_with(&self) -> Result<(), String> {
        let now = self.now();
        for (slot, naive) in &self.auditor.slots {
            let Some(head) = self.node().board().head(*slot) else {
                rule(naive.opening.end.plus_seconds(3 * DAY_S) < now, "a start does not show a slot")?;
                continue;
            };
            rule(head.seq == naive.records.len() as u64, "a start shows another record of a slot than the last")?;
            same_head(&head, naive, now).map_err(|wrong| format!("at a start {wrong}"))?;
        }
        MUSEUMS[..2].iter().try_for_each(|museum| self.knows_who_is_inside(*museum))
    }

    /// A start has the last reading of a building from its slots, and counts who passed the gates since. Those that ended days ago it forgets, as soon as their heads are saved:
    /// whether it had counted by them before is not seen.
    fn knows_who_is_inside(&self, museum: MuseumId) -> Result<(), String> {
        let of_museum: Vec<(&SlotId, &Naive)> = self.auditor.slots.iter().filter(|(slot, _)| slot.museum() == museum).collect();
        let is_shown = |slot: &SlotId| self.node().board().head(*slot).is_some();
        let forgotten: Vec<SlotId> = of_museum.iter().map(|(slot, _)| **slot).filter(|slot| !is_shown(slot)).collect();
        let occupancy = self.node().sensors().occupancy(museum);
        let said = occupancy.map(|occupancy| {
            let Occupancy { at, inside, sensor, .. } = occupancy;
            ((at, inside.people, inside.sd, sensor), self.node().passed_since(&occupancy))
        });
        let is_one = |which: u64| {
            let counts = |slot: &SlotId| forgotten.iter().position(|other| other == slot).is_none_or(|place| which >> place & 1 == 1);
            let known: Vec<&Naive> = of_museum.iter().filter(|(slot, _)| counts(slot)).map(|(_, naive)| *naive).collect();
            found_by_a_start(&known, said)
        };
        let heard = |(slot, naive): &(&SlotId, &Naive)| (**slot, naive.last_read(), naive.came_since(), naive.now(Timestamp::MIN));
        rule((0..1 << forgotten.len().min(12)).any(is_one), "a start knows another reading of a building than the last, or counts others since")
            .map_err(|wrong| {
                format!("{wrong}: {said:?} in museum {}, by {:?} without {forgotten:?}", museum.0, of_museum.iter().map(heard).collect::<Vec<_>>())
            })
    }

    /// The end: the clock goes on and wakes what is due by itself; the journal is verified, and a last start finds the same.
    pub(super) async fn end(&mut self) -> Result<(), Halt> {
        let writes = self.node().health() == Health::Writing;
        self.disk.outage.store(false, Ordering::SeqCst);
        self.disk.unreadable.store(false, Ordering::SeqCst);
        if !writes {
            self.stop().await?;
            self.restart().await?;
        }
        self.compare().await?;
        if self.dice.chance(50) {
            self.end_due(false).await?;
            let node = Arc::clone(self.node());
            let left = self.drive(async move { moves::resume(&node).await }.boxed_local(), false).await?;
            self.line(format_args!("moves are resumed, {left} are left"));
        }
        self.line(format_args!("the node is left to itself"));
        let node = Arc::clone(self.node());
        let merges = !self.auditor.told.is_empty();
        self.life.clock.let_wake();
        // What gates were told is merged by itself.
        self.drive(async move { until(|| node.unrecorded() == 0).await }.boxed_local(), false).await??;
        self.audit()?;
        if merges {
            let node = Arc::clone(self.node());
            rule(self.drive(async move { node.end_forks().await }.boxed_local(), false).await?, "what gates were told is not written at rest")?;
            self.counts.merged += self.auditor.all_is_merged()? as u64;
        }
        // Moves that were left under way go on by themselves, before anybody would wait too long for an answer.
        let node = Arc::clone(self.node());
        self.drive(async move { until(|| node.board().moving().is_empty()).await }.boxed_local(), false).await??;
        self.finish_cases().await?;
        self.finish_days().await?;
        // The wall clock may have been set back by days.
        let ends = |naive: &Naive| naive.live().map(|(id, hold)| naive.ends_at(*id, hold)).max();
        let last = self.auditor.slots.values().filter_map(ends).max();
        self.pass(last.map_or(0, |last| last.micros_since(self.now()) / 1_000_000) + 1);
        let node = Arc::clone(self.node());
        self.drive(async move { until(|| node.board().due(node.now()).is_empty()).await }.boxed_local(), false).await??;
        // New ones are the offers that those became.
        let now = self.now();
        let is_late = |naive: &Naive| naive.live().any(|(id, hold)| naive.ends_at(*id, hold) <= now);
        rule(!self.auditor.slots.values().any(is_late), "holds live after their time, though the clock goes on (SL-8)")?;
        // Sales end, and nobody waits any longer.
        let ends = self.auditor.slots.values().map(|naive| naive.opening.end).max();
        self.pass(ends.map_or(0, |end| end.micros_since(self.now()) / 1_000_000).max(0) + 1);
        let node = Arc::clone(self.node());
        self.drive(async move { until(|| node.board().next_wake().is_none()).await }.boxed_local(), false).await??;
        let left = self.auditor.slots.values().map(|naive| naive.live().count() + naive.waiting().count()).sum::<usize>();
        rule(left == 0, "somebody waits or holds when all is over")?;
        rule(self.auditor.slots.values().all(|naive| naive.next_freed().is_none()), "places rest when all is over (SL-13)")?;
        rule(self.auditor.moves_add_up()? == 0, "a move is under way when all is over")?;
        self.stop().await?;
        let (mount, _) = self.disk.mount();
        let verified = verify(mount.as_ref(), false, |_| {}).await.map_err(|error| error.to_string())?;
        let mut sums = [(0, 0); 2];
        for (slot, naive) in &self.auditor.slots {
            let (paid, refunded) = naive.money();
            let of = &mut sums[usize::from(slot.museum() == MUSEUMS[1])];
            *of = (of.0 + paid, of.1 + refunded);
        }
        for (museum, sums) in MUSEUMS.iter().zip(sums) {
            let verified = verified.museums.get(museum).map(|sums| (sums.paid_cents.get(), sums.refunded_cents.get()));
            rule(verified == Some(sums), "the verified sums are not those of the lists")?;
        }
        self.restart().await?;
        self.compare().await?;
        self.stop().await?;
        self.count();
        let end = self.disk.end();
        self.line(format_args!("the journal ends with {end}"));
        Ok(())
    }
}

/// Whether a start finds that by these slots, in their order: the last reading that they have heard, of one instant the one by which most may be inside, and who passed their gates
/// since. Of each slot that has heard it that is who came since then, less who left; of one that has not, who came since its own, if something was written of it after the last one and
/// more came than left.
fn found_by_a_start(known: &[&Naive], said: Option<(Read, i64)>) -> bool {
    let last = known.iter().filter_map(|naive| naive.last_read()).map(|read| (read.0, upper(read))).max();
    let (Some((at, upper_of_last)), Some((read, passed))) = (last, said) else { return last.is_none() && said.is_none() };
    let is_heard = known.iter().any(|naive| naive.last_read() == Some(read));
    // When they passed is not known: those who came, when the last record was written; those who left, before the reading.
    let counted = known.iter().filter_map(|naive| {
        let (last_at, came) = (naive.now(Timestamp::MIN), naive.came_since());
        let people = match naive.inside_then() {
            Some((measured_at, _)) if measured_at == at => came,
            _ if last_at > at => came.max(0),
            _ => 0,
        };
        (people != 0).then_some((if people > 0 { last_at } else { at }, people))
    });
    // Whoever passed a day before another one is forgotten.
    let mut kept: Vec<(Timestamp, i64)> = Vec::new();
    for counts in counted {
        while kept.first().is_some_and(|first| counts.0 > first.0.plus_seconds(DAY_S)) {
            kept.remove(0);
        }
        kept.push(counts);
    }
    is_heard && (read.0, upper(read)) == (at, upper_of_last) && passed == kept.iter().map(|(_, people)| people).sum::<i64>()
}

/// The most people inside by a reading.
const fn upper((_, people, sd, _): Read) -> u32 {
    people + 2 * sd
}

/// What [`Naive::sums`] says, as the slot does.
pub fn sums_of(slot: &Slot) -> Vec<(HoldId, [i64; 4])> {
    let of_sale = |sale: &Sale| {
        let cents = [sale.refunded_cents, sale.handed_over_cents, sale.carried_cents].map(Cents::get);
        [cents[0], cents[1], cents[2], i64::from(sale.refund_percent_max)]
    };
    let mut sums: Vec<(HoldId, [i64; 4])> = slot.sales().map(|(id, sale)| (*id, of_sale(sale))).collect();
    sums.sort_unstable();
    sums
}

/// What [`Naive::suspected`] says, as the slot does.
fn suspected_of(slot: &Slot) -> Vec<(TicketId, Suspected)> {
    let of_sale = |(id, sale): (&HoldId, &Sale)| {
        let of = |(number, ticket): (u16, &Ticket)| {
            let is_fraud = ticket.blocked.is_some_and(|reason| reason.as_str() == FRAUD);
            let by_staff = sale.beneath.contains_key(&number) || (ticket.blocked.is_some() && !is_fraud);
            (id.ticket(number), (by_staff, is_fraud, ticket.review_until))
        };
        (0..).zip(&sale.tickets).map(of).collect::<Vec<_>>()
    };
    let mut suspected: Vec<(TicketId, Suspected)> = slot.sales().flat_map(of_sale).collect();
    suspected.sort_unstable();
    suspected
}

fn same_head(head: &SlotHead, naive: &Naive, now: Timestamp) -> Result<(), String> {
    rule(Some(head.at) == naive.records.last().map(|last| last.at), "the board shows another time than that of the last record")?;
    rule((head.end, head.policy) == (naive.opening.end, naive.opening.policy), "the board shows a slot otherwise than it was opened")?;
    rule(head.waiting as usize == naive.waiting().count(), "the board shows that others wait than do (SL-9)")?;
    rule(head.moving as usize == naive.moving(), "the board shows other moves under way than there are")?;
    rule(head.owing as usize == naive.owed.len(), "the board shows that another number of refunds is owed (SL-10)")?;
    same_places(&head.places, naive, now)
}

fn same_places(places: &Places, naive: &Naive, now: Timestamp) -> Result<(), String> {
    for channel in Channel::ALL {
        let index = channel.index();
        let of_naive = (naive.held_by(channel), naive.sold_by(channel), naive.room(now, channel));
        let shown = (places.held[index], places.sold[index], places.available(channel, now).0);
        rule(shown == of_naive, "the board shows other places than there are").map_err(|wrong| format!("{wrong}: {shown:?}, not {of_naive:?}"))?;
    }
    rule(places.closed == naive.closed, "the board shows a slot open that is closed, or the other way round, or closed for something else")
        .map_err(|wrong| format!("{wrong}: {:?}, not {:?}", places.closed, naive.closed))?;
    rule(places.resting == naive.resting(), "other places rest than are counted (SL-13)")?;
    rule(places.conflicts == naive.conflicts, "the board shows other conflicts than there are")?;
    let inside_then = places.live.map(|live| (live.measured_at, live.inside_then));
    rule(inside_then == naive.inside_then(), "others were inside by the last reading than are counted")
        .map_err(|wrong| format!("{wrong}: {inside_then:?}, not {:?}", naive.inside_then()))?;
    rule((places.admitted, places.inside) == (naive.admitted(), naive.inside()), "the board shows other visitors than there are")
}

/// Says of a slot whether its waiting list is that of the auditor: who waits in which order, and how everybody else has ended.
fn standings(naive: &Naive) -> impl Fn(&Slot) -> bool + Clone + Send + use<> {
    let waiting: Vec<(u64, HoldId)> = (1..).zip(&naive.entries).filter(|(_, entry)| entry.turn == Turn::Waiting).map(|(n, e)| (n, e.id)).collect();
    let stands: Vec<(HoldId, Option<WaitingEnd>)> = naive
        .entries
        .iter()
        .filter_map(|entry| {
            let end = match entry.turn {
                Turn::Waiting => return None,
                Turn::Left => Some(WaitingEnd::Left),
                Turn::InVain => Some(WaitingEnd::SalesEnded),
                Turn::Offered => match naive.holds[&entry.id].fate {
                    Fate::Live => None,
                    Fate::Sold => Some(WaitingEnd::Taken),
                    Fate::Released => Some(WaitingEnd::Declined),
                    Fate::Expired => Some(WaitingEnd::Lapsed),
                },
            };
            Some((entry.id, end))
        })
        .collect();
    move |slot| {
        let told = |(entry, end): &(HoldId, Option<WaitingEnd>)| match (slot.standing_of(*entry), end) {
            (Some(Standing::Offered(_)), None) => true,
            (Some(Standing::Ended(ended)), Some(end)) => ended.how == *end,
            // An end is forgotten after a day.
            (None, Some(_)) => true,
            _ => false,
        };
        slot.waiting().map(|party| (party.number, party.entry)).eq(waiting.iter().copied()) && stands.iter().all(told)
    }
}
