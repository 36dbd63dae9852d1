//! `tornello replay`: plays, shows how far it is, reports.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::civil::Date;
use tornello_actors::clock::Stopwatch;
use tornello_api::replay::acks::Acks;
use tornello_api::replay::drive::{self, Pace, Progress};
use tornello_api::replay::report::Report;
use tornello_api::server::ServerSettings;
use tornello_api::{demo, replay};
use tornello_engine::calendar;

use super::{address, day, serve};

/// How many bookings lie between two lines of progress where no bar can be drawn.
const LINE_EVERY: u64 = 5_000;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A folder of its own, new or empty
    #[arg(long, value_name = "DIR", default_value = "data/replay")]
    data: PathBuf,
    /// Play against the wall clock, this many seconds in one: 86400 plays a day a second
    #[arg(long, value_name = "N", value_parser = speed)]
    speed: Option<f64>,
    /// Only from this day on; what is before passes at full speed [default: the first day with door counts]
    #[arg(long, value_name = "DATE", requires = "speed", value_parser = day)]
    from: Option<Date>,
    /// Serve the folder meanwhile, with development keys, until told to stop
    #[arg(long, value_name = "ADDR", requires = "speed", value_parser = address)]
    listen: Option<SocketAddr>,
    /// Play only the first bookings of the file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Write a line for each sale, cancellation and admission that is on the disk; - writes to the standard output
    #[arg(long, value_name = "FILE")]
    acks: Option<PathBuf>,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "a number is expected".to_owned())?;
    if speed.is_finite() && speed > 0.0 { Ok(speed) } else { Err("more than nothing is expected".to_owned()) }
}

pub(super) async fn replay(arguments: Arguments) -> anyhow::Result<()> {
    serve::can_listen([("--listen", arguments.listen)])?;
    let replay = replay::load(arguments.limit.map(|limit| limit as usize))?;
    let (running, clock) = replay::open(&arguments.data, &replay).await?;
    let acks = arguments.acks.as_deref().map_or_else(|| Ok(Acks::none()), Acks::to)?;
    let pace = arguments.speed.map(|speed| Pace { speed, from: arguments.from.or(Some(replay::DOORS_FROM)) });
    let node = running.node();
    let bar = Bar::new(replay.visits.len() as u64);
    let play = async {
        let played = drive::play(node, &clock, &replay, pace, acks, |progress| bar.show(progress)).await?;
        bar.finish();
        let report = Report::new(played, &replay, node.journal().as_ref()).await?;
        let told = if arguments.json { super::say(format_args!("{:#}", report.to_json())) } else { super::put(&report) };
        // Whether or not anybody reads it: a recount that does not agree is an error.
        if report.agrees() {
            told?;
        }
        anyhow::Ok(report.agrees())
    };
    let mut begun = None;
    let agrees = match arguments.listen {
        None => play.await,
        Some(listen) => {
            let settings = ServerSettings { workers: 1, ..ServerSettings::new(listen) };
            let (server, listening) = serve::start_server(std::sync::Arc::clone(node), &settings)?;
            serve::print_keys(&serve::development_keys(node, &arguments.data).await?, &arguments.data.join(demo::KEYS_FILE), listening.all);
            let mut serving = pin!(server);
            let played = tokio::select! {
                agrees = play => Some(agrees),
                served = &mut serving => served.map(|_| None)?,
            };
            match played {
                Some(Ok(agrees)) => {
                    super::aside(format_args!("The replay is over; http://{listen} stays until it is told to stop."));
                    begun = Some(serving.await?);
                    Ok(agrees)
                }
                Some(Err(error)) => Err(error),
                None => bail!("the replay was stopped before its end"),
            }
        }
    };
    running.stop_since(begun.unwrap_or_else(Stopwatch::start)).await;
    if agrees? { Ok(()) } else { bail!("the recount does not agree with the replay") }
}

/// A bar on a terminal, a line now and then elsewhere.
struct Bar {
    bar: ProgressBar,
    all: u64,
    lines: std::cell::Cell<u64>,
}

impl Bar {
    fn new(all: u64) -> Self {
        let bar = ProgressBar::new(all);
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {human_pos} of {human_len} bookings, {per_sec:>10}, {eta} left") {
            bar.set_style(style);
        }
        Self { bar, all, lines: std::cell::Cell::new(0) }
    }

    fn show(&self, progress: Progress) {
        let day = calendar::local_day(progress.at);
        if !self.bar.is_hidden() {
            self.bar.set_message(day.to_string());
            self.bar.set_position(progress.asked);
        } else if progress.asked / LINE_EVERY > self.lines.get() {
            self.lines.set(progress.asked / LINE_EVERY);
            super::aside(format_args!("{day}: {} of {} bookings", progress.asked, self.all));
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
