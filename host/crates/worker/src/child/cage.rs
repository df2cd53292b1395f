//! The cage: closed after the host has said what to load, before the file is opened.
//!
//! Weights are data from elsewhere, read by a large C++ program. What that program could be made to do is
//! bounded here: it reads its weights and the system's libraries, opens nothing for writing, makes no
//! socket, starts no program, touches no other process, has no capability left, and allocates no more than a model of
//! that size needs. A rule that this kernel
//! cannot enforce does not stop the worker; it is reported with the reason, and status shows it.
//!
//! A worker that computes on a GPU has a profile of its own. Its driver, opened before, has threads of its own, which the
//! system calls' filter reaches and landlock does not; it may open the GPU's device files again, and it reserves address
//! space far beyond any limit on data, for which the supervisor's watchdog over memory stands in.

mod calls;

use super::process::{self, DataMeter};
use calls::{REFUSED, REFUSED_LEGACY, REFUSED_REQUESTS};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
    make_bitflags, path_beneath_rules,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
    sock_filter,
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

/// What the drivers of GPUs read besides.
const READABLE_OF_GPUS: &[&str] = &[
    "/usr/share",
    "/etc/vulkan",
    "/etc/nvidia",
    "/proc/driver/nvidia",
    "/proc/devices",
    "/proc/modules",
    "/sys/bus/pci",
    "/sys/class/drm",
    "/sys/dev/char",
    "/sys/devices",
    "/sys/module",
];

/// The GPUs themselves, as far as they are there.
const GPUS: &[&str] = &["/dev/dri", "/dev/kfd", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"];
/// Of the first NVIDIA GPU the name ends in 0, and so on.
const MOST_GPUS: usize = 16;

/// Beyond the weights' own size: key-value cells, compute buffers and everything else, while loading.
const WHILE_LOADING: u64 = 4 << 30;
/// Beyond what the loaded model holds: requests, grammars, sampling.
const WHILE_SERVING: u64 = 1 << 30;
/// Address space of one compute thread. How many there are is decided while serving.
const THREAD: u64 = 16 << 20;

/// What a worker computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    /// The processor alone.
    Processor,
    /// A GPU, whose driver is open.
    Gpu,
}

/// The rules and whether each holds: name, and why not where not.
pub(super) struct Cage {
    rules: Vec<(String, Option<String>)>,
    meter: Option<DataMeter>,
}

impl Cage {
    /// Closes the cage around this thread and all threads it starts from now on.
    pub(super) fn close(weights: &Path, tokenizer: Option<&Path>, profile: Profile) -> Self {
        let meter = DataMeter::open();
        let mut rules = vec![("core_limit".to_owned(), None)];
        let mut rule = |name: &str, result: Result<(), String>| rules.push((name.to_owned(), result.err()));
        rule("capabilities", no_capabilities());
        let gpu = profile == Profile::Gpu;
        let landlocked = landlock(iter::once(weights).chain(tokenizer), gpu);
        // Files of devices are opened for writing, and only landlock can tell them from others.
        let writes = if gpu && landlocked.is_ok() { Writes::Landlocked } else { Writes::Refused };
        rule("landlock", landlocked);
        rule("seccomp", seccomp(writes, if gpu { Reach::Process } else { Reach::Thread }));
        let meter = match meter {
            Ok(_) if gpu => {
                rule("data_limit", Err("a GPU's driver reserves more than any limit would leave".to_owned()));
                None
            }
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

fn landlock<'a>(files: impl Iterator<Item = &'a Path>, gpu: bool) -> Result<(), String> {
    let abi = ABI::V6;
    let numbered = (0..MOST_GPUS).map(|number| format!("/dev/nvidia{number}"));
    let gpus: Vec<String> = GPUS.iter().map(|path| (*path).to_owned()).chain(numbered).filter(|_| gpu).collect();
    let readable = READABLE.iter().chain(READABLE_OF_GPUS.iter().filter(|_| gpu));
    let restrict = || {
        Ruleset::default()
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .scope(Scope::from_all(abi))?
            .create()?
            .add_rules(path_beneath_rules(files, AccessFs::ReadFile))?
            .add_rules(path_beneath_rules(readable, AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute))?
            .add_rules(path_beneath_rules(gpus, DEVICE))?
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

/// What is done with the file of a device.
const DEVICE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir | WriteFile | IoctlDev});

/// Who says which files are opened for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writes {
    /// None is.
    Refused,
    /// Landlock says it.
    Landlocked,
}

/// Whom a filter binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// This thread and those that it starts.
    Thread,
    /// Those that run already, too.
    Process,
}

fn seccomp(writes: Writes, reach: Reach) -> Result<(), String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let not_permitted = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    // glibc falls back from clone3, whose flags a filter cannot see, to clone, and from openat2 to openat.
    let not_there = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let unseen = BTreeMap::from([(libc::SYS_clone3, Vec::new()), (libc::SYS_openat2, Vec::new())]);
    #[cfg(target_arch = "x86_64")]
    apply(&other_numbers(), reach)?;
    install(unseen, not_there, arch, reach)?;
    install(forbidden(writes).map_err(|error| error.to_string())?, not_permitted, arch, reach)
}

fn install(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    action: SeccompAction,
    arch: TargetArch,
    reach: Reach,
) -> Result<(), String> {
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch).map_err(|error| error.to_string())?;
    let program: seccompiler::BpfProgram =
        filter.try_into().map_err(|error: seccompiler::BackendError| error.to_string())?;
    apply(&program, reach)
}

fn apply(program: &[sock_filter], reach: Reach) -> Result<(), String> {
    match reach {
        Reach::Thread => seccompiler::apply_filter(program),
        Reach::Process => seccompiler::apply_filter_all_threads(program),
    }
    .map_err(|error| error.to_string())
}

/// Refuses every call of x32. That is the same architecture to a filter, has each call under a number of its own, and is
/// there on some kernels; seccompiler compares numbers one by one and has no rule for a whole range.
#[cfg(target_arch = "x86_64")]
fn other_numbers() -> seccompiler::BpfProgram {
    let instruction = |code: u32, jt, k| sock_filter { code: code as u16, jt, jf: 0, k };
    let give = |verdict| instruction(libc::BPF_RET | libc::BPF_K, 0, verdict);
    vec![
        // The number is what a filter's data begins with.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 1, X32),
        give(libc::SECCOMP_RET_ALLOW),
        give(libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs()),
    ]
}

/// What x32 adds to a number.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

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

fn forbidden(writes: Writes) -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().chain(REFUSED_LEGACY).map(|call| (*call, Vec::new())).collect();
    // Threads are made with clone, processes too: only the former are allowed.
    let thread = libc::CLONE_THREAD.unsigned_abs().into();
    rules.insert(libc::SYS_clone, vec![masked(0, thread, 0)?]);
    // An abort signals its own thread.
    rules.insert(libc::SYS_tgkill, vec![unlike(0, std::process::id().into())?]);
    for (call, argument) in OF_ITSELF {
        rules.insert(*call, vec![unlike(*argument, 0)?]);
    }
    for (call, argument, requests) in REFUSED_REQUESTS {
        let refused = requests.iter().map(|request| like(*argument, *request)).collect::<Result<_, _>>()?;
        rules.insert(*call, refused);
    }
    if writes == Writes::Refused {
        rules.insert(libc::SYS_openat, opens_for_writing(2)?);
        #[cfg(target_arch = "x86_64")]
        rules.insert(libc::SYS_open, opens_for_writing(1)?);
    }
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

fn like(argument: u8, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)?;
    SeccompRule::new(vec![condition])
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
