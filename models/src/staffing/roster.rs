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

/// How a museum works.
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
    /// The 80% band of that.
    pub low: f64,
    /// See `low`; people are planned for this many.
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
        /// How much of the time the gates are busy then, 1: always.
        busy: f64,
    },
    /// Rooms, and people in them.
    Watch {
        /// Rooms.
        rooms: u32,
        /// People inside.
        people: f64,
    },
}

/// How many of a role a span of time needs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Need {
    /// The role.
    pub role: Role,
    /// How many.
    pub people: u32,
    /// Because of that.
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
    [desks(rules, arrivals), gates(rules, arrivals), guards(rules, arrivals)]
}

fn need(role: Role, people: u32, least: u32, at: impl Fn(u32) -> Driver) -> Need {
    Need { role, people, driver: at(people), one_less: (people > least).then(|| at(people - 1)), one_more: at(people + 1) }
}

fn desks(rules: &Rules, arrivals: &Arrivals) -> Need {
    let per_hour = arrivals.high * rules.desk_share / rules.party.max(1.0) * 60.0 / f64::from(arrivals.minutes.max(1));
    let line = Line { arrivals_per_hour: per_hour.max(0.0), service_s: rules.service_s };
    let at = |desks| Driver::Queue {
        parties_per_hour: line.arrivals_per_hour,
        late: line.waits_longer(desks, rules.wait_s),
        mean_wait_s: line.mean_wait_s(desks),
    };
    need(Role::Desk, line.desks(rules.wait_s, rules.late), 0, at)
}

fn gates(rules: &Rules, arrivals: &Arrivals) -> Need {
    // A span shorter than a quarter of an hour has all its people in it.
    let share = if arrivals.minutes <= 15 { 1.0 } else { rules.peak_share.max(15.0 / f64::from(arrivals.minutes)).min(1.0) };
    let people = (arrivals.high * share).max(0.0);
    let through = (rules.gate_per_min * 15.0).max(1e-9);
    let at = |gates: u32| Driver::Peak { people, busy: if gates == 0 { 1.0 } else { people / (through * f64::from(gates)) } };
    need(Role::Gate, (people / (through * GATE_LOAD)).ceil().min(f64::from(u16::MAX)) as u32, 1, at)
}

fn guards(rules: &Rules, arrivals: &Arrivals) -> Need {
    let more = if rules.people_per_guard == 0 { 0 } else { (arrivals.inside.max(0.0) / f64::from(rules.people_per_guard)).floor() as u32 };
    let at = |_| Driver::Watch { rooms: rules.rooms, people: arrivals.inside };
    need(Role::Guard, rules.rooms.saturating_add(more), rules.rooms, at)
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
        assert!((people - 168.0).abs() < 1e-9 && (busy - 0.7).abs() < 1e-9);
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
