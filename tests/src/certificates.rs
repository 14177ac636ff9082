//! Certificates for peers that speak TLS.

use std::path::Path;
use std::process::Command;

/// An authority (`ca.pem`), a certificate of it for `localhost` (`server.pem`, `server.key`), and an
/// authority that has nothing to do with it (`other.pem`), by OpenSSL's program.
pub fn make(folder: &Path) {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        let done = command.current_dir(folder).args(arguments.split(' ')).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout";
    openssl(&format!("req -x509 {key} ca.key -out ca.pem -subj /CN=Authority -days 2"));
    openssl(&format!("req -x509 {key} other.key -out other.pem -subj /CN=Other -days 2"));
    openssl(&format!(
        "req -x509 {key} server.key -out server.pem -subj /CN=Server -days 2 -CA ca.pem \
         -CAkey ca.key -addext subjectAltName=DNS:localhost \
         -addext basicConstraints=critical,CA:FALSE"
    ));
}
