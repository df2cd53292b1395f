//! Streams of stories from a host, and whose words they have.

use crate::host::Host;
use anyhow::{Context, Result};
use bobbin_tests::{Stories, Story, repository_root};
use serde_json::json;
use std::collections::BTreeSet;

/// Streams that have one story after another told to them by a route.
pub(crate) fn load(host: &Host, path: &str, streams: u64, max_tokens: u32) -> Stories {
    let (http, url) = (host.http.clone(), host.url(path));
    Stories::start(streams, move |seed| {
        let ask = json!({"prompt": "Once upon a time", "max_tokens": max_tokens, "stream": true, "seed": seed});
        http.post(&url).body(ask.to_string())
    })
}

/// Words that only one version's stories have.
pub(crate) struct Themes {
    meadow: BTreeSet<String>,
    sea: BTreeSet<String>,
}

impl Themes {
    pub(crate) fn read() -> Result<Self> {
        let recipe = repository_root().join("models/recipes/storyteller");
        let file = |name: &str| {
            let path = recipe.join(name);
            std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
        };
        // A theme is lists of phrases: what stands in quotes.
        let theme = |name: &str| Result::<_>::Ok(words(&quoted(&file(name)?)));
        let (meadow, sea, plots) =
            (theme("themes/meadow.toml")?, theme("themes/sea.toml")?, words(&file("plots.txt")?));
        let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
            one.iter().filter(|word| !other.contains(*word) && !plots.contains(*word)).cloned().collect()
        };
        Ok(Self { meadow: only(&meadow, &sea), sea: only(&sea, &meadow) })
    }

    /// How many words of its own theme a story has, and which of the other.
    pub(crate) fn of(&self, story: &Story) -> (usize, Vec<String>) {
        let sea = story.header.ends_with("@1.1.0");
        let (own, other) = if sea { (&self.sea, &self.meadow) } else { (&self.meadow, &self.sea) };
        let words = words(&story.text);
        (words.intersection(own).count(), words.intersection(other).cloned().collect())
    }
}

fn quoted(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(|line| line.split('"').skip(1).step_by(2)).collect::<Vec<_>>().join(" ")
}

fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_alphabetic()).filter(|word| word.len() > 2);
    words.map(str::to_lowercase).collect()
}
