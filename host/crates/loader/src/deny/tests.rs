//! Refusals of every shape, called for real.

use super::*;
use bobbin_manifest::INHERITABLE;
use wasmtime::component::{Component, Instance, Linker, Val};
use wasmtime::{Engine, Store};
use wit_component::dummy_module;
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

/// Interfaces with every sort of result. Their package is one that needs a grant.
const SHAPES: &str = "
    package wasi:nn@0.2.0;
    interface shapes {
        enum code { timeout, not-found, unknown }
        variant fault { big(u64), access-denied, other(string) }
        variant unusual { small(u8), last(option<string>) }
        record pair { a: u8, b: result<u64, fault> }
        flags few { x, y }
        resource error { code: func() -> code; data: func() -> string; }
        resource thing { constructor(bytes: list<u8>); go: func() -> result<list<string>, error>; }
        nothing: func();
        number: func(text: string, texts: list<string>) -> u64;
        float: func() -> f32;
        many: func() -> list<tuple<string, string>>;
        maybe: func() -> option<string>;
        fails: func(text: string) -> result<u32, fault>;
        plain: func() -> result;
        odd: func() -> unusual;
        nested: func() -> pair;
        flagged: func() -> few;
        opens: func(name: string) -> result<thing, error>;
    }
    interface kept { keep: func() -> u32; }
    world dependency {
        import shapes;
        export kept;
    }";

fn dependency(wit: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("dependency")).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

/// What the functions of an interface answer.
struct Called {
    store: Store<()>,
    instance: Instance,
    interface: &'static str,
}

impl Called {
    fn new(component: &[u8], interface: &'static str) -> Self {
        let engine = Engine::default();
        let component = Component::from_binary(&engine, component).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
        Self { store, instance, interface }
    }

    fn call(&mut self, function: &str, arguments: &[Val], results: usize) -> Vec<Val> {
        let interface = self.instance.get_export_index(&mut self.store, None, self.interface).unwrap();
        let index = self.instance.get_export_index(&mut self.store, Some(&interface), function).unwrap();
        let function = self.instance.get_func(&mut self.store, index).unwrap();
        let mut answers = vec![Val::Bool(false); results];
        function.call(&mut self.store, arguments, &mut answers).unwrap();
        answers
    }

    fn one(&mut self, function: &str, arguments: &[Val]) -> Val {
        self.call(function, arguments, 1).remove(0)
    }
}

fn error(of: Val) -> Val {
    match of {
        Val::Result(Err(Some(error))) => *error,
        other => panic!("no error: {other:?}"),
    }
}

fn text(text: &str) -> Val {
    Val::String(text.to_owned())
}

#[test]
fn every_shape_of_result_is_refused_in_its_own_way() {
    let message = "\"wasi:nn/shapes\" is not permitted";
    let (component, denied) = refuser(&dependency(SHAPES), None).unwrap().unwrap();
    assert_eq!(denied, ["wasi:nn/shapes@0.2.0"]);
    let mut called = Called::new(&component, "wasi:nn/shapes@0.2.0");
    let long = text(&"long ".repeat(100_000));
    // Arguments take memory, which is free again after each call.
    for _ in 0..200 {
        called.call("nothing", &[], 0);
        let numbered = called.one("number", &[long.clone(), Val::List(vec![long.clone()])]);
        assert_eq!(numbered, Val::U64(0));
    }
    assert_eq!(called.one("float", &[]), Val::Float32(0.0));
    assert_eq!(called.one("many", &[]), Val::List(vec![]));
    assert_eq!(called.one("maybe", &[]), Val::Option(None));
    let denied = Val::Variant("access-denied".to_owned(), None);
    assert_eq!(error(called.one("fails", &[text("x")])), denied);
    assert_eq!(called.one("plain", &[]), Val::Result(Err(None)));
    assert_eq!(called.one("odd", &[]), Val::Variant("last".to_owned(), Some(Box::new(Val::Option(None)))));
    assert_eq!(called.one("flagged", &[]), Val::Flags(vec![]));
    let pair = called.one("nested", &[]);
    let nested = Val::Result(Err(Some(Box::new(denied))));
    assert_eq!(pair, Val::Record(vec![("a".to_owned(), Val::U8(0)), ("b".to_owned(), nested)]));
    // An error that is a resource of the interface's own can be asked.
    let opened = error(called.one("opens", &[text("model")]));
    assert_eq!(called.one("[method]error.code", std::slice::from_ref(&opened)), Val::Enum("not-found".to_owned()));
    assert_eq!(called.one("[method]error.data", &[opened]), text(message));
    let thing = called.one("[constructor]thing", &[Val::List(vec![Val::U8(1)])]);
    assert!(matches!(error(called.one("[method]thing.go", &[thing])), Val::Resource(_)));
}

#[test]
fn a_dependency_imports_no_more_what_it_does_not_inherit_and_exports_what_it_did() {
    let bytes = dependency(SHAPES);
    let names = |bytes: &[u8]| {
        let mut composition = Composition::new();
        let part = composition.add("it", bytes).unwrap();
        (composition.imports(&part), composition.exports(&part))
    };
    let kept = vec!["wasi:nn/kept@0.2.0".to_owned()];
    assert_eq!(names(&bytes), (vec!["wasi:nn/shapes@0.2.0".to_owned()], kept.clone()));
    assert_eq!(names(&deny("it", bytes.clone(), None).unwrap()), (vec![], kept));
    let inherit = Inherit::Only(vec!["ai_models".to_owned()]);
    assert_eq!(deny("it", bytes.clone(), Some(&inherit)).unwrap(), bytes);
    assert_eq!(deny("it", bytes.clone(), Some(&Inherit::All(true))).unwrap(), bytes);
}

#[test]
fn functions_of_wasi_3_are_refused_too() {
    let bytes = dependency(
        "package wasi:http@0.3.0;
        interface client {
            resource request {}
            variant code { internal-error(option<string>), other }
            send: async func(request: request) -> result<u32, code>;
            read: func() -> tuple<stream<u8>, future<result<_, code>>>;
        }
        interface kept { keep: async func() -> u32; }
        world dependency { import client; export kept; }",
    );
    let (component, denied) = refuser(&bytes, None).unwrap().unwrap();
    assert_eq!(denied, ["wasi:http/client@0.3.0"]);
    assert!(wit_component::decode(&component).is_ok());
    assert!(deny("it", bytes, None).is_ok());
}

#[test]
fn what_is_no_component_is_refused() {
    assert!(matches!(deny("it", b"junk".to_vec(), None), Err(ComposeError::Deny { .. })));
}

#[test]
fn what_the_manifest_lets_be_inherited_is_what_is_denied_otherwise() {
    assert_eq!(GRANTS.map(|(key, _)| key), INHERITABLE);
}

#[test]
fn an_interface_is_denied_in_every_version_unless_its_key_is_inherited() {
    let only = |key: &str| Some(Inherit::Only(vec![key.to_owned()]));
    for (interface, key) in [
        ("fermyon:spin/llm@2.0.0", "ai_models"),
        ("fermyon:spin/llm", "ai_models"),
        ("wasi:nn/graph@0.2.0-rc-2024-10-28", "ai_models"),
        ("wasi:http/outgoing-handler@0.2.0", "allowed_outbound_hosts"),
        ("wasi:http/client@0.3.0", "allowed_outbound_hosts"),
        ("wasi:sockets/tcp@0.2.6", "allowed_outbound_hosts"),
        ("wasi:cli/environment@0.2.3", "environment"),
        ("wasi:filesystem/preopens@0.3.0", "files"),
        ("wasi:keyvalue/store@0.2.0-draft2", "key_value_stores"),
        ("spin:sqlite/sqlite@3.1.0", "sqlite_databases"),
        ("wasi:config/store@0.2.0-draft-2024-09-27", "variables"),
    ] {
        assert!(is_denied(interface, None), "{interface}");
        assert!(is_denied(interface, Some(&Inherit::All(false))), "{interface}");
        assert!(!is_denied(interface, Some(&Inherit::All(true))), "{interface}");
        assert!(!is_denied(interface, only(key).as_ref()), "{interface}");
        for other in INHERITABLE.into_iter().filter(|other| *other != key) {
            assert!(is_denied(interface, only(other).as_ref()), "{interface} by {other}");
        }
    }
}

#[test]
fn what_grants_nothing_is_never_denied() {
    for interface in [
        "wasi:http/types@0.2.0",
        "wasi:http/handler@0.3.0",
        "wasi:filesystem/types@0.2.0",
        "wasi:clocks/wall-clock@0.2.0",
        "wasi:random/random@0.2.0",
        "wasi:io/streams@0.2.0",
        "own:part/facts",
    ] {
        assert!(!is_denied(interface, None), "{interface}");
    }
}
