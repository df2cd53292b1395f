//! What both ways of generating have in common: how tokens are chosen, how many answers there are, and how they come.

use crate::fields::{Checked, Field, Object};
use crate::refusal::Refusal;
use bobbin_wasi_nn::Options;
use serde_json::{Map, Value};

/// The most answers of one request.
pub(crate) const CHOICES: u32 = 128;
/// OpenAI's bound; the host's own is higher.
const STOPS: usize = 4;
/// Bytes of one, which is the host's bound.
const STOP_BYTES: usize = 256;
/// Entries of `logit_bias`, which is the host's bound.
const BIASES: usize = 1024;
/// The seed that the host takes for none.
const NO_SEED: i64 = u32::MAX as i64;
/// The least share of probability that the host takes: the likeliest token alone has it.
const LEAST_TOP_P: f64 = 1e-6;

/// How answers are made and sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sampling {
    /// For the host, but for the seed.
    pub(crate) options: Options,
    seed: Option<u32>,
    /// Answers to each prompt, from 1 to [`CHOICES`].
    pub(crate) choices: u32,
    /// How they are streamed, if they are.
    pub(crate) stream: Option<Stream>,
}

/// How an answer is streamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stream {
    /// Whether tokens are told at the end.
    pub(crate) usage: bool,
}

impl Sampling {
    /// Takes the fields that are its own.
    pub(crate) fn read(body: &mut Object) -> Checked<Self> {
        let mut options = Options::new();
        if let Some(field) = body.take("temperature") {
            options = options.with("temperature", field.number(0.0, 2.0)?);
        }
        if let Some(field) = body.take("top_p") {
            options = options.with("top_p", field.number(0.0, 1.0)?.max(LEAST_TOP_P));
        }
        for name in ["presence_penalty", "frequency_penalty"] {
            if let Some(field) = body.take(name) {
                options = options.with(name, field.number(-2.0, 2.0)?);
            }
        }
        if let Some(field) = body.take("stop") {
            options = options.with("stop", stops(field)?);
        }
        if let Some(field) = body.take("logit_bias") {
            options = options.with("logit_bias", biases(field)?);
        }
        if let Some(field) = body.take("user") {
            options = options.with("user", field.string()?);
        }
        let seed = body.take("seed").map(|field| field.integer(i64::MIN, i64::MAX)).transpose()?;
        let choices = body.take("n").map(|field| field.integer(1, i64::from(CHOICES))).transpose()?;
        Ok(Self {
            options,
            // Any two seeds that differ by less than 2^32 - 1 are two seeds for the host as well.
            seed: seed.and_then(|seed| u32::try_from(seed.rem_euclid(NO_SEED)).ok()),
            choices: choices.and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
            stream: stream(body)?,
        })
    }

    /// The options of one answer, counted from 0: of those to one prompt, each has a seed of its own.
    pub(crate) fn of_choice(&self, choice: u32) -> Options {
        let Some(seed) = self.seed else { return self.options.clone() };
        let seed = (i64::from(seed) + i64::from(choice)).rem_euclid(NO_SEED);
        self.options.clone().with("seed", seed)
    }
}

fn stops(field: Field) -> Checked<Vec<String>> {
    let stop = |field: Field| {
        let path = field.path().to_owned();
        let text = field.string()?;
        match text.len() {
            0 => Err(Refusal::bad("invalid_value", &path, format!("'{path}' is empty, and would stop every answer"))),
            1..=STOP_BYTES => Ok(text),
            bytes => {
                let message = format!("'{path}' has {bytes} bytes; it may have at most {STOP_BYTES}");
                Err(Refusal::bad("string_above_max_length", &path, message))
            }
        }
    };
    match field.value() {
        Value::String(_) => Ok(vec![stop(field)?]),
        // None at all is as if the field were left out.
        Value::Array(none) if none.is_empty() => Ok(Vec::new()),
        _ => field.array_of("a string or an array of strings", STOPS)?.into_iter().map(stop).collect(),
    }
}

fn biases(field: Field) -> Checked<Map<String, Value>> {
    let path = field.path().to_owned();
    let mut biases = Map::new();
    for (token, bias) in field.object()?.rest() {
        // One id has one way to be written, so that none is there twice.
        if token.parse::<i32>().is_ok_and(|id| id >= 0 && id.to_string() == token) {
            biases.insert(token, bias.number(-100.0, 100.0)?.into());
        } else {
            let message = format!("'{path}' has token ids as its keys, such as \"1234\"; this one is none");
            return Err(Refusal::bad("invalid_value", bias.path(), message));
        }
    }
    if biases.len() > BIASES {
        let message = format!("'{path}' has {} entries; there may be at most {BIASES}", biases.len());
        return Err(Refusal::bad("object_above_max_properties", &path, message));
    }
    Ok(biases)
}

fn stream(body: &mut Object) -> Checked<Option<Stream>> {
    let stream = body.take("stream").map(Field::boolean).transpose()?.unwrap_or(false);
    let Some(options) = body.take("stream_options") else { return Ok(stream.then_some(Stream { usage: false })) };
    let path = options.path().to_owned();
    let mut options = options.object()?;
    let usage = options.take("include_usage").map(Field::boolean).transpose()?.unwrap_or(false);
    // It would only hide how long pieces are from those who see encrypted traffic.
    options.take("include_obfuscation").map(Field::boolean).transpose()?;
    options.end()?;
    if !stream {
        let message = format!("'{path}' is only for answers that are streamed; set 'stream' to true, or leave it out");
        return Err(Refusal::bad("invalid_value", &path, message));
    }
    Ok(Some(Stream { usage }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: &Value) -> Checked<Sampling> {
        let mut body = Object::body(value.to_string().as_bytes())?;
        let sampling = Sampling::read(&mut body)?;
        body.end()?;
        Ok(sampling)
    }

    fn options(value: &Value) -> Value {
        serde_json::to_value(read(value).unwrap().of_choice(0)).unwrap()
    }

    #[test]
    fn what_is_left_out_is_left_to_the_bundle() {
        let sampling = read(&json!({ "temperature": null, "stream": false })).unwrap();
        assert_eq!((sampling.choices, sampling.stream), (1, None));
        assert_eq!(serde_json::to_value(sampling.of_choice(0)).unwrap(), json!({}));
    }

    #[test]
    fn every_field_reaches_the_host_in_its_terms() {
        let all = json!({
            "temperature": 0, "top_p": 0, "presence_penalty": 1, "frequency_penalty": -2, "stop": "\n",
            "logit_bias": { "15": -100 }, "user": "u", "seed": 7,
        });
        let wanted = json!({
            "temperature": 0.0, "top_p": LEAST_TOP_P, "presence_penalty": 1.0, "frequency_penalty": -2.0, "stop": ["\n"],
            "logit_bias": { "15": -100.0 }, "user": "u", "seed": 7,
        });
        assert_eq!(options(&all), wanted);
        assert_eq!(options(&json!({ "stop": [] })), json!({ "stop": [] }));
    }

    #[test]
    fn each_choice_has_a_seed_of_its_own_and_never_the_one_that_means_none() {
        let seeds = |seed: i64| {
            let sampling = read(&json!({ "seed": seed, "n": 3 })).unwrap();
            let seeds = (0..3).map(|choice| serde_json::to_value(sampling.of_choice(choice)).unwrap()["seed"].clone());
            seeds.map(|seed| seed.as_i64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(seeds(5), [5, 6, 7]);
        assert_eq!(seeds(NO_SEED - 2), [NO_SEED - 2, NO_SEED - 1, 0]);
        assert_eq!(seeds(-1), [NO_SEED - 1, 0, 1]);
        assert!(seeds(i64::MIN).into_iter().chain(seeds(i64::MAX)).all(|seed| (0..NO_SEED).contains(&seed)));
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_by_its_place() {
        for (body, code, param) in [
            (json!({ "n": 0 }), "integer_below_min_value", "n"),
            (json!({ "n": 1_000_000_000 }), "integer_above_max_value", "n"),
            (json!({ "temperature": 2.5 }), "decimal_above_max_value", "temperature"),
            (json!({ "stop": ["a", "b", "c", "d", "e"] }), "array_above_max_length", "stop"),
            (json!({ "stop": ["a", ""] }), "invalid_value", "stop[1]"),
            (json!({ "stop": "x".repeat(257) }), "string_above_max_length", "stop"),
            (json!({ "stop": 1 }), "invalid_type", "stop"),
            (json!({ "logit_bias": { "a": 1 } }), "invalid_value", "logit_bias.a"),
            (json!({ "logit_bias": { "1": 101 } }), "decimal_above_max_value", "logit_bias.1"),
            (json!({ "stream_options": { "include_usage": true } }), "invalid_value", "stream_options"),
            (json!({ "stream": true, "stream_options": { "x": 1 } }), "unknown_parameter", "stream_options.x"),
        ] {
            let refusal = read(&body).unwrap_err();
            assert_eq!((refusal.code.as_str(), refusal.param.as_deref()), (code, Some(param)), "{body}");
        }
    }

    #[test]
    fn usage_is_told_where_it_was_asked_for() {
        let stream = |body| read(&body).unwrap().stream;
        assert_eq!(stream(json!({ "stream": true })), Some(Stream { usage: false }));
        let options = json!({ "include_usage": true, "include_obfuscation": false });
        assert_eq!(stream(json!({ "stream": true, "stream_options": options })), Some(Stream { usage: true }));
    }
}
