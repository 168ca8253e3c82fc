//! Templates of paths: `/users/{user}/orders/*`.

/// What of a path tells requests apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    segments: Vec<Segment>,
    /// Paths may go on after it.
    open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// `{name}`: its value counts.
    Value,
    /// `*`: any will do.
    Any,
}

impl PathTemplate {
    /// Reads a template: segments are as they are, or `{name}` where their value counts, or `*` where it does not. `**` at
    /// the end stands for any rest.
    ///
    /// # Errors
    /// It is no such template.
    ///
    /// ```
    /// use sluice_policy_kit::template::PathTemplate;
    ///
    /// let template = PathTemplate::parse("/users/{user}/*/**").unwrap();
    /// assert_eq!(template.fill("/users/7/orders/9"), Some("/users/7/*".to_owned()));
    /// assert_eq!(template.fill("/users/7/carts"), Some("/users/7/*".to_owned()));
    /// assert_eq!(template.fill("/users/7"), None);
    /// assert!(PathTemplate::parse("users").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a template of paths such as `/users/{{user}}/**`");
        let path = text.strip_prefix('/').ok_or_else(wrong)?;
        let (path, open) = match path.strip_suffix("**") {
            Some("") => ("", true),
            Some(path) => (path.strip_suffix('/').ok_or_else(wrong)?, true),
            None => (path, false),
        };
        let segment = |text: &str| match text {
            "*" => Ok(Segment::Any),
            _ if !text.contains(['{', '}', '*', '?', '#']) => Ok(Segment::Literal(text.to_owned())),
            _ => {
                let name = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
                let fits = |name: &&str| !name.is_empty() && !name.contains(['{', '}', '*']);
                name.filter(fits).map(|_| Segment::Value).ok_or_else(wrong)
            }
        };
        let segments = if open && path.is_empty() {
            Vec::new()
        } else {
            path.split('/').map(segment).collect::<Result<_, _>>()?
        };
        Ok(Self { segments, open })
    }

    /// The template with the values of a path in it; `None` where the path is another one.
    #[must_use]
    pub fn fill(&self, path: &str) -> Option<String> {
        let mut filled = String::with_capacity(path.len());
        let mut rest = path.strip_prefix('/')?.split('/');
        for segment in &self.segments {
            let found = rest.next()?;
            filled.push('/');
            match segment {
                Segment::Literal(literal) if literal == found => filled.push_str(found),
                Segment::Literal(_) => return None,
                Segment::Value => filled.push_str(found),
                Segment::Any => filled.push('*'),
            }
        }
        (self.open || rest.next().is_none()).then_some(filled)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn paths_fit_or_do_not() {
        for (template, path, expected) in [
            ("/", "/", Some("/")),
            ("/", "/a", None),
            ("/**", "/a/b", Some("")),
            ("/users/{user}", "/users/7", Some("/users/7")),
            ("/users/{user}", "/users/7/", None),
            ("/users/{user}/", "/users/7/", Some("/users/7/")),
            ("/users/{user}", "/orders/7", None),
            ("/{a}/x/{b}", "/1/x/2", Some("/1/x/2")),
            ("/*/x", "/1/x", Some("/*/x")),
        ] {
            let filled = PathTemplate::parse(template).unwrap().fill(path);
            assert_eq!(filled.as_deref(), expected, "{template} {path}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for text in ["", "users", "/a**", "/{}", "/{a", "/a*", "/{a}{b}", "/a?b", "/**/a"] {
            assert!(PathTemplate::parse(text).is_err(), "{text}");
        }
    }
}
