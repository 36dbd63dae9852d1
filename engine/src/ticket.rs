//! Ticket codes: what is printed in the QR code, signed so that a gate without a network can trust it.
//!
//! A code says which ticket, in which issue, what to check and when it is valid; nothing about the person. Text: `TN1.` and 96 bytes in upper-case Crockford
//! base 32 (158 characters, all of QR's compact alphanumeric mode). Bytes, numbers big-endian:
//!
//! | version u8 = 1 | key id u32 | ticket id u128 | issue u16 | proof u8 | valid from u32 | valid until u32 | Ed25519 signature, 64 bytes |
//!
//! Times are whole minutes since 1970. The signature covers a domain name and the 32 bytes before it. There is one text per code: whatever differs in a single
//! character is refused. Whether a ticket was cancelled, moved or used is not in the code: the slot knows.

use std::collections::BTreeMap;
use std::fmt;

use ed25519_dalek::{Signature, Signer, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::ids::TicketId;
use crate::tariff::Proof;
use crate::time::{MICROS_PER_S, Timestamp};

/// How the text of a code of this version begins.
pub const PREFIX: &str = "TN1.";
/// Length of the text of a code, in characters.
pub const TEXT_LENGTH: usize = PREFIX.len() + (CODE_BYTES * 8).div_ceil(5);

const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_S;
const VERSION: u8 = 1;
const PAYLOAD_BYTES: usize = 32;
const CODE_BYTES: usize = PAYLOAD_BYTES + 64;
const DOMAIN: &[u8] = b"tornello ticket code v1\0";
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// What a ticket code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Payload {
    /// The ticket; its slot and museum are part of the id.
    pub ticket: TicketId,
    /// Counts how often the ticket was issued anew (moved, renamed): only the last issue is good.
    pub issue: u16,
    /// What the gate must check.
    pub proof: Proof,
    /// The first minute (since 1970 UTC) in which the ticket may enter.
    pub valid_from_min: u32,
    /// The first minute (since 1970 UTC) in which it may no longer.
    pub valid_until_min: u32,
}

impl Payload {
    /// What a code of `ticket` says if it is valid from `from` until just before `until`; both are widened to whole minutes, and clamped to 1970..10136.
    #[must_use]
    pub fn new(ticket: TicketId, issue: u16, proof: Proof, from: Timestamp, until: Timestamp) -> Self {
        let clamp = |minutes: i64| u32::try_from(minutes.max(0)).unwrap_or(u32::MAX);
        Self {
            ticket,
            issue,
            proof,
            valid_from_min: clamp(from.as_micros().div_euclid(MICROS_PER_MINUTE)),
            valid_until_min: clamp(until.as_micros().saturating_add(MICROS_PER_MINUTE - 1).div_euclid(MICROS_PER_MINUTE)),
        }
    }

    /// When the ticket may first enter.
    #[must_use]
    pub const fn valid_from(&self) -> Timestamp {
        Timestamp::from_seconds(self.valid_from_min as i64 * 60)
    }

    /// From when on it may no longer enter.
    #[must_use]
    pub const fn valid_until(&self) -> Timestamp {
        Timestamp::from_seconds(self.valid_until_min as i64 * 60)
    }

    /// Whether the code's times let the ticket in at `now`.
    #[must_use]
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        (self.valid_from()..self.valid_until()).contains(&now)
    }

    fn to_bytes(self, key: u32) -> [u8; PAYLOAD_BYTES] {
        let mut bytes = [0; PAYLOAD_BYTES];
        bytes[0] = VERSION;
        bytes[1..5].copy_from_slice(&key.to_be_bytes());
        bytes[5..21].copy_from_slice(&self.ticket.get().to_be_bytes());
        bytes[21..23].copy_from_slice(&self.issue.to_be_bytes());
        bytes[23] = self.proof.number();
        bytes[24..28].copy_from_slice(&self.valid_from_min.to_be_bytes());
        bytes[28..].copy_from_slice(&self.valid_until_min.to_be_bytes());
        bytes
    }
}

/// A private key that signs ticket codes. It is never printed, compared or serialized.
pub struct SigningKey {
    id: u32,
    key: ed25519_dalek::SigningKey,
}

impl SigningKey {
    /// The key with number `id` that follows from 32 secret random bytes.
    #[must_use]
    pub fn new(id: u32, seed: &[u8; 32]) -> Self {
        Self { id, key: ed25519_dalek::SigningKey::from_bytes(seed) }
    }

    /// Its number.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// The public half, for gates: good for tickets that are valid within `from..=until`.
    #[must_use]
    pub fn public(&self, from: Timestamp, until: Timestamp) -> PublicKey {
        PublicKey { id: self.id, bytes: self.key.verifying_key().to_bytes(), from, until }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The public half of a key, as gates get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKey {
    /// Its number.
    pub id: u32,
    /// The 32 bytes of the Ed25519 public key (RFC 8032).
    pub bytes: [u8; 32],
    /// Tickets that become valid earlier are not this key's.
    pub from: Timestamp,
    /// Tickets that stay valid longer are not this key's: a lost key forges nothing for later days.
    pub until: Timestamp,
}

/// A key that cannot be in a keyring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum KeyError {
    /// The bytes are no public key, or a weak one that proves nothing.
    #[error("key {id} is not a usable ed25519 public key")]
    Unusable {
        /// Its number.
        id: u32,
    },
    /// Two keys have one number.
    #[error("key {id} is given twice: every key has its own number for ever")]
    Twice {
        /// The number.
        id: u32,
    },
}

/// Why a text is not a good ticket code. In order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum CodeError {
    /// The text is something else, or damaged.
    #[error("not a ticket code")]
    NotACode,
    /// A code of a version that this program does not know.
    #[error("a ticket code of an unknown version")]
    UnknownVersion,
    /// Signed with a key that is not in the keyring.
    #[error("signed with unknown key {key}")]
    UnknownKey {
        /// Its number.
        key: u32,
    },
    /// Forged or damaged.
    #[error("the signature is wrong")]
    BadSignature,
    /// The key was not for tickets of that time.
    #[error("key {key} does not sign tickets of that time")]
    KeyNotValid {
        /// Its number.
        key: u32,
    },
    /// Signed rightly, but with a proof that this program does not know: a newer one issued it.
    #[error("the ticket asks for unknown proof {proof}")]
    UnknownProof {
        /// Its number.
        proof: u8,
    },
}

impl CodeError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotACode => "not_a_code",
            Self::UnknownVersion => "unknown_version",
            Self::UnknownKey { .. } => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::KeyNotValid { .. } => "key_not_valid",
            Self::UnknownProof { .. } => "unknown_proof",
        }
    }
}

/// The text of a ticket code.
#[derive(Debug, Clone, Copy)]
pub struct TicketCode;

impl TicketCode {
    /// The text of the code that says `payload`, signed with `key`. The same input gives the same text.
    #[must_use]
    pub fn sign(key: &SigningKey, payload: &Payload) -> String {
        let bytes = payload.to_bytes(key.id);
        let mut code = [0; CODE_BYTES];
        code[..PAYLOAD_BYTES].copy_from_slice(&bytes);
        code[PAYLOAD_BYTES..].copy_from_slice(&key.key.sign(&message(&bytes)).to_bytes());
        let mut text = String::with_capacity(TEXT_LENGTH);
        text.push_str(PREFIX);
        let bit = |i: usize| code.get(i / 8).map_or(0, |byte| byte >> (7 - i % 8) & 1);
        text.extend((0..TEXT_LENGTH - PREFIX.len()).map(|i| {
            let digit = (5 * i..5 * i + 5).fold(0, |digit, i| digit << 1 | bit(i));
            char::from(ALPHABET[usize::from(digit)])
        }));
        text
    }
}

/// The public keys that a gate trusts, several at once while keys rotate.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    keys: BTreeMap<u32, (PublicKey, VerifyingKey)>,
}

impl Keyring {
    /// A keyring of these keys.
    ///
    /// # Errors
    /// If one of them is no key, or a weak one, or if two have one number.
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Result<Self, KeyError> {
        let mut ring = Self::default();
        for key in keys {
            let usable = VerifyingKey::from_bytes(&key.bytes).ok().filter(|verifying| !verifying.is_weak());
            let verifying = usable.ok_or(KeyError::Unusable { id: key.id })?;
            if ring.keys.insert(key.id, (key, verifying)).is_some() {
                return Err(KeyError::Twice { id: key.id });
            }
        }
        Ok(ring)
    }

    /// The keys, by number.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &PublicKey> {
        self.keys.values().map(|(key, _)| key)
    }

    /// What the code says, if it is one and was signed with a key of this ring that is for tickets of its time. The caller still compares the times with its
    /// clock ([`Payload::is_valid_at`]) and the ticket and issue with what the slot knows.
    pub fn verify(&self, text: &str) -> Result<Payload, CodeError> {
        let code = read(text)?;
        let (bytes, signature) = code.split_at(PAYLOAD_BYTES);
        if bytes[0] != VERSION {
            return Err(CodeError::UnknownVersion);
        }
        let key = number(&bytes[1..5]) as u32;
        let (public, verifying) = self.keys.get(&key).ok_or(CodeError::UnknownKey { key })?;
        let signature = Signature::from_slice(signature).map_err(|_| CodeError::BadSignature)?;
        verifying.verify_strict(&message(bytes), &signature).map_err(|_| CodeError::BadSignature)?;
        let proof = Proof::from_number(bytes[23]).ok_or(CodeError::UnknownProof { proof: bytes[23] })?;
        let payload = Payload {
            ticket: TicketId::from_raw(number(&bytes[5..21])),
            issue: number(&bytes[21..23]) as u16,
            proof,
            valid_from_min: number(&bytes[24..28]) as u32,
            valid_until_min: number(&bytes[28..32]) as u32,
        };
        if payload.valid_from() < public.from || payload.valid_until() > public.until {
            return Err(CodeError::KeyNotValid { key });
        }
        Ok(payload)
    }
}

/// What is signed: no signature made for another purpose can pass as a ticket.
fn message(payload: &[u8]) -> Vec<u8> {
    [DOMAIN, payload].concat()
}

fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u128::from(byte))
}

/// The bytes of a code's text: only the one text that [`TicketCode::sign`] writes for them is read.
fn read(text: &str) -> Result<[u8; CODE_BYTES], CodeError> {
    let Some(digits) = text.strip_prefix(PREFIX) else {
        let version = text.strip_prefix("TN").and_then(|rest| rest.split_once('.')).map(|(version, _)| version);
        let is_version = version.is_some_and(|v| (1..=3).contains(&v.len()) && !v.starts_with('0') && v.bytes().all(|b| b.is_ascii_digit()));
        return Err(if is_version { CodeError::UnknownVersion } else { CodeError::NotACode });
    };
    if text.len() != TEXT_LENGTH {
        return Err(CodeError::NotACode);
    }
    let mut bytes = [0; CODE_BYTES];
    let (mut buffer, mut bits, mut filled) = (0_u32, 0, 0);
    for digit in digits.bytes() {
        let value = ALPHABET.iter().position(|&letter| letter == digit).ok_or(CodeError::NotACode)?;
        (buffer, bits) = (buffer << 5 | value as u32, bits + 5);
        if bits >= 8 {
            bits -= 8;
            bytes[filled] = (buffer >> bits) as u8;
            buffer &= (1 << bits) - 1;
            filled += 1;
        }
    }
    if buffer == 0 { Ok(bytes) } else { Err(CodeError::NotACode) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{HoldId, MuseumId, RouteId, SlotId};
    use proptest::prelude::*;

    const SEED: [u8; 32] = [7; 32];
    /// Made with another implementation (OpenSSL) from the format above.
    const GOLDEN: &str = concat!(
        "TN1.04000009000G00G1RKSP84HMASW9NF000C0020G1RKSNA0E4YE8ZQGVZ8WWCZ7TY1J3HZRMRHW0",
        "8HS3J4NYXCYAW1XRQF18PTMGE8PJBT80S29VA1H36Y3T94M0XJVH4TP4MKK12AB51AA5JFEJ6R1SH0C"
    );

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn payload() -> Payload {
        let slot = SlotId::new(MuseumId(1), RouteId(2), at("2026-06-10T07:00:00Z"));
        let ticket = HoldId::new(slot, 0x1234_5678_9abc).ticket(3);
        Payload::new(ticket, 1, Proof::EuAge18To25, at("2026-06-10T06:45:00Z"), at("2026-06-10T07:45:00Z"))
    }

    fn key() -> SigningKey {
        SigningKey::new(9, &SEED)
    }

    fn ring() -> Keyring {
        Keyring::new([key().public(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"))]).unwrap()
    }

    #[test]
    fn a_key_follows_from_its_seed_as_in_rfc_8032() {
        // RFC 8032, section 7.1, test 1.
        let hex = |text: &str| -> [u8; 32] { std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()) };
        let key = SigningKey::new(1, &hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
        let public = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(key.public(Timestamp::MIN, Timestamp::MAX).bytes, public);
        assert_eq!(format!("{key:?}"), "SigningKey { id: 1, .. }");
    }

    #[test]
    fn the_text_of_a_code_never_changes() {
        let text = TicketCode::sign(&key(), &payload());
        assert_eq!(text, GOLDEN);
        assert_eq!((text.len(), TEXT_LENGTH), (158, 158));
        assert!(text.bytes().all(|b| b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:".contains(&b)));
        assert_eq!(ring().verify(&text), Ok(payload()));
    }

    #[test]
    fn every_change_of_one_character_is_refused() {
        let (ring, text) = (ring(), TicketCode::sign(&key(), &payload()));
        for i in 0..text.len() {
            let there = text.as_bytes()[i];
            let next = ALPHABET.iter().position(|&b| b == there).map_or(b'0', |digit| ALPHABET[(digit + 1) % 32]);
            for other in [next, there.to_ascii_lowercase(), b'O', b' '] {
                let mut bytes = text.clone().into_bytes();
                bytes[i] = other;
                let changed = String::from_utf8(bytes).unwrap();
                assert!(changed == text || ring.verify(&changed).is_err(), "{changed}");
            }
            assert!(ring.verify(&text[..i]).is_err(), "cut at {i}");
        }
        for changed in [format!("{text}0"), format!(" {text}"), text.to_lowercase()] {
            assert_eq!(ring.verify(&changed), Err(CodeError::NotACode), "{changed}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_code_is_told() {
        let text = TicketCode::sign(&key(), &payload());
        let forged = TicketCode::sign(&SigningKey::new(9, &[8; 32]), &payload());
        let unknown = TicketCode::sign(&SigningKey::new(10, &SEED), &payload());
        let with = |change: fn(&mut Payload)| {
            let mut payload = payload();
            change(&mut payload);
            TicketCode::sign(&key(), &payload)
        };
        let cases = [
            ("".to_owned(), CodeError::NotACode),
            ("https://example.org".to_owned(), CodeError::NotACode),
            (text[4..].to_owned(), CodeError::NotACode),
            (text.replacen("TN1.", "TN2.", 1), CodeError::UnknownVersion),
            (text.replacen("TN1.", "TN12.", 1), CodeError::UnknownVersion),
            (text.replacen("TN1.", "TN01.", 1), CodeError::NotACode),
            (text.replacen("TN1.", "TN.", 1), CodeError::NotACode),
            // The version byte within, though the prefix says 1.
            (text.replacen("TN1.0", "TN1.1", 1), CodeError::UnknownVersion),
            (unknown, CodeError::UnknownKey { key: 10 }),
            (forged, CodeError::BadSignature),
            (with(|p| p.valid_from_min = 0), CodeError::KeyNotValid { key: 9 }),
            (with(|p| p.valid_until_min = u32::MAX), CodeError::KeyNotValid { key: 9 }),
        ];
        for (text, expected) in cases {
            assert_eq!(ring().verify(&text), Err(expected), "{text}");
        }
        assert_eq!(Keyring::default().verify(&text), Err(CodeError::UnknownKey { key: 9 }));
    }

    #[test]
    fn a_proof_of_the_future_is_told_apart_from_a_forgery() {
        let mut bytes = payload().to_bytes(9);
        bytes[23] = 200;
        let mut code = bytes.to_vec();
        code.extend(key().key.sign(&message(&bytes)).to_bytes());
        let bits: Vec<u8> = code.iter().flat_map(|byte| (0..8).rev().map(move |i| byte >> i & 1)).chain([0, 0]).collect();
        let digits = bits.chunks(5).map(|five| char::from(ALPHABET[five.iter().fold(0, |digit, bit| digit << 1 | usize::from(*bit))]));
        assert_eq!(ring().verify(&format!("TN1.{}", digits.collect::<String>())), Err(CodeError::UnknownProof { proof: 200 }));
    }

    #[test]
    fn keys_rotate() {
        let (spring, summer, autumn) = (at("2026-03-01T00:00:00Z"), at("2026-06-10T07:00:00Z"), at("2026-09-01T00:00:00Z"));
        let (old, new) = (SigningKey::new(1, &[1; 32]), SigningKey::new(2, &[2; 32]));
        let ring = Keyring::new([old.public(spring, summer), new.public(spring, autumn)]).unwrap();
        assert_eq!(ring.keys().map(|key| key.id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(ring.verify(&TicketCode::sign(&old, &payload())), Err(CodeError::KeyNotValid { key: 1 }));
        assert_eq!(ring.verify(&TicketCode::sign(&new, &payload())), Ok(payload()));
        let twice = Keyring::new([old.public(spring, summer), SigningKey::new(1, &[2; 32]).public(spring, summer)]);
        assert_eq!(twice.map(|_| ()), Err(KeyError::Twice { id: 1 }));
        // The neutral point of the curve: signatures under it prove nothing.
        let mut weak = old.public(spring, summer);
        weak.bytes = std::array::from_fn(|i| u8::from(i == 0));
        assert_eq!(Keyring::new([weak]).map(|_| ()), Err(KeyError::Unusable { id: 1 }));
    }

    #[test]
    fn times_are_widened_to_minutes() {
        let ticket = payload().ticket;
        let code = Payload::new(ticket, 0, Proof::None, at("2026-06-10T06:45:59.999999Z"), at("2026-06-10T07:45:00.000001Z"));
        assert_eq!(code.valid_from(), at("2026-06-10T06:45:00Z"));
        assert_eq!(code.valid_until(), at("2026-06-10T07:46:00Z"));
        for (now, expected) in
            [("2026-06-10T06:44:59Z", false), ("2026-06-10T06:45:00Z", true), ("2026-06-10T07:45:59Z", true), ("2026-06-10T07:46:00Z", false)]
        {
            assert_eq!(code.is_valid_at(at(now)), expected, "{now}");
        }
        let clamped = Payload::new(ticket, 0, Proof::None, Timestamp::MIN, Timestamp::MAX);
        assert_eq!((clamped.valid_from_min, clamped.valid_until_min), (0, u32::MAX));
    }

    proptest! {
        #[test]
        fn no_text_is_taken_for_a_code(text in "\\PC{0,200}", digits in "[0-9A-HJKMNP-TV-Z]{154}") {
            let ring = ring();
            prop_assert!(ring.verify(&text).is_err());
            let (prefixed, shaped) = ([PREFIX, &text].concat(), [PREFIX, &digits].concat());
            prop_assert!(ring.verify(&prefixed).is_err());
            prop_assert!(ring.verify(&shaped).is_err());
        }

        #[test]
        fn what_is_signed_is_read(ticket: u128, issue: u16, proof in 0_u8..17, from: u32, until: u32, id: u32, seed: [u8; 32],
                                  place in 0_usize..158, other in "[ -~é]") {
            let key = SigningKey::new(id, &seed);
            let ring = Keyring::new([key.public(Timestamp::MIN, Timestamp::MAX)]).unwrap();
            let payload = Payload {
                ticket: TicketId::from_raw(ticket),
                issue,
                proof: Proof::from_number(proof).unwrap(),
                valid_from_min: from,
                valid_until_min: until,
            };
            let mut text = TicketCode::sign(&key, &payload);
            prop_assert_eq!(ring.verify(&text), Ok(payload));
            let before = text.clone();
            text.replace_range(place..=place, &other);
            prop_assert!(text == before || ring.verify(&text).is_err(), "{}", text);
        }
    }
}
