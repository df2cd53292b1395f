//! `GET /admin/v1/bundles`.

use super::answer::{Answer, json};
use super::edit;
use crate::problem::Problem;
use bobbin_release::{BundleView, Releases};
use http::StatusCode;
use serde::Serialize;

#[derive(Serialize)]
struct Bundles {
    bundles: Vec<BundleView>,
}

pub(super) async fn list(releases: &Releases, query: Option<&str>) -> Result<Answer, Problem> {
    edit::nothing(query)?;
    match releases.bundles().await {
        Ok(bundles) => Ok(json(StatusCode::OK, &Bundles { bundles })),
        Err(why) => Err(Problem::unreadable_repository(&why)),
    }
}
