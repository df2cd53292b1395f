//! What templates expect of Python's Jinja and minijinja does otherwise, or does not have.
//!
//! Known to differ still: `%` between texts, `varargs` of macros, text marked `safe` that escapes what is added to
//! it, and numbers with an exponent inside a printed list. What Python refuses with an error of its own, such as a
//! loop over `none`, may render here.

use super::json::float;
use minijinja::value::{Kwargs, Tuple, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, Output, State, Value, escape_formatter, filters, tests};
use minijinja_contrib::pycompat;

/// Makes an environment answer as Python's does.
pub(super) fn prepare(environment: &mut Environment<'_>) {
    environment.set_unknown_method_callback(method);
    environment.set_formatter(print);
    environment.add_filter("string", string);
    environment.add_filter("int", int);
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_test("iterable", |value: &Value| !value.is_none() && tests::is_iterable(value));
    environment.add_test("sequence", |value: &Value| match value.kind() {
        ValueKind::String | ValueKind::Map | ValueKind::Undefined => true,
        _ => tests::is_sequence(value),
    });
    environment.add_test("callable", |value: &Value| value.kind() == ValueKind::Plain);
}

/// The text of a number that minijinja would write without its exponent.
fn number(value: &Value) -> Option<String> {
    let fraction = value.kind() == ValueKind::Number && !value.is_integer();
    fraction.then(|| f64::try_from(value.clone()).ok().map(float)).flatten()
}

fn print(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    match number(value) {
        Some(text) => out.write_str(&text).map_err(Error::from),
        None => escape_formatter(out, state, value),
    }
}

fn string(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    number(value).map_or_else(|| filters::string(state, value), |text| Ok(text.into()))
}

/// Python's filter falls back where minijinja's fails.
fn int(
    state: &State<'_, '_>,
    value: &Value,
    fallback: Option<Value>,
    base: Option<u32>,
    options: Kwargs,
) -> Result<Value, Error> {
    let fallback = either(fallback, &options, "default")?.unwrap_or_else(|| 0.into());
    let base = base.map_or_else(|| options.get("base"), |base| Ok(Some(base)))?;
    options.assert_all_used()?;
    Ok(filters::int(state, value, Some(fallback.clone()), base, options).unwrap_or(fallback))
}

/// Python's filter takes its parameters by name too.
#[allow(clippy::needless_pass_by_value, reason = "the shape of a filter is minijinja's")]
fn default(value: &Value, other: Option<Value>, lax: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let other = either(other, &options, "default_value")?;
    let lax = either(lax, &options, "boolean")?.is_some_and(|lax| lax.is_true());
    options.assert_all_used()?;
    let missing = value.is_undefined() || (lax && !value.is_true());
    Ok(if missing { other.unwrap_or_else(|| "".into()) } else { value.clone() })
}

/// A parameter given by its place, or else by its name.
fn either(given: Option<Value>, options: &Kwargs, name: &str) -> Result<Option<Value>, Error> {
    given.map_or_else(|| options.get(name), |given| Ok(Some(given)))
}

/// Python's methods: those of minijinja's library, and those that it lacks.
fn method(state: &mut State<'_, '_>, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match (value.as_str(), name) {
        (Some(text), "removeprefix") => {
            let (prefix,): (&str,) = from_args(args)?;
            Ok(text.strip_prefix(prefix).unwrap_or(text).into())
        }
        (Some(text), "removesuffix") => {
            let (suffix,): (&str,) = from_args(args)?;
            Ok(text.strip_suffix(suffix).unwrap_or(text).into())
        }
        (Some(text), "partition") => {
            let (separator,): (&str,) = from_args(args)?;
            filled(separator)?;
            let (before, after) = text.split_once(separator).unwrap_or((text, ""));
            Ok(tuple([before, if before.len() == text.len() { "" } else { separator }, after]))
        }
        (Some(text), "rpartition") => {
            let (separator,): (&str,) = from_args(args)?;
            filled(separator)?;
            let (before, after) = text.rsplit_once(separator).unwrap_or(("", text));
            Ok(tuple([before, if after.len() == text.len() { "" } else { separator }, after]))
        }
        (Some(text), "rsplit") => {
            let (separator, most): (Option<&str>, Option<i64>) = from_args(args)?;
            rsplit(text, separator, most.and_then(|most| usize::try_from(most).ok()))
        }
        (None, "copy") if matches!(value.kind(), ValueKind::Map | ValueKind::Seq) => Ok(value.clone()),
        _ => pycompat::unknown_method_callback(state, value, name, args),
    }
}

fn tuple(pieces: [&str; 3]) -> Value {
    Tuple::from(pieces.map(Value::from)).into()
}

fn filled(separator: &str) -> Result<(), Error> {
    if separator.is_empty() {
        return Err(Error::new(ErrorKind::InvalidOperation, "empty separator"));
    }
    Ok(())
}

/// Splits at the last `most` separators, or at all; without a separator, at white space.
fn rsplit(text: &str, separator: Option<&str>, most: Option<usize>) -> Result<Value, Error> {
    let mut left = most.unwrap_or(usize::MAX);
    let mut pieces = Vec::new();
    let mut rest = if separator.is_none() { text.trim_end() } else { text };
    if let Some(separator) = separator {
        filled(separator)?;
    }
    while left > 0 {
        let cut = match separator {
            Some(separator) => rest.rsplit_once(separator),
            None => rest.rsplit_once(char::is_whitespace).map(|(before, after)| (before.trim_end(), after)),
        };
        let Some((before, after)) = cut else { break };
        pieces.push(after);
        rest = before;
        left -= 1;
    }
    if separator.is_some() || !rest.is_empty() {
        pieces.push(rest);
    }
    Ok(pieces.into_iter().rev().map(Value::from).collect::<Vec<_>>().into())
}
