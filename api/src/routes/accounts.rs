//! Operators' accounts: who they are, what was agreed with them, how much they may owe, and what they owe. The rules are in `engine::account`.

use actix_web::middleware::Compress;
use actix_web::{HttpResponse, get, post, put, web};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tornello_actors::failure::Failure;
use tornello_actors::keys::Museums;
use tornello_actors::node::Node;
use tornello_actors::views::quotes::AccountRow;
use tornello_engine::account::{Account, AgreedPrice, Agreement, Charge, ChargeOf, Command, PaidBy};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::ids::{Code, MuseumId};
use tornello_engine::money::Cents;
use tornello_engine::recall::Recall;
use tornello_engine::time::Timestamp;

use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, envelope};
use crate::routes::quotes::InstitutionForm;
use crate::routes::readings::MuseumName;
use crate::routes::{created, files, page, page_size};

/// What a place costs by an agreement; never more than by the tariff.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AgreedPriceForm {
    /// So many percent less than the tariff (1 to 100), the reduction rounded down to the cent.
    PercentOff(u8),
    /// So many euro cents (0 to 100000), whatever the tariff says.
    FixedCents(i64),
}

/// What was agreed for one category.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgreementForm {
    /// At which museum, by slug or number, of one that is registered; absent: at every museum. It is told by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub museum: Option<MuseumName>,
    /// For which category of its tariff.
    #[schema(value_type = String, max_length = 23, examples("full"))]
    pub category: Code,
    /// What it costs.
    pub price: AgreedPriceForm,
    /// The first day of visits, in Rome.
    #[serde(deserialize_with = "crate::strict::day")]
    #[schema(value_type = String, format = Date, examples("2027-01-01"))]
    pub from: Date,
    /// The last one.
    #[serde(deserialize_with = "crate::strict::day")]
    #[schema(value_type = String, format = Date, examples("2027-12-31"))]
    pub to: Date,
}

impl AgreementForm {
    /// What is meant.
    fn read(&self, node: &Node) -> Result<Agreement, Problem> {
        let price = match self.price {
            AgreedPriceForm::PercentOff(percent) => AgreedPrice::PercentOff(percent),
            AgreedPriceForm::FixedCents(cents) => AgreedPrice::Fixed(Cents::new(cents)),
        };
        let museum = self.museum.as_ref().map(|museum| museum.id(node).ok_or_else(|| no_museum(&museum.text()))).transpose()?;
        Ok(Agreement { museum, category: self.category, price, from: self.from, to: self.to })
    }
}

/// Asserts that every museum for which something new is agreed is registered: of another one it would say nothing. What was agreed before that was asked may stay.
fn at_known_museums(node: &Node, agreements: &[Agreement], before: &[Agreement]) -> Result<(), Problem> {
    let added = agreements.iter().filter(|agreement| !before.contains(agreement));
    match added.filter_map(|agreement| agreement.museum).find(|museum| node.museums().get(*museum).is_none()) {
        None => Ok(()),
        Some(unknown) => Err(no_museum(&unknown.0.to_string())),
    }
}

/// An agreement names a museum, by slug or number, that there is not.
fn no_museum(name: &str) -> Problem {
    Problem::invalid(format!("agreements: there is no museum {name}"))
        .detail("Name one that `GET /v1/museums` lists, by its slug or number, or leave it out for every museum.")
}

impl From<&Agreement> for AgreementForm {
    fn from(agreement: &Agreement) -> Self {
        let price = match agreement.price {
            AgreedPrice::PercentOff(percent) => AgreedPriceForm::PercentOff(percent),
            AgreedPrice::Fixed(cents) => AgreedPriceForm::FixedCents(cents.get()),
        };
        let Agreement { category, from, to, .. } = *agreement;
        Self { museum: agreement.museum.map(|museum| MuseumName::Number(museum.0)), category, price, from, to }
    }
}

/// A new account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountForm {
    /// Its code: that of the operator's keys.
    #[schema(value_type = String, max_length = 23, examples("roma-tours"))]
    pub account: Code,
    /// Who it is, by codes.
    #[serde(default)]
    pub institution: InstitutionForm,
    /// How much it may owe, in euro cents; absent: no limit.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1_000_000_000_i64, examples(500_000))]
    pub limit_cents: Option<i64>,
}

/// What an account is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountChangeForm {
    /// Who it is, by codes.
    pub institution: InstitutionForm,
    /// How much it may owe, in euro cents; `null`: no limit. It cannot be left out: who does that has forgotten it, and does not want to lend without a limit.
    #[serde(deserialize_with = "crate::request::said")]
    #[schema(required = true, minimum = 0, maximum = 1_000_000_000_i64, examples(500_000))]
    pub limit_cents: Option<i64>,
    /// Whether it is charged no more for now.
    pub suspended: bool,
}

/// What was agreed with an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgreementsForm {
    /// All agreements from now on, at most 500: those before are replaced.
    #[schema(max_items = 500)]
    pub agreements: Vec<AgreementForm>,
}

/// A bank transfer that somebody has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettlementOfAccountForm {
    /// How much came, in euro cents. What is more than owed stays as credit.
    #[schema(minimum = 1, maximum = 1_000_000_000_i64, examples(24_000))]
    pub amount_cents: i64,
    /// Its reference, as the bank knows it: printable ASCII, no name of a person. The same reference is taken once.
    #[schema(min_length = 1, max_length = 35, examples("CRO-0123456789"))]
    pub reference: String,
}

/// What an account was charged for.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ChargeView {
    /// The quote, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    quote: Option<String>,
    /// Its revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u32>,
    /// The sale, if it was one without a quote.
    #[serde(skip_serializing_if = "Option::is_none")]
    sale: Option<String>,
    /// At which museum, where that was noted.
    #[serde(skip_serializing_if = "Option::is_none")]
    museum: Option<u16>,
    /// How much, in euro cents.
    amount_cents: i64,
    /// What of it is for fees and extras, in euro cents.
    extras_cents: i64,
    /// What of it was taken back since, in euro cents.
    taken_back_cents: i64,
    /// When (RFC 3339, UTC).
    at: String,
}

/// What an account has paid.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PaidView {
    /// The payment, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<String>,
    /// The reference of the bank transfer, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// How much, in euro cents.
    amount_cents: i64,
    /// When it was noted (RFC 3339, UTC).
    at: String,
}

/// An account.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AccountView {
    /// Its code.
    #[schema(value_type = String)]
    account: Code,
    /// Who it is.
    institution: InstitutionForm,
    /// All agreements, past and future.
    agreements: Vec<AgreementForm>,
    /// How much it may owe, in euro cents; absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_cents: Option<i64>,
    /// What may still be charged, in euro cents; absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    credit_left_cents: Option<i64>,
    /// What it owes as a whole, in euro cents; below zero: a credit. Only for keys that are good for every museum, as the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    owed_cents: Option<i64>,
    /// Whether it is charged no more for now.
    suspended: bool,
    /// What it was charged for.
    charges: Vec<ChargeView>,
    /// What it has paid.
    payments: Vec<PaidView>,
}

fn charge_view((of, charge): (&ChargeOf, &Charge)) -> ChargeView {
    let (quote, revision, sale) = match of {
        ChargeOf::Quote { quote, revision, .. } => (Some(quote.to_string()), Some(*revision), None),
        ChargeOf::Sale { sale } => (None, None, Some(sale.to_string())),
    };
    let Charge { amount_cents, extras_cents, museum, taken_back_cents, at } = charge;
    ChargeView {
        quote,
        revision,
        sale,
        museum: museum.map(|museum| museum.0),
        amount_cents: amount_cents.get(),
        extras_cents: extras_cents.get(),
        taken_back_cents: taken_back_cents.get(),
        at: at.to_string(),
    }
}

fn paid_view((by, (amount_cents, at)): (&PaidBy, &(Cents, Timestamp))) -> PaidView {
    let (payment, reference) = match by {
        PaidBy::Payment { payment } => (Some(payment.to_string()), None),
        PaidBy::BankTransfer { reference } => (None, Some(reference.clone())),
    };
    PaidView { payment, reference, amount_cents: amount_cents.get(), at: at.to_string() }
}

/// An account as a key sees it: of one that is good for some museums, what concerns these and all, and nothing of what it owes and may owe as a whole.
fn view_of(account: &Account, museums: &Museums) -> Option<AccountView> {
    let (opened, is_whole) = (account.opened()?, *museums == Museums::All);
    let is_seen = |museum: Option<MuseumId>| museum.map_or(is_whole, |museum| museums.allows(museum));
    Some(AccountView {
        account: opened.code,
        institution: InstitutionForm::of(&opened.institution),
        agreements: account.agreements().iter().filter(|agreed| agreed.museum.is_none() || is_seen(agreed.museum)).map(AgreementForm::from).collect(),
        limit_cents: account.limit_cents().filter(|_| is_whole).map(Cents::get),
        credit_left_cents: account.credit_left_cents().filter(|_| is_whole).map(Cents::get),
        owed_cents: is_whole.then(|| account.owed_cents().get()),
        suspended: account.is_suspended(),
        charges: account.charges().filter(|(_, charge)| is_seen(charge.museum)).map(charge_view).collect(),
        payments: account.payments().filter(|_| is_whole).map(paid_view).collect(),
    })
}

/// An account as it is now, for whoever asks.
async fn view(node: &Node, caller: &Caller, code: Code) -> Result<AccountView, Problem> {
    // An operator's own account is its own at every museum.
    let museums = if caller.account_of_operator() == Some(code) { Museums::All } else { caller.0.museums.clone() };
    match node.look_account(code, move |account| view_of(account, &museums)).await {
        Ok(found) => found.ok_or_else(Problem::not_found),
        Err(Failure::Refused(_)) => Err(Problem::not_found()),
        Err(failure) => Err(failure.into()),
    }
}

/// Whether an account is anything to a caller. To a key that is good for some museums it is if it was charged there, or has a price agreement or a quote: as in the list.
async fn concerns(node: &Node, caller: &Caller, code: Code) -> Result<bool, Problem> {
    let Museums::Only(museums) = &caller.0.museums else { return Ok(true) };
    if caller.account_of_operator() == Some(code) {
        return Ok(true);
    }
    let of_key = museums.clone();
    let is_there = move |account: &Account| {
        let is_of_key = |museum: Option<MuseumId>| museum.is_some_and(|museum| of_key.contains(&museum));
        let agreed = account.agreements().iter().any(|agreed| agreed.museum.is_none() || is_of_key(agreed.museum));
        agreed || account.charges().any(|(_, charge)| is_of_key(charge.museum))
    };
    match node.look_account(code, is_there).await {
        Ok(true) => return Ok(true),
        Ok(false) => {}
        Err(Failure::Refused(_)) => return Ok(false),
        Err(failure) => return Err(failure.into()),
    }
    let views = &files(node)?.views;
    if views.has_quotes(code, museums).await? {
        return Ok(true);
    }
    // One that was drafted just now may not be in the lists yet.
    views.catch_up(node.head().number).await?;
    Ok(views.has_quotes(code, museums).await?)
}

/// What an account owes as a whole, and may owe, is for keys that are good for every museum.
fn for_all_museums(caller: &Caller) -> Result<(), Problem> {
    caller.may(Scope::Settle)?;
    if caller.0.museums == Museums::All {
        Ok(())
    } else {
        Err(Problem::forbidden(Scope::Settle).detail("Accounts are those of all museums: this takes a key that is good for every one."))
    }
}

/// Open an account.
///
/// Its code is that of the operator's keys (`tornello keys create --role operator --account CODE`). For keys that are good for every museum.
#[utoipa::path(
    tag = "Accounts", operation_id = "open_account", security(("key" = ["settle"])),
    request_body(content = AccountForm, example = json!({"account": "roma-tours", "institution": {"vat": "12345670017"}, "limit_cents": 500_000})),
    params(("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 201, description = "The account", body = AccountView), crate::openapi::Problems),
)]
#[post("/accounts")]
pub async fn open(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, form: Json<AccountForm>) -> Result<HttpResponse, Problem> {
    for_all_museums(&caller)?;
    let envelope = envelope(&node, &caller, &key, &["open account"], &*form, &[], None)?;
    let (code, institution, limit_cents) = (form.account, form.institution.parse()?, form.limit_cents.map(Cents::new));
    node.account(code, envelope, Command::Open { code, institution, limit_cents }).await?;
    created(format!("/v1/accounts/{code}"), &view(&node, &caller, code).await?)
}

/// Read an account.
///
/// As it is now: agreements, what was charged, what was paid. An operator reads its own. A key that is good for some museums reads the accounts that were charged there, or have a price
/// agreement or a quote there. It sees the agreements and charges of these museums, and not what is owed, or may be owed, as a whole.
#[utoipa::path(
    tag = "Accounts", operation_id = "get_account", security(("key" = ["quote"])),
    params(("account" = String, Path, description = "Its code", max_length = 23)),
    responses((status = 200, description = "The account", body = AccountView), crate::openapi::Problems),
)]
#[get("/accounts/{account}")]
pub async fn read(node: web::Data<Node>, caller: Caller, account: web::Path<Code>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Quote)?;
    let code = account.into_inner();
    if caller.acts_for()?.is_some_and(|own| own != code) {
        return Err(Problem::not_found());
    }
    if !concerns(&node, &caller, code).await? {
        return Err(Problem::not_found());
    }
    Ok(HttpResponse::Ok().json(view(&node, &caller, code).await?))
}

/// Change an account.
///
/// Who it is, how much it may owe, whether it is suspended: all three are as they are sent. A limit below what is owed takes nothing back; no more is charged until enough
/// is paid.
#[utoipa::path(
    tag = "Accounts", operation_id = "change_account", security(("key" = ["settle"])),
    request_body(content = AccountChangeForm, example = json!({"institution": {"vat": "12345670017"}, "limit_cents": 800_000, "suspended": false})),
    params(("account" = String, Path, description = "Its code", max_length = 23),
        ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The account", body = AccountView), crate::openapi::Problems),
)]
#[put("/accounts/{account}")]
pub async fn change(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    account: web::Path<Code>,
    form: Json<AccountChangeForm>,
) -> Result<HttpResponse, Problem> {
    for_all_museums(&caller)?;
    let code = account.into_inner();
    let envelope = envelope(&node, &caller, &key, &["change account", code.as_str()], &*form, &[], None)?;
    let (institution, limit_cents) = (form.institution.parse()?, form.limit_cents.map(Cents::new));
    node.account(code, envelope, Command::Change { institution, limit_cents, suspended: form.suspended }).await?;
    Ok(HttpResponse::Ok().json(view(&node, &caller, code).await?))
}

/// Set what was agreed with an account.
///
/// Quotes are priced by it from now on; what was quoted stays. A key that is good for some museums changes agreements of these only.
#[utoipa::path(
    tag = "Accounts", operation_id = "set_agreements", security(("key" = ["settle"])),
    request_body(content = AgreementsForm, example = json!({"agreements": [
        {"museum": 1, "category": "full", "price": {"percent_off": 10}, "from": "2027-01-01", "to": "2027-12-31"},
        {"category": "eu-18-25", "price": {"fixed_cents": 100}, "from": "2027-01-01", "to": "2027-12-31"}]})),
    params(("account" = String, Path, description = "Its code", max_length = 23),
        ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The account", body = AccountView), crate::openapi::Problems),
)]
#[put("/accounts/{account}/agreements")]
pub async fn agree(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    account: web::Path<Code>,
    form: Json<AgreementsForm>,
) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Settle)?;
    let code = account.into_inner();
    let envelope = envelope(&node, &caller, &key, &["agreements", code.as_str()], &*form, &[], None)?;
    let agreements = form.agreements.iter().map(|agreement| agreement.read(&node)).collect::<Result<Vec<Agreement>, Problem>>()?;
    let asked = envelope.clone();
    let known = move |account: &Account| (account.agreements().to_vec(), account.recall(&asked) == Recall::New);
    let (before, is_new) = node.look_account(code, known).await?;
    // What was done before is answered, whatever has been agreed since.
    if is_new {
        at_known_museums(&node, &agreements, &before)?;
    }
    let command = match &caller.0.museums {
        Museums::All => Command::SetAgreements { agreements },
        Museums::Only(museums) => Command::SetAgreementsAt { museums: museums.clone(), agreements },
    };
    node.account(code, envelope, command).await?;
    Ok(HttpResponse::Ok().json(view(&node, &caller, code).await?))
}

/// Note a bank transfer for an account.
///
/// For keys that are good for every museum.
#[utoipa::path(
    tag = "Accounts", operation_id = "settle_account", security(("key" = ["settle"])),
    request_body(content = SettlementOfAccountForm, example = json!({"amount_cents": 24_000, "reference": "CRO-0123456789"})),
    params(("account" = String, Path, description = "Its code", max_length = 23),
        ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The account", body = AccountView), crate::openapi::Problems),
)]
#[post("/accounts/{account}/settlements")]
pub async fn settle(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    account: web::Path<Code>,
    form: Json<SettlementOfAccountForm>,
) -> Result<HttpResponse, Problem> {
    for_all_museums(&caller)?;
    let code = account.into_inner();
    let envelope = envelope(&node, &caller, &key, &["settle account", code.as_str()], &*form, &[], None)?;
    // Blanks around it, as they come with what is copied, make no other transfer of it.
    let by = PaidBy::BankTransfer { reference: form.reference.trim().to_owned() };
    node.account(code, envelope, Command::Settle { by, amount_cents: Cents::new(form.amount_cents) }).await?;
    Ok(HttpResponse::Ok().json(view(&node, &caller, code).await?))
}

/// Which accounts to list.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AccountsQuery {
    /// Where the page before said to go on.
    #[param(value_type = Option<String>)]
    cursor: Option<Code>,
    /// How many at most: 50 if not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// An account in a list.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AccountItem {
    /// Its code.
    account: String,
    /// When it was opened (RFC 3339, UTC).
    opened_at: String,
    /// Its fiscal code; empty if not known.
    fiscal_code: String,
    /// Its VAT number; empty if not known.
    vat: String,
    /// How many price agreements it has; for a key that is good for some museums, those that hold there.
    agreements: u32,
    /// How much it may owe, in euro cents; absent: no limit. Only for keys that are good for every museum, as the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_cents: Option<i64>,
    /// What it owes as a whole, in euro cents; below zero: a credit.
    #[serde(skip_serializing_if = "Option::is_none")]
    owed_cents: Option<i64>,
    /// What it was charged, less what was taken back, in euro cents; for a key that is good for some museums, there.
    charged_cents: i64,
    /// Whether it is charged no more for now.
    suspended: bool,
}

impl AccountItem {
    fn new(row: AccountRow, is_whole: bool) -> Self {
        Self {
            owed_cents: is_whole.then_some(row.charged_cents - row.paid_cents),
            charged_cents: row.charged_cents,
            account: row.account,
            opened_at: row.opened_at.to_string(),
            fiscal_code: row.fiscal_code,
            vat: row.vat,
            agreements: row.agreements,
            limit_cents: row.limit_cents.filter(|_| is_whole),
            suspended: row.suspended,
        }
    }
}

/// A page of accounts.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AccountPage {
    /// The accounts, in the order of their codes.
    items: Vec<AccountItem>,
    /// Where to go on; none on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// The journal's batch up to which the list is complete.
    as_of_batch: u64,
}

/// List accounts.
///
/// From the read models, which follow the journal within moments: `as_of_batch` says how far. A key that is good for some museums sees the accounts that were charged
/// there, or have a price agreement or a quote.
#[utoipa::path(
    tag = "Accounts", operation_id = "list_accounts", security(("key" = ["settle"])), params(AccountsQuery),
    responses((status = 200, description = "A page of accounts", body = AccountPage), crate::openapi::Problems),
)]
#[get("/accounts", wrap = "Compress::default()")]
pub async fn list(node: web::Data<Node>, caller: Caller, query: web::Query<AccountsQuery>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Settle)?;
    let (size, views) = (page_size(query.limit)?, &files(&node)?.views);
    let as_of_batch = views.as_of_batch();
    let after = query.cursor.map(|code| code.to_string()).unwrap_or_default();
    let museums = match &caller.0.museums {
        Museums::All => None,
        Museums::Only(museums) => Some(museums.as_slice()),
    };
    let (rows, next_cursor) = page(views.accounts(museums, &after, size + 1).await?, size, |row| row.account.clone());
    Ok(HttpResponse::Ok().json(AccountPage {
        items: rows.into_iter().map(|row| AccountItem::new(row, museums.is_none())).collect(),
        next_cursor,
        as_of_batch,
    }))
}
