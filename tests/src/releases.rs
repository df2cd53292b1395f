//! Releases, through the admin API of a running host.

use crate::admin_events::AdminEvents;
use crate::client::{Answer, Events};
use crate::{Result, TestHost};
use anyhow::{Context, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};

/// One release of a host.
#[derive(Debug, Clone)]
pub struct TestRelease<'a> {
    host: &'a TestHost,
    id: String,
}

impl TestHost {
    /// A release, by its id or its graph name.
    #[must_use]
    pub fn release(&self, id: &str) -> TestRelease<'_> {
        TestRelease { host: self, id: id.to_owned() }
    }

    /// Any request on the admin listener.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn admin_send(&self, method: Method, path: &str, body: String) -> Result<Answer> {
        let url = format!("http://{}{path}", self.admin_addr());
        Answer::read(self.client().request(method, url).header("bobbin-actor", "a test").body(body).send().await?).await
    }

    /// Listens to events: from now on, or first to all that came after a number (0: since the host started).
    ///
    /// # Errors
    /// When the host refuses.
    pub async fn events(&self, after: Option<u64>) -> Result<AdminEvents> {
        let mut request = self.client().get(format!("http://{}/admin/v1/events", self.admin_addr()));
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        AdminEvents::open(request.send().await?).await
    }

    /// POST on the admin listener, whose answer is read event by event. It is dropped to leave early.
    ///
    /// # Errors
    /// When no head comes, or another status than 200.
    pub async fn admin_stream(&self, path: &str, body: &Value) -> Result<Events> {
        let url = format!("http://{}{path}", self.admin_addr());
        let response = self.client().post(url).body(body.to_string()).send().await?;
        if response.status() != 200 {
            bail!("{}: {}", response.status(), response.text().await?);
        }
        Ok(Events::new(response))
    }

    /// The bundles that the host knows, by `name@version`.
    ///
    /// # Errors
    /// When the answer is no list.
    pub async fn bundles(&self) -> Result<Vec<Value>> {
        list(&self.admin("/admin/v1/bundles").await?.json()?, "bundles")
    }

    /// Resident memory of the host and its workers together, in bytes.
    ///
    /// # Errors
    /// When one of them ends meanwhile.
    pub fn resident_bytes(&self) -> Result<u64> {
        let workers = self.workers()?;
        workers.into_iter().chain([self.pid()?]).map(crate::memory::resident).sum()
    }

    /// Resident bytes of the host's own process.
    ///
    /// # Errors
    /// When the host has ended.
    pub fn own_resident_bytes(&self) -> Result<u64> {
        crate::memory::resident(self.pid()?)
    }

    /// Ids of the worker processes of one bundle version.
    ///
    /// # Errors
    /// When the host has ended.
    pub fn workers_of(&self, bundle: &str) -> Result<Vec<u32>> {
        let of = |pid: &u32| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split('\0').any(|word| word == bundle)
        };
        Ok(self.workers()?.into_iter().filter(of).collect())
    }
}

impl TestRelease<'_> {
    /// The release as it is.
    ///
    /// # Errors
    /// When the host has no such release.
    pub async fn show(&self) -> Result<Value> {
        let answer = self.host.admin(&self.path("")).await?;
        ensure!(answer.status() == 200, "{}: {}", answer.status(), answer.text());
        answer.json()
    }

    /// Its generation.
    ///
    /// # Errors
    /// When it has none.
    pub async fn generation(&self) -> Result<u64> {
        generation(&self.show().await?)
    }

    /// PUT of exactly this body; waits until the change is made or refused.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn put(&self, body: &Value) -> Result<Answer> {
        self.host.admin_send(Method::PUT, &self.path("?wait=ready"), body.to_string()).await
    }

    /// PUT for the generation that the release has now, which returns when it is accepted.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn begin(&self, edit: Value) -> Result<Answer> {
        let body = self.now(edit).await?;
        self.host.admin_send(Method::PUT, &self.path(""), body.to_string()).await
    }

    /// PUT for the generation that the release has now; waits until the change is made or refused.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn try_set(&self, edit: Value) -> Result<Answer> {
        self.put(&self.now(edit).await?).await
    }

    /// As [`TestRelease::try_set`], for changes that are made. Returns the release.
    ///
    /// # Errors
    /// When the change is refused.
    pub async fn set(&self, edit: Value) -> Result<Value> {
        made(&self.try_set(edit).await?)
    }

    /// Makes another version stable.
    ///
    /// # Errors
    /// When the change is refused.
    pub async fn swap_to(&self, bundle: &str) -> Result<Value> {
        self.set(json!({ "stable": bundle })).await
    }

    /// `promote`, `rollback`: for the generation that the release has now; waits.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn step(&self, step: &str) -> Result<Answer> {
        let body = self.now(json!({ "reason": format!("a test's {step}") })).await?;
        self.host.admin_send(Method::POST, &self.path(&format!("/{step}?wait=ready")), body.to_string()).await
    }

    /// As [`TestRelease::step`], for one that is made. Returns the release.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn make(&self, step: &str) -> Result<Value> {
        made(&self.step(step).await?)
    }

    /// Gives up the change that is under way.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn cancel(&self) -> Result<Answer> {
        self.host.admin_send(Method::DELETE, &self.path("/pending"), String::new()).await
    }

    /// Its last generations, newest first.
    ///
    /// # Errors
    /// When the answer is no history.
    pub async fn history(&self) -> Result<Vec<Value>> {
        list(&self.host.admin(&self.path("/history?limit=1000")).await?.json()?, "history")
    }

    async fn now(&self, mut edit: Value) -> Result<Value> {
        let keys = edit.as_object_mut().context("an edit is an object")?;
        keys.insert("expected_generation".into(), self.generation().await?.into());
        Ok(edit)
    }

    fn path(&self, rest: &str) -> String {
        format!("/admin/v1/releases/{}{rest}", self.id.replace('/', "%2F"))
    }
}

fn list(answer: &Value, key: &str) -> Result<Vec<Value>> {
    let list = answer.get(key).and_then(Value::as_array);
    Ok(list.with_context(|| format!("no {key}: {answer}"))?.clone())
}

fn generation(release: &Value) -> Result<u64> {
    release.get("generation").and_then(Value::as_u64).with_context(|| format!("no generation: {release}"))
}

fn made(answer: &Answer) -> Result<Value> {
    ensure!(answer.status() == 200, "{}: {}", answer.status(), answer.text());
    answer.json()
}
