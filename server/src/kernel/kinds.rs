//! The values that rows and messages are made of: instants, days, typed ids, enums.
//!
//! Each knows its SQL type, so that a row or a [`statement!`](crate::statement) takes it as it is.

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types;
use jiff::civil;

use clinicd_proto::r#type::v1 as types;

/// 2000-01-01T00:00:00Z, from which PostgreSQL counts, in microseconds of the Unix epoch.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// An instant with the microsecond precision of `timestamptz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = sql_types::Timestamptz)]
pub struct Time(jiff::Timestamp);

impl Time {
    /// The instant itself.
    #[must_use]
    pub fn timestamp(self) -> jiff::Timestamp {
        self.0
    }

    /// The instant `seconds` later (earlier when negative), held within the range of time.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        let later = self.0.saturating_add(jiff::SignedDuration::from_secs(seconds));
        Self(later.unwrap_or(jiff::Timestamp::MAX))
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub fn unix_micros(self) -> i64 {
        self.0.as_microsecond()
    }

    /// The instant this many microseconds after the Unix epoch; `None` outside the range of time.
    #[must_use]
    pub fn from_unix_micros(micros: i64) -> Option<Self> {
        jiff::Timestamp::from_microsecond(micros).ok().map(Self)
    }
}

impl From<jiff::Timestamp> for Time {
    /// Truncates to whole microseconds, so that a value equals itself when read back.
    fn from(timestamp: jiff::Timestamp) -> Self {
        Self(jiff::Timestamp::from_microsecond(timestamp.as_microsecond()).unwrap_or(timestamp))
    }
}

impl ToSql<sql_types::Timestamptz, Pg> for Time {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let micros = self.unix_micros() - POSTGRES_EPOCH_MICROS;
        ToSql::<sql_types::BigInt, Pg>::to_sql(&micros, &mut out.reborrow())
    }
}

impl FromSql<sql_types::Timestamptz, Pg> for Time {
    fn from_sql(bytes: PgValue<'_>) -> deserialize::Result<Self> {
        let micros = <i64 as FromSql<sql_types::BigInt, Pg>>::from_sql(bytes)?;
        micros
            .checked_add(POSTGRES_EPOCH_MICROS)
            .and_then(Self::from_unix_micros)
            .ok_or_else(|| "instant outside the supported range".into())
    }
}

impl From<Time> for prost_types::Timestamp {
    fn from(time: Time) -> Self {
        let micros = time.unix_micros();
        let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
        Self { seconds: micros.div_euclid(1_000_000), nanos }
    }
}

impl TryFrom<prost_types::Timestamp> for Time {
    type Error = jiff::Error;

    fn try_from(value: prost_types::Timestamp) -> Result<Self, Self::Error> {
        jiff::Timestamp::new(value.seconds, value.nanos).map(Self::from)
    }
}

/// A day of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = sql_types::Date)]
pub struct Day(pub civil::Date);

const POSTGRES_EPOCH_DAY: civil::Date = civil::date(2000, 1, 1);

impl ToSql<sql_types::Date, Pg> for Day {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let days = (self.0 - POSTGRES_EPOCH_DAY).get_days();
        ToSql::<sql_types::Integer, Pg>::to_sql(&days, &mut out.reborrow())
    }
}

impl FromSql<sql_types::Date, Pg> for Day {
    fn from_sql(bytes: PgValue<'_>) -> deserialize::Result<Self> {
        let days = <i32 as FromSql<sql_types::Integer, Pg>>::from_sql(bytes)?;
        let span = jiff::Span::new().try_days(days)?;
        Ok(Self(POSTGRES_EPOCH_DAY.checked_add(span)?))
    }
}

impl From<Day> for types::Date {
    fn from(day: Day) -> Self {
        Self {
            year: i32::from(day.0.year()),
            month: i32::from(day.0.month()),
            day: i32::from(day.0.day()),
        }
    }
}

impl TryFrom<types::Date> for Day {
    type Error = NoSuchDay;

    fn try_from(date: types::Date) -> Result<Self, NoSuchDay> {
        let year = i16::try_from(date.year).map_err(|_| NoSuchDay)?;
        let month = i8::try_from(date.month).map_err(|_| NoSuchDay)?;
        let day = i8::try_from(date.day).map_err(|_| NoSuchDay)?;
        civil::Date::new(year, month, day).map(Self).map_err(|_| NoSuchDay)
    }
}

/// The calendar has no such day, such as 30 February.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchDay;

/// Declares typed ids: UUIDs that cannot be mistaken for one another.
macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident,)+) => {$(
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
            diesel::expression::AsExpression, diesel::deserialize::FromSqlRow,
        )]
        #[diesel(sql_type = diesel::sql_types::Uuid)]
        #[serde(transparent)]
        pub struct $name(pub uuid::Uuid);

        impl $name {
            /// Reads an id from a request. The message's own rule has checked its form already;
            /// a string that is no UUID after all names the field.
            pub fn from_wire(field: &str, value: &str) -> $crate::kernel::error::Result<Self> {
                $crate::kernel::kinds::uuid_from_wire(field, value).map(Self)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl diesel::serialize::ToSql<diesel::sql_types::Uuid, diesel::pg::Pg> for $name {
            fn to_sql<'b>(
                &'b self,
                out: &mut diesel::serialize::Output<'b, '_, diesel::pg::Pg>,
            ) -> diesel::serialize::Result {
                <uuid::Uuid as diesel::serialize::ToSql<diesel::sql_types::Uuid, diesel::pg::Pg>>
                    ::to_sql(&self.0, out)
            }
        }

        impl diesel::deserialize::FromSql<diesel::sql_types::Uuid, diesel::pg::Pg> for $name {
            fn from_sql(bytes: diesel::pg::PgValue<'_>) -> diesel::deserialize::Result<Self> {
                <uuid::Uuid as diesel::deserialize::FromSql<
                    diesel::sql_types::Uuid, diesel::pg::Pg,
                >>::from_sql(bytes).map(Self)
            }
        }

        impl $crate::kernel::db::statement::Bind for $name {
            type Sql = diesel::sql_types::Uuid;
        }
    )+};
}
pub(crate) use ids;

ids! {
    /// An account, and with it the person: their own patient record and, for a doctor, the doctor
    /// have the same id.
    AccountId,
    /// A session of an account.
    SessionId,
    /// A patient. A person's own patient id equals the account's id.
    PatientId,
    /// A doctor. Equals the account's id.
    DoctorId,
    /// An appointment.
    AppointmentId,
    /// A stored file.
    FileId,
}

impl From<AccountId> for PatientId {
    fn from(account: AccountId) -> Self {
        Self(account.0)
    }
}

impl From<AccountId> for DoctorId {
    fn from(account: AccountId) -> Self {
        Self(account.0)
    }
}

impl From<DoctorId> for AccountId {
    fn from(doctor: DoctorId) -> Self {
        Self(doctor.0)
    }
}

/// Reads a UUID from a field of a request.
pub fn uuid_from_wire(field: &str, value: &str) -> super::error::Result<uuid::Uuid> {
    uuid::Uuid::try_parse(value).map_err(|_| super::error::Error::field(field, "must be a UUID"))
}

/// Declares an enum once: text in SQL, a prost enum on the wire.
///
/// ```ignore
/// wire_enum! {
///     /// Where an appointment stands.
///     AppointmentState = pb::AppointmentState {
///         /// Confirmed.
///         Booked = "booked",
///     }
/// }
/// ```
macro_rules! wire_enum {
    ($(#[$meta:meta])* $name:ident = $wire:path { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            diesel::expression::AsExpression, diesel::deserialize::FromSqlRow,
        )]
        #[diesel(sql_type = diesel::sql_types::Text)]
        pub enum $name { $($(#[$vmeta])* $variant,)+ }

        impl $name {
            /// As it stands in the database.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// From the number on the wire; `None` for zero and unknown numbers.
            #[must_use]
            pub fn from_wire(value: i32) -> Option<Self> {
                type Wire = $wire;
                match Wire::try_from(value).ok()? {
                    $(Wire::$variant => Some(Self::$variant),)+
                    Wire::Unspecified => None,
                }
            }
        }

        impl From<$name> for $wire {
            fn from(value: $name) -> Self {
                match value { $($name::$variant => Self::$variant,)+ }
            }
        }

        impl From<$name> for i32 {
            fn from(value: $name) -> Self {
                <$wire>::from(value).into()
            }
        }

        impl diesel::serialize::ToSql<diesel::sql_types::Text, diesel::pg::Pg> for $name {
            fn to_sql<'b>(
                &'b self,
                out: &mut diesel::serialize::Output<'b, '_, diesel::pg::Pg>,
            ) -> diesel::serialize::Result {
                <str as diesel::serialize::ToSql<diesel::sql_types::Text, diesel::pg::Pg>>
                    ::to_sql(self.as_str(), out)
            }
        }

        impl diesel::deserialize::FromSql<diesel::sql_types::Text, diesel::pg::Pg> for $name {
            fn from_sql(bytes: diesel::pg::PgValue<'_>) -> diesel::deserialize::Result<Self> {
                match std::str::from_utf8(bytes.as_bytes())? {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(concat!("unknown ", stringify!($name)).into()),
                }
            }
        }

        impl $crate::kernel::db::statement::Bind for $name {
            type Sql = diesel::sql_types::Text;
        }
    };
}
pub(crate) use wire_enum;

wire_enum! {
    /// What an account may be.
    Role = clinicd_proto::access::v1::Role {
        /// Anyone who registers.
        Patient = "patient",
        /// An approved practitioner.
        Doctor = "doctor",
        /// The front desk.
        Operator = "operator",
        /// Dispenses and writes prescriptions.
        Pharmacist = "pharmacist",
        /// Runs the platform.
        Admin = "admin",
        /// Owns the platform.
        Superuser = "superuser",
    }
}

impl Role {
    /// Whether whoever holds it works on other people's records.
    #[must_use]
    pub fn is_staff(self) -> bool {
        self != Self::Patient
    }
}

wire_enum! {
    /// What an API key may be used for.
    Scope = clinicd_proto::access::v1::Scope {
        /// The feed, as an admin sees it.
        FeedRead = "feed.read",
        /// Webhooks: their endpoints, and what the feed shows, sent to them.
        Webhooks = "webhooks",
    }
}

wire_enum! {
    /// How doctor and patient meet.
    ConsultationMode = types::ConsultationMode {
        /// At the clinic.
        InPerson = "in_person",
        /// By video.
        Video = "video",
        /// By telephone.
        Phone = "phone",
        /// By written messages.
        Chat = "chat",
    }
}

wire_enum! {
    /// Administrative gender, where it was said.
    Gender = types::Gender {
        /// Female.
        Female = "female",
        /// Male.
        Male = "male",
        /// Other.
        Other = "other",
        /// Unknown.
        Unknown = "unknown",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn time_keeps_microseconds_over_the_wire() {
        let time = Time::from_unix_micros(-1_500_001).unwrap();
        let wire = prost_types::Timestamp::from(time);
        assert_eq!((wire.seconds, wire.nanos), (-2, 499_999_000));
        assert_eq!(Time::try_from(wire).unwrap(), time);
    }

    #[test]
    fn a_day_that_the_month_lacks_is_refused() {
        let day = |year, month, day| Day::try_from(types::Date { year, month, day });
        assert_eq!(day(2026, 2, 29), Err(NoSuchDay));
        assert!(day(2028, 2, 29).is_ok());
    }

    #[test]
    fn an_unknown_number_is_no_role() {
        assert_eq!(Role::from_wire(0), None);
        assert_eq!(Role::from_wire(99), None);
        assert_eq!(Role::from_wire(2), Some(Role::Doctor));
    }
}
