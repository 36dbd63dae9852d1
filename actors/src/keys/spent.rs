//! Secrets that let nobody in any more, because their key was revoked or has another one: a list of what is kept of them, beside the journal and not in `keys.db`, so that an older
//! copy of that lets nobody in by them. How such a list is kept stands in `gone.rs`.

use std::fmt;
use std::str::FromStr;

use tornello_engine::time::Timestamp;

use crate::hex::Hex;

/// The name of the file, beside the journal.
pub(super) const FILE: &str = "revoked.log";

/// A secret that lets nobody in any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spent {
    /// What is kept of it.
    pub(super) hash: [u8; 32],
    /// Since when.
    pub(super) since: Timestamp,
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In this order, so that a line that was cut short is none.
        write!(f, "{} {}", self.since.as_micros(), Hex(self.hash))
    }
}

impl FromStr for Spent {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "an instant in microseconds, a space and a digest are expected";
        let (since, digest) = text.split_once(' ').ok_or(EXPECTED)?;
        let Hex(hash) = digest.parse::<Hex<[u8; 32]>>()?;
        Ok(Self { hash, since: Timestamp::from_micros(since.parse().map_err(|_| EXPECTED)?) })
    }
}
