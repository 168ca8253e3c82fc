//! `services.toml`: the catalog of the file provider.
//!
//! Takes the text of the file, gives a [`Catalog`]. A service with anything wrong in it is left out and reported, the
//! others stay. A text that as a whole cannot be what its writer meant is an error, so that the caller keeps the catalog
//! it has: not TOML, an unknown key beside `[[service]]`, or nothing at all, as while an editor is saving.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use sluice_model::{Catalog, CatalogInstance, CatalogService, Health};

use super::document;
use super::load::read_text;
use super::problem::{Place, Problem, Problems};
use super::reader::{Fault, Section};
use super::values::{choice, integer, list_of, nonempty, text};

/// A catalog, and the services that are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServicesFile {
    /// Every service without a problem.
    pub catalog: Catalog,
    /// Why the others were left out.
    pub problems: Vec<Problem>,
}

/// Reads and parses a file.
///
/// # Errors
/// As [`parse`], or that the file cannot be read.
pub fn load(path: &Path) -> Result<ServicesFile, Problems> {
    let name = path.display().to_string();
    match read_text(path) {
        Ok(text) => parse(&name, &text),
        Err(error) => {
            let message = format!("cannot read the catalog: {error}");
            Err(Problem::new(Place::File(name), "", message).into())
        }
    }
}

/// Parses the text of a file; `name` is for problems.
///
/// # Errors
/// The text as a whole is not a catalog.
pub fn parse(name: &str, text: &str) -> Result<ServicesFile, Problems> {
    if text.trim().is_empty() {
        let problem = Problem::new(Place::File(name.to_owned()), "", "the catalog is empty");
        return Err(problem.hint("write `service = []` to say that there are no services").into());
    }
    let root = document::parse(name, text)?;
    let whole = RefCell::new(Problems::default());
    let mut root = Section::root(root, &whole);
    let sections = root.listed_nodes("service");
    root.finish();
    let whole = whole.into_inner();
    if !whole.is_empty() {
        return Err(whole);
    }
    let mut file = ServicesFile::default();
    for (path, node) in sections {
        let problems = RefCell::new(Problems::default());
        let section = Section::of(node, path, &problems);
        let found = service(section, &file.catalog);
        let mut problems = problems.into_inner();
        problems.sort();
        if let Some(service) = found.filter(|_| problems.is_empty()) {
            let service = Arc::new(service);
            file.catalog.services.insert(service.name.clone(), service);
        }
        file.problems.extend(problems.into_vec());
    }
    Ok(file)
}

fn service(mut section: Section<'_>, others: &Catalog) -> Option<CatalogService> {
    let name = section.require("name", "write `name = \"web\"`", |node| {
        let name = nonempty(node)?;
        if others.services.contains_key(&name) {
            return Fault::at(&node.place, format!("there is another service `{name}`"))
                .hint("put its instances into one service")
                .into();
        }
        Ok(name)
    });
    if let Some(name) = &name {
        section.rename(format!("service {name}"));
    }
    let tags = section.read_or("tags", Vec::new(), list_of(text));
    let mut instances = BTreeMap::new();
    let mut ids = HashSet::new();
    for section in section.listed_sections("instances") {
        let fallback = name.as_deref().unwrap_or_default();
        if let Some(instance) = instance(section, fallback, &tags, &mut ids) {
            instances.insert(instance.id.clone(), instance);
        }
    }
    section.finish();
    Some(CatalogService { name: name?, instances: instances.into_values().collect() })
}

/// An instance without an id is named after its service, address and port, as Consul agents and Registrator do.
fn instance(
    mut section: Section<'_>,
    service: &str,
    service_tags: &[String],
    ids: &mut HashSet<String>,
) -> Option<CatalogInstance> {
    let states = [
        ("passing", Health::Passing),
        ("warning", Health::Warning),
        ("critical", Health::Critical),
        ("maintenance", Health::Maintenance),
    ];
    let given_id = section.read("id", nonempty);
    let node = section.read_or("node", String::new(), text);
    let address = section.require("address", "write `address = \"127.0.0.1\"`", nonempty);
    let port = section.require("port", "write `port = 8080`", integer(1..=u16::MAX));
    let own_tags = section.read_or("tags", Vec::new(), list_of(text));
    let health = section.read_or("health", Health::Passing, choice(&states));
    let (address, port) = match address.zip(port) {
        Some(pair) => pair,
        None => {
            section.finish();
            return None;
        }
    };
    let id = given_id.unwrap_or_else(|| format!("{service}-{address}-{port}"));
    if !ids.insert(id.clone()) {
        let place = section.place().clone();
        let problem = Problem::new(place, section.key("id"), format!("`{id}` is another instance"));
        section.report(problem.hint("give each instance an id of its own"));
    }
    section.finish();
    Some(CatalogInstance {
        id,
        node,
        address,
        port,
        tags: service_tags.iter().cloned().chain(own_tags).collect(),
        health,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const TWO: &str = r#"
[[service]]
name = "web-go"
tags = ["traefik.enable=true"]
instances = [
    { id = "go-2", address = "127.0.0.1", port = 9092, tags = ["traefik.weight=3"] },
    { id = "go-1", address = "127.0.0.1", port = 9091 },
]

[[service]]
name = "api"
instances = [{ address = "10.0.0.1", port = 80, health = "critical" }]
"#;

    fn messages(file: &ServicesFile) -> Vec<String> {
        file.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn instances_are_ordered_and_carry_the_tags_of_their_service() {
        let file = parse("services.toml", TWO).unwrap();
        assert_eq!(messages(&file), Vec::<String>::new());
        let go = file.catalog.services.get("web-go").unwrap();
        let ids: Vec<_> = go.instances.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["go-1", "go-2"]);
        let tags: Vec<_> = go.instances.iter().map(|one| one.tags.join(" ")).collect();
        assert_eq!(tags, ["traefik.enable=true", "traefik.enable=true traefik.weight=3"]);
        let api = file.catalog.services.get("api").unwrap();
        let only = api.instances.first().unwrap();
        assert_eq!((only.id.as_str(), only.health), ("api-10.0.0.1-80", Health::Critical));
    }

    #[test]
    fn a_bad_service_is_left_out_and_the_others_stay() {
        let bad = r#"
[[service]]
name = "noport"
instances = [{ address = "10.0.0.1" }]
[[service]]
name = "api"
[[service]]
name = "typo"
tagz = []
[[service]]
name = "twice"
instances = [{ id = "a", address = "h", port = 1 }, { id = "a", address = "h", port = 2 }]
[[service]]
tags = []
[[service]]
name = "badport"
instances = [{ address = "h", port = 70000 }, { address = "", port = 1 }]
"#;
        let file = parse("s.toml", &format!("{TWO}{bad}")).unwrap();
        let names: Vec<_> = file.catalog.services.keys().collect();
        assert_eq!(names, ["api", "web-go"]);
        let expected = [
            "s.toml:16:14: service noport.instances[0]: `port` is missing\n  hint: write `port = 8080`",
            "s.toml:18:8: service[3].name: there is another service `api`\n  hint: put its instances into one service",
            "s.toml:21:1: service typo: unknown key `tagz`\n  hint: did you mean `tags`?",
            "s.toml:24:53: service twice.instances[1].id: `a` is another instance\n  hint: give each instance an id of its own",
            "s.toml:25:1: service[6]: `name` is missing\n  hint: write `name = \"web\"`",
            "s.toml:29:38: service badport.instances[0].port: expected an integer from 1 to 65535, found `70000`",
            "s.toml:29:59: service badport.instances[1].address: expected a text, found an empty one",
        ];
        assert_eq!(messages(&file), expected);
    }

    #[test]
    fn what_is_no_catalog_as_a_whole_is_an_error() {
        for text in ["", " \n", "not toml", "[[services]]\nname = \"a\"\n", "service = 1"] {
            let problems = parse("s.toml", text).unwrap_err();
            assert!(!problems.is_empty(), "{text}");
        }
        let none = parse("s.toml", "service = []").unwrap();
        assert_eq!(none, ServicesFile::default());
    }
}
