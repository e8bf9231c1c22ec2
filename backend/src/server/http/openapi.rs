//! The API's description, made of the routes' own.

use serde_json::{Value, json};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};

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
            if !parameters.is_empty() {
                operation["parameters"] = Value::Array(parameters);
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
