//! Who is behind what: known to the world, asked for by those who judge a scorer, and by nobody else. No agent and no scorer reads it; what a scorer is given is made
//! of [`super::Intent`]s and of what became of them.

/// An attack that the world knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attack {
    /// Holds places of sought-after slots over and over, and buys few.
    Hoarding,
    /// Buys sought-after places with many cards, devices and addresses, to sell them on.
    Scalping,
    /// Buys as much as it may of many slots, without a contract, to sell it on.
    Reselling,
    /// Tries stolen cards with small amounts.
    CardTesting,
    /// Buys much and gives most of it back at the last moment, at the museum's risk.
    RefundAbuse,
    /// Lets two people in on one ticket.
    GateSharing,
    /// Takes cash, voids the sale and keeps the money, or takes it from the drawer.
    OperatorTheft,
}

impl Attack {
    /// All.
    pub const ALL: [Self; 7] =
        [Self::Hoarding, Self::Scalping, Self::Reselling, Self::CardTesting, Self::RefundAbuse, Self::GateSharing, Self::OperatorTheft];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hoarding => "hoarding",
            Self::Scalping => "scalping",
            Self::Reselling => "reselling",
            Self::CardTesting => "card_testing",
            Self::RefundAbuse => "refund_abuse",
            Self::GateSharing => "gate_sharing",
            Self::OperatorTheft => "operator_theft",
        }
    }
}

/// How an attack is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variant {
    /// As fast as it goes, with few identities.
    Plain,
    /// Slowly, with identities that change, by somebody who knows that somebody looks.
    Adaptive,
}

impl Variant {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Adaptive];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Adaptive => "adaptive",
        }
    }
}

/// What kind of honest visitor, or whoever serves them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Persona {
    /// Parents with children.
    Family,
    /// One or two people.
    Couple,
    /// Friends, or relatives, who go together: five to ten.
    Friends,
    /// Somebody from far away, with several museums in a few days.
    Tourist,
    /// A hotel that buys for its guests, all from one computer.
    Concierge,
    /// Somebody who comes back again and again.
    Member,
    /// Somebody who waits for a sale to open.
    Fan,
    /// Somebody who buys shortly before.
    LastMinute,
    /// A school class with its teachers.
    School,
    /// A reseller on a contract.
    Reseller,
    /// Those who buy at one totem on one day.
    KioskCrowd,
    /// A desk with whoever serves there, on one day.
    Desk,
}

impl Persona {
    /// All.
    pub const ALL: [Self; 12] = [
        Self::Family,
        Self::Couple,
        Self::Friends,
        Self::Tourist,
        Self::Concierge,
        Self::Member,
        Self::Fan,
        Self::LastMinute,
        Self::School,
        Self::Reseller,
        Self::KioskCrowd,
        Self::Desk,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Family => "family",
            Self::Couple => "couple",
            Self::Friends => "friends",
            Self::Tourist => "tourist",
            Self::Concierge => "concierge",
            Self::Member => "member",
            Self::Fan => "fan",
            Self::LastMinute => "last_minute",
            Self::School => "school",
            Self::Reseller => "reseller",
            Self::KioskCrowd => "kiosk_crowd",
            Self::Desk => "desk",
        }
    }
}

/// What an agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Nature {
    /// It means well.
    Honest(Persona),
    /// It does not.
    Attacker(Attack, Variant),
}

impl Nature {
    /// The attack, if it is one.
    #[must_use]
    pub const fn attack(self) -> Option<(Attack, Variant)> {
        match self {
            Self::Honest(_) => None,
            Self::Attacker(attack, variant) => Some((attack, variant)),
        }
    }
}

/// What is behind one intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deed {
    /// Whose it was: an agent's number. An attacker is one agent, whatever identities it uses.
    pub agent: u32,
    /// Whether it hurts: a place kept from others, a card tried, a ticket used twice, money taken. What an attacker does besides to look harmless does not.
    pub harmful: bool,
}

/// Who is behind what.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    pub(super) natures: Vec<Nature>,
    pub(super) deeds: Vec<Deed>,
}

impl Truth {
    /// What is behind an intent, by its number.
    #[must_use]
    pub fn deed(&self, intent: u64) -> Option<Deed> {
        self.deeds.get(usize::try_from(intent).ok()?).copied()
    }

    /// What an agent is, by its number.
    #[must_use]
    pub fn nature(&self, agent: u32) -> Option<Nature> {
        self.natures.get(agent as usize).copied()
    }

    /// All agents, in the order of their numbers.
    #[must_use]
    pub fn natures(&self) -> &[Nature] {
        &self.natures
    }
}
