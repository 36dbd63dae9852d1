//! What is known by now of the sales that there was a case about: for whoever compares what was said of them.

use std::collections::HashMap;

use sqlx::Row;
use tornello_engine::case::Subject;
use tornello_engine::time::Timestamp;

use crate::fraud::shadows::Known;
use crate::views::{Views, ViewsError};

impl Views {
    /// What is known of sales, by their numbers, from the cases that were opened last, at most `limit` of them: what is known of a sale's return is known of the sale as
    /// well, unless that has a case of its own. Of what says something of a case the most credible counts.
    pub async fn known_of_sales(&self, limit: u32) -> Result<HashMap<u128, Known>, ViewsError> {
        const QUERY: &str = "SELECT subject, opened_at, known FROM (SELECT subject, opened_at,
                (SELECT label FROM fraud_label WHERE fraud_label.fraud_case = fraud_case.fraud_case ORDER BY rank LIMIT 1) AS known
                FROM fraud_case ORDER BY opened_at DESC LIMIT ?)
            WHERE known IS NOT NULL";
        let rows = sqlx::query(QUERY).bind(i64::from(limit)).fetch_all(&self.pool()).await.map_err(|error| self.noted(error))?;
        let (mut known, mut of_returns) = (HashMap::new(), HashMap::new());
        for row in &rows {
            let (opened_at, label): (i64, String) = (row.try_get(1)?, row.try_get(2)?);
            let said = Known { opened_at: Timestamp::from_micros(opened_at), is_fraud: label == "fraud" };
            match row.try_get::<String, _>(0)?.parse() {
                // A hold that was not bought has the number of its sale, and is read as one.
                Ok(Subject::Sale(sale) | Subject::Hold(sale)) => {
                    known.insert(sale.get(), said);
                }
                Ok(Subject::Return { sale, .. }) => {
                    of_returns.insert(sale.get(), said);
                }
                // No event that is asked about bears the number of an attempt, nor any that of a count.
                Ok(_) | Err(_) => {}
            }
        }
        for (sale, said) in of_returns {
            known.entry(sale).or_insert(said);
        }
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use tornello_engine::ids::{HoldId, MuseumId, RouteId, SlotId};

    use super::super::tests::put_case;
    use super::*;

    #[tokio::test]
    async fn what_is_known_of_a_sale_is_what_is_most_credible_of_its_own_case() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let slot = SlotId::new(MuseumId(3), RouteId(1), Timestamp::from_seconds(1_800_000_000));
        let sale = |n: u64| HoldId::new(slot, n);
        let returned = |n: u64| Subject::Return { sale: sale(n), seq: 4 };
        let cases = [
            ("a", Subject::Sale(sale(1)), 10),
            ("b", returned(1), 20),
            ("c", returned(2), 30),
            ("d", Subject::Sale(sale(3)), 40),
            ("e", Subject::Sale(sale(4)), 5),
        ];
        for (case, subject, at) in cases {
            put_case(&views, case, &subject.to_string(), at, "").await;
        }
        for (case, label, rank) in [("a", "legit", 2), ("a", "fraud", 1), ("b", "legit", 2), ("c", "legit", 2), ("e", "fraud", 2)] {
            const LABEL: &str = "INSERT INTO fraud_label VALUES (?, ?, 'verdict', ?, 0, 0)";
            sqlx::query(LABEL).bind(case).bind(label).bind(rank).execute(&views.pool()).await.unwrap();
        }
        let known = |at: i64, is_fraud| Known { opened_at: Timestamp::from_micros(at), is_fraud };
        let expected = HashMap::from([(sale(1).get(), known(10, true)), (sale(2).get(), known(30, false))]);
        assert_eq!(views.known_of_sales(4).await.unwrap(), expected, "of the last four cases");
        assert_eq!(views.known_of_sales(5).await.unwrap().len(), 3);
        views.close().await;
    }
}
