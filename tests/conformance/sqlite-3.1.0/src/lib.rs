//! `spin:sqlite@3.1.0`, by spin-sdk 7: rows come as a stream.
//!
//! The path is `/OPERATION/DATABASE`: `execute` runs the body, and `values` asks for its parameters, one of each type. An
//! error is status 400.

use spin_sdk::sqlite::{Connection, Error, QueryResult, Value};

shared::spin_7!(answer);

async fn answer(path: &str, body: &[u8]) -> Result<String, Error> {
    let part = |index| path.split('/').nth(index).unwrap_or_default();
    let values = shared::sqlite_values!();
    let (connection, statement) = (Connection::open(part(2)).await?, shared::text(body));
    Ok(match part(1) {
        "execute" => shown(connection.execute(&statement, []).await?).await?,
        "values" => shown(connection.execute("SELECT ? AS i, ? AS r, ? AS t, ? AS b, ? AS n", values).await?).await?,
        "changes" => {
            connection.execute(&statement, []).await?.result().await?;
            let (changed, last) = (connection.changes().await, connection.last_insert_rowid().await);
            format!("{changed} changed, the last row is {last}")
        }
        other => format!("no operation {other}"),
    })
}

/// The columns, and a line for each row.
async fn shown(mut found: QueryResult) -> Result<String, Error> {
    let mut text = format!("{}\n", found.columns().join(","));
    while let Some(row) = found.next().await {
        text.push_str(&format!("{:?}\n", row.values));
    }
    found.result().await?;
    Ok(text)
}
