//! What every command carries beside its own words: who gave it, under which key, for whom, with which assessment.

use serde::{Deserialize, Serialize, Serializer};

use crate::ids::{Code, KeyId, OrderId};

/// The first 128 bits of the SHA-256 of something: an idempotency key, a request body, a pseudonym.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(transparent)]
#[repr(Rust, packed(8))]
pub struct Digest(pub u128);

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(bits) = *self;
        bits.serialize(serializer)
    }
}

/// What kind of party a pseudonym stands for. Numbers are written in the journal: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartyKind {
    /// The one who buys.
    Buyer,
    /// A browser, telephone or totem.
    Device,
    /// A payment card, as the channel's token.
    Card,
    /// An account of a reseller or group.
    Account,
}

/// Somebody who takes part, as the channel knows them: never a name, always a keyed pseudonym.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Party {
    /// What the pseudonym stands for.
    pub kind: PartyKind,
    /// A keyed hash of what the channel gave.
    pub pseudonym: Digest,
}

/// What a scorer said of a command before it was decided. The core records it and acts on nothing but what policy says of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Assessment {
    /// Model and version.
    pub model: Code,
    /// Version of the rules.
    pub rules_version: u32,
    /// The journal batch up to which the scorer had seen events.
    pub position: u64,
    /// Digest of the features that were scored.
    pub features: Digest,
    /// 0 (surely honest) to 100.
    pub score: u8,
    /// Codes of the main reasons, strongest first.
    pub reasons: Vec<Code>,
}

/// What every command carries.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Envelope {
    /// Who gave the command.
    pub who: KeyId,
    /// Digest of the caller's idempotency key; its scope is this caller and this stream.
    pub key: Digest,
    /// Digest of what was asked; the same key with another body is refused.
    pub body: Digest,
    /// Who takes part, the buyer first.
    pub parties: Vec<Party>,
    /// What a scorer said, if one was asked.
    pub assessment: Option<Box<Assessment>>,
    /// The order that the command belongs to.
    pub order: Option<OrderId>,
}
