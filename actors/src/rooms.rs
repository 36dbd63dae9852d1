//! Waiting rooms: who has come, where they stand, and what they are given to hold. The rooms themselves, and up to which numbers they have given any out, are in the
//! museums' streams; a token holds all that is needed of whoever carries it, so that a restart loses nobody's place.
//!
//! Early: everybody who comes before the opening is one number, made of who they are, however often they come. When sales open, the seed that was drawn beforehand
//! and that number decide the place. Late: numbers are given out in blocks that are written down first, so that after a restart none is given twice.
//!
//! A number is for a buyer and for a device: who comes by a second name on a device that has come, or on a second device, has the number that there is, and the holds of it are
//! all of theirs together. Which name goes with which device is in memory alone. After a restart a device still has its one number, whatever the names, and so has who shows a
//! token; somebody without one who comes from another device has another number. Whoever makes both up each time is somebody else each time: that costs work, and no more.

use std::collections::{HashMap, HashSet};

use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{Code, MuseumId, SlotId};
use tornello_engine::museum;
use tornello_engine::room::{Announced, Arrival, Numbers, Room, guarding};
use tornello_engine::time::Timestamp;

use crate::digest::digest;
use crate::failure::Failure;
use crate::fraud::recent::Recent;
use crate::hex::Hex;
use crate::node::Node;

/// So many numbers at most are written down ahead of who comes late.
const BLOCK_MAX: u64 = 4_096;
/// And so many at least, however few are let through: else each who comes would be a record.
const BLOCK_MIN: u64 = 4;
/// So many early ones at least come between two times that their count is written down.
const EARLY_BLOCK: u64 = 64;
/// So many names and devices at most are known of which the number is another's.
const SHARED_REMEMBERED: usize = 524_288;
/// So many early ones are told apart; more are counted as if each came once.
const EARLY_MAX: usize = 1_000_000;
/// So many late ones get the same number when they ask again.
const LATE_REMEMBERED: usize = 262_144;
/// So many holds somebody who was let through may make: a family that changes its mind, not a shop for all.
pub const HOLDS_OF_ONE_MAX: usize = 3;
/// Of so many who were let through the holds are counted.
const HOLDING_REMEMBERED: usize = 262_144;
/// How long somebody who was let through may take to hold places, in seconds.
pub const ADMITTED_S: i64 = 600;

/// Why somebody is not let in to a room, or through it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoomRefusal {
    /// There is no such room, or it has closed.
    #[error("there is no such waiting room, or it has closed")]
    Unknown,
    /// The token is not of this room.
    #[error("the token is not of this waiting room")]
    BadToken,
    /// The museum cannot write down that somebody came.
    #[error("{0}")]
    NotWritten(Failure<museum::Refusal>),
}

/// Who comes to a room, under pseudonyms that do not change while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comer {
    /// Who is let through: the first buyer, or the device where no buyer is named.
    pub who: Digest,
    /// The device, if one is named.
    pub device: Option<Digest>,
}

impl Comer {
    /// Their own number, and that of the device.
    fn numbers(self, room: &Room) -> (u64, Option<u64>) {
        (number_of(room, self.who), self.device.map(|device| number_of(room, device)))
    }
}

/// Where somebody stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What they carry.
    pub token: String,
    /// From 1; none before the opening, when nobody knows.
    pub position: Option<u64>,
    /// In seconds; none before the opening.
    pub wait_s: Option<u64>,
    /// Lets them through, and until when; none: it is not their turn yet, or they have made as many holds as one may.
    pub admission: Option<(String, Timestamp)>,
}

/// What keeps somebody from holding places in a slot at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// Through which room they come.
    pub code: Code,
    /// When it opens.
    pub opens_at: Timestamp,
    /// When places can be held without it again.
    pub closes_at: Timestamp,
}

#[derive(Debug)]
struct Counts {
    early: HashSet<u64>,
    /// Beyond those told apart, and those before a restart.
    early_floor: u64,
    late: u64,
    numbers: Recent<u64, u64>,
    /// Of names and devices that have come with others before, whose number is theirs.
    shared: Recent<u64, u64>,
    /// The holds that who was let through has made, or may have. After a restart nobody has made any.
    holds: Recent<u64, Vec<Use>>,
}

/// A hold of somebody who was let through.
#[derive(Debug)]
struct Use {
    /// Of which request: a repeat of it is no other hold.
    of: u64,
    /// By how many of it at once it is asked for now.
    under_way: u32,
    /// Whether it was made, or may have been.
    stands: bool,
}

/// Which room, by the last number: one that is announced again under its name, for the same opening, is another one.
type Key = (MuseumId, Code, u64);

/// Who has come to the rooms of all museums; and whose turn it is to write down up to which numbers.
#[derive(Debug, Default)]
pub struct Rooms(Mutex<HashMap<Key, Counts>>, tokio::sync::Mutex<()>);

/// One of the holds of somebody who was let through, for one request and its repeats: theirs again when it is dropped, unless it was made or may have been.
#[derive(Debug)]
#[must_use]
pub struct Passage<'a> {
    rooms: &'a Rooms,
    key: Key,
    number: u64,
    /// For which request.
    of: u64,
    /// Whether that was asked before, and made a hold, or may have.
    stood: bool,
    /// Whether there is one now, or may be; none: nothing more is known of it than before.
    stands: Option<bool>,
}

impl Passage<'_> {
    /// Hears what came of the command.
    fn hear<T, R>(mut self, answer: &Result<T, Failure<R>>) {
        self.stands = match answer {
            Ok(_) | Err(Failure::OutcomeUnknown) => Some(true),
            // Who decides anew has done nothing for the same request before, whatever was said of it then.
            Err(Failure::Refused(_) | Failure::KeyReused | Failure::UnknownSlot(_)) => self.stood.then_some(false),
            Err(Failure::Busy | Failure::Journal(_) | Failure::Gateway(_) | Failure::OutOfOrder(_)) => None,
        };
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        self.rooms.end(self);
    }
}

/// Gives a command that makes a hold of somebody who was let through, if they had to be. Of a command whose outcome is unknown, or whose caller goes away before it is
/// heard, the hold may stand: it counts, until a repeat of the request, which is let through as the same one, says otherwise.
pub async fn through<T, R>(passage: Option<Passage<'_>>, command: impl Future<Output = Result<T, Failure<R>>>) -> Result<T, Failure<R>> {
    let Some(mut passage) = passage else { return command.await };
    passage.stands = Some(true);
    let answer = command.await;
    passage.hear(&answer);
    answer
}

impl Counts {
    fn of(written: Numbers) -> Self {
        Self {
            early: HashSet::new(),
            early_floor: written.early,
            late: written.late,
            numbers: Recent::new(LATE_REMEMBERED),
            shared: Recent::new(SHARED_REMEMBERED),
            holds: Recent::new(HOLDING_REMEMBERED),
        }
    }

    fn early_count(&self) -> u64 {
        self.early_floor.max(self.early.len() as u64)
    }

    /// The number by which a name or a device has come, if it has.
    fn came_as(&self, own: u64) -> Option<u64> {
        let is_one = self.early.contains(&own) || self.numbers.get(&own).is_some();
        self.shared.get(&own).copied().or_else(|| is_one.then_some(own))
    }

    /// The number of somebody on a device: the one by which either has come, else that of the device, which stays the same through a restart.
    fn number(&mut self, own: u64, device: Option<u64>) -> u64 {
        let by_device = device.and_then(|device| self.came_as(device));
        let number = self.came_as(own).or(by_device).unwrap_or_else(|| device.unwrap_or(own));
        // A name that only rides on a device that has come was not worked for: else anybody could bind the names of others to a place of their own.
        if by_device.is_none() {
            self.shares(own, number);
        }
        if let Some(device) = device {
            self.shares(device, number);
        }
        number
    }

    fn shares(&mut self, own: u64, number: u64) {
        if own != number && self.came_as(own).is_none() {
            self.shared.put(own, number);
        }
    }

    /// How somebody comes by a number, or up to which numbers must be written down first.
    fn arrive(&mut self, announced: &Announced, number: u64, now: Timestamp) -> Result<Arrival, Numbers> {
        if now < announced.room.opens_at {
            if self.early.len() < EARLY_MAX {
                self.early.insert(number);
            } else if !self.early.contains(&number) {
                self.early_floor = self.early_count() + 1;
            }
            let early = self.early_count();
            // Written down as it grows by a quarter: after a restart it is known to a fifth, and exactly when those who wait ask again.
            if early > announced.numbers.early + (announced.numbers.early / 4).max(EARLY_BLOCK) {
                return Err(Numbers { early, late: 0 });
            }
            return Ok(Arrival::Early);
        }
        // Who came before and has lost the token keeps the lot.
        if self.early.contains(&number) {
            return Ok(Arrival::Early);
        }
        if let Some(place) = self.numbers.get(&number) {
            return Ok(Arrival::Late(*place));
        }
        if self.late >= announced.numbers.late {
            return Err(Numbers { early: self.early_count(), late: self.late + block(&announced.room) });
        }
        self.late += 1;
        let place = self.late;
        self.numbers.put(number, place);
        Ok(Arrival::Late(place))
    }

    fn holds_of(&self, number: u64) -> usize {
        self.holds.get(&number).map_or(0, Vec::len)
    }
}

/// How many numbers are written down at once: those of a minute. After a restart numbers go on behind the last that is written, and nobody has those between, so that for as
/// long as they would take nobody is let through.
fn block(room: &Room) -> u64 {
    u64::from(room.per_minute).clamp(BLOCK_MIN, BLOCK_MAX)
}

/// The number that somebody is in a room: made of who they are, with the room's secret.
#[must_use]
pub fn number_of(room: &Room, who: Digest) -> u64 {
    let mac = mac(room, &[b"number", &{ who.0 }.to_be_bytes()]);
    u64::from_be_bytes(mac.first_chunk().copied().unwrap_or_default())
}

/// The lot of a number: anybody can compute it once the seed is published.
#[must_use]
pub fn lot_of(seed: &[u8; 32], number: u64) -> u64 {
    let hash: [u8; 32] = Sha256::new().chain_update(seed).chain_update(number.to_be_bytes()).finalize().into();
    u64::from_be_bytes(hash.first_chunk().copied().unwrap_or_default())
}

/// What is published of a seed before sales open.
#[must_use]
pub fn commitment(seed: &[u8; 32]) -> String {
    Hex(Sha256::digest(seed)).to_string()
}

fn mac(room: &Room, parts: &[&[u8]]) -> [u8; 32] {
    // A key of 32 bytes is never refused.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&room.signing) else { return [0; 32] };
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// By what is counted who has come to a room: each that is announced has a secret of its own.
fn key_of(museum: MuseumId, room: &Room) -> Key {
    let mac = mac(room, &[b"room"]);
    (museum, room.code, u64::from_be_bytes(mac.first_chunk().copied().unwrap_or_default()))
}

fn signed(museum: MuseumId, room: &Room, text: &str) -> String {
    let mac = mac(room, &[b"token", &museum.0.to_be_bytes(), room.code.as_str().as_bytes(), text.as_bytes()]);
    format!("{text}.{}", Hex(&mac[..16]))
}

/// The signed part of a token of this room.
fn opened<'a>(museum: MuseumId, room: &Room, token: &'a str) -> Option<&'a str> {
    let (text, _) = token.rsplit_once('.')?;
    bool::from(signed(museum, room, text).as_bytes().ct_eq(token.as_bytes())).then_some(text)
}

/// What stands in a token: the number by which somebody waits, and their own, by which they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waiter {
    number: u64,
    own: u64,
}

impl Waiter {
    /// Reads `NUMBER.OWN.REST` behind the prefix of its form, or `NUMBER.REST` behind that of the form before: then both are one. Answers the rest too.
    fn read<'a>(text: &'a str, form: &str, before: &str) -> Option<(Self, &'a str)> {
        let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
        if let Some(text) = text.strip_prefix(before) {
            let (number, rest) = text.split_once('.')?;
            let number = hex(number)?;
            return Some((Self { number, own: number }, rest));
        }
        let (number, text) = text.strip_prefix(form)?.split_once('.')?;
        let (own, rest) = text.split_once('.')?;
        Some((Self { number: hex(number)?, own: hex(own)? }, rest))
    }
}

fn token(museum: MuseumId, room: &Room, Waiter { number, own }: Waiter, arrival: Arrival) -> String {
    let arrival = match arrival {
        Arrival::Early => "e".to_owned(),
        Arrival::Late(place) => format!("l{place}"),
    };
    signed(museum, room, &format!("w2.{number:016x}.{own:016x}.{arrival}"))
}

fn read_token(museum: MuseumId, room: &Room, token: &str) -> Option<(Waiter, Arrival)> {
    let (waiter, arrival) = Waiter::read(opened(museum, room, token)?, "w2.", "w1.")?;
    let arrival = match arrival {
        "e" => Arrival::Early,
        late => Arrival::Late(late.strip_prefix('l')?.parse().ok()?),
    };
    Some((waiter, arrival))
}

fn admission(museum: MuseumId, room: &Room, Waiter { number, own }: Waiter, until: Timestamp) -> String {
    signed(museum, room, &format!("a2.{number:016x}.{own:016x}.{}", until.as_micros()))
}

/// The number that a token lets through at `now`, if it is this one's: that of a name, or of a device that came before anybody was named. Whoever it lets through, the
/// holds are those of the number.
fn admitted(museum: MuseumId, room: &Room, token: &str, comer: Comer, now: Timestamp) -> Option<u64> {
    let (waiter, until) = Waiter::read(opened(museum, room, token)?, "a2.", "a1.")?;
    let (own, device) = comer.numbers(room);
    (now.as_micros() < until.parse::<i64>().ok()? && (waiter.own == own || Some(waiter.own) == device)).then_some(waiter.number)
}

impl Rooms {
    /// Whether somebody, or their device, has come.
    fn has_come(&self, key: Key, own: u64, device: Option<u64>) -> bool {
        let rooms = self.0.lock();
        rooms.get(&key).is_some_and(|counts| [Some(own), device].into_iter().flatten().any(|own| counts.came_as(own).is_some()))
    }

    /// Notes that somebody came; answers by which number and how they came, or up to which numbers must be written down first.
    fn come(&self, key: Key, announced: &Announced, (own, device): (u64, Option<u64>), now: Timestamp) -> Result<(Waiter, Arrival), Numbers> {
        let mut rooms = self.0.lock();
        let counts = rooms.entry(key).or_insert_with(|| Counts::of(announced.numbers));
        let number = counts.number(own, device);
        counts.arrive(announced, number, now).map(|arrival| (Waiter { number, own }, arrival))
    }

    /// How many came early; somebody who says so with a token counts.
    fn early(&self, key: Key, announced: &Announced, known: Option<Waiter>) -> u64 {
        let mut rooms = self.0.lock();
        let counts = rooms.entry(key).or_insert_with(|| Counts::of(announced.numbers));
        if let Some(Waiter { number, .. }) = known.filter(|_| counts.early.len() < EARLY_MAX) {
            counts.early.insert(number);
        }
        counts.early_count()
    }

    /// Whether somebody may make one more hold.
    fn may_hold(&self, key: Key, number: u64) -> bool {
        self.0.lock().get(&key).is_none_or(|counts| counts.holds_of(number) < HOLDS_OF_ONE_MAX)
    }

    /// Takes one of somebody's holds for a request, so that many requests at once get no more of them; none if none is left. A repeat has that of the first time.
    fn take_hold(&self, key: Key, announced: &Announced, number: u64, of: u64) -> Option<Passage<'_>> {
        let mut rooms = self.0.lock();
        let counts = rooms.entry(key).or_insert_with(|| Counts::of(announced.numbers));
        let mut uses = counts.holds.take(&number).unwrap_or_default();
        if uses.iter().all(|used| used.of != of) && uses.len() < HOLDS_OF_ONE_MAX {
            uses.push(Use { of, under_way: 0, stands: false });
        }
        let stood = uses.iter_mut().find(|used| used.of == of).map(|used| {
            used.under_way += 1;
            used.stands
        });
        counts.holds.put(number, uses);
        Some(Passage { rooms: self, key, number, of, stood: stood?, stands: None })
    }

    fn end(&self, passage: &Passage<'_>) {
        let mut rooms = self.0.lock();
        let Some(counts) = rooms.get_mut(&passage.key) else { return };
        let Some(mut uses) = counts.holds.take(&passage.number) else { return };
        if let Some(used) = uses.iter_mut().find(|used| used.of == passage.of) {
            used.under_way = used.under_way.saturating_sub(1);
            used.stands = passage.stands.unwrap_or(used.stands);
        }
        uses.retain(|used| used.stands || used.under_way > 0);
        if !uses.is_empty() {
            counts.holds.put(passage.number, uses);
        }
    }
}

/// What a request is told from others by, as a stream does.
fn request_of(asked: &Envelope) -> u64 {
    digest(&[b"request", &asked.who.0.to_be_bytes(), &{ asked.key.0 }.to_be_bytes(), &{ asked.body.0 }.to_be_bytes()]).0 as u64
}

impl Node {
    /// A room that has not closed, as it is announced and written down by now.
    fn room_of(&self, museum: MuseumId, code: Code) -> Result<Announced, RoomRefusal> {
        let known = self.museums().get(museum).ok_or(RoomRefusal::Unknown)?;
        let announced = known.museum.room(code).ok_or(RoomRefusal::Unknown)?;
        if self.now() >= announced.room.closes_at { Err(RoomRefusal::Unknown) } else { Ok(announced.clone()) }
    }

    /// Whether somebody, or their device, has come to a waiting room: coming again gives them no other number.
    #[must_use]
    pub fn has_come(&self, museum: MuseumId, room: &Room, comer: Comer) -> bool {
        let (own, device) = comer.numbers(room);
        self.rooms().has_come(key_of(museum, room), own, device)
    }

    /// Somebody comes to a waiting room.
    pub async fn join_room(&self, museum: MuseumId, code: Code, comer: Comer) -> Result<Place, RoomRefusal> {
        loop {
            let announced = self.room_of(museum, code)?;
            let key = key_of(museum, &announced.room);
            match self.rooms().come(key, &announced, comer.numbers(&announced.room), self.now()) {
                Ok((waiter, arrival)) => return Ok(self.place(museum, &announced, waiter, arrival)),
                Err(numbers) => self.count_room(museum, &announced, numbers).await.map_err(RoomRefusal::NotWritten)?,
            }
        }
    }

    /// Writes down up to which numbers may be given out, if nothing else was written of the room since whoever asks looked. Whoever is faster writes it for all: the others wait
    /// for that and look again, so that a rush costs a record a block and not one each. Nor is anything written of a room that was withdrawn meanwhile, whatever is announced
    /// under its name by now.
    async fn count_room(&self, museum: MuseumId, announced: &Announced, numbers: Numbers) -> Result<(), Failure<museum::Refusal>> {
        let _turn = self.rooms().1.lock().await;
        let (code, signing) = (announced.room.code, announced.room.signing);
        if !self.room_of(museum, code).is_ok_and(|known| known == *announced) {
            return Ok(());
        }
        let key = digest(&[
            b"room",
            code.as_str().as_bytes(),
            &numbers.early.to_be_bytes(),
            &numbers.late.to_be_bytes(),
            &self.now().as_micros().to_be_bytes(),
        ]);
        match self.museum(museum, Envelope::by_system(key), museum::Command::CountRoom { code, signing, numbers }).await {
            Ok(_) | Err(Failure::Refused(museum::Refusal::UnknownRoom)) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Where somebody with a token stands now.
    pub fn room_place(&self, museum: MuseumId, code: Code, token: &str) -> Result<Place, RoomRefusal> {
        let announced = self.room_of(museum, code)?;
        let (waiter, arrival) = read_token(museum, &announced.room, token).ok_or(RoomRefusal::BadToken)?;
        Ok(self.place(museum, &announced, waiter, arrival))
    }

    fn place(&self, museum: MuseumId, announced: &Announced, waiter: Waiter, arrival: Arrival) -> Place {
        let (room, now, number) = (&announced.room, self.now(), waiter.number);
        let key = key_of(museum, room);
        let known = (arrival == Arrival::Early).then_some(waiter);
        let early = self.rooms().early(key, announced, known);
        let position = room.position(arrival, lot_of(&room.seed, number), early);
        let wait_s = room.wait_s(position, now);
        let admission = (wait_s == Some(0) && self.rooms().may_hold(key, number)).then(|| {
            let until = now.plus_seconds(ADMITTED_S).min(room.closes_at);
            (admission(museum, room, waiter, until), until)
        });
        Place { token: token(museum, room, waiter, arrival), position: wait_s.map(|_| position), wait_s, admission }
    }

    /// Whether places of a slot can be held now by somebody, with what they carry; if a room lets them through, as one of their holds, or as that of the same request when
    /// it was asked before.
    pub fn room_lets_through(
        &self,
        slot: SlotId,
        asked: &Envelope,
        carried: Option<&str>,
        comer: impl Fn(&Room) -> Option<Comer>,
    ) -> Result<Option<Passage<'_>>, Guarded> {
        let (now, museum) = (self.now(), slot.museum());
        let Some(known) = self.museums().get(museum) else { return Ok(None) };
        let Some(announced) = guarding(museum, known.museum.rooms(), slot, now) else { return Ok(None) };
        let room = &announced.room;
        if now >= room.opens_at
            && let (Some(token), Some(comer)) = (carried, comer(room))
            && let Some(number) = admitted(museum, room, token, comer, now)
            && let Some(passage) = self.rooms().take_hold(key_of(museum, room), announced, number, request_of(asked))
        {
            return Ok(Some(passage));
        }
        Err(Guarded { code: room.code, opens_at: room.opens_at, closes_at: room.closes_at })
    }

    /// Forgets who came to rooms that have closed, or were withdrawn.
    pub(crate) fn tidy_rooms(&self) {
        let now = self.now();
        let is_open = |key: &Key| {
            let (museum, code, _) = *key;
            let known = self.museums().get(museum);
            known.is_some_and(|known| known.museum.room(code).is_some_and(|known| key_of(museum, &known.room) == *key && known.room.closes_at > now))
        };
        self.rooms().0.lock().retain(|key, _| is_open(key));
    }
}
