//! The promises of `contact`: what is taken and what is not, and that whatever is taken fits its padding and is read again.

use super::super::tests::{form, form_with_account, person};
use super::*;

fn contact() -> Contact {
    form().try_into().unwrap()
}

type Case<'a> = (fn(&mut ContactForm, &str), ContactError, &'a [&'a str]);

#[test]
fn a_contact_is_examined_field_by_field() {
    let long = "x".repeat(101);
    let wide = "\u{5f20}".repeat(100);
    let cases: [Case<'_>; 5] = [
        (|form, text| form.given_name = text.to_owned(), ContactError::GivenName, &["", "  ", "a\nb", "Ada\u{202e}ireN", "Ada\u{200b}", &long]),
        (|form, text| form.family_name = text.to_owned(), ContactError::FamilyName, &["", "a\u{0}b", "\u{2066}Neri\u{2069}", "Neri\u{e0041}", &long]),
        (
            |form, text| form.email = text.to_owned(),
            ContactError::Email,
            &[
                "",
                "a",
                "a@",
                "@b.it",
                "a@b",
                "a@@b.it",
                "a@b@c.it",
                "a b@c.it",
                "a@b..it",
                "a@.it",
                "a@b.it.",
                "a@b.it\nbcc:x@y.it",
                "a,b@c.it",
                "a@-b.it",
            ],
        ),
        (|form, text| form.phone = Some(text.to_owned()), ContactError::Phone, &["1234", "12345x", "++12345", "1234567890123456", "tel 055294883"]),
        (|form, text| form.language = Some(text.to_owned()), ContactError::Language, &["i", "italian", "it_IT", "it-", "12"]),
    ];
    for (set, error, bad) in cases {
        for text in bad {
            let mut form = form();
            set(&mut form, text);
            assert_eq!(Contact::try_from(form), Err(error), "{text:?}");
        }
    }
    let too_long = ContactForm { given_name: wide.clone(), family_name: wide, ..form() };
    assert_eq!(Contact::try_from(too_long), Err(ContactError::TooLong));

    for email in ["o'hara+musei@xn--fsq.it", " a@b.it ", "dirigente@istruzione.example.it"] {
        assert_eq!(Contact::try_from(ContactForm { email: email.to_owned(), ..form() }).unwrap().email(), email.trim());
    }
    assert_eq!(format!("{:?} {:?}", form(), contact()), "ContactForm(..) Contact(..)");
}

#[test]
fn the_longest_contact_fits() {
    let longest = ContactForm {
        given_name: "\u{e8}".repeat(100),
        family_name: "x".repeat(6),
        email: format!("{}@{}.it", "l".repeat(64), "d".repeat(186)),
        phone: Some("+12345 67890 12345 (..)-".to_owned()),
        language: Some("zho-Hant-TW".to_owned()),
        ..form()
    };
    let contact = Contact::try_from(longest.clone()).unwrap();
    assert_eq!(contact.given_name.len() + contact.family_name.len() + contact.email.len(), 460);
    assert_eq!(read(&*written(person(1), &contact).unwrap()), Some(contact.clone()));
    let payee = Payee::new("IT60X0542811101000000123456", "O").unwrap();
    assert_eq!(contact.with_payee(Some(payee)), Err(ContactError::TooLong));

    // All lengths that take two bytes, beside the longest IBAN.
    for (given, family, email, holder) in [(64, 64, 100, 64), (100, 32, 128, 35), (98, 64, 68, 70)] {
        let form = ContactForm {
            given_name: "\u{e8}".repeat(given),
            family_name: "\u{e8}".repeat(family),
            email: format!("l@{}.it", "d".repeat(email - 5)),
            iban: Some("MT84MALT011000012345MTLCAST001S".to_owned()),
            account_holder: Some("\u{5f20}".repeat(holder)),
            ..longest.clone()
        };
        let texts = 2 * given + 2 * family + email + 31 + 3 * holder;
        let contact = Contact::try_from(form);
        assert_eq!(contact.is_err(), texts > TEXTS_MAX, "{texts}");
        if let Ok(contact) = contact {
            assert_eq!(read(&*written(person(1), &contact).unwrap()), Some(contact));
        }
    }
}

/// For every way to share out the most that is taken, what is written is read again: it never comes out longer than its padding.
#[test]
fn the_longest_contact_with_an_account_fits_however_it_is_shared_out() {
    let iban = "MT84MALT011000012345MTLCAST001S";
    let mut tried = 0;
    for given in (4..=400).step_by(4) {
        for family in (4..=400).step_by(36) {
            let rest = TEXTS_MAX.saturating_sub(given + family + iban.len());
            for holder in [1, 4, 124, 128, 160, 280] {
                let Some(email @ 0..=254) = rest.checked_sub(holder) else { continue };
                let name = |bytes: usize| "\u{1f3db}".repeat(bytes / 4) + &"x".repeat(bytes % 4);
                let contact = Contact {
                    given_name: name(given),
                    family_name: name(family),
                    email: "e".repeat(email),
                    phone: Some("5".repeat(24)),
                    language: Some("zho-Hant-TW".to_owned()),
                    payee: Some(Payee::new(iban, &name(holder)).unwrap()),
                };
                assert!(!contact.is_too_long());
                assert_eq!(read(&*written(person(1), &contact).unwrap()), Some(contact), "{given} {family} {email} {holder}");
                tried += 1;
            }
        }
    }
    assert!(tried > 500, "{tried}");
}

#[test]
fn an_account_is_taken_whole_or_not_at_all() {
    let contact = Contact::try_from(form_with_account()).unwrap();
    let payee = contact.payee().unwrap();
    assert_eq!((payee.iban().as_str(), payee.holder()), ("IT60X0542811101000000123456", "Orazio Gentileschi"));
    assert_eq!(read(&*written(person(1), &contact).unwrap()), Some(contact.clone()));
    assert_eq!(format!("{contact:?} {payee:?}"), "Contact(..) Payee(..)");
    assert_eq!(Contact::try_from(ContactForm::from(contact.clone())), Ok(contact.clone()));

    let empty = ContactForm { iban: Some(" ".to_owned()), account_holder: Some(String::new()), ..form() };
    assert_eq!(Contact::try_from(empty), Ok(self::contact()));
    assert_eq!(contact.with_payee(None), Ok(self::contact()));
    let cases = [
        (None, Some("Orazio Gentileschi"), ContactError::AccountHolder),
        (Some("IT60X0542811101000000123456"), None, ContactError::AccountHolder),
        (Some("IT60X0542811101000000123456"), Some(" "), ContactError::AccountHolder),
        (Some("IT60X0542811101000000123456"), Some("a\nb"), ContactError::AccountHolder),
        (Some("IT60X0542811101000000123456"), Some("Orazio \u{202e}"), ContactError::AccountHolder),
        (Some("IT60X0542811101000000123456"), Some(&*"x".repeat(71)), ContactError::AccountHolder),
        (Some("IT60X0542811101000000123457"), Some("Orazio"), ContactError::Iban(BadIban::CheckDigits)),
        (Some("055294883"), Some("Orazio"), ContactError::Iban(BadIban::Characters)),
    ];
    for (iban, holder, error) in cases {
        let form = ContactForm { iban: iban.map(str::to_owned), account_holder: holder.map(str::to_owned), ..form() };
        assert_eq!(Contact::try_from(form), Err(error), "{iban:?} {holder:?}");
    }
}

/// What was stored before alphabets were looked at is read as it was: it is asked again when it is to be used.
#[test]
fn the_holder_of_an_account_is_written_in_one_alphabet() {
    let iban = "IT60X0542811101000000123456";
    for holder in ["Orazio Gentileschi", "Γεώργιος Παπαδόπουλος", "Първан Щърков", "李雷"] {
        assert!(Payee::new(iban, holder).is_ok(), "{holder}");
    }
    for holder in ["Оrazio Gentileschi", "Orazio Gentileѕchi", "Orazio Gentilesсhi & figli", "Ηelena", "李雷 A"] {
        let refused = Payee::new(iban, holder);
        assert!(matches!(refused, Err(ContactError::MixedScripts(_))), "{holder}: {refused:?}");
        let old = Contact { payee: Some(Payee { iban: iban.parse().unwrap(), holder: holder.to_owned() }), ..contact() };
        assert_eq!(read(&*written(person(1), &old).unwrap()), Some(old), "{holder}");
    }
    let told = Payee::new(iban, "Orazio Gentileѕchi").map(drop).map_err(|error| error.to_string());
    assert_eq!(told, Err("account_holder: letters of one alphabet are expected, and `ѕ` is Cyrillic where those before it are Latin".to_owned()));
}

/// Contacts without an account are written as they always were, so that a contact from before is read and one from now is read by a program from before.
#[test]
fn a_contact_from_before_accounts_is_read() {
    let mut old = [0; PADDED_BYTES];
    old[0] = 1;
    let contact = contact();
    let fields = ("Artemisia", "Gentileschi-Lomi", "artemisia.gentileschi@scuola.example.it", Some("+39 055 294883"), Some("it"));
    postcard::to_slice(&fields, &mut old[1..]).unwrap();
    assert_eq!(read(&old), Some(contact.clone()));
    assert_eq!(*written(person(1), &contact).unwrap(), old);
    let with_account = written(person(1), &form_with_account().try_into().unwrap()).unwrap();
    assert_eq!(with_account[0], 2);
    old[0] = 3;
    assert_eq!(read(&old), None);
}
