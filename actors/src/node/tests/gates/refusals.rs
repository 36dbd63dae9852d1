//! Whom gates refused is noted afterwards, at ever rarer steps, and counts for whoever bought the ticket.

use tornello_engine::attempts::day_of;
use tornello_models::fraud::signals::{SignalKind, features, index_of};

use super::super::again::replayed;
use super::*;
use crate::fraud::signal_of;

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
    let buyer = Envelope { parties: vec![party(PartyKind::Buyer, 66)], ..by(1) };
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

    replayed(&house).await;
    let live = house.node().scoring().counters();
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
