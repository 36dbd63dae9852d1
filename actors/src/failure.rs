//! Why the shell could not do what was asked: the core's refusal, or the world. Nothing that is not a refusal says whether the command was carried out; the
//! caller asks again with the same key and gets the one answer there is.

use tornello_engine::ids::SlotId;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure<R> {
    /// A rule says no.
    #[error("refused: {0:?}")]
    Refused(R),
    /// The idempotency key came with another body before.
    #[error("the idempotency key was used for something else")]
    KeyReused,
    /// There is no such slot: neither planned nor ever written to.
    #[error("there is no slot {0}")]
    UnknownSlot(SlotId),
    /// Too much to do. Nothing was changed.
    #[error("too much to do")]
    Busy,
    /// The journal cannot take anything now. Nothing was changed.
    #[error("the journal takes nothing now: {0}")]
    Journal(String),
    /// The command may or may not have been carried out: ask again with the same key.
    #[error("the outcome is unknown")]
    OutcomeUnknown,
    /// The stream has stopped several times in a row and is out of order until an operator looks at it.
    #[error("out of order: {0}")]
    OutOfOrder(String),
}

impl<R> Failure<R> {
    /// Whether the same command with the same key may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy | Self::Journal(_) | Self::OutcomeUnknown)
    }
}
