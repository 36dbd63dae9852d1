//! Vouchers: prepaid amounts. A voucher's code is its id, and whoever has it can spend it: it follows from this installation's secret and the request, so that nobody
//! can guess it and a repeated request makes no second one; it is told once, to whoever issues it.

use actix_web::{HttpResponse, get, post, web};
use serde::{Deserialize, Serialize};
use tornello_actors::failure::Failure;
use tornello_actors::node::Node;
use tornello_actors::people::Month;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::envelope::{Envelope, PartyKind};
use tornello_engine::ids::{MuseumId, VoucherId};
use tornello_engine::money::Cents;
use tornello_engine::recall::Recall;
use tornello_engine::time::Timestamp;
use tornello_engine::voucher::{self, Command, Voucher};

use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, envelope};
use crate::routes::payments::voucher_of;
use crate::routes::readings::MuseumName;
use crate::routes::{created, files, museum_of};
use crate::strict::day_of;

/// How many ids are tried for a new voucher before that is given up.
const SALTS: u32 = 16;

/// A voucher to issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoucherForm {
    /// For how much, in euro cents.
    #[schema(minimum = 1, maximum = 1_000_000, examples(5000))]
    pub amount_cents: i64,
    /// Until when it can be spent: the last day, to its end in Rome (9999-12-30 at the latest), or an instant (RFC 3339) at which it no longer can.
    #[schema(max_length = 40, examples("2099-12-31", "2099-01-01T00:00:00Z"))]
    pub valid_until: String,
    /// Where it can be spent: a museum's slug or number; none: everywhere, which needs a key for all museums.
    #[serde(default)]
    pub museum: Option<MuseumName>,
}

/// A voucher.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct VoucherView {
    /// Its code: whoever has it can spend it.
    code: String,
    /// For how much it was issued, in euro cents.
    amount_cents: i64,
    /// What is left on it, in euro cents.
    balance_cents: i64,
    /// Until when it can be spent (RFC 3339, UTC): as it was issued, or 90 days from when a cancelled visit's money last went back to it, whichever is later.
    valid_until: String,
    /// The museum where it can be spent; none: everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    museum: Option<u16>,
}

async fn view(node: &Node, id: VoucherId) -> Result<VoucherView, Problem> {
    let found = node.look_voucher(id, move |voucher: &Voucher| {
        voucher.issued().zip(voucher.valid_until()).map(|(issued, valid_until)| VoucherView {
            code: id.to_string(),
            amount_cents: issued.amount_cents.get(),
            balance_cents: voucher.balance().get(),
            valid_until: valid_until.to_string(),
            museum: issued.museum.map(|museum| museum.0),
        })
    });
    found.await?.ok_or_else(|| voucher::Refusal::UnknownVoucher.into())
}

/// The id that a request makes, and whether it was made before.
async fn id_for(node: &Node, envelope: &Envelope) -> Result<(VoucherId, Recall), Problem> {
    let secret = &files(node)?.pseudonymiser;
    for salt in 0..SALTS {
        let asked = format!("voucher {} {:032x} {salt}", envelope.who, { envelope.key.0 });
        let id = VoucherId((secret.party_in(PartyKind::Account, &asked, Month::of(Timestamp::from_micros(0))).pseudonym.0 >> 64) as u64);
        let known = envelope.clone();
        match node.look_voucher(id, move |voucher: &Voucher| (voucher.recall(&known), voucher.issued().is_some())).await {
            Ok((Recall::New, true)) => {}
            Ok((recall, _)) => return Ok((id, recall)),
            Err(Failure::Refused(_)) => return Ok((id, Recall::New)),
            Err(failure) => return Err(failure.into()),
        }
    }
    Err(Problem::unavailable("no id was free"))
}

/// The end of a day in Rome, or an instant.
fn end_of(text: &str) -> Option<Timestamp> {
    let after = || Some(calendar::instant(day_of(text)?.tomorrow().ok()?.at(0, 0, 0, 0)));
    text.parse().ok().or_else(after)
}

/// Issue a voucher.
#[utoipa::path(
    tag = "Vouchers", operation_id = "issue_voucher", security(("key" = ["settle"])),
    request_body(content = VoucherForm, example = json!({"amount_cents": 5_000, "valid_until": "2099-12-31"})),
    params(("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 201, description = "The voucher", body = VoucherView), crate::openapi::Problems),
)]
#[post("/vouchers")]
pub async fn issue(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, form: Json<VoucherForm>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Settle)?;
    let museum: Option<MuseumId> = match &form.museum {
        Some(name) => Some(museum_of(&node, &caller, Scope::Settle, &name.text())?.museum.id()),
        None if caller.0.museums == tornello_actors::keys::Museums::All => None,
        None => return Err(Problem::invalid("museum: name one that this key is good for")),
    };
    let valid_until = end_of(&form.valid_until).ok_or_else(|| {
        Problem::invalid("valid_until: the last day, as 2027-12-31 and 9999-12-30 at the latest, or an instant, as 2028-01-01T00:00:00Z, is expected")
    })?;
    let envelope = envelope(&node, &caller, &key, &["issue voucher"], &*form, &[], None)?;
    let (id, recall) = id_for(&node, &envelope).await?;
    match recall {
        Recall::OtherBody => return Err(Failure::<voucher::Refusal>::KeyReused.into()),
        Recall::Done { .. } => {}
        Recall::New if valid_until <= node.now() => return Err(Problem::invalid("valid_until: an instant after now is expected")),
        Recall::New => {
            let command = Command::Issue { amount_cents: Cents::new(form.amount_cents), valid_until, museum };
            node.voucher(id, envelope, command).await?;
        }
    }
    created(format!("/v1/vouchers/{id}"), &view(&node, id).await?)
}

/// Which voucher.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoucherLookupForm {
    /// Its code, as it is printed.
    #[schema(max_length = 64, examples("000a000102r4e"))]
    code: String,
}

/// Look a voucher up.
///
/// Whoever has the code may see what is left, and may spend it: here it stands in the body, which no proxy writes into its log.
#[utoipa::path(
    tag = "Vouchers", operation_id = "look_up_voucher", security(("key" = ["book"])),
    request_body(content = VoucherLookupForm, example = json!({"code": "000a000102r4e"})),
    responses((status = 200, description = "The voucher", body = VoucherView), crate::openapi::Problems),
)]
#[post("/voucher-lookups")]
pub async fn look_up(node: web::Data<Node>, caller: Caller, form: Json<VoucherLookupForm>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Book)?;
    Ok(HttpResponse::Ok().json(view(&node, voucher_of(&form.code)?).await?))
}

/// Read a voucher.
///
/// Whoever has the code may see what is left. The address has the code in it: where logs keep addresses, look it up by `POST /v1/voucher-lookups`.
#[utoipa::path(
    tag = "Vouchers", operation_id = "get_voucher", security(("key" = ["book"])),
    params(("code" = String, Path, description = "Its code")),
    responses((status = 200, description = "The voucher", body = VoucherView), crate::openapi::Problems),
)]
#[get("/vouchers/{code}")]
pub async fn get(node: web::Data<Node>, caller: Caller, code: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Book)?;
    Ok(HttpResponse::Ok().json(view(&node, voucher_of(&code)?).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voucher_is_good_to_the_end_of_a_day_or_to_an_instant() {
        for (text, end) in [
            ("2027-12-31", Some("2027-12-31T23:00:00Z")),
            ("2027-06-30", Some("2027-06-30T22:00:00Z")),
            ("2027-12-31T10:00:00Z", Some("2027-12-31T10:00:00Z")),
            ("2027-12-31T10:00:00+01:00", Some("2027-12-31T09:00:00Z")),
            ("2027-12-31T10:00", None),
            ("2027-12-31 10:00:00", None),
            ("20271231", None),
            ("", None),
        ] {
            assert_eq!(end_of(text), end.map(|end| end.parse::<Timestamp>().unwrap()), "{text}");
        }
    }
}
