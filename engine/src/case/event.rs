//! What can be asked of a case, and what happened to it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::channel::Channel;
use crate::envelope::{Assessment, Party};
use crate::ids::{AttemptId, BadId, CaseId, Code, HoldId, KeyId, MuseumId, SlotId, TillId};
use crate::money::Cents;
use crate::time::Timestamp;

/// What a place is worth at least to whoever takes it from somebody else, whatever was asked for it, in cents: who sells free tickets on asks for no less.
pub const PLACE_CENTS_MIN: i64 = 500;
const PPM_IN_PERCENT: i64 = 10_000;

/// What a case is about. Numbers are written in the journal: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A sale.
    Sale(HoldId),
    /// An attempt that was blocked or given up.
    Attempt(AttemptId),
    /// Tickets that were given back, or taken back at a desk.
    Return {
        /// Of which sale.
        sale: HoldId,
        /// By which record of the sale's slot.
        seq: u64,
    },
    /// The count of a desk's cash at the end of a session.
    Till(TillId),
    /// Places that were held and not bought.
    Hold(HoldId),
}

/// Between the parts of a subject's text.
const PART: char = '.';
/// What the text of a session begins with.
const TILL: &str = "till";

/// As lists name it: the id of a sale, a hold or an attempt; `SALE.RECORD` of a return; `till.SESSION` of a count. A sale has the id of its hold, and what was bought is
/// no hold any more: so one text is one thing, but it does not say which of both.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sale(sale) | Self::Hold(sale) => fmt::Display::fmt(sale, f),
            Self::Attempt(attempt) => fmt::Display::fmt(attempt, f),
            Self::Return { sale, seq } => write!(f, "{sale}{PART}{seq}"),
            Self::Till(till) => write!(f, "{TILL}{PART}{till}"),
        }
    }
}

/// The id of a hold is read as that of its sale.
impl FromStr for Subject {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        match text.split_once(PART) {
            Some((TILL, till)) => till.parse().map(Self::Till),
            Some((sale, seq)) => Ok(Self::Return { sale: sale.parse()?, seq: seq.parse().map_err(|_| BadId(26))? }),
            None => text.parse().map(Self::Sale).or_else(|_| text.parse().map(Self::Attempt)),
        }
    }
}

/// Why there is a case. Numbers are written in the journal: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A review was asked for.
    Review,
    /// Picked at random, from what nobody suspected or from what rules refused: what is learned from suspects and appeals alone is biased.
    Picked,
    /// Somebody who was refused appealed.
    Appeal,
    /// The payer's bank took the money back.
    Chargeback,
    /// A gate met a ticket twice: one without a network let its holder in, one with a network refused it.
    Conflict,
}

impl Origin {
    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Review => "review",
            Self::Picked => "picked",
            Self::Appeal => "appeal",
            Self::Chargeback => "chargeback",
            Self::Conflict => "conflict",
        }
    }
}

/// What an analyst found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is fraud: the tickets are blocked.
    Fraud,
    /// It is honest: the tickets are valid at once.
    Legit,
    /// It cannot be told: the tickets are valid when the time of the review is over.
    Unsure,
}

impl Verdict {
    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fraud => "fraud",
            Self::Legit => "legit",
            Self::Unsure => "unsure",
        }
    }
}

/// What a model is to learn of it. Numbers are written in the journal: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// It was fraud.
    Fraud,
    /// It was honest.
    Legit,
    /// Nothing: whoever said something of it takes that back, as it was about something else or was none after all. What others say of it counts.
    Withdrawn,
}

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelSource {
    /// The payer's bank, which took the money back.
    Chargeback,
    /// The end of a dispute about the payment.
    Dispute,
    /// An analyst.
    Verdict,
    /// A gate that met the ticket twice.
    GateRefusal,
}

impl LabelSource {
    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chargeback => "chargeback",
            Self::Dispute => "dispute",
            Self::Verdict => "verdict",
            Self::GateRefusal => "gate_refusal",
        }
    }

    /// How much it counts: 0 is the most credible. Of one rank the last word counts: how a dispute ends takes the place of the chargeback that began it, and a new
    /// chargeback that of an earlier end.
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::Chargeback | Self::Dispute => 0,
            Self::Verdict => 1,
            Self::GateRefusal => 2,
        }
    }
}

/// What is done to a sale because of a verdict, or of one that was undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Its tickets are blocked.
    Block,
    /// Its review ends, and a block of an earlier verdict is lifted.
    Clear,
    /// The block is lifted.
    Unblock,
    /// It is under review again.
    Review,
}

/// What can be asked of a case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Open it.
    Open(Box<Opened>),
    /// Give it to somebody to look at; none: to nobody in particular.
    Assign {
        /// Whose key.
        to: Option<KeyId>,
    },
    /// Say what it is.
    Decide {
        /// What.
        verdict: Verdict,
        /// Why, in one word.
        reason: Code,
        /// Who says so.
        by: KeyId,
    },
    /// Take the verdict back.
    Undo,
    /// The one who was refused asks for another look.
    Appeal {
        /// When the gate opens for the visit that is at stake, if that is known.
        gate_opens_at: Option<Timestamp>,
    },
    /// Note what is known of it by now.
    Label {
        /// What.
        label: Label,
        /// Who says so.
        source: LabelSource,
    },
    /// Note what came of an action.
    Act {
        /// Which.
        action: Action,
        /// Whether it was done; else nothing was left to be done, as when all tickets had been used.
        done: bool,
    },
    /// A review of its sale began anew, as a verdict was undone: the case is open as long.
    Renew {
        /// When the review ends by itself.
        lapses_at: Timestamp,
    },
    /// Its tickets have moved to where their review ends sooner: somebody should have looked by then.
    Hasten {
        /// When the review ends by itself there.
        due_at: Timestamp,
    },
    /// Somebody who has a party in common with those whose appeal waits here appeals as well: it is looked at with this one.
    Join {
        /// What they were refused.
        attempt: AttemptId,
        /// Who took part in it.
        parties: Vec<Party>,
        /// The rules that refused it.
        rules: Vec<Code>,
        /// When the gate opens for the visit that is at stake, if that is known.
        gate_opens_at: Option<Timestamp>,
    },
    /// Note that what this case would be about is looked at with another one. Not of a case that is open.
    Follow {
        /// With which.
        case: CaseId,
        /// Whether what is said of that one holds for this: see [`Joined::is_same`].
        is_same: bool,
    },
}

/// What happened to a case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Event {
    /// See [`Opened`].
    Opened(Opened),
    /// See [`Assigned`].
    Assigned(Assigned),
    /// See [`Decided`].
    Decided(Decided),
    /// See [`Undone`].
    Undone(Undone),
    /// See [`Appealed`].
    Appealed(Appealed),
    /// See [`Lapsed`].
    Lapsed(Lapsed),
    /// See [`Labelled`].
    Labelled(Labelled),
    /// See [`Acted`].
    Acted(Acted),
    /// See [`Joined`].
    Joined(Joined),
    /// See [`Followed`].
    Followed(Followed),
    /// See [`Renewed`].
    Renewed(Renewed),
}

/// There is something to look at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Opened {
    /// What.
    pub subject: Subject,
    /// Why.
    pub origin: Origin,
    /// What the scorer said, if it was asked.
    pub assessment: Option<Assessment>,
    /// For which slot.
    pub slot: Option<SlotId>,
    /// For which museum.
    pub museum: MuseumId,
    /// Through which channel.
    pub channel: Channel,
    /// What it cost, or would have.
    pub amount_cents: Cents,
    /// Who took part.
    pub parties: Vec<Party>,
    /// When somebody should have looked.
    pub due_at: Timestamp,
    /// When it ends by itself if nobody has; not before `due_at`.
    pub lapses_at: Timestamp,
}

impl Opened {
    /// Whether it was picked at random.
    #[must_use]
    pub const fn picked_at_random(&self) -> bool {
        matches!(self.origin, Origin::Picked)
    }

    /// What it may cost, in cents times percent: the order in which cases are looked at. How likely fraud is counts where a model has learned to say so, else the
    /// score; what was not scored has even odds. At stake is what was asked for, and for each of its places [`PLACE_CENTS_MIN`] at least.
    #[must_use]
    pub fn expected_loss(&self, places: u32) -> i64 {
        let at_stake = self.amount_cents.get().max(i64::from(places).saturating_mul(PLACE_CENTS_MIN));
        match &self.assessment {
            Some(Assessment { probability_ppm: Some(ppm), .. }) => at_stake.saturating_mul(i64::from(*ppm)) / PPM_IN_PERCENT,
            Some(assessment) => at_stake.saturating_mul(i64::from(assessment.score)),
            None => at_stake.saturating_mul(50),
        }
    }
}

/// Somebody looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Assigned {
    /// Whose key; none: nobody in particular.
    pub to: Option<KeyId>,
}

/// Somebody has said what it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decided {
    /// What.
    pub verdict: Verdict,
    /// Why, in one word.
    pub reason: Code,
    /// Who said so.
    pub by: KeyId,
}

/// The verdict was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Undone {
    /// Which verdict it was.
    pub verdict: Verdict,
}

/// The one who was refused asks for another look.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Appealed {
    /// When somebody should have looked.
    pub due_at: Timestamp,
    /// When it ends by itself if nobody has.
    pub lapses_at: Timestamp,
}

/// Nobody has looked in time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lapsed {}

/// It is known what it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Labelled {
    /// What.
    pub label: Label,
    /// Who says so.
    pub source: LabelSource,
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Acted {
    /// Which.
    pub action: Action,
    /// Whether it was done.
    pub done: bool,
}

/// Another attempt is looked at with the one that this case is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Joined {
    /// Which.
    pub attempt: AttemptId,
    /// Whether it was of the same buyer or device, so that what is said of the case holds for it. Who only shares a card, a network or the lack of a name may be anybody: they
    /// wait for their turn, and appeal once more when this one is decided.
    pub is_same: bool,
    /// The buyers and devices of it, if it is the same.
    pub parties: Vec<Party>,
    /// The rules that refused it, if it is the same.
    pub rules: Vec<Code>,
    /// When somebody should look by now: sooner than before where the visit is, and never later.
    pub due_at: Timestamp,
}

/// What this case would be about is looked at with another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Followed {
    /// With which.
    pub case: CaseId,
    /// See [`Joined::is_same`].
    pub is_same: bool,
}

/// A verdict was taken back when somebody should have looked by then or the time of the case was over, or a review began anew that lasts longer: somebody is to look once more. Or
/// tickets have moved to where their review ends sooner: somebody is to look sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Renewed {
    /// When somebody should have looked.
    pub due_at: Timestamp,
    /// When it ends by itself if nobody has.
    pub lapses_at: Timestamp,
}
