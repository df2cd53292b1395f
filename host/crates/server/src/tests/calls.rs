//! Calls between components: a part of the request that they are made in.

use super::host::{Fake, Host, Pieces, get, text};
use crate::{Access, Answerer, RouteEntry, RoutePath};
use bobbin_inference::Cause;
use bobbin_runtime::{Application, Call, Callee, Calls, Failure};
use futures::future::{join_all, poll_immediate};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use std::sync::Arc;
use tokio::sync::Semaphore;

fn component(id: &str, route: RoutePath, calls: &[&str], fake: Fake) -> RouteEntry<Fake> {
    let calls = Calls { any: false, components: calls.iter().map(|id| (*id).to_owned()).collect() };
    let answerer = Answerer::Component { id: id.into(), handler: fake, calls, plain: false };
    RouteEntry { trigger_id: format!("trigger {id}").into(), route, access: Access::default(), answerer }
}

/// What a component is told that asks another one.
async fn ask(application: Option<Arc<dyn Application>>, id: &str) -> String {
    let Some(application) = application else { return "it has nobody to ask".into() };
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let request = Request::get(format!("http://{id}.spin.internal/a/b?c=d")).body(body).unwrap();
    match application.call(Callee::Component(id.to_owned()), request).await {
        Ok(response) => {
            let status = response.status().as_u16();
            match response.into_body().collect().await {
                Ok(body) => format!("{status} {}", String::from_utf8(body.to_bytes().to_vec()).unwrap()),
                Err(error) => format!("{status} {error}"),
            }
        }
        Err(error) => error.to_string(),
    }
}

fn asking(id: &'static str) -> Fake {
    Fake::new(move |call| async move { Ok(Response::new(Pieces::of(ask(call.application, id).await.leak()))) })
}

#[tokio::test]
async fn a_call_is_the_same_request_and_needs_no_further_permit() {
    let back = Fake::new(|call: Call| async move {
        let path = call.request.headers().get("spin-path-info").unwrap().to_str().unwrap().to_owned();
        let (id, trigger) = (call.context.id.clone(), Arc::clone(&call.context.trigger));
        Ok(Response::new(Pieces::of(format!("{id} {trigger} {path} {}", call.chained).leak())))
    });
    let host = Host::builder()
        .component(component("front", RoutePath::Public("/...".into()), &["back"], asking("back")))
        .component(component("back", RoutePath::Private, &[], back))
        .limits(|limits| limits.max_in_flight = 1)
        .start()
        .await;
    let response = get(host.app, "/").await;
    let id = response.headers().get("bobbin-request-id").map(|id| id.to_str().unwrap().to_owned()).unwrap_or_default();
    assert_eq!(text(response).await, format!("200 {id} trigger front /a/b true"));
}

#[tokio::test]
async fn one_that_does_without_spins_headers_gets_none_by_its_name_or_by_its_route() {
    let names = |call: &Call| -> Vec<String> {
        call.request.headers().keys().map(ToString::to_string).filter(|name| name.starts_with("spin-")).collect()
    };
    let back = Fake::new(move |call: Call| {
        let told = names(&call).join(",");
        async move { Ok(Response::new(Pieces::of(format!("told {told:?}").leak()))) }
    });
    let mut plain = component("plain", RoutePath::Public("/plain".into()), &[], back.clone());
    if let Answerer::Component { plain, .. } = &mut plain.answerer {
        *plain = true;
    }
    let told = component("told", RoutePath::Private, &[], back);
    let asks = |front: &str, back: &'static str| {
        component(front, RoutePath::Public(format!("/{front}")), &[back], asking(back))
    };
    let host = Host::builder()
        .component(plain)
        .component(told)
        .component(asks("asks-plain", "plain"))
        .component(asks("asks-told", "told"))
        .start()
        .await;
    assert_eq!(text(get(host.app, "/plain").await).await, "told \"\"");
    assert_eq!(text(get(host.app, "/asks-plain").await).await, "200 told \"\"");
    assert!(text(get(host.app, "/asks-told").await).await.contains("spin-path-info"));
}

#[tokio::test]
async fn who_may_ask_nobody_has_nobody_to_ask_and_who_is_not_there_is_named() {
    let host = Host::builder()
        .component(component("alone", RoutePath::Public("/alone".into()), &[], asking("back")))
        .component(component("front", RoutePath::Public("/front".into()), &["alone"], asking("nobody")))
        .start()
        .await;
    assert_eq!(text(get(host.app, "/alone").await).await, "it has nobody to ask");
    let told = text(get(host.app, "/front").await).await;
    assert!(told.contains("no component \"nobody\""), "{told}");
}

#[tokio::test]
async fn circles_end() {
    let host = Host::builder()
        .component(component("a", RoutePath::Public("/...".into()), &["b"], asking("b")))
        .component(component("b", RoutePath::Private, &["a"], asking("a")))
        .start()
        .await;
    let told = text(get(host.app, "/").await).await;
    assert!(told.ends_with("8 deep, which is as deep as they may"), "{told}");
    assert_eq!(told.matches("200 ").count(), 8, "{told}");
}

#[tokio::test]
async fn calls_of_one_request_and_of_all_have_a_bound_and_give_their_places_back() {
    let go_on = Arc::new(Semaphore::new(0));
    let waiting = Arc::clone(&go_on);
    let back = Fake::new(move |call| {
        let waiting = Arc::clone(&waiting);
        async move {
            waiting.acquire().await.unwrap().forget();
            drop(call);
            Ok(Response::new(Pieces::of("back")))
        }
    });
    let opened = Arc::clone(&go_on);
    let front = Fake::new(move |call: Call| {
        let opened = Arc::clone(&opened);
        async move {
            let mut all: Vec<_> = (0..5).map(|_| Box::pin(ask(call.application.clone(), "back"))).collect();
            // The first ones wait, so what is over at once was refused.
            let mut told = Vec::new();
            for ask in &mut all {
                told.push(poll_immediate(ask).await);
            }
            let refused = told.iter().flatten().count();
            opened.add_permits(5);
            let rest = all.into_iter().zip(told).filter(|(_, told)| told.is_none()).map(|(ask, _)| ask);
            let answered = join_all(rest).await;
            Ok(Response::new(Pieces::of(format!("{refused} refused, then {answered:?}").leak())))
        }
    });
    let host = Host::builder()
        .component(component("front", RoutePath::Public("/...".into()), &["back"], front))
        .component(component("back", RoutePath::Private, &[], back))
        .limits(|limits| limits.calls = 2)
        .start()
        .await;
    for _ in 0..2 {
        let told = text(get(host.app, "/").await).await;
        assert_eq!(told, r#"3 refused, then ["200 back", "200 back"]"#);
        go_on.forget_permits(3);
    }
}

#[tokio::test]
async fn a_call_that_fails_is_an_answer_to_its_caller_and_ends_nothing_else() {
    let back = Fake::new(|call: Call| async move {
        let cause = Cause::GuestTrapped("why".into());
        call.context.end(cause.clone());
        Err(Failure::NoAnswer { component: "back".into(), cause })
    });
    let host = Host::builder()
        .component(component("front", RoutePath::Public("/...".into()), &["back"], asking("back")))
        .component(component("back", RoutePath::Private, &[], back))
        .start()
        .await;
    let response = get(host.app, "/").await;
    assert_eq!(response.status(), 200);
    let told = text(response).await;
    assert!(told.starts_with("500 ") && told.contains("guest_trapped") && !told.contains("why"), "{told}");
}
