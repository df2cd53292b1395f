//! Each escape that the cage is there for, tried from inside.
#![allow(unsafe_code, reason = "what C++ could be made to do is done as it would do it")]

use super::{Cage, Profile};
use libc::{c_long, c_void};
use std::ffi::CString;
use std::fs;
use std::io::Error;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::ptr::null;

/// What an escape returned: nothing where it worked, else the error's number.
type Tried = Result<(), i32>;

fn call(number: c_long, arguments: [c_long; 4]) -> Tried {
    let [a, b, c, d] = arguments;
    // SAFETY: every pointer among the arguments is null, or to a value that outlives the call.
    match unsafe { libc::syscall(number, a, b, c, d) } {
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

#[test]
fn no_escape_works() {
    let folder = tempfile::tempdir().unwrap();
    let (weights, secret) = (folder.path().join("weights.gguf"), folder.path().join("secret"));
    fs::write(&weights, "weights").unwrap();
    fs::write(&secret, "secret").unwrap();
    let (weights_path, secret_path, new_path) = (path(&weights), path(&secret), path(&folder.path().join("new")));
    let (shell, root) = (c"/bin/sh", c"/");
    let parent = c_long::from(std::os::unix::process::parent_id() as i32);
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let descriptor = c_long::from(ours.as_raw_fd());
    let here = c_long::from(libc::AT_FDCWD);
    let limit = libc::rlimit { rlim_cur: 1 << 40, rlim_max: 1 << 40 };
    let message = b"x";

    let (w, s, n) = (address(weights_path.as_ptr()), address(secret_path.as_ptr()), address(new_path.as_ptr()));
    let open = |name: c_long, flags: libc::c_int| (libc::SYS_openat, [here, name, c_long::from(flags), 0o600]);
    let socket =
        |family: libc::c_int, kind: libc::c_int| (libc::SYS_socket, [c_long::from(family), c_long::from(kind), 0, 0]);
    let zero = [0; 4];
    let escapes: Vec<(&str, (c_long, [c_long; 4]))> = vec![
        ("read a file beside the weights", open(s, libc::O_RDONLY)),
        ("read the passwords", open(address(c"/etc/passwd".as_ptr()), libc::O_RDONLY)),
        ("read the parent's environment", open(address(c"/proc/1/environ".as_ptr()), libc::O_RDONLY)),
        ("list a folder", open(address(c"/tmp".as_ptr()), libc::O_RDONLY | libc::O_DIRECTORY)),
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
        ("change the owner", (libc::SYS_fchownat, [here, w, 0, 0])),
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
        ("send to an address", (libc::SYS_sendto, [descriptor, address(message.as_ptr()), 1, 0])),
        ("hand over a descriptor", (libc::SYS_sendmsg, [descriptor, 0, 0, 0])),
        ("be handed a descriptor", (libc::SYS_recvmsg, [descriptor, 0, 0, 0])),
        ("start a program", (libc::SYS_execve, [address(shell.as_ptr()), 0, 0, 0])),
        ("start a program by its descriptor", (libc::SYS_execveat, [here, address(shell.as_ptr()), 0, 0])),
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
        ("raise its own limit", (libc::SYS_setrlimit, [libc::RLIMIT_DATA.into(), address(&raw const limit), 0, 0])),
        ("a namespace", (libc::SYS_unshare, [c_long::from(libc::CLONE_NEWUSER), 0, 0, 0])),
        ("another's namespace", (libc::SYS_setns, [descriptor, 0, 0, 0])),
        ("another root", (libc::SYS_chroot, [address(root.as_ptr()), 0, 0, 0])),
        ("another user", (libc::SYS_setuid, [1, 0, 0, 0])),
        ("mount", (libc::SYS_mount, zero)),
        ("shared memory", (libc::SYS_shmget, [0, 4096, 0o1600, 0])),
        ("a message queue", (libc::SYS_msgget, [0, 0o1600, 0, 0])),
        ("kernel programs", (libc::SYS_bpf, zero)),
        ("performance events", (libc::SYS_perf_event_open, zero)),
        ("io_uring", (libc::SYS_io_uring_setup, [1, 0, 0, 0])),
        ("page faults", (libc::SYS_userfaultfd, zero)),
        ("keys", (libc::SYS_keyctl, zero)),
        ("restart the machine", (libc::SYS_reboot, zero)),
    ];
    let (rules, tried) = caged(&weights, || {
        let refused = |error| matches!(error, libc::EPERM | libc::EACCES);
        let worked: Vec<_> = escapes
            .iter()
            .map(|&(name, (number, arguments))| (name, call(number, arguments)))
            .filter(|(_, tried)| !tried.is_err_and(refused))
            .collect();
        // What it is for does work.
        let read = fs::read(&weights).map(|bytes| bytes.len());
        (worked, read, std::thread::spawn(|| 1).join().unwrap())
    });
    all_hold(&rules);
    let (worked, read, thread) = tried;
    assert_eq!(worked, []);
    assert_eq!((read.unwrap(), thread), (7, 1));
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
