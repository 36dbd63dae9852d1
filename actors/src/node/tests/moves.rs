//! Moves between slots: stopped after every step in turn they end wholly moved or wholly undone; of several at once one wins; places and cents are counted once.

use tornello_engine::envelope::{Assessment, Outcome};
use tornello_engine::ids::PersonId;
use tornello_engine::slot::{CancelCause, MoveFate, Standing, TicketState};

use super::*;
use crate::moves::{self, Moved, advance, move_tickets};
use crate::views::SaleFilter;

/// The slot after that of [`tomorrow`].
fn later() -> SlotId {
    SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(3_600))
}

fn sale() -> HoldId {
    HoldId::new(tomorrow(), 1)
}

fn arrival(n: u64) -> HoldId {
    HoldId::new(later(), n)
}

fn begin(tickets: &[u16], arrival: HoldId) -> Command {
    let prices = vec![(code("full"), Cents::new(1_200))];
    Command::BeginMove { sale: sale(), owner: None, tickets: tickets.to_vec(), arrival, via: Channel::BoxOffice, prices }
}

/// What of a slot counts: places taken, what its sales cost and what was paid back, moves under way.
async fn counted(node: &Node, slot: SlotId) -> (u32, i64, i64, u32) {
    node.look(slot, |slot| {
        slot.recount().unwrap();
        let (paid, refunded) = slot.money();
        (slot.places().taken(), paid.get(), refunded.get(), slot.moving())
    })
    .await
    .unwrap()
}

async fn states(node: &Node, sale: HoldId) -> Vec<TicketState> {
    let states = move |slot: &Slot| slot.sale_of(sale).map(|sale| sale.tickets.iter().map(|ticket| ticket.state).collect());
    node.look(sale.slot(), states).await.unwrap().unwrap_or_default()
}

fn ask_to_move<'a>(node: &'a Node, key: u128, tickets: &[u16], arrival: HoldId) -> impl Future<Output = Result<Moved, Failure<Refusal>>> + use<'a> {
    move_tickets(node, tomorrow(), by(key), begin(tickets, arrival))
}

fn at_gate(sale: HoldId, number: u16) -> Command {
    Command::Admit { ticket: sale.ticket(number), issue: Some(1), gate: code("north"), museum: MUSEUM }
}

#[actix_rt::test]
async fn a_move_takes_tickets_places_and_money_to_the_other_slot() {
    let house = House::new().await;
    let node = house.node();
    house.ask(1, sell(1, 3)).await.unwrap();
    let moved = ask_to_move(node, 2, &[0, 2], arrival(7)).await.unwrap();
    assert_eq!((moved.id, moved.sale.lines.clone(), moved.sale.who), (arrival(7), lines(2), KeyId(7)));
    assert_eq!(moved.sale.settlement, Settlement::Moved { from: sale() });
    assert_eq!(states(node, sale()).await, [TicketState::Moved, TicketState::Valid, TicketState::Moved]);
    assert_eq!((counted(node, tomorrow()).await, counted(node, later()).await), ((1, 1_200, 0, 0), (2, 2_400, 0, 0)));
    assert_eq!(ask_to_move(node, 2, &[0, 2], arrival(8)).await, Ok(moved), "a repeat finds what was moved");
    // At the gates: the new ones only.
    house.clock.set(later().start());
    assert_eq!(house.ask(3, at_gate(sale(), 0)).await, Err(Failure::Refused(Refusal::TicketMoved { to: Some(arrival(7).ticket(0)) })));
    node.slot(later(), by(3), at_gate(arrival(7), 1)).await.unwrap();
    house.running.stop().await;
}

#[actix_rt::test]
async fn what_a_gate_looks_at_is_by_the_tariff_of_the_day_to_which_tickets_move() {
    let house = House::new().await;
    let node = house.node();
    // The first Sunday of a month, on which nobody shows anything, and the day after.
    let [free, paid] = ["2026-07-05T08:00:00Z", "2026-07-06T08:00:00Z"].map(|at| SlotId::new(MUSEUM, RouteId(1), at.parse().unwrap()));
    let lines = vec![Line { category: code("under-18"), count: 2, price_cents: Cents::ZERO, proof: Proof::None }];
    let sell = Command::SellDirect { sale: HoldId::new(free, 1), channel: Channel::BoxOffice, lines, settlement: Settlement::Free, contact: None };
    node.slot(free, by(1), sell).await.unwrap();
    let proof = async |key: u128, sale: HoldId, arrival: HoldId| {
        let prices = vec![(code("under-18"), Cents::ZERO)];
        let begin = Command::BeginMove { sale, owner: None, tickets: vec![], arrival, via: Channel::BoxOffice, prices };
        move_tickets(node, sale.slot(), by(key), begin).await.unwrap().sale.lines[0].proof
    };
    assert_eq!(proof(2, HoldId::new(free, 1), HoldId::new(paid, 1)).await, Proof::Age);
    assert_eq!(proof(3, HoldId::new(paid, 1), HoldId::new(free, 2)).await, Proof::None);
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_move_that_cannot_be_is_refused_before_anything_is_written() {
    let house = House::new().await;
    let node = house.node();
    house.ask(1, sell(1, 3)).await.unwrap();
    node.slot(later(), by(2), sell_in(later(), 2, 18)).await.unwrap();
    let before = node.head().number;
    let midnight = HoldId::new(SlotId::new(MUSEUM, RouteId(1), "2026-06-11T00:00:00Z".parse().unwrap()), 1);
    for (tickets, to, expected) in [
        (vec![], arrival(7), Refusal::NotEnoughPlaces { asked: 3, available: 2, limited_by: slot::LimitedBy::Capacity }),
        (vec![3], arrival(7), Refusal::UnknownTicket),
        (vec![0], midnight, Refusal::UnknownSlot),
        (vec![0], HoldId::new(tomorrow(), 2), Refusal::SameSlot),
    ] {
        assert_eq!(ask_to_move(node, 3, &tickets, to).await, Err(Failure::Refused(expected)));
    }
    assert_eq!(node.head().number, before);
    house.running.stop().await;
}

#[actix_rt::test]
async fn who_waits_has_what_a_move_frees_and_is_not_overtaken_by_one() {
    let house = House::new().await;
    let node = house.node();
    let wait = |slot, n, count| Command::Wait { entry: HoldId::new(slot, n), who: KeyId(7), channel: Channel::BoxOffice, lines: lines(count) };
    let cancel = |tickets| Command::Cancel { sale: HoldId::new(later(), 2), owner: None, tickets, cause: CancelCause::Museum };
    let ended = |slot: SlotId| node.slot(slot, by(u128::from(slot.start() == later().start()) + 90), Command::Reopen);
    for (key, slot, command) in [
        (1, tomorrow(), sell(1, 3)),
        (2, tomorrow(), sell_in(tomorrow(), 2, 17)),
        (3, tomorrow(), wait(tomorrow(), 3, 3)),
        (4, later(), sell_in(later(), 2, 20)),
        (5, later(), wait(later(), 3, 4)),
        (6, later(), cancel(vec![0, 1, 2, 3])),
    ] {
        node.slot(slot, by(key), command).await.unwrap();
    }
    let seq = async || node.look(tomorrow(), Slot::seq).await.unwrap();
    let before = seq().await;
    let short = Refusal::NotEnoughPlaces { asked: 3, available: 0, limited_by: slot::LimitedBy::Capacity };
    assert_eq!(ask_to_move(node, 7, &[], arrival(7)).await, Err(Failure::Refused(short)), "four are free, and four wait");
    assert_eq!(seq().await, before, "so nothing was begun");
    // Three more are of no use to anybody who waits there.
    node.slot(later(), by(8), cancel(vec![4, 5, 6])).await.unwrap();
    ask_to_move(node, 9, &[], arrival(8)).await.unwrap();
    for (slot, left) in [(tomorrow(), 17 + 3), (later(), 13 + 4 + 3)] {
        ended(slot).await.unwrap();
        let offered = node.look(slot, move |slot| matches!(slot.standing_of(HoldId::new(slot.id(), 3)), Some(Standing::Offered(_)))).await.unwrap();
        assert_eq!((offered, counted(node, slot).await.0), (true, left), "{slot}");
    }
    house.running.stop().await;
}

/// The node fails at the given step of the flow, in one of the ways in which a journal fails; then another one starts on the same journal.
#[actix_rt::test]
async fn stopped_at_any_step_a_move_ends_wholly_moved_or_wholly_undone() {
    for is_full in [false, true] {
        let steps = if is_full { 2 } else { 3 };
        for step in 0..=steps {
            for fault in [Fault::Full, Fault::Lost, Fault::Written, Fault::Flush] {
                let case = format!("{fault:?} at step {step}, the other slot full: {is_full}");
                stopped(step, fault, is_full, &case).await;
            }
        }
    }
}

async fn stopped(step: usize, fault: Fault, is_full: bool, case: &str) {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    house.ask(1, sell(1, 3)).await.unwrap();
    let others = if is_full { 20 } else { 5 };
    house.node().slot(later(), by(2), sell_in(later(), 2, others)).await.unwrap();
    // As the request does it, without asking the other slot first: somebody may take the last place in between.
    journal.faults.lock().extend(std::iter::repeat_n(Fault::Pass, step).chain([fault]));
    let begun = house.node().slot(tomorrow(), by(3), begin(&[0, 1], arrival(7))).await;
    let driven = advance(house.node(), tomorrow(), arrival(7)).await;
    house.running.stop().await;
    journal.faults.lock().clear();

    let mut house = House::on(Arc::clone(&journal) as _).await;
    assert_eq!(moves::resume(house.node()).await, 0, "{case}");
    assert!(house.node().board().moving().is_empty(), "{case}");
    let fate = house.node().look(tomorrow(), |slot| slot.fate_of_move(sale(), arrival(7))).await.unwrap();
    let full = Refusal::NotEnoughPlaces { asked: 2, available: 0, limited_by: slot::LimitedBy::Capacity };
    let expected = match &fate {
        None => {
            assert!(step == 0 && begun.is_err(), "{case}: {begun:?} {driven:?}");
            (3, 3_600, others, 1_200 * i64::from(others))
        }
        Some(MoveFate::Done) if !is_full => (1, 1_200, others + 2, 1_200 * i64::from(others + 2)),
        Some(MoveFate::Undone(why)) if is_full => {
            assert_eq!(why, &full, "{case}");
            (3, 3_600, others, 1_200 * i64::from(others))
        }
        other => panic!("{case}: {other:?}"),
    };
    let (here, there) = (counted(house.node(), tomorrow()).await, counted(house.node(), later()).await);
    assert_eq!((here.0, here.1, there.0, there.1), (expected.0, expected.1, u32::from(expected.2), expected.3), "{case}");

    // Who asked and does not know repeats, also after another start: one move in all, one answer.
    for round in ["at once", "after a restart"] {
        let answer = ask_to_move(house.node(), 3, &[0, 1], if fate.is_none() { arrival(7) } else { arrival(9) }).await;
        if is_full {
            assert_eq!(answer, Err(Failure::Refused(full.clone())), "{case}, {round}");
        } else {
            assert_eq!(answer.map(|moved| (moved.id, moved.sale.lines)), Ok((arrival(7), lines(2))), "{case}, {round}");
        }
        house.running.stop().await;
        house = House::on(Arc::clone(&journal) as _).await;
    }
    // One of two: the old tickets are good, or the new ones.
    house.clock.set(later().start().plus_seconds(-600));
    let (old, new) = (house.ask(4, at_gate(sale(), 0)).await, house.node().slot(later(), by(4), at_gate(arrival(7), 0)).await);
    assert_eq!((old.is_ok(), new.is_ok()), (is_full, !is_full), "{case}: {old:?} {new:?}");
    assert!(house.ask(5, at_gate(sale(), 2)).await.is_ok(), "{case}: who did not move is not touched");
    let there = counted(house.node(), later()).await;
    assert_eq!(counted(house.node(), tomorrow()).await.1 + there.1, 3_600 + 1_200 * i64::from(others), "{case}");
    house.running.stop().await;
}

/// Whoever asked is cut off, and nobody but the resumer knows of the move any more.
#[actix_rt::test]
async fn what_moves_under_suspicion_is_kept_from_the_gate_whichever_step_a_crash_cuts_off() {
    for step in 1..=2 {
        for fault in [Fault::Lost, Fault::Written] {
            let case = format!("{fault:?} at step {step}");
            let journal = Arc::new(Faulty::default());
            let house = House::on(Arc::clone(&journal) as _).await;
            open_museum(house.node()).await;
            house.ask(1, sell(1, 3)).await.unwrap();
            let suspect = Assessment {
                model: code("forest-1"),
                rules_version: 1,
                at: now(),
                position: 1,
                features: Digest(1),
                score: 90,
                reasons: vec![],
                outcome: Outcome::Review,
                rules: vec![],
                probability_ppm: None,
                basis: None,
            };
            let envelope = Envelope { assessment: Some(Box::new(suspect)), ..by(3) };
            journal.faults.lock().extend(std::iter::repeat_n(Fault::Pass, step).chain([fault]));
            house.node().slot(tomorrow(), envelope, begin(&[0], arrival(7))).await.unwrap();
            let _ = advance(house.node(), tomorrow(), arrival(7)).await;
            house.running.stop().await;
            journal.faults.lock().clear();

            let house = House::on(Arc::clone(&journal) as _).await;
            assert_eq!(moves::resume(house.node()).await, 0, "{case}");
            assert_eq!(states(house.node(), sale()).await, [TicketState::Moved, TicketState::Valid, TicketState::Valid], "{case}");
            let at_gate = house.node().slot(later(), by(4), at_gate(arrival(7), 0)).await;
            assert!(matches!(at_gate, Err(Failure::Refused(Refusal::TicketUnderReview { .. }))), "{case}: {at_gate:?}");
            house.running.stop().await;
        }
    }
}

/// Staff move what somebody looks at: it arrives, or finds the other slot full and comes back.
#[actix_rt::test]
async fn what_is_moved_under_review_is_kept_from_one_gate_whichever_step_a_crash_cuts_off() {
    for (is_full, step) in [false, true].into_iter().flat_map(|is_full| (0..=2).map(move |step| (is_full, step))) {
        for fault in [Fault::Lost, Fault::Written] {
            let case = format!("{fault:?} at step {step}, the other slot full: {is_full}");
            let journal = Arc::new(Faulty::default());
            let house = House::on(Arc::clone(&journal) as _).await;
            open_museum(house.node()).await;
            house.ask(1, sell(1, 3)).await.unwrap();
            house.ask(2, Command::Review { sale: sale() }).await.unwrap();
            house.node().slot(later(), by(2), sell_in(later(), 2, if is_full { 20 } else { 5 })).await.unwrap();
            journal.faults.lock().extend(std::iter::repeat_n(Fault::Pass, step).chain([fault]));
            let _ = house.node().slot(tomorrow(), by(3), begin(&[0], arrival(7))).await;
            let _ = advance(house.node(), tomorrow(), arrival(7)).await;
            house.running.stop().await;
            journal.faults.lock().clear();

            let house = House::on(Arc::clone(&journal) as _).await;
            assert_eq!(moves::resume(house.node()).await, 0, "{case}");
            let (here, stays) = (house.ask(4, at_gate(sale(), 0)).await, house.ask(5, at_gate(sale(), 1)).await);
            let there = house.node().slot(later(), by(4), at_gate(arrival(7), 0)).await;
            let is_reviewed = |answer: &Answer<Slot>| matches!(answer, Err(Failure::Refused(Refusal::TicketUnderReview { .. })));
            assert!(here.is_err() && there.is_err(), "{case}: {here:?} {there:?}");
            assert!(is_reviewed(&here) != is_reviewed(&there) && is_reviewed(&stays), "{case}: {here:?} {there:?} {stays:?}");
            house.running.stop().await;
        }
    }
}

#[actix_rt::test]
async fn of_two_moves_of_one_sale_one_wins_and_two_of_one_key_are_one() {
    for others in [[arrival(7), arrival(8)], [arrival(7), HoldId::new(SlotId::new(MUSEUM, RouteId(1), later().start().plus_seconds(3_600)), 8)]] {
        let house = House::new().await;
        house.ask(1, sell(1, 3)).await.unwrap();
        let asked = others.map(|to| ask_to_move(house.node(), 10 + u128::from(to == others[1]), &[], to));
        let answers = join_all(asked).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
        let lost = |answer: &&Result<_, _>| matches!(answer, Err(Failure::Refused(Refusal::TicketMoving | Refusal::TicketMoved { .. })));
        assert_eq!(answers.iter().filter(lost).count(), 1, "{answers:?}");
        assert_eq!(counted(house.node(), tomorrow()).await, (0, 0, 0, 0));
        house.running.stop().await;
    }
    let house = House::new().await;
    house.ask(1, sell(1, 3)).await.unwrap();
    let answers = join_all((10..20).map(|n| ask_to_move(house.node(), 10, &[1], arrival(n)))).await;
    assert!(answers[0].is_ok() && answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
    assert_eq!((counted(house.node(), tomorrow()).await, counted(house.node(), later()).await), ((2, 2_400, 0, 0), (1, 1_200, 0, 0)));
    house.running.stop().await;
}

#[actix_rt::test]
async fn of_many_who_move_at_once_as_many_arrive_as_there_are_places() {
    let house = House::new().await;
    let node = house.node();
    house.ask(1, sell(1, 12)).await.unwrap();
    node.slot(later(), by(2), sell_in(later(), 2, 15)).await.unwrap();
    // Requests and the resumer drive the same moves at once.
    let asked = join_all((0..12).map(|n| ask_to_move(node, 10 + u128::from(n), &[n], arrival(100 + u64::from(n)))));
    let resumed = join_all((0..5).map(|_| moves::resume(node)));
    let (answers, _) = tokio::join!(asked, resumed);
    assert_eq!(moves::resume(node).await, 0);
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 5, "{answers:?}");
    assert!(
        answers.iter().all(|answer| matches!(answer, Ok(_) | Err(Failure::Refused(Refusal::NotEnoughPlaces { available: 0, .. })))),
        "{answers:?}"
    );
    let gone = states(node, sale()).await.iter().filter(|state| **state == TicketState::Moved).count();
    assert_eq!((gone, counted(node, tomorrow()).await, counted(node, later()).await), (5, (7, 8_400, 0, 0), (20, 24_000, 0, 0)));
    house.running.stop().await;
}

#[actix_rt::test]
async fn tickets_that_have_arrived_are_never_undone_though_the_key_is_forgotten() {
    let house = House::new().await;
    let node = house.node();
    house.ask(1, sell(1, 3)).await.unwrap();
    house.ask(2, begin(&[], arrival(7))).await.unwrap();
    // They arrived under a key that nobody knows any more, and then the slot was closed.
    let arrive = node.look(tomorrow(), |slot| slot.begun(arrival(7)).and_then(|begun| slot.arrival(begun))).await.unwrap();
    if let Some(arrive) = arrive {
        let _ = node.slot(later(), by(999), arrive).await;
    }
    node.slot(later(), by(3), Command::Close { reason: code("strike") }).await.unwrap();
    advance(node, tomorrow(), arrival(7)).await.unwrap();
    assert_eq!((counted(node, tomorrow()).await, counted(node, later()).await), ((0, 0, 0, 0), (3, 3_600, 0, 0)));
    // Back from a closed slot: it is paid back in full there, and can be left.
    let cancel = Command::Cancel { sale: arrival(7), owner: None, tickets: vec![1], cause: CancelCause::Visitor };
    node.slot(later(), by(4), cancel).await.unwrap();
    assert_eq!(counted(node, later()).await, (2, 3_600, 1_200, 0));
    house.running.stop().await;
}

#[actix_rt::test]
async fn what_was_left_under_way_is_found_by_the_saved_heads() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let person = PersonId(9);
    let contact = crate::people::Contact::holder("Ada", "Neri").unwrap();
    let people = house.node().files().unwrap().people.clone();
    people.put(person, &contact, now(), Some(now().plus_seconds(86_400))).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    house.ask(2, Command::Rename { sale: sale(), owner: None, tickets: vec![1], holder: Some(person) }).await.unwrap();
    house.ask(3, begin(&[1], arrival(7))).await.unwrap();
    house.running.stop().await;
    for round in ["on the saved heads", "on the journal alone"] {
        let house = House::in_folder(&folder).await.unwrap();
        assert_eq!(moves::resume(house.node()).await, 0, "{round}");
        let (here, there) = (counted(house.node(), tomorrow()).await, counted(house.node(), later()).await);
        assert_eq!((here, there), ((2, 2_400, 0, 0), (1, 1_200, 0, 0)), "{round}");
        // The name went along, and is kept as long as the other slot asks.
        let holders = house.node().look(later(), |slot| slot.sale_of(arrival(7)).map(|sale| sale.holders.clone())).await.unwrap();
        assert_eq!(holders.unwrap_or_default().into_iter().collect::<Vec<_>>(), [(0, person)]);
        let people = &house.node().files().unwrap().people;
        assert_eq!(people.erase_due(now().plus_seconds(2 * 86_400)).await.unwrap(), 0);
        assert!(people.get(person).await.unwrap().is_some());
        // The lists show both.
        let views = house.node().files().unwrap().views.clone();
        views.reach(house.node().head().number).await;
        let rows = views.sales(&SaleFilter::default(), 10).await.unwrap();
        let shown: Vec<_> = rows.iter().map(|row| (row.settlement.as_str(), row.people, row.total_cents, row.carried_cents, row.moved)).collect();
        assert_eq!(shown, [("desk", 3, 3_600, 1_200, 1), ("moved", 1, 1_200, 0, 0)], "{round}");
        let tickets = views.tickets(tomorrow(), "", 10).await.unwrap();
        assert_eq!(tickets.iter().map(|ticket| ticket.state.as_str()).collect::<Vec<_>>(), ["valid", "moved", "valid"], "{round}");
        house.running.stop().await;
        std::fs::remove_file(folder.path().join("views.db")).unwrap();
    }
}
