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
    first_bits(hasher.finalize().into())
}

/// The first 128 bits of the SHA-256 of some bytes alone: as other programs give it for a file.
#[must_use]
pub fn digest_of_bytes(bytes: &[u8]) -> Digest {
    first_bits(Sha256::digest(bytes).into())
}

/// How receipts, refunds, logs and what is printed of them name a voucher: its id is its code, and whoever has that can spend it.
#[must_use]
pub fn mark_of(voucher: VoucherId) -> String {
    format!("voucher-{:016x}", digest(&[b"voucher", &voucher.0.to_be_bytes()]).0 as u64)
}

fn first_bits(hash: [u8; 32]) -> Digest {
    Digest(u128::from_be_bytes(hash.first_chunk().copied().unwrap_or_default()))
}
