//! The real binary under real faults: killed at full load, on a full disk, on a disk that fails, whose flush fails, that stalls and that turns read-only, with the machine's
//! clock set under it, with its journal cut and changed byte by byte and each of its other files too, with a journal that was put back without its keys, tended by root, with strangers who
//! send what is no HTTP. What it acknowledged is there afterwards, nothing is oversold, damage is never passed over in silence, and its log names nobody.
//!
//! All of this runs with `cargo test`. More of it by environment variables: `TORNELLO_KILLS=500` kills that many times instead of 20. The disks need Linux,
//! `unshare`, `nsenter` and the right to mount (root, with loop devices, `mkfs.ext4` and `fsfreeze`; user namespaces do for the full disk), the clock needs libfaketime: without them these tests fail and say
//! so. They stand in this package because cargo names a package's binary only to its own tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod clock;
mod damage;
mod disk;
mod killed;
mod log;
mod mount;
mod restore;
mod server;
mod strangers;
