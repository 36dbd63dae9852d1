//! Our clients of the platform's services against the emulator: what they send, what they make of each answer and of none.

use std::net::TcpListener;

use reqwest::Url;
use tornello_actors::payments::{Gateway, GatewayError};
use tornello_api::pagopa::checkout::{Cart, Checkout, ReturnUrls};
use tornello_api::pagopa::gateway::Pagopa;
use tornello_api::pagopa::gpd::{Gpd, Position, Status, iupd};
use tornello_api::pagopa::settings::Settings;
use tornello_api::pagopa::soap::Debtor;
use tornello_api::pagopa::wire::CallError;
use tornello_engine::channel::Channel;
use tornello_engine::ids::{HoldId, KeyId, MuseumId, PaymentId, RouteId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::notice::FiscalCode;
use tornello_engine::payment::{self, Item, Opened};
use tornello_engine::slot::Line;
use tornello_engine::tariff::Proof;
use tornello_engine::time::Timestamp;

use super::platform::{Platform, Trouble};

const PAYMENT: PaymentId = PaymentId::new(1, 42);

fn gpd(settings: &Settings) -> Gpd {
    Gpd::new(settings.gpd.as_ref().unwrap()).unwrap()
}

fn checkout(settings: &Settings) -> Checkout {
    Checkout::new(settings.checkout.as_ref().unwrap()).unwrap()
}

fn position(settings: &Settings, cents: i64) -> Position {
    let due_at = "2026-11-30T22:59:59.25Z".parse().unwrap();
    let description = "Visita di gruppo, à la carte ".repeat(10);
    Position::new(settings.creditor(1).unwrap(), PAYMENT, MuseumId(1), Cents::new(cents), due_at, &description, &Debtor::anonymous())
}

fn code() -> FiscalCode {
    "97832870584".parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cart(settings: &Settings, ids: &[u64]) -> Cart {
    let url = |path: &str| Url::parse(&format!("https://biglietti.example.it/{path}")).unwrap();
    let urls =
        ReturnUrls { return_ok_url: url("ok"), return_cancel_url: url("cancel"), return_error_url: url("error"), return_waiting_url: url("waiting") };
    let creditor = settings.creditor(1).unwrap();
    ids.iter().fold(Cart::new(Some("cart-1".to_owned()), urls), |cart, id| {
        let notice = creditor.notice(PaymentId::new(1, *id));
        cart.with(notice, creditor.fiscal_code, Cents::new(1_200), &creditor.company_name, &"Biglietti ".repeat(20))
    })
}

fn conflict<T>(outcome: Result<T, CallError>) -> bool {
    matches!(outcome, Err(error @ CallError::Conflict { .. }) if !error.is_retryable())
}

#[actix_rt::test]
async fn a_position_is_created_published_changed_and_withdrawn() {
    let platform = Platform::start();
    let settings = platform.settings();
    let (gpd, position) = (gpd(&settings), position(&settings, 30_000));
    assert_eq!(position.notice().to_string(), "301000000000004285");
    let name = iupd(PAYMENT);
    assert_eq!(position.iupd(), name);
    gpd.create(&position, false).await.unwrap();
    assert_eq!(gpd.get(code(), &name).await.unwrap().status, Status::Draft);
    gpd.publish(code(), &name).await.unwrap();
    gpd.publish(code(), &name).await.unwrap();
    let stored = platform.stored("97832870584", &name).unwrap();
    let option = &stored.model["paymentOption"][0];
    assert_eq!((stored.status, &option["amount"], &option["dueDate"]), ("VALID", &30_000.into(), &"2026-11-30T22:59:59Z".into()));
    assert_eq!(
        (&option["transfer"][0]["iban"], option["description"].as_str().unwrap().chars().count()),
        (&"IT60X0542811101000000123456".into(), 140)
    );
    gpd.update(&self::position(&settings, 20_000), true).await.unwrap();
    assert_eq!(gpd.get(code(), &name).await.unwrap().payment_option[0].amount, 20_000);
    gpd.invalidate(code(), &name).await.unwrap();
    gpd.invalidate(code(), &name).await.unwrap();
    assert!(conflict(gpd.update(&position, true).await));
    assert!(conflict(gpd.create(&position, true).await));
    assert!(conflict(gpd.publish(code(), &name).await));
    for missing in [gpd.publish(code(), "nothing").await, gpd.invalidate(code(), "nothing").await, gpd.get(code(), "a/../b").await.map(drop)] {
        assert_eq!(missing, Err(CallError::NotFound));
    }
    let asked = platform.asked();
    assert_eq!(asked[0], "POST /gpd/debt-positions-service/v1/organizations/97832870584/debtpositions?toPublish=false");
    assert!(asked.last().unwrap().ends_with("/debtpositions/a%2F..%2Fb"), "a name cannot leave its place");
    platform.stop().await;
}

/// What is for a slot that is closed is not to be paid while the station is down, and may be when it reopens; what is paid there meanwhile stays as it is.
#[actix_rt::test]
async fn a_position_for_a_closed_slot_is_not_paid_in_stand_in() {
    let platform = Platform::start();
    let pagopa = Pagopa::new(platform.settings()).unwrap();
    let slot = SlotId::new(MuseumId(1), RouteId(1), at("2026-11-30T14:00:00Z"));
    let price_cents = Cents::new(1_200);
    let line = Line { category: "full".parse().unwrap(), count: 1, price_cents, proof: Proof::None };
    let opened = Opened {
        who: KeyId(7),
        order: None,
        quote: None,
        channel: Channel::Web,
        items: vec![Item { hold: HoldId::new(slot, 1), lines: vec![line], amount_cents: price_cents }],
        extras: Vec::new(),
        amount_cents: price_cents,
        payer: None,
        museum: MuseumId(1),
        subject: "Biglietti".to_owned(),
        gateway: payment::Gateway::Notice,
        due_at: at("2026-11-30T12:00:00Z"),
    };
    let name = iupd(PAYMENT);
    let stored = || platform.stored("97832870584", &name).unwrap();
    pagopa.publish(PAYMENT, &opened).await.unwrap();
    assert_eq!((&stored().model["payStandIn"], stored().status), (&true.into(), "VALID"));
    for may in [false, false, true] {
        pagopa.stand_in(PAYMENT, &opened, may).await.unwrap();
        assert_eq!((&stored().model["payStandIn"], stored().status), (&may.into(), "VALID"));
        assert_eq!(stored().model["paymentOption"][0]["dueDate"], "2026-11-30T12:00:00Z");
    }
    // A repeat of what was published changes nothing of it.
    pagopa.stand_in(PAYMENT, &opened, false).await.unwrap();
    pagopa.publish(PAYMENT, &opened).await.unwrap();
    assert_eq!(stored().model["payStandIn"], false);
    for status in ["PAID", "INVALID"] {
        platform.change(&name, |stored| stored.status = status);
        assert_eq!(pagopa.stand_in(PAYMENT, &opened, true).await, Ok(()));
        assert_eq!((&stored().model["payStandIn"], stored().status), (&false.into(), status));
    }
    platform.trouble([Trouble::Status(503)]);
    assert!(matches!(pagopa.stand_in(PAYMENT, &opened, true).await, Err(GatewayError::Later(_))));
    platform.stop().await;
}

#[actix_rt::test]
async fn a_position_that_has_expired_need_not_be_withdrawn() {
    let platform = Platform::start();
    let settings = platform.settings();
    let (gpd, position) = (gpd(&settings), position(&settings, 30_000));
    gpd.create(&position, true).await.unwrap();
    platform.change(position.iupd(), |stored| stored.status = "EXPIRED");
    gpd.invalidate(code(), position.iupd()).await.unwrap();
    assert_eq!(platform.stored("97832870584", position.iupd()).unwrap().status, "EXPIRED");
    // What was paid there is no such thing.
    platform.change(position.iupd(), |stored| stored.status = "PAID");
    assert!(conflict(gpd.invalidate(code(), position.iupd()).await));
    platform.stop().await;
}

#[actix_rt::test]
async fn what_is_there_already_is_done_if_it_is_what_was_sent() {
    let platform = Platform::start();
    let settings = platform.settings();
    let (gpd, position) = (gpd(&settings), position(&settings, 30_000));
    gpd.create(&position, true).await.unwrap();
    gpd.create(&position, true).await.unwrap();
    // A draft of the same is published.
    platform.change(position.iupd(), |stored| stored.status = "DRAFT");
    gpd.create(&position, true).await.unwrap();
    assert_eq!(platform.stored("97832870584", position.iupd()).unwrap().status, "VALID");
    // Something else under the same name is not overwritten.
    assert!(conflict(gpd.create(&self::position(&settings, 30_001), true).await));
    // Nor is the same notice under another name, as another program would have it.
    platform.rename(position.iupd(), "another");
    assert!(conflict(gpd.create(&position, true).await));
    platform.stop().await;

    let platform = Platform::start();
    let settings = platform.settings();
    let gpd = self::gpd(&settings);
    let position = self::position(&settings, 30_000);
    gpd.create(&position, true).await.unwrap();
    for (field, value) in [
        ("description", "x".into()),
        ("dueDate", "2026-12-01T00:00:00Z".into()),
        ("iuv", "1".into()),
        ("nav", "1".into()),
        ("transfer", serde_json::json!([])),
    ] {
        let before = platform.stored("97832870584", position.iupd()).unwrap();
        platform.change(position.iupd(), |stored| stored.model["paymentOption"][0][field] = value);
        assert!(conflict(gpd.create(&position, true).await), "{field}");
        platform.change(position.iupd(), |stored| *stored = before);
    }
    platform.stop().await;
}

#[actix_rt::test]
async fn a_notice_paid_elsewhere_is_closed_once() {
    let platform = Platform::start();
    let settings = platform.settings();
    let (gpd, position) = (gpd(&settings), position(&settings, 30_000));
    let (name, notice) = (position.iupd().to_owned(), position.notice());
    let paid_at = at("2026-11-24T10:00:00.7Z");
    assert_eq!(gpd.paid_elsewhere(code(), &name, notice, paid_at).await, Err(CallError::NotFound));
    gpd.create(&position, false).await.unwrap();
    let refused = gpd.paid_elsewhere(code(), &name, notice, paid_at).await.unwrap_err();
    assert!(matches!(&refused, CallError::Refused { status: 422, .. }) && !refused.is_retryable());
    gpd.publish(code(), &name).await.unwrap();
    gpd.paid_elsewhere(code(), &name, notice, paid_at).await.unwrap();
    gpd.paid_elsewhere(code(), &name, notice, paid_at).await.unwrap();
    // Paid at another time, as through the platform meanwhile.
    assert!(conflict(gpd.paid_elsewhere(code(), &name, notice, at("2026-11-24T11:00:00Z")).await));
    assert!(conflict(gpd.invalidate(code(), &name).await));
    let found = gpd.get(code(), &name).await.unwrap();
    assert_eq!((found.status, found.payment_option[0].id_receipt.as_deref()), (Status::Paid, None));
    platform.stop().await;
}

#[actix_rt::test]
async fn a_lost_answer_is_asked_for_again() {
    let platform = Platform::start();
    let settings = platform.settings();
    let (gpd, position) = (gpd(&settings), position(&settings, 30_000));
    let name = position.iupd().to_owned();
    platform.trouble([Trouble::LoseAnswer]);
    assert_eq!(gpd.create(&position, true).await, Err(CallError::OutcomeUnknown));
    gpd.create(&position, true).await.unwrap();
    platform.trouble([Trouble::LoseAnswer]);
    assert_eq!(gpd.paid_elsewhere(code(), &name, position.notice(), at("2026-11-24T10:00:00Z")).await, Err(CallError::OutcomeUnknown));
    gpd.paid_elsewhere(code(), &name, position.notice(), at("2026-11-24T10:00:00Z")).await.unwrap();
    // What was not done is not taken for done.
    platform.change(&name, |stored| (stored.status, stored.paid_at) = ("VALID", None));
    platform.trouble([Trouble::Hang]);
    let unknown = gpd.invalidate(code(), &name).await.unwrap_err();
    assert!(unknown == CallError::OutcomeUnknown && unknown.is_retryable());
    assert_eq!(platform.stored("97832870584", &name).unwrap().status, "VALID");
    platform.trouble([Trouble::LoseAnswer]);
    assert_eq!(gpd.invalidate(code(), &name).await, Err(CallError::OutcomeUnknown));
    gpd.invalidate(code(), &name).await.unwrap();
    // The answer to the question what is there may be lost as well.
    platform.trouble([Trouble::Status(409), Trouble::Hang]);
    assert_eq!(gpd.create(&position, true).await, Err(CallError::OutcomeUnknown));
    platform.stop().await;
}

#[actix_rt::test]
async fn each_answer_says_whether_to_try_again() {
    let platform = Platform::start();
    let settings = platform.settings();
    let (gpd, position) = (gpd(&settings), position(&settings, 30_000));
    let detail = || "in trouble".to_owned();
    for (status, expected, retryable) in [
        (400, CallError::Refused { status: 400, detail: detail() }, false),
        (401, CallError::Unauthorized { status: 401 }, false),
        (403, CallError::Unauthorized { status: 403 }, false),
        (404, CallError::NotFound, false),
        (422, CallError::Refused { status: 422, detail: detail() }, false),
        (429, CallError::Unavailable { status: 429 }, true),
        (500, CallError::Unavailable { status: 500 }, true),
        (503, CallError::Unavailable { status: 503 }, true),
        (204, CallError::Unusable("its status is not one that the service should give"), false),
    ] {
        platform.trouble([Trouble::Status(status)]);
        let error = gpd.create(&position, true).await.unwrap_err();
        assert_eq!((&error, error.is_retryable()), (&expected, retryable));
        assert!(!format!("{error} {error:?}").contains("key-of"));
    }
    // A redirect is not followed: the key would go along.
    platform.trouble([Trouble::Redirect(307, Some("https://elsewhere.example.it/".to_owned()))]);
    assert!(matches!(gpd.create(&position, true).await, Err(CallError::Unusable(_))));
    gpd.create(&position, true).await.unwrap();
    for body in [b"{}".to_vec(), b"\xff".to_vec(), b"[".repeat(100_000), br#"{"iupd": "x", "status": "NEW"}"#.to_vec()] {
        platform.trouble([Trouble::Body(200, body)]);
        assert!(matches!(gpd.get(code(), "x").await, Err(CallError::Unusable(_))));
    }
    platform.trouble([Trouble::Body(200, vec![b' '; 2 * 1024 * 1024])]);
    assert_eq!(gpd.get(code(), "x").await, Err(CallError::Unusable("it is too large")));
    platform.stop().await;
}

#[actix_rt::test]
async fn without_a_key_or_a_listener_nothing_is_done() {
    let platform = Platform::start();
    let mut settings = platform.settings();
    let position = position(&settings, 30_000);
    let service = settings.gpd.as_mut().unwrap();
    service.key = tornello_api::pagopa::settings::Secret::new("another key").unwrap();
    assert_eq!(Gpd::new(service).unwrap().create(&position, true).await, Err(CallError::Unauthorized { status: 401 }));
    platform.stop().await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = super::settings(&free.to_string());
    let error = gpd(&settings).create(&position, true).await.unwrap_err();
    assert!(error == CallError::Unreachable && error.is_retryable());
    assert_eq!(checkout(&settings).leave(&cart(&settings, &[1])).await, Err(CallError::Unreachable));
}

#[actix_rt::test]
async fn a_cart_leads_to_a_page() {
    let platform = Platform::start();
    let mut settings = platform.settings();
    for version in ["v1", "v2"] {
        let service = settings.checkout.as_mut().unwrap();
        service.base_url = Url::parse(&format!("http://{}/checkout/ec/{version}", platform.address)).unwrap();
        let cart = cart(&settings, &[1, 2, 3, 4, 5]).with_email("maria@example.it");
        assert_eq!(checkout(&settings).leave(&cart).await.unwrap().as_str(), "https://checkout.example.it/c/cart-1");
        assert_eq!(platform.asked(), [format!("POST /checkout/ec/{version}/carts")]);
    }
    let checkout = checkout(&settings);
    for (wrong, status) in [(cart(&settings, &[]), 422), (cart(&settings, &[1, 2, 3, 4, 5, 6]), 422)] {
        assert!(matches!(checkout.leave(&wrong).await, Err(CallError::Refused { status: found, .. }) if found == status));
    }
    assert_eq!(platform.asked(), Vec::<String>::new());
    let creditor = settings.creditor(1).unwrap();
    platform.refuse(&creditor.notice(PaymentId::new(1, 7)).to_string());
    assert!(matches!(checkout.leave(&cart(&settings, &[7])).await, Err(CallError::Refused { status: 422, .. })));
    platform.trouble([Trouble::Status(500), Trouble::Hang]);
    assert_eq!(checkout.leave(&cart(&settings, &[1])).await, Err(CallError::Unavailable { status: 500 }));
    assert_eq!(checkout.leave(&cart(&settings, &[1])).await, Err(CallError::OutcomeUnknown));
    platform.stop().await;
}

#[actix_rt::test]
async fn a_browser_is_sent_only_where_it_is_safe() {
    let platform = Platform::start();
    let settings = platform.settings();
    let checkout = checkout(&settings);
    for (status, location, safe) in [
        (302, Some("https://checkout.example.it/c/1"), true),
        (302, Some("http://127.0.0.1:8080/c/1"), true),
        (302, Some("http://[::1]:8080/c/1"), true),
        (302, Some("http://checkout.example.it/c/1"), false),
        (302, Some("http://127.0.0.1.example.it/c/1"), false),
        (302, Some("https://user:secret@checkout.example.it/c/1"), false),
        (302, Some("javascript:alert(1)"), false),
        (302, Some("/c/1"), false),
        (302, None, false),
        (301, Some("https://checkout.example.it/c/1"), false),
        (307, Some("https://checkout.example.it/c/1"), false),
    ] {
        platform.trouble([Trouble::Redirect(status, location.map(str::to_owned))]);
        let left = checkout.leave(&cart(&settings, &[1])).await;
        assert_eq!(left.is_ok(), safe, "{status} {location:?} {left:?}");
        assert!(safe || matches!(left, Err(CallError::Unusable(_))), "{left:?}");
    }
    assert_eq!(platform.asked().len(), 11, "no redirect is followed");
    platform.stop().await;
}
