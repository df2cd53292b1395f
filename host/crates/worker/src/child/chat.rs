//! Chat templates: messages in, parts of a prompt out.
//!
//! Templates are written for Python's Jinja and Hugging Face's conventions: `messages`, `tools`,
//! `add_generation_prompt`, `bos_token`, `eos_token`, `raise_exception`, `strftime_now`, Python's string
//! methods, blocks trimmed. How user text is kept from making special tokens is in [`super::specials`].

mod clock;
#[cfg(test)]
mod families;
mod input;
mod json;
mod plain;
mod python;
#[cfg(test)]
mod tests;

use super::specials::{Part, Specials};
use super::tools::Form;
use bobbin_inference::{InferenceError, Reason};
use input::Input;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind};
use std::borrow::Cow;
use std::time::SystemTime;

/// Instructions of one rendering; bounds its time and memory.
const FUEL: u64 = 10_000_000;

/// A compiled template.
pub(super) struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
    /// How calls of tools are written.
    form: Form,
    /// Whether it says tools to the model.
    knows_tools: bool,
}

impl ChatTemplate {
    /// Compiles a template.
    ///
    /// # Errors
    /// The template's syntax error, with its line.
    pub(super) fn new(source: &str, bos: String, eos: String) -> Result<Self, String> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| error.to_string())?);
        environment.set_fuel(Some(FUEL));
        python::prepare(&mut environment);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", |format: &str| clock::strftime(format, SystemTime::now()));
        environment.add_filter("tojson", json::to_json);
        environment.add_template_owned("chat", without_generation_tags(source)).map_err(|error| {
            let detail = error.detail().map_or_else(|| error.to_string(), str::to_owned);
            format!("the chat template does not compile: {detail} in line {}", error.line().unwrap_or(1))
        })?;
        let (form, knows_tools) = (Form::of(source), source.contains("tools"));
        Ok(Self { environment, bos, eos, form, knows_tools })
    }

    /// How the model writes calls of tools.
    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// Renders a conversation, ready for the assistant's answer.
    ///
    /// # Errors
    /// `invalid_input` for messages of the wrong shape, or refused by the template, in its words.
    pub(super) fn render(
        &self,
        messages: &str,
        tools: Option<&str>,
        specials: &Specials,
    ) -> Result<Vec<Part>, InferenceError> {
        // Calls and their results may be part of a conversation to which no tools are offered any more.
        let about_tools = tools.is_some() || messages.contains("\"tool");
        let (messages, tools) = match self.knows_tools || !about_tools {
            true => (Cow::Borrowed(messages), tools),
            false => (Cow::Owned(plain::conversation(messages, tools)?), None),
        };
        let input = Input::new(&messages, tools, specials)?;
        let failed = |error: Error| {
            let detail = error.detail().map_or_else(|| error.to_string(), str::to_owned);
            InferenceError::new(Reason::InvalidInput, format!("the chat template refuses these messages: {detail}"))
        };
        let template = self.environment.get_template("chat").map_err(failed)?;
        let rendered = template
            .render(minijinja::context! {
                messages => input.messages,
                tools => input.tools,
                // Defined in Hugging Face's libraries, and none where nobody retrieves documents.
                documents => (),
                add_generation_prompt => true,
                bos_token => self.bos.as_str(),
                eos_token => self.eos.as_str(),
            })
            .map_err(failed)?;
        Ok(specials.split(&rendered, &input.fuse))
    }
}

/// Whether a template says what the messages say. Any text is a template of itself; one that says the same of two
/// different messages is no chat template.
///
/// # Errors
/// The template's syntax error, with its line.
pub fn says_messages(source: &str) -> Result<bool, String> {
    let template = ChatTemplate::new(source, String::new(), String::new())?;
    let specials = Specials::default();
    let said = |text: &str| {
        let messages = serde_json::json!([{ "role": "user", "content": text }]);
        template.render(&messages.to_string(), None, &specials)
    };
    Ok(match (said("one"), said("another")) {
        (Ok(one), Ok(another)) => one != another,
        // It looked at them, and wants others.
        (Err(_), _) | (_, Err(_)) => true,
    })
}

fn raise_exception(message: &str) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message.to_owned()))
}

/// Hugging Face's tag for training masks; it renders its body.
fn without_generation_tags(source: &str) -> String {
    let mut source = source.to_owned();
    for tag in ["generation", "endgeneration"] {
        for (open, close) in [("{%-", "-%}"), ("{%-", "%}"), ("{%", "-%}"), ("{%", "%}")] {
            // A comment keeps the white-space control that the tag had.
            let comment = format!("{}{}", open.replace('%', "#"), close.replace('%', "#"));
            source = source.replace(&format!("{open} {tag} {close}"), &comment);
        }
    }
    source
}
