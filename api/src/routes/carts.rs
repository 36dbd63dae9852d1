//! Carts: several payments that one payer makes at once on the payment pages of pagoPA, as when tickets of two museums are bought together. A cart is nothing of its own:
//! what is paid is each of its notices, by a receipt of its own, and whoever pays none of them leaves nothing behind.

use actix_web::{HttpResponse, post, web};
use serde::{Deserialize, Serialize};
use tornello_actors::node::Node;
use tornello_engine::ids::PaymentId;

use crate::auth::{Caller, Scope};
use crate::pagopa::checkout::NOTICES_MAX;
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json};
use crate::routes::payments::{self, Connected, ReturnUrlsForm};

/// What is to be paid together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CartForm {
    /// Payments that have a notice and can be paid now, each once; of several museums, if you like.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 5)]
    pub payments: Vec<PaymentId>,
    /// Where the browser goes afterwards.
    pub return_urls: ReturnUrlsForm,
}

/// A payment in a cart.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct CartItem {
    /// Its id.
    payment: String,
    /// How much is due, in euro cents.
    amount_cents: i64,
}

/// A cart at the payment pages.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct CartView {
    /// Where to send the browser.
    checkout_url: String,
    /// What is paid there.
    payments: Vec<CartItem>,
    /// How much is due for all, in euro cents.
    total_cents: i64,
}

/// Lead a payer to one payment page for several payments.
///
/// Up to five, also of different museums. All of them or none go there; each is paid by a receipt of its own, so read every one of them when the browser is back: that it
/// comes back proves nothing. Each call makes a new link to the same notices.
#[utoipa::path(
    tag = "Payments", operation_id = "open_cart", security(("key" = ["book"])),
    request_body(content = CartForm, example = json!({"payments": ["000a000102r4e", "000a000102r4f"],
        "return_urls": {"ok": "https://tickets.example.it/paid", "cancel": "https://tickets.example.it/cancelled", "error": "https://tickets.example.it/error"}})),
    params(("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "Where to send the browser", body = CartView), crate::openapi::Problems, crate::openapi::Ended),
)]
#[post("/carts")]
pub async fn open(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    _key: IdempotencyKey,
    form: Json<CartForm>,
) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Book)?;
    let repeated = |i: usize, payment: &PaymentId| form.payments[..i].contains(payment);
    if !(1..=NOTICES_MAX).contains(&form.payments.len()) || form.payments.iter().enumerate().any(|(i, payment)| repeated(i, payment)) {
        return Err(Problem::invalid("payments: 1 to 5 are expected, each once"));
    }
    for payment in &form.payments {
        payments::seen(&node, &caller, Scope::Book, *payment, |_, _| ()).await.map_err(|problem| problem.with("payment", payment))?;
    }
    let (checkout_url, due) = payments::page_for(&node, &connected, &form.payments, &form.return_urls).await?;
    let item = |(payment, amount): &(PaymentId, tornello_engine::money::Cents)| CartItem { payment: payment.to_string(), amount_cents: amount.get() };
    let total_cents = due.iter().map(|(_, amount)| amount.get()).sum();
    Ok(HttpResponse::Ok().json(CartView { checkout_url, payments: due.iter().map(item).collect(), total_cents }))
}
