//! What chance picks of all that nobody suspects: a lot for each sale, return and refused attempt, and how many there are to pick from.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tornello_engine::case::Subject;
use tornello_engine::envelope::Outcome;
use tornello_engine::time::Timestamp;

use super::bad;
use crate::views::{Views, ViewsError};

/// Of so many sales and returns that nobody suspects, and of so many attempts that rules refused, one may be looked at all the same.
pub const PICKED_ONE_IN: u64 = 20;
/// An hour, in microseconds.
const HOUR_US: i64 = 3_600_000_000;

/// Something that chance has picked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// What.
    pub subject: Subject,
    /// Through which channel.
    pub channel: String,
    /// When it was assessed, or tried.
    pub at: Timestamp,
}

/// How many things there were, by channel and hour: of UTC, counted from 1970. Hours without any are left out.
pub type ByHour = BTreeMap<(String, i64), u32>;

/// The lot of a sale, a return or an attempt: the same one however often it is drawn, and a return's whatever its sale's is. Nothing else has one.
pub(super) fn lot(subject: Subject) -> Option<u128> {
    match subject {
        Subject::Sale(sale) => Some(crate::digest::digest(&[b"picked", &sale.get().to_be_bytes()]).0),
        Subject::Return { sale, seq } => Some(crate::digest::digest(&[b"picked", &sale.get().to_be_bytes(), &seq.to_be_bytes()]).0),
        // Its id is drawn at random by us, so nobody can choose a lot.
        Subject::Attempt(attempt) => Some(crate::digest::digest(&[b"picked", &attempt.get().to_be_bytes()]).0),
        Subject::Till(_) | Subject::Hold(_) => None,
    }
}

/// Whether a sale, a return or a refused attempt is picked at random: one in twenty.
#[must_use]
pub fn is_picked(subject: Subject) -> bool {
    lot(subject).is_some_and(|lot| lot.is_multiple_of(u128::from(PICKED_ONE_IN)))
}

/// Whether something that is picked stays so where chance picks from `volume` things in 24 hours, and has `a_day_milli` thousandths of one to pick: all, as long as one in
/// twenty is no more than that, else as many as come to that on average, by lot. What stays at a volume stays at every smaller one.
#[must_use]
pub fn stays_picked(subject: Subject, volume: u64, a_day_milli: u64) -> bool {
    // The upper half of a lot says nothing of its remainder, by which it was picked. Volumes and budgets have 32 bits each: nothing here is near 128.
    let most = u128::from(a_day_milli) * u128::from(PICKED_ONE_IN);
    lot(subject).is_some_and(|lot| (lot >> 64) * u128::from(volume) * 1_000 < most << 64)
}

impl Views {
    /// What chance has picked from one instant to before another and has no case: see [`is_picked`].
    pub async fn picked_at_random(&self, from: Timestamp, to: Timestamp) -> Result<Vec<Drawn>, ViewsError> {
        const QUERY: &str = "SELECT subject, channel, at FROM assessed WHERE wants = 'picked' AND at >= ?1 AND at < ?2
            UNION ALL SELECT attempt, channel, at FROM attempt WHERE wants = 'picked' AND at >= ?1 AND at < ?2 ORDER BY 3, 1";
        let rows = sqlx::query(QUERY).bind(from.as_micros()).bind(to.as_micros()).fetch_all(&self.pool()).await.map_err(|error| self.noted(error))?;
        let read = |row: &SqliteRow| {
            let subject = row.try_get::<String, _>(0)?.parse::<Subject>().map_err(bad)?;
            Ok(Drawn { subject, channel: row.try_get(1)?, at: Timestamp::from_micros(row.try_get(2)?) })
        };
        rows.iter().map(read).collect()
    }

    /// Of how many sales and returns that were picked, and whose cases were opened since an instant, it is known by now what they were; by channel.
    pub async fn picked_known(&self, since: Timestamp) -> Result<BTreeMap<String, u32>, ViewsError> {
        const QUERY: &str = "SELECT channel, count(*) FROM fraud_case WHERE origin = 'picked' AND opened_at >= ?
            AND EXISTS (SELECT 1 FROM fraud_label WHERE fraud_label.fraud_case = fraud_case.fraud_case)
            AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.attempt = fraud_case.subject) GROUP BY 1";
        let rows = sqlx::query(QUERY).bind(since.as_micros()).fetch_all(&self.pool()).await.map_err(|error| self.noted(error))?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// How many sales and returns were assessed since an instant that nobody suspected, by channel: all that chance picks from, but refused attempts.
    pub async fn unsuspected(&self, since: Timestamp) -> Result<BTreeMap<String, u32>, ViewsError> {
        const QUERY: &str = "SELECT channel, count(*) FROM assessed WHERE at >= ? AND severity < ? AND pickable GROUP BY 1";
        let rows = sqlx::query(QUERY)
            .bind(since.as_micros())
            .bind(Outcome::Review as u8)
            .fetch_all(&self.pool())
            .await
            .map_err(|error| self.noted(error))?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// As [`Self::unsuspected`], from one instant to before another, by hour.
    pub async fn unsuspected_by_hour(&self, from: Timestamp, to: Timestamp) -> Result<ByHour, ViewsError> {
        const QUERY: &str = "SELECT channel, at / ?1, count(*) FROM assessed WHERE at >= ?2 AND at < ?3 AND severity < ?4 AND pickable GROUP BY 1, 2";
        let ask = sqlx::query(QUERY).bind(HOUR_US).bind(from.as_micros()).bind(to.as_micros()).bind(Outcome::Review as u8);
        by_hour(&ask.fetch_all(&self.pool()).await.map_err(|error| self.noted(error))?)
    }

    /// How many attempts were blocked from one instant to before another, as far as they are kept, by hour.
    pub async fn refused_by_hour(&self, from: Timestamp, to: Timestamp) -> Result<ByHour, ViewsError> {
        const QUERY: &str = "SELECT channel, at / ?1, count(*) FROM attempt WHERE ending = 'blocked' AND at >= ?2 AND at < ?3 GROUP BY 1, 2";
        let ask = sqlx::query(QUERY).bind(HOUR_US).bind(from.as_micros()).bind(to.as_micros());
        by_hour(&ask.fetch_all(&self.pool()).await.map_err(|error| self.noted(error))?)
    }
}

fn by_hour(rows: &[SqliteRow]) -> Result<ByHour, ViewsError> {
    rows.iter().map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?))).collect()
}

#[cfg(test)]
mod tests {
    use tornello_engine::ids::{HoldId, MuseumId, RouteId, SlotId, TillId};

    use super::*;

    /// However much is sold, about as many are picked in a day, each as likely as any other, and the same ones whenever it is asked.
    #[test]
    fn of_a_busy_day_as_many_are_picked_as_of_a_quiet_one_and_none_is_likelier() {
        const SALES: u64 = 100_000;
        const A_DAY_MILLI: u64 = 72_000;
        let slot = SlotId::new(MuseumId(3), RouteId(1), Timestamp::from_seconds(1_800_000_000));
        let sale = |n: u64| Subject::Sale(HoldId::new(slot, n));
        let picked: Vec<u64> = (0..SALES).filter(|n| is_picked(sale(*n))).collect();
        let staying = |volume: u64| picked.iter().copied().filter(|n| stays_picked(sale(*n), volume, A_DAY_MILLI)).collect::<Vec<_>>();
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
        assert!(busy.iter().all(|n| !stays_picked(sale(*n), SALES, 0)), "nobody has time for any");
        assert!(!is_picked(Subject::Till(TillId(1))) && !stays_picked(Subject::Till(TillId(1)), 0, A_DAY_MILLI));
    }
}
