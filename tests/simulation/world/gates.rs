//! Gates: they let people in and out through the node, and go on while the journal does not write.

use futures_util::future::join_all;
use tornello_engine::ids::TicketId;

use super::*;
use crate::auditor::Asking;

impl World {
    /// Gates have their turn, while nothing else is on its way; mostly the disk fails before they begin, and comes back now or later.
    pub(super) async fn drive_gates(&mut self) -> Result<(), Halt> {
        self.end_due(true).await?;
        if self.dice.chance(60) {
            self.fail().await?;
        }
        for _ in 0..2 + self.dice.below(8) {
            match self.dice.below(14) {
                0 => {
                    let seconds = self.dice.within(1, 400);
                    self.pass(seconds);
                }
                1 => self.come_back().await?,
                2 => {
                    let (slot, envelope, command) = self.request();
                    self.send(slot, envelope, command).await?;
                }
                3 => self.block_who_has_left().await?,
                4 => self.pass_while_the_disk_stalls().await?,
                5 => self.pass_in_doubt().await?,
                _ => self.drive_a_passage().await?,
            }
        }
        if self.dice.chance(60) {
            self.come_back().await?;
            self.end_forks().await?;
        }
        Ok(())
    }

    /// The journal stops writing until it is let write again, or for good.
    async fn fail(&mut self) -> Result<(), Halt> {
        self.plug().await?;
        if self.life.standing.is_none() {
            return Ok(());
        }
        self.disk.outage.store(true, Ordering::SeqCst);
        let verdict = self.dice.weighted(&[
            (6, Verdict::Full),
            (2, Verdict::Lost),
            (2, Verdict::AnswerLost),
            (1, Verdict::FoundLater),
            (1, Verdict::FlushFailed { written: false }),
        ]);
        self.decide(verdict).await
    }

    /// The disk is there again, and somebody writes.
    pub(super) async fn come_back(&mut self) -> Result<(), Halt> {
        self.disk.unreadable.store(false, Ordering::SeqCst);
        // Asked before: the writer finds out by itself within a second of the machine's.
        let is_awaited = self.node().health() == Health::Recovering;
        self.disk.outage.store(false, Ordering::SeqCst);
        if is_awaited {
            self.line(format_args!("the disk comes back"));
            self.plug().await?;
            self.release(false).await?;
        }
        Ok(())
    }

    async fn end_forks(&mut self) -> Result<(), Halt> {
        let (told, doubted) = (self.auditor.told.keys().copied(), self.auditor.doubted());
        let mut unseen = Vec::new();
        for slot in told.chain(doubted).collect::<BTreeSet<_>>() {
            // What it has to end by now, it ends before; and what was on its way through the journal is on the disk then.
            let is_seen = self.look_at(slot, true, |_| ()).await?.is_ok();
            match self.node().health() {
                Health::Writing if is_seen => self.auditor.is_known(slot),
                Health::Writing => unseen.push(slot),
                _ => {}
            }
        }
        let (node, writes) = (Arc::clone(self.node()), self.node().health() == Health::Writing);
        let all = self.drive(async move { node.end_forks().await }.boxed_local(), true).await?;
        self.audit()?;
        // Whether the node has seen a slot that could not be seen a moment before is not known from outside.
        unseen.into_iter().filter(|_| writes).for_each(|slot| self.auditor.is_known(slot));
        self.line(format_args!("gates are online again: {all}"));
        if all {
            self.auditor.nobody_doubts();
        }
        if all && self.node().health() == Health::Writing {
            rule(self.node().unrecorded() == 0, "scans wait though all gates are online")?;
            self.counts.merged += self.auditor.all_is_merged()? as u64;
        }
        Ok(())
    }

    /// Somebody comes to a gate, or leaves by one; or a gate asks again.
    async fn drive_a_passage(&mut self) -> Result<(), Halt> {
        if self.node().health() != Health::Writing {
            // What came first of one instant, of something written and of what a gate is told, is decided only when that is written too.
            self.pass(1);
        }
        self.end_due(true).await?;
        let again = !self.passages.is_empty() && self.dice.chance(15);
        let (envelope, passage) = if again {
            let back = self.dice.index(self.passages.len().min(12));
            let (mut envelope, passage) = self.passages[self.passages.len() - 1 - back].clone();
            if self.dice.chance(10) {
                envelope.body = callers::envelope(&mut self.dice).body;
            }
            (envelope, passage)
        } else {
            let Some(passage) = self.passage() else { return Ok(()) };
            (callers::envelope(&mut self.dice), passage)
        };
        self.pass_by(envelope, passage).await
    }

    /// A gate asks, and hears what it is told.
    async fn pass_by(&mut self, envelope: Envelope, passage: Passage) -> Result<(), Halt> {
        let sending = self.comes_to_a_gate(&envelope, passage);
        let (node, written, wrote) = (Arc::clone(self.node()), self.auditor.read(), self.node().health() == Health::Writing);
        let faults = self.counts.faults;
        let answer = match self.drive(async move { node.pass(envelope, passage).await }.boxed_local(), true).await {
            Ok(answer) => answer,
            Err(halt) => {
                self.auditor.sendings[sending].outcome = Outcome::Unknown;
                return Err(halt);
            }
        };
        self.hears(sending, passage, answer, (wrote, self.counts.faults > faults))?;
        // What came in between, nobody could have known.
        let writes = self.node().health() == Health::Writing;
        if wrote == writes && self.counts.faults == faults && self.auditor.read() == written {
            self.auditor.may_not_pass(sending, passage, self.now(), writes)?;
        }
        Ok(())
    }

    /// Somebody stands at a gate, and the disk stalls with what it has asked of the slot. It goes on by itself, and so does another one that is shown the same ticket; what was on
    /// its way is written when the disk goes on. Or the node is killed before that, and of what was on its way is left what there is.
    async fn pass_while_the_disk_stalls(&mut self) -> Result<(), Halt> {
        self.end_due(true).await?;
        let Some(passage) = self.passage() else { return Ok(()) };
        let slot = passage.ticket.slot();
        if self.look_at(slot, true, |_| ()).await?.is_err() || self.node().health() != Health::Writing {
            return Ok(());
        }
        // Nothing of it is on its way any more.
        self.auditor.is_known(slot);
        self.plug().await?;
        if self.life.standing.is_none() || self.down.contains(&slot) {
            return self.finish().await;
        }
        let (envelope, node) = (callers::envelope(&mut self.dice), Arc::clone(self.node()));
        let sending = self.comes_to_a_gate(&envelope, passage);
        let mut asked = async move { node.pass(envelope, passage).await }.boxed_local();
        if let Some(known) = (&mut asked).now_or_never() {
            asked = std::future::ready(known).boxed_local();
        }
        self.wait_for_owner(slot).await?;
        let seconds = self.dice.within(2, 4);
        self.pass(seconds);
        self.node().watch_disk();
        rule(self.node().health() == Health::Stalled, "nobody notices that the disk stalls")?;
        self.counts.stalls += 1;
        let answer = within(asked).await?;
        self.hears(sending, passage, answer, (true, true))?;
        if self.dice.chance(50) {
            let (envelope, other) = self.entry(passage.ticket);
            let (sending, node) = (self.comes_to_a_gate(&envelope, other), Arc::clone(self.node()));
            let answer = within(async move { node.pass(envelope, other).await }).await?;
            self.hears(sending, other, answer, (false, false))?;
        }
        // Not drawn: what else happens in a world is known by its seed.
        if self.auditor.read().is_multiple_of(3) {
            self.line(format_args!("the node is killed while the disk stalls"));
            self.counts.killed_in_stalls += 1;
            return self.crash();
        }
        self.line(format_args!("the disk goes on"));
        self.release(false).await?;
        self.end_forks().await
    }

    /// Notes what a gate is about to ask.
    fn comes_to_a_gate(&mut self, envelope: &Envelope, passage: Passage) -> usize {
        let (slot, now) = (passage.ticket.slot(), self.now());
        let Passage { ticket, issue, gate, museum, direction } = passage;
        let command = match direction {
            Direction::In => Command::Admit { ticket, issue, gate, museum },
            Direction::Out => Command::Exit { ticket, gate, museum },
        };
        let sending = self.auditor.sent(slot, envelope.clone(), command, now);
        self.passages.push((envelope.clone(), passage));
        self.counts.passed += 1;
        self.line(format_args!("{sending}: {} at gate {gate}, key {:08x}: {direction:?} {ticket}", envelope.who.0, (envelope.key.0 >> 96) as u32));
        sending
    }

    /// What a gate was told is held against what may be: by whether the journal wrote when it asked, and whether it has failed since.
    fn hears(&mut self, sending: usize, passage: Passage, answer: Answer<Slot>, (wrote, failed): (bool, bool)) -> Result<(), Halt> {
        self.audit()?;
        let asking = self.asking(wrote, failed);
        let short = match &answer {
            Ok(record) => format!("{:?}", record.events.last()),
            Err(failure) => failure.to_string(),
        };
        self.auditor.passed(sending, passage, answer, asking)?;
        let is_told = self.auditor.sendings[sending].outcome == Outcome::Told;
        self.counts.told += u64::from(is_told);
        self.line(format_args!("{sending}: {}{short}", if is_told { "told, and not written: " } else { "" }));
        self.audit()
    }

    fn asking(&self, wrote: bool, failed: bool) -> Asking {
        let writes = self.node().health() == Health::Writing;
        Asking { wrote, failed: failed || wrote != writes || self.disk.unreadable.load(Ordering::SeqCst), writes }
    }

    /// People stand at the gates of two slots in one instant, and the building has room for one of them, or just for both; or two of them have one ticket, or one gate sends what it
    /// asks twice.
    pub(super) async fn drive_two_passages(&mut self) -> Result<(), Halt> {
        self.end_due(true).await?;
        let (now, place) = (self.now(), usize::from(self.dice.chance(20)));
        let mut at_gates: Vec<TicketId> = Vec::new();
        for slot in self.slots_of(MUSEUMS[place]) {
            let may: Vec<TicketId> = self.auditor.slots.get(&slot).map(|naive| naive.may_enter(now)).unwrap_or_default();
            if !may.is_empty() && self.look_at(slot, true, |_| ()).await?.is_ok() {
                at_gates.push(self.dice.pick(&may));
            }
        }
        if at_gates.len() < 2 || self.node().health() != Health::Writing {
            return Ok(());
        }
        let people = self.ceilings[place] - self.dice.pick(&[1, 1, 1, 2]);
        self.read(place, (people, 0), now, false).await?;
        self.dice.shuffle(&mut at_gates);
        let [first, second, ..] = at_gates[..] else { return Ok(()) };
        let at_gates = match self.dice.below(5) {
            0 => return self.pass_without_the_disk(&at_gates).await,
            1 => return self.pass_as_the_disk_goes_away(&at_gates).await,
            2 => [first; 2],
            _ => [first, second],
        };
        if self.node().health() == Health::Writing {
            self.plug().await?;
        }
        let (mut asked, mut answers): (Vec<(usize, Passage)>, Vec<_>) = (Vec::new(), Vec::new());
        for ticket in at_gates {
            let before = self.passages.last().cloned().filter(|_| asked.last().is_some_and(|(_, before)| before.ticket == ticket));
            let (envelope, passage) = match before.filter(|_| self.dice.chance(40)) {
                Some(before) => before,
                None => self.entry(ticket),
            };
            let Passage { issue, gate, museum, .. } = passage;
            let sending = self.auditor.sent(ticket.slot(), envelope.clone(), Command::Admit { ticket, issue, gate, museum }, self.now());
            self.passages.push((envelope.clone(), passage));
            self.line(format_args!("{sending}: {} at gate {gate}, in one instant: {ticket}", envelope.who.0));
            let node = Arc::clone(self.node());
            let mut answer = async move { node.pass(envelope, passage).await }.boxed_local();
            if let Some(known) = (&mut answer).now_or_never() {
                answer = std::future::ready(known).boxed_local();
            }
            asked.push((sending, passage));
            answers.push(answer);
        }
        self.counts.together += 1;
        let (wrote, faults) = (self.node().health() == Health::Writing, self.counts.faults);
        let answers = match self.drive(join_all(answers).boxed_local(), true).await {
            Ok(answers) => answers,
            Err(halt) => {
                asked.iter().for_each(|(sending, _)| self.auditor.sendings[*sending].outcome = Outcome::Unknown);
                return Err(halt);
            }
        };
        self.audit()?;
        let asking = self.asking(wrote, self.counts.faults > faults);
        for ((sending, passage), answer) in asked.into_iter().zip(answers) {
            self.line(format_args!("{sending}: {:?}", answer.as_ref().map(|record| record.seq).map_err(ToString::to_string)));
            self.auditor.passed(sending, passage, answer, asking)?;
            self.counts.told += u64::from(self.auditor.sendings[sending].outcome == Outcome::Told);
        }
        self.audit()
    }

    /// They come one after the other while the journal does not write: whom gates have let in counts for all slots, though it is not written.
    async fn pass_without_the_disk(&mut self, at_gates: &[TicketId]) -> Result<(), Halt> {
        if self.node().health() == Health::Writing {
            self.fail().await?;
        }
        for ticket in at_gates.iter().take(2) {
            self.end_due(true).await?;
            let (envelope, passage) = self.entry(*ticket);
            self.pass_by(envelope, passage).await?;
        }
        if self.dice.chance(60) {
            self.come_back().await?;
            self.end_forks().await?;
        }
        Ok(())
    }

    /// One comes, and the disk goes away with the answer. Mostly somebody reads the slot back before the disk is there again; then another one comes.
    async fn pass_as_the_disk_goes_away(&mut self, at_gates: &[TicketId]) -> Result<(), Halt> {
        let [first, second, ..] = *at_gates else { return Ok(()) };
        if self.node().health() != Health::Writing {
            return Ok(());
        }
        let (envelope, passage) = self.entry(first);
        if !self.asks_as_the_disk_goes_away(envelope, passage).await? {
            return Ok(());
        }
        self.counts.lost_entries += 1;
        if self.dice.chance(70) {
            let _ = self.look_at(first.slot(), false, |_| ()).await?;
        }
        self.come_back().await?;
        self.end_forks().await?;
        for slot in self.all_slots() {
            if self.look_at(slot, false, |_| ()).await?.is_err() {
                return Ok(());
            }
        }
        if self.node().health() != Health::Writing {
            return Ok(());
        }
        // What nobody knew of the first one is known.
        self.auditor.rests();
        self.end_due(true).await?;
        let (envelope, passage) = self.entry(second);
        self.pass_by(envelope, passage).await
    }

    /// Somebody comes, and the disk goes away with the answer. Whoever comes with the same ticket meanwhile hears that nobody knows: only who asked may hear more, when they ask again.
    async fn pass_in_doubt(&mut self) -> Result<(), Halt> {
        self.end_due(true).await?;
        let Some(passage) = self.passage() else { return Ok(()) };
        let slot = passage.ticket.slot();
        let is_seen = self.look_at(slot, true, |_| ()).await?.is_ok();
        // What a gate of it was told before would be on its way first.
        if !is_seen || self.node().health() != Health::Writing || self.auditor.told.contains_key(&slot) {
            return Ok(());
        }
        let envelope = callers::envelope(&mut self.dice);
        if !self.asks_as_the_disk_goes_away(envelope.clone(), passage).await? {
            return Ok(());
        }
        self.pass(1);
        let again = if self.dice.chance(30) { envelope } else { callers::envelope(&mut self.dice) };
        self.pass_by(again, passage).await
    }

    /// Asks at a gate, and the disk goes away with the answer; answers whether it did: whoever is refused, the disk has nothing to do with.
    async fn asks_as_the_disk_goes_away(&mut self, envelope: Envelope, passage: Passage) -> Result<bool, Halt> {
        let sending = self.comes_to_a_gate(&envelope, passage);
        let node = Arc::clone(self.node());
        let asked = async move { node.pass(envelope, passage).await }.boxed_local();
        if let Some(answer) = self.drive_for(asked, false, 0).await? {
            self.hears(sending, passage, answer, (true, false))?;
            return Ok(false);
        }
        self.auditor.sendings[sending].outcome = Outcome::Unknown;
        self.auditor.goes_away(sending, passage.ticket);
        self.disk.outage.store(true, Ordering::SeqCst);
        let verdict = self.dice.weighted(&[(6, Verdict::AnswerLost), (2, Verdict::FoundLater), (1, Verdict::Lost)]);
        self.decide(verdict).await?;
        Ok(true)
    }

    /// Somebody wants in, on a ticket whose id is typed.
    fn entry(&mut self, ticket: TicketId) -> (Envelope, Passage) {
        let gate = callers::code(self.dice.pick(&["north", "south"]));
        let passage = Passage { ticket, issue: None, gate, museum: ticket.slot().museum(), direction: Direction::In };
        (callers::envelope(&mut self.dice), passage)
    }

    /// Staff block somebody who has been in and left. Whoever comes back on it is refused, and a gate that has let them in all the same tells of a conflict.
    async fn block_who_has_left(&mut self) -> Result<(), Halt> {
        let now = self.now();
        let known = self.slots.iter().filter_map(|slot| self.auditor.slots.get(slot));
        let left: Vec<TicketId> = known.flat_map(|naive| naive.may_come_back(now)).collect();
        if left.is_empty() {
            return self.drive_a_passage().await;
        }
        let ticket = self.dice.pick(&left);
        let (reason, envelope) = (callers::code(self.dice.pick(&["review", "fraud"])), callers::envelope(&mut self.dice));
        self.send(ticket.slot(), envelope, Command::Block { sale: ticket.sale(), tickets: vec![ticket.number()], reason }).await?;
        self.counts.blocked_outside += 1;
        self.end_due(true).await?;
        let (envelope, passage) = self.entry(ticket);
        if self.dice.chance(60) {
            return self.pass_by(envelope, passage).await;
        }
        let (scan, museum) = (passage.scan(self.now()), passage.museum);
        self.send(ticket.slot(), envelope, Command::Merge { scan, issue: None, museum }).await
    }

    /// Mostly by a ticket that may be used now, or was just used.
    fn passage(&mut self) -> Option<Passage> {
        let now = self.now();
        let told: Vec<TicketId> = self.auditor.told.values().flatten().map(|told| told.passage.ticket).collect();
        let ticket = if !told.is_empty() && self.dice.chance(35) {
            self.dice.pick(&told)
        } else {
            let is_open = |slot: &SlotId| {
                let policy = self.policy;
                let early = slot.start().plus_seconds(-i64::from(policy.admit_early_s));
                early <= now && now <= slot.start().plus_seconds(HOUR_S + i64::from(policy.admit_late_s))
            };
            let sold = |slot: &&SlotId| self.auditor.slots.get(slot).is_some_and(|naive| !naive.sales.is_empty());
            let mut slots: Vec<SlotId> = self.slots.iter().filter(sold).filter(|slot| is_open(slot)).copied().collect();
            if slots.is_empty() || self.dice.chance(10) {
                slots = self.slots.iter().filter(sold).copied().collect();
            }
            if slots.is_empty() {
                return None;
            }
            let naive = &self.auditor.slots[&self.dice.pick(&slots)];
            let sales: Vec<(HoldId, usize)> = naive.sales.iter().map(|(id, sale)| (*id, sale.tickets.len())).collect();
            let (sale, tickets) = self.dice.pick(&sales);
            sale.ticket(u16::try_from(self.dice.index(tickets.max(1))).unwrap_or_default())
        };
        let naive = self.auditor.slots.get(&ticket.slot())?;
        let was_told = self.auditor.told.get(&ticket.slot()).and_then(|told| told.iter().rev().find(|told| told.passage.ticket == ticket));
        let is_inside = was_told.map_or_else(|| naive.is_inside(ticket), |told| told.passage.direction == Direction::In);
        let direction = if self.dice.chance(if is_inside { 65 } else { 10 }) { Direction::Out } else { Direction::In };
        let issue = callers::issue(&mut self.dice, Some(naive), ticket);
        let gate = callers::code(self.dice.pick(&["north", "south"]));
        Some(Passage { ticket, issue, gate, museum: ticket.slot().museum(), direction })
    }
}
