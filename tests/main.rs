//! Tornello over HTTP, as a caller sees it: a server on a free port, a folder of its own, a clock that stands still. One binary, so that it links once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod journeys;
mod linearizable;
mod mqtt;
mod pagopa;
mod routes_availability;
mod routes_docs;
mod routes_gates;
mod routes_health;
mod routes_history;
mod routes_live;
mod routes_manifests;
mod routes_moves;
mod routes_museums;
mod routes_people;
mod routes_readings;
mod routes_sales;
mod routes_scans;
mod routes_scopes;
mod routes_slots;
mod routes_tickets;
mod routes_waiting;
mod support;
