//! The processes among which the cores are divided, and how each of them hears of its part.
//!
//! A process is busy from its first open call until some time after its last, so that a pause between two requests
//! does not move threads to and fro. Whenever the set of busy processes changes, each of them is told its threads,
//! and the one that begins is told before it hears of its call.

use super::cpu::{Division, SeatId};
use bobbin_inference::Class;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The cores that compute, divided among busy workers. Clones are the same budget.
#[derive(Debug, Clone)]
pub(super) struct CpuBudget(Arc<Mutex<Table>>);

#[derive(Debug)]
struct Table {
    division: Division,
    seated: HashMap<SeatId, Seated>,
}

struct Seated {
    tell: Tell,
    /// The threads that the process computes with, as it was told last.
    told: u32,
    /// Calls in its hands.
    open: u32,
    /// Since when there are none.
    empty_since: Instant,
}

/// Where a process will sit once it is ready.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) budget: CpuBudget,
    pub(super) class: Class,
    /// The threads that it is loaded with.
    pub(super) threads: u32,
    /// The most that it ever gets: what its bundle says, or beyond which its model gets slower.
    pub(super) most: u32,
}

/// Tells a process its number of threads; must not block, nor come back to the budget.
pub(super) type Tell = Box<dyn Fn(u32) + Send>;

/// One process's place at the budget. Dropping it leaves its part to the others, as [`Seat::leave`] does.
#[derive(Debug)]
pub(super) struct Seat {
    budget: CpuBudget,
    id: SeatId,
    emptied: Notify,
}

/// A call in a process's hands: the process is busy until this is dropped, and a little longer.
#[derive(Debug)]
pub(super) struct Occupied(Arc<Seat>);

/// A process that loads. Dropping it says that it does so no more.
#[derive(Debug)]
pub(super) struct Loading {
    budget: CpuBudget,
    threads: u32,
}

impl CpuBudget {
    /// A budget of so many cores; 0 counts as 1.
    pub(super) fn new(cores: u32) -> Self {
        Self(Arc::new(Mutex::new(Table { division: Division::new(cores), seated: HashMap::new() })))
    }

    /// Processes that are ready.
    #[cfg(test)]
    pub(super) fn seated(&self) -> usize {
        self.0.lock().seated.len()
    }

    /// A process begins to load.
    pub(super) fn load(&self, class: Class) -> Loading {
        Loading { budget: self.clone(), threads: self.0.lock().division.begin_load(class) }
    }
}

impl Place {
    /// The process is ready. It computes with the threads that it was loaded with until it is told otherwise through
    /// `tell`.
    pub(super) fn take(&self, tell: Tell) -> Arc<Seat> {
        let Self { budget, class, threads, most } = self;
        let mut table = budget.0.lock();
        let id = table.division.join(*class, *most);
        table.seated.insert(id, Seated { tell, told: *threads, open: 0, empty_since: Instant::now() });
        drop(table);
        Arc::new(Seat { budget: budget.clone(), id, emptied: Notify::new() })
    }
}

impl Loading {
    /// Compute threads for the load.
    pub(super) fn threads(&self) -> u32 {
        self.threads
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        self.budget.0.lock().division.end_load();
    }
}

impl Seat {
    /// The process gets a call. It, and everybody whose part changes, is told before this returns.
    pub(super) fn occupy(self: &Arc<Self>) -> Occupied {
        let mut table = self.budget.0.lock();
        if let Some(seated) = table.seated.get_mut(&self.id) {
            seated.open += 1;
        }
        table.set_busy(self.id, true);
        drop(table);
        Occupied(Arc::clone(self))
    }

    /// Ends the process's being busy, whenever it had nothing to do for so long. Runs beside the process, always.
    pub(super) async fn rest(&self, after: Duration) -> Infallible {
        loop {
            // Emptied again meanwhile, it is notified again, and rests later.
            self.emptied.notified().await;
            tokio::time::sleep(after).await;
            let mut table = self.budget.0.lock();
            let rests = |seated: &Seated| seated.open == 0 && seated.empty_since.elapsed() >= after;
            if table.seated.get(&self.id).is_some_and(rests) {
                table.set_busy(self.id, false);
            }
        }
    }

    /// The process is gone.
    pub(super) fn leave(&self) {
        let mut table = self.budget.0.lock();
        table.division.leave(self.id);
        if table.seated.remove(&self.id).is_some() {
            table.tell();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        let seat = &self.0;
        let mut table = seat.budget.0.lock();
        let Some(seated) = table.seated.get_mut(&seat.id) else { return };
        seated.open = seated.open.saturating_sub(1);
        if seated.open == 0 {
            seated.empty_since = Instant::now();
            seat.emptied.notify_one();
        }
    }
}

impl Table {
    fn set_busy(&mut self, seat: SeatId, busy: bool) {
        if self.division.set_busy(seat, busy) {
            self.tell();
        }
    }

    /// Tells every busy process whose part has changed.
    fn tell(&mut self) {
        for (id, share) in self.division.shares() {
            if let Some(seated) = self.seated.get_mut(&id)
                && seated.told != share
            {
                seated.told = share;
                (seated.tell)(share);
            }
        }
    }
}

impl fmt::Debug for Seated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { told, open, .. } = self;
        f.debug_struct("Seated").field("told", told).field("open", open).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};

    fn seat(budget: &CpuBudget, threads: u32) -> (Arc<Seat>, Receiver<u32>) {
        let (sender, told) = channel();
        let place = Place { budget: budget.clone(), class: Class::Serving, threads, most: u32::MAX };
        (place.take(Box::new(move |threads| sender.send(threads).unwrap())), told)
    }

    fn heard(told: &Receiver<u32>) -> Vec<u32> {
        told.try_iter().collect()
    }

    #[test]
    fn everybody_busy_is_told_when_another_begins_or_goes() {
        let budget = CpuBudget::new(4);
        let ((first, first_told), (second, second_told)) = (seat(&budget, 4), seat(&budget, 4));
        let one = first.occupy();
        assert_eq!((heard(&first_told), heard(&second_told)), (vec![], vec![]), "nothing is new to either");
        let two = second.occupy();
        assert_eq!((heard(&first_told), heard(&second_told)), (vec![2], vec![2]));
        let more = second.occupy();
        assert_eq!((heard(&first_told), heard(&second_told)), (vec![], vec![]));
        second.leave();
        assert_eq!((heard(&first_told), heard(&second_told)), (vec![4], vec![]));
        drop((one, two, more));
        assert!(second_told.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_pause_between_two_calls_moves_no_threads_and_a_longer_one_does() {
        let budget = CpuBudget::new(2);
        let ((first, first_told), (second, second_told)) = (seat(&budget, 2), seat(&budget, 2));
        let (_held, call) = (first.occupy(), second.occupy());
        assert_eq!((heard(&first_told), heard(&second_told)), (vec![1], vec![1]));
        drop(call);
        let patient = second.rest(Duration::from_secs(3600));
        tokio::pin!(patient);
        assert!(futures::poll!(&mut patient).is_pending());
        assert_eq!(heard(&first_told), Vec::<u32>::new());
        drop(second.occupy());
        tokio::select! {
            never = second.rest(Duration::from_millis(1)) => match never {},
            () = async {
                while first_told.try_recv() != Ok(2) {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
        let _again = second.occupy();
        assert_eq!((heard(&first_told), heard(&second_told)), (vec![1], vec![]), "its own part is what it was");
    }

    #[test]
    fn a_load_that_is_over_leaves_its_threads() {
        let budget = CpuBudget::new(5);
        let first = budget.load(Class::Serving);
        assert_eq!((first.threads(), budget.load(Class::Serving).threads()), (4, 2));
        assert_eq!(budget.load(Class::Serving).threads(), 2);
        drop(first);
        assert_eq!(budget.load(Class::Serving).threads(), 4);
    }
}
