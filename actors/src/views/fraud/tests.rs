//! However batches are taken in, the lists say the same.

use tornello_engine::ids::{KeyId, RouteId, SlotId};
use tornello_engine::payment::{Gateway, Item, Opened};
use tornello_engine::slot::{Arrived, Cancelled, Expired, Held, MovedOut, Released, ReviewOpened, Settlement, Sold, Waited};
use tornello_engine::tariff::Proof;

use super::super::follow::Rows as AllRows;
use super::elsewhere::MET_A_DAY;
use super::*;
use crate::journal::{Batch, StreamId, wire};

const TABLES: [&str; 4] = [
    "SELECT json_array(subject, at, museum, channel, score, severity, data, amount_cents, review_until, wants, pickable, people, holder)
        FROM assessed ORDER BY 1",
    "SELECT json_array(kind, pseudonym, subject, at) FROM party ORDER BY 1",
    "SELECT json_array(sale, slot, people, total_cents, refunded_cents, cancelled, carried_cents, moved, origin) FROM sale ORDER BY 1",
    "SELECT json_array(ticket, sale, slot, state, changed_at) FROM ticket ORDER BY 1",
];

/// A case as the list has it, whatever led to it.
pub(super) async fn put_case(views: &Views, case: &str, subject: &str, opened_at: i64, verdict: &str) {
    const CASE: &str = "INSERT INTO fraud_case VALUES (?, ?, 'review', 3, 'web', 1, NULL, NULL, '', 1, 0, ?, 0, 0, 'open', '', ?, '', '', NULL, NULL, 0, NULL, NULL)";
    sqlx::query(CASE).bind(case).bind(subject).bind(opened_at).bind(verdict).execute(&views.pool()).await.unwrap();
}

fn slot_at(hour: i64) -> SlotId {
    SlotId::new(MuseumId(3), RouteId(1), Timestamp::from_seconds(1_800_000_000 + 3_600 * hour))
}

fn lines(count: u16) -> Vec<Line> {
    vec![Line { category: "full".parse().unwrap(), count, price_cents: Cents::new(1_200), proof: Proof::None }]
}

/// By a buyer, if it was assessed with that outcome and score.
pub(super) fn by(buyer: u128, said: Option<(Outcome, u8)>) -> Envelope {
    let assessment = said.map(|(outcome, score)| {
        Box::new(Assessment {
            model: "none".parse().unwrap(),
            rules_version: 0,
            at: Timestamp::from_seconds(1),
            position: 0,
            features: Digest(0),
            score,
            reasons: Vec::new(),
            outcome,
            rules: Vec::new(),
            probability_ppm: None,
            basis: None,
        })
    });
    let parties = vec![Party { kind: PartyKind::Buyer, pseudonym: Digest(buyer) }];
    Envelope { who: KeyId(9), key: Digest(0), body: Digest(0), parties, assessment, order: None, formerly: Vec::new() }
}

fn held(hold: HoldId) -> slot::Event {
    slot::Event::Held(Held { hold, channel: Channel::Web, lines: lines(2), expires_at: Timestamp::MAX })
}

fn sold(sale: HoldId, held: bool, count: u16) -> slot::Event {
    let settlement = Settlement::Payment { id: PaymentId::new(1, 7) };
    slot::Event::Sold(Sold { sale, held, channel: Channel::Web, lines: lines(count), settlement, contact: None, held_by: None })
}

fn arrived(sale: HoldId, from: HoldId) -> slot::Event {
    slot::Event::Arrived(Arrived {
        sale,
        from,
        who: KeyId(9),
        order: None,
        channel: Channel::Web,
        lines: lines(1),
        contact: None,
        holders: Vec::new(),
        refund_percent: 100,
        buyer: None,
    })
}

fn cancelled(sale: HoldId, tickets: Vec<u16>) -> slot::Event {
    slot::Event::Cancelled(Cancelled { sale, tickets, refund_cents: Cents::new(1_200), cause: CancelCause::Visitor })
}

const fn expired(hold: HoldId) -> slot::Event {
    slot::Event::Expired(Expired { hold })
}

/// Of a stream, by whom, and what happened.
enum Told {
    Slot(SlotId, Envelope, Vec<slot::Event>),
    Payment(PaymentId, Envelope, payment::Event),
    Refused(Refused),
}

/// A payment for a hold begins.
fn begun(number: u64, envelope: Envelope, hold: HoldId) -> Told {
    let opened = Opened {
        who: KeyId(9),
        order: None,
        quote: None,
        channel: Channel::Web,
        items: vec![Item { hold, lines: lines(2), amount_cents: Cents::new(2_400) }],
        extras: Vec::new(),
        amount_cents: Cents::new(2_400),
        payer: None,
        museum: MuseumId(3),
        subject: "Biglietti".to_owned(),
        gateway: Gateway::Checkout,
        due_at: Timestamp::MAX,
    };
    Told::Payment(PaymentId::new(1, number), envelope, payment::Event::Opened(opened))
}

/// Takes records in, a second after each other, so many in each round.
async fn take_in(views: &Views, said: Vec<Told>, in_a_round: usize) {
    take_in_at(views, (100..).zip(said).collect(), in_a_round).await;
}

/// Takes records in, each with its time in seconds, so many in each round.
async fn take_in_at(views: &Views, said: Vec<(i64, Told)>, in_a_round: usize) {
    let mut frames = Vec::new();
    for (n, (at_s, told)) in said.into_iter().enumerate() {
        let (seq, at, mut frame) = (n as u64 + 1, Timestamp::from_seconds(at_s), Vec::new());
        match told {
            Told::Slot(slot, envelope, events) => {
                wire::encode(StreamId::Slot(slot), &Record { seq, at, envelope: Some(envelope), events }, &mut frame);
            }
            Told::Payment(payment, envelope, event) => {
                wire::encode(StreamId::Payment(payment), &Record { seq, at, envelope: Some(envelope), events: vec![event] }, &mut frame);
            }
            Told::Refused(refused) => {
                let (day, events) = (attempts::day_of(refused.at), vec![attempts::Event::Refused(refused)]);
                wire::encode(StreamId::Attempts(day), &Record { seq, at, envelope: None, events }, &mut frame);
            }
        }
        frames.push(frame);
    }
    for (number, round) in (1..).zip(frames.chunks(in_a_round)) {
        let batch = Batch { number, previous: [0; 32], at: Timestamp::from_seconds(1), records: round.concat(), spans: Vec::new() };
        let mut rows = AllRows::default();
        rows.read(&batch).unwrap();
        rows.write(&views.pool(), &batch).await.unwrap();
    }
}

/// Holds that are bought under more and under less suspicion, or not at all, payments that come to something and to nothing, offers of a waiting list, late sales, reviews,
/// returns, and tickets that move on and on.
fn story() -> Vec<Told> {
    let (here, there, beyond) = (slot_at(0), slot_at(1), slot_at(2));
    let sale = |n: u64| HoldId::new(here, n);
    let picked = (100..).map(sale).find(|sale| is_picked(Subject::Sale(*sale))).unwrap();
    let (moved, further) = (HoldId::new(there, 8), HoldId::new(beyond, 9));
    let waited = |entry| slot::Event::Waited(Waited { entry, number: 1, channel: Channel::Web, lines: lines(2), parties_ahead: 0, people_ahead: 0 });
    let review = |sale| slot::Event::ReviewOpened(ReviewOpened { sale, until: Timestamp::from_seconds(9_000) });
    let carried = |sale, arrival| slot::Event::MovedOut(MovedOut { sale, arrival, tickets: vec![0], carried_cents: Cents::new(1_200) });
    let (allow, step_up, suspect) = (Some((Outcome::Allow, 5)), Some((Outcome::StepUp, 60)), Some((Outcome::Review, 90)));
    let said: Vec<(SlotId, Envelope, Vec<slot::Event>)> = vec![
        (here, by(1, suspect), vec![held(sale(1))]),
        (here, by(1, allow), vec![sold(sale(1), true, 2), review(sale(1))]),
        (here, by(2, step_up), vec![waited(sale(2))]),
        (here, by(20, suspect), vec![sold(sale(2), true, 2), review(sale(2))]),
        (here, by(3, allow), vec![held(picked)]),
        (here, by(3, None), vec![sold(picked, true, 3)]),
        (here, by(4, step_up), vec![held(sale(4))]),
        (here, by(5, None), vec![held(sale(5))]),
        (here, by(5, allow), vec![sold(sale(5), true, 2)]),
        (here, by(6, suspect), vec![sold(sale(6), false, 1)]),
        (here, by(7, None), vec![sold(sale(7), false, 2)]),
        (here, by(7, None), vec![review(sale(7))]),
        (here, by(1, suspect), vec![cancelled(sale(1), vec![0])]),
        (there, by(7, None), vec![arrived(moved, sale(7))]),
        (here, by(7, None), vec![carried(sale(7), moved)]),
        (beyond, by(7, None), vec![arrived(further, moved)]),
        (there, by(7, None), vec![carried(moved, further)]),
        (beyond, by(7, allow), vec![cancelled(further, vec![0])]),
        // Of those of one who holds it is the first that ended; of what was bought, or was not suspected, there is none.
        (here, by(8, suspect), vec![held(sale(8))]),
        (here, by(8, suspect), vec![held(sale(9))]),
        (here, by(8, None), vec![slot::Event::Released(Released { hold: sale(9) })]),
        (here, by(8, None), vec![expired(sale(8))]),
        (here, by(9, step_up), vec![held(sale(10))]),
        (here, by(9, None), vec![expired(sale(10))]),
    ];
    let mut told: Vec<Told> = said.into_iter().map(|(slot, envelope, events)| Told::Slot(slot, envelope, events)).collect();
    // What is suspected is that it is paid: once with a card that is declined, once for good.
    for (n, comes_to) in [(11, expired(sale(11))), (12, sold(sale(12), true, 2))] {
        told.push(Told::Slot(here, by(n, allow), vec![held(sale(n as u64))]));
        told.push(begun(n as u64, by(n, suspect), sale(n as u64)));
        told.push(Told::Slot(here, by(n, allow), vec![comes_to]));
    }
    told
}

/// The tables after the story, so many records in each round.
async fn told(in_a_round: usize) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let views = Views::open(&folder.path().join("views.db")).await.unwrap();
    take_in(&views, story(), in_a_round).await;
    let mut tables = Vec::new();
    for table in TABLES {
        tables.push(sqlx::query_scalar::<_, String>(table).fetch_all(&views.pool()).await.unwrap());
    }
    views.close().await;
    tables
}

#[tokio::test]
async fn it_makes_no_difference_in_how_many_rounds_something_is_taken_in() {
    let one_by_one = told(1).await;
    assert_eq!(one_by_one.iter().map(Vec::len).collect::<Vec<_>>(), [14, 17, 9, 16], "{one_by_one:#?}");
    // What has moved, and moved on, is of whoever bought it.
    let arrived = [HoldId::new(slot_at(1), 8), HoldId::new(slot_at(2), 9)].map(|sale| sale.to_string());
    let of = |sale: &str| one_by_one[1].iter().any(|row| row.contains(&format!("\"{:032x}\",\"{sale}\"", 7)));
    assert!(arrived.iter().all(|sale| of(sale)), "{one_by_one:#?}");
    let wanting = |what: &str| one_by_one[0].iter().filter(|row| row.contains(&format!("\"{what}\""))).count();
    assert!(wanting("review") >= 5 && wanting("picked") >= 1 && wanting("hold") == 2, "{one_by_one:#?}");
    for in_a_round in [2, 3, 5, 1_000] {
        assert_eq!(told(in_a_round).await, one_by_one, "{in_a_round} in a round");
    }
}

#[tokio::test]
async fn a_review_that_comes_along_with_tickets_wants_no_case_beside_that_of_where_they_were_bought() {
    let (here, there, until) = (slot_at(0), slot_at(1), Timestamp::from_seconds(9_000));
    let (bought, [unsaid, allowed, suspected]) = (HoldId::new(here, 30), [31, 32, 33].map(|n| HoldId::new(there, n)));
    let (allow, suspect) = (Some((Outcome::Allow, 5)), Some((Outcome::Review, 90)));
    let review = |sale| slot::Event::ReviewOpened(ReviewOpened { sale, until });
    let leaves = |ticket, arrival, said| {
        let (tickets, lines, via) = (vec![ticket], lines(1), Channel::BoxOffice);
        let begun = slot::MoveBegun { sale: bought, arrival, tickets, lines, via, refund_percent: 100 };
        Told::Slot(here, by(2, said), vec![slot::Event::MoveBegun(begun)])
    };
    let arrives = |sale| Told::Slot(there, by(9, None), vec![arrived(sale, bought), review(sale)]);
    let story = || {
        let mut said = vec![Told::Slot(here, by(1, suspect), vec![sold(bought, false, 3), review(bought)])];
        // Of a move that was suspected itself there is a case as well.
        for (ticket, sale, of_move) in [(0, unsaid, None), (1, allowed, allow), (2, suspected, suspect)] {
            said.extend([leaves(ticket, sale, of_move), arrives(sale)]);
        }
        said
    };
    for in_a_round in [1, 2, 3, 100] {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        take_in(&views, story(), in_a_round).await;
        let mut found: Vec<_> = views.wanting_cases(10).await.unwrap().iter().map(|wanting| (wanting.subject, wanting.review_until)).collect();
        found.sort_unstable_by_key(|(subject, _)| *subject);
        assert_eq!(found, [bought, suspected].map(|sale| (Subject::Sale(sale), Some(until))), "{in_a_round} in a round");
        views.close().await;
    }
}

/// Its verdict was undone: what has moved is looked at again with what has stayed, whether or not anything was said of it.
#[tokio::test]
async fn a_review_that_a_case_begins_anew_wants_no_other_case_where_tickets_have_moved() {
    let (here, there, until) = (slot_at(0), slot_at(1), Timestamp::from_seconds(9_000));
    let (bought, moved) = (HoldId::new(here, 30), HoldId::new(there, 31));
    let allow = Some((Outcome::Allow, 5));
    let of = |who| Envelope { who, ..by(9, None) };
    let opened = |sale| vec![slot::Event::ReviewOpened(ReviewOpened { sale, until })];
    for (said, in_a_round) in [None, allow].into_iter().flat_map(|said| [1, 2, 100].map(|in_a_round| (said, in_a_round))) {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let begun = slot::MoveBegun { sale: bought, arrival: moved, tickets: vec![0], lines: lines(1), via: Channel::Web, refund_percent: 100 };
        let story = vec![
            Told::Slot(here, by(1, said), vec![sold(bought, false, 2)]),
            Told::Slot(here, by(2, said), vec![slot::Event::MoveBegun(begun)]),
            Told::Slot(there, by(9, None), vec![arrived(moved, bought)]),
            Told::Slot(here, of(KeyId::SYSTEM), opened(bought)),
            Told::Slot(there, of(KeyId::SYSTEM), opened(moved)),
        ];
        take_in(&views, story, in_a_round).await;
        assert!(views.wanting_cases(10).await.unwrap().is_empty(), "{said:?}, {in_a_round} in a round");
        // What staff want looked at is nobody's yet.
        let mut rows = Rows::default();
        rows.slot(&Record { seq: 9, at: Timestamp::from_seconds(200), envelope: Some(of(KeyId(3))), events: opened(moved) });
        rows.write(&mut views.pool().acquire().await.unwrap(), &[]).await.unwrap();
        let wanting: Vec<_> = views.wanting_cases(10).await.unwrap().iter().map(|wanting| wanting.subject).collect();
        assert_eq!(wanting, [Subject::Sale(moved)], "{said:?}, {in_a_round} in a round");
        views.close().await;
    }
}

/// An option of a quote is kept for weeks and somebody waits for days before they are bought; others buy at once.
#[tokio::test]
async fn what_is_bought_long_after_it_was_asked_for_is_picked_in_the_hour_in_which_it_is_bought() {
    const DAY_S: i64 = 86_400;
    let (here, bought_s) = (slot_at(0), 21 * DAY_S + 100);
    let mut drawn = (100..).map(|n| HoldId::new(here, n)).filter(|sale| is_picked(Subject::Sale(*sale)));
    let [kept, waited, at_once] = std::array::from_fn(|_| drawn.next().unwrap());
    let story = || {
        let allow = Some((Outcome::Allow, 5));
        let option = slot::Event::Held(Held { hold: kept, channel: Channel::Group, lines: lines(2), expires_at: Timestamp::MAX });
        let (entry, channel) = (waited, Channel::Web);
        let joined = slot::Event::Waited(Waited { entry, number: 1, channel, lines: lines(2), parties_ahead: 0, people_ahead: 0 });
        let (settlement, channel) = (Settlement::Payment { id: PaymentId::new(1, 8) }, Channel::Group);
        let of_quote = slot::Event::Sold(Sold { sale: kept, held: true, channel, lines: lines(2), settlement, contact: None, held_by: None });
        let told = |at_s, envelope, event| (at_s, Told::Slot(here, envelope, vec![event]));
        vec![
            told(100, by(1, allow), option),
            told(18 * DAY_S, by(2, allow), joined),
            told(bought_s, by(3, allow), held(at_once)),
            told(bought_s + 60, by(3, allow), sold(at_once, true, 2)),
            told(bought_s + 61, by(2, allow), sold(waited, true, 2)),
            told(bought_s + 62, by(1, None), of_quote),
        ]
    };
    for in_a_round in [1, 2, 4, 100] {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        take_in_at(&views, story(), in_a_round).await;
        let (from, to) = (Timestamp::from_seconds(21 * DAY_S), Timestamp::from_seconds(21 * DAY_S + 3_600));
        let drawn = views.picked_at_random(from, to).await.unwrap();
        let found: Vec<_> = drawn.iter().map(|drawn| (drawn.subject, drawn.channel.as_str(), drawn.at.as_seconds() - bought_s)).collect();
        let expected = [(at_once, "web", 0), (waited, "web", 61), (kept, "group", 62)].map(|(sale, channel, s)| (Subject::Sale(sale), channel, s));
        assert_eq!(found, expected, "{in_a_round} in a round");
        let hour = 21 * 24;
        let volume = ByHour::from([(("group".to_owned(), hour), 1), (("web".to_owned(), hour), 2)]);
        assert_eq!(views.unsuspected_by_hour(Timestamp::MIN, Timestamp::MAX).await.unwrap(), volume, "{in_a_round} in a round");
        views.close().await;
    }
}

#[tokio::test]
async fn an_option_that_grows_under_suspicion_wants_a_case_of_all_that_it_keeps_then() {
    let (here, option) = (slot_at(0), HoldId::new(slot_at(0), 40));
    let (allow, suspect) = (Some((Outcome::Allow, 5)), Some((Outcome::Review, 90)));
    let told = |said, event| Told::Slot(here, by(1, said), vec![event]);
    let amended = |count| slot::Event::Amended(slot::Amended { hold: option, lines: lines(count) });
    for in_a_round in [1, 2, 3, 100] {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let taken = slot::Event::Held(Held { hold: option, channel: Channel::Group, lines: lines(2), expires_at: Timestamp::MAX });
        // Of one that is made smaller again nothing is said.
        let said = vec![told(allow, taken), told(allow, amended(3)), told(suspect, amended(5)), told(None, amended(4))];
        take_in(&views, said, in_a_round).await;
        let wanting = views.wanting_cases(10).await.unwrap();
        let found: Vec<_> =
            wanting.iter().map(|wanting| (wanting.subject, wanting.amount_cents, wanting.assessment.as_ref().map(|said| said.score))).collect();
        assert_eq!(found, [(Subject::Sale(option), 6_000, Some(90))], "{in_a_round} in a round");
        // There is a case about it: that it grows on makes no other.
        put_case(&views, "1", &Subject::Sale(option).to_string(), 0, "").await;
        sqlx::query("UPDATE assessed SET wants = ''").execute(&views.pool()).await.unwrap();
        let mut rows = Rows::default();
        let envelope = Some(by(1, suspect));
        rows.slot(&Record { seq: 9, at: Timestamp::from_seconds(200), envelope, events: vec![amended(6)] });
        rows.write(&mut views.pool().acquire().await.unwrap(), &[]).await.unwrap();
        assert!(views.wanting_cases(10).await.unwrap().is_empty(), "{in_a_round} in a round");
        views.close().await;
    }
}

#[tokio::test]
async fn of_what_somebody_held_on_a_day_and_did_not_buy_there_is_one_case_and_of_a_payment_that_came_to_nothing() {
    let (here, folder) = (slot_at(0), tempfile::tempdir().unwrap());
    let views = Views::open(&folder.path().join("views.db")).await.unwrap();
    take_in(&views, story(), 1).await;
    let hold = |n: u64| Subject::Hold(HoldId::new(here, n));
    let mut wanting = views.wanting_cases(100).await.unwrap();
    wanting.retain(|wanting| matches!(wanting.subject, Subject::Hold(_)));
    wanting.sort_by_key(|wanting| wanting.subject);
    let found: Vec<_> = wanting.iter().map(|wanting| (wanting.subject, wanting.amount_cents, wanting.review_until)).collect();
    assert_eq!(found, [(hold(9), 2_400, None), (hold(11), 2_400, None)]);
    assert!(wanting.iter().all(|wanting| wanting.assessment.as_ref().is_some_and(|said| said.outcome == Outcome::Review && said.score == 90)));
    views.close().await;
}

/// Three tickets come in by one gate, and are refused at others: at once, after half an hour, and too late; and one where it came in.
async fn met(in_a_round: usize, sales: u64) -> Vec<(Subject, bool)> {
    let (here, folder) = (slot_at(0), tempfile::tempdir().unwrap());
    let views = Views::open(&folder.path().join("views.db")).await.unwrap();
    let code = |text: &str| text.parse::<Code>().unwrap();
    let mut said = Vec::new();
    for n in 1..=sales {
        let ticket = HoldId::new(here, n).ticket(0);
        let (category, proof, gate) = (code("full"), Proof::None, code("north"));
        let admitted = slot::Admitted { ticket, gate, entry: 1, category, proof, scanned_at: Some(Timestamp::from_seconds(0)) };
        said.push(Told::Slot(
            here,
            by(n.into(), Some((Outcome::Allow, 5))),
            vec![sold(HoldId::new(here, n), false, 1), slot::Event::Admitted(admitted)],
        ));
        let (gate, after_s) = [("south", 1), ("south", 1_800), ("south", 3_601), ("north", 60)][(n % 4) as usize];
        let (reason, at) = (ConflictReason::TicketInside, Timestamp::from_seconds(after_s));
        said.push(Told::Refused(Refused { ticket, reason, gate: code(gate), at, times: 1, apart: false }));
    }
    take_in(&views, said, in_a_round).await;
    let mut wanting: Vec<_> = views.wanting_cases(100).await.unwrap().iter().map(|wanting| (wanting.subject, wanting.is_met)).collect();
    wanting.sort_unstable_by_key(|(subject, _)| *subject);
    views.close().await;
    wanting
}

#[tokio::test]
async fn a_sale_is_read_whose_ticket_is_refused_elsewhere_soon_after_it_came_in_and_not_too_many_are() {
    let sale = |n: u64| (Subject::Sale(HoldId::new(slot_at(0), n)), true);
    for in_a_round in [1, 2, 3, 1_000] {
        assert_eq!(met(in_a_round, 5).await, [sale(1), sale(4), sale(5)], "{in_a_round} in a round");
        let many = met(in_a_round, 100).await;
        assert_eq!((many.len(), many.last()), (MET_A_DAY as usize, Some(&sale(40))), "{in_a_round} in a round");
    }
}
