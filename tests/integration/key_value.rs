//! Key-value stores, as components of every version of their interfaces use them.

use bobbin_tests::{Result, TestApp, TestHost};
use futures::future::try_join_all;
use serde_json::{Value, json};
use std::fs;

/// Every interface with the operations of all.
const INTERFACES: [&str; 4] = ["/s3/kv/v3", "/s3/kv/wasi", "/s5/kv/v1", "/s5/kv/v2"];

async fn start() -> Result<(TestApp, TestHost)> {
    let app = TestApp::stores(|manifest| manifest)?;
    let host = TestHost::of(&app.manifest()).start().await?;
    Ok((app, host))
}

fn sorted(keys: &Value) -> Vec<String> {
    let keys = keys["ok"].as_array().cloned().unwrap_or_default();
    let keys = keys.first().filter(|first| first.is_array()).and_then(Value::as_array).cloned().unwrap_or(keys);
    let mut keys: Vec<String> = keys.iter().filter_map(|key| key.as_str().map(str::to_owned)).collect();
    keys.sort();
    keys
}

#[tokio::test]
async fn a_label_that_nobody_defines_is_refused_by_name() -> Result {
    let app = TestApp::stores(|text| text.replace("[\"default\"]\nsqlite", "[\"default\", \"shelf\"]\nsqlite"))?;
    let error = TestHost::of(&app.manifest()).refused().await?;
    for part in ["spin.toml:19:", "\"stores\"", "\"shelf\"", "[key_value_store.shelf]", "--runtime-config-file"] {
        assert!(error.contains(part), "{part} is missing: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn what_was_set_survives_a_crash_of_the_host() -> Result {
    let app = TestApp::stores(|manifest| manifest)?;
    let state = app.path().join(".bobbin");
    let host = TestHost::of(&app.manifest()).state_dir(&state).start().await?;
    host.ask("/s3/kv/v3/set?store=default&key=k", "kept").await?;
    host.kill().await?;
    let host = TestHost::of(&app.manifest()).state_dir(&state).start().await?;
    assert_eq!(host.ask("/s5/kv/v2/get?store=default&key=k", "").await?, json!({"ok": "kept"}));
    Ok(())
}

#[tokio::test]
async fn many_keys_are_streamed_and_a_guest_may_let_go_of_the_stream() -> Result {
    let (_app, host) = start().await?;
    assert_eq!(host.ask("/s3/kv/v3/set-many?store=default&count=1000", "v").await?, json!({"ok": 1000}));
    for interface in INTERFACES {
        let keys = host.ask(&format!("{interface}/keys?store=default"), "").await?;
        assert_eq!(sorted(&keys).len(), 1000, "{interface}");
    }
    assert_eq!(host.ask("/s3/kv/v3/first-key?store=default", "").await?, json!({"ok": "key0"}));
    Ok(())
}

#[tokio::test]
async fn requests_use_a_store_at_the_same_time_and_no_increment_is_lost() -> Result {
    let (_app, host) = start().await?;
    let add =
        async |number: i64| host.ask(&format!("/s3/kv/wasi/increment?store=default&key=n&delta={number}"), "").await;
    try_join_all((0..50).map(|_| add(2))).await?;
    assert_eq!(add(-1).await?, json!({"ok": 99}));
    let set =
        async |number: usize| host.ask(&format!("/s5/kv/v2/set?store=default&key=k{number}"), "x".repeat(10_000)).await;
    try_join_all((0..50).map(set)).await?;
    assert_eq!(sorted(&host.ask("/s3/kv/v3/keys?store=default", "").await?).len(), 51);
    Ok(())
}

#[tokio::test]
async fn what_a_guest_makes_the_host_hold_is_bounded() -> Result {
    let app = TestApp::stores(|text| {
        format!("{text}\n[application.trigger.bobbin.limits]\naccount_bytes = 8388608\nbody_bytes = 8388608\n")
    })?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let opened = host.ask("/s3/kv/v3/open-many?store=default&count=100000", "").await?;
    assert!(opened["error"].as_str().is_some_and(|error| error.contains("StoreTableFull")), "{opened}");
    // Four values of 1 MiB at once fit, and twenty do not; the guest hears of it, and so nobody else.
    let value = "x".repeat(1 << 20);
    assert_eq!(host.ask("/s3/kv/v3/set-many?store=default&count=1", value.clone()).await?, json!({"ok": 1}));
    let many = host.ask("/s3/kv/v3/set-many?store=default&count=20", value).await?;
    assert!(many["error"].as_str().is_some_and(|error| error.contains("Other")), "{many}");
    assert_eq!(host.ask("/s3/kv/v3/set?store=default&key=k", "v").await?, json!({"ok": null}));
    Ok(())
}

#[tokio::test]
async fn a_store_that_is_full_says_so_and_takes_values_again_once_others_are_deleted() -> Result {
    let limits = "[application.trigger.bobbin.limits]\nkey_value_bytes = 1048576\nbody_bytes = 4194304\n";
    let app = TestApp::stores(|text| format!("{text}\n{limits}"))?;
    let host = TestHost::of(&app.manifest()).start().await?;
    for interface in INTERFACES {
        let of = |operation: &str, key: &str| format!("{interface}/{operation}?store=default&key={key}");
        assert_eq!(host.ask(&of("set", "fits"), "x".repeat(700_000)).await?, json!({"ok": null}), "{interface}");
        let full = host.ask(&of("set", "more"), "x".repeat(700_000)).await?;
        assert!(full["error"].as_str().is_some_and(|error| error.contains("the store is full")), "{interface}: {full}");
        assert_eq!(host.ask(&of("exists", "fits"), "").await?, json!({"ok": true}), "{interface}");
        host.ask(&of("delete", "fits"), "").await?;
        assert_eq!(host.ask(&of("set", "more"), "x".repeat(700_000)).await?, json!({"ok": null}), "{interface}");
        host.ask(&of("delete", "more"), "").await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_runtime_configuration_puts_stores_into_other_files_and_into_memory() -> Result {
    let app = TestApp::stores(|text| text.replace("[\"default\"]\nsqlite", "[\"default\", \"memory\"]\nsqlite"))?;
    let config = app.path().join("rc.toml");
    fs::write(
        &config,
        "[key_value_store.default]\ntype = \"spin\"\npath = \"shelves/kv.db\"\n[key_value_store.memory]\ntype = \"spin\"\n",
    )?;
    let state = app.path().join(".bobbin");
    let start = async || {
        let host = TestHost::of(&app.manifest()).state_dir(&state);
        host.arg("--runtime-config-file").arg(&config.display().to_string()).start().await
    };
    let host = start().await?;
    for store in ["default", "memory"] {
        host.ask(&format!("/s3/kv/v3/set?store={store}&key=k"), store).await?;
        assert_eq!(host.ask(&format!("/s5/kv/v1/get?store={store}&key=k"), "").await?, json!({"ok": store}));
    }
    host.kill().await?;
    assert!(app.path().join("shelves/kv.db").is_file() && !state.join("key_value.sqlite").exists());
    let host = start().await?;
    assert_eq!(host.ask("/s3/kv/v3/get?store=default&key=k", "").await?, json!({"ok": "default"}));
    assert_eq!(host.ask("/s3/kv/v3/get?store=memory&key=k", "").await?, json!({"ok": null}));
    Ok(())
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_is_refused_before_a_port_is_bound() -> Result {
    let app = TestApp::stores(|manifest| manifest)?;
    let state = app.path().join(".bobbin");
    fs::create_dir_all(&state)?;
    fs::write(state.join("key_value.sqlite"), "this is no database, and long enough to be seen as none".repeat(100))?;
    let error = TestHost::of(&app.manifest()).state_dir(&state).refused().await?;
    assert!(error.contains("key_value.sqlite") && error.contains("move the file away"), "{error}");
    Ok(())
}
