//! pagoPA, the platform through which Italian public bodies are paid.
//!
//! `soap` is the station that the node asks (SANP 3.12), `gpd`, `checkout` and `flows` are what we ask, `fdr` reads what banks report, `matching` holds it against what we
//! know, `settings` is what an operator says of all that: the wire and nothing behind it, whose forms are plain structs. Behind it, `gateway` lets the driver of payments
//! speak to the platform, and `reconciliation` keeps what banks report; the station over our payments is `routes::station`.

pub mod checkout;
pub mod fdr;
pub mod flows;
pub mod gateway;
pub mod gpd;
pub mod matching;
pub mod reconciliation;
pub mod settings;
pub mod soap;
pub mod wire;
pub mod xml;
