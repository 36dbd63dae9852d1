//! What all requests that change something have in common: the idempotency key, the body, the digest of what was asked, the parties.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::future::{Ready, ready};
use std::iter::{once, successors};
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::{JsonPayloadError, PayloadError};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName};
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use futures_util::future::{self, LocalBoxFuture};
use futures_util::{Stream, StreamExt, TryFutureExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use tornello_actors::clock::Stopwatch;
use tornello_actors::digest::digest;
use tornello_actors::node::Node;
use tornello_actors::people::{Month, OVERLAP_S, Pseudonymiser};
use tornello_engine::envelope::{Digest, Envelope, Party, PartyKind};
use tornello_engine::ids::{KeyId, OrderId, SlotId};
use tornello_engine::time::Timestamp;

use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::server::BODY_MAX;
use crate::strict::{self, Strict};
use crate::words::PartyKindWord;

/// The most parties of one command.
const PARTIES_MAX: usize = 8;
/// By how many earlier months' pseudonyms a buyer is looked up where what they may have is limited: a place is hardly on sale for longer than a year.
const FORMERLY_MONTHS: usize = 12;
/// The header with the key of a request.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest text that names a party, in characters.
const PARTY_MAX: usize = 256;
/// The largest body of those requests that carry a whole plan or many readings, in bytes.
pub const LARGE_BODY_MAX: usize = 1024 * 1024;

/// The `Idempotency-Key` header: 1 to 255 visible ASCII characters, bare or as a quoted string. Repeating a request with its key and body gives the first answer
/// for at least 24 hours, also after a restart. It is remembered by the stream that was asked, a slot or a payment: with another one it is another request.
#[derive(Debug, Clone)]
pub struct IdempotencyKey(String);

impl FromRequest for IdempotencyKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let missing = || {
            Problem::new(StatusCode::BAD_REQUEST, "idempotency_key_missing", "the header Idempotency-Key is needed")
                .detail("Choose a new random value for each request, and the same value when you repeat one.")
        };
        let mut given = request.headers().get_all(KEY);
        let Some(header) = given.next() else { return ready(Err(missing())) };
        // Of two, a repeat that has them the other way round would be another request.
        if given.any(|other| other != header) {
            return ready(Err(Problem::malformed("Idempotency-Key is given twice, with different values")));
        }
        let text = header.to_str().unwrap_or_default();
        let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        let good = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        ready(if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(Problem::malformed("Idempotency-Key must be 1 to 255 visible ASCII characters without quotes and backslashes"))
        })
    }
}

/// Somebody who takes part, as the channel knows them. Only a keyed, rotating pseudonym of the value is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PartyForm {
    /// `buyer`, `device`, `card`, `account`, `network` (a block of addresses), `kiosk`, `operator` or `group`. The caller takes part by its key as well, as operator,
    /// totem or reseller: it need not be named.
    #[schema(value_type = PartyKindWord)]
    pub kind: PartyKind,
    /// The e-mail address, device id, card token or account. An address is the same buyer in any case and with or without spaces; one with a plus is another one. Of a network
    /// an address of the internet will do, or a block as `192.0.2.0/24`: counted is the block, 256 addresses of version 4 or a /56 of version 6, or a larger one that is named.
    #[schema(max_length = 256, examples("maria.rossi@example.it"))]
    pub value: String,
}

/// Makes the envelope of a command: `what` names the operation and its target, `body` is what was asked. Where somebody may buy by it, [`known_before`] belongs to it.
pub fn envelope(
    node: &Node,
    caller: &Caller,
    key: &IdempotencyKey,
    what: &[&str],
    body: &impl Serialize,
    parties: &[PartyForm],
    order: Option<OrderId>,
) -> Result<Envelope, Problem> {
    few_and_short(parties)?;
    let body = serde_json::to_vec(body).map_err(|_| Problem::malformed("the body cannot be read"))?;
    // The journal keeps this digest for ever and a body may name a person: with the caller's key in it, which is kept nowhere, nobody can try names against it.
    let mut asked: Vec<&[u8]> = vec![key.0.as_bytes()];
    asked.extend(what.iter().map(|part| part.as_bytes()));
    asked.push(&body);
    // Most that is done at a desk names nobody: then nothing is asked for, not even the time.
    let files = node.files().filter(|_| !parties.is_empty());
    let parties = files.map_or_else(Vec::new, |files| named(&files.pseudonymiser, parties, node.now()));
    let (key, body) = (digest(&[key.0.as_bytes()]), digest(&asked));
    Ok(Envelope { who: caller.id(), key, body, parties, assessment: None, order, formerly: Vec::new() })
}

/// Asserts that as many take part as may, each with a value.
fn few_and_short(parties: &[PartyForm]) -> Result<(), Problem> {
    if parties.len() > PARTIES_MAX || !parties.iter().all(|party| is_name(&party.value)) {
        return Err(Problem::invalid("at most 8 parties, each with a value of 1 to 256 characters"));
    }
    Ok(())
}

/// Whether a text can name a party.
pub fn is_name(text: &str) -> bool {
    (1..=PARTY_MAX).contains(&text.chars().count())
}

/// Adds to the envelope of a command that may buy in some slots by which pseudonyms of earlier months its buyers are known. Where none of the slots limits what a buyer
/// has nobody asks for them, and none are made: of each buyer they are twelve hashes.
pub fn known_before(node: &Node, slots: &[SlotId], parties: &[PartyForm], envelope: &mut Envelope) {
    let Some(files) = node.files().filter(|_| !parties.is_empty()) else { return };
    let is_limited = || slots.iter().any(|slot| node.limits_buyers(*slot));
    envelope.formerly = formerly(&files.pseudonymiser, parties, Month::of(node.now()), is_limited);
}

/// Who is named with something that has no envelope, as the counters know them now; without what is no name.
pub fn named_now(node: &Node, parties: &[PartyForm]) -> Vec<Party> {
    let Some(files) = node.files() else { return Vec::new() };
    let parties: Vec<PartyForm> = parties.iter().filter(|party| is_name(&party.value)).take(PARTIES_MAX).cloned().collect();
    named(&files.pseudonymiser, &parties, node.now())
}

/// The pseudonyms of parties at a time.
fn named(pseudonymiser: &Pseudonymiser, parties: &[PartyForm], at: Timestamp) -> Vec<Party> {
    // While the month is young a party goes by its pseudonym of the month before as well, so that what is counted of it does not begin anew with the month. What fades
    // within days needs no more; what a buyer has does not fade, so it is looked up by those of the whole time in which it can have been bought.
    let (month, before) = (Month::of(at), Month::of(at.plus_seconds(-OVERLAP_S)));
    let months = once(month).chain((month != before).then_some(before));
    parties.iter().flat_map(|party| pseudonymiser.party_in_each(party.kind, &party.value, months.clone())).collect()
}

/// A buyer, and the device at which they sat, as a command at that time would have named them, and by which pseudonyms of earlier months the buyer would have been known.
pub fn named_then(node: &Node, buyer: Option<&str>, device: Option<&str>, at: Timestamp) -> Result<(Vec<Party>, Vec<Digest>), Problem> {
    let mut parties = Vec::new();
    for (kind, value) in [(PartyKind::Buyer, buyer), (PartyKind::Device, device)] {
        let Some(value) = value else { continue };
        if !is_name(value) {
            return Err(Problem::invalid(format!("{}: 1 to 256 characters are expected", kind.name())));
        }
        parties.push(PartyForm { kind, value: value.to_owned() });
    }
    let Some(files) = node.files() else { return Ok((Vec::new(), Vec::new())) };
    Ok((named(&files.pseudonymiser, &parties, at), formerly(&files.pseudonymiser, &parties, Month::of(at), || true)))
}

/// The pseudonyms of the buyers in the months before, the latest first, each once; none where buyers are not limited, which is asked only if there is a buyer.
fn formerly(pseudonymiser: &Pseudonymiser, parties: &[PartyForm], month: Month, is_limited: impl FnOnce() -> bool) -> Vec<Digest> {
    let mut buyers = parties.iter().filter(|party| party.kind == PartyKind::Buyer).peekable();
    let mut found = Vec::new();
    if buyers.peek().is_none() || !is_limited() {
        return found;
    }
    for buyer in buyers {
        let months = successors(Some(month.previous()), |month| Some(month.previous())).take(FORMERLY_MONTHS);
        for Party { pseudonym, .. } in pseudonymiser.party_in_each(buyer.kind, &buyer.value, months) {
            if !found.contains(&pseudonym) {
                found.push(pseudonym);
            }
        }
    }
    found
}

/// A body of JSON that is what the contract says of it ([`Strict`]), up to the limit of all bodies.
#[derive(Debug)]
pub struct Json<T>(T);

impl<T> Json<T> {
    /// What was asked.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = actix_web::Error;
    type Future = LocalBoxFuture<'static, Result<Self, actix_web::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if is_plain(request) {
            let payload = payload.take();
            return Box::pin(async move { read(payload).await.map(Self).map_err(|error| actix_web::Error::from(unread(&error))) });
        }
        if let Err(problem) = as_it_is(request) {
            return Box::pin(future::err(problem.into()));
        }
        let read = web::Json::<Strict<T>>::from_request(request, payload);
        Box::pin(read.map_ok(|read| Self(read.into_inner().0)))
    }
}

/// Whether a body comes as nearly all do: named as JSON and no more, in no coding, and of a length that is told and not too great. It can be read where it lies; for whatever
/// else there may be actix takes 8 KiB, and copies it there.
fn is_plain(request: &HttpRequest) -> bool {
    let headers = request.headers();
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == b"application/json")
        && !headers.contains_key(header::CONTENT_ENCODING)
        && length.is_some_and(|length| length <= BODY_MAX)
}

async fn read<T: DeserializeOwned>(mut payload: Payload) -> Result<T, JsonPayloadError> {
    let first = payload.next().await.transpose()?.unwrap_or_default();
    let mut body = Vec::new();
    while let Some(more) = payload.next().await.transpose()? {
        if body.is_empty() {
            body.extend_from_slice(&first);
        }
        if body.len() + more.len() > BODY_MAX {
            return Err(JsonPayloadError::Overflow { limit: BODY_MAX });
        }
        body.extend_from_slice(&more);
    }
    strict::from_slice(if body.is_empty() { &first[..] } else { &body[..] }).map_err(JsonPayloadError::Deserialize)
}

/// Why a body of JSON is not taken.
pub fn unread(error: &JsonPayloadError) -> Problem {
    match error {
        JsonPayloadError::ContentType => Problem::unsupported("send the body as application/json"),
        JsonPayloadError::OverflowKnownLength { .. } | JsonPayloadError::Overflow { .. } => Problem::too_large(BODY_MAX),
        JsonPayloadError::Deserialize(error) => Problem::of_json(error),
        JsonPayloadError::Payload(PayloadError::Io(_)) => Problem::malformed("the body cannot be read to its end"),
        other => Problem::malformed(other.to_string()),
    }
}

/// Asserts that a body comes as it is. Whoever reads JSON would unpack one that is packed, piece by piece, and of a piece of some kilobytes have tens of megabytes in memory before
/// anybody looks how large it is.
fn as_it_is(request: &HttpRequest) -> Result<(), Problem> {
    let is_packed = |coding: &header::HeaderValue| !coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if request.headers().get_all(header::CONTENT_ENCODING).any(is_packed) {
        return Err(Problem::unsupported("send the body as it is").detail("None that is packed is taken: leave Content-Encoding out."));
    }
    Ok(())
}

/// Reads a member of a body that may be `null` and may not be left out: it would take something away, and whoever leaves it out has forgotten it.
pub fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

/// Turns for bodies that may be larger than others, and whose senders may take their time: so many at once, and so many of one key, so that whoever has it and sends slowly keeps
/// nobody else's out.
#[derive(Debug)]
pub struct Turns {
    all_max: usize,
    of_key_max: usize,
    /// How many are taken, by key.
    taken: Mutex<BTreeMap<KeyId, usize>>,
}

impl Turns {
    /// So many at once, of which so many may be of one key.
    #[must_use]
    pub const fn new(all_max: usize, of_key_max: usize) -> Self {
        Self { all_max, of_key_max, taken: Mutex::new(BTreeMap::new()) }
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<KeyId, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn, if one is left, and left to that key.
    pub fn take(&'static self, key: KeyId) -> Result<Turn, Problem> {
        let mut taken = self.taken();
        let (all, of_key) = (taken.values().sum::<usize>(), taken.get(&key).copied().unwrap_or_default());
        if of_key >= self.of_key_max {
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "as many large bodies of this key as may are under way");
            return Err(problem.retry_after(1));
        }
        if all >= self.all_max {
            return Err(Problem::busy());
        }
        taken.insert(key, of_key + 1);
        Ok(Turn { of: self, key, waited: Duration::ZERO, came: 0 })
    }
}

/// The turn of one large body, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    of: &'static Turns,
    key: KeyId,
    /// How long its sender was waited for.
    waited: Duration,
    /// How many bytes have come by that.
    came: usize,
}

impl Turn {
    /// How long its sender is waited for yet: `within` for each [`BODY_MAX`] bytes that have come, and for as many more.
    fn left(&self, within: Duration) -> Duration {
        let pieces = u32::try_from(self.came / BODY_MAX + 1).unwrap_or(u32::MAX);
        within.saturating_mul(pieces).saturating_sub(self.waited)
    }
}

/// The next piece of a body, if there is one. Whoever has a turn and sends byte by byte would keep it for days: they are waited for as long as they send no slower than as much as other
/// bodies may have `within` so long. What we do with it meanwhile is none of their time.
pub async fn next_piece(
    payload: &mut (impl Stream<Item = Result<web::Bytes, PayloadError>> + Unpin),
    turn: Option<&mut Turn>,
    within: Duration,
) -> Result<Option<web::Bytes>, Problem> {
    let Some(turn) = turn else { return whole(payload.next().await) };
    let waiting = Stopwatch::start();
    let piece = tokio::time::timeout(turn.left(within), payload.next()).await;
    turn.waited = turn.waited.saturating_add(waiting.elapsed());
    let piece = whole(piece.map_err(|_| Problem::malformed("the body comes too slowly: send it faster, or less at once"))?)?;
    turn.came = turn.came.saturating_add(piece.as_ref().map_or(0, web::Bytes::len));
    Ok(piece)
}

fn whole(piece: Option<Result<web::Bytes, PayloadError>>) -> Result<Option<web::Bytes>, Problem> {
    piece.transpose().map_err(|_| Problem::malformed("the body cannot be read to its end"))
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.of.taken().entry(self.key) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// A body of JSON that may be larger than others: up to [`LARGE_BODY_MAX`]. Managers' only: nobody else's is read, as there may be as many of them as changes under way.
#[derive(Debug)]
pub struct Large<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Large<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = request.content_type().eq_ignore_ascii_case("application/json");
        let may = request.extensions().get::<Caller>().ok_or_else(Problem::unauthorized).and_then(|caller| caller.may(Scope::Manage));
        let (is_plain, mut payload) = (as_it_is(request), payload.take());
        Box::pin(async move {
            may?;
            if !is_json {
                return Err(Problem::unsupported("send the body as application/json"));
            }
            is_plain?;
            let mut body = Vec::new();
            while let Some(chunk) = payload.next().await {
                let chunk = chunk.map_err(|_| Problem::malformed("the body cannot be read to its end"))?;
                if body.len() + chunk.len() > LARGE_BODY_MAX {
                    return Err(Problem::too_large(LARGE_BODY_MAX));
                }
                body.extend_from_slice(&chunk);
            }
            strict::from_slice(&body).map(Self).map_err(|error| Problem::of_json(&error))
        })
    }
}

/// Random bits for a new id. Uniqueness within the slot is checked by the slot.
#[must_use]
pub fn random() -> u64 {
    rand::random()
}

/// A number by lot that nobody is told: how long places rest that are asked for and not bought.
pub fn draw() -> u32 {
    rand::random()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use futures_util::stream;
    use tornello_actors::people::MasterKey;

    use super::*;

    fn party(kind: PartyKind, value: &str) -> PartyForm {
        PartyForm { kind, value: value.to_owned() }
    }

    #[test]
    fn one_key_has_some_of_the_turns_and_leaves_others_theirs() {
        static TURNS: Turns = Turns::new(4, 2);
        let code = |key: u64| TURNS.take(KeyId(key)).err().map(|problem| problem.code());
        let mut of_one = [1, 1].map(|key| TURNS.take(KeyId(key)).unwrap()).into_iter().collect::<Vec<_>>();
        assert_eq!(code(1), Some("too_many_requests"));
        let of_other = [2, 2].map(|key| TURNS.take(KeyId(key)).unwrap());
        assert_eq!(code(3), Some("busy"));
        of_one.pop();
        assert_eq!(code(3), None, "whoever is done leaves a turn");
        drop((of_one, of_other));
        assert!(TURNS.taken().is_empty(), "nothing is kept of those who are done");
    }

    #[tokio::test]
    async fn whoever_has_a_turn_and_sends_byte_by_byte_loses_it() {
        static TURNS: Turns = Turns::new(1, 1);
        let within = Duration::from_secs(15);
        let mut turn = TURNS.take(KeyId(1)).unwrap();
        let sent = [BODY_MAX - 1, 1].map(|length| Ok::<_, PayloadError>(web::Bytes::from(vec![b' '; length])));
        let mut body = stream::iter(sent).chain(stream::pending());
        // They have been waited for as long as may be, and what is there by then is taken.
        for (length, left) in [(BODY_MAX - 1, Duration::ZERO), (1, within)] {
            turn.waited = within;
            let piece = next_piece(&mut body, Some(&mut turn), within).await.unwrap();
            turn.waited = within;
            assert_eq!((piece.map(|piece| piece.len()), turn.left(within)), (Some(length), left));
        }
        turn.waited = within * 2;
        let next = next_piece(&mut body, Some(&mut turn), within).await;
        assert_eq!(next.err().map(|problem| problem.code()), Some("malformed"));
    }

    #[test]
    fn earlier_pseudonyms_are_made_of_buyers_who_are_limited_and_of_nobody_else() {
        let maker = Pseudonymiser::new(&MasterKey::from_bytes([7; 32]));
        let month = Month::of("2026-11-21T10:00:00Z".parse().unwrap());
        let (anna, card) = (party(PartyKind::Buyer, "anna@example.it"), party(PartyKind::Card, "tok_A"));
        assert!(formerly(&maker, &[anna.clone(), card.clone()], month, || false).is_empty());
        let nobody = || -> bool { panic!("without a buyer nobody asks whether the slot limits any") };
        assert!(formerly(&maker, &[], month, nobody).is_empty());
        assert!(formerly(&maker, std::slice::from_ref(&card), month, nobody).is_empty());
        // Written twice it is one buyer; each month of the year before has its own, the latest first.
        let again = party(PartyKind::Buyer, " Anna@example.IT");
        let found = formerly(&maker, &[card, anna, again], month, || true);
        let mut before = month;
        let expected: Vec<Digest> = (0..12)
            .map(|_| {
                before = before.previous();
                maker.party_in(PartyKind::Buyer, "anna@example.it", before).pseudonym
            })
            .collect();
        assert_eq!(found, expected);
        assert!(!found.contains(&maker.party_in(PartyKind::Buyer, "anna@example.it", month).pseudonym), "this month's is named");
    }

    #[tokio::test]
    async fn a_body_is_read_in_however_many_pieces_it_comes_and_no_more_than_that() {
        let read_in = async |pieces: Vec<Vec<u8>>| {
            let pieces = stream::iter(pieces.into_iter().map(|piece| Ok::<_, PayloadError>(web::Bytes::from(piece))));
            let read = read::<Vec<u16>>(Payload::Stream { payload: Box::pin(pieces) }).await;
            read.map_err(|error| unread(&error).code())
        };
        let json = b"[1, 20, 300]";
        for length in 1..=json.len() {
            assert_eq!(read_in(json.chunks(length).map(<[u8]>::to_vec).collect()).await, Ok(vec![1, 20, 300]), "{length}");
        }
        assert_eq!(read_in(Vec::new()).await, Err("malformed"));
        assert_eq!(read_in(vec![vec![b' '; BODY_MAX], b"[]".to_vec()]).await, Err("body_too_large"));
        assert_eq!(read_in(vec![vec![b' '; BODY_MAX - 1], b"[]".to_vec()]).await, Err("body_too_large"), "one byte too many");
        assert_eq!(read_in(vec![vec![b' '; BODY_MAX - 2], b"[]".to_vec()]).await, Ok(vec![]));
    }

    #[tokio::test]
    async fn a_key_has_1_to_255_visible_characters() {
        let one = |key: &str| key.to_owned();
        for (key, taken) in [(one(""), false), (one("k"), true), ("k".repeat(255), true), ("k".repeat(256), false), (one("k k"), false)] {
            for text in [key.clone(), format!("\"{key}\"")] {
                let request = TestRequest::post().insert_header((KEY, text.as_str())).to_http_request();
                let read = IdempotencyKey::extract(&request).await.map(|read| read.0).map_err(|problem| problem.code());
                assert_eq!(read, if taken { Ok(key.clone()) } else { Err("malformed") }, "{text:?}");
            }
        }
    }

    #[test]
    fn eight_may_take_part_each_with_256_characters() {
        let refused = |parties: &[PartyForm]| few_and_short(parties).err().map(|problem| problem.code());
        let one = party(PartyKind::Buyer, "anna@example.it");
        assert_eq!((refused(&[]), refused(&vec![one.clone(); 8]), refused(&vec![one; 9])), (None, None, Some("invalid")));
        for (value, refusal) in [("", Some("invalid")), ("a", None), (&"è".repeat(256), None), (&"è".repeat(257), Some("invalid"))] {
            assert_eq!(refused(&[party(PartyKind::Device, value)]), refusal, "{value:?}");
        }
    }

    #[test]
    fn a_party_goes_by_two_pseudonyms_while_the_month_is_young() {
        let maker = Pseudonymiser::new(&MasterKey::from_bytes([7; 32]));
        let parties = [party(PartyKind::Buyer, "anna@example.it"), party(PartyKind::Device, "dev-1")];
        for (at, months) in [("2026-11-08T23:59:59Z", 2), ("2026-11-09T00:00:00Z", 1), ("2026-11-30T23:59:59Z", 1), ("2026-12-01T00:00:00Z", 2)] {
            let at: Timestamp = at.parse().unwrap();
            let found = named(&maker, &parties, at);
            assert_eq!(found.len(), 2 * months, "{at}");
            assert_eq!(
                (found[0], found[months]),
                (maker.party(PartyKind::Buyer, "anna@example.it", at), maker.party(PartyKind::Device, "dev-1", at))
            );
            if months == 2 {
                assert_eq!(found[1], maker.party_in(PartyKind::Buyer, "anna@example.it", Month::of(at).previous()), "{at}");
            }
        }
    }
}
