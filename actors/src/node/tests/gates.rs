//! What gates are told while the journal does not write, and what becomes of it when it does. A disk that stalls is in `stalls`, what is noted of whom they refuse in `refusals`.

mod refusals;
mod stalls;

use std::time::Duration;

use futures_util::future::join;
use tornello_engine::offline::Listing;
use tornello_engine::slot::{AdmissionConflict, ConflictReason, Direction, Reentry, TicketState};

use super::*;
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
async fn whoever_comes_back_by_one_gate_while_no_time_passes_and_the_journal_does_not_write_is_let_in() {
    let journal = Arc::new(Faulty::default());
    let house = sold(&journal).await;
    fill(&house, &journal).await;
    let later = |us| Timestamp::from_micros(now().as_micros() + us);
    for (key, what, at) in [(10, enter(0), later(0)), (11, leave(0), later(0)), (12, enter(0), later(1)), (13, leave(0), later(1))] {
        assert_eq!(house.told(key, what).await, Ok(Some(at)));
    }
    assert_eq!(house.told(14, enter(0)).await, Err("ticket_used"), "twice, and no more");
    journal.full.store(false, Ordering::Relaxed);
    house.merged().await;
    let passages = |slot: &Slot| (slot.ticket_of(sale().ticket(0)).map(|(_, ticket)| ticket.state.entries()), slot.conflicts().count());
    assert_eq!(house.node().look(today(), passages).await, Ok((Some(2), 0)));
    assert_eq!(house.inside().await, (1, 0));
    house.running.stop().await;
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
