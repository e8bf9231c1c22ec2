//! Recipes as JSON: one object, its fields the table's names.

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

use super::error::RecipeError;
use super::parameter::Kind;
use super::table::{PARAMETERS, Recipe};

impl Recipe {
    /// Reads a JSON object of parameters; what it does not name has its default.
    ///
    /// # Errors
    /// Where the text is not a JSON object, a field is not a parameter (the error names the nearest one) or is there twice, a value
    /// is not of its kind or out of its range, or [`Self::validate`] fails.
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
        let fields: Fields =
            serde_json::from_str(text).map_err(|error| RecipeError::Json(error.to_string()))?;
        self.with_fields(&fields)
    }

    /// Every parameter as indented JSON, in the order of the table.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Numbers, strings and lists always serialize.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    fn with_fields(mut self, Fields(fields): &Fields) -> Result<Self, RecipeError> {
        let mut seen = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            let parameter = Self::parameter(name)?;
            if seen.contains(&parameter.name) {
                return Err(RecipeError::Twice { name: parameter.name });
            }
            seen.push(parameter.name);
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

/// The fields of a JSON object as they stand there, where a name may be twice.
struct Fields(Vec<(String, Json)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
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
        let fields = Fields::deserialize(deserializer)?;
        let recipe = Self::default().with_fields(&fields).map_err(D::Error::custom)?;
        recipe.validate().map_err(D::Error::custom)?;
        Ok(recipe)
    }
}
