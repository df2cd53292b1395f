//! From named tensors to a piece of work. Pure: what a guest may pass, and what each mistake is called.

use super::bindings::wasi::nn::tensor::TensorType;
use super::tensor::width;
use bobbin_inference::{GraphInfo, GraphKind, InferenceError, OptionsPatch, Prompt, Reason, ToolChoice, Work};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A tensor, taken from the guest.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) dimensions: Vec<u32>,
    pub(super) ty: TensorType,
    pub(super) data: Vec<u8>,
}

/// What a `compute` asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Request {
    /// Start a piece of work.
    Start(Box<Work>),
    /// The next part of a streamed answer.
    Next,
}

#[derive(Default)]
struct Fields {
    prompt: Option<Input>,
    messages: Option<Input>,
    tools: Option<Input>,
    tokens: Option<Input>,
    text: Option<Input>,
    texts: Option<Input>,
    options: Option<Input>,
}

/// Reads the inputs of a `compute` on a graph.
pub(super) fn read(inputs: Vec<Input>, graph: &GraphInfo) -> Result<Request, InferenceError> {
    if inputs.is_empty() {
        return Ok(Request::Next);
    }
    let mut fields = Fields::default();
    for input in inputs {
        input.check_shape()?;
        fields.put(input)?;
    }
    let options = match fields.options.take() {
        Some(options) => OptionsPatch::from_json(options.bytes()?)?,
        None => OptionsPatch::default(),
    };
    let work = match graph.kind {
        GraphKind::Generate => generate(fields, options, graph)?,
        GraphKind::Embed => embed(fields, &options)?,
    };
    Ok(Request::Start(Box::new(work)))
}

impl Fields {
    fn put(&mut self, input: Input) -> Result<(), InferenceError> {
        let slot = match input.name.as_str() {
            "prompt" | "0" => &mut self.prompt,
            "options" | "1" => &mut self.options,
            "messages" => &mut self.messages,
            "tools" => &mut self.tools,
            "tokens" => &mut self.tokens,
            "text" => &mut self.text,
            "texts" => &mut self.texts,
            unknown => {
                return Err(tensor_error(format!(
                    "input \"{unknown}\" is unknown; the inputs are prompt (or 0), messages, tools, tokens, text, \
                     texts and options (or 1)"
                )));
            }
        };
        if slot.is_some() {
            return Err(tensor_error(format!("input \"{}\" is there twice", input.name)));
        }
        *slot = Some(input);
        Ok(())
    }

    /// Names an input that this kind of graph does not take.
    fn refuse(inputs: &[&Option<Input>], kind: &str) -> Result<(), InferenceError> {
        match inputs.iter().find_map(|input| input.as_ref()) {
            Some(input) => Err(InferenceError::new(
                Reason::UnsupportedByModel,
                format!("input \"{}\" is not for this graph: its model is there to {kind}", input.name),
            )),
            None => Ok(()),
        }
    }
}

fn generate(fields: Fields, options: OptionsPatch, graph: &GraphInfo) -> Result<Work, InferenceError> {
    Fields::refuse(&[&fields.text, &fields.texts], "generate text")?;
    if options.dimensions.is_some() {
        return Err(InferenceError::new(
            Reason::InvalidOption,
            "option \"dimensions\" is for embeddings; this graph generates text",
        ));
    }
    let logits = options.logits == Some(true);
    if fields.tools.is_some() && fields.messages.is_none() {
        return Err(tensor_error("input \"tools\" needs the input messages beside it".into()));
    }
    let prompt = match (fields.prompt, fields.messages, fields.tokens) {
        (Some(prompt), None, None) => Prompt::Text(prompt.text()?),
        (None, Some(messages), None) => {
            // Tools that must not be called are not shown to the model either.
            let tools = fields.tools.map(Input::json_array).transpose()?;
            let tools = tools.filter(|_| options.tool_choice != Some(ToolChoice::None));
            Prompt::Chat { messages: messages.json_array()?, tools }
        }
        (None, None, Some(tokens)) => Prompt::Tokens(tokens.ids(graph.context)?),
        (None, None, None) => {
            return Err(tensor_error("no input to generate from; pass one of prompt, messages or tokens".into()));
        }
        _ => return Err(tensor_error("inputs prompt, messages and tokens exclude each other; pass one".into())),
    };
    match (logits, prompt) {
        (true, Prompt::Tokens(tokens)) => Ok(Work::Logits { tokens }),
        (true, Prompt::Text(_) | Prompt::Chat { .. }) => Err(InferenceError::new(
            Reason::InvalidOption,
            "option \"logits\" needs the input tokens (I32 [n]); text has no place for them",
        )),
        (false, prompt) => {
            let tools = if let Prompt::Chat { tools, .. } = &prompt { tools.as_deref() } else { None };
            let options = options.resolve_with_tools(&graph.defaults, tools)?;
            Ok(Work::Generate { prompt, options })
        }
    }
}

fn embed(fields: Fields, options: &OptionsPatch) -> Result<Work, InferenceError> {
    Fields::refuse(&[&fields.prompt, &fields.messages, &fields.tools, &fields.tokens], "embed text")?;
    let texts = match (fields.text, fields.texts) {
        (Some(text), None) => vec![text.text()?],
        (None, Some(texts)) => serde_json::from_slice(texts.bytes()?).map_err(|error| {
            InferenceError::new(Reason::InvalidInput, format!("input \"texts\" is no JSON array of strings: {error}"))
        })?,
        (None, None) => return Err(tensor_error("no input to embed; pass text or texts".into())),
        (Some(_), Some(_)) => return Err(tensor_error("inputs text and texts exclude each other; pass one".into())),
    };
    Ok(Work::Embed { texts, dimensions: options.dimensions })
}

impl Input {
    /// The dimensions must describe exactly the bytes that are there.
    fn check_shape(&self) -> Result<(), InferenceError> {
        let elements = self.dimensions.iter().try_fold(1usize, |product, n| product.checked_mul(*n as usize));
        let expected = elements.and_then(|elements| elements.checked_mul(width(self.ty)));
        if expected == Some(self.data.len()) && !self.dimensions.is_empty() {
            return Ok(());
        }
        Err(tensor_error(format!(
            "input \"{}\" has dimensions {:?} of {:?} but {} bytes of data; the two must agree",
            self.name,
            self.dimensions,
            self.ty,
            self.data.len()
        )))
    }

    fn expect(&self, ty: TensorType) -> Result<(), InferenceError> {
        if self.ty == ty {
            return Ok(());
        }
        Err(tensor_error(format!("input \"{}\" is of type {:?}; it must be {ty:?}", self.name, self.ty)))
    }

    fn bytes(&self) -> Result<&[u8], InferenceError> {
        self.expect(TensorType::U8)?;
        Ok(&self.data)
    }

    fn text(self) -> Result<String, InferenceError> {
        self.expect(TensorType::U8)?;
        String::from_utf8(self.data).map_err(|error| {
            InferenceError::new(Reason::InvalidInput, format!("input \"{}\" is not UTF-8: {error}", self.name))
        })
    }

    fn json_array(self) -> Result<String, InferenceError> {
        let name = self.name.clone();
        let text = self.text()?;
        serde_json::from_str::<Objects>(&text).map_err(|error| {
            InferenceError::new(Reason::InvalidInput, format!("input \"{name}\" is no JSON array of objects: {error}"))
        })?;
        Ok(text)
    }

    /// Never more than any prompt may have: the worker would get a copy of all, only to say no.
    fn ids(self, context: u32) -> Result<Vec<i32>, InferenceError> {
        self.expect(TensorType::I32)?;
        let count = self.data.len() / width(TensorType::I32);
        if u32::try_from(count).map_or(true, |count| count > context) {
            return Err(InferenceError::new(
                Reason::ContextExceeded,
                format!("input \"{}\" has {count} tokens; the model's context is {context} tokens", self.name),
            ));
        }
        let ids = self.data.chunks_exact(4).filter_map(|id| id.try_into().ok().map(i32::from_le_bytes));
        Ok(ids.collect())
    }
}

/// An array of objects, whatever is in them: looked at without making a tree of it, which takes many times its bytes.
struct Objects;

impl<'de> Deserialize<'de> for Objects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;
        impl<'de> Visitor<'de> for Array {
            type Value = Objects;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Objects, A::Error> {
                while seq.next_element::<Object>()?.is_some() {}
                Ok(Objects)
            }
        }
        deserializer.deserialize_seq(Array)
    }
}

struct Object;

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Object)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

fn tensor_error(message: String) -> InferenceError {
    InferenceError::new(Reason::InvalidTensor, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bobbin_inference::{Calls, Constraint};

    fn graph(kind: GraphKind) -> GraphInfo {
        GraphInfo {
            bundle: "s@1.0.0".into(),
            digest: "sha256:0".into(),
            kind,
            context: 256,
            dimensions: None,
            defaults: OptionsPatch::default(),
        }
    }

    fn u8s(name: &str, data: &[u8]) -> Input {
        Input { name: name.into(), dimensions: vec![data.len() as u32], ty: TensorType::U8, data: data.to_vec() }
    }

    fn read_generate(inputs: Vec<Input>) -> Result<Request, InferenceError> {
        read(inputs, &graph(GraphKind::Generate))
    }

    fn reason(inputs: Vec<Input>) -> Reason {
        read_generate(inputs).unwrap_err().reason
    }

    #[test]
    fn prompt_and_options_have_numbers_as_aliases() {
        let named = read_generate(vec![u8s("prompt", b"a"), u8s("options", br#"{"max_tokens": 3}"#)]).unwrap();
        let numbered = read_generate(vec![u8s("0", b"a"), u8s("1", br#"{"max_tokens": 3}"#)]).unwrap();
        assert_eq!(named, numbered);
    }

    #[test]
    fn no_inputs_ask_for_the_next_piece() {
        assert_eq!(read_generate(vec![]).unwrap(), Request::Next);
    }

    #[test]
    fn tokens_with_logits_ask_for_raw_logits() {
        let tokens = Input {
            name: "tokens".into(),
            dimensions: vec![2],
            ty: TensorType::I32,
            data: vec![1, 0, 0, 0, 255, 255, 255, 255],
        };
        let request = read_generate(vec![tokens, u8s("options", br#"{"logits": true}"#)]).unwrap();
        assert_eq!(request, Request::Start(Box::new(Work::Logits { tokens: vec![1, -1] })));
    }

    #[test]
    fn more_tokens_than_the_context_holds_never_leave_the_host() {
        let tokens = |count: u32| Input {
            name: "tokens".into(),
            dimensions: vec![count],
            ty: TensorType::I32,
            data: vec![0; count as usize * 4],
        };
        assert!(read_generate(vec![tokens(256)]).is_ok());
        assert_eq!(reason(vec![tokens(257)]), Reason::ContextExceeded);
        let logits = vec![tokens(1 << 20), u8s("options", br#"{"logits": true}"#)];
        assert_eq!(reason(logits), Reason::ContextExceeded);
    }

    #[test]
    fn messages_are_an_array_of_objects_whatever_is_in_them() {
        let read = |text: &str| read_generate(vec![u8s("messages", text.as_bytes())]);
        for fine in ["[]", "[{}]", r#" [{"role": "user", "content": [{"type": "text"}]}, {}] "#] {
            assert!(read(fine).is_ok(), "{fine}");
        }
        for (wrong, why) in [
            ("{}", "expected an array"),
            ("[1]", "expected an object"),
            ("[{}, []]", "expected an object"),
            ("[{}", "EOF"),
            ("[{}] x", "trailing characters"),
        ] {
            let error = read(wrong).unwrap_err();
            assert_eq!(error.reason, Reason::InvalidInput, "{wrong}");
            assert!(error.message.contains(why), "{wrong}: {}", error.message);
        }
    }

    #[test]
    fn mistakes_have_names() {
        assert_eq!(reason(vec![u8s("promt", b"a")]), Reason::InvalidTensor);
        assert_eq!(reason(vec![u8s("prompt", b"a"), u8s("0", b"b")]), Reason::InvalidTensor);
        assert_eq!(reason(vec![u8s("options", b"{}")]), Reason::InvalidTensor);
        assert_eq!(reason(vec![u8s("prompt", b"a"), u8s("messages", b"[]")]), Reason::InvalidTensor);
        assert_eq!(reason(vec![u8s("prompt", b"\xff")]), Reason::InvalidInput);
        assert_eq!(reason(vec![u8s("messages", b"{}")]), Reason::InvalidInput);
        assert_eq!(reason(vec![u8s("prompt", b"a"), u8s("options", b"nope")]), Reason::InvalidInput);
        assert_eq!(reason(vec![u8s("prompt", b"a"), u8s("options", br#"{"n_ctx": 1}"#)]), Reason::UnknownOption);
        assert_eq!(reason(vec![u8s("text", b"a")]), Reason::UnsupportedByModel);
    }

    #[test]
    fn tools_constrain_the_answer_and_are_hidden_where_none_may_be_called() {
        let tools = u8s("tools", br#"[{"type": "function", "function": {"name": "f"}}]"#);
        let read = |options: &str| {
            let inputs = vec![
                u8s("messages", b"[]"),
                Input {
                    name: "tools".into(),
                    dimensions: tools.dimensions.clone(),
                    ty: tools.ty,
                    data: tools.data.clone(),
                },
                u8s("options", options.as_bytes()),
            ];
            match read_generate(inputs).unwrap() {
                Request::Start(work) => match *work {
                    Work::Generate { prompt: Prompt::Chat { tools, .. }, options } => (tools, options.constraint),
                    other => panic!("{other:?}"),
                },
                Request::Next => panic!("nothing was started"),
            }
        };
        let (shown, constraint) = read(r#"{"tool_choice": "required", "parallel_tool_calls": false}"#);
        let Some(Constraint::Tools(tools)) = constraint else { panic!("{constraint:?}") };
        assert_eq!((shown.as_ref(), &tools.calls, tools.parallel), (Some(&tools.tools), &Calls::Some, false));
        assert_eq!(read(r#"{"tool_choice": "none"}"#), (None, None));
    }

    #[test]
    fn a_choice_among_tools_needs_tools() {
        let inputs = vec![u8s("messages", b"[]"), u8s("options", br#"{"tool_choice": "required"}"#)];
        assert_eq!(reason(inputs), Reason::InvalidOption);
    }

    #[test]
    fn dimensions_must_describe_the_data() {
        let tensor = |dimensions: Vec<u32>, ty| Input { name: "prompt".into(), dimensions, ty, data: vec![0; 8] };
        for (dimensions, ty) in [
            (vec![7], TensorType::U8),
            (vec![], TensorType::U8),
            (vec![u32::MAX, u32::MAX, u32::MAX], TensorType::U8),
            (vec![8], TensorType::Fp32),
        ] {
            assert_eq!(reason(vec![tensor(dimensions, ty)]), Reason::InvalidTensor);
        }
        assert_eq!(reason(vec![tensor(vec![2], TensorType::I32)]), Reason::InvalidTensor);
    }

    #[test]
    fn an_embedder_takes_texts_and_no_prompt() {
        let embedder = graph(GraphKind::Embed);
        let request = read(vec![u8s("texts", br#"["a", "b"]"#)], &embedder).unwrap();
        let expected = Work::Embed { texts: vec!["a".into(), "b".into()], dimensions: None };
        assert_eq!(request, Request::Start(Box::new(expected)));
        assert_eq!(read(vec![u8s("prompt", b"a")], &embedder).unwrap_err().reason, Reason::UnsupportedByModel);
    }
}
