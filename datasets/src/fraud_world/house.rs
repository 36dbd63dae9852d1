//! The plainest driver of the world: places, holds that expire, sales and gates in a few maps, with the rules that agents can feel. It makes the events that scorers
//! hear ([`SignalEvent`]), as the actors make them of the journal, so that features and models can be judged quickly and without a node. It is not the core: it knows
//! no quotas, tariffs or money. What the real node says of the same world is measured by driving it.

use std::collections::{BTreeSet, HashMap};

use tornello_models::fraud::signals::{Outlet, SignalEvent, SignalKind, Taking};

use super::intent::{Action, Channel, Happened, Intent, Parties, Party, Refusal};
use super::town::{DAY_S, HOLD_S, SECOND_US, SLOT_S, Slot};

/// How far apart gates of one site are, in seconds of walking.
const WALK_S: i64 = 600;
/// How long after its end a slot's tickets are let in, and before its start.
const GRACE_S: i64 = 900;
/// How far Rome's clocks are ahead of UTC while the world lasts.
const SUMMER_S: i64 = 2 * 3_600;

/// What was held or sold.
#[derive(Debug, Clone)]
struct Booking {
    slot: Slot,
    party: Party,
    channel: Channel,
    parties: Parties,
    state: State,
    /// Where and when each of its tickets was let in.
    used: HashMap<u16, (u8, i64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Held { until_us: i64 },
    Sold,
    Gone,
}

/// All museums of the world.
#[derive(Debug, Default)]
pub struct House {
    taken: HashMap<Slot, u32>,
    bookings: HashMap<u64, Booking>,
    expiring: BTreeSet<(i64, u64)>,
    tills: HashMap<u64, (u16, Parties)>,
}

impl House {
    /// The holds that end by themselves until a time.
    pub fn expire(&mut self, now_us: i64) -> Vec<SignalEvent> {
        let mut events = Vec::new();
        while let Some((until_us, number)) = self.expiring.first().copied().filter(|(until_us, _)| *until_us <= now_us) {
            self.expiring.remove(&(until_us, number));
            if let Some(booking) = self.end(number) {
                events.push(booking.event(until_us, SignalKind::Expired));
            }
        }
        events
    }

    /// What is about to be decided, as a scorer is asked of it beforehand; none for what is not scored before it is done.
    #[must_use]
    pub fn asked(&self, intent: &Intent) -> Option<SignalEvent> {
        let with = |number: &u64, kind| self.bookings.get(number).map(|booking| booking.with(intent.parties).event(intent.at_us, kind));
        match &intent.action {
            Action::Hold { slot, party } => Some(Booking::of(intent, *slot, *party).event(intent.at_us, SignalKind::Held)),
            Action::Buy { slot, party, .. } => Some(Booking::of(intent, *slot, *party).event(intent.at_us, SignalKind::Sold { held: false })),
            Action::Pay { hold, .. } => with(hold, SignalKind::PaymentBegun),
            Action::Refund { sale } => with(sale, SignalKind::Refunded),
            Action::Void { sale } => with(sale, SignalKind::Voided),
            Action::Release { .. } | Action::Enter { .. } | Action::Merge { .. } | Action::OpenTill { .. } | Action::CloseTill { .. } => None,
        }
    }

    /// Does what is asked, or says why not; with what scorers hear of it.
    pub fn play(&mut self, intent: &Intent) -> (Happened, Vec<SignalEvent>) {
        let now_us = intent.at_us;
        let refused = |refusal| (Happened::Refused(refusal), Vec::new());
        match intent.action {
            Action::Hold { slot, party } => match self.take(intent, slot, party, State::Held { until_us: now_us + HOLD_S * SECOND_US }) {
                Ok(event) => (Happened::Done, vec![event]),
                Err(refusal) => refused(refusal),
            },
            Action::Buy { slot, party, accepted: true, .. } => match self.take(intent, slot, party, State::Sold) {
                Ok(event) => (Happened::Done, vec![event]),
                Err(refusal) => refused(refusal),
            },
            Action::Buy { slot, party, .. } => (Happened::Declined, vec![Booking::of(intent, slot, party).event(now_us, SignalKind::PaymentFailed)]),
            Action::Pay { hold, accepted } => self.pay(hold, accepted, intent),
            Action::Release { hold } => match self.bookings.get(&hold).map(|booking| booking.state) {
                Some(State::Held { until_us }) => {
                    self.expiring.remove(&(until_us, hold));
                    let released = self.end(hold).map(|booking| booking.event(now_us, SignalKind::Released));
                    (Happened::Done, released.into_iter().collect())
                }
                _ => refused(Refusal::Gone),
            },
            Action::Refund { sale } => self.give_back(sale, SignalKind::Refunded, intent),
            Action::Void { sale } => self.give_back(sale, SignalKind::Voided, intent),
            Action::Enter { sale, ticket, gate } => self.enter(sale, ticket, gate, now_us),
            Action::Merge { sale, ticket, gate, scanned_us } => self.merge(sale, ticket, gate, scanned_us, now_us),
            Action::OpenTill { venue } => {
                self.tills.insert(intent.number, (venue, intent.parties));
                (Happened::Done, Vec::new())
            }
            Action::CloseTill { till, difference_cents } => match self.tills.remove(&till) {
                Some((venue, parties)) => {
                    let mut event = SignalEvent::new(now_us, SignalKind::TillClosed { difference_cents }, Outlet::BoxOffice, venue);
                    (event.parties, event.minute) = (takings(parties), minute(now_us));
                    (Happened::Done, vec![event])
                }
                None => refused(Refusal::Gone),
            },
        }
    }

    /// What scorers hear of an intent that a rule refused.
    #[must_use]
    pub fn blocked(&self, intent: &Intent) -> Option<SignalEvent> {
        self.asked(intent).map(|event| SignalEvent { kind: SignalKind::Blocked, ..event })
    }

    fn take(&mut self, intent: &Intent, slot: Slot, party: Party, state: State) -> Result<SignalEvent, Refusal> {
        let (now_s, on_site) = (intent.at_us / SECOND_US, matches!(intent.channel, Channel::Kiosk | Channel::BoxOffice));
        let closes_s = slot.start_s + if on_site { SLOT_S } else { 0 };
        if now_s < slot.opens_s() || now_s >= closes_s {
            return Err(Refusal::NotOnSale);
        }
        let taken = self.taken.entry(slot).or_default();
        let people = u32::from(party.people());
        if *taken + people > slot.venue().capacity {
            return Err(Refusal::Full);
        }
        *taken += people;
        let booking = Booking { state, ..Booking::of(intent, slot, party) };
        let kind = match state {
            State::Held { until_us } => {
                self.expiring.insert((until_us, intent.number));
                SignalKind::Held
            }
            _ => SignalKind::Sold { held: false },
        };
        let event = booking.event(intent.at_us, kind);
        self.bookings.insert(intent.number, booking);
        Ok(event)
    }

    fn pay(&mut self, hold: u64, accepted: bool, intent: &Intent) -> (Happened, Vec<SignalEvent>) {
        let Some(booking) = self.bookings.get_mut(&hold) else { return (Happened::Refused(Refusal::Gone), Vec::new()) };
        let State::Held { until_us } = booking.state else { return (Happened::Refused(Refusal::Gone), Vec::new()) };
        let paying = booking.with(intent.parties);
        // An account is charged; only a card's payment is begun and may fail.
        let begun = paying.parties.card.map(|_| paying.event(intent.at_us, SignalKind::PaymentBegun));
        if !accepted {
            return (Happened::Declined, begun.into_iter().chain([paying.event(intent.at_us, SignalKind::PaymentFailed)]).collect());
        }
        booking.state = State::Sold;
        booking.parties = paying.parties;
        self.expiring.remove(&(until_us, hold));
        (Happened::Done, begun.into_iter().chain([paying.event(intent.at_us, SignalKind::Sold { held: true })]).collect())
    }

    fn give_back(&mut self, sale: u64, kind: SignalKind, intent: &Intent) -> (Happened, Vec<SignalEvent>) {
        let sold = self.bookings.get(&sale).filter(|booking| booking.state == State::Sold && booking.used.is_empty());
        let Some(booking) = sold.map(|booking| booking.with(intent.parties)) else { return (Happened::Refused(Refusal::Gone), Vec::new()) };
        self.end(sale);
        (Happened::Done, vec![booking.event(intent.at_us, kind)])
    }

    fn enter(&mut self, sale: u64, ticket: u16, gate: u8, now_us: i64) -> (Happened, Vec<SignalEvent>) {
        let gone = (Happened::Refused(Refusal::Gone), Vec::new());
        let Some(booking) = self.bookings.get_mut(&sale).filter(|booking| booking.state == State::Sold) else { return gone };
        if let Some((first, at_us)) = booking.used.get(&ticket).copied() {
            let apart = first != gate && now_us - at_us < WALK_S * SECOND_US;
            return (Happened::Refused(Refusal::Gone), vec![booking.event(now_us, SignalKind::AdmittedTwice { apart })]);
        }
        let now_s = now_us / SECOND_US;
        if now_s < booking.slot.start_s - GRACE_S || now_s > booking.slot.start_s + SLOT_S + GRACE_S {
            return gone;
        }
        booking.used.insert(ticket, (gate, now_us));
        (Happened::Done, vec![booking.event(now_us, SignalKind::Admitted)])
    }

    fn merge(&mut self, sale: u64, ticket: u16, gate: u8, scanned_us: i64, now_us: i64) -> (Happened, Vec<SignalEvent>) {
        let sold = self.bookings.get_mut(&sale).filter(|booking| booking.state == State::Sold);
        let Some(booking) = sold else { return (Happened::Refused(Refusal::Gone), Vec::new()) };
        let kind = if booking.used.contains_key(&ticket) { SignalKind::Conflict } else { SignalKind::Admitted };
        booking.used.entry(ticket).or_insert((gate, scanned_us));
        (Happened::Done, vec![booking.event(now_us, kind)])
    }

    /// Ends a hold or sale and gives its places back.
    fn end(&mut self, number: u64) -> Option<Booking> {
        let booking = self.bookings.get_mut(&number).filter(|booking| booking.state != State::Gone)?;
        booking.state = State::Gone;
        if let Some(taken) = self.taken.get_mut(&booking.slot) {
            *taken = taken.saturating_sub(u32::from(booking.party.people()));
        }
        Some(booking.clone())
    }
}

impl Booking {
    fn of(intent: &Intent, slot: Slot, party: Party) -> Self {
        Self { slot, party, channel: intent.channel, parties: intent.parties, state: State::Gone, used: HashMap::new() }
    }

    /// With whoever else takes part now.
    fn with(&self, parties: Parties) -> Self {
        Self { parties: parties.or(self.parties), ..self.clone() }
    }

    fn event(&self, at_us: i64, kind: SignalKind) -> SignalEvent {
        let Self { slot, party, .. } = self;
        let people = u32::from(party.people());
        SignalEvent {
            slot: u64::from(slot.venue) << 32 | (slot.start_s / 60).unsigned_abs(),
            parties: takings(self.parties),
            people: if matches!(kind, SignalKind::Admitted | SignalKind::AdmittedTwice { .. } | SignalKind::Conflict) { 1 } else { people },
            cheap: u32::from(party.reduced + party.free),
            cents: party.cents(slot),
            list_cents: i64::from(people) * slot.venue().full_cents,
            lead_s: slot.start_s - at_us / SECOND_US,
            minute: minute(at_us),
            ..SignalEvent::new(at_us, kind, self.channel.outlet(), slot.venue)
        }
    }
}

/// Minutes since midnight in Rome.
fn minute(at_us: i64) -> u16 {
    ((at_us / SECOND_US + SUMMER_S).rem_euclid(DAY_S) / 60) as u16
}

fn takings(parties: Parties) -> Vec<Taking> {
    parties.known().map(|(kind, party)| Taking { role: kind.role(), id: u128::from(party) }).collect()
}
