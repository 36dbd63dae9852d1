//! The lists of quotes and of operators' accounts: what the group office works through. Which deadline runs follows from the state at the moment of asking; only
//! what each event says is stored.

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tornello_engine::account::{self, ChargeOf};
use tornello_engine::ids::{AccountId, BadId, Code, HoldId, MuseumId, PaymentId, QuoteId};
use tornello_engine::institution::Institution;
use tornello_engine::quote::{CancelCause, Conditions, Deadline, Event, Kind, Offer, Settle};
use tornello_engine::record::Record;
use tornello_engine::time::Timestamp;

use super::{Views, ViewsError, json as written};

/// The tables. Times are microseconds; a day is its text. What is to hold once options are taken waits in `quote_attempt`.
pub(super) const SCHEMA: &str = "
    DROP TABLE IF EXISTS quote; DROP TABLE IF EXISTS quote_attempt; DROP TABLE IF EXISTS account; DROP TABLE IF EXISTS account_museum;
    DROP TABLE IF EXISTS account_agreement;
    CREATE TABLE quote (
        quote TEXT PRIMARY KEY, museum INTEGER NOT NULL, drafted_at INTEGER NOT NULL, who TEXT NOT NULL, kind TEXT NOT NULL, account TEXT NOT NULL,
        fiscal_code TEXT NOT NULL, vat TEXT NOT NULL, ipa TEXT NOT NULL, contact TEXT NOT NULL, revision INTEGER NOT NULL, day TEXT NOT NULL,
        starts INTEGER NOT NULL, parts INTEGER NOT NULL, people INTEGER NOT NULL, total_cents INTEGER NOT NULL, state TEXT NOT NULL,
        changed_at INTEGER NOT NULL, sign_by INTEGER, pay_by INTEGER, desk_by INTEGER, accepted INTEGER NOT NULL, settle TEXT NOT NULL,
        confirmed INTEGER NOT NULL, payment TEXT NOT NULL, paid_at INTEGER, reason TEXT NOT NULL, reminded_at INTEGER,
        sent_at INTEGER, accepted_at INTEGER -- when the revision in force was sent, and accepted last
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX quote_by_museum ON quote (museum, day, quote);
    CREATE INDEX quote_by_account ON quote (account, quote);
    CREATE INDEX quote_by_state ON quote (state, quote);
    CREATE TABLE quote_attempt (
        quote TEXT NOT NULL, attempt INTEGER NOT NULL, revision INTEGER NOT NULL, day TEXT NOT NULL, starts INTEGER NOT NULL, parts INTEGER NOT NULL,
        people INTEGER NOT NULL, total_cents INTEGER NOT NULL, sign_by INTEGER NOT NULL, pay_by INTEGER NOT NULL, desk_by INTEGER,
        PRIMARY KEY (quote, attempt)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE account (
        id TEXT PRIMARY KEY, account TEXT NOT NULL, opened_at INTEGER NOT NULL, fiscal_code TEXT NOT NULL, vat TEXT NOT NULL, ipa TEXT NOT NULL,
        agreements INTEGER NOT NULL, limit_cents INTEGER, suspended INTEGER NOT NULL, charged_cents INTEGER NOT NULL, paid_cents INTEGER NOT NULL,
        changed_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX account_by_code ON account (account);
    CREATE TABLE account_museum (
        id TEXT NOT NULL, museum INTEGER NOT NULL, charged_cents INTEGER NOT NULL, PRIMARY KEY (id, museum)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE account_agreement (id TEXT NOT NULL, museum INTEGER) STRICT;
    CREATE INDEX account_agreement_by_id ON account_agreement (id, museum);";

/// A quote in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuoteRow {
    /// Its id.
    pub quote: QuoteId,
    /// Where the group goes.
    pub museum: MuseumId,
    /// When it was drafted.
    pub drafted_at: Timestamp,
    /// Which key drafted it.
    pub who: String,
    /// `school`, `tour_operator`, `company`, `association` or `other`.
    pub kind: String,
    /// The operator's account; empty if it is for none.
    pub account: String,
    /// The institution's fiscal code; empty if not known, as the next two.
    pub fiscal_code: String,
    /// Its VAT number.
    pub vat: String,
    /// Its code in the index of public administrations.
    pub ipa: String,
    /// Whom to write to, kept apart under this number; empty if nobody is named.
    pub contact: String,
    /// The revision in force.
    pub revision: u32,
    /// The day of the visit, in Rome.
    pub day: String,
    /// When the first part goes in.
    pub starts_at: Timestamp,
    /// How many parts go round.
    pub parts: u32,
    /// How many people come, escorts included.
    pub people: u32,
    /// What it costs.
    pub total_cents: i64,
    /// `draft`, `sent`, `accepted`, `paid`, `ticketed`, `lapsed`, `refused` or `cancelled`.
    pub state: String,
    /// Since when.
    pub changed_at: Timestamp,
    /// Until when the signed form must come back; none before it is sent, as the next two.
    pub sign_by: Option<Timestamp>,
    /// Until when it must be paid.
    pub pay_by: Option<Timestamp>,
    /// Until when at the desk, if it may be paid there.
    pub desk_by: Option<Timestamp>,
    /// The deadline that runs: `signature` or `payment`; empty if none does.
    pub deadline: String,
    /// When that is.
    pub due_at: Option<Timestamp>,
    /// How it is to be paid: `notice`, `checkout`, `desk` or `on_account`; empty before it is accepted.
    pub settle: String,
    /// Whether nobody has to confirm it any more.
    pub confirmed: bool,
    /// The last payment begun for it; empty if none was.
    pub payment: String,
    /// How that payment stands; empty if there is none.
    pub payment_state: String,
    /// When it was paid.
    pub paid_at: Option<Timestamp>,
    /// Why it ended, or why its settlement was refused; empty if neither is so.
    pub reason: String,
    /// When the group was last reminded.
    pub reminded_at: Option<Timestamp>,
}

/// A quote that has ended, as models of those that wait see it: what was known when, and what became of it. Nobody's name, nobody's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedQuote {
    /// Where the group was to go.
    pub museum: MuseumId,
    /// What kind of group it was.
    pub kind: String,
    /// When the revision that was in force last was sent.
    pub sent_at: Timestamp,
    /// When that was accepted last; none: it never was.
    pub accepted_at: Option<Timestamp>,
    /// Until when the signed form was to come back.
    pub sign_by: Timestamp,
    /// Until when it was to be paid, as it was accepted last.
    pub pay_by: Timestamp,
    /// For how many people.
    pub people: u32,
    /// What all of them were to pay.
    pub total_cents: i64,
    /// When the first part was to go in.
    pub starts_at: Timestamp,
    /// When it was paid, or ended without.
    pub ended_at: Timestamp,
    /// Whether it was paid.
    pub paid: bool,
}

/// An operator's account in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountRow {
    /// Its code.
    pub account: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Its fiscal code; empty if not known, as the next two.
    pub fiscal_code: String,
    /// Its VAT number.
    pub vat: String,
    /// Its code in the index of public administrations.
    pub ipa: String,
    /// How many price agreements it has: of some museums, those that hold there.
    pub agreements: u32,
    /// How much it may owe; none: no limit.
    pub limit_cents: Option<i64>,
    /// Whether it is charged no more for now.
    pub suspended: bool,
    /// What it was charged, less what was taken back: of some museums, what it was charged there.
    pub charged_cents: i64,
    /// What it has paid.
    pub paid_cents: i64,
    /// When anything of it changed last.
    pub changed_at: Timestamp,
}

/// Which quotes to list; all conditions hold together.
#[derive(Debug, Clone, Default)]
pub struct QuoteFilter {
    /// Only of these museums; none: of all.
    pub museums: Option<Vec<MuseumId>>,
    /// Only in one of these states; none: in any.
    pub states: Option<Vec<String>>,
    /// Only of this operator's account.
    pub account: Option<Code>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only of an institution with this fiscal code, VAT number or IPA code.
    pub institution: Option<String>,
    /// Only for visits on this day or later (`2027-03-08`).
    pub from: Option<String>,
    /// Only for visits on this day or earlier.
    pub to: Option<String>,
    /// Only those with a deadline that runs and ends before this instant.
    pub due_before: Option<Timestamp>,
    /// Only after this quote, in the order of ids.
    pub after: Option<QuoteId>,
}

/// The deadline that runs, in one word, as `Quote::deadline` has it.
const DEADLINE: &str = "CASE WHEN sign_by IS NULL THEN '' WHEN state = 'sent' AND accepted < revision THEN 'signature'
    WHEN state IN ('sent', 'accepted') THEN 'payment' ELSE '' END";
/// When that is.
const DUE_AT: &str = "CASE WHEN state = 'sent' AND accepted < revision THEN sign_by WHEN state = 'sent' THEN coalesce(desk_by, pay_by)
    WHEN state = 'accepted' AND settle IN ('desk', 'on_account') THEN coalesce(desk_by, pay_by) WHEN state = 'accepted' THEN pay_by END";

/// When it was paid: by a payment, when its receipt says so; on an account, or where nothing was due, when it was accepted for good.
const PAID_AT: &str =
    "CASE WHEN paid_at IS NOT NULL THEN coalesce((SELECT payment.paid_at FROM payment WHERE payment.payment = quote.payment), quote.paid_at) END";

impl Views {
    /// Quotes in the order of their ids, at most `limit`.
    pub async fn quotes(&self, filter: &QuoteFilter, limit: u32) -> Result<Vec<QuoteRow>, ViewsError> {
        let query = format!(
            "SELECT quote, museum, drafted_at, who, kind, account, fiscal_code, vat, ipa, contact, revision, day, starts, parts, people, total_cents, state,
                changed_at, sign_by, pay_by, desk_by, settle, confirmed, payment, {PAID_AT}, reason, reminded_at, {DEADLINE}, {DUE_AT} AS due_at,
                coalesce((SELECT payment.state FROM payment WHERE payment.payment = quote.payment), '')
            FROM quote WHERE (?1 IS NULL OR museum IN (SELECT value FROM json_each(?1))) AND (?2 IS NULL OR state IN (SELECT value FROM json_each(?2)))
            AND (?3 IS NULL OR account = ?3) AND (?4 IS NULL OR kind = ?4) AND (?5 IS NULL OR ?5 IN (fiscal_code, vat, ipa))
            AND (?6 IS NULL OR day >= ?6) AND (?7 IS NULL OR day <= ?7) AND (?8 IS NULL OR due_at < ?8) AND quote > ?9 ORDER BY quote LIMIT ?10"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(filter.museums.as_ref().map(written))
            .bind(filter.states.as_ref().map(written))
            .bind(filter.account.map(|account| account.to_string()))
            .bind(filter.kind.clone())
            .bind(filter.institution.clone())
            .bind(filter.from.clone())
            .bind(filter.to.clone())
            .bind(filter.due_before.map(Timestamp::as_micros))
            .bind(filter.after.map(|after| after.to_string()).unwrap_or_default())
            .bind(i64::from(limit));
        self.found(query, quote_row).await
    }

    /// The quotes with options that have ended, for visits from `from` up to before `to`, in the order of these; of more than `most` the newest. Those that the museum
    /// took back are left out: they say nothing of their groups.
    pub async fn ended_quotes(&self, from: Timestamp, to: Timestamp, most: u32) -> Result<Vec<EndedQuote>, ViewsError> {
        const QUERY: &str =
            "SELECT museum, kind, sent_at, accepted_at, sign_by, iif(settle = 'desk', coalesce(desk_by, pay_by), pay_by), people, total_cents,
                starts, coalesce(paid_at, changed_at), paid_at IS NOT NULL
            FROM quote WHERE starts >= ?1 AND starts < ?2 AND sent_at IS NOT NULL AND state IN ('paid', 'ticketed', 'lapsed', 'refused', 'cancelled')
            AND NOT (state = 'cancelled' AND reason = 'museum') ORDER BY starts DESC, quote DESC LIMIT ?3";
        let rows = sqlx::query(QUERY)
            .bind(from.as_micros())
            .bind(to.as_micros())
            .bind(i64::from(most))
            .fetch_all(&self.pool())
            .await
            .map_err(|error| self.noted(error))?;
        let read = |row: &SqliteRow| {
            let at = |index| row.try_get(index).map(Timestamp::from_micros);
            Ok(EndedQuote {
                museum: MuseumId(row.try_get(0)?),
                kind: row.try_get(1)?,
                sent_at: at(2)?,
                accepted_at: row.try_get::<Option<i64>, _>(3)?.map(Timestamp::from_micros),
                sign_by: at(4)?,
                pay_by: at(5)?,
                people: row.try_get(6)?,
                total_cents: row.try_get(7)?,
                starts_at: at(8)?,
                ended_at: at(9)?,
                paid: row.try_get::<i64, _>(10)? != 0,
            })
        };
        rows.iter().rev().map(|row| read(row).map_err(|error| self.noted(error))).collect()
    }

    /// The sales that have no ticket left, some of which were cancelled and the others have moved, of quotes that still have tickets: each with its quote, for visits from `from`
    /// on. They are few: most quotes are told of the last of their tickets when it is cancelled.
    pub async fn sales_gone(&self, from: Timestamp) -> Result<Vec<(QuoteId, HoldId)>, ViewsError> {
        // Not by the visits to come, which are all: it is asked again and again. An index serves only who asks in its own words, and SQLite wants the column first.
        const QUERY: &str = "SELECT quote.quote, sale.sale FROM sale INDEXED BY sale_gone JOIN sale AS bought ON bought.sale = sale.origin
                JOIN quote ON quote.quote = bought.quote
            WHERE sale.channel = 'group' AND sale.cancelled > 0 AND sale.people = sale.cancelled + sale.moved AND sale.starts >= ?1
            AND quote.state = 'ticketed'";
        let bad = |error: BadId| sqlx::Error::Decode(error.into());
        let read = |row: &SqliteRow| -> Result<(QuoteId, HoldId), sqlx::Error> {
            Ok((row.try_get::<String, _>(0)?.parse().map_err(bad)?, row.try_get::<String, _>(1)?.parse().map_err(bad)?))
        };
        let query = sqlx::query(QUERY).bind(from.as_micros());
        self.found(query, read).await
    }

    /// Accounts in the order of their codes, after `after`, at most `limit`: of some museums, those that were charged there, or have a price agreement or a quote.
    pub async fn accounts(&self, museums: Option<&[MuseumId]>, after: &str, limit: u32) -> Result<Vec<AccountRow>, ViewsError> {
        const QUERY: &str = "WITH only(museum) AS (SELECT value FROM json_each(?1)),
                charged(id, cents) AS (SELECT id, sum(charged_cents) FROM account_museum WHERE museum IN only GROUP BY id),
                agreed(id, count) AS (SELECT id, count(*) FROM account_agreement WHERE museum IS NULL OR museum IN only GROUP BY id)
            SELECT account, opened_at, fiscal_code, vat, ipa, iif(?1 IS NULL, agreements, coalesce(agreed.count, 0)), limit_cents, suspended,
                iif(?1 IS NULL, charged_cents, coalesce(charged.cents, 0)), paid_cents, changed_at
            FROM account LEFT JOIN charged USING (id) LEFT JOIN agreed USING (id)
            WHERE account > ?2 AND (?1 IS NULL OR charged.id IS NOT NULL OR agreed.id IS NOT NULL
                OR EXISTS (SELECT 1 FROM quote WHERE quote.account = account.account AND quote.museum IN only))
            ORDER BY account LIMIT ?3";
        let query = sqlx::query(QUERY).bind(museums.map(|museums| written(&museums))).bind(after).bind(i64::from(limit));
        let read = |row: &SqliteRow| {
            Ok(AccountRow {
                account: row.try_get(0)?,
                opened_at: Timestamp::from_micros(row.try_get(1)?),
                fiscal_code: row.try_get(2)?,
                vat: row.try_get(3)?,
                ipa: row.try_get(4)?,
                agreements: row.try_get(5)?,
                limit_cents: row.try_get(6)?,
                suspended: row.try_get(7)?,
                charged_cents: row.try_get(8)?,
                paid_cents: row.try_get(9)?,
                changed_at: Timestamp::from_micros(row.try_get(10)?),
            })
        };
        self.found(query, read).await
    }

    /// Whether a quote was drafted for an account at one of these museums.
    pub async fn has_quotes(&self, account: Code, museums: &[MuseumId]) -> Result<bool, ViewsError> {
        const QUERY: &str = "SELECT EXISTS (SELECT 1 FROM quote WHERE account = ?1 AND museum IN (SELECT value FROM json_each(?2)))";
        let found: i64 = sqlx::query_scalar(QUERY)
            .bind(account.to_string())
            .bind(written(&museums))
            .fetch_one(&self.pool())
            .await
            .map_err(|error| self.noted(error))?;
        Ok(found != 0)
    }
}

fn quote_row(row: &SqliteRow) -> Result<QuoteRow, sqlx::Error> {
    let at = |index| row.try_get(index).map(Timestamp::from_micros);
    let maybe = |index| row.try_get::<Option<i64>, _>(index).map(|at| at.map(Timestamp::from_micros));
    Ok(QuoteRow {
        quote: row.try_get::<String, _>(0)?.parse().map_err(|error: BadId| sqlx::Error::Decode(error.into()))?,
        museum: MuseumId(row.try_get(1)?),
        drafted_at: at(2)?,
        who: row.try_get(3)?,
        kind: row.try_get(4)?,
        account: row.try_get(5)?,
        fiscal_code: row.try_get(6)?,
        vat: row.try_get(7)?,
        ipa: row.try_get(8)?,
        contact: row.try_get(9)?,
        revision: row.try_get(10)?,
        day: row.try_get(11)?,
        starts_at: at(12)?,
        parts: row.try_get(13)?,
        people: row.try_get(14)?,
        total_cents: row.try_get(15)?,
        state: row.try_get(16)?,
        changed_at: at(17)?,
        sign_by: maybe(18)?,
        pay_by: maybe(19)?,
        desk_by: maybe(20)?,
        settle: row.try_get(21)?,
        confirmed: row.try_get(22)?,
        payment: row.try_get(23)?,
        paid_at: maybe(24)?,
        reason: row.try_get(25)?,
        reminded_at: maybe(26)?,
        deadline: row.try_get(27)?,
        due_at: maybe(28)?,
        payment_state: row.try_get(29)?,
    })
}

/// What some batches change in these lists, in order: it is clerks' work, and little.
#[derive(Debug, Default)]
pub(super) struct Rows(Vec<Change>);

/// One statement, and what stands for its parameters: an array, each with its place.
#[derive(Debug)]
struct Change {
    query: &'static str,
    of: Value,
}

impl Rows {
    pub(super) fn quote(&mut self, quote: QuoteId, record: &Record<Event>) {
        let (id, at) = (quote.to_string(), record.at.as_micros());
        for event in &record.events {
            match event {
                Event::Drafted(drafted) => {
                    let (about, [fiscal_code, vat, ipa]) = (&drafted.about, codes(&drafted.about.institution));
                    let who = record.envelope.as_ref().map(|envelope| envelope.who.to_string()).unwrap_or_default();
                    let account = about.account.map(|account| account.to_string()).unwrap_or_default();
                    let contact = about.contact.map(|contact| contact.to_string()).unwrap_or_default();
                    let of = json!([id, about.museum.0, at, who, kind(about.kind), account, fiscal_code, vat, ipa, contact]);
                    self.change(DRAFTED, of);
                    self.change(OFFERED, content(&id, &drafted.offer));
                }
                Event::Revised(revised) => self.change(OFFERED, content(&id, &revised.offer)),
                Event::OptionsAsked(asked) => {
                    let Conditions { sign_by, pay_by, desk_by, .. } = asked.conditions;
                    let mut of = content(&id, &asked.offer);
                    if let Value::Array(of) = &mut of {
                        of.extend([json!(asked.attempt), json!(asked.revision), json!(sign_by.as_micros()), json!(pay_by.as_micros())]);
                        of.push(json!(desk_by.map(Timestamp::as_micros)));
                    }
                    self.change(ASKED, of);
                }
                Event::Optioned(optioned) => {
                    self.change(OPTIONED, json!([id, optioned.attempt, at]));
                    self.turn(&id, "sent", "", at);
                }
                Event::Accepted(accepted) => {
                    self.change(ACCEPTED, json!([id, accepted.revision, settle(accepted.settle), u8::from(accepted.confirmed), at]));
                    self.turn(&id, "accepted", "", at);
                }
                Event::Confirmed(_) => self.change(CONFIRMED, json!([id])),
                Event::SettlementRefused(refused) => self.turn(&id, "sent", refused.why.as_str(), at),
                Event::PaymentAttached(attached) => self.change(ATTACHED, json!([id, attached.payment.to_string()])),
                Event::PaymentDetached(_) => self.change(DETACHED, json!([id, at])),
                Event::Reopened(_) => self.turn(&id, "sent", "", at),
                Event::Paid(paid) => {
                    self.change(PAID, json!([id, paid.payment.as_ref().map(PaymentId::to_string), at]));
                    self.turn(&id, "paid", "", at);
                }
                Event::Ticketed(ticketed) => {
                    self.change(TICKETED, json!([id, ticketed.sales]));
                    self.turn(&id, "ticketed", "", at);
                }
                Event::Lapsed(lapsed) => self.turn(&id, "lapsed", deadline(lapsed.deadline), at),
                Event::Refused(_) => self.turn(&id, "refused", "", at),
                Event::Cancelled(cancelled) => self.turn(&id, "cancelled", cause(cancelled.cause), at),
                Event::Reminded(_) => self.change(REMINDED, json!([id, at])),
                Event::CalledOff(called) => self.turn(&id, "cancelled", cause(called.cause), at),
                Event::OptionsRefused(_) | Event::OptionsReleased(_) | Event::Unwound(_) => {}
            }
        }
    }

    pub(super) fn account(&mut self, account: AccountId, record: &Record<account::Event>) {
        use account::Event;
        let (id, at) = (account.to_string(), record.at.as_micros());
        for event in &record.events {
            match event {
                Event::Opened(opened) => {
                    let [fiscal_code, vat, ipa] = codes(&opened.institution);
                    self.change(OPENED, json!([id, opened.code, at, fiscal_code, vat, ipa]));
                }
                Event::InstitutionSet(set) => {
                    let [fiscal_code, vat, ipa] = codes(&set.institution);
                    self.change(INSTITUTION, json!([id, at, fiscal_code, vat, ipa]));
                }
                Event::AgreementsSet(set) => {
                    self.change(AGREEMENTS, json!([id, at, set.agreements.len()]));
                    self.change(NOT_AGREED, json!([id]));
                    let museums: Vec<_> = set.agreements.iter().map(|agreement| agreement.museum.map(|museum| museum.0)).collect();
                    self.change(AGREED, json!([id, museums]));
                }
                Event::LimitSet(set) => self.change(LIMIT, json!([id, at, set.limit_cents.map(|cents| cents.get())])),
                Event::Suspended(_) => self.change(SUSPENDED, json!([id, at, 1])),
                Event::Resumed(_) => self.change(SUSPENDED, json!([id, at, 0])),
                Event::Charged(charged) => self.charge(&id, at, charged.of, charged.amount_cents.get()),
                Event::TakenBack(taken) => self.charge(&id, at, taken.of, -taken.amount_cents.get()),
                Event::Settled(settled) => self.change(SETTLED, json!([id, at, settled.amount_cents.get()])),
                Event::Delivered(_) => {}
            }
        }
    }

    fn charge(&mut self, account: &str, at: i64, of: ChargeOf, cents: i64) {
        self.change(CHARGED, json!([account, at, cents]));
        match of {
            ChargeOf::Sale { sale } => self.change(CHARGED_AT, json!([account, sale.slot().museum().0, cents])),
            ChargeOf::Quote { quote, .. } => self.change(CHARGED_FOR, json!([account, quote.to_string(), cents])),
        }
    }

    fn change(&mut self, query: &'static str, of: Value) {
        self.0.push(Change { query, of });
    }

    fn turn(&mut self, quote: &str, state: &str, reason: &str, at: i64) {
        self.change(TURNED, json!([quote, state, reason, at]));
    }

    /// Everything, in a transaction of the caller's.
    pub(super) async fn write(&self, tx: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        for change in &self.0 {
            sqlx::query(change.query).bind(written(&change.of)).execute(&mut *tx).await?;
        }
        Ok(())
    }
}

// Each takes one array, `?1`.
const DRAFTED: &str = "INSERT INTO quote SELECT ?1 ->> 0, ?1 ->> 1, ?1 ->> 2, ?1 ->> 3, ?1 ->> 4, ?1 ->> 5, ?1 ->> 6, ?1 ->> 7, ?1 ->> 8, ?1 ->> 9,
    1, '', 0, 0, 0, 0, 'draft', ?1 ->> 2, NULL, NULL, NULL, 0, '', 0, '', NULL, '', NULL, NULL, NULL";
const OFFERED: &str =
    "UPDATE quote SET day = ?1 ->> 1, starts = ?1 ->> 2, parts = ?1 ->> 3, people = ?1 ->> 4, total_cents = ?1 ->> 5 WHERE quote = ?1 ->> 0";
const ASKED: &str =
    "INSERT OR REPLACE INTO quote_attempt SELECT ?1 ->> 0, ?1 ->> 6, ?1 ->> 7, ?1 ->> 1, ?1 ->> 2, ?1 ->> 3, ?1 ->> 4, ?1 ->> 5, ?1 ->> 8,
    ?1 ->> 9, ?1 ->> 10";
const OPTIONED: &str =
    "UPDATE quote SET revision = asked.revision, day = asked.day, starts = asked.starts, parts = asked.parts, people = asked.people,
    total_cents = asked.total_cents, sign_by = asked.sign_by, pay_by = asked.pay_by, desk_by = asked.desk_by, confirmed = 0,
    sent_at = ?1 ->> 2, accepted_at = NULL
    FROM quote_attempt AS asked WHERE quote.quote = ?1 ->> 0 AND asked.quote = ?1 ->> 0 AND asked.attempt = ?1 ->> 1";
const TURNED: &str = "UPDATE quote SET state = ?1 ->> 1, reason = ?1 ->> 2, changed_at = ?1 ->> 3 WHERE quote = ?1 ->> 0";
const ACCEPTED: &str = "UPDATE quote SET accepted = ?1 ->> 1, settle = ?1 ->> 2, confirmed = ?1 ->> 3, accepted_at = ?1 ->> 4 WHERE quote = ?1 ->> 0";
const CONFIRMED: &str = "UPDATE quote SET confirmed = 1 WHERE quote = ?1 ->> 0";
const ATTACHED: &str = "UPDATE quote SET payment = ?1 ->> 1 WHERE quote = ?1 ->> 0";
const DETACHED: &str = "UPDATE quote SET state = 'sent', changed_at = ?1 ->> 1 WHERE quote = ?1 ->> 0 AND state = 'accepted'";
const PAID: &str = "UPDATE quote SET payment = coalesce(?1 ->> 1, payment), paid_at = ?1 ->> 2 WHERE quote = ?1 ->> 0";
const TICKETED: &str = "UPDATE sale SET quote = ?1 ->> 0 WHERE sale IN (SELECT value FROM json_each(?1 ->> 1))";
const REMINDED: &str = "UPDATE quote SET reminded_at = ?1 ->> 1 WHERE quote = ?1 ->> 0";
const OPENED: &str = "INSERT INTO account SELECT ?1 ->> 0, ?1 ->> 1, ?1 ->> 2, ?1 ->> 3, ?1 ->> 4, ?1 ->> 5, 0, NULL, 0, 0, 0, ?1 ->> 2";
const INSTITUTION: &str = "UPDATE account SET changed_at = ?1 ->> 1, fiscal_code = ?1 ->> 2, vat = ?1 ->> 3, ipa = ?1 ->> 4 WHERE id = ?1 ->> 0";
const AGREEMENTS: &str = "UPDATE account SET changed_at = ?1 ->> 1, agreements = ?1 ->> 2 WHERE id = ?1 ->> 0";
const LIMIT: &str = "UPDATE account SET changed_at = ?1 ->> 1, limit_cents = ?1 ->> 2 WHERE id = ?1 ->> 0";
const SUSPENDED: &str = "UPDATE account SET changed_at = ?1 ->> 1, suspended = ?1 ->> 2 WHERE id = ?1 ->> 0";
const CHARGED: &str = "UPDATE account SET changed_at = ?1 ->> 1, charged_cents = charged_cents + (?1 ->> 2) WHERE id = ?1 ->> 0";
const CHARGED_AT: &str = "INSERT INTO account_museum SELECT ?1 ->> 0, ?1 ->> 1, ?1 ->> 2 WHERE true
    ON CONFLICT DO UPDATE SET charged_cents = charged_cents + excluded.charged_cents";
const CHARGED_FOR: &str = "INSERT INTO account_museum SELECT ?1 ->> 0, quote.museum, ?1 ->> 2 FROM quote WHERE quote.quote = ?1 ->> 1
    ON CONFLICT DO UPDATE SET charged_cents = charged_cents + excluded.charged_cents";
const NOT_AGREED: &str = "DELETE FROM account_agreement WHERE id = ?1 ->> 0";
const AGREED: &str = "INSERT INTO account_agreement SELECT ?1 ->> 0, value FROM json_each(?1, '$[1]')";
const SETTLED: &str = "UPDATE account SET changed_at = ?1 ->> 1, paid_cents = paid_cents + (?1 ->> 2) WHERE id = ?1 ->> 0";

/// The codes of an institution; those that are not known are empty.
fn codes(institution: &Institution) -> [String; 3] {
    let Institution { fiscal_code, vat, ipa } = institution;
    [fiscal_code.map(|code| code.to_string()), vat.map(|code| code.to_string()), ipa.map(|code| code.to_string())].map(Option::unwrap_or_default)
}

/// The quote, and what of its content is listed.
fn content(quote: &str, offer: &Offer) -> Value {
    let day = offer.day().map(|day| day.to_string()).unwrap_or_default();
    let starts = offer.starts_at().map_or(0, Timestamp::as_micros);
    json!([quote, day, starts, offer.parts.len(), offer.people(), offer.total_cents.get()])
}

/// The name of a kind of group in lists and in the API.
#[must_use]
pub const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::School => "school",
        Kind::TourOperator => "tour_operator",
        Kind::Company => "company",
        Kind::Association => "association",
        Kind::Other => "other",
    }
}

/// The name of a way to settle in lists and in the API.
#[must_use]
pub const fn settle(settle: Settle) -> &'static str {
    match settle {
        Settle::Notice => "notice",
        Settle::Checkout => "checkout",
        Settle::Desk => "desk",
        Settle::OnAccount => "on_account",
    }
}

/// The name of a deadline in lists and in the API.
#[must_use]
pub const fn deadline(deadline: Deadline) -> &'static str {
    match deadline {
        Deadline::Signature => "signature",
        Deadline::Payment => "payment",
        Deadline::Sending => "sending",
    }
}

/// The name of why a quote was taken back, in lists and in the API.
#[must_use]
pub const fn cause(cause: CancelCause) -> &'static str {
    match cause {
        CancelCause::Group => "group",
        CancelCause::Museum => "museum",
        CancelCause::NoPlaces => "no_places",
    }
}
