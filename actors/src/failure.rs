//! Why the shell could not do what was asked: the core's refusal, or the world. Nothing that is not a refusal says whether the command was carried out; the
//! caller asks again with the same key and gets the one answer there is.

use std::error::Error;

use tornello_engine::ids::SlotId;

/// What went wrong, and what that comes from: each once, as some errors say themselves what they come from.
#[must_use]
pub fn why(error: &(dyn Error + 'static)) -> String {
    let (mut told, mut next) = (String::new(), Some(error));
    while let Some(cause) = next {
        let says = cause.to_string();
        if !told.contains(&says) {
            told.push_str(if told.is_empty() { "" } else { ": " });
            told.push_str(&says);
        }
        next = cause.source();
    }
    told
}

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
    /// A payment gateway cannot be asked now: the same is asked again later.
    #[error("the payment gateway cannot be asked now: {0}")]
    Gateway(String),
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
        matches!(self, Self::Busy | Self::Journal(_) | Self::Gateway(_) | Self::OutcomeUnknown)
    }

    /// The same with another refusal in it, for a flow over several kinds of stream.
    pub fn map<S>(self, refusal: impl FnOnce(R) -> S) -> Failure<S> {
        match self {
            Self::Refused(refused) => Failure::Refused(refusal(refused)),
            Self::KeyReused => Failure::KeyReused,
            Self::UnknownSlot(slot) => Failure::UnknownSlot(slot),
            Self::Busy => Failure::Busy,
            Self::Journal(why) => Failure::Journal(why),
            Self::Gateway(why) => Failure::Gateway(why),
            Self::OutcomeUnknown => Failure::OutcomeUnknown,
            Self::OutOfOrder(why) => Failure::OutOfOrder(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::CodesError;
    use crate::secret_file::SecretFileError;
    use crate::signing::SigningError;

    #[test]
    fn what_an_error_comes_from_is_told_and_each_of_it_once() {
        let file = SecretFileError::Io { attempted: "read", path: "data/signing.keys".into(), source: std::io::Error::other("the disk is gone") };
        let error = CodesError::Signing(SigningError::File(file));
        assert_eq!(
            why(&error),
            "cannot read the ticket signing keys again: cannot keep the ticket signing keys: cannot read data/signing.keys: the disk is gone"
        );
    }
}
