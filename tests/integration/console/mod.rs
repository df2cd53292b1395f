//! The operator's console: its pages in a real browser, and what they ask the host.

#![allow(clippy::indexing_slicing, reason = "a key that is not there is null, which no comparison expects")]

mod api;
mod browser;
mod pages;

use bobbin_tests::{Result, TestApp};
use sha2::{Digest, Sha256};
use std::fs;

/// Bytes of the file that makes a bundle slow to verify: a second at the pace that leaves other routes alone.
const BALLAST: usize = 64 << 20;

/// Publishes `storyteller@1.2.0`: as 1.1.0, with a file that takes its time, and a card that would like to be a script.
fn publish_slow_and_wicked(app: &TestApp) -> Result {
    let zeros = vec![0; BALLAST];
    let digest = hex::encode(Sha256::digest(&zeros));
    let mut written = Ok(());
    app.publish("1.2.0", "1.1.0", |folder, manifest| {
        written = fs::write(folder.join("ballast.bin"), &zeros);
        let wicked = "limits = \"<script>window.broken=1</script><img src=x onerror=window.broken=1> Knows";
        let manifest = manifest.replace("limits = \"Knows", wicked);
        assert!(manifest.contains(wicked), "the card has other words by now:\n{manifest}");
        format!(
            "{manifest}\n[[files]]\npath = \"ballast.bin\"\nrole = \"other\"\nsha256 = \"{digest}\"\nsize = {BALLAST}\n"
        )
    })?;
    Ok(written?)
}
