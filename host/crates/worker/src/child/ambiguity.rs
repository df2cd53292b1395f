//! How many ways a grammar has to go on, before llama.cpp is asked to follow all of them at once.
//!
//! llama.cpp keeps one stack for each way in which what was written so far can continue. A dozen rules that
//! each begin with the next one twice make more stacks than there is memory, and running out of it inside
//! llama.cpp ends the process. So the ways in which each rule can begin are counted first: a reference counts
//! as many as its rule, and one that may be empty also lets what follows it begin.
//!
//! This reads GBNF only as far as that needs. What it cannot read it lets pass: llama.cpp's own parser says
//! what is wrong with it.

use std::collections::HashMap;

type Sequence = Vec<Item>;

#[derive(Debug)]
enum Kind {
    Terminal,
    Rule(usize),
    Group(Vec<Sequence>),
}

#[derive(Debug)]
struct Item {
    kind: Kind,
    /// Whether its repetition lets it be left out.
    optional: bool,
    /// How often it may stand in a row, at most.
    times: u64,
}

/// Rules by number; a rule that is referred to and not defined has no alternative.
#[derive(Debug, Default)]
struct Rules {
    numbers: HashMap<String, usize>,
    alternatives: Vec<Vec<Sequence>>,
}

/// The most ways in which any rule of the grammar can begin; `None` where it does not read.
pub(super) fn most_beginnings(grammar: &str) -> Option<u64> {
    let mut parser = Parser { rest: grammar, rules: Rules::default() };
    parser.grammar()?;
    let rules = parser.rules.alternatives;
    let empty = may_be_empty(&rules);
    let mut known = vec![None; rules.len()];
    (0..rules.len()).map(|rule| beginnings(rule, &rules, &empty, &mut known)).max()
}

fn may_be_empty(rules: &[Vec<Sequence>]) -> Vec<bool> {
    let mut empty = vec![false; rules.len()];
    loop {
        let mut changed = false;
        for (rule, alternatives) in rules.iter().enumerate() {
            let now = alternatives.iter().any(|sequence| sequence.iter().all(|item| item_may_be_empty(item, &empty)));
            if let Some(known) = empty.get_mut(rule).filter(|known| now && !**known) {
                *known = true;
                changed = true;
            }
        }
        if !changed {
            return empty;
        }
    }
}

fn item_may_be_empty(item: &Item, empty: &[bool]) -> bool {
    item.optional || inner_may_be_empty(&item.kind, empty)
}

fn inner_may_be_empty(kind: &Kind, empty: &[bool]) -> bool {
    match kind {
        Kind::Terminal => false,
        Kind::Rule(rule) => empty.get(*rule).copied().unwrap_or(false),
        Kind::Group(alternatives) => {
            alternatives.iter().any(|sequence| sequence.iter().all(|item| item_may_be_empty(item, empty)))
        }
    }
}

fn beginnings(rule: usize, rules: &[Vec<Sequence>], empty: &[bool], known: &mut [Option<u64>]) -> u64 {
    if let Some(count) = known.get(rule).copied().flatten() {
        return count;
    }
    // A rule that begins with itself counts nothing here; llama.cpp refuses it.
    if let Some(known) = known.get_mut(rule) {
        *known = Some(0);
    }
    let count = rules.get(rule).map_or(0, |alternatives| of_alternatives(alternatives, rules, empty, known));
    if let Some(known) = known.get_mut(rule) {
        *known = Some(count);
    }
    count
}

fn of_alternatives(
    alternatives: &[Sequence],
    rules: &[Vec<Sequence>],
    empty: &[bool],
    known: &mut [Option<u64>],
) -> u64 {
    let mut count = 0_u64;
    for sequence in alternatives {
        for item in sequence {
            let once = match &item.kind {
                Kind::Terminal => 1,
                Kind::Rule(rule) => beginnings(*rule, rules, empty, known),
                Kind::Group(alternatives) => of_alternatives(alternatives, rules, empty, known),
            };
            let times = if inner_may_be_empty(&item.kind, empty) { item.times } else { 1 };
            count = count.saturating_add(once.saturating_mul(times));
            if !item_may_be_empty(item, empty) {
                break;
            }
        }
    }
    count
}

struct Parser<'a> {
    rest: &'a str,
    rules: Rules,
}

impl Parser<'_> {
    fn grammar(&mut self) -> Option<()> {
        self.space(true);
        while !self.rest.is_empty() {
            let rule = self.name()?;
            self.space(false);
            self.take("::=").then_some(())?;
            self.space(true);
            let alternatives = self.alternatives(false)?;
            *self.rules.alternatives.get_mut(rule)? = alternatives;
            self.space(true);
        }
        Some(())
    }

    fn alternatives(&mut self, nested: bool) -> Option<Vec<Sequence>> {
        let mut alternatives = Vec::new();
        loop {
            alternatives.push(self.sequence(nested)?);
            if !self.take("|") {
                return Some(alternatives);
            }
            self.space(true);
        }
    }

    fn sequence(&mut self, nested: bool) -> Option<Sequence> {
        let mut sequence = Sequence::new();
        loop {
            let kind = match self.rest.chars().next() {
                Some('"') => self.until('"')?,
                Some('[') => self.until(']')?,
                Some('.') => self.skip('.')?,
                Some('!') => {
                    self.take("!");
                    self.until('>')?
                }
                Some('<') => self.until('>')?,
                Some('(') => {
                    self.take("(");
                    self.space(true);
                    let group = self.alternatives(true)?;
                    self.take(")").then_some(())?;
                    Kind::Group(group)
                }
                Some(first) if first.is_ascii_alphanumeric() || first == '-' => Kind::Rule(self.name()?),
                _ => return Some(sequence),
            };
            self.space(nested);
            let mut item = Item { kind, optional: false, times: 1 };
            while let Some((least, most)) = self.repetition()? {
                item.optional |= least == 0;
                item.times = item.times.saturating_mul(most);
                self.space(nested);
            }
            sequence.push(item);
        }
    }

    /// `Some(None)` where none follows; a repetition without end counts once, since its next turn begins
    /// where the last one did.
    fn repetition(&mut self) -> Option<Option<(u64, u64)>> {
        for (sign, least) in [("*", 0), ("+", 1), ("?", 0)] {
            if self.take(sign) {
                return Some(Some((least, 1)));
            }
        }
        if !self.take("{") {
            return Some(None);
        }
        let (inside, rest) = self.rest.split_once('}')?;
        self.rest = rest;
        let (least, most) = inside.split_once(',').unwrap_or((inside, inside));
        let least = least.trim().parse().ok()?;
        let most = if most.trim().is_empty() { least } else { most.trim().parse().ok()? };
        Some(Some((least, most.max(1))))
    }

    /// A literal from its first character to the closing one, escapes skipped.
    fn until(&mut self, close: char) -> Option<Kind> {
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            if character == '\\' {
                characters.next();
            } else if character == close {
                self.rest = self.rest.split_at(at + close.len_utf8()).1;
                return Some(Kind::Terminal);
            }
        }
        None
    }

    fn skip(&mut self, character: char) -> Option<Kind> {
        self.rest = self.rest.strip_prefix(character)?;
        Some(Kind::Terminal)
    }

    fn take(&mut self, text: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(text) else { return false };
        self.rest = rest;
        true
    }

    fn name(&mut self) -> Option<usize> {
        let word = |character: char| character.is_ascii_alphanumeric() || character == '-' || character == '_';
        let end = self.rest.find(|character| !word(character)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        if name.is_empty() {
            return None;
        }
        if let Some(rule) = self.rules.numbers.get(name) {
            return Some(*rule);
        }
        let rule = self.rules.alternatives.len();
        self.rules.numbers.insert(name.to_owned(), rule);
        self.rules.alternatives.push(Vec::new());
        Some(rule)
    }

    /// White space and comments; `lines` lets lines end.
    fn space(&mut self, lines: bool) {
        loop {
            let white =
                |character: char| matches!(character, ' ' | '\t') || (lines && matches!(character, '\r' | '\n'));
            self.rest = self.rest.trim_start_matches(white);
            let Some(comment) = self.rest.strip_prefix('#') else { return };
            let end = comment.find(['\r', '\n']).unwrap_or(comment.len());
            self.rest = comment.split_at(end).1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_grammars_have_few_beginnings() {
        let json = r#"
            # a comment
            root   ::= object
            value  ::= object | array | string | number | ("true" | "false" | "null") ws
            object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
            array  ::= "[" ws ( value ("," ws value)* )? "]" ws
            string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
            number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
            ws ::= | " " | "\n" [ \t]{0,20}
        "#;
        assert_eq!(most_beginnings(json), Some(9));
    }

    #[test]
    fn what_may_be_empty_lets_the_next_begin() {
        assert_eq!(most_beginnings(r#"root ::= "a"? "b"* ("c" | "d") "e""#), Some(4));
        assert_eq!(most_beginnings("root ::= x x x\nx ::= \"a\" |\n"), Some(3));
        assert_eq!(most_beginnings("root ::= (\"a\"?){7} \"b\""), Some(8));
    }

    #[test]
    fn rules_that_double_each_other_are_counted_without_following_them() {
        let mut grammar = String::from("root ::= \"a\" r0\n");
        for rule in 0..40 {
            grammar.push_str(&format!("r{rule} ::= r{next} r{next} | r{next} \"b\" | \"\"\n", next = rule + 1));
        }
        grammar.push_str("r40 ::= \"c\"\n");
        assert!(most_beginnings(&grammar).unwrap() > 1 << 38);
    }

    #[test]
    fn rules_that_begin_with_themselves_come_to_an_end() {
        assert_eq!(most_beginnings("root ::= root \"a\" | \"b\""), Some(1));
        assert_eq!(most_beginnings("root ::= x\nx ::= root"), Some(0));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[a-c\"\\[\\]():=|*+?{},0-9 \n\\\\#<>!.é]{0,60}") {
            let _ = most_beginnings(&text);
            let _ = most_beginnings(&format!("root ::= {text}"));
        }
    }
}
