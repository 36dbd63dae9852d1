//! The lists of payments and refunds: what operators work through. Where an amount stands follows from the refunds at the moment of asking; only what each event
//! says is stored.

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tornello_engine::ids::{BadId, Code, MuseumId, PaymentId, TillId};
use tornello_engine::payment::{Event, Gateway, PaidBackBy, Receipt, Source};
use tornello_engine::record::Record;
use tornello_engine::slot::DeskMethod;
use tornello_engine::till;
use tornello_engine::time::Timestamp;

use super::{Views, ViewsError, json as written, rows, stored};

/// The tables. Times are microseconds; a date is its text.
pub(super) const SCHEMA: &str = "
    DROP TABLE IF EXISTS payment; DROP TABLE IF EXISTS refund; DROP TABLE IF EXISTS refund_batch;
    DROP TABLE IF EXISTS receipt; DROP TABLE IF EXISTS taken_back; DROP TABLE IF EXISTS till_money; DROP TABLE IF EXISTS till;
    CREATE TABLE payment (
        payment TEXT PRIMARY KEY, museum INTEGER NOT NULL, opened_at INTEGER NOT NULL, who TEXT NOT NULL, channel TEXT NOT NULL, ord TEXT NOT NULL,
        quote TEXT NOT NULL, gateway TEXT NOT NULL, subject TEXT NOT NULL, amount_cents INTEGER NOT NULL, due_at INTEGER NOT NULL, state TEXT NOT NULL,
        changed_at INTEGER NOT NULL, paid_at INTEGER, received_cents INTEGER NOT NULL, disputed INTEGER NOT NULL,
        taken_back_cents INTEGER NOT NULL, disputed_receipt INTEGER, disputes_unnoted INTEGER NOT NULL,
        reference TEXT NOT NULL -- under which a desk took what it was paid by; empty: no desk did
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX payment_by_museum ON payment (museum, opened_at, payment);
    CREATE INDEX payment_by_state ON payment (state, payment);
    CREATE INDEX payment_by_who ON payment (who, payment);
    CREATE TABLE refund (
        payment TEXT NOT NULL, number INTEGER NOT NULL, museum INTEGER NOT NULL, opened_at INTEGER NOT NULL, amount_cents INTEGER NOT NULL, why TEXT NOT NULL,
        state TEXT NOT NULL, changed_at INTEGER NOT NULL, batch TEXT NOT NULL, way TEXT NOT NULL, reference TEXT NOT NULL, executed_on TEXT NOT NULL,
        returned TEXT NOT NULL, payee TEXT NOT NULL, receipt INTEGER NOT NULL, PRIMARY KEY (payment, number)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX refund_by_state ON refund (state, payment, number);
    CREATE TABLE refund_batch (
        batch TEXT NOT NULL, payment TEXT NOT NULL, number INTEGER NOT NULL, exported_at INTEGER NOT NULL, payee TEXT NOT NULL,
        PRIMARY KEY (batch, payment, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE receipt (
        payment TEXT NOT NULL, receipt TEXT NOT NULL, source TEXT NOT NULL, amount_cents INTEGER NOT NULL, paid_at INTEGER NOT NULL,
        PRIMARY KEY (payment, receipt)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX receipt_by_time ON receipt (paid_at, payment, receipt) WHERE source IN ('node', 'report');
    CREATE TABLE taken_back (payment TEXT NOT NULL, receipt INTEGER NOT NULL, amount_cents INTEGER NOT NULL, PRIMARY KEY (payment, receipt)) STRICT, WITHOUT ROWID;
    CREATE TABLE till_money (
        museum INTEGER NOT NULL, till TEXT NOT NULL, method TEXT NOT NULL, at INTEGER NOT NULL, amount_cents INTEGER NOT NULL, reference TEXT NOT NULL,
        batch INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX till_money_by_till ON till_money (museum, till, batch);
    CREATE TABLE till (
        session TEXT PRIMARY KEY, museum INTEGER NOT NULL, till TEXT NOT NULL, opened_by TEXT NOT NULL, opened_at INTEGER NOT NULL, closed_at INTEGER,
        expected_cents INTEGER, difference_cents INTEGER, opened_batch INTEGER NOT NULL, closed_batch INTEGER, summed_to INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX till_by_desk ON till (museum, till, closed_batch);";

/// A payment in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PaymentRow {
    /// Its id.
    pub payment: PaymentId,
    /// To which museum the money belongs.
    pub museum: MuseumId,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Which key asked for it.
    pub who: String,
    /// Through which channel the places are sold.
    pub channel: String,
    /// Its order; empty if none.
    pub order: String,
    /// Its quote; empty if none.
    pub quote: String,
    /// `notice`, `checkout`, `desk`, `voucher` or `free`.
    pub gateway: String,
    /// What the payer reads.
    pub subject: String,
    /// What is due.
    pub amount_cents: i64,
    /// From when on it can no longer be started.
    pub due_at: Timestamp,
    /// `created`, `pending`, `paid`, `failed`, `expired` or `cancelled`.
    pub state: String,
    /// Since when.
    pub changed_at: Timestamp,
    /// When it was paid, as the receipt says: what counts in law, and not when we heard of it.
    pub paid_at: Option<Timestamp>,
    /// All that came.
    pub received_cents: i64,
    /// What of it is to go back.
    pub owed_cents: i64,
    /// What of it has gone back from here: what payers' banks took back stands beside.
    pub paid_back_cents: i64,
    /// Whether a dispute is open.
    pub disputed: bool,
    /// Whether the last dispute was decided for the payer, whose bank takes the money back.
    pub charged_back: bool,
    /// What payers' banks took back of all that came.
    pub taken_back_cents: i64,
}

/// A refund in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefundRow {
    /// Its payment.
    pub payment: PaymentId,
    /// Its number in the payment, from 0.
    pub number: u32,
    /// To which museum the money belonged.
    pub museum: MuseumId,
    /// Since when it is known.
    pub opened_at: Timestamp,
    /// How much.
    pub amount_cents: i64,
    /// Why, as the API names it.
    pub why: String,
    /// `open`, `contested`, `exported` or `paid_back`.
    pub state: String,
    /// Since when.
    pub changed_at: Timestamp,
    /// The file with which it went to the bank last; empty if none.
    pub batch: String,
    /// `transfer`, `till`, `voucher` or `payers_bank`; empty while it is owed.
    pub way: String,
    /// The bank's or desk's reference; empty while it is owed.
    pub reference: String,
    /// The day on which it was paid back; empty while it is owed.
    pub executed_on: String,
    /// Why the bank returned it last; empty if it did not.
    pub returned: String,
    /// Whom it goes to; empty if that is not known yet.
    pub payee: String,
}

/// A refund that went to the bank with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BatchRow {
    /// Its payment.
    pub payment: PaymentId,
    /// Its number in the payment.
    pub number: u32,
    /// To which museum the money belonged.
    pub museum: MuseumId,
    /// How much.
    pub amount_cents: i64,
    /// How far it is now.
    pub state: String,
    /// When it was put into the file.
    pub exported_at: Timestamp,
    /// Whom it goes to.
    pub payee: String,
}

/// A receipt in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReceiptRow {
    /// Its payment.
    pub payment: PaymentId,
    /// Its id.
    pub receipt: String,
    /// `node`, `report`, `desk`, `voucher`, `free` or `sale`.
    pub source: String,
    /// How much came.
    pub amount_cents: i64,
    /// When it was paid.
    pub paid_at: Timestamp,
}

/// What one desk took on one way, less what it paid back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TillSum {
    /// `cash` or `card`.
    pub method: String,
    /// Whether anything of it belongs to the session.
    pub is_taken: bool,
    /// What counts in the session.
    pub taken_cents: i64,
    /// What came while no session was open, since the last one.
    pub outside_cents: i64,
}

/// A till session in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TillRow {
    /// Its id.
    pub session: TillId,
    /// Where the desk stands.
    pub museum: MuseumId,
    /// Which desk.
    pub till: String,
    /// Which key opened it.
    pub opened_by: String,
    /// When.
    pub opened_at: Timestamp,
    /// When it was closed; none while it is open.
    pub closed_at: Option<Timestamp>,
    /// What should have been there.
    pub expected_cents: Option<i64>,
    /// What was counted less that.
    pub difference_cents: Option<i64>,
}

/// Which till sessions to list; all conditions hold together.
#[derive(Debug, Clone, Default)]
pub struct TillFilter {
    /// Only of these museums; none: of all.
    pub museums: Option<Vec<MuseumId>>,
    /// Only those that are open, or those that are not.
    pub open: Option<bool>,
    /// Only after this one, in the order of ids.
    pub after: Option<TillId>,
}

/// Which payments to list; all conditions hold together.
#[derive(Debug, Clone, Default)]
pub struct PaymentFilter {
    /// Only of these museums; none: of all.
    pub museums: Option<Vec<MuseumId>>,
    /// Only in this state.
    pub state: Option<String>,
    /// Only by this key.
    pub who: Option<String>,
    /// Beside those of that key also those of this account's quotes.
    pub account: Option<Code>,
    /// Only opened at this instant or later.
    pub from: Option<Timestamp>,
    /// Only opened before this instant.
    pub to: Option<Timestamp>,
    /// Only with this order.
    pub order: Option<String>,
    /// Only those with a refund that is owed, or none that is.
    pub owing: Option<bool>,
    /// Only some of these.
    pub among: Option<Vec<PaymentId>>,
    /// Only after this payment, in the order of ids.
    pub after: Option<PaymentId>,
}

/// Which refunds to list; all conditions hold together.
#[derive(Debug, Clone, Default)]
pub struct RefundFilter {
    /// Only of these museums; none: of all.
    pub museums: Option<Vec<MuseumId>>,
    /// Only in this state.
    pub state: Option<String>,
    /// Only those of which it is known whom they go to.
    pub with_payee: bool,
    /// Only after this one, in the order of payments and numbers.
    pub after: Option<(PaymentId, u32)>,
}

impl Views {
    /// Payments in the order of their ids, at most `limit`.
    pub async fn payments(&self, filter: &PaymentFilter, limit: u32) -> Result<Vec<PaymentRow>, ViewsError> {
        const QUERY: &str =
            "SELECT payment, museum, opened_at, who, channel, ord, quote, gateway, subject, amount_cents, due_at, state, changed_at, paid_at,
                received_cents, disputed,
                (SELECT coalesce(sum(amount_cents), 0) FROM refund WHERE refund.payment = payment.payment AND refund.state <> 'paid_back') AS owed,
                (SELECT coalesce(sum(amount_cents), 0) FROM refund WHERE refund.payment = payment.payment AND refund.state = 'paid_back'
                    AND refund.way <> 'payers_bank'),
                taken_back_cents
            FROM payment WHERE (?1 IS NULL OR museum IN (SELECT value FROM json_each(?1))) AND (?2 IS NULL OR state = ?2)
            AND (?3 IS NULL OR who = ?3 OR (payment.quote <> '' AND payment.quote IN (SELECT quote.quote FROM quote WHERE quote.account = ?10)))
            AND (?4 IS NULL OR opened_at >= ?4) AND (?5 IS NULL OR opened_at < ?5) AND (?6 IS NULL OR ord = ?6) AND (?7 IS NULL OR (owed > 0) = ?7)
            AND (?11 IS NULL OR payment IN (SELECT value FROM json_each(?11))) AND payment > ?8 ORDER BY payment LIMIT ?9";
        let query = sqlx::query(QUERY)
            .bind(filter.museums.as_ref().map(written))
            .bind(filter.state.clone())
            .bind(filter.who.clone())
            .bind(filter.from.map(Timestamp::as_micros))
            .bind(filter.to.map(Timestamp::as_micros))
            .bind(filter.order.clone())
            .bind(filter.owing)
            .bind(filter.after.map(|after| after.to_string()).unwrap_or_default())
            .bind(i64::from(limit))
            .bind(filter.account.map(|account| account.to_string()))
            .bind(filter.among.as_ref().map(written));
        self.found(query, payment_row).await
    }

    /// Refunds in the order of their payments and numbers, at most `limit`.
    pub async fn refunds(&self, filter: &RefundFilter, limit: u32) -> Result<Vec<RefundRow>, ViewsError> {
        const QUERY: &str =
            "SELECT payment, number, museum, opened_at, amount_cents, why, CASE WHEN state = 'released' THEN 'open'
                WHEN state = 'open' AND (
                    coalesce((SELECT taken_back.amount_cents FROM taken_back WHERE taken_back.payment = refund.payment AND taken_back.receipt = refund.receipt), 0) > 0
                    OR EXISTS (SELECT 1 FROM payment WHERE payment.payment = refund.payment AND (
                        disputed = 1 OR (disputed = 2 AND (disputes_unnoted > 0 OR disputed_receipt = refund.receipt))))
                ) THEN 'contested'
                ELSE state END AS now, changed_at, batch, way, reference, executed_on, returned, payee
            FROM refund WHERE (?1 IS NULL OR museum IN (SELECT value FROM json_each(?1))) AND (?2 IS NULL OR now = ?2) AND (NOT ?3 OR payee <> '')
            AND (payment, number) > (?4, ?5) ORDER BY payment, number LIMIT ?6";
        let (payment, number) = filter.after.map_or((String::new(), -1), |(payment, number)| (payment.to_string(), i64::from(number)));
        let query = sqlx::query(QUERY)
            .bind(filter.museums.as_ref().map(written))
            .bind(filter.state.clone())
            .bind(filter.with_payee)
            .bind(payment)
            .bind(number)
            .bind(i64::from(limit));
        self.found(query, refund_row).await
    }

    /// The receipts of some payments, by payment.
    pub async fn receipts_of(&self, payments: &[PaymentId]) -> Result<Vec<ReceiptRow>, ViewsError> {
        const QUERY: &str = "SELECT payment, receipt, source, amount_cents, paid_at FROM receipt WHERE payment IN (SELECT value FROM json_each(?))
            ORDER BY payment, receipt";
        let query = sqlx::query(QUERY).bind(written(&payments));
        self.found(query, receipt_row).await
    }

    /// Those of some ids that are payments.
    pub async fn existing(&self, payments: &[PaymentId]) -> Result<Vec<PaymentId>, ViewsError> {
        const QUERY: &str = "SELECT payment FROM payment WHERE payment IN (SELECT value FROM json_each(?))";
        let query = sqlx::query(QUERY).bind(written(&payments));
        self.found(query, id).await
    }

    /// The receipts that the pagoPA node sent for what was paid from `from` on and before `to`, and those in whose place a reporting flow said so; earliest first, at
    /// most `limit`.
    pub async fn receipts_between(&self, from: Timestamp, to: Timestamp, limit: u32) -> Result<Vec<ReceiptRow>, ViewsError> {
        // In the words of the index, or SQLite does not use it.
        const QUERY: &str =
            "SELECT payment, receipt, source, amount_cents, paid_at FROM receipt WHERE source IN ('node', 'report') AND paid_at >= ? AND paid_at < ?
            ORDER BY paid_at, payment, receipt LIMIT ?";
        let query = sqlx::query(QUERY).bind(from.as_micros()).bind(to.as_micros()).bind(i64::from(limit));
        self.found(query, receipt_row).await
    }

    /// What the desk of a session took, by method: up to that batch, or to the one up to which it was summed when it was closed.
    ///
    /// Batches tell sessions apart and not times, as what is written has one place in the journal and is in one sum: in that of the session that was open; in the next
    /// one's, if it was written after that session was summed and before it was closed; or outside of both.
    pub async fn till_money(&self, session: TillId, to: Option<u64>) -> Result<Vec<TillSum>, ViewsError> {
        const QUERY: &str = "WITH
            session AS (SELECT museum, till, opened_batch, coalesce(?2, summed_to) AS summed_to FROM till WHERE session = ?1),
            earlier AS (
                SELECT till.closed_batch, till.summed_to FROM session CROSS JOIN till USING (museum, till) WHERE till.closed_batch < session.opened_batch
                ORDER BY till.closed_batch DESC LIMIT 1
            ),
            span AS (
                SELECT museum, till, opened_batch, summed_to, coalesce((SELECT summed_to FROM earlier), 0) AS since,
                    coalesce((SELECT closed_batch FROM earlier), 0) AS earlier_closed FROM session
            ),
            money AS (
                SELECT method, amount_cents, batch >= opened_batch OR batch <= earlier_closed AS is_taken
                FROM span CROSS JOIN till_money USING (museum, till) WHERE batch > since AND batch <= summed_to
            )
            SELECT method, max(is_taken), sum(iif(is_taken, amount_cents, 0)), sum(iif(is_taken, 0, amount_cents)) FROM money GROUP BY method ORDER BY method";
        let query = sqlx::query(QUERY).bind(session.to_string()).bind(to.map(stored));
        let read = |row: &SqliteRow| {
            Ok(TillSum { method: row.try_get(0)?, is_taken: row.try_get(1)?, taken_cents: row.try_get(2)?, outside_cents: row.try_get(3)? })
        };
        self.found(query, read).await
    }

    /// Till sessions in the order of their ids, at most `limit`.
    pub async fn till_sessions(&self, filter: &TillFilter, limit: u32) -> Result<Vec<TillRow>, ViewsError> {
        const QUERY: &str = "SELECT session, museum, till, opened_by, opened_at, closed_at, expected_cents, difference_cents FROM till
            WHERE (?1 IS NULL OR museum IN (SELECT value FROM json_each(?1))) AND (?2 IS NULL OR (closed_at IS NULL) = ?2) AND session > ?3
            ORDER BY session LIMIT ?4";
        let query = sqlx::query(QUERY)
            .bind(filter.museums.as_ref().map(written))
            .bind(filter.open)
            .bind(filter.after.map(|after| after.to_string()).unwrap_or_default())
            .bind(i64::from(limit));
        let read = |row: &SqliteRow| {
            Ok(TillRow {
                session: row.try_get::<String, _>(0)?.parse().map_err(|error: BadId| sqlx::Error::Decode(error.into()))?,
                museum: MuseumId(row.try_get(1)?),
                till: row.try_get(2)?,
                opened_by: row.try_get(3)?,
                opened_at: Timestamp::from_micros(row.try_get(4)?),
                closed_at: row.try_get::<Option<i64>, _>(5)?.map(Timestamp::from_micros),
                expected_cents: row.try_get(6)?,
                difference_cents: row.try_get(7)?,
            })
        };
        self.found(query, read).await
    }

    /// What went to the bank with a file, in the order of payments and numbers. What was sent stays in it, whatever became of it since.
    pub async fn batch(&self, batch: &str) -> Result<Vec<BatchRow>, ViewsError> {
        const QUERY: &str = "SELECT sent.payment, sent.number, refund.museum, refund.amount_cents, replace(refund.state, 'released', 'open'), sent.exported_at, sent.payee
            FROM refund_batch AS sent JOIN refund USING (payment, number) WHERE sent.batch = ? ORDER BY sent.payment, sent.number";
        let query = sqlx::query(QUERY).bind(batch);
        let read = |row: &SqliteRow| {
            Ok(BatchRow {
                payment: id(row)?,
                number: row.try_get(1)?,
                museum: MuseumId(row.try_get(2)?),
                amount_cents: row.try_get(3)?,
                state: row.try_get(4)?,
                exported_at: Timestamp::from_micros(row.try_get(5)?),
                payee: row.try_get(6)?,
            })
        };
        self.found(query, read).await
    }

    /// When something was put last into a file whose name begins so; none: there is no such file.
    pub async fn last_batch(&self, beginning: &str) -> Result<Option<Timestamp>, ViewsError> {
        // No name has a character beyond that.
        const QUERY: &str = "SELECT max(exported_at) FROM refund_batch WHERE batch BETWEEN ?1 AND ?1 || '~'";
        let last: Option<i64> = sqlx::query_scalar(QUERY).bind(beginning).fetch_one(&self.pool()).await.map_err(|error| self.noted(error))?;
        Ok(last.map(Timestamp::from_micros))
    }
}

fn payment_row(row: &SqliteRow) -> Result<PaymentRow, sqlx::Error> {
    let at = |index| row.try_get(index).map(Timestamp::from_micros);
    Ok(PaymentRow {
        payment: id(row)?,
        museum: MuseumId(row.try_get(1)?),
        opened_at: at(2)?,
        who: row.try_get(3)?,
        channel: row.try_get(4)?,
        order: row.try_get(5)?,
        quote: row.try_get(6)?,
        gateway: row.try_get(7)?,
        subject: row.try_get(8)?,
        amount_cents: row.try_get(9)?,
        due_at: at(10)?,
        state: row.try_get(11)?,
        changed_at: at(12)?,
        paid_at: row.try_get::<Option<i64>, _>(13)?.map(Timestamp::from_micros),
        received_cents: row.try_get(14)?,
        disputed: row.try_get::<i64, _>(15)? == 1,
        charged_back: row.try_get::<i64, _>(15)? == 2,
        owed_cents: row.try_get(16)?,
        paid_back_cents: row.try_get(17)?,
        taken_back_cents: row.try_get(18)?,
    })
}

fn receipt_row(row: &SqliteRow) -> Result<ReceiptRow, sqlx::Error> {
    Ok(ReceiptRow {
        payment: id(row)?,
        receipt: row.try_get(1)?,
        source: row.try_get(2)?,
        amount_cents: row.try_get(3)?,
        paid_at: Timestamp::from_micros(row.try_get(4)?),
    })
}

fn refund_row(row: &SqliteRow) -> Result<RefundRow, sqlx::Error> {
    let at = |index| row.try_get(index).map(Timestamp::from_micros);
    Ok(RefundRow {
        payment: id(row)?,
        number: row.try_get(1)?,
        museum: MuseumId(row.try_get(2)?),
        opened_at: at(3)?,
        amount_cents: row.try_get(4)?,
        why: row.try_get(5)?,
        state: row.try_get(6)?,
        changed_at: at(7)?,
        batch: row.try_get(8)?,
        way: row.try_get(9)?,
        reference: row.try_get(10)?,
        executed_on: row.try_get(11)?,
        returned: row.try_get(12)?,
        payee: row.try_get(13)?,
    })
}

fn id(row: &SqliteRow) -> Result<PaymentId, sqlx::Error> {
    row.try_get::<String, _>(0)?.parse().map_err(|error: BadId| sqlx::Error::Decode(error.into()))
}

/// What some batches change in these lists, gathered so that each table needs one statement for each kind of change.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The batch that is read.
    batch: i64,
    opened: Vec<Value>,
    /// (payment, state, time).
    stages: Vec<Value>,
    /// (payment, amount, when it was paid by that or null, under which reference a desk took that or null).
    received: Vec<Value>,
    /// (payment, 1 while a dispute is open, 2 where the payer's bank was right, else 0; of which receipt it took then, by its place, where that was noted).
    disputes: Vec<Value>,
    /// (payment, amount, of which receipt by its place).
    taken: Vec<Value>,
    receipts: Vec<Value>,
    /// (payment, till, method, time, amount, reference, batch): of the payment's museum.
    desks: Vec<Value>,
    /// (museum, till, method, time, amount, reference, batch).
    tills: Vec<Value>,
    sessions: Vec<Value>,
    /// (session, time, expected, difference, batch, up to which batch it was summed).
    closed: Vec<Value>,
    refunds: Vec<Value>,
    /// What an operator's work changes, in order.
    work: Vec<Work>,
}

/// One change of one refund; of all that were let go, where it is that they wait again.
#[derive(Debug)]
struct Work {
    payment: String,
    number: u32,
    at: i64,
    batch: i64,
    change: Change,
}

#[derive(Debug)]
enum Change {
    Payee(String),
    Exported(String),
    PaidBack { by: PaidBackBy, reference: String, executed_on: String },
    Returned(String),
    Released,
    HeldBack,
}

impl Rows {
    /// What is read from now on stands in that batch.
    pub(super) fn begin(&mut self, batch: u64) {
        self.batch = stored(batch);
    }

    pub(super) fn read(&mut self, payment: PaymentId, record: &Record<Event>) {
        let (id, at) = (payment.to_string(), record.at.as_micros());
        for event in &record.events {
            match event {
                Event::Opened(opened) => {
                    let order = opened.order.map(|order| order.to_string()).unwrap_or_default();
                    let quote = opened.quote.map(|quote| quote.to_string()).unwrap_or_default();
                    let (who, channel, gateway) = (opened.who.to_string(), opened.channel.name(), gateway(opened.gateway));
                    let (amount, due_at) = (opened.amount_cents.get(), opened.due_at.as_micros());
                    self.opened.push(json!([id, opened.museum.0, at, who, channel, order, quote, gateway, opened.subject, amount, due_at]));
                }
                Event::Published(_) => self.turn(&id, "pending", at),
                Event::PublishFailed(_) => self.turn(&id, "failed", at),
                Event::Cancelled(_) => self.turn(&id, "cancelled", at),
                Event::Expired(_) => self.turn(&id, "expired", at),
                Event::Received(received) => {
                    let Receipt { id: receipt, source: from, amount_cents, paid_at, .. } = &received.receipt;
                    let reference = if let Source::Desk { reference, .. } = from { Some(reference) } else { None };
                    let (paid_at_us, reference) = (received.pays.then_some(paid_at.as_micros()), reference.filter(|_| received.pays));
                    self.received.push(json!([id, amount_cents.get(), paid_at_us, reference]));
                    self.receipts.push(json!([id, receipt, source(from), amount_cents.get(), paid_at.as_micros()]));
                    if let Source::Desk { till, method, reference } = from {
                        self.desks.push(json!([id, till, method, at, amount_cents.get(), reference, self.batch]));
                    }
                    if received.pays {
                        self.turn(&id, "paid", at);
                    }
                }
                Event::Disputed(_) => {
                    self.disputes.push(json!([id, 1]));
                    self.work(&id, 0, at, Change::HeldBack);
                }
                Event::DisputeResolved(resolved) => {
                    // What was taken follows in the same record.
                    let taken = record.events.iter().find_map(|event| if let Event::TakenBack(taken) = event { Some(taken.receipt) } else { None });
                    self.disputes.push(json!([id, if resolved.upheld { 2 } else { 0 }, taken]));
                    if resolved.upheld {
                        self.work(&id, 0, at, Change::HeldBack);
                    }
                }
                Event::TakenBack(taken) => {
                    self.taken.push(json!([id, taken.amount_cents.get(), taken.receipt]));
                    if taken.amount_cents.get() > 0 {
                        self.work(&id, 0, at, Change::HeldBack);
                    }
                }
                Event::RefundOpened(opened) => {
                    self.refunds.push(json!([id, opened.refund, at, opened.amount_cents.get(), opened.why.name(), opened.receipt]));
                }
                Event::RefundExported(exported) => self.work(&id, exported.refund, at, Change::Exported(exported.batch.to_string())),
                Event::RefundConfirmed(confirmed) => {
                    let (reference, executed_on) = (confirmed.reference.clone(), confirmed.executed_on.to_string());
                    self.work(&id, confirmed.refund, at, Change::PaidBack { by: confirmed.by, reference, executed_on });
                }
                Event::RefundReturned(returned) => self.work(&id, returned.refund, at, Change::Returned(returned.why.to_string())),
                Event::RefundReleased(released) => self.work(&id, released.refund, at, Change::Released),
                Event::PayeeSet(set) => self.work(&id, set.refund, at, Change::Payee(set.person.to_string())),
                Event::Activated(_) | Event::Fulfilled(_) | Event::Unfulfilled(_) | Event::Closed(_) | Event::Reported(_) => {}
            }
        }
    }

    pub(super) fn read_till(&mut self, session: TillId, record: &Record<till::Event>) {
        let (id, at) = (session.to_string(), record.at.as_micros());
        for event in &record.events {
            match event {
                till::Event::Opened(opened) => {
                    let who = record.envelope.as_ref().map(|envelope| envelope.who.to_string()).unwrap_or_default();
                    self.sessions.push(json!([id, opened.museum.0, opened.till, who, at, self.batch]));
                }
                till::Event::Closed(closed) => {
                    let summed_to = closed.summed_to.map_or(self.batch, stored);
                    self.closed.push(json!([id, at, closed.expected_cents.get(), closed.difference_cents.get(), self.batch, summed_to]));
                }
                till::Event::CashMoved(_) => {}
            }
        }
    }

    /// Money that a desk took for places, without a payment.
    pub(super) fn sold_at_desk(&mut self, museum: MuseumId, at: i64, (till, method, reference): (&Code, DeskMethod, &str), amount_cents: i64) {
        self.tills.push(json!([museum.0, till, method, at, amount_cents, reference, self.batch]));
    }

    fn work(&mut self, payment: &str, number: u32, at: i64, change: Change) {
        self.work.push(Work { payment: payment.to_owned(), number, at, batch: self.batch, change });
    }

    fn turn(&mut self, payment: &str, state: &str, at: i64) {
        self.stages.push(json!([payment, state, at]));
    }

    /// Everything, in a transaction of the caller's.
    pub(super) async fn write(&self, tx: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        const OPENED: &str = "INSERT INTO payment
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9,
                value ->> 10, 'created', value ->> 2, NULL, 0, 0, 0, NULL, 0, '' FROM jsonb_each(?)";
        const RECEIVED: &str =
            "UPDATE payment SET received_cents = payment.received_cents + change.cents, paid_at = coalesce(payment.paid_at, change.at),
                reference = coalesce(change.reference, payment.reference)
            FROM (SELECT value ->> 0 AS of, sum(value ->> 1) AS cents, max(value ->> 2) AS at, max(value ->> 3) AS reference
                FROM jsonb_each(?) GROUP BY 1) AS change
            WHERE payment.payment = change.of";
        // Of several changes of one thing the last one counts: SQLite takes the bare columns from the row that has the maximum.
        const STAGES: &str = "UPDATE payment SET state = change.state, changed_at = change.at
            FROM (SELECT value ->> 0 AS of, value ->> 1 AS state, value ->> 2 AS at, max(key) FROM jsonb_each(?) GROUP BY 1) AS change
            WHERE payment.payment = change.of";
        const DISPUTES: &str = "UPDATE payment SET disputed = change.open, disputed_receipt = change.receipt,
                disputes_unnoted = payment.disputes_unnoted + change.unnoted
            FROM (SELECT value ->> 0 AS of, value ->> 1 AS open, value ->> 2 AS receipt, sum(value ->> 1 = 2 AND value ->> 2 IS NULL) AS unnoted, max(key)
                FROM jsonb_each(?) GROUP BY 1) AS change
            WHERE payment.payment = change.of";
        const TAKEN: &str = "UPDATE payment SET taken_back_cents = payment.taken_back_cents + change.cents
            FROM (SELECT value ->> 0 AS of, sum(value ->> 1) AS cents FROM jsonb_each(?) GROUP BY 1) AS change WHERE payment.payment = change.of";
        const TAKEN_OF: &str = "INSERT INTO taken_back SELECT value ->> 0, value ->> 2, value ->> 1 FROM jsonb_each(?) WHERE true
            ON CONFLICT DO UPDATE SET amount_cents = amount_cents + excluded.amount_cents";
        const RECEIPTS: &str = "INSERT OR IGNORE INTO receipt
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM jsonb_each(?)";
        const DESKS: &str = "INSERT INTO till_money
            SELECT (SELECT museum FROM payment WHERE payment = value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
            FROM jsonb_each(?)";
        const TILLS: &str = "INSERT INTO till_money
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6 FROM jsonb_each(?)";
        const SESSIONS: &str = "INSERT INTO till
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, NULL, NULL, NULL, value ->> 5, NULL, NULL FROM jsonb_each(?)";
        const CLOSED: &str = "UPDATE till SET closed_at = change.at, expected_cents = change.expected, difference_cents = change.difference,
                closed_batch = change.batch, summed_to = change.summed_to
            FROM (SELECT value ->> 0 AS of, value ->> 1 AS at, value ->> 2 AS expected, value ->> 3 AS difference, value ->> 4 AS batch, value ->> 5 AS summed_to
                FROM jsonb_each(?)) AS change
            WHERE till.session = change.of";
        const REFUNDS: &str = "INSERT INTO refund
            SELECT value ->> 0, value ->> 1, (SELECT museum FROM payment WHERE payment = value ->> 0), value ->> 2, value ->> 3, value ->> 4, 'open',
                value ->> 2, '', '', '', '', '', '', value ->> 5 FROM jsonb_each(?)";
        let each = [
            (OPENED, &self.opened),
            (RECEIVED, &self.received),
            (STAGES, &self.stages),
            (DISPUTES, &self.disputes),
            (TAKEN, &self.taken),
            (TAKEN_OF, &self.taken),
            (RECEIPTS, &self.receipts),
            (DESKS, &self.desks),
            (TILLS, &self.tills),
            (SESSIONS, &self.sessions),
            (CLOSED, &self.closed),
            (REFUNDS, &self.refunds),
        ];
        for (query, rows) in each {
            rows::write(query, None, rows::arrays(rows)?, tx).await?;
        }
        // One after the other: a later one builds on what an earlier one has left. They are an operator's work, and few.
        for work in &self.work {
            work.write(tx).await?;
        }
        Ok(())
    }
}

impl Work {
    async fn write(&self, tx: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        const PAYEE: &str = "UPDATE refund SET payee = ?3 WHERE payment = ?1 AND number = ?2";
        const SENT: &str = "INSERT OR IGNORE INTO refund_batch SELECT ?3, payment, number, ?4, payee FROM refund WHERE payment = ?1 AND number = ?2";
        const EXPORTED: &str = "UPDATE refund SET state = 'exported', batch = ?3, changed_at = ?4 WHERE payment = ?1 AND number = ?2";
        const PAID_BACK: &str =
            "UPDATE refund SET state = 'paid_back', way = ?3, changed_at = ?4, reference = ?5, executed_on = ?6 WHERE payment = ?1 AND number = ?2";
        const PAID_OUT: &str =
            "INSERT INTO till_money SELECT museum, ?3, ?4, ?5, -amount_cents, ?6, ?7 FROM refund WHERE payment = ?1 AND number = ?2";
        const RELEASED: &str = "UPDATE refund SET state = 'released', changed_at = ?3 WHERE payment = ?1 AND number = ?2";
        const HELD_BACK: &str = "UPDATE refund SET state = 'open', changed_at = ?2 WHERE payment = ?1 AND state = 'released'";
        const RETURNED: &str =
            "UPDATE refund SET state = 'open', returned = ?3, changed_at = ?4, batch = '', way = '', reference = '', executed_on = ''
            WHERE payment = ?1 AND number = ?2";
        let ask = |query: &'static str| sqlx::query(query).bind(&self.payment).bind(self.number);
        match &self.change {
            Change::Payee(person) => ask(PAYEE).bind(person).execute(tx).await?,
            Change::Exported(batch) => {
                ask(SENT).bind(batch).bind(self.at).execute(&mut *tx).await?;
                ask(EXPORTED).bind(batch).bind(self.at).execute(tx).await?
            }
            Change::PaidBack { by, reference, executed_on } => {
                if let PaidBackBy::Till { till, method } = by {
                    let name = json!(method);
                    ask(PAID_OUT).bind(till.as_str()).bind(name.as_str()).bind(self.at).bind(reference).bind(self.batch).execute(&mut *tx).await?;
                }
                ask(PAID_BACK).bind(way(*by)).bind(self.at).bind(reference).bind(executed_on).execute(tx).await?
            }
            Change::Released => ask(RELEASED).bind(self.at).execute(tx).await?,
            Change::HeldBack => sqlx::query(HELD_BACK).bind(&self.payment).bind(self.at).execute(tx).await?,
            Change::Returned(why) => ask(RETURNED).bind(why).bind(self.at).execute(tx).await?,
        };
        Ok(())
    }
}

/// The name of a gateway in lists and in the API.
#[must_use]
pub const fn gateway(gateway: Gateway) -> &'static str {
    match gateway {
        Gateway::Notice => "notice",
        Gateway::Checkout => "checkout",
        Gateway::Desk => "desk",
        Gateway::Voucher { .. } => "voucher",
        Gateway::Free => "free",
    }
}

/// The name of where money was seen, in lists and in the API.
#[must_use]
pub const fn source(source: &Source) -> &'static str {
    match source {
        Source::Node => "node",
        Source::Report => "report",
        Source::Desk { .. } => "desk",
        Source::Voucher { .. } => "voucher",
        Source::Free => "free",
        Source::Sale { .. } => "sale",
    }
}

/// The name of a way on which money went back, in lists and in the API.
#[must_use]
pub const fn way(by: PaidBackBy) -> &'static str {
    match by {
        PaidBackBy::Transfer => "transfer",
        PaidBackBy::Till { .. } => "till",
        PaidBackBy::Voucher { .. } => "voucher",
        PaidBackBy::PayersBank => "payers_bank",
    }
}
