//! The lists of payments and refunds: what operators work through. Where an amount stands follows from the refunds at the moment of asking; only what each event
//! says is stored.

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tornello_engine::ids::{BadId, MuseumId, PaymentId};
use tornello_engine::payment::{Event, Gateway, PaidBackBy};
use tornello_engine::record::Record;
use tornello_engine::time::Timestamp;

use super::{Views, ViewsError, json as written};

/// The tables. Times are microseconds; a date is its text.
pub(super) const SCHEMA: &str = "
    DROP TABLE IF EXISTS payment; DROP TABLE IF EXISTS refund;
    CREATE TABLE payment (
        payment TEXT PRIMARY KEY, museum INTEGER NOT NULL, opened_at INTEGER NOT NULL, who TEXT NOT NULL, channel TEXT NOT NULL, ord TEXT NOT NULL,
        quote TEXT NOT NULL, gateway TEXT NOT NULL, subject TEXT NOT NULL, amount_cents INTEGER NOT NULL, due_at INTEGER NOT NULL, state TEXT NOT NULL,
        changed_at INTEGER NOT NULL, paid_at INTEGER, received_cents INTEGER NOT NULL, disputed INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX payment_by_museum ON payment (museum, opened_at, payment);
    CREATE INDEX payment_by_state ON payment (state, payment);
    CREATE INDEX payment_by_who ON payment (who, payment);
    CREATE TABLE refund (
        payment TEXT NOT NULL, number INTEGER NOT NULL, museum INTEGER NOT NULL, opened_at INTEGER NOT NULL, amount_cents INTEGER NOT NULL, why TEXT NOT NULL,
        state TEXT NOT NULL, changed_at INTEGER NOT NULL, batch TEXT NOT NULL, way TEXT NOT NULL, reference TEXT NOT NULL, executed_on TEXT NOT NULL,
        returned TEXT NOT NULL, payee TEXT NOT NULL, PRIMARY KEY (payment, number)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX refund_by_state ON refund (state, payment, number);
    CREATE INDEX refund_by_batch ON refund (batch, payment, number) WHERE batch <> '';";

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
    /// When we took in what paid it.
    pub paid_at: Option<Timestamp>,
    /// All that came.
    pub received_cents: i64,
    /// What of it is to go back.
    pub owed_cents: i64,
    /// What of it has gone back.
    pub paid_back_cents: i64,
    /// Whether a dispute is open.
    pub disputed: bool,
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
    /// `open`, `exported` or `paid_back`.
    pub state: String,
    /// Since when.
    pub changed_at: Timestamp,
    /// The file with which it went to the bank last; empty if none.
    pub batch: String,
    /// `transfer`, `till` or `voucher`; empty while it is owed.
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

/// Which payments to list; all conditions hold together.
#[derive(Debug, Clone, Default)]
pub struct PaymentFilter {
    /// Only of these museums; none: of all.
    pub museums: Option<Vec<MuseumId>>,
    /// Only in this state.
    pub state: Option<String>,
    /// Only by this key.
    pub who: Option<String>,
    /// Only opened at this instant or later.
    pub from: Option<Timestamp>,
    /// Only opened before this instant.
    pub to: Option<Timestamp>,
    /// Only with this order.
    pub order: Option<String>,
    /// Only those with a refund that is owed, or none that is.
    pub owing: Option<bool>,
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
    /// Only sent with this file.
    pub batch: Option<String>,
    /// Only after this one, in the order of payments and numbers.
    pub after: Option<(PaymentId, u32)>,
}

impl Views {
    /// Payments in the order of their ids, at most `limit`.
    pub async fn payments(&self, filter: &PaymentFilter, limit: u32) -> Result<Vec<PaymentRow>, ViewsError> {
        const QUERY: &str = "SELECT payment, museum, opened_at, who, channel, ord, quote, gateway, subject, amount_cents, due_at, state, changed_at, paid_at,
                received_cents, disputed,
                (SELECT coalesce(sum(amount_cents), 0) FROM refund WHERE refund.payment = payment.payment AND refund.state <> 'paid_back') AS owed,
                (SELECT coalesce(sum(amount_cents), 0) FROM refund WHERE refund.payment = payment.payment AND refund.state = 'paid_back')
            FROM payment WHERE (?1 IS NULL OR museum IN (SELECT value FROM json_each(?1))) AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR who = ?3)
            AND (?4 IS NULL OR opened_at >= ?4) AND (?5 IS NULL OR opened_at < ?5) AND (?6 IS NULL OR ord = ?6) AND (?7 IS NULL OR (owed > 0) = ?7)
            AND payment > ?8 ORDER BY payment LIMIT ?9";
        let rows = sqlx::query(QUERY)
            .bind(filter.museums.as_ref().map(written))
            .bind(filter.state.clone())
            .bind(filter.who.clone())
            .bind(filter.from.map(Timestamp::as_micros))
            .bind(filter.to.map(Timestamp::as_micros))
            .bind(filter.order.clone())
            .bind(filter.owing)
            .bind(filter.after.map(|after| after.to_string()).unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| payment_row(row).map_err(ViewsError::Store)).collect()
    }

    /// Refunds in the order of their payments and numbers, at most `limit`.
    pub async fn refunds(&self, filter: &RefundFilter, limit: u32) -> Result<Vec<RefundRow>, ViewsError> {
        const QUERY: &str = "SELECT payment, number, museum, opened_at, amount_cents, why, state, changed_at, batch, way, reference, executed_on, returned, payee
            FROM refund WHERE (?1 IS NULL OR museum IN (SELECT value FROM json_each(?1))) AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR batch = ?3)
            AND (payment, number) > (?4, ?5) ORDER BY payment, number LIMIT ?6";
        let (payment, number) = filter.after.map_or((String::new(), -1), |(payment, number)| (payment.to_string(), i64::from(number)));
        let rows = sqlx::query(QUERY)
            .bind(filter.museums.as_ref().map(written))
            .bind(filter.state.clone())
            .bind(filter.batch.clone())
            .bind(payment)
            .bind(number)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| refund_row(row).map_err(ViewsError::Store)).collect()
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
        disputed: row.try_get(15)?,
        owed_cents: row.try_get(16)?,
        paid_back_cents: row.try_get(17)?,
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
    opened: Vec<Value>,
    /// (payment, state, time).
    stages: Vec<Value>,
    /// (payment, amount, when it was paid by that or null).
    received: Vec<Value>,
    /// (payment, whether a dispute is open).
    disputes: Vec<Value>,
    refunds: Vec<Value>,
    /// (payment, number, state, time, batch or null, way, reference, day, why it was returned or null).
    refund_states: Vec<Value>,
    /// (payment, number, person).
    payees: Vec<Value>,
}

impl Rows {
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
                    self.received.push(json!([id, received.receipt.amount_cents.get(), received.pays.then_some(at)]));
                    if received.pays {
                        self.turn(&id, "paid", at);
                    }
                }
                Event::Disputed(_) => self.disputes.push(json!([id, 1])),
                Event::DisputeResolved(_) => self.disputes.push(json!([id, 0])),
                Event::RefundOpened(opened) => {
                    self.refunds.push(json!([id, opened.refund, at, opened.amount_cents.get(), opened.why.name()]));
                }
                Event::RefundExported(exported) => {
                    self.refund_states.push(json!([id, exported.refund, "exported", at, exported.batch, "", "", "", null_text()]));
                }
                Event::RefundConfirmed(confirmed) => {
                    let (way, day) = (way(confirmed.by), confirmed.executed_on.to_string());
                    self.refund_states.push(json!([id, confirmed.refund, "paid_back", at, null_text(), way, confirmed.reference, day, null_text()]));
                }
                Event::RefundReturned(returned) => {
                    self.refund_states.push(json!([id, returned.refund, "open", at, "", "", "", "", returned.why]));
                }
                Event::PayeeSet(set) => self.payees.push(json!([id, set.refund, set.person.to_string()])),
                Event::Activated(_) | Event::Fulfilled(_) | Event::Unfulfilled(_) | Event::Closed(_) | Event::Reported(_) => {}
            }
        }
    }

    fn turn(&mut self, payment: &str, state: &str, at: i64) {
        self.stages.push(json!([payment, state, at]));
    }

    /// Everything, in a transaction of the caller's.
    pub(super) async fn write(&self, tx: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        const OPENED: &str = "INSERT INTO payment
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9,
                value ->> 10, 'created', value ->> 2, NULL, 0, 0 FROM json_each(?)";
        const RECEIVED: &str = "UPDATE payment SET received_cents = payment.received_cents + change.cents, paid_at = coalesce(payment.paid_at, change.at)
            FROM (SELECT value ->> 0 AS of, sum(value ->> 1) AS cents, max(value ->> 2) AS at FROM json_each(?) GROUP BY 1) AS change
            WHERE payment.payment = change.of";
        // Of several changes of one thing the last one counts: SQLite takes the bare columns from the row that has the maximum.
        const STAGES: &str = "UPDATE payment SET state = change.state, changed_at = change.at
            FROM (SELECT value ->> 0 AS of, value ->> 1 AS state, value ->> 2 AS at, max(key) FROM json_each(?) GROUP BY 1) AS change
            WHERE payment.payment = change.of";
        const DISPUTES: &str = "UPDATE payment SET disputed = change.open
            FROM (SELECT value ->> 0 AS of, value ->> 1 AS open, max(key) FROM json_each(?) GROUP BY 1) AS change WHERE payment.payment = change.of";
        const REFUNDS: &str = "INSERT INTO refund
            SELECT value ->> 0, value ->> 1, (SELECT museum FROM payment WHERE payment = value ->> 0), value ->> 2, value ->> 3, value ->> 4, 'open',
                value ->> 2, '', '', '', '', '', '' FROM json_each(?)";
        const PAYEES: &str = "UPDATE refund SET payee = change.payee
            FROM (SELECT value ->> 0 AS of, value ->> 1 AS number, value ->> 2 AS payee, max(key) FROM json_each(?) GROUP BY 1, 2) AS change
            WHERE refund.payment = change.of AND refund.number = change.number";
        const REFUND_STATE: &str = "UPDATE refund SET state = ?3, changed_at = ?4, batch = coalesce(?5, batch), way = ?6, reference = ?7, executed_on = ?8,
            returned = coalesce(?9, returned) WHERE payment = ?1 AND number = ?2";
        let each = [
            (OPENED, &self.opened),
            (RECEIVED, &self.received),
            (STAGES, &self.stages),
            (DISPUTES, &self.disputes),
            (REFUNDS, &self.refunds),
            (PAYEES, &self.payees),
        ];
        for (query, rows) in each {
            if !rows.is_empty() {
                sqlx::query(query).bind(written(rows)).execute(&mut *tx).await?;
            }
        }
        // One after the other: a later one leaves standing what an earlier one has said of the file or the return. They are an operator's work, and few.
        for change in &self.refund_states {
            let text = |index: usize| change[index].as_str();
            sqlx::query(REFUND_STATE)
                .bind(text(0))
                .bind(change[1].as_i64())
                .bind(text(2))
                .bind(change[3].as_i64())
                .bind(text(4))
                .bind(text(5))
                .bind(text(6))
                .bind(text(7))
                .bind(text(8))
                .execute(&mut *tx)
                .await?;
        }
        Ok(())
    }
}

const fn null_text() -> Option<&'static str> {
    None
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

/// The name of a way on which money went back, in lists and in the API.
#[must_use]
pub const fn way(by: PaidBackBy) -> &'static str {
    match by {
        PaidBackBy::Transfer => "transfer",
        PaidBackBy::Till { .. } => "till",
        PaidBackBy::Voucher { .. } => "voucher",
    }
}
