//! Text messages: read from the outbox of a server in development; people who sign in by code.

use std::path::Path;

use clinicd_sdk::Client;
use clinicd_sdk::proto::identity::v1::{
    PhoneCode, SendOtpRequest, VerifyOtpRequest, VerifyOtpResponse,
};
use clinicd_sdk::proto::r#type::v1::PersonName;

use crate::people::Person;
use crate::world::World;

/// A text message.
#[derive(Debug, Clone)]
pub struct Sms {
    /// Phone number, in E.164.
    pub to: String,
    /// The text.
    pub text: String,
}

impl Sms {
    /// The code of six digits in it.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        let is_code = |word: &&str| word.len() == 6 && word.bytes().all(|b| b.is_ascii_digit());
        self.text.split_whitespace().find(is_code)
    }
}

/// The messages in `<data_dir>/outbox/sms` with the times at which they were sent.
pub(crate) fn read_all(data_dir: &Path) -> Vec<(String, Sms)> {
    let Ok(entries) = std::fs::read_dir(data_dir.join("outbox/sms")) else { return Vec::new() };
    let mut messages = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension().is_some_and(|extension| extension == "json") {
            let file: serde_json::Value =
                serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            let text = |key: &str| file[key].as_str().unwrap().to_owned();
            messages.push((text("at"), Sms { to: text("to"), text: text("text") }));
        }
    }
    messages
}

impl World {
    /// The messages to a number (E.164), oldest first, once every due job is done.
    pub async fn sms_to(&self, number: &str) -> Vec<Sms> {
        self.settle().await;
        let mut messages: Vec<_> = self.data_dirs().iter().flat_map(|dir| read_all(dir)).collect();
        messages.sort_by(|(one, _), (other, _)| one.cmp(other));
        messages.into_iter().map(|(_, sms)| sms).filter(|sms| sms.to == number).collect()
    }

    /// People with a number (`+917000000001` and so on) and no address, written past the server, and
    /// for each the job that welcomes them: it writes the message and its delivery, whose job sends it.
    pub async fn welcome_by_sms(&self, count: usize) {
        self.batch(&format!(
            "INSERT INTO accounts (id, phone, given_name, family_name, language, state, \
                created_at, updated_at) \
             SELECT gen_random_uuid(), '+9170' || lpad(n::text, 8, '0'), 'Asha', 'Rao', 'en', \
                'active', now(), now() FROM generate_series(1, {count}) n; \
             INSERT INTO jobs (id, kind, payload, state, run_at, created_at) \
             SELECT gen_random_uuid(), 'identity.send_welcome', \
                jsonb_build_object('account', id), 'ready', now(), now() FROM accounts \
             WHERE phone LIKE '+9170%';"
        ))
        .await;
    }

    /// The newest code that was sent to a number.
    pub async fn code_sent_to(&self, number: &str) -> String {
        let messages = self.sms_to(number).await;
        let code = messages.iter().rev().find_map(|sms| sms.code().map(str::to_owned));
        code.unwrap_or_else(|| panic!("no code for {number} in {messages:?}"))
    }

    /// Asks for a code and reads it.
    pub async fn otp(&self, number: &str) -> PhoneCode {
        let request = SendOtpRequest { phone: number.to_owned(), ..Default::default() };
        let challenge_id = self.client().send(request).await.unwrap().challenge_id;
        PhoneCode { challenge_id, code: self.code_sent_to(number).await }
    }

    /// The client of whoever gave a code back.
    #[must_use]
    pub fn admitted(&self, answer: VerifyOtpResponse) -> Client {
        self.client().with_tokens(answer.account_id, answer.tokens.unwrap()).unwrap()
    }

    /// Somebody new with a phone number alone, signed in by code.
    pub async fn phone_patient(&self, number: &str) -> Person {
        let name = PersonName { given: "Ravi".to_owned(), family: "Menon".to_owned() };
        let request = VerifyOtpRequest {
            phone_code: Some(self.otp(number).await),
            name: Some(name.clone()),
            ..Default::default()
        };
        let client = self.admitted(self.client().send(request).await.unwrap());
        let id = client.account_id().unwrap().to_owned();
        Person { id, email: String::new(), name, client }
    }
}
