//! Every museum's attendance in memory, as last committed, and the nightly count that adds to it: what gates let in on the days that are over, what stands on the
//! books, what doors summed up.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::Date;
use parking_lot::RwLock;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::attendance::{Attendance, BeyondCount, Command, DoorDay, Event, Look, Provenance, Refusal, SlotCount, admitted};
use tornello_engine::calendar;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{MuseumId, SlotId};
use tornello_engine::record::Record;
use tornello_engine::slot::Opening;
use tornello_engine::time::Timestamp;
use tornello_models::demand::LEADS;
use tornello_models::occupancy::{Balance, Day};

use crate::board::SlotHead;
use crate::digest::digest;
use crate::failure::Failure;
use crate::journal::writer::Lease;
use crate::museums::Known;
use crate::node::{FORGET_AFTER_S, Node};
use crate::owner::Tell;
use crate::sensors::building_day;
use crate::views::Views;

/// How many days back are counted that were missed, as when nobody ran the program: by the board as long as none of their slots may have left it, and by the lists before that.
const MISSED_DAYS: i32 = 62;

/// All attendances.
#[derive(Debug, Default)]
pub struct Attended(RwLock<HashMap<MuseumId, Arc<Attendance>>>);

impl Attended {
    /// Puts an attendance's new state in place of an older one.
    pub fn put(&self, attendance: Attendance) {
        let mut known = self.0.write();
        if known.get(&attendance.museum()).is_none_or(|known| known.seq() <= attendance.seq()) {
            known.insert(attendance.museum(), Arc::new(attendance));
        }
    }

    /// A museum's attendance; an empty one where nothing is known.
    #[must_use]
    pub fn get(&self, museum: MuseumId) -> Arc<Attendance> {
        self.0.read().get(&museum).cloned().unwrap_or_else(|| Arc::new(Attendance::new(museum)))
    }
}

impl Tell<Attendance> for Attended {
    type View = Attendance;

    fn view(&self, state: &Attendance) -> Attendance {
        state.clone()
    }

    fn committed(&self, _: &Lease, _: &Record<Event>, view: Attendance, _: u64) {
        self.put(view);
    }

    fn rebuilt(&self, _: &Lease, state: &Attendance) {
        if state.seq() > 0 {
            self.put(state.clone());
        }
    }
}

/// What the doors of a museum did over the last days that were counted.
#[must_use]
pub fn balance_of(attendance: &Attendance) -> Balance {
    let mut balance = Balance::default();
    for doors in attendance.details().values().filter_map(|detail| detail.doors) {
        let DoorDay { entered, left, scanned, entered_minutes, entered_squares, left_minutes, left_squares, dead_minutes } = doors;
        balance.push(Day { entered, left, scanned, entered_minutes, entered_squares, left_minutes, left_squares, dead_minutes });
    }
    balance
}

/// Counts every day that is over and was not counted yet, museum by museum; answers how many that were. A day of which nothing says that anybody was there or
/// looked is left out: it may have been a day without gates. One that was called off has nobody. A day of which scans have come in since is counted again.
pub async fn count_days(node: &Node) -> usize {
    let last = building_day(node.now()).saturating_sub(1.day());
    let views = caught_up(node).await;
    let mut counted = 0;
    for known in node.museums().all() {
        let museum = known.museum.id();
        let attendance = node.attended().get(museum);
        let first = last.saturating_sub((MISSED_DAYS - 1).days());
        let missed: Vec<Date> = first.series(1.day()).take_while(|date| *date <= last).filter(|date| !is_counted(&attendance, *date)).collect();
        // What somebody has brought in of a day long past is more than our own lists may have.
        let is_unknown = |date: &Date| !is_on_board(node, *date) && !attendance.days().contains_key(date);
        let mut long_ago = listed(views, &known, missed.iter().copied().filter(is_unknown)).await;
        for date in missed {
            let heads = is_on_board(node, date).then(|| heads_on(node, &known, date));
            let is_off = match &heads {
                Some(heads) => is_called_off(&known, &attendance, heads) || is_said_off(&known, date, heads),
                None => has_called_off(&known, date) && long_ago.get(&date).is_some_and(Vec::is_empty),
            };
            let slots = match heads {
                // Nobody came by any of them.
                Some(_) if is_off => Some((Vec::new(), Vec::new())),
                Some(heads) => Some(slots_of(&known, heads)),
                // What the places were of slots that have left the board is not known.
                None => long_ago.remove(&date).map(|slots| (slots, Vec::new())),
            };
            let Some(slots) = slots else { continue };
            let Some(command) = day_of(node, &known, date, slots, is_off, date == last) else { continue };
            let key = digest(&[b"count", &museum.0.to_be_bytes(), date.to_string().as_bytes()]);
            match node.attendance(museum, Envelope::by_system(key), command).await {
                Ok(_) => counted += 1,
                // Another count of the same night was faster.
                Err(Failure::Refused(Refusal::AlreadyCounted) | Failure::KeyReused) => {}
                Err(failure) => {
                    // The next count has it with what its doors summed up, which nobody else knows.
                    tracing::warn!(museum = museum.0, %date, %failure, "a day could not be counted");
                    continue;
                }
            }
            node.sensors().forget_day(museum, date);
        }
        counted += count_again(node, &known, last).await;
    }
    counted
}

/// Counts days anew of which gates have said since that they let in more, as those that were without a network until after the night; answers how many those were.
async fn count_again(node: &Node, known: &Known, last: Date) -> usize {
    let (museum, mut counted) = (known.museum.id(), 0);
    let attendance = node.attended().get(museum);
    let days = std::iter::successors(Some(last), |date| Some(date.saturating_sub(1.day()))).take_while(|date| is_on_board(node, *date));
    for date in days {
        let Some(before) = attendance.admitted_on(date) else { continue };
        let (slots, beyond) = slots_of(known, heads_on(node, known, date));
        let admitted = admitted(&slots);
        if admitted <= before {
            continue;
        }
        let Some(command) = day_of(node, known, date, (slots, beyond), false, false) else { continue };
        let key = digest(&[b"count again", &museum.0.to_be_bytes(), date.to_string().as_bytes(), &admitted.to_be_bytes()]);
        match node.attendance(museum, Envelope::by_system(key), command).await {
            Ok(_) => counted += 1,
            Err(Failure::Refused(Refusal::AlreadyCounted) | Failure::KeyReused) => {}
            Err(failure) => tracing::warn!(museum = museum.0, %date, %failure, "a day cannot be counted again of which scans have come in"),
        }
    }
    counted
}

/// Whether all slots of a day are on the board: by the time and not by days, as slots leave one by one, and what is left of a day would count for all of it.
fn is_on_board(node: &Node, date: Date) -> bool {
    calendar::instant(date.at(0, 0, 0, 0)) >= node.now().plus_seconds(-FORGET_AFTER_S)
}

fn is_counted(attendance: &Attendance, date: Date) -> bool {
    attendance.days().get(&date).is_some_and(|day| day.provenance == Provenance::Counted)
}

/// What a slot had, with the minute of the day at which it began.
fn slot_count(slot: SlotId, sold: u32, admitted: u32) -> Option<SlotCount> {
    let local = calendar::local(slot.start());
    let from_min = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).ok()?;
    (sold > 0 || admitted > 0).then_some(SlotCount { route: slot.route(), from_min, sold, admitted })
}

/// Whether a day was called off, as on a strike: staff have closed every slot of it that was sold from, and gates that let people in on other days have let nobody in. Where none
/// ever does nobody knows who came, and those who bought are taken to have, unless the museum itself has called the day off.
#[must_use]
pub fn is_called_off(known: &Known, attendance: &Attendance, heads: &[(SlotId, SlotHead)]) -> bool {
    let is_sold = |head: &SlotHead| head.places.sold.iter().any(|sold| *sold > 0);
    let is_empty_and_shut = |(_, head): &(SlotId, SlotHead)| head.places.admitted == 0 && (head.places.closed.is_some() || !is_sold(head));
    let has_gates = || attendance.details().values().flat_map(|detail| &detail.slots).any(|slot| slot.admitted > 0);
    let is_said = || heads.iter().all(|(slot, head)| !is_sold(head) || was_off(known, *slot, head));
    heads.iter().any(|(_, head)| is_sold(head)) && heads.iter().all(is_empty_and_shut) && (has_gates() || is_said())
}

/// Whether nobody came by a slot because its museum had called its day off, or that part of it: staff have not opened it all the same, and no gate has let anybody in.
#[must_use]
pub fn was_off(known: &Known, slot: SlotId, head: &SlotHead) -> bool {
    head.places.closed.is_some() && head.places.admitted == 0 && known.museum.called_off(slot.start()).is_some()
}

/// Whether a museum has called off all that it has planned of a day, whole or from a time on before which nothing begins.
#[must_use]
pub fn has_called_off(known: &Known, date: Date) -> bool {
    let is_off = |at: Timestamp| known.museum.called_off(at).is_some();
    // Of most days nothing is called off, and what is planned of them need not be worked out.
    is_off(calendar::instant(date.at(23, 59, 59, 0))) && {
        let day = known.day(date);
        !day.is_empty() && day.iter().all(|opening| is_off(opening.slot.start()))
    }
}

/// The same, where moreover nobody came by any of its slots, whether anybody had bought or not.
fn is_said_off(known: &Known, date: Date, heads: &[(SlotId, SlotHead)]) -> bool {
    has_called_off(known, date) && heads.iter().all(|(slot, head)| was_off(known, *slot, head))
}

/// What the slots of a day had that took place, by the board, and which of them were sold beyond their places.
fn slots_of(known: &Known, mut heads: Vec<(SlotId, SlotHead)>) -> (Vec<SlotCount>, Vec<BeyondCount>) {
    heads.retain(|(slot, head)| !was_off(known, *slot, head));
    let (mut slots, mut beyond) = (Vec::new(), Vec::new());
    for (slot, SlotHead { places, .. }) in heads {
        let Some(count) = slot_count(slot, places.sold.iter().sum(), places.admitted) else { continue };
        let SlotCount { route, from_min, sold, admitted } = count;
        if let Some(promised) = places.beyond.filter(|beyond| beyond.places > 0 && sold > places.capacity) {
            let turn_away_ppm = promised.turn_away_ppm;
            beyond.push(BeyondCount { route, from_min, places: places.capacity, sold, admitted, turn_away_ppm });
        }
        slots.push(count);
    }
    (slots, beyond)
}

/// The lists, if they show everything that has happened. Asked once for all museums: lists that are being built again would keep each of them waiting.
async fn caught_up(node: &Node) -> Option<&Views> {
    let views = &node.files()?.views;
    match views.come_to(node.head().number).await {
        Ok(()) => Some(views),
        Err(error) => {
            tracing::warn!(%error, "days that were missed cannot be counted now");
            None
        }
    }
}

/// What the slots of days had that took place and are not on the board any more, by the lists of sales; nothing where there are no lists, or they cannot be read. Whether staff had opened
/// one all the same of a day that was called off the lists do not say: it took place if gates let anybody in.
async fn listed(views: Option<&Views>, known: &Known, dates: impl Iterator<Item = Date>) -> HashMap<Date, Vec<SlotCount>> {
    let Some(views) = views else { return HashMap::new() };
    let mut days: HashMap<SlotId, Date> = HashMap::new();
    for date in dates {
        days.extend(known.museum.openings(date, date).iter().map(|opening| (opening.slot, date)));
    }
    if days.is_empty() {
        return HashMap::new();
    }
    let slots: Vec<SlotId> = days.keys().copied().collect();
    let bookings = views.bookings_of(&slots).await.unwrap_or_else(|error| {
        tracing::warn!(museum = known.museum.id().0, %error, "days that were missed cannot be counted now");
        Vec::new()
    });
    let mut sums: BTreeMap<SlotId, (u32, u32)> = BTreeMap::new();
    for booking in bookings {
        let (sold, admitted) = sums.entry(booking.slot).or_default();
        (*sold, *admitted) = (sold.saturating_add(booking.standing()), admitted.saturating_add(booking.admitted));
    }
    let mut counts: HashMap<Date, Vec<SlotCount>> = HashMap::new();
    for (slot, (sold, admitted)) in sums {
        let Some(date) = days.get(&slot) else { continue };
        if admitted == 0 && known.museum.called_off(slot.start()).is_some() {
            counts.entry(*date).or_default();
        } else if let Some(count) = slot_count(slot, sold, admitted) {
            counts.entry(*date).or_default().push(count);
        }
    }
    counts
}

/// What is known of a day that is over. Where gates let nobody in all day though places were sold, there are no gates: those who bought came, unless it was called off. Where only doors
/// know who came, a part of the day is not the day: whoever knows may bring it in.
fn day_of(
    node: &Node,
    known: &Known,
    date: Date,
    (slots, beyond): (Vec<SlotCount>, Vec<BeyondCount>),
    is_off: bool,
    is_last: bool,
) -> Option<Command> {
    let museum = known.museum.id();
    let summed = node.sensors().door_day(museum, date, node.now(), node.beside());
    let doors = summed.map(|summed| summed.doors);
    let (sold, admitted) = slots.iter().fold((0_u32, 0_u32), |sum, slot| (sum.0.saturating_add(slot.sold), sum.1.saturating_add(slot.admitted)));
    if !is_off && sold == 0 && admitted == 0 && doors.is_none_or(|doors| doors.entered == 0) {
        return None;
    }
    let people = if admitted > 0 {
        admitted
    } else if sold > 0 {
        sold
    } else if is_off && has_called_off(known, date) {
        // Those whom doors have counted are at home there.
        0
    } else {
        match summed {
            Some(summed) if !summed.is_whole && !is_off => return None,
            summed => summed.map_or(0, |summed| summed.doors.entered),
        }
    };
    let look = |ahead: u16| Look { ahead, booked: booked(node, known, date.saturating_add(i32::from(ahead).days())) };
    // The books of today are not those of a night that was missed.
    let books = if is_last { LEADS.map(look).to_vec() } else { Vec::new() };
    Some(Command::Count { date, people, slots, doors, books, beyond })
}

/// Slots of the sessions of a day that were written to: those that are planned, and those that were opened under an older plan, whenever and on which route. Of the
/// night after the day only those that are planned; these of the evening before are not its own.
#[must_use]
pub fn heads_on(node: &Node, known: &Known, date: Date) -> Vec<(SlotId, SlotHead)> {
    let (day, eve) = (known.day(date), known.day(date.saturating_sub(1.day())));
    let [midnight, next] = [date, date.saturating_add(1.day())].map(|day| calendar::instant(day.at(0, 0, 0, 0)));
    let to = day.last().map_or(next, |last| last.slot.start().max(next));
    let place = |slot: SlotId| (slot.start(), slot.route());
    let is_of = |day: &[Opening], slot: SlotId| day.binary_search_by_key(&place(slot), |opening| place(opening.slot)).is_ok();
    let is_its_own = |slot: SlotId| is_of(&day, slot) || (slot.start() < next && !is_of(&eve, slot));
    let heads = node.board().heads_between(known.museum.id(), midnight, to);
    heads.into_iter().filter(|(slot, _)| is_its_own(*slot)).collect()
}

/// Places sold for a day and not given back, as they stand now.
#[must_use]
pub fn booked(node: &Node, known: &Known, date: Date) -> u32 {
    heads_on(node, known, date).into_iter().flat_map(|(_, head)| head.places.sold).fold(0, u32::saturating_add)
}
