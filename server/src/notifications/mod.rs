//! stub
#![allow(missing_docs)]
use crate::app::App;
use crate::kernel::jobs::JobError;
use crate::kernel::kinds::*;
use crate::kernel::locale::MailKind;
use uuid::Uuid;
pub async fn send_mail(
    _app: &App,
    _key: Uuid,
    _account: AccountId,
    _kind: MailKind,
    _values: serde_json::Value,
) -> Result<(), JobError> {
    Ok(())
}
