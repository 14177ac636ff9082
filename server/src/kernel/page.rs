//! Pages of a list: signed keyset tokens and the `order_by` syntax.
//!
//! A page token holds the key of the last row that its caller saw, signed together with the
//! list, the filter, the order and the caller. So a token cannot be made up, cannot be moved to
//! another list, filter or caller, and grants nothing: the next page runs all checks again. The
//! key inside is readable by its holder, who has just been given that row.
//!
//! ```ignore
//! let page = pages.open::<Uuid>(&request)?;
//! let rows = query.limit(page.limit + 1).load(conn).await?;     // and `id > page.after`
//! let (rows, next_page_token) = page.close(rows, |row| row.id)?;
//! ```

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::result::QueryResult;
use diesel::sql_types;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::crypto::{Macs, Purpose, framed, sha256};
use super::error::{Error, Reason};

/// Rows of a page when the request names no size.
pub const DEFAULT_SIZE: i32 = 5;
/// Most rows of a page; larger requests are cut to it (AIP-158).
pub const MAX_SIZE: i32 = 25;
/// Longest page token that is looked at, in bytes.
const MAX_TOKEN: usize = 2_048;
/// Longest `order_by` that is looked at, in bytes.
const MAX_ORDER: usize = 256;
const LAYOUT: u8 = 1;
const TAG: usize = 32;

/// Why a page cannot be given. Repeats nothing of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// `page_size` is below zero.
    #[error("page_size is negative")]
    NegativeSize,
    /// Not a token that this server gave to this caller for this list, filter and order.
    #[error("page_token is not valid for this request")]
    BadToken,
    /// A list's row key cannot be written as JSON: a fault of the server.
    #[error("the key of a row cannot be encoded")]
    Key,
}

impl From<PageError> for Error {
    fn from(error: PageError) -> Self {
        match error {
            PageError::NegativeSize => Self::field("page_size", "must not be negative"),
            PageError::BadToken => Self::of(Reason::PageTokenInvalid),
            PageError::Key => Self::internal(error),
        }
    }
}

/// What a request says about pages, and what its tokens are bound to.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest<'a> {
    /// Name of the list, unique in the server.
    pub list: &'static str,
    /// As in the request; 0 means the default.
    pub page_size: i32,
    /// As in the request; empty means the first page.
    pub page_token: &'a str,
    /// Everything that selects or orders rows, and the caller: for example the request without
    /// its page fields, encoded, and the caller's account id.
    pub bound_to: &'a [&'a [u8]],
}

/// Opens pages. One for the whole server.
#[derive(Debug, Clone)]
pub struct Pages {
    /// Signs the tokens.
    pub macs: Arc<Macs>,
    /// Rows when the request names no size.
    pub default_size: i32,
    /// Most rows of a page.
    pub max_size: i32,
}

impl Pages {
    /// Pages of the default sizes.
    #[must_use]
    pub fn new(macs: Arc<Macs>) -> Self {
        Self { macs, default_size: DEFAULT_SIZE, max_size: MAX_SIZE }
    }

    /// Checks size and token. `K` is the row key of the list's order, for example `Uuid` or
    /// `(Timestamp, Uuid)`.
    pub fn open<K: DeserializeOwned>(
        &self,
        request: &PageRequest<'_>,
    ) -> Result<PageStart<K>, PageError> {
        let size = match request.page_size {
            ..0 => return Err(PageError::NegativeSize),
            0 => self.default_size,
            size => size.min(self.max_size),
        };
        let bound_to = framed(request.bound_to);
        let binding = sha256(&framed(&[request.list.as_bytes(), &bound_to]));
        let after = match request.page_token {
            "" => None,
            token => Some(self.key(token, &binding).ok_or(PageError::BadToken)?),
        };
        Ok(PageStart { limit: i64::from(size), after, binding, macs: Arc::clone(&self.macs) })
    }

    fn key<K: DeserializeOwned>(&self, token: &str, binding: &[u8; 32]) -> Option<K> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (&layout, rest) = token.split_first()?;
        let (tag, key) = rest.split_at_checked(TAG)?;
        let signed = framed(&[&[layout], binding, key]);
        let genuine = layout == LAYOUT && self.macs.verify(Purpose::PageToken, &signed, tag);
        if genuine { serde_json::from_slice(key).ok() } else { None }
    }
}

/// An opened page: where to start and how much to load.
#[derive(Debug)]
pub struct PageStart<K> {
    /// Rows of this page. Load one more, to learn whether there is a next page.
    pub limit: i64,
    /// Key of the last row of the page before; `None` on the first page.
    pub after: Option<K>,
    binding: [u8; 32],
    macs: Arc<Macs>,
}

impl<K: Serialize> PageStart<K> {
    /// Cuts the surplus row off and makes the token of the next page, empty at the end of the
    /// list. `rows` are up to `limit + 1` in the list's order.
    pub fn close<R>(
        &self,
        mut rows: Vec<R>,
        key: impl Fn(&R) -> K,
    ) -> Result<(Vec<R>, String), PageError> {
        let limit = usize::try_from(self.limit).unwrap_or(0);
        if rows.len() <= limit {
            return Ok((rows, String::new()));
        }
        rows.truncate(limit);
        let next = rows.last().map(|row| self.token(&key(row))).transpose()?;
        Ok((rows, next.unwrap_or_default()))
    }

    fn token(&self, key: &K) -> Result<String, PageError> {
        let key = serde_json::to_vec(key).map_err(|_| PageError::Key)?;
        let signed = framed(&[&[LAYOUT], &self.binding, &key]);
        let tag = self.macs.sign(Purpose::PageToken, &signed);
        Ok(URL_SAFE_NO_PAD.encode([&[LAYOUT][..], &tag, &key].concat()))
    }
}

/// Which way a field is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

impl Direction {
    /// The id behind which the first page of a list ordered by `id` begins.
    #[must_use]
    pub fn before_all(self) -> Uuid {
        match self {
            Self::Ascending => Uuid::nil(),
            Self::Descending => Uuid::max(),
        }
    }
}

/// Why an `order_by` is refused. Repeats nothing of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Not a comma-separated list of `field` or `field desc`.
    #[error("order_by is malformed")]
    Malformed,
    /// A field by which this list cannot be ordered.
    #[error("order_by names a field that this list cannot be ordered by")]
    UnknownField,
    /// A field that is named twice.
    #[error("order_by names a field twice")]
    Duplicate,
}

impl From<OrderError> for Error {
    fn from(error: OrderError) -> Self {
        let remedy = match error {
            OrderError::Malformed => "must be a list such as \"create_time desc, id\"",
            OrderError::UnknownField => "must name fields that this list can be ordered by",
            OrderError::Duplicate => "must name each field once",
        };
        Self::field("order_by", remedy)
    }
}

/// Reads the `order_by` of a list that can be ordered by `id` alone.
pub fn order_by_id(order_by: &str) -> Result<Direction, Error> {
    match parse_order(order_by, &["id"])?[..] {
        [(_, direction)] => Ok(direction),
        _ => Err(Error::field("order_by", "must be \"id\" or \"id desc\"")),
    }
}

/// Reads the `order_by` of a list that can be ordered by `id` alone and shows the newest first.
pub fn newest_first(order_by: &str) -> Result<Direction, Error> {
    if order_by.trim().is_empty() { Ok(Direction::Descending) } else { order_by_id(order_by) }
}

/// Which rows of a list ordered by `id` a page holds.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Up or down.
    pub direction: Direction,
    /// The last row of the page before.
    pub after: Uuid,
    /// Most rows.
    pub limit: i64,
}

impl Place {
    /// The end of a query whose condition has begun.
    pub fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let ascending = self.direction == Direction::Ascending;
        out.push_sql(if ascending { " AND id > " } else { " AND id < " });
        out.push_bind_param::<sql_types::Uuid, _>(&self.after)?;
        out.push_sql(if ascending { " ORDER BY id LIMIT " } else { " ORDER BY id DESC LIMIT " });
        out.push_bind_param::<sql_types::BigInt, _>(&self.limit)
    }
}

/// Reads an `order_by` in the syntax of AIP-132: `create_time desc, id`. Empty means by `id`,
/// ascending. A finder must add `id` as its last key where it is not named, or rows with equal
/// keys fall between two pages.
pub fn parse_order(
    order_by: &str,
    allowed: &[&'static str],
) -> Result<Vec<(&'static str, Direction)>, OrderError> {
    if order_by.len() > MAX_ORDER {
        return Err(OrderError::Malformed);
    }
    if order_by.trim().is_empty() {
        return Ok(vec![("id", Direction::Ascending)]);
    }
    let mut order: Vec<(&'static str, Direction)> = Vec::new();
    for term in order_by.split(',') {
        let mut words = term.split_ascii_whitespace();
        let (name, direction) = match (words.next(), words.next(), words.next()) {
            (Some(name), None | Some("asc"), None) => (name, Direction::Ascending),
            (Some(name), Some("desc"), None) => (name, Direction::Descending),
            _ => return Err(OrderError::Malformed),
        };
        let field = allowed.iter().find(|field| **field == name).ok_or(OrderError::UnknownField)?;
        if order.iter().any(|(seen, _)| seen == field) {
            return Err(OrderError::Duplicate);
        }
        order.push((field, direction));
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::kernel::crypto::keys::MasterKey;
    use jiff::Timestamp;
    use uuid::Uuid;

    fn pages() -> Pages {
        Pages::new(Arc::new(Macs::new(&[MasterKey::new(1, [7; 32])]).unwrap()))
    }

    fn request<'a>(page_token: &'a str, bound_to: &'a [&'a [u8]]) -> PageRequest<'a> {
        PageRequest { list: "appointments", page_size: 2, page_token, bound_to }
    }

    fn token_after(key: (Timestamp, Uuid)) -> String {
        let page = pages().open(&request("", &[b"filter", b"ann"])).unwrap();
        page.close(vec![key; 3], |row| *row).unwrap().1
    }

    #[test]
    fn walks_a_list_to_its_end() {
        let all: Vec<Uuid> = (1..=5).map(Uuid::from_u128).collect();
        let (mut seen, mut token, mut sizes) = (Vec::new(), String::new(), Vec::new());
        loop {
            let page = pages().open::<Uuid>(&request(&token, &[b"f"])).unwrap();
            let want = usize::try_from(page.limit).unwrap() + 1;
            let rest = all.iter().filter(|id| Some(**id) > page.after);
            let rows: Vec<Uuid> = rest.take(want).copied().collect();
            let (rows, next) = page.close(rows, |id| *id).unwrap();
            sizes.push(rows.len());
            seen.extend(rows);
            token = next;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!((seen, sizes), (all, vec![2, 2, 1]));
    }

    #[test]
    fn sizes_are_defaulted_and_cut() {
        for (asked, given) in [(0, 5), (1, 1), (25, 25), (26, 25), (i32::MAX, 25)] {
            let request = PageRequest { page_size: asked, ..request("", &[]) };
            assert_eq!(pages().open::<Uuid>(&request).unwrap().limit, given);
        }
        let negative = PageRequest { page_size: -1, ..request("", &[]) };
        assert_eq!(pages().open::<Uuid>(&negative).unwrap_err(), PageError::NegativeSize);
    }

    #[test]
    fn composite_keys_come_back_exactly() {
        let key = (Timestamp::from_microsecond(1_795_000_000_123_456).unwrap(), Uuid::from_u128(3));
        let token = token_after(key);
        let page = pages().open::<(Timestamp, Uuid)>(&request(&token, &[b"filter", b"ann"]));
        assert_eq!(page.unwrap().after, Some(key));
    }

    #[test]
    fn tokens_are_bound_to_list_filter_and_caller() {
        let token = token_after((Timestamp::UNIX_EPOCH, Uuid::nil()));
        let elsewhere: [&[&[u8]]; 4] =
            [&[b"other", b"ann"], &[b"filter", b"bob"], &[b"filterann"], &[b"filte", b"rann"]];
        for bound_to in elsewhere {
            let moved = pages().open::<(Timestamp, Uuid)>(&request(&token, bound_to));
            assert_eq!(moved.unwrap_err(), PageError::BadToken);
        }
        let list = PageRequest { list: "journals", ..request(&token, &[b"filter", b"ann"]) };
        assert_eq!(pages().open::<(Timestamp, Uuid)>(&list).unwrap_err(), PageError::BadToken);
        let typed = pages().open::<Uuid>(&request(&token, &[b"filter", b"ann"]));
        assert_eq!(typed.unwrap_err(), PageError::BadToken);
        let mut foreign = pages();
        foreign.macs = Arc::new(Macs::new(&[MasterKey::new(1, [8; 32])]).unwrap());
        let forged = foreign.open::<(Timestamp, Uuid)>(&request(&token, &[b"filter", b"ann"]));
        assert_eq!(forged.unwrap_err(), PageError::BadToken);
    }

    #[test]
    fn every_changed_character_and_junk_is_refused() {
        let token = token_after((Timestamp::UNIX_EPOCH, Uuid::nil()));
        let mut bad = vec!["!".to_owned(), "AQ".to_owned(), "A".repeat(3_000), format!("{token}=")];
        for at in 0..token.len() {
            let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
            bad.push([&token[..at], other, &token[at + 1..]].concat());
            bad.push(token[..at.max(1)].to_owned());
        }
        for token in bad {
            let page = pages().open::<(Timestamp, Uuid)>(&request(&token, &[b"filter", b"ann"]));
            assert_eq!(page.unwrap_err(), PageError::BadToken, "{token}");
        }
    }

    #[test]
    fn order_is_read_as_aip_132_says() {
        use Direction::{Ascending, Descending};
        fn parse(text: &str) -> Result<Vec<(&'static str, Direction)>, OrderError> {
            parse_order(text, &["id", "create_time", "price.amount"])
        }
        assert_eq!(parse(" "), Ok(vec![("id", Ascending)]));
        assert_eq!(
            parse("  create_time   desc ,price.amount,id asc"),
            Ok(vec![("create_time", Descending), ("price.amount", Ascending), ("id", Ascending)])
        );
        for text in ["id desc asc", "id,", ",", "id DESC", "id;desc", &"id,".repeat(100)] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("password"), Err(OrderError::UnknownField));
        assert_eq!(parse("id, id desc"), Err(OrderError::Duplicate));
    }
}
