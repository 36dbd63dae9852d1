//! What a sale looks like: as it was sold, and as it is now with each of its tickets.

use serde::Serialize;
use tornello_engine::channel::Channel;
use tornello_engine::ids::{Code, HoldId, SlotId, TicketId};
use tornello_engine::slot::{DeskMethod, Line, Sale, Settlement, Ticket, TicketState, line_of, people, total};
use tornello_engine::time::Timestamp;

use crate::routes::holds::LineView;
use crate::routes::people::PersonView;
use crate::words::{ChannelWord, DeskMethodWord};

/// How a sale was paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettlementView {
    /// Nothing was due.
    Free {},
    /// Paid at a desk or kiosk.
    Desk {
        /// Which till.
        #[schema(value_type = String)]
        till: Code,
        /// `cash` or `card`.
        #[schema(value_type = DeskMethodWord)]
        method: DeskMethod,
        /// Receipt or terminal reference.
        reference: String,
    },
    /// To be invoiced to a reseller or group.
    OnAccount {
        /// Which account.
        #[schema(value_type = String)]
        account: Code,
        /// The quote that it was charged for, if it was one.
        #[serde(skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// Paid in another slot, from which the tickets have moved.
    Moved {
        /// The sale there.
        from: String,
    },
    /// Paid by a payment.
    Payment {
        /// Its id.
        id: String,
    },
}

impl From<&Settlement> for SettlementView {
    fn from(settlement: &Settlement) -> Self {
        match settlement {
            Settlement::Free => Self::Free {},
            Settlement::Desk { till, method, reference } => Self::Desk { till: *till, method: *method, reference: reference.clone() },
            Settlement::OnAccount { account } => Self::OnAccount { account: *account, quote: None },
            Settlement::Quoted { account, quote } => Self::OnAccount { account: *account, quote: Some(quote.to_string()) },
            Settlement::Moved { from } => Self::Moved { from: from.to_string() },
            Settlement::Payment { id } => Self::Payment { id: id.to_string() },
        }
    }
}

/// One person's ticket, as it was sold.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct SoldTicketView {
    /// Its id.
    #[schema(value_type = String)]
    ticket: TicketId,
    /// Its number in the sale, from 0.
    number: u16,
    /// Its category.
    #[schema(value_type = String)]
    category: Code,
    /// What it cost, in euro cents.
    price_cents: i64,
    /// What to show at the gate, in Italian; empty if the code is enough.
    proof_it: &'static str,
    /// What to show at the gate, in English; empty if the code is enough.
    proof_en: &'static str,
}

/// Places sold.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct SaleView {
    /// Its id: that of the hold, if there was one.
    #[schema(value_type = String)]
    sale: HoldId,
    /// The slot.
    #[schema(value_type = String)]
    slot: SlotId,
    /// The channel that sold.
    #[schema(value_type = ChannelWord)]
    channel: Channel,
    /// What was sold.
    lines: Vec<LineView>,
    /// For how many people.
    people: u32,
    /// One for each person.
    tickets: Vec<SoldTicketView>,
    /// What was due, in euro cents.
    total_cents: i64,
    /// How it was paid.
    settlement: SettlementView,
    /// When (RFC 3339, UTC).
    sold_at: String,
}

/// What became of a ticket.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct TicketStateView {
    /// Its id.
    ticket: String,
    /// Its number in the sale, from 0.
    number: u16,
    /// Its category.
    #[schema(value_type = String)]
    category: Code,
    /// What it cost, in euro cents.
    price_cents: i64,
    /// `valid`, `blocked`, `inside`, `outside`, `cancelled`, `moving` or `moved`.
    state: &'static str,
    /// Why it is blocked, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reason: Option<Code>,
    /// The ticket of another slot that it has become, if it was moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved_to: Option<String>,
    /// How many times it was let in.
    entries: u8,
}

/// A sale, and what became of it.
#[derive(Clone, Serialize, utoipa::ToSchema)]
pub struct SaleNowView {
    /// Its id.
    sale: String,
    /// The slot.
    slot: String,
    /// The channel that sold.
    #[schema(value_type = ChannelWord)]
    channel: Channel,
    /// What was sold.
    lines: Vec<LineView>,
    /// For how many people.
    people: u32,
    /// One for each person, as they are now.
    tickets: Vec<TicketStateView>,
    /// What was due, in euro cents.
    total_cents: i64,
    /// What of it was paid back, or is to be, in euro cents.
    refunded_cents: i64,
    /// What of it stands in other slots, because tickets have moved there, in euro cents.
    carried_cents: i64,
    /// How it was paid.
    settlement: SettlementView,
    /// When (RFC 3339, UTC).
    sold_at: String,
    /// The order that it belongs to, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
    /// Whom to write to, for callers with desk rights, while it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<PersonView>,
}

impl SaleNowView {
    pub(super) fn new(id: HoldId, sale: &Sale, contact: Option<PersonView>) -> Self {
        let ticket = |(number, ticket): (u16, &Ticket)| {
            let line = line_of(&sale.lines, number)?;
            let (state, reason) = state_of(ticket);
            Some(TicketStateView {
                ticket: id.ticket(number).to_string(),
                number,
                category: line.category,
                price_cents: line.price_cents.get(),
                state,
                reason,
                moved_to: moved_to(sale, number).map(|to| to.to_string()),
                entries: entries_of(ticket),
            })
        };
        Self {
            sale: id.to_string(),
            slot: id.slot().to_string(),
            channel: sale.channel,
            lines: sale.lines.iter().map(LineView::from).collect(),
            people: people(&sale.lines),
            tickets: (0..).zip(&sale.tickets).filter_map(ticket).collect(),
            total_cents: total(&sale.lines).get(),
            refunded_cents: sale.refunded_cents.get(),
            carried_cents: sale.carried_cents.get(),
            settlement: SettlementView::from(&sale.settlement),
            sold_at: sale.sold_at.to_string(),
            order: sale.order.map(|order| order.to_string()),
            contact,
        }
    }
}

/// The state of a ticket in one word, with the reason of a block.
pub fn state_of(ticket: &Ticket) -> (&'static str, Option<Code>) {
    match (ticket.state, ticket.blocked) {
        (TicketState::Cancelled, _) => ("cancelled", None),
        (TicketState::Moving, _) => ("moving", None),
        (TicketState::Moved, _) => ("moved", None),
        (_, Some(reason)) => ("blocked", Some(reason)),
        (TicketState::Valid, None) => ("valid", None),
        (TicketState::Inside { .. }, None) => ("inside", None),
        (TicketState::Outside { .. }, None) => ("outside", None),
    }
}

/// The ticket of another slot that a ticket has become, if it has.
pub fn moved_to(sale: &Sale, number: u16) -> Option<TicketId> {
    let has_moved = sale.tickets.get(usize::from(number)).is_some_and(|ticket| ticket.state == TicketState::Moved);
    if has_moved { sale.moved_to(number) } else { None }
}

/// How many times a ticket was let in.
pub const fn entries_of(ticket: &Ticket) -> u8 {
    match ticket.state {
        TicketState::Inside { entries, .. } | TicketState::Outside { entries, .. } => entries,
        TicketState::Valid | TicketState::Cancelled | TicketState::Moving | TicketState::Moved => 0,
    }
}

fn sold_tickets(sale: HoldId, lines: &[Line]) -> Vec<SoldTicketView> {
    let lines = lines.iter().flat_map(|line| std::iter::repeat_n(line, usize::from(line.count)));
    let ticket = |(number, line): (u16, &Line)| SoldTicketView {
        ticket: sale.ticket(number),
        number,
        category: line.category,
        price_cents: line.price_cents.get(),
        proof_it: line.proof.show_it(),
        proof_en: line.proof.show_en(),
    };
    (0..).zip(lines).map(ticket).collect()
}

impl SaleView {
    /// What was sold, at which time, as the slot wrote it down.
    pub fn new(sale: HoldId, channel: Channel, lines: &[Line], settlement: &Settlement, sold_at: Timestamp) -> Self {
        Self {
            sale,
            slot: sale.slot(),
            channel,
            lines: lines.iter().map(LineView::from).collect(),
            people: people(lines),
            tickets: sold_tickets(sale, lines),
            total_cents: total(lines).get(),
            settlement: SettlementView::from(settlement),
            sold_at: sold_at.to_string(),
        }
    }
}
