//! `compress`: codings by their names, content types in the form they are compared in.

use sluice_model::action::Compress as CompressSpec;

use crate::live::native::{Coding, Compress};

pub(super) fn compile(spec: &CompressSpec) -> Result<Compress, String> {
    if !spec.excluded.is_empty() && !spec.included.is_empty() {
        return Err("content types are either excluded or included, not both".to_owned());
    }
    let codings = spec.encodings.iter().map(|name| coding(name)).collect::<Result<Vec<_>, _>>()?;
    let default = spec.default_encoding.as_deref().map(coding).transpose()?;
    if codings.is_empty() {
        return Err("it lists no encoding".to_owned());
    }
    let types = |list: &[String]| list.iter().map(|one| media_type(one)).collect();
    let (excluded, included) = (types(&spec.excluded), types(&spec.included));
    Ok(Compress { codings, default, excluded, included, min_bytes: spec.min_bytes })
}

fn coding(name: &str) -> Result<Coding, String> {
    match name {
        "gzip" => Ok(Coding::Gzip),
        "br" => Ok(Coding::Brotli),
        "zstd" => Ok(Coding::Zstd),
        _ => Err(format!("encoding `{name}` is none of gzip, br, zstd")),
    }
}

/// Without parameters, in lower case.
fn media_type(text: &str) -> String {
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(encodings: &[&str]) -> CompressSpec {
        CompressSpec { encodings: encodings.iter().map(|&name| name.to_owned()).collect(), ..CompressSpec::default() }
    }

    #[test]
    fn codings_are_known_by_name() {
        let codings = |names: &[&str]| compile(&spec(names)).map(|found| found.codings);
        assert_eq!(codings(&["br", "gzip"]), Ok(vec![Coding::Brotli, Coding::Gzip]));
        assert!(codings(&["deflate"]).is_err_and(|error| error.contains("`deflate`")));
        assert!(codings(&[]).is_err());
    }

    #[test]
    fn content_types_lose_their_parameters() {
        let wanted = CompressSpec { excluded: vec!["Text/HTML; charset=x".into()], ..spec(&["gzip"]) };
        assert_eq!(compile(&wanted).map(|found| found.excluded), Ok(vec!["text/html".to_owned()]));
        let both = CompressSpec { included: vec!["a/b".into()], ..wanted };
        assert!(compile(&both).is_err());
    }
}
