//! Where an application comes from: a file of this machine, or an image of an OCI registry.

use crate::cli::Up;
use crate::images;
use crate::missing::NotThere;
use anyhow::{Result, bail};
use bobbin_manifest::App;
use clap::Args;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The application where nobody names one. What to do where there is none, whoever loads it says.
const MANIFEST: &str = "spin.toml";

/// What chooses an application, besides its file.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// The image of an OCI registry, whatever files there are
    #[arg(long, value_name = "IMAGE", conflicts_with = "file")]
    pub(crate) from_registry: Option<String>,
    /// Speak plain HTTP with the registry
    #[arg(short = 'k', long)]
    pub(crate) insecure: bool,
    /// Where images are kept [default: bobbin/images in the user's cache folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Bytes that images may take there: those that were used least recently, and that no running host uses, go first
    #[arg(long, value_name = "BYTES", default_value_t = 10 << 30)]
    pub(crate) cache_size: u64,
    /// Serve the triggers of this component alone; may be given several times
    #[arg(short = 'c', long, value_name = "ID")]
    pub(crate) component_id: Vec<String>,
}

/// Loads the application that a command line names.
pub(crate) fn load(args: &Up) -> Result<App> {
    let mut app = match image(args) {
        Some(image) => from_registry(args, image)?,
        None => from_file(args)?,
    };
    app.select(&args.source.component_id)?;
    Ok(app)
}

/// The image that is named; none where it is a file. What there is on this disk is a file, as in Spin.
fn image(args: &Up) -> Option<&str> {
    if let Some(image) = &args.source.from_registry {
        return Some(image);
    }
    let text = args.file.to_str().filter(|_| !args.file.exists())?;
    bobbin_images::is_probably_reference(text).then_some(text)
}

fn from_registry(args: &Up, image: &str) -> Result<App> {
    if let Some(profile) = &args.profile {
        bail!("an image has the profile that it was pushed with, and no {profile:?}; leave --profile out");
    }
    let cache = cache(args.source.cache_dir.as_deref());
    let locked = images::pull(image, args.source.insecure, &cache)?;
    images::prune(&cache, args.source.cache_size);
    // An image has no folder of its own: models and state are where the host was started.
    Ok(bobbin_manifest::load_locked(&locked, Some(Path::new(".")))?)
}

fn from_file(args: &Up) -> Result<App> {
    if !args.file.exists() && args.file != Path::new(MANIFEST) {
        return Err(NotThere::or(&args.file, "name the application with -f").into());
    }
    if let Some(profile) = &args.profile {
        return Ok(bobbin_manifest::load_profile(&args.file, profile)?);
    }
    let file = in_files(args.file.clone(), args.source.cache_dir.as_deref())?;
    if file == args.file {
        return Ok(bobbin_manifest::load(&file)?);
    }
    Ok(bobbin_manifest::load_locked(&file, Some(args.file.parent().unwrap_or(Path::new(""))))?)
}

/// The same locked application with all of its content in files, where some of it is in the application itself. Any
/// other file is returned as it is, whatever is wrong with it.
pub(crate) fn in_files(file: PathBuf, cache_dir: Option<&Path>) -> Result<PathBuf> {
    let text = fs::read(&file).unwrap_or_default();
    let needle = b"\"inline\"";
    if !text.windows(needle.len()).any(|window| window == needle) {
        return Ok(file);
    }
    Ok(bobbin_images::embedded(&text, &cache(cache_dir))?.map_or(file, images::serve))
}

/// The folder of images.
fn cache(given: Option<&Path>) -> PathBuf {
    let user = || user_cache().unwrap_or_else(|| PathBuf::from(".bobbin"));
    given.map_or_else(user, Path::to_owned).join("images")
}

/// What this user's hosts share; none for a user without a home.
pub(crate) fn user_cache() -> Option<PathBuf> {
    let user = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let user = user.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    user.filter(|path| path.is_absolute()).map(|user| user.join("bobbin"))
}
