//! How releases begin: from what the state folder remembers, and from what the manifest declares.

use crate::command::Action;
use crate::live::Workshop;
use crate::record::{Record, Stored};
use crate::releases::{Book, Declared, Releases, Writer};
use crate::spec::Spec;
use crate::store::{Store, StoreError};
use bobbin_inference::Recorder;
use std::sync::Arc;
use std::time::SystemTime;

/// Who declares, in the history.
const MANIFEST: &str = "spin.toml";

/// Releases that were opened, and what people should hear of how.
pub struct Opened {
    /// The releases; their versions are not loaded yet.
    pub releases: Arc<Releases>,
    /// Where state and manifest disagree, and which of them was followed.
    pub notices: Vec<String>,
}

impl Releases {
    /// Opens the releases that a manifest declares. One that the state folder knows under the same declaration goes
    /// on as it was; any other begins a new generation from its declaration. Must be called within a runtime.
    ///
    /// # Errors
    /// When the state cannot be read or written.
    pub fn open(
        store: Store,
        workshop: Arc<dyn Workshop>,
        recorder: Arc<dyn Recorder>,
        declared: Vec<Declared>,
    ) -> Result<Opened, StoreError> {
        let releases = Self::empty(store, workshop, recorder);
        let mut notices = Vec::new();
        let mut table = crate::table::Table::default();
        for Declared { id, digest, spec } in declared {
            let stored = releases.store.last(&id)?;
            let record = match stored {
                Some(Stored { declaration, record }) if declaration == digest => {
                    notices.extend(overruled(&id.to_string(), &record, &spec));
                    record
                }
                stored => {
                    let before = stored.map(|stored| stored.record);
                    notices.extend(before.as_ref().map(|before| followed(&id.to_string(), before, &spec)));
                    let record = first(before, spec);
                    releases.store.commit(&id, &digest, &record)?;
                    record
                }
            };
            let record = Arc::new(record);
            let release = releases.assemble(&id, Arc::clone(&record), releases.roles(&record.spec), None);
            table = table.with(release);
            releases.books.lock().insert(id, Book { declaration: digest, ..Book::default() });
        }
        releases.swap(&Writer, Arc::new(table));
        Ok(Opened { releases: Arc::new(releases), notices })
    }
}

/// The generation in which a release follows its declaration.
fn first(before: Option<Record>, spec: Spec) -> Record {
    let generation = before.as_ref().map_or(1, |before| before.generation + 1);
    let why = before.as_ref().map_or("its first declaration", |_| "its declaration changed");
    // Where a rollback leads stays known even where stable stays what it is.
    let previous = before.and_then(|before| match before.spec.stable == spec.stable {
        true => before.spec.previous,
        false => Some(before.spec.stable),
    });
    Record {
        generation,
        at: SystemTime::now(),
        who: MANIFEST.to_owned(),
        why: Some(why.to_owned()),
        action: Action::Declared,
        spec: Spec { previous, ..spec },
    }
}

/// What was set at run time wins over a declaration that has not changed.
fn overruled(id: &str, record: &Record, declared: &Spec) -> Option<String> {
    (record.spec.stable != declared.stable).then(|| {
        format!(
            "release {id} serves {} (generation {}, by {}); {MANIFEST} declares {}, which counts again when the \
             declaration changes",
            record.spec.stable, record.generation, record.who, declared.stable
        )
    })
}

fn followed(id: &str, before: &Record, declared: &Spec) -> String {
    format!(
        "the declaration of release {id} changed: generation {} follows it and serves {} (before: {}, by {})",
        before.generation + 1,
        declared.stable,
        before.spec.stable,
        before.who
    )
}
