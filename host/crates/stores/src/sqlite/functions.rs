//! Built-in functions whose calls may take as long as the product of their arguments' lengths: hours, within one step of SQLite's
//! machine, which neither a deadline nor a client that leaves can interrupt. Ours come to the same results in the time that
//! reading the arguments takes; what is rare is asked of SQLite's own, as far as it is done soon.

use memchr::memmem;
use parking_lot::Mutex;
use rusqlite::functions::FunctionFlags;
use rusqlite::limits::Limit;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Error, ToSql, ffi, params_from_iter};
use std::borrow::Cow;
use std::collections::HashSet;
use std::ffi::c_uint;
use std::sync::Arc;

/// Bytes of a pattern of LIKE or GLOB, which are compared with the pattern at each of their places.
const PATTERN_BYTES: i32 = 256;
/// The most that the lengths of two arguments, multiplied, may come to where SQLite's own function is asked.
const WORK: usize = 1 << 32;
/// How SQLite's functions mark a text that is JSON.
const JSON: c_uint = b'J' as c_uint;
/// What a number may have as text.
const NUMBER_BYTES: usize = 32;

/// Puts them in place of SQLite's own. None of ours returns more than `longest` bytes.
pub(super) fn bound(connection: &Connection, longest: usize) -> rusqlite::Result<()> {
    connection.set_limit(Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, PATTERN_BYTES)?;
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    let own = Own::default();
    let add = |name: &'static str, arguments: i32, subtype: Option<c_uint>, function: Function| {
        let own = own.clone();
        let flags = if subtype.is_some() { flags | FunctionFlags::SQLITE_RESULT_SUBTYPE } else { flags };
        connection.create_scalar_function(name, arguments, flags, move |context| {
            let arguments: Vec<ValueRef<'_>> = (0..context.len()).map(|index| context.get_raw(index)).collect();
            let answer = match function(&arguments, longest)? {
                Some(answer) => answer,
                None => own.ask(name, &arguments)?,
            };
            Ok((answer, subtype))
        })
    };
    add("instr", 2, None, instr)?;
    add("replace", 3, None, replace)?;
    add("trim", 2, None, |arguments, _| Ok(trim(arguments, (true, true))))?;
    add("ltrim", 2, None, |arguments, _| Ok(trim(arguments, (true, false))))?;
    add("rtrim", 2, None, |arguments, _| Ok(trim(arguments, (false, true))))?;
    add("unhex", 2, None, |_, _| Ok(None))?;
    // One object's labels are looked for among the other's, one after the other.
    add("json_patch", 2, Some(JSON), |_, _| Ok(None))?;
    add("jsonb_patch", 2, None, |_, _| Ok(None))
}

/// A result, or none where SQLite's own function is to be asked.
type Function = fn(&[ValueRef<'_>], usize) -> rusqlite::Result<Option<Answer>>;

/// What a function returns. A text of SQLite's is not always UTF-8.
#[derive(Debug, PartialEq)]
enum Answer {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl ToSql for Answer {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// SQLite's own functions, in a connection that has no others.
#[derive(Clone, Default)]
struct Own(Arc<Mutex<Option<Connection>>>);

impl Own {
    fn ask(&self, name: &str, arguments: &[ValueRef<'_>]) -> rusqlite::Result<Answer> {
        let mut lengths: Vec<usize> = arguments.iter().map(length).collect();
        lengths.sort_unstable();
        let work = lengths.iter().rev().take(2).fold(1_usize, |work, length| work.saturating_mul((*length).max(1)));
        if work > WORK {
            let told = format!("the arguments of {name}() are too long for each other; compare shorter parts of them");
            return Err(Error::UserFunctionError(told.into()));
        }
        let mut open = self.0.lock();
        let connection = match &mut *open {
            Some(connection) => connection,
            none => none.insert(Connection::open_in_memory()?),
        };
        let places = vec!["?"; arguments.len()].join(", ");
        let mut statement = connection.prepare_cached(&format!("SELECT {name}({places})"))?;
        let borrowed = arguments.iter().map(|argument| ToSqlOutput::Borrowed(*argument));
        statement.query_row(params_from_iter(borrowed), |row| {
            Ok(match row.get_ref(0)? {
                ValueRef::Null => Answer::Null,
                ValueRef::Integer(number) => Answer::Integer(number),
                ValueRef::Real(number) => Answer::Real(number),
                ValueRef::Text(text) => Answer::Text(text.to_vec()),
                ValueRef::Blob(bytes) => Answer::Blob(bytes.to_vec()),
            })
        })
    }
}

fn length(value: &ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => NUMBER_BYTES,
    }
}

/// A value as text, as SQLite casts it; none where that is SQLite's to say.
fn text<'a>(value: &ValueRef<'a>) -> Option<Cow<'a, [u8]>> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(Cow::Borrowed(*bytes)),
        ValueRef::Integer(number) => Some(Cow::Owned(number.to_string().into_bytes())),
        ValueRef::Null | ValueRef::Real(_) => None,
    }
}

/// Where the second begins in the first, from 1: in characters, or in bytes if both are blobs.
fn instr(arguments: &[ValueRef<'_>], _longest: usize) -> rusqlite::Result<Option<Answer>> {
    let [haystack, needle] = arguments else { return Ok(None) };
    let (Some(within), Some(sought)) = (text(haystack), text(needle)) else { return Ok(None) };
    let blobs = matches!((haystack, needle), (ValueRef::Blob(_), ValueRef::Blob(_)));
    let place = match memmem::find(&within, &sought) {
        _ if sought.is_empty() => 1,
        None => 0,
        Some(found) if blobs => found + 1,
        Some(found) => match within.get(..found) {
            // A needle that begins within a character is SQLite's to find, or not.
            Some(before) if sought.first().is_some_and(begins) || found == 0 => {
                before.iter().skip(1).filter(|byte| begins(byte)).count() + 1 + usize::from(found > 0)
            }
            _ => return Ok(None),
        },
    };
    Ok(Some(Answer::Integer(place as i64)))
}

/// Whether a character of a text begins with this byte.
fn begins(byte: &u8) -> bool {
    byte & 0xc0 != 0x80
}

/// The first with every occurrence of the second replaced by the third.
fn replace(arguments: &[ValueRef<'_>], longest: usize) -> rusqlite::Result<Option<Answer>> {
    let [within, sought, by] = arguments else { return Ok(None) };
    let (Some(within), Some(sought), Some(by)) = (text(within), text(sought), text(by)) else { return Ok(None) };
    // SQLite takes a pattern that begins with a zero for none.
    if sought.first().is_none_or(|first| *first == 0) {
        return Ok(None);
    }
    let finder = memmem::Finder::new(sought.as_ref());
    let found = finder.find_iter(&within).count();
    let bytes = (within.len() - found * sought.len()).saturating_add(found.saturating_mul(by.len()));
    if bytes > longest {
        return Err(Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_TOOBIG), None));
    }
    let mut replaced = Vec::with_capacity(bytes);
    let mut rest = 0;
    for place in finder.find_iter(&within) {
        replaced.extend_from_slice(within.get(rest..place).unwrap_or_default());
        replaced.extend_from_slice(&by);
        rest = place + sought.len();
    }
    replaced.extend_from_slice(within.get(rest..).unwrap_or_default());
    Ok(Some(Answer::Text(replaced)))
}

/// The first without the characters of the second at its beginning and at its end.
fn trim(arguments: &[ValueRef<'_>], (left, right): (bool, bool)) -> Option<Answer> {
    let [within, characters] = arguments else { return None };
    let (within, characters) = (text(within)?, text(characters)?);
    let mut rest = std::str::from_utf8(&within).ok()?;
    // SQLite reads a zero as the end.
    let characters = std::str::from_utf8(&characters).ok()?.split('\0').next().unwrap_or_default();
    let set: HashSet<char> = characters.chars().collect();
    if left {
        rest = rest.trim_start_matches(|one| set.contains(&one));
    }
    if right {
        rest = rest.trim_end_matches(|one| set.contains(&one));
    }
    Some(Answer::Text(rest.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts, blobs and numbers that find each other, or nearly. What is no UTF-8 is a text by a cast.
    const VALUES: [&str; 26] = [
        "NULL",
        "''",
        "'a'",
        "'b'",
        "'ab'",
        "'aab'",
        "'abababa'",
        "'  ab  '",
        "'ä'",
        "'äöä'",
        "'xäöäx'",
        "'x€y€'",
        "x''",
        "x'61'",
        "x'6162'",
        "x'c3a4'",
        "x'a4'",
        "CAST(x'a4' AS TEXT)",
        "CAST(x'61c3a462' AS TEXT)",
        "CAST(x'61ff62' AS TEXT)",
        "CAST(x'610062' AS TEXT)",
        "CAST(x'0062' AS TEXT)",
        "12",
        "-1",
        "1.5",
        "'4142 43'",
    ];

    fn ours() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        bound(&connection, 1 << 20).unwrap();
        connection
    }

    /// Type and bytes of a result.
    fn ask(connection: &Connection, call: &str) -> (String, Option<Vec<u8>>) {
        let statement = format!("SELECT typeof({call}), CAST({call} AS BLOB)");
        connection.query_row(&statement, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    }

    #[test]
    fn the_results_are_those_of_sqlites_own_functions() {
        let (ours, own) = (ours(), Connection::open_in_memory().unwrap());
        for one in VALUES {
            for two in VALUES {
                let pairs = ["instr", "trim", "ltrim", "rtrim", "unhex"].map(|name| format!("{name}({one}, {two})"));
                let more = VALUES.map(|three| format!("replace({one}, {two}, {three})"));
                for call in pairs.iter().chain(&more) {
                    assert_eq!(ask(&ours, call), ask(&own, call), "{call}");
                }
            }
        }
    }

    #[test]
    fn a_result_that_is_too_long_is_refused_before_it_is_made() {
        let connection = Connection::open_in_memory().unwrap();
        bound(&connection, 100).unwrap();
        let long = |bytes: usize| {
            let statement = format!("SELECT length(replace('aaaaaaaaaa', 'a', printf('%.*c', {bytes}, 'b')))");
            connection.query_row(&statement, [], |row| row.get::<_, i64>(0))
        };
        assert_eq!(long(10).unwrap(), 100);
        let error = long(11).unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::TooBig), "{error}");
    }

    #[test]
    fn indexes_and_views_may_use_them() {
        let connection = ours();
        connection.pragma_update(None, "trusted_schema", false).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t (a, b AS (trim(a, 'x')));
                 CREATE INDEX i ON t (instr(a, 'b'));
                 CREATE VIEW v AS SELECT replace(a, 'a', 'b') AS c FROM t;
                 INSERT INTO t (a) VALUES ('xaxb')",
            )
            .unwrap();
        let found = connection.query_row("SELECT c, b FROM v, t WHERE instr(t.a, 'b') = 4", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        });
        assert_eq!(found.unwrap(), ("xbxb".to_owned(), "axb".to_owned()));
    }
}
