//! Starts the real `bobbin` binary with real models, and talks to it as its users do.
//!
//! Tests read as sentences: `TestHost::stories().start().await`, then requests, then what a person would look
//! at: answers, headers, metrics, the log.

#![allow(clippy::print_stdout, reason = "a skip says why")]

mod admin_events;
mod app;
mod authority;
mod bench;
mod browser;
mod bundle;
mod busy;
mod client;
mod clients;
mod command;
mod conformance;
mod databases;
mod examples;
mod folders;
mod front;
mod host;
mod http;
mod images;
mod keys;
mod liar;
mod locked;
mod machine;
mod memory;
mod metrics;
mod mqtt;
mod mysql;
mod mysql_liar;
mod neighbours;
mod openai;
mod paths;
mod peer;
mod postgres;
mod process;
mod raw;
mod redis;
mod registry;
mod releases;
mod report;
mod skip;
mod slow;
mod small_disk;
mod stores;
mod stories;
mod subscribers;
mod theme;
mod user;
mod web;
mod window;

pub use admin_events::{AdminEvent, AdminEvents};
pub use app::TestApp;
pub use authority::{Authority, Issued};
pub use bench::{bench, in_turn, stop};
pub use browser::Browser;
pub use bundle::{BundleText, WrittenBundle, write_bundle};
pub use busy::Busy;
pub use client::{Answer, Events};
pub use clients::{Said, node_client, python_client};
pub use command::{Ran, ran, ran_with, typed};
pub use conformance::{Behaviour, behaviours};
pub use examples::{Example, examples};
pub use front::TlsFront;
pub use host::{TestHost, TestHostBuilder, eventually};
pub use http::http;
pub use images::{Assembly, SpinImage};
pub use keys::{KeyCommand, TestKey};
pub use liar::{Liar, Lie};
pub use locked::{Locked, content, file_url};
pub use machine::{machine, outside, refuse_baseline, vector_units};
pub use memory::{MemoryWatch, process_status};
pub use metrics::Metrics;
pub use mqtt::{MqttBroker, Subscriber};
pub use mysql::MysqlServer;
pub use mysql_liar::{MysqlLiar, MysqlLie};
pub use neighbours::{Arrivals, Arrived, Sample, Span, beside_quiet, sent_within};
pub use openai::PublicApi;
pub use paths::{
    benched_component, bobbin, fixture_component, packed_plugin, python_component, repository_root, shared_models,
};
pub use peer::Peer;
pub use postgres::PostgresServer;
pub use process::{Files, age, children, connections, threads_named, zombies};
pub use raw::RawConnection;
pub use redis::RedisServer;
pub use registry::Registry;
pub use releases::TestRelease;
pub use report::{Bound, Report, Sorted};
pub use slow::{SlowAnswer, SlowReader};
pub use small_disk::on_a_small_disk;
pub use stories::{Broken, Stories, Story, Told, head, rate, refuse_broken, tell, whole};
pub use theme::{Theme, Voices};
pub use web::{Asked, Clients, Web};
pub use window::{Lasts, Window};

/// What a test returns: a failure names its cause instead of a line number alone.
pub type Result<T = ()> = anyhow::Result<T>;
