//! Writes every mail in every language, made with the sample values, as HTML files into a folder:
//! `cargo run --example mail_previews -- FOLDER`. `scripts/look-at-mails.sh` makes pictures of them.

use std::error::Error;
use std::path::PathBuf;

use clinicd_server::kernel::locale::{Locale, Locales, NoticeKind};

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("name a folder to write into")?.into();
    std::fs::create_dir_all(&folder)?;
    let locales = Locales::load()?;
    for locale in Locale::ALL {
        for kind in NoticeKind::ALL.iter().copied().filter(|kind| kind.has_mail()) {
            let notice = locales.preview(locale, kind)?;
            let file = format!("{}-{}.html", locale.tag(), kind.key());
            std::fs::write(folder.join(file), notice.html)?;
        }
    }
    Ok(())
}
