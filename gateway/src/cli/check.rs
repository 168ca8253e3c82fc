//! What `sluice check` looks at beyond the configuration itself: everything the configuration names.
//!
//! Takes a valid configuration, gives every problem that would show when it is served, and what would be repaired.
//! Nothing is changed or started.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use sluice_model::Severity;

use crate::config::{Config, ConsulCatalog, Entrypoint, Place, Problem, Tls, services_file};
use crate::control::{Refusal, dry_run};
use crate::tls::ServerTls;

/// Secrets and certificates are read to see that they can be; none of them is this large.
const MAX_BYTES: u64 = 1 << 20;

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// What does not work.
    pub problems: Vec<Problem>,
    /// What works and should be written otherwise: tags that were repaired or have no effect.
    pub warnings: Vec<Problem>,
}

/// Everything wrong with what the configuration names.
#[must_use]
pub fn run(config: &Config) -> Findings {
    let mut problems = Vec::new();
    for entrypoint in &config.entrypoints {
        problems.extend(entrypoint_tls(entrypoint, &config.tls));
    }
    let token = config.admin.as_ref().and_then(|admin| admin.token_file.as_deref());
    problems.extend(token.and_then(|token| unreadable(token, "admin.token-file")));
    if let Some(consul) = &config.providers.consul_catalog {
        problems.extend(consul_files(consul));
    }
    if let Some(file) = &config.providers.file {
        problems.extend(services(&file.path));
    }
    problems.extend(config.plugins.directory.as_deref().and_then(not_a_directory));
    let tried = tried(config);
    problems.extend(tried.problems);
    Findings { problems, warnings: tried.warnings }
}

/// Files that cannot be read, else the first pair that cannot be used.
fn entrypoint_tls(entrypoint: &Entrypoint, tls: &Tls) -> Vec<Problem> {
    let key = format!("entrypoints.{}.tls", entrypoint.name);
    let own = entrypoint.tls.clone().unwrap_or_default();
    let pairs = own.certificates.iter().chain(&tls.certificates).flat_map(|pair| [&pair.cert, &pair.key]);
    let options = std::iter::once(&own.options).chain(tls.options.values());
    let authorities = options.filter_map(|options| options.client_auth.as_ref()).flat_map(|auth| &auth.ca);
    let problems: Vec<_> = pairs.chain(authorities).filter_map(|path| unreadable(path, &key)).collect();
    if !problems.is_empty() {
        return problems;
    }
    crate::tls::install_provider();
    let refused = ServerTls::load(entrypoint, tls).err();
    refused.map(|error| Problem::new(Place::File(key), "", error.to_string())).into_iter().collect()
}

/// What shows when plugins are compiled, settings tried and routes worked out.
fn tried(config: &Config) -> Findings {
    let (status, _) = match dry_run(&Arc::new(config.clone())) {
        Ok(tried) => tried,
        Err(error) => {
            let problem = Problem::new(Place::File("sluice".to_owned()), "", error.to_string());
            return Findings { problems: vec![problem], ..Findings::default() };
        }
    };
    let place = |name: &str| Place::File(name.to_owned());
    let plugins = status.plugins.iter().filter_map(|plugin| {
        let error = plugin.last_error.clone()?;
        Some(Problem::new(place(&format!("plugin {}", plugin.name)), "", error))
    });
    let routers = status
        .router_errors
        .iter()
        .map(|(provider, error)| Problem::new(place(&format!("provider {provider}")), "", error.clone()));
    let tags = |severity| {
        let all = status.refusals.iter().flat_map(|(provider, list)| list.iter().map(move |one| (provider, one)));
        all.filter(move |(_, refusal)| refusal.diagnostic.severity == severity).map(|(name, one)| of_tag(name, one))
    };
    let policies = status
        .policy_errors
        .iter()
        .map(|(name, error)| Problem::new(place(&format!("policy {name}")), "", error.clone()));
    Findings {
        problems: plugins.chain(routers).chain(policies).chain(tags(Severity::Error)).collect(),
        warnings: tags(Severity::Warning).collect(),
    }
}

fn of_tag(provider: &str, Refusal { service, diagnostic }: &Refusal) -> Problem {
    let key = format!("service {service}: {}", diagnostic.object);
    let tag = if diagnostic.tag.is_empty() { String::new() } else { format!("tag `{}`: ", diagnostic.tag) };
    Problem::new(Place::File(format!("provider {provider}")), key, format!("{tag}{}", diagnostic.message))
}

fn consul_files(consul: &ConsulCatalog) -> Vec<Problem> {
    let mut files = Vec::new();
    files.extend(consul.token_file.as_deref().map(|path| (path, "token-file")));
    if let Some(tls) = &consul.tls {
        files.extend(tls.ca.as_deref().map(|path| (path, "ca")));
        if let Some((cert, key)) = &tls.identity {
            files.push((cert, "cert"));
            files.push((key, "key"));
        }
    }
    let problem = |(path, key)| unreadable(path, &format!("providers.consul-catalog.{key}"));
    files.into_iter().filter_map(problem).collect()
}

fn services(path: &Path) -> Vec<Problem> {
    match services_file::load(path) {
        Ok(file) => file.problems,
        Err(problems) => problems.into_vec(),
    }
}

/// A file that has to be there and say something.
fn unreadable(path: &Path, key: &str) -> Option<Problem> {
    let mut text = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut text));
    let message = match read {
        Ok(0) => "the file is empty".to_owned(),
        Ok(_) => return None,
        Err(error) => format!("cannot read the file: {error}"),
    };
    Some(Problem::new(Place::File(path.display().to_string()), key, message))
}

/// A directory that is not there yet is made when the gateway starts.
fn not_a_directory(path: &Path) -> Option<Problem> {
    let is_other = path.exists() && !path.is_dir();
    is_other.then(|| {
        let place = Place::File(path.display().to_string());
        Problem::new(place, "plugins.directory", "this is not a directory")
            .hint("name the directory that holds `*.wasm`")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config::Sources;

    #[test]
    fn everything_that_is_named_has_to_be_there() {
        let directory = std::env::temp_dir().join(format!("sluice-check-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("sluice.toml");
        let text = r#"
            [entrypoints.web]
            address = "127.0.0.1:8443"
            tls = { certificates = [{ cert = "absent.pem", key = "empty.key" }] }
            [admin]
            token-file = "there.token"
            [providers.file]
            path = "services.toml"
            [providers.consul-catalog]
            ca = "absent-ca.pem"
            [plugins]
            directory = "services.toml"
        "#;
        std::fs::write(&file, text).unwrap();
        std::fs::write(directory.join("empty.key"), "").unwrap();
        std::fs::write(directory.join("there.token"), "secret").unwrap();
        std::fs::write(directory.join("services.toml"), "[[service]]\nname = \"a\"\ntagz = []\n").unwrap();
        let config = Config::load(&Sources { file: Some(file), ..Sources::default() }).unwrap();
        let problems = run(&config).problems;
        std::fs::remove_dir_all(&directory).unwrap();
        let keys: Vec<_> = problems.iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect();
        let starts = [
            "entrypoints.web.tls: cannot read the file",
            "entrypoints.web.tls: the file is empty",
            "providers.consul-catalog.ca: cannot read the file",
            "service a: unknown key `tagz`",
            "plugins.directory: this is not a directory",
        ];
        assert_eq!(keys.len(), starts.len(), "{keys:#?}");
        assert!(keys.iter().zip(starts).all(|(key, start)| key.starts_with(start)), "{keys:#?}");
    }
}
