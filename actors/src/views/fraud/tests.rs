//! However batches are taken in, the lists say the same.

use tornello_engine::ids::{KeyId, RouteId, SlotId};
use tornello_engine::slot::{Arrived, Cancelled, Held, Line, MovedOut, ReviewOpened, Settlement, Sold, Waited};
use tornello_engine::tariff::Proof;

use super::super::follow::Rows as AllRows;
use super::*;
use crate::journal::{Batch, StreamId, wire};

const TABLES: [&str; 4] = [
    "SELECT json_array(subject, at, museum, channel, score, severity, data, amount_cents, review_until, wants, pickable) FROM assessed ORDER BY 1",
    "SELECT json_array(kind, pseudonym, subject, at) FROM party ORDER BY 1",
    "SELECT json_array(sale, slot, people, total_cents, refunded_cents, cancelled, carried_cents, moved, origin) FROM sale ORDER BY 1",
    "SELECT json_array(ticket, sale, slot, state, changed_at) FROM ticket ORDER BY 1",
];

/// A case as the list has it, whatever led to it.
pub(super) async fn put_case(views: &Views, case: &str, subject: &str, opened_at: i64, verdict: &str) {
    const CASE: &str =
        "INSERT INTO fraud_case VALUES (?, ?, 'review', 3, 'web', 1, NULL, NULL, '', 1, 0, ?, 0, 0, 'open', '', ?, '', '', NULL, NULL, 0)";
    sqlx::query(CASE).bind(case).bind(subject).bind(opened_at).bind(verdict).execute(&views.pool).await.unwrap();
}

fn slot_at(hour: i64) -> SlotId {
    SlotId::new(MuseumId(3), RouteId(1), Timestamp::from_seconds(1_800_000_000 + 3_600 * hour))
}

fn lines(count: u16) -> Vec<Line> {
    vec![Line { category: "full".parse().unwrap(), count, price_cents: Cents::new(1_200), proof: Proof::None }]
}

/// By a buyer, if it was assessed with that outcome and score.
fn by(buyer: u128, said: Option<(Outcome, u8)>) -> Envelope {
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
    slot::Event::Sold(Sold { sale, held, channel: Channel::Web, lines: lines(count), settlement, contact: None })
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

/// Holds that are bought under more and under less suspicion, offers of a waiting list, late sales, reviews, returns, and tickets that move on and on.
fn story() -> Vec<(SlotId, Record<slot::Event>)> {
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
    ];
    let record = |(n, (slot, envelope, events)): (usize, (SlotId, Envelope, Vec<slot::Event>))| {
        let seq = n as u64 + 1;
        (slot, Record { seq, at: Timestamp::from_seconds(100 + n as i64), envelope: Some(envelope), events })
    };
    said.into_iter().enumerate().map(record).collect()
}

/// The tables after the story, so many records in each round.
async fn told(in_a_round: usize) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let views = Views::open(&folder.path().join("views.db")).await.unwrap();
    for (number, round) in (1..).zip(story().chunks(in_a_round)) {
        let mut records = Vec::new();
        for (slot, record) in round {
            wire::encode(StreamId::Slot(*slot), record, &mut records);
        }
        let batch = Batch { number, previous: [0; 32], at: Timestamp::from_seconds(1), records, spans: Vec::new() };
        let mut rows = AllRows::default();
        rows.read(&batch).unwrap();
        rows.write(&views.pool, &batch).await.unwrap();
    }
    let mut tables = Vec::new();
    for table in TABLES {
        tables.push(sqlx::query_scalar::<_, String>(table).fetch_all(&views.pool).await.unwrap());
    }
    views.close().await;
    tables
}

#[tokio::test]
async fn it_makes_no_difference_in_how_many_rounds_something_is_taken_in() {
    let one_by_one = told(1).await;
    assert_eq!(one_by_one.iter().map(Vec::len).collect::<Vec<_>>(), [9, 12, 8, 14], "{one_by_one:#?}");
    // What has moved, and moved on, is of whoever bought it.
    let arrived = [HoldId::new(slot_at(1), 8), HoldId::new(slot_at(2), 9)].map(|sale| sale.to_string());
    let of = |sale: &str| one_by_one[1].iter().any(|row| row.contains(&format!("\"{:032x}\",\"{sale}\"", 7)));
    assert!(arrived.iter().all(|sale| of(sale)), "{one_by_one:#?}");
    let wanting = |what: &str| one_by_one[0].iter().filter(|row| row.contains(&format!("\"{what}\""))).count();
    assert!(wanting("review") >= 4 && wanting("picked") >= 1, "{one_by_one:#?}");
    for in_a_round in [2, 3, 5, usize::MAX] {
        assert_eq!(told(in_a_round).await, one_by_one, "{in_a_round} in a round");
    }
}
