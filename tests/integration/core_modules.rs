//! Core modules that can be no components: the host says why.

use bobbin_tests::{Result, TestApp, TestHost};
use std::fs;

fn manifest(source: &str) -> String {
    format!(
        "spin_manifest_version = 2\n[application]\nname = \"test\"\n[[trigger.http]]\nroute = \"/r/...\"\n\
         component = \"module\"\n[component.module]\nsource = \"{source}\"\n\
         files = [\"note.txt\"]\nenvironment = {{ A = \"b\" }}\n"
    )
}

/// A core module that exports a function without parameters under this name.
fn exporting(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    let mut module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0".to_vec();
    module.extend([7, length + 4, 1, length]);
    module.extend(name.as_bytes());
    module.extend(b"\0\0\x0a\x04\x01\x02\0\x0b");
    module
}

#[tokio::test]
async fn a_module_that_can_be_no_component_is_refused_with_the_reason_and_the_next_step() -> Result {
    for (bytes, parts) in [
        (exporting("_start"), ["it is a program", "`wagi`"]),
        (exporting("handle-http-request"), ["inbound-http", "spin-sdk 5"]),
        (exporting("run"), ["does not say which interfaces it has", "wasm32-wasip2"]),
        (b"\0asm\x01\0\0\0\x01\x09".to_vec(), ["cannot be read", "wasm32-wasip2"]),
    ] {
        let app = TestApp::new(&manifest("module.wasm"))?;
        fs::write(app.path().join("note.txt"), "a note")?;
        fs::write(app.path().join("module.wasm"), bytes)?;
        let error = TestHost::of(&app.manifest()).refused().await?;
        for part in parts.iter().chain(&["spin.toml:8:10", "module.wasm", "component \"module\""]) {
            assert!(error.contains(part), "\"{part}\" is missing in {error}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_executor_wagi_is_refused_by_name() -> Result {
    let text = manifest("module.wasm")
        .replace("component = \"module\"\n", "component = \"module\"\nexecutor = { type = \"wagi\" }\n");
    let app = TestApp::new(&text)?;
    fs::write(app.path().join("note.txt"), "a note")?;
    fs::write(app.path().join("module.wasm"), exporting("run"))?;
    let error = TestHost::of(&app.manifest()).refused().await?;
    assert!(error.contains("the executor `wagi` is not supported") && error.contains("help:"), "{error}");
    Ok(())
}
