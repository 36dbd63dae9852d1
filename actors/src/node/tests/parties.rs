//! Who takes part in what: a card in the sale that it paid for, a clerk in what they give back, whoever moves tickets in the places that these take, an account in what is
//! kept for its quotes. Each is assessed as it is found in the journal later.

use tornello_engine::account;
use tornello_engine::case::{self, Origin, Status, Subject, Verdict};
use tornello_engine::envelope::{Assessment, Outcome};
use tornello_engine::fraud_rules::{self, Action, Condition, Op, Rule};
use tornello_engine::ids::{CaseId, PaymentId, QuoteId};
use tornello_engine::institution::Institution;
use tornello_engine::quote::policy::GroupPolicy;
use tornello_engine::quote::{self, About, Asked, Kind, Settle};
use tornello_engine::slot::verdict::Window;
use tornello_engine::slot::{CancelCause, REVIEW_ENDS_BEFORE_S, TicketState};
use tornello_models::fraud::signals::{FeatureVector, Role, SignalEvent, SignalKind, Taking, features, index_of};

use super::again::{is_said_again, replayed, said_again};
use super::limits::an_hour_later;
use super::*;
use crate::cases::{case_of, decide, resume};
use crate::fraud::fold::{Fold, digest_of};
use crate::fraud::hearing::{by_whom, kind_of_return, outlet, parties};
use crate::fraud::{Outlet, signal_of_move, signal_of_return};
use crate::moves::{move_tickets, would_take};
use crate::quotes;
use crate::streams::all_of;

fn of(key: u128, named: &[(PartyKind, u128)]) -> Envelope {
    let parties = named.iter().map(|(kind, pseudonym)| party(*kind, *pseudonym)).collect();
    Envelope { parties, ..by(key) }
}

/// The digests of the features of all that was heard of a hold or sale.
fn digests(fold: &Fold, of: HoldId) -> Vec<Digest> {
    let digest = |features: &[f32]| digest_of(<&FeatureVector>::try_from(features).unwrap());
    fold.rows().filter(|row| row.subject == of.get()).map(|row| digest(&row.features)).collect()
}

/// What is counted of a party alone, by the feature that says so.
fn counted(house: &House, role: Role, id: u128, feature: &str) -> f32 {
    let mut signal = SignalEvent::new(house.node().now().as_micros(), SignalKind::PaymentBegun, Outlet::Web, MUSEUM.0);
    signal.parties.push(Taking { role, id });
    let (_, known) = house.node().scoring().counters().known(&signal).unwrap();
    features(&known, &signal)[index_of(feature).unwrap()]
}

/// Holds places for those who are named, as a shop does, so that they are remembered.
async fn held(house: &House, sale: HoldId, lines: Vec<Line>, envelope: Envelope) {
    let who = parties(&envelope, outlet(Channel::Web));
    house.node().slot(sale.slot(), envelope, Command::Hold { hold: sale, channel: Channel::Web, lines: lines.clone() }).await.unwrap();
    house.node().scoring().remember(sale, Channel::Web, &lines, who);
}

#[actix_rt::test]
async fn a_sale_is_also_of_the_card_that_paid_for_it_and_so_is_what_goes_back_of_it() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let (node, sales) = (house.node(), [1, 2].map(|n| HoldId::new(tomorrow(), n)));
    for (n, sale) in (1_u64..).zip(sales) {
        let buyer = u128::from(n);
        held(&house, sale, lines(1), of(buyer, &[(PartyKind::Buyer, buyer), (PartyKind::Device, 50 + buyer)])).await;
        let payment = PaymentId::new(0, n);
        node.payment(payment, of(100 + buyer, &[(PartyKind::Card, 7)]), pay(&[(sale, 1)], node.now())).await.unwrap();
        let sell = Command::Sell { hold: sale, owner: None, settlement: Settlement::Payment { id: payment }, contact: None };
        node.slot(tomorrow(), by(200 + buyer), sell).await.unwrap();
    }
    house.heard().await;
    assert!(counted(&house, Role::Card, 7, "person_sales_1h") > 1.0, "two sales, as ln(1 + x)");
    // Whoever looks at one of them finds the other one by the card.
    let views = &node.files().unwrap().views;
    views.reach(node.head().number).await;
    let links = views.links_of(&sales[0].to_string(), None).await.unwrap();
    let by_card = links.iter().find(|link| link.kind == "card").unwrap();
    assert_eq!((by_card.others, by_card.subjects.as_slice()), (1, &[sales[1].to_string()][..]));
    assert_eq!(views.parties_of(&sales[0].to_string()).await.unwrap().len(), 3);

    let bought = node.scoring().held(sales[0]).unwrap();
    assert!(bought.parties.contains(&Taking { role: Role::Card, id: 7 }), "{bought:?}");
    let mut envelope = by(300);
    let kind = kind_of_return(outlet(bought.channel), CancelCause::Visitor);
    let assessment = node.scoring().assess(&signal_of_return(node.now(), kind, Channel::Web, sales[0], 1, &envelope, Some(bought.as_ref())));
    envelope.assessment = Some(Box::new(assessment.clone()));
    node.slot(tomorrow(), envelope, Command::Cancel { sale: sales[0], owner: None, tickets: vec![0], cause: CancelCause::Visitor }).await.unwrap();
    house.heard().await;
    let (fold, _) = replayed(&house).await;
    assert_eq!(digests(&fold, sales[0]).last(), Some(&assessment.features));
    assert!(counted(&house, Role::Card, 7, "person_refunds_7d") > 0.5);
    is_said_again(&house, 1).await;
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_clerk_who_gives_back_what_the_web_sold_takes_part_in_it() {
    let house = House::new().await;
    let (node, sale) = (house.node(), HoldId::new(tomorrow(), 1));
    // The clerk has a past: what they sold they took back.
    house.ask(1, sell(50, 2)).await.unwrap();
    house.ask(2, Command::Cancel { sale: HoldId::new(tomorrow(), 50), owner: None, tickets: vec![], cause: CancelCause::Museum }).await.unwrap();
    held(&house, sale, free(2), of(3, &[(PartyKind::Buyer, 7)])).await;
    house.ask(4, Command::Sell { hold: sale, owner: None, settlement: Settlement::Free, contact: None }).await.unwrap();
    house.heard().await;
    let (bought, mut envelope) = (node.scoring().held(sale).unwrap(), by(5));
    let kind = kind_of_return(outlet(bought.channel), CancelCause::Visitor);
    assert_eq!((kind, by_whom(envelope.who, Channel::Web, kind)), (SignalKind::Refunded, None), "a shop is nobody");
    assert_eq!(by_whom(envelope.who, Channel::Web, SignalKind::Voided).map(|party| party.kind), Some(PartyKind::Operator));
    let clerk = by_whom(envelope.who, Channel::BoxOffice, kind).unwrap();
    envelope.parties.push(clerk);
    let signal = signal_of_return(node.now(), kind, Channel::BoxOffice, sale, 1, &envelope, Some(bought.as_ref()));
    let operator = Taking { role: Role::Operator, id: u128::from(envelope.who.0) };
    assert_eq!(signal.parties, [operator, Taking { role: Role::Buyer, id: 7 }]);
    let assessment = node.scoring().assess(&signal);
    envelope.assessment = Some(Box::new(assessment.clone()));
    node.slot(tomorrow(), envelope, Command::Cancel { sale, owner: None, tickets: vec![0], cause: CancelCause::Visitor }).await.unwrap();
    house.heard().await;
    let (fold, _) = replayed(&house).await;
    assert_eq!(digests(&fold, sale).last(), Some(&assessment.features), "also of what the clerk has voided");
    is_said_again(&house, 1).await;
    house.running.stop().await;
}

#[actix_rt::test]
async fn tickets_that_move_take_places_where_they_go_for_whoever_moves_them() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let (node, sale, arrival) = (house.node(), HoldId::new(tomorrow(), 1), HoldId::new(an_hour_later(), 70));
    held(&house, sale, free(2), of(1, &[(PartyKind::Buyer, 7), (PartyKind::Device, 57)])).await;
    house.ask(2, Command::Sell { hold: sale, owner: None, settlement: Settlement::Free, contact: None }).await.unwrap();
    house.heard().await;
    let slots_before = counted(&house, Role::Buyer, 7, "person_slots_1h");
    let mut envelope = of(3, &[(PartyKind::Device, 99)]);
    let prices = vec![(code("full"), Cents::ZERO)];
    let command = Command::BeginMove { sale, owner: None, tickets: vec![1], arrival, via: Channel::Web, prices };
    let taken = would_take(node, tomorrow(), &envelope, &command).await.unwrap().unwrap();
    assert_eq!(taken, free(1));
    let signal = signal_of_move(node.now(), Channel::Web, arrival, &taken, &envelope, node.scoring().held(sale).as_deref());
    assert_eq!((signal.slot, signal.people, signal.parties.len()), (an_hour_later().get(), 1, 3), "who moves them, and who bought them");
    let assessment = node.scoring().assess(&signal);
    envelope.assessment = Some(Box::new(assessment.clone()));
    move_tickets(node, tomorrow(), envelope.clone(), command.clone()).await.unwrap();
    assert_eq!(would_take(node, tomorrow(), &envelope, &command).await, Ok(None), "a repeat is no other attempt");
    house.heard().await;
    let (fold, _) = replayed(&house).await;
    assert_eq!(digests(&fold, arrival), [assessment.features; 2], "held, and bought at once");
    assert!(counted(&house, Role::Buyer, 7, "person_slots_1h") > slots_before + 0.2);
    let within = |window: &str| counted(&house, Role::Buyer, 7, &format!("person_slots_{window}")).to_bits();
    assert_eq!(within("10m"), within("1h"), "both slots within minutes");
    assert!(counted(&house, Role::Device, 99, "person_holds_1h") > 0.6);
    // A case about where they are finds where they were.
    let views = &node.files().unwrap().views;
    views.reach(node.head().number).await;
    let links = views.links_of(&arrival.to_string(), None).await.unwrap();
    assert!(links.iter().any(|link| link.kind == "buyer" && link.subjects.contains(&sale.to_string())), "{links:?}");
    is_said_again(&house, 1).await;
    house.running.stop().await;
}

#[actix_rt::test]
async fn tickets_that_are_moved_under_suspicion_are_looked_at_where_they_go() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let (node, sale, arrival) = (house.node(), HoldId::new(tomorrow(), 1), HoldId::new(an_hour_later(), 70));
    held(&house, sale, free(1), of(1, &[(PartyKind::Buyer, 7)])).await;
    house.ask(2, Command::Sell { hold: sale, owner: None, settlement: Settlement::Free, contact: None }).await.unwrap();
    house.heard().await;
    let command = Command::BeginMove { sale, owner: None, tickets: vec![], arrival, via: Channel::Web, prices: vec![(code("full"), Cents::ZERO)] };
    let signal = signal_of_move(node.now(), Channel::Web, arrival, &free(1), &by(3), node.scoring().held(sale).as_deref());
    let suspect = Assessment { outcome: Outcome::Review, ..node.scoring().assess(&signal) };
    move_tickets(node, tomorrow(), Envelope { assessment: Some(Box::new(suspect)), ..by(3) }, command).await.unwrap();
    let ticket = node.look(an_hour_later(), move |slot| slot.sale_of(arrival).map(|sale| sale.tickets[0].clone())).await.unwrap().unwrap();
    assert!(ticket.state == TicketState::Valid && ticket.review_until.is_some(), "{ticket:?}");
    node.files().unwrap().views.reach(node.head().number).await;
    resume(node).await.unwrap();
    let case = node.look_case(case_of(Subject::Sale(arrival)), |case| (case.status(), case.opened().map(|opened| opened.origin))).await;
    assert_eq!(case, Ok((Some(Status::Open), Some(Origin::Review))));
    let again = said_again(node.journal().as_ref(), None).await;
    let fields: Vec<&str> = again.told.iter().flat_map(|told| told.differences()).map(|found| found.field).collect();
    assert_eq!((again.assessed, fields), (1, vec!["outcome"]), "nobody suspects it but this test");
    house.running.stop().await;
}

/// A quote for ten of a tour operator, in a slot of some weeks later.
async fn quoted(node: &Node, key: u128, slot: SlotId) -> QuoteId {
    let about = About { museum: MUSEUM, kind: Kind::TourOperator, contact: None, institution: Institution::default(), account: Some(code("tours")) };
    let asked = Asked { slots: vec![slot], members: lines(10), escorts: 0, extras: Vec::new() };
    let id = quotes::draft(node, by(key), about, asked).await.unwrap();
    quotes::send(node, id, by(key + 1), None).await.unwrap();
    id
}

/// The option that a quote has, and with which envelope it was taken.
async fn option_of(node: &Node, id: QuoteId) -> (HoldId, Envelope) {
    let hold = node.look_quote(id, |quote| quote.options_in_force().and_then(|options| options.holds.first().copied())).await.unwrap().unwrap();
    let records = all_of::<Event>(node.journal().as_ref(), StreamId::Slot(hold.slot())).await.unwrap();
    let takes = |record: &&Record<Event>| record.events.iter().any(|event| matches!(event, Event::Held(held) if held.hold == hold));
    (hold, records.iter().find(takes).unwrap().envelope.clone().unwrap())
}

/// A museum takes groups of up to twelve, and a tour operator has an account.
async fn open_office(node: &Node) {
    let policy = GroupPolicy { group_min: 5, group_max: 12, signature_days: 3, ..GroupPolicy::default() };
    let set = museum::Command::SetGroupPolicy { valid_from: calendar::local_day(now()), policy: Box::new(policy) };
    node.museum(MUSEUM, by(2_000), set).await.unwrap();
    let limit_cents = Some(Cents::new(100_000));
    let open = account::Command::Open { code: code("tours"), institution: Institution::default(), limit_cents };
    node.account(code("tours"), by(2_001), open).await.unwrap();
}

/// From now on a rule of that name says so of groups of which a feature is so much, in thousandths.
async fn rule_for_groups(node: &Node, name: &str, (feature, threshold_milli): (&str, i64), action: Action) {
    let when = vec![Condition { feature: code(feature), op: Op::AtLeast, threshold_milli }];
    let sentence = Text::new("Troppi.", "Too many.");
    let rule = Rule { name: code(name), when, channels: vec![Channel::Group], museums: vec![], action, sentence };
    node.rules(by(10), fraud_rules::Command::Draft { rule: Box::new(rule), replaces: None, by: KeyId(1) }).await.unwrap();
    node.rules(by(11), fraud_rules::Command::Activate { name: code(name), draft: 1, by: KeyId(2) }).await.unwrap();
}

/// For how many an option is kept, and whether what it becomes is to be reviewed.
async fn kept(node: &Node, option: HoldId) -> Option<(u16, bool)> {
    let look = move |slot: &Slot| slot.hold_of(option).map(|hold| (hold.lines.iter().map(|line| line.count).sum::<u16>(), hold.asks_review));
    node.look(option.slot(), look).await.unwrap()
}

/// A small option must be no way to a large one of which nobody is told.
#[actix_rt::test]
async fn an_option_that_grows_is_assessed_as_one_that_is_taken() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let node = house.node();
    open_office(node).await;
    rule_for_groups(node, "large", ("people", 11_000), Action::Block).await;
    let there = SlotId::new(MUSEUM, RouteId(1), "2026-06-24T08:00:00Z".parse().unwrap());
    let id = quoted(node, 1, there).await;
    let (option, _) = option_of(node, id).await;
    assert_eq!(kept(node, option).await, Some((10, false)));
    house.heard().await;
    // It is kept whatever the rule says, and looked at.
    let more = Asked { slots: vec![there], members: lines(12), escorts: 0, extras: Vec::new() };
    quotes::revise(node, id, by(20), None, more).await.unwrap();
    assert_eq!(kept(node, option).await, Some((12, true)));
    node.files().unwrap().views.reach(node.head().number).await;
    resume(node).await.unwrap();
    let case = node.look_case(case_of(Subject::Sale(option)), |case| (case.status(), case.opened().map(|opened| opened.origin))).await;
    assert_eq!(case, Ok((Some(Status::Open), Some(Origin::Review))));
    house.heard().await;
    is_said_again(&house, 2).await;
    house.running.stop().await;
}

/// A quote whose option a rule wants looked at, and the case that there is about it.
async fn suspected(node: &Node, slot: SlotId) -> (QuoteId, HoldId, CaseId) {
    open_office(node).await;
    rule_for_groups(node, "large", ("people", 10_000), Action::Review).await;
    let id = quoted(node, 1, slot).await;
    let (option, _) = option_of(node, id).await;
    node.files().unwrap().views.reach(node.head().number).await;
    resume(node).await.unwrap();
    (id, option, case_of(Subject::Sale(option)))
}

/// Somebody has looked before the group has paid, when there were no tickets yet.
#[actix_rt::test]
async fn what_is_said_of_an_option_holds_for_the_tickets_that_it_becomes() {
    let there = SlotId::new(MUSEUM, RouteId(1), "2026-06-24T08:00:00Z".parse().unwrap());
    // Whether tickets are blocked, and under review.
    for (verdict, expected) in [(Verdict::Fraud, (true, true)), (Verdict::Legit, (false, false))] {
        let folder = TempDir::new().unwrap();
        let house = House::in_folder(&folder).await.unwrap();
        let node = house.node();
        let (id, option, about) = suspected(node, there).await;
        decide(node, about, by(20), verdict, code("looked")).await.unwrap();
        assert_eq!(resume(node).await.unwrap(), 0, "nothing is to be tried again");
        assert_eq!((node.cases().working(), node.cases().has_work()), (vec![about], false), "it waits for tickets");
        let accepted = quote::Command::Accept { owner: None, revision: 1, settle: Settle::OnAccount, creditor: 1, by_office: true };
        quotes::accept(node, id, by(30), accepted).await.unwrap();
        resume(node).await.unwrap();
        let look = move |slot: &Slot| {
            let tickets = slot.sale_of(option).map(|sale| sale.tickets.as_slice()).unwrap_or_default();
            tickets.iter().map(|ticket| (ticket.blocked.is_some(), ticket.review_until.is_some())).collect::<Vec<_>>()
        };
        assert_eq!(node.look(there, look).await.unwrap(), [expected; 10], "{verdict:?}");
        assert_eq!((node.look_case(about, |case| case.pending()).await, node.cases().working()), (Ok(None), vec![]), "{verdict:?}");
        house.running.stop().await;
    }
}

/// Weeks after somebody should have looked the group pays, and its tickets are under review.
#[actix_rt::test]
async fn the_case_of_an_option_is_open_as_long_as_what_it_becomes_can_be_under_review() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let node = house.node();
    let there = SlotId::new(MUSEUM, RouteId(1), "2026-07-22T08:00:00Z".parse().unwrap());
    let (_, _, about) = suspected(node, there).await;
    let opens_at = node.look(there, |slot| Window::of(slot.opening()).opens_at).await.unwrap();
    let deadlines = (now().plus_seconds(86_400), opens_at.plus_seconds(-REVIEW_ENDS_BEFORE_S));
    assert_eq!(node.look_case(about, |case| (case.status(), case.deadlines())).await, Ok((Some(Status::Open), deadlines)));
    house.running.stop().await;
}

#[actix_rt::test]
async fn what_is_said_of_an_option_waits_no_longer_than_the_option() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let node = house.node();
    let there = SlotId::new(MUSEUM, RouteId(1), "2026-06-24T08:00:00Z".parse().unwrap());
    let (_, option, about) = suspected(node, there).await;
    decide(node, about, by(20), Verdict::Fraud, code("looked")).await.unwrap();
    node.slot(there, Envelope::by_system(Digest(21)), Command::Release { hold: option, owner: Some(KeyId::SYSTEM) }).await.unwrap();
    resume(node).await.unwrap();
    let records = node.case_records(about).await.unwrap();
    let acted = |event: &case::Event| matches!(event, case::Event::Acted(case::Acted { action: case::Action::Block, done: false }));
    assert!(records.iter().flat_map(|record| &record.events).any(acted), "nothing was left to be done");
    assert!(node.cases().working().is_empty());
    house.running.stop().await;
}

#[actix_rt::test]
async fn what_is_kept_and_sold_for_a_quote_is_of_its_account_and_nothing_stops_it() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let node = house.node();
    open_office(node).await;
    let account = u128::from(Node::account_id(code("tours")).0);
    let group = party(PartyKind::Group, account);
    let slot_at = |hour: i64| SlotId::new(MUSEUM, RouteId(1), "2026-06-24T08:00:00Z".parse::<Timestamp>().unwrap().plus_seconds(hour * 3_600));

    let first = quoted(node, 1, slot_at(0)).await;
    let (hold, envelope) = option_of(node, first).await;
    let assessment = envelope.assessment.unwrap();
    assert_eq!((envelope.parties, assessment.outcome), (vec![group], Outcome::Allow));
    house.heard().await;
    assert_eq!(digests(&replayed(&house).await.0, hold), [assessment.features]);
    assert!(counted(&house, Role::Group, account, "account_holds_1h") > 0.6 && counted(&house, Role::Group, account, "account_unsold_1d") > 0.6);

    // A rule that would refuse it has it looked at, and the places are kept all the same.
    rule_for_groups(node, "options", ("account_holds_1h", 500), Action::Block).await;
    let second = quoted(node, 20, slot_at(1)).await;
    let (suspect, envelope) = option_of(node, second).await;
    let assessment = envelope.assessment.unwrap();
    assert_eq!((assessment.outcome, assessment.rules.as_slice()), (Outcome::Review, &[code("options")][..]));
    node.files().unwrap().views.reach(node.head().number).await;
    resume(node).await.unwrap();
    assert_eq!(node.look_case(case_of(Subject::Sale(suspect)), |case| case.status()).await, Ok(Some(Status::Open)));

    let accepted = quote::Command::Accept { owner: None, revision: 1, settle: Settle::OnAccount, creditor: 1, by_office: true };
    quotes::accept(node, first, by(30), accepted).await.unwrap();
    house.heard().await;
    assert!(counted(&house, Role::Group, account, "account_people_1d") > 2.0, "ten people, as ln(1 + x)");
    let views = &node.files().unwrap().views;
    views.reach(node.head().number).await;
    let of_account = ("group".to_owned(), format!("{account:032x}"));
    for subject in [hold, suspect] {
        assert!(views.parties_of(&subject.to_string()).await.unwrap().contains(&of_account));
    }
    is_said_again(&house, 2).await;
    house.running.stop().await;
}
