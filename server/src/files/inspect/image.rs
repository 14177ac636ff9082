//! JPEG and PNG: copied part by part without metadata, then decoded in full.
//!
//! The copy keeps only what changes the picture, and every byte of that as it was, so that the
//! pixels stay the same. The decoder runs on the copy: what is stored is what was checked.

use std::io::Cursor;

use image::{ImageError, ImageFormat, ImageReader, Limits};

use super::{FileKind, Inspected, MAX_DECODE_BYTES, MAX_PIXELS, Refusal};

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// The chunks that change how a PNG looks. All else is metadata, animation or unknown.
const PNG_KEPT: [&[u8; 4]; 10] =
    [b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"pHYs"];
/// Bit 5 of the first letter: set in chunks that a decoder may ignore.
const PNG_ANCILLARY: u8 = 0x20;

/// Rewrites and decodes a PNG.
pub(super) fn inspect_png(bytes: &[u8]) -> Result<Inspected, Refusal> {
    let (kept, pixels) = copy_png(bytes)?;
    decode(&kept, ImageFormat::Png)?;
    Ok(Inspected { kind: FileKind::Png, bytes: kept, pixels: Some(pixels) })
}

/// Rewrites and decodes a JPEG.
pub(super) fn inspect_jpeg(bytes: &[u8]) -> Result<Inspected, Refusal> {
    let (kept, pixels) = copy_jpeg(bytes)?;
    decode(&kept, ImageFormat::Jpeg)?;
    Ok(Inspected { kind: FileKind::Jpeg, bytes: kept, pixels: Some(pixels) })
}

fn decode(bytes: &[u8], format: ImageFormat) -> Result<(), Refusal> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODE_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    match reader.decode() {
        Ok(_) => Ok(()),
        Err(ImageError::Limits(_)) => Err(Refusal::TooManyPixels),
        Err(_) => Err(Refusal::NotDecodable),
    }
}

fn check_pixels(width: u32, height: u32) -> Result<(u32, u32), Refusal> {
    if width == 0 || height == 0 {
        return Err(Refusal::NotDecodable);
    }
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(Refusal::TooManyPixels);
    }
    Ok((width, height))
}

/// Copies the kept chunks up to and including IEND. Check sums are copied with them and verified
/// by the decoder.
fn copy_png(bytes: &[u8]) -> Result<(Vec<u8>, (u32, u32)), Refusal> {
    let mut kept = Vec::with_capacity(bytes.len());
    kept.extend_from_slice(PNG_SIGNATURE);
    let mut pixels = None;
    let mut rest = bytes.get(PNG_SIGNATURE.len()..).ok_or(Refusal::Truncated)?;
    loop {
        let (&length, after) = rest.split_first_chunk::<4>().ok_or(Refusal::Truncated)?;
        let (kind, _) = after.split_first_chunk::<4>().ok_or(Refusal::Truncated)?;
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| Refusal::Truncated)?;
        // Length, kind, data and check sum.
        let size = length.checked_add(12).ok_or(Refusal::Truncated)?;
        if pixels.is_none() {
            pixels = Some(png_pixels(rest)?);
        }
        let chunk = rest.get(..size).ok_or(Refusal::Truncated)?;
        if PNG_KEPT.contains(&kind) {
            kept.extend_from_slice(chunk);
        } else if kind[0] & PNG_ANCILLARY == 0 {
            return Err(Refusal::NotDecodable);
        }
        if kind == b"IEND" {
            return pixels.map(|pixels| (kept, pixels)).ok_or(Refusal::NotDecodable);
        }
        rest = &rest[size..];
    }
}

/// Width and height from the first chunk, which has to be a header.
fn png_pixels(chunk: &[u8]) -> Result<(u32, u32), Refusal> {
    if !chunk.starts_with(b"\x00\x00\x00\x0dIHDR") {
        return Err(Refusal::BadHeader);
    }
    let (&width, rest) =
        chunk.get(8..).and_then(<[u8]>::split_first_chunk::<4>).ok_or(Refusal::Truncated)?;
    let (&height, _) = rest.split_first_chunk::<4>().ok_or(Refusal::Truncated)?;
    check_pixels(u32::from_be_bytes(width), u32::from_be_bytes(height))
}

/// Markers of a JPEG stream that the copy tells apart.
mod marker {
    pub(super) const TEM: u8 = 0x01;
    pub(super) const SOF0: u8 = 0xC0;
    pub(super) const SOF15: u8 = 0xCF;
    pub(super) const DHT: u8 = 0xC4;
    pub(super) const JPG: u8 = 0xC8;
    pub(super) const DAC: u8 = 0xCC;
    pub(super) const RST0: u8 = 0xD0;
    pub(super) const RST7: u8 = 0xD7;
    pub(super) const SOI: u8 = 0xD8;
    pub(super) const EOI: u8 = 0xD9;
    pub(super) const SOS: u8 = 0xDA;
    pub(super) const APP0: u8 = 0xE0;
    pub(super) const APP2: u8 = 0xE2;
    pub(super) const APP14: u8 = 0xEE;
    pub(super) const APP15: u8 = 0xEF;
    /// Reserved extensions and the comment, which is the last of them.
    pub(super) const JPG0: u8 = 0xF0;
    pub(super) const COM: u8 = 0xFE;
}

/// Copies the kept segments and the scans up to and including the first end marker.
fn copy_jpeg(bytes: &[u8]) -> Result<(Vec<u8>, (u32, u32)), Refusal> {
    let mut kept = Vec::with_capacity(bytes.len());
    kept.extend_from_slice(&[0xFF, marker::SOI]);
    let mut pixels = None;
    let mut rest = bytes.get(2..).ok_or(Refusal::Truncated)?;
    loop {
        let (kind, after) = next_marker(rest)?;
        rest = after;
        if kind == marker::EOI {
            kept.extend_from_slice(&[0xFF, marker::EOI]);
            return pixels.map(|pixels| (kept, pixels)).ok_or(Refusal::NotDecodable);
        }
        if kind == marker::TEM || (marker::RST0..=marker::RST7).contains(&kind) {
            continue;
        }
        if kind == marker::SOI {
            return Err(Refusal::NotDecodable);
        }
        let (&length, _) = rest.split_first_chunk::<2>().ok_or(Refusal::Truncated)?;
        let length = usize::from(u16::from_be_bytes(length));
        let segment = rest.get(..length).ok_or(Refusal::Truncated)?;
        let body = segment.get(2..).ok_or(Refusal::NotDecodable)?;
        if is_frame(kind) {
            pixels = Some(frame_pixels(body)?);
        }
        keep_segment(&mut kept, kind, body);
        rest = &rest[length..];
        if kind == marker::SOS {
            let scan = scan_length(rest).ok_or(Refusal::Truncated)?;
            kept.extend_from_slice(&rest[..scan]);
            rest = &rest[scan..];
        }
    }
}

/// The next marker and what follows it. Fill bytes before it are allowed.
fn next_marker(bytes: &[u8]) -> Result<(u8, &[u8]), Refusal> {
    let (&first, mut rest) = bytes.split_first().ok_or(Refusal::Truncated)?;
    if first != 0xFF {
        return Err(Refusal::NotDecodable);
    }
    loop {
        let (&kind, after) = rest.split_first().ok_or(Refusal::Truncated)?;
        match kind {
            0xFF => rest = after,
            0x00 => return Err(Refusal::NotDecodable),
            _ => return Ok((kind, after)),
        }
    }
}

/// How many bytes of entropy-coded data stand before the next marker that is no restart.
fn scan_length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| {
        pair[0] == 0xFF
            && !matches!(pair[1], 0x00 | 0xFF)
            && !(marker::RST0..=marker::RST7).contains(&pair[1])
    })
}

fn is_frame(kind: u8) -> bool {
    (marker::SOF0..=marker::SOF15).contains(&kind)
        && !matches!(kind, marker::DHT | marker::JPG | marker::DAC)
}

fn frame_pixels(body: &[u8]) -> Result<(u32, u32), Refusal> {
    // One byte of precision, then height and width.
    let size = body.get(1..5).ok_or(Refusal::NotDecodable)?;
    let height = u16::from_be_bytes([size[0], size[1]]);
    let width = u16::from_be_bytes([size[2], size[3]]);
    check_pixels(u32::from(width), u32::from(height))
}

/// Writes a segment if it changes the picture: of the application segments that is JFIF (without
/// its thumbnail, which may show what was cropped away), Adobe's colour transform, and the
/// colour profile.
fn keep_segment(kept: &mut Vec<u8>, kind: u8, body: &[u8]) {
    let body = match kind {
        marker::APP0 if body.starts_with(b"JFIF\0") && body.len() >= 14 => {
            kept.extend_from_slice(&[0xFF, marker::APP0, 0, 16]);
            kept.extend_from_slice(&body[..12]);
            kept.extend_from_slice(&[0, 0]);
            return;
        }
        marker::APP2 if body.starts_with(b"ICC_PROFILE\0") => body,
        marker::APP14 if body.starts_with(b"Adobe") => &body[..body.len().min(12)],
        marker::APP0..=marker::APP15 | marker::JPG0..=marker::COM => return,
        _ => body,
    };
    // The body comes from a segment, whose length field has 16 bits and counts itself.
    let length = u16::try_from(body.len() + 2).unwrap_or(u16::MAX);
    kept.extend_from_slice(&[0xFF, kind]);
    kept.extend_from_slice(&length.to_be_bytes());
    kept.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use image::{DynamicImage, RgbImage};

    use super::*;

    fn picture() -> DynamicImage {
        let shade = |at: u32| u8::try_from(at * 6).unwrap();
        RgbImage::from_fn(37, 23, |x, y| image::Rgb([shade(x), shade(y), 90])).into()
    }

    fn encode(format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn pixels(bytes: &[u8]) -> Vec<u8> {
        image::load_from_memory(bytes).unwrap().into_rgb8().into_raw()
    }

    fn contains(bytes: &[u8], needle: &[u8]) -> bool {
        bytes.windows(needle.len()).any(|window| window == needle)
    }

    /// A chunk with a check sum of zero: nobody verifies those that are dropped.
    fn chunk(kind: &str, data: &[u8]) -> Vec<u8> {
        [&u32::try_from(data.len()).unwrap().to_be_bytes(), kind.as_bytes(), data, &[0; 4]].concat()
    }

    fn segment(kind: u8, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(data.len() + 2).unwrap().to_be_bytes();
        [&[0xFF, kind], &length[..], data].concat()
    }

    #[test]
    fn png_loses_metadata_and_tail_but_no_pixel() {
        let good = encode(ImageFormat::Png);
        let header = 8 + 25;
        let dirty = [
            &good[..header],
            &chunk("eXIf", b"GPS 12.97 77.59"),
            &chunk("tEXt", b"Author\0somebody"),
            &chunk("iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>"),
            &good[header..],
            b"PK\x03\x04 and an archive",
        ]
        .concat();
        let inspected = inspect_png(&dirty).unwrap();
        assert_eq!(inspected.bytes, good);
        assert_eq!(inspected.pixels, Some((37, 23)));
        assert_eq!(pixels(&inspected.bytes), pixels(&dirty));
    }

    #[test]
    fn jpeg_loses_metadata_and_tail_but_no_pixel() {
        let good = encode(ImageFormat::Jpeg);
        let dirty = [
            &good[..2],
            &segment(0xE1, b"Exif\0\0GPS 12.97 77.59"),
            &segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
            &segment(0xED, b"Photoshop 3.0\0IPTC"),
            &segment(0xE2, b"MPF\0another picture"),
            &segment(0xFE, b"%PDF-1.4 in a comment"),
            &good[2..],
            b"PK\x03\x04 and an archive",
        ]
        .concat();
        let inspected = inspect_jpeg(&dirty).unwrap();
        assert_eq!(inspected.bytes, good);
        assert_eq!(inspected.pixels, Some((37, 23)));
        assert_eq!(pixels(&inspected.bytes), pixels(&dirty));
    }

    #[test]
    fn jpeg_keeps_its_profile_and_drops_the_thumbnail() {
        let good = encode(ImageFormat::Jpeg);
        let rest = &good[2 + 2 + 16..];
        assert!(good[2..].starts_with(&[0xFF, marker::APP0, 0, 16]));
        let profile = segment(marker::APP2, b"ICC_PROFILE\0\x01\x01profile");
        let thumbnail = b"JFIF\0\x01\x02\0\0\x01\0\x01\x01\x01abc";
        let dirty = [&good[..2], &segment(marker::APP0, thumbnail), &profile, rest].concat();
        let inspected = inspect_jpeg(&dirty).unwrap();
        assert!(contains(&inspected.bytes, &profile));
        assert!(!contains(&inspected.bytes, b"\x01\x01abc"));
        assert_eq!(pixels(&inspected.bytes), pixels(&good));
    }

    #[test]
    fn cut_images_are_refused() {
        let png = encode(ImageFormat::Png);
        for cut in [9, 20, png.len() / 2, png.len() - 12, png.len() - 1] {
            assert_eq!(inspect_png(&png[..cut]), Err(Refusal::Truncated), "cut at {cut}");
        }
        let jpeg = encode(ImageFormat::Jpeg);
        for cut in [2, 3, 25, jpeg.len() / 2, jpeg.len() - 2, jpeg.len() - 1] {
            assert_eq!(inspect_jpeg(&jpeg[..cut]), Err(Refusal::Truncated), "cut at {cut}");
        }
    }

    #[test]
    fn damaged_images_are_refused() {
        let mut png = encode(ImageFormat::Png);
        let middle = png.len() / 2;
        png[middle] ^= 0xFF;
        assert_eq!(inspect_png(&png), Err(Refusal::NotDecodable));
        let no_scan = [&[0xFF, 0xD8][..], &segment(0xFE, b"x"), &[0xFF, 0xD9]].concat();
        assert_eq!(inspect_jpeg(&no_scan), Err(Refusal::NotDecodable));
    }

    #[test]
    fn size_is_judged_before_anything_is_decoded() {
        let mut png = encode(ImageFormat::Png);
        png[16..20].copy_from_slice(&50_000_u32.to_be_bytes());
        png[20..24].copy_from_slice(&50_000_u32.to_be_bytes());
        assert_eq!(inspect_png(&png), Err(Refusal::TooManyPixels));
        let mut jpeg = encode(ImageFormat::Jpeg);
        let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0xC3, 0x50, 0xC3, 0x50]);
        assert_eq!(inspect_jpeg(&jpeg), Err(Refusal::TooManyPixels));
        png[16..20].copy_from_slice(&0_u32.to_be_bytes());
        assert_eq!(inspect_png(&png), Err(Refusal::NotDecodable));
    }
}
