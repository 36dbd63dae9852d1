//! What goes over the wire to and from pagoPA, held against its contracts: `contracts` reads these, `station` checks what the node asks and is answered,
//! `platform` is an emulator of the services that we ask, `services` our clients of them. `node` is an emulator of the node that asks us, `payers` pay over it.

mod contracts;
mod flows;
mod node;
mod payers;
pub mod platform;
mod services;
mod station;

use std::path::Path;
use std::time::Duration;

use tornello_api::pagopa::settings::Settings;

/// Two creditors, and services at an address on this machine that answer fast or not at all.
pub fn settings(address: &str) -> Settings {
    let text = format!(
        r#"
broker = "97832870584"
station = "97832870584_01"
gpd = {{ base_url = "http://{address}/gpd/debt-positions-service/v1", key_env = "GPD" }}
checkout = {{ base_url = "http://{address}/checkout/ec/v1", key_env = "CHECKOUT" }}

[[creditors]]
number = 1
fiscal_code = "97832870584"
company_name = "Direzione generale Musei"
office_name = "Ufficio Gruppi"
segregation = "01"
iban = "IT60X0542811101000000123456"
postal_iban = "IT24D0542811101000000654321"
taxonomy = "9/0000000IM/"

[[creditors]]
number = 2
fiscal_code = "77777777777"
company_name = "Parco archeologico"
segregation = "47"
iban = "IT60X0542811101000000123456"
taxonomy = "9/0000000TS/"
museums = [3]
"#
    );
    let mut settings = Settings::parse(&text, Path::new("."), |name| Some(format!("key-of-{name}"))).unwrap();
    for service in [&mut settings.gpd, &mut settings.checkout] {
        service.as_mut().unwrap().timeout = Duration::from_millis(300);
    }
    settings
}
