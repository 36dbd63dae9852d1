//! A day's roster: what the forecast needs at desks, gates and in rooms, hour by hour, with what a manager decided instead. Worked out whenever somebody looks; what
//! was decided stands in the museum's planning and stays whatever a new forecast says.

use jiff::civil::Date;
use tornello_engine::calendar;
use tornello_engine::money::Cents;
use tornello_engine::planning::{self, Place, Policy, Role, Standing};
use tornello_models::occupancy::Stay;
pub use tornello_models::staffing::Driver;
use tornello_models::staffing::{self, Arrivals, Need, Rules};

use crate::attended::balance_of;
use crate::forecaster::{AHEAD_DAYS, DayForecast, minute_of_day};
use crate::museums::Known;
use crate::node::Node;

/// What was decided can be read: decisions reach as far as forecasts do.
const _: () = assert!(planning::AHEAD_DAYS + 1 == AHEAD_DAYS);
/// The length of a line, in minutes.
pub const LINE_MIN: u16 = 60;
const MINUTES_PER_DAY: u16 = 1_440;
/// From the middle of a forecast to the upper end of its 80% band is 1.28 standard deviations; people are planned for the 80th percentile, which is 0.84.
const UPPER: f64 = 0.841_621 / 1.281_552;

/// One role in one hour.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Whom.
    pub role: Role,
    /// From which minute of the day on.
    pub from_min: u16,
    /// Until which.
    pub to_min: u16,
    /// What is proposed, why, and what one less or one more would mean.
    pub proposed: Need,
    /// What stands: what was decided, or else what is proposed; what that means, and what one less or one more would.
    pub stands: Need,
    /// What visitors it is proposed for.
    pub arrivals: Arrivals,
    /// What a manager decided.
    pub decided: Option<Standing>,
    /// What one of them costs for the line's time.
    pub cost: Cents,
}

/// A day's roster.
#[derive(Debug, Clone, PartialEq)]
pub struct Roster {
    /// The day in Rome.
    pub date: Date,
    /// Revision of the policy behind it; 0: the defaults.
    pub revision: u32,
    /// In the order of time, then role. None: it is closed.
    pub lines: Vec<Line>,
}

impl Roster {
    /// What all of it costs.
    #[must_use]
    pub fn cost(&self) -> Cents {
        self.lines.iter().map(|line| line.cost.times(line.stands.people)).sum()
    }
}

/// A policy as the models take it.
#[must_use]
pub fn rules(policy: &Policy) -> Rules {
    let percent = |percent: u8| f64::from(percent) / 100.0;
    Rules {
        desk_share: percent(policy.desk_percent),
        party: f64::from(policy.party_tenths) / 10.0,
        service_s: f64::from(policy.service_s),
        wait_s: f64::from(policy.wait_s),
        late: percent(policy.late_percent),
        gate_per_min: f64::from(policy.gate_per_minute),
        peak_share: percent(policy.peak_percent),
        rooms: u32::from(policy.rooms),
        people_per_guard: u32::from(policy.people_per_guard),
    }
}

/// The roster of a day; none beyond what is forecast.
#[must_use]
pub fn of_day(node: &Node, known: &Known, date: Date) -> Option<Roster> {
    let forecast = node.forecaster().days(node, known, date, 1).into_iter().find(|day| day.date == date)?;
    let planning = node.plans().get(known.museum.id());
    let (revision, policy) = planning.policy_on(date);
    let stay = balance_of(&node.attended().get(known.museum.id())).stay();
    let decided: Vec<(Place, Standing)> = planning.overrides_on(date).map(|(place, standing)| (*place, standing.clone())).collect();
    Some(Roster { date, revision, lines: lines(&forecast, &policy, &stay, &decided) })
}

fn lines(forecast: &DayForecast, policy: &Policy, stay: &Stay, decided: &[(Place, Standing)]) -> Vec<Line> {
    let hours = hours(forecast, stay);
    let (rules, opens_min) = (rules(policy), hours.first().map_or(0, |(from_min, _)| *from_min));
    let mut lines = Vec::new();
    for (from_min, arrivals) in hours {
        let to_min = from_min.saturating_add(arrivals.minutes as u16);
        for proposed in staffing::needs(&rules, &arrivals) {
            let role = match proposed.role {
                staffing::Role::Desk => Role::Desk,
                staffing::Role::Gate => Role::Gate,
                staffing::Role::Guard => Role::Guard,
            };
            let covers = |(place, standing): &&(Place, Standing)| place.role == role && holds(place, standing, from_min, opens_min);
            // None is taken that overlaps another; of two that a journal of before has, the one that begins later is the more exact one.
            let decided = decided.iter().filter(covers).max_by_key(|(place, _)| place.from_min).map(|(_, standing)| standing.clone());
            let with = |standing: &Standing| staffing::with(&rules, &arrivals, proposed.role, u32::from(standing.what.people));
            let stands = decided.as_ref().map_or(proposed, with);
            let hour = policy.hour_cents[role.index()].get();
            let cost = Cents::new(hour.saturating_mul(i64::from(arrivals.minutes)) / 60);
            lines.push(Line { role, from_min, to_min, proposed, stands, arrivals, decided, cost });
        }
    }
    lines
}

/// Whether what was decided for a time of the day holds for the line that begins at a minute. Lines after midnight are of the evening before and have the clock's times as all: what is decided for a
/// time that is over before the day opens is meant for the night after it.
fn holds(place: &Place, standing: &Standing, from_min: u16, opens_min: u16) -> bool {
    let decided = place.from_min..standing.what.to_min;
    let in_the_night = || decided.end <= opens_min && from_min.checked_sub(MINUTES_PER_DAY).is_some_and(|minute| decided.contains(&minute));
    decided.contains(&from_min) || in_the_night()
}

/// Who comes in each hour from the first opening to the last closing, and who is inside then.
fn hours(forecast: &DayForecast, stay: &Stay) -> Vec<(u16, Arrivals)> {
    let open: Vec<_> = forecast.slots.iter().filter(|slot| slot.capacity > 0).collect();
    let (Some(first), Some(last)) = (open.first(), open.iter().map(|slot| slot.end).max()) else { return Vec::new() };
    let start = first.slot.start();
    let length_us = last.micros_since(start).max(0);
    let line_us = i64::from(LINE_MIN) * 60_000_000;
    let count = (length_us + line_us - 1) / line_us;
    let survival = stay.survival();
    let mut upper = Vec::new();
    let mut hours = Vec::new();
    for line in 0..count {
        let (from, to) = (line * line_us, ((line + 1) * line_us).min(length_us));
        let (mut expected, mut low, mut high) = (0.0, 0.0, 0.0);
        for slot in &open {
            let (begins, ends) = (slot.slot.start().micros_since(start), slot.end.micros_since(start));
            let within = (to.min(ends) - from.max(begins)).max(0) as f64 / (ends - begins).max(1) as f64;
            expected += within * slot.mid;
            low += within * slot.band_80.0;
            high += within * slot.band_80.1;
        }
        let planned = expected + UPPER * (high - expected);
        upper.push(planned);
        // Those of each hour came in its middle; whoever still stays is inside at the end of this one.
        let inside = upper.iter().rev().zip(0_usize..).map(|(people, ago)| people * survival.get(ago * 60 + 30).copied().unwrap_or(0.0)).sum();
        let minutes = u32::try_from((to - from) / 60_000_000).unwrap_or(0).max(1);
        let at = start.plus_seconds(from / 1_000_000);
        // What begins after midnight is still of the evening before.
        let from_min = minute_of_day(at) + if calendar::local_day(at) > forecast.date { MINUTES_PER_DAY } else { 0 };
        hours.push((from_min, Arrivals { minutes, expected, low, high: planned, inside }));
    }
    hours
}

/// A driver in words, for whoever reads a roster.
#[must_use]
pub fn in_words(role: Role, driver: &Driver) -> String {
    match (role, driver) {
        (_, Driver::Queue { parties_per_hour, late, mean_wait_s }) => {
            let wait = mean_wait_s.map_or_else(|| "the line grows".to_owned(), |wait| format!("{wait:.0} s on average"));
            format!("{parties_per_hour:.0} parties an hour; {:.1}% wait too long; {wait}", late * 100.0)
        }
        (_, Driver::Peak { people, busy }) => {
            let gates = busy.map_or_else(|| "there is no gate".to_owned(), |busy| format!("gates busy {:.0}% of it", busy * 100.0));
            format!("{people:.0} people in the busiest quarter of an hour; {gates}")
        }
        (_, Driver::Watch { rooms, people }) => format!("{rooms} rooms and {people:.0} people inside"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecaster::{SlotForecast, Source};
    use jiff::civil::date;
    use tornello_engine::ids::{MuseumId, RouteId, SlotId};
    use tornello_engine::planning::Override;
    use tornello_engine::time::Timestamp;
    use tornello_models::outlook::Outlook;

    /// Slots of an hour from one hour to another, with so many visitors each.
    fn day(on: Date, hours: std::ops::Range<i8>, people: f64) -> DayForecast {
        let slot = |hour: i8| {
            let start = calendar::instant(on.at(hour, 0, 0, 0));
            let slot = SlotId::new(MuseumId(1), RouteId(1), start);
            let (band_80, band_95) = ((people * 0.8, people * 1.2), (people * 0.7, people * 1.4));
            SlotForecast { mid: people, band_80, band_95, ..SlotForecast::blank(slot, start.plus_seconds(3_600), 0, 500) }
        };
        let slots: Vec<SlotForecast> = hours.map(slot).collect();
        DayForecast {
            date: on,
            outlook: Outlook { mid: people * slots.len() as f64, ..Outlook::CLOSED },
            source: Source::LastWeeks,
            booked: 0,
            capacity: 5_000,
            school_break: None,
            slots,
        }
    }

    #[test]
    fn every_hour_has_its_lines_and_what_was_decided_stands() {
        let on = date(2026, 6, 10);
        let place = Place { date: on, from_min: 600, role: Role::Desk };
        let what = Override { to_min: 720, people: 9, note: "school visit".to_owned() };
        let standing = Standing { what, who: None, at: Timestamp::from_seconds(0) };
        let of = |people| lines(&day(on, 9..18, people), &Policy::default(), &Stay::default(), &[(place, standing.clone())]);
        let lines = of(120.0);
        assert_eq!(lines.len(), 27);
        let desks: Vec<u32> = lines.iter().filter(|line| line.role == Role::Desk).map(|line| line.stands.people).collect();
        assert_eq!((desks[0] > 0, desks[1], desks[2], desks[3] == desks[0]), (true, 9, 9, true), "{desks:?}");
        assert!(lines.iter().all(|line| line.to_min - line.from_min == 60 && line.cost.get() > 0));
        let busier = of(400.0);
        assert_eq!(busier.iter().filter(|line| line.role == Role::Desk).map(|line| line.stands.people).nth(1), Some(9), "whatever the forecast says");
        assert!(busier[0].stands.people > lines[0].stands.people);
        // What is told of a line is told of what stands, not of what would have been proposed.
        assert_eq!((lines[0].role, lines[0].from_min, lines[0].stands), (Role::Desk, 540, lines[0].proposed));
        let wait = |need: &Need| if let Driver::Queue { late, .. } = need.driver { late } else { panic!("{need:?}") };
        let line = lines.iter().find(|line| (line.role, line.from_min) == (Role::Desk, 600)).unwrap();
        assert!(line.proposed.people < 9 && wait(&line.stands) < wait(&line.proposed), "{line:?}");
        assert_eq!(line.stands, staffing::with(&rules(&Policy::default()), &line.arrivals, staffing::Role::Desk, 9));
    }

    /// A museum that is open until one on a summer's night: its last line reads `00:00`, and that is where a manager decides.
    #[test]
    fn what_is_decided_for_the_hour_after_midnight_stands_in_the_night_of_its_day() {
        let on = date(2026, 6, 10);
        let decided = |from_min, to_min| {
            let standing = Standing { what: Override { to_min, people: 9, note: String::new() }, who: None, at: Timestamp::from_seconds(0) };
            (Place { date: on, from_min, role: Role::Gate }, standing)
        };
        let nine = |hours: std::ops::Range<i8>, decided: &[(Place, Standing)]| -> Vec<u16> {
            let mut night = day(on, hours, 120.0);
            night.slots.last_mut().unwrap().end = calendar::instant(date(2026, 6, 11).at(1, 0, 0, 0));
            let lines = lines(&night, &Policy::default(), &Stay::default(), decided);
            lines.iter().filter(|line| line.role == Role::Gate && line.stands.people == 9).map(|line| line.from_min).collect()
        };
        assert_eq!(nine(20..24, &[decided(0, 60)]), [1_440]);
        assert_eq!(nine(20..24, &[decided(1_380, 1_440)]), [1_380], "24:00 is the end of the day");
        assert_eq!(nine(20..24, &[decided(0, 60), decided(1_320, 1_440)]), [1_320, 1_380, 1_440]);
        // What reaches into the day is of the day.
        assert_eq!(nine(0..24, &[decided(0, 60)]), [0]);
        assert_eq!(nine(9..24, &[decided(0, 600)]), [540]);
    }

    #[test]
    fn nights_in_which_clocks_change_have_an_hour_less_or_more() {
        for (on, expected) in [(date(2026, 3, 29), 3), (date(2026, 10, 25), 5), (date(2026, 6, 10), 4)] {
            let mut night = day(on, 1..2, 50.0);
            night.slots[0].end = calendar::instant(on.at(5, 0, 0, 0));
            assert_eq!(hours(&night, &Stay::default()).len(), expected, "{on}");
        }
        assert!(hours(&day(date(2026, 6, 10), 9..9, 50.0), &Stay::default()).is_empty());
        let mut evening = day(date(2026, 6, 10), 22..23, 50.0);
        evening.slots[0].end = calendar::instant(date(2026, 6, 11).at(1, 0, 0, 0));
        assert_eq!(hours(&evening, &Stay::default()).iter().map(|(from, _)| *from).collect::<Vec<_>>(), [1_320, 1_380, 1_440]);
    }
}
