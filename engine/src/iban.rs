//! Bank accounts by their IBAN (ISO 13616): where a refund is sent. Only the countries of SEPA are taken, because only there can we send anything.
//!
//! What is checked: country, length, check digits (ISO 7064, MOD 97-10), and for Italy and San Marino the layout and the national check letter (CIN). Whether
//! the account exists only its bank knows. An account is personal data: [`Debug`](fmt::Debug) shows no more than [`Iban::masked`].

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest IBAN that ISO 13616 allows, in characters.
pub const IBAN_MAX: usize = 34;

/// The countries of SEPA with an IBAN of their own, and the length of it (EPC409-09, SWIFT's registry of IBAN formats). Others use one of these: the islands of
/// the Channel GB, the overseas parts of France FR.
const COUNTRIES: [(&str, usize); 42] = [
    ("AD", 24),
    ("AL", 28),
    ("AT", 20),
    ("BE", 16),
    ("BG", 22),
    ("CH", 21),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DK", 18),
    ("EE", 20),
    ("ES", 24),
    ("FI", 18),
    ("FR", 27),
    ("GB", 22),
    ("GI", 23),
    ("GR", 27),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IS", 26),
    ("IT", 27),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MT", 31),
    ("NL", 18),
    ("NO", 15),
    ("PL", 28),
    ("PT", 25),
    ("RO", 24),
    ("RS", 22),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("SM", 27),
    ("VA", 22),
];

/// The weights of the odd places of an Italian account, by digit or letter; an even place counts its own value.
const CIN_ODD: [u32; 26] = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];

/// Why a text is no IBAN that we can send money to; the first that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadIban {
    /// Something else than letters and digits, or not two letters and two digits in front.
    #[error("an IBAN begins with two letters and two digits and has only letters, digits and spaces")]
    Characters,
    /// A country outside SEPA.
    #[error("the IBAN is not of a country in SEPA")]
    Country,
    /// Not as long as the country's are.
    #[error("an IBAN of this country has {expected} characters")]
    Length {
        /// How many it should have.
        expected: usize,
    },
    /// A digit is wrong somewhere.
    #[error("the check digits of the IBAN do not fit: one of its characters is wrong")]
    CheckDigits,
    /// An Italian account without the check letter that its bank, branch and number give.
    #[error("the check letter (CIN) of the Italian account does not fit")]
    Cin,
}

/// The IBAN of an account in SEPA, in the electronic form: upper case, no spaces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Iban {
    bytes: [u8; IBAN_MAX],
    length: u8,
}

impl Iban {
    /// The text, upper case, without spaces.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }

    /// The country's two letters (ISO 3166-1).
    #[must_use]
    pub fn country(&self) -> &str {
        &self.as_str()[..2]
    }

    /// Enough to recognise one's own account: the country and the last four characters, as `IT…3456`.
    #[must_use]
    pub fn masked(&self) -> String {
        let text = self.as_str();
        format!("{}…{}", &text[..2], &text[text.len() - 4..])
    }
}

impl FromStr for Iban {
    type Err = BadIban;

    /// Reads either form: spaces go, letters become upper case.
    fn from_str(text: &str) -> Result<Self, BadIban> {
        let (mut bytes, mut length) = ([0; IBAN_MAX], 0_usize);
        for byte in text.bytes().filter(|&byte| byte != b' ') {
            if !byte.is_ascii_alphanumeric() {
                return Err(BadIban::Characters);
            }
            if let Some(place) = bytes.get_mut(length) {
                *place = byte.to_ascii_uppercase();
            }
            length += 1;
        }
        let known = &bytes[..length.min(IBAN_MAX)];
        let [a, b, tens, units, account @ ..] = known else { return Err(BadIban::Characters) };
        if ![a, b].iter().all(|byte| byte.is_ascii_alphabetic()) || ![tens, units].iter().all(|byte| byte.is_ascii_digit()) {
            return Err(BadIban::Characters);
        }
        let country = COUNTRIES.iter().find(|(country, _)| country.as_bytes() == &known[..2]);
        let &(country, expected) = country.ok_or(BadIban::Country)?;
        if length != expected {
            return Err(BadIban::Length { expected });
        }
        // 00, 01 and 99 would pass MOD 97-10 beside 97, 98 and 02, which are what the standard's rule yields.
        if remainder(known) != 1 || matches!((tens, units), (b'0', b'0' | b'1') | (b'9', b'9')) {
            return Err(BadIban::CheckDigits);
        }
        if matches!(country, "IT" | "SM") {
            let [letter, national @ ..] = account else { return Err(BadIban::Cin) };
            if cin(national) != Some(*letter) {
                return Err(BadIban::Cin);
            }
        }
        Ok(Self { bytes, length: expected as u8 })
    }
}

/// The number that the letters and digits spell, country and check digits last, modulo 97 (ISO 7064).
fn remainder(text: &[u8]) -> u32 {
    let (front, account) = text.split_at(4);
    account.iter().chain(front).fold(0, |rest, &byte| {
        let value = value(byte);
        (rest * if value < 10 { 10 } else { 100 } + value) % 97
    })
}

/// A digit's value; a letter's from A = 10.
const fn value(byte: u8) -> u32 {
    if byte.is_ascii_digit() { (byte - b'0') as u32 } else { (byte - b'A') as u32 + 10 }
}

/// The check letter of an Italian account: bank and branch in five digits each, then twelve letters or digits. None if it is laid out otherwise.
fn cin(national: &[u8]) -> Option<u8> {
    if national.len() != 22 || !national[..10].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let sum: u32 = national
        .iter()
        .enumerate()
        .map(|(place, &byte)| {
            // Digits and letters share the numbers from 0.
            let value = if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' };
            if place % 2 == 0 { CIN_ODD[usize::from(value)] } else { u32::from(value) }
        })
        .sum();
    Some(b'A' + (sum % 26) as u8)
}

/// In groups of four, as on paper: `IT60 X054 2811 1010 0000 0123 456`.
impl fmt::Display for Iban {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, character) in self.as_str().chars().enumerate() {
            let gap = if place > 0 && place % 4 == 0 { " " } else { "" };
            write!(f, "{gap}{character}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Iban {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Iban({})", self.masked())
    }
}

impl Serialize for Iban {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Iban {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The examples of SWIFT's registry of IBAN formats.
    const GOOD: [&str; 24] = [
        "IT60X0542811101000000123456",
        "SM86U0322509800000000270100",
        "VA59001123000012345678",
        "AD1200012030200359100100",
        "AT611904300234573201",
        "BE68539007547034",
        "CH9300762011623852957",
        "DE89370400440532013000",
        "ES9121000418450200051332",
        "FI2112345600000785",
        "FR1420041010050500013M02606",
        "GB29NWBK60161331926819",
        "GR1601101250000000012300695",
        "HR1210010051863000160",
        "IE29AIBK93115212345678",
        "LU280019400644750000",
        "MT84MALT011000012345MTLCAST001S",
        "NL91ABNA0417164300",
        "NO9386011117947",
        "PL61109010140000071219812874",
        "PT50000201231234567890154",
        "RO49AAAA1B31007593840000",
        "SI56263300012039086",
        "AL47212110090000000235698741",
    ];

    /// An account with the check digits and, for Italy, the letter that belong to it.
    fn an_iban(country: &str, account: &str) -> String {
        let letter = if country == "IT" { cin(account.as_bytes()).map(char::from) } else { None };
        let account: String = letter.into_iter().chain(account.chars()).collect();
        let check = 98 - remainder(format!("{country}00{account}").as_bytes());
        format!("{country}{check:02}{account}")
    }

    #[test]
    fn published_examples_are_read_and_written_in_both_forms() {
        for text in GOOD {
            let iban: Iban = text.parse().unwrap();
            assert_eq!((iban.as_str(), iban.country()), (text, &text[..2]));
            assert_eq!(iban.to_string().parse(), Ok(iban));
            assert_eq!(format!(" {} ", text.to_lowercase()).parse(), Ok(iban));
            assert_eq!(postcard::from_bytes::<Iban>(&postcard::to_stdvec(&iban).unwrap()), Ok(iban));
        }
        let iban: Iban = GOOD[0].parse().unwrap();
        assert_eq!(iban.to_string(), "IT60 X054 2811 1010 0000 0123 456");
        assert_eq!(format!("{iban:?} {}", iban.masked()), "Iban(IT…3456) IT…3456");
    }

    #[test]
    fn each_fault_has_its_name() {
        for (text, fault) in [
            ("", BadIban::Characters),
            ("IT", BadIban::Characters),
            ("1T60X0542811101000000123456", BadIban::Characters),
            ("ITA0X0542811101000000123456", BadIban::Characters),
            ("IT60-X054-2811-1010-0000-0123-456", BadIban::Characters),
            ("IT60X05428111010000001234è6", BadIban::Characters),
            ("US64SVBKUS6S3300958879", BadIban::Country),
            ("BR1800360305000010009795493C1", BadIban::Country),
            ("IT60X054281110100000012345", BadIban::Length { expected: 27 }),
            ("IT60X05428111010000001234567", BadIban::Length { expected: 27 }),
            (&format!("IT60{}", "0".repeat(60)), BadIban::Length { expected: 27 }),
            ("IT61X0542811101000000123456", BadIban::CheckDigits),
            ("DE89370400440532013001", BadIban::CheckDigits),
        ] {
            assert_eq!(text.parse::<Iban>(), Err(fault), "{text}");
        }
        // The letter A where X belongs, with check digits that fit it.
        let check = 98 - remainder(b"IT00A0542811101000000123456");
        assert_eq!(format!("IT{check:02}A0542811101000000123456").parse::<Iban>(), Err(BadIban::Cin));
        // A bank that is not five digits.
        let check = 98 - remainder(b"IT00X0542A11101000000123456");
        assert_eq!(format!("IT{check:02}X0542A11101000000123456").parse::<Iban>(), Err(BadIban::Cin));
    }

    #[test]
    fn check_digits_that_no_bank_gives_out_are_refused() {
        // Of the two numbers below 100 that leave remainder 1, only those from 02 to 98 are check digits.
        let mut seen = 0;
        for account in 0..400_u32 {
            let iban = an_iban("BE", &format!("{account:012}"));
            let alias = match &iban[2..4] {
                "97" => "00",
                "98" => "01",
                "02" => "99",
                _ => continue,
            };
            seen += 1;
            assert!(iban.parse::<Iban>().is_ok());
            assert_eq!(format!("BE{alias}{}", &iban[4..]).parse::<Iban>(), Err(BadIban::CheckDigits));
        }
        assert!(seen > 3);
    }

    proptest! {
        #[test]
        fn whatever_has_its_check_digits_is_read(bank in "[0-9]{10}", account in "[0-9A-Z]{12}", german in "[0-9]{18}") {
            for text in [an_iban("IT", &(bank + &account)), an_iban("DE", &german)] {
                let iban: Iban = text.parse().unwrap();
                prop_assert_eq!(iban.as_str(), &text);
                let grouped = iban.to_string();
                prop_assert!(grouped.split(' ').rev().skip(1).all(|group| group.len() == 4));
                prop_assert_eq!(grouped.parse(), Ok(iban));
            }
        }

        #[test]
        fn one_wrong_digit_or_two_swapped_are_found(account in "[0-9]{18}", place in 4_usize..22, other in 0_u8..10) {
            let text = an_iban("DE", &account);
            let mut wrong = text.clone().into_bytes();
            wrong[place] = b'0' + other;
            let wrong = String::from_utf8(wrong).unwrap();
            prop_assert_eq!(wrong.parse::<Iban>().is_ok(), wrong == text);
            let mut swapped = text.clone().into_bytes();
            swapped.swap(place, place.max(5) - 1);
            let swapped = String::from_utf8(swapped).unwrap();
            prop_assert_eq!(swapped.parse::<Iban>().is_ok(), swapped == text);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}", near in "[A-Z]{2}[0-9]{2}[0-9A-Z]{0,40}") {
            let _ = text.parse::<Iban>();
            let _ = near.parse::<Iban>();
        }
    }
}
