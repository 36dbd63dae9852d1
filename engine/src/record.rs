//! What the journal keeps of one command to one stream: all its events together, so that a command is written whole or not at all.

use serde::{Deserialize, Serialize};

use crate::envelope::Envelope;
use crate::time::Timestamp;

/// One command's events.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record<E> {
    /// Its number in the stream, from 1 without gaps.
    pub seq: u64,
    /// When it was decided; never earlier than the record before.
    pub at: Timestamp,
    /// The command's envelope; none if the system itself acted.
    pub envelope: Option<Envelope>,
    /// What happened, in order; never empty.
    pub events: Vec<E>,
}
