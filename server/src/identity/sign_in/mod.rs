//! How people prove who they are: passwords, codes, second factors, and what guards them.

pub(in crate::identity) mod attempts;
pub(in crate::identity) mod challenges;
pub(in crate::identity) mod changing_password;
pub(in crate::identity) mod code_limits;
pub(in crate::identity) mod codes;
pub(in crate::identity) mod otp;
pub(in crate::identity) mod pacing;
pub mod passwords;
pub(in crate::identity) mod recovering;
pub(in crate::identity) mod second_factor;
pub(in crate::identity) mod signing_in;
pub(in crate::identity) mod totp;
