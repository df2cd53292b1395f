//! Each escape that the cage is there for, tried from inside.
#![allow(unsafe_code, reason = "what C++ could be made to do is done as it would do it")]

use super::{Cage, Profile, REFUSED, REFUSED_LEGACY, REFUSED_REQUESTS, Writes, forbidden};
use libc::{c_long, c_void};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::Error;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::ptr::null;

mod gpu;

/// What an escape returned: nothing where it worked, else the error's number.
type Tried = Result<(), i32>;

fn call(number: c_long, arguments: [c_long; 4]) -> Tried {
    let [a, b, c, d] = arguments;
    let us = std::process::id();
    // SAFETY: every pointer among the arguments is invalid, or to a value that outlives the call.
    let result = unsafe { libc::syscall(number, a, b, c, d) };
    if std::process::id() != us {
        // It could make a process. That one must not go on with the test.
        // SAFETY: _exit never returns and runs no user code.
        unsafe { libc::_exit(0) }
    }
    match result {
        -1 => Err(Error::last_os_error().raw_os_error().unwrap_or(0)),
        _ => Ok(()),
    }
}

fn address<T>(pointer: *const T) -> c_long {
    pointer as c_long
}

fn path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

/// Runs something inside a cage around one weights' file, on a thread that ends with it, and returns the rules.
fn caged<T: Send>(weights: &Path, inside: impl FnOnce() -> T + Send) -> (Vec<(String, Option<String>)>, T) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let rules = Cage::close(weights, None, Profile::Processor).into_rules();
            (rules, inside())
        });
        thread.join().unwrap()
    })
}

/// Fails where a rule does not hold: every kernel that the tests run on has all of them.
fn all_hold(rules: &[(String, Option<String>)]) {
    let names: Vec<_> = rules.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["core_limit", "capabilities", "landlock", "seccomp", "data_limit"]);
    assert!(rules.iter().all(|(_, reason)| reason.is_none()), "{rules:?}");
}

/// One thing to try: what it would be, and the call.
type Escape = (&'static str, (c_long, [c_long; 4]));

/// What is around the weights of something caged, and what it could try with that.
struct Scene {
    weights: PathBuf,
    names: [CString; 3],
    /// The weights, open since before the cage closed.
    opened: File,
    sockets: (UnixStream, UnixStream),
}

impl Scene {
    fn new(folder: &Path) -> Self {
        let (weights, secret) = (folder.join("weights.gguf"), folder.join("secret"));
        fs::write(&weights, "weights").unwrap();
        fs::write(&secret, "secret").unwrap();
        let names = [path(&weights), path(&secret), path(&folder.join("new"))];
        Self { names, opened: File::open(&weights).unwrap(), sockets: UnixStream::pair().unwrap(), weights }
    }

    fn escapes(&self) -> Vec<Escape> {
        let parent = c_long::from(std::os::unix::process::parent_id() as i32);
        let descriptor = c_long::from(self.sockets.0.as_raw_fd());
        let opened = c_long::from(self.opened.as_raw_fd());
        let (owner, group) = (rustix::process::getuid().as_raw().into(), rustix::process::getgid().as_raw().into());
        let here = c_long::from(libc::AT_FDCWD);
        let [w, s, n] = [0, 1, 2].map(|name: usize| address(self.names[name].as_ptr()));
        let open = |name: c_long, flags: libc::c_int| (libc::SYS_openat, [here, name, c_long::from(flags), 0o600]);
        let socket = |family: libc::c_int, kind: libc::c_int| {
            (libc::SYS_socket, [c_long::from(family), c_long::from(kind), 0, 0])
        };
        let zero = [0; 4];
        vec![
            ("read a file beside the weights", open(s, libc::O_RDONLY)),
            ("read the passwords", open(address(c"/etc/passwd".as_ptr()), libc::O_RDONLY)),
            ("read the parent's environment", open(address(c"/proc/1/environ".as_ptr()), libc::O_RDONLY)),
            ("list a folder", open(address(c"/tmp".as_ptr()), libc::O_RDONLY | libc::O_DIRECTORY)),
            (
                "read the passwords by a link of its own",
                open(address(c"/proc/self/cwd/../../../../../../../../../../etc/passwd".as_ptr()), libc::O_RDONLY),
            ),
            (
                "list the root by a link of its own",
                open(address(c"/proc/self/root".as_ptr()), libc::O_RDONLY | libc::O_DIRECTORY),
            ),
            (
                "list a folder by a link of its own",
                open(address(c"/proc/self/cwd".as_ptr()), libc::O_RDONLY | libc::O_DIRECTORY),
            ),
            ("write a device", open(address(c"/dev/null".as_ptr()), libc::O_WRONLY)),
            ("write the weights", open(w, libc::O_WRONLY)),
            ("read and write the weights", open(w, libc::O_RDWR)),
            ("empty the weights", open(w, libc::O_TRUNC)),
            ("write another file", open(s, libc::O_WRONLY | libc::O_APPEND)),
            ("make a file", open(n, libc::O_CREAT | libc::O_WRONLY)),
            ("make a nameless file", open(address(c"/tmp".as_ptr()), libc::O_TMPFILE | libc::O_RDWR)),
            ("cut the weights", (libc::SYS_truncate, [w, 0, 0, 0])),
            ("remove the weights", (libc::SYS_unlinkat, [here, w, 0, 0])),
            ("rename the weights", (libc::SYS_renameat2, [here, w, here, n])),
            ("make a folder", (libc::SYS_mkdirat, [here, n, 0o700, 0])),
            ("link a file", (libc::SYS_linkat, [here, s, here, n])),
            ("link a name", (libc::SYS_symlinkat, [s, here, n, 0])),
            ("make a device", (libc::SYS_mknodat, [here, n, c_long::from(libc::S_IFCHR), 0x103])),
            ("change permissions", (libc::SYS_fchmodat, [here, w, 0o777, 0])),
            ("change permissions of what is open", (libc::SYS_fchmod, [opened, 0o777, 0, 0])),
            ("change the owner", (libc::SYS_fchownat, [here, w, 0, 0])),
            ("change the owner of what is open", (libc::SYS_fchown, [opened, owner, group, 0])),
            ("change a time", (libc::SYS_utimensat, [here, w, 0, 0])),
            ("reach a file by its handle", (libc::SYS_name_to_handle_at, [here, s, 0, 0])),
            ("a TCP socket", socket(libc::AF_INET, libc::SOCK_STREAM)),
            ("a UDP socket", socket(libc::AF_INET6, libc::SOCK_DGRAM)),
            ("a raw socket", socket(libc::AF_INET, libc::SOCK_RAW)),
            ("a local socket", socket(libc::AF_UNIX, libc::SOCK_STREAM)),
            ("a netlink socket", socket(libc::AF_NETLINK, libc::SOCK_RAW)),
            ("a packet socket", socket(libc::AF_PACKET, libc::SOCK_RAW)),
            ("a pair of sockets", (libc::SYS_socketpair, [1, 1, 0, 0])),
            ("connect", (libc::SYS_connect, [descriptor, 0, 0, 0])),
            ("listen", (libc::SYS_listen, [descriptor, 1, 0, 0])),
            ("send to an address", (libc::SYS_sendto, [descriptor, address(c"x".as_ptr()), 1, 0])),
            ("hand over a descriptor", (libc::SYS_sendmsg, [descriptor, 0, 0, 0])),
            ("be handed a descriptor", (libc::SYS_recvmsg, [descriptor, 0, 0, 0])),
            ("start a program", (libc::SYS_execve, [address(c"/bin/sh".as_ptr()), 0, 0, 0])),
            ("start a program by its descriptor", (libc::SYS_execveat, [here, address(c"/bin/sh".as_ptr()), 0, 0])),
            ("make a process", (libc::SYS_clone, [c_long::from(libc::SIGCHLD), 0, 0, 0])),
            ("be debugged", (libc::SYS_ptrace, zero)),
            ("read another's memory", (libc::SYS_process_vm_readv, [parent, 0, 0, 0])),
            ("write another's memory", (libc::SYS_process_vm_writev, [parent, 0, 0, 0])),
            ("signal another", (libc::SYS_kill, [parent, 0, 0, 0])),
            ("signal everybody", (libc::SYS_kill, [-1, 0, 0, 0])),
            ("signal a thread", (libc::SYS_tkill, [parent, 0, 0, 0])),
            ("signal another's thread", (libc::SYS_tgkill, [parent, parent, 0, 0])),
            ("get a hold on another", (libc::SYS_pidfd_open, [parent, 0, 0, 0])),
            ("limit another", (libc::SYS_prlimit64, [parent, 0, 0, 0])),
            ("slow another down", (libc::SYS_setpriority, [0, parent, 19, 0])),
            ("move another to a core", (libc::SYS_sched_setaffinity, [parent, 0, 0, 0])),
            ("outlive the host", (libc::SYS_prctl, [libc::PR_SET_PDEATHSIG.into(), 0, 0, 0])),
            ("have another signalled", (libc::SYS_fcntl, [descriptor, libc::F_SETOWN.into(), parent, 0])),
            ("a namespace", (libc::SYS_unshare, [c_long::from(libc::CLONE_NEWUSER), 0, 0, 0])),
            ("another's namespace", (libc::SYS_setns, [descriptor, 0, 0, 0])),
            ("another root", (libc::SYS_chroot, [address(c"/".as_ptr()), 0, 0, 0])),
            ("another user", (libc::SYS_setuid, [1, 0, 0, 0])),
            ("mount", (libc::SYS_mount, zero)),
            ("shared memory", (libc::SYS_shmget, [0, 4096, 0o1600, 0])),
            ("a message queue", (libc::SYS_msgget, [0, 0o1600, 0, 0])),
            ("kernel programs", (libc::SYS_bpf, zero)),
            ("performance events", (libc::SYS_perf_event_open, zero)),
            ("io_uring", (libc::SYS_io_uring_setup, [1, 0, 0, 0])),
            ("page faults", (libc::SYS_userfaultfd, zero)),
            ("semaphores of others", (libc::SYS_semop, zero)),
            ("keys", (libc::SYS_keyctl, zero)),
            ("restart the machine", (libc::SYS_reboot, zero)),
        ]
    }

    /// What of all that works.
    fn worked(&self) -> Vec<(&'static str, Tried)> {
        tried(self.escapes())
    }

    /// What the cage is there for does work.
    fn is_of_use(&self) {
        assert_eq!(fs::read(&self.weights).unwrap(), b"weights");
        assert_eq!(std::thread::spawn(|| 1).join().unwrap(), 1);
    }
}

fn tried(escapes: impl IntoIterator<Item = Escape>) -> Vec<(&'static str, Tried)> {
    let refused = |error| matches!(error, libc::EPERM | libc::EACCES);
    let tried = escapes.into_iter().map(|(name, (number, arguments))| (name, call(number, arguments)));
    tried.filter(|(_, tried)| !tried.is_err_and(refused)).collect()
}

/// Every call that the filter refuses, with arguments of which nothing can come, and those of them that do not end as the
/// filter ends them.
fn not_refused() -> Vec<(c_long, [c_long; 4], Tried)> {
    let outright = REFUSED.iter().chain(REFUSED_LEGACY).map(|number| (*number, [-1; 4]));
    let requests = REFUSED_REQUESTS.iter().flat_map(|(number, at, requests)| {
        requests.iter().map(|request| {
            let mut arguments = [-1; 4];
            arguments[usize::from(*at)] = *request as c_long;
            (*number, arguments)
        })
    });
    let tried = outright.chain(requests).map(|(number, arguments)| (number, arguments, call(number, arguments)));
    tried.filter(|(_, _, tried)| *tried != Err(libc::EPERM)).collect()
}

#[test]
fn no_escape_works() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(folder.path());
    let limit = libc::rlimit { rlim_cur: 1 << 40, rlim_max: 1 << 40 };
    let higher = (libc::SYS_setrlimit, [libc::RLIMIT_DATA.into(), address(&raw const limit), 0, 0]);
    let (rules, worked) = caged(&scene.weights, || {
        scene.is_of_use();
        [scene.worked(), tried([("raise its own limit", higher)])].concat()
    });
    all_hold(&rules);
    assert_eq!(worked, []);
}

#[test]
fn no_call_that_is_refused_works() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(folder.path());
    let (rules, worked) = caged(&scene.weights, not_refused);
    all_hold(&rules);
    assert_eq!(worked, []);
}

/// For some of them arguments of which nothing can come are refused anyhow, where a capability is missing.
#[test]
fn what_is_refused_outright_is_refused_whatever_its_arguments_are() {
    for writes in [Writes::Refused, Writes::Landlocked] {
        let rules = forbidden(writes).unwrap();
        for number in REFUSED.iter().chain(REFUSED_LEGACY) {
            assert!(rules[number].is_empty(), "call {number} is refused only with some arguments");
        }
    }
}

/// Where a kernel has no x32, it says that there is no such call; the filter says that it is not permitted.
#[cfg(target_arch = "x86_64")]
#[test]
fn no_call_under_its_other_number_gets_around_the_filter() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(folder.path());
    let (rules, worked) = caged(&scene.weights, || {
        let numbers = REFUSED.iter().chain(REFUSED_LEGACY).chain(&[libc::SYS_getpid, libc::SYS_openat, 520, 547]);
        let tried = numbers.map(|number| (*number, call(number | c_long::from(super::X32), [-1; 4])));
        tried.filter(|(_, tried)| *tried != Err(libc::EPERM)).collect::<Vec<_>>()
    });
    all_hold(&rules);
    assert_eq!(worked, []);
}

#[test]
fn no_call_in_a_newer_form_gets_around_the_filter() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("weights.gguf");
    fs::write(&weights, "weights").unwrap();
    let name = path(&weights);
    let how = [libc::O_RDWR as u64, 0, 0];
    let (rules, tried) = caged(&weights, || {
        let open = [libc::AT_FDCWD.into(), address(name.as_ptr()), address(how.as_ptr()), 24];
        (call(libc::SYS_openat2, open), call(libc::SYS_clone3, [0; 4]))
    });
    all_hold(&rules);
    assert_eq!(tried, (Err(libc::ENOSYS), Err(libc::ENOSYS)));
}

#[test]
fn no_more_memory_can_be_had_than_the_model_needs() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("weights.gguf");
    fs::write(&weights, "weights").unwrap();
    let map = |bytes: usize| {
        // SAFETY: a private mapping at no fixed address, which nobody touches, is undone at once.
        unsafe {
            let (rights, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let at = libc::mmap(null::<c_void>().cast_mut(), bytes, rights, kind | libc::MAP_NORESERVE, -1, 0);
            if at == libc::MAP_FAILED {
                return Err(Error::last_os_error().raw_os_error().unwrap_or(0));
            }
            assert_eq!(libc::munmap(at, bytes), 0);
        }
        Ok(())
    };
    let (loading, serving) = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut cage = Cage::close(&weights, None, Profile::Processor);
            let loading = (map(1 << 30), map(8 << 30));
            cage.tighten();
            let serving = (map(512 << 20), map(3 << 30));
            all_hold(&cage.into_rules());
            (loading, serving)
        });
        thread.join().unwrap()
    });
    assert_eq!(loading, (Ok(()), Err(libc::ENOMEM)));
    assert_eq!(serving, (Ok(()), Err(libc::ENOMEM)));
}
