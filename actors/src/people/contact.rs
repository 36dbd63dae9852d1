//! What a contact is: who somebody is and how they are reached, examined field by field, and the form in which it is written before it is sealed. Nothing here is
//! ever printed, and nothing here touches a file.

use std::fmt;

use serde::{Deserialize, Serialize};
use tornello_engine::iban::{BadIban, Iban};
use tornello_engine::ids::PersonId;
use zeroize::Zeroizing;

use super::PeopleError;
use super::script::MixedScripts;

/// Every contact is padded to this length, so that its length says nothing and its place on disk always fits.
pub(super) const PADDED_BYTES: usize = 512;
/// What a contact without an account is written as, and has been from the beginning.
const CONTACT_VERSION: u8 = 1;
/// The same with an account to pay back to.
const PAYEE_VERSION: u8 = 2;
/// How long names, email and account may be together, in bytes: what fits a padded contact beside telephone and language.
const TEXTS_MAX: usize = 460;

/// A contact as it comes in, not yet examined. Never printed.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContactForm {
    /// Given name or names; a school's contact person has one too.
    pub given_name: String,
    /// Family name.
    pub family_name: String,
    /// Electronic mail address.
    pub email: String,
    /// Telephone, with the international prefix if it has one.
    #[serde(default)]
    pub phone: Option<String>,
    /// Language to write in, as `it` or `de-AT`.
    #[serde(default)]
    pub language: Option<String>,
    /// The account that refunds go to (IBAN of a country in SEPA), if they go to an account.
    #[serde(default)]
    pub iban: Option<String>,
    /// In whose name that account is.
    #[serde(default)]
    pub account_holder: Option<String>,
}

impl fmt::Debug for ContactForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContactForm(..)")
    }
}

/// What to put right in a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContactError {
    /// The given name is missing, too long or has characters that only steer.
    #[error("given_name: 1 to 100 characters are expected, none that controls or hides text or turns its direction")]
    GivenName,
    /// The family name is missing, too long or has characters that only steer.
    #[error("family_name: 1 to 100 characters are expected, none that controls or hides text or turns its direction")]
    FamilyName,
    /// The address cannot be one.
    #[error("email: an address such as name@example.it is expected, at most 254 characters, one @, no spaces")]
    Email,
    /// The telephone number cannot be one.
    #[error("phone: 5 to 15 digits are expected, with + in front if international; spaces, dots, hyphens and brackets are allowed")]
    Phone,
    /// The language is not a language tag.
    #[error("language: a tag such as it, en or de-AT is expected")]
    Language,
    /// The account is none that a refund can be sent to.
    #[error("iban: {0}")]
    Iban(BadIban),
    /// The holder of the account is missing, too long, has characters that only steer, or is named without an account.
    #[error("account_holder: 1 to 70 characters are expected beside an iban, none that controls or hides text; no holder without an iban")]
    AccountHolder,
    /// The holder's name mixes alphabets, whose letters can look the same.
    #[error("account_holder: letters of one alphabet are expected, and {0}")]
    MixedScripts(MixedScripts),
    /// Each part is well but together they are too long.
    #[error("the names, the email and the account are too long together: at most {} bytes", TEXTS_MAX)]
    TooLong,
}

/// The account that a refund goes to. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Payee {
    iban: Iban,
    holder: String,
}

impl Payee {
    /// An account and in whose name it is.
    ///
    /// # Errors
    /// If the IBAN is none of SEPA, or the name is missing, longer than 70 characters (as banks take it), has characters that only steer, or letters of several
    /// alphabets: nobody sees whose account it would be.
    pub fn new(iban: &str, holder: &str) -> Result<Self, ContactError> {
        let iban = iban.parse().map_err(ContactError::Iban)?;
        let holder = examined(holder, is_holder, ContactError::AccountHolder)?;
        match MixedScripts::of(&holder) {
            None => Ok(Self { iban, holder }),
            Some(mixed) => Err(ContactError::MixedScripts(mixed)),
        }
    }

    /// The account.
    #[must_use]
    pub const fn iban(&self) -> Iban {
        self.iban
    }

    /// In whose name it is.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.holder
    }
}

impl fmt::Debug for Payee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Payee(..)")
    }
}

/// Name and addresses of a person, and the account to pay back to, examined and trimmed. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ContactForm", into = "ContactForm")]
pub struct Contact {
    given_name: String,
    family_name: String,
    email: String,
    phone: Option<String>,
    language: Option<String>,
    payee: Option<Payee>,
}

impl Contact {
    /// Somebody of whom only the name is known: the holder of a ticket.
    ///
    /// # Errors
    /// If a name is missing, too long or has characters that only steer.
    pub fn holder(given_name: &str, family_name: &str) -> Result<Self, ContactError> {
        let given_name = examined(given_name, is_name, ContactError::GivenName)?;
        let family_name = examined(family_name, is_name, ContactError::FamilyName)?;
        let contact = Self { given_name, family_name, email: String::new(), phone: None, language: None, payee: None };
        if contact.is_too_long() { Err(ContactError::TooLong) } else { Ok(contact) }
    }

    fn is_too_long(&self) -> bool {
        let account = self.payee.as_ref().map_or(0, |payee| payee.iban.as_str().len() + payee.holder.len());
        self.given_name.len() + self.family_name.len() + self.email.len() + account > TEXTS_MAX
    }

    /// The same person with another account, or with none.
    ///
    /// # Errors
    /// [`ContactError::TooLong`] if it does not fit beside the rest.
    pub fn with_payee(self, payee: Option<Payee>) -> Result<Self, ContactError> {
        let contact = Self { payee, ..self };
        if contact.is_too_long() { Err(ContactError::TooLong) } else { Ok(contact) }
    }

    /// Given name or names.
    #[must_use]
    pub fn given_name(&self) -> &str {
        &self.given_name
    }

    /// Family name.
    #[must_use]
    pub fn family_name(&self) -> &str {
        &self.family_name
    }

    /// Electronic mail address, as it was written; empty if only the name is known.
    #[must_use]
    pub fn email(&self) -> &str {
        &self.email
    }

    /// Telephone, if known.
    #[must_use]
    pub fn phone(&self) -> Option<&str> {
        self.phone.as_deref()
    }

    /// Language to write in, if known.
    #[must_use]
    pub fn language(&self) -> Option<&str> {
        self.language.as_deref()
    }

    /// The account that refunds go to, if one is known.
    #[must_use]
    pub const fn payee(&self) -> Option<&Payee> {
        self.payee.as_ref()
    }
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Contact(..)")
    }
}

impl From<Contact> for ContactForm {
    fn from(Contact { given_name, family_name, email, phone, language, payee }: Contact) -> Self {
        let (iban, account_holder) = payee.map(|Payee { iban, holder }| (iban.as_str().to_owned(), holder)).unzip();
        Self { given_name, family_name, email, phone, language, iban, account_holder }
    }
}

impl TryFrom<ContactForm> for Contact {
    type Error = ContactError;
    fn try_from(form: ContactForm) -> Result<Self, ContactError> {
        // A field left empty in a web form means that there is none.
        let optional = |text: &Option<String>, good, error| match text.as_deref().map(str::trim) {
            None | Some("") => Ok(None),
            Some(text) => examined(text, good, error).map(Some),
        };
        let [iban, holder] = [&form.iban, &form.account_holder].map(|text| text.as_deref().map(str::trim).filter(|text| !text.is_empty()));
        let payee = match (iban, holder) {
            (Some(iban), holder) => Some(Payee::new(iban, holder.unwrap_or_default())?),
            (None, Some(_)) => return Err(ContactError::AccountHolder),
            (None, None) => None,
        };
        let contact = Self {
            given_name: examined(&form.given_name, is_name, ContactError::GivenName)?,
            family_name: examined(&form.family_name, is_name, ContactError::FamilyName)?,
            email: examined(&form.email, is_email, ContactError::Email)?,
            phone: optional(&form.phone, is_phone, ContactError::Phone)?,
            language: optional(&form.language, is_language, ContactError::Language)?,
            payee,
        };
        if contact.is_too_long() { Err(ContactError::TooLong) } else { Ok(contact) }
    }
}

fn examined(text: &str, good: fn(&str) -> bool, error: ContactError) -> Result<String, ContactError> {
    let text = text.trim();
    if good(text) { Ok(text.to_owned()) } else { Err(error) }
}

fn is_name(text: &str) -> bool {
    (1..=100).contains(&text.chars().count()) && !text.chars().any(|c| c.is_control() || only_steers(c))
}

/// Characters without a picture of their own, with which a name can be made to look like another: directions, invisible signs, tags, ends of lines. The two joiners
/// are not among them: names of Iran and India are written with them.
const fn only_steers(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}'..='\u{ffff}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// As long as credit transfers in SEPA take a name.
fn is_holder(text: &str) -> bool {
    is_name(text) && text.chars().count() <= 70
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let labels_good = domain.contains('.') && domain.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'));
    let characters_good = !text.chars().any(|c| c.is_control() || c.is_whitespace() || "<>()[],;:\\\"".contains(c));
    text.len() <= 254 && (1..=64).contains(&local.len()) && !domain.contains('@') && labels_good && characters_good
}

fn is_phone(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let rest = text.strip_prefix('+').unwrap_or(text);
    text.len() <= 24 && (5..=15).contains(&digits) && rest.chars().all(|c| c.is_ascii_digit() || " .-()/".contains(c))
}

fn is_language(text: &str) -> bool {
    let mut parts = text.split('-');
    let first = parts.next().unwrap_or_default();
    let first_good = (2..=3).contains(&first.len()) && first.bytes().all(|b| b.is_ascii_alphabetic());
    text.len() <= 11 && first_good && parts.all(|part| (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// The written form of a contact, apart from [`Contact`]: its fields are never reordered. A version byte stands before it, zeros fill up after it.
type Written<'a> = (&'a str, &'a str, &'a str, Option<&'a str>, Option<&'a str>);
/// The same with the account, IBAN and holder.
type WrittenPayee<'a> = (Written<'a>, (&'a str, &'a str));

pub(super) fn written(person: PersonId, contact: &Contact) -> Result<Zeroizing<[u8; PADDED_BYTES]>, PeopleError> {
    let mut plain = Zeroizing::new([0; PADDED_BYTES]);
    let written: Written<'_> = (&contact.given_name, &contact.family_name, &contact.email, contact.phone.as_deref(), contact.language.as_deref());
    let (version, body) = plain.split_at_mut(1);
    let fitted = match &contact.payee {
        None => {
            version[0] = CONTACT_VERSION;
            postcard::to_slice(&written, body)
        }
        Some(payee) => {
            version[0] = PAYEE_VERSION;
            let written: WrittenPayee<'_> = (written, (payee.iban.as_str(), &payee.holder));
            postcard::to_slice(&written, body)
        }
    };
    fitted.map_err(|_| PeopleError::Damaged { person, what: "it is too long" })?;
    Ok(plain)
}

pub(super) fn read(plain: &[u8]) -> Option<Contact> {
    let (&version, body) = plain.split_first()?;
    let (written, payee): (Written<'_>, _) = match version {
        CONTACT_VERSION => (postcard::take_from_bytes(body).ok()?.0, None),
        PAYEE_VERSION => {
            let (written, (iban, holder)): WrittenPayee<'_> = postcard::take_from_bytes(body).ok()?.0;
            (written, Some(Payee { iban: iban.parse().ok()?, holder: holder.to_owned() }))
        }
        _ => return None,
    };
    let (given_name, family_name, email, phone, language) = written;
    Some(Contact {
        given_name: given_name.to_owned(),
        family_name: family_name.to_owned(),
        email: email.to_owned(),
        phone: phone.map(str::to_owned),
        language: language.map(str::to_owned),
        payee,
    })
}

#[cfg(test)]
mod tests;
