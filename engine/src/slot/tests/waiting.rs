//! The waiting list: who may join, who is served when and why, how entries end; and that asking stays cheap when many wait.

use super::*;
use crate::ids::PaymentId;

fn wait(n: u64, channel: Channel, people: u16) -> Command {
    Command::Wait { entry: id(n), who: KeyId(1), channel, lines: vec![full(people)] }
}

fn leave(n: u64) -> Command {
    Command::LeaveWaiting { entry: id(n), owner: None }
}

fn fewer(n: u64, people: u16) -> Command {
    Command::WaitForFewer { entry: id(n), counts: vec![(code("full"), people)], owner: Some(KeyId(1)), over: None }
}

fn release(n: u64) -> Command {
    Command::Release { hold: id(n), owner: None }
}

fn web(n: u64, people: u16) -> Command {
    hold(n, Channel::Web, &[full(people)])
}

/// 20 places, all held by 1 (10 people) and 2 (10 people) until 15 minutes later.
fn full_house() -> World {
    given(&[(-DAY, web(1, 10)), (-DAY, web(2, 10))])
}

impl World {
    /// Lets the clock come to that time: ends and offers what is due, and nothing else.
    fn pass(&mut self, time: i64) -> Vec<Event> {
        let before = self.records.len();
        end_due(&mut self.slot, &mut self.records, at(time));
        self.records[before..].iter().flat_map(|record| record.events.clone()).collect()
    }

    fn offered(&mut self, time: i64) -> Vec<(HoldId, u32)> {
        let offered = |event| if let Event::Offered(offered) = event { Some((offered.entry, offered.passed_over)) } else { None };
        self.pass(time).into_iter().filter_map(offered).collect()
    }

    fn waiting(&self) -> Vec<HoldId> {
        self.slot.waiting().map(|party| party.entry).collect()
    }

    fn ended(&self, n: u64) -> Option<(WaitingEnd, Timestamp)> {
        if let Some(Standing::Ended(end)) = self.slot.standing_of(id(n)) { Some((end.how, end.at)) } else { None }
    }
}

#[test]
fn waits_only_for_what_is_not_to_be_had() {
    let waited = |n, number, parties_ahead, people_ahead| {
        Ok(Event::Waited(Waited { entry: id(n), number, channel: Channel::Web, lines: vec![full(3)], parties_ahead, people_ahead }))
    };
    full_house().then(-DAY, wait(3, Channel::Web, 3), waited(3, 1, 0, 0));
    let mut second = full_house();
    assert!(second.ask(-DAY, &wait(3, Channel::Group, 4)).is_ok());
    second.then(-DAY, wait(4, Channel::Web, 3), waited(4, 2, 1, 4));
    given(&[]).refuses(-DAY, wait(1, Channel::Web, 3), Refusal::PlacesAvailable { available: 20 });
    // Three are left: a party of four waits, one of three does not, whoever waits before it.
    let mut short = given_capacity(13, &[(-DAY, web(1, 10))]);
    assert!(short.ask(-DAY, &wait(2, Channel::Web, 4)).is_ok());
    assert_eq!(short.ask(-DAY, &wait(3, Channel::Web, 3)), Err(Refusal::PlacesAvailable { available: 3 }));
    assert!(short.ask(-DAY, &web(3, 3)).is_ok(), "the party of four has no use for three places");

    // A party that no empty slot would hold does not wait in vain.
    let never = Refusal::NotEnoughPlaces { asked: 9, available: 8, limited_by: LimitedBy::Capacity };
    given_capacity(8, &[]).refuses(-DAY, wait(1, Channel::Web, 9), never);
    // Nor does one for which its channel has not so many places at any moment of its sales.
    let shares = |release_s: u32| {
        let quotas = quotas(&[(Channel::Group, 12, None, release_s), (Channel::Reseller, 0, Some(6), release_s)]);
        (-2 * DAY, Command::SetQuotas { quotas })
    };
    for (channel, people, available, limited_by) in [(Channel::Web, 9_u16, 8, LimitedBy::OtherQuotas), (Channel::Reseller, 7, 6, LimitedBy::OwnLimit)]
    {
        let never = Refusal::NotEnoughPlaces { asked: people.into(), available, limited_by };
        given(&[shares(600)]).refuses(-DAY, wait(1, channel, people), never);
        assert!(given(&[shares(601)]).ask(-DAY, &wait(1, channel, people)).is_ok(), "sales go on for a second after the release");
    }

    let mut bad = full_house();
    assert_eq!(bad.ask(-DAY, &Command::Wait { entry: id(3), who: KeyId(1), channel: Channel::Web, lines: vec![] }), Err(Refusal::BadLines));
    assert_eq!(bad.ask(-DAY, &wait(3, Channel::Web, 0)), Err(Refusal::PartyEmpty));
    assert_eq!(bad.ask(-DAY, &wait(3, Channel::Web, 11)), Err(Refusal::PartyTooLarge { max: 10 }));
    assert_eq!(bad.ask(-DAY, &wait(1, Channel::Web, 1)), Err(Refusal::IdTaken));
    assert!(bad.ask(-DAY, &wait(3, Channel::Web, 1)).is_ok());
    assert_eq!(bad.ask(-DAY, &wait(3, Channel::Web, 1)), Err(Refusal::IdTaken));
    assert_eq!(bad.ask(-DAY, &web(3, 1)), Err(Refusal::IdTaken), "nor may a hold take the id of an entry");
    assert!(bad.ask(-DAY, &leave(3)).is_ok());
    assert_eq!(bad.ask(-DAY, &wait(3, Channel::Web, 1)), Err(Refusal::IdTaken));
    given(&[]).refuses(-91 * DAY, wait(1, Channel::Web, 1), Refusal::SaleNotOpen { opens_at: at(-90 * DAY) });
    given(&[]).refuses(-10 * MIN, wait(1, Channel::Web, 1), Refusal::SaleOver { closed_at: at(-10 * MIN) });
    given(&[]).refuses(30 * MIN, wait(1, Channel::Web, 1), Refusal::SlotOver { ended_at: at(30 * MIN) });
    given(&[(-DAY, Command::Close { reason: code("strike") })]).refuses(
        -DAY,
        wait(1, Channel::Web, 1),
        Refusal::SlotClosed { reason: code("strike") },
    );
}

#[test]
fn a_list_has_an_end() {
    let mut world = given_capacity(10, &[(-DAY, direct(5_000, &[full(10)], desk()))]);
    for n in 0..1_000 {
        assert!(world.slot.decide(at(-DAY), &wait(n, Channel::Web, 1)).is_ok());
        let events = vec![Event::Waited(Waited {
            entry: id(n),
            number: n + 1,
            channel: Channel::ALL[n as usize % 5],
            lines: vec![full(1 + n as u16 % 10)],
            parties_ahead: 0,
            people_ahead: 0,
        })];
        let record = world.slot.record(at(-DAY), None, events);
        world.slot.apply(&record);
    }
    assert_eq!(world.ask(-DAY, &wait(1_000, Channel::Web, 1)), Err(Refusal::WaitingListFull { max: 1_000 }));
    assert_eq!(world.slot.recount(), Ok(()));
    let bytes = postcard::to_allocvec(&world.slot).unwrap();
    assert_eq!(postcard::from_bytes::<Slot>(&bytes).as_ref(), Ok(&world.slot));
    // All are served at once, some at a time, in order, and none twice.
    let record = world.slot.record(at(-DAY), None, vec![Event::CapacitySet(CapacitySet { capacity: 100_000 })]);
    world.slot.apply(&record);
    let offered = world.offered(-DAY);
    assert_eq!(offered, (0..1_000).map(|n| (id(n), 0)).collect::<Vec<_>>());
    assert!(world.records.iter().all(|record| record.events.len() <= 256));
}

#[test]
fn one_caller_leaves_room_on_the_list_for_others() {
    let mut world = given_capacity(10, &[(-DAY, direct(5_000, &[full(10)], desk()))]);
    for n in 0..500 {
        assert!(world.ask(-DAY, &wait(n, Channel::Web, 1)).is_ok());
    }
    let more = wait(500, Channel::Web, 1);
    assert_eq!(world.ask(-DAY, &more), Err(Refusal::TooManyWaiting { max: 500 }));
    let other = Command::Wait { entry: id(501), who: KeyId(2), channel: Channel::Web, lines: vec![full(1)] };
    assert!(world.slot.decide(at(-DAY), &other).is_ok());
    // Who leaves, or is served, counts no more.
    assert!(world.ask(-DAY, &Command::LeaveWaiting { entry: id(7), owner: None }).is_ok());
    assert!(world.ask(-DAY, &more).is_ok());
    assert!(world.ask(-DAY, &Command::SetCapacity { capacity: 12 }).is_ok());
    assert_eq!(world.offered(-DAY).len(), 2);
    assert!(world.ask(-DAY, &wait(502, Channel::Web, 1)).is_ok());
    assert_eq!(world.slot.recount(), Ok(()));
}

#[test]
fn free_places_are_offered_in_order_to_who_fits_and_it_is_said_who_was_passed_over() {
    let mut world = full_house();
    for (n, people) in [(3, 8), (4, 2), (5, 9), (6, 3), (7, 1)] {
        assert!(world.ask(-DAY, &wait(n, Channel::Web, people)).is_ok());
    }
    assert_eq!(world.slot.wake_at(), Some(at(-DAY + 900)), "nothing is free until a hold ends");
    assert!(world.ask(-DAY + 60, &release(1)).is_ok());
    assert_eq!(world.slot.wake_at(), Some(Timestamp::MIN), "it wants to be woken at once");
    let free = |web| [web, 0, 0, 0, 0];
    let offered = |n, free, passed_over| Event::Offered(Offered { entry: id(n), expires_at: at(-DAY + 960), free, passed_over });
    assert_eq!(world.pass(-DAY + 60), [offered(3, free(10), 0), offered(4, free(2), 0)]);
    assert_eq!((world.left(-DAY, Channel::Web), world.waiting()), (0, vec![id(5), id(6), id(7)]));
    assert_eq!(world.slot.hold_of(id(3)).map(|hold| (hold.who, hold.channel, hold.lines.clone())), Some((KeyId(1), Channel::Web, vec![full(8)])));
    // Two places come back: the parties of nine and three have no use for them.
    assert!(world.ask(-DAY + 70, &release(4)).is_ok());
    assert_eq!(world.offered(-DAY + 70), [(id(7), 2)]);
    let first = world.slot.waiting().next().unwrap().clone();
    let why: Vec<_> = world.slot.overtakers_of(first.entry).map(|offer| (offer.entry, offer.people, offer.free[0], offer.at)).collect();
    assert_eq!(why, [(id(7), 1, 2, at(-DAY + 70))]);
    assert_eq!(world.slot.ahead_of(&first), (0, 0));
    let second = world.slot.waiting().nth(1).unwrap().clone();
    assert_eq!((second.entry, world.slot.ahead_of(&second)), (id(6), (1, 9)));
    // Also when they have left it is said why somebody else was served before them.
    assert!(world.ask(-DAY + 80, &leave(5)).is_ok() && world.ask(-DAY + 80, &leave(6)).is_ok());
    let overtakers = |world: &World, n| world.slot.overtakers_of(id(n)).map(|offer| offer.entry).collect::<Vec<_>>();
    assert_eq!((overtakers(&world, 5), overtakers(&world, 6)), (vec![id(7)], vec![id(7)]));
    assert_eq!((overtakers(&world, 3), overtakers(&world, 4), overtakers(&world, 7)), (vec![], vec![], vec![]));
    assert_eq!((world.slot.waited_through(id(5)), world.slot.waited_through(id(4))), (Some(Channel::Web), None));
    let bytes = postcard::to_allocvec(&world.slot).unwrap();
    let back: Slot = postcard::from_bytes(&bytes).unwrap();
    assert_eq!((&back, postcard::to_allocvec(&back)), (&world.slot, Ok(bytes)));
    assert_eq!((world.ended(4), world.ended(6)), (Some((WaitingEnd::Declined, at(-DAY + 70))), Some((WaitingEnd::Left, at(-DAY + 80)))));
    // When nobody is known any more whom it overtook, an offer explains nothing and is forgotten with them.
    world.pass(-DAY + 1_000);
    for n in [8, 9] {
        assert!(world.ask(90, &hold(n, Channel::BoxOffice, &[full(10)])).is_ok());
    }
    assert!(world.ask(91, &wait(10, Channel::BoxOffice, 1)).is_ok() && world.ask(92, &leave(10)).is_ok());
    assert_eq!((overtakers(&world, 5), world.ended(5)), (vec![], None));
    assert_eq!(world.slot.recount(), Ok(()));
}

#[test]
fn a_party_becomes_smaller_where_it_stands_and_is_served_in_its_turn() {
    let mut world = full_house();
    for (n, people) in [(3, 8), (4, 6), (5, 3)] {
        assert!(world.ask(-DAY, &wait(n, Channel::Web, people)).is_ok());
    }
    assert!(world.ask(-DAY, &Command::SetCapacity { capacity: 24 }).is_ok());
    assert_eq!(world.offered(-DAY), [(id(5), 2)]);
    assert!(world.ask(-DAY + 1, &fewer(3, 2)).is_ok());
    assert_eq!((world.offered(-DAY + 1), world.waiting(), world.slot.recount()), (vec![], vec![id(3), id(4)], Ok(())));
    // Of the two the second fits now, and nobody who waits before it does.
    assert!(world.ask(-DAY + 2, &fewer(4, 1)).is_ok());
    assert_eq!(world.slot.wake_at(), Some(Timestamp::MIN), "it wants to be woken at once");
    assert_eq!((world.offered(-DAY + 2), world.left(-DAY + 2, Channel::Web)), (vec![(id(4), 1)], 0));
    // Why others were served before it stays as it was: it was of eight, and then of two.
    let overtakers: Vec<_> = world.slot.overtakers_of(id(3)).map(|offer| (offer.entry, offer.free[0])).collect();
    assert_eq!(overtakers, [(id(4), 1), (id(5), 4)]);
    assert_eq!(world.ask(-DAY + 3, &fewer(3, 3)), Err(Refusal::BadLines), "what was given up is gone");
    assert!(world.ask(-DAY + 3, &release(5)).is_ok());
    assert_eq!(world.offered(-DAY + 3), [(id(3), 0)]);
    // Of an offer places are given back, as of any hold.
    assert!(world.ask(-DAY + 4, &fewer(3, 1)).is_ok());
    assert_eq!(world.slot.hold_of(id(3)).map(|hold| hold.lines.clone()), Some(vec![full(1)]));
    assert_eq!(world.left(-DAY + 4, Channel::Web), 2);
    assert!(world.ask(-DAY + 5, &leave(3)).is_ok());
    assert_eq!(world.ask(-DAY + 6, &fewer(3, 1)), Err(Refusal::EntryEnded { how: WaitingEnd::Declined, at: at(-DAY + 5) }));
    assert_eq!((world.slot.recount(), Slot::replay(&world.records).as_ref()), (Ok(()), Some(&world.slot)), "SL-4");
}

#[test]
fn only_who_waits_becomes_smaller_and_only_smaller() {
    let mut world = full_house();
    let lines = vec![full(3), free(2)];
    assert!(world.ask(-DAY, &Command::Wait { entry: id(3), who: KeyId(1), channel: Channel::Web, lines }).is_ok());
    let of = |n: u64, owner: Option<KeyId>, counts: &[(&str, u16)]| {
        let counts = counts.iter().map(|(category, count)| (code(category), *count)).collect();
        Command::WaitForFewer { entry: id(n), counts, owner, over: None }
    };
    for counts in [&[][..], &[("full", 4)], &[("full", 2), ("full", 1)], &[("full", 2), ("child", 1)]] {
        assert_eq!(world.ask(-DAY, &of(3, None, counts)), Err(Refusal::BadLines), "{counts:?}");
    }
    assert_eq!(world.ask(-DAY, &of(3, None, &[("full", 1), ("free", 0)])), Err(Refusal::PartyEmpty));
    assert_eq!(world.ask(-DAY, &of(3, Some(KeyId(2)), &[("full", 1)])), Err(Refusal::UnknownEntry));
    for n in [1, 9] {
        assert_eq!(world.ask(-DAY, &of(n, None, &[("full", 1)])), Err(Refusal::UnknownEntry), "neither a hold nor anything waits under that id");
    }
    let shrink = Command::Shrink { hold: id(3), counts: vec![(code("full"), 1)], owner: None, over: None };
    assert_eq!(world.ask(-DAY, &shrink), Err(Refusal::UnknownHold), "it is not a hold yet");
    assert!(world.ask(-DAY, &of(3, None, &[("free", 1), ("full", 3)])).is_ok());
    let waiting = world.slot.waiting().map(|party| (party.number, party.lines.clone())).collect::<Vec<_>>();
    assert_eq!((waiting, world.slot.recount()), (vec![(1, vec![full(3), free(1)])], Ok(())));
}

#[test]
fn who_has_an_offer_or_has_ended_is_told_who_was_served_before_and_no_one_who_came_after() {
    let mut world = full_house();
    for (n, people) in [(3, 10), (4, 2), (5, 3), (6, 2)] {
        assert!(world.ask(-DAY, &wait(n, Channel::Web, people)).is_ok());
    }
    // Six places: the ten do not fit, so the two and the three are served; one place is left.
    assert!(world.ask(-DAY + 1, &Command::SetCapacity { capacity: 26 }).is_ok());
    assert_eq!(world.offered(-DAY + 1), [(id(4), 1), (id(5), 1)]);
    let overtakers = |world: &World, n| world.slot.overtakers_of(id(n)).map(|offer| (offer.entry, offer.free[0])).collect::<Vec<_>>();
    let before = vec![(id(4), 6), (id(5), 4)];
    assert_eq!(overtakers(&world, 3), before);
    // Ten come free, and one was: the ten are served, and nothing fits the two any more. What is served after them overtakes nobody.
    assert!(world.ask(-DAY + 2, &release(1)).is_ok());
    assert_eq!(world.offered(-DAY + 2), [(id(3), 0)]);
    assert_eq!(overtakers(&world, 3), before);
    assert!(world.ask(-DAY + 3, &release(4)).is_ok());
    assert_eq!(world.offered(-DAY + 3), [(id(6), 0)]);
    assert_eq!((overtakers(&world, 3), overtakers(&world, 4), overtakers(&world, 5)), (before.clone(), vec![], vec![]));
    assert!(world.ask(-DAY + 4, &release(3)).is_ok());
    assert_eq!((overtakers(&world, 3), world.ended(3)), (before, Some((WaitingEnd::Declined, at(-DAY + 4)))));
    assert_eq!(Slot::replay(&world.records).as_ref(), Some(&world.slot), "SL-4");
}

#[test]
fn an_offer_is_taken_given_back_or_lapses_and_the_next_is_served() {
    let desk_wait = |n| wait(n, Channel::BoxOffice, 10);
    let mut world = full_house();
    for n in 3..=6 {
        assert!(world.ask(-DAY, &desk_wait(n)).is_ok());
    }
    assert!(world.ask(-DAY, &release(1)).is_ok());
    assert_eq!(world.offered(-DAY), [(id(3), 0)]);
    assert_eq!(world.ask(-DAY, &sell(4, desk())), Err(Refusal::UnknownHold), "who waits has nothing to confirm");
    assert!(world.ask(-DAY + 60, &sell(3, desk())).is_ok());
    assert_eq!(world.ended(3), Some((WaitingEnd::Taken, at(-DAY + 60))));
    assert_eq!(world.slot.sale_of(id(3)).map(|sale| sale.who), Some(KeyId(1)));
    // The other hold expires, and its places go to the next in the same moment.
    assert_eq!(world.offered(-DAY + 900), [(id(4), 0)]);
    assert!(world.ask(-DAY + 1000, &leave(4)).is_ok(), "who leaves with an offer gives it back");
    assert_eq!(world.ended(4), Some((WaitingEnd::Declined, at(-DAY + 1000))));
    assert_eq!(world.offered(-DAY + 1000), [(id(5), 0)]);
    assert!(world.ask(-DAY + 1100, &Command::Extend { hold: id(5), owner: None }).is_ok());
    assert_eq!(world.offered(-DAY + 1900), []);
    assert_eq!(world.offered(-DAY + 2500), [(id(6), 0)]);
    assert_eq!(world.ended(5), Some((WaitingEnd::Lapsed, at(-DAY + 2500))));
    assert_eq!(world.ask(-DAY + 2500, &leave(5)), Err(Refusal::EntryEnded { how: WaitingEnd::Lapsed, at: at(-DAY + 2500) }));
    world.refuses(-DAY + 2500, leave(9), Refusal::UnknownEntry);
}

#[test]
fn an_offer_does_not_run_out_while_its_slot_is_closed_and_begins_anew_when_it_reopens() {
    let close = Command::Close { reason: code("strike") };
    let has_offer = |world: &World, n| matches!(world.slot.standing_of(id(n)), Some(Standing::Offered(_)));
    let renewed = |n, expires| Event::OfferRenewed(OfferRenewed { entry: id(n), expires_at: at(expires) });
    let reopened = || Event::Reopened(Reopened {});
    let mut world = full_house();
    for (n, people) in [(3, 10), (4, 10), (5, 2)] {
        assert!(world.ask(-DAY, &wait(n, Channel::Web, people)).is_ok());
    }
    assert!(world.ask(-DAY, &release(1)).is_ok());
    assert_eq!(world.offered(-DAY), [(id(3), 0)]);
    assert!(world.ask(-DAY + 600, &close).is_ok());
    assert_eq!(world.slot.wake_at(), Some(at(-DAY + 900)));
    assert_eq!(world.pass(-DAY + 900), [Event::Expired(Expired { hold: id(2) })], "a hold that is no offer ends as always");
    assert_eq!(world.slot.wake_at(), Some(at(-10 * MIN)), "nothing else happens by itself before sales end");
    assert_eq!(world.pass(-DAY + 3_000), []);
    let mut given_back = world.clone();
    let mut shut = world.clone();
    // Nobody can take it meanwhile, and nobody else has its places.
    assert_eq!(world.ask(-DAY + 3_000, &Command::Extend { hold: id(3), owner: None }), Err(Refusal::SlotClosed { reason: code("strike") }));
    assert_eq!(world.ask(-DAY + 5_000, &Command::Reopen), Ok(vec![reopened(), renewed(3, -DAY + 5_900)]));
    assert_eq!(world.offered(-DAY + 5_000), [(id(4), 0)], "the next in order has what came free");
    // A payment keeps it as long as any that was made now, though it was made long ago.
    let mut paying = world.clone();
    let pay = Keeper::Payment(PaymentId::new(1, 1));
    let kept = Event::Prolonged(Prolonged { hold: id(3), expires_at: at(-DAY + 5_000 + 7_200), cause: pay });
    assert_eq!(paying.ask(-DAY + 5_100, &Command::Prolong { hold: id(3), until: at(-DAY + 4 * HOUR), cause: pay }), Ok(vec![kept]));
    assert_eq!((world.slot.overtakers_of(id(4)).count(), world.slot.overtakers_of(id(5)).count()), (0, 0));
    assert_eq!(world.offered(-DAY + 5_899), []);
    assert!(has_offer(&world, 3));
    assert_eq!(world.offered(-DAY + 5_900), [(id(5), 0)], "then it runs out like any other");
    assert_eq!((world.ended(3), world.ended(4)), (Some((WaitingEnd::Lapsed, at(-DAY + 5_900))), Some((WaitingEnd::Lapsed, at(-DAY + 5_900)))));
    assert_eq!(world.ask(-DAY + 5_901, &Command::Reopen), Ok(vec![reopened()]), "a slot that is open begins nothing anew");
    assert_eq!(Slot::replay(&world.records).as_ref(), Some(&world.slot), "SL-4");
    // Whoever has it may give it back while the slot is closed.
    assert!(given_back.ask(-DAY + 3_000, &leave(3)).is_ok());
    assert_eq!(given_back.ended(3), Some((WaitingEnd::Declined, at(-DAY + 3_000))));
    // Sales end, and the slot was never open again.
    assert_eq!(shut.pass(-10 * MIN - 1), []);
    let ended = |n| Event::WaitingEnded(WaitingEnded { entry: id(n) });
    assert_eq!(shut.pass(-10 * MIN), [Event::Expired(Expired { hold: id(3) }), ended(5), ended(4)]);
    assert_eq!(shut.slot.wake_at(), None);
    // One that lasts longer anyway stays as it is; others begin anew in the order of joining, also when it was the day that was called off.
    let mut called_off = full_house();
    for (n, people) in [(3, 4), (4, 3), (5, 3)] {
        assert!(called_off.ask(-DAY, &wait(n, Channel::Web, people)).is_ok());
    }
    assert!(called_off.ask(-DAY, &release(1)).is_ok());
    assert_eq!(called_off.offered(-DAY).len(), 3);
    assert!(called_off.ask(-DAY + 100, &Command::Extend { hold: id(3), owner: None }).is_ok());
    assert!(called_off.ask(-DAY + 200, &Command::CloseWithDay { reason: code("strike") }).is_ok());
    let reopen = Command::ReopenWithDay { reason: code("strike"), still: None };
    assert_eq!(called_off.ask(-DAY + 300, &reopen), Ok(vec![reopened(), renewed(4, -DAY + 1_200), renewed(5, -DAY + 1_200)]));
}

#[test]
fn an_entry_is_its_owners() {
    let mut world = full_house();
    assert!(world.ask(-DAY, &wait(3, Channel::Web, 10)).is_ok());
    let theirs = Command::LeaveWaiting { entry: id(3), owner: Some(KeyId(2)) };
    assert_eq!(world.ask(-DAY, &theirs), Err(Refusal::UnknownEntry));
    assert!(world.ask(-DAY, &release(1)).is_ok());
    assert_eq!(world.offered(-DAY), [(id(3), 0)]);
    assert_eq!(world.ask(-DAY, &theirs), Err(Refusal::UnknownEntry));
    assert_eq!(world.ask(-DAY, &Command::Release { hold: id(3), owner: Some(KeyId(2)) }), Err(Refusal::UnknownHold));
    assert!(world.ask(-DAY, &Command::LeaveWaiting { entry: id(3), owner: Some(KeyId(1)) }).is_ok());
    assert_eq!(world.ask(-DAY, &theirs), Err(Refusal::UnknownEntry));
    // Only entries of the list are left like this.
    world.refuses(-DAY, leave(2), Refusal::UnknownEntry);
}

#[test]
fn nobody_who_comes_later_takes_what_somebody_who_waits_could_use() {
    let mut world = full_house();
    assert!(world.ask(-DAY, &wait(3, Channel::Web, 4)).is_ok());
    assert!(world.ask(-DAY, &release(1)).is_ok());
    // The shell offers first; but the rule does not rest on that: ten are free, four of them are spoken for.
    let short = || Refusal::NotEnoughPlaces { asked: 7, available: 6, limited_by: LimitedBy::Capacity };
    assert_eq!(world.slot.decide(at(-DAY), &web(4, 7)), Err(short()));
    assert_eq!(world.slot.decide(at(-2 * DAY), &web(4, 7)), Err(short()), "also for a clock that is behind the slot's");
    assert!(world.slot.decide(at(-DAY), &web(4, 6)).is_ok());
    assert!(world.slot.decide(at(-DAY), &direct(4, &[full(7)], desk())).is_err());
    let moves_here = |people, via| world.slot.decide(at(-DAY), &arrive(4, &[full(people)], via));
    assert_eq!(moves_here(7, Channel::Web), Err(short()), "nor does who comes from another slot");
    assert_eq!(moves_here(7, Channel::BoxOffice), Err(short()), "not with a desk's help either");
    assert!(moves_here(6, Channel::Web).is_ok());
    assert!(world.slot.decide(at(-DAY), &wait(4, Channel::Web, 7)).is_ok());
    assert_eq!(world.slot.decide(at(-DAY), &wait(4, Channel::Web, 6)), Err(Refusal::PlacesAvailable { available: 6 }));
}

#[test]
fn whatever_frees_places_serves_those_who_wait() {
    let sold = |n| direct(n, &[full(10)], desk());
    let queue = |done: &[(i64, Command)]| {
        let mut world = given(done);
        assert!(world.ask(-DAY, &wait(3, Channel::BoxOffice, 5)).is_ok());
        assert_eq!(world.offered(-DAY), []);
        world
    };
    let mut cancelled = queue(&[(-DAY, sold(1)), (-DAY, sold(2))]);
    assert!(cancelled.ask(-HOUR, &cancel(1, &[0, 1, 2, 3])).is_ok());
    assert_eq!(cancelled.offered(-HOUR), [], "four are not five");
    assert!(cancelled.ask(-HOUR, &cancel(1, &[4])).is_ok());
    assert_eq!(cancelled.offered(-HOUR), [(id(3), 0)]);
    let mut moved = queue(&[(-DAY, sold(1)), (-DAY, sold(2))]);
    assert!(moved.ask(-2 * HOUR, &begin_move(1, &[0, 1, 2, 3, 4], 9)).is_ok());
    assert_eq!(moved.offered(-2 * HOUR), [], "their places are kept until it is known that they have arrived");
    let mut stayed = queue(&[(-DAY, sold(1)), (-DAY, sold(2)), (-DAY, begin_move(1, &[0, 1, 2, 3, 4], 9))]);
    assert!(stayed.ask(-2 * HOUR, &undo_move(9)).is_ok() && moved.ask(-2 * HOUR, &finish_move(9)).is_ok());
    assert_eq!(moved.slot.wake_at(), Some(Timestamp::MIN), "it wants to be woken at once");
    assert_eq!((moved.offered(-2 * HOUR), stayed.offered(-2 * HOUR)), (vec![(id(3), 0)], vec![]));
    let mut raised = queue(&[(-DAY, sold(1)), (-DAY, sold(2))]);
    assert!(raised.ask(-HOUR, &Command::SetCapacity { capacity: 25 }).is_ok());
    assert_eq!(raised.offered(-HOUR), [(id(3), 0)]);
    let shares = Command::SetQuotas { quotas: quotas(&[(Channel::Group, 16, None, 4 * HOUR as u32)]) };
    let mut shared = queue(&[(-DAY, shares.clone())]);
    assert!(shared.ask(-5 * HOUR, &Command::SetQuotas { quotas: quotas(&[]) }).is_ok());
    assert_eq!(shared.offered(-5 * HOUR), [(id(3), 0)]);
    // Nothing happens when the group's share ends, but time.
    let mut lapsing = queue(&[(-DAY, shares)]);
    assert_eq!(lapsing.slot.wake_at(), Some(at(-4 * HOUR)));
    assert_eq!(lapsing.offered(-4 * HOUR - 1), []);
    assert_eq!(lapsing.offered(-4 * HOUR), [(id(3), 0)]);
    // The same with a channel's own limit, but only for the party that then fits.
    let limit = Command::SetQuotas { quotas: quotas(&[(Channel::BoxOffice, 0, Some(4), 4 * HOUR as u32)]) };
    let mut limited = queue(&[(-DAY, limit.clone())]);
    assert_eq!(limited.offered(-4 * HOUR), [(id(3), 0)]);
    let mut useless = queue(&[(-DAY, limit), (-DAY, hold(1, Channel::Kiosk, &[full(10)])), (-DAY, sell(1, desk())), (-DAY, web(2, 6))]);
    assert_eq!(useless.slot.wake_at(), Some(at(-DAY + 900)));
    useless.pass(-DAY + 900);
    assert_eq!(useless.slot.wake_at(), Some(at(-4 * HOUR)));
    assert!(useless.ask(-5 * HOUR, &hold(4, Channel::Kiosk, &[full(6)])).is_ok());
    assert!(useless.ask(-5 * HOUR, &sell(4, desk())).is_ok());
    assert_eq!(useless.slot.wake_at(), Some(at(30 * MIN)), "at the release nobody would fit: the slot is not woken for nothing");
    // A reading that allows more, and one that goes stale.
    let mut sensed = given(&[(-MIN, observe(97, 0, -MIN)), (-MIN, wait(3, Channel::BoxOffice, 10))]);
    assert_eq!(sensed.slot.wake_at(), Some(at(-MIN + 900)));
    let mut stale = given(&[(-MIN, observe(97, 0, -MIN)), (-MIN, wait(3, Channel::BoxOffice, 10))]);
    assert!(sensed.ask(MIN, &observe(90, 0, MIN)).is_ok());
    assert_eq!((sensed.offered(MIN), stale.offered(-MIN + 900)), (vec![(id(3), 0)], vec![(id(3), 0)]));
    // A closed slot serves nobody, and those who wait first when it reopens.
    let mut closed = queue(&[(-DAY, sold(1)), (-DAY, sold(2))]);
    assert!(closed.ask(-HOUR, &Command::Close { reason: code("strike") }).is_ok());
    assert!(closed.ask(-HOUR, &cancel(1, &[])).is_ok());
    assert_eq!((closed.offered(-HOUR), closed.waiting()), (vec![], vec![id(3)]));
    assert!(closed.ask(-HOUR, &Command::Reopen).is_ok());
    assert_eq!(closed.offered(-HOUR), [(id(3), 0)]);
}

#[test]
fn an_offer_does_not_wait_for_a_clock_that_was_set_back() {
    let mut world = full_house();
    assert!(world.ask(-DAY, &wait(3, Channel::Web, 5)).is_ok());
    assert!(world.ask(-DAY + 600, &release(1)).is_ok());
    assert_eq!(world.offered(-DAY + 60), [(id(3), 0)]);
}

#[test]
fn each_waits_for_what_its_own_channel_may_take() {
    let shares = Command::SetQuotas { quotas: quotas(&[(Channel::Group, 8, None, HOUR as u32), (Channel::Reseller, 0, Some(2), HOUR as u32)]) };
    let mut world = given(&[(-DAY, shares), (-DAY, direct(1, &[full(10)], desk())), (-DAY, direct(2, &[full(2)], desk()))]);
    for (n, channel, people) in [(3, Channel::Reseller, 3), (4, Channel::Web, 2), (5, Channel::Group, 9), (6, Channel::Reseller, 2)] {
        assert!(world.ask(-DAY, &wait(n, channel, people)).is_ok(), "{n}");
    }
    assert!(world.ask(-DAY, &cancel(2, &[])).is_ok());
    // Two common places: the reseller's first party is beyond its limit, so the web's is served; the group's nine need a common one too.
    let offers: Vec<Offered> =
        world.pass(-DAY).into_iter().filter_map(|event| if let Event::Offered(offered) = event { Some(offered) } else { None }).collect();
    assert_eq!(offers.iter().map(|offer| (offer.entry, offer.free, offer.passed_over)).collect::<Vec<_>>(), [(id(4), [2, 0, 0, 10, 2], 1)]);
    assert!(world.ask(-DAY, &cancel(1, &[0])).is_ok());
    assert_eq!(world.offered(-DAY), [(id(5), 1)]);
}

#[test]
fn who_waits_in_vain_is_told_when_sales_end() {
    let mut world = full_house();
    assert!(world.ask(-DAY, &wait(3, Channel::Web, 10)).is_ok() && world.ask(-DAY, &wait(4, Channel::BoxOffice, 10)).is_ok());
    assert!(world.ask(-DAY, &Command::SetCapacity { capacity: 5 }).is_ok());
    world.pass(-DAY + 900);
    assert_eq!((world.slot.wake_at(), world.waiting().len()), (Some(at(-10 * MIN)), 2));
    assert_eq!(world.pass(-10 * MIN), [Event::WaitingEnded(WaitingEnded { entry: id(3) })]);
    assert_eq!(world.ended(3), Some((WaitingEnd::SalesEnded, at(-10 * MIN))));
    assert_eq!(world.pass(30 * MIN), [Event::WaitingEnded(WaitingEnded { entry: id(4) })]);
    assert_eq!(world.slot.wake_at(), None);
    // A day later nobody asks any more.
    assert!(world.ask(30 * MIN + DAY + 1, &Command::Close { reason: code("over") }).is_ok());
    assert_eq!(world.ended(4), Some((WaitingEnd::SalesEnded, at(30 * MIN))));
    assert_eq!(Slot::replay(&world.records).unwrap(), world.slot, "SL-4: replay equals live");
}

#[test]
fn check_sees_an_entry_that_stands_twice() {
    let twice = |events: Vec<Event>| {
        let mut world = full_house();
        assert!(world.ask(-DAY, &wait(3, Channel::Web, 1)).is_ok());
        let record = world.slot.record(at(-DAY), None, events);
        world.slot.apply(&record);
        (world.slot.check().map_err(|broken| broken.invariant), world.slot.recount().map_err(|broken| broken.invariant))
    };
    let waited =
        |n, number| Event::Waited(Waited { entry: id(n), number, channel: Channel::Web, lines: vec![full(1)], parties_ahead: 0, people_ahead: 0 });
    assert_eq!(twice(vec![waited(3, 2)]), (Err("SL-9"), Err("SL-9")));
    assert_eq!(twice(vec![waited(1, 2)]).1, Err("SL-9"), "a hold cannot wait");
    assert_eq!(twice(vec![Event::Offered(Offered { entry: id(3), expires_at: at(0), free: [1; 5], passed_over: 0 })]).0, Err("SL-1"));
    // An event about an entry that nobody knows changes nothing.
    assert_eq!(twice(vec![Event::Offered(Offered { entry: id(9), expires_at: at(0), free: [1; 5], passed_over: 0 })]), (Ok(()), Ok(())));
    assert_eq!(twice(vec![Event::WaitingLeft(WaitingLeft { entry: id(1) })]), (Ok(()), Ok(())));
}

#[test]
fn a_snapshot_keeps_the_list() {
    let mut world = full_house();
    for (n, people) in [(3, 6), (4, 5), (5, 3), (6, 2), (7, 9)] {
        assert!(world.ask(-DAY, &wait(n, Channel::Web, people)).is_ok());
    }
    assert!(world.ask(-DAY, &release(1)).is_ok());
    assert_eq!(world.offered(-DAY), [(id(3), 0), (id(5), 1)]);
    assert!(world.ask(-DAY, &leave(6)).is_ok() && world.ask(-DAY, &leave(5)).is_ok());
    let bytes = postcard::to_allocvec(&world.slot).unwrap();
    let back: Slot = postcard::from_bytes(&bytes).unwrap();
    assert_eq!((&back, back.recount()), (&world.slot, Ok(())));
    assert_eq!(postcard::to_allocvec(&back).unwrap(), bytes);
    assert_eq!((back.wake_at(), Slot::replay(&world.records)), (world.slot.wake_at(), Some(world.slot)));
}
