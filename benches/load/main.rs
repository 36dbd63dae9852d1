//! What does a sale cost over HTTP, with authentication, idempotency and the flush, and what would it cost elsewhere? The load generator, the servers that Tornello
//! is measured against, and the table of all figures. `benches/README.md` says how to run it.

mod front;
mod generator;
mod generators;
mod histogram;
mod http;
mod process;
mod round;
mod rows;
mod script;
mod table;
mod target;
mod watched;
mod work;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "load")]
struct Cli {
    /// Given by `cargo bench`.
    #[arg(long, hide = true, global = true)]
    bench: bool,
    #[command(flatten)]
    place: target::Place,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure the rows of the table, all of them if none is named, and print it
    Table(table::Arguments),
    /// Load one target for a while; prints what came of it as one line of JSON
    Round(round::Arguments),
    /// Ask, as one of several generators
    #[command(hide = true)]
    Generate,
    /// Serve as one of the servers that Tornello is measured against
    #[command(hide = true)]
    Front {
        #[arg(long)]
        workers: usize,
        #[command(subcommand)]
        backend: front::Backend,
    },
}

fn main() -> anyhow::Result<()> {
    let Cli { place, command, .. } = Cli::parse();
    match command {
        Command::Table(arguments) => table::run(&arguments, &place),
        Command::Round(arguments) => round::one(&arguments, &place),
        Command::Generate => generators::generate(),
        Command::Front { workers, backend } => front::serve(&backend, workers),
    }
}
