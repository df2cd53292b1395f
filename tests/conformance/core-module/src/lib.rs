//! Built for wasm32-wasip1, which makes a core module of it: the host makes a component of that. The path is `/OPERATION`,
//! and the query a path, or a name for `env`; an error is status 400.

use spin_sdk::http::{Request, Response};
use spin_sdk::http_component;
use std::{env, fs};

#[http_component]
fn handle(request: Request) -> anyhow::Result<Response> {
    let query = request.query();
    let told = match request.path() {
        "/read" => fs::read_to_string(query),
        "/write" => fs::write(query, "changed").map(|()| "written".to_owned()),
        "/env" => Ok(env::var(query).unwrap_or_else(|_unset| "(none)".to_owned())),
        other => Ok(format!("no operation {other}")),
    };
    Ok(match told {
        Ok(told) => Response::new(200, told),
        Err(error) => Response::new(400, format!("{:?}", error.kind())),
    })
}
