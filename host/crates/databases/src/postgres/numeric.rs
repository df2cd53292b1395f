//! Decimal numbers of any length, between their text and PostgreSQL's groups of four digits.

use super::ValueError;
use bytes::{BufMut, BytesMut};

/// What PostgreSQL allows before and after the point.
const WHOLE_DIGITS: usize = 131_072;
const FRACTION_DIGITS: usize = 16_383;
const HEAD_BYTES: usize = 8;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// A decimal number, as text: `-12.50`, or `NaN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numeric(String);

impl Numeric {
    /// Reads a number: digits, perhaps with a sign and a point.
    ///
    /// # Errors
    /// When it is none, or longer than PostgreSQL has them.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let (_, whole, fraction) = parts(text);
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let some = !whole.is_empty() || !fraction.is_empty();
        let fits = whole.len() <= WHOLE_DIGITS && fraction.len() <= FRACTION_DIGITS;
        if some && fits && digits(whole) && digits(fraction) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::invalid("decimal", text))
        }
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Its text.
    pub fn into_text(self) -> String {
        self.0
    }

    /// Bytes of the text that these bytes of a server's stand for, at most: eight may stand for a hundred thousand.
    pub(super) fn text_bytes(raw: &[u8]) -> usize {
        let Ok(head) = Head::read(raw) else { return HEAD_BYTES };
        let whole = usize::try_from(i32::from(head.weight) + 1).unwrap_or(1).max(1);
        (2 + 4 * whole + usize::from(head.scale)).max("-Infinity".len())
    }

    pub(super) fn decode(raw: &[u8]) -> Result<Self, ValueError> {
        let head = Head::read(raw)?;
        match head.sign {
            NAN => return Ok(Self("NaN".into())),
            INFINITY => return Ok(Self("Infinity".into())),
            NEGATIVE_INFINITY => return Ok(Self("-Infinity".into())),
            _ => {}
        }
        let groups: Vec<u16> =
            raw.get(HEAD_BYTES..).unwrap_or_default().chunks_exact(2).map(|group| number(group).unwrap_or(0)).collect();
        if groups.len() != usize::from(head.groups) || groups.iter().any(|group| *group > 9999) {
            return Err(ValueError::Malformed("numeric"));
        }
        // The place of a group: 0 is the one before the point.
        let at = |place: i32| {
            let index = usize::try_from(i32::from(head.weight) - place).ok();
            index.and_then(|index| groups.get(index)).copied().unwrap_or(0)
        };
        let mut text = String::with_capacity(Self::text_bytes(raw));
        if head.sign == NEGATIVE {
            text.push('-');
        }
        let highest = i32::from(head.weight).max(0);
        text.push_str(&at(highest).to_string());
        for place in (0..highest).rev() {
            text.push_str(&format!("{:04}", at(place)));
        }
        if head.scale > 0 {
            text.push('.');
            let end = text.len() + usize::from(head.scale);
            let mut place = -1;
            while text.len() < end {
                text.push_str(&format!("{:04}", at(place)));
                place -= 1;
            }
            text.truncate(end);
        }
        Ok(Self(text))
    }

    pub(super) fn encode(&self, out: &mut BytesMut) {
        let (negative, whole, fraction) = parts(&self.0);
        let mut groups = groups(whole, fraction);
        let mut weight = whole.len().div_ceil(4) as i32 - 1;
        let leading = groups.iter().take_while(|group| **group == 0).count();
        groups.drain(..leading);
        weight -= leading as i32;
        while groups.last() == Some(&0) {
            groups.pop();
        }
        if groups.is_empty() {
            weight = 0;
        }
        out.put_u16(groups.len() as u16);
        out.put_i16(weight as i16);
        out.put_u16(if negative && !groups.is_empty() { NEGATIVE } else { 0 });
        out.put_u16(fraction.len() as u16);
        groups.into_iter().for_each(|group| out.put_u16(group));
    }
}

/// Whether it is negative, and the digits before and after the point.
fn parts(text: &str) -> (bool, &str, &str) {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    (negative, whole, fraction)
}

/// Groups of four digits, aligned at the point.
fn groups(whole: &str, fraction: &str) -> Vec<u16> {
    let before = format!("{}{whole}", "0".repeat(whole.len().next_multiple_of(4) - whole.len()));
    let after = format!("{fraction}{}", "0".repeat(fraction.len().next_multiple_of(4) - fraction.len()));
    let value = |group: &[u8]| group.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    before.as_bytes().chunks(4).chain(after.as_bytes().chunks(4)).map(value).collect()
}

struct Head {
    groups: u16,
    weight: i16,
    sign: u16,
    scale: u16,
}

impl Head {
    fn read(raw: &[u8]) -> Result<Self, ValueError> {
        let at = |index: usize| raw.get(index..index + 2).and_then(number);
        let head = || Some(Self { groups: at(0)?, weight: at(2)?.cast_signed(), sign: at(4)?, scale: at(6)? });
        head().ok_or(ValueError::Malformed("numeric"))
    }
}

fn number(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(text: &str) -> String {
        let mut bytes = BytesMut::new();
        Numeric::parse(text).unwrap().encode(&mut bytes);
        assert!(Numeric::text_bytes(&bytes) >= Numeric::decode(&bytes).unwrap().0.len());
        Numeric::decode(&bytes).unwrap().into_text()
    }

    #[test]
    fn a_number_is_what_postgresql_makes_of_it() {
        // From `SELECT numeric_send('12345.678')` and the like.
        for (text, bytes) in [
            ("12345.678", &[0, 3, 0, 1, 0, 0, 0, 3, 0, 1, 0x09, 0x29, 0x1a, 0x7c][..]),
            ("-0.0001", &[0, 1, 0xff, 0xff, 0x40, 0, 0, 4, 0, 1]),
            ("0", &[0, 0, 0, 0, 0, 0, 0, 0]),
            ("10000", &[0, 1, 0, 1, 0, 0, 0, 0, 0, 1]),
        ] {
            let mut encoded = BytesMut::new();
            Numeric::parse(text).unwrap().encode(&mut encoded);
            assert_eq!(&encoded[..], bytes, "{text}");
            assert_eq!(Numeric::decode(bytes).unwrap().into_text(), text);
        }
    }

    #[test]
    fn numbers_have_one_form() {
        for (text, form) in [(".5", "0.5"), ("+1.", "1"), ("007.10", "7.10"), ("-0", "0"), ("0.000", "0.000")] {
            assert_eq!(there_and_back(text), form, "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", ".", "-", "1e5", "1 ", "0x1", "--1", "1.2.3", "\u{661}"] {
            assert!(Numeric::parse(text).is_err(), "{text}");
        }
        assert!(Numeric::parse(&"1".repeat(WHOLE_DIGITS + 1)).is_err());
        assert!(Numeric::decode(&[0, 1, 0, 0, 0, 0, 0, 0]).is_err());
        assert_eq!(Numeric::decode(&[0, 0, 0, 0, 0xC0, 0, 0, 0]).unwrap().into_text(), "NaN");
        assert_eq!(Numeric::text_bytes(&[0, 1, 0x7f, 0xff, 0, 0, 0, 0, 0, 1]), 2 + 4 * 32_768);
    }

    proptest! {
        #[test]
        fn every_number_comes_back(text in "-?[1-9][0-9]{0,40}(\\.[0-9]{1,40})?") {
            prop_assert_eq!(there_and_back(&text), text);
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(number) = Numeric::decode(&bytes) {
                prop_assert!(number.0.len() <= Numeric::text_bytes(&bytes));
            }
        }
    }
}
