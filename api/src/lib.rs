//! The face of Tornello: HTTP, the command line, and nothing that decides. Handlers parse, authorise, ask the node and answer. Start reading at [`server`], then
//! [`routes`], the table of everything that can be asked.

pub mod acting;
pub mod auth;
pub mod bank;
pub mod chart;
pub mod client;
pub mod contract;
pub mod csv;
pub mod demo;
pub mod entrance;
pub mod icalendar;
pub mod learning;
pub mod misread;
pub mod mqtt;
pub mod openapi;
pub mod pagopa;
pub mod print;
pub mod problem;
pub mod reasons;
pub mod rehearsal;
pub mod replay;
pub mod request;
pub mod routes;
pub mod server;
pub mod strict;
pub mod unread;
pub mod words;
