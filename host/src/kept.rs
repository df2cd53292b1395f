//! What components know and keep: the variables, stores and databases of the application, opened before it is served.

use anyhow::{Context, Result};
use bobbin_manifest::{App, Component, KeyValueBackend, Limits, Problem, ProblemKind, RuntimeConfigFile, Template};
use bobbin_stores::Kept;
use bobbin_stores::key_value::{RedisStore, SqliteFile, Store};
use bobbin_stores::sqlite::Database;
use bobbin_stores::variables::Variables;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The store and the database that exist without being configured.
const DEFAULT: &str = "default";
/// The files of these, in the state folder.
const KEY_VALUE_FILE: &str = "key_value.sqlite";
const DATABASE_FILE: &str = "database.sqlite";

/// Everything that some component is granted.
#[derive(Debug)]
pub(crate) struct Keeper {
    variables: Variables,
    stores: BTreeMap<String, Arc<dyn Store>>,
    databases: BTreeMap<String, Arc<Database>>,
}

impl Keeper {
    /// Opens what the components are granted, and nothing else. Blocking.
    ///
    /// # Errors
    /// When a component is granted what nobody defines, or something cannot be opened.
    pub(crate) fn open(
        app: &App,
        config: &RuntimeConfigFile,
        config_file: Option<&Path>,
        variables: Variables,
        state: &Path,
    ) -> Result<Self> {
        check_grants(app, config)?;
        let folder = config_file.and_then(Path::parent).unwrap_or(Path::new(""));
        let Limits { key_value_bytes, database_bytes, .. } = app.bobbin.limits;
        let mut stores = Stores { files: BTreeMap::new(), state, folder, bytes: key_value_bytes };
        let stores = granted(app, |component| &component.key_value_stores)
            .map(|label| Ok((label.to_owned(), stores.open(label, config.key_value.get(label))?)))
            .collect::<Result<_>>()?;
        let database = |label: &str| -> Result<Arc<Database>> {
            Ok(match config.sqlite.get(label).map(|backend| &backend.path) {
                Some(Some(path)) => Database::open(&std::path::absolute(path)?, database_bytes)?,
                Some(None) => Database::in_memory(database_bytes),
                None => Database::open(&state.join(DATABASE_FILE), database_bytes)?,
            })
        };
        let databases = granted(app, |component| &component.sqlite_databases)
            .map(|label| Ok((label.to_owned(), database(label)?)))
            .collect::<Result<_>>()?;
        Ok(Self { variables, stores, databases })
    }

    /// A text of the manifest in which every variable has its value.
    pub(crate) fn render(&self, template: &Template) -> String {
        self.variables.render(template).expose().to_owned()
    }

    /// What one component is granted of it.
    pub(crate) fn of(&self, component: &Component) -> Kept {
        let variables = self.variables.of_component(component.id.as_str(), &component.variables);
        Kept {
            variables: Arc::new(variables),
            stores: Arc::new(labelled(&component.key_value_stores, &self.stores)),
            databases: Arc::new(labelled(&component.sqlite_databases, &self.databases)),
        }
    }
}

fn labelled<T: Clone>(labels: &[String], all: &BTreeMap<String, T>) -> BTreeMap<String, T> {
    labels.iter().filter_map(|label| Some((label.clone(), all.get(label)?.clone()))).collect()
}

/// The labels that any component is granted.
fn granted<'a>(app: &'a App, labels: impl Fn(&'a Component) -> &'a Vec<String>) -> impl Iterator<Item = &'a str> {
    let all: BTreeSet<&str> = app.components.values().flat_map(labels).map(String::as_str).collect();
    all.into_iter()
}

fn check_grants(app: &App, config: &RuntimeConfigFile) -> Result<()> {
    let mut problems = Vec::new();
    for component in app.components.values() {
        let stores = component
            .key_value_stores
            .iter()
            .map(|label| ("key-value store", "key_value_store", label, config.key_value.contains_key(label)));
        let databases = component
            .sqlite_databases
            .iter()
            .map(|label| ("SQLite database", "sqlite_database", label, config.sqlite.contains_key(label)));
        for (kind, table, label, defined) in stores.chain(databases) {
            if defined || label == DEFAULT {
                continue;
            }
            let what = format!("component {:?} is granted the {kind} {label:?}, which nobody defines", component.id);
            let help = format!(
                "define [{table}.{label}] in a runtime configuration and give it with --runtime-config-file, or use \"default\""
            );
            problems.push((component.place, Problem::new(ProblemKind::Reference, what, help)));
        }
    }
    Ok(app.problems_at(problems)?)
}

/// Opens key-value stores; those in one file share it.
struct Stores<'a> {
    files: BTreeMap<PathBuf, SqliteFile>,
    state: &'a Path,
    /// What relative paths of the runtime configuration are relative to.
    folder: &'a Path,
    /// What each file may have.
    bytes: u64,
}

impl Stores<'_> {
    fn open(&mut self, label: &str, backend: Option<&KeyValueBackend>) -> Result<Arc<dyn Store>> {
        Ok(match backend {
            None => Arc::new(self.file(self.state.join(KEY_VALUE_FILE))?.store(label)),
            Some(KeyValueBackend::Spin { path: Some(path) }) => {
                Arc::new(self.file(std::path::absolute(self.folder.join(path))?)?.store(label))
            }
            Some(KeyValueBackend::Spin { path: None }) => Arc::new(SqliteFile::in_memory(self.bytes)?.store(label)),
            Some(KeyValueBackend::Redis { url }) => {
                let store = RedisStore::at(url);
                Arc::new(store.with_context(|| format!("[key_value_store.{label}] of the runtime configuration"))?)
            }
        })
    }

    fn file(&mut self, path: PathBuf) -> Result<SqliteFile> {
        if let Some(open) = self.files.get(&path) {
            return Ok(open.clone());
        }
        let file = SqliteFile::open(&path, self.bytes)?;
        self.files.insert(path, file.clone());
        Ok(file)
    }
}
