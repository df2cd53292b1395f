//! Chat templates as the families' makers published them. They are other people's and no part of this repository: the test
//! reads them where somebody has put them, and knows them by the sha256 of their text. What Python's Jinja makes of them is
//! beside our own goldens (`templates/published.py`).

use super::*;
use bobbin_bundle::Digest;
use std::path::PathBuf;

const PUBLISHED: &str = include_str!("../templates/published.json");
/// Names a folder with more of them, such as `models/templates` of llama.cpp.
const FOLDER: &str = "BOBBIN_CHAT_TEMPLATES";
/// When set to 1, a family of which there is no template fails the test, instead of being skipped.
const REQUIRE: &str = "BOBBIN_REQUIRE_CHAT_TEMPLATES";
/// Where `cargo xtask test` installs packages that have some.
const INSTALLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/clients/target/templates");
/// Which of them our own templates are to be like, where no tools are offered.
const IMITATED: [(&str, &str); 6] = [
    ("gemma", "Gemma 2"),
    ("llama3", "Llama 3.2"),
    ("mistral", "Mistral Nemo"),
    ("phi3", "Phi 3.5"),
    ("qwen2", "Qwen 2.5"),
    ("qwen3", "Qwen 3"),
];

#[derive(Deserialize)]
struct Published {
    /// Whose conversations it is tried with.
    family: String,
    /// Texts that all make the same, by their sha256, and whose they are.
    templates: BTreeMap<String, String>,
    /// Conversations of which they make what our own template makes.
    alike: Vec<String>,
    /// What they make of others.
    cases: BTreeMap<String, Outcome>,
}

fn goldens() -> BTreeMap<String, Published> {
    serde_json::from_str(PUBLISHED).unwrap()
}

/// Every template in the folders that may have some, by the sha256 of its text.
fn found() -> BTreeMap<String, String> {
    let named = std::env::var_os(FOLDER).map(PathBuf::from);
    let mut folders: Vec<PathBuf> = named.into_iter().chain([PathBuf::from(INSTALLED)]).collect();
    let mut found = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "jinja") {
                let bytes = std::fs::read(path).unwrap();
                found.insert(Digest::of(&bytes).hex(), String::from_utf8(bytes).unwrap());
            }
        }
    }
    found
}

#[test]
fn published_templates_make_what_pythons_jinja_makes_of_them() {
    let found = found();
    for (name, published) in goldens() {
        let mut rendered = 0;
        for (digest, whose) in &published.templates {
            let Some(source) = found.get(digest) else { continue };
            let family = Family::with(&published.family, source);
            let name = format!("{name} ({whose})");
            for title in &published.alike {
                family.check(&name, title, &family.case(title).outcome);
            }
            for (title, outcome) in &published.cases {
                family.check(&name, title, outcome);
            }
            family.makes_no_special_token_of_what_users_write(&name);
            rendered += 1;
        }
        if rendered == 0 {
            let missing = format!("no folder has a template of {name}; name one by {FOLDER}");
            assert!(std::env::var(REQUIRE).as_deref() != Ok("1"), "{missing}");
            println!("skipped: {missing}");
        }
    }
}

#[test]
fn without_tools_our_own_templates_make_what_the_published_ones_make() {
    let goldens = goldens();
    assert_eq!(IMITATED.map(|(own, _)| own), TEMPLATES.map(|(own, _)| own));
    for (own, name) in IMITATED {
        let (family, published) = (Family::new(own), &goldens[name]);
        assert_eq!(published.family, own);
        let without = family.golden.cases.iter().filter(|(_, case)| case.tools.is_none());
        for (title, case) in without {
            let is_alike = match (&case.outcome.prompt, published.cases.get(title)) {
                (Some(_), None) => published.alike.contains(title),
                // Each refuses in its own words.
                (None, Some(other)) => other.refused.is_some(),
                (Some(_), Some(_)) | (None, None) => false,
            };
            assert!(is_alike, "{own} as {name}, {title}");
        }
    }
}
