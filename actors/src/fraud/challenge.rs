//! Proof of work as a step-up: a puzzle that slows a machine down, and stops none.
//!
//! What it costs is arithmetic: `bits` zero bits take `2^bits` hashes on average, and one time in twenty three times as many. At 18 bits that are 262,144 hashes of two blocks of
//! SHA-256. Measured on one core of a server that knows SHA-256 (2026):
//!
//! - native code: 6,000,000 a second, 0.04 s;
//! - plain JavaScript: 850,000 a second, 0.3 s;
//! - where each is a `crypto.subtle.digest` that is waited for: 53,000 a second, 5 s.
//!
//! An old telephone is assumed to do a fifth of that. So a thousand holds cost a machine 44 s of one core: rules and limits stop those. Four bits more would be 0.7 s for a machine,
//! and minutes for an honest buyer whose shop hashes the slow way.
//!
//! The server signs the puzzle and keeps nothing of it, also when it is solved. It is made for one request, by its key and body, and that is done once anyhow. So it is good for
//! that request for some minutes, even if the request is refused for another reason in between, or has to be repeated.
//!
//! The form is that of hashcash with SHA-256: find text so that the hash of `challenge:text` begins with so many zero bits. The key that signs lives as long as the
//! process: after a restart an old puzzle is worth nothing, and a new one is given.

use hmac::{Hmac, KeyInit, Mac};
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use tornello_engine::envelope::Digest;
use tornello_engine::time::Timestamp;

use crate::hex::Hex;

/// How long a puzzle can be solved, in seconds.
pub const SOLVED_WITHIN_S: i64 = 300;
/// How long a solution may be, in bytes.
const SOLUTION_MAX: usize = 64;
/// The zero bits of a usual puzzle: 2^18 hashes on average.
pub const BITS: u8 = 18;

/// Why a solution is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadProof {
    /// It is not a puzzle of this server, or not for this request.
    #[error("the challenge is not one of this server, or was given for another request")]
    Foreign,
    /// Its time is over.
    #[error("the challenge has expired")]
    Expired,
    /// The hash does not begin with enough zeros.
    #[error("the solution does not solve the challenge")]
    Unsolved,
}

/// A puzzle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// What is to be hashed before a colon and the solution.
    pub text: String,
    /// How many zero bits the hash must begin with.
    pub bits: u8,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Gives puzzles and takes solutions.
#[derive(Debug)]
pub struct Challenges {
    key: [u8; 32],
}

impl Challenges {
    /// With a key of its own.
    pub fn new() -> std::io::Result<Self> {
        let mut key = [0; 32];
        SysRng.try_fill_bytes(&mut key).map_err(std::io::Error::other)?;
        Ok(Self { key })
    }

    fn mac(&self, payload: &str, bound: Digest) -> Option<[u8; 16]> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(payload.as_bytes());
        mac.update(&{ bound.0 }.to_be_bytes());
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        bytes.first_chunk().copied()
    }

    /// A puzzle for what is asked, of so many bits; none if the machine gives no random numbers.
    #[must_use]
    pub fn give(&self, now: Timestamp, bound: Digest, bits: u8) -> Option<Challenge> {
        let mut nonce = [0; 16];
        SysRng.try_fill_bytes(&mut nonce).ok()?;
        let expires_at = now.plus_seconds(SOLVED_WITHIN_S);
        let payload = format!("1.{bits}.{}.{}", expires_at.as_micros(), Hex(nonce));
        let mac = self.mac(&payload, bound)?;
        Some(Challenge { text: format!("{payload}.{}", Hex(mac)), bits, expires_at })
    }

    /// Whether `challenge:solution` is good for what is asked.
    pub fn take(&self, now: Timestamp, bound: Digest, proof: &str) -> Result<(), BadProof> {
        let (text, solution) = proof.split_once(':').ok_or(BadProof::Foreign)?;
        let (payload, signed) = text.rsplit_once('.').ok_or(BadProof::Foreign)?;
        let expected = Hex(self.mac(payload, bound).ok_or(BadProof::Foreign)?).to_string();
        if !bool::from(expected.as_bytes().ct_eq(signed.as_bytes())) {
            return Err(BadProof::Foreign);
        }
        // Signed by us: what follows reads as it was written.
        let mut parts = payload.split('.').skip(1);
        let bits: u8 = parts.next().and_then(|bits| bits.parse().ok()).ok_or(BadProof::Foreign)?;
        let expires_us: i64 = parts.next().and_then(|at| at.parse().ok()).ok_or(BadProof::Foreign)?;
        if now.as_micros() >= expires_us {
            return Err(BadProof::Expired);
        }
        if solution.len() > SOLUTION_MAX || zero_bits(&Sha256::digest(proof.as_bytes())) < u32::from(bits) {
            return Err(BadProof::Unsolved);
        }
        Ok(())
    }
}

/// Solves a puzzle, as a client does: for tests, and for who writes one.
#[must_use]
pub fn solve(challenge: &str, bits: u8) -> String {
    let mut tried = 0_u64;
    loop {
        let proof = format!("{challenge}:{tried}");
        if zero_bits(&Sha256::digest(proof.as_bytes())) >= u32::from(bits) {
            return proof;
        }
        tried += 1;
    }
}

fn zero_bits(hash: &[u8]) -> u32 {
    let mut bits = 0;
    for byte in hash {
        bits += byte.leading_zeros();
        if *byte != 0 {
            break;
        }
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_puzzle_is_good_for_its_request_in_time_and_only_solved() {
        let (challenges, now) = (Challenges::new().expect("random"), Timestamp::from_seconds(1_000));
        let (bound, other) = (Digest(7), Digest(8));
        let challenge = challenges.give(now, bound, 6).expect("random");
        let proof = solve(&challenge.text, 6);
        assert_eq!(challenges.take(now, other, &proof), Err(BadProof::Foreign));
        assert_eq!(challenges.take(challenge.expires_at, bound, &proof), Err(BadProof::Expired));
        let wrong =
            (0..).map(|i| format!("{}:x{i}", challenge.text)).find(|proof| zero_bits(&Sha256::digest(proof.as_bytes())) < 6).expect("most are wrong");
        assert_eq!(challenges.take(now, bound, &wrong), Err(BadProof::Unsolved));
        let easier = proof.replacen("1.6.", "1.0.", 1);
        assert_eq!(challenges.take(now, bound, &easier), Err(BadProof::Foreign));
        // The request may be refused for another reason, or be lost on the way: its repeat needs no more work.
        for s in [0, 1, SOLVED_WITHIN_S - 1] {
            assert_eq!(challenges.take(now.plus_seconds(s), bound, &proof), Ok(()), "after {s} s");
        }
        for hostile in ["", ":", ".", "1.6:x", "....:..", "1.255.x.y.z:1"] {
            assert_eq!(challenges.take(now, bound, hostile), Err(BadProof::Foreign), "{hostile}");
        }
        assert_eq!(Challenges::new().expect("random").take(now, bound, &proof), Err(BadProof::Foreign), "another process, another key");
    }
}
