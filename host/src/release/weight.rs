//! A candidate's share of the requests.

use std::fmt;
use std::str::FromStr;

/// A share in tenths of a percent, 0 to 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weight(u16);

impl Weight {
    /// In percent, as the admin API has it.
    pub(crate) fn percent(self) -> f64 {
        f64::from(self.0) / 10.0
    }
}

/// Why a text is no weight.
#[derive(Debug, thiserror::Error)]
#[error("a weight is a percentage from 0 to 100, with at most one digit after the point: 10, 12.5")]
pub(crate) struct WeightError;

impl FromStr for Weight {
    type Err = WeightError;

    /// Digits only, so that no rounding comes between what was typed and what is decided by.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_suffix('%').unwrap_or(text);
        let (whole, tenth) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !(1..=3).contains(&whole.len()) || tenth.len() != 1 || !digits(whole) || !digits(tenth) {
            return Err(WeightError);
        }
        match format!("{whole}{tenth}").parse() {
            Ok(tenths) if tenths <= 1000 => Ok(Self(tenths)),
            Ok(_) | Err(_) => Err(WeightError),
        }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&percent(self.percent()))
    }
}

/// A percentage for people: `10 %`, `12.5 %`.
pub(crate) fn percent(value: f64) -> String {
    let text = format!("{value:.1}");
    format!("{} %", text.strip_suffix(".0").unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_read_in_tenths_of_a_percent() {
        for (text, tenths, shown) in [
            ("0", 0, "0 %"),
            ("10", 100, "10 %"),
            ("12.5", 125, "12.5 %"),
            ("0.1%", 1, "0.1 %"),
            ("100.0", 1000, "100 %"),
        ] {
            let weight: Weight = text.parse().unwrap();
            assert_eq!((weight, weight.to_string().as_str()), (Weight(tenths), shown), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in
            ["", "%", "-1", "+1", "100.1", "101", "1000", "12.55", "12.", ".5", "1e1", "ten", " 5", "0x1", "1,5"]
        {
            assert!(text.parse::<Weight>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_was_typed_is_what_the_host_is_told() {
        for tenths in 0..=1000_u16 {
            let typed = format!("{}.{}", tenths / 10, tenths % 10);
            let told = serde_json::to_string(&typed.parse::<Weight>().unwrap().percent()).unwrap();
            assert_eq!(told, typed);
        }
    }
}
