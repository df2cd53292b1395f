//! The pages as the host serves them.

use anyhow::Context;
use bobbin_tests::{Result, TestHost, repository_root};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Every file that decides what `host/ui/dist` is.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> Result {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sources(&entry.path(), found)?;
        } else {
            found.push(entry.path());
        }
    }
    Ok(())
}

#[test]
fn the_committed_pages_were_built_from_these_sources() -> Result {
    let ui = repository_root().join("host/ui");
    let mut files = vec![ui.join("build.mjs"), ui.join("package-lock.json"), ui.join("package.json")];
    sources(&ui.join("src"), &mut files)?;
    let mut named = Vec::new();
    for file in files {
        named.push((file.strip_prefix(&ui)?.to_string_lossy().into_owned(), fs::read(&file)?));
    }
    named.sort();
    let mut hash = Sha256::new();
    for (name, bytes) in named {
        hash.update(format!("{name}\0{}\0", bytes.len()));
        hash.update(bytes);
    }
    let built = fs::read_to_string(ui.join("dist/sources.sha256"))?;
    assert_eq!(built.trim(), hex::encode(hash.finalize()), "run `npm run build` in host/ui, and commit dist/");
    Ok(())
}

#[tokio::test]
async fn a_browser_gets_the_console_under_a_strict_policy_and_a_program_the_index() -> Result {
    let host = TestHost::stories().start().await?;
    let url = |path: &str| format!("http://{}{path}", host.admin_addr());
    let client = reqwest::Client::new();
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/console/app.js", "text/javascript; charset=utf-8"),
        ("/console/app.css", "text/css; charset=utf-8"),
        ("/console/icon.svg", "image/svg+xml"),
    ] {
        let page = client.get(url(path)).header("accept", "text/html,*/*;q=0.8").send().await?;
        assert_eq!(page.status(), 200, "{path}");
        let header = |name: &str| page.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        assert_eq!(header("content-type").as_deref(), Some(kind));
        assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"));
        let policy = header("content-security-policy").context("no policy")?;
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    }
    let index = client.get(url("/")).send().await?;
    assert_eq!(index.headers()["content-type"], "application/json");
    let missing = client.get(url("/console/other.js")).send().await?;
    assert_eq!(missing.status(), 404);
    let put = client.put(url("/console/app.js")).send().await?;
    assert_eq!(put.status(), 404);
    Ok(())
}
