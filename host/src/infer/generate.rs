//! Text: streamed as it is made, or one document when it is complete.

use super::Ask;
use crate::failure::Failure;
use crate::terminal::{is_watched, not_printed, print as print_text, say};
use bobbin_inference::{FinishReason, Generated, InferenceError, Metadata, Options, Output, Prompt, Usage, Work};
use serde::Serialize;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

/// Pieces may wait some milliseconds until this process hears of them; a rate is told where that is little of its time.
const LEAST: Duration = Duration::from_millis(20);

/// What programs get.
#[derive(Serialize)]
struct Document<'a> {
    bundle: &'a str,
    digest: &'a str,
    text: &'a str,
    finish_reason: Option<&'static str>,
    usage: Usage,
    /// Seconds until the model could be asked, until the first token, and from the question to the end of the answer.
    seconds: Seconds,
    /// Of the tokens after the first; none where they came too fast to tell.
    tokens_per_second: Option<f64>,
}

#[derive(Serialize)]
struct Seconds {
    load: f64,
    first_token: f64,
    answer: f64,
}

/// Asks for text, and prints it.
///
/// # Errors
/// Why the model does not answer.
pub(super) async fn print(ask: &Ask<'_>, prompt: Prompt, options: Options) -> Result<(), Failure> {
    let mut screen = Screen::new(ask);
    let work = Work::Generate { prompt, options };
    let told = stream(ask, work, &mut screen).await;
    screen.end_line().await;
    let told = told.map_err(super::unanswered)?;
    if screen.closed {
        return Ok(());
    }
    if ask.json {
        print_text(&told.document(ask, &screen.text)?);
    } else if is_watched() {
        say(format_args!("\n{}", told.summary()));
    }
    Ok(())
}

/// What came of it.
struct Told {
    metadata: Metadata,
    first: Duration,
    all: Duration,
}

async fn stream(ask: &Ask<'_>, work: Work, screen: &mut Screen<'_>) -> Result<Told, InferenceError> {
    let mut session = ask.alone.session(ask.cancel.clone());
    let asked = Instant::now();
    let mut output = session.compute(work).await?;
    let first = asked.elapsed();
    loop {
        let Output::Generated(Generated { text, metadata }) = output else {
            return Err(InferenceError::cancelled());
        };
        screen.show(&text).await;
        if metadata.finish_reason.is_some() || screen.closed {
            return Ok(Told { metadata, first, all: asked.elapsed() });
        }
        output = session.next().await?;
    }
}

impl Told {
    fn rate(&self) -> Option<f64> {
        rate(self.metadata.usage.output_tokens, self.all.saturating_sub(self.first))
    }

    fn document(&self, ask: &Ask<'_>, text: &str) -> Result<String, Failure> {
        let Metadata { usage, finish_reason, bundle, digest, .. } = &self.metadata;
        let document = Document {
            bundle,
            digest,
            text,
            finish_reason: finish_reason.map(FinishReason::as_str),
            usage: *usage,
            seconds: Seconds {
                load: ask.load.as_secs_f64(),
                first_token: self.first.as_secs_f64(),
                answer: self.all.as_secs_f64(),
            },
            tokens_per_second: self.rate(),
        };
        Ok(format!("{}\n", serde_json::to_string_pretty(&document)?))
    }

    fn summary(&self) -> String {
        let Metadata { usage, finish_reason, bundle, .. } = &self.metadata;
        let rate = self.rate().map_or_else(String::new, |rate| format!(", {rate:.0} tokens/s"));
        let end = match finish_reason {
            Some(FinishReason::Length) => ", cut at the most tokens or the end of the context",
            Some(FinishReason::Stop | FinishReason::ToolCalls) | None => "",
        };
        format!(
            "{bundle}: {} tokens read, {} made{rate}, the first after {:.2} s{end}",
            usage.input_tokens,
            usage.output_tokens,
            self.first.as_secs_f64()
        )
    }
}

/// Tokens of a second, once the prompt was read: those after the first, by the time after the first. None where that was
/// so short that it says when this process was woken rather than how fast the model is.
fn rate(tokens: u32, after_first: Duration) -> Option<f64> {
    let made = tokens.checked_sub(1).filter(|made| *made > 0)?;
    (after_first >= LEAST).then(|| f64::from(made) / after_first.as_secs_f64())
}

/// Where the answer goes.
struct Screen<'a> {
    stdout: tokio::io::Stdout,
    cancel: &'a CancellationToken,
    /// Kept for a document.
    text: String,
    keeps: bool,
    terminal: bool,
    /// Nobody reads standard output any more.
    closed: bool,
    /// The last character that was shown ended a line, or none was shown.
    at_line_start: bool,
}

impl<'a> Screen<'a> {
    fn new(ask: &Ask<'a>) -> Self {
        Self {
            stdout: tokio::io::stdout(),
            cancel: ask.cancel,
            text: String::new(),
            keeps: ask.json,
            terminal: io::stdout().is_terminal(),
            closed: false,
            at_line_start: true,
        }
    }

    async fn show(&mut self, text: &str) {
        if self.keeps {
            self.text.push_str(text);
            return;
        }
        if text.is_empty() {
            return;
        }
        self.at_line_start = text.ends_with('\n');
        let shown = if self.terminal { harmless(text) } else { text.to_owned() };
        let Self { stdout, closed, cancel, .. } = self;
        let written = async {
            stdout.write_all(shown.as_bytes()).await?;
            stdout.flush().await
        };
        // Whoever reads may have stopped reading, and Ctrl-C must end even that.
        tokio::select! {
            written = written => if let Err(error) = written {
                not_printed(&error);
                *closed = true;
            },
            () = cancel.cancelled() => *closed = true,
        }
    }

    /// The next line of the terminal is somebody else's.
    async fn end_line(&mut self) {
        if !self.keeps && !self.closed && !self.at_line_start {
            self.show("\n").await;
        }
    }
}

/// What a model says must not move the cursor, or rename the window.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_where_there_was_time_to_measure_it() {
        let ms = Duration::from_millis;
        assert_eq!(rate(101, ms(500)), Some(200.0));
        assert_eq!(rate(40, Duration::from_micros(10)), None, "all pieces were there already");
        assert_eq!((rate(1, ms(500)), rate(0, ms(500))), (None, None));
    }

    #[test]
    fn a_model_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\n\tc\u{9b}"), "a\u{fffd}[2Jb\n\tc\u{fffd}");
    }
}
