//! Where things are: the repository, the folders it builds into, the benchmarks it has.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::process::{Failure, Step};

/// The working tree this task works on, with absolute paths.
pub(crate) struct Project {
    root: PathBuf,
    target: PathBuf,
}

impl Project {
    /// Asks cargo, so that every way of naming a target folder is honoured.
    pub(crate) fn here() -> Result<Self, Failure> {
        let metadata = Step::cargo()
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .or_else("the lines above say why; tasks run as `cargo xtask ..` inside a clone of the repository")
            .output()?;
        let folder = |key| {
            string_field(&metadata, key).map(PathBuf::from).ok_or_else(|| {
                Failure::unready(
                    format!("`cargo metadata` names no `{key}`"),
                    "this cargo is older or newer than the project knows; use the toolchain of the README",
                )
            })
        };
        Ok(Self { root: folder("workspace_root")?, target: folder("target_directory")? })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The workspace of the example components and the guest crate.
    pub(crate) fn guests(&self) -> PathBuf {
        self.root.join("guest-components")
    }

    /// The workspace of the components that only the tests run.
    pub(crate) fn fixtures(&self) -> PathBuf {
        self.root.join("tests/fixtures/components")
    }

    /// The workspace of the components that show the behaviours of Spin's interfaces.
    pub(crate) fn conformance(&self) -> PathBuf {
        self.root.join("tests/conformance")
    }

    /// The component among them that is written in Python.
    pub(crate) fn python(&self) -> PathBuf {
        self.conformance().join("python")
    }

    /// The sources of the console's pages.
    pub(crate) fn pages(&self) -> PathBuf {
        self.root.join("host/ui")
    }

    /// What drives a browser through them.
    pub(crate) fn browser_tests(&self) -> PathBuf {
        self.root.join("tests/ui")
    }

    /// The scripts that use clients which other people made, and what those are.
    pub(crate) fn clients(&self) -> PathBuf {
        self.root.join("tests/clients")
    }

    /// The workspace of the applications that the documentation shows.
    pub(crate) fn examples(&self) -> PathBuf {
        self.root.join("docs/examples")
    }

    /// The folder that the host is built into.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// The host binary, whether or not it was built yet.
    pub(crate) fn bobbin(&self) -> PathBuf {
        self.target.join("release/bobbin")
    }

    /// The names of the benchmarks, sorted; empty without a folder of benchmarks.
    pub(crate) fn benches(&self) -> Result<Vec<String>, Failure> {
        let folder = self.root.join("host/benches");
        let failed = |source| Failure::File {
            action: "list the benchmarks in",
            path: folder.clone(),
            source,
            next: "check that the clone is complete".to_owned(),
        };
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(bench_name(&entry.map_err(failed)?.path()));
        }
        names.sort();
        Ok(names)
    }
}

/// The benchmark that cargo would find at `path`: a source file, or a folder with a `main.rs`.
fn bench_name(path: &Path) -> Option<String> {
    let is_bench = path.extension() == Some(OsStr::new("rs")) || path.join("main.rs").is_file();
    let name = path.file_stem()?.to_str()?;
    is_bench.then(|| name.to_owned())
}

/// The last string value of `key` in cargo's JSON, which is written without spaces.
fn string_field(json: &str, key: &str) -> Option<String> {
    let marker = format!("\"{key}\":\"");
    let (_, rest) = json.rsplit_once(&marker)?;
    let mut value = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return Some(value),
            '\\' => value.push(escaped(&mut characters)?),
            character => value.push(character),
        }
    }
}

fn escaped(characters: &mut std::str::Chars<'_>) -> Option<char> {
    match characters.next()? {
        'n' => Some('\n'),
        't' => Some('\t'),
        'r' => Some('\r'),
        'b' => Some('\u{8}'),
        'f' => Some('\u{c}'),
        'u' => {
            let digits: String = characters.take(4).collect();
            char::from_u32(u32::from_str_radix(&digits, 16).ok()?)
        }
        character => Some(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_from_cargos_json() {
        let json = r#"{"packages":[],"target_directory":"/build/a \"b\"\\c\u00e9","workspace_root":"/src"}"#;
        assert_eq!(string_field(json, "target_directory").unwrap(), "/build/a \"b\"\\cé");
        assert_eq!(string_field(json, "workspace_root").unwrap(), "/src");
        assert_eq!(string_field(json, "build_directory"), None);
        assert_eq!(string_field(r#"{"target_directory":"/cut"#, "target_directory"), None);
    }

    #[test]
    fn cargos_own_json_names_the_folders_of_this_workspace() {
        let project = Project::here().unwrap();
        assert!(project.root().join("host/xtask/Cargo.toml").is_file(), "{}", project.root().display());
        assert!(project.bobbin().is_absolute() && project.bobbin().starts_with(project.target()));
    }

    #[test]
    fn a_benchmark_is_a_source_file_or_a_folder_with_a_main() {
        assert_eq!(bench_name(Path::new("host/benches/story.rs")).unwrap(), "story");
        assert_eq!(bench_name(Path::new("host/benches/README.md")), None);
        assert_eq!(bench_name(Path::new("host/benches/no-such-folder")), None);
    }
}
