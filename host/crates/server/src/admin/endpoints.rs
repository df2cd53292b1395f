//! The paths of the admin listener, and the methods of each.

use http::Method;
use percent_encoding::percent_decode_str;

const RELEASES: &str = "/admin/v1/releases/";
const KEYS: &str = "/admin/v1/keys/";

/// What the admin listener has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Index,
    Healthz,
    Readyz,
    Metrics,
    Bundles,
    Releases,
    Release,
    Promote,
    Rollback,
    Pending,
    History,
    Application,
    Workers,
    Series,
    Playground,
    Keys,
    Key,
    Events,
    OpenApi,
}

impl Endpoint {
    pub(crate) const ALL: [Self; 19] = [
        Self::Index,
        Self::Healthz,
        Self::Readyz,
        Self::Metrics,
        Self::Bundles,
        Self::Releases,
        Self::Release,
        Self::Promote,
        Self::Rollback,
        Self::Pending,
        Self::History,
        Self::Application,
        Self::Workers,
        Self::Series,
        Self::Playground,
        Self::Keys,
        Self::Key,
        Self::Events,
        Self::OpenApi,
    ];

    /// Its path, as the OpenAPI document writes it.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Index => "/",
            Self::Healthz => "/healthz",
            Self::Readyz => "/readyz",
            Self::Metrics => "/metrics",
            Self::Bundles => "/admin/v1/bundles",
            Self::Releases => "/admin/v1/releases",
            Self::Release => "/admin/v1/releases/{id}",
            Self::Promote => "/admin/v1/releases/{id}/promote",
            Self::Rollback => "/admin/v1/releases/{id}/rollback",
            Self::Pending => "/admin/v1/releases/{id}/pending",
            Self::History => "/admin/v1/releases/{id}/history",
            Self::Application => "/admin/v1/application",
            Self::Workers => "/admin/v1/workers",
            Self::Series => "/admin/v1/series",
            Self::Playground => "/admin/v1/playground",
            Self::Keys => "/admin/v1/keys",
            Self::Key => "/admin/v1/keys/{id}",
            Self::Events => "/admin/v1/events",
            Self::OpenApi => "/admin/v1/openapi.json",
        }
    }

    /// What it does, in a line.
    pub(crate) fn summary(self) -> &'static str {
        match self {
            Self::Index => "this list; the console for a browser",
            Self::Healthz => "200 while the process lives",
            Self::Readyz => "200 when every declared release answers; else 503, with each that does not and why",
            Self::Metrics => "metrics in the OpenMetrics text format",
            Self::Bundles => "the bundles of the repository",
            Self::Releases => "the releases",
            Self::Release => "a release; PUT changes it",
            Self::Promote => "the candidate becomes stable",
            Self::Rollback => "the previous stable version becomes stable again",
            Self::Pending => "gives up a change that is under way",
            Self::History => "the generations of a release, newest first",
            Self::Application => "the application and its routes",
            Self::Workers => "the worker processes, and what they are doing",
            Self::Series => "what each version did lately, step by step",
            Self::Playground => "POST runs a prompt on one version, and streams the answer as server-sent events",
            Self::Keys => "the API keys, without their secrets; POST makes one",
            Self::Key => "DELETE revokes a key",
            Self::Events => "everything that happens, as server-sent events",
            Self::OpenApi => "this API as an OpenAPI 3.1 document",
        }
    }

    /// The value of `Allow`.
    pub(crate) fn allowed(self) -> &'static str {
        match self {
            Self::Release => "GET, HEAD, PUT",
            Self::Promote | Self::Rollback | Self::Playground => "POST",
            Self::Pending | Self::Key => "DELETE",
            Self::Keys => "GET, HEAD, POST",
            Self::Index
            | Self::Healthz
            | Self::Readyz
            | Self::Metrics
            | Self::Bundles
            | Self::Releases
            | Self::History
            | Self::Application
            | Self::Workers
            | Self::Series
            | Self::Events
            | Self::OpenApi => "GET, HEAD",
        }
    }

    pub(crate) fn allows(self, method: &Method) -> bool {
        self.allowed().split(", ").any(|allowed| allowed == method.as_str())
    }

    /// The endpoint of a path, with the release or the key that it names. A release's id holds slashes and colons, which may
    /// be percent-encoded or not: only an id that itself ends like one of these paths has to be.
    pub(crate) fn find(path: &str) -> Option<(Self, String)> {
        if let Some(id) = path.strip_prefix(KEYS).filter(|id| !id.is_empty()) {
            return Some((Self::Key, percent_decode_str(id).decode_utf8_lossy().into_owned()));
        }
        let Some(rest) = path.strip_prefix(RELEASES).filter(|rest| !rest.is_empty()) else {
            return Self::ALL.into_iter().find(|endpoint| endpoint.path() == path).map(|found| (found, String::new()));
        };
        let below = [Self::Promote, Self::Rollback, Self::Pending, Self::History].into_iter().find_map(|endpoint| {
            let (_, name) = endpoint.path().rsplit_once('/')?;
            let id = rest.strip_suffix(name)?.strip_suffix('/').filter(|id| !id.is_empty())?;
            Some((endpoint, id))
        });
        let (endpoint, id) = below.unwrap_or((Self::Release, rest));
        // Bytes that are no text name no release, and replaced ones do not either.
        Some((endpoint, percent_decode_str(id).decode_utf8_lossy().into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_releases_id_may_be_encoded_or_not() {
        let id = "http:/story:storyteller:story";
        for written in [id, "http%3A%2Fstory%3Astoryteller%3Astory", "http:%2fstory:storyteller:story"] {
            for (below, endpoint) in [
                ("", Endpoint::Release),
                ("/promote", Endpoint::Promote),
                ("/rollback", Endpoint::Rollback),
                ("/pending", Endpoint::Pending),
                ("/history", Endpoint::History),
            ] {
                let path = format!("/admin/v1/releases/{written}{below}");
                assert_eq!(Endpoint::find(&path), Some((endpoint, id.to_owned())), "{path}");
            }
        }
    }

    #[test]
    fn ids_that_look_like_paths_of_the_api_are_still_ids() {
        for (path, id) in [
            ("/admin/v1/releases/promote", "promote"),
            ("/admin/v1/releases/http:/promote:c:g", "http:/promote:c:g"),
            ("/admin/v1/releases/http:/a:c:g%2Fhistory", "http:/a:c:g/history"),
            ("/admin/v1/releases//promote", "/promote"),
            ("/admin/v1/releases/http:/...:c:g", "http:/...:c:g"),
        ] {
            assert_eq!(Endpoint::find(path), Some((Endpoint::Release, id.to_owned())), "{path}");
        }
    }

    #[test]
    fn paths_that_there_are_not_are_not_found() {
        for path in [
            "/admin",
            "/admin/v1",
            "/admin/v1/releases/",
            "/admin/v1/keys/",
            "/admin/v1/bundles/",
            "/admin/v2/bundles",
            "//",
        ] {
            assert_eq!(Endpoint::find(path), None, "{path}");
        }
        assert_eq!(Endpoint::find("/admin/v1/keys/abcd2345"), Some((Endpoint::Key, "abcd2345".to_owned())));
        for endpoint in Endpoint::ALL {
            assert_eq!(Endpoint::find(endpoint.path()).map(|(found, _)| found), Some(endpoint));
        }
    }
}
