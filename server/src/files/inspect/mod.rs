//! Checks of uploaded documents: what a file claims to be, what it is, and what may be kept of it.
//!
//! [`inspect`] is pure and synchronous. It reads the kind from the bytes, compares it with the
//! declared media type and the extension, and then:
//! - images: decoded in full under limits, and rewritten without loss and without metadata
//!   (EXIF, GPS, XMP, comments, thumbnails) and without anything behind the end marker. The EXIF
//!   orientation goes too, so a client that uploads photographs has to turn the pixels itself;
//! - PDF: parsed, and refused when it is encrypted, cut off, followed by something else, or
//!   carries scripts, actions, embedded files or forms that run code.
//!
//! What is kept is never also a ZIP archive or a PDF for a reader that looks for those.
//!
//! Limits of this module: it does not bound the size of its input (the caller does, while the
//! upload streams in) and it parses in the process that calls it. The caller runs it on a blocking
//! thread, where a panic becomes an error; a hostile PDF can still cost memory and time in the
//! parser, which only a child process under resource limits would contain.

mod image;
mod pdf;

/// The most pixels an image may have: 40 million.
pub const MAX_PIXELS: u64 = 40_000_000;
/// The most memory a decoder may take for one image, in bytes: 256 MiB.
pub const MAX_DECODE_BYTES: u64 = 256 * 1024 * 1024;

/// A ZIP comment is at most 65,535 bytes long and the record before it has 22: an archive's end
/// record starts within this many bytes of the end of a file, or readers do not find it.
const ZIP_END_WINDOW: usize = 65_557;
/// Readers look for a PDF header in the first 1,024 bytes of a file.
const PDF_HEADER_WINDOW: usize = 1024;
/// Longer or stranger endings are part of the name, not an extension.
const MAX_EXTENSION: usize = 10;

/// The kinds of document that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Portable Document Format.
    Pdf,
    /// JPEG, baseline or progressive.
    Jpeg,
    /// Portable Network Graphics; of an animation only the still image is kept.
    Png,
}

impl FileKind {
    /// The media type under which such a file is stored and handed out.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }

    /// The extensions that agree with this kind, in lower case, the usual one first.
    #[must_use]
    pub const fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Pdf => &["pdf"],
            Self::Jpeg => &["jpg", "jpeg", "jpe", "jfif"],
            Self::Png => &["png"],
        }
    }

    fn declared(media_type: &str) -> Option<Self> {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "application/pdf" => Some(Self::Pdf),
            // The second is no registered type, but Android file pickers say it.
            "image/jpeg" | "image/jpg" => Some(Self::Jpeg),
            "image/png" => Some(Self::Png),
            _ => None,
        }
    }

    fn found(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"%PDF-") {
            Some(Self::Pdf)
        } else if bytes.starts_with(&[0xFF, 0xD8, 0xFF]) {
            Some(Self::Jpeg)
        } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(Self::Png)
        } else {
            None
        }
    }
}

/// A document that passed every check.
#[derive(Clone, PartialEq, Eq)]
pub struct Inspected {
    /// What it is, judged from its bytes.
    pub kind: FileKind,
    /// What is to be stored: a PDF as it came, an image rewritten without metadata.
    pub bytes: Vec<u8>,
    /// Width and height of an image, in pixels; none for a PDF.
    pub pixels: Option<(u32, u32)>,
}

impl std::fmt::Debug for Inspected {
    // The bytes are a person's document: they must not reach a log through `{:?}`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inspected")
            .field("kind", &self.kind)
            .field("length", &self.bytes.len())
            .field("pixels", &self.pixels)
            .finish()
    }
}

/// What a PDF must not carry: whatever acts when it is opened, or brings another file along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActiveContent {
    /// A script (`/JavaScript`, `/JS`).
    JavaScript,
    /// Something done when the document is opened (`/OpenAction`).
    OpenAction,
    /// Something done on another event (`/AA`).
    AdditionalActions,
    /// Starting a program (`/Launch`).
    Launch,
    /// Another file inside (`/EmbeddedFile`, `/EmbeddedFiles`, `/EF`).
    EmbeddedFile,
    /// Flash, video or 3D annotations (`/RichMedia`).
    RichMedia,
    /// An XML form (`/XFA`).
    Xfa,
}

/// Why a file is refused. It names the check that failed and repeats nothing of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The content, or the declared media type, is none of the accepted kinds.
    #[error("the file is neither PDF, JPEG nor PNG")]
    UnknownType,
    /// The content is another kind than the media type says.
    #[error("the file was declared as {} but is {}", declared.media_type(), found.media_type())]
    TypeMismatch {
        /// What the upload said.
        declared: FileKind,
        /// What the bytes are.
        found: FileKind,
    },
    /// The file name ends in an extension of another kind.
    #[error("the extension of the file name does not belong to this kind of file")]
    ExtensionMismatch,
    /// The header is damaged, or does not stand at the first byte.
    #[error("the header is damaged or does not stand at the first byte")]
    BadHeader,
    /// The end of the file is missing.
    #[error("the file is cut off")]
    Truncated,
    /// Something follows the end of the document.
    #[error("something follows the end of the document")]
    TrailingBytes,
    /// The file can also be read as another format.
    #[error("the file can also be read as another format")]
    Polyglot,
    /// The file cannot be read as what it says it is.
    #[error("the file cannot be read")]
    NotDecodable,
    /// The image has more than [`MAX_PIXELS`], or needs more memory than [`MAX_DECODE_BYTES`].
    #[error("the image has too many pixels")]
    TooManyPixels,
    /// The compressed parts of the PDF unpack to more than is allowed.
    #[error("the file unpacks to too much data")]
    ExpandsTooMuch,
    /// The PDF is encrypted, with a password or without.
    #[error("the PDF is encrypted")]
    Encrypted,
    /// The PDF carries a script, an action, an embedded file or a form that runs code.
    #[error("the PDF carries active content")]
    ActiveContent {
        /// The first such thing found.
        what: ActiveContent,
    },
}

impl Refusal {
    /// The stable name of the check that failed, for the metadata of an error.
    #[must_use]
    pub const fn check(&self) -> &'static str {
        match self {
            Self::UnknownType => "UNKNOWN_TYPE",
            Self::TypeMismatch { .. } => "TYPE_MISMATCH",
            Self::ExtensionMismatch => "EXTENSION_MISMATCH",
            Self::BadHeader => "BAD_HEADER",
            Self::Truncated => "TRUNCATED",
            Self::TrailingBytes => "TRAILING_BYTES",
            Self::Polyglot => "POLYGLOT",
            Self::NotDecodable => "NOT_DECODABLE",
            Self::TooManyPixels => "TOO_MANY_PIXELS",
            Self::ExpandsTooMuch => "EXPANDS_TOO_MUCH",
            Self::Encrypted => "PDF_ENCRYPTED",
            Self::ActiveContent { what } => match what {
                ActiveContent::JavaScript => "PDF_JAVASCRIPT",
                ActiveContent::OpenAction => "PDF_OPEN_ACTION",
                ActiveContent::AdditionalActions => "PDF_ADDITIONAL_ACTIONS",
                ActiveContent::Launch => "PDF_LAUNCH",
                ActiveContent::EmbeddedFile => "PDF_EMBEDDED_FILE",
                ActiveContent::RichMedia => "PDF_RICH_MEDIA",
                ActiveContent::Xfa => "PDF_XFA",
            },
        }
    }
}

/// Checks an upload and returns what is to be stored of it.
///
/// `declared_media_type` may carry parameters, which are ignored. `file_name` is text from the
/// uploader: only its extension is looked at, and a name without one contradicts nothing.
pub fn inspect(
    declared_media_type: &str,
    file_name: &str,
    bytes: Vec<u8>,
) -> Result<Inspected, Refusal> {
    let declared = FileKind::declared(declared_media_type).ok_or(Refusal::UnknownType)?;
    let Some(found) = FileKind::found(&bytes) else {
        let late_header = declared == FileKind::Pdf && has_pdf_header(&bytes);
        return Err(if late_header { Refusal::BadHeader } else { Refusal::UnknownType });
    };
    if declared != found {
        return Err(Refusal::TypeMismatch { declared, found });
    }
    if extension(file_name).is_some_and(|ext| !found.extensions().contains(&ext.as_str())) {
        return Err(Refusal::ExtensionMismatch);
    }
    let inspected = match found {
        FileKind::Pdf => {
            pdf::check(&bytes)?;
            Inspected { kind: found, bytes, pixels: None }
        }
        FileKind::Jpeg => image::inspect_jpeg(&bytes)?,
        FileKind::Png => image::inspect_png(&bytes)?,
    };
    let also_pdf = found != FileKind::Pdf && has_pdf_header(&inspected.bytes);
    if also_pdf || ends_like_zip(&inspected.bytes) {
        return Err(Refusal::Polyglot);
    }
    Ok(inspected)
}

/// The extension of a name, in lower case. Dates and titles ("scan 12.03.2024", "Dr. Rao") have
/// none.
fn extension(file_name: &str) -> Option<String> {
    let name = file_name.rsplit(['/', '\\']).next()?;
    let (_, extension) = name.rsplit_once('.')?;
    let plausible = extension.len() <= MAX_EXTENSION
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && extension.bytes().any(|byte| byte.is_ascii_alphabetic());
    plausible.then(|| extension.to_ascii_lowercase())
}

fn has_pdf_header(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(PDF_HEADER_WINDOW)];
    start.windows(5).any(|window| window == b"%PDF-")
}

/// Whether a ZIP reader would find an archive: an end record near the end of the file with a
/// central directory right before it, as readers that allow for leading bytes look for it.
fn ends_like_zip(bytes: &[u8]) -> bool {
    let tail = bytes.len().saturating_sub(ZIP_END_WINDOW);
    (tail..bytes.len()).any(|end| {
        let Some(record) = bytes.get(end..end + 22).filter(|r| r.starts_with(b"PK\x05\x06")) else {
            return false;
        };
        let directory = u32::from_le_bytes([record[12], record[13], record[14], record[15]]);
        usize::try_from(directory)
            .ok()
            .and_then(|size| end.checked_sub(size))
            .is_some_and(|start| bytes[start..].starts_with(b"PK\x01\x02"))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn png() -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        ::image::DynamicImage::new_rgb8(3, 2)
            .write_to(&mut bytes, ::image::ImageFormat::Png)
            .unwrap();
        bytes.into_inner()
    }

    fn pdf() -> Vec<u8> {
        let start = "%PDF-1.4\n";
        let body = "1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n\
                    2 0 obj\n<</Type/Pages/Kids[]/Count 0>>\nendobj\n";
        let second = start.len() + body.find("2 0 obj").unwrap();
        format!(
            "{start}{body}xref\n0 3\n0000000000 65535 f \n{:010} 00000 n \n{second:010} 00000 n \n\
             trailer\n<</Size 3/Root 1 0 R>>\nstartxref\n{}\n%%EOF\n",
            start.len(),
            start.len() + body.len()
        )
        .into_bytes()
    }

    #[test]
    fn what_agrees_is_taken() {
        let inspected = inspect("application/pdf", "report.pdf", pdf()).unwrap();
        assert_eq!((inspected.kind, inspected.bytes), (FileKind::Pdf, pdf()));
        assert_eq!(inspect("image/png; a=b", "a.png", png()).unwrap().pixels, Some((3, 2)));
    }

    #[test]
    fn kind_type_and_extension_have_to_agree() {
        assert_eq!(inspect("image/png", "scan.pdf", png()), Err(Refusal::ExtensionMismatch));
        let mismatch = Refusal::TypeMismatch { declared: FileKind::Png, found: FileKind::Pdf };
        assert_eq!(inspect("image/png", "scan.png", pdf()), Err(mismatch));
        assert_eq!(inspect("image/svg+xml", "a.svg", png()), Err(Refusal::UnknownType));
        let late = [b"junk", &pdf()[..]].concat();
        assert_eq!(inspect("application/pdf", "a.pdf", late), Err(Refusal::BadHeader));
    }

    #[test]
    fn other_formats_are_refused() {
        for content in [
            &b"<svg xmlns='http://www.w3.org/2000/svg'/>"[..],
            b"<!doctype html><script>1</script>",
            b"PK\x03\x04",
            b"GIF89a",
            b"",
        ] {
            for (media_type, name) in [("image/png", "a.png"), ("application/pdf", "a.pdf")] {
                let refused = inspect(media_type, name, content.to_vec());
                assert_eq!(refused, Err(Refusal::UnknownType));
            }
        }
    }

    #[test]
    fn odd_names_are_only_text() {
        let long = format!("{}.PNG", "x".repeat(10_000));
        for name in [
            "../../etc/passwd",
            "/abs/../x.png",
            "C:\\scans\\x.PNG",
            "no extension",
            "",
            "..",
            "nul\0.png",
            "scan 12.03.2024",
            "Dr. Rao",
            ".png",
            &long,
        ] {
            assert!(inspect("image/png", name, png()).is_ok(), "{name:?}");
        }
        for name in ["x.png.exe", "x.PDF", "..\\x.pdf", "gnp.\u{202e}exe.jpg"] {
            let refused = inspect("image/png", name, png());
            assert_eq!(refused, Err(Refusal::ExtensionMismatch), "{name:?}");
        }
    }

    #[test]
    fn a_pdf_that_is_also_an_archive_is_refused() {
        let directory = b"PK\x01\x02 whatever stands in it";
        let length = u32::try_from(directory.len()).unwrap().to_le_bytes();
        let record = [b"PK\x05\x06\0\0\0\0\x01\0\x01\0", &length[..], &[0; 6]].concat();
        let good = String::from_utf8(pdf()).unwrap();
        let (start, end) = good.split_once("trailer").unwrap();
        let archive =
            [start.as_bytes(), b"%", directory, &record, b"\ntrailer", end.as_bytes()].concat();
        assert_eq!(inspect("application/pdf", "a.pdf", archive), Err(Refusal::Polyglot));
    }

    #[test]
    fn check_names_are_stable() {
        let script = Refusal::ActiveContent { what: ActiveContent::JavaScript };
        assert_eq!(script.check(), "PDF_JAVASCRIPT");
        assert_eq!(Refusal::TrailingBytes.check(), "TRAILING_BYTES");
    }
}
