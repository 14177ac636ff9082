//! Files that people hand in: how they are checked before they are kept.

pub mod inspect;
