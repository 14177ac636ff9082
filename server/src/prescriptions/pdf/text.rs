//! From text to lines: choice of font, shaping and wrapping.

use std::cell::RefCell;
use std::collections::HashMap;

use krilla::text::{Font, GlyphId, KrillaGlyph};
use rustybuzz::{Direction, Face, UnicodeBuffer};

use super::PdfError;
use super::fonts::{FontFile, Fonts, Weight};
use super::letters::{follows, is_break, printable};

/// Rounding may make a line this much wider than the sum of its words, in points.
const SLACK: f32 = 0.05;

/// How a text looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Style {
    pub(super) weight: Weight,
    /// Font size in points.
    pub(super) size: f32,
    pub(super) ink: Ink,
}

impl Style {
    /// Distance of two baselines, in points: room for Devanagari's marks above and below.
    pub(super) fn leading(self) -> f32 {
        self.size * 1.4
    }
}

/// The colours of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Text,
    Muted,
    Accent,
    Hairline,
    Wash,
    White,
}

/// Glyphs of one font.
#[derive(Clone)]
pub(super) struct Run {
    pub(super) font: Font,
    pub(super) text: String,
    pub(super) glyphs: Vec<KrillaGlyph>,
    /// Width at size 1.
    pub(super) width: f32,
}

/// One line of text, shaped.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) runs: Vec<Run>,
    pub(super) style: Style,
    /// Width in points.
    pub(super) width: f32,
}

struct LoadedFont<'a> {
    file: &'a FontFile,
    face: Face<'a>,
}

/// Shapes text with the fonts of a server.
pub(super) struct Typesetter<'a> {
    regular: Vec<LoadedFont<'a>>,
    bold: Vec<LoadedFont<'a>>,
    /// Widths at size 1 of the words seen so far.
    widths: RefCell<HashMap<(Weight, String), f32>>,
}

impl<'a> Typesetter<'a> {
    pub(super) fn new(fonts: &'a Fonts) -> Result<Self, PdfError> {
        let load = |weight| {
            let files = fonts.of(weight).iter();
            let load = |file: &'a FontFile| {
                file.face().map(|face| LoadedFont { file, face }).ok_or(PdfError::Font)
            };
            files.map(load).collect::<Result<Vec<_>, _>>()
        };
        let widths = RefCell::default();
        Ok(Self { regular: load(Weight::Regular)?, bold: load(Weight::Bold)?, widths })
    }

    /// The text on one line, however long; line breaks become spaces.
    pub(super) fn line(&self, text: &str, style: Style) -> Result<Line, PdfError> {
        self.set(&printable(text).replace('\n', " "), style)
    }

    /// The text in lines of at most `width` points. Words wider than that are broken.
    pub(super) fn wrap(&self, text: &str, style: Style, width: f32) -> Result<Vec<Line>, PdfError> {
        let mut lines = Vec::new();
        let width = width / style.size;
        for paragraph in printable(text.trim_end()).split('\n') {
            for line in self.break_paragraph(paragraph, style.weight, width)? {
                lines.push(self.set(&line, style)?);
            }
        }
        Ok(lines)
    }

    fn set(&self, text: &str, style: Style) -> Result<Line, PdfError> {
        let runs = self.shape(text, style.weight)?;
        let width = runs.iter().map(|run| run.width).sum::<f32>() * style.size;
        Ok(Line { runs, style, width })
    }

    /// Breaks at white space; `width` is measured at size 1.
    fn break_paragraph(
        &self,
        paragraph: &str,
        weight: Weight,
        width: f32,
    ) -> Result<Vec<String>, PdfError> {
        let mut lines = Vec::new();
        let mut line = String::new();
        let mut used = 0.0;
        for piece in paragraph.split_inclusive(is_break) {
            let word = piece.trim_end_matches(is_break);
            let mut word_width = self.width(word, weight)?;
            if used + word_width > width + SLACK && used > 0.0 {
                let full = std::mem::take(&mut line);
                // An indentation that leaves no room for the word is given up.
                lines.extend(Some(full.trim_end().to_owned()).filter(|full| !full.is_empty()));
                used = 0.0;
            }
            let mut word = word;
            if word_width > width + SLACK {
                let (parts, rest, rest_width) = self.break_word(word, weight, width)?;
                lines.extend(parts.into_iter().map(str::to_owned));
                (word, word_width) = (rest, rest_width);
            }
            let space = &piece[piece.trim_end_matches(is_break).len()..];
            line.push_str(word);
            line.push_str(space);
            used += word_width + self.width(space, weight)?;
        }
        lines.push(line.trim_end().to_owned());
        Ok(lines)
    }

    /// Full lines of a word that is too long for one, what is left of it, and how wide that is.
    /// A line has at least one cluster.
    fn break_word<'t>(
        &self,
        word: &'t str,
        weight: Weight,
        width: f32,
    ) -> Result<(Vec<&'t str>, &'t str, f32), PdfError> {
        let (cuts, total) = self.cuts(word, weight)?;
        let mut cuts = cuts.as_slice();
        let mut parts = Vec::new();
        let (mut start, mut left) = (0, 0.0);
        while total - left > width + SLACK && !cuts.is_empty() {
            let fitting = cuts.iter().take_while(|&&(_, x)| x - left <= width).count().max(1);
            let index = best_cut(word, start, &cuts[..fitting]);
            let (at, x) = cuts[index];
            parts.push(&word[start..at]);
            (start, left) = (at, x);
            cuts = &cuts[index + 1..];
        }
        Ok((parts, &word[start..], total - left))
    }

    /// Where clusters begin, in bytes and in width from the start, and the width of all.
    fn cuts(&self, word: &str, weight: Weight) -> Result<(Vec<(usize, f32)>, f32), PdfError> {
        let mut cuts: Vec<(usize, f32)> = Vec::new();
        let (mut offset, mut x) = (0, 0.0);
        for run in self.shape(word, weight)? {
            for glyph in &run.glyphs {
                let at = offset + glyph.text_range.start;
                if at > cuts.last().map_or(0, |&(last, _)| last) {
                    cuts.push((at, x));
                }
                x += glyph.x_advance;
            }
            offset += run.text.len();
        }
        Ok((cuts, x))
    }

    /// Width at size 1.
    fn width(&self, text: &str, weight: Weight) -> Result<f32, PdfError> {
        let key = (weight, text.to_owned());
        if let Some(&width) = self.widths.borrow().get(&key) {
            return Ok(width);
        }
        let width = self.shape(text, weight)?.iter().map(|run| run.width).sum();
        self.widths.borrow_mut().insert(key, width);
        Ok(width)
    }

    fn shape(&self, text: &str, weight: Weight) -> Result<Vec<Run>, PdfError> {
        let fonts = match weight {
            Weight::Regular => &self.regular,
            Weight::Bold => &self.bold,
        };
        let mut runs = Vec::new();
        let mut start = 0;
        let mut current = None;
        for (at, letter) in text.char_indices() {
            if follows(letter) {
                continue;
            }
            let has = |font: &LoadedFont<'_>| font.face.glyph_index(letter).is_some();
            let font = fonts.iter().position(has).ok_or_else(|| missing(letter))?;
            if let Some(current) = current.filter(|&current| current != font) {
                runs.push(shape_run(&fonts[current], &text[start..at])?);
                start = at;
            }
            current = Some(font);
        }
        if let Some(font) = fonts.get(current.unwrap_or(0)).filter(|_| !text.is_empty()) {
            runs.push(shape_run(font, &text[start..])?);
        }
        Ok(runs)
    }
}

/// The last of these cuts, or one not far before it behind punctuation, or at least one that does
/// not part a number: "10" and "00 mg" on two lines could be read as 10.
fn best_cut(word: &str, start: usize, cuts: &[(usize, f32)]) -> usize {
    let last = cuts.len().saturating_sub(1);
    let half = cuts.get(last).map_or(start, |&(at, _)| start + (at - start) / 2);
    let numeric = |letter: Option<char>| {
        letter.is_some_and(|letter| letter.is_numeric() || ".,/-".contains(letter))
    };
    let (mut punctuated, mut fair) = (None, None);
    for (index, &(at, _)) in cuts.iter().enumerate().filter(|(_, (at, _))| *at > half) {
        let (before, after) = (word[..at].chars().next_back(), word[at..].chars().next());
        if numeric(before) && numeric(after) {
            continue;
        }
        fair = Some(index);
        if before.is_some_and(|letter| "/-,;:_)+|".contains(letter)) {
            punctuated = Some(index);
        }
    }
    punctuated.or(fair).unwrap_or(last)
}

fn shape_run(font: &LoadedFont<'_>, text: &str) -> Result<Run, PdfError> {
    let mut buffer = UnicodeBuffer::new();
    buffer.push_str(text);
    buffer.guess_segment_properties();
    buffer.set_direction(Direction::LeftToRight);
    let shaped = rustybuzz::shape(&font.face, &[], buffer);
    let em = font.file.font.units_per_em();
    let starts: Vec<usize> =
        shaped.glyph_infos().iter().map(|info| info.cluster as usize).collect();
    let mut glyphs = Vec::with_capacity(starts.len());
    let mut width = 0.0;
    for (index, (info, position)) in
        shaped.glyph_infos().iter().zip(shaped.glyph_positions()).enumerate()
    {
        let start = starts[index];
        if info.glyph_id == 0 {
            return Err(missing(text[start..].chars().next().unwrap_or_default()));
        }
        let end = starts[index..].iter().find(|&&next| next > start).copied();
        let ems = |units: i32| units_to_f32(units) / em;
        width += ems(position.x_advance);
        glyphs.push(KrillaGlyph::new(
            GlyphId::new(info.glyph_id),
            ems(position.x_advance),
            ems(position.x_offset),
            ems(position.y_offset),
            ems(position.y_advance),
            start..end.unwrap_or(text.len()),
            None,
        ));
    }
    Ok(Run { font: font.file.font.clone(), text: text.to_owned(), glyphs, width })
}

#[expect(clippy::cast_precision_loss, reason = "font units are far below 2^24")]
fn units_to_f32(units: i32) -> f32 {
    units as f32
}

fn missing(letter: char) -> PdfError {
    let mut buffer = UnicodeBuffer::new();
    buffer.push_str(letter.encode_utf8(&mut [0; 4]));
    buffer.guess_segment_properties();
    PdfError::MissingGlyphs { script: buffer.script().tag().to_string() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const STYLE: Style = Style { weight: Weight::Regular, size: 10.0, ink: Ink::Text };

    fn wrap(text: &str, width: f32) -> Vec<String> {
        let fonts = Fonts::load(None).unwrap();
        let typesetter = Typesetter::new(&fonts).unwrap();
        let lines = typesetter.wrap(text, STYLE, width).unwrap();
        for line in &lines {
            assert!(line.width <= width + 1.0, "{} > {width}", line.width);
        }
        let text = |line: &Line| line.runs.iter().map(|run| run.text.as_str()).collect();
        lines.iter().map(text).collect()
    }

    #[test]
    fn words_wrap_and_lines_stay() {
        assert_eq!(wrap("one two three", 45.0), ["one two", "three"]);
        assert_eq!(wrap("a\r\nb\n\n  c\n", 100.0), ["a", "b", "", "  c"]);
        assert_eq!(wrap("", 100.0), [""]);
        assert_eq!(wrap("5\u{a0}mg daily", 35.0), ["5\u{a0}mg", "daily"]);
    }

    #[test]
    fn long_words_break_without_loss() {
        let long = "Pneumonoultramicroscopicsilicovolcanoconiosis".repeat(20);
        let lines = wrap(&long, 60.0);
        assert!(lines.len() > 20);
        assert_eq!(lines.concat(), long);
        // Narrower than a letter: still one cluster on each line.
        let fonts = Fonts::load(None).unwrap();
        let typesetter = Typesetter::new(&fonts).unwrap();
        assert_eq!(typesetter.wrap("abc", STYLE, 1.0).unwrap().len(), 3);
    }

    #[test]
    fn long_words_break_behind_punctuation_and_not_in_numbers() {
        assert_eq!(wrap("amoxicillin/clavulanate", 80.0), ["amoxicillin/", "clavulanate"]);
        assert_eq!(wrap("amlodipin1000mg", 62.0), ["amlodipin", "1000mg"]);
    }

    #[test]
    fn marks_stay_with_their_letters() {
        let marked = "e\u{301}\u{323}".repeat(40);
        for line in wrap(&marked, 30.0) {
            assert!(line.starts_with('e') && line.ends_with('\u{323}'), "{line:?}");
        }
    }

    #[test]
    fn what_cannot_be_shown_is_refused_by_script() {
        let fonts = Fonts::load(None).unwrap();
        let typesetter = Typesetter::new(&fonts).unwrap();
        for (text, script) in [("தமிழ்", "Taml"), ("مريض", "Arab"), ("病", "Hani")] {
            let refused = typesetter.line(text, STYLE).err().unwrap();
            assert!(
                matches!(&refused, PdfError::MissingGlyphs { script: hint } if hint == script),
                "{refused}"
            );
        }
    }

    #[test]
    fn devanagari_is_shaped_when_there_is_a_font() {
        let fonts = Fonts::load(None).unwrap();
        let typesetter = Typesetter::new(&fonts).unwrap();
        let line = typesetter.line("Mr सुनीता क्षत्रिय।", STYLE);
        if fonts.has_devanagari() {
            // Latin and Devanagari, each in its own font.
            assert_eq!(line.unwrap().runs.len(), 2);
        } else {
            assert!(matches!(line, Err(PdfError::MissingGlyphs { script }) if script == "Deva"));
        }
    }
}
