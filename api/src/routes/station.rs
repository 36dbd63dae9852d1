//! The station at `POST /pagopa`: what the node of pagoPA asks is put to the payments of this installation. What is sent and answered, byte for byte, is `pagopa::soap`.
//!
//! Money can come half an hour and more after the node has asked for everything (SANP 3.12, best practice): so *get* keeps the places over the token's life before it
//! answers, and a receipt is journaled before it is acknowledged. What a receipt does to a payment, however late it comes, is decided in `engine::payment`. Nobody is
//! asked for money for places of a slot that is closed: their notice counts as cancelled until it reopens.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use tornello_actors::failure::Failure;
use tornello_actors::node::Node;
use tornello_actors::payments;
use tornello_engine::ids::{PaymentId, SlotId};
use tornello_engine::payment::{Payment, Receipt, Refusal, Source};

use crate::entrance::Shared;
use crate::pagopa::soap::{self, Asked, Debtor, Fault, GetDetails, Position, Station};
use crate::problem::Problem;
use crate::routes::payments::{Connected, TOKEN_S};

/// Where the node asks.
pub const PATH: &str = "/pagopa";

/// How much of a message that is too large is read before the connection is given up, in bytes.
const DRAINED_MAX: usize = 16 * 1024 * 1024;

/// The payments of an installation, as the station sees them.
struct Payments {
    node: Arc<Node>,
}

impl Payments {
    /// What is due for a payment that can be made now, for places that are to be had.
    async fn due(&self, asked: Asked<'_>) -> Result<Position, Fault> {
        let now = self.node.now();
        let look = move |payment: &Payment| {
            // What is no position is unknown here, however it stands.
            let opened = payment.opened().filter(|opened| opened.gateway.is_position()).ok_or(Refusal::UnknownPayment)?;
            let payable = payment.payable(now)?;
            let slots: Vec<SlotId> = opened.items.iter().map(|item| item.hold.slot()).collect();
            let position = Position {
                amount: payable.amount_cents,
                due_at: payable.due_at,
                description: opened.subject.clone(),
                museum: opened.museum,
                // Tickets are sold to whoever pays: nobody is asked for a fiscal code, so there is none to tell. The XSD takes any 2 to 16 characters, and this is
                // what the platform itself writes for a debtor who is not named.
                debtor: Debtor::anonymous(),
            };
            Ok((position, slots))
        };
        let looked = self.node.look_payment(asked.payment, look).await;
        let looked = looked.map_err(|failure| failed(asked.payment, failure.map(payments::Refusal::Payment)))?;
        let (position, slots) = looked.map_err(|refusal: Refusal| fault(&refusal))?;
        // What is paid for a slot that is closed goes back, by a transfer that somebody has to make.
        if payments::is_for_closed(&self.node, &slots) { Err(Fault::Cancelled) } else { Ok(position) }
    }

    async fn take(&self, asked: Asked<'_>, receipt: &soap::Receipt) -> Result<(), Fault> {
        let receipt = Receipt {
            id: receipt.id.clone(),
            source: Source::Node,
            amount_cents: receipt.amount,
            paid_at: receipt.paid_at.unwrap_or_else(|| self.node.now()),
            psp: receipt.psp.clone(),
            channel: receipt.channel.clone(),
            method: receipt.method.clone().unwrap_or_default(),
            stand_in: receipt.stand_in,
            fee_cents: receipt.fee,
        };
        // The node is not kept waiting for the tickets: they follow by themselves from what is written.
        payments::receive(&self.node, asked.payment, receipt).await.map_err(|failure| failed(asked.payment, failure))
    }
}

impl Station for Payments {
    fn verify<'a>(&'a self, asked: Asked<'a>) -> LocalBoxFuture<'a, Result<Position, Fault>> {
        Box::pin(self.due(asked))
    }

    fn get<'a>(&'a self, asked: Asked<'a>, _: &'a GetDetails) -> LocalBoxFuture<'a, Result<Position, Fault>> {
        Box::pin(async move {
            let position = self.due(asked).await?;
            // Places that cannot be kept so long are no reason to refuse the money: a receipt that comes after their end looks for places again, or pays back.
            let until = self.node.now().plus_seconds(TOKEN_S);
            payments::activate(&self.node, asked.payment, until).await.map_err(|failure| failed(asked.payment, failure))?;
            Ok(position)
        })
    }

    fn receipt<'a>(&'a self, asked: Asked<'a>, receipt: &'a soap::Receipt) -> LocalBoxFuture<'a, Result<(), Fault>> {
        Box::pin(self.take(asked, receipt))
    }
}

/// What the node is told of a payment that says no.
const fn fault(refusal: &Refusal) -> Fault {
    match refusal {
        Refusal::AlreadyPaid => Fault::Paid,
        Refusal::PaymentExpired { .. } => Fault::Expired,
        Refusal::PaymentCancelled => Fault::Cancelled,
        Refusal::ReceiptDuplicate => Fault::ReceiptKnown,
        Refusal::BadReceipt | Refusal::BadReference => Fault::Semantics,
        // Not published yet counts as unknown there (SANP 3.12, states), and so does what is no position at all.
        _ => Fault::Unknown,
    }
}

/// What the node is told when nothing is known to have been done: it asks again.
fn failed(payment: PaymentId, failure: Failure<payments::Refusal>) -> Fault {
    match failure {
        Failure::Refused(payments::Refusal::Payment(refusal)) => fault(&refusal),
        failure => {
            tracing::error!(%payment, ?failure, "the station cannot answer for a payment");
            Fault::System
        }
    }
}

/// Takes a message of the node. Without settings there is no station.
pub async fn ask(
    node: web::Data<Node>,
    shared: web::ThinData<Rc<Shared>>,
    connected: Connected,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let Some(pagopa) = connected.0.as_ref() else { return Err(Problem::not_found()) };
    let body = tokio::time::timeout(shared.body_within(), read(payload)).await.map_err(|_| Problem::too_slow())??;
    // Who sends slowly takes nobody's place.
    let _place = shared.place_to_finish().ok_or_else(Problem::busy)?;
    let action = request.headers().get("SOAPAction").and_then(|action| action.to_str().ok());
    let station = Payments { node: node.into_inner() };
    let (status, answer) = soap::answer(&station, pagopa.settings(), action, &body).await;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Ok(HttpResponse::build(status).insert_header((header::CONTENT_TYPE, HeaderValue::from_static(soap::CONTENT_TYPE))).body(answer))
}

/// As much of a message as is looked at.
async fn read(mut payload: web::Payload) -> Result<Vec<u8>, Problem> {
    let (mut body, mut read) = (Vec::new(), 0);
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Problem::malformed("the body cannot be read to its end"))?;
        // One byte more than is looked at: the reader says itself that it is too much. The rest is read so that the answer can be heard, up to an end.
        body.extend_from_slice(&chunk[..chunk.len().min(soap::BODY_MAX + 1 - body.len())]);
        read += chunk.len();
        if read > DRAINED_MAX {
            break;
        }
    }
    Ok(body)
}
