//! Bundles on disk: what verifies, what is refused and why, and what the blob store keeps.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests state what they expect by failing; clippy exempts only their #[test] functions"
)]

mod support;

use bobbin_bundle::{
    BlobStore, Bundle, BundleError, Digest, Pace, Progress, Repository, Role, VerifyError, WeightsSummary,
    verify_in_place,
};
use semver::Version;
use std::ops::ControlFlow;
use std::os::unix::fs::{PermissionsExt, symlink};
use support::bundle::{TEMPLATE, TestBundle, WEIGHTS, entry};
use support::gguf::{Gguf, Value, tensor, text};

#[test]
fn a_whole_bundle_verifies() {
    let bundle = TestBundle::new();
    let verified = bundle.verify().unwrap();
    assert_eq!(verified.id(), "tiny@1.0.0");
    assert_eq!(std::fs::read(verified.weights()).unwrap(), bundle.read(WEIGHTS));
    assert_eq!(verified.file(Role::Weights), Some(verified.weights()));
    assert_eq!(verified.file(Role::Licence), None);
    assert_eq!(verified.template(), Some("{{ messages[0].content }}"));
    assert_eq!(verified.model().unwrap().vocabulary, 9);
    assert_eq!(verified.digest(), bundle.open().unwrap().digest());
}

#[test]
fn without_a_template_file_the_weights_own_is_used() {
    let weights = Gguf::llama().with("tokenizer.chat_template", text("{{ own }}")).build();
    let bundle = TestBundle::with_weights("generate", &weights);
    bundle.edit_manifest("[prompt]\ntemplate = \"chat.jinja\"\n", "");
    assert_eq!(bundle.verify().unwrap().template(), Some("{{ own }}"));
}

#[test]
fn the_digest_is_the_one_that_the_specification_spells_out() {
    let bundle = TestBundle::new();
    let mut list = String::from("bobbin-bundle-format-1\n");
    for path in ["bundle.toml", TEMPLATE, WEIGHTS] {
        let bytes = bundle.read(path);
        list.push_str(&format!("{} {} {path}\n", Digest::of(&bytes).hex(), bytes.len()));
    }
    assert_eq!(bundle.open().unwrap().digest(), Digest::of(list.as_bytes()));
}

#[test]
fn the_shell_lines_of_the_specification_give_the_same_digest() {
    let text = include_str!("../../../../docs/bundle-format.md");
    let script = text.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let bundle = TestBundle::new();
    bundle.write(".hidden", b"not counted");
    bundle.write("notes/read me.txt", b"a file in a folder, with a space");
    let other = entry("notes/read me.txt", "other", b"a file in a folder, with a space");
    bundle.edit_manifest("[limits]", &format!("{other}[limits]"));
    let output = std::process::Command::new("sh").args(["-c", script]).current_dir(bundle.folder()).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.trim(), bundle.open().unwrap().digest().to_string(), "{script}");
    bundle.verify().unwrap();
}

#[test]
fn a_flipped_bit_is_found() {
    let bundle = TestBundle::new();
    let mut bytes = bundle.read(WEIGHTS);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bundle.write(WEIGHTS, &bytes);
    let error = bundle.verify().unwrap_err();
    assert!(matches!(&error, VerifyError::Digest { path, .. } if path == WEIGHTS), "{error}");
    assert_eq!(bundle.blobs(), Vec::<String>::new(), "no half blob is left");
}

#[test]
fn a_flipped_bit_is_found_even_where_the_right_blob_is_kept() {
    let bundle = TestBundle::new();
    bundle.verify().unwrap();
    let mut bytes = bundle.read(WEIGHTS);
    bytes[100] ^= 1;
    bundle.write(WEIGHTS, &bytes);
    assert!(matches!(bundle.verify().unwrap_err(), VerifyError::Digest { .. }));
}

#[test]
fn a_wrong_size_is_found_before_anything_is_read() {
    for change in [-1_i64, 1] {
        let bundle = TestBundle::new();
        let mut bytes = bundle.read(WEIGHTS);
        bytes.resize((bytes.len() as i64 + change) as usize, 0);
        bundle.write(WEIGHTS, &bytes);
        let error = bundle.verify().unwrap_err();
        assert!(matches!(error, VerifyError::Size { .. }), "{error}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let bundle = TestBundle::new();
    std::fs::remove_file(bundle.folder().join(TEMPLATE)).unwrap();
    let error = bundle.verify().unwrap_err();
    assert!(matches!(&error, VerifyError::Missing { path, .. } if path == TEMPLATE), "{error}");
}

#[test]
fn an_unlisted_file_is_refused_and_a_hidden_one_ignored() {
    let bundle = TestBundle::new();
    bundle.write(".being-written", b"x");
    bundle.verify().unwrap();
    bundle.write("extra/stray.txt", b"x");
    let error = bundle.verify().unwrap_err();
    assert!(matches!(&error, VerifyError::Unlisted { path, .. } if path == "extra/stray.txt"), "{error}");
}

#[test]
fn symbolic_links_are_refused_wherever_they_are() {
    let bundle = TestBundle::new();
    let outside = bundle.state().with_extension("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::rename(bundle.folder().join(WEIGHTS), outside.join(WEIGHTS)).unwrap();
    symlink(outside.join(WEIGHTS), bundle.folder().join(WEIGHTS)).unwrap();
    let error = bundle.verify().unwrap_err();
    assert!(matches!(&error, VerifyError::NotAFile { found, .. } if found.contains("symbolic link")), "{error}");

    std::fs::remove_file(bundle.folder().join(WEIGHTS)).unwrap();
    symlink(&outside, bundle.folder().join("inner")).unwrap();
    bundle.edit_manifest("path = \"tiny.gguf\"", "path = \"inner/tiny.gguf\"");
    let error = bundle.verify().unwrap_err();
    assert!(matches!(&error, VerifyError::NotAFile { found, .. } if found.contains("symbolic link")), "{error}");
}

#[test]
fn a_named_pipe_does_not_make_verification_wait() {
    let bundle = TestBundle::new();
    std::fs::remove_file(bundle.folder().join(TEMPLATE)).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        bundle.folder().join(TEMPLATE),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let error = bundle.verify().unwrap_err();
    assert!(matches!(&error, VerifyError::NotAFile { found: "a named pipe", .. }), "{error}");
}

#[test]
fn a_folder_must_be_called_as_the_manifest_says() {
    let bundle = TestBundle::new();
    bundle.edit_manifest("version = \"1.0.0\"", "version = \"1.0.1\"");
    let error = bundle.open().unwrap_err();
    assert!(matches!(error, BundleError::Folder { key: "version", .. }), "{error}");
    bundle.edit_manifest("version = \"1.0.1\"", "version = \"1.0.0\"");
    bundle.edit_manifest("name = \"tiny\"", "name = \"huge\"");
    let error = bundle.open().unwrap_err();
    assert!(matches!(error, BundleError::Folder { key: "name", .. }), "{error}");
}

#[test]
fn a_manifest_that_changes_between_reading_and_verifying_is_refused() {
    let bundle = TestBundle::new();
    let opened = bundle.open().unwrap();
    bundle.edit_manifest("parallel = 4", "parallel = 8");
    assert!(matches!(opened.verify(&bundle.store()).unwrap_err(), VerifyError::Changed { .. }));
}

#[test]
fn a_write_into_the_operators_file_does_not_reach_the_blob() {
    let bundle = TestBundle::new();
    let verified = bundle.verify().unwrap();
    let before = std::fs::read(verified.weights()).unwrap();
    std::fs::write(bundle.folder().join(WEIGHTS), b"overwritten in place").unwrap();
    assert_eq!(std::fs::read(verified.weights()).unwrap(), before);
}

#[test]
fn blobs_are_read_only_and_named_by_their_digest() {
    let bundle = TestBundle::new();
    let verified = bundle.verify().unwrap();
    let name = verified.weights().file_name().unwrap().to_str().unwrap();
    assert_eq!(name, Digest::of(&bundle.read(WEIGHTS)).hex());
    let mode = std::fs::metadata(verified.weights()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o444);
    assert_eq!(bundle.blobs().len(), 2);
}

#[test]
fn a_damaged_blob_is_replaced() {
    for damage in [b"too short".to_vec(), vec![0; TestBundle::new().read(WEIGHTS).len()]] {
        let bundle = TestBundle::new();
        let blob = bundle.verify().unwrap().weights().to_owned();
        std::fs::remove_file(&blob).unwrap();
        std::fs::write(&blob, damage).unwrap();
        let verified = bundle.verify().unwrap();
        assert_eq!(std::fs::read(verified.weights()).unwrap(), bundle.read(WEIGHTS));
    }
}

#[test]
fn a_whole_blob_is_kept_so_that_a_live_worker_and_a_new_one_share_it() {
    use std::os::unix::fs::MetadataExt;
    let bundle = TestBundle::new();
    let inode = |path: &std::path::Path| std::fs::metadata(path).unwrap().ino();
    let first = inode(bundle.verify().unwrap().weights());
    assert_eq!(inode(bundle.verify().unwrap().weights()), first);
}

#[test]
fn what_an_interrupted_verification_left_is_removed() {
    let bundle = TestBundle::new();
    bundle.store();
    let left = bundle.state().join("blobs/sha256/.tmp-1-0-0");
    std::fs::write(&left, b"half").unwrap();
    bundle.store();
    assert!(!left.exists());
}

#[test]
fn a_state_folder_that_cannot_be_made_is_named() {
    let bundle = TestBundle::new();
    std::fs::write(bundle.state(), b"a file where the folder should be").unwrap();
    let error = BlobStore::open(&bundle.state()).unwrap_err();
    assert!(matches!(error, VerifyError::Blob { .. }), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn weights_that_do_not_pass_the_preflight_are_refused() {
    let hostile = Gguf::llama().with("llama.block_count", Value::U32(100_000)).build();
    let error = TestBundle::with_weights("generate", &hostile).verify().unwrap_err();
    assert!(matches!(error, VerifyError::Gguf { .. }), "{error}");
}

#[test]
fn a_context_longer_than_the_weights_have_is_refused() {
    let bundle = TestBundle::new();
    bundle.edit_manifest("context = 64", "context = 65");
    let error = bundle.verify().unwrap_err();
    assert!(matches!(error, VerifyError::Mismatch { key: "limits.context", .. }), "{error}");
}

#[test]
fn an_embedding_model_cannot_generate() {
    let weights = Gguf::bert().build();
    let bundle = TestBundle::with_weights("generate", &weights);
    bundle.edit_manifest("context = 64", "context = 16");
    let error = bundle.verify().unwrap_err();
    assert!(matches!(error, VerifyError::Mismatch { key: "kind", .. }), "{error}");
    bundle.edit_manifest("kind = \"generate\"", "kind = \"embed\"");
    assert!(bundle.verify().unwrap().model().unwrap().encoder_only);
}

#[test]
fn a_fingerprint_outside_the_vocabulary_is_refused() {
    let bundle = TestBundle::new();
    let fingerprint = "[fingerprint]\ntolerance = 0.1\n[[fingerprint.sequences]]\ntokens = [1, 9]\nlogprobs = [-1.0]\n";
    bundle.edit_manifest("[card]", &format!("{fingerprint}[card]"));
    let error = bundle.verify().unwrap_err();
    assert!(matches!(error, VerifyError::Mismatch { key: "fingerprint.sequences", .. }), "{error}");
}

#[test]
fn a_template_that_is_no_text_is_refused() {
    let bundle = TestBundle::new();
    let old = entry(TEMPLATE, "template", &bundle.read(TEMPLATE));
    bundle.write(TEMPLATE, &[0xff, 0xfe]);
    bundle.edit_manifest(&old, &entry(TEMPLATE, "template", &[0xff, 0xfe]));
    assert!(matches!(bundle.verify().unwrap_err(), VerifyError::Template { .. }));
}

#[test]
fn an_adapter_is_checked_as_one() {
    let adapter = Gguf::adapter();
    let verified = TestBundle::with_weights("adapter", &adapter.build()).verify().unwrap();
    let WeightsSummary::Adapter(summary) = verified.summary() else { panic!("{verified:?}") };
    assert_eq!((summary.pairs, summary.alpha), (1, 16.0));

    let unpaired = adapter.clone().without_tensor("blk.0.attn_q.weight.lora_b");
    let unfitting =
        adapter.clone().replace("blk.0.attn_q.weight.lora_b", tensor("blk.0.attn_q.weight.lora_b", &[8, 32]));
    let nameless = adapter.replace("blk.0.attn_q.weight.lora_b", tensor("blk.0.attn_q.weight", &[4, 32]));
    for broken in [unpaired, unfitting, nameless, Gguf::llama()] {
        let error = TestBundle::with_weights("adapter", &broken.build()).verify().unwrap_err();
        assert!(matches!(error, VerifyError::Gguf { .. }), "{error}");
    }
}

#[test]
fn progress_ends_at_the_size_of_each_file() {
    let bundle = TestBundle::new();
    let mut last = std::collections::BTreeMap::new();
    let mut tell = |progress: Progress<'_>| {
        last.insert(progress.path.to_owned(), (progress.done, progress.total));
        ControlFlow::Continue(())
    };
    let mut pace = Pace::full().with_progress(&mut tell);
    bundle.open().unwrap().verify_at(&bundle.store(), &mut pace).unwrap();
    assert_eq!(last.len(), 2);
    assert!(last.values().all(|(done, total)| done == total));
}

#[test]
fn a_verification_that_is_broken_off_ends_at_once_and_leaves_nothing() {
    let bundle = TestBundle::new();
    let mut told = 0;
    let mut tell = |_: Progress<'_>| {
        told += 1;
        ControlFlow::Break(())
    };
    let result = bundle.open().unwrap().verify_at(&bundle.store(), &mut Pace::full().with_progress(&mut tell));
    assert!(matches!(result, Err(VerifyError::GivenUp { .. })), "{result:?}");
    assert_eq!(told, 1);
    let left: Vec<_> = std::fs::read_dir(bundle.state().join("blobs/sha256")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn verifying_in_place_stores_nothing_and_reports_every_file() {
    let bundle = TestBundle::new();
    let report = verify_in_place(&bundle.folder(), &mut Pace::full()).unwrap();
    assert!(report.is_ok());
    assert_eq!(report.files.len(), 2);
    assert!(matches!(report.weights, Some(Ok(WeightsSummary::Model(_)))));
    assert!(!bundle.state().exists());

    bundle.write(TEMPLATE, b"{{ other }} of another size");
    bundle.write("stray", b"x");
    let report = verify_in_place(&bundle.folder(), &mut Pace::full()).unwrap();
    let errors: Vec<_> = report.errors().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(report.files[0].result.is_ok() && report.files[1].result.is_err());
}

#[test]
fn a_repository_lists_the_good_and_the_bad_and_leaves_out_what_is_no_bundle() {
    let bundle = TestBundle::new();
    let repository = bundle.repository();
    for folder in ["recipes/tiny", "tiny/.2.0.0.partial", "tiny/2.0.0", "other/not-a-version", "tiny/10.0.0"] {
        std::fs::create_dir_all(repository.join(folder)).unwrap();
    }
    std::fs::write(repository.join("other/not-a-version/bundle.toml"), "format = 1\n").unwrap();
    std::fs::write(repository.join("README.md"), "not a folder").unwrap();
    let listed = Repository::open(&repository).unwrap().list().unwrap();
    let names: Vec<_> =
        listed.iter().map(|one| (one.name.as_str(), one.version.as_str(), one.bundle.is_ok())).collect();
    assert_eq!(
        names,
        [
            ("other", "not-a-version", false),
            ("tiny", "1.0.0", true),
            ("tiny", "2.0.0", false),
            ("tiny", "10.0.0", false)
        ]
    );
}

#[test]
fn a_bundle_is_found_by_name_and_version() {
    let bundle = TestBundle::new();
    let repository = Repository::open(&bundle.repository()).unwrap();
    assert_eq!(repository.find("tiny", &Version::new(1, 0, 0)).unwrap().id(), "tiny@1.0.0");
    for (name, version) in [("tiny", Version::new(9, 0, 0)), ("../models/tiny", Version::new(1, 0, 0))] {
        assert!(matches!(repository.find(name, &version).unwrap_err(), BundleError::NotFound { .. }));
    }
}

#[test]
fn a_bundle_can_be_opened_from_within_its_own_folder() {
    let bundle = TestBundle::new();
    assert_eq!(Bundle::open(&bundle.folder().join("../1.0.0")).unwrap().id(), "tiny@1.0.0");
}

#[test]
fn a_repository_that_is_not_there_is_named() {
    let error = Repository::open(std::path::Path::new("no/such/models")).unwrap_err();
    assert!(error.to_string().contains("no/such/models"), "{error}");
}
