//! Who is calling, and what they may call.

mod token_cache;
pub mod tokens;
