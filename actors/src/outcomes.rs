//! What-ifs over the days of a museum: its forecast as it is and as it would be under other capacity, hours, prices or desks, through the same models.

use jiff::civil::Date;
use tornello_engine::calendar;
use tornello_engine::planning::Policy;
use tornello_engine::tariff::{Kind, Tariff};
use tornello_models::what_if::{self, Desks, Slot};
pub use tornello_models::what_if::{Assumptions, Change, Outcome};

use crate::forecaster::{DayForecast, SlotForecast, minute_of_day};
use crate::museums::Known;
use crate::node::Node;
use crate::roster;

/// Share of those who find a slot full that take the one beside it: an assumption.
const SHIFTS: f64 = 0.5;
/// By how many percent a day's visitors grow with one percent more hours: an assumption.
const HOURS_ELASTICITY: f64 = 0.25;
/// A price below this share of today's moves visitors as this one does: an assumption, as an elasticity says nothing of no price at all.
const PRICE_LEAST: f64 = 0.01;
/// Share of visitors who pay, and of these the share that pays in full: about what state museums report, an assumption where nothing is known.
const PAYING: f64 = 0.65;
const IN_FULL: f64 = 0.85;
/// Half of the 80% band is 1.28 standard deviations.
const Z_80: f64 = 1.281_552;
const MINUTES_PER_DAY: u32 = 1_440;

/// A question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Question {
    /// What is changed.
    pub change: Change,
    /// Desks that are open all day; none: as many as the roster has in its busiest hour.
    pub desks: Option<u32>,
    /// Thousandths of visitors that a thousandth of price brings, below zero; none: as the policy says.
    pub price_elasticity_permille: Option<i16>,
}

/// A day as it is forecast and as it would be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    /// The day in Rome.
    pub date: Date,
    /// As it is.
    pub as_is: Outcome,
    /// As it would be.
    pub changed: Outcome,
    /// Desks as it is.
    pub desks_as_is: u32,
    /// Desks as it would be.
    pub desks_changed: u32,
}

/// What was assumed for some question.
#[must_use]
pub fn assumptions(policy: &Policy, question: &Question) -> Assumptions {
    let permille = question.price_elasticity_permille.unwrap_or(policy.price_elasticity_permille);
    Assumptions {
        price_elasticity: f64::from(permille) / 1_000.0,
        price_least: PRICE_LEAST,
        shifts: SHIFTS,
        hours_elasticity: HOURS_ELASTICITY,
        paying: PAYING,
    }
}

/// Days as they are forecast and as they would be.
#[must_use]
pub fn compare(node: &Node, known: &Known, from: Date, days: i32, question: &Question) -> Vec<Compared> {
    let planning = node.plans().get(known.museum.id());
    let compare = |day: DayForecast| {
        let policy = planning.policy_on(day.date).1;
        let assumed = assumptions(&policy, question);
        let busiest = roster::of_day(node, known, day.date).map_or(0, |roster| {
            let desks = roster.lines.iter().filter(|line| line.role == tornello_engine::planning::Role::Desk);
            desks.map(|line| line.stands.people).max().unwrap_or(0)
        });
        let rules = roster::rules(&policy);
        let desks =
            |open| Desks { open, share: rules.desk_share, party: rules.party, service_s: rules.service_s, price_cents: price(known, day.date) };
        let slots: Vec<Slot> = unlimited(&day);
        let desks_changed = question.desks.unwrap_or(busiest);
        Compared {
            date: day.date,
            as_is: what_if::outcome(&slots, &Change::NONE, &assumed, &desks(busiest)),
            changed: what_if::outcome(&slots, &question.change, &assumed, &desks(desks_changed)),
            desks_as_is: busiest,
            desks_changed,
        }
    };
    node.forecaster().days(node, known, from, days).into_iter().map(compare).collect()
}

/// The slots of a day, each of its route, with the demand that is forecast.
fn unlimited(day: &DayForecast) -> Vec<Slot> {
    let slot = |slot: &SlotForecast| {
        // What begins after midnight is still of the evening before.
        let night = if calendar::local_day(slot.slot.start()) > day.date { MINUTES_PER_DAY } else { 0 };
        Slot {
            route: u32::from(slot.slot.route().0),
            begins_min: u32::from(minute_of_day(slot.slot.start())) + night,
            minutes: u32::try_from(slot.end.micros_since(slot.slot.start()) / 60_000_000).unwrap_or(60).max(1),
            demand: slot.mid,
            sd: (slot.band_80.1 - slot.band_80.0).max(0.0) / (2.0 * Z_80),
            capacity: f64::from(slot.capacity),
        }
    };
    day.slots.iter().filter(|slot| slot.capacity > 0).map(slot).collect()
}

/// What a paying visitor pays on average on a day, in cents: nothing on a free one.
fn price(known: &Known, date: Date) -> i64 {
    let Some((_, tariff)) = known.museum.tariff_on(date) else { return 0 };
    if tariff.free_days.on(date).is_some() {
        return 0;
    }
    let dearest =
        |tariff: &Tariff, kind: Kind| tariff.categories.iter().filter(|category| category.kind == kind).map(|category| category.price.get()).max();
    let full = dearest(tariff, Kind::Full).unwrap_or(0);
    let reduced = dearest(tariff, Kind::Reduced).unwrap_or(full);
    (IN_FULL * full as f64 + (1.0 - IN_FULL) * reduced as f64).round() as i64
}
