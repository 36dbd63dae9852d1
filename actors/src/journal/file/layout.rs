//! How a batch lies in the file: its header, the index of what is inside, its records; and how parts of the file are read.
//!
//! A batch: magic (8 bytes), number (u64), time (i64 microseconds), hash of the batch before (32), own hash (32), length of the index (u32) and of the records (u32), CRC-32C
//! (u32) of all that and of the index; then the index, then the records. The index: for each stream the length of its name (u8), the name, the numbers of its first and last
//! record (u64 each) and where in the file the batch stands that holds its records before (u64; all ones: none). All integers are little-endian.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use tornello_engine::time::Timestamp;

use super::super::wire::Bytes;
use super::super::{Batch, JournalError, Span, StreamId};
use super::unreachable;

/// Its first byte stands in no text, so that nothing a caller sends looks like the begin of a batch.
pub(super) const MAGIC: [u8; 8] = *b"\xfftrnlo\x01\n";
pub(super) const HEADER: usize = 8 + 8 + 8 + 32 + 32 + 4 + 4 + 4;

/// What stands before the records of a batch.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) place: u64,
    pub(super) number: u64,
    pub(super) at: Timestamp,
    pub(super) previous: [u8; 32],
    pub(super) hash: [u8; 32],
    /// With where the stream's records before stand.
    pub(super) index: Vec<(Span, u64)>,
    records_at: u64,
    records: u32,
}

impl Header {
    /// The header that stands at a place; none if there is none that can be read.
    pub(super) fn at(window: &mut Window<'_>, place: u64) -> io::Result<Option<Self>> {
        Ok(Self::bytes(window, place)?.and_then(|bytes| Self::parse(place, bytes)))
    }

    /// Whether the bytes of the header that stands at a place are those that were written.
    pub(super) fn is_whole_at(window: &mut Window<'_>, place: u64) -> io::Result<bool> {
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

    pub(super) fn parse(place: u64, bytes: &[u8]) -> Option<Self> {
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

    pub(super) const fn end(&self) -> u64 {
        self.records_at + self.records as u64
    }

    /// The whole batch, its hash compared to the stored one.
    pub(super) fn batch(self, window: &mut Window<'_>) -> Result<Batch, JournalError> {
        let corrupt = |what: &str| JournalError::Corrupt { batch: self.number, what: what.to_owned() };
        let records = window.bytes(self.records_at, self.records as usize).map_err(unreachable)?.ok_or_else(|| corrupt("it is cut off"))?.to_vec();
        let spans = self.index.iter().map(|(span, _)| *span).collect();
        let batch = Batch { number: self.number, previous: self.previous, at: self.at, records, spans };
        if batch.hash() == self.hash { Ok(batch) } else { Err(corrupt("its hash is not the stored one")) }
    }

    /// The span of a stream and the place of its records before.
    pub(super) fn of(&self, stream: StreamId) -> Option<(Span, u64)> {
        self.index.iter().find(|(span, _)| span.stream == stream).copied()
    }
}

/// The bytes of a batch that has that hash.
pub(super) fn encode(batch: &Batch, hash: [u8; 32], before: impl Fn(StreamId) -> u64) -> Vec<u8> {
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
    fixed.extend_from_slice(&hash);
    fixed.extend_from_slice(&index_bytes.to_le_bytes());
    fixed.extend_from_slice(&(batch.records.len() as u32).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&fixed), &bytes[HEADER..]);
    fixed.extend_from_slice(&crc.to_le_bytes());
    bytes[..HEADER].copy_from_slice(&fixed);
    bytes.extend_from_slice(&batch.records);
    bytes
}

/// A part of the file in memory, so that many small readings are few large ones.
pub(super) struct Window<'a> {
    file: &'a File,
    /// Nothing is read from here on.
    end: u64,
    at_once: usize,
    at: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(super) const fn new(file: &'a File, end: u64, at_once: usize) -> Self {
        Self { file, end, at_once, at: 0, bytes: Vec::new() }
    }

    /// The bytes at a place; none if they reach beyond the end.
    pub(super) fn bytes(&mut self, place: u64, length: usize) -> io::Result<Option<&[u8]>> {
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
