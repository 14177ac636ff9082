//! What each room promises, tried through the SDK.

mod directory;
mod files;
mod foreign_ids;
mod identity;
mod notifications;
mod onboarding;
mod operations;
mod profiles;
mod webhooks;

use std::time::Duration;

use clinicd_sdk::ApiError;

/// By when the end of a session or a change of roles counts on every server.
const COUNTS: Duration = Duration::from_secs(1);

/// The fields that a refusal names, in its order.
fn fields(refusal: &ApiError) -> Vec<&str> {
    refusal.violations.iter().map(|(field, _)| field.as_str()).collect()
}
