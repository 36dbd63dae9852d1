//! Whether the lists are what the journal says. Nothing in them has a checksum of its own, as they can be built again at any time: so they are held against others that are built
//! from the same batches. Of the file itself nothing is changed: a copy is looked at, in a folder that goes again.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnection;

use super::boot::Stamp;
use super::{Views, ViewsError};
use crate::journal::Journal;
use crate::secret_file;
use crate::sqlite;

/// What is looked at, and what it is held against, within the folder.
const KEPT: &str = "kept.db";
const BUILT: &str = "built.db";

/// How the lists differ from the journal in one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub table: String,
    /// How many rows are missing, or are not as they should be.
    pub missing: u64,
    /// How many rows stand there instead, or should not be there.
    pub wrong: u64,
    /// One of either, as it stands there, or should.
    pub example: String,
}

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// There is nothing to compare: the next start builds the lists anyway, and why.
    BuiltAnyway(&'static str),
    /// The file does not hang together, so that its lists were not read: what SQLite says.
    Damaged(String),
    /// The lists were compared with what the journal says up to the batch that they show.
    At {
        /// That batch.
        batch: u64,
        /// How they differ, by table; nothing: not at all.
        differences: Vec<Difference>,
    },
}

/// A folder for copies, which goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn make(path: PathBuf) -> std::io::Result<Self> {
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        secret_file::make_folder(&path)?;
        Ok(Self(path))
    }

    /// Copies the file, with its log if there is one.
    fn copy(&self, stamp: &Stamp) -> std::io::Result<PathBuf> {
        let kept = self.0.join(KEPT);
        std::fs::copy(stamp.views(), &kept)?;
        match std::fs::copy(stamp.beside("-wal"), Stamp::of(&kept).beside("-wal")) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(kept)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Compares the lists in a data folder with its journal, while no server runs there. It takes as much room on the disk again as the lists, twice, and as long as building them.
///
/// # Errors
/// If the journal cannot be read, or does not hold the batches that the lists show, or if the disk fails.
pub async fn compare(data: &Path, journal: &dyn Journal) -> Result<Compared, ViewsError> {
    let (path, io) = (data.join("views.db"), |error| ViewsError::Store(sqlx::Error::Io(error)));
    if !path.exists() {
        return Ok(Compared::BuiltAnyway("there is no views.db"));
    }
    let stamp = Stamp::of(&path);
    if let Some(why) = stamp.doubt().map_err(io)? {
        return Ok(Compared::BuiltAnyway(why));
    }
    let folder = Folder::make(data.join("views.check")).map_err(io)?;
    let kept = folder.copy(&stamp).map_err(io)?;
    let views = match Views::open_file(&kept, &Stamp::of(&kept)).await {
        Ok(views) => views,
        Err(error) if error.is_damage() => return Ok(Compared::Damaged(error.to_string())),
        Err(error) => return Err(error),
    };
    let sound = sqlite::check(&views.pool(), sqlite::INDEXED).await;
    let shown = views.position("rows").await;
    views.leave().await;
    match sound {
        Err(error) if sqlite::is_damaged(&error) => return Ok(Compared::Damaged(error.to_string())),
        sound => sound?,
    }
    let (batch, hash) = shown?;
    // A file of another version is emptied when it is opened.
    if batch == 0 {
        return Ok(Compared::BuiltAnyway("views.db shows nothing yet, or is of another version"));
    }
    let built = Views::open(&folder.0.join(BUILT)).await?;
    let differences = differences(&built, journal, (batch, &hash), &kept).await;
    built.leave().await;
    Ok(Compared::At { batch, differences: differences? })
}

async fn differences(built: &Views, journal: &dyn Journal, (batch, hash): (u64, &[u8]), kept: &Path) -> Result<Vec<Difference>, ViewsError> {
    const TABLES: &str = "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT IN ('position', 'head', 'snapshot') ORDER BY name";
    built.build_just(journal, batch).await?;
    if built.position("rows").await?.1 != hash {
        let example = format!("batch {batch} is another one");
        return Ok(vec![Difference { table: "position".to_owned(), missing: 1, wrong: 1, example }]);
    }
    let mut connection = built.pool().acquire().await?;
    sqlx::query("ATTACH DATABASE ? AS kept").bind(kept.to_string_lossy().into_owned()).execute(&mut *connection).await?;
    let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&mut *connection).await?;
    let mut differences = Vec::new();
    for table in tables {
        let columns = columns_of(&mut connection, &table).await?;
        let (missing, missed) = only_in(&mut connection, ("main", "kept"), &table, &columns).await?;
        let (wrong, found) = only_in(&mut connection, ("kept", "main"), &table, &columns).await?;
        if let Some(example) = found.or(missed) {
            differences.push(Difference { table, missing, wrong, example });
        }
    }
    // The pool would keep the connection, and with it the other file.
    connection.close().await?;
    Ok(differences)
}

/// The columns of a table, each as text that says of what type its value is.
async fn columns_of(connection: &mut SqliteConnection, table: &str) -> Result<String, sqlx::Error> {
    const COLUMNS: &str = "SELECT 'quote(\"' || name || '\")' FROM pragma_table_info(?) ORDER BY cid";
    let columns: Vec<String> = sqlx::query_scalar(COLUMNS).bind(table).fetch_all(connection).await?;
    Ok(columns.join(" || ', ' || "))
}

/// How many rows of a table one file has and the other has not, and one of them.
async fn only_in(
    connection: &mut SqliteConnection,
    (one, other): (&str, &str),
    table: &str,
    columns: &str,
) -> Result<(u64, Option<String>), sqlx::Error> {
    let query = format!("SELECT count(*), min({columns}) FROM (SELECT * FROM {one}.\"{table}\" EXCEPT SELECT * FROM {other}.\"{table}\")");
    let (count, example): (i64, Option<String>) = sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_one(connection).await?;
    Ok((count.unsigned_abs(), example))
}
