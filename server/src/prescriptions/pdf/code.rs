//! The QR code.

use qrcode::{Color, EcLevel, QrCode};

use super::PdfError;

/// The longest link: at level M it gives a code that a phone still reads from paper.
const MAX_URL_BYTES: usize = 512;
/// White modules around the code, without which scanners do not find it.
const QUIET_ZONE: u16 = 4;
/// Side of a module in points (0.42 mm) unless the code would get smaller than [`MIN_SIDE`].
const MODULE: f32 = 1.2;
const MIN_SIDE: f32 = 84.0;

/// A QR code as horizontal bars of dark modules.
pub(super) struct Code {
    /// Column, row and length of each bar, in modules, quiet zone included.
    pub(super) bars: Vec<(u16, u16, u16)>,
    /// Side of a module, in points.
    pub(super) module: f32,
    /// Side of the whole code with its quiet zone, in points.
    pub(super) side: f32,
}

impl Code {
    /// Encodes a link; a quarter of it may be soiled or torn.
    pub(super) fn of(url: &str) -> Result<Self, PdfError> {
        let too_long = |_| PdfError::VerificationUrlTooLong;
        if url.len() > MAX_URL_BYTES {
            return Err(PdfError::VerificationUrlTooLong);
        }
        let code = QrCode::with_error_correction_level(url, EcLevel::M).map_err(too_long)?;
        let width = u16::try_from(code.width()).map_err(|_| PdfError::VerificationUrlTooLong)?;
        let colors = code.to_colors();
        let mut bars: Vec<(u16, u16, u16)> = Vec::new();
        for (row, colors) in (QUIET_ZONE..).zip(colors.chunks(usize::from(width))) {
            for (column, color) in (QUIET_ZONE..).zip(colors) {
                match bars.last_mut() {
                    _ if *color == Color::Light => {}
                    Some((x, y, length)) if *y == row && *x + *length == column => *length += 1,
                    _ => bars.push((column, row, 1)),
                }
            }
        }
        let modules = f32::from(width + 2 * QUIET_ZONE);
        let side = (modules * MODULE).max(MIN_SIDE);
        Ok(Self { bars, module: side / modules, side })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_code_fits_its_square() {
        let code = Code::of(&"https://clinic.example/v/".repeat(10)).unwrap();
        let modules = (code.side / code.module).round();
        for &(x, y, length) in &code.bars {
            assert!(f32::from(x + length + QUIET_ZONE) <= modules);
            assert!(f32::from(y + 1 + QUIET_ZONE) <= modules);
        }
        // The first row begins with the finder pattern: seven dark modules.
        assert_eq!(code.bars[0], (4, 4, 7));
        assert!(code.module >= MODULE);
    }

    #[test]
    fn a_link_beyond_the_limit_is_refused() {
        assert!(Code::of(&"x".repeat(512)).is_ok());
        assert!(Code::of(&"x".repeat(513)).is_err());
    }
}
