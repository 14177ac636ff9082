//! The mails of this room, and its housekeeping.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::App;
use crate::identity::registration::registering_phone;
use crate::identity::rules;
use crate::identity::sessions::living;
use crate::identity::sessions::tickets;
use crate::identity::sign_in::challenges::{self, Challenge};
use crate::identity::sign_in::{attempts, code_limits};
use crate::kernel::events::Event;
use crate::kernel::jobs::{Job, JobError, NewJob};
use crate::kernel::kinds::AccountId;
use crate::kernel::locale::MailKind;
use crate::notifications::send_mail;
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
        let Some((_, account, mut values)) = link(&app, self.activation, "activate").await? else {
            return Ok(());
        };
        values["valid_minutes"] = json!(rules::ACTIVATION_SECONDS / 60);
        send_mail(&app, id, account, MailKind::AccountActivation, values).await
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
        let Some((_, account, mut values)) = link(&app, self.activation, "activate").await? else {
            return Ok(());
        };
        values["valid_days"] = json!(rules::INVITATION_DAYS);
        values["specialty"] = json!(specialty(&app, account).await?);
        send_mail(&app, id, account, MailKind::StaffInvitation, values).await
    }
}

/// The specialty of somebody who is invited as a doctor.
async fn specialty(app: &App, account: AccountId) -> Result<Option<String>, JobError> {
    let mut conn = app.db.read().await?;
    let doctor = profiles::doctor(&mut conn, account.into()).await?;
    Ok(doctor.map(|doctor| doctor.specialty_name))
}

/// A link that still works, as a mail needs it; none when it was used or replaced meanwhile.
pub(super) async fn link(
    app: &App,
    id: Uuid,
    page: &str,
) -> Result<Option<(Challenge, AccountId, Value)>, JobError> {
    let mut conn = app.db.read().await?;
    let found = challenges::find(&mut conn, id).await?;
    let live = found.filter(|challenge| challenge.is_live(app.clock.now()));
    Ok(live.and_then(|challenge| {
        let token = challenge.token(&app.keys.macs);
        let link = challenges::link(&app.config.public_url, page, &token);
        Some((challenge.clone(), challenge.account?, json!({ "link": link, "token": token })))
    }))
}

/// Declares the jobs that mail an account without further values.
macro_rules! plain_mails {
    ($($(#[$meta:meta])* $name:ident = $kind:literal, $mail:ident;)+) => {$(
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
                send_mail(&app, id, self.account, MailKind::$mail, json!({})).await
            }
        }
    )+};
}

plain_mails! {
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
