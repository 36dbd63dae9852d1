//! Who is in each museum's building: as its last reading says, and as the gates of all its slots have let people in and out since. A slot knows its own gates only, and
//! several let people in at once.
//!
//! A ceiling is strict, and no gate waits for another slot or for the disk. Whoever may be told to come in is counted before the slot is asked ([`Buildings::seat`]),
//! and for as long as nobody knows what became of that: of two gates that ask in one instant for the last place one hears `wait`, though the other one may be refused
//! yet. So does what a gate is told while the journal does not write count, until it is written.
//!
//! What goes beyond a ceiling all the same, until the next reading: whom gates without a network let in, before their scans come in; whom a process that has ended let in
//! without writing it down, before the gates send that in; and, after a restart, those who had come in by a slot that had not heard the last reading, as many as had left
//! by it between its own and that one, and whoever had left by a scan from up to a minute ahead, which is known as such no more.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};

use jiff::civil::Date;
use parking_lot::Mutex;
use tornello_engine::ids::{MuseumId, SlotId, TicketId};
use tornello_engine::record::Record;
use tornello_engine::slot::verdict::Room;
use tornello_engine::slot::{AdmissionConflict, Crossing, Direction, Event, Judged, JudgedScan, Scan};
use tornello_engine::time::{DAY_S, MICROS_PER_S, Timestamp};
use tornello_models::dwell::Inside;

use crate::board::Board;
use crate::museums::Museums;
use crate::sensors::{building_day, last_told};

/// Of a museum without readings no more is kept than this: nobody asks for it.
const KEPT_S: i64 = DAY_S;
/// Who was let in longer ago than this when it comes to light is told of late, in seconds: doors are held against the gates of the last quarter of an hour.
const LATE_S: i64 = 900;
/// Of so many days it is known how many were told of late: scans of a week are taken in.
const LATE_DAYS: usize = 16;

/// When people were measured, and how many.
pub type Heard = (Timestamp, Inside);

/// What was found on the disk of a slot that was read back.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// The time of the last record that was known.
    pub known_at: Timestamp,
    /// That of the last one that there is.
    pub at: Timestamp,
    /// How many more people are inside by its tickets than was known.
    pub people: i32,
}

/// The people in all buildings.
#[derive(Debug, Default)]
pub struct Buildings(Mutex<HashMap<MuseumId, Building>>);

/// The people in one building.
#[derive(Debug, Default)]
struct Building {
    /// The reading that counts.
    heard: Option<Heard>,
    /// Who came, and who left, since.
    passed: VecDeque<Passed>,
    /// What that adds up to.
    passed_sum: i64,
    /// What gates were told and is not written, and whether it was since.
    told: BTreeMap<Scan, bool>,
    /// What of it was since adds up to.
    told_sum: i64,
    /// Scans of gates whose clocks were ahead of the record that took them in, with its time: that is when they count. One that a reading has overtaken is forgotten.
    ahead: BTreeMap<Scan, Timestamp>,
    /// Who may be told to come in any moment.
    asking: HashMap<TicketId, Asking>,
    /// How many were told of late, of those who were let in for the first time, by the building's days of their slots.
    late: BTreeMap<Date, u32>,
}

/// People who passed the gates of a slot.
#[derive(Debug, Clone, Copy)]
struct Passed {
    /// When it counts.
    at: Timestamp,
    slot: SlotId,
    /// Below zero if they left.
    people: i32,
}

/// Those who ask with one ticket.
#[derive(Debug, Default)]
struct Asking {
    requests: u32,
    /// Whether of some request nobody knows whether it was done.
    is_doubtful: bool,
    /// Whether they are known to have come in, and so are counted already.
    is_inside: bool,
}

/// Room for one person at a gate, if there is any, until it is known whether they came in. Dropped without an answer it stays taken until [`Buildings::forget`].
#[derive(Debug)]
pub struct Seat<'a> {
    buildings: &'a Buildings,
    ticket: TicketId,
    room: Room,
    is_answered: bool,
}

impl Seat<'_> {
    /// The people in the building without this one, and how many may be.
    #[must_use]
    pub const fn room(&self) -> Room {
        self.room
    }

    /// What became of it is known, and counted if somebody came in.
    pub fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if !self.room.is_full() {
            let is_doubtful = !self.is_answered;
            self.buildings.change(self.ticket, |asking| {
                asking.requests = asking.requests.saturating_sub(1);
                asking.is_doubtful |= is_doubtful;
            });
        }
    }
}

impl Buildings {
    /// A reading says how many people are inside; one that is older than the last says nothing.
    pub fn hear(&self, museum: MuseumId, heard: Heard) {
        self.0.lock().entry(museum).or_default().hear(heard);
    }

    /// How many have come in since a reading, less those who have left, by the gates of all slots; of the last reading, if that one is newer.
    #[must_use]
    pub fn since(&self, museum: MuseumId, heard: Heard) -> i64 {
        let mut buildings = self.0.lock();
        let building = buildings.entry(museum).or_default();
        building.hear(heard);
        building.passed_sum + building.told_sum
    }

    /// Room for whoever stands at a gate with a ticket: what the slot has to be told, and what counts until that has come to its end.
    #[must_use]
    pub fn seat(&self, ticket: TicketId, heard: Heard, ceiling: u32) -> Seat<'_> {
        let mut buildings = self.0.lock();
        let building = buildings.entry(ticket.slot().museum()).or_default();
        building.hear(heard);
        // Nobody is inside twice: who asks again, or beside another one with the same ticket, is one person.
        let others = building.asking.iter().filter(|(other, asking)| **other != ticket && !asking.is_inside).count();
        let room = Room { inside: building.upper(others), ceiling };
        if !room.is_full() {
            building.asking.entry(ticket).or_default().requests += 1;
        }
        Seat { buildings: self, ticket, room, is_answered: false }
    }

    /// Nobody is in doubt any more about what became of a ticket at a gate.
    pub fn forget(&self, ticket: TicketId) {
        self.change(ticket, |asking| asking.is_doubtful = false);
    }

    fn change(&self, ticket: TicketId, change: impl FnOnce(&mut Asking)) {
        let mut buildings = self.0.lock();
        let Some(building) = buildings.get_mut(&ticket.slot().museum()) else { return };
        if let Entry::Occupied(mut entry) = building.asking.entry(ticket) {
            change(entry.get_mut());
            if entry.get().requests == 0 && !entry.get().is_doubtful {
                entry.remove();
            }
        }
    }

    /// Whether a record of a slot says that somebody came in or left, or may be found to have.
    #[must_use]
    pub fn concerns(record: &Record<Event>) -> bool {
        let concerns = |event: &Event| matches!(event, Event::Admitted(_) | Event::Exited(_) | Event::ScansJudged(_) | Event::AdmissionConflict(_));
        record.events.iter().any(concerns)
    }

    /// Takes in what is written of a slot: who came in, and who left.
    pub fn take(&self, museum: MuseumId, record: &Record<Event>) {
        let mut buildings = self.0.lock();
        let building = buildings.entry(museum).or_default();
        record.events.iter().for_each(|event| building.take(event, record.at));
    }

    /// Counts anew who has passed the gates of a slot, as more was found of it on the disk than was known: `crossings` are those from some time on.
    pub fn correct(&self, slot: SlotId, found: Found, crossings: impl FnOnce(Timestamp) -> Vec<Crossing>) {
        self.0.lock().entry(slot.museum()).or_default().correct(slot, found, crossings);
    }

    /// A gate was told to let somebody in or out, and that is not written yet.
    pub fn told(&self, scan: Scan) {
        let mut buildings = self.0.lock();
        let building = buildings.entry(scan.ticket.slot().museum()).or_default();
        if building.told.insert(scan, true).is_none() {
            building.told_sum += one(scan);
        }
    }

    /// What a gate was told is written, and counts as that, or never can be.
    pub fn written(&self, scan: &Scan) {
        if let Some(building) = self.0.lock().get_mut(&scan.ticket.slot().museum()) {
            building.untell(scan);
        }
    }

    /// How many people of a building's day gates have told of late since the start. The counters of their slots show them a moment later.
    #[must_use]
    pub fn told_late(&self, museum: MuseumId, date: Date) -> u32 {
        self.0.lock().get(&museum).and_then(|building| building.late.get(&date)).copied().unwrap_or(0)
    }

    /// Starts from what the slots were told last, and who passed their gates since. Of a slot that has not heard the last reading, as one that is over, it is known who
    /// passed since its own: these count if they are more.
    pub fn restore(&self, board: &Board, museums: &Museums) {
        for known in museums.all() {
            let heads = board.heads_of(known.museum.id());
            let Some((_, last)) = last_told(&heads) else { continue };
            let mut building = Building { heard: Some((last.measured_at, Inside { people: last.people, sd: last.sd })), ..Building::default() };
            for (slot, head) in &heads {
                let inside = head.places.inside.cast_signed();
                let people = match head.places.live {
                    Some(live) if live.measured_at == last.measured_at => inside - live.inside_then.cast_signed(),
                    live if head.at > last.measured_at => (inside - live.map_or(0, |live| live.inside_then.cast_signed())).max(0),
                    _ => 0,
                };
                // When they passed is not known: in doubt the next reading has counted who left, and not who came.
                building.count(Passed { at: if people > 0 { head.at } else { last.measured_at }, slot: *slot, people });
            }
            self.0.lock().insert(known.museum.id(), building);
        }
    }
}

impl Building {
    fn hear(&mut self, heard: Heard) {
        let (at, _) = heard;
        if self.heard == Some(heard) || self.heard.is_some_and(|(last, _)| at < last) {
            return;
        }
        self.heard = Some(heard);
        // What had happened by then it has counted.
        self.passed.retain(|passed| passed.at > at);
        self.sum_up();
        self.ahead.retain(|scan, _| scan.scanned_at > at);
        self.told.iter_mut().for_each(|(scan, is_since)| *is_since &= scan.scanned_at > at);
        self.told_sum = self.told.iter().filter(|(_, is_since)| **is_since).map(|(scan, _)| one(*scan)).sum();
    }

    fn sum_up(&mut self) {
        self.passed_sum = self.passed.iter().map(|passed| i64::from(passed.people)).sum();
    }

    /// The most people who may be inside with so many who may come in any moment, at the upper bound of the reading.
    fn upper(&self, asking: usize) -> u32 {
        let read = self.heard.map_or(0, |(_, inside)| inside.people.saturating_add(inside.sd.saturating_mul(2)));
        let people = i64::from(read) + self.passed_sum + self.told_sum + asking as i64;
        u32::try_from(people.max(0)).unwrap_or(u32::MAX)
    }

    fn count(&mut self, passed: Passed) {
        if passed.people == 0 {
            return;
        }
        while let Some(first) = self.passed.front().copied() {
            if passed.at.micros_since(first.at) <= KEPT_S * MICROS_PER_S {
                break;
            }
            self.passed.pop_front();
            self.passed_sum -= i64::from(first.people);
        }
        self.passed.push_back(passed);
        self.passed_sum += i64::from(passed.people);
    }

    /// What the disk says of a slot takes the place of what was counted of it since the reading. Whoever asked a gate between what was known of the slot and the reading, and
    /// came in, may have come after it was taken, by a sensor whose clock is ahead or in one instant: in doubt it has not counted them.
    fn correct(&mut self, slot: SlotId, found: Found, crossings: impl FnOnce(Timestamp) -> Vec<Crossing>) {
        let Found { known_at, at, people } = found;
        let Some((heard_at, _)) = self.heard else { return self.count(Passed { at, slot, people }) };
        let is_old = |passed: &Passed| passed.slot == slot && passed.at >= heard_at;
        let counted: i32 = self.passed.iter().filter(|passed| is_old(passed)).map(|passed| passed.people).sum();
        self.passed.retain(|passed| !is_old(passed));
        let all = crossings(known_at.min(heard_at));
        // What gates were told of it counts as that no more; in the instant of the reading, as it did.
        let told: i32 = all.iter().filter(|crossing| self.is_told_since(crossing) && crossing.at <= heard_at).map(|crossing| crossing.people).sum();
        for scan in all.iter().filter_map(|crossing| crossing.scan) {
            self.untell(&scan);
        }
        let (since, before): (Vec<Crossing>, Vec<Crossing>) = all.into_iter().partition(|crossing| crossing.at > heard_at);
        let more = since.iter().map(|crossing| crossing.people).sum::<i32>() - counted;
        let asked = before.iter().filter(|crossing| crossing.people > 0 && crossing.scan.is_none() && crossing.at >= known_at).count();
        let doubtful = Passed { at: heard_at, slot, people: (people - more).clamp(0, asked as i32) };
        self.passed.extend(since.into_iter().map(|crossing| Passed { at: crossing.at, slot, people: crossing.people }));
        self.passed.extend([doubtful, Passed { people: told, ..doubtful }].into_iter().filter(|passed| passed.people != 0));
        self.sum_up();
    }

    /// Whether a gate was told of it since the reading.
    fn is_told_since(&self, crossing: &Crossing) -> bool {
        crossing.scan.is_some_and(|scan| self.told.get(&scan) == Some(&true))
    }

    fn take(&mut self, event: &Event, now: Timestamp) {
        match event {
            Event::Admitted(admitted) => {
                let scan =
                    Scan { ticket: admitted.ticket, scanned_at: admitted.scanned_at.unwrap_or(now), gate: admitted.gate, direction: Direction::In };
                self.pass(scan, admitted.scanned_at.is_some(), 1, now);
                self.is_inside(admitted.ticket, true);
                if admitted.entry == 1 {
                    self.let_in_first(admitted.ticket, scan.scanned_at, now);
                }
            }
            Event::Exited(exited) => {
                let scan = Scan { ticket: exited.ticket, scanned_at: exited.scanned_at.unwrap_or(now), gate: exited.gate, direction: Direction::Out };
                self.pass(scan, exited.scanned_at.is_some(), 1, now);
                self.is_inside(exited.ticket, false);
            }
            Event::ScansJudged(judged) => {
                for JudgedScan { scan, before, judged } in &judged.scans {
                    let times = i32::from(judged.passed()) - i32::from(before.is_some_and(Judged::passed));
                    self.pass(*scan, true, times, now);
                }
                if let Some(first_at) = judged.state.first_at().filter(|_| judged.used) {
                    self.let_in_first(judged.ticket, first_at, now);
                }
            }
            Event::AdmissionConflict(conflict) => {
                // It counts nobody yet.
                let AdmissionConflict { ticket, gate, scanned_at, .. } = *conflict;
                self.counts_at(Scan { ticket, scanned_at, gate, direction: Direction::In }, now);
            }
            _ => {}
        }
    }

    /// Somebody was let in for the first time, as is known now.
    fn let_in_first(&mut self, ticket: TicketId, at: Timestamp, now: Timestamp) {
        if now.micros_since(at) > LATE_S * MICROS_PER_S {
            *self.late.entry(building_day(ticket.slot().start())).or_insert(0) += 1;
            if self.late.len() > LATE_DAYS {
                self.late.pop_first();
            }
        }
    }

    /// Whoever asks and is known to be in is counted as that, and not once more as somebody who may come in.
    fn is_inside(&mut self, ticket: TicketId, is_inside: bool) {
        if let Some(asking) = self.asking.get_mut(&ticket) {
            asking.is_inside = is_inside;
        }
    }

    /// Somebody passed so many times more than was known: at a gate that asked, now; or by a scan that has come in, when it was made.
    fn pass(&mut self, scan: Scan, is_scan: bool, times: i32, now: Timestamp) {
        let at = self.counts_at(scan, now);
        let is_since = if is_scan {
            // What was told counts as it did.
            self.untell(&scan).unwrap_or_else(|| self.heard.is_none_or(|(heard_at, _)| at > heard_at))
        } else {
            // While the disk stalled a gate was told what is written now.
            let first = Scan { scanned_at: Timestamp::MIN, direction: Direction::In, ..scan };
            let mut of_ticket = self.told.range(first..).map(|(told, _)| *told).take_while(|told| told.ticket == scan.ticket);
            let told = of_ticket.find(|told| (told.direction, told.gate) == (scan.direction, scan.gate));
            if let Some(told) = told {
                self.untell(&told);
            }
            true
        };
        if is_since {
            let people = if scan.direction == Direction::In { times } else { -times };
            self.count(Passed { at, slot: scan.ticket.slot(), people });
        }
    }

    /// When a scan counts: at its own time, or at that of the record that took it in, if its gate's clock was ahead of that.
    fn counts_at(&mut self, scan: Scan, now: Timestamp) -> Timestamp {
        if let Some(at) = self.ahead.get(&scan) {
            return *at;
        }
        if scan.scanned_at > now {
            self.ahead.retain(|_, at| now.micros_since(*at) <= KEPT_S * MICROS_PER_S);
            self.ahead.insert(scan, now);
        }
        scan.scanned_at.min(now)
    }

    /// What a gate was told is not on its way any more; answers whether it was since the reading, if it was told.
    fn untell(&mut self, scan: &Scan) -> Option<bool> {
        let is_since = self.told.remove(scan)?;
        if is_since {
            self.told_sum -= one(*scan);
        }
        Some(is_since)
    }
}

/// One person in, or one less.
const fn one(scan: Scan) -> i64 {
    match scan.direction {
        Direction::In => 1,
        Direction::Out => -1,
    }
}

#[cfg(test)]
mod tests {
    use tornello_engine::ids::{Code, HoldId, RouteId};
    use tornello_engine::slot::{Admitted, ConflictReason, Exited, ScansJudged, TicketState};
    use tornello_engine::tariff::Proof;

    use super::*;

    const MUSEUM: MuseumId = MuseumId(1);

    fn at(s: i64) -> Timestamp {
        Timestamp::from_seconds(60_000 + s)
    }

    fn code(text: &str) -> Code {
        text.parse().unwrap()
    }

    /// A ticket of one of two slots.
    fn ticket(route: u16, number: u16) -> TicketId {
        HoldId::new(SlotId::new(MUSEUM, RouteId(route), at(0)), 1).ticket(number)
    }

    fn heard(s: i64, people: u32) -> Heard {
        (at(s), Inside { people, sd: 0 })
    }

    fn admitted(ticket: TicketId, scanned_at: Option<Timestamp>) -> Event {
        Event::Admitted(Admitted { ticket, gate: code("north"), entry: 1, category: code("full"), proof: Proof::None, scanned_at })
    }

    fn exited(ticket: TicketId) -> Event {
        Event::Exited(Exited { ticket, gate: code("north"), scanned_at: None })
    }

    fn scan(ticket: TicketId, s: i64) -> Scan {
        Scan { ticket, scanned_at: at(s), gate: code("north"), direction: Direction::In }
    }

    impl Buildings {
        fn write(&self, s: i64, event: Event) {
            self.take(MUSEUM, &Record { seq: 1, at: at(s), envelope: None, events: vec![event] });
        }

        /// Lets somebody in, if there is room.
        fn enter(&self, ticket: TicketId, s: i64, heard: Heard) -> bool {
            let seat = self.seat(ticket, heard, 10);
            let may = !seat.room().is_full();
            if may {
                self.write(s, admitted(ticket, None));
            }
            seat.answered();
            may
        }
    }

    #[test]
    fn the_gates_of_all_slots_spend_the_same_room_once() {
        let (buildings, reading) = (Buildings::default(), heard(0, 7));
        let entered: Vec<bool> = [(1, 0), (2, 0), (1, 1), (2, 1)].map(|(route, number)| buildings.enter(ticket(route, number), 1, reading)).into();
        assert_eq!(entered, [true, true, true, false]);
        buildings.write(2, exited(ticket(2, 0)));
        assert!(buildings.enter(ticket(2, 1), 3, reading) && !buildings.enter(ticket(1, 2), 4, reading));
        assert_eq!(buildings.since(MUSEUM, reading), 3);
        // The next reading has counted who came before it, and nobody who came after.
        assert_eq!(buildings.since(MUSEUM, heard(2, 8)), 1);
        assert_eq!(buildings.since(MUSEUM, reading), 1, "an older one says nothing");
        assert!(buildings.enter(ticket(1, 2), 5, heard(2, 8)) && !buildings.enter(ticket(1, 3), 5, heard(2, 8)));
    }

    #[test]
    fn of_two_gates_at_once_one_has_the_last_place_until_it_is_known_what_became_of_it() {
        let (buildings, reading) = (Buildings::default(), heard(0, 9));
        let full = |ticket| {
            let seat = buildings.seat(ticket, reading, 10);
            let is_full = seat.room().is_full();
            seat.answered();
            is_full
        };
        let first = buildings.seat(ticket(1, 0), reading, 10);
        assert!(full(ticket(2, 0)) && !full(ticket(1, 0)), "who asks again is one person");
        first.answered();
        assert!(!full(ticket(2, 0)), "they were refused");
        // Known to have come in they count once, also before the gate is answered.
        let first = buildings.seat(ticket(1, 1), heard(0, 8), 10);
        buildings.write(1, admitted(ticket(1, 1), None));
        assert_eq!(buildings.since(MUSEUM, heard(0, 8)), 1);
        let other = buildings.seat(ticket(2, 0), heard(0, 8), 10);
        assert!(!other.room().is_full(), "one more place is left");
        other.answered();
        first.answered();
        buildings.write(2, exited(ticket(1, 1)));
        // In doubt whether they came in they count, until that is known.
        drop(buildings.seat(ticket(1, 0), reading, 10));
        assert!(full(ticket(2, 0)));
        buildings.forget(ticket(1, 0));
        assert!(!full(ticket(2, 0)) && buildings.0.lock()[&MUSEUM].asking.is_empty());
    }

    #[test]
    fn what_gates_were_told_counts_once_before_and_after_it_is_written() {
        let (buildings, reading) = (Buildings::default(), heard(0, 5));
        let people = || buildings.since(MUSEUM, reading);
        assert_eq!(people(), 0, "the reading has come in");
        buildings.told(scan(ticket(1, 0), 0));
        buildings.told(scan(ticket(1, 1), 2));
        buildings.told(scan(ticket(1, 2), 3));
        assert_eq!(people(), 3);
        // Told in the instant of the reading, after it: it counts as it did.
        buildings.write(9, admitted(ticket(1, 0), Some(at(0))));
        buildings.written(&scan(ticket(1, 0), 0));
        // On the disk already, as it was on its way when that stalled.
        buildings.write(9, admitted(ticket(1, 1), None));
        assert_eq!(people(), 3);
        // It stands against what is known by now, and counts nobody.
        buildings.written(&scan(ticket(1, 2), 3));
        assert_eq!(people(), 2);
        buildings.told(scan(ticket(1, 3), 20));
        assert_eq!(buildings.since(MUSEUM, heard(20, 9)), 0, "a reading has counted it");
        buildings.write(30, admitted(ticket(1, 3), Some(at(20))));
        assert_eq!(buildings.since(MUSEUM, heard(20, 9)), 0);
    }

    #[test]
    fn scans_that_come_in_late_count_by_their_own_time() {
        let (buildings, reading) = (Buildings::default(), heard(10, 5));
        let people = || buildings.since(MUSEUM, reading);
        assert_eq!(people(), 0);
        buildings.write(30, admitted(ticket(1, 0), Some(at(10))));
        buildings.write(30, admitted(ticket(1, 1), Some(at(11))));
        assert_eq!(people(), 1);
        // Another gate's scan makes a conflict of one of them.
        let reason = ConflictReason::TicketInside;
        let found = |s, before, judged| JudgedScan { scan: scan(ticket(1, 1), s), before, judged };
        let scans = vec![found(5, None, Judged::Passed), found(11, Some(Judged::Passed), Judged::Conflict { reason })];
        let state = TicketState::Inside { first_at: at(5), since: at(5), entries: 1 };
        buildings.write(31, Event::ScansJudged(ScansJudged { ticket: ticket(1, 1), scans, state, used: false }));
        assert_eq!(people(), 0, "who came at 5 was counted by the reading");
    }

    #[test]
    fn a_scan_from_ahead_counts_when_it_came_in_also_if_it_is_judged_anew() {
        let (buildings, reading) = (Buildings::default(), heard(0, 5));
        let reason = ConflictReason::TicketInside;
        let state = TicketState::Inside { first_at: at(5), since: at(5), entries: 1 };
        let judged_anew = |number, before, judged| {
            let scans = vec![JudgedScan { scan: scan(ticket(1, number), 60), before: Some(before), judged }];
            Event::ScansJudged(ScansJudged { ticket: ticket(1, number), scans, state, used: false })
        };
        assert_eq!(buildings.since(MUSEUM, reading), 0);
        buildings.write(10, admitted(ticket(1, 0), Some(at(60))));
        let conflict = AdmissionConflict { ticket: ticket(1, 1), gate: code("north"), scanned_at: at(60), reason };
        buildings.write(10, Event::AdmissionConflict(conflict));
        assert_eq!(buildings.since(MUSEUM, reading), 1);
        // It has counted the one, who had come in, and nobody by the other one.
        assert_eq!(buildings.since(MUSEUM, heard(30, 6)), 0);
        buildings.write(40, judged_anew(0, Judged::Passed, Judged::Conflict { reason }));
        buildings.write(41, judged_anew(1, Judged::Conflict { reason }, Judged::Passed));
        assert_eq!(buildings.since(MUSEUM, heard(30, 6)), 0);
        assert_eq!((buildings.since(MUSEUM, heard(60, 6)), buildings.0.lock()[&MUSEUM].ahead.len()), (0, 0), "a reading has overtaken both");
    }

    #[test]
    fn what_is_found_of_a_slot_on_the_disk_counts_by_when_it_happened() {
        let crossing = |s, people, is_scan: bool| Crossing { at: at(s), people, scan: is_scan.then(|| scan(ticket(1, 9), s)) };
        let of_slot = |all: Vec<Crossing>| move |from: Timestamp| all.into_iter().filter(|crossing| crossing.at >= from).collect::<Vec<_>>();
        let found = |known_s, s, people| Found { known_at: at(known_s), at: at(s), people };
        let entered = |buildings: &Buildings| {
            buildings.write(5, admitted(ticket(1, 0), None));
            assert_eq!(buildings.since(MUSEUM, heard(10, 5)), 0);
            buildings.write(12, admitted(ticket(1, 1), None));
            buildings.write(13, admitted(ticket(2, 0), None));
        };
        let known = [crossing(5, 1, false), crossing(12, 1, false)];
        // What is found beside that, how many are known to have passed since the reading, with one of another slot.
        for (more, people, since) in [
            // A scan of somebody who had left before the reading, and of one who left after it.
            (vec![crossing(8, -1, true)], -1, 2),
            (vec![crossing(14, -1, true)], -1, 1),
            (vec![crossing(8, -1, true), crossing(15, 1, false)], 0, 3),
            (vec![crossing(14, -1, true), crossing(9, 1, true)], 0, 1),
            (vec![crossing(20, 1, false)], 1, 3),
        ] {
            let buildings = Buildings::default();
            entered(&buildings);
            let all = [&known[..], &more].concat();
            buildings.correct(ticket(1, 0).slot(), found(12, 20, people), of_slot(all));
            assert_eq!(buildings.since(MUSEUM, heard(10, 5)), since, "{more:?}");
        }
        // In the instant of the reading, by a gate that asked: whoever came in may have come after it.
        let buildings = Buildings::default();
        assert_eq!(buildings.since(MUSEUM, heard(10, 5)), 0);
        let all = vec![crossing(10, 1, false), crossing(10, 1, false), crossing(9, -1, false)];
        buildings.correct(ticket(1, 0).slot(), found(10, 10, 2), of_slot(all));
        assert_eq!(buildings.since(MUSEUM, heard(10, 5)), 2);
        assert_eq!(buildings.since(MUSEUM, heard(11, 7)), 0);
        // What a gate was told is found: it counts once.
        let buildings = Buildings::default();
        assert_eq!(buildings.since(MUSEUM, heard(10, 5)), 0);
        let (instant, later) = (crossing(10, 1, true), crossing(11, -1, true));
        buildings.told(scan(ticket(1, 9), 10));
        let left = Scan { direction: Direction::Out, ..scan(ticket(1, 9), 11) };
        buildings.told(left);
        let all = vec![instant, Crossing { scan: Some(left), ..later }];
        buildings.correct(ticket(1, 0).slot(), found(9, 12, 0), of_slot(all));
        assert_eq!(buildings.since(MUSEUM, heard(10, 5)), 0);
        buildings.written(&left);
        assert_eq!(buildings.since(MUSEUM, heard(10, 5)), 0);
        // Without a reading all of it counts.
        let buildings = Buildings::default();
        buildings.correct(ticket(1, 0).slot(), found(10, 10, 2), |_| Vec::new());
        assert_eq!(buildings.0.lock()[&MUSEUM].passed_sum, 2);
    }
}
