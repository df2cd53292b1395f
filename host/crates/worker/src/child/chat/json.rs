//! The filter `tojson`, which writes as Python's `json.dumps` does: what models were trained with.

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};
use std::io::{Result as Written, Write};

/// Spaces of one level; a template's number is no reason to write more.
const WIDEST: usize = 16;

/// Characters that may stand for others in here are not escaped; see [`super::super::specials`].
const PRIVATE: char = '\u{F0000}';

/// The filter. Its parameters and their order are those it has in Hugging Face's libraries.
///
/// # Errors
/// For parameters of other types, and for what is undefined.
#[allow(clippy::needless_pass_by_value, reason = "the shape of a filter is minijinja's")]
pub(super) fn to_json(value: &Value, given: Rest<Value>, options: Kwargs) -> Result<Value, Error> {
    let option = |at: usize, name: &str| match given.get(at) {
        Some(given) => Ok(Some(given.clone())),
        None => options.get::<Option<Value>>(name),
    };
    let ascii = option(0, "ensure_ascii")?.is_some_and(|on| on.is_true());
    let indent = option(1, "indent")?;
    let separators = option(2, "separators")?;
    let sort = option(3, "sort_keys")?.is_some_and(|on| on.is_true());
    options.assert_all_used()?;
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::BadSerialization, "tojson got something undefined"));
    }
    let indent = indent.filter(|indent| !indent.is_none()).map(|indent| level(&indent)).transpose()?;
    let (item, key) = match separators.filter(|separators| !separators.is_none()) {
        Some(separators) => pair(&separators)?,
        None if indent.is_some() => (",".into(), ": ".into()),
        None => (", ".into(), ": ".into()),
    };
    let mut bytes = Vec::new();
    let python = Python { item, key, indent, ascii, depth: 0, filled: false };
    let value = if sort { &sorted(value)? } else { value };
    value.serialize(&mut Serializer::with_formatter(&mut bytes, python)).map_err(|error| {
        Error::new(ErrorKind::BadSerialization, "a value does not serialise as JSON").with_source(error)
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned().into())
}

/// One level's indentation: so many spaces, or a text.
fn level(indent: &Value) -> Result<String, Error> {
    let unlike = || Error::new(ErrorKind::InvalidOperation, "tojson's indent is neither a number nor a text");
    match indent.as_str() {
        Some(text) => Ok(text.chars().take(WIDEST).collect()),
        None => Ok(" ".repeat(usize::try_from(indent.as_i64().ok_or_else(unlike)?).unwrap_or(0).min(WIDEST))),
    }
}

fn pair(separators: &Value) -> Result<(String, String), Error> {
    let texts: Vec<Value> = separators.try_iter()?.collect();
    match texts.as_slice() {
        [item, key] => Ok((item.to_string(), key.to_string())),
        _ => Err(Error::new(ErrorKind::InvalidOperation, "tojson's separators are not two")),
    }
}

fn sorted(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            keys.sort();
            let field = |key: Value| Ok((key.clone(), sorted(&value.get_item(&key)?)?));
            Ok(Value::from_pairs(keys.into_iter().map(field).collect::<Result<Vec<_>, Error>>()?))
        }
        ValueKind::Seq => Ok(value.try_iter()?.map(|item| sorted(&item)).collect::<Result<Vec<_>, _>>()?.into()),
        _ => Ok(value.clone()),
    }
}

/// Writes JSON as Python does.
struct Python {
    /// Between items.
    item: String,
    /// Between key and value.
    key: String,
    indent: Option<String>,
    ascii: bool,
    depth: usize,
    /// Whether the innermost array or object has items so far.
    filled: bool,
}

impl Python {
    fn line<W: ?Sized + Write>(&self, writer: &mut W) -> Written<()> {
        let Some(indent) = &self.indent else { return Ok(()) };
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(indent.as_bytes()))
    }

    fn open<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> Written<()> {
        self.depth += 1;
        self.filled = false;
        writer.write_all(bracket)
    }

    fn next<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> Written<()> {
        if !first {
            writer.write_all(self.item.as_bytes())?;
        }
        self.line(writer)
    }

    fn close<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> Written<()> {
        self.depth = self.depth.saturating_sub(1);
        if self.filled {
            self.line(writer)?;
        }
        writer.write_all(bracket)
    }
}

impl Formatter for Python {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> Written<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> Written<()> {
        self.close(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> Written<()> {
        self.next(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _: &mut W) -> Written<()> {
        self.filled = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> Written<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> Written<()> {
        self.close(writer, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> Written<()> {
        self.next(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> Written<()> {
        writer.write_all(self.key.as_bytes())
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> Written<()> {
        self.filled = true;
        Ok(())
    }

    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, number: f64) -> Written<()> {
        writer.write_all(float(number).as_bytes())
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> Written<()> {
        if !self.ascii {
            return writer.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            if matches!(character, ' '..='~') || character >= PRIVATE {
                write!(writer, "{character}")?;
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, writer: &mut W, escape: CharEscape) -> Written<()> {
        serde_json::ser::CompactFormatter.write_char_escape(writer, escape)
    }
}

/// Rust's shortest digits, and its choice when to write an exponent, are Python's; the exponent's form is not.
pub(super) fn float(number: f64) -> String {
    let text = format!("{number:?}");
    match text.split_once('e').map(|(digits, exponent)| (digits, exponent.parse::<i32>())) {
        Some((digits, Ok(exponent))) => format!("{digits}e{exponent:+03}"),
        _ => text,
    }
}
