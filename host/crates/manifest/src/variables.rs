//! `[variables]`: what an application can be configured with.

use std::collections::BTreeMap;

use crate::names::{self, VariableName};
use crate::place::Place;
use crate::reader::Table;

/// One entry of `[variables]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// What it is for.
    pub description: Option<String>,
    /// Its value when nothing else sets it. None means that it is required: a value must come from outside.
    pub default: Option<String>,
    /// Whether its value must not appear in logs or answers.
    pub secret: bool,
    /// Where it is declared.
    pub place: Place,
}

impl Variable {
    /// Whether a value must come from outside.
    pub fn required(&self) -> bool {
        self.default.is_none()
    }
}

pub(crate) fn read(root: &mut Table<'_>) -> BTreeMap<VariableName, Variable> {
    let mut variables = BTreeMap::new();
    let Some(table) = root.table("variables") else { return variables };
    for (name, node) in table.entries() {
        if let Err(cause) = names::lower_snake(name.value) {
            let what = format!("{:?} is no name for a variable: {cause}", name.value);
            table.found.schema(name.place, what, "use lower snake_case, such as `api_host`");
        }
        if let Some(entry) = node.table() {
            variables.insert(VariableName::new(name.value), variable(entry, name.place));
        }
    }
    variables
}

fn variable(mut table: Table<'_>, place: Place) -> Variable {
    let description = table.string("description").map(|text| text.value);
    let required = table.boolean("required");
    let default = table.string("default");
    let default_written = table.has("default");
    let secret = table.boolean("secret").is_some_and(|flag| flag.value);
    let name = table.name.clone();
    match (&required, default_written) {
        (Some(flag), true) if flag.value => {
            let what = format!("`{name}` has both `required` and `default`");
            table.found.schema(flag.place, what, "keep one: a required variable gets its value from outside");
        }
        (Some(flag), false) if !flag.value => {
            let what = format!("`{name}` is not required and has no `default`");
            table.found.schema(flag.place, what, "add `default = \"...\"`, or write `required = true`");
        }
        (None, false) if !table.has("required") => {
            let what = format!("`{name}` has neither `required` nor `default`");
            table.found.schema(place, what, "add `default = \"...\"` or `required = true`");
        }
        _ => {}
    }
    table.finish();
    Variable { description, default: default.map(|text| text.value), secret, place }
}
