//! Tornello over HTTP, as a caller sees it: a server on a free port, a folder of its own, a clock that stands still. One binary, so that it links once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod journeys;
mod routes_gates;
mod routes_people;
mod routes_sales;
mod routes_tickets;
mod support;

use support::App;
use tornello_actors::keys::Role;

#[actix_rt::test]
async fn it_starts_and_stops() {
    let app = App::start().await;
    let key = app.key(Role::Web).await;
    assert_eq!(app.request(reqwest::Method::GET, "/v1/nothing", &key).send().await.unwrap().status(), 404);
    app.stop().await;
}
