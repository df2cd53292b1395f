//! Answers that come at once.

use crate::head::{Head, Total, call, finish};
use crate::logprobs::{self, Offset};
use bobbin_wasi_nn::Answer;
use serde_json::{Value, json};

/// A `chat.completion`.
pub(crate) fn chat(head: &mut Head, answers: &[Answer], with_logprobs: bool) -> Value {
    let choice = |(index, answer): (usize, &Answer)| {
        let calls: Vec<Value> = answer.tool_calls.iter().map(call).collect();
        let text = Some(&answer.text).filter(|text| calls.is_empty() || !text.is_empty());
        let mut message = json!({ "role": "assistant", "content": text, "refusal": null });
        if let Some(message) = message.as_object_mut().filter(|_| !calls.is_empty()) {
            message.insert("tool_calls".to_owned(), calls.into());
        }
        let logprobs = with_logprobs.then(|| logprobs::of_chat(answer.logprobs.as_ref()));
        json!({ "index": index, "message": message, "logprobs": logprobs, "finish_reason": finish(&answer.finish) })
    };
    let choices: Vec<Value> = answers.iter().enumerate().map(choice).collect();
    complete(head, answers, answers.len(), &choices)
}

/// A `text_completion`. `answers` are `each` to each of the prompts, whose texts stand before them where `echo` is set.
pub(crate) fn completion(
    head: &mut Head,
    answers: &[Answer],
    each: usize,
    echo: Option<&[String]>,
    with_logprobs: bool,
) -> Value {
    let choice = |(index, answer): (usize, &Answer)| {
        let prompt = echo.and_then(|prompts| prompts.get(index.checked_div(each)?)).map(String::as_str);
        let text = format!("{}{}", prompt.unwrap_or_default(), answer.text);
        let logprobs = with_logprobs.then(|| logprobs::of_completion(answer.logprobs.as_ref(), &mut Offset::default()));
        json!({ "text": text, "index": index, "logprobs": logprobs, "finish_reason": finish(&answer.finish) })
    };
    let choices: Vec<Value> = answers.iter().enumerate().map(choice).collect();
    complete(head, answers, each, &choices)
}

fn complete(head: &mut Head, answers: &[Answer], each: usize, choices: &[Value]) -> Value {
    let mut total = Total::default();
    for (index, answer) in answers.iter().enumerate() {
        head.answered_by(&answer.bundle, &answer.digest);
        total.add(answer.usage, index.checked_rem(each) == Some(0));
    }
    head.with_usage(choices, total.to_json())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bobbin_wasi_nn::{Finish, ToolCall, Usage};

    fn answer(text: &str) -> Answer {
        Answer {
            text: text.to_owned(),
            finish: Finish::Length,
            usage: Usage { input_tokens: 4, output_tokens: 2, cached_tokens: 0 },
            bundle: "story@1.0.0".to_owned(),
            digest: "sha256:0123456789abcdef".to_owned(),
            logprobs: None,
            tool_calls: Vec::new(),
        }
    }

    fn head() -> Head {
        Head::new("x", "chat.completion", 1, 1)
    }

    #[test]
    fn each_choice_has_its_message() {
        let told = chat(&mut head(), &[answer("a"), answer("")], true);
        let message = |content: &str| json!({ "role": "assistant", "content": content, "refusal": null });
        assert_eq!(told["choices"][0]["message"], message("a"));
        assert_eq!(told["choices"][1]["message"], message(""));
        assert_eq!(told["choices"][1]["logprobs"], json!({ "content": [], "refusal": null }));
        assert_eq!(told["usage"]["total_tokens"], 8);
        assert_eq!(told["model"], "story@1.0.0");
    }

    #[test]
    fn calls_stand_in_the_message_and_nothing_was_said_besides() {
        let call = ToolCall { id: "call_1".into(), name: "w".into(), arguments: "{}".into() };
        let called = Answer { finish: Finish::ToolCalls, tool_calls: vec![call], ..answer("") };
        let told = chat(&mut head(), &[called.clone(), Answer { text: "Let me see.".into(), ..called }], false);
        let calls = json!([{ "id": "call_1", "type": "function", "function": { "name": "w", "arguments": "{}" } }]);
        let wanted = json!({ "role": "assistant", "content": null, "refusal": null, "tool_calls": calls });
        assert_eq!(told["choices"][0]["message"], wanted);
        assert_eq!(told["choices"][0]["finish_reason"], "tool_calls");
        assert_eq!(told["choices"][1]["message"]["content"], "Let me see.");
        assert_eq!(told["choices"][0]["logprobs"], Value::Null);
    }

    #[test]
    fn an_echo_is_of_the_choices_own_prompt() {
        let prompts = ["a", "b"].map(str::to_owned);
        let answers = ["1", "2", "3", "4"].map(answer);
        let told = completion(&mut head(), &answers, 2, Some(&prompts), false);
        let texts: Vec<_> = told["choices"].as_array().unwrap().iter().map(|choice| choice["text"].clone()).collect();
        assert_eq!(texts, ["a1", "a2", "b3", "b4"]);
        let tokens = ["prompt_tokens", "completion_tokens"].map(|name| told["usage"][name].as_u64().unwrap());
        assert_eq!(tokens, [8, 8]);
    }
}
