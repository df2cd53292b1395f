//! `fermyon:spin/redis`, as components of Spin 1 import it: every call names the server.
//!
//! The path is `/OPERATION/KEY/ARGUMENTS`, with commas between arguments, the body a value; an error is status 400. The
//! server is in the variable `address`.

use bindings::fermyon::spin::redis::{self, Error, RedisParameter, RedisResult};

#[allow(clippy::all, unused_qualifications)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../host/wit/deps/fermyon-spin@unversioned",
        inline: "package bobbin:conformance; world guest { import fermyon:spin/redis; }",
        world: "bobbin:conformance/guest",
        generate_all,
    });
}

shared::spin_5!(answer);

fn answer(path: &str, body: &[u8]) -> Result<String, Error> {
    let part = |index| path.split('/').nth(index).unwrap_or_default();
    let address = spin_sdk::variables::get("address").expect("an address");
    let (address, key) = (address.as_str(), part(2));
    let arguments: Vec<String> = part(3).split_terminator(',').map(str::to_owned).collect();
    Ok(match part(1) {
        "get" => shared::text(&redis::get(address, key)?),
        "set" => redis::set(address, key, body).map(|()| "set".to_owned())?,
        "incr" => redis::incr(address, key)?.to_string(),
        "del" => redis::del(address, &arguments)?.to_string(),
        "sadd" => redis::sadd(address, key, &arguments)?.to_string(),
        "srem" => redis::srem(address, key, &arguments)?.to_string(),
        "smembers" => shared::sorted(redis::smembers(address, key)?),
        "publish" => redis::publish(address, key, body).map(|()| "published".to_owned())?,
        "execute" => shown(&redis::execute(address, key, &parameters(&arguments))?),
        other => format!("no operation {other}"),
    })
}

shared::redis!();
