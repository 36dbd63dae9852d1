//! Group visits: from a quote to tickets on every way to pay; options all or none; revisions that move places in one step; lapses by the clock. Till sessions, of
//! which a desk has one. What is on account, what is called off and what is stopped on its way have files of their own; here is the office that they share.

mod called_off;
mod on_account;
mod stopped;

use tornello_engine::account;
use tornello_engine::attendance::{self, Provenance};
use tornello_engine::ids::{PaymentId, QuoteId};
use tornello_engine::institution::Institution;
use tornello_engine::payment::{self, Receipt, Source};
use tornello_engine::quote::policy::{Fee, FeePer, GroupPolicy, Terms};
use tornello_engine::quote::{self, About, Asked, Deadline, Kind, Quote, Settle, Stage, Status};
use tornello_engine::slot::LimitedBy;
use tornello_engine::till;

use super::*;
use crate::forecaster::{Basis, past_quotes};
use crate::payments::{self, Cart, Gateway, GatewayError};
use crate::quotes::{self, accept, ask, draft, remind_doubtful, resume, revise, send};
use crate::tills;

/// A gateway that always says yes.
struct Yes;

impl Gateway for Yes {
    fn publish<'a>(&'a self, _: PaymentId, _: &'a payment::Opened) -> BoxFuture<'a, Result<(), GatewayError>> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn withdraw(&self, _: PaymentId) -> BoxFuture<'_, Result<(), GatewayError>> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn paid_elsewhere<'a>(&'a self, _: PaymentId, _: &'a Receipt) -> BoxFuture<'a, Result<(), GatewayError>> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn checkout<'a>(&'a self, _: &'a Cart) -> BoxFuture<'a, Result<String, GatewayError>> {
        Box::pin(std::future::ready(Ok("https://checkout.example/".to_owned())))
    }
}

/// A gateway that takes no position.
struct No;

impl Gateway for No {
    fn publish<'a>(&'a self, _: PaymentId, _: &'a payment::Opened) -> BoxFuture<'a, Result<(), GatewayError>> {
        Box::pin(std::future::ready(Err(GatewayError::Never(code("conflict")))))
    }
    fn withdraw(&self, _: PaymentId) -> BoxFuture<'_, Result<(), GatewayError>> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn paid_elsewhere<'a>(&'a self, _: PaymentId, _: &'a Receipt) -> BoxFuture<'a, Result<(), GatewayError>> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn checkout<'a>(&'a self, _: &'a Cart) -> BoxFuture<'a, Result<String, GatewayError>> {
        Box::pin(std::future::ready(Err(GatewayError::Never(code("conflict")))))
    }
}

/// Slots of Wednesday 24 June, two weeks ahead, from 10:00 in Rome on, of 20 places each.
fn slot_at(hour: i64) -> SlotId {
    SlotId::new(MUSEUM, RouteId(1), "2026-06-24T08:00:00Z".parse::<Timestamp>().unwrap().plus_seconds(hour * 3_600))
}

fn policy() -> GroupPolicy {
    let euro = Fee { per: FeePer::Person, amount: Cents::new(100), free_a_day: 15 };
    let base = GroupPolicy { group_min: 5, group_max: 12, signature_days: 3, ..GroupPolicy::default() };
    GroupPolicy { school: Terms { fee: euro, ..base.school.clone() }, ..base }
}

struct Office {
    house: House,
}

impl Office {
    async fn on(journal: Arc<dyn Journal>) -> Self {
        let house = House::on(journal).await;
        assert!(house.node().connect(Arc::new(Yes)));
        Self { house }
    }

    async fn new() -> Self {
        let office = Self::on(Arc::new(MemoryJournal::default())).await;
        office.open().await;
        office
    }

    async fn open(&self) {
        open_museum(self.node()).await;
        let set = museum::Command::SetGroupPolicy { valid_from: calendar::local_day(now()), policy: Box::new(policy()) };
        self.node().museum(MUSEUM, by(2_000), set).await.unwrap();
        let agreed = account::Agreement {
            museum: None,
            category: code("full"),
            price: account::AgreedPrice::PercentOff(25),
            from: jiff::civil::date(2026, 1, 1),
            to: jiff::civil::date(2026, 12, 31),
        };
        for (key, command) in (2_001..).zip([
            account::Command::Open { code: code("tours"), institution: Institution::default(), limit_cents: Some(Cents::new(20_000)) },
            account::Command::SetAgreements { agreements: vec![agreed] },
        ]) {
            self.node().account(code("tours"), by(key), command).await.unwrap();
        }
    }

    fn node(&self) -> &Arc<Node> {
        self.house.node()
    }

    async fn stop(self) {
        self.house.running.stop().await;
    }

    async fn quote(&self, id: QuoteId) -> Quote {
        let quote = self.node().look_quote(id, Clone::clone).await.unwrap();
        assert_eq!(quote.recount(), Ok(()));
        quote
    }

    async fn status(&self, id: QuoteId) -> Status {
        self.quote(id).await.status()
    }

    /// Places held and sold in the first two slots.
    async fn places(&self) -> [(u32, u32); 2] {
        let mut seen = [(0, 0); 2];
        for (seen, hour) in seen.iter_mut().zip(0..) {
            let count = |slot: &Slot| {
                slot.recount().unwrap();
                let places = slot.places();
                (places.held.iter().sum(), places.sold.iter().sum())
            };
            *seen = self.node().look(slot_at(hour), count).await.unwrap();
        }
        seen
    }

    async fn owed(&self) -> i64 {
        self.node()
            .look_account(code("tours"), |account| (account.recount(), account.owed_cents().get()))
            .await
            .map(|(sound, owed)| {
                assert_eq!(sound, Ok(()));
                owed
            })
            .unwrap()
    }

    async fn drafted(&self, key: u128, about: About, asked: Asked) -> QuoteId {
        draft(self.node(), by(key), about, asked).await.unwrap()
    }

    async fn sent(&self, key: u128, about: About, asked: Asked) -> QuoteId {
        let id = self.drafted(key, about, asked).await;
        send(self.node(), id, by(key + 1), None).await.unwrap();
        id
    }

    async fn accept(&self, id: QuoteId, key: u128, revision: u32, settle: Settle) -> quotes::Step<()> {
        accept(self.node(), id, by(key), accepted(revision, settle)).await
    }

    async fn pay(&self, id: QuoteId) {
        let payment = self.quote(id).await.payment().unwrap();
        let due = self.node().look_payment(payment, |payment| payment.opened().unwrap().amount_cents).await.unwrap();
        payments::receive(self.node(), payment, receipt(due)).await.unwrap();
        self.settle().await;
    }

    async fn settle(&self) {
        assert_eq!(payments::resume(self.node()).await, 0);
        assert_eq!(resume(self.node()).await, 0);
    }
}

fn receipt(amount_cents: Cents) -> Receipt {
    let text = String::new;
    let (id, paid_at) = ("receipt-1".to_owned(), now());
    Receipt { id, source: Source::Node, amount_cents, paid_at, psp: text(), channel: text(), method: text(), stand_in: false, fee_cents: None }
}

const fn accepted(revision: u32, settle: Settle) -> quote::Command {
    quote::Command::Accept { owner: None, revision, settle, creditor: 1, by_office: true }
}

fn about(kind: Kind, account: Option<&str>) -> About {
    About { museum: MUSEUM, kind, contact: None, institution: Institution::default(), account: account.map(code) }
}

fn operator() -> About {
    about(Kind::TourOperator, Some("tours"))
}

fn visit(count: u16) -> Asked {
    let slots = (0..i64::from(count.div_ceil(12))).map(slot_at).collect();
    Asked { slots, members: lines(count), escorts: 0, extras: Vec::new() }
}

fn pupils(count: u16) -> Asked {
    Asked {
        members: vec![Line { category: code("school-pupil"), price_cents: Cents::ZERO, proof: Proof::SchoolList, ..lines(count)[0].clone() }],
        ..visit(count)
    }
}

fn sell_there(hour: i64, n: u64, count: u16) -> Command {
    let settlement = Settlement::Desk { till: code("desk-1"), method: DeskMethod::Card, reference: format!("R-{n}") };
    Command::SellDirect { sale: HoldId::new(slot_at(hour), n), channel: Channel::BoxOffice, lines: lines(count), settlement, contact: None }
}

fn refused(hour: i64, asked: u32, available: u32) -> quotes::Step<()> {
    let why = Refusal::NotEnoughPlaces { asked, available, limited_by: LimitedBy::Capacity };
    Err(Failure::Refused(quotes::Refusal::Slot { slot: slot_at(hour), why }))
}

#[actix_rt::test]
async fn a_group_goes_from_its_quote_to_tickets_by_a_notice() {
    let office = Office::new().await;
    let node = office.node();
    let id = office.drafted(1, operator(), visit(20)).await;
    assert_eq!(office.drafted(1, operator(), visit(20)).await, id, "a repeat finds it");
    assert_eq!(office.places().await, [(0, 0), (0, 0)], "a draft keeps nothing");
    // A quarter less by the agreement: 9.00 for each.
    assert_eq!(office.quote(id).await.offer().unwrap().total_cents, Cents::new(18_000));
    send(node, id, by(2), None).await.unwrap();
    assert_eq!((office.status(id).await, office.places().await), (Status::Sent, [(10, 0), (10, 0)]));
    office.accept(id, 3, 1, Settle::Notice).await.unwrap();
    let head = node.quotes().head(id).unwrap();
    assert_eq!((head.status, head.has_work, head.awaits), (Status::Accepted, false, office.quote(id).await.payment()));
    office.pay(id).await;
    let quote = office.quote(id).await;
    let Stage::Ticketed { sales, missing } = quote.stage() else { panic!("{:?}", quote.stage()) };
    assert_eq!((sales.len(), missing.len(), office.places().await), (2, 0, [(0, 10), (0, 10)]));
    let sale = sales[0];
    let sold = node.look(sale.slot(), move |slot| slot.sale_of(sale).cloned()).await.unwrap().unwrap();
    assert_eq!((sold.who, sold.channel, sold.settlement), (KeyId(7), Channel::Group, Settlement::Payment { id: quote.payment().unwrap() }));
    assert_eq!(office.owed().await, 0);
    office.stop().await;
}

#[actix_rt::test]
async fn whoever_accepts_is_told_that_the_notice_is_not_taken() {
    let house = House::on(Arc::new(MemoryJournal::default())).await;
    assert!(house.node().connect(Arc::new(No)));
    let office = Office { house };
    office.open().await;
    let id = office.sent(1, operator(), visit(10)).await;
    let no = Err(Failure::Refused(quotes::Refusal::Settlement { why: code("conflict") }));
    assert_eq!(office.accept(id, 3, 1, Settle::Notice).await, no);
    assert_eq!(office.accept(id, 3, 1, Settle::Notice).await, no, "and again, when it repeats that");
    assert_eq!((office.status(id).await, office.places().await[0]), (Status::Sent, (10, 0)));
    // Another way is open.
    assert_eq!(office.accept(id, 4, 1, Settle::OnAccount).await, Ok(()));
    assert_eq!((office.status(id).await, office.places().await[0]), (Status::Ticketed, (0, 10)));
    assert_eq!(office.accept(id, 3, 1, Settle::Notice).await, Ok(()));
    office.stop().await;
}

#[actix_rt::test]
async fn the_free_quota_is_given_out_once_also_if_who_asked_for_it_goes_away() {
    let journal = Arc::new(Faulty::default());
    let office = Office::on(Arc::clone(&journal) as _).await;
    office.open().await;
    let draft_of = |key: u128| Box::pin(draft(office.node(), by(key), about(Kind::School, None), pupils(10)));
    let stall = journal.stall.lock().await;
    let (going, mut next) = (draft_of(1), draft_of(11));
    go_away(&journal, going).await;
    waits(&mut next, "nobody knows yet what is left").await;
    drop(stall);
    next.await.unwrap();
    let mut totals: Vec<i64> = office.node().quotes().heads().iter().map(|(_, head)| head.total_cents.get()).collect();
    totals.sort_unstable();
    assert_eq!(totals, [0, 500], "ten of fifteen, and the five that are left");
    office.stop().await;
}

#[actix_rt::test]
async fn the_free_quota_of_the_fee_is_theirs_who_asked_first() {
    let office = Office::new().await;
    let school = || about(Kind::School, None);
    // Fifteen of a day are free: two of ten at once have them in some order, and a third has none.
    let both = join_all([1, 11].map(|key| draft(office.node(), by(key), school(), pupils(10)))).await;
    let third = office.drafted(21, school(), pupils(10)).await;
    let mut totals = Vec::new();
    for id in both.into_iter().map(Result::unwrap).chain([third]) {
        totals.push(office.quote(id).await.offer().unwrap().total_cents.get());
    }
    totals.sort_unstable();
    assert_eq!(totals, [0, 500, 1_000]);
    // What is not wanted any more leaves its part to the next.
    ask(office.node(), third, by(22), quote::Command::Refuse { owner: None }).await.unwrap();
    let free = office.node().quotes().free_of_fee(MUSEUM, calendar::local_day(slot_at(0).start()), true, QuoteId(0));
    assert_eq!(free, 15);
    // A school that pays nothing needs no payment.
    let heads = office.node().quotes().heads();
    let (nothing_due, _) = heads.iter().find(|(_, head)| head.total_cents.is_zero() && head.status == Status::Draft).unwrap();
    send(office.node(), *nothing_due, by(2), None).await.unwrap();
    office.accept(*nothing_due, 3, 1, Settle::Notice).await.unwrap();
    let quote = office.quote(*nothing_due).await;
    assert_eq!((quote.status(), quote.payment(), office.places().await[0]), (Status::Ticketed, None, (0, 10)));
    office.stop().await;
}

/// A revision was priced before its places are taken: what it takes of the free quota no other quote has meanwhile.
#[actix_rt::test]
async fn a_revision_that_is_on_its_way_has_its_part_of_the_free_quota() {
    let office = Office::new().await;
    let school = || about(Kind::School, None);
    let id = office.sent(1, school(), pupils(5)).await;
    let rules = quote::Rules { policy: policy(), revision: 1, patron: None, fee_free_left: 15, party_max: 20, closes_at: slot_at(0).start() };
    let (asked, holds) = (pupils(12), vec![HoldId::new(slot_at(0), 77)]);
    office.node().quote(id, by(3), quote::Command::Revise { owner: None, asked, rules: Box::new(rules), holds }).await.unwrap();
    let other = office.drafted(11, school(), pupils(10)).await;
    assert_eq!(office.quote(other).await.offer().unwrap().total_cents.get(), 700, "three of the fifteen are left");
    office.stop().await;
}

#[actix_rt::test]
async fn options_are_taken_all_or_none_and_a_revision_moves_them_in_one_step() {
    let office = Office::new().await;
    let node = office.node();
    node.slot(slot_at(1), by(1), sell_there(1, 1, 15)).await.unwrap();
    let id = office.drafted(2, operator(), visit(20)).await;
    assert_eq!(send(node, id, by(3), None).await, refused(1, 10, 5));
    assert_eq!((office.status(id).await, office.places().await), (Status::Draft, [(0, 0), (0, 15)]), "the first is given back");
    assert_eq!(send(node, id, by(3), None).await, refused(1, 10, 5), "a repeat hears the same");
    // Ten have places; then twelve, in the place of the ten; then twenty have not.
    revise(node, id, by(4), None, visit(10)).await.unwrap();
    send(node, id, by(5), None).await.unwrap();
    assert_eq!((office.quote(id).await.revision(), office.places().await[0]), (1, (10, 0)));
    // All that is left of the slot is one: it has ten of twelve, and needs two.
    node.slot(slot_at(0), by(60), sell_there(0, 2, 9)).await.unwrap();
    let more = visit(12);
    assert_eq!(revise(node, id, by(6), None, more.clone()).await, refused(0, 2, 1));
    assert_eq!((office.quote(id).await.revision(), office.status(id).await, office.places().await[0]), (1, Status::Sent, (10, 9)));
    // A part beside it that is refused leaves what was in force as it was, though it had grown.
    node.slot(
        slot_at(0),
        by(61),
        Command::Cancel { sale: HoldId::new(slot_at(0), 2), owner: None, tickets: vec![0, 1], cause: slot::CancelCause::Museum },
    )
    .await
    .unwrap();
    assert_eq!(revise(node, id, by(62), None, visit(24)).await, refused(1, 12, 5));
    assert_eq!((office.quote(id).await.revision(), office.places().await), (1, [(10, 7), (0, 15)]));
    node.slot(
        slot_at(0),
        by(63),
        Command::Cancel { sale: HoldId::new(slot_at(0), 2), owner: None, tickets: vec![], cause: slot::CancelCause::Museum },
    )
    .await
    .unwrap();
    revise(node, id, by(7), None, Asked { slots: vec![slot_at(2)], ..more }).await.unwrap();
    assert_eq!((office.quote(id).await.revision(), office.places().await[0]), (2, (0, 0)));
    assert_eq!(
        office.accept(id, 8, 1, Settle::Notice).await,
        Err(Failure::Refused(quotes::Refusal::Quote(quote::Refusal::OtherRevision { revision: 2 })))
    );
    // Accepted, it is reopened before it is revised; its payment is withdrawn.
    office.accept(id, 9, 2, Settle::Notice).await.unwrap();
    let under_way = quote::Refusal::PaymentUnderWay;
    assert_eq!(revise(node, id, by(10), None, visit(8)).await, Err(Failure::Refused(quotes::Refusal::Quote(under_way))));
    let payment = office.quote(id).await.payment().unwrap();
    ask(node, id, by(11), quote::Command::Reopen).await.unwrap();
    assert_eq!(node.look_payment(payment, |payment| payment.stage().name()).await, Ok("cancelled"));
    revise(node, id, by(12), None, visit(8)).await.unwrap();
    assert_eq!((office.quote(id).await.revision(), office.status(id).await, office.places().await[0]), (3, Status::Sent, (8, 0)));
    // Money on the old notice buys nothing that is in force: it goes back.
    payments::receive(node, payment, receipt(Cents::new(10_800))).await.unwrap();
    office.settle().await;
    assert_eq!((office.status(id).await, office.places().await[0]), (Status::Sent, (8, 0)));
    assert_eq!(node.look_payment(payment, |payment| (payment.owed(), payment.money().owed.get())).await, Ok((1, 10_800)));
    ask(node, id, by(13), quote::Command::Cancel { owner: None, cause: quote::CancelCause::Group }).await.unwrap();
    assert_eq!((office.status(id).await, office.places().await[0]), (Status::Cancelled, (0, 0)));
    assert!(node.quotes().head(id).is_none());
    office.stop().await;
}

#[actix_rt::test]
async fn a_repeat_of_a_revision_that_was_refused_hears_that_whatever_was_revised_since() {
    let office = Office::new().await;
    let node = office.node();
    node.slot(slot_at(1), by(1), sell_there(1, 1, 15)).await.unwrap();
    let id = office.sent(2, operator(), visit(10)).await;
    assert_eq!(revise(node, id, by(4), None, visit(20)).await, refused(1, 10, 5));
    revise(node, id, by(5), None, visit(12)).await.unwrap();
    assert_eq!(revise(node, id, by(4), None, visit(20)).await, refused(1, 10, 5));
    assert_eq!(revise(node, id, by(5), None, visit(12)).await, Ok(()));
    assert_eq!((office.quote(id).await.revision(), office.places().await), (2, [(12, 0), (0, 15)]));
    office.stop().await;
}

#[actix_rt::test]
async fn a_doubtful_quote_is_reminded_before_its_time_and_once_also_after_a_restart() {
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::default());
    let office = Office::on(Arc::clone(&journal)).await;
    office.open().await;
    let late = GroupPolicy { reminder_days: 1, ..policy() };
    let set = museum::Command::SetGroupPolicy { valid_from: calendar::local_day(now()), policy: Box::new(late) };
    office.node().museum(MUSEUM, by(2_100), set).await.unwrap();
    let company = office.sent(1, about(Kind::Company, None), visit(10)).await;
    let school = office.sent(11, about(Kind::School, None), Asked { slots: vec![slot_at(1)], ..visit(10) }).await;
    let (deadline, due_at) = office.node().quotes().head(company).unwrap().deadline.unwrap();
    assert_eq!(deadline, Deadline::Signature);
    let half = now().plus_seconds(due_at.micros_since(now()) / 2_000_000);
    office.house.clock.set(half.plus_seconds(-1));
    assert!(office.node().forecaster().learn_quotes(past_quotes(200)));
    assert_eq!(remind_doubtful(office.node()).await, 0, "half of its time has not gone by");
    office.house.clock.set(half);
    assert!(office.node().forecaster().learn_quotes(past_quotes(10)));
    assert_eq!(remind_doubtful(office.node()).await, 0, "nothing is done by what is assumed");
    assert!(office.node().forecaster().learn_quotes(past_quotes(200)));
    assert_eq!(remind_doubtful(office.node()).await, 1, "companies let forms lie, in that past");
    assert_eq!(remind_doubtful(office.node()).await, 0, "once");
    let (doubtful, sure) = (office.quote(company).await, office.quote(school).await);
    assert_eq!((doubtful.early_reminder_from(), doubtful.wake_at()), (None, Some(due_at)), "the policy's own reminder comes no more");
    assert_eq!((sure.early_reminder_from(), sure.wake_at()), (Some(half), Some(due_at.plus_seconds(-86_400))), "others hear on the policy's day");
    office.stop().await;
    let clock = Arc::new(ManualClock::new(half.plus_seconds(60)));
    let running = Node::start_on(journal, clock as _, Limits::default()).await.unwrap();
    assert!(running.node().forecaster().learn_quotes(past_quotes(200)));
    assert_eq!(remind_doubtful(running.node()).await, 0);
    assert_eq!(running.node().look_quote(company, Quote::clone).await.unwrap(), doubtful);
    running.stop().await;
}

#[actix_rt::test]
async fn the_office_is_told_which_options_keep_others_out() {
    let office = Office::new().await;
    let node = office.node();
    assert!(node.forecaster().learn_quotes(past_quotes(200)));
    let company = office.sent(1, about(Kind::Company, None), visit(10)).await;
    let school = office.sent(11, about(Kind::School, None), Asked { slots: vec![slot_at(1)], ..visit(10) }).await;
    let drafted = office.drafted(21, about(Kind::Company, None), Asked { slots: vec![slot_at(2)], ..visit(10) }).await;
    let chance = |id| node.forecaster().lapse(&node.quotes().head(id).unwrap(), now());
    let [of_company, of_school] = [company, school].map(|id| chance(id).unwrap());
    assert!(of_company.basis == Basis::Rate && of_company.probability > 0.5 && of_school.probability < 0.3, "{of_company:?} {of_school:?}");
    assert_eq!(chance(drafted), None, "a draft keeps nothing");
    let known = node.museums().get(MUSEUM).unwrap();
    let options = |hour: i64| {
        let day = node.forecaster().days(node, &known, calendar::local_day(slot_at(0).start()), 1).remove(0);
        day.slots.iter().find(|slot| slot.slot == slot_at(hour)).unwrap().options
    };
    assert_eq!([0, 1, 2].map(options), [(10, 10.0 * of_company.probability), (10, 10.0 * of_school.probability), (0, 0.0)]);
    assert_eq!(node.forecaster().releasable(node, &known), [], "nobody is kept out");
    // More come every day than there are places.
    let people = vec![Some(400); 100];
    let full =
        attendance::Command::Import { provenance: Provenance::Imported, source: "register".to_owned(), from: jiff::civil::date(2026, 3, 1), people };
    node.attendance(MUSEUM, by(3_000), full).await.unwrap();
    let listed = node.forecaster().releasable(node, &known);
    assert_eq!(listed.iter().map(|seen| (seen.quote, seen.status)).collect::<Vec<_>>(), [(company, Status::Sent), (school, Status::Sent)]);
    let [slot] = listed[0].slots.as_slice() else { panic!("one slot: {listed:?}") };
    assert_eq!((slot.slot, slot.places, slot.capacity, slot.options.0, slot.free), (slot_at(0), 10, 20, 10, 10));
    assert!((slot.expected - 20.0).abs() < 0.1 && (slot.short - 10.0 * of_company.probability).abs() < 0.1, "{slot:?}");
    assert!((listed[0].worth - slot.worth).abs() < 1e-9 && listed[0].worth > listed[1].worth, "{listed:?}");
    // Released by a clerk, on the way that there was before: nothing is kept, and nothing is to be released.
    for (key, id) in [(31, company), (32, school)] {
        ask(node, id, by(key), quote::Command::Cancel { owner: None, cause: quote::CancelCause::Group }).await.unwrap();
    }
    assert_eq!((options(0), node.forecaster().releasable(node, &known)), ((0, 0.0), vec![]));
    office.stop().await;
}

#[actix_rt::test]
async fn quotes_that_have_ended_are_found_in_the_lists_as_they_were() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let node = house.node();
    assert!(node.connect(Arc::new(Yes)));
    let asked = |hour| Asked { slots: vec![slot_at(hour)], ..visit(10) };
    let mut quotes = Vec::new();
    for (hour, key) in [(0, 1), (1, 11), (2, 21), (3, 31)] {
        let id = draft(node, by(key), about(Kind::Company, None), asked(hour)).await.unwrap();
        send(node, id, by(key + 1), None).await.unwrap();
        quotes.push(id);
    }
    // Refused a day later; taken back by the museum; accepted, and a day later taken back by the group; and one that waits.
    house.clock.set(now().plus_seconds(86_400));
    ask(node, quotes[0], by(3), quote::Command::Refuse { owner: None }).await.unwrap();
    ask(node, quotes[1], by(13), quote::Command::Cancel { owner: None, cause: quote::CancelCause::Museum }).await.unwrap();
    accept(node, quotes[2], by(23), accepted(1, Settle::Notice)).await.unwrap();
    house.clock.set(now().plus_seconds(2 * 86_400));
    ask(node, quotes[2], by(24), quote::Command::Cancel { owner: None, cause: quote::CancelCause::Group }).await.unwrap();
    let views = &node.files().unwrap().views;
    views.reach(node.head().number).await;
    let listed = views.ended_quotes(now(), now().plus_seconds(30 * 86_400), 10).await.unwrap();
    let seen: Vec<_> = listed.iter().map(|quote| (quote.starts_at, quote.sent_at, quote.accepted_at, quote.ended_at, quote.paid)).collect();
    let day = |days: i64| now().plus_seconds(days * 86_400);
    assert_eq!(seen, [(slot_at(0).start(), day(0), None, day(1), false), (slot_at(2).start(), day(0), Some(day(1)), day(2), false)]);
    assert_eq!((listed[0].museum, listed[0].kind.as_str(), listed[0].people, listed[0].total_cents), (MUSEUM, "company", 10, 12_000));
    assert_eq!(views.ended_quotes(now(), now().plus_seconds(30 * 86_400), 1).await.unwrap(), listed[1..], "the newest");
    assert_eq!(views.ended_quotes(now(), slot_at(0).start(), 10).await.unwrap(), []);
    house.running.stop().await;
}

#[actix_rt::test]
async fn it_lapses_by_the_clock_and_money_that_arrives_wins() {
    let office = Office::new().await;
    let (unsigned, unpaid) =
        (office.sent(1, operator(), visit(10)).await, office.sent(11, operator(), Asked { slots: vec![slot_at(1)], ..visit(10) }).await);
    office.accept(unpaid, 13, 1, Settle::Notice).await.unwrap();
    let conditions = *office.quote(unpaid).await.conditions().unwrap();
    let lapse = |deadline| move |quote: &Quote| *quote.stage() == Stage::Lapsed { deadline };
    // The form was due at the end of 15 June, three working days on; the money at the end of 18 June, in Rome.
    let reach = async |at: Timestamp| {
        office.house.clock.set(at);
        office.node().wake_due().await;
        // Whoever looks asks the owner, which ends what is due before.
        for id in [unsigned, unpaid] {
            let _ = office.quote(id).await;
        }
        let _ = payments::resume(office.node()).await;
        let _ = resume(office.node()).await;
    };
    reach(conditions.sign_by).await;
    assert!(office.node().look_quote(unsigned, lapse(Deadline::Signature)).await.unwrap());
    assert_eq!(office.places().await, [(0, 0), (10, 0)]);
    reach(conditions.pay_by.plus_seconds(quote::PAYMENT_GRACE_S)).await;
    let quote = office.quote(unpaid).await;
    assert!(matches!(quote.stage(), Stage::Lapsed { deadline: Deadline::Payment }), "{:?}", quote.stage());
    assert_eq!(office.places().await, [(0, 0), (0, 0)]);
    assert!(office.node().quotes().heads().is_empty());
    // The bank was slow: there is still room, so there are tickets.
    let payment = quote.payment().unwrap();
    payments::receive(office.node(), payment, receipt(Cents::new(9_000))).await.unwrap();
    office.settle().await;
    assert_eq!((office.status(unpaid).await, office.places().await[1]), (Status::Ticketed, (0, 10)));
    office.stop().await;
}

#[actix_rt::test]
async fn open_quotes_and_tills_are_known_after_a_restart() {
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::default());
    let office = Office::on(Arc::clone(&journal)).await;
    office.open().await;
    let (sent, ticketed) =
        (office.sent(1, operator(), visit(10)).await, office.sent(11, operator(), Asked { slots: vec![slot_at(1)], ..visit(10) }).await);
    let refused = office.sent(21, operator(), Asked { slots: vec![slot_at(2)], ..visit(10) }).await;
    office.accept(ticketed, 13, 1, Settle::OnAccount).await.unwrap();
    ask(office.node(), refused, by(23), quote::Command::Refuse { owner: None }).await.unwrap();
    let till = tills::open(office.node(), by(30), MUSEUM, code("desk-1"), Cents::new(10_000)).await.unwrap();
    assert_eq!(tills::open(office.node(), by(30), MUSEUM, code("desk-1"), Cents::new(10_000)).await, Ok(till), "a repeat finds it");
    let second = tills::open(office.node(), by(31), MUSEUM, code("desk-1"), Cents::ZERO).await;
    assert_eq!(second, Err(Failure::Refused(till::Refusal::AlreadyOpen)));
    let closed = tills::open(office.node(), by(32), MUSEUM, code("desk-2"), Cents::ZERO).await.unwrap();
    let close = till::Command::Close { counted_cents: Cents::ZERO, taken_cents: Cents::ZERO, summed_to: 0 };
    office.node().till(closed, by(33), close).await.unwrap();
    let sorted = |office: &Office| {
        let mut heads = office.node().quotes().heads();
        heads.sort_unstable_by_key(|(id, _)| *id);
        heads
    };
    let before = sorted(&office);
    assert_eq!(before.iter().map(|(id, _)| *id).collect::<std::collections::BTreeSet<_>>(), [sent, ticketed].into());
    office.stop().await;
    let office = Office::on(Arc::clone(&journal)).await;
    assert_eq!(sorted(&office), before);
    assert_eq!(office.node().tills().open().iter().map(|(id, head)| (*id, head.opened.till)).collect::<Vec<_>>(), [(till, code("desk-1"))]);
    assert!(tills::open(office.node(), by(40), MUSEUM, code("desk-2"), Cents::ZERO).await.is_ok());
    assert_eq!(office.status(refused).await, Status::Refused, "it is found in the journal");
    let nobody = office.node().look_quote(QuoteId(1), Quote::status).await;
    assert_eq!(nobody, Err(Failure::Refused(quote::Refusal::UnknownQuote)));
    office.stop().await;
    let verified = crate::verify::verify(journal.as_ref(), false, |_| {}).await.unwrap();
    assert_eq!(verified.beside, 3 + 3 + 1, "quotes, till sessions, an account");
}

/// The money for a part whose slot is closed goes back, and no places are kept for it when the slot opens again.
#[actix_rt::test]
async fn a_part_whose_money_goes_back_keeps_no_places() {
    let office = Office::new().await;
    let node = office.node();
    let id = office.sent(1, operator(), visit(20)).await;
    office.accept(id, 3, 1, Settle::Notice).await.unwrap();
    node.slot(slot_at(1), by(4), Command::Close { reason: code("strike") }).await.unwrap();
    office.pay(id).await;
    let quote = office.quote(id).await;
    assert!(matches!(quote.stage(), Stage::Ticketed { missing, .. } if *missing == [1]), "{:?}", quote.stage());
    assert_eq!(node.look_payment(quote.payment().unwrap(), |payment| payment.money().owed.get()).await, Ok(9_000));
    node.slot(slot_at(1), by(5), Command::Reopen).await.unwrap();
    assert_eq!(office.places().await, [(0, 10), (0, 0)]);
    office.stop().await;
}

/// Late money on a notice that was thought to be over, while another one can be paid: it wins, and the other is ended. If that is paid too, it goes back.
#[actix_rt::test]
async fn late_money_wins_over_a_payment_that_was_begun_since() {
    for paid_too in [false, true] {
        let office = Office::new().await;
        let node = office.node();
        let id = office.sent(1, operator(), visit(12)).await;
        office.accept(id, 3, 1, Settle::Notice).await.unwrap();
        let first = office.quote(id).await.payment().unwrap();
        ask(node, id, by(4), quote::Command::Reopen).await.unwrap();
        office.accept(id, 5, 1, Settle::Checkout).await.unwrap();
        let second = office.quote(id).await.payment().unwrap();
        assert_ne!(first, second);
        payments::receive(node, first, receipt(Cents::new(10_800))).await.unwrap();
        if paid_too {
            payments::receive(node, second, receipt(Cents::new(10_800))).await.unwrap();
        }
        office.settle().await;
        office.settle().await;
        let quote = office.quote(id).await;
        let winner = quote.paid().and_then(|paid| paid.payment).unwrap();
        assert_eq!((quote.status(), office.places().await[0], quote.work()), (Status::Ticketed, (0, 12), None), "{quote:?}");
        let stage = node.look_payment(second, |payment| payment.stage().name()).await.unwrap();
        if paid_too {
            let loser = if winner == first { second } else { first };
            assert_eq!(node.look_payment(loser, |payment| payment.money().owed.get()).await, Ok(10_800), "it is paid back");
        } else {
            assert_eq!((winner, stage), (first, "cancelled"));
        }
        office.stop().await;
    }
}

/// The places of a group that fills its slot may change within it.
#[actix_rt::test]
async fn a_revision_works_in_a_slot_that_is_full_of_this_very_group() {
    let office = Office::new().await;
    let node = office.node();
    let id = office.sent(1, operator(), visit(10)).await;
    node.slot(slot_at(0), by(3), sell_there(0, 1, 8)).await.unwrap();
    for (key, count) in [(4, 12), (5, 11), (6, 9)] {
        revise(node, id, by(key), None, visit(count)).await.unwrap();
        assert_eq!(office.places().await[0], (u32::from(count), 8));
    }
    // Whoever has desk rights leaves the option alone.
    let hold = office.quote(id).await.options_in_force().unwrap().holds[0];
    let kept = payments::release(node, hold, by(7), None).await;
    assert_eq!(kept, Err(Failure::Refused(Refusal::HoldQuoted { quote: id })));
    office.accept(id, 8, 4, Settle::Notice).await.unwrap();
    office.pay(id).await;
    assert_eq!((office.status(id).await, office.places().await[0]), (Status::Ticketed, (0, 17)));
    office.stop().await;
}

/// Hours may change while a group's places are kept: its slot stays as it was opened, for the group and for others.
#[actix_rt::test]
async fn a_quote_is_revised_in_a_slot_that_another_plan_left_out() {
    let office = Office::new().await;
    let node = office.node();
    let id = office.sent(1, operator(), visit(12)).await;
    let mut shorter = plan();
    shorter.routes[0].week.iter_mut().flatten().for_each(|session| session.slot_minutes = 45);
    let set = museum::Command::SetPlan { valid_from: calendar::local_day(slot_at(0).start()), plan: shorter };
    node.museum(MUSEUM, by(2_010), set).await.unwrap();
    assert_eq!([0, 4].map(|hour| node.museums().opening(slot_at(hour))), [None, None], "neither is planned any more");
    revise(node, id, by(3), None, visit(10)).await.unwrap();
    let quote = office.quote(id).await;
    assert_eq!((quote.revision(), quote.offer().map(quote::Offer::people)), (2, Some(10)));
    let second = office.sent(11, operator(), visit(5)).await;
    let held = node.board().head(slot_at(0)).map(|head| head.places.held.iter().sum::<u32>());
    assert_eq!((office.status(second).await, held), (Status::Sent, Some(15)), "others find its places too");
    // Where nobody ever had a place there is no slot.
    let nowhere = draft(node, by(21), operator(), Asked { slots: vec![slot_at(4)], ..visit(5) }).await;
    assert_eq!(nowhere, Err(Failure::Refused(quotes::Refusal::Slot { slot: slot_at(4), why: Refusal::UnknownSlot })));
    office.stop().await;
}
