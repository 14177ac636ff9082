//! Whose certificates the ports believe: the machine's authorities, or those of one file. An inner
//! relay often has a certificate of a private authority.

use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::PortError;

const UNREADABLE: PortError = PortError::Settings("a CA certificate is a readable PEM file");

/// The text of a PEM file of authorities.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, PortError> {
    let pem = std::fs::read(file).map_err(|_| UNREADABLE)?;
    if certificates(&pem)?.is_empty() { Err(UNREADABLE) } else { Ok(pem) }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PortError> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| UNREADABLE)
}

/// TLS towards providers whose certificates come from the authorities of this file, and no others.
pub(super) fn only(file: &Path) -> Result<ClientConfig, PortError> {
    let mut authorities = RootCertStore::empty();
    for certificate in certificates(&read(file)?)? {
        authorities.add(certificate).map_err(|_| UNREADABLE)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| PortError::Settings("TLS is not to be had"))?;
    Ok(versions.with_root_certificates(authorities).with_no_client_auth())
}
