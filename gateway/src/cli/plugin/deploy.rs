//! Putting a component where a gateway takes it from, and hearing what that gateway makes of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use super::{PluginError, at, plugin_name};
use crate::cli::admin_client;

/// For a gateway to see, compile and try a version.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);

/// Where a component goes.
#[derive(Debug, Args)]
pub(in crate::cli) struct Destination {
    /// Copy the component here: the plugin directory of a running gateway takes it at once
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// Say what the gateway with this admin API makes of it
    #[arg(long, value_name = "URL", requires = "into")]
    admin: Option<String>,
    /// The file with the token of the admin API
    #[arg(long, value_name = "FILE", requires = "admin")]
    token_file: Option<PathBuf>,
}

impl Destination {
    /// Puts a component in place, if it has one; answers what there is to say.
    pub(super) fn take(&self, component: &Path) -> Result<String, PluginError> {
        let Some(directory) = &self.into else { return Ok(component.display().to_string()) };
        let name = component.file_stem().map(|stem| plugin_name(&stem.to_string_lossy())).unwrap_or_default();
        let before = self.ask(&name)?;
        let begun = Instant::now();
        let target = put(component, directory, &name)?;
        let Some(before) = before else { return Ok(target.display().to_string()) };
        let digest = sluice_wasm::digest(&std::fs::read(&target).map_err(at(&target))?);
        while begun.elapsed() < PATIENCE {
            let now = self.ask(&name)?.unwrap_or_default();
            let text = |key: &str| now.get(key).and_then(Value::as_str);
            if text("digest") == Some(digest.as_str()) && text("state") == Some("active") {
                let version = text("version").map(|version| format!(" {version}")).unwrap_or_default();
                return Ok(format!("{name}{version} is in force after {:.1} s", begun.elapsed().as_secs_f64()));
            }
            // An error that was there before may be of the version before.
            let is_news = now.get("lastError") != before.get("lastError");
            if let Some(reason) = text("lastError").filter(|_| is_news || begun.elapsed() > PATIENCE / 4) {
                return Err(PluginError::Refused(format!("the gateway refuses {name}: {reason}")));
            }
            std::thread::sleep(LOOK);
        }
        let directory = directory.display();
        Err(PluginError::Refused(format!("the gateway did not take {name}; is {directory} its plugin directory?")))
    }

    /// What the gateway says of the plugin, where one is to be asked; null where it does not know it.
    fn ask(&self, name: &str) -> Result<Option<Value>, PluginError> {
        let Some(admin) = &self.admin else { return Ok(None) };
        let token =
            self.token_file.as_deref().map(|file| std::fs::read_to_string(file).map_err(at(file))).transpose()?;
        let token = token.as_deref().map(str::trim);
        let answer = admin_client::get(admin, token, &format!("/api/plugins/{name}"))
            .map_err(|error| PluginError::Refused(error.to_string()))?;
        Ok(Some(serde_json::from_str(&answer.body).ok().filter(|_| answer.is_ok()).unwrap_or_default()))
    }
}

/// A gateway never sees half of it: it is renamed once it is whole.
fn put(component: &Path, directory: &Path, name: &str) -> Result<PathBuf, PluginError> {
    let target = directory.join(format!("{name}.wasm"));
    let hidden = directory.join(format!(".{name}.wasm.new"));
    std::fs::create_dir_all(directory).map_err(at(directory))?;
    std::fs::copy(component, &hidden).map_err(at(&hidden))?;
    std::fs::rename(&hidden, &target).map_err(at(&target))?;
    Ok(target)
}
