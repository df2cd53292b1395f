//! The model's vocabulary: text to tokens and back, without ever asking llama.cpp what makes it abort.
//!
//! llama.cpp is never asked to add BOS or EOS itself: it aborts where the vocabulary wants one and has none.

use super::schedule::Token;
use super::specials::{Part, Special, Specials};
use crate::length::Shortest;
use bobbin_bundle::Digest;
use bobbin_inference::{InferenceError, Reason};
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token_type::LlamaTokenAttr;
use llama_cpp_2::vocab::LlamaVocab;

/// A character that only a byte token can spell, so nothing merges with it.
const ANCHOR: &str = "\u{1}";

/// The vocabulary of a loaded model.
pub(super) struct Vocabulary {
    vocab: LlamaVocab<'static>,
    size: Token,
    bos: Option<Token>,
    eos: Option<Token>,
    /// Put before and after a text that stands alone.
    alone: (Option<Token>, Option<Token>),
    specials: Specials,
    /// The byte token of [`ANCHOR`], where the tokeniser puts a space before each text.
    anchor: Option<Token>,
    /// Bytes of the longest token, where a text of n bytes has at least n divided by it tokens.
    longest: Option<u32>,
}

impl Vocabulary {
    /// Reads what is needed of the model's vocabulary.
    pub(super) fn new(model: &'static LlamaModel) -> Self {
        let vocab = model.vocab();
        let size = vocab.n_tokens();
        let known = |token: LlamaToken| (0..size).contains(&token.0).then_some(token.0);
        let (bos, eos) = (known(vocab.bos()), known(vocab.eos()));
        let kind = model.meta_val_str("tokenizer.ggml.model").unwrap_or_default();
        let wordpiece = kind == "bert";
        let before = bos.filter(|_| wordpiece || vocab.should_add_bos());
        let after = if wordpiece { known(vocab.sep()) } else { eos.filter(|_| vocab.should_add_eos()) };
        let special = |token: LlamaToken| {
            if !vocab.is_control(token) {
                return None;
            }
            let attributes = vocab.attr(token);
            Some(Special {
                text: vocab.text(token)?.to_str().ok()?.to_owned(),
                token: token.0,
                strip_before: attributes.contains(LlamaTokenAttr::LStrip),
                strip_after: attributes.contains(LlamaTokenAttr::RStrip),
            })
        };
        let specials = Specials::new(vocab.tokens().filter_map(special).collect());
        let longest = vocab.tokens().map(|token| vocab.token_to_piece(token, false, None).len()).max();
        let longest = longest.filter(|_| kind == "llama" || kind == "gpt2");
        let longest = longest.and_then(|longest| u32::try_from(longest).ok());
        let spaced = kind == "llama" && model.meta_val_str("tokenizer.ggml.add_space_prefix").as_deref() != Ok("false");
        let anchor = spaced.then(|| vocab.tokenize(ANCHOR.as_bytes(), false, false)).and_then(|tokens| {
            let last = tokens.last()?;
            (vocab.token_to_piece(*last, false, None) == ANCHOR.as_bytes()).then_some(last.0)
        });
        Self { vocab, size, bos, eos, alone: (before, after), specials, anchor, longest }
    }

    /// Tokens in the vocabulary.
    pub(super) fn size(&self) -> Token {
        self.size
    }

    /// The special tokens that a template may write.
    pub(super) fn specials(&self) -> &Specials {
        &self.specials
    }

    /// The texts of BOS and EOS, as templates write them.
    pub(super) fn bos_eos_texts(&self) -> (String, String) {
        let text = |token: Option<Token>| {
            let text = token.and_then(|token| self.vocab.text(LlamaToken::new(token)));
            text.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
        };
        (text(self.bos), text(self.eos))
    }

    /// Names the vocabulary: sha256 in hex over its size, the special tokens' ids, and the bytes and attributes of
    /// each token in order.
    pub(super) fn digest(&self) -> String {
        let vocab = &self.vocab;
        let specials = [vocab.bos(), vocab.eos(), vocab.eot(), vocab.sep(), vocab.nl(), vocab.pad(), vocab.mask()];
        let mut bytes = self.size.to_le_bytes().to_vec();
        bytes.extend(specials.iter().flat_map(|token| token.0.to_le_bytes()));
        for token in vocab.tokens() {
            let text = vocab.text(token).map(std::ffi::CStr::to_bytes).unwrap_or_default();
            // The length goes before the bytes, so that no two lists of tokens read the same.
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text);
            bytes.extend(vocab.attr(token).bits().to_le_bytes());
        }
        Digest::of(&bytes).hex()
    }

    /// Whether a token ends the model's answer.
    pub(super) fn is_end(&self, token: Token) -> bool {
        self.contains(token) && self.vocab.is_eog(LlamaToken::new(token))
    }

    /// Whether it is a token at all.
    pub(super) fn contains(&self, token: Token) -> bool {
        (0..self.size).contains(&token)
    }

    /// Checks ids that somebody else wrote.
    ///
    /// # Errors
    /// `invalid_tensor` naming the first that is none.
    pub(super) fn check(&self, tokens: &[Token]) -> Result<(), InferenceError> {
        let Some((at, token)) = tokens.iter().enumerate().find(|(_, token)| !self.contains(**token)) else {
            return Ok(());
        };
        Err(InferenceError::new(
            Reason::InvalidTensor,
            format!("token {at} is {token}; the ids of this model are 0 to {}", self.size - 1),
        ))
    }

    /// Appends a token's bytes; special tokens have none.
    pub(super) fn bytes(&self, token: Token, out: &mut Vec<u8>) {
        if self.contains(token) {
            self.vocab.token_to_piece_into(LlamaToken::new(token), out, false, None);
        }
    }

    /// Bytes of the longest token, where they bound how few tokens a text has.
    pub(super) fn longest_token(&self) -> Option<u32> {
        self.longest
    }

    /// Refuses long text that cannot fit before it is tokenised.
    ///
    /// # Errors
    /// `context_exceeded` with both numbers.
    pub(super) fn check_length(&self, bytes: usize, context: u32) -> Result<(), InferenceError> {
        Shortest { longest_token: self.longest, context }.check(bytes)
    }

    /// Plain text, special tokens in it being text like any other. `start` begins a session: BOS where the
    /// model wants one, and a space before the text where the tokeniser does that; a continuation is
    /// tokenised as what it is, text in the middle.
    pub(super) fn text(&self, text: &str, start: bool) -> Vec<Token> {
        let mut tokens = Vec::new();
        if start {
            tokens.extend(self.alone.0);
            self.plain(text, &mut tokens);
        } else {
            self.middle(text, &mut tokens);
        }
        tokens
    }

    /// Plain text that stands alone, without what a session or a document begins and ends with.
    pub(super) fn bare(&self, text: &str) -> Vec<Token> {
        let mut tokens = Vec::new();
        self.plain(text, &mut tokens);
        tokens
    }

    /// A rendered chat. `start` as for text; BOS is not doubled where the template wrote it.
    pub(super) fn parts(&self, parts: &[Part], start: bool) -> Vec<Token> {
        let mut tokens = Vec::new();
        if start && parts.first() != self.bos.map(Part::Token).as_ref() {
            tokens.extend(self.alone.0);
        }
        for (at, part) in parts.iter().enumerate() {
            match part {
                Part::Token(token) => tokens.push(*token),
                Part::Text(text) if at > 0 || start => self.plain(text, &mut tokens),
                Part::Text(text) => self.middle(text, &mut tokens),
            }
        }
        tokens
    }

    /// A text that stands alone, as embedding models want it.
    pub(super) fn document(&self, text: &str) -> Vec<Token> {
        let mut tokens = self.text(text, true);
        tokens.extend(self.alone.1);
        tokens
    }

    fn plain(&self, text: &str, tokens: &mut Vec<Token>) {
        tokens.extend(self.vocab.tokenize(text.as_bytes(), false, false).iter().map(|token| token.0));
    }

    /// The tokeniser takes each text for a beginning and puts a space before it. Behind the anchor it does
    /// not, and what comes before and with the anchor is dropped again.
    fn middle(&self, text: &str, tokens: &mut Vec<Token>) {
        let Some(anchor) = self.anchor.filter(|_| !text.is_empty()) else {
            return self.plain(text, tokens);
        };
        let anchored = self.vocab.tokenize(format!("{ANCHOR}{text}").as_bytes(), false, false);
        match anchored.iter().position(|token| token.0 == anchor) {
            Some(at) => tokens.extend(anchored.iter().skip(at + 1).map(|token| token.0)),
            None => self.plain(text, tokens),
        }
    }
}
