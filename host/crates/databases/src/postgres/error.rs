//! Why a PostgreSQL server did not do what it was asked.

use bobbin_inference::OverAccount;
use tokio_postgres::error::DbError;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The greeting does not fit into what the host holds for a request.
    #[error(transparent)]
    OverAccount(#[from] OverAccount),
    /// The server refused, or broke off.
    #[error("{}", crate::told(.0))]
    Refused(#[source] tokio_postgres::Error),
    /// The host's name is none that a certificate could hold.
    #[error("no certificate can hold the host's name: {0}")]
    Name(#[from] rustls::pki_types::InvalidDnsNameError),
    /// The address wants another kind of server.
    #[error("the server is not what target_session_attrs asks for")]
    Session,
}

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The answer does not fit into what the host holds for a request.
    #[error("the result is too large: {0}; ask for fewer rows, or for parts of them")]
    OverAccount(#[from] OverAccount),
    /// The server refused, or is gone. Spin tells its guests what this looks like to whoever debugs.
    #[error("{0:?}")]
    Refused(#[from] tokio_postgres::Error),
    /// A value of the server's has no form in the interfaces.
    #[error("column {column}: {reason}")]
    Value {
        /// The column's name.
        column: String,
        /// What is wrong with it.
        reason: ValueError,
    },
}

/// A value that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Bytes of a server that are no value of their type.
    #[error("the server sent no {0}")]
    Malformed(&'static str),
    /// A time that no calendar has.
    #[error("{0} has no date")]
    NoDate(&'static str),
    /// PostgreSQL has none, and some interfaces do.
    #[error("Postgres does not support unsigned integers")]
    Unsigned,
    /// A parameter that is no value of its type.
    #[error("invalid {what} {text}")]
    Invalid {
        /// The type.
        what: &'static str,
        /// The beginning of the parameter.
        text: String,
    },
}

impl ValueError {
    /// Shows the beginning of a parameter.
    pub fn invalid(what: &'static str, text: impl std::fmt::Display) -> Self {
        Self::Invalid { what, text: format!("{:.100}", text.to_string()) }
    }
}

/// What the server says of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// Such as `ERROR`.
    pub severity: String,
    /// Five letters and digits, such as `23505`.
    pub code: String,
    /// In one line.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// Whatever else there is, by name.
    pub extras: Vec<(String, String)>,
}

impl QueryError {
    /// What the server says, where it was the server that refused.
    pub fn details(&self) -> Option<Details> {
        let Self::Refused(error) = self else { return None };
        error.as_db_error().map(details)
    }
}

fn details(error: &DbError) -> Details {
    let line = error.line().map(|line| line.to_string());
    let extras = [
        ("column", error.column()),
        ("constraint", error.constraint()),
        ("routine", error.routine()),
        ("hint", error.hint()),
        ("table", error.table()),
        ("datatype", error.datatype()),
        ("schema", error.schema()),
        ("file", error.file()),
        ("line", line.as_deref()),
        ("where_", error.where_()),
    ];
    Details {
        severity: error.severity().to_owned(),
        code: error.code().code().to_owned(),
        message: error.message().to_owned(),
        detail: error.detail().map(str::to_owned),
        extras: extras.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.to_owned()))).collect(),
    }
}
