//! The plugin by which Spin runs applications with `[[trigger.bobbin]]`: the binary under another name in an archive,
//! and the manifest that says so.

use std::fs;
use std::path::Path;

use crate::process::{Failure, Progress, Step};
use crate::project::Project;

/// Spin finds the trigger type `bobbin` by this name.
const NAME: &str = "trigger-bobbin";
/// When set to 1, the test of the packed plugin fails where there is none, instead of being skipped.
pub(crate) const REQUIRE: &str = "BOBBIN_REQUIRE_PLUGIN";
/// Versions of Spin that start triggers in the way that the plugin knows.
const SPIN: &str = ">=3.0";

/// Packs the binary that was built, into `target/plugin`.
pub(crate) fn pack(project: &Project, progress: &Progress) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let arch = architecture(std::env::consts::ARCH)?;
    let folder = project.target().join("plugin");
    let staged = folder.join("content");
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| Failure::File { action, path, source, next: "check the folder and its permissions".to_owned() }
    };
    fs::create_dir_all(&staged).map_err(failed("create", &staged))?;
    let binary = staged.join(NAME);
    fs::copy(project.bobbin(), &binary).map_err(failed("write", &binary))?;
    let archive = folder.join(format!("{NAME}-{version}-linux-{arch}.tar.gz"));
    // The same binary makes the same archive, so that its digest can be compared.
    Step::new("tar")
        .within(&staged)
        .args(["--create", "--gzip", "--owner=0", "--group=0", "--mtime=@0", "--mode=755", "--file"])
        .args([archive.as_path(), Path::new(NAME)])
        .or_else("tar and gzip must be installed, and the disk have room")
        .run()?;
    let digest = digest(&archive)?;
    let manifest = folder.join(format!("{NAME}.json"));
    fs::write(&manifest, manifest_text(version, arch, &archive, &digest)).map_err(failed("write", &manifest))?;
    progress.stage(&format!("packed {}", archive.display()));
    progress.stage(&format!("install it with: spin plugins install --file {}", manifest.display()));
    Ok(())
}

/// Spin's word for a processor.
fn architecture(rust: &str) -> Result<&'static str, Failure> {
    match rust {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("aarch64"),
        other => Err(Failure::unready(
            format!("Spin has no word for the processor {other}"),
            "build on one with 64-bit Intel, AMD or ARM",
        )),
    }
}

fn digest(archive: &Path) -> Result<String, Failure> {
    let line = Step::new("sha256sum").args([archive]).or_else("install coreutils").output()?;
    line.split_whitespace()
        .next()
        .map(str::to_owned)
        .ok_or_else(|| Failure::unready("sha256sum printed no digest", "run it on the archive to see what it says"))
}

/// The manifest, in Spin's form. Whoever publishes the archive writes its address in the place of `url`.
fn manifest_text(version: &str, arch: &str, archive: &Path, digest: &str) -> String {
    let url = file_url(archive);
    format!(
        r#"{{
  "name": "{NAME}",
  "description": "Runs applications with [[trigger.bobbin]]: language models as versioned bundles, changed while requests are in flight.",
  "version": "{version}",
  "spinCompatibility": "{SPIN}",
  "license": "Apache-2.0",
  "packages": [
    {{
      "os": "linux",
      "arch": "{arch}",
      "url": "{url}",
      "sha256": "{digest}"
    }}
  ]
}}
"#
    )
}

/// A path as a URL: what means something in one is escaped.
fn file_url(path: &Path) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte);
    let text = path.as_os_str().as_encoded_bytes();
    let escaped = text.iter().map(|byte| match plain(byte) {
        true => char::from(*byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    format!("file://{}", escaped.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_has_what_spin_reads() {
        let text = manifest_text("0.1.0", "amd64", Path::new("/a b/x.tar.gz"), "00ff");
        for part in [
            r#""name": "trigger-bobbin""#,
            r#""version": "0.1.0""#,
            r#""spinCompatibility": ">=3.0""#,
            r#""license": "Apache-2.0""#,
            r#""os": "linux""#,
            r#""arch": "amd64""#,
            r#""url": "file:///a%20b/x.tar.gz""#,
            r#""sha256": "00ff""#,
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }

    #[test]
    fn processors_have_spins_names() {
        assert_eq!(architecture("x86_64").unwrap(), "amd64");
        assert!(architecture("riscv64").is_err());
    }
}
