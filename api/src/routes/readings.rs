//! What sensors say, one by one or many at once, and the people inside that follow from it. A reading is known by its sensor and its instant: to send it again
//! does no harm, so no idempotency key is needed.

use std::rc::Rc;

use actix_web::{HttpMessage, HttpRequest, HttpResponse, get, post, web};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tornello_actors::attended::balance_of;
use tornello_actors::node::Node;
use tornello_actors::sensors::{Inside, Measured, Occupancy, Reading, Rejected};
use tornello_engine::calendar;
use tornello_engine::ids::{Code, MuseumId};
use tornello_engine::museum::CEILING_MAX;
use tornello_engine::slot::Policy;
use tornello_engine::time::Timestamp;

use crate::auth::{Caller, Scope};
use crate::entrance::Shared;
use crate::problem::Problem;
use crate::request::{LARGE_BODY_MAX, Turn, Turns, next_piece};
use crate::routes::{known_by_name, museum_of};
use crate::server::BODY_MAX;
use crate::strict;

/// The most lines of a batch.
pub const LINES_MAX: usize = 10_000;
/// How many readings of a batch are on their way to the disk at once.
const AT_ONCE: usize = 64;
/// A batch with more rejected lines than this is large, however short they are: each is told in the answer, and kept until the last line has come.
const REJECTED_FEW: usize = 500;
/// The turns of batches that are larger than other requests: of these there may be as many as changes under way.
static LARGE: Turns = Turns::new(32, 16);

/// A museum by its slug or its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum MuseumName {
    /// Its number.
    Number(u16),
    /// Its slug, or its number in text.
    Slug(String),
}

impl MuseumName {
    /// As in an address.
    pub fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Slug(slug) => slug.clone(),
        }
    }

    /// The museum that is meant: one with a slug must be there, one with a number need not.
    pub fn id(&self, node: &Node) -> Option<MuseumId> {
        match self {
            Self::Number(number) => Some(MuseumId(*number)),
            Self::Slug(slug) => known_by_name(node, slug).map(|known| known.museum.id()),
        }
    }
}

/// People inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InsideForm {
    /// How many.
    #[schema(maximum = 1_000_000, examples(42))]
    pub people: u32,
    /// The standard deviation; absent: what is usual for a counter.
    #[serde(default)]
    #[schema(maximum = 1_000_000, examples(3))]
    pub sd: Option<u32>,
}

/// People who came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EntriesForm {
    /// How many since the sensor's last reading.
    #[schema(maximum = 1_000_000, examples(7))]
    pub people: u32,
}

/// People who came in and went out by one door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowForm {
    /// How many came in since the door's last reading.
    #[schema(maximum = 1_000_000, examples(7))]
    pub entered: u32,
    /// How many went out.
    #[schema(maximum = 1_000_000, examples(4))]
    pub left: u32,
}

/// People in one part of the building, as a camera sees it; all parts together are the building. One that is silent counts as it was last seen, for an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ZoneForm {
    /// How many.
    #[schema(maximum = 1_000_000, examples(18))]
    pub people: u32,
    /// The standard deviation.
    #[schema(maximum = 1_000_000, examples(2))]
    pub sd: u32,
}

/// Phones of one operator that a microcell sees; never which phones. The sensor is the cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CellForm {
    /// Whose phones.
    #[schema(value_type = String, max_length = 23, examples("operator-a"))]
    pub operator: Code,
    /// How many.
    #[schema(maximum = 1_000_000, examples(310))]
    pub devices: u32,
    /// The operator's share of the market there, in thousandths.
    #[schema(minimum = 1, maximum = 1_000, examples(280))]
    pub share_permille: u16,
    /// The standard deviation of that share, in thousandths.
    #[schema(maximum = 1_000, examples(15))]
    pub share_sd_permille: u16,
}

/// What a sensor says: one of `inside`, `entries`, `flow`, `zone` and `cell`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadingForm {
    /// Of which museum.
    pub museum: MuseumName,
    /// Which sensor.
    #[schema(value_type = String, max_length = 23, examples("door-1"))]
    pub sensor: Code,
    /// When it was measured (RFC 3339); for a count of entries, the end of its interval.
    #[schema(format = DateTime, max_length = 40, examples("2027-01-16T09:30:00Z"))]
    pub at: String,
    /// People inside.
    #[serde(default)]
    pub inside: Option<InsideForm>,
    /// People who came in since the sensor's last reading.
    #[serde(default)]
    pub entries: Option<EntriesForm>,
    /// People who came in and went out by one door since its last reading.
    #[serde(default)]
    pub flow: Option<FlowForm>,
    /// People in one part of the building.
    #[serde(default)]
    pub zone: Option<ZoneForm>,
    /// Phones that a microcell sees around the museum.
    #[serde(default)]
    pub cell: Option<CellForm>,
}

/// What a reading says, of which exactly one must be given.
#[derive(Debug, Clone, Copy, Default)]
pub struct Said<'a> {
    /// People inside.
    pub inside: Option<&'a InsideForm>,
    /// People in.
    pub entries: Option<&'a EntriesForm>,
    /// People in and out.
    pub flow: Option<&'a FlowForm>,
    /// People in one part.
    pub zone: Option<&'a ZoneForm>,
    /// Phones around.
    pub cell: Option<&'a CellForm>,
}

impl Said<'_> {
    fn measured(self) -> Result<Measured, Problem> {
        let measured = [
            self.inside.map(|inside| Measured::Inside { people: inside.people, sd: inside.sd }),
            self.entries.map(|entries| Measured::Entries { people: entries.people }),
            self.flow.map(|flow| Measured::Flow { entered: flow.entered, left: flow.left }),
            self.zone.map(|zone| Measured::Zone { people: zone.people, sd: zone.sd }),
            self.cell.map(|cell| Measured::Cell {
                operator: cell.operator,
                devices: cell.devices,
                share_permille: cell.share_permille,
                share_sd_permille: cell.share_sd_permille,
            }),
        ];
        let mut given = measured.into_iter().flatten();
        let (Some(measured), None) = (given.next(), given.next()) else {
            return Err(Problem::invalid("give one of inside, entries, flow, zone and cell"));
        };
        let sound = match measured {
            Measured::Inside { people, sd } => people <= CEILING_MAX && sd.is_none_or(|sd| sd <= CEILING_MAX),
            Measured::Entries { people } => people <= CEILING_MAX,
            Measured::Flow { entered, left } => entered <= CEILING_MAX && left <= CEILING_MAX,
            Measured::Zone { people, sd } => people <= CEILING_MAX && sd <= CEILING_MAX,
            Measured::Cell { devices, share_permille, share_sd_permille, .. } => {
                devices <= CEILING_MAX && (1..=1_000).contains(&share_permille) && share_sd_permille <= 1_000
            }
        };
        if sound { Ok(measured) } else { Err(Problem::invalid("at most 1000000 people, and shares of 1 to 1000 thousandths, are expected")) }
    }
}

/// People inside a museum.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct OccupancyView {
    /// The museum's number.
    museum: u16,
    /// The estimate.
    inside: u32,
    /// Its standard deviation.
    sd: u32,
    /// The upper bound that limits sales: two standard deviations above.
    upper: u32,
    /// People inside now: the estimate, and who has come in less who has left by the gates of all slots since it was measured.
    inside_now: u32,
    /// The same of the upper bound: where it has reached the ceiling, gates say `wait`.
    upper_now: u32,
    /// How far to trust it: `good`; `uncalibrated`, as too few days are known; `dead_entries` or `dead_exits`, as counters say nothing and gates or the usual stay
    /// stand in; `silent`, as nothing was counted lately, or a zone has said nothing.
    #[schema(max_length = 16)]
    quality: &'static str,
    /// When it was measured (RFC 3339, UTC).
    #[schema(format = DateTime)]
    at: String,
    /// By which sensor.
    #[schema(value_type = String, max_length = 23)]
    sensor: Code,
    /// How long ago, in whole seconds.
    age_s: i64,
    /// Whether it is too old to limit sales.
    stale: bool,
    /// The most people inside at once today; absent: no ceiling.
    #[serde(skip_serializing_if = "Option::is_none")]
    ceiling: Option<u32>,
    /// Today so far, every five minutes; only where it is read by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 600)]
    today: Vec<MomentView>,
    /// What the doors' last days taught; only where it is read by itself, and doors count people in and out.
    #[serde(skip_serializing_if = "Option::is_none")]
    calibration: Option<CalibrationView>,
}

/// People inside at one moment.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct MomentView {
    /// When (RFC 3339, UTC).
    #[schema(format = DateTime)]
    at: String,
    /// The estimate.
    inside: u32,
    /// Its standard deviation.
    sd: u32,
}

/// What the doors' last days taught.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct CalibrationView {
    /// How many of the last days were sound.
    sound_days: u32,
    /// Entries counted for each exit counted.
    exit_ratio: f64,
    /// How long people stay on average, in minutes.
    mean_stay_minutes: f64,
}

impl OccupancyView {
    /// An estimate as of now.
    #[must_use]
    pub fn new(node: &Node, occupancy: &Occupancy) -> Self {
        let (now, inside) = (node.now(), occupancy.inside);
        let today = calendar::local_day(now);
        let known = node.museums().get(occupancy.museum);
        let age_s = now.micros_since(occupancy.at).max(0) / 1_000_000;
        let upper = inside.people.saturating_add(inside.sd.saturating_mul(2));
        let since = node.passed_since(occupancy);
        let with_since = |people: u32| u32::try_from((i64::from(people) + since).max(0)).unwrap_or(u32::MAX);
        let patience = known.as_ref().and_then(|known| known.museum.plan_on(today)?.1.routes.iter().map(|route| route.policy.stale_after_s).min());
        Self {
            museum: occupancy.museum.0,
            inside: inside.people,
            sd: inside.sd,
            upper,
            inside_now: with_since(inside.people),
            upper_now: with_since(upper),
            quality: occupancy.quality.code(),
            at: occupancy.at.to_string(),
            sensor: occupancy.sensor,
            age_s,
            stale: age_s >= i64::from(patience.unwrap_or(Policy::default().stale_after_s)),
            ceiling: known.and_then(|known| known.museum.ceiling_on(today)),
            today: Vec::new(),
            calibration: None,
        }
    }

    /// With the day so far and what the doors taught.
    fn with_today(mut self, node: &Node, museum: MuseumId) -> Self {
        let moment = |(at, inside): (Timestamp, Inside)| MomentView { at: at.to_string(), inside: inside.people, sd: inside.sd };
        self.today = node.sensors().curve(museum, node.now()).into_iter().map(moment).collect();
        let balance = balance_of(&node.attended().get(museum));
        let round = |value: f64| (value * 1_000.0).round() / 1_000.0;
        self.calibration = balance.is_calibrated().then(|| CalibrationView {
            sound_days: balance.days() as u32,
            exit_ratio: round(balance.exit_ratio()),
            mean_stay_minutes: round(balance.stay().mean_min()),
        });
        self
    }
}

/// A line that was not taken.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RejectedLine {
    /// Its number, from 1.
    #[schema(minimum = 1, maximum = 10_000)]
    line: u32,
    /// Why, as a stable code.
    #[schema(max_length = 32, examples("reading_stale"))]
    code: &'static str,
    /// Why, for people.
    #[schema(max_length = 500)]
    detail: String,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
pub struct BatchView {
    /// How many readings were taken.
    accepted: u32,
    /// Those that were not.
    #[schema(max_items = 10_000)]
    rejected: Vec<RejectedLine>,
}

/// What a reading is answered with: the estimate, or what became of the lines.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum TakenView {
    /// Of one reading.
    One(OccupancyView),
    /// Of a batch.
    Batch(BatchView),
}

fn read(node: &Node, caller: &Caller, form: &ReadingForm) -> Result<Reading, Problem> {
    let museum = museum_of(node, caller, Scope::Sense, &form.museum.text())?.museum.id();
    let (inside, entries, flow) = (form.inside.as_ref(), form.entries.as_ref(), form.flow.as_ref());
    reading(museum, form.sensor, &form.at, Said { inside, entries, flow, zone: form.zone.as_ref(), cell: form.cell.as_ref() })
}

/// A reading as it was written.
pub fn reading(museum: MuseumId, sensor: Code, at: &str, said: Said<'_>) -> Result<Reading, Problem> {
    let at: Timestamp = at.parse().map_err(|_| Problem::invalid("at: an RFC 3339 instant is expected"))?;
    Ok(Reading { museum, sensor, at, measured: said.measured()? })
}

/// Takes one reading in; none: it says nothing of the building. The very last one sent again is known already, and answered as it was.
async fn take_one(node: &Node, caller: &Caller, form: &ReadingForm) -> Result<Option<Occupancy>, Problem> {
    let reading = read(node, caller, form)?;
    match node.read(reading, caller.id()).await {
        Ok(occupancy) => Ok(occupancy),
        Err(Rejected::OutOfOrder) => {
            let last = node.sensors().occupancy(reading.museum);
            last.filter(|last| (last.sensor, last.at) == (reading.sensor, reading.at)).map(Some).ok_or_else(|| Rejected::OutOfOrder.into())
        }
        Err(rejected) => Err(rejected.into()),
    }
}

/// The lines of a batch as they come in.
struct Batch<'a> {
    node: &'a Node,
    caller: &'a Caller,
    rest: Vec<u8>,
    bytes: usize,
    lines: u32,
    became: BatchView,
    /// If it is large.
    turn: Option<Turn>,
}

impl<'a> Batch<'a> {
    fn new(node: &'a Node, caller: &'a Caller) -> Self {
        Self { node, caller, rest: Vec::new(), bytes: 0, lines: 0, became: BatchView::default(), turn: None }
    }

    /// What is large by now takes a turn. Who has none left sends all of it again: what was taken is known then.
    fn take_turn(&mut self) -> Result<(), Problem> {
        if self.turn.is_none() && (self.bytes > BODY_MAX || self.became.rejected.len() > REJECTED_FEW) {
            self.turn = Some(LARGE.take(self.caller.id())?);
        }
        Ok(())
    }

    async fn take(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        self.bytes += chunk.len();
        if self.bytes > LARGE_BODY_MAX {
            return Err(self.cut_off(Problem::too_large(LARGE_BODY_MAX)));
        }
        self.take_turn()?;
        if let Some(lines) = whole_lines(&mut self.rest, chunk) {
            self.take_lines(&lines).await?;
        }
        self.take_turn()
    }

    async fn take_lines(&mut self, lines: &[u8]) -> Result<(), Problem> {
        let (node, caller) = (self.node, self.caller);
        let room = LINES_MAX.saturating_sub(self.lines as usize);
        let lines: Vec<&[u8]> = lines.strip_suffix(b"\n").unwrap_or(lines).split(|byte| *byte == b'\n').collect();
        let numbered = (self.lines + 1..).zip(lines.iter().take(room).copied());
        let written = numbered.filter(|(_, line)| !line.trim_ascii().is_empty());
        let taken = written.map(|(number, line)| async move {
            let form = strict::from_slice::<ReadingForm>(line).map_err(|error| Problem::of_json(&error));
            (number, async { take_one(node, caller, &form?).await }.await)
        });
        // In order: of one sensor's readings a later one makes an earlier one worthless.
        let mut taken = stream::iter(taken).buffered(AT_ONCE);
        while let Some((line, taken)) = taken.next().await {
            match taken {
                Ok(_) => self.became.accepted += 1,
                Err(problem) => self.became.rejected.push(RejectedLine { line, code: problem.code(), detail: problem.title().to_owned() }),
            }
        }
        drop(taken);
        self.lines += u32::try_from(lines.len().min(room)).unwrap_or(u32::MAX);
        if lines.len() > room { Err(self.cut_off(Problem::too_large(LARGE_BODY_MAX).with("limit_lines", LINES_MAX))) } else { Ok(()) }
    }

    /// What was taken before the limit stays taken; the caller is told how much that is.
    fn cut_off(&self, problem: Problem) -> Problem {
        let problem = problem.detail("The lines up to `lines` were taken or rejected as in a smaller batch: send those after it in another one.");
        problem.with("lines", self.lines).with("accepted", self.became.accepted).with("rejected", &self.became.rejected)
    }
}

/// The lines that are whole with one more piece of a body, if any are; `rest` is what was begun of the next one. Each piece is looked through once: a megabyte without an end of
/// line that comes byte by byte, and is looked through from its begin each time, would keep a thread, and all who are answered there, for minutes.
fn whole_lines(rest: &mut Vec<u8>, piece: &[u8]) -> Option<Vec<u8>> {
    let Some(end) = piece.iter().rposition(|byte| *byte == b'\n') else {
        rest.extend_from_slice(piece);
        return None;
    };
    let (ended, begun) = piece.split_at(end + 1);
    let mut lines = std::mem::replace(rest, begun.to_vec());
    lines.extend_from_slice(ended);
    Some(lines)
}

/// Send readings.
///
/// One as `application/json`, answered with the new estimate; or up to 10,000 lines and 1 MiB as `application/x-ndjson`, each judged on its own, answered with
/// how many were accepted and which were not. Accepted readings stay accepted. Sensor and `at` identify a reading: no `Idempotency-Key` is needed. Of batches beyond 64 KiB, or with more than 500
/// lines that are rejected, 32 are taken in at once, 16 of one key; one of which less than 64 KiB come in 15 seconds is given up (`malformed`).
#[utoipa::path(
    tag = "Readings", operation_id = "send_readings", security(("key" = ["sense"])),
    request_body(description = "One reading, or one on each line", content(
        (ReadingForm = "application/json", example = json!({"museum": "parco-colosseo", "sensor": "door-1", "at": "2027-01-16T09:30:00Z", "inside": {"people": 42, "sd": 3}})),
        (String = "application/x-ndjson", example = json!("{\"museum\":\"parco-colosseo\",\"sensor\":\"door-1\",\"at\":\"2027-01-16T09:30:00Z\",\"entries\":{\"people\":7}}\n")),
    )),
    responses((status = 200, description = "What became of it", body = TakenView), crate::openapi::Problems, crate::openapi::Against),
)]
#[post("/readings")]
pub async fn send(
    node: web::Data<Node>,
    shared: web::ThinData<Rc<Shared>>,
    caller: Caller,
    request: HttpRequest,
    mut payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Sense)?;
    let one = request.content_type().eq_ignore_ascii_case("application/json");
    if !one && !request.content_type().eq_ignore_ascii_case("application/x-ndjson") {
        return Err(Problem::unsupported("send one reading as application/json, or lines of readings as application/x-ndjson"));
    }
    let mut batch = Batch::new(&node, &caller);
    let mut single = Vec::new();
    while let Some(chunk) = next_piece(&mut payload, batch.turn.as_mut(), shared.body_within()).await? {
        if !one {
            batch.take(&chunk).await?;
        } else if single.len() + chunk.len() > BODY_MAX {
            return Err(Problem::too_large(BODY_MAX));
        } else {
            single.extend_from_slice(&chunk);
        }
    }
    if one {
        let form = strict::from_slice(&single).map_err(|error| Problem::of_json(&error))?;
        let taken = match take_one(&node, &caller, &form).await? {
            Some(occupancy) => TakenView::One(OccupancyView::new(&node, &occupancy)),
            None => TakenView::Batch(BatchView { accepted: 1, rejected: Vec::new() }),
        };
        return Ok(HttpResponse::Ok().json(taken));
    }
    let last = std::mem::take(&mut batch.rest);
    if !last.is_empty() {
        batch.take_lines(&last).await?;
    }
    Ok(HttpResponse::Ok().json(TakenView::Batch(batch.became)))
}

/// Read how many people are inside.
///
/// The last estimate of a museum, with its age, how far to trust it, what gates have made of it since, and the day so far; none before the first reading.
#[utoipa::path(
    tag = "Readings", operation_id = "get_occupancy", security(("key" = ["read"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo")),
    responses((status = 200, description = "The estimate", body = OccupancyView), crate::openapi::Problems),
)]
#[get("/museums/{museum}/occupancy")]
pub async fn get_occupancy(node: web::Data<Node>, caller: Caller, museum: web::Path<String>) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Read, &museum)?;
    let found = estimate(&node, known.museum.id()).map(|view| view.with_today(&node, known.museum.id()));
    Ok(HttpResponse::Ok().json(found.ok_or_else(|| Problem::not_found().detail("No sensor of this museum has said anything yet."))?))
}

/// The last estimate of a museum.
#[must_use]
pub fn estimate(node: &Node, museum: MuseumId) -> Option<OccupancyView> {
    node.sensors().occupancy(museum).map(|occupancy| OccupancyView::new(node, &occupancy))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tornello_actors::clock::ManualClock;
    use tornello_actors::journal::writer::Limits;
    use tornello_actors::keys::Role;

    use super::*;

    #[actix_rt::test]
    async fn a_batch_that_is_large_or_hardly_good_for_anything_waits_for_its_turn() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let running = Node::start_in_memory(Arc::new(ManualClock::new(now)), Limits::default()).await.unwrap();
        let caller = Caller::sample(Role::Sensor);
        let turns: Vec<Turn> = (0..16).map(|_| LARGE.take(caller.id()).unwrap()).collect();
        let told = |taken: Result<(), Problem>| taken.err().map(|problem| problem.code());
        let mut long = Batch::new(running.node(), &caller);
        assert_eq!(told(long.take(&[b' '; BODY_MAX]).await), None);
        assert_eq!(told(long.take(b" ").await), Some("too_many_requests"));
        for (lines, expected) in [(REJECTED_FEW, None), (REJECTED_FEW + 1, Some("too_many_requests"))] {
            let mut bad = Batch::new(running.node(), &caller);
            assert_eq!(told(bad.take("no\n".repeat(lines).as_bytes()).await), expected, "{lines} lines");
        }
        drop(turns);
        assert_eq!(told(long.take(b" ").await), None, "its turn has come");
        drop(long);
        running.stop().await;
    }

    #[test]
    fn lines_are_whole_in_whatever_pieces_they_come_and_however_many() {
        let text = b"one\ntwo\n\nthree";
        for length in 1..=text.len() {
            let (mut rest, mut lines) = (Vec::new(), Vec::new());
            for piece in text.chunks(length) {
                lines.extend(whole_lines(&mut rest, piece).into_iter().flatten());
            }
            assert_eq!((lines.as_slice(), rest.as_slice()), (&b"one\ntwo\n\n"[..], &b"three"[..]), "{length}");
        }
        // Looked through from its begin with each byte, this would not end within an hour.
        let (long, mut rest) = (vec![b' '; LARGE_BODY_MAX], Vec::new());
        assert!(long.chunks(1).all(|byte| whole_lines(&mut rest, byte).is_none()));
        assert_eq!(rest, long);
    }
}
