//! What a component's statements may not do: reach another file, load code, or change what the host has decided.

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// Databases besides its own that a connection may have: one, which VACUUM makes for itself.
const ATTACHED: i32 = 1;

/// Pragmas that only look, or that change what belongs to the connection or to the database.
const ALLOWED: [&str; 36] = [
    "analysis_limit",
    "application_id",
    "auto_vacuum",
    "automatic_index",
    "case_sensitive_like",
    "collation_list",
    "compile_options",
    "count_changes",
    "data_version",
    "defer_foreign_keys",
    "encoding",
    "foreign_key_check",
    "foreign_key_list",
    "foreign_keys",
    "freelist_count",
    "function_list",
    "ignore_check_constraints",
    "incremental_vacuum",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "legacy_alter_table",
    "module_list",
    "optimize",
    "page_count",
    "pragma_list",
    "query_only",
    "quick_check",
    "read_uncommitted",
    "recursive_triggers",
    "schema_version",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
];

/// Pragmas that tune what the host has decided. Applications set them in good faith, so they have no effect instead of
/// failing.
const WITHOUT_EFFECT: [&str; 15] = [
    "busy_timeout",
    "cache_size",
    "cache_spill",
    "checkpoint_fullfsync",
    "fullfsync",
    "journal_mode",
    "journal_size_limit",
    "locking_mode",
    "mmap_size",
    "page_size",
    "secure_delete",
    "synchronous",
    "temp_store",
    "threads",
    "wal_autocheckpoint",
];

/// Confines a connection to its own database.
pub(super) fn confine(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.set_limit(rusqlite::limits::Limit::SQLITE_LIMIT_ATTACHED, ATTACHED)?;
    // A pattern is compared at every place of a text, and nothing interrupts that.
    // No writes past SQLite's own rules: not to its schema table, not to the tables behind virtual ones.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.authorizer(Some(authorize))
}

fn authorize(context: AuthContext<'_>) -> Authorization {
    match context.action {
        // VACUUM works in a nameless file of its own; every other one is somebody else's.
        AuthAction::Attach { filename: "" } => Authorization::Allow,
        AuthAction::Attach { .. } | AuthAction::Unknown { .. } => Authorization::Deny,
        AuthAction::Function { function_name } if function_name.eq_ignore_ascii_case("load_extension") => {
            Authorization::Deny
        }
        AuthAction::Pragma { pragma_name, .. } => pragma(&pragma_name.to_ascii_lowercase()),
        _ => Authorization::Allow,
    }
}

fn pragma(name: &str) -> Authorization {
    if ALLOWED.contains(&name) {
        Authorization::Allow
    } else if WITHOUT_EFFECT.contains(&name) {
        Authorization::Ignore
    } else {
        Authorization::Deny
    }
}
