//! The calls by which the file is changed: all of them are here, so that a test can have each one go wrong, in each way in which a disk or the end of the process may.

#[cfg(test)]
pub(super) mod faults;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

#[cfg(test)]
use faults::call;

/// Writes all these bytes at a place.
pub(super) fn write(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    call(|| file.write_all_at(bytes, at), || file.write_all_at(&bytes[..bytes.len() / 2], at))
}

/// Flushes what was written.
pub(super) fn flush(file: &File) -> io::Result<()> {
    call(|| file.sync_data(), || Ok(()))
}

/// Flushes what was written, and how long the file is.
pub(super) fn flush_all(file: &File) -> io::Result<()> {
    call(|| file.sync_all(), || Ok(()))
}

/// Cuts the file off behind so many bytes.
pub(super) fn cut(file: &File, length: u64) -> io::Result<()> {
    call(|| file.set_len(length), || Ok(()))
}

/// Does all of it; half of it is what a test may have been done instead.
#[cfg(not(test))]
fn call(all: impl FnOnce() -> io::Result<()>, _half: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    all()
}
