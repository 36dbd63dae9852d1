//! What one buyer may have at a museum on one day, and how many holds may be open: the same after a restart as before it, also of what was written without the house being
//! told; by whichever way places are bought.

use futures_util::FutureExt;
use tornello_engine::envelope::{Party, PartyKind};
use tornello_engine::limit::{BuyerAt, BuyerDay, DayCounts};
use tornello_engine::slot::{CancelCause, MoveFate};

use super::*;
use crate::moves::{self, move_tickets};

/// From now on slots that are opened let one buyer have so many people a day.
pub(super) async fn limit_day(node: &Node, day_max: u16) {
    let mut plan = plan();
    plan.routes[0].policy.limits.day_max = Some(day_max);
    node.museum(MUSEUM, by(2_000), museum::Command::SetPlan { valid_from: calendar::local_day(now()), plan }).await.unwrap();
}

/// An envelope that names a buyer, if there is one.
pub(super) fn of(key: u128, buyer: Option<u128>) -> Envelope {
    let parties = buyer.iter().map(|n| Party { kind: PartyKind::Buyer, pseudonym: Digest(*n) }).collect();
    Envelope { parties, ..by(key) }
}

/// The slot an hour after [`tomorrow`], on the same day.
pub(super) fn an_hour_later() -> SlotId {
    SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(3_600))
}

/// The slot a day after [`tomorrow`].
fn day_after() -> SlotId {
    SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(86_400))
}

/// The sale of so many free tickets over the web; a slot has one such sale.
fn sell(slot: SlotId, count: u16) -> Command {
    let (sale, channel) = (HoldId::new(slot, 1), Channel::Web);
    Command::SellDirect { sale, channel, lines: free(count), settlement: Settlement::Free, contact: None }
}

pub(super) fn has(node: &Node, buyer: u128) -> u32 {
    node.day_limits().counts().has(&BuyerDay::of(tomorrow(), Digest(buyer)))
}

fn day_is_full(max: u16, has: u32) -> Answer<Slot> {
    Err(Failure::Refused(Refusal::TooManyForDay { max, has }))
}

/// Some numbers that look like chance, the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

#[actix_rt::test]
async fn a_restart_counts_what_was_counted_before_it() {
    let day_after = day_after();
    let slots = [tomorrow(), an_hour_later(), day_after];
    let (mut refused, mut counted) = (0, 0);
    for seed in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let mut house = House::in_folder(&folder).await.unwrap();
        limit_day(house.node(), 9).await;
        let mut dice = Dice(seed);
        for step in 0..240 {
            house.clock.set(house.node().now().plus_seconds(dice.below(90) as i64));
            house.node().wake_due().await;
            let slot = slots[dice.below(3) as usize];
            let (known, fresh) = (HoldId::new(slot, 1 + u64::saturating_sub(step, dice.below(24))), HoldId::new(slot, 1 + step));
            let (buyer, channel) = ([None, Some(7), Some(8)][dice.below(3) as usize], [Channel::Web, Channel::BoxOffice][dice.below(2) as usize]);
            let (lines, envelope) = (free(1 + dice.below(6) as u16), of(u128::from(step) + 10_000, buyer));
            let command = match dice.below(10) {
                0..=2 => Command::Hold { hold: fresh, channel, lines },
                3 => Command::Wait { entry: fresh, who: KeyId(7), channel, lines },
                4 => Command::SellDirect { sale: fresh, channel, lines, settlement: Settlement::Free, contact: None },
                5 | 6 => Command::Sell { hold: known, owner: None, settlement: Settlement::Free, contact: None },
                7 => Command::Cancel { sale: known, owner: None, tickets: Vec::new(), cause: CancelCause::Museum },
                8 => Command::LeaveWaiting { entry: known, owner: None },
                _ => {
                    let arrival = HoldId::new(slots[dice.below(3) as usize], 100_000 + step);
                    let prices = vec![(code("full"), Cents::ZERO)];
                    let moving = Command::BeginMove { sale: known, owner: None, tickets: Vec::new(), arrival, via: Channel::BoxOffice, prices };
                    let _ = move_tickets(house.node(), slot, envelope, moving).await;
                    continue;
                }
            };
            let answer = house.node().slot(slot, envelope, command).await;
            refused += u32::from(matches!(answer, Err(Failure::Refused(Refusal::TooManyForDay { .. }))));
            if step % 80 != 79 {
                continue;
            }
            // Looked at, a slot has nothing on the way; counted slot by slot, buyers have what was counted record by record.
            let mut anew = DayCounts::default();
            for slot in slots {
                anew.put(&house.node().look(slot, Slot::clone).await.unwrap());
            }
            let (counts, at) = (house.node().day_limits().counts(), house.node().now());
            for (slot, buyer) in [(tomorrow(), 7), (tomorrow(), 8), (day_after, 7), (day_after, 8)] {
                let day = BuyerDay::of(slot, Digest(buyer));
                assert_eq!(counts.has(&day), anew.has(&day), "seed {seed}, step {step}");
                counted += counts.has(&day);
            }
            house.running.stop().await;
            if step > 80 {
                // A power loss takes the lists: the count does not come from them.
                for file in ["views.db", "views.db-wal", "views.db-shm"] {
                    let _ = std::fs::remove_file(folder.path().join(file));
                }
            }
            house = House::in_folder_at(&folder, at).await.unwrap();
            assert_eq!(house.node().day_limits().counts(), counts, "seed {seed}, step {step}");
        }
        house.running.stop().await;
    }
    assert!(refused > 0 && counted > 0, "{refused} refused, {counted} counted");
}

#[actix_rt::test]
async fn what_was_written_without_a_word_counts_when_the_slot_is_read_back() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    limit_day(house.node(), 4).await;
    journal.faults.lock().push_back(Fault::Written);
    assert_eq!(house.node().slot(tomorrow(), of(1, Some(7)), hold(1, 3)).await, Err(Failure::OutcomeUnknown));
    house.node().look(tomorrow(), |_| ()).await.unwrap();
    let later = |n, count| Command::Hold { hold: HoldId::new(an_hour_later(), n), channel: Channel::Web, lines: lines(count) };
    assert_eq!(house.node().slot(an_hour_later(), of(2, Some(7)), later(1, 2)).await, day_is_full(4, 3));
    house.node().slot(an_hour_later(), of(3, Some(7)), later(2, 1)).await.unwrap();
    let counts = house.node().day_limits().counts();
    house.running.stop().await;
    let again = House::on(journal).await;
    assert_eq!((again.node().day_limits().counts(), has(again.node(), 7)), (counts, 4));
    again.running.stop().await;
}

#[actix_rt::test]
async fn tickets_that_went_without_a_word_are_taken_off_once_though_the_slot_was_read_back_before_the_journal_was() {
    let day_after = day_after();
    let (sale, prices) = (HoldId::new(tomorrow(), 1), vec![(code("full"), Cents::ZERO)]);
    let cancel = Command::Cancel { sale, owner: None, tickets: vec![0], cause: CancelCause::Museum };
    let finish = Command::FinishMove { arrival: HoldId::new(day_after, 1) };
    for (what, command) in [("cancelled", cancel), ("moved", finish)] {
        let journal = Arc::new(Faulty::default());
        let house = House::on(Arc::clone(&journal) as _).await;
        let node = house.node();
        open_museum(node).await;
        limit_day(node, 4).await;
        let sell = Command::SellDirect { sale, channel: Channel::Web, lines: free(4), settlement: Settlement::Free, contact: None };
        node.slot(tomorrow(), of(1, Some(7)), sell).await.unwrap();
        if let Command::FinishMove { arrival } = &command {
            let (via, arrival, prices) = (Channel::Web, *arrival, prices.clone());
            let begin = Command::BeginMove { sale, owner: None, tickets: vec![0], arrival, via, prices };
            node.slot(tomorrow(), by(2), begin).await.unwrap();
        }
        journal.faults.lock().push_back(Fault::Written);
        journal.unreachable.store(true, Ordering::Relaxed);
        assert_eq!(node.slot(tomorrow(), by(3), command).await, Err(Failure::OutcomeUnknown), "{what}");
        // Whoever looks reads it back, while nobody knows where the journal ends.
        node.look(tomorrow(), |_| ()).await.unwrap();
        assert_eq!(has(node, 7), 3, "{what}");
        journal.unreachable.store(false, Ordering::Relaxed);
        node.slot(an_hour_later(), by(4), sell_in(an_hour_later(), 1, 1)).await.unwrap();
        assert_eq!(has(node, 7), 3, "{what}, and once");
        let two = Command::Hold { hold: HoldId::new(an_hour_later(), 2), channel: Channel::Web, lines: free(2) };
        assert_eq!(node.slot(an_hour_later(), of(5, Some(7)), two).await, day_is_full(4, 3), "{what}");
        house.running.stop().await;
    }
}

#[actix_rt::test]
async fn days_that_are_over_and_slots_without_a_limit_are_not_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    // Opened before there was a limit.
    house.node().slot(tomorrow(), of(1, Some(7)), hold(1, 3)).await.unwrap();
    limit_day(house.node(), 4).await;
    house.node().slot(an_hour_later(), of(2, Some(7)), sell(an_hour_later(), 2)).await.unwrap();
    assert_eq!(has(house.node(), 7), 2);
    house.running.stop().await;
    for (days, expected) in [(0, 2), (1, 2), (2, 2), (3, 0)] {
        let house = House::in_folder_at(&folder, now().plus_seconds(days * 86_400)).await.unwrap();
        assert_eq!(has(house.node(), 7), expected, "after {days} days");
        house.running.stop().await;
    }
}

#[actix_rt::test]
async fn what_a_buyer_has_of_an_evening_counts_until_its_last_slot_is_over_also_after_midnight() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let mut late = plan();
    let hour = |hour| jiff::civil::time(hour, 0, 0, 0);
    for sessions in &mut late.routes[0].week {
        sessions[0] = Session { opens: hour(21), closes: hour(1), slot_minutes: 120, last_entry: hour(23), ..sessions[0].clone() };
    }
    let limits = &mut late.routes[0].policy.limits;
    (limits.day_max, limits.holds_max) = (Some(4), Some(1));
    house.node().museum(MUSEUM, by(2_000), museum::Command::SetPlan { valid_from: calendar::local_day(now()), plan: late }).await.unwrap();
    let at = |text: &str| -> Timestamp { text.parse().unwrap() };
    // From eleven to one by the clocks in Rome; the next evening's first.
    let night = SlotId::new(MUSEUM, RouteId(1), at("2026-06-10T21:00:00Z"));
    let next = SlotId::new(MUSEUM, RouteId(1), at("2026-06-11T19:00:00Z"));
    let sold = |n, count| {
        let (sale, channel) = (HoldId::new(night, n), Channel::Kiosk);
        Command::SellDirect { sale, channel, lines: free(count), settlement: Settlement::Free, contact: None }
    };
    let held = |slot, n| Command::Hold { hold: HoldId::new(slot, n), channel: Channel::Kiosk, lines: free(1) };
    house.clock.set(at("2026-06-10T21:30:00Z"));
    house.node().tidy().await;
    house.node().slot(night, of(1, Some(7)), sold(1, 3)).await.unwrap();
    house.clock.set(at("2026-06-10T21:55:00Z"));
    house.node().slot(night, of(2, Some(8)), held(night, 2)).await.unwrap();
    house.clock.set(at("2026-06-10T22:01:00Z"));
    house.node().tidy().await;
    assert_eq!(house.node().slot(night, of(3, Some(7)), sold(3, 2)).await, day_is_full(4, 3));
    let open: Answer<Slot> = Err(Failure::Refused(Refusal::TooManyOpenHolds { max: 1 }));
    assert_eq!(house.node().slot(next, of(4, Some(8)), held(next, 4)).await, open);
    house.running.stop().await;

    let house = House::in_folder_at(&folder, at("2026-06-10T22:02:00Z")).await.unwrap();
    assert_eq!(house.node().slot(night, of(5, Some(7)), sold(5, 2)).await, day_is_full(4, 3), "nor does a restart forget them");
    assert_eq!(house.node().slot(next, of(6, Some(8)), held(next, 6)).await, open);
    let counted = |node: &Node| node.day_limits().counts().has(&BuyerDay::of(night, Digest(7)));
    assert_eq!(counted(house.node()), 3);
    house.clock.set(at("2026-06-11T22:01:00Z"));
    house.node().tidy().await;
    assert_eq!(counted(house.node()), 0, "a day later nothing of it can be sold any more");
    house.running.stop().await;
}

#[actix_rt::test]
async fn tickets_of_another_day_do_not_come_to_a_full_one() {
    let house = House::new().await;
    limit_day(house.node(), 4).await;
    let day_after = day_after();
    house.node().slot(tomorrow(), of(1, Some(7)), sell(tomorrow(), 3)).await.unwrap();
    house.node().slot(day_after, of(2, Some(7)), sell(day_after, 2)).await.unwrap();
    let moved = async |key, from: SlotId, to: SlotId| {
        let (sale, arrival, prices) = (HoldId::new(from, 1), HoldId::new(to, key), vec![(code("full"), Cents::ZERO)]);
        let begin = Command::BeginMove { sale, owner: None, tickets: Vec::new(), arrival, via: Channel::Web, prices };
        move_tickets(house.node(), from, by(u128::from(key)), begin).await.map(|moved| moved.id.slot())
    };
    assert_eq!(moved(10, day_after, an_hour_later()).await, Err(Failure::Refused(Refusal::TooManyForDay { max: 4, has: 3 })));
    assert_eq!(moved(11, tomorrow(), an_hour_later()).await, Ok(an_hour_later()), "on their own day they move freely");
    assert_eq!(has(house.node(), 7), 3);
    house.running.stop().await;
}

/// Whoever asked goes away as soon as the move has begun, and somebody else drives it.
#[actix_rt::test]
async fn a_move_that_somebody_else_drives_counts_what_its_buyer_has_by_every_pseudonym() {
    let house = House::new().await;
    let node = house.node();
    limit_day(node, 4).await;
    let day_after = day_after();
    node.slot(tomorrow(), of(1, Some(8)), sell(tomorrow(), 3)).await.unwrap();
    // Bought in the month before, when the same buyer had another pseudonym.
    node.slot(day_after, of(2, Some(7)), sell(day_after, 2)).await.unwrap();
    let (sale, arrival, prices) = (HoldId::new(day_after, 1), HoldId::new(an_hour_later(), 9), vec![(code("full"), Cents::ZERO)]);
    let begin = Command::BeginMove { sale, owner: None, tickets: Vec::new(), arrival, via: Channel::Web, prices };
    let envelope = Envelope { formerly: vec![Digest(7)], ..of(3, Some(8)) };
    let turn = node.driving().of(arrival).lock().await;
    let mut asked = Box::pin(move_tickets(node, day_after, envelope, begin));
    while node.board().moving().is_empty() {
        assert!(asked.as_mut().now_or_never().is_none(), "it is not its turn to drive");
        tokio::task::yield_now().await;
    }
    drop(asked);
    drop(turn);
    assert_eq!(moves::resume(node).await, 0);
    let fate = node.look(day_after, move |slot| slot.fate_of_move(sale, arrival)).await;
    assert_eq!(fate, Ok(Some(MoveFate::Undone(Refusal::TooManyForDay { max: 4, has: 3 }))));
    assert_eq!((has(node, 7), has(node, 8)), (0, 3));
    house.running.stop().await;
}

/// From now on slots that are opened let one buyer have so many open holds at the museum.
async fn limit_holds(node: &Node, holds_max: u16) {
    let mut plan = plan();
    plan.routes[0].policy.limits.holds_max = Some(holds_max);
    node.museum(MUSEUM, by(2_000), museum::Command::SetPlan { valid_from: calendar::local_day(now()), plan }).await.unwrap();
}

#[actix_rt::test]
async fn open_holds_are_limited_over_the_slots_of_a_museum_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    limit_holds(house.node(), 3).await;
    let slot_at = |n: u64| SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(n as i64 * 3_600));
    let held = |n: u64| Command::Hold { hold: HoldId::new(slot_at(n), n), channel: Channel::Web, lines: free(1) };
    let too_many = || -> Answer<Slot> { Err(Failure::Refused(Refusal::TooManyOpenHolds { max: 3 })) };
    for n in 0..3 {
        house.node().slot(slot_at(n), of(u128::from(n) + 1, Some(7)), held(n)).await.unwrap();
    }
    assert_eq!(house.node().slot(slot_at(3), of(10, Some(7)), held(3)).await, too_many(), "none is open in that slot");
    house.node().slot(slot_at(3), of(11, Some(8)), held(3)).await.unwrap();
    house.node().slot(slot_at(0), of(1, Some(7)), held(0)).await.unwrap();
    let (open, at) = (house.node().day_limits().open_holds(), house.node().now());
    house.running.stop().await;

    let house = House::in_folder_at(&folder, at).await.unwrap();
    assert_eq!(house.node().day_limits().open_holds(), open);
    let waiting = |n: u64| Command::Wait { entry: HoldId::new(slot_at(4), n), who: KeyId(7), channel: Channel::Web, lines: free(1) };
    assert_eq!(house.node().slot(slot_at(4), of(20, Some(7)), waiting(20)).await, too_many(), "nor does waiting begin anew");
    // Of the three one is bought, one is given back and one ends by itself: then there is room for three.
    let sell = Command::Sell { hold: HoldId::new(slot_at(0), 0), owner: None, settlement: Settlement::Free, contact: None };
    house.node().slot(slot_at(0), by(21), sell).await.unwrap();
    house.node().slot(slot_at(1), by(22), Command::Release { hold: HoldId::new(slot_at(1), 1), owner: None }).await.unwrap();
    house.clock.set(at.plus_seconds(3_600));
    house.node().wake_due().await;
    for n in 4..7 {
        house.node().slot(slot_at(n), of(30 + u128::from(n), Some(7)), held(n)).await.unwrap();
    }
    assert_eq!(house.node().slot(slot_at(7), of(40, Some(7)), held(7)).await, too_many());
    house.running.stop().await;
}

#[actix_rt::test]
async fn of_holds_that_are_asked_for_at_once_in_many_slots_as_many_are_made_as_may_be_open() {
    let house = House::new().await;
    limit_holds(house.node(), 2).await;
    let slot_at = |n: u64| SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(n as i64 * 3_600));
    let held = |n: u64| Command::Hold { hold: HoldId::new(slot_at(n), n), channel: Channel::Web, lines: free(1) };
    let answers = join_all((0..8).map(|n| house.node().slot(slot_at(n), of(u128::from(n) + 1, Some(7)), held(n)))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 2, "{answers:?}");
    house.running.stop().await;
}

/// The first answer is on its way to whoever asked when the same buyer asks in another slot.
#[actix_rt::test]
async fn what_a_buyer_has_counts_once_as_soon_as_it_is_written_though_whoever_asked_has_not_heard_of_it() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    let node = house.node();
    open_museum(node).await;
    let mut limited = plan();
    (limited.routes[0].policy.limits.day_max, limited.routes[0].policy.limits.holds_max) = (Some(4), Some(2));
    node.museum(MUSEUM, by(2_000), museum::Command::SetPlan { valid_from: calendar::local_day(now()), plan: limited }).await.unwrap();
    node.look(tomorrow(), |_| ()).await.unwrap();
    let (stall, before) = (journal.stall.lock().await, node.head().number);
    let mut first = Box::pin(node.slot(tomorrow(), of(1, Some(7)), hold(1, 3)));
    assert!(first.as_mut().now_or_never().is_none(), "the disk stalls");
    drop(stall);
    while node.head().number == before {
        tokio::task::yield_now().await;
    }
    let more = |n, count| Command::Hold { hold: HoldId::new(an_hour_later(), n), channel: Channel::Web, lines: lines(count) };
    assert_eq!(node.slot(an_hour_later(), of(2, Some(7)), more(2, 2)).await, day_is_full(4, 3), "they have three, and no more");
    node.slot(an_hour_later(), of(3, Some(7)), more(3, 1)).await.unwrap();
    first.await.unwrap();
    assert_eq!((has(node, 7), node.day_limits().open_holds().has(&BuyerAt::of(tomorrow(), Digest(7)))), (4, 2));
    house.running.stop().await;
}

#[actix_rt::test]
async fn who_goes_away_before_the_answer_gets_no_more_holds_than_who_waits_for_it() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    limit_holds(house.node(), 2).await;
    let slot_at = |n: u64| SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(n as i64 * 3_600));
    let held = |n: u64, id: u64| Command::Hold { hold: HoldId::new(slot_at(n), id), channel: Channel::Web, lines: free(1) };
    for n in 0..8 {
        house.node().look(slot_at(n), |_| ()).await.unwrap();
    }
    let stall = journal.stall.lock().await;
    for n in 0..8 {
        // It is in the slot's mailbox, if it may be, and nobody waits for it.
        let answer = house.node().slot(slot_at(n), of(u128::from(n) + 1, Some(7)), held(n, n)).now_or_never();
        assert!(answer.is_none_or(|answer| answer.is_err()), "the disk stalls");
    }
    drop(stall);
    let settled = async || {
        for n in 0..8 {
            house.node().look(slot_at(n), |_| ()).await.unwrap();
        }
    };
    settled().await;
    assert_eq!(house.node().day_limits().open_holds().has(&BuyerAt::of(tomorrow(), Digest(7))), 2);
    // Nothing stays set aside of what has come to its end.
    house.clock.set(now().plus_seconds(3_600));
    house.node().wake_due().await;
    settled().await;
    for n in 0..2 {
        house.node().slot(slot_at(n), of(20 + u128::from(n), Some(7)), held(n, 20 + n)).await.unwrap();
    }
    let third = house.node().slot(slot_at(2), of(22, Some(7)), held(2, 22)).await;
    assert_eq!(third, Err(Failure::Refused(Refusal::TooManyOpenHolds { max: 2 })));
    house.running.stop().await;
}

/// By which pseudonyms of earlier months a buyer is known matters to no slot without such a limit, and nobody makes them for it.
#[actix_rt::test]
async fn a_slot_says_whether_it_limits_buyers_as_it_was_opened_or_would_be() {
    let house = House::new().await;
    let node = house.node();
    let (valid_from, nowhere) = (calendar::local_day(now()), SlotId::new(MuseumId(9), RouteId(1), tomorrow().start()));
    assert!([tomorrow(), an_hour_later(), nowhere].iter().all(|slot| !node.limits_buyers(*slot)));
    node.slot(tomorrow(), of(1, Some(7)), hold(1, 1)).await.unwrap();
    for (key, (tickets_max, holds_max, day_max)) in (2_100..).zip([(Some(9), None, None), (None, Some(9), None), (None, None, Some(9))]) {
        let mut plan = plan();
        let limits = &mut plan.routes[0].policy.limits;
        (limits.tickets_max, limits.holds_max, limits.day_max) = (tickets_max, holds_max, day_max);
        node.museum(MUSEUM, by(key), museum::Command::SetPlan { valid_from, plan }).await.unwrap();
        assert!(node.limits_buyers(an_hour_later()), "{tickets_max:?}, {holds_max:?}, {day_max:?}");
        assert!(!node.limits_buyers(tomorrow()), "it was opened before there was a limit");
    }
    let later = Command::Hold { hold: HoldId::new(an_hour_later(), 1), channel: Channel::Web, lines: lines(1) };
    node.slot(an_hour_later(), of(2, Some(7)), later).await.unwrap();
    node.museum(MUSEUM, by(2_200), museum::Command::SetPlan { valid_from, plan: plan() }).await.unwrap();
    assert!(node.limits_buyers(an_hour_later()), "it was opened under one");
    house.running.stop().await;
}
