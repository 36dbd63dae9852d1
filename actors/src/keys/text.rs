//! The text of a key: how it is drawn, and what is told by its form alone.

use std::fmt;

use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use tornello_engine::ids::KeyId;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::KeysError;

const PREFIX: &str = "tn_";
const ID_CHARACTERS: usize = 13;
const SECRET_CHARACTERS: usize = 52;
pub(super) const TEXT_CHARACTERS: usize = PREFIX.len() + ID_CHARACTERS + 1 + SECRET_CHARACTERS;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The text of a new key, to be shown once. Printing it for debugging shows its id only.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ApiKey(String);

impl ApiKey {
    /// The text: `tn_`, the id, `_`, 52 characters of secret.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}..)", &self.0[..PREFIX.len() + ID_CHARACTERS + 1])
    }
}

/// A number for a new key, and its text.
pub(super) fn draw() -> Result<(KeyId, ApiKey), KeysError> {
    let mut id = [0_u8; 8];
    SysRng.try_fill_bytes(&mut id).map_err(|_| KeysError::Random)?;
    // Number 0 is the system's own.
    let id = KeyId(u64::from_be_bytes(id).max(1));
    Ok((id, draw_for(id)?))
}

/// The text of a key with a secret that nobody knows yet.
pub(super) fn draw_for(id: KeyId) -> Result<ApiKey, KeysError> {
    let mut secret = Zeroizing::new([0_u8; SECRET_CHARACTERS]);
    SysRng.try_fill_bytes(&mut *secret).map_err(|_| KeysError::Random)?;
    let mut text = String::with_capacity(TEXT_CHARACTERS);
    text.push_str(PREFIX);
    text.push_str(&id.to_string());
    text.push('_');
    text.extend(secret.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])));
    Ok(ApiKey(text))
}

/// The id in the text of a key; none unless the whole text has the form of one.
pub(super) fn id_of(text: &str) -> Option<KeyId> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_at_checked(ID_CHARACTERS)?;
    let secret = secret.strip_prefix('_')?;
    // The letters of `ALPHABET`, without looking each of them up in it.
    let well_formed = secret.len() == SECRET_CHARACTERS
        && secret.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z') && !matches!(byte, b'i' | b'l' | b'o' | b'u'));
    id.parse().ok().filter(|_| well_formed)
}

pub(super) fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_are_long_and_never_the_same() {
        let drawn: BTreeSet<String> = (0..200).map(|_| draw().unwrap().1.expose().to_owned()).collect();
        assert_eq!(drawn.len(), 200);
        for text in &drawn {
            assert_eq!(id_of(text).map(|id| id.to_string()).as_deref(), Some(&text[3..16]));
        }
        let letters: BTreeSet<char> = drawn.iter().flat_map(|text| text[17..].chars()).collect();
        assert_eq!(letters.len(), 32, "every character of the alphabet is drawn");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,90}", near in "tn_[0-9a-zé_]{10,16}_[0-9a-zé]{48,54}") {
            let _ = id_of(&text);
            let _ = id_of(&near);
        }
    }
}
