//! Turns records of the journal into signals, in the order of commits: who took part in what. Events that nobody gave a command for, as when a hold expires, are
//! traced back to whoever began it; that memory is bounded, and what is not remembered any more is heard without parties, which counts for nobody.
//!
//! The same function makes the signal of a command that is about to be given, so that what was assessed is what is found in the journal.

use serde::{Deserialize, Serialize};
use tornello_engine::attempts::{self, Aim, Attempt, Ending, Figures, Refused};
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope, Party, PartyKind};
use tornello_engine::ids::{Code, HoldId, KeyId, MuseumId, PaymentId, SlotId, TicketId, TillId};
use tornello_engine::money::Cents;
use tornello_engine::record::Record;
use tornello_engine::slot::{self, CancelCause, ConflictReason, Direction, Line, Scan, Settlement};
use tornello_engine::tariff::Proof;
use tornello_engine::time::{MICROS_PER_S, Timestamp};
use tornello_engine::{payment, till};
use tornello_models::fraud::signals::{Outlet, Role, SignalEvent, SignalKind, Taking};

use super::recent::Recent;
use crate::journal::wire::{self, Framed, WireError};
use crate::journal::{Batch, StreamId};

/// So many holds and sales are traced back to whoever began them.
const ORIGINS: usize = 262_144;
/// So many payments are.
const PAYMENTS: usize = 65_536;
/// So many moves of tickets are under way at once.
const MOVES: usize = 16_384;
/// Of so many tickets the last admission is remembered.
const SCANS: usize = 65_536;
/// Nobody walks from one gate to another, and in again, sooner than that.
pub const APART_S: i64 = 600;
/// Within which time a ticket that is refused at another gate than it came in by is read of, as two people may be in on it, in seconds: later on, who comes back from outside
/// is likelier.
pub const ELSEWHERE_S: i64 = 3_600;

/// A signal, and the number of the hold, sale, payment or attempt that it is about; 0: of none.
pub type Signal = (SignalEvent, u128);

/// Where a hold or a payment came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Origin {
    outlet: Outlet,
    museum: u16,
    parties: Vec<Taking>,
    cents: i64,
    /// The slot of a payment's first hold; 0: of none.
    slot: u64,
    /// Whether it is a place on a waiting list.
    waits: bool,
}

/// A payment, also when it is over: money for it may come later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Paying {
    origin: Origin,
    /// How many of its parties were named with it; the others held the places.
    named: usize,
    /// Whether somebody has begun to pay it: a second time means that the first came to nothing.
    tried: bool,
    /// Whether it came to nothing.
    over: bool,
}

/// Who moves tickets, through which channel, and whose they are: what an arrival does not say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Moving {
    outlet: Outlet,
    parties: Vec<Taking>,
}

/// What has to be remembered to understand the next record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hearing {
    origins: Recent<u128, Origin>,
    payments: Recent<u64, Paying>,
    moves: Recent<u128, Moving>,
    scans: Recent<u128, (String, i64)>,
    /// The conflicts of gates without a network, by ticket and time of the scan: when each was counted, and whether as apart.
    conflicts: Recent<(u128, i64), (i64, bool)>,
    tills: Recent<u64, (u16, u64)>,
}

impl Default for Hearing {
    fn default() -> Self {
        Self {
            origins: Recent::new(ORIGINS),
            payments: Recent::new(PAYMENTS),
            moves: Recent::new(MOVES),
            scans: Recent::new(SCANS),
            conflicts: Recent::new(SCANS),
            tills: Recent::new(4_096),
        }
    }
}

/// The channel, as signals name it.
#[must_use]
pub const fn outlet(channel: Channel) -> Outlet {
    match channel {
        Channel::Web => Outlet::Web,
        Channel::Kiosk => Outlet::Kiosk,
        Channel::BoxOffice => Outlet::BoxOffice,
        Channel::Group => Outlet::Group,
        Channel::Reseller => Outlet::Reseller,
    }
}

/// The role, as signals name it.
#[must_use]
pub const fn role(kind: PartyKind) -> Role {
    match kind {
        PartyKind::Buyer => Role::Buyer,
        PartyKind::Device => Role::Device,
        PartyKind::Card => Role::Card,
        PartyKind::Account => Role::Account,
        PartyKind::Network => Role::Network,
        PartyKind::Kiosk => Role::Kiosk,
        PartyKind::Operator => Role::Operator,
        PartyKind::Group => Role::Group,
    }
}

/// Whoever gives commands through a channel takes part as well: a desk's key is its operator, a totem's the totem, a reseller's its account.
fn acting(who: KeyId, outlet: Outlet) -> Option<Taking> {
    let role = match outlet {
        Outlet::Web => return None,
        Outlet::Kiosk => Role::Kiosk,
        Outlet::BoxOffice | Outlet::Group => Role::Operator,
        Outlet::Reseller => Role::Account,
    };
    (who != KeyId::SYSTEM).then_some(Taking { role, id: u128::from(who.0) })
}

/// Who takes part in a command: those that the channel named, and the one who gives it.
#[must_use]
pub fn parties(envelope: &Envelope, outlet: Outlet) -> Vec<Taking> {
    let mut parties = Vec::with_capacity(envelope.parties.len() + 1);
    parties.extend(envelope.parties.iter().map(|party| Taking { role: role(party.kind), id: { party.pseudonym.0 } }));
    // Whatever names a command gives, whoever gives it cannot leave themselves out.
    join(&mut parties, acting(envelope.who, outlet));
    parties
}

/// The key of a desk, a totem or a reseller that gives tickets back or takes them back, as a party of the command. The record does not say through which channel the command came,
/// and a clerk who gives back what others sold has to be found. A key that takes tickets back for the museum is an operator, whatever else it is for.
#[must_use]
pub fn by_whom(who: KeyId, channel: Channel, kind: SignalKind) -> Option<Party> {
    let Taking { role, id } = acting(who, if kind == SignalKind::Voided { Outlet::BoxOffice } else { outlet(channel) })?;
    let kind = match role {
        Role::Kiosk => PartyKind::Kiosk,
        Role::Account => PartyKind::Account,
        _ => PartyKind::Operator,
    };
    Some(Party { kind, pseudonym: Digest(id) })
}

/// What it is that tickets go back: what a desk sold and a desk takes back is the desk's doing, whatever cause it gives.
#[must_use]
pub fn kind_of_return(sold_by: Outlet, cause: CancelCause) -> SignalKind {
    if sold_by == Outlet::BoxOffice || cause == CancelCause::Museum { SignalKind::Voided } else { SignalKind::Refunded }
}

/// Whose places they were, for whoever does something with their tickets: the desk that does it is the operator, not the one that sold.
pub fn but_operators(parties: &[Taking]) -> impl Iterator<Item = Taking> {
    parties.iter().copied().filter(|taking| taking.role != Role::Operator)
}

/// Adds those who are not among them yet.
pub fn join(parties: &mut Vec<Taking>, others: impl IntoIterator<Item = Taking>) {
    for other in others {
        if !parties.contains(&other) {
            parties.push(other);
        }
    }
}

/// Those of some who take part that channels name, as parties: all but the keys and accounts by which commands are given.
pub fn named(parties: &[Taking]) -> impl Iterator<Item = Party> {
    const NAMED: [PartyKind; 5] = [PartyKind::Buyer, PartyKind::Device, PartyKind::Card, PartyKind::Network, PartyKind::Group];
    parties.iter().filter_map(|taking| {
        let kind = NAMED.into_iter().find(|kind| role(*kind) == taking.role)?;
        Some(Party { kind, pseudonym: Digest(taking.id) })
    })
}

/// The signal of places that somebody asks for, or got.
#[must_use]
pub fn places(at: Timestamp, kind: SignalKind, channel: Channel, slot: SlotId, lines: &[Line], envelope: &Envelope) -> SignalEvent {
    let outlet = outlet(channel);
    let full = lines.iter().map(|line| line.price_cents.get()).max().unwrap_or(0);
    let people = |which: &dyn Fn(&Line) -> bool| lines.iter().filter(|line| which(line)).map(|line| u32::from(line.count)).sum::<u32>();
    let all = people(&|_| true);
    let (lead_s, minute) = moment(at, slot);
    SignalEvent {
        at_us: at.as_micros(),
        kind,
        outlet,
        museum: slot.museum().0,
        slot: slot.get(),
        parties: parties(envelope, outlet),
        people: all,
        cheap: people(&|line| line.proof != Proof::None || line.price_cents.get() == 0),
        cents: lines.iter().map(|line| line.price_cents.get().saturating_mul(i64::from(line.count))).fold(0, i64::saturating_add),
        // Of a party in which nobody pays in full the full price is not known here: it says nothing of the price. The tariff knows it, and is not asked: the one that was in
        // force when a command was assessed need not be the one at its place in the journal, and a replay has to find the same.
        list_cents: full.saturating_mul(i64::from(all)),
        lead_s,
        minute,
        no_hold: false,
    }
}

/// The signal of somebody who comes to a waiting room, and is not written down: they wait for places over the web, nobody knows yet in which slot, for how many, and at what price.
#[must_use]
pub fn joining(at: Timestamp, museum: MuseumId, named: &[Party]) -> SignalEvent {
    let mut signal = SignalEvent::new(at.as_micros(), SignalKind::Waited, Outlet::Web, museum.0);
    signal.parties = named.iter().map(|party| Taking { role: role(party.kind), id: { party.pseudonym.0 } }).collect();
    signal.minute = minute_of(at);
    signal
}

/// How long before a slot an instant is, in seconds, and its minute of the day where the museum is.
fn moment(at: Timestamp, slot: SlotId) -> (i64, u16) {
    (slot.start().micros_since(at) / MICROS_PER_S, minute_of(at))
}

/// The minute of the day where museums are.
fn minute_of(at: Timestamp) -> u16 {
    let local = calendar::local(at);
    (i32::from(local.hour()) * 60 + i32::from(local.minute())).clamp(0, 1_439) as u16
}

/// What is kept of a signal with an attempt that is refused: what [`Hearing::refused`] needs and the attempt itself does not say. None for commands that are never refused.
#[must_use]
pub fn figures(signal: &SignalEvent, hold: HoldId) -> Option<Figures> {
    let aim = match signal.kind {
        SignalKind::Held => Aim::Hold,
        SignalKind::Waited => Aim::Wait,
        SignalKind::Sold { held } => Aim::Buy { held },
        SignalKind::PaymentBegun => Aim::Pay,
        SignalKind::Refunded => Aim::Refund,
        SignalKind::Voided => Aim::Void,
        _ => return None,
    };
    let (cents, list_cents) = (Cents::new(signal.cents), Cents::new(signal.list_cents));
    Some(Figures { aim, hold, people: signal.people, cheap: signal.cheap, cents, list_cents })
}

/// The signal of a payment that begins: it counts for the slot of its first hold, as does its end.
#[must_use]
pub fn payment(at: Timestamp, channel: Channel, museum: MuseumId, amount_cents: i64, first: Option<HoldId>, envelope: &Envelope) -> SignalEvent {
    let outlet = outlet(channel);
    let mut signal = SignalEvent::new(at.as_micros(), SignalKind::PaymentBegun, outlet, museum.0);
    signal.slot = first.map_or(0, |hold| hold.slot().get());
    signal.parties = parties(envelope, outlet);
    signal.cents = amount_cents;
    signal
}

/// The signal of a count of cash by whoever gives that command: what the drawer is off by is also of who opened the session, as it was theirs.
#[must_use]
pub fn count(at: Timestamp, museum: MuseumId, difference_cents: Cents, who: KeyId, opener: Option<KeyId>) -> SignalEvent {
    let kind = SignalKind::TillClosed { difference_cents: difference_cents.get() };
    let mut signal = SignalEvent::new(at.as_micros(), kind, Outlet::BoxOffice, museum.0);
    join(&mut signal.parties, [Some(who), opener].into_iter().flatten().filter_map(|key| acting(key, Outlet::BoxOffice)));
    signal
}

/// The envelope of what the system does by itself.
const fn nobody() -> Envelope {
    Envelope { who: KeyId::SYSTEM, key: Digest(0), body: Digest(0), parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() }
}

impl Hearing {
    /// The signals of a batch, in order.
    pub fn take(&mut self, batch: &Batch) -> Result<Vec<Signal>, WireError> {
        let mut signals = Vec::new();
        for frame in wire::frames(&batch.records) {
            self.record(&frame?, &mut signals)?;
        }
        Ok(signals)
    }

    /// Puts the signals of one record behind those that are there, in order.
    pub fn record(&mut self, frame: &Framed<'_>, signals: &mut Vec<Signal>) -> Result<(), WireError> {
        match frame.stream {
            StreamId::Slot(slot) => self.slot(slot, &frame.record()?, signals),
            StreamId::Payment(payment) => self.payment(payment, &frame.record()?, signals),
            StreamId::Attempts(_) => self.attempts(&frame.record()?, signals),
            StreamId::Till(till) => self.till(till.0, &frame.record()?, signals),
            _ => {}
        }
        Ok(())
    }

    /// Who took part in a hold, an entry of a waiting list or a sale, as far as it is remembered.
    #[must_use]
    pub fn parties_of(&self, hold: HoldId) -> Option<&[Taking]> {
        self.origins.get(&hold.get()).map(|origin| origin.parties.as_slice())
    }

    /// At which museum a till session was opened, and by whom, as far as it runs and is remembered.
    #[must_use]
    pub fn opened_by(&self, till: TillId) -> Option<(MuseumId, KeyId)> {
        self.tills.get(&till.0).map(|(museum, who)| (MuseumId(*museum), KeyId(*who)))
    }

    /// What a slot's record says, as [`Self::record`] has it.
    pub(super) fn slot(&mut self, slot: SlotId, record: &Record<slot::Event>, signals: &mut Vec<Signal>) {
        for event in &record.events {
            match event {
                slot::Event::Held(held) => {
                    let signal = self.asked(record.at, SignalKind::Held, held.channel, held.hold, &held.lines, record.envelope.as_ref());
                    self.begun(signal, held.hold, signals);
                }
                slot::Event::Waited(waited) => {
                    let signal = self.asked(record.at, SignalKind::Waited, waited.channel, waited.entry, &waited.lines, record.envelope.as_ref());
                    self.begun(signal, waited.entry, signals);
                }
                slot::Event::Sold(sold) => {
                    let kind = SignalKind::Sold { held: sold.held };
                    let mut signal = self.asked(record.at, kind, sold.channel, sold.sale, &sold.lines, record.envelope.as_ref());
                    join(&mut signal.parties, self.payers(sold).iter().copied());
                    signal.no_hold = self.origins.get(&sold.sale.get()).is_some_and(|origin| origin.waits);
                    self.begun(signal, sold.sale, signals);
                }
                slot::Event::MoveBegun(begun) => self.move_begun(begun, record.envelope.as_ref()),
                slot::Event::MoveUndone(undone) => drop(self.moves.take(&undone.arrival.get())),
                slot::Event::Arrived(arrived) => self.arrived(record.at, arrived, signals),
                slot::Event::Released(released) => self.follow(record.at, SignalKind::Released, slot, released.hold, signals),
                slot::Event::Expired(expired) => self.follow(record.at, SignalKind::Expired, slot, expired.hold, signals),
                slot::Event::Cancelled(cancelled) => self.cancelled(record, slot, cancelled, signals),
                slot::Event::Admitted(admitted) => {
                    let at = admitted.scanned_at.unwrap_or(record.at);
                    self.scans.put(admitted.ticket.get(), (admitted.gate.as_str().to_owned(), at.as_micros()));
                }
                slot::Event::AdmissionConflict(conflict) => {
                    let slot::AdmissionConflict { ticket, gate, scanned_at, reason } = *conflict;
                    self.conflict(record.at, slot, Scan { ticket, scanned_at, gate, direction: Direction::In }, reason, signals);
                }
                slot::Event::ScansJudged(judged) => self.judged(record.at, slot, judged, signals),
                _ => {}
            }
        }
    }

    /// A gate without a network let somebody in who should not have been.
    fn conflict(&mut self, at: Timestamp, slot: SlotId, scan: Scan, reason: ConflictReason, signals: &mut Vec<Signal>) {
        let kind = self.met(scan.ticket, reason, scan.gate, scan.scanned_at);
        let apart = matches!(kind, SignalKind::AdmittedTwice { apart: true });
        self.conflicts.put((scan.ticket.get(), scan.scanned_at.as_micros()), (at.as_micros(), apart));
        self.follow(at, kind, slot, scan.ticket.sale(), signals);
    }

    /// Scans came in out of their order. Each that is a conflict now and was none counts once; of one that is none after all what was counted is taken back.
    fn judged(&mut self, at: Timestamp, slot: SlotId, judged: &slot::ScansJudged, signals: &mut Vec<Signal>) {
        for found in &judged.scans {
            let Scan { ticket, scanned_at, gate, direction } = found.scan;
            let was = |before: slot::Judged| before.conflict().is_some();
            match (found.before.is_some_and(was), found.judged.conflict()) {
                (false, Some(reason)) => self.conflict(at, slot, found.scan, reason, signals),
                (true, None) => {
                    if let Some((since_us, apart)) = self.conflicts.take(&(ticket.get(), scanned_at.as_micros())) {
                        self.follow(at, SignalKind::Withdrawn { since_us, apart }, slot, ticket.sale(), signals);
                    }
                }
                (false, None) | (true, Some(_)) => {}
            }
            if direction == Direction::In && found.judged.passed() {
                self.scans.put(ticket.get(), (gate.as_str().to_owned(), scanned_at.as_micros()));
            }
        }
    }

    /// Places were asked for, or sold: whatever becomes of them is of the same.
    fn begun(&mut self, signal: SignalEvent, hold: HoldId, signals: &mut Vec<Signal>) {
        self.origins.put(hold.get(), origin_of(&signal));
        signals.push((signal, hold.get()));
    }

    /// Who was named with the payment that a sale is settled by, the card first of all; of one that is made anew, as its hold was gone, also whoever held the places.
    fn payers(&self, sold: &slot::Sold) -> &[Taking] {
        let Settlement::Payment { id } = sold.settlement else { return &[] };
        let Some(paying) = self.payments.get(&id.get()) else { return &[] };
        let known = if sold.held { paying.named } else { paying.origin.parties.len() };
        paying.origin.parties.get(..known).unwrap_or_default()
    }

    /// Tickets are on their way to another slot.
    fn move_begun(&mut self, begun: &slot::MoveBegun, envelope: Option<&Envelope>) {
        let parties = self.movers(begun, envelope);
        self.moves.put(begun.arrival.get(), Moving { outlet: outlet(begun.via), parties });
    }

    /// Who moves tickets, and whose they are.
    fn movers(&self, begun: &slot::MoveBegun, envelope: Option<&Envelope>) -> Vec<Taking> {
        let nobody = nobody();
        let mut parties = parties(envelope.unwrap_or(&nobody), outlet(begun.via));
        if let Some(origin) = self.origins.get(&begun.sale.get()) {
            join(&mut parties, but_operators(&origin.parties));
        }
        parties
    }

    /// The signal of tickets that are about to be moved, as it is assessed: of places that are taken and sold at once where they go.
    #[must_use]
    pub fn moving(&self, at: Timestamp, begun: &slot::MoveBegun, envelope: Option<&Envelope>) -> SignalEvent {
        let mut signal = places(at, SignalKind::Sold { held: true }, begun.via, begun.arrival.slot(), &begun.lines, &nobody());
        signal.parties = self.movers(begun, envelope);
        signal
    }

    /// Tickets have come from another slot: places were taken there, and sold at once, by whoever moved them and whoever had them.
    fn arrived(&mut self, at: Timestamp, arrived: &slot::Arrived, signals: &mut Vec<Signal>) {
        let moving = self.moves.take(&arrived.sale.get()).unwrap_or_else(|| {
            let had = self.origins.get(&arrived.from.get()).map_or(&[][..], |origin| &origin.parties);
            Moving { outlet: outlet(arrived.channel), parties: but_operators(had).collect() }
        });
        let mut signal = self.asked(at, SignalKind::Held, arrived.channel, arrived.sale, &arrived.lines, None);
        join(&mut signal.parties, moving.parties);
        // Through which channel it was sold counts for what becomes of it; here counts who moves it.
        let origin = origin_of(&signal);
        signal.outlet = moving.outlet;
        signal.no_hold = true;
        for kind in [SignalKind::Held, SignalKind::Sold { held: true }] {
            signals.push((SignalEvent { kind, ..signal.clone() }, arrived.sale.get()));
        }
        self.origins.put(arrived.sale.get(), origin);
    }

    /// The signal of places that are, or were, asked for. A sale is also of whoever held the places: bought under another name they are bought all the same.
    #[must_use]
    pub fn asked(&self, at: Timestamp, kind: SignalKind, channel: Channel, hold: HoldId, lines: &[Line], envelope: Option<&Envelope>) -> SignalEvent {
        let nobody = nobody();
        let mut signal = places(at, kind, channel, hold.slot(), lines, envelope.unwrap_or(&nobody));
        if let Some(origin) = self.origins.get(&hold.get()) {
            join(&mut signal.parties, origin.parties.iter().copied());
        }
        signal
    }

    /// Something became of a hold.
    fn follow(&self, at: Timestamp, kind: SignalKind, slot: SlotId, hold: HoldId, signals: &mut Vec<Signal>) {
        if let Some(origin) = self.origins.get(&hold.get()) {
            signals.push((of(origin, at, kind, slot), hold.get()));
        }
    }

    fn cancelled(&self, record: &Record<slot::Event>, slot: SlotId, cancelled: &slot::Cancelled, signals: &mut Vec<Signal>) {
        let signal = self.returned(record.at, slot, cancelled, record.envelope.as_ref(), None);
        signals.extend(signal.map(|signal| (signal, cancelled.sale.get())));
    }

    /// The signal of tickets that go back; none if it is not remembered whose they were. `taker` is the channel of the key that gives them back; without it the channel that the
    /// record shows, if it does.
    #[must_use]
    pub fn returned(
        &self,
        at: Timestamp,
        slot: SlotId,
        cancelled: &slot::Cancelled,
        envelope: Option<&Envelope>,
        taker: Option<Outlet>,
    ) -> Option<SignalEvent> {
        let origin = self.origins.get(&cancelled.sale.get())?;
        let (kind, nobody) = (kind_of_return(origin.outlet, cancelled.cause), nobody());
        let mut signal = of(origin, at, kind, slot);
        // Whoever takes tickets back is a party of the command, see [`by_whom`]. Records of before that was so say it only where it can be nobody but an operator.
        let taker = taker.unwrap_or(if kind == SignalKind::Voided { Outlet::BoxOffice } else { Outlet::Web });
        signal.parties = parties(envelope.unwrap_or(&nobody), taker);
        join(&mut signal.parties, but_operators(&origin.parties));
        // Of a cause that is corrected the record names no tickets: it counts as one, so that whoever pays much back like that is seen too.
        signal.people = cancelled.tickets.len().max(1) as u32;
        signal.cents = 0;
        Some(signal)
    }

    /// What it means that a gate met a ticket which is not good there, whether or not it let its holder in.
    fn met(&self, ticket: TicketId, reason: ConflictReason, gate: Code, at: Timestamp) -> SignalKind {
        match reason {
            ConflictReason::TicketInside | ConflictReason::TicketUsed => {
                let elsewhere = |(other, at_us): &(String, i64)| other != gate.as_str() && (at.as_micros() - at_us).abs() < APART_S * MICROS_PER_S;
                SignalKind::AdmittedTwice { apart: self.scans.get(&ticket.get()).is_some_and(elsewhere) }
            }
            _ => SignalKind::Conflict,
        }
    }

    /// What a payment's record says.
    pub(super) fn payment(&mut self, payment: PaymentId, record: &Record<payment::Event>, signals: &mut Vec<Signal>) {
        for event in &record.events {
            match event {
                payment::Event::Opened(opened) => {
                    let signal = self.payment_begun(record.at, opened, record.envelope.as_ref());
                    let named = record.envelope.as_ref().map_or(0, |envelope| parties(envelope, signal.outlet).len());
                    let paying = Paying { origin: origin_of(&signal), named, tried: false, over: false };
                    self.payments.put(payment.get(), paying);
                    signals.push((signal, u128::from(payment.get())));
                }
                payment::Event::Activated(_) => {
                    let Some(mut paying) = self.payments.take(&payment.get()) else { continue };
                    if std::mem::replace(&mut paying.tried, true) && !paying.over {
                        signals.push(failed(&paying, record.at, payment));
                    }
                    self.payments.put(payment.get(), paying);
                }
                payment::Event::PublishFailed(_) | payment::Event::Cancelled(_) | payment::Event::Expired(_) => {
                    let Some(mut paying) = self.payments.take(&payment.get()) else { continue };
                    if !std::mem::replace(&mut paying.over, true) {
                        signals.push(failed(&paying, record.at, payment));
                    }
                    self.payments.put(payment.get(), paying);
                }
                _ => {}
            }
        }
    }

    /// The signal of a payment that begins: of all its holds together, also of whoever held the places.
    #[must_use]
    pub fn payment_begun(&self, at: Timestamp, opened: &payment::Opened, envelope: Option<&Envelope>) -> SignalEvent {
        let nobody = nobody();
        let first = opened.items.first().map(|item| item.hold);
        let mut signal = payment(at, opened.channel, opened.museum, opened.amount_cents.get(), first, envelope.unwrap_or(&nobody));
        for origin in opened.items.iter().filter_map(|item| self.origins.get(&item.hold.get())) {
            join(&mut signal.parties, origin.parties.iter().copied());
        }
        signal
    }

    fn attempts(&self, record: &Record<attempts::Event>, signals: &mut Vec<Signal>) {
        for event in &record.events {
            match event {
                // Who was asked for one more proof and has not given it yet may be about to.
                attempts::Event::Noted(attempt) if attempt.ending != Ending::Abandoned => {
                    let mut signal = SignalEvent::new(record.at.as_micros(), SignalKind::Blocked, outlet(attempt.channel), attempt.museum.0);
                    signal.slot = attempt.slot.map_or(0, SlotId::get);
                    signal.people = attempt.people;
                    signal.parties.extend(attempt.parties.iter().map(|party| Taking { role: role(party.kind), id: { party.pseudonym.0 } }));
                    signals.push((signal, u128::from(attempt.id.get())));
                }
                attempts::Event::Refused(refused) => self.refused_at_gate(record.at, refused, signals),
                attempts::Event::Noted(_) | attempts::Event::Counted(_) => {}
            }
        }
    }

    /// A gate with a network refused a ticket: for those whose sale it is the same as if one without had let it in.
    fn refused_at_gate(&self, at: Timestamp, refused: &Refused, signals: &mut Vec<Signal>) {
        // Who errs in the day is nearly always honest; a gate without a network knows no other days, and never met such a ticket.
        if matches!(refused.reason, ConflictReason::TooEarly | ConflictReason::TooLate) {
            return;
        }
        let kind = self.met(refused.ticket, refused.reason, refused.gate, refused.at);
        self.follow(at, kind, refused.ticket.slot(), refused.ticket.sale(), signals);
    }

    /// The signal of an attempt, as it was assessed; none if it was not, or it is not known any more what was asked for.
    #[must_use]
    pub fn refused(&self, attempt: &Attempt, envelope: Option<&Envelope>) -> Option<SignalEvent> {
        let (figures, assessment) = attempt.figures.as_deref().zip(attempt.assessment.as_ref())?;
        let Figures { aim, hold, people, cheap, cents, list_cents } = *figures;
        let (kind, is_return) = match aim {
            Aim::Hold => (SignalKind::Held, false),
            Aim::Wait => (SignalKind::Waited, false),
            Aim::Buy { held } => (SignalKind::Sold { held }, false),
            Aim::Pay => (SignalKind::PaymentBegun, false),
            Aim::Refund => (SignalKind::Refunded, true),
            Aim::Void => (SignalKind::Voided, true),
        };
        let (nobody, channel, slot) = (nobody(), outlet(attempt.channel), hold.slot());
        let origin = self.origins.get(&hold.get());
        let outlet = origin.filter(|_| is_return).map_or(channel, |origin| origin.outlet);
        let mut signal = SignalEvent::new(assessment.at.as_micros(), kind, outlet, attempt.museum.0);
        signal.slot = slot.get();
        signal.parties = parties(envelope.unwrap_or(&nobody), channel);
        if let Some(origin) = origin {
            let others = origin.parties.iter().copied().filter(|taking| !is_return || taking.role != Role::Operator);
            join(&mut signal.parties, others);
        }
        // Of a payment also whoever held the places of its other holds, as far as there was room for them.
        join(&mut signal.parties, attempt.parties.iter().map(|party| Taking { role: role(party.kind), id: { party.pseudonym.0 } }));
        (signal.people, signal.cheap, signal.cents, signal.list_cents) = (people, cheap, cents.get(), list_cents.get());
        if matches!(aim, Aim::Hold | Aim::Wait | Aim::Buy { .. }) {
            (signal.lead_s, signal.minute) = moment(assessment.at, slot);
        }
        Some(signal)
    }

    fn till(&mut self, till: u64, record: &Record<till::Event>, signals: &mut Vec<Signal>) {
        for event in &record.events {
            match event {
                till::Event::Opened(opened) => {
                    let who = record.envelope.as_ref().map_or(0, |envelope| envelope.who.0);
                    self.tills.put(till, (opened.museum.0, who));
                }
                till::Event::Closed(closed) => {
                    let (museum, opener) = self.tills.take(&till).unwrap_or_default();
                    let who = record.envelope.as_ref().map_or(KeyId(opener), |envelope| envelope.who);
                    signals.push((count(record.at, MuseumId(museum), closed.difference_cents, who, Some(KeyId(opener))), 0));
                }
                till::Event::CashMoved(_) => {}
            }
        }
    }
}

/// Where what a signal tells of came from.
fn origin_of(signal: &SignalEvent) -> Origin {
    let waits = signal.kind == SignalKind::Waited;
    Origin { outlet: signal.outlet, museum: signal.museum, parties: signal.parties.clone(), cents: signal.cents, slot: signal.slot, waits }
}

/// A payment came to nothing.
fn failed(paying: &Paying, at: Timestamp, payment: PaymentId) -> Signal {
    let origin = &paying.origin;
    (of(origin, at, SignalKind::PaymentFailed, SlotId::from_raw(origin.slot)), u128::from(payment.get()))
}

/// A signal of those from whom something came.
fn of(origin: &Origin, at: Timestamp, kind: SignalKind, slot: SlotId) -> SignalEvent {
    let mut signal = SignalEvent::new(at.as_micros(), kind, origin.outlet, origin.museum);
    signal.slot = slot.get();
    signal.parties.clone_from(&origin.parties);
    signal.cents = origin.cents;
    signal
}

#[cfg(test)]
mod tests {
    use tornello_engine::ids::RouteId;
    use tornello_engine::slot::{AdmissionConflict, Held, Judged, JudgedScan, ScansJudged, TicketState};

    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_seconds(1_780_000_020 + 60 * minute)
    }

    #[test]
    fn a_conflict_that_was_none_is_taken_back_once() {
        let slot = SlotId::new(MuseumId(1), RouteId(1), at(0));
        let sale = HoldId::new(slot, 1);
        let gate: Code = "pda".parse().unwrap();
        let scan = |minute, direction| Scan { ticket: sale.ticket(0), scanned_at: at(minute), gate, direction };
        let (mut hearing, mut signals) = (Hearing::default(), Vec::new());
        let mut hear = |minute, event| {
            let before = signals.len();
            hearing.slot(slot, &Record { seq: 1, at: at(minute), envelope: None, events: vec![event] }, &mut signals);
            signals[before..].iter().map(|(signal, _)| signal.kind).collect::<Vec<_>>()
        };
        hear(-60, slot::Event::Held(Held { hold: sale, channel: Channel::Web, lines: Vec::new(), expires_at: at(0) }));
        let reason = ConflictReason::TicketInside;
        let again = scan(40, Direction::In);
        let conflict = AdmissionConflict { ticket: again.ticket, gate, scanned_at: again.scanned_at, reason };
        assert_eq!(hear(60, slot::Event::AdmissionConflict(conflict)), [SignalKind::AdmittedTwice { apart: false }]);
        let judged = |scans| {
            let state = TicketState::Inside { first_at: at(0), since: at(40), entries: 2 };
            slot::Event::ScansJudged(ScansJudged { ticket: again.ticket, scans, state, used: false })
        };
        let left = JudgedScan { scan: scan(30, Direction::Out), before: None, judged: Judged::Passed };
        let none = JudgedScan { scan: again, before: Some(Judged::Conflict { reason }), judged: Judged::Passed };
        let withdrawn = SignalKind::Withdrawn { since_us: at(60).as_micros(), apart: false };
        assert_eq!(hear(70, judged(vec![left, none])), [withdrawn]);
        assert!(hear(71, judged(vec![none])).is_empty(), "what was taken back is taken back");
        let other = JudgedScan { scan: scan(35, Direction::In), before: None, judged: Judged::Conflict { reason } };
        assert_eq!(hear(72, judged(vec![other])).len(), 1, "a conflict that comes to light in another one's place counts as well");
    }

    #[test]
    fn what_was_waited_for_or_has_moved_is_told_from_what_was_held_and_bought() {
        let slot = SlotId::new(MuseumId(1), RouteId(1), at(60));
        let (mut hearing, mut signals) = (Hearing::default(), Vec::new());
        let (kept, offered, channel) = (HoldId::new(slot, 1), HoldId::new(slot, 2), Channel::Web);
        let waited = slot::Waited { entry: offered, number: 1, channel, lines: Vec::new(), parties_ahead: 0, people_ahead: 0 };
        let free = Settlement::Free;
        let sold = |sale| {
            let (lines, settlement) = (Vec::new(), free.clone());
            slot::Event::Sold(slot::Sold { sale, held: true, channel, lines, settlement, contact: None, held_by: None })
        };
        let held = Held { hold: kept, channel, lines: Vec::new(), expires_at: at(15) };
        let arrived = slot::Arrived {
            sale: HoldId::new(slot, 3),
            from: HoldId::new(SlotId::new(MuseumId(1), RouteId(1), at(120)), 3),
            who: KeyId(5),
            order: None,
            channel,
            lines: Vec::new(),
            contact: None,
            holders: Vec::new(),
            refund_percent: 100,
            buyer: None,
        };
        let moved = arrived.sale;
        let events = vec![slot::Event::Held(held), slot::Event::Waited(waited), sold(kept), sold(offered), slot::Event::Arrived(arrived)];
        hearing.slot(slot, &Record { seq: 1, at: at(0), envelope: None, events }, &mut signals);
        let heard: Vec<_> = signals.iter().map(|(signal, id)| (signal.kind, *id, signal.no_hold)).collect();
        let bought = SignalKind::Sold { held: true };
        let expected = [
            (SignalKind::Held, kept.get(), false),
            (SignalKind::Waited, offered.get(), false),
            (bought, kept.get(), false),
            (bought, offered.get(), true),
            (SignalKind::Held, moved.get(), true),
            (bought, moved.get(), true),
        ];
        assert_eq!(heard, expected);
    }

    #[test]
    fn what_a_drawer_is_off_by_is_of_who_opened_the_session_and_of_who_closed_it() {
        let (session, at) = (TillId(9), Timestamp::from_seconds(100));
        let heard = |opener: u64, closer: u64| {
            let opened = till::Opened { museum: MuseumId(3), till: "desk-1".parse().unwrap(), float_cents: Cents::new(1_000) };
            let closed = till::Closed {
                counted_cents: Cents::new(500),
                taken_cents: Cents::ZERO,
                expected_cents: Cents::new(1_000),
                difference_cents: Cents::new(-500),
                summed_to: None,
            };
            let mut records = Vec::new();
            for (seq, who, event) in [(1, opener, till::Event::Opened(opened)), (2, closer, till::Event::Closed(closed))] {
                let envelope = Some(Envelope { who: KeyId(who), ..nobody() });
                wire::encode(StreamId::Till(session), &Record { seq, at, envelope, events: vec![event] }, &mut records);
            }
            let batch = Batch { number: 1, previous: [0; 32], at, records, spans: Vec::new() };
            Hearing::default().take(&batch).unwrap()
        };
        let of = |signal: &SignalEvent| signal.parties.iter().map(|taking| (taking.role, taking.id)).collect::<Vec<_>>();
        let heard_of_two = heard(4, 5);
        let [(signal, 0)] = heard_of_two.as_slice() else { panic!("{heard_of_two:?}") };
        assert_eq!(of(signal), [(Role::Operator, 5), (Role::Operator, 4)]);
        assert_eq!(*signal, count(at, MuseumId(3), Cents::new(-500), KeyId(5), Some(KeyId(4))), "as it is assessed");
        assert_eq!(heard(4, 4).iter().map(|(signal, _)| of(signal)).collect::<Vec<_>>(), [[(Role::Operator, 4)]], "once");
    }
}
