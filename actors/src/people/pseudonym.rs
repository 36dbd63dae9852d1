//! The pseudonyms under which commands name parties: a keyed hash of what the channel gave, under a key that changes every month.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use parking_lot::RwLock;
use tornello_engine::envelope::{Digest, Party, PartyKind};
use tornello_engine::time::{DAY_S, MICROS_PER_S, Timestamp};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::MasterKey;
use super::sealing::HashKey;

/// A calendar month of UTC: pseudonyms change with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(i32);

impl Month {
    /// The month of an instant.
    #[must_use]
    pub fn of(instant: Timestamp) -> Self {
        // Days since 0000-03-01, in eras of 400 years; years begin in March, so that leap days come last (Hinnant, "chrono-compatible low-level date algorithms").
        let days = instant.as_micros().div_euclid(DAY_S * MICROS_PER_S) + 719_468;
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let months_since_march = (5 * day_of_year + 2) / 153;
        Self(((era * 400 + year) * 12 + months_since_march + 2) as i32)
    }

    /// The month before, to recognise a party across the turn of the month.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0 - 1)
    }
}

/// `2026-11`.
impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }
}

/// How long two pseudonyms of a party overlap, in seconds: a little longer than the longest half-life of what is counted of it.
pub const OVERLAP_S: i64 = 8 * DAY_S;
/// No month has more days.
const DAYS_MAX: i64 = 31;

/// Until when whoever was named at an instant goes by a pseudonym of then: until that month is over, and overlaps no more with the next.
#[must_use]
pub fn named_until(at: Timestamp) -> Timestamp {
    let (month, day) = (Month::of(at), at.as_seconds().div_euclid(DAY_S));
    let is_over = |day: &i64| Month::of(Timestamp::from_seconds(day * DAY_S)) != month;
    let next = (day + 1..=day + DAYS_MAX).find(is_over).unwrap_or(day + DAYS_MAX);
    Timestamp::from_seconds(next * DAY_S + OVERLAP_S)
}

type MonthKey = (Month, Arc<HashKey>);

/// Makes pseudonyms of parties. The key changes every month, so nobody without the master key can follow a party through the years; whoever holds the master
/// key can, which is why it stays with the installation. A buyer who names themselves is looked up by those of the months before, where what they may have is limited:
/// these are written nowhere.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Pseudonymiser {
    key: [u8; 32],
    /// The keys of the months that were asked for last: where buyers are limited each request asks for those of a year.
    #[zeroize(skip)]
    months: Arc<RwLock<VecDeque<MonthKey>>>,
}

/// The keys of so many months are remembered.
const MONTHS_KEPT: usize = 16;

impl fmt::Debug for Pseudonymiser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonymiser(..)")
    }
}

impl Pseudonymiser {
    /// Its keys are derived from the master key.
    #[must_use]
    pub fn new(master: &MasterKey) -> Self {
        Self { key: *master.derive(b"tornello: pseudonyms, 1"), months: Arc::default() }
    }

    fn key_of(&self, month: Month) -> Arc<HashKey> {
        if let Some((_, key)) = self.months.read().iter().find(|(known, _)| *known == month) {
            return Arc::clone(key);
        }
        let key = Arc::new(HashKey::new(&HashKey::new(&self.key).hash(&[&month.0.to_be_bytes()])));
        let mut months = self.months.write();
        if months.iter().all(|(known, _)| *known != month) {
            months.truncate(MONTHS_KEPT - 1);
            months.push_front((month, Arc::clone(&key)));
        }
        key
    }

    /// A party under its pseudonym of the month of `now`. `raw` is what the channel gave: an address, a device's id, a card's token, an account.
    #[must_use]
    pub fn party(&self, kind: PartyKind, raw: &str, now: Timestamp) -> Party {
        self.party_in(kind, raw, Month::of(now))
    }

    /// A party under its pseudonym of a given month.
    #[must_use]
    pub fn party_in(&self, kind: PartyKind, raw: &str, month: Month) -> Party {
        self.named_in(kind, &as_counted(kind, raw), month)
    }

    /// A party under its pseudonyms of some months, in their order: what the channel gave is read once for all of them.
    #[must_use]
    pub fn party_in_each(&self, kind: PartyKind, raw: &str, months: impl IntoIterator<Item = Month>) -> Vec<Party> {
        let raw = as_counted(kind, raw);
        months.into_iter().map(|month| self.named_in(kind, &raw, month)).collect()
    }

    fn named_in(&self, kind: PartyKind, raw: &str, month: Month) -> Party {
        // The numbers are part of the pseudonym: never change them.
        let number = match kind {
            PartyKind::Buyer => 0,
            PartyKind::Device => 1,
            PartyKind::Card => 2,
            PartyKind::Account => 3,
            PartyKind::Network => 4,
            PartyKind::Kiosk => 5,
            PartyKind::Operator => 6,
            PartyKind::Group => 7,
        };
        let hash = self.key_of(month).hash(&[&[number], raw.as_bytes()]);
        let (first, _) = hash.split_at(16);
        Party { kind, pseudonym: Digest(first.iter().fold(0, |value, &byte| value << 8 | u128::from(byte))) }
    }
}

/// What the channel gave, as it is counted.
fn as_counted(kind: PartyKind, raw: &str) -> Zeroizing<String> {
    Zeroizing::new(match kind {
        PartyKind::Buyer => buyer_as_counted(raw),
        PartyKind::Network => block_of(raw.trim()).unwrap_or_else(|| raw.trim().to_owned()),
        _ => raw.trim().to_owned(),
    })
}

/// The block of addresses that an address of the internet is in, as its first address and the length of the prefix; none of what is neither an address nor such a block.
/// Who has one address has its neighbours as well: of version 4 the 256 of a /24, of version 6 the /56 that a line is given. A block that is larger stays as it is.
fn block_of(raw: &str) -> Option<String> {
    let (address, length) = raw.split_once('/').map_or((raw, None), |(address, length)| (address, Some(length)));
    let given: Option<u32> = length.map(str::parse).transpose().ok()?;
    let written = address.parse::<IpAddr>().or_else(|_| address.parse::<SocketAddr>().map(|at| at.ip())).ok()?;
    let most = if written.is_ipv4() { 32 } else { 128 };
    if given.is_some_and(|given| given > most) {
        return None;
    }
    match written.to_canonical() {
        IpAddr::V4(address) => {
            // Of one that is written as version 6 (`::ffff:192.0.2.1`) the prefix is, too.
            let given = given.map(|given| if written.is_ipv4() { given } else { given.saturating_sub(96) });
            let length = given.unwrap_or(24).min(24);
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            Some(format!("{}/{length}", Ipv4Addr::from_bits(address.to_bits() & mask)))
        }
        IpAddr::V6(address) => {
            let length = given.unwrap_or(56).min(56);
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            Some(format!("{}/{length}", Ipv6Addr::from_bits(address.to_bits() & mask)))
        }
    }
}

/// A buyer as they are counted: buyers are addresses, which people write in any case, and with a space that slipped in; tokens of devices and cards tell upper from
/// lower. What stands behind a plus, or between dots, stays: whose mailbox that is only its provider knows, and of two people who share an address but for that neither
/// is to be refused for what the other has.
fn buyer_as_counted(raw: &str) -> String {
    let raw = raw.to_lowercase();
    if raw.contains('@') { raw.split_whitespace().collect() } else { raw.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::tests::MASTER;
    use super::*;

    /// Kind, what the channel gave, month (24,322 is November 2026), pseudonym.
    const VECTORS: [(PartyKind, &str, i32, &str); 11] = [
        (PartyKind::Buyer, " Anna@Example.IT ", 24_322, "9f2cb9af58e2254533ac27a2761ec21d"),
        (PartyKind::Buyer, "anna@example.it", 24_321, "d555d3d3aff4068b4e2bc946bc973928"),
        (PartyKind::Buyer, "anna@example.it", 24_310, "82135741b04dea290e17c9f68bdb5b8b"),
        (PartyKind::Device, " dev-A1 ", 24_322, "5cc6170b0bf822fecfb1b685d9eac9cf"),
        (PartyKind::Card, "tok_A", 24_322, "01e9ff336dc50e39fdbc6fb7ab067e12"),
        (PartyKind::Account, "museum-friends", 24_322, "b7f171c4b87ffd8795aa10871b018826"),
        (PartyKind::Network, "192.0.2.17:51000", 24_322, "47ad373ee7747e0873061e2e3a949ff3"),
        (PartyKind::Network, "2001:db8:1:2ff::1", 24_322, "d1355c2e9e1ba771bb56190b033c48c7"),
        (PartyKind::Kiosk, "hall-1", 24_322, "cfe2c9c0c338ecdbd78fc67f7eb0c1b7"),
        (PartyKind::Operator, "op-7", 24_322, "7c3e8edf8b7df6a6b7e78b6290acc810"),
        (PartyKind::Group, "3B", 24_322, "13816d9e68156232074f56c9f38283dc"),
    ];

    #[test]
    fn pseudonyms_change_with_kind_text_month_and_master_key() {
        let month = |text: &str| text.parse().map(Month::of).unwrap();
        let november = month("2026-11-21T10:00:00Z");
        let maker = Pseudonymiser::new(&MasterKey::from_bytes(MASTER));
        let buyer = maker.party_in(PartyKind::Buyer, " Anna@Example.IT ", november);
        assert_eq!(buyer, maker.party(PartyKind::Buyer, "anna@example.it", "2026-11-01T00:00:00Z".parse().unwrap()));
        assert_eq!(buyer, maker.party_in(PartyKind::Buyer, "anna @example.it\t", november));
        let others = [
            maker.party_in(PartyKind::Buyer, "anna@example.com", november),
            maker.party_in(PartyKind::Buyer, "anna+1@example.it", november),
            maker.party_in(PartyKind::Account, "anna@example.it", november),
            maker.party_in(PartyKind::Buyer, "anna@example.it", november.previous()),
            maker.party_in(PartyKind::Card, "tok_A", november),
            maker.party_in(PartyKind::Card, "tok_a", november),
            Pseudonymiser::new(&MasterKey::from_bytes([1; 32])).party_in(PartyKind::Buyer, "anna@example.it", november),
        ];
        let distinct: HashSet<_> = others.iter().map(|party| party.pseudonym).chain([buyer.pseudonym]).collect();
        assert_eq!(distinct.len(), 8);
        // Written in journals: this value never changes.
        assert_eq!(format!("{:032x}", { buyer.pseudonym.0 }), "9f2cb9af58e2254533ac27a2761ec21d");
    }

    /// Written in journals: none of these ever changes. They were made by HMAC-SHA-256 as Python has it, from nothing but the description of this file.
    #[test]
    fn pseudonyms_are_what_they_always_were() {
        let maker = Pseudonymiser::new(&MasterKey::from_bytes(MASTER));
        for (kind, raw, month, expected) in VECTORS {
            let party = maker.party_in(kind, raw, Month(month));
            assert_eq!((party.kind, format!("{:032x}", { party.pseudonym.0 }).as_str()), (kind, expected), "{raw} in {}", Month(month));
        }
        // However they are asked for: alone or together, with keys at hand or not, in any order.
        let months = [24_322, 24_323, 24_311, 24_323].map(Month);
        let each = |maker: &Pseudonymiser, kind, raw| maker.party_in_each(kind, raw, months);
        for (kind, raw, ..) in VECTORS {
            let alone: Vec<Party> =
                months.iter().map(|month| Pseudonymiser::new(&MasterKey::from_bytes(MASTER)).party_in(kind, raw, *month)).collect();
            assert_eq!(each(&maker, kind, raw), alone, "{raw}");
            assert_eq!(each(&Pseudonymiser::new(&MasterKey::from_bytes(MASTER)), kind, raw), alone, "{raw}");
        }
    }

    #[test]
    fn an_address_is_of_its_block_however_it_is_written() {
        for (raw, block) in [
            ("192.0.2.17", Some("192.0.2.0/24")),
            ("192.0.2.17:51000", Some("192.0.2.0/24")),
            ("::ffff:192.0.2.17", Some("192.0.2.0/24")),
            ("::ffff:192.0.2.17/128", Some("192.0.2.0/24")),
            ("192.0.2.0/24", Some("192.0.2.0/24")),
            ("192.0.2.16/28", Some("192.0.2.0/24")),
            ("192.0.2.17/16", Some("192.0.0.0/16")),
            ("192.0.2.17/0", Some("0.0.0.0/0")),
            ("2001:db8:1:2ff:1:2:3:4", Some("2001:db8:1:200::/56")),
            ("[2001:DB8:1:2ff::1]:443", Some("2001:db8:1:200::/56")),
            ("2001:db8:1:2ab::/64", Some("2001:db8:1:200::/56")),
            ("2001:db8::/32", Some("2001:db8::/32")),
            ("::/0", Some("::/0")),
            ("192.0.2.17/33", None),
            ("192.0.2.17/x", None),
            ("192.0.2", None),
            ("AS64500", None),
            ("campus", None),
            ("", None),
        ] {
            assert_eq!(block_of(raw).as_deref(), block, "{raw}");
        }
        let maker = Pseudonymiser::new(&MasterKey::from_bytes(MASTER));
        let of = |kind, raw| maker.party_in(kind, raw, Month(24_323));
        assert_eq!(of(PartyKind::Network, " 192.0.2.17 "), of(PartyKind::Network, "192.0.2.200"));
        assert_eq!(of(PartyKind::Network, "192.0.2.0/24"), of(PartyKind::Network, "192.0.2.200"));
        assert_ne!(of(PartyKind::Network, "192.0.3.17"), of(PartyKind::Network, "192.0.2.17"));
        assert_ne!(of(PartyKind::Network, "campus-a"), of(PartyKind::Network, "campus-b"));
        assert_ne!(of(PartyKind::Device, "192.0.2.17"), of(PartyKind::Device, "192.0.2.200"), "of nothing else");
    }

    #[test]
    fn a_month_that_is_not_remembered_gives_the_same() {
        let maker = Pseudonymiser::new(&MasterKey::from_bytes(MASTER));
        let months: Vec<Month> = std::iter::successors(Some(Month(24_323)), |month| Some(month.previous())).take(2 * MONTHS_KEPT).collect();
        let of_all = |maker: &dyn Fn() -> Pseudonymiser| -> Vec<Party> {
            months.iter().map(|month| maker().party_in(PartyKind::Buyer, "anna@example.it", *month)).collect()
        };
        let first = of_all(&|| maker.clone());
        assert_eq!(first, of_all(&|| Pseudonymiser::new(&MasterKey::from_bytes(MASTER))));
        assert_eq!(first, of_all(&|| maker.clone()));
        assert_eq!(maker.months.read().len(), MONTHS_KEPT);
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        for (instant, month) in [
            ("1969-12-31T23:59:59.999999Z", "1969-12"),
            ("1970-01-01T00:00:00Z", "1970-01"),
            ("2000-02-29T12:00:00Z", "2000-02"),
            ("2024-02-29T23:59:59Z", "2024-02"),
            ("2024-03-01T00:00:00Z", "2024-03"),
            ("2026-12-31T23:59:59Z", "2026-12"),
            ("2027-01-01T00:00:00Z", "2027-01"),
        ] {
            assert_eq!(Month::of(instant.parse().unwrap()).to_string(), month);
        }
        for day in -800_000..800_000_i64 {
            let instant = Timestamp::from_seconds(day * DAY_S);
            if day % 97 == 0 {
                assert!(instant.to_string().starts_with(&Month::of(instant).to_string()) || day < -719_162, "{instant}");
            }
        }
        assert_eq!(Month::of("2027-01-15T00:00:00Z".parse().unwrap()).previous().to_string(), "2026-12");
    }

    #[test]
    fn a_pseudonym_is_known_until_a_week_and_a_day_of_the_next_month_are_over() {
        for (at, until) in [
            ("2026-11-23T10:00:00Z", "2026-12-09T00:00:00Z"),
            ("2026-12-01T00:00:00Z", "2027-01-09T00:00:00Z"),
            ("2026-12-31T23:59:59Z", "2027-01-09T00:00:00Z"),
            ("2024-02-01T00:00:00Z", "2024-03-09T00:00:00Z"),
        ] {
            assert_eq!(named_until(at.parse().unwrap()), until.parse().unwrap(), "{at}");
        }
    }
}
