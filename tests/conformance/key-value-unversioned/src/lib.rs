//! `fermyon:spin/key-value`, as components of Spin 1 import it. The path is `/OPERATION/STORE/KEY`, the body a value; an
//! error is status 400.

use bindings::fermyon::spin::key_value::{self, Error};

#[allow(clippy::all, unused_qualifications)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../host/wit/deps/fermyon-spin@unversioned",
        inline: "package bobbin:conformance; world guest { import fermyon:spin/key-value; }",
        world: "bobbin:conformance/guest",
        generate_all,
    });
}

shared::spin_5!(answer);

fn answer(path: &str, body: &[u8]) -> Result<String, Error> {
    let part = |index| path.split('/').nth(index).unwrap_or_default();
    let (store, key) = (key_value::open(part(2))?, part(3));
    let told = match part(1) {
        "get" => shared::text(&key_value::get(store, key)?),
        "set" => key_value::set(store, key, body).map(|()| "set".to_owned())?,
        "delete" => key_value::delete(store, key).map(|()| "deleted".to_owned())?,
        "exists" => key_value::exists(store, key)?.to_string(),
        "keys" => key_value::get_keys(store)?.join(","),
        "closed" => {
            key_value::close(store);
            key_value::get(store, key).map(|_value| "a closed store was read".to_owned())?
        }
        other => format!("no operation {other}"),
    };
    key_value::close(store);
    Ok(told)
}
