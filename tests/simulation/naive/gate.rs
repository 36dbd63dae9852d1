//! The gate: whom it lets in and out now, who is inside, and what it tells people before that is written down. What it was told later is in `passages`.

use tornello_engine::ids::TicketId;
use tornello_engine::record::Record;
use tornello_engine::slot::{Admitted, ConflictReason, Direction, Event, Judged};
use tornello_engine::time::Timestamp;

use super::super::rule;
use super::{Asked, Naive, Seen, Ticket, counts};

impl Naive {
    /// Takes in what a gate is told before it is written: now it is as at any gate, and it will come in as a scan.
    pub fn foretell(&mut self, told: &Record<Event>, asked: &Asked) -> Result<(), String> {
        match told.events.last() {
            Some(Event::Admitted(admitted)) => {
                rule(self.people_upper(told.at).is_none_or(|(upper, ceiling)| upper < ceiling), "a full building lets somebody in")?;
                let against = self.against(admitted.ticket, told.at, asked.shown)?;
                rule(against.is_none(), "somebody is let in who may not be (SL-3)").map_err(|wrong| format!("{wrong}: {against:?}"))?;
            }
            Some(Event::Exited(exited)) => rule(self.is_inside(exited.ticket), "somebody leaves who is not inside")?,
            Some(Event::ScansJudged(judged)) => {
                let passes = judged.scans.iter().any(|found| found.before.is_none() && counts(found.judged));
                rule(passes, "a gate lets somebody pass who does not")?;
            }
            _ => return Err("a gate is told of something else than who goes in or out".into()),
        }
        self.late(told.at, &told.events, asked.shown)
    }

    pub(super) fn admit(&mut self, at: Timestamp, admitted: &Admitted) -> Result<(), String> {
        let ticket = self.ticket(admitted.ticket)?;
        rule((ticket.line.category, ticket.line.proof) == (admitted.category, admitted.proof), "the gate is told another category or proof")?;
        rule(admitted.entry == ticket.entries + 1, "entries are not counted one by one")?;
        rule(!ticket.inside, "a ticket is admitted twice (SL-3)")?;
        if ticket.entries == 0 {
            ticket.first_at = at;
        }
        (ticket.inside, ticket.entries, ticket.last_at) = (true, admitted.entry, at);
        ticket.passages.push(Seen { at, direction: Direction::In, scan: None, judged: Judged::Passed });
        Ok(())
    }

    /// What speaks against letting somebody in at that time who shows that issue of the ticket's code.
    pub fn against(&mut self, id: TicketId, at: Timestamp, shown: Option<u16>) -> Result<Option<ConflictReason>, String> {
        let policy = self.opening.policy;
        let opens_at = self.opening.slot.start().plus_seconds(-i64::from(policy.admit_early_s));
        let closes_at = self.opening.end.plus_seconds(policy.admit_late_s.into());
        if let Some(reason) = self.bar(id, shown)? {
            return Ok(Some(reason));
        }
        let ticket = self.ticket(id)?;
        let come_back_until = ticket.first_at.plus_seconds(policy.reentry.within_s.into());
        Ok(if ticket.inside || (ticket.entries > 0 && at < ticket.last_at) {
            Some(ConflictReason::TicketInside)
        } else if ticket.entries == 0 && ticket.is_reviewed(at) {
            Some(ConflictReason::TicketUnderReview)
        } else if ticket.entries == 0 && at < opens_at {
            Some(ConflictReason::TooEarly)
        } else if ticket.entries == 0 && at > closes_at {
            Some(ConflictReason::TooLate)
        } else if ticket.entries > 0 && (ticket.entries > policy.reentry.times_max || at > come_back_until) {
            Some(ConflictReason::TicketUsed)
        } else {
            None
        })
    }

    /// Which issue of a ticket's code counts.
    pub fn issue_of(&self, id: TicketId) -> Option<u16> {
        Some(self.sales.get(&id.sale())?.tickets.get(usize::from(id.number()))?.issue)
    }

    /// Whether its holder is inside.
    pub fn is_inside(&self, id: TicketId) -> bool {
        let ticket = self.sales.get(&id.sale()).and_then(|sale| sale.tickets.get(usize::from(id.number())));
        ticket.is_some_and(|ticket| ticket.inside)
    }

    /// The tickets that nobody has used and that let in now.
    pub fn may_enter(&self, at: Timestamp) -> Vec<TicketId> {
        let policy = self.opening.policy;
        let opens_at = self.opening.slot.start().plus_seconds(-i64::from(policy.admit_early_s));
        if at < opens_at || at > self.opening.end.plus_seconds(policy.admit_late_s.into()) {
            return Vec::new();
        }
        let may = |ticket: &Ticket| ticket.stands() && !ticket.is_blocked() && !ticket.is_reviewed(at);
        let mut all = Vec::new();
        for (id, sale) in &self.sales {
            all.extend((0..).zip(&sale.tickets).filter(|(_, ticket)| may(ticket)).map(|(number, _)| id.ticket(number)));
        }
        all
    }

    /// The tickets whose holders have been in, have left and may come back.
    pub fn may_come_back(&self, at: Timestamp) -> Vec<TicketId> {
        let reentry = self.opening.policy.reentry;
        let may = |ticket: &Ticket| {
            let is_in_time = at <= ticket.first_at.plus_seconds(reentry.within_s.into());
            !ticket.inside && (1..=reentry.times_max).contains(&ticket.entries) && is_in_time && !ticket.is_blocked()
        };
        let mut all = Vec::new();
        for (id, sale) in &self.sales {
            all.extend((0..).zip(&sale.tickets).filter(|(_, ticket)| may(ticket)).map(|(number, _)| id.ticket(number)));
        }
        all
    }

    /// All that gates have seen here: of which ticket, and when it counts.
    pub fn passages(&self) -> Vec<(TicketId, Timestamp)> {
        let mut all = Vec::new();
        for (id, sale) in &self.sales {
            for (number, ticket) in (0..).zip(&sale.tickets) {
                all.extend(ticket.passages.iter().map(|seen| (id.ticket(number), seen.at)));
            }
        }
        all
    }

    pub fn inside(&self) -> u32 {
        self.tickets().filter(|ticket| ticket.inside).count() as u32
    }

    pub fn admitted(&self) -> u32 {
        self.tickets().filter(|ticket| ticket.entries > 0).count() as u32
    }

    /// The most people who may be inside now by a fresh reading of its own, and how many may be.
    pub fn people_upper(&self, at: Timestamp) -> Option<(u32, u32)> {
        let reading = self.reading.as_ref().filter(|reading| at < reading.event.until)?;
        let upper = reading.event.inside + 2 * reading.event.sd + self.inside();
        Some((upper.saturating_sub(reading.inside_then), reading.event.ceiling?))
    }
}
