//! What the triggers run: one unit for each component that a trigger names, and one more for each trigger that puts
//! middleware before a component that others run, too.

use crate::compose;
use crate::mounts::{self, Mount};
use bobbin_manifest::{App, ComponentId, ManifestErrors, Trigger, TriggerId};
use std::collections::BTreeMap;
use std::path::Path;

/// A component, ready to be compiled.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Its id, which no other unit has: the component's, or one made of the component's and the trigger's.
    pub id: String,
    /// The component whose grants it has.
    pub component: ComponentId,
    /// The triggers that run it.
    pub triggers: Vec<TriggerId>,
    /// The component, whole: with its dependencies, behind its middleware.
    pub bytes: Vec<u8>,
    /// What its guests may read.
    pub mounts: Vec<Mount>,
}

/// Makes every unit of an application. What may be read is copied into the state folder, which no other host may use.
/// Blocking.
///
/// # Errors
/// What is wrong, at the manifest's line.
pub fn load(app: &App, state: &Path) -> Result<Vec<Unit>, ManifestErrors> {
    let mut composed: BTreeMap<ComponentId, Vec<u8>> = BTreeMap::new();
    let mut units: BTreeMap<String, Unit> = BTreeMap::new();
    for trigger in &app.triggers {
        let Some(component) = app.component_of(trigger) else { continue };
        let id = unit_id(app, trigger, &component.id);
        if let Some(unit) = units.get_mut(&id) {
            unit.triggers.push(trigger.id.clone());
            continue;
        }
        let bytes = match composed.get(&component.id) {
            Some(bytes) => bytes.clone(),
            None => compose::with_dependencies(app, component)?,
        };
        composed.entry(component.id.clone()).or_insert_with(|| bytes.clone());
        let bytes = compose::behind_middleware(app, trigger, &bytes)?;
        let triggers = vec![trigger.id.clone()];
        units.insert(id.clone(), Unit { id, component: component.id.clone(), triggers, bytes, mounts: Vec::new() });
    }
    let mounts = mounts::copy_files(app, composed.keys().filter_map(|id| app.components.get(id)), state)?;
    let mut units: Vec<Unit> = units.into_values().collect();
    for unit in &mut units {
        unit.mounts = mounts.get(unit.component.as_str()).cloned().unwrap_or_default();
    }
    Ok(units)
}

/// As Spin names them: where several triggers run a component, one with middleware runs it under a name of its own.
fn unit_id(app: &App, trigger: &Trigger, component: &ComponentId) -> String {
    let shared = app.triggers.iter().filter(|other| other.component() == Some(component)).count() > 1;
    match trigger.middleware.is_empty() || !shared {
        true => component.to_string(),
        false => format!("{component}-for-{}", trigger.id),
    }
}
