//! What gates are told while the journal does not write, and what becomes of it when it does.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join;
use tokio::task::JoinHandle;
use tornello_engine::attempts::day_of;
use tornello_engine::envelope::{Party, PartyKind};
use tornello_engine::offline::Listing;
use tornello_engine::slot::{AdmissionConflict, ConflictReason, Direction, Reentry, TicketState};

use tornello_models::fraud::signals::{SignalKind, features, index_of};

use super::*;
use crate::fraud::fold::replay_to;
use crate::fraud::signal_of;
use crate::sensors::Measured;

/// The slot that runs now.
fn today() -> SlotId {
    SlotId::new(MUSEUM, RouteId(1), now())
}

fn sale() -> HoldId {
    HoldId::new(today(), 1)
}

fn passage(number: u16, direction: Direction) -> Passage {
    Passage { ticket: sale().ticket(number), issue: Some(1), gate: code("north"), museum: MUSEUM, direction }
}

const fn enter(number: u16) -> (u16, Direction) {
    (number, Direction::In)
}

const fn leave(number: u16) -> (u16, Direction) {
    (number, Direction::Out)
}

/// A house with five tickets for now, of which each lets in twice within the hour.
async fn sold(journal: &Arc<Faulty>) -> House {
    let house = House::on(Arc::clone(journal) as _).await;
    open_museum(house.node()).await;
    let mut plan = plan();
    plan.routes[0].policy.reentry = Reentry { times_max: 1, within_s: 3_600 };
    house.node().museum(MUSEUM, by(2_000), museum::Command::SetPlan { valid_from: calendar::local_day(now()), plan }).await.unwrap();
    house.node().slot(today(), by(1), sell_in(today(), 1, 5)).await.unwrap();
    house
}

impl Faulty {
    /// Waits until another batch is being written than those that had been begun.
    async fn begins_after(&self, begun: usize) {
        while self.appends.load(Ordering::Relaxed) == begun {
            tokio::task::yield_now().await;
        }
    }
}

impl House {
    /// Waits until the journal's writer is like that.
    async fn is(&self, health: Health) {
        while self.node().health() != health {
            tokio::task::yield_now().await;
        }
    }

    async fn pass(&self, key: u128, (number, direction): (u16, Direction)) -> Answer<Slot> {
        self.node().pass(by(key), passage(number, direction)).await
    }

    /// What a gate was told, in short: the time of the scan if it is not written, or the refusal's code.
    async fn told(&self, key: u128, what: (u16, Direction)) -> Result<Option<Timestamp>, &'static str> {
        match self.pass(key, what).await {
            Ok(record) => Ok(match record.events.last() {
                Some(Event::Admitted(admitted)) => admitted.scanned_at,
                Some(Event::Exited(exited)) => exited.scanned_at,
                other => panic!("{other:?}"),
            }),
            Err(Failure::Refused(refusal)) => Err(refusal.code()),
            Err(failure) => panic!("{failure}"),
        }
    }

    /// Watches whether the disk stalls, from now on: before anything happens the watch sleeps by the clock as it is.
    async fn watched(&self) -> JoinHandle<()> {
        let watching = actix_rt::spawn(keep_watch(Arc::clone(self.node())));
        tokio::task::yield_now().await;
        watching
    }

    /// Ends the watch, and the house.
    async fn stop_watched(self, watching: JoinHandle<()>) {
        watching.abort();
        let _ = watching.await;
        self.running.stop().await;
    }

    /// Asks for a gate while somebody holds the disk, and lets time go by until it is known to stall: what the gate is told, and when.
    async fn told_as_it_stalls(&self, journal: &Faulty, key: u128, what: (u16, Direction)) -> (Result<Option<Timestamp>, &'static str>, Timestamp) {
        let (begun, at) = (journal.appends.load(Ordering::Relaxed), now().plus_seconds(2));
        let (told, ()) = join(self.told(key, what), async {
            journal.begins_after(begun).await;
            self.clock.set(at);
        })
        .await;
        (told, at)
    }

    async fn inside(&self) -> (u32, u32) {
        self.node().look(today(), |slot| (slot.places().admitted, slot.places().inside)).await.unwrap()
    }

    /// Waits until nothing is unrecorded; nobody asks for anything.
    async fn merged(&self) {
        let merged = async {
            while self.node().unrecorded() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), merged).await.expect("what gates were told is written");
    }
}

/// Lets all others go as far as they can.
async fn others_go_on() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Fills the disk, and lets the house notice.
async fn fill(house: &House, journal: &Faulty) {
    journal.full.store(true, Ordering::Relaxed);
    assert!(matches!(house.ask(9_000, hold(9_000, 1)).await, Err(Failure::Journal(_))));
    assert_eq!(house.node().health(), Health::Recovering);
}

#[actix_rt::test]
async fn on_a_full_disk_gates_are_told_what_they_would_be_told_online_and_it_is_written_later() {
    let (journal, other) = (Arc::new(Faulty::default()), Arc::new(Faulty::default()));
    let (house, online) = (sold(&journal).await, sold(&other).await);
    let script = [
        (0, 10, enter(0)),
        (10, 11, enter(1)),
        (10, 12, enter(0)),
        (20, 13, leave(0)),
        (20, 14, leave(0)),
        (30, 15, enter(0)),
        (40, 16, leave(0)),
        (50, 17, enter(0)),
        (60, 18, leave(4)),
        (60, 19, enter(7)),
        (3_600 + 901, 20, enter(2)),
    ];
    fill(&house, &journal).await;
    let mut told = Vec::new();
    for (s, key, what) in script {
        let at = now().plus_seconds(s);
        house.clock.set(at);
        online.clock.set(at);
        let (offline, online) = (house.told(key, what).await, online.told(key, what).await);
        assert_eq!(offline, online.map(|_| Some(at)), "{what:?} at {s}");
        told.push((key, what, house.pass(key, what).await));
    }
    assert_eq!((house.node().unrecorded(), house.inside().await), (5, (0, 0)), "nothing of it is written");
    journal.full.store(false, Ordering::Relaxed);
    house.merged().await;
    assert_eq!(house.inside().await, online.inside().await);
    let tickets = |slot: &Slot| Listing::of(slot).tickets;
    assert_eq!(house.node().look(today(), tickets).await, online.node().look(today(), tickets).await);
    // The keys are those of the requests: a repeat says the same, also after a restart.
    let same = |first: &Answer<Slot>, again: &Answer<Slot>| match (first, again) {
        (Ok(first), Ok(again)) => first.events == again.events,
        (first, again) => first == again,
    };
    house.running.stop().await;
    let house = House::on(Arc::clone(&journal) as _).await;
    house.clock.set(online.node().now());
    for (key, what, first) in &told {
        if first.is_ok() {
            let again = house.pass(*key, *what).await;
            assert!(same(first, &again), "{what:?}: {first:?}, {again:?}");
        }
    }
    assert_eq!(house.told(21, enter(3)).await, Err("too_late"), "it is online again");
    house.running.stop().await;
    online.running.stop().await;
}

/// Ten minutes before a later slot begins, which has sold five places: both let in. There may be 30 people, and there are 27. Answers that slot, and what was read.
async fn nearly_full(house: &House) -> (SlotId, Occupancy) {
    let next = SlotId::new(MUSEUM, RouteId(1), now().plus_seconds(3_600));
    house.node().slot(next, by(2), sell_in(next, 1, 5)).await.unwrap();
    let at = now().plus_seconds(50 * 60);
    house.clock.set(at);
    let reading = Reading { museum: MUSEUM, sensor: code("door"), at, measured: Measured::Inside { people: 27, sd: Some(0) } };
    (next, house.node().read(reading, KeyId(3)).await.unwrap().unwrap())
}

#[actix_rt::test]
async fn the_room_in_a_building_is_spent_once_over_all_slots_also_while_the_journal_does_not_write() {
    let journal = Arc::new(Faulty::default());
    let house = sold(&journal).await;
    let (next, occupancy) = nearly_full(&house).await;
    house.clock.set(house.node().now().plus_seconds(1));
    let said = async |key: u128, slot: SlotId, number: u16, direction: Direction| {
        let passage = Passage { ticket: HoldId::new(slot, 1).ticket(number), issue: Some(1), gate: code("north"), museum: MUSEUM, direction };
        match house.node().pass(by(key), passage).await {
            Ok(_) => "passed",
            Err(Failure::Refused(refusal)) => refusal.code(),
            Err(failure) => panic!("{failure}"),
        }
    };
    let (into, out) = (Direction::In, Direction::Out);
    assert_eq!(said(10, today(), 0, into).await, "passed");
    fill(&house, &journal).await;
    assert_eq!((said(11, next, 0, into).await, said(12, today(), 1, into).await), ("passed", "passed"));
    assert_eq!((said(13, next, 1, into).await, said(14, today(), 2, into).await), ("wait", "wait"));
    assert_eq!((said(15, today(), 0, out).await, said(13, next, 1, into).await, said(14, today(), 2, into).await), ("passed", "passed", "wait"));
    assert_eq!((house.node().unrecorded(), house.node().passed_since(&occupancy)), (4, 3));
    journal.full.store(false, Ordering::Relaxed);
    house.merged().await;
    assert_eq!((said(14, today(), 2, into).await, house.node().passed_since(&occupancy)), ("wait", 3), "written, it counts once");
    house.running.stop().await;
}

#[actix_rt::test]
async fn the_gates_of_two_slots_that_ask_at_once_share_what_room_there_is() {
    let house = sold(&Arc::new(Faulty::default())).await;
    let (next, occupancy) = nearly_full(&house).await;
    let tickets = (0..5).flat_map(|number| [today(), next].map(|slot| HoldId::new(slot, 1).ticket(number)));
    let enter = |(key, ticket)| house.node().pass(by(key), Passage { ticket, ..passage(0, Direction::In) });
    let answers = join_all((10..).zip(tickets).map(enter)).await;
    let refused = |answer: &Answer<Slot>| matches!(answer, Err(Failure::Refused(Refusal::Wait { ceiling: 30, .. })));
    assert_eq!((answers.iter().filter(|answer| answer.is_ok()).count(), answers.iter().filter(|answer| refused(answer)).count()), (3, 7));
    assert_eq!(house.node().passed_since(&occupancy), 3);
    house.running.stop().await;
}

#[actix_rt::test]
async fn of_many_at_once_with_one_ticket_one_is_let_in_and_a_repeat_is_one_scan() {
    let journal = Arc::new(Faulty::default());
    let house = sold(&journal).await;
    // The disk fills up while they come.
    journal.full.store(true, Ordering::Relaxed);
    let answers = join_all((0..20).map(|n| house.pass(100 + n, enter((n % 2) as u16)))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 2, "{answers:?}");
    let others = answers.iter().filter(|answer| matches!(answer, Err(Failure::Refused(Refusal::TicketInside { .. }))));
    assert_eq!(others.count(), 18, "{answers:?}");
    let repeats = join_all((0..10).map(|_| house.pass(200, enter(2)))).await;
    assert!(repeats.iter().all(|answer| answer.is_ok() && answer == &repeats[0]), "{repeats:?}");
    let other = Envelope { body: Digest(1), ..by(200) };
    assert_eq!(house.node().pass(other, passage(2, Direction::In)).await, Err(Failure::KeyReused));
    assert_eq!(house.node().unrecorded(), 3);
    journal.full.store(false, Ordering::Relaxed);
    house.merged().await;
    assert_eq!(house.inside().await, (3, 3));
    house.running.stop().await;
}

#[actix_rt::test]
async fn while_the_journal_comes_and_goes_nobody_is_let_in_twice() {
    let journal = Arc::new(Faulty::default());
    let house = sold(&journal).await;
    for round in 0..5_u128 {
        let toggle = async {
            for n in 0..60 {
                journal.full.store(n % 3 != 2, Ordering::Relaxed);
                let _ = house.ask(10_000 + round * 1_000 + n, Command::SetCapacity { capacity: 30 }).await;
            }
            journal.full.store(false, Ordering::Relaxed);
        };
        let number = round as u16;
        let passes = join_all((0..40).map(|n| {
            let house = &house;
            async move {
                for _ in 0..n {
                    tokio::task::yield_now().await;
                }
                house.pass(1_000 + round * 100 + n, enter(number)).await
            }
        }));
        let (answers, ()) = join(passes, toggle).await;
        let admitted = answers.iter().filter(|answer| answer.is_ok()).count();
        assert!(admitted <= 1, "round {round}: {answers:?}");
        let unclear = |answer: &Answer<Slot>| !matches!(answer, Ok(_) | Err(Failure::Refused(Refusal::TicketInside { .. })));
        assert!(admitted == 1 || answers.iter().all(unclear), "round {round}: {answers:?}");
    }
    house.merged().await;
    let conflicts = house.node().look(today(), |slot| slot.conflicts().count()).await.unwrap();
    assert_eq!(conflicts, 0);
    house.running.stop().await;
}

#[actix_rt::test]
async fn nothing_is_decided_online_before_what_was_told_is_written() {
    let journal = Arc::new(Faulty::default());
    let house = sold(&journal).await;
    fill(&house, &journal).await;
    assert_eq!(house.told(10, enter(0)).await, Ok(Some(now())));
    let fork = house.node().gates.forks.read().await.get(&today()).cloned().expect("the slot is forked");
    let held = fork.lock().await;
    journal.full.store(false, Ordering::Relaxed);
    house.is(Health::Writing).await;
    let (again, ()) = join(house.told(11, enter(0)), async {
        // Somebody else is served meanwhile, so whoever could be would have been.
        house.ask(12, hold(12, 1)).await.unwrap();
        assert_eq!(house.inside().await, (0, 0));
        drop(held);
    })
    .await;
    assert_eq!(again, Err("ticket_inside"));
    assert_eq!((house.inside().await, house.node().unrecorded()), ((1, 1), 0));
    house.running.stop().await;
}

#[actix_rt::test]
async fn what_was_known_or_changed_meanwhile_comes_out_when_it_is_merged() {
    let journal = Arc::new(Faulty::default());
    let house = sold(&journal).await;
    fill(&house, &journal).await;
    for number in 0..3 {
        assert_eq!(house.told(10 + u128::from(number), enter(number)).await, Ok(Some(now())));
    }
    // Before anything can be merged: a gate sends its own scan in, and a ticket is cancelled.
    let fork = house.node().gates.forks.read().await.get(&today()).cloned().expect("the slot is forked");
    let held = fork.lock().await;
    journal.full.store(false, Ordering::Relaxed);
    house.is(Health::Writing).await;
    house.node().slot(today(), by(50), passage(0, Direction::In).merge(now())).await.unwrap();
    let cancel = Command::Cancel { sale: sale(), owner: None, tickets: vec![1], cause: slot::CancelCause::Museum };
    house.node().slot(today(), by(51), cancel).await.unwrap();
    // Somebody else has used the key of the third for something else.
    house.node().slot(today(), Envelope { body: Digest(0), ..by(12) }, sell_in(today(), 2, 1)).await.unwrap();
    drop(held);
    house.merged().await;
    let conflicts = house.node().look(today(), |slot| slot.conflicts().map(|(scan, reason)| (*scan, reason)).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(conflicts, [(passage(1, Direction::In).scan(now()), ConflictReason::TicketCancelled)]);
    assert_eq!(house.inside().await, (2, 2));
    let again = house.pass(11, enter(1)).await.unwrap();
    assert!(matches!(again.events[..], [Event::AdmissionConflict(AdmissionConflict { reason: ConflictReason::TicketCancelled, .. })]), "{again:?}");
    assert_eq!(house.told(13, enter(2)).await, Err("ticket_inside"));
    house.running.stop().await;
}

#[actix_rt::test]
async fn what_was_told_counts_at_gates_as_it_will_be_merged_after_what_was_written_meanwhile() {
    for (key, again) in [(50, Err("ticket_used")), (10, Ok(()))] {
        let journal = Arc::new(Faulty::default());
        let house = sold(&journal).await;
        let at = |s| now().plus_seconds(s);
        fill(&house, &journal).await;
        for (s, key, what) in [(0, 10, enter(0)), (10, 11, leave(0))] {
            house.clock.set(at(s));
            assert_eq!(house.told(key, what).await, Ok(Some(at(s))));
        }
        // The journal comes back for a moment. Before anything can be merged the slot itself is asked, under another key or once more under the first.
        let fork = house.node().gates.forks.read().await.get(&today()).cloned().expect("the slot is forked");
        let held = fork.lock().await;
        journal.full.store(false, Ordering::Relaxed);
        house.is(Health::Writing).await;
        house.clock.set(at(20));
        let Passage { ticket, issue, gate, museum, .. } = passage(0, Direction::In);
        house.node().slot(today(), by(key), Command::Admit { ticket, issue, gate, museum }).await.unwrap();
        fill(&house, &journal).await;
        drop(held);
        house.clock.set(at(30));
        assert_eq!(house.told(12, leave(0)).await, Ok(Some(at(30))));
        house.clock.set(at(40));
        assert_eq!(house.told(13, enter(0)).await.map(drop), again, "under key {key}");
        journal.full.store(false, Ordering::Relaxed);
        house.merged().await;
        let conflicts = house.node().look(today(), |slot| slot.conflicts().count()).await.unwrap();
        assert_eq!(conflicts, 0, "under key {key}");
        house.running.stop().await;
    }
}

#[actix_rt::test]
async fn what_may_have_been_written_is_not_told_before_the_journal_knows() {
    for (fault, inside) in [(Fault::Lost, 0), (Fault::Written, 1)] {
        let journal = Arc::new(Faulty::default());
        let house = sold(&journal).await;
        journal.faults.lock().push_back(fault.clone());
        let stall = journal.stall.lock().await;
        let begun = journal.appends.load(Ordering::Relaxed);
        let (answer, ()) = join(house.pass(10, enter(0)), async {
            journal.begins_after(begun).await;
            journal.unreachable.store(true, Ordering::Relaxed);
            drop(stall);
        })
        .await;
        assert_eq!(answer, Err(Failure::OutcomeUnknown), "{fault:?}");
        for key in [10, 11] {
            assert_eq!(house.pass(key, enter(0)).await, Err(Failure::OutcomeUnknown), "{fault:?}");
        }
        assert_eq!(house.told(12, enter(1)).await, Ok(Some(now())), "of other tickets all is known");
        journal.unreachable.store(false, Ordering::Relaxed);
        house.merged().await;
        assert_eq!(house.inside().await, (1 + inside, 1 + inside), "{fault:?}");
        assert_eq!(house.told(10, enter(0)).await, Ok(None), "{fault:?}");
        assert_eq!(house.inside().await, (2, 2), "{fault:?}");
        house.running.stop().await;
    }
}

#[actix_rt::test]
async fn while_the_disk_stalls_gates_go_on_by_themselves_and_nobody_is_let_in_twice() {
    let journal = Arc::new(Faulty::default());
    let house = sold(&journal).await;
    assert_eq!(house.told(5, enter(3)).await, Ok(None));
    let watching = house.watched().await;
    let stall = journal.stall.lock().await;
    let (begun, at) = (journal.appends.load(Ordering::Relaxed), now().plus_seconds(2));
    // One ticket is shown once, another one twice, and the disk takes none of it.
    let shown = join_all([(10, enter(0)), (11, enter(1)), (12, enter(1))].map(|(key, what)| house.pass(key, what)));
    let (answers, ()) = join(shown, async {
        journal.begins_after(begun).await;
        assert_eq!(house.node().health(), Health::Writing);
        house.clock.set(at);
    })
    .await;
    assert_eq!(house.node().health(), Health::Stalled);
    let Ok(Record { events, .. }) = &answers[0] else { panic!("{:?}", answers[0]) };
    assert!(matches!(&events[..], [Event::Admitted(admitted)] if admitted.scanned_at == Some(at)), "{events:?}");
    assert_eq!(answers[1..], [Err(Failure::OutcomeUnknown), Err(Failure::OutcomeUnknown)]);
    // Nobody waits any more.
    let told = async {
        assert_eq!(house.told(13, enter(2)).await, Ok(Some(at)));
        assert_eq!(house.told(13, enter(2)).await, Ok(Some(at)), "a repeat is told the same");
        for (key, number) in [(14, 0), (15, 2), (16, 3)] {
            assert_eq!(house.told(key, enter(number)).await, Err("ticket_inside"));
        }
        assert_eq!(house.told(5, enter(3)).await, Ok(None), "what is on the disk is answered from there");
        for key in [11, 12, 17] {
            assert_eq!(house.pass(key, enter(1)).await, Err(Failure::OutcomeUnknown), "it may be written at any time");
        }
    };
    tokio::time::timeout(Duration::from_secs(5), told).await.expect("gates do not wait for the disk");
    assert_eq!(house.node().unrecorded(), 2);
    drop(stall);
    house.merged().await;
    assert_eq!(house.node().health(), Health::Writing);
    // What was on its way is written, once, and so is what was told.
    assert_eq!((house.told(10, enter(0)).await, house.told(11, enter(1)).await), (Ok(None), Ok(None)));
    assert_eq!(house.told(12, enter(1)).await, Err("ticket_inside"));
    assert_eq!((house.told(13, enter(2)).await, house.inside().await), (Ok(Some(at)), (4, 4)));
    assert_eq!(house.node().look(today(), |slot| slot.conflicts().count()).await, Ok(0));
    house.stop_watched(watching).await;
}

#[actix_rt::test]
async fn what_a_gate_was_told_to_keep_while_its_request_was_on_its_way_is_no_second_visitor_when_it_is_sent_in() {
    let journal = Arc::new(Faulty::default());
    let house = sold(&journal).await;
    let watching = house.watched().await;
    let stall = journal.stall.lock().await;
    let (told, at) = house.told_as_it_stalls(&journal, 10, enter(0)).await;
    // The second one has come since, and is nowhere but in memory.
    assert_eq!((told, house.told(11, enter(1)).await), (Ok(Some(at)), Ok(Some(at))));
    let send = async |key: u128, number: u16| {
        let passage = passage(number, Direction::In);
        house.node().merge_kept(by(key), passage.scan(at), None, passage.merge(at)).await
    };
    assert_eq!(send(60, 0).await, Err(Failure::OutcomeUnknown), "nobody knows yet as what it will be written");
    drop(stall);
    house.merged().await;
    for (key, number) in [(61, 0), (62, 1)] {
        assert_eq!(send(key, number).await, Err(Failure::Refused(Refusal::ScanKnown)), "ticket {number}");
    }
    assert_eq!(house.node().look(today(), |slot| slot.conflicts().count()).await, Ok(0));
    assert_eq!(house.inside().await, (2, 2));
    house.stop_watched(watching).await;
}

#[actix_rt::test]
async fn what_a_gate_was_told_to_keep_while_its_request_was_on_its_way_is_no_second_visitor_after_a_restart_either() {
    let journal = Arc::new(Faulty::default());
    let house = sold(&journal).await;
    let watching = house.watched().await;
    let stall = journal.stall.lock().await;
    let (told, at) = house.told_as_it_stalls(&journal, 10, enter(0)).await;
    // The second one has come since: of that request nothing is on its way.
    assert_eq!((told, house.told(11, enter(1)).await), (Ok(Some(at)), Ok(Some(at))));
    let [first, second] = [0, 1].map(|number| passage(number, Direction::In));
    let asked_at = house.node().asked_at(&first.scan(at));
    assert_eq!((asked_at, house.node().asked_at(&second.scan(at))), (Some(now()), None));
    drop(stall);
    house.merged().await;
    house.stop_watched(watching).await;

    let again = House::on(Arc::clone(&journal) as _).await;
    again.clock.set(at);
    for (key, kept, asked_at) in [(60, first, asked_at), (61, second, None)] {
        let sent = again.node().merge_kept(by(key), kept.scan(at), asked_at, kept.merge(at)).await;
        assert_eq!(sent, Err(Failure::Refused(Refusal::ScanKnown)), "{kept:?}");
    }
    assert_eq!(again.node().look(today(), |slot| slot.conflicts().count()).await, Ok(0));
    assert_eq!(again.inside().await, (2, 2));
    again.running.stop().await;
}

#[actix_rt::test]
async fn a_gate_that_asks_again_while_the_disk_stalls_is_told_and_its_request_is_written_once() {
    let journal = Arc::new(Faulty::default());
    let house = sold(&journal).await;
    let watching = house.watched().await;
    let stall = journal.stall.lock().await;
    let (begun, at) = (journal.appends.load(Ordering::Relaxed), now().plus_seconds(2));
    // One gate gives its request up before anybody knows that the disk stalls, another one sends its own twice.
    let mut given_up = Box::pin(house.pass(10, enter(0)));
    assert!((&mut given_up).now_or_never().is_none());
    journal.begins_after(begun).await;
    drop(given_up);
    let twice = join(house.told(11, enter(1)), house.told(11, enter(1)));
    let (answers, ()) = join(twice, async {
        others_go_on().await;
        house.clock.set(at);
    })
    .await;
    assert_eq!(answers, (Ok(Some(at)), Ok(Some(at))));
    assert_eq!(house.pass(12, enter(0)).await, Err(Failure::OutcomeUnknown), "what was given up may be written at any time");
    assert_eq!(house.told(10, enter(0)).await, Ok(Some(at)), "and is told to whoever gave it up");
    for (key, number) in [(12, 0), (13, 1)] {
        assert_eq!(house.told(key, enter(number)).await, Err("ticket_inside"));
    }
    drop(stall);
    house.merged().await;
    assert_eq!((house.told(10, enter(0)).await, house.told(11, enter(1)).await, house.inside().await), (Ok(None), Ok(None), (2, 2)));
    assert_eq!(house.node().look(today(), |slot| slot.conflicts().count()).await, Ok(0));
    house.stop_watched(watching).await;
}

#[actix_rt::test]
async fn nobody_is_refused_whom_the_slot_may_have_let_in_before_the_disk_was_found_to_stall() {
    // What speaks against it by then: the gate has closed, somebody else has taken the last room, or as many scans wait as can be kept.
    for why in ["too_late", "wait", "too many scans"] {
        let journal = Arc::new(Faulty::default());
        let house = sold(&journal).await;
        let read = async |at: Timestamp, people: u32| {
            let measured = Measured::Inside { people, sd: Some(0) };
            house.node().read(Reading { museum: MUSEUM, sensor: code("door"), at, measured }, KeyId(3)).await
        };
        let before = now().plus_seconds(if why == "too_late" { 3_600 + 900 } else { 60 });
        house.clock.set(before);
        if why == "wait" {
            read(before, 29).await.unwrap();
        }
        let watching = house.watched().await;
        let stall = journal.stall.lock().await;
        let (begun, after) = (journal.appends.load(Ordering::Relaxed), before.plus_seconds(2));
        let mut asked = Box::pin(house.pass(10, enter(0)));
        assert!((&mut asked).now_or_never().is_none(), "it is on its way");
        journal.begins_after(begun).await;
        house.clock.set(after);
        match why {
            // No slot can write it down; at the gates it counts at once.
            "wait" => assert!(read(after, 30).now_or_never().is_none()),
            "too many scans" => house.node().gates.waiting.store(crate::node::gates::SCANS_MAX, Ordering::Relaxed),
            _ => {}
        }
        let answer = tokio::time::timeout(Duration::from_secs(5), asked).await.expect("gates do not wait for the disk");
        assert_eq!(answer, Err(Failure::OutcomeUnknown), "{why}");
        match house.pass(11, enter(1)).await {
            Err(Failure::Refused(refusal)) => assert_eq!(refusal.code(), why, "of another ticket all is known"),
            other => assert!(why == "too many scans" && matches!(other, Err(Failure::Journal(_))), "{why}: {other:?}"),
        }
        house.node().gates.waiting.store(0, Ordering::Relaxed);
        drop(stall);
        house.is(Health::Writing).await;
        assert_eq!((house.told(10, enter(0)).await, house.inside().await), (Ok(None), (1, 1)), "{why}");
        house.stop_watched(watching).await;
    }
}

#[actix_rt::test]
async fn a_stop_gives_a_disk_that_stalls_time_to_take_what_gates_were_told() {
    let journal = Arc::new(Faulty::default());
    let house = sold(&journal).await;
    let watching = house.watched().await;
    let stall = journal.stall.lock().await;
    let (told, at) = house.told_as_it_stalls(&journal, 10, enter(0)).await;
    // The second one is nowhere but in memory.
    assert_eq!((told, house.told(11, enter(1)).await), (Ok(Some(at)), Ok(Some(at))));
    watching.abort();
    let _ = watching.await;
    assert_eq!((house.node().health(), house.node().unrecorded()), (Health::Stalled, 2));
    join(house.running.stop(), async {
        others_go_on().await;
        drop(stall);
    })
    .await;
    let again = House::on(Arc::clone(&journal) as _).await;
    assert_eq!(again.inside().await, (2, 2));
    again.running.stop().await;
}

#[actix_rt::test]
async fn a_doubt_outlives_a_disk_that_goes_on_for_a_moment() {
    let journal = Arc::new(Faulty::default());
    let house = sold(&journal).await;
    let watching = house.watched().await;
    let stall = journal.stall.lock().await;
    let (node, begun) = (Arc::clone(house.node()), journal.appends.load(Ordering::Relaxed));
    let first = actix_rt::spawn(async move { node.slot(tomorrow(), by(9), hold(9, 1)).await });
    journal.begins_after(begun).await;
    // These two are in the batch behind that one.
    let (answers, ()) = join(join(house.pass(11, enter(1)), house.pass(12, enter(1))), async {
        others_go_on().await;
        house.clock.set(now().plus_seconds(2));
    })
    .await;
    assert_eq!(answers, (Err(Failure::OutcomeUnknown), Err(Failure::OutcomeUnknown)));
    // One batch is written, and the next one stands.
    let mut next = Box::pin(journal.stall.lock());
    assert!((&mut next).now_or_never().is_none());
    drop(stall);
    let stall = next.await;
    let unknown = async {
        house.is(Health::Writing).await;
        others_go_on().await;
        house.clock.set(now().plus_seconds(4));
        house.is(Health::Stalled).await;
        house.pass(17, enter(1)).await
    };
    let unknown = tokio::time::timeout(Duration::from_secs(5), unknown).await.expect("gates do not wait for the disk");
    assert_eq!(unknown, Err(Failure::OutcomeUnknown), "another request with that ticket may be written at any time");
    drop(stall);
    assert!(first.await.unwrap().is_ok());
    tokio::time::timeout(Duration::from_secs(30), house.is(Health::Writing)).await.expect("the disk goes on");
    assert_eq!((house.told(11, enter(1)).await, house.told(17, enter(1)).await), (Ok(None), Err("ticket_inside")));
    house.stop_watched(watching).await;
}

#[actix_rt::test]
async fn a_doubt_that_comes_while_another_one_ends_does_not_end_with_it() {
    let journal = Arc::new(Faulty::default());
    let house = sold(&journal).await;
    let watching = house.watched().await;
    let (stall, begun) = (journal.stall.lock().await, journal.appends.load(Ordering::Relaxed));
    // The slot has no time for anybody yet.
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let mut busy = Box::pin(house.node().look(today(), move |_| {
        let _ = held.lock().recv();
    }));
    assert!((&mut busy).now_or_never().is_none());
    // Two give up what they have asked with one ticket, the second one behind the look that is to say what became of the first.
    assert!(house.pass(10, leave(0)).now_or_never().is_none());
    let mut ending = Box::pin(house.node().end_forks());
    assert!((&mut ending).now_or_never().is_none());
    assert!(house.pass(11, enter(0)).now_or_never().is_none());
    drop(let_go);
    assert_eq!(busy.await, Ok(()));
    assert!(!ending.await, "nobody knows what became of the second one");
    journal.begins_after(begun).await;
    house.clock.set(now().plus_seconds(2));
    house.is(Health::Stalled).await;
    assert_eq!(house.pass(12, enter(0)).await, Err(Failure::OutcomeUnknown), "it is on its way to the disk");
    drop(stall);
    house.is(Health::Writing).await;
    assert_eq!((house.told(11, enter(0)).await, house.told(12, enter(0)).await), (Ok(None), Err("ticket_inside")));
    assert_eq!(house.node().look(today(), |slot| slot.conflicts().count()).await, Ok(0));
    house.stop_watched(watching).await;
}

#[actix_rt::test]
async fn of_a_request_that_is_on_its_way_no_gate_hears_that_nothing_was_changed_though_the_disk_stalls_again_and_again() {
    let journal = Arc::new(Faulty::default());
    let house = sold(&journal).await;
    let watching = house.watched().await;
    let stall = journal.stall.lock().await;
    let (node, begun) = (Arc::clone(house.node()), journal.appends.load(Ordering::Relaxed));
    let first = actix_rt::spawn(async move { node.slot(tomorrow(), by(9), hold(9, 1)).await });
    journal.begins_after(begun).await;
    // It is in the batch behind that one, as soon as the slot has decided it.
    let mut asked = Box::pin(house.pass(10, enter(0)));
    assert!((&mut asked).now_or_never().is_none());
    let decided = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&decided);
    let mut look = Box::pin(house.node().look(today(), move |_| seen.store(true, Ordering::Relaxed)));
    assert!((&mut look).now_or_never().is_none());
    while !decided.load(Ordering::Relaxed) {
        tokio::task::yield_now().await;
    }
    // The gate goes on by itself; before it can, the disk has written the first batch.
    let others = house.node().gates.forks.read().await;
    house.clock.set(now().plus_seconds(2));
    house.is(Health::Stalled).await;
    assert!((&mut asked).now_or_never().is_none());
    let mut next = Box::pin(journal.stall.lock());
    assert!((&mut next).now_or_never().is_none());
    drop(stall);
    let stall = next.await;
    house.is(Health::Writing).await;
    drop(others);
    // So it asks the slot again, which waits for the second one.
    assert!((&mut asked).now_or_never().is_none());
    house.clock.set(now().plus_seconds(4));
    house.is(Health::Stalled).await;
    let answer = tokio::time::timeout(Duration::from_secs(5), asked).await.expect("gates do not wait for the disk");
    assert_eq!(answer, Err(Failure::OutcomeUnknown));
    drop(stall);
    assert!(first.await.unwrap().is_ok() && look.await.is_ok());
    house.is(Health::Writing).await;
    assert_eq!((house.told(10, enter(0)).await, house.inside().await), (Ok(None), (1, 1)));
    house.stop_watched(watching).await;
}

#[actix_rt::test]
async fn a_stall_that_ends_in_an_error_loses_nothing_that_was_told() {
    for (fault, health) in [(Fault::Lost, Health::Writing), (Fault::Flush, Health::Stopped)] {
        let journal = Arc::new(Faulty::default());
        let house = sold(&journal).await;
        let watching = house.watched().await;
        journal.faults.lock().push_back(fault.clone());
        let stall = journal.stall.lock().await;
        let (told, at) = house.told_as_it_stalls(&journal, 10, enter(0)).await;
        assert_eq!((told, house.told(11, enter(0)).await), (Ok(Some(at)), Err("ticket_inside")), "{fault:?}");
        drop(stall);
        let ended = async {
            while house.node().health() != health {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), ended).await.expect("the disk says what became of it");
        if health == Health::Writing {
            house.merged().await;
            assert_eq!(house.inside().await, (1, 1));
        } else {
            assert_eq!((house.told(10, enter(0)).await, house.node().unrecorded()), (Ok(Some(at)), 1), "it waits for a restart");
        }
        house.stop_watched(watching).await;
    }
}

#[actix_rt::test]
async fn what_is_told_is_bounded_and_a_restart_forgets_it() {
    let journal = Arc::new(Faulty::default());
    let house = sold(&journal).await;
    fill(&house, &journal).await;
    house.node().gates.waiting.store(crate::node::gates::SCANS_MAX - 1, Ordering::Relaxed);
    assert_eq!(house.told(10, enter(0)).await, Ok(Some(now())));
    assert!(matches!(house.pass(11, enter(1)).await, Err(Failure::Journal(_))));
    assert_eq!(house.told(12, enter(0)).await, Err("ticket_inside"), "what needs no room is said");
    house.node().gates.waiting.store(1, Ordering::Relaxed);
    assert_eq!(house.told(13, enter(1)).await, Ok(Some(now())));
    house.running.stop().await;
    journal.full.store(false, Ordering::Relaxed);
    let again = House::on(Arc::clone(&journal) as _).await;
    let state = again.node().look(today(), |slot| slot.ticket_of(sale().ticket(0)).map(|(_, ticket)| ticket.state)).await;
    assert_eq!(state, Ok(Some(TicketState::Valid)));
    // The gate has kept its scan.
    again.node().slot(today(), by(60), passage(0, Direction::In).merge(now())).await.unwrap();
    assert_eq!(again.told(14, enter(0)).await, Err("ticket_inside"));
    again.running.stop().await;
}

/// Shows a ticket at a gate; the refusal's code, if there is one.
async fn shown(house: &House, key: u128, number: u16, gate: &str) -> Option<&'static str> {
    match house.node().pass(by(key), Passage { gate: code(gate), ..passage(number, Direction::In) }).await {
        Ok(_) => None,
        Err(Failure::Refused(refusal)) => Some(refusal.code()),
        Err(failure) => panic!("{failure}"),
    }
}

/// How many times a ticket is noted as refused because somebody is inside, and how many records the day has.
async fn noted(house: &House, number: u16) -> (u32, u64) {
    let ticket = sale().ticket(number);
    let look = move |attempts: &Attempts| (attempts.refused_for(ticket, ConflictReason::TicketInside), attempts.seq());
    house.node().look_attempts(day_of(now()), look).await.unwrap()
}

#[actix_rt::test]
async fn a_flood_of_scans_of_one_ticket_is_a_handful_of_records_that_count_for_its_buyer_live_and_in_a_replay() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    let buyer = Envelope { parties: vec![Party { kind: PartyKind::Buyer, pseudonym: Digest(66) }], ..by(1) };
    house.node().slot(today(), buyer.clone(), sell_in(today(), 1, 2)).await.unwrap();
    for number in 0..2 {
        assert_eq!(shown(&house, 10 + u128::from(number), number, "north").await, None);
        assert_eq!(shown(&house, 20 + u128::from(number), number, "north").await, Some("ticket_inside"), "read twice");
    }
    assert!(house.node().note_refusals().await);
    assert_eq!(noted(&house, 0).await, (0, 0));
    for n in 0..300 {
        assert_eq!(shown(&house, 1_000 + n, 0, "south").await, Some("ticket_inside"));
    }
    for _ in 0..10 {
        assert_eq!(shown(&house, 2_000, 1, "south").await, Some("ticket_inside"), "one request, sent again");
    }
    assert!(house.node().note_refusals().await);
    assert_eq!((noted(&house, 0).await, noted(&house, 1).await), ((256, 6), (1, 6)));

    let head = house.node().head().number;
    let live = house.node().scoring().counters();
    live.heard(head).await;
    let (_, replayed) = replay_to(journal.as_ref(), head, Sizes::default().parties).await.unwrap();
    assert_eq!(postcard::to_allocvec(&live.stores()).unwrap(), postcard::to_allocvec(&replayed.stores()).unwrap());
    let signal = signal_of(now(), SignalKind::Held, Channel::Web, HoldId::new(tomorrow(), 9), &lines(1), &Envelope { key: Digest(9), ..buyer });
    let known = features(&live.known(&signal).unwrap().1, &signal);
    for feature in ["person_twice_7d", "person_apart_7d"] {
        // A logarithm of one more than the count.
        let counted = f64::from(known[index_of(feature).unwrap()]).exp() - 1.0;
        assert!((counted - 6.0).abs() < 0.1, "{feature}: {counted}");
    }
    house.running.stop().await;
    // What is counted begins anew with the process, and what is noted stands.
    let again = House::on(Arc::clone(&journal) as _).await;
    for n in 0..10 {
        assert_eq!(shown(&again, 3_000 + n, 0, "south").await, Some("ticket_inside"));
    }
    assert!(again.node().note_refusals().await);
    assert_eq!(noted(&again, 0).await, (256, 6));
    again.running.stop().await;
}

#[actix_rt::test]
async fn on_a_full_disk_a_gate_is_told_at_once_and_the_refusal_is_noted_later() {
    let journal = Arc::new(Faulty::default());
    let house = sold(&journal).await;
    assert_eq!(shown(&house, 10, 0, "north").await, None);
    fill(&house, &journal).await;
    for n in 0..5 {
        assert_eq!(shown(&house, 20 + n, 0, "south").await, Some("ticket_inside"));
    }
    assert!(!house.node().note_refusals().await, "nothing can be written");
    assert_eq!(house.node().unnoted(), (2, 0));
    journal.full.store(false, Ordering::Relaxed);
    let written = async {
        while !house.node().note_refusals().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), written).await.expect("the journal writes again");
    assert_eq!((noted(&house, 0).await, house.node().unnoted()), ((4, 2), (0, 0)));
    house.running.stop().await;
}
