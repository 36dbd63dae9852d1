//! The file of acknowledgements: one line for each command that was answered, so that somebody who kills the process can tell what it had promised. Lines are
//! `sold <sale>`, `cancelled <sale>` and `admitted <ticket>`; they leave this process before it waits for the next commit.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Where acknowledgements go, if anywhere.
pub struct Acks(Option<BufWriter<Box<dyn Write + Send>>>);

impl Acks {
    /// Nowhere.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// To the end of a file, or to the standard output if it is called `-`.
    pub fn to(path: &Path) -> io::Result<Self> {
        let out: Box<dyn Write + Send> =
            if path == Path::new("-") { Box::new(io::stdout()) } else { Box::new(OpenOptions::new().create(true).append(true).open(path)?) };
        Ok(Self(Some(BufWriter::with_capacity(64 * 1_024, out))))
    }

    pub(super) fn note(&mut self, what: &str, id: impl Display) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), |out| writeln!(out, "{what} {id}"))
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), Write::flush)
    }
}
