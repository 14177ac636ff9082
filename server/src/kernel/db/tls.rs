//! Connecting to PostgreSQL, with TLS when the URL asks for it (`sslmode=require`).

use std::future::poll_fn;
use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use tokio_postgres::config::{Config, SslMode};
use tokio_postgres::tls::TlsStream;
use tokio_postgres::{Client, Connection, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::CancellationToken;

/// How long a server may take to accept a connection, and to confirm what was sent to it: a network
/// that swallows everything is noticed.
const SILENCE: Duration = Duration::from_secs(10);
/// An idle connection is asked for a sign of life after this long.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Opens a connection with these startup options. The server certificate is checked against the
/// machine's own authorities; `sslmode=disable` and unix sockets go without TLS.
pub async fn connect(url: &str, options: &str) -> ConnectionResult<AsyncPgConnection> {
    let config = config(url, options)?;
    if config.get_ssl_mode() == SslMode::Require {
        let (client, connection) =
            config.connect(tls_connector()?).await.map_err(|source| bad_connection(&source))?;
        return AsyncPgConnection::try_from_client_and_connection(client, connection).await;
    }
    let (client, connection) =
        config.connect(NoTls).await.map_err(|source| bad_connection(&source))?;
    AsyncPgConnection::try_from_client_and_connection(client, connection).await
}

/// The same, for a connection that is cut when `life` is cancelled: whoever waits for an answer on
/// it is told at once that it is closed.
pub async fn connect_for(
    life: &CancellationToken,
    url: &str,
    options: &str,
) -> ConnectionResult<AsyncPgConnection> {
    let config = config(url, options)?;
    if config.get_ssl_mode() == SslMode::Require {
        let (client, connection) =
            config.connect(tls_connector()?).await.map_err(|source| bad_connection(&source))?;
        return driven(client, connection, life.clone()).await;
    }
    let (client, connection) =
        config.connect(NoTls).await.map_err(|source| bad_connection(&source))?;
    driven(client, connection, life.clone()).await
}

/// Notices of the server are dropped unread: they may quote data.
async fn driven<S>(
    client: Client,
    mut connection: Connection<Socket, S>,
    life: CancellationToken,
) -> ConnectionResult<AsyncPgConnection>
where
    S: TlsStream + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        let ended =
            async { while let Some(Ok(_)) = poll_fn(|cx| connection.poll_message(cx)).await {} };
        tokio::select! {
            () = life.cancelled() => {}
            () = ended => {}
        }
    });
    AsyncPgConnection::try_from(client).await
}

fn config(url: &str, options: &str) -> ConnectionResult<Config> {
    let mut config: Config =
        url.parse().map_err(|source| ConnectionError::InvalidConnectionUrl(reason(&source)))?;
    let own = config.get_options().unwrap_or_default();
    let options = format!("{own} {options}");
    config.options(options.trim());
    config.application_name("clinicd");
    config.connect_timeout(SILENCE).tcp_user_timeout(SILENCE).keepalives_idle(KEEP_ALIVE);
    if config.get_ssl_mode() != SslMode::Require {
        config.ssl_mode(SslMode::Disable);
    }
    Ok(config)
}

/// Whether the link to the database is encrypted or never leaves the machine.
#[must_use]
pub fn is_private(url: &str) -> bool {
    use tokio_postgres::config::Host;
    url.parse::<Config>().is_ok_and(|config| {
        config.get_ssl_mode() == SslMode::Require
            || config.get_hosts().iter().all(|host| match host {
                Host::Tcp(_) => false,
                #[cfg(unix)]
                Host::Unix(_) => true,
            })
    })
}

fn tls_connector() -> ConnectionResult<MakeRustlsConnect> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // A certificate that rustls cannot read is of no use to it either.
        let _ = roots.add(certificate);
    }
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| ConnectionError::BadConnection(source.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn bad_connection(error: &tokio_postgres::Error) -> ConnectionError {
    ConnectionError::BadConnection(reason(error))
}

/// The error with its cause: tokio-postgres alone says only "error connecting to server".
fn reason(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
