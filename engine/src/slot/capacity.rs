//! How many places there are, who has them, and how many a channel may still take. Small and copyable: the shell publishes it after each commit, so that
//! availability is read without asking the slot.

use serde::{Deserialize, Serialize};

use super::opening::Quota;
use super::refusal::LimitedBy;
use crate::channel::Channel;
use crate::ids::Code;
use crate::time::Timestamp;

/// A slot's places, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Places {
    /// When the slot starts; quotas are released relative to it.
    pub start: Timestamp,
    /// Places, as planned or as staff set them.
    pub capacity: u32,
    /// What is for sale beyond them, to the public; none: staff set the places by hand, and nothing is sold beyond by itself.
    pub beyond: Option<Beyond>,
    /// Why the slot is closed for sale, if it is.
    pub closed: Option<Code>,
    /// Each channel's share, in the order of [`Channel::ALL`].
    pub quotas: [Quota; Channel::COUNT],
    /// Places in live holds, by channel.
    pub held: [u32; Channel::COUNT],
    /// Places sold and not cancelled, by channel.
    pub sold: [u32; Channel::COUNT],
    /// Tickets that were let in at least once.
    pub admitted: u32,
    /// Tickets whose holders are inside.
    pub inside: u32,
    /// What sensors said last.
    pub live: Option<Live>,
    /// Scans of gates without a network that could not stand beside what was known.
    pub conflicts: u32,
    /// Places that were held over the web and not bought, and are not free yet: they count as taken there.
    pub resting: u32,
}

/// A slot is scarce for a channel when it has less than one in so many of the places left that the channel might have in all.
const SCARCE_BELOW: u64 = 5;

/// What is for sale beyond a slot's places, because some of those who have tickets will not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Beyond {
    /// How many places more than there are.
    pub places: u32,
    /// The probability that anybody is turned away if all of them are sold, in millionths, as it was estimated when this was decided.
    pub turn_away_ppm: u32,
}

impl Beyond {
    /// Nothing, as is usual.
    pub const NONE: Self = Self { places: 0, turn_away_ppm: 0 };
}

/// What sensors said last, and what follows for this slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Live {
    /// Which sensor or estimate.
    pub source: Code,
    /// People in the building, as measured.
    pub people: u32,
    /// Its standard deviation, in people.
    pub sd: u32,
    /// When it was measured.
    pub measured_at: Timestamp,
    /// Until when it is believed.
    pub until: Timestamp,
    /// The most people who may be inside at once, as the museum said then; none: no limit.
    pub ceiling: Option<u32>,
    /// The most places of this slot that may be taken; none: no limit.
    pub sellable: Option<u32>,
    /// This slot's `inside` when it was measured, by all that is known of it now: who came and went since is the difference.
    pub inside_then: u32,
}

impl Live {
    /// People in the building at the upper bound: two standard deviations above what was measured.
    #[must_use]
    pub const fn upper(&self) -> u32 {
        self.people.saturating_add(self.sd.saturating_mul(2))
    }
}

impl Places {
    /// The places of a slot that nobody has touched.
    #[must_use]
    pub const fn untouched(start: Timestamp, capacity: u32, quotas: [Quota; Channel::COUNT]) -> Self {
        let beyond = Some(Beyond::NONE);
        Self {
            start,
            capacity,
            beyond,
            closed: None,
            quotas,
            held: [0; 5],
            sold: [0; 5],
            admitted: 0,
            inside: 0,
            live: None,
            conflicts: 0,
            resting: 0,
        }
    }

    /// Places held or sold, or that rest after they were held.
    #[must_use]
    pub fn taken(&self) -> u32 {
        let (held, sold) = (self.held.map(u64::from), self.sold.map(u64::from));
        at_most_max(held.iter().sum::<u64>() + sold.iter().sum::<u64>() + u64::from(self.resting))
    }

    /// Places held or sold by one channel; of the web also those that rest.
    #[must_use]
    pub const fn taken_by(&self, channel: Channel) -> u32 {
        let resting = if matches!(channel, Channel::Web) { self.resting } else { 0 };
        self.held[channel.index()].saturating_add(self.sold[channel.index()]).saturating_add(resting)
    }

    /// Whether few places are left for a channel: less than a fifth of those that it might have in all. Places that are kept for other channels do not count among these,
    /// whether they are taken or not.
    #[must_use]
    pub fn is_scarce(&self, channel: Channel, now: Timestamp) -> bool {
        let is_in_force = |of: Channel| now < self.release_at(of);
        let limit = self.quotas[channel.index()].limit.filter(|_| is_in_force(channel)).unwrap_or(u32::MAX);
        let others = Channel::ALL.into_iter().filter(|other| *other != channel && is_in_force(*other));
        let for_others: u64 = others.map(|other| u64::from(self.quotas[other.index()].reserved)).sum();
        let all = u64::from(self.sellable(now)).saturating_sub(for_others).min(u64::from(limit));
        u64::from(self.available(channel, now).0) * SCARCE_BELOW < all
    }

    /// The reading that counts now, if one is fresh.
    #[must_use]
    pub fn live_at(&self, now: Timestamp) -> Option<&Live> {
        self.live.as_ref().filter(|live| now < live.until)
    }

    /// How many places are for sale beyond the capacity.
    #[must_use]
    pub const fn beyond(&self) -> u32 {
        match self.beyond {
            Some(beyond) => beyond.places,
            None => 0,
        }
    }

    /// The places for sale, whether the slot is closed or sensors allow fewer: the capacity and what is sold beyond it.
    #[must_use]
    pub const fn for_sale(&self) -> u32 {
        self.capacity.saturating_add(self.beyond())
    }

    /// How many places more than there are would be for sale, if so many were asked for: no more than `ceiling`, the most people that may be sold to, leaves; but
    /// what is sold stays sold, so that no less than what is taken or kept for a channel beyond the capacity now. None: staff set the places by hand.
    #[must_use]
    pub fn beyond_if(&self, asked: u32, ceiling: Option<u32>, now: Timestamp) -> Option<u32> {
        let before = self.beyond?.places;
        let asked = ceiling.map_or(asked, |ceiling| asked.min(ceiling.saturating_sub(self.capacity)));
        let needed = self.taken().saturating_add(self.kept(now, |_| true)).saturating_sub(self.capacity);
        Some(asked.max(needed.min(before)))
    }

    /// How many places may be taken in all: 0 when closed, else those for sale or what sensors allow, whichever is less.
    #[must_use]
    pub fn sellable(&self, now: Timestamp) -> u32 {
        if self.closed.is_some() {
            return 0;
        }
        let (cap, for_sale) = (self.live_at(now).and_then(|live| live.sellable), self.for_sale());
        cap.map_or(for_sale, |cap| cap.min(for_sale))
    }

    /// When a channel's quota ends.
    #[must_use]
    pub const fn release_at(&self, channel: Channel) -> Timestamp {
        self.start.plus_seconds(-(self.quotas[channel.index()].release_s as i64))
    }

    /// Places still kept for one channel: what it has reserved and not taken, until its release.
    #[must_use]
    pub fn reserve(&self, channel: Channel, now: Timestamp) -> u32 {
        let quota = &self.quotas[channel.index()];
        if quota.reserved == 0 || now >= self.release_at(channel) { 0 } else { quota.reserved.saturating_sub(self.taken_by(channel)) }
    }

    /// How many places a channel may still take, and what holds back the rest.
    #[must_use]
    pub fn available(&self, channel: Channel, now: Timestamp) -> (u32, LimitedBy) {
        let sellable = self.sellable(now);
        let mut left = sellable.saturating_sub(self.taken());
        let kept = self.kept(now, |other| other != channel);
        let mut open = left.saturating_sub(kept);
        if self.beyond() > 0 && !channel.is_public() {
            // What is sold beyond the places is for the public: others have what is left of the places, and what is kept for them in any case.
            let (within, own) = (sellable.min(self.capacity).saturating_sub(self.taken()), self.reserve(channel, now));
            left = left.min(within.max(own));
            open = open.min(within.saturating_sub(kept).max(own));
        }
        let quota = &self.quotas[channel.index()];
        let own = match quota.limit {
            Some(limit) if now < self.release_at(channel) => limit.saturating_sub(self.taken_by(channel)),
            _ => u32::MAX,
        };
        if own < open {
            (own, LimitedBy::OwnLimit)
        } else if open < left {
            (open, LimitedBy::OtherQuotas)
        } else if sellable < self.for_sale() {
            (open, LimitedBy::LiveCap)
        } else {
            (open, LimitedBy::Capacity)
        }
    }

    /// How many places a channel would have if nobody had taken any, in the last moment before its sales end: what is kept for others until then, or is beyond its own limit,
    /// it never has.
    #[must_use]
    pub fn most_before(&self, channel: Channel, sales_end: Timestamp) -> u32 {
        let last = Timestamp::from_micros(sales_end.as_micros().saturating_sub(1));
        Self::untouched(self.start, self.capacity, self.quotas).available(channel, last).0
    }

    /// Places kept for those channels.
    fn kept(&self, now: Timestamp, counts: impl Fn(Channel) -> bool) -> u32 {
        let mut kept = 0;
        for channel in Channel::ALL {
            if self.quotas[channel.index()].reserved > 0 && counts(channel) {
                kept += u64::from(self.reserve(channel, now));
            }
        }
        at_most_max(kept)
    }

    /// How many places are taken beyond what may be sold.
    #[must_use]
    pub fn over(&self, now: Timestamp) -> u32 {
        self.excess(now).0
    }

    /// How many places are taken beyond what may be sold, and how many are taken or kept for a channel beyond it. Only an event about capacity may raise either
    /// (SL-1): who takes a place that is kept for another channel raises the second.
    #[must_use]
    pub fn excess(&self, now: Timestamp) -> (u32, u32) {
        let (taken, sellable) = (self.taken(), self.sellable(now));
        (taken.saturating_sub(sellable), taken.saturating_add(self.kept(now, |_| true)).saturating_sub(sellable))
    }

    /// People in the building now, at the upper bound, if a fresh reading says so: the reading plus who came and minus who left by this slot's gates since.
    #[must_use]
    pub fn people_upper(&self, now: Timestamp) -> Option<u32> {
        self.live_at(now).map(|live| live.upper().saturating_add(self.inside).saturating_sub(live.inside_then))
    }
}

/// Shares may be absurd, and still no sum wraps.
const fn at_most_max(sum: u64) -> u32 {
    if sum > u32::MAX as u64 { u32::MAX } else { sum as u32 }
}
