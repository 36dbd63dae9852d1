//! Digests of what callers send: idempotency keys and bodies are known to the core as 128 bits of SHA-256.

use sha2::{Digest as _, Sha256};
use tornello_engine::envelope::Digest;
use tornello_engine::ids::VoucherId;

/// The digest of some parts; their borders count.
#[must_use]
pub fn digest(parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let hash: [u8; 32] = hasher.finalize().into();
    let mut first = [0; 16];
    first.copy_from_slice(&hash[..16]);
    Digest(u128::from_be_bytes(first))
}

/// The first 128 bits of the SHA-256 of some bytes alone: as other programs give it for a file.
#[must_use]
pub fn digest_of_bytes(bytes: &[u8]) -> Digest {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    let mut first = [0; 16];
    first.copy_from_slice(&hash[..16]);
    Digest(u128::from_be_bytes(first))
}

/// How receipts, refunds, logs and what is printed of them name a voucher: its id is its code, and whoever has that can spend it.
#[must_use]
pub fn mark_of(voucher: VoucherId) -> String {
    format!("voucher-{:016x}", digest(&[b"voucher", &voucher.0.to_be_bytes()]).0 as u64)
}
