//! Answers of the admin listener: whole ones, and the stream of events.

use super::events::Stream;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use serde::Serialize;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(super) type Answer = Response<AdminBody>;

/// The body of an answer.
pub(crate) enum AdminBody {
    Whole(Full<Bytes>),
    Events(Stream),
}

impl Body for AdminBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Events(stream) => stream.poll(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Events(_) => SizeHint::default(),
        }
    }
}

pub(super) fn respond(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    // Views hold no maps with odd keys, so that they can always be written; a host that cannot says so.
    match serde_json::to_vec(value) {
        Ok(json) => respond(status, JSON, json).map(AdminBody::Whole),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            respond(StatusCode::INTERNAL_SERVER_ERROR, JSON, "null").map(AdminBody::Whole)
        }
    }
}
