//! Bookings of slots to come are looked at in the lists, and what each of them is worth is told of its slot.

use super::*;
use crate::forecaster::past_bookings;

#[actix_rt::test]
async fn a_slot_is_told_booking_by_booking_and_only_what_changed_is_looked_at() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let (node, id) = (house.node(), |n| HoldId::new(tomorrow(), n));
    house.ask(1, sell(1, 2)).await.unwrap();
    house.ask(2, sell(2, 3)).await.unwrap();
    house.ask(3, Command::Cancel { sale: id(2), owner: None, tickets: vec![], cause: slot::CancelCause::Visitor }).await.unwrap();
    let views = &node.files().unwrap().views;
    views.reach(node.head().number).await;
    let listed = views.bookings(now(), now().plus_seconds(3 * 86_400), 10).await.unwrap();
    let of = |people: u32| listed.iter().find(|booking| booking.people == people).unwrap();
    assert_eq!((listed.len(), of(2).standing(), of(2).gone_at, of(3).standing(), of(3).gone_at), (2, 2, None, 0, Some(now())));
    assert_eq!(views.bookings_of(&[tomorrow()]).await.unwrap().len(), 2);
    assert_eq!(views.bookings(now(), now().plus_seconds(3 * 86_400), 1).await.unwrap().len(), 1);

    let known = node.museums().get(MUSEUM).unwrap();
    let date = calendar::local_day(tomorrow().start());
    let told = || {
        let day = node.forecaster().days(node, &known, date, 1).remove(0);
        let slot = *day.slots.iter().find(|slot| slot.slot == tomorrow()).unwrap();
        (slot.booked, slot.by_booking, slot.shows.0)
    };
    assert_eq!(node.forecaster().look_at_bookings(node).await, 0, "without a model nobody looks");
    assert!(!told().1);
    assert!(node.forecaster().learn_bookings(past_bookings(3_000)));
    assert_eq!(node.forecaster().look_at_bookings(node).await, 1);
    let (booked, by_booking, shows) = told();
    // Who books at the desk comes, in that past.
    assert!(booked == 2 && by_booking && shows > 1.9 && shows <= 2.0, "{shows}");
    assert_eq!(node.forecaster().look_at_bookings(node).await, 0, "nothing has changed");
    house.ask(4, sell(4, 5)).await.unwrap();
    let (booked, _, shows) = told();
    assert!(booked == 7 && (6.3..6.9).contains(&shows), "who was not looked at yet comes at the rate of all: {shows}");
    assert_eq!(node.forecaster().look_at_bookings(node).await, 1);
    assert!(told().2 > 6.7, "{:?}", told());

    // Who is to be reminded: those who still have a place, by whoever sold it.
    views.reach(node.head().number).await;
    let sold = async |who| views.bookings_at(MUSEUM, (now(), now().plus_seconds(3 * 86_400)), who, 10).await.unwrap();
    let all = sold(None).await;
    assert_eq!(all.iter().map(|(sale, booking)| (*sale, booking.standing())).collect::<Vec<_>>(), [(id(1), 2), (id(2), 0), (id(4), 5)]);
    assert_eq!((sold(Some(KeyId(7))).await, sold(Some(KeyId(8))).await), (all.clone(), vec![]));
    assert_eq!(views.bookings_at(MUSEUM, (now(), tomorrow().start()), None, 10).await.unwrap(), vec![]);
    let mut reminders = node.forecaster().reminders(node, &all, now()).unwrap();
    assert!(reminders.iter().all(|seen| seen.lost < 0.1 && seen.remind_on == calendar::local_day(now())), "{reminders:?}");
    reminders.sort_unstable_by_key(|seen| seen.sale);
    assert_eq!(reminders.iter().map(|seen| (seen.sale, seen.people)).collect::<Vec<_>>(), [(id(1), 2), (id(4), 5)]);
    house.ask(5, Command::Close { reason: code("strike") }).await.unwrap();
    assert_eq!(node.forecaster().reminders(node, &all, now()), Some(vec![]), "nobody is reminded of a visit that may not take place");
    house.ask(6, Command::Reopen).await.unwrap();
    assert_eq!(node.forecaster().reminders(node, &all, now()).map(|all| all.len()), Some(2));
    house.running.stop().await;
}
