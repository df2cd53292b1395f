//! Generated from the vendored WIT, one module for each version.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]

pub(super) mod v2 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/fermyon-spin@2.0.0",
        inline: "package bobbin:host; world guest { import fermyon:spin/mqtt@2.0.0; }",
        world: "bobbin:host/guest",
        imports: { default: async | trappable },
        with: { "fermyon:spin/mqtt.connection": crate::spin::mqtt::OpenMqtt },
    });
}

pub(super) mod v3 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/spin-mqtt@3.0.0",
        inline: "package bobbin:host; world guest { import spin:mqtt/mqtt@3.0.0; }",
        world: "bobbin:host/guest",
        imports: { default: async | trappable },
        with: { "spin:mqtt/mqtt.connection": crate::spin::mqtt::OpenMqtt },
    });
}
