//! What this machine has: directory, disk, files.

use std::io;
use std::path::{Path, PathBuf};

use vayro_backends::config::BackendConfig;

use super::{Finding, Verdict};
use crate::commands::geoip;
use crate::commands::geoip::status::Status;
use crate::server::process::data_dir;
use crate::server::settings::ServerSettings;
use crate::ui::text;

/// Looks at the data directory and the room in it.
pub(super) fn data(settings: &ServerSettings) -> Vec<Finding> {
    const CHECK: &str = "data directory";
    let dir = data_dir(&settings.common.backend);
    let shown = dir.display();
    if !dir.exists() {
        return vec![Finding::new(
            CHECK,
            Verdict::Note,
            format!("{shown} is not there yet; `vayro up` makes it"),
        )];
    }
    let mut findings = vec![match probe(dir) {
        Ok(()) => Finding::new(CHECK, Verdict::Ok, format!("{shown} can be written")),
        Err(error) => Finding::new(CHECK, Verdict::Failed, format!("{shown} cannot be written: {error}")),
    }];
    findings.extend(room(dir, &settings.common.backend));
    findings
}

/// Writes and removes a file.
fn probe(dir: &Path) -> io::Result<()> {
    tempfile::NamedTempFile::new_in(dir)?.close()
}

fn room(dir: &Path, backend: &BackendConfig) -> Option<Finding> {
    const CHECK: &str = "disk";
    let (BackendConfig::Clustered(vayro_backends::config::ClusteredConfig { spool, .. })
    | BackendConfig::Embedded(vayro_backends::config::EmbeddedConfig { spool, .. })) = backend;
    let disk = rustix::fs::statvfs(dir).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let (free_text, needed) = (text::bytes(free), text::bytes(spool.bytes_max));
    Some(if free < spool.bytes_max {
        let detail = format!(
            "{free_text} free, less than the {needed} that waiting clicks may take (`spool.size_max`)"
        );
        Finding::new(CHECK, Verdict::Warning, detail)
    } else {
        Finding::new(CHECK, Verdict::Ok, format!("{free_text} free"))
    })
}

/// Looks at the GeoIP file.
pub(super) fn geoip(settings: &ServerSettings) -> Finding {
    const CHECK: &str = "GeoIP file";
    let configured: Option<PathBuf> = settings.worker.enrich.geoip_file.clone();
    let file = configured.unwrap_or_else(|| geoip::default_file(&settings.common.backend));
    match Status::of(file) {
        Status::Loaded { info, .. } => {
            Finding::new(CHECK, Verdict::Ok, format!("{} of {}", info.database_type, info.built_at))
        }
        Status::Missing { file } => {
            let detail = format!(
                "{} is not there, so countries and cities stay unknown; `vayro geoip set FILE` puts one there",
                file.display()
            );
            Finding::new(CHECK, Verdict::Warning, detail)
        }
        Status::Broken { file, error } => {
            Finding::new(CHECK, Verdict::Failed, format!("{} cannot be used: {error}", file.display()))
        }
    }
}
