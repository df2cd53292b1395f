//! `Authorization: Bearer <token>`, as clients send it.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The token of a request; nothing where there is none, or where two headers leave open which one is meant. The name of
/// the scheme is not case-sensitive: Spin sends it in small letters.
pub(crate) fn token(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(values: &[&str]) -> Option<String> {
        let headers = values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_str(value).unwrap())).collect();
        token(&headers).map(|token| String::from_utf8(token.to_vec()).unwrap())
    }

    #[test]
    fn a_token_is_found_whatever_the_case_of_its_scheme() {
        for value in ["Bearer abc", "bearer abc", "BEARER abc", "bEaReR  abc "] {
            assert_eq!(read(&[value]).as_deref(), Some("abc"), "{value}");
        }
    }

    #[test]
    fn what_is_no_token_of_a_bearer_is_none() {
        for values in [&[][..], &["abc"], &["Bearerabc"], &["Basic abc"], &["Bearer"], &["Bearer a", "Bearer b"]] {
            assert_eq!(read(values), None, "{values:?}");
        }
        assert_eq!(read(&["Bearer "]).as_deref(), Some(""));
    }
}
