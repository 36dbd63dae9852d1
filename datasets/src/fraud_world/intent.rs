//! What agents ask for, and what becomes of it: the words between the world and whoever drives it. An intent says what a channel would know and nothing else; who
//! is behind it stands in [`super::Truth`], which is asked for by number afterwards.

use tornello_models::fraud::signals::{Outlet, Role};

use super::town::Slot;

/// What an agent wants to do, at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Its number, from 0, in the order in which intents are given.
    pub number: u64,
    /// When, in microseconds since 1970 UTC.
    pub at_us: i64,
    /// Through which channel.
    pub channel: Channel,
    /// Who takes part, as far as the channel knows. A gate knows nobody: whoever drives knows whose the sale is.
    pub parties: Parties,
    /// What.
    pub action: Action,
    /// Whether one more check, that was asked for, is passed.
    pub checked: bool,
}

/// Who sells. Names and order are those of the core's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// The museum's own web shop.
    Web,
    /// A self-service totem on site.
    Kiosk,
    /// The ticket desk.
    BoxOffice,
    /// The group office.
    Group,
    /// A reseller, on a contract.
    Reseller,
}

impl Channel {
    /// All, in the core's order.
    pub const ALL: [Self; 5] = [Self::Web, Self::Kiosk, Self::BoxOffice, Self::Group, Self::Reseller];

    /// Its name, as in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Kiosk => "kiosk",
            Self::BoxOffice => "box_office",
            Self::Group => "group",
            Self::Reseller => "reseller",
        }
    }

    /// As signals name it.
    #[must_use]
    pub const fn outlet(self) -> Outlet {
        match self {
            Self::Web => Outlet::Web,
            Self::Kiosk => Outlet::Kiosk,
            Self::BoxOffice => Outlet::BoxOffice,
            Self::Group => Outlet::Group,
            Self::Reseller => Outlet::Reseller,
        }
    }
}

/// What kind of party a number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartyKind {
    /// The one who buys, by e-mail address.
    Buyer,
    /// A browser, telephone or totem.
    Device,
    /// A payment card, as the channel's token.
    Card,
    /// An account of a reseller.
    Account,
    /// A block of network addresses.
    Network,
    /// A totem.
    Kiosk,
    /// Somebody at a desk.
    Operator,
    /// An institution that the group office knows.
    Group,
}

impl PartyKind {
    /// As signals name it.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Self::Buyer => Role::Buyer,
            Self::Device => Role::Device,
            Self::Card => Role::Card,
            Self::Account => Role::Account,
            Self::Network => Role::Network,
            Self::Kiosk => Role::Kiosk,
            Self::Operator => Role::Operator,
            Self::Group => Role::Group,
        }
    }
}

/// Who takes part, each a number that stands for the same one all the time. What a channel does not know is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Parties {
    /// See [`PartyKind::Buyer`].
    pub buyer: Option<u64>,
    /// See [`PartyKind::Device`].
    pub device: Option<u64>,
    /// See [`PartyKind::Card`]; known when somebody pays.
    pub card: Option<u64>,
    /// See [`PartyKind::Account`].
    pub account: Option<u64>,
    /// See [`PartyKind::Network`].
    pub network: Option<u64>,
    /// See [`PartyKind::Kiosk`].
    pub kiosk: Option<u64>,
    /// See [`PartyKind::Operator`].
    pub operator: Option<u64>,
    /// See [`PartyKind::Group`].
    pub group: Option<u64>,
}

impl Parties {
    /// All that are known, the buyer first.
    pub fn known(&self) -> impl Iterator<Item = (PartyKind, u64)> {
        [
            (PartyKind::Buyer, self.buyer),
            (PartyKind::Device, self.device),
            (PartyKind::Card, self.card),
            (PartyKind::Account, self.account),
            (PartyKind::Network, self.network),
            (PartyKind::Kiosk, self.kiosk),
            (PartyKind::Operator, self.operator),
            (PartyKind::Group, self.group),
        ]
        .into_iter()
        .filter_map(|(kind, party)| party.map(|party| (kind, party)))
    }

    /// These, and where they say nothing, those.
    #[must_use]
    pub fn or(self, those: Self) -> Self {
        Self {
            buyer: self.buyer.or(those.buyer),
            device: self.device.or(those.device),
            card: self.card.or(those.card),
            account: self.account.or(those.account),
            network: self.network.or(those.network),
            kiosk: self.kiosk.or(those.kiosk),
            operator: self.operator.or(those.operator),
            group: self.group.or(those.group),
        }
    }

    /// The one who acts: whom an analyst would look at. At a desk it is the operator; at a totem the card, as the totem serves everybody; on the web the device.
    #[must_use]
    pub fn acting(&self) -> Option<(PartyKind, u64)> {
        let order = [
            (PartyKind::Operator, self.operator),
            (PartyKind::Group, self.group),
            (PartyKind::Account, self.account),
            (PartyKind::Card, self.card.filter(|_| self.kiosk.is_some())),
            (PartyKind::Device, self.device),
            (PartyKind::Buyer, self.buyer),
            (PartyKind::Card, self.card),
            (PartyKind::Kiosk, self.kiosk),
        ];
        order.into_iter().find_map(|(kind, party)| party.map(|party| (kind, party)))
    }
}

/// How many people, by what they pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Party {
    /// At the full price.
    pub full: u16,
    /// At the reduced price.
    pub reduced: u16,
    /// Free.
    pub free: u16,
}

impl Party {
    /// Everybody.
    #[must_use]
    pub const fn people(self) -> u16 {
        self.full + self.reduced + self.free
    }

    /// What they pay at a site.
    #[must_use]
    pub fn cents(self, slot: &Slot) -> i64 {
        i64::from(self.full) * slot.venue().full_cents + i64::from(self.reduced) * super::town::REDUCED_CENTS
    }
}

/// What was paid with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Notes and coins.
    Cash,
    /// A card.
    Card,
}

/// What can be asked. A hold, and the sale that it becomes, go by the number of the intent that asked for it; so do till sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Keep places.
    Hold {
        /// Where and when.
        slot: Slot,
        /// For whom.
        party: Party,
    },
    /// Pay for a hold, which makes it a sale if the bank says yes.
    Pay {
        /// Which hold.
        hold: u64,
        /// What the bank will say: that of the card is no wish of anybody, but somebody has to know it.
        accepted: bool,
    },
    /// Give a hold back.
    Release {
        /// Which hold.
        hold: u64,
    },
    /// Buy without a hold before, as at a desk or totem.
    Buy {
        /// Where and when.
        slot: Slot,
        /// For whom.
        party: Party,
        /// With what.
        method: Method,
        /// What the bank will say; cash is always accepted.
        accepted: bool,
        /// The till session, at a desk.
        till: Option<u64>,
    },
    /// Ask for the money of a sale back, by its policy.
    Refund {
        /// Which sale.
        sale: u64,
    },
    /// Undo a sale at the desk, with all its money out of the drawer.
    Void {
        /// Which sale.
        sale: u64,
    },
    /// Show a ticket at a gate.
    Enter {
        /// Of which sale.
        sale: u64,
        /// Its number in the sale, from 0.
        ticket: u16,
        /// At which gate of the site, from 0.
        gate: u8,
    },
    /// Take in a scan of a gate that had no network.
    Merge {
        /// Of which sale.
        sale: u64,
        /// Its number in the sale, from 0.
        ticket: u16,
        /// At which gate of the site, from 0.
        gate: u8,
        /// When it was scanned.
        scanned_us: i64,
    },
    /// Begin a till session.
    OpenTill {
        /// At which site.
        venue: u16,
    },
    /// End it.
    CloseTill {
        /// Which session.
        till: u64,
        /// What is in the drawer less what should be, in cents.
        difference_cents: i64,
    },
}

/// What became of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Happened {
    /// It was done.
    Done,
    /// The bank said no.
    Declined,
    /// The rules of the sale, or of the gate, said no.
    Refused(Refusal),
    /// A rule against fraud said no.
    Blocked,
    /// One more check is asked for.
    SteppedUp,
}

/// Why not, as far as an agent cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No places.
    Full,
    /// Sales are not open, or are over.
    NotOnSale,
    /// The hold, sale or ticket is gone or was used.
    Gone,
    /// Something else.
    Other,
}
