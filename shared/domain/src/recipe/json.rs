//! Recipes as JSON: one object, its fields the table's names.

use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value as Json};

use super::error::RecipeError;
use super::parameter::Kind;
use super::table::{PARAMETERS, Recipe};

impl Recipe {
    /// Reads a JSON object of parameters; what it does not name has its default.
    ///
    /// # Errors
    /// Where the text is not a JSON object, a field is not a parameter (the error names the nearest one), a value is
    /// not of its kind or out of its range, or [`Self::validate`] fails.
    pub fn from_json(text: &str) -> Result<Self, RecipeError> {
        let recipe = Self::default().with_json(text)?;
        recipe.validate()?;
        Ok(recipe)
    }

    /// This recipe with the parameters of a JSON object in place of its own. A byte order mark is allowed.
    ///
    /// # Errors
    /// As [`Self::from_json`]'s, but for what must hold between parameters, which is not looked at.
    pub fn with_json(self, text: &str) -> Result<Self, RecipeError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let map: Map<String, Json> =
            serde_json::from_str(text).map_err(|error| RecipeError::Json(error.to_string()))?;
        self.with_map(&map)
    }

    /// Every parameter as indented JSON, in the order of the table.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Numbers, strings and lists always serialize.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    fn with_map(mut self, map: &Map<String, Json>) -> Result<Self, RecipeError> {
        for (name, value) in map {
            let parameter = Self::parameter(name)?;
            let text = match value {
                Json::String(text) => text.clone(),
                Json::Number(number) => number.to_string(),
                Json::Bool(flag) => flag.to_string(),
                Json::Array(items) => join(items, &parameter.kind)
                    .map_err(|fault| RecipeError::value(parameter.name, &value.to_string(), fault))?,
                Json::Null | Json::Object(_) => {
                    let fault = "a number, a text, true, false or a list is needed".to_owned();
                    return Err(RecipeError::value(parameter.name, &value.to_string(), fault));
                }
            };
            self.set(name, &text)?;
        }
        Ok(self)
    }
}

/// A JSON list as the one text that a list parameter reads.
fn join(items: &[Json], kind: &Kind) -> Result<String, String> {
    let Kind::List(separator) = kind else { return Err("one value is needed, not a list".to_owned()) };
    let texts: Vec<&str> = items.iter().filter_map(Json::as_str).collect();
    if texts.len() < items.len() || texts.iter().any(|text| text.contains(*separator)) {
        return Err(format!("a list of texts without `{separator}` is needed"));
    }
    Ok(texts.join(&separator.to_string()))
}

impl Serialize for Recipe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(PARAMETERS.len()))?;
        for parameter in PARAMETERS {
            map.serialize_entry(parameter.name, &self.json(parameter))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Recipe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = Map::deserialize(deserializer)?;
        let recipe = Self::default().with_map(&map).map_err(D::Error::custom)?;
        recipe.validate().map_err(D::Error::custom)?;
        Ok(recipe)
    }
}
