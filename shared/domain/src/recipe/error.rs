//! Why a recipe was refused.

use super::table::PARAMETERS;

/// Why a recipe, or one of its parameters, was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    /// There is no parameter of this name.
    #[error("there is no parameter `{name}`; did you mean `{nearest}`?")]
    Unknown {
        /// The name as it was given.
        name: String,
        /// The known name that is nearest to it.
        nearest: &'static str,
    },
    /// A parameter cannot have this value.
    #[error("`{name}` cannot be {value:?}: {fault}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// The value as it was given, shortened where it is long.
        value: String,
        /// What is needed instead.
        fault: String,
    },
    /// A parameter has two values.
    #[error("`{name}` is there twice (`_` counts as `-`); keep one of them")]
    Twice {
        /// The parameter.
        name: &'static str,
    },
    /// Parameters contradict each other.
    #[error("{0}")]
    Rule(&'static str),
    /// The text is not a JSON object of parameters.
    #[error("the recipe cannot be read: {0}; write an object, as {{\"steps\": 1200}}")]
    Json(String),
}

impl RecipeError {
    pub(super) fn unknown(name: &str) -> Self {
        let name: String = name.chars().take(60).collect();
        let wanted = name.to_lowercase().replace('_', "-");
        let nearest = PARAMETERS.iter().map(|p| p.name).min_by_key(|known| distance(&wanted, known));
        Self::Unknown { name, nearest: nearest.unwrap_or_default() }
    }

    pub(super) fn value(name: &'static str, value: &str, fault: String) -> Self {
        Self::Value { name, value: value.chars().take(60).collect(), fault }
    }
}

/// The number of characters to insert, delete or replace to make `b` of `a` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("steps", "steps"), 0);
    }
}
