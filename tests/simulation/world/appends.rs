//! Appends: one stands still until it meets its fate, and what is waited for meanwhile goes on between them.

use std::fmt::Write as _;

use super::*;

impl World {
    /// An append that stands still, if the journal writes at all.
    pub(super) async fn plug(&mut self) -> Result<(), Halt> {
        // No jump of the clock takes a run so far.
        let valid_from = calendar::local_day(self.began.plus_seconds(60 * 24 * HOUR_S));
        let ceiling = Some(1 + self.dice.below(100) as u32);
        let mut asked = self.ask_museum(PLUG, museum::Command::SetCeiling { valid_from, ceiling });
        let node = Arc::clone(self.node());
        let mut was_away = node.health() != Health::Writing;
        loop {
            let seen = within(async {
                tokio::select! { biased; answer = &mut asked => Err(answer), Some(doing) = self.life.doing.recv() => Ok(doing) }
            });
            match seen.await? {
                Ok(Doing::Appending(appending)) => {
                    self.life.standing = Some(appending);
                    // Who has read a stream without what was found is not its owner any more.
                    let found = self.disk.take_found().into_iter();
                    self.down.extend(found.filter_map(|stream| if let StreamId::Slot(slot) = stream { Some(slot) } else { None }));
                    // Nobody waits for this answer any more.
                    return Ok(());
                }
                Ok(Doing::Recovering) => {}
                // Its owner had read the museum without what was found as the journal came back.
                Err(Err(Failure::Journal(_))) if was_away && node.health() == Health::Writing => {
                    was_away = false;
                    asked = self.ask_museum(PLUG, museum::Command::SetCeiling { valid_from, ceiling });
                }
                Err(answer) => {
                    let broken = node.health() != Health::Writing || self.disk.unreadable.load(Ordering::SeqCst);
                    self.auditor.museum_answered(PLUG, answer.clone());
                    return Ok(rule(broken, "a sound journal does not write").map_err(|wrong| format!("{wrong}: {answer:?}"))?);
                }
            }
        }
    }

    /// Ends when a slot's owner has taken all that it was sent.
    pub(super) async fn wait_for_owner(&mut self, slot: SlotId) -> Result<(), Halt> {
        let (reached, mut signal) = mpsc::unbounded_channel();
        let (token, node) = (Token(reached), Arc::clone(self.node()));
        self.looks += 1;
        // While the journal does not write, an owner may have read less than is on the disk: what it decides then is never written.
        let is_wanted = self.looks.is_multiple_of(LOOKS_PER_STATE) && self.node().health() == Health::Writing;
        let state = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&state);
        let see = move |slot: &Slot| {
            if is_wanted && let Ok(mut seen) = seen.lock() {
                *seen = postcard::to_allocvec(slot).ok().map(|state| (slot.seq(), state));
            }
            token.look();
        };
        let mut look = async move { node.look(slot, see).await }.boxed_local();
        reaches(&mut look, &mut signal).await?;
        drop(look);
        if let Some((seq, state)) = state.lock().ok().and_then(|mut state| state.take()) {
            self.auditor.saw(slot, seq, state)?;
        }
        Ok(())
    }

    /// A look, driven to its end.
    pub(super) async fn look_at<R: Send + 'static>(
        &mut self,
        slot: SlotId,
        faults: bool,
        look: impl Fn(&Slot) -> R + Clone + Send + 'static,
    ) -> Result<Result<R, Failure<Refusal>>, Halt> {
        let node = Arc::clone(self.node());
        self.drive(async move { node.look(slot, look).await }.boxed_local(), faults).await
    }

    /// Waits for one thing alone, while appends meet their fate.
    pub(super) async fn drive<T>(&mut self, future: LocalBoxFuture<'static, T>, faults: bool) -> Result<T, Halt> {
        self.drive_for(future, faults, usize::MAX).await.and_then(|done| done.ok_or_else(|| Halt::Wrong("nobody waits so long".into())))
    }

    /// The same, while no more than so many batches of it are written; then nobody waits for it any more, and the next append stands still.
    pub(super) async fn drive_for<T>(
        &mut self,
        mut future: LocalBoxFuture<'static, T>,
        faults: bool,
        mut patience: usize,
    ) -> Result<Option<T>, Halt> {
        loop {
            if self.life.standing.is_some() {
                self.release(faults).await?;
            }
            let seen = within(async {
                tokio::select! { biased; done = &mut future => Err(done), Some(doing) = self.life.doing.recv() => Ok(doing) }
            });
            match seen.await? {
                Err(done) => return Ok(Some(done)),
                Ok(Doing::Appending(appending)) => {
                    self.life.standing = Some(appending);
                    if patience == 0 {
                        return Ok(None);
                    }
                    patience -= 1;
                }
                Ok(Doing::Recovering) => {}
            }
        }
    }

    /// The append that stands still meets its fate.
    pub(super) async fn release(&mut self, faults: bool) -> Result<(), Halt> {
        self.hear_answers()?;
        if self.life.standing.is_none() {
            return Ok(());
        }
        let verdict = match if faults { self.dice.below(100) } else { 99 } {
            0..4 => Verdict::Full,
            4..5 => Verdict::Conflict,
            5..9 => Verdict::Lost,
            9..12 => Verdict::AnswerLost,
            12 => Verdict::FoundLater,
            13 => Verdict::FlushFailed { written: self.dice.chance(50) },
            14..16 => {
                self.line(format_args!("the node is killed in an append"));
                return self.crash();
            }
            _ => Verdict::Written,
        };
        self.decide(verdict).await
    }

    /// The append that stands still ends like that.
    pub(super) async fn decide(&mut self, verdict: Verdict) -> Result<(), Halt> {
        let Some(appending) = self.life.standing.take() else { return Ok(()) };
        let (number, spans) = (appending.batch.number, appending.batch.spans.clone());
        let mut batch = format!("{} {verdict:?}:", disk::name(&appending.batch));
        for span in &spans {
            let _ = write!(batch, " {} {}..={}", span.stream, span.first, span.last);
        }
        self.line(format_args!("{batch}"));
        self.counts.batches += 1;
        self.counts.faults += u64::from(verdict != Verdict::Written);
        if verdict != Verdict::Written {
            self.auditor.unsee();
            if verdict.is_gone() {
                self.auditor.not_written(&appending.batch)?;
            } else {
                self.auditor.doubts(&appending.batch)?;
            }
            // Who waits for an owner that stops now would make the next one, and whoever comes next would wait for that: so it waits until its turn comes.
            if self.disk.outage.load(Ordering::SeqCst) || matches!(verdict, Verdict::FlushFailed { .. }) {
                self.down.extend(self.all_slots());
            }
            self.down.extend(spans.iter().filter_map(|span| if let StreamId::Slot(slot) = span.stream { Some(slot) } else { None }));
        }
        // What the writer did before is over.
        while self.life.doing.try_recv().is_ok() {}
        appending.end(verdict);
        // One that is about to stop is not ours to ask any more; what it wrote is found on the disk.
        let Some(node) = self.life.running.as_ref().map(|running| Arc::clone(running.node())) else { return Ok(()) };
        match verdict {
            Verdict::Written => until(|| node.head().number >= number).await?,
            Verdict::FlushFailed { .. } => until(|| node.health() == Health::Stopped).await?,
            _ => {
                rule(
                    matches!(within(self.life.doing.recv()).await?, Some(Doing::Recovering)),
                    "a failed append is not followed by a look at the store",
                )?;
                if !self.disk.outage.load(Ordering::SeqCst) {
                    until(|| node.health() == Health::Writing).await?;
                }
            }
        }
        self.audit()
    }

    pub(super) fn audit(&mut self) -> Result<(), Halt> {
        let read = self.auditor.read();
        Ok(self.auditor.step(&self.disk.since(read))?)
    }

    /// Takes the answers that are there, and has each one checked at once: what is acknowledged must be on the disk by then.
    pub(super) fn hear_answers(&mut self) -> Result<(), Halt> {
        for index in 0..self.pending.len() {
            let pending = &mut self.pending[index];
            // Who has asked once more, and was found to be known, asks its owner for the answer: one that is gone would be made anew.
            if pending.taken
                && !self.down.contains(&self.auditor.sendings[pending.sending].slot)
                && let Some(answer) = (&mut pending.answer).now_or_never()
            {
                let sending = pending.sending;
                pending.answer = std::future::ready(answer.clone()).boxed_local();
                self.auditor.sendings[sending].outcome = Outcome::Answered(answer);
            }
        }
        self.audit()
    }
}
