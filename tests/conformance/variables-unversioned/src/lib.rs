//! `fermyon:spin/config`, as components of Spin 1 import it. The path is `/NAME`; an error is status 400.

use bindings::fermyon::spin::config::{self, Error};

#[allow(clippy::all, unused_qualifications)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../host/wit/deps/fermyon-spin@unversioned",
        inline: "package bobbin:conformance; world guest { import fermyon:spin/config; }",
        world: "bobbin:conformance/guest",
        generate_all,
    });
}

shared::spin_5!(answer);

fn answer(path: &str, _body: &[u8]) -> Result<String, Error> {
    config::get_config(path.trim_start_matches('/'))
}
