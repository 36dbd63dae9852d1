//! How the files beside the journal are opened: read models, keys, contacts. What is in them is theirs.

use std::path::{Path, PathBuf};
use std::{fs, io};

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

/// Removes what a kill has left of transactions over several files, of which the first is the main one, and answers how many there were. For each transaction SQLite makes a
/// file with the names of their journals, and removes it with the commit; one that no journal names yet when the process ends is looked at by nobody again. One that is named
/// says that its transaction is to be undone: without it half of that would stay. So this is for whoever has the files alone and has begun to write to all of them, by which
/// whatever had to be undone is; and nothing is removed while any of their journals says something.
pub fn remove_leftovers(files: &[&Path]) -> io::Result<u32> {
    let Some((folder, name)) = files.first().and_then(|main| Some((main.parent()?, main.file_name()?.to_str()?))) else { return Ok(0) };
    for file in files {
        if says_something(&beside(file, "-journal"))? {
            return Ok(0);
        }
    }
    let mut removed = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_leftover = entry.file_name().to_str().and_then(|found| found.strip_prefix(name)).is_some_and(ends_leftover);
        if is_leftover && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// The file that SQLite keeps beside another one.
fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Whether there is anything in a file, or may be.
fn says_something(file: &Path) -> io::Result<bool> {
    match fs::metadata(file) {
        Ok(found) => Ok(found.len() > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a name goes on, after that of the main file, as SQLite names the list of the journals of a transaction: `-mj`, six digits, a nine, and two digits, all of these
/// hexadecimal and in capitals.
fn ends_leftover(end: &str) -> bool {
    let is_digit = |digit: u8| digit.is_ascii_digit() || (b'A'..=b'F').contains(&digit);
    end.strip_prefix("-mj").is_some_and(|digits| digits.len() == 9 && digits.bytes().all(is_digit) && digits.as_bytes()[6] == b'9')
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

    #[test]
    fn what_a_kill_has_left_is_removed_unless_a_journal_may_name_it() {
        let folder = tempfile::tempdir().unwrap();
        let (main, other) = (folder.path().join("people.db"), folder.path().join("people-keys.db"));
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let left = || {
            let mut names: Vec<String> =
                fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort_unstable();
            names
        };
        let others = [
            "people-keys.db-mj0123ABC9F",
            "people.db",
            "people.db-mj0123AB8CF",
            "people.db-mj0123AB9CF.old",
            "people.db-mj0123ab9cf",
            "people.db-wal",
        ];
        others.into_iter().chain(["people.db-mj0123AB9CF", "people.db-mjFFFFFF900"]).for_each(|name| write(name, "some"));
        let all = left();
        for journal in ["people.db-journal", "people-keys.db-journal"] {
            write(journal, "what is to be undone");
            assert_eq!(remove_leftovers(&[&main, &other]).unwrap(), 0);
            fs::remove_file(folder.path().join(journal)).unwrap();
            assert_eq!(left(), all, "while {journal} says something");
        }
        // A journal that was done with is empty, or is not there.
        write("people.db-journal", "");
        assert_eq!(remove_leftovers(&[&main, &other]).unwrap(), 2);
        fs::remove_file(folder.path().join("people.db-journal")).unwrap();
        assert_eq!(left(), others);
        assert_eq!(remove_leftovers(&[&main, &other]).unwrap(), 0);
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
