//! Our own extractors: like axum's, but every refusal is a problem document.

mod json;
mod path;
mod query;

pub(crate) use json::{Json, from_value, is_json, read_json};
pub(crate) use path::Path;
pub(crate) use query::Query;
