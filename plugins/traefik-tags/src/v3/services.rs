//! `http.services`: each one, or the automatic one, has exactly one server, this instance.

use sluice_plugin_sdk::router::{Scheme, ServiceSpec, Target};

use super::Instance;
use crate::report::{Problem, Report};
use crate::tags::tree::Node;

/// Options that are understood and change nothing yet.
const WITHOUT_EFFECT: &[&str] =
    &["strategy", "sticky", "healthcheck", "passivehealthcheck", "responseforwarding", "serverstransport"];

/// The services of an instance.
///
/// # Errors
/// A server that cannot be built, which leaves out the whole instance.
pub(super) fn read(own: &Instance<'_>) -> Result<Vec<ServiceSpec>, Problem> {
    if own.accepted.root.child("consulcatalog").and_then(|node| node.flag("connect")) == Some(true) {
        let tag = own.accepted.root.child("consulcatalog").map(|node| node.tag_of("connect")).unwrap_or_default();
        return Err(Problem::new(tag, "Consul Connect is not supported; the instance is left out"));
    }
    let named = own.http("services");
    if named.is_empty() && own.speaks_http() {
        return Ok(vec![ServiceSpec {
            name: own.automatic_name(),
            targets: vec![target(own, &Node::default())?],
            pass_host_header: true,
        }]);
    }
    named.iter().map(|node| service(own, node)).collect()
}

/// Names what is set and has no effect yet.
pub(super) fn report_unsupported(own: &Instance<'_>, report: &mut Report) {
    for node in own.http("services") {
        let balancer = node.child("loadbalancer");
        let options = balancer.into_iter().flat_map(|balancer| &balancer.children);
        for option in options.filter(|option| WITHOUT_EFFECT.iter().any(|name| option.is(name))) {
            let message = format!("`{}` has no effect yet", option.name);
            report.warning(&format!("service {}", node.name), &option.tag, message);
        }
    }
}

fn service(own: &Instance<'_>, node: &Node) -> Result<ServiceSpec, Problem> {
    if let Some(middlewares) = node.child("middlewares") {
        return Err(Problem::new(
            &middlewares.tag,
            "middlewares of services are not supported yet; the instance is left out",
        ));
    }
    let Some(balancer) = node.child("loadbalancer") else {
        let message = format!("service `{}` has no loadbalancer option; the instance is left out", node.name);
        return Err(Problem::new(&node.tag, message));
    };
    Ok(ServiceSpec {
        name: node.name.clone(),
        targets: vec![target(own, balancer.child("server").unwrap_or(&Node::default()))?],
        pass_host_header: balancer.flag("passhostheader").unwrap_or(true),
    })
}

/// The instance as the options of `server` say.
fn target(own: &Instance<'_>, server: &Node) -> Result<Target, Problem> {
    let instance = own.accepted.instance;
    let weight = server.integer("weight").map_or(1, |weight| u32::try_from(weight.max(0)).unwrap_or(u32::MAX));
    let (scheme, address, port) = match server.text("url").filter(|url| !url.is_empty()) {
        Some(url) => {
            if server.text("port").is_some() || server.text("scheme").is_some() {
                return Err(Problem::new(server.tag_of("url"), "`url` excludes `port` and `scheme`"));
            }
            split_url(url, server.flag("preservepath") == Some(true))
                .map_err(|message| Problem::new(server.tag_of("url"), message))?
        }
        None => (
            scheme(server.text("scheme").filter(|text| !text.is_empty()).unwrap_or("http"))
                .map_err(|message| Problem::new(server.tag_of("scheme"), message))?,
            instance.address.clone(),
            match server.text("port").filter(|text| !text.is_empty()) {
                Some(port) => port_number(port).map_err(|message| Problem::new(server.tag_of("port"), message))?,
                None => instance.port,
            },
        ),
    };
    Ok(Target { instance: instance.id.clone(), scheme, address, port, weight })
}

/// The scheme a text names.
pub(crate) fn scheme(text: &str) -> Result<Scheme, String> {
    match text.to_ascii_lowercase().as_str() {
        "http" => Ok(Scheme::Http),
        "https" => Ok(Scheme::Https),
        "h2c" => Ok(Scheme::H2c),
        _ => Err(format!("scheme `{text}` is none of http, https, h2c")),
    }
}

pub(super) fn port_number(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("port `{text}` is not a number from 0 to 65535"))
}

fn split_url(url: &str, keeps_path: bool) -> Result<(Scheme, String, u16), String> {
    let (name, rest) =
        url.split_once("://").ok_or_else(|| format!("`{url}` is not a URL such as http://10.0.0.1:80"))?;
    let scheme = scheme(name)?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if keeps_path && !path.is_empty() {
        return Err("`preservepath` with a path in `url` is not supported yet".to_owned());
    }
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() || host.contains(['@', ' ', '?', '#']) {
        return Err(format!("`{url}` has no usable host"));
    }
    let default = if scheme == Scheme::Https { 443 } else { 80 };
    Ok((scheme, host.to_owned(), port.map_or(Ok(default), port_number)?))
}
