//! What `bobbin up` says when it is up: routes, channels, GPUs, models with their versions, the admin address, and a line to paste.

use bobbin_manifest::{App, Example, KeyPolicy, Route};
use bobbin_release::{ReleaseView, Releases, State};
use bobbin_server::Subscriber;
use bobbin_worker::supervisor::Search;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What the banner says of channels: the server, the channel, and the component that takes its messages.
pub(crate) fn channels(subscribers: &[Subscriber]) -> Vec<(String, String)> {
    let shown = |one: &Subscriber| (format!("{} {}", one.server.server(), one.channel), one.component.to_string());
    subscribers.iter().map(shown).collect()
}

/// The banner, ending in a newline. `paste` is shown once every model answers.
pub(crate) fn render(
    app: &App,
    releases: &Releases,
    search: &Search,
    listen: &str,
    channels: &[(String, String)],
    admin: SocketAddr,
    paste: Option<&str>,
) -> String {
    let mut text = format!("\n{} {}\n\n", app.name, app.version);
    let routes: Vec<(String, &str)> = app
        .triggers
        .iter()
        .filter_map(|trigger| match trigger.route()? {
            Route::Path(path) => {
                let component = trigger.component().map_or("a fixed answer", |component| component.as_str());
                Some((format!("{listen}{path}"), component))
            }
            Route::Private => None,
        })
        .collect();
    let width = routes.iter().map(|(url, _)| url.len()).max().unwrap_or(0);
    for (url, component) in &routes {
        line(&mut text, "route", &format!("{url:width$}  {component}"));
    }
    let width = channels.iter().map(|(channel, _)| channel.len()).max().unwrap_or(0);
    for (channel, component) in channels {
        line(&mut text, "channel", &format!("{channel:width$}  {component}"));
    }
    search.gpu.iter().for_each(|gpu| line(&mut text, "gpu", &gpu.shown()));
    search.unusable.iter().for_each(|unusable| line(&mut text, "gpu", unusable));
    let named = releases.views();
    for version in releases.versions() {
        let graphs = graphs(&named, version.bundle());
        let status = version.status();
        let reason = status.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let state = if status.state == State::Failed { "FAILED" } else { status.state.as_str() };
        let gpu = match version.live().and_then(|live| live.vitals().gpu) {
            Some(Ok(layers)) => format!(", {layers}"),
            Some(Err(reason)) => format!(", without the GPU: {reason}"),
            None => String::new(),
        };
        line(&mut text, "model", &format!("{}  {state}{reason}{gpu}{graphs}", version.bundle()));
    }
    line(&mut text, "admin", &format!("http://{admin}  (in a browser: the console)"));
    if let Some(paste) = paste.filter(|_| releases.readiness().is_ready()) {
        let _ = write!(text, "\n  {paste}\n");
    }
    text
}

/// By which names components, and clients of OpenAI's API, load a version.
fn graphs(releases: &[ReleaseView], bundle: &str) -> String {
    let mut names: Vec<&str> =
        releases.iter().filter(|release| *release.stable.bundle == *bundle).map(|release| &*release.graph).collect();
    names.sort_unstable();
    names.dedup();
    match names.as_slice() {
        [] => String::new(),
        names => format!("  (as {})", names.join(", ")),
    }
}

/// A line for a shell that shows what the application does: the manifest's own example, or a fixed answer. What else a
/// component wants to be sent, nobody knows.
///
/// `keyed`: there are API keys.
pub(crate) fn paste(app: &App, listen: SocketAddr, keyed: bool) -> Option<String> {
    let url = |path: &str| format!("http://{}{path}", reached(listen));
    if let Some(Example { path, body }) = &app.bobbin.example {
        let key = if needs_key(app, path, keyed) { " -H \"authorization: Bearer $KEY\"" } else { "" };
        return Some(match body {
            Some(body) => format!("curl -N '{}'{key} -d '{}'", url(path), body.replace('\'', r"'\''")),
            None => format!("curl -i '{}'{key}", url(path)),
        });
    }
    let fixed = app.triggers.iter().filter(|trigger| trigger.component().is_none());
    let path = fixed.filter_map(|trigger| path(trigger.route()?)).find(|path| !path.contains([':', '.']))?;
    (!needs_key(app, path, keyed)).then(|| format!("curl -i {}", url(path)))
}

/// An address by which a listener is reached from this machine: one on all addresses is at none of its own.
fn reached(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listen.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), listen.port()),
        IpAddr::V4(_) | IpAddr::V6(_) => listen,
    }
}

fn path(route: &Route) -> Option<&str> {
    match route {
        Route::Path(path) => Some(path),
        Route::Private => None,
    }
}

/// Whether the route that a path belongs to asks for an API key; of several, the one with the longest prefix.
fn needs_key(app: &App, path: &str, keyed: bool) -> bool {
    let path = path.split('?').next().unwrap_or(path);
    let matching = app.triggers.iter().filter_map(|trigger| {
        let route = self::path(trigger.route()?)?;
        let prefix = route.strip_suffix("/...").unwrap_or(route);
        let rest = path.strip_prefix(prefix)?;
        let matches = rest.is_empty() || (prefix.len() < route.len() && rest.starts_with('/'));
        matches.then_some((prefix.len(), trigger))
    });
    let access = matching.max_by_key(|(length, _)| *length).map(|(_, trigger)| app.access_of(trigger));
    match access.map(|access| access.keys) {
        Some(KeyPolicy::Required) => true,
        Some(KeyPolicy::LoopbackOpen) => keyed,
        Some(KeyPolicy::None) | None => false,
    }
}

fn line(text: &mut String, label: &str, rest: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  {label:<7} {rest}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line for an application with these lines in its manifest, besides a component that answers `/story`.
    fn line_of(listen: &str, keyed: bool, more: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.wasm"), b"").unwrap();
        let manifest = format!(
            "spin_manifest_version = 2\n[application]\nname = \"a\"\n{more}\n[[trigger.http]]\nroute = \"/story/...\"\n\
             component = \"a\"\n[component.a]\nsource = \"a.wasm\"\n"
        );
        std::fs::write(folder.path().join("spin.toml"), manifest).unwrap();
        paste(&bobbin_manifest::load(folder.path()).unwrap(), listen.parse().unwrap(), keyed)
    }

    #[test]
    fn the_line_is_the_manifests_own_or_asks_for_what_is_known() {
        let example = "[application.trigger.bobbin.example]\npath = \"/story/a\"\nbody = \"it's\"\n";
        let asked = "[application.trigger.bobbin.example]\npath = \"/story?a=b&c\"\n";
        let fixed = "[[trigger.http]]\nroute = \"/about\"\nstatic_response = { body = \"x\" }\n";
        let rule = |keys: &str| format!("[application.trigger.bobbin]\nkeys = \"{keys}\"\n{example}");
        let told = r"curl -N 'http://127.0.0.1:3000/story/a' -d 'it'\''s'";
        let with_key = told.replace(" -d", " -H \"authorization: Bearer $KEY\" -d");
        for (listen, keyed, more, line) in [
            ("127.0.0.1:3000", false, "", None),
            ("127.0.0.1:3000", false, example, Some(told)),
            ("0.0.0.0:3000", false, example, Some(told)),
            ("127.0.0.1:3000", false, asked, Some("curl -i 'http://127.0.0.1:3000/story?a=b&c'")),
            ("[::]:80", false, fixed, Some("curl -i http://[::1]:80/about")),
            ("10.0.0.1:80", false, fixed, Some("curl -i http://10.0.0.1:80/about")),
            ("127.0.0.1:3000", false, &rule("required"), Some(&with_key)),
            ("127.0.0.1:3000", false, &rule("loopback-open"), Some(told)),
            ("127.0.0.1:3000", true, &rule("loopback-open"), Some(&with_key)),
            ("127.0.0.1:3000", true, &rule("none"), Some(told)),
        ] {
            assert_eq!(line_of(listen, keyed, more).as_deref(), line, "{more}");
        }
    }
}
