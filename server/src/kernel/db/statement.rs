//! Constant SQL as a type of its own, so that it is prepared once per connection.
//!
//! diesel prepares every `update()`, `sql_query` and upsert again on each call, which costs a
//! round trip. A [`statement!`](crate::statement) has a static query id and is prepared once.

use diesel::pg::Pg;
use diesel::serialize::ToSql;
use diesel::sql_types::{self, SqlType};

use super::super::kinds::{Day, Time};

/// A Rust type with the one SQL type that it is bound as.
pub trait Bind {
    /// That SQL type.
    type Sql: SqlType;
}

macro_rules! bind {
    ($($rust:ty => $sql:ident,)+) => {$(
        impl Bind for $rust { type Sql = sql_types::$sql; }
    )+};
}

bind! {
    uuid::Uuid => Uuid,
    String => Text,
    &str => Text,
    i16 => SmallInt,
    i32 => Integer,
    i64 => BigInt,
    bool => Bool,
    Vec<u8> => Binary,
    Time => Timestamptz,
    Day => Date,
    serde_json::Value => Jsonb,
}

impl<T: Bind> Bind for Option<T>
where
    T::Sql: SqlType<IsNull = sql_types::is_nullable::NotNull>,
{
    type Sql = sql_types::Nullable<T::Sql>;
}

/// A list bound as one array.
#[derive(Debug, Clone)]
pub struct List<T>(pub Vec<T>);

impl<T: Bind> Bind for List<T> {
    type Sql = sql_types::Array<T::Sql>;
}

impl<T, ST> ToSql<sql_types::Array<ST>, Pg> for List<T>
where
    T: std::fmt::Debug,
    Vec<T>: ToSql<sql_types::Array<ST>, Pg>,
    ST: 'static,
{
    fn to_sql<'b>(
        &'b self,
        out: &mut diesel::serialize::Output<'b, '_, Pg>,
    ) -> diesel::serialize::Result {
        self.0.to_sql(out)
    }
}

/// A piece of constant SQL.
pub enum Piece {
    /// To be sent as it is.
    Text(&'static str),
    /// The place of the bind with this number, from 1.
    Bind(usize),
}

/// Splits constant SQL at `$1`, `$2`, … A bind may stand in several places.
pub fn pieces(sql: &'static str) -> impl Iterator<Item = Piece> {
    let mut rest = sql;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(after) = rest.strip_prefix('$') else {
            let (text, tail) = rest.split_at(rest.find('$').unwrap_or(rest.len()));
            rest = tail;
            return Some(Piece::Text(text));
        };
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        rest = &after[digits..];
        Some(Piece::Bind(after[..digits].parse().unwrap_or(0)))
    })
}

/// Declares constant statements. Without `->` a statement is executed; with it, it is loaded as
/// rows of those SQL types.
///
/// ```ignore
/// statement! {
///     /// Begins the visit unless someone changed the appointment meanwhile.
///     BeginVisit { id: AppointmentId, version: i32, now: Time }
///     "UPDATE appointments SET … WHERE id = $1 AND version = $2"
/// }
/// BeginVisit { id, version, now }.execute(conn).await?;
/// ```
#[macro_export]
macro_rules! statement {
    ($($(#[$meta:meta])* $name:ident { $($field:ident : $type:ty),* $(,)? } $(-> $row:ty)? , $sql:expr;)+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub(crate) struct $name { $(pub(crate) $field: $type,)* }

        impl diesel::query_builder::QueryId for $name {
            type QueryId = Self;
            const HAS_STATIC_QUERY_ID: bool = true;
        }

        impl diesel::query_builder::QueryFragment<diesel::pg::Pg> for $name {
            fn walk_ast<'b>(
                &'b self,
                out: diesel::query_builder::AstPass<'_, 'b, diesel::pg::Pg>,
            ) -> diesel::result::QueryResult<()> {
                use $crate::kernel::db::statement::{Piece, pieces};
                const FIELDS: &[&str] = &[$(stringify!($field)),*];
                let mut out = out;
                for piece in pieces($sql) {
                    let field = match piece {
                        Piece::Text(text) => {
                            out.push_sql(text);
                            continue;
                        }
                        Piece::Bind(number) => number.checked_sub(1).and_then(|i| FIELDS.get(i)),
                    };
                    match field.copied() {
                        $(Some(stringify!($field)) => out.push_bind_param::<
                            <$type as $crate::kernel::db::statement::Bind>::Sql, $type,
                        >(&self.$field)?,)*
                        _ => return Err(diesel::result::Error::QueryBuilderError(
                            concat!(stringify!($name), ": a placeholder has no value").into(),
                        )),
                    }
                }
                Ok(())
            }
        }

        $(impl diesel::query_builder::Query for $name {
            type SqlType = $row;
        })?
    )+};
}

/// Declares queries whose SQL depends on what is asked for, with the SQL type of their rows. Each shape
/// is prepared once, by its text.
///
/// ```ignore
/// shaped_queries! { Page -> AppointmentSql, Count -> BigInt }
/// ```
#[macro_export]
macro_rules! shaped_queries {
    ($($name:ident -> $row:ty),+ $(,)?) => {$(
        impl diesel::query_builder::QueryId for $name {
            type QueryId = ();
            const HAS_STATIC_QUERY_ID: bool = false;
        }

        impl diesel::query_builder::Query for $name {
            type SqlType = $row;
        }
    )+};
}
