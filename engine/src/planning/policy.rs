//! How a museum plans its days: how fast its desks and gates are, what its guards watch, what an hour of work costs, what it allows itself, and the spans of dates
//! that its visitors follow. Nothing here is measured; every figure is the museum's own, and the defaults are stated assumptions.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::money::Cents;
use crate::text::is_line;

/// The most spans of one kind.
pub const SPANS_MAX: usize = 100;
/// The highest wage of an hour: 500 euros.
pub const WAGE_MAX: Cents = Cents::new(50_000);

/// How a museum plans.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Share of visitors who buy at a desk, in percent.
    pub desk_percent: u8,
    /// People in a party that buys there, in tenths.
    pub party_tenths: u16,
    /// How long a desk serves one party, in seconds.
    pub service_s: u16,
    /// A party shall not wait longer at a desk, in seconds.
    pub wait_s: u16,
    /// Except such a share of parties, in percent.
    pub late_percent: u8,
    /// People whom one gate lets in in a minute.
    pub gate_per_minute: u16,
    /// Share of a slot's visitors who come in its busiest quarter of an hour, in percent.
    pub peak_percent: u8,
    /// Rooms that are watched whoever is there.
    pub rooms: u16,
    /// One more guard for so many people inside; 0: none.
    pub people_per_guard: u16,
    /// What an hour of work costs, role by role in the order of [`super::Role::ALL`].
    pub hour_cents: [Cents; 3],
    /// Share of those who enter that pass a gate, in percent, if the museum knows it: counters of entries are then held against the gates.
    pub gated_percent: Option<u8>,
    /// Percent of visitors that ten percent of price cost, in tenths of percent, below zero: an assumption for what-ifs, learned from nothing.
    pub price_elasticity_permille: i16,
    /// The greatest probability, in thousandths, that anybody with a ticket is turned away from a slot that was sold beyond its places; 0: never sold beyond.
    pub turn_away_permille: u16,
    /// When schools are closed here.
    pub school_breaks: Vec<Span>,
    /// Exhibitions and other occasions that draw visitors.
    pub exhibitions: Vec<Exhibition>,
    /// Whether slots are sold beyond their places by itself, as far as `turn_away_permille` allows. Whoever sets it states that the places of a slot are a matter
    /// of comfort here, and not of fire safety; the most people in the building are its ceiling, which always holds.
    pub sell_beyond_places: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            desk_percent: 40,
            party_tenths: 22,
            service_s: 75,
            wait_s: 300,
            late_percent: 10,
            gate_per_minute: 8,
            peak_percent: 35,
            rooms: 4,
            people_per_guard: 80,
            hour_cents: [Cents::new(2_000), Cents::new(1_800), Cents::new(1_800)],
            gated_percent: None,
            price_elasticity_permille: -300,
            turn_away_permille: 0,
            school_breaks: Vec::new(),
            exhibitions: Vec::new(),
            sell_beyond_places: false,
        }
    }
}

/// Some days in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// The first day.
    pub from: Date,
    /// The last day.
    pub to: Date,
}

impl Span {
    /// Whether a day is one of them.
    #[must_use]
    pub fn holds(&self, date: Date) -> bool {
        (self.from..=self.to).contains(&date)
    }
}

/// An occasion that draws visitors.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exhibition {
    /// The first day.
    pub from: Date,
    /// The last day.
    pub to: Date,
    /// What it is called.
    pub name: String,
}

/// What is wrong with a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum PolicyError {
    /// A share that is none.
    #[error("let shares be 0 to 100 percent, and that of the busiest quarter at least 1")]
    Shares,
    /// Desks that cannot be.
    #[error("let a party be 0.1 to 100 people, its service 1 to 3600 seconds and its wait 0 to 7200")]
    Desks,
    /// Gates that cannot be.
    #[error("let a gate let in 1 to 200 people in a minute")]
    Gates,
    /// Guards that cannot be.
    #[error("let there be at most 1000 rooms to watch")]
    Guards,
    /// A wage that cannot be.
    #[error("let an hour of work cost 0.00 to 500.00 euros")]
    Wages,
    /// A price that draws people, or drives all away.
    #[error("let the elasticity of price be -3000 to 0 thousandths")]
    Elasticity,
    /// A risk that no museum takes.
    #[error("let the risk of turning anybody away be at most 50 thousandths")]
    TurnAway,
    /// Spans that end before they begin, or too many.
    #[error("let spans end on their first day at the earliest, and have at most 100 of a kind, exhibitions with a name of 1 to 200 characters")]
    Spans,
}

impl Policy {
    /// Whether slots are sold beyond their places by itself: the museum allows both that and a risk.
    #[must_use]
    pub const fn sells_beyond(&self) -> bool {
        self.sell_beyond_places && self.turn_away_permille > 0
    }

    /// Whether it can be used; the first error found is told.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let shares = [self.desk_percent, self.late_percent, self.peak_percent, self.gated_percent.unwrap_or(100)];
        if shares.iter().any(|share| *share > 100) || self.peak_percent == 0 {
            return Err(PolicyError::Shares);
        }
        if !(1..=1_000).contains(&self.party_tenths) || !(1..=3_600).contains(&self.service_s) || self.wait_s > 7_200 {
            return Err(PolicyError::Desks);
        }
        if !(1..=200).contains(&self.gate_per_minute) {
            return Err(PolicyError::Gates);
        }
        if self.rooms > 1_000 {
            return Err(PolicyError::Guards);
        }
        if self.hour_cents.iter().any(|wage| !(Cents::ZERO..=WAGE_MAX).contains(wage)) {
            return Err(PolicyError::Wages);
        }
        if !(-3_000..=0).contains(&self.price_elasticity_permille) {
            return Err(PolicyError::Elasticity);
        }
        if self.turn_away_permille > 50 {
            return Err(PolicyError::TurnAway);
        }
        let breaks = self.school_breaks.len() <= SPANS_MAX && self.school_breaks.iter().all(|span| span.from <= span.to);
        let shows = self.exhibitions.len() <= SPANS_MAX && self.exhibitions.iter().all(|show| show.from <= show.to && is_line(&show.name));
        if breaks && shows { Ok(()) } else { Err(PolicyError::Spans) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn what_is_wrong_with_a_policy_is_told() {
        type Change = fn(&mut Policy);
        let show = |from, to, name: &str| Exhibition { from, to, name: name.to_owned() };
        let cases: [(Change, PolicyError); 16] = [
            (|p| p.desk_percent = 101, PolicyError::Shares),
            (|p| p.peak_percent = 0, PolicyError::Shares),
            (|p| p.gated_percent = Some(101), PolicyError::Shares),
            (|p| p.party_tenths = 0, PolicyError::Desks),
            (|p| p.service_s = 0, PolicyError::Desks),
            (|p| p.wait_s = 7_201, PolicyError::Desks),
            (|p| p.gate_per_minute = 0, PolicyError::Gates),
            (|p| p.rooms = 1_001, PolicyError::Guards),
            (|p| p.hour_cents[2] = Cents::new(-1), PolicyError::Wages),
            (|p| p.hour_cents[0] = Cents::new(50_001), PolicyError::Wages),
            (|p| p.price_elasticity_permille = 1, PolicyError::Elasticity),
            (|p| p.turn_away_permille = 51, PolicyError::TurnAway),
            (|p| p.school_breaks[0].to = date(2026, 1, 1), PolicyError::Spans),
            (|p| p.exhibitions[0].name.clear(), PolicyError::Spans),
            (|p| p.exhibitions[0].to = date(2026, 1, 1), PolicyError::Spans),
            (|p| p.exhibitions = vec![p.exhibitions[0].clone(); 101], PolicyError::Spans),
        ];
        let (from, to) = (date(2026, 12, 24), date(2027, 1, 6));
        let sound = Policy { school_breaks: vec![Span { from, to }], exhibitions: vec![show(from, to, "Bronzi")], ..Policy::default() };
        assert_eq!((sound.validate(), Policy::default().validate()), (Ok(()), Ok(())));
        let beyond = |sell_beyond_places, turn_away_permille| Policy { sell_beyond_places, turn_away_permille, ..Policy::default() }.sells_beyond();
        assert_eq!([beyond(false, 0), beyond(true, 0), beyond(false, 5), beyond(true, 5)], [false, false, false, true]);
        for (change, expected) in cases {
            let mut policy = sound.clone();
            change(&mut policy);
            assert_eq!(policy.validate(), Err(expected), "{expected}");
        }
    }
}
