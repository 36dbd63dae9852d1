//! `tornello replay`: plays a real booking stream through the same actors on the event clock, and counts it a second time. The bookings are those of
//! `datasets::hotel`, the door counts those of `datasets::calit2`; `datasets::replay_mapping` says what they become, and is all that replay and recount share.
//!
//! [`open`] prepares a fresh data folder, [`drive`] gives the commands, [`tally`] counts their answers, [`report`] compares and prints.

pub mod acks;
pub mod drive;
pub mod report;
pub mod tally;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::SignedDuration;
use jiff::civil::{Date, date};
use tornello_actors::clock::ManualClock;
use tornello_actors::failure::Failure;
use tornello_actors::journal::JournalError;
use tornello_actors::node::{Node, Running, Settings, StartError};
use tornello_datasets::replay_mapping::{MUSEUMS, PARTY_MAX, REFUND, Replay, ReplayMuseum, SALE_OPENS_DAYS};
use tornello_datasets::{LoadError, calit2, hotel};
use tornello_engine::calendar;
use tornello_engine::ids::{MuseumId, RouteId};
use tornello_engine::money::Cents;
use tornello_engine::museum::{self, Command, Profile};
use tornello_engine::plan::{OpeningPlan, Route, Session};
use tornello_engine::slot::{Policy, Refund};
use tornello_engine::tariff::{FreeDays, Tariff};
use tornello_engine::text::Text;
use tornello_engine::time::{DAY_S, Timestamp};

use crate::demo;

/// The one route of each museum of the replay.
pub const ROUTE: RouteId = RouteId(1);
/// The first day with door counts: from there on bookings, visits and counts all move.
pub const DOORS_FROM: Date = date(2016, 7, 24);
/// More people than any door here counts: sensors are heard and never limit sales, since the recount knows of none.
const CEILING: u32 = 10_000;
/// Counts come every half hour; one that is missing is noticed.
const STALE_AFTER_S: u32 = 45 * 60;

/// Why a replay ends early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The folder has something in it.
    #[error("{0} is not empty: a replay needs a folder of its own; remove it, or name another one with --data")]
    NotFresh(PathBuf),
    /// The folder cannot be looked into.
    #[error("{folder} cannot be used: {source}")]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The shipped files cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The installation does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A museum of the replay is not what the core takes.
    #[error("the museum {slug} of the replay cannot be taken in: {what}")]
    Museum {
        /// Which.
        slug: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// A command was neither done nor refused.
    #[error("row {row}: a command was not carried out: {failure}")]
    Failed {
        /// The row of the bookings' file.
        row: u64,
        /// Why.
        failure: Failure<tornello_engine::slot::Refusal>,
    },
    /// The journal cannot be read back.
    #[error("the replayed journal does not hold: {0}")]
    Journal(#[from] JournalError),
    /// Acknowledgements cannot be written.
    #[error("the acknowledgements cannot be written: {0}")]
    Acks(#[source] std::io::Error),
}

/// The shipped replay, or what its first `limit` bookings make.
pub fn load(limit: Option<usize>) -> Result<Replay, ReplayError> {
    Ok(Replay::build(hotel::embedded().take(limit.unwrap_or(usize::MAX)), &calit2::load()?)?)
}

/// Starts an installation in a fresh folder, the day before the first event, with the museums of the replay.
pub async fn open(data: &Path, replay: &Replay) -> Result<(Running, Arc<ManualClock>), ReplayError> {
    let folder = |source| ReplayError::Folder { folder: data.to_owned(), source };
    match std::fs::read_dir(data) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(ReplayError::NotFresh(data.to_owned()));
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(folder(error)),
    }
    let first_s = replay.events.first().map_or(0, |event| event.at_s);
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(first_s).plus_seconds(-DAY_S)));
    let settings = Settings { drives: false, ..Settings::new(data) };
    let running = Node::start(&settings, Arc::clone(&clock) as _, |_| {}).await?;
    let node = running.node();
    let today = calendar::local_day(node.now());
    for (index, museum) in MUSEUMS.iter().enumerate() {
        let bad = |what: String| ReplayError::Museum { slug: museum.slug, what };
        let mut tariff = Tariff::state_museum(Cents::new(museum.full_price_cents));
        tariff.free_days = FreeDays::default();
        for command in [
            Command::Register { profile: profile(museum).map_err(bad)? },
            Command::SetPlan { valid_from: today, plan: plan(museum).map_err(bad)? },
            Command::SetTariff { valid_from: today, tariff },
            Command::SetCeiling { valid_from: today, ceiling: Some(CEILING) },
        ] {
            demo::give(node, museum_id(index), command).await.map_err(|failure: Failure<museum::Refusal>| bad(failure.to_string()))?;
        }
    }
    Ok((running, clock))
}

/// The number of a museum of the replay, by its index in [`MUSEUMS`].
#[must_use]
pub const fn museum_id(index: usize) -> MuseumId {
    MuseumId(index as u16 + 1)
}

fn profile(museum: &ReplayMuseum) -> Result<Profile, String> {
    Ok(Profile {
        slug: museum.slug.parse().map_err(|_| "its slug".to_owned())?,
        name: museum.name.to_owned(),
        city: "Roma".to_owned(),
        region: "Lazio".to_owned(),
        latitude_microdeg: 41_900_000,
        longitude_microdeg: 12_500_000,
        patron: None,
    })
}

/// Every day the same slots, one after the other; what each is sold by stands in the mapping.
fn plan(museum: &ReplayMuseum) -> Result<OpeningPlan, String> {
    let slots = i64::try_from(museum.slot_weights.len()).unwrap_or(i64::MAX);
    let after = |slots: i64| museum.open + SignedDuration::from_mins(i64::from(museum.slot_minutes).saturating_mul(slots));
    let session = Session {
        opens: museum.open,
        closes: after(slots),
        slot_minutes: museum.slot_minutes,
        last_entry: after(slots - 1),
        capacity: museum.capacity,
        quotas: Default::default(),
    };
    let policy = Policy {
        sale_opens_s: SALE_OPENS_DAYS * DAY_S as u32,
        sale_closes_s: 0,
        party_max: PARTY_MAX,
        refund: Refund {
            full_until_s: u32::try_from(REFUND.full_until_s).map_err(|error| error.to_string())?,
            part_percent: REFUND.part_percent,
            part_until_s: u32::try_from(REFUND.part_until_s).map_err(|error| error.to_string())?,
        },
        stale_after_s: STALE_AFTER_S,
        ..Policy::default()
    };
    let code = "visita".parse().map_err(|_| "the code of its route".to_owned())?;
    let week = std::array::from_fn(|_| vec![session.clone()]);
    Ok(OpeningPlan { routes: vec![Route { id: ROUTE, code, name: Text::new("Visita", "Visit"), week, exceptions: Vec::new(), policy }] })
}
