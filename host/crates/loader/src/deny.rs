//! What a dependency does not inherit, it does not get: each import that would reach a grant of its owner is satisfied
//! by a component that refuses.
//!
//! A composed component is one to the host, so grants cannot be told apart there. The refusing component is made for
//! the dependency at hand, from the dependency's own imports: it exports exactly those interfaces, of whatever version,
//! and every function answers with the interface's own error (see [`refusal`](crate::refusal)).

use crate::graph::{ComposeError, Composition};
use crate::refusal;
use bobbin_manifest::Inherit;
use std::error::Error;
use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding, embed_component_metadata};
use wit_parser::{WorldItem, WorldKey};

/// A key of a component's table in the manifest, and the interfaces that reach what it grants: a whole package, or one
/// interface of it. Versions do not matter. Whoever gives guests another interface that reaches a grant lists it here.
const GRANTS: [(&str, &[&str]); 7] = [
    ("ai_models", &["fermyon:spin/llm", "wasi:nn", "bobbin:models"]),
    (
        "allowed_outbound_hosts",
        &[
            "fermyon:spin/http",
            "fermyon:spin/mqtt",
            "fermyon:spin/mysql",
            "fermyon:spin/postgres",
            "fermyon:spin/redis",
            "spin:mqtt",
            "spin:mysql",
            "spin:postgres",
            "spin:redis",
            "wasi:http/client",
            "wasi:http/outgoing-handler",
            "wasi:sockets",
        ],
    ),
    ("environment", &["wasi:cli/environment"]),
    ("files", &["wasi:filesystem/preopens"]),
    ("key_value_stores", &["fermyon:spin/key-value", "spin:key-value", "wasi:keyvalue"]),
    ("sqlite_databases", &["fermyon:spin/sqlite", "spin:sqlite"]),
    ("variables", &["fermyon:spin/config", "fermyon:spin/variables", "spin:variables", "wasi:config"]),
];

/// The dependency without what it does not inherit. `name` is how messages call it; nothing said is nothing inherited.
pub(crate) fn deny(name: &str, bytes: Vec<u8>, inherit: Option<&Inherit>) -> Result<Vec<u8>, ComposeError> {
    let Some((refuser, denied)) =
        refuser(&bytes, inherit).map_err(|source| ComposeError::Deny { part: name.to_owned(), source })?
    else {
        return Ok(bytes);
    };
    let mut composition = Composition::new();
    let part = composition.add(name, &bytes)?;
    let refuser = composition.add("what refuses it", &refuser)?;
    for interface in &denied {
        composition.connect((&part, interface), (&refuser, interface))?;
    }
    composition.export_all(&part)?;
    composition.encode()
}

type Refuser = (Vec<u8>, Vec<String>);

/// A component that exports what must be kept from the dependency, and the names of that; none where that is nothing.
fn refuser(bytes: &[u8], inherit: Option<&Inherit>) -> Result<Option<Refuser>, Box<dyn Error + Send + Sync>> {
    let DecodedWasm::Component(mut resolve, world) = wit_component::decode(bytes)? else {
        return Err("it is a WIT package, and no component".into());
    };
    let mut denied = Vec::new();
    for (key, item) in &resolve.worlds.get(world).ok_or("it has no world")?.imports {
        let name = resolve.name_world_key(key);
        if matches!(item, WorldItem::Interface { .. }) && is_denied(&name, inherit) {
            denied.push((key.clone(), name));
        }
    }
    if denied.is_empty() {
        return Ok(None);
    }
    let is_denied = |key: &WorldKey, _: &WorldItem| denied.iter().any(|(known, _)| known == key);
    resolve.exportize(world, None, Some(&is_denied))?;
    let mut module = refusal::module(&resolve, world);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    let component = ComponentEncoder::default().validate(true).module(&module)?.encode()?;
    Ok(Some((component, denied.into_iter().map(|(_, name)| name).collect())))
}

/// Whether an interface reaches a grant that is not inherited.
fn is_denied(interface: &str, inherit: Option<&Inherit>) -> bool {
    let name = interface.split_once('@').map_or(interface, |(name, _version)| name);
    let package = name.split_once('/').map_or(name, |(package, _interface)| package);
    GRANTS.iter().filter(|(key, _)| !inherits(inherit, key)).any(|(_, of)| of.contains(&name) || of.contains(&package))
}

fn inherits(inherit: Option<&Inherit>, key: &str) -> bool {
    match inherit {
        Some(Inherit::All(all)) => *all,
        Some(Inherit::Only(keys)) => keys.iter().any(|known| known == key),
        None => false,
    }
}

#[cfg(test)]
mod tests;
