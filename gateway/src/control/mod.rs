//! The control plane: one thread that turns what providers and the plugin directory say into generations.
//!
//! Takes [`Event`]s; gives published generations through `live` and a [`Status`] for the admin API. A change is worked
//! out completely before it is published; whatever fails on the way leaves the generation in force as it is and says
//! why in the status. Nothing on the request path waits for this thread.

mod compile;
mod configured;
mod consul_provider;
mod contribute;
mod directory;
mod dry_run;
mod file_provider;
mod last_good;
mod native;
mod plugins;
mod policies;
mod services;
mod settings_files;
mod status;
mod tables;
mod tcp;
mod tls_hosts;
mod wake;
mod watch_files;

pub use consul_provider::{Members, watch as watch_consul};
pub use contribute::provider_names;
pub use directory::{PluginFile, watch as watch_plugins};
pub use dry_run::{DryRunError, dry_run};
pub use file_provider::watch as watch_file;
pub use plugins::{BUILT_IN, Signed, Source};
pub use status::{PluginState, PluginStatus, ProviderStatus, Refusal, Status, Tracker};
pub use watch_files::watch as watch_files;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use sluice_model::link::{Linker, Touched};
use sluice_model::{Action, Catalog};
use sluice_wasm::{Artifact, Engine};

use crate::config::Config;
use crate::live::Live;
use crate::state::{Checks, Instances, Registry, Services};
use crate::telemetry::Telemetry;
use compile::Compiler;
use contribute::Providers;
use last_good::Store;
use plugins::Plugins;
use policies::Policies;
use status::Place;

/// When nothing has happened for that long, nobody minds what is compiled for the case that it is used.
const QUIET: Duration = Duration::from_secs(15);
/// How often it is looked at how plugins do.
const WATCH: Duration = Duration::from_secs(1);

/// Something that may change the generation.
pub enum Event {
    /// A provider's whole catalog.
    Catalog {
        /// Its name.
        provider: Arc<str>,
        /// Unchanged services are shared with the one before.
        catalog: Arc<Catalog>,
    },
    /// A file in the plugin directory, complete and new or changed; or one that cannot be used.
    PluginFound {
        /// The file's stem.
        name: String,
        /// What was read, or why it could not be.
        file: Result<PluginFile, String>,
        /// Where it lies.
        path: std::path::PathBuf,
    },
    /// A file is gone from the plugin directory.
    PluginGone {
        /// The file's stem.
        name: String,
    },
    /// A plugin has been compiled, or not.
    Compiled(Box<Compiled>),
    /// The configuration has been read again.
    Reload(Arc<Config>),
    /// Nothing more will come.
    Stop,
}

/// What became of a plugin's bytes.
pub struct Compiled {
    /// The plugin's name.
    pub name: Arc<str>,
    /// Where it came from.
    pub source: Source,
    /// Who signed it, where that was asked for.
    pub signed: Option<Signed>,
    /// Ready to instantiate, or why not.
    pub artifact: Result<Artifact, String>,
    /// How long that took.
    pub took: Duration,
}

/// What the control plane works with. All of it is shared with the rest of the process.
pub struct Parts {
    /// The validated configuration.
    pub config: Arc<Config>,
    /// Where generations are published.
    pub live: Live,
    /// The sandbox.
    pub engine: Engine,
    /// State that outlives generations.
    pub state: Arc<Registry>,
    /// Instances and their load.
    pub instances: Arc<Instances>,
    /// Services: turns, and who is out.
    pub services: Arc<Services>,
    /// What health checks have found out.
    pub checks: Arc<Checks>,
    /// Metric handles.
    pub telemetry: Arc<Telemetry>,
    /// For the admin API.
    pub tracker: Arc<Tracker>,
}

/// The control plane, owned by its thread.
pub struct Control {
    parts: Parts,
    providers: Providers,
    plugins: Plugins,
    policies: Policies,
    compiler: Compiler,
    linker: Linker,
    /// What the next generation differs in, as far as names are concerned.
    touched: Touched,
    /// It may differ in anything.
    anew: bool,
    /// When what nobody uses was last forgotten.
    swept: Instant,
    sweeps: bool,
    last_good: Option<Store>,
    /// What is to be built waits for a plugin.
    postponed: bool,
}

impl Control {
    /// Prepares the control plane and starts compiling the built-in plugins. `events` is where compiled plugins and
    /// everything else arrive.
    ///
    /// # Errors
    /// A thread cannot be started, or the state directory cannot be used.
    pub fn new(parts: Parts, events: &Sender<Event>) -> std::io::Result<Self> {
        let plugins = Plugins::start(&parts, events.clone())?;
        let mut providers = Providers::new(&parts.config);
        let directory = parts.config.state.directory.clone();
        if let Some(directory) = &directory {
            providers.restore(last_good::load(directory));
        }
        let last_good = directory.map(Store::start).transpose()?;
        let policies = Policies::new(Arc::clone(&parts.state));
        let compiler = Compiler::new(&parts);
        let mut linker = Linker::default();
        linker.declare(configured::declared(&parts.config));
        Ok(Self {
            parts,
            providers,
            plugins,
            policies,
            compiler,
            linker,
            touched: Touched::default(),
            anew: true,
            swept: Instant::now(),
            sweeps: false,
            last_good,
            postponed: false,
        })
    }

    /// Handles events until there are no more.
    pub fn run(mut self, events: &Receiver<Event>) {
        while let Some(first) = self.wait(events) {
            let mut causes = self.plugins.watch(Instant::now());
            self.anew |= !causes.is_empty();
            // Everything that has piled up goes into one generation.
            for event in std::iter::once(first).chain(events.try_iter()) {
                if matches!(event, Event::Stop) {
                    return;
                }
                causes.extend(self.take(event));
            }
            if !causes.is_empty() && self.plugins.settled() && self.providers.any_catalog() {
                self.build(&causes.join(", "));
            }
            self.report();
        }
    }

    /// The next event. Meanwhile it is looked at how plugins do and at files that settings name, and what may be of use
    /// later is compiled.
    fn wait(&mut self, events: &Receiver<Event>) -> Option<Event> {
        let mut quiet = Duration::ZERO;
        loop {
            let files = self.policies.have_files();
            let rest = self.plugins.has_rest() && !self.compiler.is_fresh();
            let time = if files { settings_files::PERIOD.min(WATCH) } else { WATCH };
            match events.recv_timeout(time) {
                Ok(event) => return Some(event),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => quiet += time,
            }
            self.sweep();
            let failing = self.plugins.watch(Instant::now());
            if !failing.is_empty() {
                self.anew = true;
                if self.plugins.settled() && self.providers.any_catalog() {
                    self.build(&failing.join(", "));
                }
                self.report();
            }
            if files && self.policies.files_have_changed() {
                self.anew = true;
                self.build("a file of a policy's settings");
                self.report();
            }
            if rest && quiet >= QUIET {
                self.plugins.compile_the_rest();
            }
        }
    }

    /// Handles what there is until every plugin has been compiled, and works out one generation.
    fn run_until_settled(mut self, events: &Receiver<Event>) {
        while !self.plugins.idle() || self.compiler.is_fresh() {
            let Ok(first) = events.recv() else { return };
            for event in std::iter::once(first).chain(events.try_iter()) {
                self.take(event);
            }
            if self.plugins.idle() {
                self.build("dry run");
            }
        }
        self.report();
    }

    /// Takes an event in; answers what changed, if that calls for a new generation.
    fn take(&mut self, event: Event) -> Option<String> {
        // Where it is not the catalog that changed, a generation may differ from the last one in anything.
        self.anew |= !matches!(event, Event::Catalog { .. } | Event::Stop);
        match event {
            Event::Catalog { provider, catalog } => {
                let changed = self.providers.update(&provider, catalog);
                if let Some(store) = self.last_good.as_ref().filter(|_| changed > 0) {
                    store.save(self.providers.catalogs());
                }
                (changed > 0).then(|| format!("{changed} services of {provider}"))
            }
            Event::PluginFound { name, file, path } => {
                self.plugins.found(&name, file, path);
                None
            }
            Event::PluginGone { name } => self.plugins.gone(&name).then(|| format!("plugin {name} removed")),
            Event::Compiled(compiled) => self.compiled(*compiled),
            Event::Reload(config) => Some(self.reload(config)),
            Event::Stop => None,
        }
    }

    fn compiled(&mut self, compiled: Compiled) -> Option<String> {
        let unused = compiled.source == Source::BuiltIn && !self.policies.use_plugin(&compiled.name);
        let cause = self.plugins.compiled(compiled);
        if unused && !self.postponed && !self.compiler.is_fresh() {
            // It is there when somebody wants it, and changes nothing for those who do not.
            self.plugins.adopt_policies(&mut self.policies);
            return None;
        }
        cause
    }

    /// Puts a configuration read again into force, as far as that goes without a restart.
    fn reload(&mut self, config: Arc<Config>) -> String {
        let before = std::mem::replace(&mut self.parts.config, Arc::clone(&config));
        for section in config.needs_restart(&before) {
            tracing::warn!(section, "changes of this section take effect after a restart");
        }
        self.linker.declare(configured::declared(&config));
        self.compiler.reconfigure(Arc::clone(&config));
        self.plugins.reconfigure(Arc::clone(&config));
        self.providers.reconfigure(&config);
        "configuration read again".to_owned()
    }

    /// Works out a generation and publishes it. Versions of plugins that fail on the way are refused first, so that
    /// what is published works.
    fn build(&mut self, cause: &str) {
        self.plugins.adopt_routers(&mut self.providers);
        self.plugins.adopt_policies(&mut self.policies);
        self.providers.contribute(&mut self.plugins, &mut self.linker);
        self.touched.add(self.linker.link());
        if self.anew {
            self.touched.add(self.linker.everything());
        }
        let linked = self.linker.linked();
        let touched = self.touched.steps.iter().filter_map(|name| linked.steps.get(name));
        let used = touched.filter_map(|step| match &step.spec.action {
            Action::Policy { plugin, .. } => Some(plugin.as_str()),
            _ => None,
        });
        self.postponed = self.plugins.await_built_in(used);
        if self.postponed {
            // What is in force stays until it is compiled.
            return;
        }
        let touched = std::mem::take(&mut self.touched);
        self.anew = false;
        self.policies.prepare(linked, &touched.steps, &mut self.plugins);
        let (generation, problems) = self.compiler.compile(linked, &touched, &self.policies, cause);
        self.policies.commit(&self.parts.config);
        self.parts.tracker.policy_errors(self.policies.errors());
        tracing::info!(
            generation = generation.id,
            cause,
            routes = generation.routes.len(),
            services = generation.services.len(),
            "published"
        );
        let of_names = touched.problems.into_iter().map(|subject| {
            let found = linked.problems.get(&subject).cloned().unwrap_or_default();
            (Place::Linked(subject), found)
        });
        self.parts.tracker.found(of_names.chain(problems));
        self.parts.live.publish(generation);
        self.sweeps = true;
        self.sweep();
    }

    /// Forgets what nobody uses. Whoever changes something many times a second waits for that once.
    fn sweep(&mut self) {
        if !self.sweeps || self.swept.elapsed() < WATCH {
            return;
        }
        self.parts.state.sweep();
        self.parts.instances.sweep();
        self.parts.services.sweep();
        self.parts.checks.sweep();
        self.sweeps = false;
        self.swept = Instant::now();
    }

    fn report(&mut self) {
        self.parts.tracker.plugins(self.plugins.statuses());
        self.parts.tracker.router_errors(self.providers.errors());
        self.parts.tracker.ready(self.plugins.settled() && self.providers.all_catalogs() && !self.compiler.is_fresh());
    }
}
