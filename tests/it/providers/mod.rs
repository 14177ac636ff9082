//! Messages on their way out, against peers that are not ours.

mod mail;
mod push;
mod sms;
