//! Answers that the manifest wrote down: the host gives them without running anything.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use std::sync::Arc;

/// The whole answer of a trigger, the same for every request. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FixedAnswer {
    status: StatusCode,
    headers: Arc<HeaderMap>,
    body: Bytes,
}

/// An answer that HTTP cannot carry.
#[derive(Debug, thiserror::Error)]
pub enum FixedAnswerError {
    /// The status is no status.
    #[error("{status} is no status of an answer; write a number from 200 to 599")]
    Status {
        /// What was written.
        status: u16,
        /// Why.
        #[source]
        source: http::status::InvalidStatusCode,
    },
    /// A header's name is no name.
    #[error("\"{name}\" is no name for a header")]
    Name {
        /// What was written.
        name: String,
        /// Why.
        #[source]
        source: http::header::InvalidHeaderName,
    },
    /// A header's value is no value.
    #[error("the value of the header \"{name}\" cannot be sent; write one line of printable characters")]
    Value {
        /// The header.
        name: String,
        /// Why.
        #[source]
        source: http::header::InvalidHeaderValue,
    },
}

impl FixedAnswer {
    /// Checks an answer and makes it ready to be given.
    ///
    /// # Errors
    /// When HTTP has no such status or header.
    pub fn new<'a>(
        status: u16,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
        body: impl Into<Bytes>,
    ) -> Result<Self, FixedAnswerError> {
        let status = StatusCode::from_u16(status).map_err(|source| FixedAnswerError::Status { status, source })?;
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let owned = || name.to_owned();
            let key = HeaderName::try_from(name).map_err(|source| FixedAnswerError::Name { name: owned(), source })?;
            let value =
                HeaderValue::try_from(value).map_err(|source| FixedAnswerError::Value { name: owned(), source })?;
            map.append(key, value);
        }
        Ok(Self { status, headers: Arc::new(map), body: body.into() })
    }

    pub(crate) fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body.clone()));
        *response.status_mut() = self.status;
        response.headers_mut().clone_from(&self.headers);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_http_cannot_carry_is_refused_by_name() {
        let refused = |status, name, value| FixedAnswer::new(status, [(name, value)], "").unwrap_err().to_string();
        assert!(refused(1000, "a", "b").contains("1000"));
        assert!(refused(200, "a b", "c").contains("\"a b\""));
        assert!(refused(200, "x-line", "a\nb").contains("x-line"));
    }

    #[test]
    fn the_same_name_in_two_cases_is_two_headers() {
        let answer = FixedAnswer::new(200, [("X-A", "1"), ("x-a", "2")], "body").unwrap().response();
        assert_eq!(answer.headers().get_all("x-a").iter().count(), 2);
    }
}
