//! The settings of a process that plays every role.

use vayro_api::{ApiSettings, VisitSettings};
use vayro_backends::config::{ConfigErrors, InstanceSettings, Layers};
use vayro_edge::EdgeSettings;
use vayro_worker::WorkerSettings;

use super::config::CommonSettings;

/// Settings of every role.
#[derive(Debug)]
pub struct ServerSettings {
    /// What every role needs.
    pub common: CommonSettings,
    /// The edge's.
    pub edge: EdgeSettings,
    /// The API's.
    pub api: ApiSettings,
    /// What explanations of visits go by.
    pub visits: VisitSettings,
    /// The worker's.
    pub worker: WorkerSettings,
}

impl ServerSettings {
    /// Reads every section; mistakes go to `errors`, and then the result is `None`.
    pub fn read(layers: &Layers, errors: &mut ConfigErrors) -> Option<Self> {
        let instance = InstanceSettings::read(layers, errors);
        // The API cannot be read without the addresses of the instance.
        let api = instance.as_ref().and_then(|instance| ApiSettings::read(instance, layers, errors));
        let common = CommonSettings::with_instance(instance, layers, errors);
        let edge = EdgeSettings::read(layers, errors);
        let visits = VisitSettings::read(layers, errors);
        let worker = WorkerSettings::read(layers, errors);
        Some(Self { common: common?, edge: edge?, api: api?, visits: visits?, worker: worker? })
    }
}
