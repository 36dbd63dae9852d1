//! The platform's payment pages (Checkout): a cart of notices goes there, and the address comes back to which the browser is sent.
//!
//! That the browser returns proves nothing: only the receipt does. The cart's id comes back with it as `paymentNote`.

use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use tornello_engine::money::Cents;
use tornello_engine::notice::{AMOUNT_MAX, FiscalCode, NoticeNumber};

use super::settings::{Service, is_safe};
use super::wire::{CallError, Wire};

/// The most notices of one cart.
pub const NOTICES_MAX: usize = 5;
const TEXT_MAX: usize = 140;

/// What is to be paid together, and where the browser goes afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cart {
    payment_notices: Vec<PaymentNotice>,
    return_urls: ReturnUrls,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_notice: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_cart: Option<String>,
    #[serde(rename = "allCCP")]
    all_ccp: bool,
}

/// Where the browser goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReturnUrls {
    /// When it was paid.
    #[serde(serialize_with = "address")]
    pub return_ok_url: Url,
    /// When the payer gave up.
    #[serde(serialize_with = "address")]
    pub return_cancel_url: Url,
    /// When it failed.
    #[serde(serialize_with = "address")]
    pub return_error_url: Url,
    /// When it is not known yet. Only the second version of the service asks for it; the first takes it.
    #[serde(serialize_with = "address")]
    pub return_waiting_url: Url,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct PaymentNotice {
    notice_number: String,
    fiscal_code: String,
    amount: i64,
    company_name: String,
    description: String,
}

impl Cart {
    /// An empty cart. `id` comes back with the receipt.
    #[must_use]
    pub const fn new(id: Option<String>, return_urls: ReturnUrls) -> Self {
        Self { payment_notices: Vec::new(), return_urls, email_notice: None, id_cart: id, all_ccp: false }
    }

    /// The address to which the platform sends its own confirmation.
    #[must_use]
    pub fn with_email(mut self, email: &str) -> Self {
        self.email_notice = Some(email.to_owned());
        self
    }

    /// Adds a notice. Texts are cut to their length.
    #[must_use]
    pub fn with(mut self, notice: NoticeNumber, creditor: FiscalCode, amount: Cents, company_name: &str, description: &str) -> Self {
        let cut = |text: &str| text.chars().take(TEXT_MAX).collect();
        self.payment_notices.push(PaymentNotice {
            notice_number: notice.to_string(),
            fiscal_code: creditor.to_string(),
            amount: amount.get(),
            company_name: cut(company_name),
            description: cut(description),
        });
        self
    }
}

/// The payment pages.
#[derive(Debug, Clone)]
pub struct Checkout(Wire);

impl Checkout {
    /// Where the settings say.
    pub fn new(service: &Service) -> Result<Self, CallError> {
        Wire::new(service).map(Self)
    }

    /// Leaves a cart there; answers where the browser has to go. A cart may be left twice: what is paid is a notice, not a cart.
    pub async fn leave(&self, cart: &Cart) -> Result<Url, CallError> {
        let refused = |detail: &str| CallError::Refused { status: 422, detail: detail.to_owned() };
        if !(1..=NOTICES_MAX).contains(&cart.payment_notices.len()) {
            return Err(refused("1 to 5 notices are expected"));
        }
        if cart.payment_notices.iter().any(|notice| !(1..=AMOUNT_MAX.get()).contains(&notice.amount)) {
            return Err(refused("an amount cannot be asked for"));
        }
        let answer = self.0.send(Method::POST, &["carts"], &[], Some(cart)).await?;
        if answer.status != StatusCode::FOUND {
            return Err(if answer.status.is_redirection() { CallError::Unusable("it is another redirect than 302") } else { answer.error() });
        }
        let location = answer.location.as_deref().and_then(|location| Url::parse(location).ok());
        let location = location.ok_or(CallError::Unusable("it says not where the browser has to go"))?;
        let plain = location.username().is_empty() && location.password().is_none();
        if is_safe(&location) && plain { Ok(location) } else { Err(CallError::Unusable("it sends the browser where nothing is safe")) }
    }
}

fn address<S: serde::Serializer>(url: &Url, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(url.as_str())
}
