//! Configuration: sources in, checked settings out.
//!
//! `config/vayro.toml` holds every setting with its default and its reason and is compiled in. Over it
//! come a file, variables and flags. Each role reads its own section into its own struct:
//!
//! ```no_run
//! use vayro_backends::config::{BackendConfig, ConfigErrors, Layers, LogSettings};
//!
//! fn read() -> Result<(BackendConfig, LogSettings), ConfigErrors> {
//!     let layers = Layers::load(None, std::env::vars(), &[("log.level", "debug".to_owned())])?;
//!     let mut errors = layers.errors();
//!     let backend = BackendConfig::read(&layers, &mut errors);
//!     let log = layers.section::<LogSettings>("log", &mut errors);
//!     errors.finish()?;
//!     Ok((backend.expect("no mistakes"), log.expect("no mistakes")))
//! }
//! ```

mod acme;
mod backend;
mod error;
mod instance;
mod layers;
mod reference;
mod retention;
mod show;
mod size;
mod span;

pub use acme::{Acme, AcmeConfig, ChallengeKind, SelfCheck};
pub use backend::{BackendConfig, ClusteredConfig, EmbeddedConfig, LookupConfig, SpoolConfig};
pub use error::{ConfigErrors, ConfigMistake, Source};
pub use instance::{InstanceSettings, LogFormat, LogSettings};
pub use layers::Layers;
pub use reference::markdown;
pub use retention::{FOREVER, keep_text, retention};
pub use show::ShownSetting;
pub use size::{Size, SizeError};
pub use span::{Span, SpanError};

/// Every setting with its default and its reason.
pub const DEFAULTS: &str = include_str!("../../config/vayro.toml");

/// Exit status of a process whose configuration is wrong, before any port is bound.
pub const EXIT_BAD_CONFIG: u8 = 64;
