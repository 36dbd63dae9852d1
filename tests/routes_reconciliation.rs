//! Reconciliation over HTTP: flows and statements, what they change and what does not match.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::journal::file::FileJournal;
use tornello_actors::journal::{Batch, Head, Journal, JournalError, StreamId};
use tornello_actors::keys::{Museums, Role};
use tornello_api::pagopa::gateway::Pagopa;
use tornello_api::pagopa::reconciliation::Reconciliation;
use tornello_engine::ids::PaymentId;
use tornello_engine::time::DAY_S;

use crate::support::{App, TORRE, receipt, settings, slot};

/// What a flow says of one payment.
pub fn line(iuv: &str, iur: &str, euros: &str, code: u8) -> String {
    format!(
        "<datiSingoliPagamenti><identificativoUnivocoVersamento>{iuv}</identificativoUnivocoVersamento>\
         <identificativoUnivocoRiscossione>{iur}</identificativoUnivocoRiscossione><indiceDatiSingoloPagamento>1</indiceDatiSingoloPagamento>\
         <singoloImportoPagato>{euros}</singoloImportoPagato><codiceEsitoSingoloPagamento>{code}</codiceEsitoSingoloPagamento>\
         <dataEsitoSingoloPagamento>2026-11-23</dataEsitoSingoloPagamento></datiSingoliPagamenti>"
    )
}

fn flow(at: &str, receiver: &str, total: &str, lines: &[String]) -> String {
    named_flow("2026-11-24BANCA-1", at, receiver, total, lines)
}

/// A flow of payments, as pagoPA sends it.
pub fn named_flow(name: &str, at: &str, receiver: &str, total: &str, lines: &[String]) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><FlussoRiversamento xmlns=\"http://www.digitpa.gov.it/schemas/2011/Pagamenti/\">\
         <versioneOggetto>1.0</versioneOggetto><identificativoFlusso>{name}</identificativoFlusso><dataOraFlusso>{at}</dataOraFlusso>\
         <identificativoUnivocoRegolamento>TRN1</identificativoUnivocoRegolamento><dataRegolamento>2026-11-24</dataRegolamento>\
         <istitutoMittente><identificativoUnivocoMittente><tipoIdentificativoUnivoco>B</tipoIdentificativoUnivoco>\
         <codiceIdentificativoUnivoco>BANCA</codiceIdentificativoUnivoco></identificativoUnivocoMittente></istitutoMittente>\
         <istitutoRicevente><identificativoUnivocoRicevente><tipoIdentificativoUnivoco>G</tipoIdentificativoUnivoco>\
         <codiceIdentificativoUnivoco>{receiver}</codiceIdentificativoUnivoco></identificativoUnivocoRicevente></istitutoRicevente>\
         <numeroTotalePagamenti>{}</numeroTotalePagamenti><importoTotalePagamenti>{total}</importoTotalePagamenti>{}</FlussoRiversamento>",
        lines.len(),
        lines.concat()
    )
}

async fn send(app: &App, path: &str, key: &str, body: &str) -> (StatusCode, Value) {
    let response = app
        .request(Method::POST, path, key)
        .header("Content-Type", "application/xml")
        .header("Idempotency-Key", "k")
        .body(body.to_owned())
        .send()
        .await
        .unwrap();
    (response.status(), crate::support::body_of(response).await)
}

async fn notice(app: &App, web: &str, name: &str) -> (String, String) {
    let hold = app.hold(slot(TORRE, 15), web, &format!("h{name}"), json!([{"category": "full", "count": 1}])).await;
    let (status, opened) = app.post("/v1/payments", web, name, &json!({"holds": [hold], "gateway": {"notice": {}}})).await;
    assert_eq!(status, StatusCode::CREATED, "{opened}");
    (format!("/v1/payments/{}", opened["payment"].as_str().unwrap()), opened["notice_number"].as_str().unwrap().to_owned())
}

#[actix_rt::test]
async fn a_flow_pays_what_no_receipt_has_and_changes_nothing_twice() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let (received, first) = notice(&app, &web, "1").await;
    let (reported, second) = notice(&app, &web, "2").await;
    let (_, answer) = app.soap("paSendRT", &receipt("token-1", &first, "12.00", "2026-11-23T09:31:00")).await;
    assert!(answer.contains("OK"), "{answer}");
    let lines = [line(&first[1..], "token-1", "12.00", 0), line(&second[1..], "token-2", "12.00", 9), line("01234567890123456", "x", "1.00", 0)];
    let document = flow("2026-11-24T06:00:00", "77777777777", "25.00", &lines);
    let (status, done) = send(&app, "/v1/reconciliation/flows", &manager, &document).await;
    assert_eq!((status.as_u16(), done), (200, json!({"taken": "new", "reported": 2, "paid": 1})));
    let paid = app.until(&reported, &web, |seen| seen["items"][0]["state"] == "sold").await;
    assert_eq!((&paid["state"], &paid["receipts"][0]["source"]), (&json!("paid"), &json!("report")));
    // In lists it was paid on the day that counts in law, and not when the flow came.
    let listed = app.until("/v1/payments?state=paid", &manager, |page| page["items"].as_array().unwrap().len() == 2).await;
    for (path, paid_at) in [(&received, "2026-11-23T08:31:00Z"), (&reported, "2026-11-22T23:00:00Z")] {
        let item = listed["items"].as_array().unwrap().iter().find(|item| path.ends_with(item["payment"].as_str().unwrap())).unwrap();
        assert_eq!(item["paid_at"], paid_at, "{item}");
    }
    let (_, again) = send(&app, "/v1/reconciliation/flows", &manager, &document).await;
    assert_eq!(again, json!({"taken": "same", "reported": 0, "paid": 0}));
    // The receipt that comes after all is known by its id.
    let (_, answer) = app.soap("paSendRT", &receipt("token-2", &second, "12.00", "2026-11-23T09:31:00")).await;
    assert!(answer.contains("PAA_RECEIPT_DUPLICATA"), "{answer}");
    let (_, revised) =
        send(&app, "/v1/reconciliation/flows?revision=1", &manager, &flow("2026-11-24T07:00:00", "77777777777", "24.00", &lines[..2])).await;
    assert_eq!(revised["taken"], "replaced");
    assert_eq!(send(&app, "/v1/reconciliation/flows", &manager, &document).await.1["taken"], "outdated");
    for path in [&received, &reported] {
        assert_eq!(app.get(path, &web).await["receipts"].as_array().unwrap().len(), 1);
    }

    let path = "/v1/reconciliation?to=2026-11-24";
    let seen = app.get(path, &manager).await;
    assert_eq!((&seen["flows"][0]["reading"], &seen["flows"][0]["transfer"]), (&json!("sound"), &json!("missing")), "{seen}");
    assert_eq!((&seen["flows"][0]["matched"], &seen["flows"][0]["unmatched"][0]["what"]), (&json!(1), &json!("paid_by_report")), "{seen}");
    let statement = "data;importo;descrizione\n24/11/2026;24,00;/PUR/LGPE-RIVERSAMENTO/TXT/0/URI/2026-11-24BANCA-1\n\
                     24/11/2026;9,00;/PUR/LGPE-RIVERSAMENTO/TXT/0/URI/2026-11-24ALTRA-1\n";
    let (status, taken) = send(&app, "/v1/reconciliation/statements", &manager, statement).await;
    assert_eq!((status.as_u16(), taken), (200, json!({"lines": 2})));
    assert_eq!(send(&app, "/v1/reconciliation/statements", &manager, statement).await.1, json!({"lines": 0}));

    // It is all there after a restart.
    let app = app.restart().await;
    let seen = app.get(path, &manager).await;
    assert_eq!((&seen["flows"][0]["transfer"], &seen["flows"][0]["revision"]), (&json!("came"), &json!(1)), "{seen}");
    assert_eq!(seen["lines_without_flow"][0]["flow"], "2026-11-24ALTRA-1");
    app.stop().await;
}

/// Transfers of which there is no flow, by the name and the cents of each, are listed so, and also when their files are read again at a start, in whatever order.
async fn listed_once(app: App, manager: &str, expected: &[(&str, u64)]) {
    let expected: Vec<Value> = expected.iter().map(|(flow, cents)| json!([format!("2026-11-24{flow}-1"), cents])).collect();
    let seen = |report: &Value| -> Vec<Value> {
        report["lines_without_flow"].as_array().unwrap().iter().map(|line| json!([line["flow"], line["amount_cents"]])).collect()
    };
    assert_eq!(seen(&app.get("/v1/reconciliation", manager).await), expected);
    let app = app.restart().await;
    assert_eq!(seen(&app.get("/v1/reconciliation", manager).await), expected, "after a start");
    app.stop().await;
}

#[actix_rt::test]
async fn every_transfer_of_a_statement_counts_once() {
    let app = App::start().await;
    let manager = app.key(Role::Manager).await;
    let text = |flow: &str| format!("/PUR/LGPE-RIVERSAMENTO/TXT/0/URI/2026-11-24{flow}-1");
    // Tables without references, one with the days of the other; two that are alike in one table are two.
    let row = |day: &str, cents: &str, flow: &str| format!("{day}/11/2026;{cents};{}\n", text(flow));
    let table = |rows: &[String]| format!("data;importo;descrizione\n{}", rows.concat());
    let (day, twice) = (row("23", "24,00", "BANCA"), row("23", "5,00", "DOPPIA"));
    // A bank books two transfers together, and has one reference for both.
    let details = |euros: &str, flow: &str| format!("<TxDtls><Amt Ccy=\"EUR\">{euros}</Amt><RmtInf><Ustrd>{}</Ustrd></RmtInf></TxDtls>", text(flow));
    let together = format!(
        "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08\"><BkToCstmrStmt><Stmt><Ntry><Amt Ccy=\"EUR\">30.00</Amt>\
         <CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-11-24</Dt></BookgDt><AcctSvcrRef>COLL-1</AcctSvcrRef><NtryDtls>{}{}</NtryDtls>\
         </Ntry></Stmt></BkToCstmrStmt></Document>",
        details("10.00", "UNA"),
        details("20.00", "DUE")
    );
    for (file, new) in [
        (table(&[day.clone(), twice.clone(), twice.clone()]), 3),
        (table(&[day, twice.clone(), twice, row("24", "12,00", "ALTRA")]), 1),
        (together.clone(), 2),
        (together.replace("<BkToCstmrStmt>", "<BkToCstmrStmt><GrpHdr/>"), 0),
    ] {
        assert_eq!(send(&app, "/v1/reconciliation/statements", &manager, &file).await.1, json!({"lines": new}), "{file}");
    }
    let expected = [("ALTRA", 1_200), ("BANCA", 2_400), ("DOPPIA", 500), ("DOPPIA", 500), ("DUE", 2_000), ("UNA", 1_000)];
    listed_once(app, &manager, &expected).await;
}

#[actix_rt::test]
async fn a_transfer_that_a_table_and_another_form_tell_counts_once() {
    let app = App::start().await;
    let manager = app.key(Role::Manager).await;
    let text = |flow: &str| format!("/PUR/LGPE-RIVERSAMENTO/TXT/0/URI/2026-11-24{flow}-1");
    // The table has words of the bank around what the transfer says, and no reference.
    let table = |rows: &[(&str, &str)]| -> String {
        let row = |(flow, euros): &(&str, &str)| format!("24/11/2026;{euros};BONIFICO A VOSTRO FAVORE {} ORD BANCA\n", text(flow));
        format!("data;importo;descrizione\n{}", rows.iter().map(row).collect::<String>())
    };
    let entry = |flow: &str, euros: &str, reference: &str| {
        format!(
            "<Ntry><Amt Ccy=\"EUR\">{euros}</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-11-24</Dt></BookgDt>\
             <AcctSvcrRef>{reference}</AcctSvcrRef><NtryDtls><TxDtls><RmtInf><Ustrd>{}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>",
            text(flow)
        )
    };
    let camt = |entries: &[String]| {
        format!(
            "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08\"><BkToCstmrStmt><Stmt>{}</Stmt></BkToCstmrStmt></Document>",
            entries.concat()
        )
    };
    for (file, new) in [
        (table(&[("BANCA", "24,00"), ("DUE", "5,00")]), 2),
        // One of two that are alike is known from the table.
        (camt(&[entry("BANCA", "24.00", "B-1"), entry("DUE", "5.00", "B-2"), entry("DUE", "5.00", "B-3"), entry("POI", "7.00", "B-4")]), 2),
        (table(&[("DUE", "5,00"), ("DUE", "5,00"), ("POI", "7,00")]), 0),
        // Another reference is another transfer, also in another file.
        (camt(&[entry("POI", "7.00", "B-5")]), 1),
        (table(&[("POI", "7,00"), ("POI", "7,00")]), 0),
    ] {
        assert_eq!(send(&app, "/v1/reconciliation/statements", &manager, &file).await.1, json!({"lines": new}), "{file}");
    }
    let expected = [("BANCA", 2_400), ("DUE", 500), ("DUE", 500), ("POI", 700), ("POI", 700)];
    listed_once(app, &manager, &expected).await;
}

#[actix_rt::test]
async fn a_transfer_that_the_bank_books_back_has_not_come() {
    let app = App::start().await;
    let manager = app.key(Role::Manager).await;
    let lines = [line("01234567890123456", "x", "24.00", 0)];
    send(&app, "/v1/reconciliation/flows", &manager, &flow("2026-11-24T06:00:00", "77777777777", "24.00", &lines)).await;
    let row = |day: u8, euros: &str| format!("{day}/11/2026;{euros};/PUR/LGPE-RIVERSAMENTO/TXT/0/URI/2026-11-24BANCA-1\n");
    let mut statement = "data;importo;descrizione\n".to_owned();
    for (day, euros, transfer) in [(24, "24,00", "came"), (25, "-24,00", "missing"), (26, "-0,50", "missing"), (27, "24,00", "came")] {
        statement.push_str(&row(day, euros));
        assert_eq!(send(&app, "/v1/reconciliation/statements", &manager, &statement).await.1, json!({"lines": 1}), "of {day}");
        let seen = app.get("/v1/reconciliation?to=2026-11-24", &manager).await;
        assert_eq!((&seen["flows"][0]["transfer"], &seen["lines_without_flow"]), (&json!(transfer), &json!([])), "of {day}: {seen}");
    }
    // What went out and quotes no flow is no line of it, and of a flow that is not here it is missed nowhere.
    let others = "data;importo;descrizione\n24/11/2026;-9,00;affitto\n24/11/2026;-7,00;/PUR/LGPE-RIVERSAMENTO/TXT/0/URI/2026-11-24ALTRA-1\n";
    assert_eq!(send(&app, "/v1/reconciliation/statements", &manager, others).await.1, json!({"lines": 1}));
    assert_eq!(app.get("/v1/reconciliation?to=2026-11-24", &manager).await["lines_without_flow"], json!([]));
    let app = app.restart().await;
    let seen = app.get("/v1/reconciliation?to=2026-11-24", &manager).await;
    assert_eq!(seen["flows"][0]["transfer"], "came", "{seen}");
    app.stop().await;
}

/// Ninety days after its last day a statement is erased, with everybody whom it names; what flows are held against is the same as before.
#[actix_rt::test]
async fn of_an_old_statement_nothing_is_left_but_what_flows_are_held_against() {
    let app = App::start().await;
    let manager = app.key(Role::Manager).await;
    let lines = [line("01234567890123456", "x", "24.00", 0)];
    for name in ["2026-11-24BANCA-1", "2026-11-24BANCA-10"] {
        send(&app, "/v1/reconciliation/flows", &manager, &named_flow(name, "2026-11-24T06:00:00", "77777777777", "24.00", &lines)).await;
    }
    let quoted = |flow: &str| format!("/PUR/LGPE-RIVERSAMENTO/TXT/0/URI/2026-11-24{flow}-1");
    let row = |day: &str, euros: &str, text: &str| format!("{day}/2026;{euros};{text}\n");
    let table = [
        "data;importo;descrizione\n".to_owned(),
        row("22/11", "24,00", &format!("BONIFICO {} ORD. Mario Rossi", quoted("BANCA"))),
        row("23/11", "9,00", "Mario Rossi, affitto"),
        row("24/11", "-24,00", &quoted("BANCA")),
        // The bank has broken the name of a flow where it could be whole.
        row("24/11", "24,00", &quoted("BANCA").replace("BANCA-1", "BANCA-1 0")),
    ]
    .concat();
    let camt = format!(
        "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08\"><BkToCstmrStmt><Stmt><Ntry><Amt Ccy=\"EUR\">7.00</Amt>\
         <CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-11-25</Dt></BookgDt><AcctSvcrRef>B-1</AcctSvcrRef><NtryDtls><TxDtls>\
         <RmtInf><Ustrd>{} Rossi</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry></Stmt></BkToCstmrStmt></Document>",
        quoted("ALTRA")
    );
    let nobody_quoted = "data;importo;descrizione\n23/11/2026;1,00;Mario Rossi\n";
    for (file, new) in [(table.as_str(), 4), (camt.as_str(), 1), (nobody_quoted, 1)] {
        assert_eq!(send(&app, "/v1/reconciliation/statements", &manager, file).await.1, json!({"lines": new}), "{file}");
    }
    let path = "/v1/reconciliation?to=2026-11-24";
    let before = app.get(path, &manager).await;
    assert_eq!((&before["flows"][0]["transfer"], &before["lines_without_flow"][0]["line"]), (&json!("came"), &json!("B-1")), "{before}");
    let naming = |app: &App| -> usize {
        let files = std::fs::read_dir(app.folder().join("reconciliation")).unwrap();
        files.filter(|file| std::fs::read_to_string(file.as_ref().unwrap().path()).unwrap().contains("Rossi")).count()
    };
    assert_eq!(naming(&app), 3);
    let kept = Arc::clone(app.reconciliation.as_ref().unwrap());
    for (day, erased, left) in [("2027-02-21", 0, 3), ("2027-02-22", 1, 2), ("2027-02-23", 1, 1), ("2027-02-24", 1, 0), ("2027-02-25", 0, 0)] {
        assert_eq!((kept.erase_due(day.parse().unwrap()).await.unwrap(), naming(&app)), (erased, left), "{day}");
    }
    assert_eq!(app.get(path, &manager).await, before);
    // Nor is anything left of what a process was writing when it was killed.
    std::fs::write(app.folder().join("reconciliation/statement.0.csv.new"), nobody_quoted).unwrap();
    drop(kept);
    let app = app.restart().await;
    assert_eq!((app.get(path, &manager).await, naming(&app)), (before.clone(), 0));
    // What is given once more is known, but for what quotes no flow.
    assert_eq!(send(&app, "/v1/reconciliation/statements", &manager, &table).await.1, json!({"lines": 1}));
    assert_eq!(app.get(path, &manager).await, before);
    app.stop().await;
}

/// Whom a statement names is erased also where nobody is paid over pagoPA any more; but not by a clock that may be wrong, as nobody has it again by setting that right.
#[actix_rt::test]
async fn statements_that_are_due_are_erased_without_pagopa_and_not_by_a_clock_that_is_far_ahead() {
    let app = App::start().await;
    let manager = app.key(Role::Manager).await;
    let table = "data;importo;descrizione\n23/11/2026;9,00;Mario Rossi, affitto\n";
    assert_eq!(send(&app, "/v1/reconciliation/statements", &manager, table).await.1, json!({"lines": 1}));
    let (clock, ahead) = (Arc::clone(&app.clock), app.node().now().plus_seconds(100 * DAY_S));
    let app = app.restart_after(move |_| clock.set(ahead)).await;
    let left = Reconciliation::left_in(app.folder(), 0).unwrap().unwrap();
    assert_eq!(left.erase_by_clock(app.node()).await.unwrap(), None);
    app.clock.set(ahead.plus_seconds(DAY_S));
    assert_eq!(left.erase_by_clock(app.node()).await.unwrap(), Some(1));
    assert_eq!(left.erase_by_clock(app.node()).await.unwrap(), Some(0));
    let nothing = app.folder().join("journal");
    assert!(Reconciliation::left_in(&nothing, 0).unwrap().is_none() && !nothing.exists(), "no folder is made where none is needed");
    app.stop().await;
}

#[actix_rt::test]
async fn what_is_not_ours_or_does_not_add_up_pays_nothing() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let (path, number) = notice(&app, &web, "1").await;
    let lines = [line(&number[1..], "token-1", "12.00", 0)];
    for (document, code) in [
        (flow("2026-11-24T06:00:00", "11111111111", "12.00", &lines), "invalid"),
        ("<FlussoRiversamento/>".to_owned(), "invalid"),
        ("<!DOCTYPE x [<!ENTITY a \"b\">]><x>&a;</x>".to_owned(), "invalid"),
    ] {
        let (status, refused) = send(&app, "/v1/reconciliation/flows", &manager, &document).await;
        assert_eq!((status.as_u16(), &refused["code"]), (422, &json!(code)), "{document}: {refused}");
    }
    let (_, aside) = send(&app, "/v1/reconciliation/flows", &manager, &flow("2026-11-24T06:00:00", "77777777777", "13.00", &lines)).await;
    assert_eq!(aside, json!({"taken": "new", "reported": 0, "paid": 0}), "its total fits in no reading");
    assert_eq!(app.get("/v1/reconciliation?to=2026-11-24", &manager).await["flows"][0]["reading"], "total");
    assert_eq!(app.get(&path, &web).await["state"], "pending");
    let restricted = app.key_for(Role::Manager, Museums::Only(vec![TORRE])).await;
    assert_eq!(app.request(Method::GET, "/v1/reconciliation", &restricted).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    app.stop().await;
}

#[actix_rt::test]
async fn what_a_flow_takes_back_pays_nothing() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let (paid, first) = notice(&app, &web, "1").await;
    let (taken_back, second) = notice(&app, &web, "2").await;
    let lines = [line(&first[1..], "token-1", "12.00", 0), line(&second[1..], "token-2", "12.00", 0), line(&second[1..], "token-2", "12.00", 3)];
    let (status, done) = send(&app, "/v1/reconciliation/flows", &manager, &flow("2026-11-24T06:00:00", "77777777777", "12.00", &lines)).await;
    assert_eq!((status.as_u16(), done), (200, json!({"taken": "new", "reported": 2, "paid": 1})));
    app.until(&paid, &web, |seen| seen["items"][0]["state"] == "sold").await;
    let seen = app.get(&taken_back, &web).await;
    assert_eq!((&seen["state"], &seen["receipts"]), (&json!("pending"), &json!([])), "{seen}");
    let seen = app.get("/v1/reconciliation?to=2026-11-24", &manager).await;
    let what: Vec<&str> = seen["flows"][0]["unmatched"].as_array().unwrap().iter().map(|unmatched| unmatched["what"].as_str().unwrap()).collect();
    assert_eq!((&seen["flows"][0]["reading"], what), (&json!("sound"), vec!["paid_by_report", "revoked", "revoked"]), "{seen}");
    app.stop().await;
}

#[actix_rt::test]
async fn what_a_flow_names_as_revoked_is_no_longer_there() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let (path, number) = notice(&app, &web, "1").await;
    let (_, answer) = app.soap("paSendRT", &receipt("token-1", &number, "12.00", "2026-11-23T09:31:00")).await;
    assert!(answer.contains("OK"), "{answer}");
    app.until(&path, &web, |seen| seen["items"][0]["state"] == "sold").await;
    let other = line("01234567890123456", "x", "20.00", 0);
    let lines = [other, line(&number[1..], "token-1", "12.00", 3)];
    let send_flow = async |name: &str, total: &str, lines: &[String]| {
        let (status, done) =
            send(&app, "/v1/reconciliation/flows", &manager, &named_flow(name, "2026-11-24T06:00:00", "77777777777", total, lines)).await;
        assert_eq!(status, StatusCode::OK, "{done}");
        done
    };
    let posted = async |account: &Value| -> i64 {
        let seen = app.get(&path, &manager).await;
        let lines = seen["ledger"].as_array().unwrap().iter().filter(|line| line["account"] == *account);
        lines.map(|line| line["amount_cents"].as_i64().unwrap()).sum()
    };
    let museum = app.get(&path, &manager).await["museum"].clone();
    let (treasury, bank) = (json!("treasury"), json!({"taken_back": {"museum": museum}}));
    // Where it was added to the total, the money is here: somebody has to look.
    assert_eq!(send_flow("2026-11-24BANCA-1", "32.00", &lines[..]).await, json!({"taken": "new", "reported": 0, "paid": 0}));
    assert_eq!((posted(&treasury).await, posted(&bank).await), (1_200, 0));
    for (taken, reported) in [("new", 1), ("same", 0)] {
        assert_eq!(send_flow("2026-11-24BANCA-2", "8.00", &lines[..]).await, json!({"taken": taken, "reported": reported, "paid": 0}));
        assert_eq!((posted(&treasury).await, posted(&bank).await), (0, 1_200));
    }
    let seen = app.get(&path, &manager).await;
    assert_eq!((&seen["state"], &seen["taken_back_cents"], &seen["charged_back"]), (&json!("paid"), &json!(1_200), &json!(false)), "{seen}");
    app.until("/v1/payments", &manager, |page| page["items"][0]["taken_back_cents"] == 1_200).await;
    let seen = app.get("/v1/reconciliation?to=2026-11-24", &manager).await;
    let revoked = seen["flows"].as_array().unwrap().iter().find(|flow| flow["flow"] == "2026-11-24BANCA-2").unwrap();
    assert_eq!((&revoked["reading"], &revoked["unmatched"][1]["what"]), (&json!("sound"), &json!("revoked")), "{seen}");

    // It is so as well where the receipt comes after the flow.
    let (later, number) = notice(&app, &web, "2").await;
    let lines = [line("01234567890123456", "y", "20.00", 0), line(&number[1..], "token-2", "12.00", 3)];
    send_flow("2026-11-24BANCA-3", "8.00", &lines[..]).await;
    assert_eq!(app.get(&later, &web).await["receipts"], json!([]));
    let (_, answer) = app.soap("paSendRT", &receipt("token-2", &number, "12.00", "2026-11-23T09:31:00")).await;
    assert!(answer.contains("OK"), "{answer}");
    let seen = app.get(&later, &web).await;
    assert_eq!((&seen["state"], &seen["taken_back_cents"]), (&json!("paid"), &json!(1_200)), "{seen}");
    app.stop().await;
}

#[actix_rt::test]
async fn what_a_flow_took_back_is_there_again_when_it_is_issued_anew_without_it() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let (path, number) = notice(&app, &web, "1").await;
    app.soap("paSendRT", &receipt("token-1", &number, "12.00", "2026-11-23T09:31:00")).await;
    app.until(&path, &web, |seen| seen["items"][0]["state"] == "sold").await;
    let lines = [line("01234567890123456", "x", "20.00", 0), line(&number[1..], "token-1", "12.00", 3)];
    let first = flow("2026-11-24T06:00:00", "77777777777", "8.00", &lines[..]);
    let second = flow("2026-11-24T07:00:00", "77777777777", "20.00", &lines[..1]);
    // Where the next one adds it to its total nobody knows whether the money went, as if that had come first.
    let [third, fourth] =
        [("2026-11-24T08:00:00", "8.00"), ("2026-11-24T09:00:00", "32.00")].map(|(at, total)| flow(at, "77777777777", total, &lines[..]));
    for (document, taken, reported, taken_back) in [
        (&first, "new", 1, 1_200),
        (&second, "replaced", 1, 0),
        (&second, "same", 0, 0),
        (&first, "outdated", 0, 0),
        (&third, "replaced", 1, 1_200),
        (&fourth, "replaced", 1, 0),
        (&fourth, "same", 0, 0),
    ] {
        let (_, done) = send(&app, "/v1/reconciliation/flows", &manager, document).await;
        assert_eq!(done, json!({"taken": taken, "reported": reported, "paid": 0}));
        assert_eq!(app.get(&path, &web).await["taken_back_cents"], taken_back, "{taken}");
    }
    let seen = app.get(&path, &manager).await;
    let treasury = seen["ledger"].as_array().unwrap().iter().filter(|line| line["account"] == "treasury");
    assert_eq!(treasury.map(|line| line["amount_cents"].as_i64().unwrap()).sum::<i64>(), 1_200, "{seen}");

    // It is so as well where the machine stopped when the new issue was kept and told nobody, whatever their files are called.
    let before = named_flow("2026-11-24BANCA-2", "2026-11-24T06:00:00", "77777777777", "8.00", &lines[..]);
    let anew = named_flow("2026-11-24BANCA-2", "2026-11-24T07:00:00", "77777777777", "20.00", &lines[..1]);
    send(&app, "/v1/reconciliation/flows", &manager, &before).await;
    assert_eq!(app.get(&path, &web).await["taken_back_cents"], 1_200);
    std::fs::write(app.folder().join("reconciliation/flow.-.0.xml"), anew).unwrap();
    let app = app.restart().await;
    for _ in 0..2 {
        app.reconciliation.as_ref().unwrap().tell_untold(&app.shared_node(), &Pagopa::demo_settings().unwrap()).await;
        assert_eq!(app.get(&path, &web).await["taken_back_cents"], 0);
    }
    app.stop().await;
}

#[actix_rt::test]
async fn what_two_flows_have_of_one_receipt_is_named_in_both() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let (path, number) = notice(&app, &web, "1").await;
    for (name, code, paid) in [("2026-11-24BANCA-1", 8, 1), ("2026-11-24BANCA-2", 0, 0)] {
        let document = named_flow(name, "2026-11-24T06:00:00", "77777777777", "12.00", &[line(&number[1..], "token-1", "12.00", code)]);
        let (_, done) = send(&app, "/v1/reconciliation/flows", &manager, &document).await;
        assert_eq!(done, json!({"taken": "new", "reported": 1, "paid": paid}));
    }
    let seen = app.get("/v1/reconciliation?to=2026-11-24", &manager).await;
    let what: Vec<&Value> = seen["flows"].as_array().unwrap().iter().map(|flow| &flow["unmatched"][0]["what"]).collect();
    assert_eq!(what, [&json!("sent_again"), &json!("sent_again")], "{seen}");
    assert_eq!(app.get(&path, &web).await["receipts"].as_array().unwrap().len(), 1, "it is one payment");
    // The sender takes back what it has sent twice, and later what was paid.
    for (name, taken_back) in [("2026-11-24BANCA-3", 0), ("2026-11-24BANCA-4", 1_200)] {
        let lines = [line("01234567890123456", "x", "20.00", 0), line(&number[1..], "token-1", "12.00", 3)];
        let (_, done) =
            send(&app, "/v1/reconciliation/flows", &manager, &named_flow(name, "2026-11-24T06:00:00", "77777777777", "8.00", &lines[..])).await;
        assert_eq!(done, json!({"taken": "new", "reported": 1, "paid": 0}));
        assert_eq!(app.get(&path, &web).await["taken_back_cents"], taken_back, "{name}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn a_receipt_that_no_flow_has_is_missed_after_two_working_days() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let (_, number) = notice(&app, &web, "1").await;
    app.soap("paSendRT", &receipt("token-1", &number, "12.00", "2026-11-23T09:31:00")).await;
    assert_eq!(app.get("/v1/reconciliation", &manager).await["receipts_without_flow"], json!([]));
    app.pass(3 * 86_400).await;
    let seen = app.get("/v1/reconciliation", &manager).await;
    assert_eq!(seen["receipts_without_flow"][0]["receipt"], "token-1", "{seen}");
    app.stop().await;
}

#[actix_rt::test]
async fn what_a_flow_has_paid_is_missed_when_it_is_issued_anew_without_it() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let (path, number) = notice(&app, &web, "1").await;
    let lines = [line("01234567890123456", "x", "20.00", 0), line(&number[1..], "token-1", "12.00", 9)];
    let missed = async || -> Value { app.get("/v1/reconciliation", &manager).await["receipts_without_flow"].clone() };
    send(&app, "/v1/reconciliation/flows", &manager, &flow("2026-11-24T06:00:00", "77777777777", "32.00", &lines[..])).await;
    app.until(&path, &web, |seen| seen["items"][0]["state"] == "sold").await;
    app.pass(3 * 86_400).await;
    assert_eq!(missed().await, json!([]));
    // The money of the second will not come; its tickets are out.
    send(&app, "/v1/reconciliation/flows", &manager, &flow("2026-11-24T07:00:00", "77777777777", "20.00", &lines[..1])).await;
    let missed = missed().await;
    assert_eq!(
        (&missed[0]["receipt"], &missed[0]["amount_cents"], missed.as_array().unwrap().len()),
        (&json!("token-1"), &json!(1_200), 1),
        "{missed}"
    );
    app.stop().await;
}

#[actix_rt::test]
async fn a_report_says_if_it_is_cut() {
    let app = App::start().await;
    let manager = app.key(Role::Manager).await;
    let path = "/v1/reconciliation?to=2026-11-24";
    assert_eq!(app.get(path, &manager).await["truncated"], false);
    for number in 0..501 {
        let (line, name) = ([line("01234567890123456", "x", "1.00", 0)], format!("2026-11-24BANCA-{number}"));
        let document = named_flow(&name, "2026-11-24T06:00:00", "77777777777", "1.00", &line);
        std::fs::write(app.folder().join(format!("reconciliation/flow.{number}.0.xml")), document).unwrap();
    }
    let app = app.restart().await;
    let seen = app.get(path, &manager).await;
    assert_eq!((seen["flows"].as_array().unwrap().len(), &seen["truncated"]), (500, &json!(true)));
    app.stop().await;
}

#[actix_rt::test]
async fn payments_that_a_flow_has_not_told_yet_are_told_at_the_next_start() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let (reported, number) = notice(&app, &web, "1").await;
    let document = flow("2026-11-24T06:00:00", "77777777777", "12.00", &[line(&number[1..], "token-1", "12.00", 0)]);
    // As when the machine stopped after the file was written.
    std::fs::write(app.folder().join("reconciliation/flow.1.0.xml"), document).unwrap();
    let app = app.restart().await;
    let path = "/v1/reconciliation?to=2026-11-24";
    let seen = app.get(path, &manager).await;
    assert_eq!(seen["flows"][0]["unmatched"][0]["what"], "not_told", "{seen}");
    assert_eq!(app.get(&reported, &web).await["state"], "pending");
    let settings = Pagopa::demo_settings().unwrap();
    for _ in 0..2 {
        app.reconciliation.as_ref().unwrap().tell_untold(&app.shared_node(), &settings).await;
    }
    app.until(&reported, &web, |seen| seen["state"] == "paid").await;
    let seen = app.get(path, &manager).await;
    assert_eq!(seen["flows"][0]["unmatched"][0]["what"], "paid_by_report", "{seen}");
    assert!(app.folder().join("reconciliation/flow.1.0.told").exists());
    app.stop().await;
}

/// Copies the journal of a folder.
fn backup(folder: &Path) {
    std::fs::copy(folder.join("journal.log"), folder.join("journal.copy")).unwrap();
}

/// Puts that copy in its place.
fn put_back(folder: &Path) {
    std::fs::rename(folder.join("journal.copy"), folder.join("journal.log")).unwrap();
    // Nobody knows of what is lost, so nobody is asked.
    for file in ["views.db", "views.db-wal", "views.db-shm", "scorers.state"] {
        let _ = std::fs::remove_file(folder.join(file));
    }
}

/// A payment that a flow has paid, of which the copy of the journal knows nothing: with the keys of a shop and of a manager, and where the payment is.
async fn paid_by_a_flow_after_a_backup() -> (App, [String; 2], String) {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let (reported, number) = notice(&app, &web, "1").await;
    let document = flow("2026-11-24T06:00:00", "77777777777", "12.00", &[line(&number[1..], "token-1", "12.00", 0)]);
    let app = app.restart_after(backup).await;
    assert_eq!(send(&app, "/v1/reconciliation/flows", &manager, &document).await.1["paid"], 1);
    app.until(&reported, &web, |seen| seen["items"][0]["state"] == "sold").await;
    (app, [web, manager], reported)
}

#[actix_rt::test]
async fn what_a_flow_paid_is_paid_again_when_an_older_journal_is_put_back() {
    let (app, [web, manager], reported) = paid_by_a_flow_after_a_backup().await;
    let settings = Pagopa::demo_settings().unwrap();
    let tell = async |app: &App| app.reconciliation.as_ref().unwrap().tell_untold(&app.shared_node(), &settings).await;
    let app = app.restart_after(put_back).await;
    assert_eq!(app.get(&reported, &web).await["state"], "pending");
    assert_eq!(app.get("/v1/reconciliation?to=2026-11-24", &manager).await["flows"][0]["unmatched"][0]["what"], "not_told");
    tell(&app).await;
    app.until(&reported, &web, |seen| seen["items"][0]["state"] == "sold").await;
    tell(&app).await;
    assert_eq!(app.get(&reported, &web).await["receipts"].as_array().unwrap().len(), 1);
    app.stop().await;
}

/// As when a payment could not be told at the first start on an older journal, and that has grown as long as the other one was by the second.
#[actix_rt::test]
async fn what_a_flow_could_not_tell_an_older_journal_is_told_after_another_start_too() {
    let (app, [web, _], reported) = paid_by_a_flow_after_a_backup().await;
    let told = app.node().head().number;
    let app = app.restart_after(put_back).await;
    assert!(app.node().head().number < told);
    let mut more = 0;
    while app.node().head().number <= told {
        more += 1;
        app.hold(slot(TORRE, 16), &web, &format!("more-{more}"), json!([{"category": "full", "count": 1}])).await;
    }
    let app = app.restart().await;
    let settings = Pagopa::demo_settings().unwrap();
    app.reconciliation.as_ref().unwrap().tell_untold(&app.shared_node(), &settings).await;
    app.until(&reported, &web, |seen| seen["items"][0]["state"] == "sold").await;
    app.stop().await;
}

/// A journal of which one payment cannot be read, while it is worn.
pub struct Worn {
    pub journal: FileJournal,
    pub payment: PaymentId,
    pub is_worn: Arc<AtomicBool>,
    /// The streams that were read.
    pub read: Arc<Mutex<Vec<StreamId>>>,
}

impl Journal for Worn {
    fn append<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), JournalError>> {
        self.journal.append(batch)
    }
    fn head(&self) -> BoxFuture<'_, Result<Head, JournalError>> {
        self.journal.head()
    }
    fn batches(&self, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>> {
        self.journal.batches(after, limit)
    }
    fn batches_of(&self, stream: StreamId, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>> {
        self.read.lock().unwrap().push(stream);
        if stream == StreamId::Payment(self.payment) && self.is_worn.load(Ordering::SeqCst) {
            return Box::pin(async { Err(JournalError::Unreachable("input/output error".into())) });
        }
        self.journal.batches_of(stream, after, limit)
    }
    fn batch_with(&self, stream: StreamId, seq: u64) -> BoxFuture<'_, Result<Option<Batch>, JournalError>> {
        self.read.lock().unwrap().push(stream);
        self.journal.batch_with(stream, seq)
    }
    fn cut_last(&self, number: u64) -> BoxFuture<'_, Result<(), JournalError>> {
        self.journal.cut_last(number)
    }
    fn recover(&self) -> BoxFuture<'_, Result<Head, JournalError>> {
        self.journal.recover()
    }
}

#[actix_rt::test]
async fn a_payment_that_cannot_be_told_keeps_no_other_of_its_flow_from_its_tickets() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let (unread, first) = notice(&app, &web, "1").await;
    let (reported, second) = notice(&app, &web, "2").await;
    let [payment, other]: [PaymentId; 2] = [&unread, &reported].map(|path| path.rsplit('/').next().unwrap().parse().unwrap());
    let read: Arc<Mutex<Vec<StreamId>>> = Arc::default();
    let worn = |journal| Arc::new(Worn { journal, payment, is_worn: Arc::new(AtomicBool::new(true)), read: Arc::clone(&read) }) as Arc<dyn Journal>;
    let app = app.restart_threaded(settings(), 1, worn).await;
    let lines = [line(&first[1..], "token-1", "12.00", 0), line(&second[1..], "token-2", "12.00", 0)];
    let document = flow("2026-11-24T06:00:00", "77777777777", "24.00", &lines);
    let (status, told) = send(&app, "/v1/reconciliation/flows", &manager, &document).await;
    assert!(status.is_server_error(), "{told}");
    app.until(&reported, &web, |seen| seen["items"][0]["state"] == "sold").await;
    let tell = async |app: &App| app.reconciliation.as_ref().unwrap().tell_untold(&app.shared_node(), &Pagopa::demo_settings().unwrap()).await;
    // It is tried again, and has nobody read back who was told.
    for _ in 0..2 {
        app.node().tidy().await;
    }
    read.lock().unwrap().clear();
    tell(&app).await;
    let tried = read.lock().unwrap().clone();
    assert!(tried.contains(&StreamId::Payment(payment)) && !tried.contains(&StreamId::Payment(other)), "{tried:?}");
    // The flow is not told before all of it is.
    let app = app.restart().await;
    tell(&app).await;
    app.until(&unread, &web, |seen| seen["items"][0]["state"] == "sold").await;
    app.stop().await;
}

#[actix_rt::test]
async fn a_folder_is_swept_of_what_is_whole_whatever_else_stands_in_it() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let (reported, number) = notice(&app, &web, "1").await;
    let document = flow("2026-11-24T06:00:00", "77777777777", "12.00", &[line(&number[1..], "token-1", "12.00", 0)]);
    let other = named_flow("2026-11-24BANCA-2", "2026-11-24T06:00:00", "77777777777", "1.00", &[line("01234567890123456", "x", "1.00", 0)]);
    let (inbox, settings) = (tempfile::tempdir().unwrap(), Pagopa::demo_settings().unwrap());
    let at = |name: &str| inbox.path().join(name);
    let sweep = async || app.reconciliation.as_ref().unwrap().sweep(&app.shared_node(), &settings, inbox.path()).await.unwrap();
    // What is refused cannot be moved away: a file stands where its folder should be.
    std::fs::write(at("refused"), "").unwrap();
    std::fs::write(at("a.xml"), "<FlussoRiversamento/>").unwrap();
    std::fs::write(at("b.xml"), &document[..document.len() / 2]).unwrap();
    std::fs::write(at("c.xml"), &other).unwrap();
    std::fs::write(at("d.txt"), "no flow").unwrap();
    assert_eq!(sweep().await, 0, "nobody knows yet whether they are whole");
    std::fs::write(at("b.xml"), &document[..document.len() - 10]).unwrap();
    assert_eq!(sweep().await, 1);
    assert!(at("a.xml").exists() && at("b.xml").exists() && at("d.txt").exists() && at("done/c.xml").exists());
    std::fs::write(at("b.xml"), &document).unwrap();
    assert_eq!(sweep().await, 0, "it was written to since");
    std::fs::remove_file(at("refused")).unwrap();
    assert_eq!(sweep().await, 1);
    assert!(at("done/b.xml").exists() && at("refused/a.xml").exists() && at("d.txt").exists());
    assert_eq!(sweep().await, 0);
    app.until(&reported, &web, |seen| seen["state"] == "paid").await;
    let seen = app.get("/v1/reconciliation?to=2026-11-24", &manager).await;
    assert_eq!(seen["flows"].as_array().unwrap().len(), 2, "{seen}");
    app.stop().await;
}
