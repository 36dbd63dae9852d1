//! When a slot sells, and what changes by the clock alone.

use tornello_engine::channel::Channel;
use tornello_engine::time::Timestamp;

use super::super::rule;
use super::Naive;

impl Naive {
    pub(super) fn sale_end(&self, channel: Channel) -> Timestamp {
        match channel {
            Channel::BoxOffice | Channel::Kiosk => self.opening.end,
            Channel::Web | Channel::Group | Channel::Reseller => {
                self.opening.slot.start().plus_seconds(-i64::from(self.opening.policy.sale_closes_s))
            }
        }
    }

    /// The moments at which something changes here by the clock alone: a hold ends or a rest, a quota, sales, the slot or what its gate lets in, or a reading is believed no more.
    pub fn moments(&self) -> Vec<Timestamp> {
        let (policy, start, end) = (self.opening.policy, self.opening.slot.start(), self.opening.end);
        let gate = [start.plus_seconds(-i64::from(policy.admit_early_s)), end.plus_seconds(policy.admit_late_s.into())];
        let quotas = self.quotas.iter().filter(|quota| quota.reserved > 0 || quota.limit.is_some());
        let quotas = quotas.map(|quota| start.plus_seconds(-i64::from(quota.release_s)));
        let holds = self.live().map(|(_, hold)| hold.expires_at);
        let reading = self.reading.iter().map(|reading| reading.event.until);
        let ends = [end, self.sale_end(Channel::Web)].into_iter().chain(self.next_freed());
        gate.into_iter().chain(quotas).chain(holds).chain(reading).chain(ends).collect()
    }

    pub fn on_sale(&self, at: Timestamp, channel: Channel) -> Result<(), String> {
        let opens_at = self.opening.slot.start().plus_seconds(-i64::from(self.opening.policy.sale_opens_s));
        rule(self.closed.is_none(), "a closed slot sells")?;
        rule(opens_at <= at && at < self.sale_end(channel), "a slot sells outside its time")
    }
}
