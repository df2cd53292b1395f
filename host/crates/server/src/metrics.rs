//! Metrics that are counted as things happen.
//!
//! Numbers about inference have one source, the [`InferenceRecord`]. Labels are bounded: a route is a declared
//! trigger's id or [`NO_ROUTE`]; a bundle is one that a release names; the bundle of a request is what its
//! answer's header lists (those that it used, in order), or [`NO_BUNDLE`].

use crate::series::Series;
use bobbin_inference::{InferenceRecord, Recorder};
use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The route label of requests that no declared route took.
pub(crate) const NO_ROUTE: &str = "none";

/// The bundle label of requests that used no model.
pub(crate) const NO_BUNDLE: &str = "none";

/// Upper bounds of the buckets of the time to first token, in seconds.
pub(crate) const FIRST_TOKEN_SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The host's metrics. Create it once, give it to the releases as their recorder and to the server.
pub struct Metrics {
    version: String,
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Histograms<RouteLabels>,
    refused_models: Family<TriggerLabels, Counter>,
    refused: Family<RefusedLabels, Counter>,
    broken: Family<BrokenLabels, Counter>,
    messages: Family<MessageLabels, Counter>,
    message_seconds: Histograms<RouteLabels>,
    refused_messages: Family<RefusedMessageLabels, Counter>,
    connected: Family<ServerLabels, Gauge>,
    inferences: Family<OutcomeLabels, Counter>,
    input_tokens: Family<GraphLabels, Counter>,
    output_tokens: Family<GraphLabels, Counter>,
    cached_tokens: Family<GraphLabels, Counter>,
    first_token: Histograms<GraphLabels>,
    inter_token: Histograms<GraphLabels>,
    series: Series,
    no_bundle: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TriggerLabels {
    route: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: Arc<str>,
    bundle: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: Arc<str>,
    bundle: Arc<str>,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BrokenLabels {
    route: Arc<str>,
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MessageLabels {
    route: Arc<str>,
    bundle: Arc<str>,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedMessageLabels {
    route: Arc<str>,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabels {
    server: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GraphLabels {
    route: Arc<str>,
    graph: Arc<str>,
    bundle: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    route: Arc<str>,
    graph: Arc<str>,
    bundle: Arc<str>,
    outcome: &'static str,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Metrics of a host of this version.
    #[must_use]
    pub fn new(version: &str) -> Self {
        let mut metrics = Self {
            version: version.to_owned(),
            registry: Registry::with_prefix("bobbin"),
            requests: Family::default(),
            seconds: Histograms::new_with_constructor(request_seconds),
            refused_models: Family::default(),
            refused: Family::default(),
            broken: Family::default(),
            messages: Family::default(),
            message_seconds: Histograms::new_with_constructor(request_seconds),
            refused_messages: Family::default(),
            connected: Family::default(),
            inferences: Family::default(),
            input_tokens: Family::default(),
            output_tokens: Family::default(),
            cached_tokens: Family::default(),
            first_token: Histograms::new_with_constructor(first_token_seconds),
            inter_token: Histograms::new_with_constructor(inter_token_seconds),
            series: Series::default(),
            no_bundle: NO_BUNDLE.into(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let build = Info::new([("version".to_owned(), self.version.clone())]);
        registry.register("build", "The host's version", build);
        registry.register("http_requests", "Requests, by the status of their head", self.requests.clone());
        let help = "From the head of a request to the last byte of its answer";
        registry.register_with_unit("http_request", help, Unit::Seconds, self.seconds.clone());
        registry.register("http_refused", "Requests that no component saw, by reason", self.refused.clone());
        let help = "Graphs that components asked for without a grant";
        registry.register("refused_models", help, self.refused_models.clone());
        let help = "Answers that broke off after their head, by cause";
        registry.register("http_broken_answers", help, self.broken.clone());
        self.register_messages();
        let registry = &mut self.registry;
        registry.register("inferences", "Sessions that computed, by how they ended", self.inferences.clone());
        registry.register("input_tokens", "Tokens of prompts, cached ones included", self.input_tokens.clone());
        registry.register("output_tokens", "Tokens sampled", self.output_tokens.clone());
        registry.register(
            "cached_tokens",
            "Tokens of prompts that were not computed again",
            self.cached_tokens.clone(),
        );
        let help = "From a session's first compute to its first text";
        registry.register_with_unit("time_to_first_token", help, Unit::Seconds, self.first_token.clone());
        let help = "Seconds per token, between two parts of a streamed answer";
        registry.register_with_unit("inter_token", help, Unit::Seconds, self.inter_token.clone());
    }

    fn register_messages(&mut self) {
        let registry = &mut self.registry;
        registry.register("messages", "Messages that components took, by how that ended", self.messages.clone());
        let help = "From a message's place among the requests in flight to the end of its handler";
        registry.register_with_unit("message", help, Unit::Seconds, self.message_seconds.clone());
        let help = "Messages that no component saw, by reason";
        registry.register("messages_refused", help, self.refused_messages.clone());
        let help = "Whether the Redis server of a trigger sends what is published to its channels";
        registry.register("redis_subscribed", help, self.connected.clone());
    }

    /// The host's version.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// The same numbers, cut into steps of time.
    pub(crate) fn series(&self) -> &Series {
        &self.series
    }

    /// A request is over. `bundles` are those that it used.
    pub(crate) fn request(&self, route: &Arc<str>, bundles: Option<&str>, status: StatusCode, took: Duration) {
        self.answered(route, bundles, status, status.is_server_error(), took);
    }

    /// The same, of an answer that broke off, or did not.
    pub(crate) fn answered(
        &self,
        route: &Arc<str>,
        bundles: Option<&str>,
        status: StatusCode,
        failed: bool,
        took: Duration,
    ) {
        self.series.answered(bundles, failed);
        let labels = RouteLabels { route: Arc::clone(route), bundle: self.bundle(bundles) };
        self.seconds.get_or_create(&labels).observe(took.as_secs_f64());
        let RouteLabels { route, bundle } = labels;
        self.requests.get_or_create(&RequestLabels { route, bundle, status: status.as_u16() }).inc();
    }

    /// The label of these bundles.
    fn bundle(&self, bundles: Option<&str>) -> Arc<str> {
        bundles.map_or_else(|| Arc::clone(&self.no_bundle), Arc::from)
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&RefusedLabels { reason }).inc();
    }

    pub(crate) fn broken(&self, route: &Arc<str>, cause: &'static str) {
        self.broken.get_or_create(&BrokenLabels { route: Arc::clone(route), cause }).inc();
    }

    /// A message is over. `bundles` are those that it used.
    pub(crate) fn message(&self, route: &Arc<str>, bundles: Option<&str>, outcome: &'static str, took: Duration) {
        let labels = RouteLabels { route: Arc::clone(route), bundle: self.bundle(bundles) };
        self.message_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        let RouteLabels { route, bundle } = labels;
        self.messages.get_or_create(&MessageLabels { route, bundle, outcome }).inc();
    }

    pub(crate) fn message_refused(&self, route: &Arc<str>, reason: &'static str) {
        self.refused_messages.get_or_create(&RefusedMessageLabels { route: Arc::clone(route), reason }).inc();
    }

    /// Whether a server, of a triggers' address, is subscribed to.
    pub(crate) fn connected(&self, server: &str, is: bool) {
        self.connected.get_or_create(&ServerLabels { server: server.to_owned() }).set(is.into());
    }

    /// Writes everything counted so far, in the OpenMetrics text format, without its end mark.
    pub(crate) fn encode(&self, text: &mut String) -> fmt::Result {
        encode_registry(text, &self.registry)
    }
}

impl Recorder for Metrics {
    fn record(&self, record: InferenceRecord) {
        self.series.record(&record);
        let InferenceRecord { trigger: route, graph, bundle, usage, timings, finish, error, .. } = record;
        let outcome = match (error, finish) {
            (Some(reason), _) => reason.as_str(),
            (None, Some(finish)) => finish.as_str(),
            (None, None) => "unfinished",
        };
        let labels = GraphLabels { route, graph, bundle };
        self.input_tokens.get_or_create(&labels).inc_by(usage.input_tokens.into());
        self.output_tokens.get_or_create(&labels).inc_by(usage.output_tokens.into());
        self.cached_tokens.get_or_create(&labels).inc_by(usage.cached_tokens.into());
        if let Some(first) = timings.first_token {
            self.first_token.get_or_create(&labels).observe(first.as_secs_f64());
        }
        if !timings.inter_token.is_empty() {
            let histogram = self.inter_token.get_or_create(&labels);
            timings.inter_token.iter().for_each(|seconds| histogram.observe(f64::from(*seconds)));
        }
        let GraphLabels { route, graph, bundle } = labels;
        self.inferences.get_or_create(&OutcomeLabels { route, graph, bundle, outcome }).inc();
    }

    fn refused(&self, trigger: &Arc<str>, _graph: &str) {
        self.refused_models.get_or_create(&TriggerLabels { route: Arc::clone(trigger) }).inc();
    }
}

fn request_seconds() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0])
}

fn first_token_seconds() -> Histogram {
    Histogram::new(FIRST_TOKEN_SECONDS)
}

fn inter_token_seconds() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5])
}
