//! What kinds of messages there are, and how each is told: one table, which docs/notifications.md
//! repeats.

use clinicd_proto::notifications::v1 as pb;

use crate::kernel::kinds::wire_enum;
use crate::kernel::locale::NoticeKind;

wire_enum! {
    /// What a message is for. Preferences are kept per class.
    Class = pb::NotificationClass {
        /// Links, codes, and alerts about the safety of the account.
        Security = "security",
        /// What happened to the account or to an application.
        Account = "account",
        /// What was booked, moved or cancelled.
        Booking = "booking",
        /// Something new in the record, without its content.
        Record = "record",
        /// Before something is due.
        Reminder = "reminder",
        /// Birthday, Christmas and New Year.
        Greeting = "greeting",
    }
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 6] = [
        Self::Security,
        Self::Account,
        Self::Booking,
        Self::Record,
        Self::Reminder,
        Self::Greeting,
    ];

    /// Whether it cannot be switched off.
    #[must_use]
    pub fn is_required(self) -> bool {
        matches!(self, Self::Security | Self::Account | Self::Booking)
    }
}

wire_enum! {
    /// A way to a person.
    Channel = pb::Channel {
        /// Mail to the address of the account.
        Mail = "mail",
        /// A text message to the number of the account.
        Sms = "sms",
        /// A push message to each device of the account.
        Push = "push",
    }
}

impl Channel {
    /// All channels.
    pub const ALL: [Self; 3] = [Self::Mail, Self::Sms, Self::Push];
}

/// How a kind of message is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// What it is for.
    pub class: Class,
    /// The channels by which it goes, as far as the person has them. Where mail is planned and
    /// there is no address, a text message goes instead.
    pub channels: &'static [Channel],
    /// It lies in the inbox, too.
    pub inbox: bool,
    /// It is sent at once, also in quiet hours.
    pub urgent: bool,
}

/// By mail.
const MAIL: &[Channel] = &[Channel::Mail];
/// By text message.
const SMS: &[Channel] = &[Channel::Sms];
/// By mail and to the devices.
const MAIL_PUSH: &[Channel] = &[Channel::Mail, Channel::Push];
/// In every way.
const EVERY: &[Channel] = &Channel::ALL;

/// How this kind is told. The table:
///
/// * Links and codes go to one place, at once, and lie nowhere else.
/// * What was changed in an account goes to its devices too, at once where that may have been
///   somebody else.
/// * `AccountExists` and `ContactChanged` are told to the address or number in question, by the one
///   way that their sealed contact has.
#[must_use]
pub const fn plan(kind: NoticeKind) -> Plan {
    use NoticeKind as K;
    let (class, channels, inbox, urgent) = match kind {
        K::OneTimeCode => (Class::Security, SMS, false, true),
        K::AccountActivation
        | K::StaffInvitation
        | K::AccountRecovery
        | K::EmailChange
        | K::AccountExists
        | K::ContactChanged => (Class::Security, MAIL, false, true),
        K::NewDevice
        | K::SessionStolen
        | K::PasswordChanged
        | K::SecondFactorAdded
        | K::SecondFactorRemoved
        | K::RecoveryCodesReplaced => (Class::Security, MAIL_PUSH, true, true),
        K::AccountDeleted => (Class::Account, MAIL, false, true),
        K::AccountBlocked => (Class::Account, MAIL, true, true),
        K::AccountUnblocked | K::Welcome => (Class::Account, MAIL, true, false),
        K::AdminGranted
        | K::AdminRevoked
        | K::DoctorBlocked
        | K::DoctorUnblocked
        | K::ProfileChanged => (Class::Account, MAIL_PUSH, true, false),
        K::OnboardingSubmitted
        | K::OnboardingChangesRequested
        | K::OnboardingApproved
        | K::OnboardingRejected => (Class::Account, EVERY, true, false),
        K::AppointmentBooked | K::AppointmentCancelled => (Class::Booking, MAIL_PUSH, true, false),
        K::PrescriptionIssued => (Class::Record, MAIL_PUSH, true, false),
        K::AppointmentReminder => (Class::Reminder, MAIL_PUSH, true, false),
        K::Birthday | K::Christmas | K::NewYear => (Class::Greeting, MAIL_PUSH, true, false),
    };
    Plan { class, channels, inbox, urgent }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_texts_for_its_channels() {
        for kind in NoticeKind::ALL.iter().copied() {
            let plan = plan(kind);
            let mail = plan.channels.contains(&Channel::Mail);
            assert!(!mail || kind.has_mail(), "{}", kind.key());
            let short = plan.inbox || plan.channels.iter().any(|channel| *channel != Channel::Mail);
            assert!(!short || kind.has_short(), "{}", kind.key());
        }
    }

    #[test]
    fn what_can_be_switched_off_wakes_nobody() {
        for kind in NoticeKind::ALL.iter().copied() {
            let plan = plan(kind);
            assert!(plan.class.is_required() || (!plan.urgent && plan.inbox), "{}", kind.key());
        }
    }
}
