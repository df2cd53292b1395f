//! Why an image does not become an application.

use crate::archive::ArchiveError;
use crate::image::ImageError;
use crate::locked::LockedError;
use crate::plan::PlanError;
use crate::reference::ReferenceError;
use crate::registry::RegistryError;
use crate::store::StoreError;

/// An image that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The reference is none.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The image is no application.
    #[error("the image {image} cannot be served")]
    Image {
        /// The image.
        image: String,
        /// Why not.
        source: ImageError,
    },
    /// The application in it refers to what there is not.
    #[error("the application in the image {image} cannot be served")]
    Application {
        /// The image.
        image: String,
        /// Why not.
        source: LockedError,
    },
    /// The image lacks content.
    #[error("the image {image} is not complete")]
    Incomplete {
        /// The image.
        image: String,
        /// What it lacks.
        source: PlanError,
    },
    /// An archive in it.
    #[error("the files of the image {image} cannot be unpacked")]
    Archive {
        /// The image.
        image: String,
        /// Why not.
        source: ArchiveError,
    },
    /// Content of a locked application that lies in a file.
    #[error("the content in a locked application cannot be used")]
    Embedded(#[from] LockedError),
    /// This disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process is about to end.
    #[error("the image was not fetched, because the process is about to end")]
    Interrupted(#[source] tokio::task::JoinError),
}
