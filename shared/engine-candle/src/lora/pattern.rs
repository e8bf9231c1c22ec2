//! The patterns by which PEFT's configurations name layers.

use std::fmt;
use std::path::Path;

use regex::bytes::{Regex, RegexBuilder};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::LoraError;

/// JSON whose objects keep their order, which patterns are asked in. Of the rest what is looked at is kept.
#[derive(Clone, Debug)]
pub(super) enum Loose {
    Map(Vec<(String, Loose)>),
    Number(f64),
    Bool(bool),
    Text(String),
    Other,
}

impl Loose {
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Loose, E> {
        Ok(Loose::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Loose, E> {
        Ok(Loose::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Loose, E> {
        Ok(Loose::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Loose, E> {
        Ok(Loose::Number(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
        Ok(Loose::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Loose, E> {
        Ok(Loose::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Loose, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Loose::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Loose, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Loose::Map(entries))
    }
}

/// What is wrong with a configuration.
pub(super) enum Fault {
    /// A pattern that cannot be read.
    Pattern { pattern: String, reason: String },
    /// A start of training that is not known.
    Start(String),
}

impl Fault {
    pub(super) fn of(self, path: &Path) -> LoraError {
        let path = path.to_owned();
        match self {
            Self::Pattern { pattern, reason } => LoraError::Pattern { path, pattern, reason },
            Self::Start(start) => LoraError::Start { path, start },
        }
    }
}

/// What a layer's name, or its last parts, are to be like.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    /// A name, of which a dot stands for any character; none before it where `whole`.
    Plain {
        name: String,
        whole: bool,
    },
    Regex(Regex),
}

impl Pattern {
    pub(super) fn new(pattern: &str) -> Result<Self, Fault> {
        let name = pattern.trim_start_matches('^');
        if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)) {
            // As almost all are; files have hundreds of them.
            return Ok(Self::Plain { name: name.to_owned(), whole: name.len() < pattern.len() });
        }
        RegexBuilder::new(&format!(r"^(?:.*\.)?(?:{pattern})$"))
            .unicode(false)
            .build()
            .map(Self::Regex)
            .map_err(|error| {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or_default().to_owned();
                Fault::Pattern { pattern: pattern.to_owned(), reason }
            })
    }

    pub(super) fn fits(&self, layer: &str) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(layer.as_bytes()),
            Self::Plain { name, whole } => {
                let layer = layer.as_bytes();
                let Some((before, end)) =
                    layer.len().checked_sub(name.len()).and_then(|at| layer.split_at_checked(at))
                else {
                    return false;
                };
                let alike = name.bytes().zip(end).all(|(wanted, found)| wanted == b'.' || wanted == *found);
                alike && (before.is_empty() || (!whole && before.ends_with(b".")))
            }
        }
    }
}
