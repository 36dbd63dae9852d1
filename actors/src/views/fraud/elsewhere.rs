//! Of which sales a gate refused a ticket that had come in by another gate not long before: two people may be in on it, so somebody reads of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use tornello_engine::ids::{Code, TicketId};
use tornello_engine::slot::{Admitted, ScansJudged, TicketState};
use tornello_engine::time::MICROS_PER_S;

use crate::fraud::hearing::ELSEWHERE_S;
use crate::views::{json as written, sales};

/// See [`ELSEWHERE_S`], in microseconds.
const ELSEWHERE_US: i64 = ELSEWHERE_S * MICROS_PER_S;
/// Of how many sales a day that is read, the first ones: nothing says that so many come, and who does is nearly always honest where exits are not scanned.
pub(super) const MET_A_DAY: u32 = 20;

/// What some batches say of where tickets came in, and where they were refused.
#[derive(Debug, Default)]
pub(super) struct Entered {
    /// Where and when tickets came in last.
    last: BTreeMap<TicketId, (Code, i64)>,
    /// (sale, time, ticket, gate) of tickets that a gate refused because somebody is in on them, in that order; without a ticket: they came in elsewhere, as is known already.
    inside: Vec<Value>,
}

impl Entered {
    /// A gate let a ticket in, as a record of that time says.
    pub(super) fn admitted(&mut self, admitted: &Admitted, at: i64) {
        let since = admitted.scanned_at.map_or(at, |scanned_at| scanned_at.as_micros().min(at));
        self.last.insert(admitted.ticket, (admitted.gate, since));
    }

    /// Scans of gates without a network say where a ticket is.
    pub(super) fn judged(&mut self, judged: &ScansJudged, at: i64) {
        if let (TicketState::Inside { since, .. }, Some(gate)) = (judged.state, sales::gate_of(judged, at)) {
            self.last.insert(judged.ticket, (gate, since.as_micros()));
        }
    }

    /// A gate refused a ticket because somebody is in on it.
    pub(super) fn refused(&mut self, ticket: TicketId, gate: Code, at: i64) {
        let sale = ticket.sale().to_string();
        match self.last.get(&ticket) {
            Some((other, since)) if *other != gate && at - since <= ELSEWHERE_US => self.inside.push(json!([sale, at])),
            Some(_) => {}
            // It came in before these batches.
            None => self.inside.push(json!([sale, at, ticket.to_string(), gate.as_str()])),
        }
    }

    /// See [`super::Rows::elsewhere`].
    pub(super) async fn elsewhere(&self, tx: &mut SqliteConnection) -> Result<Vec<(String, i64)>, sqlx::Error> {
        const QUERY: &str = "SELECT value ->> 0, value ->> 1 FROM jsonb_each(?1) LEFT JOIN ticket ON ticket.ticket = value ->> 2
            WHERE value ->> 2 IS NULL OR (ticket.gate NOT IN ('', value ->> 3) AND value ->> 1 - ticket.changed_at <= ?2) ORDER BY jsonb_each.key";
        if self.inside.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(QUERY).bind(written(&self.inside)).bind(ELSEWHERE_US).fetch_all(tx).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }
}

/// A ticket of a sale was refused that had come in elsewhere: the sale wants a case, if it has none and not too many do on that day. That alone is no sign of fraud.
pub(super) async fn write_met(tx: &mut SqliteConnection, sale: &str, at: i64) -> Result<(), sqlx::Error> {
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

#[cfg(test)]
mod tests {
    use tornello_engine::ids::{HoldId, MuseumId, RouteId, SlotId};
    use tornello_engine::slot::{Direction, Judged, JudgedScan, Scan};
    use tornello_engine::time::Timestamp;

    use super::*;

    #[test]
    fn a_gate_without_a_network_says_where_somebody_came_in_as_well() {
        let slot = SlotId::new(MuseumId(3), RouteId(1), Timestamp::from_seconds(1_800_000_000));
        let (ticket, since) = (HoldId::new(slot, 1).ticket(0), Timestamp::from_seconds(1_000));
        let gate = |name: &str| name.parse::<Code>().unwrap();
        let scans = |judged| {
            let scan = Scan { ticket, scanned_at: since, gate: gate("north"), direction: Direction::In };
            let state = TicketState::Inside { first_at: since, since, entries: 1 };
            ScansJudged { ticket, scans: vec![JudgedScan { scan, before: None, judged }], state, used: true }
        };
        let refused = |judged, at_gate: &str, after_s| {
            let (mut entered, at) = (Entered::default(), since.plus_seconds(after_s).as_micros());
            entered.judged(&scans(judged), at);
            entered.refused(ticket, gate(at_gate), at);
            entered.inside
        };
        let (sale, at) = (ticket.sale().to_string(), since.plus_seconds(3_600).as_micros());
        assert_eq!(refused(Judged::Passed, "south", 3_600), [json!([sale, at])]);
        assert!(refused(Judged::Passed, "south", 3_601).is_empty() && refused(Judged::Passed, "north", 1).is_empty());
        // Where the scan let nobody in, somebody came in before.
        assert_eq!(refused(Judged::LeftUnseen, "south", 3_600), [json!([sale, at, ticket.to_string(), "south"])]);
    }
}
