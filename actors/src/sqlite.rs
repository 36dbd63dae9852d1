//! How the files beside the journal are opened: read models, keys, contacts. What is in them is theirs.

use sqlx::Connection as _;
use sqlx::sqlite::SqlitePoolOptions;

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
