//! Interfaces that a component imports and this host does not supply. A component that only imports one still runs; a
//! call gets an error that names the interface, or a trap where the interface has no error to return.

use crate::state::State;
use std::sync::Arc;
use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem};
use wasmtime::component::{Component, InstancePre, Linker, LinkerInstance, ResourceType, Type, Val};

/// What the host supplies itself. A component that asks more of these than they have is refused: half an interface would
/// be worse than none.
const SUPPLIED: [&str; 27] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:config/",
    "wasi:filesystem/",
    "wasi:http/",
    "wasi:io/",
    "wasi:keyvalue/",
    "wasi:nn/",
    "wasi:random/",
    "wasi:sockets/",
    "fermyon:spin/config",
    "fermyon:spin/http",
    "fermyon:spin/key-value",
    "fermyon:spin/llm",
    "fermyon:spin/mqtt",
    "fermyon:spin/mysql",
    "fermyon:spin/postgres",
    "fermyon:spin/redis",
    "fermyon:spin/sqlite",
    "fermyon:spin/variables",
    "spin:key-value/",
    "spin:mqtt/",
    "spin:mysql/",
    "spin:postgres/",
    "spin:redis/redis",
    "spin:sqlite/",
    "spin:variables/",
];
/// Whose interfaces get a stub: another host supplies them. Any other is a dependency of the component's, which its
/// manifest has left out.
const HOSTS: [&str; 3] = ["fermyon:spin/", "spin:", "wasi:"];
/// Cases of errors that fit, the best one first.
const CASES: [&str; 8] =
    ["other", "other-error", "runtime-error", "error", "io", "connection-failed", "connection-error", "provider"];

/// Stands for every resource of an interface that is not there. None is ever made.
struct Nothing;

/// A component with everything that it imports, and the interfaces in it that only answer with errors.
pub(crate) struct Linkable {
    pub(crate) pre: InstancePre<State>,
    pub(crate) stubs: Vec<String>,
}

/// Links a component, and puts a stub where there is nothing to link.
///
/// # Errors
/// When what is missing is no interface, or one that the host supplies in another form.
pub(crate) fn link(engine: &Engine, linker: &Linker<State>, component: &Component) -> wasmtime::Result<Linkable> {
    let mut stubs: Vec<String> = Vec::new();
    let mut missing = match linker.instantiate_pre(component) {
        Ok(pre) => return Ok(Linkable { pre, stubs }),
        Err(missing) => missing,
    };
    let mut linker = linker.clone();
    let ty = component.component_type();
    loop {
        // wasmtime names the first import that it has nothing for.
        let told = format!("{missing:#}");
        let named = |name: &str| !stubs.iter().any(|stub| stub == name) && told.contains(&format!("`{name}`"));
        let import = ty.imports(engine).find(|(name, _)| named(name) && is_a_hosts(name) && !is_supplied(name));
        let Some((name, ComponentItem::ComponentInstance(interface))) = import.map(|(name, item)| (name, item.ty))
        else {
            return Err(missing);
        };
        stub(engine, linker.instance(name)?, name, &interface)?;
        stubs.push(name.to_owned());
        missing = match linker.instantiate_pre(component) {
            Ok(pre) => return Ok(Linkable { pre, stubs }),
            Err(missing) => missing,
        };
    }
}

fn is_a_hosts(interface: &str) -> bool {
    HOSTS.iter().any(|package| interface.starts_with(package))
}

fn is_supplied(interface: &str) -> bool {
    // A candidate of WASI 0.3 is an interface of its own: SDKs import it beside the final one, for hosts of its time.
    let candidate = interface.contains("@0.3.0-rc-");
    !candidate && SUPPLIED.iter().any(|supplied| interface.starts_with(supplied))
}

fn stub(
    engine: &Engine,
    mut linker: LinkerInstance<'_, State>,
    name: &str,
    interface: &ComponentInstance,
) -> wasmtime::Result<()> {
    for (item, export) in interface.exports(engine) {
        match export.ty {
            ComponentItem::ComponentFunc(function) => {
                let told: Arc<str> = format!(
                    "this host does not supply {name}, so {item} cannot be called; docs/spin.md lists what it supplies"
                )
                .into();
                if function.async_() {
                    linker.func_new_concurrent(item, move |_, function, _, results| {
                        let told = Arc::clone(&told);
                        Box::pin(async move { refuse(&function, &told, results) })
                    })?;
                } else {
                    linker.func_new(item, move |_, function, _, results| refuse(&function, &told, results))?;
                }
            }
            ComponentItem::Resource(_) => linker.resource(item, ResourceType::host::<Nothing>(), |_, _| Ok(()))?,
            ComponentItem::CoreFunc(_)
            | ComponentItem::Module(_)
            | ComponentItem::Component(_)
            | ComponentItem::ComponentInstance(_)
            | ComponentItem::Type(_) => {}
        }
    }
    Ok(())
}

/// Returns the function's error where it has one that can say this, and traps elsewhere.
fn refuse(function: &ComponentFunc, told: &str, results: &mut [Val]) -> wasmtime::Result<()> {
    let error = function.results().next().and_then(|result| failed(&result, told));
    match (error, results.first_mut()) {
        (Some(error), Some(result)) => {
            *result = error;
            Ok(())
        }
        _ => Err(wasmtime::Error::msg(told.to_owned())),
    }
}

fn failed(result: &Type, told: &str) -> Option<Val> {
    let Type::Result(result) = result else { return None };
    let payload = match result.err() {
        Some(error) => Some(Box::new(error_of(&error, told)?)),
        None => None,
    };
    Some(Val::Result(Err(payload)))
}

fn error_of(error: &Type, told: &str) -> Option<Val> {
    match error {
        Type::String => Some(Val::String(told.into())),
        Type::Enum(cases) => {
            let names: Vec<&str> = cases.names().collect();
            CASES.iter().find(|case| names.contains(case)).map(|case| Val::Enum((*case).into()))
        }
        Type::Variant(variant) => {
            let worded: Vec<&str> =
                variant.cases().filter(|case| matches!(case.ty, Some(Type::String))).map(|case| case.name).collect();
            let case = CASES.iter().find(|case| worded.contains(case)).or_else(|| worded.first())?;
            Some(Val::Variant((*case).into(), Some(Box::new(Val::String(told.into())))))
        }
        _ => None,
    }
}
