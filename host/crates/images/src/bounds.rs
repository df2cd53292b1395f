//! What is accepted of an image. A registry decides none of these numbers.

/// Bytes of an image's manifest.
pub(crate) const MANIFEST_BYTES: u64 = 4 << 20;
/// Bytes of the locked application in it, content in it included.
pub(crate) const APPLICATION_BYTES: u64 = 16 << 20;
/// Layers of an image. `spin registry push` makes archives of what would be more than 500.
pub(crate) const LAYERS: usize = 1_000;
/// Bytes of all blobs of an image together.
pub(crate) const IMAGE_BYTES: u64 = 4 << 30;
/// Bytes of all archive layers together, unpacked.
pub(crate) const UNPACKED_BYTES: u64 = 4 << 30;
/// Entries of an archive layer.
pub(crate) const ARCHIVE_ENTRIES: u64 = 1_000_000;
/// Bytes of an error's text that is repeated.
pub(crate) const ERROR_TEXT: usize = 300;
