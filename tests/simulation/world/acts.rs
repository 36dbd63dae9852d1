//! What callers do, and what befalls a node between their commands: they ask, ask again and stop waiting; time passes, owners are slow or panic, moves are driven.

use std::sync::atomic::AtomicBool;

use tornello_actors::moves;
use tornello_engine::envelope::{Digest, Envelope, Party, PartyKind};
use tornello_engine::recall::REMEMBERED_S;
use tornello_engine::slot::CancelCause;
use tornello_engine::time::MICROS_PER_S;

use super::*;
use crate::PANIC;
use crate::naive::{DAY_S, Naive, Stage};

impl World {
    /// The flow of a move goes on, or begins: to its end, or until whoever drives it goes away. What callers ask between its steps comes in other rounds. It is driven
    /// while nothing else is on its way, since its driver waits from step to step for what is written.
    pub(super) async fn drive_a_move(&mut self) -> Result<(), Halt> {
        self.end_due(true).await?;
        let patience = self.dice.weighted(&[(1, 0), (3, 1), (2, 2), (6, usize::MAX)]);
        let under_way = self.under_way();
        if !under_way.is_empty() && self.dice.chance(12) {
            // So long that the keys of its steps are forgotten.
            self.pass(DAY_S + HOUR_S);
            self.end_due(true).await?;
            self.choose_slots();
        }
        if !under_way.is_empty() && self.dice.chance(60) {
            let (source, arrival) = self.dice.pick(&under_way);
            return self.go_on_with_a_move(source, arrival, patience).await;
        }
        let slot = self.slots[self.slots.len() - 1 - self.dice.index(4)];
        let (now, envelope) = (self.now(), callers::envelope(&mut self.dice));
        let command = self.callers.ask_to_move(&mut self.dice, &self.slots, slot, envelope.who, now, self.auditor.slots.get(&slot));
        self.begin_a_move(slot, envelope, command, patience).await
    }

    /// The moves under way, each with the slot that it leaves.
    pub(super) fn under_way(&self) -> Vec<(SlotId, HoldId)> {
        let begun = |naive: &Naive| naive.moves.iter().filter(|(_, moved)| moved.stage == Stage::Begun).map(|(id, _)| *id).collect::<Vec<_>>();
        self.auditor.slots.iter().flat_map(|(slot, naive)| begun(naive).into_iter().map(|arrival| (*slot, arrival))).collect()
    }

    pub(super) async fn go_on_with_a_move(&mut self, source: SlotId, arrival: HoldId, patience: usize) -> Result<(), Halt> {
        let node = Arc::clone(self.node());
        self.line(format_args!("the move to {arrival} goes on, for {patience} batches"));
        let advanced = self.drive_for(async move { moves::advance(&node, source, arrival).await }.boxed_local(), true, patience).await?;
        match advanced {
            None => self.finish().await,
            Some(Err(failure)) => {
                self.line(format_args!("it does not: {failure}"));
                Ok(())
            }
            Some(Ok(())) => {
                self.audit()?;
                let stage = self.auditor.slots[&source].moves[&arrival].stage;
                Ok(rule(stage != Stage::Begun, "a move is under way that was driven to its end")?)
            }
        }
    }

    pub(super) async fn begin_a_move(&mut self, slot: SlotId, envelope: Envelope, command: Command, patience: usize) -> Result<(), Halt> {
        let Command::BeginMove { arrival, .. } = command else { return Ok(()) };
        let (now, node) = (self.now(), Arc::clone(self.node()));
        self.line(format_args!("{} moves from slot {slot}, for {patience} batches: {command:?}", envelope.who.0));
        let sending = self.auditor.sent(slot, envelope.clone(), command.clone(), now);
        // What comes back is not the answer to this one command.
        self.auditor.sendings[sending].outcome = Outcome::Unknown;
        let flow = async move { moves::move_tickets(&node, slot, envelope, command).await };
        let Some(moved) = self.drive_for(flow.boxed_local(), true, patience).await? else { return self.finish().await };
        self.line(format_args!("it is answered {:?}", moved.as_ref().map(|moved| moved.id).map_err(ToString::to_string)));
        self.audit()?;
        let stage = self.auditor.slots.get(&slot).and_then(|naive| naive.moves.get(&arrival)).map(|moved| moved.stage);
        match moved {
            Ok(moved) => rule((moved.id, Some(Stage::Done)) == (arrival, stage), "a move is acknowledged that was not made")?,
            Err(Failure::Refused(_)) => rule(matches!(stage, None | Some(Stage::Undone)), "a move is refused that was made, or is under way")?,
            Err(_) => {}
        }
        Ok(())
    }

    pub(super) async fn act(&mut self) -> Result<(), Halt> {
        match self.dice.below(100) {
            0..8 => {
                if self.life.standing.is_none() {
                    // Nothing that becomes due could be ended now.
                    return Ok(());
                }
                let seconds = self.dice.weighted(&[(40, 1), (30, 45), (20, 400), (8, 1_000), (2, HOUR_S)]);
                let seconds = self.dice.within(0, seconds);
                self.pass(self.until_a_moment(seconds));
                Ok(())
            }
            8..12 => self.wake().await,
            12..14 => self.panic_in_an_owner().await,
            14..17 => self.pile_up().await,
            17..19 => {
                self.stop_waiting();
                Ok(())
            }
            19 => {
                self.line(format_args!("the node is killed"));
                self.crash()
            }
            20..22 => self.retire().await,
            22..26 => self.ask_everywhere().await,
            26..30 => self.ask_for_more().await,
            _ => {
                let (slot, envelope, command) = self.request();
                self.send(slot, envelope, command).await
            }
        }
    }

    /// Somebody asks for places in several slots of a museum at once: what they may have over all of them no slot knows.
    async fn ask_everywhere(&mut self) -> Result<(), Halt> {
        let museum = self.dice.pick(&MUSEUMS[..2]);
        let parties = vec![callers::a_buyer(&mut self.dice)];
        let slots: Vec<SlotId> = self.slots.iter().rev().filter(|slot| slot.museum() == museum).copied().take(3).collect();
        for slot in slots {
            let envelope = Envelope { parties: parties.clone(), formerly: Vec::new(), ..callers::envelope(&mut self.dice) };
            let command = self.callers.places(&mut self.dice, slot, envelope.who);
            self.send(slot, envelope, command).await?;
        }
        Ok(())
    }

    /// Whoever has most of what anybody may have asks for more of it, in some slot of the museum.
    async fn ask_for_more(&mut self) -> Result<(), Halt> {
        let slot = self.slots[self.slots.len() - 1 - self.dice.index(4)];
        let most = |buyer: &Digest| self.auditor.has_of_day(slot, &[*buyer]) + 4 * self.auditor.open_at(slot.museum(), &[*buyer]);
        let buyer = callers::BUYERS.into_iter().max_by_key(most).unwrap_or(callers::BUYERS[0]);
        let envelope = self.envelope_of(buyer);
        let command = self.callers.places(&mut self.dice, slot, envelope.who);
        self.send(slot, envelope, command).await
    }

    fn envelope_of(&mut self, buyer: Digest) -> Envelope {
        let parties = vec![Party { kind: PartyKind::Buyer, pseudonym: buyer }];
        Envelope { parties, formerly: Vec::new(), ..callers::envelope(&mut self.dice) }
    }

    pub(super) fn slots_of(&self, museum: MuseumId) -> Vec<SlotId> {
        self.slots.iter().copied().filter(|slot| slot.museum() == museum).collect()
    }

    /// A buyer takes places, or gives some back, or a ticket, and the disk goes away with the answer. Then the same buyer asks for more at the museum, or for more than anybody
    /// may have, while the disk is away or as it comes back: what is written counts by then, and what may have been written as well.
    pub(super) async fn ask_while_unsure(&mut self) -> Result<(), Halt> {
        self.end_due(true).await?;
        let slot = self.slots[self.slots.len() - 1 - self.dice.index(4)];
        let others = self.slots_of(slot.museum());
        for slot in &others {
            if self.look_at(*slot, true, |_| ()).await?.is_err() {
                return Ok(());
            }
        }
        if self.node().health() != Health::Writing {
            return Ok(());
        }
        let held: Vec<(HoldId, Digest)> = self.auditor.slots.get(&slot).map(Naive::held_by_buyers).unwrap_or_default();
        let bought: Vec<(HoldId, u16, Digest)> = self.auditor.slots.get(&slot).map(Naive::bought_by_buyers).unwrap_or_default();
        let (envelope, command, buyer) = if !bought.is_empty() && self.dice.chance(30) {
            let (sale, number, buyer) = self.dice.pick(&bought);
            let command = Command::Cancel { sale, owner: None, tickets: vec![number], cause: CancelCause::Museum };
            (self.envelope_of(buyer), command, buyer)
        } else if !held.is_empty() && self.dice.chance(60) {
            let (hold, buyer) = self.dice.pick(&held);
            (self.envelope_of(buyer), Command::Release { hold, owner: None }, buyer)
        } else {
            let buyer = self.dice.pick(&callers::BUYERS);
            let envelope = self.envelope_of(buyer);
            let command = self.callers.places(&mut self.dice, slot, envelope.who);
            (envelope, command, buyer)
        };
        let first = self.auditor.sent(slot, envelope.clone(), command.clone(), self.now());
        self.line(format_args!("{first}: {} asks slot {slot}, as the disk goes away: {command:?}", envelope.who.0));
        let node = Arc::clone(self.node());
        let asked = async move { node.slot(slot, envelope, command).await }.boxed_local();
        if let Some(answer) = self.drive_for(asked, false, 0).await? {
            // It was refused.
            self.auditor.sendings[first].outcome = Outcome::Answered(answer);
            return self.audit();
        }
        self.auditor.sendings[first].outcome = Outcome::Unknown;
        self.disk.outage.store(true, Ordering::SeqCst);
        let verdict = self.dice.weighted(&[(6, Verdict::AnswerLost), (3, Verdict::FoundLater), (1, Verdict::Lost)]);
        self.decide(verdict).await?;
        self.counts.unsure += 1;
        // Who reads what is there knows of it, though the journal does not write.
        let mut is_read = self.dice.chance(60);
        if is_read {
            for slot in &others {
                is_read &= self.look_at(*slot, false, |_| ()).await?.is_ok();
            }
        }
        let at = self.dice.pick(&others);
        let envelope = self.envelope_of(buyer);
        let command = if self.dice.chance(50) { callers::too_many(at) } else { self.callers.places(&mut self.dice, at, envelope.who) };
        let before = self.auditor.counted_of(at, &[buyer]);
        let second = self.auditor.sent(at, envelope.clone(), command.clone(), self.now());
        self.line(format_args!("{second}: {} asks slot {at} for the same buyer: {command:?}", envelope.who.0));
        let node = Arc::clone(self.node());
        let mut asked = async move { node.slot(at, envelope, command).await }.boxed_local();
        let at_once = (&mut asked).now_or_never();
        if self.dice.chance(50) {
            self.disk.outage.store(false, Ordering::SeqCst);
        }
        let answer = match at_once {
            Some(answer) => answer,
            None => self.drive(asked, false).await?,
        };
        self.line(format_args!("{second}: {:?}", answer.as_ref().map(|record| record.seq).map_err(ToString::to_string)));
        self.auditor.sendings[second].outcome = Outcome::Answered(answer);
        self.audit()?;
        self.auditor.is_limited_though_unsure(second, before, is_read)?;
        if self.dice.chance(80) {
            self.come_back().await?;
        }
        Ok(())
    }

    /// A buyer asks for places of one slot of a museum, and for some of another one when these are written, before whoever asked has heard of it: what they have counts once.
    pub(super) async fn ask_before_it_is_heard(&mut self) -> Result<(), Halt> {
        self.end_due(true).await?;
        let museum = self.dice.pick(&MUSEUMS[..2]);
        let slots = self.slots_of(museum);
        let (first, second, buyer) = (self.dice.pick(&slots), self.dice.pick(&slots), self.dice.pick(&callers::BUYERS));
        for slot in [first, second] {
            if self.look_at(slot, true, |_| ()).await?.is_err() {
                return Ok(());
            }
        }
        if self.node().health() != Health::Writing {
            return Ok(());
        }
        self.plug().await?;
        if self.life.standing.is_none() || self.down.contains(&first) || self.down.contains(&second) {
            return self.finish().await;
        }
        let (envelope, node) = (self.envelope_of(buyer), Arc::clone(self.node()));
        let command = self.callers.places(&mut self.dice, first, envelope.who);
        let asked = self.auditor.sent(first, envelope.clone(), command.clone(), self.now());
        self.line(format_args!("{asked}: {} asks slot {first}, and does not hear yet: {command:?}", envelope.who.0));
        let mut answer = async move { node.slot(first, envelope, command).await }.boxed_local();
        if let Some(known) = (&mut answer).now_or_never() {
            answer = std::future::ready(known).boxed_local();
        }
        self.wait_for_owner(first).await?;
        let is_settled = self.look_at(first, false, |_| ()).await?.is_ok();
        let (envelope, node) = (self.envelope_of(buyer), Arc::clone(self.node()));
        let command = if self.dice.chance(50) { callers::too_many(second) } else { self.callers.places(&mut self.dice, second, envelope.who) };
        let beside = self.auditor.sent(second, envelope.clone(), command.clone(), self.now());
        self.line(format_args!("{beside}: {} asks slot {second} for the same buyer: {command:?}", envelope.who.0));
        let other = self.drive(async move { node.slot(second, envelope, command).await }.boxed_local(), false).await?;
        let heard = self.drive(answer, false).await?;
        for (sending, answer) in [(asked, heard), (beside, other)] {
            self.line(format_args!("{sending}: {:?}", answer.as_ref().map(|record| record.seq).map_err(ToString::to_string)));
            self.auditor.sendings[sending].outcome = Outcome::Answered(answer);
        }
        self.audit()?;
        if is_settled { Ok(self.auditor.is_limited(beside)?) } else { Ok(()) }
    }

    /// A new command, or one that was sent before: by a caller who was not answered, by one who is impatient, or under a key that says something else now.
    pub(super) fn request(&mut self) -> (SlotId, Envelope, Command) {
        if !self.kept.is_empty() && self.dice.chance(30) {
            // A gate sends in what it was told to keep.
            let (scan, issue) = self.kept.swap_remove(self.dice.index(self.kept.len()));
            let (slot, envelope) = (scan.ticket.slot(), callers::envelope(&mut self.dice));
            return (slot, envelope, Command::Merge { scan, issue, museum: slot.museum() });
        }
        if !self.late.is_empty() && self.dice.chance(40) {
            let late = self.dice.index(self.late.len());
            let late = self.late.swap_remove(late);
            return self.repeat(late);
        }
        let sent = self.auditor.sendings.len();
        let slot = self.slots[self.slots.len() - 1 - self.dice.index(4)];
        let now = self.now();
        let mut envelope = callers::envelope(&mut self.dice);
        if sent > 0 && self.dice.chance(12) {
            let back = self.dice.index(sent.min(30));
            return self.repeat(sent - 1 - back);
        }
        let mut slot = slot;
        if sent > 0 && self.dice.chance(4) {
            let known = &self.auditor.sendings[sent - 1 - self.dice.index(sent.min(30))];
            slot = known.slot;
            envelope = Envelope { body: envelope.body, assessment: None, ..known.envelope.clone() };
        }
        let command = self.callers.ask(&mut self.dice, &self.slots, slot, envelope.who, now, self.auditor.slots.get(&slot));
        (slot, envelope, command)
    }

    fn repeat(&mut self, sending: usize) -> (SlotId, Envelope, Command) {
        let known = &self.auditor.sendings[sending];
        let (slot, envelope, command) = (known.slot, known.envelope.clone(), known.command.clone());
        // Whose clock was ahead when something was written of it, a slot is ahead of the clock.
        let last = self.auditor.slots.get(&slot).and_then(|naive| naive.records.last()).map_or(known.at, |last| last.at);
        let is_forgotten = self.now().max(last).micros_since(known.at) > REMEMBERED_S * MICROS_PER_S;
        let command = self.callers.again(&mut self.dice, slot, envelope.who, &command, is_forgotten);
        (slot, envelope, command)
    }

    /// Sends a command; when this returns its owner has taken it, or it waits for an owner.
    pub(super) async fn send(&mut self, slot: SlotId, envelope: Envelope, command: Command) -> Result<(), Halt> {
        if self.life.standing.is_none() {
            self.end_due(true).await?;
            let is_alone = self.pending.is_empty() && self.life.standing.is_none() && self.node().health() == Health::Writing;
            let faults = self.counts.faults;
            self.put_into_mailbox(slot, envelope, command);
            self.finish_pending().await?;
            // Whatever nobody knew when the journal failed in between was set aside.
            if is_alone && self.node().health() == Health::Writing {
                let last = self.auditor.sendings.len() - 1;
                self.auditor.is_limited(last)?;
                self.auditor.has_no_room(last)?;
                self.auditor.may_not_be_noted(last)?;
                self.auditor.is_refused_for_what_is_so(last)?;
                if self.counts.faults == faults && !self.disk.unreadable.load(Ordering::SeqCst) {
                    self.auditor.hears_what_was_done(last)?;
                }
            }
            return Ok(());
        }
        self.put_into_mailbox(slot, envelope, command);
        if !self.down.contains(&slot) {
            self.wait_for_owner(slot).await?;
            self.taken();
        }
        Ok(())
    }

    fn put_into_mailbox(&mut self, slot: SlotId, envelope: Envelope, command: Command) {
        let sending = self.auditor.sent(slot, envelope.clone(), command.clone(), self.now());
        self.counts.sent += 1;
        self.line(format_args!("{sending}: {} asks slot {slot}, key {:08x}: {command:?}", envelope.who.0, (envelope.key.0 >> 96) as u32));
        let node = Arc::clone(self.node());
        let mut answer = async move { node.slot(slot, envelope, command).await }.boxed_local();
        // The first poll puts it into the mailbox. Who finds no owner would make one, and whoever comes next would wait for that: so it waits until its turn comes, also when no
        // append stands still, as its turn comes at once then.
        if self.life.standing.is_some()
            && !self.down.contains(&slot)
            && let Some(known) = (&mut answer).now_or_never()
        {
            answer = std::future::ready(known).boxed_local();
        }
        self.pending.push(Pending { sending, answer, taken: false });
    }

    /// All that healthy owners were sent, they have taken.
    fn taken(&mut self) {
        for pending in &mut self.pending {
            pending.taken |= !self.down.contains(&self.auditor.sendings[pending.sending].slot);
        }
    }

    fn stop_waiting(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let index = self.dice.index(self.pending.len());
        let pending = self.pending.remove(index);
        self.line(format_args!("{}: its caller stops waiting", pending.sending));
        self.auditor.sendings[pending.sending].outcome = Outcome::Unknown;
        self.late.push(pending.sending);
    }

    /// The clock wakes the slots whose deadline has come, while the journal stands still.
    async fn wake(&mut self) -> Result<(), Halt> {
        let due = self.node().board().due(self.now());
        if self.life.standing.is_none() || due.iter().any(|slot| self.down.contains(slot)) {
            return Ok(());
        }
        self.line(format_args!("{} slots are woken", due.len()));
        rule(self.node().wake_due().now_or_never().is_some(), "a wake waits for an owner that is there")?;
        for slot in due {
            self.wait_for_owner(slot).await?;
        }
        Ok(())
    }

    /// A handler panics. Whoever looked finds the next owner, or has stopped waiting.
    async fn panic_in_an_owner(&mut self) -> Result<(), Halt> {
        let slot = self.dice.pick(&self.slots);
        if self.life.standing.is_none() || self.down.contains(&slot) || self.down.contains(&self.fence) {
            return Ok(());
        }
        self.line(format_args!("a handler of slot {slot} panics"));
        self.counts.panics += 1;
        let (panicked, node) = (Arc::new(AtomicBool::new(false)), Arc::clone(self.node()));
        let (reached, mut signal) = mpsc::unbounded_channel();
        let (token, once) = (Token(reached), Arc::clone(&panicked));
        let mut look = async move {
            let panics = move |_: &Slot| {
                token.look();
                assert!(once.swap(true, Ordering::SeqCst), "{PANIC}");
            };
            node.look(slot, panics).await
        }
        .boxed_local();
        reaches(&mut look, &mut signal).await?;
        if !panicked.load(Ordering::SeqCst) {
            // The queue was full.
            return Ok(());
        }
        // When the fence's owner has been reached the other one is gone.
        self.wait_for_owner(self.fence).await?;
        self.auditor.unsee();
        self.down.insert(slot);
        if self.dice.chance(50) {
            // It sees its owner gone, and asks for the next one, which ends the right of the old one to write.
            self.line(format_args!("who looked asks for the next owner"));
            rule((&mut look).now_or_never().is_none(), "an owner is made while the journal stands still")?;
        }
        Ok(())
    }

    /// Owners that nobody has asked since the last time are retired. Whoever is asked next is made anew, in its turn.
    async fn retire(&mut self) -> Result<(), Halt> {
        let (node, before) = (Arc::clone(self.node()), self.node().owners());
        within(async {
            node.tidy().await;
            node.tidy().await;
        })
        .await?;
        let retired = before - self.node().owners();
        self.line(format_args!("{retired} of {before} owners are retired"));
        self.counts.retired += retired as u64;
        self.down.extend(self.all_slots());
        Ok(())
    }

    /// An owner is slow, and its mailbox fills; some of its callers are too late when it goes on.
    async fn pile_up(&mut self) -> Result<(), Halt> {
        let slot = self.slots[self.slots.len() - 1 - self.dice.index(4)];
        if self.down.contains(&slot) || self.life.standing.is_none() {
            return Ok(());
        }
        // It has no turn before the run waits for it.
        self.line(format_args!("slot {slot} is slow"));
        let mut requests: Vec<_> = (0..2 + self.dice.below(4)).map(|_| self.request()).filter(|(other, ..)| *other == slot).collect();
        if let Some(twice) = requests.first().cloned() {
            requests.push(twice);
        }
        self.dice.shuffle(&mut requests);
        for (slot, envelope, command) in requests {
            self.put_into_mailbox(slot, envelope, command);
            if self.dice.chance(20) {
                let seconds = self.dice.within(1, 15);
                self.pass(seconds);
            }
        }
        self.wait_for_owner(slot).await?;
        self.taken();
        Ok(())
    }

    /// Somebody sets the wall clock of the machine, and perhaps sets it right again: a running node reports it and does not follow.
    pub(super) fn jump_without_being_followed(&mut self) -> Result<(), Halt> {
        if !self.dice.chance(10) {
            return Ok(());
        }
        let before = self.now();
        let jump_s = self.jump();
        self.life.apart_s += jump_s;
        rule(self.now() == before, "the clock follows a jump")?;
        rule(self.life.clock.pass(1) == (self.life.apart_s != 0), "a jump of the wall clock is not reported, or one that was undone is")?;
        let passed_us = self.now().micros_since(before);
        rule((999_000..=1_001_000).contains(&passed_us), "the clock follows a jump after a second")?;
        Ok(())
    }
}
