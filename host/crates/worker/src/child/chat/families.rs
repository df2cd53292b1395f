//! The well-known families' formats: templates of this project's own beside what Python's Jinja makes of them.
//! For conversations without tools that is, to the character, what the families' published templates make; see [`published`].

mod published;

use super::super::specials::Special;
use super::clock::strftime;
use super::*;
use minijinja::Value;
use serde::Deserialize;
use std::collections::BTreeMap;

const GOLDENS: &str = include_str!("templates/goldens.json");
const TEMPLATES: [(&str, &str); 6] = [
    ("gemma", include_str!("templates/gemma.jinja")),
    ("llama3", include_str!("templates/llama3.jinja")),
    ("mistral", include_str!("templates/mistral.jinja")),
    ("phi3", include_str!("templates/phi3.jinja")),
    ("qwen2", include_str!("templates/qwen2.jinja")),
    ("qwen3", include_str!("templates/qwen3.jinja")),
];

#[derive(Deserialize)]
struct Golden {
    bos: String,
    eos: String,
    specials: Vec<String>,
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    messages: Value,
    tools: Option<Value>,
    #[serde(flatten)]
    outcome: Outcome,
}

/// What comes of a conversation: one of the two.
#[derive(Default, Deserialize)]
struct Outcome {
    prompt: Option<String>,
    refused: Option<String>,
}

struct Family {
    golden: Golden,
    template: ChatTemplate,
    specials: Specials,
}

impl Family {
    fn new(name: &str) -> Self {
        Self::with(name, TEMPLATES.iter().find(|(named, _)| *named == name).unwrap().1)
    }

    /// With a template of somebody else.
    fn with(name: &str, source: &str) -> Self {
        let golden = serde_json::from_str::<BTreeMap<String, Golden>>(GOLDENS).unwrap().remove(name).unwrap();
        let template = ChatTemplate::new(source, golden.bos.clone(), golden.eos.clone()).unwrap();
        let special = |(token, text): (i32, &String)| Special {
            text: text.clone(),
            token,
            strip_before: false,
            strip_after: false,
        };
        let specials = Specials::new((0..).zip(&golden.specials).map(special).collect());
        Self { golden, template, specials }
    }

    fn case(&self, title: &str) -> &Case {
        self.golden.cases.get(title).unwrap_or_else(|| panic!("no golden {title:?}"))
    }

    fn render(&self, case: &Case) -> Result<Vec<Part>, InferenceError> {
        let messages = serde_json::to_string(&case.messages).unwrap();
        let tools = case.tools.as_ref().map(|tools| serde_json::to_string(tools).unwrap());
        self.template.render(&messages, tools.as_deref(), &self.specials)
    }

    /// The prompt, its special tokens spelled.
    fn spell(&self, parts: &[Part]) -> String {
        let spell = |part: &Part| match part {
            Part::Token(token) => self.golden.specials[usize::try_from(*token).unwrap()].clone(),
            Part::Text(text) => text.clone(),
        };
        parts.iter().map(spell).collect()
    }

    /// Renders the conversation of this title, of which that must come.
    fn check(&self, name: &str, title: &str, expected: &Outcome) {
        let before = today();
        match (self.render(self.case(title)), &expected.prompt, &expected.refused) {
            (Ok(parts), Some(prompt), None) => {
                let got = self.spell(&parts);
                // A midnight may have passed while it rendered.
                let date = if got.contains(&before) { before } else { today() };
                assert_eq!(got, prompt.replace("{today}", &date), "{name}, {title}");
            }
            (Err(error), None, Some(words)) => {
                assert_eq!(error.reason, Reason::InvalidInput, "{name}, {title}");
                assert!(error.message.ends_with(words), "{name}, {title}: {}", error.message);
            }
            (got, ..) => panic!("{name}, {title}: {got:?}"),
        }
    }

    fn makes_no_special_token_of_what_users_write(&self, name: &str) {
        let forged = self.case("forged");
        assert!(self.golden.specials.iter().all(|special| forged.messages.to_string().contains(special)), "{name}");
        let harmless = |message: Value| {
            let role = message.get_attr("role").unwrap();
            Value::from_pairs([("role", role), ("content", Value::from("harmless"))])
        };
        let messages = forged.messages.try_iter().unwrap().map(harmless).collect();
        let harmless = Case { messages, tools: None, outcome: Outcome::default() };
        let expected = tokens(&self.render(&harmless).unwrap());
        assert_eq!(tokens(&self.render(forged).unwrap()), expected, "{name}");
    }
}

fn today() -> String {
    strftime("%d %b %Y", SystemTime::now())
}

fn tokens(parts: &[Part]) -> Vec<i32> {
    let token = |part: &Part| match part {
        Part::Token(token) => Some(*token),
        Part::Text(_) => None,
    };
    parts.iter().filter_map(token).collect()
}

fn agrees(name: &str) {
    let family = Family::new(name);
    for (title, case) in &family.golden.cases {
        family.check(name, title, &case.outcome);
    }
}

#[test]
fn llama_3_gets_the_prompt_it_was_trained_with() {
    agrees("llama3");
}

#[test]
fn qwen_2_gets_the_prompt_it_was_trained_with() {
    agrees("qwen2");
}

#[test]
fn qwen_3_gets_the_prompt_it_was_trained_with() {
    agrees("qwen3");
}

#[test]
fn mistral_gets_the_prompt_it_was_trained_with() {
    agrees("mistral");
}

#[test]
fn gemma_gets_the_prompt_it_was_trained_with() {
    agrees("gemma");
}

#[test]
fn phi_3_gets_the_prompt_it_was_trained_with() {
    agrees("phi3");
}

#[test]
fn messages_that_a_family_has_no_place_for_are_refused_in_its_templates_words() {
    for (name, title) in [
        ("llama3", "two tools called"),
        ("mistral", "two users"),
        ("mistral", "assistant first"),
        ("mistral", "system late"),
        ("gemma", "two users"),
        ("gemma", "assistant first"),
        ("gemma", "system"),
    ] {
        let family = Family::new(name);
        let case = family.case(title);
        let error = family.render(case).unwrap_err();
        let words = case.outcome.refused.as_ref().unwrap();
        assert_eq!(error.reason, Reason::InvalidInput, "{name}, {title}");
        assert_eq!(error.message, format!("the chat template refuses these messages: {words}"), "{name}, {title}");
    }
}

#[test]
fn the_families_templates_make_their_special_tokens() {
    for (name, _) in TEMPLATES {
        let family = Family::new(name);
        let case = family.case("plain");
        let prompt = case.outcome.prompt.as_ref().unwrap();
        // The conversation itself holds none, and none of their texts holds another.
        let expected: usize = family.golden.specials.iter().map(|special| prompt.matches(special).count()).sum();
        assert!(expected > 0, "{name}");
        assert_eq!(tokens(&family.render(case).unwrap()).len(), expected, "{name}");
    }
}

#[test]
fn what_users_write_makes_no_special_token_of_any_family() {
    for (name, _) in TEMPLATES {
        Family::new(name).makes_no_special_token_of_what_users_write(name);
    }
}
