use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

fn packed(fill: impl FnOnce(&mut Builder<GzEncoder<Vec<u8>>>)) -> Vec<u8> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    fill(&mut builder);
    builder.into_inner().unwrap().finish().unwrap()
}

fn file(builder: &mut Builder<GzEncoder<Vec<u8>>>, name: &str, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_size(content.len() as u64);
    builder.append_data(&mut header, name, content).unwrap();
}

/// An entry with a name that the archive's writer would refuse.
fn entry(builder: &mut Builder<GzEncoder<Vec<u8>>>, kind: EntryType, name: &str, link: &str, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

struct Case {
    folder: tempfile::TempDir,
    store: Store,
    digest: Digest,
}

impl Case {
    fn new(archive: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("cache")).unwrap();
        let digest = store.keep(archive).unwrap();
        Self { folder, store, digest }
    }

    fn unpack(&self, wanted: &[&[u8]], room: Room) -> Result<BTreeSet<Digest>, ArchiveError> {
        let (mut wanted, mut room) = (wanted.iter().map(|content| Digest::of(content)).collect(), room);
        unpack(&self.store, &self.digest, &mut wanted, &mut room).map(|()| wanted)
    }

    /// The names of all that is below the folder, the cache's own apart.
    fn outside(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "cache").collect()
    }
}

#[test]
fn wanted_files_are_taken_out_whatever_they_are_called() {
    let long = format!("{}/long.txt", "deep/".repeat(40));
    let case = Case::new(&packed(|builder| {
        builder.append_dir(".", ".").unwrap();
        file(builder, "a.txt", b"a");
        file(builder, "other.txt", b"nobody asks");
        file(builder, &long, b"long");
        file(builder, "empty.txt", b"");
    }));
    let left = case.unpack(&[b"a", b"long", b"", b"gone"], Room::default()).unwrap();
    assert_eq!(left, BTreeSet::from([Digest::of(b"gone")]));
    for content in [b"a".as_slice(), b"long", b""] {
        assert_eq!(case.store.bytes(&Digest::of(content)).unwrap(), content);
    }
    assert!(!case.store.path(&Digest::of(b"nobody asks")).exists());
    assert_eq!(fs::read_dir(case.store.partials()).unwrap().count(), 0);
}

#[test]
fn names_and_links_lead_nowhere() {
    let case = Case::new(&packed(|builder| {
        entry(builder, EntryType::Regular, "../../escaped", "", b"up");
        entry(builder, EntryType::Regular, "/tmp/escaped", "", b"absolute");
        entry(builder, EntryType::Symlink, "link", "..", b"");
        entry(builder, EntryType::Regular, "link/escaped", "", b"through");
        entry(builder, EntryType::Link, "hard", "/etc/passwd", b"");
        entry(builder, EntryType::Block, "device", "", b"");
    }));
    let left = case.unpack(&[b"up", b"absolute", b"through"], Room::default()).unwrap();
    assert_eq!(left.len(), 0, "their content is content");
    assert_eq!(case.outside(), [""; 0]);
}

#[test]
fn an_archive_that_grows_without_end_is_refused_at_the_bound() {
    let zeros = vec![0; 1 << 20];
    let bomb = packed(|builder| file(builder, "zeros", &zeros));
    assert!(bomb.len() < zeros.len() / 100, "it is small as long as it is packed");
    let case = Case::new(&bomb);
    let room = Room { bytes: 100_000, ..Room::default() };
    let error = case.unpack(&[&zeros], room).unwrap_err().to_string();
    assert!(error.contains("the 100000 bytes that are left"), "{error}");
    assert_eq!(fs::read_dir(case.store.partials()).unwrap().count(), 0, "nothing of it is left");
    let name = packed(|builder| entry(builder, EntryType::GNULongName, "././@LongLink", "", &zeros));
    let error = Case::new(&name).unpack(&[b"x"], room).unwrap_err().to_string();
    assert!(error.contains("the 100000 bytes that are left"), "{error}");
    let many = packed(|builder| (0..20).for_each(|_| file(builder, "same", b"same")));
    let error = Case::new(&many).unpack(&[b"x"], Room { entries: 10, ..Room::default() }).unwrap_err().to_string();
    assert!(error.contains("more than 10 entries"), "{error}");
}

#[test]
fn the_room_is_one_for_all_archives() {
    let case = Case::new(&packed(|builder| file(builder, "a", b"a")));
    let mut room = Room { bytes: 4096, ..Room::default() };
    let mut wanted = BTreeSet::from([Digest::of(b"gone")]);
    unpack(&case.store, &case.digest, &mut wanted, &mut room).unwrap();
    assert!(room.bytes < 4096, "{room:?}");
    let again = (0..4).find_map(|_| unpack(&case.store, &case.digest, &mut wanted, &mut room).err());
    assert!(matches!(again, Some(ArchiveError::TooLarge { .. })), "{again:?}");
}

#[test]
fn what_is_no_archive_is_named() {
    for bytes in [b"no gzip".to_vec(), packed(|builder| file(builder, "a", &[7; 5000]))[..40].to_vec()] {
        let case = Case::new(&bytes);
        let error = case.unpack(&[b"x"], Room::default()).unwrap_err();
        assert!(matches!(error, ArchiveError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(&case.digest.to_string()), "{error}");
    }
}
