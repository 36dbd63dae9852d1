//! Who a group comes from: a school, an operator, a company, known by codes that are no personal data. A person's fiscal code is personal data: it is checked
//! here and kept in `people`, never in the journal.
//!
//! A creditor of pagoPA is not checked by these rules: the test creditor `77777777777` of the platform fails the checksum. Payers are.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::Code;

/// How many digits a body's code has.
const BODY_DIGITS: usize = 11;
/// How many characters a person's code has.
const PERSON_CHARACTERS: usize = 16;

/// The fiscal code of a body (codice fiscale of DPR 605/1973) or a VAT number (partita IVA): 11 digits, the last a check digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BodyCode([u8; BODY_DIGITS]);

/// The fiscal code of a natural person: 16 characters, the last a check character (DM 23 December 1976).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonCode([u8; PERSON_CHARACTERS]);

/// What is wrong with a fiscal code or VAT number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum BadFiscalCode {
    /// Neither 11 digits nor a person's 16 characters.
    #[error(
        "11 digits are expected (the fiscal code of a body, or a VAT number), or the 16 letters and digits of a person's fiscal code in their places"
    )]
    Form,
    /// The last character is not that which follows from the others.
    #[error("the check character does not fit: look for a mistyped character")]
    Check,
}

/// Who is quoted, by codes only: names and addresses of people are in `people`. A body from abroad has none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Institution {
    /// Its fiscal code.
    #[serde(default)]
    pub fiscal_code: Option<BodyCode>,
    /// Its VAT number, often the same.
    #[serde(default)]
    pub vat: Option<BodyCode>,
    /// Its code in the index of public administrations (IPA), lower case: schools and municipalities have one.
    #[serde(default)]
    pub ipa: Option<Code>,
}

impl Institution {
    /// Whether nothing is known of it.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        self.fiscal_code.is_none() && self.vat.is_none() && self.ipa.is_none()
    }
}

impl FromStr for BodyCode {
    type Err = BadFiscalCode;
    fn from_str(text: &str) -> Result<Self, BadFiscalCode> {
        let code: [u8; BODY_DIGITS] = text.as_bytes().try_into().map_err(|_| BadFiscalCode::Form)?;
        if !code.iter().all(u8::is_ascii_digit) || code == [b'0'; BODY_DIGITS] {
            return Err(BadFiscalCode::Form);
        }
        if code[BODY_DIGITS - 1] - b'0' == check_digit(&code[..BODY_DIGITS - 1]) { Ok(Self(code)) } else { Err(BadFiscalCode::Check) }
    }
}

/// Luhn's: every second digit doubled and its digits added up; the check digit makes the sum a multiple of ten.
fn check_digit(digits: &[u8]) -> u8 {
    let value = |(i, digit): (usize, &u8)| {
        let digit = digit - b'0';
        if i % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 }
    };
    let sum: u8 = digits.iter().enumerate().map(value).sum();
    (10 - sum % 10) % 10
}

impl fmt::Display for BodyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl Serialize for BodyCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BodyCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// What stands at each place of a person's code: six letters of the names, year, month, day, the place of birth, the check character.
const PERSON_FORM: [Place; PERSON_CHARACTERS] = {
    use Place::{Digit, Letter, Month};
    [Letter, Letter, Letter, Letter, Letter, Letter, Digit, Digit, Month, Digit, Digit, Letter, Digit, Digit, Digit, Letter]
};

/// The letters of the months, January first.
const MONTHS: &[u8; 12] = b"ABCDEHLMPRST";
/// The letters that stand for digits in the codes of people who would have the same one (omocodia), 0 first.
const LETTERS_FOR_DIGITS: &[u8; 10] = b"LMNPQRSTUV";
/// The values of the characters at odd places (the first, the third ...): digits count as the first ten letters.
const ODD_VALUES: [u8; 26] = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];

#[derive(Clone, Copy)]
enum Place {
    Letter,
    Digit,
    Month,
}

impl Place {
    fn takes(self, character: u8) -> bool {
        match self {
            Self::Letter => character.is_ascii_uppercase(),
            Self::Digit => digit(character).is_some(),
            Self::Month => MONTHS.contains(&character),
        }
    }
}

/// The digit that a character stands for, itself or as one of omocodia's letters.
fn digit(character: u8) -> Option<u8> {
    let letter = || LETTERS_FOR_DIGITS.iter().position(|&letter| letter == character).map(|digit| digit as u8);
    if character.is_ascii_digit() { Some(character - b'0') } else { letter() }
}

impl FromStr for PersonCode {
    type Err = BadFiscalCode;
    /// Lower-case letters are taken as upper-case ones.
    fn from_str(text: &str) -> Result<Self, BadFiscalCode> {
        let mut code: [u8; PERSON_CHARACTERS] = text.as_bytes().try_into().map_err(|_| BadFiscalCode::Form)?;
        code.make_ascii_uppercase();
        let tens_and_ones = || Some(10 * digit(code[9])? + digit(code[10])?);
        // 1 to 31, and 40 more for women.
        let is_day = tens_and_ones().is_some_and(|day| (1..=31).contains(&day) || (41..=71).contains(&day));
        if !PERSON_FORM.iter().zip(&code).all(|(place, &character)| place.takes(character)) || !is_day {
            return Err(BadFiscalCode::Form);
        }
        if code[PERSON_CHARACTERS - 1] == check_character(&code[..PERSON_CHARACTERS - 1]) { Ok(Self(code)) } else { Err(BadFiscalCode::Check) }
    }
}

fn check_character(characters: &[u8]) -> u8 {
    let order = |character: u8| if character.is_ascii_digit() { character - b'0' } else { character - b'A' };
    let value = |(i, &character): (usize, &u8)| {
        let order = order(character);
        u16::from(if i % 2 == 0 { ODD_VALUES[usize::from(order)] } else { order })
    };
    let sum: u16 = characters.iter().enumerate().map(value).sum();
    b'A' + (sum % 26) as u8
}

impl fmt::Display for PersonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

/// Personal data: not shown in logs.
impl fmt::Debug for PersonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonCode(..)")
    }
}

/// Whether `text` is the fiscal code of a payer, a body or a person.
///
/// # Errors
/// What is wrong with it, by the rules of the kind that its length names.
pub fn check_payer(text: &str) -> Result<(), BadFiscalCode> {
    if text.len() == BODY_DIGITS { text.parse::<BodyCode>().map(drop) } else { text.parse::<PersonCode>().map(drop) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn codes_of_bodies() {
        // Published codes of public bodies and companies.
        for good in ["06363391001", "00484960588", "80185250588", "06382641006", "00811720580"] {
            assert_eq!(good.parse::<BodyCode>().map(|code| code.to_string()), Ok(good.to_owned()));
            assert_eq!(check_payer(good), Ok(()));
        }
        for (bad, why) in [
            ("06363391002", BadFiscalCode::Check),
            ("60363391001", BadFiscalCode::Check),
            // pagoPA's test creditor: no payer has this code, though creditors are not asked.
            ("77777777777", BadFiscalCode::Check),
            ("00000000000", BadFiscalCode::Form),
            ("0636339100", BadFiscalCode::Form),
            ("063633910011", BadFiscalCode::Form),
            ("0636339100A", BadFiscalCode::Form),
            ("", BadFiscalCode::Form),
            ("٠٦٣٦٣٣", BadFiscalCode::Form),
        ] {
            assert_eq!(bad.parse::<BodyCode>(), Err(why), "{bad}");
        }
    }

    #[test]
    fn codes_of_people() {
        // Of nobody: the examples that forms are filled with. The last ones are of people who would have had the same code.
        for good in ["RSSMRA80A01H501U", "MRTMTT91D08F205J", "RSSMRA70A41F205Z", "mrtmtt25d09f205z", "RSSMRA80A01H50MM", "RSSMRALMALMHRLMS"] {
            assert_eq!(good.parse::<PersonCode>().map(|code| code.to_string()), Ok(good.to_ascii_uppercase()), "{good}");
            assert_eq!(check_payer(good), Ok(()));
        }
        for (bad, why) in [
            ("RSSMRA80A01H501V", BadFiscalCode::Check),
            ("RSMSRA80A01H501U", BadFiscalCode::Check),
            // No such month; no such day; a letter that stands for no digit; a digit in the name.
            ("RSSMRA80F01H501U", BadFiscalCode::Form),
            ("RSSMRA80A32H501U", BadFiscalCode::Form),
            ("RSSMRA80A00H501U", BadFiscalCode::Form),
            ("RSSMRA80A72H501U", BadFiscalCode::Form),
            ("RSSMRAA0A01H501U", BadFiscalCode::Form),
            ("RSSMR180A01H501U", BadFiscalCode::Form),
            ("RSSMRA80A01H501", BadFiscalCode::Form),
            ("", BadFiscalCode::Form),
        ] {
            assert_eq!(bad.parse::<PersonCode>(), Err(why), "{bad}");
        }
        assert_eq!(format!("{:?}", "RSSMRA80A01H501U".parse::<PersonCode>()), "Ok(PersonCode(..))");
    }

    proptest! {
        /// One wrong digit, or two neighbours exchanged (0 and 9 excepted: Luhn's one blind spot), is always seen.
        #[test]
        fn a_mistyped_body_is_seen(digits in prop::collection::vec(b'0'..=b'9', 10), at in 0_usize..11, by in 1_u8..10, swap in 0_usize..10) {
            let mut code = digits;
            code.push(b'0' + check_digit(&code));
            let text = |code: &[u8]| String::from_utf8(code.to_vec()).unwrap();
            prop_assume!(code.iter().any(|&digit| digit != b'0'));
            prop_assert!(text(&code).parse::<BodyCode>().is_ok());
            let mut wrong = code.clone();
            wrong[at] = b'0' + (wrong[at] - b'0' + by) % 10;
            prop_assert!(text(&wrong).parse::<BodyCode>().is_err());
            let mut swapped = code.clone();
            swapped.swap(swap, swap + 1);
            let blind = [[b'0', b'9'], [b'9', b'0']].contains(&[code[swap], code[swap + 1]]);
            prop_assert_eq!(text(&swapped).parse::<BodyCode>().is_ok(), blind || swapped == code);
        }

        /// A code with letters for some of its digits is one too, with another check character; one wrong character is seen.
        #[test]
        fn omocodia_and_mistyped_people(letters in "[A-Z]{6}", year in 0_u8..100, month in 0_usize..12, day in 1_u8..=31, woman: bool,
            place in "[A-Z][0-9]{3}", replaced in 0_u8..128, at in 0_usize..15, to in b'A'..=b'Z',
        ) {
            let day = if woman { day + 40 } else { day };
            let mut code = format!("{letters}{year:02}{}{day:02}{place}", MONTHS[month] as char).into_bytes();
            for (bit, place) in [6, 7, 9, 10, 12, 13, 14].into_iter().enumerate() {
                if replaced >> bit & 1 == 1 {
                    code[place] = LETTERS_FOR_DIGITS[usize::from(code[place] - b'0')];
                }
            }
            let check = check_character(&code);
            let with = |code: &[u8]| String::from_utf8([code, &[check]].concat()).unwrap();
            prop_assert!(with(&code).parse::<PersonCode>().is_ok());
            let mut wrong = code.clone();
            wrong[at] = to;
            prop_assert_eq!(with(&wrong).parse::<PersonCode>().is_ok(), wrong == code);
        }

        #[test]
        fn no_text_makes_a_code_panic(text in "\\PC{0,20}") {
            let _ = check_payer(&text);
        }
    }
}
