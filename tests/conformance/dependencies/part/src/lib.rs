//! A component without HTTP: others depend on it.

use bindings::exports::conformance::facts::{facts, sums};

#[allow(clippy::all, unused_qualifications)]
mod bindings {
    wit_bindgen::generate!({ path: "../wit", world: "part" });
}

struct Part;

bindings::export!(Part with_types_in bindings);

impl facts::Guest for Part {
    fn fact() -> String {
        "a bobbin holds thread".to_owned()
    }

    fn variable(name: String) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl sums::Guest for Part {
    fn add(a: u32, b: u32) -> u32 {
        a + b
    }
}
