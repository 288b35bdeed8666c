//! Test servers, fixtures and fault injection; a dev-dependency only
