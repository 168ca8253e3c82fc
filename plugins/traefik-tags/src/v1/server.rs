//! The instance-level options of v1: `weight`, its deprecated spelling, and `protocol`.

use sluice_plugin_sdk::router::{Scheme, Target};

use crate::accept::{V1Instance, object, v1_option};
use crate::connect;
use crate::report::{Problem, Report};
use crate::settings::Settings;
use crate::tags::words;

/// An instance as the service uses it.
///
/// # Errors
/// A weight or protocol no request could be sent by.
pub(super) fn target(
    one: &V1Instance<'_>,
    service: &str,
    settings: &Settings,
    report: &mut Report,
) -> Result<Target, Problem> {
    let (scheme, mesh) = (scheme(one, settings)?, mesh(one, service, settings));
    if let Err(problem) = &mesh {
        let message = format!("{problem}; until then the instance itself is asked");
        report.warning(&object(one.instance), &problem.tag, message);
    }
    Ok(Target {
        instance: one.instance.id.clone(),
        scheme: if matches!(mesh, Ok(Some(_))) { Scheme::Https } else { scheme },
        address: one.instance.address.clone(),
        port: one.instance.port,
        path: String::new(),
        weight: weight(one, settings, report)?,
    })
}

/// The transport to an instance that is a member of the Connect mesh.
///
/// # Errors
/// The gateway is none. As Traefik 1 knows nothing of it, the instance itself is asked then.
pub(super) fn mesh(one: &V1Instance<'_>, service: &str, settings: &Settings) -> Result<Option<String>, Problem> {
    let said = v1_option(&one.tags, &settings.prefix, "consulcatalog.connect");
    let member = said.and_then(|(_, value)| words::boolean(value));
    connect::transport(member, service, settings)
        .map_err(|problem| Problem::new(said.map_or("", |(tag, _)| tag.raw), problem.message))
}

/// `backend.weight` wins although it is deprecated; garbage and 0 mean 1.
fn weight(one: &V1Instance<'_>, settings: &Settings, report: &mut Report) -> Result<u32, Problem> {
    let deprecated = v1_option(&one.tags, &settings.prefix, "backend.weight");
    if let Some((tag, _)) = deprecated {
        report.warning(
            &object(one.instance),
            tag.raw,
            "`backend.weight` is deprecated and wins over `weight`; use `weight`",
        );
    }
    let Some((tag, value)) = deprecated.or_else(|| v1_option(&one.tags, &settings.prefix, "weight")) else {
        return Ok(1);
    };
    match words::integer(value) {
        None => {
            report.warning(&object(one.instance), tag.raw, "this weight is not an integer, so it is 1");
            Ok(1)
        }
        Some(0) => Ok(1),
        Some(weight) => u32::try_from(weight)
            .map_err(|_| Problem::new(tag.raw, "a weight is from 1 to 4294967295; the instance is left out")),
    }
}

fn scheme(one: &V1Instance<'_>, settings: &Settings) -> Result<Scheme, Problem> {
    match v1_option(&one.tags, &settings.prefix, "protocol") {
        Some((tag, value)) if !value.is_empty() => crate::v3::scheme(value)
            .map_err(|message| Problem::new(tag.raw, format!("{message}; the instance is left out"))),
        _ => Ok(Scheme::Http),
    }
}
