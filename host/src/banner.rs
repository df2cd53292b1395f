//! What `bobbin up` says when it is up: routes, channels, GPUs, models with their versions, the admin address, and a line to paste.

use bobbin_manifest::{App, KeyPolicy, Route, Trigger};
use bobbin_release::{Releases, State};
use bobbin_server::Subscriber;
use bobbin_worker::supervisor::Search;
use std::fmt::Write as _;
use std::net::SocketAddr;

/// What the banner says of channels: the server, the channel, and the component that takes its messages.
pub(crate) fn channels(subscribers: &[Subscriber]) -> Vec<(String, String)> {
    let shown = |one: &Subscriber| (format!("{} {}", one.server.server(), one.channel), one.component.to_string());
    subscribers.iter().map(shown).collect()
}

/// The banner, ending in a newline.
///
/// `keyed`: there are API keys.
pub(crate) fn render(
    app: &App,
    releases: &Releases,
    search: &Search,
    listen: &str,
    channels: &[(String, String)],
    admin: SocketAddr,
    keyed: bool,
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
    for version in releases.versions() {
        let status = version.status();
        let reason = status.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let state = if status.state == State::Failed { "FAILED" } else { status.state.as_str() };
        let gpu = match version.live().and_then(|live| live.vitals().gpu) {
            Some(Ok(layers)) => format!(", {layers}"),
            Some(Err(reason)) => format!(", without the GPU: {reason}"),
            None => String::new(),
        };
        line(&mut text, "model", &format!("{}  {state}{reason}{gpu}", version.bundle()));
    }
    line(&mut text, "admin", &format!("http://{admin}"));
    if let Some((path, trigger)) = model_route(app).filter(|_| releases.readiness().is_ready()) {
        let body = r#"{"prompt":"Once upon a time","max_tokens":80,"stream":true}"#;
        let key = match app.access_of(trigger).keys {
            KeyPolicy::Required => " -H \"authorization: Bearer $KEY\"",
            KeyPolicy::LoopbackOpen if keyed => " -H \"authorization: Bearer $KEY\"",
            KeyPolicy::LoopbackOpen | KeyPolicy::None => "",
        };
        let _ = write!(text, "\n  curl -N {listen}{path}{key} -d '{body}'\n");
    }
    text
}

/// A route whose component may use a model, written so that it can be called as it stands.
fn model_route(app: &App) -> Option<(&str, &Trigger)> {
    app.triggers.iter().find_map(|trigger| {
        let component = app.component_of(trigger)?;
        let path = match trigger.route()? {
            Route::Path(path) => path.trim_end_matches("/..."),
            Route::Private => return None,
        };
        (!component.ai_models.is_empty() && !path.contains(':')).then_some((path, trigger))
    })
}

fn line(text: &mut String, label: &str, rest: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  {label:<7} {rest}");
}
