//! From an address to a connection.

use super::{Failure, OpenPostgres};
use crate::spin::network::{NoWay, Way, in_time};
use bobbin_databases::postgres::{Address, Connection, OpenError, Security};
use bobbin_inference::{Account, Charge};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::sync::Arc;

/// Certificates of authorities that a guest may trust besides.
const AUTHORITIES: usize = 64;
/// What a builder costs the host besides its texts.
const BUILDER_BYTES: usize = 1024;

/// What a guest says of a connection before it opens it.
pub struct Builder {
    pub(super) address: String,
    authorities: Vec<CertificateDer<'static>>,
    charge: Charge,
}

impl Builder {
    pub(super) fn new(address: String, account: &Account) -> wasmtime::Result<Self> {
        let charge = account.charge((BUILDER_BYTES + address.len()) as u64)?;
        Ok(Self { address, authorities: Vec::new(), charge })
    }

    /// Trusts the authorities of these certificates, in PEM, besides those that this machine trusts.
    pub(super) fn trust(&mut self, certificates: &str) -> Result<(), Failure> {
        let invalid = |why: String| Failure::Other(format!("invalid root certificate: {why}"));
        let bytes = BUILDER_BYTES + self.address.len() + certificates.len();
        self.charge.resize(bytes as u64).map_err(|over| Failure::Other(over.to_string()))?;
        let read: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(certificates.as_bytes()).take(AUTHORITIES).collect();
        let read = read.map_err(|error| invalid(error.to_string()))?;
        if read.is_empty() {
            return Err(invalid("there is none in the text".into()));
        }
        self.authorities = read;
        Ok(())
    }

    pub(super) fn parts(&self) -> (String, Vec<CertificateDer<'static>>) {
        (self.address.clone(), self.authorities.clone())
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::ConnectionFailed(error.to_string())
    }
}

/// Connects for a guest. Every host of the address must be granted; the first one that answers is taken.
pub(super) async fn open(
    way: Way,
    address: String,
    authorities: Vec<CertificateDer<'static>>,
) -> Result<OpenPostgres, Failure> {
    let address = Address::parse(&address).map_err(|error| Failure::ConnectionFailed(error.to_string()))?;
    let targets: Result<Vec<_>, NoWay> =
        address.hosts().iter().map(|(host, port)| way.check("postgres", host, *port)).collect();
    let targets = targets?;
    let place = way.place()?;
    let account = &way.context.account;
    let connect = async {
        let tls = tls(&way, &address, authorities).await?;
        let mut last = Failure::ConnectionFailed("the address names no host".into());
        for target in &targets {
            let opened = async {
                let tcp = way.connect(target).await?;
                Ok::<_, Failure>(Connection::open(&address, &target.host, tcp, tls.clone(), account).await?)
            };
            match opened.await {
                Ok(connection) => return Ok(connection),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    };
    let connection = Box::pin(in_time::<_, Failure>(&way.context, connect)).await?;
    Ok(OpenPostgres { connection: Arc::new(connection), _place: place })
}

/// What secures the connection, where the address wants that. Where it only prefers it, a machine that trusts nobody does
/// without.
async fn tls(
    way: &Way,
    address: &Address,
    authorities: Vec<CertificateDer<'static>>,
) -> Result<Option<Arc<ClientConfig>>, NoWay> {
    match address.security() {
        Security::Disabled => Ok(None),
        Security::Preferred => Ok(way.postgres_tls(authorities).await.ok()),
        Security::Required => Ok(Some(way.postgres_tls(authorities).await?)),
    }
}
