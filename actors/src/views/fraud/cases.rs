//! The list of cases, and what each event of a case changes in it.

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tornello_engine::case::{self, Action, Known, Label, Subject};
use tornello_engine::channel::Channel;
use tornello_engine::ids::{CaseId, MuseumId};
use tornello_engine::time::Timestamp;

use super::bad;
use super::chance::lot;
use super::signs::{label_name, told};
use crate::views::{Views, ViewsError, json as written};

/// A case in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseRow {
    /// Its id.
    pub case: CaseId,
    /// The sale, the hold that was not bought, or whatever else it is about, as text.
    pub subject: String,
    /// Why there is a case.
    pub origin: String,
    /// At which museum.
    pub museum: MuseumId,
    /// Through which channel.
    pub channel: String,
    /// What is at stake.
    pub amount_cents: i64,
    /// What of its sale was paid back or is to be, wherever its tickets have moved.
    pub refunded_cents: i64,
    /// What the scorer said; none if it was not asked.
    pub score: Option<u8>,
    /// How likely fraud is, in millionths, if a model said so that has learned it from labels.
    pub probability_ppm: Option<u32>,
    /// The model that said so; empty if none was asked.
    pub model: String,
    /// What it may cost, in cents times percent.
    pub loss: i64,
    /// The order of the list, largest first: what it may cost; of one picked at random, what another one may cost that was open when it was opened, by lot. Appeals that wait
    /// stand by when somebody should look: what was refused has cost nothing, however much was asked for.
    pub urgency: i64,
    /// Whether it is an appeal that waits for somebody to look.
    pub appeals: bool,
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
    /// How long that took, in microseconds, from when it was opened, or appealed.
    pub took_us: Option<i64>,
    /// Whether that was by when somebody should have looked then: an appeal is due anew, and does not change whether the verdict before it was in time.
    pub in_time: Option<bool>,
    /// When it was appealed.
    pub appealed_at: Option<Timestamp>,
    /// Whether its tickets were blocked, or it is an attempt that was; not if a block of tickets was undone before anybody complained.
    pub blocked: bool,
    /// What is known of it: `fraud` or `legit`; empty if nothing is.
    pub label: String,
    /// Who says so: `verdict`, `chargeback`, `dispute` or `gate_refusal`; empty if nothing is known.
    pub label_by: String,
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
    /// Only those for which there is a case because of this.
    pub origin: Option<String>,
    /// Only those opened from then on.
    pub opened_from: Option<Timestamp>,
    /// Only what comes after, in the order of the list.
    pub after: Option<After>,
}

/// How far a list of cases was read: the last of those that stand by what they may cost, and the last of the appeals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct After {
    /// How many were read.
    pub count: u64,
    /// Its urgency and id; none: none was read yet.
    pub case: Option<(i64, CaseId)>,
    /// When somebody should look, in microseconds, and its id; none: none was read yet.
    pub appeal: Option<(i64, CaseId)>,
}

impl After {
    /// As far as this, and these as well.
    #[must_use]
    pub fn read(mut self, rows: &[CaseRow]) -> Self {
        self.count = self.count.saturating_add(rows.len() as u64);
        for row in rows {
            if row.appeals {
                self.appeal = Some((row.due_at.as_micros(), row.case));
            } else {
                self.case = Some((row.urgency, row.case));
            }
        }
        self
    }
}

impl Views {
    /// Cases, at most `limit`: in the order of their urgency, the most urgent first, and every [`APPEAL_PLACE`]th place for the appeal at which somebody should look first. Where
    /// there are none of the ones, the others have all places. The two are read one after the other: what is opened meanwhile may be missing.
    pub async fn fraud_cases(&self, filter: &CaseFilter, limit: u32) -> Result<Vec<CaseRow>, ViewsError> {
        let after = filter.after.unwrap_or_default();
        let cases = self.some_cases(filter, false, after.case.map(|(urgency, case)| (urgency.saturating_neg(), case)), limit).await?;
        let appeals = self.some_cases(filter, true, after.appeal, limit).await?;
        Ok(in_turn(cases, appeals, after.count, limit as usize))
    }

    /// Appeals that wait, or all others: an appeal is of an attempt that was refused, or of a sale whose tickets were blocked. The least place is first.
    async fn some_cases(&self, filter: &CaseFilter, appeals: bool, after: Option<(i64, CaseId)>, limit: u32) -> Result<Vec<CaseRow>, ViewsError> {
        const QUERY: &str = "SELECT fraud_case, subject, origin, museum, channel, amount_cents, score, model, loss, opened_at, due_at, lapses_at, state, assignee,
                verdict, reason, decided_by, decided_at, appealed_at, blocked, probability_ppm, urgency,
                coalesce((SELECT label FROM fraud_label WHERE fraud_label.fraud_case = fraud_case.fraud_case ORDER BY rank LIMIT 1), ''),
                coalesce((SELECT sale.refunded_cents FROM sale WHERE sale.sale = fraud_case.subject), 0)
                + coalesce((SELECT sum(moved.refunded_cents) FROM sale AS moved WHERE moved.origin = fraud_case.subject AND moved.settlement = 'moved'), 0),
                coalesce((SELECT source FROM fraud_label WHERE fraud_label.fraud_case = fraud_case.fraud_case ORDER BY rank LIMIT 1), ''),
                took_us, in_time
            FROM fraud_case WHERE (?1 IS NULL OR museum IN (SELECT value FROM json_each(?1))) AND (?2 IS NULL OR state IN (SELECT value FROM json_each(?2)))
            AND (?3 IS NULL OR channel = ?3) AND (?4 IS NULL OR assignee = ?4) AND (?5 IS NULL OR opened_at >= ?5)
            AND (state IN ('open', 'appealed') AND (origin = 'appeal' OR appealed_at IS NOT NULL)) = ?9 AND (?10 IS NULL OR origin = ?10)
            AND (?6 IS NULL OR iif(?9, due_at, -urgency) > ?6 OR (iif(?9, due_at, -urgency) = ?6 AND fraud_case > ?7))
            ORDER BY iif(?9, due_at, -urgency), fraud_case LIMIT ?8";
        let query = sqlx::query(QUERY)
            .bind(filter.museums.as_ref().map(written))
            .bind(filter.states.as_ref().map(written))
            .bind(filter.channel.clone())
            .bind(filter.assignee.clone())
            .bind(filter.opened_from.map(Timestamp::as_micros))
            .bind(after.map(|(place, _)| place))
            .bind(after.map(|(_, case)| case.to_string()).unwrap_or_default())
            .bind(i64::from(limit))
            .bind(i64::from(appeals))
            .bind(filter.origin.clone());
        self.found(query, |row| case_row(row, appeals)).await
    }
}

/// The how-manieth place of the queue is an appeal's, as long as one waits: so of what analysts read a fifth at most is appeals, whoever makes how many, and never less as
/// long as there are any.
pub const APPEAL_PLACE: u64 = 5;

/// Puts appeals in their places among the others, behind so many that were read.
fn in_turn(cases: Vec<CaseRow>, appeals: Vec<CaseRow>, read: u64, limit: usize) -> Vec<CaseRow> {
    let (mut cases, mut appeals) = (cases.into_iter(), appeals.into_iter());
    let mut rows = Vec::with_capacity(limit.min(cases.len() + appeals.len()));
    while rows.len() < limit {
        let place = (read % APPEAL_PLACE) + rows.len() as u64 + 1;
        let next = if place.is_multiple_of(APPEAL_PLACE) { appeals.next().or_else(|| cases.next()) } else { cases.next().or_else(|| appeals.next()) };
        let Some(row) = next else { break };
        rows.push(row);
    }
    rows
}

fn case_row(row: &SqliteRow, appeals: bool) -> Result<CaseRow, sqlx::Error> {
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
        urgency: row.try_get(21)?,
        label: row.try_get(22)?,
        refunded_cents: row.try_get(23)?,
        label_by: row.try_get(24)?,
        took_us: row.try_get(25)?,
        in_time: row.try_get(26)?,
        appeals,
    })
}

/// The urgency of something that chance has picked: that of one of the cases of its channel that are open and no appeals, by lot, so that it is as likely to be read as any of
/// them. By what it may cost it would stand behind all of them, as nobody suspects it, and those that cost most would be read alone. None if none is open.
async fn by_lot(tx: &mut SqliteConnection, channel: Channel, lot: u128) -> Result<Option<i64>, sqlx::Error> {
    const COUNT: &str =
        "SELECT count(*) FROM fraud_case WHERE state = 'open' AND channel = ? AND origin NOT IN ('picked', 'appeal') AND appealed_at IS NULL";
    const ONE: &str =
        "SELECT urgency FROM fraud_case WHERE state = 'open' AND channel = ? AND origin NOT IN ('picked', 'appeal') AND appealed_at IS NULL
        ORDER BY urgency DESC, fraud_case LIMIT 1 OFFSET ?";
    let open: u32 = sqlx::query_scalar(COUNT).bind(channel.name()).fetch_one(&mut *tx).await?;
    if open == 0 {
        return Ok(None);
    }
    let place = ((lot >> 64) % u128::from(open)) as i64;
    sqlx::query_scalar(ONE).bind(channel.name()).bind(place).fetch_optional(tx).await
}

/// What an event of a case changes.
pub(super) async fn write_case(tx: &mut SqliteConnection, id: &str, at: Timestamp, event: &case::Event) -> Result<(), sqlx::Error> {
    const OPENED: &str =
        "INSERT OR IGNORE INTO fraud_case VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', '', '', '', '', NULL, NULL, ?, NULL, NULL)";
    const PLACES: &str = "SELECT people FROM sale WHERE sale = ?1 UNION ALL SELECT people FROM attempt WHERE attempt = ?1
        UNION ALL SELECT people FROM assessed WHERE subject = ?1 LIMIT 1";
    const DECIDED: &str = "UPDATE fraud_case SET state = 'decided', verdict = ?2, reason = ?3, decided_by = ?4, decided_at = ?5,
            took_us = ?5 - coalesce(appealed_at, opened_at), in_time = ?5 <= due_at
        WHERE fraud_case = ?1";
    const UNDONE: &str =
        "UPDATE fraud_case SET state = 'open', verdict = '', reason = '', decided_by = '', decided_at = NULL, took_us = NULL, in_time = NULL
        WHERE fraud_case = ?";
    const APPEALED: &str =
        "UPDATE fraud_case SET state = CASE verdict WHEN '' THEN 'open' ELSE 'appealed' END, appealed_at = ?2, due_at = ?3, lapses_at = ?4
        WHERE fraud_case = ?1";
    const LABELLED: &str = "INSERT OR REPLACE INTO fraud_label VALUES (?, ?, ?, ?, ?, ?)";
    const WITHDRAWN: &str = "DELETE FROM fraud_label WHERE fraud_case = ? AND rank = ?";
    match event {
        case::Event::Opened(opened) => {
            let subject = opened.subject.to_string();
            sqlx::query("UPDATE assessed SET wants = '' WHERE subject = ?").bind(&subject).execute(&mut *tx).await?;
            sqlx::query("UPDATE attempt SET wants = '' WHERE attempt = ?").bind(&subject).execute(&mut *tx).await?;
            let places: Option<u32> = sqlx::query_scalar(PLACES).bind(&subject).fetch_optional(&mut *tx).await?;
            let loss = opened.expected_loss(places.unwrap_or(0));
            let urgency = match lot(opened.subject).filter(|_| opened.picked_at_random()) {
                Some(lot) => by_lot(tx, opened.channel, lot).await?,
                None => None,
            };
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
                .bind(loss)
                .bind(urgency.unwrap_or(loss))
                .bind(at.as_micros())
                .bind(opened.due_at.as_micros())
                .bind(opened.lapses_at.as_micros())
                .bind(i64::from(matches!(opened.subject, Subject::Attempt(_))))
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
            told(tx, id, labelled.label, labelled.source).await?;
            let known = Known { label: labelled.label, source: labelled.source, at };
            if known.label == Label::Withdrawn {
                sqlx::query(WITHDRAWN).bind(id).bind(i64::from(known.source.rank())).execute(tx).await?;
                return Ok(());
            }
            let ask = sqlx::query(LABELLED).bind(id).bind(label_name(known.label)).bind(known.source.name()).bind(i64::from(known.source.rank()));
            ask.bind(at.as_micros()).bind(known.trains_at().as_micros()).execute(tx).await?
        }
        case::Event::Acted(acted) => {
            const BLOCKED: &str = "UPDATE fraud_case SET blocked = 1 WHERE fraud_case = ?";
            // Taken back by whoever gave it, before anybody complained: nobody was hurt by that.
            const UNBLOCKED: &str = "UPDATE fraud_case SET blocked = 0 WHERE fraud_case = ? AND appealed_at IS NULL";
            match (acted.action, acted.done) {
                (Action::Block, true) => sqlx::query(BLOCKED).bind(id).execute(tx).await?,
                // Where verdicts follow each other faster than tickets do, what makes these good, or has them looked at again, lifts the block of an earlier one.
                (Action::Unblock | Action::Clear, true) | (Action::Review, _) => sqlx::query(UNBLOCKED).bind(id).execute(tx).await?,
                (_, false) => return Ok(()),
            }
        }
        case::Event::Joined(joined) => {
            let ask = sqlx::query("UPDATE fraud_case SET due_at = ?2 WHERE fraud_case = ?1").bind(id);
            ask.bind(joined.due_at.as_micros()).execute(tx).await?
        }
        case::Event::Renewed(renewed) => {
            let ask = sqlx::query("UPDATE fraud_case SET due_at = ?2, lapses_at = ?3 WHERE fraud_case = ?1").bind(id);
            ask.bind(renewed.due_at.as_micros()).bind(renewed.lapses_at.as_micros()).execute(tx).await?
        }
        // No case of its own.
        case::Event::Followed(_) => return Ok(()),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use tornello_engine::ids::KeyId;

    use super::*;

    /// As many cases of a great loss as are asked for, and appeals that ask for more than any of them.
    async fn put(views: &Views, cases: u64, appeals: u64) {
        const CASE: &str =
            "INSERT INTO fraud_case VALUES (?, ?, ?, 3, 'web', 1, 100, NULL, '', ?, ?, 0, ?, 0, 'open', '', '', '', '', NULL, ?, 1, NULL, NULL)";
        for n in 0..cases + appeals {
            let (origin, urgency, appealed_at) = if n < cases { ("review", 1_000 + n, None) } else { ("appeal", 1_000_000, Some(1_i64)) };
            let ask = sqlx::query(CASE).bind(CaseId(n).to_string()).bind(format!("subject-{n}")).bind(origin);
            let ask = ask.bind(urgency as i64).bind(urgency as i64).bind(10_000 - n as i64).bind(appealed_at);
            ask.execute(&views.pool()).await.unwrap();
        }
    }

    /// All that is in the list, read in pages of that size.
    async fn pages(views: &Views, size: u32) -> Vec<CaseRow> {
        let (mut read, mut after) = (Vec::new(), After::default());
        loop {
            let filter = CaseFilter { after: Some(after), states: Some(vec!["open".to_owned(), "appealed".to_owned()]), ..CaseFilter::default() };
            let mut rows = views.fraud_cases(&filter, size + 1).await.unwrap();
            let is_last = rows.len() <= size as usize;
            rows.truncate(size as usize);
            after = after.read(&rows);
            read.extend(rows);
            if is_last {
                return read;
            }
        }
    }

    #[tokio::test]
    async fn whoever_appeals_as_often_as_they_like_has_every_fifth_place_of_the_queue_by_when_it_is_due() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        put(&views, 12, 30).await;
        for size in [1, 3, 7, 50] {
            let rows = pages(&views, size).await;
            let appeals: Vec<bool> = rows.iter().map(|row| row.appeals).collect();
            let expected: Vec<bool> = (1..=42_u64).map(|place| place > 15 || place.is_multiple_of(APPEAL_PLACE)).collect();
            assert_eq!(appeals, expected, "in pages of {size}");
            let losses: Vec<i64> = rows.iter().filter(|row| !row.appeals).map(|row| row.urgency).collect();
            let due: Vec<i64> = rows.iter().filter(|row| row.appeals).map(|row| row.due_at.as_micros()).collect();
            assert!(losses.is_sorted_by(|a, b| a > b) && due.is_sorted_by(|a, b| a < b), "{losses:?} {due:?}");
        }
        // Nobody else waits: then they have all places. What was decided stands by what it may cost, whether it was appealed or not.
        sqlx::query("UPDATE fraud_case SET state = 'decided' WHERE origin = 'review'").execute(&views.pool()).await.unwrap();
        assert!(pages(&views, 7).await.iter().all(|row| row.appeals));
        sqlx::query("UPDATE fraud_case SET state = 'decided'").execute(&views.pool()).await.unwrap();
        let decided = views.fraud_cases(&CaseFilter { states: Some(vec!["decided".to_owned()]), ..CaseFilter::default() }, 100).await.unwrap();
        assert!(decided.len() == 42 && decided.iter().all(|row| !row.appeals) && decided[0].urgency == 1_000_000);
        views.close().await;
    }

    #[tokio::test]
    async fn a_sale_is_blocked_no_more_when_what_follows_from_a_later_verdict_has_lifted_that() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        put(&views, 1, 0).await;
        let blocked_after = async |action: Action, done: bool| {
            let mut connection = views.pool().acquire().await.unwrap();
            for (action, done) in [(Action::Block, true), (action, done)] {
                let event = case::Event::Acted(case::Acted { action, done });
                write_case(&mut connection, &CaseId(0).to_string(), Timestamp::from_seconds(1), &event).await.unwrap();
            }
            drop(connection);
            views.fraud_cases(&CaseFilter::default(), 2).await.unwrap()[0].blocked
        };
        for (action, done, blocked) in [
            (Action::Unblock, true, false),
            (Action::Unblock, false, true),
            (Action::Clear, true, false),
            (Action::Clear, false, true),
            (Action::Review, true, false),
            // There was no time for a review, and the block is lifted all the same.
            (Action::Review, false, false),
        ] {
            assert_eq!(blocked_after(action, done).await, blocked, "{action:?} {done}");
        }
        // Somebody was hurt by it who had to complain.
        sqlx::query("UPDATE fraud_case SET appealed_at = 1").execute(&views.pool()).await.unwrap();
        assert!(blocked_after(Action::Clear, true).await);
        views.close().await;
    }

    #[tokio::test]
    async fn an_appeal_is_due_anew_and_makes_no_late_verdict_one_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        // Opened at 0, and due at 10,000.
        put(&views, 1, 0).await;
        let decided = |verdict| case::Event::Decided(case::Decided { verdict, reason: "seen".parse().unwrap(), by: KeyId(4) });
        let undone = case::Event::Undone(case::Undone { verdict: case::Verdict::Fraud });
        let appealed = case::Event::Appealed(case::Appealed { due_at: Timestamp::from_micros(100_000), lapses_at: Timestamp::from_micros(200_000) });
        let look = async |at_us: i64, events: &[case::Event]| {
            let mut connection = views.pool().acquire().await.unwrap();
            for event in events {
                write_case(&mut connection, &CaseId(0).to_string(), Timestamp::from_micros(at_us), event).await.unwrap();
            }
            drop(connection);
            let row = views.fraud_cases(&CaseFilter::default(), 2).await.unwrap().remove(0);
            (row.took_us, row.in_time)
        };
        assert_eq!(look(20_000, &[decided(case::Verdict::Fraud)]).await, (Some(20_000), Some(false)));
        assert_eq!(look(50_000, &[appealed]).await, (Some(20_000), Some(false)), "what came late came late");
        assert_eq!(look(60_000, &[undone.clone(), decided(case::Verdict::Legit)]).await, (Some(10_000), Some(true)), "from the appeal on");
        assert_eq!(look(70_000, &[undone]).await, (None, None));
        views.close().await;
    }

    #[tokio::test]
    async fn what_is_to_be_looked_at_again_is_due_anew() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        put(&views, 1, 0).await;
        let at = Timestamp::from_seconds;
        let events = [
            case::Event::Undone(case::Undone { verdict: case::Verdict::Legit }),
            case::Event::Renewed(case::Renewed { due_at: at(20), lapses_at: at(30) }),
        ];
        let mut connection = views.pool().acquire().await.unwrap();
        for event in events {
            write_case(&mut connection, &CaseId(0).to_string(), at(10), &event).await.unwrap();
        }
        drop(connection);
        let row = views.fraud_cases(&CaseFilter::default(), 2).await.unwrap().remove(0);
        assert_eq!((row.state.as_str(), row.due_at, row.lapses_at), ("open", at(20), at(30)));
        views.close().await;
    }
}
