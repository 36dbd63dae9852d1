//! Whatever stands where a document, a code, a cursor or a header is read that others have written: nothing of it is answered with a fault of ours, and the server lives.
//! Each is sound to begin with, and then changed here and there by a seed that is its number. 1,500 with the tests; `TORNELLO_HOSTILE=100000` for more.

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tornello_actors::keys::Role;

use crate::routes_acting::solved;
use crate::routes_reconciliation::{line, named_flow};
use crate::routes_sales::sell;
use crate::routes_waiting_rooms::{ROOM, ROOMS, join, room, who};
use crate::support::{App, TORRE, envelope, get_payment, receipt, slot, verify};

const REQUESTS: u64 = 1_500;
/// What is put somewhere in between.
const PIECES: [&str; 20] = [
    "\0",
    "\u{e8}",
    "\u{202e}",
    "\u{1f39f}",
    "\u{feff}",
    "99999999999999999999",
    "-1",
    "1e400",
    "\"",
    "'",
    "<",
    "&#0;",
    "]]>",
    "\n",
    "\r",
    ";",
    "\\u0000",
    "\\ud800",
    "%",
    "[[[[[[[[",
];

/// Where something is read.
enum Place {
    /// A body of this kind, sent to this path by this method.
    Body(Method, &'static str, &'static str),
    /// A body that has it as text, in this member beside a gate and a museum.
    Member(&'static str, &'static str),
    /// What follows in a path.
    Path(&'static str),
    /// A header of what is read there.
    Header(&'static str, &'static str),
    /// By what a buyer is known in a waiting room.
    Token,
    /// Work that was done for the place of one, by which another would come there.
    Proof,
}

/// Small numbers by chance, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        // Splitmix of 64 bits.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        let some = self.below(24).min(bytes.len() - at);
        match self.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            1 => drop(bytes.drain(at..at + some)),
            2 => {
                let twice = bytes[at..at + some].to_vec();
                drop(bytes.splice(at..at, twice));
            }
            3 => bytes.truncate(at),
            4 if at < bytes.len() && bytes[at].is_ascii_digit() => bytes[at] = b"0189"[self.below(4)],
            _ => drop(bytes.splice(at..at, PIECES[self.below(PIECES.len())].bytes())),
        }
    }
}

/// As it stands in an address: all but letters and digits by their numbers.
fn in_address(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if byte.is_ascii_alphanumeric() { char::from(*byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

impl Place {
    fn request(&self, app: &App, [key, web]: [&str; 2], bytes: &[u8]) -> RequestBuilder {
        let text = String::from_utf8_lossy(bytes);
        // Of what no client can send in a header nothing is left.
        let visible = || text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect::<String>().trim().to_owned();
        match self {
            Self::Body(method, path, kind) => app.request(method.clone(), path, key).header("Content-Type", *kind).body(bytes.to_vec()),
            Self::Member(path, member) => {
                let mut body = json!({"gate": "north", "museum": "torre"});
                body[*member] = json!(text);
                app.request(Method::POST, path, key).json(&body)
            }
            Self::Path(before) => app.request(Method::GET, &format!("{before}{}", in_address(bytes)), key),
            Self::Header(path, name) => {
                let key = if *name == "Authorization" { "" } else { key };
                app.request(Method::GET, path, key).header(*name, visible())
            }
            Self::Token => app.request(Method::GET, ROOM, web).header("Waiting-Room-Token", visible()),
            Self::Proof => app.request(Method::POST, ROOM, web).header("Step-Up-Proof", visible()).json(&who("anna@example.it")),
        }
    }
}

#[actix_rt::test]
async fn nothing_that_others_have_written_is_answered_with_a_fault_of_ours() {
    let requests = std::env::var("TORNELLO_HOSTILE").map_or(REQUESTS, |text| text.parse().expect("TORNELLO_HOSTILE is a number"));
    let app = App::start().await;
    let (key, web) = (app.key(Role::Admin).await, app.key(Role::Web).await);
    let fifteen = slot(TORRE, 15);
    let hold = app.hold(fifteen, &key, "hold", json!([{"category": "full", "count": 1}])).await;
    let (_, payment) = app.post("/v1/payments", &key, "payment", &json!({"holds": [hold], "gateway": {"notice": {}}})).await;
    let notice = payment["notice_number"].as_str().unwrap();
    let sale = sell(&app, &key, fifteen, 1, "sale").await;
    let ticket = sale["tickets"][0]["ticket"].as_str().unwrap().to_owned();
    let code = app.get(&format!("/v1/tickets/{ticket}"), &key).await["code"].as_str().unwrap().to_owned();
    let line = line("01234567890123456", "token-9", "12.00", 0);
    let flow = named_flow("2026-11-24BANCA-1", "2026-11-24T06:00:00", "77777777777", "12.00", &[line]);
    let statement = "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08\"><BkToCstmrStmt><Stmt><Ntry><Amt Ccy=\"EUR\">30.00</Amt>\
        <CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-11-24</Dt></BookgDt></Ntry></Stmt></BkToCstmrStmt></Document>";
    let table = "data;importo;descrizione\n24/11/2026;24,00;/PUR/LGPE-RIVERSAMENTO/TXT/0/URI/2026-11-24BANCA-1\n";
    let readings = "{\"museum\":1,\"sensor\":\"door-1\",\"at\":\"2026-11-23T08:29:00Z\",\"inside\":{\"people\":42,\"sd\":3}}\n";
    let scan = json!({"ticket": ticket, "gate": "north", "museum": "torre", "scanned_at": "2026-11-23T08:29:00Z", "direction": "in"});
    let scans = json!([scan]).to_string();
    let post = |path, kind| Place::Body(Method::POST, path, kind);
    let (announced, why) = app.post(ROOMS, &key, "room", &room()).await;
    assert!(announced.is_success(), "{why}");
    let token = join(&app, &web, &who("maria@example.it")).await["token"].as_str().unwrap().to_owned();
    let proof = solved(&app.post(ROOM, &web, "none", &who("luca@example.it")).await.1).await;
    let sound: Vec<(Place, Vec<u8>)> = vec![
        (post("/pagopa", "text/xml; charset=utf-8"), verify(notice).into()),
        (post("/pagopa", "text/xml; charset=utf-8"), get_payment(notice).into()),
        (post("/pagopa", "text/xml; charset=utf-8"), receipt("token-1", notice, "12.00", "2026-11-23T09:31:00").into()),
        (post("/pagopa", "text/xml; charset=utf-8"), envelope("paDemandPaymentNoticeRequest", "").into()),
        (post("/v1/reconciliation/flows", "application/xml"), flow.into()),
        (post("/v1/reconciliation/statements", "application/xml"), statement.into()),
        (post("/v1/reconciliation/statements", "text/csv"), table.into()),
        (
            Place::Body(Method::PUT, "/v1/museums/torre/attendance?source=table", "text/csv"),
            "date;people\r\n2025-06-11;9\r\n2025-06-20;11\r\n".into(),
        ),
        (post("/v1/readings", "application/x-ndjson"), readings.into()),
        (post("/v1/admissions/batch", "application/json"), scans.into()),
        (Place::Member("/v1/admissions", "code"), code.into()),
        (Place::Member("/v1/exits", "ticket"), ticket.clone().into()),
        (Place::Path("/v1/tickets/"), ticket.into()),
        (Place::Path("/v1/refunds/"), "000a000102r4e-0".into()),
        (Place::Path("/v1/fraud/appeals/"), "a1.00ff00ff".into()),
        (Place::Path("/v1/museums/"), "torre".into()),
        (Place::Path("/v1/sales?cursor="), hold.into()),
        (Place::Path("/v1/payments?cursor="), "000a000102r4e".into()),
        (Place::Path("/v1/refunds?cursor="), "000a000102r4e-0".into()),
        (Place::Path("/v1/fraud/cases?cursor="), "50.12.000a000102r4e.-1.000a000102r4e".into()),
        (Place::Path("/v1/museums/torre/availability?from="), "2026-11-24".into()),
        (Place::Path("/v1/museums/torre/forecast?days="), "7".into()),
        (Place::Header("/v1/museums", "Authorization"), format!("Bearer {web}").into()),
        (Place::Header("/v1/museums/torre/plan", "If-None-Match"), "\"1\", W/\"2\"".into()),
        (Place::Header("/v1/museums/torre/forecast", "Accept"), "text/csv;q=0.5, image/svg+xml".into()),
        (Place::Token, token.into()),
        (Place::Proof, proof.into()),
    ];
    // What cannot be read before it is changed is looked at no further, however it is changed.
    for (place, whole) in sound.iter().filter(|(place, _)| matches!(place, Place::Path(_) | Place::Header(..) | Place::Token)) {
        let answer = place.request(&app, [&key, &web], whole).send().await.unwrap();
        assert!(![400, 401].contains(&answer.status().as_u16()), "{} to {}", answer.status(), answer.url());
    }
    for number in 0..requests {
        let mut dice = Dice(number);
        let (place, whole) = &sound[dice.below(sound.len())];
        let mut bytes = whole.clone();
        for _ in 0..=dice.below(3) {
            dice.change(&mut bytes);
        }
        let request = place.request(&app, [&key, &web], &bytes).header("Idempotency-Key", format!("hostile-{number}"));
        let shown = String::from_utf8_lossy(&bytes);
        match request.send().await {
            Ok(answer) => assert!(answer.status().as_u16() < 500, "{number}: {} to {} with {shown}", answer.status(), answer.url()),
            // What is no address or header was never sent.
            Err(error) => assert!(error.is_builder(), "{number}: {error}, with {shown}"),
        }
    }
    // It is all there, and can be read.
    assert_eq!(app.get(&format!("/v1/payments/{}", payment["payment"].as_str().unwrap()), &key).await["amount_cents"], 1_200);
    app.stop().await;
}
