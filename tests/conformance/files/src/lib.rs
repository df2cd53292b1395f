//! What a component may read. The path is `/OPERATION`, and the query a path, or a name for `env`; an error is status 400.

use spin_sdk::http::{Request, Response, Result};
use spin_sdk::http_service;
use std::{env, fs, io};

#[http_service]
async fn handle(request: Request) -> Result<Response<String>> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let told = match path.rsplit('/').next().unwrap_or_default() {
        "read" => fs::read_to_string(query),
        "list" => list(query),
        "write" => fs::write(query, "changed").map(|()| "written".to_owned()),
        "remove" => fs::remove_file(query).map(|()| "removed".to_owned()),
        "env" => Ok(env::var(query).unwrap_or_else(|_unset| "(none)".to_owned())),
        other => Ok(format!("no operation {other}")),
    };
    let (status, told) = match told {
        Ok(told) => (200, told),
        Err(error) => (400, format!("{:?}", error.kind())),
    };
    Ok(Response::builder().status(status).body(told)?)
}

fn list(path: &str) -> io::Result<String> {
    let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names.join(","))
}
