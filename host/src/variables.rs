//! The application's variables: who gives them values, and what it says when nobody does.

use crate::cli::Serve;
use crate::terminal::say;
use anyhow::{Context, Result};
use bobbin_manifest::{
    App, Component, Event, Place, Problem, ProblemKind, RuntimeConfigFile, Template, Trigger, VariableName,
    VariablesProvider,
};
use bobbin_stores::variables::{
    DEFAULT_PREFIX, Dotenv, Environment, Provider, ResolveError, Static, Value, VariableSource, VariableSourceError,
    Variables, environment_name,
};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::str::FromStr;

/// An argument of `--variable`. What is wrong with it is told later: the parser of the command line would repeat it, and
/// it may be a secret.
#[derive(Debug, Clone)]
pub(crate) struct VariableArg(Result<VariableSource, VariableSourceError>);

impl FromStr for VariableArg {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.parse()))
    }
}

/// Reads an argument of `--env`.
pub(crate) fn environment_variable(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE"),
    }
}

/// Looks up every variable: on the command line, where the runtime configuration says, in the environment, in `.env`
/// beside the manifest; the default comes last.
pub(crate) fn resolve(args: &Serve, app: &App, config: &RuntimeConfigFile) -> Result<Variables> {
    let given = given(args)?;
    for name in given.names().filter(|name| !app.variables.contains_key(*name)) {
        say(format_args!("warning: --variable sets {name:?}, and the application declares no such variable"));
    }
    let mut providers: Vec<Box<dyn Provider>> = vec![Box::new(given)];
    for configured in &config.variables {
        providers.push(provider(configured)?);
    }
    let file = Dotenv::read(&app.root.join(".env"))?;
    providers.push(Box::new(Environment::new(DEFAULT_PREFIX, file)));
    match Variables::resolve(&app.variables, &providers) {
        Err(ResolveError::Missing(names)) => {
            app.problems_at(names.iter().filter_map(|name| missing(app, name)).collect())?;
            Err(ResolveError::Missing(names).into())
        }
        resolved => Ok(resolved?),
    }
}

fn provider(configured: &VariablesProvider) -> Result<Box<dyn Provider>> {
    Ok(match configured {
        VariablesProvider::Static(values) => {
            let values = values.iter().map(|(name, value)| (name.clone(), Value::new(value)));
            Box::new(Static::new(values.collect()))
        }
        VariablesProvider::Environment { prefix, dotenv } => {
            let file = dotenv.as_deref().map(Dotenv::read).transpose()?.unwrap_or_default();
            Box::new(Environment::new(prefix.as_deref().unwrap_or(DEFAULT_PREFIX), file))
        }
    })
}

/// The values of the command line; of several for one variable, the last one.
fn given(args: &Serve) -> Result<Static> {
    let mut values = BTreeMap::new();
    for VariableArg(source) in &args.variable {
        let source = source.as_ref().map_err(Clone::clone).context("an argument of --variable makes no sense")?;
        values.extend(source.values()?);
    }
    Ok(Static::new(values))
}

fn missing(app: &App, name: &VariableName) -> Option<(Place, Problem)> {
    let place = app.variables.get(name)?.place;
    let what = format!("the variable {name:?} is required and has no value");
    let help = format!(
        "set the environment variable {}, or give --variable {name}=VALUE",
        environment_name(DEFAULT_PREFIX, name.as_str())
    );
    let problem = Problem::new(ProblemKind::Variable, what, help);
    let users: Vec<String> =
        app.components.values().filter(|one| uses(one, name)).map(|one| format!("{:?}", one.id)).collect();
    let problem = match users.as_slice() {
        [] if app.triggers.iter().any(|one| subscribes(one, name)) => problem.because("a Redis trigger uses it"),
        [] => problem.because("no component uses it; it could be removed, too"),
        [one] => problem.because(format!("component {one} uses it")),
        several => problem.because(format!("the components {} use it", several.join(", "))),
    };
    Some((place, problem))
}

fn uses(component: &Component, name: &VariableName) -> bool {
    let refers = |template: &Template| template.variables().any(|variable| variable == name);
    component.variables.values().any(refers) || component.allowed_outbound_hosts.iter().any(refers)
}

fn subscribes(trigger: &Trigger, name: &VariableName) -> bool {
    let Event::Message(channel) = &trigger.event else { return false };
    let texts = channel.address.iter().map(|(address, _)| address).chain([&channel.name]);
    texts.flat_map(Template::variables).any(|variable| variable == name)
}
