//! pagoPA, the platform through which Italian public bodies are paid: the wire and nothing behind it.
//!
//! `soap` is the station that the node asks (SANP 3.12), `gpd` and `checkout` are what we ask, `fdr` reads what banks report, `settings` is what an operator
//! says of all that. How payments are kept is no business of this module; the forms it takes and gives are plain structs.

pub mod checkout;
pub mod fdr;
pub mod gpd;
pub mod settings;
pub mod soap;
pub mod wire;
pub mod xml;
