//! What is answered instead of a result: OpenAI's error object, with all four of its keys, and its status.

use bobbin_wasi_nn::catalog::Kind;
use bobbin_wasi_nn::{Error, ErrorCode};
use serde_json::{Value, json};

/// The longest piece of what a client sent that a message repeats, in characters.
const QUOTED: usize = 100;

/// A request that gets no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: u16,
    /// OpenAI's name for the kind of error.
    pub(crate) kind: &'static str,
    /// For programs.
    pub(crate) code: String,
    /// The field of the request that is at fault, as a path such as `messages[0].content`.
    pub(crate) param: Option<String>,
    /// For people: what, why, and the next step.
    pub(crate) message: String,
    /// The same request may succeed after so many seconds.
    pub(crate) retry_after: Option<u32>,
    /// The methods that the path takes, where the request's was another.
    pub(crate) allow: Option<&'static str>,
}

/// Where in a request each kind of input stands, so that what the model's side refuses is told by the field that
/// its client wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fields {
    /// What the model reads: `messages`, `prompt` or `input`.
    pub(crate) input: &'static str,
    /// Whether a grammar was made of `response_format`.
    pub(crate) format: bool,
    /// Whether one was made of `tools`.
    pub(crate) tools: bool,
}

impl Fields {
    /// The input of embeddings.
    pub(crate) const VECTORS: &str = "input";

    /// Those of a request without grammars.
    pub(crate) const fn plain(input: &'static str) -> Self {
        Self { input, format: false, tools: false }
    }

    /// The field that a grammar was made of which the host refuses. Of a tool's it says which tool it is.
    fn grammar(self, message: &str) -> Option<&'static str> {
        match (self.format, self.tools) {
            (true, true) if message.contains("tool") => Some("tools"),
            (true, _) => Some("response_format"),
            (false, true) => Some("tools"),
            (false, false) => None,
        }
    }
}

impl Refusal {
    /// The request is at fault: 400.
    pub(crate) fn bad(code: &str, param: &str, message: impl Into<String>) -> Self {
        Self::new(400, code, Some(param), message)
    }

    /// A request that is not the expected JSON at all: 400, and no field to name.
    pub(crate) fn unreadable(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_json", None, message)
    }

    /// The body is over the host's bound.
    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(413, "body_too_large", None, message)
    }

    /// A value of another type than the field takes.
    pub(crate) fn wrong_type(param: &str, wanted: &str, value: &Value) -> Self {
        Self::bad("invalid_type", param, format!("'{param}' takes {wanted}; this is {}", type_name(value)))
    }

    /// A field that the API has and this server does not support.
    pub(crate) fn unsupported(param: &str, why: &str) -> Self {
        Self::bad("unsupported_parameter", param, format!("'{param}' is not supported here: {why}"))
    }

    /// A value that the API has and this server does not support.
    pub(crate) fn unsupported_value(param: &str, why: impl AsRef<str>) -> Self {
        Self::bad(
            "unsupported_value",
            param,
            format!("this value of '{param}' is not supported here: {}", why.as_ref()),
        )
    }

    /// A field that has to be there.
    pub(crate) fn missing(param: &str, wanted: &str) -> Self {
        Self::bad("missing_required_parameter", param, format!("'{param}' is missing; it takes {wanted}"))
    }

    /// There is no such model for this request.
    pub(crate) fn no_model(name: &str) -> Self {
        let name = quoted(name);
        let message =
            format!("there is no model {name} here, or you may not use it; GET /v1/models lists those you may");
        Self::new(404, "model_not_found", Some("model"), message)
    }

    /// There is nothing at this path.
    pub(crate) fn no_path(method: &str, path: &str, served: &[&str]) -> Self {
        let message = format!("nothing answers {method} {}; there are {}", quoted(path), served.join(", "));
        Self::new(404, "unknown_url", None, message)
    }

    /// The path takes other methods.
    pub(crate) fn no_method(method: &str, path: &str, allow: &'static str) -> Self {
        let message = format!("{} takes {allow}, not {method}", quoted(path));
        Self { allow: Some(allow), ..Self::new(405, "method_not_supported", None, message) }
    }

    /// What the host or a model said instead of an answer. `model` is the name that the request has.
    pub(crate) fn of_host(error: &Error, model: &str, fields: Fields) -> Self {
        let Error { code, reason, message, retryable } = error;
        let (status, param) = match (code, reason.as_str()) {
            (ErrorCode::NotFound, _) => return Self::no_model(model),
            (ErrorCode::TooLarge, "context_exceeded") => {
                return Self::bad("context_length_exceeded", fields.input, in_our_words(message, fields));
            }
            (ErrorCode::InvalidArgument, "invalid_grammar") => (400, fields.grammar(message)),
            // Tools are an input of their own, and the host names it where it refuses that one.
            (ErrorCode::InvalidArgument, "invalid_input" | "invalid_tensor") if message.contains("\"tools\"") => {
                (400, Some("tools"))
            }
            (ErrorCode::InvalidArgument, "invalid_input" | "invalid_tensor") => (400, Some(fields.input)),
            (ErrorCode::InvalidArgument, _) => (400, option_in(message)),
            (ErrorCode::TooLarge, _) if message.contains("\"tools\"") => (413, Some("tools")),
            (ErrorCode::TooLarge, _) if message.starts_with("the grammar") => (413, fields.grammar(message)),
            (ErrorCode::TooLarge, _) => (413, option_in(message)),
            (ErrorCode::UnsupportedOperation, _) => (404, Some("model")),
            _ => (error.status(), None),
        };
        let refusal = Self::new(status, reason, param, in_our_words(message, fields));
        Self { retry_after: (*retryable && status == 503).then_some(1), ..refusal }
    }

    /// The model does something else than this endpoint is for; `None` where it does just that.
    pub(crate) fn of_kind(model: &str, kind: Kind, fields: Fields) -> Option<Self> {
        let vectors = fields.input == Fields::VECTORS;
        let (does, asks) = match kind {
            Kind::Embed if !vectors => ("makes vectors of texts, and writes none", "/embeddings"),
            Kind::Generate if vectors => ("writes texts, and makes no vectors", "/chat/completions"),
            _ => return None,
        };
        let message = format!("the model {} {does}; POST {asks} asks it", quoted(model));
        Some(Self::new(404, "unsupported_by_model", Some("model"), message))
    }

    /// The body of the answer.
    pub(crate) fn to_json(&self) -> Value {
        let Self { kind, code, param, message, .. } = self;
        json!({ "error": { "message": message, "type": kind, "param": param, "code": code } })
    }

    fn new(status: u16, code: &str, param: Option<&str>, message: impl Into<String>) -> Self {
        let kind = if status < 500 { "invalid_request_error" } else { "server_error" };
        let (param, message) = (param.map(shortened), message.into());
        Self { status, kind, code: code.to_owned(), param, message, retry_after: None, allow: None }
    }
}

/// The host's options whose values clients choose, and the fields that they do it by.
const OPTIONS: [(&str, &str); 9] = [
    ("json_schema", "response_format"),
    ("tool_choice", "tool_choice"),
    ("parallel_tool_calls", "parallel_tool_calls"),
    ("dimensions", "dimensions"),
    ("logit_bias", "logit_bias"),
    ("max_tokens", "max_tokens"),
    ("metadata", "metadata"),
    ("stop", "stop"),
    ("user", "user"),
];

/// The option that a message of the host's quotes, by OpenAI's name for it.
fn option_in(message: &str) -> Option<&'static str> {
    OPTIONS.into_iter().find(|(option, _)| message.contains(&format!("\"{option}\""))).map(|(_, field)| field)
}

/// A message of the host's, which speaks of wasi-nn's inputs and options and points to wasi-nn's page.
fn in_our_words(message: &str, fields: Fields) -> String {
    let mut words = message.replace("; docs/wasi-nn.md says what is supported", "");
    for (option, field) in OPTIONS {
        words = words.replace(&format!("option \"{option}\""), &format!("'{field}'"));
    }
    for (input, field) in
        [("tools", "tools"), ("messages", fields.input), ("prompt", fields.input), ("texts", fields.input)]
    {
        words = words.replace(&format!("input \"{input}\""), &format!("'{field}'"));
    }
    // Of embeddings the host counts the texts: "text 3 has ..".
    let numbered = words.strip_prefix("text ").filter(|_| fields.input == Fields::VECTORS);
    match numbered.and_then(|rest| rest.split_once(' ')) {
        Some((at, rest)) if at.parse::<usize>().is_ok() => format!("'input[{at}]' {rest}"),
        _ => words,
    }
}

/// A text of a client's, in quotes and cut to what a message has room for.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", shortened(text))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}..", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number that is no integer",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: Fields = Fields { tools: true, ..Fields::plain("messages") };

    fn host(code: ErrorCode, reason: &str, message: &str, retryable: bool) -> Refusal {
        let error = Error { code, reason: reason.to_owned(), message: message.to_owned(), retryable };
        Refusal::of_host(&error, "story", CHAT)
    }

    #[test]
    fn an_error_has_all_four_keys() {
        let error = Refusal::unreadable("no JSON").to_json();
        let wanted =
            json!({ "message": "no JSON", "type": "invalid_request_error", "param": null, "code": "invalid_json" });
        assert_eq!(error["error"], wanted);
    }

    #[test]
    fn what_the_host_says_gets_openais_status_and_the_clients_own_field() {
        use ErrorCode::*;
        for (code, reason, message, retryable, status, told, param, retry) in [
            (NotFound, "model_not_found", "no", false, 404, "model_not_found", Some("model"), None),
            (TooLarge, "context_exceeded", "long", false, 400, "context_length_exceeded", Some("messages"), None),
            (TooLarge, "limit_exceeded", "large", false, 413, "limit_exceeded", None, None),
            (TooLarge, "limit_exceeded", "the grammar has", false, 413, "limit_exceeded", Some("tools"), None),
            (TooLarge, "limit_exceeded", "input \"tools\" has", false, 413, "limit_exceeded", Some("tools"), None),
            (InvalidArgument, "invalid_grammar", "no", false, 400, "invalid_grammar", Some("tools"), None),
            (InvalidArgument, "invalid_input", "no", false, 400, "invalid_input", Some("messages"), None),
            (InvalidArgument, "invalid_option", "\"stop\" is no", false, 400, "invalid_option", Some("stop"), None),
            (
                UnsupportedOperation,
                "unsupported_by_model",
                "no",
                false,
                404,
                "unsupported_by_model",
                Some("model"),
                None,
            ),
            (Timeout, "queue_full", "full", true, 503, "queue_full", None, Some(1)),
            (Timeout, "deadline_exceeded", "late", true, 504, "deadline_exceeded", None, None),
            (RuntimeError, "worker_lost", "died", true, 503, "worker_lost", None, Some(1)),
            (Unknown, "internal", "bug", false, 500, "internal", None, None),
        ] {
            let refusal = host(code, reason, message, retryable);
            let got = (refusal.status, refusal.code.as_str(), refusal.param.as_deref(), refusal.retry_after);
            assert_eq!(got, (status, told, param, retry), "{reason}");
            assert_eq!(refusal.kind == "server_error", status >= 500, "{reason}");
        }
    }

    #[test]
    fn what_the_host_says_is_told_in_the_words_of_this_api() {
        for (fields, host, told) in [
            (Fields::plain("input"), "option \"dimensions\" is 193; no", "'dimensions' is 193; no"),
            (Fields::plain("input"), "text 12 has 500 tokens", "'input[12]' has 500 tokens"),
            (Fields::plain("prompt"), "text 12 has 500 tokens", "text 12 has 500 tokens"),
            (CHAT, "input \"tools\": no", "'tools': no"),
            (CHAT, "input \"prompt\" is no", "'messages' is no"),
            (
                CHAT,
                "the JSON schema cannot be obeyed: $ref; docs/wasi-nn.md says what is supported",
                "the JSON schema cannot be obeyed: $ref",
            ),
        ] {
            assert_eq!(in_our_words(host, fields), told);
        }
    }

    #[test]
    fn a_model_of_another_kind_is_told_with_the_endpoint_that_it_is_for() {
        let told = |kind, input| Refusal::of_kind("m", kind, Fields::plain(input)).map(|refusal| refusal.message);
        assert!(told(Kind::Embed, "messages").unwrap().ends_with("POST /embeddings asks it"));
        assert!(told(Kind::Embed, "prompt").is_some());
        assert!(told(Kind::Generate, "input").unwrap().ends_with("POST /chat/completions asks it"));
        assert_eq!(told(Kind::Generate, "messages"), None);
        assert_eq!(told(Kind::Embed, "input"), None);
    }

    #[test]
    fn a_grammar_that_cannot_be_held_is_told_by_what_it_was_made_of() {
        let both = Fields { format: true, tools: true, ..Fields::plain("messages") };
        assert_eq!(both.grammar("the JSON schema of the tool \"a\""), Some("tools"));
        assert_eq!(both.grammar("the JSON schema cannot be obeyed"), Some("response_format"));
        assert_eq!(CHAT.grammar("the JSON schema cannot be obeyed"), Some("tools"));
        assert_eq!(Fields::plain("prompt").grammar("no"), None);
    }

    #[test]
    fn what_a_client_sent_is_not_repeated_at_length() {
        let long = "é".repeat(5000);
        assert!(Refusal::no_model(&long).message.chars().count() < 300);
        assert!(Refusal::bad("c", &long, "m").param.unwrap().chars().count() < 120);
    }
}
