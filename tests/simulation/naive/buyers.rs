//! What one buyer has of a slot, and may have, by whichever pseudonyms the channel knows them: counted from all holds, sales and entries for each question.

use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope, PartyKind};
use tornello_engine::ids::HoldId;
use tornello_engine::slot::{Event, Keeper};
use tornello_engine::time::Timestamp;

use super::super::rule;
use super::{Entry, Hold, Naive, people};

impl Naive {
    /// The people and the live holds that somebody has here, without what they wait for.
    pub fn had(&self, buyer: Digest) -> (u32, u32) {
        let holds: Vec<&Hold> = self.live().map(|(_, hold)| hold).filter(|hold| hold.buyer == Some(buyer)).collect();
        let sales = self.sales.values().filter(|sale| sale.buyer == Some(buyer));
        let tickets = sales.flat_map(|sale| &sale.tickets).filter(|ticket| !ticket.cancelled && !self.has_moved(ticket)).count() as u32;
        (holds.iter().map(|hold| people(&hold.lines)).sum::<u32>() + tickets, holds.len() as u32)
    }

    /// The people for whom somebody waits here, and how many times.
    fn awaits(&self, buyer: Digest) -> (u32, u32) {
        let entries: Vec<&Entry> = self.waiting().filter(|entry| entry.buyer == Some(buyer)).collect();
        (entries.iter().map(|entry| people(&entry.lines)).sum(), entries.len() as u32)
    }

    /// The people whom somebody, by any of these pseudonyms, has and waits for here, and the holds and entries.
    pub fn all_of(&self, buyers: &[Digest]) -> (u32, u32) {
        let of = buyers.iter().map(|buyer| (self.had(*buyer), self.awaits(*buyer)));
        of.fold((0, 0), |sum, (had, awaits)| (sum.0 + had.0 + awaits.0, sum.1 + had.1 + awaits.1))
    }

    /// Nobody has more of a slot than its museum lets one buyer have, by whichever pseudonym.
    pub(super) fn within_limits(&self, buyers: &[Digest], channel: Channel, more: u32, opens: bool) -> Result<(), String> {
        if buyers.is_empty() || !is_limited(channel) {
            return Ok(());
        }
        let limits = self.opening.policy.limits;
        let (has, holds) = self.all_of(buyers);
        let few = more == 0 || limits.tickets_max.is_none_or(|max| has + more <= u32::from(max));
        rule(few, "a buyer has more of a slot than anybody may (SL-11)").map_err(|wrong| format!("{wrong}: {has} and {more}"))?;
        rule(!opens || limits.holds_max.is_none_or(|max| holds < u32::from(max)), "a buyer has more open holds than anybody may (SL-11)")
    }

    /// The people whom somebody has or waits for here, through the channels in which they count for the day.
    pub fn people_of_day(&self, buyer: Digest) -> u32 {
        let is_theirs = |of: Option<Digest>, channel: Channel| of == Some(buyer) && is_limited(channel);
        let holds = self.live().filter(|(_, hold)| is_theirs(hold.buyer, hold.channel)).map(|(_, hold)| people(&hold.lines)).sum::<u32>();
        let waits = self.waiting().filter(|entry| is_theirs(entry.buyer, entry.channel)).map(|entry| people(&entry.lines)).sum::<u32>();
        let sales = self.sales.values().filter(|sale| is_theirs(sale.buyer, sale.channel));
        let tickets = sales.flat_map(|sale| &sale.tickets).filter(|ticket| !ticket.cancelled && !self.has_moved(ticket)).count() as u32;
        holds + waits + tickets
    }

    /// For how many people an event asks for the day of its slot, and by which pseudonyms; none if it asks for nothing that is limited.
    pub fn asks_of_day(&self, event: &Event, named: &[Digest]) -> Option<(Vec<Digest>, u32)> {
        let (channel, buyers, more) = match event {
            Event::Held(held) => (held.channel, named.to_vec(), people(&held.lines)),
            Event::Waited(waited) => (waited.channel, named.to_vec(), people(&waited.lines)),
            Event::Sold(sold) if !sold.held => (sold.channel, named.to_vec(), people(&sold.lines)),
            Event::Sold(sold) => {
                let hold = self.holds.get(&sold.sale).filter(|hold| hold.buyer.is_none())?;
                (hold.channel, named.to_vec(), people(&hold.lines))
            }
            Event::Prolonged(prolonged) if matches!(prolonged.cause, Keeper::Payment(_)) => {
                let hold = self.holds.get(&prolonged.hold).filter(|hold| hold.buyer.is_none())?;
                (hold.channel, named.to_vec(), people(&hold.lines))
            }
            Event::Arrived(arrived) => (arrived.channel, arrived.buyer.into_iter().collect(), people(&arrived.lines)),
            _ => return None,
        };
        (is_limited(channel) && !buyers.is_empty()).then_some((buyers, more))
    }

    /// How many holds and entries of somebody are open here, through the channels in which they count for the museum.
    pub fn open_of(&self, buyer: Digest) -> u32 {
        let is_theirs = |of: Option<Digest>, channel: Channel| of == Some(buyer) && is_limited(channel);
        let holds = self.live().filter(|(_, hold)| is_theirs(hold.buyer, hold.channel)).count();
        (holds + self.waiting().filter(|entry| is_theirs(entry.buyer, entry.channel)).count()) as u32
    }

    /// Whether an event opens a hold or an entry that counts for the museum.
    pub fn opens(event: &Event) -> bool {
        match event {
            Event::Held(held) => is_limited(held.channel),
            Event::Waited(waited) => is_limited(waited.channel),
            _ => false,
        }
    }

    /// The holds that live for somebody whom the channel knows, and that no payment keeps.
    pub fn held_by_buyers(&self) -> Vec<(HoldId, Digest)> {
        self.live().filter(|(_, hold)| hold.paying.is_none()).filter_map(|(id, hold)| Some((*id, hold.buyer?))).collect()
    }

    /// The tickets that stand of buyers whom the channel knows and limits: of which sale, which of its tickets, and whose.
    pub fn bought_by_buyers(&self) -> Vec<(HoldId, u16, Digest)> {
        let mut all = Vec::new();
        for (id, sale) in &self.sales {
            let Some(buyer) = sale.buyer.filter(|_| is_limited(sale.channel)) else { continue };
            all.extend((0..).zip(&sale.tickets).filter(|(_, ticket)| ticket.stands()).map(|(number, _)| (*id, number, buyer)));
        }
        all
    }

    /// Until when somebody, by any of these pseudonyms, holds none of these places again.
    pub fn barred_until(&self, buyers: &[Digest]) -> Option<Timestamp> {
        self.barred.iter().filter(|(barred, _)| buyers.contains(barred)).map(|(_, until)| *until).max()
    }

    pub(super) fn has_let_none_go(&self, at: Timestamp, buyers: &[Digest], channel: Channel) -> Result<(), String> {
        let barred = self.barred_until(buyers).filter(|until| at < *until && channel == Channel::Web);
        rule(barred.is_none(), "whoever let places go has some again before others might have")
    }
}

/// The channels whose staff do not see who buys.
fn is_limited(channel: Channel) -> bool {
    !matches!(channel, Channel::BoxOffice | Channel::Group)
}

/// The one who buys, as the channel knows them.
pub(super) fn buyer_of(envelope: &Envelope) -> Option<Digest> {
    envelope.parties.iter().find(|party| party.kind == PartyKind::Buyer).map(|party| party.pseudonym)
}
