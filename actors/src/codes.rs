//! The ticket codes of this installation: signed with the newest key, verified with all of them. The file of keys may be changed by another process (a
//! rotation); [`Codes::refresh`] takes that up, and the node calls it twice a second.
//!
//! What a code says is the business of `engine::ticket`, how the keys are kept that of [`crate::signing`]; this file decides for which times a key is good.

use parking_lot::RwLock;
use tornello_engine::ticket::{CodeError, KeyError, Keyring, Payload, PublicKey, SigningKey, TicketCode};
use tornello_engine::time::{DAY_S, MICROS_PER_S, Timestamp};

use crate::signing::{SigningError, SigningKeys};

/// A ticket may be read, and so signed, long after its window has begun, as one that lets in on any day of a season: a key is good for tickets however long they were valid before
/// it was drawn. Nothing could be forged by it for a window that is over.
const FROM: Timestamp = Timestamp::from_seconds(0);
/// Tickets are printed so long ahead, and let in for so long from their day on: a key is good for tickets that are valid until so long after it last signed.
const AHEAD_S: i64 = 3 * 366 * DAY_S;
/// No code says that its ticket lets in nearly as long: the list of keys that a gate took along may be older than the code.
const MARGIN_S: i64 = 30 * DAY_S;

/// Why codes cannot be signed or verified with the keys that there are.
#[derive(Debug, thiserror::Error)]
pub enum CodesError {
    /// The file cannot be read again.
    #[error("cannot read the ticket signing keys again: {0}")]
    Signing(#[from] SigningError),
    /// A key that cannot be in a keyring.
    #[error("cannot verify ticket codes: {0}")]
    Key(#[from] KeyError),
}

/// Signs and verifies ticket codes.
#[derive(Debug)]
pub struct Codes(RwLock<Ready>);

/// The keys, made ready for use.
#[derive(Debug)]
struct Ready {
    keys: SigningKeys,
    signer: SigningKey,
    ring: Keyring,
    /// The current key is good from today on; tomorrow that is a day more.
    until: Timestamp,
}

impl Ready {
    fn new(keys: SigningKeys, now: Timestamp) -> Result<Self, CodesError> {
        let today = Timestamp::from_seconds(now.as_micros().div_euclid(DAY_S * MICROS_PER_S) * DAY_S);
        let until = today.plus_seconds(DAY_S);
        let public = keys.seeds().map(|key| {
            let last_signed = key.retired_at.unwrap_or(until);
            SigningKey::new(key.id, &key.seed).public(FROM, last_signed.plus_seconds(AHEAD_S))
        });
        let ring = Keyring::new(public)?;
        let (id, seed) = keys.current();
        Ok(Self { signer: SigningKey::new(id, &seed), ring, until, keys })
    }
}

impl Codes {
    /// Made of the keys as they were read.
    ///
    /// # Errors
    /// If a key is unusable.
    pub fn new(keys: SigningKeys, now: Timestamp) -> Result<Self, CodesError> {
        Ok(Self(RwLock::new(Ready::new(keys, now)?)))
    }

    /// The text of a code, signed with the current key.
    #[must_use]
    pub fn sign(&self, payload: &Payload) -> String {
        TicketCode::sign(&self.0.read().signer, payload)
    }

    /// Until when a code may say that its ticket lets in, if it is signed now: its key is good for that, whenever another one takes its place. Of a ticket that lets in for longer,
    /// or years ahead, the slot says so, and the list that a gate takes along.
    #[must_use]
    pub fn until_max(&self) -> Timestamp {
        self.0.read().until.plus_seconds(AHEAD_S - MARGIN_S)
    }

    /// What a code says, if this installation signed it. Whether the ticket may enter is for its slot to say.
    ///
    /// # Errors
    /// If the text is no code, or none of ours.
    pub fn verify(&self, text: &str) -> Result<Payload, CodeError> {
        self.0.read().ring.verify(text)
    }

    /// What a gate needs to verify codes without a network, oldest key first.
    #[must_use]
    pub fn public_keys(&self) -> Vec<PublicKey> {
        self.0.read().ring.keys().copied().collect()
    }

    /// Takes up what another process has written, and the new day; true if anything changed. It looks at the file's date first, so that calling it often costs
    /// nothing.
    ///
    /// # Errors
    /// If the file is gone, damaged or unreadable; the keys in use then stay as they were.
    pub fn refresh(&self, now: Timestamp) -> Result<bool, CodesError> {
        let mut keys = {
            let ready = self.0.read();
            if ready.keys.are_current() && now < ready.until {
                return Ok(false);
            }
            ready.keys.clone()
        };
        keys.reload()?;
        *self.0.write() = Ready::new(keys, now)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tornello_engine::ids::{HoldId, MuseumId, RouteId, SlotId};
    use tornello_engine::tariff::Proof;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn minute(text: &str) -> u32 {
        u32::try_from(at(text).as_seconds() / 60).unwrap()
    }

    fn payload(start: &str) -> Payload {
        let slot = SlotId::new(MuseumId(1), RouteId(1), at(start));
        Payload::new(HoldId::new(slot, 7).ticket(0), 1, Proof::None, at(start), at(start).plus_seconds(3_600))
    }

    #[test]
    fn a_rotation_by_another_process_is_taken_up_and_old_codes_stay_good() {
        let (folder, now) = (tempfile::tempdir().unwrap(), at("2026-06-10T08:00:00Z"));
        let path = folder.path().join("signing.keys");
        let codes = Codes::new(SigningKeys::load_or_create(&path, now).unwrap(), now).unwrap();
        let (running, later) = (payload("2026-06-10T07:30:00Z"), payload("2027-06-10T08:00:00Z"));
        let (old, old_later) = (codes.sign(&running), codes.sign(&later));
        assert!(!codes.refresh(now).unwrap(), "nothing has changed");

        SigningKeys::load_or_create(&path, now).unwrap().rotate(now.plus_seconds(60)).unwrap();
        assert!(codes.refresh(now).unwrap());
        assert!(!codes.refresh(now).unwrap());
        let new = codes.sign(&running);
        assert_ne!(new, old, "the new key signs");
        for (code, said) in [(&old, running), (&new, running), (&old_later, later)] {
            assert_eq!(codes.verify(code), Ok(said));
        }
        assert_eq!(codes.public_keys().len(), 2);
        assert_eq!(codes.verify(&codes.sign(&payload("2030-06-10T08:00:00Z"))), Err(CodeError::KeyNotValid { key: 2 }), "too far ahead");

        assert!(codes.refresh(at("2027-06-10T08:00:00Z")).unwrap(), "a new day");
        assert!(codes.verify(&codes.sign(&payload("2030-06-10T08:00:00Z"))).is_ok(), "the current key goes with the time");

        std::fs::write(&path, "not keys").unwrap();
        assert!(codes.refresh(now).is_err());
        assert!(codes.verify(&new).is_ok(), "a damaged file takes nothing away");
    }

    /// The gate of a slot may open long before it and close long after it, and sales long before that: whatever a plan allows.
    #[test]
    fn a_ticket_of_a_long_window_is_good_whichever_key_signs_it() {
        let (folder, now) = (tempfile::tempdir().unwrap(), at("2026-06-10T08:00:00Z"));
        let path = folder.path().join("signing.keys");
        let codes = Codes::new(SigningKeys::load_or_create(&path, now).unwrap(), now).unwrap();
        let windows = [
            ("2026-06-01T08:00:00Z", "2026-06-30T18:00:00Z"),
            ("2026-05-10T08:00:00Z", "2026-06-10T18:00:00Z"),
            ("2027-07-01T08:00:00Z", "2028-07-01T18:00:00Z"),
        ];
        let tickets = windows.map(|(from, until)| Payload { valid_from_min: minute(from), valid_until_min: minute(until), ..payload(from) });
        let read = |codes: &Codes| tickets.map(|ticket| codes.sign(&ticket));
        let printed = read(&codes);
        SigningKeys::load_or_create(&path, now).unwrap().rotate(now.plus_seconds(60)).unwrap();
        assert!(codes.refresh(now.plus_seconds(60)).unwrap());
        for (texts, which) in [(printed, "printed before the rotation"), (read(&codes), "read after it")] {
            assert_eq!(texts.map(|text| codes.verify(&text)), tickets.map(Ok), "{which}");
        }
    }

    #[test]
    fn what_a_code_says_is_within_the_life_of_its_key_also_years_ahead_and_after_a_rotation() {
        let (folder, now, far) = (tempfile::tempdir().unwrap(), at("2026-06-10T08:00:00Z"), at("2031-06-10T08:00:00Z"));
        let path = folder.path().join("signing.keys");
        let codes = Codes::new(SigningKeys::load_or_create(&path, now).unwrap(), now).unwrap();
        let Payload { ticket, issue, proof, .. } = payload("2031-06-10T08:00:00Z");
        let said = |codes: &Codes| Payload::new(ticket, issue, proof, far, far.plus_seconds(3_600).min(codes.until_max()));
        let first = said(&codes);
        let printed = codes.sign(&first);
        SigningKeys::load_or_create(&path, now).unwrap().rotate(now).unwrap();
        for today in [now, far] {
            assert!(codes.refresh(today).unwrap());
            assert_eq!(codes.verify(&printed), Ok(first), "printed before the rotation, on {today}");
            assert_eq!(codes.verify(&codes.sign(&said(&codes))), Ok(said(&codes)), "read on {today}");
        }
    }

    #[test]
    fn a_rotation_just_after_the_keys_were_read_is_taken_up_too() {
        let (folder, now) = (tempfile::tempdir().unwrap(), at("2026-06-10T08:00:00Z"));
        let path = folder.path().join("signing.keys");
        let read = SigningKeys::load_or_create(&path, now).unwrap();
        SigningKeys::load_or_create(&path, now).unwrap().rotate(now).unwrap();
        let codes = Codes::new(read, now).unwrap();
        assert!(codes.refresh(now).unwrap(), "they are not those of the file");
        assert_eq!((codes.public_keys().len(), codes.refresh(now).unwrap()), (2, false));
    }
}
