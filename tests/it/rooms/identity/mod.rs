//! Accounts: how they come to be, how people sign in and out, who runs the platform.

mod accounts;
mod admins;
mod blocking;
mod changing_password;
mod closing_races;
mod contacts;
mod deleting;
mod ending;
mod guessing;
mod phone;
mod phone_limits;
mod phone_registering;
mod programs;
mod recovering;
mod registering;
mod second_factor;
mod sessions;
mod sign_in_history;
mod signing_keys;
mod staff;
mod staff_doctors;
mod telling_nothing;
mod users;

use clinicd_sdk::Client;
use clinicd_sdk::proto::identity::v1::{GetMyAccountRequest, RegisterAccountRequest};
use clinicd_sdk::proto::r#type::v1::PersonName;
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{Person, wire};

/// A registration of Ravi Menon.
fn registration(email: &str) -> RegisterAccountRequest {
    RegisterAccountRequest {
        email: email.to_owned(),
        password: PASSWORD.to_owned(),
        name: Some(PersonName { given: "Ravi".to_owned(), family: "Menon".to_owned() }),
        ..Default::default()
    }
}

/// The session of a person, on another server.
fn over(client: &Client, person: &Person) -> Client {
    client.with_tokens(person.id.clone(), person.client.tokens().unwrap()).unwrap()
}

/// Whether a person's access token, as it is, opens this server.
async fn opens(url: &str, access_token: &str) -> bool {
    let server = wire::channel(url);
    wire::send(&server, Some(access_token), &GetMyAccountRequest {}).await.is_ok()
}
