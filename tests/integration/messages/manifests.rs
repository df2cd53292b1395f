//! Manifests that are wrong, told with their places before anything is bound.

use bobbin_tests::{Result, TestApp, TestHost, fixture_component, repository_root};

/// An application with one trigger, whose lines are given; component `a` is this file. The trigger begins in line 10.
fn application(trigger: &str, component: &str) -> Result<TestApp> {
    TestApp::new(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"bad\"\n[variables]\nserver = {{ default = \"no:address\" }}\n\
         empty = {{ default = \"\" }}\n[component.a]\nsource = \"{component}\"\n\n{trigger}\n"
    ))
}

#[tokio::test]
async fn every_mistake_is_told_with_its_place_and_the_next_step() -> Result {
    let subscriber = fixture_component("subscriber").display().to_string();
    let hello = repository_root().join("guest-components/target/wasm32-wasip2/release/hello.wasm");
    let hello = hello.display().to_string();
    let with = "address = \"redis://127.0.0.1\"";
    let redis = |lines: &str| format!("[[trigger.redis]]\n{lines}");
    let cases: [(String, &str, &[&str]); 12] = [
        (
            redis("channel = \"c\"\ncomponent = \"a\""),
            &subscriber,
            &[":10:1:", "names no server", "[application.trigger.redis]"],
        ),
        (redis(&format!("component = \"a\"\n{with}")), &subscriber, &[":10:1:", "has no `channel`"]),
        (
            redis(&format!("channel = \"\"\ncomponent = \"a\"\n{with}")),
            &subscriber,
            &[":11:11:", "no name for a channel"],
        ),
        (
            redis(&format!("channel = \"{{{{ empty }}}}\"\ncomponent = \"a\"\n{with}")),
            &subscriber,
            &[":11:11:", "its variables are empty"],
        ),
        (redis(&format!("channel = \"c\"\n{with}")), &subscriber, &[":10:1:", "has no `component`"]),
        (
            redis(&format!("channel = \"c\"\ncomponent = \"b\"\n{with}")),
            &subscriber,
            &[":12:13:", "\"b\" is not declared"],
        ),
        (
            redis("channel = \"c\"\ncomponent = \"a\"\naddress = \"http://:hunter2@localhost\""),
            &subscriber,
            &[":13:11:", "no address that can be used", "redis://host"],
        ),
        (
            redis("channel = \"c\"\ncomponent = \"a\"\naddress = \"redis://user:hun/ter2@localhost\""),
            &subscriber,
            &[":13:11:", "it is no URL: invalid port number", "/ is %2F"],
        ),
        (
            redis("channel = \"c\"\ncomponent = \"a\"\naddress = \"{{ server }}\""),
            &subscriber,
            &[":13:11:", "no address that can be used", "a variable in it"],
        ),
        (
            redis(&format!("channel = \"c\"\ncomponent = \"a\"\n{with}\nroute = \"/c\"")),
            &subscriber,
            &[":14:1:", "unknown key `route`"],
        ),
        (
            redis(&format!("channel = \"c\"\ncomponent = \"a\"\n{with}")),
            &hello,
            &[":10:1:", "takes no messages", "fermyon:spin/inbound-redis"],
        ),
        (
            "[[trigger.http]]\nroute = \"/\"\ncomponent = \"a\"".to_owned(),
            &subscriber,
            &[":10:1:", "answers no HTTP", "wasi:http/handler@0.3.0"],
        ),
    ];
    for (trigger, component, parts) in cases {
        let app = application(&trigger, component)?;
        let error = TestHost::of(&app.manifest()).refused().await?;
        for part in parts.iter().chain(&["spin.toml:", "help:"]) {
            assert!(error.contains(part), "\"{part}\" is missing in {error}");
        }
        assert!(!error.contains("hunter2"), "{error}");
    }
    Ok(())
}
