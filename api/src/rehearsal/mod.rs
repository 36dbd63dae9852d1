//! The simulated world of fraud ([`tornello_datasets::fraud_world`]) played through the real node: its agents' intents become commands to slots, payments and tills,
//! on a journal in memory and a clock that follows the world, as `replay` does with real bookings. What the node answers is what the agents are told.
//!
//! [`open`] sets up the museums of the world, [`House`] gives the commands one after the other, as every agent waits for its answer. What is simulated stays out of
//! data folders: what analysts have to read is found by the node's own lists, made of its journal in a folder that is gone afterwards (`queue`). They read of as many
//! parties a day as are 1% of what is scored in such a world, shared out among the channels as the judge of that world does it.

mod house;
mod queue;

use std::sync::Arc;

use jiff::SignedDuration;
use jiff::civil::{Time, time};
use tornello_actors::clock::ManualClock;
use tornello_actors::failure::Failure;
use tornello_actors::fraud::Sizes;
use tornello_actors::journal::writer::Limits;
use tornello_actors::node::{Node, Running, StartError};
use tornello_datasets::fraud_world::{
    BEGINS_S, DAY_S, Happened, Intent, PARTY_MAX, SALE_OPENS_DAYS, SLOT_S, SLOTS_PER_DAY, SOUGHT_OPENS_DAYS, VENUES, Venue, World, day_of,
};
use tornello_engine::calendar;
use tornello_engine::ids::{MuseumId, RouteId};
use tornello_engine::money::Cents;
use tornello_engine::museum::{Command, Profile};
use tornello_engine::plan::{OpeningPlan, Route, Session};
use tornello_engine::slot::Policy;
use tornello_engine::tariff::{FreeDays, Tariff};
use tornello_engine::text::Text;
use tornello_engine::time::Timestamp;

use crate::demo;
pub use house::{House, Tally};
use tornello_training::fraud_world::{self, Live, Protocol};

/// The one route of each museum.
const ROUTE: RouteId = RouteId(1);
/// When the first slot starts in Rome: 07:00 UTC in summer.
const OPENS: Time = time(9, 0, 0, 0);

/// An hour, in microseconds.
const HOUR_US: i64 = 3_600_000_000;

/// So many intents are played at once: what they say finds room among the tasks of the models, as it does where time passes as it does.
const AT_ONCE: u32 = 40;

/// Why a rehearsal ends early.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// The installation does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A museum of the world is not what the core takes.
    #[error("the museum {number} of the simulated world cannot be taken in: {what}")]
    Museum {
        /// Which.
        number: u16,
        /// What is wrong with it.
        what: String,
    },
    /// What analysts have to read cannot be found out.
    #[error("the lists of the rehearsal cannot be made: {0}")]
    Lists(String),
    /// A command was neither done nor refused.
    #[error("intent {number}: a command was not carried out: {what}")]
    Failed {
        /// Which intent.
        number: u64,
        /// Why.
        what: String,
    },
}

/// Starts an installation in memory, on the day before the world begins, with the museums of the world and the budgets of reviews that follow from the weeks to learn
/// from ([`fraud_world::alerts_per_day`]).
pub async fn open(protocol: Protocol) -> Result<(Running, Arc<ManualClock>), RehearsalError> {
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(BEGINS_S - DAY_S)));
    // The usual budgets are for a region, and would let a small world look at everybody.
    let sizes = Sizes { alerts_per_day: fraud_world::alerts_per_day(protocol), ..Sizes::default() };
    let running = Node::start_in_memory_sized(Arc::clone(&clock) as _, Limits::default(), sizes).await?;
    let node = running.node();
    let today = calendar::local_day(node.now());
    for venue in &VENUES {
        let bad = |what: String| RehearsalError::Museum { number: venue.number, what };
        let mut tariff = Tariff::state_museum(Cents::new(venue.full_cents));
        tariff.free_days = FreeDays::default();
        for command in [
            Command::Register { profile: profile(venue).map_err(bad)? },
            Command::SetPlan { valid_from: today, plan: plan(venue).map_err(bad)? },
            Command::SetTariff { valid_from: today, tariff },
        ] {
            demo::give(node, MuseumId(venue.number), command).await.map_err(|failure: Failure<_>| bad(failure.to_string()))?;
        }
    }
    node.connect(Arc::new(house::Bank));
    Ok((running, clock))
}

/// Plays a world to its end through a node. `progress` hears of each day.
pub async fn play(node: &Arc<Node>, clock: &ManualClock, world: &mut World, mut progress: impl FnMut(i64)) -> Result<(Tally, Live), RehearsalError> {
    let live = Live::new(world.settings());
    let mut house = House::new(node, clock, live).map_err(|what| RehearsalError::Museum { number: 0, what })?;
    let (mut today, mut hour, mut played) = (-1, i64::MIN, 0);
    while let Some(intent) = world.next() {
        played += 1;
        if intent.at_us.div_euclid(HOUR_US) != hour || played >= AT_ONCE {
            (hour, played) = (intent.at_us.div_euclid(HOUR_US), 0);
            // A model takes seconds to be fitted, and what was said in an hour is scored when that is over: here an hour passes in less.
            node.scoring().judge().settled().await;
        }
        if day_of(intent.at_us) != today {
            today = day_of(intent.at_us);
            progress(today);
        }
        let happened: Happened = one(&mut house, &intent).await?;
        world.tell(&intent, happened);
    }
    house.finish().await.map_err(RehearsalError::Lists)
}

async fn one(house: &mut House<'_>, intent: &Intent) -> Result<Happened, RehearsalError> {
    house.play(intent).await.map_err(|what| RehearsalError::Failed { number: intent.number, what })
}

fn profile(venue: &Venue) -> Result<Profile, String> {
    Ok(Profile {
        slug: format!("rehearsal-{}", venue.number).parse().map_err(|_| "its slug".to_owned())?,
        name: format!("Museo simulato {}", venue.number),
        city: "Roma".to_owned(),
        region: "Lazio".to_owned(),
        latitude_microdeg: 41_900_000,
        longitude_microdeg: 12_500_000,
        patron: None,
    })
}

/// Every day the same slots.
fn plan(venue: &Venue) -> Result<OpeningPlan, String> {
    let minutes = SLOT_S / 60;
    let after = |slots: i64| OPENS + SignedDuration::from_mins(minutes.saturating_mul(slots));
    let session = Session {
        opens: OPENS,
        closes: after(SLOTS_PER_DAY),
        slot_minutes: u16::try_from(minutes).map_err(|error| error.to_string())?,
        last_entry: after(SLOTS_PER_DAY - 1),
        capacity: venue.capacity,
        quotas: Default::default(),
    };
    let days = if venue.sought { SOUGHT_OPENS_DAYS } else { SALE_OPENS_DAYS };
    let sale_opens_s = u32::try_from(days * DAY_S).map_err(|error| error.to_string())?;
    let policy = Policy { sale_opens_s, party_max: PARTY_MAX, ..Policy::default() };
    let code = "visita".parse().map_err(|_| "the code of its route".to_owned())?;
    let week = std::array::from_fn(|_| vec![session.clone()]);
    Ok(OpeningPlan { routes: vec![Route { id: ROUTE, code, name: Text::new("Visita", "Visit"), week, exceptions: Vec::new(), policy }] })
}

#[cfg(test)]
mod tests {
    use tornello_datasets::fraud_world::Settings;
    use tornello_training::fraud_world::REVIEW_SHARE;

    use super::*;

    #[test]
    fn some_days_of_the_world_pass_through_the_node_and_its_journal_holds() {
        actix::System::new().block_on(async {
            let settings = Settings { days: 3, buyers_per_day: 60, ..Settings::new(5) };
            let (running, clock) = open(Protocol { settings, learn_days: 1 }).await.unwrap();
            let mut world = World::new(settings);
            let (tally, live) = play(running.node(), &clock, &mut world, |_| {}).await.unwrap();
            let count = |action, outcome| tally.get(&(action, outcome)).copied().unwrap_or(0);
            for (action, outcome) in
                [("hold", "done"), ("pay", "done"), ("buy", "done"), ("enter", "done"), ("open_till", "done"), ("close_till", "done")]
            {
                assert!(count(action, outcome) > 0, "{action} {outcome}: {tally:?}");
            }
            let other: Vec<_> = tally.keys().filter(|(_, outcome)| *outcome == "refused").collect();
            assert!(other.is_empty(), "the node refuses what no agent understands: {other:?}");
            let verified = tornello_actors::verify::verify(running.node().journal().as_ref(), false, |_| {}).await.unwrap();
            assert!(verified.checked.records > count("hold", "done"));
            let report = live.finish(world.truth(), tally.values().sum(), 0);
            let said = &report.approaches[0];
            assert!(said.honest.buyers > 100 && report.scored > 500, "{} buyers, {} scored", said.honest.buyers, report.scored);
            running.stop().await;
        });
    }

    #[test]
    fn a_small_world_is_read_no_more_of_than_a_large_one() {
        actix::System::new().block_on(async {
            let settings = Settings { days: 13, buyers_per_day: 60, ..Settings::new(6) };
            let (running, clock) = open(Protocol { settings, learn_days: 8 }).await.unwrap();
            let mut world = World::new(settings);
            let (tally, live) = play(running.node(), &clock, &mut world, |_| {}).await.unwrap();
            let said = live.finish(world.truth(), tally.values().sum(), 8).approaches.remove(0);
            let (model, rate) = (said.note.clone().unwrap_or_default(), said.review_rate());
            // Lines follow the days before and move by a tenth a day, so a day may bring more than was planned.
            assert!(rate > 0.0 && rate <= 2.0 * REVIEW_SHARE, "{model}: {rate}: {:?}", said.queues);
            running.stop().await;
        });
    }
}
