//! The runtime configuration: what whoever runs an application says about its variables, stores and databases.
//!
//! The format is Spin's `runtime-config.toml`. Keys that Spin has and this host does not are refused by name, since a
//! host that ignored them would keep data elsewhere than it was told to. What Spin does not know stands in `[bobbin]`, where
//! no later key of Spin's can mean something else.

mod client_tls;
mod outbound;
mod threads;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use crate::config;
use crate::errors::{Findings, ManifestErrors, Problem, ProblemKind};
use crate::load;
use crate::names;
use crate::place::At;
use crate::reader::{Node, Table};

pub use client_tls::{ClientIdentity, ClientTls};
pub use outbound::{OutboundHttp, OutboundNetworking};
pub use threads::{MOST_THREADS, Threads};

/// A checked runtime configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeConfigFile {
    /// Where state lives, relative to the working directory.
    pub state_dir: Option<PathBuf>,
    /// Where variables get their values, the first one first.
    pub variables: Vec<VariablesProvider>,
    /// Key-value stores by label.
    pub key_value: BTreeMap<String, KeyValueBackend>,
    /// SQLite databases by label.
    pub sqlite: BTreeMap<String, SqliteBackend>,
    /// Where what components print is written to, relative to the working directory; `Some` of an empty path for nowhere.
    pub log_dir: Option<PathBuf>,
    /// Bytes of memory that each instance may take.
    pub max_instance_memory: Option<u64>,
    /// What no component reaches.
    pub outbound_networking: OutboundNetworking,
    /// Bounds on outbound HTTP.
    pub outbound_http: OutboundHttp,
    /// How TLS is spoken when some components ask some hosts.
    pub client_tls: Vec<ClientTls>,
    /// `[bobbin]`: how many threads do what.
    pub threads: Threads,
}

/// Where variables get their values. The values are hidden in debug representations.
#[derive(Clone, PartialEq, Eq)]
pub enum VariablesProvider {
    /// `type = "static"`: values by name.
    Static(BTreeMap<String, String>),
    /// `type = "env"`: the host's environment.
    Environment {
        /// What the names begin with, where it is not the default.
        prefix: Option<String>,
        /// A file of the same form for what the environment does not have, relative to the working directory.
        dotenv: Option<PathBuf>,
    },
}

impl fmt::Debug for VariablesProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static(values) => f.debug_set().entries(values.keys()).finish(),
            Self::Environment { prefix, dotenv } => {
                f.debug_struct("Environment").field("prefix", prefix).field("dotenv", dotenv).finish()
            }
        }
    }
}

/// What keeps a key-value store.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyValueBackend {
    /// `type = "spin"`: a SQLite file, relative to the runtime configuration; without a path, memory alone.
    Spin {
        /// The file.
        path: Option<PathBuf>,
    },
    /// `type = "redis"`: a server. The address may have a password, so it is hidden in debug representations.
    Redis {
        /// Its address.
        url: String,
    },
}

impl fmt::Debug for KeyValueBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spin { path } => f.debug_struct("Spin").field("path", path).finish(),
            Self::Redis { .. } => f.debug_struct("Redis").finish_non_exhaustive(),
        }
    }
}

/// What keeps a SQLite database: `type = "spin"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteBackend {
    /// The file, relative to the working directory; without one, memory alone.
    pub path: Option<PathBuf>,
}

/// The largest number that a file can have.
const MOST: u64 = i64::MAX.cast_unsigned();
/// What Spin reads besides, and what to do about it here.
const ELSEWHERE: [(&str, &str); 1] = [(
    "llm_compute",
    "remove it: models are served from releases, in [application.trigger.bobbin.releases] of spin.toml",
)];

impl RuntimeConfigFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// All problems found, in the order of the file.
    pub fn load(path: &Path) -> Result<Self, ManifestErrors> {
        let file: Arc<Path> = Arc::from(path);
        let text = std::fs::read_to_string(path).map_err(|cause| unreadable(&file, cause))?;
        Self::parse(&text, path)
    }

    /// Reads a text; `file` is what messages call it.
    ///
    /// # Errors
    /// All problems found, in the order of the file.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ManifestErrors> {
        let found = Findings::of("runtime configuration", text, Arc::from(file));
        let (document, mistakes) = DeTable::parse_recoverable(text);
        load::syntax(&mistakes, &found);
        let config = if found.any_error() { Self::default() } else { read(Table::root(&found, &document)) };
        ManifestErrors::unless_empty(found.into_parts().0)?;
        Ok(config)
    }
}

fn unreadable(file: &Arc<Path>, cause: io::Error) -> ManifestErrors {
    let help = "correct the path in --runtime-config-file, or the file's permissions";
    let what = "the runtime configuration cannot be read";
    ManifestErrors::one(Problem::new(ProblemKind::Unreadable, what, help).caused_by(cause).located(file, None))
}

fn read(mut root: Table<'_>) -> RuntimeConfigFile {
    refuse(&mut root, &ELSEWHERE);
    let providers = root.get("variables_provider").into_iter().chain(root.get("config_provider"));
    let config = RuntimeConfigFile {
        state_dir: root.string("state_dir").filter(|text| !text.value.is_empty()).map(|text| text.value.into()),
        variables: providers
            .flat_map(|node| node.items().unwrap_or_default())
            .filter_map(|node| provider(&node))
            .collect(),
        key_value: labelled(&mut root, "key_value_store", key_value),
        sqlite: labelled(&mut root, "sqlite_database", sqlite),
        log_dir: root.string("log_dir").map(|text| text.value.into()),
        max_instance_memory: config::number(&mut root, "max_instance_memory", 1 << 16, MOST),
        outbound_networking: root.table("outbound_networking").map(outbound::networking).unwrap_or_default(),
        outbound_http: root.table("outbound_http").map(outbound::http).unwrap_or_default(),
        client_tls: root.get("client_tls").map(|node| client_tls::read(&node)).unwrap_or_default(),
        threads: root.table("bobbin").map(threads::read).unwrap_or_default(),
    };
    root.finish();
    config
}

/// Refuses keys that Spin has and this host does not.
fn refuse(table: &mut Table<'_>, keys: &[(&'static str, &'static str)]) {
    for (key, help) in keys {
        if let Some(node) = table.get(key) {
            let what = format!("`{key}` of the runtime configuration is not supported here");
            node.found.error(node.place, Problem::new(ProblemKind::Unsupported, what, *help));
        }
    }
}

fn provider(node: &Node<'_>) -> Option<VariablesProvider> {
    let mut table = node.table()?;
    let kind = table.required("type", "type = \"static\"").and_then(|node| node.string())?;
    let provider = match kind.value.as_str() {
        "static" => {
            let values = table.string_map("values");
            Some(VariablesProvider::Static(values.into_iter().map(|(name, (_, value))| (name, value.value)).collect()))
        }
        "env" => Some(VariablesProvider::Environment {
            prefix: table.string("prefix").map(|text| text.value),
            dotenv: table.string("dotenv_path").map(|text| text.value.into()),
        }),
        _ => return unknown_type(&table, &kind, "variables", &["static", "env"]),
    };
    table.finish();
    provider
}

/// The tables under `key`, by their labels.
fn labelled<T>(
    root: &mut Table<'_>,
    key: &'static str,
    read: impl Fn(&mut Table<'_>, &At<String>) -> Option<T>,
) -> BTreeMap<String, T> {
    let mut all = BTreeMap::new();
    let Some(table) = root.table(key) else { return all };
    for (label, node) in table.entries() {
        if let Err(cause) = names::kebab_or_snake(label.value) {
            let what = format!("{:?} is no label for `{key}`", label.value);
            let problem = Problem::new(ProblemKind::Schema, what, "use kebab-case or snake_case, such as `default`");
            table.found.error(label.place, problem.caused_by(cause));
        }
        let Some(mut entry) = node.table() else { continue };
        let Some(kind) = entry.required("type", "type = \"spin\"").and_then(|node| node.string()) else { continue };
        let Some(one) = read(&mut entry, &kind) else { continue };
        entry.finish();
        all.insert(label.value.to_owned(), one);
    }
    all
}

fn key_value(table: &mut Table<'_>, kind: &At<String>) -> Option<KeyValueBackend> {
    match kind.value.as_str() {
        "spin" => Some(KeyValueBackend::Spin { path: table.string("path").map(|text| text.value.into()) }),
        "redis" => {
            let url = table.required("url", "url = \"redis://127.0.0.1:6379\"")?.string()?;
            Some(KeyValueBackend::Redis { url: url.value })
        }
        _ => unknown_type(table, kind, "key-value stores", &["spin", "redis"]),
    }
}

fn sqlite(table: &mut Table<'_>, kind: &At<String>) -> Option<SqliteBackend> {
    if kind.value != "spin" {
        return unknown_type(table, kind, "SQLite databases", &["spin"]);
    }
    if let Some(flag) = table.boolean("allow_attach_file").filter(|flag| flag.value) {
        let what = "attaching files to a database is not supported";
        let problem = Problem::new(ProblemKind::Unsupported, what, "remove `allow_attach_file`");
        table
            .found
            .error(flag.place, problem.because("a component reaches the databases that it is granted, and no others"));
    }
    Some(SqliteBackend { path: table.string("path").map(|text| text.value.into()) })
}

fn unknown_type<T>(table: &Table<'_>, kind: &At<String>, what: &str, known: &[&str]) -> Option<T> {
    let known: Vec<String> = known.iter().map(|one| format!("{one:?}")).collect();
    let problem = format!("{what} of the type {:?} are not supported", kind.value);
    let help = format!("supported here: {}", known.join(", "));
    table.found.error(kind.place, Problem::new(ProblemKind::Unsupported, problem, help));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RuntimeConfigFile, String> {
        RuntimeConfigFile::parse(text, Path::new("rc.toml")).map_err(|errors| errors.to_string())
    }

    #[test]
    fn what_spin_reads_is_read() {
        let config = parse(
            r#"
state_dir = "elsewhere"
[[variables_provider]]
type = "static"
values = { a = "1" }
[[variables_provider]]
type = "env"
prefix = "APP"
dotenv_path = "app.env"
[key_value_store.default]
type = "spin"
path = "kv.db"
[key_value_store.shared-cache]
type = "redis"
url = "redis://:secret@127.0.0.1"
[sqlite_database.default]
type = "spin"
"#,
        )
        .unwrap();
        assert_eq!(config.state_dir, Some("elsewhere".into()));
        assert_eq!(config.variables.len(), 2);
        assert_eq!(config.key_value["default"], KeyValueBackend::Spin { path: Some("kv.db".into()) });
        assert_eq!(
            config.key_value["shared-cache"],
            KeyValueBackend::Redis { url: "redis://:secret@127.0.0.1".into() }
        );
        assert_eq!(config.sqlite["default"], SqliteBackend { path: None });
        assert!(!format!("{config:?}").contains("secret"), "{config:?}");
        assert_eq!(parse(""), Ok(RuntimeConfigFile::default()));
    }

    #[test]
    fn what_is_wrong_is_refused_with_line_and_column_and_without_secrets() {
        for (text, parts) in [
            ("[key_value_store.default]\ntype = \"spin\"\npth = \"x\"", &["rc.toml:3:1:", "`pth`", "\"path\""][..]),
            ("\nkey_value_stor = 1", &["rc.toml:2:1:", "at the top of the runtime configuration", "key_value_store"]),
            ("[key_value_store.a]\ntype = \"azure_cosmos\"", &["rc.toml:2:8:", "azure_cosmos", "\"redis\""]),
            ("[key_value_store.a]\ntype = \"redis\"", &["rc.toml:1:", "url = "]),
            ("[key_value_store.a]\npath = \"x\"", &["rc.toml:1:", "`type`"]),
            ("[key_value_store.\"a b\"]\ntype = \"spin\"", &["rc.toml:1:", "no label"]),
            ("[sqlite_database.a]\ntype = \"libsql\"\nurl = \"https://hunter2\"", &["rc.toml:2:8:", "libsql"]),
            ("[sqlite_database.a]\ntype = \"spin\"\nallow_attach_file = true", &["rc.toml:3:", "allow_attach_file"]),
            ("[[variables_provider]]\ntype = \"vault\"\ntoken = \"hunter2\"", &["rc.toml:2:8:", "vault", "\"env\""]),
            ("[[variables_provider]]\ntype = \"static\"\nvalues = { a = 5 }", &["rc.toml:3:", "must be a string"]),
            ("[llm_compute]\ntype = \"spin\"", &["rc.toml:1:", "llm_compute", "releases"]),
            ("max_instance_memory = 5", &["rc.toml:1:", "max_instance_memory"]),
            ("max_instance_memory = -5", &["rc.toml:1:", "max_instance_memory"]),
            ("[outbound_networking]\nblock_networks = [\"10.0.0.0/33\"]", &["rc.toml:2:", "10.0.0.0/33", "private"]),
            ("[outbound_networking]\nmax_total_connections = 1", &["rc.toml:2:", "max_total_connections"]),
            ("[outbound_networking]\nblok = 1", &["rc.toml:2:1:", "`blok`"]),
            ("[outbound_http]\nmax_connections = -1", &["rc.toml:2:", "max_connections"]),
            ("[outbound_http]\nmax_connections = 1\nmax_concurrent_requests = 1", &["rc.toml:1:", "two names"]),
            ("[bobbin]\ncompute_threads = 0", &["rc.toml:2:19:", "compute_threads`", "from 1 to 1024"]),
            ("[bobbin]\nhost_threads = 1025", &["rc.toml:2:16:", "host_threads`", "from 1 to 1024"]),
            ("[bobbin]\nhost_threads = \"two\"", &["rc.toml:2:16:", "host_threads"]),
            ("[bobbin]\ncompute_thread = 1", &["rc.toml:2:1:", "`compute_thread`", "\"compute_threads\""]),
            ("state_dir = 5", &["rc.toml:1:13:", "state_dir"]),
            ("state_dir = \"hunter2", &["rc.toml:1:", "TOML"]),
        ] {
            let errors = parse(text).unwrap_err();
            for part in parts {
                assert!(errors.contains(part), "{part:?} is missing in {errors}");
            }
            assert!(!errors.contains("hunter2"), "{errors}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let errors = RuntimeConfigFile::load(Path::new("no/such.toml")).unwrap_err().to_string();
        assert!(errors.contains("no/such.toml") && errors.contains("--runtime-config-file"), "{errors}");
    }
}
