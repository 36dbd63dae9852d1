//! One life of the node after the other: it stops or is killed, also in its start, and the next one finds what it left.

use std::path::Path;

use super::*;

impl World {
    pub(super) async fn stop_or_crash(&mut self) -> Result<(), Halt> {
        if self.dice.chance(50) {
            self.line(format_args!("the node is killed at rest"));
            return self.crash();
        }
        self.line(format_args!("the node stops and starts"));
        self.disk.unreadable.store(false, Ordering::SeqCst);
        self.stop().await?;
        Ok(self.restart().await?)
    }

    pub(super) async fn stop(&mut self) -> Result<(), Halt> {
        let running = self.life.running.take().ok_or_else(|| "the node is stopped twice".to_owned())?;
        self.drive(running.stop().boxed_local(), false).await?;
        self.disk.find();
        self.leave_read_models(false)?;
        self.audit()
    }

    /// What a node that has ended left beside the journal, as the next one finds it: of one that was killed now and then what one before it left, as what it saved after
    /// it was killed was never saved.
    fn leave_read_models(&mut self, killed: bool) -> Result<(), String> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let failed = |error: std::io::Error| format!("the read models cannot be copied: {error}");
        match self.left.take() {
            Some(left) if killed && self.dice.chance(60) => {
                copy_files(left.path(), folder.path()).map_err(failed)?;
                self.left = Some(left);
                self.counts.behind += 1;
                self.line(format_args!("it left no read models, but those of one before"));
            }
            _ => {
                let left = tempfile::tempdir().map_err(failed)?;
                copy_files(folder.path(), left.path()).map_err(failed)?;
                self.left = Some(left);
            }
        }
        Ok(())
    }

    /// The node dies at once: all that is left of it is on the disk.
    pub(super) fn crash(&mut self) -> Result<(), Halt> {
        self.counts.crashes += 1;
        let on_its_way = self.life.standing.take();
        let remains = self.dice.pick(&[Remains::Nothing, Remains::All, Remains::Damaged, Remains::Short]);
        self.line(format_args!("of the batch on its way remains {:?}", on_its_way.is_some().then_some(remains)));
        self.disk.crash(on_its_way.as_ref().map(|appending| (appending.batch.clone(), remains)));
        self.torn |= on_its_way.is_some() && matches!(remains, Remains::Damaged | Remains::Short);
        drop(on_its_way);
        for pending in std::mem::take(&mut self.pending) {
            let sending = &mut self.auditor.sendings[pending.sending];
            if sending.outcome == Outcome::Pending {
                sending.outcome = Outcome::Unknown;
            }
            if self.dice.chance(70) {
                self.late.push(pending.sending);
            }
        }
        Err(Halt::Crashed)
    }

    /// The next life, by the wall clock of the machine, which may have been set meanwhile.
    pub(super) async fn restart(&mut self) -> Result<(), String> {
        if let Some(dead) = self.life.running.take() {
            // It ends now; the disk does not hear it any more.
            dead.stop().await;
            self.leave_read_models(true)?;
        }
        if self.dice.chance(30) {
            self.jump();
        }
        self.disk.outage.store(false, Ordering::SeqCst);
        self.disk.unreadable.store(false, Ordering::SeqCst);
        self.disk.find();
        let (before, known) = (self.disk.length(), self.auditor.read());
        while self.dice.chance(25) {
            // It dies in its start, wherever that is.
            let asked_max = self.dice.below(6);
            let started = Life::start(&self.machine, self.disk.mount_for(asked_max), self.folder.as_ref(), self.limits).await;
            self.disk.crash(None);
            match started {
                Err(died) => self.line(format_args!("the node dies in its start: {died}")),
                Ok(Life { running, .. }) => {
                    self.line(format_args!("the node dies right after its start"));
                    if let Some(dead) = running {
                        dead.stop().await;
                    }
                }
            }
            self.counts.died_in_start += 1;
        }
        let started = Life::start(&self.machine, self.disk.mount(), self.folder.as_ref(), self.limits).await;
        self.life = started.map_err(|error| format!("a node does not start: {error}"))?;
        let cut = self.node().started().cut;
        self.line(format_args!("the node starts at {}, cut: {cut:?}", self.now()));
        let gone = before - self.disk.length();
        rule(self.disk.length() >= known && gone <= usize::from(self.torn), "a start cuts off what was acknowledged")?;
        rule(cut.is_none() || gone == 1, "a start says that it has cut off what is there")?;
        self.torn = false;
        self.auditor.step(&self.disk.since(known))?;
        self.shows_what_it_ended_with()?;
        // What the dead node was about is over.
        let told = self.auditor.lost();
        self.counts.told_and_lost += told.len() as u64;
        self.kept.extend(told.iter().map(|told| (told.scan(), told.passage.issue)));
        self.choose_slots();
        Ok(())
    }
}

impl Life {
    pub(super) async fn start(
        machine: &Arc<Machine>,
        (mount, doing): (Arc<Mount>, mpsc::UnboundedReceiver<Doing>),
        folder: Option<&TempDir>,
        limits: Limits,
    ) -> Result<Self, StartError> {
        let clock = SimulatedClock::start(machine);
        let (journal, time): (Arc<dyn Journal>, Arc<dyn Clock>) = (mount, Arc::clone(&clock) as _);
        let running = match folder {
            None => Node::start_on_one_thread(journal, time, limits, false).await?,
            Some(folder) => Node::start_on_one_thread_in(folder.path().to_owned(), journal, time, limits).await?,
        };
        // What the node does by itself as it begins, it does now.
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        Ok(Self { running: Some(running), clock, doing, standing: None, apart_s: 0 })
    }
}

/// Makes the files of a folder those of another one.
fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    for file in std::fs::read_dir(to)? {
        std::fs::remove_file(file?.path())?;
    }
    for file in std::fs::read_dir(from)? {
        let file = file?;
        std::fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}
