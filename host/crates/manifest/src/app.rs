//! The checked application: what the host starts from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::access::Access;
use crate::component::Component;
use crate::config::BobbinConfig;
use crate::dependencies;
use crate::document::Document;
use crate::errors::{ManifestErrors, Problem, ProblemKind};
use crate::files;
use crate::names::{ComponentId, GraphName, TriggerId, VariableName};
use crate::place::Place;
use crate::releases::{DeclaredRelease, ReleaseDoc};
use crate::trigger::{self, OtherTrigger, Trigger, TriggerKind};
use crate::variables::Variable;

/// An application whose manifest is right and whose files are there.
#[derive(Debug, Clone)]
pub struct App {
    /// Its name.
    pub name: String,
    /// Its version; empty when the manifest has none.
    pub version: String,
    /// What it is, for people.
    pub description: String,
    /// Who made it.
    pub authors: Vec<String>,
    /// The Spin environments that its components must run in, as written.
    pub targets: Vec<toml::Value>,
    /// The manifest, as it was given.
    pub manifest: PathBuf,
    /// The manifest's folder, absolute: what relative paths are relative to.
    pub root: PathBuf,
    /// The triggers that Bobbin serves, in the order of the manifest.
    pub triggers: Vec<Trigger>,
    /// The triggers of other types.
    pub other_triggers: Vec<OtherTrigger>,
    /// `[application.trigger.<type>]` of every other type, as written.
    pub trigger_settings: BTreeMap<String, toml::Table>,
    /// The components, inline ones included.
    pub components: BTreeMap<ComponentId, Component>,
    /// `[variables]`.
    pub variables: BTreeMap<VariableName, Variable>,
    /// `[application.trigger.bobbin]`.
    pub bobbin: BobbinConfig,
    /// The components that [`App::select`] has left out.
    pub left_out: BTreeSet<ComponentId>,
    /// `[application.tool]`, which belongs to the tools.
    pub tool: BTreeMap<String, toml::Table>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<Problem>,
}

impl App {
    /// The component that a trigger runs; none for a fixed response.
    pub fn component_of(&self, trigger: &Trigger) -> Option<&Component> {
        self.components.get(trigger.component()?)
    }

    /// Whether some trigger answers requests: else there is nothing to listen for.
    pub fn answers_requests(&self) -> bool {
        self.triggers.iter().any(|trigger| trigger.route().is_some())
    }

    /// The releases of a trigger: one for every model that its component is granted, its own override where
    /// there is one, the application's otherwise. Each has its [`digest`](DeclaredRelease::digest).
    pub fn releases_of(&self, trigger: &Trigger) -> BTreeMap<GraphName, DeclaredRelease> {
        let own = self.bobbin.overrides.get(&trigger.id);
        let resolve = |model: &GraphName| {
            let release = own.and_then(|own| own.get(model)).or_else(|| self.bobbin.releases.get(model))?;
            Some((model.clone(), release.clone()))
        };
        let models = self.component_of(trigger).map(|component| component.ai_models.as_slice());
        models.unwrap_or_default().iter().filter_map(resolve).collect()
    }

    /// Who may ask a trigger, and how they are refused: by its own word where it has one, the application's otherwise.
    pub fn access_of(&self, trigger: &Trigger) -> Access {
        let own = self.bobbin.access_overrides.get(&trigger.id).copied().unwrap_or_default();
        own.over(self.bobbin.access)
    }

    /// Leaves the triggers of one type alone: a host that serves one serves nobody else's.
    pub fn keep(&mut self, kind: TriggerKind) {
        self.triggers.retain(|trigger| trigger.kind == kind);
        self.other_triggers.clear();
    }

    /// What the manifest rightly asks for and this version of Bobbin cannot do: trigger types that it does not
    /// serve, the Wagi executor, dependencies and middleware that are no local files. And what a host has to know
    /// and other hosts would not ask for: the server of every Redis trigger.
    ///
    /// # Errors
    /// When there is any such thing; a host that starts all the same would serve another application.
    pub fn check_supported(&self) -> Result<(), ManifestErrors> {
        let file: Arc<Path> = Arc::from(self.manifest.as_path());
        let mut problems: Vec<(Place, Problem)> = self.triggers.iter().flat_map(trigger::unsupported).collect();
        for other in &self.other_triggers {
            let what = format!("triggers of the type {:?} are not supported yet", other.kind);
            let help = "remove the trigger, or serve the component with [[trigger.http]]";
            problems.push((other.place, Problem::new(ProblemKind::Unsupported, what, help)));
        }
        for component in self.components.values() {
            for (name, dependency) in &component.dependencies {
                let owner = format!("the dependency {name:?} of component {:?}", component.id);
                problems.extend(dependencies::unsupported(dependency, &owner));
            }
        }
        ManifestErrors::unless_empty(
            problems.into_iter().map(|(place, problem)| problem.located(&file, Some(place))).collect(),
        )
    }

    /// A problem that shows at a place of this manifest, found after it was read: a release whose bundle is
    /// missing, a component that is none.
    pub fn problem_at(&self, place: Place, problem: Problem) -> ManifestErrors {
        ManifestErrors::one(problem.located(&Arc::from(self.manifest.as_path()), Some(place)))
    }

    /// As [`App::problem_at`], for any number of problems.
    ///
    /// # Errors
    /// When there are any.
    pub fn problems_at(&self, problems: Vec<(Place, Problem)>) -> Result<(), ManifestErrors> {
        ManifestErrors::unless_none(&self.manifest, problems)
    }

    /// Makes the application. Nothing is wrong in the document any more, so nothing is left out.
    pub(crate) fn assemble(document: Document, file: &Path, root: PathBuf, warnings: Vec<Problem>) -> Self {
        let application = document.application;
        let (config, redis) = (application.bobbin, application.redis);
        let access_overrides = config.overrides.iter().map(|(id, own)| (TriggerId::new(id.as_str()), own.access));
        let access_overrides = access_overrides.collect();
        let bobbin = BobbinConfig {
            repository: files::absolute(&root, config.repository()),
            limits: config.limits,
            reuse_instances: config.reuse_instances.into_iter().map(|id| id.value).collect(),
            plain_requests: config.plain_requests.into_iter().map(|id| id.value).collect(),
            access: config.access,
            releases: declared(config.releases),
            overrides: config
                .overrides
                .into_iter()
                .map(|(id, own)| (TriggerId::new(id), declared(own.releases)))
                .collect(),
            access_overrides,
            example: config.example,
        };
        Self {
            name: application.name,
            version: application.version,
            description: application.description,
            authors: application.authors,
            targets: application.targets,
            manifest: file.to_owned(),
            triggers: document.triggers.into_iter().filter_map(|trigger| trigger.checked(redis.as_ref())).collect(),
            other_triggers: document.others.into_iter().map(|(other, _)| other).collect(),
            trigger_settings: application.settings,
            components: document.components.into_iter().map(|(id, doc)| (id, doc.component)).collect(),
            variables: document.variables,
            left_out: BTreeSet::new(),
            bobbin,
            tool: application.tool,
            root,
            warnings,
        }
    }
}

fn declared(releases: BTreeMap<GraphName, ReleaseDoc>) -> BTreeMap<GraphName, DeclaredRelease> {
    releases.into_iter().filter_map(|(name, release)| Some((name, release.declared?))).collect()
}
