//! Whether what happened is what was asked for, by kind and by name.

use std::collections::BTreeSet;

use tornello_engine::ids::{Code, HoldId};
use tornello_engine::slot::{Command, Direction, Event, Keeper, Line, Scan};

/// Whether these events are what a command asks for, by kind and by name.
pub(super) fn did(command: &Command, events: &[Event]) -> bool {
    // Of several tickets each may be blocked for something else.
    if let Command::Unblock { sale, tickets, reason, keeps } = command {
        return lifted((*sale, tickets.as_slice()), (*reason, *keeps), events);
    }
    // What rests with it, and for how long, and which offers begin anew, the naive slot knows.
    let beside = |event: &&Event| matches!(event, Event::RestDrawn(_) | Event::Rested(_) | Event::Freed(_) | Event::OfferRenewed(_));
    let events: Vec<Event> = events.iter().filter(|event| !beside(event)).cloned().collect();
    let event = match events.as_slice() {
        // What is held for something is kept for it in the same breath.
        [event @ Event::Held(_), Event::Prolonged(_)] | [Event::Opened(_), event @ Event::Held(_), Event::Prolonged(_)] => event,
        [event] | [Event::Opened(_), event] | [Event::Admitted(_), event @ Event::AdmissionConflict(_)] => event,
        // Its day was called off before anybody had written to it.
        [Event::Opened(_), Event::Closed(_), event] => event,
        _ => return false,
    };
    match (command.unnamed(), event) {
        (Command::Hold { hold, channel, lines }, Event::Held(held)) => (hold, channel, lines) == (&held.hold, &held.channel, &held.lines),
        (Command::Extend { hold, .. }, Event::Extended(extended)) => *hold == extended.hold,
        (Command::HoldFor { hold, channel, lines, .. }, Event::Held(held)) => (hold, channel, lines) == (&held.hold, &held.channel, &held.lines),
        (Command::Prolong { hold, cause, .. }, Event::Prolonged(prolonged)) => (hold, cause) == (&prolonged.hold, &prolonged.cause),
        (Command::Bind { hold, payment, .. }, Event::Prolonged(prolonged)) => (*hold, Keeper::Payment(*payment)) == (prolonged.hold, prolonged.cause),
        (Command::Amend { hold, lines, .. }, Event::Amended(amended)) => (hold, lines) == (&amended.hold, &amended.lines),
        (Command::Shrink { hold, counts, .. } | Command::WaitForFewer { entry: hold, counts, .. }, Event::Amended(amended)) => {
            let [asked, kept]: [BTreeSet<(Code, u16)>; 2] =
                [counts.iter().copied().collect(), amended.lines.iter().map(|line| (line.category, line.count)).collect()];
            *hold == amended.hold && asked == kept
        }
        (Command::HandedOver { sale, seq }, Event::HandedOver(handed)) => (sale, seq) == (&handed.sale, &handed.seq),
        (Command::Release { hold, .. }, Event::Released(released)) => *hold == released.hold,
        (Command::Sell { hold, settlement, contact, .. }, Event::Sold(sold)) => {
            sold.held && (hold, settlement, contact) == (&sold.sale, &sold.settlement, &sold.contact)
        }
        (Command::SellPaid { hold, lines, settlement, contact, .. }, Event::Sold(sold)) => {
            sold.held && (hold, lines, settlement, contact) == (&sold.sale, &sold.lines, &sold.settlement, &sold.contact)
        }
        (Command::SellDirect { sale, channel, lines, settlement, contact }, Event::Sold(sold)) => {
            !sold.held && (sale, channel, lines, settlement, contact) == (&sold.sale, &sold.channel, &sold.lines, &sold.settlement, &sold.contact)
        }
        (Command::Cancel { sale, tickets, cause, .. }, Event::Cancelled(cancelled)) => {
            (sale, cause) == (&cancelled.sale, &cancelled.cause) && named(tickets, &cancelled.tickets) && !cancelled.tickets.is_empty()
        }
        // What follows of it the naive slot knows.
        (Command::CorrectCause { sale, .. }, Event::Cancelled(cancelled)) => *sale == cancelled.sale && cancelled.tickets.is_empty(),
        (Command::Block { sale, tickets, reason }, Event::Blocked(blocked)) => {
            (sale, reason) == (&blocked.sale, &blocked.reason) && named(tickets, &blocked.tickets)
        }
        (Command::Review { sale }, Event::ReviewOpened(opened)) => *sale == opened.sale,
        (Command::EndReview { sale, cleared }, Event::ReviewEnded(ended)) => (*sale, *cleared) == (ended.sale, ended.cleared),
        (Command::Admit { ticket, gate, .. }, Event::Admitted(admitted)) => {
            (ticket, gate, None) == (&admitted.ticket, &admitted.gate, admitted.scanned_at)
        }
        (Command::Exit { ticket, gate, .. }, Event::Exited(exited)) => (ticket, gate, None) == (&exited.ticket, &exited.gate, exited.scanned_at),
        (Command::SetCapacity { capacity }, Event::CapacitySet(set)) => *capacity == set.capacity,
        // How many it is, the naive slot knows.
        (Command::SellBeyond { turn_away_ppm, .. }, Event::BeyondSet(set)) => *turn_away_ppm == set.turn_away_ppm,
        (Command::SetQuotas { quotas }, Event::QuotasSet(set)) => *quotas == set.quotas,
        (
            Command::Close { reason } | Command::CloseWithDay { reason } | Command::ReopenWithDay { still: Some(reason), .. },
            Event::Closed(closed),
        ) => *reason == closed.reason,
        // For which reason it was closed, the naive slot knows.
        (Command::Reopen | Command::ReopenWithDay { still: None, .. }, Event::Reopened(_)) => true,
        (Command::Observe { source, inside, sd, measured_at, ceiling, words, .. }, Event::Observed(observed)) => {
            (source, inside, sd, measured_at) == (&observed.source, &observed.inside, &observed.sd, &observed.measured_at)
                && (ceiling, words) == (&observed.ceiling, &observed.words)
        }
        (Command::Wait { entry, channel, lines, .. }, Event::Waited(waited)) => {
            (entry, channel, lines) == (&waited.entry, &waited.channel, &waited.lines)
        }
        (Command::LeaveWaiting { entry, .. }, Event::WaitingLeft(left)) => *entry == left.entry,
        // An offer is given back.
        (Command::LeaveWaiting { entry, .. }, Event::Released(released)) => *entry == released.hold,
        (Command::Merge { scan, .. }, Event::Admitted(admitted)) => admitted
            .scanned_at
            .is_some_and(|scanned_at| *scan == Scan { ticket: admitted.ticket, scanned_at, gate: admitted.gate, direction: Direction::In }),
        (Command::Merge { scan, .. }, Event::AdmissionConflict(conflict)) => {
            let of_conflict = Scan { ticket: conflict.ticket, scanned_at: conflict.scanned_at, gate: conflict.gate, direction: Direction::In };
            *scan == of_conflict
        }
        (Command::Merge { scan, .. }, Event::Exited(exited)) => exited
            .scanned_at
            .is_some_and(|scanned_at| *scan == Scan { ticket: exited.ticket, scanned_at, gate: exited.gate, direction: Direction::Out }),
        // What it comes to, and what others do, the naive slot knows.
        (Command::Merge { scan, .. }, Event::ScansJudged(judged)) => judged.scans.iter().any(|found| found.scan == *scan && found.before.is_none()),
        (Command::Rename { sale, tickets, holder, .. }, Event::Renamed(renamed)) => {
            let numbers: Vec<u16> = renamed.tickets.iter().map(|(number, _)| *number).collect();
            (sale, holder) == (&renamed.sale, &renamed.holder) && named(tickets, &numbers)
        }
        (Command::BeginMove { sale, tickets, arrival, via, prices, .. }, Event::MoveBegun(begun)) => {
            let costs =
                |line: &Line| prices.iter().find(|(category, _)| *category == line.category).map(|(_, price)| price.get() * i64::from(line.count));
            let there: Option<i64> = begun.lines.iter().map(costs).sum();
            let paid = begun.lines.iter().map(|line| line.price_cents.get() * i64::from(line.count)).sum();
            (sale, arrival, via) == (&begun.sale, &begun.arrival, &begun.via) && named(tickets, &begun.tickets) && there == Some(paid)
        }
        // A new kind of command is held against its event here.
        _ => false,
    }
}

/// Whether these events lift blocks of these tickets, and none that was to stay.
fn lifted((sale, tickets): (HoldId, &[u16]), (reason, keeps): (Option<Code>, Option<Code>), events: &[Event]) -> bool {
    let is_asked = |event: &Event| match event {
        Event::Unblocked(unblocked) => sale == unblocked.sale && named(tickets, &unblocked.tickets),
        Event::BlockLifted(lifted) => {
            let meant = reason.is_none_or(|reason| reason == lifted.reason) && keeps != Some(lifted.reason);
            meant && sale == lifted.sale && named(tickets, &lifted.tickets)
        }
        _ => false,
    };
    !events.is_empty() && events.iter().all(is_asked)
}

/// Whether just the tickets that were named, if any were, are those that changed.
fn named(asked: &[u16], changed: &[u16]) -> bool {
    asked.is_empty() || changed.iter().all(|number| asked.contains(number))
}
