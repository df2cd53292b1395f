use super::*;
use serde_json::json;

fn name(content: &str) -> String {
    Digest::of(content.as_bytes()).to_string()
}

/// One of everything that refers to content.
fn application() -> Value {
    let source = |content| json!({ "content_type": "application/wasm", "digest": name(content) });
    json!({
        "spin_lock_version": 1,
        "metadata": { "name": "x", "digest": "not ours" },
        "triggers": [
            { "id": "t", "trigger_type": "http", "trigger_config": { "source": "not ours" },
              "trigger_dependencies": { "middleware": [{ "source": source("gate") }] } },
        ],
        "components": [{
            "id": "c",
            "source": source("main"),
            "dependencies": { "a:b/c": { "source": source("part"), "export": null } },
            "trigger_dependencies": { "middleware": [{ "source": source("stamp") }] },
            "files": [
                { "path": "a/b.txt", "digest": name("b") },
                { "path": "small.txt", "digest": name("hi"), "inline": "aGk" },
                { "path": "padded.txt", "inline": "aGk=" },
                { "path": "empty.txt", "inline": "" },
            ],
        }],
    })
}

fn read(json: &Value, origin: Origin) -> Result<Locked, LockedError> {
    Locked::read(json.to_string().as_bytes(), origin)
}

fn refusal(json: &Value) -> String {
    read(json, Origin::Image).unwrap_err().to_string()
}

#[test]
fn everything_that_is_needed_is_found_and_placed() {
    let locked = read(&application(), Origin::Image).unwrap();
    let wanted: Vec<String> = locked.wanted.keys().map(ToString::to_string).collect();
    let mut expected = ["main", "part", "stamp", "gate", "b"].map(name).to_vec();
    expected.sort();
    assert_eq!(wanted, expected);
    assert_eq!(locked.inline.values().collect::<Vec<_>>().len(), 2, "the same content counts once");
    let placed: Value =
        serde_json::from_slice(&locked.placed(|digest| Path::new("/b").join(digest.hex())).unwrap()).unwrap();
    let url = |content| json!(format!("file:///b/{}", Digest::of(str::as_bytes(content)).hex()));
    let component = &placed["components"][0];
    assert_eq!(component["source"]["source"], url("main"));
    assert_eq!(component["source"]["digest"], name("main"), "whoever loads it checks it again");
    assert_eq!(component["dependencies"]["a:b/c"]["source"]["source"], url("part"));
    assert_eq!(component["trigger_dependencies"]["middleware"][0]["source"]["source"], url("stamp"));
    assert_eq!(placed["triggers"][0]["trigger_dependencies"]["middleware"][0]["source"]["source"], url("gate"));
    for (index, content) in [(0, "b"), (1, "hi"), (2, "hi"), (3, "")] {
        assert_eq!(component["files"][index]["source"], url(content), "{index}");
        assert_eq!(component["files"][index].get("inline"), None);
    }
    assert_eq!(placed["triggers"][0]["trigger_config"], json!({ "source": "not ours" }));
    assert_eq!(placed["metadata"]["digest"], "not ours");
}

#[test]
fn a_path_in_an_image_means_nothing() {
    let mut json = application();
    json["components"][0]["files"][0]["source"] = json!("file:///etc/shadow");
    let locked = read(&json, Origin::Image).unwrap();
    let text = String::from_utf8(locked.placed(|digest| Path::new("/b").join(digest.hex())).unwrap()).unwrap();
    assert!(!text.contains("shadow"), "{text}");
    json["components"][0]["files"][0] = json!({ "path": "a", "source": "file:///etc/shadow" });
    let error = refusal(&json);
    assert!(error.contains("the file \"a\" of component \"c\" has neither a digest nor content"), "{error}");
}

#[test]
fn files_stay_in_the_tree_of_their_component() {
    for path in ["/etc/passwd", "../up", "a/../../up", "", ".", "./a", "a\0b"] {
        let mut json = application();
        json["components"][0]["files"][0]["path"] = json!(path);
        let error = refusal(&json);
        assert!(error.contains("only plain relative paths are mounted"), "{path}: {error}");
    }
}

#[test]
fn content_in_the_application_must_have_its_digest() {
    let mut json = application();
    json["components"][0]["files"][1]["inline"] = json!("aGkh");
    let error = refusal(&json);
    assert!(error.contains(&name("hi!")) && error.contains(&name("hi")) && error.contains("small.txt"), "{error}");
    json["components"][0]["files"][1]["inline"] = json!("***");
    assert!(refusal(&json).contains("is no base64"));
    json["components"][0]["files"][1] = json!({ "path": "x", "digest": "sha1:00" });
    assert!(refusal(&json).contains("no proper digest"));
    assert!(Locked::read(b"{", Origin::Image).unwrap_err().to_string().contains("no JSON"));
}

#[test]
fn a_file_of_this_machine_keeps_its_paths() {
    let json = json!({ "components": [{
        "id": "c",
        "source": { "content_type": "application/wasm", "source": "file:///x.wasm", "digest": name("main") },
        "files": [{ "path": "/", "source": "file:///assets" }, { "path": "/a", "inline": "aGk" }],
    }] });
    let locked = read(&json, Origin::File).unwrap();
    assert!(locked.wanted.is_empty());
    let placed: Value =
        serde_json::from_slice(&locked.placed(|digest| Path::new("/b").join(digest.hex())).unwrap()).unwrap();
    let component = &placed["components"][0];
    assert_eq!(component["source"]["source"], "file:///x.wasm");
    assert_eq!(component["files"][0], json!({ "path": "/", "source": "file:///assets" }));
    assert_eq!(component["files"][1]["source"], format!("file:///b/{}", Digest::of(b"hi").hex()));
}
