//! Imports interfaces that this host does not supply, and calls one only when the path says so: `/enter`, `/land` and `/phase`.
//! An error is status 400.

use bindings::spin::moon::{orbit, surface};
use spin_sdk::http::{Request, Response};
use spin_sdk::http_component;

#[allow(clippy::all, unused_qualifications)]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "caller" });
}

#[http_component]
fn handle(request: Request) -> anyhow::Result<Response> {
    let told = match request.path() {
        "/enter" => orbit::enter().map_err(|error| format!("{error:?}")).map(|()| "entered".to_owned()),
        "/land" => surface::land().map(|()| "landed".to_owned()),
        "/phase" => Ok(surface::phase().to_string()),
        _ => Ok("nothing was called".to_owned()),
    };
    Ok(match told {
        Ok(told) => Response::new(200, told),
        Err(error) => Response::new(400, error),
    })
}
