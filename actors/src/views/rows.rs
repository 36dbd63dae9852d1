//! Rows on their way into SQLite: as JSON arrays, which it takes apart by itself, so that a table costs a few statements however many rows there are.

use std::fmt::Display;

use serde::{Serialize, Serializer};
use sqlx::sqlite::SqliteConnection;

/// When a statement has so many bytes of rows it is run: what writes them and what reads them both stay in the processor's cache, and in memory that is used again.
const FULL: usize = 65_536;

/// What is written in a row as its text.
pub(super) struct Text<T>(pub(super) T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Rows for one query, in their order, as so many statements as they fill.
pub(super) fn arrays<R: Serialize>(rows: impl IntoIterator<Item = R>) -> Result<Vec<String>, sqlx::Error> {
    let mut rows = rows.into_iter();
    let mut arrays = Vec::new();
    loop {
        let mut text = Vec::new();
        while text.len() < FULL
            && let Some(row) = rows.next()
        {
            text.push(if text.is_empty() { b'[' } else { b',' });
            serde_json::to_writer(&mut text, &row).map_err(encoding)?;
        }
        if text.is_empty() {
            return Ok(arrays);
        }
        text.push(b']');
        arrays.push(String::from_utf8(text).map_err(encoding)?);
    }
}

/// Runs `query` over them, one after the other, in a transaction of the caller's: it has to come to the same in however many pieces. Beside rows it may take a number, `?2`.
pub(super) async fn write(query: &'static str, number: Option<i64>, arrays: Vec<String>, tx: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    for array in arrays {
        let ask = sqlx::query(query).bind(array);
        if let Some(number) = number { ask.bind(number) } else { ask }.execute(&mut *tx).await?;
    }
    Ok(())
}

fn encoding(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Encode(error.into())
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection, Row};

    use super::*;

    #[tokio::test]
    async fn all_rows_are_written_however_many_statements_they_take() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::raw_sql("CREATE TABLE some (n INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT").execute(&mut connection).await.unwrap();
        // One that fills a statement by itself, and many that fill some together.
        let long = "è\"\\".repeat(FULL);
        let text = |n: u64| if n == 7 { long.clone() } else { format!("row {n}") };
        let count = 5 * FULL as u64 / 16;
        let query = "INSERT INTO some SELECT value ->> 0, value ->> 1 FROM jsonb_each(?)";
        let rows = arrays((0..count).map(|n| (n, Text(text(n))))).unwrap();
        assert!(rows.len() > 5, "{}", rows.len());
        write(query, None, rows, &mut connection).await.unwrap();
        write(query, None, arrays(std::iter::empty::<u64>()).unwrap(), &mut connection).await.unwrap();
        let row = sqlx::query("SELECT count(*), sum(n), (SELECT text FROM some WHERE n = 7) FROM some").fetch_one(&mut connection).await.unwrap();
        assert_eq!((row.get::<i64, _>(0).unsigned_abs(), row.get::<i64, _>(1).unsigned_abs()), (count, count * (count - 1) / 2));
        assert_eq!(row.get::<String, _>(2), long);
    }
}
