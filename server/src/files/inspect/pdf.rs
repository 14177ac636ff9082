//! PDF: parsed whole, and searched for everything that acts or brings another file along.
//!
//! A PDF is kept as it came, so two things matter: that nothing is overlooked, and that the
//! search itself cannot be turned against the server.
//! - The file is read twice, once by its cross-reference table and once by scanning for objects,
//!   because viewers do the one or the other, and both readings have to be clean.
//! - Object streams are not expanded by the parser, which would let a few kilobytes become
//!   gigabytes of objects. They are unpacked here under one budget and searched as bytes.
//! - An object that the cross-reference table lists and another object points to has to be
//!   readable; what this parser skips, a viewer might not.

use lopdf::{Dictionary, Document, LoadOptions, Object, ObjectId, Stream, xref::XrefEntry};

use super::{ActiveContent, Refusal};

/// What one cross-reference stream may unpack to, in bytes. Each entry has some five bytes, so
/// this is far more than a document of the allowed size needs.
const MAX_XREF_BYTES: usize = 4 * 1024 * 1024;
/// What all object streams of a file may unpack to together, in bytes.
const MAX_OBJECT_STREAM_BYTES: usize = 64 * 1024 * 1024;
/// A forbidden name at least this long does not occur in compressed data by chance, so the raw
/// bytes can be searched for it. This finds what both readings pass over: the first of two equal
/// keys, and objects of earlier revisions.
const MIN_TELLING_NAME: usize = 6;
const END_OF_FILE: &[u8] = b"%%EOF";
/// Marks a stream whose objects the parser is to leave alone.
const HELD_BACK: &[u8] = b"clinicdHeldBack";

/// Checks a file that begins with `%PDF-`.
pub(super) fn check(bytes: &[u8]) -> Result<(), Refusal> {
    check_frame(bytes)?;
    search_names(bytes, MIN_TELLING_NAME)?;
    for force_reconstruct in [false, true] {
        let document = load(bytes, force_reconstruct)?;
        check_document(&document)?;
    }
    Ok(())
}

/// The header names a version, and nothing but white space follows the last end mark.
fn check_frame(bytes: &[u8]) -> Result<(), Refusal> {
    match bytes.get(5..8) {
        Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit() => {}
        Some(_) => return Err(Refusal::BadHeader),
        None => return Err(Refusal::Truncated),
    }
    let end = bytes
        .windows(END_OF_FILE.len())
        .rposition(|window| window == END_OF_FILE)
        .ok_or(Refusal::Truncated)?;
    let tail = &bytes[end + END_OF_FILE.len()..];
    if tail.iter().all(|&byte| is_space(byte)) { Ok(()) } else { Err(Refusal::TrailingBytes) }
}

fn load(bytes: &[u8], force_reconstruct: bool) -> Result<Document, Refusal> {
    let options = LoadOptions {
        filter: Some(hold_back_object_streams),
        max_decompressed_size: Some(MAX_XREF_BYTES),
        force_reconstruct,
        ..LoadOptions::default()
    };
    Document::load_mem_with_options(bytes, options).map_err(|error| match error {
        lopdf::Error::Decompress(lopdf::DecompressError::MemoryLimitExceeded { .. }) => {
            Refusal::ExpandsTooMuch
        }
        lopdf::Error::Decryption(_) | lopdf::Error::InvalidPassword => Refusal::Encrypted,
        _ => Refusal::NotDecodable,
    })
}

#[expect(clippy::unnecessary_wraps, reason = "the parser's type of a filter")]
fn hold_back_object_streams(id: ObjectId, object: &mut Object) -> Option<(ObjectId, Object)> {
    if let Object::Stream(stream) = object
        && stream.dict.has_type(b"ObjStm")
    {
        stream.dict.set("Type", Object::Name(HELD_BACK.to_vec()));
    }
    // The parser only asks whether there is an answer; it keeps the object it lent.
    Some((id, Object::Null))
}

fn check_document(document: &Document) -> Result<(), Refusal> {
    if document.is_encrypted() || document.was_encrypted() {
        return Err(Refusal::Encrypted);
    }
    let root = document.trailer.get(b"Root").and_then(Object::as_reference);
    let root = root.map_err(|_| Refusal::NotDecodable)?;
    if document.reference_table.get(root.0).is_none() {
        return Err(Refusal::NotDecodable);
    }
    check_containers(document)?;
    check_dictionary(document, &document.trailer)?;
    let mut budget = MAX_OBJECT_STREAM_BYTES;
    for object in document.objects.values() {
        check_object(document, object)?;
        if let Object::Stream(stream) = object
            && is_object_stream(stream)
        {
            check_object_stream(stream, &mut budget)?;
        }
    }
    Ok(())
}

/// Every object stream that the cross-reference table names was loaded, and looks like one.
fn check_containers(document: &Document) -> Result<(), Refusal> {
    for entry in document.reference_table.entries.values() {
        let XrefEntry::Compressed { container, .. } = entry else { continue };
        let loaded = document.objects.get(&(*container, 0)).and_then(|held| held.as_stream().ok());
        if !loaded.is_some_and(is_object_stream) {
            return Err(Refusal::NotDecodable);
        }
    }
    Ok(())
}

/// Whatever its `/Type` says: some viewers go by these two keys alone.
fn is_object_stream(stream: &Stream) -> bool {
    stream.dict.has_type(HELD_BACK) || (stream.dict.has(b"N") && stream.dict.has(b"First"))
}

fn check_dictionary(document: &Document, dictionary: &Dictionary) -> Result<(), Refusal> {
    for (key, value) in dictionary {
        refuse_name(key)?;
        check_object(document, value)?;
    }
    Ok(())
}

/// Recurses as deep as the parser lets objects nest, which is 100 levels.
fn check_object(document: &Document, object: &Object) -> Result<(), Refusal> {
    match object {
        Object::Name(name) => refuse_name(name),
        Object::Array(items) => items.iter().try_for_each(|item| check_object(document, item)),
        Object::Dictionary(dictionary) => check_dictionary(document, dictionary),
        Object::Stream(stream) => check_dictionary(document, &stream.dict),
        Object::Reference((number, _)) => check_loaded(document, *number),
        _ => Ok(()),
    }
}

fn check_loaded(document: &Document, number: u32) -> Result<(), Refusal> {
    let listed = matches!(document.reference_table.get(number), Some(XrefEntry::Normal { .. }));
    let loaded = || document.objects.range((number, 0)..=(number, u16::MAX)).next().is_some();
    if listed && !loaded() { Err(Refusal::NotDecodable) } else { Ok(()) }
}

fn check_object_stream(stream: &Stream, budget: &mut usize) -> Result<(), Refusal> {
    let content = stream.get_plain_content_with_limit(*budget).map_err(|error| match error {
        lopdf::Error::Decompress(lopdf::DecompressError::MemoryLimitExceeded { .. }) => {
            Refusal::ExpandsTooMuch
        }
        _ => Refusal::NotDecodable,
    })?;
    *budget -= content.len().min(*budget);
    search_names(&content, 0)
}

/// Refuses the forbidden names of at least `min_length` bytes, wherever they stand. Strings and
/// comments are searched like the rest: an object may be made to start inside one.
fn search_names(bytes: &[u8], min_length: usize) -> Result<(), Refusal> {
    let mut rest = bytes;
    while let Some(start) = rest.iter().position(|&byte| byte == b'/') {
        rest = &rest[start + 1..];
        let length = rest.iter().position(|&byte| !is_regular(byte)).unwrap_or(rest.len());
        if length >= min_length {
            refuse_name(&unescape(&rest[..length]))?;
        }
        rest = &rest[length..];
    }
    Ok(())
}

/// Resolves `#4A` in a name, which is a way to write `J`.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        let escape = rest.get(1..3).filter(|_| byte == b'#').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        plain.push(escape.unwrap_or(byte));
        rest = if escape.is_some() { &rest[3..] } else { after };
    }
    plain
}

fn refuse_name(name: &[u8]) -> Result<(), Refusal> {
    let what = match name {
        b"JavaScript" | b"JS" => ActiveContent::JavaScript,
        b"OpenAction" => ActiveContent::OpenAction,
        b"AA" => ActiveContent::AdditionalActions,
        b"Launch" => ActiveContent::Launch,
        b"EmbeddedFile" | b"EmbeddedFiles" | b"EF" => ActiveContent::EmbeddedFile,
        b"XFA" => ActiveContent::Xfa,
        _ if name.starts_with(b"RichMedia") => ActiveContent::RichMedia,
        _ => return Ok(()),
    };
    Err(Refusal::ActiveContent { what })
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b'\0' | b'\t' | b'\n' | b'\x0c' | b'\r' | b' ')
}

/// Whether a byte can be part of a name.
const fn is_regular(byte: u8) -> bool {
    !is_space(byte)
        && !matches!(byte, b'(' | b')' | b'<' | b'>' | b'[' | b']' | b'{' | b'}' | b'/' | b'%')
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use lopdf::{EncryptionState, EncryptionVersion, Permissions, SaveOptions, dictionary};

    use super::*;

    /// One empty page; `extra` goes into the catalog.
    fn document(extra: &Dictionary) -> Document {
        let mut document = Document::with_version("1.7");
        let pages = document.new_object_id();
        let page = document.add_object(dictionary! {
            "Type" => "Page", "Parent" => pages,
            "MediaBox" => vec![0.into(), 0.into(), 595.into(), 842.into()],
        });
        document.objects.insert(
            pages,
            dictionary! { "Type" => "Pages", "Kids" => vec![page.into()], "Count" => 1 }.into(),
        );
        let mut catalog = dictionary! { "Type" => "Catalog", "Pages" => pages };
        catalog.extend(extra);
        let root = document.add_object(catalog);
        document.trailer.set("Root", root);
        document
    }

    fn plain(mut document: Document) -> Vec<u8> {
        let mut bytes = Vec::new();
        document.save_to(&mut bytes).unwrap();
        bytes
    }

    fn with_object_streams(mut document: Document) -> Vec<u8> {
        let options =
            SaveOptions::builder().use_object_streams(true).use_xref_streams(true).build();
        let mut bytes = Vec::new();
        document.save_with_options(&mut bytes, options).unwrap();
        bytes
    }

    fn active(what: ActiveContent) -> Result<(), Refusal> {
        Err(Refusal::ActiveContent { what })
    }

    #[test]
    fn plain_documents_pass() {
        assert_eq!(check(&plain(document(&Dictionary::new()))), Ok(()));
        assert_eq!(check(&with_object_streams(document(&Dictionary::new()))), Ok(()));
    }

    #[test]
    fn active_content_is_refused_also_in_object_streams() {
        let script = || dictionary! { "S" => "JavaScript", "JS" => Object::string_literal("1") };
        let cases = [
            (dictionary! { "Names" => script() }, ActiveContent::JavaScript),
            (dictionary! { "OpenAction" => vec![1.into()] }, ActiveContent::OpenAction),
            (dictionary! { "AA" => Dictionary::new() }, ActiveContent::AdditionalActions),
            (dictionary! { "A" => dictionary! { "S" => "Launch" } }, ActiveContent::Launch),
            (dictionary! { "X" => dictionary! { "EF" => 1 } }, ActiveContent::EmbeddedFile),
            (dictionary! { "EmbeddedFiles" => Dictionary::new() }, ActiveContent::EmbeddedFile),
            (dictionary! { "Subtype" => "RichMedia" }, ActiveContent::RichMedia),
            (dictionary! { "XFA" => vec![] }, ActiveContent::Xfa),
        ];
        for (extra, what) in cases {
            // In an object of its own, so that it can be put into an object stream.
            let mut nested = document(&Dictionary::new());
            nested.add_object(extra.clone());
            assert_eq!(check(&plain(document(&extra))), active(what));
            let packed = with_object_streams(nested);
            assert!(packed.windows(7).any(|window| window == b"/ObjStm"));
            assert_eq!(check(&packed), active(what));
        }
    }

    #[test]
    fn names_are_found_behind_escapes_and_shadowed_keys() {
        let hidden = String::from_utf8_lossy(&plain(document(&dictionary! {
            "Zzzz" => Dictionary::new(),
        })))
        .into_owned();
        // Same lengths, so that the cross-reference table still fits; these are ASCII files but
        // for the comment in line 2.
        let escaped = hidden.replace("/Zzzz<<>>", "/#4AS<<>>");
        assert_ne!(escaped, hidden);
        assert_eq!(check(escaped.as_bytes()), active(ActiveContent::JavaScript));
        let twice = "%PDF-1.7\n1 0 obj<</S/Launch/S/URI>>endobj\n%%EOF";
        assert_eq!(check(twice.as_bytes()), active(ActiveContent::Launch));
    }

    #[test]
    fn an_embedded_file_stream_is_refused() {
        let mut document = document(&Dictionary::new());
        let file = Stream::new(dictionary! { "Type" => "EmbeddedFile" }, b"MZ".to_vec());
        document.add_object(file);
        assert_eq!(check(&plain(document)), active(ActiveContent::EmbeddedFile));
    }

    #[test]
    fn encrypted_is_refused_even_with_an_empty_password() {
        for password in ["", "secret"] {
            let mut document = document(&Dictionary::new());
            let id = Object::string_literal("0123456789abcdef");
            document.trailer.set("ID", vec![id.clone(), id]);
            let version = EncryptionVersion::V2 {
                document: &document,
                owner_password: "owner",
                user_password: password,
                key_length: 128,
                permissions: Permissions::all(),
            };
            let state = EncryptionState::try_from(version).unwrap();
            document.encrypt(&state).unwrap();
            assert_eq!(check(&plain(document)), Err(Refusal::Encrypted));
        }
    }

    #[test]
    fn the_frame_is_checked() {
        let good = plain(document(&Dictionary::new()));
        for cut in [6, good.len() / 2, good.len() - 8] {
            assert_eq!(check(&good[..cut]), Err(Refusal::Truncated), "cut at {cut}");
        }
        assert_eq!(check(&[&good[..], b" \r\n\n"].concat()), Ok(()));
        assert_eq!(check(&[&good[..], b"PK"].concat()), Err(Refusal::TrailingBytes));
        assert_eq!(check(b"%PDF-x.y\n%%EOF"), Err(Refusal::BadHeader));
        assert_eq!(check(b"%PDF-1.7\nnothing at all\n%%EOF"), Err(Refusal::NotDecodable));
    }

    #[test]
    fn deep_nesting_does_not_end_the_process() {
        for (open, close) in [("[", "]"), ("<</A ", ">>"), ("(", ")")] {
            for depth in [99, 10_000] {
                let deep = format!("{}0{}", open.repeat(depth), close.repeat(depth));
                let file = format!(
                    "%PDF-1.7\n1 0 obj\n{deep}\nendobj\n2 0 obj\n<</Type/Catalog/Pages 1 0 R>>\n\
                     endobj\ntrailer<</Root 2 0 R/Size 3>>\nstartxref\n0\n%%EOF"
                );
                // Either answer will do, as long as there is one.
                let _ = check(file.as_bytes());
            }
        }
    }

    #[test]
    fn object_streams_that_unpack_without_end_are_refused() {
        let mut document = document(&Dictionary::new());
        for _ in 0..5 {
            // Without a type: lopdf would leave such a stream out when it writes.
            let mut bomb = Stream::new(
                dictionary! { "N" => 1, "First" => 4 },
                vec![b' '; MAX_OBJECT_STREAM_BYTES / 4],
            );
            bomb.compress().unwrap();
            document.add_object(bomb);
        }
        let bytes = plain(document);
        assert!(bytes.len() < 1024 * 1024);
        assert_eq!(check(&bytes), Err(Refusal::ExpandsTooMuch));
    }
}
