//! The place of a value inside a message.

use std::fmt;

/// The longest text key that a path shows.
const MAX_SHOWN_KEY: usize = 64;

/// From the message down to the value at hand.
#[derive(Debug, Default)]
pub(super) struct Path(pub(super) Vec<Segment>);

/// One step of a path.
#[derive(Debug)]
pub(super) enum Segment {
    Field(&'static str),
    Index(usize),
    Key(String),
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Field(name) if position == 0 => f.write_str(name)?,
                Segment::Field(name) => write!(f, ".{name}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) => write!(f, "[{key}]")?,
            }
        }
        Ok(())
    }
}

/// A key of a map, as a path shows it.
pub trait MapKey {
    /// The key, or `…` when it might hold personal data.
    fn shown(&self) -> String;
}

impl MapKey for String {
    fn shown(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if (1..=MAX_SHOWN_KEY).contains(&self.len()) && self.chars().all(plain) {
            format!("{self:?}")
        } else {
            "…".to_owned()
        }
    }
}

macro_rules! plain_keys {
    ($($key:ty),*) => {$(
        impl MapKey for $key {
            fn shown(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
plain_keys!(bool, i32, i64, u32, u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_like_an_expression() {
        let path = Path(vec![
            Segment::Field("items"),
            Segment::Index(2),
            Segment::Field("labels"),
            Segment::Key("colour".to_owned().shown()),
            Segment::Field("text"),
        ]);
        assert_eq!(path.to_string(), r#"items[2].labels["colour"].text"#);
    }

    #[test]
    fn keys_that_may_be_personal_stay_hidden() {
        assert_eq!("anna@example.org".to_owned().shown(), "…");
        assert_eq!(String::new().shown(), "…");
        assert_eq!("a".repeat(65).shown(), "…");
        assert_eq!(7_i32.shown(), "7");
    }
}
