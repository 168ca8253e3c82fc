//! Our own gateway, as a user would configure it for the same work.

use std::fmt::Write;
use std::process::Command;

use anyhow::Result;

use super::{Contestant, Place, Policies, write};

pub(super) fn command(one: &Contestant, place: &Place) -> Result<Command> {
    let mut config = format!("[entrypoints.web]\naddress = \"{}\"\n", place.listen);
    if one.tls {
        config += "tls = { certificates = [{ cert = \"cert.pem\", key = \"key.pem\" }] }\n";
    }
    // As many requests a connection as the load likes to send, for the others too.
    config += "limits = { keep-alive-requests = 0 }\n";
    config += "[admin]\naddress = \"127.0.0.1:8603\"\n[providers.file]\npath = \"services.toml\"\n";
    for (name, settings) in policies(one.policies) {
        write!(
            config,
            "[[policies]]\nname = \"{name}\"\nplugin = \"{name}\"\nattach = [\"entrypoint:web\"]\nconfig = {settings}\n"
        )?;
    }
    if one.access_log {
        config += "[access-log]\noutput = \"sluice.access.log\"\n";
    }
    write_services(one, place)?;
    let path = write(&place.folder, "sluice.toml", &config)?;
    let mut command = Command::new(&place.gateway);
    command.args(["run", "--config"]).arg(path).current_dir(&place.folder);
    Ok(command)
}

/// Name and settings: none of them is ever reached by the load.
fn policies(policies: Policies) -> Vec<(&'static str, &'static str)> {
    const RATE_LIMIT: (&str, &str) = ("rate-limit", "{ average = 1000000000, burst = 1000000000 }");
    const BREAKER: (&str, &str) = ("circuit-breaker", "{ expression = \"NetworkErrorRatio() > 0.5\" }");
    const CONCURRENCY: (&str, &str) = ("concurrency", "{ amount = 100000 }");
    match policies {
        Policies::None => Vec::new(),
        Policies::RateLimit => vec![RATE_LIMIT],
        Policies::CircuitBreaker => vec![BREAKER],
        Policies::Three => vec![RATE_LIMIT, CONCURRENCY, BREAKER],
    }
}

fn write_services(one: &Contestant, place: &Place) -> Result<()> {
    let (ip, port) = (place.upstream.ip(), place.upstream.port());
    let mut text = String::new();
    for number in 0..one.routes {
        write!(
            text,
            "[[service]]\nname = \"service-{number}\"\n\
             tags = [\"traefik.frontend.rule=Host:service-{number}.bench.test\"]\n\
             instances = [{{ id = \"service-{number}-1\", address = \"{ip}\", port = {port} }}]\n"
        )?;
    }
    write(&place.folder, "services.toml", &text).map(|_| ())
}
