//! What stands in a server's log of whoever buys, and of what opens something: no name, no address, no card, no account, and no key or code, whatever is asked and however it
//! ends; also where each request is a line of it.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::server::{Server, charge_every_day, key_of, serve, slots, tornello};

/// What only those who ask say here.
const CANARIES: [&str; 7] =
    ["Zebedea", "Canarini", "zebedea.canarini", "3290099887", "card-4711-of-nobody", "device-4711-of-nobody", "0542811101000000123456"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_name_and_no_secret_stands_in_the_log_whatever_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = serve(tornello(), folder.path());
    command.env("RUST_LOG", "debug");
    let server = Server::run(command).unwrap_or_else(|(status, log)| panic!("{status}:\n{log}"));
    let [desk, web, gate, manager, admin] = ["box_office", "web", "gate", "manager", "admin"].map(|role| key_of(folder.path(), role));
    charge_every_day(&server, &manager).await;
    let slot = slots(&server, &desk, 3..4).await.swap_remove(12)["slot"].as_str().unwrap().to_owned();
    let (holds, sales) = (format!("/v1/slots/{slot}/holds"), format!("/v1/slots/{slot}/sales"));

    // Somebody buys at a desk, and another one is to come; the code is shown at a gate, and then a forged one.
    let contact = json!({"given_name": "Zebedea", "family_name": "Canarini", "email": "zebedea.canarini@example.org", "phone": "+39 3290099887"});
    let settlement = json!({"desk": {"till": "till-1", "method": "card", "reference": "R-1"}});
    let lines = json!([{"category": "full", "count": 1}]);
    let sold = server.post(&sales, &desk, "sale", &json!({"lines": lines, "settlement": settlement, "contact": contact})).await;
    let sold = sold.expect(StatusCode::CREATED);
    let (sale, ticket) = (format!("/v1/sales/{}", sold["sale"].as_str().unwrap()), sold["tickets"][0]["ticket"].as_str().unwrap().to_owned());
    let holder = json!({"holder": {"given_name": "Zebedea", "family_name": "Canarini"}});
    server.post(&format!("/v1/tickets/{ticket}/rename"), &desk, "name", &holder).await.expect(StatusCode::OK);
    let code = server.get(&format!("/v1/tickets/{ticket}"), &desk).await.expect(StatusCode::OK)["code"].as_str().unwrap().to_owned();
    let forged = format!("{}{}", &code[..code.len() - 1], if code.ends_with('0') { '1' } else { '0' });
    for (name, shown) in [("early", &code), ("forged", &forged)] {
        let shown = json!({"code": shown, "gate": "north", "museum": "parco-colosseo"});
        let refused = server.post("/v1/admissions", &gate, name, &shown).await;
        assert!(refused.status.is_client_error(), "{name}: {}", refused.body);
    }

    // A shop names a buyer in every way; and somebody pays by a voucher.
    let parties = json!([{"kind": "buyer", "value": "zebedea.canarini@example.org"}, {"kind": "card", "value": "card-4711-of-nobody"},
        {"kind": "device", "value": "device-4711-of-nobody"}]);
    let named = server.post(&holds, &web, "named", &json!({"lines": lines, "parties": parties})).await;
    assert!([StatusCode::CREATED, StatusCode::FORBIDDEN].contains(&named.status), "{}", named.body);
    let issued = json!({"museum": "parco-colosseo", "amount_cents": 50_000, "valid_until": "2099-12-31"});
    let voucher = server.post("/v1/vouchers", &manager, "voucher", &issued).await.expect(StatusCode::CREATED)["code"].as_str().unwrap().to_owned();
    let held = server.post(&holds, &desk, "held", &json!({"lines": lines})).await.expect(StatusCode::CREATED);
    let paid = json!({"holds": [held["hold"]], "gateway": {"voucher": {"code": voucher}}});
    server.post("/v1/payments", &desk, "paid", &paid).await.expect(StatusCode::CREATED);
    server.get(&format!("/v1/vouchers/{voucher}"), &desk).await.expect(StatusCode::OK);
    server.post("/v1/voucher-lookups", &desk, "", &json!({"code": voucher})).await.expect(StatusCode::OK);

    // What cannot be read, or cannot be: a name where none is expected, a key that is none, an account from which nothing is to be paid.
    let debtor = json!({"name": "Zebedea Canarini", "iban": "IT60X0542811101000000123456"});
    for (path, key, body) in [
        (&sales, &desk, json!({"lines": lines, "settlement": settlement, "bought_by": "Zebedea Canarini"})),
        (&sales, &desk, json!({"lines": "Zebedea Canarini", "settlement": settlement})),
        (&sales, &desk, json!({"lines": lines, "settlement": settlement, "contact": {"given_name": "Zebedea", "email": "zebedea.canarini"}})),
        (&holds, &format!("{web}x"), json!({"lines": lines, "parties": parties})),
        (&"/v1/refunds/export".to_owned(), &manager, json!({"debtor": debtor, "execution_date": "2099-01-01"})),
    ] {
        let refused = server.post(path, key, "refused", &body).await;
        assert!(refused.status.is_client_error(), "{path}: {}", refused.body);
    }

    // They are forgotten.
    let person = server.get(&sale, &desk).await.expect(StatusCode::OK)["contact"]["person"].as_str().unwrap().to_owned();
    let forgotten = server.ask(Method::DELETE, &format!("/v1/people/{person}"), &admin, "forgotten", &json!(null)).await;
    assert_eq!(forgotten.status, StatusCode::NO_CONTENT, "{}", forgotten.body);

    let log = server.kill_and_read();
    assert!(log.iter().filter(|line| line.contains("tornello::access")).count() > 10, "requests are no lines of the log: {log:#?}");
    let secrets = [&desk, &web, &gate, &manager, &admin, &code, &forged, &voucher].map(String::as_str);
    let told: Vec<&String> = log.iter().filter(|line| CANARIES.into_iter().chain(secrets).any(|secret| line.contains(secret))).collect();
    assert!(told.is_empty(), "{told:#?}");
}
