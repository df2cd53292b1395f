//! Hosts that give up what is being computed: at most the step in hand is still computed of it, and its place is another's
//! in the next one.

use super::super::super::serve;
use super::*;
use bobbin_inference::OptionsPatch;
use std::ops::ControlFlow;

const PARALLEL: u32 = 32;
const CONTEXT: u32 = 128;
/// As many as may wait for cells at once.
const CLIENTS: u64 = 500;
const ROUNDS: u64 = 2;
/// Hosts that give up during one step.
const AT_ONCE: usize = 4;
/// The tokens of a story's beginning: fewer than are kept for others when a session is over.
const PROMPT: [Token; 8] = [1, 348, 326, 1736, 261, 538, 357, 873];

/// An engine whose clients all leave before their answers end, while it computes.
struct Leaving {
    generator: Generator,
    helpers: Receiver<Event>,
    sent: Receiver<Vec<u8>>,
    /// The host's way to the engine, whose loop ends with it.
    host: Option<SyncSender<Event>>,
    arrived: u64,
    /// Given up during the step before, and how many tokens their sequences had then.
    leaving: Vec<(CallId, usize)>,
    gone: HashSet<CallId>,
    /// Of how many the step in hand was still computed.
    went_on: usize,
}

impl Leaving {
    /// Clients arrive, who want as long an answer as there can be: so those that are admitted hold all cells.
    fn arrive(&mut self, out: &mut Outbox) {
        let vocabulary = Arc::clone(&self.generator.desk.vocabulary);
        let ends = (0..vocabulary.size()).filter(|token| vocabulary.is_end(*token)).map(|token| (token, -100.0));
        let patch = OptionsPatch {
            max_tokens: Some(CONTEXT),
            temperature: Some(0.0),
            stream: Some(true),
            ..OptionsPatch::default()
        };
        let mut options = patch.resolve(&OptionsPatch::default()).unwrap();
        options.sampling.logit_bias = ends.collect();
        for call in self.arrived + 1..=self.arrived + CLIENTS {
            let work = Work::Generate { prompt: Prompt::Tokens(PROMPT.to_vec()), options: options.clone() };
            let asked = ToWorker::Compute { session: call, call, context: context(call), credit: 1_000_000, work };
            self.generator.receive(Event::Host(asked), out);
        }
        self.arrived += CLIENTS;
        for _ in 0..CLIENTS {
            let prepared = self.helpers.recv_timeout(Duration::from_secs(60)).unwrap();
            self.generator.receive(prepared, out);
        }
    }

    /// What a host sends while a step is computed; the engine finds it after the step.
    fn say(&self, message: ToWorker) {
        self.host.as_ref().unwrap().try_send(Event::Host(message)).unwrap();
    }

    /// Nothing is sent to who was gone before the last step.
    fn check_frames(&self) {
        for frame in frames(&self.sent) {
            match frame {
                FromWorker::Stats(_) => {}
                FromWorker::Piece { call, finish: None, .. } => {
                    assert!(!self.gone.contains(&call), "a piece of {call}, which is gone");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Those who gave up during the step before are out of everything, one token further at most.
    fn check_leaving(&mut self) {
        for (call, before) in std::mem::take(&mut self.leaving) {
            let (desk, session) = (&self.generator.desk, Key::Session(call));
            assert!(!desk.calls.contains_key(&call), "{call} is still in hand");
            assert!(desk.schedule.running().all(|running| running != call), "{call} still runs");
            let further = desk.schedule.history(session).len() - before;
            assert!(further <= 1, "{further} tokens of {call} after it was given up");
            self.went_on += further;
            self.gone.insert(call);
            self.say(ToWorker::Close { session: call });
        }
    }

    /// Nobody is left: all that they held is free. Others arrive, if more are to come.
    fn next_round(&mut self, out: &mut Outbox) -> ControlFlow<()> {
        let stats = self.generator.stats();
        assert_eq!((stats.running, stats.waiting, stats.sequences, stats.cells_reserved), (0, 0, 0, 0));
        assert_eq!(stats.cancelled, self.arrived);
        if self.arrived == CLIENTS * ROUNDS {
            return ControlFlow::Break(());
        }
        self.arrive(out);
        ControlFlow::Continue(())
    }
}

impl Machine for Leaving {
    fn receive(&mut self, event: Event, out: &mut Outbox) {
        self.generator.receive(event, out);
    }

    fn expire(&mut self, now: Instant, out: &mut Outbox) -> Option<Instant> {
        self.generator.expire(now, out)
    }

    fn step(&mut self, out: &mut Outbox) -> bool {
        self.check_frames();
        let all_closed = self.leaving.is_empty();
        self.check_leaving();
        if all_closed && self.generator.desk.calls.is_empty() && self.next_round(out).is_break() {
            self.host = None;
            return true;
        }
        let schedule = &self.generator.desk.schedule;
        let tokens = |call| (call, schedule.history(Key::Session(call)).len());
        self.leaving = schedule.running().take(AT_ONCE).map(tokens).collect();
        self.leaving.iter().for_each(|(call, _)| self.say(ToWorker::Cancel { call: *call }));

        self.generator.step(out);
        // The place of everybody who had gone before this step is taken, by another where one waits.
        let (stats, left) = (self.generator.stats(), self.generator.desk.calls.len());
        let most = PARALLEL as usize;
        assert_eq!(stats.running as usize, left.min(most), "{left} are left: {stats:?}");
        if left >= most {
            assert_eq!(stats.cells_reserved, stats.cells, "all of them, or a leak would not show: {stats:?}");
        }
        true
    }

    fn stats(&mut self) -> WorkerStats {
        self.generator.stats()
    }
}

#[test]
fn a_thousand_times_what_is_given_up_ends_with_the_step_in_hand_and_its_place_is_free() {
    let storyteller = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../models/storyteller/1.0.0/storyteller-q8_0.gguf");
    let Started { generator, helpers, mut out, sent } = start(storyteller.into(), CONTEXT, PARALLEL);
    let (host, events) = sync_channel(4 * AT_ONCE);
    let (leaving, gone) = (Vec::new(), HashSet::new());
    let mut clients = Leaving { generator, helpers, sent, host: Some(host), arrived: 0, leaving, gone, went_on: 0 };
    serve(&mut clients, &events, &mut out);
    assert_eq!(clients.gone.len() as u64, CLIENTS * ROUNDS);
    assert_eq!(clients.generator.stats().overcommits, 0);
    assert!(clients.went_on > clients.gone.len() / 2, "{} were computing when they were given up", clients.went_on);
}
