//! Unit tests of the variables.

use super::*;
use bobbin_manifest::App;
use std::fs;

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "test"
[variables]
host = { default = "example.com" }
token = { required = true, secret = true }
user = { required = true }
[[trigger.http]]
route = "/"
component = "c"
[component.c]
source = "c.wasm"
variables = { url = "https://{{ user }}@{{ host }}/", fixed = "as it is" }
"#;

fn app() -> App {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("spin.toml"), MANIFEST).unwrap();
    fs::write(folder.path().join("c.wasm"), "").unwrap();
    bobbin_manifest::load(folder.path()).unwrap()
}

fn declared() -> BTreeMap<VariableName, Variable> {
    app().variables
}

fn given(values: &[(&str, &str)]) -> Box<dyn Provider> {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), Value::new(*value))).collect();
    Box::new(Static::new(values))
}

#[test]
fn the_first_provider_that_knows_a_variable_wins_and_defaults_come_last() {
    let providers = [given(&[("user", "first")]), given(&[("user", "second"), ("token", "t")])];
    let variables = Variables::resolve(&declared(), &providers).unwrap();
    let table = [("url", "https://{{ user }}@{{ host }}/"), ("plain", "{{token}}")];
    let names: BTreeMap<String, Template> =
        table.iter().map(|(name, text)| ((*name).to_owned(), Template::parse(text).unwrap())).collect();
    let rendered = |name: &str| variables.render(&names[name]).expose().to_owned();
    assert_eq!(rendered("url"), "https://first@example.com/");
    assert_eq!(rendered("plain"), "t");
}

#[test]
fn every_required_variable_without_a_value_is_named() {
    let error = Variables::resolve(&declared(), &[]).unwrap_err();
    assert!(matches!(&error, ResolveError::Missing(names) if names.len() == 2), "{error:?}");
    assert!(error.to_string().contains("token, user"), "{error}");
}

#[test]
fn the_environment_comes_before_the_file_and_takes_upper_case_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    fs::write(&path, "# comment\nSPIN_VARIABLE_USER=from-file\nexport SPIN_VARIABLE_TOKEN='a b'\n").unwrap();
    let file = Dotenv::read(&path).unwrap();
    let read = |name: &str| (name == "SPIN_VARIABLE_USER").then(|| "from-environment".into());
    let environment = Environment::reading(DEFAULT_PREFIX, file, read);
    let get = |name| environment.get(name).unwrap().map(|value| value.expose().to_owned());
    assert_eq!(get("user").as_deref(), Some("from-environment"));
    assert_eq!(get("token").as_deref(), Some("a b"));
    assert_eq!(get("host"), None);
}

#[test]
fn a_file_that_is_not_there_has_no_values_and_a_bad_line_is_named_but_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    assert!(Dotenv::read(&path).unwrap().get("A").is_none());
    fs::write(&path, "A=1\nPASSWORD=hunter2 hunter3\n").unwrap();
    let error = Dotenv::read(&path).unwrap_err();
    assert!(error.to_string().contains(".env:2:"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter"), "{error:?}");
}

#[cfg(unix)]
#[test]
fn a_value_that_is_no_text_is_an_error_that_does_not_show_it() {
    use std::os::unix::ffi::OsStringExt;
    let read = |_: &str| Some(std::ffi::OsString::from_vec(b"secret\xff".to_vec()));
    let environment: Box<dyn Provider> = Box::new(Environment::reading("X", Dotenv::default(), read));
    let error = Variables::resolve(&declared(), &[environment]).unwrap_err();
    let text = format!("{error:?}");
    assert!(text.contains("X_HOST") && !text.contains("secret"), "{text}");
}

#[test]
fn components_get_what_their_table_has_and_the_errors_tell_why_not() {
    let variables = Variables::resolve(&declared(), &[given(&[("user", "u"), ("token", "t")])]).unwrap();
    let app = app();
    let component = variables.of_component("c", &app.components.values().next().unwrap().variables);
    assert_eq!(component.get("url"), Ok("https://u@example.com/"));
    assert_eq!(component.all().map(|(name, _)| name).collect::<Vec<_>>(), ["fixed", "url"]);
    // The application's variables are not the component's.
    assert!(matches!(component.get("token"), Err(LookupError::Undefined { .. })));
    for name in ["", "UPPER", "kebab-case", "_x", "a__b", "1a"] {
        assert!(matches!(component.get(name), Err(LookupError::InvalidName { .. })), "{name:?}");
    }
}

#[test]
fn nothing_shows_a_value() {
    let variables = Variables::resolve(&declared(), &[given(&[("user", "u"), ("token", "t0psecret")])]).unwrap();
    let source: VariableSource = "token=t0psecret".parse().unwrap();
    let provider = given(&[("token", "t0psecret")]);
    let text = format!("{variables:?} {source:?} {provider:?} {:?}", variables.of_component("c", &BTreeMap::new()));
    assert!(!text.contains("t0psecret"), "{text}");
}

#[test]
fn the_command_lines_four_forms_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let of = |argument: &str| argument.parse::<VariableSource>().unwrap().values().unwrap();
    assert_eq!(of("a=b=c")["a"].expose(), "b=c");
    assert_eq!(of(&format!("a=@{}", write("text", "whole\nfile")))["a"].expose(), "whole\nfile");
    assert_eq!(of(&format!("@{}", write("v.json", r#"{"a": "1", "b": "2"}"#)))["b"].expose(), "2");
    assert_eq!(of(&format!("@{}", write("v.toml", "a = \"1\"")))["a"].expose(), "1");
}

#[test]
fn a_bad_argument_or_file_is_refused_without_showing_it() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!("secret".parse::<VariableSource>(), Err(VariableSourceError::Form));
    assert!(matches!("@v.yaml".parse::<VariableSource>(), Err(VariableSourceError::Ending(_))));
    for (name, text) in [
        ("a.json", "{\"a\": 5317}"),
        ("b.json", "[\"5317\"]"),
        ("c.json", "{\"a\": \"5317"),
        ("d.toml", "a = 5317"),
        ("e.toml", "a = 5317 5317"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        let error = format!("@{}", path.display()).parse::<VariableSource>().unwrap().values().unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(name) && !shown.contains("5317"), "{shown}");
    }
    let missing: VariableSource = "a=@no/such/file".parse().unwrap();
    assert!(missing.values().unwrap_err().to_string().contains("no/such/file"));
}
