//! The journal in one append-only file: batches one after the other, each with a header, the index of what is inside, and its records. What is
//! written is never changed, so a write torn by a crash can only be the last one.
//!
//! How a batch lies in it is in `layout`.
//!
//! Behind the last batch the file is filled with zeros, some way ahead: a flush that need not make the file longer is a third faster. Zeros to the end of the
//! file are the end of the journal. Anything else there is a torn batch, unless a whole later batch stands behind it: then something in the middle is damaged. Zeros with
//! batches behind them are what a copy has that was read while a server wrote: whoever knows that it is one can have it end there.
//!
//! In memory is only where each stream's last batch stands. The start reads all headers, and [`crate::start::check`] all records after that.

mod disk;
mod layout;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use self::layout::{Header, MAGIC, Window, encode};
use super::{Batch, Head, Journal, JournalError, Span, StreamId};
use crate::secret_file;

/// The name of the file within a data folder.
pub const FILE: &str = "journal.log";

/// How far ahead the file is filled with zeros.
const AHEAD: u64 = 512 * 1024;
/// What is wrong with a header that is whole.
const NEWER: &str = "it names a stream of a kind that is not known";
/// What is wrong where zeros stand in the place of a batch, and later batches behind them.
pub const GAP: &str = "zeros stand in its place, and later batches behind them, as in a copy that was made while a server wrote";
/// What is wrong where something stands in the place of a batch that no write, torn or whole, has left there.
const FOREIGN: &str = "it begins with what no journal has written";
/// No stream has records before this batch.
const NONE: u64 = u64::MAX;
/// Every how many batches the place of one is remembered, of the whole file and of each stream: whoever looks for one in between walks.
const MARK_EVERY: u64 = 64;
/// How much is read at once by those who read on, and by those who look for one batch.
const READ_ON: usize = 128 * 1024;
const READ_ONE: usize = 8 * 1024;

/// One append-only file.
#[derive(Debug)]
pub struct FileJournal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: File,
    /// How far ahead the file is filled with zeros.
    ahead: u64,
    /// Taken for a whole write, flush included; before `state`.
    writing: Mutex<Writing>,
    /// Taken for a moment only: who reads does not wait for the disk of who writes.
    state: Mutex<State>,
}

#[derive(Debug)]
struct Writing {
    /// Up to where the file reaches.
    filled: u64,
    trouble: Trouble,
}

#[derive(Debug)]
struct State {
    head: Head,
    /// Where the next batch goes.
    end: u64,
    /// Where the last batch stands.
    last: u64,
    streams: HashMap<StreamId, Stream>,
    /// Of streams in many batches: the number of the first record and the place of every so many batches of it.
    stream_marks: HashMap<StreamId, Vec<(u64, u64)>>,
    /// The places of the batches 1, 1 + `MARK_EVERY`, ...
    marks: Vec<u64>,
    /// Number and place of the batch after the last one that was read in order: who follows the journal goes on there.
    read_on: (u64, u64),
    /// What stands behind the last batch and is none.
    damage: Option<Damage>,
}

/// Whether the last write went well.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trouble {
    None,
    /// Something may stand behind the end.
    Write,
    /// What the kernel did with the pages is unknown: nothing is written until a restart.
    Flush(String),
}

/// Where a stream's last records stand.
#[derive(Debug, Clone, Copy)]
struct Stream {
    place: u64,
    seq: u64,
    batches: u64,
}

#[derive(Debug, Clone)]
struct Damage {
    /// The batch that should stand there.
    batch: u64,
    what: &'static str,
    /// The number of the last batch that can be told behind it; that of the damaged one if it is the last, and so may be torn; the greatest if nobody can tell.
    last: u64,
    /// Its header is whole: no crash has torn it, but this program cannot read it.
    is_newer: bool,
    /// See [`GAP`].
    is_gap: bool,
}

impl Damage {
    fn error(&self) -> JournalError {
        let (batch, what) = (self.batch, self.what.to_owned());
        if self.is_newer { JournalError::Newer { batch, what } } else { JournalError::Corrupt { batch, what } }
    }
}

impl FileJournal {
    /// Opens or makes the file, and reads all headers.
    pub async fn open(path: &Path) -> Result<Self, JournalError> {
        Self::opened(path.to_owned(), false).await
    }

    /// As [`FileJournal::open`]; on a disk that takes no writes the file is opened all the same, and nothing can be appended.
    pub async fn open_to_read(path: &Path) -> Result<Self, JournalError> {
        Self::opened(path.to_owned(), true).await
    }

    async fn opened(path: PathBuf, reading_will_do: bool) -> Result<Self, JournalError> {
        let open = move || {
            let fail = |what: &str, error: &io::Error| JournalError::Unreachable(format!("{} cannot be {what}: {error}", path.display()));
            // Codes of vouchers, and secrets of waiting rooms, are in it.
            let mut private = OpenOptions::new();
            private.read(true).write(true).create(true).truncate(false).mode(0o600);
            let (file, is_kept) = match private.open(&path) {
                Err(error) if reading_will_do && error.kind() == ErrorKind::ReadOnlyFilesystem => (File::open(&path), true),
                opened => (opened, false),
            };
            let file = file.map_err(|error| fail("opened", &error))?;
            if !is_kept {
                secret_file::tighten(&path);
                // The name of a new file is as good as its content only when its folder is on the disk too.
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| fail("kept", &error))?;
            }
            let (state, filled) = State::read(&file).map_err(|error| fail("read", &error))?;
            let writing = Mutex::new(Writing { filled, trouble: Trouble::None });
            Ok(Self { inner: Arc::new(Inner { path, file, ahead: AHEAD, writing, state: Mutex::new(state) }) })
        };
        tokio::task::spawn_blocking(open).await.unwrap_or_else(|error| Err(JournalError::Unreachable(error.to_string())))
    }

    /// Writes the last batch once more where it stands, and flushes it. To be called by whoever is going to append, before anything is built on that batch. What is read when a
    /// file is opened need not be on the disk: a program that was killed between write and flush, or a flush that failed, leaves a batch that the kernel shows and would not
    /// write any more.
    pub async fn settle(&self) -> Result<(), JournalError> {
        self.read(Inner::settle).await
    }

    /// Cuts a copy off before a gap, see [`GAP`]. Only for a file that is known to be a copy: in a server's own file the batches behind the gap were answered. Answers with the
    /// first and the last batch that are cut off; none if there is no gap.
    pub async fn cut_gap(&self) -> Result<Option<(u64, u64)>, JournalError> {
        self.read(Inner::cut_gap).await
    }

    async fn read<R: Send + 'static>(&self, read: impl FnOnce(&Inner) -> Result<R, JournalError> + Send + 'static) -> Result<R, JournalError> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || read(&inner)).await.unwrap_or_else(|error| Err(JournalError::Unreachable(error.to_string())))
    }
}

impl State {
    /// Walks from header to header up to the end, or to the first that is none. Answers the length of the file as well.
    fn read(file: &File) -> io::Result<(Self, u64)> {
        let (streams, stream_marks) = Default::default();
        let mut state = Self { head: Head::EMPTY, end: 0, last: 0, streams, stream_marks, marks: Vec::new(), read_on: (0, 0), damage: None };
        let filled = file.metadata()?.len();
        let mut window = Window::new(file, filled, READ_ON);
        loop {
            let next = state.head.number + 1;
            let what = match Header::at(&mut window, state.end)? {
                Some(header) if header.end() > filled => "it is cut off",
                Some(header) if header.number != next || header.previous != state.head.hash => "it does not follow the one before",
                Some(header) => {
                    state.take_in(&header);
                    continue;
                }
                None if Header::is_whole_at(&mut window, state.end)? => NEWER,
                None => "its header cannot be read",
            };
            let (later, anything) = behind(&mut window, state.end, filled, next)?;
            if anything {
                let begin = window.bytes(state.end, MAGIC.len().min((filled - state.end) as usize))?.unwrap_or_default();
                // No batch begins with a zero.
                let is_gap = later.is_some() && begin.first() == Some(&0);
                let (what, end) = match later {
                    _ if is_gap => (GAP, next),
                    None if !may_be_torn(begin) => (FOREIGN, u64::MAX),
                    _ => (what, next),
                };
                state.damage = Some(Damage { batch: next, what, last: later.unwrap_or(end), is_newer: what == NEWER, is_gap });
            }
            return Ok((state, filled));
        }
    }

    fn take_in(&mut self, header: &Header) {
        if header.number % MARK_EVERY == 1 {
            self.marks.push(header.place);
        }
        for (span, _) in &header.index {
            let stream = self.streams.entry(span.stream).or_insert(Stream { place: NONE, seq: 0, batches: 0 });
            *stream = Stream { place: header.place, seq: span.last, batches: stream.batches + 1 };
            if stream.batches.is_multiple_of(MARK_EVERY) {
                self.stream_marks.entry(span.stream).or_default().push((span.first, header.place));
            }
        }
        self.head = Head { number: header.number, hash: header.hash, at: header.at };
        self.last = header.place;
        self.end = header.end();
    }
}

/// Whether a batch of which not all was written may begin like that: what is missing are zeros, with which the file was filled.
fn may_be_torn(begin: &[u8]) -> bool {
    begin.iter().zip(MAGIC).all(|(byte, written)| [0, written].contains(byte))
}

/// What stands behind a place: the number of the last whole header, and whether there is anything but zeros.
fn behind(window: &mut Window<'_>, from: u64, to: u64, expected: u64) -> io::Result<(Option<u64>, bool)> {
    let (mut at, mut later, mut anything) = (from, None, false);
    while at < to {
        let length = (to - at).min(READ_ON as u64) as usize;
        let Some(bytes) = window.bytes(at, length)? else { break };
        anything |= bytes.iter().any(|byte| *byte != 0);
        let found: Vec<u64> = bytes.windows(MAGIC.len()).enumerate().filter(|(_, seen)| *seen == MAGIC).map(|(i, _)| at + i as u64).collect();
        for place in found {
            if let Some(header) = Header::at(window, place)?
                && header.number >= expected
                && header.number > later.unwrap_or(0)
            {
                later = Some(header.number);
            }
        }
        // A magic that lies across two readings is seen by the second.
        at += if length == READ_ON { (length - MAGIC.len() + 1) as u64 } else { length as u64 };
    }
    Ok((later, anything))
}

#[allow(clippy::needless_pass_by_value, reason = "it is the shape that map_err wants")]
fn unreachable(error: io::Error) -> JournalError {
    JournalError::Unreachable(error.to_string())
}

impl Inner {
    fn append(&self, batch: &Batch, hash: [u8; 32]) -> Result<(), JournalError> {
        let mut writing = self.writing.lock();
        self.put_in_order(&mut writing)?;
        let (bytes, end) = self.bytes_of(batch, hash)?;
        writing.trouble = Trouble::Write;
        if let Err(error) = disk::write(&self.file, &bytes, end) {
            return Err(self.not_written(&mut writing, &error));
        }
        self.fill_ahead(&mut writing, end + bytes.len() as u64);
        if let Err(error) = disk::flush(&self.file) {
            writing.trouble = Trouble::Flush(error.to_string());
            return Err(JournalError::FlushFailed(error.to_string()));
        }
        writing.trouble = Trouble::None;
        let header = Header::parse(end, &bytes[..bytes.len() - batch.records.len()]).expect("what was just written can be read");
        self.state.lock().take_in(&header);
        Ok(())
    }

    /// Only the last batch can be in doubt: each was flushed before the next one was written.
    fn settle(&self) -> Result<(), JournalError> {
        let _writing = self.writing.lock();
        let (last, end) = {
            let state = self.state.lock();
            (state.last, state.end)
        };
        let mut bytes = vec![0; (end - last) as usize];
        self.file.read_exact_at(&mut bytes, last).and_then(|()| disk::write(&self.file, &bytes, last)).map_err(unreachable)?;
        disk::flush_all(&self.file).map_err(|error| JournalError::FlushFailed(error.to_string()))
    }

    /// The bytes of a batch that follows, and where they go.
    fn bytes_of(&self, batch: &Batch, hash: [u8; 32]) -> Result<(Vec<u8>, u64), JournalError> {
        let state = self.state.lock();
        if let Some(damage) = &state.damage {
            return Err(damage.error());
        }
        if (batch.number, batch.previous) != (state.head.number + 1, state.head.hash) {
            return Err(JournalError::Unreachable(format!("batch {} does not follow batch {}", batch.number, state.head.number)));
        }
        let last = |stream| state.streams.get(&stream).map_or(0, |known| known.seq);
        if let Some(span) = batch.spans.iter().find(|span| span.first != last(span.stream) + 1) {
            return Err(JournalError::Conflict(span.stream));
        }
        Ok((encode(batch, hash, |stream| state.streams.get(&stream).map_or(NONE, |known| known.place)), state.end))
    }

    /// Fills the file with zeros behind `end` if they are running out. The disk may be full: then the file grows with the batches, as long as it can.
    fn fill_ahead(&self, writing: &mut Writing, end: u64) {
        writing.filled = writing.filled.max(end);
        if writing.filled - end < self.ahead / 2 && disk::write(&self.file, &vec![0; self.ahead as usize], writing.filled).is_ok() {
            writing.filled += self.ahead;
        }
    }

    /// A batch of which a part could not even be handed to the kernel can never be found whole: nothing was written.
    fn not_written(&self, writing: &mut Writing, error: &io::Error) -> JournalError {
        let known = matches!(
            error.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge | ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied
        );
        // What stands behind the end now would be taken for a torn batch: away with it, now or before the next write.
        let _ = self.cut_behind_the_end(writing);
        let what = format!("{}: {error}", self.path.display());
        if known { JournalError::Full(what) } else { JournalError::Unreachable(what) }
    }

    /// After a failed write: cuts off what it left, and takes the room ahead. Without that room the next write would fail as well, and whoever asks whether all
    /// is well would be told a lie.
    fn put_in_order(&self, writing: &mut Writing) -> Result<(), JournalError> {
        match &writing.trouble {
            Trouble::None => Ok(()),
            Trouble::Flush(what) => Err(JournalError::FlushFailed(what.clone())),
            Trouble::Write => {
                let end = self.cut_behind_the_end(writing).map_err(unreachable)?;
                disk::write(&self.file, &vec![0; self.ahead as usize], end).map_err(unreachable)?;
                *writing = Writing { filled: end + self.ahead, trouble: Trouble::None };
                Ok(())
            }
        }
    }

    fn cut_behind_the_end(&self, writing: &mut Writing) -> io::Result<u64> {
        let end = self.state.lock().end;
        disk::cut(&self.file, end)?;
        writing.filled = end;
        Ok(end)
    }

    /// Where to begin to look for a batch: its place, or that of one before it; none behind the last.
    fn near(&self, number: u64) -> Option<u64> {
        let state = self.state.lock();
        if number == 0 || number > state.head.number {
            return None;
        }
        if state.read_on.0 == number {
            return Some(state.read_on.1);
        }
        state.marks.get(((number - 1) / MARK_EVERY) as usize).copied()
    }

    fn batches(&self, after: u64, limit: u32) -> Result<Vec<Batch>, JournalError> {
        let mut batches = Vec::new();
        let Some(mut place) = self.near(after + 1) else {
            let damage = self.state.lock().damage.clone().filter(|damage| damage.batch == after + 1);
            return damage.map_or(Ok(batches), |damage| Err(damage.error()));
        };
        let end = self.state.lock().end;
        let mut window = Window::new(&self.file, end, READ_ON);
        while place < end && batches.len() < limit as usize {
            let header = self.header(&mut window, place)?;
            let (number, next) = (header.number, header.end());
            if number <= after {
                place = next;
                continue;
            }
            match header.batch(&mut window) {
                Ok(batch) => {
                    batches.push(batch);
                    place = next;
                }
                // What is sound before the damage is read first.
                Err(_) if !batches.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        if let Some(last) = batches.last() {
            self.state.lock().read_on = (last.number + 1, place);
        }
        Ok(batches)
    }

    /// A header that was sound when the file was opened or written.
    fn header(&self, window: &mut Window<'_>, place: u64) -> Result<Header, JournalError> {
        let what = || format!("the batch at byte {place} cannot be read any more");
        Header::at(window, place).map_err(unreachable)?.ok_or_else(|| JournalError::Corrupt { batch: 0, what: what() })
    }

    /// Walks back over the batches of a stream, from the last one or the first mark behind record `seq`, until `each` has enough.
    fn walk_back(
        &self,
        stream: StreamId,
        seq: u64,
        mut each: impl FnMut(&Span, Header, &mut Window<'_>) -> Result<bool, JournalError>,
    ) -> Result<(), JournalError> {
        let Some(mut place) = self.begin(stream, seq) else { return Ok(()) };
        let mut window = Window::new(&self.file, self.state.lock().end, READ_ONE);
        while place != NONE {
            let header = self.header(&mut window, place)?;
            let lost = || JournalError::Corrupt { batch: header.number, what: format!("its index does not name {stream}") };
            let (span, before) = header.of(stream).ok_or_else(lost)?;
            if !each(&span, header, &mut window)? {
                return Ok(());
            }
            place = before;
        }
        Ok(())
    }

    fn begin(&self, stream: StreamId, seq: u64) -> Option<u64> {
        let state = self.state.lock();
        let last = state.streams.get(&stream)?.place;
        let marks = state.stream_marks.get(&stream).map(Vec::as_slice).unwrap_or_default();
        // A mark whose first record is behind `seq` is enough to begin at.
        let behind = marks.partition_point(|(first, _)| *first <= seq);
        Some(marks.get(behind).map_or(last, |(_, place)| *place))
    }

    /// The way back over the headers begins at the first mark behind what is wanted, so it is short however long the stream is; then only what is wanted is read.
    fn batches_of(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<Batch>, JournalError> {
        let mut places = Vec::new();
        self.walk_back(stream, after + 1, |span, header, _| {
            if span.last > after {
                places.push(header.place);
            }
            Ok(span.first > after + 1)
        })?;
        let mut window = Window::new(&self.file, self.state.lock().end, READ_ONE);
        places.into_iter().rev().take(limit as usize).map(|place| self.header(&mut window, place)?.batch(&mut window)).collect()
    }

    fn batch_with(&self, stream: StreamId, seq: u64) -> Result<Option<Batch>, JournalError> {
        let mut found = None;
        self.walk_back(stream, seq, |span, header, window| {
            if (span.first..=span.last).contains(&seq) {
                found = Some(header.batch(window)?);
            }
            Ok(span.first > seq)
        })?;
        Ok(found)
    }

    fn cut_last(&self, number: u64) -> Result<(), JournalError> {
        let mut writing = self.writing.lock();
        let mut state = self.state.lock();
        let end = match &state.damage {
            // It was answered by whoever wrote it.
            Some(damage) if damage.is_newer => return Err(damage.error()),
            Some(damage) if damage.last == number && damage.batch == number => state.end,
            None if state.head.number == number && number > 0 => state.last,
            _ => return Ok(()),
        };
        self.cut_at(end, &mut writing, &mut state)
    }

    fn cut_gap(&self) -> Result<Option<(u64, u64)>, JournalError> {
        let mut writing = self.writing.lock();
        let mut state = self.state.lock();
        let Some(gap) = state.damage.as_ref().filter(|damage| damage.is_gap).map(|damage| (damage.batch, damage.last)) else { return Ok(None) };
        self.cut_at(state.end, &mut writing, &mut state)?;
        Ok(Some(gap))
    }

    fn cut_at(&self, end: u64, writing: &mut Writing, state: &mut State) -> Result<(), JournalError> {
        disk::cut(&self.file, end).and_then(|()| disk::flush_all(&self.file)).map_err(unreachable)?;
        (*state, writing.filled) = State::read(&self.file).map_err(unreachable)?;
        Ok(())
    }
}

impl Journal for FileJournal {
    fn append<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), JournalError>> {
        self.append_hashed(batch, batch.hash())
    }

    fn append_hashed<'a>(&'a self, batch: &'a Batch, hash: [u8; 32]) -> BoxFuture<'a, Result<(), JournalError>> {
        debug_assert_eq!(batch.hash(), hash);
        // The writer has a thread of its own, which waits for the disk and for nothing else.
        Box::pin(async move { self.inner.append(batch, hash) })
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, JournalError>> {
        Box::pin(async move {
            let state = self.inner.state.lock();
            Ok(state.damage.as_ref().map_or(state.head, |damage| Head { number: damage.last, ..state.head }))
        })
    }

    fn batches(&self, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>> {
        Box::pin(self.read(move |inner| inner.batches(after, limit)))
    }

    fn batches_of(&self, stream: StreamId, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>> {
        Box::pin(async move {
            // Who touches a slot for the first time waits for nothing, nor does who has read all of it.
            if self.inner.state.lock().streams.get(&stream).is_none_or(|known| known.seq <= after) {
                return Ok(Vec::new());
            }
            self.read(move |inner| inner.batches_of(stream, after, limit)).await
        })
    }

    fn batch_with(&self, stream: StreamId, seq: u64) -> BoxFuture<'_, Result<Option<Batch>, JournalError>> {
        Box::pin(async move {
            if self.inner.begin(stream, seq).is_none() {
                return Ok(None);
            }
            self.read(move |inner| inner.batch_with(stream, seq)).await
        })
    }

    fn cut_last(&self, number: u64) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(self.read(move |inner| inner.cut_last(number)))
    }

    fn recover(&self) -> BoxFuture<'_, Result<Head, JournalError>> {
        Box::pin(async move {
            self.inner.put_in_order(&mut self.inner.writing.lock())?;
            let head = self.inner.state.lock().head;
            Ok(head)
        })
    }
}
