//! A Traefik configuration as a flat list of keys, each of which has to be accounted for.

use serde_json::Value;

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It means the same in the new file.
    Carried,
    /// It has an equivalent that behaves differently, or needs none.
    Differs,
    /// There is nothing like it.
    Unsupported,
    /// Traefik does not know it either, as far as this program can tell.
    Unknown,
}

impl Fate {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Carried => "carried over",
            Self::Differs => "differs",
            Self::Unsupported => "not supported",
            Self::Unknown => "unknown",
        }
    }
}

/// A key of the old file and its fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) key: String,
    pub(super) fate: Fate,
    pub(super) text: String,
}

/// A row of a table of keys that are not carried over: a pattern, its fate and why. `*` is any one element, and a
/// final `.` stands for the key itself and everything below.
pub(super) type Row = (&'static str, Fate, &'static str);

/// The keys of a file.
pub(super) struct Source {
    leaves: Vec<Leaf>,
    notes: Vec<Note>,
}

struct Leaf {
    /// As written, dotted.
    written: String,
    /// In lower case: Traefik reads keys in any.
    path: Vec<String>,
    value: Value,
    done: bool,
}

impl Source {
    pub(super) fn new(root: &Value) -> Self {
        let mut leaves = Vec::new();
        flatten(root, &mut Vec::new(), &mut leaves);
        Self { leaves, notes: Vec::new() }
    }

    /// Whether there is anything at or below a key.
    pub(super) fn has(&self, key: &str) -> bool {
        let path = elements(key);
        self.leaves.iter().any(|leaf| leaf.path.starts_with(&path))
    }

    /// The names below a key, as written, in order.
    pub(super) fn names(&self, key: &str) -> Vec<String> {
        let path = elements(key);
        let mut names: Vec<String> = Vec::new();
        for leaf in self.leaves.iter().filter(|leaf| leaf.path.starts_with(&path)) {
            let name = leaf.written.split('.').nth(path.len()).unwrap_or_default();
            if !name.is_empty() && !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                names.push(name.to_owned());
            }
        }
        names
    }

    /// The value of a key, which counts as carried over.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        let path = elements(key);
        let leaf = self.leaves.iter_mut().find(|leaf| leaf.path == path && !leaf.done)?;
        leaf.done = true;
        let (key, value) = (leaf.written.clone(), leaf.value.clone());
        self.notes.push(Note { key, fate: Fate::Carried, text: String::new() });
        Some(value).filter(|value| !value.is_null())
    }

    /// A scalar as text.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        Some(match self.take(key)? {
            Value::String(text) => text,
            other => other.to_string(),
        })
        .filter(|text| !text.is_empty())
    }

    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        let text = self.text(key)?;
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "t" => Some(true),
            "false" | "0" | "f" => Some(false),
            _ => {
                self.note(key, Fate::Unknown, format!("`{text}` is neither true nor false"));
                None
            }
        }
    }

    /// A list, or a text with commas.
    pub(super) fn list(&mut self, key: &str) -> Option<Vec<String>> {
        let texts = match self.take(key)? {
            Value::Array(items) => items.iter().map(text_of).collect(),
            Value::String(text) => text.split(',').map(|item| item.trim().to_owned()).collect(),
            other => vec![other.to_string()],
        };
        Some(texts)
    }

    /// Says more of a key than that it was carried over, or what has no key.
    pub(super) fn note(&mut self, key: &str, fate: Fate, text: impl Into<String>) {
        let path = elements(key);
        let mut written = key.to_owned();
        for leaf in self.leaves.iter_mut().filter(|leaf| leaf.path == path) {
            leaf.done = true;
            written.clone_from(&leaf.written);
        }
        self.notes.retain(|note| note.key != written || note.fate != Fate::Carried);
        self.notes.push(Note { key: written, fate, text: text.into() });
    }

    /// The same, of a key the file has.
    pub(super) fn note_if_there(&mut self, key: &str, fate: Fate, text: &str) {
        if self.has(key) {
            self.note(key, fate, text);
        }
    }

    /// Everything that was said, every key that nobody took included.
    pub(super) fn finish(mut self, rows: &[Row]) -> Vec<Note> {
        for leaf in self.leaves.iter().filter(|leaf| !leaf.done) {
            let row = rows.iter().find(|(pattern, ..)| matches(pattern, &leaf.path));
            let (fate, text) = row.map_or((Fate::Unknown, "check its spelling"), |(_, fate, text)| (*fate, *text));
            self.notes.push(Note { key: leaf.written.clone(), fate, text: text.to_owned() });
        }
        self.notes.sort_by(|a, b| a.key.cmp(&b.key));
        self.notes
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn elements(key: &str) -> Vec<String> {
    key.split('.').map(str::to_ascii_lowercase).collect()
}

/// Tables become paths; lists of plain values stay whole, lists of tables are numbered.
fn flatten(value: &Value, path: &mut Vec<String>, leaves: &mut Vec<Leaf>) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (name, value) in entries {
                path.push(name.clone());
                flatten(value, path, leaves);
                path.pop();
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (at, item) in items.iter().enumerate() {
                path.push(at.to_string());
                flatten(item, path, leaves);
                path.pop();
            }
        }
        leaf => {
            let written = path.join(".");
            leaves.push(Leaf { path: elements(&written), written, value: leaf.clone(), done: false });
        }
    }
}

fn matches(pattern: &str, path: &[String]) -> bool {
    let below = pattern.ends_with('.');
    let pattern: Vec<&str> = pattern.trim_end_matches('.').split('.').collect();
    let enough = if below { path.len() >= pattern.len() } else { path.len() == pattern.len() };
    enough && pattern.iter().zip(path).all(|(wanted, found)| *wanted == "*" || wanted.eq_ignore_ascii_case(found))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_key_is_accounted_for_once() {
        let mut source = Source::new(&json!({
            "Log": { "level": "DEBUG", "filePath": "" },
            "entryPoints": { "Web": { "address": ":80", "x": { "y": 1 } } },
            "list": [{ "a": 1 }, { "a": 2 }],
            "api": {},
            "odd": [1, 2],
        }));
        assert!(source.has("api") && source.has("entrypoints.web") && !source.has("entrypoints.we"));
        assert_eq!(source.names("entrypoints"), ["Web"]);
        assert_eq!(source.text("log.LEVEL").as_deref(), Some("DEBUG"));
        assert_eq!(source.text("log.filepath"), None, "empty is as good as absent");
        assert_eq!(source.list("odd"), Some(vec!["1".to_owned(), "2".to_owned()]));
        source.note("log.level", Fate::Differs, "why");
        let rows = [("entryPoints.*.x.", Fate::Unsupported, "no"), ("list.*.a", Fate::Differs, "so")];
        let notes = source.finish(&rows);
        let shown: Vec<_> =
            notes.iter().map(|note| format!("{} {} {}", note.key, note.fate.as_str(), note.text)).collect();
        let expected = [
            "Log.filePath carried over ",
            "Log.level differs why",
            "api unknown check its spelling",
            "entryPoints.Web.address unknown check its spelling",
            "entryPoints.Web.x.y not supported no",
            "list.0.a differs so",
            "list.1.a differs so",
            "odd carried over ",
        ];
        assert_eq!(shown, expected);
    }
}
