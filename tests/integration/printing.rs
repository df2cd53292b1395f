//! What components print: in the host's log with their names, and in files.

use bobbin_tests::{Result, TestApp, TestHost, eventually};
use std::fs;
use std::path::Path;

const MANIFEST: &str = r#"
spin_manifest_version = 2

[application]
name = "prints"

[[trigger.http]]
route = "/one/..."
component = "one"

[[trigger.http]]
route = "/two/..."
component = "two"

[component.one]
source = "{root}/tests/fixtures/components/target/wasm32-wasip2/release/tally.wasm"

[component.two]
source = "{root}/tests/fixtures/components/target/wasm32-wasip2/release/tally.wasm"
"#;

/// Has both components print their first line, and returns the host's log once the files have it.
async fn printed(args: &[&str], files: Option<&Path>) -> Result<String> {
    let app = TestApp::new(MANIFEST)?;
    let state = app.path().join("state");
    let logs = state.join("logs");
    let folder = files.or_else(|| (!args.contains(&"--log-dir")).then_some(&logs));
    let before = folder.and_then(|folder| read(folder, "two"));
    let host = args.iter().fold(TestHost::of(&app.manifest()).state_dir(&state), |host, arg| host.arg(arg));
    let host = host.start().await?;
    for path in ["/one/count", "/two/count"] {
        assert_eq!(host.get(path).await?.text(), "1");
    }
    match folder {
        Some(folder) => {
            // What a run before this one has written is no sign of this one's line.
            let written = |text: &String| text.ends_with("answer 1\n") && Some(text) != before.as_ref();
            eventually(async || Ok(read(folder, "two").filter(written).map(drop))).await?;
        }
        None => assert!(!logs.exists(), "there are files that nobody asked for"),
    }
    Ok(host.log())
}

fn read(folder: &Path, component: &str) -> Option<String> {
    fs::read_to_string(folder.join(format!("{component}_stdout.txt"))).ok()
}

fn shown(log: &str, component: &str) -> bool {
    log.lines().any(|line| line.contains(&format!("component={component}")) && line.contains("answer 1"))
}

#[tokio::test]
async fn lines_are_shown_with_the_components_name_and_kept_in_the_state_folder() -> Result {
    let log = printed(&[], None).await?;
    assert!(shown(&log, "one") && shown(&log, "two"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_quiet_host_shows_nothing_and_one_that_follows_a_component_shows_that() -> Result {
    let log = printed(&["--quiet"], None).await?;
    assert!(!shown(&log, "one") && !shown(&log, "two"), "{log}");
    let log = printed(&["--follow", "two"], None).await?;
    assert!(!shown(&log, "one") && shown(&log, "two"), "{log}");
    Ok(())
}

#[tokio::test]
async fn files_go_where_they_are_wanted_go_on_after_a_restart_and_begin_anew_when_asked() -> Result {
    let folder = tempfile::tempdir()?;
    let at = folder.path().display().to_string();
    for expected in ["answer 1\n", "answer 1\nanswer 1\n"] {
        printed(&["--log-dir", &at], Some(folder.path())).await?;
        assert_eq!(read(folder.path(), "two").as_deref(), Some(expected));
    }
    printed(&["--log-dir", &at, "--truncate-logs"], Some(folder.path())).await?;
    assert_eq!(read(folder.path(), "two").as_deref(), Some("answer 1\n"));
    printed(&["--log-dir", ""], None).await?;
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_followed_or_written_is_refused_by_name() -> Result {
    let app = TestApp::new(MANIFEST)?;
    let refused = TestHost::of(&app.manifest()).arg("--follow").arg("three").refused().await?;
    assert!(refused.contains("\"three\"") && refused.contains("one, two"), "{refused}");
    let refused = TestHost::of(&app.manifest()).arg("--log-dir").arg("/dev/null/logs").refused().await?;
    assert!(refused.contains("/dev/null/logs") && refused.contains("--log-dir"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn an_instance_gets_no_more_memory_than_the_operator_allows() -> Result {
    let app = TestApp::new(MANIFEST)?;
    let refused = TestHost::of(&app.manifest()).arg("--max-instance-memory").arg("65536").refused().await?;
    assert!(refused.contains("guest_memory_bytes") || refused.contains("memory"), "{refused}");
    let config = app.path().join("rc.toml");
    fs::write(&config, "max_instance_memory = 65536\n")?;
    let refused = TestHost::of(&app.manifest()).arg("--runtime-config-file").arg(&config.display().to_string());
    assert!(refused.refused().await?.contains("memory"));
    let host = TestHost::of(&app.manifest()).arg("--max-instance-memory").arg("33554432").start().await?;
    assert_eq!(host.get("/one/allocate").await?.text(), "1");
    Ok(())
}
