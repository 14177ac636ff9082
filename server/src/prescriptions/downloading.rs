//! The prescription as a PDF.

use clinicd_proto::prescriptions::v1 as pb;
use tonic::Status;

use super::printing;
use super::reading;
use super::rows::{PrescriptionId, Scope};
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Result};
use crate::profiles;

/// Largest part of the stream, in bytes.
const PART: usize = 256 * 1024;

/// The parts of a PDF, in order.
pub(super) type Parts =
    tokio_stream::Iter<std::vec::IntoIter<Result<pb::DownloadPrescriptionPdfResponse, Status>>>;

/// Renders the PDF after the audit entry is committed, outside the transaction.
pub(super) async fn download(
    app: &App,
    caller: &Caller,
    request: pb::DownloadPrescriptionPdfRequest,
) -> Result<Parts> {
    let id = PrescriptionId::from_wire("prescription_id", &request.prescription_id)?;
    let (row, items) = reading::open(app, caller, Scope::printable_by(caller), id).await?;
    let mut printed = row.printed()?;
    let patient = profiles::patient(&mut *app.db.read().await?, row.patient).await?;
    if let Some(patient) = patient.filter(|patient| patient.closed) {
        // What is stored never changes; whose it was is shown to nobody any more.
        printed.patient = patient.into();
    }
    let pdf = printing::try_render(app, &row, &printed, &items).await?;
    Ok(tokio_stream::iter(parts(&pdf.map_err(|missing| Error::from(&missing))?)))
}

fn parts(pdf: &[u8]) -> Vec<Result<pb::DownloadPrescriptionPdfResponse, Status>> {
    pdf.chunks(PART)
        .map(|part| Ok(pb::DownloadPrescriptionPdfResponse { data: part.to_vec() }))
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn parts_are_small_and_make_up_the_whole() {
        let pdf: Vec<u8> = (0..=PART * 2).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let parts: Vec<Vec<u8>> = parts(&pdf).into_iter().map(|part| part.unwrap().data).collect();
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [PART, PART, 1]);
        assert_eq!(parts.concat(), pdf);
    }
}
