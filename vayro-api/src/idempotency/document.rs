//! The header in the OpenAPI document.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{OpenApi, Required};
use vayro_core::idempotency::IdempotencyKey;

use super::{KEY_HEADER, OPERATIONS};

/// Adds the header to every operation that takes it.
pub(crate) fn describe(document: &mut OpenApi) {
    for operation in OPERATIONS {
        let item = document.paths.paths.get_mut(operation.path);
        let post = item.and_then(|item| item.post.as_mut()).expect("every operation is a route");
        post.parameters.get_or_insert_default().push(parameter());
    }
}

fn parameter() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .min_length(Some(1))
        .max_length(Some(IdempotencyKey::LEN_MAX))
        .pattern(Some("^[!-~]+$"))
        .build();
    ParameterBuilder::new()
        .name(KEY_HEADER)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "A name for this request, best a random one. Sent again within 24 hours with the same body, it is \
             not done again: the first answer comes back with `Idempotency-Replayed: true`",
        ))
        .schema(Some(schema))
        .build()
}
