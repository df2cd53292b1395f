//! Names of routes and models that there are, and the one that was probably meant.

/// What a host or a manifest has.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Paths and ids of triggers.
    pub routes: Vec<String>,
    /// Names of models.
    pub models: Vec<String>,
}

/// The candidate nearest to a name, where one is near enough to be a slip: at most a third of it differs.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |candidate: &'a str| {
        let most = (name.chars().count().max(candidate.chars().count()) / 3).max(1);
        let distance = strsim::osa_distance(name, candidate);
        (distance <= most).then_some((distance, candidate))
    };
    known.into_iter().filter_map(near).min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// The next step after a name that there is not.
pub(crate) fn help(name: &str, known: &[String]) -> String {
    const SHOWN: usize = 20;
    if let Some(near) = nearest(name, known.iter().map(String::as_str)) {
        return format!("did you mean {near:?}?");
    }
    let shown: Vec<String> = known.iter().take(SHOWN).map(|name| format!("{name:?}")).collect();
    let more = if known.len() > SHOWN { ", .." } else { "" };
    if shown.is_empty() { "there are none".to_owned() } else { format!("there are {}{more}", shown.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_all_there_are() {
        let known = ["story".to_owned(), "sentence".to_owned()];
        assert_eq!(help("stroy", &known), r#"did you mean "story"?"#);
        assert_eq!(help("llama", &known), r#"there are "story", "sentence""#);
        assert_eq!(help("llama", &[]), "there are none");
        assert_eq!(nearest("/infre", ["/infer", "/embed"]), Some("/infer"));
    }
}
