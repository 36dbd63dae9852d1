//! Reporting flows fetched from an emulated service: page by page, once each, a later issue in the place of an earlier one.

use std::sync::{Arc, Mutex};

use actix_web::web::{self, Data};
use actix_web::{App as Emulator, HttpRequest, HttpResponse, HttpServer};
use serde_json::{Value, json};
use tornello_api::pagopa::flows::{FlowService, Pulled};
use tornello_api::pagopa::reconciliation::Reconciliation;
use tornello_api::pagopa::settings::Settings;

use crate::support::App;

#[derive(Default)]
struct State {
    /// How often the flow was issued.
    revision: u32,
    /// Whether what stands in it cannot be read.
    is_broken: bool,
    asked: Vec<String>,
}

/// Two payments on two pages, of one flow.
async fn answer(request: HttpRequest, state: Data<Mutex<State>>) -> HttpResponse {
    let mut state = state.lock().unwrap();
    let page = request.query_string().split('&').find_map(|part| part.strip_prefix("page=")).map_or(1, |page| page.parse::<u64>().unwrap());
    assert_eq!(request.headers().get("Ocp-Apim-Subscription-Key").unwrap(), "flows-key");
    state.asked.push(format!("{} {page}", request.path().rsplit('/').next().unwrap()));
    let metadata = |pages: u64| json!({"pageSize": 1000, "pageNumber": page, "totPage": pages});
    let revision = state.revision;
    let body: Value = match request.path().split('/').skip(3).collect::<Vec<_>>()[..] {
        ["77777777777", "fdrs"] => {
            json!({"metadata": metadata(1), "count": 1, "data": [{"fdr": "2026-11-20BANK-1", "pspId": "BANK", "revision": revision, "published": "2026-11-21T00:00:00Z"}]})
        }
        ["77777777777", "fdrs", "2026-11-20BANK-1", "revisions", said, "psps", "BANK"] if said == revision.to_string() => {
            json!({"status": "PUBLISHED", "revision": revision, "fdr": "2026-11-20BANK-1", "fdrDate": "2026-11-21T09:00:00Z", "regulation": "TRN-1",
                "regulationDate": "2026-11-20T12:00:00Z", "totPayments": 2, "sumPayments": 24.1,
                "sender": {"type": "BIC_CODE", "id": "SELBIT2B", "pspId": "BANK", "pspName": "Banca", "pspBrokerId": "7", "channelId": "8"},
                "receiver": {"id": "A", "organizationId": "77777777777", "organizationName": "Musei"}})
        }
        ["77777777777", "fdrs", "2026-11-20BANK-1", "revisions", _, "psps", "BANK", "payments"] => {
            let pay = if page == 1 { 12.1 } else { 12.0 };
            let status = if state.is_broken { "PERHAPS" } else { "EXECUTED" };
            json!({"metadata": metadata(2), "count": 2, "data": [
                {"iuv": format!("iuv-{page}"), "iur": format!("iur-{page}"), "index": 1, "pay": pay, "payStatus": status, "payDate": "2026-11-20T12:00:00Z"}]})
        }
        _ => return HttpResponse::NotFound().json(json!({"httpStatusCode": 404})),
    };
    HttpResponse::Ok().json(body)
}

#[actix_rt::test]
async fn flows_are_fetched_once_and_again_when_they_are_issued_anew() {
    let state = Arc::new(Mutex::new(State { revision: 1, ..State::default() }));
    let shared = Data::from(Arc::clone(&state));
    let emulator = move || Emulator::new().app_data(shared.clone()).default_service(web::to(answer));
    let server = HttpServer::new(emulator).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let (handle, serving) = (server.handle(), actix_web::rt::spawn(server));

    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "broker = \"77777777777\"\nstation = \"77777777777_01\"\n[flows]\nbase_url = \"http://{address}/v1\"\nkey_env = \"FLOWS_KEY\"\n\
        [[creditors]]\nnumber = 1\nfiscal_code = \"77777777777\"\ncompany_name = \"Musei\"\nsegregation = \"00\"\n\
        iban = \"IT60X0542811101000000123456\"\ntaxonomy = \"9/0000000IM/\"\n"
    );
    let settings = Settings::parse(&text, folder.path(), |_| Some("flows-key".to_owned())).unwrap();
    let service = FlowService::new(settings.flows.as_ref().unwrap()).unwrap();
    let (app, kept) = (App::start().await, Reconciliation::open(folder.path(), 0).unwrap());
    let node = app.shared_node();
    let pull = async || service.pull(&node, &settings, &settings.creditors()[0], &kept, node.now()).await.unwrap();
    let taken = |taken| Pulled { taken, left: 0 };
    assert_eq!((pull().await, pull().await), (taken(1), taken(0)), "what is known is not fetched again");
    let asked = std::mem::take(&mut state.lock().unwrap().asked);
    assert_eq!(asked, ["fdrs 1", "BANK 1", "payments 1", "payments 2", "fdrs 1"]);
    let papers = kept.papers();
    let [flow] = papers.flows.iter().collect::<Vec<_>>()[..] else { panic!("one flow") };
    assert_eq!((flow.revision, flow.payments.len(), flow.total.get()), (1, 2, 2_410));
    state.lock().unwrap().revision = 2;
    assert_eq!(pull().await, taken(1));
    let revisions = || kept.papers().flows.iter().map(|flow| flow.revision).collect::<Vec<_>>();
    assert_eq!(revisions(), [2]);
    // One that cannot be read is left, so that it is asked for again until it can.
    {
        let mut state = state.lock().unwrap();
        (state.revision, state.is_broken) = (3, true);
    }
    assert_eq!((pull().await, revisions()), (Pulled { taken: 0, left: 1 }, vec![2]));
    state.lock().unwrap().is_broken = false;
    assert_eq!((pull().await, revisions()), (taken(1), vec![3]));
    drop(node);
    app.stop().await;
    handle.stop(true).await;
    serving.await.unwrap().unwrap();
}
