//! How a slot is when nobody has touched it yet: what the museum's plan says of it. The slot's first event writes it down, so that a later plan cannot
//! change what was sold under this one.

use serde::{Deserialize, Serialize};

use crate::channel::Channel;
use crate::ids::SlotId;
use crate::time::{DAY_S, Timestamp};

/// A slot as planned.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Opening {
    /// Which slot; its start is part of the id.
    pub slot: SlotId,
    /// The revision of the museum's plan that this comes from.
    pub revision: u32,
    /// When the slot ends; the next one of the same route usually starts then.
    pub end: Timestamp,
    /// Places to sell.
    pub capacity: u32,
    /// Each channel's share, in the order of [`Channel::ALL`].
    pub quotas: [Quota; Channel::COUNT],
    /// How the slot is sold and entered.
    pub policy: Policy,
}

/// A channel's share of a slot, until its release time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Places kept for this channel: no other channel may take them before the release.
    #[serde(default)]
    pub reserved: u32,
    /// The most that this channel may take before the release; none: all that others have not reserved.
    #[serde(default)]
    pub limit: Option<u32>,
    /// Seconds before the slot's start at which the quota ends and what is unsold returns to all.
    #[serde(default)]
    pub release_s: u32,
}

impl Quota {
    /// Whether it keeps or limits anything.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        self.reserved > 0 || self.limit.is_some()
    }
}

/// How a slot is sold and entered. All times are seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// How long before the start sales open.
    pub sale_opens_s: u32,
    /// How long before the start sales close on web, group and reseller; the channels on site (box office, kiosk) sell until the slot ends.
    pub sale_closes_s: u32,
    /// How long a hold lives.
    pub hold_ttl_s: u32,
    /// By how much the one extension of a hold prolongs it.
    pub hold_extend_s: u32,
    /// The largest party of one hold.
    pub party_max: u16,
    /// How long before the start the gate lets a ticket in.
    pub admit_early_s: u32,
    /// How long after the end the gate still lets a ticket in.
    pub admit_late_s: u32,
    /// Coming back after leaving.
    pub reentry: Reentry,
    /// What is paid back on a cancellation by the visitor.
    pub refund: Refund,
    /// The most people who may be inside the building at once, as planned when the slot was opened. What limits sales is the ceiling that comes with a reading.
    pub ceiling: Option<u32>,
    /// How long a visitor stays, on average; decides how far ahead people inside now limit sales.
    pub dwell_s: u32,
    /// A sensor's word older than this is not believed: the plan counts again.
    pub stale_after_s: u32,
    /// What one buyer may have.
    #[serde(default)]
    pub limits: Limits,
}

/// What one buyer may have, by the pseudonym that the channels web, kiosk and reseller give. Who is not named is not limited; a museum can insist that
/// somebody is named over the web. Also how long a buyer's tickets may be under review, and how places that a buyer held and did not buy come back to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The most people in holds and tickets of one slot.
    #[serde(default)]
    pub tickets_max: Option<u16>,
    /// The most live holds in one slot, together with entries of its waiting list. The shell holds a buyer to the same number over all slots of the museum that were opened
    /// under such a limit.
    #[serde(default)]
    pub holds_max: Option<u16>,
    /// The most people in holds, waiting lists and tickets of one museum on one day in Rome.
    #[serde(default)]
    pub day_max: Option<u16>,
    /// How long tickets that are to be reviewed are kept from the gate at most, in seconds; never into the visit.
    #[serde(default = "review_s")]
    pub review_s: u32,
    /// Whether places are kept over the web only for somebody: for a buyer, or a device, that is named.
    #[serde(default)]
    pub buyer_required: bool,
    /// For places that were held over the web in a scarce slot and not bought: how long they rest at most, and how long whoever held them may not hold there again. 0: not
    /// at all.
    #[serde(default)]
    pub rest_max_s: u32,
}

/// The longest rest of places that a museum may set: an hour.
pub const REST_MAX_S: u32 = 3_600;

const fn review_s() -> u32 {
    Limits::NONE.review_s
}

impl Limits {
    /// No limit, nobody who has to be named, no rest, and three days for a review.
    pub const NONE: Self =
        Self { tickets_max: None, holds_max: None, day_max: None, review_s: 3 * DAY_S as u32, buyer_required: false, rest_max_s: 0 };

    /// Whether a buyer is limited by any of them.
    #[must_use]
    pub const fn are_of_buyers(&self) -> bool {
        self.tickets_max.is_some() || self.holds_max.is_some() || self.day_max.is_some()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::NONE
    }
}

/// Whether somebody who left may come back on the same ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reentry {
    /// How many times; 0: never.
    pub times_max: u8,
    /// For how long after the first admission.
    pub within_s: u32,
}

/// What is paid back when a visitor cancels: everything until `full_until_s` before the start, then `part_percent` until `part_until_s`, then nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refund {
    /// Seconds before the start until which all is paid back.
    pub full_until_s: u32,
    /// Whole percent paid back after that (0 to 100).
    pub part_percent: u8,
    /// Seconds before the start until which that part is paid back.
    pub part_until_s: u32,
}

impl Default for Policy {
    /// Sensible values for a state museum; each site sets its own.
    fn default() -> Self {
        Self {
            sale_opens_s: 90 * DAY_S as u32,
            sale_closes_s: 0,
            hold_ttl_s: 900,
            hold_extend_s: 600,
            party_max: 30,
            admit_early_s: 900,
            admit_late_s: 900,
            reentry: Reentry { times_max: 0, within_s: 0 },
            refund: Refund { full_until_s: 2 * DAY_S as u32, part_percent: 50, part_until_s: DAY_S as u32 },
            ceiling: None,
            dwell_s: 5_400,
            stale_after_s: 900,
            limits: Limits::NONE,
        }
    }
}
