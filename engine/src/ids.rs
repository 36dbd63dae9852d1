//! Names of things. A slot's id is made of its museum, route and start; the ids of holds and tickets contain their slot's id, so that any id finds its way
//! to the actor that owns it without an index. In text, also in JSON and addresses, ids are lower-case Crockford base 32, zero-padded: 13 characters for 64
//! bits, 26 for 128. In the journal they are numbers. In memory those of 128 bits are packed: side by side with smaller things they would be padded to 16 bytes.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Timestamp;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const MICROS_PER_MINUTE: i64 = 60_000_000;

/// Text that is not an id of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: {0} characters of base 32 are expected")]
pub struct BadId(pub(crate) usize);

/// The value of each character; 255: none.
const DIGITS: [u8; 256] = {
    let (mut digits, mut value) = ([255; 256], 0);
    while value < ALPHABET.len() {
        digits[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

fn write_base32(f: &mut fmt::Formatter<'_>, value: u128, characters: usize) -> fmt::Result {
    let (mut text, mut rest) = ([0_u8; 26], value);
    // By five bits each time: to move so wide a number by another width for each character takes several times as long.
    for byte in text[..characters].iter_mut().rev() {
        *byte = ALPHABET[(rest & 31) as usize];
        rest >>= 5;
    }
    f.write_str(std::str::from_utf8(&text[..characters]).map_err(|_| fmt::Error)?)
}

fn read_base32(text: &str, characters: usize, bits: u32) -> Result<u128, BadId> {
    let bad = BadId(characters);
    if text.len() != characters {
        return Err(bad);
    }
    let mut value: u128 = 0;
    for byte in text.bytes() {
        let digit = DIGITS[usize::from(byte)];
        if digit == 255 || value >> 123 != 0 {
            return Err(bad);
        }
        value = value << 5 | u128::from(digit);
    }
    if bits < 128 && value >> bits != 0 { Err(bad) } else { Ok(value) }
}

macro_rules! text_form {
    ($name:ident, $inner:ty, $characters:expr) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_base32(f, u128::from(self.0), $characters)
            }
        }
        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let value = read_base32(text, $characters, <$inner>::BITS)?;
                Ok(Self(<$inner>::try_from(value).map_err(|_| BadId($characters))?))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(self) } else { self.get().serialize(serializer) }
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
                } else {
                    <$inner>::deserialize(deserializer).map(Self)
                }
            }
        }
        impl $name {
            /// The id as a number, for storage.
            #[must_use]
            pub const fn get(self) -> $inner {
                self.0
            }
        }
    };
}

/// A museum or other site; the number is given when it is registered, its slug is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MuseumId(pub u16);

/// A route or product within a museum: one kind of visit with its own slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RouteId(pub u16);

/// A timeslot: museum (16 bits), route (16 bits), start in whole minutes since 1970 UTC (32 bits). Ids of one museum and route sort by start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(u64);
text_form!(SlotId, u64, 13);

impl SlotId {
    /// The id of the slot that starts at `start`, cut to the minute. Instants before 1970 or after the year 10000 do not occur in plans and are clamped.
    #[must_use]
    pub fn new(museum: MuseumId, route: RouteId, start: Timestamp) -> Self {
        let minutes = (start.as_micros().div_euclid(MICROS_PER_MINUTE)).clamp(0, i64::from(u32::MAX)) as u64;
        Self(u64::from(museum.0) << 48 | u64::from(route.0) << 32 | minutes)
    }

    /// From the stored number.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The museum that the slot belongs to.
    #[must_use]
    pub const fn museum(self) -> MuseumId {
        MuseumId((self.0 >> 48) as u16)
    }

    /// The route that the slot belongs to.
    #[must_use]
    pub const fn route(self) -> RouteId {
        RouteId((self.0 >> 32) as u16)
    }

    /// When the slot starts.
    #[must_use]
    pub const fn start(self) -> Timestamp {
        Timestamp::from_micros((self.0 & 0xffff_ffff) as i64 * MICROS_PER_MINUTE)
    }
}

/// A hold, and the sale that it becomes: slot (64 bits), random (48 bits), then 16 zero bits where its tickets are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(Rust, packed(8))]
pub struct HoldId(u128);
text_form!(HoldId, u128, 26);

impl HoldId {
    /// A hold in `slot`; only the low 48 bits of `random` count. Uniqueness within the slot is checked when the hold is taken.
    #[must_use]
    pub const fn new(slot: SlotId, random: u64) -> Self {
        Self((slot.0 as u128) << 64 | ((random & 0xffff_ffff_ffff) as u128) << 16)
    }

    /// From the stored number; bits where tickets are numbered are cleared.
    #[must_use]
    pub const fn from_raw(raw: u128) -> Self {
        Self(raw & !0xffff)
    }

    /// The slot whose places are held.
    #[must_use]
    pub const fn slot(self) -> SlotId {
        SlotId((self.0 >> 64) as u64)
    }

    /// The ticket with the given number (from 0) of the sale that this hold becomes.
    #[must_use]
    pub const fn ticket(self, number: u16) -> TicketId {
        TicketId(self.0 | number as u128)
    }
}

/// One person's ticket: the id of its sale with the ticket's number (from 0) in the low 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(Rust, packed(8))]
pub struct TicketId(u128);
text_form!(TicketId, u128, 26);

impl TicketId {
    /// From the stored number.
    #[must_use]
    pub const fn from_raw(raw: u128) -> Self {
        Self(raw)
    }

    /// The sale that the ticket belongs to.
    #[must_use]
    pub const fn sale(self) -> HoldId {
        HoldId::from_raw(self.0)
    }

    /// The slot that the ticket is for.
    #[must_use]
    pub const fn slot(self) -> SlotId {
        SlotId((self.0 >> 64) as u64)
    }

    /// The number of the ticket in its sale, from 0.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0 as u16
    }
}

/// The numbers that a payment may have within its creditor: 13 decimal digits.
pub const PAYMENT_NUMBERS: u64 = 10_000_000_000_000;

/// A payment: the creditor (16 bits) and a number of 13 decimal digits (48 bits), which is also the base of its notice number, so that a notice finds its
/// payment without an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentId(u64);
text_form!(PaymentId, u64, 13);

impl PaymentId {
    /// A payment of `creditor`; `number` is taken modulo [`PAYMENT_NUMBERS`].
    #[must_use]
    pub const fn new(creditor: u16, number: u64) -> Self {
        Self(((creditor as u64) << 48) | (number % PAYMENT_NUMBERS))
    }

    /// From the stored number.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// To whom the money is due: the creditor's number in the settings.
    #[must_use]
    pub const fn creditor(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// The number within the creditor.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0 & 0xffff_ffff_ffff
    }
}

/// A quote of the group office.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuoteId(pub u64);
text_form!(QuoteId, u64, 13);

/// A till session: one desk's cash from its opening float to its count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TillId(pub u64);
text_form!(TillId, u64, 13);

/// A voucher: a prepaid amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VoucherId(pub u64);
text_form!(VoucherId, u64, 13);

/// An operator's account: a digest of its code, so that a code finds its account without an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub u64);
text_form!(AccountId, u64, 13);

/// A fraud case: a digest of what it is about, so that one thing has one case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaseId(pub u64);
text_form!(CaseId, u64, 13);

/// An attempt that was blocked or given up: the day (16 bits, days since 1970 UTC) of the stream that it stands in, and 48 random bits. It is also the code by which
/// a buyer appeals, so it is not to be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(u64);
text_form!(AttemptId, u64, 13);

impl AttemptId {
    /// An attempt of `day`; only the low 48 bits of `random` count.
    #[must_use]
    pub const fn new(day: u16, random: u64) -> Self {
        Self((day as u64) << 48 | (random & 0xffff_ffff_ffff))
    }

    /// The day whose stream it stands in.
    #[must_use]
    pub const fn day(self) -> u16 {
        (self.0 >> 48) as u16
    }
}

/// An order: what a buyer puts together, over one slot or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(Rust, packed(8))]
pub struct OrderId(pub u128);
text_form!(OrderId, u128, 26);

/// A person whose contact data is kept apart, encrypted; the journal knows only this opaque number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(Rust, packed(8))]
pub struct PersonId(pub u128);
text_form!(PersonId, u128, 26);

/// The API key (or inner part of the system: 0) that gave a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u64);
text_form!(KeyId, u64, 13);

impl KeyId {
    /// The system itself: expiries, plans.
    pub const SYSTEM: Self = Self(0);
}

/// The longest [`Code`], in bytes.
pub const CODE_MAX: usize = 23;

/// A short name given by people: a tariff category, a gate, a till, a sensor, an account. 1 to 23 characters of `a-z 0-9 - _ .`, the first a letter or digit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code {
    bytes: [u8; CODE_MAX],
    length: u8,
}

/// Text that is not a [`Code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a code: 1 to 23 characters of a-z, 0-9, '-', '_', '.' are expected, the first a letter or digit")]
pub struct BadCode;

impl Code {
    /// Stands where a word is written that says nothing.
    pub(crate) const NOTHING: Self = {
        let mut bytes = [0; CODE_MAX];
        bytes[0] = b'0';
        Self { bytes, length: 1 }
    };

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl FromStr for Code {
    type Err = BadCode;
    fn from_str(text: &str) -> Result<Self, BadCode> {
        let allowed = |(i, b): (usize, u8)| b.is_ascii_lowercase() || b.is_ascii_digit() || (i > 0 && matches!(b, b'-' | b'_' | b'.'));
        if text.is_empty() || text.len() > CODE_MAX || !text.bytes().enumerate().all(allowed) {
            return Err(BadCode);
        }
        let mut bytes = [0; CODE_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { bytes, length: text.len() as u8 })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Code;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("1 to 23 characters of a-z, 0-9, '-', '_', '.'")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Code, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_carry_their_slot_and_survive_text(museum: u16, route: u16, minutes: u32, random: u64, number: u16) {
            let start = Timestamp::from_micros(i64::from(minutes) * MICROS_PER_MINUTE);
            let slot = SlotId::new(MuseumId(museum), RouteId(route), start);
            prop_assert_eq!((slot.museum(), slot.route(), slot.start()), (MuseumId(museum), RouteId(route), start));
            prop_assert_eq!(slot.to_string().parse(), Ok(slot));
            let hold = HoldId::new(slot, random);
            let ticket = hold.ticket(number);
            prop_assert_eq!((hold.slot(), ticket.slot(), ticket.sale(), ticket.number()), (slot, slot, hold, number));
            prop_assert_eq!(ticket.to_string().parse(), Ok(ticket));
        }

        #[test]
        fn no_text_makes_an_id_panic(text in "\\PC{0,40}") {
            let _ = text.parse::<TicketId>();
            let _ = text.parse::<SlotId>();
            let _ = text.parse::<Code>();
        }
    }

    #[test]
    fn an_id_of_another_length_or_too_large_is_refused() {
        for text in ["", "0", "zzzzzzzzzzzzz", "000000000000u", "0000000000000000"] {
            assert!(text.parse::<SlotId>().is_err(), "{text}");
        }
        assert!("zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<TicketId>().is_err());
        assert_eq!("0000000000001".parse::<SlotId>().map(SlotId::get), Ok(1));
    }

    #[test]
    fn codes_are_short_lower_case_names() {
        for good in ["a", "full", "reduced-18-25", "7", "desk_1.b", "abcdefghijklmnopqrstuvw"] {
            assert_eq!(good.parse::<Code>().map(|c| c.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "-a", "A", "é", "a b", "abcdefghijklmnopqrstuvwx"] {
            assert!(bad.parse::<Code>().is_err(), "{bad}");
        }
    }
}
