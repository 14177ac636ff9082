//! The table of items.

use super::fonts::Weight;
use super::layout::{Flow, MARGIN, WIDTH, style};
use super::text::{Ink, Line, Style};
use super::{Item, PdfError};

const HEAD: Style = style(Weight::Bold, 8.0, Ink::White);
const CELL: Style = style(Weight::Regular, 9.0, Ink::Text);
const STRONG: Style = style(Weight::Bold, 9.0, Ink::Text);
const REMARK: Style = style(Weight::Regular, 8.5, Ink::Text);
const TOTAL: Style = style(Weight::Regular, 8.5, Ink::Muted);
/// Between the cells of an item and its instructions.
const REMARK_GAP: f32 = 2.0;
/// Above and below the text of a row.
const PADDING: f32 = 5.0;
/// To the right of each cell.
const GUTTER: f32 = 6.0;
/// Left of the first cell.
const INDENT: f32 = 6.0;
/// Widths of number, medication, dose, route, frequency, duration, quantity and refills.
const COLUMNS: [f32; 8] = [20.0, 134.0, 62.0, 54.0, 92.0, 58.0, 42.0, 42.56];
/// Printed where the prescriber gave nothing, so that nothing can be written in.
const NOTHING: &str = "—";

/// The lines of a row that stand at one height, with their distances from the left.
struct Strip {
    height: f32,
    lines: Vec<(f32, Line)>,
}

/// Sets the table with its head on every page, and below it the number of items.
pub(super) fn items(flow: &mut Flow<'_>) -> Result<(), PdfError> {
    let document = flow.document;
    let rows = document
        .items
        .iter()
        .zip(1_usize..)
        .map(|(item, number)| row(flow, number, item))
        .collect::<Result<Vec<_>, _>>()?;
    let first = rows.first().map_or(0.0, |strips| height(strips));
    let head = head_strips(flow)?;
    if !flow.fits(height(&head) + first) && first < flow.page_height() - height(&head) {
        flow.next_page()?;
    }
    put_head(flow)?;
    for strips in rows {
        put_row(flow, strips)?;
    }
    let total = document.labels.items_total.replace("{count}", &document.items.len().to_string());
    let total = flow.typesetter.line(&total, TOTAL)?;
    if !flow.fits(TOTAL.leading() + PADDING) {
        flow.next_page()?;
    }
    flow.text(MARGIN + WIDTH - INDENT - total.width, flow.y + PADDING, total);
    flow.y += TOTAL.leading() + PADDING + 12.0;
    Ok(())
}

fn height(strips: &[Strip]) -> f32 {
    strips.iter().map(|strip| strip.height).sum::<f32>() + 2.0 * PADDING
}

/// Cells side by side: the first lines of all, then the second ones.
fn strips(flow: &Flow<'_>, cells: [(&str, Style); 8]) -> Result<Vec<Strip>, PdfError> {
    let mut strips: Vec<Strip> = Vec::new();
    let mut x = INDENT;
    for ((text, style), width) in cells.into_iter().zip(COLUMNS) {
        for (index, line) in
            flow.typesetter.wrap(text, style, width - GUTTER)?.into_iter().enumerate()
        {
            if index == strips.len() {
                strips.push(Strip { height: style.leading(), lines: vec![] });
            }
            strips[index].lines.push((x, line));
        }
        x += width;
    }
    Ok(strips)
}

fn head_strips(flow: &Flow<'_>) -> Result<Vec<Strip>, PdfError> {
    let labels = &flow.document.labels;
    strips(
        flow,
        [
            ("", HEAD),
            (&labels.medication, HEAD),
            (&labels.dose, HEAD),
            (&labels.route, HEAD),
            (&labels.frequency, HEAD),
            (&labels.duration, HEAD),
            (&labels.quantity, HEAD),
            (&labels.refills, HEAD),
        ],
    )
}

fn row(flow: &Flow<'_>, number: usize, item: &Item) -> Result<Vec<Strip>, PdfError> {
    fn cell(text: &str) -> (&str, Style) {
        (if text.trim().is_empty() { NOTHING } else { text }, CELL)
    }
    let number = number.to_string();
    let mut strips = strips(
        flow,
        [
            (&number, CELL),
            (&item.medication, STRONG),
            cell(&item.dose),
            cell(&item.route),
            cell(&item.frequency),
            cell(&item.duration),
            cell(&item.quantity),
            cell(&item.refills),
        ],
    )?;
    if !item.instructions.trim().is_empty() {
        strips.push(Strip { height: REMARK_GAP, lines: vec![] });
        let x = INDENT + COLUMNS[0];
        let text = format!("{}: {}", flow.document.labels.instructions, item.instructions);
        for line in flow.typesetter.wrap(&text, REMARK, WIDTH - x - INDENT)? {
            strips.push(Strip { height: REMARK.leading(), lines: vec![(x, line)] });
        }
    }
    Ok(strips)
}

fn put_head(flow: &mut Flow<'_>) -> Result<(), PdfError> {
    let strips = head_strips(flow)?;
    let height = height(&strips);
    flow.fill(MARGIN, flow.y, WIDTH, height, Ink::Accent);
    flow.y += PADDING;
    for strip in strips {
        put_strip(flow, strip);
    }
    flow.y += PADDING;
    Ok(())
}

/// Keeps a row on one page. Only one that no page could hold is broken between its lines.
fn put_row(flow: &mut Flow<'_>, strips: Vec<Strip>) -> Result<(), PdfError> {
    let needed = height(&strips);
    let page = flow.page_height() - height(&head_strips(flow)?);
    if !flow.fits(needed) && needed <= page {
        flow.next_page()?;
        put_head(flow)?;
    }
    flow.y += PADDING;
    for strip in strips {
        if !flow.fits(strip.height + PADDING) {
            flow.next_page()?;
            put_head(flow)?;
            flow.y += PADDING;
        }
        put_strip(flow, strip);
    }
    flow.y += PADDING;
    flow.rule(0.6, Ink::Hairline);
    Ok(())
}

fn put_strip(flow: &mut Flow<'_>, strip: Strip) {
    for (x, line) in strip.lines {
        flow.text(MARGIN + x, flow.y, line);
    }
    flow.y += strip.height;
}
