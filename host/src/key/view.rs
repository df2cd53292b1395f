//! Keys, for people.

use crate::release::{ago, left, plain, table};
use bobbin_keys::View;
use std::collections::BTreeSet;
use std::time::SystemTime;

/// One key, a fact a line.
pub(crate) fn key(key: &View) -> String {
    let rows = [
        ["id".to_owned(), key.id.to_string()],
        ["name".into(), plain(&key.name)],
        ["state".into(), key.state.as_str().into()],
        ["expires".into(), key.expires.map_or_else(|| "never".into(), |expires| expires.to_string())],
        ["routes".into(), scope(key.routes.as_ref())],
        ["models".into(), scope(key.models.as_ref())],
        ["limits".into(), limits(key)],
    ];
    table(&rows, "  ")
}

/// All keys, one a line.
pub(crate) fn list(keys: &[View]) -> String {
    let now = SystemTime::now();
    let head = ["ID", "NAME", "STATE", "MADE", "EXPIRES", "ROUTES", "MODELS", "LIMITS"].map(String::from);
    let rows = keys.iter().map(|key| {
        let expires = key.expires.map(|expires| left(Some(&expires.to_string()), now));
        let expires = match expires {
            None => "never".to_owned(),
            Some(Some(left)) => format!("in {left}"),
            Some(None) => "over".to_owned(),
        };
        [
            key.id.to_string(),
            plain(&key.name),
            key.state.as_str().to_owned(),
            ago(Some(&key.created.to_string()), now),
            expires,
            scope(key.routes.as_ref()),
            scope(key.models.as_ref()),
            limits(key),
        ]
    });
    table(&[head].into_iter().chain(rows).collect::<Vec<_>>(), "")
}

fn scope(entries: Option<&BTreeSet<String>>) -> String {
    entries.map_or_else(
        || "all".into(),
        |entries| plain(&entries.iter().map(String::as_str).collect::<Vec<_>>().join(" ")),
    )
}

fn limits(key: &View) -> String {
    let limit = |limit: Option<u32>, what: &str| limit.map(|limit| format!("{limit} {what}/min"));
    let both = [limit(key.requests_per_minute, "requests"), limit(key.tokens_per_minute, "tokens")];
    let both: Vec<String> = both.into_iter().flatten().collect();
    if both.is_empty() { "none".into() } else { both.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_is_shown_with_what_it_is_for_and_no_line_break_of_its_holders() {
        let view: View = serde_json::from_value(json!({
            "id": "abcd2345", "name": "a\u{1b}b", "state": "active", "created": "2027-01-01T00:00:00Z", "expires": null,
            "revoked": null, "routes": ["/a", "/b"], "models": null, "requests_per_minute": 60,
            "tokens_per_minute": 1000,
        }))
        .unwrap();
        let text = list(std::slice::from_ref(&view));
        let line = text.lines().nth(1).unwrap();
        for part in ["abcd2345", "a b", "active", "never", "/a /b", "all", "60 requests/min, 1000 tokens/min"] {
            assert!(line.contains(part), "{part}: {text}");
        }
        assert!(key(&view).contains("routes") && key(&view).lines().count() == 7, "{}", key(&view));
    }
}
