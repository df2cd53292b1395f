//! What is said where the command line makes no sense: by clap, and what it leaves out.

use crate::failure::Failure;
use crate::release::Exit;
use crate::terminal::print;
use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;
use std::process::ExitCode;

/// Says it on standard error, and with `--json` also on standard output.
pub(crate) fn told(mut error: clap::Error, command: &Command, words: &[OsString]) -> ExitCode {
    suggest(&mut error, command, words);
    // Whoever closed the output has seen enough.
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    if wants_json(command, words) {
        print(&format!("{:#}\n", failure(&error).document()));
    }
    Exit::Usage.into()
}

/// For programs: what is wrong, without how the command is used.
fn failure(error: &clap::Error) -> Failure {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::new(Exit::Usage, "a command is missing; --help lists them");
    }
    let whole = error.render().to_string();
    let said = whole.split("\n\nUsage:").next().unwrap_or_default();
    let said = said.split("\n\nFor more information").next().unwrap_or_default();
    let said = said.strip_prefix("error: ").unwrap_or(said);
    Failure::new(Exit::Usage, said.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// How far the words lead into the command line: the last command that they name, and the next word that names none.
fn reached<'a>(command: &'a Command, words: &'a [OsString]) -> (&'a Command, Option<&'a str>) {
    let mut at = command;
    let words = words.iter().skip(1).filter_map(|word| word.to_str());
    for word in words.take_while(|word| *word != "--").filter(|word| !word.starts_with('-') && *word != "help") {
        match at.find_subcommand(word) {
            Some(inner) => at = inner,
            None => return (at, Some(word)),
        }
    }
    (at, None)
}

/// Whether programs are to learn of it, too: the command that was meant, or any of its group, knows `--json`.
fn wants_json(command: &Command, words: &[OsString]) -> bool {
    words.iter().take_while(|word| *word != "--").any(|word| word == "--json") && knows_json(reached(command, words).0)
}

fn knows_json(command: &Command) -> bool {
    command.get_arguments().any(|argument| argument.get_long() == Some("json"))
        || command.get_subcommands().any(knows_json)
}

/// `help` with a command that there is not: clap names the near one everywhere but there.
fn suggest(error: &mut clap::Error, command: &Command, words: &[OsString]) {
    if error.kind() != ErrorKind::InvalidSubcommand || error.get(ContextKind::SuggestedSubcommand).is_some() {
        return;
    }
    let (at, Some(word)) = reached(command, words) else { return };
    let names: Vec<&str> = at.get_subcommands().filter(|inner| !inner.is_hide_set()).map(Command::get_name).collect();
    if let Some(near) = bobbin_suggest::nearest(word, names.iter().copied()) {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![near.to_owned()]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn help_for_a_command_that_there_is_not_finds_the_near_one() {
        for (line, near) in [("bobbin help infr", "infer"), ("bobbin help bundle nw", "new")] {
            let (command, words) = (cli::command(), words(line));
            let mut error = command.clone().try_get_matches_from(&words).unwrap_err();
            suggest(&mut error, &command, &words);
            assert!(error.to_string().contains(&format!("'{near}'")), "{line}: {error}");
        }
    }

    #[test]
    fn programs_are_told_where_the_command_that_was_meant_has_something_to_tell_them() {
        let command = cli::command();
        for (line, wanted) in [
            ("bobbin infer story --max-tokens abc --json", true),
            ("bobbin release lst --json", true),
            ("bobbin bundle lst --json", true),
            ("bobbin infr x --json", true),
            ("bobbin infer story -- --json", false),
            ("bobbin infer story", false),
            ("bobbin up --json", false),
            ("bobbin completions csh --json", false),
        ] {
            assert_eq!(wants_json(&command, &words(line)), wanted, "{line}");
        }
    }

    #[test]
    fn a_document_has_what_is_wrong_without_how_the_command_is_used() {
        let error = cli::command().try_get_matches_from(words("bobbin infer story --max-tokens abc")).unwrap_err();
        let message = failure(&error).message;
        assert!(message.contains("'abc'") && message.contains("--max-tokens"), "{message}");
        assert!(!message.contains("Usage") && !message.contains("For more"), "{message}");
    }
}
