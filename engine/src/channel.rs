//! The channels through which places are sold. A quota is a channel's share of a slot.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who sells. The order and numbers are written in the journal: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// The museum's own web shop.
    Web,
    /// A self-service totem on site.
    Kiosk,
    /// The ticket desk.
    BoxOffice,
    /// The group office (Ufficio Gruppi).
    Group,
    /// A reseller, on a contract.
    Reseller,
}

impl Channel {
    /// How many channels there are.
    pub const COUNT: usize = 5;
    /// Every channel, in journal order.
    pub const ALL: [Self; Self::COUNT] = [Self::Web, Self::Kiosk, Self::BoxOffice, Self::Group, Self::Reseller];

    /// The place of this channel in a `[T; Channel::COUNT]`.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether anybody may come by it: groups and resellers have agreements of their own.
    #[must_use]
    pub const fn is_public(self) -> bool {
        matches!(self, Self::Web | Self::Kiosk | Self::BoxOffice)
    }

    /// The name used in the API.
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

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
