//! Bytes as hexadecimal digits: how hashes, keys and whatever is signed are shown, listed and handed out.

use std::fmt::{self, Display, Write as _};
use std::str::FromStr;

/// Bytes that are shown as lower-case digits, two for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hex<T>(pub T);

impl<T: AsRef<[u8]>> Display for Hex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.as_ref().iter().flat_map(|&byte| [byte >> 4, byte & 15]);
        digits.filter_map(|digit| char::from_digit(digit.into(), 16)).try_for_each(|digit| f.write_char(digit))
    }
}

/// As many bytes as are expected, of digits in either case.
impl<const N: usize> FromStr for Hex<[u8; N]> {
    type Err = &'static str;

    fn from_str(digits: &str) -> Result<Self, &'static str> {
        bytes(digits).and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or("hexadecimal digits are expected, two for each byte")
    }
}

/// The bytes that digits stand for, in either case; none if they are anything else.
#[must_use]
pub fn bytes(digits: &str) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    let digit = |digit: u8| char::from(digit).to_digit(16);
    pairs.iter().map(|&[high, low]| u8::try_from(digit(high)? * 16 + digit(low)?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_again_and_nothing_else() {
        let shown = Hex([0_u8, 9, 0x1f, 0xff]).to_string();
        assert_eq!((shown.as_str(), bytes(&shown)), ("00091fff", Some(vec![0, 9, 0x1f, 0xff])));
        assert_eq!((Hex(&[0xab_u8][..]).to_string(), bytes("AB"), bytes("")), ("ab".to_owned(), Some(vec![0xab]), Some(Vec::new())));
        for wrong in ["0", "000", "+f", "g0", " 0", "é"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
        assert_eq!("00091FFF".parse::<Hex<[u8; 4]>>(), Ok(Hex([0_u8, 9, 0x1f, 0xff])));
        assert!("00091f".parse::<Hex<[u8; 4]>>().is_err() && "00091fffff".parse::<Hex<[u8; 4]>>().is_err());
    }
}
