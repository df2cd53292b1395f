//! `bobbin bundle import ..`: bundles that were made elsewhere.

use super::{stories, tree};
use anyhow::{Context, ensure};
use bobbin_tests::{Ran, Result, TestApp, ran};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

/// A folder that bundles come to, and one that they come from.
struct Stage {
    app: TestApp,
    home: tempfile::TempDir,
}

impl Stage {
    fn new() -> Result<Self> {
        Ok(Self { app: stories()?, home: tempfile::tempdir()? })
    }

    fn bundle(&self) -> PathBuf {
        self.app.bundle("storyteller", "1.1.0")
    }

    fn import(&self, source: &Path, more: &[&str]) -> Result<Ran> {
        ran(self.home.path(), &[&["bundle", "import", source.to_str().context("a path")?], more].concat())
    }

    /// What lies in the repository.
    fn there(&self) -> Result<Vec<PathBuf>> {
        Ok(tree(&self.home.path().join("models"))?.into_keys().collect())
    }

    /// An archive that `fill` fills, compressed where its name says so.
    fn packed(
        &self,
        name: &str,
        fill: impl FnOnce(&mut Builder<Box<dyn std::io::Write>>) -> Result,
    ) -> Result<PathBuf> {
        let path = self.app.path().join(name);
        let file = File::create(&path)?;
        let write: Box<dyn std::io::Write> = match name.ends_with("gz") {
            true => Box::new(GzEncoder::new(file, Compression::fast())),
            false => Box::new(file),
        };
        let mut builder = Builder::new(write);
        builder.follow_symlinks(false);
        fill(&mut builder)?;
        builder.into_inner()?;
        Ok(path)
    }

    fn refuses(&self, source: &Path, code: i32, says: &str) -> Result {
        let refused = self.import(source, &[])?;
        ensure!(refused.code == code && refused.out.is_empty(), "{says}: {refused:?}");
        ensure!(refused.err.contains(says), "{says} is not in: {refused:?}");
        ensure!(self.there()?.is_empty(), "{says}: {:?} was left behind", self.there()?);
        Ok(())
    }
}

fn add(builder: &mut Builder<Box<dyn std::io::Write>>, name: &str, bytes: &[u8]) -> Result {
    let mut header = Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    // Written by hand: a builder refuses names that lead elsewhere.
    let field = header.as_old_mut().name.get_mut(..name.len()).context("a short name")?;
    field.copy_from_slice(name.as_bytes());
    header.set_cksum();
    Ok(builder.append(&header, bytes)?)
}

#[test]
fn a_folder_and_its_archives_come_in_with_the_digest_that_they_had() -> Result {
    let stage = Stage::new()?;
    let digest = ran(stage.app.path(), &["bundle", "show", "storyteller@1.1.0", "--json"])?.json()?["digest"].clone();
    let sources = [
        stage.bundle(),
        stage.packed("plain.tar", |tar| Ok(tar.append_dir_all(".", stage.bundle())?))?,
        stage.packed("deep.tar.gz", |tar| Ok(tar.append_dir_all("models/story/1.1.0", stage.bundle())?))?,
    ];
    for source in sources {
        let home = tempfile::tempdir()?;
        let source = source.to_str().context("a path")?;
        let taken = ran(home.path(), &["bundle", "import", source, "--json"])?;
        assert_eq!((taken.code, taken.err.as_str()), (0, ""), "{source}: {taken:?}");
        let json = taken.json()?;
        assert_eq!((&json["bundle"], &json["digest"]), (&"storyteller@1.1.0".into(), &digest), "{source}");
        let told = ran(home.path(), &["infer", "storyteller", "Once upon a time", "--max-tokens", "3"])?;
        assert_eq!(told.code, 0, "{source}: {told:?}");
        // The same again is a version that is there.
        let again = ran(home.path(), &["bundle", "import", source])?;
        assert!(again.code == 3 && again.err.contains("a version never changes"), "{again:?}");
    }
    Ok(())
}

#[test]
fn a_folder_may_be_called_anything_and_must_hold_what_it_lists() -> Result {
    let stage = Stage::new()?;
    let moved = stage.app.path().join("download (1)");
    fs::rename(stage.bundle(), &moved)?;
    fs::write(moved.join("extra.txt"), "x")?;
    stage.refuses(&moved, 5, "extra.txt")?;
    fs::remove_file(moved.join("extra.txt"))?;
    let weights = moved.join("storyteller-q8_0.gguf");
    let good = fs::read(&weights)?;
    let mut bad = good.clone();
    *bad.last_mut().context("bytes")? ^= 1;
    fs::write(&weights, &bad)?;
    stage.refuses(&moved, 5, "digest")?;
    fs::remove_file(&weights)?;
    stage.refuses(&moved, 5, "storyteller-q8_0.gguf")?;
    std::os::unix::fs::symlink("/etc/hostname", &weights)?;
    stage.refuses(&moved, 5, "symbolic link")?;
    fs::remove_file(&weights)?;
    fs::write(&weights, good)?;
    let taken = stage.import(&moved, &["--into", "models"])?;
    assert_eq!(taken.code, 0, "{taken:?}");
    assert!(taken.out.starts_with("storyteller@1.1.0"), "{taken:?}");
    Ok(())
}

#[test]
fn whatever_an_archive_holds_that_no_bundle_has_is_refused_by_name() -> Result {
    let stage = Stage::new()?;
    let (manifest, weights) =
        (fs::read(stage.bundle().join("bundle.toml"))?, fs::read(stage.bundle().join("storyteller-q8_0.gguf"))?);
    let whole = |tar: &mut Builder<Box<dyn std::io::Write>>| -> Result {
        add(tar, "b/bundle.toml", &manifest)?;
        add(tar, "b/storyteller-q8_0.gguf", &weights)
    };
    type Fill<'a> = Box<dyn FnOnce(&mut Builder<Box<dyn std::io::Write>>) -> Result + 'a>;
    let cases: Vec<(&str, Fill<'_>, &str)> = vec![
        ("none.tar", Box::new(|tar| add(tar, "readme.md", b"x")), "holds no bundle.toml"),
        ("missing.tar", Box::new(|tar| add(tar, "bundle.toml", &manifest)), "not in the archive"),
        ("extra.tar", Box::new(|tar| whole(tar).and_then(|()| add(tar, "b/more.txt", b"x"))), "b/more.txt"),
        ("twice.tar", Box::new(|tar| whole(tar).and_then(|()| add(tar, "b/storyteller-q8_0.gguf", b"x"))), "twice"),
        (
            "two.tar",
            Box::new(|tar| whole(tar).and_then(|()| add(tar, "b/bundle.toml", &[&manifest[..], b"# x\n"].concat()))),
            "b/bundle.toml\" is there twice",
        ),
        ("outside.tar", Box::new(|tar| whole(tar).and_then(|()| add(tar, "more.txt", b"x"))), "outside of the bundle"),
        ("up.tar", Box::new(|tar| whole(tar).and_then(|()| add(tar, "b/../../x", b"x"))), "no path within"),
        ("root.tar", Box::new(|tar| add(tar, "/etc/passwd", b"x")), "no path within"),
        (
            "long.tar.gz",
            Box::new(|tar| {
                add(tar, "bundle.toml", &manifest)?;
                add(tar, "storyteller-q8_0.gguf", &[weights.clone(), vec![0; 4096]].concat())
            }),
            "were expected",
        ),
        (
            "short.tar.gz",
            Box::new(|tar| {
                add(tar, "bundle.toml", &manifest)?;
                add(tar, "storyteller-q8_0.gguf", weights.get(..4096).unwrap_or_default())
            }),
            "were expected",
        ),
        (
            "link.tar",
            Box::new(|tar| {
                add(tar, "bundle.toml", &manifest)?;
                let mut header = Header::new_gnu();
                header.set_entry_type(EntryType::Symlink);
                header.set_size(0);
                Ok(tar.append_link(&mut header, "storyteller-q8_0.gguf", "/etc/hostname")?)
            }),
            "no regular file",
        ),
        ("bad.tar", Box::new(|tar| add(tar, "bundle.toml", b"format = 3\n")), "format 3"),
    ];
    for (name, fill, says) in cases {
        let archive = stage.packed(name, fill)?;
        stage.refuses(&archive, 5, says).with_context(|| name.to_owned())?;
    }
    assert!(!stage.home.path().join("x").exists() && !stage.app.path().join("x").exists());
    Ok(())
}

#[test]
fn what_is_no_archive_or_half_of_one_is_refused() -> Result {
    let stage = Stage::new()?;
    let good = stage.packed("good.tar.gz", |tar| Ok(tar.append_dir_all("b", stage.bundle())?))?;
    let bytes = fs::read(&good)?;
    let half = stage.app.path().join("half.tar.gz");
    fs::write(&half, bytes.get(..bytes.len() / 2).context("bytes")?)?;
    stage.refuses(&half, 5, "half.tar.gz")?;
    let text = stage.app.path().join("text");
    fs::write(&text, "not an archive ".repeat(1000))?;
    stage.refuses(&text, 5, "cannot be read as an archive")?;
    fs::write(&text, "")?;
    stage.refuses(&text, 5, "holds no bundle.toml")?;
    stage.refuses(Path::new("nowhere.tar"), 4, "nowhere.tar")?;
    let json = stage.import(Path::new("nowhere.tar"), &["--json"])?;
    assert!(json.json()?["error"]["message"].as_str().is_some_and(|error| error.contains("nowhere.tar")), "{json:?}");
    Ok(())
}

#[test]
fn an_archive_that_unpacks_to_far_more_than_it_lists_is_left_where_that_begins() -> Result {
    let stage = Stage::new()?;
    let manifest = fs::read(stage.bundle().join("bundle.toml"))?;
    // A file that is said to be as long as a disk; there are some zeros of it.
    let bomb = stage.packed("bomb.tar.gz", |tar| {
        add(tar, "bundle.toml", &manifest)?;
        let mut header = Header::new_gnu();
        header.set_path("storyteller-q8_0.gguf")?;
        header.set_size(64 << 20);
        header.set_mode(0o644);
        header.set_cksum();
        Ok(tar.append(&header, std::io::Read::take(std::io::repeat(0), 64 << 20))?)
    })?;
    stage.refuses(&bomb, 5, "were expected")
}
