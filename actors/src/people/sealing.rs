//! How contacts are sealed: the master key and what is derived from it, and the one cipher. Whatever is sealed is bound to whom it is about, and opens for nobody else.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::Sha256;
use tornello_engine::ids::PersonId;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::contact::PADDED_BYTES;
use super::{PeopleError, blob};
use crate::secret_file;

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// The length of a person's key, wrapped under the master key.
pub(super) const WRAPPED_BYTES: usize = NONCE_BYTES + 32 + TAG_BYTES;
/// The length of a contact, sealed under its person's key.
pub(super) const SEALED_BYTES: usize = NONCE_BYTES + PADDED_BYTES + TAG_BYTES;

/// The installation's master key: it wraps the keys of people and is the root of all pseudonyms. It belongs in a backup of its own.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// From bytes kept elsewhere, such as a vault or a credential of the service manager.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads the 32 bytes in `path`; if there is no such file, draws a key and writes it there for its owner alone. Blocks on the disk: for start-up.
    ///
    /// # Errors
    /// If others may read the file, it has another length, or the disk fails.
    pub fn load_or_create(path: &Path) -> Result<Self, PeopleError> {
        let file = |error| PeopleError::File(Arc::new(error));
        let _lock = secret_file::lock(path).map_err(file)?;
        if let Some(bytes) = secret_file::read(path, 4_096).map_err(file)? {
            let wrong = |_| PeopleError::MasterKeyLength { path: path.to_owned(), found: bytes.len() };
            return Ok(Self(bytes.as_slice().try_into().map_err(wrong)?));
        }
        let key = Self(random()?);
        secret_file::replace(path, &key.0).map_err(file)?;
        Ok(key)
    }

    /// A key for one purpose. The master key is uniformly random, so a keyed hash of the purpose is all the derivation that it needs.
    pub(super) fn derive(&self, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
        keyed_hash(&self.0, &[purpose])
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], PeopleError> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(|_| PeopleError::Random)?;
    Ok(bytes)
}

pub(super) fn cipher(key: &[u8; 32]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.into())
}

/// A random nonce, then the ciphertext; it opens only for the same person.
pub(super) fn seal(cipher: &XChaCha20Poly1305, person: PersonId, plain: &[u8]) -> Result<Vec<u8>, PeopleError> {
    let nonce: [u8; NONCE_BYTES] = random()?;
    let payload = Payload { msg: plain, aad: &blob(person) };
    let ciphertext = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| PeopleError::Damaged { person, what: "it cannot be encrypted" })?;
    Ok([&nonce[..], &ciphertext].concat())
}

pub(super) fn unseal(cipher: &XChaCha20Poly1305, person: PersonId, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    cipher.decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: &blob(person) }).ok().map(Zeroizing::new)
}

/// Seals what somebody carries away and brings back: whoever has it can neither read nor change it. The key follows from the master key, so it opens after a restart too.
#[derive(Clone)]
pub(crate) struct Sealer(Zeroizing<[u8; 32]>);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

impl Sealer {
    /// With a key for one purpose.
    pub(crate) fn new(master: &MasterKey, purpose: &[u8]) -> Self {
        Self(master.derive(purpose))
    }

    /// A random nonce, then the ciphertext; none if the machine gives no random numbers.
    pub(crate) fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let nonce: [u8; NONCE_BYTES] = random().ok()?;
        let ciphertext = cipher(&self.0).encrypt(&XNonce::from(nonce), plain).ok()?;
        Some([&nonce[..], &ciphertext].concat())
    }

    /// What was sealed; none if it was not sealed here, or was changed since.
    pub(crate) fn open(&self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        cipher(&self.0).decrypt(&XNonce::from(*nonce), ciphertext).ok().map(Zeroizing::new)
    }
}

/// A key that hashes what it is given (HMAC with SHA-256). Its two blocks are taken in once: whoever hashes many things under one key does half the work.
pub(super) struct HashKey(Hmac<Sha256>);

impl HashKey {
    /// Takes a key in.
    pub(super) fn new(key: &[u8; 32]) -> Self {
        // `new` takes a key of the hash's block length: shorter keys are filled up with zeros, as HMAC says.
        let mut block = Zeroizing::new([0_u8; 64]);
        block[..32].copy_from_slice(key);
        Self(<Hmac<Sha256> as KeyInit>::new((&*block).into()))
    }

    /// The hash of some parts, as of all of them one after the other.
    pub(super) fn hash(&self, parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let mut mac = self.0.clone();
        parts.iter().for_each(|part| mac.update(part));
        Zeroizing::new(mac.finalize().into_bytes().into())
    }
}

/// What the key was taken in as hashes like the key itself, so it does not stay in memory either: that of a key of zeros takes its place.
impl Drop for HashKey {
    fn drop(&mut self) {
        self.0 = <Hmac<Sha256> as KeyInit>::new((&[0_u8; 64]).into());
        std::hint::black_box(&self.0);
    }
}

pub(super) fn keyed_hash(key: &[u8; 32], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    HashKey::new(key).hash(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::Hex;

    #[test]
    fn the_master_key_is_made_once_and_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let first = MasterKey::load_or_create(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first.0);
        assert_eq!(MasterKey::load_or_create(&path).unwrap().0, first.0);
        assert_eq!(format!("{first:?}"), "MasterKey(..)");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
            assert!(matches!(MasterKey::load_or_create(&path), Err(PeopleError::File(_))));
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        std::fs::write(&path, b"too short").unwrap();
        assert!(matches!(MasterKey::load_or_create(&path), Err(PeopleError::MasterKeyLength { found: 9, .. })));
    }

    #[test]
    fn the_keyed_hash_is_hmac_sha256() {
        // RFC 4231, test case 4 has a key of 25 bytes; filled up with zeros to 32 it is the same HMAC.
        let mut key = [0; 32];
        key[..25].copy_from_slice(&std::array::from_fn::<u8, 25, _>(|i| i as u8 + 1));
        let hash = keyed_hash(&key, &[&[0xcd; 20], &[0xcd; 30]]);
        assert_eq!(Hex(*hash).to_string(), "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
    }
}
