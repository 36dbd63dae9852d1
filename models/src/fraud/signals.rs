//! Signals: what happened, as the scorers hear it, and the features that follow for a command. A [`SignalEvent`] names everybody who takes part; each of them has
//! a [`State`] in a [`Store`], which counts with decay and in bounded memory. [`features`] reads the states of all parties of a command that is about to be
//! decided, and the command itself.
//!
//! Nothing here knows of journals or slots: `actors` turns records into these events, in the order of commits; a simulated world makes them directly. Times are
//! given, never asked. The order of [`FEATURES`] is part of every model: [`feature_hash`] tells whether a model was made for it.

mod families;
mod features;
mod party;
mod place;
mod sketch;
mod state;
mod store;

pub use families::{Family, WEIGHTS, behaviours, family, groups};
pub use features::{FEATURES, FeatureVector, Known, N, VALUE_MAX, feature_hash, features, index_of};
pub use party::{Counted, Distinct, PartyState, Window};
pub use place::PlaceState;
pub use state::State;
pub use store::{PartyKey, Sight, Store, keys};

use serde::{Deserialize, Serialize};

/// As what somebody takes part. Numbers are part of saved states: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Who buys.
    Buyer,
    /// A browser, telephone or totem of the buyer.
    Device,
    /// A payment card.
    Card,
    /// A reseller's or member's account.
    Account,
    /// A block of network addresses.
    Network,
    /// The museum's own totem.
    Kiosk,
    /// A person at a desk, or the key that they work with.
    Operator,
    /// A group: a school, a company.
    Group,
    /// A slot, in which all who want it meet. Nobody names it: what an event is about counts for it.
    Slot,
    /// A museum, likewise.
    Museum,
}

impl Role {
    /// Every role, in the order of its numbers.
    pub const ALL: [Self; 10] =
        [Self::Buyer, Self::Device, Self::Card, Self::Account, Self::Network, Self::Kiosk, Self::Operator, Self::Group, Self::Slot, Self::Museum];
}

/// Through which channel. Numbers are part of saved states: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Outlet {
    /// The museum's web shop.
    Web,
    /// A totem on site.
    Kiosk,
    /// The ticket desk.
    BoxOffice,
    /// The group office.
    Group,
    /// A reseller.
    Reseller,
}

impl Outlet {
    /// Every channel, in the order of its numbers.
    pub const ALL: [Self; 5] = [Self::Web, Self::Kiosk, Self::BoxOffice, Self::Group, Self::Reseller];

    /// Its name, as rules and reports write it.
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
}

/// What happened, or is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum SignalKind {
    /// Places are kept.
    Held,
    /// Places were sold; whether there was a hold before.
    Sold {
        /// Whether a hold became this sale.
        held: bool,
    },
    /// A hold was never bought.
    Expired,
    /// A hold was given back.
    Released,
    /// A party joined a waiting list.
    Waited,
    /// A payment was begun.
    PaymentBegun,
    /// A payment came to nothing: refused, withdrawn, or never paid.
    PaymentFailed,
    /// The visitor gave tickets back.
    Refunded,
    /// The seller took tickets back.
    Voided,
    /// Somebody was let in.
    Admitted,
    /// A ticket was shown that had been used, or was let in twice.
    AdmittedTwice {
        /// At another gate than the first time, and sooner than one walks there.
        apart: bool,
    },
    /// A gate met a ticket that is not good any more: one without a network let its holder in, one with a network refused it.
    Conflict,
    /// A desk's cash was counted.
    TillClosed {
        /// What was counted less what should be there, in cents.
        difference_cents: i64,
    },
    /// A command was refused by a rule, or a step-up was not taken.
    Blocked,
    /// What was counted as [`Self::AdmittedTwice`] or [`Self::Conflict`] was none after all: another gate has sent in what it saw.
    Withdrawn {
        /// When it was counted, in UTC microseconds.
        since_us: i64,
        /// Whether it was counted as of another gate, sooner than one walks there.
        apart: bool,
    },
}

/// Somebody who takes part in an event: the role, and a pseudonym. While two keys of pseudonyms overlap a party stands twice, the newer pseudonym first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Taking {
    /// As what.
    pub role: Role,
    /// Under which pseudonym.
    pub id: u128,
}

/// Something that happened, or is about to be decided, in plain figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignalEvent {
    /// When, in UTC microseconds.
    pub at_us: i64,
    /// What.
    pub kind: SignalKind,
    /// Through which channel.
    pub outlet: Outlet,
    /// At which museum.
    pub museum: u16,
    /// In which slot; 0: in none.
    pub slot: u64,
    /// Who takes part, the buyer first.
    pub parties: Vec<Taking>,
    /// How many people it is about.
    pub people: u32,
    /// How many of them pay less than the full price, or nothing.
    pub cheap: u32,
    /// What it costs, in cents.
    pub cents: i64,
    /// What it would cost at the full price of that day, in cents; 0: not known.
    pub list_cents: i64,
    /// From then to the start of the slot, in seconds; negative when it has begun.
    pub lead_s: i64,
    /// Minutes since midnight where the museum is, 0 to 1439.
    pub minute: u16,
    /// Whether it says nothing of which holds are bought: places that are sold were waited for, or tickets have come from another slot.
    pub no_hold: bool,
}

impl SignalEvent {
    /// An event about nothing yet: the fields that most kinds leave empty.
    #[must_use]
    pub const fn new(at_us: i64, kind: SignalKind, outlet: Outlet, museum: u16) -> Self {
        Self {
            at_us,
            kind,
            outlet,
            museum,
            slot: 0,
            parties: Vec::new(),
            people: 0,
            cheap: 0,
            cents: 0,
            list_cents: 0,
            lead_s: 0,
            minute: 0,
            no_hold: false,
        }
    }

    /// For whom it counts: those who take part, and the slot and the museum that it is about.
    pub fn counts_for(&self) -> impl Iterator<Item = Taking> + '_ {
        // Ids of slots and museums are made of few bits that differ: spread, they fall evenly among shards.
        let slot = (self.slot != 0).then(|| Taking { role: Role::Slot, id: u128::from(sketch::spread(u128::from(self.slot))) });
        let museum = Taking { role: Role::Museum, id: u128::from(sketch::spread(u128::from(self.museum))) };
        self.parties.iter().copied().chain(slot).chain([museum])
    }

    /// Which pseudonyms of `role` take part, the newest key's first.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = u128> {
        self.parties.iter().filter(move |taking| taking.role == role).map(|taking| taking.id)
    }

    /// Who of `role` takes part beside somebody's pseudonym of that generation: under the key of the same month, or of the earliest under which there is one.
    fn beside(&self, role: Role, generation: usize) -> Option<u128> {
        self.of_role(role).take(generation + 1).last()
    }

    /// The one who acts, of whom an analyst would read: at a desk whoever serves; at a totem the card, as the totem serves everybody; on the web the browser.
    #[must_use]
    pub fn acting(&self) -> Option<Taking> {
        let is_totem = self.of_role(Role::Kiosk).next().is_some();
        let order: [Role; 7] = if is_totem {
            [Role::Card, Role::Kiosk, Role::Device, Role::Buyer, Role::Account, Role::Group, Role::Operator]
        } else {
            [Role::Operator, Role::Group, Role::Account, Role::Device, Role::Buyer, Role::Card, Role::Network]
        };
        order.into_iter().find_map(|role| self.of_role(role).next().map(|id| Taking { role, id }))
    }
}

#[cfg(test)]
mod tests;
