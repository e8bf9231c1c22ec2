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
}

impl OneOrMany {
    /// The value for block `index`.
    ///
    /// # Errors
    /// Where the list is shorter than that; the message names `field`.
    pub fn at(&self, index: usize, field: &str) -> Result<usize> {
        match self {
            Self::One(value) => Ok(*value),
            Self::Many(values) => values.get(index).copied().ok_or_else(|| {
                Error::Config(format!("`{field}` has {} entries, but there are more blocks", values.len()))
            }),
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
