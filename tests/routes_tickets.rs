//! Tickets as they are read, drawn and printed, and the keys with which a gate verifies them without a network.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::hex::Hex;
use tornello_actors::keys::Role;
use tornello_actors::signing::SigningKeys;
use tornello_engine::ticket::{Keyring, PublicKey};

use crate::routes_sales::{desk, sell, ticket};
use crate::support::{App, TORRE, expect, slot};

/// What a reader sees in the picture.
pub fn scan(png: &[u8]) -> String {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((frame.color_type, frame.bit_depth), (png::ColorType::Grayscale, png::BitDepth::One));
    let (side, row) = (frame.width as usize, frame.line_size);
    let mut picture =
        rqrr::PreparedImage::prepare_from_greyscale(side, side, |x, y| if pixels[y * row + x / 8] >> (7 - x % 8) & 1 == 1 { 255 } else { 0 });
    picture.detect_grids()[0].decode().unwrap().1
}

/// The body of a document, which must be of that type.
pub async fn bytes(app: &App, path: &str, key: &str, content_type: &str) -> Vec<u8> {
    let response = app.request(Method::GET, path, key).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    assert_eq!(response.headers()["content-type"], content_type, "{path}");
    assert_eq!(response.headers()["cache-control"], "no-store", "{path}");
    response.bytes().await.unwrap().to_vec()
}

/// The keyring of a gate that has asked for the keys.
async fn ring(app: &App) -> Keyring {
    let keys = app.get("/v1/ticket-keys", "").await;
    let key = |key: &Value| {
        assert_eq!(key["algorithm"], "Ed25519");
        let Hex(bytes) = key["public_key"].as_str().unwrap().parse::<Hex<[u8; 32]>>().unwrap();
        PublicKey {
            id: u32::try_from(key["key_id"].as_u64().unwrap()).unwrap(),
            bytes,
            from: key["valid_from"].as_str().unwrap().parse().unwrap(),
            until: key["valid_until"].as_str().unwrap().parse().unwrap(),
        }
    };
    Keyring::new(keys["items"].as_array().unwrap().iter().map(key)).unwrap()
}

#[actix_rt::test]
async fn a_ticket_is_read_drawn_printed_and_verified_offline() {
    let app = App::start().await;
    let (web, ten) = (app.key(Role::Web).await, slot(TORRE, 10));
    let sale = sell(&app, &web, ten, 3, "sale").await["sale"].as_str().unwrap().to_owned();
    let path = format!("/v1/tickets/{}", ticket(&sale, 1));
    let read = app.get(&path, &web).await;
    assert_eq!((&read["state"], &read["category"], &read["museum"]), (&json!("valid"), &json!("under-18"), &json!(1)));
    assert_eq!((&read["valid_from"], &read["valid_until"]), (&json!("2026-11-23T08:45:00Z"), &json!("2026-11-23T10:15:00Z")));
    let code = read["code"].as_str().unwrap();
    assert_eq!(scan(&bytes(&app, &format!("{path}/qr.png"), &web, "image/png").await), code);
    assert!(bytes(&app, &format!("{path}/qr.svg"), &web, "image/svg+xml").await.starts_with(b"<svg"));
    for path in [format!("{path}/pdf"), format!("/v1/sales/{sale}/tickets.pdf")] {
        assert!(bytes(&app, &path, &web, "application/pdf").await.starts_with(b"%PDF-"));
    }
    // Beyond the last there are none, however far.
    for from in [3, u16::MAX - 1, u16::MAX] {
        let beyond = app.request(Method::GET, &format!("/v1/sales/{sale}/tickets.pdf?from={from}"), &web).send().await.unwrap();
        assert_eq!(expect(beyond, StatusCode::NOT_FOUND).await["code"], "not_found", "{from}");
    }
    let said = ring(&app).await.verify(code).unwrap();
    assert_eq!((said.ticket.to_string(), said.issue), (ticket(&sale, 1), 1));
    assert_eq!(
        (said.valid_from().to_string(), said.valid_until().to_string()),
        ("2026-11-23T08:45:00Z".to_owned(), "2026-11-23T10:15:00Z".to_owned())
    );
    app.stop().await;
}

#[actix_rt::test]
async fn a_cancelled_ticket_has_no_code_and_is_not_printed() {
    let app = App::start().await;
    let (web, ten) = (app.key(Role::Web).await, slot(TORRE, 10));
    let sale = sell(&app, &web, ten, 2, "sale").await["sale"].as_str().unwrap().to_owned();
    let cancel = |tickets: Vec<u16>| json!({"cause": "visitor", "tickets": tickets});
    assert_eq!(app.post(&format!("/v1/sales/{sale}/cancel"), &web, "one", &cancel(vec![0])).await.0, StatusCode::OK);
    let path = format!("/v1/tickets/{}", ticket(&sale, 0));
    let read = app.get(&path, &web).await;
    assert_eq!((&read["state"], read.get("code")), (&json!("cancelled"), None));
    bytes(&app, &format!("/v1/sales/{sale}/tickets.pdf"), &web, "application/pdf").await;
    assert_eq!(app.post(&format!("/v1/sales/{sale}/cancel"), &web, "rest", &cancel(vec![])).await.0, StatusCode::OK);
    for path in [format!("{path}/qr.svg"), format!("{path}/qr.png"), format!("{path}/pdf"), format!("/v1/sales/{sale}/tickets.pdf")] {
        let response = app.request(Method::GET, &path, &web).send().await.unwrap();
        assert_eq!(expect(response, StatusCode::CONFLICT).await["code"], "ticket_cancelled", "{path}");
    }
    let missing = format!("/v1/tickets/{}", ticket(&sale, 2));
    assert_eq!(app.request(Method::GET, &missing, &web).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    app.stop().await;
}

#[actix_rt::test]
async fn after_a_rotation_old_and_new_codes_open_the_gate() {
    let app = App::start().await;
    let (office, nine) = (app.key(Role::BoxOffice).await, slot(TORRE, 9));
    let body = json!({"lines": [{"category": "full", "count": 2}], "settlement": desk("R")});
    let sale = app.post(&format!("/v1/slots/{nine}/sales"), &office, "sell", &body).await.1["sale"].as_str().unwrap().to_owned();
    let code = async |number| app.get(&format!("/v1/tickets/{}", ticket(&sale, number)), &office).await["code"].as_str().unwrap().to_owned();
    let (old, before) = (code(0).await, code(1).await);
    SigningKeys::load_or_create(app.folder().join("signing.keys"), app.node().now()).unwrap().rotate(app.node().now()).unwrap();
    app.node().files().unwrap().codes.refresh(app.node().now()).unwrap();
    let new = code(1).await;
    assert_ne!(new, before, "the new key signs");
    let offline = ring(&app).await;
    assert_eq!(offline.keys().len(), 2);
    for (name, code) in [("old", old), ("new", new)] {
        assert!(offline.verify(&code).is_ok(), "{name}");
        let (status, answer) = app.post("/v1/admissions", &office, name, &json!({"code": code, "gate": "north", "museum": "torre"})).await;
        assert_eq!(status, StatusCode::OK, "{name}: {answer}");
    }
    app.stop().await;
}
