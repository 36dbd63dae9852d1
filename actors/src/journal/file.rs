//! The journal in one append-only file: batches one after the other, each with a header, the index of what is inside, and its records. What is
//! written is never changed, so a write torn by a crash can only be the last one.
//!
//! A batch: magic (8 bytes), number (u64), time (i64 microseconds), hash of the batch before (32), own hash (32), length of the index (u32) and of the records (u32), CRC-32C
//! (u32) of all that and of the index; then the index, then the records. The index: for each stream the length of its name (u8), the name, the numbers of its first and last
//! record (u64 each) and where in the file the batch stands that holds its records before (u64; all ones: none). All integers are little-endian.
//!
//! Behind the last batch the file is filled with zeros, some way ahead: a flush that need not make the file longer is a third faster. Zeros to the end of the
//! file are the end of the journal. Anything else there is a torn batch, unless a whole later batch stands behind it: then something in the middle is damaged.
//!
//! In memory is only where each stream's last batch stands. The start reads all headers, and [`crate::start::check`] all records after that.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tornello_engine::time::Timestamp;

use super::wire::Bytes;
use super::{Batch, Head, Journal, JournalError, Span, StreamId};
use crate::signing::secret_file;

/// The name of the file within a data folder.
pub const FILE: &str = "journal.log";

/// Its first byte stands in no text, so that nothing a caller sends looks like the begin of a batch.
const MAGIC: [u8; 8] = *b"\xfftrnlo\x01\n";
const HEADER: usize = 8 + 8 + 8 + 32 + 32 + 4 + 4 + 4;
/// How far ahead the file is filled with zeros.
const AHEAD: u64 = 512 * 1024;
/// What is wrong with a header that is whole.
const NEWER: &str = "it names a stream of a kind that is not known";
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
    /// The number of the last batch that can be told behind it; that of the damaged one if it is the last.
    last: u64,
    /// Its header is whole: no crash has torn it, but this program cannot read it.
    is_newer: bool,
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
        let path = path.to_owned();
        let open = move || {
            let fail = |what: &str, error: &io::Error| JournalError::Unreachable(format!("{} cannot be {what}: {error}", path.display()));
            // Codes of vouchers, and secrets of waiting rooms, are in it.
            let mut private = OpenOptions::new();
            private.read(true).write(true).create(true).truncate(false).mode(0o600);
            let file = private.open(&path).map_err(|error| fail("opened", &error))?;
            secret_file::tighten(&path);
            // The name of a new file is as good as its content only when its folder is on the disk too.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| fail("kept", &error))?;
            let (state, filled) = State::read(&file).map_err(|error| fail("read", &error))?;
            let writing = Mutex::new(Writing { filled, trouble: Trouble::None });
            Ok(Self { inner: Arc::new(Inner { path, file, writing, state: Mutex::new(state) }) })
        };
        tokio::task::spawn_blocking(open).await.unwrap_or_else(|error| Err(JournalError::Unreachable(error.to_string())))
    }

    /// Writes the last batch once more where it stands, and flushes it. What is read when a file is opened need not be on the disk: a program that was killed between
    /// write and flush, and a flush that failed, both leave a batch that the kernel shows and would not write any more. Nothing may be built on it before this. To be
    /// called by the one who is going to append.
    pub async fn settle(&self) -> Result<(), JournalError> {
        self.read(Inner::settle).await
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
                state.damage = Some(Damage { batch: next, what, last: later.unwrap_or(next), is_newer: what == NEWER });
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

/// What stands before the records of a batch.
#[derive(Debug)]
struct Header {
    place: u64,
    number: u64,
    at: Timestamp,
    previous: [u8; 32],
    hash: [u8; 32],
    /// With where the stream's records before stand.
    index: Vec<(Span, u64)>,
    records_at: u64,
    records: u32,
}

impl Header {
    /// The header that stands at a place; none if there is none that can be read.
    fn at(window: &mut Window<'_>, place: u64) -> io::Result<Option<Self>> {
        Ok(Self::bytes(window, place)?.and_then(|bytes| Self::parse(place, bytes)))
    }

    /// Whether the bytes of the header that stands at a place are those that were written.
    fn is_whole_at(window: &mut Window<'_>, place: u64) -> io::Result<bool> {
        Ok(Self::bytes(window, place)?.is_some_and(|bytes| Self::whole(bytes).is_some()))
    }

    /// All bytes of the header that stands at a place; none if there is none.
    fn bytes<'a>(window: &'a mut Window<'_>, place: u64) -> io::Result<Option<&'a [u8]>> {
        let Some(fixed) = window.bytes(place, HEADER)? else { return Ok(None) };
        let mut fields = Bytes(fixed);
        if fields.array() != Some(MAGIC) {
            return Ok(None);
        }
        let index_bytes = u32::from_le_bytes([fixed[88], fixed[89], fixed[90], fixed[91]]) as usize;
        window.bytes(place, HEADER.saturating_add(index_bytes))
    }

    /// The fixed part and the index, if their checksum fits.
    fn whole(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let (fixed, index) = bytes.split_at_checked(HEADER)?;
        let (covered, mut crc) = (fixed.get(..HEADER - 4)?, Bytes(fixed.get(HEADER - 4..)?));
        (crc.u32()? == crc32c::crc32c_append(crc32c::crc32c(covered), index)).then_some((fixed, index))
    }

    fn parse(place: u64, bytes: &[u8]) -> Option<Self> {
        let (fixed, index) = Self::whole(bytes)?;
        let mut fields = Bytes(fixed.get(MAGIC.len()..)?);
        let (number, at) = (fields.u64()?, Timestamp::from_micros(fields.u64()? as i64));
        let (previous, hash) = (fields.array()?, fields.array()?);
        let (index_bytes, records) = (fields.u32()?, fields.u32()?);
        if index.len() != index_bytes as usize {
            return None;
        }
        let (mut fields, mut spans) = (Bytes(index), Vec::new());
        while !fields.0.is_empty() {
            let name = fields.u8().and_then(|length| fields.take(usize::from(length)))?;
            let stream = StreamId::from_bytes(name)?;
            spans.push((Span { stream, first: fields.u64()?, last: fields.u64()? }, fields.u64()?));
        }
        Some(Self { place, number, at, previous, hash, index: spans, records_at: place + (HEADER + index.len()) as u64, records })
    }

    const fn end(&self) -> u64 {
        self.records_at + self.records as u64
    }

    /// The whole batch, its hash compared to the stored one.
    fn batch(self, window: &mut Window<'_>) -> Result<Batch, JournalError> {
        let corrupt = |what: &str| JournalError::Corrupt { batch: self.number, what: what.to_owned() };
        let records = window.bytes(self.records_at, self.records as usize).map_err(unreachable)?.ok_or_else(|| corrupt("it is cut off"))?.to_vec();
        let spans = self.index.iter().map(|(span, _)| *span).collect();
        let batch = Batch { number: self.number, previous: self.previous, at: self.at, records, spans };
        if batch.hash() == self.hash { Ok(batch) } else { Err(corrupt("its hash is not the stored one")) }
    }

    /// The span of a stream and the place of its records before.
    fn of(&self, stream: StreamId) -> Option<(Span, u64)> {
        self.index.iter().find(|(span, _)| span.stream == stream).copied()
    }
}

/// The bytes of a batch, and where its records begin.
fn encode(batch: &Batch, before: impl Fn(StreamId) -> u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + 40 * batch.spans.len() + batch.records.len());
    bytes.resize(HEADER, 0);
    for span in &batch.spans {
        let name = span.stream.to_bytes();
        bytes.push(name.len() as u8);
        bytes.extend_from_slice(&name);
        for number in [span.first, span.last, before(span.stream)] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }
    let index_bytes = (bytes.len() - HEADER) as u32;
    let mut fixed = Vec::with_capacity(HEADER);
    fixed.extend_from_slice(&MAGIC);
    fixed.extend_from_slice(&batch.number.to_le_bytes());
    fixed.extend_from_slice(&batch.at.as_micros().to_le_bytes());
    fixed.extend_from_slice(&batch.previous);
    fixed.extend_from_slice(&batch.hash());
    fixed.extend_from_slice(&index_bytes.to_le_bytes());
    fixed.extend_from_slice(&(batch.records.len() as u32).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&fixed), &bytes[HEADER..]);
    fixed.extend_from_slice(&crc.to_le_bytes());
    bytes[..HEADER].copy_from_slice(&fixed);
    bytes.extend_from_slice(&batch.records);
    bytes
}

/// A part of the file in memory, so that many small readings are few large ones.
struct Window<'a> {
    file: &'a File,
    /// Nothing is read from here on.
    end: u64,
    at_once: usize,
    at: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    const fn new(file: &'a File, end: u64, at_once: usize) -> Self {
        Self { file, end, at_once, at: 0, bytes: Vec::new() }
    }

    /// The bytes at a place; none if they reach beyond the end.
    fn bytes(&mut self, place: u64, length: usize) -> io::Result<Option<&[u8]>> {
        let skip =
            place.checked_sub(self.at).and_then(|skip| usize::try_from(skip).ok()).filter(|skip| skip.saturating_add(length) <= self.bytes.len());
        if let Some(skip) = skip {
            return Ok(Some(&self.bytes[skip..skip + length]));
        }
        // A length that damage made up must not become memory.
        let left = self.end.saturating_sub(place);
        if length as u64 > left {
            return Ok(None);
        }
        self.bytes.resize((length.max(self.at_once) as u64).min(left) as usize, 0);
        self.at = place;
        self.file.read_exact_at(&mut self.bytes, place)?;
        Ok(Some(&self.bytes[..length]))
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is the shape that map_err wants")]
fn unreachable(error: io::Error) -> JournalError {
    JournalError::Unreachable(error.to_string())
}

impl Inner {
    fn append(&self, batch: &Batch) -> Result<(), JournalError> {
        let mut writing = self.writing.lock();
        self.put_in_order(&mut writing)?;
        let (bytes, end) = self.bytes_of(batch)?;
        writing.trouble = Trouble::Write;
        if let Err(error) = self.file.write_all_at(&bytes, end) {
            return Err(self.not_written(&mut writing, &error));
        }
        self.fill_ahead(&mut writing, end + bytes.len() as u64);
        if let Err(error) = self.file.sync_data() {
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
        self.file.read_exact_at(&mut bytes, last).and_then(|()| self.file.write_all_at(&bytes, last)).map_err(unreachable)?;
        self.file.sync_all().map_err(|error| JournalError::FlushFailed(error.to_string()))
    }

    /// The bytes of a batch that follows, and where they go.
    fn bytes_of(&self, batch: &Batch) -> Result<(Vec<u8>, u64), JournalError> {
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
        Ok((encode(batch, |stream| state.streams.get(&stream).map_or(NONE, |known| known.place)), state.end))
    }

    /// Fills the file with zeros behind `end` if they are running out. The disk may be full: then the file grows with the batches, as long as it can.
    fn fill_ahead(&self, writing: &mut Writing, end: u64) {
        writing.filled = writing.filled.max(end);
        if writing.filled - end < AHEAD / 2 && self.file.write_all_at(&vec![0; AHEAD as usize], writing.filled).is_ok() {
            writing.filled += AHEAD;
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
                self.file.write_all_at(&vec![0; AHEAD as usize], end).map_err(unreachable)?;
                *writing = Writing { filled: end + AHEAD, trouble: Trouble::None };
                Ok(())
            }
        }
    }

    fn cut_behind_the_end(&self, writing: &mut Writing) -> io::Result<u64> {
        let end = self.state.lock().end;
        self.file.set_len(end)?;
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
        self.file.set_len(end).and_then(|()| self.file.sync_all()).map_err(unreachable)?;
        (*state, writing.filled) = State::read(&self.file).map_err(unreachable)?;
        Ok(())
    }
}

impl Journal for FileJournal {
    fn append<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), JournalError>> {
        // The writer has a thread of its own, which waits for the disk and for nothing else.
        Box::pin(async move { self.inner.append(batch) })
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

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tornello_engine::ids::MuseumId;

    use super::*;

    const MUSEUM: StreamId = StreamId::Museum(MuseumId(1));
    const OTHER: StreamId = StreamId::Museum(MuseumId(2));

    fn next(head: &Head, stream: StreamId, seq: u64, length: usize) -> Batch {
        let number = head.number + 1;
        let at = Timestamp::from_seconds(number as i64);
        Batch { number, previous: head.hash, at, records: vec![number as u8; length], spans: vec![Span { stream, first: seq, last: seq }] }
    }

    /// Writes that many batches of `MUSEUM`, each with one record of `length` bytes; every tenth is of `OTHER`.
    async fn write(journal: &FileJournal, count: u64, length: usize) {
        for _ in 0..count {
            let head = journal.head().await.unwrap();
            let (stream, seq) = if head.number % 10 == 9 { (OTHER, head.number / 10 + 1) } else { (MUSEUM, head.number - head.number / 10 + 1) };
            journal.append(&next(&head, stream, seq, length)).await.unwrap();
        }
    }

    /// The numbers of a stream's records, one in each batch, read by pages of `limit` batches.
    async fn seqs(journal: &FileJournal, stream: StreamId, after: u64, limit: u32) -> Vec<u64> {
        let mut seqs = Vec::new();
        loop {
            let page = journal.batches_of(stream, seqs.last().copied().unwrap_or(after), limit).await.unwrap();
            assert!(page.len() <= limit as usize, "{} batches at once, {limit} were wanted", page.len());
            if page.is_empty() {
                return seqs;
            }
            seqs.extend(page.iter().map(|batch| batch.spans[0].first));
        }
    }

    #[tokio::test]
    async fn many_batches_are_found_by_number_and_by_stream_also_after_a_restart() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(FILE);
        let mut journal = FileJournal::open(&path).await.unwrap();
        write(&journal, 700, 3_000).await;
        for restarted in [false, true] {
            for after in [0, 1, 62, 63, 64, 65, 128, 640, 698, 699] {
                let numbers: Vec<u64> = journal.batches(after, 3).await.unwrap().iter().map(|batch| batch.number).collect();
                assert_eq!(numbers, (after + 1..=700).take(3).collect::<Vec<_>>(), "after {after}, restarted: {restarted}");
            }
            for limit in [1, 7, 1_000] {
                assert_eq!(seqs(&journal, MUSEUM, 0, limit).await, (1..=630).collect::<Vec<_>>(), "{limit} at once, restarted: {restarted}");
                assert_eq!(seqs(&journal, MUSEUM, 63, limit).await, (64..=630).collect::<Vec<_>>(), "{limit} at once, restarted: {restarted}");
                assert_eq!(seqs(&journal, OTHER, 60, limit).await, (61..=70).collect::<Vec<_>>(), "{limit} at once, restarted: {restarted}");
            }
            for seq in [1, 2, 63, 64, 65, 127, 128, 400, 629, 630] {
                let batch = journal.batch_with(MUSEUM, seq).await.unwrap();
                assert_eq!(batch.map(|batch| batch.spans[0].first), Some(seq), "restarted: {restarted}");
            }
            assert_eq!(journal.batch_with(MUSEUM, 631).await, Ok(None));
            journal = FileJournal::open(&path).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_stream_of_damaged_batches_is_an_error_and_not_a_gap() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(FILE);
        let journal = FileJournal::open(&path).await.unwrap();
        write(&journal, 3, 100).await;
        let bytes = std::fs::read(&path).unwrap();
        let second = bytes.windows(8).enumerate().filter(|(_, seen)| *seen == MAGIC).nth(1).map(|(at, _)| at).unwrap();
        for at in [second, second + 40, second + HEADER + 2, second + HEADER + 40] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            assert!(matches!(journal.batches_of(MUSEUM, 0, 10).await, Err(JournalError::Corrupt { .. })), "byte {at}");
            assert!(matches!(journal.batches(0, 1).await.as_deref(), Ok([_])), "what is sound before is read");
        }
    }

    /// A limit of the process on the size of files would be simpler to set than a full disk, but is of the whole process. A file opened for reading only
    /// refuses writes as a disk does that was mounted for reading only.
    #[tokio::test]
    async fn after_a_failed_write_the_batches_end_where_they_did() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(FILE);
        let mut journal = FileJournal::open(&path).await.unwrap();
        write(&journal, 2, 100).await;
        let head = journal.head().await.unwrap();
        let inner = Arc::get_mut(&mut journal.inner).unwrap();
        let writable = std::mem::replace(&mut inner.file, File::open(&path).unwrap());
        let batch = next(&head, MUSEUM, 3, 100);
        assert!(matches!(journal.append(&batch).await, Err(JournalError::Unreachable(_))));
        assert!(journal.recover().await.is_err(), "it cannot be put in order yet");
        // A part of the batch had reached the file.
        writable.write_all_at(&[7; 50], journal.inner.state.lock().end).unwrap();
        Arc::get_mut(&mut journal.inner).unwrap().file = writable;
        assert_eq!(journal.recover().await, Ok(head));
        let (bytes, end) = (std::fs::read(&path).unwrap(), journal.inner.state.lock().end as usize);
        assert_eq!((bytes.len(), bytes[end..].iter().all(|byte| *byte == 0)), (end + AHEAD as usize, true));
        assert_eq!(journal.append(&batch).await, Ok(()));
        let again = FileJournal::open(&path).await.unwrap();
        assert_eq!(again.head().await.map(|head| head.number), Ok(3));
    }

    /// What the kernel has not written cannot be seen from here; that the last batch is written again can, through a file that takes no writes.
    #[tokio::test]
    async fn the_last_batch_is_written_again_before_anything_is_built_on_it() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(FILE);
        let mut journal = FileJournal::open(&path).await.unwrap();
        assert_eq!(journal.settle().await, Ok(()), "an empty file");
        write(&journal, 3, 3_000).await;
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(journal.settle().await, Ok(()));
        assert!(std::fs::read(&path).unwrap() == bytes, "nothing changes");
        Arc::get_mut(&mut journal.inner).unwrap().file = File::open(&path).unwrap();
        assert!(matches!(journal.settle().await, Err(JournalError::Unreachable(_))));
    }

    #[tokio::test]
    async fn a_failed_flush_stops_the_file_until_it_is_opened_again() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(FILE);
        let journal = FileJournal::open(&path).await.unwrap();
        write(&journal, 1, 100).await;
        let head = journal.head().await.unwrap();
        journal.inner.writing.lock().trouble = Trouble::Flush("a bad sector".into());
        assert!(matches!(journal.append(&next(&head, MUSEUM, 2, 9)).await, Err(JournalError::FlushFailed(_))));
        assert!(matches!(journal.recover().await, Err(JournalError::FlushFailed(_))));
        write(&FileJournal::open(&path).await.unwrap(), 1, 100).await;
    }

    #[tokio::test]
    async fn what_a_newer_program_wrote_is_not_taken_for_torn() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(FILE);
        let journal = FileJournal::open(&path).await.unwrap();
        write(&journal, 2, 100).await;
        let place = journal.inner.state.lock().last as usize;
        drop(journal);
        let mut bytes = std::fs::read(&path).unwrap();
        // The kind of the one stream in the last batch, and the checksum over it.
        bytes[place + HEADER + 1] = 200;
        let index_bytes = u32::from_le_bytes(bytes[place + 88..place + 92].try_into().unwrap()) as usize;
        let (fixed, index) = (&bytes[place..place + HEADER - 4], &bytes[place + HEADER..place + HEADER + index_bytes]);
        let crc = crc32c::crc32c_append(crc32c::crc32c(fixed), index).to_le_bytes();
        bytes[place + HEADER - 4..place + HEADER].copy_from_slice(&crc);
        std::fs::write(&path, &bytes).unwrap();
        let journal = FileJournal::open(&path).await.unwrap();
        assert_eq!(journal.head().await.unwrap().number, 2);
        for refused in [journal.batches(1, 1).await.map(drop), journal.cut_last(2).await] {
            assert!(matches!(refused, Err(JournalError::Newer { batch: 2, .. })), "{refused:?}");
        }
        assert!(std::fs::read(&path).unwrap() == bytes, "nothing was cut off");
    }
}
