//! Waiting rooms for the opening of sales: whoever comes before the opening is drawn by lot, whoever comes later is served in the order of coming, and so many a
//! minute are let through to the holds. Here is what a museum announces and where somebody stands; who somebody is, and the signing of what they are given to hold,
//! is known outside.
//!
//! The lot is fair in a way that anybody can check: the seed is drawn when the room is announced, its digest is published at once and it itself when sales open;
//! a number that everybody got before decides, with the seed, where they stand.

use serde::{Deserialize, Serialize};

use crate::ids::{Code, MuseumId, RouteId, SlotId};
use crate::time::{DAY_S, MICROS_PER_S, Timestamp};

/// The most rooms of one museum that have not ended.
pub const ROOMS_MAX: usize = 16;
/// The most parties let through in a minute.
pub const PER_MINUTE_MAX: u32 = 60_000;
/// The longest that a room is open, in seconds.
pub const OPEN_MAX_S: i64 = 7 * DAY_S;

/// A waiting room, as announced.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Room {
    /// Its name within the museum.
    pub code: Code,
    /// For the slots of this route only; none: of all.
    pub route: Option<RouteId>,
    /// For slots that start from then on.
    pub slots_from: Timestamp,
    /// For slots that start before.
    pub slots_to: Timestamp,
    /// When sales open.
    pub opens_at: Timestamp,
    /// When places can be held without it again.
    pub closes_at: Timestamp,
    /// How many parties are let through in a minute.
    pub per_minute: u32,
    /// Decides the lot; a secret until `opens_at`.
    pub seed: [u8; 32],
    /// Signs what people are given to hold; a secret for ever.
    pub signing: [u8; 32],
}

/// How many have come to a room, as written down: numbers up to these may have been given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Numbers {
    /// Before the opening.
    pub early: u64,
    /// After it.
    pub late: u64,
}

/// How somebody came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Arrival {
    /// Before the opening.
    Early,
    /// After it, the how-manieth, from 1.
    Late(u64),
}

/// Why a room cannot be announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum RoomError {
    /// It opens in the past.
    #[error("a waiting room opens later than now")]
    OpensInThePast,
    /// Its times are not in order.
    #[error("a waiting room closes after it opens, within 7 days, and is for slots that start from one time to a later one")]
    BadTimes,
    /// Nobody, or more than anybody counts, would be let through.
    #[error("let 1 to 60000 parties through in a minute")]
    BadRate,
}

impl Room {
    /// Whether it can be announced at `now`.
    pub fn validate(&self, now: Timestamp) -> Result<(), RoomError> {
        if self.opens_at <= now {
            return Err(RoomError::OpensInThePast);
        }
        if self.closes_at <= self.opens_at || self.closes_at > self.opens_at.plus_seconds(OPEN_MAX_S) || self.slots_to <= self.slots_from {
            return Err(RoomError::BadTimes);
        }
        if !(1..=PER_MINUTE_MAX).contains(&self.per_minute) {
            return Err(RoomError::BadRate);
        }
        Ok(())
    }

    /// Whether places of this slot of its museum are held through it at `now`.
    #[must_use]
    pub fn guards(&self, slot: SlotId, now: Timestamp) -> bool {
        now < self.closes_at && self.route.is_none_or(|route| route == slot.route()) && (self.slots_from..self.slots_to).contains(&slot.start())
    }

    /// Whether there are slots whose places are held through both. Their openings do not matter: a room keeps its slots from when it is announced until it closes.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let shares_route = match (self.route, other.route) {
            (Some(route), Some(other)) => route == other,
            (None, _) | (_, None) => true,
        };
        shares_route && self.slots_from < other.slots_to && other.slots_from < self.slots_to
    }

    /// How many parties may have been let through by `now`.
    #[must_use]
    pub fn let_through(&self, now: Timestamp) -> u64 {
        let open_us = now.micros_since(self.opens_at).max(0).unsigned_abs();
        // A week of microseconds times the highest rate fits 128 bits and the result 64.
        (u128::from(open_us) * u128::from(self.per_minute) / (60 * MICROS_PER_S as u128)) as u64
    }

    /// Where somebody stands, from 1, when so many came early. `lot` is the number that the seed gives to who came early, even over all numbers.
    #[must_use]
    pub fn position(&self, arrival: Arrival, lot: u64, early: u64) -> u64 {
        match arrival {
            Arrival::Early => ((u128::from(lot) * u128::from(early)) >> 64) as u64 + 1,
            Arrival::Late(number) => early.saturating_add(number),
        }
    }

    /// How long somebody at a position still waits at `now`, in seconds; 0: their turn has come; none: sales are not open yet.
    #[must_use]
    pub fn wait_s(&self, position: u64, now: Timestamp) -> Option<u64> {
        if now < self.opens_at {
            return None;
        }
        let ahead = position.saturating_sub(self.let_through(now));
        Some(ahead.saturating_mul(60).div_ceil(u64::from(self.per_minute.max(1))))
    }
}

/// A room with what is written down of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// The room.
    pub room: Room,
    /// Up to which numbers may have been given out.
    pub numbers: Numbers,
}

/// Whether a museum's rooms are sound (MU-5).
#[must_use]
pub fn are_sound(rooms: &[Announced]) -> bool {
    rooms.windows(2).all(|pair| pair[0].room.code < pair[1].room.code) && rooms.len() <= ROOMS_MAX
}

/// The rooms of one museum, for those who look.
#[must_use]
pub fn guarding(museum: MuseumId, rooms: &[Announced], slot: SlotId, now: Timestamp) -> Option<&Announced> {
    rooms.iter().filter(|_| slot.museum() == museum).find(|announced| announced.room.guards(slot, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> Room {
        Room {
            code: "spring".parse().expect("a code"),
            route: None,
            slots_from: Timestamp::from_seconds(100_000),
            slots_to: Timestamp::from_seconds(200_000),
            opens_at: Timestamp::from_seconds(1_000),
            closes_at: Timestamp::from_seconds(5_000),
            per_minute: 60,
            seed: [1; 32],
            signing: [2; 32],
        }
    }

    #[test]
    fn a_room_that_nobody_could_use_is_refused() {
        let now = Timestamp::from_seconds(900);
        let check = |change: &dyn Fn(&mut Room), expected| {
            let mut room = room();
            change(&mut room);
            assert_eq!(room.validate(now), expected);
        };
        check(&|_| {}, Ok(()));
        check(&|room| room.opens_at = now, Err(RoomError::OpensInThePast));
        check(&|room| room.closes_at = room.opens_at, Err(RoomError::BadTimes));
        check(&|room| room.closes_at = room.opens_at.plus_seconds(OPEN_MAX_S + 1), Err(RoomError::BadTimes));
        check(&|room| room.slots_to = room.slots_from, Err(RoomError::BadTimes));
        check(&|room| room.per_minute = 0, Err(RoomError::BadRate));
        check(&|room| room.per_minute = 60_001, Err(RoomError::BadRate));
    }

    #[test]
    fn the_lot_spreads_those_who_came_early_and_the_others_follow_in_order() {
        let room = room();
        let early: Vec<u64> = (0..100_u64).map(|i| room.position(Arrival::Early, i * (u64::MAX / 100) + u64::MAX / 200, 100)).collect();
        assert!(early.is_sorted() && early[0] == 1 && early[99] == 100);
        assert_eq!(room.position(Arrival::Early, u64::MAX, 100), 100);
        assert_eq!(room.position(Arrival::Early, u64::MAX, 0), 1, "nobody is written down yet");
        assert_eq!([1, 2].map(|number| room.position(Arrival::Late(number), 0, 100)), [101, 102]);
        assert_eq!(room.position(Arrival::Late(u64::MAX), 0, u64::MAX), u64::MAX);
    }

    #[test]
    fn one_a_second_is_let_through_from_the_opening_on() {
        let room = room();
        let at = Timestamp::from_seconds;
        assert_eq!([999, 1_000, 1_001, 1_090].map(|s| room.let_through(at(s))), [0, 0, 1, 90]);
        assert_eq!(room.wait_s(5, at(999)), None);
        assert_eq!([1_000, 1_004, 1_005, 4_000].map(|s| room.wait_s(5, at(s))), [Some(5), Some(1), Some(0), Some(0)]);
        assert_eq!(room.wait_s(u64::MAX, at(1_000)), Some(u64::MAX.div_ceil(60)), "for ever, and no overflow");
    }

    #[test]
    fn rooms_overlap_where_they_have_slots_in_common() {
        let one = room();
        let other = |route: Option<u16>, from_s, to_s| Room {
            route: route.map(RouteId),
            slots_from: Timestamp::from_seconds(from_s),
            slots_to: Timestamp::from_seconds(to_s),
            ..room()
        };
        for (route, from_s, to_s, expected) in [
            (None, 100_000, 200_000, true),
            (None, 199_999, 300_000, true),
            (None, 200_000, 300_000, false),
            (None, 50_000, 100_000, false),
            (None, 50_000, 100_001, true),
            (Some(2), 150_000, 160_000, true),
        ] {
            let other = other(route, from_s, to_s);
            assert_eq!((one.overlaps(&other), other.overlaps(&one)), (expected, expected), "{route:?} {from_s} {to_s}");
        }
        assert!(!other(Some(1), 0, 9).overlaps(&other(Some(2), 0, 9)) && other(Some(1), 0, 9).overlaps(&other(Some(1), 0, 9)));
    }

    #[test]
    fn a_room_guards_its_slots_until_it_closes() {
        let slot = |museum, route, s| SlotId::new(MuseumId(museum), RouteId(route), Timestamp::from_seconds(s));
        let (now, mut room) = (Timestamp::from_seconds(0), room());
        assert!(room.guards(slot(1, 1, 120_000), now) && !room.guards(slot(1, 1, 60_000), now) && !room.guards(slot(1, 1, 240_000), now));
        assert!(!room.guards(slot(1, 1, 120_000), room.closes_at));
        room.route = Some(RouteId(2));
        assert!(room.guards(slot(1, 2, 120_000), now) && !room.guards(slot(1, 1, 120_000), now));
        let rooms = [Announced { room, numbers: Numbers::default() }];
        assert!(
            guarding(MuseumId(1), &rooms, slot(1, 2, 120_000), now).is_some() && guarding(MuseumId(2), &rooms, slot(1, 2, 120_000), now).is_none()
        );
    }
}
