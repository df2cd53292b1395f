//! GBNF, read as llama.cpp reads it: to rules, with each group a rule of its own.
//!
//! What does not read here is refused with its line, so nothing reaches llama.cpp that was not looked at. The size
//! counted is that of llama.cpp's own rules, where `x{m,n}` is m copies of x and n - m further rules.

use std::collections::HashMap;

/// Repetitions of one item; over it llama.cpp takes an upper bound for none.
const MOST_TIMES: u64 = 2_000;
/// Elements of all rules together, repetitions written out.
const MOST_ELEMENTS: u64 = 50_000;
/// Groups in groups. A schema's property names nest by their characters.
const MOST_GROUPS: usize = 320;

pub(super) type Sequence = Vec<Item>;

/// What an item repeats.
#[derive(Debug, Clone, Copy)]
pub(super) enum Symbol {
    /// Characters, so many elements; an empty literal has none.
    Terminal(u64),
    Rule(usize),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub(super) symbol: Symbol,
    pub(super) least: u64,
    /// `None` without end.
    pub(super) most: Option<u64>,
    pub(super) line: usize,
}

/// A rule or a group.
#[derive(Debug, Default)]
pub(super) struct Rule {
    /// Its own name, or that of the rule around it.
    pub(super) name: String,
    pub(super) alternatives: Vec<Sequence>,
    defined: bool,
    /// The line of its definition, else of the first reference to it.
    line: usize,
}

/// The rules of a grammar by number; `root` is among them, and what they refer to.
pub(super) fn parse(grammar: &str) -> Result<Vec<Rule>, String> {
    let mut parser =
        Parser { rest: grammar, line: 1, groups: 0, numbers: HashMap::new(), rules: vec![], made: 0, elements: 0 };
    parser.grammar()?;
    if let Some(missing) = parser.rules.iter().find(|rule| !rule.defined) {
        return Err(format!("line {}: no rule is named {:?}; define it", missing.line, missing.name));
    }
    if !parser.numbers.contains_key("root") {
        return Err("no rule is named \"root\"; an answer begins there".into());
    }
    Ok(parser.rules)
}

struct Parser<'a> {
    rest: &'a str,
    line: usize,
    groups: usize,
    numbers: HashMap<String, usize>,
    rules: Vec<Rule>,
    /// Rules that llama.cpp makes for repetitions.
    made: u64,
    elements: u64,
}

impl Parser<'_> {
    fn grammar(&mut self) -> Result<(), String> {
        self.space(true);
        while !self.rest.is_empty() {
            let number = self.name()?;
            self.space(false);
            let line = self.line;
            self.expect("::=")?;
            self.space(true);
            let name = self.rules.get(number).map(|rule| rule.name.clone()).unwrap_or_default();
            let (alternatives, size) = self.alternatives(&name, false)?;
            self.grow(size)?;
            let Some(rule) = self.rules.get_mut(number) else { continue };
            if rule.defined {
                return Err(format!("line {line}: the rule {name:?} is defined twice; give one another name"));
            }
            (rule.alternatives, rule.defined, rule.line) = (alternatives, true, line);
            if !self.rest.is_empty() && !self.rest.starts_with(['\r', '\n']) {
                return Err(self.unexpected("the end of the line"));
            }
            self.space(true);
        }
        Ok(())
    }

    /// With the elements that they take in their rule.
    fn alternatives(&mut self, name: &str, nested: bool) -> Result<(Vec<Sequence>, u64), String> {
        let (mut alternatives, mut size) = (Vec::new(), 0_u64);
        loop {
            let (sequence, more) = self.sequence(name, nested)?;
            alternatives.push(sequence);
            size = size.saturating_add(more).saturating_add(1);
            if !self.take("|") {
                return Ok((alternatives, size));
            }
            self.space(true);
        }
    }

    fn sequence(&mut self, name: &str, nested: bool) -> Result<(Sequence, u64), String> {
        let (mut sequence, mut size) = (Sequence::new(), 0_u64);
        loop {
            let line = self.line;
            let before = self.symbols();
            let mut copies = 1;
            let symbol = match self.rest.chars().next() {
                Some('"') => self.literal('"')?,
                Some('[') => self.literal(']')?,
                Some('.') => self.skip(1),
                Some('<' | '!') => self.token()?,
                Some('(') => {
                    let group = self.group(name)?;
                    copies = self.symbols().saturating_sub(before).max(1);
                    group
                }
                Some(first) if is_word(first) => Symbol::Rule(self.name()?),
                _ => return Ok((sequence, size)),
            };
            self.space(nested);
            let mut item = Item { symbol, least: 1, most: Some(1), line };
            let mut elements = match symbol {
                Symbol::Terminal(elements) => elements,
                Symbol::Rule(_) => 1,
            };
            let mut repeated = false;
            while let Some((least, most)) = self.repetition(nested)? {
                if repeated {
                    item = Item { symbol: self.wrap(name, item), least: 1, most: Some(1), line };
                }
                elements = self.repeat(elements, &mut copies, least, most)?;
                (item.least, item.most, repeated) = (least, most, true);
            }
            size = size.saturating_add(elements);
            self.grow(0)?;
            sequence.push(item);
        }
    }

    fn group(&mut self, name: &str) -> Result<Symbol, String> {
        self.groups += 1;
        if self.groups > MOST_GROUPS {
            return Err(format!("line {}: groups nest more than {MOST_GROUPS} deep; simplify them", self.line));
        }
        self.expect("(")?;
        self.space(true);
        let number = self.rules.len();
        self.rules.push(Rule { name: name.to_owned(), defined: true, line: self.line, ..Rule::default() });
        let (alternatives, size) = self.alternatives(name, true)?;
        self.grow(size)?;
        if let Some(rule) = self.rules.get_mut(number) {
            rule.alternatives = alternatives;
        }
        self.expect(")")?;
        self.groups -= 1;
        Ok(Symbol::Rule(number))
    }

    /// A repeated item that is repeated again.
    fn wrap(&mut self, name: &str, item: Item) -> Symbol {
        let rule = Rule { name: name.to_owned(), alternatives: vec![vec![item]], defined: true, line: item.line };
        self.rules.push(rule);
        Symbol::Rule(self.rules.len() - 1)
    }

    /// Elements that a repetition leaves in its rule.
    fn repeat(&mut self, elements: u64, copies: &mut u64, least: u64, most: Option<u64>) -> Result<u64, String> {
        let line = self.line;
        if elements == 0 {
            return Err(format!("line {line}: there is nothing before this repetition that it could repeat"));
        }
        if let Some(most) = most.filter(|most| *most < least) {
            return Err(format!(
                "line {line}: {{{least},{most}}} repeats at least {least} and at most {most} times; swap them"
            ));
        }
        let times = most.filter(|most| *most > 0).unwrap_or(least.max(1));
        if least.max(times) > MOST_TIMES {
            return Err(format!("line {line}: {times} repetitions; at most {MOST_TIMES} are allowed"));
        }
        *copies = copies.saturating_mul(times);
        if *copies > MOST_TIMES {
            return Err(format!(
                "line {line}: repetitions in repetitions come to {copies} rules; at most {MOST_TIMES} are allowed; repeat less"
            ));
        }
        let rules = most.map_or(1, |most| most - least);
        self.made = self.made.saturating_add(rules);
        self.grow(rules.saturating_mul(elements.saturating_add(3)))?;
        Ok(elements.saturating_mul(least).saturating_add(rules.min(1)))
    }

    fn symbols(&self) -> u64 {
        (self.rules.len() as u64).saturating_add(self.made)
    }

    fn grow(&mut self, elements: u64) -> Result<(), String> {
        self.elements = self.elements.saturating_add(elements);
        if self.elements <= MOST_ELEMENTS {
            return Ok(());
        }
        Err(format!(
            "line {}: with repetitions written out the grammar has more than {MOST_ELEMENTS} elements; repeat less",
            self.line
        ))
    }

    /// Least and most, where a repetition follows.
    fn repetition(&mut self, nested: bool) -> Result<Option<(u64, Option<u64>)>, String> {
        for (sign, least, most) in [("*", 0, None), ("+", 1, None), ("?", 0, Some(1))] {
            if self.take(sign) {
                self.space(nested);
                return Ok(Some((least, most)));
            }
        }
        if !self.take("{") {
            return Ok(None);
        }
        self.space(nested);
        let least = self.number()?;
        self.space(nested);
        let mut most = Some(least);
        if self.take(",") {
            self.space(nested);
            most = if self.rest.starts_with('}') { None } else { Some(self.number()?) };
            self.space(nested);
        }
        self.expect("}")?;
        self.space(nested);
        Ok(Some((least, most)))
    }

    fn number(&mut self) -> Result<u64, String> {
        let end = self.rest.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        if digits.is_empty() {
            return Err(self.unexpected("a number"));
        }
        self.rest = rest;
        digits.parse().map_err(|error| format!("line {}: {digits} repetitions: {error}", self.line))
    }

    /// Quoted characters or a class of them: one element for each character.
    fn literal(&mut self, close: char) -> Result<Symbol, String> {
        let class = close == ']';
        let mut rest = self.rest.split_at(1).1;
        if class {
            rest = rest.strip_prefix('^').unwrap_or(rest);
        }
        let mut elements = 0;
        while let Some(character) = rest.chars().next() {
            if character == close {
                self.line +=
                    self.rest.len().checked_sub(rest.len()).and_then(|end| self.rest.get(..end)).map_or(0, lines);
                self.rest = rest.split_at(1).1;
                return Ok(Symbol::Terminal(elements));
            }
            rest = self.character(rest)?;
            elements += 1;
            if class && let Some(range) = rest.strip_prefix('-').filter(|range| !range.starts_with(']')) {
                rest = self.character(range)?;
                elements += 1;
            }
        }
        Err(format!("line {}: a literal without its closing {close}", self.line))
    }

    fn character<'b>(&self, text: &'b str) -> Result<&'b str, String> {
        let mut characters = text.chars();
        if characters.next() != Some('\\') {
            return Ok(characters.as_str());
        }
        let digits = match characters.next() {
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            Some('t' | 'r' | 'n' | '\\' | '"' | '[' | ']' | '-') => 0,
            _ => {
                return Err(format!(
                    "line {}: an escape other than \\x \\u \\U \\t \\r \\n \\\\ \\\" \\[ \\] \\-",
                    self.line
                ));
            }
        };
        let rest = characters.as_str();
        match rest.split_at_checked(digits) {
            Some((hex, rest)) if hex.bytes().all(|digit| digit.is_ascii_hexdigit()) => Ok(rest),
            _ => Err(format!("line {}: an escape without its {digits} hexadecimal digits", self.line)),
        }
    }

    /// `<name>`, `<[number]>` and either after `!`.
    fn token(&mut self) -> Result<Symbol, String> {
        self.take("!");
        self.expect("<")?;
        let Some((name, rest)) = self.rest.split_once('>') else { return Err(self.unexpected("a token in <>")) };
        self.line += lines(name);
        self.rest = rest;
        Ok(Symbol::Terminal(1))
    }

    fn skip(&mut self, bytes: usize) -> Symbol {
        self.rest = self.rest.split_at(bytes).1;
        Symbol::Terminal(1)
    }

    fn take(&mut self, text: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(text) else { return false };
        self.rest = rest;
        true
    }

    fn expect(&mut self, text: &str) -> Result<(), String> {
        if self.take(text) { Ok(()) } else { Err(self.unexpected(text)) }
    }

    fn unexpected(&self, wanted: &str) -> String {
        let found: String = self.rest.chars().take(20).collect();
        format!("line {}: {wanted} is expected where {found:?} is (a name has letters, digits and -)", self.line)
    }

    fn name(&mut self) -> Result<usize, String> {
        let end = self.rest.find(|character| !is_word(character)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() {
            return Err(self.unexpected("the name of a rule"));
        }
        self.rest = rest;
        if let Some(rule) = self.numbers.get(name) {
            return Ok(*rule);
        }
        let number = self.rules.len();
        self.numbers.insert(name.to_owned(), number);
        self.rules.push(Rule { name: name.to_owned(), line: self.line, ..Rule::default() });
        Ok(number)
    }

    /// White space and comments; `ends` lets lines end.
    fn space(&mut self, ends: bool) {
        loop {
            let white = |character: char| matches!(character, ' ' | '\t') || (ends && matches!(character, '\r' | '\n'));
            let rest = self.rest.trim_start_matches(white);
            self.line += self.rest.strip_suffix(rest).map_or(0, lines);
            self.rest = rest;
            let Some(comment) = rest.strip_prefix('#') else { return };
            let end = comment.find(['\r', '\n']).unwrap_or(comment.len());
            self.rest = comment.split_at(end).1;
        }
    }
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '-'
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}
