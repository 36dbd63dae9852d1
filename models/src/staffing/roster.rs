//! Lines of a day's roster from its forecast: for each span of time and each role how many, because of what, and what one less or one more would mean.

use serde::{Deserialize, Serialize};

use super::queue::Line;

/// Gates are planned to be busy at most so much of the time: people do not come evenly.
const GATE_LOAD: f64 = 0.85;

/// What somebody does at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sells tickets.
    Desk,
    /// Lets people in.
    Gate,
    /// Watches rooms.
    Guard,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Desk, Self::Gate, Self::Guard];

    /// The name in files and addresses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Desk => "desk",
            Self::Gate => "gate",
            Self::Guard => "guard",
        }
    }
}

/// How a museum works. Shares are from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// Share of visitors who buy at a desk.
    pub desk_share: f64,
    /// People in a party that buys.
    pub party: f64,
    /// How long a desk serves one party, in seconds.
    pub service_s: f64,
    /// A party shall not wait longer, in seconds.
    pub wait_s: f64,
    /// Except such a share of parties.
    pub late: f64,
    /// People whom one gate lets in in a minute.
    pub gate_per_min: f64,
    /// Share of a slot's visitors who come in its busiest quarter of an hour.
    pub peak_share: f64,
    /// Rooms that are watched whoever is there.
    pub rooms: u32,
    /// One more guard for so many people inside; 0: none.
    pub people_per_guard: u32,
}

/// Visitors of one span of time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Arrivals {
    /// Its length in minutes.
    pub minutes: u32,
    /// How many are expected to come.
    pub expected: f64,
    /// The lower end of the 80% band of that, in people.
    pub low: f64,
    /// Its upper end; people are planned for this many.
    pub high: f64,
    /// The most people inside at once in that time, at the upper end.
    pub inside: f64,
}

/// What a line rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Driver {
    /// Parties at the desks.
    Queue {
        /// Parties in an hour.
        parties_per_hour: f64,
        /// Share of them that waits longer than it should.
        late: f64,
        /// The mean wait in seconds; none: the line grows.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        mean_wait_s: Option<f64>,
    },
    /// People at the gates.
    Peak {
        /// How many in the busiest quarter of an hour.
        people: f64,
        /// How much of the time the gates are busy then, 1: always, above: they cannot keep up; none: there is no gate.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        busy: Option<f64>,
    },
    /// Rooms, and people in them.
    Watch {
        /// Rooms.
        rooms: u32,
        /// People inside.
        people: f64,
    },
}

/// So many of a role in a span of time: those that it needs, or others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Need {
    /// The role.
    pub role: Role,
    /// How many.
    pub people: u32,
    /// Because of that, or with that as a result.
    pub driver: Driver,
    /// What it would be with one less; none if there is nobody to spare.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub one_less: Option<Driver>,
    /// What it would be with one more.
    pub one_more: Driver,
}

/// What a span of time needs, role by role. Nobody comes: nobody is needed, but those who watch the rooms while it is open.
#[must_use]
pub fn needs(rules: &Rules, arrivals: &Arrivals) -> [Need; 3] {
    Role::ALL.map(|role| with(rules, arrivals, role, proposed(rules, arrivals, role)))
}

/// What it is like in a span of time with so many of a role, whatever it needs.
#[must_use]
pub fn with(rules: &Rules, arrivals: &Arrivals, role: Role, people: u32) -> Need {
    let least = match role {
        Role::Desk => 0,
        Role::Gate => 1,
        Role::Guard => rules.rooms,
    };
    let at = |people| driver(rules, arrivals, role, people);
    Need { role, people, driver: at(people), one_less: (people > least).then(|| at(people - 1)), one_more: at(people.saturating_add(1)) }
}

fn proposed(rules: &Rules, arrivals: &Arrivals, role: Role) -> u32 {
    match role {
        Role::Desk => line(rules, arrivals).desks(rules.wait_s, rules.late),
        Role::Gate => (peak(rules, arrivals) / (through(rules) * GATE_LOAD)).ceil().min(f64::from(u16::MAX)) as u32,
        Role::Guard => {
            let more = if rules.people_per_guard == 0 { 0 } else { (arrivals.inside.max(0.0) / f64::from(rules.people_per_guard)).floor() as u32 };
            rules.rooms.saturating_add(more)
        }
    }
}

fn driver(rules: &Rules, arrivals: &Arrivals, role: Role, people: u32) -> Driver {
    match role {
        Role::Desk => {
            let line = line(rules, arrivals);
            Driver::Queue {
                parties_per_hour: line.arrivals_per_hour,
                late: line.waits_longer(people, rules.wait_s),
                mean_wait_s: line.mean_wait_s(people),
            }
        }
        Role::Gate => {
            let come = peak(rules, arrivals);
            let busy = if come > 0.0 { (people > 0).then(|| come / (through(rules) * f64::from(people))) } else { Some(0.0) };
            Driver::Peak { people: come, busy }
        }
        Role::Guard => Driver::Watch { rooms: rules.rooms, people: arrivals.inside },
    }
}

/// Parties at the desks.
fn line(rules: &Rules, arrivals: &Arrivals) -> Line {
    let per_hour = arrivals.high * rules.desk_share / rules.party.max(1.0) * 60.0 / f64::from(arrivals.minutes.max(1));
    Line { arrivals_per_hour: per_hour.max(0.0), service_s: rules.service_s }
}

/// People in the busiest quarter of an hour. A span shorter than that has all its people in it.
fn peak(rules: &Rules, arrivals: &Arrivals) -> f64 {
    let share = if arrivals.minutes <= 15 { 1.0 } else { rules.peak_share.max(15.0 / f64::from(arrivals.minutes)).min(1.0) };
    (arrivals.high * share).max(0.0)
}

/// People whom one gate lets in in a quarter of an hour.
fn through(rules: &Rules) -> f64 {
    (rules.gate_per_min * 15.0).max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        desk_share: 0.5,
        party: 2.0,
        service_s: 90.0,
        wait_s: 300.0,
        late: 0.1,
        gate_per_min: 8.0,
        peak_share: 0.35,
        rooms: 6,
        people_per_guard: 100,
    };

    fn arrivals(high: f64, inside: f64) -> Arrivals {
        Arrivals { minutes: 60, expected: high * 0.9, low: high * 0.8, high, inside }
    }

    #[test]
    fn each_role_follows_its_own_figure() {
        let [desk, gate, guard] = needs(&RULES, &arrivals(480.0, 350.0));
        assert_eq!((desk.people, gate.people, guard.people), (4, 2, 9));
        let Driver::Queue { parties_per_hour, late, .. } = desk.driver else { panic!("{desk:?}") };
        assert!(parties_per_hour == 120.0 && late <= 0.1);
        let (Some(Driver::Queue { late: less, .. }), Driver::Queue { late: more, .. }) = (desk.one_less, desk.one_more) else { panic!("{desk:?}") };
        assert!(less > 0.1 && more < late);
        let Driver::Peak { people, busy } = gate.driver else { panic!("{gate:?}") };
        assert!((people - 168.0).abs() < 1e-9 && (busy.unwrap() - 0.7).abs() < 1e-9);
    }

    #[test]
    fn with_others_than_proposed_it_is_as_with_these() {
        let of = |role, people| with(&RULES, &arrivals(480.0, 350.0), role, people);
        let [desk, gate, guard] = needs(&RULES, &arrivals(480.0, 350.0));
        for need in [desk, gate, guard] {
            assert_eq!(of(need.role, need.people), need);
        }
        // Three erlang at one desk: the line grows, and one more does not help.
        let one = of(Role::Desk, 1);
        let grows = Driver::Queue { parties_per_hour: 120.0, late: 1.0, mean_wait_s: None };
        assert_eq!((one.people, one.driver, one.one_less, one.one_more), (1, grows, Some(grows), grows));
        assert_eq!(of(Role::Desk, 5).one_less, Some(desk.driver));
        assert_eq!(of(Role::Desk, 3).one_more, desk.driver);
        let busy = |need: Need| if let Driver::Peak { busy, .. } = need.driver { busy } else { panic!("{need:?}") };
        assert!((busy(of(Role::Gate, 1)).unwrap() - 1.4).abs() < 1e-9 && busy(of(Role::Gate, 0)).is_none());
        assert_eq!(busy(with(&RULES, &arrivals(0.0, 0.0), Role::Gate, 0)), Some(0.0), "nobody comes");
        assert!(of(Role::Guard, 7).one_less.is_some() && of(Role::Guard, 6).one_less.is_none() && of(Role::Guard, 0).one_less.is_none());
    }

    #[test]
    fn where_nobody_comes_only_the_rooms_are_watched() {
        let needed = needs(&RULES, &arrivals(0.0, 0.0));
        assert_eq!(needed.map(|need| need.people), [0, 0, 6]);
        assert!(needed.iter().all(|need| need.one_less.is_none()));
        let short = needs(&RULES, &Arrivals { minutes: 10, ..arrivals(102.0, 0.0) });
        assert_eq!(short[1].people, 1, "all come within the quarter");
        let endless = needs(&RULES, &arrivals(1e15, 0.0));
        assert_eq!(endless[1].people, u32::from(u16::MAX));
    }
}
