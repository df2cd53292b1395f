//! `fermyon:spin/postgres`, as components of Spin 1 import it: every call names the server.
//!
//! The path is `/OPERATION`: `query` and `execute` run the body, and `types` asks for its parameters, one of each type that
//! the interface has. An error is status 400. The server is in the variable `address`.

use bindings::fermyon::spin::postgres::{self, PgError};
use bindings::fermyon::spin::rdbms_types::{Column, ParameterValue, RowSet};

#[allow(clippy::all, unused_qualifications)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../host/wit/deps/fermyon-spin@unversioned",
        inline: "package bobbin:conformance; world guest { import fermyon:spin/postgres; }",
        world: "bobbin:conformance/guest",
        generate_all,
    });
}

shared::spin_5!(answer);

fn answer(path: &str, body: &[u8]) -> Result<String, PgError> {
    let address = spin_sdk::variables::get("address").expect("an address");
    let statement = shared::text(body);
    Ok(match path {
        "/query" => shown(&postgres::query(&address, &statement, &[])?),
        "/execute" => postgres::execute(&address, &statement, &[])?.to_string(),
        "/types" => {
            let mut told = String::new();
            for (name, parameter) in types() {
                let found = postgres::query(&address, &format!("SELECT $1::{name} AS value"), &[parameter])?;
                told += &format!("{name}: {}", shown(&found));
            }
            told
        }
        "/unsigned" => shown(&postgres::query(&address, "SELECT $1::int4", &[ParameterValue::Uint32(1)])?),
        other => format!("no operation {other}"),
    })
}

/// Types of the server, with a parameter for each.
fn types() -> Vec<(&'static str, ParameterValue)> {
    shared::postgres_types_of_1!()
}

shared::postgres_shown!();
