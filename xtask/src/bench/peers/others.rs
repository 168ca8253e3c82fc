//! The proxies Sluice is compared with, each with its tuned configuration in `tests/bench/`.

use std::process::Command;

use anyhow::Result;

use super::{Contestant, Place, fill_in};

/// The text where the condition holds.
fn only_if(condition: bool, text: &str) -> String {
    if condition { text.to_owned() } else { String::new() }
}

pub(super) fn nginx(one: &Contestant, place: &Place) -> Result<Command> {
    let folder = place.folder.display();
    let access_log = if one.access_log { format!("{folder}/nginx.access.log") } else { "off".to_owned() };
    let values = [("ACCESS_LOG", access_log), ("TLS", only_if(one.tls, "ssl http2"))];
    let config = fill_in(place, "nginx.conf", &values)?;
    let mut command = one.proxy.program()?;
    command.arg("-e").arg(place.folder.join("nginx.error.log"));
    command.arg("-p").arg(&place.folder).arg("-c").arg(config).args(["-g", "daemon off;"]);
    Ok(command)
}

/// Its access log is its standard output, which goes to a file anyway.
pub(super) fn haproxy(one: &Contestant, place: &Place) -> Result<Command> {
    let folder = place.folder.display();
    // It wants certificate and key in one file.
    let both = [place.folder.join("cert.pem"), place.folder.join("key.pem")].map(std::fs::read_to_string);
    super::write(&place.folder, "both.pem", &both.into_iter().collect::<std::io::Result<Vec<_>>>()?.concat())?;
    let tls = only_if(one.tls, &format!("ssl crt {folder}/both.pem alpn h2,http/1.1"));
    let values = [("ACCESS_LOG", only_if(one.access_log, "log stdout format raw local0")), ("TLS", tls)];
    let config = fill_in(place, "haproxy.cfg", &values)?;
    let mut command = one.proxy.program()?;
    command.arg("-f").arg(config).args(["-db", "-q"]);
    Ok(command)
}

pub(super) fn envoy(one: &Contestant, place: &Place) -> Result<Command> {
    let folder = place.folder.display();
    let tls = format!(
        "transport_socket: {{ name: tls, typed_config: {{ \
         \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, \
         common_tls_context: {{ alpn_protocols: [h2, http/1.1], tls_certificates: [{{ \
         certificate_chain: {{ filename: {folder}/cert.pem }}, private_key: {{ filename: {folder}/key.pem }} }}] }} }} }}"
    );
    let log = format!(
        "access_log: [{{ name: file, typed_config: {{ \
         \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, \
         path: {folder}/envoy.access.log }} }}]"
    );
    let values = [("ACCESS_LOG", only_if(one.access_log, &log)), ("TLS", only_if(one.tls, &tls))];
    let config = fill_in(place, "envoy.yaml", &values)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut command = one.proxy.program()?;
    command.arg("--config-path").arg(config).args(["--log-level", "error", "--concurrency", &cores.to_string()]);
    Ok(command)
}

pub(super) fn traefik(one: &Contestant, place: &Place) -> Result<Command> {
    let config = fill_in(place, "traefik.yaml", &[("TLS", only_if(one.tls, "tls: {}"))])?;
    let mut command = one.proxy.program()?;
    command.arg(format!("--entrypoints.web.address={}", place.listen));
    command.arg(format!("--providers.file.filename={}", config.display()));
    command.args(["--log.level=ERROR", "--global.checknewversion=false", "--global.sendanonymoususage=false"]);
    if one.access_log {
        command.arg(format!("--accesslog.filepath={}/traefik.access.log", place.folder.display()));
    }
    Ok(command)
}

pub(super) fn caddy(one: &Contestant, place: &Place) -> Result<Command> {
    let folder = place.folder.display();
    let log = format!("log {{\n        output file {folder}/caddy.access.log\n    }}");
    let tls = format!("tls {folder}/cert.pem {folder}/key.pem");
    let scheme = if one.tls { "https" } else { "http" };
    let values =
        [("ACCESS_LOG", only_if(one.access_log, &log)), ("TLS", only_if(one.tls, &tls)), ("SCHEME", scheme.to_owned())];
    let config = fill_in(place, "Caddyfile", &values)?;
    let mut command = one.proxy.program()?;
    command.env("HOME", &place.folder).args(["run", "--adapter", "caddyfile", "--config"]).arg(config);
    Ok(command)
}

pub(super) fn bare(place: &Place) -> Command {
    let mut command = Command::new(place.binaries.join("bare-proxy"));
    command.args([place.listen.to_string(), place.upstream.to_string()]);
    command
}
