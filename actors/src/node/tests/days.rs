//! A day that is called off: what is half done goes on by itself, nothing is done twice, and what is added to the day later is closed as well.

use tornello_engine::slot::CancelCause;

use super::*;
use crate::availability::{self, Status};
use crate::days::{self, DaySlot, Outcome};

/// Calls off the day after, under one key.
async fn call_off(node: &Node) -> Vec<DaySlot> {
    let known = node.museums().get(MUSEUM).unwrap();
    days::close(node, &known, calendar::local_day(tomorrow().start()), None, &by(9), code("strike")).await.unwrap()
}

#[actix_rt::test]
async fn a_day_that_is_half_called_off_goes_on_by_itself_after_a_restart() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    house.ask(1, sell(1, 3)).await.unwrap();
    journal.faults.lock().extend([Fault::Pass, Fault::Full]);
    let half = call_off(house.node()).await;
    assert_eq!(half.len(), 9);
    assert!(half.iter().any(|slot| matches!(slot.outcome, Outcome::Failed(_))), "{half:?}");
    house.running.stop().await;

    let again = House::on(journal).await;
    let node = again.node();
    assert_eq!(days::resume(node).await, 0);
    assert_eq!(closed_on_that_day(node), 9, "nobody has asked again");
    let whole = call_off(node).await;
    assert_eq!(whole.len(), 9);
    assert!(whole.iter().all(|slot| slot.outcome == Outcome::Done), "{whole:?}");
    let sold: Vec<(SlotId, u32)> = whole.iter().map(|slot| (slot.slot, slot.stands.unwrap().unused.tickets)).filter(|(_, sold)| *sold > 0).collect();
    assert_eq!(sold, [(tomorrow(), 3)]);
    // A repeat is told what was so then, whatever has been cancelled since, and nothing is written for it.
    let all = Command::Cancel { sale: HoldId::new(tomorrow(), 1), owner: None, tickets: Vec::new(), cause: CancelCause::Museum };
    again.ask(2, all).await.unwrap();
    assert_eq!(call_off(node).await, whole);
    let others = whole.iter().filter(|other| other.slot != tomorrow());
    let written: Vec<u64> = others.filter_map(|other| node.board().head(other.slot)).map(|head| head.seq).collect();
    assert_eq!(written, [1; 8]);
    again.running.stop().await;
}

#[actix_rt::test]
async fn nothing_is_remembered_of_a_day_that_all_have_heard_of_though_the_answer_to_that_was_lost() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    let node = house.node();
    open_museum(node).await;
    call_off(node).await;
    // Said once more it closes nothing: what is written is that it was said, and that all have heard it.
    let (known, date) = (node.museums().get(MUSEUM).unwrap(), calendar::local_day(tomorrow().start()));
    journal.faults.lock().extend([Fault::Pass, Fault::Written]);
    days::close(node, &known, date, None, &by(10), code("strike")).await.unwrap();
    assert!(journal.faults.lock().is_empty());
    // Whatever is written next, the journal is back by then.
    let other = SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(DAY_S));
    node.slot(other, by(11), sell_in(other, 1, 1)).await.unwrap();
    assert_eq!((days::resume(node).await, node.telling().half_heard()), (0, 0));
    house.running.stop().await;
}

/// How many slots of the day after are written down as closed.
fn closed_on_that_day(node: &Node) -> usize {
    let heads = node.board().heads_of(MUSEUM).into_iter();
    heads.filter(|(_, head)| head.places.closed == Some(code("strike"))).count()
}

#[actix_rt::test]
async fn what_is_left_of_a_day_that_takes_place_after_all_closes_nothing() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    let node = house.node();
    open_museum(node).await;
    journal.faults.lock().extend([Fault::Pass, Fault::Full]);
    assert!(call_off(node).await.iter().any(|slot| matches!(slot.outcome, Outcome::Failed(_))));
    let known = node.museums().get(MUSEUM).unwrap();
    days::reopen(node, &known, calendar::local_day(tomorrow().start()), &by(11), code("strike")).await.unwrap();
    assert_eq!((days::resume(node).await, closed_on_that_day(node)), (0, 0));
    call_off(node).await;
    assert_eq!(closed_on_that_day(node), 0, "a late repeat of the older request closes nothing either");
    assert!(house.ask(1, hold(1, 2)).await.is_ok());
    house.running.stop().await;
}

#[actix_rt::test]
async fn what_staff_reopen_of_a_day_stays_open_while_others_are_still_to_hear_that_it_is_called_off() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    let node = house.node();
    open_museum(node).await;
    house.ask(1, Command::Close { reason: code("works") }).await.unwrap();
    journal.faults.lock().extend([Fault::Pass, Fault::Full]);
    let half = call_off(node).await;
    assert!(half.iter().any(|slot| matches!(slot.outcome, Outcome::Failed(_))), "{half:?}");
    let shut = half.iter().find(|slot| slot.slot == tomorrow()).map(|slot| slot.outcome.clone());
    assert_eq!(shut, Some(Outcome::StaysClosed(code("works"))));
    house.ask(2, Command::Reopen).await.unwrap();
    assert_eq!((days::resume(node).await, closed_on_that_day(node)), (0, 8));
    assert!(house.ask(3, hold(1, 2)).await.is_ok());
    house.running.stop().await;
}

#[actix_rt::test]
async fn what_a_later_plan_adds_to_a_day_that_is_called_off_is_closed_from_the_beginning() {
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::default());
    let house = House::on(Arc::clone(&journal)).await;
    let node = house.node();
    open_museum(node).await;
    call_off(node).await;
    let mut longer = plan();
    for session in longer.routes[0].week.iter_mut().flatten() {
        (session.closes, session.last_entry) = (jiff::civil::time(21, 0, 0, 0), jiff::civil::time(20, 0, 0, 0));
    }
    let valid_from = calendar::local_day(tomorrow().start());
    node.museum(MUSEUM, by(2_000), museum::Command::SetPlan { valid_from, plan: longer }).await.unwrap();
    let [evening, late] = [8, 10].map(|hours| SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(hours * 3_600)));
    let buy = |slot: SlotId, n| Command::Hold { hold: HoldId::new(slot, n), channel: Channel::Web, lines: lines(1) };
    let no = Err(Failure::Refused(Refusal::SlotClosed { reason: code("strike") }));
    assert_eq!(node.slot(evening, by(20), buy(evening, 1)).await, no);
    house.running.stop().await;

    let again = House::on(journal).await;
    let node = again.node();
    let status = |slot: SlotId| {
        let known = node.museums().get(MUSEUM).unwrap();
        availability::of_slot(&known, node.board(), slot, Channel::Web, node.now()).map(|seen| seen.status)
    };
    assert_eq!((status(evening), status(late)), (Some(Status::Closed), Some(Status::Closed)));
    assert_eq!(node.slot(evening, by(21), buy(evening, 2)).await, no);
    // Staff open one of them all the same: it stays open, however often the day is told.
    node.slot(evening, by(22), Command::Reopen).await.unwrap();
    assert_eq!(days::resume(node).await, 0);
    call_off(node).await;
    assert!(node.slot(evening, by(23), buy(evening, 3)).await.is_ok());
    let known = node.museums().get(MUSEUM).unwrap();
    days::reopen(node, &known, valid_from, &by(24), code("strike")).await.unwrap();
    assert!(node.slot(late, by(25), buy(late, 4)).await.is_ok(), "it was never written to, and takes place with its day");
    again.running.stop().await;
}

#[actix_rt::test]
async fn what_the_plan_has_no_more_when_its_day_takes_place_after_all_is_sold_only_where_somebody_has_something_of_it() {
    let house = House::new().await;
    let (node, date) = (house.node(), calendar::local_day(tomorrow().start()));
    let [last, first_gone, sold] = [3, 4, 5].map(|hours| SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(hours * 3_600)));
    node.slot(sold, by(20), sell_in(sold, 1, 2)).await.unwrap();
    assert_eq!(call_off(node).await.len(), 9);
    // It takes place until two in the afternoon.
    let mut shorter = plan();
    for session in shorter.routes[0].week.iter_mut().flatten() {
        (session.closes, session.last_entry) = (jiff::civil::time(14, 0, 0, 0), jiff::civil::time(13, 0, 0, 0));
    }
    node.museum(MUSEUM, by(2_000), museum::Command::SetPlan { valid_from: date, plan: shorter }).await.unwrap();
    let known = node.museums().get(MUSEUM).unwrap();
    let told = days::reopen(node, &known, date, &by(21), code("strike")).await.unwrap();
    let of = |slot: SlotId| told.iter().find(|told| told.slot == slot).map(|told| told.outcome.clone());
    assert_eq!(told.iter().filter(|told| told.outcome == Outcome::Done).count(), 6, "{told:?}");
    assert_eq!((of(last), of(first_gone), of(sold)), (Some(Outcome::Done), Some(Outcome::StaysClosed(code("strike"))), Some(Outcome::Done)));
    let buy = |slot: SlotId| Command::Hold { hold: HoldId::new(slot, 9), channel: Channel::Web, lines: lines(1) };
    assert_eq!(node.slot(first_gone, by(22), buy(first_gone)).await, Err(Failure::Refused(Refusal::SlotClosed { reason: code("strike") })));
    assert!(node.slot(sold, by(23), buy(sold)).await.is_ok());
    assert_eq!(days::resume(node).await, 0);
    assert_eq!(days::reopen(node, &known, date, &by(21), code("strike")).await.unwrap().len(), 9, "a repeat tells of the same slots");
    house.running.stop().await;
}

#[actix_rt::test]
async fn what_nobody_has_anything_of_is_sold_as_it_is_planned_when_its_day_takes_place_after_all() {
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::default());
    let house = House::on(Arc::clone(&journal)).await;
    let (node, date) = (house.node(), calendar::local_day(tomorrow().start()));
    open_museum(node).await;
    let sold = SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(3_600));
    node.slot(sold, by(20), sell_in(sold, 1, 2)).await.unwrap();
    assert_eq!(call_off(node).await.len(), 9);
    // Every half an hour, twelve at a time.
    let mut smaller = plan();
    for session in smaller.routes[0].week.iter_mut().flatten() {
        (session.slot_minutes, session.capacity) = (30, 12);
    }
    node.museum(MUSEUM, by(2_000), museum::Command::SetPlan { valid_from: date, plan: smaller }).await.unwrap();
    let known = node.museums().get(MUSEUM).unwrap();
    let told = days::reopen(node, &known, date, &by(21), code("strike")).await.unwrap();
    assert_eq!(told.iter().filter(|told| told.outcome == Outcome::Done).count(), 9, "{told:?}");
    let half_past = tomorrow().start().plus_seconds(1_800);
    assert_eq!(told.iter().find(|told| told.slot == tomorrow()).map(|told| told.end), Some(half_past));
    assert_eq!(days::reopen(node, &known, date, &by(21), code("strike")).await, Ok(told), "a repeat tells the same");
    let is_sold_as_planned = async |node: &Arc<Node>| {
        let seen = |slot: SlotId| node.board().head(slot).map(|head| (head.end, head.places.available(Channel::Web, now()).0));
        // Whoever has bought finds the slot as it was.
        assert_eq!((seen(tomorrow()), seen(sold)), (Some((half_past, 12)), Some((sold.start().plus_seconds(3_600), 18))));
        assert_eq!(node.look(tomorrow(), |slot| slot.opening().revision).await, Ok(2));
    };
    is_sold_as_planned(node).await;
    let many = Command::Hold { hold: HoldId::new(tomorrow(), 1), channel: Channel::Web, lines: lines(13) };
    let refused = node.slot(tomorrow(), by(22), many).await;
    assert!(matches!(refused, Err(Failure::Refused(Refusal::NotEnoughPlaces { available: 12, .. }))), "{refused:?}");
    house.running.stop().await;
    let again = House::on(journal).await;
    is_sold_as_planned(again.node()).await;
    again.running.stop().await;
}

#[actix_rt::test]
async fn a_request_under_the_key_of_another_one_closes_no_slot_at_all() {
    let house = House::new().await;
    let (node, date) = (house.node(), calendar::local_day(tomorrow().start()));
    let known = node.museums().get(MUSEUM).unwrap();
    let noon = tomorrow().start().plus_seconds(2 * 3_600);
    let afternoon = days::close(node, &known, date, Some(noon), &by(9), code("strike")).await.unwrap();
    assert_eq!((afternoon.len(), afternoon[0].slot.start()), (6, noon));
    let other = Envelope { body: Digest(10), ..by(9) };
    assert_eq!(days::close(node, &known, date, None, &other, code("strike")).await, Err(Failure::KeyReused));
    assert_eq!(node.board().head(tomorrow()), None, "the morning was not touched");
    // The day takes place after all: what nobody has closed is left out.
    let reopened = days::reopen(node, &known, date, &by(11), code("strike")).await.unwrap();
    assert_eq!(reopened.len(), 6);
    assert!(reopened.iter().all(|slot| slot.outcome == Outcome::Done), "{reopened:?}");
    house.running.stop().await;
}
