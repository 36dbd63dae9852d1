//! The command line: what can be asked of the program, one file for each command. Without a command it starts a demo on this machine.
//!
//! Results go to the standard output, everything else to the standard error. Secrets are printed by the commands that make them, and never logged.

mod again;
mod evaluate;
mod gate;
mod keys;
mod replay;
mod school_breaks;
mod serve;
mod tend;
mod train;
mod verify;
mod world;

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand, ValueEnum};
use jiff::civil::Date;
use tornello_actors::failure::why;
use tracing_subscriber::EnvFilter;

/// Real-time capacity for museums: places held in milliseconds, tickets sold and admitted once, people inside now.
///
/// Without a command, starts a demo: 25 museums under data/, on 127.0.0.1:8080, with development keys.
#[derive(Debug, Parser)]
#[command(name = "tornello", version)]
struct Cli {
    /// How to write the log; RUST_LOG says how much.
    #[arg(long, global = true, value_enum, env = "TORNELLO_LOG", default_value_t = LogFormat::Text)]
    log: LogFormat,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a data folder: the production way; makes no museums and no keys unless asked
    Serve(serve::Arguments),
    /// Play real bookings through the actors into a fresh folder, and count them a second time
    Replay(replay::Arguments),
    /// Make, list, renew and revoke API keys; a running server takes it up within a second
    #[command(subcommand)]
    Keys(keys::Command),
    /// Check a whole journal while no server runs: chain, records, and every stream replayed; on request also what was said of suspected fraud
    Verify(verify::Arguments),
    /// Tend the read models
    #[command(subcommand)]
    Views(tend::Views),
    /// Tend the contacts of people
    #[command(subcommand)]
    People(tend::People),
    /// Tend the keys that sign ticket codes
    #[command(subcommand)]
    Signing(tend::Signing),
    /// Let people in and out without a network, by a manifest: scans come on the standard input, verdicts go to the standard output
    Gate(gate::Arguments),
    /// Judge the models by a stated protocol, beside floors; or on a simulated world
    Evaluate(Evaluate),
    /// Fit models and write them as artifacts
    #[command(subcommand)]
    Train(train::Command),
    /// Print the version
    Version,
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Evaluate {
    #[command(subcommand)]
    simulated: Option<Simulated>,
    #[command(flatten)]
    protocol: Option<evaluate::Arguments>,
}

#[derive(Debug, Subcommand)]
enum Simulated {
    /// Judge fraud scoring on a simulated world of honest buyers and attackers
    World(world::Arguments),
}

/// An address to listen on. Names are not looked up.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "an IP address and a port are expected, as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080".to_owned())
}

/// A day.
fn day(text: &str) -> Result<Date, String> {
    text.parse().map_err(|_| "a day is expected, as 2027-01-31".to_owned())
}

/// Where the data is.
#[derive(Debug, clap::Args)]
struct Data {
    /// The data folder
    #[arg(long = "data", value_name = "DIR", env = "TORNELLO_DATA", default_value = "data")]
    folder: PathBuf,
}

impl Data {
    /// The folder, if there is one with a file of this name in it: what is not there is not made by commands that tend it.
    fn with(&self, file: &str) -> anyhow::Result<&Path> {
        match std::fs::metadata(self.folder.join(file)) {
            Ok(found) if found.is_file() => Ok(self.folder.as_path()),
            // It may well be there: whoever believed that it is not would look for it elsewhere.
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                let whose = if error.kind() == ErrorKind::PermissionDenied { ", which is another user's" } else { "" };
                Err(error).with_context(|| format!("cannot look for {file} in {}{whose}", self.folder.display()))
            }
            _ => bail!("there is no {file} in {}: say with --data where the installation is", self.folder.display()),
        }
    }
}

/// Does what the command line says; the exit code is 0 if it went well, 1 if not, 2 if nobody knows what was meant.
pub fn run() -> ExitCode {
    let Cli { log, command } = Cli::parse();
    // What draws a progress bar draws it over what is logged: only what is wrong is said there.
    start_log(log, if matches!(command, Some(Command::Replay(_) | Command::Evaluate(_))) { "warn" } else { "info" });
    let done = match command {
        None => block_on(serve::serve(serve::Arguments::demo())),
        Some(Command::Serve(arguments)) => block_on(serve::serve(arguments)),
        Some(Command::Replay(arguments)) => block_on(replay::replay(arguments)),
        Some(Command::Keys(command)) => block_on(keys::run(command)),
        Some(Command::Verify(arguments)) => block_on(verify::verify(arguments)),
        Some(Command::Views(command)) => block_on(tend::views(command)),
        Some(Command::People(command)) => block_on(tend::people(command)),
        Some(Command::Signing(command)) => tend::signing(&command),
        Some(Command::Gate(arguments)) => gate::run(&arguments),
        Some(Command::Evaluate(Evaluate { simulated: Some(Simulated::World(arguments)), .. })) => world::evaluate(arguments),
        Some(Command::Evaluate(Evaluate { protocol: Some(arguments), .. })) => evaluate::evaluate(arguments),
        Some(Command::Evaluate(Evaluate { simulated: None, protocol: None })) => {
            Err(anyhow::anyhow!("say by which protocol: `tornello evaluate --help` names them"))
        }
        Some(Command::Train(command)) => train::run(command),
        Some(Command::Version) => say(format_args!("tornello {}", env!("CARGO_PKG_VERSION"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<NobodyReads>() => ExitCode::SUCCESS,
        Err(error) => {
            let why = why(&*error);
            if FOR_PROGRAMS.load(Ordering::Relaxed) {
                tracing::error!("{why}");
            } else {
                aside(format_args!("error: {why}"));
            }
            ExitCode::FAILURE
        }
    }
}

/// Runs inside an actix system whose tasks share all cores.
fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime does not start")?;
    actix_rt::System::with_tokio_rt(|| runtime).block_on(work)
}

/// What of the library that speaks HTTP is no line of the log, unless RUST_LOG names that library: one at ERROR for each stranger who sends what is no HTTP.
const STRANGERS: &str = "actix_http::h1::dispatcher=off";

/// Whether the log is for programs: then what is said beside it is one of its lines, as whoever reads it expects JSON alone.
static FOR_PROGRAMS: AtomicBool = AtomicBool::new(false);

/// Says something beside the log, as where a server listens.
fn tell(text: impl Display) {
    if FOR_PROGRAMS.load(Ordering::Relaxed) {
        tracing::info!("{text}");
    } else {
        aside(text);
    }
}

/// Writes a line to the standard error. What is done goes on if that cannot be written, as to a file on a full disk, or is read by nobody any more; `eprintln!` would panic.
fn aside(text: impl Display) {
    // Where should it be said?
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn start_log(format: LogFormat, level: &str) {
    let asked = EnvFilter::try_new(how_much(&std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default(), level));
    let not_understood = asked.as_ref().err().map(ToString::to_string);
    let filter = asked.unwrap_or_else(|_| EnvFilter::new(how_much("", level)));
    // Of a line that cannot be written it would tell there as well, by a panic of whatever had something to say: the journal's writer, as the disk is full.
    let builder = tracing_subscriber::fmt().log_internal_errors(false).with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => {
            FOR_PROGRAMS.store(true, Ordering::Relaxed);
            builder.json().init();
        }
    }
    if let Some(why) = not_understood {
        tracing::warn!("RUST_LOG is passed over: {why}");
    }
}

/// What is a line of the log: whatever RUST_LOG asks for, or if that says nothing, all of a level.
fn how_much(asked: &str, level: &str) -> String {
    let wanted = if asked.trim().is_empty() { level } else { asked };
    if wanted.contains("actix_http") { wanted.to_owned() } else { format!("{wanted},{STRANGERS}") }
}

/// Whoever read the standard output reads no more, as `head` when it has enough: the end of what there is to do, and nothing that went wrong.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the standard output any more")]
struct NobodyReads;

/// What was said before something else is looked at: whether or not anybody reads it, that is done. To who asks whether all is well and has heard the beginning, nothing else would
/// ever be wrong.
fn go_on(said: anyhow::Result<()>) -> anyhow::Result<()> {
    match said {
        Err(error) if error.is::<NobodyReads>() => Ok(()),
        said => said,
    }
}

/// Writes a line to the standard output.
fn say(text: impl Display) -> anyhow::Result<()> {
    put(format_args!("{text}\n"))
}

/// Writes a text that ends its lines itself to the standard output.
fn put(text: impl Display) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(NobodyReads.into()),
        written => written.context("cannot write to the standard output"),
    }
}

/// Prints a table with a line under its head, columns as wide as they need to be.
fn print_table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> anyhow::Result<()> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).chain([head[column].chars().count()]).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let print = |cells: [&str; N]| {
        let line: String = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}  ")).collect();
        say(line.trim_end())
    };
    print(head)?;
    say("-".repeat(widths.iter().sum::<usize>() + 2 * (N - 1)))?;
    rows.iter().try_for_each(|row| print(std::array::from_fn(|column| row[column].as_str())))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn whoever_asks_for_more_or_less_of_the_log_has_no_line_for_each_stranger() {
        for (asked, expected) in [
            ("", "info,actix_http::h1::dispatcher=off"),
            ("debug,sqlx=warn", "debug,sqlx=warn,actix_http::h1::dispatcher=off"),
            ("info,actix_http=trace", "info,actix_http=trace"),
        ] {
            assert_eq!(how_much(asked, "info"), expected);
            assert!(EnvFilter::try_new(how_much(asked, "info")).is_ok(), "{asked}");
        }
    }

    #[test]
    fn the_help_of_a_gate_says_what_to_type_and_where_its_scans_go() {
        let help = Cli::command().find_subcommand_mut("gate").unwrap().render_long_help().to_string();
        for said in ["Let people in and out without a network", "before it `in` or `out`", "/v1/admissions/batch"] {
            assert!(help.contains(said), "{said} is missing in:\n{help}");
        }
    }
}
