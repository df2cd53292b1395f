//! Core modules become components, as Spin makes them: with the adapter from WASI's first preview to 0.2.

use crate::chained::Chained;
use bobbin_manifest::{Problem, ProblemKind};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

/// A core module that no component can be made of.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModuleError {
    #[error("it is no WebAssembly")]
    NoWasm,
    #[error("it is a core module that cannot be read")]
    Malformed(#[source] wasmparser::BinaryReaderError),
    #[error("it is a program (a core module with `_start`), which only the executor `wagi` could run")]
    Program,
    #[error("it is a core module for `{0}`, which Spin replaced by wasi:http")]
    Older(&'static str),
    #[error("it is a core module that does not say which interfaces it has")]
    NoInterfaces,
    #[error("it is a core module that does not fit the interfaces it names")]
    Unfit(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The interfaces of Spin before wasi:http, by the function that a module exports for each.
const OLDER: [(&str, &str); 2] = [("handle-http-request", "inbound-http"), ("handle-redis-message", "inbound-redis")];

/// The component that these bytes are, or that can be made of them. Whoever compiles a component says what is wrong in it.
pub(crate) fn component(bytes: Vec<u8>) -> Result<Vec<u8>, ModuleError> {
    if Parser::is_component(&bytes) {
        return Ok(bytes);
    }
    if !Parser::is_core_wasm(&bytes) {
        return Err(ModuleError::NoWasm);
    }
    let found = Found::read(&bytes).map_err(ModuleError::Malformed)?;
    if !found.interfaces {
        return Err(match found {
            Found { older: Some(name), .. } => ModuleError::Older(name),
            Found { program: true, .. } => ModuleError::Program,
            _ => ModuleError::NoInterfaces,
        });
    }
    let encode = || ComponentEncoder::default().validate(true).module(&bytes)?.adapter(ADAPTER_NAME, ADAPTER)?.encode();
    encode().map_err(|reason| ModuleError::Unfit(reason.into()))
}

/// The problem of whoever names the module: "component \"hello\"", for example.
pub(crate) fn problem(owner: &str, path: &std::path::Path, error: ModuleError) -> Problem {
    let help = match error {
        ModuleError::Program => {
            "export an HTTP handler instead: build it with a Spin SDK, for the target wasm32-wasip2"
        }
        ModuleError::Older(_) => "build it with spin-sdk 5 or newer, for the target wasm32-wasip2",
        ModuleError::NoWasm | ModuleError::Malformed(_) | ModuleError::NoInterfaces | ModuleError::Unfit(_) => {
            "build it for the target wasm32-wasip2"
        }
    };
    let what = format!("{owner} is no component: {}", path.display());
    Problem::new(ProblemKind::File, what, help).caused_by(Chained(error))
}

/// What a core module says about itself.
#[derive(Default)]
struct Found {
    /// It carries the interfaces that bindings were made for.
    interfaces: bool,
    program: bool,
    older: Option<&'static str>,
}

impl Found {
    fn read(module: &[u8]) -> Result<Self, wasmparser::BinaryReaderError> {
        let mut found = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::CustomSection(section) => found.interfaces |= section.name().starts_with("component-type"),
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let name = export?.name;
                        found.program |= name == "_start";
                        let older = OLDER.iter().find(|(function, _)| *function == name);
                        found.older = found.older.or(older.map(|(_, interface)| *interface));
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{CodeSection, ExportKind, ExportSection, Function, FunctionSection, Module, TypeSection};

    /// A module that exports a function without parameters under this name.
    fn exporting(name: &str) -> Vec<u8> {
        let (mut types, mut functions) = (TypeSection::new(), FunctionSection::new());
        types.ty().function([], []);
        functions.function(0);
        let (mut exports, mut code) = (ExportSection::new(), CodeSection::new());
        exports.export(name, ExportKind::Func, 0);
        let mut body = Function::new([]);
        body.instructions().end();
        code.function(&body);
        let mut module = Module::new();
        module.section(&types).section(&functions).section(&exports).section(&code);
        module.finish()
    }

    #[test]
    fn a_module_that_can_be_no_component_is_refused_for_what_it_is() {
        assert!(matches!(component(exporting("_start")), Err(ModuleError::Program)));
        assert!(matches!(component(exporting("handle-http-request")), Err(ModuleError::Older("inbound-http"))));
        assert!(matches!(component(exporting("run")), Err(ModuleError::NoInterfaces)));
        let mut cut = exporting("run");
        cut.truncate(cut.len() - 1);
        assert!(matches!(component(cut), Err(ModuleError::Malformed(_))));
    }

    #[test]
    fn a_component_goes_through_and_what_is_no_webassembly_does_not() {
        let component_header = b"\0asm\x0d\0\x01\0".to_vec();
        assert_eq!(component(component_header.clone()).unwrap(), component_header);
        assert!(matches!(component(b"junk".to_vec()), Err(ModuleError::NoWasm)));
    }
}
