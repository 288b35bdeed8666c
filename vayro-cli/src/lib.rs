//! The vayro command: client commands, up, migrate, doctor
