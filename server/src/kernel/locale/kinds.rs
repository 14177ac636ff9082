use serde_json::{Value, json};

macro_rules! kinds {
    (
        $(#[$about:meta])* $name:ident;
        $($(#[$doc:meta])* $variant:ident = $key:literal, $sample:expr;)*
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The key in the resource files.
            #[must_use]
            pub const fn key(self) -> &'static str {
                match self { $(Self::$variant => $key,)* }
            }

            /// The kind with this key.
            #[must_use]
            pub fn from_key(key: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.key() == key)
            }

            /// Made-up values that show what its template needs, for previews and tests.
            #[must_use]
            pub fn sample(self) -> Value {
                match self { $(Self::$variant => $sample,)* }
            }
        }
    };
}

kinds! {
    /// The messages. Each names the values that its templates need.
    ///
    /// All but [`Self::OneTimeCode`] need `name`, the recipient's name. `start` is the text of
    /// [`Locales::format_date_time`](super::Locales::format_date_time) in the recipient's zone;
    /// `steps` is a list of `step` (the text of a label `step_…`) and `reason`. `unsubscribe` may
    /// be given to any: the link that stops messages of this class, or null.
    NoticeKind;
    /// Confirm the address: `link` (or null), `token`, `valid_minutes`.
    AccountActivation = "account_activation", json!({
        "name": "Asha Rao",
        "link": "https://clinic.example/activate?token=3fT9kQ",
        "token": "3fT9kQ",
        "valid_minutes": 30,
    });
    /// Somebody tried to register with the address of this account.
    AccountExists = "account_exists", json!({ "name": "Asha Rao" });
    /// The account is active.
    Welcome = "welcome", json!({ "name": "Asha Rao" });
    /// The doctor's application has been received.
    OnboardingSubmitted = "onboarding_submitted", json!({ "name": "Asha Rao" });
    /// The doctor has to change the application: `steps`.
    OnboardingChangesRequested = "onboarding_changes_requested", json!({
        "name": "Asha Rao",
        "steps": [
            { "step": "Documents", "reason": "The certificate cannot be read." },
            { "step": "Professional details", "reason": "The registration number is incomplete." },
        ],
    });
    /// The doctor is approved.
    OnboardingApproved = "onboarding_approved", json!({ "name": "Asha Rao" });
    /// The doctor is refused: `reason`.
    OnboardingRejected = "onboarding_rejected", json!({
        "name": "Asha Rao",
        "reason": "The registration has been withdrawn.",
    });
    /// A visit is booked: `doctor`, `start`, `clinic` (null for an online visit),
    /// `cancel_hours` (whole hours before the start until which the patient may cancel).
    AppointmentBooked = "appointment_booked", json!({
        "name": "Asha Rao",
        "doctor": "Dr. Meera Iyer",
        "start": "Friday, 20 November 2026, 10:30 (Asia/Kolkata)",
        "clinic": "Lake View Clinic",
        "cancel_hours": 24,
    });
    /// A visit is cancelled: `doctor`, `start`, `by` (`patient`, `doctor` or `clinic`).
    AppointmentCancelled = "appointment_cancelled", json!({
        "name": "Asha Rao",
        "doctor": "Dr. Meera Iyer",
        "start": "Friday, 20 November 2026, 10:30 (Asia/Kolkata)",
        "by": "clinic",
    });
    /// A prescription can be fetched: `doctor`. Nothing of what is in it.
    PrescriptionIssued = "prescription_issued", json!({
        "name": "Asha Rao",
        "doctor": "Dr. Meera Iyer",
    });
    /// The account has become an administrator's.
    AdminGranted = "admin_granted", json!({ "name": "Asha Rao" });
    /// Sign-in now asks for a second factor.
    SecondFactorAdded = "second_factor_added", json!({ "name": "Asha Rao" });
    /// Sign-in no longer asks for a second factor.
    SecondFactorRemoved = "second_factor_removed", json!({ "name": "Asha Rao" });
    /// The recovery codes were replaced.
    RecoveryCodesReplaced = "recovery_codes_replaced", json!({ "name": "Asha Rao" });
    /// Staff made an account for this person: `link`, `token`, `valid_days`, and for a doctor
    /// `specialty` (else null).
    StaffInvitation = "staff_invitation", json!({
        "name": "Asha Rao",
        "link": "https://clinic.example/activate?token=3fT9kQ",
        "token": "3fT9kQ",
        "valid_days": 7,
        "specialty": "Cardiology",
    });
    /// The account is no longer an administrator's.
    AdminRevoked = "admin_revoked", json!({ "name": "Asha Rao" });
    /// The account is blocked.
    AccountBlocked = "account_blocked", json!({ "name": "Asha Rao" });
    /// The account can be used again.
    AccountUnblocked = "account_unblocked", json!({ "name": "Asha Rao" });
    /// The account is closed for good.
    AccountDeleted = "account_deleted", json!({ "name": "Asha Rao" });
    /// The clinic has changed what it knows of the person.
    ProfileChanged = "profile_changed", json!({ "name": "Asha Rao" });
    /// Somebody signed in from a device that was not used before.
    NewDevice = "new_device", json!({ "name": "Asha Rao" });
    /// A session was ended because its refresh token was used twice.
    SessionStolen = "session_stolen", json!({ "name": "Asha Rao" });
    /// A doctor takes no new bookings, by decision of the clinic.
    DoctorBlocked = "doctor_blocked", json!({ "name": "Asha Rao" });
    /// A doctor takes bookings again.
    DoctorUnblocked = "doctor_unblocked", json!({ "name": "Asha Rao" });
    /// Replace a lost password: `link`, `token`, `valid_minutes`.
    AccountRecovery = "account_recovery", json!({
        "name": "Asha Rao",
        "link": "https://clinic.example/recover?token=3fT9kQ",
        "token": "3fT9kQ",
        "valid_minutes": 30,
    });
    /// The password was changed.
    PasswordChanged = "password_changed", json!({ "name": "Asha Rao" });
    /// Confirm a new address: `link`, `token`, `valid_minutes`.
    EmailChange = "email_change", json!({
        "name": "Asha Rao",
        "link": "https://clinic.example/confirm-email?token=3fT9kQ",
        "token": "3fT9kQ",
        "valid_minutes": 30,
    });
    /// An address or number was changed: `contact` (`email` or `phone`), `old` (whether this
    /// message goes to the one before).
    ContactChanged = "contact_changed", json!({
        "name": "Asha Rao",
        "contact": "email",
        "old": true,
    });
    /// Before a visit: `doctor`, `start`, `clinic` and `cancel_hours` as in
    /// [`Self::AppointmentBooked`] (null hours: nothing is said of cancelling), `lead` (`day` or
    /// `hour`: how long before).
    AppointmentReminder = "appointment_reminder", json!({
        "name": "Asha Rao",
        "doctor": "Dr. Meera Iyer",
        "start": "Friday, 20 November 2026, 10:30 (Asia/Kolkata)",
        "clinic": "Lake View Clinic",
        "cancel_hours": 12,
        "lead": "day",
    });
    /// A code for one sign-in or confirmation, only as a text message: `code`, `valid_minutes`.
    OneTimeCode = "one_time_code", json!({ "code": "123456", "valid_minutes": 5 });
    /// On the birthday.
    Birthday = "birthday", json!({
        "name": "Asha Rao",
        "unsubscribe": "https://clinic.example/unsubscribe?token=3fT9kQ",
    });
    /// At Christmas.
    Christmas = "christmas", json!({
        "name": "Asha Rao",
        "unsubscribe": "https://clinic.example/unsubscribe?token=3fT9kQ",
    });
    /// At the turn of the year.
    NewYear = "new_year", json!({
        "name": "Asha Rao",
        "unsubscribe": "https://clinic.example/unsubscribe?token=3fT9kQ",
    });
}

impl NoticeKind {
    /// Whether there is a mail of it, which has a subject.
    #[must_use]
    pub const fn has_mail(self) -> bool {
        !matches!(self, Self::OneTimeCode)
    }

    /// Whether there is a short text of it: for text messages, push messages and the inbox.
    #[must_use]
    pub const fn has_short(self) -> bool {
        true
    }
}
