//! How the files beside the journal are opened: read models, keys, contacts. What is in them is theirs.

use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use sqlx::{Connection as _, Error};

/// Codes of SQLite that say that a file is not what was written to it: what was asked of it is right, and the disk gave something.
const DAMAGED: [i32; 4] = [1, 11, 19, 26];
/// A page is missing.
const SHORT_READ: i32 = 522;
const READ_ONLY: i32 = 8;

/// The extended code of an error, whose lowest byte is its kind.
fn code(error: &Error) -> Option<i32> {
    if let Error::Database(error) = error { error.code()?.parse().ok() } else { None }
}

/// Whether an error says that the file itself is damaged, and not that the disk or the machine says no.
pub fn is_damaged(error: &Error) -> bool {
    match error {
        Error::Database(_) => code(error).is_some_and(|code| DAMAGED.contains(&(code & 0xff)) || code == SHORT_READ),
        Error::RowNotFound | Error::ColumnNotFound(_) | Error::ColumnIndexOutOfBounds { .. } | Error::ColumnDecode { .. } | Error::Decode(_) => true,
        _ => false,
    }
}

/// Whether an error says that the file is only to be read: of one that was written before, a damaged one says so too.
pub fn is_read_only(error: &Error) -> bool {
    code(error).is_some_and(|code| code & 0xff == READ_ONLY)
}

/// All of a file, to be looked at.
pub const ALL: &str = "PRAGMA quick_check";
/// The saved heads of the read models.
pub const HEADS: &str = "PRAGMA quick_check('head')";

/// Looks whether all of it hangs together, which takes as long as reading it.
pub async fn check(pool: &SqlitePool, what: &'static str) -> Result<(), Error> {
    let found: Vec<String> = sqlx::query_scalar(what).fetch_all(pool).await?;
    if found == ["ok"] { Ok(()) } else { Err(Error::Decode(found.join("; ").into())) }
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
