//! `fermyon:spin/postgres@2.0.0`, by spin-sdk 5.
//!
//! The path is `/OPERATION`: `query` and `execute` run the body, and `types` asks for its parameters, one of each type that
//! the interface has. An error is status 400. The server is in the variable `address`.

use spin_sdk::pg::{Column, Connection, ParameterValue, PgError as Error, RowSet};

shared::spin_5!(answer);

shared::postgres_of_spin_5!("/unsigned" => unsigned);

/// Types of the server, with a parameter for each.
fn types() -> Vec<(&'static str, ParameterValue)> {
    shared::postgres_types_of_1!()
}

/// A parameter of a type that the server does not have.
fn unsigned(postgres: &Connection) -> Result<String, Error> {
    Ok(shown(&postgres.query("SELECT $1::int4", &[ParameterValue::Uint32(1)])?))
}
