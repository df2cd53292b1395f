//! What a behaviour needs besides the host: servers of its own, and components that are not always built.

use crate::{Asked, MqttBroker, PostgresServer, RedisServer, Result, Subscriber, Web, python_component};
use anyhow::{Context, ensure};
use serde::Deserialize;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Need {
    /// A Redis server, without a password.
    Redis,
    /// A PostgreSQL server; its user is `spin`, with the password `hunter2`, and its database `postgres`.
    Postgres,
    /// An MQTT broker that takes messages from everybody.
    Mqtt,
    /// A web server that answers `outside`.
    Web,
    /// The component that is written in Python.
    Python,
}

/// Those that were started. They end with the behaviour.
#[derive(Default)]
pub(super) struct Servers {
    redis: Option<RedisServer>,
    postgres: Option<PostgresServer>,
    mqtt: Option<(MqttBroker, Subscriber)>,
    web: Option<Web>,
}

impl Servers {
    /// Starts what is needed. `None` where something is not there, after saying so.
    ///
    /// # Errors
    /// When a server does not come up, or is named twice.
    pub(super) async fn start(needs: &[Need]) -> Result<Option<Self>> {
        let mut servers = Self::default();
        for (index, need) in needs.iter().enumerate() {
            ensure!(!needs.iter().take(index).any(|before| before == need), "{need:?} is needed twice");
            let there = match need {
                Need::Redis => {
                    servers.redis = RedisServer::start(None).await?;
                    servers.redis.is_some()
                }
                Need::Postgres => {
                    servers.postgres = PostgresServer::start().await?;
                    servers.postgres.is_some()
                }
                Need::Mqtt => {
                    if let Some(broker) = MqttBroker::start(true).await? {
                        let subscriber = Subscriber::to(&broker).await?;
                        servers.mqtt = Some((broker, subscriber));
                    }
                    servers.mqtt.is_some()
                }
                Need::Web => {
                    servers.web = Some(Web::start().await?);
                    true
                }
                Need::Python => python_component().is_some(),
            };
            if !there {
                return Ok(None);
            }
        }
        Ok(Some(servers))
    }

    /// The port of each: an application has it in the variable `<name>_port`.
    pub(super) fn ports(&self) -> impl Iterator<Item = (&'static str, u16)> {
        let redis = self.redis.as_ref().map(|server| ("redis", server.port()));
        let postgres = self.postgres.as_ref().map(|server| ("postgres", server.port()));
        let mqtt = self.mqtt.as_ref().map(|(broker, _)| ("mqtt", broker.port()));
        let web = self.web.as_ref().map(|web| ("web", web.port()));
        [redis, postgres, mqtt, web].into_iter().flatten()
    }

    /// What the web server was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.web.as_ref().map(Web::asked).unwrap_or_default()
    }

    /// The next message that the broker hands on: its topic, and its text.
    ///
    /// # Errors
    /// When there is no broker, or its connection breaks.
    pub(super) async fn next_message(&mut self) -> Result<(String, String)> {
        let (_, subscriber) = self.mqtt.as_mut().context("messages are expected, and no broker is needed")?;
        subscriber.next().await
    }
}
