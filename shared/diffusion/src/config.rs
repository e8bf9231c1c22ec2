//! Reading `config.json` files.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::{Error, Result};

/// A field that diffusers writes as one value for all blocks, or as a list with one value for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// The same for every block.
    One(usize),
    /// One for each block.
    Many(Vec<usize>),
    /// Anything else, such as a list of lists; refused with the field's name, which is not known while it is read.
    Other(serde_json::Value),
}

impl OneOrMany {
    /// The value for block `index`.
    ///
    /// # Errors
    /// Where the list is shorter than that, or holds something else; the message names `field`.
    pub fn at(&self, index: usize, field: &str) -> Result<usize> {
        match self {
            Self::One(value) => Ok(*value),
            Self::Many(values) => values.get(index).copied().ok_or_else(|| {
                Error::Config(format!("`{field}` has {} entries, but there are more blocks", values.len()))
            }),
            Self::Other(value) => Err(Error::Config(format!(
                "`{field}` is {value}, and only one number, or one for each block, is supported"
            ))),
        }
    }
}

/// Parses a configuration; fields that are not known are passed over, as diffusers adds some with each version.
///
/// # Errors
/// [`Error::Config`] with serde's message (line, column and field).
pub fn parse<C: DeserializeOwned>(json: &str) -> Result<C> {
    serde_json::from_str(json).map_err(|error| Error::Config(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_one_nor_many_is_refused_with_the_fields_name() {
        let at =
            |json: &str| parse::<OneOrMany>(json).unwrap().at(1, "depth").map_err(|error| error.to_string());
        assert_eq!(at("3"), Ok(3));
        assert_eq!(at("[1, 2]"), Ok(2));
        for json in ["[1]", "[[0], [2, 2]]", "-1", r#""2""#, "null"] {
            let error = at(json).unwrap_err();
            assert!(error.contains("`depth`"), "{json}: {error}");
        }
        assert!(at("[[0], [2, 2]]").unwrap_err().contains("[[0],[2,2]]"));
    }
}
