//! What one buyer may have in a slot: so many people in holds and tickets, so many open holds. A buyer is known by the pseudonym that a channel gives; who is not
//! named is not limited, nor are the channels whose staff see the buyer. The museum's policy says how much, and whether somebody has to be named over the web; what a buyer
//! has is counted in the ledger (SL-11).

use super::event::{Keeper, Line, people};
use super::{Command, Limits, Refusal, Slot, Waiting};
use crate::channel::Channel;
use crate::envelope::{Digest, Envelope};
use crate::time::{MICROS_PER_S, Timestamp};

/// What a buyer has in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Had {
    /// People in live holds, and in tickets that are not cancelled and have not moved away.
    pub people: u32,
    /// Live holds.
    pub holds: u32,
}

impl Had {
    const fn plus(self, other: Self) -> Self {
        Self { people: self.people.saturating_add(other.people), holds: self.holds.saturating_add(other.holds) }
    }
}

/// The channels in which buyers are limited.
#[must_use]
pub const fn is_limited(channel: Channel) -> bool {
    matches!(channel, Channel::Web | Channel::Kiosk | Channel::Reseller)
}

impl Slot {
    /// What a buyer has.
    #[must_use]
    pub fn had(&self, buyer: Digest) -> Had {
        self.ledger.buyers.get(&buyer).copied().unwrap_or_default()
    }

    /// Whether the buyer whom the envelope names may have what is asked. Asked last: what cannot be had anyway is refused for that.
    pub(super) fn within_limits(&self, now: Timestamp, envelope: &Envelope, command: &Command) -> Result<(), Refusal> {
        self.for_somebody(envelope, command)?;
        self.not_renewed(now, envelope, command)?;
        if self.limits() == (None, None) {
            return Ok(());
        }
        let (tickets, hold) = (|lines: &[Line]| Had { people: people(lines), holds: 0 }, |lines: &[Line]| Had { people: people(lines), holds: 1 });
        match command.unnamed() {
            Command::Hold { channel, lines, .. } | Command::HoldFor { channel, lines, .. } | Command::Wait { channel, lines, .. } => {
                self.room_for_buyer(envelope.buyers(), *channel, hold(lines))
            }
            Command::SellDirect { channel, lines, .. } => self.room_for_buyer(envelope.buyers(), *channel, tickets(lines)),
            // Who is named when the hold is confirmed, and not before, has had nothing counted of it.
            Command::Sell { hold, .. } | Command::SellPaid { hold, .. } => match self.ledger.holds.get(hold) {
                Some(held) if held.buyer.is_none() => self.room_for_buyer(envelope.buyers(), held.channel, tickets(&held.lines)),
                _ => Ok(()),
            },
            // So has who is named with a payment: the hold is theirs from then on.
            Command::Bind { hold: id, .. } | Command::Prolong { hold: id, cause: Keeper::Payment(_), .. } => match self.ledger.holds.get(id) {
                Some(held) if held.buyer.is_none() => self.room_for_buyer(envelope.buyers(), held.channel, hold(&held.lines)),
                _ => Ok(()),
            },
            Command::Amend { hold, lines, .. } => match self.ledger.holds.get(hold) {
                Some(held) => {
                    let more = Had { people: people(lines).saturating_sub(people(&held.lines)), holds: 0 };
                    // Whoever amends their own hold goes by the other pseudonym as well.
                    if held.buyer.is_some_and(|buyer| envelope.buyers().any(|named| named == buyer)) {
                        self.room_for_buyer(envelope.buyers(), held.channel, more)
                    } else {
                        self.room_for_buyer(held.buyer.into_iter(), held.channel, more)
                    }
                }
                None => Ok(()),
            },
            // Of whoever bought them, who may have places here by other pseudonyms: they are known where the one who buys is named for the move.
            Command::Arrive { arrived, .. } => {
                let buyers = arrived.buyer.into_iter().flat_map(|buyer| envelope.also_known(buyer));
                self.room_for_buyer(buyers, arrived.channel, tickets(&arrived.lines))
            }
            _ => Ok(()),
        }
    }

    /// Whether somebody is named where the museum wants that of places over the web. Who confirms a hold has been named when it was made. Tickets that nobody was named for are
    /// no way in either, but at a desk, where somebody sees who asks.
    fn for_somebody(&self, envelope: &Envelope, command: &Command) -> Result<(), Refusal> {
        if !self.opening.policy.limits.buyer_required {
            return Ok(());
        }
        let is_missing = match command.unnamed() {
            Command::Hold { channel, .. } | Command::Wait { channel, .. } | Command::SellDirect { channel, .. } => {
                *channel == Channel::Web && !envelope.names_somebody()
            }
            Command::Arrive { arrived, via, named, .. } => arrived.channel == Channel::Web && *via == Channel::Web && !named,
            _ => false,
        };
        if is_missing { Err(Refusal::BuyerMissing) } else { Ok(()) }
    }

    /// Refuses places over the web to a buyer or a device that has just let places of this slot go, which others are to have first. Who buys at once keeps nothing from others,
    /// and is not refused.
    fn not_renewed(&self, now: Timestamp, envelope: &Envelope, command: &Command) -> Result<(), Refusal> {
        let (channel, holder) = match command.unnamed() {
            Command::Hold { channel, .. } | Command::HoldFor { channel, .. } | Command::Wait { channel, .. } => (*channel, [None; 2]),
            Command::Amend { hold, lines, .. } => match self.ledger.holds.get(hold) {
                Some(hold) if people(lines) > people(&hold.lines) => (hold.channel, [hold.buyer, hold.device]),
                _ => return Ok(()),
            },
            _ => return Ok(()),
        };
        if channel != Channel::Web {
            return Ok(());
        }
        let parties = envelope.buyers().chain(envelope.devices()).chain(holder.into_iter().flatten());
        match parties.filter_map(|party| self.ledger.rests.barred_until(party)).max().filter(|until| now < *until) {
            Some(again_at) => {
                let wait_s = u32::try_from((again_at.micros_since(now) + MICROS_PER_S - 1) / MICROS_PER_S).unwrap_or(u32::MAX);
                Err(Refusal::HoldRenewed { again_at, wait_s })
            }
            None => Ok(()),
        }
    }

    const fn limits(&self) -> (Option<u16>, Option<u16>) {
        let Limits { tickets_max, holds_max, .. } = self.opening.policy.limits;
        (tickets_max, holds_max)
    }

    /// Whether a buyer, by whichever pseudonym, may have so many more people here, and so many more open holds.
    pub(super) fn room_for_buyer(&self, buyers: impl Iterator<Item = Digest>, channel: Channel, more: Had) -> Result<(), Refusal> {
        let (tickets_max, holds_max) = self.limits();
        if !is_limited(channel) {
            return Ok(());
        }
        // Who is not named is not limited.
        let Some(has) = buyers.map(|buyer| self.has(buyer)).reduce(Had::plus) else { return Ok(()) };
        let all = has.plus(more);
        match (tickets_max, holds_max) {
            (Some(max), _) if more.people > 0 && all.people > u32::from(max) => Err(Refusal::TooManyForBuyer { max, has: has.people }),
            (_, Some(max)) if more.holds > 0 && all.holds > u32::from(max) => Err(Refusal::TooManyOpenHolds { max }),
            _ => Ok(()),
        }
    }

    /// What a buyer has by one pseudonym, with what they wait for.
    fn has(&self, buyer: Digest) -> Had {
        self.waited_for(buyer).map(|people| Had { people, holds: 1 }).fold(self.had(buyer), Had::plus)
    }

    /// For how many people each entry of a buyer waits. The list is short, and nearly always empty.
    fn waited_for(&self, buyer: Digest) -> impl Iterator<Item = u32> {
        self.ledger.list.iter().filter(move |party| party.buyer == Some(buyer)).map(Waiting::people)
    }
}
