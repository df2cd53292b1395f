//! Reads `spin.toml` into a checked application.
//!
//! The format is Spin's manifest version 2, complete, with Bobbin's own table `[application.trigger.bobbin]`.
//! A manifest goes through four rooms: `reader` walks the TOML and reports keys and types that do not fit,
//! `document` and its parts say which keys there are, `checks` and `grants` hold one part against
//! another, `files` looks up what the manifest names. All of them go on after a problem, so that one run
//! shows everything; an [`App`] exists only when nothing was found.
//!
//! `runtime_config` reads the other file that Spin has, what a host rather than an application says, in the same way.

#![forbid(unsafe_code)]

mod access;
mod app;
mod build;
mod checks;
mod component;
mod config;
mod dependencies;
mod document;
mod errors;
mod files;
mod grants;
mod hosts;
mod http;
mod imports;
mod json;
mod load;
mod locked;
mod locked_component;
mod mounts;
mod names;
mod network;
mod place;
mod reader;
mod redis;
mod releases;
mod routes;
mod runtime_config;
mod selection;
mod settings;
mod source;
mod template;
mod trigger;
mod variables;

pub use access::{Access, AccessSettings, ErrorStyle, ErrorStyleError, KeyPolicy, KeyPolicyError};
pub use app::App;
pub use build::Build;
pub use component::Component;
pub use config::{BobbinConfig, Example, Limits};
pub use dependencies::{Dependency, DependencySource, INHERITABLE, Inherit};
pub use errors::{ManifestErrors, Problem, ProblemKind};
pub use hosts::{AllowedHost, HostError};
pub use http::{Executor, StaticResponse};
pub use imports::ImportName;
pub use load::{Manifest, load, load_locked, load_profile, open, parse};
pub use mounts::{FileMount, Mounted};
pub use names::{ComponentId, GraphName, NameError, TriggerId, VariableName};
pub use network::{Network, NetworkError};
pub use place::{At, Place};
pub use redis::Channel;
pub use releases::{BundleRef, BundleRefError, DEFAULT_DRAIN, DeclarationDigest, DeclaredRelease, Moment};
pub use routes::Route;
pub use runtime_config::{
    ClientIdentity, ClientTls, KeyValueBackend, MOST_THREADS, OutboundHttp, OutboundNetworking, RuntimeConfigFile,
    SqliteBackend, Threads, VariablesProvider,
};
pub use settings::{Policy, PolicyError, Sticky, StickyError};
pub use template::{Template, TemplateError};
pub use trigger::{Event, Handler, OtherTrigger, Trigger, TriggerKind};
pub use variables::Variable;
