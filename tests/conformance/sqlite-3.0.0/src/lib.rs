//! `spin:sqlite@3.0.0`, by spin-sdk 5.
//!
//! The path is `/OPERATION/DATABASE`: `execute` runs the body, and `values` asks for its parameters, one of each type. An
//! error is status 400.

use spin_sdk::sqlite3::{Connection, Error, QueryResult, RowResult, Value};

shared::spin_5!(answer);

fn answer(path: &str, body: &[u8]) -> Result<String, Error> {
    let part = |index| path.split('/').nth(index).unwrap_or_default();
    let values = shared::sqlite_values!();
    let (connection, statement) = (Connection::open(part(2))?, shared::text(body));
    Ok(match part(1) {
        "execute" => shown(&connection.execute(&statement, &[])?),
        "values" => shown(&connection.execute("SELECT ? AS i, ? AS r, ? AS t, ? AS b, ? AS n", &values)?),
        "changes" => {
            connection.execute(&statement, &[])?;
            return Ok(format!("{} changed, the last row is {}", connection.changes(), connection.last_insert_rowid()));
        }
        other => format!("no operation {other}"),
    })
}

shared::sqlite_shown!();
