//! Where everything stands: pages made of text, boxes and rules, in points from the top left.

use super::code::Code;
use super::fonts::Weight;
use super::table;
use super::text::{Ink, Line, Style, Typesetter};
use super::{PdfError, PrescriptionDocument};

/// A4.
pub(super) const PAGE_WIDTH: f32 = 595.28;
/// A4.
pub(super) const PAGE_HEIGHT: f32 = 841.89;
/// 16 mm: what any office printer can print.
pub(super) const MARGIN: f32 = 45.36;
pub(super) const WIDTH: f32 = PAGE_WIDTH - 2.0 * MARGIN;
/// The lowest point of the body; the footer is below.
pub(super) const BOTTOM: f32 = PAGE_HEIGHT - MARGIN - 18.0;
/// The head may take this much of the first page, so that items have room below.
const MAX_HEAD: f32 = 480.0;
const GAP: f32 = 14.0;

const CLINIC: Style = style(Weight::Bold, 16.0, Ink::Accent);
const TITLE: Style = style(Weight::Bold, 15.0, Ink::Text);
const NAME: Style = style(Weight::Bold, 11.0, Ink::Text);
const HEADING: Style = style(Weight::Bold, 10.5, Ink::Accent);
const BODY: Style = style(Weight::Regular, 9.5, Ink::Text);
const SMALL: Style = style(Weight::Regular, 8.5, Ink::Muted);
const CAPTION: Style = style(Weight::Regular, 7.5, Ink::Muted);
const RX: Style = style(Weight::Bold, 20.0, Ink::Accent);

pub(super) const fn style(weight: Weight, size: f32, ink: Ink) -> Style {
    Style { weight, size, ink }
}

/// One thing on a page. `x` and `y` are its top left corner.
pub(super) enum Mark {
    /// `y` is the top of the line, not its baseline.
    Text {
        x: f32,
        y: f32,
        line: Line,
    },
    Box {
        x: f32,
        y: f32,
        width: f32,
        height: f32,
        ink: Ink,
    },
    Code {
        x: f32,
        y: f32,
    },
}

/// One page.
#[derive(Default)]
pub(super) struct Sheet {
    pub(super) marks: Vec<Mark>,
}

/// The pages so far and where the next thing goes.
pub(super) struct Flow<'a> {
    pub(super) document: &'a PrescriptionDocument,
    pub(super) typesetter: &'a Typesetter<'a>,
    sheets: Vec<Sheet>,
    sheet: Sheet,
    /// The top of the free space on the page.
    pub(super) y: f32,
    /// Where the body of pages after the first begins.
    top: f32,
}

/// Sets the whole document.
pub(super) fn lay_out<'a>(
    document: &'a PrescriptionDocument,
    typesetter: &'a Typesetter<'a>,
    code: &Code,
) -> Result<Vec<Sheet>, PdfError> {
    let sheet = Sheet::default();
    let mut flow = Flow { document, typesetter, sheets: vec![], sheet, y: MARGIN, top: MARGIN };
    flow.letterhead()?;
    flow.title()?;
    flow.patient()?;
    if flow.y > MAX_HEAD {
        return Err(PdfError::HeadTooLong);
    }
    if !document.items.is_empty() {
        flow.put(MARGIN, "Rx", RX)?;
        flow.y += 4.0;
        table::items(&mut flow)?;
    }
    flow.notes()?;
    flow.closing(code)?;
    flow.sheets.push(flow.sheet);
    let mut sheets = flow.sheets;
    footers(document, typesetter, &mut sheets)?;
    Ok(sheets)
}

impl Flow<'_> {
    /// Whether this much still fits on the page.
    pub(super) fn fits(&self, height: f32) -> bool {
        self.y + height <= BOTTOM
    }

    /// Height of the body of a page after the first.
    pub(super) fn page_height(&self) -> f32 {
        BOTTOM - self.top
    }

    /// Puts a line at a height of the caller's choice.
    pub(super) fn text(&mut self, x: f32, y: f32, line: Line) {
        self.sheet.marks.push(Mark::Text { x, y, line });
    }

    /// Puts a filled box.
    pub(super) fn fill(&mut self, x: f32, y: f32, width: f32, height: f32, ink: Ink) {
        self.sheet.marks.push(Mark::Box { x, y, width, height, ink });
    }

    /// Puts a rule across the page at the current height.
    pub(super) fn rule(&mut self, thickness: f32, ink: Ink) {
        self.fill(MARGIN, self.y, WIDTH, thickness, ink);
    }

    /// Ends the page and begins the next with a line that tells what it belongs to.
    pub(super) fn next_page(&mut self) -> Result<(), PdfError> {
        self.sheets.push(std::mem::take(&mut self.sheet));
        self.y = MARGIN;
        let document = self.document;
        let labels = &document.labels;
        let belongs = format!(
            "{} {} {}  ·  {} {}  ·  {}  ·  {}",
            labels.prescription,
            labels.number,
            document.number,
            labels.date,
            document.issue_date,
            document.patient.name,
            document.prescriber.name,
        );
        self.y = self.column(MARGIN, self.y, WIDTH, &belongs, SMALL)? + 4.0;
        self.rule(0.8, Ink::Accent);
        self.y += GAP;
        self.top = self.y;
        Ok(())
    }

    /// Puts one line and moves below it.
    fn put(&mut self, x: f32, text: &str, style: Style) -> Result<(), PdfError> {
        let line = self.typesetter.line(text, style)?;
        self.text(x, self.y, line);
        self.y += style.leading();
        Ok(())
    }

    /// Puts wrapped text into a column and returns where it ends. An empty text takes no room.
    fn column(
        &mut self,
        x: f32,
        mut y: f32,
        width: f32,
        text: &str,
        style: Style,
    ) -> Result<f32, PdfError> {
        if text.trim().is_empty() {
            return Ok(y);
        }
        for line in self.typesetter.wrap(text, style, width)? {
            self.text(x, y, line);
            y += style.leading();
        }
        Ok(y)
    }

    /// Clinic to the left, prescriber to the right.
    fn letterhead(&mut self) -> Result<(), PdfError> {
        let document = self.document;
        let (prescriber, labels) = (&document.prescriber, &document.labels);
        let left_width = WIDTH * 0.54;
        let mut left = self.column(MARGIN, self.y, left_width, &prescriber.clinic_name, CLINIC)?;
        for line in &prescriber.clinic_address {
            left = self.column(MARGIN, left, left_width, line, SMALL)?;
        }
        if let Some(phone) = &prescriber.phone {
            let phone = format!("{} {phone}", labels.phone);
            left = self.column(MARGIN, left, left_width, &phone, SMALL)?;
        }
        let x = MARGIN + WIDTH * 0.6;
        let width = WIDTH * 0.4;
        // The smaller name stands on the baseline of the clinic's.
        let top = self.y + (CLINIC.leading() - NAME.leading()) * 0.75;
        let mut right = self.column(x, top, width, &prescriber.name, NAME)?;
        right = self.column(x, right, width, &prescriber.qualification, SMALL)?;
        let registration =
            format!("{} {}", labels.registration_number, prescriber.registration_number);
        right = self.column(x, right, width, &registration, style(Weight::Bold, 8.5, Ink::Text))?;
        self.y = left.max(right) + 8.0;
        self.rule(1.4, Ink::Accent);
        self.y += GAP;
        Ok(())
    }

    /// What this is, its number and its date.
    fn title(&mut self) -> Result<(), PdfError> {
        let document = self.document;
        let labels = &document.labels;
        let half = WIDTH / 2.0;
        let left = self.column(MARGIN, self.y, half, &labels.prescription, TITLE)?;
        let mut right = self.y;
        for (label, value) in
            [(&labels.number, &document.number), (&labels.date, &document.issue_date)]
        {
            for line in self.typesetter.wrap(&format!("{label} {value}"), BODY, half)? {
                self.text(MARGIN + WIDTH - line.width, right, line);
                right += BODY.leading();
            }
        }
        self.y = left.max(right) + 6.0;
        Ok(())
    }

    /// The box that says for whom this is.
    fn patient(&mut self) -> Result<(), PdfError> {
        const PADDING: f32 = 10.0;
        let document = self.document;
        let (patient, labels) = (&document.patient, &document.labels);
        let cells = [
            (0.0, 0.48, &labels.patient, &patient.name, NAME),
            (0.48, 0.28, &labels.age_and_gender, &patient.age_and_gender, BODY),
            (0.76, 0.24, &labels.patient_id, &patient.short_id, BODY),
        ];
        // The box is as high as its text, but has to be painted before it.
        let place = self.sheet.marks.len();
        let top = self.y + PADDING * 0.8;
        let values = top + CAPTION.leading() + 1.0;
        let mut bottom = values + NAME.leading();
        for (start, share, label, value, style) in cells {
            let x = MARGIN + PADDING + (WIDTH - 2.0 * PADDING) * start;
            let width = (WIDTH - 2.0 * PADDING) * share - 8.0;
            self.column(x, top, width, label, CAPTION)?;
            // Values of different size stand on one baseline.
            let lower = (NAME.leading() - style.leading()) * 0.75;
            bottom = self.column(x, values + lower, width, value, style)?.max(bottom);
        }
        let height = bottom + PADDING * 0.6 - self.y;
        let wash = Mark::Box { x: MARGIN, y: self.y, width: WIDTH, height, ink: Ink::Wash };
        self.sheet.marks.insert(place, wash);
        self.y += height + GAP;
        Ok(())
    }

    /// The free text, line by line over as many pages as it needs.
    fn notes(&mut self) -> Result<(), PdfError> {
        let document = self.document;
        let Some(body) = document.body_text.as_deref().filter(|body| !body.trim().is_empty())
        else {
            return Ok(());
        };
        let lines = self.typesetter.wrap(body, BODY, WIDTH)?;
        // A heading does not stand alone at the foot of a page.
        if !self.fits(HEADING.leading() + 3.0 * BODY.leading()) {
            self.next_page()?;
        }
        self.put(MARGIN, &document.labels.notes, HEADING)?;
        self.y += 3.0;
        for line in lines {
            if !self.fits(BODY.leading()) {
                self.next_page()?;
            }
            self.text(MARGIN, self.y, line);
            self.y += BODY.leading();
        }
        self.y += GAP;
        Ok(())
    }

    /// Who issued it, and the code to check it, at the foot of the last page.
    fn closing(&mut self, code: &Code) -> Result<(), PdfError> {
        let document = self.document;
        let (prescriber, labels) = (&document.prescriber, &document.labels);
        let left_width = WIDTH * 0.5;
        let registration =
            format!("{} {}", labels.registration_number, prescriber.registration_number);
        let place = self.sheet.marks.len();
        let mut left = 0.0;
        for (text, style, space) in [
            (labels.issued_by.as_str(), CAPTION, 1.0),
            (&prescriber.name, NAME, 0.0),
            (&prescriber.qualification, SMALL, 0.0),
            (&registration, SMALL, 0.0),
            (&document.issue_date, SMALL, 6.0),
            (&labels.issued_digitally, CAPTION, 0.0),
        ] {
            left = self.column(MARGIN, left, left_width, text, style)? + space;
        }
        let caption_x = MARGIN + left_width + 16.0;
        let caption_width = WIDTH - left_width - 16.0 - code.side - 8.0;
        let mut caption = self.column(caption_x, 0.0, caption_width, &labels.verify, CAPTION)?;
        let host = style(Weight::Bold, 7.5, Ink::Text);
        let address = host_of(&document.verification_url);
        caption = self.column(caption_x, caption, caption_width, address, host)?;
        let height = left.max(caption).max(code.side);
        // Set from zero to learn the height; now the block moves to its place.
        let mut block = self.sheet.marks.split_off(place);
        if !self.fits(height + GAP) {
            self.next_page()?;
        }
        let top = BOTTOM - height;
        for mark in &mut block {
            if let Mark::Text { x, y, .. } = mark {
                let below = if *x < caption_x { left } else { caption };
                *y += top + height - below;
            }
        }
        self.y = top - 8.0;
        self.rule(0.6, Ink::Hairline);
        self.sheet.marks.append(&mut block);
        let (x, y) = (MARGIN + WIDTH - code.side, BOTTOM - code.side);
        self.sheet.marks.push(Mark::Code { x, y });
        Ok(())
    }
}

/// The part of a link that tells whose it is.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

/// What stands at the foot of each page; the number of pages is only known now.
fn footers(
    document: &PrescriptionDocument,
    typesetter: &Typesetter<'_>,
    sheets: &mut [Sheet],
) -> Result<(), PdfError> {
    let labels = &document.labels;
    let pages = sheets.len().to_string();
    let y = PAGE_HEIGHT - MARGIN - CAPTION.leading() + 4.0;
    for (number, sheet) in (1_usize..).zip(sheets) {
        let left = format!("{}  ·  {} {}", labels.generated_by, labels.number, document.number);
        let line = typesetter.line(&left, CAPTION)?;
        sheet.marks.push(Mark::Text { x: MARGIN, y, line });
        let page = labels.page.replace("{pages}", &pages).replace("{page}", &number.to_string());
        let line = typesetter.line(&page, CAPTION)?;
        sheet.marks.push(Mark::Text { x: MARGIN + WIDTH - line.width, y, line });
    }
    Ok(())
}
