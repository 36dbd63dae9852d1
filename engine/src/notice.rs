//! Notice numbers of pagoPA, and what is printed of them: how a payment is named towards banks, and how that name finds the payment again.
//!
//! Layouts and check digits are those of SACI 3.2.1; the text of the QR code is that of the notice guide. Written strictly, read liberally: a number of the
//! right form is one, whether its check digits fit is asked apart, as test numbers of the platform often do not.

use std::fmt;
use std::str::FromStr;

use crate::ids::PaymentId;
use crate::money::Cents;

/// The largest amount that fits a notice, in cents: 11 digits (999,999,999.99 euros).
pub const AMOUNT_MAX: Cents = Cents::new(99_999_999_999);

/// The aux digit of creditors with several stations: the only one that may still be given out.
const AUX_DIGIT: u64 = 3;
const CHECK_MODULUS: u64 = 93;
const TEN_TO_13: u64 = 10_000_000_000_000;
const TEN_TO_15: u64 = 1_000_000_000_000_000;
const TEN_TO_17: u64 = 100_000_000_000_000_000;

/// Text that is not a notice number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a notice number: 18 digits are expected, the first of them 0 to 3")]
pub struct BadNoticeNumber;

/// Text that is not the fiscal code of an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the fiscal code of an organization: 11 digits are expected")]
pub struct BadFiscalCode;

/// Text that is not a segregation code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a segregation code: 2 digits are expected")]
pub struct BadSegregation;

/// Text that is not the QR code of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the QR code of a notice: PAGOPA|002|notice number|fiscal code|cents is expected")]
pub struct BadQr;

/// What tells apart those who issue notices for one creditor: two digits, assigned by PagoPA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segregation(u8);

impl FromStr for Segregation {
    type Err = BadSegregation;
    fn from_str(text: &str) -> Result<Self, BadSegregation> {
        let value = digits(text, 2).ok_or(BadSegregation)?;
        Ok(Self(u8::try_from(value).map_err(|_| BadSegregation)?))
    }
}

impl fmt::Display for Segregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}", self.0)
    }
}

/// The fiscal code of an organization, as a creditor has one. Its own check digit is not looked at: the platform's test creditor has a wrong one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FiscalCode(u64);

impl FromStr for FiscalCode {
    type Err = BadFiscalCode;
    fn from_str(text: &str) -> Result<Self, BadFiscalCode> {
        digits(text, 11).map(Self).ok_or(BadFiscalCode)
    }
}

impl fmt::Display for FiscalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:011}", self.0)
    }
}

/// The 18 digits (NAV, *numero avviso*) that name a payment, together with the creditor's fiscal code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoticeNumber(u64);

impl NoticeNumber {
    /// The notice number of a payment: `3`, the segregation code, the payment's number in 13 digits, two check digits.
    #[must_use]
    pub const fn new(payment: PaymentId, segregation: Segregation) -> Self {
        let checked = AUX_DIGIT * TEN_TO_15 + segregation.0 as u64 * TEN_TO_13 + payment.number() % TEN_TO_13;
        Self(checked * 100 + checked % CHECK_MODULUS)
    }

    /// The notice number whose IUV is `iuv`, if that has the 17 digits of those given out here.
    #[must_use]
    pub fn of_iuv(iuv: &str) -> Option<Self> {
        digits(iuv, 17).map(|iuv| Self(AUX_DIGIT * TEN_TO_17 + iuv))
    }

    /// The payment of `creditor` that bears this number, and the segregation code that it must have: none if its check digits do not fit, or if it is of a
    /// kind that is not given out here.
    #[must_use]
    pub const fn payment(self, creditor: u16) -> Option<(PaymentId, Segregation)> {
        if self.0 / TEN_TO_17 != AUX_DIGIT || !self.check_fits() {
            return None;
        }
        let segregation = Segregation((self.0 / TEN_TO_15 % 100) as u8);
        Some((PaymentId::new(creditor, self.0 / 100 % TEN_TO_13), segregation))
    }

    /// Whether the check digits are those of the others. Numbers with the aux digit 1 have none.
    #[must_use]
    pub const fn check_fits(self) -> bool {
        self.0 / TEN_TO_17 == 1 || self.0 / 100 % CHECK_MODULUS == self.0 % 100
    }

    /// The IUV, which names the payment within flows and receipts: all digits but the first; with the aux digit 0, which old notices have, all but three.
    #[must_use]
    pub fn iuv(self) -> String {
        if self.0 / TEN_TO_17 == 0 { format!("{:015}", self.0 % TEN_TO_15) } else { format!("{:017}", self.0 % TEN_TO_17) }
    }
}

impl FromStr for NoticeNumber {
    type Err = BadNoticeNumber;
    fn from_str(text: &str) -> Result<Self, BadNoticeNumber> {
        digits(text, 18).filter(|number| number / TEN_TO_17 <= AUX_DIGIT).map(Self).ok_or(BadNoticeNumber)
    }
}

impl fmt::Display for NoticeNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:018}", self.0)
    }
}

/// What the QR code of a printed notice says: version 4 (33 modules), error correction M.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Qr {
    notice: NoticeNumber,
    creditor: FiscalCode,
    amount: Cents,
}

impl Qr {
    /// For an amount due; none if that is negative or above [`AMOUNT_MAX`].
    #[must_use]
    pub fn new(notice: NoticeNumber, creditor: FiscalCode, amount: Cents) -> Option<Self> {
        (Cents::ZERO..=AMOUNT_MAX).contains(&amount).then_some(Self { notice, creditor, amount })
    }

    /// Which notice.
    #[must_use]
    pub const fn notice(&self) -> NoticeNumber {
        self.notice
    }

    /// To whom the money is due.
    #[must_use]
    pub const fn creditor(&self) -> FiscalCode {
        self.creditor
    }

    /// How much was due when it was printed.
    #[must_use]
    pub const fn amount(&self) -> Cents {
        self.amount
    }
}

/// The text of the code. The amount has 2 to 11 digits.
impl fmt::Display for Qr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PAGOPA|002|{}|{}|{:02}", self.notice, self.creditor, self.amount.get())
    }
}

impl FromStr for Qr {
    type Err = BadQr;
    fn from_str(text: &str) -> Result<Self, BadQr> {
        let mut parts = text.split('|');
        let mut next = || parts.next().ok_or(BadQr);
        if (next()?, next()?) != ("PAGOPA", "002") {
            return Err(BadQr);
        }
        let (notice, creditor, amount) = (next()?, next()?, next()?);
        let cents = digits(amount, amount.len()).filter(|_| (2..=11).contains(&amount.len())).ok_or(BadQr)?;
        let amount = Cents::new(i64::try_from(cents).map_err(|_| BadQr)?);
        let code = Self { notice: notice.parse().map_err(|_| BadQr)?, creditor: creditor.parse().map_err(|_| BadQr)?, amount };
        if parts.next().is_some() { Err(BadQr) } else { Ok(code) }
    }
}

/// The value of a text of exactly so many decimal digits, 19 at most.
fn digits(text: &str, count: usize) -> Option<u64> {
    let plain = text.len() == count && (1..=19).contains(&count) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PAYMENT_NUMBERS;
    use serde_json::Value;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("testdata/pagopa_vectors.json")).unwrap()
    }

    fn each<'a>(vectors: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
        vectors[name].as_array().unwrap().iter()
    }

    fn text<'a>(value: &'a Value, name: &str) -> &'a str {
        value[name].as_str().unwrap()
    }

    /// The check digits in another way: digit by digit, as one divides on paper.
    fn remainder(digits: &str) -> u64 {
        digits.bytes().fold(0, |rest, digit| (rest * 10 + u64::from(digit - b'0')) % 93)
    }

    #[test]
    fn published_notice_numbers_are_built_and_read() {
        let vectors = vectors();
        for vector in each(&vectors, "notice_numbers_valid") {
            let notice: NoticeNumber = text(vector, "nav").parse().unwrap();
            assert_eq!(notice.to_string(), text(vector, "nav"));
            assert!(notice.check_fits(), "{vector}");
            assert_eq!(format!("{:02}", remainder(&text(vector, "nav")[..16])), text(vector, "check"));
            if let Some(iuv) = vector["iuv"].as_str() {
                assert_eq!(notice.iuv(), iuv);
                assert_eq!(NoticeNumber::of_iuv(iuv), Some(notice));
            }
            if vector["aux"] == 3 {
                let segregation: Segregation = text(vector, "segregation").parse().unwrap();
                let payment = PaymentId::new(7, text(vector, "iuv_base").parse().unwrap());
                assert_eq!(NoticeNumber::new(payment, segregation), notice);
                assert_eq!(notice.payment(7), Some((payment, segregation)));
            } else {
                assert_eq!((notice.payment(7), notice.iuv().len()), (None, 15), "{vector}");
            }
        }
    }

    #[test]
    fn wrong_check_digits_are_read_and_find_no_payment() {
        let vectors = vectors();
        for vector in each(&vectors, "notice_numbers_wrong_check") {
            let notice: NoticeNumber = text(vector, "nav").parse().unwrap();
            assert!(!notice.check_fits(), "{vector}");
            assert_eq!(notice.payment(7), None);
            let right = format!("{}{}", &text(vector, "nav")[..16], text(vector, "expected_check"));
            assert!(right.parse::<NoticeNumber>().unwrap().check_fits(), "{right}");
        }
        for bad in each(&vectors, "notice_numbers_malformed") {
            assert_eq!(bad.as_str().unwrap().parse::<NoticeNumber>(), Err(BadNoticeNumber), "{bad}");
        }
        assert!("112345678901234567".parse::<NoticeNumber>().unwrap().check_fits(), "aux digit 1 has no check");
    }

    #[test]
    fn qr_codes_are_built_and_read() {
        let vectors = vectors();
        for vector in each(&vectors, "qr") {
            let code: Qr = text(vector, "text").parse().unwrap();
            assert_eq!(code.to_string(), text(vector, "text"));
            if let Some(cents) = vector["amount_cents"].as_i64() {
                let (notice, creditor) = (text(vector, "nav").parse().unwrap(), text(vector, "creditor_cf").parse().unwrap());
                assert_eq!(Qr::new(notice, creditor, Cents::new(cents)), Some(code));
                assert_eq!((code.notice(), code.creditor(), code.amount()), (notice, creditor, Cents::new(cents)));
            }
        }
        let good = "PAGOPA|002|301000000000000144|97832870584|";
        let more = [format!("{good}5"), format!("{good}123456789012"), format!("{good}30000|"), good.to_owned(), String::new()];
        for bad in each(&vectors, "qr_malformed").map(|bad| bad.as_str().unwrap()).chain(more.iter().map(String::as_str)) {
            assert_eq!(bad.parse::<Qr>(), Err(BadQr), "{bad}");
        }
        let (notice, creditor) = ("301000000000000144".parse().unwrap(), "97832870584".parse().unwrap());
        assert_eq!(Qr::new(notice, creditor, AMOUNT_MAX.plus(Cents::new(1))), None);
        assert_eq!(Qr::new(notice, creditor, Cents::new(-1)), None);
    }

    #[test]
    fn fiscal_codes_are_not_held_to_their_own_check() {
        let vectors = vectors();
        for vector in each(&vectors, "fiscal_code_11") {
            assert_eq!(text(vector, "cf").parse::<FiscalCode>().map(|code| code.to_string()), Ok(text(vector, "cf").to_owned()));
        }
        for bad in ["", "9783287058", "978328705844", "9783287058A", "RSSMRA80A01H501U", "97832870５84"] {
            assert_eq!(bad.parse::<FiscalCode>(), Err(BadFiscalCode), "{bad}");
        }
        for bad in ["", "1", "100", "-1", "+1", "1a"] {
            assert_eq!(bad.parse::<Segregation>(), Err(BadSegregation), "{bad}");
        }
    }

    #[test]
    fn amounts_are_written_as_the_vectors_say() {
        let vectors = vectors();
        for vector in each(&vectors, "amount_format").filter(|vector| vector["cents"].is_i64()) {
            assert_eq!(Cents::new(vector["cents"].as_i64().unwrap()).to_string(), text(vector, "soap"));
        }
    }

    #[test]
    fn a_hundred_thousand_notice_numbers_agree_with_long_division() {
        let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
        for _ in 0..100_000 {
            // xorshift64: any spread of numbers will do.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let (creditor, number, code) = (random as u16, (random >> 16) % PAYMENT_NUMBERS, random % 100);
            let (payment, segregation) = (PaymentId::new(creditor, number), format!("{code:02}").parse().unwrap());
            let notice = NoticeNumber::new(payment, segregation);
            let first = format!("3{code:02}{number:013}");
            let expected = format!("{first}{:02}", remainder(&first));
            assert_eq!(notice.to_string(), expected);
            assert_eq!(expected.parse::<NoticeNumber>().unwrap().payment(creditor), Some((payment, segregation)));
            assert_eq!(NoticeNumber::of_iuv(&notice.iuv()), Some(notice));
        }
    }

    #[test]
    fn every_changed_digit_and_every_swap_of_neighbours_is_found() {
        for sample in ["301000000000000144", "345026112100001769", "348999999999999909"] {
            for place in 1..18 {
                for digit in b'0'..=b'9' {
                    let mut changed = sample.as_bytes().to_vec();
                    changed[place] = digit;
                    let fits = String::from_utf8(changed).unwrap().parse::<NoticeNumber>().unwrap().check_fits();
                    assert_eq!(fits, digit == sample.as_bytes()[place], "{sample} {place} {digit}");
                }
            }
            for place in 1..15 {
                let mut swapped = sample.as_bytes().to_vec();
                swapped.swap(place, place + 1);
                let fits = String::from_utf8(swapped.clone()).unwrap().parse::<NoticeNumber>().unwrap().check_fits();
                assert_eq!(fits, swapped == sample.as_bytes(), "{sample} {place}");
            }
        }
    }
}
