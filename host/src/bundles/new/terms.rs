//! Words of a card that programs read: licences as SPDX expressions, languages as BCP 47 tags.

use language_tags::LanguageTag;
use spdx::Expression;
use spdx::identifiers::{EXCEPTIONS, LICENSES};

/// Languages as people call them, for those who do not know their tags.
const LANGUAGES: &[(&str, &str)] = &[
    ("arabic", "ar"),
    ("bulgarian", "bg"),
    ("chinese", "zh"),
    ("czech", "cs"),
    ("danish", "da"),
    ("dutch", "nl"),
    ("english", "en"),
    ("finnish", "fi"),
    ("french", "fr"),
    ("german", "de"),
    ("greek", "el"),
    ("hebrew", "he"),
    ("hindi", "hi"),
    ("hungarian", "hu"),
    ("indonesian", "id"),
    ("italian", "it"),
    ("japanese", "ja"),
    ("korean", "ko"),
    ("norwegian", "no"),
    ("persian", "fa"),
    ("polish", "pl"),
    ("portuguese", "pt"),
    ("romanian", "ro"),
    ("russian", "ru"),
    ("slovak", "sk"),
    ("spanish", "es"),
    ("swedish", "sv"),
    ("thai", "th"),
    ("turkish", "tr"),
    ("ukrainian", "uk"),
    ("vietnamese", "vi"),
];

/// The identifier of a licence, in its own letters, whatever the case it is given in.
pub(super) fn licence_id(text: &str) -> Option<&'static str> {
    LICENSES.iter().map(|licence| licence.name).find(|name| name.eq_ignore_ascii_case(text))
}

/// For the command line: an SPDX expression as it is to be written. Names that people use for a licence become its own.
pub(super) fn licence(text: &str) -> Result<String, String> {
    let cased = cased(text);
    let canonical = Expression::canonicalize(&cased).ok().map(|changed| changed.unwrap_or(cased));
    let sound = canonical.filter(|canonical| Expression::parse(canonical).is_ok());
    sound.ok_or_else(|| {
        let near = bobbin_suggest::nearest(&text.to_ascii_lowercase(), lower().iter().map(String::as_str))
            .and_then(licence_id)
            .map_or_else(String::new, |near| format!("did you mean {near:?}? "));
        format!(
            "no SPDX expression; {near}write one such as Apache-2.0 or \"MIT OR Apache-2.0\", or LicenseRef-<name> for a \
             licence that is not on SPDX's list, with its text in --licence-file"
        )
    })
}

fn lower() -> Vec<String> {
    LICENSES.iter().map(|licence| licence.name.to_ascii_lowercase()).collect()
}

/// The same expression with identifiers in their own letters, which SPDX leaves open.
fn cased(text: &str) -> String {
    let exception = |word: &str| EXCEPTIONS.iter().map(|it| it.name).find(|name| name.eq_ignore_ascii_case(word));
    let own = |word: &str| licence_id(word).or_else(|| exception(word)).unwrap_or(word).to_owned();
    let mut cased = String::new();
    let mut word = String::new();
    for c in text.chars() {
        if c.is_whitespace() || matches!(c, '(' | ')' | '+' | '/') {
            cased.push_str(&own(&std::mem::take(&mut word)));
            cased.push(c);
        } else {
            word.push(c);
        }
    }
    cased.push_str(&own(&word));
    cased.trim().to_owned()
}

/// For the command line: a language tag, in the letters that are usual for it.
pub(super) fn language(text: &str) -> Result<String, String> {
    // Languages of four letters are reserved, and there are none.
    let there = |tag: &LanguageTag| tag.primary_language().len() != 4 && tag.validate().is_ok();
    let parsed = LanguageTag::parse(text).ok().filter(there);
    if let Some(tag) = parsed {
        return Ok(tag.as_str().to_owned());
    }
    let names = LANGUAGES.iter().map(|(name, _)| *name);
    let near = bobbin_suggest::nearest(&text.to_ascii_lowercase(), names);
    let near = near.and_then(|near| LANGUAGES.iter().find(|(name, _)| *name == near));
    let near = near.map_or_else(String::new, |(_, tag)| format!("did you mean {tag:?}? "));
    Err(format!("no language tag of BCP 47; {near}write one such as en, pt-BR or zh-Hant"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_becomes_the_expression_that_is_meant() {
        for (given, written) in [
            ("Apache-2.0", "Apache-2.0"),
            ("apache-2.0", "Apache-2.0"),
            ("apache2", "Apache-2.0"),
            ("mit", "MIT"),
            ("MIT/apache-2.0", "MIT OR Apache-2.0"),
            ("mit or apache-2.0 with llvm-exception", "MIT OR Apache-2.0 WITH LLVM-exception"),
            ("gpl-3.0", "GPL-3.0-only"),
            ("GPL-2.0+", "GPL-2.0-or-later"),
            ("cc-by-nc-4.0", "CC-BY-NC-4.0"),
            ("LicenseRef-llama3.1", "LicenseRef-llama3.1"),
        ] {
            assert_eq!(licence(given).as_deref(), Ok(written), "{given}");
        }
    }

    #[test]
    fn what_is_no_licence_is_refused_with_the_near_one() {
        for wrong in ["not a licence!!", "", " ", "MIT OR", "(MIT", "proprietary"] {
            assert!(licence(wrong).unwrap_err().contains("LicenseRef-"), "{wrong}");
        }
        assert!(licence("Apachee-2.0").unwrap_err().contains("\"Apache-2.0\""), "{:?}", licence("Apachee-2.0"));
    }

    #[test]
    fn a_language_is_a_tag_that_there_is() {
        for (given, written) in [("en", "en"), ("PT-br", "pt-BR"), ("zh-hant", "zh-Hant"), ("yue", "yue")] {
            assert_eq!(language(given).as_deref(), Ok(written), "{given}");
        }
        assert!(language("English").unwrap_err().contains("\"en\""), "{:?}", language("English"));
        for wrong in ["", "qqqq", "en_US", "xx-YY", "not a language"] {
            assert!(language(wrong).is_err(), "{wrong}");
        }
    }
}
