//! What gates without a network have done, sent in when there is one again, and the conflicts that came of it. A scan is known by its ticket, gate, time and
//! direction: to send it again does no harm, so no idempotency key is needed.

use std::collections::BTreeMap;
use std::rc::Rc;

use actix_web::{HttpMessage, HttpRequest, HttpResponse, get, post, web};
use futures_util::{StreamExt, stream};
use metrics::counter;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tornello_actors::digest::digest;
use tornello_actors::failure::Failure;
use tornello_actors::node::Node;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{Code, MuseumId, SlotId, TicketId};
use tornello_engine::offline::Noted;
use tornello_engine::slot::{Command, ConflictReason, Direction, Event, Judged, JudgedScan, Refusal, Scan, judged};
use tornello_engine::time::Timestamp;

use crate::auth::{Caller, Scope};
use crate::entrance::Shared;
use crate::problem::Problem;
use crate::request::{Turns, next_piece, random};
use crate::routes::readings::MuseumName;
use crate::routes::{files, museum_of};
use crate::server::BODY_MAX;
use crate::strict;
use crate::words::GateDirectionWord;

/// The most scans of one batch.
const LINES_MAX: usize = 10_000;
/// The largest batch, in bytes.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How many tickets of a batch are on their way to the disk at once.
const AT_ONCE: usize = 64;
/// How many batches that are larger than other requests are read and taken in at once: each is some megabytes, and what gates ask has no place of all that there are.
const LARGE_MAX: usize = 32;
/// How many of them of one key: whoever has it and sends slowly keeps no other gate's out.
const LARGE_OF_KEY_MAX: usize = 16;

/// The turns of large batches.
static LARGE: Turns = Turns::new(LARGE_MAX, LARGE_OF_KEY_MAX);

/// A scan: `code` as it was scanned, or `ticket` and the `issue` on its code (none if the id was typed).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScanForm {
    /// The gate's own number of the scan, given back with what became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<u64>,
    /// The text of the ticket's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    pub code: Option<String>,
    /// The ticket's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 26)]
    pub ticket: Option<TicketId>,
    /// The issue number that stood in the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<u16>,
    /// Which gate.
    #[schema(value_type = String, max_length = 23, examples("north"))]
    pub gate: Code,
    /// The museum where the gate stands: its slug or number.
    pub museum: MuseumName,
    /// When, by the gate's clock (RFC 3339): at most 60 seconds ahead of now, and 7 days ago.
    #[schema(format = DateTime, max_length = 40, examples("2027-01-16T09:30:00.123456Z"))]
    pub scanned_at: String,
    /// `in` or `out`.
    #[schema(value_type = GateDirectionWord)]
    pub direction: Direction,
    /// Only in a `scan` that an admission or an exit was answered with, and sent back as it came (RFC 3339): since then nobody else had asked with the ticket. If the
    /// ticket is written to have passed that way between then and `scanned_at`, that is this scan, and it is a `duplicate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime, max_length = 40)]
    pub asked_at: Option<String>,
}

impl ScanForm {
    /// What a gate has noted, as its `number`th scan if it numbers them.
    #[must_use]
    pub fn new(number: Option<u64>, museum: MuseumId, noted: &Noted) -> Self {
        let Noted { scan: Scan { ticket, scanned_at, gate, direction }, issue } = *noted;
        Self {
            scan: number,
            code: None,
            ticket: Some(ticket),
            issue,
            gate,
            museum: MuseumName::Number(museum.0),
            scanned_at: scanned_at.to_string(),
            direction,
            asked_at: None,
        }
    }

    /// That, since nobody else had asked with the ticket.
    #[must_use]
    pub fn asked_at(self, asked_at: Option<Timestamp>) -> Self {
        Self { asked_at: asked_at.map(|at| at.to_string()), ..self }
    }

    /// What a gate had noted; none if the scan names no ticket, or no instant.
    #[must_use]
    pub fn noted(&self) -> Option<Noted> {
        Some(Noted { scan: self.scan_of(self.ticket?).ok()?, issue: self.issue })
    }

    fn scan_of(&self, ticket: TicketId) -> Result<Scan, Problem> {
        let scanned_at: Timestamp = self.scanned_at.parse().map_err(|_| Problem::invalid("scanned_at: an RFC 3339 instant is expected"))?;
        Ok(Scan { ticket, scanned_at, gate: self.gate, direction: self.direction })
    }

    /// What to ask of the ticket's slot, and since when nobody else had asked with the ticket, if that is said.
    fn read(&self, node: &Node, caller: &Caller) -> Result<(Scan, Option<Timestamp>, Command), Problem> {
        let museum = museum_of(node, caller, Scope::Gate, &self.museum.text())?.museum.id();
        let (ticket, issue) = match (&self.code, self.ticket, self.issue) {
            (Some(code), None, None) => files(node)?.codes.verify(code.trim()).map(|payload| (payload.ticket, Some(payload.issue)))?,
            (None, Some(ticket), issue) => (ticket, issue),
            _ => return Err(Problem::invalid("give either the code, or the ticket and its issue")),
        };
        let scan = self.scan_of(ticket)?;
        let asked_at = self.asked_at.as_deref().map(str::parse::<Timestamp>).transpose();
        let asked_at = asked_at.map_err(|_| Problem::invalid("asked_at: an RFC 3339 instant is expected"))?;
        if asked_at.is_some_and(|asked_at| asked_at > scan.scanned_at) {
            return Err(Problem::invalid("asked_at: it was asked before it was told, at `scanned_at`"));
        }
        // Of a ticket of another museum is not told when it passed.
        let asked_at = asked_at.filter(|_| ticket.slot().museum() == museum);
        Ok((scan, asked_at, Command::Merge { scan, issue, museum }))
    }
}

/// What became of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is an admission or an exit, with the time of the scan.
    Merged,
    /// It was taken in before, with whatever came of it.
    Duplicate,
    /// Somebody was let in who should not have been, as far as is known now: it is kept as a conflict, `code` says why. What another gate sends in later may show that
    /// it is none.
    Conflict,
    /// Somebody left of whom nobody knows yet how they came in. It is kept, and counts as soon as a gate sends in the scan that says so.
    LeftUnseen,
    /// It cannot be taken in; `code` says why.
    Refused,
    /// Not now: send it again.
    Failed,
}

impl Outcome {
    /// What a scan that was taken in comes to, by what is known of its ticket.
    const fn of(judged: Option<Judged>) -> Self {
        match judged {
            Some(Judged::Conflict { .. } | Judged::PassedInConflict { .. }) => Self::Conflict,
            Some(Judged::LeftUnseen) => Self::LeftUnseen,
            Some(Judged::Passed) | None => Self::Merged,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::LeftUnseen => "left_unseen",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// A line of a batch, and what became of it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct MergedLine {
    /// Its number, from 1.
    #[schema(minimum = 1, maximum = 10_000)]
    line: u32,
    /// The gate's own number of the scan.
    #[serde(skip_serializing_if = "Option::is_none")]
    scan: Option<u64>,
    /// What became of it, by the whole of the batch.
    outcome: Outcome,
    /// Why it is a conflict, was refused or failed, as a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 32, examples("ticket_inside"))]
    code: Option<&'static str>,
    /// Why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 500)]
    detail: Option<String>,
}

impl MergedLine {
    /// What it comes to by a later one of its batch.
    fn comes_to(&mut self, judged: Judged) {
        self.outcome = Outcome::of(Some(judged));
        self.code = judged.conflict().map(ConflictReason::code);
    }

    /// Whether the scan is known since this batch, and was not before.
    const fn is_new(&self) -> bool {
        matches!(self.outcome, Outcome::Merged | Outcome::Conflict | Outcome::LeftUnseen)
    }
}

/// A scan that was sent in before, by this gate or another, and comes to something else since this batch.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RejudgedScan {
    /// On which ticket.
    #[schema(max_length = 26)]
    ticket: String,
    /// Through which gate.
    #[schema(value_type = String, max_length = 23)]
    gate: Code,
    /// When, by the gate's clock (RFC 3339, UTC).
    #[schema(format = DateTime)]
    scanned_at: String,
    /// `in` or `out`.
    #[schema(value_type = GateDirectionWord)]
    direction: Direction,
    /// What it was: `merged`, `conflict` or `left_unseen`.
    was: Outcome,
    /// What it is now, likewise.
    outcome: Outcome,
    /// Why it is a conflict, as a stable code; absent if it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 32, examples("ticket_inside"))]
    code: Option<&'static str>,
}

impl From<&JudgedScan> for RejudgedScan {
    fn from(JudgedScan { scan, before, judged }: &JudgedScan) -> Self {
        Self {
            ticket: scan.ticket.to_string(),
            gate: scan.gate,
            scanned_at: scan.scanned_at.to_string(),
            direction: scan.direction,
            was: Outcome::of(*before),
            outcome: Outcome::of(Some(*judged)),
            code: judged.conflict().map(ConflictReason::code),
        }
    }
}

/// What became of the scans of one ticket.
#[derive(Debug, Default)]
struct Became {
    lines: Vec<MergedLine>,
    /// On which of the lines those stand that nobody knew before.
    new: BTreeMap<Scan, usize>,
    /// What came to something else of those that were known.
    changed: Vec<JudgedScan>,
}

impl Became {
    /// Takes in what became of one scan of the batch, and what it changed. What it changed of the batch itself is told on that line, as nothing was told of it before.
    fn take(&mut self, scan: Scan, line: MergedLine, changed: Vec<JudgedScan>) {
        for found in changed {
            match self.new.get(&found.scan).and_then(|place| self.lines.get_mut(*place)) {
                Some(line) => line.comes_to(found.judged),
                None => self.changed.push(found),
            }
        }
        if line.is_new() {
            self.new.insert(scan, self.lines.len());
        }
        self.lines.push(line);
    }
}

/// The scans that come to something else since a batch, each once, by the whole of it.
#[derive(Debug, Default)]
struct Rejudged(BTreeMap<Scan, JudgedScan>);

impl Rejudged {
    /// Takes in what one scan of the batch has changed.
    fn take(&mut self, changed: impl IntoIterator<Item = JudgedScan>) {
        for found in changed {
            let known = self.0.entry(found.scan).and_modify(|known| known.judged = found.judged).or_insert(found);
            // What one scan has turned round, and the next one back, has not changed.
            if known.before == Some(known.judged) {
                self.0.remove(&found.scan);
            }
        }
    }

    /// How many have become conflicts, and how many are none any more.
    fn conflicts(&self) -> (u32, u32) {
        let is_conflict = |judged: Judged| judged.conflict().is_some();
        let count = |is_one: &dyn Fn(bool, bool) -> bool| {
            self.0.values().filter(|found| is_one(found.before.is_some_and(is_conflict), is_conflict(found.judged))).count() as u32
        };
        (count(&|was, is| is && !was), count(&|was, is| was && !is))
    }
}

/// What became of a batch of scans.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
pub struct MergedView {
    /// How many are admissions and exits now.
    merged: u32,
    /// How many had been taken in before.
    duplicates: u32,
    /// How many of these scans are conflicts.
    conflicts: u32,
    /// How many scans that were sent in before, by this gate or another, have become conflicts by this batch: whoever came by them later than somebody here was one too many.
    conflicts_elsewhere: u32,
    /// How many that were conflicts are none any more by this batch.
    withdrawn_elsewhere: u32,
    /// How many are exits of people of whom nobody knows yet how they came in.
    left_unseen: u32,
    /// How many were refused.
    refused: u32,
    /// How many have to be sent again.
    failed: u32,
    /// One for each scan, in the order of the batch.
    #[schema(max_items = 10_000)]
    items: Vec<MergedLine>,
    /// The scans that were sent in before and come to something else since this batch, by ticket and time, at most 10,000. It is told once: who sends the batch again is not
    /// told again, and `/v1/slots/{slot}/conflicts` has what stands.
    #[schema(max_items = 10_000)]
    changed: Vec<RejudgedScan>,
}

impl MergedView {
    fn of(mut items: Vec<MergedLine>, rejudged: &Rejudged) -> Self {
        items.sort_by_key(|item| item.line);
        let mut view = Self { changed: rejudged.0.values().take(LINES_MAX).map(RejudgedScan::from).collect(), ..Self::default() };
        (view.conflicts_elsewhere, view.withdrawn_elsewhere) = rejudged.conflicts();
        for item in &items {
            counter!("tornello_offline_scans_total", "outcome" => item.outcome.name()).increment(1);
            *match item.outcome {
                Outcome::Merged => &mut view.merged,
                Outcome::Duplicate => &mut view.duplicates,
                Outcome::Conflict => &mut view.conflicts,
                Outcome::LeftUnseen => &mut view.left_unseen,
                Outcome::Refused => &mut view.refused,
                Outcome::Failed => &mut view.failed,
            } += 1;
        }
        Self { items, ..view }
    }
}

/// A line's number, and what stands on it.
type Line = (u32, Result<ScanForm, Problem>);

/// A scan on its way to its slot.
struct Asked {
    line: u32,
    number: Option<u64>,
    scan: Scan,
    asked_at: Option<Timestamp>,
    command: Command,
}

/// Takes one scan in, and tells which others come to something else by it. Its key is of this request alone: the slot itself knows a scan that it has seen.
async fn take_one(node: &Node, caller: &Caller, nonce: [u64; 2], asked: Asked) -> (MergedLine, Vec<JudgedScan>) {
    let key = digest(&[b"scan", &nonce[0].to_be_bytes(), &nonce[1].to_be_bytes(), &asked.line.to_be_bytes()]);
    let envelope = Envelope { who: caller.id(), key, body: key, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() };
    let (outcome, problem) = match node.merge_kept(envelope, asked.scan, asked.asked_at, asked.command).await {
        Ok(record) => {
            let judged = judged(&record.events, &asked.scan);
            let code = judged.and_then(Judged::conflict).map(ConflictReason::code);
            let line = MergedLine { line: asked.line, scan: asked.number, outcome: Outcome::of(judged), code, detail: None };
            return (line, others(&record.events, &asked.scan));
        }
        Err(Failure::Refused(Refusal::ScanKnown)) => (Outcome::Duplicate, None),
        // Only when it is known where the ticket stands can be said what the scan was; and what is in the future will be over.
        Err(Failure::Refused(again @ (Refusal::TicketMoving | Refusal::ScanInFuture))) => (Outcome::Failed, Some(Problem::from(again))),
        Err(Failure::Refused(refusal)) => (Outcome::Refused, Some(Problem::from(refusal))),
        Err(Failure::UnknownSlot(_)) => (Outcome::Refused, Some(Problem::from(Refusal::UnknownTicket))),
        Err(failure) => (Outcome::Failed, Some(Problem::from(failure))),
    };
    (line(asked.line, asked.number, outcome, problem.as_ref()), Vec::new())
}

/// The scans that come to something else by one that came in.
fn others(events: &[Event], scan: &Scan) -> Vec<JudgedScan> {
    let judged = events.iter().filter_map(|event| if let Event::ScansJudged(judged) = event { Some(&judged.scans) } else { None });
    judged.flatten().filter(|found| found.scan != *scan && found.before.is_some()).copied().collect()
}

fn line(line: u32, scan: Option<u64>, outcome: Outcome, problem: Option<&Problem>) -> MergedLine {
    MergedLine { line, scan, outcome, code: problem.map(Problem::code), detail: problem.map(|problem| problem.title().to_owned()) }
}

/// Takes a batch in: tickets beside each other, the scans of one ticket in the order in which they happened.
async fn take(node: &Node, caller: &Caller, forms: Vec<Line>) -> MergedView {
    let mut lines = Vec::with_capacity(forms.len());
    let mut tickets: BTreeMap<TicketId, Vec<Asked>> = BTreeMap::new();
    for (number, form) in forms {
        let scan = form.as_ref().ok().and_then(|form| form.scan);
        match form.and_then(|form| form.read(node, caller)) {
            Ok((read, asked_at, command)) => {
                tickets.entry(read.ticket).or_default().push(Asked { line: number, number: scan, scan: read, asked_at, command });
            }
            Err(problem) => lines.push(line(number, scan, Outcome::Refused, Some(&problem))),
        }
    }
    let nonce = [random(), random()];
    let taken = tickets.into_values().map(|mut asked| async move {
        asked.sort_by_key(|asked| (asked.scan.scanned_at, asked.line));
        let mut became = Became::default();
        for asked in asked {
            let scan = asked.scan;
            let (line, changed) = take_one(node, caller, nonce, asked).await;
            became.take(scan, line, changed);
        }
        became
    });
    let (mut taken, mut rejudged) = (stream::iter(taken).buffer_unordered(AT_ONCE), Rejudged::default());
    while let Some(became) = taken.next().await {
        lines.extend(became.lines);
        rejudged.take(became.changed);
    }
    MergedView::of(lines, &rejudged)
}

/// The scans of a body: lines, or one JSON array.
fn read(body: &[u8], is_array: bool) -> Result<Vec<Line>, Problem> {
    // Counted before anything is made of them: a byte is enough for a line, and a line read takes hundreds.
    let counted = |count: usize| {
        let too_large =
            || Problem::too_large(BATCH_BYTES_MAX).with("limit_lines", LINES_MAX).detail("Nothing was taken in: send it in several batches.");
        if count > LINES_MAX { Err(too_large()) } else { Ok(()) }
    };
    let of_json = |form: Result<ScanForm, serde_json::Error>| form.map_err(|error| Problem::of_json(&error));
    if is_array {
        let malformed = |error: serde_json::Error| Problem::of_json(&error);
        counted(serde_json::from_slice::<Vec<IgnoredAny>>(body).map_err(malformed)?.len())?;
        let values: Vec<serde_json::Value> = serde_json::from_slice(body).map_err(malformed)?;
        return Ok((1..).zip(values).map(|(number, value)| (number, of_json(strict::from_value(value)))).collect());
    }
    let lines = || body.strip_suffix(b"\n").unwrap_or(body).split(|byte| *byte == b'\n');
    counted(lines().count())?;
    let written = (1..).zip(lines()).filter(|(_, line)| !line.trim_ascii().is_empty());
    // What leaves the breaks of a file out, as curl's -d does, sends all of its scans on one line.
    let of_line = |line: &[u8]| match strict::from_slice(line) {
        Err(error) if error.to_string().starts_with("trailing characters") => Err(Problem::malformed(
            "one scan on a line is expected: send the file with its line breaks, as curl does with --data-binary and not with -d",
        )),
        form => of_json(form),
    };
    Ok(written.map(|(number, line)| (number, of_line(line))).collect())
}

/// Send in what a gate without a network has done.
///
/// Up to 10,000 scans and 4 MiB, a JSON array or one on each line, as `tornello gate` writes them. A scan is known by ticket, gate, `scanned_at` and direction, so a batch may be sent again: no
/// `Idempotency-Key` is needed. Of batches beyond 64 KiB 32 are taken in at once, 16 of one key; one of which less than 64 KiB come in 15 seconds is given up (`malformed`).
///
/// Each scan is judged by its own time, and by the block, the review and the issue of the code that held then; the scans of a ticket in the order in which they happened. It is merged, or kept as a
/// conflict if somebody was let in who should not have been: that happened, and `/v1/slots/{slot}/conflicts` lists it.
///
/// The order in which several gates send does not matter, because with each scan that comes in all scans of its ticket are judged anew. What is a conflict now may be none when another gate has sent
/// its own. This batch too may make conflicts of what others have sent, or withdraw some: `changed` lists these, `conflicts_elsewhere` and `withdrawn_elsewhere` count them.
#[utoipa::path(
    tag = "Gates", operation_id = "send_scans", security(("key" = ["gate"])),
    request_body(description = "The scans", content(
        (Vec<ScanForm> = "application/json", example = json!([{"scan": 1, "ticket": "00040660e8j8e9zteyv8dmw000", "issue": 1, "gate": "north", "museum": "parco-colosseo", "scanned_at": "2027-01-16T09:30:00.123456Z", "direction": "in"}])),
        (String = "application/x-ndjson", example = json!("{\"scan\":1,\"ticket\":\"00040660e8j8e9zteyv8dmw000\",\"issue\":1,\"gate\":\"north\",\"museum\":1,\"scanned_at\":\"2027-01-16T09:30:00.123456Z\",\"direction\":\"in\"}\n")),
    )),
    responses((status = 200, description = "What became of each", body = MergedView), crate::openapi::Problems),
)]
#[post("/admissions/batch")]
pub async fn merge(
    node: web::Data<Node>,
    shared: web::ThinData<Rc<Shared>>,
    caller: Caller,
    request: HttpRequest,
    mut payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Gate)?;
    let is_array = request.content_type().eq_ignore_ascii_case("application/json");
    if !is_array && !request.content_type().eq_ignore_ascii_case("application/x-ndjson") {
        return Err(Problem::unsupported("send an array of scans as application/json, or lines of scans as application/x-ndjson"));
    }
    // The whole before the first: the scans of a ticket may stand in any order.
    let (mut body, mut turn) = (Vec::new(), None);
    while let Some(chunk) = next_piece(&mut payload, turn.as_mut(), shared.body_within()).await? {
        if body.len() + chunk.len() > BATCH_BYTES_MAX {
            return Err(Problem::too_large(BATCH_BYTES_MAX).detail("Nothing was taken in: send it in several batches."));
        }
        // What a gate sends of a few minutes without a network waits for nobody.
        if turn.is_none() && body.len() + chunk.len() > BODY_MAX {
            turn = Some(LARGE.take(caller.id())?);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(HttpResponse::Ok().json(take(&node, &caller, read(&body, is_array)?).await))
}

/// Somebody whom a gate without a network let in and should not have.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ConflictView {
    /// On which ticket.
    #[schema(max_length = 26)]
    ticket: String,
    /// Through which gate.
    #[schema(value_type = String, max_length = 23)]
    gate: Code,
    /// When, by the gate's clock (RFC 3339, UTC).
    #[schema(format = DateTime)]
    scanned_at: String,
    /// What speaks against it: what would have been said online.
    #[schema(max_length = 32, examples("ticket_inside"))]
    reason: &'static str,
}

/// The conflicts of a slot.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ConflictsView {
    /// The slot.
    #[schema(max_length = 13)]
    slot: String,
    /// The conflicts, in the order in which they happened.
    #[schema(max_items = 10_000)]
    items: Vec<ConflictView>,
}

/// List the conflicts of a slot.
///
/// Whom gates without a network let in and should not have: two people on one ticket, a ticket that was cancelled or blocked, an old code. Each is a signal of
/// fraud, or of a gate whose list or clock is wrong. A conflict that is none any more, because another gate has sent in what it saw, is not listed any more.
///
/// It is for desks and managers, who can look the sale up and set it right. Whoever supervises gates has a desk's key, which opens the gates as well. A gate's key stands in a device at the
/// door: the gate is told of its own scans, and of those that they change, when it sends them in. Planners see the number in `conflicts` of the slot; fraud
/// analysts have a case of each sale that two gates have met.
#[utoipa::path(
    tag = "Gates", operation_id = "list_conflicts", security(("key" = ["desk"])),
    params(("slot" = String, Path, description = "The slot")),
    responses((status = 200, description = "The conflicts", body = ConflictsView), crate::openapi::Problems),
)]
#[get("/slots/{slot}/conflicts")]
pub async fn conflicts(node: web::Data<Node>, caller: Caller, slot: web::Path<SlotId>) -> Result<HttpResponse, Problem> {
    let id = slot.into_inner();
    caller.may_at(Scope::Desk, id.museum())?;
    let mut found = node.look(id, |slot| slot.conflicts().map(|(scan, reason)| (*scan, reason)).collect::<Vec<_>>()).await?;
    found.sort_unstable_by_key(|(scan, _)| (scan.scanned_at, scan.ticket));
    let view = |(scan, reason): (Scan, ConflictReason)| ConflictView {
        ticket: scan.ticket.to_string(),
        gate: scan.gate,
        scanned_at: scan.scanned_at.to_string(),
        reason: reason.code(),
    };
    Ok(HttpResponse::Ok().json(ConflictsView { slot: id.to_string(), items: found.into_iter().map(view).collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_as_many_scans_as_the_contract_says_and_no_more() {
        let count = |body: String, is_array| read(body.as_bytes(), is_array).map(|lines| lines.len()).map_err(|problem| problem.code());
        for (scans, expected) in [(LINES_MAX, Ok(LINES_MAX)), (LINES_MAX + 1, Err("body_too_large"))] {
            let several = vec!["0"; scans];
            assert_eq!(count(several.join("\n"), false), expected);
            assert_eq!(count(several.join("\n") + "\n", false), expected, "a line may end the body");
            assert_eq!(count(format!("[{}]", several.join(",")), true), expected);
        }
    }

    #[test]
    fn a_file_without_its_line_breaks_is_told_what_it_lacks() {
        let scan =
            r#"{"ticket": "00040660e8j8e9zteyv8dmw000", "gate": "north", "museum": 1, "scanned_at": "2026-11-23T08:40:00Z", "direction": "in"}"#;
        let of = |body: String| read(body.as_bytes(), false).unwrap();
        let whole = of(format!("{scan}\n{scan}\n"));
        assert!(whole.len() == 2 && whole.iter().all(|(_, form)| form.is_ok()));
        let joined = of(format!("{scan}{scan}"));
        let [(1, Err(problem))] = &joined[..] else { panic!("one line, and no scan") };
        assert!(problem.code() == "malformed" && problem.title().contains("--data-binary"), "{}", problem.title());
    }
}
