//! The command line: which task, with which arguments; its help and its errors.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use crate::process::Failure;

/// One task, as asked for on the command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Help on one command, or on all.
    Help(Option<&'static Command>),
    /// Build, then start the application; the arguments go to `bobbin up`.
    Up(Vec<OsString>),
    /// Build without starting.
    Build,
    /// Build, then run every test; the arguments go to the test runner.
    Test(Vec<OsString>),
    /// Format and lint checks, then every test.
    Ci,
    /// Run one benchmark, or all; the arguments go to the benchmark.
    Bench { name: Option<String>, arguments: Vec<OsString> },
    /// Build, then pack the binary as a plugin for Spin.
    Plugin,
    /// Write a model file for benchmarks.
    Synthesize { shape: String, quant: String, out: PathBuf },
}

/// What the help says of one command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    example: &'static str,
}

const COMMANDS: [Command; 7] = [
    Command {
        name: "up",
        usage: "up [-- ARGUMENTS of bobbin up]",
        about: "install what is missing, build, and start the application in spin.toml",
        example: "cargo xtask up -- --listen 127.0.0.1:4000",
    },
    Command {
        name: "build",
        usage: "build",
        about: "the same without starting: guest components and the binary `bobbin`",
        example: "cargo xtask build",
    },
    Command {
        name: "test",
        usage: "test [-- ARGUMENTS of cargo nextest run]",
        about: "build what the tests need and run every test",
        example: "cargo xtask test -- --package bobbin-worker",
    },
    Command {
        name: "ci",
        usage: "ci",
        about: "check format, lints and dependencies, then run every test",
        example: "cargo xtask ci",
    },
    Command {
        name: "bench",
        usage: "bench [NAME] [ARGUMENTS of the benchmark]",
        about: "build, then run one benchmark of host/benches, or all of them",
        example: "cargo xtask bench",
    },
    Command {
        name: "plugin",
        usage: "plugin",
        about: "build, then pack the binary as the plugin by which Spin runs [[trigger.bobbin]]",
        example: "cargo xtask plugin",
    },
    Command {
        name: "synthesize",
        usage: "synthesize --shape SHAPE [--quant QUANT] OUT.gguf",
        about: "write a model file with the shape of a real model and weights that say nothing, for benchmarks",
        example: "cargo xtask synthesize --shape qwen2.5-0.5b --quant q8_0 /tmp/qwen.gguf",
    },
];

/// Reads the command line, without the program's name.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Task, Failure> {
    let mut own: Vec<String> = Vec::new();
    let mut arguments = arguments;
    for argument in arguments.by_ref() {
        if argument == "--" {
            break;
        }
        own.push(argument.to_string_lossy().into_owned());
    }
    let passed_on: Vec<OsString> = arguments.collect();

    let mut own = own.into_iter();
    let Some(name) = own.next() else {
        return Err(Failure::usage("no command was given", "see `cargo xtask --help`"));
    };
    let rest: Vec<String> = own.collect();
    if matches!(name.as_str(), "--help" | "-h" | "help") {
        return Ok(Task::Help(rest.first().map(|topic| command(topic)).transpose()?));
    }
    let command = command(&name)?;
    if rest.iter().any(|argument| argument == "--help" || argument == "-h") {
        return Ok(Task::Help(Some(command)));
    }
    task(command, rest, passed_on)
}

fn task(command: &Command, own: Vec<String>, passed_on: Vec<OsString>) -> Result<Task, Failure> {
    let mut own = own.into_iter();
    let task = match command.name {
        "up" => Task::Up(passed_on),
        "test" => Task::Test(passed_on),
        "bench" => return Ok(bench(own.collect(), passed_on)),
        _ if !passed_on.is_empty() => return Err(surplus(command, &passed_on)),
        "build" => Task::Build,
        "plugin" => Task::Plugin,
        "synthesize" => return synthesize(command, own),
        _ => Task::Ci,
    };
    match own.next() {
        None => Ok(task),
        Some(argument) => Err(surplus(command, &[argument.into()])),
    }
}

/// What follows the benchmark's name is the benchmark's own, with or without `--` before it.
fn bench(mut own: Vec<String>, passed_on: Vec<OsString>) -> Task {
    let name = own.first().is_some_and(|name| !name.starts_with('-')).then(|| own.remove(0));
    let arguments = own.into_iter().map(OsString::from).chain(passed_on).collect();
    Task::Bench { name, arguments }
}

fn synthesize(command: &Command, mut own: impl Iterator<Item = String>) -> Result<Task, Failure> {
    let usage = || format!("usage: cargo xtask {}", command.usage);
    let (mut shape, mut quant, mut out) = (None, None, None);
    while let Some(argument) = own.next() {
        let place = match argument.as_str() {
            "--shape" => &mut shape,
            "--quant" => &mut quant,
            _ if out.is_none() && !argument.starts_with('-') => {
                out = Some(PathBuf::from(argument));
                continue;
            }
            _ => return Err(surplus(command, &[argument.into()])),
        };
        let value = own.next().ok_or_else(|| Failure::usage(format!("`{argument}` needs a value"), usage()))?;
        *place = Some(value);
    }
    let Some(shape) = shape else { return Err(Failure::usage("no shape was given", usage())) };
    let Some(out) = out else { return Err(Failure::usage("no file to write was given", usage())) };
    Ok(Task::Synthesize { shape, quant: quant.unwrap_or_else(|| "q8_0".to_owned()), out })
}

fn surplus(command: &Command, arguments: &[OsString]) -> Failure {
    let shown: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    Failure::usage(
        format!("`{}` does not take `{}`", command.name, shown.join(" ")),
        format!("usage: cargo xtask {}", command.usage),
    )
}

fn command(name: &str) -> Result<&'static Command, Failure> {
    COMMANDS.iter().find(|command| command.name == name).ok_or_else(|| {
        let next = match nearest(name, COMMANDS.iter().map(|command| command.name)) {
            Some(near) => format!("did you mean `cargo xtask {near}`? All commands: `cargo xtask --help`"),
            None => "see `cargo xtask --help`".to_owned(),
        };
        Failure::usage(format!("there is no command `{name}`"), next)
    })
}

/// The benchmarks to run: the named one, which must exist, or all.
pub(crate) fn chosen_benches(name: Option<String>, known: Vec<String>) -> Result<Vec<String>, Failure> {
    if known.is_empty() {
        return Err(Failure::unready("host/benches holds no benchmark", "add one as host/benches/NAME.rs"));
    }
    match name {
        None => Ok(known),
        Some(name) if known.contains(&name) => Ok(vec![name]),
        Some(name) => {
            let next = match nearest(&name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `cargo xtask bench {near}`?"),
                None => format!("there are: {}", known.join(", ")),
            };
            Err(Failure::usage(format!("there is no benchmark `{name}` in host/benches"), next))
        }
    }
}

/// The known name that `given` most likely stands for, if one is near enough to be worth a suggestion: one it
/// begins, else one that two edits away still shares something with it.
fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| {
            let begins = !given.is_empty() && name.starts_with(given);
            (if begins { 0 } else { distance(given, name) }, name)
        })
        .filter(|(edits, name)| *edits <= 2 && *edits < name.chars().count())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// Levenshtein distance in characters.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, from) in left.chars().enumerate() {
        let mut current = vec![above + 1];
        let mut beside = above + 1;
        for (to, pair) in right.iter().zip(row.windows(2)) {
            let [diagonal, over] = pair else { continue };
            beside = (beside + 1).min(over + 1).min(diagonal + usize::from(from != *to));
            current.push(beside);
        }
        row = current;
    }
    row.last().copied().unwrap_or(0)
}

/// Prints the help on one command, or on all, to standard output.
pub(crate) fn help(command: Option<&Command>, benches: &[String]) -> Result<(), Failure> {
    let text = match command {
        Some(command) => one(command, benches),
        None => all(benches),
    };
    match io::stdout().write_all(text.as_bytes()) {
        // `cargo xtask --help | head` closes the pipe early; nothing is wrong.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(source) => Err(Failure::File {
            action: "write the help to",
            path: "standard output".into(),
            source,
            next: "check where the output goes".to_owned(),
        }),
        Ok(()) => Ok(()),
    }
}

fn one(command: &Command, benches: &[String]) -> String {
    let mut text = format!("cargo xtask {}\n\n  {}\n  example: {}\n", command.usage, command.about, command.example);
    if command.name == "bench" && !benches.is_empty() {
        text.push_str(&format!("  benchmarks: {}\n", benches.join(", ")));
    }
    text
}

fn all(benches: &[String]) -> String {
    let mut text = "The project's own tasks. They install what is missing and say what they install.\n".to_owned();
    for command in &COMMANDS {
        text.push('\n');
        text.push_str(&one(command, benches));
    }
    text.push_str("\nWhat follows `--` is passed on. Paths in it are relative to the repository.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Task, String> {
        parse(line.split_whitespace().map(OsString::from)).map_err(|failure| failure.to_string())
    }

    fn strings(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn what_follows_two_dashes_is_passed_on_unread() {
        assert_eq!(parsed("up"), Ok(Task::Up(vec![])));
        assert_eq!(parsed("up -- --listen 127.0.0.1:4000"), Ok(Task::Up(strings(&["--listen", "127.0.0.1:4000"]))));
        assert_eq!(parsed("test -- --help -- x"), Ok(Task::Test(strings(&["--help", "--", "x"]))));
    }

    #[test]
    fn a_benchmark_is_named_before_its_arguments() {
        assert_eq!(parsed("bench"), Ok(Task::Bench { name: None, arguments: vec![] }));
        let expected = || Task::Bench { name: Some("story".into()), arguments: strings(&["--streams", "8"]) };
        assert_eq!(parsed("bench story -- --streams 8"), Ok(expected()));
        assert_eq!(parsed("bench story --streams 8"), Ok(expected()));
    }

    #[test]
    fn a_surplus_argument_is_an_error_that_shows_the_usage() {
        let error = parsed("test worker").unwrap_err();
        assert!(error.contains("`test` does not take `worker`"), "{error}");
        assert!(error.contains("test [-- ARGUMENTS of cargo nextest run]"), "{error}");
        assert!(parsed("build -- --release").unwrap_err().contains("`build` does not take `--release`"));
    }

    #[test]
    fn a_synthetic_file_has_a_shape_and_a_place_in_any_order() {
        let expected = |quant: &str| Task::Synthesize { shape: "x".into(), quant: quant.into(), out: "o.gguf".into() };
        assert_eq!(parsed("synthesize --shape x o.gguf"), Ok(expected("q8_0")));
        assert_eq!(parsed("synthesize o.gguf --quant q4_0 --shape x"), Ok(expected("q4_0")));
        for (line, told) in [
            ("synthesize o.gguf", "no shape"),
            ("synthesize --shape x", "no file"),
            ("synthesize o.gguf --shape", "`--shape` needs a value"),
            ("synthesize --shape x a.gguf b.gguf", "does not take `b.gguf`"),
            ("synthesize --size 3", "does not take `--size`"),
        ] {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(told), "{line}: {error}");
        }
    }

    #[test]
    fn an_unknown_command_suggests_the_nearest() {
        assert!(parsed("tset").unwrap_err().contains("did you mean `cargo xtask test`?"));
        assert!(parsed("be").unwrap_err().contains("did you mean `cargo xtask bench`?"));
        let error = parsed("publish").unwrap_err();
        assert!(error.contains("there is no command `publish`") && !error.contains("did you mean"), "{error}");
    }

    #[test]
    fn an_unknown_benchmark_suggests_the_nearest_or_lists_all() {
        let known = || vec!["hello".to_owned(), "story".to_owned()];
        assert_eq!(chosen_benches(None, known()).unwrap(), known());
        assert_eq!(chosen_benches(Some("story".into()), known()).unwrap(), ["story"]);
        assert!(chosen_benches(Some("stroy".into()), known()).unwrap_err().to_string().contains("bench story"));
        assert!(chosen_benches(Some("latency".into()), known()).unwrap_err().to_string().contains("hello, story"));
    }

    #[test]
    fn help_is_one_command_or_all_of_them() {
        assert_eq!(parsed("--help"), Ok(Task::Help(None)));
        assert!(matches!(parsed("bench --help"), Ok(Task::Help(Some(command))) if command.name == "bench"));
        assert!(matches!(parsed("help up"), Ok(Task::Help(Some(command))) if command.name == "up"));
        let text = all(&["story".to_owned()]);
        for command in &COMMANDS {
            assert!(text.contains(command.usage) && text.contains(command.example), "{}", command.name);
        }
        assert!(text.contains("benchmarks: story"));
    }

    #[test]
    fn every_example_in_the_help_parses() {
        for command in &COMMANDS {
            let line = command.example.strip_prefix("cargo xtask ").unwrap();
            assert!(!matches!(parsed(line).unwrap(), Task::Help(_)), "{line}");
        }
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("test", "test"), 0);
        assert_eq!(distance("buidl", "build"), 2);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
