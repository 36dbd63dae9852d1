//! Gates: a ticket's holder goes in or out. The signature of a code is verified here, everything else is the slot's to decide. A refusal is a problem that carries
//! the verdict, `refused` or `wait`.

use actix_web::{HttpResponse, post, web};
use serde::{Deserialize, Serialize};
use tornello_actors::failure::Failure;
use tornello_actors::node::Node;
use tornello_engine::ids::{Code, TicketId};
use tornello_engine::slot::{Command, Event, Refusal};

use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, envelope};
use crate::routes::readings::MuseumName;
use crate::routes::tickets::category_name;
use crate::routes::{files, museum_of, not_rebuilt};

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
    /// The ticket that was shown, with the issue number of a code.
    fn shown(&self, node: &Node) -> Result<(TicketId, Option<u16>), Problem> {
        match (&self.code, self.ticket) {
            (Some(code), None) => match files(node)?.codes.verify(code.trim()) {
                Ok(payload) => Ok((payload.ticket, Some(payload.issue))),
                Err(error) => Err(Problem::from(error).with("verdict", "refused")),
            },
            (None, Some(ticket)) => Ok((ticket, None)),
            _ => Err(Problem::invalid("give either the code or the ticket")),
        }
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

/// Somebody may go in.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
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
    /// Through which gate.
    #[schema(value_type = String)]
    gate: Code,
    /// When (RFC 3339, UTC).
    at: String,
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
}

/// Let somebody in.
///
/// Once only, unless the museum lets people come back. A refusal has a `code` that says why and a `verdict`: `refused`, or `wait` if the building is full and the
/// ticket stays good.
#[utoipa::path(
    tag = "Gates", operation_id = "admit", security(("key" = ["gate"])), request_body(content = GateForm, example = json!({"ticket": "00040660e8j8e9zteyv8dmw000", "gate": "north", "museum": "parco-colosseo"})),
    params(("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "Let them in", body = AdmissionView), crate::openapi::Problems),
)]
#[post("/admissions")]
pub async fn admit(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, form: web::Json<GateForm>) -> Result<HttpResponse, Problem> {
    let museum = museum_of(&node, &caller, Scope::Gate, &form.museum.text())?;
    let (ticket, issue) = form.shown(&node)?;
    let envelope = envelope(&node, &caller, &key, &["admit"], &*form, &[], None)?;
    let command = Command::Admit { ticket, issue, gate: form.gate, museum: museum.museum.id() };
    let record = node.slot(ticket.slot(), envelope, command).await.map_err(verdict)?;
    let admitted = record.events.iter().find_map(|event| if let Event::Admitted(admitted) = event { Some(admitted) } else { None });
    let admitted = admitted.ok_or_else(not_rebuilt)?;
    let name = category_name(&museum, ticket.slot(), admitted.category);
    Ok(HttpResponse::Ok().json(AdmissionView {
        verdict: "admitted",
        ticket: admitted.ticket.to_string(),
        category: admitted.category,
        category_it: name.it,
        category_en: name.en,
        entry: admitted.entry,
        proof_it: admitted.proof.show_it(),
        proof_en: admitted.proof.show_en(),
        gate: admitted.gate,
        at: record.at.to_string(),
    }))
}

/// Note that somebody left.
#[utoipa::path(
    tag = "Gates", operation_id = "exit", security(("key" = ["gate"])), request_body(content = GateForm, example = json!({"ticket": "00040660e8j8e9zteyv8dmw000", "gate": "north", "museum": "parco-colosseo"})),
    params(("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "They have left", body = ExitView), crate::openapi::Problems),
)]
#[post("/exits")]
pub async fn exit(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, form: web::Json<GateForm>) -> Result<HttpResponse, Problem> {
    let museum = museum_of(&node, &caller, Scope::Gate, &form.museum.text())?.museum.id();
    let (ticket, _) = form.shown(&node)?;
    let envelope = envelope(&node, &caller, &key, &["exit"], &*form, &[], None)?;
    let record = node.slot(ticket.slot(), envelope, Command::Exit { ticket, gate: form.gate, museum }).await.map_err(verdict)?;
    let exited = record.events.iter().find_map(|event| if let Event::Exited(exited) = event { Some(exited) } else { None });
    let exited = exited.ok_or_else(not_rebuilt)?;
    Ok(HttpResponse::Ok().json(ExitView { verdict: "left", ticket: exited.ticket.to_string(), gate: exited.gate, at: record.at.to_string() }))
}
