//! The server's certificate.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The certificate and the key do not fit, or are none.
    #[error(
        "CLINICD_TLS_CERTIFICATE and CLINICD_TLS_KEY must be PEM files of a certificate and its \
         private key: {0}"
    )]
    Identity(Box<dyn std::error::Error + Send + Sync>),
}

/// Reads certificate and key: TLS 1.2 and 1.3, HTTP/2 first.
pub async fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let config =
        config(&read(certificate).await?, &read(key).await?).map_err(TlsError::Identity)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    tokio::fs::read(path)
        .await
        .map_err(|source| TlsError::Read { path: path.display().to_string(), source })
}

fn config(
    certificate: &[u8],
    key: &[u8],
) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
