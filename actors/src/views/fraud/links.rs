//! Who took part in what, and what else these took part in: a walk of two steps from one thing to others.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sqlx::Row;
use tornello_engine::case::Subject;
use tornello_engine::ids::MuseumId;

use crate::views::{Views, ViewsError, json as written};

/// How many parties, and how many things of each, a walk from one thing to the next follows.
const LINKS_PARTIES_MAX: u32 = 16;
const LINKS_OF_ONE_MAX: u32 = 25;
/// So many of the last things that a party took part in are counted: behind one address of a provider are thousands.
const COUNTED_MAX: u32 = 1_000;

/// What two things have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// The kind of the party.
    pub kind: String,
    /// Its pseudonym, shortened: enough to tell one from the other.
    pub party: String,
    /// What it took part in besides, 1,000 at most: the last ones.
    pub others: u32,
    /// Some of these, newest first.
    pub subjects: Vec<String>,
    /// How many of them have a case in which the verdict is fraud.
    pub fraud: u32,
    /// How many steps away: 1 or 2.
    pub depth: u8,
}

impl Views {
    /// The parties of a thing.
    pub async fn parties_of(&self, subject: &str) -> Result<Vec<(String, String)>, ViewsError> {
        // Some of each kind: whoever tries a hundred cards is not to hide their device behind them.
        const QUERY: &str = "SELECT kind, pseudonym FROM (
                SELECT kind, pseudonym, row_number() OVER (PARTITION BY kind ORDER BY at, pseudonym) AS n FROM party WHERE subject = ? ORDER BY n, kind LIMIT ?
            ) ORDER BY kind, pseudonym";
        let rows = sqlx::query(QUERY).bind(subject).bind(LINKS_PARTIES_MAX).fetch_all(&self.pool()).await.map_err(|error| self.noted(error))?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// What shares a party with a thing, and what shares a party with that: two steps, and only so many things of each party. Counted are those of
    /// whichever museum; named are only those of these museums, none: of all.
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
        let rows =
            sqlx::query(QUERY).bind(written(&named)).bind(written(&museums)).fetch_all(&self.pool()).await.map_err(|error| self.noted(error))?;
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
            "SELECT count(*), coalesce(sum(EXISTS (SELECT 1 FROM fraud_case WHERE fraud_case.subject = lately.subject AND verdict = 'fraud')), 0)
            FROM (SELECT subject FROM party WHERE kind = ? AND pseudonym = ? AND subject <> ? ORDER BY at DESC, subject LIMIT ?) AS lately";
        const SOME: &str = "SELECT subject FROM party WHERE kind = ? AND pseudonym = ? AND subject <> ? ORDER BY at DESC, subject LIMIT ?";
        let count = sqlx::query(COUNT)
            .bind(&kind)
            .bind(&pseudonym)
            .bind(from)
            .bind(COUNTED_MAX)
            .fetch_one(&self.pool())
            .await
            .map_err(|error| self.noted(error))?;
        let some = sqlx::query(SOME)
            .bind(&kind)
            .bind(&pseudonym)
            .bind(from)
            .bind(LINKS_OF_ONE_MAX)
            .fetch_all(&self.pool())
            .await
            .map_err(|error| self.noted(error))?;
        let subjects = some.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let party = pseudonym.chars().take(8).collect();
        Ok(Link { kind, party, others: count.try_get(0)?, subjects, fraud: count.try_get(1)?, depth })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::put_case;
    use super::*;

    #[tokio::test]
    async fn of_somebody_with_thousands_the_last_are_counted_and_found_without_sorting_all() {
        const PARTIES: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
            INSERT INTO party SELECT printf('%05d', i), 'network', 'aa', i FROM n";
        const SOME: &str = "EXPLAIN QUERY PLAN
            SELECT subject FROM party WHERE kind = 'network' AND pseudonym = 'aa' AND subject <> '03000' ORDER BY at DESC, subject LIMIT 25";
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        sqlx::query(PARTIES).execute(&views.pool()).await.unwrap();
        for subject in ["00001", "02999"] {
            put_case(&views, subject, subject, 1, "fraud").await;
        }
        let links = views.links_of("03000", None).await.unwrap();
        let [link] = links.as_slice() else { panic!("{links:?}") };
        assert_eq!((link.others, link.fraud, link.subjects.len(), link.subjects[0].as_str()), (COUNTED_MAX, 1, LINKS_OF_ONE_MAX as usize, "02999"));
        let steps = sqlx::query(SOME).fetch_all(&views.pool()).await.unwrap();
        let steps: Vec<String> = steps.iter().map(|step| step.get("detail")).collect();
        assert!(steps.iter().any(|step| step.contains("party_by_time")) && !steps.iter().any(|step| step.contains("TEMP B-TREE")), "{steps:?}");
        views.close().await;
    }
}
