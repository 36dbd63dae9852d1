//! What a key is: its role, the museums that it is good for, and what else is known of it but its secret.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tornello_engine::ids::{Code, KeyId, MuseumId};
use tornello_engine::time::Timestamp;

/// What the holder of a key is. The names are stored and published: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The public web shop.
    Web,
    /// A totem.
    Kiosk,
    /// A desk that sells.
    BoxOffice,
    /// The office that serves groups.
    GroupOffice,
    /// A partner that sells on.
    Reseller,
    /// A turnstile or a reader in a hand.
    Gate,
    /// A counter or microcell.
    Sensor,
    /// Someone who reviews suspected fraud.
    Analyst,
    /// Someone who runs a museum.
    Manager,
    /// Someone who looks over all museums.
    Ministry,
    /// Someone who runs the system.
    Admin,
    /// A tour operator, school or company that books groups for itself.
    Operator,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 12] = [
        Self::Web,
        Self::Kiosk,
        Self::BoxOffice,
        Self::GroupOffice,
        Self::Reseller,
        Self::Gate,
        Self::Sensor,
        Self::Analyst,
        Self::Manager,
        Self::Ministry,
        Self::Admin,
        Self::Operator,
    ];

    /// The stored and published name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Kiosk => "kiosk",
            Self::BoxOffice => "box_office",
            Self::GroupOffice => "group_office",
            Self::Reseller => "reseller",
            Self::Gate => "gate",
            Self::Sensor => "sensor",
            Self::Analyst => "analyst",
            Self::Manager => "manager",
            Self::Ministry => "ministry",
            Self::Admin => "admin",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Text that names no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a role: web, kiosk, box_office, group_office, reseller, gate, sensor, analyst, manager, ministry, admin or operator is expected")]
pub struct BadRole;

impl FromStr for Role {
    type Err = BadRole;
    fn from_str(text: &str) -> Result<Self, BadRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(BadRole)
    }
}

/// The museums that a key is good for: `"all"` or `{"only": [3, 17]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Museums {
    /// Every museum, also those to come.
    All,
    /// These.
    Only(Vec<MuseumId>),
}

impl Museums {
    /// Whether the key is good for `museum`.
    #[must_use]
    pub fn allows(&self, museum: MuseumId) -> bool {
        match self {
            Self::All => true,
            Self::Only(museums) => museums.contains(&museum),
        }
    }

    pub(super) fn sorted(self) -> Self {
        match self {
            Self::All => Self::All,
            Self::Only(museums) => Self::Only(museums.into_iter().collect::<BTreeSet<_>>().into_iter().collect()),
        }
    }
}

/// `all`, or the numbers with commas between them: the stored form, and that of the command line.
impl fmt::Display for Museums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Only(museums) => museums.iter().enumerate().try_for_each(|(i, museum)| write!(f, "{}{}", if i > 0 { "," } else { "" }, museum.0)),
        }
    }
}

/// Text that names no museums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a list of museums: all, or numbers with commas between them, are expected")]
pub struct BadMuseums;

impl FromStr for Museums {
    type Err = BadMuseums;
    fn from_str(text: &str) -> Result<Self, BadMuseums> {
        if text == "all" {
            return Ok(Self::All);
        }
        let numbers = text.split(',').map(|number| number.trim().parse().map(MuseumId));
        Ok(Self::Only(numbers.collect::<Result<_, _>>().map_err(|_| BadMuseums)?).sorted())
    }
}

/// What is asked of a key to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// For people: whose it is, and where it is used.
    pub name: String,
    /// What the holder is.
    pub role: Role,
    /// Where it is good.
    pub museums: Museums,
    /// The account of a reseller or group, if it acts for one.
    #[serde(default)]
    pub account: Option<Code>,
    /// From when on it is not good any more; never, if none.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// What is known of a key: all but its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The number that commands carry.
    pub id: KeyId,
    /// For people: whose it is, and where it is used.
    pub name: String,
    /// What the holder is.
    pub role: Role,
    /// Where it is good.
    pub museums: Museums,
    /// The account of a reseller or group, if it acts for one.
    pub account: Option<Code>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is not good any more.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, as far as this process and the database know. Of [`Keys::authenticate`](super::Keys::authenticate)'s answer: as of the last copy of the table.
    pub last_used_at: Option<Timestamp>,
}

impl Key {
    /// Whether it lets anybody in at `now`: it was not revoked, and its time is not over.
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expiry| now < expiry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn roles_and_museums_survive_text() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert_eq!("Admin".parse::<Role>(), Err(BadRole));
        for (text, museums) in
            [("all", Museums::All), ("3", Museums::Only(vec![MuseumId(3)])), ("3,17", Museums::Only(vec![MuseumId(3), MuseumId(17)]))]
        {
            assert_eq!(text.parse(), Ok(museums.clone()));
            assert_eq!(museums.to_string(), text);
        }
        assert_eq!("17, 3,17".parse(), Ok(Museums::Only(vec![MuseumId(3), MuseumId(17)])));
        for bad in ["", "ALL", "3,", "-1", "65536", "uffizi"] {
            assert_eq!(bad.parse::<Museums>(), Err(BadMuseums), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_museums_panic(text in "\\PC{0,90}") {
            let _ = text.parse::<Museums>();
        }

        #[test]
        fn museums_survive_text(numbers in proptest::collection::vec(any::<u16>(), 1..20)) {
            let museums = Museums::Only(numbers.into_iter().map(MuseumId).collect()).sorted();
            prop_assert_eq!(museums.to_string().parse(), Ok(museums));
        }
    }
}
