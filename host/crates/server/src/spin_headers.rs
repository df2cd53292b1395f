//! What Spin tells a component about its request, in headers that only the host may set.

use crate::routes::RouteMatch;
use http::header::{CONNECTION, HOST, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Uri, Version, request};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

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
const NO_CLIENT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

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

/// Makes the target absolute, drops what a client may not say, and adds Spin's headers.
pub(crate) fn prepare<H>(
    head: &mut request::Parts,
    route: &RouteMatch<'_, '_, H>,
    client: SocketAddr,
    scheme: Scheme,
) -> Result<(), TargetError> {
    let authority = authority(head)?;
    if head.uri.path_and_query().is_none() {
        return Err(TargetError::NoPath);
    }
    let host = authority.to_string();
    describe(head, scheme, (authority, &host), &Seen::of(route), client);
    Ok(())
}

/// The same for a request of a component to its application's own routes.
pub(crate) fn prepare_own<H>(head: &mut request::Parts, route: &RouteMatch<'_, '_, H>) {
    head.headers.remove(HOST);
    describe(head, Scheme::HTTP, (Authority::from_static(NO_HOST), NO_HOST), &Seen::of(route), NO_CLIENT);
}

/// The same for a request to a component by its name, which has no route: as if one matched every path, as in Spin.
pub(crate) fn prepare_chained(head: &mut request::Parts) {
    head.headers.remove(HOST);
    let authority = head.uri.authority().cloned().unwrap_or_else(|| Authority::from_static(NO_HOST));
    let path = head.uri.path().to_owned();
    let seen = Seen { path_info: &path, based: "/...", raw: "/...", prefix: "", params: &[] };
    describe(head, Scheme::HTTP, (authority, NO_HOST), &seen, NO_CLIENT);
}

/// What a component sees of its route.
struct Seen<'a> {
    path_info: &'a str,
    based: &'a str,
    raw: &'a str,
    prefix: &'a str,
    params: &'a [(&'a str, &'a str)],
}

impl<'a> Seen<'a> {
    fn of<H>(route: &'a RouteMatch<'_, '_, H>) -> Self {
        let target = route.target;
        let (based, raw, prefix) = (&target.based, &target.raw, &target.prefix);
        Self { path_info: &route.path_info, based, raw, prefix, params: &route.params }
    }
}

fn describe(
    head: &mut request::Parts,
    scheme: Scheme,
    (authority, host): (Authority, &str),
    seen: &Seen<'_>,
    client: SocketAddr,
) {
    let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let full_url = format!("{scheme}://{host}{path}");
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build();
    // Built of parts that were parsed before; it stays relative if they still do not fit.
    if let Ok(uri) = uri {
        head.uri = uri;
    }
    let headers = &mut head.headers;
    strip(headers);
    set(headers, PATH_INFO, seen.path_info);
    set(headers, FULL_URL, &full_url);
    set(headers, MATCHED_ROUTE, seen.based);
    set(headers, BASE_PATH, "/");
    set(headers, RAW_COMPONENT_ROUTE, seen.raw);
    set(headers, COMPONENT_ROUTE, seen.prefix);
    set(headers, CLIENT_ADDR, &client.to_string());
    for (name, value) in seen.params {
        let name = format!("{PATH_MATCH}{}", name.replace('_', "-").to_ascii_lowercase());
        // A parameter whose name fits no header has none, as in Spin.
        if let Ok(name) = HeaderName::try_from(name) {
            set(headers, name, value);
        }
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Routes are ASCII and paths went through the parser, so a value always fits.
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.insert(name, value);
    }
}

/// Removes what only the host may say, and what belongs to this connection alone.
fn strip(headers: &mut HeaderMap) {
    for name in OURS {
        headers.remove(name);
    }
    let smuggled: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(PATH_MATCH)).cloned().collect();
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
