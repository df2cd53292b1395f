//! The route table: Spin's rules, built once, read by every request.
//!
//! Exact segments go before parameters, parameters before wildcards, longer prefixes before shorter ones; slashes
//! at either end do not count; the path is matched as it came, percent-encoding included.

use crate::access::{Access, Door};
use crate::admin::application::{self, RouteView};
use crate::fixed::FixedAnswer;
use crate::reach::{Node, reach};
use crate::spin_headers::OfRoute;
use bobbin_runtime::Calls;
use routefinder::{RouteSpec, Segment};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Paths below this belong to the host.
pub(crate) const WELL_KNOWN: &str = "/.well-known/spin/";

/// Where a trigger listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoutePath {
    /// A pattern in Spin's syntax: `/exact`, `/:parameter`, `/prefix/...`.
    Public(String),
    /// Not reachable from outside.
    Private,
}

/// One trigger, and what answers it.
#[derive(Debug, Clone)]
pub struct RouteEntry<H> {
    /// Id of the trigger: the name of the route in metrics, and the one its releases go by.
    pub trigger_id: Arc<str>,
    /// Where it listens.
    pub route: RoutePath,
    /// Who may ask from outside, and how they are refused. Other components are asked for nothing.
    pub access: Access,
    /// Who answers.
    pub answerer: Answerer<H>,
}

/// Who answers a trigger.
#[derive(Debug, Clone)]
pub enum Answerer<H> {
    /// A component.
    Component {
        /// Its id.
        id: Arc<str>,
        /// The component, ready to answer.
        handler: H,
        /// Which parts of the application the component may ask.
        calls: Calls,
        /// It is told of a request what the client sent, without Spin's headers.
        plain: bool,
    },
    /// The host itself. It takes no permit: there is nothing to wait for.
    Fixed(FixedAnswer),
}

/// A route that cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The pattern is no route.
    #[error("route \"{route}\" of trigger \"{trigger}\" is not a route: {reason}")]
    Pattern {
        /// The pattern.
        route: String,
        /// Id of the trigger.
        trigger: Arc<str>,
        /// What is wrong, and the next step.
        reason: String,
    },
    /// Two triggers listen in the same place.
    #[error("triggers \"{first}\" and \"{second}\" both listen on \"{route}\"; give one of them another route")]
    Duplicate {
        /// The pattern.
        route: String,
        /// Id of the one trigger.
        first: Arc<str>,
        /// Id of the other.
        second: Arc<str>,
    },
}

/// A trigger's component, as requests find it, and other components.
#[derive(Debug)]
pub(crate) struct Component<H> {
    pub(crate) trigger_id: Arc<str>,
    pub(crate) id: Arc<str>,
    pub(crate) handler: H,
    /// The triggers whose components may be asked on behalf of a request to this one.
    pub(crate) reaches: Vec<Arc<str>>,
    /// It does without Spin's headers.
    pub(crate) plain: bool,
}

/// Who answers a public route.
#[derive(Debug)]
pub(crate) enum Answers<H> {
    Component(Arc<Component<H>>),
    Fixed(FixedAnswer),
}

/// A public route.
#[derive(Debug)]
pub(crate) struct Target<H> {
    pub(crate) trigger_id: Arc<str>,
    pub(crate) access: Access,
    pub(crate) answers: Answers<H>,
    /// As the manifest writes it.
    pub(crate) raw: String,
    /// What its requests are told of it.
    pub(crate) told: OfRoute,
}

/// Every public route, and every component that a trigger runs.
#[derive(Debug)]
pub(crate) struct RouteTable<H> {
    router: routefinder::Router<Target<H>>,
    components: BTreeMap<Arc<str>, Arc<Component<H>>>,
    /// Every name by which a key's scope can mean a public route: paths, and ids of triggers.
    names: Vec<String>,
    /// As the admin API shows them, in the manifest's order.
    views: Vec<RouteView>,
}

/// A path that a route matched.
#[derive(Debug)]
pub(crate) struct RouteMatch<'table, 'path, H> {
    pub(crate) target: &'table Target<H>,
    /// What the trailing wildcard matched, its first slash included.
    pub(crate) path_info: String,
    pub(crate) params: Vec<(&'table str, &'path str)>,
}

impl<H> RouteEntry<H> {
    fn view(&self) -> RouteView {
        RouteView {
            trigger: Arc::clone(&self.trigger_id),
            kind: "http",
            path: match &self.route {
                RoutePath::Public(path) => Some(path.clone()),
                RoutePath::Private => None,
            },
            component: match &self.answerer {
                Answerer::Component { id, .. } => Some(Arc::clone(id)),
                Answerer::Fixed(_) => None,
            },
            keys: application::keys(self.access.keys),
        }
    }

    /// The component, as whoever may ask it finds it.
    pub(crate) fn node(&self) -> Option<Node<'_>> {
        match &self.answerer {
            Answerer::Component { id, calls, .. } => Some(Node { trigger: &self.trigger_id, component: id, calls }),
            Answerer::Fixed(_) => None,
        }
    }
}

impl<H> Target<H> {
    /// As the scope of a key names it.
    pub(crate) fn door(&self) -> Door<'_> {
        Door { access: self.access, trigger: &self.trigger_id, path: &self.raw }
    }
}

impl<H> RouteTable<H> {
    /// Checks every route and builds the table.
    pub(crate) fn build(entries: Vec<RouteEntry<H>>) -> Result<Self, RouteError> {
        let mut router = routefinder::Router::new();
        let mut components = BTreeMap::new();
        let mut seen: BTreeMap<String, Arc<str>> = BTreeMap::new();
        let mut names = Vec::new();
        let views = entries.iter().map(RouteEntry::view).collect();
        let nodes: Vec<_> = entries.iter().filter_map(RouteEntry::node).collect();
        let reaches = |entry: &RouteEntry<H>| entry.node().map(|node| reach(&nodes, node.calls)).unwrap_or_default();
        let reaches: Vec<_> = entries.iter().map(reaches).collect();
        for (entry, reaches) in entries.into_iter().zip(reaches) {
            let RouteEntry { trigger_id, answerer, route, access } = entry;
            let answers = match answerer {
                Answerer::Component { id, handler, plain, .. } => {
                    let component = Component { trigger_id: Arc::clone(&trigger_id), id, handler, reaches, plain };
                    let component = Arc::new(component);
                    components.entry(Arc::clone(&component.id)).or_insert_with(|| Arc::clone(&component));
                    Answers::Component(component)
                }
                Answerer::Fixed(answer) => Answers::Fixed(answer),
            };
            let RoutePath::Public(raw) = route else { continue };
            let based = based(&raw);
            let spec = parse(&based).map_err(|reason| RouteError::Pattern {
                route: raw.clone(),
                trigger: Arc::clone(&trigger_id),
                reason,
            })?;
            if let Some(first) = seen.insert(based.clone(), Arc::clone(&trigger_id)) {
                return Err(RouteError::Duplicate { route: raw, first, second: trigger_id });
            }
            if based.starts_with(WELL_KNOWN) {
                tracing::warn!(trigger = %trigger_id, route = %raw, "the host answers below {WELL_KNOWN} itself; this route is never reached");
            }
            let told = OfRoute::new(&based, &raw).ok_or_else(|| RouteError::Pattern {
                route: raw.clone(),
                trigger: Arc::clone(&trigger_id),
                reason: "a route has no control characters".to_owned(),
            })?;
            names.extend([raw.clone(), trigger_id.to_string()]);
            // A parsed spec converts into itself.
            let Ok(()) = router.add(spec, Target { trigger_id, access, answers, raw, told });
        }
        Ok(Self { router, components, names, views })
    }

    /// The names of the public routes.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Every trigger, as the admin API shows it.
    pub(crate) fn views(&self) -> &[RouteView] {
        &self.views
    }

    /// Whether there is nobody who could be asked.
    pub(crate) fn is_empty(&self) -> bool {
        self.components.is_empty()
    }

    /// The first trigger that runs this component, whether its route is public or not.
    pub(crate) fn component(&self, id: &str) -> Option<&Arc<Component<H>>> {
        self.components.get(id)
    }

    /// The route of a path.
    pub(crate) fn find<'table, 'path>(&'table self, path: &'path str) -> Option<RouteMatch<'table, 'path, H>> {
        let found = self.router.best_match(path)?;
        let (mut params, mut path_info) = (Vec::new(), String::new());
        let captured = found.route().segments().iter().filter(|s| matches!(s, Segment::Param(_) | Segment::Wildcard));
        for (segment, value) in captured.zip(found.route().matches(path)?) {
            match segment {
                Segment::Param(name) => params.push((name.as_str(), value)),
                Segment::Wildcard => path_info = trailing(value, path),
                Segment::Slash | Segment::Dot | Segment::Exact(_) => {}
            }
        }
        Some(RouteMatch { target: found.handler(), path_info, params })
    }
}

/// Spin hands slashes at the end to the component; the router leaves them out.
fn trailing(captured: &str, path: &str) -> String {
    let start = if captured.is_empty() { "" } else { "/" };
    let end = if path.ends_with('/') { "/" } else { "" };
    format!("{start}{captured}{end}")
}

fn based(raw: &str) -> String {
    let absolute = if raw.starts_with('/') { raw.to_owned() } else { format!("/{raw}") };
    absolute.strip_suffix('/').map(str::to_owned).unwrap_or(absolute)
}

/// Parses a pattern, and refuses what would make the router panic when it matches.
fn parse(based: &str) -> Result<RouteSpec, String> {
    if !based.is_ascii() {
        return Err("a route is ASCII; percent-encode other characters".to_owned());
    }
    let pattern = match based.strip_suffix("/...") {
        Some(prefix) => format!("{prefix}/*"),
        None => based.to_owned(),
    };
    if pattern.split('/').any(|segment| segment == "...") {
        return Err("a wildcard must be its last segment".to_owned());
    }
    let spec: RouteSpec = pattern.parse()?;
    for pair in spec.segments().windows(2) {
        match pair {
            [Segment::Wildcard, _] => return Err("a wildcard must be its last segment".to_owned()),
            [Segment::Param(_), Segment::Slash | Segment::Dot] => {}
            [Segment::Param(name), _] => return Err(format!("a slash or dot must follow \":{name}\"")),
            _ => {}
        }
    }
    Ok(spec)
}
