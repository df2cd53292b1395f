//! `files`: what a component may read, and that it stays as it was.

use bobbin_tests::{Result, TestApp, TestHost};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// A component of each WASI, with these lines.
fn manifest(lines: &str) -> String {
    let mut text = String::from("spin_manifest_version = 2\n[application]\nname = \"test\"\n");
    for (route, component) in [("/r3", "reader"), ("/r2", "reader-spin5")] {
        let file = component.replace('-', "_");
        text.push_str(&format!(
            "[[trigger.http]]\nroute = \"{route}/...\"\ncomponent = \"{component}\"\n\
             [component.{component}]\n\
             source = \"{{root}}/tests/fixtures/components/target/wasm32-wasip2/release/{file}.wasm\"\n{lines}\n"
        ));
    }
    text
}

fn app(lines: &str) -> Result<TestApp> {
    let app = TestApp::new(&manifest(lines))?;
    for (path, text) in [
        ("site/index.html", "<h1>Hello</h1>"),
        ("site/css/main.css", "h1 {}"),
        ("site/css/print.css", "h1 { color: black }"),
        ("site/.hidden", "dotted"),
        ("site/secret.key", "do not serve"),
        ("notes/one.txt", "one"),
        ("notes/[odd].txt", "odd"),
    ] {
        let path = app.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        fs::write(path, text)?;
    }
    Ok(app)
}

async fn ask(host: &TestHost, path: &str) -> Result<Value> {
    let answer = host.get(path).await?;
    anyhow::ensure!(answer.status() == 200, "{path}: {}: {}", answer.status(), answer.text());
    answer.json()
}

/// Asks both components, which must agree.
async fn ask_both(host: &TestHost, question: &str) -> Result<Value> {
    let (third, second) = (ask(host, &format!("/r3/{question}")).await?, ask(host, &format!("/r2/{question}")).await?);
    assert_eq!(third, second, "{question}");
    Ok(third)
}

#[tokio::test]
async fn guests_read_and_change_nothing() -> Result {
    let app = app("files = [{ source = \"site\", destination = \"/\" }]")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    assert_eq!(ask_both(&host, "list?path=/").await?, json!([".hidden", "css", "index.html", "secret.key"]));
    assert_eq!(ask(&host, "/r3/read-3?path=/css/main.css").await?["text"], "h1 {}");
    for question in ["write?path=/index.html", "write?path=/new", "remove?path=/index.html", "link?path=/index.html"] {
        let refused = ask_both(&host, question).await?;
        assert!(refused["error"].as_str().is_some(), "{question}: {refused}");
    }
    assert!(ask(&host, "/r3/write-3?path=/new").await?["error"].as_str().is_some());
    assert_eq!(ask_both(&host, "read?path=/index.html").await?["text"], "<h1>Hello</h1>");
    for path in ["/../spin.toml", "/css/../../spin.toml", "/etc/passwd", "spin.toml"] {
        let read = ask_both(&host, &format!("read?path={path}")).await?;
        assert!(read["error"].as_str().is_some(), "{path}: {read}");
    }
    assert_eq!(fs::read_to_string(app.path().join("site/index.html"))?, "<h1>Hello</h1>");
    Ok(())
}

#[tokio::test]
async fn what_is_served_does_not_change_until_the_host_starts_again() -> Result {
    let app = app("files = [{ source = \"site\", destination = \"/\" }]")?;
    let state = tempfile::tempdir()?;
    let host = TestHost::of(&app.manifest()).state_dir(state.path()).start().await?;
    let page = app.path().join("site/index.html");
    fs::write(&page, "changed")?;
    fs::remove_file(app.path().join("site/css/main.css"))?;
    assert_eq!(ask_both(&host, "read?path=/index.html").await?["text"], "<h1>Hello</h1>");
    assert_eq!(ask_both(&host, "read?path=/css/main.css").await?["text"], "h1 {}");
    host.kill().await?;
    let host = TestHost::of(&app.manifest()).state_dir(state.path()).start().await?;
    assert_eq!(ask_both(&host, "read?path=/index.html").await?["text"], "changed");
    assert!(ask_both(&host, "read?path=/css/main.css").await?["error"].as_str().is_some(), "it is left from before");
    Ok(())
}

#[tokio::test]
async fn what_the_host_keeps_is_nobodys_to_read() -> Result {
    let app = app("files = [\"**/*\"]")?;
    let state = app.path().join(".bobbin");
    for _start in 0..2 {
        let host = TestHost::of(&app.manifest()).state_dir(&state).start().await?;
        assert_eq!(ask_both(&host, "read?path=/notes/one.txt").await?["text"], "one");
        assert!(ask_both(&host, "read?path=/spin.toml").await?["text"].as_str().is_some());
        let seen = ask_both(&host, "list?path=/.bobbin").await?;
        assert!(seen["error"].as_str().is_some(), "the state folder is mounted: {seen}");
        host.kill().await?;
    }
    Ok(())
}

#[tokio::test]
async fn no_link_leads_out_of_the_application() -> Result {
    let outside = tempfile::tempdir()?;
    fs::write(outside.path().join("secret"), "the host's own")?;
    let secret = outside.path().join("secret");
    let app = app("files = [\"site/**/*\"]")?;
    // One that stays inside is followed.
    symlink("index.html", app.path().join("site/start.html"))?;
    let host = TestHost::of(&app.manifest()).start().await?;
    assert_eq!(ask_both(&host, "read?path=/site/start.html").await?["text"], "<h1>Hello</h1>");
    drop(host);
    symlink(&secret, app.path().join("site/leak"))?;
    let error = TestHost::of(&app.manifest()).refused().await?;
    assert!(error.contains("site/leak") && error.contains(&secret.display().to_string()), "{error}");
    assert!(error.contains("spin.toml:9:") && error.contains("\"site/**/*\""), "{error}");
    fs::remove_file(app.path().join("site/leak"))?;
    symlink(outside.path(), app.path().join("site/folder"))?;
    match TestHost::of(&app.manifest()).start().await {
        Ok(host) => assert!(ask_both(&host, "read?path=/site/folder/secret").await?["error"].as_str().is_some()),
        Err(error) => assert!(error.to_string().contains("site/folder/secret"), "{error}"),
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_mounted_is_refused_with_the_entry_its_line_and_the_next_step() -> Result {
    for (lines, parts) in [
        ("files = [\"no/such.txt\"]", &["there is no file or folder", "no/such.txt"][..]),
        ("files = [\"../*\"]", &["\"../*\"", "leads out of the application's folder"]),
        ("files = [\"/etc/hostname\"]", &["\"/etc/hostname\"", "leads out of the application's folder"]),
        ("files = [{ source = \"..\", destination = \"/\" }]", &["\"..\"", "leads out of the application's folder"]),
        ("files = [{ source = \"notes/one.txt\", destination = \"/\" }]", &["the destination \"/\" names a folder"]),
        ("files = [{ source = \"notes/one.txt\", destination = \"/a/\" }]", &["\"/a/\" names a folder", "file.txt"]),
    ] {
        let app = app(lines)?;
        let error = TestHost::of(&app.manifest()).refused().await?;
        for part in parts.iter().chain(&["spin.toml:9:", "help:"]) {
            assert!(error.contains(part), "{lines}: \"{part}\" is missing in {error}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn files_are_bounded_in_number_and_size() -> Result {
    for (limit, part) in [("mounted_files = 3", "more than 3 files"), ("mounted_bytes = 20", "more than 20 bytes")] {
        let lines = "files = [{ source = \"site\", destination = \"/\" }]";
        let app = app(&format!("{lines}\n[application.trigger.bobbin.limits]\n{limit}\n"))?;
        // The limits once, and not for each component.
        let text = fs::read_to_string(app.manifest())?;
        let table = format!("[application.trigger.bobbin.limits]\n{limit}\n");
        fs::write(app.manifest(), format!("{}{table}", text.replace(&table, "")))?;
        let error = TestHost::of(&app.manifest()).refused().await?;
        assert!(error.contains(part) && error.contains("\"site\""), "{limit}: {error}");
        assert!(error.contains("spin.toml:9:") && error.contains("exclude_files"), "{limit}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_guest_opens_only_so_many_files_and_others_go_on() -> Result {
    let app = app("files = [\"notes/one.txt\"]")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    for path in ["/r3", "/r2"] {
        assert_eq!(ask(&host, &format!("{path}/open?path=/notes/one.txt&count=40")).await?["open"], 40);
        let greedy = host.get(&format!("{path}/open?path=/notes/one.txt&count=100000")).await?;
        assert!(greedy.status() == 500 || greedy.json()?["error"].as_str().is_some(), "{}", greedy.text());
        assert_eq!(ask(&host, &format!("{path}/read?path=/notes/one.txt")).await?["text"], "one");
    }
    Ok(())
}
