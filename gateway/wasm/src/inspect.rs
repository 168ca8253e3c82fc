//! Which world a component is for, and whether everything it needs exists. Decided from its type, before it runs.

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::error::LoadError;
use crate::wasi;

/// The contract's package, and the version of it this gateway speaks. A test compares it with `wit/`.
const PACKAGE: &str = "sluice:gateway/";
pub(crate) const VERSION: &str = "0.1.0";

/// What a plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum World {
    /// Control plane: turns services into routes.
    Router,
    /// Data plane: decides about exchanges.
    Policy,
}

impl World {
    /// As the contract names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Policy => "policy",
        }
    }

    /// The interfaces of this gateway a component of that world may import.
    fn offers(self) -> &'static [&'static str] {
        match self {
            Self::Router => &["catalog", "log", "routing"],
            Self::Policy => {
                &["clock", "exchange", "hook", "log", "outbound", "policy-types", "random", "state", "system"]
            }
        }
    }

    fn of_export(interface: &str) -> Option<Self> {
        match interface {
            "router-plugin" => Some(Self::Router),
            "policy-plugin" => Some(Self::Policy),
            _ => None,
        }
    }
}

/// The world of a component, if it can be run here.
pub(crate) fn world(name: &str, component: &Component) -> Result<World, LoadError> {
    let world = exported_world(name, component)?;
    check_imports(name, component, world)?;
    Ok(world)
}

/// Whether a component has the hooks that copy nothing.
pub(crate) fn is_lean(component: &Component) -> bool {
    let ty = component.component_type();
    ty.exports(component.engine())
        .any(|(export, _)| ours(export).is_some_and(|(interface, _)| interface == "lean-hooks"))
}

/// What a component imports, by name, in its own order.
pub(crate) fn imports(component: &Component) -> Vec<String> {
    let ty = component.component_type();
    ty.imports(component.engine()).map(|(import, _)| import.to_owned()).collect()
}

/// What of this gateway's a component can call, as `interface/function`.
pub(crate) fn functions(component: &Component) -> Vec<String> {
    let ty = component.component_type();
    let mut functions = Vec::new();
    for (import, item) in ty.imports(component.engine()) {
        let (Some((interface, _)), ComponentItem::ComponentInstance(instance)) = (ours(import), item.ty) else {
            continue;
        };
        let called = instance.exports(component.engine());
        let called = called.filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)));
        functions.extend(called.map(|(function, _)| format!("{interface}/{function}")));
    }
    functions
}

fn exported_world(name: &str, component: &Component) -> Result<World, LoadError> {
    let ty = component.component_type();
    let exports: Vec<&str> = ty.exports(component.engine()).map(|(export, _)| export).collect();
    let mut found = None;
    for export in &exports {
        let Some((interface, version)) = ours(export) else { continue };
        let Some(world) = World::of_export(interface) else { continue };
        check_version(name, export, version)?;
        if found.replace(world).is_some_and(|other| other != world) {
            return Err(LoadError::TwoWorlds { name: name.to_owned() });
        }
    }
    found.ok_or_else(|| LoadError::UnknownWorld { name: name.to_owned(), exports: list(&exports) })
}

fn check_imports(name: &str, component: &Component, world: World) -> Result<(), LoadError> {
    let ty = component.component_type();
    let mut unknown = Vec::new();
    for (import, item) in ty.imports(component.engine()) {
        match ours(import) {
            Some((interface, version)) if world.offers().contains(&interface) => check_version(name, import, version)?,
            None if wasi::is_known(import) && matches!(item.ty, ComponentItem::ComponentInstance(_)) => {}
            _ => unknown.push(import.to_owned()),
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    Err(LoadError::UnknownImports { name: name.to_owned(), imports: unknown })
}

/// Interface and version, where the name is of this gateway's package.
fn ours(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix(PACKAGE)?;
    Some(rest.split_once('@').unwrap_or((rest, "")))
}

fn check_version(name: &str, interface: &str, version: &str) -> Result<(), LoadError> {
    if track(version) == track(VERSION) {
        return Ok(());
    }
    let (name, theirs, ours) = (name.to_owned(), interface.to_owned(), VERSION.to_owned());
    Err(LoadError::Version { name, theirs, ours })
}

/// The part of a version that has to be equal: `0.1` of `0.1.3`, `1` of `1.2.3`.
fn track(version: &str) -> (&str, &str) {
    let mut parts = version.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if major == "0" { (major, minor) } else { (major, "") }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
