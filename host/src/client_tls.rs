//! `[[client_tls]]` of the runtime configuration: what is in the files that it names, and which components it is for.

use anyhow::Result;
use bobbin_manifest::{App, At, ComponentId, ManifestErrors, Place, Problem, ProblemKind, RuntimeConfigFile};
use bobbin_runtime::{ClientTls, ClientTlsError, ClientTlsFiles, HostTls};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How components speak TLS with some hosts.
#[derive(Debug, Default)]
pub(crate) struct ClientTlsOf(BTreeMap<String, Vec<HostTls>>);

impl ClientTlsOf {
    /// Reads every file that is named. Blocking.
    ///
    /// # Errors
    /// Everything that is wrong, with its place in the runtime configuration.
    pub(crate) fn read(app: &App, config: &RuntimeConfigFile, file: Option<&Path>) -> Result<Self> {
        let (mut all, mut problems) = (BTreeMap::<String, Vec<HostTls>>::new(), Vec::new());
        let file = file.unwrap_or(Path::new(""));
        let folder = file.parent().unwrap_or(Path::new(""));
        for entry in &config.client_tls {
            problems.extend(entry.components.iter().filter(|id| is_unknown(app, id)).map(|id| unknown(app, id)));
            match read(entry, folder) {
                Ok(tls) => {
                    let hosts: Vec<String> = entry.hosts.iter().map(|host| host.value.clone()).collect();
                    for component in &entry.components {
                        let own = HostTls { hosts: hosts.clone(), tls: tls.clone() };
                        all.entry(component.value.clone()).or_default().push(own);
                    }
                }
                Err(problem) => problems.push(*problem),
            }
        }
        ManifestErrors::unless_none(file, problems)?;
        Ok(Self(all))
    }

    /// What one component's is.
    pub(crate) fn of(&self, component: &ComponentId) -> Vec<HostTls> {
        self.0.get(component.as_str()).cloned().unwrap_or_default()
    }
}

/// Components that are not served may stay in a configuration that is for all of the application.
fn is_unknown(app: &App, id: &At<String>) -> bool {
    let id = id.value.as_str();
    !app.components.contains_key(id) && !app.left_out.contains(id)
}

fn unknown(app: &App, id: &At<String>) -> (Place, Problem) {
    let known: Vec<String> = app.components.keys().map(|known| format!("{:?}", known.as_str())).collect();
    let what = format!("`client_tls` is for component {:?}, which the application does not have", id.value);
    (id.place, Problem::new(ProblemKind::Reference, what, format!("its components are {}", known.join(", "))))
}

fn read(entry: &bobbin_manifest::ClientTls, folder: &Path) -> Result<ClientTls, Box<(Place, Problem)>> {
    let at = |file: &At<PathBuf>| folder.join(&file.value);
    let roots = entry.roots_file.as_ref().map(at);
    let identity = entry.identity.as_ref().map(|identity| (at(&identity.certificates), at(&identity.key)));
    let files = ClientTlsFiles {
        platform_roots: entry.platform_roots,
        webpki_roots: entry.webpki_roots,
        roots: roots.as_deref(),
        identity: identity.as_ref().map(|(certificates, key)| (certificates.as_path(), key.as_path())),
    };
    ClientTls::read(&files).map_err(|error| {
        let (named, help) = blame(entry, &error);
        let mut problem = Problem::new(ProblemKind::File, error.to_string(), help);
        if let Some(cause) = std::error::Error::source(&error) {
            problem = problem.because(cause.to_string());
        }
        Box::new((named.unwrap_or(entry.place), problem))
    })
}

/// Which line names what is wrong, and what to do about it.
fn blame(entry: &bobbin_manifest::ClientTls, error: &ClientTlsError) -> (Option<Place>, &'static str) {
    let identity = entry.identity.as_ref();
    match error {
        ClientTlsError::Roots { .. } => {
            (entry.roots_file.as_ref().map(|file| file.place), "give `ca_roots_file` a PEM file with certificates")
        }
        ClientTlsError::Root { .. } => (
            entry.roots_file.as_ref().map(|file| file.place),
            "give `ca_roots_file` the certificates of authorities alone",
        ),
        ClientTlsError::Platform(_) => (None, "or name authorities in `ca_roots_file`"),
        ClientTlsError::Certificates { .. } => (
            identity.map(|identity| identity.certificates.place),
            "give `client_cert_file` a PEM file with the client's certificate first",
        ),
        ClientTlsError::Key { .. } => (
            identity.map(|identity| identity.key.place),
            "give `client_private_key_file` a PEM file with the certificate's key",
        ),
        ClientTlsError::Pair { .. } => {
            (identity.map(|identity| identity.key.place), "check that certificate and key are a pair")
        }
    }
}
