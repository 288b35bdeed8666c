//! OpenAPI schemas of types that live in core.

use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};
use vayro_core::access::{Role, Scope};
use vayro_core::account::Plan;
use vayro_core::analytics::{BucketSize, Comparison};
use vayro_core::click::ClickClass;
use vayro_core::link::LinkState;
use vayro_core::stream::DeadReason;

fn text_enum<'a>(description: &str, values: impl IntoIterator<Item = &'a str>) -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .description(Some(description))
        .enum_values(Some(values))
        .build()
}

pub(crate) fn link_state() -> Object {
    text_enum("What a link is at an instant.", LinkState::ALL.map(LinkState::as_str))
}

pub(crate) fn redirect_status() -> Object {
    let codes: [u16; 5] = [301, 302, 303, 307, 308];
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Integer))
        .description(Some("The status of the redirect."))
        .enum_values(Some(codes))
        .build()
}

pub(crate) fn role() -> Object {
    text_enum("What a member is in a workspace, weakest first.", Role::ALL.map(Role::as_str))
}

pub(crate) fn scope() -> Object {
    text_enum("What an API key may be used for.", Scope::ALL.map(Scope::as_str))
}

pub(crate) fn plan() -> Object {
    text_enum("What an account pays for.", Plan::ALL.map(Plan::as_str))
}

pub(crate) fn click_class() -> Object {
    text_enum("What a click counts as.", ClickClass::ALL.map(ClickClass::as_str))
}

pub(crate) fn bucket() -> Object {
    text_enum(
        "Width of a series' points.",
        [BucketSize::Hour, BucketSize::Day, BucketSize::Week, BucketSize::Month]
            .map(crate::analytics::bucket_name),
    )
}

pub(crate) fn comparison() -> Object {
    text_enum("What a span is compared with.", Comparison::ALL.map(Comparison::as_str))
}

pub(crate) fn dead_reason() -> Object {
    text_enum("Why an entry was put aside.", DeadReason::ALL.map(DeadReason::as_str))
}
