//! Journals with every kind of event of slots and museums, of older programs and of this one. Those of streams that carry money are in `golden`.

use tornello_engine::grant::Grant;
use tornello_engine::ids::{PaymentId, QuoteId};
use tornello_engine::slot::Event;

use super::golden::read_golden;
use super::waiting::wait;
use super::*;
use crate::hex::Hex;

/// Journals of older programs, as bytes. They are never written again: a program that cannot read them to the same state has lost a museum's past. The hash of
/// the state is another one when the state has become richer.
#[actix_rt::test]
async fn the_golden_journals_replay_to_their_states() {
    for (name, golden) in [("golden-1", include_str!("../../testdata/golden-1.txt")), ("golden-2", include_str!("../../testdata/golden-2.txt"))] {
        replays(name, golden).await;
    }
}

async fn replays(name: &str, golden: &str) {
    let (expected, journal) = read_golden(golden).await;
    let house = House::on(journal).await;
    assert_eq!(state_hash(house.node()).await, expected, "the state after {name} is another one");
    house.running.stop().await;
}

/// The SHA-256 of the slot's and the museum's state.
async fn state_hash(node: &Node) -> String {
    use sha2::{Digest as _, Sha256};
    let slot = node.look(tomorrow(), |slot| postcard::to_allocvec(slot).unwrap()).await.unwrap();
    let museum = postcard::to_allocvec(&node.museums().get(MUSEUM).unwrap().museum).unwrap();
    Hex(Sha256::new().chain_update(slot).chain_update(museum).finalize()).to_string()
}

/// Every kind of event of a slot and of a museum, through a node.
async fn every_event() -> Arc<MemoryJournal> {
    let journal = Arc::new(MemoryJournal::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    let id = |n| HoldId::new(tomorrow(), n);
    let quotas = [Some(4), None, None, Some(6), None].map(|limit| slot::Quota { reserved: 2, limit, release_s: 3_600 });
    let account = Settlement::OnAccount { account: code("tours") };
    let reseller = Command::Hold { hold: id(5), channel: Channel::Reseller, lines: lines(2) };
    let gate = |n| (id(n).ticket(0), code("north"));
    let start = tomorrow().start();
    let merge = |gate: &str, s, direction| {
        let scan = slot::Scan { ticket: id(5).ticket(0), scanned_at: start.plus_seconds(s), gate: code(gate), direction };
        Command::Merge { scan, issue: Some(1), museum: MUSEUM }
    };
    let (payment, quote) = (PaymentId::new(1, 99), slot::Keeper::Quote(QuoteId(4)));
    let grant = Some(Grant { admitted: 0, share: 12 });
    let words = slot::Words { counted: vec![(code("door"), start)], measured: None };
    let observed = Command::Observe { source: code("door"), inside: 9, sd: 3, measured_at: start, ceiling: Some(30), grant, words };
    let script = [
        (now(), hold(1, 2)),
        (now(), Command::Extend { hold: id(1), owner: None }),
        (now(), hold(2, 1)),
        (now(), Command::Release { hold: id(2), owner: None }),
        (now(), Command::HoldFor { hold: id(11), channel: Channel::Web, lines: lines(2), until: now().plus_seconds(1_800), cause: quote }),
        (now(), Command::Amend { hold: id(11), lines: lines(3), owner: None }),
        (now(), Command::Prolong { hold: id(11), until: now().plus_seconds(3_600), cause: slot::Keeper::Payment(payment) }),
        (now(), Command::Sell { hold: id(11), owner: None, settlement: Settlement::Payment { id: payment }, contact: None }),
        (now(), Command::Cancel { sale: id(11), owner: None, tickets: vec![0, 1], cause: slot::CancelCause::Museum }),
        (now(), Command::Cancel { sale: id(11), owner: None, tickets: vec![2], cause: slot::CancelCause::Museum }),
        (now().plus_seconds(3_000), sell(3, 3)),
        (now().plus_seconds(3_000), Command::Cancel { sale: id(3), owner: None, tickets: vec![1], cause: slot::CancelCause::Visitor }),
        (now().plus_seconds(3_000), Command::Block { sale: id(3), tickets: vec![0], reason: code("review") }),
        (now().plus_seconds(3_000), Command::Block { sale: id(3), tickets: vec![0], reason: code("fraud") }),
        (now().plus_seconds(3_000), Command::Unblock { sale: id(3), tickets: vec![], reason: None, keeps: Some(code("fraud")) }),
        (now().plus_seconds(3_000), Command::Unblock { sale: id(3), tickets: vec![], reason: None, keeps: None }),
        (now().plus_seconds(3_000), Command::Review { sale: id(3) }),
        (now().plus_seconds(3_000), Command::EndReview { sale: id(3), cleared: true }),
        (now().plus_seconds(3_000), Command::SellBeyond { beyond: 2, ceiling: Some(30), turn_away_ppm: 9_000 }),
        (now().plus_seconds(3_000), Command::SetCapacity { capacity: 25 }),
        (now().plus_seconds(3_000), hold(6, 21)),
        (now().plus_seconds(3_000), wait(7, 4)),
        (now().plus_seconds(3_000), wait(8, 5)),
        (now().plus_seconds(3_000), wait(9, 24)),
        (now().plus_seconds(3_000), Command::LeaveWaiting { entry: id(8), owner: None }),
        (now().plus_seconds(3_000), Command::Release { hold: id(6), owner: None }),
        (now().plus_seconds(3_000), Command::SetQuotas { quotas }),
        (now().plus_seconds(3_000), Command::Close { reason: code("strike") }),
        (now().plus_seconds(3_060), Command::Reopen),
        (now().plus_seconds(3_060), reseller),
        (
            now().plus_seconds(3_060),
            Command::Sell { hold: id(5), owner: None, settlement: account, contact: Some(tornello_engine::ids::PersonId(9)) },
        ),
        (start, observed),
        (start, Command::Admit { ticket: gate(3).0, issue: Some(1), gate: gate(3).1, museum: MUSEUM }),
        (start, Command::Exit { ticket: gate(3).0, gate: gate(3).1, museum: MUSEUM }),
    ];
    let (into, out) = (slot::Direction::In, slot::Direction::Out);
    // The last comes in late, and makes another conflict of one of the others.
    let scanned = [merge("pda-1", 60, into), merge("pda-2", 90, into), merge("pda-1", 120, out), merge("pda-2", 30, into)];
    // A sale of the slot before, whose tickets move here while they can.
    let before = SlotId::new(MUSEUM, RouteId(1), start.plus_seconds(-3_600));
    let desk = Settlement::Desk { till: code("desk-1"), method: DeskMethod::Cash, reference: "R-6".into() };
    let other = Command::SellDirect { sale: HoldId::new(before, 6), channel: Channel::BoxOffice, lines: lines(2), settlement: desk, contact: None };
    house.node().slot(before, by(98), other).await.unwrap();
    let begin_move = |sale, arrival| {
        let prices = vec![(code("full"), Cents::new(1_200))];
        Command::BeginMove { sale, owner: None, tickets: vec![], arrival, via: Channel::BoxOffice, prices }
    };
    house.node().slot(before, by(99), begin_move(HoldId::new(before, 6), id(10))).await.unwrap();
    crate::moves::advance(house.node(), before, id(10)).await.unwrap();
    // In a slot of a plan by which they do, places rest: they are free when the slot is next asked, an hour after.
    let resting = SlotId::new(MUSEUM, RouteId(1), start.plus_seconds(2 * 3_600));
    let in_slot = |key, command| house.node().slot(resting, by(key), command);
    rests::let_rest(house.node(), 60).await;
    in_slot(95, Command::Hold { hold: HoldId::new(resting, 1), channel: Channel::Web, lines: lines(19) }.drawn(7)).await.unwrap();
    in_slot(96, Command::Release { hold: HoldId::new(resting, 1), owner: Some(KeyId(7)) }).await.unwrap();
    house.clock.set(now().plus_seconds(60));
    in_slot(97, Command::Reopen).await.unwrap();
    for (key, (at, command)) in (1..).zip(script) {
        house.clock.set(at);
        house.ask(key, command).await.unwrap();
    }
    // Some move on to the next slot, some would go where nothing is sold yet.
    let at_hours = |hours: i64| SlotId::new(MUSEUM, RouteId(1), start.plus_seconds(hours * 3_600));
    let flows = [(id(10), HoldId::new(at_hours(1), 7)), (id(3), HoldId::new(at_hours(24 * 200), 8))];
    for (key, (sale, arrival)) in (100..).zip(flows) {
        house.ask(key, begin_move(sale, arrival)).await.unwrap();
        crate::moves::advance(house.node(), sale.slot(), arrival).await.unwrap();
    }
    // The payment is told of one of its refunds; the other is still owed.
    let first = house.node().look(tomorrow(), |slot| slot.owed().map(|(sale, seq, _)| (sale, seq)).next()).await.unwrap();
    let (sale, seq) = first.unwrap();
    house.ask(104, Command::HandedOver { sale, seq }).await.unwrap();
    house.ask(103, Command::Rename { sale: id(5), owner: None, tickets: vec![1], holder: Some(tornello_engine::ids::PersonId(10)) }).await.unwrap();
    house.clock.set(start.plus_seconds(3_600));
    for (key, command) in (110..).zip(scanned) {
        house.ask(key, command).await.unwrap();
    }
    house.running.stop().await;
    journal
}

/// Also writes the lines of a golden file where `TORNELLO_GOLDEN` names one: before a release the layout may change, and its journal with it.
#[actix_rt::test]
async fn the_golden_journal_holds_every_kind_of_event() {
    let journal = every_event().await;
    let batches = journal.batches(0, u32::MAX).await.unwrap();
    let mut live = std::collections::BTreeSet::new();
    for batch in &batches {
        for frame in crate::journal::wire::frames(&batch.records).map(Result::unwrap) {
            if let StreamId::Slot(_) = frame.stream {
                let record = frame.record::<Event>().unwrap();
                live.extend(record.events.iter().map(|event| crate::journal::wire::Wire::tag(event).0));
            }
        }
    }
    assert_eq!(live.into_iter().collect::<Vec<_>>(), (1..=38).collect::<Vec<u16>>());
    if let Some(path) = std::env::var_os("TORNELLO_GOLDEN") {
        let house = House::on(journal).await;
        let mut lines = vec![state_hash(house.node()).await];
        lines.extend(batches.iter().map(|batch| format!("{} {}", batch.at.as_micros(), Hex(&batch.records))));
        house.running.stop().await;
        std::fs::write(path, lines.join("\n") + "\n").unwrap();
    }
}
