//! The documents that the doctor of the story uploads: made here, from nothing.

use std::io::{Cursor, Write};

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
pub fn certificate(name: &str) -> std::io::Result<Vec<u8>> {
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
    let mut pdf = b"%PDF-1.7\n".to_vec();
    let mut offsets = Vec::new();
    for (object, number) in objects.iter().zip(1..) {
        offsets.push(pdf.len());
        write!(pdf, "{number} 0 obj\n{object}\nendobj\n")?;
    }
    let (table, size) = (pdf.len(), objects.len() + 1);
    write!(pdf, "xref\n0 {size}\n0000000000 65535 f \n")?;
    for offset in offsets {
        writeln!(pdf, "{offset:010} 00000 n ")?;
    }
    write!(pdf, "trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n")?;
    Ok(pdf)
}
