//! The options of the wasi-nn contract: an allow-list, checked once, on the host's side.
//!
//! An [`OptionsPatch`] is what somebody wrote: a bundle's defaults or a request's JSON. [`Options`] is what
//! the worker gets: every value present and in its range. Load-time parameters and paths are not among them.

use crate::tools::{ToolChoice, ToolUse, tool_use};
use crate::{InferenceError, Reason};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Options are read on a thread that answers others too. The longest grammar fits, with every line and quote escaped.
const MAX_OPTIONS_BYTES: usize = 256 * 1024;
const MAX_STOPS: usize = 16;
const MAX_STOP_BYTES: usize = 256;
const MAX_LOGIT_BIASES: usize = 1024;
const MAX_CONSTRAINT_BYTES: usize = 64 * 1024;
const MAX_TOP_LOGPROBS: u8 = 20;
const DEFAULT_MAX_TOKENS: u32 = 256;

/// Options as written: all optional, unknown keys refused.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptionsPatch {
    /// The most tokens to sample; at least 1.
    pub max_tokens: Option<u32>,
    /// 0 is greedy; at most 10.
    pub temperature: Option<f32>,
    /// Keep the k most likely tokens; 0 keeps all.
    pub top_k: Option<u32>,
    /// Keep the smallest set with this probability; (0, 1].
    pub top_p: Option<f32>,
    /// Drop tokens below this share of the best one's probability; [0, 1).
    pub min_p: Option<f32>,
    /// 1 is none; (0, 10].
    pub repeat_penalty: Option<f32>,
    /// How many of the last tokens the penalties see; -1 is all of the context.
    pub repeat_last_n: Option<i32>,
    /// [-2, 2].
    pub presence_penalty: Option<f32>,
    /// [-2, 2].
    pub frequency_penalty: Option<f32>,
    /// Token id to bias, in [-100, 100].
    pub logit_bias: Option<BTreeMap<String, f32>>,
    /// Fixes the sampler's random numbers.
    pub seed: Option<u32>,
    /// Texts that end the answer and are not part of it.
    pub stop: Option<StopList>,
    /// A GBNF grammar that the answer obeys.
    pub grammar: Option<String>,
    /// A JSON schema that the answer obeys.
    pub json_schema: Option<serde_json::Value>,
    /// Whether the model calls tools.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may call several in one answer.
    pub parallel_tool_calls: Option<bool>,
    /// Report the log-probability of each token.
    pub logprobs: Option<bool>,
    /// Report so many alternatives per token; implies `logprobs`.
    pub top_logprobs: Option<u8>,
    /// Return pieces as they are made.
    pub stream: Option<bool>,
    /// Return raw logits instead of text.
    pub logits: Option<bool>,
    /// Shorten embedding vectors.
    pub dimensions: Option<u32>,
    /// Accepted, and used for nothing.
    pub user: Option<String>,
    /// Accepted, whatever it is, and used for nothing.
    pub metadata: Option<serde_json::Value>,
}

/// One stop string or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StopList {
    /// `"stop": "."`
    One(String),
    /// `"stop": [".", "!"]`
    Many(Vec<String>),
}

/// How to choose among the next tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f32,
    /// 0 keeps all.
    pub top_k: u32,
    /// 1 keeps all.
    pub top_p: f32,
    /// 0 keeps all.
    pub min_p: f32,
    /// 1 is none.
    pub repeat_penalty: f32,
    /// -1 is the whole context.
    pub repeat_last_n: i32,
    /// 0 is none.
    pub presence_penalty: f32,
    /// 0 is none.
    pub frequency_penalty: f32,
    /// Token id to bias; ids are checked against the vocabulary by the worker. No token twice: of several biases llama.cpp
    /// adds all or the first, depending on the order of its candidates.
    pub logit_bias: BTreeMap<i32, f32>,
    /// `None` draws a fresh seed.
    pub seed: Option<u32>,
}

/// What the answer must obey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Constraint {
    /// A GBNF grammar.
    Grammar(String),
    /// A JSON schema, serialised.
    JsonSchema(String),
    /// Calls of tools.
    Tools(ToolUse),
}

/// Options as the worker gets them: complete and in range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// The most tokens to sample.
    pub max_tokens: u32,
    /// How to sample.
    pub sampling: Sampling,
    /// Texts that end the answer; none is empty.
    pub stop: Vec<String>,
    /// What the answer must obey.
    pub constraint: Option<Constraint>,
    /// `None`: no log-probabilities; `Some(n)`: with n alternatives.
    pub logprobs: Option<u8>,
    /// Pieces as they are made.
    pub stream: bool,
}

impl OptionsPatch {
    /// Reads the `options` tensor.
    ///
    /// # Errors
    /// `unknown_option` naming the key, `invalid_option` for a wrong type, `invalid_input` for no JSON, `limit_exceeded`.
    pub fn from_json(bytes: &[u8]) -> Result<Self, InferenceError> {
        if bytes.len() > MAX_OPTIONS_BYTES {
            let message = format!("options have {} bytes; at most {MAX_OPTIONS_BYTES} are allowed", bytes.len());
            return Err(InferenceError::new(Reason::LimitExceeded, message));
        }
        let json: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| {
            InferenceError::new(Reason::InvalidInput, format!("options are no JSON: {error}; pass a JSON object"))
        })?;
        let Some(object) = json.as_object() else {
            let message = "options are no JSON object; pass {\"max_tokens\": 80}";
            return Err(InferenceError::new(Reason::InvalidInput, message));
        };
        for key in object.keys() {
            if !KNOWN.contains(&key.as_str()) {
                return Err(InferenceError::new(
                    Reason::UnknownOption,
                    format!("unknown option \"{key}\"; the options are {}", KNOWN.join(", ")),
                ));
            }
        }
        // One key at a time, so that a wrong type is reported with the name of its option.
        for (key, value) in object {
            let alone = serde_json::Value::Object([(key.clone(), value.clone())].into_iter().collect());
            if let Err(error) = serde_json::from_value::<Self>(alone) {
                return Err(InferenceError::new(Reason::InvalidOption, format!("option \"{key}\": {error}")));
            }
        }
        serde_json::from_value(json)
            .map_err(|error| InferenceError::new(Reason::InvalidOption, format!("options: {error}")))
    }

    /// Merges the request's options over the bundle's defaults and checks every range.
    ///
    /// # Errors
    /// `invalid_option` naming the option and its range.
    pub fn resolve(self, defaults: &Self) -> Result<Options, InferenceError> {
        self.resolve_with_tools(defaults, None)
    }

    /// The same, for an answer that may call these tools: a JSON array.
    ///
    /// # Errors
    /// As [`OptionsPatch::resolve`]; `limit_exceeded` for too many bytes of tools.
    pub fn resolve_with_tools(self, defaults: &Self, tools: Option<&str>) -> Result<Options, InferenceError> {
        let sampling = self.sampling(defaults)?;
        let max_tokens = self.max_tokens.or(defaults.max_tokens).unwrap_or(DEFAULT_MAX_TOKENS);
        in_range("max_tokens", max_tokens, 1..=u32::MAX)?;
        let stop = self.stop.or_else(|| defaults.stop.clone()).map(StopList::into_vec).unwrap_or_default();
        check_stops(&stop)?;
        let top_logprobs = self.top_logprobs.unwrap_or(0);
        in_range("top_logprobs", top_logprobs, 0..=MAX_TOP_LOGPROBS)?;
        let logprobs = (self.logprobs == Some(true) || top_logprobs > 0).then_some(top_logprobs);
        let tools = tool_use(tools, self.tool_choice, self.parallel_tool_calls)?;
        let constraint = constraint(self.grammar, self.json_schema, tools)?;
        let stream = self.stream.unwrap_or(false);
        Ok(Options { max_tokens, sampling, stop, constraint, logprobs, stream })
    }

    fn sampling(&self, defaults: &Self) -> Result<Sampling, InferenceError> {
        let temperature = self.temperature.or(defaults.temperature).unwrap_or(0.8);
        let top_p = self.top_p.or(defaults.top_p).unwrap_or(0.95);
        let min_p = self.min_p.or(defaults.min_p).unwrap_or(0.0);
        let repeat_penalty = self.repeat_penalty.or(defaults.repeat_penalty).unwrap_or(1.0);
        let repeat_last_n = self.repeat_last_n.or(defaults.repeat_last_n).unwrap_or(64);
        let presence_penalty = self.presence_penalty.or(defaults.presence_penalty).unwrap_or(0.0);
        let frequency_penalty = self.frequency_penalty.or(defaults.frequency_penalty).unwrap_or(0.0);
        in_range("temperature", temperature, 0.0..=10.0)?;
        in_range("top_p", top_p, f32::MIN_POSITIVE..=1.0)?;
        in_range("min_p", min_p, 0.0..=1.0)?;
        in_range("repeat_penalty", repeat_penalty, f32::MIN_POSITIVE..=10.0)?;
        in_range("repeat_last_n", repeat_last_n, -1..=i32::MAX)?;
        in_range("presence_penalty", presence_penalty, -2.0..=2.0)?;
        in_range("frequency_penalty", frequency_penalty, -2.0..=2.0)?;
        Ok(Sampling {
            temperature,
            top_k: self.top_k.or(defaults.top_k).unwrap_or(40),
            top_p,
            min_p,
            repeat_penalty,
            repeat_last_n,
            presence_penalty,
            frequency_penalty,
            logit_bias: logit_bias(self.logit_bias.as_ref().or(defaults.logit_bias.as_ref()))?,
            seed: self.seed.or(defaults.seed),
        })
    }
}

/// Every key of [`OptionsPatch`]; a test holds the two together.
const KNOWN: &[&str] = &[
    "max_tokens",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repeat_penalty",
    "repeat_last_n",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "seed",
    "stop",
    "grammar",
    "json_schema",
    "tool_choice",
    "parallel_tool_calls",
    "logprobs",
    "top_logprobs",
    "stream",
    "logits",
    "dimensions",
    "user",
    "metadata",
];

impl StopList {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(stop) => vec![stop],
            Self::Many(stops) => stops,
        }
    }
}

fn invalid(message: String) -> InferenceError {
    InferenceError::new(Reason::InvalidOption, message)
}

/// Refuses NaN too, since it is in no range.
#[allow(clippy::needless_pass_by_value, reason = "ranges and numbers read best by value at the call")]
fn in_range<T>(name: &str, value: T, range: std::ops::RangeInclusive<T>) -> Result<(), InferenceError>
where
    T: PartialOrd + std::fmt::Display,
{
    if range.contains(&value) {
        return Ok(());
    }
    Err(invalid(format!("option \"{name}\" is {value}; it must be from {} to {}", range.start(), range.end())))
}

fn check_stops(stops: &[String]) -> Result<(), InferenceError> {
    if stops.len() > MAX_STOPS {
        return Err(invalid(format!("option \"stop\" has {} strings; at most {MAX_STOPS} are allowed", stops.len())));
    }
    if stops.iter().any(String::is_empty) {
        return Err(invalid("option \"stop\" holds an empty string; leave it out".into()));
    }
    if let Some(long) = stops.iter().find(|stop| stop.len() > MAX_STOP_BYTES) {
        return Err(invalid(format!(
            "option \"stop\" holds a string of {} bytes; at most {MAX_STOP_BYTES} are allowed",
            long.len()
        )));
    }
    Ok(())
}

fn logit_bias(biases: Option<&BTreeMap<String, f32>>) -> Result<BTreeMap<i32, f32>, InferenceError> {
    let Some(biases) = biases else { return Ok(BTreeMap::new()) };
    if biases.len() > MAX_LOGIT_BIASES {
        return Err(invalid(format!(
            "option \"logit_bias\" has {} entries; at most {MAX_LOGIT_BIASES} are allowed",
            biases.len()
        )));
    }
    let mut of_tokens = BTreeMap::new();
    for (token, bias) in biases {
        let id: i32 = token
            .parse()
            .map_err(|error| invalid(format!("option \"logit_bias\": \"{token}\" is no token id: {error}")))?;
        in_range("logit_bias", *bias, -100.0..=100.0)?;
        // "7" and "07" are two keys.
        if of_tokens.insert(id, *bias).is_some() {
            return Err(invalid(format!("option \"logit_bias\" names token {id} twice; leave one of the two out")));
        }
    }
    Ok(of_tokens)
}

fn constraint(
    grammar: Option<String>,
    schema: Option<serde_json::Value>,
    tools: Option<ToolUse>,
) -> Result<Option<Constraint>, InferenceError> {
    let constraint = match (grammar, schema) {
        (Some(_), None) if tools.is_some() => {
            return Err(invalid("option \"grammar\" and the input \"tools\" exclude each other; pass one".into()));
        }
        (Some(_), Some(_)) => {
            return Err(invalid("options \"grammar\" and \"json_schema\" exclude each other; pass one".into()));
        }
        (Some(grammar), None) => Constraint::Grammar(grammar),
        (None, Some(schema)) => Constraint::JsonSchema(schema.to_string()),
        (None, None) => return Ok(tools.map(Constraint::Tools)),
    };
    let (Constraint::Grammar(text) | Constraint::JsonSchema(text)) = &constraint else { return Ok(Some(constraint)) };
    if text.len() > MAX_CONSTRAINT_BYTES {
        return Err(InferenceError::new(
            Reason::InvalidGrammar,
            format!("the grammar has {} bytes; at most {MAX_CONSTRAINT_BYTES} are allowed", text.len()),
        ));
    }
    Ok(Some(match (constraint, tools) {
        // The schema is for what the model answers where it calls nothing.
        (Constraint::JsonSchema(schema), Some(tools)) => Constraint::Tools(ToolUse { response: Some(schema), ..tools }),
        (constraint, _) => constraint,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(json: &str) -> Result<Options, InferenceError> {
        OptionsPatch::from_json(json.as_bytes())?.resolve(&OptionsPatch::default())
    }

    #[test]
    fn an_unknown_option_is_refused_by_name() {
        let error = resolve(r#"{"n_gpu_layers": 99}"#).unwrap_err();
        assert_eq!(error.reason, Reason::UnknownOption);
        assert!(error.message.contains("\"n_gpu_layers\""), "{}", error.message);
    }

    #[test]
    fn a_wrong_type_is_refused_with_the_options_name() {
        let error = resolve(r#"{"temperature": "hot"}"#).unwrap_err();
        assert_eq!(error.reason, Reason::InvalidOption);
        assert!(error.message.contains("\"temperature\""), "{}", error.message);
    }

    #[test]
    fn values_out_of_range_are_refused_with_the_range() {
        for json in [
            r#"{"max_tokens": 0}"#,
            r#"{"temperature": -0.1}"#,
            r#"{"temperature": 1e40}"#,
            r#"{"top_p": 0}"#,
            r#"{"min_p": 1.5}"#,
            r#"{"repeat_penalty": 0}"#,
            r#"{"repeat_last_n": -2}"#,
            r#"{"presence_penalty": 3}"#,
            r#"{"logit_bias": {"5": 101}}"#,
            r#"{"logit_bias": {"five": 1}}"#,
            r#"{"logit_bias": {"5": 1, "05": 2}}"#,
            r#"{"stop": ""}"#,
            r#"{"top_logprobs": 21}"#,
            r#"{"grammar": "root ::= \"a\"", "json_schema": {}}"#,
            r#"{"tool_choice": "any"}"#,
            r#"{"tool_choice": "auto"}"#,
            r#"{"parallel_tool_calls": 1}"#,
        ] {
            let error = resolve(json).unwrap_err();
            assert_eq!(error.reason, Reason::InvalidOption, "{json}: {}", error.message);
        }
    }

    #[test]
    fn what_is_not_an_object_is_refused() {
        for json in ["", "[]", "3", "{", "\"a\""] {
            assert_eq!(resolve(json).unwrap_err().reason, Reason::InvalidInput, "{json}");
        }
    }

    #[test]
    fn more_than_anybody_needs_is_refused_before_it_is_read() {
        let metadata = |bytes: usize| resolve(&format!(r#"{{"metadata": "{}"}}"#, "x".repeat(bytes - 16)));
        assert!(metadata(MAX_OPTIONS_BYTES).is_ok());
        assert_eq!(metadata(MAX_OPTIONS_BYTES + 1).unwrap_err().reason, Reason::LimitExceeded);
    }

    #[test]
    fn a_request_wins_over_the_bundle_and_the_bundle_over_the_host() {
        let defaults = OptionsPatch { temperature: Some(0.1), max_tokens: Some(7), ..OptionsPatch::default() };
        let patch = OptionsPatch::from_json(br#"{"temperature": 0}"#).unwrap();
        let options = patch.resolve(&defaults).unwrap();
        assert_eq!((options.sampling.temperature, options.max_tokens, options.sampling.top_k), (0.0, 7, 40));
    }

    #[test]
    fn top_logprobs_implies_logprobs() {
        assert_eq!(resolve(r#"{"top_logprobs": 2}"#).unwrap().logprobs, Some(2));
        assert_eq!(resolve(r#"{"logprobs": true}"#).unwrap().logprobs, Some(0));
        assert_eq!(resolve(r#"{"logprobs": false}"#).unwrap().logprobs, None);
    }

    #[test]
    fn tools_and_a_schema_make_one_constraint_and_a_grammar_is_none_of_theirs() {
        let resolve =
            |json: &[u8]| OptionsPatch::from_json(json)?.resolve_with_tools(&OptionsPatch::default(), Some("[{}]"));
        let Some(Constraint::Tools(both)) = resolve(br#"{"json_schema": {"type": "object"}}"#).unwrap().constraint
        else {
            panic!("tools are no constraint")
        };
        assert_eq!((both.tools.as_str(), both.response.as_deref()), ("[{}]", Some(r#"{"type":"object"}"#)));
        let none = resolve(br#"{"tool_choice": "none", "json_schema": {}}"#).unwrap().constraint;
        assert_eq!(none, Some(Constraint::JsonSchema("{}".into())));
        assert_eq!(resolve(br#"{"grammar": "root ::= \"a\""}"#).unwrap_err().reason, Reason::InvalidOption);
    }

    #[test]
    fn the_allow_list_is_the_struct() {
        let json = serde_json::to_value(OptionsPatch::default()).unwrap();
        let mut fields: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        let mut known: Vec<_> = KNOWN.iter().map(|key| (*key).to_owned()).collect();
        fields.sort();
        known.sort();
        assert_eq!(fields, known);
    }
}
