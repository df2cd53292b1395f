//! What to say of a machine: a finding for each matter, and the next step where there is one.

use super::machine::Machine;
use bobbin_inference::wire::Examination;
use serde::Serialize;

/// Open files that a busy host may need: connections, and what guests open.
const ENOUGH_FILES: u64 = 4096;
/// Fewer than a host opens to start at all.
const TOO_FEW_FILES: u64 = 128;
/// Address space that the sandbox reserves, without using it: some gigabytes for each instance. With less than this not
/// even a few fit.
const ENOUGH_ADDRESSES: u64 = 1 << 40;
/// Memory in which the smallest of models run beside a host.
const LITTLE_MEMORY: u64 = 256 << 20;
/// Memory that is worth having for models that people use.
const MODEST_MEMORY: u64 = 2 << 30;

/// How it stands with a matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// It runs, and could run faster or safer.
    Note,
    /// It does not run.
    Fails,
}

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Fails => "FAILS",
        }
    }
}

/// What there is to say of one matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) about: &'static str,
    pub(super) state: State,
    pub(super) says: String,
    /// What to do about it.
    pub(super) next: Option<String>,
}

impl Finding {
    pub(super) fn ok(about: &'static str, says: impl Into<String>) -> Self {
        Self { about, state: State::Ok, says: says.into(), next: None }
    }

    pub(super) fn note(about: &'static str, says: impl Into<String>, next: impl Into<String>) -> Self {
        Self { about, state: State::Note, says: says.into(), next: Some(next.into()) }
    }

    fn fails(about: &'static str, says: impl Into<String>, next: impl Into<String>) -> Self {
        Self { state: State::Fails, ..Self::note(about, says, next) }
    }
}

/// Everything there is to say, what prevents running included.
pub(super) fn judge(machine: &Machine) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("build", format!("bobbin {}", machine.build)), processor(machine)];
    findings.extend(worker(machine));
    findings.extend([cores(machine), memory(machine)]);
    findings.extend(gpu(machine));
    if let Ok(found) = &machine.worker {
        findings.extend(cage(found));
    }
    findings.extend([open_files(machine), addresses(machine)]);
    findings.extend(huge_pages(machine));
    findings.extend(slices(machine));
    findings
}

fn processor(machine: &Machine) -> Finding {
    let name = machine.processor.as_deref().unwrap_or("unknown");
    let names = |wanted: fn(bool, bool) -> bool| {
        let chosen = machine.features.iter().filter(|feature| wanted(feature.has, feature.used));
        chosen.map(|feature| feature.name).collect::<Vec<_>>().join(" ")
    };
    let used = names(|has, used| has && used);
    let used = if used.is_empty() { "none of its vector units".to_owned() } else { used };
    let (unused, absent) = (names(|has, used| has && !used), names(|has, used| !has && used));
    if !absent.is_empty() {
        let says = format!("{name}: this build uses {absent}, which it does not have");
        return Finding::fails("processor", says, "build on this machine, or as the README says for other machines");
    }
    if unused.is_empty() {
        return Finding::ok("processor", format!("{name}; this build uses {used}, all that it has"));
    }
    let says = format!("{name}; this build uses {used}, and not {unused}");
    Finding::note(
        "processor",
        says,
        "build on this machine (`cargo xtask build`, without RUSTFLAGS): it computes faster",
    )
}

fn worker(machine: &Machine) -> Vec<Finding> {
    match &machine.worker {
        Ok(found) => {
            vec![Finding::ok("llama.cpp", account(&found.system))]
        }
        Err(why) => vec![Finding::fails("worker", why, "no model can run; mend what it says, then look again")],
    }
}

/// llama.cpp's own account, such as `CPU : SSE3 = 1 | AVX2 = 1 | AVX512 = 0 |`, without what is switched off.
fn account(system: &str) -> String {
    let mut says = String::new();
    for part in system.split('|').map(str::trim).filter(|part| !part.is_empty()) {
        let (group, rest) = part.split_once(" : ").map_or(("", part), |(group, rest)| (group, rest));
        if !group.is_empty() {
            says.push_str(if says.is_empty() { "" } else { "; " });
            says.push_str(&format!("{}:", group.trim()));
        }
        let word = match rest.split_once(" = ") {
            Some((_, "0")) => continue,
            Some((name, "1")) => name.trim().to_owned(),
            Some((name, value)) => format!("{} {}", name.trim(), value.trim()),
            None => rest.trim().to_owned(),
        };
        says.push_str(if says.is_empty() { "" } else { " " });
        says.push_str(&word);
    }
    if says.is_empty() { "it says nothing of itself".to_owned() } else { says }
}

fn cores(machine: &Machine) -> Finding {
    let count = |count: Option<u32>| count.map_or_else(|| "unknown".to_owned(), |count| count.to_string());
    let mut says = format!("{} of {}", count(machine.usable), count(machine.processors));
    if let Some(cores) = machine.limits.cores {
        says.push_str(&format!(", limited to the time of {cores:.1}"));
    }
    match machine.limits.throttled {
        Some((throttled, periods)) if throttled.saturating_mul(20) > periods => Finding::note(
            "cores",
            format!("{says}; in {throttled} of {periods} periods this group had to wait for its time"),
            "raise the group's limit (cpu.max, or a container's CPU limit): answers stall whenever it is used up",
        ),
        _ if machine.usable.zip(machine.processors).is_some_and(|(usable, all)| usable < all) => {
            Finding::note("cores", says, "more of them would compute: see taskset, cpusets and a container's CPU limit")
        }
        _ => Finding::ok("cores", says),
    }
}

fn memory(machine: &Machine) -> Finding {
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    let Some(available) = machine.available else {
        return Finding::note("memory", "unknown: the kernel does not say", "say --model-memory at `bobbin up`");
    };
    let of = machine.memory.map_or_else(String::new, |memory| format!(" of {}", gib(memory)));
    let limit = machine.limits.memory.map_or_else(String::new, |limit| format!(", limited to {}", gib(limit)));
    let says = format!("{} available{of}{limit}", gib(available));
    if available < LITTLE_MEMORY {
        return Finding::fails("memory", says, "end something else, or raise the limit: no model fits");
    }
    if available < MODEST_MEMORY {
        return Finding::note(
            "memory",
            says,
            "small models fit; end something else, or raise the limit, for larger ones",
        );
    }
    Finding::ok("memory", says)
}

fn gpu(machine: &Machine) -> Vec<Finding> {
    let unusable = machine.gpus.unusable.iter();
    let mut findings: Vec<Finding> =
        unusable.map(|why| Finding::note("gpu", why, "docs/gpu.md says what a worker for a GPU needs")).collect();
    match &machine.gpus.gpu {
        Some(gpu) => findings.push(Finding::ok("gpu", gpu.shown())),
        None if !findings.is_empty() => {}
        None if machine.devices.is_empty() => findings.push(Finding::ok("gpu", "none; the processor computes")),
        None => findings.push(Finding::note(
            "gpu",
            format!("{} is there, and no worker for it; the processor computes", machine.devices.join(", ")),
            "install bobbin-worker-cuda or bobbin-worker-vulkan beside bobbin, as docs/gpu.md says",
        )),
    }
    findings
}

fn cage(found: &Examination) -> Vec<Finding> {
    let missing = found.cage.iter().filter_map(|(rule, why)| Some((rule, why.as_ref()?)));
    let next = |rule: &str| match rule {
        "landlock" => {
            "use a kernel with landlock switched on (Linux 6.12 and later have all of it); workers run, less bounded"
        }
        "seccomp" => "use a kernel with seccomp, or a container that allows it; workers run, less bounded",
        _ => "see what forbids it here; workers run, less bounded",
    };
    let mut findings: Vec<Finding> =
        missing.map(|(rule, why)| Finding::note("cage", format!("{rule} does not hold: {why}"), next(rule))).collect();
    let held = found.cage.iter().filter(|(_, why)| why.is_none()).map(|(rule, _)| match rule.as_str() {
        "landlock" => format!("landlock (ABI {})", found.landlock_abi),
        other => other.to_owned(),
    });
    let held: Vec<String> = held.collect();
    if !held.is_empty() {
        findings.insert(0, Finding::ok("cage", format!("workers are held by {}", held.join(", "))));
    }
    findings
}

fn open_files(machine: &Machine) -> Finding {
    let (current, maximum) = machine.open_files;
    let shown = |limit: Option<u64>| limit.map_or_else(|| "any number".to_owned(), |limit| limit.to_string());
    let says = match current == maximum {
        true => shown(current),
        false => format!("{}, which may be raised to {}", shown(current), shown(maximum)),
    };
    let next = "raise the limit (`ulimit -n 65536`, LimitNOFILE= in systemd)";
    if maximum.is_some_and(|maximum| maximum < TOO_FEW_FILES) {
        return Finding::fails("open files", says, format!("{next}: a host cannot start with so few"));
    }
    if current.is_some_and(|current| current < ENOUGH_FILES) && maximum.is_some_and(|maximum| maximum < ENOUGH_FILES) {
        return Finding::note("open files", says, format!("{next}: many connections need more"));
    }
    Finding::ok("open files", says)
}

fn addresses(machine: &Machine) -> Finding {
    match machine.address_space {
        Some(limit) if limit < ENOUGH_ADDRESSES => Finding::fails(
            "addresses",
            format!("{} MiB of address space, which the sandbox's reservations do not fit into", limit >> 20),
            "lift the limit (`ulimit -v unlimited`): reserved addresses take no memory",
        ),
        Some(_) | None => Finding::ok("addresses", "not limited to less than the sandbox reserves"),
    }
}

fn huge_pages(machine: &Machine) -> Option<Finding> {
    let chosen = machine.huge_pages.as_deref()?;
    Some(if chosen == "always" {
        Finding::ok("huge pages", "transparent ones for workers; the host takes none")
    } else {
        let next = "`echo always > /sys/kernel/mm/transparent_hugepage/enabled`, as root: matrices are read faster; the host itself takes none";
        Finding::note("huge pages", format!("transparent ones are set to {chosen}, so workers get none"), next)
    })
}

fn slices(machine: &Machine) -> Option<Finding> {
    let found = machine.worker.as_ref().ok()?;
    Some(if found.short_slices {
        Finding::ok(
            "kernel",
            format!("Linux {}; threads that answer take short slices of processor time", machine.kernel),
        )
    } else {
        let says = format!("Linux {} keeps no short slices of processor time", machine.kernel);
        Finding::note("kernel", says, "Linux 6.12 or later answers sooner while a model computes on few cores")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::cgroup::Limits;
    use crate::doctor::cpu::Feature;
    use bobbin_inference::wire::Greeting;
    use bobbin_worker::supervisor::Search;

    fn good() -> Machine {
        Machine {
            build: "1".into(),
            processor: Some("a processor".into()),
            features: vec![Feature { name: "avx2", has: true, used: true }],
            worker: Ok(Examination {
                greeting: Greeting::ours(),
                system: "CPU : AVX2 = 1 | ".into(),
                cage: vec![("landlock".into(), None), ("seccomp".into(), None)],
                landlock_abi: 6,
                short_slices: true,
            }),
            processors: Some(2),
            usable: Some(2),
            limits: Limits::default(),
            memory: Some(8 << 30),
            available: Some(7 << 30),
            gpus: Search::default(),
            devices: Vec::new(),
            huge_pages: Some("always".into()),
            open_files: (Some(1024), Some(1 << 20)),
            address_space: None,
            kernel: "6.18".into(),
        }
    }

    /// What is said that is not as it should be.
    fn said(change: impl FnOnce(&mut Machine)) -> Vec<(State, String)> {
        let mut machine = good();
        change(&mut machine);
        let findings = judge(&machine).into_iter().filter(|finding| finding.state != State::Ok);
        findings.map(|finding| (finding.state, format!("{}: {}", finding.says, finding.next.unwrap()))).collect()
    }

    #[test]
    fn llama_cpps_account_is_told_without_what_is_switched_off() {
        let system = "CPU : SSE3 = 1 | AVX2 = 1 | AVX512 = 0 | OPENMP = 1 | REPACK = 1 | CUDA : ARCHS = 900 | ";
        assert_eq!(account(system), "CPU: SSE3 AVX2 OPENMP REPACK; CUDA: ARCHS 900");
        assert_eq!(account(""), "it says nothing of itself");
    }

    #[test]
    fn limits_that_cannot_be_raised_are_told_once() {
        let mut machine = good();
        machine.open_files = (Some(20_000), Some(20_000));
        assert_eq!(open_files(&machine).says, "20000");
    }

    #[test]
    fn a_good_machine_has_nothing_to_do() {
        assert_eq!(said(|_| {}), []);
    }

    #[test]
    fn whatever_is_amiss_is_said_once_with_the_next_step() {
        let feature = |has, used| vec![Feature { name: "avx512f", has, used }];
        let unheld = |machine: &mut Machine| {
            if let Ok(found) = &mut machine.worker {
                found.cage = vec![("landlock".into(), Some("this kernel has no landlock".into()))];
            }
        };
        type Change = Box<dyn FnOnce(&mut Machine)>;
        let cases: Vec<(Change, State, &[&str])> = vec![
            (Box::new(move |m| m.features = feature(true, false)), State::Note, &["not avx512f", "cargo xtask build"]),
            (Box::new(move |m| m.features = feature(false, true)), State::Fails, &["does not have", "README"]),
            (Box::new(|m| m.worker = Err("no worker can be started".into())), State::Fails, &["no model can run"]),
            (Box::new(|m| m.usable = Some(1)), State::Note, &["1 of 2", "taskset"]),
            (Box::new(|m| m.limits.throttled = Some((50, 100))), State::Note, &["50 of 100", "cpu.max"]),
            (Box::new(|m| m.available = Some(100 << 20)), State::Fails, &["no model fits"]),
            (Box::new(|m| m.available = Some(1 << 30)), State::Note, &["small models fit"]),
            (Box::new(|m| m.available = None), State::Note, &["--model-memory"]),
            (Box::new(|m| m.devices = vec!["/dev/nvidia0"]), State::Note, &["/dev/nvidia0", "docs/gpu.md"]),
            (
                Box::new(|m| m.gpus.unusable = vec!["it is broken".into()]),
                State::Note,
                &["it is broken", "docs/gpu.md"],
            ),
            (Box::new(unheld), State::Note, &["no landlock", "less bounded"]),
            (Box::new(|m| m.open_files = (Some(64), Some(64))), State::Fails, &["64", "ulimit -n"]),
            (Box::new(|m| m.open_files = (Some(1024), Some(2048))), State::Note, &["2048", "LimitNOFILE"]),
            (Box::new(|m| m.address_space = Some(8 << 30)), State::Fails, &["8192 MiB", "ulimit -v"]),
            (Box::new(|m| m.huge_pages = Some("never".into())), State::Note, &["never", "transparent_hugepage"]),
            (
                Box::new(|m| {
                    if let Ok(found) = &mut m.worker {
                        found.short_slices = false;
                    }
                }),
                State::Note,
                &["6.18", "6.12"],
            ),
        ];
        for (change, state, parts) in cases {
            let said = said(change);
            let [(found, text)] = said.as_slice() else { panic!("{parts:?}: {said:?}") };
            assert_eq!(*found, state, "{text}");
            parts.iter().for_each(|part| assert!(text.contains(part), "{part} is not in {text}"));
        }
    }
}
