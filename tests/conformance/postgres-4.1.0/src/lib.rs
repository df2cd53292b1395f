//! `spin:postgres@4.1.0`, whose connections are built: what it adds to 4.0.0. The path is `/OPERATION`: `query` runs the body;
//! `trust` connects with the body as the certificate to trust. An error is status 400. The server is in the variable
//! `address`.

use bindings::spin::postgres::postgres::{ConnectionBuilder, Error, RowSet};

#[allow(clippy::all, unused_qualifications)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../host/wit/deps/spin-postgres@4.1.0",
        inline: "package bobbin:conformance; world guest { import spin:postgres/postgres@4.1.0; }",
        world: "bobbin:conformance/guest",
        generate_all,
    });
}

shared::spin_5!(answer);

fn answer(path: &str, body: &[u8]) -> Result<String, Error> {
    let builder = ConnectionBuilder::new(&spin_sdk::variables::get("address").expect("an address"));
    let text = shared::text(body);
    Ok(match path {
        "/query" => shown(&builder.build()?.query(&text, &[])?),
        "/trust" => {
            builder.set_ca_root(&text)?;
            shown(&builder.build()?.query("SELECT 1", &[])?)
        }
        other => format!("no operation {other}"),
    })
}

/// A line for each row.
fn shown(found: &RowSet) -> String {
    found.rows.iter().map(|row| format!("{row:?}\n")).collect()
}
