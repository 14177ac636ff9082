//! What goes away, and comes back: the database, its standby, the server itself.

mod database;
mod killed;
mod load;
mod standby;
