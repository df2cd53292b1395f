//! What llama.cpp would abort on, or compute wrongly, is refused before it sees it, and a sound step works afterwards.
//!
//! A process loads one model, so each test has one of its own.

use super::*;
use bobbin_inference::GraphKind;
use std::path::PathBuf;

/// What any of the models has in its vocabulary.
const TOKENS: [Token; 4] = [5, 6, 7, 8];

/// One of the repository's models.
pub(in super::super) fn model(file: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../models")).join(file)
}

/// The one that tells stories.
pub(in super::super) fn storyteller() -> PathBuf {
    model("storyteller/1.0.0/storyteller-q8_0.gguf")
}

/// What to load of these weights, with four sequences and one thread.
pub(in super::super) fn spec(weights: PathBuf) -> LoadSpec {
    LoadSpec {
        bundle: "test@1.0.0".into(),
        kind: GraphKind::Generate,
        weights,
        tokenizer: None,
        gpu: None,
        context: 256,
        parallel: 4,
        threads: 1,
        chat_template: None,
        prefix: None,
        warm_up: Vec::new(),
        fingerprint: Vec::new(),
        tolerance: 0.0,
        record: Vec::new(),
    }
}

fn decoder() -> Decoder {
    let spec = spec(storyteller());
    Model::load(&spec).unwrap().decoder(&spec, 0).unwrap()
}

fn row(slot: u32, pos: u32, token: Token) -> Row {
    Row { call: 1, slot, token, pos, output: true }
}

/// A sequence's tokens at once, from its beginning; returns the logits after the last.
fn feed(decoder: &mut Decoder, slot: u32, tokens: &[Token]) -> Vec<f32> {
    let rows: Vec<Row> = (0..).zip(tokens).map(|(pos, token)| row(slot, pos, *token)).collect();
    decoder.step(&rows).unwrap();
    decoder.logits(rows.len() - 1).unwrap().to_vec()
}

/// One token more; returns the logits after it.
fn next(decoder: &mut Decoder, slot: u32, pos: u32, token: Token) -> Vec<f32> {
    decoder.step(&[row(slot, pos, token)]).unwrap();
    decoder.logits(0).unwrap().to_vec()
}

/// The same numbers, but for what the shape of a batch changes.
fn assert_close(one: &[f32], other: &[f32]) {
    assert_eq!(one.len(), other.len());
    assert!(one.iter().chain(other).all(|value| value.is_finite()));
    let largest = one.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let apart = one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
    assert!(apart < 0.02 * largest, "{apart} apart, of {largest}");
}

fn refused(result: Result<impl std::fmt::Debug, StepError>, part: &str) {
    match result {
        Err(StepError::Refused(why)) => assert!(why.contains(part), "{why}: no {part}"),
        other => panic!("{other:?} where {part} was to be refused"),
    }
}

#[test]
fn an_unsound_step_is_refused_and_the_sequence_goes_on() {
    let mut decoder = decoder();
    let (most, slots, vocabulary) = (decoder.batch_rows(), decoder.slots(), decoder.vocabulary);
    let too_many: Vec<Row> = (0..=u32::try_from(most).unwrap()).map(|pos| row(1, pos, 5)).collect();
    // The prefix has the sequence after those of sessions.
    let unsound: Vec<(Vec<Row>, String)> = vec![
        (Vec::new(), "0 rows".into()),
        (too_many, format!("{} rows; a step has 1 to {most}", most + 1)),
        (vec![row(slots + 1, 0, 5)], format!("sequence {} of {}", slots + 1, slots + 1)),
        (vec![row(u32::MAX, 0, 5)], format!("sequence {} of", u32::MAX)),
        (vec![row(1, 1, 5)], "position 1 of sequence 1 where 0 follows".into()),
        (vec![row(1, 0, 5), row(1, 2, 6)], "position 2 of sequence 1 where 1 follows".into()),
        (vec![row(1, 0, 5), row(1, 0, 6)], "position 0 of sequence 1 where 1 follows".into()),
        (vec![row(0, 0, 5)], "position 0 of sequence 0".into()),
        (vec![row(1, 0, -1)], "token -1".into()),
        (vec![row(1, 0, vocabulary)], format!("token {vocabulary}")),
        (vec![row(1, 0, Token::MAX)], format!("token {}", Token::MAX)),
        (vec![row(1, 0, 5), row(2, 0, vocabulary)], format!("token {vocabulary}")),
    ];
    let mut tokens = vec![TOKENS[0]];
    let mut last = feed(&mut decoder, 0, &tokens);
    for (rows, part) in unsound {
        refused(decoder.step(&rows), &part);
        assert_eq!(decoder.logits(0), None, "{part}: a refused step has no logits");
        let pos = u32::try_from(tokens.len()).unwrap();
        tokens.push(TOKENS[tokens.len() % TOKENS.len()]);
        last = next(&mut decoder, 0, pos, tokens[tokens.len() - 1]);
    }
    // A sequence that nobody refused anything says the same.
    assert_close(&feed(&mut decoder, slots, &tokens), &last);

    // As if it were as long as the model can tell positions apart.
    let longest = decoder.longest;
    assert_eq!(longest, 256);
    decoder.filled[2] = longest;
    refused(decoder.step(&[row(2, longest, 5)]), "257 tokens in one sequence, which has at most 256");
    decoder.filled[2] = 0;
    assert_close(&feed(&mut decoder, 2, &tokens), &last);
}

#[test]
fn only_what_a_sequence_has_is_shared_and_only_with_an_empty_one() {
    let mut decoder = decoder();
    let nobody = decoder.slots() + 1;
    let four = feed(&mut decoder, 0, &TOKENS);
    feed(&mut decoder, 3, &TOKENS[..2]);
    for (from, slot, len) in [
        (0, 1, 5),
        (0, 1, u32::MAX),
        // It is empty itself.
        (2, 1, 1),
        (nobody, 1, 1),
        (u32::MAX, 1, 1),
        (0, nobody, 4),
        (0, u32::MAX, 4),
        // They have cells at these positions.
        (0, 3, 4),
        (0, 0, 4),
    ] {
        assert!(!decoder.share(from, slot, len), "{len} of {from} with {slot}");
    }
    // Nothing came of it: the sequences are what they were.
    assert_close(&feed(&mut decoder, 1, &TOKENS), &four);
    let after = next(&mut decoder, 0, 4, 5);
    assert_close(&next(&mut decoder, 1, 4, 5), &after);
    next(&mut decoder, 3, 2, TOKENS[2]);

    assert!(decoder.share(0, 2, 4));
    refused(decoder.step(&[row(2, 0, 5)]), "position 0 of sequence 2 where 4 follows");
    assert_close(&next(&mut decoder, 2, 4, 5), &after);
}

#[test]
fn a_sequence_is_cut_only_to_what_it_has() {
    let mut decoder = decoder();
    let nobody = decoder.slots() + 1;
    assert!(!decoder.trim(nobody, 0) && !decoder.trim(u32::MAX, 1));
    let four = feed(&mut decoder, 0, &TOKENS);
    assert!(decoder.trim(0, 3));
    assert_close(&next(&mut decoder, 0, 3, TOKENS[3]), &four);
    assert!(!decoder.trim(0, 5), "it has four");
    assert_close(&feed(&mut decoder, 0, &TOKENS), &four);
    assert!(decoder.trim(0, 0));
    assert_close(&feed(&mut decoder, 0, &TOKENS), &four);
}

#[test]
fn only_rows_that_were_asked_for_logits_have_some() {
    let mut decoder = decoder();
    let rows = [Row { output: false, ..row(0, 0, 5) }, row(0, 1, 6), Row { output: false, ..row(1, 0, 5) }];
    assert_eq!(decoder.logits(0), None, "there was no step");
    decoder.step(&rows).unwrap();
    let has = |decoder: &Decoder| [0, 1, 2, 3, usize::MAX].map(|row| decoder.logits(row).is_some());
    assert_eq!(has(&decoder), [false, true, false, false, false]);
    assert_eq!(decoder.logits(1).unwrap().len(), usize::try_from(decoder.vocabulary).unwrap());
    decoder.step(&[Row { output: false, ..row(0, 2, 7) }]).unwrap();
    assert_eq!(has(&decoder), [false; 5], "those of the step before are gone");
    next(&mut decoder, 0, 3, 8);
}

#[test]
fn texts_that_do_not_fit_one_batch_are_refused_and_sound_ones_are_embedded() {
    let spec = LoadSpec { kind: GraphKind::Embed, ..spec(model("sentence/1.0.0/sentence-q8_0.gguf")) };
    let model = Model::load(&spec).unwrap();
    let mut embedder = model.embedder(&spec).unwrap();
    let (rows, texts) = (embedder.rows(), embedder.texts());
    let longest = model.trained_context() as usize;
    let vocabulary = model.vocabulary.size();
    let long = vec![5; rows + 1];
    let one: &[Token] = &TOKENS;
    let unknown = [5, vocabulary];
    // As many as fill the batch, but for their last token.
    let full: Vec<&[Token]> = long[1..].chunks(rows / texts).collect();
    assert_eq!((full.len(), full.concat().len()), (texts, rows));
    let over = [&full[1..], &[&long[..rows / texts + 1]]].concat();
    let unsound: Vec<(Vec<&[Token]>, String)> = vec![
        (Vec::new(), "0 texts with 0 tokens".into()),
        (vec![&long[..]], format!("1 texts with {} tokens; a batch has 1 to {texts} with {rows}", rows + 1)),
        (over, format!("{texts} texts with {} tokens", rows + 1)),
        (vec![one; texts + 1], format!("{} texts", texts + 1)),
        (vec![one, &[]], "a text has 0 tokens".into()),
        (vec![one, &long[..longest + 1]], format!("a text has {} tokens; the model takes 1 to {longest}", longest + 1)),
        (vec![&[-1][..]], "token -1 ".into()),
        (vec![one, &unknown], format!("token {vocabulary} ")),
        (vec![&[Token::MAX][..]], format!("token {} ", Token::MAX)),
    ];
    let alone = embedder.embed(&[one]).unwrap().concat();
    assert_eq!(alone.len(), model.dimensions() as usize);
    for (texts, part) in unsound {
        refused(embedder.embed(&texts), &part);
        assert_close(&embedder.embed(&[one]).unwrap().concat(), &alone);
    }
    let vectors = embedder.embed(&full).unwrap();
    assert_eq!(vectors.len(), texts);
    vectors.iter().for_each(|vector| assert_close(vector, &vectors[0]));
    assert_close(&embedder.embed(&[one]).unwrap().concat(), &alone);
}
