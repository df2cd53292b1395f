//! What a model file says of itself, as a card: what people should know before they use the model. What nobody knows is
//! said to be unknown, and by which option it may be said.

use super::args::New;
use super::terms;
use bobbin_bundle::gguf::GgufSummary;

/// One entry of a card, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its key in `bundle.toml`.
    pub(super) key: &'static str,
    pub(super) value: String,
    pub(super) from: From,
}

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// The command line.
    Given,
    /// The weights, in this key.
    Weights(&'static str),
    /// Nobody; this option would.
    Nobody(&'static str),
}

/// A card that is suggested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suggested {
    pub(super) entries: Vec<Entry>,
    /// Of the entry `languages`.
    pub(super) languages: Vec<String>,
}

/// What is written where nobody knows.
const UNKNOWN: &str = "unknown";

/// Suggests the card of weights.
pub(super) fn suggest(args: &New, summary: &GgufSummary) -> Suggested {
    let about = &summary.about;
    let licence = about.licence.as_deref().map(|licence| spdx(licence, about.licence_name.as_deref()));
    let languages = match (args.languages.is_empty(), about.languages.is_empty()) {
        (false, _) => (args.languages.clone(), From::Given),
        (true, false) => (about.languages.clone(), From::Weights("general.languages")),
        (true, true) => (vec![UNKNOWN.to_owned()], From::Nobody("--language")),
    };
    let joined = |texts: &[String]| (!texts.is_empty()).then(|| texts.join(", "));
    let entry = |key, given: &Option<String>, weights: Option<String>, of, option| {
        let (value, from) = match (given.clone(), weights) {
            (Some(given), _) => (given, From::Given),
            (None, Some(weights)) => (weights, From::Weights(of)),
            (None, None) => (UNKNOWN.to_owned(), From::Nobody(option)),
        };
        Entry { key, value, from }
    };
    let use_of = about.description.clone().or_else(|| about.finetune.clone());
    let entries = vec![
        entry("licence", &args.licence, licence, "general.license", "--licence"),
        Entry { key: "languages", value: languages.0.join(", "), from: languages.1 },
        entry("base_model", &args.base_model, joined(&about.base_models), "general.base_model", "--base-model"),
        entry("data", &args.data, joined(&about.datasets), "general.dataset", "--data"),
        entry("intended_use", &args.intended_use, use_of, "general.description", "--intended-use"),
        entry("limits", &args.limits, None, "", "--limits"),
    ];
    Suggested { entries, languages: languages.0 }
}

impl Suggested {
    /// The entries that nobody said anything of, with the options that would.
    pub(super) fn unknown(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.entries.iter().filter_map(|entry| match entry.from {
            From::Nobody(option) => Some((entry.key, option)),
            From::Given | From::Weights(_) => None,
        })
    }
}

/// A model hub's identifier of a licence as an SPDX expression.
fn spdx(licence: &str, name: Option<&str>) -> String {
    // Hubs leave out whether later versions of the GPL are meant; the exact one is what is certain.
    if let Some(known) = terms::licence_id(&format!("{licence}-only")).or_else(|| terms::licence_id(licence)) {
        return known.to_owned();
    }
    let other = matches!(licence.to_ascii_lowercase().as_str(), "other" | "unknown" | "");
    let own = if other { name.unwrap_or_default() } else { licence };
    let reference: String = own.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    match reference.trim_matches('-') {
        "" => UNKNOWN.to_owned(),
        reference => format!("LicenseRef-{reference}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hubs_licence_becomes_an_spdx_expression() {
        for (licence, name, expression) in [
            ("apache-2.0", None, "Apache-2.0"),
            ("mit", None, "MIT"),
            ("gpl-3.0", None, "GPL-3.0-only"),
            ("cc-by-nc-4.0", None, "CC-BY-NC-4.0"),
            ("llama3.1", None, "LicenseRef-llama3.1"),
            ("other", Some("Our Own Licence"), "LicenseRef-Our-Own-Licence"),
            ("other", None, "unknown"),
        ] {
            assert_eq!(spdx(licence, name), expression, "{licence}");
        }
    }
}
