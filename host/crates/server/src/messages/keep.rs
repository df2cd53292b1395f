//! Connections to the servers of an application, kept for as long as it is served.

use super::brokers::Kept;
use super::outage::{Kind, Next, Outage, Over};
use super::{Brokers, Plan, plans};
use crate::app::App;
use crate::handle::Handle;
use arc_swap::ArcSwap;
use bobbin_databases::redis::{Received, Subscription, SubscriptionError};
use bobbin_runtime::{DialError, Dialer, Duplex};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a server may take to be connected to.
const CONNECT: Duration = Duration::from_secs(10);

/// Why a server sends nothing.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("no connection within {} seconds", CONNECT.as_secs())]
    Slow,
    #[error(transparent)]
    Subscription(#[from] SubscriptionError),
}

impl Lost {
    fn kind(&self) -> Kind {
        match self {
            Self::Subscription(SubscriptionError::Refused(_)) => Kind::Refusing,
            Self::Dial(_) | Self::Slow | Self::Subscription(_) => Kind::Absent,
        }
    }
}

/// Has a connection for each server that the application names, until told to stop. When the application is replaced, which
/// `replaced` tells, connections whose channels stay the same stay.
pub(crate) async fn keep_subscribed<H: Handle>(
    current: Arc<ArcSwap<App<H>>>,
    brokers: Arc<Brokers>,
    replaced: Arc<Notify>,
    stop: CancellationToken,
) {
    let (dialer, tasks) = (Arc::new(Dialer::default()), TaskTracker::new());
    let mut kept: Vec<(Plan, CancellationToken)> = Vec::new();
    loop {
        let wanted = plans(&current.load().subscribed);
        kept.retain(|(plan, stop)| {
            let stays = wanted.contains(plan);
            if !stays {
                stop.cancel();
            }
            stays
        });
        for plan in wanted {
            if kept.iter().any(|(known, _)| *known == plan) {
                continue;
            }
            let (current, dialer, standing) = (Arc::clone(&current), Arc::clone(&dialer), brokers.keep(&plan));
            let keeper = Keeper { current, plan: plan.clone(), dialer, standing };
            let stop = stop.child_token();
            tasks.spawn(keeper.run(stop.clone()));
            kept.push((plan, stop));
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = replaced.notified() => {}
        }
    }
    tasks.close();
    tasks.wait().await;
}

/// Keeps one connection.
struct Keeper<H> {
    current: Arc<ArcSwap<App<H>>>,
    plan: Plan,
    dialer: Arc<Dialer>,
    standing: Kept,
}

impl<H: Handle> Keeper<H> {
    async fn run(self, stop: CancellationToken) {
        // What the connection is for ends with it: a message that waits for its place is given up.
        tokio::select! {
            () = stop.cancelled() => {}
            never = self.connect_again_and_again() => match never {},
        }
        // Another connection to the same server, for other channels, may be there already.
        let Self { current, plan, standing, .. } = self;
        let others = standing.end(&plan);
        current.load().metrics.connected(&plan.server.server(), others);
    }

    async fn connect_again_and_again(&self) -> std::convert::Infallible {
        let (server, mut outage) = (self.plan.server.server(), Outage::default());
        loop {
            let began = Instant::now();
            let Err(lost) = self.listen(&mut outage).await;
            self.connected(false);
            self.standing.failed(&lost.to_string());
            let kind = lost.kind();
            let Next { say, pause } = outage.failed(kind, began.elapsed(), chance());
            match kind {
                Kind::Absent if say => tracing::warn!(
                    %server,
                    "the Redis server of a trigger is not there: {lost}; it is asked again until it is, and what is \
                     published meanwhile is lost"
                ),
                Kind::Refusing if say => tracing::warn!(
                    %server,
                    "the Redis server of a trigger is there and lets nobody subscribe: {lost}; correct the user and the \
                     password in its address, or what they may do there; it is asked again until it does, and what is \
                     published meanwhile is lost"
                ),
                Kind::Absent | Kind::Refusing => {
                    tracing::debug!(%server, ?pause, "the Redis server of a trigger still sends nothing: {lost}");
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Listens for as long as there is somebody to listen to.
    async fn listen(&self, outage: &mut Outage) -> Result<std::convert::Infallible, Lost> {
        let mut subscription = match tokio::time::timeout(CONNECT, self.subscribe()).await {
            Ok(subscription) => subscription?,
            Err(_elapsed) => return Err(Lost::Slow),
        };
        loop {
            match subscription.next().await? {
                Received::Subscribed => {
                    self.connected(true);
                    self.standing.subscribed();
                    let (server, channels) = (self.plan.server.server(), self.plan.channels.len());
                    match outage.over() {
                        Over::Nothing => tracing::info!(%server, channels, "subscribed to a Redis server"),
                        Over::Waiting => {
                            tracing::warn!(%server, channels, "subscribed to a Redis server, which was waited for");
                        }
                        Over::Outage => tracing::warn!(%server, "the Redis server of a trigger is there again"),
                    }
                }
                Received::Message { channel, payload } => {
                    // A message meets the application that is served when it comes.
                    let app = self.current.load_full();
                    for subscribed in app.subscribed.iter().filter(|one| one.takes(&self.plan.server, &channel)) {
                        app.message(subscribed, payload.clone()).await;
                    }
                }
                Received::TooLong { channel, bytes } => {
                    let app = self.current.load();
                    let takers = app.subscribed.iter().filter(|one| one.takes(&self.plan.server, &channel));
                    takers.for_each(|subscribed| app.message_too_long(subscribed, bytes));
                }
            }
        }
    }

    async fn subscribe(&self) -> Result<Subscription<Box<dyn Duplex>>, Lost> {
        let (server, limit) = (&self.plan.server, self.current.load().limits.body_bytes);
        let stream = self.dialer.dial(&server.host, server.port, server.secure).await?;
        Ok(Subscription::open(server, stream, self.plan.channels.iter().map(|channel| &**channel), limit).await?)
    }

    fn connected(&self, is: bool) {
        self.current.load().metrics.connected(&self.plan.server.server(), is);
    }
}

/// A random number: the standard library's, which makes one for each hash map.
fn chance() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(0_u8);
    u32::try_from(random >> 32).unwrap_or(0)
}
