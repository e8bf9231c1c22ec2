//! The API's description, made of the routes' own.

use std::sync::LazyLock;

use mudi_domain::api::Access;
use serde_json::{Value, json};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{InfoBuilder, KnownFormat, OpenApi, OpenApiBuilder, RefOr, Schema, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

/// The document as JSON. Anybody may ask for it, so it is made once.
pub(super) static TEXT: LazyLock<String> =
    LazyLock::new(|| serde_json::to_string(&document()).unwrap_or_default());

/// A body that is a file, in the description.
pub(super) enum Octets {}

impl PartialSchema for Octets {
    fn schema() -> RefOr<Schema> {
        let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
        ObjectBuilder::new().schema_type(Type::String).format(Some(binary)).into()
    }
}

impl ToSchema for Octets {}

/// The OpenAPI 3.1 document.
#[must_use]
pub fn document() -> OpenApi {
    let (_, routes) = super::routes::all().split_for_parts();
    let info = InfoBuilder::new().title("MuDI Studio").version("1").description(Some(
        "Projects, photos, masks, training runs and generated images. What an operation needs is the scope of its \
         security requirement: nobody, viewer, player, editor or owner; each may do what those before it may. Errors \
         are `application/problem+json` with a stable `code`.",
    ));
    let mut document = OpenApiBuilder::from(routes).info(info).build();
    complete(&mut document);
    document
}

/// Adds what is the same for all operations: path parameters, the answer to errors, and how one signs in.
fn complete(document: &mut OpenApi) {
    let Ok(mut value) = serde_json::to_value(&*document) else { return };
    let paths = value["paths"].as_object_mut().into_iter().flatten();
    for (path, item) in paths {
        for (_, operation) in item.as_object_mut().into_iter().flatten() {
            let mut parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            parameters.extend(path_parameters(path));
            parameters.extend(kept_file(&mut operation["responses"]));
            if !parameters.is_empty() {
                operation["parameters"] = Value::Array(parameters);
            }
            if operation["security"][0]["session"][0] == Access::Nobody.word() {
                // Without a cookie as well.
                operation["security"].as_array_mut().into_iter().for_each(|ways| ways.push(json!({})));
            }
            operation["responses"]["default"] = json!({
                "description": "An error",
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
            });
        }
    }
    value["components"]["securitySchemes"] = json!({
        "session": {
            "type": "apiKey", "in": "cookie", "name": super::gate::COOKIE,
            "description": "Set by POST /api/session. From the server's own machine none is needed.",
        },
    });
    if let Ok(completed) = serde_json::from_value(value) {
        *document = completed;
    }
}

/// What is the same for all kept files: the headers by which browsers ask for less of them. A range is of the file's kind.
fn kept_file(responses: &mut Value) -> impl Iterator<Item = Value> + use<> {
    let has = |status: &str| responses.get(status).is_some();
    let headers = [
        ("If-None-Match", "The `ETag` that the browser has.", has("304")),
        ("Range", "One range of bytes.", has("206")),
        ("If-Range", "The `ETag` that the range is of.", has("206")),
    ];
    if has("206") {
        responses["206"]["content"] = responses["200"]["content"].clone();
    }
    headers.into_iter().filter(|(.., has)| *has).map(|(name, words, _)| {
        let schema = json!({ "type": "string" });
        json!({ "name": name, "in": "header", "description": words, "required": false, "schema": schema })
    })
}

/// The parameters that a path names in braces.
fn path_parameters(path: &str) -> impl Iterator<Item = Value> + '_ {
    path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        let schema = match name {
            "subject" | "sha256" => json!({ "type": "string" }),
            "step" => json!({ "type": "integer", "minimum": 1 }),
            _ => json!({ "type": "string", "format": "uuid" }),
        };
        Some(json!({ "name": name, "in": "path", "required": true, "schema": schema }))
    })
}
