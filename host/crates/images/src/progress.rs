//! What whoever waits for an image is told.

/// Follows one pull. Calls come from several downloads at once.
pub trait Progress: Send + Sync {
    /// So many blobs of so many bytes together are to be fetched; none where all are here already.
    fn begin(&self, blobs: usize, bytes: u64);
    /// More bytes have come, or lay here from an earlier try.
    fn more(&self, bytes: u64);
    /// So many of the bytes that had come are of no use, and come again.
    fn again(&self, bytes: u64);
    /// One blob is whole: its digest and its bytes.
    fn whole(&self, digest: &str, bytes: u64);
}
