//! What chance picks of all that nobody suspects: a lot for each sale and return, and how many there are to pick from.

use std::collections::BTreeMap;

use sqlx::Row;
use tornello_engine::case::Subject;
use tornello_engine::envelope::Outcome;
use tornello_engine::time::Timestamp;

use super::bad;
use crate::views::{Views, ViewsError};

/// Of so many sales and returns that nobody suspects, one may be looked at all the same.
const PICKED_ONE_IN: u128 = 20;
/// How many of these are looked at in 24 hours, on average, where one in twenty would be more: an analyst has no time for more.
const PICKED_A_DAY: u128 = 72;
/// An hour, in microseconds.
const HOUR_US: i64 = 3_600_000_000;

/// The lot of a sale or a return: the same one however often it is drawn, and a return's whatever its sale's is. Nothing else has one.
fn lot(subject: Subject) -> Option<u128> {
    match subject {
        Subject::Sale(sale) => Some(crate::digest::digest(&[b"picked", &sale.get().to_be_bytes()]).0),
        Subject::Return { sale, seq } => Some(crate::digest::digest(&[b"picked", &sale.get().to_be_bytes(), &seq.to_be_bytes()]).0),
        Subject::Attempt(_) | Subject::Till(_) => None,
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

impl Views {
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
}

#[cfg(test)]
mod tests {
    use tornello_engine::ids::{HoldId, MuseumId, RouteId, SlotId, TillId};

    use super::*;

    /// However much is sold, about as many are picked in a day, each as likely as any other, and the same ones whenever it is asked.
    #[test]
    fn of_a_busy_day_as_many_are_picked_as_of_a_quiet_one_and_none_is_likelier() {
        const SALES: u64 = 100_000;
        let slot = SlotId::new(MuseumId(3), RouteId(1), Timestamp::from_seconds(1_800_000_000));
        let sale = |n: u64| Subject::Sale(HoldId::new(slot, n));
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
}
