//! One blob, from the registry into the store.

use crate::digest::Digest;
use crate::errors::PullError;
use crate::image::Blob;
use crate::partial::Partial;
use crate::progress::Progress;
use crate::registry::{Registry, RegistryError};
use crate::store::Store;
use futures::StreamExt as _;
use oci_client::errors::DigestError;
use std::error::Error;
use std::time::Duration;

/// How often a registry is asked that has sent less than `WORTHWHILE` since.
const TRIES: u32 = 5;
/// So many bytes are worth another try, whatever ended the last one.
const WORTHWHILE: u64 = 1 << 20;
/// Before the second try; each pause is twice the one before.
const PAUSE: Duration = Duration::from_millis(200);

/// How one request ended.
enum End {
    /// The answer was read to its end.
    Clean,
    /// The connection broke.
    Broken(RegistryError),
    /// Whoever reads along has found that the answer is not what it should be.
    Wrong,
}

/// Fetches a blob, and goes on where an earlier try ended. It is in the store, whole and verified, when this returns.
pub(crate) async fn fetch(
    registry: &Registry,
    store: &Store,
    blob: &Blob,
    progress: &dyn Progress,
) -> Result<(), PullError> {
    let opened = tokio::task::spawn_blocking({
        let (store, digest) = (store.clone(), blob.digest.clone());
        move || Partial::open(&store, &digest)
    });
    let Some(mut partial) = opened.await.map_err(PullError::Interrupted)?? else {
        progress.more(blob.size);
        progress.whole(&blob.digest.to_string(), blob.size);
        return Ok(());
    };
    progress.more(partial.length());
    // What an earlier try left may be wrong without this registry having lied.
    let mut is_inherited = partial.length() > 0;
    let (mut tries, mut counted) = (0, partial.length());
    loop {
        let end =
            if partial.length() < blob.size { read(registry, blob, &mut partial, progress).await? } else { End::Clean };
        if partial.length() == blob.size && partial.digest() == blob.digest && !matches!(end, End::Wrong) {
            partial.commit(store)?;
            progress.whole(&blob.digest.to_string(), blob.size);
            return Ok(());
        }
        if partial.length() >= blob.size || matches!(end, End::Wrong) {
            let found = partial.digest();
            if !std::mem::take(&mut is_inherited) {
                let too_much = partial.length() > blob.size;
                partial.discard();
                return Err(wrong(registry, blob, found, too_much).into());
            }
            progress.again(partial.length());
            partial.restart()?;
            (tries, counted) = (0, 0);
            continue;
        }
        if partial.length().abs_diff(counted) >= WORTHWHILE {
            (tries, counted) = (0, partial.length());
        }
        tries += 1;
        if tries >= TRIES {
            return Err(cut_short(registry, blob, partial.length(), end).into());
        }
        tokio::time::sleep(PAUSE * 2_u32.pow(tries - 1)).await;
    }
}

/// One request, and what it brings.
async fn read(
    registry: &Registry,
    blob: &Blob,
    partial: &mut Partial,
    progress: &dyn Progress,
) -> Result<End, PullError> {
    let mut content = match registry.blob(blob, partial.length()).await {
        Ok(content) => content,
        // What is here already is more than the registry has.
        Err(RegistryError::Status { status: 416, .. }) => {
            progress.again(partial.length());
            partial.restart()?;
            registry.blob(blob, 0).await?
        }
        Err(error) if error.may_pass() => return Ok(End::Broken(error)),
        Err(error) => return Err(error.into()),
    };
    if content.is_whole && partial.length() > 0 {
        progress.again(partial.length());
        partial.restart()?;
    }
    while let Some(piece) = content.stream.next().await {
        match piece {
            Ok(piece) => {
                // Nothing else runs in this process while an image is fetched: writing may block.
                partial.append(&piece)?;
                progress.more(piece.len() as u64);
                if partial.length() > blob.size {
                    return Ok(End::Wrong);
                }
            }
            Err(error) if error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<DigestError>) => {
                // A blob that is too short has another digest, too; it is asked for again.
                return Ok(if partial.length() < blob.size { End::Clean } else { End::Wrong });
            }
            Err(error) => {
                let source = error.to_string().into();
                return Ok(End::Broken(RegistryError::Other { registry: registry.name(), source }));
            }
        }
    }
    Ok(End::Clean)
}

fn wrong(registry: &Registry, blob: &Blob, found: Digest, too_much: bool) -> RegistryError {
    let (registry, wanted) = (registry.name(), blob.digest.clone());
    if too_much {
        return RegistryError::TooMuch { registry, what: wanted.to_string(), bytes: blob.size };
    }
    RegistryError::Lies { registry, wanted, found }
}

fn cut_short(registry: &Registry, blob: &Blob, come: u64, end: End) -> RegistryError {
    let source = match end {
        End::Broken(error) => Some(Box::new(error)),
        End::Clean | End::Wrong => None,
    };
    RegistryError::CutShort { registry: registry.name(), digest: blob.digest.clone(), come, bytes: blob.size, source }
}
