//! What is suspected of tickets: which of them are blocked, and by whom, and until when somebody looks at them.

use tornello_engine::ids::{Code, HoldId, TicketId};
use tornello_engine::money::Cents;
use tornello_engine::time::Timestamp;

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
}
