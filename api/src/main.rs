//! The one binary. What it can do stands in `cli`; everything else is in the library, so that tests can use it.

use std::process::ExitCode;

mod cli;

/// Requests are made on one thread and freed on another, which the system's allocator pays for with locks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
