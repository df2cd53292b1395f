//! HTTP routes, as Spin's router reads them.
//!
//! A route is an exact path, with `:name` in place of a segment, or with `/...` at its end for everything
//! below. The router (routefinder 0.5.4) accepts more than it can serve: it panics on a request when a
//! wildcard stands before the end, mixes byte and character offsets in non-ASCII routes, and keeps the first
//! of two equal routes without a word. Such routes are refused here, before anything listens.

use routefinder::{RouteSpec, Segment};

/// The paths that Spin keeps for itself.
const RESERVED: &str = "/.well-known/spin/";

/// Where a trigger listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// A path with Spin's placeholders, as written; it starts with `/`.
    Path(String),
    /// Reached by other components only.
    Private,
}

impl Route {
    /// The route in routefinder's syntax, such as `/story/*` for `/story/...`; none for a private one.
    pub fn pattern(&self) -> Option<String> {
        match self {
            Self::Path(path) => Some(pattern(path)),
            Self::Private => None,
        }
    }

    /// The route as it enters a derived trigger id: two spellings of one path give one id.
    pub(crate) fn identity(&self) -> &str {
        match self {
            Self::Path(path) => match path.trim_end_matches('/') {
                "" => "/",
                path => path,
            },
            Self::Private => "private",
        }
    }
}

/// Why a text is no route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RouteError {
    #[error("the character {0:?} never appears in a request's path; write it percent-encoded")]
    Character(char),
    #[error("a wildcard stands for the rest of the path, so nothing can follow it")]
    WildcardInside,
    #[error("a parameter has a name: `/:id`, not `/:`")]
    NamelessParameter,
    #[error("paths below {RESERVED} belong to the host, which answers its health check there")]
    Reserved,
    #[error("the router does not read it: {0}")]
    Router(String),
}

fn pattern(path: &str) -> String {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.strip_suffix("/...").map_or_else(|| path.to_owned(), |prefix| format!("{prefix}/*"))
}

/// Checks a route and gives it a leading slash, as Spin does.
pub(crate) fn check(text: &str) -> Result<Route, RouteError> {
    let path = if text.starts_with('/') { text.to_owned() } else { format!("/{text}") };
    let unusual = |c: &char| !c.is_ascii_graphic() || matches!(c, '?' | '#');
    if let Some(bad) = path.chars().find(unusual) {
        return Err(RouteError::Character(bad));
    }
    if path.starts_with(RESERVED) {
        return Err(RouteError::Reserved);
    }
    if path.split('/').any(|segment| segment == ":") {
        return Err(RouteError::NamelessParameter);
    }
    let route = Route::Path(path);
    key(&route)?;
    Ok(route)
}

/// A text that is equal for two routes exactly when the router cannot tell them apart. None for private ones.
pub(crate) fn key(route: &Route) -> Result<Option<String>, RouteError> {
    let Some(pattern) = route.pattern() else { return Ok(None) };
    if pattern.split('/').any(|segment| segment == "...") {
        return Err(RouteError::WildcardInside);
    }
    let spec: RouteSpec = pattern.parse().map_err(RouteError::Router)?;
    let wildcard = spec.segments().iter().position(|segment| *segment == Segment::Wildcard);
    if wildcard.is_some_and(|at| at + 1 < spec.segments().len()) {
        return Err(RouteError::WildcardInside);
    }
    let mut key = String::from("/");
    for segment in spec.segments() {
        match segment {
            Segment::Slash => key.push('/'),
            Segment::Dot => key.push('.'),
            Segment::Exact(text) => key.push_str(text),
            // A colon starts a parameter, so no exact segment is spelled like this.
            Segment::Param(_) => key.push(':'),
            Segment::Wildcard => key.push('*'),
        }
    }
    Ok(Some(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(text: &str) -> String {
        key(&check(text).unwrap()).unwrap().unwrap()
    }

    #[test]
    fn routes_that_the_router_cannot_tell_apart_have_one_key() {
        for (one, other) in
            [("/a", "/a/"), ("/:x", "/:y"), ("/a/...", "/a/*"), ("a", "/a"), ("/a//b", "/a/b"), ("", "/")]
        {
            assert_eq!(key_of(one), key_of(other), "{one} and {other}");
        }
    }

    #[test]
    fn routes_that_the_router_tells_apart_have_two_keys() {
        for (one, other) in [("/a", "/b"), ("/a", "/:a"), ("/a/...", "/a"), ("/...", "/:x"), ("/a/:x", "/:x/a")] {
            assert_ne!(key_of(one), key_of(other), "{one} and {other}");
        }
    }

    #[test]
    fn the_key_agrees_with_the_router_about_which_paths_match() {
        let routes = ["/", "/a", "/a/:x", "/a/...", "/:x/b", "/a.json", "/:file.json"];
        let paths = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/z/b", "/a.json", "/b.json", "/zzz"];
        let matched = |text: &str| {
            let spec: RouteSpec = check(text).unwrap().pattern().unwrap().parse().unwrap();
            paths.iter().map(|path| spec.matches(path).is_some()).collect::<Vec<_>>()
        };
        for one in routes {
            for other in routes.iter().filter(|other| key_of(other) == key_of(one)) {
                assert_eq!(matched(one), matched(other), "{one} and {other}");
            }
        }
    }

    #[test]
    fn routes_that_would_break_the_router_are_refused() {
        assert_eq!(check("/a/*/b"), Err(RouteError::WildcardInside));
        assert_eq!(check("/a/.../b"), Err(RouteError::WildcardInside));
        assert_eq!(check("/caf\u{e9}"), Err(RouteError::Character('\u{e9}')));
        assert_eq!(check("/a b"), Err(RouteError::Character(' ')));
        assert_eq!(check("/a?b"), Err(RouteError::Character('?')));
        assert_eq!(check("/:/a"), Err(RouteError::NamelessParameter));
        assert_eq!(check("/.well-known/spin/health"), Err(RouteError::Reserved));
        assert!(matches!(check("/*rest"), Err(RouteError::Router(_))));
    }

    #[test]
    fn identities_ignore_a_trailing_slash() {
        assert_eq!(check("/a/").unwrap().identity(), "/a");
        assert_eq!(check("/").unwrap().identity(), "/");
        assert_eq!(Route::Private.identity(), "private");
    }
}
