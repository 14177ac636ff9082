//! Links in mails that switch a class of messages off: RFC 8058 for mail programs, and a page with a
//! button for people. Whoever holds a link needs no password and learns nothing about the account.

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::plan::Class;
use super::preferences;
use crate::app::App;
use crate::identity;
use crate::kernel::access::rates::Rates;
use crate::kernel::crypto::{Macs, Purpose, SHORT_TAG};
use crate::kernel::error::Result;
use crate::kernel::kinds::AccountId;
use crate::kernel::locale::{Locale, negotiate, texts};
use crate::kernel::transport::Peer;

/// Bytes of what a token tells: the account and the number of the class.
const TOLD: usize = 17;
/// The page needs nothing from anywhere, and nobody may frame it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'";
const STYLE: &str = "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:30rem;margin:4rem auto;\
    padding:0 1rem}button{font:inherit;padding:.6rem 1.2rem}";

/// The link that closes all channels of a class for an account. It works for ever.
pub(super) fn link(app: &App, account: AccountId, class: Class) -> String {
    let url = app.config.public_url.trim_end_matches('/');
    format!("{url}/unsubscribe/{}", token(&app.keys.macs, account, class))
}

/// The pages behind these links.
pub fn pages(app: App, rates: std::sync::Arc<Rates>) -> Router {
    Router::new()
        .route("/unsubscribe/{token}", get(ask).post(close))
        .with_state(Pages { app, rates })
}

#[derive(Clone)]
struct Pages {
    app: App,
    rates: std::sync::Arc<Rates>,
}

fn told(account: AccountId, class: Class) -> [u8; TOLD] {
    let mut told = [0; TOLD];
    told[..16].copy_from_slice(account.0.as_bytes());
    told[16] = u8::try_from(i32::from(class)).unwrap_or_default();
    told
}

fn token(macs: &Macs, account: AccountId, class: Class) -> String {
    let told = told(account, class);
    let tag = macs.sign_short(Purpose::Unsubscribe, &told);
    URL_SAFE_NO_PAD.encode([&told[..], &tag].concat())
}

/// What a token tells; none when it was not made here.
fn read(macs: &Macs, token: &str) -> Option<(AccountId, Class)> {
    // Longer ones cannot be, and are not worth decoding.
    let token = Some(token).filter(|token| token.len() <= 2 * (TOLD + SHORT_TAG))?;
    let token = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (told, tag) = token.split_at_checked(TOLD)?;
    let (account, class) = told.split_at_checked(16)?;
    if !macs.verify_short(Purpose::Unsubscribe, told, tag) {
        return None;
    }
    let class = Class::from_wire(i32::from(*class.first()?))?;
    Some((AccountId(Uuid::from_slice(account).ok()?), class))
}

/// The page with the button.
async fn ask(State(pages): State<Pages>, Path(token): Path<String>, request: Request) -> Response {
    match pages.admit(&token, &request) {
        Ok((account, class)) => match pages.language(account).await {
            Ok(language) => page(language, class, false),
            Err(error) => fault(&error),
        },
        Err(refusal) => refusal,
    }
}

/// Closes the class. Mail programs and the button do the same; again, it changes nothing more. For an
/// account that is closed the same page comes, and nothing is written.
async fn close(
    State(pages): State<Pages>,
    Path(token): Path<String>,
    request: Request,
) -> Response {
    let (account, class) = match pages.admit(&token, &request) {
        Ok(told) => told,
        Err(refusal) => return refusal,
    };
    let app = &pages.app;
    let closed = app.db.transaction(async move |conn| {
        if identity::contact(conn, account).await?.is_some() {
            preferences::close_class(app, conn, account, class).await?;
        }
        Ok(())
    });
    match closed.await {
        Ok(()) => match pages.language(account).await {
            Ok(language) => page(language, class, true),
            Err(error) => fault(&error),
        },
        Err(error) => fault(&error),
    }
}

impl Pages {
    /// Counts the visit like a public read, and reads the token before the database is asked.
    fn admit(&self, token: &str, request: &Request) -> Result<(AccountId, Class), Response> {
        let client = request.extensions().get::<Peer>().map(|peer| peer.address);
        if let Err(wait) = self.rates.public_page(client) {
            let seconds = wait.as_secs().saturating_add(1).to_string();
            return Err((StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds)]).into_response());
        }
        let told = read(&self.app.keys.macs, token);
        told.ok_or_else(|| (StatusCode::NOT_FOUND, "not found").into_response())
    }

    async fn language(&self, account: AccountId) -> Result<Locale> {
        let mut conn = self.app.db.read().await?;
        let contact = identity::contact(&mut conn, account).await?;
        Ok(contact.map_or_else(Locale::default, |contact| negotiate(&contact.language)))
    }
}

/// To be busy passes; a mail program tries again.
fn fault(error: &crate::kernel::error::Error) -> Response {
    tracing::warn!(error = %error, "a class of messages was not switched off");
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "10")]).into_response()
}

fn page(language: Locale, class: Class, done: bool) -> Response {
    let Ok(texts) = texts() else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let label = |key| texts.label(language, key);
    let what = match class {
        Class::Record => label("class_record"),
        Class::Reminder => label("class_reminder"),
        Class::Greeting => label("class_greeting"),
        Class::Security | Class::Account | Class::Booking => label("class_required"),
    };
    let (title, lang) = (label("unsubscribe_title"), language.tag());
    let body = if done {
        format!("<p>{}</p>", label("unsubscribe_done"))
    } else {
        format!(
            "<p>{}</p><form method=\"post\"><button>{}</button></form>",
            label("unsubscribe_question"),
            label("unsubscribe_button")
        )
    };
    let html = format!(
        "<!doctype html><html lang=\"{lang}\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style><h1>{title}</h1><p><strong>{what}</strong></p>{body}</html>\n"
    );
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ];
    (headers, html).into_response()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::kernel::crypto::keys::MasterKey;

    fn macs(seed: u8) -> Macs {
        Macs::new(&[MasterKey::new(1, [seed; 32])]).unwrap()
    }

    #[test]
    fn a_token_tells_account_and_class() {
        for class in Class::ALL {
            let account = AccountId(Uuid::from_u128(7));
            let token = token(&macs(1), account, class);
            assert!(
                token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            );
            assert_eq!(read(&macs(1), &token), Some((account, class)));
            assert_eq!(read(&macs(2), &token), None);
        }
    }

    #[test]
    fn every_changed_character_and_junk_is_refused() {
        let token = token(&macs(1), AccountId(Uuid::from_u128(7)), Class::Greeting);
        let mut bad = vec![String::new(), "x".to_owned(), "A".repeat(44), "A".repeat(3_000)];
        for at in 0..token.len() {
            let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
            bad.push([&token[..at], other, &token[at + 1..]].concat());
            bad.push(token[..at].to_owned());
        }
        for token in bad {
            assert_eq!(read(&macs(1), &token), None, "{token}");
        }
    }
}
