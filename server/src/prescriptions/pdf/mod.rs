//! The prescription as an A4 PDF that a patient is handed.
//!
//! [`render`] is pure: the same document and the same fonts give the same bytes, since dates and
//! ids all come from the document. It promises that what is printed is what was prescribed:
//! - text wraps and flows over as many pages as it needs, nothing is cut off or shrunk, and each
//!   page names patient, prescriber and number;
//! - a character that no font can show is an error ([`PdfError::MissingGlyphs`]), never a box;
//! - the number of items is printed, so that a page cannot be left out or a line added unseen.
//!
//! Latin, Greek and Cyrillic fonts are built in; Devanagari comes from the system ([`Fonts`]).
//! Fonts are embedded as subsets. The document is not tagged for screen readers.

mod code;
mod fonts;
mod labels;
mod layout;
mod letters;
mod paint;
mod table;
mod text;

pub use fonts::Fonts;
pub use labels::Labels;

/// All that is printed. Texts are final: formatted for the locale of [`Labels`] by the caller.
#[derive(Clone, PartialEq, Eq)]
pub struct PrescriptionDocument {
    /// Number or id of the prescription, as people quote it.
    pub number: String,
    /// Date of issue in words, e.g. "20 November 2026".
    pub issue_date: String,
    /// Instant of issue, for the metadata of the file only.
    pub issued_at: jiff::Timestamp,
    /// Who prescribes.
    pub prescriber: Prescriber,
    /// For whom.
    pub patient: Patient,
    /// The medications, in the order in which they were prescribed.
    pub items: Vec<Item>,
    /// Free text of the prescription, printed as written, line breaks included.
    pub body_text: Option<String>,
    /// The link behind the QR code, at most 512 bytes. Its host is printed beside the code.
    pub verification_url: String,
    /// A word printed across every page, e.g. "SUPERSEDED".
    pub status_watermark: Option<String>,
    /// All fixed words.
    pub labels: Labels,
}

/// The letterhead. Empty texts are left out.
#[derive(Clone, PartialEq, Eq)]
pub struct Prescriber {
    /// Name with title.
    pub name: String,
    /// Qualification and specialty, e.g. "MBBS, MD (General Medicine)".
    pub qualification: String,
    /// Registration with the medical council.
    pub registration_number: String,
    /// Name of the clinic.
    pub clinic_name: String,
    /// Address of the clinic, one entry per line.
    pub clinic_address: Vec<String>,
    /// Phone number of the clinic.
    pub phone: Option<String>,
}

/// Whom the prescription is for.
#[derive(Clone, PartialEq, Eq)]
pub struct Patient {
    /// Full name.
    pub name: String,
    /// E.g. "34 years / female".
    pub age_and_gender: String,
    /// A short form of the patient's id, enough to tell two people of one name apart.
    pub short_id: String,
}

/// One medication. An empty text is printed as a dash, empty instructions are left out.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    /// Name, strength and form.
    pub medication: String,
    /// How much at a time.
    pub dose: String,
    /// How it is taken.
    pub route: String,
    /// How often.
    pub frequency: String,
    /// For how long.
    pub duration: String,
    /// How much is dispensed.
    pub quantity: String,
    /// How often it may be dispensed again.
    pub refills: String,
    /// What the patient should heed.
    pub instructions: String,
}

/// Why no PDF was made. It repeats nothing of the document.
#[derive(Debug, thiserror::Error)]
pub enum PdfError {
    /// A character has no glyph in any font. The server has to be given a font for that script.
    #[error("no font shows all characters of script {script}")]
    MissingGlyphs {
        /// ISO 15924 code of the script, e.g. `Deva` or `Taml`; `Zyyy` for a symbol.
        script: String,
    },
    /// A font that is built in could not be read.
    #[error("a built-in font could not be read")]
    Font,
    /// Letterhead and patient leave no room for the prescription.
    #[error("letterhead and patient data fill the page")]
    HeadTooLong,
    /// The verification link is longer than a printed code can carry.
    #[error("the verification link is too long for a QR code")]
    VerificationUrlTooLong,
    /// The file could not be put together.
    #[error("the PDF could not be written")]
    Write(#[from] krilla::error::KrillaError),
}

/// Sets, paginates and writes the document.
pub fn render(document: &PrescriptionDocument, fonts: &Fonts) -> Result<Vec<u8>, PdfError> {
    let typesetter = text::Typesetter::new(fonts)?;
    let code = code::Code::of(&document.verification_url)?;
    let sheets = layout::lay_out(document, &typesetter, &code)?;
    paint::paint(document, &typesetter, &code, &sheets)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn item(medication: &str, cells: [&str; 6], instructions: &str) -> Item {
        let [dose, route, frequency, duration, quantity, refills] = cells.map(str::to_owned);
        let (medication, instructions) = (medication.into(), instructions.into());
        Item { medication, dose, route, frequency, duration, quantity, refills, instructions }
    }

    /// Invented people, two items.
    fn sample() -> PrescriptionDocument {
        PrescriptionDocument {
            number: "RX-2026-004217".into(),
            issue_date: "20 November 2026".into(),
            issued_at: "2026-11-20T09:30:00Z".parse().unwrap(),
            prescriber: Prescriber {
                name: "Dr. Meera Krishnan".into(),
                qualification: "MBBS, MD (General Medicine)".into(),
                registration_number: "KMC 48213".into(),
                clinic_name: "Lakeside Family Clinic".into(),
                clinic_address: vec![
                    "14 Temple Tank Road, Jayanagar".into(),
                    "Bengaluru 560041, Karnataka".into(),
                ],
                phone: Some("+91 80 5550 0142".into()),
            },
            patient: Patient {
                name: "Arjun Vasudevan".into(),
                age_and_gender: "34 years / male".into(),
                short_id: "P-7F3A-21C9".into(),
            },
            items: vec![
                item(
                    "Amoxicillin 500 mg capsule",
                    ["1 capsule", "Oral", "Every 8 hours", "7 days", "21", "0"],
                    "Take with a full glass of water. Finish the course even if you feel better.",
                ),
                item(
                    "Paracetamol 650 mg tablet",
                    [
                        "1 tablet",
                        "Oral",
                        "Up to three times a day, when needed",
                        "5 days",
                        "15",
                        "",
                    ],
                    "Leave at least 6 hours between doses. Not more than 3 tablets in 24 hours.",
                ),
            ],
            body_text: Some(
                "Acute tonsillitis. Rest, warm fluids, gargle with salt water twice a day.\n\
                 Come back at once if you cannot swallow, if breathing is hard, or if the fever \
                 stays above 39 °C after three days. Otherwise review on 27 November 2026."
                    .into(),
            ),
            verification_url: "https://verify.lakeside.example/p/AZqk1vJxVx7q4wXJ8mTt0nYc6Lr3Hf2e\
                               .eyJ2IjoxLCJpZCI6IjAxOTMifQ.kQ7Yw1n8Zr5TtB0uVb3LhXy9AaPp2SsDdFgHj4Kl"
                .into(),
            status_watermark: None,
            labels: Labels::english(),
        }
    }

    fn long() -> PrescriptionDocument {
        let mut document = sample();
        document.items = (0..100).flat_map(|_| sample().items).collect();
        document.items[3].medication = "Sulfamethoxazoletrimethoprim".repeat(8);
        document.items[4].instructions = "Shake well before use. ".repeat(400);
        document.items[5].dose = "12.5mg/".repeat(900);
        document.body_text = Some("Words of advice, again and again. ".repeat(600));
        document
    }

    fn pages(bytes: &[u8]) -> usize {
        lopdf::Document::load_mem(bytes).unwrap().get_pages().len()
    }

    #[test]
    fn a_prescription_is_one_page_and_the_same_each_time() {
        let fonts = Fonts::load(None).unwrap();
        let bytes = render(&sample(), &fonts).unwrap();
        assert_eq!(pages(&bytes), 1);
        assert_eq!(bytes, render(&sample(), &Fonts::load(None).unwrap()).unwrap());
        let mut other = sample();
        other.items[0].dose = "2 capsules".into();
        assert_ne!(bytes, render(&other, &fonts).unwrap());
    }

    #[test]
    fn the_file_says_what_it_is_and_passes_our_own_gate() {
        let bytes = render(&sample(), &Fonts::load(None).unwrap()).unwrap();
        let pdf = lopdf::Document::load_mem(&bytes).unwrap();
        let info = pdf.trailer.get(b"Info").unwrap().as_reference().unwrap();
        let info = pdf.get_dictionary(info).unwrap();
        let text = |key: &[u8]| String::from_utf8_lossy(info.get(key).unwrap().as_str().unwrap());
        assert_eq!(text(b"Title"), "Prescription RX-2026-004217");
        assert_eq!(text(b"Creator"), "clinicd");
        assert!(text(b"CreationDate").starts_with("D:20261120093000"));
        assert_eq!(pdf.catalog().unwrap().get(b"Lang").unwrap().as_str().unwrap(), b"en");
        crate::files::inspect::inspect("application/pdf", "rx.pdf", bytes).unwrap();
    }

    #[test]
    fn long_input_flows_over_pages_without_overlap() {
        let fonts = Fonts::load(None).unwrap();
        let document = long();
        let typesetter = text::Typesetter::new(&fonts).unwrap();
        let code = code::Code::of(&document.verification_url).unwrap();
        let sheets = layout::lay_out(&document, &typesetter, &code).unwrap();
        assert!((20..80).contains(&sheets.len()), "{}", sheets.len());
        for sheet in &sheets {
            let mut areas = Vec::new();
            for mark in &sheet.marks {
                match mark {
                    layout::Mark::Text { x, y, line } if line.width > 0.0 => {
                        // A little less than the line: neighbours may touch.
                        areas.push((*x, *y + 0.5, *x + line.width, *y + line.style.size));
                    }
                    layout::Mark::Code { x, y } => {
                        areas.push((*x, *y, *x + code.side, *y + code.side));
                    }
                    _ => {}
                }
            }
            for (index, a) in areas.iter().enumerate() {
                let edge = layout::MARGIN - 1.0;
                assert!(a.0 > edge && a.2 < layout::PAGE_WIDTH - edge, "{a:?}");
                assert!(a.1 > edge && a.3 < layout::PAGE_HEIGHT - edge + 4.0, "{a:?}");
                let apart =
                    |b: &(f32, f32, f32, f32)| a.2 <= b.0 || b.2 <= a.0 || a.3 <= b.1 || b.3 <= a.1;
                assert!(areas[index + 1..].iter().all(apart), "overlap on {a:?}");
            }
        }
        assert_eq!(pages(&render(&document, &fonts).unwrap()), sheets.len());
    }

    #[test]
    fn an_unreadable_character_is_refused_wherever_it_stands() {
        let fonts = Fonts::load(None).unwrap();
        let unreadable = || "\u{0ba4}".to_owned();
        let changes: [fn(&mut PrescriptionDocument, String); 6] = [
            |document, text| document.patient.name = text,
            |document, text| document.items[1].instructions = text,
            |document, text| document.items[0].medication = text,
            |document, text| document.body_text = Some(text),
            |document, text| document.labels.page = text,
            |document, text| document.status_watermark = Some(text),
        ];
        for change in changes {
            let mut document = sample();
            change(&mut document, unreadable());
            let refused = render(&document, &fonts);
            assert!(
                matches!(&refused, Err(PdfError::MissingGlyphs { script }) if script == "Taml")
            );
        }
    }

    #[test]
    fn only_text_or_only_items_is_enough() {
        let fonts = Fonts::load(None).unwrap();
        let mut document = sample();
        document.items.clear();
        assert_eq!(pages(&render(&document, &fonts).unwrap()), 1);
        document = sample();
        document.body_text = None;
        document.status_watermark = Some("SUPERSEDED".into());
        assert_eq!(pages(&render(&document, &fonts).unwrap()), 1);
        document.prescriber.clinic_address = vec!["a line".into(); 60];
        assert!(matches!(render(&document, &fonts), Err(PdfError::HeadTooLong)));
    }

    #[test]
    #[ignore = "writes samples to the folder in PDF_SAMPLES, to be looked at"]
    fn samples() {
        let folder = std::path::PathBuf::from(std::env::var_os("PDF_SAMPLES").unwrap());
        let fonts = Fonts::load(None).unwrap();
        let mut hindi = sample();
        hindi.patient.name = "श्रीमती सुनीता क्षत्रिय".into();
        hindi.items[0].instructions = "भोजन के बाद लें। पूरा कोर्स समाप्त करें (7 दिन)।".into();
        let mut middling = sample();
        middling.items = (0..8).flat_map(|_| sample().items).collect();
        middling.items[3].medication = "Sulfamethoxazoletrimethoprimforte 800/160 mg".into();
        middling.body_text = Some("Words of advice, again and again. ".repeat(120));
        middling.status_watermark = Some("SUPERSEDED".into());
        for (name, document) in
            [("plain", sample()), ("hindi", hindi), ("middling", middling), ("long", long())]
        {
            std::fs::write(
                folder.join(name).with_extension("pdf"),
                render(&document, &fonts).unwrap(),
            )
            .unwrap();
        }
    }
}
