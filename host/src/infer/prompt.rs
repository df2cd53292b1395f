//! What the model is asked: from the command line, or from standard input.

use super::Infer;
use crate::failure::Failure;
use crate::release::Exit;
use crate::terminal::say;
use bobbin_bundle::Kind;
use bobbin_inference::Prompt;
use serde_json::json;
use std::io::{self, IsTerminal, Read};

/// More than fits into any context.
const MOST: u64 = 16 << 20;

/// The texts that are meant: one to continue, or those to embed.
///
/// # Errors
/// When standard input cannot be read, is no text, or is too long; when there is nothing to embed.
pub(super) fn read(args: &Infer, kind: Kind) -> Result<Vec<String>, Failure> {
    if let Some(prompt) = &args.prompt {
        return Ok(vec![prompt.clone()]);
    }
    if io::stdin().is_terminal() {
        say(format_args!("type the prompt; Ctrl-D ends it"));
    }
    let text = stdin(io::stdin().lock())?;
    if kind != Kind::Embed {
        // The line break that ends a file or an echo is not meant.
        return Ok(vec![text.strip_suffix('\n').unwrap_or(&text).to_owned()]);
    }
    let texts: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    if texts.is_empty() {
        let message = "standard input has no text to embed; give one as an argument, or one on each line";
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(texts)
}

fn stdin(from: impl Read) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = from.take(MOST + 1).read_to_end(&mut bytes);
    let read = read.map_err(|error| Failure::new(Exit::Failed, format!("standard input cannot be read: {error}")))?;
    if read as u64 > MOST {
        let message = format!("standard input has more than {} MiB; no model reads that much at once", MOST >> 20);
        return Err(Failure::new(Exit::Usage, message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::new(Exit::Usage, format!("standard input is no UTF-8 text from byte {at} on; convert it first"))
    })
}

/// What becomes of the text: a chat where it is to be one.
pub(super) fn prompt(texts: Vec<String>, chat: bool, system: Option<&str>) -> Prompt {
    let text = texts.into_iter().next().unwrap_or_default();
    if !chat && system.is_none() {
        return Prompt::Text(text);
    }
    let system = system.map(|system| json!({ "role": "system", "content": system }));
    let messages: serde_json::Value = system.into_iter().chain([json!({ "role": "user", "content": text })]).collect();
    Prompt::Chat { messages: messages.to_string(), tools: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_text_makes_a_chat_of_the_prompt() {
        let texts = || vec!["hello".to_owned()];
        assert_eq!(prompt(texts(), false, None), Prompt::Text("hello".into()));
        let messages = r#"[{"content":"be kind","role":"system"},{"content":"hello","role":"user"}]"#;
        let Prompt::Chat { messages: made, tools: None } = prompt(texts(), false, Some("be kind")) else { panic!() };
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&made).unwrap(),
            serde_json::from_str::<serde_json::Value>(messages).unwrap()
        );
        assert!(matches!(prompt(texts(), true, None), Prompt::Chat { .. }));
    }

    #[test]
    fn what_is_no_text_is_refused_with_its_place() {
        let error = stdin(&b"ab\xff"[..]).unwrap_err();
        assert!(error.message.contains("byte 2"), "{}", error.message);
    }
}
