//! The new file while it is written: sections in the order they were begun.

use std::fmt;

use toml::Value;

/// A `sluice.toml` to be.
#[derive(Default)]
pub(super) struct Draft {
    sections: Vec<(String, Vec<String>)>,
    policies: Vec<toml::Table>,
}

impl Draft {
    /// Begins a section, which may stay empty.
    pub(super) fn section(&mut self, name: &str) -> &mut Vec<String> {
        let at = self.sections.iter().position(|(known, _)| known == name).unwrap_or(self.sections.len());
        if at == self.sections.len() {
            self.sections.push((name.to_owned(), Vec::new()));
        }
        match self.sections.get_mut(at) {
            Some((_, lines)) => lines,
            None => unreachable!("the section was just pushed"),
        }
    }

    /// Sets a key of a section.
    pub(super) fn set(&mut self, section: &str, key: &str, value: impl Into<Value>) {
        let line = format!("{key} = {}", value.into());
        self.section(section).push(line);
    }

    /// Sets a key where there is a value for it.
    pub(super) fn set_some(&mut self, section: &str, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(section, key, value);
        }
    }
}

impl Draft {
    /// Adds one of `[[policies]]`, attached to an entrypoint.
    pub(super) fn policy(&mut self, name: &str, plugin: &str, entrypoint: &str, config: toml::Table) {
        let attach = vec![Value::String(format!("entrypoint:{entrypoint}"))];
        self.policies.push(toml::Table::from_iter([
            ("name".to_owned(), name.into()),
            ("plugin".to_owned(), plugin.into()),
            ("attach".to_owned(), attach.into()),
            ("config".to_owned(), config.into()),
        ]));
    }
}

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, lines)) in self.sections.iter().enumerate() {
            writeln!(f, "{}[{name}]", if at == 0 { "" } else { "\n" })?;
            lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        }
        for policy in &self.policies {
            writeln!(f, "\n[[policies]]")?;
            for key in ["name", "plugin", "attach", "config"] {
                policy.get(key).map_or(Ok(()), |value| writeln!(f, "{key} = {value}"))?;
            }
        }
        Ok(())
    }
}

/// A name as an element of a TOML key.
pub(super) fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if bare { name.to_owned() } else { Value::from(name).to_string() }
}

/// A duration as Traefik writes it: a number is seconds, a text is Go's.
pub(super) fn duration(text: String) -> Value {
    text.parse::<i64>().map_or(Value::String(text), Value::Integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_keep_their_order_and_values_are_toml() {
        let mut draft = Draft::default();
        draft.set("a", "text", "x\"y");
        draft.section("b");
        draft.set("a", "list", vec!["1", "2"]);
        draft.set_some("a", "none", None::<&str>);
        draft.set(&format!("c.{}", key("o dd")), "time", duration("10".into()));
        draft.policy("n", "p", "web", toml::Table::from_iter([("x".to_owned(), 1.into())]));
        let policy =
            "\n[[policies]]\nname = \"n\"\nplugin = \"p\"\nattach = [\"entrypoint:web\"]\nconfig = { x = 1 }\n";
        let shown = draft.to_string();
        assert!(shown.ends_with(policy), "{shown}");
        let shown = shown.trim_end_matches(policy);
        assert_eq!(shown, "[a]\ntext = 'x\"y'\nlist = [\"1\", \"2\"]\n\n[b]\n\n[c.\"o dd\"]\ntime = 10\n");
    }
}
