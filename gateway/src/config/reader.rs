//! Reads tables key by key and notes everything that is wrong with them.
//!
//! Takes a tree of [`document`](super::document); gives typed values. The keys a section is asked for *are* the keys
//! it may have: whatever is left when it is finished is an unknown key. One bad value never hides the next one, which
//! is why this is not done by serde, whose errors end the reading.

use std::cell::RefCell;

use super::document::{self, Entry, Node, Table, Value};
use super::problem::{Place, Problem, Problems};

/// What a value may be read as, or everything that is wrong with it.
pub(super) type Parsed<T> = Result<T, Vec<Fault>>;

/// Something wrong with a value whose key the reader of the value does not know.
#[derive(Debug)]
pub(super) struct Fault {
    place: Place,
    message: String,
    hint: Option<String>,
}

impl Fault {
    pub(super) fn at(place: &Place, message: impl Into<String>) -> Self {
        Self { place: place.clone(), message: message.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl<T> From<Fault> for Parsed<T> {
    fn from(fault: Fault) -> Self {
        Err(vec![fault])
    }
}

/// A table being read.
pub(super) struct Section<'p> {
    /// Dotted, empty for the root.
    path: String,
    /// Where the section stands, for what is missing from it.
    place: Place,
    /// What stands there is no table, which is reported already: nothing is missing from it.
    is_broken: bool,
    left: Table,
    asked: Vec<&'static str>,
    problems: &'p RefCell<Problems>,
}

impl<'p> Section<'p> {
    /// Starts with the root of a document.
    pub(super) fn root(node: Node, problems: &'p RefCell<Problems>) -> Self {
        Self::of(node, String::new(), problems)
    }

    /// Reads `node` as a table; anything else is a problem and reads as an empty one.
    pub(super) fn of(node: Node, path: String, problems: &'p RefCell<Problems>) -> Self {
        let place = node.place.clone();
        let (left, is_broken) = match table(node) {
            Ok(left) => (left, false),
            Err(faults) => {
                note(problems, &path, faults);
                (Table::new(), true)
            }
        };
        Self { path, place, is_broken, left, asked: Vec::new(), problems }
    }

    /// Where the section stands.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The dotted path of a key in this section.
    pub(super) fn key(&self, name: &str) -> String {
        join(&self.path, name)
    }

    /// The value of a key, if it is there and right.
    pub(super) fn read<T>(&mut self, name: &'static str, parse: impl FnOnce(&Node) -> Parsed<T>) -> Option<T> {
        let entry = self.take(name)?;
        match parse(&entry.node) {
            Ok(value) => Some(value),
            Err(faults) => {
                note(self.problems, &self.key(name), faults);
                None
            }
        }
    }

    /// The value of a key, or `default` where it is absent or wrong.
    pub(super) fn read_or<T>(&mut self, name: &'static str, default: T, parse: impl FnOnce(&Node) -> Parsed<T>) -> T {
        self.read(name, parse).unwrap_or(default)
    }

    /// The value of a key that has to be there; `hint` says what to write.
    pub(super) fn require<T>(
        &mut self,
        name: &'static str,
        hint: &str,
        parse: impl FnOnce(&Node) -> Parsed<T>,
    ) -> Option<T> {
        if !self.left.contains_key(name) {
            self.asked.push(name);
            if self.is_broken {
                return None;
            }
            let problem = Problem::new(self.place.clone(), self.path.clone(), format!("`{name}` is missing"));
            self.report(problem.hint(hint));
            return None;
        }
        self.read(name, parse)
    }

    /// A table below this one, if it is there.
    pub(super) fn section(&mut self, name: &'static str) -> Option<Self> {
        let entry = self.take(name)?;
        Some(Self::below(entry, self.key(name), self.problems))
    }

    /// A table below this one; an empty one where it is absent, so that its defaults apply.
    pub(super) fn section_or_empty(&mut self, name: &'static str) -> Self {
        self.section(name).unwrap_or_else(|| Self {
            path: self.key(name),
            place: self.place.clone(),
            is_broken: false,
            left: Table::new(),
            asked: Vec::new(),
            problems: self.problems,
        })
    }

    /// Every table in the table `name`, with the name its writer gave it.
    pub(super) fn named_sections(&mut self, name: &'static str) -> Vec<(String, Self)> {
        let Some(all) = self.section(name) else {
            return Vec::new();
        };
        let path = all.path;
        all.left
            .into_iter()
            .map(|(name, entry)| {
                let section = Self::below(entry, join(&path, &name), self.problems);
                (name, section)
            })
            .collect()
    }

    /// Every table of the list `name`.
    pub(super) fn listed_sections(&mut self, name: &'static str) -> Vec<Self> {
        let problems = self.problems;
        self.listed_nodes(name).into_iter().map(|(path, node)| Self::of(node, path, problems)).collect()
    }

    /// Every item of the list `name`, with its path, for readers that keep the problems of each apart.
    pub(super) fn listed_nodes(&mut self, name: &'static str) -> Vec<(String, Node)> {
        let path = self.key(name);
        let nodes = self.read(name, list).unwrap_or_default();
        nodes.into_iter().enumerate().map(|(index, node)| (format!("{path}[{index}]"), node)).collect()
    }

    /// Calls the section by what it describes, in problems from here on.
    pub(super) fn rename(&mut self, path: String) {
        self.path = path;
    }

    /// Notes a problem.
    pub(super) fn report(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Ends the reading: keys that nobody asked for are problems.
    pub(super) fn finish(self) {
        #[cfg(test)]
        asked::record(&self.path, &self.asked);
        for (name, entry) in &self.left {
            let problem = Problem::new(entry.key.clone(), self.path.clone(), format!("unknown key `{name}`"));
            self.report(problem.hint(suggestion(name, &self.asked)));
        }
    }

    /// A table that a key introduces: problems about the whole of it are shown at the key.
    fn below(entry: Entry, path: String, problems: &'p RefCell<Problems>) -> Self {
        let mut section = Self::of(entry.node, path, problems);
        section.place = entry.key;
        section
    }

    fn take(&mut self, name: &'static str) -> Option<Entry> {
        self.asked.push(name);
        self.left.remove(name)
    }
}

/// Which of `known` was probably meant, or what there is to choose from.
pub(super) fn suggestion(name: &str, known: &[&str]) -> String {
    if let Some(candidate) = nearest(name, known) {
        return format!("did you mean `{candidate}`?");
    }
    if known.is_empty() {
        return "nothing is known here, remove it".to_owned();
    }
    let mut known = known.to_vec();
    known.sort_unstable();
    format!("known here: {}", known.join(", "))
}

/// Which of `known` is a slip away: up to a third of its letters; more is another word.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let folded = name.to_lowercase().replace('_', "-");
    let distances = known.iter().map(|candidate| (strsim::damerau_levenshtein(&folded, candidate), *candidate));
    distances
        .min()
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .map(|(_, candidate)| candidate)
}

/// A list; an override is a TOML list or items separated by commas.
pub(super) fn list(node: &Node) -> Parsed<Vec<Node>> {
    match &node.value {
        Value::List(items) => Ok(items.clone()),
        Value::Override(text) if text.trim_start().starts_with('[') => {
            match document::parse_value(text.trim(), &node.place).map(|node| node.value) {
                Some(Value::List(items)) => Ok(items),
                _ => Fault::at(&node.place, format!("`{text}` is not a list in TOML")).into(),
            }
        }
        Value::Override(text) => Ok(text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| Node { value: Value::Override(item.to_owned()), place: node.place.clone() })
            .collect()),
        other => Fault::at(&node.place, format!("expected a list, found {}", other.kind()))
            .hint(match other {
                Value::Table(_) => "a list of tables is written `[[name]]`",
                _ => "put it into brackets: [ … ]",
            })
            .into(),
    }
}

fn table(node: Node) -> Parsed<Table> {
    match node.value {
        Value::Table(table) => Ok(table),
        Value::Override(text) => match document::parse_value(text.trim(), &node.place).map(|node| node.value) {
            Some(Value::Table(table)) => Ok(table),
            _ => Fault::at(&node.place, format!("`{text}` is not a table in TOML"))
                .hint("write it as `{ key = value }`, or set the keys below it one by one")
                .into(),
        },
        other => Fault::at(&node.place, format!("expected a table, found {}", other.kind())).into(),
    }
}

fn note(problems: &RefCell<Problems>, key: &str, faults: Vec<Fault>) {
    let faults = faults.into_iter().map(|fault| Problem {
        place: fault.place,
        key: key.to_owned(),
        message: fault.message,
        hint: fault.hint,
    });
    problems.borrow_mut().extend(faults);
}

fn join(path: &str, name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let name = if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { format!("\"{name}\"") };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// Which keys were ever asked for, so that a test can hold the list of overrides against it.
#[cfg(test)]
pub(super) mod asked {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    thread_local! {
        static KEYS: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
    }

    pub(super) fn record(path: &str, names: &[&str]) {
        let keys = names.iter().map(|name| super::join(path, name));
        KEYS.with_borrow_mut(|all| all.extend(keys));
    }

    pub(in crate::config) fn take() -> BTreeSet<String> {
        KEYS.with_borrow_mut(std::mem::take)
    }
}
