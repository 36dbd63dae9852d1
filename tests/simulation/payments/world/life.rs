//! One life of the node after the other, on the same disk: each append stands still until it meets its fate, and in some of them the node dies.

use std::fmt::Write as _;

use super::*;

impl World {
    /// A new life of the node on the same disk.
    pub(super) async fn start(&mut self, first: bool) -> Result<(), String> {
        let (mount, doing): (Arc<Mount>, _) = self.disk.mount();
        let clock = SimulatedClock::start(&self.machine);
        let limits = Limits { queue: 1_024, batch: 1, pace: Duration::ZERO };
        let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let running =
            Node::start_on_one_thread(mount as Arc<dyn Journal>, Arc::clone(&clock) as _, limits, true).await.map_err(|error| error.to_string())?;
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks() - before;
        let alive = Arc::new(AtomicBool::new(true));
        running.node().connect(Arc::new(Connection { outside: Arc::clone(&self.outside), alive: Arc::clone(&alive) }));
        let (node, mut doing) = (Arc::clone(running.node()), doing);
        if first {
            for museum in [MUSEUM, PLUG] {
                for command in self.opening(museum) {
                    let envelope = self.envelope();
                    let node = Arc::clone(&node);
                    let asked = tokio::task::spawn_local(async move { node.museum(museum, envelope, command).await.map(drop) });
                    while !asked.is_finished() {
                        if let Ok(Doing::Appending(appending)) = doing.try_recv() {
                            appending.end(Verdict::Written);
                        }
                        tokio::task::yield_now().await;
                    }
                    rule(matches!(asked.await, Ok(Ok(()))), "a museum does not open")?;
                }
            }
        }
        let command = self.plug();
        drop(tokio::task::spawn_local(async move { node.museum(PLUG, command.0, command.1).await.map(drop) }));
        let standing = loop {
            if let Ok(Doing::Appending(appending)) = doing.try_recv() {
                break appending;
            }
            tokio::task::yield_now().await;
        };
        let tasks = before + tasks;
        self.life = Some(Life { running, clock, doing, standing: Some(standing), plugged: false, alive, tasks });
        self.audit()
    }

    fn opening(&self, museum: MuseumId) -> [museum::Command; 3] {
        let valid_from = calendar::local_day(self.began);
        let [register, plan] = opening(museum, valid_from, self.capacity, Default::default(), self.policy);
        [register, plan, museum::Command::SetGroupPolicy { valid_from, policy: Box::new(groups::policy()) }]
    }

    fn plug(&mut self) -> (Envelope, museum::Command) {
        let valid_from = calendar::local_day(self.began.plus_seconds(400 * 24 * HOUR_S));
        let ceiling = Some(1 + self.dice.below(1_000_000) as u32);
        (self.envelope(), museum::Command::SetCeiling { valid_from, ceiling })
    }

    pub(super) fn life(&self) -> &Life {
        self.life.as_ref().expect("the node lives between its start and its end")
    }

    pub(super) fn node(&self) -> Arc<Node> {
        Arc::clone(self.life().running.node())
    }

    pub(super) fn now(&self) -> Timestamp {
        self.life().clock.now()
    }

    /// Everybody goes on as far as they come while the journal stands still.
    pub(super) async fn others_go_on(&mut self, turns: u64) {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }

    /// The append that stands still meets its fate, and the next one stands.
    pub(super) async fn advance(&mut self, faults: bool) -> Result<(), String> {
        let is_plug = self.stands_plug();
        let verdict = match if faults && !is_plug { self.dice.below(100) } else { 99 } {
            0..3 => Verdict::Full,
            3..4 => Verdict::Conflict,
            4..8 => Verdict::Lost,
            8..12 => Verdict::AnswerLost,
            12 => Verdict::FlushFailed { written: self.dice.chance(50) },
            13..15 => {
                self.line(format_args!("the node is killed in an append"));
                self.counts.count("crash in an append", 1);
                return self.crash().await;
            }
            _ => Verdict::Written,
        };
        if !self.life().plugged {
            let ((envelope, command), node) = (self.plug(), self.node());
            drop(tokio::task::spawn_local(async move { node.museum(PLUG, envelope, command).await.map(drop) }));
            self.others_go_on(8).await;
        }
        let standing = self.life.as_mut().and_then(|life| life.standing.take()).ok_or("no append stands still")?;
        if !is_plug {
            let mut line = format!("{} {verdict:?}:", disk::name(&standing.batch));
            for span in &standing.batch.spans {
                let _ = write!(line, " {} {}..={}", span.stream, span.first, span.last);
            }
            self.line(format_args!("{line}"));
            self.counts.count("batches", 1);
            self.counts.count("faults", u64::from(verdict != Verdict::Written));
        }
        standing.end(verdict);
        let life = self.life.as_mut().ok_or("no life")?;
        if matches!(verdict, Verdict::FlushFailed { .. }) {
            turns_until(|| (life.running.node().health() == Health::Stopped).then_some(())).await?;
            self.line(format_args!("the disk has failed"));
            return self.crash().await;
        }
        let doing = &mut life.doing;
        life.standing = Some(turns_until(|| if let Ok(Doing::Appending(appending)) = doing.try_recv() { Some(appending) } else { None }).await?);
        let is_plug = self.stands_plug();
        if let Some(life) = &mut self.life {
            // Whatever stands now, behind a record of others the plug still waits.
            life.plugged = !is_plug;
        }
        let turns = if self.dice.chance(85) { TURNS } else { self.dice.below(TURNS) };
        self.others_go_on(turns).await;
        self.hear().await?;
        self.audit()
    }

    pub(super) fn stands_plug(&self) -> bool {
        let standing = self.life().standing.as_ref().and_then(|standing| standing.batch.spans.first());
        standing.is_some_and(|span| span.stream == StreamId::Museum(PLUG))
    }

    pub(super) fn audit(&mut self) -> Result<(), String> {
        let new = self.disk.since(self.books.batches);
        self.books.step(&new)
    }

    /// The node dies, and another one starts on what is on the disk.
    pub(super) async fn crash(&mut self) -> Result<(), String> {
        let Some(life) = self.life.take() else { return Err("no life".into()) };
        self.counts.count("crash", 1);
        life.alive.store(false, Ordering::SeqCst);
        let remains = self.dice.pick(&[Remains::Nothing, Remains::All, Remains::All, Remains::Damaged, Remains::Short]);
        let is_open = life.running.node().health() == Health::Writing;
        self.line(format_args!("the node dies; of the batch on its way remains {:?}", is_open.then_some(remains)));
        self.disk.crash(life.standing.as_ref().filter(|_| is_open).map(|standing| (standing.batch.clone(), remains)));
        for flow in std::mem::take(&mut self.flows) {
            self.give_up(flow);
        }
        self.outside.go_on();
        let Life { running, doing, standing, .. } = life;
        drop((standing, doing));
        running.stop().await;
        // Who drove a payment for nobody hears that it is over.
        for _ in 0..1_000 {
            if tokio::runtime::Handle::current().metrics().num_alive_tasks() == self.others {
                break;
            }
            tokio::task::yield_now().await;
        }
        if self.dice.chance(20) {
            self.machine.jump(self.dice.pick(&[-30, 90, 1_900, 30 * HOUR_S]));
        }
        self.disk.unreadable.store(false, Ordering::SeqCst);
        let (before, known) = (self.disk.length(), self.books.batches);
        self.start(false).await?;
        let cut = self.node().started().cut;
        self.counts.count("restarts", 1);
        self.line(format_args!("the node starts at {}, cut: {cut:?}", self.now()));
        rule(self.disk.length() >= known && self.disk.length() + usize::from(cut.is_some()) == before, "a start cuts off what was acknowledged")?;
        self.choose_slots();
        Ok(())
    }
}

/// Lets the writer go on, and everybody else, until it has come so far.
async fn turns_until<T>(mut seen: impl FnMut() -> Option<T>) -> Result<T, String> {
    for _ in 0..STEPS_MAX {
        if let Some(seen) = seen() {
            return Ok(seen);
        }
        tokio::task::yield_now().await;
    }
    Err("the journal's writer hangs".into())
}
