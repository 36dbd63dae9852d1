//! The one binary. What it can do stands in `cli`; everything else is in the library, so that tests can use it.

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    cli::run()
}
