//! What this room tells people, and its housekeeping.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::App;
use crate::identity::registration::registering_phone;
use crate::identity::rules;
use crate::identity::sessions::living;
use crate::identity::sessions::tickets;
use crate::identity::sign_in::challenges;
use crate::identity::sign_in::{attempts, code_limits};
use crate::kernel::events::Event;
use crate::kernel::jobs::{Job, JobError, NewJob};
use crate::kernel::kinds::AccountId;
use crate::kernel::locale::NoticeKind;
use crate::notifications::{Notice, To, notify};
use crate::profiles;

pub use crate::identity::administration::deleting::SendClosed;

/// Mails the link that activates an account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SendActivation {
    /// The activation.
    pub activation: Uuid,
}

impl Job for SendActivation {
    const KIND: &'static str = "identity.send_activation";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        notify_challenge(&app, id, NoticeKind::AccountActivation, self.activation, json!({})).await
    }
}

/// Mails the link that accepts an invitation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SendInvitation {
    /// The activation.
    pub activation: Uuid,
}

impl Job for SendInvitation {
    const KIND: &'static str = "identity.send_invitation";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        let invited = challenges::find(&mut *app.db.read().await?, self.activation).await?;
        let Some(account) = invited.and_then(|challenge| challenge.account) else { return Ok(()) };
        let specialty = specialty(&app, account).await?;
        let values = json!({ "valid_days": rules::INVITATION_DAYS, "specialty": specialty });
        notify_challenge(&app, id, NoticeKind::StaffInvitation, self.activation, values).await
    }
}

/// The specialty of somebody who is invited as a doctor.
async fn specialty(app: &App, account: AccountId) -> Result<Option<String>, JobError> {
    let mut conn = app.db.read().await?;
    let doctor = profiles::doctor(&mut conn, account.into()).await?;
    Ok(doctor.map(|doctor| doctor.specialty_name))
}

/// Tells what a challenge is answered with to whoever reads what is sent to its address.
pub(super) async fn notify_challenge(
    app: &App,
    key: Uuid,
    kind: NoticeKind,
    id: Uuid,
    values: Value,
) -> Result<(), JobError> {
    let challenge = challenges::find(&mut *app.db.read().await?, id).await?;
    let Some(challenge) = challenge else { return Ok(()) };
    let to = To::Challenge { id, language: String::new() };
    notify(app, key, Notice { values, to, ..Notice::new(kind, challenge.account) }).await
}

/// Declares the jobs that tell the owner of an account something, without further values.
macro_rules! plain_notices {
    ($($(#[$meta:meta])* $name:ident = $kind:literal, $notice:ident;)+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Serialize, Deserialize)]
        pub struct $name {
            /// The account.
            pub account: AccountId,
        }

        impl $name {
            /// Subscriber to an event of the account.
            #[must_use]
            pub fn on(event: &Event) -> NewJob {
                NewJob::now(&Self { account: AccountId(event.resource) })
            }
        }

        impl Job for $name {
            const KIND: &'static str = $kind;

            async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
                notify(&app, id, Notice::new(NoticeKind::$notice, self.account)).await
            }
        }
    )+};
}

plain_notices! {
    /// Tells the owner of an account that somebody tried to register with its address.
    SendAccountExists = "identity.send_account_exists", AccountExists;
    /// Welcomes the owner of an account that has become active.
    SendWelcome = "identity.send_welcome", Welcome;
    /// Tells the owner of an account that it has become an administrator's.
    SendAdminGranted = "identity.send_admin_granted", AdminGranted;
    /// Tells the owner of an account that it is no longer an administrator's.
    SendAdminRevoked = "identity.send_admin_revoked", AdminRevoked;
    /// Tells the owner of an account that it is blocked.
    SendAccountBlocked = "identity.send_account_blocked", AccountBlocked;
    /// Tells the owner of an account that it can be used again.
    SendAccountUnblocked = "identity.send_account_unblocked", AccountUnblocked;
    /// Tells a person that an admin has changed their details.
    SendProfileChanged = "identity.send_profile_changed", ProfileChanged;
    /// Tells the owner of an account of a sign-in from a device that is new to it.
    SendNewDevice = "identity.send_new_device", NewDevice;
    /// Tells the owner of an account that a refresh token came back.
    SendSessionStolen = "identity.send_session_stolen", SessionStolen;
    /// Tells a doctor that she takes no new bookings.
    SendDoctorBlocked = "identity.send_doctor_blocked", DoctorBlocked;
    /// Tells a doctor that she takes bookings again.
    SendDoctorUnblocked = "identity.send_doctor_unblocked", DoctorUnblocked;
    /// Tells the owner of an account that sign-in now asks for a second factor.
    SendFactorAdded = "identity.send_factor_added", SecondFactorAdded;
    /// Tells the owner of an account that the second factor was removed.
    SendFactorRemoved = "identity.send_factor_removed", SecondFactorRemoved;
    /// Tells the owner of an account that the recovery codes were replaced.
    SendCodesReplaced = "identity.send_codes_replaced", RecoveryCodesReplaced;
    /// Tells the owner of an account that its password was changed.
    SendPasswordChanged = "identity.send_password_changed", PasswordChanged;
}

/// Forgets failed sign-ins, sent codes and registrations that no longer count.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SweepFailures {}

impl Job for SweepFailures {
    const KIND: &'static str = "identity.sweep_failures";

    async fn run(self, app: App, _id: Uuid) -> Result<(), JobError> {
        let mut conn = app.db.read().await?;
        attempts::sweep(&mut conn, app.clock.now()).await?;
        challenges::sweep(&mut conn, app.clock.now()).await?;
        living::sweep(&mut conn, app.clock.now()).await?;
        tickets::sweep(&mut conn, app.clock.now()).await?;
        code_limits::sweep(&mut conn, app.clock.now()).await?;
        registering_phone::sweep(&mut conn, app.clock.now()).await?;
        Ok(())
    }
}
