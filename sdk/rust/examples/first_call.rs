//! Lists the doctors of a clinic, and says who is signed in when `LOGIN_EMAIL` and
//! `LOGIN_PASSWORD` are set.
//!
//! `cargo run --example first_call`; `CLINICD_URL` names another server than this machine's.

use clinicd_sdk::Client;
use clinicd_sdk::proto::directory::v1::SearchDoctorsRequest;
use clinicd_sdk::proto::identity::v1::GetMyAccountRequest;

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

    let login = (std::env::var("LOGIN_EMAIL"), std::env::var("LOGIN_PASSWORD"));
    if let (Ok(email), Ok(password)) = login {
        let signed_in = client.sign_in(&email, &password).await?;
        let account = signed_in.send(GetMyAccountRequest {}).await?.account.unwrap_or_default();
        println!("signed in as {}", account.email);
        signed_in.sign_out().await?;
    }
    Ok(())
}
