//! Asking a model: one session for each choice, one after the other.
//!
//! Choices are not made side by side: a component cannot know how many sessions its model has room for, and one that holds
//! some while it waits for more could wait for another that does the same. The prompt is read once in any case: what
//! sessions have in common is shared.

use crate::chunks::Place;
use crate::sampling::Sampling;
use bobbin_wasi_nn::{Answer, Error, Graph, Options, Piece, Pieces, Prompt, Session};
use serde_json::Value;

/// What the model reads.
#[derive(Debug)]
pub(crate) enum Input {
    /// A conversation, with the functions that the model may call; and the same as plain text, where a model without a
    /// chat template may go on from that.
    Chat { messages: Value, tools: Option<Value>, plain: Option<String> },
    /// Texts, each to be gone on from.
    Texts(Vec<String>),
}

/// Answers to be made.
#[derive(Debug)]
pub(crate) struct Generation {
    graph: Graph,
    input: Input,
    sampling: Sampling,
}

impl Generation {
    /// Finds the model. Nothing is computed yet.
    pub(crate) fn new(model: &str, input: Input, sampling: Sampling) -> Result<Self, Error> {
        Ok(Self { graph: Graph::load(model)?, input, sampling })
    }

    /// Makes every answer, in the order of their choices.
    pub(crate) fn whole(&self) -> Result<Vec<Answer>, Error> {
        self.places()
            .map(|place| self.ask(place, |mut session, prompt, options| session.generate(prompt, options)))
            .collect()
    }

    /// Makes the first piece of the first answer, so that what fails before it still has a status of its own. The others
    /// are made when they are asked for.
    pub(crate) fn pieces(self) -> Result<impl Iterator<Item = Result<(Place, Piece), Error>>, Error> {
        let mut places = self.places().collect::<Vec<_>>().into_iter();
        let mut current = places.next().map(|place| self.open(place)).transpose()?;
        let mut failed = false;
        Ok(std::iter::from_fn(move || {
            loop {
                if failed {
                    return None;
                }
                let (place, pieces) = current.as_mut()?;
                if let Some(piece) = pieces.next() {
                    failed = piece.is_err();
                    return Some(piece.map(|piece| (*place, piece)));
                }
                // The session that is over leaves before the next one begins.
                current = None;
                match places.next().map(|place| self.open(place)).transpose() {
                    Ok(next) => current = next,
                    Err(error) => {
                        failed = true;
                        return Some(Err(error));
                    }
                }
            }
        }))
    }

    fn open(&self, place: Place) -> Result<(Place, Pieces), Error> {
        Ok((place, self.ask(place, |session, prompt, options| session.into_stream(prompt, options))?))
    }

    fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let prompts = match &self.input {
            Input::Chat { .. } => 1,
            Input::Texts(texts) => texts.len(),
        };
        let each = self.sampling.choices as usize;
        let of_prompt = move |prompt| {
            (0..each).map(move |nth| Place { choice: prompt * each + nth, prompt, first_of_prompt: nth == 0 })
        };
        (0..prompts).flat_map(of_prompt)
    }

    fn ask<T>(
        &self,
        place: Place,
        ask: impl Fn(Session, Prompt<'_>, &Options) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let nth = place.choice.checked_rem(self.sampling.choices as usize).unwrap_or(0);
        let options = self.sampling.of_choice(u32::try_from(nth).unwrap_or(0));
        match &self.input {
            Input::Texts(texts) => {
                let text = texts.get(place.prompt).map(String::as_str).unwrap_or_default();
                ask(self.graph.session()?, Prompt::Text(text), &options)
            }
            Input::Chat { messages, tools, plain } => {
                let prompt = Prompt::Messages(messages, tools.as_ref());
                match (ask(self.graph.session()?, prompt, &options), plain) {
                    (Err(error), Some(plain)) if error.reason == NO_TEMPLATE => {
                        ask(self.graph.session()?, Prompt::Text(plain), &options)
                    }
                    (answer, _) => answer,
                }
            }
        }
    }
}

/// The reason that the host gives where a model has no chat template.
const NO_TEMPLATE: &str = "unsupported_by_model";
