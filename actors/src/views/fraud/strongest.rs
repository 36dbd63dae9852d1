//! The most suspicious thing that whoever a case is about did on that day: a case is opened by the first one, when what gives them away has often not happened yet.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tornello_engine::calendar;
use tornello_engine::case::Subject;
use tornello_engine::envelope::{Assessment, PartyKind};
use tornello_engine::ids::MuseumId;
use tornello_engine::money::Cents;
use tornello_engine::time::Timestamp;

use super::{bad, read_said};
use crate::views::{Views, ViewsError, json as written};

/// Who is one person. Behind one network are many.
const PERSON: [&str; 3] = [PartyKind::Buyer.name(), PartyKind::Device.name(), PartyKind::Card.name()];
/// Who counts where no person is known.
const ELSE: [&str; 2] = [PartyKind::Account.name(), PartyKind::Operator.name()];
/// What one party did on a day, the last of it: of that what was scored higher than `?6`, the highest first. `?7` are the museums, none: all.
const QUERY: &str = "SELECT lately.subject, lately.at, assessed.museum, assessed.amount_cents, assessed.data,
        EXISTS (SELECT 1 FROM sale WHERE sale.sale = lately.subject)
    FROM (SELECT subject, at FROM party WHERE kind = ?1 AND pseudonym = ?2 AND at >= ?3 AND at < ?4 ORDER BY at DESC, subject LIMIT ?5) AS lately
        CROSS JOIN assessed ON assessed.subject = lately.subject
    WHERE assessed.score > ?6 AND assessed.data <> '' AND (?7 IS NULL OR assessed.museum IN (SELECT value FROM json_each(?7)))
    ORDER BY assessed.score DESC, lately.at, lately.subject LIMIT 1";
/// See [`QUERY`].
const OF_ONE_MAX: u32 = 1_000;

/// Something that was scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strongest {
    /// What.
    pub subject: Subject,
    /// When whoever it is took part in it.
    pub at: Timestamp,
    /// At which museum.
    pub museum: MuseumId,
    /// What is at stake.
    pub amount_cents: Cents,
    /// What the scorer said.
    pub assessment: Assessment,
}

impl Views {
    /// Of what the same buyer, device or card (where none is known: the same account or operator) did on the same day in Rome as a thing, at these museums (none: at all), what was
    /// scored highest; none if nothing was scored higher than that.
    pub async fn strongest_of(&self, subject: &str, than: u8, museums: Option<&[MuseumId]>) -> Result<Option<Strongest>, ViewsError> {
        const SINCE: &str = "SELECT min(at) FROM party WHERE subject = ?";
        let since: Option<i64> = sqlx::query_scalar(SINCE).bind(subject).fetch_one(&self.pool()).await.map_err(|error| self.noted(error))?;
        let Some(since) = since else { return Ok(None) };
        let (from, to) = day_around(Timestamp::from_micros(since));
        let parties = self.parties_of(subject).await?;
        let has_person = parties.iter().any(|(kind, _)| PERSON.contains(&kind.as_str()));
        let kinds: &[&str] = if has_person { &PERSON } else { &ELSE };
        let museums = museums.map(|museums| written(&museums));
        let mut strongest: Option<Strongest> = None;
        for (kind, pseudonym) in parties.iter().filter(|(kind, _)| kinds.contains(&kind.as_str())) {
            let than = strongest.as_ref().map_or(than, |found| found.assessment.score);
            let ask = sqlx::query(QUERY).bind(kind).bind(pseudonym).bind(from.as_micros()).bind(to.as_micros());
            let ask = ask.bind(OF_ONE_MAX).bind(i64::from(than)).bind(museums.as_deref());
            let row = ask.fetch_optional(&self.pool()).await.map_err(|error| self.noted(error))?;
            if let Some(row) = row {
                strongest = strongest_row(&row).map_err(|error| self.noted(error))?.or(strongest);
            }
        }
        Ok(strongest)
    }
}

/// From when to before when it is the same day in Rome.
fn day_around(at: Timestamp) -> (Timestamp, Timestamp) {
    let day = calendar::local_day(at);
    let next = day.tomorrow().unwrap_or(day);
    (calendar::instant(day.at(0, 0, 0, 0)), calendar::instant(next.at(0, 0, 0, 0)))
}

/// None if what was said cannot be read.
fn strongest_row(row: &SqliteRow) -> Result<Option<Strongest>, sqlx::Error> {
    let Some(assessment) = read_said(&row.try_get::<String, _>(4)?) else { return Ok(None) };
    let is_sold = row.try_get::<i64, _>(5)? != 0;
    let subject = match row.try_get::<String, _>(0)?.parse::<Subject>().map_err(bad)? {
        Subject::Sale(hold) if !is_sold => Subject::Hold(hold),
        other => other,
    };
    let (at, museum) = (Timestamp::from_micros(row.try_get(1)?), MuseumId(row.try_get(2)?));
    Ok(Some(Strongest { subject, at, museum, amount_cents: Cents::new(row.try_get(3)?), assessment }))
}

#[cfg(test)]
mod tests {
    use tornello_engine::envelope::Outcome;
    use tornello_engine::ids::{HoldId, RouteId, SlotId};

    use super::super::said;
    use super::super::tests::by;
    use super::*;

    /// Something of a museum that was scored so, in which these took part then.
    async fn put(views: &Views, hold: HoldId, at: Timestamp, score: u8, parties: &[(&str, &str)]) {
        const ASSESSED: &str = "INSERT INTO assessed VALUES (?, ?, ?, 'web', ?, 2, ?, 100, NULL, '', 0, 2, '')";
        let of = by(1, Some((Outcome::Review, score))).assessment.map(|assessment| said(&assessment));
        let ask = sqlx::query(ASSESSED).bind(hold.to_string()).bind(at.as_micros()).bind(i64::from(hold.slot().museum().0));
        ask.bind(i64::from(score)).bind(of.unwrap()).execute(&views.pool()).await.unwrap();
        for (kind, pseudonym) in parties {
            let ask = sqlx::query("INSERT INTO party VALUES (?, ?, ?, ?)").bind(hold.to_string()).bind(*kind).bind(*pseudonym);
            ask.bind(at.as_micros()).execute(&views.pool()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn of_what_the_same_person_did_on_the_day_in_rome_that_which_was_scored_highest_is_found_by_time() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let start = Timestamp::from_seconds(1_800_000_000);
        let (day, next) = day_around(start);
        let of = |museum: u16, n: u64| HoldId::new(SlotId::new(MuseumId(museum), RouteId(1), start), n);
        let (device, network) = (("device", "aa"), ("network", "bb"));
        let things = [
            (of(3, 1), day, 40, vec![device, network]),
            (of(3, 2), next.plus_seconds(-1), 60, vec![device]),
            (of(4, 3), day.plus_seconds(60), 70, vec![device]),
            // Another day, somebody else of the same network, and a desk.
            (of(3, 4), next, 90, vec![device]),
            (of(3, 5), day.plus_seconds(-1), 90, vec![device]),
            (of(3, 6), day, 90, vec![network]),
            (of(3, 7), day, 30, vec![("operator", "cc"), network]),
            (of(3, 8), day, 50, vec![("operator", "cc")]),
        ];
        for (hold, at, score, parties) in &things {
            put(&views, *hold, *at, *score, parties).await;
        }
        let found = async |hold: HoldId, than: u8, museums: Option<&[MuseumId]>| {
            let found = views.strongest_of(&hold.to_string(), than, museums).await.unwrap();
            found.map(|found| (found.subject, found.assessment.score))
        };
        assert_eq!(found(of(3, 1), 40, None).await, Some((Subject::Hold(of(4, 3)), 70)));
        assert_eq!(found(of(3, 1), 40, Some(&[MuseumId(3)])).await, Some((Subject::Hold(of(3, 2)), 60)));
        assert_eq!(found(of(3, 1), 40, Some(&[MuseumId(5)])).await, None);
        assert_eq!(found(of(4, 3), 70, None).await, None, "nothing was scored higher");
        assert_eq!(found(of(3, 7), 30, None).await, Some((Subject::Hold(of(3, 8)), 50)), "of nobody else is anything known");
        assert_eq!(found(of(3, 9), 0, None).await, None, "nobody took part");
        let steps = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {QUERY}"))).fetch_all(&views.pool()).await.unwrap();
        let steps: Vec<String> = steps.iter().map(|step| step.get("detail")).collect();
        assert!(steps.iter().any(|step| step.contains("party_by_time (kind=? AND pseudonym=? AND at>? AND at<?)")), "{steps:?}");
        assert!(steps.iter().any(|step| step.contains("assessed USING PRIMARY KEY (subject=?)")), "{steps:?}");
        views.close().await;
    }
}
