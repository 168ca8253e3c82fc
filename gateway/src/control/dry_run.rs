//! Everything the control plane would do with a configuration, done once and served to nobody: for `sluice check`.

use std::sync::Arc;
use std::sync::mpsc::channel;

use super::{Control, Event, Parts, Status, Tracker, directory, last_good, provider_names};
use crate::config::{Config, services_file};
use crate::live::{Generation, Live};
use crate::state::{Checks, Instances, Registry, Services, SystemClock};
use crate::telemetry::Telemetry;

/// Why nothing could be tried.
#[derive(Debug, thiserror::Error)]
pub enum DryRunError {
    /// The sandbox cannot be set up.
    #[error("cannot start the plugin engine: {0}")]
    Engine(#[from] sluice_wasm::EngineError),
    /// The operating system refused something.
    #[error("cannot try the configuration: {0}")]
    System(#[from] std::io::Error),
}

/// Compiles the plugins, tries every setting, and works out a generation from the catalogs that can be had without
/// asking anybody: the file provider's, and what other providers said last where a state directory keeps it.
///
/// # Errors
/// [`DryRunError`]; everything that is wrong with the configuration is in the status instead.
pub fn dry_run(config: &Arc<Config>) -> Result<(Status, Arc<Generation>), DryRunError> {
    // Nothing of a dry run may be left behind, and no access log opened.
    let mut quiet = Config::clone(config);
    quiet.state.directory = None;
    quiet.access_log = None;
    let quiet = Arc::new(quiet);
    let clock = Arc::new(SystemClock::default());
    let parts = Parts {
        live: Live::new(quiet.entrypoints.len()),
        engine: sluice_wasm::Engine::new(None)?,
        state: Arc::new(Registry::new(Arc::clone(&clock) as _)),
        instances: Arc::new(Instances::default()),
        services: Arc::new(Services::new(Arc::clone(&clock) as _)),
        // Nobody asks anything: the checks go nowhere.
        checks: Arc::new(Checks::new(clock).0),
        telemetry: Arc::new(Telemetry::new(&quiet, 1)?),
        tracker: Arc::new(Tracker::default()),
        config: quiet,
    };
    let (live, tracker) = (parts.live.clone(), Arc::clone(&parts.tracker));
    let (events, received) = channel();
    if let Some(directory) = &config.plugins.directory {
        directory::report_once(directory, &events);
    }
    let mut kept = config.state.directory.as_deref().map(last_good::peek).unwrap_or_default();
    for name in provider_names(config) {
        let file = config.providers.file.as_ref().filter(|_| name == super::file_provider::NAME);
        let catalog = match file {
            Some(file) => Arc::new(services_file::load(&file.path).unwrap_or_default().catalog),
            None => kept.remove(name).unwrap_or_default(),
        };
        // The receiver is right here.
        events.send(Event::Catalog { provider: name.into(), catalog }).ok();
    }
    Control::new(parts, &events)?.run_until_settled(&received);
    Ok((tracker.status(), live.load()))
}
