//! `fermyon:spin/sqlite`, as components of Spin 1 import it.
//!
//! The path is `/OPERATION/DATABASE`: `execute` runs the body, and `values` asks for its parameters, one of each type. An
//! error is status 400.

use bindings::fermyon::spin::sqlite::{self, Error, QueryResult, RowResult, Value};

#[allow(clippy::all, unused_qualifications)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../host/wit/deps/fermyon-spin@unversioned",
        inline: "package bobbin:conformance; world guest { import fermyon:spin/sqlite; }",
        world: "bobbin:conformance/guest",
        generate_all,
    });
}

shared::spin_5!(answer);

fn answer(path: &str, body: &[u8]) -> Result<String, Error> {
    let part = |index| path.split('/').nth(index).unwrap_or_default();
    let values = shared::sqlite_values!();
    let connection = sqlite::open(part(2))?;
    let told = match part(1) {
        "execute" => sqlite::execute(connection, &shared::text(body), &[])?,
        "values" => sqlite::execute(connection, "SELECT ? AS i, ? AS r, ? AS t, ? AS b, ? AS n", &values)?,
        "closed" => {
            sqlite::close(connection);
            sqlite::execute(connection, "SELECT 1", &[])?
        }
        other => return Ok(format!("no operation {other}")),
    };
    sqlite::close(connection);
    Ok(shown(&told))
}

shared::sqlite_shown!();
