//! The texts of all messages, for admins: what there is, and how it looks.

use clinicd_proto::notifications::v1 as pb;

use super::plan::{Channel, plan};
use crate::kernel::error::{Error, Result};
use crate::kernel::locale::{Locale, Locales, NoticeKind, negotiate, texts};

/// `ListTemplates`.
pub(super) fn list() -> Result<pb::ListTemplatesResponse> {
    let texts = locales()?;
    let mut kinds = NoticeKind::ALL.to_vec();
    kinds.sort_by_key(|kind| kind.key());
    let templates = kinds.into_iter().map(|kind| template(texts, kind)).collect();
    Ok(pb::ListTemplatesResponse { templates })
}

/// `PreviewTemplate`.
pub(super) fn preview(request: &pb::PreviewTemplateRequest) -> Result<pb::PreviewTemplateResponse> {
    let kind = NoticeKind::from_key(&request.kind).ok_or_else(|| Error::not_found("template"))?;
    let (texts, locale) = (locales()?, negotiate(&request.language));
    let notice = texts.preview(locale, kind).map_err(Error::internal)?;
    Ok(pb::PreviewTemplateResponse {
        subject: notice.title,
        text: notice.text,
        html: notice.html,
        short_text: notice.short,
        language: locale.tag().to_owned(),
        version: texts.version(locale, kind).to_owned(),
    })
}

fn template(texts: &Locales, kind: NoticeKind) -> pb::Template {
    let plan = plan(kind);
    let language = |locale: Locale| pb::TemplateVersion {
        language: locale.tag().to_owned(),
        version: texts.version(locale, kind).to_owned(),
    };
    pb::Template {
        kind: kind.key().to_owned(),
        class: plan.class.into(),
        channels: plan.channels.iter().map(|channel: &Channel| i32::from(*channel)).collect(),
        inbox: plan.inbox,
        urgent: plan.urgent,
        languages: Locale::ALL.map(language).to_vec(),
    }
}

fn locales() -> Result<&'static Locales> {
    texts().map_err(|error| Error::internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn preview_of(kind: &str, language: &str) -> Result<pb::PreviewTemplateResponse> {
        preview(&pb::PreviewTemplateRequest { kind: kind.into(), language: language.into() })
    }

    #[test]
    fn every_kind_is_listed_in_every_language_and_can_be_looked_at() {
        let listed = list().unwrap().templates;
        assert_eq!(listed.len(), NoticeKind::ALL.len());
        assert!(listed.is_sorted_by(|one, next| one.kind < next.kind));
        for template in listed {
            assert!(template.class > 0 && !template.channels.is_empty(), "{}", template.kind);
            assert_eq!(template.languages.len(), Locale::ALL.len());
            for language in template.languages {
                let preview = preview_of(&template.kind, &language.language).unwrap();
                assert_eq!(preview.language, language.language);
                assert_eq!(preview.version, language.version);
                assert!(!preview.short_text.is_empty(), "{}", template.kind);
            }
        }
    }

    #[test]
    fn a_preview_is_in_the_nearest_language() {
        assert_eq!(preview_of("welcome", "hi-IN").unwrap().language, "hi");
        assert_eq!(preview_of("welcome", "fr").unwrap().language, "en");
        assert_eq!(preview_of("welcome", "").unwrap().language, "en");
        assert!(preview_of("no_such_kind", "en").is_err());
    }
}
