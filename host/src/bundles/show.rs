//! One bundle, as its manifest has it.

use bobbin_bundle::{Bundle, Card, Defaults, FileEntry, Fingerprint, Limits, Manifest};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// For programs: the manifest under its own keys, and what is derived from it.
pub(super) fn json(bundle: &Bundle) -> serde_json::Result<Value> {
    Ok(json!({
        "bundle": bundle.id(),
        "folder": bundle.folder().to_string_lossy(),
        "digest": bundle.digest().to_string(),
        "size": bundle.manifest().size(),
        "manifest": shortest(bundle.manifest())?,
    }))
}

/// As it would be written: numbers of 32 bits are not drawn out to 64 (0.8, not 0.800000011920929).
fn shortest(value: &impl Serialize) -> serde_json::Result<Value> {
    serde_json::from_str(&serde_json::to_string(value)?)
}

/// For people. Ends in a newline.
pub(super) fn text(bundle: &Bundle) -> String {
    let manifest = bundle.manifest();
    let mut page = Page(format!("{}  {}  {}\n", bundle.id(), manifest.kind, manifest.encoding));
    page.line("folder", &bundle.folder().display().to_string());
    page.line("digest", &bundle.digest().to_string());
    page.line("size", &format!("{} bytes", manifest.size()));
    page.line("limits", &limits(manifest.limits));
    page.line("defaults", &defaults(&manifest.defaults));
    page.line("prompt", &prompt(manifest));
    page.line("warm-up", &counted(manifest.warm_up.prompts.len(), "prompt"));
    page.line("fingerprint", &manifest.fingerprint.as_ref().map_or_else(|| "none".into(), fingerprint));
    page.files(&manifest.files);
    page.card(&manifest.card);
    page.0
}

struct Page(String);

impl Page {
    fn line(&mut self, label: &str, rest: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "  {label:<12}  {}", one_line(rest));
    }

    fn files(&mut self, files: &[FileEntry]) {
        self.0.push_str("\n  files\n");
        let width = files.iter().map(|file| file.path.chars().count()).max().unwrap_or(0);
        for FileEntry { path, role, sha256, size } in files {
            let role = role.to_string();
            let _ = writeln!(self.0, "    {role:<9}  {path:<width$}  {size} bytes  {sha256}");
        }
    }

    fn card(&mut self, card: &Card) {
        self.0.push_str("\n  card\n");
        for (label, text) in [
            ("licence", card.licence.as_str()),
            ("languages", &card.languages.join(", ")),
            ("base model", &card.base_model),
            ("data", &card.data),
            ("intended use", &card.intended_use),
            ("limits", &card.limits),
        ] {
            let _ = writeln!(self.0, "    {label:<12}  {}", one_line(text));
        }
        for evaluation in &card.evaluations {
            let (name, method) = (one_line(&evaluation.name), one_line(&evaluation.method));
            let _ = writeln!(self.0, "    {:<12}  {name} {} ({method})", "evaluation", evaluation.value);
        }
    }
}

/// Texts of a card may have lines of their own, and come from elsewhere.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn limits(limits: Limits) -> String {
    let Limits { context, parallel, threads } = limits;
    let threads = threads.map_or_else(String::new, |threads| format!(", threads {threads}"));
    format!("context {context}, parallel {parallel}{threads}")
}

fn defaults(defaults: &Defaults) -> String {
    let Ok(Value::Object(options)) = shortest(defaults) else { return "none".into() };
    let options: Vec<String> = options.iter().map(|(name, value)| format!("{name} {value}")).collect();
    if options.is_empty() { "none".into() } else { options.join(", ") }
}

fn prompt(manifest: &Manifest) -> String {
    let prefix =
        manifest.prompt.prefix.as_ref().map(|prefix| format!("prefix of {} characters", prefix.chars().count()));
    let template = manifest
        .prompt
        .template
        .as_ref()
        .map_or_else(|| "the weights' own template, if they have one".to_owned(), |path| format!("template {path}"));
    prefix.into_iter().chain([template]).collect::<Vec<_>>().join(", ")
}

fn fingerprint(fingerprint: &Fingerprint) -> String {
    let tokens: usize = fingerprint.sequences.iter().map(|sequence| sequence.tokens.len()).sum();
    let sequences = counted(fingerprint.sequences.len(), "sequence");
    format!("{sequences}, {}, log-probabilities within {}", counted(tokens, "token"), fingerprint.tolerance)
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
