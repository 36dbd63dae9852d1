//! What a museum asks of groups: sizes, escorts, fees, extras, deadlines. A version holds for visits from a day on, beside plan and tariff in the museum's stream.
//!
//! The rules are those seen at real sites: a fee of 1 euro a person except the first 150 of a day, or of 10 euros a group; an audio system above so many people
//! with one in ten free; one free escort for so many; a form signed within so many working days; payment so many working days before the visit.

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::ids::Code;
use crate::money::Cents;
use crate::tariff::{FEE_MAX, Proof};
use crate::text::Text;

/// The largest group that a policy may allow, before it is split.
pub const PEOPLE_MAX: u16 = 2_000;
/// The most mandatory extras of a policy.
pub const EXTRAS_MAX: usize = 8;
/// The longest deadline that a policy may set, in days.
pub const DAYS_MAX: u16 = 365;

/// A museum's rules for groups.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupPolicy {
    /// The fewest people of a group, escorts excepted.
    pub group_min: u16,
    /// The most people who go round together: a larger group is split.
    pub group_max: u16,
    /// Whether escorts count for that.
    #[serde(default)]
    pub max_includes_escorts: bool,
    /// What holds for schools.
    pub school: Terms,
    /// What holds for all others.
    pub other: Terms,
    /// What every group of some size has to take.
    #[serde(default)]
    pub extras: Vec<MandatoryExtra>,
    /// Within how many working days of its sending the form must come back signed; the last one counts wholly.
    pub signature_days: u16,
    /// How many working days lie between the last day to pay and the day of the visit, neither of which counts.
    pub payment_working_days: u16,
    /// How many days before a deadline the group is reminded; 0: never.
    #[serde(default)]
    pub reminder_days: u16,
    /// Whether a booking holds only when the office has confirmed what was accepted.
    #[serde(default)]
    pub confirmation: bool,
    /// Which kinds of group may pay at the desk, on the day itself or before.
    #[serde(default)]
    pub desk_for: Vec<Kind>,
}

/// What differs between schools and others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Which escorts come in free, beside those whom the tariff lets in free anyway; none: no rule.
    #[serde(default)]
    pub escorts: Option<Escorts>,
    /// What the booking costs.
    #[serde(default)]
    pub fee: Fee,
}

/// Escorts who come in free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escorts {
    /// One for so many people of the group, begun ones included: with 15, sixteen people have two.
    pub one_per: u16,
    /// The category on their tickets: one of the tariff that no member of the group is in.
    pub category: Code,
    /// What they show at the gate.
    #[serde(default)]
    pub proof: Proof,
}

impl Escorts {
    /// How many are free for so many people.
    #[must_use]
    pub fn free_for(&self, people: u32) -> u32 {
        people.div_ceil(u32::from(self.one_per.max(1)))
    }
}

/// What a booking costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fee {
    /// Counted by what.
    #[serde(default)]
    pub per: FeePer,
    /// How much for each.
    #[serde(default)]
    pub amount: Cents,
    /// How many of a day's visitors (or groups) pay nothing, in the order in which they asked.
    #[serde(default)]
    pub free_a_day: u32,
}

/// By what a fee is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeePer {
    /// By people, escorts excepted.
    #[default]
    Person,
    /// By groups as they go round: a group that is split pays for each part.
    Group,
}

/// Something that groups of some size have to take, as a silent audio system.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MandatoryExtra {
    /// Its short name.
    pub code: Code,
    /// Its name for visitors.
    pub name: Text,
    /// What one costs; there is one for each person, escorts included.
    pub price: Cents,
    /// Groups of more people than this, escorts included, have to take it.
    pub above: u16,
    /// One of so many costs nothing; 0: none does.
    #[serde(default)]
    pub free_one_in: u16,
}

/// What is wrong with a policy for groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum PolicyError {
    /// Sizes that cannot be.
    #[error("let a group be of 1 to 2000 people, and the fewest not be above the most")]
    Sizes,
    /// A rule of escorts that cannot be.
    #[error("let there be one free escort for 1 to 2000 people")]
    Escorts,
    /// A fee that cannot be.
    #[error("let the booking fee be 0.00 to 50.00 euros for each")]
    Fee,
    /// Too many extras, or one that cannot be.
    #[error("have at most 8 mandatory extras, each with its own code, a name in each language and a price of 0.00 to 50.00 euros")]
    Extras,
    /// Deadlines that cannot be.
    #[error("let the form come back within 1 to 365 working days, and payment and reminders be at most 365 days before")]
    Deadlines,
}

impl Default for GroupPolicy {
    /// Sensible values for a state museum; each site sets its own. Schools come in free with their teachers by the national tariff, so no fee and no escort rule
    /// but that: one teacher for fifteen pupils.
    fn default() -> Self {
        let school_escort = "school-escort".parse().ok();
        Self {
            group_min: 10,
            group_max: 25,
            max_includes_escorts: false,
            school: Terms { escorts: school_escort.map(|category| Escorts { one_per: 15, category, proof: Proof::SchoolList }), fee: Fee::default() },
            other: Terms { escorts: None, fee: Fee::default() },
            extras: Vec::new(),
            signature_days: 10,
            payment_working_days: 3,
            reminder_days: 3,
            confirmation: false,
            desk_for: Vec::new(),
        }
    }
}

impl GroupPolicy {
    /// What holds for a kind of group.
    #[must_use]
    pub const fn terms(&self, kind: Kind) -> &Terms {
        match kind {
            Kind::School => &self.school,
            Kind::TourOperator | Kind::Company | Kind::Association | Kind::Other => &self.other,
        }
    }

    /// Whether the policy can be used; the first error found is told.
    pub fn validate(&self) -> Result<(), PolicyError> {
        if self.group_min == 0 || self.group_min > self.group_max || self.group_max > PEOPLE_MAX {
            return Err(PolicyError::Sizes);
        }
        for terms in [&self.school, &self.other] {
            if terms.escorts.is_some_and(|escorts| !(1..=PEOPLE_MAX).contains(&escorts.one_per)) {
                return Err(PolicyError::Escorts);
            }
            if !(Cents::ZERO..=FEE_MAX).contains(&terms.fee.amount) {
                return Err(PolicyError::Fee);
            }
        }
        let twice = |i: usize, extra: &MandatoryExtra| self.extras[..i].iter().any(|earlier| earlier.code == extra.code);
        let bad = |(i, extra): (usize, &MandatoryExtra)| twice(i, extra) || !extra.name.is_sound() || !(Cents::ZERO..=FEE_MAX).contains(&extra.price);
        if self.extras.len() > EXTRAS_MAX || self.extras.iter().enumerate().any(bad) {
            return Err(PolicyError::Extras);
        }
        let in_range = (1..=DAYS_MAX).contains(&self.signature_days) && self.payment_working_days <= DAYS_MAX && self.reminder_days <= DAYS_MAX;
        if in_range { Ok(()) } else { Err(PolicyError::Deadlines) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_policy_is_told() {
        type Change = fn(&mut GroupPolicy);
        let audio = || MandatoryExtra {
            code: "audio".parse().unwrap(),
            name: Text::new("Sistema audio", "Audio system"),
            price: Cents::new(120),
            above: 10,
            free_one_in: 10,
        };
        let cases: [(Change, PolicyError); 13] = [
            (|p| p.group_min = 0, PolicyError::Sizes),
            (|p| p.group_min = 26, PolicyError::Sizes),
            (|p| p.group_max = 2_001, PolicyError::Sizes),
            (|p| p.school.escorts.as_mut().unwrap().one_per = 0, PolicyError::Escorts),
            (|p| p.school.escorts.as_mut().unwrap().one_per = 2_001, PolicyError::Escorts),
            (|p| p.other.fee.amount = Cents::new(-1), PolicyError::Fee),
            (|p| p.school.fee.amount = Cents::new(5_001), PolicyError::Fee),
            (|p| p.extras.push(p.extras[0].clone()), PolicyError::Extras),
            (|p| p.extras[0].price = Cents::new(5_001), PolicyError::Extras),
            (|p| p.extras[0].name.en.clear(), PolicyError::Extras),
            (|p| p.signature_days = 0, PolicyError::Deadlines),
            (|p| p.payment_working_days = 366, PolicyError::Deadlines),
            (|p| p.reminder_days = 366, PolicyError::Deadlines),
        ];
        let sound = GroupPolicy { extras: vec![audio()], ..GroupPolicy::default() };
        assert_eq!((sound.validate(), GroupPolicy::default().validate()), (Ok(()), Ok(())));
        for (change, expected) in cases {
            let mut policy = sound.clone();
            change(&mut policy);
            assert_eq!(policy.validate(), Err(expected), "{expected}");
        }
    }

    #[test]
    fn escorts_are_free_for_each_group_of_people_begun() {
        let escorts = GroupPolicy::default().school.escorts.unwrap();
        for (people, expected) in [(0, 0), (1, 1), (15, 1), (16, 2), (30, 2), (31, 3)] {
            assert_eq!(escorts.free_for(people), expected, "{people}");
        }
    }

    #[test]
    fn a_policy_is_read_with_the_least_that_must_be_said() {
        let terms = Terms { escorts: None, fee: Fee::default() };
        let policy = GroupPolicy { reminder_days: 0, school: terms.clone(), other: terms, ..GroupPolicy::default() };
        let bytes = postcard::to_allocvec(&policy).unwrap();
        assert_eq!(postcard::from_bytes::<GroupPolicy>(&bytes), Ok(policy));
    }
}
