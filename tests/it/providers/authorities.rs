//! Providers over HTTPS whose certificate comes from an authority of one's own. The peer is a server of
//! ours: it knows nothing of messages, but says so over TLS.

use std::path::{Path, PathBuf};

use clinicd_server::kernel::ports::sms::{Message, TwilioSettings};
use clinicd_server::kernel::ports::{PortError, Sms};
use clinicd_server::kernel::secret::Secret;
use clinicd_tests::{World, certificates};
use uuid::Uuid;

fn sms(address: String, ca_certificate: Option<PathBuf>) -> Result<Sms, PortError> {
    Sms::twilio(&TwilioSettings {
        address,
        account: "AC42".to_owned(),
        token: Secret("egrets".to_owned()),
        from: "+15550000000".to_owned(),
        ca_certificate,
    })
}

/// Whether the other side was heard.
async fn speaks(address: String, ca_certificate: Option<PathBuf>) -> bool {
    let message = Message {
        key: Uuid::from_u128(1),
        at: "2026-11-20T10:00:05Z".parse().unwrap(),
        to: "+919812345678".to_owned(),
        text: "Hello".to_owned(),
    };
    match sms(address, ca_certificate).unwrap().send(&message).await {
        Ok(()) | Err(PortError::Permanent { code: Some(_), .. }) => true,
        Err(PortError::Temporary { code: None, .. }) => false,
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_authorities_of_the_file_are_believed() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ca-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    certificates::make(&dir);
    let world = World::start_with(|config| {
        config.tls_certificate = Some(dir.join("server.pem"));
        config.tls_key = Some(dir.join("server.key"));
    })
    .await;
    let (_, port) = world.url().rsplit_once(':').unwrap();
    let (right, wrong) = (format!("https://localhost:{port}"), format!("https://127.0.0.1:{port}"));
    assert!(speaks(right.clone(), Some(dir.join("ca.pem"))).await);
    assert!(!speaks(right.clone(), Some(dir.join("other.pem"))).await);
    assert!(!speaks(right.clone(), None).await, "the machine's authorities do not know it");
    assert!(!speaks(wrong, Some(dir.join("ca.pem"))).await, "the certificate has another name");
    for nonsense in ["server.key", "nothing.pem"] {
        let refused = sms(right.clone(), Some(dir.join(nonsense)));
        assert!(matches!(refused, Err(PortError::Settings(_))), "{nonsense}");
    }
    std::fs::remove_dir_all(&dir).unwrap();
    world.finish().await;
}
