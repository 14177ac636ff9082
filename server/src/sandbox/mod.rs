//! The sandbox: what a development server shows beside its work. Owns nothing; no other server has
//! it.

mod listing;
mod service;

pub use service::Service;
