//! Reading JSON field by field: each is taken by its name, has its type and bounds checked where it stands, and whatever is
//! left is refused by its name.

use crate::refusal::{Refusal, quoted};
use serde_json::{Map, Number, Value};

pub(crate) type Checked<T> = Result<T, Refusal>;

/// A value, and where in the request it stands.
#[derive(Debug)]
pub(crate) struct Field {
    path: String,
    value: Value,
}

/// An object of which fields are taken.
#[derive(Debug)]
pub(crate) struct Object {
    path: String,
    fields: Map<String, Value>,
}

impl Field {
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    fn wrong<T>(&self, wanted: &str) -> Checked<T> {
        Err(Refusal::wrong_type(&self.path, wanted, &self.value))
    }

    pub(crate) fn boolean(self) -> Checked<bool> {
        self.value.as_bool().map_or_else(|| self.wrong("a boolean"), Ok)
    }

    pub(crate) fn string(self) -> Checked<String> {
        match self.value {
            Value::String(text) => Ok(text),
            _ => self.wrong("a string"),
        }
    }

    /// An integer of these bounds, each of them included. `1.0` is one, as in JSON Schema.
    pub(crate) fn integer(self, min: i64, max: i64) -> Checked<i64> {
        // What is over 64 bits is an integer too, but none that any field takes.
        let Value::Number(number) = &self.value else { return self.wrong("an integer") };
        let Some(value) = whole(number) else { return self.wrong("an integer") };
        let bound = |code, side, bound| {
            Err(Refusal::bad(code, &self.path, format!("'{}' is {number}; it has to be at {side} {bound}", self.path)))
        };
        match i64::try_from(value) {
            Ok(value) if (min..=max).contains(&value) => Ok(value),
            _ if value < i128::from(min) => bound("integer_below_min_value", "least", min),
            _ => bound("integer_above_max_value", "most", max),
        }
    }

    /// A number of these bounds, each of them included.
    pub(crate) fn number(self, min: f64, max: f64) -> Checked<f64> {
        let Some(value) = self.value.as_f64() else { return self.wrong("a number") };
        let bound = |code, side, bound| {
            Err(Refusal::bad(code, &self.path, format!("'{}' is {value}; it has to be at {side} {bound}", self.path)))
        };
        match value {
            value if value < min => bound("decimal_below_min_value", "least", min),
            value if value > max => bound("decimal_above_max_value", "most", max),
            value => Ok(value),
        }
    }

    /// The fields of an object.
    pub(crate) fn object(self) -> Checked<Object> {
        match self.value {
            Value::Object(fields) => Ok(Object { path: self.path, fields }),
            _ => self.wrong("an object"),
        }
    }

    /// The elements of an array of at least one.
    pub(crate) fn array(self) -> Checked<Vec<Self>> {
        self.array_of("an array", usize::MAX)
    }

    /// Only that it is an array, with whatever in it.
    pub(crate) fn list(self, wanted: &str) -> Checked<()> {
        if self.value.is_array() { Ok(()) } else { self.wrong(wanted) }
    }

    /// The elements of an array of one to `most`; `wanted` says what it is, such as `an array of strings`.
    pub(crate) fn array_of(self, wanted: &str, most: usize) -> Checked<Vec<Self>> {
        let elements = match self.value {
            Value::Array(elements) => elements,
            _ => return self.wrong(wanted),
        };
        let path = self.path;
        if elements.is_empty() {
            return Err(Refusal::bad(
                "empty_array",
                &path,
                format!("'{path}' is empty; it needs at least one element"),
            ));
        }
        if elements.len() > most {
            let message = format!("'{path}' has {} elements; there may be at most {most}", elements.len());
            return Err(Refusal::bad("array_above_max_length", &path, message));
        }
        let elements = elements.into_iter().enumerate();
        Ok(elements.map(|(at, value)| Self { path: format!("{path}[{at}]"), value }).collect())
    }

    /// A string that is one of these names. `unsupported` are those that the API has besides.
    pub(crate) fn one_of<const N: usize>(
        self,
        names: [&'static str; N],
        unsupported: &[&str],
    ) -> Checked<&'static str> {
        let Value::String(text) = &self.value else { return self.wrong("a string") };
        if let Some(name) = names.into_iter().find(|name| name == text) {
            return Ok(name);
        }
        let (path, all) = (&self.path, names.join("', '"));
        if unsupported.contains(&text.as_str()) {
            return Err(Refusal::unsupported_value(path, format!("it takes '{all}', not {}", quoted(text))));
        }
        Err(Refusal::bad("invalid_value", path, format!("'{path}' takes '{all}', not {}", quoted(text))))
    }
}

impl Object {
    /// The body of a request.
    pub(crate) fn body(bytes: &[u8]) -> Checked<Self> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => Ok(Self { path: String::new(), fields }),
            Ok(_) => {
                Err(Refusal::unreadable("the body of the request is JSON, but no object; send one with the fields"))
            }
            Err(error) => Err(Refusal::unreadable(format!("the body of the request is no JSON: {error}"))),
        }
    }

    /// Where a field of it stands, or would.
    pub(crate) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The field, if it is there. One that is null is not.
    pub(crate) fn take(&mut self, name: &str) -> Option<Field> {
        let value = self.fields.remove(name).filter(|value| !value.is_null())?;
        Some(Field { path: self.path_of(name), value })
    }

    /// The field, which has to be there.
    pub(crate) fn need(&mut self, name: &str, wanted: &str) -> Checked<Field> {
        self.take(name).ok_or_else(|| Refusal::missing(&self.path_of(name), wanted))
    }

    /// A field that may be there, whatever it holds: it can change no answer.
    pub(crate) fn ignore(&mut self, name: &str) {
        self.fields.remove(name);
    }

    /// The fields that nobody took, with where they stand.
    pub(crate) fn rest(self) -> impl Iterator<Item = (String, Field)> {
        let path = self.path;
        self.fields.into_iter().map(move |(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            (name, Field { path, value })
        })
    }

    /// Refuses a field that the API has and this server does not, if it is there.
    pub(crate) fn unsupported(&mut self, name: &str, why: &str) -> Checked<()> {
        self.take(name).map_or(Ok(()), |field| Err(Refusal::unsupported(field.path(), why)))
    }

    /// Refuses what nobody took.
    pub(crate) fn end(self) -> Checked<()> {
        match self.fields.keys().next() {
            None => Ok(()),
            Some(name) => {
                let message = format!("{} is no field that is known here", quoted(&self.path_of(name)));
                Err(Refusal::bad("unknown_parameter", &self.path_of(name), message))
            }
        }
    }
}

/// The number as an integer, if it is one.
#[allow(clippy::cast_possible_truncation, reason = "a cast from a float saturates, and then is over every bound")]
fn whole(number: &Number) -> Option<i128> {
    let integer = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    integer.or_else(|| number.as_f64().filter(|float| float.fract() == 0.0).map(|float| float as i128))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: &Value) -> Object {
        Object::body(value.to_string().as_bytes()).unwrap()
    }

    fn told<T: std::fmt::Debug>(result: Checked<T>) -> (String, String) {
        let refusal = result.unwrap_err();
        (refusal.code, refusal.param.unwrap_or_default())
    }

    fn pair(code: &str, param: &str) -> (String, String) {
        (code.to_owned(), param.to_owned())
    }

    #[test]
    fn a_field_is_named_by_its_whole_path() {
        let mut body = object(&json!({ "messages": [{ "role": "user" }, { "content": [{ "text": 1 }] }] }));
        let mut messages = body.take("messages").unwrap().array().unwrap();
        let mut second = messages.pop().unwrap().object().unwrap();
        assert_eq!(told(second.need("role", "a string")), pair("missing_required_parameter", "messages[1].role"));
        let mut parts = second.take("content").unwrap().array().unwrap();
        let mut part = parts.pop().unwrap().object().unwrap();
        let text = part.take("text").unwrap().string();
        assert_eq!(
            text.as_ref().unwrap_err().message,
            "'messages[1].content[0].text' takes a string; this is an integer"
        );
        assert_eq!(told(text), pair("invalid_type", "messages[1].content[0].text"));
    }

    #[test]
    fn bounds_are_included_and_what_is_beyond_says_on_which_side() {
        let field = |value: Value| object(&json!({ "n": value })).take("n").unwrap();
        assert_eq!(field(json!(1)).integer(1, 128), Ok(1));
        assert_eq!(field(json!(128)).integer(1, 128), Ok(128));
        assert_eq!(told(field(json!(0)).integer(1, 128)), pair("integer_below_min_value", "n"));
        assert_eq!(told(field(json!(129)).integer(1, 128)), pair("integer_above_max_value", "n"));
        assert_eq!(told(field(json!(u64::MAX)).integer(1, 128)), pair("integer_above_max_value", "n"));
        assert_eq!(field(json!(2.0)).integer(1, 128), Ok(2));
        assert_eq!(told(field(json!(1e300)).integer(1, 128)), pair("integer_above_max_value", "n"));
        assert_eq!(told(field(json!(1.5)).integer(1, 128)), pair("invalid_type", "n"));
        assert_eq!(told(field(json!("1")).integer(1, 128)), pair("invalid_type", "n"));
        assert_eq!(field(json!(2)).number(0.0, 2.0), Ok(2.0));
        assert_eq!(told(field(json!(2.1)).number(0.0, 2.0)), pair("decimal_above_max_value", "n"));
        assert_eq!(told(field(json!(-0.1)).number(0.0, 2.0)), pair("decimal_below_min_value", "n"));
    }

    #[test]
    fn null_is_as_if_the_field_were_left_out_and_what_is_left_is_refused() {
        let mut body = object(&json!({ "a": null, "b": 1 }));
        assert!(body.take("a").is_none());
        assert_eq!(told(body.end()), pair("unknown_parameter", "b"));
        assert_eq!(told(object(&json!({ "x": null })).end()), pair("unknown_parameter", "x"));
    }

    #[test]
    fn what_is_no_object_is_no_request() {
        let deep = "[".repeat(100_000);
        let long = format!("{{\"a\":1e999{}}}", "9".repeat(100));
        for body in
            ["", "{", "[]", "null", "{\"a\":}", "\u{feff}{}", deep.as_str(), long.as_str(), "{\"a\":\"\\ud800\"}"]
        {
            let refusal = Object::body(body.as_bytes()).unwrap_err();
            assert_eq!(
                (refusal.status, refusal.code.as_str(), refusal.param),
                (400, "invalid_json", None),
                "{body:.20}"
            );
        }
        assert!(Object::body(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn a_name_is_one_of_those_known_here_or_elsewhere() {
        let field = |name: &str| object(&json!({ "t": name })).take("t").unwrap().one_of(["text", "json"], &["audio"]);
        assert_eq!(field("json"), Ok("json"));
        assert_eq!(told(field("audio")), pair("unsupported_value", "t"));
        assert_eq!(told(field("else")), pair("invalid_value", "t"));
    }
}
