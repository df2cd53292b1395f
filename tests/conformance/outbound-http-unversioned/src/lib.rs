//! `fermyon:spin/http`, as components of Spin 1 import it.
//!
//! The path is `/METHOD`, and the body is the URL; `PORT` in it stands for the variable `web_port`. The request has a header
//! `x-own` and, for POST, the body `hello`. The answer is the status and the body that came, or status 400 and the error.

use bindings::fermyon::spin::http::send_request;
use bindings::fermyon::spin::http_types::{self, Method};
use spin_sdk::http::{Request, Response};
use spin_sdk::http_component;

#[allow(clippy::all, unused_qualifications)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../host/wit/deps/fermyon-spin@unversioned",
        inline: "package bobbin:conformance; world guest { import fermyon:spin/http; }",
        world: "bobbin:conformance/guest",
        generate_all,
    });
}

#[http_component]
fn handle(request: Request) -> anyhow::Result<Response> {
    let port = spin_sdk::variables::get("web_port").unwrap_or_default();
    let post = request.path().ends_with("/POST");
    let asked = http_types::Request {
        method: if post { Method::Post } else { Method::Get },
        uri: String::from_utf8_lossy(request.body()).replace("PORT", &port),
        headers: vec![("x-own".to_owned(), "1".to_owned())],
        params: Vec::new(),
        body: post.then(|| b"hello".to_vec()),
    };
    Ok(match send_request(&asked) {
        Ok(told) => {
            let body = told.body.unwrap_or_default();
            Response::new(200, format!("{} {}", told.status, String::from_utf8_lossy(&body)))
        }
        Err(error) => Response::new(400, format!("{error:?}")),
    })
}
