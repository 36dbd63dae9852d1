//! A director calls days of museums off, and lets them take place after all, by the node's own flow: from the museum it goes to all slots of the day. It is driven while nothing else is on
//! its way, to its end or until its driver goes away or the node dies; what is left then waits until somebody resumes it. What is said is drawn by dice of their own, so that what happens
//! in a world without a director is known by its seed as before. There are no read models in such a world: where owners of many slots are made at once, the order in which snapshots are
//! read goes by the machine's time.

use jiff::civil::Date;
use tornello_actors::days;
use tornello_engine::museum::{DayCalledOff, DayTakenUp, DayWord};

use super::*;
use crate::auditor::AskedOfDay;

/// How often all that was said is told again, at the end: where the queue is short only some slots hear it at a time.
const TOLD_MAX: usize = 20;

impl World {
    pub(super) async fn drive_days(&mut self) -> Result<(), Halt> {
        let Some(mut director) = self.director.take() else { return Ok(()) };
        let mut done = Ok(());
        for _ in 0..director.below(3) {
            if done.is_ok() {
                done = self.drive_a_day(&mut director).await;
            }
        }
        self.director = Some(director);
        done
    }

    async fn drive_a_day(&mut self, director: &mut Dice) -> Result<(), Halt> {
        self.end_due(true).await?;
        if self.node().health() != Health::Writing {
            return Ok(());
        }
        let patience = director.weighted(&[(1, 0), (2, 1), (2, 4), (2, 12), (8, usize::MAX)]);
        let asked = self.auditor.asked_of_days().len();
        match director.below(10) {
            0..3 => self.resume_days(patience).await,
            // Who was not answered asks again, or is impatient.
            3..5 if asked > 0 => {
                let back = director.index(asked.min(3));
                let again = self.auditor.asked_of_days()[asked - 1 - back].clone();
                self.say_of_day(again, patience).await
            }
            _ => {
                let (museum, word) = self.word(director);
                let by = Envelope { parties: Vec::new(), formerly: Vec::new(), ..callers::envelope(director) };
                self.auditor.asks_of_day((museum, by.clone(), word));
                self.say_of_day((museum, by, word), patience).await
            }
        }
    }

    /// Mostly a day that is called off takes place after all, or another one is called off, for what callers close slots for as well.
    fn word(&self, director: &mut Dice) -> (MuseumId, DayWord) {
        let off = self.auditor.days_off();
        if !off.is_empty() && director.chance(50) {
            let (museum, DayCalledOff { date, reason, .. }) = director.pick(&off);
            return (museum, DayWord::On(DayTakenUp { date, reason }));
        }
        let (museum, now) = (director.pick(&MUSEUMS[..2]), self.now());
        let ahead_s: i64 = director.pick(&[0, 0, 24 * HOUR_S]);
        let date = calendar::local_day(now.plus_seconds(ahead_s));
        let reason = callers::code(director.pick(&["strike", "flood"]));
        let from = director.chance(30).then(|| hour_of(now, director.within(-2, 20)));
        let is_off = director.chance(90);
        (museum, if is_off { DayWord::Off(DayCalledOff { date, from, reason }) } else { DayWord::On(DayTakenUp { date, reason }) })
    }

    async fn say_of_day(&mut self, (museum, by, word): AskedOfDay, patience: usize) -> Result<(), Halt> {
        let Some(known) = self.node().museums().get(museum) else { return Ok(()) };
        self.line(format_args!("{} says of museum {}, for {patience} batches: {word:?}", by.who.0, museum.0));
        let (node, envelope) = (Arc::clone(self.node()), by.clone());
        let said = async move {
            match word {
                DayWord::Off(DayCalledOff { date, from, reason }) => days::close(&node, &known, date, from, &envelope, reason).await,
                DayWord::On(DayTakenUp { date, reason }) => days::reopen(&node, &known, date, &envelope, reason).await,
            }
        };
        let Some(told) = self.drive_for(said.boxed_local(), true, patience).await? else { return self.leave_days().await };
        self.audit()?;
        match told {
            Ok(told) => {
                let failed = told.iter().filter(|slot| matches!(slot.outcome, days::Outcome::Failed(_))).count();
                self.line(format_args!("{} slots are told, {failed} of them in vain", told.len()));
                Ok(self.auditor.day_was_told(museum, &by, &told)?)
            }
            Err(failure) => {
                self.line(format_args!("it is not said: {failure}"));
                Ok(())
            }
        }
    }

    async fn resume_days(&mut self, patience: usize) -> Result<(), Halt> {
        self.line(format_args!("what was said of days is told again, for {patience} batches"));
        let node = Arc::clone(self.node());
        let resumed = async move { days::resume(&node).await };
        let Some(left) = self.drive_for(resumed.boxed_local(), true, patience).await? else { return self.leave_days().await };
        self.line(format_args!("{left} are left"));
        self.audit()
    }

    /// Whoever told slots of a day has gone away. What these were sent is done before anything else is asked.
    async fn leave_days(&mut self) -> Result<(), Halt> {
        self.counts.days_cut += 1;
        self.finish().await?;
        for (museum, date) in self.auditor.untold_days() {
            for slot in self.slots_on(museum, date) {
                if let Err(failure) = self.look_at(slot, true, |_| ()).await? {
                    self.line(format_args!("slot {slot} cannot be seen: {failure}"));
                }
            }
        }
        self.audit()
    }

    fn slots_on(&self, museum: MuseumId, date: Date) -> Vec<SlotId> {
        let known = self.node().museums().get(museum);
        known.map(|known| known.museum.openings(date, date).into_iter().map(|opening| opening.slot).collect()).unwrap_or_default()
    }

    /// At the end nothing fails: all slots hear what was said of their days.
    pub(super) async fn finish_days(&mut self) -> Result<(), Halt> {
        if self.director.is_none() {
            return Ok(());
        }
        for _ in 0..TOLD_MAX {
            for museum in &MUSEUMS[..2] {
                // What was said and whose answer was lost the node knows once somebody has read it back.
                let nothing = museum::Command::WithdrawRoom { code: callers::code("none") };
                let asked = self.ask_museum(*museum, nothing);
                let answer = self.drive(asked, false).await?;
                rule(answer.is_err(), "a waiting room is withdrawn that was never announced")?;
            }
            let node = Arc::clone(self.node());
            let left = self.drive(async move { days::resume(&node).await }.boxed_local(), false).await?;
            self.line(format_args!("what was said of days is told, {left} are left"));
            self.audit()?;
            if self.auditor.untold_days().is_empty() {
                return Ok(self.auditor.days_have_come_to_be(self.now())?);
            }
            // Who has stopped again and again is rebuilt a minute later.
            self.pass(61);
        }
        Err(Halt::Wrong("slots have not heard what was said of their day, though nothing fails".into()))
    }
}
