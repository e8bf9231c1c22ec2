//! Subjects: what a model learns to tell apart.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest id, in characters.
pub const MAX_ID: usize = 64;
/// The longest name, in characters.
pub const MAX_NAME: usize = 200;

/// Identifiers to offer, best first: the paper's, then more of their kind.
///
/// Each is a single, rare token of CLIP's vocabulary and nearly meaningless. A word of several tokens shares them with other words (`hta` without a
/// token of its own would end in the article `a`), and what is learnt of one subject leaks into whatever has the same ones.
pub const IDENTIFIERS: [&str; 12] =
    ["olis", "hta", "ult", "amg", "lun", "ohwx", "phol", "nery", "zshq", "utto", "ynna", "mlas"];

/// A subject's short key within a data set, for example `a`: letters, digits, `-` and `_`, at most [`MAX_ID`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubjectId(String);

/// A subject: its id and its name, `<identifier> <class>`, for example `olis brown teddy bear`.
///
/// The identifier is a rare token that comes to mean this one subject. The class says in plain, descriptive words what
/// it is ("Weimaraner", not "dog"): without a descriptive class identities mix more (MuDI, ablation of the class).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawSubject", into = "RawSubject")]
pub struct Subject {
    id: SubjectId,
    name: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSubject {
    id: SubjectId,
    name: String,
}

/// Why an id or a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// The id is empty, too long, or has a character that ids may not have.
    #[error("subject id {0:?} is refused; write 1 to {MAX_ID} letters, digits, `-` or `_`, for example `a`")]
    Id(String),
    /// The name is longer than [`MAX_NAME`] characters.
    #[error("the name of subject `{id}` has {length} characters; shorten it to {MAX_NAME}")]
    Long {
        /// The subject.
        id: SubjectId,
        /// The name's length in characters.
        length: usize,
    },
    /// The name has a control character, for example a line break.
    #[error("the name of subject `{0}` has a control character; write it on one line, as plain text")]
    Control(SubjectId),
    /// The name has fewer than two words.
    #[error(
        "subject `{id}` is named {name:?}; write an identifier and then a class, for example `olis brown teddy bear`"
    )]
    Words {
        /// The subject.
        id: SubjectId,
        /// The name as it was given.
        name: String,
    },
}

impl SubjectId {
    /// The id `text`.
    ///
    /// # Errors
    /// Where it is empty, longer than [`MAX_ID`] or has a character other than letters, digits, `-` and `_`.
    pub fn new(text: &str) -> Result<Self, SubjectError> {
        let fits = (1..=MAX_ID).contains(&text.chars().count());
        if fits && text.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_') {
            Ok(Self(text.to_owned()))
        } else {
            Err(SubjectError::Id(text.chars().take(MAX_ID).collect()))
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SubjectId {
    type Err = SubjectError;
    fn from_str(text: &str) -> Result<Self, SubjectError> {
        Self::new(text)
    }
}

impl TryFrom<String> for SubjectId {
    type Error = SubjectError;
    fn try_from(text: String) -> Result<Self, SubjectError> {
        Self::new(&text)
    }
}

impl From<SubjectId> for String {
    fn from(id: SubjectId) -> Self {
        id.0
    }
}

impl Subject {
    /// The subject `id` with the name `name`; runs of white space in the name become one space.
    ///
    /// # Errors
    /// Where the name has fewer than two words, more than [`MAX_NAME`] characters or a control character.
    pub fn new(id: SubjectId, name: &str) -> Result<Self, SubjectError> {
        let length = name.chars().count();
        if length > MAX_NAME {
            return Err(SubjectError::Long { id, length });
        }
        if name.chars().any(char::is_control) {
            return Err(SubjectError::Control(id));
        }
        let words: Vec<&str> = name.split_whitespace().collect();
        if words.len() < 2 {
            return Err(SubjectError::Words { id, name: name.to_owned() });
        }
        Ok(Self { id, name: words.join(" ") })
    }

    /// The key within the data set.
    #[must_use]
    pub fn id(&self) -> &SubjectId {
        &self.id
    }

    /// Identifier and class, as they stand in a prompt.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rare token: the name's first word.
    #[must_use]
    pub fn identifier(&self) -> &str {
        self.name.split_once(' ').map_or(self.name.as_str(), |(first, _)| first)
    }

    /// What the subject is: the name without its first word.
    #[must_use]
    pub fn class(&self) -> &str {
        self.name.split_once(' ').map_or("", |(_, rest)| rest)
    }

    /// Whether a prompt speaks of this subject: whether its identifier stands in it as a word, in letters of any case. `-` and `_` are
    /// part of a word, so that `sks` is not named by `sks-2`.
    #[must_use]
    pub fn is_named_in(&self, prompt: &str) -> bool {
        let (prompt, identifier) = (prompt.to_lowercase(), self.identifier().to_lowercase());
        let joins =
            |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '_');
        prompt.match_indices(&identifier).any(|(start, found)| {
            !joins(prompt[..start].chars().next_back())
                && !joins(prompt[start + found.len()..].chars().next())
        })
    }
}

impl TryFrom<RawSubject> for Subject {
    type Error = SubjectError;
    fn try_from(raw: RawSubject) -> Result<Self, SubjectError> {
        Self::new(raw.id, &raw.name)
    }
}

impl From<Subject> for RawSubject {
    fn from(subject: Subject) -> Self {
        Self { id: subject.id, name: subject.name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Result<Subject, SubjectError> {
        Subject::new(SubjectId::new("a").unwrap(), name)
    }

    #[test]
    fn a_name_is_an_identifier_and_a_class() {
        let subject = named("  olis  brown teddy bear ").unwrap();
        assert_eq!(subject.name(), "olis brown teddy bear");
        assert_eq!((subject.identifier(), subject.class()), ("olis", "brown teddy bear"));
    }

    #[test]
    fn a_prompt_names_it_by_a_whole_word() {
        let subject = named("olis bear").unwrap();
        for prompt in ["A photo of a olis bear.", "OLIS", "(olis:1.2) and snow"] {
            assert!(subject.is_named_in(prompt), "{prompt}");
        }
        for prompt in ["", "A photo of a bear.", "a polis bear", "olisa"] {
            assert!(!subject.is_named_in(prompt), "{prompt}");
        }
        assert!(named("sks-1 Katze").unwrap().is_named_in("a sks-1 Katze, äsks-1"));
        let short = named("sks cat").unwrap();
        assert!(short.is_named_in("a sks-2 cat and a sks cat"));
        assert!(!short.is_named_in("a sks-2 cat, pre_sks"));
    }

    #[test]
    fn names_that_cannot_work_are_refused() {
        assert!(matches!(named("olis"), Err(SubjectError::Words { .. })));
        assert!(matches!(named(""), Err(SubjectError::Words { .. })));
        assert!(matches!(named("olis\ncat"), Err(SubjectError::Control(_))));
        assert!(matches!(named(&"olis ".repeat(41)), Err(SubjectError::Long { length: 205, .. })));
    }

    #[test]
    fn ids_are_short_and_plain() {
        for good in ["a", "dog-1", "Katze_ä", &"x".repeat(MAX_ID)] {
            assert!(SubjectId::new(good).is_ok(), "{good}");
        }
        for bad in ["", " ", "a b", "a=1", "a,b", "../a", &"x".repeat(MAX_ID + 1)] {
            assert!(SubjectId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn json_cannot_go_around_the_checks() {
        assert!(serde_json::from_str::<SubjectId>("\"a/b\"").is_err());
        assert!(serde_json::from_str::<Subject>(r#"{"id":"a","name":"olis"}"#).is_err());
        let subject = named("olis cat").unwrap();
        let text = serde_json::to_string(&subject).unwrap();
        assert_eq!(text, r#"{"id":"a","name":"olis cat"}"#);
        assert_eq!(serde_json::from_str::<Subject>(&text).unwrap(), subject);
    }
}
