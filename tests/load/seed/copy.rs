//! Rows into a table by `COPY`.

use std::fmt::{self, Display, Write as _};
use std::pin::Pin;

use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio_postgres::{Client, CopyInSink};

use crate::Result;

/// Bytes that are gathered before they are sent.
const PART: usize = 256 * 1024;

/// A column's value.
pub type Value<'a> = &'a (dyn Display + Sync);

/// A table that is being filled.
pub struct Copy {
    sink: Pin<Box<CopyInSink<Bytes>>>,
    text: String,
}

impl Copy {
    /// Begins to fill these columns of a table: `"patients (id, phone)"`.
    pub async fn into(client: &Client, columns: &str) -> Result<Self> {
        let sink = client.copy_in(&format!("COPY {columns} FROM STDIN")).await?;
        Ok(Self { sink: Box::pin(sink), text: String::with_capacity(PART + 4_096) })
    }

    /// Adds a row.
    pub async fn row(&mut self, values: &[Value<'_>]) -> Result<()> {
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                self.text.push('\t');
            }
            write!(Escaped(&mut self.text), "{value}")?;
        }
        self.text.push('\n');
        if self.text.len() >= PART {
            self.send().await?;
        }
        Ok(())
    }

    /// Ends it; the number of rows.
    pub async fn finish(mut self) -> Result<u64> {
        self.send().await?;
        Ok(self.sink.as_mut().finish().await?)
    }

    async fn send(&mut self) -> Result<()> {
        let full = std::mem::replace(&mut self.text, String::with_capacity(PART + 4_096));
        Ok(self.sink.send(Bytes::from(full)).await?)
    }
}

/// Writes what `COPY` would take for its own signs as text.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '\t' => self.0.push_str("\\t"),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}
