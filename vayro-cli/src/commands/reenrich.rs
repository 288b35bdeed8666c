//! `vayro reenrich`.

use std::net::IpAddr;
use std::path::Path;

use clap::Args;
use vayro_backends::Roles;
use vayro_core::amendment::{AmendmentKind, Changes, PlaceChange, StoredClick};
use vayro_worker::enrich::{GeoIp, GeoIpInfo, GeoIpStatus};

use super::amend::{self, AmendArgs, Knowledge, Tally};
use super::geoip;
use crate::context::Context;
use crate::error::CommandError;
use crate::server::config::{checked, connect};
use crate::server::settings::ServerSettings;
use crate::ui::Ui;

/// Apply the present GeoIP database to stored clicks
///
/// The database is the worker's, see `vayro geoip status`. Country, region and city are found anew by the
/// stored addresses, which are truncated, so within one network of addresses they may be less precise than
/// at first. Clicks without an address stay as they are.
///
/// Charts follow day by day. Needs the database of clicks, not the API, and may run beside a running system.
/// After an interruption the same command goes on where it ended.
#[derive(Debug, Args)]
pub struct ReenrichArgs {
    #[command(flatten)]
    args: AmendArgs,
}

struct Places {
    geoip: GeoIp,
    info: GeoIpInfo,
}

impl Places {
    fn open(file: &Path, places_max: usize) -> Result<Self, CommandError> {
        let geoip = GeoIp::open(Some(file), places_max).map_err(|error| {
            CommandError::failed(format!("`{}` cannot be used", file.display())).caused_by(error)
        })?;
        match geoip.status() {
            GeoIpStatus::Loaded { info, .. } => Ok(Self { geoip, info }),
            GeoIpStatus::Off | GeoIpStatus::Missing { .. } => {
                Err(CommandError::failed(format!("there is no GeoIP database at `{}`", file.display()))
                    .hint("get one, such as GeoLite2-City.mmdb, and run `vayro geoip set`"))
            }
        }
    }

    fn change(&self, click: &StoredClick, ip: IpAddr) -> Option<PlaceChange> {
        let place = self.geoip.find(ip).unwrap_or_default();
        // A database of countries alone does not take the city of a click that stays in its country.
        let keeps_city = !self.info.has_cities && *place.country_code == *click.country_code;
        let (region, city) =
            if keeps_city { (&*click.region, &*click.city) } else { (&*place.region, &*place.city) };
        let is_changed =
            *place.country_code != *click.country_code || *region != *click.region || *city != *click.city;
        is_changed.then(|| PlaceChange {
            id: click.id,
            country_code: place.country_code.to_string(),
            region: region.to_owned(),
            city: city.to_owned(),
        })
    }
}

impl Knowledge for Places {
    const KIND: AmendmentKind = AmendmentKind::Reenrich;

    fn basis(&self) -> String {
        format!("{} of {}, {} bytes", self.info.database_type, self.info.built_at, self.info.bytes)
    }

    fn judge(&self, clicks: &[StoredClick], tally: &mut Tally) -> Changes {
        let mut changes = Vec::new();
        for click in clicks {
            let Ok(ip) = click.ip_address.parse::<IpAddr>() else {
                tally.unknown += 1;
                continue;
            };
            if let Some(change) = self.change(click, ip) {
                let is_moved = change.country_code != click.country_code;
                let kind = if is_moved { "other_countries" } else { "other_cities" };
                *tally.kinds.entry(kind).or_default() += 1;
                changes.push(change);
            }
        }
        Changes::Places(changes)
    }
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: &ReenrichArgs) -> Result<(), CommandError> {
    let settings = checked(&args.args.config.layers(context, &[])?, ServerSettings::read)?;
    let file = geoip::file_of(&settings);
    let places = Places::open(&file, settings.worker.enrich.places_max)?;
    let backends = connect(&settings.common.backend, Roles::TOOLS).await?;
    let done = amend::run(ui, context, &args.args, &backends, &places).await;
    backends.close().await;
    done
}
