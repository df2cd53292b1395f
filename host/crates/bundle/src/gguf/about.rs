//! What a model file says of where it comes from: the `general.*` keys that a card can be made of.
//!
//! llama.cpp reads none of them, so nothing is refused here: a value of another type than the convention's says nothing.
//! What is said is text from elsewhere; it is cut to size, and shown on one line.

use super::metadata::{Metadata, Value};

/// Characters that are kept of a text.
const LONGEST: usize = 400;
/// Entries that are kept of a list.
const MOST: u32 = 16;

/// What a model file says of itself besides what it takes to run it. Whatever it does not say is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct About {
    /// `general.description`.
    pub description: Option<String>,
    /// `general.license`, as written: mostly an identifier of a model hub's, such as `apache-2.0`.
    pub licence: Option<String>,
    /// `general.license.name`, where the licence is one of its own.
    pub licence_name: Option<String>,
    /// `general.languages`.
    pub languages: Vec<String>,
    /// `general.base_model.<n>.*`: the organisation, where it is known, and the name.
    pub base_models: Vec<String>,
    /// `general.dataset.<n>.*`, or `general.datasets`.
    pub datasets: Vec<String>,
    /// `general.finetune`: what for.
    pub finetune: Option<String>,
    /// `<architecture>.pooling_type`: 0 none, 1 mean, 2 first token, 3 last token, 4 a rank.
    pub pooling: Option<u32>,
}

impl About {
    pub(crate) fn read(metadata: &Metadata, pooling: Option<u32>) -> Self {
        let datasets = numbered(metadata, "dataset");
        Self {
            description: text(metadata, "general.description"),
            licence: text(metadata, "general.license"),
            licence_name: text(metadata, "general.license.name"),
            languages: texts(metadata, "general.languages"),
            base_models: numbered(metadata, "base_model"),
            datasets: if datasets.is_empty() { texts(metadata, "general.datasets") } else { datasets },
            finetune: text(metadata, "general.finetune"),
            pooling,
        }
    }
}

fn text(metadata: &Metadata, key: &str) -> Option<String> {
    match metadata.get(key)? {
        Value::Text(text) => one_line(text),
        _ => None,
    }
}

fn texts(metadata: &Metadata, key: &str) -> Vec<String> {
    match metadata.get(key) {
        Some(Value::Texts(texts)) => texts.iter().filter_map(one_line).take(MOST as usize).collect(),
        // Some converters write a single one as it is.
        Some(Value::Text(text)) => one_line(text).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// `general.<kind>.count` things, each with a name, and mostly with an organisation or an address.
fn numbered(metadata: &Metadata, kind: &str) -> Vec<String> {
    let Some(Value::U32(count)) = metadata.get(&format!("general.{kind}.count")) else { return Vec::new() };
    let one = |number: u32| {
        let of = |field: &str| text(metadata, &format!("general.{kind}.{number}.{field}"));
        match (of("organization"), of("name")) {
            (Some(organisation), Some(name)) => Some(format!("{organisation} {name}")),
            (None, Some(name)) => Some(name),
            (_, None) => of("repo_url").or_else(|| of("url")),
        }
    };
    (0..(*count).min(MOST)).filter_map(one).collect()
}

/// The words of a text, without what would move a terminal's cursor; none where there are none.
fn one_line(text: &str) -> Option<String> {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    let line: String = words.join(" ").chars().take(LONGEST).collect();
    (!line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_elsewhere_becomes_one_short_line() {
        assert_eq!(one_line(" a\n\tb\u{1b}[2J ").as_deref(), Some("a b [2J"));
        assert_eq!(one_line(" \n"), None);
        assert_eq!(one_line(&"é".repeat(1000)).map(|line| line.chars().count()), Some(LONGEST));
    }
}
