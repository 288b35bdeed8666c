//! Where a visitor is, from a MaxMind database that the operator supplies.
//!
//! No database is shipped: their licences ask for being kept current. Without one the places stay
//! unknown, and the status and the metrics say so.

mod database;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use serde::Serialize;

use database::Database;
pub use database::{GeoIpError, GeoIpInfo, GeoIpShape, Place};

/// How the GeoIP database is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum GeoIpStatus {
    /// None is configured; places stay unknown.
    Off,
    /// The file is not there yet; places stay unknown until it is.
    Missing {
        /// Where it is looked for.
        file: PathBuf,
    },
    /// In use.
    Loaded {
        /// The file.
        file: PathBuf,
        /// What it is.
        info: GeoIpInfo,
        /// Why a newer file of this name is not in use, if so.
        problem: Option<String>,
    },
}

/// What [`GeoIp::refresh`] did.
#[derive(Debug)]
pub enum Refresh {
    /// The file is the one in use, or still not there.
    Unchanged,
    /// A new file is in use now.
    Loaded(GeoIpInfo),
    /// The file went away; what was read from it stays in use.
    Gone,
    /// The new file cannot be used; the old one stays in use. Told once per file.
    Failed(GeoIpError),
}

/// A file's identity, cheap to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint {
    modified: Option<SystemTime>,
    len: u64,
}

impl Fingerprint {
    fn of(path: &Path) -> std::io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        Ok(Self { modified: metadata.modified().ok(), len: metadata.len() })
    }
}

/// What is known about the file, apart from the data in use.
#[derive(Debug, Default)]
struct Watched {
    /// The file as it was when last looked at; `None` if it was not there.
    seen: Option<Fingerprint>,
    problem: Option<String>,
}

/// The GeoIP database in use; replaced without a pause when its file changes.
pub struct GeoIp {
    file: Option<PathBuf>,
    places_max: usize,
    current: ArcSwapOption<Database>,
    watched: Mutex<Watched>,
}

impl GeoIp {
    /// Reads `file` into memory. Of the places in it at most `places_max` are kept decoded.
    ///
    /// A file that is not there is no error, as it may be fetched later.
    ///
    /// # Errors
    ///
    /// [`GeoIpError`] if there is a file that yields nothing: better no start than a country chart that
    /// stays empty for reasons nobody sees.
    pub fn open(file: Option<&Path>, places_max: usize) -> Result<Self, GeoIpError> {
        let geoip = Self {
            file: file.map(Path::to_owned),
            places_max,
            current: ArcSwapOption::empty(),
            watched: Mutex::default(),
        };
        match geoip.refresh() {
            Refresh::Failed(error) => Err(error),
            _ => Ok(geoip),
        }
    }

    /// Reads a file without using it, to tell whether it could be used.
    pub fn inspect(file: &Path) -> Result<GeoIpInfo, GeoIpError> {
        Ok(Database::read(file, 1)?.info().clone())
    }

    /// Returns where `ip` is; `None` if that is unknown. `ip` is canonical.
    pub fn find(&self, ip: IpAddr) -> Option<Arc<Place>> {
        self.current.load().as_ref()?.find(ip)
    }

    /// Tells how the database is doing.
    pub fn status(&self) -> GeoIpStatus {
        match (&self.file, self.current.load().as_ref()) {
            (None, _) => GeoIpStatus::Off,
            (Some(file), None) => GeoIpStatus::Missing { file: file.clone() },
            (Some(file), Some(database)) => GeoIpStatus::Loaded {
                file: file.clone(),
                info: database.info().clone(),
                problem: self.watched.lock().problem.clone(),
            },
        }
    }

    /// Looks at the file and takes it into use if it is another one than last time. Blocks while reading.
    pub fn refresh(&self) -> Refresh {
        let Some(file) = &self.file else { return Refresh::Unchanged };
        let mut watched = self.watched.lock();
        let Ok(before) = Fingerprint::of(file) else {
            return match watched.seen.take() {
                Some(_) => {
                    watched.problem = Some("the file is gone".to_owned());
                    Refresh::Gone
                }
                None => Refresh::Unchanged,
            };
        };
        if watched.seen == Some(before) {
            return Refresh::Unchanged;
        }
        let read = Database::read(file, self.places_max);
        // A file that changed while it was read is still being written; it is looked at again next time.
        if Fingerprint::of(file).ok() != Some(before) {
            return Refresh::Unchanged;
        }
        watched.seen = Some(before);
        match read {
            Ok(database) => {
                let info = database.info().clone();
                self.current.store(Some(Arc::new(database)));
                watched.problem = None;
                Refresh::Loaded(info)
            }
            Err(error) => {
                watched.problem = Some(error.to_string());
                Refresh::Failed(error)
            }
        }
    }
}
