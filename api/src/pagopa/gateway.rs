//! The gateway of positions: what `actors::payments` wants the platform to know is said to the archive of debt positions (GPD), and payers are led to the payment
//! pages (Checkout).
//!
//! Without an archive in the settings a position counts as published as soon as it is journaled, and nobody is told of its end: the node asks our station for
//! everything. That is how the demo runs. In production the synchronous integration has to register every position too, so that it can be paid while the
//! station is down (SANP 3.5 to 3.7, *Integrazione tramite API sincrone*): give the settings a `[gpd]`.

use actix_web::http::StatusCode;
use tornello_engine::ids::PaymentId;
use tornello_engine::money::Cents;

use super::checkout::{Cart, Checkout, ReturnUrls};
use super::gpd::Gpd;
use super::settings::{Creditor, Settings, SettingsError};
use super::wire::CallError;
use crate::problem::Problem;

/// The settings of a demo: the platform's test creditor, whose fiscal code nobody has (SACI 3.2.1), no archive and no payment pages. The taxonomy code is a
/// placeholder.
const DEMO: &str = r#"
broker = "77777777777"
station = "77777777777_01"

[[creditors]]
number = 1
fiscal_code = "77777777777"
company_name = "Musei di prova"
segregation = "00"
iban = "IT60X0542811101000000123456"
taxonomy = "9/0000000IM/"
"#;

/// What connects an installation to pagoPA.
#[derive(Debug)]
pub struct Pagopa {
    settings: Settings,
    gpd: Option<Gpd>,
    checkout: Option<Checkout>,
}

impl Pagopa {
    /// As the settings say.
    ///
    /// # Errors
    /// If a client of one of the services cannot be made.
    pub fn new(settings: Settings) -> Result<Self, CallError> {
        let gpd = settings.gpd.as_ref().map(Gpd::new).transpose()?;
        let checkout = settings.checkout.as_ref().map(Checkout::new).transpose()?;
        Ok(Self { settings, gpd, checkout })
    }

    /// The settings of a demo: one creditor for every museum, nothing to be reached.
    ///
    /// # Errors
    /// None as shipped: a test reads them.
    pub fn demo_settings() -> Result<Settings, SettingsError> {
        Settings::parse(DEMO, std::path::Path::new("."), |_| None)
    }

    /// What was said of pagoPA.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether payers can be led to payment pages.
    #[must_use]
    pub const fn has_checkout(&self) -> bool {
        self.checkout.is_some()
    }

    /// Leaves a notice at the payment pages; answers where the browser has to go.
    ///
    /// # Errors
    /// `gateway_off` without pages, `checkout_refused` if they will not have it, `gateway_unavailable` if they do not answer.
    pub async fn page(&self, payment: PaymentId, creditor: &Creditor, amount: Cents, subject: &str, urls: ReturnUrls) -> Result<String, Problem> {
        let Some(checkout) = &self.checkout else {
            return Err(Problem::new(StatusCode::CONFLICT, "gateway_off", "money does not come on that way here"));
        };
        let cart = Cart::new(Some(payment.to_string()), urls);
        let cart = cart.with(creditor.notice(payment), creditor.fiscal_code, amount, &creditor.company_name, subject);
        match checkout.leave(&cart).await {
            Ok(url) => Ok(url.to_string()),
            Err(error) if error.is_retryable() => {
                tracing::warn!(%error, %payment, "the payment pages do not answer");
                Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "gateway_unavailable", "the payment pages do not answer now")
                    .detail("The payment stands: ask for a link again, or pay its notice.")
                    .retry_after(5))
            }
            Err(error) => {
                tracing::error!(%error, %payment, "the payment pages refuse a notice");
                Err(Problem::new(StatusCode::CONFLICT, "checkout_refused", "the payment pages do not take this notice")
                    .detail("Pay the notice on another way, or cancel the payment."))
            }
        }
    }
}
