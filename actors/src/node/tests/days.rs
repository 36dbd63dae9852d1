//! A day that is called off: what is half done is gone on with by a repeat, and nothing is done twice.

use tornello_engine::slot::CancelCause;

use super::*;
use crate::days::{self, DaySlot, Outcome};

/// Calls off the day after, under one key.
async fn call_off(node: &Node) -> Vec<DaySlot> {
    let known = node.museums().get(MUSEUM).unwrap();
    days::close(node, &known, calendar::local_day(tomorrow().start()), None, &by(9), code("strike")).await.unwrap()
}

#[actix_rt::test]
async fn a_day_that_is_half_called_off_is_gone_on_with_by_a_repeat_after_a_restart() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    house.ask(1, sell(1, 3)).await.unwrap();
    journal.faults.lock().push_back(Fault::Full);
    let half = call_off(house.node()).await;
    assert_eq!(half.len(), 9);
    assert!(half.iter().any(|slot| matches!(slot.outcome, Outcome::Failed(_))), "{half:?}");
    house.running.stop().await;

    let again = House::on(journal).await;
    let node = again.node();
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
