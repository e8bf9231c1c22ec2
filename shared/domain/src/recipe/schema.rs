//! The table of parameters as an OpenAPI schema.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use super::parameter::{Kind, Parameter};
use super::table::{PARAMETERS, Recipe};

impl PartialSchema for Recipe {
    fn schema() -> RefOr<Schema> {
        let described = PARAMETERS.iter().fold(ObjectBuilder::new(), |object, parameter| {
            object.property(parameter.name, property(parameter))
        });
        described.description(Some("Every parameter of a training run.")).into()
    }
}

impl ToSchema for Recipe {}

fn property(parameter: &Parameter) -> Schema {
    let of = |kind: Type| {
        ObjectBuilder::new().schema_type(SchemaType::Type(kind)).description(Some(parameter.help))
    };
    match parameter.kind {
        Kind::Integer { min, max } => {
            of(Type::Integer).minimum(Some(min as f64)).maximum(Some(max as f64)).into()
        }
        Kind::Number { min, max } => of(Type::Number).minimum(Some(min)).maximum(Some(max)).into(),
        Kind::Choice(words) => of(Type::String).enum_values(Some(words.iter().copied())).into(),
        Kind::Flag => of(Type::Boolean).into(),
        Kind::List(_) => {
            let item = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
            ArrayBuilder::new()
                .items(item)
                .max_items(Some(Kind::MAX_ITEMS))
                .description(Some(parameter.help))
                .into()
        }
        Kind::Sizes => of(Type::String).into(),
    }
}
