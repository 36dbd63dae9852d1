//! The gateway of positions: what `actors::payments` wants the platform to know is said to the archive of debt positions (GPD), and payers are led to the payment
//! pages (Checkout).
//!
//! Without an archive in the settings a position counts as published as soon as it is journaled, and nobody is told of its end: the node asks our station for
//! everything. That is how the demo runs. In production the synchronous integration has to register every position too, so that it can be paid while the
//! station is down (SANP 3.5 to 3.7, *Integrazione tramite API sincrone*): give the settings a `[gpd]`.

use futures_util::future::BoxFuture;
use tornello_actors::payments::{self, Gateway, GatewayError, Returns};
use tornello_engine::ids::PaymentId;
use tornello_engine::payment::{Opened, Receipt};

use super::checkout::{Cart, Checkout, ReturnUrls};
use super::gpd::{Gpd, Position, iupd};
use super::settings::{Creditor, Settings, SettingsError};
use super::soap::Debtor;
use super::wire::CallError;

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

    /// The creditor that a payment is due to, whose number its id begins with.
    fn creditor(&self, payment: PaymentId) -> Result<&Creditor, GatewayError> {
        self.settings.creditor(payment.creditor()).ok_or_else(|| never("creditor_gone"))
    }

    async fn leave(&self, cart: &payments::Cart) -> Result<String, GatewayError> {
        let checkout = self.checkout.as_ref().ok_or_else(|| never("gateway_off"))?;
        let url = |text: &str| text.parse().map_err(|_| never("bad_return_url"));
        let Returns { ok, cancelled, error, waiting } = &cart.returns;
        let urls = ReturnUrls {
            return_ok_url: url(ok)?,
            return_cancel_url: url(cancelled)?,
            return_error_url: url(error)?,
            return_waiting_url: url(waiting)?,
        };
        let name = cart.payments.first().map(|(payment, _)| payment.to_string());
        let mut left = Cart::new(name, urls);
        for (payment, opened) in &cart.payments {
            let creditor = self.creditor(*payment)?;
            left = left.with(creditor.notice(*payment), creditor.fiscal_code, opened.amount_cents, &creditor.company_name, &opened.subject);
        }
        checkout.leave(&left).await.map(|url| url.to_string()).map_err(|error| told("a cart is not taken", &error))
    }
}

impl Gateway for Pagopa {
    fn publish<'a>(&'a self, payment: PaymentId, opened: &'a Opened) -> BoxFuture<'a, Result<(), GatewayError>> {
        Box::pin(async move {
            let creditor = self.creditor(payment)?;
            let Some(gpd) = &self.gpd else { return Ok(()) };
            gpd.create(&position(creditor, payment, opened), true).await.map_err(|error| told("a position is not published", &error))
        })
    }

    fn stand_in<'a>(&'a self, payment: PaymentId, opened: &'a Opened, may: bool) -> BoxFuture<'a, Result<(), GatewayError>> {
        Box::pin(async move {
            let creditor = self.creditor(payment)?;
            let Some(gpd) = &self.gpd else { return Ok(()) };
            match gpd.update(&position(creditor, payment, opened).standing_in(may), true).await {
                // What is paid there meanwhile, or over, is not paid again.
                Ok(()) | Err(CallError::NotFound | CallError::Conflict { .. }) => Ok(()),
                Err(error) => Err(told("a position does not hear that its slot is closed, or open again", &error)),
            }
        })
    }

    fn withdraw(&self, payment: PaymentId) -> BoxFuture<'_, Result<(), GatewayError>> {
        Box::pin(async move {
            let creditor = self.creditor(payment)?;
            let Some(gpd) = &self.gpd else { return Ok(()) };
            match gpd.invalidate(creditor.fiscal_code, &iupd(payment)).await {
                Ok(()) | Err(CallError::NotFound) => Ok(()),
                Err(error) => Err(told("a position is not withdrawn", &error)),
            }
        })
    }

    fn paid_elsewhere<'a>(&'a self, payment: PaymentId, receipt: &'a Receipt) -> BoxFuture<'a, Result<(), GatewayError>> {
        Box::pin(async move {
            let creditor = self.creditor(payment)?;
            let Some(gpd) = &self.gpd else { return Ok(()) };
            match gpd.paid_elsewhere(creditor.fiscal_code, &iupd(payment), creditor.notice(payment), receipt.paid_at).await {
                Ok(()) | Err(CallError::NotFound) => Ok(()),
                Err(error) => Err(told("a position is not closed", &error)),
            }
        })
    }

    fn checkout<'a>(&'a self, cart: &'a payments::Cart) -> BoxFuture<'a, Result<String, GatewayError>> {
        Box::pin(self.leave(cart))
    }
}

/// What the archive has of a payment.
fn position(creditor: &Creditor, payment: PaymentId, opened: &Opened) -> Position {
    let Opened { museum, amount_cents, due_at, subject, .. } = opened;
    Position::new(creditor, payment, *museum, *amount_cents, *due_at, subject, &Debtor::anonymous())
}

/// What the driver is told. A key that is not taken is an operator's to put right: until then it is asked again.
fn told(what: &str, error: &CallError) -> GatewayError {
    match error {
        CallError::Conflict { .. } => {
            tracing::error!(%error, what);
            never("conflict")
        }
        CallError::Refused { .. } | CallError::NotFound => {
            tracing::error!(%error, what);
            never("refused")
        }
        _ => GatewayError::Later(error.to_string()),
    }
}

fn never(code: &str) -> GatewayError {
    code.parse().map_or_else(|_| GatewayError::Later(code.to_owned()), GatewayError::Never)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_has_one_creditor_for_every_museum_and_reaches_nobody() {
        let pagopa = Pagopa::new(Pagopa::demo_settings().unwrap()).unwrap();
        let creditor = pagopa.settings().creditor_of_museum(tornello_engine::ids::MuseumId(7)).unwrap();
        assert_eq!((creditor.number, creditor.fiscal_code.to_string()), (1, "77777777777".to_owned()));
        assert!(!pagopa.has_checkout() && pagopa.gpd.is_none());
    }
}
