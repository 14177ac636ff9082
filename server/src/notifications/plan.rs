//! What kinds of messages there are, and how each is told: one table, which docs/notifications.md
//! repeats.

use clinicd_proto::notifications::v1 as pb;

use crate::kernel::kinds::wire_enum;

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
