//! Bookings out of the lists, as models of who comes see them: what was known when each was made, what became of it, and when places were given back. No buyer, no
//! reference, no ticket.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tornello_engine::ids::{BadId, HoldId, KeyId, MuseumId, SlotId};
use tornello_engine::time::Timestamp;

use super::{Views, ViewsError, ids_of, json};

/// A booking: what is known of a sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking {
    /// For which slot.
    pub slot: SlotId,
    /// When it was made.
    pub made_at: Timestamp,
    /// Through which channel.
    pub channel: String,
    /// How it was paid: `free`, `desk`, `on_account`, `moved` or `payment`.
    pub settlement: String,
    /// For how many people.
    pub people: u32,
    /// What all of them pay.
    pub total_cents: i64,
    /// How many of them were given back or moved elsewhere.
    pub gone: u32,
    /// How many of those that are gone were moved elsewhere.
    pub moved: u32,
    /// How many were let in.
    pub admitted: u32,
    /// When the last of those that are gone went; none: none is.
    pub gone_at: Option<Timestamp>,
}

impl Booking {
    /// How many of its people still have a place.
    #[must_use]
    pub const fn standing(&self) -> u32 {
        self.people.saturating_sub(self.gone)
    }
}

/// Of a sale that lost tickets, when the last one went is found among its tickets: their ids are its own but for the last 16 bits, which are in the last four characters.
const COLUMNS: &str = "slot, sold_at, channel, settlement, people, total_cents, cancelled + moved, admitted,
    CASE WHEN cancelled + moved > 0 THEN (SELECT max(changed_at) FROM ticket
        WHERE ticket.ticket BETWEEN sale.sale AND substr(sale.sale, 1, 22) || '~' AND ticket.sale = sale.sale AND ticket.state IN ('cancelled', 'moved')) END, moved";

/// The query of [`Views::bookings_at`]. The plus keeps it from the index by museum, in which it would go through all that was ever sold there.
fn at() -> String {
    format!(
        "SELECT {COLUMNS}, sale FROM sale WHERE +museum = ?1 AND starts >= ?2 AND starts < ?3 AND (?4 IS NULL OR owner = ?4) ORDER BY starts, sale LIMIT ?5"
    )
}

fn read(row: &SqliteRow) -> Result<Booking, sqlx::Error> {
    let bad = |error: BadId| sqlx::Error::Decode(error.into());
    Ok(Booking {
        slot: row.try_get::<String, _>(0)?.parse().map_err(bad)?,
        made_at: Timestamp::from_micros(row.try_get(1)?),
        channel: row.try_get(2)?,
        settlement: row.try_get(3)?,
        people: row.try_get(4)?,
        total_cents: row.try_get(5)?,
        gone: row.try_get(6)?,
        admitted: row.try_get(7)?,
        gone_at: row.try_get::<Option<i64>, _>(8)?.map(Timestamp::from_micros),
        moved: row.try_get(9)?,
    })
}

impl Views {
    /// The bookings of slots that start from `from` up to before `to`, in the order of these starts; of more than `most` the newest.
    pub async fn bookings(&self, from: Timestamp, to: Timestamp, most: u32) -> Result<Vec<Booking>, ViewsError> {
        let query = format!("SELECT {COLUMNS} FROM sale WHERE starts >= ?1 AND starts < ?2 ORDER BY starts DESC, sale DESC LIMIT ?3");
        let pool = self.pool();
        let mut rows = sqlx::query(sqlx::AssertSqlSafe(query)).bind(from.as_micros()).bind(to.as_micros()).bind(i64::from(most)).fetch(&pool);
        // They may be a quarter of a million: each is read as it arrives, and its row dropped.
        let mut bookings = Vec::new();
        while let Some(row) = rows.next().await {
            bookings.push(row.and_then(|row| read(&row)).map_err(|error| self.noted(error))?);
        }
        bookings.reverse();
        Ok(bookings)
    }

    /// The bookings of a museum for slots that start from `from` up to before `to`, with their sales, in the order of these starts, at most `most`; only those that a key made, if
    /// one is named.
    pub async fn bookings_at(
        &self,
        museum: MuseumId,
        (from, to): (Timestamp, Timestamp),
        who: Option<KeyId>,
        most: u32,
    ) -> Result<Vec<(HoldId, Booking)>, ViewsError> {
        let query = sqlx::query(sqlx::AssertSqlSafe(at()))
            .bind(i64::from(museum.0))
            .bind(from.as_micros())
            .bind(to.as_micros())
            .bind(who.map(|who| who.to_string()))
            .bind(i64::from(most));
        let bad = |error: BadId| sqlx::Error::Decode(error.into());
        let of = |row: &SqliteRow| Ok::<_, sqlx::Error>((row.try_get::<String, _>(10)?.parse::<HoldId>().map_err(bad)?, read(row)?));
        self.found(query, of).await
    }

    /// The bookings of some slots.
    pub async fn bookings_of(&self, slots: &[SlotId]) -> Result<Vec<Booking>, ViewsError> {
        let query = format!("SELECT {COLUMNS} FROM json_each(?1) CROSS JOIN sale ON sale.sale BETWEEN value ->> 0 AND value ->> 1");
        let slots: BTreeSet<(String, String)> = slots.iter().map(|&slot| ids_of(slot)).collect();
        let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(json(&slots));
        self.found(query, read).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bookings_of_a_museum_are_found_by_their_day() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let steps = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", at()))).fetch_all(&views.pool()).await.unwrap();
        let steps: Vec<String> = steps.iter().map(|row| row.get("detail")).collect();
        assert!(steps[0].contains("sale_by_start") && !steps.iter().any(|step| step.contains("TEMP B-TREE")), "{steps:?}");
        views.close().await;
    }
}
