//! The one registry that an image comes from.

use crate::bounds;
use crate::credentials::Credentials;
use crate::digest::{Digest, DigestError};
use crate::image::{Blob, MANIFESTS};
use crate::reference;
use crate::tls;
use futures::stream::BoxStream;
use oci_client::client::{ClientConfig, ClientProtocol, LayerDescriptor};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode};
use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// How long a registry may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long it may send nothing.
const SILENCE: Duration = Duration::from_secs(60);
/// The digest of a manifest, as its registry says.
const DIGEST: &str = "docker-content-digest";
/// What names this host to a registry.
const USER_AGENT: &str = concat!("bobbin/", env!("CARGO_PKG_VERSION"));

/// A registry that does not give what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No connection, or one that ended early.
    #[error("the OCI registry {registry} cannot be reached{}", if *.plain { "" } else { " over https; --insecure speaks plain http with it, if it must" })]
    Unreachable {
        /// Its host, and its port where the reference names one.
        registry: String,
        /// Whether it was asked over plain HTTP.
        plain: bool,
        /// What happened.
        source: reqwest::Error,
    },
    /// No or wrong credentials.
    #[error("the OCI registry {registry} does not let us read {repository}; {}", advice(file.as_deref()))]
    Unauthorised {
        /// Its host and port.
        registry: String,
        /// The repository.
        repository: String,
        /// The file that has the credentials which were shown.
        file: Option<PathBuf>,
    },
    /// No such image, or one that we may not know of.
    #[error(
        "the OCI registry {registry} has no image {name}; correct the name or the tag, or log in if the repository is private"
    )]
    NotFound {
        /// Its host and port.
        registry: String,
        /// The repository with tag or digest.
        name: String,
    },
    /// An image without one of its blobs.
    #[error("the OCI registry {registry} has the image, and not {digest} of it; push the application again")]
    NoBlob {
        /// Its host and port.
        registry: String,
        /// The blob.
        digest: Digest,
    },
    /// Any other status.
    #[error("the OCI registry {registry} answered with status {status}: {text}")]
    Status {
        /// Its host and port.
        registry: String,
        /// The status.
        status: u16,
        /// The beginning of its body.
        text: String,
    },
    /// Other content than its digest names.
    #[error("the OCI registry {registry} lies: what it sent as {wanted} has the digest {found}")]
    Lies {
        /// Its host and port.
        registry: String,
        /// What was asked for, or what the registry said it is.
        wanted: Digest,
        /// What came.
        found: Digest,
    },
    /// More than it said.
    #[error("the OCI registry {registry} sent more than {bytes} bytes for {what}")]
    TooMuch {
        /// Its host and port.
        registry: String,
        /// What was asked for.
        what: String,
        /// The bound, in bytes.
        bytes: u64,
    },
    /// Less than it said, again and again.
    #[error(
        "the OCI registry {registry} ends {digest} after {come} of {bytes} bytes, however often it is asked; try again later"
    )]
    CutShort {
        /// Its host and port.
        registry: String,
        /// The blob.
        digest: Digest,
        /// How many bytes came.
        come: u64,
        /// How many there should be.
        bytes: u64,
        /// What happened the last time, where anything did.
        source: Option<Box<RegistryError>>,
    },
    /// A digest of another kind.
    #[error("the OCI registry {registry} names content by a digest that cannot be checked")]
    Digest {
        /// Its host and port.
        registry: String,
        /// What is wrong with it.
        source: DigestError,
    },
    /// Anything else.
    #[error("the OCI registry {registry} cannot be used")]
    Other {
        /// Its host and port.
        registry: String,
        /// What happened.
        source: Box<dyn Error + Send + Sync>,
    },
}

fn advice(file: Option<&std::path::Path>) -> String {
    match file {
        Some(file) => format!("the credentials are from {}", file.display()),
        None => "log in with `spin registry login` or `docker login`".to_owned(),
    }
}

impl RegistryError {
    /// Whether it is worth asking again.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            Self::Unauthorised { .. }
            | Self::NotFound { .. }
            | Self::NoBlob { .. }
            | Self::Lies { .. }
            | Self::TooMuch { .. }
            | Self::CutShort { .. }
            | Self::Digest { .. }
            | Self::Other { .. } => false,
        }
    }
}

/// A connection to a registry, for one image.
pub(crate) struct Registry {
    client: Client,
    /// For what the client reads without a bound.
    http: reqwest::Client,
    image: Reference,
    credentials: Credentials,
    plain: bool,
    /// What the registry gave for the credentials.
    token: Option<String>,
}

/// A blob, from some byte on.
pub(crate) struct Content {
    /// From its first byte, although it was asked from a later one.
    pub(crate) is_whole: bool,
    pub(crate) stream: BoxStream<'static, io::Result<bytes::Bytes>>,
}

impl Registry {
    /// Connects to the registry of an image. Over https; over plain HTTP where `insecure` says so, and with a registry on
    /// this machine that knows no TLS.
    pub(crate) async fn connect(
        image: Reference,
        credentials: Credentials,
        insecure: bool,
    ) -> Result<Self, RegistryError> {
        tls::provide_tls();
        let name = image.resolve_registry().to_owned();
        let other = |source: Box<dyn Error + Send + Sync>| RegistryError::Other { registry: name.clone(), source };
        let http = reqwest::Client::builder().user_agent(USER_AGENT).connect_timeout(CONNECT).read_timeout(SILENCE);
        let http = http.build().map_err(|error| other(error.into()))?;
        let plain = insecure || (reference::is_loopback(&name) && !speaks_tls(&http, &name).await);
        let config = ClientConfig {
            protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
            connect_timeout: Some(CONNECT),
            read_timeout: Some(SILENCE),
            user_agent: USER_AGENT,
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|error| other(error.into()))?;
        let mut registry = Self { client, http, image, credentials, plain, token: None };
        let auth = registry.client.auth(&registry.image, &registry.credentials.auth, RegistryOperation::Pull).await;
        registry.token = auth.map_err(|error| registry.error(error))?;
        Ok(registry)
    }

    /// Its host and port.
    pub(crate) fn name(&self) -> String {
        self.image.resolve_registry().to_owned()
    }

    /// The manifest of the image, and its digest.
    pub(crate) async fn manifest(&self) -> Result<(Vec<u8>, Digest), RegistryError> {
        let version = self.image.digest().or(self.image.tag()).unwrap_or("latest");
        let scheme = if self.plain { "http" } else { "https" };
        let url = format!("{scheme}://{}/v2/{}/manifests/{version}", self.name(), self.image.repository());
        let request = self.http.get(url).header(ACCEPT, MANIFESTS.join(", "));
        let request = self.authorised(request)?;
        let mut response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        let most = if status == StatusCode::OK { bounds::MANIFEST_BYTES } else { bounds::ERROR_TEXT as u64 };
        let body = body(&mut response, most).await.map_err(|error| self.unreachable(error))?;
        match (status, body) {
            (StatusCode::OK, Ok(bytes)) => self.checked(&response, bytes),
            (StatusCode::OK, Err(_beginning)) => {
                let what = format!("the manifest of {}", self.image);
                Err(RegistryError::TooMuch { registry: self.name(), what, bytes: bounds::MANIFEST_BYTES })
            }
            (status, Ok(text) | Err(text)) => Err(self.status(status.as_u16(), &String::from_utf8_lossy(&text))),
        }
    }

    /// A manifest must have the digest that the reference names, and the one that its registry names.
    fn checked(&self, response: &Response, bytes: Vec<u8>) -> Result<(Vec<u8>, Digest), RegistryError> {
        let found = Digest::of(&bytes);
        let header = response.headers().get(DIGEST).and_then(|value| value.to_str().ok());
        for text in self.image.digest().into_iter().chain(header.filter(|text| !text.is_empty())) {
            let wanted =
                Digest::parse(text).map_err(|source| RegistryError::Digest { registry: self.name(), source })?;
            if wanted != found {
                return Err(RegistryError::Lies { registry: self.name(), wanted, found });
            }
        }
        Ok((bytes, found))
    }

    fn authorised(&self, request: RequestBuilder) -> Result<RequestBuilder, RegistryError> {
        let Some(token) = &self.token else {
            return Ok(match &self.credentials.auth {
                RegistryAuth::Basic(user, password) => request.basic_auth(user, Some(password)),
                RegistryAuth::Bearer(token) => request.bearer_auth(token),
                RegistryAuth::Anonymous => request,
            });
        };
        let header = HeaderValue::try_from(format!("Bearer {token}"));
        let mut header = header.map_err(|error| {
            let source = format!("its token cannot be sent back: {error}").into();
            RegistryError::Other { registry: self.name(), source }
        })?;
        header.set_sensitive(true);
        Ok(request.header(reqwest::header::AUTHORIZATION, header))
    }

    /// A blob from a byte on, or from its beginning where the registry does not do that.
    pub(crate) async fn blob(&self, blob: &Blob, from: u64) -> Result<Content, RegistryError> {
        let digest = blob.digest.to_string();
        let layer = LayerDescriptor { digest: &digest, urls: &None };
        let refused = |error| match self.error(error) {
            RegistryError::NotFound { registry, .. } => RegistryError::NoBlob { registry, digest: blob.digest.clone() },
            other => other,
        };
        if from == 0 {
            let whole = self.client.pull_blob_stream(&self.image, &layer).await.map_err(refused)?;
            return Ok(Content { is_whole: true, stream: whole.stream });
        }
        let part = self.client.pull_blob_stream_partial(&self.image, &layer, from, None).await;
        Ok(match part.map_err(refused)? {
            oci_client::client::BlobResponse::Full(whole) => Content { is_whole: true, stream: whole.stream },
            oci_client::client::BlobResponse::Partial(part) => Content { is_whole: false, stream: part.stream },
        })
    }

    fn unreachable(&self, error: reqwest::Error) -> RegistryError {
        // Where a registry sends us on to, the address may carry a signature.
        RegistryError::Unreachable { registry: self.name(), plain: self.plain, source: error.without_url() }
    }

    fn unauthorised(&self) -> RegistryError {
        let (registry, repository) = (self.name(), self.image.repository().to_owned());
        RegistryError::Unauthorised { registry, repository, file: self.credentials.file.clone() }
    }

    fn status(&self, status: u16, text: &str) -> RegistryError {
        match status {
            401 | 403 => self.unauthorised(),
            404 => {
                let version = match (self.image.tag(), self.image.digest()) {
                    (_, Some(digest)) => format!("@{digest}"),
                    (tag, None) => format!(":{}", tag.unwrap_or("latest")),
                };
                let name = format!("{}{version}", self.image.repository());
                RegistryError::NotFound { registry: self.name(), name }
            }
            _ => {
                let text = text.chars().take(bounds::ERROR_TEXT).collect();
                RegistryError::Status { registry: self.name(), status, text }
            }
        }
    }

    fn error(&self, error: OciDistributionError) -> RegistryError {
        match error {
            OciDistributionError::RequestError(error) => self.unreachable(error),
            OciDistributionError::AuthenticationFailure(_) | OciDistributionError::UnauthorizedError { .. } => {
                self.unauthorised()
            }
            OciDistributionError::ServerError { code, message, .. } => self.status(code, &message),
            OciDistributionError::RegistryError { envelope, .. } => {
                let has = |codes: &[OciErrorCode]| envelope.errors.iter().any(|error| codes.contains(&error.code));
                if has(&[OciErrorCode::Denied, OciErrorCode::Unauthorized]) {
                    return self.unauthorised();
                }
                if has(&[OciErrorCode::BlobUnknown, OciErrorCode::NotFound, OciErrorCode::NameUnknown]) {
                    return self.status(404, "");
                }
                let source = envelope.to_string().chars().take(bounds::ERROR_TEXT).collect::<String>().into();
                RegistryError::Other { registry: self.name(), source }
            }
            other => RegistryError::Other { registry: self.name(), source: other.into() },
        }
    }
}

/// The body, or its beginning where it is longer than the bound.
async fn body(response: &mut Response, most: u64) -> Result<Result<Vec<u8>, Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if (body.len() + piece.len()) as u64 > most {
            return Ok(Err(body));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Ok(body))
}

/// Whether a registry on this machine answers over TLS. One whose certificate is not trusted does, too: it is not asked
/// without.
async fn speaks_tls(http: &reqwest::Client, name: &str) -> bool {
    match http.get(format!("https://{name}/v2/")).send().await {
        Ok(_) => true,
        Err(error) => !error.is_connect() || is_about_certificates(&error),
    }
}

fn is_about_certificates(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if matches!(error.downcast_ref::<rustls::Error>(), Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        // An I/O error calls its source not what it carries, but the source of that.
        let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = carried.map(|carried| carried as &(dyn Error + 'static)).or_else(|| error.source());
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_certificate_is_found_however_deep_it_is() {
        let bad = || rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        assert!(is_about_certificates(&bad()));
        assert!(is_about_certificates(&io::Error::other(io::Error::new(io::ErrorKind::InvalidData, bad()))));
        let other = rustls::Error::HandshakeNotComplete;
        assert!(!is_about_certificates(&io::Error::other(io::Error::other(other))));
        assert!(!is_about_certificates(&io::Error::other("certificate")));
    }
}
