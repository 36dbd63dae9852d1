//! How the files beside the journal are opened: read models, keys, contacts. What is in them is theirs.

use sqlx::sqlite::{SqliteConnection, SqlitePool, SqlitePoolOptions};
use sqlx::{Connection as _, Error};

/// Codes of SQLite that say that a file is not what was written to it: a page that hangs together with no other (`CORRUPT`), a row where none can be (`CONSTRAINT`, as
/// nobody here writes one twice), no database at all (`NOTADB`).
const DAMAGED: [i32; 3] = [11, 19, 26];
/// A page is missing.
const SHORT_READ: i32 = 522;
const READ_ONLY: i32 = 8;
/// What is asked cannot be understood: tables that are not as they were made, or a query that is wrong.
const ERROR: i32 = 1;

/// The extended code of an error, whose lowest byte is its kind.
fn code(error: &Error) -> Option<i32> {
    if let Error::Database(error) = error { error.code()?.parse().ok() } else { None }
}

/// Whether an error says that the file itself is damaged, and not that the disk or the machine says no, or that a query of ours is wrong: a row that is always there is not,
/// or a value is none that is written there.
pub fn is_damaged(error: &Error) -> bool {
    match error {
        Error::Database(_) => code(error).is_some_and(|code| DAMAGED.contains(&(code & 0xff)) || code == SHORT_READ),
        Error::RowNotFound | Error::ColumnDecode { .. } | Error::Decode(_) => true,
        _ => false,
    }
}

/// Whether an error says that what was asked does not fit the tables: they are not as they were made, or the query is wrong. Which of these, the error does not say.
pub fn is_misfit(error: &Error) -> bool {
    code(error).is_some_and(|code| code & 0xff == ERROR)
}

/// Whether an error says that the file is only to be read: of one that was written before, a damaged one says so too.
pub fn is_read_only(error: &Error) -> bool {
    code(error).is_some_and(|code| code & 0xff == READ_ONLY)
}

/// All of a file, to be looked at.
pub const ALL: &str = "PRAGMA quick_check";
/// As [`ALL`], and whether each index has what its table has.
pub const INDEXED: &str = "PRAGMA integrity_check";
/// The saved heads of the read models.
pub const HEADS: &str = "PRAGMA quick_check('head')";

/// Looks whether all of it hangs together, which takes as long as reading it.
pub async fn check(pool: &SqlitePool, what: &'static str) -> Result<(), Error> {
    let found: Vec<String> = sqlx::query_scalar(what).fetch_all(pool).await?;
    if found == ["ok"] { Ok(()) } else { Err(Error::Decode(found.join("; ").into())) }
}

/// The tables and indexes of a file, as it says itself that they were made: kind, name and text of each.
pub async fn form(connection: &mut SqliteConnection) -> Result<Vec<(String, String, String)>, Error> {
    const FORM: &str = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";
    sqlx::query_as(FORM).fetch_all(connection).await
}

/// A pool that keeps no connection whose transaction did not end. When the disk is full SQLite undoes a transaction by itself; the roll-back that follows finds
/// none and fails, and the connection would count itself inside a transaction for good.
pub fn pool() -> SqlitePoolOptions {
    SqlitePoolOptions::new().after_release(|connection, _| {
        Box::pin(async move {
            // A roll-back on its way is done when this is answered.
            connection.ping().await?;
            Ok(!connection.is_in_transaction())
        })
    })
}

#[cfg(test)]
mod tests {
    use sqlx::ConnectOptions;
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;

    /// What SQLite says to something that is asked of a file with one table.
    async fn told(ask: &'static str) -> Error {
        let mut connection = SqliteConnectOptions::new().in_memory(true).connect().await.unwrap();
        sqlx::raw_sql("CREATE TABLE some (n INTEGER PRIMARY KEY) STRICT; INSERT INTO some VALUES (1)").execute(&mut connection).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(ask)).execute(&mut connection).await.map(drop).unwrap_err()
    }

    #[tokio::test]
    async fn a_query_that_is_wrong_is_no_damage_and_a_row_that_stands_twice_is() {
        for ask in ["SELEC 1", "SELECT m FROM some", "SELECT n FROM other"] {
            let error = told(ask).await;
            assert!(is_misfit(&error) && !is_damaged(&error), "{ask}: {error}");
        }
        let error = told("INSERT INTO some VALUES (1)").await;
        assert!(is_damaged(&error) && !is_misfit(&error), "{error}");
        assert!(!is_damaged(&Error::ColumnNotFound("m".into())) && !is_damaged(&Error::PoolClosed) && is_damaged(&Error::RowNotFound));
    }
}
