//! What is suspected of tickets: which of them are blocked, and by whom, and until when somebody looks at them.

use tornello_engine::ids::{Code, HoldId, TicketId};
use tornello_engine::money::Cents;
use tornello_engine::time::Timestamp;

use super::super::rule;
use super::{Naive, Ticket};

/// Why a ticket lets nobody in though it stands: whether staff block it, whether a verdict does, and until when it is looked at.
pub type Suspected = (bool, bool, Option<Timestamp>);

impl Naive {
    /// What is suspected of each ticket.
    pub fn suspected(&self) -> Vec<(TicketId, Suspected)> {
        let mut all: Vec<(TicketId, Suspected)> = self.sales.keys().flat_map(|sale| self.suspected_of(*sale, |_| true)).collect();
        all.sort_unstable();
        all
    }

    /// What is suspected of the tickets of a sale that stand.
    pub fn standing_of(&self, sale: HoldId) -> Vec<(TicketId, Suspected)> {
        self.suspected_of(sale, Ticket::stands)
    }

    /// The tickets of a sale that a verdict blocks, whatever became of them.
    pub fn fraud_of(&self, sale: HoldId) -> Vec<TicketId> {
        self.suspected_of(sale, |ticket| ticket.is_fraud).into_iter().map(|(ticket, _)| ticket).collect()
    }

    /// Whether somebody looks at the tickets of a sale.
    pub fn is_under_review(&self, at: Timestamp, sale: HoldId) -> bool {
        !self.suspected_of(sale, |ticket| ticket.is_reviewed(at)).is_empty()
    }

    /// When a review that begins now would be over; none if there is no time for one.
    pub fn review_ends(&self, at: Timestamp) -> Option<Timestamp> {
        self.in_time(at, at.plus_seconds(self.opening.policy.limits.review_s.into()))
    }

    /// What the slot takes for now, if a clock says that.
    pub fn now(&self, at: Timestamp) -> Timestamp {
        self.records.last().map_or(at, |last| last.at.max(at))
    }

    /// What tickets of a sale cost, of each category.
    pub fn prices(&self, sale: HoldId) -> Vec<(Code, Cents)> {
        let mut prices: Vec<(Code, Cents)> = Vec::new();
        for ticket in self.sales.get(&sale).map(|sale| sale.tickets.as_slice()).unwrap_or_default() {
            if prices.iter().all(|(category, _)| *category != ticket.line.category) {
                prices.push((ticket.line.category, ticket.line.price_cents));
            }
        }
        prices
    }

    fn suspected_of(&self, sale: HoldId, which: impl Fn(&Ticket) -> bool) -> Vec<(TicketId, Suspected)> {
        let tickets = self.sales.get(&sale).map(|sale| sale.tickets.as_slice()).unwrap_or_default();
        let found = (0..).zip(tickets).filter(|(_, ticket)| which(ticket));
        found.map(|(number, ticket)| (sale.ticket(number), (ticket.blocked, ticket.is_fraud, ticket.review_until))).collect()
    }

    pub(super) fn block(&mut self, at: Timestamp, sale: HoldId, numbers: &[u16], reason: Code) -> Result<(), String> {
        rule(!numbers.is_empty(), "no ticket is blocked")?;
        for number in numbers {
            let ticket = self.ticket(sale.ticket(*number))?;
            rule(!ticket.cancelled && ticket.gone.is_none(), "a ticket is blocked that does not count here")?;
            let ticket = ticket.changes(at);
            if reason.as_str() == "fraud" { ticket.is_fraud = true } else { ticket.blocked = true }
        }
        Ok(())
    }

    /// All that blocks tickets is lifted, or that alone, and then something else is left.
    pub(super) fn unblock(&mut self, at: Timestamp, sale: HoldId, numbers: &[u16], only: Option<Code>) -> Result<(), String> {
        rule(!numbers.is_empty(), "no ticket is unblocked")?;
        for number in numbers {
            let ticket = self.ticket(sale.ticket(*number))?;
            rule(ticket.is_blocked(), "a ticket is unblocked that was not blocked")?;
            rule(only.is_none() || (ticket.blocked && ticket.is_fraud), "a block is lifted and no other one is left")?;
            let ticket = ticket.changes(at);
            match only.map(|only| only.as_str() == "fraud") {
                Some(true) => ticket.is_fraud = false,
                Some(false) => ticket.blocked = false,
                None => (ticket.blocked, ticket.is_fraud) = (false, false),
            }
        }
        Ok(())
    }
}
