//! Messages on their way out, against peers that are not ours.

mod authorities;
mod mail;
mod push;
mod sms;
