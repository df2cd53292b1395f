//! The console in the system's Chromium. What is looked at is in the scripts of `tests/ui`; each of them fails, too, where the
//! page logs an error or asks another host for anything.
//!
//! With `BOBBIN_UPDATE_PICTURES=1` they take the pictures that the README shows, after a while of traffic.

use super::publish_slow_and_wicked;
use bobbin_tests::{Browser, Result, TestApp, TestHost, repository_root};
use std::net::Ipv4Addr;

/// Traffic before a picture is taken, in seconds.
const TRAFFIC: u32 = 90;

fn variables(host: &TestHost) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("BOBBIN_CONSOLE", format!("http://127.0.0.1:{}/", host.admin_addr().port())),
        ("BOBBIN_APP", format!("http://{}/", host.app_addr())),
    ];
    if std::env::var("BOBBIN_UPDATE_PICTURES").is_ok_and(|value| value == "1") {
        variables.push(("BOBBIN_PICTURES", repository_root().join("docs/images").display().to_string()));
        variables.push(("BOBBIN_PICTURE_SECONDS", TRAFFIC.to_string()));
    }
    variables
}

#[tokio::test]
async fn the_page_has_its_parts_both_themes_room_on_a_narrow_screen_and_shows_wicked_cards_as_text() -> Result {
    let Some(browser) = Browser::here() else { return Ok(()) };
    let app = TestApp::stories("")?;
    publish_slow_and_wicked(&app)?;
    let host = TestHost::of(&app.manifest()).start().await?;
    browser.run("loads.mjs", &variables(&host)).await
}

#[tokio::test]
async fn a_canary_is_started_stepped_promoted_and_rolled_back_with_the_keyboard() -> Result {
    let Some(browser) = Browser::here() else { return Ok(()) };
    let host = TestHost::stories().start().await?;
    browser.run("canary.mjs", &variables(&host)).await
}

#[tokio::test]
async fn a_swap_that_somebody_else_makes_is_watched_state_by_state() -> Result {
    let Some(browser) = Browser::here() else { return Ok(()) };
    let app = TestApp::of_component("hostile", "/f3/...")?;
    publish_slow_and_wicked(&app)?;
    let host = TestHost::of(&app.manifest()).start().await?;
    browser.run("swap.mjs", &variables(&host)).await
}

#[tokio::test]
async fn two_versions_answer_side_by_side_and_what_they_write_is_text() -> Result {
    let Some(browser) = Browser::here() else { return Ok(()) };
    let host = TestHost::example().start().await?;
    browser.run("playground.mjs", &variables(&host)).await
}

#[tokio::test]
async fn what_happens_is_drawn_and_can_be_read_as_a_table() -> Result {
    let Some(browser) = Browser::here() else { return Ok(()) };
    let host = TestHost::example().start().await?;
    browser.run("tables.mjs", &variables(&host)).await?;
    browser.run("traffic.mjs", &variables(&host)).await
}

#[tokio::test]
async fn what_cannot_be_done_says_why_and_a_share_that_is_none_is_refused_in_words() -> Result {
    let Some(browser) = Browser::here() else { return Ok(()) };
    let host = TestHost::example().start().await?;
    browser.run("choices.mjs", &variables(&host)).await
}

#[tokio::test]
async fn a_listener_that_others_can_reach_demands_its_token_of_the_page() -> Result {
    let Some(browser) = Browser::here() else { return Ok(()) };
    let open = TestHost::stories()
        .admin_listen(Ipv4Addr::UNSPECIFIED.into())
        .arg("--admin-token")
        .arg("the-secret-of-this-test");
    let host = open.start().await?;
    let mut variables = variables(&host);
    variables.push(("BOBBIN_TOKEN", "the-secret-of-this-test".to_owned()));
    browser.run("token.mjs", &variables).await
}
