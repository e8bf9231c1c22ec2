//! What the table says of a parameter.

use super::value::RelativeSizes;

/// One training parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter {
    /// Its name in kebab case: the flag (`--learning-rate`) and the JSON field.
    pub name: &'static str,
    /// The heading under which a form shows it.
    pub group: &'static str,
    /// What it does, with its unit.
    pub help: &'static str,
    /// Its default, as text.
    pub default: &'static str,
    /// What it may hold.
    pub kind: Kind,
}

impl Parameter {
    /// The environment variable that sets it, for example `MUDI_LEARNING_RATE`.
    #[must_use]
    pub fn env(&self) -> String {
        format!("MUDI_{}", self.name.replace('-', "_").to_uppercase())
    }
}

/// What a parameter may hold. Ranges include both ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A whole number.
    Integer {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// A number.
    Number {
        /// The smallest.
        min: f64,
        /// The largest.
        max: f64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// Texts, separated by this character, which none of them may have; JSON has a list instead.
    List(char),
    /// Relative sizes of subjects, as `a=1,b=0.6`, each in 0.05..=1; empty for none.
    Sizes,
}

impl Kind {
    /// Checks `text` (without white space around it) against the kind and its range.
    ///
    /// # Errors
    /// What is needed instead, as the end of a sentence: `a whole number from 1 to 64 is needed`.
    pub fn check(&self, text: &str) -> Result<(), String> {
        let needed = match self {
            Self::Integer { min, max } => {
                let found = text.parse::<u64>();
                (!found.is_ok_and(|n| (*min..=*max).contains(&n)))
                    .then(|| format!("a whole number from {min} to {max}"))
            }
            Self::Number { min, max } => {
                let found = text.parse::<f64>();
                (!found.is_ok_and(|n| (*min..=*max).contains(&n)))
                    .then(|| format!("a number from {min:?} to {max:?}"))
            }
            Self::Choice(words) => (!words.contains(&text)).then(|| format!("one of {}", words.join(", "))),
            Self::Flag => (!matches!(text, "true" | "false")).then(|| "true or false".to_owned()),
            Self::List(separator) => {
                let count = text.split(*separator).count();
                (count > Self::MAX_ITEMS || text.contains(char::is_control))
                    .then(|| format!("a list of at most {} texts without line breaks", Self::MAX_ITEMS))
            }
            Self::Sizes => return text.parse::<RelativeSizes>().map(drop),
        };
        needed.map_or(Ok(()), |needed| Err(format!("{needed} is needed")))
    }

    /// The most items of a list.
    pub const MAX_ITEMS: usize = 64;
}
