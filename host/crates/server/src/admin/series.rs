//! `GET /admin/v1/series`.

use super::answer::{Answer, json};
use super::edit;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::series::Span;
use http::StatusCode;

pub(super) fn show(metrics: &Metrics, query: Option<&str>) -> Result<Answer, Problem> {
    let (span, after) = asked(query)?;
    Ok(json(StatusCode::OK, &metrics.series().view(span, after)))
}

fn asked(query: Option<&str>) -> Result<(Span, u64), Problem> {
    let [span, after] = edit::both(query, ["span", "after"])?;
    let span = match span {
        None => Span::Live,
        Some(name) => Span::named(name)
            .ok_or_else(|| Problem::invalid_query(&format!("\"span\" is {name:?}; it can be \"live\" or \"hours\"")))?,
    };
    let after = match after {
        None => 0,
        Some(text) => text.parse().map_err(|_no_number| {
            Problem::invalid_query(&format!("\"after\" is {text:?}; give the number of a sample"))
        })?,
    };
    Ok((span, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_and_a_number_are_understood_or_refused() {
        assert_eq!(asked(None).unwrap(), (Span::Live, 0));
        assert_eq!(asked(Some("after=7&span=hours")).unwrap(), (Span::Hours, 7));
        for bad in ["span=days", "span=", "after=-1", "after=x", "span=live&span=live", "before=7"] {
            assert_eq!(asked(Some(bad)).unwrap_err().code, "invalid_query", "{bad}");
        }
    }
}
