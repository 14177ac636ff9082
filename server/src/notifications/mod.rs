//! STUB of the onboarding branch, so that it compiles; the real room replaces this file.

use uuid::Uuid;

use crate::app::App;
use crate::kernel::jobs::JobError;
use crate::kernel::kinds::AccountId;
use crate::kernel::locale::{MailKind, SmsKind};

/// Stub.
#[expect(clippy::unused_async, reason = "stub")]
pub async fn send_mail(
    _app: &App,
    _key: Uuid,
    _account: AccountId,
    _kind: MailKind,
    _values: serde_json::Value,
) -> Result<(), JobError> {
    Ok(())
}

/// Stub.
#[expect(clippy::unused_async, reason = "stub")]
pub async fn send_sms(
    _app: &App,
    _key: Uuid,
    _account: AccountId,
    _phone: &str,
    _kind: SmsKind,
    _values: serde_json::Value,
) -> Result<(), JobError> {
    Ok(())
}
