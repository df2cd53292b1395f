//! `[component.<id>.build]`: how a component is built.

use std::path::{Path, PathBuf};

use crate::reader::{Node, Table};

/// How a component is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The shell commands, in order. At least one.
    pub commands: Vec<String>,
    /// Where they run, relative to the manifest; none is the manifest's folder.
    pub workdir: Option<String>,
    /// Paths and patterns that a watching build looks at, relative to `workdir`.
    pub watch: Vec<String>,
}

pub(crate) fn read(mut table: Table<'_>) -> Option<Build> {
    let commands = commands(&mut table);
    let workdir = table.string("workdir").map(|text| text.value);
    let watch = table.strings("watch").into_iter().map(|text| text.value).collect();
    table.finish();
    Some(Build { commands: commands?, workdir, watch })
}

impl Build {
    /// Where the commands run, for a manifest in `root`.
    #[must_use]
    pub fn folder(&self, root: &Path) -> PathBuf {
        self.workdir.as_ref().map_or_else(|| root.to_owned(), |workdir| root.join(workdir))
    }
}

/// The commands of a build: one string, or an array of them.
pub(crate) fn commands(table: &mut Table<'_>) -> Option<Vec<String>> {
    let node = table.required("command", "command = \"cargo build --target wasm32-wasip2 --release\"")?;
    let commands: Vec<String> = match (node.is_string(), node.is_array()) {
        (true, _) => vec![node.string()?.value],
        (_, true) => node.strings().into_iter().map(|text| text.value).collect(),
        _ => return node.wrong_type("a command, or an array of commands"),
    };
    let blank = commands.iter().any(|command| command.trim().is_empty());
    if commands.is_empty() || blank {
        refuse_blank(&node);
        return None;
    }
    Some(commands)
}

fn refuse_blank(node: &Node<'_>) {
    let what = format!("`{}` is empty", node.name);
    node.found.schema(node.place, what, "write the command that builds the component, or remove the table");
}
