//! `spin:postgres@4.2.0`, by spin-sdk 7: rows come as a stream.
//!
//! The path is `/OPERATION`: `query` and `execute` run the body, and `types` asks for its parameters, one of each type that
//! the interface has. An error is status 400. The server is in the variable `address`.

use spin_sdk::pg::{Connection, Error, Interval, ParameterValue, QueryResult, RangeBoundKind};

shared::spin_7!(answer);

async fn answer(path: &str, body: &[u8]) -> Result<String, Error> {
    let postgres = Connection::open(spin_sdk::variables::get("address").await.expect("an address")).await?;
    let statement = shared::text(body);
    Ok(match path {
        "/query" => shown(postgres.query(statement, []).await?).await?,
        "/execute" => postgres.execute(statement, []).await?.to_string(),
        "/types" => {
            let mut told = String::new();
            for (name, parameter) in types() {
                let found = postgres.query(format!("SELECT $1::{name} AS value"), [parameter]).await?;
                told += &format!("{name}: {}", shown(found).await?);
            }
            told
        }
        "/bad-parameters" => {
            let mut told = String::new();
            for (name, parameter) in bad() {
                let found = postgres.query(format!("SELECT $1::{name}"), [parameter]).await;
                told += &format!("{name}: {:?}\n", found.map(|_result| "taken").unwrap_err());
            }
            let decimal = ParameterValue::Decimal("one".to_owned());
            let executed = postgres.execute("SELECT $1::numeric", [decimal]).await;
            told += &format!("executed: {:?}\n", executed.unwrap_err());
            told
        }
        other => format!("no operation {other}"),
    })
}

/// Types of the server, with a parameter for each.
fn types() -> Vec<(&'static str, ParameterValue)> {
    shared::postgres_types_of_4!()
}

/// Types of the server, with parameters that are none of them.
fn bad() -> [(&'static str, ParameterValue); 5] {
    [
        ("uuid", ParameterValue::Uuid("none".to_owned())),
        ("jsonb", ParameterValue::Jsonb(b"{".to_vec())),
        ("date", ParameterValue::Date((2023, 2, 29))),
        ("numeric", ParameterValue::Decimal("1e5".to_owned())),
        ("int8", ParameterValue::Int32(1)),
    ]
}

/// The columns with their types, and a line for each row.
async fn shown(mut found: QueryResult) -> Result<String, Error> {
    let columns = found.columns().iter().map(|column| format!("{} {:?}", column.name, column.data_type));
    let mut text = format!("{}\n", columns.collect::<Vec<_>>().join(","));
    while let Some(row) = found.rows().next().await {
        text += &format!("{row:?}\n");
    }
    found.result().await?;
    Ok(text)
}
