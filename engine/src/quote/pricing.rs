//! What a group visit costs, and how a large group is split. Pure functions of what was asked and of the museum's policy; prices of categories come from the
//! tariff (or an account's agreements) and are carried in.

use jiff::civil::{Date, time};
use serde::{Deserialize, Serialize};

use super::policy::{FeePer, GroupPolicy, MandatoryExtra};
use super::{Kind, Refusal};
use crate::calendar::{self, MonthDay};
use crate::ids::{Code, SlotId};
use crate::money::Cents;
use crate::slot::{Line, people, total};
use crate::time::Timestamp;

/// The most parts of one quote.
pub const PARTS_MAX: usize = 40;
/// The most categories of one quote.
pub const LINES_MAX: usize = 15;
/// The most extras that somebody may ask for.
pub const EXTRAS_MAX: usize = 16;
/// The highest price of one place or extra: 10,000 euros.
const PRICE_MAX: Cents = Cents::new(1_000_000);

/// What somebody asks a price for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Asked {
    /// The slots, in the order in which parts go to them: one for each part. All of one museum and one day in Rome.
    pub slots: Vec<SlotId>,
    /// Who comes, by categories of the tariff, at the prices of the day.
    pub members: Vec<Line>,
    /// Who comes with them, free by the museum's rule.
    pub escorts: u16,
    /// What they want beside what they have to take.
    pub extras: Vec<Extra>,
}

/// Something beside tickets: a fee, an audio system, a guided tour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Extra {
    /// Its short name.
    pub code: Code,
    /// How many are paid.
    pub count: u32,
    /// For each of them.
    pub price_cents: Cents,
    /// How many more cost nothing.
    pub free: u32,
}

impl Extra {
    /// What they cost together.
    #[must_use]
    pub const fn total(&self) -> Cents {
        self.price_cents.times(self.count)
    }
}

/// People of a group who go round together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Part {
    /// When and where.
    pub slot: SlotId,
    /// Who, at which prices; escorts have a line of their own.
    pub lines: Vec<Line>,
}

/// What was asked, priced: the content of a quote.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Offer {
    /// Who goes where.
    pub parts: Vec<Part>,
    /// The booking fee; none if there is none.
    pub fee: Option<Extra>,
    /// All else beside tickets.
    pub extras: Vec<Extra>,
    /// The sum of everything.
    pub total_cents: Cents,
}

impl Offer {
    /// How many people come, escorts included.
    #[must_use]
    pub fn people(&self) -> u32 {
        self.parts.iter().map(|part| people(&part.lines)).sum()
    }

    /// What its parts, fee and extras add up to: what [`Offer::total_cents`] must be (QU-1).
    #[must_use]
    pub fn sum(&self) -> Cents {
        let tickets: Cents = self.parts.iter().map(|part| total(&part.lines)).sum();
        tickets.plus(self.beside_tickets())
    }

    /// What of it is for the fee and extras.
    #[must_use]
    pub fn beside_tickets(&self) -> Cents {
        self.fee.iter().chain(&self.extras).map(Extra::total).sum()
    }

    /// How many it takes of what is free of the fee each day: people, or parts.
    #[must_use]
    pub fn free_of_fee(&self) -> u32 {
        self.fee.map_or(0, |fee| fee.free)
    }

    /// The day of the visit, in Rome; none if it has no part.
    #[must_use]
    pub fn day(&self) -> Option<Date> {
        self.parts.first().map(|part| calendar::local_day(part.slot.start()))
    }

    /// When the first part goes in.
    #[must_use]
    pub fn starts_at(&self) -> Option<Timestamp> {
        self.parts.iter().map(|part| part.slot.start()).min()
    }
}

/// Prices a visit. `fee_free_left` is how many people (or parts) of that day are still free of the fee, before this one; `party_max` the most people whom a slot
/// takes in one hold, escorts among them: a larger group is split too.
///
/// # Errors
/// What cannot be booked like that.
pub fn price(policy: &GroupPolicy, kind: Kind, asked: &Asked, fee_free_left: u32, party_max: u16) -> Result<Offer, Refusal> {
    let members = sound(asked)?;
    if members < u32::from(policy.group_min) {
        return Err(Refusal::GroupTooSmall { min: policy.group_min });
    }
    let terms = policy.terms(kind);
    let free_escorts = terms.escorts.map_or(0, |escorts| escorts.free_for(members));
    if u32::from(asked.escorts) > free_escorts {
        return Err(Refusal::TooManyEscorts { free: free_escorts });
    }
    let mut lines = asked.members.clone();
    // As members more of them would come in free than the rule lets in.
    let are_escorts = |line: &Line, category: Code| line.category == category && (asked.escorts > 0 || line.price_cents.is_zero());
    if let Some(escorts) = terms.escorts
        && lines.iter().any(|line| are_escorts(line, escorts.category))
    {
        return Err(Refusal::EscortCategory { category: escorts.category });
    }
    if let Some(escorts) = terms.escorts.filter(|_| asked.escorts > 0) {
        lines.push(Line { category: escorts.category, count: asked.escorts, price_cents: Cents::ZERO, proof: escorts.proof });
    }
    let together = if policy.max_includes_escorts { people(&lines) } else { members };
    let parts = together.div_ceil(u32::from(policy.group_max.max(1))).max(people(&lines).div_ceil(u32::from(party_max.max(1))));
    if asked.slots.len() as u32 != parts {
        return Err(Refusal::WrongNumberOfSlots { parts });
    }
    let parts: Vec<Part> = asked.slots.iter().zip(split(&lines, asked.slots.len())).map(|(&slot, lines)| Part { slot, lines }).collect();
    let fee_of = match terms.fee.per {
        FeePer::Person => members,
        FeePer::Group => parts.len() as u32,
    };
    let free = fee_of.min(fee_free_left.min(terms.fee.free_a_day));
    let fee = Extra { code: fee_code(), count: fee_of - free, price_cents: terms.fee.amount, free };
    let fee = (!terms.fee.amount.is_zero()).then_some(fee);
    let mut extras: Vec<Extra> = policy.extras.iter().filter_map(|extra| mandatory(extra, people(&lines))).collect();
    for wanted in &asked.extras {
        if wanted.code == fee_code() || extras.iter().any(|extra| extra.code == wanted.code) {
            return Err(Refusal::ExtraTwice { extra: wanted.code });
        }
        extras.push(*wanted);
    }
    let mut offer = Offer { parts, fee, extras, total_cents: Cents::ZERO };
    offer.total_cents = offer.sum();
    Ok(offer)
}

/// The code of the booking fee among extras.
///
/// # Panics
/// Never: it is a code.
#[must_use]
pub fn fee_code() -> Code {
    "booking-fee".parse().expect("the code of the booking fee is a code")
}

/// The shape of what is asked; answers how many members there are.
fn sound(asked: &Asked) -> Result<u32, Refusal> {
    let lines = &asked.members;
    let in_range = |cents: Cents| (Cents::ZERO..=PRICE_MAX).contains(&cents);
    let twice = |i: usize, line: &Line| lines[..i].iter().any(|earlier| earlier.category == line.category);
    let bad = |(i, line): (usize, &Line)| line.count == 0 || twice(i, line) || !in_range(line.price_cents);
    if lines.is_empty() || lines.len() > LINES_MAX || lines.iter().enumerate().any(bad) || people(lines) > u32::from(super::policy::PEOPLE_MAX) {
        return Err(Refusal::BadLines);
    }
    let bad =
        |extra: &Extra| extra.count == 0 || extra.free != 0 || extra.count > u32::from(super::policy::PEOPLE_MAX) || !in_range(extra.price_cents);
    if asked.extras.len() > EXTRAS_MAX || asked.extras.iter().any(bad) {
        return Err(Refusal::BadExtras);
    }
    let slots = &asked.slots;
    let Some(first) = slots.first().filter(|_| slots.len() <= PARTS_MAX) else { return Err(Refusal::BadSlots) };
    let day = |slot: SlotId| (slot.museum(), calendar::local_day(slot.start()));
    if slots.iter().enumerate().any(|(i, slot)| slots[..i].contains(slot) || day(*slot) != day(*first)) {
        return Err(Refusal::BadSlots);
    }
    Ok(people(lines))
}

fn mandatory(extra: &MandatoryExtra, people: u32) -> Option<Extra> {
    let free = people.checked_div(u32::from(extra.free_one_in)).unwrap_or(0);
    (people > u32::from(extra.above)).then_some(Extra { code: extra.code, count: people - free, price_cents: extra.price, free })
}

/// Deals people out to some parts, one at a time: the parts differ by one person at most, and so do those of each category.
#[must_use]
pub fn split(lines: &[Line], parts: usize) -> Vec<Vec<Line>> {
    let (mut dealt, mut next) = (vec![Vec::new(); parts], 0);
    for line in lines {
        for (part, lines) in dealt.iter_mut().enumerate() {
            // The persons of this category who come to this part, of those dealt round from `next` on.
            let turn = (part + parts - next % parts.max(1)) % parts;
            let count = (usize::from(line.count) + parts - 1 - turn) / parts;
            if count > 0 {
                lines.push(Line { count: count as u16, ..line.clone() });
            }
        }
        next += usize::from(line.count);
    }
    dealt
}

/// Until when the form must come back: the end of the day in Rome that is so many working days after `sent_at`.
#[must_use]
pub fn sign_by(policy: &GroupPolicy, patron: Option<MonthDay>, sent_at: Timestamp) -> Timestamp {
    let (mut day, mut left) = (calendar::local_day(sent_at), policy.signature_days);
    while left > 0 {
        let Ok(after) = day.tomorrow() else { return Timestamp::MAX };
        day = after;
        left -= u16::from(calendar::is_working_day(day, patron));
    }
    midnight_after(day)
}

/// Until when the visit must be paid: the end of the last day in Rome between which and the day of the visit lie the policy's working days, neither counted. With
/// none asked for, until the visit begins.
#[must_use]
pub fn pay_by(policy: &GroupPolicy, patron: Option<MonthDay>, starts_at: Timestamp) -> Timestamp {
    let (mut day, mut left) = (calendar::local_day(starts_at), policy.payment_working_days);
    if left == 0 {
        return starts_at;
    }
    while left > 0 {
        let Ok(before) = day.yesterday() else { return Timestamp::MIN };
        day = before;
        left -= u16::from(calendar::is_working_day(day, patron));
    }
    // The earliest of the working days: whoever pays before it begins has all of them left.
    calendar::instant(day.to_datetime(time(0, 0, 0, 0)))
}

fn midnight_after(day: Date) -> Timestamp {
    day.tomorrow().map_or(Timestamp::MAX, |next| calendar::instant(next.to_datetime(time(0, 0, 0, 0))))
}
