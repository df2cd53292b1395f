//! What components know and keep.
//!
//! [`variables`] resolves an application's variables once, before anything is served; [`key_value`] and [`sqlite`] keep
//! data, behind traits and types that know no guest. Nothing here knows wasmtime: the host functions that components call
//! are in the runtime, one implementation for each version of each interface.

#![forbid(unsafe_code)]

mod charged;
pub mod key_value;
mod pool;
mod room;
pub mod sqlite;
pub mod variables;

pub use charged::Charged;

use key_value::Store;
use sqlite::Database;
use std::collections::BTreeMap;
use std::sync::Arc;
use variables::ComponentVariables;

/// What one component may know and keep. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// The variables that it may read.
    pub variables: Arc<ComponentVariables>,
    /// The key-value stores that it may open, by label.
    pub stores: Arc<BTreeMap<String, Arc<dyn Store>>>,
    /// The SQLite databases that it may open, by label.
    pub databases: Arc<BTreeMap<String, Arc<Database>>>,
}
