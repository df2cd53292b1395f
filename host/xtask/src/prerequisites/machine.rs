//! Which of the build's needs this machine meets. llama.cpp is compiled by cmake, make and a C++ compiler
//! with OpenMP, and its bindings are made with libclang.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::process::Step;

/// Something that the build needs from the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Cmake,
    /// What cmake writes its build files for.
    Make,
    /// C and C++, with the OpenMP library that llama.cpp's threads come from.
    Compiler,
    /// The library and clang's own headers.
    Libclang,
}

impl Need {
    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Cmake => "cmake, which builds llama.cpp",
            Self::Make => "make, which cmake drives",
            Self::Compiler => "a C++ compiler with OpenMP (libgomp), which compiles llama.cpp",
            Self::Libclang => "libclang and clang's headers, which the bindings of llama.cpp are made with",
        }
    }
}

/// The parts of a machine that decide what is missing; a value of its own so that tests can make one up.
pub(super) struct Machine {
    /// `PATH`.
    search_path: OsString,
    /// Folders where libclang may lie, most likely first.
    library_folders: Vec<PathBuf>,
    /// `LIBCLANG_PATH`: a folder or the library itself; whoever sets it also sees to the headers.
    libclang: Option<PathBuf>,
    /// `CMAKE`, `CXX` and `CMAKE_GENERATOR`: programs and build files other than the usual ones.
    cmake: Option<OsString>,
    cxx: Option<OsString>,
    generator: Option<OsString>,
    /// Whether the C compiler knows where libgomp is.
    has_openmp: bool,
}

impl Machine {
    /// The machine that this runs on.
    pub(super) fn here() -> Self {
        Self {
            search_path: env::var_os("PATH").unwrap_or_default(),
            library_folders: library_folders(),
            libclang: env::var_os("LIBCLANG_PATH").map(PathBuf::from),
            cmake: env::var_os("CMAKE"),
            cxx: env::var_os("CXX"),
            generator: env::var_os("CMAKE_GENERATOR"),
            has_openmp: compiler_finds("libgomp.so"),
        }
    }

    /// What the build needs and this machine lacks.
    pub(super) fn missing(&self) -> Vec<Need> {
        let met = [
            (Need::Cmake, self.has_program(self.cmake.as_deref().unwrap_or(OsStr::new("cmake")))),
            (Need::Make, self.has_program(OsStr::new(self.build_program()))),
            (Need::Compiler, self.has_compiler()),
            (Need::Libclang, self.has_libclang()),
        ];
        met.into_iter().filter(|(_, is_met)| !is_met).map(|(need, _)| need).collect()
    }

    fn build_program(&self) -> &'static str {
        match &self.generator {
            Some(generator) if generator.to_string_lossy().contains("Ninja") => "ninja",
            _ => "make",
        }
    }

    fn has_compiler(&self) -> bool {
        self.has_openmp && self.has_program(self.cxx.as_deref().unwrap_or(OsStr::new("c++")))
    }

    fn has_libclang(&self) -> bool {
        if let Some(path) = &self.libclang {
            return path.is_file() || holds_libclang(path);
        }
        // The runtime package of libclang has no headers; the one of the program `clang` brings them.
        let has_clang = self.has_program(OsStr::new("clang"));
        self.library_folders.iter().any(|folder| holds_libclang(folder) && (has_clang || holds_headers(folder)))
    }

    fn has_program(&self, name: &OsStr) -> bool {
        if Path::new(name).is_absolute() {
            return is_executable(Path::new(name));
        }
        env::split_paths(&self.search_path).any(|folder| is_executable(&folder.join(name)))
    }
}

/// Where bindgen would look: the folder that llvm-config names, then the usual ones.
fn library_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    if let Ok(folder) = Step::new("llvm-config").args(["--libdir"]).output() {
        folders.push(folder.trim().into());
    }
    for variable in ["LD_LIBRARY_PATH", "LIBRARY_PATH"] {
        folders.extend(env::split_paths(&env::var_os(variable).unwrap_or_default()));
    }
    for versions in ["/usr/lib", "/usr/local"] {
        let mut llvm: Vec<PathBuf> =
            entries(Path::new(versions)).into_iter().filter(|path| file_name(path).starts_with("llvm")).collect();
        llvm.sort();
        folders.extend(llvm.into_iter().rev().flat_map(|folder| [folder.join("lib"), folder.join("lib64")]));
    }
    folders.extend(["/usr/lib64", "/usr/lib", "/usr/local/lib64", "/usr/local/lib"].map(PathBuf::from));
    folders.push(Path::new("/usr/lib").join(format!("{}-linux-gnu", env::consts::ARCH)));
    folders
}

/// Any name that bindgen accepts: `libclang.so`, `libclang.so.1`, `libclang-14.so.13`; never `libclang-cpp`,
/// which is another library.
fn holds_libclang(folder: &Path) -> bool {
    entries(folder).iter().any(|path| {
        let name = file_name(path);
        let rest = name.strip_prefix("libclang").unwrap_or_default();
        (rest.starts_with(".so") || rest.starts_with('-'))
            && rest.contains(".so")
            && !rest.starts_with("-cpp")
            && path.exists()
    })
}

/// Clang's own headers lie beside the library, in `clang/<version>/include`.
fn holds_headers(folder: &Path) -> bool {
    entries(&folder.join("clang")).iter().any(|version| version.join("include/stddef.h").is_file())
}

/// Whether the C compiler can name the full path of a library.
fn compiler_finds(library: &str) -> bool {
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    match Step::new(compiler).args([format!("-print-file-name={library}")]).output() {
        Ok(path) => Path::new(path.trim()).is_absolute(),
        Err(_) => false,
    }
}

/// A folder's entries; a folder that cannot be read holds nothing that the build could use.
fn entries(folder: &Path) -> Vec<PathBuf> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.filter_map(Result::ok).map(|entry| entry.path()).collect(),
        Err(_) => Vec::new(),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own for one test, removed at its end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(test: &str) -> Self {
            let folder = env::temp_dir().join(format!("bobbin-xtask-{}-{test}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn file(&self, name: &str, mode: u32) {
            let path = self.0.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }

        /// A machine with just these programs and libraries.
        fn machine(&self, programs: &[&str], libraries: &[&str]) -> Machine {
            fs::create_dir_all(self.0.join("bin")).unwrap();
            for name in programs {
                self.file(&format!("bin/{name}"), 0o755);
            }
            for name in libraries {
                self.file(&format!("lib/{name}"), 0o644);
            }
            Machine {
                search_path: self.0.join("bin").into_os_string(),
                library_folders: vec![self.0.join("lib")],
                libclang: None,
                cmake: None,
                cxx: None,
                generator: None,
                has_openmp: true,
            }
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    const ALL: [&str; 4] = ["cmake", "make", "c++", "clang"];

    #[test]
    fn a_machine_with_everything_misses_nothing() {
        let scratch = Scratch::new("everything");
        assert_eq!(scratch.machine(&ALL, &["libclang.so"]).missing(), []);
    }

    #[test]
    fn a_bare_machine_misses_everything_in_order() {
        let scratch = Scratch::new("bare");
        let expected = [Need::Cmake, Need::Make, Need::Compiler, Need::Libclang];
        assert_eq!(scratch.machine(&[], &[]).missing(), expected);
    }

    #[test]
    fn a_file_that_cannot_be_executed_is_no_program() {
        let scratch = Scratch::new("mode");
        let machine = scratch.machine(&ALL, &["libclang.so"]);
        scratch.file("bin/cmake", 0o644);
        assert_eq!(machine.missing(), [Need::Cmake]);
    }

    #[test]
    fn a_compiler_without_openmp_is_not_enough() {
        let scratch = Scratch::new("openmp");
        let machine = Machine { has_openmp: false, ..scratch.machine(&ALL, &["libclang.so"]) };
        assert_eq!(machine.missing(), [Need::Compiler]);
    }

    #[test]
    fn libclang_is_found_by_its_versioned_names_and_not_by_its_cousins() {
        for (index, name) in ["libclang.so.1", "libclang-14.so.13", "libclang-14.so"].iter().enumerate() {
            let scratch = Scratch::new(&format!("versioned-{index}"));
            assert_eq!(scratch.machine(&ALL, &[name]).missing(), [], "{name}");
        }
        for (index, name) in ["libclang-cpp.so.14", "libclang.a", "libclang_rt.so"].iter().enumerate() {
            let scratch = Scratch::new(&format!("cousin-{index}"));
            assert_eq!(scratch.machine(&ALL, &[name]).missing(), [Need::Libclang], "{name}");
        }
    }

    #[test]
    fn libclang_without_clangs_headers_is_not_enough() {
        let scratch = Scratch::new("headers");
        let machine = scratch.machine(&["cmake", "make", "c++"], &["libclang.so"]);
        assert_eq!(machine.missing(), [Need::Libclang]);
        scratch.file("lib/clang/14/include/stddef.h", 0o644);
        assert_eq!(machine.missing(), []);
    }

    #[test]
    fn a_set_libclang_path_decides_alone() {
        let scratch = Scratch::new("variable");
        let without = scratch.machine(&ALL, &[]);
        scratch.file("opt/libclang.so", 0o644);
        for path in ["opt", "opt/libclang.so"] {
            let machine = Machine { libclang: Some(scratch.0.join(path)), ..scratch.machine(&ALL, &[]) };
            assert_eq!(machine.missing(), [], "{path}");
        }
        assert_eq!(without.missing(), [Need::Libclang]);
        let wrong = Machine { libclang: Some(scratch.0.join("bin")), ..scratch.machine(&ALL, &["libclang.so"]) };
        assert_eq!(wrong.missing(), [Need::Libclang]);
    }

    #[test]
    fn cmakes_generator_decides_between_make_and_ninja() {
        let scratch = Scratch::new("generator");
        let with = |generator: Option<&str>| {
            let machine = scratch.machine(&["cmake", "ninja", "c++", "clang"], &["libclang.so"]);
            Machine { generator: generator.map(OsString::from), ..machine }
        };
        assert_eq!(with(None).missing(), [Need::Make]);
        assert_eq!(with(Some("Ninja")).missing(), []);
    }

    #[test]
    fn programs_named_by_variables_are_the_ones_that_count() {
        let scratch = Scratch::new("named");
        let machine = scratch.machine(&["make", "clang", "my-cmake", "clang++"], &["libclang.so"]);
        let cmake = scratch.0.join("bin/my-cmake").into_os_string();
        let machine = Machine { cmake: Some(cmake), cxx: Some("clang++".into()), ..machine };
        assert_eq!(machine.missing(), []);
    }
}
