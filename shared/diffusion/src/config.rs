//! Reading `config.json` files.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

/// A field that diffusers writes as one value for all blocks, or as a list with one value for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// The same for every block.
    One(usize),
    /// One for each block.
    Many(Vec<usize>),
    /// Anything else, such as a list with a list for each layer; what it must not be is refused with the field's name, which is not known
    /// while it is read.
    Other(Value),
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

impl OneOrMany {
    /// The value for layer `layer` of block `index`, where a block may have one number for all of its layers or a list of them.
    ///
    /// # Errors
    /// As [`at`](Self::at).
    pub fn at_layer(&self, index: usize, layer: usize, field: &str) -> Result<usize> {
        let Self::Other(Value::Array(blocks)) = self else { return self.at(index, field) };
        let value = match blocks.get(index) {
            Some(Value::Array(layers)) => layers.get(layer),
            one => one,
        };
        let number = value.and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| {
            Error::Config(format!(
                "`{field}` is {}, which has no number for layer {layer} of block {index}",
                Value::from(blocks.clone())
            ))
        })
    }

    /// Whether a block has a list of its own.
    pub(crate) fn is_nested(&self) -> bool {
        matches!(self, Self::Other(Value::Array(blocks)) if blocks.iter().any(Value::is_array))
    }
}

/// More levels, more layers of one level, and wider ones than any of these networks has.
const MAX_LEVELS: usize = 16;
pub(crate) const MAX_LAYERS: usize = 64;
pub(crate) const MAX_WIDTH: usize = 1 << 16;

/// Refuses the levels of a network that would fill the memory before a weight is looked at, or pictures of such a size.
pub(crate) fn check_sizes(widths: &[usize], side: Option<usize>) -> Result<()> {
    if widths.len() > MAX_LEVELS {
        return Err(Error::Config(format!("`block_out_channels` names more than {MAX_LEVELS} levels")));
    }
    at_most("block_out_channels", widths.iter().copied().max().unwrap_or(0), MAX_WIDTH)?;
    at_most("sample_size", side.unwrap_or(0), MAX_WIDTH)
}

/// Fails where `value` is above `most`: a number of a configuration that no network has, and that would fill the memory before a weight is
/// looked at.
///
/// # Errors
/// [`Error::Config`], naming the field.
pub(crate) fn at_most(field: &str, value: usize, most: usize) -> Result<()> {
    if value <= most {
        return Ok(());
    }
    Err(Error::Config(format!("`{field}` is {value}; no more than {most} is supported")))
}

/// Reads a side, or height and width, of which the smaller counts; null is none.
pub(crate) fn side<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<usize>, D::Error> {
    match Option::<OneOrMany>::deserialize(deserializer)? {
        None => Ok(None),
        Some(OneOrMany::One(side)) => Ok(Some(side)),
        Some(OneOrMany::Many(sides)) => Ok(sides.into_iter().min()),
        Some(OneOrMany::Other(value)) => Err(D::Error::custom(format!("`sample_size` is {value}"))),
    }
}

/// Reads a switch, or one for each block: whether any is set.
pub(crate) fn any<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<bool, D::Error> {
    let set = |value: &Value| !matches!(value, Value::Null | Value::Bool(false));
    Ok(match Value::deserialize(deserializer)? {
        Value::Array(switches) => switches.iter().any(set),
        value => set(&value),
    })
}

/// Reads null as the default.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> std::result::Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
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
        let at = |json: &str, layer| {
            parse::<OneOrMany>(json).unwrap().at_layer(1, layer, "depth").map_err(|error| error.to_string())
        };
        assert_eq!((at("3", 7), at("[1, 2]", 7)), (Ok(3), Ok(2)));
        assert_eq!((at("[1, [2, 4]]", 1), at("[[1], 5]", 1)), (Ok(4), Ok(5)));
        for (json, layer) in [("[1, [2, 4]]", 2), ("[[1]]", 0), ("[1, [[2]]]", 0), (r#"[1, "2"]"#, 0)] {
            assert!(at(json, layer).unwrap_err().contains("`depth`"), "{json}");
        }
    }
}
