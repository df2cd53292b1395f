//! Text to tokens, on a thread of its own: a long prompt must not hold up the sequences that compute.

use super::chat::ChatTemplate;
use super::event::Event;
use super::schedule::Token;
use super::specials::Part;
use super::vocabulary::Vocabulary;
use bobbin_inference::wire::CallId;
use bobbin_inference::{InferenceError, Prompt, Reason};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};

/// Some tokenisers recurse over each character of a word.
const STACK: usize = 64 << 20;

/// What is to become tokens.
pub(super) enum Text {
    /// A prompt; `start` when its session has no history.
    Prompt {
        /// The prompt.
        prompt: Prompt,
        /// Whether the session begins with it.
        start: bool,
    },
    /// Texts that stand alone.
    Documents(Vec<String>),
}

/// The thread's inbox.
pub(super) struct Preparer(Sender<(CallId, Text)>);

struct Worker {
    vocabulary: Arc<Vocabulary>,
    template: Option<ChatTemplate>,
    context: u32,
}

impl Preparer {
    /// Starts the thread. The engine bounds how many computes are being prepared.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(
        vocabulary: Arc<Vocabulary>,
        template: Option<ChatTemplate>,
        context: u32,
        events: SyncSender<Event>,
    ) -> io::Result<Self> {
        let (sender, jobs) = channel();
        let worker = Worker { vocabulary, template, context };
        std::thread::Builder::new()
            .name("prepare".into())
            .stack_size(STACK)
            .spawn(move || worker.run(&jobs, &events))?;
        Ok(Self(sender))
    }

    /// Hands work over; the answer comes as [`Event::Prepared`].
    pub(super) fn submit(&self, call: CallId, text: Text) {
        // The thread ends only with the process.
        let _ = self.0.send((call, text));
    }
}

impl Worker {
    fn run(&self, jobs: &Receiver<(CallId, Text)>, events: &SyncSender<Event>) {
        while let Ok((call, text)) = jobs.recv() {
            if events.send(Event::Prepared(call, self.tokens(text))).is_err() {
                return;
            }
        }
    }

    fn tokens(&self, text: Text) -> Result<Vec<Vec<Token>>, InferenceError> {
        match text {
            Text::Prompt { prompt, start } => Ok(vec![self.prompt(prompt, start)?]),
            Text::Documents(texts) => {
                let document = |text: &String| {
                    self.vocabulary.check_length(text.len(), self.context)?;
                    Ok(self.vocabulary.document(text))
                };
                texts.iter().map(document).collect()
            }
        }
    }

    fn prompt(&self, prompt: Prompt, start: bool) -> Result<Vec<Token>, InferenceError> {
        match prompt {
            Prompt::Text(text) => {
                self.vocabulary.check_length(text.len(), self.context)?;
                Ok(self.vocabulary.text(&text, start))
            }
            Prompt::Chat { messages, tools } => {
                let template = self.template.as_ref().ok_or_else(|| {
                    InferenceError::new(
                        Reason::UnsupportedByModel,
                        "the model has no chat template; pass \"prompt\" instead of \"messages\", or use a bundle with \
                         one",
                    )
                })?;
                let parts = template.render(&messages, tools.as_deref(), self.vocabulary.specials())?;
                let text = |part: &Part| if let Part::Text(text) = part { text.len() } else { 0 };
                self.vocabulary.check_length(parts.iter().map(text).sum(), self.context)?;
                // Messages are the whole conversation, so they always begin one.
                Ok(self.vocabulary.parts(&parts, true))
            }
            Prompt::Tokens(tokens) => {
                self.vocabulary.check(&tokens)?;
                Ok(tokens)
            }
        }
    }
}
