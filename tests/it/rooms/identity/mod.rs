//! Accounts: how they come to be, how people sign in and out, who runs the platform.

mod admins;
mod contacts;
mod guessing;
mod phone;
mod phone_limits;
mod phone_registering;
mod recovering;
mod registering;
mod sessions;
mod staff;
mod telling_nothing;
mod users;

use clinicd_sdk::proto::identity::v1::RegisterAccountRequest;
use clinicd_sdk::proto::r#type::v1::PersonName;
use clinicd_tests::people::PASSWORD;

/// A registration of Ravi Menon.
fn registration(email: &str) -> RegisterAccountRequest {
    RegisterAccountRequest {
        email: email.to_owned(),
        password: PASSWORD.to_owned(),
        name: Some(PersonName { given: "Ravi".to_owned(), family: "Menon".to_owned() }),
        ..Default::default()
    }
}
