//! One answer being generated: tokens in, pieces out.

use super::schedule::Token;
use super::tools::Writing;
use super::tools::written::{MOST_BYTES, Written};
use bobbin_inference::wire::{CallId, FromWorker};
use bobbin_inference::{Constraint, FinishReason, Options, StopFilter, TokenLogprob, ToolCall, Usage, Utf8Assembler};
use std::collections::VecDeque;

/// What a token did to the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// More may come.
    Continue,
    /// It ended, for this reason.
    Finish(FinishReason),
}

/// The state of one answer.
#[derive(Debug)]
pub(super) struct Generation {
    characters: Utf8Assembler,
    stops: StopFilter,
    /// Parts text from calls, where tools may be called.
    written: Option<Written>,
    /// The token that begins the calls, which has no text.
    opener: Option<Token>,
    most: u32,
    logprobs: Option<u8>,
    usage: Usage,
    /// Whole characters that are new, and what of them is no call: kept from token to token for their memory.
    fresh: String,
    plain: String,
    /// Ready, not sent.
    text: String,
    reported: Vec<TokenLogprob>,
    /// Tokens that a stop string may yet cut off, each with where in the text it begins.
    withheld: VecDeque<(usize, TokenLogprob)>,
    /// Bytes of text that were made, and those of them that were sent.
    made: usize,
    sent: usize,
    unsent: u32,
    /// Of the text so far.
    bytes: u64,
}

impl Generation {
    /// An answer to a prompt of so many tokens, by a model that writes calls of tools so.
    pub(super) fn new(options: &Options, input_tokens: u32, writing: Writing) -> Self {
        let tools = matches!(options.constraint, Some(Constraint::Tools(_)));
        Self {
            characters: Utf8Assembler::default(),
            stops: StopFilter::new(options.stop.clone()),
            written: tools.then(|| Written::new(writing)),
            opener: writing.opener.filter(|_| tools),
            most: options.max_tokens,
            logprobs: options.logprobs,
            usage: Usage { input_tokens, ..Usage::default() },
            fresh: String::new(),
            plain: String::new(),
            text: String::new(),
            reported: Vec::new(),
            withheld: VecDeque::new(),
            made: 0,
            sent: 0,
            unsent: 0,
            bytes: 0,
        }
    }

    /// Bytes that the answer's text has so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Alternatives to report for each token; `None` without log-probabilities.
    pub(super) fn logprobs(&self) -> Option<u8> {
        self.logprobs
    }

    /// So many tokens of the prompt were computed before.
    pub(super) fn cached(&mut self, tokens: u32) {
        self.usage.cached_tokens = tokens.min(self.usage.input_tokens);
    }

    /// Whether it has more calls than anybody can want, in bytes.
    pub(super) fn calls_too_much(&self) -> bool {
        self.written.as_ref().is_some_and(|written| written.bytes() > MOST_BYTES)
    }

    /// A token of the answer, its bytes, and its log-probability where that was asked for.
    pub(super) fn push(&mut self, token: Token, bytes: &[u8], logprob: Option<TokenLogprob>) -> Verdict {
        self.usage.output_tokens += 1;
        self.unsent += 1;
        self.bytes += u64::try_from(bytes.len()).unwrap_or(0);
        self.withheld.extend(logprob.map(|logprob| (self.made, logprob)));
        self.fresh.clear();
        self.characters.push(bytes, &mut self.fresh);
        self.made += self.fresh.len();
        self.part_from_calls();
        if let (true, Some(written)) = (self.opener == Some(token), &mut self.written) {
            written.begin(&mut self.plain);
        }
        self.stops.push(&self.plain, &mut self.text);
        self.report(false);
        if self.stops.stopped() {
            Verdict::Finish(FinishReason::Stop)
        } else if self.usage.output_tokens >= self.most {
            Verdict::Finish(FinishReason::Length)
        } else {
            Verdict::Continue
        }
    }

    /// Lets the log-probabilities go of tokens that no stop string cuts off any more: those that begin in what was said, and
    /// those of calls; where the answer has `ended`, all.
    fn report(&mut self, ended: bool) {
        let stopped = self.stops.stopped();
        let called = self.written.as_ref().is_some_and(Written::begun);
        let free = !stopped && (ended || called || self.stops.is_empty());
        let said = self.sent + self.text.len();
        while let Some((_, logprob)) = self.withheld.pop_front_if(|(begins, _)| free || *begins < said) {
            self.reported.push(logprob);
        }
        if stopped {
            self.withheld.clear();
        }
    }

    /// Finds what of new characters is certain to come before any call. Stop strings end text; within a call they are its
    /// own.
    fn part_from_calls(&mut self) {
        match &mut self.written {
            Some(written) => {
                self.plain.clear();
                written.push(&self.fresh, &mut self.plain);
            }
            None => std::mem::swap(&mut self.fresh, &mut self.plain),
        }
    }

    /// Whether there is something to send: text, log-probabilities, or, when the reader must learn of tokens
    /// whose text is held back before it can give more credit, those.
    pub(super) fn has_piece(&self, credit_is_out: bool) -> bool {
        !self.text.is_empty() || !self.reported.is_empty() || (credit_is_out && self.unsent > 0)
    }

    /// Sends what is ready. The last piece also holds what was held back. What a piece is written in is used again.
    pub(super) fn piece<T>(
        &mut self,
        call: CallId,
        finish: Option<FinishReason>,
        send: impl FnOnce(&FromWorker) -> T,
    ) -> T {
        let mut tool_calls = Vec::new();
        if let Some(finish) = finish.filter(|_| !self.stops.stopped()) {
            tool_calls = self.end(finish);
        }
        let finish = match finish {
            Some(FinishReason::Stop) if !tool_calls.is_empty() => Some(FinishReason::ToolCalls),
            finish => finish,
        };
        self.unsent = 0;
        self.sent += self.text.len();
        let (text, logprobs) = (std::mem::take(&mut self.text), std::mem::take(&mut self.reported));
        let piece = FromWorker::Piece { call, text, usage: self.usage, logprobs, tool_calls, finish };
        let result = send(&piece);
        if let FromWorker::Piece { mut text, mut logprobs, .. } = piece {
            text.clear();
            logprobs.clear();
            (self.text, self.reported) = (text, logprobs);
        }
        result
    }

    /// The answer ended, and not at a stop string: what was held back is ready. Returns the calls of tools.
    fn end(&mut self, finish: FinishReason) -> Vec<ToolCall> {
        self.fresh.clear();
        self.characters.finish(&mut self.fresh);
        self.part_from_calls();
        let cut = finish == FinishReason::Length;
        let calls = self.written.as_mut().map(|written| written.finish(cut, &mut self.plain));
        self.stops.push(&self.plain, &mut self.text);
        if !self.stops.stopped() {
            self.stops.finish(&mut self.text);
        }
        self.report(true);
        calls.unwrap_or_default()
    }
}

/// Tokens of a compute that makes no text.
pub(super) fn usage_of(tokens: &[Token]) -> Usage {
    Usage { input_tokens: u32::try_from(tokens.len()).unwrap_or(u32::MAX), ..Usage::default() }
}

#[cfg(test)]
mod tests {
    use super::super::tools::Form;
    use super::*;
    use bobbin_inference::{Calls, Sampling, ToolUse};

    const WRITING: Writing = Writing { form: Form::Tagged, opener: None };

    fn options(most: u32, stop: &[&str]) -> Options {
        Options {
            max_tokens: most,
            sampling: Sampling {
                temperature: 0.0,
                top_k: 0,
                top_p: 1.0,
                min_p: 0.0,
                repeat_penalty: 1.0,
                repeat_last_n: 0,
                presence_penalty: 0.0,
                frequency_penalty: 0.0,
                logit_bias: std::collections::BTreeMap::new(),
                seed: None,
            },
            stop: stop.iter().map(|stop| (*stop).to_owned()).collect(),
            constraint: None,
            logprobs: None,
            stream: true,
        }
    }

    fn run(options: &Options, tokens: &[&[u8]]) -> (Vec<String>, Option<FinishReason>, u32) {
        let mut generation = Generation::new(options, 1, WRITING);
        let mut texts = Vec::new();
        let mut finish = None;
        for token in tokens {
            if let Verdict::Finish(reason) = generation.push(0, token, None) {
                finish = Some(reason);
                break;
            }
            if generation.has_piece(false) {
                let FromWorker::Piece { text, .. } = generation.piece(1, None, FromWorker::clone) else {
                    unreachable!()
                };
                texts.push(text);
            }
        }
        let FromWorker::Piece { text, usage, .. } =
            generation.piece(1, finish.or(Some(FinishReason::Stop)), FromWorker::clone)
        else {
            unreachable!()
        };
        texts.push(text);
        (texts, finish, usage.output_tokens)
    }

    #[test]
    fn a_character_over_two_tokens_makes_one_piece() {
        let (texts, finish, tokens) = run(&options(9, &[]), &[b"a", b"\xc3", b"\xa9", b"b"]);
        assert_eq!((texts.concat().as_str(), texts.len(), finish, tokens), ("aéb", 4, None, 4));
    }

    #[test]
    fn a_stop_string_whose_character_is_split_over_tokens_is_found() {
        let (texts, finish, _) = run(&options(9, &["é!"]), &[b"x", b"\xc3", b"\xa9", b"!", b"y"]);
        assert_eq!((texts.concat().as_str(), finish), ("x", Some(FinishReason::Stop)));
    }

    /// Text, and the tokens that log-probabilities are told of, of an answer of these tokens.
    fn told(options: &Options, tokens: &[&[u8]]) -> (String, Vec<String>) {
        let mut generation = Generation::new(options, 1, WRITING);
        let (mut text, mut told) = (String::new(), Vec::new());
        let mut take = |piece| {
            let FromWorker::Piece { text: more, logprobs, .. } = piece else { unreachable!() };
            text.push_str(&more);
            told.extend(logprobs.into_iter().map(|one| String::from_utf8_lossy(&one.bytes).into_owned()));
            // What is told of begins in what was said.
            assert!(told.concat().starts_with(&text) || text.contains('\u{fffd}'), "{text:?} {told:?}");
        };
        for token in tokens {
            let logprob = TokenLogprob { id: 0, bytes: token.to_vec(), logprob: -1.0, top: Vec::new() };
            let verdict = generation.push(0, token, Some(logprob));
            take(generation.piece(1, None, FromWorker::clone));
            if verdict != Verdict::Continue {
                break;
            }
        }
        take(generation.piece(1, Some(FinishReason::Stop), FromWorker::clone));
        (text, told)
    }

    #[test]
    fn tokens_of_a_stop_string_are_not_told_of() {
        let tokens: [&[u8]; 5] = [b"a", b" sm", b"all", b" girl", b" named"];
        let of = |stop: &[&str]| told(&options(9, stop), &tokens);
        let whole = (String::from("a small girl named"), vec!["a", " sm", "all", " girl", " named"]);
        for stop in [&[][..], &["never"], &["named!"]] {
            let (text, told) = of(stop);
            assert_eq!((text, told.iter().map(String::as_str).collect::<Vec<_>>()), whole, "{stop:?}");
        }
        assert_eq!(of(&[" girl"]), ("a small".into(), vec!["a".into(), " sm".into(), "all".into()]));
        assert_eq!(of(&["small girl named"]), ("a ".into(), vec!["a".into(), " sm".into()]), "it begins before");
        assert_eq!(of(&["a"]), (String::new(), Vec::new()));
        let split: [&[u8]; 4] = [b"x", b"\xc3", b"\xa9", b"!"];
        assert_eq!(told(&options(9, &["é!"]), &split), ("x".into(), vec!["x".into()]));
    }

    #[test]
    fn a_held_back_beginning_comes_with_the_end() {
        let (texts, finish, _) = run(&options(2, &["END"]), &[b"x", b"EN"]);
        assert_eq!((texts.concat().as_str(), finish), ("xEN", Some(FinishReason::Length)));
    }

    #[test]
    fn a_cut_character_at_the_end_is_replaced_and_may_complete_no_stop() {
        let (texts, _, _) = run(&options(2, &["END"]), &[b"x", b"\xc3"]);
        assert_eq!(texts.concat(), "x\u{fffd}");
    }

    fn with_tools(most: u32, stop: &[&str]) -> Options {
        let used = ToolUse { tools: String::new(), calls: Calls::Free, parallel: true, response: None };
        Options { constraint: Some(Constraint::Tools(used)), ..options(most, stop) }
    }

    /// Text, calls and finish of an answer of these tokens; the last of which ends it for this reason.
    fn answer(
        options: &Options,
        writing: Writing,
        tokens: &[(Token, &str)],
        end: FinishReason,
    ) -> (String, usize, FinishReason) {
        let mut generation = Generation::new(options, 1, writing);
        let mut text = String::new();
        for (id, token) in tokens {
            if let Verdict::Finish(reason) = generation.push(*id, token.as_bytes(), None) {
                assert_eq!(reason, end);
            }
            if generation.has_piece(false) {
                let FromWorker::Piece { text: more, tool_calls, .. } = generation.piece(1, None, FromWorker::clone)
                else {
                    unreachable!()
                };
                assert!(tool_calls.is_empty(), "calls come with the end");
                text.push_str(&more);
            }
        }
        let FromWorker::Piece { text: rest, tool_calls, finish, .. } =
            generation.piece(1, Some(end), FromWorker::clone)
        else {
            unreachable!()
        };
        (text + &rest, tool_calls.len(), finish.unwrap())
    }

    #[test]
    fn calls_come_with_the_end_and_stop_strings_are_for_the_text_before_them() {
        let tokens =
            [(0, "Well, <tool"), (0, "_call>\n{\"name\": \"f\", \"argu"), (0, "ments\": {\"STOP\": 1}}\n</tool_call>")];
        let whole = answer(&with_tools(9, &["STOP"]), WRITING, &tokens, FinishReason::Stop);
        assert_eq!(whole, ("Well, ".into(), 1, FinishReason::ToolCalls));
        let cut = answer(&with_tools(2, &[]), WRITING, &tokens[..2], FinishReason::Length);
        assert_eq!(cut, ("Well, ".into(), 0, FinishReason::Length));
        let stopped = answer(&with_tools(9, &["ll, "]), WRITING, &tokens[..1], FinishReason::Stop);
        assert_eq!(stopped, ("We".into(), 0, FinishReason::Stop));
    }

    #[test]
    fn a_token_without_text_may_begin_the_calls() {
        let writing = Writing { form: Form::Listed, opener: Some(5) };
        let tokens = [(0, "Well, ["), (5, ""), (0, "[{\"name\": \"f\", \"arguments\": {}}]")];
        let whole = answer(&with_tools(9, &[]), writing, &tokens, FinishReason::Stop);
        assert_eq!(whole, ("Well, [".into(), 1, FinishReason::ToolCalls));
        // Where no tools were offered, it is nothing but a token without text.
        let plain = answer(&options(9, &[]), writing, &tokens, FinishReason::Stop);
        assert_eq!(plain.1, 0);
    }

    #[test]
    fn tokens_without_text_are_told_of_only_when_the_reader_must_know() {
        let mut generation = Generation::new(&options(9, &["ab"]), 1, WRITING);
        generation.push(0, b"a", None);
        assert!(!generation.has_piece(false));
        assert!(generation.has_piece(true));
        let FromWorker::Piece { text, usage, .. } = generation.piece(1, None, FromWorker::clone) else {
            unreachable!()
        };
        assert_eq!((text.as_str(), usage.output_tokens), ("", 1));
        assert!(!generation.has_piece(true));
    }
}
