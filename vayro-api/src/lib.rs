//! The axum API: /v1, sign-in, OpenAPI
