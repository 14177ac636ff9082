//! Lists the doctors of a clinic, and says who is signed in when `LOGIN_EMAIL` and
//! `LOGIN_PASSWORD` are set. `OUTBOX_OF=asha@example.org` shows the newest message that a server in
//! development would have sent there: the link that activates an account, for one.
//!
//! `cargo run --example first_call`; `CLINICD_URL` names another server than this machine's.

use clinicd_sdk::Client;
use clinicd_sdk::proto::directory::v1::SearchDoctorsRequest;
use clinicd_sdk::proto::identity::v1::GetMyAccountRequest;
use clinicd_sdk::proto::sandbox::v1::ListOutboxRequest;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("CLINICD_URL").unwrap_or_else(|_| "http://127.0.0.1:7080".to_owned());
    let client = Client::connect_lazy(&url)?;

    let doctors = client.all(SearchDoctorsRequest { page_size: 25, ..Default::default() }).await?;
    println!("{} doctors", doctors.len());
    for doctor in doctors.into_iter().filter_map(|hit| hit.doctor) {
        let name = doctor.name.unwrap_or_default();
        println!("- {} {}, {}", name.given, name.family, doctor.clinic_name);
    }

    if let Ok(recipient) = std::env::var("OUTBOX_OF") {
        let request = ListOutboxRequest { recipient, max_messages: 1, ..Default::default() };
        for message in client.send(request).await?.messages {
            println!("\n{}\n\n{}", message.subject, message.text);
        }
    }

    let login = (std::env::var("LOGIN_EMAIL"), std::env::var("LOGIN_PASSWORD"));
    if let (Ok(email), Ok(password)) = login {
        let signed_in = client.sign_in(&email, &password).await?;
        let account = signed_in.send(GetMyAccountRequest {}).await?.account.unwrap_or_default();
        println!("signed in as {}", account.email);
        signed_in.sign_out().await?;
    }
    Ok(())
}
