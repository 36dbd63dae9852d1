//! What callers ask: random commands about a few slots, so that they get in each other's way; most make sense, some do not.

use tornello_engine::channel::Channel;
use tornello_engine::envelope::{self, Digest, Envelope, PartyKind};
use tornello_engine::grant::Grant;
use tornello_engine::ids::{Code, HoldId, KeyId, PaymentId, PersonId, QuoteId, SlotId, TicketId};
use tornello_engine::money::Cents;
use tornello_engine::slot::{CancelCause, Command, DeskMethod, Direction, Keeper, Line, Quota, Scan, Settlement, Words};
use tornello_engine::tariff::Proof;
use tornello_engine::time::Timestamp;

use super::dice::Dice;
use super::naive::{Fate, Naive};

/// What can be asked, with how often. A new command gets a line here, an arm in [`Callers::ask`], and its rule in `naive.rs` and `auditor.rs`.
const ASKS: [(u64, Ask); 29] = [
    (24, Ask::Hold),
    (14, Ask::Sell),
    (12, Ask::SellDirect),
    (4, Ask::Extend),
    (4, Ask::Release),
    (6, Ask::Cancel),
    (3, Ask::Block),
    (3, Ask::Unblock),
    (14, Ask::Admit),
    (7, Ask::Exit),
    (2, Ask::SetCapacity),
    (3, Ask::SetQuotas),
    (1, Ask::Close),
    (3, Ask::Reopen),
    (1, Ask::CloseWithDay),
    (2, Ask::ReopenWithDay),
    (4, Ask::Observe),
    (16, Ask::Wait),
    (6, Ask::LeaveWaiting),
    (10, Ask::Merge),
    (5, Ask::Rename),
    (6, Ask::BeginMove),
    (6, Ask::HoldFor),
    (6, Ask::Prolong),
    (8, Ask::Amend),
    (5, Ask::HandOver),
    (3, Ask::Review),
    (3, Ask::EndReview),
    (8, Ask::SellBeyond),
];

#[derive(Clone, Copy)]
enum Ask {
    Hold,
    Sell,
    SellDirect,
    Extend,
    Release,
    Cancel,
    Block,
    Unblock,
    Admit,
    Exit,
    SetCapacity,
    SetQuotas,
    Close,
    Reopen,
    CloseWithDay,
    ReopenWithDay,
    Observe,
    Wait,
    LeaveWaiting,
    Merge,
    Rename,
    BeginMove,
    HoldFor,
    Prolong,
    Amend,
    HandOver,
    Review,
    EndReview,
    SellBeyond,
}

/// How many holds of a slot are talked about at once.
const RECENT: usize = 10;

/// A hold or sale that somebody asked for, whatever became of it.
#[derive(Clone)]
struct Party {
    id: HoldId,
    who: KeyId,
    channel: Channel,
    lines: Vec<Line>,
}

#[derive(Default)]
pub struct Callers {
    parties: Vec<Party>,
}

pub fn code(text: &str) -> Code {
    text.parse().expect("the simulation's codes are codes")
}

/// Those who buy, as channels know them.
pub const BUYERS: [Digest; 4] = [Digest(71), Digest(72), Digest(73), Digest(74)];
/// The key of all sensors.
pub const SENSORS: KeyId = KeyId(9);

/// Somebody whom a channel knows.
pub fn a_buyer(dice: &mut Dice) -> envelope::Party {
    envelope::Party { kind: PartyKind::Buyer, pseudonym: dice.pick(&BUYERS) }
}

/// A caller with a key that nobody has used, for somebody whom the channel knows, or not.
pub fn envelope(dice: &mut Dice) -> Envelope {
    let mut digest = || Digest(u128::from(dice.next()) << 64 | u128::from(dice.next()));
    let (key, body) = (digest(), digest());
    let parties: Vec<envelope::Party> = if dice.chance(60) { vec![a_buyer(dice)] } else { Vec::new() };
    // A new month: who buys is known by an earlier pseudonym as well.
    let formerly = if !parties.is_empty() && dice.chance(10) { vec![dice.pick(&BUYERS)] } else { Vec::new() };
    Envelope { who: KeyId(1 + dice.below(4)), key, body, parties, assessment: None, order: None, formerly }
}

/// The lot that comes with a new hold: its id was drawn by the same dice.
const fn drawn_with(id: HoldId) -> u32 {
    (id.get() >> 16) as u32
}

/// Places over the web for more people than anybody may have of a day: the answer says how many whoever asks has of it.
pub fn too_many(slot: SlotId) -> Command {
    let lines = vec![Line { category: code("full"), count: 1_000, price_cents: Cents::ZERO, proof: Proof::None }];
    Command::Hold { hold: HoldId::new(slot, 0), channel: Channel::Web, lines }
}

pub fn quotas(dice: &mut Dice, capacity: u32) -> [Quota; Channel::COUNT] {
    let mut quotas = [Quota::default(); Channel::COUNT];
    let mut left = capacity;
    for _ in 0..dice.below(3) {
        let reserved = dice.below(u64::from(left) / 2 + 1) as u32;
        left -= reserved;
        let limit = dice.chance(50).then(|| reserved + dice.below(3) as u32);
        quotas[dice.index(Channel::COUNT)] = Quota { reserved, limit, release_s: dice.pick(&[0, 600, 3_600, 90_000]) };
    }
    // Two draws for one channel: the later one counts, and reserves less.
    quotas
}

impl Callers {
    /// A new command for a slot, as the auditor knows it.
    pub fn ask(&mut self, dice: &mut Dice, slots: &[SlotId], slot: SlotId, who: KeyId, now: Timestamp, naive: Option<&Naive>) -> Command {
        // What is owed is seldom, and is told soon.
        let owes = naive.is_some_and(|naive| !naive.owed.is_empty());
        let ask = if owes && dice.chance(25) { Ask::HandOver } else { dice.weighted(&ASKS) };
        self.ask_for(ask, dice, slots, slot, who, now, naive)
    }

    /// A move, or what must be before it.
    pub fn ask_to_move(&mut self, dice: &mut Dice, slots: &[SlotId], slot: SlotId, who: KeyId, now: Timestamp, naive: Option<&Naive>) -> Command {
        self.ask_for(Ask::BeginMove, dice, slots, slot, who, now, naive)
    }

    #[allow(clippy::too_many_arguments, reason = "a caller knows all of this")]
    fn ask_for(&mut self, ask: Ask, dice: &mut Dice, slots: &[SlotId], slot: SlotId, who: KeyId, now: Timestamp, naive: Option<&Naive>) -> Command {
        let sensible = dice.chance(85);
        let is_offered = |id: HoldId| naive.is_some_and(|naive| naive.is_offered(id));
        let take_offer = dice.chance(50) && self.parties.iter().any(|party| party.id.slot() == slot && is_offered(party.id));
        let fits = |id: HoldId| match ask {
            Ask::Sell if take_offer => is_offered(id),
            Ask::Sell | Ask::Extend | Ask::Release | Ask::Prolong | Ask::Amend => {
                naive.is_none_or(|naive| naive.holds.get(&id).is_some_and(|hold| hold.fate == Fate::Live))
            }
            Ask::LeaveWaiting => naive.is_none_or(|naive| naive.entries.iter().any(|entry| entry.id == id)),
            _ => naive.is_none_or(|naive| naive.sales.contains_key(&id)),
        };
        let party = match self.recent(dice, slot, |id| !sensible || fits(id)) {
            Some(party) => party,
            // What is to be sold must be held before, and what is to be admitted must be sold.
            None if matches!(ask, Ask::Sell | Ask::Extend | Ask::Release | Ask::Prolong | Ask::Amend) => return self.hold(dice, slot, who),
            None if matches!(ask, Ask::LeaveWaiting) => return self.wait(dice, slot, who, now, naive),
            None => return self.sell_direct(dice, slot, who),
        };
        let owner = dice.chance(50).then_some(if dice.chance(90) { party.who } else { who });
        let number = dice.pick(&[0, 0, 0, 1, 2]);
        let tickets = if dice.chance(40) { Vec::new() } else { vec![number] };
        let (gate, museum) = (code(dice.pick(&["north", "south"])), slot.museum());
        match ask {
            Ask::Hold => self.hold(dice, slot, who),
            Ask::Sell => {
                let settlement = settlement(dice, party.channel, &party.lines);
                let is_kept = naive.and_then(|naive| naive.holds.get(&party.id)).is_some_and(|hold| hold.paying.is_some());
                // With the word of who knows what became of a payment, whichever that was.
                if is_kept && dice.chance(50) {
                    let keeper = Some(PaymentId::new(1, dice.pick(&[7, 8])));
                    return Command::SellPaid { hold: party.id, owner, lines: party.lines.clone(), keeper, settlement, contact: None };
                }
                Command::Sell { hold: party.id, owner, settlement, contact: None }
            }
            Ask::SellDirect => self.sell_direct(dice, slot, who),
            Ask::Extend => Command::Extend { hold: party.id, owner },
            Ask::Release => Command::Release { hold: party.id, owner },
            Ask::Cancel => {
                let cause = if dice.chance(80) { CancelCause::Visitor } else { CancelCause::Museum };
                Command::Cancel { sale: party.id, owner, tickets, cause }
            }
            Ask::Block => Command::Block { sale: party.id, tickets, reason: code(dice.pick(&["review", "fraud"])) },
            Ask::Unblock => {
                let (reason, keeps) = (dice.pick(&[None, None, Some("review"), Some("fraud")]), dice.pick(&[None, Some("fraud")]));
                Command::Unblock { sale: party.id, tickets, reason: reason.map(code), keeps: keeps.map(code) }
            }
            Ask::Review => Command::Review { sale: party.id },
            Ask::EndReview => Command::EndReview { sale: party.id, cleared: dice.chance(50) },
            Ask::Admit => {
                let ticket = party.id.ticket(number);
                Command::Admit { ticket, issue: issue(dice, naive, ticket), gate, museum }
            }
            Ask::Exit => Command::Exit { ticket: party.id.ticket(number), gate, museum },
            Ask::SetCapacity => Command::SetCapacity { capacity: dice.below(12) as u32 },
            Ask::SellBeyond => {
                let (beyond, ceiling) = (dice.pick(&[0, 0, 1, 2, 3, 5]), dice.chance(30).then(|| dice.below(16) as u32));
                Command::SellBeyond { beyond, ceiling, turn_away_ppm: dice.below(50_000) as u32 }
            }
            Ask::SetQuotas => Command::SetQuotas { quotas: quotas(dice, 6) },
            Ask::Close => Command::Close { reason: code("strike") },
            Ask::Reopen => Command::Reopen,
            Ask::CloseWithDay => Command::CloseWithDay { reason: code(dice.pick(&["strike", "flood"])) },
            Ask::ReopenWithDay => {
                // The day may be called off for the other reason as well.
                let (reason, still) = dice.pick(&[("strike", None), ("flood", None), ("strike", Some("flood")), ("flood", Some("strike"))]);
                Command::ReopenWithDay { reason: code(reason), still: still.map(code) }
            }
            Ask::Observe => Command::Observe {
                source: code("door"),
                inside: dice.below(30) as u32,
                sd: dice.below(4) as u32,
                measured_at: now.plus_seconds(dice.within(-600, 90)),
                ceiling: dice.chance(80).then(|| 15 + dice.below(20) as u32),
                grant: dice.chance(30).then(|| Grant { admitted: naive.map_or(0, Naive::admitted), share: dice.below(9) as u32 }),
                words: Words::default(),
            },
            Ask::Merge => {
                let taken: Vec<Scan> = naive.iter().flat_map(|naive| &naive.scans).copied().collect();
                let known = if taken.is_empty() { None } else { Some(dice.pick(&taken)) };
                let ago_s = dice.weighted(&[(30, (0, 60)), (50, (0, 5_400)), (10, (-90, 0)), (3, (8 * 86_400, 9 * 86_400))]);
                let scanned_at = now.plus_seconds(-dice.within(ago_s.0, ago_s.1));
                let direction = if dice.chance(65) { Direction::In } else { Direction::Out };
                let new = Scan { ticket: party.id.ticket(number), scanned_at, gate, direction };
                // Around what was seen already, so that it may stand against that.
                let seen: Vec<(TicketId, Timestamp)> = naive.map(Naive::passages).unwrap_or_default();
                let beside = (!seen.is_empty() && dice.chance(50)).then(|| {
                    let (ticket, at) = dice.pick(&seen);
                    Scan { ticket, scanned_at: at.plus_seconds(dice.pick(&[-300, -30, -1, 0, 1, 30])), ..new }
                });
                let scan = known.filter(|_| dice.chance(35)).or(beside).unwrap_or(new);
                Command::Merge { scan, issue: issue(dice, naive, scan.ticket), museum }
            }
            Ask::Rename => {
                let holder = dice.pick(&[None, Some(PersonId(1)), Some(PersonId(2))]);
                Command::Rename { sale: party.id, owner, tickets, holder }
            }
            Ask::BeginMove => {
                let others: Vec<SlotId> = slots.iter().copied().filter(|other| *other != slot && other.museum() == museum).collect();
                let to = if others.is_empty() || dice.chance(3) { dice.pick(slots) } else { dice.pick(&others) };
                let arrival = HoldId::new(to, dice.next());
                let via = dice.pick(&[party.channel, Channel::BoxOffice]);
                let more = i64::from(dice.chance(5));
                let prices = party.lines.iter().map(|line| (line.category, Cents::new(line.price_cents.get() + more))).collect();
                self.parties.push(Party { id: arrival, ..party.clone() });
                Command::BeginMove { sale: party.id, owner, tickets, arrival, via, prices }
            }
            Ask::HoldFor => {
                let Party { id: hold, channel, lines, .. } = self.party(dice, slot, who);
                let (until, cause) = keeping(dice, now);
                Command::HoldFor { hold, channel, lines, until, cause }
            }
            Ask::Prolong => {
                let (until, cause) = keeping(dice, now);
                // One payment begins after the other, with the word of who knows what became of the last one, or without.
                let [payment, last] = [(); 2].map(|()| PaymentId::new(1, dice.pick(&[7, 8])));
                if dice.chance(30) {
                    Command::Bind { hold: party.id, payment, over: dice.chance(50).then_some(last) }
                } else {
                    Command::Prolong { hold: party.id, until, cause }
                }
            }
            Ask::Amend if dice.chance(30) => {
                let counts = party.lines.iter().map(|line| (line.category, line.count.saturating_sub(u16::from(dice.chance(60))))).collect();
                let over = dice.chance(50).then(|| PaymentId::new(1, dice.pick(&[7, 8])));
                Command::Shrink { hold: party.id, counts, owner, over }
            }
            Ask::Amend => Command::Amend { hold: party.id, lines: lines(dice), owner },
            Ask::HandOver => {
                let owed: Vec<(HoldId, u64)> = naive.iter().flat_map(|naive| naive.owed.keys()).copied().collect();
                let wrong = (party.id, dice.below(20));
                let (sale, seq) = if owed.is_empty() || dice.chance(10) { wrong } else { dice.pick(&owed) };
                Command::HandedOver { sale, seq }
            }
            Ask::Wait => self.wait(dice, slot, who, now, naive),
            Ask::LeaveWaiting if dice.chance(40) => {
                let counts = party.lines.iter().map(|line| (line.category, line.count.saturating_sub(u16::from(dice.chance(60))))).collect();
                Command::WaitForFewer { entry: party.id, counts, owner, over: None }
            }
            Ask::LeaveWaiting => Command::LeaveWaiting { entry: party.id, owner },
        }
    }

    /// The same request once more, as an interface would make it: the names of new things are drawn anew. They may be the same where a slot knows the key, and is to answer as
    /// before; `is_forgotten`: it may know it no more.
    pub fn again(&mut self, dice: &mut Dice, slot: SlotId, who: KeyId, command: &Command, is_forgotten: bool) -> Command {
        let mut again = command.clone();
        let bare = if let Command::Drawn { asked, .. } = &mut again { &mut **asked } else { &mut again };
        if (dice.chance(50) || is_forgotten)
            && let Command::Hold { hold: id, channel, lines }
            | Command::HoldFor { hold: id, channel, lines, .. }
            | Command::SellDirect { sale: id, channel, lines, .. }
            | Command::Wait { entry: id, channel, lines, .. } = bare
        {
            *id = HoldId::new(slot, dice.next());
            self.parties.push(Party { id: *id, who, channel: *channel, lines: lines.clone() });
        }
        if (dice.chance(50) || is_forgotten)
            && let Command::BeginMove { arrival, .. } = &mut again
        {
            *arrival = HoldId::new(arrival.slot(), dice.next());
        }
        again
    }

    fn hold(&mut self, dice: &mut Dice, slot: SlotId, who: KeyId) -> Command {
        let party = self.party(dice, slot, who);
        let draw = drawn_with(party.id);
        Command::Hold { hold: party.id, channel: party.channel, lines: party.lines }.drawn(draw)
    }

    /// Places over the web, where buyers are limited: held, or bought at once.
    pub fn places(&mut self, dice: &mut Dice, slot: SlotId, who: KeyId) -> Command {
        let Party { id, lines, .. } = self.party(dice, slot, who);
        let channel = Channel::Web;
        if let Some(party) = self.parties.last_mut() {
            party.channel = channel;
        }
        if dice.chance(70) {
            return Command::Hold { hold: id, channel, lines };
        }
        let settlement = settlement(dice, channel, &lines);
        Command::SellDirect { sale: id, channel, lines, settlement, contact: None }
    }

    /// Mostly for what is not to be had.
    fn wait(&mut self, dice: &mut Dice, slot: SlotId, who: KeyId, now: Timestamp, naive: Option<&Naive>) -> Command {
        let mut party = self.party(dice, slot, who);
        for _ in 0..4 {
            let people: u32 = party.lines.iter().map(|line| u32::from(line.count)).sum();
            if naive.is_none_or(|naive| people > naive.room(now, party.channel) && naive.on_sale(now, party.channel).is_ok()) {
                break;
            }
            self.parties.pop();
            party = self.party(dice, slot, who);
        }
        let draw = drawn_with(party.id);
        Command::Wait { entry: party.id, who, channel: party.channel, lines: party.lines }.drawn(draw)
    }

    fn sell_direct(&mut self, dice: &mut Dice, slot: SlotId, who: KeyId) -> Command {
        let party = self.party(dice, slot, who);
        let settlement = settlement(dice, party.channel, &party.lines);
        Command::SellDirect { sale: party.id, channel: party.channel, lines: party.lines, settlement, contact: None }
    }

    fn party(&mut self, dice: &mut Dice, slot: SlotId, who: KeyId) -> Party {
        let lines = lines(dice);
        let [web, kiosk, box_office, group, reseller] = Channel::ALL;
        let channel = dice.pick(&[web, web, kiosk, box_office, box_office, group, reseller]);
        let party = Party { id: HoldId::new(slot, dice.next()), who, channel, lines };
        self.parties.push(party.clone());
        party
    }

    fn recent(&self, dice: &mut Dice, slot: SlotId, fits: impl Fn(HoldId) -> bool) -> Option<Party> {
        let recent: Vec<&Party> = self.parties.iter().rev().filter(|party| party.id.slot() == slot && fits(party.id)).take(RECENT).collect();
        if recent.is_empty() { None } else { Some(dice.pick(&recent).clone()) }
    }
}

fn lines(dice: &mut Dice) -> Vec<Line> {
    let mut line = |category, prices: &[i64]| Line {
        category: code(category),
        count: dice.pick(&[1, 1, 1, 2, 3]),
        price_cents: Cents::new(dice.pick(prices)),
        proof: Proof::None,
    };
    let mut lines = vec![line("full", &[1_200, 1_201, 0])];
    let second = line("reduced", &[0, 333]);
    if dice.chance(25) {
        lines.push(second);
    }
    lines
}

/// Until when, and for what, places are kept; now and then until a time that is over.
fn keeping(dice: &mut Dice, now: Timestamp) -> (Timestamp, Keeper) {
    let cause = dice.pick(&[Keeper::Payment(PaymentId::new(1, 7)), Keeper::Payment(PaymentId::new(1, 8)), Keeper::Quote(QuoteId(7))]);
    let (from_s, to_s) = dice.weighted(&[(10, (60, 1_800)), (6, (1_800, 14_400)), (2, (14_400, 86_400)), (1, (-600, 0))]);
    (now.plus_seconds(dice.within(from_s, to_s)), cause)
}

/// Mostly the code that counts, or none.
pub fn issue(dice: &mut Dice, naive: Option<&Naive>, ticket: TicketId) -> Option<u16> {
    let counts = naive.and_then(|naive| naive.issue_of(ticket)).unwrap_or(1);
    dice.weighted(&[(40, Some(counts)), (20, None), (5, Some(1)), (5, Some(counts + 1))])
}

/// Mostly the one that fits.
fn settlement(dice: &mut Dice, channel: Channel, lines: &[Line]) -> Settlement {
    let due = lines.iter().any(|line| line.price_cents > Cents::ZERO);
    let desk = Settlement::Desk { till: code("desk-1"), method: DeskMethod::Card, reference: "R-1".into() };
    let account = Settlement::OnAccount { account: code("tours") };
    let payment = Settlement::Payment { id: PaymentId::new(1, 7) };
    if dice.chance(5) {
        return dice.pick(&[&Settlement::Free, &desk, &account, &payment]).clone();
    }
    match channel {
        _ if !due => Settlement::Free,
        Channel::Web => payment,
        _ if dice.chance(30) => payment,
        Channel::BoxOffice | Channel::Kiosk => desk,
        Channel::Group | Channel::Reseller => account,
    }
}
