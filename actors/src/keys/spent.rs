//! Secrets that let nobody in any more, because their key was revoked or has another one: a list of what is kept of them, beside the journal and not in `keys.db`, so that an older
//! copy of that lets nobody in by them. How such a list is kept stands in `gone.rs`.

use std::fmt;
use std::str::FromStr;

use tornello_engine::time::Timestamp;

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
        write!(f, "{} ", self.since.as_micros())?;
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Spent {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "an instant in microseconds, a space and 64 hexadecimal digits are expected";
        let (since, digits) = text.split_once(' ').ok_or(EXPECTED)?;
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(EXPECTED);
        }
        let mut hash = [0; 32];
        for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| EXPECTED)?;
        }
        Ok(Self { hash, since: Timestamp::from_micros(since.parse().map_err(|_| EXPECTED)?) })
    }
}
