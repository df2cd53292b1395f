//! Whether the machine did something else meanwhile: then its figures say less.

use crate::Result;
use anyhow::Context;

/// Processor time so far, in the kernel's ticks.
#[derive(Debug)]
pub struct Busy {
    /// Of all cores, idle time included.
    all: f64,
    /// Of it, what was neither idle nor waiting for disks.
    busy: f64,
    /// Of this process, and of those that it started and has seen end.
    own: f64,
}

impl Busy {
    /// So far.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn now() -> Result<Self> {
        let machine = std::fs::read_to_string("/proc/stat")?;
        let line = machine.lines().next().context("/proc/stat is empty")?;
        // user, nice, system, idle, iowait, irq, softirq, steal
        let times = numbers(line.split_whitespace().skip(1).take(8))?;
        let (all, idle) = (times.iter().sum::<f64>(), times.iter().skip(3).take(2).sum::<f64>());
        let own = std::fs::read_to_string("/proc/self/stat")?;
        let (_, rest) = own.rsplit_once(')').context("/proc/self/stat has no name")?;
        // utime, stime, and those of children
        let own = numbers(rest.split_whitespace().skip(11).take(4))?.iter().sum();
        Ok(Self { all, busy: all - idle, own })
    }

    /// The share of all cores that others had since then, in percent.
    #[must_use]
    pub fn others_since(&self, then: &Self) -> f64 {
        let others = (self.busy - then.busy) - (self.own - then.own);
        (others / (self.all - then.all) * 100.0).max(0.0)
    }
}

fn numbers<'a>(words: impl Iterator<Item = &'a str>) -> Result<Vec<f64>> {
    words.map(|word| word.parse().with_context(|| format!("no number: {word}"))).collect()
}
