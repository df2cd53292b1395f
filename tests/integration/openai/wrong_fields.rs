//! Every field of the requests' schemas, with values of every wrong type: each is refused by its name.

use super::{CHAT, COMPLETIONS, EMBEDDINGS, example};
use anyhow::{Context, ensure};
use bobbin_tests::{Answer, PublicApi, Result, TestApp, TestHost};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Map, Value, json};

const ENDPOINTS: [(&str, &str); 3] = [("chat", CHAT), ("completion", COMPLETIONS), ("embedding", EMBEDDINGS)];

/// A request, and the field that it is wrong at.
#[derive(Debug)]
struct Wrong {
    body: Value,
    at: String,
}

/// Walks a request's schema together with a request that it describes.
struct Walk {
    validator: jsonschema::Validator,
    body: Value,
    found: Vec<Wrong>,
}

/// A value of each type of JSON.
fn samples() -> [Value; 7] {
    [json!(true), json!(17), json!(-1.5), json!("some text"), json!([]), json!([{}]), json!({ "a": null })]
}

impl Walk {
    /// What is wrong at this field or within it.
    fn visit(&mut self, schema: &Value, pointer: &str, path: &str) -> Result {
        for sample in samples().into_iter().chain([Value::Null]) {
            let mut body = self.body.clone();
            *body.pointer_mut(pointer).with_context(|| pointer.to_owned())? = sample;
            if !self.validator.is_valid(&body) {
                self.found.push(Wrong { body, at: path.to_owned() });
            }
        }
        if schema["x-support"] == "refused" {
            return Ok(());
        }
        let here = self.body.pointer(pointer).cloned().unwrap_or_default();
        for branch in branches(schema) {
            if jsonschema::is_valid(branch, &here) {
                self.within(branch, pointer, path)?;
            }
        }
        Ok(())
    }

    /// What is wrong within an object or an array that this branch of a schema describes.
    fn within(&mut self, schema: &Value, pointer: &str, path: &str) -> Result {
        match self.body.pointer(pointer).cloned().unwrap_or_default() {
            Value::Object(fields) => {
                let properties = schema["properties"].as_object().cloned().unwrap_or_default();
                for (name, property) in &properties {
                    self.property(name, property, pointer, path)?;
                }
                if schema["additionalProperties"].is_object() {
                    for name in fields.keys().filter(|name| !properties.contains_key(*name)) {
                        self.visit(&schema["additionalProperties"], &format!("{pointer}/{name}"), &child(path, name))?;
                    }
                }
                if schema["additionalProperties"] == false {
                    self.unknown(pointer, path)?;
                }
            }
            Value::Array(elements) if schema.get("items").is_some() => {
                for at in 0..elements.len() {
                    self.visit(&schema["items"], &format!("{pointer}/{at}"), &format!("{path}[{at}]"))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A field that is there, or is put there with what has to stand beside it.
    fn property(&mut self, name: &str, property: &Value, pointer: &str, path: &str) -> Result {
        let before = self.body.clone();
        let object = self.body.pointer_mut(pointer).and_then(Value::as_object_mut).context("an object")?;
        for (name, value) in property["x-with"].as_object().into_iter().flatten() {
            object.insert(name.clone(), value.clone());
        }
        if !object.contains_key(name) {
            let example = property["examples"].get(0).with_context(|| format!("{path}.{name} has no example"))?;
            object.insert(name.to_owned(), example.clone());
        }
        // What another branch of a schema says of it may be something else.
        if self.validator.is_valid(&self.body) {
            self.visit(property, &format!("{pointer}/{name}"), &child(path, name))?;
        }
        self.body = before;
        Ok(())
    }

    fn unknown(&mut self, pointer: &str, path: &str) -> Result {
        let mut body = self.body.clone();
        let object = body.pointer_mut(pointer).and_then(Value::as_object_mut).context("an object")?;
        object.insert("unheard_of".to_owned(), json!(1));
        self.found.push(Wrong { body, at: child(path, "unheard_of") });
        Ok(())
    }
}

/// The alternatives of a schema, or the schema itself.
fn branches(schema: &Value) -> Vec<&Value> {
    let alternatives = schema.get("oneOf").or(schema.get("anyOf")).and_then(Value::as_array);
    alternatives.map_or_else(|| vec![schema], |all| all.iter().flat_map(branches).collect())
}

fn child(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A request with all that has to be there, as the schema's examples have it.
fn least(schema: &Value) -> Result<Value> {
    let required = schema["required"].as_array().context("required")?;
    let example = |name: &Value| {
        let name = name.as_str().unwrap_or_default().to_owned();
        let example = schema["properties"][&name]["examples"].get(0).cloned();
        example.map(|example| (name, example))
    };
    Ok(Value::Object(required.iter().map(example).collect::<Option<Map<_, _>>>().context("examples")?))
}

fn wrong_requests(schema: &Value) -> Result<Vec<Wrong>> {
    let mut walk = Walk { validator: jsonschema::validator_for(schema)?, body: least(schema)?, found: Vec::new() };
    ensure!(walk.validator.is_valid(&walk.body), "the examples are not what the schema says");
    walk.within(schema, "", "")?;
    Ok(walk.found)
}

/// The field that an error names is the wrong one, or within it.
fn names(told: &str, at: &str) -> bool {
    told.strip_prefix(at).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

async fn refused(api: &PublicApi, answer: &Answer, at: &str) -> Result {
    let json = answer.json()?;
    ensure!(answer.status() == 400, "status {}: {json}", answer.status());
    api.check("error", &json)?;
    let param = json["error"]["param"].as_str().unwrap_or_default();
    ensure!(names(param, at), "{param} is not {at}: {json}");
    Ok(())
}

async fn send_all(api: &PublicApi, host: &TestHost, path: &str, all: &[Wrong]) -> Result {
    futures::stream::iter(all)
        .map(|wrong| async move {
            let answer = host.post_json(path, &wrong.body).await?;
            refused(api, &answer, &wrong.at).await.with_context(|| format!("{path} {}", wrong.body))
        })
        .buffer_unordered(8)
        .try_collect()
        .await
}

#[tokio::test]
async fn a_value_of_a_wrong_type_at_any_field_is_refused_by_its_name_and_the_server_goes_on() -> Result {
    let (api, host) = (PublicApi::read()?, example().await?);
    for (name, path) in ENDPOINTS {
        let all = wrong_requests(api.request(name)?)?;
        // Should the schema lose its fields, nothing would be wrong any more.
        let (many, least) = (all.len(), if name == "chat" { 500 } else { 40 });
        ensure!(many > least, "{name}: {many} wrong requests");
        send_all(&api, &host, path, &all).await?;
    }
    let metrics = host.metrics().await?;
    assert_eq!(metrics.sum("bobbin_inferences_total", &[]), 0.0, "something was computed: {metrics}");
    let answer = host.post_json(CHAT, &super::chat(&json!({ "max_tokens": 2 }))).await?;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn a_field_is_supported_refused_or_ignored_as_the_schema_says() -> Result {
    let (api, example) = (PublicApi::read()?, example().await?);
    // The example's model has little room, and no template that says little of functions.
    let app = TestApp::openai("")?.with_template("{{ (tools or []) | length }} {{ messages[0].content }}")?;
    let templated = TestHost::of(&app.manifest()).start().await?;
    for (name, path) in ENDPOINTS {
        let schema = api.request(name)?;
        let host = if name == "chat" { &templated } else { &example };
        for (field, property) in schema["properties"].as_object().context("properties")? {
            let mut body = least(schema)?;
            if name == "chat" {
                body["messages"] = json!([{ "role": "user", "content": "Once upon a time" }]);
            }
            if name != "embedding" {
                body["max_tokens"] = json!(2);
            }
            let fields = body.as_object_mut().context("an object")?;
            fields.extend(property["x-with"].as_object().cloned().unwrap_or_default());
            let value =
                if fields.contains_key(field) { fields[field].clone() } else { property["examples"][0].clone() };
            for other in property["x-without"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                fields.remove(other);
            }
            fields.insert(field.clone(), value);
            let answer = host.post_json(path, &body).await?;
            let told = || format!("{path} {field}: {} {}", answer.status(), answer.text());
            match property["x-support"].as_str() {
                Some("refused") => {
                    refused(&api, &answer, field).await.with_context(told)?;
                    assert_eq!(answer.json()?["error"]["code"], "unsupported_parameter", "{}", told());
                }
                Some("supported" | "ignored") => assert_eq!(answer.status(), 200, "{}", told()),
                other => anyhow::bail!("{field} is {other:?}"),
            }
            for value in property["x-refused"].as_array().into_iter().flatten() {
                body[field] = value.clone();
                let answer = host.post_json(path, &body).await?;
                refused(&api, &answer, field).await.with_context(|| format!("{path} {body}"))?;
                let code = answer.json()?["error"]["code"].clone();
                assert!(
                    ["unsupported_value", "unsupported_parameter"].map(Value::from).contains(&code),
                    "{}",
                    answer.text()
                );
            }
        }
    }
    Ok(())
}
