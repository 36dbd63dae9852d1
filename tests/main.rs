//! Tornello over HTTP, as a caller sees it: a server on a free port, a folder of its own, a clock that stands still. One binary, so that it links once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod journeys;
mod linearizable;
mod mqtt;
mod pagopa;
mod routes_accounts;
mod routes_acting;
mod routes_availability;
mod routes_carts;
mod routes_days;
mod routes_docs;
mod routes_fraud;
mod routes_fraud_again;
mod routes_fraud_chance;
mod routes_fraud_learning;
mod routes_fraud_rules;
mod routes_gates;
mod routes_group_policy;
mod routes_health;
mod routes_history;
mod routes_history_before;
mod routes_limits;
mod routes_live;
mod routes_manifests;
mod routes_moves;
mod routes_museums;
mod routes_payments;
mod routes_people;
mod routes_planning;
mod routes_presence;
mod routes_quotes;
mod routes_readings;
mod routes_reconciliation;
mod routes_refunds;
mod routes_rests;
mod routes_sales;
mod routes_scans;
mod routes_scopes;
mod routes_slots;
mod routes_station;
mod routes_tickets;
mod routes_tills;
mod routes_waiting;
mod routes_waiting_rooms;
mod support;
