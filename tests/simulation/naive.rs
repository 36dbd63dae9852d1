//! A slot as a layman would keep it: lists of holds and sales, filled from the journal's records and recounted from scratch for each question. Every event is
//! held against the rules as it is taken in. It shares no code with the engine's slot but the words of the events. What buyers have is in `buyers`, how places are counted and
//! which of them rest in `places`, what becomes of those that are held in `holds`, who waits for some in `waiting`, when it sells in `times`, whom its gate lets pass in `gate`, what
//! gates saw of a ticket in `passages`, where it goes and whose name it bears in `moves`, what is suspected of it in `suspects`, what was paid and goes back in `money`. Whether it is so
//! why a slot says no is in `refusals`.

mod buyers;
mod gate;
mod holds;
mod money;
mod moves;
mod passages;
mod places;
mod refusals;
mod suspects;
mod times;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Outcome};
use tornello_engine::ids::{Code, HoldId, KeyId, PaymentId, PersonId, SlotId, TicketId};
use tornello_engine::record::Record;
use tornello_engine::slot::{
    Admitted, Arrived, Direction, Event, Exited, Judged, Keeper, Line, MoveBegun, Observed, Opening, Quota, Scan, Settlement,
};
use tornello_engine::time::Timestamp;

use self::buyers::buyer_of;
use self::money::settles;
pub use self::moves::moves_add_up;
use self::passages::Seen;
pub use self::passages::{Read, counts};
use self::places::Rest;
pub use self::suspects::Suspected;
use super::rule;

/// Seconds for which a key is remembered.
pub const DAY_S: i64 = 86_400;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Live,
    Sold,
    Released,
    Expired,
}

#[derive(Clone)]
pub struct Hold {
    pub who: KeyId,
    pub channel: Channel,
    pub lines: Vec<Line>,
    pub held_at: Timestamp,
    pub expires_at: Timestamp,
    pub extended: bool,
    /// Whether a payment is under way for it.
    pub paying: Option<PaymentId>,
    /// Whether a quote keeps it: then it stays the quote's.
    quoted: bool,
    /// For whom, if the channel named somebody.
    buyer: Option<Digest>,
    /// How long its places rest if nobody buys them, in milliseconds, if that was drawn.
    rest_ms: Option<u32>,
    pub fate: Fate,
}

impl Hold {
    fn new((who, buyer): (KeyId, Option<Digest>), channel: Channel, lines: &[Line], (held_at, expires_at): (Timestamp, Timestamp)) -> Self {
        let (lines, extended, paying, quoted, rest_ms, fate) = (lines.to_vec(), false, None, false, None, Fate::Live);
        Self { who, channel, lines, held_at, expires_at, extended, paying, quoted, buyer, rest_ms, fate }
    }
}

/// What an event does not tell of the command that it was.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The issue of the code that was shown.
    pub shown: Option<u16>,
    /// Until when places are to be kept, and for what.
    pub until: Option<(Timestamp, Keeper)>,
    /// The payment that a hold was kept for, of which somebody knows that it is over.
    pub over: Option<PaymentId>,
    /// How many places are to be sold beyond the slot's own, and the most people that may be sold to.
    pub beyond: Option<(u32, Option<u32>)>,
    /// Why a whole day is called off, or was, if the slot is closed or reopened with it.
    pub with_day: Option<Code>,
    /// By which pseudonyms the one who asks is known.
    pub buyers: Vec<Digest>,
    /// How many had been let in when the slot was given its share of the room.
    pub let_in: u32,
    /// Whether it was staff who let places go, or moved tickets.
    pub by_staff: bool,
    /// Until when the tickets that arrive were under review where they came from, at any time since they left.
    pub along: Vec<Option<Timestamp>>,
    /// Whether the move by which tickets arrive was suspected itself.
    pub suspected: bool,
    /// Whether some places of a hold were given back, and nothing else was asked for.
    pub gives_back: bool,
}

#[derive(Clone)]
pub struct Ticket {
    line: Line,
    cancelled: bool,
    /// Whether staff block it, for whatever.
    blocked: bool,
    /// Whether a verdict does.
    is_fraud: bool,
    /// Before then it lets nobody in.
    review_until: Option<Timestamp>,
    inside: bool,
    entries: u8,
    first_at: Timestamp,
    /// When its holder was last let in or out.
    last_at: Timestamp,
    /// All that gates have seen of it.
    passages: Vec<Seen>,
    issue: u16,
    holder: Option<PersonId>,
    /// To which sale of another slot it goes or went.
    gone: Option<HoldId>,
    /// How it was until some times, in their order: its issue, whether it was blocked, and until when it was looked at.
    was: Vec<(Timestamp, Barred)>,
}

/// The issue of a ticket that counts, whether it is blocked, and until when it is looked at.
type Barred = (u16, bool, Option<Timestamp>);

#[derive(Clone)]
pub struct Sale {
    pub who: KeyId,
    buyer: Option<Digest>,
    channel: Channel,
    contact: Option<PersonId>,
    pub tickets: Vec<Ticket>,
    refunded: i64,
    /// The most percent that a visitor gets back: tickets that have moved bring it along.
    percent_max: i64,
}

/// How far a move of tickets to another slot has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Begun,
    Done,
    Undone,
}

#[derive(Clone)]
pub struct Move {
    pub begun: MoveBegun,
    /// When it began.
    at: Timestamp,
    /// Whether it was suspected when it was asked for.
    pub suspected: bool,
    pub stage: Stage,
}

/// What became of an entry of the waiting list; once it has an offer, that is a hold of its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Waiting,
    Offered,
    Left,
    InVain,
}

#[derive(Clone)]
pub struct Entry {
    pub id: HoldId,
    pub channel: Channel,
    pub lines: Vec<Line>,
    pub who: KeyId,
    buyer: Option<Digest>,
    rest_ms: Option<u32>,
    pub turn: Turn,
}

#[derive(Clone)]
struct Reading {
    event: Observed,
    /// People of this slot inside when it was measured.
    inside_then: u32,
}

#[derive(Clone)]
pub struct Naive {
    pub opening: Opening,
    pub capacity: u32,
    /// How many places are sold beyond these; none: staff set them by hand.
    pub beyond: Option<u32>,
    pub quotas: [Quota; Channel::COUNT],
    /// Why it is closed, if it is.
    pub closed: Option<Code>,
    reading: Option<Reading>,
    pub holds: BTreeMap<HoldId, Hold>,
    pub sales: BTreeMap<HoldId, Sale>,
    /// All who ever waited, in the order in which they joined.
    pub entries: Vec<Entry>,
    /// Moves to other slots, by the sale that the tickets become there.
    pub moves: BTreeMap<HoldId, Move>,
    /// Refunds that payments have to be told of, by the sale and the record that cancelled its tickets.
    pub owed: BTreeMap<(HoldId, u64), i64>,
    /// Scans of gates without a network, each of which counts once, and how many of them were conflicts.
    pub scans: BTreeSet<Scan>,
    pub conflicts: u32,
    rests: Vec<Rest>,
    /// The places of a hold that are to rest by what the record goes on to say.
    about_to_rest: Option<(HoldId, u32)>,
    /// Who let places go, and until when they hold none again.
    barred: Vec<(Digest, Timestamp)>,
    pub records: Vec<Record<Event>>,
    /// The records that each key became.
    pub keys: HashMap<(KeyId, Digest), Vec<u64>>,
}

impl Naive {
    /// A slot as its first record opens it.
    pub fn open(slot: SlotId, first: &Record<Event>) -> Result<Self, String> {
        let Some(Event::Opened(opened)) = first.events.first() else { return Err("a slot begins without being opened".into()) };
        rule(opened.opening.slot == slot, "a slot opens as another one")?;
        Ok(Self {
            opening: opened.opening.clone(),
            capacity: opened.opening.capacity,
            beyond: Some(0),
            quotas: opened.opening.quotas,
            closed: None,
            reading: None,
            holds: BTreeMap::new(),
            sales: BTreeMap::new(),
            entries: Vec::new(),
            moves: BTreeMap::new(),
            owed: BTreeMap::new(),
            scans: BTreeSet::new(),
            conflicts: 0,
            rests: Vec::new(),
            about_to_rest: None,
            barred: Vec::new(),
            records: Vec::new(),
            keys: HashMap::new(),
        })
    }

    /// Takes a record in, with what its event does not tell of what was asked.
    pub fn take(&mut self, record: Record<Event>, asked: Asked) -> Result<(), String> {
        let (last, at) = (self.records.last().map_or(Timestamp::MIN, |last| last.at), record.at);
        rule(record.seq == self.records.len() as u64 + 1, "records are not numbered without gaps")?;
        rule(at >= last, "time goes backwards within a slot (SL-7)")?;
        rule(!record.events.is_empty(), "a record without events")?;
        match &record.envelope {
            None => {
                let all = |kind: fn(&Event) -> bool| record.events.iter().all(kind);
                let expiries = all(|event| matches!(event, Event::Expired(_) | Event::Rested(_))) || all(|event| matches!(event, Event::Freed(_)));
                let of_list = all(|event| matches!(event, Event::Offered(_))) || all(|event| matches!(event, Event::WaitingEnded(_)));
                rule(expiries || of_list, "something without a caller that is neither an expiry nor due of the waiting list")?;
            }
            Some(envelope) => {
                // A command finds everything ended whose time is over.
                let is_over = self.live().any(|(id, hold)| self.ends_at(*id, hold) <= at);
                rule(!is_over, "a command was decided before a hold that was due had ended (SL-8)")?;
                rule(self.rests.iter().all(|rest| at < rest.until), "a command was decided before places that had rested were free")?;
                rule(self.waiting().all(|entry| at < self.sale_end(entry.channel)), "somebody waits though sales have ended")?;
                rule(self.next_served(at).is_none(), "a command was decided before an offer that was due")?;
                let seqs = self.keys.entry((envelope.who, envelope.key)).or_default();
                if let Some(before) = seqs.last().map(|seq| self.records[*seq as usize - 1].at) {
                    rule(at.micros_since(before) > DAY_S * 1_000_000, "a key was carried out twice")?;
                }
                seqs.push(record.seq);
            }
        }
        let asking = Channel::ALL.map(|channel| self.waiting().any(|entry| entry.channel == channel));
        for (place, event) in record.events.iter().enumerate() {
            if let Event::Offered(offered) = event {
                let free = Channel::ALL.map(|channel| if asking[channel.index()] { self.free(at, channel) } else { 0 });
                rule(offered.free == free, "an offer tells of other places than were free")
                    .map_err(|wrong| format!("{wrong}: {free:?}, {event:?}"))?;
            }
            match event {
                // Taken in with the admission.
                Event::AdmissionConflict(_) if place > 0 => Ok(()),
                Event::Admitted(Admitted { scanned_at: Some(_), .. })
                | Event::Exited(Exited { scanned_at: Some(_), .. })
                | Event::AdmissionConflict(_)
                | Event::ScansJudged(_) => self.late(at, &record.events[place..], asked.shown),
                _ => self.happen(&record, record.seq == 1 && place == 0, event, &asked),
            }
            .map_err(|wrong| format!("{wrong}: record {} with {event:?}", record.seq))?;
        }
        rule(self.about_to_rest.is_none(), "places rest that nobody let go")?;
        self.records.push(record);
        Ok(())
    }

    fn happen(&mut self, record: &Record<Event>, first: bool, event: &Event, asked: &Asked) -> Result<(), String> {
        let (at, policy, shown) = (record.at, self.opening.policy, asked.shown);
        let by = record.envelope.as_ref().map_or(KeyId::SYSTEM, |envelope| envelope.who);
        let named = record.envelope.as_ref().and_then(buyer_of);
        match event {
            Event::Opened(_) => rule(first, "a slot is opened twice"),
            Event::Held(held) => self.hold(at, held, (by, named), asked),
            Event::Prolonged(prolonged) => self.prolong(at, prolonged, named, asked),
            Event::Amended(amended) => self.amend(at, amended, asked),
            Event::HandedOver(handed) => {
                let owed = self.owed.remove(&(handed.sale, handed.seq));
                rule(owed.is_some(), "somebody is told of a refund that is not owed, or twice (SL-10)")
            }
            Event::Extended(extended) => self.extend(at, extended),
            Event::Released(released) => self.release(at, released, asked.by_staff),
            Event::Expired(expired) => self.expire(at, expired),
            Event::RestDrawn(drawn) => self.rest_drawn(drawn),
            Event::Rested(rested) => self.rested(at, rested, asked.gives_back),
            Event::Freed(freed) => self.freed(record, freed),
            Event::Sold(sold) => {
                self.on_sale(at, sold.channel)?;
                settles(sold.channel, &sold.lines, &sold.settlement)?;
                let (mut who, mut buyer) = (by, named);
                if sold.held {
                    let hold = self.live_hold(at, sold.sale)?;
                    if hold.buyer.is_none() {
                        self.within_limits(&asked.buyers, hold.channel, people(&hold.lines), false)?;
                    }
                    let hold = self.live_hold_mut(at, sold.sale)?;
                    rule((&hold.lines, hold.channel) == (&sold.lines, sold.channel), "something else is sold than was held")?;
                    let other = hold.paying.filter(|payment| sold.settlement != Settlement::Payment { id: *payment });
                    rule(other.is_none() || other == asked.over, "a hold is sold to others than the payment that keeps it (SL-12)")?;
                    // What the system holds is sold for somebody.
                    let held_by = Some(hold.who).filter(|holder| *holder != KeyId::SYSTEM);
                    rule(sold.held_by == held_by, "a sale is said to be of somebody else than whoever held it")?;
                    hold.fate = Fate::Sold;
                    who = if hold.who == KeyId::SYSTEM { who } else { hold.who };
                    buyer = hold.buyer.or(buyer);
                } else {
                    rule(sold.held_by.is_none(), "what nobody held is said to be of somebody who did")?;
                    // Late money finds what rests of what it was for: the record goes on to free it, and no more than that.
                    let own = self.frees(record, sold)?;
                    self.is_new(sold.sale, &sold.lines)?;
                    rule(people(&sold.lines) <= self.room(at, sold.channel) + own, "more places are taken than there are (SL-1)")?;
                    self.within_limits(&asked.buyers, sold.channel, people(&sold.lines), false)?;
                }
                let (channel, contact, tickets) = (sold.channel, sold.contact, tickets(&sold.lines));
                let sale = Sale { who, buyer, channel, contact, tickets, refunded: 0, percent_max: 100 };
                rule(self.sales.insert(sold.sale, sale).is_none(), "something is sold twice")
            }
            Event::Cancelled(cancelled) => self.cancel(at, cancelled, record.seq),
            Event::Blocked(blocked) => self.block(at, blocked.sale, &blocked.tickets, blocked.reason),
            Event::Unblocked(unblocked) => self.unblock(at, unblocked.sale, &unblocked.tickets, None),
            Event::BlockLifted(lifted) => self.unblock(at, lifted.sale, &lifted.tickets, Some(lifted.reason)),
            Event::ReviewOpened(opened) => {
                let until = self.in_time(at, at.plus_seconds(policy.limits.review_s.into()));
                let came_along = asked.along.iter().any(|along| self.goes_on(at, asked.suspected, *along) == Some(opened.until));
                let arrives = record.events.iter().any(|event| matches!(event, Event::Arrived(arrived) if arrived.sale == opened.sale));
                rule(if arrives { came_along } else { until == Some(opened.until) }, "a review lasts longer than an honest visitor can wait")?;
                let sale = self.sales.get_mut(&opened.sale).ok_or("an unknown sale is looked at")?;
                sale.tickets.iter_mut().for_each(|ticket| ticket.changes(at).review_until = Some(opened.until));
                Ok(())
            }
            Event::ReviewEnded(ended) => {
                let sale = self.sales.get_mut(&ended.sale).ok_or("a review of an unknown sale ends")?;
                rule(sale.tickets.iter().any(|ticket| ticket.is_reviewed(at)), "a review ends that there is not")?;
                sale.tickets.iter_mut().for_each(|ticket| ticket.changes(at).review_until = None);
                Ok(())
            }
            Event::Admitted(admitted) => {
                rule(self.people_upper(at).is_none_or(|(upper, ceiling)| upper < ceiling), "a full building lets somebody in")?;
                let against = self.against(admitted.ticket, at, shown)?;
                rule(against.is_none(), "somebody is let in who may not be (SL-3)").map_err(|wrong| format!("{wrong}: {against:?}"))?;
                self.admit(at, admitted)
            }
            Event::Exited(exited) => {
                let ticket = self.ticket(exited.ticket)?;
                rule(ticket.inside, "somebody leaves who is not inside")?;
                rule(ticket.last_at <= at, "somebody leaves before coming in")?;
                (ticket.inside, ticket.last_at) = (false, at);
                ticket.passages.push(Seen { at, direction: Direction::Out, scan: None, judged: Judged::Passed });
                Ok(())
            }
            Event::AdmissionConflict(_) | Event::ScansJudged(_) => Err("a scan is taken for something else".into()),
            Event::CapacitySet(set) => {
                (self.capacity, self.beyond) = (set.capacity, None);
                Ok(())
            }
            Event::BeyondSet(set) => self.sell_beyond(at, set, asked.beyond),
            Event::QuotasSet(set) => {
                rule(set.quotas.iter().map(|quota| quota.reserved).sum::<u32>() <= self.capacity, "more is reserved than there is")?;
                self.quotas = set.quotas;
                Ok(())
            }
            Event::Closed(closed) => {
                // With a day that is called off, or stays so for another reason than the one that is taken back.
                let before = asked.with_day.filter(|reason| *reason != closed.reason);
                // One to which nobody has written may be closed for its day already.
                let is_as_asked = (self.closed == before || record.seq == 1) && at < self.opening.end;
                rule(asked.with_day.is_none() || is_as_asked, "a slot that is closed for something else, or over, is closed with its day")?;
                self.closed = Some(closed.reason);
                Ok(())
            }
            Event::Reopened(_) => {
                let is_closed_for = |reason| self.closed == Some(reason) && at < self.opening.end;
                rule(asked.with_day.is_none_or(is_closed_for), "a slot that is closed for something else, or over, is reopened with its day")?;
                let renewed = |event: &Event| if let Event::OfferRenewed(renewed) = event { Some((renewed.entry, renewed.expires_at)) } else { None };
                let renewed: Vec<(HoldId, Timestamp)> = record.events.iter().filter_map(renewed).collect();
                rule(renewed == self.begins_anew(at), "other offers begin anew than nobody could take meanwhile")?;
                self.closed = None;
                Ok(())
            }
            Event::OfferRenewed(renewed) => {
                rule(record.events.iter().any(|event| matches!(event, Event::Reopened(_))), "an offer begins anew though its slot did not reopen")?;
                let hold = self.holds.get_mut(&renewed.entry).ok_or("an unknown offer begins anew")?;
                (hold.held_at, hold.expires_at, hold.extended) = (at, renewed.expires_at, false);
                Ok(())
            }
            Event::Observed(observed) => {
                rule(self.reading.as_ref().is_none_or(|last| last.event.measured_at <= observed.measured_at), "an older reading counts")?;
                let until = observed.measured_at.plus_seconds(policy.stale_after_s.into());
                rule(observed.until == until && at < until && observed.measured_at <= at.plus_seconds(60), "a reading of another time counts")?;
                let of_share = observed.share.map_or(u32::MAX, |share| asked.let_in + share);
                let sellable = self.cap(at, observed).map(|cap| cap.min(of_share));
                rule(observed.sellable == sellable, "a reading limits sales otherwise than it says")
                    .map_err(|wrong| format!("{wrong}: not {sellable:?}"))?;
                // Who came while it was on its way was not there yet.
                let inside_then = i64::from(self.inside()) - self.passed_since(observed.measured_at);
                self.reading = Some(Reading { event: observed.clone(), inside_then: u32::try_from(inside_then).unwrap_or(0) });
                Ok(())
            }
            Event::Waited(waited) => self.join(record, waited, named, &asked.buyers),
            Event::WaitingLeft(left) => self.ends_waiting(left.entry, Turn::Left).map(drop),
            Event::WaitingEnded(ended) => {
                let place = self.ends_waiting(ended.entry, Turn::InVain)?;
                rule(at >= self.sale_end(self.entries[place].channel), "somebody waits no longer though sales go on")
            }
            Event::Offered(offered) => self.offer(record, offered),
            Event::Renamed(renamed) => self.rename(at, renamed),
            Event::MoveBegun(begun) => {
                let said = record.envelope.as_ref().and_then(|envelope| envelope.assessment.as_ref());
                let suspected = said.is_some_and(|said| said.outcome == Outcome::Review);
                self.begin_move(at, begun, (asked.by_staff, suspected))
            }
            // That it left the other slot so, the auditor sees.
            Event::Arrived(arrived) => {
                let is_reviewed = record.events.iter().any(|event| matches!(event, Event::ReviewOpened(opened) if opened.sale == arrived.sale));
                let was_free = asked.along.is_empty() || asked.along.iter().any(|along| self.goes_on(at, asked.suspected, *along).is_none());
                rule(is_reviewed || was_free, "a review is left behind by tickets that move")?;
                self.has_room(at, arrived.sale, arrived.channel, &arrived.lines)?;
                self.within_limits(&Vec::from_iter(arrived.buyer), arrived.channel, people(&arrived.lines), false)?;
                let mut tickets = tickets(&arrived.lines);
                for (number, person) in &arrived.holders {
                    tickets.get_mut(usize::from(*number)).ok_or("a name on no ticket")?.holder = Some(*person);
                }
                let Arrived { who, buyer, channel, contact, .. } = *arrived;
                let sale = Sale { who, buyer, channel, contact, tickets, refunded: 0, percent_max: arrived.refund_percent.into() };
                self.sales.insert(arrived.sale, sale);
                Ok(())
            }
            Event::MovedOut(moved) => {
                let cents = self.end_move((moved.sale, moved.arrival), &moved.tickets, Stage::Done)?;
                rule(moved.carried_cents.get() == cents, "other money goes along than was paid for the tickets (SL-6)")
            }
            Event::MoveUndone(undone) => self.end_move((undone.sale, undone.arrival), &undone.tickets, Stage::Undone).map(drop),
        }
    }

    fn tickets(&self) -> impl Iterator<Item = &Ticket> {
        self.sales.values().flat_map(|sale| &sale.tickets)
    }

    fn ticket(&mut self, id: TicketId) -> Result<&mut Ticket, String> {
        let sale = self.sales.get_mut(&id.sale()).ok_or("a ticket of no sale")?;
        Ok(sale.tickets.get_mut(usize::from(id.number())).ok_or("a ticket that was never sold")?)
    }
}

impl Ticket {
    /// Whether somebody looks at its sale.
    fn is_reviewed(&self, at: Timestamp) -> bool {
        self.review_until.is_some_and(|until| at < until)
    }

    /// Whether anybody blocks it.
    fn is_blocked(&self) -> bool {
        self.blocked || self.is_fraud
    }

    fn new(line: &Line) -> Self {
        Self {
            line: line.clone(),
            cancelled: false,
            blocked: false,
            is_fraud: false,
            review_until: None,
            inside: false,
            entries: 0,
            first_at: Timestamp::MIN,
            last_at: Timestamp::MIN,
            passages: Vec::new(),
            issue: 1,
            holder: None,
            gone: None,
            was: Vec::new(),
        }
    }

    /// It becomes something else: notes how it was until now.
    fn changes(&mut self, at: Timestamp) -> &mut Self {
        self.was.push((at, (self.issue, self.is_blocked(), self.review_until)));
        self
    }

    /// How it was at that time.
    fn barred(&self, at: Timestamp) -> Barred {
        let was = self.was.iter().find(|(until, _)| at < *until);
        was.map_or((self.issue, self.is_blocked(), self.review_until), |(_, barred)| *barred)
    }

    /// Not used, not cancelled, and not on its way or gone to another slot.
    const fn stands(&self) -> bool {
        !self.cancelled && self.entries == 0 && self.gone.is_none()
    }
}

/// A ticket for each person.
fn tickets(lines: &[Line]) -> Vec<Ticket> {
    lines.iter().flat_map(|line| (0..line.count).map(|_| Ticket::new(line))).collect()
}

fn people(lines: &[Line]) -> u32 {
    lines.iter().map(|line| u32::from(line.count)).sum()
}
