//! Rules: what they do to those who hold places and buy none, what one would have done in a time that has passed, and what one does from when it is in force.

use std::collections::HashSet;

use futures_util::FutureExt;

use super::super::cases::suspicion;
use super::*;

/// Buyer 66 holds places again and again, and buys none.
async fn hoarded(house: &House) {
    for n in 0..15_u64 {
        held(house, n, 66).await;
        house.node().slot(tomorrow(), by(5_000 + u128::from(n)), Command::Release { hold: HoldId::new(tomorrow(), n), owner: None }).await.unwrap();
        house.clock.set(house.node().now().plus_seconds(30));
    }
}

#[actix_rt::test]
async fn whoever_holds_and_never_buys_is_refused_by_rules_and_an_honest_buyer_is_not() {
    let house = House::new().await;
    hoarded(&house).await;
    house.heard().await;
    let outcome = |buyer| {
        let assessment = house.node().scoring().assess(&asked(&house, 99, &of(99, buyer)));
        (assessment.outcome, assessment.rules.iter().map(ToString::to_string).collect::<Vec<_>>(), assessment.model.to_string())
    };
    assert_eq!(outcome(66), (Outcome::Block, vec!["hoarding".to_owned(), "unsold-holds".to_owned()], "none".to_owned()));
    assert_eq!(outcome(67), (Outcome::Allow, vec![], "none".to_owned()));
    // At a desk somebody sees who is there.
    let signal = signal_of(house.node().now(), SignalKind::Held, Channel::BoxOffice, HoldId::new(tomorrow(), 99), &lines(1), &of(99, 66));
    assert_eq!(house.node().scoring().assess(&signal).outcome, Outcome::Allow);
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_rule_is_tried_on_what_has_happened() {
    use tornello_engine::case::{self, Subject, Verdict};
    use tornello_models::fraud::rules::RuleSet;

    use crate::cases::case_of;
    use crate::fraud::trial::{Trial, try_rules};
    let house = House::new().await;
    hoarded(&house).await;
    held(&house, 50, 67).await;
    // The last hold of the bot is bought: stopped would have been somebody who paid.
    held(&house, 60, 66).await;
    let settlement = Settlement::Payment { id: PaymentId::new(1, 7) };
    let command = Command::Sell { hold: HoldId::new(tomorrow(), 60), owner: None, settlement, contact: None };
    house.node().slot(tomorrow(), by(9_000), command).await.unwrap();
    let journal = Arc::clone(house.node().journal());
    let tried = try_rules(journal.as_ref(), &RuleSet::hard_defaults(), Timestamp::MIN, 1_000, &HashSet::new()).await.unwrap();
    // That its payment makes a sale of it is asked about by nobody.
    assert_eq!((tried.asked, tried.good), (17, 1), "{tried:?}");
    assert!(tried.step_up >= 5 && tried.block >= 2 && tried.stopped >= 2, "{tried:?}");
    // If their key had desk rights nobody would ask for a proof, through whichever channel they sell, and all else would be as it is.
    let desks = HashSet::from([by(0).who]);
    let at_desk = try_rules(journal.as_ref(), &RuleSet::hard_defaults(), Timestamp::MIN, 1_000, &desks).await.unwrap();
    assert_eq!(at_desk, Trial { step_up: 0, ..tried.clone() });
    let later = try_rules(journal.as_ref(), &RuleSet::hard_defaults(), house.node().now().plus_seconds(60), 1_000, &HashSet::new()).await.unwrap();
    assert_eq!(later.asked, 0);
    // An analyst finds fraud in it and no ticket was left to block; then that it was none, after staff have blocked one; then the bank takes the money back.
    let (subject, at) = (Subject::Sale(HoldId::new(tomorrow(), 60)), house.node().now());
    let opened = case::Command::Open(Box::new(suspicion(subject, Some(tomorrow()), None, at.plus_seconds(86_400))));
    let say = |verdict| case::Command::Decide { verdict, reason: code("known"), by: KeyId(4) };
    let by_bank = case::Command::Label { label: case::Label::Fraud, source: case::LabelSource::Chargeback };
    house.node().case(case_of(subject), by(9_100), opened).await.unwrap();
    house.ask(9_101, Command::Block { sale: HoldId::new(tomorrow(), 60), tickets: vec![0], reason: code("torn") }).await.unwrap();
    let steps = [(say(Verdict::Fraud), 0), (case::Command::Undo, 0), (say(Verdict::Legit), 1), (by_bank, 0)];
    for (n, (command, good)) in (0_u128..).zip(steps) {
        house.node().case(case_of(subject), by(9_200 + n), command).await.unwrap();
        let again = try_rules(journal.as_ref(), &RuleSet::hard_defaults(), Timestamp::MIN, 1_000, &HashSet::new()).await.unwrap();
        assert_eq!((again.good, again.stopped), (good, tried.stopped), "{n}: {again:?}");
    }
    house.running.stop().await;
}

/// Places are held and paid for, tickets move and go back, an option of a quote is kept: each as it is asked about when it is done, and once.
#[actix_rt::test]
async fn a_rule_is_tried_on_each_command_once_and_as_it_would_be_followed() {
    use tornello_engine::ids::QuoteId;
    use tornello_engine::slot::{CancelCause, Keeper};
    use tornello_models::fraud::rules::{Action, Comparison, Condition, Rule, RuleSet};

    use super::super::limits::an_hour_later;
    use crate::fraud::trial::{Trial, try_rules};
    use crate::moves::move_tickets;
    let house = House::new().await;
    let (node, at) = (house.node(), house.node().now());
    let (one, two, option) = (HoldId::new(tomorrow(), 1), HoldId::new(tomorrow(), 2), HoldId::new(tomorrow(), 3));
    let rule = |feature: &str, action| {
        let condition = Condition { feature: feature.to_owned(), comparison: Comparison::AtLeast, threshold: 1.0 };
        let (name, it, en) = ("all".to_owned(), "Tutti.".to_owned(), "All.".to_owned());
        RuleSet::new(vec![Rule { name, conditions: vec![condition], outlets: Vec::new(), museums: Vec::new(), action, it, en }]).unwrap()
    };
    let tried = async |rules: RuleSet| try_rules(node.journal().as_ref(), &rules, Timestamp::MIN, 1_000, &HashSet::new()).await.unwrap();

    // A place is held, a payment begins, and brings about a sale: that follows, and nobody is asked about it.
    held(&house, 1, 61).await;
    let paying = Envelope { parties: vec![party(PartyKind::Card, 7)], ..by(200) };
    let payment = PaymentId::new(0, 9);
    node.payment(payment, paying, pay(&[(one, 1)], at)).await.unwrap();
    let settlement = Settlement::Payment { id: payment };
    let paid = Command::SellPaid { hold: one, owner: None, lines: lines(1), keeper: Some(payment), settlement, contact: None };
    node.slot(tomorrow(), by(201), paid).await.unwrap();
    let (asks, looks, stops) = (Action::StepUp, Action::Review, Action::Block);
    let told = |tried: &Trial| (tried.asked, tried.step_up, tried.review, tried.block);
    assert_eq!(told(&tried(rule("people", looks)).await), (2, 0, 1, 0), "the payment names no people");
    assert_eq!(told(&tried(rule("cents", looks)).await), (2, 0, 2, 0));
    let stopped = tried(rule("people", stops)).await;
    assert_eq!((told(&stopped), stopped.stopped, stopped.good), ((2, 0, 0, 1), 1, 1), "and it is known what became of it");

    // Tickets move: they are held and sold where they arrive, and asked about once.
    let prices = vec![(code("full"), Cents::new(1_200))];
    let command = Command::BeginMove { sale: one, owner: None, tickets: vec![], arrival: HoldId::new(an_hour_later(), 4), via: Channel::Web, prices };
    move_tickets(node, tomorrow(), of(202, 61), command).await.unwrap();
    assert_eq!(told(&tried(rule("people", asks)).await), (3, 2, 0, 0));
    // Whoever has desk rights is asked for none, through whichever channel tickets are moved.
    let desks = HashSet::from([by(0).who]);
    let at_desk = try_rules(node.journal().as_ref(), &rule("people", asks), Timestamp::MIN, 1_000, &desks).await.unwrap();
    assert_eq!(told(&at_desk), (3, 0, 0, 0));

    // Nobody at a desk is asked for a proof, nor who takes tickets back.
    node.slot(tomorrow(), by(203), sell(2, 1)).await.unwrap();
    let cancel = Command::Cancel { sale: two, owner: None, tickets: vec![], cause: CancelCause::Museum };
    node.slot(tomorrow(), by(204), cancel).await.unwrap();
    assert_eq!(told(&tried(rule("people", asks)).await), (5, 2, 0, 0));

    // An option of a quote is kept whatever a rule says, and looked at.
    let cause = Keeper::Quote(QuoteId(7));
    let kept = Command::HoldFor { hold: option, channel: Channel::Group, lines: lines(1), until: at.plus_seconds(9_000), cause };
    node.slot(tomorrow(), Envelope { parties: vec![party(PartyKind::Group, 8)], ..Envelope::by_system(Digest(205)) }, kept).await.unwrap();
    let before = stopped.block;
    let stopped = tried(rule("account_holds_1h", stops)).await;
    assert_eq!(told(&stopped), (6, 0, 0, 0), "it is their first");
    let stopped = tried(rule("people", stops)).await;
    assert_eq!((stopped.asked, stopped.review, stopped.block), (6, 1, before + 3), "a desk's sale and what it took back besides");
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_rule_is_asked_as_soon_as_it_is_in_force_also_where_whoever_put_it_there_has_gone_away() {
    use tornello_engine::fraud_rules::{Action, Command as RulesCommand, Condition, Op, Rule};
    let house = House::new().await;
    let (node, name) = (house.node(), code("crowd"));
    let rule = Rule {
        name,
        when: vec![Condition { feature: code("people"), op: Op::AtLeast, threshold_milli: 1_000 }],
        channels: vec![Channel::Web],
        museums: Vec::new(),
        action: Action::Block,
        sentence: Text::new("Troppo.", "Too much."),
    };
    node.rules(by(1), RulesCommand::Draft { rule: Box::new(rule), replaces: None, by: KeyId(1) }).await.unwrap();
    // It is on its way, and nobody waits for the answer.
    drop(node.rules(by(2), RulesCommand::Activate { name, draft: 1, by: KeyId(2) }).now_or_never());
    while node.defences().rules().version() == 0 {
        tokio::task::yield_now().await;
    }
    let assessment = node.scoring().assess(&asked(&house, 99, &of(99, 66)));
    assert_eq!((assessment.outcome, assessment.rules_version), (Outcome::Block, 1));
    // What was in force before is not asked again, however late somebody comes with it.
    let before = node.defences().rules();
    node.rules(by(3), RulesCommand::Retire { name }).await.unwrap();
    node.scoring().follow(&before);
    let assessment = node.scoring().assess(&asked(&house, 98, &of(98, 66)));
    assert_eq!((assessment.outcome, assessment.rules_version), (Outcome::Allow, 2));
    house.running.stop().await;
}

/// However many ask what a rule said before, the journal is read for a few at once, as for histories: somebody may have drafted for years.
#[actix_rt::test]
async fn whoever_asks_what_a_rule_said_waits_for_those_who_read_histories() {
    let house = House::new().await;
    let node = house.node();
    let turns = node.histories.acquire_many(HISTORIES as u32).await.unwrap();
    let mut versions = Box::pin(node.rule_versions(code("crowd")));
    assert!(versions.as_mut().now_or_never().is_none());
    drop(turns);
    assert!(versions.await.unwrap().is_empty());
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_rule_that_is_put_in_force_is_asked_at_once_and_takes_the_place_of_the_default_of_its_name() {
    use tornello_engine::fraud_rules::{Action, Command as RulesCommand, Condition, Op, Rule};
    let house = House::new().await;
    let rule = |name: &str, feature: &str, threshold_milli| Rule {
        name: code(name),
        when: vec![Condition { feature: code(feature), op: Op::AtLeast, threshold_milli }],
        channels: vec![Channel::Web],
        museums: Vec::new(),
        action: Action::Block,
        sentence: Text::new("Troppo.", "Too much."),
    };
    let outcome = || house.node().scoring().assess(&asked(&house, 99, &of(99, 66)));
    assert_eq!((outcome().outcome, outcome().rules_version), (Outcome::Allow, 0));
    let many = Box::new(rule("crowd", "people", 1_000));
    house.node().rules(by(1), RulesCommand::Draft { rule: many, replaces: None, by: KeyId(1) }).await.unwrap();
    assert_eq!(outcome().outcome, Outcome::Allow, "a draft is not asked");
    house.node().rules(by(2), RulesCommand::Activate { name: code("crowd"), draft: 1, by: KeyId(2) }).await.unwrap();
    let assessment = outcome();
    assert_eq!((assessment.outcome, assessment.rules, assessment.rules_version), (Outcome::Block, vec![code("crowd")], 1));
    let sentence = house.node().scoring().rules().sentence("crowd");
    assert_eq!(sentence, ("Troppo.".to_owned(), "Too much.".to_owned()));
    // A default is turned off by a rule of its name that never fires; one that could not be asked is left out and stops nobody.
    for (draft, written) in [(3, rule("velocity", "person_holds_1m", 1_000_000_000)), (5, rule("crowd", "shoe_size", 1))] {
        let (name, key) = (written.name, u128::from(draft));
        house.node().rules(by(key), RulesCommand::Draft { rule: Box::new(written), replaces: None, by: KeyId(1) }).await.unwrap();
        house.node().rules(by(key + 1), RulesCommand::Activate { name, draft, by: KeyId(2) }).await.unwrap();
    }
    let rules = house.node().scoring().rules();
    assert_eq!((rules.version, rules.set.rules().filter(|rule| rule.name == "velocity").count(), outcome().outcome), (3, 1, Outcome::Allow));
    house.running.stop().await;
}
