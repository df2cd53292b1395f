//! The cage: closed after the host has said what to load, before the file is opened.
//!
//! Weights are data from elsewhere, read by a large C++ program. What that program could be made to do is
//! bounded here: it reads its weights and the system's libraries, opens nothing for writing, makes no
//! socket, starts no program, touches no other process, has no capability left, and allocates no more than a model of
//! that size needs. A rule that this kernel
//! cannot enforce does not stop the worker; it is reported with the reason, and status shows it.
//!
//! Workers for a GPU need device files and their driver's own calls: they get a profile of their own with
//! the feature that builds them.

use super::process::{self, DataMeter};
use landlock::{
    ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
    path_beneath_rules,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;
use std::iter;
use std::path::Path;

/// What may be read besides the weights. glibc and libgomp look at the processors, and load libgcc late.
const READABLE: &[&str] = &[
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/fs/cgroup",
];

/// Beyond the weights' own size: key-value cells, compute buffers and everything else, while loading.
const WHILE_LOADING: u64 = 4 << 30;
/// Beyond what the loaded model holds: requests, grammars, sampling.
const WHILE_SERVING: u64 = 1 << 30;
/// Address space of one compute thread. How many there are is decided while serving.
const THREAD: u64 = 16 << 20;

/// The rules and whether each holds: name, and why not where not.
pub(super) struct Cage {
    rules: Vec<(String, Option<String>)>,
    meter: Option<DataMeter>,
}

impl Cage {
    /// Closes the cage around this thread and all threads it starts from now on.
    pub(super) fn close(weights: &Path, tokenizer: Option<&Path>) -> Self {
        let meter = DataMeter::open();
        let mut rules = vec![("core_limit".to_owned(), None)];
        let mut rule = |name: &str, result: Result<(), String>| rules.push((name.to_owned(), result.err()));
        rule("capabilities", no_capabilities());
        rule("landlock", landlock(iter::once(weights).chain(tokenizer)));
        rule("seccomp", seccomp());
        let meter = match meter {
            Ok(meter) => Some(meter),
            Err(error) => {
                rule("data_limit", Err(error.to_string()));
                None
            }
        };
        let mut cage = Self { rules, meter };
        // Repacking for the processor may copy all weights, hence twice their size.
        let size = std::fs::metadata(weights).map_or(0, |metadata| metadata.len());
        cage.limit_data(size.saturating_mul(2).saturating_add(WHILE_LOADING));
        cage
    }

    /// The model is loaded and its cells are allocated: from here on only requests allocate.
    pub(super) fn tighten(&mut self) {
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        self.limit_data(WHILE_SERVING + threads * THREAD);
    }

    /// The report for the host.
    pub(super) fn into_rules(self) -> Vec<(String, Option<String>)> {
        self.rules
    }

    fn limit_data(&mut self, allowance: u64) {
        let Some(meter) = &mut self.meter else { return };
        let result = meter.bytes().and_then(|used| process::limit_data(used.saturating_add(allowance)));
        let result = result.err().map(|error| error.to_string());
        match self.rules.iter_mut().find(|(name, _)| name == "data_limit") {
            Some((_, reason)) => *reason = result,
            None => self.rules.push(("data_limit".to_owned(), result)),
        }
    }
}

/// Where the host runs as root, as in most containers, its worker would otherwise get around limits and permissions.
fn no_capabilities() -> Result<(), String> {
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, none).map_err(|error| error.to_string())
}

fn landlock<'a>(files: impl Iterator<Item = &'a Path>) -> Result<(), String> {
    let abi = ABI::V6;
    let restrict = || {
        Ruleset::default()
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .scope(Scope::from_all(abi))?
            .create()?
            .add_rules(path_beneath_rules(files, AccessFs::ReadFile))?
            .add_rules(path_beneath_rules(READABLE, AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute))?
            .restrict_self()
    };
    let status = restrict().map_err(|error| error.to_string())?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        RulesetStatus::PartiallyEnforced => {
            Err("this kernel enforces the rules for files, but not all of those for sockets and signals".to_owned())
        }
        RulesetStatus::NotEnforced => Err("this kernel has no landlock".to_owned()),
    }
}

fn seccomp() -> Result<(), String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let not_permitted = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    // glibc falls back from clone3, whose flags a filter cannot see, to clone, and from openat2 to openat.
    let not_there = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let unseen = BTreeMap::from([(libc::SYS_clone3, Vec::new()), (libc::SYS_openat2, Vec::new())]);
    install(unseen, not_there, arch)?;
    install(forbidden().map_err(|error| error.to_string())?, not_permitted, arch)
}

fn install(rules: BTreeMap<i64, Vec<SeccompRule>>, action: SeccompAction, arch: TargetArch) -> Result<(), String> {
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch).map_err(|error| error.to_string())?;
    let program: seccompiler::BpfProgram =
        filter.try_into().map_err(|error: seccompiler::BackendError| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}

/// System calls refused outright, whatever their arguments.
const REFUSED: &[i64] = &[
    // no network, and no descriptors handed over
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    // no other program, no other process
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    // no memory, queue or lock shared with others
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semctl,
    libc::SYS_semtimedop,
    libc::SYS_msgget,
    libc::SYS_msgctl,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    // no change of what it is or sees
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    libc::SYS_personality,
    libc::SYS_sethostname,
    // no file changed, even without landlock
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_mkdirat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_mknodat,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_truncate,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    // no way into the kernel that inference has a use for
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_fanotify_init,
];

/// The older forms of the same calls, which only this architecture has.
#[cfg(target_arch = "x86_64")]
const REFUSED_LEGACY: &[i64] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_creat,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_mknod,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_iopl,
    libc::SYS_ioperm,
];

#[cfg(not(target_arch = "x86_64"))]
const REFUSED_LEGACY: &[i64] = &[];

/// System calls that may name another process or thread, and the argument that does; 0 is the caller.
const OF_ITSELF: &[(i64, u8)] = &[
    (libc::SYS_prlimit64, 0),
    (libc::SYS_sched_setaffinity, 0),
    (libc::SYS_sched_setattr, 0),
    (libc::SYS_sched_setparam, 0),
    (libc::SYS_sched_setscheduler, 0),
    (libc::SYS_setpriority, 1),
    (libc::SYS_ioprio_set, 1),
];

fn forbidden() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().chain(REFUSED_LEGACY).map(|call| (*call, Vec::new())).collect();
    // Threads are made with clone, processes too: only the former are allowed.
    let thread = libc::CLONE_THREAD.unsigned_abs().into();
    rules.insert(libc::SYS_clone, vec![masked(0, thread, 0)?]);
    rules.insert(libc::SYS_openat, opens_for_writing(2)?);
    // An abort signals its own thread.
    rules.insert(libc::SYS_tgkill, vec![unlike(0, std::process::id().into())?]);
    for (call, argument) in OF_ITSELF {
        rules.insert(*call, vec![unlike(*argument, 0)?]);
    }
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, opens_for_writing(1)?);
    Ok(rules)
}

fn opens_for_writing(flags: u8) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let bit = |flag: libc::c_int| u64::from(flag.unsigned_abs());
    Ok(vec![
        masked(flags, bit(libc::O_ACCMODE), bit(libc::O_WRONLY))?,
        masked(flags, bit(libc::O_ACCMODE), bit(libc::O_RDWR))?,
        masked(flags, bit(libc::O_CREAT), bit(libc::O_CREAT))?,
        masked(flags, bit(libc::O_TRUNC), bit(libc::O_TRUNC))?,
    ])
}

fn unlike(argument: u8, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value)?;
    SeccompRule::new(vec![condition])
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), value)?;
    SeccompRule::new(vec![condition])
}

#[cfg(test)]
mod tests;
