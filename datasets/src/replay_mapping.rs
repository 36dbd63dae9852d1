//! How hotel bookings become museum visits: the one thing that the replay and its recount share. Pure and deterministic.
//!
//! | visit | from |
//! |---|---|
//! | museum, slot of the day | a draw by the weights in [`MUSEUMS`]; the day is the day of arrival |
//! | party | adults pay the full price; children and babies are under 18 and free; a row with nobody is rejected |
//! | channel, settlement | TA/TO and GDS: reseller, on the agent's account; Corporate: group office, on the company's account; else the box office, paid at the desk |
//! | asked at | the day of booking, drawn between [`ASKED_FROM`] and [`ASKED_UNTIL`], and always more than [`ASKED_BEFORE_START_S`] before the slot starts |
//! | cancelled at | the day of cancellation, drawn between [`ASKED_FROM`] and [`CANCELLED_UNTIL`], after the asking and before the slot starts |
//! | arrives at | drawn within the slot; the whole party at once |
//! | no-show | as in the file; a cancellation dated after the day of the visit gave nothing back in time and is one too (the file has none) |
//!
//! A draw is a hash of [`SEED`], the row and what is drawn, so that no draw depends on another and the same file always gives the same visits. Days and
//! hours are those of Europe/Rome; slots lie in daylight, where no clock changes. [`DOOR_MUSEUM`] also gets the door counts, [`DOOR_SHIFT_WEEKS`] later.

use jiff::civil::{Date, DateTime, Time, time};
use jiff::tz::TimeZone;

use crate::LoadError;
use crate::calit2::{self, HalfHour};
use crate::hotel::{self, Booking, DistributionChannel, Status};

/// Where the museums of the replay are.
pub const ZONE: &str = "Europe/Rome";
/// What every draw starts from. Another number gives another, equally likely, replay.
pub const SEED: u64 = 0x746f_726e_656c_6c6f;
/// Local time from which people ask and cancel.
pub const ASKED_FROM: Time = time(7, 0, 0, 0);
/// Local time until which people ask.
pub const ASKED_UNTIL: Time = time(22, 0, 0, 0);
/// Local time until which people cancel; later than [`ASKED_UNTIL`], so that every booking can be cancelled on its own day.
pub const CANCELLED_UNTIL: Time = time(23, 0, 0, 0);
/// Seconds before the slot's start by which everybody has asked, so that a cancellation still fits between.
pub const ASKED_BEFORE_START_S: i64 = 120;
/// Days before a slot that its sale must open: the longest lead time of the file is 737 days.
pub const SALE_OPENS_DAYS: u32 = 750;
/// The largest party that the plan must accept: the largest of the file has 55 people, more than any slot here holds, so it is refused for capacity.
pub const PARTY_MAX: u16 = 60;
/// What is paid back on a cancellation.
pub const REFUND: RefundTerms = RefundTerms { full_until_s: 2 * 86_400, part_percent: 50, part_until_s: 86_400 };
/// The museum (index into [`MUSEUMS`]) whose door the CalIt2 counts stand for.
pub const DOOR_MUSEUM: usize = 0;
/// The counts of 2005-07-24 to 2005-09-17 are replayed whole weeks later, on the same weekdays and days of the month: 2016-07-24 to 2016-09-17.
pub const DOOR_SHIFT_WEEKS: i64 = 574;

/// A museum of the replay. It opens every day of the year; its only route has one slot per entry of `slot_weights`; there are no free days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayMuseum {
    /// Its name in addresses.
    pub slug: &'static str,
    /// Its name; it stands for no real museum.
    pub name: &'static str,
    /// When the first slot starts, local time.
    pub open: Time,
    /// Minutes of a slot.
    pub slot_minutes: u16,
    /// Places of a slot.
    pub capacity: u32,
    /// The price of a full ticket.
    pub full_price_cents: i64,
    /// How many of all visits come here, relative to the others.
    pub weight: u32,
    /// How many of its visits come to each slot of the day, relative to the others.
    pub slot_weights: &'static [u32],
}

/// The three museums. Their capacities are chosen so that 5 to 15% of the parties find no place, in each of them.
pub const MUSEUMS: [ReplayMuseum; 3] = [
    ReplayMuseum {
        slug: "replay-a",
        name: "Museo di prova A",
        open: time(9, 0, 0, 0),
        slot_minutes: 120,
        capacity: 15,
        full_price_cents: 1_600,
        weight: 50,
        slot_weights: &[2, 4, 3, 2, 1],
    },
    ReplayMuseum {
        slug: "replay-b",
        name: "Museo di prova B",
        open: time(10, 0, 0, 0),
        slot_minutes: 120,
        capacity: 12,
        full_price_cents: 1_200,
        weight: 30,
        slot_weights: &[1, 3, 3, 1],
    },
    ReplayMuseum {
        slug: "replay-c",
        name: "Museo di prova C",
        open: time(9, 30, 0, 0),
        slot_minutes: 180,
        capacity: 10,
        full_price_cents: 800,
        weight: 20,
        slot_weights: &[1, 2, 1],
    },
];

/// What is paid back when a visit is cancelled: everything until `full_until_s` before the start, `part_percent` until `part_until_s`, then nothing. No
/// cancellation of the shipped file falls on either border, and prices are even, so that it does not matter how one rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefundTerms {
    /// Seconds before the start until which all is paid back.
    pub full_until_s: i64,
    /// Whole percent paid back after that.
    pub part_percent: u8,
    /// Seconds before the start until which that part is paid back.
    pub part_until_s: i64,
}

/// A party that asks for places. All times are seconds since 1970 UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// The row of the bookings' file.
    pub row: u64,
    /// Index into [`MUSEUMS`].
    pub museum: usize,
    /// When it asks for places.
    pub asked_at_s: i64,
    /// The slot it asks for.
    pub slot: Slot,
    /// Who comes.
    pub party: Party,
    /// Through whom.
    pub channel: Channel,
    /// How it pays.
    pub settlement: Settlement,
    /// What becomes of it, if it gets its places.
    pub fate: Fate,
}

impl Visit {
    /// What its tickets cost.
    #[must_use]
    pub fn price_cents(&self) -> i64 {
        i64::from(self.party.full) * MUSEUMS[self.museum].full_price_cents
    }
}

/// A slot of a museum of the replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The local day.
    pub date: Date,
    /// Its place in the day, from 0.
    pub index: usize,
    /// When it starts.
    pub start_s: i64,
    /// When it ends.
    pub end_s: i64,
}

/// The people of a visit, by category.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Party {
    /// Adults, at the full price.
    pub full: u32,
    /// Children and babies, free.
    pub under_18: u32,
}

impl Party {
    /// Everybody.
    #[must_use]
    pub const fn people(self) -> u32 {
        self.full + self.under_18
    }
}

/// Through whom a visit is booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The ticket desk.
    BoxOffice,
    /// The group office.
    Group,
    /// A reseller.
    Reseller,
}

impl Channel {
    /// The name used in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BoxOffice => "box_office",
            Self::Group => "group",
            Self::Reseller => "reseller",
        }
    }
}

/// How a visit pays.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Settlement {
    /// At the desk, when it books.
    Desk,
    /// On the account of this name: `agent-240`, `company-110`, or `agent-0` and `company-0` where the file names none.
    OnAccount(String),
}

/// What becomes of a visit that got its places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The party comes, all at once.
    Kept {
        /// When, within the slot.
        arrive_at_s: i64,
    },
    /// It cancels.
    Cancelled {
        /// When: after asking, before the slot starts.
        at_s: i64,
    },
    /// It neither comes nor cancels.
    NoShow,
}

/// A row that is no visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected {
    /// The row of the bookings' file.
    pub row: u64,
    /// Why.
    pub reason: Reason,
}

/// Why a row is no visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No adult, child or baby.
    Nobody,
    /// The cancellation is dated before the booking (the shipped file has none).
    CancelledBeforeBooked,
}

impl Reason {
    /// The word used in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::CancelledBeforeBooked => "cancelled_before_booked",
        }
    }
}

/// Something that happens in the replay. The order of events is total: by instant, then by kind in the order of [`EventKind`], then by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// When, in seconds since 1970 UTC.
    pub at_s: i64,
    /// What.
    pub kind: EventKind,
}

/// What happens. A number is an index into [`Replay::visits`]. Cancellations come first, so that whoever asks in the same second finds the places; a
/// visit that was refused is not there to cancel or arrive, and whoever plays the events must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// A visit is cancelled.
    Cancel(usize),
    /// A visit asks for its places.
    Book(usize),
    /// A visit's party is at the gate.
    Arrive(usize),
    /// The door counted these people in the half hour that ends now.
    DoorCount {
        /// Index into [`MUSEUMS`].
        museum: usize,
        /// How many came in.
        entries: u32,
    },
}

/// Everything that the replay plays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replay {
    /// The visits, in the order of rows.
    pub visits: Vec<Visit>,
    /// The rows that are none.
    pub rejected: Vec<Rejected>,
    /// What happens, in order.
    pub events: Vec<Event>,
}

impl Replay {
    /// The replay of the files that the product ships.
    pub fn load() -> Result<Self, LoadError> {
        Self::build(hotel::embedded(), &calit2::load()?)
    }

    /// The replay of other bookings and door counts; the first bad row ends it.
    pub fn build(bookings: impl IntoIterator<Item = Result<Booking, LoadError>>, counts: &[HalfHour]) -> Result<Self, LoadError> {
        let calendar = Calendar::new()?;
        let mut replay = Self::default();
        for booking in bookings {
            match calendar.visit(&booking?)? {
                Ok(visit) => replay.push(visit),
                Err(rejected) => replay.rejected.push(rejected),
            }
        }
        for count in counts {
            let at_s = calendar.door_count_s(count.start)?;
            replay.events.push(Event { at_s, kind: EventKind::DoorCount { museum: DOOR_MUSEUM, entries: count.entries } });
        }
        replay.events.sort_unstable();
        Ok(replay)
    }

    /// Adds a visit and what happens to it; the events are sorted when all are there.
    pub(crate) fn push(&mut self, visit: Visit) {
        let index = self.visits.len();
        self.events.push(Event { at_s: visit.asked_at_s, kind: EventKind::Book(index) });
        match visit.fate {
            Fate::Kept { arrive_at_s } => self.events.push(Event { at_s: arrive_at_s, kind: EventKind::Arrive(index) }),
            Fate::Cancelled { at_s } => self.events.push(Event { at_s, kind: EventKind::Cancel(index) }),
            Fate::NoShow => {}
        }
        self.visits.push(visit);
    }
}

/// Maps single rows, for those who do not want the whole [`Replay`].
#[derive(Debug, Clone)]
pub struct Calendar {
    zone: TimeZone,
}

impl Calendar {
    /// The calendar of [`ZONE`].
    pub fn new() -> Result<Self, LoadError> {
        let zone = TimeZone::get(ZONE).map_err(|source| LoadError::CivilTime { what: "the museums".to_owned(), zone: ZONE, source })?;
        Ok(Self { zone })
    }

    /// The visit that a booking stands for, or why it is none; an error only for dates that no calendar knows.
    pub fn visit(&self, booking: &Booking) -> Result<Result<Visit, Rejected>, LoadError> {
        let row = booking.row;
        if booking.people() == 0 {
            return Ok(Err(Rejected { row, reason: Reason::Nobody }));
        }
        if booking.status == Status::Canceled && booking.status_date < booking.booking_date {
            return Ok(Err(Rejected { row, reason: Reason::CancelledBeforeBooked }));
        }
        let museum = weighted(Draw::Museum.of(row), MUSEUMS.iter().map(|museum| museum.weight));
        let slot = self.slot(museum, booking.arrival_date, weighted(Draw::Slot.of(row), MUSEUMS[museum].slot_weights.iter().copied()))?;
        let asked_until_s = self.local_s(booking.booking_date.to_datetime(ASKED_UNTIL))?.min(slot.start_s - ASKED_BEFORE_START_S);
        let asked_at_s = Draw::Asked.between(row, self.local_s(booking.booking_date.to_datetime(ASKED_FROM))?, asked_until_s);
        let fate = match booking.status {
            Status::CheckOut => Fate::Kept { arrive_at_s: Draw::Arrived.between(row, slot.start_s, slot.end_s) },
            Status::Canceled if booking.status_date <= booking.arrival_date => {
                let from_s = self.local_s(booking.status_date.to_datetime(ASKED_FROM))?.max(asked_at_s + 1);
                let until_s = self.local_s(booking.status_date.to_datetime(CANCELLED_UNTIL))?.min(slot.start_s);
                Fate::Cancelled { at_s: Draw::Cancelled.between(row, from_s, until_s) }
            }
            Status::Canceled | Status::NoShow => Fate::NoShow,
        };
        let party = Party { full: u32::from(booking.adults), under_18: u32::from(booking.children) + u32::from(booking.babies) };
        let (channel, settlement) = channel(booking);
        Ok(Ok(Visit { row, museum, asked_at_s, slot, party, channel, settlement, fate }))
    }

    /// A slot of a museum (index into [`MUSEUMS`]) by its day and place in the day.
    pub fn slot(&self, museum: usize, date: Date, index: usize) -> Result<Slot, LoadError> {
        let ReplayMuseum { open, slot_minutes, .. } = MUSEUMS[museum];
        let length_s = i64::from(slot_minutes) * 60;
        let start_s = self.local_s(date.to_datetime(open))? + index as i64 * length_s;
        Ok(Slot { date, index, start_s, end_s: start_s + length_s })
    }

    /// When the count of the half hour that began at `start` (2005, local) is known in the replay.
    pub fn door_count_s(&self, start: DateTime) -> Result<i64, LoadError> {
        let moved = start.checked_add(jiff::Span::new().weeks(DOOR_SHIFT_WEEKS)).map_err(|source| out_of_time(start, source))?;
        Ok(self.local_s(moved)? + calit2::INTERVAL_MINUTES * 60)
    }

    fn local_s(&self, local: DateTime) -> Result<i64, LoadError> {
        self.zone.to_timestamp(local).map(jiff::Timestamp::as_second).map_err(|source| out_of_time(local, source))
    }
}

fn out_of_time(local: DateTime, source: jiff::Error) -> LoadError {
    LoadError::CivilTime { what: local.to_string(), zone: ZONE, source }
}

fn channel(booking: &Booking) -> (Channel, Settlement) {
    match booking.distribution_channel {
        DistributionChannel::TravelAgency | DistributionChannel::Gds => {
            (Channel::Reseller, Settlement::OnAccount(format!("agent-{}", booking.agent.unwrap_or(0))))
        }
        DistributionChannel::Corporate => (Channel::Group, Settlement::OnAccount(format!("company-{}", booking.company.unwrap_or(0)))),
        DistributionChannel::Direct | DistributionChannel::Undefined => (Channel::BoxOffice, Settlement::Desk),
    }
}

/// What is drawn; the number separates the draws of one row.
#[derive(Debug, Clone, Copy)]
enum Draw {
    Museum = 1,
    Slot = 2,
    Asked = 3,
    Cancelled = 4,
    Arrived = 5,
}

impl Draw {
    /// 64 bits that look random and are a function of the seed, the row and what is drawn.
    fn of(self, row: u64) -> u64 {
        split_mix(split_mix(SEED ^ row) ^ self as u64)
    }

    /// A second from `from_s` (included) to `until_s` (excluded); `from_s` where nothing lies between.
    fn between(self, row: u64, from_s: i64, until_s: i64) -> i64 {
        from_s + below(self.of(row), until_s.saturating_sub(from_s).max(1).unsigned_abs()) as i64
    }
}

/// One step of the SplitMix64 generator from the state `state`.
const fn split_mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Scales 64 random bits to 0..n.
const fn below(random: u64, n: u64) -> u64 {
    ((random as u128 * n as u128) >> 64) as u64
}

/// The index that 64 random bits choose, each in proportion to its weight.
fn weighted(random: u64, weights: impl Iterator<Item = u32> + Clone) -> usize {
    let mut left = below(random, weights.clone().map(u64::from).sum());
    for (index, weight) in weights.enumerate() {
        match left.checked_sub(u64::from(weight)) {
            Some(rest) => left = rest,
            None => return index,
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::hotel::{CustomerType, MarketSegment};

    fn booking(row: u64, status: Status, status_date: Date) -> Booking {
        Booking {
            row,
            booking_date: date(2016, 5, 1),
            lead_days: 2,
            arrival_date: date(2016, 5, 3),
            status,
            status_date,
            adults: 2,
            children: 1,
            babies: 1,
            market_segment: MarketSegment::OnlineAgency,
            distribution_channel: DistributionChannel::TravelAgency,
            customer_type: CustomerType::Transient,
            agent: Some(240),
            company: None,
            daily_rate_cents: 8_000,
        }
    }

    fn map(booking: &Booking) -> Result<Visit, Rejected> {
        Calendar::new().unwrap().visit(booking).unwrap()
    }

    #[test]
    fn the_hash_is_split_mix() {
        assert_eq!([0, 0x9e37_79b9_7f4a_7c15].map(split_mix), [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4], "the generator's known first outputs");
    }

    #[test]
    fn every_visit_asks_cancels_and_arrives_when_it_may() {
        let replay = Replay::load().unwrap();
        let zone = TimeZone::get(ZONE).unwrap();
        let day = |at_s| jiff::Timestamp::from_second(at_s).unwrap().to_zoned(zone.clone()).date();
        for (visit, booking) in replay.visits.iter().zip(hotel::embedded().map(Result::unwrap).filter(|b| b.people() > 0)) {
            let Visit { row, slot, asked_at_s, fate, .. } = *visit;
            assert_eq!((row, visit.party.people()), (booking.row, booking.people()));
            assert_eq!(
                (day(asked_at_s), day(slot.start_s), day(slot.end_s)),
                (booking.booking_date, booking.arrival_date, booking.arrival_date),
                "row {row}"
            );
            assert!(asked_at_s < slot.start_s - ASKED_BEFORE_START_S && asked_at_s > slot.start_s - i64::from(SALE_OPENS_DAYS) * 86_400, "row {row}");
            assert!(visit.party.people() <= u32::from(PARTY_MAX), "row {row}");
            match (fate, booking.status) {
                (Fate::Kept { arrive_at_s }, Status::CheckOut) => assert!((slot.start_s..slot.end_s).contains(&arrive_at_s), "row {row}"),
                (Fate::Cancelled { at_s }, Status::Canceled) => {
                    assert!(asked_at_s < at_s && at_s < slot.start_s, "row {row}");
                    assert_eq!(day(at_s), booking.status_date, "row {row}");
                    assert!(
                        ![REFUND.full_until_s, REFUND.part_until_s].contains(&(slot.start_s - at_s)),
                        "row {row} cancels on a border of the refund"
                    );
                }
                (Fate::NoShow, Status::NoShow) => {}
                other => panic!("row {row}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_shipped_file_gives_these_visits() {
        let replay = Replay::load().unwrap();
        assert_eq!((replay.visits.len(), replay.rejected.len()), (40_047, 13));
        assert!(replay.rejected.iter().all(|r| r.reason == Reason::Nobody));
        let per_museum: Vec<usize> = (0..3).map(|m| replay.visits.iter().filter(|v| v.museum == m).count()).collect();
        for (museum, count) in MUSEUMS.iter().zip(&per_museum) {
            let expected = replay.visits.len() * museum.weight as usize / 100;
            assert!(count.abs_diff(expected) < 500, "{}: {count} of {expected}", museum.slug);
        }
        let channels = [Channel::BoxOffice, Channel::Group, Channel::Reseller].map(|c| replay.visits.iter().filter(|v| v.channel == c).count());
        assert_eq!(channels.iter().sum::<usize>(), 40_047);
        assert!(channels[2] > 28_000 && channels[1] > 3_000 && channels[0] > 7_000, "{channels:?}");
        assert_eq!(replay, Replay::load().unwrap(), "the same file gives the same replay");
    }

    #[test]
    fn events_are_in_a_total_order_and_complete() {
        let replay = Replay::load().unwrap();
        assert!(replay.events.is_sorted_by(|a, b| a < b), "no two events compare equal");
        let count = |kind: fn(&EventKind) -> bool| replay.events.iter().filter(|e| kind(&e.kind)).count();
        assert_eq!(count(|k| matches!(k, EventKind::Book(_))), replay.visits.len());
        assert_eq!(count(|k| matches!(k, EventKind::DoorCount { .. })), 2_688);
        let kept = replay.visits.iter().filter(|v| matches!(v.fate, Fate::Kept { .. })).count();
        let cancelled = replay.visits.iter().filter(|v| matches!(v.fate, Fate::Cancelled { .. })).count();
        assert_eq!((count(|k| matches!(k, EventKind::Arrive(_))), count(|k| matches!(k, EventKind::Cancel(_)))), (kept, cancelled));
        let same_second =
            [EventKind::Cancel(9), EventKind::Book(1), EventKind::Book(2), EventKind::Arrive(0), EventKind::DoorCount { museum: 0, entries: 0 }];
        assert!(same_second.is_sorted_by(|a, b| a < b), "cancellations free places before others ask");
    }

    #[test]
    fn door_counts_keep_their_weekday_and_lie_within_the_visits() {
        let calendar = Calendar::new().unwrap();
        let zone = TimeZone::get(ZONE).unwrap();
        for (count, expected) in calit2::load().unwrap().iter().step_by(48).zip(date(2016, 7, 24).series(jiff::Span::new().days(1))) {
            let known = jiff::Timestamp::from_second(calendar.door_count_s(count.start).unwrap()).unwrap().to_zoned(zone.clone());
            assert_eq!(known.datetime(), expected.at(0, 30, 0, 0), "known when its half hour is over");
            assert_eq!(known.weekday(), count.start.weekday());
        }
    }

    #[test]
    fn a_row_becomes_what_the_table_says() {
        let day = date(2016, 5, 2);
        let visit = map(&booking(1, Status::CheckOut, day)).unwrap();
        assert_eq!((visit.party, visit.price_cents()), (Party { full: 2, under_18: 2 }, 2 * MUSEUMS[visit.museum].full_price_cents));
        assert_eq!((visit.channel, visit.settlement), (Channel::Reseller, Settlement::OnAccount("agent-240".to_owned())));
        for (via, channel, settlement) in [
            (DistributionChannel::Gds, Channel::Reseller, Settlement::OnAccount("agent-240".to_owned())),
            (DistributionChannel::Corporate, Channel::Group, Settlement::OnAccount("company-0".to_owned())),
            (DistributionChannel::Direct, Channel::BoxOffice, Settlement::Desk),
            (DistributionChannel::Undefined, Channel::BoxOffice, Settlement::Desk),
        ] {
            let visit = map(&Booking { distribution_channel: via, ..booking(1, Status::CheckOut, day) }).unwrap();
            assert_eq!((visit.channel, visit.settlement), (channel, settlement), "{via:?}");
        }
        let nobody = Booking { adults: 0, children: 0, babies: 0, ..booking(7, Status::CheckOut, day) };
        assert_eq!(map(&nobody), Err(Rejected { row: 7, reason: Reason::Nobody }));
    }

    #[test]
    fn odd_cancellations_have_a_rule() {
        for row in 1..500 {
            let same_day = Booking { arrival_date: date(2016, 5, 1), lead_days: 0, ..booking(row, Status::Canceled, date(2016, 5, 1)) };
            let visit = map(&same_day).unwrap();
            let Fate::Cancelled { at_s } = visit.fate else { panic!("row {row} is not cancelled") };
            assert!(visit.asked_at_s < at_s && at_s < visit.slot.start_s, "row {row}: asked, cancelled and due on one day");
            assert_eq!(map(&booking(row, Status::Canceled, date(2016, 5, 4))).unwrap().fate, Fate::NoShow, "cancelled after the day of the visit");
            let before = map(&booking(row, Status::Canceled, date(2016, 4, 30)));
            assert_eq!(before, Err(Rejected { row, reason: Reason::CancelledBeforeBooked }));
        }
    }

    #[test]
    fn draws_follow_their_weights_and_ranges() {
        let mut drawn = [0_u32; 3];
        for row in 0..10_000 {
            drawn[weighted(Draw::Museum.of(row), [1, 0, 3].into_iter())] += 1;
            assert!((100..103).contains(&Draw::Asked.between(row, 100, 103)));
        }
        assert!(drawn[1] == 0 && drawn[0].abs_diff(2_500) < 200, "{drawn:?}");
        assert_eq!((weighted(u64::MAX, [1, 3].into_iter()), weighted(0, [1, 3].into_iter())), (1, 0));
        assert_eq!(Draw::Asked.between(1, 100, 100), 100, "an empty range gives its start");
    }
}
