//! People: whom to write to about a sale. Contacts are kept apart from the journal, encrypted; a sale knows an opaque number. Erasing a person destroys the key
//! of the contact for good.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, delete, get, web};
use serde::{Deserialize, Serialize};
use tornello_actors::digest::digest;
use tornello_actors::node::Node;
use tornello_actors::people::{self, Contact, MixedScripts, PeopleError, RETENTION_S, Turn, museum_of};
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{MuseumId, PersonId, SlotId};
use tornello_engine::time::Timestamp;

use crate::auth::{Caller, Scope};
use crate::print::unprintable;
use crate::problem::Problem;
use crate::routes::files;

/// Whom to write to. The names, the address and an account to pay back to have 460 bytes (UTF-8) together.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactForm {
    /// Given name or names.
    #[schema(min_length = 1, max_length = 100, examples("Maria"))]
    pub given_name: String,
    /// Family name.
    #[schema(min_length = 1, max_length = 100, examples("Rossi"))]
    pub family_name: String,
    /// Electronic mail address, of at most 254 bytes.
    #[schema(max_length = 254, examples("maria.rossi@example.it"))]
    pub email: String,
    /// Telephone, with the international prefix if it has one.
    #[serde(default)]
    #[schema(max_length = 24, examples("+39 06 1234567"))]
    pub phone: Option<String>,
    /// Language to write in (ISO 639-1, or a language tag).
    #[serde(default)]
    #[schema(max_length = 11, examples("it"))]
    pub language: Option<String>,
}

/// Never printed.
impl fmt::Debug for ContactForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContactForm(..)")
    }
}

/// Whose name stands on a ticket. Both names have 460 bytes (UTF-8) together.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HolderForm {
    /// Given name or names, in Latin, Greek or Cyrillic letters, each word in those of one alphabet: what is printed, and compared with a document.
    #[schema(min_length = 1, max_length = 100, examples("Maria"))]
    pub given_name: String,
    /// Family name, likewise.
    #[schema(min_length = 1, max_length = 100, examples("Rossi"))]
    pub family_name: String,
}

/// Never printed.
impl fmt::Debug for HolderForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HolderForm(..)")
    }
}

/// Whom to write to, as it is kept.
#[derive(Clone, Serialize, utoipa::ToSchema)]
pub struct PersonView {
    /// The person's number.
    person: String,
    /// Given name or names.
    given_name: String,
    /// Family name.
    family_name: String,
    /// Electronic mail address; of the holder of a ticket only the name is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Telephone, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    /// Language to write in, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<String>,
}

impl PersonView {
    fn new(person: PersonId, contact: &Contact) -> Self {
        Self {
            person: person.to_string(),
            given_name: contact.given_name().to_owned(),
            family_name: contact.family_name().to_owned(),
            email: Some(contact.email()).filter(|email| !email.is_empty()).map(str::to_owned),
            phone: contact.phone().map(str::to_owned),
            language: contact.language().map(str::to_owned),
        }
    }
}

/// How often a request that names a person may be refused, or forgotten, and asked again under its key.
const TRIES_MAX: u32 = 100;

/// The number of the person whom a request names. It follows from who asked what under which key, and from how often that number was taken: a repeated request makes
/// no second person, and a key that is reused, for something else or after its day, changes nobody's contact.
fn person_of(museum: MuseumId, envelope: &Envelope, taken: u32) -> PersonId {
    let Envelope { who, key, body, .. } = envelope;
    let opaque = digest(&[b"person", &who.get().to_be_bytes(), &key.0.to_be_bytes(), &body.0.to_be_bytes(), &taken.to_be_bytes()]);
    people::id_at(museum, opaque.0)
}

/// The turn of a request that `names` somebody, until it is dropped: a repeat of it waits until it has come to its end. Else the repeat could be done, as when a place has come free
/// in between, and be of somebody whom the first one, which was refused, erases right afterwards. To be taken before anybody is stored.
pub async fn turn(node: &Node, museum: MuseumId, envelope: &Envelope, names: bool) -> Result<Option<Turn>, Problem> {
    if !names {
        return Ok(None);
    }
    Ok(Some(Box::pin(files(node)?.people.turn(person_of(museum, envelope, 0))).await))
}

/// Examines the contact of a request and, if it is `wanted`, stores it before the sale is made; it is durable when this returns. Only the number that it answers
/// goes into the command.
pub async fn keep(node: &Node, slot: SlotId, envelope: &Envelope, form: Option<&ContactForm>, wanted: bool) -> Result<Option<PersonId>, Problem> {
    let Some(form) = form.cloned() else { return Ok(None) };
    let contact = examined(form)?;
    // In a future of its own, here and below: most sales name nobody, and need no room for it.
    Box::pin(store(node, slot, envelope, &contact, wanted)).await.map(Some)
}

fn examined(form: ContactForm) -> Result<Contact, Problem> {
    let ContactForm { given_name, family_name, email, phone, language } = form;
    let form = people::ContactForm { given_name, family_name, email, phone, language, iban: None, account_holder: None };
    Ok(Contact::try_from(form)?)
}

/// As [`keep`], for the holder of a ticket: a name that the ticket can show, so that somebody can compare it with a document.
pub async fn keep_holder(node: &Node, slot: SlotId, envelope: &Envelope, holder: &HolderForm) -> Result<PersonId, Problem> {
    store(node, slot, envelope, &legible(holder)?, true).await
}

/// As [`keep`], for both whom a sale names: whom to write to, and whose name is to stand on all its tickets. They are two people, under two numbers. If a ticket cannot
/// show the name nobody is stored.
pub async fn keep_both(
    node: &Node,
    slot: SlotId,
    envelope: &Envelope,
    (contact, holder): (Option<&ContactForm>, Option<&HolderForm>),
    wanted: bool,
) -> Result<(Option<PersonId>, Option<PersonId>), Problem> {
    let holder = holder.map(legible).transpose()?;
    let contact = keep(node, slot, envelope, contact, wanted).await?;
    let Some(holder) = holder else { return Ok((contact, None)) };
    let named = Envelope { body: digest(&[b"holder", &{ envelope.body.0 }.to_be_bytes()]), ..envelope.clone() };
    if !wanted {
        return Ok((contact, Some(person_of(slot.museum(), &named, 0))));
    }
    let until = node.kept_until(slot).ok_or_else(Problem::not_found)?;
    let is_done = async || -> Result<bool, Problem> { Ok(node.knows(slot, envelope).await?) };
    Ok((contact, Some(Box::pin(put(node, slot.museum(), &named, &holder, until, is_done)).await?)))
}

/// The name of a holder, if a ticket can show it, and a gate compare it with a document.
fn legible(holder: &HolderForm) -> Result<Contact, Problem> {
    let contact = Contact::holder(&holder.given_name, &holder.family_name)?;
    for (member, name) in [("given_name", contact.given_name()), ("family_name", contact.family_name())] {
        // A document that a gate compares with it has letters.
        if !name.chars().any(char::is_alphabetic) {
            return Err(Problem::invalid(format!("holder.{member}: a name has a letter at least")));
        }
        let characters = unprintable(name);
        if !characters.is_empty() {
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "holder_unprintable", "a ticket cannot show this name")
                .detail("Write it in Latin, Greek or Cyrillic letters, as in the lower lines of the passport. `member` is the name, `characters` what is not shown.")
                .with("member", format!("holder.{member}"))
                .with("characters", characters));
        }
        if let Some(mixed) = MixedScripts::in_a_word(name) {
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "holder_mixed_alphabets", "a word of this name mixes alphabets")
                .detail(
                    "Letters of two alphabets can look the same, so nobody could compare the name with a document: write each word in one alphabet, as it stands \
                     there. `member` is the name, `letter` what is of another alphabet than the letters before it.",
                )
                .with("member", format!("holder.{member}"))
                .with("letter", mixed.to_string()));
        }
    }
    Ok(contact)
}

/// As [`keep`], for whoever pays; kept until `until`. `is_done` says whether what is asked was done before under this key.
pub async fn keep_for(
    node: &Node,
    museum: MuseumId,
    envelope: &Envelope,
    form: Option<&ContactForm>,
    until: Timestamp,
    is_done: impl AsyncFn() -> Result<bool, Problem>,
) -> Result<Option<PersonId>, Problem> {
    let Some(form) = form.cloned() else { return Ok(None) };
    put(node, museum, envelope, &examined(form)?, until, is_done).await.map(Some)
}

/// As [`keep_for`], for whoever money goes back to: kept as long as after a visit, from now.
pub async fn keep_payee(
    node: &Node,
    museum: MuseumId,
    envelope: &Envelope,
    contact: &Contact,
    is_done: impl AsyncFn() -> Result<bool, Problem>,
) -> Result<PersonId, Problem> {
    put(node, museum, envelope, contact, node.now().plus_seconds(RETENTION_S), is_done).await
}

async fn store(node: &Node, slot: SlotId, envelope: &Envelope, contact: &Contact, wanted: bool) -> Result<PersonId, Problem> {
    if !wanted {
        return Ok(person_of(slot.museum(), envelope, 0));
    }
    let until = node.kept_until(slot).ok_or_else(Problem::not_found)?;
    put(node, slot.museum(), envelope, contact, until, async || -> Result<bool, Problem> { Ok(node.knows(slot, envelope).await?) }).await
}

/// Stores somebody under the first number that is free for what is asked.
async fn put(
    node: &Node,
    museum: MuseumId,
    envelope: &Envelope,
    contact: &Contact,
    until: Timestamp,
    is_done: impl AsyncFn() -> Result<bool, Problem>,
) -> Result<PersonId, Problem> {
    for taken in 0..TRIES_MAX {
        let person = person_of(museum, envelope, taken);
        match files(node)?.people.put(person, contact, node.now(), Some(until)).await {
            Ok(()) => return Ok(person),
            // The person was erased after the first request, of which this one is a repeat: what was done stands, the contact stays erased.
            Err(PeopleError::Erased(_) | PeopleError::Settled(_)) if is_done().await? => return Ok(person),
            // Or with a request that was refused, which may be done now; or it stands on something of an earlier day, done under the same key: this is another person.
            Err(PeopleError::Erased(_) | PeopleError::Settled(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Problem::invalid("under this key it was refused again and again: use a new Idempotency-Key"))
}

/// Erases people whom no sale or ticket names: stored for a sale that was refused after all, as when the last place went in between, or replaced by another. Only for who has
/// the [`turn`] of the request.
pub async fn drop_unsold(node: &Node, people: impl IntoIterator<Item = PersonId>) -> Result<(), Problem> {
    for person in people {
        files(node)?.people.erase(person, node.now()).await?;
    }
    Ok(())
}

/// Given and family name of a person; none if there is no such contact or it was erased.
pub async fn name_of(node: &Node, person: PersonId) -> Result<Option<String>, Problem> {
    let contact = files(node)?.people.get(person).await?;
    Ok(contact.map(|contact| format!("{} {}", contact.given_name(), contact.family_name())))
}

/// The contact of a person; none if there is none or it was erased.
pub async fn known(node: &Node, person: PersonId) -> Result<Option<PersonView>, Problem> {
    Ok(files(node)?.people.get(person).await?.map(|contact| PersonView::new(person, &contact)))
}

/// Read a contact.
#[utoipa::path(
    tag = "People", operation_id = "get_person", security(("key" = ["desk"])),
    params(("person" = String, Path, description = "The person, as a sale, a ticket, a payment or a quote names it")),
    responses((status = 200, description = "The contact", body = PersonView), crate::openapi::Problems),
)]
#[get("/people/{person}")]
pub async fn get(node: web::Data<Node>, caller: Caller, person: web::Path<PersonId>) -> Result<HttpResponse, Problem> {
    let person = person.into_inner();
    caller.may_at(Scope::Desk, museum_of(person))?;
    let found = known(&node, person).await?.ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok().json(found))
}

/// Erase a person.
///
/// The key of the contact is destroyed: neither the files nor the journal bring it back, nor does a copy of the databases that is put back beside the list of who was
/// erased. That holds for somebody too whom the databases do not know now, as they are older or were moved away. Sales and tickets stay. Doing it twice does no harm.
#[utoipa::path(
    tag = "People", operation_id = "erase_person", security(("key" = ["administer"])),
    params(("person" = String, Path, description = "The person, as a sale, a ticket, a payment or a quote names it")),
    responses((status = 204, description = "There is no such contact any more"), crate::openapi::Problems),
)]
#[delete("/people/{person}")]
pub async fn erase(node: web::Data<Node>, caller: Caller, person: web::Path<PersonId>) -> Result<HttpResponse, Problem> {
    let person = person.into_inner();
    caller.may_at(Scope::Administer, museum_of(person))?;
    files(&node)?.people.erase_on_request(person, node.now()).await?;
    Ok(HttpResponse::NoContent().finish())
}
