//! A timeslot: the unit of truth. It owns its places, holds, sales and tickets, and decides every command about them alone.
//!
//! Four functions, synchronous, total and deterministic, as of every stream ([`crate::aggregate`]): [`Slot::decide`] holds all rules, [`Slot::apply`] none,
//! [`Slot::check`] asserts the invariants in O(1), [`Slot::wake_at`] names the next deadline. The invariants:
//!
//! - SL-1: an event that takes places leaves no more taken than there are, or than are sold beyond these, nor takes places that are kept for another channel; only
//!   an event about capacity may leave an excess, and no later event increases it.
//! - SL-2: a hold ends once: it is live, or sold, or released, or expired, and never two of these.
//! - SL-3: a ticket is inside at most once, and a cancelled or moved ticket never.
//! - SL-4: replay equals live: the records of a slot, applied in order, give the same state to the byte.
//! - SL-5: the counters equal a full recount of holds and tickets.
//! - SL-6: what is refunded of a sale, or carried to other slots with its tickets, is never more than what it cost.
//! - SL-7: the time of a record never goes backwards within a slot.
//! - SL-8: every live hold has its deadline, so that it neither lives for ever nor ends unseen.
//! - SL-9: an entry of the waiting list waits, or has an offer, or has ended, and never two of these; an offer is a live hold of the entry's id.
//! - SL-10: every refund of a sale is owed a word to whoever has its money (a payment, also one made for a desk's sale, or an account), or was handed over, once.
//! - SL-11: what is counted of a buyer is what its live holds and standing tickets add up to.
//! - SL-12: what a payment keeps is sold by that payment, or by whoever knows that it needs it no more.
//! - SL-13: places that rest are counted as taken, and each has the moment at which it comes free.
//!
//! The rules of each command are in `hold`, `sale`, `moves` (to another slot, to another person), `gate`, `desk` (what staff and sensors change), `waiting` and `rest` (what was held
//! and not bought). What a buyer may have is in `buyer`, what is looked at before it is valid in `review`. What a gate says of a ticket is in [`verdict`], what several gates say of one,
//! in whatever order they tell it, in `passages`.

mod buyer;
mod capacity;
mod command;
mod desk;
mod event;
mod gate;
mod hold;
mod moves;
mod opening;
mod passages;
mod refusal;
mod rest;
mod review;
mod sale;
mod state;
#[cfg(test)]
mod tests;
pub mod verdict;
mod waiting;
mod waiting_list;

pub use buyer::{Had, is_limited};
pub use capacity::{Beyond, Live, Places};
pub use command::Command;
pub use event::*;
pub use hold::PAYMENT_KEEPS_S;
pub use moves::MoveFate;
pub use opening::{Limits, Opening, Policy, Quota, REST_MAX_S, Reentry, Refund};
pub use passages::Crossing;
pub use refusal::{LimitedBy, Refusal, STEPS, STEPS_AT_GATE, STEPS_OF_SCANS};
pub use review::REVIEW_ENDS_BEFORE_S;
pub use sale::Unused;
pub use state::{FRAUD, Hold, Move, MoveStage, Sale, Ticket, TicketState};
pub use waiting_list::{EntryEnd, Offer, Standing, Waiting, WaitingEnd};

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Broken};
use crate::channel::Channel;
use crate::envelope::Envelope;
use crate::ids::{Code, HoldId, SlotId, TicketId};
use crate::money::Cents;
use crate::past::Past;
use crate::record::Record;
use crate::time::Timestamp;
use state::Ledger;
use verdict::Shown;

/// A timeslot. Build it as planned with [`Slot::planned`], or from its records with [`Slot::replay`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    opening: Opening,
    /// Whether the slot has been written to: its first event says how it was planned.
    opened: bool,
    places: Places,
    ledger: Ledger,
    past: Past,
    /// The excess that the last event about capacity left, lowered by every event since (SL-1).
    over_allowed: u32,
    promised_over_allowed: u32,
}

impl Aggregate for Slot {
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn past(&self) -> &Past {
        &self.past
    }

    /// What happens if this command comes now, or why not. Time never goes backwards: `now` counts as at least the time of the last record.
    fn decide(&self, now: Timestamp, command: &Command) -> Result<Vec<Event>, Refusal> {
        let now = self.past.at_least(now);
        let mut events = match command {
            Command::Hold { hold, channel, lines } => self.hold(now, *hold, *channel, lines),
            Command::Extend { hold, owner } => self.extend(now, *hold, *owner),
            Command::Release { hold, owner } => self.release(now, *hold, *owner, None),
            Command::GiveBack { hold, owner, over } => self.release(now, *hold, *owner, Some(*over)),
            Command::Sell { .. } | Command::SellPaid { .. } | Command::SellDirect { .. } => self.selling(now, command),
            Command::SellNamed { sell, holder } => self.sell_named(now, sell, *holder),
            Command::Cancel { sale, owner, tickets, cause } => self.cancel(now, *sale, *owner, tickets, *cause),
            Command::CorrectCause { sale, owner } => self.correct_cause(*sale, *owner),
            Command::Block { sale, tickets, reason } => self.block(*sale, tickets, *reason),
            Command::Unblock { sale, tickets, reason, keeps } => self.unblock(*sale, tickets, *reason, *keeps),
            Command::Admit { ticket, issue, gate, museum } => self.admit(now, Shown { ticket: *ticket, issue: *issue, museum: *museum }, *gate, None),
            Command::AdmitWithin { ticket, issue, gate, museum, room } => {
                let shown = Shown { ticket: *ticket, issue: *issue, museum: *museum };
                self.admit(now, shown, *gate, Some(*room))
            }
            Command::Exit { ticket, gate, museum } => self.exit(now, *ticket, *gate, *museum),
            Command::SetCapacity { capacity } => Ok(vec![Event::CapacitySet(CapacitySet { capacity: *capacity })]),
            Command::SetQuotas { quotas } => self.set_quotas(*quotas),
            Command::Close { reason } => self.close(*reason),
            Command::Reopen => self.reopen(now),
            Command::CloseWithDay { reason } => self.close_with_day(now, *reason),
            Command::ReopenWithDay { reason, still } => self.reopen_with_day(now, *reason, *still),
            Command::ReopenAsPlanned { reason, opening } => self.reopen_as_planned(now, *reason, opening),
            Command::Observe { source, inside, sd, measured_at, ceiling, grant, words } => {
                self.observe(now, (*source, words), (*inside, *sd), *measured_at, *ceiling, *grant)
            }
            Command::Merge { scan, issue, museum } => self.merge(now, *scan, *issue, *museum),
            Command::Wait { entry, who, channel, lines } => self.wait(now, *entry, *who, *channel, lines),
            Command::LeaveWaiting { entry, owner } => self.leave_waiting(now, *entry, *owner),
            Command::WaitForFewer { entry, counts, owner, over } => self.wait_for_fewer(now, *entry, counts, *owner, *over),
            Command::BeginMove { sale, owner, tickets, arrival, via, prices } => {
                self.begin_move(now, (*sale, *owner), tickets, (*arrival, *via), prices)
            }
            Command::Arrive { arrived, via, asks_review, review_until, .. } => self.arrive(now, arrived, *via, (*asks_review, *review_until)),
            Command::FinishMove { arrival } => self.finish_move(*arrival),
            Command::UndoMove { arrival, why } => self.undo_move(*arrival, why),
            Command::Rename { sale, owner, tickets, holder } => self.rename(now, *sale, *owner, tickets, *holder),
            Command::HoldFor { hold, channel, lines, until, cause } => self.hold_for(now, *hold, *channel, lines, (*until, *cause)),
            Command::Prolong { hold, until, cause } => self.prolong(now, *hold, *until, *cause),
            Command::Bind { hold, payment, over } => self.bind(now, *hold, *payment, *over),
            Command::Amend { hold, lines, owner } => self.amend(now, *hold, lines, *owner),
            Command::Shrink { hold, counts, owner, over } => self.shrink(now, *hold, counts, *owner, *over),
            Command::HandedOver { sale, seq } => self.handed_over(*sale, *seq),
            Command::Review { sale } => self.review(now, *sale),
            Command::EndReview { sale, cleared } => self.end_review(now, *sale, *cleared),
            Command::SellBeyond { beyond, ceiling, turn_away_ppm } => self.sell_beyond(now, *beyond, *ceiling, *turn_away_ppm),
            Command::Drawn { asked, draw } => return self.drawn(now, asked, *draw),
        }?;
        if !self.opened && !events.is_empty() {
            // Its day was called off before anybody had written to it.
            if let Some(reason) = self.places.closed.filter(|_| !matches!(events.first(), Some(Event::Closed(_)))) {
                events.insert(0, Event::Closed(Closed { reason }));
            }
            events.insert(0, Event::Opened(Opened { opening: self.opening.clone() }));
        }
        Ok(events)
    }

    /// As `decide`, and beside that: refuses what is more than its buyer may have, and puts a sale that is to be reviewed under review in the same record.
    fn decide_for(&self, now: Timestamp, envelope: &Envelope, command: &Command) -> Result<Vec<Event>, Refusal> {
        let mut events = self.decide(now, command)?;
        self.within_limits(self.past.at_least(now), envelope, command)?;
        events.extend(self.reviewed(self.past.at_least(now), envelope, &events));
        Ok(events)
    }

    /// What is due, a bounded number of events, in this order: places that have rested come free, holds whose time has come expire, then the waiting list is served. The order
    /// matters after an outage: whether what expires has to rest depends on how many places are left, and those that have rested are among these.
    fn due(&self, now: Timestamp) -> Vec<Event> {
        let now = self.past.at_least(now);
        let mut events = self.wake_rested(now);
        if events.is_empty() {
            events = self.expire(now);
        }
        if events.is_empty() && !self.ledger.list.is_empty() {
            events = self.serve(now);
        }
        events
    }

    /// Takes in what happened. There is no rule here and nothing can fail; an event about something unknown changes nothing.
    fn apply(&mut self, record: &Record<Event>) {
        self.past.take(record);
        for event in &record.events {
            self.apply_event(record, event);
            let (over, promised) = self.places.excess(record.at);
            let about_capacity = event.is_about_capacity();
            self.over_allowed = if about_capacity { over } else { over.min(self.over_allowed) };
            self.promised_over_allowed = if about_capacity { promised } else { promised.min(self.promised_over_allowed) };
        }
    }

    /// Whether the state after the last record is sound, in O(1). The shell asks before a record may be written.
    fn check(&self) -> Result<(), Broken> {
        let broken = |invariant, what| Err(Broken { invariant, what });
        let (over, promised) = self.places.excess(self.past.last_at());
        if over > self.over_allowed {
            return broken("SL-1", "more places are taken than there are");
        }
        if promised > self.promised_over_allowed {
            return broken("SL-1", "places kept for another channel were taken");
        }
        if !self.ledger.holds_have_deadlines() {
            return broken("SL-8", "a hold has no deadline");
        }
        if !self.ledger.list.is_sound(self.ledger.holds.len()) {
            return broken("SL-9", "an entry of the waiting list stands twice");
        }
        if (self.places.resting == 0) != self.ledger.rests.next().is_none() {
            return broken("SL-13", "places rest and have no moment at which they come free, or the other way round");
        }
        if self.places.inside > self.places.admitted {
            return broken("SL-3", "more tickets are inside than were let in");
        }
        Ok(())
    }

    /// When the slot next wants [`Slot::due`], if ever.
    fn wake_at(&self) -> Option<Timestamp> {
        self.next_expiry().into_iter().chain(self.ledger.rests.next()).chain(self.serve_at()).min()
    }
}

impl Slot {
    /// The slot as planned, not yet written to.
    #[must_use]
    pub fn planned(opening: Opening) -> Self {
        Self::planned_on(opening, None)
    }

    /// As [`Slot::planned`], closed if its day was called off before anybody has written to it.
    #[must_use]
    pub fn planned_on(opening: Opening, called_off: Option<Code>) -> Self {
        let places = Places { closed: called_off, ..Places::untouched(opening.slot.start(), opening.capacity, opening.quotas) };
        let (_, promised_over_allowed) = places.excess(Timestamp::MIN);
        Self { opening, opened: false, places, ledger: Ledger::default(), past: Past::default(), over_allowed: 0, promised_over_allowed }
    }

    /// Rebuilds a slot from all its records; none if the first one does not open it.
    #[must_use]
    pub fn replay<'a>(records: impl IntoIterator<Item = &'a Record<Event>>) -> Option<Self> {
        let mut records = records.into_iter();
        let first = records.next()?;
        let Some(Event::Opened(opened)) = first.events.first() else { return None };
        let mut slot = Self::planned(opened.opening.clone());
        slot.apply(first);
        records.for_each(|record| slot.apply(record));
        Some(slot)
    }

    fn apply_event(&mut self, record: &Record<Event>, event: &Event) {
        match event {
            Event::Opened(opened) => {
                // What it has heard of its day and of its building holds on where it is opened anew.
                let (closed, live) = if self.opened { (self.places.closed, self.places.live) } else { (None, None) };
                self.opened = true;
                let Opening { slot, capacity, quotas, .. } = opened.opening;
                self.places = Places { closed, live, ..Places::untouched(slot.start(), capacity, quotas) };
                self.opening = opened.opening.clone();
            }
            Event::Held(held) => self.ledger.held(&mut self.places, held, record),
            Event::Extended(extended) => self.ledger.extended(extended),
            Event::Released(released) => self.ledger.released(&mut self.places, released.hold, record.at),
            Event::Expired(expired) => self.ledger.expired(&mut self.places, expired.hold, record.at),
            Event::Sold(sold) => self.ledger.sold(&mut self.places, sold, record),
            Event::Cancelled(cancelled) => self.ledger.cancelled(&mut self.places, cancelled, record.seq),
            Event::Blocked(blocked) => self.ledger.blocked(blocked, record.at),
            Event::Unblocked(unblocked) => self.ledger.unblocked(unblocked, record.at),
            Event::BlockLifted(lifted) => self.ledger.block_lifted(lifted, record.at),
            Event::Admitted(admitted) => self.ledger.admitted(&mut self.places, admitted, record.at),
            Event::Exited(exited) => self.ledger.exited(&mut self.places, exited, record.at),
            // Whoever sets the places by hand says what may be sold, and how many more is for them to say as well.
            Event::CapacitySet(set) => (self.places.capacity, self.places.beyond) = (set.capacity, None),
            Event::BeyondSet(set) => self.places.beyond = Some(Beyond { places: set.beyond, turn_away_ppm: set.turn_away_ppm }),
            Event::QuotasSet(set) => self.places.quotas = set.quotas,
            Event::Closed(closed) => self.places.closed = Some(closed.reason),
            Event::Reopened(_) => self.places.closed = None,
            Event::Observed(observed) => {
                // It may have been on its way for a while: who has passed since it was measured was not there then.
                let came = if self.places.admitted == 0 { 0 } else { self.ledger.came_since(observed.measured_at) };
                self.places.live = Some(Live {
                    source: observed.source,
                    people: observed.inside,
                    sd: observed.sd,
                    measured_at: observed.measured_at,
                    until: observed.until,
                    ceiling: observed.ceiling,
                    sellable: observed.sellable,
                    inside_then: self.places.inside.saturating_add_signed(-came),
                });
            }
            Event::AdmissionConflict(conflict) => self.ledger.conflicted(&mut self.places, conflict, record.at),
            Event::Waited(waited) => self.ledger.waited(waited, record),
            Event::WaitingLeft(left) => self.ledger.list.leave(left.entry, WaitingEnd::Left, record.at),
            Event::Offered(offered) => self.ledger.offered(&mut self.places, offered, record.at),
            Event::WaitingEnded(ended) => self.ledger.list.leave(ended.entry, WaitingEnd::SalesEnded, record.at),
            Event::MoveBegun(begun) => self.ledger.move_begun(begun, record),
            Event::Arrived(arrived) => self.ledger.arrived(&mut self.places, arrived, record.at),
            Event::MovedOut(moved) => self.ledger.moved_out(&mut self.places, moved),
            Event::MoveUndone(undone) => self.ledger.move_undone(undone, record.at),
            Event::Renamed(renamed) => self.ledger.renamed(renamed, record.at),
            Event::Prolonged(prolonged) => self.ledger.prolonged(prolonged, record),
            Event::Amended(amended) => self.ledger.amended(&mut self.places, amended, record),
            Event::HandedOver(handed) => self.ledger.handed_over(handed),
            Event::ReviewOpened(opened) => self.ledger.review_until(opened.sale, Some(opened.until), record.at),
            Event::ReviewEnded(ended) => self.ledger.review_until(ended.sale, None, record.at),
            Event::ScansJudged(judged) => self.ledger.judged(&mut self.places, judged, record.at),
            Event::RestDrawn(drawn) => self.ledger.rest_drawn(drawn),
            Event::Rested(rested) => self.ledger.rested(&mut self.places, rested, record.at),
            Event::Freed(freed) => self.places.resting -= self.ledger.rests.free(freed),
            Event::OfferRenewed(renewed) => self.ledger.offer_renewed(renewed, record.at),
        }
    }

    /// Whether the counters equal a recount of everything (SL-2, SL-3, SL-5, SL-6, SL-9, SL-10, SL-11, SL-13): for tests and after a replay, as it walks all holds and tickets.
    pub fn recount(&self) -> Result<(), Broken> {
        self.check()?;
        self.ledger.recount(&self.places)
    }

    /// Which slot this is.
    #[must_use]
    pub const fn id(&self) -> SlotId {
        self.opening.slot
    }

    /// How it was planned.
    #[must_use]
    pub const fn opening(&self) -> &Opening {
        &self.opening
    }

    /// Whether it has been written to.
    #[must_use]
    pub const fn is_opened(&self) -> bool {
        self.opened
    }

    /// Its places, counted.
    #[must_use]
    pub const fn places(&self) -> &Places {
        &self.places
    }

    /// Time of the last record.
    #[must_use]
    pub const fn last_at(&self) -> Timestamp {
        self.past.last_at()
    }

    /// A live hold.
    #[must_use]
    pub fn hold_of(&self, hold: HoldId) -> Option<&Hold> {
        self.ledger.holds.get(&hold)
    }

    /// A sale.
    #[must_use]
    pub fn sale_of(&self, sale: HoldId) -> Option<&Sale> {
        self.ledger.sales.get(&sale).map(Box::as_ref)
    }

    /// A ticket with its sale.
    #[must_use]
    pub fn ticket_of(&self, ticket: TicketId) -> Option<(&Sale, &Ticket)> {
        let sale = self.sale_of(ticket.sale())?;
        Some((sale, sale.tickets.get(usize::from(ticket.number()))?))
    }

    /// All sales, in no order.
    pub fn sales(&self) -> impl Iterator<Item = (&HoldId, &Sale)> {
        self.ledger.sales.iter().map(|(id, sale)| (id, sale.as_ref()))
    }

    /// All live holds, in no order.
    pub fn holds(&self) -> impl Iterator<Item = (&HoldId, &Hold)> {
        self.ledger.holds.iter()
    }

    /// Who has passed the gates from some time on, by all that is known now, in no order.
    #[must_use]
    pub fn crossings(&self, from: Timestamp) -> Vec<Crossing> {
        self.ledger.crossings(from)
    }

    /// Whether a gate that asked saw the ticket of a scan pass that way, from some time on and before the scan was made. Where that gate alone had asked with the ticket since
    /// then, it is the passage that the scan is of.
    #[must_use]
    pub fn saw(&self, scan: &Scan, since: Timestamp) -> bool {
        self.ledger.saw(*scan, since)
    }

    /// What gates without a network let in and should not have, in the order of the tickets: which scan, and what speaks against it.
    pub fn conflicts(&self) -> impl Iterator<Item = (&Scan, ConflictReason)> {
        self.ledger.scans.iter().filter_map(|(scan, taken)| Some((scan, taken.judged.conflict()?)))
    }

    /// Those who wait, in the order in which they joined.
    pub fn waiting(&self) -> impl ExactSizeIterator<Item = &Waiting> {
        self.ledger.list.iter()
    }

    /// What has become of an entry of the waiting list; none if there is none of that id, or it ended more than a day ago.
    #[must_use]
    pub fn standing_of(&self, entry: HoldId) -> Option<Standing<'_>> {
        self.ledger.list.standing(entry)
    }

    /// How many parties, and how many people, wait before somebody who waits.
    #[must_use]
    pub fn ahead_of(&self, party: &Waiting) -> (u32, u32) {
        self.ledger.list.ahead_of(party.number)
    }

    /// The offers that were made, while an entry waited, to parties that had joined later, in the order of joining. Each says what was free: less than this entry's
    /// party needed then. They are known as long as the entry is, also when it has its own offer or has ended.
    pub fn overtakers_of(&self, entry: HoldId) -> impl DoubleEndedIterator<Item = &Offer> {
        self.ledger.list.overtakers_of(entry)
    }

    /// The channel through which an entry waits or waited, to say what its overtakers found free. It is known while the entry waits or has an offer; of an entry that
    /// has ended only if it was overtaken, and as long as the entry is known.
    #[must_use]
    pub fn waited_through(&self, entry: HoldId) -> Option<Channel> {
        match self.standing_of(entry)? {
            Standing::Waiting(party) => Some(party.channel),
            Standing::Offered(offer) => Some(offer.channel),
            Standing::Ended(_) => self.ledger.list.turn_of(entry).map(|turn| turn.channel),
        }
    }

    /// Money taken and paid back: what the sales of this slot cost (without tickets that stand in other slots by now), and how much of that was refunded.
    #[must_use]
    pub fn money(&self) -> (Cents, Cents) {
        let add =
            |(sold, back): (Cents, Cents), sale: &Sale| (sold.plus(total(&sale.lines)).minus(sale.carried_cents), back.plus(sale.refunded_cents));
        self.sales().map(|(_, sale)| sale).fold((Cents::ZERO, Cents::ZERO), add)
    }

    const fn sale_ends_at(&self, channel: Channel) -> Timestamp {
        sale_ends_at(self.opening.slot, self.opening.end, &self.opening.policy, channel)
    }
}

/// When sales of a slot end for a channel: the channels on site sell until the slot is over, the others until the policy's cut-off.
#[must_use]
pub const fn sale_ends_at(slot: SlotId, end: Timestamp, policy: &Policy, channel: Channel) -> Timestamp {
    match channel {
        Channel::BoxOffice | Channel::Kiosk => end,
        Channel::Web | Channel::Group | Channel::Reseller => slot.start().plus_seconds(-(policy.sale_closes_s as i64)),
    }
}

/// When sales of a slot begin.
#[must_use]
pub const fn sale_opens_at(slot: SlotId, policy: &Policy) -> Timestamp {
    slot.start().plus_seconds(-(policy.sale_opens_s as i64))
}
