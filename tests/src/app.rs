//! Applications made for one test: a folder with a spin.toml, and a repository of bundles.

use crate::Result;
use crate::bundle::{BundleText, manifest, write_bundle};
use crate::paths::repository_root;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::{fs, io};
use tempfile::TempDir;

/// A folder with an application of its own.
#[derive(Debug)]
pub struct TestApp {
    folder: TempDir,
}

impl TestApp {
    /// A folder with this manifest, and `models` beside it with the example's bundles.
    ///
    /// `{root}` in the manifest stands for the repository's root.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn new(manifest: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let root = repository_root();
        let manifest = manifest.replace("{root}", &root.display().to_string());
        fs::write(folder.path().join("spin.toml"), manifest)?;
        copy(&root.join("models/storyteller"), &folder.path().join("models/storyteller"))?;
        Ok(Self { folder })
    }

    /// An application of one component of the fixtures, which may ask for the model `story`.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn of_component(component: &str, route: &str) -> Result<Self> {
        Self::new(&format!(
            r#"
spin_manifest_version = 2

[application]
name = "one"
version = "0.1.0"

[application.trigger.bobbin.releases]
story = "storyteller@1.0.0"

[[trigger.http]]
route = "{route}"
component = "{component}"

[component.{component}]
source = "{{root}}/tests/fixtures/components/target/wasm32-wasip2/release/{component}.wasm"
ai_models = ["story"]
"#
        ))
    }

    /// The application of [`TestHost::stories`](crate::TestHost::stories), with more manifest text at its end.
    ///
    /// # Errors
    /// When files cannot be read or written.
    pub fn stories(more: &str) -> Result<Self> {
        // What is said twice is an error, and `models` is the repository that nobody has to name.
        let stories = fixture("stories.toml")?.replace("[application.trigger.bobbin]\nrepository = \"models\"\n", "");
        Self::new(&format!("{stories}\n{more}"))
    }

    /// The fixtures' application, with limits such as `"guest_cpu_seconds = 1"`, one a line.
    ///
    /// # Errors
    /// When files cannot be read or written.
    pub fn fixtures(limits: &str) -> Result<Self> {
        let fixtures = fixture("spin.toml")?;
        Self::new(&format!("{fixtures}\n[application.trigger.bobbin.limits]\n{limits}\n"))
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Its manifest.
    #[must_use]
    pub fn manifest(&self) -> PathBuf {
        self.path().join("spin.toml")
    }

    /// A bundle's folder in it.
    #[must_use]
    pub fn bundle(&self, name: &str, version: &str) -> PathBuf {
        self.path().join("models").join(name).join(version)
    }

    /// Adds a bundle whose weights are a copy of this GGUF file, with right digests. Returns its folder.
    ///
    /// # Errors
    /// When files cannot be read or written.
    pub fn add_bundle(&self, name: &str, version: &str, weights: &Path, context: u32) -> Result<PathBuf> {
        let text = BundleText { context, ..TEXT };
        write_bundle(&self.path().join("models"), name, version, text, |mut file| {
            io::copy(&mut fs::File::open(weights)?, &mut file)?;
            Ok(())
        })?;
        Ok(self.bundle(name, version))
    }

    /// Adds a bundle whose weights are so many zeros, in a file that takes no room on the disk. Their digest is not
    /// the manifest's, but that is known only after all of them were hashed. Returns its folder.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn add_hollow_bundle(&self, name: &str, version: &str, size: u64) -> Result<PathBuf> {
        let folder = self.bundle(name, version);
        fs::create_dir_all(&folder)?;
        fs::File::create(folder.join("weights.gguf"))?.set_len(size)?;
        fs::write(folder.join("bundle.toml"), manifest(name, version, NOTHING, size, TEXT))?;
        Ok(folder)
    }

    /// Publishes a changed copy of `storyteller@<of>` under another version, by an atomic rename: `edit` gets the
    /// folder and the text of its `bundle.toml`, with the new version in it, and returns what that becomes. Returns
    /// the bundle's folder.
    ///
    /// # Errors
    /// When files cannot be read or written.
    pub fn publish(&self, version: &str, of: &str, edit: impl FnOnce(&Path, String) -> String) -> Result<PathBuf> {
        let from = self.bundle("storyteller", of);
        let (hidden, target) = (from.with_file_name(format!(".{version}")), from.with_file_name(version));
        copy(&from, &hidden)?;
        let manifest = fs::read_to_string(hidden.join("bundle.toml"))?;
        let manifest = manifest.replace(&format!("version = \"{of}\""), &format!("version = \"{version}\""));
        let manifest = edit(&hidden, manifest);
        fs::write(hidden.join("bundle.toml"), manifest)?;
        fs::rename(&hidden, &target)?;
        Ok(target)
    }

    /// Publishes a copy of `storyteller@<of>` that has this chat template under another version. Returns its folder.
    ///
    /// # Errors
    /// When files cannot be read or written.
    pub fn publish_chat(&self, version: &str, of: &str, template: &str) -> Result<PathBuf> {
        let (sha256, size) = (hex::encode(Sha256::digest(template)), template.len());
        let entry = format!(
            "[[files]]\npath = \"chat.jinja\"\nrole = \"template\"\nsha256 = \"{sha256}\"\nsize = {size}\n\n\
             [prompt]\ntemplate = \"chat.jinja\"\n\n[limits]"
        );
        let mut written = Ok(());
        let folder = self.publish(version, of, |folder, manifest| {
            written = fs::write(folder.join("chat.jinja"), template);
            manifest.replacen("[limits]", &entry, 1)
        })?;
        written?;
        Ok(folder)
    }

    /// Has the manifest's release name another bundle version than `storyteller@1.0.0`.
    ///
    /// # Errors
    /// When the manifest cannot be read or written.
    pub fn release(&self, bundle: &str) -> Result {
        let manifest = fs::read_to_string(self.manifest())?;
        Ok(fs::write(self.manifest(), manifest.replace("storyteller@1.0.0", bundle))?)
    }
}

const TEXT: BundleText = BundleText { context: 64, parallel: 8, more: "" };
/// The digest of a file without bytes.
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A manifest of the fixtures, as [`TestApp::new`] takes it.
fn fixture(name: &str) -> Result<String> {
    let text = fs::read_to_string(repository_root().join("tests/fixtures").join(name))?;
    let text = text.replace("../../models", "models").replace("../../guest-components", "{root}/guest-components");
    Ok(text.replace("\"components/target", "\"{root}/tests/fixtures/components/target"))
}

fn copy(from: &Path, to: &Path) -> Result {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
