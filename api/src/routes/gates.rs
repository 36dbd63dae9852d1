//! Gates: a ticket's holder goes in or out. The signature of a code is verified here, everything else is the slot's to decide. A refusal is a problem that carries
//! the verdict, `refused` or `wait`. What is said while the journal does not write is a 202 with the scan for the gate to keep.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use serde::{Deserialize, Serialize};
use tornello_actors::failure::Failure;
use tornello_actors::node::{Node, Passage};
use tornello_engine::ids::{Code, MuseumId, TicketId};
use tornello_engine::offline::Noted;
use tornello_engine::record::Record;
use tornello_engine::slot::{Admitted, ConflictReason, Direction, Event, Exited, Judged, JudgedScan, Refusal, ScansJudged, Slot, line_of};
use tornello_engine::ticket::CodeError;
use tornello_engine::time::Timestamp;

use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, envelope};
use crate::routes::people;
use crate::routes::readings::MuseumName;
use crate::routes::scans::ScanForm;
use crate::routes::tickets::category_name;
use crate::routes::{files, museum_of, not_rebuilt};

/// The issue of a code as it is sold, without a name.
const UNNAMED_ISSUE: u16 = 1;
/// How long a gate waits for the name on a ticket, once it is let in. Usually that is read in a few milliseconds; while a backup reads the contacts, and somebody wants to write
/// them, it may take seconds.
const NAME_WITHIN: Duration = Duration::from_millis(500);

/// A ticket at a gate: its `code`, as it was scanned, or its id in `ticket`, as it was typed; one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GateForm {
    /// The text of the ticket's code.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub code: Option<String>,
    /// The ticket's id.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 26)]
    pub ticket: Option<TicketId>,
    /// Which gate.
    #[schema(value_type = String, max_length = 23, examples("north"))]
    pub gate: Code,
    /// The museum where the gate stands: its slug or number.
    pub museum: MuseumName,
}

impl GateForm {
    /// The ticket that was shown, with the issue number of a code. A code that nobody here has signed is counted.
    fn shown(&self, node: &Node, museum: MuseumId) -> Result<(TicketId, Option<u16>), Problem> {
        match (&self.code, self.ticket) {
            (Some(code), None) => match files(node)?.codes.verify(code.trim()) {
                Ok(payload) => Ok((payload.ticket, Some(payload.issue))),
                Err(error) => {
                    if matches!(error, CodeError::UnknownKey { .. } | CodeError::BadSignature) {
                        node.count_forged(museum, self.gate);
                    }
                    Err(Problem::from(error).with("verdict", "refused"))
                }
            },
            (None, Some(ticket)) => Ok((ticket, None)),
            _ => Err(Problem::invalid("give either the code or the ticket")),
        }
    }

    /// What the slot is asked.
    fn passage(&self, node: &Node, museum: MuseumId, direction: Direction) -> Result<Passage, Problem> {
        let (ticket, issue) = self.shown(node, museum)?;
        Ok(Passage { ticket, issue, gate: self.gate, museum, direction })
    }
}

/// A failure as the gate sees it: with a verdict, if there is one.
fn verdict(failure: Failure<Refusal>) -> Problem {
    match failure {
        Failure::Refused(refusal @ Refusal::Wait { .. }) => Problem::from(refusal).with("verdict", "wait"),
        Failure::Refused(refusal) => Problem::from(refusal).with("verdict", "refused"),
        Failure::UnknownSlot(_) => Problem::from(Refusal::UnknownTicket).with("verdict", "refused"),
        other => other.into(),
    }
}

/// When a passage was decided, and how its answer ends: with the scan to keep if it was said before it was written.
struct Said {
    status: StatusCode,
    at: String,
    recorded: bool,
    scan: Option<ScanForm>,
}

impl Said {
    fn new(node: &Node, record: &Record<Event>, passage: &Passage, scanned_at: Option<Timestamp>) -> Self {
        let Some(at) = scanned_at else { return Self { status: StatusCode::OK, at: record.at.to_string(), recorded: true, scan: None } };
        let noted = Noted { scan: passage.scan(at), issue: passage.issue };
        let scan = ScanForm::new(None, passage.museum, &noted).asked_at(node.asked_at(&noted.scan));
        Self { status: StatusCode::ACCEPTED, at: at.to_string(), recorded: false, scan: Some(scan) }
    }
}

/// What was told before it was written, and came in beside other scans of its ticket that it does not simply follow; with the ticket's entries by all of them.
fn judged_late(record: &Record<Event>, passage: &Passage) -> Option<(JudgedScan, u8)> {
    record.events.iter().find_map(|event| {
        let Event::ScansJudged(ScansJudged { scans, state, .. }) = event else { return None };
        let is_this = |found: &&JudgedScan| found.before.is_none() && found.scan == passage.scan(found.scan.scanned_at);
        scans.iter().find(is_this).map(|found| (*found, state.entries()))
    })
}

/// The admission that a record is, if it stands among the other scans of its ticket.
async fn admitted_late(node: &Node, record: &Record<Event>, passage: &Passage) -> Result<Admitted, Problem> {
    let found = judged_late(record, passage);
    let Some((JudgedScan { scan, judged: Judged::Passed, .. }, entry)) = found else {
        return Err(undone(record, found.and_then(|(found, _)| found.judged.conflict())));
    };
    let ticket = passage.ticket;
    let of_ticket = move |slot: &Slot| {
        let (sale, _) = slot.ticket_of(ticket)?;
        line_of(&sale.lines, ticket.number()).map(|line| (line.category, line.proof))
    };
    let (category, proof) = node.look(ticket.slot(), of_ticket).await?.ok_or_else(not_rebuilt)?;
    Ok(Admitted { ticket, gate: passage.gate, entry, category, proof, scanned_at: Some(scan.scanned_at) })
}

/// A record without a passage. One that was told before it was written may have turned out to be wrong: who repeats the request hears that.
fn undone(record: &Record<Event>, late: Option<ConflictReason>) -> Problem {
    let conflict = record.events.iter().find_map(|event| if let Event::AdmissionConflict(conflict) = event { Some(conflict.reason) } else { None });
    let Some(reason) = conflict.or(late) else { return not_rebuilt() };
    Problem::new(StatusCode::CONFLICT, reason.code(), "somebody was let in before it could be written down, and should not have been")
        .detail("`/v1/slots/{slot}/conflicts` lists it.")
        .with("verdict", "refused")
}

/// Somebody may go in.
#[derive(Clone, Serialize, utoipa::ToSchema)]
pub struct AdmissionView {
    /// `admitted`.
    verdict: &'static str,
    /// On which ticket.
    ticket: String,
    /// Its category.
    #[schema(value_type = String)]
    category: Code,
    /// The category, in Italian.
    category_it: String,
    /// The category, in English.
    category_en: String,
    /// The how-manieth time, from 1.
    entry: u8,
    /// What the gate must look at, in Italian; empty if nothing.
    proof_it: &'static str,
    /// What the gate must look at, in English; empty if nothing.
    proof_en: &'static str,
    /// The name on the ticket, if one stands there: the gate compares it with a document of whoever comes, or of whom they come with. Not told while the journal does not
    /// write, nor where it cannot be read at once: the printed ticket shows it as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    /// Through which gate.
    #[schema(value_type = String)]
    gate: Code,
    /// When (RFC 3339, UTC).
    at: String,
    /// Whether it was written down before it was said.
    recorded: bool,
    /// If not: the scan to keep and to send to `/v1/admissions/batch`, as it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    scan: Option<ScanForm>,
}

/// The name on a ticket that was let in, if one stands there. What cannot be read now keeps nobody out, and nobody waiting: the printed ticket shows it as well.
async fn name_on(node: &Node, ticket: TicketId) -> Option<String> {
    let holder = move |slot: &Slot| slot.sale_of(ticket.sale()).and_then(|sale| sale.holders.get(&ticket.number()).copied());
    let name = async {
        match node.look(ticket.slot(), holder).await {
            Ok(Some(person)) => people::name_of(node, person).await.ok().flatten(),
            Ok(None) | Err(_) => None,
        }
    };
    if_soon(NAME_WITHIN, name).await
}

/// What comes within so long; none if that is nothing.
async fn if_soon<T>(within: Duration, coming: impl Future<Output = Option<T>>) -> Option<T> {
    tokio::time::timeout(within, coming).await.ok().flatten()
}

/// Somebody has left.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ExitView {
    /// `left`.
    verdict: &'static str,
    /// On which ticket.
    ticket: String,
    /// Through which gate.
    #[schema(value_type = String)]
    gate: Code,
    /// When (RFC 3339, UTC).
    at: String,
    /// Whether it was written down before it was said.
    recorded: bool,
    /// If not: the scan to keep and to send to `/v1/admissions/batch`, as it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    scan: Option<ScanForm>,
}

/// Let somebody in.
///
/// Once only, unless the museum lets people come back. Where `holder` names somebody the gate compares that with a document. A refusal has a `code` that says why and a `verdict`: `refused`, or `wait` if the building is full and the
/// ticket stays good: by the last reading, and all who have passed the gates of any slot since. A refusal that hints at a copied ticket is noted afterwards, as a sign against its sale.
///
/// While the journal does not write, as on a full disk, the verdict is the same and its status 202, with `recorded` false: it knows all that is written and all that
/// gates were told since, and is written as soon as that is possible. If the server stops before, it is lost: so keep `scan`, and send it to `/v1/admissions/batch`
/// until that has taken it. A scan that is known does no harm. When as many scans wait as can be kept, the answer is 503.
#[utoipa::path(
    tag = "Gates", operation_id = "admit", security(("key" = ["gate"])), request_body(content = GateForm, example = json!({"ticket": "00040660e8j8e9zteyv8dmw000", "gate": "north", "museum": "parco-colosseo"})),
    params(("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses(
        (status = 200, description = "Let them in", body = AdmissionView),
        (status = 202, description = "Let them in; it is not written down yet: keep `scan`, and send it in", body = AdmissionView),
        crate::openapi::Problems,
    ),
)]
#[post("/admissions")]
pub async fn admit(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, form: Json<GateForm>) -> Result<HttpResponse, Problem> {
    let museum = museum_of(&node, &caller, Scope::Gate, &form.museum.text())?;
    let passage = form.passage(&node, museum.museum.id(), Direction::In)?;
    let envelope = envelope(&node, &caller, &key, &["admit"], &*form, &[], None)?;
    let record = node.pass(envelope, passage).await.map_err(verdict)?;
    let admitted = record.events.iter().find_map(|event| if let Event::Admitted(admitted) = event { Some(admitted) } else { None });
    let admitted = match admitted {
        Some(admitted) => admitted.clone(),
        None => admitted_late(&node, &record, &passage).await?,
    };
    let name = category_name(&museum, passage.ticket.slot(), admitted.category);
    let Said { status, at, recorded, scan } = Said::new(&node, &record, &passage, admitted.scanned_at);
    // A name comes with another issue of the code, so nobody else waits for the slot a second time; and nobody at all while the journal does not write. Tickets
    // that moved here before names went along with them have codes of the first: of these the printed one alone shows it.
    let holder = if recorded && passage.issue != Some(UNNAMED_ISSUE) { name_on(&node, admitted.ticket).await } else { None };
    Ok(HttpResponse::build(status).json(AdmissionView {
        verdict: "admitted",
        ticket: admitted.ticket.to_string(),
        category: admitted.category,
        category_it: name.it,
        category_en: name.en,
        entry: admitted.entry,
        proof_it: admitted.proof.show_it(),
        proof_en: admitted.proof.show_en(),
        holder,
        gate: admitted.gate,
        at,
        recorded,
        scan,
    }))
}

/// Note that somebody left.
///
/// While the journal does not write it is noted as an admission is: 202, with the scan to keep.
#[utoipa::path(
    tag = "Gates", operation_id = "exit", security(("key" = ["gate"])), request_body(content = GateForm, example = json!({"ticket": "00040660e8j8e9zteyv8dmw000", "gate": "north", "museum": "parco-colosseo"})),
    params(("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses(
        (status = 200, description = "They have left", body = ExitView),
        (status = 202, description = "They have left; it is not written down yet: keep `scan`, and send it in", body = ExitView),
        crate::openapi::Problems,
    ),
)]
#[post("/exits")]
pub async fn exit(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, form: Json<GateForm>) -> Result<HttpResponse, Problem> {
    let museum = museum_of(&node, &caller, Scope::Gate, &form.museum.text())?.museum.id();
    let passage = form.passage(&node, museum, Direction::Out)?;
    let envelope = envelope(&node, &caller, &key, &["exit"], &*form, &[], None)?;
    let record = node.pass(envelope, passage).await.map_err(verdict)?;
    let exited = record.events.iter().find_map(|event| if let Event::Exited(exited) = event { Some(exited) } else { None });
    let late = || {
        judged_late(&record, &passage).map(|(found, _)| Exited {
            ticket: passage.ticket,
            gate: passage.gate,
            scanned_at: Some(found.scan.scanned_at),
        })
    };
    let exited = exited.cloned().or_else(late).ok_or_else(not_rebuilt)?;
    let Said { status, at, recorded, scan } = Said::new(&node, &record, &passage, exited.scanned_at);
    Ok(HttpResponse::build(status).json(ExitView { verdict: "left", ticket: exited.ticket.to_string(), gate: exited.gate, at, recorded, scan }))
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_name_that_does_not_come_keeps_nobody_at_the_gate() {
        assert_eq!(if_soon(Duration::ZERO, pending::<Option<&str>>()).await, None);
        assert_eq!(if_soon(Duration::ZERO, ready(Some("Maria Rossi"))).await, Some("Maria Rossi"));
    }
}
