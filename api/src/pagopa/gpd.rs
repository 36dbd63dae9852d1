//! The platform's archive of debt positions (GPD, version 1): what we tell it so that a notice can be paid while our station is down, and so that what was paid
//! elsewhere is not paid twice.
//!
//! Everything may be said twice: where the archive answers 409, what it has is read, and if that is what we meant it is done. Amounts are cents; instants are
//! sent in UTC, and those that come without a zone are taken as UTC.

use std::fmt;

use jiff::civil::DateTime;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use tornello_engine::ids::{MuseumId, PaymentId};
use tornello_engine::money::Cents;
use tornello_engine::notice::{FiscalCode, NoticeNumber};
use tornello_engine::time::Timestamp;

use super::settings::{Creditor, Service};
use super::soap::Debtor;
use super::wire::{CallError, Wire};

/// The longest description, in characters.
const DESCRIPTION_MAX: usize = 140;
const NO_BODY: Option<&()> = None;

/// How far a position has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Not to be paid yet.
    Draft,
    /// To be paid from a day on.
    Published,
    /// To be paid.
    Valid,
    /// Withdrawn for good.
    Invalid,
    /// Too late, until its date is moved.
    Expired,
    /// One of its instalments was paid.
    PartiallyPaid,
    /// Paid.
    Paid,
    /// Paid, and the money came.
    Reported,
}

/// A debt: one notice, one transfer to one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    creditor: FiscalCode,
    notice: NoticeNumber,
    model: Model,
}

impl Position {
    /// For a payment to `creditor`. It expires by itself at `due_at`, to the second.
    #[must_use]
    pub fn new(
        creditor: &Creditor,
        payment: PaymentId,
        museum: MuseumId,
        amount: Cents,
        due_at: Timestamp,
        description: &str,
        debtor: &Debtor,
    ) -> Self {
        let notice = creditor.notice(payment);
        let description: String = description.chars().take(DESCRIPTION_MAX).collect();
        let transfer = Transfer {
            id_transfer: "1".to_owned(),
            amount: amount.get(),
            remittance_information: description.clone(),
            category: creditor.taxonomy.to_string(),
            iban: Some(creditor.iban(museum).as_str().to_owned()),
            postal_iban: creditor.postal_iban.map(|iban| iban.as_str().to_owned()),
            organization_fiscal_code: Some(creditor.fiscal_code.to_string()),
        };
        let option = PaymentOption {
            nav: Some(notice.to_string()),
            iuv: notice.iuv(),
            amount: amount.get(),
            description,
            is_partial_payment: false,
            due_date: Instant(Timestamp::from_seconds(due_at.as_seconds())),
            transfer: vec![transfer],
        };
        let model = Model {
            iupd: iupd(payment),
            kind: if debtor.natural { "F" } else { "G" },
            pay_stand_in: true,
            fiscal_code: debtor.code.chars().take(16).collect(),
            full_name: debtor.full_name.chars().take(70).collect(),
            switch_to_expired: true,
            company_name: creditor.company_name.clone(),
            office_name: creditor.office_name.clone(),
            payment_option: vec![option],
        };
        Self { creditor: creditor.fiscal_code, notice, model }
    }

    /// The same, to be paid or not while our station cannot be asked.
    #[must_use]
    pub fn standing_in(mut self, may: bool) -> Self {
        self.model.pay_stand_in = may;
        self
    }

    /// The archive's name of it.
    #[must_use]
    pub fn iupd(&self) -> &str {
        &self.model.iupd
    }

    /// Its notice number.
    #[must_use]
    pub const fn notice(&self) -> NoticeNumber {
        self.notice
    }

    /// Whether what the archive has is this. It does not say who owes it, so that is not compared.
    fn is(&self, found: &Found) -> bool {
        let same = |found: &FoundOption| {
            let ours = &self.model.payment_option[0];
            found.iuv == ours.iuv
                && (found.nav.is_none() || found.nav == ours.nav)
                && found.amount == ours.amount
                && found.description == ours.description
                && found.due_date == ours.due_date
                && found.transfer.len() == 1
                && found.transfer.iter().zip(&ours.transfer).all(|(found, ours)| {
                    (&found.id_transfer, found.amount, &found.category, &found.iban) == (&ours.id_transfer, ours.amount, &ours.category, &ours.iban)
                })
        };
        found.payment_option.len() == 1 && found.payment_option.iter().all(same)
    }
}

/// The archive's name of a payment: unique for each creditor, and the same whenever it is asked.
#[must_use]
pub fn iupd(payment: PaymentId) -> String {
    format!("tornello-{payment}")
}

/// The archive.
#[derive(Debug, Clone)]
pub struct Gpd(Wire);

impl Gpd {
    /// Where the settings say.
    pub fn new(service: &Service) -> Result<Self, CallError> {
        Wire::new(service).map(Self)
    }

    /// Puts a position there, to be paid at once or as a draft. One that is there already stays as it is, unless it is a draft that is to be paid.
    ///
    /// # Errors
    /// `Conflict` if another position has its name or its notice number, or if it was withdrawn; whatever the archive or the way to it says otherwise.
    pub async fn create(&self, position: &Position, publish: bool) -> Result<(), CallError> {
        let creditor = position.creditor.to_string();
        let path = ["organizations", &creditor, "debtpositions"];
        let answer = self.0.send(Method::POST, &path, &[("toPublish", flag(publish))], Some(&position.model)).await?;
        match answer.status {
            StatusCode::CREATED | StatusCode::OK => Ok(()),
            StatusCode::CONFLICT => {
                let there = match self.get(position.creditor, position.iupd()).await {
                    // Another position has our IUV or notice number.
                    Err(CallError::NotFound) => return Err(answer.error()),
                    there => there?,
                };
                if !position.is(&there) {
                    return Err(CallError::Conflict { detail: format!("another position of this name, {}", there.status) });
                }
                match there.status {
                    Status::Draft if publish => self.publish(position.creditor, position.iupd()).await,
                    Status::Invalid => Err(CallError::Conflict { detail: "the position is withdrawn".to_owned() }),
                    _ => Ok(()),
                }
            }
            _ => Err(answer.error()),
        }
    }

    /// Puts something else in its place, while nothing was paid.
    ///
    /// # Errors
    /// `Conflict` if it can be changed no more and is not what it should become; whatever the archive or the way to it says otherwise.
    pub async fn update(&self, position: &Position, publish: bool) -> Result<(), CallError> {
        let creditor = position.creditor.to_string();
        let path = ["organizations", &creditor, "debtpositions", position.iupd()];
        let answer = self.0.send(Method::PUT, &path, &[("toPublish", flag(publish))], Some(&position.model)).await?;
        match answer.status {
            StatusCode::OK => Ok(()),
            StatusCode::CONFLICT => {
                let there = self.get(position.creditor, position.iupd()).await?;
                let payable = matches!(there.status, Status::Published | Status::Valid);
                let done = position.is(&there) && (payable || there.status == Status::Draft && !publish);
                if done { Ok(()) } else { Err(CallError::Conflict { detail: format!("the position is {}", there.status) }) }
            }
            _ => Err(answer.error()),
        }
    }

    /// Lets a draft be paid.
    pub async fn publish(&self, creditor: FiscalCode, iupd: &str) -> Result<(), CallError> {
        self.step(creditor, iupd, "publish", |status| matches!(status, Status::Published | Status::Valid)).await
    }

    /// Sees to it that it can be paid no more: withdraws it for good. One that has expired, as every position does whose notice nobody pays, the archive does not withdraw, and need
    /// not: it comes back only if its date is moved.
    pub async fn invalidate(&self, creditor: FiscalCode, iupd: &str) -> Result<(), CallError> {
        self.step(creditor, iupd, "invalidate", |status| matches!(status, Status::Invalid | Status::Expired)).await
    }

    async fn step(&self, creditor: FiscalCode, iupd: &str, step: &str, done: impl Fn(Status) -> bool) -> Result<(), CallError> {
        let code = creditor.to_string();
        let answer = self.0.send(Method::POST, &["organizations", &code, "debtpositions", iupd, step], &[], NO_BODY).await?;
        match answer.status {
            StatusCode::OK => Ok(()),
            StatusCode::CONFLICT => {
                let there = self.get(creditor, iupd).await?;
                if done(there.status) { Ok(()) } else { Err(CallError::Conflict { detail: format!("the position is {}", there.status) }) }
            }
            _ => Err(answer.error()),
        }
    }

    /// Says that a notice was paid, and not through the platform.
    ///
    /// # Errors
    /// `Conflict` if it is paid already and not as is said here, or cannot be; whatever the archive or the way to it says otherwise.
    pub async fn paid_elsewhere(&self, creditor: FiscalCode, iupd: &str, notice: NoticeNumber, paid_at: Timestamp) -> Result<(), CallError> {
        let (code, nav) = (creditor.to_string(), notice.to_string());
        let paid = AlreadyPaid { payment_date: Instant(Timestamp::from_seconds(paid_at.as_seconds())) };
        let answer = self.0.send(Method::POST, &["organizations", &code, "paymentoptions", "paids", &nav], &[], Some(&paid)).await?;
        match answer.status {
            StatusCode::OK => Ok(()),
            StatusCode::CONFLICT => {
                // Paid already: as we said, or by somebody through the platform, which would be twice.
                let there = self.get(creditor, iupd).await?;
                let ours = |option: &FoundOption| option.nav.as_deref() == Some(&nav) && option.payment_date == Some(paid.payment_date);
                let done = there.payment_option.iter().any(ours);
                if done { Ok(()) } else { Err(CallError::Conflict { detail: format!("the position is {}", there.status) }) }
            }
            _ => Err(answer.error()),
        }
    }

    /// What the archive has.
    pub async fn get(&self, creditor: FiscalCode, iupd: &str) -> Result<Found, CallError> {
        let code = creditor.to_string();
        let answer = self.0.send(Method::GET, &["organizations", &code, "debtpositions", iupd], &[], NO_BODY).await?;
        if answer.status == StatusCode::OK { answer.json() } else { Err(answer.error()) }
    }
}

/// A position as the archive tells it (`PaymentPositionModelBaseResponse`), as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// Its name.
    pub iupd: String,
    /// How far it has come.
    pub status: Status,
    /// The ways to pay it.
    #[serde(default)]
    pub payment_option: Vec<FoundOption>,
}

/// A way to pay it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundOption {
    /// The notice number.
    pub nav: Option<String>,
    /// The IUV.
    pub iuv: String,
    /// In cents.
    pub amount: i64,
    /// What for.
    #[serde(default)]
    pub description: String,
    /// Until when.
    pub due_date: Instant,
    /// When it was paid, if it was.
    pub payment_date: Option<Instant>,
    /// The token of the payment through the platform, if there was one.
    pub id_receipt: Option<String>,
    /// Where the money goes.
    #[serde(default)]
    pub transfer: Vec<FoundTransfer>,
}

/// A part of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundTransfer {
    /// `1` to `5`.
    pub id_transfer: String,
    /// In cents.
    pub amount: i64,
    /// The code of the taxonomy.
    #[serde(default)]
    pub category: String,
    /// The account.
    pub iban: Option<String>,
}

/// An instant as the archive writes it: with a zone, or without and then in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub Timestamp);

impl Serialize for Instant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let zoned = text.parse::<Timestamp>();
        let civil = || text.parse::<DateTime>().ok().and_then(|civil| jiff::tz::Offset::UTC.to_timestamp(civil).ok()).map(Timestamp::from_jiff);
        zoned.ok().or_else(civil).map(Self).ok_or_else(|| serde::de::Error::custom("not an instant"))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draft => "a draft",
            Self::Published => "published",
            Self::Valid => "valid",
            Self::Invalid => "withdrawn",
            Self::Expired => "expired",
            Self::PartiallyPaid => "paid in part",
            Self::Paid => "paid",
            Self::Reported => "reported",
        })
    }
}

/// `PaymentPositionModel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Model {
    iupd: String,
    #[serde(rename = "type")]
    kind: &'static str,
    pay_stand_in: bool,
    fiscal_code: String,
    full_name: String,
    switch_to_expired: bool,
    company_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    office_name: Option<String>,
    payment_option: Vec<PaymentOption>,
}

/// `PaymentOptionModel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct PaymentOption {
    nav: Option<String>,
    iuv: String,
    amount: i64,
    description: String,
    is_partial_payment: bool,
    due_date: Instant,
    transfer: Vec<Transfer>,
}

/// `TransferModel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Transfer {
    id_transfer: String,
    amount: i64,
    remittance_information: String,
    category: String,
    iban: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    postal_iban: Option<String>,
    organization_fiscal_code: Option<String>,
}

/// `AlreadyPaidPaymentOptionModel`.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct AlreadyPaid {
    payment_date: Instant,
}

const fn flag(set: bool) -> &'static str {
    if set { "true" } else { "false" }
}
