//! Which triggers' components may be asked within a request, directly or by those that are asked: their versions are
//! decided with the request's own. Pure.

use bobbin_runtime::Calls;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One trigger's component.
pub(crate) struct Node<'a> {
    pub(crate) trigger: &'a Arc<str>,
    pub(crate) component: &'a str,
    pub(crate) calls: &'a Calls,
}

/// The triggers that a request for `start` may reach besides its own, without repetition.
pub(crate) fn reach(nodes: &[Node<'_>], start: &Calls) -> Vec<Arc<str>> {
    let mut reached: BTreeSet<&Arc<str>> = BTreeSet::new();
    let mut ahead = vec![start];
    // A host's name has no capitals, and a component's may.
    let named = |calls: &Calls, component: &str| calls.components.contains(&component.to_ascii_lowercase());
    while let Some(calls) = ahead.pop() {
        for node in nodes.iter().filter(|node| calls.any || named(calls, node.component)) {
            if reached.insert(node.trigger) {
                ahead.push(node.calls);
            }
        }
    }
    reached.into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(graph: &[(&str, Calls)], start: &str) -> Vec<String> {
        let triggers: Vec<Arc<str>> = graph.iter().map(|(id, _)| format!("t-{id}").into()).collect();
        let node = |(trigger, (component, calls))| Node { trigger, component, calls };
        let nodes: Vec<Node<'_>> =
            triggers.iter().zip(graph.iter().map(|(id, calls)| (*id, calls))).map(node).collect();
        let start = nodes.iter().find(|node| node.component == start).unwrap().calls;
        reach(&nodes, start).iter().map(ToString::to_string).collect()
    }

    fn to(components: &[&str]) -> Calls {
        Calls { any: false, components: components.iter().map(|id| (*id).to_owned()).collect() }
    }

    #[test]
    fn calls_are_followed_to_their_end_and_circles_once() {
        let graph = [("a", to(&["b"])), ("b", to(&["c"])), ("c", to(&["a"])), ("d", to(&["unknown"]))];
        assert_eq!(reached(&graph, "a"), ["t-a", "t-b", "t-c"]);
        assert_eq!(reached(&graph, "c"), ["t-a", "t-b", "t-c"]);
        assert!(reached(&graph, "d").is_empty());
    }

    #[test]
    fn a_host_that_names_a_component_has_no_capitals_and_the_component_may() {
        // What `Rules::calls` makes of `http://HTTP-api.spin.internal`.
        let graph = [("a", to(&["http-api"])), ("HTTP-api", Calls::default())];
        assert_eq!(reached(&graph, "a"), ["t-HTTP-api"]);
    }

    #[test]
    fn who_may_ask_anybody_reaches_everybody() {
        let any = Calls { any: true, ..Calls::default() };
        let graph = [("a", any), ("b", Calls::default()), ("c", to(&["a"]))];
        assert_eq!(reached(&graph, "a").len(), 3);
        assert!(reached(&graph, "b").is_empty());
        assert_eq!(reached(&graph, "c").len(), 3);
    }
}
