//! Answers with what its dependency says: `/fact`, `/sum`, and `/variable`, which is the dependency's view of `OWNER`.

use bindings::conformance::facts::{facts, sums};
use spin_sdk::http::{Request, Response, Result};
use spin_sdk::http_service;

#[allow(clippy::all, unused_qualifications)]
mod bindings {
    use spin_sdk::wit_bindgen;
    wit_bindgen::generate!({ path: "../wit", world: "asker", runtime_path: "spin_sdk::wit_bindgen::rt" });
}

#[http_service]
async fn handle(request: Request) -> Result<Response<String>> {
    Ok(Response::new(match request.uri().path().rsplit('/').next().unwrap_or_default() {
        "fact" => facts::fact(),
        "sum" => sums::add(2, 3).to_string(),
        "variable" => facts::variable("OWNER").unwrap_or_else(|| "(none)".to_owned()),
        other => format!("no operation {other}"),
    }))
}
