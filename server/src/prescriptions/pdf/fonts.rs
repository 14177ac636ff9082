//! The fonts: Noto Sans is built in, Devanagari is looked for on the system.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use krilla::text::Font;
use rustybuzz::Face;

use super::PdfError;

/// Where systems keep fonts. Folders that do not exist are passed over.
const SYSTEM_FOLDERS: [&str; 5] = [
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    "C:\\Windows\\Fonts",
];
/// Beginnings of file names, in lower case and in order of preference. Variable fonts have a
/// bracket behind the name.
const DEVANAGARI: [(&str, &str); 5] = [
    ("notosansdevanagari-regular", "notosansdevanagari-bold"),
    ("notosansdevanagari[", "notosansdevanagari-bold"),
    ("notosansdevanagari-variable", "notosansdevanagari-bold"),
    ("lohit-devanagari", "lohit-devanagari-bold"),
    ("mangal", "mangalb"),
];
/// A font file beyond this many bytes is not a text font for one script.
const MAX_FONT_BYTES: u64 = 16 * 1024 * 1024;
/// How deep folders are searched.
const MAX_DEPTH: usize = 4;
/// A letter that any Devanagari font has.
const DEVANAGARI_KA: char = '\u{915}';

type FontBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A weight of a typeface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Weight {
    Regular,
    Bold,
}

/// One font file in memory.
pub(super) struct FontFile {
    bytes: FontBytes,
    pub(super) font: Font,
}

impl FontFile {
    fn new(bytes: FontBytes) -> Option<Self> {
        let font = Font::new(bytes.clone().into(), 0)?;
        let file = Self { bytes, font };
        file.face().is_some().then_some(file)
    }

    /// The tables needed for shaping.
    pub(super) fn face(&self) -> Option<Face<'_>> {
        Face::from_slice((*self.bytes).as_ref(), 0)
    }
}

/// The fonts of a server, loaded once at its start.
pub struct Fonts {
    /// In order of preference.
    regular: Vec<FontFile>,
    bold: Vec<FontFile>,
}

impl Fonts {
    /// Takes the built-in fonts and the first Devanagari font found in `extra_dir`, else in the
    /// folders of the system: Noto Sans Devanagari, Lohit Devanagari or Mangal. Without one,
    /// a document with Devanagari text is refused.
    pub fn load(extra_dir: Option<&Path>) -> Result<Self, PdfError> {
        let built_in = |bytes: &'static [u8]| FontFile::new(Arc::new(bytes)).ok_or(PdfError::Font);
        let mut regular = vec![built_in(notosans::REGULAR_TTF)?];
        let mut bold = vec![built_in(notosans::BOLD_TTF)?];
        let folders = extra_dir.into_iter().chain(SYSTEM_FOLDERS.iter().map(Path::new));
        if let Some(found) = folders.map(font_files).find_map(|files| devanagari(&files)) {
            // Without a bold cut, the regular one is still right: only lighter.
            bold.extend(found.bold.or_else(|| FontFile::new(found.regular.bytes.clone())));
            regular.push(found.regular);
        }
        Ok(Self { regular, bold })
    }

    /// Whether text in Devanagari can be printed.
    #[must_use]
    pub fn has_devanagari(&self) -> bool {
        self.regular.len() > 1
    }

    /// The files for a weight, in order of preference.
    pub(super) fn of(&self, weight: Weight) -> &[FontFile] {
        match weight {
            Weight::Regular => &self.regular,
            Weight::Bold => &self.bold,
        }
    }
}

struct Devanagari {
    regular: FontFile,
    bold: Option<FontFile>,
}

fn devanagari(files: &[PathBuf]) -> Option<Devanagari> {
    DEVANAGARI.iter().find_map(|(regular, bold)| {
        Some(Devanagari { regular: first_named(files, regular)?, bold: first_named(files, bold) })
    })
}

fn first_named(files: &[PathBuf], prefix: &str) -> Option<FontFile> {
    let named = |path: &&PathBuf| {
        path.file_stem()
            .and_then(|stem| stem.to_str())
            .is_some_and(|stem| matches_name(&stem.to_lowercase(), prefix))
    };
    files.iter().filter(named).find_map(|path| {
        let file = FontFile::new(Arc::new(std::fs::read(path).ok()?))?;
        let shows = file.face()?.glyph_index(DEVANAGARI_KA).is_some();
        shows.then_some(file)
    })
}

/// A name in full, or one that says itself that it goes on.
fn matches_name(stem: &str, prefix: &str) -> bool {
    let open = prefix.ends_with('[') || prefix.ends_with("variable");
    if open { stem.starts_with(prefix) } else { stem == prefix }
}

/// The TrueType and OpenType files below a folder, in the order of their paths.
fn font_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![(folder.to_path_buf(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let extension = path.extension().and_then(|ext| ext.to_str()).unwrap_or_default();
            let is_font =
                extension.eq_ignore_ascii_case("ttf") || extension.eq_ignore_ascii_case("otf");
            match path.metadata() {
                Ok(meta) if meta.is_dir() && depth < MAX_DEPTH => folders.push((path, depth + 1)),
                Ok(meta) if is_font && meta.len() <= MAX_FONT_BYTES => files.push(path),
                _ => {}
            }
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn built_in_fonts_load_and_know_the_rupee() {
        let fonts = Fonts::load(None).unwrap();
        for weight in [Weight::Regular, Weight::Bold] {
            let face = fonts.of(weight)[0].face().unwrap();
            for letter in ['A', 'é', 'Ω', 'Ж', '₹', '½', '≥', 'µ', '—'] {
                assert!(face.glyph_index(letter).is_some(), "{letter}");
            }
        }
    }

    #[test]
    fn names_match_in_full_except_for_variable_fonts() {
        assert!(matches_name("mangal", "mangal"));
        assert!(!matches_name("mangalb", "mangal"));
        assert!(matches_name("notosansdevanagari[wdth,wght]", "notosansdevanagari["));
    }

    #[test]
    fn a_file_that_is_no_font_is_passed_over() {
        assert!(FontFile::new(Arc::new(b"not a font".to_vec())).is_none());
        assert!(font_files(Path::new("no such folder")).is_empty());
    }
}
