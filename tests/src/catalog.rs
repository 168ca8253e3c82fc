//! The file provider's catalog, written as an operator or a deployment tool would.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::process::replace;
use crate::upstream::Upstream;

/// A service with its tags and instances.
#[derive(Clone, Debug)]
pub struct Service {
    name: String,
    tags: Vec<String>,
    instances: Vec<(String, u16, Vec<String>)>,
}

impl Service {
    /// A service without instances.
    #[must_use]
    pub fn new(name: &str, tags: &[&str]) -> Self {
        Self { name: name.to_owned(), tags: owned(tags), instances: Vec::new() }
    }

    /// A service that answers for one host, in the v1 dialect.
    #[must_use]
    pub fn on_host(name: &str, host: &str) -> Self {
        Self::new(name, &[&format!("traefik.frontend.rule=Host:{host}")])
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.tags.push(tag.to_owned());
        self
    }

    /// Adds an instance.
    #[must_use]
    pub fn at(self, upstream: &Upstream) -> Self {
        self.at_port(upstream.port(), &[])
    }

    /// Adds an instance by its port, with tags of its own.
    #[must_use]
    pub fn at_port(mut self, port: u16, tags: &[&str]) -> Self {
        self.instances.push((format!("{}-{}", self.name, self.instances.len() + 1), port, owned(tags)));
        self
    }

    /// The instances' ids and ports.
    pub fn instances(&self) -> impl Iterator<Item = (&str, u16)> {
        self.instances.iter().map(|(id, port, _)| (id.as_str(), *port))
    }

    /// The service's tags.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// The service's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn toml(&self) -> String {
        let Self { name, tags, instances } = self;
        let mut text = format!("[[service]]\nname = {name:?}\ntags = {tags:?}\ninstances = [\n");
        for (id, port, tags) in instances {
            let line = format!("    {{ id = {id:?}, address = \"127.0.0.1\", port = {port}, tags = {tags:?} }},");
            writeln!(text, "{line}").expect("write to a string");
        }
        text + "]\n\n"
    }
}

fn owned(tags: &[&str]) -> Vec<String> {
    tags.iter().map(|&tag| tag.to_owned()).collect()
}

/// A catalog as text.
#[must_use]
pub fn toml(services: &[Service]) -> String {
    services.iter().map(Service::toml).collect()
}

/// A `services.toml` a gateway watches.
#[derive(Clone, Debug)]
pub struct Catalog(PathBuf);

impl Catalog {
    /// The catalog at a path, whether it exists or not.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Puts other content in place by a rename.
    pub fn replace(&self, services: &[Service]) {
        self.replace_text(&toml(services));
    }

    /// As `replace`, with any text.
    pub fn replace_text(&self, text: &str) {
        replace(&self.0, text.as_bytes());
    }

    /// Writes over the file, as an editor without a temporary file does.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_in_place(&self, services: &[Service]) {
        fs::write(&self.0, toml(services)).expect("write the catalog");
    }
}
