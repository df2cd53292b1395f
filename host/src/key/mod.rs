//! `bobbin key ..`: makes, lists and revokes API keys, in the file of a host or through its admin API.
//!
//! The file needs no host that runs, and one that runs looks at it whenever it is asked; so both ways are the same to it.

mod args;
mod view;

pub(crate) use args::KeyArgs;

use crate::admin::{Admin, AdminError, Connection};
use crate::failure::Failure;
use crate::release::Exit;
use crate::terminal::print;
use args::{KeyCommand, Place};
use bobbin_keys::{ChangeError, FILE_NAME, FileError, KeyId, Keys, Known, Timestamp, View, Wanted};
use bobbin_manifest::{App, Route};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs one command.
///
/// # Errors
/// Why it did nothing.
pub(crate) fn run(args: &KeyArgs) -> Result<ExitCode, Failure> {
    let done = Store::of(&args.place).and_then(|store| execute(args, &store));
    done.map(|()| Exit::Done.into()).map_err(|error| match &error {
        KeyError::Admin(cause) => Failure::of_admin(cause, by_options(error.to_string())),
        _ => Failure::new(Exit::from(&error), by_options(error.to_string())),
    })
}

/// The lists of a key, called as the options that fill them.
fn by_options(text: String) -> String {
    let option = |list: &str, option: &str| Some(format!("{option} is {}", text.strip_prefix(list)?));
    option("routes has ", "--route").or_else(|| option("models has ", "--model")).unwrap_or(text)
}

fn execute(args: &KeyArgs, store: &Store) -> Result<(), KeyError> {
    let now = Timestamp::now();
    match &args.command {
        KeyCommand::Create(create) => {
            let Created { key, token, warning } = store.create(create.wanted(now).map_err(ChangeError::from)?)?;
            warn(warning.as_deref());
            if args.json {
                print(&format!("{:#}\n", json!({ "key": key, "token": token })));
                return Ok(());
            }
            // Alone on standard output, so that a script has it without looking for it.
            print(&format!("{token}\n"));
            eprint!("\n{}\n", view::key(&key));
            eprintln!("this is the one time that the key is shown: only a hash of it is kept");
        }
        KeyCommand::List => {
            let keys = store.list()?;
            if args.json {
                print(&format!("{:#}\n", json!({ "keys": keys })));
            } else if keys.is_empty() {
                eprintln!("there are no keys{}; `bobbin key create <who holds it>` makes one", store.place());
            } else {
                print(&view::list(&keys));
            }
        }
        KeyCommand::Revoke(revoke) => {
            let before = store.list()?.into_iter().find(|key| key.id == revoke.id);
            let Revoked { key, warning } = store.revoke(&revoke.id)?;
            if let Some(since) = before.and_then(|key| key.revoked) {
                eprintln!("note: the key was revoked already, at {since}; it stays so");
            }
            warn(warning.as_deref());
            print(&if args.json { format!("{:#}\n", json!(key)) } else { view::key(&key) });
        }
    }
    Ok(())
}

/// Why a command did nothing.
#[derive(Debug, thiserror::Error)]
enum KeyError {
    /// Through the admin API.
    #[error("{}", admin(.0))]
    Admin(#[source] Box<AdminError>),
    /// In the file.
    #[error("{0}")]
    Change(#[from] ChangeError),
    #[error("{0}")]
    File(#[from] FileError),
    /// It is not even known whose keys are meant.
    #[error("{0}")]
    Place(String),
}

impl From<AdminError> for KeyError {
    fn from(error: AdminError) -> Self {
        Self::Admin(Box::new(error))
    }
}

/// The admin API's errors know of releases; one of them says how to look what became of a change.
fn admin(error: &AdminError) -> String {
    match error {
        AdminError::Lost { url, cause, .. } => format!(
            "the host at {url} went away before it had answered: {cause}; when it is back, `bobbin key list` says what \
             became of it"
        ),
        // Here the address is told by the option alone.
        other => other.to_string().replace(" (BOBBIN_ADMIN)", ""),
    }
}

impl From<&KeyError> for Exit {
    fn from(error: &KeyError) -> Self {
        match error {
            KeyError::Admin(error) => Self::from(&**error),
            KeyError::Change(ChangeError::Unknown { .. }) => Self::Unknown,
            KeyError::Change(ChangeError::Wanted(_) | ChangeError::Full(_)) => Self::Refused,
            KeyError::Change(ChangeError::Unreadable(_) | ChangeError::NotPersisted(_) | ChangeError::Random(_))
            | KeyError::File(_) => Self::Failed,
            KeyError::Place(_) => Self::Usage,
        }
    }
}

/// A key that was made, from wherever.
#[derive(Deserialize)]
struct Created {
    key: View,
    token: String,
    /// What may become of it.
    warning: Option<String>,
}

/// A key that was revoked, from wherever.
#[derive(Deserialize)]
struct Revoked {
    #[serde(flatten)]
    key: View,
    warning: Option<String>,
}

/// Says what may become of a change that was made.
fn warn(warning: Option<&str>) {
    if let Some(warning) = warning {
        eprintln!("warning: {warning}");
    }
}

#[derive(Serialize, Deserialize)]
struct Listed {
    keys: Vec<View>,
}

/// Where the keys are.
enum Store {
    Host(Admin, tokio::runtime::Runtime),
    File(Box<Keys>, Option<Known>),
}

impl Store {
    fn of(place: &Place) -> Result<Self, KeyError> {
        if let Some(admin) = &place.admin {
            let connection = Connection { admin: admin.clone(), admin_token: place.admin_token.clone() };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| KeyError::Place(format!("no runtime can be made: {error}")))?;
            return Ok(Self::Host(Admin::new(&connection)?, runtime));
        }
        let manifest = manifest(&place.file);
        let file = match (&place.keys_file, &place.state_dir) {
            (Some(file), _) => file.clone(),
            (None, Some(folder)) => folder.join(FILE_NAME),
            (None, None) if manifest.exists() => {
                let folder = manifest.parent().unwrap_or(Path::new(""));
                folder.join(".bobbin").join(FILE_NAME)
            }
            (None, None) => {
                let shown = manifest.display();
                let why = format!(
                    "{shown} is not there, so it is not known whose keys are meant; name the application with -f, the \
                     state folder with --state-dir, or a host that runs with --admin"
                );
                return Err(KeyError::Place(why));
            }
        };
        Ok(Self::File(Box::new(Keys::open(file)?), known(&manifest)))
    }

    fn create(&self, wanted: Wanted) -> Result<Created, KeyError> {
        match self {
            Self::Host(admin, runtime) => Ok(runtime.block_on(admin.create_key::<Created>(&wanted))?.value),
            Self::File(keys, known) => {
                let scoped = wanted.routes.is_some() || wanted.models.is_some();
                if known.is_none() && scoped {
                    eprintln!(
                        "note: without the application it is not checked whether there are such routes and models"
                    );
                }
                let created = keys.create(wanted, known.as_ref())?;
                let warning = created.unsynced.as_ref().map(ToString::to_string);
                Ok(Created { key: created.key, token: created.token.reveal().to_owned(), warning })
            }
        }
    }

    fn list(&self) -> Result<Vec<View>, KeyError> {
        match self {
            Self::Host(admin, runtime) => Ok(runtime.block_on(admin.keys::<Listed>())?.value.keys),
            Self::File(keys, _) => Ok(keys.views()?),
        }
    }

    fn revoke(&self, id: &KeyId) -> Result<Revoked, KeyError> {
        match self {
            Self::Host(admin, runtime) => Ok(runtime.block_on(admin.revoke_key::<Revoked>(id.as_str()))?.value),
            Self::File(keys, _) => {
                let bobbin_keys::Revoked { key, unsynced } = keys.revoke(id)?;
                Ok(Revoked { key, warning: unsynced.as_ref().map(ToString::to_string) })
            }
        }
    }

    /// Where it was looked for keys, in an error's words.
    fn place(&self) -> String {
        match self {
            Self::Host(..) => String::new(),
            Self::File(keys, _) => format!(" in {}", keys.file().path().display()),
        }
    }
}

/// The file that `-f` means.
fn manifest(from: &Path) -> PathBuf {
    if from.is_dir() { from.join("spin.toml") } else { from.to_owned() }
}

/// The routes and models of the application, where it can be read here; what is wrong with it, `bobbin up` says.
fn known(manifest: &Path) -> Option<Known> {
    let app = bobbin_manifest::load(manifest).ok()?;
    Some(Known { routes: routes(&app), models: models(&app) })
}

fn routes(app: &App) -> Vec<String> {
    let names = app.triggers.iter().filter_map(|trigger| match trigger.route()? {
        Route::Path(path) => Some([path.clone(), trigger.id.to_string()]),
        Route::Private => None,
    });
    names.flatten().collect()
}

fn models(app: &App) -> Vec<String> {
    let all = app.triggers.iter().flat_map(|trigger| app.releases_of(trigger).into_keys());
    let mut names: Vec<String> = all.map(|graph| graph.to_string()).collect();
    names.sort();
    names.dedup();
    names
}
