//! What a node does by itself while it runs: it wakes what is due, retires owners that nobody asks, looks again at keys and models, keeps its clock in step; and how it
//! stops.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::ids::{Code, MuseumId, PaymentId, PersonId, SlotId};
use tornello_engine::payment::{self, Payment};
use tornello_engine::slot::verdict::Window;
use tornello_engine::time::{DAY_S, Timestamp};

use super::{FORGET_AFTER_S, Node, Running, Writing};
use crate::clock::{RealClock, Stopwatch};
use crate::failure::{Failure, why};
use crate::journal::writer::{Health, STALLED_AFTER_US};
use crate::pauses::{Pauses, keep_on};
use crate::people::{PeopleError, RETENTION_S};
use crate::{accounts, cases, days, limits, moves, payments, quotes};

/// Owners that nobody asked for so long are retired.
const RETIRE_EVERY: Duration = Duration::from_secs(60);
/// How long a stop waits for everything together; what has not ended by then is left behind.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// How soon slots are woken again whose deadline still stands, when the journal writes and when it does not.
const WAKE_AGAIN: Duration = Duration::from_millis(50);
const WAKE_AGAIN_BROKEN: Duration = Duration::from_secs(1);
/// A wall clock that has moved by so much since it was last reported has jumped again.
const TOLD_AGAIN_US: i64 = 1_000_000;
const KEYS_EVERY: Duration = Duration::from_millis(500);
const MODELS_EVERY: Duration = Duration::from_millis(500);
/// After how many looks at keys that all failed in the same way that is told again: a minute.
const KEYS_TOLD_AGAIN: u32 = 120;
/// For how many looks after registered models could not be put to work the same are let be: a minute.
const MODELS_AGAIN: u32 = 120;

/// Why no contact was erased whose time is over.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// A payment cannot be looked at, and of which museum it is nobody knows, so nobody can tell who is owed money.
    #[error("who is owed money cannot be seen now: {0}")]
    Payment(Failure<payment::Refusal>),
    /// The contacts cannot be read or written.
    #[error(transparent)]
    People(#[from] PeopleError),
}

/// Whom payments name of which money is owed or contested: of each payment as of one of its records.
#[derive(Debug, Default)]
pub(super) struct Creditors(tokio::sync::Mutex<HashMap<PaymentId, (u64, Vec<PersonId>)>>);

/// Who paid, and to whom what is owed goes.
fn creditors_of(payment: &Payment) -> Vec<PersonId> {
    let payer = payment.opened().and_then(|opened| opened.payer);
    let payees = payment.refunds().iter().filter(|refund| refund.state.is_owed()).filter_map(|refund| refund.payee);
    payer.into_iter().chain(payees).collect()
}

impl Node {
    /// What goes on as long as it runs. Unless it drives what goes on by itself, whoever holds it does the rest.
    pub(super) fn go_on(node: &Arc<Self>, drives: bool) -> Vec<JoinHandle<()>> {
        let of = || Arc::clone(node);
        let mut tasks = vec![
            tokio::spawn(keep_on("waking what is due", of(), Self::keep_deadlines)),
            tokio::spawn(keep_on("keeping house", of(), Self::keep_house)),
            tokio::spawn(keep_on("looking again at keys", of(), Self::keep_keys)),
            tokio::spawn(keep_on("moving tickets", of(), |node| async move { moves::keep_moving(&node).await })),
        ];
        if drives {
            tasks.push(tokio::spawn(keep_on("driving payments", of(), |node| async move { payments::keep_paying(&node).await })));
            tasks.push(tokio::spawn(keep_on("driving quotes", of(), |node| async move { quotes::keep_quoting(&node).await })));
            tasks.push(tokio::spawn(keep_on("charging accounts", of(), |node| async move { accounts::keep_charging(&node).await })));
            tasks.push(tokio::spawn(keep_on("telling slots of their days", of(), |node| async move { days::keep_telling(&node).await })));
            tasks.push(tokio::spawn(keep_on("looking for fraud cases", of(), |node| async move { cases::keep_looking(&node).await })));
            tasks.push(tokio::spawn(keep_on("noting refusals at gates", of(), |node| async move { node.keep_noting().await })));
        }
        tasks.push(tokio::spawn(keep_on("merging what gates were told", of(), |node| async move { node.keep_merging().await })));
        tasks
    }

    /// Retires the owners that nobody has asked since the last time, and takes slots that ended days ago off the board: what the node does by itself once a
    /// minute, for replays whose years are minutes.
    pub async fn tidy(&self) {
        tokio::join!(
            self.slots.retire_idle(),
            self.museum_owners.retire_idle(),
            self.payment_owners.retire_idle(),
            self.voucher_owners.retire_idle(),
            self.order_owners.retire_idle(),
            self.quote_owners.retire_idle(),
            self.till_owners.retire_idle(),
            self.account_owners.retire_idle(),
            self.case_owners.retire_idle(),
            self.rules_owner.retire_idle(),
            self.model_owners.retire_idle(),
            self.attempt_owners.retire_idle(),
            self.attendance_owners.retire_idle(),
            self.planning_owners.retire_idle(),
        );
        self.board.forget(self.clock.now().plus_seconds(-FORGET_AFTER_S));
        self.quotes.forget(self.clock.now().plus_seconds(-FORGET_AFTER_S));
        self.cases.passes().forget(self.clock.now());
        self.tidy_rooms();
        limits::forget(self);
    }

    /// Until when somebody is kept whom a sale or a quote of a slot names: as long after its tickets have let in for the last time, which may be days or a season after the slot. None:
    /// there is no such slot.
    #[must_use]
    pub fn kept_until(&self, slot: SlotId) -> Option<Timestamp> {
        let planned = || self.museums.opening(slot).map(|opening| Window::of(&opening));
        let opened = self.board.head(slot).map(|head| Window::planned(slot, head.end, &head.policy));
        Some(opened.or_else(planned)?.over_at().plus_seconds(RETENTION_S))
    }

    /// Erases the contacts whose time is over, if [`Node::erases_by_date`]. Whoever is owed money, or paid what is contested, is kept from day to day until that has ended: somebody has to
    /// write to them, and pay to the account that is kept with them. Where a payment cannot be looked at so is everybody of its museum, as nobody can tell whom it names. Answers how many
    /// were erased.
    ///
    /// # Errors
    /// If nobody can tell now at which museum somebody is owed money, or the disk fails; those already erased stay erased.
    pub async fn erase_due(&self) -> Result<u64, ErasureError> {
        let Some(files) = &self.files else { return Ok(0) };
        let now = self.clock.now();
        if !self.erases_by_date() || !files.people.is_any_due(now).await? {
            return Ok(0);
        }
        let (creditors, unseen) = self.find_creditors().await.map_err(ErasureError::Payment)?;
        let tomorrow = now.plus_seconds(DAY_S);
        files.people.postpone_due(&creditors, now, tomorrow).await?;
        files.people.postpone_due_at(&unseen, now, tomorrow).await?;
        Ok(files.people.erase_due(now).await?)
    }

    /// Whom payments name of which money is owed or contested, and the museums of those payments that cannot be looked at now.
    async fn find_creditors(&self) -> Result<(Vec<PersonId>, BTreeSet<MuseumId>), Failure<payment::Refusal>> {
        let mut known = self.creditors.0.lock().await;
        let heads = self.payments.heads().into_iter();
        let open: HashMap<PaymentId, _> = heads.filter(|(_, head)| head.owed > 0 || head.is_disputed).collect();
        known.retain(|id, (seq, _)| open.get(id).is_some_and(|head| head.seq == *seq));
        let mut unseen = BTreeSet::new();
        for (id, head) in open {
            if known.contains_key(&id) {
                continue;
            }
            match self.look_payment(id, |payment| (payment.seq(), creditors_of(payment))).await {
                Ok(named) => {
                    known.insert(id, named);
                }
                Err(failure) => {
                    let Some(museum) = head.museum else { return Err(failure) };
                    tracing::warn!(payment = %id, %failure, "whom a payment owes money cannot be seen now: no contact of its museum is erased by its date before it can");
                    unseen.insert(museum);
                }
            }
        }
        Ok((known.values().flat_map(|(_, people)| people.iter().copied()).collect(), unseen))
    }

    /// Ends when something has an earlier deadline than all others had, or what was due has been seen to.
    async fn sooner(&self) {
        tokio::select! {
            biased;
            () = self.board.sooner() => {}
            () = self.payments.sooner() => {}
            () = self.quotes.sooner() => {}
            () = self.cases.sooner() => {}
        }
    }

    /// Wakes what is due, whenever something is. Runs until dropped.
    async fn keep_deadlines(node: Arc<Self>) {
        let mut pauses = Pauses::default();
        loop {
            let beside = [node.payments.next_wake(), node.quotes.next_wake(), node.cases.next_wake()];
            let next = node.board.next_wake().into_iter().chain(beside.into_iter().flatten()).min();
            tokio::select! {
                biased;
                () = async { match next { Some(at) => node.clock.sleep_until(at).await, None => std::future::pending().await } } => {
                    // What it slept for may have ended before its time.
                    if !node.wake_due_again(&mut pauses).await {
                        continue;
                    }
                    // What was woken is off the index when its record is on the disk; a slot that cannot write is asked again soon, not at once.
                    let again = if node.health() == Health::Writing { WAKE_AGAIN } else { WAKE_AGAIN_BROKEN };
                    let _ = tokio::time::timeout(again, node.sooner()).await;
                }
                () = node.sooner() => {}
            }
        }
    }

    /// Looks whether the disk of the journal stalls, now: what [`keep_watch`] does again and again, for whoever sets the clock.
    pub fn watch_disk(&self) {
        self.stalls.look(self.clock.now());
    }

    /// Looks again at API keys and at those that sign tickets: what was revoked in another process lets nobody in a second later, whatever else the node has to do. Runs
    /// until dropped.
    async fn keep_keys(node: Arc<Self>) {
        let Some(files) = &node.files else { return };
        let mut look = tokio::time::interval(KEYS_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut keys, mut codes) = (Trouble::default(), Trouble::default());
        loop {
            look.tick().await;
            if let Some(error) = keys.news(files.keys.refresh().await) {
                tracing::error!(%error, "the API keys cannot be read again: those that were read last are good");
            }
            if let Some(error) = codes.news(files.codes.refresh(node.clock.now())) {
                tracing::error!(%error, "the keys that sign tickets cannot be read again: those that were read last sign and are good");
            }
        }
    }

    /// Retires owners, and looks again at models and contacts that are due. Runs until dropped.
    async fn keep_house(node: Arc<Self>) {
        let (mut look, mut retire) = (tokio::time::interval(MODELS_EVERY), tokio::time::interval(RETIRE_EVERY));
        // The first time it is done at once. The first tick of an interval comes when the machine's timer has gone on, and so sooner or later among all that a start has to do.
        look.reset();
        retire.reset();
        let mut retire_now = true;
        // Models that could not be put to work, and for how many looks they are let be: they are not on the shelf yet, or damaged.
        let mut unusable: Option<([Option<Code>; 2], u32)> = None;
        loop {
            let wanted = node.scoring.wanted_models(&node.defences);
            unusable = match unusable {
                Some((models, looks)) if models == wanted && looks > 0 => Some((models, looks - 1)),
                _ => (!node.follow_models().await).then_some((wanted, MODELS_AGAIN)),
            };
            if retire_now {
                node.tidy().await;
                if let Some(files) = &node.files
                    && let Err(error) = files.keys.flush_last_used().await
                {
                    tracing::warn!(error = %why(&error), "when keys were last used was not saved");
                }
                if let Err(error) = node.erase_due().await {
                    tracing::error!(error = %why(&error), "contacts that are due were not erased");
                }
            }
            retire_now = tokio::select! {
                biased;
                _ = look.tick() => false,
                _ = retire.tick() => true,
            };
        }
    }
}

impl Running {
    /// The node.
    #[must_use]
    pub const fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Stops within ten seconds: finishes what was asked, puts it on the disk, and saves snapshots and heads, as far as there is time. Callers must have stopped asking. The
    /// node itself goes when its last holder drops it. Other processes may have the data folder only when nothing of this one writes there any more.
    pub async fn stop(self) {
        self.stop_within(STOP_WITHIN).await;
    }

    /// As [`Running::stop`], where something else has been stopping since `begun`: the ten seconds are for both.
    pub async fn stop_since(self, begun: Stopwatch) {
        self.stop_within(STOP_WITHIN.saturating_sub(begun.elapsed())).await;
    }

    pub(super) async fn stop_within(self, most: Duration) {
        let Self { node, writer, ending, views, listed, tasks, lock } = self;
        let deadline = Deadline { begun: Stopwatch::start(), most };
        // What gates were told, and owners who are busy, may take half of the time: the journal's end comes first.
        let early = Deadline { begun: Stopwatch::start(), most: most / 2 };
        if node.unrecorded() > 0 {
            // It is in memory alone, and a disk that stalls may go on in time.
            let mut health = node.health.clone();
            early.wait_for(async { health.wait_for(|health| *health != Health::Stalled).await.is_ok() }).await;
        }
        if node.health() == Health::Writing {
            early.wait_for(node.end_forks()).await;
            early.wait_for(node.note_refusals()).await;
        }
        if node.unrecorded() > 0 {
            tracing::error!(
                scans = node.unrecorded(),
                "what gates were told while the journal did not write is not written: the gates have it, and must send it in"
            );
        }
        // The first call notes who is idle, the second retires them; commands on their way are settled in between by the journal.
        for _ in 0..2 {
            early.wait_for(node.slots.retire_idle()).await;
        }
        tasks.iter().for_each(JoinHandle::abort);
        for task in tasks {
            deadline.wait_for(task).await;
        }
        let mut all_ended = true;
        let committed = node.committed.clone();
        if let Some(files) = &node.files {
            let closing = async {
                let _ = files.keys.flush_last_used().await;
                files.people.close().await;
                files.keys.close().await;
            };
            all_ended &= deadline.wait_for(closing).await.is_some();
        }
        drop(committed);
        // Owners and registries hold the journal's queue: with the last of them the writer ends, after what was queued.
        let (threads, scoring) = (Arc::clone(&node.threads), Arc::clone(&node.scoring));
        drop(node);
        let ended = deadline.wait_for(end_of(writer)).await;
        if ended != Some(true) {
            tracing::error!("the journal's writer did not end in time, or ended badly");
        }
        all_ended &= ended.is_some();
        threads.stop();
        for task in ending {
            all_ended &= deadline.wait_for(task).await.is_some();
        }
        scoring.stop();
        if let Some(views) = views {
            let listed = match listed {
                Some(listed) => deadline.wait_for(listed).await,
                None => Some(Ok(())),
            };
            all_ended &= listed.is_some();
            if matches!(listed, Some(Ok(()))) {
                all_ended &= deadline.wait_for(views.close()).await.is_some();
            } else {
                tracing::error!("the read models were not taken to the end of the journal in time: they are built again if the machine ends now");
                all_ended &= deadline.wait_for(views.leave()).await.is_some();
            }
        }
        if all_ended {
            drop(lock);
        } else {
            // What has not ended may write yet: the folder is this process's until it ends.
            std::mem::forget(lock);
        }
    }
}

/// What fails at each of many looks: a line for each of them would fill the log, and hide what else is wrong.
#[derive(Debug, Default)]
struct Trouble {
    /// What was told last; empty: all is well.
    told: String,
    looks_since: u32,
}

impl Trouble {
    /// What is to be told of a look that ended so: why it failed, at once if it is another reason than the last one, or else now and then.
    fn news<T, E: Error + 'static>(&mut self, looked: Result<T, E>) -> Option<String> {
        let Err(error) = looked else {
            self.told.clear();
            return None;
        };
        let why = why(&error);
        self.looks_since += 1;
        if why == self.told && self.looks_since < KEYS_TOLD_AGAIN {
            return None;
        }
        (self.told, self.looks_since) = (why.clone(), 0);
        Some(why)
    }
}

/// When a stop waits no longer.
struct Deadline {
    begun: Stopwatch,
    most: Duration,
}

impl Deadline {
    /// What work comes to, if it ends in time. Also after the deadline it is tried once, without waiting.
    async fn wait_for<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(self.most.saturating_sub(self.begun.elapsed()), work).await.ok()
    }
}

/// Whether the writer ends well. A thread is waited for by one that nobody waits for: the end of a process does not wait for it either.
async fn end_of(writer: Writing) -> bool {
    let thread = match writer {
        Writing::Apart(thread) => thread,
        Writing::Here(task) => return task.await.is_ok(),
    };
    let (tell, ended) = oneshot::channel();
    let waiting = std::thread::Builder::new().name("ending".into()).spawn(move || tell.send(thread.join().is_ok()));
    waiting.is_ok() && ended.await.unwrap_or(false)
}

/// Looks now and then whether the disk of the journal stalls, for as long as it runs. For whoever's clock is that of the machine: under one that jumps, every write
/// takes too long.
pub async fn keep_watch(node: Arc<Node>) {
    loop {
        node.clock.sleep_until(Timestamp::from_micros(node.clock.now().as_micros().saturating_add(STALLED_AFTER_US / 4))).await;
        node.watch_disk();
    }
}

/// Slews the real clock once a second and reports jumps of the wall clock. Runs until dropped.
pub async fn keep_time(clock: Arc<RealClock>) {
    let mut told_us = 0;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let apart_us = clock.slew().unwrap_or(0);
        // Each jump once, and the last one back too.
        if (apart_us - told_us).abs() > TOLD_AGAIN_US {
            told_us = apart_us;
            if apart_us == 0 {
                tracing::info!("the wall clock is right again");
            } else {
                tracing::error!(apart_us, "the wall clock has jumped; it is not followed: set it right, or restart to take it over");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn what_fails_at_each_look_is_told_at_once_and_then_now_and_then() {
        let mut trouble = Trouble::default();
        let mut look = |why: &str| trouble.news(if why.is_empty() { Ok(()) } else { Err(io::Error::other(why)) });
        assert_eq!(look(""), None);
        assert_eq!(look("locked").as_deref(), Some("locked"));
        assert_eq!((1..KEYS_TOLD_AGAIN).find_map(|_| look("locked")), None);
        assert_eq!(look("locked").as_deref(), Some("locked"), "a minute later");
        assert_eq!(look("damaged").as_deref(), Some("damaged"), "another reason is told at once");
        assert_eq!((look(""), look("damaged").as_deref()), (None, Some("damaged")), "and so is one that comes back");
    }
}
