//! Who we are to a registry.
//!
//! As in Spin: its own file first (`fermyon/registry-auth.json`, which `spin registry login` writes), then those of
//! container tools: the file that `REGISTRY_AUTH_FILE` names, and Docker's `config.json` with its helpers. Where none has
//! anything for a registry, we are nobody. What a file says is never shown.

use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;
use std::collections::HashMap;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The files that may have credentials.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    /// Of Spin's form.
    spin: Option<PathBuf>,
    /// Of Docker's form, the first that has anything counts.
    docker: Vec<PathBuf>,
}

/// Who we are, and which file says so.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) auth: RegistryAuth,
    pub(crate) file: Option<PathBuf>,
}

impl Files {
    /// Where they are for this user.
    pub(crate) fn of_this_user() -> Self {
        let home = env::var_os("HOME").map(PathBuf::from);
        let in_home = |name: &str| home.as_ref().map(|home| home.join(name));
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let config = variable("XDG_CONFIG_HOME").filter(|path| path.is_absolute()).or_else(|| in_home(".config"));
        let docker = variable("DOCKER_CONFIG").or_else(|| in_home(".docker")).map(|folder| folder.join("config.json"));
        Self {
            spin: config.map(|config| config.join("fermyon").join("registry-auth.json")),
            docker: variable("REGISTRY_AUTH_FILE").into_iter().chain(docker).collect(),
        }
    }

    /// Looks a registry up. A file that cannot be read is passed over, with a line in the log.
    pub(crate) fn find(&self, registry: &str) -> Credentials {
        if let Some(file) = &self.spin
            && let Some(auth) = read(file).and_then(|text| from_spin(&text, registry, file))
        {
            return Credentials { auth, file: Some(file.clone()) };
        }
        for file in &self.docker {
            if let Some(auth) = read(file).and_then(|text| from_docker(&text, registry, file)) {
                return Credentials { auth, file: Some(file.clone()) };
            }
        }
        Credentials { auth: RegistryAuth::Anonymous, file: None }
    }
}

fn read(file: &Path) -> Option<String> {
    match fs::read_to_string(file) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "no credentials are read from this file");
            None
        }
    }
}

/// What Spin writes: `user:password` in base64 for each registry.
#[derive(Deserialize)]
struct SpinFile {
    auths: HashMap<String, String>,
}

fn from_spin(text: &str, registry: &str, file: &Path) -> Option<RegistryAuth> {
    let parsed: Option<SpinFile> = serde_json::from_str(text).ok();
    let Some(mut parsed) = parsed else {
        tracing::warn!(file = %file.display(), "this is no file of Spin's credentials");
        return None;
    };
    let decoded = STANDARD.decode(parsed.auths.remove(registry)?).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = decoded.as_deref().and_then(|decoded| decoded.split_once(':'));
    if pair.is_none() {
        tracing::warn!(file = %file.display(), registry, "the credentials for this registry are no user and password");
    }
    pair.map(|(user, password)| RegistryAuth::Basic(user.to_owned(), password.to_owned()))
}

fn from_docker(text: &str, registry: &str, file: &Path) -> Option<RegistryAuth> {
    match docker_credential::get_credential_from_reader(text.as_bytes(), registry) {
        Ok(DockerCredential::UsernamePassword(user, password)) => Some(RegistryAuth::Basic(user, password)),
        Ok(DockerCredential::IdentityToken(_)) => {
            tracing::warn!(file = %file.display(), registry, "identity tokens are not supported, as in Spin");
            None
        }
        Err(CredentialRetrievalError::NoCredentialConfigured) => None,
        Err(error) => {
            tracing::warn!(file = %file.display(), registry, "no credentials for this registry: {}", kind(&error));
            None
        }
    }
}

/// What is wrong. The error's own text would repeat what a helper printed, which may be the credential.
fn kind(error: &CredentialRetrievalError) -> &'static str {
    match error {
        CredentialRetrievalError::HelperCommunicationError => "the credential helper cannot be run",
        CredentialRetrievalError::MalformedHelperResponse => "the credential helper's answer cannot be read",
        CredentialRetrievalError::HelperFailure { .. } => "the credential helper has failed",
        CredentialRetrievalError::CredentialDecodingError => "they are no user and password in base64",
        CredentialRetrievalError::CredentialMismatchError => "they contradict each other",
        CredentialRetrievalError::NoCredentialConfigured | CredentialRetrievalError::ConfigNotFound => "there are none",
        CredentialRetrievalError::ConfigReadError => "the file is none of Docker's configuration",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(user: &str, password: &str) -> RegistryAuth {
        RegistryAuth::Basic(user.into(), password.into())
    }

    fn files(folder: &Path, spin: &str, first: &str, second: &str) -> Files {
        for (name, text) in [("spin", spin), ("first", first), ("second", second)] {
            fs::write(folder.join(name), text).unwrap();
        }
        Files { spin: Some(folder.join("spin")), docker: vec![folder.join("first"), folder.join("second")] }
    }

    #[test]
    fn the_first_file_that_knows_a_registry_counts() {
        let folder = tempfile::tempdir().unwrap();
        let encoded = |text: &str| STANDARD.encode(text);
        let docker =
            |registry: &str, text: &str| format!(r#"{{"auths":{{"{registry}":{{"auth":"{}"}}}}}}"#, encoded(text));
        let files = files(
            folder.path(),
            &format!(r#"{{"auths":{{"a.example":"{}"}}}}"#, encoded("spin:s:p")),
            &docker("b.example:5000", "first:1"),
            &docker("https://index.docker.io/v1/", "hub:2"),
        );
        let found = files.find("a.example");
        assert_eq!((found.auth, found.file), (basic("spin", "s:p"), Some(folder.path().join("spin"))));
        assert_eq!(files.find("b.example:5000").auth, basic("first", "1"));
        assert_eq!(files.find("index.docker.io").auth, basic("hub", "2"));
        let nobody = files.find("c.example");
        assert_eq!((nobody.auth, nobody.file), (RegistryAuth::Anonymous, None));
    }

    #[test]
    fn files_that_make_no_sense_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let good = format!(r#"{{"auths":{{"a.example":{{"auth":"{}"}}}}}}"#, STANDARD.encode("u:p"));
        for bad in ["", "{", "{}", "[]", r#"{"auths":{"a.example":"***"}}"#, r#"{"auths":{"a.example":"bm9uZQ=="}}"#] {
            assert_eq!(files(folder.path(), bad, "{", &good).find("a.example").auth, basic("u", "p"), "{bad}");
        }
        assert_eq!(Files::default().find("a.example").auth, RegistryAuth::Anonymous);
    }

    #[test]
    fn an_identity_token_is_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let token = r#"{"auths":{"a.example":{"identitytoken":"secret"}}}"#;
        assert_eq!(files(folder.path(), "{}", token, "{}").find("a.example").auth, RegistryAuth::Anonymous);
    }
}
