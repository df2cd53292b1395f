//! `GET /v1/models` and `GET /v1/models/{id}`.

use bobbin_wasi_nn::catalog::{Kind, Model};
use serde_json::{Value, json};

/// Who made the models, as far as the API's form can say.
const OWNER: &str = "bobbin";
const SECONDS_OF_A_DAY: u64 = 86_400;

/// The list.
pub(crate) fn list(models: &[Model]) -> Value {
    let data: Vec<Value> = models.iter().filter(|model| is_served(model)).map(object).collect();
    json!({ "object": "list", "data": data })
}

/// One of them.
pub(crate) fn one(models: &[Model], id: &str) -> Option<Value> {
    models.iter().filter(|model| is_served(model)).find(|model| model.name == id).map(object)
}

/// Whether one of the endpoints has an answer of it.
fn is_served(model: &Model) -> bool {
    matches!(model.kind, Kind::Generate | Kind::Embed)
}

fn object(model: &Model) -> Value {
    let mut object = json!({
        "id": model.name,
        "object": "model",
        // Where the bundle's card does not say so.
        "created": model.created.unwrap_or(0),
        "owned_by": OWNER,
    });
    if let (Some(retires), Some(object)) = (model.retires, object.as_object_mut()) {
        object.insert("shutdown_date".to_owned(), date(retires).into());
    }
    object
}

/// The day of a moment, in UTC: `2027-01-31`.
fn date(seconds: u64) -> String {
    // Counted in eras of 400 years, each of which has 146097 days, from the first of March of the year 0: so the day
    // that leap years have more is the last one of a year.
    let days = (seconds / SECONDS_OF_A_DAY).saturating_add(719_468);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era.saturating_mul(400) + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The id that a path names: what is written as `%40` is `@`. `None` where that is no text.
pub(crate) fn id(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str, kind: Kind, retires: Option<u64>) -> Model {
        let version = "storyteller@1.0.0".to_owned();
        let (context, dimensions, created) = (256, None, Some(1_700_000_000));
        Model { name: name.to_owned(), version, kind, context, dimensions, created, retires }
    }

    #[test]
    fn models_that_answer_are_listed_with_the_day_they_retire() {
        let models = [
            model("story", Kind::Generate, None),
            model("a", Kind::Adapter, None),
            model("b@1", Kind::Embed, Some(1_801_353_600)),
        ];
        let story = json!({ "id": "story", "object": "model", "created": 1_700_000_000, "owned_by": OWNER });
        let mut other = story.clone();
        other["id"] = json!("b@1");
        other["shutdown_date"] = json!("2027-01-31");
        assert_eq!(list(&models), json!({ "object": "list", "data": [story, other] }));
        assert_eq!(one(&models, "b@1"), Some(other));
        assert_eq!(one(&models, "a"), None);
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (86_399, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (4_107_542_400, "2100-03-01"),
            (1_798_761_599, "2026-12-31"),
        ] {
            assert_eq!(date(seconds), day);
        }
        date(u64::MAX);
    }

    #[test]
    fn an_id_in_a_path_is_decoded() {
        assert_eq!(id("storyteller%401.0.0").as_deref(), Some("storyteller@1.0.0"));
        assert_eq!(id("a/b").as_deref(), Some("a/b"));
        for broken in ["%4", "%", "%zz", "%ff"] {
            assert_eq!(id(broken), None, "{broken}");
        }
    }
}
