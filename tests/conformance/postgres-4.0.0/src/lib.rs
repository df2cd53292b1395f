//! `spin:postgres@4.0.0`, by spin-sdk 5.
//!
//! The path is `/OPERATION`: `query` and `execute` run the body, and `types` asks for its parameters, one of each type that
//! the interface has. An error is status 400. The server is in the variable `address`.

use spin_sdk::pg4::{Column, Connection, Interval, ParameterValue, PgError as Error, RangeBoundKind, RowSet};

shared::spin_5!(answer);

shared::postgres_of_spin_5!();

/// Types of the server, with a parameter for each.
fn types() -> Vec<(&'static str, ParameterValue)> {
    shared::postgres_types_of_4!()
}
