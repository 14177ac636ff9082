//! The documents that the doctor of the story uploads: made here, from nothing.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};

/// A scan of an identity card, as PNG.
pub fn identity_card() -> Result<Vec<u8>, image::ImageError> {
    picture(ImageFormat::Png, [36, 99, 142])
}

/// A photograph of a registration certificate, as JPEG.
pub fn registration() -> Result<Vec<u8>, image::ImageError> {
    picture(ImageFormat::Jpeg, [122, 62, 72])
}

/// A framed card with a stripe, in one colour.
fn picture(format: ImageFormat, colour: [u8; 3]) -> Result<Vec<u8>, image::ImageError> {
    let (width, height) = (640, 400);
    let picture = RgbImage::from_fn(width, height, |x, y| {
        let frame = x < 12 || y < 12 || x >= width - 12 || y >= height - 12;
        let stripe = (80..140).contains(&y);
        if frame || stripe { Rgb(colour) } else { Rgb([246, 244, 238]) }
    });
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format)?;
    Ok(bytes.into_inner())
}

/// A medical certificate, as a PDF of one page.
pub fn certificate(name: &str) -> Vec<u8> {
    let text = format!("BT /F1 20 Tf 90 700 Td (Medical certificate of {name}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{text}\nendstream", text.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut pdf = "%PDF-1.7\n".to_owned();
    let mut offsets = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        offsets.push(pdf.len());
        pdf.push_str(&format!("{} 0 obj\n{object}\nendobj\n", index + 1));
    }
    let table = pdf.len();
    pdf.push_str(&format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1));
    for offset in offsets {
        pdf.push_str(&format!("{offset:010} 00000 n \n"));
    }
    let size = objects.len() + 1;
    pdf.push_str(&format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n"));
    pdf.into_bytes()
}
