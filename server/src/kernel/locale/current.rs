//! The language of the call that is being answered.

use std::sync::LazyLock;

use http::HeaderValue;

use super::{Locale, LocaleError, Locales, negotiate};

tokio::task_local! {
    /// Set by the access layer from `accept-language`.
    pub static CURRENT: Locale;
}

static TEXTS: LazyLock<Result<Locales, LocaleError>> = LazyLock::new(Locales::load);

/// The language of the present call; English outside of one.
#[must_use]
pub fn current() -> Locale {
    CURRENT.try_with(|locale| *locale).unwrap_or_default()
}

/// The language that a client asks for.
#[must_use]
pub fn of_header(accept_language: Option<&HeaderValue>) -> Locale {
    accept_language.and_then(|value| value.to_str().ok()).map_or(Locale::En, negotiate)
}

/// The texts, parsed once. The server checks at start that they are sound.
pub fn texts() -> Result<&'static Locales, &'static LocaleError> {
    TEXTS.as_ref()
}

/// What to do about an error.
#[must_use]
pub fn error_text(locale: Locale, reason: &str) -> &'static str {
    texts().map_or("The call was refused.", |texts| texts.error_text(locale, reason))
}
