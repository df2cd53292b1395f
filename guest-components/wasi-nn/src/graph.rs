//! Graphs, sessions on them, and the pieces of a streamed answer.

use crate::answer::Metadata;
use crate::prompt::{bytes, tokens};
use crate::raw::graph;
use crate::raw::inference::{GraphExecutionContext, NamedTensor};
use crate::raw::tensor::{Tensor, TensorType};
use crate::{Answer, Embeddings, Error, Options, Piece, Prompt};
use serde_json::Value;
use std::borrow::BorrowMut;

/// A granted model, at the version that was decided for this request.
#[derive(Debug)]
pub struct Graph(graph::Graph);

/// One conversation with a model. It keeps what was said: a later prompt continues it.
#[derive(Debug)]
pub struct Session(GraphExecutionContext);

impl Graph {
    /// The model granted under this name by `ai_models` in the component's manifest. Costs no I/O.
    ///
    /// # Errors
    /// `not-found` for a name that is unknown or not granted; the two look the same from inside.
    pub fn load(name: &str) -> Result<Self, Error> {
        Ok(Self(graph::load_by_name(name)?))
    }

    /// A new session.
    ///
    /// # Errors
    /// `too-large` when the request holds more in the host than it is allowed.
    pub fn session(&self) -> Result<Session, Error> {
        Ok(Session(self.0.init_execution_context()?))
    }
}

impl Session {
    /// Continues the session with a prompt and waits for the whole answer.
    ///
    /// # Errors
    /// `invalid-argument` for a wrong prompt or option, `too-large` for a prompt over the model's context,
    /// `timeout` for a passed deadline or a full queue, `runtime-error` for a lost worker.
    pub fn generate<'a>(&mut self, prompt: impl Into<Prompt<'a>>, options: &Options) -> Result<Answer, Error> {
        let options = options.clone().with("stream", false);
        let (text, metadata) = self.text(inputs(prompt.into().tensors(), &options))?;
        metadata.into_answer(text)
    }

    /// Continues the session with a prompt; the answer comes in pieces, as it is made.
    ///
    /// Returns when the first piece is there, so that an error before it can still become a proper HTTP status.
    ///
    /// # Errors
    /// As for [`Session::generate`].
    pub fn stream<'a>(&mut self, prompt: impl Into<Prompt<'a>>, options: &Options) -> Result<Pieces<&mut Self>, Error> {
        Pieces::start(self, prompt.into(), options)
    }

    /// As [`Session::stream`], for pieces that outlive this call.
    ///
    /// # Errors
    /// As for [`Session::generate`].
    pub fn into_stream<'a>(self, prompt: impl Into<Prompt<'a>>, options: &Options) -> Result<Pieces, Error> {
        Pieces::start(self, prompt.into(), options)
    }

    /// Appends tokens and returns the logits after the last one, `[n_vocab]`, to sample from.
    ///
    /// # Errors
    /// `invalid-argument` for a token outside the vocabulary; else as for [`Session::generate`].
    pub fn logits(&mut self, ids: &[i32]) -> Result<Vec<f32>, Error> {
        let outputs = self.0.compute(inputs(vec![tokens(ids)], &Options::new().with("logits", true)))?;
        floats(&output(&outputs, "logits")?.1)
    }

    /// One vector for each text, shortened to `dimensions` where that is given.
    ///
    /// # Errors
    /// `unsupported-operation` for a model that does not embed; else as for [`Session::generate`].
    pub fn embed(&mut self, texts: &[&str], dimensions: Option<u32>) -> Result<Embeddings, Error> {
        let texts = vec![bytes("texts", Value::from(texts).to_string().as_bytes())];
        let options = dimensions.map_or_else(Options::new, |n| Options::new().with("dimensions", n));
        let outputs = self.0.compute(inputs(texts, &options))?;
        let (_, embedding) = output(&outputs, "embedding")?;
        let width = match embedding.dimensions().as_slice() {
            [_, width] if *width > 0 => *width as usize,
            other => return Err(Error::unexpected(format!("embeddings have the dimensions {other:?}, not [n, dim]"))),
        };
        let vectors = floats(embedding)?.chunks(width).map(<[f32]>::to_vec).collect();
        Ok(Metadata::parse(&output(&outputs, "metadata")?.1.data())?.into_embeddings(vectors))
    }

    fn text(&mut self, inputs: Vec<NamedTensor>) -> Result<(String, Metadata), Error> {
        let outputs = self.0.compute(inputs)?;
        let text = String::from_utf8(output(&outputs, "response")?.1.data())
            .map_err(|error| Error::unexpected(format!("the host's response is not UTF-8: {error}")))?;
        Ok((text, Metadata::parse(&output(&outputs, "metadata")?.1.data())?))
    }
}

/// The pieces of a streamed answer. Each `next` waits for at least one token; the last piece says why the answer
/// ended. Dropping them early gives the rest of the answer up.
#[derive(Debug)]
pub struct Pieces<S = Session> {
    session: S,
    first: Option<Piece>,
    finished: bool,
}

impl<S: BorrowMut<Session>> Pieces<S> {
    fn start(mut session: S, prompt: Prompt<'_>, options: &Options) -> Result<Self, Error> {
        let options = options.clone().with("stream", true);
        let (text, metadata) = session.borrow_mut().text(inputs(prompt.tensors(), &options))?;
        let first = metadata.into_piece(text);
        Ok(Self { session, finished: first.finish.is_some(), first: Some(first) })
    }
}

impl<S: BorrowMut<Session>> Iterator for Pieces<S> {
    type Item = Result<Piece, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        if self.finished {
            return None;
        }
        let piece = self.session.borrow_mut().text(Vec::new()).map(|(text, metadata)| metadata.into_piece(text));
        self.finished = piece.as_ref().map_or(true, |piece| piece.finish.is_some());
        Some(piece)
    }
}

fn inputs(mut tensors: Vec<NamedTensor>, options: &Options) -> Vec<NamedTensor> {
    tensors.push(bytes("options", &options.to_json()));
    tensors
}

fn output<'a>(outputs: &'a [NamedTensor], name: &str) -> Result<&'a NamedTensor, Error> {
    outputs
        .iter()
        .find(|(known, _)| known == name)
        .ok_or_else(|| Error::unexpected(format!("the host's answer has no output \"{name}\"")))
}

fn floats(tensor: &Tensor) -> Result<Vec<f32>, Error> {
    let (data, ty) = (tensor.data(), tensor.ty());
    match data.as_chunks() {
        (values, []) if ty == TensorType::Fp32 => Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect()),
        _ => Err(Error::unexpected(format!("{} bytes of {ty:?} are no FP32 tensor", data.len()))),
    }
}
