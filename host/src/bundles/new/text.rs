//! The text of a `bundle.toml`, laid out as people write it.

use super::card::{From, Suggested};
use bobbin_bundle::{FileEntry, Kind, Limits, Role};
use bobbin_inference::wire::Reference;
use semver::Version;
use std::fmt::Write as _;

/// Everything that is written.
pub(super) struct Text<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a Version,
    pub(super) kind: Kind,
    pub(super) files: &'a [FileEntry],
    pub(super) limits: Limits,
    pub(super) prefix: Option<&'a str>,
    pub(super) warm_up: &'a [String],
    /// The tolerance, and what was recorded.
    pub(super) fingerprint: Option<(f32, &'a [Reference])>,
    pub(super) card: &'a Suggested,
}

impl Text<'_> {
    pub(super) fn render(&self) -> String {
        let mut text = format!(
            "format = {}\nname = {}\nversion = {}\nkind = \"{}\"\nencoding = \"ggml\"\n",
            // The oldest that says all this: older hosts read it, too.
            self.limits.format(),
            quoted(self.name),
            quoted(&self.version.to_string()),
            self.kind
        );
        // Writing to a string cannot fail.
        for FileEntry { path, role, sha256, size } in self.files {
            let (path, sha256) = (quoted(path), sha256.hex());
            let _ =
                write!(text, "\n[[files]]\npath = {path}\nrole = \"{role}\"\nsha256 = \"{sha256}\"\nsize = {size}\n");
        }
        let Limits { context, parallel, threads } = self.limits;
        let _ = write!(text, "\n[limits]\ncontext = {context}\nparallel = {parallel}\n");
        if let Some(threads) = threads {
            let _ = writeln!(text, "threads = {threads}");
        }
        self.prompt(&mut text);
        if !self.warm_up.is_empty() {
            let _ = write!(text, "\n[warm_up]\nprompts = {}\n", list(self.warm_up));
        }
        if let Some((tolerance, recorded)) = self.fingerprint {
            fingerprint(&mut text, tolerance, recorded);
        }
        self.card(&mut text);
        text
    }

    fn prompt(&self, text: &mut String) {
        let template = self.files.iter().find(|file| file.role == Role::Template);
        if template.is_none() && self.prefix.is_none() {
            return;
        }
        text.push_str("\n[prompt]\n");
        if let Some(prefix) = self.prefix {
            let _ = writeln!(text, "prefix = {}", quoted(prefix));
        }
        if let Some(template) = template {
            let _ = writeln!(text, "template = {}", quoted(&template.path));
        }
    }

    fn card(&self, text: &mut String) {
        text.push_str("\n[card]\n");
        for entry in &self.card.entries {
            let value = match entry.key {
                "languages" => list(&self.card.languages),
                _ => quoted(&entry.value),
            };
            let from = match entry.from {
                From::Given => String::new(),
                From::Weights(key) => format!("  # from the weights: {key}"),
                From::Nobody(_) => "  # nobody said".to_owned(),
            };
            let _ = writeln!(text, "{} = {value}{from}", entry.key);
        }
    }
}

fn fingerprint(text: &mut String, tolerance: f32, recorded: &[Reference]) {
    let _ = write!(text, "\n[fingerprint]\ntolerance = {tolerance:?}\n");
    for Reference { tokens, logprobs } in recorded {
        let tokens: Vec<String> = tokens.iter().map(ToString::to_string).collect();
        // A zero has no sign that would mean anything.
        let logprobs: Vec<String> = logprobs.iter().map(|value| format!("{:.5}", value + 0.0)).collect();
        let _ = write!(
            text,
            "\n[[fingerprint.sequences]]\ntokens = [{}]\nlogprobs = [{}]\n",
            tokens.join(", "),
            logprobs.join(", ")
        );
    }
}

fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundles::new::card::Entry;
    use bobbin_bundle::{Digest, Manifest};
    use std::path::Path;

    #[test]
    fn what_is_written_reads_back_whatever_is_in_it() {
        let odd = "a \"quoted\" \\ line\nand\ttab \u{7f} \u{1} é";
        let keys = ["licence", "languages", "base_model", "data", "intended_use", "limits"];
        let entry = |key| Entry { key, value: odd.to_owned(), from: From::Weights("general.x") };
        let card = Suggested { entries: keys.map(entry).to_vec(), languages: vec!["en".into(), odd.into()] };
        let file = |path: &str, role| FileEntry { path: path.into(), role, sha256: Digest::of(b"x"), size: 1 };
        let files = [file("w.gguf", Role::Weights), file("chat.jinja", Role::Template)];
        let recorded = [Reference { tokens: vec![1, 2, 3], logprobs: vec![-0.0, -12.345_678] }];
        let limits = Limits { context: 64, parallel: 4, threads: None };
        let mut text = Text {
            name: "tiny",
            version: &Version::new(1, 2, 3),
            kind: Kind::Generate,
            files: &files,
            limits,
            prefix: Some(odd),
            warm_up: &[odd.to_owned()],
            fingerprint: Some((0.35, &recorded)),
            card: &card,
        };
        let read = |text: &Text<'_>| {
            let text = text.render();
            Manifest::parse(&text, Path::new("bundle.toml")).unwrap_or_else(|error| panic!("{error}\n{text}"))
        };
        let manifest = read(&text);
        assert_eq!((manifest.id().as_str(), manifest.card.data.as_str()), ("tiny@1.2.3", odd));
        assert_eq!(manifest.card.languages, ["en", odd]);
        assert_eq!(manifest.prompt.template.as_deref(), Some("chat.jinja"));
        assert_eq!(manifest.prompt.prefix.as_deref(), Some(odd));
        let fingerprint = manifest.fingerprint.unwrap();
        assert_eq!(fingerprint.sequences[0].logprobs, [0.0, -12.34568]);
        assert_eq!(fingerprint.tolerance, 0.35);
        assert_eq!((manifest.format, manifest.limits), (1, limits));
        text.limits.threads = Some(3);
        let manifest = read(&text);
        assert_eq!((manifest.format, manifest.limits), (2, text.limits));
    }
}
