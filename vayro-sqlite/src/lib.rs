//! Vayro's ports on one SQLite file
