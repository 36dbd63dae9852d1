//! The lists of the fraud analysts: what was assessed, who took part in what, the cases with their labels, and the attempts that came to nothing. What wants a case and
//! has none is found here too, so that a crash in between loses none.
//!
//! Here are the tables, and what the journal's records change in them. Beside that, in `fraud/`: `cases.rs` lists cases, `chance.rs` says what chance picks, `signs.rs` what banks
//! and gates say, `elsewhere.rs` of which sales a gate refused a ticket that had come in by another gate, `links.rs` who took part in what else, `strongest.rs` what
//! of that was most suspicious on a day, and `known.rs` what is known of sales by now.

mod cases;
mod chance;
mod elsewhere;
mod known;
mod links;
mod signs;
mod strongest;

pub use cases::{APPEAL_PLACE, After, CaseFilter, CaseRow};
pub use chance::{ByHour, Drawn, PICKED_ONE_IN, is_picked, stays_picked};
pub use links::Link;
pub use signs::RefusedRow;
pub use strongest::Strongest;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tornello_engine::attempts::{self, Attempt, Ending, Refused};
use tornello_engine::case::{self, Label, LabelSource, Subject};
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Assessment, Digest, Envelope, Outcome, Party, PartyKind};
use tornello_engine::ids::{BadId, CaseId, Code, HoldId, KeyId, MuseumId, PaymentId, TicketId, TillId};
use tornello_engine::money::Cents;
use tornello_engine::payment;
use tornello_engine::record::Record;
use tornello_engine::slot::{self, CancelCause, ConflictReason, Line};
use tornello_engine::till;
use tornello_engine::time::Timestamp;

use self::cases::write_case;
use self::elsewhere::{Entered, write_met};
use self::signs::{BY_BANK, CLEARED, CONFLICTS, MET, NOT_MET, Word, sign};
use super::rows::{self, Text};
use super::{Views, ViewsError};
use crate::fraud::{SignalEvent, SignalKind, Taking, hearing};
use crate::hex::{self, Hex};
use crate::journal::{Journal, JournalError};

/// What was waited for, or kept, for longer before it was bought, in microseconds, counts when it was bought.
const LATE_US: i64 = 3_600_000_000;
/// So severe is what somebody is to look at: what queries take beside their rows.
const REVIEW: Option<i64> = Some(Outcome::Review as i64);

/// The tables.
///
/// - Times are microseconds: of what was assessed the time at which it was asked for, or at which it was bought, where that was later by more than [`LATE_US`].
/// - `wants` is set for what wants a case, until it has one. `pickable` is what chance may pick at all: sales and returns, not holds that were never sold, nor counts of cash. A
///   refused attempt `wants` a case if chance picks it. A case stands in the queue by its `urgency`. How long its verdict took (`took_us`), and whether it was `in_time`, is of
///   the look that was asked for last: an appeal is due anew.
/// - Signs and labels are kept by the rank of whoever says so: of one rank the last word counts. A sign is `told` while the label of its rank in the case of its sale says
///   the same; one that was taken back (`withdrawn`), while there is no such label.
/// - The column `holder` is who would be read of because of a hold. The table `holder` has, for each of these and each day, the first suspected hold that ended without being
///   bought. `met` has the sales of which a gate refused a ticket that had come in elsewhere, as many of a day as are read.
pub(super) const SCHEMA: &str = "
    DROP TABLE IF EXISTS assessed; DROP TABLE IF EXISTS party; DROP TABLE IF EXISTS fraud_case; DROP TABLE IF EXISTS fraud_label;
    DROP TABLE IF EXISTS fraud_sign; DROP TABLE IF EXISTS attempt; DROP TABLE IF EXISTS refused; DROP TABLE IF EXISTS gate_sign;
    DROP TABLE IF EXISTS holder; DROP TABLE IF EXISTS met;
    CREATE TABLE assessed (
        subject TEXT PRIMARY KEY, at INTEGER NOT NULL, museum INTEGER NOT NULL, channel TEXT NOT NULL, score INTEGER NOT NULL, severity INTEGER NOT NULL,
        data TEXT NOT NULL, amount_cents INTEGER NOT NULL, review_until INTEGER, wants TEXT NOT NULL, pickable INTEGER NOT NULL,
        people INTEGER NOT NULL, holder TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX assessed_wanting ON assessed (subject) WHERE wants IN ('review', 'hold', 'met');
    CREATE INDEX assessed_picked ON assessed (at) WHERE wants = 'picked';
    CREATE INDEX assessed_by_time ON assessed (at);
    CREATE TABLE holder (holder TEXT NOT NULL, day INTEGER NOT NULL, subject TEXT NOT NULL, PRIMARY KEY (holder, day)) STRICT, WITHOUT ROWID;
    CREATE TABLE met (day INTEGER NOT NULL, sale TEXT NOT NULL, PRIMARY KEY (day, sale)) STRICT, WITHOUT ROWID;
    CREATE TABLE party (
        subject TEXT NOT NULL, kind TEXT NOT NULL, pseudonym TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (subject, kind, pseudonym)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX party_by_time ON party (kind, pseudonym, at DESC, subject);
    CREATE TABLE fraud_case (
        fraud_case TEXT PRIMARY KEY, subject TEXT NOT NULL, origin TEXT NOT NULL, museum INTEGER NOT NULL, channel TEXT NOT NULL, amount_cents INTEGER NOT NULL,
        score INTEGER, probability_ppm INTEGER, model TEXT NOT NULL, loss INTEGER NOT NULL, urgency INTEGER NOT NULL,
        opened_at INTEGER NOT NULL, due_at INTEGER NOT NULL, lapses_at INTEGER NOT NULL,
        state TEXT NOT NULL, assignee TEXT NOT NULL, verdict TEXT NOT NULL, reason TEXT NOT NULL, decided_by TEXT NOT NULL, decided_at INTEGER,
        appealed_at INTEGER, blocked INTEGER NOT NULL, took_us INTEGER, in_time INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX fraud_case_by_state ON fraud_case (state, urgency, fraud_case);
    CREATE INDEX fraud_case_by_origin ON fraud_case (origin, opened_at);
    CREATE INDEX fraud_case_by_subject ON fraud_case (subject);
    CREATE TABLE fraud_label (
        fraud_case TEXT NOT NULL, label TEXT NOT NULL, source TEXT NOT NULL, rank INTEGER NOT NULL, at INTEGER NOT NULL, trains_at INTEGER NOT NULL,
        PRIMARY KEY (fraud_case, rank)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX fraud_label_by_gate ON fraud_label (at) WHERE rank = 2;
    CREATE TABLE fraud_sign (
        subject TEXT NOT NULL, rank INTEGER NOT NULL, label TEXT NOT NULL, source TEXT NOT NULL, at INTEGER NOT NULL, told INTEGER NOT NULL,
        PRIMARY KEY (subject, rank)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX fraud_sign_untold ON fraud_sign (at) WHERE told = 0;
    CREATE TABLE attempt (
        attempt TEXT PRIMARY KEY, at INTEGER NOT NULL, museum INTEGER NOT NULL, channel TEXT NOT NULL, ending TEXT NOT NULL, amount_cents INTEGER NOT NULL,
        people INTEGER NOT NULL, wants TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX attempt_picked ON attempt (at) WHERE wants = 'picked';
    CREATE INDEX attempt_blocked ON attempt (at) WHERE ending = 'blocked';
    CREATE TABLE refused (
        sale TEXT NOT NULL, at INTEGER NOT NULL, ticket TEXT NOT NULL, reason TEXT NOT NULL, times INTEGER NOT NULL, gate TEXT NOT NULL,
        PRIMARY KEY (sale, at, ticket, reason, times)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE gate_sign (
        sale TEXT NOT NULL, ticket TEXT NOT NULL, gate TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (sale, ticket, gate, at)
    ) STRICT, WITHOUT ROWID;";

/// What wants a case, or whose case is to be told something.
#[derive(Debug, Clone)]
pub struct Wanting {
    /// What.
    pub subject: Subject,
    /// At which museum.
    pub museum: MuseumId,
    /// What the scorer said, if it was asked.
    pub assessment: Option<Assessment>,
    /// Through which channel it was sold, or counted.
    pub channel: String,
    /// What is at stake: what it cost, what is paid back, or what the drawer is off by.
    pub amount_cents: i64,
    /// When its tickets are valid by themselves, if it is under review.
    pub review_until: Option<Timestamp>,
    /// Whether a gate met one of its tickets that had come in elsewhere, and nothing else wants a case.
    pub is_met: bool,
}

impl Views {
    /// What is to be reviewed and has no case, at most `limit`.
    pub async fn wanting_cases(&self, limit: u32) -> Result<Vec<Wanting>, ViewsError> {
        const QUERY: &str =
            "SELECT subject, data, channel, amount_cents, review_until, museum, wants FROM assessed WHERE wants IN ('review', 'hold', 'met') LIMIT ?";
        let query = sqlx::query(QUERY).bind(i64::from(limit));
        self.found(query, wanting_row).await
    }

    /// What was assessed, for a case about it; none if it was not.
    pub async fn assessed_for_case(&self, subject: Subject) -> Result<Option<Wanting>, ViewsError> {
        const QUERY: &str = "SELECT subject, data, channel, amount_cents, review_until, museum, wants FROM assessed WHERE subject = ?";
        let row = sqlx::query(QUERY).bind(subject.to_string()).fetch_optional(&self.pool()).await.map_err(|error| self.noted(error))?;
        row.as_ref().map(wanting_row).transpose().map_err(|error| self.noted(error))
    }

    /// What is known of one sale for a case about it; none if the lists do not have the sale.
    pub async fn sale_for_case(&self, sale: HoldId) -> Result<Option<Wanting>, ViewsError> {
        const QUERY: &str = "SELECT sale, coalesce((SELECT data FROM assessed WHERE subject = sale), ''), channel, total_cents, NULL, museum, '' FROM sale WHERE sale = ?";
        let row = sqlx::query(QUERY).bind(sale.to_string()).fetch_optional(&self.pool()).await.map_err(|error| self.noted(error))?;
        row.as_ref().map(wanting_row).transpose().map_err(|error| self.noted(error))
    }

    /// The scores of what was assessed between two instants, as counts in ten equal bands, by channel: what drift is measured on.
    pub async fn score_bands(&self, from: Timestamp, to: Timestamp) -> Result<BTreeMap<String, [u64; 10]>, ViewsError> {
        const QUERY: &str = "SELECT channel, min(score / 10, 9), count(*) FROM assessed WHERE at >= ? AND at < ? GROUP BY 1, 2";
        let rows = sqlx::query(QUERY).bind(from.as_micros()).bind(to.as_micros()).fetch_all(&self.pool()).await.map_err(|error| self.noted(error))?;
        let mut bands: BTreeMap<String, [u64; 10]> = BTreeMap::new();
        for row in &rows {
            let (channel, band, count): (String, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            if let Some(place) = usize::try_from(band).ok().and_then(|band| bands.entry(channel).or_default().get_mut(band)) {
                *place = count.unsigned_abs();
            }
        }
        Ok(bands)
    }

    /// How many attempts were blocked since an instant, by museum and channel.
    pub async fn blocked_attempts(&self, from: Timestamp) -> Result<Vec<(MuseumId, String, u32)>, ViewsError> {
        const QUERY: &str = "SELECT museum, channel, count(*) FROM attempt WHERE ending = 'blocked' AND at >= ? GROUP BY 1, 2";
        let rows = sqlx::query(QUERY).bind(from.as_micros()).fetch_all(&self.pool()).await.map_err(|error| self.noted(error))?;
        rows.iter().map(|row| Ok((MuseumId(row.try_get(0)?), row.try_get(1)?, row.try_get(2)?))).collect()
    }
}

fn bad(error: BadId) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

/// What was said, as a list has it: the journal's form, as digits. It is a third as long as JSON, and most of it is never read.
fn said(assessment: &Assessment) -> String {
    Hex(postcard::to_allocvec(assessment).unwrap_or_default()).to_string()
}

/// None where nothing was said.
fn read_said(digits: &str) -> Option<Assessment> {
    postcard::from_bytes(&hex::bytes(digits)?).ok()
}

fn wanting_row(row: &SqliteRow) -> Result<Wanting, sqlx::Error> {
    let subject: Subject = row.try_get::<String, _>(0)?.parse().map_err(bad)?;
    let wants: String = row.try_get(6)?;
    Ok(Wanting {
        // A hold that was not bought has the id that its sale would have had.
        subject: match subject {
            Subject::Sale(hold) if wants == "hold" => Subject::Hold(hold),
            other => other,
        },
        museum: MuseumId(row.try_get(5)?),
        assessment: read_said(&row.try_get::<String, _>(1)?),
        channel: row.try_get(2)?,
        amount_cents: row.try_get(3)?,
        review_until: row.try_get::<Option<i64>, _>(4)?.map(Timestamp::from_micros),
        is_met: wants == "met",
    })
}

/// What some batches change in these lists.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// By hold, in whose order they are written: neighbours share a page.
    assessed: BTreeMap<HoldId, Assessed>,
    /// Options of quotes that have grown, and of which something was said anew: what they cost then, and for how many people they are.
    grown: BTreeMap<HoldId, (i64, u32)>,
    /// When in each subject each party (kind, pseudonym) took part, about in the order in which they are kept. What was held has the subject of its sale.
    parties: BTreeMap<(Subject, &'static str, Digest), i64>,
    /// Sales whose holds were assessed before these batches, or not at all, what they cost, and when they were made.
    sold: Vec<Value>,
    /// Holds that ended without being bought, in the order in which they did.
    unsold: Vec<Value>,
    /// What was said of payments for holds that were assessed before these batches.
    raised: Vec<Value>,
    reviews: Vec<Value>,
    /// Sales whose tickets have come from other slots, and when.
    arrivals: Vec<Value>,
    /// What was given back or taken back, and was assessed.
    returns: Vec<Value>,
    /// Counts of cash that were assessed.
    counts: Vec<Value>,
    /// What banks say of payments whose sales are not found yet.
    words: Vec<Word>,
    /// (sale, rank, label, source, time): what banks say of sales.
    by_bank: Vec<Value>,
    /// What gates met, by ticket, gate and time: a sign against the sale that is known since then; none: it is none after all.
    met: BTreeMap<(TicketId, Code, i64), Option<i64>>,
    attempts: Vec<Value>,
    refused: Vec<Value>,
    /// Where tickets came in last, and what gates refused of them.
    entered: Entered,
    cases: Vec<(CaseId, Timestamp, case::Event)>,
}

/// What was said of a hold, and of the sale that it became.
#[derive(Debug)]
struct Assessed {
    at: i64,
    museum: MuseumId,
    channel: &'static str,
    score: u8,
    severity: u8,
    data: String,
    cents: i64,
    people: u32,
    /// Of whom would be read because of it, as text; empty: of nobody.
    holder: String,
    /// Whether the hold was taken in these batches, so that nothing was said of it before.
    new: bool,
    /// If it was sold: whether chance picks it.
    sold: Option<bool>,
}

impl Assessed {
    fn row(&self, subject: HoldId) -> impl Serialize {
        // An option of a quote keeps places for weeks: whether it should is looked at now, not when it is sold, if ever.
        let is_option = self.channel == Channel::Group.name();
        let wants = match self.sold {
            Some(_) if self.severity == Outcome::Review as u8 => "review",
            None if is_option && self.severity == Outcome::Review as u8 => "review",
            Some(true) if self.severity < Outcome::Review as u8 => "picked",
            _ => "",
        };
        let pickable = u8::from(self.sold.is_some());
        let (people, holder) = (self.people, &self.holder);
        (subject, self.at, self.museum, self.channel, self.score, self.severity, &self.data, self.cents, wants, pickable, people, holder)
    }
}

/// As the lists write it.
struct Pseudonym(Digest);

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Digest(bits) = self.0;
        write!(f, "{bits:032x}")
    }
}

/// Of whom would be read because of a hold: the one who acts, as text; empty if there is nobody.
fn holder(envelope: &Envelope, channel: Channel, museum: MuseumId) -> String {
    let outlet = hearing::outlet(channel);
    let mut signal = SignalEvent::new(0, SignalKind::Held, outlet, museum.0);
    signal.parties = hearing::parties(envelope, outlet);
    signal.acting().map(|Taking { role, id }| format!("{}:{id:032x}", role as u8)).unwrap_or_default()
}

/// Whether a review has a case without wanting one. What arrives under review has that of the sale that it was of; or the move was suspected, and has one for that. Beside what is
/// sold the system reviews for a case alone, as a verdict is undone: there is one, about this sale or about one whose tickets have moved here.
fn has_case(record: &Record<slot::Event>, sale: HoldId) -> bool {
    let is_by_system = record.envelope.as_ref().is_some_and(|envelope| envelope.who == KeyId::SYSTEM);
    let arrives = |event: &slot::Event| matches!(event, slot::Event::Arrived(arrived) if arrived.sale == sale);
    let is_sold = |event: &slot::Event| matches!(event, slot::Event::Sold(sold) if sold.sale == sale);
    record.events.iter().any(arrives) || (is_by_system && !record.events.iter().any(is_sold))
}

impl Rows {
    /// What a slot's record says of those who took part, beside what it says of the sale.
    pub(super) fn slot(&mut self, record: &Record<slot::Event>) {
        let at = record.at.as_micros();
        for event in &record.events {
            match event {
                slot::Event::Held(held) => self.of_hold(record, held.hold, held.channel, &held.lines, true),
                slot::Event::Waited(waited) => self.of_hold(record, waited.entry, waited.channel, &waited.lines, true),
                slot::Event::Amended(amended) => self.grown(record, amended),
                slot::Event::Sold(sold) => {
                    self.of_hold(record, sold.sale, sold.channel, &sold.lines, false);
                    self.sold(sold.sale, slot::total(&sold.lines), at);
                }
                slot::Event::Released(slot::Released { hold, .. }) | slot::Event::Expired(slot::Expired { hold, .. }) => {
                    self.unsold.push(json!(hold.to_string()));
                }
                // What is said of a move is said of what arrives; whose it is, is known from where it was bought.
                slot::Event::MoveBegun(begun) => self.of_hold(record, begun.arrival, begun.via, &begun.lines, true),
                slot::Event::Arrived(arrived) => {
                    self.sold(arrived.sale, slot::total(&arrived.lines), at);
                    self.arrivals.push(json!([arrived.sale.to_string(), at]));
                }
                slot::Event::ReviewOpened(opened) => {
                    let has_case = u8::from(has_case(record, opened.sale));
                    self.reviews.push(json!([opened.sale.to_string(), opened.until.as_micros(), at, has_case]));
                }
                slot::Event::Cancelled(cancelled) => self.returned(record, cancelled),
                slot::Event::Admitted(admitted) => self.entered.admitted(admitted, at),
                slot::Event::AdmissionConflict(conflict) => {
                    self.met((conflict.ticket, conflict.gate, conflict.scanned_at.as_micros()), Some(conflict.reason), at);
                }
                slot::Event::ScansJudged(judged) => {
                    self.entered.judged(judged, at);
                    // Only who comes in can be a conflict: who leaves by the same gate in the same instant takes none back.
                    for found in judged.scans.iter().filter(|found| found.scan.direction == slot::Direction::In) {
                        let slot::Scan { ticket, scanned_at, gate, .. } = found.scan;
                        self.met((ticket, gate, scanned_at.as_micros()), found.judged.conflict(), at);
                    }
                }
                _ => {}
            }
        }
    }

    /// What was held is sold, or has arrived.
    fn sold(&mut self, sale: HoldId, total: Cents, at: i64) {
        let picked = is_picked(Subject::Sale(sale));
        match self.assessed.get_mut(&sale) {
            Some(assessed) if assessed.new => {
                (assessed.cents, assessed.sold) = (total.get(), Some(picked));
                if at.saturating_sub(assessed.at) > LATE_US {
                    assessed.at = at;
                }
            }
            _ => self.sold.push(json!([sale, total.get(), u8::from(picked), at])),
        }
    }

    /// What was said of a hold, or of its sale: of the two, what was said more severely counts.
    fn of_hold(&mut self, record: &Record<slot::Event>, hold: HoldId, channel: Channel, lines: &[Line], new: bool) {
        let Some(envelope) = &record.envelope else { return };
        let at = record.at.as_micros();
        self.of_parties(&envelope.parties, Subject::Sale(hold), at);
        let Some(assessment) = &envelope.assessment else { return };
        let (score, severity, data) = (assessment.score, assessment.outcome as u8, said(assessment));
        match self.assessed.entry(hold) {
            Entry::Vacant(none) => {
                let (museum, holder) = (hold.slot().museum(), holder(envelope, channel, hold.slot().museum()));
                let (channel, cents, people) = (channel.name(), slot::total(lines).get(), slot::people(lines));
                none.insert(Assessed { at, museum, channel, score, severity, data, cents, people, holder, new, sold: None });
            }
            Entry::Occupied(mut said) if severity >= said.get().severity => {
                let said = said.get_mut();
                (said.score, said.severity, said.data) = (score, severity, data);
            }
            Entry::Occupied(_) => {}
        }
    }

    /// Of an option of a quote that keeps more was said something anew: of other holds, and of those that keep less, nothing is.
    fn grown(&mut self, record: &Record<slot::Event>, amended: &slot::Amended) {
        if record.envelope.as_ref().is_none_or(|envelope| envelope.assessment.is_none()) {
            return;
        }
        let slot::Amended { hold, ref lines } = *amended;
        self.of_hold(record, hold, Channel::Group, lines, false);
        let (cents, people) = (slot::total(lines).get(), slot::people(lines));
        if let Some(said) = self.assessed.get_mut(&hold) {
            (said.cents, said.people) = (cents, people);
        }
        self.grown.insert(hold, (cents, people));
    }

    /// Tickets that were given back, or taken back. Whose they were is known from the sale; who took them back at a desk, from the command.
    fn returned(&mut self, record: &Record<slot::Event>, cancelled: &slot::Cancelled) {
        let Some(envelope) = &record.envelope else { return };
        let Some(assessment) = &envelope.assessment else { return };
        let (sale, at) = (cancelled.sale, record.at.as_micros());
        let of = Subject::Return { sale, seq: record.seq };
        let subject = of.to_string();
        self.of_parties(&envelope.parties, of, at);
        let operator = Pseudonym(Digest(u128::from(envelope.who.0))).to_string();
        let (by_museum, picked) = (u8::from(cancelled.cause == CancelCause::Museum), u8::from(is_picked(of)));
        let (score, severity, cents) = (assessment.score, assessment.outcome as u8, cancelled.refund_cents.get());
        self.returns.push(json!([subject, at, sale.to_string(), score, severity, said(assessment), cents, operator, by_museum, picked]));
    }

    /// A count of cash, by whoever counted; who opened the session takes part as well.
    pub(super) fn till(&mut self, till: TillId, record: &Record<till::Event>) {
        let Some(Envelope { who, assessment, .. }) = &record.envelope else { return };
        let at = record.at.as_micros();
        for event in &record.events {
            if matches!(event, till::Event::CashMoved(_)) {
                continue;
            }
            let subject = Subject::Till(till);
            self.parties.entry((subject, PartyKind::Operator.name(), Digest(u128::from(who.0)))).or_insert(at);
            let (till::Event::Closed(closed), Some(assessment)) = (event, assessment) else { continue };
            let (score, severity, cents) = (assessment.score, assessment.outcome as u8, closed.difference_cents.get().saturating_abs());
            self.counts.push(json!([subject.to_string(), at, till.to_string(), Channel::BoxOffice.name(), score, severity, said(assessment), cents]));
        }
    }

    fn of_parties(&mut self, parties: &[Party], subject: Subject, at: i64) {
        for party in parties {
            self.parties.entry((subject, party.kind.name(), party.pseudonym)).or_insert(at);
        }
    }

    /// What was said of a payment counts for its holds, whether it comes to a sale or not.
    fn of_payment(&mut self, opened: &payment::Opened, envelope: &Envelope) {
        let Some(assessment) = &envelope.assessment else { return };
        let (score, severity, data) = (assessment.score, assessment.outcome as u8, said(assessment));
        for hold in opened.items.iter().map(|item| item.hold) {
            match self.assessed.get_mut(&hold) {
                Some(said) if severity > said.severity => (said.score, said.severity, said.data) = (score, severity, data.clone()),
                Some(_) => {}
                None => self.raised.push(json!([hold, score, severity, data])),
            }
        }
    }

    pub(super) fn payment(&mut self, payment: PaymentId, record: &Record<payment::Event>) {
        for event in &record.events {
            // Whoever is named with a payment, the card first of all, takes part in all that it pays for.
            if let (payment::Event::Opened(opened), Some(envelope)) = (event, &record.envelope) {
                opened.items.iter().for_each(|item| self.of_parties(&envelope.parties, Subject::Sale(item.hold), record.at.as_micros()));
                self.of_payment(opened, envelope);
            }
        }
        if let Some(word) = Word::of(payment, record) {
            // Only the bank's last word is written, whatever the order in which rows of one statement are.
            self.words.retain(|other| other.payment() != payment);
            self.words.push(word);
        }
    }

    /// Finds the sales of the payments of which banks say something, where they are written: in these payments.
    ///
    /// # Errors
    /// Those of the journal.
    pub(super) async fn find_sales(&mut self, journal: &dyn Journal) -> Result<(), JournalError> {
        for word in std::mem::take(&mut self.words) {
            self.by_bank.extend(word.of_sales(journal).await?);
        }
        Ok(())
    }

    pub(super) fn attempts(&mut self, record: &Record<attempts::Event>) {
        for event in &record.events {
            match event {
                attempts::Event::Noted(attempt) => {
                    let Attempt { id, at, channel, museum, people, amount_cents, ref parties, ending, .. } = *attempt;
                    let wants = if ending == Ending::Blocked && is_picked(Subject::Attempt(id)) { "picked" } else { "" };
                    let ending = serde_json::to_value(ending).unwrap_or_default();
                    self.attempts.push(json!([id.to_string(), at.as_micros(), museum.0, channel.name(), ending, amount_cents.get(), people, wants]));
                    self.of_parties(parties, Subject::Attempt(id), at.as_micros());
                }
                attempts::Event::Refused(refused) => {
                    let Refused { ticket, reason, gate, at, times, .. } = *refused;
                    if reason == ConflictReason::TicketInside {
                        self.entered.refused(ticket, gate, at.as_micros());
                    }
                    self.refused.push(json!([ticket.sale().to_string(), at.as_micros(), ticket.to_string(), reason.code(), times, gate.as_str()]));
                    if refused.is_sign() {
                        self.met((ticket, gate, at.as_micros()), Some(reason), record.at.as_micros());
                    }
                }
                attempts::Event::Counted(_) => {}
            }
        }
    }

    /// A gate met a ticket that is not good there. Only one that was used before is a sign against its sale: that one is blocked says only what whoever blocked it
    /// thought, and a verdict would be learned as if a gate had found the same.
    fn met(&mut self, what: (TicketId, Code, i64), reason: Option<ConflictReason>, at: i64) {
        match reason {
            Some(ConflictReason::TicketInside | ConflictReason::TicketUsed) => {
                self.met.entry(what).or_default().get_or_insert(at);
            }
            // What was taken for a second visitor turned out to be none, when another gate sent in what it had seen.
            _ => {
                self.met.insert(what, None);
            }
        }
    }

    pub(super) fn case(&mut self, case: CaseId, record: &Record<case::Event>) {
        self.cases.extend(record.events.iter().map(|event| (case, record.at, event.clone())));
    }

    /// The sales of which a gate refused a ticket that had come in by another one not long before, with when it did, in that order. To be asked before tickets are written.
    pub(super) async fn elsewhere(&self, tx: &mut SqliteConnection) -> Result<Vec<(String, i64)>, sqlx::Error> {
        self.entered.elsewhere(tx).await
    }

    /// Writes it all; `elsewhere` as [`Self::elsewhere`] had it before tickets were written.
    pub(super) async fn write(&self, tx: &mut SqliteConnection, elsewhere: &[(String, i64)]) -> Result<(), sqlx::Error> {
        const ATTEMPTS: &str = "INSERT OR IGNORE INTO attempt
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7 FROM jsonb_each(?)";
        const REFUSED: &str = "INSERT OR IGNORE INTO refused
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM jsonb_each(?)";
        self.write_assessed(tx).await?;
        self.write_returned(tx).await?;
        self.write_signs(tx).await?;
        rows::write(ATTEMPTS, None, rows::arrays(&self.attempts)?, tx).await?;
        rows::write(REFUSED, None, rows::arrays(&self.refused)?, tx).await?;
        for (sale, at) in elsewhere {
            write_met(tx, sale, *at).await?;
        }
        // One after the other: a later one builds on what an earlier one has left. They are an analyst's work, and few.
        for (case, at, event) in &self.cases {
            write_case(tx, &case.to_string(), *at, event).await?;
        }
        Ok(())
    }

    /// Holds and sales, and who takes part in anything.
    async fn write_assessed(&self, tx: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        // Of a hold and its sale, what was said more severely counts.
        const RAISED: &str = "UPDATE assessed SET score = said.score, severity = said.severity, data = said.data
            FROM (SELECT value ->> 0 AS of, value ->> 1 AS score, value ->> 2 AS severity, value ->> 3 AS data FROM jsonb_each(?) ORDER BY key) AS said
            WHERE assessed.subject = said.of AND said.severity > assessed.severity";
        const ASSESSED: &str = "INSERT INTO assessed
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, NULL, value ->> 8, value ->> 9,
                value ->> 10, value ->> 11
            FROM jsonb_each(?) WHERE true
            ON CONFLICT (subject) DO UPDATE SET score = excluded.score, severity = excluded.severity, data = excluded.data
            WHERE excluded.severity >= assessed.severity";
        const PARTIES: &str = "INSERT OR IGNORE INTO party SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM jsonb_each(?)";
        // Of what somebody waited for, or of an option of a quote, chance would never pick: the hour in which it was asked for is long over when it is bought.
        const LATE: &str = "UPDATE assessed SET at = sale.at FROM (SELECT value ->> 0 AS of, value ->> 3 AS at FROM jsonb_each(?1)) AS sale
            WHERE assessed.subject = sale.of AND sale.at - assessed.at > ?2";
        // Somebody may have looked at it when it was taken: that is the case about it.
        const GROWN: &str = "UPDATE assessed SET people = said.people, amount_cents = CASE WHEN pickable THEN amount_cents ELSE said.cents END,
                wants = CASE WHEN severity = ?2 AND NOT pickable AND NOT EXISTS (SELECT 1 FROM fraud_case WHERE fraud_case.subject = assessed.subject)
                    THEN 'review' ELSE wants END
            FROM (SELECT value ->> 0 AS of, value ->> 1 AS cents, value ->> 2 AS people FROM jsonb_each(?1)) AS said WHERE assessed.subject = said.of";
        // Of an option there may be a case already. One of a hold that had ended is of something else.
        const SOLD: &str = "UPDATE assessed SET amount_cents = sale.cents, pickable = 1,
                wants = CASE WHEN severity = ?2 AND (channel <> 'group' OR NOT EXISTS (SELECT 1 FROM fraud_case WHERE fraud_case.subject = assessed.subject))
                    THEN 'review'
                    WHEN severity < ?2 AND sale.picked THEN 'picked' ELSE '' END
            FROM (SELECT value ->> 0 AS of, value ->> 1 AS cents, value ->> 2 AS picked FROM jsonb_each(?1)) AS sale WHERE assessed.subject = sale.of";
        // Of a suspected hold that was not bought there is a case, one for each who held on a day: whoever it is about is read once a day, whatever else they held on it. An
        // option of a quote had its own when it was taken.
        const HOLDERS: &str = "INSERT OR IGNORE INTO holder SELECT assessed.holder, assessed.at / 86400000000, assessed.subject
            FROM json_each(?1) AS ended JOIN assessed ON assessed.subject = ended.value
            WHERE assessed.severity = ?2 AND NOT assessed.pickable AND assessed.holder <> '' AND assessed.channel <> 'group' ORDER BY ended.key";
        const UNSOLD: &str = "UPDATE assessed SET wants = 'hold' FROM json_each(?) AS ended JOIN holder ON holder.subject = ended.value
            WHERE assessed.subject = ended.value AND holder.holder = assessed.holder AND holder.day = assessed.at / 86400000000";
        // Of whoever bought tickets, as which sale ever.
        const ARRIVED: &str = "INSERT OR IGNORE INTO party SELECT sale.sale, party.kind, party.pseudonym, value ->> 1
            FROM jsonb_each(?) JOIN sale ON sale.sale = value ->> 0 JOIN party ON party.subject = sale.origin";
        // Staff may ask for a review of what nobody assessed. One that has a case wants none.
        const REVIEWED: &str = "INSERT INTO assessed
            SELECT sale.sale, value ->> 2, sale.museum, sale.channel, 0, ?2, '', sale.total_cents, value ->> 1,
                CASE WHEN value ->> 3 THEN '' ELSE 'review' END, 0, sale.people, ''
            FROM jsonb_each(?1) JOIN sale ON sale.sale = value ->> 0
            WHERE NOT value ->> 3 OR EXISTS (SELECT 1 FROM assessed AS known WHERE known.subject = sale.sale)
            ON CONFLICT (subject) DO UPDATE SET review_until = excluded.review_until, wants = CASE
                WHEN excluded.wants = '' OR assessed.severity = ?2 OR EXISTS (SELECT 1 FROM fraud_case WHERE fraud_case.subject = assessed.subject) THEN assessed.wants
                ELSE 'review' END";
        rows::write(RAISED, None, rows::arrays(&self.raised)?, tx).await?;
        let assessed = rows::arrays(self.assessed.iter().map(|(hold, assessed)| assessed.row(*hold)))?;
        rows::write(ASSESSED, None, assessed, tx).await?;
        let parties = self.parties.iter().map(|((subject, kind, party), at)| (Text(*subject), *kind, Text(Pseudonym(*party)), *at));
        rows::write(PARTIES, None, rows::arrays(parties)?, tx).await?;
        let grown = self.grown.iter().map(|(hold, (cents, people))| (hold, cents, people));
        rows::write(GROWN, REVIEW, rows::arrays(grown)?, tx).await?;
        for (query, number, rows) in [
            (LATE, Some(LATE_US), &self.sold),
            (SOLD, REVIEW, &self.sold),
            (HOLDERS, REVIEW, &self.unsold),
            (UNSOLD, None, &self.unsold),
            (ARRIVED, None, &self.arrivals),
            (REVIEWED, REVIEW, &self.reviews),
        ] {
            rows::write(query, number, rows::arrays(rows)?, tx).await?;
        }
        Ok(())
    }

    /// What was given back or taken back, and counts of cash.
    async fn write_returned(&self, tx: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        // A return is of those whose sale it was, and of whoever took it back: a desk, if a desk sold it or the museum is the cause.
        const RETURNED: &str = "INSERT OR IGNORE INTO assessed
            SELECT value ->> 0, value ->> 1, sale.museum, sale.channel, value ->> 3, value ->> 4, value ->> 5, value ->> 6, NULL,
                CASE WHEN value ->> 4 = ?2 THEN 'review' WHEN value ->> 4 < ?2 AND value ->> 9 THEN 'picked' ELSE '' END, 1, 0, ''
            FROM jsonb_each(?1) JOIN sale ON sale.sale = value ->> 2";
        const RETURNED_OF: &str = "INSERT OR IGNORE INTO party SELECT value ->> 0, party.kind, party.pseudonym, value ->> 1
            FROM jsonb_each(?) JOIN party ON party.subject = value ->> 2";
        const RETURNED_BY: &str = "INSERT OR IGNORE INTO party SELECT value ->> 0, 'operator', value ->> 7, value ->> 1
            FROM jsonb_each(?) JOIN sale ON sale.sale = value ->> 2 WHERE value ->> 8 OR sale.channel = 'box_office'";
        const COUNTED: &str = "INSERT OR IGNORE INTO assessed
            SELECT value ->> 0, value ->> 1, till.museum, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, NULL,
                CASE WHEN value ->> 5 = ?2 THEN 'review' ELSE '' END, 0, 0, '' FROM jsonb_each(?1) JOIN till ON till.session = value ->> 2";
        rows::write(RETURNED, REVIEW, rows::arrays(&self.returns)?, tx).await?;
        rows::write(RETURNED_OF, None, rows::arrays(&self.returns)?, tx).await?;
        rows::write(RETURNED_BY, None, rows::arrays(&self.returns)?, tx).await?;
        rows::write(COUNTED, REVIEW, rows::arrays(&self.counts)?, tx).await
    }

    /// What banks and gates say.
    async fn write_signs(&self, tx: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let (mut signs, mut met, mut not_met) = (Vec::new(), Vec::new(), Vec::new());
        for ((ticket, gate, scanned_at), since) in &self.met {
            let sale = ticket.sale();
            let row = (sale, ticket, gate, scanned_at, LabelSource::GateRefusal.rank());
            match since {
                Some(since) => {
                    signs.push((*since, sign(sale, Label::Fraud, LabelSource::GateRefusal, *since)));
                    met.push(row);
                }
                None => not_met.push(row),
            }
        }
        // Of several signs against a sale the first stays.
        signs.sort_by_key(|(since, _)| *since);
        rows::write(BY_BANK, None, rows::arrays(&self.by_bank)?, tx).await?;
        rows::write(CONFLICTS, None, rows::arrays(signs.iter().map(|(_, sign)| sign))?, tx).await?;
        rows::write(MET, None, rows::arrays(&met)?, tx).await?;
        rows::write(NOT_MET, None, rows::arrays(&not_met)?, tx).await?;
        rows::write(CLEARED, None, rows::arrays(&not_met)?, tx).await
    }
}

#[cfg(test)]
mod tests;
