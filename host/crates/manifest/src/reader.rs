//! Reads a parsed TOML document piece by piece, and reports what does not fit.
//!
//! Serde stops at the first error and knows no place once a value went through an untagged enum. This reader
//! goes on: a value of the wrong type is reported and becomes `None`, and a key that nobody asked for is
//! reported with the nearest known one when its table is finished.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::errors::{Findings, Problem, ProblemKind};
use crate::place::{At, Place};

/// One value of the document.
#[derive(Clone)]
pub(crate) struct Node<'a> {
    pub(crate) found: &'a Findings<'a>,
    /// The dotted path by which messages call this value, such as `component.story.source`.
    pub(crate) name: String,
    pub(crate) place: Place,
    value: &'a Spanned<DeValue<'a>>,
}

/// A table of the document, whose keys are taken one after the other.
pub(crate) struct Table<'a> {
    pub(crate) found: &'a Findings<'a>,
    pub(crate) name: String,
    pub(crate) place: Place,
    entries: &'a DeTable<'a>,
    asked: Vec<&'static str>,
}

impl<'a> Node<'a> {
    pub(crate) fn is_string(&self) -> bool {
        self.value.get_ref().is_str()
    }

    pub(crate) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    pub(crate) fn is_array(&self) -> bool {
        self.value.get_ref().is_array()
    }

    pub(crate) fn is_bool(&self) -> bool {
        self.value.get_ref().is_bool()
    }

    /// Reports that this value has the wrong type; `wanted` reads as "a string".
    pub(crate) fn wrong_type<T>(&self, wanted: &str) -> Option<T> {
        let actual = self.value.get_ref().type_str();
        let article = if actual.starts_with(['a', 'i']) { "an" } else { "a" };
        let what = format!("`{}` must be {wanted}, and this is {article} {actual}", self.name);
        let help = match wanted {
            "a string" => "put the value in quotes".to_owned(),
            "an array" => "put the value in brackets, also where there is only one: [\"...\"]".to_owned(),
            "an integer" => "write a whole number, without quotes and fraction".to_owned(),
            "a table" => format!("write it as a table, under the header [{}] or in braces", self.name),
            other => format!("write {other}"),
        };
        self.found.schema(self.place, what, help);
        None
    }

    fn at<T>(&self, value: T) -> At<T> {
        At { place: self.place, value }
    }

    pub(crate) fn string(&self) -> Option<At<String>> {
        match self.value.get_ref().as_str() {
            Some(text) => Some(self.at(text.to_owned())),
            None => self.wrong_type("a string"),
        }
    }

    pub(crate) fn boolean(&self) -> Option<At<bool>> {
        match self.value.get_ref().as_bool() {
            Some(value) => Some(self.at(value)),
            None => self.wrong_type("true or false"),
        }
    }

    /// The integer, whatever its sign and size; `None` only for other types and for numbers over 64 bits.
    pub(crate) fn integer(&self) -> Option<At<i64>> {
        let Some(number) = self.value.get_ref().as_integer() else {
            return self.wrong_type("an integer");
        };
        match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(value) => Some(self.at(value)),
            Err(cause) => {
                let what = format!("`{}` is no number that fits", self.name);
                let help = "write a whole number of at most 64 bits";
                self.found.error(self.place, Problem::new(ProblemKind::Schema, what, help).caused_by(cause));
                None
            }
        }
    }

    pub(crate) fn items(&self) -> Option<Vec<Node<'a>>> {
        let Some(array) = self.value.get_ref().as_array() else {
            return self.wrong_type("an array");
        };
        let item = |(index, value): (usize, &'a Spanned<DeValue<'a>>)| Node {
            found: self.found,
            name: format!("{}[{index}]", self.name),
            place: self.found.place(value.span().start),
            value,
        };
        Some(array.iter().enumerate().map(item).collect())
    }

    /// The strings of an array; items of other types are reported and left out.
    pub(crate) fn strings(&self) -> Vec<At<String>> {
        self.items().unwrap_or_default().iter().filter_map(Node::string).collect()
    }

    pub(crate) fn table(&self) -> Option<Table<'a>> {
        match self.value.get_ref().as_table() {
            Some(entries) => Some(Table {
                found: self.found,
                name: self.name.clone(),
                place: self.place,
                entries,
                asked: Vec::new(),
            }),
            None => self.wrong_type("a table"),
        }
    }

    /// The value as plain TOML, for tables whose content belongs to others.
    pub(crate) fn plain(&self) -> Option<toml::Value> {
        match toml::Value::deserialize(ValueDeserializer::from(self.value.clone())) {
            Ok(value) => Some(value),
            Err(cause) => {
                let what = format!("`{}` holds a value that cannot be read", self.name);
                let help = "correct the value";
                self.found.error(self.place, Problem::new(ProblemKind::Schema, what, help).caused_by(cause));
                None
            }
        }
    }
}

impl<'a> Table<'a> {
    pub(crate) fn root(found: &'a Findings<'a>, document: &'a Spanned<DeTable<'a>>) -> Self {
        let place = found.place(0);
        Self { found, name: String::new(), place, entries: document.get_ref(), asked: Vec::new() }
    }

    fn node(&self, key: &'a Spanned<std::borrow::Cow<'a, str>>, value: &'a Spanned<DeValue<'a>>) -> Node<'a> {
        let name = match self.name.as_str() {
            "" => key.get_ref().to_string(),
            parent => format!("{parent}.{}", key.get_ref()),
        };
        // A table under a header or a dotted key has no first character of its own; its key is the place to show.
        let headed = value.get_ref().is_table() && !self.found.stands_at(value.span().start, '{');
        let start = if headed { key.span().start } else { value.span().start };
        Node { found: self.found, name, place: self.found.place(start), value }
    }

    /// Takes an optional key.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<Node<'a>> {
        self.asked.push(key);
        let (key, value) = self.entries.iter().find(|(name, _)| name.get_ref() == key)?;
        Some(self.node(key, value))
    }

    /// Whether a key is there, without taking it.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name.get_ref() == key)
    }

    /// Takes a key that must be there; `example` is a line that could be written.
    pub(crate) fn required(&mut self, key: &'static str, example: &str) -> Option<Node<'a>> {
        let node = self.get(key);
        if node.is_none() {
            let what = match self.name.as_str() {
                "" => format!("the {} has no `{key}`", self.found.document()),
                name => format!("`{name}` has no `{key}`"),
            };
            self.found.schema(self.place, what, format!("add it, for example: {example}"));
        }
        node
    }

    pub(crate) fn string(&mut self, key: &'static str) -> Option<At<String>> {
        self.get(key)?.string()
    }

    pub(crate) fn boolean(&mut self, key: &'static str) -> Option<At<bool>> {
        self.get(key)?.boolean()
    }

    pub(crate) fn strings(&mut self, key: &'static str) -> Vec<At<String>> {
        self.get(key).map(|node| node.strings()).unwrap_or_default()
    }

    pub(crate) fn table(&mut self, key: &'static str) -> Option<Table<'a>> {
        self.get(key)?.table()
    }

    /// Every entry of a table whose keys are names of the author's choice.
    pub(crate) fn entries(&self) -> Vec<(At<&'a str>, Node<'a>)> {
        self.entries
            .iter()
            .map(|(key, value)| {
                let place = self.found.place(key.span().start);
                (At { place, value: key.get_ref().as_ref() }, self.node(key, value))
            })
            .collect()
    }

    /// A table of strings under names of the author's choice, each with the place of its name.
    pub(crate) fn string_map(&mut self, key: &'static str) -> BTreeMap<String, (Place, At<String>)> {
        let Some(table) = self.table(key) else { return BTreeMap::new() };
        table
            .entries()
            .into_iter()
            .filter_map(|(name, node)| Some((name.value.to_owned(), (name.place, node.string()?))))
            .collect()
    }

    /// A table of tables that belong to others, such as `tool`.
    pub(crate) fn foreign_tables(&mut self, key: &'static str) -> BTreeMap<String, toml::Table> {
        let Some(table) = self.table(key) else { return BTreeMap::new() };
        table.entries().into_iter().filter_map(|(name, node)| Some((name.value.to_owned(), foreign(&node)?))).collect()
    }

    /// Reports every key that nobody asked for.
    pub(crate) fn finish(self) {
        for (key, _) in self.entries {
            let name = key.get_ref().as_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let place = self.found.place(key.span().start);
            let inside = match self.name.as_str() {
                "" => format!("at the top of the {}", self.found.document()),
                parent => format!("in `{parent}`"),
            };
            let help = bobbin_suggest::help(name, self.asked.iter().copied(), "remove it");
            self.found.schema(place, format!("unknown key `{name}` {inside}"), help);
        }
    }
}

/// A table whose content belongs to others, as plain TOML.
pub(crate) fn foreign(node: &Node<'_>) -> Option<toml::Table> {
    if !node.is_table() {
        return node.wrong_type("a table");
    }
    match node.plain()? {
        toml::Value::Table(table) => Some(table),
        _ => None,
    }
}
