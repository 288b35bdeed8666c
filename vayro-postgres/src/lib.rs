//! Vayro's ports on PostgreSQL
