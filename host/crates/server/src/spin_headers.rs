//! What Spin tells a component about its request, in headers that only the host may set.

use crate::routes::{Answers, RouteMatch};
use http::header::{CONNECTION, HOST, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Uri, Version, request};
use std::net::SocketAddr;

const PATH_INFO: HeaderName = HeaderName::from_static("spin-path-info");
const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");
const MATCHED_ROUTE: HeaderName = HeaderName::from_static("spin-matched-route");
const BASE_PATH: HeaderName = HeaderName::from_static("spin-base-path");
const COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-component-route");
const RAW_COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-raw-component-route");
const CLIENT_ADDR: HeaderName = HeaderName::from_static("spin-client-addr");
const PATH_MATCH: &str = "spin-path-match-";

const OURS: [HeaderName; 7] =
    [PATH_INFO, FULL_URL, MATCHED_ROUTE, BASE_PATH, COMPONENT_ROUTE, RAW_COMPONENT_ROUTE, CLIENT_ADDR];

/// What a request between components says of its host and client, which it does not have.
const NO_HOST: &str = "localhost";
const NO_CLIENT: HeaderValue = HeaderValue::from_static("0.0.0.0:0");

/// What every request of one route is told, made once. A request shares the bytes.
#[derive(Debug, Clone)]
pub(crate) struct OfRoute {
    /// Absolute, and without a slash at its end.
    matched: HeaderValue,
    /// As the manifest writes it.
    raw: HeaderValue,
    /// The same without the trailing wildcard.
    prefix: HeaderValue,
}

impl OfRoute {
    /// Of a route's pattern, which is ASCII, and the same made absolute. `None` for what fits into no header.
    pub(crate) fn new(matched: &str, raw: &str) -> Option<Self> {
        let value = |text: &str| HeaderValue::from_str(text).ok();
        let prefix = raw.strip_suffix("/...").unwrap_or(raw);
        Some(Self { matched: value(matched)?, raw: value(raw)?, prefix: value(prefix)? })
    }
}

/// A client's address as requests tell it.
pub(crate) fn client(address: SocketAddr) -> HeaderValue {
    // Digits, dots, colons and brackets fit into a header.
    HeaderValue::try_from(address.to_string()).unwrap_or(NO_CLIENT)
}

/// Why a request cannot be put into Spin's terms: for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("the request names no host; send a Host header")]
    NoHost,
    #[error("the Host header names no host")]
    BadHost,
    #[error("the Host header and the request's target name different hosts")]
    TwoHosts,
    #[error("hosts below spin.internal are for calls between components")]
    InternalHost,
    #[error("the request's target is not a path")]
    NoPath,
}

/// Makes the target absolute, drops what a client may not say, and adds Spin's headers, unless the component does without.
pub(crate) fn prepare<H>(
    head: &mut request::Parts,
    route: &RouteMatch<'_, '_, H>,
    client: HeaderValue,
    scheme: Scheme,
) -> Result<(), TargetError> {
    let authority = authority(head)?;
    if head.uri.path_and_query().is_none() {
        return Err(TargetError::NoPath);
    }
    let host = authority.clone();
    describe(head, scheme, (authority, host.as_str()), Seen::of(route).as_ref(), client);
    Ok(())
}

/// The same for a request of a component to its application's own routes.
pub(crate) fn prepare_own<H>(head: &mut request::Parts, route: &RouteMatch<'_, '_, H>) {
    head.headers.remove(HOST);
    describe(head, Scheme::HTTP, (Authority::from_static(NO_HOST), NO_HOST), Seen::of(route).as_ref(), NO_CLIENT);
}

/// The same for a request to a component by its name, which has no route: as if one matched every path, as in Spin. `plain`
/// is for one that does without Spin's headers.
pub(crate) fn prepare_chained(head: &mut request::Parts, plain: bool) {
    head.headers.remove(HOST);
    let authority = head.uri.authority().cloned().unwrap_or_else(|| Authority::from_static(NO_HOST));
    let path = head.uri.path().to_owned();
    let every = HeaderValue::from_static("/...");
    let route = OfRoute { matched: every.clone(), raw: every, prefix: HeaderValue::from_static("") };
    let seen = (!plain).then_some(Seen { path_info: &path, route: &route, params: &[] });
    describe(head, Scheme::HTTP, (authority, NO_HOST), seen.as_ref(), NO_CLIENT);
}

/// What a component sees of its route.
struct Seen<'a> {
    path_info: &'a str,
    route: &'a OfRoute,
    params: &'a [(&'a str, &'a str)],
}

impl<'a> Seen<'a> {
    /// `None` where the component does without.
    fn of<H>(route: &'a RouteMatch<'_, '_, H>) -> Option<Self> {
        let plain = matches!(&route.target.answers, Answers::Component(component) if component.plain);
        (!plain).then_some(Self { path_info: &route.path_info, route: &route.target.told, params: &route.params })
    }
}

fn describe(
    head: &mut request::Parts,
    scheme: Scheme,
    (authority, host): (Authority, &str),
    seen: Option<&Seen<'_>>,
    client: HeaderValue,
) {
    let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let told = seen.map(|seen| (seen, format!("{scheme}://{host}{path}")));
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build();
    // Built of parts that were parsed before; it stays relative if they still do not fit.
    if let Ok(uri) = uri {
        head.uri = uri;
    }
    let headers = &mut head.headers;
    strip(headers);
    let Some((seen, full_url)) = told else { return };
    headers.reserve(OURS.len());
    let OfRoute { matched, raw, prefix } = seen.route;
    set(headers, PATH_INFO, seen.path_info.to_owned());
    set(headers, FULL_URL, full_url);
    headers.insert(MATCHED_ROUTE, matched.clone());
    headers.insert(BASE_PATH, HeaderValue::from_static("/"));
    headers.insert(RAW_COMPONENT_ROUTE, raw.clone());
    headers.insert(COMPONENT_ROUTE, prefix.clone());
    headers.insert(CLIENT_ADDR, client);
    for (name, value) in seen.params {
        let name = format!("{PATH_MATCH}{}", name.replace('_', "-").to_ascii_lowercase());
        // A parameter whose name fits no header has none, as in Spin.
        if let Ok(name) = HeaderName::try_from(name) {
            set(headers, name, (*value).to_owned());
        }
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: String) {
    // Paths went through the parser, so a value always fits.
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// Removes what only the host may say, and what belongs to this connection alone.
fn strip(headers: &mut HeaderMap) {
    let is_ours = |name: &&HeaderName| {
        let name = name.as_str();
        name.starts_with("spin-") && (name.starts_with(PATH_MATCH) || OURS.iter().any(|ours| ours.as_str() == name))
    };
    // Hardly ever is there one.
    let smuggled: Vec<HeaderName> = headers.keys().filter(is_ours).cloned().collect();
    for name in smuggled {
        headers.remove(name);
    }
    headers.remove(CONNECTION);
}

/// The host that the client means. The target (HTTP/2, or an absolute one) and the Host header must agree.
fn authority(head: &request::Parts) -> Result<Authority, TargetError> {
    let header = match head.headers.get(HOST) {
        Some(host) => {
            let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
            Some(host.ok_or(TargetError::BadHost)?)
        }
        None => None,
    };
    let authority = match (header, head.uri.authority().cloned()) {
        (Some(header), Some(target)) if header != target => return Err(TargetError::TwoHosts),
        (Some(host), _) | (None, Some(host)) => host,
        (None, None) if head.version < Version::HTTP_11 => Authority::from_static("localhost"),
        (None, None) => return Err(TargetError::NoHost),
    };
    let host = authority.host();
    let internal = host.eq_ignore_ascii_case("spin.internal") || host.to_ascii_lowercase().ends_with(".spin.internal");
    if internal { Err(TargetError::InternalHost) } else { Ok(authority) }
}
