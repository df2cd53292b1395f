//! A certificate authority that exists for one test.

use crate::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use std::path::{Path, PathBuf};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;

/// An authority that nobody trusts who is not told to.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate of an authority's, with its key.
#[derive(Debug)]
pub struct Issued {
    /// The certificate.
    pub der: CertificateDer<'static>,
    /// The same in PEM.
    pub certificate: String,
    /// Its private key in PEM.
    pub key: String,
}

impl Authority {
    /// A new one with a key of its own.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// Its certificate, in PEM.
    #[must_use]
    pub fn certificate(&self) -> String {
        self.0.pem()
    }

    /// Whoever trusts this authority, and no other.
    ///
    /// # Errors
    /// When its certificate is none.
    pub fn trusted(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone())?;
        Ok(roots)
    }

    /// A certificate for a server with these names, `localhost` and `127.0.0.1` for instance.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn server(&self, names: &[&str]) -> Result<Issued> {
        self.issue(names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate for a client with this name.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn client(&self, name: &str) -> Result<Issued> {
        self.issue(&[name], ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, names: &[&str], usage: ExtendedKeyUsagePurpose) -> Result<Issued> {
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        let made = params.signed_by(&key, &self.0)?;
        Ok(Issued { der: made.der().clone(), certificate: made.pem(), key: key.serialize_pem() })
    }
}

impl Issued {
    /// Writes certificate and key into a folder, as `<name>.crt` and `<name>.key`, and says where they are.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> Result<[PathBuf; 2]> {
        let files = [("crt", &self.certificate), ("key", &self.key)];
        for (extension, text) in files {
            std::fs::write(folder.join(format!("{name}.{extension}")), text)?;
        }
        Ok(files.map(|(extension, _)| folder.join(format!("{name}.{extension}"))))
    }
}
