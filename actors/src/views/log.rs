//! Whether the log that SQLite keeps beside the read models is what was written to it. SQLite itself reads it up to the first page that is not, and takes that for its
//! end: older pages from before it would then stand over newer ones that were moved into the file already, and lists of different days pass for one.
//!
//! The log has a header, and for each page a frame: which page, how many pages the file has if a transaction ends here, the two salts of the header, a checksum over
//! all frames up to this one, and the page. What stands behind the last frame is of an earlier log, with other salts. Source: the file format as SQLite publishes it
//! (<https://sqlite.org/fileformat2.html#walformat>).

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

/// The last bit says how checksums read their words.
const MAGIC: u32 = 0x377f_0682;
const HEADER: usize = 32;
const FRAME: usize = 24;
const PAGE_MAX: u32 = 65_536;

/// Whether a log is whole; one that is not there is. A transaction that never ended, as of a process that was killed, is nothing.
pub(super) fn is_whole(path: &Path) -> io::Result<bool> {
    let mut log = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        log => BufReader::with_capacity(1 << 17, log?),
    };
    let mut header = [0; HEADER];
    match fill(&mut log, &mut header)? {
        0 => return Ok(true),
        HEADER => {}
        _ => return Ok(false),
    }
    let (magic, page) = (word(&header, 0), word(&header, 8));
    let word_of: fn([u8; 4]) -> u32 = if magic & 1 == 1 { u32::from_be_bytes } else { u32::from_le_bytes };
    let mut sums = checksum(&header[..24], [0, 0], word_of);
    if magic & !1 != MAGIC || sums != [word(&header, 24), word(&header, 28)] || !page.is_power_of_two() || page > PAGE_MAX {
        return Ok(false);
    }
    let mut frame = vec![0; FRAME + page as usize];
    let mut is_sound = true;
    loop {
        let length = fill(&mut log, &mut frame)?;
        if length < FRAME {
            return Ok(true);
        }
        let is_of_this_log = frame[8..16] == header[16..24];
        if is_sound && is_of_this_log && length == frame.len() {
            let now = checksum(&frame[FRAME..], checksum(&frame[..8], sums, word_of), word_of);
            if now == [word(&frame, 16), word(&frame, 20)] {
                sums = now;
                continue;
            }
        }
        is_sound = false;
        // Only what a transaction has ended with was ever believed.
        if is_of_this_log && word(&frame, 4) > 0 {
            return Ok(false);
        }
        if length < frame.len() {
            return Ok(true);
        }
    }
}

/// As many bytes as there are, but no more than there is room for.
fn fill(from: &mut impl Read, room: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < room.len() {
        match from.read(&mut room[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// The numbers of headers and frames are big-endian.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn checksum(bytes: &[u8], [mut first, mut second]: [u32; 2], word_of: fn([u8; 4]) -> u32) -> [u32; 2] {
    for pair in bytes.chunks_exact(8) {
        first = first.wrapping_add(word_of([pair[0], pair[1], pair[2], pair[3]])).wrapping_add(second);
        second = second.wrapping_add(word_of([pair[4], pair[5], pair[6], pair[7]])).wrapping_add(first);
    }
    [first, second]
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
    use sqlx::{ConnectOptions, Connection};

    use super::*;

    #[tokio::test]
    async fn every_changed_byte_of_what_was_committed_is_found_and_what_was_not_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (file, log) = (folder.path().join("some.db"), folder.path().join("some.db-wal"));
        assert!(is_whole(&log).unwrap(), "there is none");
        let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
        let mut connection = options.connect().await.unwrap();
        sqlx::raw_sql("CREATE TABLE some (n INTEGER PRIMARY KEY, text TEXT)").execute(&mut connection).await.unwrap();
        for n in 0..3 {
            sqlx::query("INSERT INTO some VALUES (?, hex(zeroblob(3000)))").bind(n).execute(&mut connection).await.unwrap();
        }
        let bytes = std::fs::read(&log).unwrap();
        connection.close().await.unwrap();
        let copy = folder.path().join("copy-wal");
        let is_whole = |bytes: &[u8]| {
            std::fs::write(&copy, bytes).unwrap();
            is_whole(&copy).unwrap()
        };
        assert!(is_whole(&bytes) && is_whole(&[]));
        let frame = FRAME + word(&bytes, 8) as usize;
        assert_eq!((bytes.len() - HEADER) % frame, 0);
        let last = bytes.len() - frame;
        for at in (0..bytes.len()).step_by(97).chain(0..HEADER) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x40;
            // The salts of the last frame make one of another log of it.
            assert_eq!(is_whole(&changed), (last + 8..last + 16).contains(&at), "byte {at}");
        }
        // Killed in the middle of a transaction: its last frame, which ends it, is not there yet.
        let mut begun = bytes.clone();
        begun[last + 4..last + 8].fill(0);
        begun[last + 100] ^= 1;
        assert!(is_whole(&begun));
        assert!(is_whole(&bytes[..last]) && is_whole(&bytes[..last + FRAME - 1]));
        assert!(!is_whole(&bytes[..last + FRAME + 9]) && !is_whole(&bytes[..HEADER - 1]));
        // Behind it stands what is left of a longer log of before.
        let mut older = bytes[HEADER..].to_vec();
        older.chunks_mut(frame).for_each(|frame| frame[8] ^= 1);
        assert!(is_whole(&[&bytes[..], &older[..]].concat()));
    }
}
