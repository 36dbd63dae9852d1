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
    /// Places to sell.
    pub capacity: u32,
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
    /// This slot's `inside` at that moment, to follow who came and went since.
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
        Self { start, capacity, closed: None, quotas, held: [0; 5], sold: [0; 5], admitted: 0, inside: 0, live: None, conflicts: 0 }
    }

    /// Places held or sold.
    #[must_use]
    pub fn taken(&self) -> u32 {
        let (held, sold) = (self.held.map(u64::from), self.sold.map(u64::from));
        at_most_max(held.iter().sum::<u64>() + sold.iter().sum::<u64>())
    }

    /// Places held or sold by one channel.
    #[must_use]
    pub const fn taken_by(&self, channel: Channel) -> u32 {
        self.held[channel.index()].saturating_add(self.sold[channel.index()])
    }

    /// The reading that counts now, if one is fresh.
    #[must_use]
    pub fn live_at(&self, now: Timestamp) -> Option<&Live> {
        self.live.as_ref().filter(|live| now < live.until)
    }

    /// How many places may be taken in all: 0 when closed, else the capacity or what sensors allow, whichever is less.
    #[must_use]
    pub fn sellable(&self, now: Timestamp) -> u32 {
        if self.closed.is_some() {
            return 0;
        }
        let cap = self.live_at(now).and_then(|live| live.sellable);
        cap.map_or(self.capacity, |cap| cap.min(self.capacity))
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
        let left = sellable.saturating_sub(self.taken());
        let open = left.saturating_sub(self.kept(now, |other| other != channel));
        let quota = &self.quotas[channel.index()];
        let own = match quota.limit {
            Some(limit) if now < self.release_at(channel) => limit.saturating_sub(self.taken_by(channel)),
            _ => u32::MAX,
        };
        if own < open {
            (own, LimitedBy::OwnLimit)
        } else if open < left {
            (open, LimitedBy::OtherQuotas)
        } else if sellable < self.capacity {
            (open, LimitedBy::LiveCap)
        } else {
            (open, LimitedBy::Capacity)
        }
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
