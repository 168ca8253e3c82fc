//! `encodedcharacters`: encodings in the path that are refused unless allowed.

use sluice_plugin_sdk::router::{Action, EncodedCharacters};

use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Boolean, Object};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(
    &[
        ("allowencodedslash", Boolean),
        ("allowencodedbackslash", Boolean),
        ("allowencodednullcharacter", Boolean),
        ("allowencodedsemicolon", Boolean),
        ("allowencodedpercent", Boolean),
        ("allowencodedquestionmark", Boolean),
        ("allowencodedhash", Boolean),
    ],
    Refused,
);

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    let characters = [
        ("allowencodedslash", EncodedCharacters::SLASH),
        ("allowencodedbackslash", EncodedCharacters::BACKSLASH),
        ("allowencodednullcharacter", EncodedCharacters::NULL_CHARACTER),
        ("allowencodedsemicolon", EncodedCharacters::SEMICOLON),
        ("allowencodedpercent", EncodedCharacters::PERCENT),
        ("allowencodedquestionmark", EncodedCharacters::QUESTION_MARK),
        ("allowencodedhash", EncodedCharacters::HASH),
    ];
    let allowed = characters.into_iter().filter(|(name, _)| kind.flag(name) == Some(true));
    let none = EncodedCharacters::empty();
    Ok(Action::EncodedCharacters(allowed.fold(none, |all, (_, character)| all | character)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::middleware;

    #[test]
    fn what_is_not_allowed_is_refused() {
        let options = ["encodedcharacters.allowencodedslash=true", "encodedcharacters.allowencodedhash=false"];
        assert_eq!(middleware(&options), Some(Action::EncodedCharacters(EncodedCharacters::SLASH)));
    }
}
