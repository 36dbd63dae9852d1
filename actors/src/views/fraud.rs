//! The lists of the fraud analysts: what was assessed, who took part in what, the cases with their labels, and the attempts that came to nothing. What wants a case and
//! has none is found here too, so that a crash in between loses none.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tornello_engine::attempts::{self, Attempt, Refused};
use tornello_engine::case::{self, Action, Known, Label, LabelSource, Subject};
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Assessment, Digest, Envelope, Outcome, Party, PartyKind};
use tornello_engine::ids::{BadId, CaseId, Code, HoldId, MuseumId, PaymentId, TicketId, TillId};
use tornello_engine::payment;
use tornello_engine::record::Record;
use tornello_engine::slot::{self, CancelCause, ConflictReason, Line};
use tornello_engine::till;
use tornello_engine::time::Timestamp;

use super::{Views, ViewsError, json as written};
use crate::fraud::{SignalEvent, SignalKind, Taking, hearing};

/// Of so many sales and returns that nobody suspects, one may be looked at all the same.
const PICKED_ONE_IN: u128 = 20;
/// How many of these are looked at in 24 hours, on average, where one in twenty would be more: an analyst has no time for more.
const PICKED_A_DAY: u128 = 72;
/// An hour, in microseconds.
const HOUR_US: i64 = 3_600_000_000;
/// Within which time a ticket that is refused at another gate than it came in by is read of, as two people may be in on it, in microseconds: later on, who comes back from
/// outside is likelier.
const ELSEWHERE_US: i64 = HOUR_US;
/// Of how many sales a day that is read, the first ones: nothing says that so many come, and who does is nearly always honest where exits are not scanned.
const MET_A_DAY: u32 = 20;
/// How many refusals at gates are told of a sale.
const REFUSED_TOLD_MAX: u32 = 32;
/// How many parties, and how many things of each, a walk from one thing to the next follows.
const LINKS_PARTIES_MAX: u32 = 16;
const LINKS_OF_ONE_MAX: u32 = 25;

/// The tables. Times are microseconds. What wants a case has its `wants` set until it has one. What chance may pick at all (sales and returns, not holds that were never
/// sold, nor counts of cash) is `pickable`. Of what is held `holder` is who would be read of, and the table of that name has the first suspected hold of each on each day
/// that ended without being bought; `met` has the sales of which a gate refused a ticket that had come in elsewhere, as many of a day as are read. Signs and labels are kept
/// by the rank of whoever says so: of one rank the last word counts.
pub(super) const SCHEMA: &str = "
    DROP TABLE IF EXISTS assessed; DROP TABLE IF EXISTS party; DROP TABLE IF EXISTS fraud_case; DROP TABLE IF EXISTS fraud_label;
    DROP TABLE IF EXISTS fraud_sign; DROP TABLE IF EXISTS attempt; DROP TABLE IF EXISTS refused; DROP TABLE IF EXISTS holder;
    DROP TABLE IF EXISTS met;
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
        kind TEXT NOT NULL, pseudonym TEXT NOT NULL, subject TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (kind, pseudonym, subject)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX party_by_subject ON party (subject);
    CREATE TABLE fraud_case (
        fraud_case TEXT PRIMARY KEY, subject TEXT NOT NULL, origin TEXT NOT NULL, museum INTEGER NOT NULL, channel TEXT NOT NULL, amount_cents INTEGER NOT NULL,
        score INTEGER, probability_ppm INTEGER, model TEXT NOT NULL, loss INTEGER NOT NULL, opened_at INTEGER NOT NULL, due_at INTEGER NOT NULL, lapses_at INTEGER NOT NULL,
        state TEXT NOT NULL, assignee TEXT NOT NULL, verdict TEXT NOT NULL, reason TEXT NOT NULL, decided_by TEXT NOT NULL, decided_at INTEGER,
        appealed_at INTEGER, blocked INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX fraud_case_by_state ON fraud_case (state, loss, fraud_case);
    CREATE INDEX fraud_case_by_origin ON fraud_case (origin, opened_at);
    CREATE INDEX fraud_case_by_subject ON fraud_case (subject);
    CREATE TABLE fraud_label (
        fraud_case TEXT NOT NULL, label TEXT NOT NULL, source TEXT NOT NULL, rank INTEGER NOT NULL, at INTEGER NOT NULL, trains_at INTEGER NOT NULL,
        PRIMARY KEY (fraud_case, rank)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE fraud_sign (
        subject TEXT NOT NULL, rank INTEGER NOT NULL, label TEXT NOT NULL, source TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (subject, rank)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE attempt (
        attempt TEXT PRIMARY KEY, at INTEGER NOT NULL, museum INTEGER NOT NULL, channel TEXT NOT NULL, ending TEXT NOT NULL, amount_cents INTEGER NOT NULL,
        people INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE refused (
        sale TEXT NOT NULL, at INTEGER NOT NULL, ticket TEXT NOT NULL, reason TEXT NOT NULL, times INTEGER NOT NULL, gate TEXT NOT NULL,
        PRIMARY KEY (sale, at, ticket, reason, times)
    ) STRICT, WITHOUT ROWID;";

/// A case in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseRow {
    /// Its id.
    pub case: CaseId,
    /// The sale or attempt that it is about.
    pub subject: String,
    /// Why there is a case.
    pub origin: String,
    /// At which museum.
    pub museum: MuseumId,
    /// Through which channel.
    pub channel: String,
    /// What is at stake.
    pub amount_cents: i64,
    /// What the scorer said; none if it was not asked.
    pub score: Option<u8>,
    /// How likely fraud is, in millionths, if a model said so that has learned it from labels.
    pub probability_ppm: Option<u32>,
    /// The model that said so; empty if none was asked.
    pub model: String,
    /// What it may cost, in cents times percent: the order of the list, largest first.
    pub loss: i64,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When somebody should have looked.
    pub due_at: Timestamp,
    /// When it ends by itself.
    pub lapses_at: Timestamp,
    /// `open`, `decided`, `lapsed` or `appealed`.
    pub state: String,
    /// The key of whoever looks at it; empty: nobody in particular.
    pub assignee: String,
    /// `fraud`, `legit` or `unsure`; empty if there is no verdict.
    pub verdict: String,
    /// Why, in one word.
    pub reason: String,
    /// The key of whoever decided.
    pub decided_by: String,
    /// When.
    pub decided_at: Option<Timestamp>,
    /// When it was appealed.
    pub appealed_at: Option<Timestamp>,
    /// Whether its tickets were blocked; not if that was undone before anybody complained.
    pub blocked: bool,
    /// What is known of it: `fraud` or `legit`; empty if nothing is.
    pub label: String,
}

/// Which cases to list; all conditions hold together.
#[derive(Debug, Clone, Default)]
pub struct CaseFilter {
    /// Only of these museums; none: of all.
    pub museums: Option<Vec<MuseumId>>,
    /// Only through this channel.
    pub channel: Option<String>,
    /// Only in one of these states; none: in any.
    pub states: Option<Vec<String>>,
    /// Only those that this key looks at.
    pub assignee: Option<String>,
    /// Only those opened from then on.
    pub opened_from: Option<Timestamp>,
    /// Only after this one, in the order of the list.
    pub after: Option<(i64, CaseId)>,
}

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

/// What two things have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// The kind of the party.
    pub kind: String,
    /// Its pseudonym, shortened: enough to tell one from the other.
    pub party: String,
    /// What it took part in besides.
    pub others: u32,
    /// Some of these, newest first.
    pub subjects: Vec<String>,
    /// How many of them have a case in which the verdict is fraud.
    pub fraud: u32,
    /// How many steps away: 1 or 2.
    pub depth: u8,
}

/// A ticket that a gate with a network refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// When, the last time.
    pub at: Timestamp,
    /// Which ticket.
    pub ticket: String,
    /// Why.
    pub reason: String,
    /// The how-manieth time that day.
    pub times: u32,
    /// At which gate, the last time.
    pub gate: String,
}

impl Views {
    /// Cases in the order of what they may cost, largest first, at most `limit`.
    pub async fn fraud_cases(&self, filter: &CaseFilter, limit: u32) -> Result<Vec<CaseRow>, ViewsError> {
        const QUERY: &str = "SELECT fraud_case, subject, origin, museum, channel, amount_cents, score, model, loss, opened_at, due_at, lapses_at, state, assignee,
                verdict, reason, decided_by, decided_at, appealed_at, blocked, probability_ppm,
                coalesce((SELECT label FROM fraud_label WHERE fraud_label.fraud_case = fraud_case.fraud_case ORDER BY rank LIMIT 1), '')
            FROM fraud_case WHERE (?1 IS NULL OR museum IN (SELECT value FROM json_each(?1))) AND (?2 IS NULL OR state IN (SELECT value FROM json_each(?2)))
            AND (?3 IS NULL OR channel = ?3) AND (?4 IS NULL OR assignee = ?4) AND (?5 IS NULL OR opened_at >= ?5)
            AND (?6 IS NULL OR loss < ?6 OR (loss = ?6 AND fraud_case > ?7)) ORDER BY loss DESC, fraud_case LIMIT ?8";
        let rows = sqlx::query(QUERY)
            .bind(filter.museums.as_ref().map(written))
            .bind(filter.states.as_ref().map(written))
            .bind(filter.channel.clone())
            .bind(filter.assignee.clone())
            .bind(filter.opened_from.map(Timestamp::as_micros))
            .bind(filter.after.map(|(loss, _)| loss))
            .bind(filter.after.map(|(_, case)| case.to_string()).unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| case_row(row).map_err(ViewsError::Store)).collect()
    }

    /// What is to be reviewed and has no case, at most `limit`.
    pub async fn wanting_cases(&self, limit: u32) -> Result<Vec<Wanting>, ViewsError> {
        const QUERY: &str =
            "SELECT subject, data, channel, amount_cents, review_until, museum, wants FROM assessed WHERE wants IN ('review', 'hold', 'met') LIMIT ?";
        let rows = sqlx::query(QUERY).bind(i64::from(limit)).fetch_all(&self.pool).await?;
        rows.iter().map(|row| wanting_row(row).map_err(ViewsError::Store)).collect()
    }

    /// What was assessed, for a case about it; none if it was not.
    pub async fn assessed_for_case(&self, subject: Subject) -> Result<Option<Wanting>, ViewsError> {
        const QUERY: &str = "SELECT subject, data, channel, amount_cents, review_until, museum, wants FROM assessed WHERE subject = ?";
        let row = sqlx::query(QUERY).bind(subject.to_string()).fetch_optional(&self.pool).await?;
        row.as_ref().map(wanting_row).transpose().map_err(ViewsError::Store)
    }

    /// What chance has picked from one instant to before another and has no case, with when it was assessed: see [`is_picked`].
    pub async fn picked_at_random(&self, from: Timestamp, to: Timestamp) -> Result<Vec<(Subject, Timestamp)>, ViewsError> {
        const QUERY: &str = "SELECT subject, at FROM assessed WHERE wants = 'picked' AND at >= ? AND at < ? ORDER BY at, subject";
        let rows = sqlx::query(QUERY).bind(from.as_micros()).bind(to.as_micros()).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get::<String, _>(0)?.parse().map_err(bad)?, Timestamp::from_micros(row.try_get(1)?)))).collect()
    }

    /// How many cases were opened since an instant because they were picked.
    pub async fn picked_cases(&self, since: Timestamp) -> Result<u32, ViewsError> {
        const QUERY: &str = "SELECT count(*) FROM fraud_case WHERE origin = 'picked' AND opened_at >= ?";
        Ok(sqlx::query_scalar(QUERY).bind(since.as_micros()).fetch_one(&self.pool).await?)
    }

    /// How many sales and returns were assessed since an instant that nobody suspected: all that chance picks from.
    pub async fn unsuspected(&self, since: Timestamp) -> Result<u32, ViewsError> {
        const QUERY: &str = "SELECT count(*) FROM assessed WHERE at >= ? AND severity < ? AND pickable";
        Ok(sqlx::query_scalar(QUERY).bind(since.as_micros()).bind(Outcome::Review as u8).fetch_one(&self.pool).await?)
    }

    /// As [`Self::unsuspected`], from one instant to before another, by hour: of UTC, counted from 1970. Hours without any are left out.
    pub async fn unsuspected_by_hour(&self, from: Timestamp, to: Timestamp) -> Result<BTreeMap<i64, u32>, ViewsError> {
        const QUERY: &str = "SELECT at / ?1, count(*) FROM assessed WHERE at >= ?2 AND at < ?3 AND severity < ?4 AND pickable GROUP BY 1";
        let ask = sqlx::query(QUERY).bind(HOUR_US).bind(from.as_micros()).bind(to.as_micros()).bind(Outcome::Review as u8);
        ask.fetch_all(&self.pool).await?.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// What is known of one sale for a case about it; none if the lists do not have the sale.
    pub async fn sale_for_case(&self, sale: HoldId) -> Result<Option<Wanting>, ViewsError> {
        const QUERY: &str = "SELECT sale, coalesce((SELECT data FROM assessed WHERE subject = sale), ''), channel, total_cents, NULL, museum, '' FROM sale WHERE sale = ?";
        let row = sqlx::query(QUERY).bind(sale.to_string()).fetch_optional(&self.pool).await?;
        row.as_ref().map(wanting_row).transpose().map_err(ViewsError::Store)
    }

    /// What a bank or a gate says of a sale and is not in its case yet: the sale, what, who says so, and since when; at most `limit`.
    pub async fn fraud_signs(&self, limit: u32) -> Result<Vec<(HoldId, Known)>, ViewsError> {
        const QUERY: &str =
            "SELECT subject, label, source, at FROM fraud_sign WHERE NOT EXISTS (SELECT 1 FROM fraud_case JOIN fraud_label USING (fraud_case)
            WHERE fraud_case.subject = fraud_sign.subject AND fraud_label.label = fraud_sign.label AND fraud_label.source = fraud_sign.source) LIMIT ?";
        let rows = sqlx::query(QUERY).bind(i64::from(limit)).fetch_all(&self.pool).await?;
        let read = |row: &SqliteRow| {
            let label = if row.try_get::<String, _>(1)? == label_name(Label::Fraud) { Label::Fraud } else { Label::Legit };
            let named = row.try_get::<String, _>(2)?;
            let told = [LabelSource::Chargeback, LabelSource::Dispute].into_iter().find(|source| source.name() == named);
            let known = Known { label, source: told.unwrap_or(LabelSource::GateRefusal), at: Timestamp::from_micros(row.try_get(3)?) };
            Ok((row.try_get::<String, _>(0)?.parse().map_err(bad)?, known))
        };
        rows.iter().map(read).collect()
    }

    /// What gates refused of a sale's tickets, as far as it is noted, oldest first.
    pub async fn refused_of(&self, sale: HoldId) -> Result<Vec<RefusedRow>, ViewsError> {
        const QUERY: &str = "SELECT at, ticket, reason, times, gate FROM refused WHERE sale = ? ORDER BY at, ticket, reason, times LIMIT ?";
        let rows = sqlx::query(QUERY).bind(sale.to_string()).bind(REFUSED_TOLD_MAX).fetch_all(&self.pool).await?;
        let read = |row: &SqliteRow| {
            let at = Timestamp::from_micros(row.try_get(0)?);
            Ok(RefusedRow { at, ticket: row.try_get(1)?, reason: row.try_get(2)?, times: row.try_get(3)?, gate: row.try_get(4)? })
        };
        rows.iter().map(read).collect()
    }

    /// The parties of a thing.
    pub async fn parties_of(&self, subject: &str) -> Result<Vec<(String, String)>, ViewsError> {
        const QUERY: &str = "SELECT kind, pseudonym FROM party WHERE subject = ? ORDER BY kind, pseudonym LIMIT ?";
        let rows = sqlx::query(QUERY).bind(subject).bind(LINKS_PARTIES_MAX).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// What shares a party with a thing, and what shares a party with that: two steps, and only so many things of each party. All are counted; named are only those
    /// of these museums, none: of all.
    pub async fn links_of(&self, subject: &str, museums: Option<&[MuseumId]>) -> Result<Vec<Link>, ViewsError> {
        let (mut links, mut seen) = (Vec::new(), BTreeMap::new());
        let mut front = vec![subject.to_owned()];
        for depth in 1..=2 {
            let mut next = Vec::new();
            for from in std::mem::take(&mut front).into_iter().take(LINKS_OF_ONE_MAX as usize) {
                for party in self.parties_of(&from).await? {
                    if seen.insert(party.clone(), ()).is_some() || links.len() >= 2 * LINKS_PARTIES_MAX as usize {
                        continue;
                    }
                    let link = self.link(party, &from, depth).await?;
                    next.extend(link.subjects.iter().cloned());
                    links.push(link);
                }
            }
            front = next;
        }
        links.retain(|link| link.others > 0);
        if let Some(museums) = museums {
            self.name_only(&mut links, museums).await?;
        }
        Ok(links)
    }

    /// Leaves the things of other museums out. The id of a sale, and of a return, says where it is; that of an attempt or a count does not.
    async fn name_only(&self, links: &mut [Link], museums: &[MuseumId]) -> Result<(), ViewsError> {
        const QUERY: &str =
            "SELECT attempt FROM attempt WHERE attempt IN (SELECT value FROM json_each(?1)) AND museum IN (SELECT value FROM json_each(?2))
            UNION SELECT subject FROM assessed WHERE subject IN (SELECT value FROM json_each(?1)) AND museum IN (SELECT value FROM json_each(?2))";
        let named: BTreeSet<&String> = links.iter().flat_map(|link| &link.subjects).collect();
        let rows = sqlx::query(QUERY).bind(written(&named)).bind(written(&museums)).fetch_all(&self.pool).await?;
        let here: BTreeSet<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        for link in links {
            link.subjects.retain(|subject| match subject.parse() {
                Ok(Subject::Sale(sale) | Subject::Return { sale, .. } | Subject::Hold(sale)) => museums.contains(&sale.slot().museum()),
                Ok(Subject::Attempt(_) | Subject::Till(_)) | Err(_) => here.contains(subject),
            });
        }
        Ok(())
    }

    async fn link(&self, (kind, pseudonym): (String, String), from: &str, depth: u8) -> Result<Link, ViewsError> {
        const COUNT: &str =
            "SELECT count(*), coalesce(sum(EXISTS (SELECT 1 FROM fraud_case WHERE fraud_case.subject = party.subject AND verdict = 'fraud')), 0)
            FROM party WHERE kind = ? AND pseudonym = ? AND subject <> ?";
        const SOME: &str = "SELECT subject FROM party WHERE kind = ? AND pseudonym = ? AND subject <> ? ORDER BY at DESC, subject LIMIT ?";
        let count = sqlx::query(COUNT).bind(&kind).bind(&pseudonym).bind(from).fetch_one(&self.pool).await?;
        let some = sqlx::query(SOME).bind(&kind).bind(&pseudonym).bind(from).bind(LINKS_OF_ONE_MAX).fetch_all(&self.pool).await?;
        let subjects = some.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let party = pseudonym.chars().take(8).collect();
        Ok(Link { kind, party, others: count.try_get(0)?, subjects, fraud: count.try_get(1)?, depth })
    }

    /// The scores of what was assessed between two instants, as counts in ten equal bands, by channel: what drift is measured on.
    pub async fn score_bands(&self, from: Timestamp, to: Timestamp) -> Result<BTreeMap<String, [u64; 10]>, ViewsError> {
        const QUERY: &str = "SELECT channel, min(score / 10, 9), count(*) FROM assessed WHERE at >= ? AND at < ? GROUP BY 1, 2";
        let rows = sqlx::query(QUERY).bind(from.as_micros()).bind(to.as_micros()).fetch_all(&self.pool).await?;
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
        let rows = sqlx::query(QUERY).bind(from.as_micros()).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((MuseumId(row.try_get(0)?), row.try_get(1)?, row.try_get(2)?))).collect()
    }
}

fn bad(error: BadId) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
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
        assessment: serde_json::from_str(&row.try_get::<String, _>(1)?).ok(),
        channel: row.try_get(2)?,
        amount_cents: row.try_get(3)?,
        review_until: row.try_get::<Option<i64>, _>(4)?.map(Timestamp::from_micros),
        is_met: wants == "met",
    })
}

fn case_row(row: &SqliteRow) -> Result<CaseRow, sqlx::Error> {
    let at = |index| Ok::<_, sqlx::Error>(Timestamp::from_micros(row.try_get(index)?));
    let if_any = |index| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(index)?.map(Timestamp::from_micros));
    Ok(CaseRow {
        case: row.try_get::<String, _>(0)?.parse().map_err(bad)?,
        subject: row.try_get(1)?,
        origin: row.try_get(2)?,
        museum: MuseumId(row.try_get(3)?),
        channel: row.try_get(4)?,
        amount_cents: row.try_get(5)?,
        score: row.try_get(6)?,
        model: row.try_get(7)?,
        loss: row.try_get(8)?,
        opened_at: at(9)?,
        due_at: at(10)?,
        lapses_at: at(11)?,
        state: row.try_get(12)?,
        assignee: row.try_get(13)?,
        verdict: row.try_get(14)?,
        reason: row.try_get(15)?,
        decided_by: row.try_get(16)?,
        decided_at: if_any(17)?,
        appealed_at: if_any(18)?,
        blocked: row.try_get(19)?,
        probability_ppm: row.try_get(20)?,
        label: row.try_get(21)?,
    })
}

/// What some batches change in these lists.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// By subject, in whose order they are written: neighbours share a page.
    assessed: BTreeMap<String, Assessed>,
    /// When each party (kind, pseudonym) took part in each subject.
    parties: BTreeMap<(&'static str, String, String), i64>,
    /// Sales whose holds were assessed before these batches, or not at all, and what they cost.
    sold: Vec<Value>,
    /// Holds that ended without being bought, in the order in which they did.
    unsold: Vec<Value>,
    /// What was said of payments for holds that were assessed before these batches.
    raised: Vec<Value>,
    reviews: Vec<Value>,
    /// What was given back or taken back, and was assessed.
    returns: Vec<Value>,
    /// Counts of cash that were assessed.
    counts: Vec<Value>,
    /// (payment, rank, label, source, time), of all its sales; (sale, rank, label, source, time).
    by_bank: Vec<Value>,
    conflicts: Vec<Value>,
    attempts: Vec<Value>,
    refused: Vec<Value>,
    /// Where and when tickets came in last, of these batches.
    entered: BTreeMap<TicketId, (Code, i64)>,
    /// (sale, time, ticket, gate) of tickets that a gate refused because somebody is in on them, in that order; without a ticket: they came in elsewhere, as is known already.
    inside: Vec<Value>,
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
    fn row(&self, subject: &str) -> Value {
        let wants = match self.sold {
            Some(_) if self.severity == Outcome::Review as u8 => "review",
            Some(true) if self.severity < Outcome::Review as u8 => "picked",
            _ => "",
        };
        let pickable = u8::from(self.sold.is_some());
        let (people, holder) = (self.people, &self.holder);
        json!([subject, self.at, self.museum, self.channel, self.score, self.severity, self.data, self.cents, wants, pickable, people, holder])
    }
}

fn pseudonym(Digest(bits): Digest) -> String {
    format!("{bits:032x}")
}

/// Of whom would be read because of a hold: the one who acts, as text; empty if there is nobody.
fn holder(envelope: &Envelope, channel: Channel, museum: MuseumId) -> String {
    let outlet = hearing::outlet(channel);
    let mut signal = SignalEvent::new(0, SignalKind::Held, outlet, museum.0);
    signal.parties = hearing::parties(envelope, outlet);
    signal.acting().map(|Taking { role, id }| format!("{}:{id:032x}", role as u8)).unwrap_or_default()
}

/// The lot of a sale or a return: the same one however often it is drawn, and a return's whatever its sale's is. Nothing else has one.
fn lot(subject: Subject) -> Option<u128> {
    match subject {
        Subject::Sale(sale) => Some(crate::digest::digest(&[b"picked", &sale.get().to_be_bytes()]).0),
        Subject::Return { sale, seq } => Some(crate::digest::digest(&[b"picked", &sale.get().to_be_bytes(), &seq.to_be_bytes()]).0),
        Subject::Attempt(_) | Subject::Till(_) | Subject::Hold(_) => None,
    }
}

/// Whether a sale or a return is picked at random: one in twenty.
#[must_use]
pub fn is_picked(subject: Subject) -> bool {
    lot(subject).is_some_and(|lot| lot.is_multiple_of(PICKED_ONE_IN))
}

/// Whether something that is picked stays so where chance picks from `volume` sales and returns in 24 hours: all, as long as one in twenty is no more than
/// [`PICKED_A_DAY`], else as many as come to that, by lot. What stays at a volume stays at every smaller one.
#[must_use]
pub fn stays_picked(subject: Subject, volume: u64) -> bool {
    // The upper half of a lot says nothing of its remainder, by which it was picked.
    lot(subject).is_some_and(|lot| (lot >> 64) * u128::from(volume) < (PICKED_A_DAY * PICKED_ONE_IN) << 64)
}

const fn label_name(label: Label) -> &'static str {
    match label {
        Label::Fraud => "fraud",
        Label::Legit => "legit",
    }
}

/// What is said of a sale, or of all sales of a payment, by whoever says so.
fn sign(of: &str, label: Label, source: LabelSource, at: i64) -> Value {
    json!([of, source.rank(), label_name(label), source.name(), at])
}

impl Rows {
    /// What a slot's record says of those who took part, beside what it says of the sale.
    pub(super) fn slot(&mut self, record: &Record<slot::Event>) {
        let at = record.at.as_micros();
        for event in &record.events {
            match event {
                slot::Event::Held(held) => self.of_hold(record, held.hold, held.channel, &held.lines, true),
                slot::Event::Waited(waited) => self.of_hold(record, waited.entry, waited.channel, &waited.lines, true),
                slot::Event::Sold(sold) => {
                    let total = slot::total(&sold.lines);
                    self.of_hold(record, sold.sale, sold.channel, &sold.lines, false);
                    let (id, picked) = (sold.sale.to_string(), is_picked(Subject::Sale(sold.sale)));
                    match self.assessed.get_mut(&id) {
                        Some(assessed) if assessed.new => (assessed.cents, assessed.sold) = (total.get(), Some(picked)),
                        _ => self.sold.push(json!([id, total.get(), u8::from(picked)])),
                    }
                }
                slot::Event::Released(slot::Released { hold, .. }) | slot::Event::Expired(slot::Expired { hold, .. }) => {
                    self.unsold.push(json!(hold.to_string()));
                }
                slot::Event::ReviewOpened(opened) => self.reviews.push(json!([opened.sale.to_string(), opened.until.as_micros(), at])),
                slot::Event::Admitted(admitted) => {
                    self.entered
                        .insert(admitted.ticket, (admitted.gate, admitted.scanned_at.map_or(at, |scanned_at| scanned_at.as_micros().min(at))));
                }
                slot::Event::Cancelled(cancelled) => self.returned(record, cancelled),
                slot::Event::AdmissionConflict(conflict) => {
                    self.met(conflict.ticket.sale(), conflict.reason, at);
                }
                _ => {}
            }
        }
    }

    /// What was said of a hold, or of its sale: of the two, what was said more severely counts.
    fn of_hold(&mut self, record: &Record<slot::Event>, hold: HoldId, channel: Channel, lines: &[Line], new: bool) {
        let Some(envelope) = &record.envelope else { return };
        let (subject, at) = (hold.to_string(), record.at.as_micros());
        self.of_parties(&envelope.parties, &subject, at);
        let Some(assessment) = &envelope.assessment else { return };
        let (score, severity, data) = (assessment.score, assessment.outcome as u8, written(assessment));
        match self.assessed.entry(subject) {
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

    /// Tickets that were given back, or taken back. Whose they were is known from the sale; who took them back at a desk, from the command.
    fn returned(&mut self, record: &Record<slot::Event>, cancelled: &slot::Cancelled) {
        let Some(envelope) = &record.envelope else { return };
        let Some(assessment) = &envelope.assessment else { return };
        let (sale, at) = (cancelled.sale, record.at.as_micros());
        let of = Subject::Return { sale, seq: record.seq };
        let subject = of.to_string();
        self.of_parties(&envelope.parties, &subject, at);
        let operator = pseudonym(Digest(u128::from(envelope.who.0)));
        let (by_museum, picked) = (u8::from(cancelled.cause == CancelCause::Museum), u8::from(is_picked(of)));
        let (score, severity, cents) = (assessment.score, assessment.outcome as u8, cancelled.refund_cents.get());
        self.returns.push(json!([subject, at, sale.to_string(), score, severity, written(assessment), cents, operator, by_museum, picked]));
    }

    /// A count of cash, by whoever counted.
    pub(super) fn till(&mut self, till: TillId, record: &Record<till::Event>) {
        let Some(Envelope { who, assessment: Some(assessment), .. }) = &record.envelope else { return };
        let at = record.at.as_micros();
        for event in &record.events {
            let till::Event::Closed(closed) = event else { continue };
            let subject = Subject::Till(till).to_string();
            self.parties.entry((PartyKind::Operator.name(), pseudonym(Digest(u128::from(who.0))), subject.clone())).or_insert(at);
            let (score, severity, cents) = (assessment.score, assessment.outcome as u8, closed.difference_cents.get().saturating_abs());
            self.counts.push(json!([subject, at, till.to_string(), Channel::BoxOffice.name(), score, severity, written(assessment), cents]));
        }
    }

    fn of_parties(&mut self, parties: &[Party], subject: &str, at: i64) {
        for party in parties {
            self.parties.entry((party.kind.name(), pseudonym(party.pseudonym), subject.to_owned())).or_insert(at);
        }
    }

    /// What was said of a payment counts for its holds, whether it comes to a sale or not.
    fn of_payment(&mut self, opened: &payment::Opened, envelope: Option<&Envelope>) {
        let Some(assessment) = envelope.and_then(|envelope| envelope.assessment.as_ref()) else { return };
        let (score, severity, data) = (assessment.score, assessment.outcome as u8, written(assessment));
        for hold in opened.items.iter().map(|item| item.hold.to_string()) {
            match self.assessed.get_mut(&hold) {
                Some(said) if severity > said.severity => (said.score, said.severity, said.data) = (score, severity, data.clone()),
                Some(_) => {}
                None => self.raised.push(json!([hold, score, severity, data])),
            }
        }
    }

    pub(super) fn payment(&mut self, payment: PaymentId, record: &Record<payment::Event>) {
        for event in &record.events {
            let (label, source) = match event {
                payment::Event::Opened(opened) => {
                    self.of_payment(opened, record.envelope.as_ref());
                    continue;
                }
                payment::Event::Disputed(_) => (Label::Fraud, LabelSource::Chargeback),
                payment::Event::DisputeResolved(resolved) => (if resolved.upheld { Label::Fraud } else { Label::Legit }, LabelSource::Dispute),
                _ => continue,
            };
            let payment = payment.to_string();
            // Only the bank's last word is written, whatever the order in which rows of one statement are.
            self.by_bank.retain(|row| row[0] != payment);
            self.by_bank.push(sign(&payment, label, source, record.at.as_micros()));
        }
    }

    pub(super) fn attempts(&mut self, record: &Record<attempts::Event>) {
        for event in &record.events {
            match event {
                attempts::Event::Noted(attempt) => {
                    let Attempt { id, at, channel, museum, people, amount_cents, ref parties, ending, .. } = *attempt;
                    let ending = serde_json::to_value(ending).unwrap_or_default();
                    self.attempts.push(json!([id.to_string(), at.as_micros(), museum.0, channel.name(), ending, amount_cents.get(), people]));
                    self.of_parties(parties, &id.to_string(), at.as_micros());
                }
                attempts::Event::Refused(refused) => {
                    let Refused { ticket, reason, gate, at, times, .. } = *refused;
                    if reason == ConflictReason::TicketInside {
                        self.inside(ticket, gate, at.as_micros());
                    }
                    let (sale, ticket) = (ticket.sale(), ticket.to_string());
                    self.refused.push(json!([sale.to_string(), at.as_micros(), ticket, reason.code(), times, gate.as_str()]));
                    if refused.is_sign() {
                        self.met(sale, reason, record.at.as_micros());
                    }
                }
                attempts::Event::Counted(_) => {}
            }
        }
    }

    /// A gate refused a ticket because somebody is in on it.
    fn inside(&mut self, ticket: TicketId, gate: Code, at: i64) {
        let sale = ticket.sale().to_string();
        match self.entered.get(&ticket) {
            Some((other, since)) if *other != gate && at - since <= ELSEWHERE_US => self.inside.push(json!([sale, at])),
            Some(_) => {}
            // It came in before these batches.
            None => self.inside.push(json!([sale, at, ticket.to_string(), gate.as_str()])),
        }
    }

    /// The sales of which a gate refused a ticket that had come in by another one not long before, with when it did, in that order. To be asked before tickets are written.
    pub(super) async fn elsewhere(&self, tx: &mut SqliteConnection) -> Result<Vec<(String, i64)>, sqlx::Error> {
        const QUERY: &str = "SELECT value ->> 0, value ->> 1 FROM json_each(?1) LEFT JOIN ticket ON ticket.ticket = value ->> 2
            WHERE value ->> 2 IS NULL OR (ticket.gate NOT IN ('', value ->> 3) AND value ->> 1 - ticket.changed_at <= ?2) ORDER BY json_each.key";
        if self.inside.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(QUERY).bind(written(&self.inside)).bind(ELSEWHERE_US).fetch_all(tx).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// A gate met a ticket that is not good there. Only one that was used before is a sign against its sale: that one is blocked says only what whoever blocked it
    /// thought, and a verdict would be learned as if a gate had found the same.
    fn met(&mut self, sale: HoldId, reason: ConflictReason, at: i64) {
        if matches!(reason, ConflictReason::TicketInside | ConflictReason::TicketUsed) {
            self.conflicts.push(sign(&sale.to_string(), Label::Fraud, LabelSource::GateRefusal, at));
        }
    }

    pub(super) fn case(&mut self, case: CaseId, record: &Record<case::Event>) {
        self.cases.extend(record.events.iter().map(|event| (case, record.at, event.clone())));
    }

    /// Writes it all; `elsewhere` as [`Self::elsewhere`] had it before tickets were written.
    pub(super) async fn write(&self, tx: &mut SqliteConnection, elsewhere: &[(String, i64)]) -> Result<(), sqlx::Error> {
        // Of a hold and its sale, what was said more severely counts.
        const RAISED: &str = "UPDATE assessed SET score = said.score, severity = said.severity, data = said.data
            FROM (SELECT value ->> 0 AS of, value ->> 1 AS score, value ->> 2 AS severity, value ->> 3 AS data FROM json_each(?) ORDER BY key) AS said
            WHERE assessed.subject = said.of AND said.severity > assessed.severity";
        const ASSESSED: &str = "INSERT INTO assessed
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, NULL, value ->> 8, value ->> 9,
                value ->> 10, value ->> 11
            FROM json_each(?) WHERE true
            ON CONFLICT (subject) DO UPDATE SET score = excluded.score, severity = excluded.severity, data = excluded.data
            WHERE excluded.severity >= assessed.severity";
        const PARTIES: &str = "INSERT OR IGNORE INTO party SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?)";
        const SOLD: &str = "UPDATE assessed SET amount_cents = sale.cents, pickable = 1,
                wants = CASE WHEN severity = ?2 THEN 'review' WHEN severity < ?2 AND sale.picked THEN 'picked' ELSE '' END
            FROM (SELECT value ->> 0 AS of, value ->> 1 AS cents, value ->> 2 AS picked FROM json_each(?1)) AS sale WHERE assessed.subject = sale.of";
        // Of a suspected hold that was not bought there is a case, one for each who held on a day: whoever it is about is read once a day, whatever else they held on it.
        const HOLDERS: &str = "INSERT OR IGNORE INTO holder SELECT assessed.holder, assessed.at / 86400000000, assessed.subject
            FROM json_each(?1) AS ended JOIN assessed ON assessed.subject = ended.value
            WHERE assessed.severity = ?2 AND NOT assessed.pickable AND assessed.holder <> '' ORDER BY ended.key";
        const UNSOLD: &str = "UPDATE assessed SET wants = 'hold' FROM json_each(?) AS ended JOIN holder ON holder.subject = ended.value
            WHERE assessed.subject = ended.value AND holder.holder = assessed.holder AND holder.day = assessed.at / 86400000000";
        // Staff may ask for a review of what nobody assessed.
        const REVIEWED: &str = "INSERT INTO assessed
            SELECT sale.sale, value ->> 2, sale.museum, sale.channel, 0, ?2, '', sale.total_cents, value ->> 1, 'review', 0, sale.people, ''
            FROM json_each(?1) JOIN sale ON sale.sale = value ->> 0 WHERE true
            ON CONFLICT (subject) DO UPDATE SET review_until = excluded.review_until, wants = CASE
                WHEN assessed.severity = ?2 OR EXISTS (SELECT 1 FROM fraud_case WHERE fraud_case.subject = assessed.subject) THEN assessed.wants
                ELSE 'review' END";
        // A return is of those whose sale it was, and of whoever took it back: a desk, if a desk sold it or the museum is the cause.
        const RETURNED: &str = "INSERT OR IGNORE INTO assessed
            SELECT value ->> 0, value ->> 1, sale.museum, sale.channel, value ->> 3, value ->> 4, value ->> 5, value ->> 6, NULL,
                CASE WHEN value ->> 4 = ?2 THEN 'review' WHEN value ->> 4 < ?2 AND value ->> 9 THEN 'picked' ELSE '' END, 1, 0, ''
            FROM json_each(?1) JOIN sale ON sale.sale = value ->> 2";
        const RETURNED_OF: &str = "INSERT OR IGNORE INTO party SELECT party.kind, party.pseudonym, value ->> 0, value ->> 1
            FROM json_each(?) JOIN party ON party.subject = value ->> 2";
        const RETURNED_BY: &str = "INSERT OR IGNORE INTO party SELECT 'operator', value ->> 7, value ->> 0, value ->> 1
            FROM json_each(?) JOIN sale ON sale.sale = value ->> 2 WHERE value ->> 8 OR sale.channel = 'box_office'";
        const COUNTED: &str = "INSERT OR IGNORE INTO assessed
            SELECT value ->> 0, value ->> 1, till.museum, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, NULL,
                CASE WHEN value ->> 5 = ?2 THEN 'review' ELSE '' END, 0, 0, '' FROM json_each(?1) JOIN till ON till.session = value ->> 2";
        const BY_BANK: &str = "INSERT OR REPLACE INTO fraud_sign
            SELECT sale.sale, value ->> 1, value ->> 2, value ->> 3, value ->> 4
            FROM json_each(?) JOIN sale ON sale.settlement = 'payment' AND sale.account = value ->> 0";
        const CONFLICTS: &str = "INSERT OR IGNORE INTO fraud_sign
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?)";
        const ATTEMPTS: &str = "INSERT OR IGNORE INTO attempt
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6 FROM json_each(?)";
        const REFUSED: &str = "INSERT OR IGNORE INTO refused
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each(?)";
        let review = Outcome::Review as u8;
        let assessed: Vec<Value> = self.assessed.iter().map(|(subject, assessed)| assessed.row(subject)).collect();
        let parties: Vec<Value> = self.parties.iter().map(|((kind, pseudonym, subject), at)| json!([kind, pseudonym, subject, at])).collect();
        for (query, rows) in [
            (RAISED, &self.raised),
            (ASSESSED, &assessed),
            (PARTIES, &parties),
            (SOLD, &self.sold),
            (HOLDERS, &self.unsold),
            (UNSOLD, &self.unsold),
            (REVIEWED, &self.reviews),
            (RETURNED, &self.returns),
            (RETURNED_OF, &self.returns),
            (RETURNED_BY, &self.returns),
            (COUNTED, &self.counts),
            (BY_BANK, &self.by_bank),
            (CONFLICTS, &self.conflicts),
            (ATTEMPTS, &self.attempts),
            (REFUSED, &self.refused),
        ] {
            if !rows.is_empty() {
                let with_severity = [SOLD, HOLDERS, REVIEWED, RETURNED, COUNTED].contains(&query);
                let ask = sqlx::query(query).bind(written(rows));
                if with_severity { ask.bind(review) } else { ask }.execute(&mut *tx).await?;
            }
        }
        for (sale, at) in elsewhere {
            write_met(tx, sale, *at).await?;
        }
        // One after the other: a later one builds on what an earlier one has left. They are an analyst's work, and few.
        for (case, at, event) in &self.cases {
            write_case(tx, &case.to_string(), *at, event).await?;
        }
        Ok(())
    }
}

/// A ticket of a sale was refused that had come in elsewhere: the sale wants a case, if it has none and not too many do on that day. That alone is no sign of fraud.
async fn write_met(tx: &mut SqliteConnection, sale: &str, at: i64) -> Result<(), sqlx::Error> {
    const MET: &str = "INSERT OR IGNORE INTO met SELECT ?1 / 86400000000, ?2 WHERE (SELECT count(*) FROM met WHERE day = ?1 / 86400000000) < ?3";
    const WANTED: &str = "INSERT INTO assessed
        SELECT sale.sale, ?1, sale.museum, sale.channel, 0, 0, '', sale.total_cents, NULL, 'met', 0, sale.people, ''
        FROM sale WHERE sale.sale = ?2 AND NOT EXISTS (SELECT 1 FROM fraud_case WHERE fraud_case.subject = sale.sale)
        ON CONFLICT (subject) DO UPDATE SET wants = 'met' WHERE assessed.wants IN ('', 'picked')";
    if sqlx::query(MET).bind(at).bind(sale).bind(MET_A_DAY).execute(&mut *tx).await?.rows_affected() > 0 {
        sqlx::query(WANTED).bind(at).bind(sale).execute(&mut *tx).await?;
    }
    Ok(())
}

async fn write_case(tx: &mut SqliteConnection, id: &str, at: Timestamp, event: &case::Event) -> Result<(), sqlx::Error> {
    const OPENED: &str = "INSERT OR IGNORE INTO fraud_case VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', '', '', '', '', NULL, NULL, 0)";
    const PLACES: &str = "SELECT people FROM sale WHERE sale = ?1 UNION ALL SELECT people FROM attempt WHERE attempt = ?1
        UNION ALL SELECT people FROM assessed WHERE subject = ?1 LIMIT 1";
    const DECIDED: &str =
        "UPDATE fraud_case SET state = 'decided', verdict = ?2, reason = ?3, decided_by = ?4, decided_at = ?5 WHERE fraud_case = ?1";
    const UNDONE: &str = "UPDATE fraud_case SET state = 'open', verdict = '', reason = '', decided_by = '', decided_at = NULL WHERE fraud_case = ?";
    const APPEALED: &str =
        "UPDATE fraud_case SET state = CASE verdict WHEN '' THEN 'open' ELSE 'appealed' END, appealed_at = ?2, due_at = ?3, lapses_at = ?4
        WHERE fraud_case = ?1";
    const LABELLED: &str = "INSERT OR REPLACE INTO fraud_label VALUES (?, ?, ?, ?, ?, ?)";
    match event {
        case::Event::Opened(opened) => {
            let subject = opened.subject.to_string();
            sqlx::query("UPDATE assessed SET wants = '' WHERE subject = ?").bind(&subject).execute(&mut *tx).await?;
            let places: Option<u32> = sqlx::query_scalar(PLACES).bind(&subject).fetch_optional(&mut *tx).await?;
            sqlx::query(OPENED)
                .bind(id)
                .bind(subject)
                .bind(opened.origin.name())
                .bind(i64::from(opened.museum.0))
                .bind(opened.channel.name())
                .bind(opened.amount_cents.get())
                .bind(opened.assessment.as_ref().map(|assessment| i64::from(assessment.score)))
                .bind(opened.assessment.as_ref().and_then(|assessment| assessment.probability_ppm))
                .bind(opened.assessment.as_ref().map(|assessment| assessment.model.to_string()).unwrap_or_default())
                .bind(opened.expected_loss(places.unwrap_or(0)))
                .bind(at.as_micros())
                .bind(opened.due_at.as_micros())
                .bind(opened.lapses_at.as_micros())
                .execute(tx)
                .await?
        }
        case::Event::Assigned(assigned) => {
            let to = assigned.to.map(|to| to.to_string()).unwrap_or_default();
            sqlx::query("UPDATE fraud_case SET assignee = ?2 WHERE fraud_case = ?1").bind(id).bind(to).execute(tx).await?
        }
        case::Event::Decided(decided) => {
            let ask = sqlx::query(DECIDED).bind(id).bind(decided.verdict.name()).bind(decided.reason.to_string()).bind(decided.by.to_string());
            ask.bind(at.as_micros()).execute(tx).await?
        }
        case::Event::Undone(_) => {
            sqlx::query("DELETE FROM fraud_label WHERE fraud_case = ? AND source = 'verdict'").bind(id).execute(&mut *tx).await?;
            sqlx::query(UNDONE).bind(id).execute(tx).await?
        }
        case::Event::Appealed(appealed) => {
            let ask = sqlx::query(APPEALED).bind(id).bind(at.as_micros()).bind(appealed.due_at.as_micros());
            ask.bind(appealed.lapses_at.as_micros()).execute(tx).await?
        }
        case::Event::Lapsed(_) => {
            const LAPSED: &str = "UPDATE fraud_case SET state = CASE verdict WHEN '' THEN 'lapsed' ELSE 'decided' END WHERE fraud_case = ?";
            sqlx::query(LAPSED).bind(id).execute(tx).await?
        }
        case::Event::Labelled(labelled) => {
            let known = Known { label: labelled.label, source: labelled.source, at };
            let ask = sqlx::query(LABELLED).bind(id).bind(label_name(known.label)).bind(known.source.name()).bind(i64::from(known.source.rank()));
            ask.bind(at.as_micros()).bind(known.trains_at().as_micros()).execute(tx).await?
        }
        case::Event::Acted(acted) => {
            const BLOCKED: &str = "UPDATE fraud_case SET blocked = 1 WHERE fraud_case = ?";
            // Taken back by whoever gave it, before anybody complained: nobody was hurt by that.
            const UNBLOCKED: &str = "UPDATE fraud_case SET blocked = 0 WHERE fraud_case = ? AND appealed_at IS NULL";
            match acted.action {
                Action::Block if acted.done => sqlx::query(BLOCKED).bind(id).execute(tx).await?,
                Action::Unblock if acted.done => sqlx::query(UNBLOCKED).bind(id).execute(tx).await?,
                _ => return Ok(()),
            }
        }
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use tornello_engine::ids::{KeyId, RouteId, SlotId};
    use tornello_engine::money::Cents;
    use tornello_engine::payment::{Gateway, Item, Opened};
    use tornello_engine::slot::{Arrived, Cancelled, Expired, Held, Line, MovedOut, Released, ReviewOpened, Settlement, Sold, Waited};
    use tornello_engine::tariff::Proof;

    use super::super::follow::Rows as AllRows;
    use super::*;
    use crate::journal::{Batch, StreamId, wire};

    const TABLES: [&str; 4] = [
        "SELECT json_array(subject, at, museum, channel, score, severity, data, amount_cents, review_until, wants, pickable, people, holder)
            FROM assessed ORDER BY 1",
        "SELECT json_array(kind, pseudonym, subject, at) FROM party ORDER BY 1",
        "SELECT json_array(sale, slot, people, total_cents, refunded_cents, cancelled, carried_cents, moved, origin) FROM sale ORDER BY 1",
        "SELECT json_array(ticket, sale, slot, state, changed_at) FROM ticket ORDER BY 1",
    ];

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

    /// Takes records in, so many in each round.
    async fn take_in(views: &Views, said: Vec<Told>, in_a_round: usize) {
        let mut frames = Vec::new();
        for (n, told) in said.into_iter().enumerate() {
            let (seq, at, mut frame) = (n as u64 + 1, Timestamp::from_seconds(100 + n as i64), Vec::new());
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
            rows.write(&views.pool, &batch).await.unwrap();
        }
    }

    /// Holds that are bought under more and under less suspicion, or not at all, payments that come to something and to nothing, offers of a waiting list, late sales,
    /// reviews, returns, and tickets that move on and on.
    fn story() -> Vec<Told> {
        let (here, there, beyond) = (slot_at(0), slot_at(1), slot_at(2));
        let sale = |n: u64| HoldId::new(here, n);
        let picked = (100..).map(sale).find(|sale| is_picked(Subject::Sale(*sale))).unwrap();
        let (moved, further) = (HoldId::new(there, 8), HoldId::new(beyond, 9));
        let waited =
            |entry| slot::Event::Waited(Waited { entry, number: 1, channel: Channel::Web, lines: lines(2), parties_ahead: 0, people_ahead: 0 });
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
            tables.push(sqlx::query_scalar::<_, String>(table).fetch_all(&views.pool).await.unwrap());
        }
        views.close().await;
        tables
    }

    /// However much is sold, about as many are picked in a day, each as likely as any other, and the same ones whenever it is asked.
    #[test]
    fn of_a_busy_day_as_many_are_picked_as_of_a_quiet_one_and_none_is_likelier() {
        const SALES: u64 = 100_000;
        let sale = |n: u64| Subject::Sale(HoldId::new(slot_at(0), n));
        let picked: Vec<u64> = (0..SALES).filter(|n| is_picked(sale(*n))).collect();
        let staying = |volume: u64| picked.iter().copied().filter(|n| stays_picked(sale(*n), volume)).collect::<Vec<_>>();
        assert!((4_600..5_400).contains(&picked.len()), "one in twenty: {}", picked.len());
        assert_eq!((staying(0), staying(1_440)), (picked.clone(), picked.clone()), "so few that all of them can be read");
        // 72 expected of 100,000; all bounds are four standard deviations off.
        let busy = staying(SALES);
        assert!((38..=106).contains(&busy.len()), "{}", busy.len());
        // Those of the first half of the day are as likely as those of the second, which the first to come would not be.
        let (half, early) = (SALES / 2, staying(14_400));
        let first = early.iter().filter(|n| **n < half).count();
        assert!((410..590).contains(&early.len()) && first.abs_diff(early.len() - first) < 90, "{first} of {}", early.len());
        // A day that grows takes some away and adds none.
        assert!(busy.iter().all(|n| early.contains(n)));
        assert!(!is_picked(Subject::Till(TillId(1))) && !stays_picked(Subject::Till(TillId(1)), 0));
    }

    #[tokio::test]
    async fn it_makes_no_difference_in_how_many_rounds_something_is_taken_in() {
        let one_by_one = told(1).await;
        assert_eq!(one_by_one.iter().map(Vec::len).collect::<Vec<_>>(), [14, 15, 9, 16], "{one_by_one:#?}");
        let wanting = |what: &str| one_by_one[0].iter().filter(|row| row.contains(&format!("\"{what}\""))).count();
        assert!(wanting("review") >= 5 && wanting("picked") >= 1 && wanting("hold") == 2, "{one_by_one:#?}");
        for in_a_round in [2, 3, 5, 1_000] {
            assert_eq!(told(in_a_round).await, one_by_one, "{in_a_round} in a round");
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
}
