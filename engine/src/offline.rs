//! A gate without a network: the tickets that it was given as a list, the public keys, and what it has let in and out since. Its verdicts are those of the slot
//! ([`crate::slot::verdict`]), with what it knows. What it does is noted as scans, which the slot takes in later ([`crate::slot::Command::Merge`]).
//!
//! Judging and remembering are two steps, so that the caller writes a scan down in between: nobody is let in who would be forgotten. Everything here is pure.

use std::collections::HashMap;

use crate::ids::{Code, MuseumId, SlotId, TicketId};
use crate::slot::verdict::{self, Shown, Window};
use crate::slot::{Direction, Reentry, Refusal, Scan, Slot, Ticket, TicketState, line_of};
use crate::tariff::Proof;
use crate::ticket::{CodeError, Keyring, Payload};
use crate::time::Timestamp;

/// A ticket as a gate's list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Which ticket.
    pub id: TicketId,
    /// Its issue, what became of it, and whether it is blocked.
    pub ticket: Ticket,
    /// Its category.
    pub category: Code,
    /// What the gate has to look at.
    pub proof: Proof,
}

/// A slot as a gate's list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Which slot.
    pub slot: SlotId,
    /// When its tickets let in.
    pub window: Window,
    /// All its tickets, also the cancelled ones, in the order of their ids.
    pub tickets: Vec<Listed>,
}

impl Listing {
    /// What a gate needs of a slot.
    #[must_use]
    pub fn of(slot: &Slot) -> Self {
        let mut tickets = Vec::with_capacity(slot.sales().map(|(_, sale)| sale.tickets.len()).sum());
        for (id, sale) in slot.sales() {
            tickets.extend((0..).zip(&sale.tickets).filter_map(|(number, ticket)| {
                let line = line_of(&sale.lines, number)?;
                Some(Listed { id: id.ticket(number), ticket: ticket.clone(), category: line.category, proof: line.proof })
            }));
        }
        tickets.sort_unstable_by_key(|listed| listed.id);
        Self { slot: slot.id(), window: Window::of(slot.opening()), tickets }
    }
}

/// What a gate says to what it was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Let them in.
    Admitted {
        /// To be noted.
        noted: Noted,
        /// The how-manieth time, from 1.
        entry: u8,
        /// The ticket's category, if the list has the ticket.
        category: Option<Code>,
        /// What the gate has to look at.
        proof: Proof,
        /// Whether the list has the ticket in this issue; else its signature alone speaks for it.
        listed: bool,
    },
    /// They leave.
    Left {
        /// To be noted.
        noted: Noted,
    },
    /// They leave, and this gate does not know that they were inside: another one may. The slot keeps it until it knows more.
    LeftUnseen {
        /// To be noted.
        noted: Noted,
    },
    /// The rules say no.
    Refused(Refusal),
    /// What was shown is no code of ours, nor a ticket's id.
    BadCode(CodeError),
}

impl Verdict {
    /// What has to be written down and then remembered, if anything.
    #[must_use]
    pub const fn noted(&self) -> Option<Noted> {
        match self {
            Self::Admitted { noted, .. } | Self::Left { noted } | Self::LeftUnseen { noted } => Some(*noted),
            Self::Refused(_) | Self::BadCode(_) => None,
        }
    }
}

/// What a gate has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    /// The scan.
    pub scan: Scan,
    /// The issue number on the code; none if the ticket's id was typed.
    pub issue: Option<u16>,
}

/// A gate without a network.
#[derive(Debug)]
pub struct OfflineGate {
    museum: MuseumId,
    ring: Keyring,
    windows: HashMap<SlotId, Window>,
    listed: HashMap<TicketId, Listed>,
    /// What became of tickets at this gate since the list was made.
    seen: HashMap<TicketId, Ticket>,
}

impl OfflineGate {
    /// A gate of a museum, with the keys that it trusts and its list.
    #[must_use]
    pub fn new(museum: MuseumId, ring: Keyring, list: impl IntoIterator<Item = Listing>) -> Self {
        let mut gate = Self { museum, ring, windows: HashMap::new(), listed: HashMap::new(), seen: HashMap::new() };
        for listing in list {
            gate.windows.insert(listing.slot, listing.window);
            gate.listed.extend(listing.tickets.into_iter().map(|listed| (listed.id, listed)));
        }
        gate
    }

    /// How many tickets its list has.
    #[must_use]
    pub fn tickets(&self) -> usize {
        self.listed.len()
    }

    /// The verdict on what is shown: the text of a code, or a ticket's id as it was typed. It changes nothing: write down what is to be noted, then
    /// [`OfflineGate::remember`] it, then act.
    #[must_use]
    pub fn judge(&self, text: &str, gate: Code, direction: Direction, at: Timestamp) -> Verdict {
        let (id, payload) = match (text.parse::<TicketId>(), self.ring.verify(text)) {
            (Ok(id), _) => (id, None),
            (Err(_), Ok(payload)) => (payload.ticket, Some(payload)),
            (Err(_), Err(error)) => return Verdict::BadCode(error),
        };
        let issue = payload.map(|payload| payload.issue);
        let shown = Shown { ticket: id, issue, museum: self.museum };
        let noted = Noted { scan: Scan { ticket: id, scanned_at: at, gate, direction }, issue };
        let ticket = self.known(id, issue);
        if direction == Direction::Out {
            return match verdict::exit(shown, ticket.as_ref(), at) {
                Ok(()) => Verdict::Left { noted },
                Err(Refusal::NotInside) => Verdict::LeftUnseen { noted },
                Err(refusal) => Verdict::Refused(refusal),
            };
        }
        let window = self.windows.get(&id.slot()).copied().or_else(|| payload.as_ref().map(window_of));
        match verdict::admission(shown, window.zip(ticket.as_ref()), None, at) {
            Ok(entry) => {
                let listed = self.listed.get(&id);
                let proof = listed.map_or_else(|| payload.map_or(Proof::None, |payload| payload.proof), |listed| listed.proof);
                let as_listed = listed.is_some_and(|listed| issue.is_none_or(|issue| issue == listed.ticket.issue));
                Verdict::Admitted { noted, entry, category: listed.map(|listed| listed.category), proof, listed: as_listed }
            }
            Err(refusal) => Verdict::Refused(refusal),
        }
    }

    /// Remembers what was noted. Also what was noted under an older list: what the new one knows better stands.
    pub fn remember(&mut self, noted: &Noted) {
        let Noted { scan, issue } = *noted;
        let at = scan.scanned_at;
        let Some(mut ticket) = self.known(scan.ticket, Some(issue.unwrap_or(1))) else { return };
        ticket.state = match (scan.direction, ticket.state) {
            (Direction::In, state @ TicketState::Valid) => state.entered(at, 1),
            (Direction::In, state @ TicketState::Outside { left_at, entries, .. }) if left_at <= at => state.entered(at, entries.saturating_add(1)),
            (Direction::Out, state @ TicketState::Inside { since, .. }) if since <= at => state.left(at),
            (_, state) => state,
        };
        self.seen.insert(scan.ticket, ticket);
    }

    /// What is known of a ticket. A code that was signed with a higher issue than the known one was issued after the list: from then on it counts, and the older
    /// one no more. One of a ticket that is not on the list was sold after it was made.
    fn known(&self, id: TicketId, signed: Option<u16>) -> Option<Ticket> {
        let known = self.seen.get(&id).or_else(|| self.listed.get(&id).map(|listed| &listed.ticket)).cloned();
        match (known, signed) {
            (Some(ticket), Some(issue)) => Some(Ticket { issue: ticket.issue.max(issue), ..ticket }),
            (Some(ticket), None) => Some(ticket),
            (None, signed) => signed.map(|issue| Ticket { issue, state: TicketState::Valid, blocked: None, review_until: None }),
        }
    }
}

/// The window that a code speaks of, where the list does not have the slot. Nobody comes back on it.
fn window_of(payload: &Payload) -> Window {
    let last = payload.valid_until().as_micros() - 1;
    Window { opens_at: payload.valid_from(), closes_at: Timestamp::from_micros(last), reentry: Reentry { times_max: 0, within_s: 0 } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Aggregate;
    use crate::channel::Channel;
    use crate::ids::{HoldId, RouteId};
    use crate::money::Cents;
    use crate::slot::{CancelCause, Command, DeskMethod, Event, Line, Opening, Policy, Settlement};
    use crate::ticket::{SigningKey, TicketCode};
    use proptest::prelude::*;

    const MUSEUM: MuseumId = MuseumId(7);
    const TICKETS: u16 = 3;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_seconds(1_780_000_020 + s)
    }

    fn code(text: &str) -> Code {
        text.parse().unwrap()
    }

    fn key() -> SigningKey {
        SigningKey::new(1, &[7; 32])
    }

    fn opening() -> Opening {
        let slot = SlotId::new(MUSEUM, RouteId(1), at(0));
        let policy = Policy { reentry: Reentry { times_max: 1, within_s: 3_600 }, ..Policy::default() };
        Opening { slot, revision: 1, end: at(1_800), capacity: 100, quotas: Default::default(), policy }
    }

    fn sale(n: u64) -> HoldId {
        HoldId::new(opening().slot, n)
    }

    fn tell(slot: &mut Slot, now: i64, command: &Command) -> Result<Vec<Event>, Refusal> {
        let events = slot.decide(at(now), command)?;
        let record = slot.record(at(now), None, events.clone());
        slot.apply(&record);
        assert_eq!(slot.recount(), Ok(()));
        Ok(events)
    }

    fn sell(n: u64) -> Command {
        let settlement = Settlement::Desk { till: code("desk-1"), method: DeskMethod::Cash, reference: String::new() };
        let lines = vec![Line { category: code("full"), count: TICKETS, price_cents: Cents::new(1_200), proof: Proof::Age }];
        Command::SellDirect { sale: sale(n), channel: Channel::BoxOffice, lines, settlement, contact: None }
    }

    /// A slot with two sales.
    fn sold() -> Slot {
        let mut slot = Slot::planned(opening());
        for n in [1, 2] {
            tell(&mut slot, -3_600, &sell(n)).unwrap();
        }
        slot
    }

    fn gate_of(list: &[&Slot]) -> OfflineGate {
        let ring = Keyring::new([key().public(Timestamp::MIN, Timestamp::MAX)]).unwrap();
        OfflineGate::new(MUSEUM, ring, list.iter().map(|slot| Listing::of(slot)))
    }

    /// The text of a ticket's code in some issue, as the server signs it.
    fn text(id: TicketId, issue: u16) -> String {
        let window = Window::of(&opening());
        TicketCode::sign(&key(), &Payload::new(id, issue, Proof::Age, window.opens_at, window.closes_at))
    }

    /// Judges, and remembers what is to be noted.
    fn pass(gate: &mut OfflineGate, text: &str, direction: Direction, s: i64) -> Verdict {
        let verdict = gate.judge(text, code("pda"), direction, at(s));
        if let Some(noted) = verdict.noted() {
            gate.remember(&noted);
        }
        verdict
    }

    fn entry(verdict: &Verdict) -> Result<(u8, bool), Refusal> {
        match verdict {
            Verdict::Admitted { entry, listed, .. } => Ok((*entry, *listed)),
            Verdict::Refused(refusal) => Err(refusal.clone()),
            other => panic!("neither let in nor refused: {other:?}"),
        }
    }

    #[test]
    fn a_gate_says_what_its_list_says_and_remembers_whom_it_let_in() {
        let mut slot = sold();
        let (first, second, third) = (sale(1).ticket(0), sale(1).ticket(1), sale(1).ticket(2));
        tell(&mut slot, -60, &Command::Cancel { sale: sale(1), owner: None, tickets: vec![1], cause: CancelCause::Visitor }).unwrap();
        tell(&mut slot, -60, &Command::Block { sale: sale(1), tickets: vec![2], reason: code("review") }).unwrap();
        let mut gate = gate_of(&[&slot]);
        assert_eq!(gate.tickets(), 6);
        for (what, s, expected) in [
            (text(first, 1), -901, Err(Refusal::TooEarly { opens_at: at(-900) })),
            (text(second, 1), 0, Err(Refusal::TicketCancelled)),
            (third.to_string(), 0, Err(Refusal::TicketBlocked { reason: code("review") })),
            (text(first, 0), 0, Err(Refusal::CodeOutdated { issue: 1 })),
            (sale(9).ticket(0).to_string(), 0, Err(Refusal::UnknownTicket)),
            (text(HoldId::new(SlotId::new(MuseumId(8), RouteId(1), at(0)), 1).ticket(0), 1), 0, Err(Refusal::WrongMuseum)),
            (text(first, 1), 5, Ok((1, true))),
            (first.to_string(), 6, Err(Refusal::TicketInside { since: at(5) })),
            (sale(2).ticket(0).to_string(), 2_701, Err(Refusal::TooLate { closed_at: at(2_700) })),
        ] {
            assert_eq!(entry(&pass(&mut gate, &what, Direction::In, s)), expected, "{what} at {s}");
        }
        assert!(matches!(pass(&mut gate, "hello", Direction::In, 0), Verdict::BadCode(CodeError::NotACode)));
        assert!(matches!(pass(&mut gate, &text(first, 1), Direction::Out, 10), Verdict::Left { .. }));
        assert!(matches!(pass(&mut gate, &text(first, 1), Direction::Out, 11), Verdict::LeftUnseen { .. }));
        assert_eq!(entry(&pass(&mut gate, &first.to_string(), Direction::In, 20)), Ok((2, true)));
    }

    #[test]
    fn what_was_sold_or_issued_after_the_list_was_made_is_good_by_its_signature() {
        let mut gate = gate_of(&[&sold()]);
        let (new, renamed) = (sale(3).ticket(0), sale(1).ticket(0));
        assert_eq!(entry(&pass(&mut gate, &new.to_string(), Direction::In, 0)), Err(Refusal::UnknownTicket), "typed, it is not signed");
        assert_eq!(entry(&pass(&mut gate, &text(new, 1), Direction::In, 0)), Ok((1, false)));
        assert_eq!(entry(&pass(&mut gate, &text(new, 1), Direction::In, 1)), Err(Refusal::TicketInside { since: at(0) }));
        assert_eq!(entry(&pass(&mut gate, &text(sale(4).ticket(0), 1), Direction::In, -901)), Err(Refusal::TooEarly { opens_at: at(-900) }));
        assert_eq!(entry(&pass(&mut gate, &text(renamed, 2), Direction::In, 2)), Ok((1, false)), "a newer issue counts from now on");
        assert_eq!(entry(&pass(&mut gate, &text(renamed, 1), Direction::In, 3)), Err(Refusal::CodeOutdated { issue: 2 }));
        // A slot that is not on the list: the code says when.
        let mut bare = gate_of(&[]);
        assert_eq!(entry(&pass(&mut bare, &text(new, 1), Direction::In, -901)), Err(Refusal::TooEarly { opens_at: at(-900) }));
        assert_eq!(entry(&pass(&mut bare, &text(new, 1), Direction::In, 0)), Ok((1, false)));
        assert!(matches!(pass(&mut bare, &text(new, 1), Direction::Out, 5), Verdict::Left { .. }));
        assert_eq!(entry(&pass(&mut bare, &text(new, 1), Direction::In, 6)), Err(Refusal::TicketUsed { at: at(0) }));
    }

    #[test]
    fn what_was_noted_under_an_older_list_is_remembered_under_a_newer_one() {
        let (mut slot, ticket) = (sold(), sale(1).ticket(0));
        let mut gate = gate_of(&[&slot]);
        let note = |gate: &mut OfflineGate, direction, s| pass(gate, &text(ticket, 1), direction, s).noted().unwrap();
        let noted = [note(&mut gate, Direction::In, 0), note(&mut gate, Direction::Out, 10), note(&mut gate, Direction::In, 20)];
        // The first two have come in, the third has not.
        for Noted { scan, issue } in &noted[..2] {
            tell(&mut slot, 100, &Command::Merge { scan: *scan, issue: *issue, museum: MUSEUM }).unwrap();
        }
        let mut newer = gate_of(&[&slot]);
        noted.iter().for_each(|noted| newer.remember(noted));
        assert_eq!(newer.known(ticket, None), gate.known(ticket, None));
    }

    #[derive(Debug, Clone)]
    enum Before {
        Cancel(u64, u16),
        Block(u64, u16),
        Admit(u64, u16),
        Exit(u64, u16),
    }

    fn before() -> impl Strategy<Value = Before> {
        let ticket = || (1..3_u64, 0..TICKETS);
        prop_oneof![
            1 => ticket().prop_map(|(n, number)| Before::Cancel(n, number)),
            1 => ticket().prop_map(|(n, number)| Before::Block(n, number)),
            2 => ticket().prop_map(|(n, number)| Before::Admit(n, number)),
            1 => ticket().prop_map(|(n, number)| Before::Exit(n, number)),
        ]
    }

    fn command(before: &Before) -> Command {
        let gate = code("north");
        match *before {
            Before::Cancel(n, number) => Command::Cancel { sale: sale(n), owner: None, tickets: vec![number], cause: CancelCause::Museum },
            Before::Block(n, number) => Command::Block { sale: sale(n), tickets: vec![number], reason: code("review") },
            Before::Admit(n, number) => Command::Admit { ticket: sale(n).ticket(number), issue: Some(1), gate, museum: MUSEUM },
            Before::Exit(n, number) => Command::Exit { ticket: sale(n).ticket(number), gate, museum: MUSEUM },
        }
    }

    proptest! {
        /// Whatever the list says: a gate without a network and the slot give the same verdicts on it, one after another, on the same scans; and when the scans
        /// come in later, the slot is where it would have been online, with every ticket's original times, and no conflict. Sent again they change nothing.
        #[test]
        fn offline_and_online_say_the_same_of_the_same_data(
            history in prop::collection::vec(before(), 0..12),
            scans in prop::collection::vec((1..3_u64, 0..TICKETS, 0..3_u16, any::<bool>(), 1..900_i64), 1..24),
        ) {
            let mut online = sold();
            for before in &history {
                let _ = tell(&mut online, -600, &command(before));
            }
            let mut merged = online.clone();
            let mut gate = gate_of(&[&online]);
            let (mut s, mut noted) = (-600, Vec::new());
            for (n, number, issue, out, later) in scans {
                // No two scans in one instant: the same ticket twice at one gate would be one scan sent twice.
                s += later;
                let (id, gate_name) = (sale(n).ticket(number), code("pda"));
                // Issue 2 was never signed: it stands for an id that is typed.
                let (what, issue) = if issue == 2 { (id.to_string(), None) } else { (text(id, issue), Some(issue)) };
                let (direction, command) = if out {
                    (Direction::Out, Command::Exit { ticket: id, gate: gate_name, museum: MUSEUM })
                } else {
                    (Direction::In, Command::Admit { ticket: id, issue, gate: gate_name, museum: MUSEUM })
                };
                let offline = pass(&mut gate, &what, direction, s);
                let said = match &offline {
                    Verdict::Admitted { entry, .. } => Ok(*entry),
                    Verdict::Left { .. } => Ok(0),
                    Verdict::LeftUnseen { .. } => Err(Refusal::NotInside),
                    Verdict::Refused(refusal) => Err(refusal.clone()),
                    Verdict::BadCode(error) => panic!("{error}"),
                };
                let answer = tell(&mut online, s, &command).map(|events| match events.last() {
                    Some(Event::Admitted(admitted)) => admitted.entry,
                    _ => 0,
                });
                prop_assert_eq!(said, answer, "{} {:?} at {}", what, direction, s);
                noted.extend(offline.noted().filter(|_| !matches!(offline, Verdict::LeftUnseen { .. })));
            }
            let listing = |slot: &Slot| Listing::of(slot).tickets;
            for round in 0..2 {
                for Noted { scan, issue } in &noted {
                    let answer = tell(&mut merged, 86_400, &Command::Merge { scan: *scan, issue: *issue, museum: MUSEUM });
                    prop_assert_eq!(answer.err(), (round > 0).then_some(Refusal::ScanKnown));
                }
                prop_assert_eq!(listing(&merged), listing(&online));
                prop_assert_eq!(merged.places(), online.places());
            }
        }
    }
}
