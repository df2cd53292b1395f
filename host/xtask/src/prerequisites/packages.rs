//! Package names per family of systems, and installing them where that needs no question.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use super::machine::Need;
use crate::process::{Failure, Step};

/// Systems that name and install packages alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Debian, Ubuntu and what descends from them: apt-get.
    Debian,
    /// Fedora, Red Hat and kin: dnf.
    Fedora,
    /// openSUSE: zypper.
    Suse,
    /// Arch: pacman.
    Arch,
    Other,
}

impl Family {
    /// Reads os-release from its two places.
    pub(super) fn here() -> Result<Self, Failure> {
        for path in ["/etc/os-release", "/usr/lib/os-release"] {
            match fs::read_to_string(path) {
                Ok(text) => return Ok(Self::of(&text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    let next = "make the file readable: it says which system this is".to_owned();
                    return Err(Failure::File { action: "read", path: PathBuf::from(path), source, next });
                }
            }
        }
        Ok(Self::Other)
    }

    /// The family of the system that this os-release describes, by its own name first, then by what it is like.
    fn of(os_release: &str) -> Self {
        let fields = fields(os_release);
        let names = ["ID", "ID_LIKE"].into_iter().filter_map(|key| fields.get(key)).flat_map(|names| names.split(' '));
        for name in names {
            match name {
                "debian" | "ubuntu" => return Self::Debian,
                "fedora" | "rhel" | "centos" => return Self::Fedora,
                "suse" | "opensuse" | "opensuse-leap" | "opensuse-tumbleweed" => return Self::Suse,
                "arch" => return Self::Arch,
                _ => {}
            }
        }
        Self::Other
    }
}

/// The `KEY=value` lines of os-release, without quotes and comments.
fn fields(os_release: &str) -> BTreeMap<&str, &str> {
    let pairs =
        os_release.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.trim(), value.trim().trim_matches(['"', '\'']))).collect()
}

/// The packages that meet these needs.
pub(super) fn of(needs: &[Need], family: Family) -> Vec<&'static str> {
    let mut packages: Vec<&'static str> = Vec::new();
    for package in needs.iter().flat_map(|need| named(*need, family)) {
        if !packages.contains(package) {
            packages.push(package);
        }
    }
    packages
}

fn named(need: Need, family: Family) -> &'static [&'static str] {
    match (need, family) {
        (Need::Cmake, _) => &["cmake"],
        (Need::Make, _) => &["make"],
        (Need::Compiler, Family::Debian) => &["g++"],
        (Need::Compiler, Family::Fedora | Family::Suse) => &["gcc-c++"],
        (Need::Compiler, Family::Arch) => &["gcc"],
        (Need::Compiler, Family::Other) => &["g++ with its OpenMP library"],
        (Need::Libclang, Family::Debian) => &["clang", "libclang-dev"],
        (Need::Libclang, Family::Fedora | Family::Suse) => &["clang-devel"],
        (Need::Libclang, Family::Arch) => &["clang"],
        (Need::Libclang, Family::Other) => &["clang with the library libclang"],
    }
}

/// What this user may install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rights {
    Root,
    /// sudo asks for no password.
    Sudo,
    /// There is sudo, and it would ask.
    SudoWithPassword,
    NoSudo,
}

impl Rights {
    pub(super) fn here() -> Self {
        if Step::new("id").args(["-u"]).output().is_ok_and(|id| id.trim() == "0") {
            Self::Root
        } else if Step::new("sudo").args(["-n", "true"]).succeeds() {
            Self::Sudo
        } else if Step::new("sudo").args(["--version"]).succeeds() {
            Self::SudoWithPassword
        } else {
            Self::NoSudo
        }
    }

    /// Whether something can be installed without asking.
    pub(super) fn suffice(self) -> bool {
        matches!(self, Self::Root | Self::Sudo)
    }

    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Root => "as root",
            Self::Sudo | Self::SudoWithPassword => "through sudo",
            Self::NoSudo => "without rights",
        }
    }
}

/// The one line that installs these packages; none where the system's way is not known.
pub(super) fn line(family: Family, packages: &[&str], rights: Rights) -> Option<String> {
    let commands: &[&str] = match family {
        Family::Debian => &["apt-get update", "apt-get install -y --no-install-recommends"],
        Family::Fedora => &["dnf install -y"],
        Family::Suse => &["zypper install -y"],
        Family::Arch => &["pacman -S --needed --noconfirm"],
        Family::Other => return None,
    };
    let sudo = if matches!(rights, Rights::Sudo | Rights::SudoWithPassword) { "sudo " } else { "" };
    let commands: Vec<String> = commands.iter().map(|command| format!("{sudo}{command}")).collect();
    let line = format!("{} {}", commands.join(" && "), packages.join(" "));
    Some(if rights == Rights::NoSudo { format!("su -c '{line}'") } else { line })
}

/// apt-get that never asks, and waits for another one to finish.
pub(super) fn apt_get(rights: Rights, arguments: &[&str]) -> Step {
    let step = if rights == Rights::Root { Step::new("env") } else { Step::new("sudo").args(["-n", "env"]) };
    step.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300"]).args(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_is_read_from_os_release() {
        let cases = [
            ("ID=debian\nVERSION_ID=\"12\"\n", Family::Debian),
            ("NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\n", Family::Debian),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", Family::Debian),
            ("ID='rocky'\nID_LIKE='rhel centos fedora'\n", Family::Fedora),
            ("ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n", Family::Suse),
            ("ID=arch\n", Family::Arch),
            ("# ID=debian\nID=alpine\n", Family::Other),
            ("PRETTY_NAME=\"like debian\"\nVERSION_CODENAME=debian\n", Family::Other),
            ("", Family::Other),
        ];
        for (text, family) in cases {
            assert_eq!(Family::of(text), family, "{text:?}");
        }
    }

    #[test]
    fn each_family_has_its_own_names_and_no_package_comes_twice() {
        let all = [Need::Cmake, Need::Make, Need::Compiler, Need::Libclang];
        assert_eq!(of(&all, Family::Debian), ["cmake", "make", "g++", "clang", "libclang-dev"]);
        assert_eq!(of(&all, Family::Fedora), ["cmake", "make", "gcc-c++", "clang-devel"]);
        assert_eq!(of(&all, Family::Arch), ["cmake", "make", "gcc", "clang"]);
        assert_eq!(of(&[Need::Cmake, Need::Cmake], Family::Debian), ["cmake"]);
        assert_eq!(of(&[], Family::Debian), [""; 0]);
    }

    #[test]
    fn the_line_to_run_fits_the_system_and_the_rights() {
        let debian = |rights| line(Family::Debian, &["cmake"], rights).unwrap();
        let install = "apt-get install -y --no-install-recommends cmake";
        assert_eq!(debian(Rights::Root), format!("apt-get update && {install}"));
        assert_eq!(debian(Rights::SudoWithPassword), format!("sudo apt-get update && sudo {install}"));
        assert_eq!(debian(Rights::NoSudo), format!("su -c 'apt-get update && {install}'"));
        assert_eq!(line(Family::Fedora, &["cmake", "make"], Rights::Sudo).unwrap(), "sudo dnf install -y cmake make");
        assert_eq!(line(Family::Other, &["cmake"], Rights::Root), None);
    }

    #[test]
    fn only_root_and_silent_sudo_install() {
        assert!(Rights::Root.suffice() && Rights::Sudo.suffice());
        assert!(!Rights::SudoWithPassword.suffice() && !Rights::NoSudo.suffice());
    }
}
