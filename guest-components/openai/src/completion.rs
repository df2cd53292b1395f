//! The request of `POST /v1/completions`.

use crate::fields::{Checked, Field, Object};
use crate::refusal::{Fields, Refusal};
use crate::sampling::{CHOICES, Sampling};
use serde_json::Value;

/// The most alternatives to a token that are told, as at OpenAI's.
const TOP: i64 = 5;
/// Tokens of an answer where the request says nothing, as at OpenAI's.
const TOKENS: i64 = 16;
/// Why token ids are not taken, which both other endpoints would take too.
pub(crate) const NO_TOKENS: &str =
    "a model's own ids would let a client write its control tokens; send the text, as a string or an array of strings";

/// A checked request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Completion {
    /// The model that is asked for.
    pub(crate) model: String,
    /// What to go on from: at least one.
    pub(crate) prompts: Vec<String>,
    /// Whether each answer begins with its prompt.
    pub(crate) echo: bool,
    /// How answers are made and sent.
    pub(crate) sampling: Sampling,
    /// Whether tokens are told with their log-probabilities.
    pub(crate) logprobs: bool,
}

impl Completion {
    /// Which field is told where the host refuses what.
    pub(crate) const FIELDS: Fields = Fields::plain("prompt");

    /// Reads a body.
    pub(crate) fn read(body: &[u8]) -> Checked<Self> {
        let mut body = Object::body(body)?;
        let model = body.need("model", "the name of a model, such as GET /v1/models lists")?.string()?;
        let prompts = texts(body.need("prompt", WANTED)?, CHOICES as usize)?;
        let mut sampling = Sampling::read(&mut body)?;
        let all = prompts.len().saturating_mul(sampling.choices as usize);
        if all > CHOICES as usize {
            let message =
                format!("{} prompts with {} answers each are more than {CHOICES}", prompts.len(), sampling.choices);
            return Err(Refusal::bad("integer_above_max_value", "n", message));
        }
        let tokens = body.take("max_tokens").map(|field| field.integer(1, i64::from(u32::MAX))).transpose()?;
        sampling.options = sampling.options.with("max_tokens", tokens.unwrap_or(TOKENS));
        let logprobs = body.take("logprobs").map(|field| field.integer(0, TOP)).transpose()?;
        if let Some(top) = logprobs {
            sampling.options = sampling.options.with("logprobs", true).with("top_logprobs", top);
        }
        let echo = body.take("echo").map(Field::boolean).transpose()?.unwrap_or(false);
        if echo && logprobs.is_some() {
            let why = "the log-probabilities of a prompt are not told; leave out 'echo' or 'logprobs'";
            return Err(Refusal::unsupported_value("echo", why));
        }
        best_of(&mut body, sampling.choices)?;
        suffix(&mut body)?;
        body.end()?;
        Ok(Self { model, prompts, echo, sampling, logprobs: logprobs.is_some() })
    }
}

const WANTED: &str = "a string or an array of strings";

/// A text, or several.
pub(crate) fn texts(field: Field, most: usize) -> Checked<Vec<String>> {
    match field.value() {
        Value::String(_) => Ok(vec![field.string()?]),
        Value::Array(elements) => {
            let is_tokens = |element: &Value| match element {
                Value::Array(ids) => ids.iter().all(Value::is_number),
                element => element.is_number(),
            };
            if !elements.is_empty() && elements.iter().all(is_tokens) {
                return Err(Refusal::unsupported_value(field.path(), NO_TOKENS));
            }
            field.array_of(WANTED, most)?.into_iter().map(Field::string).collect()
        }
        other => Err(Refusal::wrong_type(field.path(), WANTED, other)),
    }
}

/// As many as are answered are no choice among more.
fn best_of(body: &mut Object, choices: u32) -> Checked<()> {
    let Some(field) = body.take("best_of") else { return Ok(()) };
    let path = field.path().to_owned();
    match field.integer(1, i64::from(CHOICES))? {
        best if best == i64::from(choices) => Ok(()),
        best if best < i64::from(choices) => {
            let message = format!("'{path}' is {best}, which is less than 'n', {choices}");
            Err(Refusal::bad("integer_below_min_value", &path, message))
        }
        _ => {
            Err(Refusal::unsupported_value(&path, "no answers are made that nobody sees; set 'n' alone, or both alike"))
        }
    }
}

fn suffix(body: &mut Object) -> Checked<()> {
    let Some(field) = body.take("suffix") else { return Ok(()) };
    let path = field.path().to_owned();
    if field.string()?.is_empty() {
        return Ok(());
    }
    Err(Refusal::unsupported(&path, "the models here do not fill in between two texts"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(more: &Value) -> Checked<Completion> {
        let mut body = json!({ "model": "story", "prompt": "Once" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Completion::read(body.to_string().as_bytes())
    }

    #[test]
    fn a_prompt_is_one_text_or_several() {
        assert_eq!(read(&json!({})).unwrap().prompts, ["Once"]);
        assert_eq!(read(&json!({ "prompt": ["a", "b"], "n": 64 })).unwrap().prompts, ["a", "b"]);
        assert_eq!(read(&json!({ "prompt": "" })).unwrap().prompts, [""]);
    }

    #[test]
    fn the_host_gets_the_defaults_that_the_api_has() {
        let options = |more| serde_json::to_value(read(&more).unwrap().sampling.of_choice(0)).unwrap();
        assert_eq!(options(json!({})), json!({ "max_tokens": 16 }));
        let wanted = json!({ "max_tokens": 3, "logprobs": true, "top_logprobs": 2 });
        assert_eq!(options(json!({ "max_tokens": 3, "logprobs": 2 })), wanted);
    }

    #[test]
    fn what_is_none_is_refused_by_its_place() {
        for (more, code, param) in [
            (json!({ "prompt": null }), "missing_required_parameter", "prompt"),
            (json!({ "prompt": [] }), "empty_array", "prompt"),
            (json!({ "prompt": [1, 2] }), "unsupported_value", "prompt"),
            (json!({ "prompt": [[1, 2], [3]] }), "unsupported_value", "prompt"),
            (json!({ "prompt": ["a", 1] }), "invalid_type", "prompt[1]"),
            (json!({ "prompt": {} }), "invalid_type", "prompt"),
            (json!({ "prompt": vec!["a"; 129] }), "array_above_max_length", "prompt"),
            (json!({ "prompt": ["a", "b"], "n": 65 }), "integer_above_max_value", "n"),
            (json!({ "n": 2, "best_of": 3 }), "unsupported_value", "best_of"),
            (json!({ "n": 3, "best_of": 2 }), "integer_below_min_value", "best_of"),
            (json!({ "suffix": "the end" }), "unsupported_parameter", "suffix"),
            (json!({ "logprobs": 6 }), "integer_above_max_value", "logprobs"),
            (json!({ "logprobs": true }), "invalid_type", "logprobs"),
            (json!({ "echo": true, "logprobs": 0 }), "unsupported_value", "echo"),
            (json!({ "metadata": {} }), "unknown_parameter", "metadata"),
        ] {
            let refusal = read(&more).unwrap_err();
            assert_eq!((refusal.code.as_str(), refusal.param.as_deref()), (code, Some(param)), "{more}");
        }
        assert!(read(&json!({ "n": 2, "best_of": 2, "suffix": "", "echo": true })).unwrap().echo);
    }
}
