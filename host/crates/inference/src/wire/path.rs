//! Paths on the wire, as their bytes: a folder of this system may be called something that is no text.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_os_str().as_bytes().serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    Vec::<u8>::deserialize(deserializer).map(of_bytes)
}

fn of_bytes(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

/// A path that may not be there.
pub(super) mod optional {
    use super::of_bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::os::unix::ffi::OsStrExt;
    use std::path::PathBuf;

    pub(in super::super) fn serialize<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        path.as_ref().map(|path| path.as_os_str().as_bytes()).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<Vec<u8>>::deserialize(deserializer)?.map(of_bytes))
    }
}

#[cfg(test)]
mod tests {
    use crate::GraphKind;
    use crate::wire::{LoadSpec, ToWorker, decode, encode};
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::PathBuf;

    fn load(weights: &[u8], tokenizer: Option<&[u8]>) -> ToWorker {
        let path = |bytes| PathBuf::from(OsStr::from_bytes(bytes));
        ToWorker::Load(LoadSpec {
            bundle: "story@1.0.0".into(),
            kind: GraphKind::Generate,
            weights: path(weights),
            tokenizer: tokenizer.map(path),
            context: 256,
            parallel: 8,
            threads: 0,
            gpu: None,
            chat_template: None,
            prefix: None,
            warm_up: Vec::new(),
            fingerprint: Vec::new(),
            tolerance: 0.0,
            record: Vec::new(),
        })
    }

    #[test]
    fn a_path_that_is_no_text_arrives_as_it_is() {
        for (weights, tokenizer) in [
            (&b"/np\xff/blobs/weights"[..], Some(&b"/np\xff/\xfe"[..])),
            ("/m\u{e4}rchen/blobs/weights".as_bytes(), None),
            (b"", Some(b"")),
        ] {
            let message = load(weights, tokenizer);
            assert_eq!(decode::<ToWorker>(&encode(&message).unwrap()).unwrap(), message);
        }
    }
}
