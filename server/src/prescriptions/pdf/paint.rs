//! From pages to bytes.

use krilla::action::LinkAction;
use krilla::annotation::{Annotation, LinkAnnotation, Target};
use krilla::color::rgb;
use krilla::geom::{Path, PathBuilder, Point, Rect, Transform};
use krilla::metadata::{DateTime, Metadata};
use krilla::num::NormalizedF32;
use krilla::page::PageSettings;
use krilla::paint::Fill;
use krilla::surface::Surface;

use super::code::Code;
use super::fonts::Weight;
use super::layout::{Mark, PAGE_HEIGHT, PAGE_WIDTH, Sheet, style};
use super::text::{Ink, Line, Typesetter};
use super::{PdfError, PrescriptionDocument};

const CREATOR: &str = "clinicd";
/// Share of a line's height above its baseline.
const ASCENT: f32 = 0.77;
/// The largest size of the word across the page, in points.
const WATERMARK_SIZE: f32 = 96.0;
/// The most that this word may take of the page's diagonal.
const WATERMARK_SHARE: f32 = 0.8;
/// Faint enough to read through.
const WATERMARK_OPACITY: f32 = 0.14;

/// Writes the pages.
pub(super) fn paint(
    document: &PrescriptionDocument,
    typesetter: &Typesetter<'_>,
    code: &Code,
    sheets: &[Sheet],
) -> Result<Vec<u8>, PdfError> {
    let mut pdf = krilla::Document::new();
    pdf.set_metadata(metadata(document));
    let watermark = watermark(document, typesetter)?;
    for sheet in sheets {
        let settings = PageSettings::from_wh(PAGE_WIDTH, PAGE_HEIGHT).unwrap_or_default();
        let mut page = pdf.start_page_with(settings);
        let mut surface = page.surface();
        let mut link = None;
        for mark in &sheet.marks {
            match mark {
                Mark::Text { x, y, line } => put_line(&mut surface, *x, *y, line),
                Mark::Box { x, y, width, height, ink } => {
                    let area = Rect::from_xywh(*x, *y, *width, *height);
                    put_path(&mut surface, area.and_then(|area| path([area])), *ink);
                }
                Mark::Code { x, y } => {
                    put_path(&mut surface, path(bars(code, *x, *y)), Ink::Text);
                    link = Rect::from_xywh(*x, *y, code.side, code.side);
                }
            }
        }
        if let Some(line) = &watermark {
            put_watermark(&mut surface, line);
        }
        surface.finish();
        if let Some(area) = link {
            page.add_annotation(link_to(area, document));
        }
        page.finish();
    }
    Ok(pdf.finish()?)
}

fn metadata(document: &PrescriptionDocument) -> Metadata {
    let labels = &document.labels;
    let title = format!("{} {}", labels.prescription, document.number);
    let issued = document.issued_at.to_zoned(jiff::tz::TimeZone::UTC);
    let part = |value: i8| value.unsigned_abs();
    let date = DateTime::new(issued.year().unsigned_abs())
        .month(part(issued.month()))
        .day(part(issued.day()))
        .hour(part(issued.hour()))
        .minute(part(issued.minute()))
        .second(part(issued.second()))
        .utc_offset_hour(0)
        .utc_offset_minute(0);
    Metadata::new()
        .title(title)
        .creator(CREATOR.into())
        .producer(CREATOR.into())
        .language(labels.language.clone())
        .creation_date(date)
}

/// On the screen the code is a link: nobody can scan their own phone.
fn link_to(area: Rect, document: &PrescriptionDocument) -> Annotation {
    let action = LinkAction::new(document.verification_url.clone());
    let link = LinkAnnotation::new(area, Target::Action(action.into()));
    Annotation::new_link(link, Some(document.labels.verify.clone()))
}

fn put_line(surface: &mut Surface<'_>, x: f32, y: f32, line: &Line) {
    surface.set_fill(Some(fill(line.style.ink)));
    put_runs(surface, x, y + line.style.leading() * ASCENT, line);
}

fn put_runs(surface: &mut Surface<'_>, mut x: f32, baseline: f32, line: &Line) {
    let size = line.style.size;
    for run in &line.runs {
        let start = Point::from_xy(x, baseline);
        surface.draw_glyphs(start, &run.glyphs, run.font.clone(), &run.text, size, false);
        x += run.width * size;
    }
}

fn put_path(surface: &mut Surface<'_>, path: Option<Path>, ink: Ink) {
    surface.set_fill(Some(fill(ink)));
    if let Some(path) = path {
        surface.draw_path(&path);
    }
}

fn path(areas: impl IntoIterator<Item = Rect>) -> Option<Path> {
    let mut builder = PathBuilder::new();
    areas.into_iter().for_each(|area| builder.push_rect(area));
    builder.finish()
}

fn bars(code: &Code, x: f32, y: f32) -> impl Iterator<Item = Rect> {
    let module = code.module;
    code.bars.iter().filter_map(move |&(column, row, length)| {
        let (left, top) = (x + f32::from(column) * module, y + f32::from(row) * module);
        Rect::from_xywh(left, top, f32::from(length) * module, module)
    })
}

/// The word across the page, as large as it may be.
fn watermark(
    document: &PrescriptionDocument,
    typesetter: &Typesetter<'_>,
) -> Result<Option<Line>, PdfError> {
    let Some(word) = document.status_watermark.as_deref().filter(|word| !word.trim().is_empty())
    else {
        return Ok(None);
    };
    let line = typesetter.line(word.trim(), style(Weight::Bold, WATERMARK_SIZE, Ink::Text))?;
    let room = PAGE_WIDTH.hypot(PAGE_HEIGHT) * WATERMARK_SHARE;
    let size = WATERMARK_SIZE * (room / line.width).min(1.0);
    typesetter.line(word.trim(), style(Weight::Bold, size, Ink::Text)).map(Some)
}

fn put_watermark(surface: &mut Surface<'_>, line: &Line) {
    let (x, y) = (PAGE_WIDTH / 2.0, PAGE_HEIGHT / 2.0);
    // Along the diagonal, upwards.
    let angle = -PAGE_HEIGHT.atan2(PAGE_WIDTH).to_degrees();
    surface.push_transform(&Transform::from_rotate_at(angle, x, y));
    let opacity = NormalizedF32::new(WATERMARK_OPACITY).unwrap_or(NormalizedF32::ONE);
    surface.set_fill(Some(Fill { opacity, ..fill(Ink::Text) }));
    // A third of the size is half the height of a capital.
    put_runs(surface, x - line.width / 2.0, y + line.style.size / 3.0, line);
    surface.pop();
}

fn fill(ink: Ink) -> Fill {
    let color = match ink {
        Ink::Text => rgb::Color::new(27, 36, 44),
        Ink::Muted => rgb::Color::new(84, 97, 110),
        Ink::Accent => rgb::Color::new(18, 85, 102),
        Ink::Hairline => rgb::Color::new(203, 213, 220),
        Ink::Wash => rgb::Color::new(241, 245, 247),
        Ink::White => rgb::Color::new(255, 255, 255),
    };
    Fill { paint: color.into(), ..Fill::default() }
}
