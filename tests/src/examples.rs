//! The examples of docs/spin.md: each is one command, and requests with their answers, taken from the document itself.

use crate::host::PATIENCE;
use crate::paths::repository_root;
use crate::{Answer, Result, TestHost};
use anyhow::{Context, bail, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const DOCUMENT: &str = "docs/spin.md";
const SECTION: &str = "## Examples";
const FOLDER: &str = "docs/examples";
/// Builds what is missing and becomes `bobbin up` with what follows, in the repository's root.
const COMMAND: &str = "cargo xtask up -- ";
/// Where the application listens if nothing is said.
const LISTENER: &str = "localhost:3000";
/// What stands for the rest of an answer that is not always the same.
const AND_SO_ON: &str = "..";

/// One example.
#[derive(Debug, PartialEq, Eq)]
pub struct Example {
    /// The arguments of `bobbin up`.
    arguments: Vec<String>,
    requests: Vec<Documented>,
}

/// A request, and what comes.
#[derive(Debug, PartialEq, Eq)]
struct Documented {
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    answer: String,
}

/// Every example of the document, which are all that there are.
///
/// # Errors
/// When the document cannot be read, has an example that is none, or leaves one out.
pub fn examples() -> Result<Vec<Example>> {
    let document = repository_root().join(DOCUMENT);
    let text = fs::read_to_string(&document).with_context(|| document.display().to_string())?;
    let found = read(&text).with_context(|| document.display().to_string())?;
    let documented: BTreeSet<&str> = found.iter().map(Example::name).collect();
    let there = fs::read_dir(repository_root().join(FOLDER))?.collect::<std::io::Result<Vec<_>>>()?;
    for entry in there.iter().filter(|entry| entry.path().join("spin.toml").is_file()) {
        let name = Path::new(FOLDER).join(entry.file_name()).display().to_string();
        ensure!(documented.contains(name.as_str()), "{name} is no example of {DOCUMENT}");
    }
    Ok(found)
}

impl Example {
    /// The application's folder.
    #[must_use]
    pub fn name(&self) -> &str {
        self.arguments.last().map(String::as_str).unwrap_or_default()
    }

    /// Runs the command, sends the requests, and compares.
    ///
    /// # Errors
    /// When the application does not start, or another answer comes than the documented one.
    pub async fn run(&self) -> Result {
        let host = TestHost::typed(&self.arguments).start().await?;
        for documented in &self.requests {
            let answer = documented.send(&host).await?;
            let text = answer.text().trim_end();
            let same = match documented.answer.strip_suffix(AND_SO_ON) {
                Some(beginning) => text.len() > beginning.trim_end().len() && text.starts_with(beginning.trim_end()),
                None => text == documented.answer,
            };
            ensure!(same, "{}: {DOCUMENT} says {:?}, and {:?} came", documented.path, documented.answer, text);
        }
        Ok(())
    }
}

impl Documented {
    async fn send(&self, host: &TestHost) -> Result<Answer> {
        let client = crate::http().timeout(PATIENCE).build()?;
        let mut request = match &self.body {
            Some(body) => client.post(host.url(&self.path)).body(body.clone()),
            None => client.get(host.url(&self.path)),
        };
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        Answer::read(request.send().await?).await
    }

    /// A line `curl localhost:3000/path -d 'body' -H 'name: value'`, and the lines that it prints.
    fn read(line: &str, answer: &[&str]) -> Result<Self> {
        let mut words = words(line)?.into_iter().skip(1);
        let (mut path, mut headers, mut body) = (None, Vec::new(), None);
        while let Some(word) = words.next() {
            match word.as_str() {
                "-d" => body = Some(words.next().context("-d without a body")?),
                "-H" => {
                    let header = words.next().context("-H without a header")?;
                    let (name, value) = header.split_once(": ").with_context(|| format!("{header} is no header"))?;
                    headers.push((name.to_owned(), value.to_owned()));
                }
                url => match url.strip_prefix(LISTENER) {
                    Some(of_url) => path = Some(of_url.to_owned()),
                    None => bail!("{url} is no option that is known here, and no URL of {LISTENER}"),
                },
            }
        }
        let path = path.with_context(|| format!("{line} asks for nothing"))?;
        ensure!(!answer.is_empty(), "{line} has no answer");
        Ok(Self { path, headers, body, answer: answer.join("\n") })
    }
}

/// The examples of a document's section: in blocks of code, a command, and requests with the lines of their answers.
fn read(document: &str) -> Result<Vec<Example>> {
    let (_, section) =
        document.split_once(&format!("\n{SECTION}\n")).with_context(|| format!("no section {SECTION}"))?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut examples: Vec<Example> = Vec::new();
    for block in section.split("\n\n") {
        let lines = block.trim_start_matches('\n').lines().map(|line| line.strip_prefix("    "));
        let Some(lines) = lines.collect::<Option<Vec<&str>>>().filter(|lines| !lines.is_empty()) else { continue };
        let Some((first, rest)) = lines.split_first() else { continue };
        if let Some(arguments) = first.strip_prefix(COMMAND) {
            ensure!(rest.is_empty(), "{first}: there is more than one command");
            examples.push(Example { arguments: words(arguments)?, requests: Vec::new() });
        } else if first.starts_with("curl ") {
            let example = examples.last_mut().with_context(|| format!("{first} comes before any command"))?;
            example.requests.push(Documented::read(first, rest)?);
        } else {
            bail!("{first} is neither `{COMMAND}..` nor a request");
        }
    }
    ensure!(!examples.is_empty(), "{SECTION} has no example");
    for example in &examples {
        ensure!(!example.requests.is_empty(), "{} has no request", example.name());
    }
    Ok(examples)
}

/// The words of a command line, of which some are in single quotes.
fn words(line: &str) -> Result<Vec<String>> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for character in line.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    ensure!(!quoted, "{line}: a quote is not closed");
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_read_as_somebody_types_it() {
        let text = "# Title\n\n## Examples\n\nSome words\nof the text.\n\n    cargo xtask up -- --build -f docs/examples/a\n\n\
                    and then\n\n    curl localhost:3000/b -d 'c d' -H 'x-f: g h'\n    one\n    two ..\n\n## Next\n\n    curl\n";
        let documented = Documented {
            path: "/b".to_owned(),
            headers: vec![("x-f".to_owned(), "g h".to_owned())],
            body: Some("c d".to_owned()),
            answer: "one\ntwo ..".to_owned(),
        };
        let arguments = ["--build", "-f", "docs/examples/a"].map(str::to_owned).to_vec();
        assert_eq!(read(text).unwrap(), [Example { arguments, requests: vec![documented] }]);
    }

    #[test]
    fn what_is_no_example_is_told() {
        let section = |text: &str| format!("\n## Examples\n\n{text}\n");
        let up = "    cargo xtask up -- -f a\n\n";
        for (text, told) in [
            ("# Nothing".to_owned(), "no section"),
            (section("Words."), "has no example"),
            (section(up), "has no request"),
            (section("    curl localhost:3000/\n    x"), "before any command"),
            (section(&format!("{up}    curl localhost:3000/")), "has no answer"),
            (section(&format!("{up}    curl -X localhost:3000/\n    x")), "-X is no option"),
            (section(&format!("{up}    curl 'localhost:3000/\n    x")), "not closed"),
            (section(&format!("{up}    wget localhost:3000/\n    x")), "neither"),
        ] {
            let error = format!("{:#}", read(&text).unwrap_err());
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn the_document_has_every_example() {
        assert!(examples().unwrap().len() >= 3);
    }
}
