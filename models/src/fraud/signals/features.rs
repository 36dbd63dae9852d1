//! The features: what scorers and rules see of a command. All of them are finite and not negative below [`VALUE_MAX`]; counts go in as `ln(1 + x)`, so that models
//! see orders of magnitude. A role that nobody takes part in counts as nothing done, and a flag says so.

use super::party::{Counted, Distinct, FAMILY, PartyState, Window};
use super::state::State;
use super::{Role, SignalEvent, SignalKind};
use crate::fraud::decay::{SPANS, Span, ln_1p};

/// How many features there are.
pub const N: usize = 91;
/// The features of one command, in the order of [`FEATURES`].
pub type FeatureVector = [f32; N];

/// No feature is larger.
pub const VALUE_MAX: f32 = 32.0;

/// Names and units, in the order of the vector. `ln` means `ln(1 + x)` of the unit; "person" is the one of buyer, device and card that did most of it; "asker" the one of
/// buyer, device, card, account and group, wherever they did it.
/// The order is part of every model and every rule names these: append only. Another meaning is a new name; one that is put right keeps its name and changes its unit, so
/// that models of before are not fed it.
pub const FEATURES: [(&str, &str); N] = [
    ("person_holds_1m", "ln holds, half-life 1 min"),
    ("person_holds_10m", "ln holds, half-life 10 min"),
    ("person_holds_1h", "ln holds, half-life 1 h"),
    ("person_holds_1d", "ln holds, half-life 1 d"),
    ("person_holds_7d", "ln holds, half-life 7 d"),
    ("person_sales_10m", "ln sales, half-life 10 min"),
    ("person_sales_1h", "ln sales, half-life 1 h"),
    ("person_sales_1d", "ln sales, half-life 1 d"),
    ("person_sales_7d", "ln sales, half-life 7 d"),
    ("person_people_1d", "ln people in sales, half-life 1 d"),
    ("person_people_7d", "ln people in sales, half-life 7 d"),
    ("person_cents_1d", "ln cents of sales, half-life 1 d"),
    ("person_unsold_1h", "ln holds, not waits, less those bought, half-life 1 h"),
    ("person_unsold_1d", "ln holds, not waits, less those bought, half-life 1 d"),
    ("person_expired_1h", "ln holds expired, half-life 1 h"),
    ("person_expired_1d", "ln holds expired, half-life 1 d"),
    ("person_released_1h", "ln holds given back, half-life 1 h"),
    ("person_unsold_share_1d", "holds, not waits, less those bought, of (holds, not waits, + 1), half-life 1 d"),
    ("person_begun_1h", "ln payments begun, half-life 1 h"),
    ("person_failed_10m", "ln payments failed, half-life 10 min"),
    ("person_failed_1h", "ln payments failed, half-life 1 h"),
    ("person_failed_1d", "ln payments failed, half-life 1 d"),
    ("person_refunds_7d", "ln people refunded, half-life 7 d"),
    ("person_refund_share_7d", "people refunded of (people sold + 1), half-life 7 d"),
    ("person_cheap_share_7d", "people below the full price of (people sold + 1), half-life 7 d"),
    ("person_slots_1h", "ln slots, 1 to 2 h"),
    ("person_slots_1d", "ln slots, 1 to 2 d"),
    ("person_museums_1h", "ln museums, 1 to 2 h"),
    ("person_museums_1d", "ln museums, 1 to 2 d"),
    ("person_blocked_1d", "ln commands refused by rules, half-life 1 d"),
    ("person_twice_7d", "ln tickets shown again, half-life 7 d"),
    ("person_apart_7d", "ln tickets shown again at a gate too far away, half-life 7 d"),
    ("person_since_s", "ln seconds since last seen; 0 when never seen"),
    ("person_known_s", "ln seconds since first seen; 0 when never seen"),
    ("device_cards_1h", "ln cards of the device, 1 to 2 h"),
    ("device_cards_1d", "ln cards of the device, 1 to 2 d"),
    ("device_buyers_1d", "ln buyers of the device, 1 to 2 d"),
    ("card_devices_1d", "ln devices of the card, 1 to 2 d"),
    ("card_buyers_1d", "ln buyers of the card, 1 to 2 d"),
    ("buyer_cards_1d", "ln cards of the buyer, 1 to 2 d"),
    ("buyer_devices_1d", "ln devices of the buyer, 1 to 2 d"),
    ("network_holds_10m", "ln holds of the network, half-life 10 min"),
    ("network_holds_1h", "ln holds of the network, half-life 1 h"),
    ("network_unsold_1h", "ln holds, not waits, less those bought of the network, half-life 1 h"),
    ("network_failed_1h", "ln payments failed of the network, half-life 1 h"),
    ("network_cards_1h", "ln cards of the network, 1 to 2 h"),
    ("network_buyers_1h", "ln buyers of the network, 1 to 2 h"),
    ("account_holds_1h", "ln holds of account or group, half-life 1 h"),
    ("account_people_1d", "ln people sold to account or group, half-life 1 d"),
    ("account_unsold_1d", "ln holds, not waits, less those bought of account or group, half-life 1 d"),
    ("operator_voids_1h", "ln people voided by operator or kiosk, half-life 1 h"),
    ("operator_voids_1d", "ln people voided by operator or kiosk, half-life 1 d"),
    ("operator_void_share_1d", "people voided of (people sold + 1) by operator or kiosk, half-life 1 d"),
    ("operator_late_voids_7d", "ln people voided shortly before the count of cash, half-life 7 d"),
    ("operator_gap_7d", "ln cents of cash differences, half-life 7 d"),
    ("people", "ln people"),
    ("cents", "ln cents"),
    ("price_ratio", "cents of cents at the full price; 1 when not known"),
    ("cheap_share", "people below the full price, of people"),
    ("lead_s", "ln seconds until the slot starts"),
    ("night", "hours from 12:00, of 12"),
    ("anonymous", "1 when neither buyer, device nor card is known"),
    ("slot_expired_1h", "ln holds in the slot that expired, less the asker's, half-life 1 h"),
    ("slot_expired_1d", "ln holds in the slot that expired, less the asker's, half-life 1 d"),
    ("slot_unsold_1h", "ln holds in the slot, not waits, less those bought, less the asker's, half-life 1 h"),
    ("slot_unsold_1d", "ln holds in the slot, not waits, less those bought, less the asker's, half-life 1 d"),
    ("slot_unsold_share_1d", "of holds in the slot, not waits, less the asker's + 1 those not bought, half-life 1 d"),
    ("slot_failed_1h", "ln payments in the slot that failed, less the asker's, half-life 1 h"),
    ("slot_failed_1d", "ln payments in the slot that failed, less the asker's, half-life 1 d"),
    ("slot_failed_share_1d", "of payments begun in the slot less the asker's + 1 those that failed, half-life 1 d"),
    ("museum_failed_1h", "ln payments in the museum that failed, less the asker's, half-life 1 h"),
    ("museum_failed_share_1h", "of payments begun in the museum less the asker's + 1 those that failed, half-life 1 h"),
    ("person_failed_slot_1h", "root of person_failed_1d times slot_failed_1h"),
    ("device_other_cards_1d", "ln cards of the device but this one under the same key, 1 to 2 d"),
    ("device_other_buyers_1d", "ln buyers of the device but this one under the same key, 1 to 2 d"),
    ("card_other_devices_1d", "ln devices of the card but this one under the same key, 1 to 2 d"),
    ("card_other_buyers_1d", "ln buyers of the card but this one under the same key, 1 to 2 d"),
    ("buyer_other_cards_1d", "ln cards of the buyer but this one under the same key, 1 to 2 d"),
    ("buyer_other_devices_1d", "ln devices of the buyer but this one under the same key, 1 to 2 d"),
    ("person_large_1d", "ln people beyond 4 in each hold, half-life 1 d"),
    ("person_large_7d", "ln people beyond 4 in each hold, half-life 7 d"),
    ("network_large_1d", "ln people beyond 4 in each hold of the network, half-life 1 d"),
    ("person_people_before_7d", "ln people in sales, half-life 7 d, less those with half-life 1 d"),
    ("person_unsold_slot_1h", "root of person_unsold_1d times slot_expired_1h"),
    ("person_large_before_7d", "root of person_people_before_7d times person_large_7d"),
    ("people_slot_1h", "slot_unsold_1h times the people after the first of 4, at most 1; 0 for what is given back and at desks and totems"),
    ("person_slots_10m", "ln slots, 10 to 20 min"),
    ("person_museums_10m", "ln museums, 10 to 20 min"),
    ("device_cards_10m", "ln cards of the device, 10 to 20 min"),
    ("network_failed_10m", "ln payments failed of the network, half-life 10 min"),
    ("network_cards_10m", "ln cards of the network, 10 to 20 min"),
];

/// The place of a feature; none if there is no such.
#[must_use]
pub fn index_of(name: &str) -> Option<usize> {
    FEATURES.iter().position(|(known, _)| *known == name)
}

/// A number that changes with every change of names, units or order (FNV-1a, 64 bits).
#[must_use]
pub const fn feature_hash() -> u64 {
    // Worked out once, when this is compiled: every assessment carries it.
    const HASH: u64 = {
        let (mut hash, mut i) = (0xcbf2_9ce4_8422_2325, 0);
        while i < FEATURES.len() {
            hash = hash_on(hash_on(hash, FEATURES[i].0), FEATURES[i].1);
            i += 1;
        }
        hash
    };
    HASH
}

const fn hash_on(mut hash: u64, line: &str) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    let (bytes, mut i) = (line.as_bytes(), 0);
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(PRIME);
        i += 1;
    }
    (hash ^ b'\n' as u64).wrapping_mul(PRIME)
}

/// Roles, a bit each.
type Roles = u16;

const fn roles(of: &[Role]) -> Roles {
    let (mut roles, mut i) = (0, 0);
    while i < of.len() {
        roles |= 1 << of[i] as u16;
        i += 1;
    }
    roles
}

const BUYER: Roles = roles(&[Role::Buyer]);
const DEVICE: Roles = roles(&[Role::Device]);
const CARD: Roles = roles(&[Role::Card]);
const PERSON: Roles = BUYER | DEVICE | CARD;
const NETWORK: Roles = roles(&[Role::Network]);
const ACCOUNT: Roles = roles(&[Role::Account, Role::Group]);
const STAFF: Roles = roles(&[Role::Operator, Role::Kiosk]);
const SLOT: Roles = roles(&[Role::Slot]);
const MUSEUM: Roles = roles(&[Role::Museum]);

/// The states of those who take part in one command, as they were when they were read: shared with whoever counts on.
#[derive(Debug, Clone, Default)]
pub struct Known(Vec<(Role, usize, State)>);

impl Known {
    /// Of so many, most likely.
    #[must_use]
    pub fn of(parties: usize) -> Self {
        Self(Vec::with_capacity(parties))
    }

    /// One more. `generation` says under which of its pseudonyms, as [`super::keys`] has it.
    pub fn add(&mut self, role: Role, generation: usize, state: &State) {
        self.0.push((role, generation, state.clone()));
    }
}

/// What is read of one party, as of the time of the command.
struct Read<'a> {
    role: Roles,
    generation: usize,
    state: &'a State,
    factors: [f32; SPANS],
    at_us: i64,
}

impl Read<'_> {
    fn count(&self, what: Counted, span: Span) -> f32 {
        self.state.count(what, span, &self.factors)
    }

    /// What is known of who takes part alone, and never of places.
    fn party(&self, value: impl Fn(&PartyState) -> f32) -> f32 {
        match self.state {
            State::Party(state) => value(state),
            State::Place(_) => 0.0,
        }
    }

    fn distinct(&self, what: Distinct, window: Window) -> f32 {
        self.party(|state| state.distinct(what, window, self.at_us))
    }

    /// Holds that somebody may buy or leave. Whoever waits takes places from nobody, and what tickets take that come from another slot is theirs.
    fn kept(&self, span: Span) -> f32 {
        (self.count(Counted::Holds, span) - self.count(Counted::Waits, span)).max(0.0)
    }

    /// Holds that are not bought.
    fn unsold(&self, span: Span) -> f32 {
        (self.kept(span) - self.count(Counted::Bought, span)).max(0.0)
    }

    /// Which share of the holds that is: nobody makes it smaller by waiting, nor by moving tickets to and fro.
    fn unsold_share(&self, span: Span) -> f32 {
        (self.unsold(span) / (self.kept(span) + 1.0)).min(1.0)
    }

    fn share(&self, part: f32, of: Counted, span: Span) -> f32 {
        (part / (self.count(of, span) + 1.0)).min(1.0)
    }
}

/// The features of a command, from the states of those who take part: all that scorers and rules are told. Where a party stands under two pseudonyms, the one that
/// remembers more counts.
#[must_use]
pub fn features(known: &Known, event: &SignalEvent) -> FeatureVector {
    let reads: Vec<Read<'_>> = known
        .0
        .iter()
        .map(|(role, generation, state)| {
            let (factors, at_us) = (state.factors_to(event.at_us), event.at_us.max(state.last_us()));
            Read { role: roles(&[*role]), generation: *generation, state, factors, at_us }
        })
        .collect();
    let there = reads.iter().fold(0, |there, read| there | read.role);
    let (all, mut vector) = (Reads { reads, there, event }, Vector { values: [0.0; N], at: 0 });
    all.put_person(&mut vector);
    all.put_parties(&mut vector);
    all.put_command(&mut vector);
    let in_slot = all.put_place(&mut vector);
    all.put_since(in_slot, &mut vector);
    debug_assert_eq!(vector.at, N, "a feature without a value");
    vector.values
}

/// The values, in their order.
struct Vector {
    values: FeatureVector,
    at: usize,
}

impl Vector {
    fn put(&mut self, value: f32) {
        // The last guard: whatever is asked, a model is never given what is no number.
        self.values[self.at] = if value.is_finite() { value.clamp(0.0, VALUE_MAX) } else { VALUE_MAX };
        self.at += 1;
    }
}

/// All who take part in a command.
struct Reads<'a> {
    reads: Vec<Read<'a>>,
    /// Of most features nobody is there whom they are about, as at a desk: that is told once for all.
    there: Roles,
    event: &'a SignalEvent,
}

impl Reads<'_> {
    fn most(&self, roles: Roles, value: &dyn Fn(&Read<'_>) -> f32) -> f32 {
        if roles & self.there == 0 { 0.0 } else { self.reads.iter().filter(|read| roles & read.role != 0).map(value).fold(0.0, f32::max) }
    }

    fn person(&self, value: &dyn Fn(&Read<'_>) -> f32) -> f32 {
        self.most(PERSON, value)
    }

    fn counted(&self, what: Counted, span: Span) -> f32 {
        ln_1p(self.person(&|read| read.count(what, span)))
    }

    /// What buyer, device and card did.
    fn put_person(&self, to: &mut Vector) {
        for span in [Span::Minute, Span::TenMinutes, Span::Hour, Span::Day, Span::Week] {
            to.put(self.counted(Counted::Holds, span));
        }
        for span in [Span::TenMinutes, Span::Hour, Span::Day, Span::Week] {
            to.put(self.counted(Counted::Sales, span));
        }
        to.put(self.counted(Counted::People, Span::Day));
        to.put(self.counted(Counted::People, Span::Week));
        to.put(self.counted(Counted::Cents, Span::Day));
        to.put(ln_1p(self.person(&|read| read.unsold(Span::Hour))));
        to.put(ln_1p(self.person(&|read| read.unsold(Span::Day))));
        to.put(self.counted(Counted::Expired, Span::Hour));
        to.put(self.counted(Counted::Expired, Span::Day));
        to.put(self.counted(Counted::Released, Span::Hour));
        to.put(self.person(&|read| read.unsold_share(Span::Day)));
        to.put(self.counted(Counted::Begun, Span::Hour));
        for span in [Span::TenMinutes, Span::Hour, Span::Day] {
            to.put(self.counted(Counted::Failed, span));
        }
        to.put(self.counted(Counted::Refunds, Span::Week));
        to.put(self.person(&|read| read.share(read.count(Counted::Refunds, Span::Week), Counted::People, Span::Week)));
        to.put(self.person(&|read| read.share(read.count(Counted::Cheap, Span::Week), Counted::People, Span::Week)));
        for what in [Distinct::Slots, Distinct::Museums] {
            to.put(ln_1p(self.person(&|read| read.distinct(what, Window::Hour))));
            to.put(ln_1p(self.person(&|read| read.distinct(what, Window::Day))));
        }
        to.put(self.counted(Counted::Blocked, Span::Day));
        to.put(self.counted(Counted::Twice, Span::Week));
        to.put(self.counted(Counted::Apart, Span::Week));
        let seconds = |from_us: i64| ((self.event.at_us.saturating_sub(from_us)).max(0) / 1_000_000) as f32;
        let since = self.reads.iter().filter(|read| PERSON & read.role != 0).map(|read| seconds(read.state.last_us())).reduce(f32::min);
        to.put(ln_1p(since.unwrap_or(0.0)));
        to.put(ln_1p(self.person(&|read| read.party(|state| seconds(state.first_us())))));
    }

    /// What devices, cards and buyers have of each other; what networks, accounts and staff did.
    fn put_parties(&self, to: &mut Vector) {
        to.put(ln_1p(self.most(DEVICE, &|read| read.distinct(Distinct::Cards, Window::Hour))));
        to.put(ln_1p(self.most(DEVICE, &|read| read.distinct(Distinct::Cards, Window::Day))));
        to.put(ln_1p(self.most(DEVICE, &|read| read.distinct(Distinct::Buyers, Window::Day))));
        to.put(ln_1p(self.most(CARD, &|read| read.distinct(Distinct::Devices, Window::Day))));
        to.put(ln_1p(self.most(CARD, &|read| read.distinct(Distinct::Buyers, Window::Day))));
        to.put(ln_1p(self.most(BUYER, &|read| read.distinct(Distinct::Cards, Window::Day))));
        to.put(ln_1p(self.most(BUYER, &|read| read.distinct(Distinct::Devices, Window::Day))));

        to.put(ln_1p(self.most(NETWORK, &|read| read.count(Counted::Holds, Span::TenMinutes))));
        to.put(ln_1p(self.most(NETWORK, &|read| read.count(Counted::Holds, Span::Hour))));
        to.put(ln_1p(self.most(NETWORK, &|read| read.unsold(Span::Hour))));
        to.put(ln_1p(self.most(NETWORK, &|read| read.count(Counted::Failed, Span::Hour))));
        to.put(ln_1p(self.most(NETWORK, &|read| read.distinct(Distinct::Cards, Window::Hour))));
        to.put(ln_1p(self.most(NETWORK, &|read| read.distinct(Distinct::Buyers, Window::Hour))));

        to.put(ln_1p(self.most(ACCOUNT, &|read| read.count(Counted::Holds, Span::Hour))));
        to.put(ln_1p(self.most(ACCOUNT, &|read| read.count(Counted::People, Span::Day))));
        to.put(ln_1p(self.most(ACCOUNT, &|read| read.unsold(Span::Day))));

        to.put(ln_1p(self.most(STAFF, &|read| read.count(Counted::Voids, Span::Hour))));
        to.put(ln_1p(self.most(STAFF, &|read| read.count(Counted::Voids, Span::Day))));
        to.put(self.most(STAFF, &|read| read.share(read.count(Counted::Voids, Span::Day), Counted::People, Span::Day)));
        // Of a count of cash that is about to be noted its own difference, and what was voided just before, count already.
        let gap = if let SignalKind::TillClosed { difference_cents } = self.event.kind { Some(difference_cents.unsigned_abs() as f32) } else { None };
        let late = |read: &Read<'_>| gap.map_or(0.0, |_| read.count(Counted::Voids, Span::TenMinutes));
        to.put(ln_1p(self.most(STAFF, &|read| read.count(Counted::LateVoids, Span::Week) + late(read))));
        to.put(ln_1p(self.most(STAFF, &|read| read.count(Counted::Gap, Span::Week)) + gap.unwrap_or(0.0)));
    }

    /// What is asked for.
    fn put_command(&self, to: &mut Vector) {
        let people = self.event.people as f32;
        to.put(ln_1p(people));
        to.put(ln_1p(self.event.cents.max(0) as f32));
        to.put(price_ratio(self.event));
        to.put(if self.event.people == 0 { 0.0 } else { (self.event.cheap as f32 / people).min(1.0) });
        to.put(ln_1p(self.event.lead_s.max(0) as f32));
        to.put((f32::from(self.event.minute.min(1_439)) - 720.0).abs() / 720.0);
        to.put(if self.event.parties.iter().any(|taking| is_person(taking.role)) { 0.0 } else { 1.0 });
    }

    /// What others do in the same slot or museum: nobody is to be strange by what stands for them already. What whoever asks did in this place is not counted by itself; what they
    /// did in all places is an upper bound of it and is taken off, so that what is left is at most what others did, and less where whoever asks is busy elsewhere. Answers how many
    /// holds of others in the slot expired within the hour, and with the logarithm of those not bought.
    fn put_place(&self, to: &mut Vector) -> (f32, f32) {
        let asker = |value: &dyn Fn(&Read<'_>) -> f32| self.most(PERSON | ACCOUNT, value);
        let place = |role: Roles, what: Counted, span: Span| self.most(role, &|read| read.count(what, span));
        let others = |role: Roles, what: Counted, span: Span| (place(role, what, span) - asker(&|read| read.count(what, span))).max(0.0);
        let others_unsold = |span: Span| (self.most(SLOT, &|read| read.unsold(span)) - asker(&|read| read.unsold(span))).max(0.0);
        let others_kept = |span: Span| (self.most(SLOT, &|read| read.kept(span)) - asker(&|read| read.kept(span))).max(0.0);
        let share = |part: f32, of: f32| (part / (of + 1.0)).min(1.0);
        let (expired_1h, failed_1h) = (others(SLOT, Counted::Expired, Span::Hour), others(SLOT, Counted::Failed, Span::Hour));
        let failed_1d = others(SLOT, Counted::Failed, Span::Day);
        let unsold_1h = ln_1p(others_unsold(Span::Hour));
        to.put(ln_1p(expired_1h));
        to.put(ln_1p(others(SLOT, Counted::Expired, Span::Day)));
        to.put(unsold_1h);
        to.put(ln_1p(others_unsold(Span::Day)));
        to.put(share(others_unsold(Span::Day), others_kept(Span::Day)));
        to.put(ln_1p(failed_1h));
        to.put(ln_1p(failed_1d));
        to.put(share(failed_1d, others(SLOT, Counted::Begun, Span::Day)));
        let museum_failed = others(MUSEUM, Counted::Failed, Span::Hour);
        to.put(ln_1p(museum_failed));
        to.put(share(museum_failed, others(MUSEUM, Counted::Begun, Span::Hour)));
        to.put((ln_1p(self.person(&|read| read.count(Counted::Failed, Span::Day))) * ln_1p(failed_1h)).max(0.0).sqrt());
        (expired_1h, unsold_1h)
    }

    /// What was added since: more of the same parties, and of who asks for many places, or leaves them, while others do in the same slot.
    fn put_since(&self, (expired_1h, unsold_1h): (f32, f32), to: &mut Vector) {
        // What a party was seen with under one key was noted under the same: under the other key this one would be another one.
        let crossed = |role: Roles, what: Distinct, with: Role| {
            self.most(role, &|read| {
                let this = self.event.beside(with, read.generation);
                this.map_or(0.0, |this| read.party(|state| state.distinct_others(what, this, Window::Day, read.at_us)))
            })
        };
        to.put(ln_1p(crossed(DEVICE, Distinct::Cards, Role::Card)));
        to.put(ln_1p(crossed(DEVICE, Distinct::Buyers, Role::Buyer)));
        to.put(ln_1p(crossed(CARD, Distinct::Devices, Role::Device)));
        to.put(ln_1p(crossed(CARD, Distinct::Buyers, Role::Buyer)));
        to.put(ln_1p(crossed(BUYER, Distinct::Cards, Role::Card)));
        to.put(ln_1p(crossed(BUYER, Distinct::Devices, Role::Device)));
        to.put(self.counted(Counted::Large, Span::Day));
        to.put(self.counted(Counted::Large, Span::Week));
        to.put(ln_1p(self.most(NETWORK, &|read| read.count(Counted::Large, Span::Day))));
        let before = |read: &Read<'_>| (read.count(Counted::People, Span::Week) - read.count(Counted::People, Span::Day)).max(0.0);
        to.put(ln_1p(self.person(&before)));
        to.put((ln_1p(self.person(&|read| read.unsold(Span::Day))) * ln_1p(expired_1h)).max(0.0).sqrt());
        to.put(self.person(&|read| (ln_1p(before(read)) * ln_1p(read.count(Counted::Large, Span::Week))).max(0.0).sqrt()));
        // A desk or totem sells to whoever stands there; who asks from afar chose the slot that others rush for. Whoever comes alone takes no places from others, and beyond a
        // family it makes no difference how many more they are.
        let from_afar = !self.event.parties.iter().any(|taking| STAFF & roles(&[taking.role]) != 0);
        let more = (self.event.people as f32 - 1.0).clamp(0.0, FAMILY as f32);
        let many = if from_afar && takes_places(self.event.kind) { more / FAMILY as f32 } else { 0.0 };
        to.put(unsold_1h * many);
        // Within minutes: whoever chooses places for a family goes through few slots and museums so fast, and through one card.
        to.put(ln_1p(self.person(&|read| read.distinct(Distinct::Slots, Window::TenMinutes))));
        to.put(ln_1p(self.person(&|read| read.distinct(Distinct::Museums, Window::TenMinutes))));
        to.put(ln_1p(self.most(DEVICE, &|read| read.distinct(Distinct::Cards, Window::TenMinutes))));
        to.put(ln_1p(self.most(NETWORK, &|read| read.count(Counted::Failed, Span::TenMinutes))));
        to.put(ln_1p(self.most(NETWORK, &|read| read.distinct(Distinct::Cards, Window::TenMinutes))));
    }
}

const fn is_person(role: Role) -> bool {
    matches!(role, Role::Buyer | Role::Device | Role::Card)
}

/// Whether places are taken, or are about to be.
const fn takes_places(kind: SignalKind) -> bool {
    matches!(kind, SignalKind::Held | SignalKind::Sold { .. } | SignalKind::Waited | SignalKind::PaymentBegun)
}

/// What is paid of the full price. Only where something is priced: a refund, or a slot without a full price, says nothing.
fn price_ratio(event: &SignalEvent) -> f32 {
    if takes_places(event.kind) && event.list_cents > 0 { (event.cents.max(0) as f64 / event.list_cents as f64).min(4.0) as f32 } else { 1.0 }
}
