//! Finds the configuration, reads it, and puts its parts together.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::document::{self, Node};
use super::problem::{Place, Problem, Problems};
use super::reader::Section;
use super::{Config, entrypoint, overrides, policy, process, provider, tls, transport};

/// What a configuration is made of.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file; without one the usual places are searched.
    pub file: Option<PathBuf>,
    /// The environment, all of it.
    pub variables: Vec<(String, String)>,
    /// `key=value`, in order.
    pub flags: Vec<String>,
}

/// How much of a configuration file is read: more is no configuration, and a device would never end.
const MAX_BYTES: u64 = 16 << 20;

impl Sources {
    /// The environment of this process, with what the command line says.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<String>) -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { file, variables, flags }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The file that is meant: the flag, the variable, or the first that exists.
    fn locate(&self) -> Option<PathBuf> {
        let named = self.file.clone();
        let named = named.or_else(|| self.variable("SLUICE_CONFIG").map(PathBuf::from));
        named.or_else(|| self.usual_places().into_iter().find(|path| path.exists()))
    }

    fn usual_places(&self) -> Vec<PathBuf> {
        let user = self.variable("XDG_CONFIG_HOME").map(PathBuf::from);
        let user = user.or_else(|| Some(Path::new(self.variable("HOME")?).join(".config")));
        let mut places = vec![PathBuf::from("sluice.toml")];
        places.extend(user.map(|directory| directory.join("sluice/sluice.toml")));
        places.push(PathBuf::from("/etc/sluice/sluice.toml"));
        places
    }
}

impl Config {
    /// Reads the file, lays variables and flags over it, and checks everything.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the file.
    pub fn load(sources: &Sources) -> Result<Self, Problems> {
        let file = sources.locate();
        let mut root = match &file {
            Some(path) => read_document(path)?,
            None => document::parse("", "")?,
        };
        let mut problems = Problems::default();
        overrides::variables(&mut root, &sources.variables, &mut problems);
        overrides::flags(&mut root, &sources.flags, &mut problems);
        check(root, file, sources, problems)
    }

    /// Reads a text as if it were a file; paths in it start at the current directory. `name` is for problems.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the text.
    pub fn parse(name: &str, text: &str) -> Result<Self, Problems> {
        check(document::parse(name, text)?, None, &Sources::default(), Problems::default())
    }
}

/// Reads the tree, adding to the problems there are; any problem refuses the whole.
fn check(root: Node, file: Option<PathBuf>, sources: &Sources, problems: Problems) -> Result<Config, Problems> {
    let problems = RefCell::new(problems);
    let config = read(root, file, sources, &problems);
    let mut problems = problems.into_inner();
    if problems.is_empty() {
        return Ok(config);
    }
    problems.sort();
    Err(problems)
}

#[cfg(test)]
pub(super) fn read_tree(root: Node) -> Result<Config, Problems> {
    check(root, None, &Sources::default(), Problems::default())
}

fn read_document(path: &Path) -> Result<Node, Problems> {
    let name = path.display().to_string();
    let text = read_text(path).map_err(|error| {
        Problem::new(Place::File(name.clone()), "", format!("cannot read it: {error}"))
            .hint("name the configuration with `--config FILE`")
    })?;
    document::parse(&name, &text)
}

/// Reads a file as text, up to a bound.
pub(super) fn read_text(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    let read = file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_BYTES {
        let message = format!("it is larger than {MAX_BYTES} bytes");
        return Err(std::io::Error::other(message));
    }
    Ok(text)
}

/// Reads every part. What is wrong is noted and replaced by its default, so that the rest is read too.
fn read(node: Node, file: Option<PathBuf>, sources: &Sources, problems: &RefCell<Problems>) -> Config {
    let base = file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let mut root = Section::root(node, problems);
    let (names, entrypoints) = entrypoint::entrypoints(&mut root, base);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let admin = entrypoint::admin(&mut root, base);
    if names.is_empty() {
        root.report(no_entrypoints(file.as_deref(), sources));
    }
    report_shared_addresses(&entrypoints, admin.as_ref(), &root);
    let config = Config {
        entrypoints: entrypoints.into_iter().map(|(entrypoint, _)| entrypoint).collect(),
        tls: tls::tls(&mut root, base),
        admin: admin.map(|(admin, _)| admin),
        providers: provider::providers(&mut root, base),
        plugins: policy::plugins(&mut root, base),
        policies: policy::policies(&mut root, &names),
        state: process::state(&mut root, base),
        upstream: process::upstream(&mut root),
        transports: transport::transports(&mut root, base),
        shutdown: process::shutdown(&mut root),
        overload: process::overload(&mut root),
        runtime: process::runtime(&mut root),
        log: process::log(&mut root),
        access_log: process::access_log(&mut root, base),
        metrics: process::metrics(&mut root),
        file: None,
    };
    root.finish();
    Config { file, ..config }
}

fn no_entrypoints(file: Option<&Path>, sources: &Sources) -> Problem {
    let add = "add `[entrypoints.web]` with `address = \"127.0.0.1:8000\"`";
    match file {
        Some(file) => {
            let place = Place::File(file.display().to_string());
            Problem::new(place, "entrypoints", "there is nothing to listen on").hint(add)
        }
        None => {
            let places: Vec<_> = sources.usual_places().iter().map(|path| path.display().to_string()).collect();
            let hint = format!("name a file with `--config FILE`; looked for {}", places.join(", "));
            Problem::new(Place::Nowhere, "", "there is no configuration file").hint(hint)
        }
    }
}

/// Two sockets cannot have one address. Port 0 is a different port each time.
fn report_shared_addresses(
    entrypoints: &[(entrypoint::Entrypoint, Place)],
    admin: Option<&(entrypoint::Admin, Place)>,
    root: &Section<'_>,
) {
    let entrypoints = entrypoints
        .iter()
        .map(|(entrypoint, place)| (format!("entrypoints.{}", entrypoint.name), entrypoint.address, place));
    let admin = admin.map(|(admin, place)| ("admin".to_owned(), admin.address, place));
    let mut taken: HashMap<SocketAddr, String> = HashMap::new();
    for (section, address, place) in entrypoints.chain(admin) {
        if address.port() == 0 {
            continue;
        }
        match taken.get(&address) {
            Some(other) => {
                let message = format!("`{address}` is taken by {other}");
                let problem = Problem::new(place.clone(), format!("{section}.address"), message);
                root.report(problem.hint("give each its own port"));
            }
            None => drop(taken.insert(address, section)),
        }
    }
}
