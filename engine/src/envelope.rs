//! What every command carries beside its own words: who gave it, under which key, for whom, with which assessment.

use std::iter::once;

use serde::{Deserialize, Serialize, Serializer};

use crate::ids::{Code, KeyId, OrderId};
use crate::time::Timestamp;

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
    /// A block of IP addresses.
    Network,
    /// A totem.
    Kiosk,
    /// Somebody who works at a desk.
    Operator,
    /// A group that asked for a visit.
    Group,
}

/// Somebody who takes part, as the channel knows them: never a name, always a keyed pseudonym.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Party {
    /// What the pseudonym stands for.
    pub kind: PartyKind,
    /// A keyed hash of what the channel gave.
    pub pseudonym: Digest,
}

/// What is to be done about a command that was assessed. Numbers are written in the journal: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing.
    Allow,
    /// Ask for one more proof first.
    StepUp,
    /// Do it; what is sold is not valid at the gate until somebody has looked, or the time for that is over.
    Review,
    /// Do not do it.
    Block,
}

impl Outcome {
    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::StepUp => "step_up",
            Self::Review => "review",
            Self::Block => "block",
        }
    }
}

/// What an assessment rests on that neither the journal before it nor the model that is named says: with it the same is said again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Basis {
    /// Of how the journal is heard, which features follow, and which rules hold by themselves: another number is of a program by which others may follow.
    pub edition: u32,
    /// The line of the model, 0 to 1: what has a greater score is looked at. A double's bytes, little-endian, as the core reckons with none; none where no model took part.
    pub line: Option<[u8; 8]>,
    /// Rules that fired and were not to refuse: who took part was found honest when they had refused them before.
    pub spared: Vec<Code>,
}

/// What a scorer said of a command before it was decided. A slot does what is asked, and keeps the tickets of what is to be reviewed from the gate for a while;
/// whoever blocks or asks for more proof does so before the slot is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Assessment {
    /// Model and version.
    pub model: Code,
    /// Version of the rules.
    pub rules_version: u32,
    /// As of when: a little before the record, whose time is that of the decision.
    pub at: Timestamp,
    /// The journal batch up to which the scorer had seen events.
    pub position: u64,
    /// Digest of the features that were scored.
    pub features: Digest,
    /// 0 (surely honest) to 100.
    pub score: u8,
    /// Codes of the main reasons, strongest first.
    pub reasons: Vec<Code>,
    /// What is to be done.
    pub outcome: Outcome,
    /// Names of the rules that fired.
    pub rules: Vec<Code>,
    /// How likely fraud is, in millionths; none where no model took part that has learned what it says from labels.
    pub probability_ppm: Option<u32>,
    /// What it rests on. Assessments of before this was written have none.
    pub basis: Option<Box<Basis>>,
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
    /// By which pseudonyms of earlier months the one who buys is known, so that what they have from then counts. Only looked up: they are written nowhere, as a record in
    /// which the pseudonyms of two months stand beside each other says for ever that they are of one person.
    #[serde(skip)]
    pub formerly: Vec<Digest>,
}

impl PartyKind {
    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Buyer => "buyer",
            Self::Device => "device",
            Self::Card => "card",
            Self::Account => "account",
            Self::Network => "network",
            Self::Kiosk => "kiosk",
            Self::Operator => "operator",
            Self::Group => "group",
        }
    }
}

impl Envelope {
    /// Of a step that the system takes by itself: the key says all that is asked, so that a step is taken once however often it is asked.
    #[must_use]
    pub const fn by_system(key: Digest) -> Self {
        Self { who: KeyId::SYSTEM, key, body: key, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() }
    }

    /// The pseudonyms of the one who buys, each once: this month's first, in the first days of a month that of the month before as well, then those of earlier months.
    /// What is had is counted under one of them, the first when it was asked for; together they say what the buyer has.
    pub fn buyers(&self) -> impl Iterator<Item = Digest> + Clone {
        let named = |party: &Party| (party.kind == PartyKind::Buyer).then_some(party.pseudonym);
        let is_first = move |place: &usize| !self.parties[..*place].contains(&self.parties[*place]);
        let is_other = move |former: &Digest| !self.parties.iter().any(|party| named(party).as_ref() == Some(former));
        (0..self.parties.len())
            .filter(is_first)
            .filter_map(move |place| named(&self.parties[place]))
            .chain(self.formerly.iter().copied().filter(is_other))
    }

    /// The pseudonyms of somebody of whom one is known: that one, and where they are the one who buys all others of theirs.
    pub fn also_known(&self, buyer: Digest) -> impl Iterator<Item = Digest> {
        let buys = self.buyers().any(|named| named == buyer);
        once(buyer).chain(self.buyers().filter(move |named| buys && *named != buyer))
    }

    /// The pseudonym of the one who buys, if the channel named one.
    #[must_use]
    pub fn buyer(&self) -> Option<Digest> {
        self.parties.iter().find(|party| party.kind == PartyKind::Buyer).map(|party| party.pseudonym)
    }

    /// The device at which whoever asks sits, if the channel named one.
    #[must_use]
    pub fn device(&self) -> Option<Digest> {
        self.devices().next()
    }

    /// The pseudonyms of the device, in the first days of a month also that of the month before.
    pub fn devices(&self) -> impl Iterator<Item = Digest> {
        self.parties.iter().filter(|party| party.kind == PartyKind::Device).map(|party| party.pseudonym)
    }

    /// Whether somebody is named for whom places can be kept: who buys, or the device at which they sit.
    #[must_use]
    pub fn names_somebody(&self) -> bool {
        self.parties.iter().any(|party| matches!(party.kind, PartyKind::Buyer | PartyKind::Device))
    }

    /// Whether what is sold by the command is to be looked at before its tickets let anybody in.
    #[must_use]
    pub fn asks_review(&self) -> bool {
        self.assessment.as_ref().is_some_and(|assessment| assessment.outcome == Outcome::Review)
    }
}
