//! The fields of HTTP triggers: route, executor, fixed response.

use std::collections::BTreeMap;

use crate::errors::{Problem, ProblemKind};
use crate::place::At;
use crate::reader::{Node, Table};
use crate::routes::{self, Route};

/// How a component is called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Executor {
    /// By the HTTP interface that the component exports.
    #[default]
    Http,
    /// As a CGI program.
    Wagi {
        /// The arguments, separated by spaces; none is Spin's usual line.
        argv: Option<String>,
        /// The function that starts the program; none is `_start`.
        entrypoint: Option<String>,
    },
}

/// A response that the host gives without running a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticResponse {
    /// The status code, from 200 to 599.
    pub status: u16,
    /// The headers.
    pub headers: BTreeMap<String, String>,
    /// The body; none is an empty one.
    pub body: Option<String>,
}

/// Headers that say how a response is sent; a wrong one would break the connection.
const CONNECTION_HEADERS: [&str; 6] =
    ["connection", "content-length", "keep-alive", "te", "transfer-encoding", "upgrade"];

pub(crate) fn route(node: &Node<'_>) -> Option<At<Route>> {
    if node.is_table() {
        return private(node);
    }
    if !node.is_string() {
        return node.wrong_type("a path, or { private = true }");
    }
    let text = node.string()?;
    match routes::check(&text.value) {
        Ok(route) => Some(At { place: text.place, value: route }),
        Err(cause) => {
            let what = format!("{:?} is no route", text.value);
            let help = "write a path such as `/hello`, `/user/:id` or `/story/...`";
            node.found.error(text.place, Problem::new(ProblemKind::Schema, what, help).caused_by(cause));
            None
        }
    }
}

fn private(node: &Node<'_>) -> Option<At<Route>> {
    let mut table = node.table()?;
    let flag = table.required("private", "private = true").and_then(|node| node.boolean());
    table.finish();
    let flag = flag?;
    if !flag.value {
        let what = format!("`{}` is a table that says it is not private", node.name);
        node.found.schema(flag.place, what, "write the path in place of the table: route = \"/hello\"");
        return None;
    }
    Some(At { place: node.place, value: Route::Private })
}

pub(crate) fn executor(node: &Node<'_>) -> Option<Executor> {
    let mut table = node.table()?;
    let kind = table.required("type", "type = \"http\"").and_then(|node| node.string());
    let executor = match kind.as_ref().map(|kind| kind.value.as_str()) {
        // Components export either Spin's own interface or wasi:http; the host sees which.
        Some("http" | "spin") => Some(Executor::Http),
        Some("wagi") => Some(Executor::Wagi {
            argv: table.string("argv").map(|text| text.value),
            entrypoint: table.string("entrypoint").map(|text| text.value),
        }),
        _ => None,
    };
    if let (Some(kind), None) = (&kind, &executor) {
        let what = format!("there is no executor {:?}", kind.value);
        let help = bobbin_suggest::help(&kind.value, ["http", "spin", "wagi"], "remove `executor`");
        node.found.schema(kind.place, what, help);
        return None;
    }
    table.finish();
    executor
}

pub(crate) fn static_response(node: &Node<'_>) -> Option<StaticResponse> {
    let mut table = node.table()?;
    let status = table.get("status_code").map(|node| status(&node));
    let headers = headers(&mut table);
    let body = table.string("body").map(|text| text.value);
    table.finish();
    let status = match status {
        Some(status) => status?,
        None => 200,
    };
    Some(StaticResponse { status, headers, body })
}

fn status(node: &Node<'_>) -> Option<u16> {
    let number = node.integer()?;
    let status = u16::try_from(number.value).ok().filter(|status| (200..=599).contains(status));
    if status.is_none() {
        let what = format!("{} is no status code of a final response", number.value);
        node.found.schema(number.place, what, "write a number from 200 to 599");
    }
    status
}

fn headers(table: &mut Table<'_>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for (name, (place, value)) in table.string_map("headers") {
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(token) {
            let what = format!("{name:?} is no name for a header");
            table.found.schema(place, what, "write a name such as `content-type`");
        }
        if CONNECTION_HEADERS.iter().any(|of| name.eq_ignore_ascii_case(of)) {
            let what = format!("the header {name:?} belongs to the connection, and not to a response");
            table.found.schema(place, what, "remove it; the host writes it where it is needed");
        }
        if value.value.contains(|c: char| c.is_control() && c != '\t') {
            let what = format!("the value of the header {name:?} has a control character");
            table.found.schema(value.place, what, "write it in one line of printable characters");
        }
        headers.insert(name, value.value);
    }
    headers
}
