//! What those who run the platform do with accounts, and how accounts end.

pub(in crate::identity) mod admins;
pub(in crate::identity) mod blocking;
pub(in crate::identity) mod deleting;
pub(in crate::identity) mod last_message;
pub(in crate::identity) mod managing;
pub(in crate::identity) mod superusers;
pub(in crate::identity) mod user_query;
pub(in crate::identity) mod users;
